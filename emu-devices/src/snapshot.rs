//! Snapshots of a whole PC: kept in memory, where those of one machine share the pages that did not change between
//! them, or written to a stream.

use crate::board::BoardState;
use crate::pc::Turn;
use crate::state::StateError;
use emu_core::bus::ApicMessage;
use emu_core::mem::image::MemoryImage;
use emu_core::mem::ram::PAGE;
use emu_core::snapshot::CoreState;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};

/// What two machines must have in common for one to take the other's snapshot. Devices and media say so themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configuration {
    /// Logical processors.
    pub processors: u32,
    /// Name of their model.
    pub model: String,
    /// Hash of what the model is.
    pub model_hash: u64,
    /// RAM, bytes.
    pub memory: u64,
    /// Cycles in a turn.
    pub quantum: u64,
    /// What the clock counts.
    pub clock: String,
    /// Hash of all ROMs.
    pub rom_hash: u64,
    /// MSRs that the model does not have are ignored.
    pub ignores_bad_msrs: bool,
}

impl Configuration {
    /// `Err` of the first thing in which a machine of a snapshot differs from this one.
    pub fn check(&self, saved: &Self) -> Result<(), StateError> {
        let of = |this: &Self| {
            [
                format!("{} processors", this.processors),
                format!("the CPU model {}", this.model),
                format!("a CPU model {} with the hash {:016x}", this.model, this.model_hash),
                format!("{} KiB of memory", this.memory >> 10),
                format!("turns of {} cycles", this.quantum),
                format!("the clock {}", this.clock),
                format!("ROMs with the hash {:016x}", this.rom_hash),
                format!("{} for MSRs that do not exist", if this.ignores_bad_msrs { "no exception" } else { "#GP" }),
            ]
        };
        match of(saved).into_iter().zip(of(self)).find(|(saved, here)| saved != here) {
            Some((saved, here)) => Err(StateError::OtherMachine { saved, here }),
            None => Ok(()),
        }
    }
}

/// Everything but memory.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PcState {
    pub(crate) core: CoreState,
    pub(crate) board: BoardState,
    pub(crate) outbox: Vec<ApicMessage>,
    pub(crate) now: u64,
    pub(crate) reached: u64,
    pub(crate) turn: Option<Turn>,
    pub(crate) intr: bool,
}

/// A PC at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub(crate) configuration: Configuration,
    pub(crate) state: PcState,
    pub(crate) memory: MemoryImage,
}

/// Why a snapshot cannot be read from a stream.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The stream failed or ended too early.
    #[error("the snapshot cannot be read: {0}")]
    Io(#[from] io::Error),
    /// What the stream holds is no snapshot.
    #[error("the snapshot is damaged: {0}; take it again")]
    Damaged(&'static str),
    /// It is of another machine, or its state is damaged.
    #[error(transparent)]
    State(#[from] StateError),
}

/// Longest encoded configuration, bytes.
const MAX_CONFIGURATION: u64 = 1 << 16;
/// Longest encoded state, bytes; what the guest wrote to disks in snapshot mode is most of a large one.
const MAX_STATE: u64 = 1 << 32;
/// Follows the last page.
const NO_PAGE: u32 = u32::MAX;

impl Snapshot {
    /// The machine that it is of.
    pub fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    /// Contents of RAM.
    pub fn memory(&self) -> &MemoryImage {
        &self.memory
    }

    /// Writes everything; pages that are all zero are left out.
    pub fn write(&self, to: &mut impl Write) -> Result<(), StateError> {
        let Self { configuration, state, memory } = self;
        put(to, configuration)?;
        put(to, state)?;
        for (number, page) in memory.pages() {
            to.write_all(&number.to_le_bytes()).map_err(StateError::Write)?;
            to.write_all(page).map_err(StateError::Write)?;
        }
        to.write_all(&NO_PAGE.to_le_bytes()).map_err(StateError::Write)
    }

    /// Reads what [`Snapshot::write`] has written, up to the end of the stream, for a machine of configuration `here`.
    pub fn read(from: &mut impl Read, here: &Configuration) -> Result<Self, ReadError> {
        let configuration: Configuration = get(from, MAX_CONFIGURATION)?;
        here.check(&configuration)?;
        let state = get(from, MAX_STATE)?;
        let mut memory = MemoryImage::zero(configuration.memory);
        let mut page = [0; PAGE as usize];
        let mut next = 0;
        loop {
            let mut number = [0; 4];
            from.read_exact(&mut number)?;
            let number = u32::from_le_bytes(number);
            if number == NO_PAGE {
                break;
            }
            from.read_exact(&mut page)?;
            if number < next || !memory.set_page(number, &page) {
                return Err(ReadError::Damaged("its pages of memory are out of range or out of order"));
            }
            next = number + 1;
        }
        if from.read(&mut [0])? != 0 {
            return Err(ReadError::Damaged("something follows its end"));
        }
        Ok(Self { configuration, state, memory })
    }
}

fn put(to: &mut impl Write, value: &impl Serialize) -> Result<(), StateError> {
    let bytes = postcard::to_allocvec(value)?;
    to.write_all(&(bytes.len() as u64).to_le_bytes()).map_err(StateError::Write)?;
    to.write_all(&bytes).map_err(StateError::Write)
}

fn get<T: DeserializeOwned>(from: &mut impl Read, limit: u64) -> Result<T, ReadError> {
    let mut length = [0; 8];
    from.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    if length > limit {
        return Err(ReadError::Damaged("a part is longer than any machine's"));
    }
    // The buffer grows with what is there, whatever the length says.
    let mut bytes = Vec::new();
    if from.take(length).read_to_end(&mut bytes)? as u64 != length {
        return Err(ReadError::Damaged("it ends too early"));
    }
    match postcard::take_from_bytes(&bytes) {
        Ok((value, [])) => Ok(value),
        _ => Err(ReadError::Damaged("a part has another form")),
    }
}
