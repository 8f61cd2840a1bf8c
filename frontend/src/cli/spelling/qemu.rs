//! QEMU's options.

use super::{Means, Spelling, drive, refuse};
use crate::config::options::nearest_model;
use crate::config::size::mebibytes;
use crate::error::InputError;
use emu_core::model::CpuModel;

/// What an option of QEMU's, without its dash, comes to.
pub(super) fn meaning(name: &str) -> Option<Means> {
    use Means::{Flag, Note, Nothing, NothingOf, Read, Refused, Value};
    Some(match name {
        "hda" => Value("--hda"),
        "hdb" => Value("--hdb"),
        "hdc" => Value("--hdc"),
        "hdd" => Value("--hdd"),
        "fda" => Value("--fda"),
        "fdb" => Value("--fdb"),
        "cdrom" => Value("--cdrom"),
        "kernel" => Value("--kernel"),
        "initrd" => Value("--initrd"),
        "append" => Value("--append"),
        "bios" => Value("--rom"),
        "fw_cfg" => Value("--fw-cfg"),
        "loadvm" => Value("--restore"),
        "D" => Value("--log-file"),
        "snapshot" => Flag("--snapshot"),
        "no-reboot" => Flag("--no-reboot"),
        "h" | "help" => Flag("--help"),
        "version" => Flag("--version"),
        "curses" => Flag("--display=terminal"),
        "nographic" => Note(|spelling| {
            spelling.nographic = true;
            spelling.push("--headless");
        }),
        "s" => Note(|spelling| {
            spelling.gdb = true;
            spelling.push_two("--gdb", "1234");
        }),
        "S" => Note(|spelling| spelling.stopped = true),
        "m" => Read(memory),
        "smp" => Read(processors),
        "cpu" => Read(cpu),
        "boot" => Read(boot),
        "drive" => Read(drive::drive),
        "pflash" => Read(|spelling, _, file| {
            spelling.push(&format!("--uefi={file}"));
            Ok(())
        }),
        "serial" => Read(serial),
        "debugcon" => Read(|spelling, _, value| {
            spelling.push_two("--debugcon", value.strip_prefix("file:").unwrap_or(value));
            Ok(())
        }),
        "display" => Read(display),
        "gdb" => Read(gdb),
        "machine" | "M" => Read(machine),
        "accel" => Read(accel),
        "device" => Read(device),
        "global" => Read(global),
        "monitor" | "parallel" | "net" | "nic" | "vga" => Read(only_none),
        "name" | "uuid" | "k" => NothingOf,
        "nodefaults" | "no-user-config" | "no-fd-bootchk" => Nothing,
        "enable-kvm" => Refused("leave it out: every instruction is emulated"),
        "d" => Refused("give --log debug for what devices and processors tell, --trace FILE for instructions"),
        "singlestep" | "one-insn-per-tb" => Refused("leave it out, or give --trace FILE"),
        "icount" => Refused("give --ips N, instructions a guest second; a run always repeats"),
        "rtc" => Refused("give --seed-time RFC3339; the clock begins at a fixed date otherwise"),
        "no-shutdown" => Refused("leave it out; the screen at the end is --screen-dump FILE's"),
        "daemonize" => Refused("let the shell put it into the background"),
        "usb" | "usbdevice" | "netdev" | "chardev" | "qmp" | "mon" | "virtfs" | "fsdev" | "object" => {
            Refused("leave it out: there is nothing of the kind in this PC")
        }
        "no-acpi" | "no-hpet" | "L" | "readconfig" | "writeconfig" | "sd" | "mtdblock" | "audiodev" | "incoming" => {
            Refused("see rvmx-emu --help for what there is")
        }
        _ => return None,
    })
}

/// `512`, `512M`, `1G`, `size=512M,slots=2`.
fn memory(spelling: &mut Spelling, argument: &str, value: &str) -> Result<(), InputError> {
    let first = value.split(',').next().unwrap_or_default();
    let size = first.strip_prefix("size=").unwrap_or(first);
    let mebibytes = mebibytes(size).map_err(|problem| refuse(argument, &problem, "give it as in --memory 512M"))?;
    spelling.push_two("--memory", &mebibytes.to_string());
    Ok(())
}

