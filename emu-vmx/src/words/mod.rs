//! Fields of the VMCS, exit reasons and qualifications in the SDM's words (SDM Vol. 3C chapters 25 "Virtual-Machine Control
//! Structures" and 28 "VM Exits"): for debuggers, dumps and messages.

mod exits;
mod instruction;

pub use exits::{exception_qualification, exit_reason, interruption, interruption_of, qualification};
pub use instruction::information as instruction_information;

use crate::arch::segment::{AccessRights, system_type};
use crate::arch::vector::{self, PageFaultError};
use crate::exit::{ExitReason, InterruptionInformation};
use crate::field::{Area, Field};
use crate::names;
use crate::vmcs::{ActivityState, NO_VMCS, VmInstructionError, Vmcs};
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// `VMfailValid 12 (VMREAD/VMWRITE from/to unsupported VMCS component)`; VMfailInvalid has no error.
pub fn vmfail(error: Option<VmInstructionError>) -> String {
    match error {
        Some(error) => format!("VMfailValid {} ({})", error.number(), error.text()),
        None => "VMfailInvalid".to_owned(),
    }
}

/// `VM exit 34 (VM-entry failure due to MSR loading)`.
pub fn vm_exit(reason: ExitReason) -> String {
    format!("VM exit {} ({})", reason as u16, reason.text())
}

