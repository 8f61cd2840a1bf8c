//! VMX capability reporting (SDM Vol. 3D Appendix A): the MSRs 480h–493h and what they allow.

use crate::arch::msr;
use crate::controls::*;
use serde::{Deserialize, Serialize};

/// An allowed-settings pair: bits 31:0 are the bits that must be 1 (allowed 0-settings), bits 63:32 those that may
/// be 1 (allowed 1-settings).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct AllowedSettings(pub u64);

impl AllowedSettings {
    /// Bits that must be 1.
    pub const fn must_be_1(self) -> u32 {
        self.0 as u32
    }
    /// Bits that may be 1.
    pub const fn may_be_1(self) -> u32 {
        (self.0 >> 32) as u32
    }
    /// Whether `value` respects both.
    pub const fn allows(self, value: u32) -> bool {
        value & self.must_be_1() == self.must_be_1() && value & !self.may_be_1() == 0
    }
    /// `value` with the bits that must be 1 set and those that may not be 1 cleared.
    pub const fn adjust(self, value: u32) -> u32 {
        (value | self.must_be_1()) & self.may_be_1()
    }
}

/// IA32_VMX_BASIC (Appendix A.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct VmxBasic(pub u64);

impl VmxBasic {
    /// VMCS revision identifier, bits 30:0.
    pub const fn revision_id(self) -> u32 {
        self.0 as u32 & 0x7FFF_FFFF
    }
    /// Bytes of the VMXON region and of a VMCS region, 1–4096.
    pub const fn region_size(self) -> u16 {
        ((self.0 >> 32) & 0x1FFF) as u16
    }
    /// Addresses of VMX structures are limited to 32 bits.
    pub const fn addresses_limited_to_32_bits(self) -> bool {
        self.0 & (1 << 48) != 0
    }
    /// Dual-monitor treatment of SMIs and SMM.
    pub const fn dual_monitor(self) -> bool {
        self.0 & (1 << 49) != 0
    }
    /// Memory type of the VMCS (0 UC, 6 WB).
    pub const fn memory_type(self) -> u8 {
        ((self.0 >> 50) & 0xF) as u8
    }
    /// INS and OUTS exits give instruction information.
    pub const fn ins_outs_information(self) -> bool {
        self.0 & (1 << 54) != 0
    }
    /// The TRUE capability MSRs exist.
    pub const fn true_controls(self) -> bool {
        self.0 & (1 << 55) != 0
    }
    /// Hardware exceptions can be injected with or without an error code, whatever their vector.
    pub const fn any_error_code(self) -> bool {
        self.0 & (1 << 56) != 0
    }
}

/// IA32_VMX_MISC (Appendix A.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct VmxMisc(pub u64);