/// `4`, `cpus=4`, `4,cores=2,threads=2`, `sockets=1,cores=2,threads=2`.
fn processors(spelling: &mut Spelling, argument: &str, value: &str) -> Result<(), InputError> {
    let bad = || refuse(argument, &format!("{value:?} is no number of processors"), "give it as in --cpus 4");
    let (mut total, mut product) = (None, 1u32);
    for part in value.split(',') {
        let (key, number) = part.split_once('=').unwrap_or(("cpus", part));
        let number: u32 = number.parse().map_err(|_| bad())?;
        match key {
            "cpus" => total = Some(number),
            "sockets" | "dies" | "clusters" | "cores" | "threads" => {
                product = product.checked_mul(number).ok_or_else(bad)?;
            }
            "maxcpus" => {}
            _ => return Err(bad()),
        }
    }
    spelling.push_two("--cpus", &total.unwrap_or(product).to_string());
    Ok(())
}

/// `host`, `Haswell-noTSX,-vmx-vpid`, `max,vmx=on`.
fn cpu(spelling: &mut Spelling, argument: &str, value: &str) -> Result<(), InputError> {
    let mut parts = value.split(',');
    let name = parts.next().unwrap_or_default();
    let ours = |name: &str| CpuModel::names().find(|known| *known == name);
    // QEMU's models have suffixes for versions and for what was found wrong with the real ones.
    let core = name.split(['-', '.']).next().unwrap_or_default().to_ascii_lowercase();
    let model = match core.as_str() {
        "host" => Some("max"),
        "sandybridge" | "ivybridge" => Some("sandy_bridge"),
        "westmere" | "nehalem" => Some("corei5_arrandale_m520"),
        "broadwell" => Some("haswell"),
        "skylake" | "cascadelake" => Some("skylake_sp"),
        "icelake" => Some("ice_lake"),
        "sapphirerapids" => Some("sapphire_rapids"),
        core => ours(name).or_else(|| ours(core)),
    };
    let Some(model) = model else {
        let remedy =
            format!("give --cpu-model {}; rvmx-emu cpu-models lists them", nearest_model(name).unwrap_or("max"));
        return Err(refuse(argument, &format!("the model {name:?} is not here"), remedy));
    };
    let mut spec = model.to_owned();
    for part in parts.filter(|part| !part.starts_with("migratable=")) {
        if part.starts_with("phys-bits=") {
            spec.push_str(&format!(",{part}"));
            continue;
        }
        let (sign, feature) = match (part.split_once('='), part.strip_prefix('-')) {
            (Some((feature, "off")), _) | (None, Some(feature)) => ('-', feature),
            (Some((feature, "on")), _) => ('+', feature),
            (Some(_), _) => {
                let remedy = "give NAME,-feature,+feature as in --cpu-model; rvmx-emu cpu-models NAME lists them";
                return Err(refuse(argument, &format!("{part:?} is no feature to be on or off"), remedy));
            }
            (None, None) => ('+', part.strip_prefix('+').unwrap_or(part)),
        };
        // All models have it.
        if (sign, feature) == ('+', "vmx") {
            continue;
        }
        spec.push_str(&format!(",{sign}{}", feature.strip_prefix("vmx-").unwrap_or(feature)));
    }
    spelling.push_two("--cpu-model", &spec);
    Ok(())
}

/// `d`, `order=dc,menu=on`.
fn boot(spelling: &mut Spelling, argument: &str, value: &str) -> Result<(), InputError> {
    let mut order = Vec::new();
    for part in value.split(',') {
        let letters = match part.split_once('=') {
            None => part,
            Some(("order" | "once", letters)) => letters,
            Some(("menu" | "strict" | "splash" | "splash-time" | "reboot-timeout", _)) => continue,
            Some(_) => "?",
        };
        for letter in letters.chars() {
            order.push(match letter {
                'a' => "floppy",
                'c' => "disk",
                'd' => "cdrom",
                // The network, which is not there.
                'n' => continue,
                _ => {
                    let problem = format!("{value:?} is no boot order");
                    return Err(refuse(argument, &problem, "give --boot disk, floppy or cdrom"));
                }
            });
        }
    }
    if !order.is_empty() {
        spelling.push_two("--boot", &order.join(","));
    }
    Ok(())
}

