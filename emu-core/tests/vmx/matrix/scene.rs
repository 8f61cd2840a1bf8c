//! A guest for every cell: what runs, and what makes delivery meet its exit.

use super::case::{ACCESSES, Around, Case, Event, Exit, INSTRUCTIONS, Second};
use super::table::Saved;
use crate::guest::*;
use emu_core::bus::{ApicMessage, DeliveryMode, Shorthand};
use emu_core::mem::image::MemoryImage;
use emu_core::snapshot::CoreState;
use emu_vmx::arch::segment::{AccessRights, Segment};
use emu_vmx::controls::*;
use emu_vmx::exit::ExitReason;
use emu_vmx::field::Field;
use std::slice;

/// An address that guest paging does not map, and a stack there.
pub const UNMAPPED: u64 = 0x4000_0000;
pub const UNMAPPED_STACK: u64 = UNMAPPED + 0x2000;
/// The page whose accesses exit; a stack ends behind it.
pub const STACK_PAGE: u64 = 0x6_0000;
/// VM-entry instruction length of injected software events.
pub const INJECTED_LENGTH: u64 = 5;
/// DR6 after reset.
const DR6: u64 = 0xFFFF_0FF0;
/// GD, so that it can be seen to be cleared.
const DR7: u64 = 0x2400;
const CR2: u64 = 0x1234_5000;
const TSS: u64 = PAGES + 0x3000;
/// Selector of a free TSS.
pub const TASK: u64 = 0x18;
const REP_MOVSB: &[u8] = &[0xF3, 0xA4];
const RF: u64 = 1 << 16;
const TF: u64 = 1 << 8;
const IF: u64 = 1 << 9;
const OF: u64 = 1 << 11;

fn moffs(opcode: u8, address: u64) -> Vec<u8> {
    [&[0x48, opcode][..], &address.to_le_bytes()].concat()
}

/// The guest's first instruction.
pub fn code(case: &Case) -> Vec<u8> {
    if case.around == Around::Repeating {
        return REP_MOVSB.to_vec();
    }
    if let Some((_, code, _)) = INSTRUCTIONS.iter().find(|(exit, ..)| *exit == case.exit) {
        return code.to_vec();
    }
    let legacy = case.legacy;
    match case.event.filter(|_| !case.injected) {
        // CALL 18h:0
        None if legacy => vec![0x9A, 0, 0, 0, 0, TASK as u8, 0],
        None if ACCESSES.contains(&case.exit) => moffs(0xA3, STACK_PAGE),
        // JMP $
        None | Some(Event::ExternalInterrupt | Event::Nmi) => vec![0xEB, 0xFE],
        Some(Event::InvalidOpcode) => vec![0x0F, 0x0B],
        // MOV BYTE PTR CS:[5000h], 0; a load from an address that is not canonical.
        Some(Event::GeneralProtection | Event::DoubleFault) if legacy => vec![0x2E, 0xC6, 5, 0, 0x50, 0, 0, 0],
        Some(Event::GeneralProtection | Event::DoubleFault) => moffs(0xA1, 1 << 63),
        Some(Event::PageFault) => moffs(0xA1, UNMAPPED),
        Some(Event::SingleStep | Event::CodeBreakpoint | Event::PendingDebug) => vec![0x90],
        // MOV AL, [DATA]
        Some(Event::DataBreakpoint) if legacy => vec![0xA0, 0, 0, 5, 0],
        Some(Event::DataBreakpoint) => moffs(0xA1, DATA),
        // MOV RAX, DR0
        Some(Event::GeneralDetect) => vec![0x0F, 0x21, 0xC0],
        Some(Event::IntN) => vec![0xCD, 0x80],
        Some(Event::Int1) => vec![0xF1],
        Some(Event::Int3) => vec![0xCC],
        Some(Event::Into) => vec![0xCE],
    }
}

/// DR7's breakpoints: DR0 on the code, DR1 on one byte of data.
fn dr7(case: &Case) -> u64 {
    DR7 | match case.event {
        Some(Event::CodeBreakpoint) => 2,
        Some(Event::DataBreakpoint) => 0x30_0008,
        _ => 0,
    }
}

