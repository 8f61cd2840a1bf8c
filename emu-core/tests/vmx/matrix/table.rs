//! What a VM exit saves, as the SDM says it: for every field the first row that applies.

use super::case::{ACCESSES, Around, Case, Event, EventFacts, Exit, INSTRUCTIONS, Image};
use super::scene::{INJECTED_LENGTH, STACK_PAGE, UNMAPPED, UNMAPPED_STACK, before, code};
use emu_vmx::exit::ExitReason;

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Saved {
    ExitReason,
    ExitQualification,
    InterruptionInformation,
    InterruptionErrorCode,
    IdtVectoringInformation,
    IdtVectoringErrorCode,
    InstructionLength,
    Rip,
    Rf,
    ActivityState,
    Interruptibility,
    PendingDebugExceptions,
    Dr6,
    Dr7,
    Debugctl,
    Cr2,
}

impl Saved {
    pub const ALL: [Saved; 16] = [
        Saved::ExitReason,
        Saved::ExitQualification,
        Saved::InterruptionInformation,
        Saved::InterruptionErrorCode,
        Saved::IdtVectoringInformation,
        Saved::IdtVectoringErrorCode,
        Saved::InstructionLength,
        Saved::Rip,
        Saved::Rf,
        Saved::ActivityState,
        Saved::Interruptibility,
        Saved::PendingDebugExceptions,
        Saved::Dr6,
        Saved::Dr7,
        Saved::Debugctl,
        Saved::Cr2,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::ExitReason => "exit reason",
            Self::ExitQualification => "exit qualification",
            Self::InterruptionInformation => "VM-exit interruption information",
            Self::InterruptionErrorCode => "VM-exit interruption error code",
            Self::IdtVectoringInformation => "IDT-vectoring information",
            Self::IdtVectoringErrorCode => "IDT-vectoring error code",
            Self::InstructionLength => "VM-exit instruction length",
            Self::Rip => "RIP",
            Self::Rf => "RFLAGS.RF",
            Self::ActivityState => "activity state",
            Self::Interruptibility => "interruptibility state",
            Self::PendingDebugExceptions => "pending debug exceptions",
            Self::Dr6 => "DR6",
            Self::Dr7 => "DR7",
            Self::Debugctl => "IA32_DEBUGCTL",
            Self::Cr2 => "CR2",
        }
    }
}

/// To which exits a row applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    Always,
    /// A vectored event is what exits, and it tells which it was.
    EventExits,
    /// One that has an error code.
    EventWithCodeExits,
    PageFaultExits,
    DebugExceptionExits,
    /// INT1, INT3 or INTO exits directly.
    SoftwareExceptionExits,
    /// An exit during event delivery, as the SDM counts them: not by a double fault or a triple fault.
    DuringDelivery,
    DuringDeliveryWithCode,
    DuringDeliveryOfSoftware,
    /// An event has led to the exit indirectly.
    Indirect,
    IndirectNmi,
    /// A #DB that was not injected; 30.2.4 has INT1's among debug exceptions.
    IndirectDebugException,
    IndirectPageFault,
    Injected,
    /// An instruction that exits.
    Instruction,
    TaskSwitchOutsideDelivery,
    TaskSwitch,
    AccessOutsideDelivery,
    Access,
    /// The exits after which debug exceptions stay pending.
    KeepsPending,
    /// MOV SS blocks as the exit begins, and the exit is not by #DB.
    UnderMovSs,
}

