//! Checks on Guest Segment Registers (SDM Vol. 3C 27.3.1.2): exit reason 33. What several registers share is written
//! once and instantiated per register.

use super::guest_rip::mode64;
use crate::arch::{AccessRights, Cr0, SegmentRegister};
use crate::checks::{CheckContext, Rule, Section};
use crate::field::Field;

const SECTION: Section = Section { number: "27.3.1.2", title: "Checks on Guest Segment Registers" };

fn rights(c: &CheckContext, field: Field) -> AccessRights {
    AccessRights::from_bits_retain(c.get(field) as u32)
}

fn granularity_low_ok(limit: u64, rights: AccessRights) -> bool {
    limit & 0xFFF == 0xFFF || !rights.contains(AccessRights::G)
}

fn granularity_high_ok(limit: u64, rights: AccessRights) -> bool {
    limit & 0xFFF0_0000 == 0 || rights.contains(AccessRights::G)
}

/// The rights in `field` with the DPL of those in `other`.
fn dpl_of(c: &CheckContext, field: Field, other: Field) -> Option<u64> {
    Some(rights(c, field).with_dpl(rights(c, other).dpl()).bits().into())
}

/// The rights in `field` with the RPL of `selector` as DPL.
fn dpl_of_rpl(c: &CheckContext, field: Field, selector: Field) -> Option<u64> {
    Some(rights(c, field).with_dpl((c.get(selector) & 3) as u8).bits().into())
}

/// The selector in `field` with the RPL of `other`.
fn rpl_of(c: &CheckContext, field: Field, other: Field) -> Option<u64> {
    Some(c.get(field) & !3 | c.get(other) & 3)
}

/// The selector in `field` with the DPL of `other` as RPL.
fn rpl_of_dpl(c: &CheckContext, field: Field, other: Field) -> Option<u64> {
    Some(c.get(field) & !3 | u64::from(rights(c, other).dpl()))
}

/// The rights of a null selector with “unusable”: what loading it in protected mode makes of the register, and of SS in
/// 64-bit mode alone.
fn unusable_if_null(c: &CheckContext, selector: Field, field: Field) -> Option<u64> {
    let unusable = (rights(c, field) | AccessRights::UNUSABLE).bits();
    let loads = c.cr0.contains(Cr0::PE) && (field != Field::GuestSsAccessRights || mode64(c));
    (loads && c.get(selector) & 0xFFFC == 0).then_some(unusable.into())
}