impl VmxMisc {
    /// The preemption timer counts down when TSC bit of this number changes.
    pub const fn preemption_timer_shift(self) -> u8 {
        (self.0 & 0x1F) as u8
    }
    /// VM exits store IA32_EFER.LMA into “IA-32e mode guest”.
    pub const fn stores_lma(self) -> bool {
        self.0 & (1 << 5) != 0
    }
    /// Whether activity state `state` (1 HLT, 2 shutdown, 3 wait-for-SIPI) is supported; 0 (active) always is.
    pub const fn activity_state_supported(self, state: u32) -> bool {
        match state {
            0 => true,
            1..=3 => self.0 & (1 << (5 + state)) != 0,
            _ => false,
        }
    }
    /// Intel PT can be used in VMX operation.
    pub const fn pt_in_vmx(self) -> bool {
        self.0 & (1 << 14) != 0
    }
    /// RDMSR of IA32_SMBASE in SMM.
    pub const fn smbase_msr(self) -> bool {
        self.0 & (1 << 15) != 0
    }
    /// Number of CR3-target values.
    pub const fn cr3_targets(self) -> u32 {
        ((self.0 >> 16) & 0x1FF) as u32
    }
    /// Recommended maximum number of entries of each MSR list.
    pub const fn msr_list_maximum(self) -> u32 {
        512 * (((self.0 >> 25) & 7) as u32 + 1)
    }
    /// IA32_SMM_MONITOR_CTL bit 2 can be set.
    pub const fn smi_unblocking(self) -> bool {
        self.0 & (1 << 28) != 0
    }
    /// VMWRITE may write VM-exit information fields.
    pub const fn vmwrite_any_field(self) -> bool {
        self.0 & (1 << 29) != 0
    }
    /// Injection of a software event with instruction length 0.
    pub const fn injection_length_0(self) -> bool {
        self.0 & (1 << 30) != 0
    }
    /// MSEG revision identifier.
    pub const fn mseg_revision(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

bitflags::bitflags! {
    /// IA32_VMX_EPT_VPID_CAP (Appendix A.10).
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
    pub struct EptVpidCap: u64 {
        /// Execute-only translations.
        const EXECUTE_ONLY = 1 << 0;
        /// EPT page-walk length 4.
        const WALK_LENGTH_4 = 1 << 6;
        /// EPT page-walk length 5.
        const WALK_LENGTH_5 = 1 << 7;
        /// EPT paging structures in uncacheable memory.
        const MEMORY_TYPE_UC = 1 << 8;
        /// EPT paging structures in write-back memory.
        const MEMORY_TYPE_WB = 1 << 14;
        /// 2-MByte pages.
        const PAGE_2M = 1 << 16;
        /// 1-GByte pages.
        const PAGE_1G = 1 << 17;
        /// INVEPT.
        const INVEPT = 1 << 20;
        /// Accessed and dirty flags.
        const ACCESSED_DIRTY = 1 << 21;
        /// Advanced VM-exit information for EPT violations.
        const ADVANCED_EXIT_INFORMATION = 1 << 22;
        /// Supervisor shadow-stack control.
        const SUPERVISOR_SHADOW_STACK = 1 << 23;
        /// Single-context INVEPT.
        const INVEPT_SINGLE = 1 << 25;
        /// All-context INVEPT.
        const INVEPT_ALL = 1 << 26;
        /// INVVPID.
        const INVVPID = 1 << 32;
        /// Individual-address INVVPID.
        const INVVPID_ADDRESS = 1 << 40;
        /// Single-context INVVPID.
        const INVVPID_SINGLE = 1 << 41;
        /// All-context INVVPID.
        const INVVPID_ALL = 1 << 42;
        /// Single-context-retaining-globals INVVPID.
        const INVVPID_SINGLE_RETAINING_GLOBALS = 1 << 43;
    }
}

impl EptVpidCap {
    /// Maximum HLAT prefix size, bits 53:48.
    pub const fn maximum_hlat_prefix(self) -> u8 {
        ((self.bits() >> 48) & 0x3F) as u8
    }
}

/// The capability MSRs of a processor, as RDMSR gives them. An MSR that does not exist is 0 here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct VmxCapabilities {
    /// 480h IA32_VMX_BASIC.
    pub basic: VmxBasic,
    /// 481h IA32_VMX_PINBASED_CTLS.
    pub pinbased_ctls: AllowedSettings,
    /// 482h IA32_VMX_PROCBASED_CTLS.
    pub procbased_ctls: AllowedSettings,
    /// 483h IA32_VMX_EXIT_CTLS.
    pub exit_ctls: AllowedSettings,
    /// 484h IA32_VMX_ENTRY_CTLS.
    pub entry_ctls: AllowedSettings,
    /// 485h IA32_VMX_MISC.
    pub misc: VmxMisc,
    /// 486h IA32_VMX_CR0_FIXED0: bits that must be 1.
    pub cr0_fixed0: u64,
    /// 487h IA32_VMX_CR0_FIXED1: bits that may be 1.
    pub cr0_fixed1: u64,
    /// 488h IA32_VMX_CR4_FIXED0: bits that must be 1.
    pub cr4_fixed0: u64,
    /// 489h IA32_VMX_CR4_FIXED1: bits that may be 1.
    pub cr4_fixed1: u64,
    /// 48Ah IA32_VMX_VMCS_ENUM.
    pub vmcs_enum: u64,
    /// 48Bh IA32_VMX_PROCBASED_CTLS2.
    pub procbased_ctls2: AllowedSettings,
    /// 48Ch IA32_VMX_EPT_VPID_CAP.
    pub ept_vpid_cap: EptVpidCap,
    /// 48Dh IA32_VMX_TRUE_PINBASED_CTLS.
    pub true_pinbased_ctls: AllowedSettings,
    /// 48Eh IA32_VMX_TRUE_PROCBASED_CTLS.
    pub true_procbased_ctls: AllowedSettings,
    /// 48Fh IA32_VMX_TRUE_EXIT_CTLS.
    pub true_exit_ctls: AllowedSettings,
    /// 490h IA32_VMX_TRUE_ENTRY_CTLS.
    pub true_entry_ctls: AllowedSettings,
    /// 491h IA32_VMX_VMFUNC: VM functions that may be enabled.
    pub vmfunc: VmFunctions,
    /// 492h IA32_VMX_PROCBASED_CTLS3: tertiary controls that may be 1 (64 bits, no must-be-1 half).
    pub procbased_ctls3: TertiaryProcessorControls,
    /// 493h IA32_VMX_EXIT_CTLS2: secondary VM-exit controls that may be 1.
    pub exit_ctls2: SecondaryVmExitControls,
}

impl VmxCapabilities {
    /// The Core i5 M520 (Arrandale).
    pub const CORE_I5_M520: VmxCapabilities = VmxCapabilities {
        basic: VmxBasic(0x00D8_1000_0000_002B),
        pinbased_ctls: AllowedSettings(0x0000_007F_0000_0016),
        procbased_ctls: AllowedSettings(0xFFF9_FFFE_0401_E172),
        exit_ctls: AllowedSettings(0x007F_FFFF_0003_6DFF),
        entry_ctls: AllowedSettings(0x0000_FFFF_0000_11FF),
        misc: VmxMisc(0x0004_01E0),
        cr0_fixed0: 0x8000_0021,
        cr0_fixed1: 0xFFFF_FFFF,
        cr4_fixed0: 0x2000,
        cr4_fixed1: 0x67FF,
        vmcs_enum: 0x54,
        procbased_ctls2: AllowedSettings(0x0000_00FF_0000_0000),
        ept_vpid_cap: EptVpidCap::from_bits_retain(0x0000_0F01_0611_4141),
        true_pinbased_ctls: AllowedSettings(0x0000_007F_0000_0016),
        true_procbased_ctls: AllowedSettings(0xFFF9_FFFE_0400_6172),
        true_exit_ctls: AllowedSettings(0x007F_FFFF_0003_6DFB),
        true_entry_ctls: AllowedSettings(0x0000_FFFF_0000_11FB),
        vmfunc: VmFunctions::empty(),
        procbased_ctls3: TertiaryProcessorControls::empty(),
        exit_ctls2: SecondaryVmExitControls::empty(),
    };

