//! The control words of the VMCS, each its own type, so that a bit of one cannot be tested in another
//! (SDM Vol. 3C 25.6 "VM-Execution Control Fields", 25.7 "VM-Exit Control Fields", 25.8 "VM-Entry Control Fields").

use serde::{Deserialize, Serialize};

bitflags::bitflags! {
    /// Pin-based VM-execution controls (SDM Vol. 3C 25.6.1, Table 25-5).
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
    pub struct PinBasedControls: u32 {
        /// “External-interrupt exiting”.
        const EXTERNAL_INTERRUPT_EXITING = 1 << 0;
        /// “NMI exiting”.
        const NMI_EXITING = 1 << 3;
        /// “Virtual NMIs”.
        const VIRTUAL_NMIS = 1 << 5;
        /// “Activate VMX-preemption timer”.
        const ACTIVATE_VMX_PREEMPTION_TIMER = 1 << 6;
        /// “Process posted interrupts”.
        const PROCESS_POSTED_INTERRUPTS = 1 << 7;
    }
}

bitflags::bitflags! {
    /// Primary processor-based VM-execution controls (SDM Vol. 3C 25.6.2, Table 25-6).
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
    pub struct PrimaryProcessorControls: u32 {
        /// “Interrupt-window exiting”.
        const INTERRUPT_WINDOW_EXITING = 1 << 2;
        /// “Use TSC offsetting”.
        const USE_TSC_OFFSETTING = 1 << 3;
        /// “HLT exiting”.
        const HLT_EXITING = 1 << 7;
        /// “INVLPG exiting”.
        const INVLPG_EXITING = 1 << 9;
        /// “MWAIT exiting”.
        const MWAIT_EXITING = 1 << 10;
        /// “RDPMC exiting”.
        const RDPMC_EXITING = 1 << 11;
        /// “RDTSC exiting”.
        const RDTSC_EXITING = 1 << 12;
        /// “CR3-load exiting”.
        const CR3_LOAD_EXITING = 1 << 15;
        /// “CR3-store exiting”.
        const CR3_STORE_EXITING = 1 << 16;
        /// “Activate tertiary controls”.
        const ACTIVATE_TERTIARY_CONTROLS = 1 << 17;
        /// “CR8-load exiting”.
        const CR8_LOAD_EXITING = 1 << 19;
        /// “CR8-store exiting”.
        const CR8_STORE_EXITING = 1 << 20;
        /// “Use TPR shadow”.
        const USE_TPR_SHADOW = 1 << 21;
        /// “NMI-window exiting”.
        const NMI_WINDOW_EXITING = 1 << 22;
        /// “MOV-DR exiting”.
        const MOV_DR_EXITING = 1 << 23;
        /// “Unconditional I/O exiting”.
        const UNCONDITIONAL_IO_EXITING = 1 << 24;
        /// “Use I/O bitmaps”.
        const USE_IO_BITMAPS = 1 << 25;
        /// “Monitor trap flag”.
        const MONITOR_TRAP_FLAG = 1 << 27;
        /// “Use MSR bitmaps”.
        const USE_MSR_BITMAPS = 1 << 28;
        /// “MONITOR exiting”.
        const MONITOR_EXITING = 1 << 29;
        /// “PAUSE exiting”.
        const PAUSE_EXITING = 1 << 30;
        /// “Activate secondary controls”.
        const ACTIVATE_SECONDARY_CONTROLS = 1 << 31;
    }
}

