//! VM exits: reasons, qualifications, instruction and interruption information
//! (SDM Vol. 3C 25.9 "VM-Exit Information Fields", 28.2 "Recording VM-Exit Information and Updating VM-Entry Control
//! Fields", Vol. 3D Appendix C "VMX Basic Exit Reasons").

use serde::{Deserialize, Serialize};

/// Interruption types (SDM Vol. 3C 25.8.3, Table 25-17).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum InterruptionType {
    /// External interrupt.
    ExternalInterrupt = 0,
    /// Reserved.
    Reserved = 1,
    /// Non-maskable interrupt.
    Nmi = 2,
    /// Hardware exception.
    HardwareException = 3,
    /// Software interrupt (INT n).
    SoftwareInterrupt = 4,
    /// Privileged software exception (INT1).
    PrivilegedSoftwareException = 5,
    /// Software exception (INT3, INTO).
    SoftwareException = 6,
    /// Other event (pending MTF VM exit).
    Other = 7,
}

impl InterruptionType {
    /// From the three bits 10:8.
    pub const fn from_bits(bits: u32) -> InterruptionType {
        match bits & 7 {
            0 => Self::ExternalInterrupt,
            1 => Self::Reserved,
            2 => Self::Nmi,
            3 => Self::HardwareException,
            4 => Self::SoftwareInterrupt,
            5 => Self::PrivilegedSoftwareException,
            6 => Self::SoftwareException,
            _ => Self::Other,
        }
    }
    /// INT n, INT1, INT3 and INTO: the instruction length matters.
    pub const fn is_software(self) -> bool {
        matches!(self, Self::SoftwareInterrupt | Self::PrivilegedSoftwareException | Self::SoftwareException)
    }
}

/// The format that the VM-entry interruption-information, VM-exit interruption-information and IDT-vectoring
/// information fields share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct InterruptionInformation(pub u32);

impl InterruptionInformation {
    /// Bit 11: an error code is delivered or valid.
    pub const ERROR_CODE: u32 = 1 << 11;
    /// Bit 12 of the VM-exit field: NMI unblocking due to IRET.
    pub const NMI_UNBLOCKING: u32 = 1 << 12;
    /// Bit 31: valid.
    pub const VALID: u32 = 1 << 31;

    /// A valid event.
    pub const fn new(vector: u8, kind: InterruptionType, error_code: bool) -> Self {
        let error = if error_code { Self::ERROR_CODE } else { 0 };
        InterruptionInformation(Self::VALID | error | (kind as u32) << 8 | vector as u32)
    }
    /// Valid.
    pub const fn valid(self) -> bool {
        self.0 & Self::VALID != 0
    }
    /// Vector.
    pub const fn vector(self) -> u8 {
        self.0 as u8
    }
    /// Type.
    pub const fn kind(self) -> InterruptionType {
        InterruptionType::from_bits(self.0 >> 8)
    }
    /// An error code goes with it.
    pub const fn error_code(self) -> bool {
        self.0 & Self::ERROR_CODE != 0
    }
    /// The same with bit 12, “NMI unblocking due to IRET”.
    pub const fn with_nmi_unblocking(self, unblocking: bool) -> Self {
        if unblocking { Self(self.0 | Self::NMI_UNBLOCKING) } else { self }
    }
    /// Valid and of this type.
    pub fn injects(self, kind: InterruptionType) -> bool {
        self.valid() && self.kind() == kind
    }
}

macro_rules! exit_reasons {
    ($($name:ident = $number:literal, $text:literal;)*) => {
        /// Basic exit reasons (SDM Vol. 3D Appendix C, Table C-1).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[repr(u16)]
        pub enum ExitReason {
            $(#[doc = $text] $name = $number,)*
        }

        impl ExitReason {
            /// All of them, by number.
            pub const ALL: &'static [ExitReason] = &[$(ExitReason::$name),*];

            /// From bits 15:0 of the exit-reason field.
            pub const fn from_number(number: u16) -> Option<ExitReason> {
                match number {
                    $($number => Some(ExitReason::$name),)*
                    _ => None,
                }
            }
            /// The SDM's words.
            pub const fn text(self) -> &'static str {
                match self {
                    $(ExitReason::$name => $text,)*
                }
            }
        }
    };
}