    /// Pin-based settings that VM entry enforces: the TRUE ones where they exist.
    pub const fn pin(&self) -> AllowedSettings {
        if self.basic.true_controls() { self.true_pinbased_ctls } else { self.pinbased_ctls }
    }
    /// Primary processor-based settings that VM entry enforces.
    pub const fn primary(&self) -> AllowedSettings {
        if self.basic.true_controls() { self.true_procbased_ctls } else { self.procbased_ctls }
    }
    /// Primary VM-exit settings that VM entry enforces.
    pub const fn exit(&self) -> AllowedSettings {
        if self.basic.true_controls() { self.true_exit_ctls } else { self.exit_ctls }
    }
    /// VM-entry settings that VM entry enforces.
    pub const fn entry(&self) -> AllowedSettings {
        if self.basic.true_controls() { self.true_entry_ctls } else { self.entry_ctls }
    }
    /// Pin-based controls that may be 1.
    pub const fn pin_allowed_1(&self) -> PinBasedControls {
        PinBasedControls::from_bits_retain(self.pin().may_be_1())
    }
    /// Primary processor-based controls that may be 1.
    pub const fn primary_allowed_1(&self) -> PrimaryProcessorControls {
        PrimaryProcessorControls::from_bits_retain(self.primary().may_be_1())
    }
    /// Secondary processor-based controls that may be 1; none without “activate secondary controls”.
    pub const fn secondary_allowed_1(&self) -> SecondaryProcessorControls {
        if self.primary_allowed_1().contains(PrimaryProcessorControls::ACTIVATE_SECONDARY_CONTROLS) {
            SecondaryProcessorControls::from_bits_retain(self.procbased_ctls2.may_be_1())
        } else {
            SecondaryProcessorControls::empty()
        }
    }
    /// Tertiary processor-based controls that may be 1; none without “activate tertiary controls”.
    pub const fn tertiary_allowed_1(&self) -> TertiaryProcessorControls {
        if self.primary_allowed_1().contains(PrimaryProcessorControls::ACTIVATE_TERTIARY_CONTROLS) {
            self.procbased_ctls3
        } else {
            TertiaryProcessorControls::empty()
        }
    }
    /// Primary VM-exit controls that may be 1.
    pub const fn exit_allowed_1(&self) -> VmExitControls {
        VmExitControls::from_bits_retain(self.exit().may_be_1())
    }
    /// Secondary VM-exit controls that may be 1; none without “activate secondary controls” of the exit controls.
    pub const fn secondary_exit_allowed_1(&self) -> SecondaryVmExitControls {
        if self.exit_allowed_1().contains(VmExitControls::ACTIVATE_SECONDARY_CONTROLS) {
            self.exit_ctls2
        } else {
            SecondaryVmExitControls::empty()
        }
    }
    /// VM-entry controls that may be 1.
    pub const fn entry_allowed_1(&self) -> VmEntryControls {
        VmEntryControls::from_bits_retain(self.entry().may_be_1())
    }
    /// VM functions that may be enabled.
    pub const fn vm_functions_allowed_1(&self) -> VmFunctions {
        if self.secondary_allowed_1().contains(SecondaryProcessorControls::ENABLE_VM_FUNCTIONS) {
            self.vmfunc
        } else {
            VmFunctions::empty()
        }
    }
    /// Nothing: what a processor is described from, MSR by MSR.
    pub const NONE: VmxCapabilities = VmxCapabilities {
        basic: VmxBasic(0),
        pinbased_ctls: AllowedSettings(0),
        procbased_ctls: AllowedSettings(0),
        exit_ctls: AllowedSettings(0),
        entry_ctls: AllowedSettings(0),
        misc: VmxMisc(0),
        cr0_fixed0: 0,
        cr0_fixed1: 0,
        cr4_fixed0: 0,
        cr4_fixed1: 0,
        vmcs_enum: 0,
        procbased_ctls2: AllowedSettings(0),
        ept_vpid_cap: EptVpidCap::empty(),
        true_pinbased_ctls: AllowedSettings(0),
        true_procbased_ctls: AllowedSettings(0),
        true_exit_ctls: AllowedSettings(0),
        true_entry_ctls: AllowedSettings(0),
        vmfunc: VmFunctions::empty(),
        procbased_ctls3: TertiaryProcessorControls::empty(),
        exit_ctls2: SecondaryVmExitControls::empty(),
    };