/// What a field's value means; empty where a number says all.
pub fn field(which: Field, value: u64, vmcs: &Vmcs) -> String {
    let low = value as u32;
    match which {
        Field::ExitReason => exits::exit_reason(low),
        Field::ExitQualification => {
            let reason = vmcs.get32(Field::ExitReason);
            match ExitReason::from_number(reason as u16) {
                Some(ExitReason::ExceptionOrNmi) => {
                    let event = InterruptionInformation(vmcs.get32(Field::VmExitInterruptionInformation));
                    if event.valid() { exits::exception_qualification(event.vector(), value) } else { String::new() }
                }
                Some(reason) => exits::qualification(reason, value),
                None => String::new(),
            }
        }
        Field::VmInstructionError if value == 0 => String::new(),
        Field::VmInstructionError => VmInstructionError::from_number(low)
            .map_or_else(|| "not defined".to_owned(), |error| error.text().to_owned()),
        Field::VmEntryInterruptionInformation
        | Field::VmExitInterruptionInformation
        | Field::IdtVectoringInformation => exits::interruption_of(which, low),
        Field::GuestActivityState => match ActivityState::from_field(low) {
            Some(ActivityState::Active) => "active".to_owned(),
            Some(ActivityState::Hlt) => "HLT".to_owned(),
            Some(ActivityState::Shutdown) => "shutdown".to_owned(),
            Some(ActivityState::WaitForSipi) => "wait-for-SIPI".to_owned(),
            None => "not defined".to_owned(),
        },
        Field::VmExitInterruptionErrorCode => error_code(vmcs.get32(Field::VmExitInterruptionInformation), low),
        Field::IdtVectoringErrorCode => error_code(vmcs.get32(Field::IdtVectoringInformation), low),
        Field::VmEntryExceptionErrorCode => error_code(vmcs.get32(Field::VmEntryInterruptionInformation), low),
        Field::VmExitInstructionInformation => ExitReason::from_number(vmcs.get32(Field::ExitReason) as u16)
            .map_or_else(String::new, |reason| {
                instruction::information(reason, low, vmcs.get(Field::ExitQualification))
            }),
        Field::GuestIa32Pat | Field::HostIa32Pat => memory_types(value),
        Field::GuestInterruptStatus => format!("RVI {:#04x}, SVI {:#04x}", low & 0xFF, low >> 8 & 0xFF),
        Field::VmcsLinkPointer | Field::ExecutiveVmcsPointer if value == NO_VMCS => "none".to_owned(),
        Field::EptPointer => eptp(value),
        Field::GuestDr7 => dr7(value),
        _ if is_rights(which) => segment(AccessRights::from_bits_retain(low)),
        _ if names::bit_names(which).is_empty() => String::new(),
        Field::GuestRflags => names::set_bits(which, value & !2 & !0x3000).join(" "),
        _ if which.area() == Area::Control || which == Field::GuestInterruptibilityState => {
            names::set_bits(which, value).join(", ")
        }
        _ => names::set_bits(which, value).join(" "),
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
    let levels = (value >> 3 & 7) + 1;
    let table = if levels == 5 { "PML5" } else { "PML4" };
    format!("{table} at {:#x}, {kind}, {levels} levels{flags}", value & 0x000F_FFFF_FFFF_F000)
}

/// An error code in words, of an event with this interruption information; empty where it has none.
pub fn error_code(event: u32, code: u32) -> String {
    let event = InterruptionInformation(event);
    if !event.valid() || !event.error_code() {
        return String::new();
    }
    match event.vector() {
        vector::PF => {
            let bits = PageFaultError::from_bits_truncate(code);
            let names: Vec<&str> = bits.iter_names().map(|bit| bit.0).collect();
            names.join(" ")
        }
        vector::TS | vector::NP | vector::SS | vector::GP if code != 0 => {
            let what = match code >> 1 & 3 {
                0 => "selector in the GDT",
                2 => "selector in the LDT",
                _ => "entry of the IDT",
            };
            let number = if code & 2 != 0 { code >> 3 & 0x1FFF } else { code & 0xFFFC };
            let external = if code & 1 != 0 { ", EXT" } else { "" };
            format!("{what} {number:#x}{external}")
        }
        vector::CP => {
            let what = match code & 0x7FFF {
                1 => "NEAR-RET",
                2 => "FAR-RET/IRET",
                3 => "ENDBRANCH",
                4 => "RSTORSSP",
                5 => "SETSSBSY",
                _ => "reserved cause",
            };
            let enclave = if code >> 15 & 1 != 0 { ", ENCL" } else { "" };
            format!("{what}{enclave}")
        }
        _ => String::new(),
    }
}

/// DR7: the bits that are set, and condition and length of each breakpoint that is enabled (SDM Vol. 3B 18.2.4 "Debug
/// Control Register (DR7)").
fn dr7(value: u64) -> String {
    // Bit 10 is always 1.
    let mut words = names::set_bits(Field::GuestDr7, value & 0xFFFF_FFFF_0000_FBFF);
    for n in (0..4).filter(|n| value >> (2 * n) & 3 != 0) {
        let condition = ["execution", "write", "I/O", "read or write"][(value >> (16 + 4 * n) & 3) as usize];
        let length = [1, 2, 8, 4][(value >> (18 + 4 * n) & 3) as usize];
        words.push(format!("breakpoint {n}: {condition}, {length} bytes"));
    }
    words.join(", ")
}

/// IA32_PAT: the memory types of PA0 to PA7 (SDM Vol. 3A 12.12.2 "IA32_PAT MSR").
fn memory_types(pat: u64) -> String {
    let kind = |n: u32| match pat >> (8 * n) & 0xFF {
        0 => "UC",
        1 => "WC",
        4 => "WT",
        5 => "WP",
        6 => "WB",
        7 => "UC-",
        _ => "reserved",
    };
    (0..8).map(kind).collect::<Vec<_>>().join(" ")
}

/// What a segment is, in words: `64-bit code, DPL 0`.
pub fn segment(rights: AccessRights) -> String {
    if rights.unusable() {
        return "unusable".to_owned();
    }
    let mut words = Vec::new();
    let width = match (rights.long() && rights.is_code(), rights.default_big()) {
        (true, _) => "64-bit",
        (false, true) => "32-bit",
        (false, false) => "16-bit",
    };
    if rights.is_code() {
        words.push(format!("{width} code"));
        if !rights.readable() {
            words.push("execute-only".to_owned());
        }
        if rights.conforming() {
            words.push("conforming".to_owned());
        }
    } else if rights.is_data() {
        words.push(format!("{width} data"));
        if !rights.writable() {
            words.push("read-only".to_owned());
        }
        if rights.expand_down() {
            words.push("expand-down".to_owned());
        }
    } else {
        words.push(system_segment(rights.type_field()));
    }
    if rights.is_code() || rights.is_data() {
        words.push(format!("DPL {}", rights.dpl()));
    }
    if !rights.present() {
        words.push("not present".to_owned());
    }
    words.join(", ")
}

fn system_segment(kind: u8) -> String {
    match kind {
        system_type::LDT => "LDT".to_owned(),
        system_type::TSS16_AVAILABLE => "16-bit TSS".to_owned(),
        system_type::TSS16_BUSY => "busy 16-bit TSS".to_owned(),
        system_type::TSS_AVAILABLE => "TSS".to_owned(),
        system_type::TSS_BUSY => "busy TSS".to_owned(),
        other => format!("system type {other:#x}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_fields_never_show_a_named_bit_as_a_number() {
        let vmcs = Vmcs::new(1);
        for &which in Field::ALL {
            for (bit, name) in names::bit_names(which) {
                let text = field(which, 1 << bit, &vmcs);
                if which == Field::EptPointer || which == Field::GuestRflags && bit == 1 {
                    continue;
                }
                assert!(text.contains(name) && !text.contains("bit "), "{which:?} bit {bit}: {text}");
            }
        }
    }

    #[test]
    fn fields_with_a_meaning_are_told_in_words() {
        let mut vmcs = Vmcs::new(1);
        vmcs.set(Field::ExitReason, 30);
        assert_eq!(field(Field::ExitReason, 30, &vmcs), "I/O instruction");
        assert_eq!(field(Field::ExitQualification, 0x70_0040, &vmcs), "OUT, port 0x70 (immediate), 1 byte");
        assert_eq!(field(Field::GuestCsAccessRights, 0xA09B, &vmcs), "64-bit code, DPL 0");
        assert_eq!(field(Field::VmInstructionError, 7, &vmcs), "VM entry with invalid control field(s)");
        assert_eq!(field(Field::GuestActivityState, 1, &vmcs), "HLT");
        assert_eq!(field(Field::EptPointer, 0x1018 | 6, &vmcs), "PML4 at 0x1000, WB, 4 levels");
        assert_eq!(field(Field::EptPointer, 0x1020 | 6, &vmcs), "PML5 at 0x1000, WB, 5 levels");
    }

    #[test]
    fn segments_are_told_in_words() {
        assert_eq!(segment(AccessRights::from_bits_retain(0xA09B)), "64-bit code, DPL 0");
        assert_eq!(segment(AccessRights::from_bits_retain(0x40F5)), "32-bit data, read-only, expand-down, DPL 3");
        assert_eq!(segment(AccessRights::from_bits_retain(0x8B)), "busy TSS");
        assert_eq!(segment(AccessRights::from_bits_retain(0x02)), "LDT, not present");
    }

    #[test]
    fn error_codes_and_memory_types_are_told_in_words() {
        assert_eq!(error_code(0x8000_0B0E, 0x15), "P US ID");
        assert_eq!(error_code(0x8000_0B0D, 0x6B), "entry of the IDT 0xd, EXT");
        assert_eq!(error_code(0x8000_0B0D, 0x2C), "selector in the LDT 0x2c");
        assert_eq!(error_code(0x8000_0306, 0x2C), "");
        assert_eq!(error_code(0x8000_0B15, 3), "ENDBRANCH");
        assert_eq!(error_code(0x8000_0B15, 0x8001), "NEAR-RET, ENCL");
        assert_eq!(dr7(0x400), "");
        assert_eq!(dr7(0x000D_0402), "G0, breakpoint 0: write, 4 bytes");
        assert_eq!(memory_types(0x0007_0406_0007_0406), "WB WT UC- UC WB WT UC- UC");
    }

    /// Whatever a field, reason or qualification holds: what the SDM names is told by its name.
    #[test]
    fn nothing_that_the_sdm_names_is_a_bare_number() {
        let mut vmcs = Vmcs::new(1);
        for number in 0..=u16::from(u8::MAX) {
            let text = exit_reason(number.into());
            assert_eq!(text == "not defined", ExitReason::from_number(number).is_none(), "{number}: {text}");
            let Some(reason) = ExitReason::from_number(number) else { continue };
            assert!(text.chars().any(char::is_alphabetic), "{number}: {text}");
            vmcs.set(Field::ExitReason, number.into());
            for bit in 0..64 {
                for value in [0, 1 << bit, u64::MAX >> bit] {
                    let text = qualification(reason, value);
                    let bare = !text.is_empty() && text.split([' ', ',']).all(|word| word.parse::<u64>().is_ok());
                    assert!(!bare, "{reason:?} {value:x}: {text}");
                    assert_eq!(
                        field(Field::ExitQualification, value, &vmcs).is_empty(),
                        text.is_empty() || reason == ExitReason::ExceptionOrNmi
                    );
                }
            }
        }
        for error in 1..=28 {
            let text = field(Field::VmInstructionError, error, &vmcs);
            let gap = matches!(error, 14 | 21 | 27);
            assert_eq!(text == "not defined", gap, "{error}: {text}");
        }
        for number in 0..=31 {
            let text = exception_name(number);
            assert!(
                number > 21 || number == 9 || number == 15 || text.starts_with('#') || text == "NMI",
                "{number}: {text}"
            );
        }
    }

    fn exception_name(number: u32) -> String {
        let text = interruption(0x8000_0300 | number);
        text.trim_start_matches("hardware exception ").to_owned()
    }
}
