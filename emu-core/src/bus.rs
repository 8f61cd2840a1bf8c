//! What a processor sees of the board around it, and what the board tells the processors.

use crate::mem::ram::Ram;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How an APIC message is delivered (SDM Vol. 3A 11.6.1, Interrupt Command Register; the I/O APIC's
/// redirection entries use the same encoding).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u8)]
pub enum DeliveryMode {
    /// 000: to all processors named by the destination.
    Fixed = 0,
    /// 001: to the processor of lowest priority among those named.
    LowestPriority = 1,
    /// 010: system-management interrupt.
    Smi = 2,
    /// 100: non-maskable interrupt; the vector is ignored.
    Nmi = 4,
    /// 101: INIT.
    Init = 5,
    /// 110: start-up IPI; the vector is the start page.
    StartUp = 6,
    /// 111: the vector comes from the PIC by an INTA cycle.
    ExtInt = 7,
}

impl DeliveryMode {
    /// The mode of a 3-bit encoding; `None` for the reserved 011.
    pub fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits & 7 {
            0 => Self::Fixed,
            1 => Self::LowestPriority,
            2 => Self::Smi,
            4 => Self::Nmi,
            5 => Self::Init,
            6 => Self::StartUp,
            7 => Self::ExtInt,
            _ => return None,
        })
    }
}

/// Who receives an APIC message, besides the destination field (SDM Vol. 3A 11.6.1, destination shorthand).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shorthand {
    /// The destination field names the receivers.
    None,
    /// The sender only.
    SelfOnly,
    /// Every processor.
    AllIncludingSelf,
    /// Every processor but the sender.
    AllExcludingSelf,
}

/// The destination, physical or logical, that names every processor (SDM Vol. 3A 11.12.9 "ICR Operation in x2APIC Mode").
pub const BROADCAST: u32 = u32::MAX;

/// One message on the interrupt bus: an IPI, an I/O APIC interrupt or an MSI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApicMessage {
    /// Physical APIC id or logical destination, or [`BROADCAST`]. What xAPICs, I/O APICs and MSIs send has 8 bits: see
    /// [`ApicMessage::destination_of_8_bits`].
    pub destination: u32,
    /// Whether `destination` is logical (MDA) rather than a physical APIC id.
    pub logical: bool,
    /// Delivery mode.
    pub delivery: DeliveryMode,
    /// Vector, 0 to FFh.
    pub vector: u8,
    /// Level-triggered (sets TMR) rather than edge-triggered.
    pub level_triggered: bool,
    /// Level asserted; false only in an INIT level de-assert.
    pub assert: bool,
    /// Destination shorthand of an IPI.
    pub shorthand: Shorthand,
}

impl ApicMessage {
    /// The destination that a sender with 8-bit destinations names by `byte`: there FFh is the broadcast (SDM Vol. 3A
    /// 11.6.2 "Determining IPI Destination"), while to an x2APIC it is an id as any other.
    pub fn destination_of_8_bits(byte: u8) -> u32 {
        if byte == 0xFF { BROADCAST } else { byte.into() }
    }
}

impl fmt::Display for ApicMessage {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{:?} {:02X}h to ", self.delivery, self.vector)?;
        match self.shorthand {
            Shorthand::None if self.logical => write!(f, "logical {:#x}", self.destination)?,
            Shorthand::None => write!(f, "APIC {:#x}", self.destination)?,
            Shorthand::SelfOnly => f.write_str("itself")?,
            Shorthand::AllIncludingSelf => f.write_str("all")?,
            Shorthand::AllExcludingSelf => f.write_str("all others")?,
        }
        f.write_str(if self.assert { "" } else { ", de-assert" })
    }
}

/// The board as a processor reaches it. Every call carries guest memory, for bus masters and for what moves memory
/// about (A20, shadow RAM), and the calling processor's time in cycles.
pub trait Bus {
    /// IN: `size` is 1, 2 or 4 bytes.
    fn port_read(&mut self, memory: &mut Ram, now: u64, port: u16, size: u8) -> u32;
    /// OUT: `size` is 1, 2 or 4 bytes.
    fn port_write(&mut self, memory: &mut Ram, now: u64, port: u16, size: u8, value: u32);
    /// A read outside guest RAM; `size` is 1, 2, 4 or 8 bytes and the access does not cross 8 bytes.
    fn mmio_read(&mut self, memory: &mut Ram, now: u64, address: u64, size: u8) -> u64;
    /// A write outside guest RAM.
    fn mmio_write(&mut self, memory: &mut Ram, now: u64, address: u64, size: u8, value: u64);
    /// The INTA cycle that asks the PIC pair for its vector.
    fn interrupt_acknowledge(&mut self, now: u64) -> u8;
    /// A local APIC's EOI broadcast for a level-triggered vector.
    fn end_of_interrupt(&mut self, now: u64, vector: u8);
    /// FERR# rises (an x87 instruction waits for IRQ 13 with CR0.NE clear) or falls. True while the board asserts
    /// IGNNE#, so that the instruction is to go on (SDM Vol. 1 8.7, appendix D.2).
    fn numeric_error(&mut self, memory: &mut Ram, now: u64, asserted: bool) -> bool {
        let _ = (memory, now, asserted);
        false
    }
    /// Whether a device has changed something that the processors' scheduler must look at before the next
    /// instruction: INTR, an APIC message, the memory map, a reset or power request, a nearer deadline.
    fn attention(&self) -> bool;
}