exit_reasons! {
    ExceptionOrNmi = 0, "Exception or non-maskable interrupt";
    ExternalInterrupt = 1, "External interrupt";
    TripleFault = 2, "Triple fault";
    Init = 3, "INIT signal";
    Sipi = 4, "Start-up IPI";
    IoSmi = 5, "I/O system-management interrupt";
    OtherSmi = 6, "Other SMI";
    InterruptWindow = 7, "Interrupt window";
    NmiWindow = 8, "NMI window";
    TaskSwitch = 9, "Task switch";
    Cpuid = 10, "CPUID";
    Getsec = 11, "GETSEC";
    Hlt = 12, "HLT";
    Invd = 13, "INVD";
    Invlpg = 14, "INVLPG";
    Rdpmc = 15, "RDPMC";
    Rdtsc = 16, "RDTSC";
    Rsm = 17, "RSM in SMM";
    Vmcall = 18, "VMCALL";
    Vmclear = 19, "VMCLEAR";
    Vmlaunch = 20, "VMLAUNCH";
    Vmptrld = 21, "VMPTRLD";
    Vmptrst = 22, "VMPTRST";
    Vmread = 23, "VMREAD";
    Vmresume = 24, "VMRESUME";
    Vmwrite = 25, "VMWRITE";
    Vmxoff = 26, "VMXOFF";
    Vmxon = 27, "VMXON";
    ControlRegisterAccess = 28, "Control-register accesses";
    MovDr = 29, "MOV DR";
    IoInstruction = 30, "I/O instruction";
    Rdmsr = 31, "RDMSR";
    Wrmsr = 32, "WRMSR";
    EntryFailureGuestState = 33, "VM-entry failure due to invalid guest state";
    EntryFailureMsrLoading = 34, "VM-entry failure due to MSR loading";
    Mwait = 36, "MWAIT";
    MonitorTrapFlag = 37, "Monitor trap flag";
    Monitor = 39, "MONITOR";
    Pause = 40, "PAUSE";
    EntryFailureMachineCheck = 41, "VM-entry failure due to machine-check event";
    TprBelowThreshold = 43, "TPR below threshold";
    ApicAccess = 44, "APIC access";
    VirtualizedEoi = 45, "Virtualized EOI";
    GdtrIdtrAccess = 46, "Access to GDTR or IDTR";
    LdtrTrAccess = 47, "Access to LDTR or TR";
    EptViolation = 48, "EPT violation";
    EptMisconfiguration = 49, "EPT misconfiguration";
    Invept = 50, "INVEPT";
    Rdtscp = 51, "RDTSCP";
    PreemptionTimer = 52, "VMX-preemption timer expired";
    Invvpid = 53, "INVVPID";
    Wbinvd = 54, "WBINVD or WBNOINVD";
    Xsetbv = 55, "XSETBV";
    ApicWrite = 56, "APIC write";
    Rdrand = 57, "RDRAND";
    Invpcid = 58, "INVPCID";
    Vmfunc = 59, "VMFUNC";
    Encls = 60, "ENCLS";
    Rdseed = 61, "RDSEED";
    PageModificationLogFull = 62, "Page-modification log full";
    Xsaves = 63, "XSAVES";
    Xrstors = 64, "XRSTORS";
    Pconfig = 65, "PCONFIG";
    SppEvent = 66, "SPP-related event";
    Umwait = 67, "UMWAIT";
    Tpause = 68, "TPAUSE";
    Loadiwkey = 69, "LOADIWKEY";
    Enclv = 70, "ENCLV";
    EnqcmdPasid = 72, "ENQCMD PASID translation failure";
    EnqcmdsPasid = 73, "ENQCMDS PASID translation failure";
    BusLock = 74, "Bus lock";
    InstructionTimeout = 75, "Instruction timeout";
    Seamcall = 76, "SEAMCALL";
    Tdcall = 77, "TDCALL";
    Rdmsrlist = 78, "RDMSRLIST";
    Wrmsrlist = 79, "WRMSRLIST";
}

