//! The command line: the contract's options, what they mean over a configuration file, and one-line errors.

use rvmx_emu::cli::{Command, Parsed, RunArgs, Settings, parse, settings};
use rvmx_emu::config::sources::Host;
use rvmx_emu::config::{AtaDrive, BootDevice, DisplayKind, Stream};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process;

/// Files by name, with size or text.
struct Files(HashMap<&'static str, (u64, &'static str)>);

impl Host for Files {
    fn variable(&self, _name: &str) -> Option<String> {
        None
    }

    fn size(&self, path: &Path) -> Option<u64> {
        self.0.get(path.to_str()?).map(|(size, _)| *size)
    }

    fn bytes(&self, path: &Path, at: u64, length: usize) -> Vec<u8> {
        let iso = path == Path::new("cd.img") && at == 0x8001 && length == 5;
        if iso { b"CD001".to_vec() } else { Vec::new() }
    }

    fn read_text(&self, path: &Path) -> Result<String, String> {
        let found = path.to_str().and_then(|name| self.0.get(name));
        found.map(|(_, text)| (*text).to_owned()).ok_or_else(|| "not found".to_owned())
    }

    fn now(&self) -> i64 {
        0
    }
}

fn host() -> Files {
    let files = [
        ("c.img", (1_032_192, "")),
        ("d.img", (1_032_192, "")),
        ("demo.img", (1_474_560, "")),
        ("f12.img", (1_228_800, "")),
        ("x.iso", (4096, "")),
        ("cd.img", (1_474_560, "")),
        ("empty.img", (0, "")),
        ("kernel", (100, "")),
        ("initrd", (100, "")),
        ("bios", (65536, "")),
        ("bs", (10, "cpu: count=2, ips=10000000\nmemory: guest=64\nata0-master: type=disk, path=c.img\nboot: disk\n")),
        ("gone", (10, "floppyb: 1_44=/dev/fd1\nfloppya: 320k=bin/disk.img,status=inserted\n")),
        ("none", (10, "memory: guest=64\n")),
        ("m.ron", (10, "Machine(cpus: 3, hda: Disk(image: \"c.img\"), boot: [disk], snapshot: true)")),
        (
            "run.ron",
            (
                10,
                "Machine(hda: Disk(image: \"c.img\"), run: (max_time: 2.5, wall_time: 9.0, trace: \"t,cpu=0\", log: \"off\"))",
            ),
        ),
        ("scripted.ron", (10, "Machine(hda: Disk(image: \"c.img\"), run: (script: \"s.ron\"))")),
        ("s.ron", (10, "Script(steps: [PowerOff])")),
        ("esp", (4096, "")),
        ("u.ron", (10, "Machine(uefi: (), fat: \"esp\", hdc: Cdrom(image: \"x.iso\"), cpu_model: \"max\")")),
        ("bad.ron", (10, "Machine(hda: Disk(image: \"c.img\"), run: (log: \"loud\"))")),
    ];
    Files(files.into_iter().collect())
}

fn args(line: &str) -> Result<RunArgs, String> {
    match parse(std::iter::once("rvmx-emu").chain(line.split_whitespace())).map_err(|e| e.to_string())? {
        Parsed::Cli(cli) => Ok(cli.run),
        Parsed::Text(text) => Err(text),
    }
}

fn set(line: &str) -> Settings {
    let args = args(line).unwrap_or_else(|e| panic!("{line}: {e}"));
    settings(&host(), &args).unwrap_or_else(|e| panic!("{line}: {e}")).0
}

fn error(line: &str) -> String {
    let outcome = args(line).and_then(|args| settings(&host(), &args).map_err(|e| e.to_string()));
    outcome.map(drop).expect_err(line)
}

#[test]
fn defaults_are_the_contracts() {
    let machine = set("c.img").machine;
    assert_eq!((machine.cpus, machine.memory, machine.ips), (1, 512, 50_000_000));
    assert_eq!(machine.cpu_model, "corei5_arrandale_m520");
    assert_eq!((machine.serial, machine.debugcon, machine.debug_exit), (Stream::None, None, None));
    assert!(!machine.snapshot && !machine.reset_on_triple_fault && !machine.test_devices);
}

