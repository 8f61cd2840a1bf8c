//! The bits of VMCS fields by the SDM's names, for dumps, messages and debuggers.

use crate::arch::{Cr0, Cr4, Efer, Rflags};
use crate::field::Field;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// A bit and its name.
pub type Bit = (u32, &'static str);

const PIN: &[Bit] = &[
    (0, "External-interrupt exiting"),
    (3, "NMI exiting"),
    (5, "Virtual NMIs"),
    (6, "Activate VMX-preemption timer"),
    (7, "Process posted interrupts"),
];
const PRIMARY: &[Bit] = &[
    (2, "Interrupt-window exiting"),
    (3, "Use TSC offsetting"),
    (7, "HLT exiting"),
    (9, "INVLPG exiting"),
    (10, "MWAIT exiting"),
    (11, "RDPMC exiting"),
    (12, "RDTSC exiting"),
    (15, "CR3-load exiting"),
    (16, "CR3-store exiting"),
    (17, "Activate tertiary controls"),
    (19, "CR8-load exiting"),
    (20, "CR8-store exiting"),
    (21, "Use TPR shadow"),
    (22, "NMI-window exiting"),
    (23, "MOV-DR exiting"),
    (24, "Unconditional I/O exiting"),
    (25, "Use I/O bitmaps"),
    (27, "Monitor trap flag"),
    (28, "Use MSR bitmaps"),
    (29, "MONITOR exiting"),
    (30, "PAUSE exiting"),
    (31, "Activate secondary controls"),
];
const SECONDARY: &[Bit] = &[
    (0, "Virtualize APIC accesses"),
    (1, "Enable EPT"),
    (2, "Descriptor-table exiting"),
    (3, "Enable RDTSCP"),
    (4, "Virtualize x2APIC mode"),
    (5, "Enable VPID"),
    (6, "WBINVD exiting"),
    (7, "Unrestricted guest"),
    (8, "APIC-register virtualization"),
    (9, "Virtual-interrupt delivery"),
    (10, "PAUSE-loop exiting"),
    (11, "RDRAND exiting"),
    (12, "Enable INVPCID"),
    (13, "Enable VM functions"),
    (14, "VMCS shadowing"),
    (15, "Enable ENCLS exiting"),
    (16, "RDSEED exiting"),
    (17, "Enable PML"),
    (18, "EPT-violation #VE"),
    (19, "Conceal VMX from PT"),
    (20, "Enable XSAVES/XRSTORS"),
    (21, "PASID translation"),
    (22, "Mode-based execute control for EPT"),
    (23, "Sub-page write permissions for EPT"),
    (24, "Intel PT uses guest physical addresses"),
    (25, "Use TSC scaling"),
    (26, "Enable user wait and pause"),
    (27, "Enable PCONFIG"),
    (28, "Enable ENCLV exiting"),
    (30, "VMM bus-lock detection"),
    (31, "Instruction timeout"),
];
const TERTIARY: &[Bit] = &[
    (0, "LOADIWKEY exiting"),
    (1, "Enable HLAT"),
    (2, "EPT paging-write control"),
    (3, "Guest-paging verification"),
    (4, "IPI virtualization"),
    (6, "Enable MSR-list instructions"),
    (7, "Virtualize IA32_SPEC_CTRL"),
];
const EXIT: &[Bit] = &[
    (2, "Save debug controls"),
    (9, "Host address-space size"),
    (12, "Load IA32_PERF_GLOBAL_CTRL"),
    (15, "Acknowledge interrupt on exit"),
    (18, "Save IA32_PAT"),
    (19, "Load IA32_PAT"),
    (20, "Save IA32_EFER"),
    (21, "Load IA32_EFER"),
    (22, "Save VMX-preemption timer value"),
    (23, "Clear IA32_BNDCFGS"),
    (24, "Conceal VMX from PT"),
    (25, "Clear IA32_RTIT_CTL"),
    (26, "Clear IA32_LBR_CTL"),
    (27, "Clear UINV"),
    (28, "Load CET state"),
    (29, "Load PKRS"),
    (30, "Save IA32_PERF_GLOBAL_CTRL"),
    (31, "Activate secondary controls"),
];
const SECONDARY_EXIT: &[Bit] = &[(2, "Load IA32_SPEC_CTRL"), (3, "Prematurely busy shadow stack")];
const ENTRY: &[Bit] = &[
    (2, "Load debug controls"),
    (9, "IA-32e mode guest"),
    (10, "Entry to SMM"),
    (11, "Deactivate dual-monitor treatment"),
    (13, "Load IA32_PERF_GLOBAL_CTRL"),
    (14, "Load IA32_PAT"),
    (15, "Load IA32_EFER"),
    (16, "Load IA32_BNDCFGS"),
    (17, "Conceal VMX from PT"),
    (18, "Load IA32_RTIT_CTL"),
    (19, "Load UINV"),
    (20, "Load CET state"),
    (21, "Load guest IA32_LBR_CTL"),
    (22, "Load PKRS"),
    (24, "Load IA32_SPEC_CTRL"),
];
const FUNCTIONS: &[Bit] = &[(0, "EPTP switching")];
const INTERRUPTIBILITY: &[Bit] = &[
    (0, "blocking by STI"),
    (1, "blocking by MOV SS"),
    (2, "blocking by SMI"),
    (3, "blocking by NMI"),
    (4, "enclave interruption"),
];
const PENDING_DEBUG: &[Bit] =
    &[(0, "B0"), (1, "B1"), (2, "B2"), (3, "B3"), (11, "BLD"), (12, "enabled breakpoint"), (14, "BS"), (16, "RTM")];
const DEBUGCTL: &[Bit] = &[
    (0, "LBR"),
    (1, "BTF"),
    (2, "BLD"),
    (6, "TR"),
    (7, "BTS"),
    (8, "BTINT"),
    (9, "BTS_OFF_OS"),
    (10, "BTS_OFF_USR"),
    (11, "FREEZE_LBRS_ON_PMI"),
    (12, "FREEZE_PERFMON_ON_PMI"),
    (13, "ENABLE_UNCORE_PMI"),
    (14, "FREEZE_WHILE_SMM"),
    (15, "RTM_DEBUG"),
];
const EXCEPTIONS: &[Bit] = &[
    (0, "#DE"),
    (1, "#DB"),
    (2, "NMI"),
    (3, "#BP"),
    (4, "#OF"),
    (5, "#BR"),
    (6, "#UD"),
    (7, "#NM"),
    (8, "#DF"),
    (9, "vector 9"),
    (10, "#TS"),
    (11, "#NP"),
    (12, "#SS"),
    (13, "#GP"),
    (14, "#PF"),
    (15, "vector 15"),
    (16, "#MF"),
    (17, "#AC"),
    (18, "#MC"),
    (19, "#XM"),
    (20, "#VE"),
    (21, "#CP"),
];
const EPTP: &[Bit] = &[(6, "accessed and dirty flags"), (7, "supervisor shadow-stack pages")];

const DR7: &[Bit] = &[
    (0, "L0"),
    (1, "G0"),
    (2, "L1"),
    (3, "G1"),
    (4, "L2"),
    (5, "G2"),
    (6, "L3"),
    (7, "G3"),
    (8, "LE"),
    (9, "GE"),
    (11, "RTM"),
    (13, "GD"),
];
const S_CET: &[Bit] = &[
    (0, "SH_STK_EN"),
    (1, "WR_SHSTK_EN"),
    (2, "ENDBR_EN"),
    (3, "LEG_IW_EN"),
    (4, "NO_TRACK_EN"),
    (5, "SUPPRESS_DIS"),
    (10, "SUPPRESS"),
    (11, "TRACKER"),
];
const BNDCFGS: &[Bit] = &[(0, "EN"), (1, "BNDPRESERVE")];
const RTIT_CTL: &[Bit] = &[
    (0, "TraceEn"),
    (1, "CYCEn"),
    (2, "OS"),
    (3, "User"),
    (4, "PwrEvtEn"),
    (5, "FUPonPTW"),
    (6, "FabricEn"),
    (7, "CR3Filter"),
    (8, "ToPA"),
    (9, "MTCEn"),
    (10, "TSCEn"),
    (11, "DisRETC"),
    (12, "PTWEn"),
    (13, "BranchEn"),
    (31, "EventEn"),
    (55, "DisTNT"),
    (56, "InjectPsbPmiOnEnable"),
];
const LBR_CTL: &[Bit] = &[
    (0, "LBREn"),
    (1, "OS"),
    (2, "USR"),
    (3, "CALL_STACK"),
    (16, "JCC"),
    (17, "NEAR_REL_JMP"),
    (18, "NEAR_IND_JMP"),
    (19, "NEAR_REL_CALL"),
    (20, "NEAR_IND_CALL"),
    (21, "NEAR_RET"),
    (22, "OTHER_BRANCH"),
];
const PERF_GLOBAL_CTRL: &[Bit] = &[
    (0, "EN_PMC0"),
    (1, "EN_PMC1"),
    (2, "EN_PMC2"),
    (3, "EN_PMC3"),
    (4, "EN_PMC4"),
    (5, "EN_PMC5"),
    (6, "EN_PMC6"),
    (7, "EN_PMC7"),
    (32, "EN_FIXED_CTR0"),
    (33, "EN_FIXED_CTR1"),
    (34, "EN_FIXED_CTR2"),
    (35, "EN_FIXED_CTR3"),
    (48, "EN_PERF_METRICS"),
];

/// The bits of a field that have names of their own; empty if it is no set of bits, or its bits are a register's
/// ([`bit_names`] knows those, too).
fn table(field: Field) -> &'static [Bit] {
    match field {
        Field::PinBasedControls => PIN,
        Field::PrimaryProcessorControls => PRIMARY,
        Field::SecondaryProcessorControls => SECONDARY,
        Field::TertiaryProcessorControls => TERTIARY,
        Field::VmExitControls => EXIT,
        Field::SecondaryVmExitControls => SECONDARY_EXIT,
        Field::VmEntryControls => ENTRY,
        Field::VmFunctionControls => FUNCTIONS,
        Field::GuestInterruptibilityState => INTERRUPTIBILITY,
        Field::GuestPendingDebugExceptions => PENDING_DEBUG,
        Field::GuestIa32Debugctl => DEBUGCTL,
        Field::ExceptionBitmap => EXCEPTIONS,
        Field::EptPointer => EPTP,
        Field::GuestDr7 => DR7,
        Field::GuestIa32SCet | Field::HostIa32SCet => S_CET,
        Field::GuestIa32Bndcfgs => BNDCFGS,
        Field::GuestIa32RtitCtl => RTIT_CTL,
        Field::GuestIa32LbrCtl => LBR_CTL,
        Field::GuestIa32PerfGlobalCtrl | Field::HostIa32PerfGlobalCtrl => PERF_GLOBAL_CTRL,
        _ => &[],
    }
}

