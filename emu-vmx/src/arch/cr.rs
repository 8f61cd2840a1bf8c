//! Control registers CR0, CR3, CR4 and debug registers DR6, DR7 (SDM Vol. 3A 2.5 "Control Registers",
//! Vol. 3B 18.2 "Debug Registers").

use serde::{Deserialize, Serialize};

bitflags::bitflags! {
    /// CR0 (SDM Vol. 3A 2.5).
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
    pub struct Cr0: u64 {
        /// Protection enable.
        const PE = 1 << 0;
        /// Monitor coprocessor: WAIT/FWAIT faults with #NM when TS is set.
        const MP = 1 << 1;
        /// Emulation: x87 instructions raise #NM.
        const EM = 1 << 2;
        /// Task switched: x87/SSE instructions raise #NM.
        const TS = 1 << 3;
        /// Extension type: fixed to 1.
        const ET = 1 << 4;
        /// Numeric error: x87 errors are reported by #MF instead of FERR#.
        const NE = 1 << 5;
        /// Write protect: supervisor writes respect read-only pages.
        const WP = 1 << 16;
        /// Alignment mask: with RFLAGS.AC enables #AC at CPL 3.
        const AM = 1 << 18;
        /// Not write-through.
        const NW = 1 << 29;
        /// Cache disable.
        const CD = 1 << 30;
        /// Paging.
        const PG = 1 << 31;
    }
}

impl Cr0 {
    /// Value after RESET# and INIT (CD and NW keep their value at INIT): SDM Vol. 3A Table 10-1.
    pub const RESET: Cr0 = Cr0::from_bits_retain(0x6000_0010);
    /// Bits that software may change with MOV CR0 on every processor.
    pub const DEFINED: u64 = Cr0::all().bits();
}

bitflags::bitflags! {
    /// CR4 (SDM Vol. 3A 2.5).
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
    pub struct Cr4: u64 {
        /// Virtual-8086 mode extensions.
        const VME = 1 << 0;
        /// Protected-mode virtual interrupts.
        const PVI = 1 << 1;
        /// Time stamp disable: RDTSC and RDTSCP only at CPL 0.
        const TSD = 1 << 2;
        /// Debugging extensions: DR4 and DR5 raise #UD.
        const DE = 1 << 3;
        /// Page size extensions: 4 MiB pages in 32-bit paging.
        const PSE = 1 << 4;
        /// Physical address extension.
        const PAE = 1 << 5;
        /// Machine-check enable.
        const MCE = 1 << 6;
        /// Page global enable.
        const PGE = 1 << 7;
        /// Performance-monitoring counter enable: RDPMC at any CPL.
        const PCE = 1 << 8;
        /// Operating system support for FXSAVE and FXRSTOR; enables SSE.
        const OSFXSR = 1 << 9;
        /// Operating system support for unmasked SIMD floating-point exceptions.
        const OSXMMEXCPT = 1 << 10;
        /// User-mode instruction prevention: SGDT, SIDT, SLDT, SMSW, STR raise #GP at CPL > 0.
        const UMIP = 1 << 11;
        /// 57-bit linear addresses: 5-level paging.
        const LA57 = 1 << 12;
        /// VMX enable.
        const VMXE = 1 << 13;
        /// SMX enable.
        const SMXE = 1 << 14;
        /// RDFSBASE, RDGSBASE, WRFSBASE, WRGSBASE enable.
        const FSGSBASE = 1 << 16;
        /// Process-context identifiers enable.
        const PCIDE = 1 << 17;
        /// XSAVE and extended states enable.
        const OSXSAVE = 1 << 18;
        /// Key Locker enable.
        const KL = 1 << 19;
        /// Supervisor-mode execution prevention.
        const SMEP = 1 << 20;
        /// Supervisor-mode access prevention.
        const SMAP = 1 << 21;
        /// Protection keys for user-mode pages.
        const PKE = 1 << 22;
        /// Control-flow enforcement technology.
        const CET = 1 << 23;
        /// Protection keys for supervisor-mode pages.
        const PKS = 1 << 24;
        /// User interrupts enable.
        const UINTR = 1 << 25;
        /// Linear-address-space separation.
        const LASS = 1 << 27;
        /// Linear-address masking for supervisor pointers.
        const LAM_SUP = 1 << 28;
        /// Flexible return and event delivery.
        const FRED = 1 << 32;
    }
}

impl Cr4 {
    /// Bits that take part in how linear addresses are translated: a change of any of these may change the
    /// outcome of a translation.
    pub const PAGING_MODE: Cr4 = Cr4::PSE
        .union(Cr4::PAE)
        .union(Cr4::PGE)
        .union(Cr4::LA57)
        .union(Cr4::PCIDE)
        .union(Cr4::SMEP)
        .union(Cr4::SMAP)
        .union(Cr4::PKE)
        .union(Cr4::CET)
        .union(Cr4::PKS);
}

/// CR3 (SDM Vol. 3A 2.5 and 4.5): paging-structure base, PCID or PWT/PCD, LAM bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Cr3(pub u64);

impl Cr3 {
    /// Page-level write-through (CR4.PCIDE = 0).
    pub const PWT: u64 = 1 << 3;
    /// Page-level cache disable (CR4.PCIDE = 0).
    pub const PCD: u64 = 1 << 4;
    /// LAM for user pointers, 57-bit: bits 62:57 of a pointer are ignored.
    pub const LAM_U57: u64 = 1 << 61;
    /// LAM for user pointers, 48-bit: bits 62:48 of a pointer are ignored.
    pub const LAM_U48: u64 = 1 << 62;
    /// In the source operand of MOV CR3 with CR4.PCIDE = 1: do not invalidate.
    pub const NO_FLUSH: u64 = 1 << 63;

