//! The fields of the VMCS: one table (SDM Vol. 3D Appendix B "Field Encoding in VMCS"; Vol. 3C 25.11.2 "VMREAD,
//! VMWRITE, and Encodings of VMCS Fields").
//!
//! Fields that belong to features that no model offers at all (FRED, TDX) are not in the table.

use crate::caps::VmxCapabilities;
use crate::controls::*;
use serde::{Deserialize, Serialize};

/// Width of a field, bits 14:13 of its encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Width {
    /// 16 bits.
    W16,
    /// 64 bits.
    W64,
    /// 32 bits.
    W32,
    /// As wide as a general-purpose register of the processor: 64 bits here.
    Natural,
}

impl Width {
    /// Mask of the bits that the field holds.
    pub const fn mask(self) -> u64 {
        match self {
            Width::W16 => 0xFFFF,
            Width::W32 => 0xFFFF_FFFF,
            Width::W64 | Width::Natural => u64::MAX,
        }
    }
}

/// Type of a field, bits 11:10 of its encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Area {
    /// Control.
    Control,
    /// VM-exit information: read-only unless VMX_MISC bit 29 is set.
    ReadOnly,
    /// Guest state.
    Guest,
    /// Host state.
    Host,
}

/// A control whose allowed 1-setting makes a field exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Need {
    /// A pin-based control.
    Pin(PinBasedControls),
    /// A primary processor-based control.
    Primary(PrimaryProcessorControls),
    /// A secondary processor-based control.
    Secondary(SecondaryProcessorControls),
    /// A tertiary processor-based control.
    Tertiary(TertiaryProcessorControls),
    /// A primary VM-exit control.
    Exit(VmExitControls),
    /// A secondary VM-exit control.
    SecondaryExit(SecondaryVmExitControls),
    /// A VM-entry control.
    Entry(VmEntryControls),
    /// A VM function.
    VmFunction(VmFunctions),
    /// A feature that this library does not know: the field never exists.
    Never,
}

impl Need {
    /// Whether a processor with `caps` allows the control to be 1.
    pub fn met(self, caps: &VmxCapabilities) -> bool {
        match self {
            Need::Pin(bits) => caps.pin_allowed_1().contains(bits),
            Need::Primary(bits) => caps.primary_allowed_1().contains(bits),
            Need::Secondary(bits) => caps.secondary_allowed_1().contains(bits),
            Need::Tertiary(bits) => caps.tertiary_allowed_1().contains(bits),
            Need::Exit(bits) => caps.exit_allowed_1().contains(bits),
            Need::SecondaryExit(bits) => caps.secondary_exit_allowed_1().contains(bits),
            Need::Entry(bits) => caps.entry_allowed_1().contains(bits),
            Need::VmFunction(bits) => caps.vm_functions_allowed_1().contains(bits),
            Need::Never => false,
        }
    }
}

macro_rules! fields {
    ($($ident:ident = $encoding:literal, $name:literal, [$($need:expr),*];)*) => {
        /// A VMCS field. The discriminant is its place in [`Field::ALL`]; the encoding is [`Field::encoding`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[repr(u8)]
        pub enum Field {
            $(#[doc = $name] $ident,)*
        }

        impl Field {
            /// Every field, in the order of the encodings of each group of Appendix B.
            pub const ALL: &'static [Field] = &[$(Field::$ident),*];
            const ENCODINGS: &'static [u16] = &[$($encoding),*];
            const NAMES: &'static [&'static str] = &[$($name),*];
            const IDENTIFIERS: &'static [&'static str] = &[$(stringify!($ident)),*];

            /// The controls of which at least one must be allowed for the field to exist; empty: always exists.
            pub fn needs(self) -> &'static [Need] {
                #[allow(unused_imports)]
                use Need::*;
                match self {
                    $(Field::$ident => const { &[$($need),*] },)*
                }
            }
        }
    };
}

