//! The registers of a local APIC (SDM Vol. 3A chapter 11), and what they alone decide.

use serde::{Deserialize, Serialize};

/// Mask bit of a LVT entry.
pub const LVT_MASKED: u32 = 1 << 16;

/// Entries of the local vector table, in register order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Lvt {
    /// 320h.
    Timer,
    /// 330h.
    Thermal,
    /// 340h.
    PerformanceCounter,
    /// 350h.
    Lint0,
    /// 360h.
    Lint1,
    /// 370h.
    Error,
}

/// Error-status bits (SDM Vol. 3A 11.5.3).
pub mod error {
    /// A lowest-priority IPI was to be sent.
    pub const REDIRECTABLE_IPI: u32 = 1 << 4;
    /// A message with a vector below 16 was to be sent.
    pub const SEND_ILLEGAL_VECTOR: u32 = 1 << 5;
    /// A message with a vector below 16 was received, a LVT entry held one, or a self-IPI had one.
    pub const RECEIVED_ILLEGAL_VECTOR: u32 = 1 << 6;
    /// A reserved register was accessed.
    pub const ILLEGAL_REGISTER_ADDRESS: u32 = 1 << 7;
}

/// Local APIC registers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lapic {
    /// xAPIC id (8 bits) or x2APIC id.
    pub id: u32,
    /// x2APIC mode, from IA32_APIC_BASE.
    pub x2apic: bool,
    /// Enabled by IA32_APIC_BASE.
    pub enabled: bool,
    /// Task-priority register, 8 bits.
    pub tpr: u8,
    /// Logical destination (xAPIC: bits 31:24).
    pub ldr: u32,
    /// Destination format: bits 31:28, the others ones.
    pub dfr: u32,
    /// Spurious-interrupt vector register.
    pub svr: u32,
    /// In service.
    pub isr: [u32; 8],
    /// Trigger mode: level.
    pub tmr: [u32; 8],
    /// Requested.
    pub irr: [u32; 8],
    /// Error status as software reads it.
    pub esr: u32,
    /// Errors since the last write of ESR.
    pub errors: u32,
    /// Interrupt command.
    pub icr: u64,
    /// Local vector table: see [`Lvt`].
    pub lvt: [u32; 6],
    /// The timer has TSC-deadline mode: CPUID.01H:ECX[24].
    pub tsc_deadline_mode: bool,
    /// LINT0 was not written since reset: virtual-wire mode (MP specification 3.6.2.2), as chipsets come up for
    /// firmware that knows nothing of local APICs.
    pub virtual_wire: bool,
    /// Initial count of the timer.
    pub initial_count: u32,
    /// Divide configuration.
    pub divide: u32,
    /// Cycle at which the count was loaded.
    pub timer_start: u64,
    /// A one-shot count has run out: the count stays zero, whatever the mode becomes, until it is loaded again.
    pub timer_stopped: bool,
    /// IA32_TSC_DEADLINE.
    pub tsc_deadline: u64,
    /// Cycle of the timer's next interrupt; `u64::MAX` without one.
    pub deadline: u64,
    /// Page number of the last start-up IPI.
    pub sipi_vector: u8,
}

impl Lapic {
    /// A local APIC without TSC-deadline mode after reset (SDM Vol. 3A 11.4.7.1).
    pub fn new(id: u32) -> Self {
        Self {
            id,
            x2apic: false,
            enabled: true,
            tpr: 0,
            ldr: 0,
            dfr: u32::MAX,
            svr: 0xFF,
            isr: [0; 8],
            tmr: [0; 8],
            irr: [0; 8],
            esr: 0,
            errors: 0,
            icr: 0,
            lvt: [LVT_MASKED; 6],
            tsc_deadline_mode: false,
            virtual_wire: true,
            initial_count: 0,
            divide: 0,
            timer_start: 0,
            timer_stopped: false,
            tsc_deadline: 0,
            deadline: u64::MAX,
            sipi_vector: 0,
        }
    }

    /// Enabled by both IA32_APIC_BASE and the spurious-interrupt vector register.
    pub fn software_enabled(&self) -> bool {
        self.enabled && self.svr & 0x100 != 0
    }

