//! What VM exits report, in words (SDM Vol. 3C 28.2.1 "Basic VM-Exit Information", 28.2.2 "Information for VM Exits Due
//! to Vectored Events").

use crate::arch::vector;
use crate::exit::qualification::EptViolation;
use crate::exit::{ExitReason, InterruptionInformation, InterruptionType};
use crate::field::Field;
use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use alloc::{format, vec};

const GENERAL: [&str; 16] =
    ["RAX", "RCX", "RDX", "RBX", "RSP", "RBP", "RSI", "RDI", "R8", "R9", "R10", "R11", "R12", "R13", "R14", "R15"];
/// DR6 and the pending debug exceptions by bit.
const DEBUG: [(u32, &str); 10] = [
    (0, "B0"),
    (1, "B1"),
    (2, "B2"),
    (3, "B3"),
    (11, "BLD"),
    (12, "enabled breakpoint"),
    (13, "BD"),
    (14, "BS"),
    (15, "BT"),
    (16, "RTM"),
];

pub(super) fn general(number: u64) -> &'static str {
    GENERAL[number as usize & 15]
}

/// An exit qualification in words; empty where the exit has none.
pub fn qualification(reason: ExitReason, value: u64) -> String {
    use ExitReason as R;
    match reason {
        R::Sipi => format!("vector {:#04x}", value & 0xFF),
        R::TaskSwitch => {
            let source = ["CALL", "IRET", "JMP", "a task gate in the IDT"][(value >> 30 & 3) as usize];
            format!("to TSS {:#x} by {source}", value & 0xFFFF)
        }
        R::Invlpg => format!("linear address {value:#x}"),
        R::ControlRegisterAccess => control_register(value),
        R::MovDr => {
            let (dr, gpr) = (value & 7, general(value >> 8));
            if value >> 4 & 1 == 0 { format!("MOV DR{dr},{gpr}") } else { format!("MOV {gpr},DR{dr}") }
        }
        R::IoInstruction => io(value),
        R::EntryFailureGuestState => match value {
            0 => String::new(),
            2 => "PDPTE loading".to_owned(),
            3 => "NMI injection while blocked by STI".to_owned(),
            4 => "invalid VMCS link pointer".to_owned(),
            other => format!("not defined ({other})"),
        },
        R::EntryFailureMsrLoading => format!("entry {value} of the VM-entry MSR-load area"),
        R::Mwait => (if value & 1 != 0 { "monitoring was armed" } else { "monitoring was not armed" }).to_owned(),
        R::ApicAccess => apic_access(value),
        R::VirtualizedEoi => format!("vector {:#04x}", value & 0xFF),
        R::ApicWrite => format!("offset {:#x}", value & 0xFFF),
        R::EptViolation => ept_violation(value),
        R::PageModificationLogFull | R::SppEvent => {
            let unblocking = nmi_unblocking(value);
            match (reason, value >> 11 & 1) {
                (R::SppEvent, 0) => join(&["SPP misconfiguration", unblocking]),
                (R::SppEvent, _) => join(&["SPP miss", unblocking]),
                _ => unblocking.to_owned(),
            }
        }
        R::InstructionTimeout => {
            let context = if value & 1 != 0 { "the context is not valid" } else { "the context is valid" };
            join(&[context, nmi_unblocking(value)])
        }
        // The displacement of the memory operand.
        R::Invept
        | R::Invvpid
        | R::Invpcid
        | R::GdtrIdtrAccess
        | R::LdtrTrAccess
        | R::Vmclear
        | R::Vmptrld
        | R::Vmptrst
        | R::Vmread
        | R::Vmwrite
        | R::Vmxon
        | R::Xsaves
        | R::Xrstors
            if value != 0 =>
        {
            let displacement = value as i64;
            let sign = if displacement < 0 { "-" } else { "" };
            format!("displacement {sign}{:#x}", displacement.unsigned_abs())
        }
        _ => String::new(),
    }
}

/// The qualification of a VM exit by an exception: CR2 of #PF, conditions of #DB.
pub fn exception_qualification(event: u8, value: u64) -> String {
    match event {
        vector::PF => format!("linear address {value:#x}"),
        vector::DB => {
            let set: Vec<&str> = DEBUG.iter().filter(|bit| value >> bit.0 & 1 != 0).map(|bit| bit.1).collect();
            set.join(" ")
        }
        _ => String::new(),
    }
}

/// Bit 12 of several qualifications.
fn nmi_unblocking(value: u64) -> &'static str {
    if value >> 12 & 1 != 0 { "NMI unblocking due to IRET" } else { "" }
}

fn join(parts: &[&str]) -> String {
    parts.iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join(", ")
}

fn control_register(value: u64) -> String {
    let (cr, gpr) = (value & 0xF, general(value >> 8));
    match value >> 4 & 3 {
        0 => format!("MOV CR{cr},{gpr}"),
        1 => format!("MOV {gpr},CR{cr}"),
        2 => "CLTS".to_owned(),
        _ => {
            let operand = if value >> 6 & 1 != 0 { "in memory" } else { "in a register" };
            format!("LMSW {:#x}, {operand}", value >> 16 & 0xFFFF)
        }
    }
}

