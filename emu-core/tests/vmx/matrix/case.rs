//! The axes of the matrix: what exits, which event is on its way, and what is around it.

/// An event that exits, or whose delivery meets the exit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    ExternalInterrupt,
    Nmi,
    InvalidOpcode,
    GeneralProtection,
    PageFault,
    SingleStep,
    DataBreakpoint,
    CodeBreakpoint,
    GeneralDetect,
    /// A trap that VM entry finds in the pending debug exceptions.
    PendingDebug,
    DoubleFault,
    IntN,
    Int1,
    Int3,
    /// In 64-bit mode injected only.
    Into,
}

/// RF of the flags that delivery saves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Image {
    /// 1: a fault.
    One,
    /// What the register has: 1 between the iterations of a string instruction.
    Register,
    /// 0: a software interrupt clears RF as it begins.
    Zero,
}

/// What there is to know of an event.
#[derive(Debug, Clone, Copy)]
pub struct EventFacts {
    pub name: &'static str,
    pub vector: u64,
    /// Interruption type (SDM Vol. 3C, "VM-Entry Controls for Event Injection").
    pub kind: u64,
    pub code: Option<u64>,
    /// Length of a software event's instruction.
    pub length: Option<u64>,
    /// Debug conditions, as exit qualification and DR6 have them (SDM Vol. 3C, "Exit Qualification for Debug
    /// Exceptions").
    pub conditions: u64,
    /// SDM Vol. 3B, "Instruction-Breakpoint Exception Condition".
    pub rf: Image,
    /// RIP stands behind the instruction.
    pub trap: bool,
}

impl EventFacts {
    /// The information field's value.
    pub fn information(&self) -> u64 {
        1 << 31 | u64::from(self.code.is_some()) << 11 | self.kind << 8 | self.vector
    }
}

impl Event {
    pub const ALL: [Event; 15] = [
        Event::ExternalInterrupt,
        Event::Nmi,
        Event::InvalidOpcode,
        Event::GeneralProtection,
        Event::PageFault,
        Event::SingleStep,
        Event::DataBreakpoint,
        Event::CodeBreakpoint,
        Event::GeneralDetect,
        Event::PendingDebug,
        Event::DoubleFault,
        Event::IntN,
        Event::Int1,
        Event::Int3,
        Event::Into,
    ];

    pub fn facts(self) -> EventFacts {
        let event = |name, vector, kind, rf| EventFacts {
            name,
            vector,
            kind,
            code: None,
            length: None,
            conditions: 0,
            rf,
            trap: false,
        };
        let debug = |name, conditions, rf, trap| EventFacts { conditions, trap, ..event(name, 1, 3, rf) };
        match self {
            Self::ExternalInterrupt => event("external interrupt", 0x40, 0, Image::Register),
            Self::Nmi => event("NMI", 2, 2, Image::Register),
            Self::InvalidOpcode => event("#UD", 6, 3, Image::One),
            Self::GeneralProtection => EventFacts { code: Some(0), ..event("#GP", 13, 3, Image::One) },
            Self::PageFault => EventFacts { code: Some(0), ..event("#PF", 14, 3, Image::One) },
            Self::SingleStep => debug("#DB, single step", 0x4000, Image::Register, true),
            Self::DataBreakpoint => debug("#DB, data breakpoint", 2, Image::Register, true),
            Self::CodeBreakpoint => debug("#DB, code breakpoint", 1, Image::Register, false),
            Self::GeneralDetect => debug("#DB, general detect", 0x2000, Image::One, false),
            Self::PendingDebug => debug("#DB, pending at VM entry", 0x4003, Image::Register, false),
            // As the fault that it comes of.
            Self::DoubleFault => EventFacts { code: Some(0), ..event("#DF", 8, 3, Image::One) },
            Self::IntN => EventFacts { length: Some(2), ..event("INT n", 0x80, 4, Image::Zero) },
            Self::Int1 => EventFacts { length: Some(1), ..event("INT1", 1, 5, Image::Zero) },
            Self::Int3 => EventFacts { length: Some(1), ..event("INT3", 3, 6, Image::Zero) },
            Self::Into => EventFacts { length: Some(1), ..event("INTO", 4, 6, Image::Zero) },
        }
    }

    /// A #DB of the processor's, which changes debug registers when it is not injected.
    pub fn is_debug_exception(self) -> bool {
        let facts = self.facts();
        facts.vector == 1 && facts.kind == 3
    }