    /// Takes what RDMSR gives for `index`; other MSRs say nothing.
    pub fn set_msr(&mut self, index: u32, value: u64) {
        match index {
            msr::IA32_VMX_BASIC => self.basic = VmxBasic(value),
            msr::IA32_VMX_PINBASED_CTLS => self.pinbased_ctls = AllowedSettings(value),
            msr::IA32_VMX_PROCBASED_CTLS => self.procbased_ctls = AllowedSettings(value),
            msr::IA32_VMX_EXIT_CTLS => self.exit_ctls = AllowedSettings(value),
            msr::IA32_VMX_ENTRY_CTLS => self.entry_ctls = AllowedSettings(value),
            msr::IA32_VMX_MISC => self.misc = VmxMisc(value),
            msr::IA32_VMX_CR0_FIXED0 => self.cr0_fixed0 = value,
            msr::IA32_VMX_CR0_FIXED1 => self.cr0_fixed1 = value,
            msr::IA32_VMX_CR4_FIXED0 => self.cr4_fixed0 = value,
            msr::IA32_VMX_CR4_FIXED1 => self.cr4_fixed1 = value,
            msr::IA32_VMX_VMCS_ENUM => self.vmcs_enum = value,
            msr::IA32_VMX_PROCBASED_CTLS2 => self.procbased_ctls2 = AllowedSettings(value),
            msr::IA32_VMX_EPT_VPID_CAP => self.ept_vpid_cap = EptVpidCap::from_bits_retain(value),
            msr::IA32_VMX_TRUE_PINBASED_CTLS => self.true_pinbased_ctls = AllowedSettings(value),
            msr::IA32_VMX_TRUE_PROCBASED_CTLS => self.true_procbased_ctls = AllowedSettings(value),
            msr::IA32_VMX_TRUE_EXIT_CTLS => self.true_exit_ctls = AllowedSettings(value),
            msr::IA32_VMX_TRUE_ENTRY_CTLS => self.true_entry_ctls = AllowedSettings(value),
            msr::IA32_VMX_VMFUNC => self.vmfunc = VmFunctions::from_bits_retain(value),
            msr::IA32_VMX_PROCBASED_CTLS3 => self.procbased_ctls3 = TertiaryProcessorControls::from_bits_retain(value),
            msr::IA32_VMX_EXIT_CTLS2 => self.exit_ctls2 = SecondaryVmExitControls::from_bits_retain(value),
            _ => {}
        }
    }

