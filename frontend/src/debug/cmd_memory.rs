//! Commands about memory and code.

use super::answer::{Answer, hex};
use super::expr::{ExprError, Scope};
use super::scope::{address_bytes, mode};
use super::session::{CommandError, Outcome, Session};
use super::watcher::label;
use emu_core::disasm::{Disassembly, MAX_LENGTH, disassemble as disassemble_at};
use serde_json::{Value, json};
use std::fmt::Write;

/// Most units of an `x`, instructions of a `u`.
const MAX_COUNT: usize = 65536;

/// `/COUNT FORMAT UNIT` of `x`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    count: usize,
    format: char,
    unit: usize,
}

fn shape(text: &str, before: Shape) -> Result<Shape, CommandError> {
    let mut shape = Shape { count: 1, ..before };
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    if digits != 0 {
        shape.count = text[..digits].parse().ok().filter(|count| (1..=MAX_COUNT).contains(count)).ok_or("too many")?;
    }
    for letter in text[digits..].chars() {
        match letter {
            'x' | 'd' | 'u' | 'o' | 't' | 'c' | 's' | 'i' => shape.format = letter,
            'b' => shape.unit = 1,
            'h' => shape.unit = 2,
            'w' => shape.unit = 4,
            'g' => shape.unit = 8,
            _ => {
                return Err(CommandError::Other(format!(
                    "{letter:?} is no format (x d u o t c s i) and no unit (b h w g)"
                )));
            }
        }
    }
    Ok(shape)
}

fn number(value: u64, shape: Shape) -> String {
    let bits = 8 * shape.unit as u32;
    match shape.format {
        'd' => (((value << (64 - bits)) as i64) >> (64 - bits)).to_string(),
        'u' => value.to_string(),
        'o' => format!("{value:#o}"),
        't' => format!("{value:0width$b}", width = bits as usize),
        'c' => {
            let character = char::from(value as u8);
            if character.is_ascii_graphic() || character == ' ' {
                format!("'{character}'")
            } else {
                format!("{:#04x}", value as u8)
            }
        }
        _ => format!("{value:0width$x}", width = 2 * shape.unit),
    }
}

/// `x`.
pub fn linear(session: &mut Session, arguments: &str) -> Outcome {
    examine(session, arguments, false)
}

/// `xp`.
pub fn physical(session: &mut Session, arguments: &str) -> Outcome {
    examine(session, arguments, true)
}

fn examine(session: &mut Session, arguments: &str, physical: bool) -> Outcome {
    let mut shape = Shape { count: 1, format: 'x', unit: 4 };
    let mut rest = arguments;
    if let Some(format) = arguments.strip_prefix('/') {
        let (format, address) = format.split_once(char::is_whitespace).unwrap_or((format, ""));
        shape = self::shape(format, shape)?;
        rest = address.trim();
    }
    if rest.is_empty() {
        return Err(CommandError::Usage("an address is missing".to_owned(), "x [/COUNT FORMAT UNIT] ADDR"));
    }
    let start = session.value(rest)?;
    if shape.format == 'i' {
        return if physical {
            physical_instructions(session, start, shape.count)
        } else {
            linear_instructions(session, start, shape.count)
        };
    }
    let scope = session.scope()?;
    if shape.format == 's' {
        return strings(&scope, start, shape.count, physical);
    }
    let read = |at| if physical { scope.physical(at, shape.unit) } else { scope.linear(at, shape.unit) };
    let per_line = if shape.format == 't' { 2 } else { 16 / shape.unit.max(if shape.format == 'c' { 2 } else { 1 }) };
    let (mut text, mut values) = (String::new(), Vec::new());
    let mut missing = None;
    'lines: for first in (0..shape.count).step_by(per_line) {
        let at = |n: usize| start.wrapping_add((n * shape.unit) as u64);
        let mut line = format!("{:#x}{}:", at(first), label(&session.symbols, at(first)));
        for n in first..(first + per_line).min(shape.count) {
            let Some(value) = read(at(n)) else {
                missing = Some(at(n));
                if n != first {
                    text.push_str(&(line + "\n"));
                }
                break 'lines;
            };
            line += &format!(" {}", number(value, shape));
            values.push(hex(value));
        }
        text.push_str(&(line + "\n"));
    }
    match missing {
        Some(at) if values.is_empty() => return Err(no_memory(physical, at)),
        Some(at) => {
            let _ = writeln!(text, "{at:#x}: no memory");
        }
        None => {}
    }
    Ok(Answer::new(text, json!({ "address": hex(start), "unit": shape.unit, "values": values })))
}

fn no_memory(physical: bool, at: u64) -> CommandError {
    ExprError::NoMemory(if physical { "physical address" } else { "linear address" }, at).into()
}