/// Rules that ES, CS, SS, DS, FS and GS share. `$register` decides whether “unusable” excuses: it does not for CS.
macro_rules! common {
    ($module:ident, $id:literal, $name:literal, $register:ident,
     $selector:ident $base:ident $limit:ident $rights:ident) => {
        /// Rules that all six registers share.
        pub mod $module {
            use super::*;
            use crate::checks::{Stage, rules};

            /// The register is checked: outside virtual-8086 mode, and usable (CS always is).
            fn applies(c: &CheckContext) -> bool {
                let cs = matches!(SegmentRegister::$register, SegmentRegister::Cs);
                !c.v8086() && (cs || !rights(c, Field::$rights).unusable())
            }

            rules! {
                section SECTION; stage Stage::GuestState; qualification 0;
                concat!("guest.seg.", $id, ".v8086_base") => [GuestRflags, $selector, $base],
                    concat!("in virtual-8086 mode the ", $name, " base is the selector times 16"),
                    [make(Field::$base, |c| Some((c.get(Field::$selector) & 0xFFFF) << 4))],
                    when |c| c.v8086(),
                    |c| c.get(Field::$base) == c.get(Field::$selector) << 4;
                concat!("guest.seg.", $id, ".v8086_limit") => [GuestRflags, $limit],
                    concat!("in virtual-8086 mode the ", $name, " limit is 0000FFFFh"),
                    [make(Field::$limit, |_| Some(0xFFFF))],
                    when |c| c.v8086(),
                    |c| c.get(Field::$limit) == 0xFFFF;
                concat!("guest.seg.", $id, ".v8086_rights") => [GuestRflags, $rights],
                    concat!("in virtual-8086 mode the ", $name, " access rights are 000000F3h"),
                    [make(Field::$rights, |_| Some(0xF3))],
                    when |c| c.v8086(),
                    |c| c.get(Field::$rights) == 0xF3;
                concat!("guest.seg.", $id, ".s") => [$rights],
                    concat!("S (bit 4) of the ", $name, " access rights is 1"),
                    [
                        make(Field::$rights, |c| unusable_if_null(c, Field::$selector, Field::$rights)),
                        set(Field::$rights, 1 << 4),
                    ],
                    when |c| applies(c),
                    |c| rights(c, Field::$rights).contains(AccessRights::S);
                concat!("guest.seg.", $id, ".p") => [$rights],
                    concat!("P (bit 7) of the ", $name, " access rights is 1"),
                    [
                        make(Field::$rights, |c| unusable_if_null(c, Field::$selector, Field::$rights)),
                        set(Field::$rights, 1 << 7),
                    ],
                    when |c| applies(c),
                    |c| rights(c, Field::$rights).present();
                concat!("guest.seg.", $id, ".reserved_low") => [$rights],
                    concat!("bits 11:8 of the ", $name, " access rights are 0"),
                    [clear(Field::$rights, 0xF00)],
                    when |c| applies(c),
                    |c| c.get(Field::$rights) & 0xF00 == 0;
                concat!("guest.seg.", $id, ".reserved_high") => [$rights],
                    concat!("bits 31:17 of the ", $name, " access rights are 0"),
                    [clear(Field::$rights, 0xFFFE_0000)],
                    when |c| applies(c),
                    |c| c.get(Field::$rights) & 0xFFFE_0000 == 0;
                concat!("guest.seg.", $id, ".granularity_low") => [$limit, $rights],
                    concat!("G of ", $name, " is 0 when a bit of 11:0 of the limit is 0"),
                    [set(Field::$limit, 0xFFF), clear(Field::$rights, 1 << 15)],
                    when |c| applies(c),
                    |c| granularity_low_ok(c.get(Field::$limit), rights(c, Field::$rights));
                concat!("guest.seg.", $id, ".granularity_high") => [$limit, $rights],
                    concat!("G of ", $name, " is 1 when a bit of 31:20 of the limit is 1"),
                    [
                        set(Field::$rights, 1 << 15),
                        all(&[set(Field::$rights, 1 << 15), set(Field::$limit, 0xFFF)], ""),
                        clear(Field::$limit, 0xFFF0_0000),
                    ],
                    when |c| applies(c),
                    |c| granularity_high_ok(c.get(Field::$limit), rights(c, Field::$rights));
            }
        }
    };
}

common!(es, "es", "ES", Es, GuestEsSelector GuestEsBase GuestEsLimit GuestEsAccessRights);
common!(cs, "cs", "CS", Cs, GuestCsSelector GuestCsBase GuestCsLimit GuestCsAccessRights);
common!(ss, "ss", "SS", Ss, GuestSsSelector GuestSsBase GuestSsLimit GuestSsAccessRights);
common!(ds, "ds", "DS", Ds, GuestDsSelector GuestDsBase GuestDsLimit GuestDsAccessRights);
common!(fs, "fs", "FS", Fs, GuestFsSelector GuestFsBase GuestFsLimit GuestFsAccessRights);
common!(gs, "gs", "GS", Gs, GuestGsSelector GuestGsBase GuestGsLimit GuestGsAccessRights);

/// What only CS has.
pub mod cs_own {
    use super::*;
    use crate::checks::{Stage, rules};

