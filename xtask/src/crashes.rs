//! `cargo xtask crashes`: kills the emulator at random points while its guest writes to a disk and flushes. What the guest
//! was told to be on the disk is there, no sector is half written, and the image keeps its length.

use crate::child::{Folder, emulator};
use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use std::io::Read;
use std::process::Stdio;
use std::time::Duration;
use test_images::WRITER;

/// Sectors that the guest writes, and some that it does not; the last is a partial one.
const SECTORS: usize = 2000;
const LENGTH: usize = 2048 * 512 + 300;

/// Options.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How many points
    #[arg(long, default_value_t = 200)]
    points: u32,
    /// Seed of the points
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// What was found wrong at all points.
#[derive(Debug, Default)]
struct Found {
    told: usize,
    lost: usize,
    torn: usize,
    lengths: usize,
}

/// Runs the command; the exit status.
pub fn main(args: &Args) -> i32 {
    match crashes(args) {
        Ok(Found { told, lost, torn, lengths }) => {
            println!(
                "{} kills, {told} writes that were told to be flushed: {lost} lost, {torn} torn, {lengths} images of another length",
                args.points
            );
            i32::from(told == 0 || lost + torn + lengths != 0)
        }
        Err(error) => {
            eprintln!("crashes: {error}");
            2
        }
    }
}

fn crashes(args: &Args) -> std::io::Result<Found> {
    let folder = Folder::new("crashes")?;
    let rom = folder.file("writer.rom", WRITER)?;
    let mut random = SplitMix64::seed_from_u64(args.seed);
    let mut found = Found::default();
    for _ in 0..args.points {
        let disk = folder.file("disk.img", &vec![0; LENGTH])?;
        let mut command = emulator()?;
        command.args(["--headless", "--memory", "16", "--rom"]).arg(&rom).arg("--hda").arg(&disk);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let mut output = child.stdout.take();
        let told = std::thread::spawn(move || {
            let mut told = Vec::new();
            // It ends with the process.
            let read = output.as_mut().map(|output| output.read_to_end(&mut told));
            read.transpose().map(|_| told)
        });
        std::thread::sleep(Duration::from_micros(20_000 + random.next_u64() % 600_000));
        child.kill()?;
        child.wait()?;
        let told = told.join().map_err(|_| std::io::Error::other("the reader has panicked"))??;
        judge(&told, &std::fs::read(&disk)?, &mut found);
    }
    Ok(found)
}

/// Compares what was told with what is on the disk.
fn judge(told: &[u8], disk: &[u8], found: &mut Found) {
    found.lengths += usize::from(disk.len() != LENGTH);
    let number = |bytes: &[u8]| bytes.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
    let mut last = vec![0; SECTORS];
    for value in told.chunks_exact(4).map(number) {
        if let Some(place) = last.get_mut(value as usize & 0xFFFF) {
            *place = value;
            found.told += 1;
        }
    }
    for (n, (sector, last)) in disk.chunks(512).zip(last).enumerate() {
        let value = number(sector);
        let whole = sector.chunks_exact(4).all(|bytes| number(bytes) == value);
        found.torn += usize::from(!whole || value != 0 && value as usize & 0xFFFF != n);
        found.lost += usize::from(value < last);
    }
}
