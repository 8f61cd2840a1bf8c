//! A VM exit as a list of steps, in the order of SDM Vol. 3C chapter 28 "VM Exits": what it recorded, saved and loaded.

use super::entry::{INVALIDATED, List, Step, TRANSLATIONS, set_bits, table};
use super::fields::digits;
use super::msr_list::Listed;
use super::vmxlog::Exited;
use emu_vmx::arch::segment::SegmentRegister;
use emu_vmx::controls::{SecondaryProcessorControls, VmExitControls};
use emu_vmx::entry::HostPlan;
use emu_vmx::exit::{ExitReason, InterruptionInformation, InterruptionType};
use emu_vmx::field::{Area, Field};
use emu_vmx::vmcs::Interruptibility;

const RECORDING: &str = "28.2 Recording VM-Exit Information and Updating VM-Entry Control Fields";
const SAVING: &str = "28.3 Saving Guest State";
const STORING: &str = "28.4 Saving MSRs";
const CONTROL_REGISTERS: &str = "28.5.1 Loading Host Control Registers, Debug Registers, MSRs";
const SEGMENTS: &str = "28.5.2 Loading Host Segment and Descriptor-Table Registers";
const RIP: &str = "28.5.3 Loading Host RIP, RSP, RFLAGS, and SSP";
const PDPTES: &str = "28.5.4 Checking and Loading Host Page-Directory-Pointer-Table Entries";
const NON_REGISTER: &str = "28.5.5 Updating Non-Register State";
const MONITORING: &str = "28.5.6 Clearing Address-Range Monitoring";
const LOADING: &str = "28.6 Loading MSRs";

const FAILURE: &str = "27.8 VM-Entry Failures During or After Loading Guest State";

/// What stands where the guest's value is not known, because the VM exit does not save it.
const NOT_SAVED: &str = "not saved";

/// All steps. Fields of the VMCS that keep their value are not among them; registers that do are.
pub fn steps(exited: &Exited) -> Vec<Step> {
    let mut list = List(Vec::new());
    match &exited.entered {
        Some(entered) => {
            written(&mut list, RECORDING, &[Area::ReadOnly, Area::Control], &entered.vmcs, exited);
            written(&mut list, SAVING, &[Area::Guest], &entered.vmcs, exited);
        }
        // Two fields, and nothing is saved.
        None => {
            for field in [Field::ExitReason, Field::ExitQualification] {
                list.words(FAILURE, field.name(), "", &value(field, exited));
            }
        }
    }
    entries(&mut list, STORING, &exited.stored);
    host(&mut list, exited);
    entries(&mut list, LOADING, &exited.loaded);
    list.0
}

fn value(field: Field, exited: &Exited) -> String {
    let value = exited.vmcs.get(field);
    let words = super::fields::words(field, value, &exited.vmcs);
    let words = if words.is_empty() { words } else { format!(" ({words})") };
    format!("{}{words}", digits(field, value))
}

/// The fields that have changed since the VM entry, and those that tell the reason.
fn written(list: &mut List, section: &str, areas: &[Area], before: &emu_vmx::vmcs::Vmcs, exited: &Exited) {
    for &field in Field::ALL.iter().filter(|field| areas.contains(&field.area())) {
        let (old, new) = (before.get(field), exited.vmcs.get(field));
        if old != new || matches!(field, Field::ExitReason | Field::ExitQualification) {
            list.words(section, field.name(), &digits(field, old), &value(field, exited));
        }
    }
}

fn entries(list: &mut List, section: &str, entries: &[Listed]) {
    for entry in entries {
        list.words(section, &format!("entry {}: {}", entry.number, entry.name()), "", &format!("{:x}", entry.value));
    }
}

