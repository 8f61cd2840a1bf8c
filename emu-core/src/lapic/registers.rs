//! The register file of the local APIC (SDM Vol. 3A Table 11-1 and Table 11-6), common to xAPIC and x2APIC mode.

use super::{LVT_MASKED, Lapic, Lvt, error};
use crate::bus::{ApicMessage, DeliveryMode, Shorthand};
use crate::lapic::timer::TimerMode;
use emu_vmx::apicv::X2APIC_ICR_RESERVED;

const DELIVERY_STATUS: u32 = 1 << 12;

/// Bits of each LVT entry that can be written.
const LVT_WRITABLE: [u32; 6] = [0x3_00FF, 0x1_07FF, 0x1_07FF, 0x1_A7FF, 0x1_A7FF, 0x1_00FF];
/// Of the timer's, where the processor has TSC-deadline mode; elsewhere it is reserved.
const LVT_TSC_DEADLINE: u32 = 1 << 18;

/// Version 14h, six LVT entries.
pub const VERSION: u32 = 0x0005_0014;

/// Register offsets.
pub mod offset {
    #![allow(missing_docs)]
    pub const ID: u32 = 0x20;
    pub const VERSION: u32 = 0x30;
    pub const TPR: u32 = 0x80;
    pub const APR: u32 = 0x90;
    pub const PPR: u32 = 0xA0;
    pub const EOI: u32 = 0xB0;
    pub const RRD: u32 = 0xC0;
    pub const LDR: u32 = 0xD0;
    pub const DFR: u32 = 0xE0;
    pub const SVR: u32 = 0xF0;
    pub const ISR: u32 = 0x100;
    pub const TMR: u32 = 0x180;
    pub const IRR: u32 = 0x200;
    pub const ESR: u32 = 0x280;
    pub const ICR_LOW: u32 = 0x300;
    pub const ICR_HIGH: u32 = 0x310;
    pub const LVT_TIMER: u32 = 0x320;
    pub const LVT_ERROR: u32 = 0x370;
    pub const INITIAL_COUNT: u32 = 0x380;
    pub const CURRENT_COUNT: u32 = 0x390;
    pub const DIVIDE: u32 = 0x3E0;
    pub const SELF_IPI: u32 = 0x3F0;
}

/// What a register write asks of others.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Effects {
    /// An IPI to send.
    pub message: Option<ApicMessage>,
    /// An EOI to broadcast.
    pub end_of_interrupt: Option<u8>,
}

/// The register does not exist, is not readable or writable, or a reserved bit is set: #GP in x2APIC mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Illegal;

/// LDR of an x2APIC (SDM Vol. 3A 11.12.10.2).
pub fn x2apic_ldr(id: u32) -> u32 {
    (id & 0xFFFF0) << 12 | 1 << (id & 0xF)
}

impl Lapic {
    /// Reads the register at `offset` (a multiple of 10h) at cycle `now`.
    pub fn read_register(&self, register: u32, now: u64) -> Result<u32, Illegal> {
        use offset::*;
        Ok(match register {
            ID if self.x2apic => self.id,
            ID => self.id << 24,
            VERSION => super::registers::VERSION,
            TPR => u32::from(self.tpr),
            APR if !self.x2apic => u32::from(self.arbitration_priority()),
            // Write-only, and not reserved.
            EOI if !self.x2apic => 0,
            PPR => u32::from(self.ppr()),
            RRD if !self.x2apic => 0,
            LDR => self.ldr,
            DFR if !self.x2apic => self.dfr,
            SVR => self.svr,
            ISR..=0x170 => self.isr[(register - ISR) as usize >> 4],
            TMR..=0x1F0 => self.tmr[(register - TMR) as usize >> 4],
            IRR..=0x270 => self.irr[(register - IRR) as usize >> 4],
            ESR => self.esr,
            ICR_LOW => self.icr as u32,
            ICR_HIGH => (self.icr >> 32) as u32,
            LVT_TIMER..=LVT_ERROR => self.lvt[(register - LVT_TIMER) as usize >> 4],
            INITIAL_COUNT => self.initial_count,
            CURRENT_COUNT => self.current_count(now),
            DIVIDE => self.divide,
            _ => return Err(Illegal),
        })
    }

    fn arbitration_priority(&self) -> u8 {
        let requested = super::highest(&self.irr).unwrap_or(0) & 0xF0;
        let in_service = super::highest(&self.isr).unwrap_or(0) & 0xF0;
        if self.tpr & 0xF0 >= requested && self.tpr & 0xF0 > in_service {
            self.tpr
        } else {
            (self.tpr & 0xF0).max(requested).max(in_service)
        }
    }

