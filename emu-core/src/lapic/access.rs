//! How a processor reaches its local APIC: the register page, the x2APIC MSRs, CR8 and IA32_APIC_BASE.

use super::registers::{Effects, offset, x2apic_ldr};
use super::{Lapic, error};
use crate::fault::Exec;
use crate::state::cpu::{Cpu, Env};

const EXTD: u64 = 1 << 10;
const EN: u64 = 1 << 11;

impl Cpu {
    /// Reads `len` bytes of the register page. Only the low four bytes of each 16 hold a register.
    pub fn lapic_mmio_read(&mut self, _env: &mut Env, at: u64, len: usize) -> u64 {
        let register = (at & 0xFF0) as u32;
        let value = match self.lapic.read_register(register, self.cycles) {
            Ok(value) => u64::from(value),
            Err(_) => {
                self.lapic.note_error(error::ILLEGAL_REGISTER_ADDRESS);
                self.refresh_apic_attention();
                0
            }
        };
        let shifted = if at & 0xF < 8 { value >> (8 * (at & 0xF)) } else { 0 };
        shifted & (u64::MAX >> (64 - 8 * len.clamp(1, 8)))
    }

    /// Writes `len` bytes of the register page. Registers take aligned 32-bit writes; narrower ones are ignored, as
    /// the SDM leaves them undefined (Vol. 3A 11.4.1).
    pub fn lapic_mmio_write(&mut self, env: &mut Env, at: u64, len: usize, value: u64) {
        if at & 0xF != 0 || len < 4 {
            if self.log_once("local APIC write", at) {
                log::warn!(target: "apic", "{len}-byte write at local APIC offset {at:#x} ignored: SDM Vol. 3A 11.4.1 asks for aligned 32-bit accesses");
            }
            return;
        }
        let deadline = self.lapic.deadline;
        let written = self.lapic.write_register(at as u32, value as u32, self.cycles, self.sys.tsc_offset);
        match written {
            Ok(effects) => self.lapic_effects(env, effects),
            Err(_) => self.lapic.note_error(error::ILLEGAL_REGISTER_ADDRESS),
        }
        self.refresh_apic_attention();
        // What is to be seen to before the next instruction: mostly an EOI or the half of a command leaves nothing.
        if !self.attention.is_empty()
            || self.lapic.deadline != deadline
            || !env.outbox.is_empty()
            || env.bus.attention()
        {
            self.leave_block();
        }
    }

    fn lapic_effects(&mut self, env: &mut Env, effects: Effects) {
        if let Some(message) = effects.message {
            env.outbox.push(message);
        }
        if let Some(vector) = effects.end_of_interrupt
            && self.lapic.svr & 1 << 12 == 0
        {
            env.bus.end_of_interrupt(self.cycles, vector);
        }
    }

    /// RDMSR 800h to 8FFh.
    pub fn read_x2apic_msr(&self, index: u32) -> Option<u64> {
        let register = (index & 0xFF) << 4;
        match register {
            _ if !self.lapic.x2apic => None,
            offset::ICR_HIGH => None,
            offset::ICR_LOW => Some(self.lapic.icr),
            _ => self.lapic.read_register(register, self.cycles).ok().map(u64::from),
        }
    }

    /// WRMSR 800h to 8FFh.
    pub fn write_x2apic_msr(&mut self, env: &mut Env, index: u32, value: u64) -> Exec {
        let register = (index & 0xFF) << 4;
        if !self.lapic.x2apic || (register != offset::ICR_LOW && value >> 32 != 0) {
            return self.gp(0);
        }
        let effects = if register == offset::ICR_LOW {
            self.lapic.write_icr(value).map(|message| Effects { message, end_of_interrupt: None })
        } else {
            self.lapic.write_register(register, value as u32, self.cycles, self.sys.tsc_offset)
        };
        match effects {
            Ok(effects) => self.lapic_effects(env, effects),
            Err(_) => return self.gp(0),
        }
        self.refresh_apic_attention();
        self.leave_block();
        Ok(())
    }

    /// CR8: the task-priority class.
    pub fn read_cr8(&self) -> u64 {
        u64::from(self.lapic.tpr >> 4)
    }

    /// MOV CR8.
    pub fn write_cr8(&mut self, value: u64) -> Exec {
        if value > 15 {
            return self.gp(0);
        }
        self.lapic.tpr = (value as u8) << 4;
        self.refresh_apic_attention();
        self.leave_block();
        Ok(())
    }

    /// WRMSR IA32_APIC_BASE (SDM Vol. 3A 11.4.4 and 11.12.5): the enable bits move only along the legal transitions.
    pub fn write_apic_base(&mut self, value: u64) -> Exec {
        let old = self.sys.apic_base;
        let invalid = value & EXTD != 0 && value & EN == 0;
        let back_to_xapic = old & EXTD != 0 && value & (EN | EXTD) == EN;
        let straight_to_x2apic = old & EN == 0 && value & EXTD != 0;
        if invalid || back_to_xapic || straight_to_x2apic {
            return self.gp(0);
        }
        self.sys.apic_base = value;
        if value & EN == 0 && old & EN != 0 {
            // A global disable loses the state; enabling it later starts as after reset.
            let sipi_vector = self.lapic.sipi_vector;
            self.lapic = Lapic { enabled: false, sipi_vector, ..self.new_lapic(self.sys.apic_id) };
        }
        self.lapic.enabled = value & EN != 0;
        self.lapic.x2apic = value & EXTD != 0;
        if self.lapic.x2apic {
            self.lapic.id = self.sys.apic_id;
            self.lapic.ldr = x2apic_ldr(self.sys.apic_id);
            self.lapic.icr &= 0xFFFF_FFFF;
        }
        self.refresh_apic_attention();
        self.flush_tlb();
        Ok(())
    }
}
