//! The table, by number; registers whose numbers interleave stand together.

use super::Allowed::{Any, Bits, BitsOf, Nothing, Values};
use super::Has::{self, Always, Banks, Capability};
use super::Read::{Never, Of as Get, Stored};
use super::Reset::{self, Is, Model, Unreadable};
use super::Write::{Of as Set, Stored as Store};
use super::special::*;
use super::{Allowed, Msr, Read, Write};
use crate::model::features::Feature;
use crate::{lbr, pmu};
use emu_vmx::arch::msr::*;
use emu_vmx::arch::segment::SegmentRegister::{Fs, Gs};

const fn row(
    (first, name): (u32, &'static str),
    has: Has,
    reset: Reset,
    allowed: Allowed,
    read: Read,
    write: Write,
) -> Msr {
    Msr { first, count: 1, stride: 1, name, has, reset, allowed, read, write }
}

impl Msr {
    /// So many of the kind, `stride` numbers apart; `name` has `#` for the number of each.
    const fn times(self, name: &'static str, count: u32, stride: u32) -> Self {
        Self { name, count, stride, ..self }
    }

    /// Which WRMSR of any value to is #GP.
    const fn read_only(self) -> Self {
        Self { allowed: Nothing, ..self }
    }

    /// With another value after power-on.
    const fn starting(self, reset: Reset) -> Self {
        Self { reset, ..self }
    }
}

/// Only stored, by the models whose files list it.
const fn listed((first, name): (u32, &'static str)) -> Msr {
    row((first, name), Has::Listed, Model, Allowed::Listed, Stored, Store)
}

/// The same, for a register of which the SDM says that it is read-only: WRMSR of any value is #GP.
const fn read_only((first, name): (u32, &'static str)) -> Msr {
    row((first, name), Has::Listed, Model, Nothing, Stored, Store)
}

const fn capability(number: (u32, &'static str)) -> Msr {
    row(number, Capability, Model, Nothing, Get(read_capability), Write::Stored)
}

const fn x2apic(number: (u32, &'static str)) -> Msr {
    let (read, write) = (Get(|cpu, n| cpu.read_x2apic_msr(n)), Set(|cpu, env, n, v| cpu.write_x2apic_msr(env, n, v)));
    row(number, only(&[Feature::X2Apic]), Unreadable, Any, read, write)
}

/// Of performance monitoring.
const fn counting(number: (u32, &'static str), allowed: Allowed) -> Msr {
    let (read, write) = (Get(pmu::read), Set(|cpu, _, number, value| pmu::write(cpu, number, value)));
    row(number, Has::When(pmu::exists), Is(0), allowed, read, write)
}

/// Of last branch records.
const fn branches(number: (u32, &'static str)) -> Msr {
    let (read, write) = (Get(lbr::read), Set(lbr::write));
    row(number, Has::When(lbr::exists), Is(0), Values(lbr::allowed, HOLE), read, write)
}

/// The same, of what a record has besides addresses.
const fn information(number: (u32, &'static str)) -> Msr {
    Msr { allowed: Values(lbr::allowed, 1 << 32), ..branches(number) }
}

/// The same, where the architectural ones have another name than those before.
const fn architectural(number: (u32, &'static str)) -> Msr {
    Msr { has: Has::When(lbr::is_architectural), ..branches(number) }
}

const fn only(features: &'static [Feature]) -> Has {
    Has::Any(features)
}

/// A number of [`emu_vmx::arch::msr`] and its name.
macro_rules! named {
    ($number:ident) => {
        ($number, stringify!($number))
    };
}

const LONG_MODE: Has = only(&[Feature::LongMode]);
const MTRR: Has = only(&[Feature::Mtrr]);
const SEP: Has = only(&[Feature::Sep]);
const CET: Has = only(&[Feature::CetSs, Feature::CetIbt]);
const CET_SS: Has = only(&[Feature::CetSs]);
const SPEC_CTRL: Has = only(&[Feature::SpecCtrl]);
/// Not canonical, whatever the width of linear addresses.
const HOLE: u64 = 1 << 62;

/// Every register, by its first number.
#[rustfmt::skip]
pub static TABLE: &[Msr] = &[
    listed(named!(IA32_P5_MC_ADDR)),
    listed(named!(IA32_P5_MC_TYPE)),
    listed(named!(IA32_MONITOR_FILTER_SIZE)),
    row(named!(IA32_TIME_STAMP_COUNTER), Always, Is(0), Any, Get(|cpu, _| Some(cpu.tsc())), Set(write_tsc)),
    read_only(named!(IA32_PLATFORM_ID)),
    row(named!(IA32_APIC_BASE), Always, Is(0xFEE0_0900), BitsOf(apic_base_bits), Get(|cpu, _| Some(cpu.sys.apic_base)),
        Set(|cpu, _, _, value| cpu.write_apic_base(value))),
    read_only(named!(MSR_SMI_COUNT)),
    row(named!(IA32_FEATURE_CONTROL), only(&[Feature::Vmx]), Is(0), BitsOf(feature_control_bits), Stored,
        Set(write_feature_control)),
    row(named!(IA32_TSC_ADJUST), only(&[Feature::TscAdjust]), Is(0), Any, Get(|cpu, _| Some(cpu.sys.tsc_adjust)),
        Set(write_tsc_adjust)),
    branches(named!(MSR_LASTBRANCH_0_FROM_LIP)).times("MSR_LASTBRANCH_#_FROM_LIP", 8, 1),
    row(named!(IA32_SPEC_CTRL), SPEC_CTRL, Is(0), BitsOf(spec_ctrl_bits), Stored, Store),
    // There is no branch predictor to barrier.
    row(named!(IA32_PRED_CMD), SPEC_CTRL, Unreadable, Bits(0x1), Never, Set(ignore)),
    listed(named!(IA32_PPIN_CTL)),
    listed(named!(IA32_PPIN)),
    branches(named!(MSR_LASTBRANCH_0_TO_LIP)).times("MSR_LASTBRANCH_#_TO_LIP", 8, 1),
    row(named!(IA32_BIOS_UPDT_TRIG), Always, Unreadable, Any, Never, Set(write_microcode_update)),
    listed(named!(IA32_BIOS_SIGN_ID)),
    listed(named!(IA32_SMM_MONITOR_CTL)),
    read_only(named!(IA32_SMBASE)),
    counting(named!(IA32_PMC0), Any).times("IA32_PMC#", 8, 1),
    read_only(named!(MSR_PLATFORM_INFO)),
    read_only(named!(IA32_CORE_CAPABILITIES)),
    listed(named!(IA32_UMWAIT_CONTROL)),
    listed(named!(MSR_PKG_CST_CONFIG_CONTROL)),
    listed(named!(MSR_PMG_IO_CAPTURE_BASE)),
    row(named!(IA32_MPERF), Has::Listed, Is(0), Any, Get(read_performance_clock), Set(write_performance_clock)),
    row(named!(IA32_APERF), Has::Listed, Is(0), Any, Get(read_performance_clock), Set(write_performance_clock)),
    read_only(named!(IA32_MTRRCAP)),
    read_only(named!(IA32_ARCH_CAPABILITIES)),
    listed(named!(IA32_FLUSH_CMD)),
    listed(named!(IA32_TSX_CTRL)),
    listed(named!(MSR_MCU_OPT_CTRL)),
    listed(named!(MSR_FEATURE_CONFIG)),
    listed(named!(MISC_FEATURES_ENABLES)),
    row(named!(IA32_SYSENTER_CS), SEP, Is(0), Any, Get(read_sysenter), Set(write_sysenter_cs)),
    row(named!(IA32_SYSENTER_ESP), SEP, Is(0), Values(canonical, HOLE), Get(read_sysenter), Set(write_sysenter)),
    row(named!(IA32_SYSENTER_EIP), SEP, Is(0), Values(canonical, HOLE), Get(read_sysenter), Set(write_sysenter)),
    read_only(named!(IA32_MCG_CAP)),
    listed(named!(IA32_MCG_STATUS)),
    listed(named!(IA32_MCG_CTL)),
    counting(named!(IA32_PERFEVTSEL0), BitsOf(pmu::writable)).times("IA32_PERFEVTSEL#", 8, 1),
    read_only(named!(IA32_PERF_STATUS)),
    listed(named!(IA32_PERF_CTL)),
    listed(named!(IA32_CLOCK_MODULATION)),
    listed(named!(IA32_THERM_INTERRUPT)),
    listed(named!(IA32_THERM_STATUS)),
    row(named!(IA32_MISC_ENABLE), Has::Listed, Model, Allowed::Listed, Stored, Set(write_misc_enable)),
    read_only(named!(MSR_TEMPERATURE_TARGET)),
    listed(named!(MSR_MISC_FEATURE_CONTROL)),
    listed(named!(MSR_OFFCORE_RSP_0)),
    listed(named!(MSR_OFFCORE_RSP_1)),
    listed(named!(MSR_MISC_PWR_MGMT)),
    listed(named!(MSR_TURBO_POWER_CURRENT_LIMIT)),
    read_only(named!(MSR_TURBO_RATIO_LIMIT)),
    listed(named!(IA32_ENERGY_PERF_BIAS)),
    listed(named!(IA32_PACKAGE_THERM_STATUS)),
    listed(named!(IA32_XFD)),
    listed(named!(IA32_XFD_ERR)),
    branches(named!(MSR_LBR_SELECT)),
    branches(named!(MSR_LASTBRANCH_TOS)),
    row(named!(IA32_DEBUGCTL), Always, Is(0), BitsOf(debugctl_bits), Get(|cpu, _| Some(cpu.sys.debugctl)),
        Set(write_debugctl)),
    branches(named!(MSR_LER_FROM_LIP)).read_only(),
    architectural(named!(IA32_LER_FROM_IP)),
    branches(named!(MSR_LER_TO_LIP)).read_only(),
    architectural(named!(IA32_LER_TO_IP)),
    information(named!(IA32_LER_INFO)),
    listed(named!(IA32_SMRR_PHYSBASE)),
    listed(named!(IA32_SMRR_PHYSMASK)),
    read_only(named!(IA32_PLATFORM_DCA_CAP)),
    listed(named!(MSR_POWER_CTL)),
    row(named!(IA32_MTRR_PHYSBASE0), MTRR, Is(0), Values(mtrr_base, 2), Stored, Store)
        .times("IA32_MTRR_PHYSBASE#", 8, 2),
    row(named!(IA32_MTRR_PHYSMASK0), MTRR, Is(0), BitsOf(mtrr_mask_bits), Stored, Store)
        .times("IA32_MTRR_PHYSMASK#", 8, 2),
    row(named!(IA32_MTRR_FIX64K_00000), MTRR, Is(0), Values(mtrr_fixed, 2), Stored, Store),
    row(named!(IA32_MTRR_FIX16K_80000), MTRR, Is(0), Values(mtrr_fixed, 2), Stored, Store),
    row(named!(IA32_MTRR_FIX16K_A0000), MTRR, Is(0), Values(mtrr_fixed, 2), Stored, Store),
    row(named!(IA32_MTRR_FIX4K_C0000), MTRR, Is(0), Values(mtrr_fixed, 2), Stored, Store),
    row(named!(IA32_MTRR_FIX4K_C8000), MTRR, Is(0), Values(mtrr_fixed, 2), Stored, Store),
    row(named!(IA32_MTRR_FIX4K_D0000), MTRR, Is(0), Values(mtrr_fixed, 2), Stored, Store),
    row(named!(IA32_MTRR_FIX4K_D8000), MTRR, Is(0), Values(mtrr_fixed, 2), Stored, Store),
    row(named!(IA32_MTRR_FIX4K_E0000), MTRR, Is(0), Values(mtrr_fixed, 2), Stored, Store),
    row(named!(IA32_MTRR_FIX4K_E8000), MTRR, Is(0), Values(mtrr_fixed, 2), Stored, Store),
    row(named!(IA32_MTRR_FIX4K_F0000), MTRR, Is(0), Values(mtrr_fixed, 2), Stored, Store),
    row(named!(IA32_MTRR_FIX4K_F8000), MTRR, Is(0), Values(mtrr_fixed, 2), Stored, Store),
    row(named!(IA32_PAT), only(&[Feature::Pat]), Is(0x0007_0406_0007_0406), Values(pat, 2),
        Get(|cpu, _| Some(cpu.sys.pat)), Set(write_pat)),
    listed(named!(IA32_MC0_CTL2)).times("IA32_MC#_CTL2", 32, 1),
    row(named!(IA32_MTRR_DEF_TYPE), MTRR, Is(0), Values(mtrr_default, 2), Stored, Store),
    listed(named!(MSR_GQ_SNOOP_MESF)),
    counting(named!(IA32_FIXED_CTR0), BitsOf(pmu::writable)).times("IA32_FIXED_CTR#", 3, 1),
    listed(named!(IA32_PERF_METRICS)),
    read_only(named!(IA32_PERF_CAPABILITIES)),
    counting(named!(IA32_FIXED_CTR_CTRL), BitsOf(pmu::writable)),
    counting(named!(IA32_PERF_GLOBAL_STATUS), Nothing),
    counting(named!(IA32_PERF_GLOBAL_CTRL), BitsOf(pmu::writable)).starting(Reset::Of(pmu::enabled_at_reset)),
    counting(named!(IA32_PERF_GLOBAL_OVF_CTRL), BitsOf(pmu::writable)),
    listed(named!(MSR_UNCORE_PERF_GLOBAL_CTRL)),
    counting(named!(IA32_PERF_GLOBAL_STATUS_SET), BitsOf(pmu::writable)),
    read_only(named!(MSR_UNCORE_PERF_GLOBAL_STATUS)),
    counting(named!(IA32_PERF_GLOBAL_INUSE), Nothing),
    listed(named!(MSR_UNCORE_PERF_GLOBAL_OVF_CTRL)),
    listed(named!(MSR_UNCORE_FIXED_CTR0)),
    listed(named!(MSR_UNCORE_FIXED_CTR_CTRL)),
    listed(named!(MSR_UNCORE_ADDR_OPCODE_MATCH)),
    listed(named!(MSR_UNCORE_PMC0)).times("MSR_UNCORE_PMC#", 8, 1),
    listed(named!(MSR_UNCORE_PERFEVTSEL0)).times("MSR_UNCORE_PERFEVTSEL#", 8, 1),
    listed(named!(IA32_PEBS_ENABLE)),
    listed(named!(MSR_PEBS_LD_LAT_THRESHOLD)),
    read_only(named!(MSR_PKG_C3_RESIDENCY)),
    read_only(named!(MSR_PKG_C6_RESIDENCY)),
    read_only(named!(MSR_PKG_C7_RESIDENCY)),
    read_only(named!(MSR_CORE_C3_RESIDENCY)),
    read_only(named!(MSR_CORE_C6_RESIDENCY)),
    row(named!(IA32_MC0_CTL), Banks, Is(0), Values(all_or_nothing, 1), Stored, Store).times("IA32_MC#_CTL", 32, 4),
    // STATUS takes zero only (SDM Vol. 3B 16.3.2.2).
    row(named!(IA32_MC0_STATUS), Banks, Is(0), Bits(0), Stored, Store).times("IA32_MC#_STATUS", 32, 4),
    row(named!(IA32_MC0_ADDR), Banks, Is(0), Any, Stored, Store).times("IA32_MC#_ADDR", 32, 4),
    row(named!(IA32_MC0_MISC), Banks, Is(0), Any, Stored, Store).times("IA32_MC#_MISC", 32, 4),
    capability(named!(IA32_VMX_BASIC)),
    capability(named!(IA32_VMX_PINBASED_CTLS)),
    capability(named!(IA32_VMX_PROCBASED_CTLS)),
    capability(named!(IA32_VMX_EXIT_CTLS)),
    capability(named!(IA32_VMX_ENTRY_CTLS)),
    capability(named!(IA32_VMX_MISC)),
    capability(named!(IA32_VMX_CR0_FIXED0)),
    capability(named!(IA32_VMX_CR0_FIXED1)),
    capability(named!(IA32_VMX_CR4_FIXED0)),
    capability(named!(IA32_VMX_CR4_FIXED1)),
    capability(named!(IA32_VMX_VMCS_ENUM)),
    capability(named!(IA32_VMX_PROCBASED_CTLS2)),
    capability(named!(IA32_VMX_EPT_VPID_CAP)),
    capability(named!(IA32_VMX_TRUE_PINBASED_CTLS)),
    capability(named!(IA32_VMX_TRUE_PROCBASED_CTLS)),
    capability(named!(IA32_VMX_TRUE_EXIT_CTLS)),
    capability(named!(IA32_VMX_TRUE_ENTRY_CTLS)),
    capability(named!(IA32_VMX_VMFUNC)),
    capability(named!(IA32_VMX_PROCBASED_CTLS3)),
    capability(named!(IA32_VMX_EXIT_CTLS2)),
    counting(named!(IA32_A_PMC0), BitsOf(pmu::writable)).times("IA32_A_PMC#", 8, 1),
    listed(named!(IA32_MCG_EXT_CTL)),
    listed(named!(IA32_RTIT_OUTPUT_BASE)),
    listed(named!(IA32_RTIT_OUTPUT_MASK_PTRS)),
    listed(named!(IA32_RTIT_CTL)),
    listed(named!(IA32_RTIT_STATUS)),
    listed(named!(IA32_RTIT_CR3_MATCH)),
    row(named!(IA32_DS_AREA), Has::Listed, Model, Values(canonical, HOLE), Stored, Store),
    branches(named!(MSR_LASTBRANCH_0_FROM_IP)).times("MSR_LASTBRANCH_#_FROM_IP", 32, 1),
    row(named!(IA32_U_CET), CET, Is(0), Values(cet_control, HOLE), Get(read_cet), Set(write_cet)),
    row(named!(IA32_S_CET), CET, Is(0), Values(cet_control, HOLE), Get(read_cet), Set(write_cet)),
    row(named!(IA32_PL0_SSP), CET_SS, Is(0), Values(shadow_stack_pointer, HOLE), Get(read_cet), Set(write_cet))
        .times("IA32_PL#_SSP", 4, 1),
    row(named!(IA32_INTERRUPT_SSP_TABLE_ADDR), CET_SS, Is(0), Values(canonical, HOLE), Get(read_cet), Set(write_cet)),
    branches(named!(MSR_LASTBRANCH_0_TO_IP)).times("MSR_LASTBRANCH_#_TO_IP", 32, 1),
    row(named!(IA32_TSC_DEADLINE), only(&[Feature::TscDeadline]), Is(0), Any, Get(|cpu, _| Some(cpu.read_tsc_deadline())),
        Set(|cpu, _, _, value| { cpu.write_tsc_deadline(value); Ok(()) })),
    row(named!(IA32_PKRS), only(&[Feature::Pks]), Is(0), Bits(0xFFFF_FFFF), Get(|cpu, _| Some(cpu.sys.pkrs.into())),
        Set(write_pkrs)),
    listed(named!(IA32_PM_ENABLE)),
    read_only(named!(IA32_HWP_CAPABILITIES)),
    listed(named!(IA32_HWP_REQUEST)),
    x2apic(named!(IA32_X2APIC_APICID)),
    x2apic(named!(IA32_X2APIC_VERSION)),
    x2apic(named!(IA32_X2APIC_TPR)),
    x2apic(named!(IA32_X2APIC_PPR)),
    x2apic(named!(IA32_X2APIC_EOI)),
    x2apic(named!(IA32_X2APIC_LDR)),
    x2apic(named!(IA32_X2APIC_SIVR)),
    x2apic(named!(IA32_X2APIC_ISR0)).times("IA32_X2APIC_ISR#", 8, 1),
    x2apic(named!(IA32_X2APIC_TMR0)).times("IA32_X2APIC_TMR#", 8, 1),
    x2apic(named!(IA32_X2APIC_IRR0)).times("IA32_X2APIC_IRR#", 8, 1),
    x2apic(named!(IA32_X2APIC_ESR)),
    x2apic(named!(IA32_X2APIC_LVT_CMCI)),
    x2apic(named!(IA32_X2APIC_ICR)),
    x2apic(named!(IA32_X2APIC_LVT_TIMER)),
    x2apic(named!(IA32_X2APIC_LVT_THERMAL)),
    x2apic(named!(IA32_X2APIC_LVT_PMI)),
    x2apic(named!(IA32_X2APIC_LVT_LINT0)),
    x2apic(named!(IA32_X2APIC_LVT_LINT1)),
    x2apic(named!(IA32_X2APIC_LVT_ERROR)),
    x2apic(named!(IA32_X2APIC_INIT_COUNT)),
    x2apic(named!(IA32_X2APIC_CUR_COUNT)),
    x2apic(named!(IA32_X2APIC_DIV_CONF)),
    x2apic(named!(IA32_X2APIC_SELF_IPI)),
    read_only(named!(IA32_TME_CAPABILITY)),
    listed(named!(IA32_TME_ACTIVATE)),
    listed(named!(IA32_BNDCFGS)),
    listed(named!(IA32_PASID)),
    row(named!(IA32_XSS), only(&[Feature::Xsaves]), Is(0), BitsOf(xss_bits), Get(|cpu, _| Some(cpu.sys.xss)),
        Set(write_xss)),
    information(named!(MSR_LBR_INFO_0)).times("MSR_LBR_INFO_#", 32, 1),
    information(named!(IA32_LBR_0_INFO)).times("IA32_LBR_#_INFO", 32, 1),
    branches(named!(IA32_LBR_CTL)),
    branches(named!(IA32_LBR_DEPTH)).starting(Reset::Of(lbr::deepest)),
    branches(named!(IA32_LBR_0_FROM_IP)).times("IA32_LBR_#_FROM_IP", 32, 1),
    branches(named!(IA32_LBR_0_TO_IP)).times("IA32_LBR_#_TO_IP", 32, 1),
    row(named!(IA32_EFER), only(&[Feature::LongMode, Feature::Nx]), Is(0), BitsOf(efer_bits),
        Get(|cpu, _| Some(cpu.sys.efer.bits())), Set(|cpu, env, _, value| cpu.write_efer(env, value))),
    row(named!(IA32_STAR), LONG_MODE, Is(0), Any, Get(read_syscall), Set(write_syscall)),
    row(named!(IA32_LSTAR), LONG_MODE, Is(0), Values(canonical, HOLE), Get(read_syscall), Set(write_syscall)),
    row(named!(IA32_CSTAR), LONG_MODE, Is(0), Values(canonical, HOLE), Get(read_syscall), Set(write_syscall)),
    row(named!(IA32_FMASK), LONG_MODE, Is(0), Bits(0xFFFF_FFFF), Get(read_syscall), Set(write_syscall)),
    row(named!(IA32_FS_BASE), LONG_MODE, Is(0), Values(canonical, HOLE), Get(|cpu, _| Some(cpu.sys.seg(Fs).base)),
        Set(write_fs_base)),
    row(named!(IA32_GS_BASE), LONG_MODE, Is(0), Values(canonical, HOLE), Get(|cpu, _| Some(cpu.sys.seg(Gs).base)),
        Set(write_gs_base)),
    row(named!(IA32_KERNEL_GS_BASE), LONG_MODE, Is(0), Values(canonical, HOLE),
        Get(|cpu, _| Some(cpu.sys.kernel_gs_base)), Set(|cpu, _, _, value| { cpu.sys.kernel_gs_base = value; Ok(()) })),
    row(named!(IA32_TSC_AUX), only(&[Feature::Rdtscp, Feature::Rdpid]), Is(0), Bits(0xFFFF_FFFF),
        Get(|cpu, _| Some(cpu.sys.tsc_aux.into())), Set(|cpu, _, _, value| { cpu.sys.tsc_aux = value as u32; Ok(()) })),
];
