//! VMX operation.

use super::Hex;
use crate::state::cpu::Cpu;
use emu_vmx::exit::ExitReason;
use emu_vmx::field::Field;
use emu_vmx::vmcs::{LaunchState, NO_VMCS, Vmcs};
use serde::Serialize;

/// What the current VMCS says of its guest and of the last VM exit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GuestReport {
    /// `clear` or `launched`.
    pub launch_state: &'static str,
    /// Guest CS selector.
    pub cs: Hex,
    /// Guest RIP. In VMX non-root operation the guest-state fields are those of the last VM entry or exit.
    pub rip: Hex,
    /// Guest RSP.
    pub rsp: Hex,
    /// Guest RFLAGS.
    pub rflags: Hex,
    /// Guest CR0.
    pub cr0: Hex,
    /// Guest CR3.
    pub cr3: Hex,
    /// Guest CR4.
    pub cr4: Hex,
    /// Exit-reason field.
    pub exit_reason: Hex,
    /// The exit reason in words.
    pub exit: String,
    /// Exit qualification.
    pub exit_qualification: Hex,
    /// VM-instruction error, 0 without one.
    pub instruction_error: u32,
}

/// VMX operation of a processor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VmxReport {
    /// `off`, `root` or `non-root`.
    pub operation: &'static str,
    /// Address of the VMXON region.
    pub vmxon_pointer: Option<Hex>,
    /// The current-VMCS pointer.
    pub current_vmcs: Option<Hex>,
    /// EPT pointer in effect.
    pub ept_pointer: Option<Hex>,
    /// VPID in effect; 0 without one.
    pub vpid: u16,
    /// The current VMCS.
    pub guest: Option<GuestReport>,
    /// VM entries that succeeded, since power-on.
    pub entries: u64,
    /// VM exits since power-on; VM entries that fail as VM exits are among them.
    pub exits: u64,
}

impl VmxReport {
    pub(super) fn new(cpu: &Cpu) -> Self {
        let pointer = |address: u64| (address != NO_VMCS).then_some(Hex(address));
        Self {
            operation: match (cpu.vmx.on(), cpu.in_non_root()) {
                (false, _) => "off",
                (true, false) => "root",
                (true, true) => "non-root",
            },
            vmxon_pointer: pointer(cpu.vmx.vmxon),
            current_vmcs: pointer(cpu.vmx.current),
            ept_pointer: cpu.vm_controls().filter(|controls| controls.ept()).map(|controls| Hex(controls.eptp)),
            vpid: cpu.vpid(),
            guest: cpu.vmx.current().map(guest),
            entries: cpu.vmx.counts.entries,
            exits: cpu.vmx.counts.exits.iter().sum(),
        }
    }
}

fn guest(vmcs: &Vmcs) -> GuestReport {
    let get = |field| Hex(vmcs.get(field));
    let reason = vmcs.get32(Field::ExitReason);
    let words = ExitReason::from_number(reason as u16).map_or("not defined", ExitReason::text);
    // Bit 31: the VM entry failed (SDM Vol. 3C 25.9.1).
    let failed = if reason >> 31 != 0 { "VM entry failed: " } else { "" };
    GuestReport {
        launch_state: if vmcs.launch_state == LaunchState::Launched { "launched" } else { "clear" },
        cs: get(Field::GuestCsSelector),
        rip: get(Field::GuestRip),
        rsp: get(Field::GuestRsp),
        rflags: get(Field::GuestRflags),
        cr0: get(Field::GuestCr0),
        cr3: get(Field::GuestCr3),
        cr4: get(Field::GuestCr4),
        exit_reason: Hex(reason.into()),
        exit: format!("{failed}{words}"),
        exit_qualification: get(Field::ExitQualification),
        instruction_error: vmcs.get32(Field::VmInstructionError),
    }
}
