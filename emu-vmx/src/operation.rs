//! Entering VMX operation and choosing VMCSs: what VMXON, VMCLEAR, VMPTRLD and the others check, and how VMX instructions
//! report (SDM Vol. 3C 24.7 "Enabling and Entering VMX Operation", 24.8 "Restrictions on VMX Operation", 31.2
//! "Conventions", 31.3 "VMX Instructions").

use crate::arch::addr::{beyond_physical, page_aligned};
use crate::arch::msr::FeatureControl;
use crate::arch::{Cr0, Cr4, Efer, Rflags};
use crate::caps::{ProcessorFacts, VmxCapabilities};
use crate::vmcs::{NO_VMCS, SHADOW_INDICATOR, VmInstructionError};

/// How a VMX instruction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VmFail {
    /// VMfailInvalid: CF is set.
    Invalid,
    /// VMfail: VMfailValid with this error when there is a current VMCS, else VMfailInvalid ([`VmFail::resolve`]).
    Error(VmInstructionError),
}

impl VmFail {
    /// The error number to store in the VM-instruction error field of the current VMCS; `None`: VMfailInvalid.
    pub const fn resolve(self, current_vmcs: u64) -> Option<VmInstructionError> {
        match self {
            VmFail::Error(error) if current_vmcs != NO_VMCS => Some(error),
            _ => None,
        }
    }
}

/// The arithmetic flags after a VMX instruction: VMsucceed clears all six, VMfailInvalid sets CF, VMfailValid sets ZF.
pub fn flags(before: Rflags, result: Result<(), Option<VmInstructionError>>) -> Rflags {
    let cleared = before - Rflags::STATUS;
    match result {
        Ok(()) => cleared,
        Err(None) => cleared | Rflags::CF,
        Err(Some(_)) => cleared | Rflags::ZF,
    }
}

/// Fault of a VMX instruction, before anything else happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// #UD.
    InvalidOpcode,
    /// #GP(0).
    GeneralProtection,
}

/// State of the processor that VMX instructions look at.
#[derive(Debug, Clone, Copy)]
pub struct ProcessorState {
    /// CR0.
    pub cr0: Cr0,
    /// CR4.
    pub cr4: Cr4,
    /// IA32_EFER.
    pub efer: Efer,
    /// RFLAGS.
    pub rflags: Rflags,
    /// CS.L.
    pub cs_l: bool,
    /// Current privilege level.
    pub cpl: u8,
    /// In SMX operation.
    pub smx: bool,
    /// A20M is asserted (addresses wrap at 1 MiB).
    pub a20m: bool,
}

impl ProcessorState {
    /// #UD of every VMX instruction but VMCALL, VMFUNC: real-address mode, virtual-8086 mode, compatibility mode.
    /// Instructions other than VMXON raise #UD also outside VMX operation, which the caller knows.
    pub fn mode_fault(&self) -> Result<(), Fault> {
        let compatibility = self.efer.contains(Efer::LMA) && !self.cs_l;
        if !self.cr0.contains(Cr0::PE) || self.rflags.contains(Rflags::VM) || compatibility {
            return Err(Fault::InvalidOpcode);
        }
        Ok(())
    }

    /// Faults of VMXON outside VMX operation; `feature_control` is IA32_FEATURE_CONTROL.
    pub fn vmxon_fault(&self, caps: &VmxCapabilities, feature_control: FeatureControl) -> Result<(), Fault> {
        self.mode_fault()?;
        if !self.cr4.contains(Cr4::VMXE) {
            return Err(Fault::InvalidOpcode);
        }
        let enable = if self.smx { FeatureControl::VMX_IN_SMX } else { FeatureControl::VMX_OUTSIDE_SMX };
        let refused = self.cpl != 0
            || !caps.cr0_allowed(self.cr0.bits())
            || !caps.cr4_allowed(self.cr4.bits())
            || self.a20m
            || !feature_control.contains(FeatureControl::LOCK | enable);
        if refused { Err(Fault::GeneralProtection) } else { Ok(()) }
    }

    /// Faults of the other VMX instructions in VMX root operation.
    pub fn root_fault(&self) -> Result<(), Fault> {
        self.mode_fault()?;
        if self.cpl != 0 { Err(Fault::GeneralProtection) } else { Ok(()) }
    }
}

fn address_ok(address: u64, caps: &VmxCapabilities, cpu: &ProcessorFacts) -> bool {
    page_aligned(address) && !cpu.vmx_address_too_wide(address, caps.basic) && !beyond_physical(address, cpu.maxphyaddr)
}

/// VMXON with the VMXON pointer `pointer`; `read_u32` reads the first dword of its region.
pub fn vmxon(
    pointer: u64,
    caps: &VmxCapabilities,
    cpu: &ProcessorFacts,
    read_u32: impl FnOnce(u64) -> u32,
) -> Result<(), VmFail> {
    // The revision identifier has 31 bits; bit 31 of the dword must be 0.
    if address_ok(pointer, caps, cpu) && read_u32(pointer) == caps.basic.revision_id() {
        Ok(())
    } else {
        Err(VmFail::Invalid)
    }
}

/// VMCLEAR of `pointer`.
pub fn vmclear(pointer: u64, vmxon: u64, caps: &VmxCapabilities, cpu: &ProcessorFacts) -> Result<(), VmFail> {
    if !address_ok(pointer, caps, cpu) {
        return Err(VmFail::Error(VmInstructionError::VmclearInvalidAddress));
    }
    if pointer == vmxon {
        return Err(VmFail::Error(VmInstructionError::VmclearVmxonPointer));
    }
    Ok(())
}