impl ExitReason {
    /// Bit 31 of the exit-reason field: VM-entry failure.
    pub const ENTRY_FAILURE: u32 = 1 << 31;
    /// Bit 29: the exit was from VMX root operation (SMM VM exits).
    pub const ROOT_OPERATION: u32 = 1 << 29;
    /// Bit 28: a pending MTF VM exit (SMM VM exits).
    pub const PENDING_MTF: u32 = 1 << 28;
    /// Bit 27: the exit was incident to enclave mode.
    pub const ENCLAVE_MODE: u32 = 1 << 27;
    /// Bit 26: a bus lock was detected.
    pub const BUS_LOCK: u32 = 1 << 26;
    /// Bit 25: the exit has left a shadow stack prematurely busy.
    pub const SHADOW_STACK_BUSY: u32 = 1 << 25;

    /// Value of the exit-reason field: 33, 34 and 41 set bit 31.
    pub const fn field(self) -> u32 {
        let failure = matches!(
            self,
            Self::EntryFailureGuestState | Self::EntryFailureMsrLoading | Self::EntryFailureMachineCheck
        );
        self as u32 | if failure { Self::ENTRY_FAILURE } else { 0 }
    }
    /// Whether the exit is fault-like with a VM-exit instruction length: instructions that exit, and task switches
    /// (SDM Vol. 3C 28.2.5 "Information for VM Exits Due to Instruction Execution").
    pub const fn has_instruction_length(self) -> bool {
        matches!(self as u16, 9..=32 | 36 | 39 | 40 | 46 | 47 | 50 | 51 | 53..=55 | 57..=61 | 63..=65 | 67..=70 | 72 | 73 | 76..=79)
    }
    /// Where bit 16 of the guest RFLAGS that this exit saves comes from (28.3.3 "Saving RIP, RSP, RFLAGS, and SSP").
    pub const fn saved_rf(self) -> SavedRf {
        match self {
            Self::ExceptionOrNmi | Self::ExternalInterrupt => SavedRf::Image,
            Self::TaskSwitch => SavedRf::TaskImage,
            Self::ApicAccess
            | Self::EptViolation
            | Self::EptMisconfiguration
            | Self::PageModificationLogFull
            | Self::SppEvent => SavedRf::Access,
            // The triple fault's register is that of the shutdown state, which its events never changed.
            _ if self.has_instruction_length() => SavedRf::Clear,
            _ => SavedRf::Register,
        }
    }
}

/// Where a VM exit takes the RFLAGS.RF that it saves from (28.3.3 "Saving RIP, RSP, RFLAGS, and SSP").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SavedRf {
    /// An instruction that exits: 0.
    Clear,
    /// An event that exits: RF of the flags that its delivery would have saved.
    Image,
    /// A task switch: RF of the flags that the old TSS would have got: those of the event whose gate it is, or 0.
    TaskImage,
    /// An access to memory: RF of the flags that the event being delivered would have saved; 1 outside event delivery.
    Access,
    /// Anything else: RF as it was before the VM exit.
    Register,
}

