//! What VMX operation adds to a processor.

use emu_vmx::caps::{ProcessorFacts, VmxCapabilities};
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

/// VMX state of one processor.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct VmxState {
    /// The VMXON pointer; [`NO_VMCS`] outside VMX operation.
    pub vmxon: u64,
    /// The current-VMCS pointer; [`NO_VMCS`] without one.
    pub current: u64,
    /// Decoded copies of the active VMCSs, by address. VMCLEAR writes one back and drops it.
    pub active: BTreeMap<u64, Vmcs>,
}

impl Default for VmxState {
    fn default() -> Self {
        Self { vmxon: NO_VMCS, current: NO_VMCS, active: BTreeMap::new() }
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
