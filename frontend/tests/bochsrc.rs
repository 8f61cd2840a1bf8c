//! The Bochs configuration file: what the book ships, what Bochs documents, and what cannot be right.

use emu_devices::disk::Geometry;
use rvmx_emu::config::bochsrc::parse;
use rvmx_emu::config::sources::Host;
use rvmx_emu::config::{AtaDrive, BootDevice, DisplayKind, FloppyKind, MachineConfig, Notice, Severity, Stream};
use std::collections::HashMap;
use std::path::Path;

/// A host with these files (name, size or text) and variables.
#[derive(Default)]
struct FakeHost {
    files: HashMap<&'static str, u64>,
    texts: HashMap<&'static str, &'static str>,
    variables: HashMap<&'static str, &'static str>,
}

impl Host for FakeHost {
    fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(name).map(|v| (*v).to_owned())
    }

    fn size(&self, path: &Path) -> Option<u64> {
        let name = path.to_str()?;
        self.files.get(name).copied().or_else(|| self.texts.get(name).map(|t| t.len() as u64))
    }

    fn read_text(&self, path: &Path) -> Result<String, String> {
        self.texts.get(path.to_str().unwrap_or("")).map(|t| (*t).to_owned()).ok_or_else(|| "not found".to_owned())
    }

    fn now(&self) -> i64 {
        1_000_000
    }
}