bitflags::bitflags! {
    /// Secondary processor-based VM-execution controls (SDM Vol. 3C 25.6.2, Table 25-7).
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
    pub struct SecondaryProcessorControls: u32 {
        /// “Virtualize APIC accesses”.
        const VIRTUALIZE_APIC_ACCESSES = 1 << 0;
        /// “Enable EPT”.
        const ENABLE_EPT = 1 << 1;
        /// “Descriptor-table exiting”.
        const DESCRIPTOR_TABLE_EXITING = 1 << 2;
        /// “Enable RDTSCP”.
        const ENABLE_RDTSCP = 1 << 3;
        /// “Virtualize x2APIC mode”.
        const VIRTUALIZE_X2APIC_MODE = 1 << 4;
        /// “Enable VPID”.
        const ENABLE_VPID = 1 << 5;
        /// “WBINVD exiting”.
        const WBINVD_EXITING = 1 << 6;
        /// “Unrestricted guest”.
        const UNRESTRICTED_GUEST = 1 << 7;
        /// “APIC-register virtualization”.
        const APIC_REGISTER_VIRTUALIZATION = 1 << 8;
        /// “Virtual-interrupt delivery”.
        const VIRTUAL_INTERRUPT_DELIVERY = 1 << 9;
        /// “PAUSE-loop exiting”.
        const PAUSE_LOOP_EXITING = 1 << 10;
        /// “RDRAND exiting”.
        const RDRAND_EXITING = 1 << 11;
        /// “Enable INVPCID”.
        const ENABLE_INVPCID = 1 << 12;
        /// “Enable VM functions”.
        const ENABLE_VM_FUNCTIONS = 1 << 13;
        /// “VMCS shadowing”.
        const VMCS_SHADOWING = 1 << 14;
        /// “Enable ENCLS exiting”.
        const ENABLE_ENCLS_EXITING = 1 << 15;
        /// “RDSEED exiting”.
        const RDSEED_EXITING = 1 << 16;
        /// “Enable PML”.
        const ENABLE_PML = 1 << 17;
        /// “EPT-violation #VE”.
        const EPT_VIOLATION_VE = 1 << 18;
        /// “Conceal VMX from PT”.
        const CONCEAL_VMX_FROM_PT = 1 << 19;
        /// “Enable XSAVES/XRSTORS”.
        const ENABLE_XSAVES_XRSTORS = 1 << 20;
        /// “PASID translation”.
        const PASID_TRANSLATION = 1 << 21;
        /// “Mode-based execute control for EPT”.
        const MODE_BASED_EXECUTE_CONTROL = 1 << 22;
        /// “Sub-page write permissions for EPT”.
        const SUB_PAGE_WRITE_PERMISSIONS = 1 << 23;
        /// “Intel PT uses guest physical addresses”.
        const PT_USES_GUEST_PHYSICAL_ADDRESSES = 1 << 24;
        /// “Use TSC scaling”.
        const USE_TSC_SCALING = 1 << 25;
        /// “Enable user wait and pause”.
        const ENABLE_USER_WAIT_AND_PAUSE = 1 << 26;
        /// “Enable PCONFIG”.
        const ENABLE_PCONFIG = 1 << 27;
        /// “Enable ENCLV exiting”.
        const ENABLE_ENCLV_EXITING = 1 << 28;
        /// “VMM bus-lock detection”.
        const VMM_BUS_LOCK_DETECTION = 1 << 30;
        /// “Instruction timeout”.
        const INSTRUCTION_TIMEOUT = 1 << 31;
    }
}

bitflags::bitflags! {
    /// Tertiary processor-based VM-execution controls (SDM Vol. 3C 25.6.2, Table 25-8).
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
    pub struct TertiaryProcessorControls: u64 {
        /// “LOADIWKEY exiting”.
        const LOADIWKEY_EXITING = 1 << 0;
        /// “Enable HLAT”.
        const ENABLE_HLAT = 1 << 1;
        /// “EPT paging-write control”.
        const EPT_PAGING_WRITE_CONTROL = 1 << 2;
        /// “Guest-paging verification”.
        const GUEST_PAGING_VERIFICATION = 1 << 3;
        /// “IPI virtualization”.
        const IPI_VIRTUALIZATION = 1 << 4;
        /// “Enable MSR-list instructions”.
        const ENABLE_MSR_LIST_INSTRUCTIONS = 1 << 6;
        /// “Virtualize IA32_SPEC_CTRL”.
        const VIRTUALIZE_IA32_SPEC_CTRL = 1 << 7;
    }
}