impl When {
    pub fn words(self) -> &'static str {
        match self {
            Self::Always => "all others",
            Self::EventExits => "an event that exits and tells its vector",
            Self::EventWithCodeExits => "an exception with an error code that exits",
            Self::PageFaultExits => "#PF that exits",
            Self::DebugExceptionExits => "#DB that exits",
            Self::SoftwareExceptionExits => "INT1, INT3 or INTO that exits",
            Self::DuringDelivery => "during event delivery, not by #DF or triple fault",
            Self::DuringDeliveryWithCode => "during delivery of an exception with an error code",
            Self::DuringDeliveryOfSoftware => "during delivery of INT n, INT1, INT3, INTO",
            Self::Indirect => "an event exits indirectly",
            Self::IndirectNmi => "an NMI exits indirectly",
            Self::IndirectDebugException => "#DB, that of INT1 too, that is not injected exits indirectly",
            Self::IndirectPageFault => "#PF that is not injected exits indirectly",
            Self::Injected => "during delivery of an injected event",
            Self::Instruction => "an instruction that exits",
            Self::TaskSwitchOutsideDelivery => "task switch by an instruction",
            Self::TaskSwitch => "task switch",
            Self::AccessOutsideDelivery => "access (EPT, APIC-access page, PML) outside event delivery",
            Self::Access => "access (EPT, APIC-access page, PML)",
            Self::KeepsPending => "INIT, MTF, TPR below threshold",
            Self::UnderMovSs => "others but #DB, MOV SS blocks",
        }
    }

    pub fn applies(self, case: &Case) -> bool {
        let exiting = exiting_event(case);
        let original = case.event.filter(|_| case.delivering());
        let counted = original.filter(|_| !matches!(case.exit, Exit::DoubleFault | Exit::TripleFault));
        let by_debug_exception = case.exit == Exit::Direct && case.event.is_some_and(Event::is_debug_exception);
        match self {
            Self::Always => true,
            Self::EventExits => exiting.is_some(),
            Self::EventWithCodeExits => exiting.is_some_and(|event| event.code.is_some()),
            Self::PageFaultExits => exiting.is_some_and(|event| event.vector == 14),
            Self::DebugExceptionExits => by_debug_exception,
            Self::SoftwareExceptionExits => case.exit == Exit::Direct && case.event.is_some_and(Event::is_software),
            Self::DuringDelivery => counted.is_some(),
            Self::DuringDeliveryWithCode => counted.is_some_and(|event| event.facts().code.is_some()),
            Self::DuringDeliveryOfSoftware => counted.is_some_and(Event::is_software),
            Self::Indirect => original.is_some(),
            Self::IndirectNmi => original == Some(Event::Nmi),
            Self::IndirectDebugException => {
                let debug = |event: Event| event.is_debug_exception() || event == Event::Int1;
                original.is_some_and(debug) && !case.injected
            }
            Self::IndirectPageFault => original == Some(Event::PageFault) && !case.injected,
            Self::Injected => case.injected,
            Self::Instruction => INSTRUCTIONS.iter().any(|(exit, ..)| *exit == case.exit),
            Self::TaskSwitchOutsideDelivery => case.exit == Exit::TaskSwitch && original.is_none(),
            Self::TaskSwitch => case.exit == Exit::TaskSwitch,
            Self::AccessOutsideDelivery => ACCESSES.contains(&case.exit) && original.is_none(),
            Self::Access => ACCESSES.contains(&case.exit),
            Self::KeepsPending => {
                matches!(case.exit, Exit::Init | Exit::MonitorTrapFlag | Exit::TprBelowThreshold)
            }
            Self::UnderMovSs => {
                matches!(case.around, Around::MovSs | Around::MovSsTrap) && original.is_none() && !by_debug_exception
            }
        }
    }
}

/// What a row says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    Zero,
    One,
    /// Not compared.
    Undefined,
    /// The number of the exit.
    Reason,
    /// As it was before the event.
    Before,
    /// Of the event that exits.
    Information,
    ErrorCode,
    ExitingImage,
    Conditions,
    /// The linear address that the #PF that exits is about.
    FaultAddress,
    /// Of the event being delivered.
    OriginalInformation,
    OriginalErrorCode,
    OriginalImage,
    OriginalLength,
    /// Of the instruction.
    Length,
    /// The exit's own format.
    Own,
    /// RFLAGS.RF in the register: 1 between the iterations of a string instruction.
    Register,
    /// The instruction, or the next one after a trap.
    ReturnAddress,
    /// The debug exceptions that are pending; with TF and blocking by MOV SS also BS.
    Pending,
    /// No blocking by STI or MOV SS.
    NoShadow,
    /// The same, and blocking by NMI.
    NmiBlocked,
    /// The conditions are merged in.
    Updated,
    /// GD is cleared.
    WithoutGd,
    /// LBR is cleared.
    WithoutLbr,
    /// The address of the page fault being delivered.
    Loaded,
}

