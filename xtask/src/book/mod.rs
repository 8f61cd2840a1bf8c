//! `cargo xtask book DIR`: the examples of 《处理器虚拟化技术》, each from disk, from floppy and by its own `bs`, against the
//! screens they must show. DIR is the folder of the book's package: `chapNN/exN-M/` with `c.img`, `demo.img` and `bs`.

mod machine;
mod records;
pub mod screens;

use machine::Outcome;
use rvmx_emu::config::Stream;
use std::path::{Path, PathBuf};

/// The options of `cargo xtask book`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder of the book's package (with chap01 to chap07)
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Only this example, such as ex1-1; may be given several times
    #[arg(long, value_name = "EXAMPLE")]
    only: Vec<String>,
    /// Only from the disk, only from the floppy, or only by the example's own, unaltered `bs` in a copy of its folder
    #[arg(long, value_name = "IMAGE", value_parser = ["disk", "floppy", "bs"])]
    image: Option<String>,
    /// Logical processors: 4, 2 (the guests of ex6-1 and on run on CPU0) or 1 (ex1-1, ex1-2, ex2-1)
    #[arg(long, value_name = "N", default_value_t = 4)]
    cpus: u32,
    /// BIOS: bochs, seabios (as Debian's packages bochsbios, vgabios and seabios install them) or a file [default: ours]
    #[arg(long, value_name = "ROM")]
    rom: Option<String>,
    /// VGA BIOS file [default: the one that goes with --rom]
    #[arg(long, value_name = "FILE")]
    vga_rom: Option<PathBuf>,
    /// All tables: 4, 2 and 1 processors; ex1-1, ex1-2 and ex2-1 with --rom bochs and --rom seabios
    #[arg(long, conflicts_with_all = ["only", "cpus", "rom", "vga_rom"])]
    all: bool,
    /// Cycles a processor runs before the next one's turn [default: the machine's]
    #[arg(long, value_name = "N")]
    quantum: Option<u64>,
    /// Compile what has run N times [default: as the emulator does by itself]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    jit: Option<u32>,
    /// What a cycle is: ips, or model [default: the machine's]
    #[arg(long, value_name = "CLOCK")]
    clock: Option<String>,
    /// Print the screen of each image that differs
    #[arg(long)]
    screens: bool,
    /// Port E9h of every image goes to this file, the last one's stays
    #[arg(long, value_name = "FILE")]
    debugcon: Option<PathBuf>,
}

/// BIOSes by name, each with its VGA BIOS, where Debian's packages have them.
const ROMS: [(&str, &str, &str); 2] = [
    ("bochs", "/usr/share/bochs/BIOS-bochs-latest", "/usr/share/vgabios/vgabios.bin"),
    ("seabios", "/usr/share/seabios/bios.bin", "/usr/share/seabios/vgabios-stdvga.bin"),
];

/// The examples that --all boots by those.
const FOREIGN_BIOS: [&str; 3] = ["ex1-1", "ex1-2", "ex2-1"];

