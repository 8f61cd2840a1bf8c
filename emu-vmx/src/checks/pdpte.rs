//! Checks on Guest Page-Directory-Pointer-Table Entries (SDM Vol. 3C 27.3.1.6): exit reason 33, qualification 2.

use crate::arch::addr;
use crate::checks::{CheckContext, Section, Stage, rules};
use crate::controls::*;
use crate::field::Field;
use alloc::format;

const SECTION: Section = Section { number: "27.3.1.6", title: "Checks on Guest Page-Directory-Pointer-Table Entries" };

/// A PDPTE is valid when not present, or when bits 2:1, 8:5 and those beyond the physical-address width are 0
/// (SDM Vol. 3A 4.4.1 "PDPTE Registers").
pub fn valid(pdpte: u64, maxphyaddr: u8) -> bool {
    pdpte & 1 == 0 || pdpte & (0x1E6 | !addr::physical_mask(maxphyaddr)) == 0
}

fn field_ok(c: &CheckContext, field: Field) -> bool {
    !c.pae_paging_guest()
        || !c.secondary.contains(SecondaryProcessorControls::ENABLE_EPT)
        || valid(c.get(field), c.cpu.maxphyaddr)
}

fn memory_ok(c: &CheckContext, number: usize) -> bool {
    !c.pae_paging_guest()
        || c.secondary.contains(SecondaryProcessorControls::ENABLE_EPT)
        || c.now.pdptes.is_none_or(|entries| entries.get(number).is_none_or(|&e| valid(e, c.cpu.maxphyaddr)))
}

rules! {
    section SECTION; stage Stage::GuestState; qualification 2;
    "guest.pdpte0.field" => [GuestPdpte0], "PDPTE0 of a PAE guest under EPT sets no reserved bit when present",
        "load the PDPTE fields when CR3 changes", |c| field_ok(c, Field::GuestPdpte0);
    "guest.pdpte1.field" => [GuestPdpte1], "PDPTE1 of a PAE guest under EPT sets no reserved bit when present",
        "load the PDPTE fields when CR3 changes", |c| field_ok(c, Field::GuestPdpte1);
    "guest.pdpte2.field" => [GuestPdpte2], "PDPTE2 of a PAE guest under EPT sets no reserved bit when present",
        "load the PDPTE fields when CR3 changes", |c| field_ok(c, Field::GuestPdpte2);
    "guest.pdpte3.field" => [GuestPdpte3], "PDPTE3 of a PAE guest under EPT sets no reserved bit when present",
        "load the PDPTE fields when CR3 changes", |c| field_ok(c, Field::GuestPdpte3);
    "guest.pdpte0.memory" => [GuestCr3], "the PDPTE at guest CR3 sets no reserved bit when present (PAE, no EPT)", "",
        |c| memory_ok(c, 0), show |c| format!("it is {:X}h", c.now.pdptes.unwrap_or_default()[0]);
    "guest.pdpte1.memory" => [GuestCr3], "the PDPTE at guest CR3 + 8 sets no reserved bit when present (PAE, no EPT)",
        "", |c| memory_ok(c, 1), show |c| format!("it is {:X}h", c.now.pdptes.unwrap_or_default()[1]);
    "guest.pdpte2.memory" => [GuestCr3], "the PDPTE at guest CR3 + 16 sets no reserved bit when present (PAE, no EPT)",
        "", |c| memory_ok(c, 2), show |c| format!("it is {:X}h", c.now.pdptes.unwrap_or_default()[2]);
    "guest.pdpte3.memory" => [GuestCr3], "the PDPTE at guest CR3 + 24 sets no reserved bit when present (PAE, no EPT)",
        "", |c| memory_ok(c, 3), show |c| format!("it is {:X}h", c.now.pdptes.unwrap_or_default()[3]);
}