fields! {
    // 16-bit control fields
    Vpid = 0x0000, "Virtual-processor identifier (VPID)", [Secondary(SecondaryProcessorControls::ENABLE_VPID)];
    PostedInterruptNotificationVector = 0x0002, "Posted-interrupt notification vector", [Pin(PinBasedControls::PROCESS_POSTED_INTERRUPTS)];
    EptpIndex = 0x0004, "EPTP index", [Secondary(SecondaryProcessorControls::EPT_VIOLATION_VE)];
    HlatPrefixSize = 0x0006, "HLAT prefix size", [Tertiary(TertiaryProcessorControls::ENABLE_HLAT)];
    LastPidPointerIndex = 0x0008, "Last PID-pointer index", [Tertiary(TertiaryProcessorControls::IPI_VIRTUALIZATION)];
    // 16-bit guest fields
    GuestEsSelector = 0x0800, "Guest ES selector", [];
    GuestCsSelector = 0x0802, "Guest CS selector", [];
    GuestSsSelector = 0x0804, "Guest SS selector", [];
    GuestDsSelector = 0x0806, "Guest DS selector", [];
    GuestFsSelector = 0x0808, "Guest FS selector", [];
    GuestGsSelector = 0x080A, "Guest GS selector", [];
    GuestLdtrSelector = 0x080C, "Guest LDTR selector", [];
    GuestTrSelector = 0x080E, "Guest TR selector", [];
    GuestInterruptStatus = 0x0810, "Guest interrupt status", [Secondary(SecondaryProcessorControls::VIRTUAL_INTERRUPT_DELIVERY)];
    PmlIndex = 0x0812, "PML index", [Secondary(SecondaryProcessorControls::ENABLE_PML)];
    GuestUinv = 0x0814, "Guest UINV", [Exit(VmExitControls::CLEAR_UINV), Entry(VmEntryControls::LOAD_UINV)];
    // 16-bit host fields
    HostEsSelector = 0x0C00, "Host ES selector", [];
    HostCsSelector = 0x0C02, "Host CS selector", [];
    HostSsSelector = 0x0C04, "Host SS selector", [];
    HostDsSelector = 0x0C06, "Host DS selector", [];
    HostFsSelector = 0x0C08, "Host FS selector", [];
    HostGsSelector = 0x0C0A, "Host GS selector", [];
    HostTrSelector = 0x0C0C, "Host TR selector", [];
    // 64-bit control fields
    IoBitmapA = 0x2000, "Address of I/O bitmap A", [];
    IoBitmapB = 0x2002, "Address of I/O bitmap B", [];
    MsrBitmaps = 0x2004, "Address of MSR bitmaps", [Primary(PrimaryProcessorControls::USE_MSR_BITMAPS)];
    VmExitMsrStoreAddress = 0x2006, "VM-exit MSR-store address", [];
    VmExitMsrLoadAddress = 0x2008, "VM-exit MSR-load address", [];
    VmEntryMsrLoadAddress = 0x200A, "VM-entry MSR-load address", [];
    ExecutiveVmcsPointer = 0x200C, "Executive-VMCS pointer", [];
    PmlAddress = 0x200E, "PML address", [Secondary(SecondaryProcessorControls::ENABLE_PML)];
    TscOffset = 0x2010, "TSC offset", [];
    VirtualApicAddress = 0x2012, "Virtual-APIC address", [Primary(PrimaryProcessorControls::USE_TPR_SHADOW)];
    ApicAccessAddress = 0x2014, "APIC-access address", [Secondary(SecondaryProcessorControls::VIRTUALIZE_APIC_ACCESSES)];
    PostedInterruptDescriptorAddress = 0x2016, "Posted-interrupt descriptor address", [Pin(PinBasedControls::PROCESS_POSTED_INTERRUPTS)];
    VmFunctionControls = 0x2018, "VM-function controls", [Secondary(SecondaryProcessorControls::ENABLE_VM_FUNCTIONS)];
    EptPointer = 0x201A, "EPT pointer (EPTP)", [Secondary(SecondaryProcessorControls::ENABLE_EPT)];
    EoiExitBitmap0 = 0x201C, "EOI-exit bitmap 0 (EOI_EXIT0)", [Secondary(SecondaryProcessorControls::VIRTUAL_INTERRUPT_DELIVERY)];
    EoiExitBitmap1 = 0x201E, "EOI-exit bitmap 1 (EOI_EXIT1)", [Secondary(SecondaryProcessorControls::VIRTUAL_INTERRUPT_DELIVERY)];
    EoiExitBitmap2 = 0x2020, "EOI-exit bitmap 2 (EOI_EXIT2)", [Secondary(SecondaryProcessorControls::VIRTUAL_INTERRUPT_DELIVERY)];
    EoiExitBitmap3 = 0x2022, "EOI-exit bitmap 3 (EOI_EXIT3)", [Secondary(SecondaryProcessorControls::VIRTUAL_INTERRUPT_DELIVERY)];
    EptpListAddress = 0x2024, "EPTP-list address", [VmFunction(VmFunctions::EPTP_SWITCHING)];
    VmreadBitmapAddress = 0x2026, "VMREAD-bitmap address", [Secondary(SecondaryProcessorControls::VMCS_SHADOWING)];
    VmwriteBitmapAddress = 0x2028, "VMWRITE-bitmap address", [Secondary(SecondaryProcessorControls::VMCS_SHADOWING)];
    VirtualizationExceptionInformationAddress = 0x202A, "Virtualization-exception information address", [Secondary(SecondaryProcessorControls::EPT_VIOLATION_VE)];
    XssExitingBitmap = 0x202C, "XSS-exiting bitmap", [Secondary(SecondaryProcessorControls::ENABLE_XSAVES_XRSTORS)];
    EnclsExitingBitmap = 0x202E, "ENCLS-exiting bitmap", [Secondary(SecondaryProcessorControls::ENABLE_ENCLS_EXITING)];
    SubPagePermissionTablePointer = 0x2030, "Sub-page-permission-table pointer", [Secondary(SecondaryProcessorControls::SUB_PAGE_WRITE_PERMISSIONS)];
    TscMultiplier = 0x2032, "TSC multiplier", [Secondary(SecondaryProcessorControls::USE_TSC_SCALING)];
    TertiaryProcessorControls = 0x2034, "Tertiary processor-based VM-execution controls", [Primary(PrimaryProcessorControls::ACTIVATE_TERTIARY_CONTROLS)];
    EnclvExitingBitmap = 0x2036, "ENCLV-exiting bitmap", [Secondary(SecondaryProcessorControls::ENABLE_ENCLV_EXITING)];
    LowPasidDirectoryAddress = 0x2038, "Low PASID directory address", [Secondary(SecondaryProcessorControls::PASID_TRANSLATION)];
    HighPasidDirectoryAddress = 0x203A, "High PASID directory address", [Secondary(SecondaryProcessorControls::PASID_TRANSLATION)];
    SharedEptPointer = 0x203C, "Shared EPT pointer", [Never];
    PconfigExitingBitmap = 0x203E, "PCONFIG-exiting bitmap", [Secondary(SecondaryProcessorControls::ENABLE_PCONFIG)];
    HlatPointer = 0x2040, "Hypervisor-managed linear-address translation pointer (HLATP)", [Tertiary(TertiaryProcessorControls::ENABLE_HLAT)];
    PidPointerTableAddress = 0x2042, "PID-pointer table address", [Tertiary(TertiaryProcessorControls::IPI_VIRTUALIZATION)];
    SecondaryVmExitControls = 0x2044, "Secondary VM-exit controls", [Exit(VmExitControls::ACTIVATE_SECONDARY_CONTROLS)];
    Ia32SpecCtrlMask = 0x204A, "IA32_SPEC_CTRL mask", [Tertiary(TertiaryProcessorControls::VIRTUALIZE_IA32_SPEC_CTRL)];
    Ia32SpecCtrlShadow = 0x204C, "IA32_SPEC_CTRL shadow", [Tertiary(TertiaryProcessorControls::VIRTUALIZE_IA32_SPEC_CTRL)];
    // 64-bit read-only data fields
    GuestPhysicalAddress = 0x2400, "Guest-physical address", [Secondary(SecondaryProcessorControls::ENABLE_EPT)];
    // 64-bit guest fields
    VmcsLinkPointer = 0x2800, "VMCS link pointer", [];
    GuestIa32Debugctl = 0x2802, "Guest IA32_DEBUGCTL", [];
    GuestIa32Pat = 0x2804, "Guest IA32_PAT", [Entry(VmEntryControls::LOAD_IA32_PAT), Exit(VmExitControls::SAVE_IA32_PAT)];
    GuestIa32Efer = 0x2806, "Guest IA32_EFER", [Entry(VmEntryControls::LOAD_IA32_EFER), Exit(VmExitControls::SAVE_IA32_EFER)];
    GuestIa32PerfGlobalCtrl = 0x2808, "Guest IA32_PERF_GLOBAL_CTRL", [Entry(VmEntryControls::LOAD_IA32_PERF_GLOBAL_CTRL), Exit(VmExitControls::SAVE_IA32_PERF_GLOBAL_CTRL)];
    GuestPdpte0 = 0x280A, "Guest PDPTE0", [Secondary(SecondaryProcessorControls::ENABLE_EPT)];
    GuestPdpte1 = 0x280C, "Guest PDPTE1", [Secondary(SecondaryProcessorControls::ENABLE_EPT)];
    GuestPdpte2 = 0x280E, "Guest PDPTE2", [Secondary(SecondaryProcessorControls::ENABLE_EPT)];
    GuestPdpte3 = 0x2810, "Guest PDPTE3", [Secondary(SecondaryProcessorControls::ENABLE_EPT)];
    GuestIa32Bndcfgs = 0x2812, "Guest IA32_BNDCFGS", [Entry(VmEntryControls::LOAD_IA32_BNDCFGS), Exit(VmExitControls::CLEAR_IA32_BNDCFGS)];
    GuestIa32RtitCtl = 0x2814, "Guest IA32_RTIT_CTL", [Entry(VmEntryControls::LOAD_IA32_RTIT_CTL), Exit(VmExitControls::CLEAR_IA32_RTIT_CTL)];
    GuestIa32LbrCtl = 0x2816, "Guest IA32_LBR_CTL", [Entry(VmEntryControls::LOAD_GUEST_IA32_LBR_CTL), Exit(VmExitControls::CLEAR_IA32_LBR_CTL)];
    GuestIa32Pkrs = 0x2818, "Guest IA32_PKRS", [Entry(VmEntryControls::LOAD_PKRS)];
    GuestIa32SpecCtrl = 0x282E, "Guest IA32_SPEC_CTRL", [Entry(VmEntryControls::LOAD_IA32_SPEC_CTRL)];
    // 64-bit host fields
    HostIa32Pat = 0x2C00, "Host IA32_PAT", [Exit(VmExitControls::LOAD_IA32_PAT)];
    HostIa32Efer = 0x2C02, "Host IA32_EFER", [Exit(VmExitControls::LOAD_IA32_EFER)];
    HostIa32PerfGlobalCtrl = 0x2C04, "Host IA32_PERF_GLOBAL_CTRL", [Exit(VmExitControls::LOAD_IA32_PERF_GLOBAL_CTRL)];
    HostIa32Pkrs = 0x2C06, "Host IA32_PKRS", [Exit(VmExitControls::LOAD_PKRS)];
    HostIa32SpecCtrl = 0x2C1A, "Host IA32_SPEC_CTRL", [SecondaryExit(SecondaryVmExitControls::LOAD_IA32_SPEC_CTRL)];
    // 32-bit control fields
    PinBasedControls = 0x4000, "Pin-based VM-execution controls", [];
    PrimaryProcessorControls = 0x4002, "Primary processor-based VM-execution controls", [];
    ExceptionBitmap = 0x4004, "Exception bitmap", [];
    PageFaultErrorCodeMask = 0x4006, "Page-fault error-code mask", [];
    PageFaultErrorCodeMatch = 0x4008, "Page-fault error-code match", [];
    Cr3TargetCount = 0x400A, "CR3-target count", [];
    VmExitControls = 0x400C, "Primary VM-exit controls", [];
    VmExitMsrStoreCount = 0x400E, "VM-exit MSR-store count", [];
    VmExitMsrLoadCount = 0x4010, "VM-exit MSR-load count", [];
    VmEntryControls = 0x4012, "VM-entry controls", [];
    VmEntryMsrLoadCount = 0x4014, "VM-entry MSR-load count", [];
    VmEntryInterruptionInformation = 0x4016, "VM-entry interruption-information field", [];
    VmEntryExceptionErrorCode = 0x4018, "VM-entry exception error code", [];
    VmEntryInstructionLength = 0x401A, "VM-entry instruction length", [];
    TprThreshold = 0x401C, "TPR threshold", [Primary(PrimaryProcessorControls::USE_TPR_SHADOW)];
    SecondaryProcessorControls = 0x401E, "Secondary processor-based VM-execution controls", [Primary(PrimaryProcessorControls::ACTIVATE_SECONDARY_CONTROLS)];
    PleGap = 0x4020, "PLE_Gap", [Secondary(SecondaryProcessorControls::PAUSE_LOOP_EXITING)];
    PleWindow = 0x4022, "PLE_Window", [Secondary(SecondaryProcessorControls::PAUSE_LOOP_EXITING)];
    InstructionTimeoutControl = 0x4024, "Instruction-timeout control", [Secondary(SecondaryProcessorControls::INSTRUCTION_TIMEOUT)];
    // 32-bit read-only data fields
    VmInstructionError = 0x4400, "VM-instruction error", [];
    ExitReason = 0x4402, "Exit reason", [];
    VmExitInterruptionInformation = 0x4404, "VM-exit interruption information", [];
    VmExitInterruptionErrorCode = 0x4406, "VM-exit interruption error code", [];
    IdtVectoringInformation = 0x4408, "IDT-vectoring information field", [];
    IdtVectoringErrorCode = 0x440A, "IDT-vectoring error code", [];
    VmExitInstructionLength = 0x440C, "VM-exit instruction length", [];
    VmExitInstructionInformation = 0x440E, "VM-exit instruction information", [];
    // 32-bit guest fields
    GuestEsLimit = 0x4800, "Guest ES limit", [];
    GuestCsLimit = 0x4802, "Guest CS limit", [];
    GuestSsLimit = 0x4804, "Guest SS limit", [];
    GuestDsLimit = 0x4806, "Guest DS limit", [];
    GuestFsLimit = 0x4808, "Guest FS limit", [];
    GuestGsLimit = 0x480A, "Guest GS limit", [];
    GuestLdtrLimit = 0x480C, "Guest LDTR limit", [];
    GuestTrLimit = 0x480E, "Guest TR limit", [];
    GuestGdtrLimit = 0x4810, "Guest GDTR limit", [];
    GuestIdtrLimit = 0x4812, "Guest IDTR limit", [];
    GuestEsAccessRights = 0x4814, "Guest ES access rights", [];
    GuestCsAccessRights = 0x4816, "Guest CS access rights", [];
    GuestSsAccessRights = 0x4818, "Guest SS access rights", [];
    GuestDsAccessRights = 0x481A, "Guest DS access rights", [];
    GuestFsAccessRights = 0x481C, "Guest FS access rights", [];
    GuestGsAccessRights = 0x481E, "Guest GS access rights", [];
    GuestLdtrAccessRights = 0x4820, "Guest LDTR access rights", [];
    GuestTrAccessRights = 0x4822, "Guest TR access rights", [];
    GuestInterruptibilityState = 0x4824, "Guest interruptibility state", [];
    GuestActivityState = 0x4826, "Guest activity state", [];
    GuestSmbase = 0x4828, "Guest SMBASE", [];
    GuestIa32SysenterCs = 0x482A, "Guest IA32_SYSENTER_CS", [];
    VmxPreemptionTimerValue = 0x482E, "VMX-preemption timer value", [Pin(PinBasedControls::ACTIVATE_VMX_PREEMPTION_TIMER)];
    // 32-bit host fields
    HostIa32SysenterCs = 0x4C00, "Host IA32_SYSENTER_CS", [];
    // natural control fields
    Cr0GuestHostMask = 0x6000, "CR0 guest/host mask", [];
    Cr4GuestHostMask = 0x6002, "CR4 guest/host mask", [];
    Cr0ReadShadow = 0x6004, "CR0 read shadow", [];
    Cr4ReadShadow = 0x6006, "CR4 read shadow", [];
    Cr3Target0 = 0x6008, "CR3-target value 0", [];
    Cr3Target1 = 0x600A, "CR3-target value 1", [];
    Cr3Target2 = 0x600C, "CR3-target value 2", [];
    Cr3Target3 = 0x600E, "CR3-target value 3", [];
    // natural read-only data fields
    ExitQualification = 0x6400, "Exit qualification", [];
    IoRcx = 0x6402, "I/O RCX", [];
    IoRsi = 0x6404, "I/O RSI", [];
    IoRdi = 0x6406, "I/O RDI", [];
    IoRip = 0x6408, "I/O RIP", [];
    GuestLinearAddress = 0x640A, "Guest-linear address", [];
    // natural guest fields
    GuestCr0 = 0x6800, "Guest CR0", [];
    GuestCr3 = 0x6802, "Guest CR3", [];
    GuestCr4 = 0x6804, "Guest CR4", [];
    GuestEsBase = 0x6806, "Guest ES base", [];
    GuestCsBase = 0x6808, "Guest CS base", [];
    GuestSsBase = 0x680A, "Guest SS base", [];
    GuestDsBase = 0x680C, "Guest DS base", [];
    GuestFsBase = 0x680E, "Guest FS base", [];
    GuestGsBase = 0x6810, "Guest GS base", [];
    GuestLdtrBase = 0x6812, "Guest LDTR base", [];
    GuestTrBase = 0x6814, "Guest TR base", [];
    GuestGdtrBase = 0x6816, "Guest GDTR base", [];
    GuestIdtrBase = 0x6818, "Guest IDTR base", [];
    GuestDr7 = 0x681A, "Guest DR7", [];
    GuestRsp = 0x681C, "Guest RSP", [];
    GuestRip = 0x681E, "Guest RIP", [];
    GuestRflags = 0x6820, "Guest RFLAGS", [];
    GuestPendingDebugExceptions = 0x6822, "Guest pending debug exceptions", [];
    GuestIa32SysenterEsp = 0x6824, "Guest IA32_SYSENTER_ESP", [];
    GuestIa32SysenterEip = 0x6826, "Guest IA32_SYSENTER_EIP", [];
    GuestIa32SCet = 0x6828, "Guest IA32_S_CET", [Entry(VmEntryControls::LOAD_CET_STATE)];
    GuestSsp = 0x682A, "Guest SSP", [Entry(VmEntryControls::LOAD_CET_STATE)];
    GuestIa32InterruptSspTableAddr = 0x682C, "Guest IA32_INTERRUPT_SSP_TABLE_ADDR", [Entry(VmEntryControls::LOAD_CET_STATE)];
    // natural host fields
    HostCr0 = 0x6C00, "Host CR0", [];
    HostCr3 = 0x6C02, "Host CR3", [];
    HostCr4 = 0x6C04, "Host CR4", [];
    HostFsBase = 0x6C06, "Host FS base", [];
    HostGsBase = 0x6C08, "Host GS base", [];
    HostTrBase = 0x6C0A, "Host TR base", [];
    HostGdtrBase = 0x6C0C, "Host GDTR base", [];
    HostIdtrBase = 0x6C0E, "Host IDTR base", [];
    HostIa32SysenterEsp = 0x6C10, "Host IA32_SYSENTER_ESP", [];
    HostIa32SysenterEip = 0x6C12, "Host IA32_SYSENTER_EIP", [];
    HostRsp = 0x6C14, "Host RSP", [];
    HostRip = 0x6C16, "Host RIP", [];
    HostIa32SCet = 0x6C18, "Host IA32_S_CET", [Exit(VmExitControls::LOAD_CET_STATE)];
    HostSsp = 0x6C1A, "Host SSP", [Exit(VmExitControls::LOAD_CET_STATE)];
    HostIa32InterruptSspTableAddr = 0x6C1C, "Host IA32_INTERRUPT_SSP_TABLE_ADDR", [Exit(VmExitControls::LOAD_CET_STATE)];
}