/// The state as it is before the event.
pub fn before(case: &Case, saved: Saved) -> u64 {
    match saved {
        Saved::Rip => CODE,
        Saved::ActivityState => match case.around {
            Around::Hlt => 1,
            Around::Shutdown => 2,
            Around::WaitForSipi => 3,
            _ => 0,
        },
        Saved::Interruptibility => match case.around {
            Around::Sti => 1,
            Around::MovSs | Around::MovSsTrap => 2,
            Around::NmiBlocked => 8,
            _ => 0,
        },
        Saved::PendingDebugExceptions => match case.around {
            Around::MovSs => 0x1001,
            Around::MovSsTrap => 0x5001,
            Around::Pending => 0x5003,
            _ if case.event == Some(Event::PendingDebug) => 0x5003,
            _ => 0,
        },
        Saved::Dr6 => DR6,
        Saved::Dr7 => dr7(case),
        Saved::Debugctl => 1,
        Saved::Cr2 => CR2,
        _ => 0,
    }
}

/// A guest that is set up anew for every cell.
pub struct Scene {
    guest: Guest,
    pristine: (CoreState, MemoryImage),
    legacy: bool,
}

impl Scene {
    pub fn new(legacy: bool) -> Scene {
        let mut guest = if legacy { Guest::legacy(&[]) } else { Guest::with_ept(&[]) };
        guest.keep_branches("haswell");
        guest.or(Field::VmEntryControls, VmEntryControls::LOAD_DEBUG_CONTROLS.bits().into());
        guest.or(Field::VmExitControls, VmExitControls::SAVE_DEBUG_CONTROLS.bits().into());
        guest.set(Field::GuestIa32Debugctl, 1);
        guest.bench.cpu.sys.cr2 = CR2;
        assert_eq!(guest.bench.cpu.sys.dr6.bits(), DR6);
        (guest.bench.cpu.sys.dr[0], guest.bench.cpu.sys.dr[1]) = (CODE, DATA);
        if legacy {
            let tss = Segment {
                selector: 0,
                base: LEGACY_TSS + 0x800,
                limit: 0x67,
                access_rights: AccessRights::from_bits_retain(0x89),
            };
            guest.write(LEGACY_GDT + TASK, tss.to_descriptor());
            guest.set(Field::GuestGdtrLimit, TASK + 7);
        } else {
            guest.set(Field::GuestTrBase, TSS);
        }
        let pristine = CoreState::save(slice::from_mut(&mut guest.bench.cpu), &mut guest.bench.ram);
        Scene { guest, pristine, legacy }
    }

    /// Runs a cell whose nested exception does not exit: the vector of the handler that it comes to, or none if it
    /// comes to a triple fault.
    pub fn merge(&mut self, case: &Case) -> Option<u64> {
        self.prepare(case);
        // No page fault exits.
        self.guest.set(Field::ExceptionBitmap, 0);
        self.guest.set(Field::PageFaultErrorCodeMask, 0);
        self.guest.set(Field::PageFaultErrorCodeMatch, 0);
        self.signal(case);
        self.guest.run();
        let halted = self.guest.get(Field::ExitReason) == u64::from(ExitReason::Hlt.field());
        halted.then(|| self.guest.get(Field::GuestRip) - HANDLERS)
    }

    /// Runs a cell to its VM exit.
    pub fn run(&mut self, case: &Case) {
        self.prepare(case);
        // What comes between iterations, and a start-up IPI, comes when the guest runs.
        let asynchronous = match case.event {
            None => {
                !ACCESSES.contains(&case.exit) && !matches!(case.exit, Exit::PreemptionTimer | Exit::MonitorTrapFlag)
            }
            Some(event) => matches!(event, Event::Nmi | Event::ExternalInterrupt),
        };
        if case.around == Around::WaitForSipi || (case.around == Around::Repeating && asynchronous) {
            self.guest.enter();
            self.signal(case);
            self.guest.bench.run(2000);
            assert!(!self.guest.bench.cpu.in_non_root(), "{case:?} does not exit");
        } else {
            self.signal(case);
            self.guest.run();
        }
    }

