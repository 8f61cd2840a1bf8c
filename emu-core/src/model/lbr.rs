//! The last branch records of a model (SDM Vol. 3B 18.4.8, "LBR Stack"; chapter 19, "Last Branch Records").

use super::{CpuidResult, ModelError};
use emu_vmx::arch::msr::*;
use serde::Deserialize;

/// Most records of a model.
pub const RECORDS: usize = 32;

/// How last branch records are kept: the stack of a microarchitecture as its model's file describes it, or the
/// architectural ones of CPUID leaf 1Ch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LbrModel {
    /// Records, 32 at most.
    pub entries: u8,
    /// Number of the register with the first source address.
    pub from: u32,
    /// The same for target addresses.
    pub to: u32,
    /// The same for what else a record has; 0 without such registers.
    #[serde(default)]
    pub info: u32,
    /// The bits of MSR_LBR_SELECT; 0 without that register.
    #[serde(default)]
    pub select: u64,
    /// What a record looks like: IA32_PERF_CAPABILITIES.LBR_FMT.
    pub format: u8,
    /// Bits of IA32_LBR_CTL that may be written; 0 unless they are the architectural records.
    #[serde(skip)]
    pub control: u64,
    /// Depths that IA32_LBR_DEPTH takes: bit n for 8 (n + 1) records.
    #[serde(skip)]
    pub depths: u8,
    /// Bits of IA32_LBR_x_INFO that are recorded; 0 unless they are the architectural records.
    #[serde(skip)]
    pub information: u64,
}

/// Flags of MSR_LASTBRANCH_x_FROM_IP, MSR_LBR_INFO_x and IA32_LBR_x_INFO.
pub mod flag {
    /// It was mispredicted.
    pub const MISPRED: u64 = 1 << 63;
    /// In a source address: IN_TSX and TSX_ABORT.
    pub const TRANSACTION: u64 = 3 << 61;
    /// The count of cycles is one.
    pub const CYC_CNT_VALID: u64 = 1 << 60;
    /// The lowest bit of BR_TYPE, of four.
    pub const TYPE_SHIFT: u32 = 56;
    /// Elapsed cycles.
    pub const CYCLES: u64 = 0xFFFF;
}

/// Formats of records (SDM Vol. 3B 18.4.8.1, "LBR Stack and Intel 64 Processors").
pub mod format {
    /// Offsets of 32 bits.
    pub const OFFSET32: u8 = 0;
    /// Linear addresses.
    pub const LINEAR: u8 = 1;
    /// Offsets of 64 bits.
    pub const OFFSET: u8 = 2;
    /// Offsets, and with the source whether it was mispredicted.
    pub const FLAGS: u8 = 3;
    /// The same, and flags of transactions.
    pub const TRANSACTIONS: u8 = 4;
    /// Offsets; flags and elapsed cycles in a register of their own.
    pub const INFO: u8 = 5;
    /// The architectural records.
    pub const ARCHITECTURAL: u8 = 0x3F;
}

/// The registers of stacks, that of sources and that of targets, and how many of each there are room for.
const STACKS: [(u32, u32, u8); 2] = [
    (MSR_LASTBRANCH_0_FROM_LIP, MSR_LASTBRANCH_0_TO_LIP, 8),
    (MSR_LASTBRANCH_0_FROM_IP, MSR_LASTBRANCH_0_TO_IP, RECORDS as u8),
];

/// CPUID leaf 1Ch.
pub(super) const LEAF: u32 = 0x1C;

impl LbrModel {
    /// The architectural records as leaf 1Ch offers them; `None` if it offers no depth.
    pub(super) fn architectural(leaf: &CpuidResult) -> Option<Self> {
        // Depths beyond the room that there is are not offered.
        let depths = leaf.eax as u8 & ((1u16 << (RECORDS / 8)) - 1) as u8;
        let deepest = 8u32.checked_sub(depths.leading_zeros()).filter(|n| *n != 0)?;
        let bits = |feature: u32, mask: u64| if leaf.ebx >> feature & 1 != 0 { mask } else { 0 };
        Some(Self {
            entries: (8 * deepest) as u8,
            from: IA32_LBR_0_FROM_IP,
            to: IA32_LBR_0_TO_IP,
            info: IA32_LBR_0_INFO,
            select: 0,
            format: format::ARCHITECTURAL,
            control: 1 | bits(0, 0x6) | bits(1, 0x7F_0000) | bits(2, 0x8),
            depths,
            information: [flag::MISPRED, flag::CYC_CNT_VALID | flag::CYCLES, 0xF << flag::TYPE_SHIFT]
                .iter()
                .enumerate()
                .fold(0, |all, (n, field)| if leaf.ecx >> n & 1 != 0 { all | field } else { all }),
        })
    }

    /// Whether they are the architectural ones.
    #[inline]
    pub fn is_architectural(&self) -> bool {
        self.format == format::ARCHITECTURAL
    }

    /// Whether IA32_LBR_DEPTH takes this.
    pub fn has_depth(&self, depth: u64) -> bool {
        depth.is_multiple_of(8) && (8..=8 * 8).contains(&depth) && self.depths >> (depth / 8 - 1) & 1 != 0
    }

    /// What of a model's file makes no sense.
    pub(super) fn check(&self) -> Result<(), ModelError> {
        let wrong = |place: &str, what: String| Err(ModelError::Invalid { place: format!("lbr.{place}"), what });
        let Some((_, _, room)) = STACKS.iter().find(|stack| (stack.0, stack.1) == (self.from, self.to)) else {
            let known: Vec<String> = STACKS.iter().map(|stack| format!("{:#X} and {:#X}", stack.0, stack.1)).collect();
            return wrong(
                "from",
                format!("there is no stack at {:#X} and {:#X}; give {}", self.from, self.to, known.join(" or ")),
            );
        };
        if !self.entries.is_power_of_two() || self.entries > *room {
            return wrong("entries", format!("{} records; give a power of two up to {room}", self.entries));
        }
        if self.format > format::INFO {
            return wrong("format", format!("{} is no format of records; give 0 to {}", self.format, format::INFO));
        }
        let info = if self.format == format::INFO { MSR_LBR_INFO_0 } else { 0 };
        if self.info != info {
            return wrong("info", format!("{:#X}; with format {} it is {info:#X}", self.info, self.format));
        }
        if self.select & !0x3FF != 0 {
            return wrong("select", format!("{:#X}; MSR_LBR_SELECT has bits 9:0", self.select));
        }
        Ok(())
    }
}

/// What of a real processor's leaf 1Ch is offered: depths and capabilities that `max` has.
pub(super) fn offered(real: CpuidResult, max: &CpuidResult) -> CpuidResult {
    CpuidResult { eax: real.eax & max.eax, ebx: real.ebx & max.ebx, ecx: real.ecx & max.ecx, edx: 0 }
}
