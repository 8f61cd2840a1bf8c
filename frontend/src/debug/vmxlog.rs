//! What has happened between root and non-root operation: VM entries and VM exits as they came.
//!
//! Going back in time forgets nothing: what lies after the present moment is not shown, and when the run comes there again
//! it is the same. Only a change from outside begins another future ([`VmxLog::forget_after`]).

use super::msr_list::{self, Listed};
use emu_core::observe::{EntryOutcome, Observer, View, VmEntry, VmExit, Watch};
use emu_vmx::arch::efer::Efer;
use emu_vmx::entry::MsrList;
use emu_vmx::exit::qualification::EptViolation;
use emu_vmx::exit::{ExitReason, InterruptionInformation};
use emu_vmx::field::Field;
use emu_vmx::vmcs::Vmcs;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// VM exits that are remembered.
pub const REMEMBERED: usize = 200_000;
/// VM entries, VM exits and failed VM entries that are remembered with their VMCSs, of each processor.
pub const DETAILED: usize = 500;
/// Entries of an MSR list that are remembered.
const LISTED: usize = 512;

/// A VM entry that a processor made.
#[derive(Debug, Clone)]
pub struct Entered {
    /// The VMCS's address.
    pub address: u64,
    /// Its contents then.
    pub vmcs: Vmcs,
    /// When, in the processor's cycles.
    pub cycle: u64,
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
    /// VM-exit interruption error code.
    pub error: u32,
    /// VM-exit instruction information.
    pub instruction: u32,
    /// The guest-physical address of an access that EPT stopped, the number of an MSR.
    pub operand: Option<u64>,
    /// The linear address of an access that EPT stopped.
    pub linear: Option<u64>,
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
            parts.push(self.exception());
            parts.push(words::exception_qualification(event.vector(), self.qualification));
        } else if self.reason == ExitReason::ExternalInterrupt && event.valid() {
            parts.push(words::interruption(self.event));
        } else {
            // One reason for four instructions.
            if matches!(self.reason, ExitReason::GdtrIdtrAccess | ExitReason::LdtrTrAccess) {
                parts.push(words::instruction_information(self.reason, self.instruction, self.qualification));
            }
            parts.push(words::qualification(self.reason, self.qualification));
        }
        match self.reason {
            ExitReason::Rdmsr | ExitReason::Wrmsr => {
                parts.extend(self.operand.map(|number| super::breakpoints::msr_words(number as u32)));
            }
            _ => parts.extend(self.operand.map(|address| format!("guest-physical {address:#x}"))),
        }
        parts.extend(self.linear.map(|address| format!("linear {address:#x}")));
        parts.retain(|part| !part.is_empty());
        parts.join(", ")
    }

    /// The event of an exception, with its error code: `hardware exception #GP, error code 0x18 (selector in the GDT 0x18)`.
    fn exception(&self) -> String {
        let text = emu_vmx::words::interruption(self.event);
        if !InterruptionInformation(self.event).error_code() {
            return text;
        }
        let meaning = emu_vmx::words::error_code(self.event, self.error);
        let meaning = if meaning.is_empty() { meaning } else { format!(" ({meaning})") };
        text.replacen("error code", &format!("error code {:#x}{meaning}", self.error), 1)
    }
}

/// What is known of the access that a VM exit is about: [`ExitRecord::operand`] and [`ExitRecord::linear`].
fn operands(view: View, vmcs: &Vmcs, reason: ExitReason, qualification: u64) -> (Option<u64>, Option<u64>) {
    match reason {
        // ECX is still the guest's.
        ExitReason::Rdmsr | ExitReason::Wrmsr => (Some(view.cpu.gpr[1] & 0xFFFF_FFFF), None),
        ExitReason::EptViolation => {
            let valid = EptViolation::from_bits_retain(qualification).contains(EptViolation::LINEAR_VALID);
            (Some(vmcs.get(Field::GuestPhysicalAddress)), valid.then(|| vmcs.get(Field::GuestLinearAddress)))
        }
        ExitReason::SppEvent => {
            (Some(vmcs.get(Field::GuestPhysicalAddress)), Some(vmcs.get(Field::GuestLinearAddress)))
        }
        ExitReason::EptMisconfiguration => (Some(vmcs.get(Field::GuestPhysicalAddress)), None),
        _ => (None, None),
    }
}

