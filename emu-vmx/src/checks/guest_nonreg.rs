//! Checks on Guest Non-Register State (SDM Vol. 3C 27.3.1.5): exit reason 33.

use crate::arch::msr::DebugCtl;
use crate::arch::{AccessRights, Rflags};
use crate::checks::{CheckContext, Section, Stage, rules};
use crate::controls::*;
use crate::exit::InterruptionType;
use crate::field::Field;
use crate::vmcs::{ActivityState, Interruptibility, PendingDebug};

const SECTION: Section = Section { number: "27.3.1.5", title: "Checks on Guest Non-Register State" };

fn activity(c: &CheckContext) -> u64 {
    c.get(Field::GuestActivityState)
}

fn is(c: &CheckContext, state: ActivityState) -> bool {
    activity(c) == state as u64
}

fn blocked(c: &CheckContext, by: Interruptibility) -> bool {
    c.vmcs.interruptibility().intersects(by)
}

fn pending(c: &CheckContext) -> PendingDebug {
    PendingDebug::from_bits_retain(c.get(Field::GuestPendingDebugExceptions))
}

/// Bits of the pending debug exceptions that are not reserved.
fn pending_allowed(c: &CheckContext) -> u64 {
    0x1_500F | if c.cpu.bus_lock_detect { PendingDebug::BLD.bits() } else { 0 }
}

/// The pending single-step must agree with TF and BTF.
fn single_step_checked(c: &CheckContext) -> bool {
    blocked(c, Interruptibility::STI | Interruptibility::MOV_SS) || is(c, ActivityState::Hlt)
}

fn single_steps(c: &CheckContext) -> bool {
    let btf = c.get(Field::GuestIa32Debugctl) & DebugCtl::BTF.bits() != 0;
    c.rflags.contains(Rflags::TF) && !btf
}