    rules! {
        section SECTION; stage Stage::GuestState; qualification 0;
        "guest.seg.cs.base_upper" => [GuestCsBase],
            "bits 63:32 of the CS base are 0",
            [low32(Field::GuestCsBase)],
            |c| c.get(Field::GuestCsBase) >> 32 == 0;
        "guest.seg.cs.type" => [GuestCsAccessRights, SecondaryProcessorControls],
            "the CS type is 9, 11, 13 or 15 (accessed code), or with “unrestricted guest” 3",
            [
                make(Field::GuestCsAccessRights, |c| {
                    let cs = rights(c, Field::GuestCsAccessRights);
                    let code = if cs.type_field() & 8 != 0 { cs.type_field() | 1 } else { 11 };
                    Some(cs.with_type(code).bits().into())
                }),
            ],
            when |c| !c.v8086(),
            |c| match rights(c, Field::GuestCsAccessRights).type_field() {
                9 | 11 | 13 | 15 => true,
                3 => c.unrestricted(),
                _ => false,
            };
        "guest.seg.cs.dpl_data" => [GuestCsAccessRights],
            "the CS DPL is 0 when the CS type is 3",
            [clear(Field::GuestCsAccessRights, 0x60)],
            when |c| !c.v8086(),
            |c| {
                let cs = rights(c, Field::GuestCsAccessRights);
                cs.type_field() != 3 || cs.dpl() == 0
            };
        "guest.seg.cs.dpl_nonconforming" => [GuestCsAccessRights, GuestSsAccessRights],
            "the CS DPL equals the SS DPL when the CS type is 9 or 11",
            [
                make(Field::GuestCsAccessRights, |c| dpl_of(c, Field::GuestCsAccessRights, Field::GuestSsAccessRights)),
                make(Field::GuestSsAccessRights, |c| dpl_of(c, Field::GuestSsAccessRights, Field::GuestCsAccessRights)),
            ],
            when |c| !c.v8086(),
            |c| {
                let cs = rights(c, Field::GuestCsAccessRights);
                !matches!(cs.type_field(), 9 | 11) || cs.dpl() == rights(c, Field::GuestSsAccessRights).dpl()
            };
        "guest.seg.cs.dpl_conforming" => [GuestCsAccessRights, GuestSsAccessRights],
            "the CS DPL is not above the SS DPL when the CS type is 13 or 15",
            [
                make(Field::GuestCsAccessRights, |c| dpl_of(c, Field::GuestCsAccessRights, Field::GuestSsAccessRights)),
            ],
            when |c| !c.v8086(),
            |c| {
                let cs = rights(c, Field::GuestCsAccessRights);
                !matches!(cs.type_field(), 13 | 15) || cs.dpl() <= rights(c, Field::GuestSsAccessRights).dpl()
            };
        "guest.seg.cs.d_l" => [VmEntryControls, GuestCsAccessRights],
            "CS.D is 0 when CS.L is 1 in an IA-32e mode guest",
            [clear(Field::GuestCsAccessRights, 1 << 14), clear(Field::GuestCsAccessRights, 1 << 13)],
            when |c| !c.v8086() && c.ia32e_guest(),
            |c| {
                let cs = rights(c, Field::GuestCsAccessRights);
                !cs.long() || !cs.default_big()
            };
    }
}

/// What only SS has.
pub mod ss_own {
    use super::*;
    use crate::checks::{Stage, rules};