/// Number of fields.
pub const FIELD_COUNT: usize = Field::ALL.len();

const NO_FIELD: u8 = u8::MAX;
/// Index values (bits 9:1) above this do not occur.
const MAX_INDEX: usize = 63;

/// Table from (width, area, index) to the field's place in `ALL`.
static LOOKUP: [u8; 16 * (MAX_INDEX + 1)] = {
    let mut table = [NO_FIELD; 16 * (MAX_INDEX + 1)];
    let mut n = 0;
    while n < FIELD_COUNT {
        table[slot(Field::ENCODINGS[n])] = n as u8;
        n += 1;
    }
    table
};

const fn slot(encoding: u16) -> usize {
    let width = (encoding >> 13) & 3;
    let area = (encoding >> 10) & 3;
    let index = (encoding >> 1) & 0x1FF;
    assert!(index as usize <= MAX_INDEX);
    ((width << 2 | area) as usize) * (MAX_INDEX + 1) + index as usize
}

/// Which half of a field an encoding names (bit 0).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Access {
    /// The whole field.
    Full,
    /// Bits 63:32 of a 64-bit field.
    High,
}

impl Field {
    /// The 32-bit encoding (full access).
    pub const fn encoding(self) -> u32 {
        Self::ENCODINGS[self as usize] as u32
    }
    /// The SDM's name.
    pub const fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
    /// The Rust identifier, for dumps that are read back.
    pub const fn identifier(self) -> &'static str {
        Self::IDENTIFIERS[self as usize]
    }
    /// Place in [`Field::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }
    /// Width.
    pub const fn width(self) -> Width {
        match self.encoding() >> 13 {
            0 => Width::W16,
            1 => Width::W64,
            2 => Width::W32,
            _ => Width::Natural,
        }
    }
    /// Area.
    pub const fn area(self) -> Area {
        match (self.encoding() >> 10) & 3 {
            0 => Area::Control,
            1 => Area::ReadOnly,
            2 => Area::Guest,
            _ => Area::Host,
        }
    }
    /// Whether the field exists on a processor with `caps`.
    pub fn exists(self, caps: &VmxCapabilities) -> bool {
        let needs = self.needs();
        needs.is_empty() || needs.iter().any(|need| need.met(caps))
    }
    /// The field and the half that a VMREAD or VMWRITE operand names; `None` when no field of the table has this
    /// encoding (the processor's own set may be smaller, see [`FieldSet`]).
    pub fn from_encoding(encoding: u64) -> Option<(Field, Access)> {
        // Bits 63:15 and bit 12 are reserved.
        if encoding & !0x6FFF != 0 || (encoding >> 1) & 0x1FF > MAX_INDEX as u64 {
            return None;
        }
        let place = *LOOKUP.get(slot(encoding as u16))?;
        let field = *Self::ALL.get(place as usize)?;
        match (encoding & 1, field.width()) {
            (0, _) => Some((field, Access::Full)),
            (_, Width::W64) => Some((field, Access::High)),
            _ => None,
        }
    }
    /// The field with this SDM name, Rust identifier, or encoding in hexadecimal; case, spaces and punctuation do not
    /// matter. For dumps.
    pub fn from_name(name: &str) -> Option<Field> {
        fn plain(text: &str) -> impl Iterator<Item = char> + '_ {
            text.chars().filter(|c| c.is_ascii_alphanumeric()).map(|c| c.to_ascii_lowercase())
        }
        let found = Self::ALL
            .iter()
            .find(|f| plain(f.name()).eq(plain(name)) || plain(f.identifier()).eq(plain(name)))
            .copied();
        found.or_else(|| {
            let digits = name.trim().trim_start_matches("0x").trim_end_matches(['h', 'H']);
            let encoding = u64::from_str_radix(digits, 16).ok()?;
            Self::from_encoding(encoding).filter(|(_, access)| *access == Access::Full).map(|(field, _)| field)
        })
    }
}