#[test]
fn image_is_a_floppy_or_a_disk_by_its_size_and_booted_first() {
    let machine = set("demo.img --hda c.img").machine;
    assert_eq!(machine.fda.as_ref().and_then(|f| f.image.as_deref()), Some(Path::new("demo.img")));
    assert_eq!(machine.boot_order(), [BootDevice::Floppy, BootDevice::Disk]);
    for disk in ["c.img", "f12.img"] {
        let machine = set(disk).machine;
        assert_eq!(machine.hda.as_ref().and_then(AtaDrive::image), Some(Path::new(disk)));
        assert_eq!(machine.boot_order(), [BootDevice::Disk]);
    }
    assert_eq!(set("demo.img --hda c.img --boot disk").machine.boot_order(), [BootDevice::Disk, BootDevice::Floppy]);
}

#[test]
fn image_of_a_disc_is_a_cd_whatever_its_size() {
    let machine = set("cd.img --hda c.img").machine;
    assert_eq!(machine.hdc, Some(AtaDrive::Cdrom { image: Some("cd.img".into()) }));
    assert_eq!((machine.boot_order(), machine.fda), (vec![BootDevice::Cdrom, BootDevice::Disk], None));
    assert_eq!(error("cd.img --cdrom x.iso"), "command line: IMAGE and --cdrom name the same drive; give one of them");
    assert!(set("--hda cd.img").machine.hdc.is_none());
}

#[test]
fn drives_are_booted_as_given_or_as_asked() {
    assert_eq!(set("--fda demo.img").machine.boot_order(), [BootDevice::Floppy]);
    let machine = set("--hda c.img --hdb d.img --cdrom x.iso --boot cdrom").machine;
    assert_eq!(machine.boot_order(), [BootDevice::Cdrom, BootDevice::Disk]);
    assert_eq!(machine.hdc, Some(AtaDrive::Cdrom { image: Some("x.iso".into()) }));
    assert!(machine.hdb.is_some());
}

#[test]
fn options_override_the_configuration_file_and_leave_the_rest() {
    let machine = set("-f bs").machine;
    assert_eq!((machine.cpus, machine.memory, machine.ips), (2, 64, 10_000_000));
    let machine = set("-f bs --cpus 4 --fda demo.img").machine;
    assert_eq!((machine.cpus, machine.memory), (4, 64));
    assert_eq!(machine.boot_order(), [BootDevice::Floppy, BootDevice::Disk]);
    let machine = set("-f m.ron --memory 128 d.img").machine;
    assert_eq!((machine.cpus, machine.memory, machine.snapshot), (3, 128, true));
    assert_eq!(machine.hda.as_ref().and_then(AtaDrive::image), Some(Path::new("d.img")));
}

#[test]
fn run_of_a_configuration_stands_below_the_command_lines() {
    let run = set("-f run.ron --max-time 1").run;
    assert_eq!((run.max_time, run.wall_time, run.trace), (Some(1.0), Some(9.0), "t,cpu=0".parse().ok()));
    assert_eq!(run.log, "off".parse().ok());
    let told = error("-f bad.ron");
    assert!(told.starts_with("bad.ron: run: log: \"loud\" is no level"), "{told}");
}

#[test]
fn script_of_a_configuration_stands_below_the_command_lines_and_a_replay() {
    let script = |line: &str| {
        let args = args(line).unwrap_or_else(|e| panic!("{line}: {e}"));
        (
            rvmx_emu::cli::script(&host(), &args).expect("it is found"),
            settings(&host(), &args).expect("right").0.run.script,
        )
    };
    for (line, expected) in [
        ("-f scripted.ron", Some("s.ron".into())),
        ("-f scripted.ron --script t.ron", Some("t.ron".into())),
        ("-f scripted.ron --replay r", None),
        ("-f run.ron", None),
    ] {
        assert_eq!(script(line), (expected.clone(), expected), "{line}");
    }
}