    rules! {
        section SECTION; stage Stage::GuestState; qualification 0;
        "guest.seg.ss.rpl_cs" => [GuestSsSelector, GuestCsSelector, SecondaryProcessorControls],
            "the RPL of SS equals the RPL of CS (not in virtual-8086 mode, not with “unrestricted guest”)",
            [
                make(Field::GuestSsSelector, |c| rpl_of(c, Field::GuestSsSelector, Field::GuestCsSelector)),
                make(Field::GuestCsSelector, |c| rpl_of(c, Field::GuestCsSelector, Field::GuestSsSelector)),
            ],
            when |c| !c.v8086() && !c.unrestricted(),
            |c| c.get(Field::GuestSsSelector) & 3 == c.get(Field::GuestCsSelector) & 3;
        "guest.seg.ss.base_upper" => [GuestSsBase, GuestSsAccessRights],
            "bits 63:32 of the SS base are 0 when SS is usable",
            [low32(Field::GuestSsBase)],
            when |c| !rights(c, Field::GuestSsAccessRights).unusable(),
            |c| c.get(Field::GuestSsBase) >> 32 == 0;
        "guest.seg.ss.type" => [GuestSsAccessRights],
            "the SS type is 3 or 7 (accessed writable data) when SS is usable",
            [
                make(Field::GuestSsAccessRights, |c| {
                    unusable_if_null(c, Field::GuestSsSelector, Field::GuestSsAccessRights)
                }),
                make(Field::GuestSsAccessRights, |c| {
                    let ss = rights(c, Field::GuestSsAccessRights);
                    Some(ss.with_type(ss.type_field() & 4 | 3).bits().into())
                }),
            ],
            when |c| !c.v8086() && !rights(c, Field::GuestSsAccessRights).unusable(),
            |c| matches!(rights(c, Field::GuestSsAccessRights).type_field(), 3 | 7);
        "guest.seg.ss.dpl_rpl" => [GuestSsSelector, GuestSsAccessRights, SecondaryProcessorControls],
            "the SS DPL equals the RPL of SS (not with “unrestricted guest”)",
            [
                make(Field::GuestSsAccessRights, |c| dpl_of_rpl(c, Field::GuestSsAccessRights, Field::GuestSsSelector)),
                make(Field::GuestSsSelector, |c| rpl_of_dpl(c, Field::GuestSsSelector, Field::GuestSsAccessRights)),
            ],
            when |c| !c.v8086() && !c.unrestricted(),
            |c| u64::from(rights(c, Field::GuestSsAccessRights).dpl()) == c.get(Field::GuestSsSelector) & 3;
        "guest.seg.ss.dpl_zero" => [GuestSsAccessRights, GuestCsAccessRights, GuestCr0],
            "the SS DPL is 0 when the CS type is 3 or guest CR0.PE is 0",
            [clear(Field::GuestSsAccessRights, 0x60)],
            when |c| !c.v8086(),
            |c| (rights(c, Field::GuestCsAccessRights).type_field() != 3 && c.cr0.contains(Cr0::PE))
                || rights(c, Field::GuestSsAccessRights).dpl() == 0;
    }
}

