//! Control-flow enforcement (SDM Vol. 1 chapter 18 "Control-flow Enforcement Technology (CET)").

/// SH_STK_EN: shadow stacks.
pub const SHADOW_STACK: u64 = 1 << 0;
/// WR_SHSTK_EN: WRSS.
pub const WRITE: u64 = 1 << 1;
/// ENDBR_EN: indirect-branch tracking.
pub const ENDBRANCH: u64 = 1 << 2;
/// LEG_IW_EN: legacy compatibility treatment, by the bitmap.
pub const LEGACY: u64 = 1 << 3;
/// NO_TRACK_EN: the no-track prefix.
pub const NO_TRACK: u64 = 1 << 4;
/// SUPPRESS_DIS: legacy code does not suppress tracking.
pub const SUPPRESS_DISABLE: u64 = 1 << 5;
/// SUPPRESS: tracking is suppressed.
pub const SUPPRESS: u64 = 1 << 10;
/// TRACKER: the tracker waits for ENDBRANCH.
pub const TRACKER: u64 = 1 << 11;
/// EB_LEG_BITMAP_BASE: linear address of the legacy code page bitmap.
pub const BITMAP: u64 = !0xFFF;

/// Bits of IA32_U_CET and IA32_S_CET that are not reserved on a processor with these features (SDM Vol. 4 Table 2-2
/// "IA-32 Architectural MSRs").
pub const fn defined(shadow_stacks: bool, tracking: bool) -> u64 {
    let stacks = if shadow_stacks { SHADOW_STACK | WRITE } else { 0 };
    let tracked = ENDBRANCH | LEGACY | NO_TRACK | SUPPRESS_DISABLE | SUPPRESS | TRACKER | BITMAP;
    stacks | if tracking { tracked } else { 0 }
}

/// Busy bit of a supervisor shadow-stack token.
pub const BUSY: u64 = 1;

/// Error codes of #CP (SDM Vol. 3A "Interrupt 21—Control Protection Exception (#CP)").
pub mod code {
    /// Near RET.
    pub const NEAR_RET: u32 = 1;
    /// Far RET or IRET.
    pub const FAR_RET: u32 = 2;
    /// A missing ENDBRANCH.
    pub const ENDBRANCH: u32 = 3;
    /// RSTORSSP.
    pub const RSTORSSP: u32 = 4;
    /// SETSSBSY.
    pub const SETSSBSY: u32 = 5;
}
