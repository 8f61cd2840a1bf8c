//! How an instruction stops short: [`Stop`], and the details parked in the processor.

use emu_vmx::arch::vector;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a handler did not complete. The details are in the processor (`Cpu::fault`, ...).
///
/// As wide as a loaded value, so that `Result<u64, Stop>` travels in two registers and not through memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum Stop {
    /// An exception is parked in `Cpu::fault`; nothing of the instruction has been committed.
    Fault = 1,
    /// The processor shut down (triple fault).
    Shutdown = 2,
    /// A VM exit is parked in the processor.
    VmExit = 3,
    /// The instruction reaches a device from inside a block, whose clock is that of the block's end: nothing of it has been
    /// committed, and it is to run alone.
    Alone = 4,
}

/// What a handler returns: `Ok` when the instruction (or one iteration of it) completed.
pub type Exec = Result<(), Stop>;

/// What kind of event a [`Fault`] is, in the encoding of VM-exit interruption information bits 10:8
/// (SDM Vol. 3C 25.9.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u8)]
pub enum EventKind {
    /// External interrupt.
    ExternalInterrupt = 0,
    /// NMI.
    Nmi = 2,
    /// Hardware exception.
    HardwareException = 3,
    /// INT n.
    SoftwareInterrupt = 4,
    /// INT1.
    PrivilegedSoftwareException = 5,
    /// INT3, INTO.
    SoftwareException = 6,
}

impl EventKind {
    /// INT n, INT1, INT3 and INTO: delivery checks the gate's DPL (not INT1) and returns after the instruction.
    pub fn is_software(self) -> bool {
        matches!(self, Self::SoftwareInterrupt | Self::PrivilegedSoftwareException | Self::SoftwareException)
    }
}

/// An event on its way through the IDT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Vector, 0 to FFh.
    pub vector: u8,
    /// Kind.
    pub kind: EventKind,
    /// The error code that delivery pushes.
    pub error_code: Option<u32>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.kind {
            EventKind::ExternalInterrupt => write!(f, "external interrupt {:02X}h", self.vector)?,
            EventKind::SoftwareInterrupt => write!(f, "INT {:02X}h", self.vector)?,
            _ => f.write_str(vector::name(self.vector))?,
        }
        self.error_code.map_or(Ok(()), |code| write!(f, "({code:#x})"))
    }
}

impl Fault {
    /// An exception or NMI, by hardware or by INT1, INT3 and INTO; not an interrupt.
    pub fn is_exception(&self) -> bool {
        !matches!(self.kind, EventKind::ExternalInterrupt | EventKind::SoftwareInterrupt)
    }

    /// A debug exception: #DB of the hardware's finding, or INT1's.
    pub fn is_debug_exception(&self) -> bool {
        self.vector == vector::DB
            && matches!(self.kind, EventKind::HardwareException | EventKind::PrivilegedSoftwareException)
    }

    /// A hardware exception without an error code.
    pub fn exception(vector: u8) -> Self {
        Self { vector, kind: EventKind::HardwareException, error_code: None }
    }

    /// A hardware exception with an error code.
    pub const fn with_code(vector: u8, code: u32) -> Self {
        Self { vector, kind: EventKind::HardwareException, error_code: Some(code) }
    }
}
