//! Delivery of interrupts and exceptions (SDM Vol. 3A chapter 6).

use crate::fault::{EventKind, Exec, Fault, Stop};
use crate::flags::{AC, IF, IOPL, RF, TF, VIF};
use crate::state::cpu::{Cpu, Env};
use crate::state::derived::Attention;
use crate::state::observed::{DeliveredEvent, Observed, Watch};
use crate::state::system::{Activity, ControlFlow, Shadow, SystemState};
use crate::state::vmx::{Delivering, ExitDetails, Length};
use crate::vmx::exit::interruption;
use emu_vmx::arch::cr::Cr0;
use emu_vmx::arch::segment::SegmentRegister;
use emu_vmx::arch::vector::{self, NestedFault};
use emu_vmx::exit::ExitReason;

/// Exceptions in one delivery, each of which is delivered instead of the one before: what is finite has fewer.
const MOST_EXCEPTIONS: u32 = 32;

/// An event with what delivery saves.
#[derive(Debug, Clone, Copy)]
pub struct Delivery {
    /// The event.
    pub event: Fault,
    /// RIP to return to.
    pub return_rip: u64,
    /// RF in the saved flags (SDM Vol. 3B 18.3.1.1).
    pub resume: bool,
}

impl Delivery {
    /// The EXT bit of error codes that delivery itself gives rise to (SDM Vol. 3A 6.13).
    pub fn ext(&self) -> u32 {
        !matches!(self.event.kind, EventKind::SoftwareInterrupt | EventKind::SoftwareException) as u32
    }

    /// Whether the gate's DPL is compared with CPL: INT n, INT3 and INTO.
    pub fn checks_privilege(&self) -> bool {
        self.ext() == 0
    }

    /// Error code that names this event's gate in the IDT.
    pub fn gate_error(&self) -> u32 {
        u32::from(self.event.vector) << 3 | 2 | self.ext()
    }
}

impl Cpu {
    /// Delivers the exception that an instruction (or its fetch) raised. RIP is that of the instruction.
    pub fn deliver_fault(&mut self, env: &mut Env, fault: Fault) {
        self.forget_debug_hits();
        let resume = fault.kind == EventKind::HardwareException;
        if self.exits_directly(env, fault, resume) {
            return;
        }
        // What MOV SS has held back is lost with the instruction.
        self.sys.pending_debug = 0;
        self.deliver(env, fault, resume, None);
    }

    /// Delivers an event that is not due to the instruction at RIP; exceptions on the way become double faults or a
    /// shutdown (SDM Vol. 3A Table 6-5).
    #[inline]
    pub fn deliver_event(&mut self, env: &mut Env, event: Fault) {
        let resume = self.flags.has(RF) || self.carried.repeating;
        if !self.exits_directly(env, event, resume) {
            self.deliver(env, event, resume, None);
        }
    }

    /// Takes the VM exit of an exception that the exception bitmap asks for; false if it does not.
    fn exits_directly(&mut self, env: &mut Env, event: Fault, resume: bool) -> bool {
        let exits = self.exits_on(&event);
        if exits {
            if event.vector == vector::MF {
                // There is no blocking by STI or MOV SS then (SDM Vol. 3C 30.1, "Architectural State Before a VM Exit").
                self.sys.shadow = Shadow::None;
            }
            // A software interrupt whose delivery gave rise to the event.
            let original = self.vmx.delivering.take();
            self.exit_for_exception(env, event, original, resume);
        }
        exits
    }

    /// Delivers the event that VM entry injects; `length` is that of a software event's instruction (SDM Vol. 3C 27.6).
    pub(crate) fn deliver_injected(&mut self, env: &mut Env, event: Fault, length: u8) {
        let resume = self.flags.has(RF);
        self.deliver(env, event, resume, Some(length));
    }