    pub fn is_software(self) -> bool {
        self.facts().length.is_some()
    }
}

/// The exception that the delivery of an event raises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Second {
    /// #NP: the gate is absent.
    AbsentGate,
    /// #GP: it is no gate.
    NoGate,
    /// #PF: the page of the stack is absent.
    AbsentStack,
    /// #TS: the stack pointer lies beyond the TSS's limit.
    StackBeyondTss,
    /// #SS: the stack pointer is not canonical.
    StackNotCanonical,
    /// #NP: the TSS of a task gate is absent.
    AbsentTask,
}

impl Second {
    const LONG: [Second; 5] =
        [Second::AbsentGate, Second::NoGate, Second::AbsentStack, Second::StackBeyondTss, Second::StackNotCanonical];
    const LEGACY: [Second; 3] = [Second::AbsentGate, Second::NoGate, Second::AbsentTask];

    pub fn vector(self) -> u64 {
        match self {
            Self::AbsentGate | Self::AbsentTask => 11,
            Self::NoGate => 13,
            Self::AbsentStack => 14,
            Self::StackBeyondTss => 10,
            Self::StackNotCanonical => 12,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::AbsentGate => "nested #NP",
            Self::NoGate => "nested #GP",
            Self::AbsentStack => "nested #PF",
            Self::StackBeyondTss => "nested #TS",
            Self::StackNotCanonical => "nested #SS",
            Self::AbsentTask => "nested #NP of a task gate",
        }
    }

    /// Its error code (SDM Vol. 3A, "Error Code"): EXT but during delivery of INT n, INT3 and INTO.
    pub fn code(self, first: &EventFacts) -> u64 {
        let ext = u64::from(!matches!(first.kind, 4 | 6));
        match self {
            // The gate's index, and IDT.
            Self::AbsentGate | Self::NoGate => first.vector << 3 | 2 | ext,
            // A write to an absent page.
            Self::AbsentStack => 2,
            // TR's selector is null.
            Self::StackBeyondTss | Self::StackNotCanonical => ext,
            Self::AbsentTask => super::scene::TASK | ext,
        }
    }
}

/// What exits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// The event itself.
    Direct,
    /// The external interrupt itself, with "acknowledge interrupt on exit".
    Acknowledged,
    Nested(Second),
    EptViolation,
    EptMisconfiguration,
    ApicAccess,
    PmlFull,
    /// A task gate, or CALL.
    TaskSwitch,
    DoubleFault,
    TripleFault,
    Cpuid,
    Hlt,
    Out,
    Vmcall,
    Init,
    Sipi,
    PreemptionTimer,
    NmiWindow,
    InterruptWindow,
    MonitorTrapFlag,
    TprBelowThreshold,
}

impl Exit {
    /// What exits, but for events that do.
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct | Self::Acknowledged => "the event",
            Self::Nested(second) => second.name(),
            Self::EptViolation => "EPT violation",
            Self::EptMisconfiguration => "EPT misconfiguration",
            Self::ApicAccess => "APIC access",
            Self::PmlFull => "page-modification log full",
            Self::TaskSwitch => "task switch",
            Self::DoubleFault => "#DF",
            Self::TripleFault => "triple fault",
            Self::Cpuid => "CPUID",
            Self::Hlt => "HLT",
            Self::Out => "OUT",
            Self::Vmcall => "VMCALL",
            Self::Init => "INIT",
            Self::Sipi => "SIPI",
            Self::PreemptionTimer => "VMX-preemption timer",
            Self::NmiWindow => "NMI window",
            Self::InterruptWindow => "interrupt window",
            Self::MonitorTrapFlag => "monitor trap flag",
            Self::TprBelowThreshold => "TPR below threshold",
        }
    }
}

/// What an access to memory exits with.
pub const ACCESSES: [Exit; 4] = [Exit::EptViolation, Exit::EptMisconfiguration, Exit::ApicAccess, Exit::PmlFull];
/// What delivery can meet but for a task gate.
const MET: [Exit; 6] = [
    Exit::EptViolation,
    Exit::EptMisconfiguration,
    Exit::ApicAccess,
    Exit::PmlFull,
    Exit::DoubleFault,
    Exit::TripleFault,
];
/// Instructions that exit, as (exit, code, exit qualification).
pub const INSTRUCTIONS: [(Exit, &[u8], u64); 4] = [
    (Exit::Cpuid, &[0x0F, 0xA2], 0),
    (Exit::Hlt, &[0xF4], 0),
    // OUT 70h, AL: one byte, immediate operand.
    (Exit::Out, &[0xE6, 0x70], 0x70_0040),
    (Exit::Vmcall, &[0x0F, 0x01, 0xC1], 0),
];
/// What comes between instructions and is no event of the IDT.
const BETWEEN: [Exit; 7] = [
    Exit::Init,
    Exit::Sipi,
    Exit::PreemptionTimer,
    Exit::NmiWindow,
    Exit::InterruptWindow,
    Exit::MonitorTrapFlag,
    Exit::TprBelowThreshold,
];