fn serial(spelling: &mut Spelling, argument: &str, value: &str) -> Result<(), InputError> {
    if std::mem::replace(&mut spelling.serial, true) {
        return Err(refuse(argument, "there is one serial port", "give one --serial"));
    }
    let (kind, rest) = value.split_once(':').unwrap_or((value, ""));
    let (place, flags) = rest.split_once(',').unwrap_or((rest, ""));
    let listens = flags.split(',').any(|flag| matches!(flag, "server" | "server=on"));
    // QEMU leaves the host out for this one.
    let place = place.strip_prefix(':').unwrap_or(place);
    let ours = match (kind, listens) {
        ("none" | "null", _) => "none".to_owned(),
        ("stdio", _) => "stdio".to_owned(),
        ("mon", _) if place == "stdio" => "stdio".to_owned(),
        ("pty", _) => "pty".to_owned(),
        ("file", _) => rest.to_owned(),
        ("tcp" | "unix", true) => format!("{kind}:{place}"),
        ("tcp" | "unix", false) => format!("{kind}-connect:{place}"),
        _ => {
            let remedy = "give --serial stdio, none, pty, tcp:PORT, unix:PATH or a file";
            return Err(refuse(argument, &format!("{value:?} is not offered"), remedy));
        }
    };
    spelling.push_two("--serial", &ours);
    Ok(())
}

fn display(spelling: &mut Spelling, argument: &str, value: &str) -> Result<(), InputError> {
    let kind = match value.split(',').next().unwrap_or_default() {
        "none" => "none",
        "curses" | "terminal" => "terminal",
        "gtk" | "sdl" | "cocoa" | "window" => "window",
        _ => {
            let remedy = "give --display window, terminal or none";
            return Err(refuse(argument, &format!("{value:?} is not offered"), remedy));
        }
    };
    spelling.push_two("--display", kind);
    Ok(())
}

/// `tcp::1234`.
fn gdb(spelling: &mut Spelling, argument: &str, value: &str) -> Result<(), InputError> {
    let address = value.split(',').next().unwrap_or_default();
    let port = address.strip_prefix("tcp:").and_then(|place| place.rsplit_once(':')).map(|(_, port)| port);
    let port = port.filter(|port| port.parse::<u16>().is_ok());
    let port = port.ok_or_else(|| refuse(argument, &format!("{value:?} is not offered"), "give --gdb PORT"))?;
    spelling.gdb = true;
    spelling.push_two("--gdb", port);
    Ok(())
}

fn machine(spelling: &mut Spelling, argument: &str, value: &str) -> Result<(), InputError> {
    for part in value.split(',') {
        match part.split_once('=').unwrap_or(("type", part)) {
            ("type", name) if name == "pc" || name.starts_with("pc-i440fx") => {}
            ("accel", name) => accel(spelling, argument, name)?,
            ("vmport" | "usb" | "smm" | "graphics", _) => {}
            _ => {
                let remedy = "leave it out: the machine is a PC with an i440FX, QEMU's \"pc\"";
                return Err(refuse(argument, &format!("{part:?} is not offered"), remedy));
            }
        }
    }
    Ok(())
}

fn accel(_spelling: &mut Spelling, argument: &str, value: &str) -> Result<(), InputError> {
    match value.split([',', ':']).next() {
        Some("tcg") => Ok(()),
        _ => Err(refuse(argument, &format!("{value:?} is not offered"), "leave it out: every instruction is emulated")),
    }
}

fn device(spelling: &mut Spelling, argument: &str, value: &str) -> Result<(), InputError> {
    let mut parts = value.split(',');
    match parts.next() {
        Some("isa-debug-exit") => {
            let port = parts.find_map(|part| part.strip_prefix("iobase="));
            spelling.push_two("--debug-exit", port.unwrap_or("0x501"));
            Ok(())
        }
        Some("pc-testdev" | "pci-testdev") => {
            if !spelling.out.iter().any(|argument| argument == "--test-devices") {
                spelling.push("--test-devices");
            }
            Ok(())
        }
        Some("isa-debugcon") => Err(refuse(argument, "port E9h is always there", "give --debugcon stdio or a file")),
        name => {
            let problem = format!("the device {:?} is not offered", name.unwrap_or_default());
            Err(refuse(argument, &problem, "drives are --hda, --cdrom and --fda; leave the rest out"))
        }
    }
}

/// OVMF's usual `isa-debugcon.iobase=0x402`.
fn global(_spelling: &mut Spelling, argument: &str, value: &str) -> Result<(), InputError> {
    match value {
        "isa-debugcon.iobase=0x402" | "isa-debugcon.iobase=0xe9" => Ok(()),
        _ => Err(refuse(argument, &format!("{value:?} is not offered"), "leave it out")),
    }
}

/// Devices that are not there may be left out; the display adapter is always QEMU's standard one.
fn only_none(_spelling: &mut Spelling, argument: &str, value: &str) -> Result<(), InputError> {
    match value {
        "none" | "null" => Ok(()),
        "std" if argument.ends_with("vga") => Ok(()),
        _ => Err(refuse(argument, &format!("{value:?} is not offered"), "leave it out")),
    }
}
