//! RFLAGS (SDM Vol. 1 3.4.3 "EFLAGS Register", Vol. 3A 2.3 "System Flags and Fields in the EFLAGS Register").

use serde::{Deserialize, Serialize};

bitflags::bitflags! {
    /// RFLAGS.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
    pub struct Rflags: u64 {
        /// Carry.
        const CF = 1 << 0;
        /// Reserved, always 1.
        const FIXED_1 = 1 << 1;
        /// Parity of the low byte.
        const PF = 1 << 2;
        /// Auxiliary carry.
        const AF = 1 << 4;
        /// Zero.
        const ZF = 1 << 6;
        /// Sign.
        const SF = 1 << 7;
        /// Trap: single-step.
        const TF = 1 << 8;
        /// Interrupt enable.
        const IF = 1 << 9;
        /// Direction of string instructions.
        const DF = 1 << 10;
        /// Overflow.
        const OF = 1 << 11;
        /// I/O privilege level, two bits.
        const IOPL = 3 << 12;
        /// Nested task.
        const NT = 1 << 14;
        /// Resume: instruction breakpoints are ignored for one instruction.
        const RF = 1 << 16;
        /// Virtual-8086 mode.
        const VM = 1 << 17;
        /// Alignment check, and SMAP override.
        const AC = 1 << 18;
        /// Virtual interrupt flag.
        const VIF = 1 << 19;
        /// Virtual interrupt pending.
        const VIP = 1 << 20;
        /// CPUID is available when this can be changed.
        const ID = 1 << 21;
    }
}

impl Rflags {
    /// Value after reset.
    pub const RESET: Rflags = Rflags::FIXED_1;
    /// The six arithmetic flags OF, SF, ZF, AF, PF, CF.
    pub const STATUS: Rflags =
        Rflags::CF.union(Rflags::PF).union(Rflags::AF).union(Rflags::ZF).union(Rflags::SF).union(Rflags::OF);
    /// Bits that are always 0: 63:22, 15, 5, 3.
    pub const RESERVED_0: u64 = !0x003F_7FD7;

    /// I/O privilege level, 0–3.
    pub const fn iopl(self) -> u8 {
        ((self.bits() >> 12) & 3) as u8
    }
    /// The flags with the I/O privilege level replaced.
    pub const fn with_iopl(self, iopl: u8) -> Rflags {
        Rflags::from_bits_retain((self.bits() & !(3 << 12)) | (((iopl & 3) as u64) << 12))
    }
}