/// What is around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Around {
    Nothing,
    /// RF is 1.
    Resumed,
    /// TF is 1.
    Trap,
    /// Blocking by STI.
    Sti,
    /// Blocking of virtual NMIs.
    NmiBlocked,
    /// Blocking by MOV SS, with an enabled breakpoint pending.
    MovSs,
    /// The same with TF.
    MovSsTrap,
    /// A string instruction between two iterations.
    Repeating,
    Hlt,
    Shutdown,
    WaitForSipi,
    /// A trap is pending that a higher priority comes before.
    Pending,
}

impl Around {
    pub fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Resumed => "RF",
            Self::Trap => "TF",
            Self::Sti => "STI",
            Self::NmiBlocked => "NMI",
            Self::MovSs => "MOV SS with a breakpoint",
            Self::MovSsTrap => "the same with TF",
            Self::Repeating => "between iterations",
            Self::Hlt => "HLT",
            Self::Shutdown => "shutdown",
            Self::WaitForSipi => "wait-for-SIPI",
            Self::Pending => "a pending trap",
        }
    }
}

/// One cell of the matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Case {
    pub exit: Exit,
    pub event: Option<Event>,
    /// VM entry injects the event.
    pub injected: bool,
    pub around: Around,
    /// A 32-bit guest without paging.
    pub legacy: bool,
}

impl Case {
    /// The event's delivery meets the exit.
    pub fn delivering(&self) -> bool {
        self.event.is_some() && !matches!(self.exit, Exit::Direct | Exit::Acknowledged)
    }
}

/// Where an event can arise.
fn surroundings(event: Event) -> &'static [Around] {
    use Around::*;
    match event {
        Event::ExternalInterrupt => &[Nothing, Resumed, Trap, Hlt, Repeating],
        Event::Nmi => &[Nothing, Resumed, Trap, Hlt, Shutdown, Repeating],
        Event::InvalidOpcode
        | Event::GeneralProtection
        | Event::PageFault
        | Event::IntN
        | Event::Int3
        | Event::Into => &[Nothing, Resumed, Trap, Sti, NmiBlocked, MovSs, MovSsTrap],
        Event::SingleStep | Event::DataBreakpoint => &[Nothing, Resumed, Repeating],
        Event::CodeBreakpoint => &[Nothing, Trap, Sti],
        Event::GeneralDetect | Event::Int1 => &[Nothing, Resumed, Trap, Sti, NmiBlocked],
        Event::PendingDebug => &[Nothing, Resumed, Sti, Hlt],
        Event::DoubleFault => &[Nothing, Trap, Sti, NmiBlocked],
    }
}

/// Where an event can be injected.
fn injection_surroundings(event: Event) -> &'static [Around] {
    use Around::*;
    match event {
        Event::ExternalInterrupt | Event::Nmi => &[Nothing, Resumed, Hlt],
        // One #DB is as another.
        Event::SingleStep => &[Nothing, Resumed, Sti, MovSs, Hlt],
        Event::DataBreakpoint | Event::CodeBreakpoint | Event::GeneralDetect | Event::PendingDebug => &[],
        _ => &[Nothing, Resumed, Sti, NmiBlocked, MovSs],
    }
}

/// Where an exit between instructions can come.
fn between(exit: Exit) -> &'static [Around] {
    use Around::*;
    match exit {
        Exit::Init => &[Nothing, Resumed, Trap, Sti, NmiBlocked, MovSs, MovSsTrap, Repeating, Hlt, Shutdown, Pending],
        Exit::Sipi => &[WaitForSipi],
        Exit::PreemptionTimer => &[Nothing, Resumed, Trap, Sti, NmiBlocked, MovSs, MovSsTrap, Repeating, Hlt, Shutdown],
        Exit::NmiWindow => &[Nothing, Resumed, Trap, Hlt, Shutdown],
        Exit::InterruptWindow => &[Nothing, Resumed, Trap, Hlt],
        Exit::MonitorTrapFlag => &[Nothing, Resumed, Trap, Sti, MovSs, MovSsTrap, Repeating, Hlt, Pending],
        _ => &[Nothing, Resumed, Trap, Sti, MovSs, MovSsTrap, Hlt, Pending],
    }
}

