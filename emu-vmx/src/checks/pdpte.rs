//! Checks on Guest Page-Directory-Pointer-Table Entries (SDM Vol. 3C 27.3.1.6): exit reason 33, qualification 2.

use crate::arch::addr;
use crate::checks::remedy::{Change, bits};
use crate::checks::{CheckContext, Section, Stage, rules};
use crate::controls::*;
use crate::field::Field;
use alloc::{format, string::String};

const SECTION: Section = Section { number: "27.3.1.6", title: "Checks on Guest Page-Directory-Pointer-Table Entries" };

/// A PDPTE is valid when not present, or when bits 2:1, 8:5 and those beyond the physical-address width are 0
/// (SDM Vol. 3A 4.4.1 "PDPTE Registers").
pub fn valid(pdpte: u64, maxphyaddr: u8) -> bool {
    pdpte & 1 == 0 || pdpte & reserved(maxphyaddr) == 0
}

/// Bits that are 0 in a PDPTE that is present.
const fn reserved(maxphyaddr: u8) -> u64 {
    0x1E6 | !addr::physical_mask(maxphyaddr)
}

/// A PDPTE without its reserved bits.
fn mended(c: &CheckContext, pdpte: u64) -> u64 {
    pdpte & !reserved(c.cpu.maxphyaddr)
}

/// Which reserved bits a PDPTE sets.
fn wrong(c: &CheckContext, pdpte: u64) -> String {
    let reserved = reserved(c.cpu.maxphyaddr);
    let set = pdpte & reserved;
    let set = if set == 0 { "none".into() } else { bits(None, set) };
    format!("reserved: {}; set of them: {set}", bits(None, reserved))
}

/// Where a PDPTE is in memory, and what it is.
fn place(c: &CheckContext, number: u8) -> (u64, u64) {
    let at = crate::arch::Cr3(c.get(Field::GuestCr3)).pdpt_base_pae() + 8 * u64::from(number);
    (at, c.now.pdptes.unwrap_or_default().get(usize::from(number)).copied().unwrap_or(0))
}

/// A PDPTE in memory without its reserved bits.
fn in_memory(c: &CheckContext, number: u8) -> Option<Change> {
    let (at, old) = place(c, number);
    Some(Change::Pdpte { number, at, old, new: mended(c, old) })
}

/// What is wrong with a PDPTE in memory.
fn detail(c: &CheckContext, number: u8) -> String {
    let (at, pdpte) = place(c, number);
    format!("PDPTE{number} at {at:X}h is {pdpte:X}h; {}", wrong(c, pdpte))
}

/// The PDPTEs come from the VMCS.
fn pae_under_ept(c: &CheckContext) -> bool {
    c.pae_paging_guest() && c.secondary.contains(SecondaryProcessorControls::ENABLE_EPT)
}

/// The PDPTEs come from memory.
fn pae_without_ept(c: &CheckContext) -> bool {
    c.pae_paging_guest() && !c.secondary.contains(SecondaryProcessorControls::ENABLE_EPT)
}

fn field_ok(c: &CheckContext, field: Field) -> bool {
    valid(c.get(field), c.cpu.maxphyaddr)
}

fn memory_ok(c: &CheckContext, number: usize) -> bool {
    c.now.pdptes.is_none_or(|entries| entries.get(number).is_none_or(|&e| valid(e, c.cpu.maxphyaddr)))
}

rules! {
    section SECTION; stage Stage::GuestState; qualification 2;
    "guest.pdpte0.field" => [GuestPdpte0], "PDPTE0 of a PAE guest under EPT sets no reserved bit when present",
        [
            all(
                &[make(Field::GuestPdpte0, |c| Some(mended(c, c.get(Field::GuestPdpte0))))],
                "the field is to be loaded anew whenever guest CR3 changes",
            ),
            clear(Field::GuestPdpte0, 1),
        ],
        when |c| pae_under_ept(c),
        |c| field_ok(c, Field::GuestPdpte0), show |c| wrong(c, c.get(Field::GuestPdpte0));
    "guest.pdpte1.field" => [GuestPdpte1], "PDPTE1 of a PAE guest under EPT sets no reserved bit when present",
        [
            all(
                &[make(Field::GuestPdpte1, |c| Some(mended(c, c.get(Field::GuestPdpte1))))],
                "the field is to be loaded anew whenever guest CR3 changes",
            ),
            clear(Field::GuestPdpte1, 1),
        ],
        when |c| pae_under_ept(c),
        |c| field_ok(c, Field::GuestPdpte1), show |c| wrong(c, c.get(Field::GuestPdpte1));
    "guest.pdpte2.field" => [GuestPdpte2], "PDPTE2 of a PAE guest under EPT sets no reserved bit when present",
        [
            all(
                &[make(Field::GuestPdpte2, |c| Some(mended(c, c.get(Field::GuestPdpte2))))],
                "the field is to be loaded anew whenever guest CR3 changes",
            ),
            clear(Field::GuestPdpte2, 1),
        ],
        when |c| pae_under_ept(c),
        |c| field_ok(c, Field::GuestPdpte2), show |c| wrong(c, c.get(Field::GuestPdpte2));
    "guest.pdpte3.field" => [GuestPdpte3], "PDPTE3 of a PAE guest under EPT sets no reserved bit when present",
        [
            all(
                &[make(Field::GuestPdpte3, |c| Some(mended(c, c.get(Field::GuestPdpte3))))],
                "the field is to be loaded anew whenever guest CR3 changes",
            ),
            clear(Field::GuestPdpte3, 1),
        ],
        when |c| pae_under_ept(c),
        |c| field_ok(c, Field::GuestPdpte3), show |c| wrong(c, c.get(Field::GuestPdpte3));
    "guest.pdpte0.memory" => [GuestCr3],
        "the PDPTE at guest CR3 sets no reserved bit when present (PAE, no EPT)",
        [outside(|c| in_memory(c, 0))],
        when |c| pae_without_ept(c),
        |c| memory_ok(c, 0), show |c| detail(c, 0);
    "guest.pdpte1.memory" => [GuestCr3],
        "the PDPTE at guest CR3 + 8 sets no reserved bit when present (PAE, no EPT)",
        [outside(|c| in_memory(c, 1))],
        when |c| pae_without_ept(c),
        |c| memory_ok(c, 1), show |c| detail(c, 1);
    "guest.pdpte2.memory" => [GuestCr3],
        "the PDPTE at guest CR3 + 16 sets no reserved bit when present (PAE, no EPT)",
        [outside(|c| in_memory(c, 2))],
        when |c| pae_without_ept(c),
        |c| memory_ok(c, 2), show |c| detail(c, 2);
    "guest.pdpte3.memory" => [GuestCr3],
        "the PDPTE at guest CR3 + 24 sets no reserved bit when present (PAE, no EPT)",
        [outside(|c| in_memory(c, 3))],
        when |c| pae_without_ept(c),
        |c| memory_ok(c, 3), show |c| detail(c, 3);
}
