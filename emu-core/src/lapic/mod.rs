//! The local APIC (SDM Vol. 3A chapter 11): registers, timer, interrupt acceptance, and the messages between APICs.

pub mod access;
pub mod registers;
pub mod route;
pub mod timer;

use crate::model::features::Feature;
use crate::state::cpu::{Cpu, Env};
use crate::state::derived::Attention;

pub use crate::state::lapic::{LVT_MASKED, Lapic, Lvt, error, highest, set, test};

impl Cpu {
    /// Physical page of the local APIC's registers; `u64::MAX` when they are not in memory (disabled or x2APIC).
    #[inline]
    pub fn lapic_page(&self) -> u64 {
        if self.sys.apic_base & 0xC00 == 0x800 { self.sys.apic_base & 0x000F_FFFF_FFFF_F000 } else { u64::MAX }
    }

    /// The highest-priority interrupt that the local APIC delivers now, moved from IRR to ISR.
    pub fn lapic_take_interrupt(&mut self, _env: &mut Env) -> Option<u8> {
        let vector = self.lapic.acknowledge();
        self.refresh_apic_attention();
        vector
    }

    /// Asks the boundary to look at the local APIC if it has something to deliver.
    pub fn refresh_apic_attention(&mut self) {
        if self.lapic.deliverable().is_some() {
            self.raise(Attention::APIC);
        } else {
            self.attention.remove(Attention::APIC);
        }
    }

    /// Whether the PIC's interrupts reach this processor: LINT0 as ExtINT, or the local APIC out of the way. Firmware
    /// that enables the APIC and leaves LINT0 alone (Bochs's BIOS) keeps its interrupts.
    pub fn accepts_pic(&self) -> bool {
        if !self.lapic.software_enabled() || self.lapic.virtual_wire {
            return self.sys.apic_base & 0x100 != 0;
        }
        self.lapic.lvt[Lvt::Lint0 as usize] & (LVT_MASKED | 0x700) == 0x700
    }

    /// The model's local APIC after reset.
    pub(crate) fn new_lapic(&self, id: u32) -> Lapic {
        Lapic { tsc_deadline_mode: self.config.model.has(Feature::TscDeadline), ..Lapic::new(id) }
    }

    /// The local APIC's part of INIT (SDM Vol. 3A 11.4.7.3): all but the id.
    pub fn lapic_init(&mut self) {
        let (x2apic, enabled) = (self.lapic.x2apic, self.lapic.enabled);
        let sipi_vector = self.lapic.sipi_vector;
        self.lapic = Lapic { x2apic, enabled, sipi_vector, ..self.new_lapic(self.lapic.id) };
        if x2apic {
            self.lapic.ldr = registers::x2apic_ldr(self.lapic.id);
        }
        self.refresh_apic_attention();
    }
}
