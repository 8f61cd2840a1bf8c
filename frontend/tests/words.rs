//! What the SDM has a name for is never told as a bare number: rules with what they found, fields, VM exits.

use emu_core::model::CpuModel;
use emu_vmx::checks::{CheckContext, EntryMoment, Rule, all_rules};
use emu_vmx::exit::ExitReason;
use emu_vmx::field::Field;
use emu_vmx::names::bit_names;
use emu_vmx::vmcs::Vmcs;
use emu_vmx::words;

/// The numbers behind `bit ` in a text.
fn bare_bits(text: &str) -> impl Iterator<Item = u32> {
    text.split("bit ").skip(1).filter_map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok())
}

/// One sentence about a rule: every bit without a name has none in the SDM.
fn check(rule: &Rule, context: &CheckContext, set: Option<(Field, u32)>) {
    let (found, detail) = (rule.found(context), rule.detail.map_or(String::new(), |detail| detail(context)));
    for field in rule.fields {
        assert!(found.contains(field.name()), "{}: {found}", rule.id);
    }
    for bit in bare_bits(&detail) {
        let unnamed = |field: &Field| bit_names(*field).iter().all(|named| named.0 != bit);
        assert!(rule.fields.iter().any(unnamed), "{}: bit {bit} has a name: {detail}", rule.id);
    }
    // A bit that must not be 1 is told by its name.
    if let (Some((field, bit)), Some((_, excess))) = (set, detail.split_once("must be 0: ")) {
        let name = bit_names(field).into_iter().find(|named| named.0 == bit).map(|named| named.1);
        if let Some(name) = name.filter(|_| rule.fields.len() == 1 && !excess.starts_with("none")) {
            assert!(excess.contains(&format!("“{name}”")), "{}: {name}: {detail}", rule.id);
        }
    }
}

#[test]
fn every_rule_tells_its_bits_and_outcome_by_name() {
    let mut count = 0;
    for name in CpuModel::names() {
        let model = CpuModel::named(name).expect("the model is sound");
        let Some(vmx) = model.vmx() else { continue };
        for rule in all_rules() {
            count += 1;
            let moment = EntryMoment { pdptes: Some([u64::MAX; 4]), ..EntryMoment::default() };
            let mut vmcs = Vmcs::new(vmx.caps.basic.revision_id());
            check(rule, &CheckContext::new(&vmcs, &vmx.caps, &vmx.facts, &moment), None);
            for &field in rule.fields {
                for bit in 0..64 {
                    vmcs.set(field, 1 << bit & field.width().mask());
                    check(rule, &CheckContext::new(&vmcs, &vmx.caps, &vmx.facts, &moment), Some((field, bit)));
                }
                vmcs.set(field, field.width().mask());
                check(rule, &CheckContext::new(&vmcs, &vmx.caps, &vmx.facts, &moment), None);
                vmcs.set(field, 0);
            }
            let outcome = rule.failure().words();
            let named = |text: &str| text.chars().filter(|c| c.is_alphabetic()).count() > 3;
            assert!(outcome.contains('(') && named(&outcome), "{}: {outcome}", rule.id);
            assert!(named(rule.required) && named(rule.section.title), "{}", rule.id);
            assert!(rule.section.number.starts_with("27."), "{}: {}", rule.id, rule.section.number);
        }
    }
    assert!(count > 600, "{count} rules");
}

#[test]
fn every_value_with_a_meaning_has_words() {
    let mut vmcs = Vmcs::new(1);
    for (field, values) in [
        (Field::GuestActivityState, &[0, 1, 2, 3][..]),
        (Field::GuestInterruptibilityState, &[1, 2, 4, 8, 16]),
        (Field::VmEntryInterruptionInformation, &[0x8000_0B0E, 0x8000_0020, 0x8000_0202, 0x8000_0700]),
        (Field::VmExitInterruptionInformation, &[0x8000_0B0E, 0x8000_0020, 0x8000_0202]),
        (Field::IdtVectoringInformation, &[0x8000_0B0E, 0x8000_0630]),
        (Field::GuestCsAccessRights, &[0x9B, 0xA09B, 0x1_0000]),
        (Field::GuestTrAccessRights, &[0x8B, 0x83]),
        (Field::EptPointer, &[0x1018 | 6]),
        (Field::VmcsLinkPointer, &[u64::MAX]),
    ] {
        for &value in values {
            let text = words::field(field, value, &vmcs);
            assert!(text.chars().any(char::is_alphabetic), "{field:?} {value:#x}: {text:?}");
        }
    }
    for &field in Field::ALL {
        for (bit, name) in bit_names(field) {
            let text = words::field(field, 1 << bit, &vmcs);
            let whole = field == Field::EptPointer || field == Field::GuestRflags && bit == 1;
            assert!(whole || text.contains(name), "{field:?} bit {bit}: {text}");
        }
    }
    for &reason in ExitReason::ALL {
        vmcs.set(Field::ExitReason, reason.field().into());
        assert!(words::field(Field::ExitReason, reason.field().into(), &vmcs).contains(reason.text()), "{reason:?}");
        for bit in 0..64 {
            let text = words::qualification(reason, 1 << bit);
            assert!(text.is_empty() || text.chars().any(char::is_alphabetic), "{reason:?} bit {bit}: {text}");
        }
    }
}

/// The macros of the log in a source, each with its line and all that stands in its parentheses.
fn log_lines(source: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for name in ["error!(", "warn!(", "info!(", "debug!(", "trace!(", "error_once!("] {
        for (at, _) in source.match_indices(name) {
            let (mut depth, mut quoted, mut before) = (0, false, ' ');
            let body = source[at + name.len() - 1..].chars().take_while(|c| {
                quoted ^= *c == '"' && before != '\\';
                depth += i32::from(!quoted && *c == '(') - i32::from(!quoted && *c == ')');
                before = *c;
                depth > 0
            });
            found.push((source[..at].lines().count(), body.collect()));
        }
    }
    found
}

#[test]
fn log_tells_nothing_in_the_form_of_rusts_own_values() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut count = 0;
    for folder in ["emu-vmx", "emu-core", "emu-jit", "emu-devices", "frontend"] {
        for entry in walkdir::WalkDir::new(root.join(folder).join("src")) {
            let path = entry.expect("the folder can be read").into_path();
            if path.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let source = std::fs::read_to_string(&path).expect("it can be read");
            for (line, text) in log_lines(&source) {
                count += 1;
                assert!(!text.contains("?}"), "{}:{line}: {text}", path.display());
            }
        }
    }
    assert!(count > 40, "{count} macros");
}