    /// Writes the register at `offset` (a multiple of 10h) at cycle `now`. In x2APIC mode reserved bits are illegal.
    pub fn write_register(&mut self, register: u32, value: u32, now: u64, tsc_offset: u64) -> Result<Effects, Illegal> {
        use offset::*;
        let mut effects = Effects::default();
        let strict = self.x2apic;
        let allow = |mask: u32| if strict && value & !mask != 0 { Err(Illegal) } else { Ok(value & mask) };
        match register {
            ID if !strict => self.id = value >> 24,
            TPR => self.tpr = allow(0xFF)? as u8,
            EOI => {
                if strict && value != 0 {
                    return Err(Illegal);
                }
                effects.end_of_interrupt = self.end_of_interrupt();
            }
            LDR if !strict => self.ldr = value & 0xFF00_0000,
            DFR if !strict => self.dfr = value | 0x0FFF_FFFF,
            SVR => {
                self.svr = allow(0x3FF)?;
                if self.svr & 0x100 == 0 {
                    for entry in &mut self.lvt {
                        *entry |= LVT_MASKED;
                    }
                }
            }
            ESR => {
                if strict && value != 0 {
                    return Err(Illegal);
                }
                self.esr = std::mem::take(&mut self.errors);
            }
            ICR_LOW => effects.message = self.write_icr(self.icr & !0xFFFF_FFFF | u64::from(value))?,
            ICR_HIGH if !strict => self.icr = self.icr & 0xFFFF_FFFF | u64::from(value & 0xFF00_0000) << 32,
            LVT_TIMER..=LVT_ERROR => {
                let n = (register - LVT_TIMER) as usize >> 4;
                let read_only = if strict { DELIVERY_STATUS } else { 0 };
                self.write_lvt(n, allow(self.lvt_writable(n) | read_only)?, now, tsc_offset);
            }
            INITIAL_COUNT => {
                if self.timer_mode() != TimerMode::TscDeadline {
                    self.start_timer(value, now);
                }
            }
            DIVIDE => {
                let count = self.current_count(now);
                self.divide = allow(0xB)?;
                if count != 0 {
                    // What is left of the count goes on at the new rate.
                    let done = u64::from(self.initial_count - count) * self.timer_divisor();
                    self.timer_start = now.saturating_sub(done);
                }
                self.schedule_timer(now, tsc_offset);
            }
            SELF_IPI if strict => {
                let vector = allow(0xFF)?;
                if vector < 16 {
                    self.note_error(error::SEND_ILLEGAL_VECTOR);
                    self.note_error(error::RECEIVED_ILLEGAL_VECTOR);
                    return Ok(effects);
                }
                effects.message = Some(ApicMessage {
                    destination: self.id,
                    logical: false,
                    delivery: DeliveryMode::Fixed,
                    vector: vector as u8,
                    level_triggered: false,
                    assert: true,
                    shorthand: Shorthand::SelfOnly,
                });
            }
            // Read-only: the write is lost, and no access to a reserved register (SDM Vol. 3A 11.5.3).
            VERSION | APR | PPR | RRD | ISR..=0x270 | CURRENT_COUNT if !strict => {}
            _ => return Err(Illegal),
        }
        Ok(effects)
    }

    fn lvt_writable(&self, n: usize) -> u32 {
        let deadline = n == Lvt::Timer as usize && self.tsc_deadline_mode;
        LVT_WRITABLE[n] | if deadline { LVT_TSC_DEADLINE } else { 0 }
    }

    fn write_lvt(&mut self, n: usize, value: u32, now: u64, tsc_offset: u64) {
        let old_mode = self.timer_mode();
        let count = self.current_count(now);
        let value = value & self.lvt_writable(n);
        self.lvt[n] = if self.software_enabled() { value } else { value | LVT_MASKED };
        self.virtual_wire &= n != Lvt::Lint0 as usize;
        if n == Lvt::Timer as usize {
            let new_mode = self.timer_mode();
            if (old_mode == TimerMode::TscDeadline) != (new_mode == TimerMode::TscDeadline) {
                self.initial_count = 0;
                self.tsc_deadline = 0;
            } else if old_mode != new_mode && self.initial_count != 0 {
                // The count goes on from where it is; one that has run out stays at zero.
                self.timer_stopped = count == 0;
                self.timer_start = now.saturating_sub(u64::from(self.initial_count - count) * self.timer_divisor());
            }
            self.schedule_timer(now, tsc_offset);
        }
    }

    /// Writes the whole ICR and gives the IPI it sends (SDM Vol. 3A 11.6.1).
    pub fn write_icr(&mut self, value: u64) -> Result<Option<ApicMessage>, Illegal> {
        const LOW: u64 = 0x000C_CFFF;
        if self.x2apic && value & X2APIC_ICR_RESERVED != 0 {
            return Err(Illegal);
        }
        self.icr = value & (LOW | 0xFFFF_FFFF_0000_0000);
        let vector = value as u8;
        let Some(delivery) = DeliveryMode::from_bits((value >> 8) as u8) else { return Ok(None) };
        if delivery == DeliveryMode::ExtInt {
            return Ok(None);
        }
        let shorthand = match value >> 18 & 3 {
            0 => Shorthand::None,
            1 => Shorthand::SelfOnly,
            2 => Shorthand::AllIncludingSelf,
            _ => Shorthand::AllExcludingSelf,
        };
        let needs_vector = matches!(delivery, DeliveryMode::Fixed | DeliveryMode::LowestPriority);
        if needs_vector && vector < 16 {
            self.note_error(error::SEND_ILLEGAL_VECTOR);
            if shorthand == Shorthand::SelfOnly {
                self.note_error(error::RECEIVED_ILLEGAL_VECTOR);
            }
            return Ok(None);
        }
        Ok(Some(ApicMessage {
            destination: match self.x2apic {
                true => (value >> 32) as u32,
                false => ApicMessage::destination_of_8_bits((value >> 56) as u8),
            },
            logical: value >> 11 & 1 != 0,
            delivery,
            vector,
            // The trigger mode means something for INIT only (de-assert is level with level 0).
            level_triggered: delivery == DeliveryMode::Init && value >> 15 & 1 != 0,
            assert: value >> 14 & 1 != 0 || value >> 15 & 1 == 0,
            shorthand,
        }))
    }
}