fn io(value: u64) -> String {
    let size = (value & 7) + 1;
    let name = match (value >> 3 & 1, value >> 4 & 1) {
        (0, 0) => "OUT",
        (1, 0) => "IN",
        (0, _) => "OUTS",
        _ => "INS",
    };
    let repeated = if value >> 5 & 1 != 0 { "REP " } else { "" };
    let operand = if value >> 6 & 1 != 0 { "immediate" } else { "DX" };
    format!(
        "{repeated}{name}, port {:#x} ({operand}), {size} byte{}",
        value >> 16 & 0xFFFF,
        if size == 1 { "" } else { "s" }
    )
}

fn apic_access(value: u64) -> String {
    let kind = match value >> 12 & 0xF {
        0 => "linear access, data read",
        1 => "linear access, data write",
        2 => "linear access, instruction fetch",
        3 => "linear access, event delivery",
        4 => "linear access for monitoring",
        10 => "guest-physical access, event delivery",
        11 => "guest-physical access for monitoring or trace",
        15 => "guest-physical access, instruction fetch or execution",
        _ => "reserved access type",
    };
    let asynchronous = if value >> 16 & 1 != 0 { ", asynchronous to instruction execution" } else { "" };
    format!("offset {:#x}: {kind}{asynchronous}", value & 0xFFF)
}