rules! {
    section SECTION; stage Stage::GuestState; qualification 0;
    "guest.activity.supported" => [GuestActivityState],
        "the activity state is 0, or one of 1–3 that IA32_VMX_MISC bits 8:6 report",
        [ACTIVE],
        |c| c.caps.misc.activity_state_supported(activity(c) as u32);
    "guest.activity.hlt_cpl" => [GuestActivityState, GuestSsAccessRights],
        "the SS DPL is 0 when the activity state is HLT",
        [ACTIVE],
        |c| !is(c, ActivityState::Hlt)
            || AccessRights::from_bits_retain(c.get(Field::GuestSsAccessRights) as u32).dpl() == 0;
    "guest.activity.blocking" => [GuestActivityState, GuestInterruptibilityState],
        "the activity state is active when STI or MOV SS blocks",
        [ACTIVE, clear(Field::GuestInterruptibilityState, 3)],
        |c| !blocked(c, Interruptibility::STI | Interruptibility::MOV_SS) || is(c, ActivityState::Active);
    "guest.activity.hlt_event" => [GuestActivityState, VmEntryInterruptionInformation],
        "an event injected in the HLT state is an external interrupt, an NMI, #DB, #MC or a pending MTF VM exit",
        [ACTIVE, NO_EVENT],
        when |c| c.event.valid(),
        |c| !is(c, ActivityState::Hlt)
            || match c.event.kind() {
            InterruptionType::ExternalInterrupt | InterruptionType::Nmi => true,
            InterruptionType::HardwareException => matches!(c.event.vector(), 1 | 18),
            InterruptionType::Other => c.event.vector() == 0,
            _ => false,
        };
    "guest.activity.shutdown_event" => [GuestActivityState, VmEntryInterruptionInformation],
        "an event injected in the shutdown state is an NMI or #MC",
        [ACTIVE, NO_EVENT],
        when |c| c.event.valid(),
        |c| !is(c, ActivityState::Shutdown)
            || match c.event.kind() {
            InterruptionType::Nmi => true,
            InterruptionType::HardwareException => c.event.vector() == 18,
            _ => false,
        };
    "guest.activity.wait_for_sipi_event" => [GuestActivityState, VmEntryInterruptionInformation],
        "no event is injected in the wait-for-SIPI state",
        [ACTIVE, NO_EVENT],
        when |c| c.event.valid(),
        |c| !is(c, ActivityState::WaitForSipi);
    "guest.activity.smm" => [GuestActivityState, VmEntryControls],
        "the activity state is not wait-for-SIPI with “entry to SMM”",
        [ACTIVE],
        when |c| c.entry.contains(VmEntryControls::ENTRY_TO_SMM),
        |c| !is(c, ActivityState::WaitForSipi);
    "guest.interruptibility.reserved" => [GuestInterruptibilityState],
        "bits 31:5 of the interruptibility state are 0",
        [clear(Field::GuestInterruptibilityState, 0xFFFF_FFE0)],
        |c| c.get(Field::GuestInterruptibilityState) & !0x1F == 0;
    "guest.interruptibility.sti_and_mov_ss" => [GuestInterruptibilityState],
        "blocking by STI and blocking by MOV SS are not both 1",
        [clear(Field::GuestInterruptibilityState, 1 << 1), clear(Field::GuestInterruptibilityState, 1)],
        |c| !c.vmcs.interruptibility().contains(Interruptibility::STI | Interruptibility::MOV_SS);
    "guest.interruptibility.sti_if" => [GuestInterruptibilityState, GuestRflags],
        "blocking by STI is 0 when guest RFLAGS.IF is 0",
        [clear(Field::GuestInterruptibilityState, 1), set(Field::GuestRflags, Rflags::IF.bits())],
        |c| c.rflags.contains(Rflags::IF) || !blocked(c, Interruptibility::STI);
    "guest.interruptibility.external_interrupt" => [GuestInterruptibilityState, VmEntryInterruptionInformation],
        "neither STI nor MOV SS blocks when an external interrupt is injected",
        [INTERRUPT_WINDOW, clear(Field::GuestInterruptibilityState, 3)],
        when |c| c.event.valid(),
        |c| !c.event.injects(InterruptionType::ExternalInterrupt)
            || !blocked(c, Interruptibility::STI | Interruptibility::MOV_SS);
    "guest.interruptibility.nmi_mov_ss" => [GuestInterruptibilityState, VmEntryInterruptionInformation],
        "MOV SS does not block when an NMI is injected",
        [NMI_WINDOW, clear(Field::GuestInterruptibilityState, 1 << 1)],
        when |c| c.event.valid(),
        |c| !c.event.injects(InterruptionType::Nmi)
            || !blocked(c, Interruptibility::MOV_SS);
    "guest.interruptibility.smi" => [GuestInterruptibilityState],
        "blocking by SMI is 0 outside SMM",
        [clear(Field::GuestInterruptibilityState, 1 << 2)],
        when |c| !c.now.in_smm,
        |c| !blocked(c, Interruptibility::SMI);
    "guest.interruptibility.smm" => [GuestInterruptibilityState, VmEntryControls],
        "blocking by SMI is 1 with “entry to SMM”",
        // Outside SMM “entry to SMM” is refused earlier.
        [set(Field::GuestInterruptibilityState, 1 << 2)],
        when |c| c.now.in_smm && c.entry.contains(VmEntryControls::ENTRY_TO_SMM),
        |c| blocked(c, Interruptibility::SMI);
    "guest.interruptibility.nmi" =>
        [GuestInterruptibilityState, PinBasedControls, VmEntryInterruptionInformation],
        "with “virtual NMIs” blocking by NMI is 0 when an NMI is injected",
        [NMI_WINDOW, clear(Field::GuestInterruptibilityState, 1 << 3)],
        when |c| c.pin.contains(PinBasedControls::VIRTUAL_NMIS) && c.event.valid(),
        |c| !c.event.injects(InterruptionType::Nmi)
            || !blocked(c, Interruptibility::NMI);
    "guest.interruptibility.enclave_mov_ss" => [GuestInterruptibilityState],
        "blocking by MOV SS is 0 when enclave interruption is 1",
        [clear(Field::GuestInterruptibilityState, 1 << 1), clear(Field::GuestInterruptibilityState, 1 << 4)],
        |c| !c.vmcs.interruptibility().contains(Interruptibility::ENCLAVE | Interruptibility::MOV_SS);
    "guest.interruptibility.enclave_sgx" => [GuestInterruptibilityState],
        "enclave interruption is 0 on a processor without SGX",
        [clear(Field::GuestInterruptibilityState, 1 << 4)],
        |c| c.cpu.sgx || !blocked(c, Interruptibility::ENCLAVE);
    "guest.pending_debug.reserved" => [GuestPendingDebugExceptions],
        "bits 10:4, 13, 15 and 63:17 of the pending debug exceptions are 0, and bit 11 without bus-lock detection",
        [make(Field::GuestPendingDebugExceptions, |c| Some(pending(c).bits() & pending_allowed(c)))],
        |c| pending(c).bits() & !pending_allowed(c) == 0;
    "guest.pending_debug.bs_required" =>
        [GuestPendingDebugExceptions, GuestRflags, GuestIa32Debugctl, GuestInterruptibilityState, GuestActivityState],
        "BS (bit 14) is 1 when guest RFLAGS.TF is 1 and BTF is 0, and STI or MOV SS blocks or the state is HLT",
        [set(Field::GuestPendingDebugExceptions, 1 << 14)],
        |c| !single_step_checked(c) || !single_steps(c) || pending(c).contains(PendingDebug::BS);
    "guest.pending_debug.bs_forbidden" =>
        [GuestPendingDebugExceptions, GuestRflags, GuestIa32Debugctl, GuestInterruptibilityState, GuestActivityState],
        "BS (bit 14) is 0 when guest RFLAGS.TF is 0 or BTF is 1, and STI or MOV SS blocks or the state is HLT",
        [clear(Field::GuestPendingDebugExceptions, 1 << 14)],
        |c| !single_step_checked(c) || single_steps(c) || !pending(c).contains(PendingDebug::BS);
    "guest.pending_debug.rtm_bits" => [GuestPendingDebugExceptions],
        "with RTM (bit 16) bit 12 of the pending debug exceptions is 1 and bits 3:0, 11 and 14 are 0",
        [
            make(Field::GuestPendingDebugExceptions, |c| Some(pending(c).bits() & !0x1_580F | 0x1_1000)),
            clear(Field::GuestPendingDebugExceptions, 1 << 16),
        ],
        |c| !pending(c).contains(PendingDebug::RTM) || pending(c).bits() & 0x1_580F == 0x1_1000;
    "guest.pending_debug.rtm_supported" => [GuestPendingDebugExceptions],
        "RTM (bit 16) of the pending debug exceptions is 0 on a processor without RTM",
        [clear(Field::GuestPendingDebugExceptions, 1 << 16)],
        |c| c.cpu.rtm || !pending(c).contains(PendingDebug::RTM);
    "guest.pending_debug.rtm_mov_ss" => [GuestPendingDebugExceptions, GuestInterruptibilityState],
        "blocking by MOV SS is 0 when RTM (bit 16) of the pending debug exceptions is 1",
        [clear(Field::GuestInterruptibilityState, 1 << 1), clear(Field::GuestPendingDebugExceptions, 1 << 16)],
        |c| !pending(c).contains(PendingDebug::RTM) || !blocked(c, Interruptibility::MOV_SS);
}

