//! VMCS fields in words.

use super::words;
use emu_core::report::segment_words;
use emu_vmx::arch::segment::AccessRights;
use emu_vmx::exit::{ExitReason, InterruptionInformation};
use emu_vmx::field::{Area, Field};
use emu_vmx::names;
use emu_vmx::vmcs::{ActivityState, NO_VMCS, VmInstructionError, Vmcs, width_bits};

/// The areas with their headings, in the order of dumps.
pub const AREAS: [(Area, &str); 4] = [
    (Area::Control, "controls"),
    (Area::Guest, "guest state"),
    (Area::Host, "host state"),
    (Area::ReadOnly, "VM-exit information"),
];

/// A field's value with as many digits as the field has.
pub fn digits(field: Field, value: u64) -> String {
    let width = width_bits(field) as usize / 4;
    format!("{value:0width$x}")
}

/// What a field's value means; empty where a number says all.
pub fn words(field: Field, value: u64, vmcs: &Vmcs) -> String {
    let low = value as u32;
    match field {
        Field::ExitReason => words::exit_reason(low),
        Field::ExitQualification => {
            let reason = vmcs.get32(Field::ExitReason);
            match ExitReason::from_number(reason as u16) {
                Some(ExitReason::ExceptionOrNmi) => {
                    let event = InterruptionInformation(vmcs.get32(Field::VmExitInterruptionInformation));
                    if event.valid() { words::exception_qualification(event.vector(), value) } else { String::new() }
                }
                Some(reason) => words::qualification(reason, value),
                None => String::new(),
            }
        }
        Field::VmInstructionError if value == 0 => String::new(),
        Field::VmInstructionError => VmInstructionError::from_number(low)
            .map_or_else(|| "not defined".to_owned(), |error| error.text().to_owned()),
        Field::VmEntryInterruptionInformation
        | Field::VmExitInterruptionInformation
        | Field::IdtVectoringInformation => words::interruption(low),
        Field::GuestActivityState => match ActivityState::from_field(low) {
            Some(ActivityState::Active) => "active".to_owned(),
            Some(ActivityState::Hlt) => "HLT".to_owned(),
            Some(ActivityState::Shutdown) => "shutdown".to_owned(),
            Some(ActivityState::WaitForSipi) => "wait-for-SIPI".to_owned(),
            None => "not defined".to_owned(),
        },
        Field::VmcsLinkPointer if value == NO_VMCS => "none".to_owned(),
        Field::EptPointer => eptp(value),
        _ if is_rights(field) => segment_words(AccessRights::from_bits_retain(low)),
        _ if names::bit_names(field).is_empty() => String::new(),
        Field::GuestRflags => names::set_bits(field, value & !2 & !0x3000).join(" "),
        _ if field.area() == Area::Control || field == Field::GuestInterruptibilityState => {
            names::set_bits(field, value).join(", ")
        }
        _ => names::set_bits(field, value).join(" "),
    }
}

/// Whether a field holds the access rights of a segment register.
fn is_rights(field: Field) -> bool {
    // Encodings 4814h to 4822h.
    (0x4814..=0x4822).contains(&field.encoding())
}

/// An EPT pointer in words (SDM Vol. 3C 25.6.11 "Extended-Page-Table Pointer (EPTP)").
pub fn eptp(value: u64) -> String {
    let kind = match value & 7 {
        0 => "UC",
        6 => "WB",
        _ => "reserved memory type",
    };
    let flags = names::set_bits(Field::EptPointer, value & 0xC0).join(", ");
    let flags = if flags.is_empty() { flags } else { format!(", {flags}") };
    format!("PML4 at {:#x}, {kind}, {} levels{flags}", value & 0x000F_FFFF_FFFF_F000, (value >> 3 & 7) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_fields_never_show_a_named_bit_as_a_number() {
        let vmcs = Vmcs::new(1);
        for &field in Field::ALL {
            for (bit, name) in names::bit_names(field) {
                let text = words(field, 1 << bit, &vmcs);
                if field == Field::EptPointer || field == Field::GuestRflags && bit == 1 {
                    continue;
                }
                assert!(text.contains(name) && !text.contains("bit "), "{field:?} bit {bit}: {text}");
            }
        }
    }

    #[test]
    fn fields_with_a_meaning_are_told_in_words() {
        let mut vmcs = Vmcs::new(1);
        vmcs.set(Field::ExitReason, 30);
        assert_eq!(words(Field::ExitReason, 30, &vmcs), "I/O instruction");
        assert_eq!(words(Field::ExitQualification, 0x70_0040, &vmcs), "OUT, port 0x70 (immediate), 1 byte");
        assert_eq!(words(Field::GuestCsAccessRights, 0xA09B, &vmcs), "64-bit code, DPL 0");
        assert_eq!(words(Field::VmInstructionError, 7, &vmcs), "VM entry with invalid control field(s)");
        assert_eq!(words(Field::GuestActivityState, 1, &vmcs), "HLT");
        assert_eq!(words(Field::EptPointer, 0x1018 | 6, &vmcs), "PML4 at 0x1000, WB, 4 levels");
        assert_eq!(digits(Field::GuestCsSelector, 8), "0008");
    }
}