    /// Physical base of the PML4/PML5 table or of a 32-bit page directory (bits M–1:12).
    pub const fn table_base(self) -> u64 {
        self.0 & 0x000F_FFFF_FFFF_F000
    }
    /// Physical base of the page directory in 32-bit paging (bits 31:12).
    pub const fn base_32bit(self) -> u64 {
        self.0 & 0xFFFF_F000
    }
    /// Physical base of the four PDPTEs in PAE paging (bits 31:5).
    pub const fn pdpt_base_pae(self) -> u64 {
        self.0 & 0xFFFF_FFE0
    }
    /// PCID (bits 11:0), meaningful when CR4.PCIDE = 1.
    pub const fn pcid(self) -> u16 {
        (self.0 & 0xFFF) as u16
    }
}

bitflags::bitflags! {
    /// DR6, the debug status register (SDM Vol. 3B 18.2.3). `BUS_LOCK` and `RTM` are 0 when the condition holds.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
    pub struct Dr6: u64 {
        /// Breakpoint 0 detected.
        const B0 = 1 << 0;
        /// Breakpoint 1 detected.
        const B1 = 1 << 1;
        /// Breakpoint 2 detected.
        const B2 = 1 << 2;
        /// Breakpoint 3 detected.
        const B3 = 1 << 3;
        /// Cleared by a bus-lock debug exception; otherwise 1.
        const BUS_LOCK = 1 << 11;
        /// Debug-register access detected (general detect).
        const BD = 1 << 13;
        /// Single step.
        const BS = 1 << 14;
        /// Task switch into a task with the T flag.
        const BT = 1 << 15;
        /// Cleared by #DB or #BP inside an RTM region; otherwise 1.
        const RTM = 1 << 16;
    }
}

impl Dr6 {
    /// Value after reset; the bits that read as 1.
    pub const RESET: Dr6 = Dr6::from_bits_retain(0xFFFF_0FF0);
    /// Bits that are always 1 (bus-lock detection and RTM not supported).
    pub const FIXED_1: u64 = 0xFFFF_0FF0;
    /// Bits that MOV to DR6 may change (without RTM and bus-lock detection).
    pub const WRITABLE: u64 = 0x0000_E00F;
    /// Value that MOV from DR6 gives after a write of `source`.
    pub const fn from_write(source: u64) -> Dr6 {
        Dr6::from_bits_retain((source & Self::WRITABLE) | Self::FIXED_1)
    }
}

/// What a breakpoint of DR7 watches (field R/Wn, SDM Vol. 3B 18.2.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum BreakpointKind {
    /// 00b: instruction execution.
    Execute,
    /// 01b: data writes.
    Write,
    /// 10b: I/O reads or writes when CR4.DE = 1, undefined otherwise.
    Io,
    /// 11b: data reads or writes, not instruction fetches.
    ReadWrite,
}

bitflags::bitflags! {
    /// DR7, the debug control register (SDM Vol. 3B 18.2.4).
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
    pub struct Dr7: u64 {
        /// Local enable of breakpoint 0.
        const L0 = 1 << 0;
        /// Global enable of breakpoint 0.
        const G0 = 1 << 1;
        /// Local enable of breakpoint 1.
        const L1 = 1 << 2;
        /// Global enable of breakpoint 1.
        const G1 = 1 << 3;
        /// Local enable of breakpoint 2.
        const L2 = 1 << 4;
        /// Global enable of breakpoint 2.
        const G2 = 1 << 5;
        /// Local enable of breakpoint 3.
        const L3 = 1 << 6;
        /// Global enable of breakpoint 3.
        const G3 = 1 << 7;
        /// Local exact breakpoints.
        const LE = 1 << 8;
        /// Global exact breakpoints.
        const GE = 1 << 9;
        /// Reserved, always 1.
        const FIXED_1 = 1 << 10;
        /// Restricted transactional memory debugging.
        const RTM = 1 << 11;
        /// General detect: MOV to or from a debug register raises #DB.
        const GD = 1 << 13;
        /// R/W and LEN fields of the four breakpoints.
        const CONDITIONS = 0xFFFF_0000;
    }
}

impl Dr7 {
    /// Value after reset.
    pub const RESET: Dr7 = Dr7::from_bits_retain(0x400);
    /// Local and global enable bits of all breakpoints.
    pub const ENABLES: u64 = 0xFF;
    /// Value that a MOV to DR7 leaves (RTM not supported): bit 10 is 1, bits 11, 12, 14, 15 are 0.
    pub const fn from_write(source: u64) -> Dr7 {
        Dr7::from_bits_retain((source & 0xFFFF_23FF) | 0x400)
    }
    /// Whether breakpoint `n` (0–3) is enabled locally or globally.
    pub const fn enabled(self, n: u8) -> bool {
        (self.bits() >> ((n & 3) * 2)) & 3 != 0
    }
    /// What breakpoint `n` (0–3) watches.
    pub const fn kind(self, n: u8) -> BreakpointKind {
        match (self.bits() >> (16 + (n & 3) * 4)) & 3 {
            0 => BreakpointKind::Execute,
            1 => BreakpointKind::Write,
            2 => BreakpointKind::Io,
            _ => BreakpointKind::ReadWrite,
        }
    }
    /// Length in bytes that breakpoint `n` (0–3) watches: 1, 2, 4 or 8.
    pub const fn len(self, n: u8) -> u64 {
        match (self.bits() >> (18 + (n & 3) * 4)) & 3 {
            0 => 1,
            1 => 2,
            2 => 8,
            _ => 4,
        }
    }
}