/// VMPTRLD of `pointer`; `read_u32` reads the first dword of its region. Bit 31 there (shadow VMCS) is accepted only
/// where “VMCS shadowing” may be 1.
pub fn vmptrld(
    pointer: u64,
    vmxon: u64,
    caps: &VmxCapabilities,
    cpu: &ProcessorFacts,
    read_u32: impl FnOnce(u64) -> u32,
) -> Result<(), VmFail> {
    if !address_ok(pointer, caps, cpu) {
        return Err(VmFail::Error(VmInstructionError::VmptrldInvalidAddress));
    }
    if pointer == vmxon {
        return Err(VmFail::Error(VmInstructionError::VmptrldVmxonPointer));
    }
    let first = read_u32(pointer);
    let shadowing = caps.secondary_allowed_1().contains(crate::controls::SecondaryProcessorControls::VMCS_SHADOWING);
    let revision = first & !SHADOW_INDICATOR == caps.basic.revision_id();
    if !revision || (first & SHADOW_INDICATOR != 0 && !shadowing) {
        return Err(VmFail::Error(VmInstructionError::VmptrldIncorrectRevision));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPS: VmxCapabilities = VmxCapabilities::CORE_I5_M520;
    const CPU: ProcessorFacts = ProcessorFacts::CORE_I5_M520;

    fn state() -> ProcessorState {
        ProcessorState {
            cr0: Cr0::from_bits_retain(0x8000_0031),
            cr4: Cr4::VMXE | Cr4::PAE,
            efer: Efer::LMA | Efer::LME,
            rflags: Rflags::RESET,
            cs_l: true,
            cpl: 0,
            smx: false,
            a20m: false,
        }
    }

    #[test]
    fn vmxon_needs_the_locked_feature_control_and_the_fixed_bits() {
        let (lock, enabled) = (FeatureControl::LOCK, FeatureControl::LOCK | FeatureControl::VMX_OUTSIDE_SMX);
        assert_eq!(state().vmxon_fault(&CAPS, enabled), Ok(()));
        for feature_control in [FeatureControl::VMX_OUTSIDE_SMX, lock, lock | FeatureControl::VMX_IN_SMX] {
            assert_eq!(
                state().vmxon_fault(&CAPS, feature_control),
                Err(Fault::GeneralProtection),
                "{feature_control:?}"
            );
        }
        let refused = [
            ProcessorState { cpl: 3, ..state() },
            ProcessorState { cr0: Cr0::from_bits_retain(0x8000_0011), ..state() },
            ProcessorState { a20m: true, ..state() },
        ];
        for state in refused {
            assert_eq!(state.vmxon_fault(&CAPS, enabled), Err(Fault::GeneralProtection), "{state:?}");
        }
        for state in [ProcessorState { cr4: Cr4::PAE, ..state() }, ProcessorState { cs_l: false, ..state() }] {
            assert_eq!(state.vmxon_fault(&CAPS, enabled), Err(Fault::InvalidOpcode), "{state:?}");
        }
    }

    #[test]
    fn vmxon_region_with_a_wrong_revision_or_address_fails_invalid() {
        assert_eq!(vmxon(0x1000, &CAPS, &CPU, |_| 0x2B), Ok(()));
        for (pointer, first) in [(0x1001, 0x2B), (1 << 40, 0x2B), (0x1000, 0x2C), (0x1000, 0x8000_002B)] {
            assert_eq!(vmxon(pointer, &CAPS, &CPU, |_| first), Err(VmFail::Invalid));
        }
    }

    #[test]
    fn vmptrld_and_vmclear_error_numbers() {
        use VmInstructionError as E;
        let load = |pointer, first| vmptrld(pointer, 0x1000, &CAPS, &CPU, |_| first);
        assert_eq!(load(0x2000, 0x2B), Ok(()));
        assert_eq!(load(0x2008, 0x2B), Err(VmFail::Error(E::VmptrldInvalidAddress)));
        assert_eq!(load(0x1000, 0x2B), Err(VmFail::Error(E::VmptrldVmxonPointer)));
        assert_eq!(load(0x2000, 0x8000_002B), Err(VmFail::Error(E::VmptrldIncorrectRevision)));
        assert_eq!(vmclear(0x1000, 0x1000, &CAPS, &CPU), Err(VmFail::Error(E::VmclearVmxonPointer)));
        assert_eq!(vmclear(1 << 50, 0x1000, &CAPS, &CPU), Err(VmFail::Error(E::VmclearInvalidAddress)));
    }

    #[test]
    fn vmfail_without_a_current_vmcs_is_invalid() {
        let error = VmInstructionError::UnsupportedComponent;
        assert_eq!(VmFail::Error(error).resolve(NO_VMCS), None);
        assert_eq!(VmFail::Error(error).resolve(0x2000), Some(error));
        let before = Rflags::STATUS | Rflags::IF;
        assert_eq!(flags(before, Ok(())), Rflags::IF);
        assert_eq!(flags(before, Err(None)), Rflags::IF | Rflags::CF);
        assert_eq!(flags(before, Err(Some(error))), Rflags::IF | Rflags::ZF);
    }
}
