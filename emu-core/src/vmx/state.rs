//! What VMX operation adds to a processor.

use super::non_root::{Delivering, ExitDetails, NonRoot};
use emu_vmx::caps::{ProcessorFacts, VmxCapabilities};
use emu_vmx::exit::ExitReason;
use emu_vmx::field::FieldSet;
use emu_vmx::vmcs::{NO_VMCS, Vmcs};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a CPU model has of VMX.
#[derive(Debug, Clone)]
pub struct VmxModel {
    /// Capability MSRs.
    pub caps: VmxCapabilities,
    /// What rules depend on besides.
    pub facts: ProcessorFacts,
    /// The fields that exist.
    pub fields: FieldSet,
}

/// VM entries and VM exits since power-on, for `--stats`.
#[derive(Debug, Clone, Default)]
pub struct TransitionCounts {
    /// VM entries that succeeded.
    pub entries: u64,
    /// VM exits by basic exit reason; failed VM entries are not among them.
    pub exits: Vec<u64>,
}

impl TransitionCounts {
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
    pub non_root: Option<Box<NonRoot>>,
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
            delivering: None,
            injecting: false,
            exit: None,
            stopped_len: 0,
            saved_cr2: 0,
            iret_unblocked: false,
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
