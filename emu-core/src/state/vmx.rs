//! What VMX operation adds to a processor's state.

use super::fault::Fault;
use emu_vmx::apicv::PageWrite;
use emu_vmx::boundary::Pending;
use emu_vmx::controls::{PinBasedControls, PrimaryProcessorControls};
use emu_vmx::exit::{ExitReason, InterruptionInformation, SavedRf};
use emu_vmx::intercept::{ExecutionControls, PauseLoop};
use emu_vmx::vmcs::{NO_VMCS, Vmcs};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// More than a processor ever counts of VM entries and VM exits.
const MOST_COUNTED: u64 = 1 << 55;

/// VM entries and VM exits since power-on, for `--stats`. A snapshot has them beside the state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransitionCounts {
    /// VM entries that succeeded.
    pub entries: u64,
    /// VM exits by basic exit reason; VM entries that fail as VM exits, for reasons 33 and 34, are among them (SDM Vol. 3C
    /// 27.8 "VM-Entry Failures During or After Loading Guest State").
    pub exits: Vec<u64>,
    /// VM entries that failed, by the rule's identifier or the title of the error.
    pub failed_entries: BTreeMap<Cow<'static, str>, u64>,
    /// Other VMX instructions that failed, by error number; 0 is VMfailInvalid.
    pub vm_fails: BTreeMap<u32, u64>,
}

impl TransitionCounts {
    /// Whether a processor can have counted this: sums over all of them are in range.
    pub(crate) fn is_sound(&self) -> bool {
        let Self { entries, exits, failed_entries, vm_fails } = self;
        let counts = std::iter::once(entries).chain(exits).chain(failed_entries.values()).chain(vm_fails.values());
        let known = |number| u16::try_from(number).is_ok_and(|number| ExitReason::from_number(number).is_some());
        exits.iter().enumerate().all(|(number, count)| *count == 0 || known(number))
            && counts.fold(0u64, |sum, count| sum.saturating_add(*count)) <= MOST_COUNTED
    }

    /// Counts a VM exit.
    pub(crate) fn count_exit(&mut self, reason: ExitReason) {
        let place = reason as usize;
        if self.exits.len() <= place {
            self.exits.resize(place + 1, 0);
        }
        if let Some(count) = self.exits.get_mut(place) {
            *count += 1;
        }
    }
}

/// VMX state of one processor.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct VmxState {
    /// The VMXON pointer; [`NO_VMCS`] outside VMX operation.
    pub vmxon: u64,
    /// The current-VMCS pointer; [`NO_VMCS`] without one.
    pub current: u64,
    /// Decoded copies of the active VMCSs, by address. VMCLEAR writes one back and drops it.
    pub active: BTreeMap<u64, Vmcs>,
    /// VMX non-root operation, while a guest runs.
    pub non_root: Option<NonRoot>,
    /// A VMX abort has shut the processor down: RESET alone ends this shutdown (SDM Vol. 3C 28.7 "VMX Aborts").
    pub aborted: bool,
    // What follows is of the present instruction or delivery, and no part of the state between instructions.
    /// The event that is being delivered through the IDT: IDT-vectoring information, if a VM exit comes of it.
    #[serde(skip)]
    pub delivering: Option<Delivering>,
    /// The event was injected by VM entry.
    #[serde(skip)]
    pub injecting: bool,
    /// The VM exit of the last [`crate::fault::Stop::VmExit`].
    #[serde(skip)]
    pub exit: Option<ExitDetails>,
    /// Length of the instruction whose handler has just stopped; 0 when a fetch or the delivery of an event did.
    #[serde(skip)]
    pub stopped_len: u8,
    /// CR2 before the last page fault: a VM exit by #PF does not change it.
    #[serde(skip)]
    pub saved_cr2: u64,
    /// The present instruction is an IRET that has ended blocking by NMI.
    #[serde(skip)]
    pub iret_unblocked: bool,
    /// The VM exit to come leaves a shadow stack prematurely busy.
    #[serde(skip)]
    pub shadow_stack_busy: bool,
    /// What has happened so far; no part of the state.
    #[serde(skip)]
    pub counts: TransitionCounts,
}