/// What DS, ES, FS and GS share beyond the common rules. `upper`: bits 63:32 of the base are 0 when usable (DS, ES);
/// `canonical`: the base is canonical in any case (FS, GS).
macro_rules! data {
    (@base upper, $id:literal, $name:literal, $base:ident, $rights:ident) => {
        rules! {
            section SECTION; stage Stage::GuestState; qualification 0;
            concat!("guest.seg.", $id, ".base_upper") => [$base, $rights],
                concat!("bits 63:32 of the ", $name, " base are 0 when it is usable"),
                [low32(Field::$base)],
                when |c| !rights(c, Field::$rights).unusable(),
                |c| c.get(Field::$base) >> 32 == 0;
        }
    };
    (@base canonical, $id:literal, $name:literal, $base:ident, $rights:ident) => {
        rules! {
            section SECTION; stage Stage::GuestState; qualification 0;
            concat!("guest.seg.", $id, ".base_canonical") => [$base],
                concat!("the ", $name, " base is canonical"),
                [canonical(Field::$base)],
                |c| c.canonical(Field::$base);
        }
    };
    ($module:ident, $base_module:ident, $kind:ident, $id:literal, $name:literal,
     $selector:ident $base:ident $rights:ident) => {
        /// The base rule, which holds in every mode.
        pub mod $base_module {
            use super::*;
            use crate::checks::{Stage, rules};
            data!(@base $kind, $id, $name, $base, $rights);
        }

        /// Type and DPL.
        pub mod $module {
            use super::*;
            use crate::checks::{Stage, rules};

            rules! {
                section SECTION; stage Stage::GuestState; qualification 0;
                concat!("guest.seg.", $id, ".type_accessed") => [$rights],
                    concat!("bit 0 of the ", $name, " type is 1 (accessed) when it is usable"),
                    [
                        make(Field::$rights, |c| unusable_if_null(c, Field::$selector, Field::$rights)),
                        set(Field::$rights, 1),
                    ],
                    when |c| !c.v8086() && !rights(c, Field::$rights).unusable(),
                    |c| rights(c, Field::$rights).type_field() & 1 != 0;
                concat!("guest.seg.", $id, ".type_readable") => [$rights],
                    concat!("a code segment in ", $name, " is readable (bit 3 of the type requires bit 1)"),
                    [set(Field::$rights, 1 << 1)],
                    when |c| !c.v8086() && !rights(c, Field::$rights).unusable(),
                    |c| rights(c, Field::$rights).type_field() & 0xA != 8;
                concat!("guest.seg.", $id, ".dpl_rpl") => [$selector, $rights, SecondaryProcessorControls],
                    concat!("the ", $name, " DPL is not below its RPL for types 0–11 (not with “unrestricted guest”)"),
                    [
                        make(Field::$rights, |c| dpl_of_rpl(c, Field::$rights, Field::$selector)),
                        make(Field::$selector, |c| rpl_of_dpl(c, Field::$selector, Field::$rights)),
                    ],
                    when |c| !c.v8086() && !c.unrestricted() && !rights(c, Field::$rights).unusable(),
                    |c| {
                        let own = rights(c, Field::$rights);
                        own.type_field() > 11 || u64::from(own.dpl()) >= c.get(Field::$selector) & 3
                    };
            }
        }
    };
}

data!(es_own, es_base, upper, "es", "ES", GuestEsSelector GuestEsBase GuestEsAccessRights);
data!(ds_own, ds_base, upper, "ds", "DS", GuestDsSelector GuestDsBase GuestDsAccessRights);
data!(fs_own, fs_base, canonical, "fs", "FS", GuestFsSelector GuestFsBase GuestFsAccessRights);
data!(gs_own, gs_base, canonical, "gs", "GS", GuestGsSelector GuestGsBase GuestGsAccessRights);

/// LDTR.
pub mod ldtr {
    use super::*;
    use crate::arch::segment::system_type;
    use crate::checks::{Stage, rules};

    fn usable(c: &CheckContext) -> bool {
        !rights(c, Field::GuestLdtrAccessRights).unusable()
    }

