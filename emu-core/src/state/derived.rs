//! What the interpreter derives from the architectural state, and when it must do so again.

use super::cpu::Cpu;
use crate::flags::{AC, VM};
use crate::mem::tlb::NO_TAG;
use emu_vmx::arch::cr::{Cr0, Cr4};
use emu_vmx::arch::efer::Efer;
use emu_vmx::arch::segment::{Segment, SegmentRegister};

bitflags::bitflags! {
    /// What the next instruction boundary has to look at.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
    pub struct Attention: u32 {
        /// The PIC's INTR line is high.
        const INTR = 1 << 0;
        /// The local APIC may have an interrupt to deliver.
        const APIC = 1 << 1;
        /// An NMI waits.
        const NMI = 1 << 2;
        /// INIT was received.
        const INIT = 1 << 3;
        /// A start-up IPI was received.
        const SIPI = 1 << 4;
        /// TF, an interrupt shadow, pending debug conditions or instruction breakpoints: run one instruction at a time.
        const STEP = 1 << 5;
        /// The processor does not execute (HLT, shutdown, wait-for-SIPI).
        const STOPPED = 1 << 6;
        /// An SMI was received.
        const SMI = 1 << 7;
        /// VMX non-root operation: something waits that every boundary must look at.
        const VMX = 1 << 8;
    }
}

/// A segment as plain accesses see it.
#[derive(Debug, Clone, Copy, Default)]
pub struct SegmentAccess {
    /// Base; 0 in 64-bit mode but for FS and GS.
    pub base: u64,
    /// An access whose last byte's offset is below this may be read without further checks.
    pub read_bound: u64,
    /// The same for writes.
    pub write_bound: u64,
}

/// Width of code or stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
#[repr(u8)]
pub enum Size {
    /// 16 bits.
    #[default]
    Bits16 = 1,
    /// 32 bits.
    Bits32 = 2,
    /// 64 bits.
    Bits64 = 3,
}

impl Size {
    /// Bits.
    pub fn bits(self) -> u32 {
        8 << self as u32
    }

    /// Mask of that many bits.
    #[inline(always)]
    pub fn mask(self) -> u64 {
        u64::MAX >> (64 - self.bits())
    }
}

/// The mode of operation, as far as decoding and plain execution depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Mode {
    /// Default operand and address size of code; 64 bits only in 64-bit mode.
    pub code: Size,
    /// Stack-address size.
    pub stack: Size,
    /// CR0.PE.
    pub protected: bool,
    /// RFLAGS.VM.
    pub v86: bool,
    /// IA32_EFER.LMA.
    pub long: bool,
}

impl Mode {
    /// 64-bit mode.
    #[inline(always)]
    pub fn is_64bit(self) -> bool {
        self.code == Size::Bits64
    }

    /// Real-address or virtual-8086 mode: segments are loaded as paragraphs.
    #[inline(always)]
    pub fn real_segments(self) -> bool {
        !self.protected || self.v86
    }

    /// The part of the mode that decoded blocks depend on.
    #[inline(always)]
    pub fn key(self) -> u8 {
        self.code as u8 | (self.stack as u8) << 2
    }
}

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
        self.mode = Mode { code, stack, protected: sys.cr0.contains(Cr0::PE), v86: self.flags.has(VM), long };
        self.cs_bound = if code == Size::Bits64 { u64::MAX } else { u64::from(cs.limit) };
        for register in SegmentRegister::USER {
            self.refresh_segment(register);
        }
        self.select_address_space();
        self.refresh_context();
        self.refresh_attention();
        self.leave_block();
    }

    /// Derives the access bounds of one segment register.
    pub fn refresh_segment(&mut self, register: SegmentRegister) {
        let segment = *self.sys.seg(register);
        self.seg_access[register as usize] = segment_access(&segment, register, self.mode);
    }

    /// Derives the translation context: after a change of CPL, CR0.AM, CR4.SMAP, RFLAGS.AC or the address space.
    pub fn refresh_context(&mut self) {
        let user = self.sys.cpl == 3;
        self.context = if user && self.flags.has(AC) && self.sys.cr0.contains(Cr0::AM) {
            self.tlb.context(3)
        } else if user {
            self.tlb.context(0)
        } else if self.sys.cr4.contains(Cr4::SMAP) && !self.flags.has(AC) {
            self.tlb.context(2)
        } else {
            self.tlb.context(1)
        };
        debug_assert_ne!(self.context, NO_TAG);
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
    let bound =
        if rights.unusable() || !rights.present() || rights.expand_down() { 0 } else { u64::from(segment.limit) + 1 };
    // In real-address mode the type of CS's descriptor cache does not keep it from being written.
    let real = mode.real_segments();
    SegmentAccess {
        base: segment.base,
        read_bound: if rights.readable() || real { bound } else { 0 },
        write_bound: if rights.writable() || real { bound } else { 0 },
    }
}