#[test]
fn every_option_of_the_contract_reaches_the_settings() {
    let all = "--kernel kernel --initrd initrd --append -s --cpus 4 --memory 64 --cpu-model max --ips 2000000 \
               --quantum 50 --display none --serial stdio --debugcon out.txt --debug-exit 0xf4 --snapshot \
               --max-instructions 1000 --max-time 2.5 --script s.ron --screen-dump d.txt --screenshot p.png \
               --seed-time 2026-01-31T12:00:00Z --gdb 1234 --ignore-bad-msrs --vmx-unlocked --log info,disk=trace --log-file l.txt --stats \
               --dump-state s.json";
    let Settings { machine, run } = set(all);
    let kernel = machine.kernel.expect("a kernel");
    assert_eq!((kernel.file, kernel.initrd, kernel.append), ("kernel".into(), Some("initrd".into()), "-s".to_owned()));
    assert_eq!((machine.cpus, machine.memory, machine.cpu_model.as_str()), (4, 64, "max"));
    assert_eq!((machine.ips, machine.quantum, machine.display), (2_000_000, Some(50), Some(DisplayKind::None)));
    assert_eq!((machine.serial, machine.debugcon), (Stream::Stdio, Some(Stream::File("out.txt".into()))));
    assert_eq!((machine.debug_exit, machine.snapshot, machine.seed_time), (Some(0xf4), true, Some(1_769_860_800)));
    assert_eq!((run.max_instructions, run.max_time, run.gdb, run.stats), (Some(1000), Some(2.5), Some(1234), true));
    assert!(machine.ignore_bad_msrs && !set("c.img").machine.ignore_bad_msrs);
    assert!(machine.vmx_unlocked && !set("c.img").machine.vmx_unlocked);
    let paths = [run.script, run.screen_dump, run.screenshot, run.dump_state].map(|path| path.unwrap_or_default());
    assert_eq!(paths, ["s.ron", "d.txt", "p.png", "s.json"].map(PathBuf::from));
    assert_eq!(set("c.img --headless").machine.display, Some(DisplayKind::None));
    assert_eq!(set("c.img --display terminal").machine.display, Some(DisplayKind::Terminal));
}

#[test]
fn pace_is_the_displays_unless_it_is_given() {
    for (option, realtime) in
        [("", None), ("--realtime", Some(true)), ("--realtime=on", Some(true)), ("--realtime=off", Some(false))]
    {
        assert_eq!(set(&format!("{option} c.img")).machine.realtime, realtime, "{option}");
        assert_eq!(set(&format!("{option} -hda c.img")).machine.realtime, realtime, "{option}");
    }
}

#[test]
fn help_says_how_to_leave_each_display() {
    let Ok(Parsed::Text(help)) = parse(["rvmx-emu", "--help"]) else { panic!("--help is a text") };
    for way in ["Ctrl-Alt-M", "Ctrl-]", "Ctrl-A x"] {
        assert!(help.split("Leaving: ").nth(1).is_some_and(|leaving| leaving.contains(way)), "{way}: {help}");
    }
}

#[test]
fn commands_take_their_own_arguments() {
    let command = |line: &str| match parse(line.split_whitespace()) {
        Ok(Parsed::Cli(cli)) => cli.command,
        other => panic!("{other:?}"),
    };
    let Some(Command::Debug { run, commands, .. }) = command("rvmx-emu debug --cpus 2 -c regs c.img") else { panic!() };
    assert_eq!((run.cpus, run.image, commands.as_deref()), (Some(2), Some("c.img".into()), Some("regs")));
    assert!(matches!(command("rvmx-emu vmcs-lint --cpu-model max dump.txt"), Some(Command::VmcsLint { .. })));
    assert!(matches!(command("rvmx-emu cpu-models"), Some(Command::CpuModels(models)) if models.name.is_none()));
    let Some(Command::Test(test)) = command("rvmx-emu test --jobs 3 --junit r.xml --filter ^a a.ron dir") else {
        panic!()
    };
    assert_eq!((test.jobs.map(|jobs| jobs.get()), test.filter.as_deref()), (Some(3), Some("^a")));
    assert_eq!((test.junit, test.paths.len()), (Some("r.xml".into()), 2));
}

/// The command line in our own spelling, as it is read.
fn same(habit: &str, ours: &str) {
    let (habit_set, ours_set) = (set(habit), set(ours));
    assert_eq!(format!("{habit_set:?}"), format!("{ours_set:?}"), "{habit}");
}