/// The VMX-preemption timer's value that a VM exit saves, when it would come to 0 at cycle `end` and counts down whenever
/// bit `shift` of the time-stamp counter changes (SDM Vol. 3C 26.5.1, "VMX-Preemption Timer"; 28.3.4, "Saving Non-Register
/// State"): what is left of a tick counts as one.
///
/// ```
/// # use emu_vmx::exit::saved_preemption_timer;
/// // Entered at 1000 with the value 10: bit 5 changes at 1024, 1056 ... and for the tenth time at 1312.
/// let saved = [1000, 1001, 1023, 1024, 1311, 1312, 9999].map(|now| saved_preemption_timer(1312, now, 5));
/// assert_eq!(saved, [10, 10, 10, 9, 1, 0, 0]);
/// ```
pub fn saved_preemption_timer(end: u64, now: u64, shift: u8) -> u64 {
    end.saturating_sub(now).div_ceil(1 << shift)
}

/// The pending-debug-exceptions field that a VM exit saves (28.3.4 "Saving Non-Register State"). `pending`: causes of
/// debug exceptions that were pending; `debug_exception`: the exit is due to #DB; `mov_ss`: MOV SS blocks. All exits
/// clear the field but those by INIT, SMI, machine check, MTF, TPR below threshold, virtualized EOI and APIC write, and
/// those that are not due to #DB under MOV-SS blocking. There BS is the processor's choice if `single_step` (TF is 1 and
/// BTF 0); ours sets it, because VM entry demands it back (27.3.1.5).
pub fn saved_pending_debug(
    reason: ExitReason,
    pending: crate::vmcs::PendingDebug,
    debug_exception: bool,
    machine_check: bool,
    mov_ss: bool,
    single_step: bool,
) -> crate::vmcs::PendingDebug {
    use ExitReason as R;
    let kept = matches!(
        reason,
        R::Init | R::IoSmi | R::OtherSmi | R::MonitorTrapFlag | R::TprBelowThreshold | R::VirtualizedEoi | R::ApicWrite
    );
    if kept || machine_check || (mov_ss && !debug_exception) {
        // The reserved bits are cleared.
        let mut saved = pending & crate::vmcs::PendingDebug::all();
        if mov_ss {
            saved.set(crate::vmcs::PendingDebug::BS, single_step);
        }
        saved
    } else {
        crate::vmcs::PendingDebug::empty()
    }
}

/// Exit qualifications (SDM Vol. 3C 28.2.1 "Basic VM-Exit Information").
pub mod qualification {
    /// How a control register is accessed (Table 28-3).
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum CrAccess {
        /// MOV to CR.
        MovTo,
        /// MOV from CR.
        MovFrom,
        /// CLTS.
        Clts,
        /// LMSW with its source data; `memory`: the operand was in memory.
        Lmsw {
            /// Source operand.
            source: u16,
            /// The operand was in memory.
            memory: bool,
        },
    }