    rules! {
        section SECTION; stage Stage::GuestState; qualification 0;
        "guest.seg.ldtr.ti" => [GuestLdtrSelector, GuestLdtrAccessRights],
            "TI of the LDTR selector is 0 when LDTR is usable",
            [clear(Field::GuestLdtrSelector, 4)],
            when |c| usable(c),
            |c| c.get(Field::GuestLdtrSelector) & 4 == 0;
        "guest.seg.ldtr.base_canonical" => [GuestLdtrBase, GuestLdtrAccessRights],
            "the LDTR base is canonical when LDTR is usable",
            [canonical(Field::GuestLdtrBase)],
            when |c| usable(c),
            |c| c.canonical(Field::GuestLdtrBase);
        "guest.seg.ldtr.type" => [GuestLdtrAccessRights],
            "the LDTR type is 2 when LDTR is usable",
            [
                make(Field::GuestLdtrAccessRights, |c| {
                    Some(rights(c, Field::GuestLdtrAccessRights).with_type(system_type::LDT).bits().into())
                }),
            ],
            when |c| usable(c),
            |c| rights(c, Field::GuestLdtrAccessRights).type_field() == system_type::LDT;
        "guest.seg.ldtr.s" => [GuestLdtrAccessRights],
            "S of LDTR is 0 when LDTR is usable",
            [clear(Field::GuestLdtrAccessRights, 1 << 4)],
            when |c| usable(c),
            |c| rights(c, Field::GuestLdtrAccessRights).is_system();
        "guest.seg.ldtr.p" => [GuestLdtrAccessRights],
            "P of LDTR is 1 when LDTR is usable",
            [
                make(Field::GuestLdtrAccessRights, |c| {
                    unusable_if_null(c, Field::GuestLdtrSelector, Field::GuestLdtrAccessRights)
                }),
                set(Field::GuestLdtrAccessRights, 1 << 7),
            ],
            when |c| usable(c),
            |c| rights(c, Field::GuestLdtrAccessRights).present();
        "guest.seg.ldtr.reserved_low" => [GuestLdtrAccessRights],
            "bits 11:8 of the LDTR access rights are 0 when LDTR is usable",
            [clear(Field::GuestLdtrAccessRights, 0xF00)],
            when |c| usable(c),
            |c| c.get(Field::GuestLdtrAccessRights) & 0xF00 == 0;
        "guest.seg.ldtr.reserved_high" => [GuestLdtrAccessRights],
            "bits 31:17 of the LDTR access rights are 0 when LDTR is usable",
            [clear(Field::GuestLdtrAccessRights, 0xFFFE_0000)],
            when |c| usable(c),
            |c| c.get(Field::GuestLdtrAccessRights) & 0xFFFE_0000 == 0;
        "guest.seg.ldtr.granularity_low" => [GuestLdtrLimit, GuestLdtrAccessRights],
            "G of LDTR is 0 when a bit of 11:0 of the limit is 0 and LDTR is usable",
            [set(Field::GuestLdtrLimit, 0xFFF), clear(Field::GuestLdtrAccessRights, 1 << 15)],
            when |c| usable(c),
            |c| granularity_low_ok(c.get(Field::GuestLdtrLimit), rights(c, Field::GuestLdtrAccessRights));
        "guest.seg.ldtr.granularity_high" => [GuestLdtrLimit, GuestLdtrAccessRights],
            "G of LDTR is 1 when a bit of 31:20 of the limit is 1 and LDTR is usable",
            [
                clear(Field::GuestLdtrLimit, 0xFFF0_0000),
                all(&[set(Field::GuestLdtrAccessRights, 1 << 15), set(Field::GuestLdtrLimit, 0xFFF)], ""),
            ],
            when |c| usable(c),
            |c| granularity_high_ok(c.get(Field::GuestLdtrLimit), rights(c, Field::GuestLdtrAccessRights));
    }
}

/// TR.
pub mod tr {
    use super::*;
    use crate::arch::segment::system_type;
    use crate::checks::{Stage, rules};

