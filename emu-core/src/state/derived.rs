//! What the interpreter derives from the architectural state: see [`crate::refresh`].

pub use super::attention::Attention;

/// What plain execution needs to know of the architectural state at once.
#[derive(Debug, Clone, Copy, Default)]
pub struct Derived {
    /// The translation context that plain accesses have (see [`Tlb`](crate::mem::tlb::Tlb)).
    pub context: u64,
    /// Present mode.
    pub mode: Mode,
    /// Whose decoded code may run, and how: [`Mode::key`], above it the processor's index.
    pub code_stamp: u64,
    /// Highest valid offset in CS.
    pub cs_bound: u64,
    /// The [`Ram::map_epoch`](crate::mem::ram::Ram::map_epoch) that the TLB was filled under.
    pub seen_map_epoch: u64,
    /// What the TLB has seen of [`Ram::code_epoch`](crate::mem::ram::Ram::code_epoch).
    pub seen_code_epoch: u64,
    /// What IA32_MISC_ENABLE hides.
    pub hidden: Hidden,
    /// Branches are recorded, and instructions run one by one for it.
    pub records_branches: bool,
}

/// Features that software has hidden by IA32_MISC_ENABLE.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hidden {
    /// MONITOR and MWAIT.
    pub monitor: bool,
    /// Basic leaves of CPUID above 2.
    pub high_leaves: bool,
    /// Execute-disable.
    pub execute_disable: bool,
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
    /// Shadow stacks are enabled at CPL.
    pub shadow_stack: bool,
    /// Indirect branches are tracked at CPL.
    pub tracking: bool,
    /// The tracker waits for ENDBRANCH.
    pub waiting: bool,
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

    /// CET works: branches are more than branches.
    #[inline(always)]
    pub fn enforces(self) -> bool {
        self.shadow_stack || self.tracking
    }

    /// The part of the mode that decoded blocks depend on.
    #[inline(always)]
    pub fn key(self) -> u8 {
        self.code as u8
            | (self.stack as u8) << 2
            | u8::from(self.real_segments()) << 4
            | u8::from(self.shadow_stack) << 5
            | u8::from(self.tracking) << 6
            | u8::from(self.waiting) << 7
    }
}