    fn prepare(&mut self, case: &Case) {
        let bench = &mut self.guest.bench;
        let cpus = slice::from_mut(&mut bench.cpu);
        self.pristine.0.restore(&self.pristine.1, cpus, &mut bench.ram, &mut bench.cache).expect("it is this bench's");
        self.guest.begin_again();
        self.surround(case);
        match case.event {
            Some(event) if case.injected => self.inject(event),
            Some(event) => self.raise(case, event),
            None => self.come_between(case),
        }
        self.meet(case);
        let code = code(case);
        self.guest.bench.ram.dma_write(CODE, &code);
    }

    /// What the exit has left.
    pub fn found(&mut self, saved: Saved) -> u64 {
        let sys = &self.guest.bench.cpu.sys;
        let field = match saved {
            Saved::Dr6 => return sys.dr6.bits(),
            Saved::Cr2 => return sys.cr2,
            Saved::Rf => return self.guest.get(Field::GuestRflags) >> 16 & 1,
            Saved::ExitReason => Field::ExitReason,
            Saved::ExitQualification => Field::ExitQualification,
            Saved::InterruptionInformation => Field::VmExitInterruptionInformation,
            Saved::InterruptionErrorCode => Field::VmExitInterruptionErrorCode,
            Saved::IdtVectoringInformation => Field::IdtVectoringInformation,
            Saved::IdtVectoringErrorCode => Field::IdtVectoringErrorCode,
            Saved::InstructionLength => Field::VmExitInstructionLength,
            Saved::Rip => Field::GuestRip,
            Saved::ActivityState => Field::GuestActivityState,
            Saved::Interruptibility => Field::GuestInterruptibilityState,
            Saved::PendingDebugExceptions => Field::GuestPendingDebugExceptions,
            Saved::Dr7 => Field::GuestDr7,
            Saved::Debugctl => Field::GuestIa32Debugctl,
        };
        self.guest.get(field)
    }

    fn flags(&mut self, bits: u64) {
        self.guest.or(Field::GuestRflags, bits);
    }

    fn surround(&mut self, case: &Case) {
        self.guest.set(Field::GuestDr7, dr7(case));
        for (field, saved) in [
            (Field::GuestActivityState, Saved::ActivityState),
            (Field::GuestInterruptibilityState, Saved::Interruptibility),
            (Field::GuestPendingDebugExceptions, Saved::PendingDebugExceptions),
        ] {
            self.guest.set(field, before(case, saved));
        }
        match case.around {
            Around::Resumed => self.flags(RF),
            Around::Trap | Around::MovSsTrap | Around::Pending => self.flags(TF),
            Around::Sti => self.flags(IF),
            Around::NmiBlocked => self.guest.pin(PinBasedControls::NMI_EXITING | PinBasedControls::VIRTUAL_NMIS),
            Around::Repeating => {
                let gpr = &mut self.guest.bench.cpu.gpr;
                (gpr[1], gpr[6], gpr[7]) = (1000, DATA, STACK_PAGE - 0x10);
                if case.event.is_some() || !ACCESSES.contains(&case.exit) {
                    gpr[7] = DATA + 0x1000;
                }
            }
            _ => {}
        }
    }

    fn inject(&mut self, event: Event) {
        let facts = event.facts();
        if event == Event::ExternalInterrupt {
            self.flags(IF);
        }
        self.guest.set(Field::VmEntryInterruptionInformation, facts.information());
        self.guest.set(Field::VmEntryExceptionErrorCode, facts.code.unwrap_or(0));
        self.guest.set(Field::VmEntryInstructionLength, INJECTED_LENGTH);
    }