    rules! {
        section SECTION; stage Stage::GuestState; qualification 0;
        "guest.seg.tr.ti" => [GuestTrSelector], "TI of the TR selector is 0",
            [clear(Field::GuestTrSelector, 4)],
            |c| c.get(Field::GuestTrSelector) & 4 == 0;
        "guest.seg.tr.base_canonical" => [GuestTrBase],
            "the TR base is canonical", [canonical(Field::GuestTrBase)], |c| c.canonical(Field::GuestTrBase);
        "guest.seg.tr.type" => [VmEntryControls, GuestTrAccessRights],
            "the TR type is 11 (busy TSS), or without “IA-32e mode guest” 3 (busy 16-bit TSS)",
            [
                make(Field::GuestTrAccessRights, |c| {
                    let tr = rights(c, Field::GuestTrAccessRights);
                    let small = tr.type_field() == system_type::TSS16_AVAILABLE && !c.ia32e_guest();
                    let busy = if small { system_type::TSS16_BUSY } else { system_type::TSS_BUSY };
                    Some(tr.with_type(busy).bits().into())
                }),
            ],
            |c| match rights(c, Field::GuestTrAccessRights).type_field() {
                system_type::TSS_BUSY => true,
                system_type::TSS16_BUSY => !c.ia32e_guest(),
                _ => false,
            };
        "guest.seg.tr.s" => [GuestTrAccessRights], "S of TR is 0",
            [clear(Field::GuestTrAccessRights, 1 << 4)],
            |c| rights(c, Field::GuestTrAccessRights).is_system();
        "guest.seg.tr.p" => [GuestTrAccessRights], "P of TR is 1",
            [set(Field::GuestTrAccessRights, 1 << 7)],
            |c| rights(c, Field::GuestTrAccessRights).present();
        "guest.seg.tr.reserved_low" => [GuestTrAccessRights], "bits 11:8 of the TR access rights are 0",
            [clear(Field::GuestTrAccessRights, 0xF00)],
            |c| c.get(Field::GuestTrAccessRights) & 0xF00 == 0;
        "guest.seg.tr.usable" => [GuestTrAccessRights], "bit 16 (unusable) of the TR access rights is 0",
            [
                all(&[clear(Field::GuestTrAccessRights, 1 << 16)], "a guest has a TR in every mode; 8Bh with limit 67h will do"),
            ],
            |c| !rights(c, Field::GuestTrAccessRights).unusable();
        "guest.seg.tr.reserved_high" => [GuestTrAccessRights], "bits 31:17 of the TR access rights are 0",
            [clear(Field::GuestTrAccessRights, 0xFFFE_0000)],
            |c| c.get(Field::GuestTrAccessRights) & 0xFFFE_0000 == 0;
        "guest.seg.tr.granularity_low" => [GuestTrLimit, GuestTrAccessRights],
            "G of TR is 0 when a bit of 11:0 of the limit is 0",
            [set(Field::GuestTrLimit, 0xFFF), clear(Field::GuestTrAccessRights, 1 << 15)],
            |c| granularity_low_ok(c.get(Field::GuestTrLimit), rights(c, Field::GuestTrAccessRights));
        "guest.seg.tr.granularity_high" => [GuestTrLimit, GuestTrAccessRights],
            "G of TR is 1 when a bit of 31:20 of the limit is 1",
            [
                clear(Field::GuestTrLimit, 0xFFF0_0000),
                all(&[set(Field::GuestTrAccessRights, 1 << 15), set(Field::GuestTrLimit, 0xFFF)], ""),
            ],
            |c| granularity_high_ok(c.get(Field::GuestTrLimit), rights(c, Field::GuestTrAccessRights));
    }
}

/// The tables of this section, in order.
pub fn tables() -> [&'static [Rule]; 18] {
    [
        es::RULES,
        es_base::RULES,
        es_own::RULES,
        cs::RULES,
        cs_own::RULES,
        ss::RULES,
        ss_own::RULES,
        ds::RULES,
        ds_base::RULES,
        ds_own::RULES,
        fs::RULES,
        fs_base::RULES,
        fs_own::RULES,
        gs::RULES,
        gs_base::RULES,
        gs_own::RULES,
        ldtr::RULES,
        tr::RULES,
    ]
}

/// All checks of this section.
pub fn check(c: &CheckContext) -> Result<(), &'static Rule> {
    es::check(c)?;
    es_base::check(c)?;
    es_own::check(c)?;
    cs::check(c)?;
    cs_own::check(c)?;
    ss::check(c)?;
    ss_own::check(c)?;
    ds::check(c)?;
    ds_base::check(c)?;
    ds_own::check(c)?;
    fs::check(c)?;
    fs_base::check(c)?;
    fs_own::check(c)?;
    gs::check(c)?;
    gs_base::check(c)?;
    gs_own::check(c)?;
    ldtr::check(c)?;
    tr::check(c)
}
