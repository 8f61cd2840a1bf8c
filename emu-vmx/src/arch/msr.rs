//! Indices of model-specific registers, by their SDM names (SDM Vol. 4, Chapter 2).

/// Machine-check address (Pentium).
pub const IA32_P5_MC_ADDR: u32 = 0x0;
/// Machine-check type (Pentium).
pub const IA32_P5_MC_TYPE: u32 = 0x1;
/// Monitor line size.
pub const IA32_MONITOR_FILTER_SIZE: u32 = 0x6;
/// Time-stamp counter.
pub const IA32_TIME_STAMP_COUNTER: u32 = 0x10;
/// Short name of [`IA32_TIME_STAMP_COUNTER`].
pub const IA32_TSC: u32 = IA32_TIME_STAMP_COUNTER;
/// Platform id.
pub const IA32_PLATFORM_ID: u32 = 0x17;
/// Local APIC base and mode.
pub const IA32_APIC_BASE: u32 = 0x1B;
/// System-management interrupts since reset.
pub const MSR_SMI_COUNT: u32 = 0x34;
/// Lock, VMX and SMX enables.
pub const IA32_FEATURE_CONTROL: u32 = 0x3A;
/// Per-processor TSC adjustment.
pub const IA32_TSC_ADJUST: u32 = 0x3B;
/// Speculation control.
pub const IA32_SPEC_CTRL: u32 = 0x48;
/// Prediction command.
pub const IA32_PRED_CMD: u32 = 0x49;
/// Protected processor inventory number control.
pub const IA32_PPIN_CTL: u32 = 0x4E;
/// Protected processor inventory number.
pub const IA32_PPIN: u32 = 0x4F;
/// Microcode update trigger.
pub const IA32_BIOS_UPDT_TRIG: u32 = 0x79;
/// Microcode revision.
pub const IA32_BIOS_SIGN_ID: u32 = 0x8B;
/// SMM monitor configuration.
pub const IA32_SMM_MONITOR_CTL: u32 = 0x9B;
/// SMBASE (in SMM).
pub const IA32_SMBASE: u32 = 0x9E;
/// General-purpose performance counter 0.
pub const IA32_PMC0: u32 = 0xC1;
/// General-purpose performance counter 1.
pub const IA32_PMC1: u32 = 0xC2;
/// General-purpose performance counter 2.
pub const IA32_PMC2: u32 = 0xC3;
/// General-purpose performance counter 3.
pub const IA32_PMC3: u32 = 0xC4;
/// General-purpose performance counter 7.
pub const IA32_PMC7: u32 = 0xC8;
/// Core capabilities.
pub const IA32_CORE_CAPABILITIES: u32 = 0xCF;
/// Platform information: frequency ratios.
pub const MSR_PLATFORM_INFO: u32 = 0xCE;
/// UMWAIT and TPAUSE limits.
pub const IA32_UMWAIT_CONTROL: u32 = 0xE1;
/// C-state configuration.
pub const MSR_PKG_CST_CONFIG_CONTROL: u32 = 0xE2;
/// Ports whose reads stand for C-states.
pub const MSR_PMG_IO_CAPTURE_BASE: u32 = 0xE4;
/// Maximum-frequency clock count.
pub const IA32_MPERF: u32 = 0xE7;
/// Actual-frequency clock count.
pub const IA32_APERF: u32 = 0xE8;
/// MTRR capability.
pub const IA32_MTRRCAP: u32 = 0xFE;
/// Enumeration of architectural features.
pub const IA32_ARCH_CAPABILITIES: u32 = 0x10A;
/// Flush command.
pub const IA32_FLUSH_CMD: u32 = 0x10B;
/// TSX control.
pub const IA32_TSX_CTRL: u32 = 0x122;
/// Microcode mitigation control.
pub const MSR_MCU_OPT_CTRL: u32 = 0x123;
/// AES enable and lock.
pub const MSR_FEATURE_CONFIG: u32 = 0x13C;
/// CPUID faulting and ring-3 MONITOR.
pub const MISC_FEATURES_ENABLES: u32 = 0x140;
/// SYSENTER code segment.
pub const IA32_SYSENTER_CS: u32 = 0x174;
/// SYSENTER stack pointer.
pub const IA32_SYSENTER_ESP: u32 = 0x175;
/// SYSENTER entry point.
pub const IA32_SYSENTER_EIP: u32 = 0x176;
/// Global machine-check capability.
pub const IA32_MCG_CAP: u32 = 0x179;
/// Global machine-check status.
pub const IA32_MCG_STATUS: u32 = 0x17A;
/// Global machine-check control.
pub const IA32_MCG_CTL: u32 = 0x17B;
/// Performance event select 0.
pub const IA32_PERFEVTSEL0: u32 = 0x186;
/// Performance event select 1.
pub const IA32_PERFEVTSEL1: u32 = 0x187;
/// Performance event select 2.
pub const IA32_PERFEVTSEL2: u32 = 0x188;
/// Performance event select 3.
pub const IA32_PERFEVTSEL3: u32 = 0x189;
/// Performance event select 7.
pub const IA32_PERFEVTSEL7: u32 = 0x18D;
/// Current performance state.
pub const IA32_PERF_STATUS: u32 = 0x198;
/// Target performance state.
pub const IA32_PERF_CTL: u32 = 0x199;
/// Clock modulation.
pub const IA32_CLOCK_MODULATION: u32 = 0x19A;
/// Thermal interrupt control.
pub const IA32_THERM_INTERRUPT: u32 = 0x19B;
/// Thermal status.
pub const IA32_THERM_STATUS: u32 = 0x19C;
/// Miscellaneous feature enables.
pub const IA32_MISC_ENABLE: u32 = 0x1A0;
/// Temperature target.
pub const MSR_TEMPERATURE_TARGET: u32 = 0x1A2;
/// Prefetcher disables.
pub const MSR_MISC_FEATURE_CONTROL: u32 = 0x1A4;
/// Off-core response event 0.
pub const MSR_OFFCORE_RSP_0: u32 = 0x1A6;
/// Off-core response event 1.
pub const MSR_OFFCORE_RSP_1: u32 = 0x1A7;
/// Power management.
pub const MSR_MISC_PWR_MGMT: u32 = 0x1AA;
/// Turbo mode's limits of power and current.
pub const MSR_TURBO_POWER_CURRENT_LIMIT: u32 = 0x1AC;
/// Turbo mode's highest ratios by active cores.
pub const MSR_TURBO_RATIO_LIMIT: u32 = 0x1AD;
/// Energy and performance bias.
pub const IA32_ENERGY_PERF_BIAS: u32 = 0x1B0;
/// Package thermal status.
pub const IA32_PACKAGE_THERM_STATUS: u32 = 0x1B1;
/// Extended feature disable.
pub const IA32_XFD: u32 = 0x1C4;
/// Extended feature disable error.
pub const IA32_XFD_ERR: u32 = 0x1C5;
/// Last-branch filter.
pub const MSR_LBR_SELECT: u32 = 0x1C8;
/// Top of the last-branch stack.
pub const MSR_LASTBRANCH_TOS: u32 = 0x1C9;
/// Debug control: LBR, BTF, trace, freeze.
pub const IA32_DEBUGCTL: u32 = 0x1D9;
/// Last exception: from.
pub const MSR_LER_FROM_LIP: u32 = 0x1DD;
/// Last exception: to.
pub const MSR_LER_TO_LIP: u32 = 0x1DE;
/// SMRR base.
pub const IA32_SMRR_PHYSBASE: u32 = 0x1F2;
/// SMRR mask.
pub const IA32_SMRR_PHYSMASK: u32 = 0x1F3;
/// DCA capability.
pub const IA32_PLATFORM_DCA_CAP: u32 = 0x1F8;
/// Power control.
pub const MSR_POWER_CTL: u32 = 0x1FC;
/// First variable-range MTRR base; masks are at odd numbers.
pub const IA32_MTRR_PHYSBASE0: u32 = 0x200;
/// First variable-range MTRR mask.
pub const IA32_MTRR_PHYSMASK0: u32 = 0x201;
/// Last variable-range MTRR mask.
pub const IA32_MTRR_PHYSMASK9: u32 = 0x213;
/// Fixed-range MTRR 64K at 00000h.
pub const IA32_MTRR_FIX64K_00000: u32 = 0x250;
/// Fixed-range MTRR 16K at 80000h.
pub const IA32_MTRR_FIX16K_80000: u32 = 0x258;
/// Fixed-range MTRR 16K at A0000h.
pub const IA32_MTRR_FIX16K_A0000: u32 = 0x259;
/// Fixed-range MTRR 4K at C0000h.
pub const IA32_MTRR_FIX4K_C0000: u32 = 0x268;
/// Fixed-range MTRR 4K at C8000h.
pub const IA32_MTRR_FIX4K_C8000: u32 = 0x269;
/// Fixed-range MTRR 4K at D0000h.
pub const IA32_MTRR_FIX4K_D0000: u32 = 0x26A;
/// Fixed-range MTRR 4K at D8000h.
pub const IA32_MTRR_FIX4K_D8000: u32 = 0x26B;
/// Fixed-range MTRR 4K at E0000h.
pub const IA32_MTRR_FIX4K_E0000: u32 = 0x26C;
/// Fixed-range MTRR 4K at E8000h.
pub const IA32_MTRR_FIX4K_E8000: u32 = 0x26D;
/// Fixed-range MTRR 4K at F0000h.
pub const IA32_MTRR_FIX4K_F0000: u32 = 0x26E;
/// Fixed-range MTRR 4K at F8000h.
pub const IA32_MTRR_FIX4K_F8000: u32 = 0x26F;
/// Page attribute table.
pub const IA32_PAT: u32 = 0x277;
/// Corrected machine-check control of bank 0.
pub const IA32_MC0_CTL2: u32 = 0x280;
/// Default memory type, MTRR enables.
pub const IA32_MTRR_DEF_TYPE: u32 = 0x2FF;
/// Snoop responses of the global queue that are counted.
pub const MSR_GQ_SNOOP_MESF: u32 = 0x301;
/// Fixed counter 0: instructions retired.
pub const IA32_FIXED_CTR0: u32 = 0x309;
/// Fixed counter 1: core cycles.
pub const IA32_FIXED_CTR1: u32 = 0x30A;
/// Fixed counter 2: reference cycles.
pub const IA32_FIXED_CTR2: u32 = 0x30B;
/// Top-down metrics.
pub const IA32_PERF_METRICS: u32 = 0x329;
/// Performance-monitoring capabilities.
pub const IA32_PERF_CAPABILITIES: u32 = 0x345;
/// Fixed counter control.
pub const IA32_FIXED_CTR_CTRL: u32 = 0x38D;
/// Global counter status.
pub const IA32_PERF_GLOBAL_STATUS: u32 = 0x38E;
/// Global counter enables.
pub const IA32_PERF_GLOBAL_CTRL: u32 = 0x38F;
/// Global overflow reset; from version 4 of performance monitoring on it is also called IA32_PERF_GLOBAL_STATUS_RESET.
pub const IA32_PERF_GLOBAL_OVF_CTRL: u32 = 0x390;
/// Sets bits of the global counter status.
pub const IA32_PERF_GLOBAL_STATUS_SET: u32 = 0x391;
/// Which counters are in use.
pub const IA32_PERF_GLOBAL_INUSE: u32 = 0x392;
/// Uncore counter enables (Nehalem, Westmere; later processors have IA32_PERF_GLOBAL_STATUS_SET here).
pub const MSR_UNCORE_PERF_GLOBAL_CTRL: u32 = 0x391;
/// Uncore counter status (Nehalem, Westmere; later processors have IA32_PERF_GLOBAL_INUSE here).
pub const MSR_UNCORE_PERF_GLOBAL_STATUS: u32 = 0x392;
/// Uncore counter overflow reset.
pub const MSR_UNCORE_PERF_GLOBAL_OVF_CTRL: u32 = 0x393;
/// Uncore fixed counter.
pub const MSR_UNCORE_FIXED_CTR0: u32 = 0x394;
/// Uncore fixed counter control.
pub const MSR_UNCORE_FIXED_CTR_CTRL: u32 = 0x395;
/// Uncore address and opcode match.
pub const MSR_UNCORE_ADDR_OPCODE_MATCH: u32 = 0x396;
/// Uncore counter 0.
pub const MSR_UNCORE_PMC0: u32 = 0x3B0;
/// Uncore event select 0.
pub const MSR_UNCORE_PERFEVTSEL0: u32 = 0x3C0;
/// Precise event-based sampling enables.
pub const IA32_PEBS_ENABLE: u32 = 0x3F1;
/// Load-latency threshold.
pub const MSR_PEBS_LD_LAT_THRESHOLD: u32 = 0x3F6;
/// Time of the package in C3.
pub const MSR_PKG_C3_RESIDENCY: u32 = 0x3F8;
/// Time of the package in C6.
pub const MSR_PKG_C6_RESIDENCY: u32 = 0x3F9;
/// Time of the package in C7.
pub const MSR_PKG_C7_RESIDENCY: u32 = 0x3FA;
/// Time of the core in C3.
pub const MSR_CORE_C3_RESIDENCY: u32 = 0x3FC;
/// Time of the core in C6.
pub const MSR_CORE_C6_RESIDENCY: u32 = 0x3FD;
/// Machine-check bank 0 control; STATUS, ADDR, MISC follow, four numbers a bank.
pub const IA32_MC0_CTL: u32 = 0x400;
/// Machine-check bank 0 status.
pub const IA32_MC0_STATUS: u32 = 0x401;
/// Machine-check bank 0 address.
pub const IA32_MC0_ADDR: u32 = 0x402;
/// Machine-check bank 0 information.
pub const IA32_MC0_MISC: u32 = 0x403;
/// VMX basic information.
pub const IA32_VMX_BASIC: u32 = 0x480;
/// Pin-based controls.
pub const IA32_VMX_PINBASED_CTLS: u32 = 0x481;
/// Primary processor-based controls.
pub const IA32_VMX_PROCBASED_CTLS: u32 = 0x482;
/// Primary VM-exit controls.
pub const IA32_VMX_EXIT_CTLS: u32 = 0x483;
/// VM-entry controls.
pub const IA32_VMX_ENTRY_CTLS: u32 = 0x484;
/// Miscellaneous VMX data.
pub const IA32_VMX_MISC: u32 = 0x485;
/// CR0 bits fixed to 1.
pub const IA32_VMX_CR0_FIXED0: u32 = 0x486;
/// CR0 bits that may be 1.
pub const IA32_VMX_CR0_FIXED1: u32 = 0x487;
/// CR4 bits fixed to 1.
pub const IA32_VMX_CR4_FIXED0: u32 = 0x488;
/// CR4 bits that may be 1.
pub const IA32_VMX_CR4_FIXED1: u32 = 0x489;
/// Highest VMCS field index.
pub const IA32_VMX_VMCS_ENUM: u32 = 0x48A;
/// Secondary processor-based controls.
pub const IA32_VMX_PROCBASED_CTLS2: u32 = 0x48B;
/// EPT and VPID capabilities.
pub const IA32_VMX_EPT_VPID_CAP: u32 = 0x48C;
/// Pin-based controls without default-1 classes.
pub const IA32_VMX_TRUE_PINBASED_CTLS: u32 = 0x48D;
/// Primary processor-based controls without default-1 classes.
pub const IA32_VMX_TRUE_PROCBASED_CTLS: u32 = 0x48E;
/// VM-exit controls without default-1 classes.
pub const IA32_VMX_TRUE_EXIT_CTLS: u32 = 0x48F;
/// VM-entry controls without default-1 classes.
pub const IA32_VMX_TRUE_ENTRY_CTLS: u32 = 0x490;
/// VM-function controls.
pub const IA32_VMX_VMFUNC: u32 = 0x491;
/// Tertiary processor-based controls.
pub const IA32_VMX_PROCBASED_CTLS3: u32 = 0x492;
/// Secondary VM-exit controls.
pub const IA32_VMX_EXIT_CTLS2: u32 = 0x493;
/// Full-width general-purpose counter 0.
pub const IA32_A_PMC0: u32 = 0x4C1;
/// Full-width general-purpose counter 7.
pub const IA32_A_PMC7: u32 = 0x4C8;
/// Local machine check enable.
pub const IA32_MCG_EXT_CTL: u32 = 0x4D0;
/// Processor trace output base.
pub const IA32_RTIT_OUTPUT_BASE: u32 = 0x560;
/// Processor trace output mask pointers.
pub const IA32_RTIT_OUTPUT_MASK_PTRS: u32 = 0x561;
/// Processor trace control.
pub const IA32_RTIT_CTL: u32 = 0x570;
/// Processor trace status.
pub const IA32_RTIT_STATUS: u32 = 0x571;
/// Processor trace CR3 filter.
pub const IA32_RTIT_CR3_MATCH: u32 = 0x572;
/// First processor trace address range.
pub const IA32_RTIT_ADDR0_A: u32 = 0x580;
/// Last processor trace address range.
pub const IA32_RTIT_ADDR3_B: u32 = 0x587;
/// Debug store area.
pub const IA32_DS_AREA: u32 = 0x600;
/// User-mode CET configuration.
pub const IA32_U_CET: u32 = 0x6A0;
/// Supervisor-mode CET configuration.
pub const IA32_S_CET: u32 = 0x6A2;
/// Shadow-stack pointer of CPL 0.
pub const IA32_PL0_SSP: u32 = 0x6A4;
/// Shadow-stack pointer of CPL 1.
pub const IA32_PL1_SSP: u32 = 0x6A5;
/// Shadow-stack pointer of CPL 2.
pub const IA32_PL2_SSP: u32 = 0x6A6;
/// Shadow-stack pointer of CPL 3.
pub const IA32_PL3_SSP: u32 = 0x6A7;
/// Interrupt shadow-stack table.
pub const IA32_INTERRUPT_SSP_TABLE_ADDR: u32 = 0x6A8;
/// Local APIC timer deadline.
pub const IA32_TSC_DEADLINE: u32 = 0x6E0;
/// Protection keys for supervisor pages.
pub const IA32_PKRS: u32 = 0x6E1;
/// Hardware-controlled performance states enable.
pub const IA32_PM_ENABLE: u32 = 0x770;
/// HWP capabilities.
pub const IA32_HWP_CAPABILITIES: u32 = 0x771;
/// HWP request.
pub const IA32_HWP_REQUEST: u32 = 0x774;
/// First x2APIC register.
pub const IA32_X2APIC_BASE: u32 = 0x800;
/// x2APIC id.
pub const IA32_X2APIC_APICID: u32 = 0x802;
/// x2APIC version.
pub const IA32_X2APIC_VERSION: u32 = 0x803;
/// Task priority.
pub const IA32_X2APIC_TPR: u32 = 0x808;
/// Processor priority.
pub const IA32_X2APIC_PPR: u32 = 0x80A;
/// End of interrupt.
pub const IA32_X2APIC_EOI: u32 = 0x80B;
/// Logical destination.
pub const IA32_X2APIC_LDR: u32 = 0x80D;
/// Spurious-interrupt vector.
pub const IA32_X2APIC_SIVR: u32 = 0x80F;
/// In-service bits 31:0.
pub const IA32_X2APIC_ISR0: u32 = 0x810;
/// Trigger-mode bits 31:0.
pub const IA32_X2APIC_TMR0: u32 = 0x818;
/// Interrupt-request bits 31:0.
pub const IA32_X2APIC_IRR0: u32 = 0x820;
/// Error status.
pub const IA32_X2APIC_ESR: u32 = 0x828;
/// LVT corrected machine check.
pub const IA32_X2APIC_LVT_CMCI: u32 = 0x82F;
/// Interrupt command, 64 bits.
pub const IA32_X2APIC_ICR: u32 = 0x830;
/// LVT timer.
pub const IA32_X2APIC_LVT_TIMER: u32 = 0x832;
/// LVT thermal sensor.
pub const IA32_X2APIC_LVT_THERMAL: u32 = 0x833;
/// LVT performance monitoring.
pub const IA32_X2APIC_LVT_PMI: u32 = 0x834;
/// LVT LINT0.
pub const IA32_X2APIC_LVT_LINT0: u32 = 0x835;
/// LVT LINT1.
pub const IA32_X2APIC_LVT_LINT1: u32 = 0x836;
/// LVT error.
pub const IA32_X2APIC_LVT_ERROR: u32 = 0x837;
/// Timer initial count.
pub const IA32_X2APIC_INIT_COUNT: u32 = 0x838;
/// Timer current count.
pub const IA32_X2APIC_CUR_COUNT: u32 = 0x839;
/// Timer divide configuration.
pub const IA32_X2APIC_DIV_CONF: u32 = 0x83E;
/// Self IPI.
pub const IA32_X2APIC_SELF_IPI: u32 = 0x83F;
/// Last number of the x2APIC range.
pub const IA32_X2APIC_LAST: u32 = 0x8FF;
/// User-interrupt request register.
pub const IA32_UINTR_RR: u32 = 0x985;
/// User-interrupt handler.
pub const IA32_UINTR_HANDLER: u32 = 0x986;
/// User-interrupt stack adjustment.
pub const IA32_UINTR_STACKADJUST: u32 = 0x987;
/// User-interrupt vector and target-table size.
pub const IA32_UINTR_MISC: u32 = 0x988;
/// User posted-interrupt descriptor.
pub const IA32_UINTR_PD: u32 = 0x989;
/// User-interrupt target table.
pub const IA32_UINTR_TT: u32 = 0x98A;
/// Memory-encryption capability.
pub const IA32_TME_CAPABILITY: u32 = 0x981;
/// Memory-encryption activation.
pub const IA32_TME_ACTIVATE: u32 = 0x982;
/// Supervisor MPX configuration.
pub const IA32_BNDCFGS: u32 = 0xD90;
/// Process address-space id of ENQCMD.
pub const IA32_PASID: u32 = 0xD93;
/// Extended supervisor state mask.
pub const IA32_XSS: u32 = 0xDA0;
/// Last-branch record control.
pub const IA32_LBR_CTL: u32 = 0x14CE;
/// Last-branch record depth.
pub const IA32_LBR_DEPTH: u32 = 0x14CF;
/// Last-branch record 0 information.
pub const IA32_LBR_0_INFO: u32 = 0x1200;
/// Last-branch record 0 source.
pub const IA32_LBR_0_FROM_IP: u32 = 0x1500;
/// Last-branch record 0 target.
pub const IA32_LBR_0_TO_IP: u32 = 0x1600;
/// Last-branch stack 0 source, of processors with a stack of 4 or 8.
pub const MSR_LASTBRANCH_0_FROM_LIP: u32 = 0x40;
/// Last-branch stack 0 target, likewise.
pub const MSR_LASTBRANCH_0_TO_LIP: u32 = 0x60;
/// Last-branch stack 0 flags and cycles.
pub const MSR_LBR_INFO_0: u32 = 0xDC0;
/// Last event: from.
pub const IA32_LER_FROM_IP: u32 = 0x1DD;
/// Last event: to.
pub const IA32_LER_TO_IP: u32 = 0x1DE;
/// Last event: information.
pub const IA32_LER_INFO: u32 = 0x1E0;
/// Last-branch stack 0 source.
pub const MSR_LASTBRANCH_0_FROM_IP: u32 = 0x680;
/// Last-branch stack 0 target.
pub const MSR_LASTBRANCH_0_TO_IP: u32 = 0x6C0;
/// Extended feature enables.
pub const IA32_EFER: u32 = 0xC000_0080;
/// SYSCALL selectors.
pub const IA32_STAR: u32 = 0xC000_0081;
/// SYSCALL target in 64-bit mode.
pub const IA32_LSTAR: u32 = 0xC000_0082;
/// SYSCALL target in compatibility mode (not used by Intel).
pub const IA32_CSTAR: u32 = 0xC000_0083;
/// SYSCALL flag mask.
pub const IA32_FMASK: u32 = 0xC000_0084;
/// FS base.
pub const IA32_FS_BASE: u32 = 0xC000_0100;
/// GS base.
pub const IA32_GS_BASE: u32 = 0xC000_0101;
/// SWAPGS target.
pub const IA32_KERNEL_GS_BASE: u32 = 0xC000_0102;
/// Processor id for RDTSCP and RDPID.
pub const IA32_TSC_AUX: u32 = 0xC000_0103;