/// A VM exit, with the VMCS before and behind it.
#[derive(Debug, Clone)]
pub struct Exited {
    /// The VM entry before it; `None` if it is that VM entry that failed.
    pub entered: Option<Arc<Entered>>,
    /// The VMCS afterwards.
    pub vmcs: Vmcs,
    /// When.
    pub cycle: u64,
    /// CR0 of the VMM.
    pub cr0: u64,
    /// IA32_EFER of the VMM.
    pub efer: Efer,
    /// The PDPTE registers of the VMM.
    pub pdptes: [u64; 4],
    /// The VM-exit MSR-store area, as it was written.
    pub stored: Vec<Listed>,
    /// The VM-exit MSR-load area.
    pub loaded: Vec<Listed>,
}

impl Exited {
    fn of(view: View, vmcs: &Vmcs, entered: Option<Arc<Entered>>) -> Self {
        let area = |address, count| {
            let list = MsrList { address: vmcs.get(address), count: vmcs.get32(count) };
            msr_list::read(view.ram, list).take(LISTED).collect()
        };
        Self {
            stored: match entered {
                Some(_) => area(Field::VmExitMsrStoreAddress, Field::VmExitMsrStoreCount),
                None => Vec::new(),
            },
            loaded: area(Field::VmExitMsrLoadAddress, Field::VmExitMsrLoadCount),
            entered,
            vmcs: vmcs.clone(),
            cycle: view.cpu.cycles,
            cr0: view.cpu.sys.cr0.bits(),
            efer: view.cpu.sys.efer,
            pdptes: view.cpu.sys.pdptes,
        }
    }
}

/// What is remembered of a processor, oldest first.
#[derive(Debug, Default)]
struct Lane {
    entered: VecDeque<Arc<Entered>>,
    exited: VecDeque<Exited>,
    /// The last VM exit before `exits clear`.
    cleared: Option<u64>,
    /// Up to which cycle VM exits are known, and failed VM entries: a run that has gone back tells them again.
    exits_to: Option<u64>,
    failures_to: Option<u64>,
    /// When it made a VM entry, and how many those that are no longer remembered were.
    entries: VecDeque<u64>,
    forgotten_entries: u64,
}

/// Keeps something at its place in time. When there are too many, the farthest goes: the end comes again by itself.
fn keep<T>(list: &mut VecDeque<T>, item: T, cycle: impl Fn(&T) -> u64) {
    let own = cycle(&item);
    let at = list.partition_point(|other| cycle(other) < own);
    if list.get(at).is_some_and(|other| cycle(other) == own) {
        return;
    }
    list.insert(at, item);
    if list.len() > DETAILED {
        let last = at + 1 == list.len();
        drop(if last { list.pop_front() } else { list.pop_back() });
    }
}

/// Whether something at this cycle was told before; if not, it is known from now on.
fn known(to: &mut Option<u64>, cycle: u64) -> bool {
    if to.is_some_and(|to| cycle <= to) {
        return true;
    }
    *to = Some(cycle);
    false
}

/// The present moment: the cycles of the processors.
pub type Moment = [u64];

fn now(moment: &Moment, processor: u32) -> u64 {
    moment.get(processor as usize).copied().unwrap_or(0)
}

/// Everything that is remembered.
#[derive(Debug, Default)]
pub struct VmxLog {
    /// VM exits, oldest first.
    exits: VecDeque<ExitRecord>,
    /// Those that are no longer remembered.
    forgotten: u64,
    /// VM entries that failed, oldest first.
    failures: VecDeque<Failed>,
    /// Those that are no longer remembered.
    forgotten_failures: u64,
    lanes: BTreeMap<u32, Lane>,
}

impl VmxLog {
    /// A VM entry was tried.
    pub fn entry(&mut self, view: View, entry: &VmEntry) {
        let cpu = view.cpu;
        let (processor, cycle) = (cpu.sys.index, cpu.cycles);
        let vmcs = cpu.vmx.active.get(&entry.vmcs);
        let lane = self.lanes.entry(processor).or_default();
        if let (EntryOutcome::Entered(_), Some(vmcs)) = (&entry.outcome, vmcs) {
            if lane.entries.back().is_none_or(|last| *last < cycle) {
                lane.entries.push_back(cycle);
            }
            if lane.entries.len() > REMEMBERED {
                lane.entries.pop_front();
                lane.forgotten_entries += 1;
            }
            let entered = Entered { address: entry.vmcs, vmcs: vmcs.clone(), cycle };
            keep(&mut lane.entered, Arc::new(entered), |entered| entered.cycle);
            return;
        }
        if let (Some(vmcs), Some(reason)) = (vmcs, exit_reason(&entry.outcome)) {
            keep(&mut lane.exited, Exited::of(view, vmcs, None), |exited| exited.cycle);
            if !known(&mut lane.exits_to, cycle) {
                let vmm = self.came(processor).map(|came| cycle.saturating_sub(came));
                self.push(ExitRecord {
                    processor,
                    cycle,
                    vmcs: entry.vmcs,
                    reason,
                    qualification: vmcs.get(Field::ExitQualification),
                    event: 0,
                    error: 0,
                    instruction: 0,
                    operand: None,
                    linear: None,
                    rip: vmcs.get(Field::GuestRip),
                    guest: 0,
                    vmm,
                });
            }
        }
        let lane = self.lanes.entry(processor).or_default();
        if !known(&mut lane.failures_to, cycle) {
            if self.failures.len() >= DETAILED {
                self.failures.pop_front();
                self.forgotten_failures += 1;
            }
            let ia32e_mode = cpu.sys.efer.contains(Efer::LMA);
            let vmcs = vmcs.cloned();
            self.failures.push_back(Failed { processor, entry: entry.clone(), vmcs, cycle, ia32e_mode });
        }
    }