#[test]
fn spellings_of_qemu_mean_what_they_mean_there() {
    for (habit, ours) in [
        ("-hda c.img", "--hda c.img"),
        ("-hda c.img -hdb d.img -m 1G -smp 2", "--hda c.img --hdb d.img --memory 1024 --cpus 2"),
        ("-m size=64M,slots=2 -smp sockets=1,cores=2,threads=2 c.img", "c.img --memory 64 --cpus 4"),
        ("-smp 3,maxcpus=4 -cpu max c.img", "c.img --cpus 3 --cpu-model max"),
        ("-cpu host,+vmx c.img", "c.img --cpu-model max"),
        ("-cpu Haswell-noTSX-v2,-vmx-vpid,pcid=off,x2apic=on c.img", "c.img --cpu-model haswell,-vpid,-pcid,+x2apic"),
        ("-cpu Skylake-Server,migratable=off c.img", "c.img --cpu-model skylake_sp"),
        ("-fda demo.img -cdrom x.iso -boot d", "--fda demo.img --cdrom x.iso --boot cdrom"),
        ("-boot order=ac,menu=on -fda demo.img -hda c.img", "--fda demo.img --hda c.img --boot floppy,disk"),
        (
            "-kernel kernel -initrd initrd -append -s -nographic",
            "--kernel kernel --initrd initrd --append -s --headless --serial stdio",
        ),
        ("-nographic -serial none c.img", "c.img --headless"),
        ("-serial file:out -display none c.img", "c.img --serial out --display none"),
        ("-serial mon:stdio -display curses c.img", "c.img --serial stdio --display terminal"),
        ("-s -S c.img", "c.img --gdb 1234"),
        ("-s c.img", "c.img --gdb 1234 --gdb-no-wait"),
        ("-gdb tcp::77 -S c.img", "c.img --gdb 77"),
        ("-no-reboot -snapshot c.img", "c.img --no-reboot --snapshot"),
        ("-drive file=c.img,format=raw,if=ide", "--hda c.img"),
        ("-drive file=c.img,format=raw -drive format=raw,file=d.img,snapshot=on", "--hda c.img --hdb d.img --snapshot"),
        ("-drive file=x.iso,media=cdrom -drive if=floppy,file=demo.img", "--cdrom x.iso --fda demo.img"),
        ("-device isa-debug-exit,iobase=0xf4,iosize=0x04 c.img", "c.img --debug-exit 0xf4"),
        ("-device pc-testdev -device pci-testdev c.img", "c.img --test-devices"),
        ("-machine pc,accel=tcg -monitor none -net none -vga std -name x c.img", "c.img"),
        ("-bios bios -debugcon file:log -global isa-debugcon.iobase=0x402 c.img", "c.img --rom bios --debugcon log"),
        ("--smp 2 --nographic c.img", "c.img --cpus 2 --headless --serial stdio"),
    ] {
        same(habit, ours);
    }
}

#[test]
fn spellings_of_bochs_mean_what_they_mean_there() {
    same("-q -f bs -unlock", "-f bs");
    let one = |line: &[&str]| match parse(std::iter::once("rvmx-emu").chain(line.iter().copied())) {
        Ok(Parsed::Cli(cli)) => cli,
        other => panic!("{other:?}"),
    };
    let cli = one(&["-q", "-f", "bs", "megs: 32", "boot:floppy", "floppya: 1_44=demo.img, status=inserted"]);
    let machine = settings(&host(), &cli.run).expect("the lines are right").0.machine;
    assert_eq!((machine.memory, machine.cpus, machine.boot), (32, 2, vec![BootDevice::Floppy]));
    assert_eq!(machine.fda.and_then(|floppy| floppy.image), Some("demo.img".into()));
    let cli = one(&["-f", "bs", "-q", "-rc", "commands"]);
    let Some(Command::Debug { run, command_file, .. }) = cli.command else { panic!("-rc is the debugger's") };
    assert_eq!((run.config, command_file), (Some("bs".into()), Some("commands".into())));
    // A value is nobody's option.
    let cli = one(&["--kernel", "kernel", "--append", "boot: x"]);
    assert_eq!((cli.run.append.as_deref(), cli.run.set.len()), (Some("boot: x"), 0));
}