bitflags::bitflags! {
    /// IA32_FEATURE_CONTROL (SDM Vol. 3C 24.7 "Enabling and Entering VMX Operation").
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
    pub struct FeatureControl: u64 {
        /// Writes raise #GP; VMXON is allowed only when set.
        const LOCK = 1 << 0;
        /// VMXON inside SMX operation.
        const VMX_IN_SMX = 1 << 1;
        /// VMXON outside SMX operation.
        const VMX_OUTSIDE_SMX = 1 << 2;
    }
}

bitflags::bitflags! {
    /// IA32_APIC_BASE flags (SDM Vol. 3A 11.4.4 "Local APIC Status and Location").
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
    pub struct ApicBase: u64 {
        /// Bootstrap processor.
        const BSP = 1 << 8;
        /// x2APIC mode.
        const EXTD = 1 << 10;
        /// APIC global enable.
        const EN = 1 << 11;
    }
}

bitflags::bitflags! {
    /// IA32_DEBUGCTL (SDM Vol. 3B 18.4.1).
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
    pub struct DebugCtl: u64 {
        /// Last-branch recording.
        const LBR = 1 << 0;
        /// Single-step on branches.
        const BTF = 1 << 1;
        /// Bus-lock debug exceptions.
        const BLD = 1 << 2;
        /// Branch trace messages.
        const TR = 1 << 6;
        /// Branch trace store.
        const BTS = 1 << 7;
        /// Interrupt when the BTS buffer is full.
        const BTINT = 1 << 8;
        /// No BTS at CPL 0.
        const BTS_OFF_OS = 1 << 9;
        /// No BTS at CPL > 0.
        const BTS_OFF_USR = 1 << 10;
        /// Freeze LBRs on a performance-monitoring interrupt.
        const FREEZE_LBRS_ON_PMI = 1 << 11;
        /// Freeze counters on a performance-monitoring interrupt.
        const FREEZE_PERFMON_ON_PMI = 1 << 12;
        /// Uncore interrupt enable.
        const UNCORE_PMI_EN = 1 << 13;
        /// Freeze while in SMM.
        const FREEZE_WHILE_SMM = 1 << 14;
        /// RTM debugging.
        const RTM = 1 << 15;
    }
}

/// IA32_PAT with the bytes of its value after reset where a byte is no memory type.
pub const fn pat_repaired(value: u64) -> u64 {
    let (mut repaired, mut n) = (value, 0);
    while n < 8 {
        let byte = 0xFF << (n * 8);
        if !matches!((value >> (n * 8)) & 0xFF, 0 | 1 | 4..=7) {
            repaired = repaired & !byte | 0x0007_0406_0007_0406 & byte;
        }
        n += 1;
    }
    repaired
}

/// Whether `value` may be written to IA32_PAT: each byte is 0, 1, 4, 5, 6 or 7.
pub const fn pat_valid(value: u64) -> bool {
    let mut n = 0;
    while n < 8 {
        if !matches!((value >> (n * 8)) & 0xFF, 0 | 1 | 4..=7) {
            return false;
        }
        n += 1;
    }
    true
}