    #[inline]
    fn deliver(&mut self, env: &mut Env, event: Fault, resume: bool, injected: Option<u8>) {
        // An event comes between instructions, or by one that ends its block.
        self.scratch.flow.exact = true;
        let mut injecting = injected.is_some();
        let length = injected.filter(|_| event.kind.is_software()).unwrap_or(0);
        let return_rip = self.rip().wrapping_add(u64::from(length));
        let mut delivery = Delivery { event, return_rip, resume };
        let mut exceptions = 0;
        loop {
            self.vmx.injecting = injecting;
            let recorded = injecting || !delivery.event.is_debug_exception();
            let from = self.derived.records_branches.then(|| self.place_of(self.rip()));
            let result = self.try_deliver(env, &delivery);
            self.vmx.injecting = false;
            if let (Ok(()), Some(from), true) = (&result, from, recorded) {
                self.record_event(from);
            }
            match result {
                Ok(()) => return self.spend(|events| events.delivery.into()),
                Err(Stop::Fault) => {}
                // Not where time is exact.
                Err(Stop::Alone) => continue,
                Err(Stop::VmExit) => return self.take_parked_exit(env),
                Err(Stop::Shutdown) => return self.shut_down(env),
            }
            injecting = false;
            exceptions += 1;
            if exceptions == MOST_EXCEPTIONS {
                return self.end_endless_delivery(env);
            }
            let original = self.vmx.delivering.take();
            let second = self.scratch.fault;
            // The exception bitmap comes before the merge (SDM Vol. 3C 26.2, "Other Causes of VM Exits"; 28.2.4,
            // "Information for VM Exits During Event Delivery").
            if self.exits_on(&second) {
                return self.exit_for_exception(env, second, original, true);
            }
            let first = delivery.event;
            let event = match vector::nest(first.vector, first.kind == EventKind::HardwareException, second.vector) {
                NestedFault::Serial => second,
                NestedFault::DoubleFault => Fault::with_code(vector::DF, 0),
                NestedFault::Shutdown => return self.shut_down(env),
            };
            if event.vector == vector::DF && self.exits_on(&event) {
                // That is no exit during event delivery.
                return self.exit_for_exception(env, event, None, true);
            }
            delivery = Delivery { event, return_rip: self.rip(), resume: true };
        }
    }

    /// Exceptions follow each other without end: each #AC of a delivery is benign, and the delivery of the next exception
    /// raises it again. A processor hangs in this until it is reset; here it shuts down, and who runs it comes back.
    #[cold]
    fn end_endless_delivery(&mut self, env: &mut Env) {
        if self.log_once("endless delivery", 0) {
            log::warn!(target: "cpu", "exceptions in the delivery of exceptions without end, with #AC: the processor shuts down, where another hangs");
        }
        self.shut_down(env);
    }

    /// A triple fault: shutdown, or in VMX non-root operation a VM exit.
    pub(crate) fn shut_down(&mut self, env: &mut Env) {
        self.notes.history.end_in_triple_fault();
        if self.in_non_root() {
            // It is not considered to occur during event delivery (SDM Vol. 3C 28.2.4).
            self.vmx.delivering = None;
            return self.vm_exit(env, ExitDetails::new(ExitReason::TripleFault));
        }
        self.set_activity(Activity::Shutdown);
        self.raise(Attention::STOPPED);
    }

    /// INT n, INT3, INTO or INT1 from an instruction that `return_rip` follows. An exception is the instruction's.
    #[inline]
    pub fn software_interrupt(&mut self, env: &mut Env, event: Fault, return_rip: u64) -> Exec {
        if self.exits_on(&event) {
            return self.exit_for_software_interrupt(event, return_rip);
        }
        // RF is clear from the start of a software interrupt (SDM Vol. 3B 18.3.1.1).
        self.scratch.began_with_rf = false;
        self.try_deliver(env, &Delivery { event, return_rip, resume: false })?;
        self.scratch.flow.branched = true;
        Ok(())
    }

    #[cold]
    fn exit_for_software_interrupt(&mut self, event: Fault, return_rip: u64) -> Exec {
        self.note_exit_for(event, return_rip);
        let mut details = ExitDetails::new(ExitReason::ExceptionOrNmi);
        details.event = Some((interruption(&event), None));
        details.length = Length::Until(return_rip);
        self.park_exit(details)
    }

