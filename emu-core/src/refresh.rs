//! When the interpreter must derive again what it derives from the architectural state.

use crate::mem::tlb::NO_CONTEXT;
use crate::state::cpu::Cpu;
use crate::state::derived::{Mode, SegmentAccess, Size};
use crate::state::flags::{AC, VM};
use crate::state::observed::Watch;
use emu_vmx::arch::cet;
use emu_vmx::arch::cr::{Cr0, Cr4};
use emu_vmx::arch::efer::Efer;
use emu_vmx::arch::segment::{Segment, SegmentRegister};

impl Cpu {
    /// Derives everything again: after any change of CR0, CR4, EFER, RFLAGS.VM, CPL, CS or SS.
    pub fn refresh(&mut self) {
        let sys = &self.sys;
        let long = sys.efer.contains(Efer::LMA);
        let cs = sys.seg(SegmentRegister::Cs);
        let ss = sys.seg(SegmentRegister::Ss);
        let code = if long && cs.access_rights.long() {
            Size::Bits64
        } else if cs.access_rights.default_big() {
            Size::Bits32
        } else {
            Size::Bits16
        };
        let stack = if code == Size::Bits64 {
            Size::Bits64
        } else if ss.access_rights.default_big() {
            Size::Bits32
        } else {
            Size::Bits16
        };
        let (protected, v86) = (sys.cr0.contains(Cr0::PE), self.flags.has(VM));
        let mode = Mode { code, stack, protected, v86, long, ..Mode::default() };
        self.set_mode(self.enforcing(mode));
        let limit = self.sys.seg(SegmentRegister::Cs).limit;
        self.derived.cs_bound = if code == Size::Bits64 { u64::MAX } else { u64::from(limit) };
        for register in SegmentRegister::USER {
            self.refresh_segment(register);
        }
        self.select_address_space();
        self.refresh_attention();
    }

    /// The mode is now `mode`.
    pub(crate) fn set_mode(&mut self, mode: Mode) {
        self.derived.mode = mode;
        self.derived.code_stamp = u64::from(self.sys.index) << 8 | u64::from(mode.key());
    }

    /// `mode` with what CET does in it: neither shadow stacks nor tracking work outside of protected mode (SDM Vol. 1 18.2.2,
    /// 18.3.2 "Terminology").
    fn enforcing(&self, mode: Mode) -> Mode {
        if !self.sys.cr4.contains(Cr4::CET) || mode.real_segments() {
            return Mode { shadow_stack: false, tracking: false, waiting: false, ..mode };
        }
        let control = self.sys.cet.control(self.sys.cpl);
        let tracking = control & cet::ENDBRANCH != 0;
        Mode {
            shadow_stack: control & cet::SHADOW_STACK != 0,
            tracking,
            waiting: tracking && control & cet::TRACKER != 0,
            ..mode
        }
    }

    /// IA32_U_CET, IA32_S_CET or a tracker in them has changed.
    pub(crate) fn refresh_control_flow(&mut self) {
        let mode = self.enforcing(self.derived.mode);
        if mode != self.derived.mode {
            self.set_mode(mode);
            self.leave_block();
        }
    }

    /// Derives everything again after somebody outside of a run has changed the processor, which may have slept until then.
    pub fn changed_from_outside(&mut self) {
        self.refresh();
        self.refresh_recording();
        self.carried.asleep = false;
    }

    /// Derives the access bounds of one segment register.
    pub fn refresh_segment(&mut self, register: SegmentRegister) {
        let segment = *self.sys.seg(register);
        self.seg_access[register as usize] = segment_access(&segment, register, self.derived.mode);
    }

    /// Derives the translation context: after a change of CPL, CR0.AM, CR4.SMAP, RFLAGS.AC or the address space
    /// ([`Cpu::select_address_space`] does it itself). The present block ends.
    pub fn refresh_context(&mut self) {
        self.see_running();
        let user = self.sys.cpl == 3;
        self.derived.context = if user && self.flags.has(AC) && self.sys.cr0.contains(Cr0::AM) {
            self.tlb.context(3)
        } else if user {
            self.tlb.context(0)
        } else if self.sys.cr4.contains(Cr4::SMAP) && !self.flags.has(AC) {
            self.tlb.context(2)
        } else {
            self.tlb.context(1)
        };
        debug_assert!(self.derived.context < NO_CONTEXT);
        let plain = !self.notes.watch.contains(Watch::MEMORY) && !self.has_caches();
        self.fast_context = if plain { self.derived.context } else { NO_CONTEXT };
        self.tlb.stamp_context(self.fast_context);
        self.leave_block();
    }
}

fn segment_access(segment: &Segment, register: SegmentRegister, mode: Mode) -> SegmentAccess {
    if mode.is_64bit() {
        let base = match register {
            SegmentRegister::Fs | SegmentRegister::Gs => segment.base,
            _ => 0,
        };
        return SegmentAccess { base, read_bound: u64::MAX, write_bound: u64::MAX };
    }
    let rights = segment.access_rights;
    // Linear addresses have 32 bits here, and of a base that 64-bit code has loaded the lower half counts (SDM Vol. 3A
    // 3.4.4, "Segment Loading Instructions in IA-32e Mode"). An access that wraps at 4 GiB is not a plain one.
    let base = segment.base & 0xFFFF_FFFF;
    let bound = if rights.unusable() || !rights.present() || rights.expand_down() {
        0
    } else {
        (u64::from(segment.limit) + 1).min((1 << 32) - base)
    };
    // In real-address mode the type of CS's descriptor cache does not keep it from being written.
    let real = mode.real_segments();
    SegmentAccess {
        base,
        read_bound: if rights.readable() || real { bound } else { 0 },
        write_bound: if rights.writable() || real { bound } else { 0 },
    }
}