    /// Makes the event arise, and exit if it is to exit directly.
    fn raise(&mut self, case: &Case, event: Event) {
        let direct = matches!(case.exit, Exit::Direct | Exit::Acknowledged);
        match event {
            Event::ExternalInterrupt if direct => self.guest.pin(PinBasedControls::EXTERNAL_INTERRUPT_EXITING),
            Event::ExternalInterrupt => self.flags(IF),
            Event::Nmi if direct => self.guest.pin(PinBasedControls::NMI_EXITING),
            Event::Nmi => {}
            _ if direct => self.guest.set(Field::ExceptionBitmap, 1 << event.facts().vector),
            _ => {}
        }
        match event {
            Event::SingleStep | Event::PendingDebug => self.flags(TF),
            Event::Into => self.flags(OF),
            // Two contributory faults.
            Event::DoubleFault => self.no_gate(13),
            _ => {}
        }
        if case.exit == Exit::Acknowledged {
            self.guest.or(Field::VmExitControls, VmExitControls::ACKNOWLEDGE_INTERRUPT_ON_EXIT.bits().into());
        }
    }

    /// What exits between instructions.
    fn come_between(&mut self, case: &Case) {
        let guest = &mut self.guest;
        match case.exit {
            Exit::Out => guest.primary(PrimaryProcessorControls::UNCONDITIONAL_IO_EXITING),
            Exit::PreemptionTimer => {
                guest.pin(PinBasedControls::ACTIVATE_VMX_PREEMPTION_TIMER);
                let value = if case.around == Around::Repeating { 8 } else { 0 };
                guest.set(Field::VmxPreemptionTimerValue, value);
            }
            Exit::NmiWindow => {
                guest.pin(PinBasedControls::NMI_EXITING | PinBasedControls::VIRTUAL_NMIS);
                guest.primary(PrimaryProcessorControls::NMI_WINDOW_EXITING);
            }
            Exit::InterruptWindow => {
                guest.primary(PrimaryProcessorControls::INTERRUPT_WINDOW_EXITING);
                self.flags(IF);
            }
            Exit::MonitorTrapFlag if case.around == Around::Repeating => {
                guest.primary(PrimaryProcessorControls::MONITOR_TRAP_FLAG);
            }
            Exit::MonitorTrapFlag => guest.set(Field::VmEntryInterruptionInformation, 0x8000_0700),
            Exit::TprBelowThreshold => {
                guest.primary(PrimaryProcessorControls::USE_TPR_SHADOW);
                guest.secondary(SecondaryProcessorControls::VIRTUALIZE_APIC_ACCESSES);
                guest.set(Field::VirtualApicAddress, PAGES);
                guest.set(Field::ApicAccessAddress, PAGES + 0x1000);
                guest.set(Field::TprThreshold, 5);
            }
            _ => {}
        }
    }

    /// What comes from outside.
    fn signal(&mut self, case: &Case) {
        let cpu = &mut self.guest.bench.cpu;
        match (case.exit, case.event.filter(|_| !case.injected)) {
            (_, Some(Event::ExternalInterrupt)) => self.guest.interrupt(0x40),
            (_, Some(Event::Nmi)) => {
                // The VMM does not take it, VM entry unblocks it.
                cpu.sys.nmi_blocked = !cpu.in_non_root();
                cpu.accept_nmi();
            }
            (Exit::Init, _) => cpu.accept_init(),
            (Exit::Sipi, _) => cpu.accept(&ApicMessage {
                destination: 0,
                logical: false,
                delivery: DeliveryMode::StartUp,
                vector: 0x9A,
                level_triggered: false,
                assert: true,
                shorthand: Shorthand::None,
            }),
            _ => {}
        }
    }

    /// The IDT entry of a vector.
    fn gate(&self, vector: u64) -> u64 {
        if self.legacy { LEGACY_IDT + 8 * vector } else { IDT + 16 * vector }
    }

    fn absent(&mut self, vector: u64) {
        let place = self.gate(vector);
        let gate = self.guest.read(place);
        self.guest.write(place, gate & !(1 << 47));
    }

    fn no_gate(&mut self, vector: u64) {
        let place = self.gate(vector);
        let gate = self.guest.read(place);
        self.guest.write(place, gate & !(0xF << 40));
    }