    /// Control-register access: register `cr` (0, 3, 4, 8), general-purpose register `gpr` (0–15, MOV only).
    pub const fn cr_access(cr: u8, access: CrAccess, gpr: u8) -> u64 {
        let cr = (cr & 0xF) as u64;
        let gpr = ((gpr & 0xF) as u64) << 8;
        match access {
            CrAccess::MovTo => cr | gpr,
            CrAccess::MovFrom => cr | 1 << 4 | gpr,
            CrAccess::Clts => 2 << 4,
            CrAccess::Lmsw { source, memory } => 3 << 4 | (memory as u64) << 6 | (source as u64) << 16,
        }
    }
    /// MOV DR (Table 28-4); `from`: MOV from DR.
    pub const fn mov_dr(dr: u8, from: bool, gpr: u8) -> u64 {
        (dr & 7) as u64 | (from as u64) << 4 | ((gpr & 0xF) as u64) << 8
    }
    /// I/O instruction (Table 28-5): `size` 1, 2 or 4 bytes.
    pub const fn io(port: u16, size: u8, input: bool, string: bool, rep: bool, immediate: bool) -> u64 {
        (size.wrapping_sub(1) & 7) as u64
            | (input as u64) << 3
            | (string as u64) << 4
            | (rep as u64) << 5
            | (immediate as u64) << 6
            | (port as u64) << 16
    }
    /// What started a task switch (Table 28-2).
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum TaskSwitchSource {
        /// CALL.
        Call = 0,
        /// IRET.
        Iret = 1,
        /// JMP.
        Jmp = 2,
        /// Task gate in the IDT.
        TaskGate = 3,
    }
    /// Task switch to the TSS `selector`.
    pub const fn task_switch(selector: u16, source: TaskSwitchSource) -> u64 {
        selector as u64 | (source as u64) << 30
    }
    /// Kind of an access to the APIC-access page (Table 28-6).
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum ApicAccess {
        /// Linear access for a data read during instruction execution.
        LinearRead = 0,
        /// Linear access for a data write during instruction execution.
        LinearWrite = 1,
        /// Linear access for an instruction fetch.
        LinearFetch = 2,
        /// Linear access during event delivery.
        LinearEventDelivery = 3,
        /// Guest-physical access during event delivery.
        PhysicalEventDelivery = 10,
        /// Guest-physical access for an instruction fetch or during instruction execution.
        Physical = 15,
    }
    /// APIC access at `offset` of the page.
    pub const fn apic_access(offset: u16, access: ApicAccess) -> u64 {
        (offset & 0xFFF) as u64 | (access as u64) << 12
    }
    /// MWAIT: whether address-range monitoring is armed.
    pub const fn mwait(armed: bool) -> u64 {
        armed as u64
    }

    /// SPP-related event: an SPP miss, or an SPP misconfiguration; whether IRET has unblocked NMIs.
    pub const fn spp_event(miss: bool, nmi_unblocking: bool) -> u64 {
        (miss as u64) << 11 | (nmi_unblocking as u64) << 12
    }

    bitflags::bitflags! {
        /// EPT violation (Table 28-7).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
        pub struct EptViolation: u64 {
            /// Data read (with EPT accessed and dirty flags also for accesses to guest paging structures).
            const READ = 1 << 0;
            /// Data write.
            const WRITE = 1 << 1;
            /// Instruction fetch.
            const FETCH = 1 << 2;
            /// The guest-physical address was readable.
            const READABLE = 1 << 3;
            /// It was writable.
            const WRITABLE = 1 << 4;
            /// It was executable (supervisor-mode linear addresses with mode-based execute control).
            const EXECUTABLE = 1 << 5;
            /// It was executable for user-mode linear addresses.
            const USER_EXECUTABLE = 1 << 6;
            /// The guest-linear address field is valid.
            const LINEAR_VALID = 1 << 7;
            /// The access was to the final guest-physical address, not to a paging-structure entry.
            const FINAL_ADDRESS = 1 << 8;
            /// Advanced information: user-mode linear address.
            const USER = 1 << 9;
            /// Advanced information: the page is read/write.
            const READ_WRITE_PAGE = 1 << 10;
            /// Advanced information: execute-disable page.
            const EXECUTE_DISABLE = 1 << 11;
            /// NMI unblocking due to IRET.
            const NMI_UNBLOCKING = 1 << 12;
            /// Shadow-stack access.
            const SHADOW_STACK = 1 << 13;
            /// Supervisor shadow-stack control of the EPT entry.
            const SUPERVISOR_SHADOW_STACK = 1 << 14;
            /// Guest-paging verification.
            const GUEST_PAGING_VERIFICATION = 1 << 15;
            /// Asynchronous to instruction execution (trace output, user-interrupt delivery).
            const ASYNCHRONOUS = 1 << 16;
        }
    }
}

/// VM-exit instruction information (SDM Vol. 3C 28.2.5, Tables 28-8 to 28-15).
pub mod instruction_information {
    use crate::arch::SegmentRegister;

