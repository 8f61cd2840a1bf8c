//! What has happened between root and non-root operation: VM entries and VM exits as they came.

use emu_core::observe::{EntryOutcome, View, VmEntry, VmExit};
use emu_vmx::arch::efer::Efer;
use emu_vmx::exit::{ExitReason, InterruptionInformation};
use emu_vmx::field::Field;
use emu_vmx::vmcs::Vmcs;
use std::collections::{BTreeMap, VecDeque};

/// VM exits that are remembered.
const REMEMBERED: usize = 200_000;

/// A VM entry that a processor made.
#[derive(Debug, Clone)]
pub struct Entered {
    /// The VMCS's address.
    pub address: u64,
    /// Its contents then.
    pub vmcs: Vmcs,
    /// When, in the processor's cycles.
    pub cycle: u64,
    /// CR0 of the VMM.
    pub host_cr0: u64,
}

/// A VM entry that failed.
#[derive(Debug, Clone)]
pub struct Failed {
    /// The processor.
    pub processor: u32,
    /// What was told of it.
    pub entry: VmEntry,
    /// The VMCS, if there was one.
    pub vmcs: Option<Vmcs>,
    /// When, in the processor's cycles.
    pub cycle: u64,
    /// The VMM was in IA-32e mode.
    pub ia32e_mode: bool,
}

/// A VM exit, or a VM entry that failed as one.
#[derive(Debug, Clone)]
pub struct ExitRecord {
    /// The processor.
    pub processor: u32,
    /// When, in the processor's cycles.
    pub cycle: u64,
    /// The VMCS's address.
    pub vmcs: u64,
    /// Basic exit reason.
    pub reason: ExitReason,
    /// Exit qualification.
    pub qualification: u64,
    /// VM-exit interruption information; 0 if not valid.
    pub event: u32,
    /// The guest's RIP.
    pub rip: u64,
    /// How long the guest ran, in cycles.
    pub guest: u64,
    /// How long the VMM ran since the VM exit before; `None` for the first.
    pub vmm: Option<u64>,
}

impl ExitRecord {
    /// The qualification in words, with the event of an exception.
    pub fn words(&self) -> String {
        use emu_vmx::words;
        let event = InterruptionInformation(self.event);
        let mut parts = Vec::new();
        if self.reason == ExitReason::ExceptionOrNmi && event.valid() {
            parts.push(words::interruption(self.event));
            parts.push(words::exception_qualification(event.vector(), self.qualification));
        } else if self.reason == ExitReason::ExternalInterrupt && event.valid() {
            parts.push(words::interruption(self.event));
        } else {
            parts.push(words::qualification(self.reason, self.qualification));
        }
        parts.retain(|part| !part.is_empty());
        parts.join(", ")
    }
}

/// The last VM exit of a processor, with the VMCS before and behind it.
#[derive(Debug, Clone)]
pub struct Exited {
    /// The VM entry before it.
    pub entered: Entered,
    /// The VMCS afterwards.
    pub vmcs: Vmcs,
    /// When.
    pub cycle: u64,
}

/// Everything that is remembered.
#[derive(Debug, Default)]
pub struct VmxLog {
    /// VM exits, oldest first.
    pub exits: VecDeque<ExitRecord>,
    /// Those that are no longer remembered.
    pub forgotten: u64,
    /// Each processor's last VM entry.
    pub entered: BTreeMap<u32, Entered>,
    /// Each processor's last VM exit.
    pub exited: BTreeMap<u32, Exited>,
    /// The last VM entry that failed.
    pub failed: Option<Failed>,
    /// When each processor came to its VMM last.
    came: BTreeMap<u32, u64>,
    /// When each processor's guest began to run last, and how long its VMM had run.
    began: BTreeMap<u32, (u64, Option<u64>)>,
}