    /// Processor priority (SDM Vol. 3A 11.8.3.1).
    pub fn ppr(&self) -> u8 {
        let in_service = highest(&self.isr).unwrap_or(0);
        if self.tpr >> 4 >= in_service >> 4 { self.tpr } else { in_service & 0xF0 }
    }

    /// The requested vector that may interrupt now.
    pub fn deliverable(&self) -> Option<u8> {
        if !self.software_enabled() {
            return None;
        }
        highest(&self.irr).filter(|vector| vector >> 4 > self.ppr() >> 4)
    }

    /// Accepts an interrupt: sets its request and trigger-mode bits.
    pub fn request(&mut self, vector: u8, level_triggered: bool) {
        if vector < 16 {
            self.note_error(error::RECEIVED_ILLEGAL_VECTOR);
            return;
        }
        set(&mut self.irr, vector, true);
        set(&mut self.tmr, vector, level_triggered);
    }

    /// Moves the highest deliverable vector from requested to in service.
    pub fn acknowledge(&mut self) -> Option<u8> {
        let vector = self.deliverable()?;
        set(&mut self.irr, vector, false);
        set(&mut self.isr, vector, true);
        Some(vector)
    }

    /// EOI: the vector whose end is to be broadcast to I/O APICs, if it was level-triggered.
    pub fn end_of_interrupt(&mut self) -> Option<u8> {
        let vector = highest(&self.isr)?;
        set(&mut self.isr, vector, false);
        test(&self.tmr, vector).then_some(vector)
    }

    /// Records an error and raises the error interrupt.
    pub fn note_error(&mut self, error: u32) {
        let news = self.errors & error == 0;
        self.errors |= error;
        let entry = self.lvt[Lvt::Error as usize];
        if !news || entry & LVT_MASKED != 0 {
            return;
        }
        if entry & 0xFF < 16 {
            self.errors |= self::error::RECEIVED_ILLEGAL_VECTOR;
            return;
        }
        set(&mut self.irr, entry as u8, true);
        set(&mut self.tmr, entry as u8, false);
    }
}

/// The highest bit that is set. Word by word: a comparison of all 32 bytes would wait for the store of one word.
pub fn highest(bits: &[u32; 8]) -> Option<u8> {
    for n in [6, 4, 2, 0] {
        let pair = u64::from(bits[n + 1]) << 32 | u64::from(bits[n]);
        if let Some(bit) = pair.checked_ilog2() {
            return Some(n as u8 * 32 + bit as u8);
        }
    }
    None
}

/// Whether a vector's bit is set.
pub fn test(bits: &[u32; 8], vector: u8) -> bool {
    bits[usize::from(vector >> 5)] >> (vector & 31) & 1 != 0
}

/// Sets or clears a vector's bit.
pub fn set(bits: &mut [u32; 8], vector: u8, on: bool) {
    let word = &mut bits[usize::from(vector >> 5)];
    let bit = 1 << (vector & 31);
    *word = if on { *word | bit } else { *word & !bit };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupt_waits_for_one_of_its_own_class_in_service() {
        let mut lapic = Lapic::new(0);
        lapic.svr = 0x1FF;
        lapic.request(0x41, false);
        assert_eq!(lapic.acknowledge(), Some(0x41));
        lapic.request(0x4F, false);
        assert_eq!(lapic.deliverable(), None);
        lapic.request(0x50, true);
        assert_eq!(lapic.acknowledge(), Some(0x50));
        assert_eq!(lapic.end_of_interrupt(), Some(0x50));
        assert_eq!(lapic.end_of_interrupt(), None);
        assert_eq!(lapic.acknowledge(), Some(0x4F));
    }

    #[test]
    fn tpr_holds_back_interrupts_up_to_its_class() {
        let mut lapic = Lapic::new(0);
        lapic.svr = 0x1FF;
        lapic.tpr = 0x50;
        lapic.request(0x5F, false);
        assert_eq!(lapic.deliverable(), None);
        lapic.tpr = 0x4F;
        assert_eq!(lapic.deliverable(), Some(0x5F));
    }
}