    fn task_gate(&mut self, vector: u64) {
        let place = self.gate(vector);
        self.guest.write(place, TASK << 16 | 0xE5 << 40);
    }

    /// Makes the delivery of a vector raise an exception.
    fn nest(&mut self, second: Second, vector: u64) {
        match second {
            Second::AbsentGate => self.absent(vector),
            Second::NoGate => self.no_gate(vector),
            Second::AbsentStack => self.stack(vector, UNMAPPED_STACK),
            Second::StackBeyondTss => {
                self.stack(vector, 0);
                self.guest.set(Field::GuestTrLimit, 0x20);
            }
            Second::StackNotCanonical => self.stack(vector, 1 << 63),
            Second::AbsentTask => {
                self.task_gate(vector);
                let descriptor = self.guest.read(LEGACY_GDT + TASK);
                self.guest.write(LEGACY_GDT + TASK, descriptor & !(1 << 47));
            }
        }
    }

    /// Gives the handler of a vector a stack of its own.
    fn stack(&mut self, vector: u64, top: u64) {
        let place = self.gate(vector);
        let gate = self.guest.read(place);
        self.guest.write(place, gate | 1 << 32);
        // IST1.
        self.guest.write(TSS + 36, top);
    }

    /// Prepares what the event's delivery, or the instruction, is to meet.
    fn meet(&mut self, case: &Case) {
        let vector = case.event.map(|event| event.facts().vector);
        match (case.exit, vector) {
            (Exit::Nested(second), Some(vector)) => {
                self.guest.set(Field::ExceptionBitmap, 1 << second.vector());
                if second == Second::AbsentStack {
                    // Page faults by a write: the event may be one by a read.
                    self.guest.set(Field::PageFaultErrorCodeMask, 2);
                    self.guest.set(Field::PageFaultErrorCodeMatch, 2);
                }
                self.nest(second, vector);
            }
            (Exit::DoubleFault | Exit::TripleFault, Some(vector)) => {
                self.absent(vector);
                // Of an event that makes no double fault comes #NP, and its gate is absent too.
                self.absent(11);
                if case.exit == Exit::DoubleFault {
                    self.guest.set(Field::ExceptionBitmap, 1 << 8);
                } else {
                    self.absent(8);
                }
            }
            (Exit::TaskSwitch, Some(vector)) => self.task_gate(vector),
            (exit, vector) if ACCESSES.contains(&exit) => {
                if let Some(vector) = vector {
                    self.stack(vector, STACK_PAGE + 0x1000);
                }
                self.forbid(exit);
            }
            _ => {}
        }
    }

    /// Makes a write to [`STACK_PAGE`] exit.
    fn forbid(&mut self, exit: Exit) {
        let guest = &mut self.guest;
        let entry = Guest::ept_entry(STACK_PAGE);
        match exit {
            Exit::EptViolation => guest.write(entry, 0),
            // Writable and not readable.
            Exit::EptMisconfiguration => guest.write(entry, STACK_PAGE | 0x32),
            Exit::ApicAccess => {
                guest.secondary(SecondaryProcessorControls::VIRTUALIZE_APIC_ACCESSES);
                guest.set(Field::ApicAccessAddress, STACK_PAGE);
            }
            _ => {
                // All other pages are accessed and dirty already, and the log is full.
                guest.secondary(SecondaryProcessorControls::ENABLE_PML);
                guest.set(Field::PmlAddress, PAGES);
                guest.set(Field::PmlIndex, 512);
                for page in (0..0x20_0000).step_by(0x1000).filter(|page| *page != STACK_PAGE) {
                    guest.write(Guest::ept_entry(page), page | 0x337);
                }
                for (place, flags) in
                    [(EPT, 0x100), (EPT + 0x1000, 0x100), (EPT + 0x2000, 0x100), (EPT + 0x2008, 0x300)]
                {
                    let entry = guest.read(place);
                    guest.write(place, entry | flags);
                }
            }
        }
    }
}