/// An NMI injected while STI blocks: exit qualification 3.
pub mod nmi_sti {
    use super::{SECTION, blocked};
    use crate::checks::{Stage, rules};
    use crate::exit::InterruptionType;
    use crate::field::Field;
    use crate::vmcs::Interruptibility;

    rules! {
        section SECTION; stage Stage::GuestState; qualification 3;
        "guest.nmi_sti.blocking" => [GuestInterruptibilityState, VmEntryInterruptionInformation],
            "STI does not block when an NMI is injected",
            [NMI_WINDOW, clear(Field::GuestInterruptibilityState, 1)],
            when |c| c.event.valid(),
            |c| !c.event.injects(InterruptionType::Nmi) || !blocked(c, Interruptibility::STI);
    }
}

/// The VMCS link pointer: exit qualification 4.
pub mod link {
    use super::SECTION;
    use crate::arch::addr::page_aligned;
    use crate::checks::{CheckContext, Stage, rules};
    use crate::controls::*;
    use crate::field::Field;
    use crate::vmcs::{NO_VMCS, SHADOW_INDICATOR};
    use alloc::format;

    fn pointer(c: &CheckContext) -> Option<u64> {
        Some(c.get(Field::VmcsLinkPointer)).filter(|&link| link != NO_VMCS)
    }

