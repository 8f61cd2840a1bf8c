//! Indirect-branch tracking (SDM Vol. 1 18.3 "Indirect Branch Tracking"): the trackers of CPL 3 and of the other levels.

use crate::fault::{Exec, Stop};
use crate::mem::walk::{Access, Kind};
use crate::state::cpu::{Cpu, Env};
use emu_vmx::arch::cet::{self, code};
use emu_vmx::arch::cr::Cr4;

impl Cpu {
    /// Whether indirect branches are tracked at a privilege level of protected mode.
    #[inline]
    pub fn tracking_enabled(&self, cpl: u8) -> bool {
        self.sys.cr4.contains(Cr4::CET) && self.sys.cet.control(cpl) & cet::ENDBRANCH != 0
    }

    /// A far JMP or CALL, an event, SYSCALL or SYSENTER has led to CPL: ENDBRANCH must follow (SDM Vol. 1 18.3.3 "Indirect
    /// Branch Tracking").
    #[inline]
    pub fn expect_endbranch(&mut self) {
        if self.tracking_enabled(self.sys.cpl) && !self.derived.mode.v86 {
            let control = self.sys.cet.control_mut(self.sys.cpl);
            *control = *control & !cet::SUPPRESS | cet::TRACKER;
            self.refresh_control_flow();
        }
    }

    /// A near indirect JMP or CALL, with or without the no-track prefix.
    pub fn track_near_branch(&mut self, prefixed: bool) {
        let control = self.sys.cet.control_mut(self.sys.cpl);
        let untracked = *control & cet::SUPPRESS != 0 || prefixed && *control & cet::NO_TRACK != 0;
        if self.derived.mode.tracking && !untracked {
            *control |= cet::TRACKER;
            self.refresh_control_flow();
        }
    }

    /// ENDBRANCH: the tracker is idle and not suppressed.
    pub fn end_branch(&mut self) {
        let control = self.sys.cet.control_mut(self.sys.cpl);
        *control &= !(cet::TRACKER | cet::SUPPRESS);
        self.refresh_control_flow();
    }

    /// Another instruction at `rip` than the ENDBRANCH that the tracker waits for: #CP, or where the bitmap of legacy code
    /// pages allows it, the instruction comes again with the tracker idle (SDM Vol. 1 18.3.6 "Legacy Compatibility
    /// Treatment").
    pub fn miss_endbranch(&mut self, env: &mut Env, rip: u64) -> Exec {
        let control = self.sys.cet.control(self.sys.cpl);
        if control & cet::LEGACY != 0 && self.is_legacy_page(env, control & cet::BITMAP, self.linear_ip(rip))? {
            let suppress = if control & cet::SUPPRESS_DISABLE == 0 { cet::SUPPRESS } else { 0 };
            *self.sys.cet.control_mut(self.sys.cpl) = control & !(cet::TRACKER | cet::SUPPRESS) | suppress;
            self.refresh_control_flow();
            // The bitmap has been read: unlike that of an access which comes again, the time is over, and what is due by now
            // comes before the instruction, wherever in a block this was.
            self.scratch.walking = 0;
            return Err(Stop::Alone);
        }
        self.control_protection(code::ENDBRANCH)
    }

    /// The bit of the legacy code page bitmap for a linear address.
    fn is_legacy_page(&mut self, env: &mut Env, bitmap: u64, lip: u64) -> Result<bool, Stop> {
        let bits = if self.derived.mode.is_64bit() { u32::from(self.linear_width()) } else { 32 };
        let page = (lip & (u64::MAX >> (64 - bits))) >> 12;
        let at = self.wrap_system(bitmap.wrapping_add(page >> 3));
        if self.derived.mode.long && !self.is_canonical(at) {
            return self.gp(0);
        }
        let byte = self.read_linear(env, at, 1, Access::data(Kind::Read, self.sys.cpl == 3))?;
        Ok(byte >> (page & 7) & 1 != 0)
    }
}