    /// What RDMSR gives for `index`; `None` (#GP) when the MSR does not exist on this processor: each of 48Bh–493h
    /// exists only with the feature that it reports.
    pub fn read_msr(&self, index: u32) -> Option<u64> {
        let primary = self.primary_allowed_1();
        let secondary = self.secondary_allowed_1();
        let only = |condition: bool, value: u64| condition.then_some(value);
        let truth = self.basic.true_controls();
        match index {
            msr::IA32_VMX_BASIC => Some(self.basic.0),
            msr::IA32_VMX_PINBASED_CTLS => Some(self.pinbased_ctls.0),
            msr::IA32_VMX_PROCBASED_CTLS => Some(self.procbased_ctls.0),
            msr::IA32_VMX_EXIT_CTLS => Some(self.exit_ctls.0),
            msr::IA32_VMX_ENTRY_CTLS => Some(self.entry_ctls.0),
            msr::IA32_VMX_MISC => Some(self.misc.0),
            msr::IA32_VMX_CR0_FIXED0 => Some(self.cr0_fixed0),
            msr::IA32_VMX_CR0_FIXED1 => Some(self.cr0_fixed1),
            msr::IA32_VMX_CR4_FIXED0 => Some(self.cr4_fixed0),
            msr::IA32_VMX_CR4_FIXED1 => Some(self.cr4_fixed1),
            msr::IA32_VMX_VMCS_ENUM => Some(self.vmcs_enum),
            msr::IA32_VMX_PROCBASED_CTLS2 => {
                only(primary.contains(PrimaryProcessorControls::ACTIVATE_SECONDARY_CONTROLS), self.procbased_ctls2.0)
            }
            msr::IA32_VMX_EPT_VPID_CAP => only(
                secondary.intersects(SecondaryProcessorControls::ENABLE_EPT | SecondaryProcessorControls::ENABLE_VPID),
                self.ept_vpid_cap.bits(),
            ),
            msr::IA32_VMX_TRUE_PINBASED_CTLS => only(truth, self.true_pinbased_ctls.0),
            msr::IA32_VMX_TRUE_PROCBASED_CTLS => only(truth, self.true_procbased_ctls.0),
            msr::IA32_VMX_TRUE_EXIT_CTLS => only(truth, self.true_exit_ctls.0),
            msr::IA32_VMX_TRUE_ENTRY_CTLS => only(truth, self.true_entry_ctls.0),
            msr::IA32_VMX_VMFUNC => {
                only(secondary.contains(SecondaryProcessorControls::ENABLE_VM_FUNCTIONS), self.vmfunc.bits())
            }
            msr::IA32_VMX_PROCBASED_CTLS3 => only(
                primary.contains(PrimaryProcessorControls::ACTIVATE_TERTIARY_CONTROLS),
                self.procbased_ctls3.bits(),
            ),
            msr::IA32_VMX_EXIT_CTLS2 => only(
                self.exit_allowed_1().contains(VmExitControls::ACTIVATE_SECONDARY_CONTROLS),
                self.exit_ctls2.bits(),
            ),
            _ => None,
        }
    }
    /// Whether `cr0` is allowed in VMX root operation (SDM Vol. 3C 24.8 "Restrictions on VMX Operation").
    pub const fn cr0_allowed(&self, cr0: u64) -> bool {
        cr0 & self.cr0_fixed0 == self.cr0_fixed0 && cr0 & !self.cr0_fixed1 == 0
    }
    /// Whether `cr4` is allowed in VMX operation.
    pub const fn cr4_allowed(&self, cr4: u64) -> bool {
        cr4 & self.cr4_fixed0 == self.cr4_fixed0 && cr4 & !self.cr4_fixed1 == 0
    }
    /// Whether `cr0` is allowed in VMX non-root operation: with an unrestricted guest PE and PG may be 0.
    pub const fn guest_cr0_allowed(&self, cr0: u64, unrestricted_guest: bool) -> bool {
        let must_be_1 = if unrestricted_guest { self.cr0_fixed0 & !0x8000_0001 } else { self.cr0_fixed0 };
        cr0 & must_be_1 == must_be_1 && cr0 & !self.cr0_fixed1 == 0
    }
}

/// Facts about the logical processor, outside the VMX capability MSRs, that rules depend on. All of them follow from
/// the CPU model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProcessorFacts {
    /// Physical-address width (CPUID 80000008h EAX 7:0), 32–52.
    pub maxphyaddr: u8,
    /// Linear-address width that the processor supports: 48, or 57 with 5-level paging (canonical checks of MSRs and
    /// segment bases use this one, whatever CR4.LA57 is).
    pub linear_width: u8,
    /// Bits of IA32_PERF_GLOBAL_CTRL that are not reserved.
    pub perf_global_ctrl_mask: u64,
    /// Bits of IA32_DEBUGCTL that are not reserved.
    pub debugctl_mask: u64,
    /// Bits of IA32_EFER that are not reserved.
    pub efer_mask: u64,
    /// Bits of IA32_RTIT_CTL that are not reserved.
    pub rtit_ctl_mask: u64,
    /// Bits of IA32_LBR_CTL that are not reserved.
    pub lbr_ctl_mask: u64,
    /// Bits of IA32_S_CET that are not reserved (those of the legacy bitmap’s base too, whose canonicality is checked apart).
    pub s_cet_mask: u64,
    /// Bits of IA32_SPEC_CTRL that are not reserved.
    pub spec_ctrl_mask: u64,
    /// Bits of CR3 that linear-address masking makes available (61 and 62), or 0.
    pub cr3_lam_mask: u64,
    /// SGX is supported.
    pub sgx: bool,
    /// RTM is supported.
    pub rtm: bool,
    /// Bus-lock debug exceptions are supported.
    pub bus_lock_detect: bool,
    /// “Monitor trap flag” events can be injected (type 7).
    pub mtf_injection: bool,
}