    rules! {
        section SECTION; stage Stage::GuestState; qualification 4;
        "guest.link.align" => [VmcsLinkPointer],
            "the VMCS link pointer is FFFFFFFF_FFFFFFFFh or a multiple of 4096",
            [NO_LINK, page(Field::VmcsLinkPointer)],
            when |c| pointer(c).is_some(),
            |c| page_aligned(c.get(Field::VmcsLinkPointer));
        "guest.link.width" => [VmcsLinkPointer],
            "the VMCS link pointer is FFFFFFFF_FFFFFFFFh or within the physical-address width",
            [NO_LINK, width(Field::VmcsLinkPointer)],
            when |c| pointer(c).is_some(),
            |c| c.width_ok(c.get(Field::VmcsLinkPointer));
        "guest.link.revision" => [VmcsLinkPointer],
            "bits 30:0 at the VMCS link pointer are the VMCS revision identifier",
            [
                NO_LINK,
                outside(|c| {
                    let new = c.now.link_header? & SHADOW_INDICATOR | c.caps.basic.revision_id();
                    Some(Change::LinkHeader { at: c.get(Field::VmcsLinkPointer), new })
                }),
            ],
            when |c| pointer(c).is_some(),
            |c| c.now.link_header.is_none_or(|h| h & !SHADOW_INDICATOR == c.caps.basic.revision_id()),
            show |c| format!("the dword there is {:08X}h", c.now.link_header.unwrap_or(0));
        "guest.link.shadow" => [VmcsLinkPointer, SecondaryProcessorControls],
            "bit 31 at the VMCS link pointer (shadow-VMCS indicator) equals “VMCS shadowing”",
            [
                NO_LINK,
                outside(|c| {
                    let new = c.now.link_header? ^ SHADOW_INDICATOR;
                    Some(Change::LinkHeader { at: c.get(Field::VmcsLinkPointer), new })
                }),
            ],
            when |c| pointer(c).is_some(),
            |c| c.now.link_header.is_none_or(|header| {
                    (header & SHADOW_INDICATOR != 0) == c.secondary.contains(SecondaryProcessorControls::VMCS_SHADOWING)
                }),
            show |c| format!("the dword there is {:08X}h", c.now.link_header.unwrap_or(0));
        "guest.link.current" => [VmcsLinkPointer, VmEntryControls],
            "the VMCS link pointer is not the current VMCS (outside SMM or with “entry to SMM”)",
            [NO_LINK, OWN_LINK],
            when |c| pointer(c).is_some() && (!c.now.in_smm || c.entry.contains(VmEntryControls::ENTRY_TO_SMM)),
            |c| c.get(Field::VmcsLinkPointer) != c.now.current_vmcs;
        "guest.link.executive" => [VmcsLinkPointer, VmEntryControls, ExecutiveVmcsPointer],
            "in SMM without “entry to SMM” the VMCS link pointer is not the executive-VMCS pointer",
            [NO_LINK, OWN_LINK],
            when |c| pointer(c).is_some() && c.now.in_smm && !c.entry.contains(VmEntryControls::ENTRY_TO_SMM),
            |c| c.get(Field::VmcsLinkPointer) != c.get(Field::ExecutiveVmcsPointer);
    }
}