/// Cells of an event whose delivery meets an exit, and of the same event injected.
fn delivery(cases: &mut Vec<Case>, exit: Exit, event: Event, legacy: bool) {
    let mut add = |injected, arounds: &[Around]| {
        cases.extend(arounds.iter().map(|&around| Case { exit, event: Some(event), injected, around, legacy }));
    };
    // An exception that the bitmap has for the nested one exits itself; page faults differ by their error code.
    let itself = match exit {
        Exit::Nested(Second::AbsentStack) => false,
        Exit::Nested(second) => {
            // A double fault comes of two #GP.
            let vector = if event == Event::DoubleFault { 13 } else { event.facts().vector };
            vector == second.vector()
        }
        _ => false,
    };
    if !itself && (legacy || event != Event::Into) {
        add(false, surroundings(event));
    }
    add(true, injection_surroundings(event));
}

fn undelivered(cases: &mut Vec<Case>, exit: Exit, event: Option<Event>, legacy: bool, arounds: &[Around]) {
    cases.extend(arounds.iter().map(|&around| Case { exit, event, injected: false, around, legacy }));
}

/// All cells of a 64-bit guest.
pub fn long_cases() -> Vec<Case> {
    use Around::*;
    let mut cases = Vec::new();
    for event in Event::ALL {
        if !matches!(event, Event::IntN | Event::DoubleFault | Event::Into) {
            undelivered(&mut cases, Exit::Direct, Some(event), false, surroundings(event));
        }
        for exit in Second::LONG.map(Exit::Nested).into_iter().chain(MET) {
            // The double fault of a double fault is the triple fault.
            if !(event == Event::DoubleFault && exit == Exit::DoubleFault) {
                delivery(&mut cases, exit, event, false);
            }
        }
    }
    let event = Event::ExternalInterrupt;
    undelivered(&mut cases, Exit::Acknowledged, Some(event), false, surroundings(event));
    let arounds = [Nothing, Resumed, Trap, Sti, NmiBlocked, MovSs, MovSsTrap, Repeating];
    for exit in ACCESSES {
        undelivered(&mut cases, exit, None, false, &arounds);
    }
    for (exit, ..) in INSTRUCTIONS {
        undelivered(&mut cases, exit, None, false, &arounds[..7]);
    }
    for exit in BETWEEN {
        undelivered(&mut cases, exit, None, false, between(exit));
    }
    cases
}

/// All cells of a 32-bit guest: task switches, and what is different without IA-32e mode.
pub fn legacy_cases() -> Vec<Case> {
    use Around::*;
    let mut cases = Vec::new();
    // Without paging there are no page faults.
    for event in Event::ALL.into_iter().filter(|event| *event != Event::PageFault) {
        if !matches!(event, Event::IntN | Event::DoubleFault) {
            undelivered(&mut cases, Exit::Direct, Some(event), true, surroundings(event));
        }
        for exit in Second::LEGACY.map(Exit::Nested).into_iter().chain([Exit::TaskSwitch, Exit::TripleFault]) {
            delivery(&mut cases, exit, event, true);
        }
    }
    undelivered(&mut cases, Exit::TaskSwitch, None, true, &[Nothing, Resumed, Trap, Sti, NmiBlocked, MovSs, MovSsTrap]);
    cases
}

/// Where two exceptions lead that do not exit: the vector of the handler, or a triple fault (SDM Vol. 3A, "Interrupt 8 –
/// Double Fault Exception (#DF)", Table "Conditions for Generating a Double Fault").
pub fn handler(event: Event, second: Second) -> Option<u64> {
    let facts = event.facts();
    let contributory = |vector| matches!(vector, 0 | 10..=13);
    let first = if facts.kind == 3 { facts.vector } else { 0xFF };
    match (first, second.vector()) {
        (8, _) => None,
        (14, 14) => Some(8),
        (first, vector) if contributory(vector) && (contributory(first) || first == 14) => Some(8),
        (_, vector) => Some(vector),
    }
}
