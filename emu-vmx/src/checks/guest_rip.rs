//! Checks on Guest RIP, RFLAGS, and SSP (SDM Vol. 3C 27.3.1.4): exit reason 33.

use crate::arch::{AccessRights, Cr0, Rflags};
use crate::checks::{CheckContext, Section, Stage, rules};
use crate::controls::*;
use crate::exit::InterruptionType;
use crate::field::Field;

const SECTION: Section = Section { number: "27.3.1.4", title: "Checks on Guest RIP, RFLAGS, and SSP" };

/// The guest starts in 64-bit mode.
pub(super) fn mode64(c: &CheckContext) -> bool {
    c.ia32e_guest() && c.get(Field::GuestCsAccessRights) & u64::from(AccessRights::L.bits()) != 0
}

/// The bits of a linear address from the linear-address width N up to 63 are identical. Bit N–1 is not compared: an
/// instruction, or a shadow stack, may end at the last canonical address.
fn upper_identical(c: &CheckContext, field: Field) -> bool {
    let upper = (c.get(field) as i64) >> c.cpu.linear_width.min(63);
    upper == 0 || upper == -1
}

rules! {
    section SECTION; stage Stage::GuestState; qualification 0;
    "guest.rip.upper" => [GuestRip, VmEntryControls, GuestCsAccessRights],
        "bits 63:32 of guest RIP are 0 outside 64-bit mode",
        [low32(Field::GuestRip)],
        when |c| !mode64(c),
        |c| c.get(Field::GuestRip) >> 32 == 0;
    "guest.rip.identical" => [GuestRip, VmEntryControls, GuestCsAccessRights],
        "in 64-bit mode the bits of guest RIP from the linear-address width up to 63 are identical",
        [canonical(Field::GuestRip)],
        when |c| mode64(c),
        |c| upper_identical(c, Field::GuestRip);
    "guest.rflags.reserved" => [GuestRflags],
        "bits 63:22, 15, 5 and 3 of guest RFLAGS are 0",
        [clear(Field::GuestRflags, Rflags::RESERVED_0)],
        |c| c.rflags.bits() & Rflags::RESERVED_0 == 0;
    "guest.rflags.fixed_1" => [GuestRflags],
        "bit 1 of guest RFLAGS is 1",
        [set(Field::GuestRflags, 2)],
        |c| c.rflags.contains(Rflags::FIXED_1);
    "guest.rflags.vm" => [GuestRflags, VmEntryControls, GuestCr0],
        "guest RFLAGS.VM is 0 with “IA-32e mode guest” or when guest CR0.PE is 0",
        [clear(Field::GuestRflags, Rflags::VM.bits()), off_entry(VmEntryControls::IA32E_MODE_GUEST)],
        |c| !c.v8086() || (!c.ia32e_guest() && c.cr0.contains(Cr0::PE));
    "guest.rflags.if" => [GuestRflags, VmEntryInterruptionInformation],
        "guest RFLAGS.IF is 1 when an external interrupt is injected",
        [INTERRUPT_WINDOW, set(Field::GuestRflags, Rflags::IF.bits())],
        when |c| c.event.valid(),
        |c| !c.event.injects(InterruptionType::ExternalInterrupt)
            || c.rflags.contains(Rflags::IF);
    "guest.ssp.align" => [VmEntryControls, GuestSsp],
        "with “load CET state” bits 1:0 of guest SSP are 0",
        [clear(Field::GuestSsp, 3)],
        when |c| c.entry.contains(VmEntryControls::LOAD_CET_STATE),
        |c| c.get(Field::GuestSsp) & 3 == 0;
    // In every mode: SYSRET to compatibility mode keeps 64 bits of SSP.
    "guest.ssp.identical" => [VmEntryControls, GuestSsp],
        "with “load CET state” the bits of guest SSP from the linear-address width up to 63 are identical",
        [canonical(Field::GuestSsp)],
        when |c| c.entry.contains(VmEntryControls::LOAD_CET_STATE),
        |c| upper_identical(c, Field::GuestSsp);
}