fn strings(scope: &dyn Scope, start: u64, count: usize, physical: bool) -> Outcome {
    const MAX: usize = 4096;
    let (mut at, mut text, mut list) = (start, String::new(), Vec::new());
    let mut missing = None;
    while list.len() < count && missing.is_none() {
        let first = at;
        let mut bytes = Vec::new();
        while bytes.len() < MAX {
            let byte = if physical { scope.physical(at, 1) } else { scope.linear(at, 1) };
            missing = byte.is_none().then_some(at);
            let Some(byte) = byte else { break };
            at = at.wrapping_add(1);
            if byte == 0 {
                break;
            }
            bytes.push(byte as u8);
        }
        // What is cut by the end of memory is a string, too.
        if missing.is_none() || !bytes.is_empty() {
            let string = String::from_utf8_lossy(&bytes).into_owned();
            let _ = writeln!(text, "{first:#x}: {string:?}");
            list.push(json!({ "address": hex(first), "string": string }));
        }
    }
    match missing {
        Some(at) if list.is_empty() => return Err(no_memory(physical, at)),
        Some(at) => {
            let _ = writeln!(text, "{at:#x}: no memory");
        }
        None => {}
    }
    Ok(Answer::new(text, json!({ "strings": list })))
}

/// `u [/COUNT] [ADDR]`.
pub fn disassemble(session: &mut Session, arguments: &str) -> Outcome {
    let (mut count, mut rest) = (1, arguments);
    if let Some(text) = arguments.strip_prefix('/') {
        let (number, address) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        count =
            number.parse().ok().filter(|n| (1..=MAX_COUNT).contains(n)).ok_or("a count is a number from 1 to 65536")?;
        rest = address.trim();
    }
    let start = session.value(if rest.is_empty() { "pc" } else { rest })?;
    linear_instructions(session, start, count)
}

fn linear_instructions(session: &Session, start: u64, count: usize) -> Outcome {
    let pc = session.target.pc();
    let list = pc.disassemble(session.cpu, start, count)?;
    let present = session.value("pc")?;
    let wrap = |at| pc.cpus.get(session.cpu).map_or(at, |cpu| cpu.wrap_system(at));
    Ok(instructions(session, list, wrap(start), Some(present), wrap))
}

/// What stands at physical addresses, as code of the processor's present mode.
fn physical_instructions(session: &Session, start: u64, count: usize) -> Outcome {
    let pc = session.target.pc();
    let cpu = pc.cpus.get(session.cpu).ok_or("there is no such processor")?;
    let mut list: Vec<Disassembly> = Vec::new();
    let mut at = start;
    while list.len() < count && !list.last().is_some_and(|last| last.text.starts_with('(')) {
        let address = |n: usize| at.checked_add(n as u64);
        let byte = |n| address(n).and_then(|at| super::scope::physical(&pc.ram, at, 1)).map(|byte| byte as u8);
        let bytes: Vec<u8> = (0..MAX_LENGTH).map_while(byte).collect();
        if bytes.is_empty() && list.is_empty() {
            return Err(no_memory(true, start));
        }
        list.push(disassemble_at(&bytes, mode(cpu).code, at));
        at = at.wrapping_add(list.last().map_or(0, |last| last.bytes.len() as u64));
    }
    let present = cpu.peek_translate(&pc.ram, cpu.code_linear(cpu.rip()));
    Ok(instructions(session, list, start, present, |at| at))
}

fn instructions(
    session: &Session,
    list: Vec<Disassembly>,
    start: u64,
    present: Option<u64>,
    wrap: impl Fn(u64) -> u64,
) -> Answer {
    let (mut at, mut text, mut json) = (start, String::new(), Vec::new());
    for instruction in list {
        let bytes: String = instruction.bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let mark = if Some(at) == present { "=>" } else { "  " };
        let label = label(&session.symbols, at);
        let _ = writeln!(text, "{mark} {at:08x}{label}  {bytes:14} {}", instruction.text);
        json.push(json!({ "address": hex(at), "bytes": bytes, "instruction": instruction.text }));
        at = wrap(at.wrapping_add(instruction.bytes.len() as u64));
    }
    Answer::new(text, json!({ "instructions": json }))
}

fn bytes_to_write(session: &Session, arguments: &str, usage: &'static str) -> Result<(u64, Vec<u8>), CommandError> {
    let words: Vec<&str> = arguments.split_whitespace().collect();
    let [address, size, value] = words[..] else {
        return Err(CommandError::Usage("three values are needed".to_owned(), usage));
    };
    let (address, size, value) = (session.value(address)?, session.value(size)?, session.value(value)?);
    if !matches!(size, 1 | 2 | 4 | 8) {
        return Err(CommandError::Other(format!("{size} bytes cannot be written at once; 1, 2, 4 or 8 can")));
    }
    if size < 8 && value >> (8 * size) != 0 {
        return Err(CommandError::Other(format!("{value:#x} does not fit into {size} bytes")));
    }
    Ok((address, value.to_le_bytes()[..size as usize].to_vec()))
}