fn ept_violation(value: u64) -> String {
    let bits = EptViolation::from_bits_retain(value);
    let list = |names: &[(EptViolation, &'static str)]| -> Vec<&'static str> {
        names.iter().filter(|name| bits.contains(name.0)).map(|name| name.1).collect()
    };
    use EptViolation as E;
    let access = list(&[(E::READ, "read"), (E::WRITE, "write"), (E::FETCH, "fetch")]);
    let allowed = list(&[
        (E::READABLE, "read"),
        (E::WRITABLE, "write"),
        (E::EXECUTABLE, "execute"),
        (E::USER_EXECUTABLE, "user execute"),
    ]);
    let allowed = if allowed.is_empty() { "nothing".to_owned() } else { allowed.join(" ") };
    let mut parts = vec![format!("{} access", access.join("+")), format!("EPT allows {allowed}")];
    if bits.contains(E::LINEAR_VALID) {
        parts.push(
            (if bits.contains(E::FINAL_ADDRESS) { "of a linear address" } else { "of a paging-structure entry" })
                .to_owned(),
        );
    }
    let more = list(&[
        (E::USER, "user-mode address"),
        (E::READ_WRITE_PAGE, "read/write page"),
        (E::EXECUTE_DISABLE, "execute-disable page"),
        (E::NMI_UNBLOCKING, "NMI unblocking due to IRET"),
        (E::SHADOW_STACK, "shadow-stack access"),
        (E::SUPERVISOR_SHADOW_STACK, "supervisor shadow-stack page"),
        (E::GUEST_PAGING_VERIFICATION, "guest-paging verification"),
        (E::ASYNCHRONOUS, "asynchronous to instruction execution"),
    ]);
    parts.extend(more.into_iter().map(str::to_owned));
    parts.join(", ")
}

/// VM-exit interruption information in words; `not valid` without bit 31.
pub fn interruption(value: u32) -> String {
    interruption_of(Field::VmExitInterruptionInformation, value)
}

/// Interruption information in words. Bit 12 is “NMI unblocking due to IRET” only in the VM-exit field; in the VM-entry
/// field bits 30:12 are reserved, in the IDT-vectoring field bit 12 is undefined (SDM Vol. 3C 25.8.3, 25.9.2, 25.9.3).
pub fn interruption_of(field: Field, value: u32) -> String {
    let information = InterruptionInformation(value);
    if !information.valid() {
        return "not valid".to_owned();
    }
    let number = information.vector();
    let event = match information.kind() {
        InterruptionType::ExternalInterrupt => format!("external interrupt {number:#04x}"),
        InterruptionType::Nmi => "NMI".to_owned(),
        InterruptionType::HardwareException => format!("hardware exception {}", vector::name(number)),
        InterruptionType::SoftwareInterrupt => format!("software interrupt {number:#04x}"),
        InterruptionType::PrivilegedSoftwareException => {
            format!("privileged software exception {}", vector::name(number))
        }
        InterruptionType::SoftwareException => format!("software exception {}", vector::name(number)),
        InterruptionType::Other => (if number == 0 { "pending MTF VM exit" } else { "other event" }).to_owned(),
        InterruptionType::Reserved => format!("reserved type, vector {number:#04x}"),
    };
    let error = if information.error_code() { ", error code" } else { "" };
    let reserved = value & 0x7FFF_F000;
    let more = match field {
        Field::VmEntryInterruptionInformation if reserved != 0 => {
            let bits: Vec<String> =
                (12..31).filter(|bit| reserved >> bit & 1 != 0).map(|bit| format!("{bit}")).collect();
            format!(", reserved bit{} {}", if bits.len() == 1 { "" } else { "s" }, bits.join(", "))
        }
        Field::VmExitInterruptionInformation if value & InterruptionInformation::NMI_UNBLOCKING != 0 => {
            ", NMI unblocking due to IRET".to_owned()
        }
        _ => String::new(),
    };
    format!("{event}{error}{more}")
}

/// The exit-reason field in words.
pub fn exit_reason(value: u32) -> String {
    let name = ExitReason::from_number(value as u16).map_or("not defined", ExitReason::text);
    let mut parts = vec![name.to_owned()];
    for (bit, what) in [
        (ExitReason::SHADOW_STACK_BUSY, "shadow stack prematurely busy"),
        (ExitReason::BUS_LOCK, "bus lock detected"),
        (ExitReason::ENCLAVE_MODE, "enclave mode"),
        (ExitReason::PENDING_MTF, "pending MTF VM exit"),
        (ExitReason::ROOT_OPERATION, "VM exit from VMX root operation"),
        (ExitReason::ENTRY_FAILURE, "VM-entry failure"),
    ] {
        if value & bit != 0 {
            parts.push(what.to_owned());
        }
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::qualification as q;

    #[test]
    fn qualifications_are_told_by_the_sdms_names() {
        let io = q::io(0x70, 1, false, false, false, true);
        assert_eq!(qualification(ExitReason::IoInstruction, io), "OUT, port 0x70 (immediate), 1 byte");
        let cr = q::cr_access(3, q::CrAccess::MovFrom, 6);
        assert_eq!(qualification(ExitReason::ControlRegisterAccess, cr), "MOV RSI,CR3");
        let task = q::task_switch(0x28, q::TaskSwitchSource::Jmp);
        assert_eq!(qualification(ExitReason::TaskSwitch, task), "to TSS 0x28 by JMP");
        let apic = q::apic_access(0x300, q::ApicAccess::LinearWrite);
        assert_eq!(qualification(ExitReason::ApicAccess, apic), "offset 0x300: linear access, data write");
        let ept =
            (EptViolation::WRITE | EptViolation::READABLE | EptViolation::LINEAR_VALID | EptViolation::FINAL_ADDRESS)
                .bits();
        assert_eq!(qualification(ExitReason::EptViolation, ept), "write access, EPT allows read, of a linear address");
        assert_eq!(qualification(ExitReason::ApicAccess, 0x4080), "offset 0x80: linear access for monitoring");
        let trace = "offset 0x0: guest-physical access for monitoring or trace";
        assert_eq!(qualification(ExitReason::ApicAccess, 0xB000), trace);
        let timeout = "the context is not valid, NMI unblocking due to IRET";
        assert_eq!(qualification(ExitReason::InstructionTimeout, 0x1001), timeout);
        assert_eq!(qualification(ExitReason::InstructionTimeout, 0), "the context is valid");
        assert_eq!(qualification(ExitReason::Cpuid, 0), "");
    }

    #[test]
    fn interruption_information_is_told_by_type_and_vector() {
        assert_eq!(interruption(0x8000_0B0E), "hardware exception #PF, error code");
        assert_eq!(interruption(0x8000_0020), "external interrupt 0x20");
        assert_eq!(interruption(0x8000_0603), "software exception #BP");
        assert_eq!(interruption(0x0000_0603), "not valid");
        assert_eq!(exit_reason(0x8000_0021), "VM-entry failure due to invalid guest state, VM-entry failure");
    }

    #[test]
    fn bit_12_of_interruption_information_is_told_by_the_field() {
        let told = |field| interruption_of(field, 0x8000_1B0E);
        let pf = "hardware exception #PF, error code";
        assert_eq!(told(Field::VmExitInterruptionInformation), format!("{pf}, NMI unblocking due to IRET"));
        assert_eq!(told(Field::VmEntryInterruptionInformation), format!("{pf}, reserved bit 12"));
        assert_eq!(told(Field::IdtVectoringInformation), pf);
        assert_eq!(interruption_of(Field::VmEntryInterruptionInformation, 0xC000_1202), "NMI, reserved bits 12, 30");
    }

    #[test]
    fn every_bit_of_the_exit_reason_that_the_sdm_names_is_told() {
        for (bit, what) in [
            (25, "shadow stack prematurely busy"),
            (26, "bus lock detected"),
            (27, "enclave mode"),
            (28, "pending MTF VM exit"),
            (29, "VM exit from VMX root operation"),
            (31, "VM-entry failure"),
        ] {
            assert_eq!(exit_reason(6 | 1 << bit), format!("{}, {what}", exit_reason(6)));
        }
    }

    #[test]
    fn every_exit_reason_has_a_name_and_no_qualification_is_a_bare_number() {
        for &reason in ExitReason::ALL {
            for value in [0, 1, 4, 0x10_0000, u64::MAX] {
                let words = qualification(reason, value);
                assert!(words.is_empty() || words.chars().any(char::is_alphabetic), "{reason:?} {value:#x}: {words}");
            }
            assert!(!exit_reason(reason.field()).contains("not defined"));
        }
    }
}
