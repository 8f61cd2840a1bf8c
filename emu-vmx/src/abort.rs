//! VMX aborts: VM exits that cannot be completed.

use core::fmt;
use serde::{Deserialize, Serialize};

/// VMX-abort indicators (SDM Vol. 3C 28.7 "VMX Aborts").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u32)]
pub enum VmxAbort {
    /// Saving guest MSRs failed.
    SavingMsrs = 1,
    /// The host's PDPTEs are bad.
    HostPdptes = 2,
    /// The current VMCS is corrupted.
    CorruptedVmcs = 3,
    /// Loading host MSRs failed.
    LoadingMsrs = 4,
    /// A machine check during the VM exit.
    MachineCheck = 5,
    /// The VM exit from IA-32e mode goes to a 32-bit host.
    LongModeTo32BitHost = 6,
}

impl VmxAbort {
    /// Why it is, in words.
    pub fn words(self) -> &'static str {
        match self {
            VmxAbort::SavingMsrs => "guest MSRs could not be saved",
            VmxAbort::HostPdptes => "the host's PDPTEs are bad",
            VmxAbort::CorruptedVmcs => "the current VMCS is corrupted",
            VmxAbort::LoadingMsrs => "host MSRs could not be loaded",
            VmxAbort::MachineCheck => "machine check during the VM exit",
            VmxAbort::LongModeTo32BitHost => "VM exit from IA-32e mode to a 32-bit host",
        }
    }
}

/// "VMX abort 4 (host MSRs could not be loaded)".
impl fmt::Display for VmxAbort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VMX abort {} ({})", *self as u32, self.words())
    }
}