/// A set of fields: those that a processor has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct FieldSet([u64; 4]);

impl FieldSet {
    /// The fields that exist on a processor with `caps`.
    pub fn supported(caps: &VmxCapabilities) -> FieldSet {
        let mut set = FieldSet::default();
        for field in Field::ALL.iter().filter(|f| f.exists(caps)) {
            set.insert(*field);
        }
        set
    }
    /// Adds a field.
    pub fn insert(&mut self, field: Field) {
        self.0[field.index() >> 6] |= 1 << (field.index() & 63);
    }
    /// Whether `field` is in the set.
    pub const fn contains(&self, field: Field) -> bool {
        self.0[field.index() >> 6] & (1 << (field.index() & 63)) != 0
    }
    /// The fields of the set.
    pub fn iter(&self) -> impl Iterator<Item = Field> + '_ {
        Field::ALL.iter().copied().filter(|f| self.contains(*f))
    }
    /// Value of IA32_VMX_VMCS_ENUM (48Ah): the highest index of any supported encoding in bits 9:1.
    pub fn vmcs_enum(&self) -> u64 {
        self.iter().map(|f| u64::from(f.encoding() >> 1) & 0x1FF).max().unwrap_or(0) << 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_every_encoding_finds_its_field() {
        for &field in Field::ALL {
            assert_eq!(Field::from_encoding(field.encoding().into()), Some((field, Access::Full)), "{field:?}");
            let high = Field::from_encoding(u64::from(field.encoding()) | 1);
            match field.width() {
                Width::W64 => assert_eq!(high, Some((field, Access::High))),
                _ => assert_eq!(high, None),
            }
            assert_eq!(Field::from_name(field.name()), Some(field));
            assert_eq!(Field::from_name(field.identifier()), Some(field));
        }
        assert!(FIELD_COUNT < usize::from(NO_FIELD));
    }

    #[test]
    fn field_unknown_or_reserved_encoding_is_no_field() {
        for encoding in [0x000A, 0x1000, 0x8000, 0x1_0000_0000, 0x482C, 0x7FFF, 0xFFFF_FFFF_FFFF_FFFF] {
            assert_eq!(Field::from_encoding(encoding), None, "{encoding:x}");
        }
        assert_eq!(Field::from_name("6800"), Some(Field::GuestCr0));
        assert_eq!(Field::from_name("no such field"), None);
    }

    #[test]
    fn fields_of_the_core_i5_m520_are_those_of_its_controls() {
        let set = FieldSet::supported(&VmxCapabilities::CORE_I5_M520);
        assert!(set.contains(Field::Vpid) && set.contains(Field::EptPointer));
        assert!(set.contains(Field::VmxPreemptionTimerValue) && !set.contains(Field::PmlIndex));
        assert!(!set.contains(Field::TscMultiplier) && !set.contains(Field::SharedEptPointer));
    }
}
