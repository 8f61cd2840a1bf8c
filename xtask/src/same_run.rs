//! What the commands share that compare a run with the same run made otherwise.

use emu_devices::pc::Pc;
use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::Rng;
use test_images::TestImage;

/// Nothing in test-images is called so.
#[derive(Debug, thiserror::Error)]
#[error("there is no test image {0:?}; see test-images/images")]
pub struct UnknownImage(String);

/// The test image of that name.
pub fn image(name: &str) -> Result<&'static TestImage, UnknownImage> {
    TestImage::find(name).ok_or_else(|| UnknownImage(name.to_owned()))
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
