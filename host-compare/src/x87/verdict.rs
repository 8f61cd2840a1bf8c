//! What must be equal, and what the SDM or the processors leave open.

use super::cases::Instruction;
use super::{Register, State};
use iced_x86::Mnemonic;
use std::fmt::Write;

/// Whether the two results agree.
pub fn same(instruction: &Instruction, before: &State, host: &State, ours: &State) -> bool {
    let tolerance = if is_transcendental(instruction.mnemonic) { 1 } else { 0 };
    let open_status = undefined_status(instruction, before, host);
    let registers = host.registers.iter().zip(&ours.registers).all(|(a, b)| distance(*a, *b) <= tolerance);
    registers
        && (host.status ^ ours.status) & !open_status == 0
        && host.control == ours.control
        && host.tags == ours.tags
        && host.memory == ours.memory
        && (host.flags == ours.flags || open_flags(instruction, host))
        && host.ax == ours.ax
        && same_pointers(instruction, host, ours)
}

/// FIP, FDP and FOP. FLDENV and FRSTOR load random ones. AMD's processors count FFREE, FNOP, FINCSTP and FDECSTP among
/// the instructions that are recorded; the SDM does not (Vol. 1 8.1.8). They record FOP always, and so FDP; the
/// interpreter's model does so for unmasked exceptions only (SDM Vol. 1 8.1.8, 8.1.9).
fn same_pointers(instruction: &Instruction, host: &State, ours: &State) -> bool {
    use Mnemonic::*;
    let pending = host.status & 0x80 != 0;
    match instruction.mnemonic {
        Fldenv | Frstor => true,
        Ffree | Ffreep | Fnop | Fincstp | Fdecstp => ours.instruction_pointer.is_none() && ours.data_pointer.is_none(),
        _ => {
            host.instruction_pointer == ours.instruction_pointer
                && (host.data_pointer == ours.data_pointer || (ours.data_pointer.is_none() && !pending))
                && (host.opcode == ours.opcode || (ours.opcode == 0 && !pending))
        }
    }
}

fn is_transcendental(mnemonic: Mnemonic) -> bool {
    use Mnemonic::*;
    matches!(mnemonic, F2xm1 | Fyl2x | Fyl2xp1 | Fsin | Fcos | Fsincos | Fptan | Fpatan)
}

/// Units in the last place between two values of one sign.
fn distance(a: Register, b: Register) -> u64 {
    if a == b {
        return 0;
    }
    if (a.sign_exponent ^ b.sign_exponent) & 0x8000 != 0 {
        return u64::MAX;
    }
    let rank = |r: Register| u128::from(r.sign_exponent & 0x7FFF) << 63 | u128::from(r.significand & (u64::MAX >> 1));
    u64::try_from(rank(a).abs_diff(rank(b))).unwrap_or(u64::MAX)
}

/// Bits of the status word that are not compared.
fn undefined_status(instruction: &Instruction, _before: &State, host: &State) -> u16 {
    use Mnemonic::*;
    const C1: u16 = 1 << 9;
    const CODE: u16 = 1 << 8 | 1 << 10 | 1 << 14;
    let invalid = host.status & !host.control & 1 != 0;
    match instruction.mnemonic {
        // The SDM clears C1; AMD's processors leave it.
        Fcomi | Fcomip | Fucomi | Fucomip => C1,
        // The SDM leaves the condition code alone after an unmasked #IA; AMD's processors set it to "unordered".
        Fcom | Fcomp | Fcompp | Fucom | Fucomp | Fucompp | Ficom | Ficomp | Ftst if invalid => CODE,
        // A result that may differ by one unit is rounded in the other direction.
        m if is_transcendental(m) => C1,
        _ => 0,
    }
}

/// Whether the flags are not compared: the SDM leaves them alone after an unmasked #IA, AMD's processors do not.
fn open_flags(instruction: &Instruction, host: &State) -> bool {
    use Mnemonic::*;
    matches!(instruction.mnemonic, Fcomi | Fcomip | Fucomi | Fucomip) && host.status & !host.control & 1 != 0
}

/// A difference, in full.
pub fn describe(instruction: &Instruction, before: &State, host: &State, ours: &State) -> String {
    let mut text = String::new();
    let bytes: Vec<String> = instruction.bytes[..instruction.len].iter().map(|byte| format!("{byte:02x}")).collect();
    let _ = writeln!(text, "{} {:?}", bytes.join(" "), instruction.code);
    let mut line = |name: &str, before: String, host: String, ours: String| {
        let mark = if host == ours { ' ' } else { '*' };
        let _ = writeln!(text, " {mark}{name:7} before {before:24} host {host:24} ours {ours}");
    };
    let word = |value: u16| format!("{value:04x}");
    line("control", word(before.control), word(host.control), word(ours.control));
    line("status", word(before.status), word(host.status), word(ours.status));
    line("tags", word(before.tags), word(host.tags), word(ours.tags));
    line("flags", word(before.flags as u16), word(host.flags as u16), word(ours.flags as u16));
    line("ax", word(before.ax), word(host.ax), word(ours.ax));
    let register = |r: Register| format!("{:04x}_{:016x}", r.sign_exponent, r.significand);
    for n in 0..8 {
        let [a, b, c] = [before, host, ours].map(|state| register(state.registers[n]));
        if n < 2 || a != b || b != c {
            line(&format!("st{n}"), a, b, c);
        }
    }
    let memory = |state: &State| state.memory[..32].iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    line("memory", memory(before), memory(host), memory(ours));
    let pointers =
        |state: &State| format!("{:x?} {:x?} {:03x}", state.instruction_pointer, state.data_pointer, state.opcode);
    line("ip,dp,op", String::new(), pointers(host), pointers(ours));
    text
}