impl VmxLog {
    /// A VM entry was tried.
    pub fn entry(&mut self, view: View, entry: &VmEntry) {
        let cpu = view.cpu;
        let (processor, cycle) = (cpu.sys.index, cpu.cycles);
        let vmcs = cpu.vmx.active.get(&entry.vmcs).cloned();
        if let (EntryOutcome::Entered(plan), Some(vmcs)) = (&entry.outcome, &vmcs) {
            let vmm = self.came.get(&processor).map(|came| cycle.saturating_sub(*came));
            self.began.insert(processor, (cycle, vmm));
            let entered = Entered { address: entry.vmcs, vmcs: vmcs.clone(), cycle, host_cr0: plan.cr0 };
            self.entered.insert(processor, entered);
            return;
        }
        if let Some(vmcs) = &vmcs {
            let as_exit = match &entry.outcome {
                EntryOutcome::MsrLoading(_) => Some(ExitReason::EntryFailureMsrLoading),
                EntryOutcome::Failed(id) if is_guest_rule(id) => Some(ExitReason::EntryFailureGuestState),
                _ => None,
            };
            if let Some(reason) = as_exit {
                let vmm = self.came.insert(processor, cycle).map(|came| cycle.saturating_sub(came));
                self.push(ExitRecord {
                    processor,
                    cycle,
                    vmcs: entry.vmcs,
                    reason,
                    qualification: vmcs.get(Field::ExitQualification),
                    event: 0,
                    rip: vmcs.get(Field::GuestRip),
                    guest: 0,
                    vmm,
                });
            }
        }
        let ia32e_mode = cpu.sys.efer.contains(Efer::LMA);
        self.failed = Some(Failed { processor, entry: entry.clone(), vmcs, cycle, ia32e_mode });
    }

    /// A VM exit happened.
    pub fn exit(&mut self, view: View, exit: &VmExit) {
        let cpu = view.cpu;
        let (processor, cycle) = (cpu.sys.index, cpu.cycles);
        let vmcs = cpu.vmx.active.get(&exit.vmcs);
        let event = vmcs.map_or(0, |vmcs| vmcs.get32(Field::VmExitInterruptionInformation));
        let (began, vmm) = self.began.remove(&processor).unwrap_or((cycle, None));
        self.push(ExitRecord {
            processor,
            cycle,
            vmcs: exit.vmcs,
            reason: exit.reason,
            qualification: exit.qualification,
            event,
            rip: exit.guest_rip,
            guest: cycle.saturating_sub(began),
            vmm,
        });
        self.came.insert(processor, cycle);
        if let (Some(vmcs), Some(entered)) = (vmcs, self.entered.get(&processor)) {
            self.exited.insert(processor, Exited { entered: entered.clone(), vmcs: vmcs.clone(), cycle });
        }
    }

    fn push(&mut self, record: ExitRecord) {
        if self.exits.len() >= REMEMBERED {
            self.exits.pop_front();
            self.forgotten += 1;
        }
        self.exits.push_back(record);
    }

    /// Forgets what a processor has not done yet: the machine went back in time. `cycle` is its clock.
    pub fn forget_after(&mut self, cycles: &[u64]) {
        let now = |processor: u32| cycles.get(processor as usize).copied().unwrap_or(0);
        self.exits.retain(|record| record.cycle <= now(record.processor));
        self.entered.retain(|processor, entered| entered.cycle <= now(*processor));
        self.exited.retain(|processor, exited| exited.cycle <= now(*processor));
        self.came.retain(|processor, came| *came <= now(*processor));
        self.began.retain(|processor, began| began.0 <= now(*processor));
        self.failed.take_if(|failed| failed.cycle > now(failed.processor));
    }
}

/// Whether a rule's failure is a VM exit rather than VMfail.
fn is_guest_rule(id: &str) -> bool {
    use emu_vmx::checks::{Stage, all_rules};
    all_rules().any(|rule| rule.id == id && rule.stage == Stage::GuestState)
}
