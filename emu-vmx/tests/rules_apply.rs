//! Which rules of VM entry apply: the SDM's words before a check decide, and no value that happens to stand in a field.
#![allow(missing_docs)]

mod support;

use emu_vmx::arch::{Segment, SegmentRegister};
use emu_vmx::checks;
use emu_vmx::controls::*;
use emu_vmx::field::Field;
use support::Case;

use PrimaryProcessorControls as P1;
use SecondaryProcessorControls as P2;

type Change = fn(&mut Case);

/// Title, rule, VMCS, whether the rule applies.
const CASES: &[(&str, &str, Change, bool)] = &[
    // SDM Vol. 3C 27.3.1.4.
    ("Checks on Guest RIP, RFLAGS, and SSP", "guest.rflags.vm", |_| (), true),
    ("Checks on Guest RIP, RFLAGS, and SSP", "guest.rflags.vm", |t| _ = t.guest32(), true),
    ("Checks on Guest RIP, RFLAGS, and SSP", "guest.rflags.vm", |t| _ = t.v8086(), true),
    ("Checks on Guest RIP, RFLAGS, and SSP", "guest.rip.upper", |_| (), false),
    ("Checks on Guest RIP, RFLAGS, and SSP", "guest.rip.upper", |t| _ = t.guest32(), true),
    ("Checks on Guest RIP, RFLAGS, and SSP", "guest.rip.identical", |t| _ = t.guest32(), false),
    ("Checks on Guest RIP, RFLAGS, and SSP", "guest.ssp.align", |_| (), false),
    ("Checks on Guest RIP, RFLAGS, and SSP", "guest.ssp.identical", |_| (), false),
    (
        "Checks on Guest RIP, RFLAGS, and SSP",
        "guest.ssp.identical",
        |t| _ = t.guest32().entry(VmEntryControls::LOAD_CET_STATE),
        true,
    ),
    // 27.3.1.5.
    ("Checks on Guest Non-Register State", "guest.activity.blocking", |_| (), true),
    ("Checks on Guest Non-Register State", "guest.activity.hlt_cpl", |_| (), true),
    ("Checks on Guest Non-Register State", "guest.activity.hlt_event", |_| (), false),
    ("Checks on Guest Non-Register State", "guest.activity.hlt_event", |t| _ = t.inject(0x8000_0202), true),
    ("Checks on Guest Non-Register State", "guest.activity.smm", |_| (), false),
    ("Checks on Guest Non-Register State", "guest.interruptibility.sti_if", |_| (), true),
    ("Checks on Guest Non-Register State", "guest.interruptibility.nmi", |t| _ = t.inject(0x8000_0202), false),
    ("Checks on Guest Non-Register State", "guest.nmi_sti.blocking", |_| (), false),
    ("Checks on Guest Non-Register State", "guest.nmi_sti.blocking", |t| _ = t.inject(0x8000_0202), true),
    ("Checks on Guest Non-Register State", "guest.pending_debug.bs_required", |_| (), true),
    ("Checks on Guest Non-Register State", "guest.link.align", |_| (), false),
    ("Checks on Guest Non-Register State", "guest.link.align", |t| _ = t.set(Field::VmcsLinkPointer, 0x6000), true),
    // 27.3.1.2.
    ("Checks on Guest Segment Registers", "guest.seg.es.dpl_rpl", |_| (), true),
    ("Checks on Guest Segment Registers", "guest.seg.ss.dpl_rpl", |_| (), true),
    ("Checks on Guest Segment Registers", "guest.seg.ss.dpl_rpl", |t| unusable(t, SegmentRegister::Ss), true),
    ("Checks on Guest Segment Registers", "guest.seg.es.dpl_rpl", |t| _ = t.unrestricted(), false),
    ("Checks on Guest Segment Registers", "guest.seg.es.granularity_low", |_| (), true),
    ("Checks on Guest Segment Registers", "guest.seg.ldtr.granularity_low", |_| (), true),
    ("Checks on Guest Segment Registers", "guest.seg.tr.granularity_low", |_| (), true),
    ("Checks on Guest Segment Registers", "guest.seg.es.s", |t| unusable(t, SegmentRegister::Es), false),
    ("Checks on Guest Segment Registers", "guest.seg.es.granularity_low", |t| unusable(t, SegmentRegister::Es), false),
    ("Checks on Guest Segment Registers", "guest.seg.ds.type_accessed", |t| unusable(t, SegmentRegister::Ds), false),
    ("Checks on Guest Segment Registers", "guest.seg.fs.dpl_rpl", |t| unusable(t, SegmentRegister::Fs), false),
    ("Checks on Guest Segment Registers", "guest.seg.fs.base_canonical", |t| unusable(t, SegmentRegister::Fs), true),
    ("Checks on Guest Segment Registers", "guest.seg.ss.type", |t| unusable(t, SegmentRegister::Ss), false),
    ("Checks on Guest Segment Registers", "guest.seg.cs.s", |t| unusable(t, SegmentRegister::Cs), true),
    ("Checks on Guest Segment Registers", "guest.seg.ldtr.type", |t| unusable(t, SegmentRegister::Ldtr), false),
    ("Checks on Guest Segment Registers", "guest.seg.tr.type", |t| unusable(t, SegmentRegister::Tr), true),
    ("Checks on Guest Segment Registers", "guest.seg.tr.usable", |_| (), true),
    ("Checks on Guest Segment Registers", "guest.seg.tr.usable", |t| unusable(t, SegmentRegister::Tr), true),
    ("Checks on Guest Segment Registers", "guest.seg.es.s", |t| _ = t.v8086(), false),
    ("Checks on Guest Segment Registers", "guest.seg.es.v8086_base", |t| _ = t.v8086(), true),
    ("Checks on Guest Segment Registers", "guest.seg.es.v8086_base", |_| (), false),
    // 27.3.1.1.
    ("Checks on Guest Control Registers, Debug Registers, and MSRs", "guest.cr4.cet_wp", |_| (), true),
    ("Checks on Guest Control Registers, Debug Registers, and MSRs", "guest.cr0.pg_pe", |_| (), true),
    ("Checks on Guest Control Registers, Debug Registers, and MSRs", "guest.pat.types", |_| (), false),
    (
        "Checks on Guest Control Registers, Debug Registers, and MSRs",
        "guest.pat.types",
        |t| _ = t.entry(VmEntryControls::LOAD_IA32_PAT),
        true,
    ),
    ("Checks on Guest Control Registers, Debug Registers, and MSRs", "guest.spec_ctrl.reserved", |_| (), false),
    (
        "Checks on Guest Control Registers, Debug Registers, and MSRs",
        "guest.spec_ctrl.reserved",
        |t| _ = t.entry(VmEntryControls::LOAD_IA32_SPEC_CTRL),
        true,
    ),
    // 27.3.1.6.
    ("Checks on Guest Page-Directory-Pointer-Table Entries", "guest.pdpte0.field", |t| _ = t.ept(), false),
    ("Checks on Guest Page-Directory-Pointer-Table Entries", "guest.pdpte0.field", |t| pae(t.ept()), true),
    ("Checks on Guest Page-Directory-Pointer-Table Entries", "guest.pdpte0.memory", |t| pae(t.ept()), false),
    ("Checks on Guest Page-Directory-Pointer-Table Entries", "guest.pdpte0.memory", pae, true),
    // 27.2.2 and 27.2.4.
    ("Checks on Host Control Registers, MSRs, and SSP", "host.cr4.cet_wp", |_| (), true),
    ("Checks on Host Control Registers, MSRs, and SSP", "host.spec_ctrl.reserved", |_| (), false),
    (
        "Checks on Host Control Registers, MSRs, and SSP",
        "host.spec_ctrl.reserved",
        |t| _ = t.set(Field::SecondaryVmExitControls, 1 << 2),
        true,
    ),
    (
        "Checks on Host Control Registers, MSRs, and SSP",
        "host.spec_ctrl.reserved",
        |t| _ = t.set(Field::SecondaryVmExitControls, 1 << 2).clear(Field::VmExitControls, 1 << 31),
        false,
    ),
    ("Checks Related to Address-Space Size", "host.rip.upper", |_| (), false),
    ("Checks Related to Address-Space Size", "host.rip.upper", |t| _ = t.host32(), true),
    // 27.2.1.3.
    ("VM-Entry Control Fields", "ctl.event.vector_nmi", |t| _ = t.inject(0x0000_0203), false),
    ("VM-Entry Control Fields", "ctl.event.vector_nmi", |t| _ = t.inject(0x8000_0202), true),
    ("VM-Entry Control Fields", "ctl.event.length_zero", |_| (), false),
    ("VM-Entry Control Fields", "ctl.entry_msr_load.align", |_| (), false),
    ("VM-Entry Control Fields", "ctl.entry_msr_load.align", |t| _ = t.set(Field::VmEntryMsrLoadCount, 1), true),
    // 27.2.1.2.
    ("VM-Exit Control Fields", "ctl.exit2.reserved", |t| _ = t.clear(Field::VmExitControls, 1 << 31), false),
    ("VM-Exit Control Fields", "ctl.exit2.reserved", |_| (), true),
    // 27.2.1.1.
    ("VM-Execution Control Fields", "ctl.secondary.reserved", |_| (), true),
    ("VM-Execution Control Fields", "ctl.secondary.reserved", inactive, false),
    ("VM-Execution Control Fields", "ctl.tertiary.reserved", |_| (), true),
    ("VM-Execution Control Fields", "ctl.tertiary.reserved", inactive, false),
    ("VM-Execution Control Fields", "ctl.vm_functions.reserved", |_| (), false),
    ("VM-Execution Control Fields", "ctl.vm_functions.reserved", |t| _ = t.secondary(P2::ENABLE_VM_FUNCTIONS), true),
    ("VM-Execution Control Fields", "ctl.vpid.zero", |t| _ = t.set(Field::Vpid, 5), false),
    ("VM-Execution Control Fields", "ctl.vpid.zero", |t| _ = t.secondary(P2::ENABLE_VPID), true),
    ("VM-Execution Control Fields", "ctl.entry.pt_enabled", |_| (), true),
];