#[test]
fn spellings_that_mean_nothing_here_are_refused_with_the_right_one() {
    for (line, expected) in [
        ("-S c.img", "-S: nobody would start the machine; add -s"),
        ("-d int c.img", "-d: there is no such option here; give --log debug"),
        ("-enable-kvm c.img", "leave it out"),
        ("-machine q35 c.img", "the machine is a PC with an i440FX"),
        ("-cpu max,level=7 c.img", "\"level=7\" is no feature to be on or off"),
        ("-cpu EPYC c.img", "the model \"EPYC\" is not here"),
        ("-m lots c.img", "\"lots\" is no size; write 512, 512M or 1G"),
        ("-smp 0x2 c.img", "give it as in --cpus 4"),
        ("-drive file=c.qcow2,format=qcow2", "qemu-img convert -O raw IMAGE.qcow2 IMAGE.img"),
        ("-drive file=c.img,if=virtio", "give --hda"),
        ("-device e1000 c.img", "the device \"e1000\" is not offered"),
        ("-serial stdio -serial none c.img", "there is one serial port"),
        ("-cpus 2 c.img", "-cpus: there is no such option; did you mean --cpus?"),
        ("-hda", "-hda"),
        ("-wild c.img", "-wild: there is no such option; see rvmx-emu --help"),
        ("run c.img", "there is no command \"run\": running is what rvmx-emu does without one; leave the word out"),
        ("c.img d.img", "there are two images, c.img and d.img; give the second drive by its name: --hdb"),
        ("boot: c.img", "boot:: its parameters are missing; quote the whole line"),
        ("--debug-exit-pass 0x10 c.img", "--debug-exit"),
    ] {
        let told = error(line);
        assert!(told.contains(expected) && told.lines().count() == 1, "{line}: {told}");
    }
}

#[test]
fn help_is_a_word_too() {
    for (line, expected) in [("help", "--hda"), ("-help", "--hda"), ("help cpu-models", "Usage: rvmx-emu cpu-models")] {
        let text = args(line).expect_err("a text");
        assert!(text.contains(expected), "{line}: {text}");
    }
}

#[test]
fn short_help_is_one_screen_and_names_options_that_there_are() {
    let long = args("--help").expect_err("help");
    for (line, long) in [("-h", long), ("debug -h", args("debug --help").expect_err("help"))] {
        let text = args(line).expect_err("help");
        assert!(text.lines().count() <= 24 && text.lines().all(|line| line.chars().count() <= 79), "{text}");
        for option in text.split([' ', ',', ':', '.']).filter(|word| word.starts_with("--")) {
            assert!(long.contains(option), "{line}: {option}");
        }
    }
    assert!(args("vmcs-lint -h").expect_err("help").contains("--caps"));
}

#[test]
fn help_names_every_option_of_the_contract() {
    let help = args("--help").expect_err("help");
    for option in [
        "--hda",
        "--hdb",
        "--fda",
        "--cdrom",
        "--boot",
        "--kernel",
        "--initrd",
        "--append",
        "--cpus",
        "--memory",
        "--cpu-model",
        "--ips",
        "--quantum",
        "--display",
        "--headless",
        "--serial",
        "--debugcon",
        "--debug-exit",
        "--snapshot",
        "--max-instructions",
        "--max-time",
        "--wall-time",
        "--no-reboot",
        "--debug-exit-pass",
        "--script",
        "--screen-dump",
        "--screenshot",
        "--dump-state",
        "--trace",
        "--seed-time",
        "--gdb",
        "--log",
        "--log-file",
        "--stats",
        "-f, --config",
        "Exit status",
    ] {
        assert!(help.contains(option), "{option}");
    }
}