/// A run that could not be made; the exit status is 2.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("{0}: not found; {1}")]
    Missing(String, &'static str),
    #[error("{0}")]
    Input(#[from] rvmx_emu::error::InputError),
    #[error("{0}: {1}")]
    Host(String, std::io::Error),
    #[error("book-screens/{0}.txt: {1}")]
    Screens(&'static str, String),
}

/// Runs the command; the exit status: 0 all the same, 1 something differs, 2 it could not be run.
pub fn main(args: &Args) -> i32 {
    match run(args) {
        Ok(true) => 0,
        Ok(false) => 1,
        Err(error) => {
            eprintln!("book: {error}");
            2
        }
    }
}

fn run(args: &Args) -> Result<bool, Error> {
    let only: Vec<&str> = args.only.iter().map(String::as_str).collect();
    if !args.all {
        return table(args, &only, args.cpus, args.rom.as_deref());
    }
    let mut all_same = true;
    for (cpus, _) in screens::BY_PROCESSORS {
        println!("{cpus} processors, own BIOS");
        all_same &= table(args, &[], cpus, None)?;
    }
    for (rom, ..) in ROMS {
        println!("4 processors, --rom {rom}");
        all_same &= table(args, &FOREIGN_BIOS, 4, Some(rom))?;
    }
    Ok(all_same)
}

/// Runs the examples in `only`, or all, and prints a row for each image.
fn table(args: &Args, only: &[&str], cpus: u32, rom: Option<&str>) -> Result<bool, Error> {
    let Some((_, examples)) = screens::BY_PROCESSORS.iter().find(|(n, _)| *n == cpus) else {
        return Err(Error::Missing(format!("screens of {cpus} processors"), "give --cpus 4, 2 or 1"));
    };
    if let Some(name) = only.iter().find(|name| !examples.iter().any(|(known, _)| known == *name)) {
        return Err(Error::Missing(
            (*name).to_owned(),
            "examples are called ex1-1 to ex7-5; fewer run on fewer processors",
        ));
    }
    let options = machine_options(args, cpus, rom)?;
    // Everything must be there before anything runs.
    let mut jobs = Vec::new();
    for (example, text) in examples.iter().filter(|(example, _)| only.is_empty() || only.contains(example)) {
        let steps = screens::parse(text).map_err(|error| Error::Screens(example, error))?;
        let folder = folder_of(&args.dir, example)?;
        for (image, file) in [("disk", "c.img"), ("floppy", "demo.img"), ("bs", "bs")] {
            if args.image.as_deref().is_none_or(|only| only == image) {
                let steps = if image == "floppy" { screens::from_floppy(steps.clone()) } else { steps.clone() };
                jobs.push((*example, image, steps, existing(&folder, file)?));
            }
        }
    }
    println!("{:8} {:7} {:>4} {:>5} {:10} first difference", "example", "image", "cpus", "steps", "result");
    let (mut same, all) = (0, jobs.len());
    for (example, image, steps, file) in jobs {
        let (result, difference, screen) = match run_image(args, &options, image, &file, &steps)? {
            Outcome::Same(_) => {
                same += 1;
                ("same", String::new(), Vec::new())
            }
            Outcome::Different { step, key, what, screen } => {
                ("differs", format!("step {step} ({key}) {what}"), screen)
            }
        };
        if args.screens {
            let lines = screen.iter().filter(|line| !line.is_empty());
            lines.for_each(|line| println!("    | {line}"));
        }
        println!("{example:8} {image:7} {cpus:>4} {:>5} {result:10} {difference}", steps.len());
    }
    println!("{same} of {all}");
    Ok(same == all)
}

/// The options that all images are run with.
fn machine_options(args: &Args, cpus: u32, rom: Option<&str>) -> Result<Vec<String>, Error> {
    let mut options = vec!["--cpus".to_owned(), cpus.to_string()];
    if let Some(quantum) = args.quantum {
        options.extend(["--quantum".to_owned(), quantum.to_string()]);
    }
    if let Some(clock) = &args.clock {
        options.extend(["--clock".to_owned(), clock.clone()]);
    }
    if let Some(threshold) = args.jit {
        options.push(format!("--jit={threshold}"));
    }
    let named = rom.map(|rom| {
        ROMS.iter().find(|(name, ..)| *name == rom).map_or((rom, None), |(_, bios, vga)| (*bios, Some(*vga)))
    });
    let vga = args.vga_rom.as_ref().map(|path| path.display().to_string());
    let vga = vga.or_else(|| named.and_then(|(_, vga)| vga.map(str::to_owned)));
    for (option, file) in [("--rom", named.map(|(bios, _)| bios.to_owned())), ("--vga-rom", vga)] {
        let Some(file) = file else { continue };
        if !Path::new(&file).is_file() {
            return Err(Error::Missing(file, "give the ROM's file, or install the package it is in"));
        }
        options.extend([option.to_owned(), file]);
    }
    Ok(options)
}

fn run_image(
    args: &Args,
    options: &[String],
    image: &str,
    file: &Path,
    steps: &[screens::Step],
) -> Result<Outcome, Error> {
    let debug = args.debugcon.clone().map_or(Stream::None, Stream::File);
    let mut options = options.to_vec();
    if image != "bs" {
        options.push(file.display().to_string());
        return Ok(machine::run(&machine::settings(&options)?, steps, &debug)?);
    }
    let copy = Copy::of(file.parent().unwrap_or(Path::new(".")))?;
    options.extend(["-f".to_owned(), copy.0.join("bs").display().to_string()]);
    Ok(machine::run(&machine::settings(&options)?, steps, &debug)?)
}

/// The folder of `ex1-1` is `chap01/ex1-1`.
fn folder_of(dir: &Path, example: &str) -> Result<PathBuf, Error> {
    let chapter = example.trim_start_matches("ex").split('-').next().unwrap_or_default();
    let folder = dir.join(format!("chap{chapter:0>2}")).join(example);
    if folder.is_dir() {
        Ok(folder)
    } else {
        Err(Error::Missing(
            folder.display().to_string(),
            "give the folder of the book's package, with chap01 to chap07",
        ))
    }
}

fn existing(folder: &Path, file: &str) -> Result<PathBuf, Error> {
    let path = folder.join(file);
    if path.is_file() {
        Ok(path)
    } else {
        Err(Error::Missing(path.display().to_string(), "the book's package has it in every example's folder"))
    }
}

/// A copy of an example's folder among the temporary files, removed when dropped.
struct Copy(PathBuf);

impl Copy {
    fn of(folder: &Path) -> Result<Self, Error> {
        let error = |path: &Path, error| Error::Host(path.display().to_string(), error);
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let copy = std::env::temp_dir().join(format!("rvmx-book-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&copy).map_err(|e| error(&copy, e))?;
        let copy = Self(copy);
        for entry in std::fs::read_dir(folder).map_err(|e| error(folder, e))? {
            let path = entry.map_err(|e| error(folder, e))?.path();
            if let (true, Some(name)) = (path.is_file(), path.file_name()) {
                std::fs::copy(&path, copy.0.join(name)).map_err(|e| error(&path, e))?;
            }
        }
        Ok(copy)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // Nobody can be told; a leftover among temporary files does no harm.
        drop(std::fs::remove_dir_all(&self.0));
    }
}
