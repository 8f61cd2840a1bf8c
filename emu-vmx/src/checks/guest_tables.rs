//! Checks on Guest Descriptor-Table Registers (SDM Vol. 3C 27.3.1.3): exit reason 33.

use crate::checks::{Section, Stage, rules};
use crate::field::Field;

const SECTION: Section = Section { number: "27.3.1.3", title: "Checks on Guest Descriptor-Table Registers" };

rules! {
    section SECTION; stage Stage::GuestState; qualification 0;
    "guest.gdtr.base_canonical" => [GuestGdtrBase],
        "the guest GDTR base is canonical",
        [canonical(Field::GuestGdtrBase)],
        |c| c.canonical(Field::GuestGdtrBase);
    "guest.idtr.base_canonical" => [GuestIdtrBase],
        "the guest IDTR base is canonical",
        [canonical(Field::GuestIdtrBase)],
        |c| c.canonical(Field::GuestIdtrBase);
    "guest.gdtr.limit" => [GuestGdtrLimit],
        "bits 31:16 of the guest GDTR limit are 0",
        [clear(Field::GuestGdtrLimit, 0xFFFF_0000)],
        |c| c.get(Field::GuestGdtrLimit) >> 16 == 0;
    "guest.idtr.limit" => [GuestIdtrLimit],
        "bits 31:16 of the guest IDTR limit are 0",
        [clear(Field::GuestIdtrLimit, 0xFFFF_0000)],
        |c| c.get(Field::GuestIdtrLimit) >> 16 == 0;
}