impl Value {
    pub fn words(self) -> &'static str {
        match self {
            Self::Zero => "0",
            Self::One => "1",
            Self::Undefined => "undefined",
            Self::Reason => "the basic exit reason",
            Self::Before => "as before",
            Self::Information => "the event that exits: valid, vector, type, whether it has an error code",
            Self::ErrorCode => "the error code of the event that exits",
            Self::ExitingImage => "RF of the flags that delivery of the event that exits would have saved",
            Self::Conditions => "the debug conditions",
            Self::FaultAddress => "the linear address",
            Self::OriginalInformation => "the event being delivered: valid, vector, type, whether it has an error code",
            Self::OriginalErrorCode => "the error code of the event being delivered",
            Self::OriginalImage => "RF of the flags that delivery would have saved",
            Self::OriginalLength => "the length of the software event's instruction, or as VM entry was given it",
            Self::Length => "the length of the instruction",
            Self::Own => "the format of that exit reason",
            Self::Register => "RF in the register; 1 between the iterations of a string instruction",
            Self::ReturnAddress => "the instruction; after a trap the next one",
            Self::Pending => "what is pending; BS too with TF under MOV SS",
            Self::NoShadow => "no blocking by STI or MOV SS",
            Self::NmiBlocked => "no blocking by STI or MOV SS, blocking by NMI",
            Self::Updated => "the conditions are added",
            Self::WithoutGd => "GD is cleared",
            Self::WithoutLbr => "LBR is cleared",
            Self::Loaded => "the address of the page fault being delivered",
        }
    }
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    pub saved: Saved,
    pub when: When,
    pub value: Value,
    /// Title of the section of SDM Vol. 3C that says so.
    pub title: &'static str,
}

const BEFORE_EXIT: &str = "Architectural State Before a VM Exit";
const BASIC: &str = "Basic VM-Exit Information";
const VECTORED: &str = "Information for VM Exits Due to Vectored Events";
const DELIVERY: &str = "Information for VM Exits During Event Delivery";
const INSTRUCTION: &str = "Information for VM Exits Due to Instruction Execution";
const FLAGS: &str = "Saving RIP, RSP, RFLAGS, and SSP";
const NON_REGISTER: &str = "Saving Non-Register State";
const INJECTION: &str = "Details of Vectored-Event Injection";
const INTERRUPTIBILITY: &str = "Interruptibility State";

const fn row(saved: Saved, when: When, value: Value, title: &'static str) -> Row {
    Row { saved, when, value, title }
}