impl ProcessorFacts {
    /// The Core i5 M520 as its CPU model has it: 40 physical (CPUID 80000008h) and 48 linear address bits, four general-purpose and three fixed counters.
    pub const CORE_I5_M520: ProcessorFacts = ProcessorFacts {
        maxphyaddr: 40,
        linear_width: 48,
        perf_global_ctrl_mask: 0x0000_0007_0000_000F,
        debugctl_mask: 0x0000_7FC3,
        efer_mask: 0xD01,
        rtit_ctl_mask: 0,
        lbr_ctl_mask: 0,
        s_cet_mask: 0,
        spec_ctrl_mask: 0,
        cr3_lam_mask: 0,
        sgx: false,
        rtm: false,
        bus_lock_detect: false,
        mtf_injection: true,
    };
    /// Whether `address` has a bit beyond the physical-address width, or above bit 31 where VMX_BASIC limits
    /// addresses of VMX structures.
    pub const fn vmx_address_too_wide(&self, address: u64, basic: VmxBasic) -> bool {
        crate::arch::addr::beyond_physical(address, self.maxphyaddr)
            || (basic.addresses_limited_to_32_bits() && address >> 32 != 0)
    }
    /// Whether `address` is canonical for the widest linear address of the processor.
    pub const fn canonical(&self, address: u64) -> bool {
        crate::arch::addr::is_canonical(address, self.linear_width)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allowed_settings_missing_must_be_1_or_extra_bit_is_refused() {
        let pin = VmxCapabilities::CORE_I5_M520.pin();
        assert!(pin.allows(0x1F) && pin.allows(0x5F));
        assert!(!pin.allows(0x0F) && !pin.allows(0x9F));
        assert_eq!(pin.adjust(0), 0x16);
    }

    #[test]
    fn core_i5_m520_allows_the_book_s_control_words() {
        let caps = VmxCapabilities::CORE_I5_M520;
        assert!([0x1F, 0x5F].iter().all(|&word| caps.pin().allows(word)));
        assert!([0xB721_E7F2, 0xB721_F7F2, 0xBF21_E7F2].iter().all(|&word| caps.primary().allows(word)));
        assert!([0x6D, 0xEF].iter().all(|&word| caps.procbased_ctls2.allows(word)));
        assert!([0x3F_FFFF, 0x3F_FDFF, 0x7F_FFFF].iter().all(|&word| caps.exit().allows(word)));
        assert!([0xF3FF, 0xF1FF].iter().all(|&word| caps.entry().allows(word)));
    }

    #[test]
    fn capability_msr_of_absent_feature_does_not_exist() {
        let caps = VmxCapabilities::CORE_I5_M520;
        assert_eq!(caps.read_msr(msr::IA32_VMX_MISC), Some(0x401E0));
        assert_eq!(caps.read_msr(msr::IA32_VMX_EPT_VPID_CAP), Some(0xF01_0611_4141));
        assert_eq!(caps.read_msr(msr::IA32_VMX_VMFUNC), None);
        assert_eq!(caps.read_msr(msr::IA32_VMX_PROCBASED_CTLS3), None);
    }

    #[test]
    fn guest_cr0_without_pe_needs_unrestricted_guest() {
        let caps = VmxCapabilities::CORE_I5_M520;
        assert!(caps.guest_cr0_allowed(0x20, true) && !caps.guest_cr0_allowed(0x20, false));
        assert!(!caps.guest_cr0_allowed(0x00, true), "NE stays fixed");
    }
}
