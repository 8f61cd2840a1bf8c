//! The performance monitoring that a model reports: CPUID leaf 0Ah (SDM Vol. 2A, CPUID, "Architectural Performance
//! Monitoring Leaf") and IA32_PERF_CAPABILITIES.

use super::CpuidResult;

/// Most general-purpose counters.
pub const GENERAL: usize = 8;
/// Most fixed-function counters: instructions retired, core cycles, reference cycles.
pub const FIXED: usize = 3;

/// An architectural event (SDM Vol. 3B, "Pre-defined Architectural Performance Events").
#[derive(Debug, PartialEq, Eq)]
pub struct ArchitecturalEvent {
    /// Its bit of CPUID.0AH:EBX, where 1 says that there is none.
    pub bit: u32,
    /// What `--cpu-model` calls it.
    pub name: &'static str,
    /// What is counted.
    pub words: &'static str,
}

const fn event(bit: u32, name: &'static str, words: &'static str) -> ArchitecturalEvent {
    ArchitecturalEvent { bit, name, words }
}

/// The events that CPUID speaks of.
pub static EVENTS: [ArchitecturalEvent; 8] = [
    event(0, "event_core_cycles", "counters of core cycles"),
    event(1, "event_instructions", "counters of instructions retired"),
    event(2, "event_reference_cycles", "counters of reference cycles"),
    event(3, "event_llc_references", "counters of references to the last-level cache"),
    event(4, "event_llc_misses", "counters of misses of the last-level cache"),
    event(5, "event_branches", "counters of branch instructions retired"),
    event(6, "event_branch_misses", "counters of mispredicted branches retired"),
    event(7, "event_topdown_slots", "counters of issue slots"),
];

impl ArchitecturalEvent {
    /// Whether leaf 0Ah offers it.
    pub(super) fn is_in(&self, leaf: &CpuidResult) -> bool {
        leaf.eax & 0xFF != 0 && leaf.eax >> 24 > self.bit && leaf.ebx >> self.bit & 1 == 0
    }
}

/// Counters, and how they are controlled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PmuModel {
    /// Version of architectural performance monitoring, 1 to 5; 0 without.
    pub version: u8,
    /// General-purpose counters, 8 at most.
    pub general: u8,
    /// Their width, bits.
    pub width: u8,
    /// Fixed-function counters, 3 at most.
    pub fixed: u8,
    /// Their width, bits.
    pub fixed_width: u8,
    /// The AnyThread bits may be set.
    pub any_thread: bool,
    /// Bit 19 of IA32_PERFEVTSELx, pin control, may be set.
    pub pin_control: bool,
    /// IA32_A_PMCx exist: IA32_PERF_CAPABILITIES.FW_WRITE.
    pub full_writes: bool,
    /// IA32_DEBUGCTL.FREEZE_WHILE_SMM exists: IA32_PERF_CAPABILITIES.FREEZE_WHILE_SMM.
    pub freezes_in_smm: bool,
    /// Events that can be counted: bit n for bit n of CPUID.0AH:EBX.
    pub events: u8,
}

/// IA32_PERF_CAPABILITIES.FW_WRITE.
const FULL_WRITES: u64 = 1 << 13;
/// IA32_PERF_CAPABILITIES.FREEZE_WHILE_SMM.
const FREEZES_IN_SMM: u64 = 1 << 12;

impl PmuModel {
    pub(super) fn new(leaf: &CpuidResult, capabilities: Option<u64>, signature: u32) -> Self {
        let version = leaf.eax as u8;
        let freezes_in_smm = capabilities.is_some_and(|value| value & FREEZES_IN_SMM != 0);
        if version == 0 {
            return Self { freezes_in_smm, ..Self::default() };
        }
        let fixed = if version >= 2 { (leaf.edx & 0x1F) as u8 } else { 0 };
        Self {
            version,
            general: ((leaf.eax >> 8) as u8).min(GENERAL as u8),
            width: ((leaf.eax >> 16) as u8).clamp(1, 64),
            fixed: fixed.min(FIXED as u8),
            fixed_width: ((leaf.edx >> 5) as u8).clamp(1, 64),
            any_thread: version >= 3 && leaf.edx >> 15 & 1 == 0,
            pin_control: has_pin_control(signature),
            full_writes: capabilities.is_some_and(|value| value & FULL_WRITES != 0),
            freezes_in_smm,
            events: EVENTS.iter().filter(|event| event.is_in(leaf)).fold(0, |all, event| all | 1 << event.bit),
        }
    }

    /// The bits that a counter has in IA32_PERF_GLOBAL_CTRL and, for its overflow, in IA32_PERF_GLOBAL_STATUS: of all of
    /// them.
    pub fn global_mask(&self) -> u64 {
        let first = |count: u8| (1u64 << count) - 1;
        first(self.general) | first(self.fixed) << 32
    }
}

/// Whether IA32_PERFEVTSELx has pin control: up to the microarchitectures before Sandy Bridge (SDM Vol. 3B, "Architectural
/// Performance Monitoring Version 1"). By the processor signature, CPUID.01H:EAX (SDM Vol. 4 Table 2-1 "CPUID Signature Values
/// of DisplayFamily_DisplayModel").
fn has_pin_control(signature: u32) -> bool {
    let (family, model) = (signature >> 8 & 0xF, signature >> 12 & 0xF0 | signature >> 4 & 0xF);
    // Up to Westmere, whose last model is 2FH, and Bonnell; Sandy Bridge begins at 2AH.
    family == 6 && (model < 0x2A || matches!(model, 0x2C | 0x2E | 0x2F | 0x35 | 0x36))
}

/// What of a real processor's leaf 0Ah is offered: the version, as many counters and as many bits of events as `max` has.
/// Which of these events there are, is the model's.
pub(super) fn offered(real: CpuidResult, max: &CpuidResult) -> CpuidResult {
    let least = |shift: u32, mask: u32, of: u32, max: u32| (of >> shift & mask).min(max >> shift & mask) << shift;
    let events = least(24, 0xFF, real.eax, max.eax);
    CpuidResult {
        eax: real.eax & 0x00FF_0000 | least(0, 0xFF, real.eax, max.eax) | least(8, 0xFF, real.eax, max.eax) | events,
        ebx: real.ebx & ((1u64 << (events >> 24)) - 1) as u32,
        ecx: real.ecx & max.ecx,
        edx: real.edx & !0x1F | least(0, 0x1F, real.edx, max.edx),
    }
}

#[cfg(test)]
mod tests {
    use super::has_pin_control;

    #[test]
    fn pin_control_ends_with_sandy_bridge() {
        // Core 2, Nehalem, Westmere, Westmere-EX; Sandy Bridge, Sandy Bridge-E, Haswell, Sapphire Rapids, NetBurst.
        for (signature, there) in [
            (0x1_067A, true),
            (0x1_06A5, true),
            (0x2_0652, true),
            (0x2_06F2, true),
            (0x2_06A7, false),
            (0x2_06D7, false),
            (0x3_06C3, false),
            (0x8_06F8, false),
            (0x0F43, false),
        ] {
            assert_eq!(has_pin_control(signature), there, "{signature:#x}");
        }
    }
}
