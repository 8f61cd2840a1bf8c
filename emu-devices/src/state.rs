//! Whole state: what a device, and the board, put away for a snapshot and take back.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The last cycle that a state may speak of: far beyond any run, and far from where arithmetic on times would wrap.
pub const LAST_CYCLE: u64 = 1 << 60;

/// Why a state cannot be put away or taken back.
#[derive(Debug, Error)]
pub enum StateError {
    /// A value that no machine could have left there.
    #[error("the state of the {device} is damaged: {what}; take the snapshot again")]
    Damaged {
        /// Whose state.
        device: &'static str,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The state is another machine's.
    #[error(
        "the snapshot is of a machine with {saved}, and this one has {here}; give the configuration of the snapshot"
    )]
    OtherMachine {
        /// What that machine had.
        saved: String,
        /// What this one has.
        here: String,
    },
    /// A drive held a medium that is not at hand.
    #[error("the snapshot had {saved} in the {drive}, and {here} is there now; give that image with the same contents")]
    OtherMedium {
        /// The drive.
        drive: String,
        /// Name, size and fingerprint of the medium of the snapshot.
        saved: String,
        /// The same of what is in the drive now.
        here: String,
        /// Whether it can be put there by being at hand: the drive's medium can be changed.
        removable: bool,
    },
    /// The host cannot read an image through, which its fingerprint needs.
    #[error("{image}: cannot read the image for its fingerprint: {source}")]
    Unreadable {
        /// The image.
        image: String,
        /// The host's reason.
        source: std::io::Error,
    },
    /// Processors or memory could not have left it so.
    #[error(transparent)]
    Core(#[from] emu_core::state::DamagedState),
    /// A snapshot could not be written to where it was to go.
    #[error("the snapshot cannot be written: {0}")]
    Write(std::io::Error),
    /// A state could not be encoded.
    #[error("the state cannot be encoded: {0}; a defect of this program")]
    Encoding(#[from] postcard::Error),
}

/// Something whose whole state can be put away and taken back.
///
/// `save` takes its struct apart field by field, so that a field cannot be forgotten: wires, configuration and files of
/// the host are left out there by name. A saved state and the calls that follow decide everything a guest can notice.
pub trait Stateful {
    /// What is put away.
    type Saved: Serialize + DeserializeOwned;
    /// What it is called where it may be missing.
    const NAME: &'static str = "test devices";

    /// The state now.
    fn save(&self) -> Self::Saved;

    /// Takes a state back, of a device of the same configuration. An error leaves the device as it was.
    fn restore(&mut self, saved: Self::Saved) -> Result<(), StateError>;

    /// The part that a guest can notice, now or later: without output that only the host still has to take.
    fn guest(&self) -> impl Serialize {
        self.save()
    }
}

/// A device that may be missing.
impl<D: Stateful> Stateful for Option<D> {
    type Saved = Option<D::Saved>;

    fn save(&self) -> Self::Saved {
        self.as_ref().map(D::save)
    }

    fn restore(&mut self, saved: Self::Saved) -> Result<(), StateError> {
        match (self, saved) {
            (Some(device), Some(saved)) => device.restore(saved),
            (None, None) => Ok(()),
            (here, _) => {
                let text = |there: bool| format!("{} {}", if there { "the" } else { "no" }, D::NAME);
                Err(StateError::OtherMachine { saved: text(here.is_none()), here: text(here.is_some()) })
            }
        }
    }

    fn guest(&self) -> impl Serialize {
        self.as_ref().map(D::guest)
    }
}

/// `Err` of the device and what is wrong, unless `good`.
pub(crate) fn check(good: bool, device: &'static str, what: &'static str) -> Result<(), StateError> {
    if good { Ok(()) } else { Err(StateError::Damaged { device, what }) }
}

/// Bytes of a page of [`SparseBytes`].
const PAGE: usize = 4096;

/// Many bytes, most of them 0: only pages that hold something else are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SparseBytes {
    length: usize,
    /// Page number and its bytes; the last page may be shorter.
    pages: Vec<(usize, serde_bytes::ByteBuf)>,
}

impl SparseBytes {
    /// Takes `bytes` in.
    pub fn of(bytes: &[u8]) -> Self {
        let pages = bytes.chunks(PAGE).enumerate();
        // Without an early end this takes a few host instructions for 16 bytes.
        let pages = pages.filter(|(_, page)| page.iter().fold(0, |all, byte| all | byte) != 0);
        Self {
            length: bytes.len(),
            pages: pages.map(|(number, page)| (number, serde_bytes::ByteBuf::from(page.to_vec()))).collect(),
        }
    }

    /// The bytes again; `None` if they are not `length`, or a page does not lie in them.
    pub fn bytes(&self, length: usize) -> Option<Vec<u8>> {
        if self.length != length {
            return None;
        }
        let mut bytes = vec![0; length];
        for (number, page) in &self.pages {
            let start = number.checked_mul(PAGE)?;
            bytes.get_mut(start..start.checked_add(page.len())?)?.copy_from_slice(page);
        }
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sparse_bytes_of_any_length_come_back_and_zeros_take_no_room() {
        let mut bytes = vec![0; 3 * 4096 + 100];
        assert!(SparseBytes::of(&bytes).pages.is_empty());
        (bytes[5000], bytes[3 * 4096 + 99]) = (1, 2);
        let sparse = SparseBytes::of(&bytes);
        assert_eq!(sparse.pages.len(), 2);
        assert_eq!(sparse.bytes(1), None);
        assert_eq!(sparse.bytes(bytes.len()), Some(bytes));
    }

    #[test]
    fn sparse_bytes_with_a_page_outside_are_damaged() {
        let pages = vec![(usize::MAX, serde_bytes::ByteBuf::from(vec![1]))];
        assert_eq!(SparseBytes { length: 4096, pages }.bytes(4096), None);
        let pages = vec![(1, serde_bytes::ByteBuf::from(vec![1]))];
        assert_eq!(SparseBytes { length: 4096, pages }.bytes(4096), None);
    }
}