/// SDM Vol. 3C 28.5 "Loading Host State". The value before is the guest's, where the VM exit saved it.
fn host(list: &mut List, exited: &Exited) {
    let vmcs = &exited.vmcs;
    let controls = vmcs.exit();
    // A VM entry that fails saves nothing: its fields are what the VMM wanted.
    let saves = exited.entered.is_some();
    let plan = HostPlan::new(vmcs, exited.cr0, exited.efer);
    let number = |field: Field| if saves { format!("{:x}", vmcs.get(field)) } else { String::new() };
    let bits = |field: Field| if saves { set_bits(field, vmcs.get(field)) } else { String::new() };
    let when = |saved: bool, words: String| match (saves, saved) {
        (true, false) => NOT_SAVED.to_owned(),
        _ => words,
    };
    let debug = controls.contains(VmExitControls::SAVE_DEBUG_CONTROLS);
    list.words(CONTROL_REGISTERS, "CR0", &bits(Field::GuestCr0), &set_bits(Field::HostCr0, plan.cr0));
    list.words(CONTROL_REGISTERS, "CR3", &number(Field::GuestCr3), &format!("{:x}", plan.cr3));
    list.words(CONTROL_REGISTERS, "CR4", &bits(Field::GuestCr4), &set_bits(Field::HostCr4, plan.cr4.bits()));
    list.words(CONTROL_REGISTERS, "DR7", &when(debug, number(Field::GuestDr7)), "400");
    let msrs = &plan.msrs;
    let mut load = |name: &str, before: String, after: Option<u64>| {
        if let Some(after) = after {
            list.words(CONTROL_REGISTERS, name, &before, &format!("{after:x}"));
        }
    };
    load("IA32_DEBUGCTL", when(debug, number(Field::GuestIa32Debugctl)), msrs.debugctl);
    load("IA32_SYSENTER_CS", number(Field::GuestIa32SysenterCs), Some(msrs.sysenter_cs.into()));
    load("IA32_SYSENTER_ESP", number(Field::GuestIa32SysenterEsp), Some(msrs.sysenter_esp));
    load("IA32_SYSENTER_EIP", number(Field::GuestIa32SysenterEip), Some(msrs.sysenter_eip));
    let perf = controls.contains(VmExitControls::SAVE_IA32_PERF_GLOBAL_CTRL);
    load("IA32_PERF_GLOBAL_CTRL", when(perf, number(Field::GuestIa32PerfGlobalCtrl)), msrs.perf_global_ctrl);
    let pat = controls.contains(VmExitControls::SAVE_IA32_PAT);
    load("IA32_PAT", when(pat, number(Field::GuestIa32Pat)), msrs.pat);
    load("IA32_BNDCFGS", number(Field::GuestIa32Bndcfgs), msrs.bndcfgs);
    load("IA32_RTIT_CTL", number(Field::GuestIa32RtitCtl), msrs.rtit_ctl);
    load("IA32_LBR_CTL", number(Field::GuestIa32LbrCtl), msrs.lbr_ctl);
    load("IA32_PKRS", number(Field::GuestIa32Pkrs), msrs.pkrs.map(u64::from));
    load("IA32_SPEC_CTRL", number(Field::GuestIa32SpecCtrl), msrs.spec_ctrl);
    load("IA32_S_CET", number(Field::GuestIa32SCet), msrs.cet.map(|cet| cet.s_cet));
    let ssp_table = msrs.cet.map(|cet| cet.interrupt_ssp_table);
    load("IA32_INTERRUPT_SSP_TABLE_ADDR", number(Field::GuestIa32InterruptSspTableAddr), ssp_table);
    load("UINV", number(Field::GuestUinv), msrs.uinv.map(u64::from));
    // LMA and LME follow “host address-space size”, whether or not the register is loaded.
    let efer = when(controls.contains(VmExitControls::SAVE_IA32_EFER), bits(Field::GuestIa32Efer));
    list.words(CONTROL_REGISTERS, "IA32_EFER", &efer, &set_bits(Field::HostIa32Efer, msrs.efer.bits()));

    let segments = SegmentRegister::ALL.map(|register| vmcs.guest_segment(register));
    let first = list.0.len();
    list.segments(SEGMENTS, &segments, &plan.segments);
    if !saves {
        list.0[first..].iter_mut().for_each(|step| step.before.clear());
    }
    for (name, base, limit, new) in [
        ("GDTR", Field::GuestGdtrBase, Field::GuestGdtrLimit, plan.gdtr),
        ("IDTR", Field::GuestIdtrBase, Field::GuestIdtrLimit, plan.idtr),
    ] {
        let before = if saves { table(vmcs.get(base), vmcs.get16(limit)) } else { String::new() };
        list.words(SEGMENTS, name, &before, &table(new.base, new.limit));
    }
    list.words(RIP, "RIP", &number(Field::GuestRip), &format!("{:x}", plan.rip));
    list.words(RIP, "RSP", &number(Field::GuestRsp), &format!("{:x}", plan.rsp));
    list.words(RIP, "RFLAGS", &number(Field::GuestRflags), &format!("{:x}", plan.rflags.bits()));
    if let Some(cet) = &msrs.cet {
        list.words(RIP, "SSP", &number(Field::GuestSsp), &format!("{:x}", cet.ssp));
    }
    if plan.pae {
        let fields = [Field::GuestPdpte0, Field::GuestPdpte1, Field::GuestPdpte2, Field::GuestPdpte3];
        let ept = vmcs.secondary().contains(SecondaryProcessorControls::ENABLE_EPT);
        for (n, (field, new)) in fields.into_iter().zip(exited.pdptes).enumerate() {
            let before = when(ept, number(field));
            list.words(PDPTES, &format!("PDPTE{n}"), &before, &format!("{new:x}"));
        }
    }
    list.words(NON_REGISTER, "activity state", "", "active");
    let blocking = vmcs.interruptibility() & (Interruptibility::STI | Interruptibility::MOV_SS);
    let names = emu_vmx::names::set_bits(Field::GuestInterruptibilityState, blocking.bits().into()).join(", ");
    let before = match (saves, names.as_str()) {
        (false, _) => "",
        (true, "") => "none",
        (true, names) => names,
    };
    list.words(NON_REGISTER, "blocking by STI and by MOV SS", before, "none");
    let event = InterruptionInformation(vmcs.get32(Field::VmExitInterruptionInformation));
    let exception = vmcs.get32(Field::ExitReason) == ExitReason::ExceptionOrNmi.field();
    if saves && exception && event.injects(InterruptionType::Nmi) {
        list.words(NON_REGISTER, "blocking by NMI", "", "in effect: the VM exit is by an NMI");
    }
    list.words(NON_REGISTER, "pending debug exceptions", "", "none");
    if plan.flush_vpid_0 {
        list.words(NON_REGISTER, TRANSLATIONS, "", INVALIDATED);
    }
    list.words(MONITORING, "monitored address", "", "none");
    if !saves {
        list.words(FAILURE, "blocking by NMI", "", "as it was before the VM entry");
    }
}
