//! The VM-exit instruction-information field in words (SDM Vol. 3C 28.2.5 "Information for VM Exits Due to Instruction
//! Execution").

use super::exits::general;
use crate::exit::ExitReason;
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

const SEGMENTS: [&str; 6] = ["ES", "CS", "SS", "DS", "FS", "GS"];

fn field(value: u32, low: u32, bits: u32) -> u64 {
    u64::from(value >> low & ((1 << bits) - 1))
}

fn segment(value: u32) -> &'static str {
    SEGMENTS.get(field(value, 15, 3) as usize).copied().unwrap_or("reserved segment")
}

fn address_size(value: u32) -> &'static str {
    match field(value, 7, 3) {
        0 => "16-bit address",
        1 => "32-bit address",
        2 => "64-bit address",
        _ => "reserved address size",
    }
}

/// `DS:[RBX+RSI*4], 32-bit address`; the displacement is the exit qualification.
fn memory(value: u32) -> String {
    let mut sum = Vec::new();
    if value >> 27 & 1 == 0 {
        sum.push(general(field(value, 23, 4)).to_owned());
    }
    if value >> 22 & 1 == 0 {
        let index = general(field(value, 18, 4));
        sum.push(match field(value, 0, 2) {
            0 => index.to_owned(),
            scaling => format!("{index}*{}", 1 << scaling),
        });
    }
    if sum.is_empty() {
        sum.push("displacement".to_owned());
    }
    format!("{}:[{}], {}", segment(value), sum.join("+"), address_size(value))
}

fn operand(value: u32) -> String {
    if value >> 10 & 1 != 0 { general(field(value, 3, 4)).to_owned() } else { memory(value) }
}

/// OUTS and INS by the exit qualification (SDM Vol. 3C 28.2.5, Table "Format of the VM-Exit Instruction-Information Field as
/// Used for INS and OUTS"): the segment is that of OUTS; INS has ES, and the field is undefined. IN and OUT have no
/// information.
fn string_io(value: u32, qualification: u64) -> String {
    match (qualification >> 4 & 1, qualification >> 3 & 1) {
        (0, _) => String::new(),
        (_, 0) => format!("{}, {}", segment(value), address_size(value)),
        _ => address_size(value).to_owned(),
    }
}

/// The field in words for a VM exit of this reason and qualification; empty where it is not defined.
pub fn information(reason: ExitReason, value: u32, qualification: u64) -> String {
    use ExitReason as R;
    let second = general(field(value, 28, 4));
    let which = |names: [&'static str; 4]| names[field(value, 28, 2) as usize];
    match reason {
        R::IoInstruction => string_io(value, qualification),
        R::Invept | R::Invpcid | R::Invvpid => format!("type in {second}, descriptor at {}", memory(value)),
        R::GdtrIdtrAccess => {
            let size = if value >> 11 & 1 != 0 { "32-bit operand" } else { "16-bit operand" };
            format!("{} {}, {size}", which(["SGDT", "SIDT", "LGDT", "LIDT"]), memory(value))
        }
        R::LdtrTrAccess => format!("{} {}", which(["SLDT", "STR", "LLDT", "LTR"]), operand(value)),
        R::Rdrand | R::Rdseed | R::Tpause | R::Umwait => {
            let size = ["16-bit", "32-bit", "64-bit", "reserved size of the"][field(value, 11, 2) as usize];
            format!("{size} operand {}", general(field(value, 3, 4)))
        }
        R::Vmclear | R::Vmptrld | R::Vmptrst | R::Vmxon | R::Xrstors | R::Xsaves => memory(value),
        R::Vmread | R::Vmwrite => format!("field in {second}, {}", operand(value)),
        R::Loadiwkey => format!("XMM{} and XMM{}", field(value, 3, 4), field(value, 28, 4)),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::SegmentRegister;
    use crate::exit::instruction_information::*;

    fn information(reason: ExitReason, value: u32) -> String {
        super::information(reason, value, 0)
    }

    #[test]
    fn instruction_information_is_told_as_operands() {
        let at = Memory {
            scaling: 2,
            address_size: AddressSize::A32,
            segment: SegmentRegister::Ds,
            index: Some(6),
            base: Some(3),
        };
        assert_eq!(information(ExitReason::Vmptrld, memory_only(at)), "DS:[RBX+RSI*4], 32-bit address");
        let word = vmread_vmwrite(Operand::Register(2), 1);
        assert_eq!(information(ExitReason::Vmwrite, word), "field in RCX, RDX");
        let none = Memory { index: None, base: None, ..at };
        let word = invalidate(none, 0);
        assert_eq!(
            information(ExitReason::Invept, word),
            "type in RAX, descriptor at DS:[displacement], 32-bit address"
        );
        let word = gdtr_idtr(GdtrIdtr::Lidt, none, true);
        assert_eq!(
            information(ExitReason::GdtrIdtrAccess, word),
            "LIDT DS:[displacement], 32-bit address, 32-bit operand"
        );
        assert_eq!(information(ExitReason::Rdrand, random(7, 64)), "64-bit operand RDI");
        assert_eq!(information(ExitReason::LdtrTrAccess, ldtr_tr(LdtrTr::Str, Operand::Register(0))), "STR RAX");
        assert_eq!(information(ExitReason::Cpuid, 5), "");
    }

    #[test]
    fn segment_of_string_io_is_told_of_outs_alone() {
        // FS, 32-bit address.
        let word = 4 << 15 | 1 << 7;
        let told = |string: bool, input: bool| {
            super::information(ExitReason::IoInstruction, word, u64::from(string) << 4 | u64::from(input) << 3)
        };
        assert_eq!(told(true, false), "FS, 32-bit address");
        assert_eq!(told(true, true), "32-bit address");
        assert_eq!((told(false, false), told(false, true)), (String::new(), String::new()));
    }
}