#[test]
fn mistakes_say_what_where_and_what_to_do() {
    for (line, expected) in [
        (
            "-f gone",
            "gone:2: floppya: there is no file \"bin/disk.img\"; the drive is empty, and there is nothing else to boot; correct the path, or give an IMAGE",
        ),
        ("-f none", "none: there is nothing to boot; name a disk, floppy or CD-ROM image in it, or give an IMAGE"),
        ("", "command line: there is nothing to boot; give an IMAGE, --kernel FILE or -f CONFIG; see rvmx-emu --help"),
        (
            "--script s.ron",
            "s.ron: there is nothing to boot; name an image in it, as in image: \"c.img\", or give an IMAGE",
        ),
        ("no.img", "IMAGE: there is no file \"no.img\"; correct the path"),
        ("empty.img", "empty.img: the image is empty, or no regular file; give a disk or floppy image"),
        ("c.img --hda d.img", "command line: IMAGE and --hda name the same drive; give one of them"),
        ("--hda no.img", "--hda: there is no file \"no.img\"; correct the path"),
        ("-f nobs", "nobs: cannot read the configuration: not found; correct the path given with -f"),
        ("c.img --boot tape", "--boot: \"tape\" is not possible; give one of disk, floppy, cdrom"),
        ("c.img --boot disc", "--boot: \"disc\" is not possible; give one of disk, floppy, cdrom; did you mean disk?"),
        ("c.img --cpus 0", "--cpus: 0 is out of range; give 1 to 254 processors"),
        ("c.img --max-time -1", "--max-time: \"-1\" is no number of seconds above 0; give seconds, such as 2.5"),
        (
            "c.img --serial udp:4444",
            "--serial: udp is not offered; give stdio, none, pty, tcp:PORT, unix:PATH or a file, one of this name as \
             ./udp:4444",
        ),
        ("c.img --debugcon pty", "--debugcon: \"pty\" is for COM1; give stdio, none or a file"),
        ("c.img --hda", "--hda: its value is missing or empty; see rvmx-emu --help"),
        (
            "c.img --hda --headless",
            "--hda: its value is missing: \"--headless\" begins with a dash; give one, or a file of this name as \
             --hda=./--headless",
        ),
        ("c.img --headless=1", "--headless: it takes no value, and \"1\" is one; leave the value out"),
        ("c.img --stats --stats", "--stats: it stands there twice; give it once"),
        ("c.img --replay r --script s", "--replay: it and --script exclude each other; give one of them"),
        ("c.img --gdb-no-wait", "--gdb-no-wait: there is no GDB to wait for; give --gdb PORT, too"),
        (
            "c.img --vmcs-dump F,ALL",
            "--vmcs-dump: \"ALL\" does not belong behind the file; give all; did you mean all?",
        ),
        (
            "c.img -- foo",
            "command line: there are two images, c.img and foo; give the second drive by its name: --hdb, --fda or --cdrom",
        ),
        (
            "-- c.img -x",
            "command line: there are two images, c.img and -x; give the second drive by its name: --hdb, --fda or --cdrom",
        ),
        ("c.img --append x", "--append: there is no kernel that it is for; give a kernel, too"),
        ("c.img --initrd initrd", "--initrd: there is no kernel that it is for; give a kernel, too"),
        (
            "--hdc c.img --cdrom x.iso",
            "--hdc: it and --cdrom exclude each other; give one of them, or the disk as --hdb or --hdd",
        ),
        ("--uefi --rom bios", "--uefi: it and --rom exclude each other; give one of them"),
        ("c.img --boot cdrom", "--boot: there is no CD-ROM to boot from; give one with --cdrom FILE"),
        ("c.img --boot floppy", "--boot: there is no floppy in drive A: to boot from; give one with --fda FILE"),
        ("debgu c.img", "command line: there is no command \"debgu\"; did you mean debug?"),
        ("debgu --tui c.img", "command line: there is no command \"debgu\"; did you mean debug?"),
        ("debgu c.img d.img", "command line: there is no command \"debgu\"; did you mean debug?"),
        ("vmcslint c.img", "command line: there is no command \"vmcslint\"; did you mean vmcs-lint?"),
        ("cpu-model", "command line: there is no command \"cpu-model\"; did you mean cpu-models?"),
        (
            "--headless debug c.img",
            "command line: options stand before the command; give them behind it, as in rvmx-emu debug --headless IMAGE",
        ),
        (
            "c.img --headless --display terminal",
            "command line: --headless and --display terminal exclude each other; give one of them",
        ),
    ] {
        assert_eq!(error(line), expected, "{line}");
    }
    assert!(error("c.img --bott disk").contains("did you mean --boot?"));
    assert_eq!(set("c.img --boot floppy,disk").machine.boot_order(), [BootDevice::Floppy, BootDevice::Disk]);
}

#[test]
fn folder_is_a_disk_to_boot_from_under_uefi_whether_the_command_line_or_a_configuration_names_it() {
    let boot = |line| set(line).machine.boot;
    assert_eq!(boot("--uefi --fat esp --cdrom x.iso"), [BootDevice::Disk, BootDevice::Cdrom]);
    assert_eq!(boot("--uefi --fat esp --cdrom x.iso --boot cdrom"), [BootDevice::Cdrom]);
    assert_eq!(boot("--fat esp --cdrom x.iso"), [BootDevice::Cdrom]);
    assert_eq!(boot("-f u.ron"), []);
    assert_eq!(boot("-f u.ron --boot disk"), [BootDevice::Disk]);
    assert_eq!(set("-f u.ron").machine.cpu_model, "max,phys-bits=40");
}