    /// Address size of an instruction.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum AddressSize {
        /// 16 bits.
        A16 = 0,
        /// 32 bits.
        A32 = 1,
        /// 64 bits.
        A64 = 2,
    }

    /// A memory operand.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Memory {
        /// log2 of the scale, 0–3.
        pub scaling: u8,
        /// Address size.
        pub address_size: AddressSize,
        /// Segment.
        pub segment: SegmentRegister,
        /// Index register, 0–15.
        pub index: Option<u8>,
        /// Base register, 0–15.
        pub base: Option<u8>,
    }

    /// A register or memory operand.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Operand {
        /// General-purpose register, 0–15.
        Register(u8),
        /// Memory.
        Memory(Memory),
    }

    const fn memory(m: Memory) -> u32 {
        let index = match m.index {
            Some(register) => ((register & 0xF) as u32) << 18,
            None => 1 << 22,
        };
        let base = match m.base {
            Some(register) => ((register & 0xF) as u32) << 23,
            None => 1 << 27,
        };
        (m.scaling & 3) as u32 | (m.address_size as u32) << 7 | ((m.segment as u32) & 7) << 15 | index | base
    }
    const fn operand(operand: Operand) -> u32 {
        match operand {
            Operand::Register(register) => 1 << 10 | ((register & 0xF) as u32) << 3,
            Operand::Memory(m) => memory(m),
        }
    }
    /// INS, OUTS (Table 28-8).
    pub const fn ins_outs(address_size: AddressSize, segment: SegmentRegister) -> u32 {
        (address_size as u32) << 7 | ((segment as u32) & 7) << 15
    }
    /// INVEPT, INVPCID, INVVPID (Table 28-9): descriptor in memory, type in `register`.
    pub const fn invalidate(descriptor: Memory, register: u8) -> u32 {
        memory(descriptor) | ((register & 0xF) as u32) << 28
    }
    /// Which instruction accesses GDTR or IDTR.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum GdtrIdtr {
        /// SGDT.
        Sgdt = 0,
        /// SIDT.
        Sidt = 1,
        /// LGDT.
        Lgdt = 2,
        /// LIDT.
        Lidt = 3,
    }
    /// LGDT, LIDT, SGDT, SIDT (Table 28-10). `operand_32`: operand size 32 (also in 64-bit mode: undefined there).
    pub const fn gdtr_idtr(instruction: GdtrIdtr, m: Memory, operand_32: bool) -> u32 {
        memory(m) | (operand_32 as u32) << 11 | (instruction as u32) << 28
    }
    /// Which instruction accesses LDTR or TR.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum LdtrTr {
        /// SLDT.
        Sldt = 0,
        /// STR.
        Str = 1,
        /// LLDT.
        Lldt = 2,
        /// LTR.
        Ltr = 3,
    }
    /// LLDT, LTR, SLDT, STR (Table 28-11).
    pub const fn ldtr_tr(instruction: LdtrTr, op: Operand) -> u32 {
        operand(op) | (instruction as u32) << 28
    }
    /// RDRAND, RDSEED, TPAUSE, UMWAIT (Table 28-12): operand size 16, 32 or 64 bits; that of TPAUSE and UMWAIT is 32.
    pub const fn random(register: u8, operand_bits: u8) -> u32 {
        let size = match operand_bits {
            16 => 0,
            32 => 1,
            _ => 2,
        };
        ((register & 0xF) as u32) << 3 | size << 11
    }
    /// VMCLEAR, VMPTRLD, VMPTRST, VMXON, XRSTORS, XSAVES (Table 28-13).
    pub const fn memory_only(m: Memory) -> u32 {
        memory(m)
    }
    /// VMREAD, VMWRITE (Table 28-14): `encoding_register` holds the field encoding.
    pub const fn vmread_vmwrite(op: Operand, encoding_register: u8) -> u32 {
        operand(op) | ((encoding_register & 0xF) as u32) << 28
    }
    /// LOADIWKEY (Table 28-15): the two XMM registers.
    pub const fn loadiwkey(first: u8, second: u8) -> u32 {
        ((first & 0xF) as u32) << 3 | ((second & 0xF) as u32) << 28
    }
}