fn host(files: &[(&'static str, u64)]) -> FakeHost {
    FakeHost { files: files.iter().copied().collect(), ..FakeHost::default() }
}

fn read(host: &FakeHost, text: &str) -> (MachineConfig, Vec<Notice>) {
    parse(host, Path::new("folder/bs"), text).unwrap_or_else(|e| panic!("{e}"))
}

fn error(text: &str) -> String {
    parse(&host(&[]), Path::new("bs"), text).expect_err(text).to_string()
}

fn warnings(notices: &[Notice]) -> Vec<String> {
    notices.iter().filter(|n| n.severity == Severity::Warning).map(ToString::to_string).collect()
}

/// Options in the manner of the book's file: old spellings, a floppy device that is not there, a later line that
/// replaces an earlier one.
const BOOK_LIKE: &str = r#"
romimage: file=$BXSHARE/BIOS-bochs-latest
cpu: count=1, ips=50000000, reset_on_triple_fault=1, ignore_bad_msrs=1, msrs="msrs.def"
cpu: cpuid_limit_winnt=0
memory: guest=512, host=256
vgaromimage: file=$BXSHARE/VGABIOS-lgpl-latest
floppya: 1_44=/dev/fd0, status=inserted
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata2: enabled=0, ioaddr1=0x1e8, ioaddr2=0x3e0, irq=11
floppya: 1_44=demo.img, status=inserted
ata0-master: type=disk, path="c.img", mode=flat, cylinders=2, heads=16, spt=63
#boot: floppy
boot: disk
floppy_bootsig_check: disabled=0
log: bochsout.txt
panic: action=ask
parport1: enabled=1, file="parport.out"
keyboard_serial_delay: 250
mouse: enabled=0
private_colormap: enabled=0
keyboard_mapping: enabled=0, map=
pci: enabled=1, chipset=i440fx
"#;

#[test]
fn book_file_beside_its_images_gives_the_books_machine() {
    let host = host(&[("folder/c.img", 1_032_192), ("folder/demo.img", 1_474_560)]);
    let (config, notices) = read(&host, BOOK_LIKE);
    assert_eq!((config.cpus, config.ips, config.memory), (1, 50_000_000, 512));
    assert!(config.reset_on_triple_fault && config.ignore_bad_msrs);
    let geometry = Some(Geometry { cylinders: 2, heads: 16, sectors: 63 });
    assert_eq!(config.hda, Some(AtaDrive::Disk { image: "folder/c.img".into(), geometry }));
    let floppy = config.fda.as_ref().unwrap();
    assert_eq!((floppy.kind, floppy.image.as_deref()), (Some(FloppyKind::M1_44), Some(Path::new("folder/demo.img"))));
    assert_eq!(config.boot_order(), [BootDevice::Disk, BootDevice::Floppy]);
    assert_eq!((config.rom, config.vga_rom), (None, None));
    // Nothing that it needs is missing.
    assert_eq!(warnings(&notices), [""; 0]);
}

#[test]
fn book_file_without_its_floppy_has_an_empty_drive_and_says_so_once() {
    let host = host(&[("folder/c.img", 1_032_192)]);
    let (config, notices) = read(&host, BOOK_LIKE);
    assert_eq!(config.fda.unwrap().image, None);
    let floppy: Vec<_> = notices.iter().filter(|n| n.text.contains("floppy")).map(ToString::to_string).collect();
    assert_eq!(floppy, ["folder/bs:10: floppya: there is no file \"demo.img\"; the drive is empty"]);
}

#[test]
fn floppy_device_that_is_not_there_is_an_empty_drive_without_a_warning() {
    let (config, notices) = read(&host(&[]), "floppya: 1_44=/dev/fd0, status=inserted");
    let floppy = config.fda.unwrap();
    assert_eq!((floppy.kind, floppy.image), (Some(FloppyKind::M1_44), None));
    assert_eq!(warnings(&notices), [""; 0]);
}

#[test]
fn rom_files_that_exist_are_used_with_their_address() {
    let mut host = host(&[("/share/bios", 65536), ("/share/vga", 32768), ("opt.bin", 512)]);
    host.variables.insert("BXSHARE", "/share");
    let text = "romimage: file=$BXSHARE/bios, address=0xffff0000, options=fastboot\nvgaromimage: $BXSHARE/vga\n\
                optromimage1: file=opt.bin, address=0xd0000\noptromimage2: file=gone.bin, address=0xd1000\n";
    let (config, notices) = read(&host, text);
    assert_eq!(config.rom.map(|r| (r.file, r.address)), Some(("/share/bios".into(), Some(0xffff_0000))));
    assert_eq!(config.vga_rom.map(|r| (r.file, r.address)), Some(("/share/vga".into(), None)));
    assert_eq!(config.option_roms.len(), 1);
    assert_eq!(warnings(&notices), ["folder/bs:4: optromimage2: gone.bin: there is no such file; it is left out"]);
}

#[test]
fn working_folder_is_searched_before_the_files_own() {
    let host = host(&[("c.img", 512), ("folder/c.img", 512)]);
    let (config, _) = read(&host, "ata0-master: type=disk, path=c.img");
    assert_eq!(config.hda.unwrap().image(), Some(Path::new("c.img")));
}

/// What Bochs's "Save options" writes: places that are empty, switches that are off, defaults.
const SAVED_BY_BOCHS: &str = r#"
memory: guest=64, host=64, block_size=0
romimage: file="bios.bin", address=0x00000000, options=none, flash_data=none
floppya: type=1_44, 1_44="a.img", status=inserted, write_protected=0
ata0: enabled=true, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=none
ata2: enabled=false
optromimage1: file=none
optramimage1: file=none
vga: extension=vbe, update_freq=10, realtime=1, ddc=builtin, vbe_memsize=16
boot: floppy
port_e9_hack: enabled=true, all_rings=false
mouse: type=ps2, enabled=false, toggle=ctrl+mbutton
pci: enabled=true, chipset=i440fx, slot1=none, advopts=none
floppy_bootsig_check: disabled=false
speaker: enabled=true, mode=sound, volume=15
warn: action=warn
parport2: enabled=false
com2: enabled=false
"#;

#[test]
fn file_that_bochs_has_saved_is_read_without_a_warning() {
    let (config, notices) = read(&host(&[("bios.bin", 131_072), ("a.img", 1_474_560)]), SAVED_BY_BOCHS);
    assert_eq!(warnings(&notices), [""; 0]);
    assert_eq!(config.rom.map(|rom| (rom.file, rom.address)), Some(("bios.bin".into(), None)));
    assert_eq!((config.option_roms.len(), config.memory, config.debugcon), (0, 64, Some(Stream::Stdio)));
}

#[test]
fn cpu_model_of_bochs_is_replaced_by_the_nearest_with_a_warning() {
    for (name, nearest) in [
        ("bx_generic", "corei5_arrandale_m520"),
        ("core2_penryn_t9600", "penryn"),
        ("corei7_skylake_x", "skylake_sp"),
        ("ryzen", "max"),
    ] {
        let (config, notices) = read(&host(&[]), &format!("cpu: model={name}"));
        assert_eq!(config.cpu_model, nearest);
        let expected = format!("folder/bs:1: cpu: model={name}: this model of Bochs's is not here; {nearest} is used");
        assert_eq!(warnings(&notices), [expected]);
    }
    for name in ["max", "corei5_arrandale_m520", "no_such_model"] {
        let (config, notices) = read(&host(&[]), &format!("cpu: model={name}"));
        assert_eq!((config.cpu_model.as_str(), warnings(&notices).len()), (name, 0));
    }
}

#[test]
fn parameter_that_is_not_read_may_name_a_variable_that_is_not_set() {
    let text = "keyboard: type=mf, keymap=$BXSHARE/keymaps/x11-pc-us.map\ncpu: msrs=$NOSUCH/msrs.def\n\
                ata0-master: type=cdrom, status=ejected, model=$NOSUCH\n";
    let (_, notices) = read(&host(&[]), text);
    assert_eq!(warnings(&notices), [""; 0]);
    assert_eq!(notices.len(), 3);
}

#[test]
fn unknown_option_warns_once_with_its_first_line() {
    let (_, notices) = read(&host(&[]), "\nfrobnicate: 1\nfrobnicate: 2\ncpu: frob=1\ncpu: frob=2\n");
    let expected =
        ["folder/bs:2: frobnicate: unknown option, ignored", "folder/bs:4: cpu: frob: unknown parameter, ignored"];
    assert_eq!(warnings(&notices), expected);
}

#[test]
fn continuation_comments_quotes_and_includes_are_read_as_documented() {
    let mut host = host(&[("a, b #1.iso", 4096)]);
    host.texts.insert("folder/common.inc", "memory: guest=64\r\n");
    let text = "cpu: count=2:2:1, \\\n  quantum=16 # trailing\n#include common.inc\n# comment \\\n\
                ata1-master: type=cdrom, path=\"a, b #1.iso\"\ncpu: bogus=1\n";
    let (config, notices) = read(&host, text);
    assert_eq!((config.cpus, config.quantum, config.memory), (4, Some(16), 64));
    assert_eq!(config.hdc, Some(AtaDrive::Cdrom { image: Some("a, b #1.iso".into()) }));
    assert_eq!(warnings(&notices), ["folder/bs:6: cpu: bogus: unknown parameter, ignored"]);
}

#[test]
fn file_that_includes_itself_is_an_error() {
    let mut host = host(&[]);
    host.texts.insert("bs", "#include bs\n");
    let error = parse(&host, Path::new("bs"), "#include bs\n").unwrap_err().to_string();
    assert!(error.contains("include each other"), "{error}");
}

#[test]
fn other_documented_options_reach_the_machine() {
    let text = "boot: cdrom, c, floppy\nclock: sync=slowdown, time0=\"Sat Jan  1 00:00:00 2000\"\n\
                com1: enabled=1, mode=file, dev=serial.out\nport_e9_hack: enabled=1\ndisplay_library: term\n\
                megs: 32\nfloppyb: type=360k\nata1: enabled=0\n";
    let (config, _) = read(&host(&[]), text);
    assert_eq!(config.boot, [BootDevice::Cdrom, BootDevice::Disk, BootDevice::Floppy]);
    assert_eq!((config.realtime, config.seed_time, config.memory), (Some(true), Some(946_684_800), 32));
    assert_eq!((config.serial, config.debugcon), (Stream::File("serial.out".into()), Some(Stream::Stdio)));
    assert_eq!(config.display, Some(DisplayKind::Terminal));
    assert_eq!(config.fdb.unwrap().kind, Some(FloppyKind::K360));
    assert_eq!(read(&host(&[]), "clock: time0=utc").0.seed_time, Some(1_000_000));
}

#[test]
fn drives_on_a_channel_that_is_off_are_left_out() {
    let text = "ata1: enabled=0\nata1-master: type=cdrom, status=ejected\nata2-master: type=cdrom, path=x.iso\n";
    let (config, notices) = read(&host(&[]), text);
    assert_eq!(config.hdc, None);
    assert!(warnings(&notices).iter().any(|w| w.contains("ata1: the channel is not enabled")));
    assert!(warnings(&notices).iter().any(|w| w.contains("ata2-master")));
}

#[test]
fn values_that_cannot_be_right_name_line_field_and_remedy() {
    for (text, expected) in [
        ("\ncpu: ips=fast", "bs:2: cpu: ips: \"fast\" is not a number; give a number from 1000000 to 100000000000"),
        ("cpu: count=0", "bs:1: cpu: count: 0 is out of range; give a number from 1 to 254"),
        ("cpu: count=200:200", "bs:1: cpu: count: 40000 is out of range; give a number from 1 to 254"),
        ("memory: guest=-1", "bs:1: memory: guest: \"-1\" is not a number; give a number from 1 to 65536"),
        ("boot: tape", "bs:1: boot: \"tape\" is no boot device; give disk, floppy or cdrom"),
        (
            "floppya: type=3_5",
            "bs:1: floppya: type: \"3_5\" is no floppy type; give one of 160k 180k 320k 360k 720k 1_2 1_44 2_88",
        ),
        ("ata0-master: type=disk", "bs:1: ata0-master: path: the image is missing; add path=\"FILE\""),
        (
            "ata0-master: type=disk, path=no.img",
            "bs:1: ata0-master: path: there is no file \"no.img\"; correct the path, or make the image first",
        ),
        (
            "ata0-master: type=disk, mode=growing, path=x",
            "bs:1: ata0-master: mode: images of mode \"growing\" cannot be read; convert the image to a flat one and use mode=flat",
        ),
        ("ata0-master: path=x", "bs:1: ata0-master: the type is missing; add type=disk or type=cdrom"),
        (
            "romimage: file=$NOSUCH/x",
            "bs:1: romimage: file: the environment variable NOSUCH is not set; set it, or write the path out",
        ),
        ("cpu: count=\"1", "bs:1: a double quote is not closed; write option: parameter=value, parameter=value"),
        (
            "just words",
            "bs:1: \"just words\" has no colon after the option's name; write option: parameter=value, parameter=value",
        ),
        (
            "port_e9_hack: enabled=maybe",
            "bs:1: port_e9_hack: enabled: \"maybe\" is no switch; give 0, 1, false, true, off or on",
        ),
    ] {
        assert_eq!(error(text), expected);
    }
}

#[test]
fn image_that_does_not_fit_its_geometry_warns() {
    let host = host(&[("c.img", 512)]);
    let (_, notices) = read(&host, "ata0-master: type=disk, path=c.img, cylinders=2, heads=16, spt=63");
    let expected = "folder/bs:1: ata0-master: cylinders: the image has 512 bytes, its geometry 1032192";
    assert_eq!(warnings(&notices), [expected]);
}