    /// A VM exit happened.
    pub fn exit(&mut self, view: View, exit: &VmExit) {
        let cpu = view.cpu;
        let (processor, cycle) = (cpu.sys.index, cpu.cycles);
        let vmcs = cpu.vmx.active.get(&exit.vmcs);
        let lane = self.lanes.entry(processor).or_default();
        let entered = lane.entered.iter().rev().find(|entered| entered.cycle <= cycle).cloned();
        if let (Some(vmcs), Some(entered)) = (vmcs, &entered) {
            keep(&mut lane.exited, Exited::of(view, vmcs, Some(entered.clone())), |exited| exited.cycle);
        }
        if known(&mut lane.exits_to, cycle) {
            return;
        }
        let came = self.came(processor);
        let began = entered.map(|entered| entered.cycle).filter(|began| came.is_none_or(|came| *began >= came));
        let (operand, linear) = vmcs.map_or((None, None), |vmcs| operands(view, vmcs, exit.reason, exit.qualification));
        self.push(ExitRecord {
            processor,
            cycle,
            vmcs: exit.vmcs,
            reason: exit.reason,
            qualification: exit.qualification,
            event: vmcs.map_or(0, |vmcs| vmcs.get32(Field::VmExitInterruptionInformation)),
            error: vmcs.map_or(0, |vmcs| vmcs.get32(Field::VmExitInterruptionErrorCode)),
            instruction: vmcs.map_or(0, |vmcs| vmcs.get32(Field::VmExitInstructionInformation)),
            operand,
            linear,
            rip: exit.guest_rip,
            guest: began.map_or(0, |began| cycle.saturating_sub(began)),
            vmm: began.zip(came).map(|(began, came)| began.saturating_sub(came)),
        });
    }

    /// When a processor came to its VMM last.
    fn came(&self, processor: u32) -> Option<u64> {
        let last = self.exits.iter().rev().find(|record| record.processor == processor).map(|record| record.cycle);
        last.or_else(|| self.lanes.get(&processor)?.cleared)
    }

    fn push(&mut self, record: ExitRecord) {
        if self.exits.len() >= REMEMBERED {
            self.exits.pop_front();
            self.forgotten += 1;
        }
        self.exits.push_back(record);
    }

    /// The number of the next VM exit.
    pub fn next_exit(&self) -> u64 {
        self.forgotten + self.exits.len() as u64
    }

    /// VM exits that were too many to be remembered.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// A VM exit by its number, before or after the present moment.
    pub fn exit_number(&self, number: u64) -> Option<&ExitRecord> {
        self.exits.get(usize::try_from(number.checked_sub(self.forgotten)?).ok()?)
    }

    /// The VM exits up to a moment, with their numbers, oldest first.
    pub fn exits(&self, moment: &Moment) -> impl Iterator<Item = (u64, &ExitRecord)> {
        let numbered = (self.forgotten..).zip(&self.exits);
        numbered.filter(move |(_, record)| record.cycle <= now(moment, record.processor))
    }

    /// All of them, with their numbers.
    pub fn all_exits(&self) -> Vec<(u64, &ExitRecord)> {
        (self.forgotten..).zip(&self.exits).collect()
    }

    /// How many VM exits are known of what comes after a moment.
    pub fn later(&self, moment: &Moment) -> usize {
        self.exits.iter().filter(|record| record.cycle > now(moment, record.processor)).count()
    }

    /// A processor's last VM entry before a moment.
    pub fn entered(&self, processor: u32, moment: &Moment) -> Option<&Entered> {
        let list = &self.lanes.get(&processor)?.entered;
        list.iter().rev().find(|entered| entered.cycle <= now(moment, processor)).map(|entered| &**entered)
    }