/// `setpmem ADDR BYTES VALUE`.
pub fn set_physical(session: &mut Session, arguments: &str) -> Outcome {
    let (address, bytes) = bytes_to_write(session, arguments, "setpmem ADDR BYTES VALUE")?;
    session.change(|pc| pc.write_physical(address, &bytes))?;
    Ok(Answer::silent())
}

/// `setmem ADDR BYTES VALUE`.
pub fn set_linear(session: &mut Session, arguments: &str) -> Outcome {
    let (address, bytes) = bytes_to_write(session, arguments, "setmem ADDR BYTES VALUE")?;
    let cpu = session.cpu;
    session.change(|pc| pc.write_linear(cpu, address, &bytes))?;
    Ok(Answer::silent())
}

/// Linear addresses of the present instruction and of those that its callers return to.
pub fn frames(session: &Session, count: usize) -> Result<Vec<u64>, CommandError> {
    let scope = session.scope()?;
    let width = scope.width();
    let of = |name: &str| scope.register(name).unwrap_or(0);
    let stack_base = if width == 8 { 0 } else { scope.segment_base("ss").unwrap_or(0) };
    let code_base = if width == 8 { 0 } else { scope.segment_base("cs").unwrap_or(0) };
    let mask = if width == 8 { u64::MAX } else { (1 << (8 * width)) - 1 };
    let (mut list, mut frame) = (vec![of("pc")], of("rbp") & mask);
    // A frame lies on the stack, at or above its present end: anything else is no frame, but a register that somebody
    // uses for something else.
    let stack = of("rsp") & mask;
    while list.len() < count && frame != 0 && frame >= stack {
        let at = stack_base.wrapping_add(frame);
        let (Some(next), Some(back)) = (scope.linear(at, width), scope.linear(at.wrapping_add(width as u64), width))
        else {
            break;
        };
        if back == 0 {
            break;
        }
        list.push(code_base.wrapping_add(back));
        // Callers' frames lie above.
        if next <= frame {
            break;
        }
        frame = next;
    }
    Ok(list)
}

/// `bt [N]`.
pub fn backtrace(session: &mut Session, arguments: &str) -> Outcome {
    let count = if arguments.is_empty() { 16 } else { session.value(arguments)? as usize };
    let list = frames(session, count.clamp(1, 1000))?;
    let mut text = String::new();
    for (n, address) in list.iter().enumerate() {
        let _ = writeln!(text, "#{n} {address:#x}{}", label(&session.symbols, *address));
    }
    if list.len() == 1 && count > 1 {
        text += "RBP points to no frame: the callers are not known\n";
    }
    let json: Vec<Value> = list
        .iter()
        .map(|&address| json!({ "address": hex(address), "symbol": session.symbols.label(address) }))
        .collect();
    Ok(Answer::new(text, json!({ "frames": json })))
}

/// `page ADDR`.
pub fn page(session: &mut Session, arguments: &str) -> Outcome {
    let linear = session.value(arguments)?;
    let pc = session.target.pc();
    let cpu = pc.cpus.get(session.cpu).ok_or("there is no such processor")?;
    debug_assert!(address_bytes(mode(cpu)) <= 8);
    match cpu.peek_translate(&pc.ram, linear) {
        Some(physical) => Ok(Answer::new(
            format!("linear {linear:#x} is at physical address {physical:#x}"),
            json!({ "linear": hex(linear), "physical": hex(physical) }),
        )),
        None => Ok(Answer::new(
            format!("linear {linear:#x} is not mapped"),
            json!({ "linear": hex(linear), "physical": null }),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examine_formats_are_those_of_bochs_and_gdb() {
        let default = Shape { count: 1, format: 'x', unit: 4 };
        assert_eq!(shape("16bx", default), Ok(Shape { count: 16, format: 'x', unit: 1 }));
        assert_eq!(shape("gd", default), Ok(Shape { count: 1, format: 'd', unit: 8 }));
        assert!(shape("4q", default).is_err() && shape("0x", default).is_err());
    }

    #[test]
    fn numbers_are_shown_in_their_format_and_width() {
        let show = |value, format, unit| number(value, Shape { count: 1, format, unit });
        assert_eq!(show(0xFF, 'd', 1), "-1");
        assert_eq!(show(0xFF, 'u', 1), "255");
        assert_eq!(show(0xFF, 'x', 2), "00ff");
        assert_eq!(show(5, 't', 1), "00000101");
        assert_eq!((show(0x41, 'c', 1), show(7, 'c', 1)), ("'A'".to_owned(), "0x07".to_owned()));
        assert_eq!(show(8, 'o', 4), "0o10");
    }
}
