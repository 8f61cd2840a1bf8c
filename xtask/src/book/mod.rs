//! `cargo xtask book DIR`: the examples of 《处理器虚拟化技术》, each from disk and from floppy, against the screens they
//! must show. DIR is the folder of the book's package: `chapNN/exN-M/` with `c.img`, `demo.img` and `bs`.

mod machine;
mod screens;

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
    /// Only from the disk or only from the floppy
    #[arg(long, value_name = "IMAGE", value_parser = ["disk", "floppy"])]
    image: Option<String>,
    /// Logical processors; other than 4: the first screen of ex1-1 and ex1-2
    #[arg(long, value_name = "N", default_value_t = 4)]
    cpus: u32,
    /// BIOS: bochs, seabios (as Debian's packages bochsbios, vgabios and seabios install them) or a file [default: ours]
    #[arg(long, value_name = "ROM")]
    rom: Option<String>,
    /// VGA BIOS file [default: the one that goes with --rom]
    #[arg(long, value_name = "FILE")]
    vga_rom: Option<PathBuf>,
    /// Run each example's own, unaltered `bs` in a copy of its folder, with --cpus added
    #[arg(long)]
    bs: bool,
    /// Cycles a processor runs before the next one's turn [default: the machine's]
    #[arg(long, value_name = "N")]
    quantum: Option<u64>,
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

/// What a row of the table says.
struct Row {
    example: &'static str,
    image: &'static str,
    cpus: u32,
    result: &'static str,
    difference: String,
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
    if let Some(name) = args.only.iter().find(|name| !screens::EXAMPLES.iter().any(|(known, _)| known == name)) {
        return Err(Error::Missing(name.clone(), "examples are called ex1-1 to ex7-5"));
    }
    let options = machine_options(args)?;
    // Everything must be there before anything runs.
    let mut jobs = Vec::new();
    for (example, text) in screens::EXAMPLES {
        if !args.only.is_empty() && !args.only.iter().any(|name| name == example) {
            continue;
        }
        let steps = screens::parse(text).map_err(|error| Error::Screens(example, error))?;
        let folder = folder_of(&args.dir, example)?;
        let images: &[(&'static str, &'static str)] =
            if args.bs { &[("bs", "bs")] } else { &[("disk", "c.img"), ("floppy", "demo.img")] };
        for (image, file) in images {
            if args.image.as_deref().is_none_or(|only| only == *image) {
                jobs.push((example, steps.clone(), *image, existing(&folder, file)?));
            }
        }
    }
    println!("{:8} {:7} {:>4} {:10} first difference", "example", "image", "cpus", "result");
    let mut all_same = true;
    for (example, steps, image, file) in jobs {
        let Some(steps) = machine::steps_for(example, &steps, args.cpus) else { continue };
        let row = match run_image(args, &options, image, &file, &steps)? {
            Outcome::Same(_) => Row { example, image, cpus: args.cpus, result: "same", difference: String::new() },
            Outcome::Different { step, key, what, screen } => {
                all_same = false;
                let difference = format!("step {step} ({key}) {what}");
                if args.screens {
                    let lines = screen.iter().filter(|line| !line.is_empty());
                    lines.for_each(|line| println!("    | {line}"));
                }
                Row { example, image, cpus: args.cpus, result: "differs", difference }
            }
        };
        println!("{:8} {:7} {:>4} {:10} {}", row.example, row.image, row.cpus, row.result, row.difference);
    }
    Ok(all_same)
}

/// The options that all images are run with.
fn machine_options(args: &Args) -> Result<Vec<String>, Error> {
    let mut options = vec!["--cpus".to_owned(), args.cpus.to_string()];
    if let Some(quantum) = args.quantum {
        options.extend(["--quantum".to_owned(), quantum.to_string()]);
    }
    let named = args.rom.as_deref().map(|rom| {
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
