//! What is noted of events for [`History`](crate::state::history::History).

use super::deliver::Delivery;
use crate::fault::{EventKind, Fault};
use crate::state::cpu::Cpu;
use crate::state::history::{EventRecord, Outcome, Raised};
use emu_vmx::arch::segment::SegmentRegister;
use emu_vmx::arch::vector;

impl Cpu {
    fn raised(&self, event: Fault) -> Raised {
        let page_fault = event.vector == vector::PF && event.kind == EventKind::HardwareException;
        Raised { event, cr2: page_fault.then_some(self.sys.cr2) }
    }

    /// What there is to note of an event before it changes the processor.
    pub(super) fn event_record(&self, delivery: &Delivery) -> EventRecord {
        EventRecord {
            raised: self.raised(delivery.event),
            first: true,
            cs: self.sys.seg(SegmentRegister::Cs).selector,
            rip: delivery.return_rip,
            cpl: self.sys.cpl,
            non_root: self.in_non_root(),
            cycle: self.cycles,
            outcome: Outcome::Handler,
        }
    }

    /// Notes an event whose handler has begun.
    pub(super) fn note_delivered(&mut self, record: EventRecord) {
        self.notes.history.push(record);
    }

    /// Notes an event whose delivery raised the exception that is parked now.
    pub(super) fn note_undelivered(&mut self, record: EventRecord) {
        let outcome = Outcome::Fault(self.raised(self.scratch.fault));
        self.notes.history.push(EventRecord { outcome, ..record });
    }

    /// Notes an event that causes a VM exit; `return_rip` is what its delivery would save.
    pub(crate) fn note_exit_for(&mut self, event: Fault, return_rip: u64) {
        let record = self.event_record(&Delivery { event, return_rip, resume: false });
        self.notes.history.push(EventRecord { outcome: Outcome::VmExit, ..record });
    }
}