/// The names of the bits of a field, lowest first; empty if it is no set of bits.
pub fn bit_names(field: Field) -> Vec<Bit> {
    fn register<B: bitflags::Flags<Bits = u64>>() -> Vec<Bit> {
        let single = B::FLAGS.iter().filter(|flag| flag.value().bits().is_power_of_two());
        single.map(|flag| (flag.value().bits().trailing_zeros(), flag.name())).collect()
    }
    match field {
        Field::GuestCr0 | Field::HostCr0 | Field::Cr0GuestHostMask | Field::Cr0ReadShadow => register::<Cr0>(),
        Field::GuestCr4 | Field::HostCr4 | Field::Cr4GuestHostMask | Field::Cr4ReadShadow => register::<Cr4>(),
        Field::GuestIa32Efer | Field::HostIa32Efer => register::<Efer>(),
        Field::GuestRflags => register::<Rflags>().into_iter().filter(|bit| bit.1 != "FIXED_1").collect(),
        _ => table(field).to_vec(),
    }
}

/// The bits of `value` that are set, by name; a bit without one is `bit 17`.
pub fn set_bits(field: Field, value: u64) -> Vec<String> {
    let names = bit_names(field);
    let name = |bit: u32| {
        let found = names.iter().find(|known| known.0 == bit);
        found.map_or_else(|| format!("bit {bit}"), |known| known.1.into())
    };
    (0..64).filter(|bit| value >> bit & 1 != 0).map(name).collect()
}

