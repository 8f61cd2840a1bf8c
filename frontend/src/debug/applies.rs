//! Whether a rule of VM entry that holds says anything: one that no value of its fields could break, as long as the
//! controls are what they are, does not apply.

use super::remedy::Case;
use emu_vmx::checks::{CheckContext, EntryMoment, Rule};
use emu_vmx::field::{Area, Field};
use emu_vmx::vmcs::width_bits;

/// A word of controls: it says whether others count.
fn is_control_word(field: Field) -> bool {
    field.area() == Area::Control && field != Field::EptPointer && !emu_vmx::names::bit_names(field).is_empty()
}

/// Bits that say whether the rest of a field counts: “unusable” of access rights, VM of RFLAGS.
fn condition(field: Field) -> u64 {
    match field {
        Field::GuestRflags => 1 << 17,
        _ if (0x4814..=0x4822).contains(&field.encoding()) => 1 << 16,
        _ => 0,
    }
}

/// Whether some value of the rule's fields, or of the memory that it looks at, would break it.
pub fn applies(case: &Case, rule: &'static Rule) -> bool {
    let fields: Vec<Field> = rule.fields.iter().copied().filter(|field| !is_control_word(*field)).collect();
    if fields.is_empty() || !case.with(case.vmcs, rule.holds) {
        return true;
    }
    for &field in &fields {
        let (value, width) = (case.vmcs.get(field), width_bits(field));
        let mask = if width == 64 { u64::MAX } else { (1 << width) - 1 };
        let kept = if fields.len() == 1 { 0 } else { condition(field) };
        let bits = (0..width).map(|bit| 1u64 << bit).filter(|bit| bit & kept == 0).map(|bit| value ^ bit);
        let mut vmcs = case.vmcs.clone();
        for new in bits.chain([value & kept, mask & !kept | value & kept]) {
            vmcs.set(field, new);
            if !case.with(&vmcs, rule.holds) {
                return true;
            }
        }
    }
    let breaks = |change: fn(&mut EntryMoment)| {
        case.with(case.vmcs, |context| {
            let mut moment = *context.now;
            change(&mut moment);
            !(rule.holds)(&CheckContext::new(context.vmcs, context.caps, context.cpu, &moment))
        })
    };
    // Memory that nobody has looked at is not known, and then does not count.
    breaks(|moment| moment.pdptes = moment.pdptes.map(|_| [u64::MAX; 4]))
        || breaks(|moment| moment.vtpr = moment.vtpr.map(|_| 0))
        || breaks(|moment| moment.link_header = moment.link_header.map(|_| 0))
        || breaks(|moment| moment.link_header = moment.link_header.map(|_| u32::MAX))
}
