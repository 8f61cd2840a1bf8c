//! The local APIC (SDM Vol. 3A chapter 11).

use crate::state::cpu::{Cpu, Env};
use serde::{Deserialize, Serialize};

/// Local APIC registers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Lapic {
    id: u32,
    tpr: u8,
    /// Page number of the last start-up IPI.
    pub sipi_vector: u8,
}

impl Lapic {
    /// A local APIC after reset.
    pub fn new(id: u32) -> Self {
        Self { id, tpr: 0, sipi_vector: 0 }
    }
}

impl Cpu {
    /// Physical page of the local APIC's registers; `u64::MAX` when they are not in memory (disabled or x2APIC).
    #[inline]
    pub fn lapic_page(&self) -> u64 {
        if self.sys.apic_base & 0xC00 == 0x800 { self.sys.apic_base & 0x000F_FFFF_FFFF_F000 } else { u64::MAX }
    }

    /// Reads `len` bytes of the register page.
    pub fn lapic_mmio_read(&mut self, _env: &mut Env, offset: u64, len: usize) -> u64 {
        log::error!(target: "apic", "read of local APIC register {offset:#x} ({len} bytes) is not implemented (SDM Vol. 3A 11.4.1)");
        u64::from(self.lapic.id) << 24
    }

    /// Writes `len` bytes of the register page.
    pub fn lapic_mmio_write(&mut self, _env: &mut Env, offset: u64, len: usize, value: u64) {
        log::error!(target: "apic", "write of {value:#x} to local APIC register {offset:#x} ({len} bytes) is not implemented (SDM Vol. 3A 11.4.1)");
    }

    /// The highest-priority interrupt that the local APIC delivers now, moved from IRR to ISR.
    pub fn lapic_take_interrupt(&mut self, _env: &mut Env) -> Option<u8> {
        None
    }

    /// Whether the PIC's interrupts reach this processor (LINT0 as ExtINT, or the APIC disabled on the BSP).
    pub fn accepts_pic(&self) -> bool {
        self.sys.apic_base & 0x100 != 0
    }

    /// Task-priority register, bits 7:0.
    pub fn lapic_tpr(&self) -> u8 {
        self.lapic.tpr
    }

    /// Writes the task-priority register (SDM Vol. 3A 11.8.6: CR8 is its bits 7:4).
    pub fn set_lapic_tpr(&mut self, _env: &mut Env, value: u8) {
        self.lapic.tpr = value;
        self.raise(crate::state::derived::Attention::APIC);
    }

    /// The local APIC's part of INIT.
    pub fn lapic_init(&mut self) {
        self.lapic = Lapic { sipi_vector: self.lapic.sipi_vector, ..Lapic::new(self.lapic.id) };
    }
}
