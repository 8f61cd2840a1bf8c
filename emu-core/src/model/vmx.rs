//! What a model has of VMX.

use emu_vmx::caps::{ProcessorFacts, VmxCapabilities};
use emu_vmx::field::FieldSet;
use emu_vmx::region::RegionLayout;

/// What a CPU model has of VMX.
#[derive(Debug, Clone)]
pub struct VmxModel {
    /// Capability MSRs.
    pub caps: VmxCapabilities,
    /// What rules depend on besides.
    pub facts: ProcessorFacts,
    /// The fields that exist.
    pub fields: FieldSet,
    /// Where they lie in a VMCS region.
    pub layout: RegionLayout,
}