#[cfg(test)]
mod tests {
    use super::instruction_information as info;
    use super::qualification as q;
    use super::*;
    use crate::arch::SegmentRegister;

    #[test]
    fn qualification_of_the_book_s_examples() {
        // What the book's screens show: OUT 70h immediate, OUT 92h, INS-less IN 21h, MOV to CR3.
        assert_eq!(q::io(0x70, 1, false, false, false, true), 0x70_0040);
        assert_eq!(q::io(0x20, 1, false, false, false, true), 0x20_0040);
        assert_eq!(q::io(0x70, 1, true, false, false, true), 0x70_0048);
        assert_eq!(q::cr_access(3, q::CrAccess::MovTo, 0), 3);
        assert_eq!(q::cr_access(3, q::CrAccess::MovFrom, 0), 0x13);
        assert_eq!(q::cr_access(3, q::CrAccess::MovFrom, 6), 0x613);
        assert_eq!(InterruptionInformation::new(0x0D, InterruptionType::HardwareException, true).0, 0x8000_0B0D);
    }

    #[test]
    fn exit_reason_of_entry_failure_sets_bit_31() {
        assert_eq!(ExitReason::EntryFailureGuestState.field(), 0x8000_0021);
        assert_eq!(ExitReason::EptViolation.field(), 48);
        for &reason in ExitReason::ALL {
            assert_eq!(ExitReason::from_number(reason as u16), Some(reason));
        }
        assert_eq!(ExitReason::from_number(35), None);
    }

    #[test]
    fn saved_rf_of_every_exit_that_an_instruction_causes_is_0() {
        let of = |wanted| ExitReason::ALL.iter().copied().filter(move |reason| reason.saved_rf() == wanted);
        assert!(of(SavedRf::Clear).all(ExitReason::has_instruction_length));
        assert_eq!(of(SavedRf::TaskImage).collect::<alloc::vec::Vec<_>>(), [ExitReason::TaskSwitch]);
        let reasons: alloc::vec::Vec<u16> = of(SavedRf::Access).map(|reason| reason as u16).collect();
        assert_eq!(reasons, [44, 48, 49, 62, 66]);
        let reasons: alloc::vec::Vec<u16> = of(SavedRf::Register).map(|reason| reason as u16).collect();
        assert_eq!(reasons, [2, 3, 4, 5, 6, 7, 8, 33, 34, 37, 41, 43, 45, 52, 56, 74, 75]);
    }

    #[test]
    fn pending_debug_is_saved_by_mtf_and_under_mov_ss_only() {
        use crate::vmcs::PendingDebug as P;
        let save = |reason, db, mov_ss| saved_pending_debug(reason, P::BS | P::B0, db, false, mov_ss, true);
        assert_eq!(save(ExitReason::MonitorTrapFlag, false, false), P::BS | P::B0);
        assert_eq!(save(ExitReason::Cpuid, false, false), P::empty());
        assert_eq!(save(ExitReason::Cpuid, false, true), P::BS | P::B0);
        assert_eq!(save(ExitReason::ExceptionOrNmi, true, true), P::empty());
        let after_mov_ss = |tf| saved_pending_debug(ExitReason::Cpuid, P::B0, false, false, true, tf);
        assert_eq!((after_mov_ss(true), after_mov_ss(false)), (P::BS | P::B0, P::B0));
    }

    #[test]
    fn instruction_information_memory_without_index_marks_it_invalid() {
        let m = info::Memory {
            scaling: 2,
            address_size: info::AddressSize::A64,
            segment: SegmentRegister::Ds,
            index: None,
            base: Some(5),
        };
        assert_eq!(info::gdtr_idtr(info::GdtrIdtr::Lidt, m, true), 0x32C1_8902 | 1 << 22);
        assert_eq!(info::vmread_vmwrite(info::Operand::Register(3), 8), 0x8000_0418);
    }
}