    /// A processor's last VM exit before a moment, if its details are remembered.
    pub fn exited(&self, processor: u32, moment: &Moment) -> Option<&Exited> {
        let last = self.exits(moment).filter(|(_, record)| record.processor == processor).last();
        let list = &self.lanes.get(&processor)?.exited;
        let found = list.iter().rev().find(|exited| exited.cycle <= now(moment, processor))?;
        // That of an earlier one would be a wrong answer.
        last.is_none_or(|(_, record)| record.cycle == found.cycle).then_some(found)
    }

    /// A processor's VM entries, VM exits and failed VM entries up to a moment. What fails as a VM exit is in both (SDM
    /// Vol. 3C 27.8 "VM-Entry Failures During or After Loading Guest State").
    pub fn counts(&self, processor: u32, moment: &Moment) -> [u64; 3] {
        let now = now(moment, processor);
        let entries = self
            .lanes
            .get(&processor)
            .map_or(0, |lane| lane.forgotten_entries + lane.entries.partition_point(|entry| *entry <= now) as u64);
        let own = self.exits(moment).filter(|(_, record)| record.processor == processor);
        let exits = own.count();
        let failed = self.failures(moment).filter(|(_, failed)| failed.processor == processor).count();
        [entries, exits as u64, failed as u64]
    }

    /// The VM entries that failed up to a moment, with their numbers, oldest first.
    pub fn failures(&self, moment: &Moment) -> impl DoubleEndedIterator<Item = (u64, &Failed)> {
        let first = self.forgotten_failures;
        let numbered = self.failures.iter().enumerate().map(move |(n, failed)| (first + n as u64, failed));
        numbered.filter(move |(_, failed)| failed.cycle <= now(moment, failed.processor))
    }

    /// `exits clear`.
    pub fn clear_exits(&mut self) {
        let processors: Vec<u32> = self.lanes.keys().copied().collect();
        for processor in processors {
            let came = self.came(processor);
            self.lanes.entry(processor).or_default().cleared = came;
        }
        self.exits.clear();
        self.forgotten = 0;
    }

    /// Another future begins: what lies after a moment will not come.
    pub fn forget_after(&mut self, moment: &Moment) {
        self.exits.retain(|record| record.cycle <= now(moment, record.processor));
        self.failures.retain(|failed| failed.cycle <= now(moment, failed.processor));
        for (&processor, lane) in &mut self.lanes {
            let now = now(moment, processor);
            lane.entered.retain(|entered| entered.cycle <= now);
            lane.exited.retain(|exited| exited.cycle <= now);
            lane.entries.retain(|entry| *entry <= now);
            lane.cleared = lane.cleared.filter(|came| *came <= now);
            for to in [&mut lane.exits_to, &mut lane.failures_to] {
                *to = to.map(|to| to.min(now));
            }
        }
    }
}

/// It watches a run, and stops and changes nothing.
impl Observer for VmxLog {
    fn watches(&self) -> Watch {
        Watch::VM_ENTRIES | Watch::VM_EXITS
    }

    fn vm_entry(&mut self, view: View, entry: &VmEntry) {
        self.entry(view, entry);
    }

    fn vm_exit(&mut self, view: View, exit: &VmExit) {
        self.exit(view, exit);
    }
}

/// The reason of the VM exit that a failed VM entry is, unless it is VMfail.
fn exit_reason(outcome: &EntryOutcome) -> Option<ExitReason> {
    use emu_vmx::checks::{Stage, all_rules};
    let guest = |id: &str| all_rules().any(|rule| rule.id == id && rule.stage == Stage::GuestState);
    match outcome {
        EntryOutcome::MsrLoading(_) => Some(ExitReason::EntryFailureMsrLoading),
        EntryOutcome::Failed(id) if guest(id) => Some(ExitReason::EntryFailureGuestState),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_stays_in_its_order_and_the_farthest_goes() {
        let mut list = VecDeque::new();
        (0..DETAILED as u64 + 10).for_each(|cycle| keep(&mut list, cycle, |cycle| *cycle));
        assert_eq!((list.len(), list.front(), list.back()), (DETAILED, Some(&10), Some(&(DETAILED as u64 + 9))));
        // The run has gone back, and tells old ones again.
        keep(&mut list, 3, |cycle| *cycle);
        keep(&mut list, 3, |cycle| *cycle);
        assert_eq!((list.len(), list.front(), list.back()), (DETAILED, Some(&3), Some(&(DETAILED as u64 + 8))));
    }

    #[test]
    fn what_was_told_before_is_known() {
        let mut to = None;
        assert!(!known(&mut to, 0) && known(&mut to, 0) && !known(&mut to, 5));
        assert!(known(&mut to, 3) && known(&mut to, 5) && !known(&mut to, 6));
    }
}