/// The table.
pub const ROWS: &[Row] = &[
    row(Saved::ExitReason, When::Always, Value::Reason, BASIC),
    row(Saved::ExitQualification, When::DebugExceptionExits, Value::Conditions, BASIC),
    row(Saved::ExitQualification, When::PageFaultExits, Value::FaultAddress, BASIC),
    row(Saved::ExitQualification, When::Always, Value::Own, BASIC),
    row(Saved::InterruptionInformation, When::EventExits, Value::Information, VECTORED),
    row(Saved::InterruptionInformation, When::Always, Value::Zero, VECTORED),
    row(Saved::InterruptionErrorCode, When::EventWithCodeExits, Value::ErrorCode, VECTORED),
    row(Saved::InterruptionErrorCode, When::Always, Value::Undefined, VECTORED),
    row(Saved::IdtVectoringInformation, When::DuringDelivery, Value::OriginalInformation, DELIVERY),
    row(Saved::IdtVectoringInformation, When::Always, Value::Zero, DELIVERY),
    row(Saved::IdtVectoringErrorCode, When::DuringDeliveryWithCode, Value::OriginalErrorCode, DELIVERY),
    row(Saved::IdtVectoringErrorCode, When::Always, Value::Undefined, DELIVERY),
    row(Saved::InstructionLength, When::Instruction, Value::Length, INSTRUCTION),
    row(Saved::InstructionLength, When::SoftwareExceptionExits, Value::Length, INSTRUCTION),
    row(Saved::InstructionLength, When::TaskSwitchOutsideDelivery, Value::Length, INSTRUCTION),
    row(Saved::InstructionLength, When::DuringDeliveryOfSoftware, Value::OriginalLength, INSTRUCTION),
    row(Saved::InstructionLength, When::Always, Value::Undefined, INSTRUCTION),
    row(Saved::Rip, When::Always, Value::ReturnAddress, FLAGS),
    row(Saved::Rf, When::EventExits, Value::ExitingImage, FLAGS),
    row(Saved::Rf, When::TaskSwitchOutsideDelivery, Value::Zero, FLAGS),
    row(Saved::Rf, When::TaskSwitch, Value::OriginalImage, FLAGS),
    row(Saved::Rf, When::Instruction, Value::Zero, FLAGS),
    row(Saved::Rf, When::AccessOutsideDelivery, Value::One, FLAGS),
    row(Saved::Rf, When::Access, Value::OriginalImage, FLAGS),
    row(Saved::Rf, When::Always, Value::Register, FLAGS),
    row(Saved::ActivityState, When::Indirect, Value::Zero, BEFORE_EXIT),
    row(Saved::ActivityState, When::Always, Value::Before, BEFORE_EXIT),
    row(Saved::Interruptibility, When::IndirectNmi, Value::NmiBlocked, BEFORE_EXIT),
    row(Saved::Interruptibility, When::Injected, Value::NoShadow, INTERRUPTIBILITY),
    row(Saved::Interruptibility, When::Indirect, Value::NoShadow, BEFORE_EXIT),
    row(Saved::Interruptibility, When::Always, Value::Before, NON_REGISTER),
    row(Saved::PendingDebugExceptions, When::KeepsPending, Value::Pending, NON_REGISTER),
    row(Saved::PendingDebugExceptions, When::UnderMovSs, Value::Pending, NON_REGISTER),
    row(Saved::PendingDebugExceptions, When::Always, Value::Zero, NON_REGISTER),
    row(Saved::Dr6, When::IndirectDebugException, Value::Updated, BEFORE_EXIT),
    row(Saved::Dr6, When::Injected, Value::Before, INJECTION),
    row(Saved::Dr6, When::Always, Value::Before, BEFORE_EXIT),
    row(Saved::Dr7, When::IndirectDebugException, Value::WithoutGd, BEFORE_EXIT),
    row(Saved::Dr7, When::Injected, Value::Before, INJECTION),
    row(Saved::Dr7, When::Always, Value::Before, BEFORE_EXIT),
    row(Saved::Debugctl, When::IndirectDebugException, Value::WithoutLbr, BEFORE_EXIT),
    row(Saved::Debugctl, When::Injected, Value::Before, INJECTION),
    row(Saved::Debugctl, When::Always, Value::Before, BEFORE_EXIT),
    row(Saved::Cr2, When::IndirectPageFault, Value::Loaded, BEFORE_EXIT),
    row(Saved::Cr2, When::Always, Value::Before, BEFORE_EXIT),
];

/// The event that the VM-exit interruption information is about.
fn exiting_event(case: &Case) -> Option<EventFacts> {
    let nested = |vector, code| EventFacts { vector, code: Some(code), ..Event::GeneralProtection.facts() };
    match (case.exit, case.event) {
        // Without "acknowledge interrupt on exit" it does not tell.
        (Exit::Direct, Some(Event::ExternalInterrupt)) => None,
        (Exit::Direct | Exit::Acknowledged, Some(event)) => Some(event.facts()),
        (Exit::Nested(second), Some(event)) => Some(nested(second.vector(), second.code(&event.facts()))),
        (Exit::DoubleFault, _) => Some(nested(8, 0)),
        _ => None,
    }
}

fn reason(case: &Case) -> ExitReason {
    use ExitReason as R;
    match case.exit {
        Exit::Direct if case.event == Some(Event::ExternalInterrupt) => R::ExternalInterrupt,
        Exit::Direct | Exit::Nested(_) | Exit::DoubleFault => R::ExceptionOrNmi,
        Exit::Acknowledged => R::ExternalInterrupt,
        Exit::EptViolation => R::EptViolation,
        Exit::EptMisconfiguration => R::EptMisconfiguration,
        Exit::ApicAccess => R::ApicAccess,
        Exit::PmlFull => R::PageModificationLogFull,
        Exit::TaskSwitch => R::TaskSwitch,
        Exit::TripleFault => R::TripleFault,
        Exit::Cpuid => R::Cpuid,
        Exit::Hlt => R::Hlt,
        Exit::Out => R::IoInstruction,
        Exit::Vmcall => R::Vmcall,
        Exit::Init => R::Init,
        Exit::Sipi => R::Sipi,
        Exit::PreemptionTimer => R::PreemptionTimer,
        Exit::NmiWindow => R::NmiWindow,
        Exit::InterruptWindow => R::InterruptWindow,
        Exit::MonitorTrapFlag => R::MonitorTrapFlag,
        Exit::TprBelowThreshold => R::TprBelowThreshold,
    }
}

