//! What comes to the machine from outside, by one door: [`crate::pc::Pc::inject`].
//!
//! An event happens at a cycle of the machine's clock, as a deadline does, whoever runs the machine and in what pieces.
//! Events and cycles are all that a run has from outside, so they are what a recording holds.

use crate::disk::{DiskImage, DrivePlace, MediumId};
use crate::keyboard::Key;
use crate::pc::Pc;
use crate::state::StateError;
use emu_core::model::features::Feature;
use emu_core::state::cpu::Cpu;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use thiserror::Error;

/// Most events that wait at a time.
pub const MAX_WAITING: usize = 4096;
/// Most bytes that one event carries.
pub const MAX_BYTES: usize = 0x1_0000;
/// Most bytes of all events that wait.
pub const MAX_WAITING_BYTES: usize = 4 << 20;

/// Something that happens to the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum InputEvent {
    /// A key goes down or comes up. Repeats are the keyboard's own: each change once.
    Key {
        /// The key.
        key: Key,
        /// Down.
        pressed: bool,
    },
    /// The mouse moves, and its buttons are these.
    Mouse {
        /// Counts to the right.
        dx: i32,
        /// Counts up.
        dy: i32,
        /// Clicks of the wheel towards the user.
        dz: i32,
        /// Bits: 0 left, 1 right, 2 middle, 3 and 4 side.
        buttons: u8,
    },
    /// Bytes arrive at COM1; they wait there for the line's speed.
    Serial(Vec<u8>),
    /// A medium that is at hand ([`crate::pc::Pc::add_medium`]) goes into a floppy or CD-ROM drive; the one that was
    /// there is at hand from then on.
    Insert {
        /// The drive.
        drive: DrivePlace,
        /// The medium.
        medium: MediumId,
    },
    /// The medium of a floppy or CD-ROM drive is taken out, and is at hand from then on.
    Eject {
        /// The drive.
        drive: DrivePlace,
    },
    /// The ACPI power button.
    PowerButton,
    /// The reset button.
    Reset,
    /// A non-maskable interrupt to every processor by LINT1.
    Nmi,
    /// A debugger writes to physical memory; ROM and devices do not change.
    WriteMemory {
        /// Physical address, behind the A20 gate.
        address: u64,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// A debugger writes a processor's register.
    WriteRegister(RegisterWrite),
}

impl InputEvent {
    fn bytes(&self) -> usize {
        match self {
            Self::Serial(bytes) | Self::WriteMemory { bytes, .. } => bytes.len(),
            _ => 0,
        }
    }
}

/// A debugger's write to a register.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterWrite {
    /// The processor, from 0.
    pub processor: u32,
    /// Its register.
    pub register: Register,
    /// The new value.
    pub value: u64,
}

/// A register that a debugger can write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Register {
    /// A general-purpose register by its number in instructions, 0 (RAX) to 15 (R15).
    General(u8),
    /// RIP.
    Rip,
    /// RFLAGS; bits that do not exist stay as they must be.
    Rflags,
    /// SSP, the shadow-stack pointer, of processors with shadow stacks; bits 1:0 stay 0.
    Ssp,
}

impl Register {
    /// Whether a processor has it.
    pub(crate) fn is_in(self, cpu: &Cpu) -> bool {
        match self {
            Self::General(number) => number < 16,
            Self::Rip | Self::Rflags => true,
            Self::Ssp => cpu.config.model.has(Feature::CetSs),
        }
    }
}

/// An event and its cycle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamped {
    /// When, in cycles.
    pub at: u64,
    /// What.
    pub event: InputEvent,
}

/// Why an event does not come in.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InjectError {
    /// Too many wait.
    #[error(
        "{MAX_WAITING} input events, or {MAX_WAITING_BYTES} bytes in them, wait already; run the machine before the next"
    )]
    Full,
    /// Too many bytes at once.
    #[error("an input event of {0} bytes; give at most {MAX_BYTES} at a time")]
    TooLong(usize),
    /// There is no such drive for removable media.
    #[error("there is no drive for removable media at {0}")]
    NoDrive(DrivePlace),
    /// There is no such processor or register.
    #[error("processor {} has no register {:?}, or does not exist", .0.processor, .0.register)]
    NoRegister(RegisterWrite),
    /// Beyond the last cycle that a machine reaches.
    #[error("cycle {0} is beyond the end of any run")]
    TooLate(u64),
}

/// Events that wait for their cycles.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Inputs {
    /// In order of cycles; events of one cycle in the order in which they came.
    waiting: VecDeque<Stamped>,
}

