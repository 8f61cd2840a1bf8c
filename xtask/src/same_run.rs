//! What the commands share that compare a run with the same run made otherwise.

use emu_core::cycles::parts::Parts;
use emu_devices::disk::{DiskImage, ImageError};
use emu_devices::pc::{Pc, PcBuilder};
use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::Rng;
use test_images::{Kind, TestImage};

/// Nothing in test-images is called so.
#[derive(Debug, thiserror::Error)]
#[error("there is no test image {0:?}; see test-images/images")]
pub struct UnknownImage(String);

/// The test image of that name.
pub fn image(name: &str) -> Result<&'static TestImage, UnknownImage> {
    TestImage::find(name).ok_or_else(|| UnknownImage(name.to_owned()))
}

/// A machine with a test image in the drive that it is for.
pub fn with_image(builder: PcBuilder, image: &TestImage) -> Result<PcBuilder, ImageError> {
    let medium = DiskImage::from_bytes(image.name, image.bytes.to_vec())?;
    Ok(match image.kind {
        Kind::Disk => builder.hard_disk(medium),
        Kind::Floppy => builder.floppy(medium),
    })
}

/// The parts of the model's clock as `--model-clock` has them. The problem as an error.
pub fn parts(text: &str) -> Result<Parts, String> {
    let mut parts = Parts::NONE;
    for word in text.split(',').filter(|word| !word.is_empty()) {
        match word {
            "caches" => parts.caches = true,
            "branches" => parts.branches = true,
            _ => {
                return Err(format!(
                    "{word:?} is nothing that the clock counts; give caches, branches or caches,branches"
                ));
            }
        }
    }
    Ok(parts)
}

/// A machine whose clock is the model's, with these parts, or counts instructions.
pub fn with_clock(builder: PcBuilder, model_clock: Option<Parts>) -> PcBuilder {
    match model_clock {
        Some(parts) => builder.model_clock_with(parts),
        None => builder,
    }
}

/// Instructions and state. The clock is only what the last run came to, and a step may come to a little more.
pub type Outcome = (u64, u64);

/// What a machine has come to.
pub fn outcome(pc: &Pc) -> Outcome {
    (pc.instructions(), pc.state_hash())
}

/// 1 to `most`, every magnitude as likely as another.
pub fn length(random: &mut SplitMix64, most: u64) -> u64 {
    let magnitude = random.next_u64() % (64 - u64::from(most.leading_zeros()));
    (1 + random.next_u64() % (2 << magnitude)).min(most)
}