fn unusable(case: &mut Case, register: SegmentRegister) {
    case.vmcs.set_guest_segment(register, &Segment::NULL);
}

fn pae(case: &mut Case) {
    case.guest32().set(Field::GuestCr4, 0x2020);
}

/// No controls but the primary ones.
fn inactive(case: &mut Case) {
    let activation = P1::ACTIVATE_SECONDARY_CONTROLS | P1::ACTIVATE_TERTIARY_CONTROLS;
    case.clear(Field::PrimaryProcessorControls, activation.bits().into());
}

#[test]
fn rule_applies_where_the_sdm_says_so() {
    for (title, id, change, expected) in CASES {
        let mut case = Case::long_mode();
        change(&mut case);
        let rule = checks::all_rules().find(|rule| rule.id == *id).expect(id);
        assert_eq!(rule.section.title, *title, "{id}");
        assert_eq!((rule.applies)(&case.context()), *expected, "{id} ({})", rule.section.number);
    }
}

#[test]
fn rule_that_does_not_apply_holds_whatever_its_fields_hold() {
    for rule in checks::all_rules() {
        for change in [(|_| ()) as Change, inactive, |t| _ = t.v8086(), |t| _ = t.host32()] {
            let mut case = Case::long_mode();
            change(&mut case);
            for &field in rule.fields {
                for value in [0, u64::MAX, 0x5555_5555_5555_5555, 1 << 31, 1 << 16] {
                    let mut case = case.clone();
                    case.set(field, value & field.width().mask());
                    let context = case.context();
                    assert!((rule.applies)(&context) || (rule.holds)(&context), "{} {value:x}", rule.id);
                }
            }
        }
    }
}