impl Inputs {
    /// Puts an event behind all that happen until its cycle.
    pub fn push(&mut self, stamped: Stamped) -> Result<(), InjectError> {
        let bytes = stamped.event.bytes();
        if bytes > MAX_BYTES {
            return Err(InjectError::TooLong(bytes));
        }
        let waiting = || self.waiting.iter().map(|other| other.event.bytes()).sum::<usize>();
        if self.waiting.len() >= MAX_WAITING || bytes != 0 && bytes + waiting() > MAX_WAITING_BYTES {
            return Err(InjectError::Full);
        }
        let place = self.waiting.partition_point(|other| other.at <= stamped.at);
        self.waiting.insert(place, stamped);
        Ok(())
    }

    /// The cycle of the first; `u64::MAX` without any.
    pub fn next(&self) -> u64 {
        self.waiting.front().map_or(u64::MAX, |stamped| stamped.at)
    }

    /// Takes the first.
    pub fn pop(&mut self) -> Option<InputEvent> {
        self.waiting.pop_front().map(|stamped| stamped.event)
    }

    /// Whether an event that `wanted` accepts is among them.
    pub fn any(&self, wanted: impl FnMut(&InputEvent) -> bool) -> bool {
        self.waiting.iter().map(|stamped| &stamped.event).any(wanted)
    }

    /// How many more there is room for.
    pub fn room(&self) -> usize {
        MAX_WAITING - self.waiting.len().min(MAX_WAITING)
    }

    /// Whether they could have waited like this.
    pub fn is_sound(&self) -> bool {
        self.waiting.len() <= MAX_WAITING
            && self.waiting.iter().all(|stamped| stamped.event.bytes() <= MAX_BYTES)
            && self.waiting.iter().is_sorted_by_key(|stamped| stamped.at)
    }
}

impl Pc {
    /// Lets `event` happen at cycle `at`, or, if a processor has been there, as soon as all have been where the first is
    /// now. Returns the cycle at which it happens; injected again for that cycle, into the same run, it makes the same run.
    pub fn inject(&mut self, at: u64, event: InputEvent) -> Result<u64, InjectError> {
        if let InputEvent::WriteRegister(write) = event
            && !self.cpus.get(write.processor as usize).is_some_and(|cpu| write.register.is_in(cpu))
        {
            return Err(InjectError::NoRegister(write));
        }
        let reached = self.cpus.iter().map(|cpu| cpu.cycles).max().unwrap_or(0);
        self.board.inject(at.max(self.now()).max(reached), event)
    }

    /// Puts a medium at hand, for [`InputEvent::Insert`]; its identity.
    pub fn add_medium(&mut self, image: DiskImage) -> Result<MediumId, StateError> {
        self.board.add_medium(image)
    }

    /// Carries out debuggers' writes.
    pub(crate) fn write_registers(&mut self, writes: &[RegisterWrite]) {
        for write in writes {
            let Some(cpu) = self.cpus.get_mut(write.processor as usize) else { continue };
            match write.register {
                Register::General(number) => cpu.gpr[usize::from(number & 15)] = write.value,
                Register::Rip => cpu.set_rip(write.value),
                Register::Rflags => cpu.set_flags(write.value),
                // It is 4-byte aligned whatever loads it (SDM Vol. 1 17.2 "Shadow Stacks").
                Register::Ssp => cpu.sys.cet.ssp = write.value & !3,
            }
            cpu.changed_from_outside();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_of_one_cycle_come_in_the_order_of_their_arrival_and_all_by_cycle() {
        let mut inputs = Inputs::default();
        for (at, dx) in [(20, 1), (10, 2), (20, 3), (10, 4)] {
            inputs.push(Stamped { at, event: InputEvent::Mouse { dx, dy: 0, dz: 0, buttons: 0 } }).unwrap();
        }
        assert_eq!(inputs.next(), 10);
        let order = std::iter::from_fn(|| inputs.pop()).map(|event| match event {
            InputEvent::Mouse { dx, .. } => dx,
            _ => 0,
        });
        assert_eq!(order.collect::<Vec<_>>(), [2, 4, 1, 3]);
    }

    #[test]
    fn inputs_beyond_their_bounds_are_refused() {
        let mut inputs = Inputs::default();
        let long = Stamped { at: 0, event: InputEvent::Serial(vec![0; MAX_BYTES + 1]) };
        assert_eq!(inputs.push(long), Err(InjectError::TooLong(MAX_BYTES + 1)));
        let reset = Stamped { at: 0, event: InputEvent::Reset };
        for _ in 0..MAX_WAITING {
            inputs.push(reset.clone()).unwrap();
        }
        assert_eq!(inputs.push(reset), Err(InjectError::Full));
        assert_eq!(inputs.room(), 0);
    }
}
