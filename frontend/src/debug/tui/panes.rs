//! What the panes show: the answers of commands, cut to the little room of a pane; in full when a pane has all the room.

use super::super::answer::Answer;
use super::super::session::{Outcome, Session};
use super::super::{cmd_exits, cmd_info, cmd_memory, cmd_registers, cmd_vmcs, cmd_vmentry};
use serde_json::Value;

/// The panes, in the order in which Tab goes through them.
pub const NAMES: [&str; 6] = ["Registers", "Disassembly", "Memory", "VMCS", "VM exits", "Screen"];
/// The place of the registers among them.
pub const REGISTERS: usize = 0;
/// The place of the memory.
pub const MEMORY: usize = 2;
/// The place of the VM exits, whose end is what one wants to see.
pub const EXITS: usize = 4;
/// Instructions, lines of memory and VM exits that a pane has.
const LINES: usize = 64;

/// The text of a pane.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Pane {
    /// Cut to the room among the others.
    pub short: Vec<String>,
    /// As the command prints it.
    pub full: Vec<String>,
}

/// All panes; `memory` is the expression whose memory is shown.
pub fn all(session: &mut Session, memory: &str) -> [Pane; 6] {
    [
        registers(session),
        disassembly(session),
        self::memory(session, memory),
        vmcs(session),
        exits(session),
        screen(session),
    ]
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

/// A pane of an answer, or of the reason why there is none.
fn pane(outcome: Outcome, short: impl FnOnce(&Answer) -> Vec<String>) -> Pane {
    match outcome {
        Ok(answer) => Pane { short: short(&answer), full: lines(&answer.text) },
        Err(error) => Pane { short: vec![error.to_string()], full: vec![error.to_string()] },
    }
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(answer: &'a Answer, name: &str) -> &'a [Value] {
    answer.json.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The words of a line that are in capitals: the bits that are set.
fn set_bits(line: &str) -> String {
    let own = |word: &&str| word.starts_with(|c: char| c.is_ascii_uppercase());
    line.split_whitespace().filter(own).collect::<Vec<_>>().join(" ")
}

/// RIP and flags, then the registers as many a line as fit, then segments and control registers.
fn general(text: &str) -> Vec<String> {
    let (mut cells, mut first) = (Vec::new(), Vec::new());
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["RIP" | "EIP", ..] => first.push(line.to_owned()),
            ["RFLAGS" | "EFLAGS", value, ref flags @ ..] => {
                let value = value.trim_start_matches('0');
                let value = if value.is_empty() { "0" } else { value };
                first.push(format!("{} {value}  {}", words[0], set_bits(&flags.join(" "))));
            }
            _ => cells.extend(words.chunks(2).map(|cell| format!("{:3} {}", cell[0], cell.get(1).unwrap_or(&"")))),
        }
    }
    let row = if cells.iter().any(|cell| cell.len() > 12) { 2 } else { 3 };
    first.extend(cells.chunks(row).map(|cells| cells.join(" ")));
    first
}

fn registers(session: &mut Session) -> Pane {
    let mut pane = pane(cmd_registers::general(session, ""), |answer| general(&answer.text));
    if let Ok(answer) = cmd_registers::segments(session, "") {
        let digits = |value: &str| value.trim_start_matches("0x").to_owned();
        pane.short.extend(list(&answer, "segments").iter().map(|segment| {
            let selector = digits(text(segment, "selector"));
            format!("{:4} {selector:0>4} base {}", text(segment, "name"), digits(text(segment, "base")))
        }));
        pane.full.extend(lines(&answer.text));
    }
    if let Ok(answer) = cmd_registers::control(session, "") {
        pane.short.extend(answer.text.lines().map(|line| {
            let mut words = line.split_whitespace();
            let (name, value) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let value = value.trim_start_matches('0');
            format!(
                "{name:4} {} {}",
                if value.is_empty() { "0" } else { value },
                set_bits(&words.collect::<Vec<_>>().join(" "))
            )
        }));
        pane.full.extend(lines(&answer.text));
    }
    pane
}

fn disassembly(session: &mut Session) -> Pane {
    pane(cmd_memory::disassemble(session, &format!("/{LINES}")), |answer| {
        let instruction = |(n, one): (usize, &Value)| {
            let address = text(one, "address").trim_start_matches("0x");
            let mark = if n == 0 { "=>" } else { "  " };
            format!("{mark} {address:0>8} {}", text(one, "instruction"))
        };
        list(answer, "instructions").iter().enumerate().map(instruction).collect()
    })
}

fn memory(session: &mut Session, expression: &str) -> Pane {
    let bytes = 8 * LINES;
    pane(cmd_memory::linear(session, &format!("/{bytes}bx {expression}")), |answer| {
        let number = |value: &Value| {
            value.as_str().and_then(|text| u64::from_str_radix(text.trim_start_matches("0x"), 16).ok()).unwrap_or(0)
        };
        let start = answer.json.get("address").map_or(0, number);
        let values: Vec<u8> = list(answer, "values").iter().map(|value| number(value) as u8).collect();
        let row = |(n, bytes): (usize, &[u8])| {
            let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            let shown = |byte: &u8| if byte.is_ascii_graphic() || *byte == b' ' { char::from(*byte) } else { '.' };
            let address = start.wrapping_add(8 * n as u64);
            format!("{address:08x} {} {}", hex.join(" "), bytes.iter().map(shown).collect::<String>())
        };
        values.chunks(8).enumerate().map(row).collect()
    })
}

/// What the rules of VM entry say of the current VMCS, then its fields.
fn vmcs(session: &mut Session) -> Pane {
    let mut rules = Pane::default();
    if let Ok(answer) = cmd_vmentry::vmentry(session, "failing") {
        let failing = list(&answer, "rules");
        rules.short.extend(failing.iter().map(|rule| format!("FAIL {}", text(rule, "rule"))));
        rules.short.extend(answer.text.lines().last().map(str::to_owned).filter(|_| failing.is_empty()));
        rules.full = lines(&answer.text);
    }
    let fields = pane(cmd_vmcs::vmcs(session, ""), |answer| {
        let mut short = Vec::new();
        for line in answer.text.lines() {
            // `  ENCODING  NAME  VALUE  WORDS`: the encoding says least.
            let name = line.trim_start().split_once("  ").filter(|_| line.starts_with("  ")).map(|parts| parts.1);
            let words = name.unwrap_or(line).split("  ").map(str::trim).filter(|part| !part.is_empty());
            short.push(words.collect::<Vec<_>>().join(" "));
        }
        short
    });
    rules.short.extend(fields.short);
    rules.full.extend(fields.full);
    rules
}

fn exits(session: &mut Session) -> Pane {
    pane(cmd_exits::exits(session, &LINES.to_string()), |answer| {
        let all = list(answer, "exits");
        if all.is_empty() {
            return lines(&answer.text);
        }
        let number = |one: &Value, name: &str| one.get(name).and_then(Value::as_u64).unwrap_or(0);
        let row = |one: &Value| {
            let words = text(one, "words");
            let words = if words.is_empty() { String::new() } else { format!(": {words}") };
            format!("{} [{}] {}{words}", number(one, "cycle"), number(one, "processor"), text(one, "name"))
        };
        all.iter().map(row).collect()
    })
}

fn screen(session: &mut Session) -> Pane {
    pane(cmd_info::screen(session, ""), |answer| lines(&answer.text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_stand_as_many_in_a_line_as_fit_and_set_flags_alone() {
        let short = "EAX 00000001  ECX 00000002  EDX 00000003  EBX 00000004\nESP 00000000\nEIP 00007c00\n\
                     EFLAGS 00000002  id IOPL=0 ZF cf\n";
        assert_eq!(
            general(short),
            [
                "EIP 00007c00",
                "EFLAGS 2  IOPL=0 ZF",
                "EAX 00000001 ECX 00000002 EDX 00000003",
                "EBX 00000004 ESP 00000000"
            ]
        );
        let long = "RAX 0000000000000001  R8  0000000000000002  R15 0000000000000003\nRIP 0000000000000000\n";
        assert_eq!(general(long)[1..], ["RAX 0000000000000001 R8  0000000000000002", "R15 0000000000000003"]);
    }
}