/// The exit qualification of exits that are no exceptions.
fn own_qualification(case: &Case) -> u64 {
    let delivering = case.delivering();
    match case.exit {
        // A write; its linear address is valid, and the access was to its translation; a user-mode, read/write page.
        Exit::EptViolation => 0x782,
        // During delivery, or a write at the page's start.
        Exit::ApicAccess if delivering => 3 << 12 | (STACK_PAGE + 0xFF8) & 0xFFF,
        Exit::ApicAccess => 1 << 12,
        Exit::TaskSwitch => 0x18 | if delivering { 3 << 30 } else { 0 },
        Exit::Sipi => 0x9A,
        exit => {
            INSTRUCTIONS.iter().find(|(other, ..)| *other == exit).map_or(0, |(_, _, qualification)| *qualification)
        }
    }
}

/// RFLAGS.RF before the exit.
fn register(case: &Case) -> bool {
    match case.around {
        Around::Repeating => true,
        // An instruction clears it when it completes, a software interrupt when it begins.
        Around::Resumed => case.injected || !case.event.is_some_and(|event| event.is_software() || event.facts().trap),
        _ => false,
    }
}

/// RF of the flags that the delivery of an event saves.
fn image(case: &Case, facts: &EventFacts, injected: bool) -> bool {
    match facts.rf {
        // As VM entry loads it ("Details of Vectored-Event Injection").
        _ if injected => case.around == Around::Resumed,
        Image::One => true,
        Image::Zero => false,
        Image::Register => register(case),
    }
}

/// What the table says of a field of a case; `None` where the SDM leaves it open.
pub fn expected(case: &Case, saved: Saved) -> Option<u64> {
    let row = ROWS.iter().find(|row| row.saved == saved && row.when.applies(case)).expect("a row for all others");
    let exiting = exiting_event(case);
    let original = case.event.map(Event::facts);
    let before = before(case, saved);
    let number = |value: Option<u64>| Some(value.expect("the row is about an event that has it"));
    match row.value {
        Value::Undefined => None,
        Value::Zero => Some(0),
        Value::One => Some(1),
        Value::Reason => Some(reason(case).field().into()),
        Value::Before => Some(before),
        Value::Information => number(exiting.map(|event| event.information())),
        Value::ErrorCode => number(exiting.and_then(|event| event.code)),
        Value::ExitingImage => number(exiting.map(|event| image(case, &event, false).into())),
        Value::Conditions => number(original.map(|event| event.conditions)),
        Value::FaultAddress if case.delivering() => Some(UNMAPPED_STACK - 8),
        Value::FaultAddress | Value::Loaded => Some(UNMAPPED),
        Value::OriginalInformation => number(original.map(|event| event.information())),
        Value::OriginalErrorCode => number(original.and_then(|event| event.code)),
        Value::OriginalImage => number(original.map(|event| image(case, &event, case.injected).into())),
        Value::OriginalLength if case.injected => Some(INJECTED_LENGTH),
        Value::OriginalLength => number(original.and_then(|event| event.length)),
        Value::Length => Some(code(case).len() as u64),
        Value::Own => Some(own_qualification(case)),
        Value::Register => Some(register(case).into()),
        Value::ReturnAddress => {
            let behind = original.is_some_and(|event| event.trap) && case.around != Around::Repeating && !case.injected;
            Some(before + if behind { code(case).len() as u64 } else { 0 })
        }
        Value::Pending => Some(before),
        Value::NoShadow => Some(before & !3),
        Value::NmiBlocked => Some(before & !3 | 8),
        Value::Updated => number(original.map(|event| before | event.conditions)),
        Value::WithoutGd => Some(before & !0x2000),
        Value::WithoutLbr => Some(before & !1),
    }
}