/// `16h (“NMI exiting”, bit 1)`, or `none`: bits of a field in a message.
pub fn bits_in_words(field: Field, value: u64) -> String {
    if value == 0 {
        return "none".into();
    }
    let quoted = |name: String| if name.starts_with("bit ") { name } else { format!("“{name}”") };
    let words: Vec<String> = set_bits(field, value).into_iter().map(quoted).collect();
    format!("{value:X}h ({})", words.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controls::*;

    fn plain(text: &str) -> String {
        text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
    }

    /// The SDM's words agree with the constants, but for what a name cannot hold.
    fn agree<B: bitflags::Flags<Bits = T>, T: Into<u64> + Copy>(field: Field) {
        let names = bit_names(field);
        assert_eq!(names.len(), B::FLAGS.len(), "{field:?}");
        for flag in B::FLAGS {
            let bit = flag.value().bits().into().trailing_zeros();
            let name = names.iter().find(|name| name.0 == bit).unwrap_or_else(|| panic!("{field:?}: {}", flag.name()));
            let (sdm, constant) = (plain(name.1), plain(flag.name()));
            let same = sdm == constant || sdm.starts_with(&constant) || constant.chars().all(|c| sdm.contains(c));
            assert!(same, "{}: {}", flag.name(), name.1);
        }
    }

    #[test]
    fn every_control_bit_has_its_sdm_name() {
        agree::<PinBasedControls, u32>(Field::PinBasedControls);
        agree::<PrimaryProcessorControls, u32>(Field::PrimaryProcessorControls);
        agree::<SecondaryProcessorControls, u32>(Field::SecondaryProcessorControls);
        agree::<TertiaryProcessorControls, u64>(Field::TertiaryProcessorControls);
        agree::<VmExitControls, u32>(Field::VmExitControls);
        agree::<SecondaryVmExitControls, u64>(Field::SecondaryVmExitControls);
        agree::<VmEntryControls, u32>(Field::VmEntryControls);
        agree::<VmFunctions, u64>(Field::VmFunctionControls);
        agree::<Cr0, u64>(Field::GuestCr0);
        agree::<Cr4, u64>(Field::HostCr4);
    }

    #[test]
    fn bits_are_told_by_name_and_number() {
        assert_eq!(bits_in_words(Field::PinBasedControls, 0x0A), "Ah (bit 1, “NMI exiting”)");
        assert_eq!(bits_in_words(Field::GuestCr0, 1 << 31), "80000000h (“PG”)");
        assert_eq!(bits_in_words(Field::GuestRip, 0), "none");
    }
}