#[test]
fn names_of_places_that_are_no_file_are_refused_and_files_with_a_colon_are_taken() {
    for place in ["stdout", "telnet:localhost:1", "udp:1", "file:x", "mon:stdio"] {
        for option in ["--serial", "--debugcon"] {
            let text = error(&format!("c.img {option} {place}"));
            assert!(text.contains("is not offered; give stdio, none, pty, "), "{place}: {text}");
        }
    }
    for place in ["tcp:4444", "tcp-connect:a:1", "unix:/tmp/socket", "unix-connect:s", "pty", "device:/dev/ttyS0"] {
        assert!(set(&format!("c.img --serial {place}")).machine.serial.is_link(), "{place}");
        let text = error(&format!("c.img --debugcon {place}"));
        assert!(text.contains("is for COM1; give stdio, none or a file"), "{place}: {text}");
    }
    for file in ["./tcp:4444", "/tmp/a:b", "C:\\log.txt", "out.txt", "a.b:c"] {
        assert_eq!(set(&format!("c.img --serial {file}")).machine.serial, Stream::File(file.into()), "{file}");
    }
}

#[test]
fn examples_and_documentation_are_read() {
    use rvmx_emu::config::ron;
    use rvmx_emu::script;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_owned();
    let text = |name: &str| std::fs::read_to_string(root.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
    let machine = ron::parse(Path::new("machine.ron"), &text("examples/machine.ron")).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((machine.cpus, machine.snapshot), (4, true));
    for name in ["examples/boot.ron", "examples/test.ron"] {
        script::parse(Path::new(name), &text(name)).unwrap_or_else(|e| panic!("{e}"));
    }
    // The indented blocks that start with the format's own word are examples to copy.
    for (file, word) in [("docs/scripting.md", "    Script("), ("docs/config.md", "    Machine(")] {
        let text = text(file);
        let block: Vec<&str> =
            text.lines().skip_while(|line| *line != word).take_while(|l| l.starts_with("    ")).collect();
        assert!(block.len() > 5, "{file}");
        let block = block.join("\n");
        let read = if word.contains("Script") {
            script::parse(Path::new(file), &block).map(drop)
        } else {
            ron::parse(Path::new(file), &block).map(drop)
        };
        read.unwrap_or_else(|e| panic!("{e}"));
    }
}

#[test]
fn completions_and_manual_pages_name_every_command_and_option() {
    let run = |arguments: &[&str]| {
        let output =
            process::Command::new(env!("CARGO_BIN_EXE_rvmx-emu")).args(arguments).output().expect("the program starts");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let (status, out) = run(&["completions", shell]);
        assert_eq!(status, Some(0), "{shell}");
        for word in ["vmcs-lint", "cpu-models", "max-instructions", "wall-time"] {
            assert!(out.contains(word), "{shell}: {word}");
        }
    }
    // Nobody is offered what no help shows.
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(!run(&["completions", shell]).1.contains("end-with-stdin"), "{shell}");
    }
    let fish = run(&["completions", "fish"]).1;
    let debug: Vec<&str> = fish.lines().filter(|line| line.contains("subcommand debug")).collect();
    assert!(
        debug.iter().any(|line| line.contains("-l tui")) && !debug.iter().any(|line| line.contains("-l stats")),
        "{fish}"
    );
    let pages: [(&[&str], [&str; 2]); 3] = [
        (&["man"], ["cpu\\-model", "vmcs\\-lint"]),
        (&["man", "debug"], ["\\-\\-tui", "\\-\\-json"]),
        (&["man", "test"], ["\\-\\-junit", "\\-\\-jobs"]),
    ];
    for (page, words) in pages {
        let (status, out) = run(page);
        assert_eq!(status, Some(0), "{page:?}");
        assert!(out.contains(".TH") && words.iter().all(|word| out.contains(word)), "{page:?}: {out}");
    }
    assert_eq!(run(&["completions", "csh"]).0, Some(2));
}