    /// One attempt at delivery; an exception of its own is parked, and nothing has changed then.
    fn try_deliver(&mut self, env: &mut Env, delivery: &Delivery) -> Exec {
        let exception = delivery.event.is_exception().then(|| self.event_record(delivery));
        let result = self.enter_handler(env, delivery);
        let delivering = !self.in_non_root() || self.vmx.delivering.is_some();
        if delivering && matches!(result, Err(Stop::Fault | Stop::VmExit)) {
            // There is no blocking by STI or MOV SS when a VM exit comes of it (SDM Vol. 3C 28.1, "Architectural State
            // Before a VM Exit").
            self.sys.shadow = Shadow::None;
        }
        match (result, exception) {
            (Ok(()), None) => {}
            (Ok(()), Some(record)) => self.note_delivered(record),
            (Err(Stop::VmExit), _) => self.note_exit_for(delivery.event, delivery.return_rip),
            // Nothing has happened; it is tried again.
            (Err(Stop::Alone), _) => self.vmx.delivering = None,
            (Err(Stop::Shutdown), _) => {}
            (Err(Stop::Fault), record) => {
                let record = record.unwrap_or_else(|| self.event_record(delivery));
                self.note_undelivered(record);
            }
        }
        result
    }

    fn enter_handler(&mut self, env: &mut Env, delivery: &Delivery) -> Exec {
        log::trace!(
            target: "cpu",
            "cpu{} {}, return to {:04x}:{:#x}",
            self.sys.index,
            delivery.event,
            self.sys.seg(SegmentRegister::Cs).selector,
            delivery.return_rip
        );
        let cs = self.sys.seg(SegmentRegister::Cs).selector;
        let Delivery { event, return_rip, resume } = *delivery;
        if self.in_non_root() {
            self.vmx.delivering = Some(Delivering { event, return_rip, resume });
            // From here on an exit is no longer that of the IRET that raised the event.
            self.vmx.iret_unblocked = false;
        }
        if event.is_debug_exception() && !self.vmx.injecting {
            self.begin_debug_exception();
        }
        if !self.derived.mode.protected {
            self.deliver_real(env, delivery)?;
        } else if self.derived.mode.long {
            self.deliver_long(env, delivery)?;
        } else if self.derived.mode.v86 && delivery.event.kind == EventKind::SoftwareInterrupt {
            self.deliver_v86_software(env, delivery)?;
        } else {
            self.deliver_protected(env, delivery)?;
        }
        self.vmx.delivering = None;
        if self.notes.watch.contains(Watch::EVENTS) {
            self.note(Observed::Event(DeliveredEvent { event, cs, return_rip, injected: self.vmx.injecting }));
        }
        // The handler starts without a shadow, and the instruction that led here does not single-step into it.
        self.end_step();
        self.sys.shadow = Shadow::None;
        self.note_mtf();
        self.refresh_attention();
        Ok(())
    }

    fn deliver_real(&mut self, env: &mut Env, delivery: &Delivery) -> Exec {
        let slot = u64::from(delivery.event.vector) * 4;
        if slot + 3 > u64::from(self.sys.idtr.limit) {
            return self.exception(vector::GP, 0);
        }
        let pointer = self.read_system::<u32>(env, self.sys.idtr.base.wrapping_add(slot))?;
        let flags = self.flags.get();
        self.enter_vector(env, delivery, pointer, flags)?;
        self.put_flags(IF | TF | AC | RF, false);
        self.refresh();
        Ok(())
    }

    /// Pushes FLAGS, CS and IP as words and goes to the far pointer of an 8086 interrupt table.
    fn enter_vector(&mut self, env: &mut Env, delivery: &Delivery, pointer: u64, flags: u64) -> Exec {
        let cs = u64::from(self.sys.seg(SegmentRegister::Cs).selector);
        let mut stack = self.present_stack(0);
        self.push_all_on(env, &mut stack, crate::state::derived::Size::Bits16, &[flags, cs, delivery.return_rip])?;
        self.gpr[4] = stack.merged(self.gpr[4]);
        self.load_real_segment(SegmentRegister::Cs, (pointer >> 16) as u16);
        self.set_rip(pointer & 0xFFFF);
        Ok(())
    }