bitflags::bitflags! {
    /// Primary VM-exit controls (SDM Vol. 3C 25.7.1, Table 25-13).
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
    pub struct VmExitControls: u32 {
        /// “Save debug controls”.
        const SAVE_DEBUG_CONTROLS = 1 << 2;
        /// “Host address-space size”.
        const HOST_ADDRESS_SPACE_SIZE = 1 << 9;
        /// “Load IA32_PERF_GLOBAL_CTRL”.
        const LOAD_IA32_PERF_GLOBAL_CTRL = 1 << 12;
        /// “Acknowledge interrupt on exit”.
        const ACKNOWLEDGE_INTERRUPT_ON_EXIT = 1 << 15;
        /// “Save IA32_PAT”.
        const SAVE_IA32_PAT = 1 << 18;
        /// “Load IA32_PAT”.
        const LOAD_IA32_PAT = 1 << 19;
        /// “Save IA32_EFER”.
        const SAVE_IA32_EFER = 1 << 20;
        /// “Load IA32_EFER”.
        const LOAD_IA32_EFER = 1 << 21;
        /// “Save VMX-preemption timer value”.
        const SAVE_VMX_PREEMPTION_TIMER_VALUE = 1 << 22;
        /// “Clear IA32_BNDCFGS”.
        const CLEAR_IA32_BNDCFGS = 1 << 23;
        /// “Conceal VMX from PT”.
        const CONCEAL_VMX_FROM_PT = 1 << 24;
        /// “Clear IA32_RTIT_CTL”.
        const CLEAR_IA32_RTIT_CTL = 1 << 25;
        /// “Clear IA32_LBR_CTL”.
        const CLEAR_IA32_LBR_CTL = 1 << 26;
        /// “Clear UINV”.
        const CLEAR_UINV = 1 << 27;
        /// “Load CET state”.
        const LOAD_CET_STATE = 1 << 28;
        /// “Load PKRS”.
        const LOAD_PKRS = 1 << 29;
        /// “Save IA32_PERF_GLOBAL_CTRL”.
        const SAVE_IA32_PERF_GLOBAL_CTRL = 1 << 30;
        /// “Activate secondary controls”.
        const ACTIVATE_SECONDARY_CONTROLS = 1 << 31;
    }
}

bitflags::bitflags! {
    /// Secondary VM-exit controls (SDM Vol. 3C 25.7.1, Table 25-14).
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
    pub struct SecondaryVmExitControls: u64 {
        /// “Load IA32_SPEC_CTRL”.
        const LOAD_IA32_SPEC_CTRL = 1 << 2;
        /// “Prematurely busy shadow stack”.
        const PREMATURELY_BUSY_SHADOW_STACK = 1 << 3;
    }
}

bitflags::bitflags! {
    /// VM-entry controls (SDM Vol. 3C 25.8.1, Table 25-16).
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
    pub struct VmEntryControls: u32 {
        /// “Load debug controls”.
        const LOAD_DEBUG_CONTROLS = 1 << 2;
        /// “IA-32e mode guest”.
        const IA32E_MODE_GUEST = 1 << 9;
        /// “Entry to SMM”.
        const ENTRY_TO_SMM = 1 << 10;
        /// “Deactivate dual-monitor treatment”.
        const DEACTIVATE_DUAL_MONITOR_TREATMENT = 1 << 11;
        /// “Load IA32_PERF_GLOBAL_CTRL”.
        const LOAD_IA32_PERF_GLOBAL_CTRL = 1 << 13;
        /// “Load IA32_PAT”.
        const LOAD_IA32_PAT = 1 << 14;
        /// “Load IA32_EFER”.
        const LOAD_IA32_EFER = 1 << 15;
        /// “Load IA32_BNDCFGS”.
        const LOAD_IA32_BNDCFGS = 1 << 16;
        /// “Conceal VMX from PT”.
        const CONCEAL_VMX_FROM_PT = 1 << 17;
        /// “Load IA32_RTIT_CTL”.
        const LOAD_IA32_RTIT_CTL = 1 << 18;
        /// “Load UINV”.
        const LOAD_UINV = 1 << 19;
        /// “Load CET state”.
        const LOAD_CET_STATE = 1 << 20;
        /// “Load guest IA32_LBR_CTL”.
        const LOAD_GUEST_IA32_LBR_CTL = 1 << 21;
        /// “Load PKRS”.
        const LOAD_PKRS = 1 << 22;
        /// “Load IA32_SPEC_CTRL”.
        const LOAD_IA32_SPEC_CTRL = 1 << 24;
    }
}

bitflags::bitflags! {
    /// VM-function controls (SDM Vol. 3C 25.6.14, Table 25-10).
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
    pub struct VmFunctions: u64 {
        /// “EPTP switching”: leaf 0 of VMFUNC.
        const EPTP_SWITCHING = 1 << 0;
    }
}