impl Default for VmxState {
    fn default() -> Self {
        Self {
            vmxon: NO_VMCS,
            current: NO_VMCS,
            active: BTreeMap::new(),
            non_root: None,
            aborted: false,
            delivering: None,
            injecting: false,
            exit: None,
            stopped_len: 0,
            saved_cr2: 0,
            iret_unblocked: false,
            shadow_stack_busy: false,
            counts: TransitionCounts::default(),
        }
    }
}

impl VmxState {
    /// In VMX operation, root or non-root.
    #[inline]
    pub fn on(&self) -> bool {
        self.vmxon != NO_VMCS
    }

    /// The current VMCS.
    pub fn current(&self) -> Option<&Vmcs> {
        self.active.get(&self.current)
    }

    /// The current VMCS, to be changed.
    pub fn current_mut(&mut self) -> Option<&mut Vmcs> {
        self.active.get_mut(&self.current)
    }
}

/// State of a processor in VMX non-root operation.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct NonRoot {
    /// Execution controls of the current VMCS, decoded at VM entry.
    pub controls: ExecutionControls,
    /// Times of the last PAUSEs.
    pub pause_loop: PauseLoop,
    /// Trap-like VM exits that the next instruction boundary takes.
    pub pending: Pending,
    /// Exit qualification of the APIC-write or virtualized-EOI exit among them.
    pub pending_qualification: u64,
    /// Virtual NMIs are blocked (with "virtual NMIs").
    pub virtual_nmi_blocked: bool,
    /// Cycle at which the VMX-preemption timer reaches 0; `u64::MAX` without one.
    pub timer_deadline: u64,
    /// A write that has reached the virtual-APIC page and waits for its emulation, which the end of its instruction
    /// brings.
    pub apic_write: Option<PageWrite>,
    /// A virtual interrupt is recognized.
    pub virtual_interrupt: bool,
}

impl NonRoot {
    /// "Monitor trap flag" is set.
    pub fn mtf(&self) -> bool {
        self.controls.primary.contains(PrimaryProcessorControls::MONITOR_TRAP_FLAG)
    }

    /// Whether every instruction boundary must look.
    pub fn needs_boundary(&self) -> bool {
        use PrimaryProcessorControls as P1;
        !self.pending.is_empty()
            || self.apic_write.is_some()
            || self.virtual_interrupt
            || self.controls.primary.intersects(P1::INTERRUPT_WINDOW_EXITING | P1::NMI_WINDOW_EXITING)
    }

    /// NMI blocking is that of virtual NMIs.
    pub fn virtual_nmis(&self) -> bool {
        self.controls.pin.contains(PinBasedControls::VIRTUAL_NMIS)
    }
}

/// An event on its way through the IDT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivering {
    /// The event.
    pub event: Fault,
    /// RIP that it returns to: for software events, that of the next instruction.
    pub return_rip: u64,
    /// RF of the flags that its delivery saves.
    pub resume: bool,
}

/// What the VM-exit instruction-length field gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Length {
    /// Nothing.
    #[default]
    None,
    /// This many bytes.
    Bytes(u8),
    /// From RIP to here.
    Until(u64),
}

/// What a VM exit reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitDetails {
    /// Basic exit reason.
    pub reason: ExitReason,
    /// Exit qualification.
    pub qualification: u64,
    /// Guest-linear address.
    pub linear: Option<u64>,
    /// Guest-physical address.
    pub physical: Option<u64>,
    /// Instruction information.
    pub information: Option<u32>,
    /// Instruction length.
    pub length: Length,
    /// VM-exit interruption information and error code.
    pub event: Option<(InterruptionInformation, Option<u32>)>,
    /// RF of the flags that the delivery of the event that exits would have saved.
    pub resume: bool,
}

impl ExitDetails {
    /// An exit with nothing but its reason.
    pub fn new(reason: ExitReason) -> Self {
        Self {
            reason,
            qualification: 0,
            linear: None,
            physical: None,
            information: None,
            length: Length::None,
            event: None,
            resume: false,
        }
    }

    /// The exit comes of an access to memory, which any instruction may make.
    pub(crate) fn by_access(&self) -> bool {
        self.reason.saved_rf() == SavedRf::Access
    }

    /// With an exit qualification.
    pub fn qualified(self, qualification: u64) -> Self {
        Self { qualification, ..self }
    }
}