    /// INT n in virtual-8086 mode (SDM Vol. 3B 21.3.3, Table 21-2).
    fn deliver_v86_software(&mut self, env: &mut Env, delivery: &Delivery) -> Exec {
        let iopl = self.flags.iopl();
        if !self.vme_redirects(env, delivery.event.vector)? {
            // IOPL does not matter to an injected one (SDM Vol. 3C 27.6.1.1, "Details of Vectored-Event Injection").
            if iopl == 3 || self.vmx.injecting {
                return self.deliver_protected(env, delivery);
            }
            // The instruction's own fault, not one of event delivery (SDM Vol. 3C 30.2.4 "Information for VM Exits During
            // Event Delivery").
            self.vmx.delivering = None;
            return self.gp(0);
        }
        // The 8086 program's own handler, by the interrupt table at linear address 0.
        let pointer = self.read_linear(
            env,
            u64::from(delivery.event.vector) * 4,
            4,
            crate::mem::walk::Access::data(crate::mem::walk::Kind::Read, true),
        )?;
        let mut image = self.flags.get() | IOPL;
        if iopl < 3 {
            image = image & !IF | if self.flags.has(VIF) { IF } else { 0 };
        }
        self.enter_vector(env, delivery, pointer, image)?;
        self.put_flags(if iopl == 3 { IF | TF } else { VIF | TF }, false);
        self.refresh();
        Ok(())
    }

    /// Loads a segment register as real-address mode does: selector and base change, limit and rights stay.
    /// In virtual-8086 mode the limit and the rights are fixed.
    pub fn load_real_segment(&mut self, register: SegmentRegister, selector: u16) {
        use emu_vmx::arch::segment::{AccessRights, Segment};
        let v86 = self.derived.mode.v86;
        let segment = &mut self.sys.segments[register as usize];
        if v86 {
            *segment = Segment::virtual_8086(selector);
        } else {
            if segment.access_rights.unusable() {
                // A register that protected mode left null has no limit and rights to keep.
                (segment.access_rights, segment.limit) = (AccessRights::RESET_DATA, 0xFFFF);
            }
            segment.selector = selector;
            segment.base = u64::from(selector) << 4;
        }
        self.refresh_segment(register);
    }

    /// INIT (SDM Vol. 3A 10.1, "Initialization Overview", and Table 10-1): registers as after reset, but the local APIC id, the
    /// TSC, floating point and MSRs stay.
    pub(crate) fn take_init(&mut self) {
        let (old, from) = (self.sys.clone(), self.place_of(self.rip()));
        self.sys = SystemState {
            intr: old.intr,
            sipi_pending: old.sipi_pending,
            apic_base: old.apic_base,
            sysenter: old.sysenter,
            syscall: old.syscall,
            kernel_gs_base: old.kernel_gs_base,
            tsc_aux: old.tsc_aux,
            tsc_offset: old.tsc_offset,
            tsc_adjust: old.tsc_adjust,
            pat: old.pat,
            xcr0: old.xcr0,
            xss: old.xss,
            debugctl: old.debugctl,
            lbr_ctl: old.lbr_ctl,
            pkrs: old.pkrs,
            // Which shadow stack there is then is nowhere said; one that was is not used before CR4.CET is 1 again.
            cet: ControlFlow { ssp: 0, ..old.cet },
            random: old.random,
            plain_msrs: old.plain_msrs,
            // CD and NW stay too.
            cr0: (Cr0::RESET - (Cr0::CD | Cr0::NW)) | (old.cr0 & (Cr0::CD | Cr0::NW)),
            ..SystemState::new(old.index, old.apic_id)
        };
        self.reset_registers();
        if self.sys.apic_base & 0x100 == 0 {
            self.sys.activity = Activity::WaitForSipi;
        }
        self.lapic_init();
        self.refresh_recording();
        self.refresh();
        self.record_restart(from);
    }

    /// A start-up IPI: real-address mode at page `vector`.
    pub(crate) fn take_sipi(&mut self) {
        self.sys.sipi_pending = false;
        let from = self.place_of(self.rip());
        let vector = self.lapic.sipi_vector;
        let cs = &mut self.sys.segments[SegmentRegister::Cs as usize];
        cs.selector = u16::from(vector) << 8;
        cs.base = u64::from(vector) << 12;
        self.set_rip(0);
        self.sys.activity = Activity::Active;
        self.refresh();
        self.record_restart(from);
    }
}
