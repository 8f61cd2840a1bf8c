//! A Linux kernel for GDB: run to its first process, with its symbols in an ELF file.
//!
//! A distribution's kernel comes without symbols, but tells them itself: the first process prints `/proc/kallsyms`.

use crate::child::Folder;
use crate::linux::initrd;
use object::write::{Object, Symbol, SymbolSection};
use object::{Architecture, BinaryFormat, Endianness, SectionKind, SymbolFlags, SymbolKind, SymbolScope};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the first process does: a character that nobody else prints, then symbols, then files that are read.
const INIT: &str = "\
#!/bin/busybox sh
export PATH=/bin
busybox mkdir -p /proc
busybox mount -t proc proc /proc
busybox echo '~'
busybox grep -E ' [TtDdBb] (_text|_etext|_sdata|kernel_init|schedule|panic|do_idle|jiffies_64|vfs_[a-z]+|ksys_[a-z]+)$' /proc/kallsyms
busybox echo 'SYMBOLS end'
busybox poweroff -f
";
/// A write of it is where GDB comes.
const MARK: &str = "b io 0x3f8 w if value == 0x7e; c; d all";

/// A kernel at its first process.
pub struct Kernel {
    /// The options of the machine.
    pub machine: Vec<String>,
    /// A snapshot of it.
    pub snapshot: PathBuf,
    /// GDB's command that reads the symbols.
    pub symbols: String,
}

/// Runs a kernel to its first process, and on to its end to see its symbols.
pub fn prepare(program: &Path, kernel: &Path, busybox: &Path, folder: &Folder) -> Result<Kernel, String> {
    let problem = |path: &Path| {
        let path = path.display().to_string();
        move |error: std::io::Error| format!("{path}: {error}")
    };
    let tools = std::fs::read(busybox).map_err(problem(busybox))?;
    let initrd = folder.file("initrd", &initrd::build(&tools, INIT)).map_err(|error| error.to_string())?;
    let (snapshot, serial) = (folder.path("kernel.snapshot"), folder.path("serial"));
    let machine: Vec<String> = ["--cpus", "4", "--cpu-model", "max", "--append", "console=ttyS0 nokaslr quiet"]
        .into_iter()
        .map(str::to_owned)
        .chain(["--kernel".to_owned(), kernel.display().to_string()])
        .chain(["--initrd".to_owned(), initrd.display().to_string()])
        .collect();
    let commands = format!("{MARK}; save {}", snapshot.display());
    let run = |command: &mut Command| {
        let output = command.output().map_err(problem(program))?;
        let text = [output.stdout, output.stderr].concat();
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&text).into_owned()) }
    };
    run(Command::new(program).arg("debug").args(&machine).args(["--max-time", "600", "-c", &commands]))?;
    run(Command::new(program)
        .args(["--headless", "--debugcon", "none", "--max-time", "600", "--serial"])
        .arg(&serial)
        .args(&machine)
        .arg("--restore")
        .arg(&snapshot))?;
    let text = std::fs::read(&serial).map_err(problem(&serial))?;
    let symbols = symbols(&String::from_utf8_lossy(&text));
    let (file, sections) = elf(&symbols)?;
    let path = folder.file("symbols.o", &file).map_err(|error| error.to_string())?;
    Ok(Kernel { machine, snapshot, symbols: format!("add-symbol-file {} {sections}", path.display()) })
}

/// A symbol: its name, its address, and whether it is code.
type Found = (String, u64, bool);

/// The lines of kallsyms among a kernel's output.
fn symbols(text: &str) -> Vec<Found> {
    let line = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [address, kind, name] = words[..] else { return None };
        let address = u64::from_str_radix(address, 16).ok().filter(|address| *address != 0)?;
        (kind.len() == 1).then(|| (name.to_owned(), address, kind.eq_ignore_ascii_case("t")))
    };
    text.lines().filter_map(line).collect()
}

/// An object file with nothing but symbols, and what tells GDB where its sections are.
fn elf(symbols: &[Found]) -> Result<(Vec<u8>, String), String> {
    let mut object = Object::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
    let mut sections = String::new();
    for (name, code) in [(".text", true), (".data", false)] {
        let own = || symbols.iter().filter(move |symbol| symbol.2 == code);
        let (first, last) = (own().map(|symbol| symbol.1).min(), own().map(|symbol| symbol.1).max());
        let (Some(first), Some(last)) = (first, last) else {
            return Err(format!("the kernel tells no symbols of {name}"));
        };
        let section = object.add_section(Vec::new(), name.into(), SectionKind::UninitializedData);
        object.append_section_bss(section, last - first + 0x1000, 0x1000);
        // GDB takes breakpoints only in sections with code.
        if code {
            object.section_mut(section).flags = object::SectionFlags::Elf { sh_flags: 6 };
        }
        for (name, address, _) in own() {
            object.add_symbol(Symbol {
                name: name.clone().into_bytes(),
                value: address - first,
                size: 0,
                kind: if code { SymbolKind::Text } else { SymbolKind::Data },
                scope: SymbolScope::Linkage,
                weak: false,
                section: SymbolSection::Section(section),
                flags: SymbolFlags::None,
            });
        }
        sections += &format!("-s {name} {first:#x} ");
    }
    Ok((object.write().map_err(|error| error.to_string())?, sections))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_are_the_lines_of_kallsyms() {
        let text = "~\r\nffffffff81000000 T _text\r\n0 D none\r\n[ 1.0] a T b c\r\nffffffff82000000 d data\r\n";
        let found = symbols(text);
        assert_eq!(
            found,
            [("_text".into(), 0xffff_ffff_8100_0000, true), ("data".into(), 0xffff_ffff_8200_0000, false)]
        );
        let (file, sections) = elf(&found).unwrap();
        assert!(file.starts_with(b"\x7fELF"));
        assert_eq!(sections, "-s .text 0xffffffff81000000 -s .data 0xffffffff82000000 ");
        assert!(elf(&found[..1]).is_err());
    }
}
