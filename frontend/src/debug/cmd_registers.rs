//! Commands about registers.

use super::answer::{Answer, Table, hex};
use super::session::{CommandError, Outcome, Session};
use emu_core::msr as table;
use emu_core::report::CpuReport;
use emu_core::state::cpu::Cpu;
use emu_vmx::arch::cr::{Cr0, Cr4, Dr6, Dr7};
use emu_vmx::arch::efer::Efer;
use emu_vmx::field::Field;
use emu_vmx::names::bit_names;
use serde_json::{Map, Value, json};
use std::fmt::Write;

fn selected(session: &Session) -> Result<(&Cpu, CpuReport), CommandError> {
    let pc = session.target.pc();
    let cpu = pc.cpus.get(session.cpu).ok_or("there is no such processor")?;
    Ok((cpu, CpuReport::new(cpu, &pc.ram)))
}

fn map<'a>(registers: impl Iterator<Item = (&'a str, u64)>) -> Map<String, Value> {
    registers.map(|(name, value)| (name.to_owned(), hex(value))).collect()
}

/// `r [REGISTER]`.
pub fn general(session: &mut Session, arguments: &str) -> Outcome {
    if !arguments.is_empty() {
        return print(session, arguments);
    }
    let (cpu, report) = selected(session)?;
    let long = report.long_mode;
    let mut text = String::new();
    let all: Vec<(&str, u64)> = report.registers.iter().collect();
    let count = if long { 16 } else { 8 };
    for row in all[..count].chunks(if long { 3 } else { 4 }) {
        let cell = |&(name, value): &(&str, u64)| {
            if long { format!("{name:3} {value:016x}") } else { format!("{} {value:08x}", name.replacen('R', "E", 1)) }
        };
        let row: Vec<String> = row.iter().map(cell).collect();
        text += &(row.join("  ") + "\n");
    }
    let (rip, rflags) = (cpu.rip(), cpu.flags.get());
    let label = super::watcher::label(&session.symbols, cpu.code_linear(rip));
    let flags = flags(rflags);
    if long {
        let _ = writeln!(text, "RIP {rip:016x}{label}\nRFLAGS {rflags:016x}  {flags}");
    } else {
        let _ = writeln!(text, "EIP {rip:08x}{label}\nEFLAGS {rflags:08x}  {flags}");
    }
    let json = json!({ "processor": session.cpu, "registers": map(report.registers.iter()), "flags": flags });
    Ok(Answer::new(text, json))
}

/// Flags as Bochs shows them: upper case when set.
fn flags(rflags: u64) -> String {
    let bits = [
        (21, "id"),
        (20, "vip"),
        (19, "vif"),
        (18, "ac"),
        (17, "vm"),
        (16, "rf"),
        (14, "nt"),
        (11, "of"),
        (10, "df"),
        (9, "if"),
        (8, "tf"),
        (7, "sf"),
        (6, "zf"),
        (4, "af"),
        (2, "pf"),
        (0, "cf"),
    ];
    let mut words: Vec<String> = bits
        .iter()
        .map(|(bit, name)| if rflags >> bit & 1 != 0 { name.to_ascii_uppercase() } else { (*name).to_owned() })
        .collect();
    words.insert(7, format!("IOPL={}", rflags >> 12 & 3));
    words.join(" ")
}

/// `sreg`.
pub fn segments(session: &mut Session, _arguments: &str) -> Outcome {
    let (_, report) = selected(session)?;
    let mut table = Table::new(&["", "selector", "base", "limit", "rights", "what"]);
    for segment in &report.segments {
        table.row([
            segment.name.to_owned(),
            format!("{:04x}", segment.selector.0),
            format!("{:016x}", segment.base.0),
            format!("{:08x}", segment.limit.0),
            format!("{:05x}", segment.access_rights.0),
            segment.kind.clone(),
        ]);
    }
    for (name, place) in [("GDTR", &report.gdtr), ("IDTR", &report.idtr)] {
        table.row([name.to_owned(), String::new(), format!("{:016x}", place.base.0), format!("{:08x}", place.limit.0)]);
    }
    let json = json!({ "segments": report.segments, "gdtr": report.gdtr, "idtr": report.idtr });
    Ok(Answer::new(table.text(), json))
}

/// The bits of a control register by name, upper case when set.
fn bits<'a>(all: impl Iterator<Item = (&'a str, bool)>) -> String {
    let words: Vec<String> =
        all.map(|(name, set)| if set { name.to_owned() } else { name.to_ascii_lowercase() }).collect();
    words.join(" ")
}

/// The bits of IA32_U_CET or IA32_S_CET.
fn cet_bits(value: u64) -> String {
    let names = bit_names(Field::GuestIa32SCet);
    bits(names.into_iter().rev().map(|(bit, name)| (name, value >> bit & 1 != 0)))
}

/// `creg`.
pub fn control(session: &mut Session, _arguments: &str) -> Outcome {
    let (cpu, report) = selected(session)?;
    let sys = &cpu.sys;
    let names = |all: Vec<(&'static str, bool)>| bits(all.into_iter().rev());
    let cr0 = names(Cr0::all().iter_names().map(|(name, bit)| (name, sys.cr0.contains(bit))).collect());
    let cr4 = names(Cr4::all().iter_names().map(|(name, bit)| (name, sys.cr4.contains(bit))).collect());
    let efer = names(Efer::all().iter_names().map(|(name, bit)| (name, sys.efer.contains(bit))).collect());
    let mut text = String::new();
    for (name, value, words) in [
        ("CR0", sys.cr0.bits(), cr0.as_str()),
        ("CR2", sys.cr2, ""),
        ("CR3", sys.cr3, ""),
        ("CR4", sys.cr4.bits(), cr4.as_str()),
        ("CR8", report.control.get("CR8").unwrap_or(0), ""),
        ("EFER", sys.efer.bits(), efer.as_str()),
        ("XCR0", sys.xcr0, ""),
    ] {
        let _ = writeln!(text, "{}", format!("{name:4} {value:016x}  {words}").trim_end());
    }
    let mut registers = map(report.control.iter().filter(|r| !r.0.starts_with("DR")));
    if cpu.config.model.cr4().contains(Cr4::CET) {
        let cet = &sys.cet;
        let mut all = vec![("SSP".to_owned(), cet.ssp, String::new())];
        all.extend(cet.ssps.iter().enumerate().map(|(n, ssp)| (format!("PL{n}_SSP"), *ssp, String::new())));
        all.push(("U_CET".to_owned(), cet.user, cet_bits(cet.user)));
        all.push(("S_CET".to_owned(), cet.supervisor, cet_bits(cet.supervisor)));
        for (name, value, words) in all {
            let _ = writeln!(text, "{}", format!("{name:7} {value:016x}  {words}").trim_end());
            registers.insert(name, hex(value));
        }
    }
    Ok(Answer::new(text, json!({ "registers": registers })))
}

/// `dreg`.
pub fn debug(session: &mut Session, _arguments: &str) -> Outcome {
    let (cpu, report) = selected(session)?;
    let sys = &cpu.sys;
    let mut text = String::new();
    let dr7 = sys.dr7.bits();
    for (n, address) in sys.dr.iter().enumerate() {
        let enabled = match dr7 >> (2 * n) & 3 {
            0 => "off",
            1 => "local",
            2 => "global",
            _ => "local, global",
        };
        let kind = ["execution", "writes", "I/O", "accesses"][(dr7 >> (16 + 4 * n) & 3) as usize];
        let size = [1, 2, 8, 4][(dr7 >> (18 + 4 * n) & 3) as usize];
        let _ =
            writeln!(text, "DR{n}  {address:016x}  {enabled}: {kind}, {size} byte{}", if size == 1 { "" } else { "s" });
    }
    let dr6: Vec<&str> = Dr6::all()
        .iter_names()
        .filter(|bit| sys.dr6.contains(bit.1) && !matches!(bit.0, "RTM" | "BUS_LOCK"))
        .map(|bit| bit.0)
        .collect();
    let named: Vec<&str> =
        Dr7::all().iter_names().filter(|bit| sys.dr7.contains(bit.1) && bit.0 != "FIXED_1").map(|bit| bit.0).collect();
    let _ = writeln!(text, "{}", format!("DR6  {:016x}  {}", sys.dr6.bits(), dr6.join(" ")).trim_end());
    let _ = writeln!(text, "{}", format!("DR7  {dr7:016x}  {}", named.join(" ")).trim_end());
    Ok(Answer::new(text, json!({ "registers": map(report.control.iter().filter(|r| r.0.starts_with("DR"))) })))
}

/// A number of the x87 as a decimal, as near as 64 bits come.
fn decimal(exponent: u16, significand: u64) -> f64 {
    let sign = if exponent >> 15 != 0 { -1.0 } else { 1.0 };
    match exponent & 0x7FFF {
        0x7FFF if significand << 1 == 0 => sign * f64::INFINITY,
        0x7FFF => f64::NAN,
        power => sign * significand as f64 * 2f64.powi(i32::from(power) - 16383 - 63),
    }
}

/// `fpu`.
pub fn fpu(session: &mut Session, _arguments: &str) -> Outcome {
    let (cpu, _) = selected(session)?;
    let fpu = &cpu.fpu;
    let top = usize::from(fpu.status >> 11 & 7);
    let mut text = format!(
        "control {:04x}, status {:04x} (TOP {top}), tags {:02x}, opcode {:03x}, MXCSR {:08x}\n",
        fpu.control, fpu.status, fpu.tags, fpu.opcode, fpu.mxcsr
    );
    let mut list = Vec::new();
    for n in 0..8 {
        let place = (top + n) & 7;
        let (exponent, significand) = (fpu.exponent[place], fpu.significand[place]);
        let used = fpu.tags >> place & 1 != 0;
        let value = if used { decimal(exponent, significand).to_string() } else { "empty".to_owned() };
        let _ = writeln!(text, "ST{n} (R{place})  {exponent:04x}:{significand:016x}  {value}");
        list.push(json!({ "bits": format!("{exponent:04x}{significand:016x}"), "empty": !used, "value": value }));
    }
    let json = json!({
        "control": hex(fpu.control.into()), "status": hex(fpu.status.into()), "tags": hex(fpu.tags.into()),
        "mxcsr": hex(fpu.mxcsr.into()), "stack": list,
    });
    Ok(Answer::new(text, json))
}

/// `sse`.
pub fn vector(session: &mut Session, _arguments: &str) -> Outcome {
    let (cpu, report) = selected(session)?;
    let fpu = &cpu.fpu;
    let zero = |range: std::ops::Range<usize>| {
        fpu.vectors.iter().all(|vector| vector.0[range.clone()].iter().all(|&w| w == 0))
    };
    let (name, words) = match (zero(4..8), zero(2..4)) {
        (false, _) => ("ZMM", 8),
        (true, false) => ("YMM", 4),
        (true, true) => ("XMM", 2),
    };
    let legacy = if report.long_mode { 16 } else { 8 };
    let used = fpu.vectors.iter().rposition(|vector| vector.0.iter().any(|&word| word != 0)).map_or(0, |last| last + 1);
    let mut text = format!("MXCSR {:08x}\n", fpu.mxcsr);
    let mut json = Map::new();
    for (n, vector) in fpu.vectors.iter().enumerate().take(used.max(legacy)) {
        let parts: Vec<String> = vector.0[..words].iter().rev().map(|word| format!("{word:016x}")).collect();
        let _ = writeln!(text, "{:5} {}", format!("{name}{n}"), parts.join("_"));
        json.insert(format!("{name}{n}"), Value::from(format!("0x{}", parts.concat())));
    }
    for (n, mask) in fpu.masks.iter().enumerate().filter(|mask| *mask.1 != 0) {
        let _ = writeln!(text, "K{n}    {mask:016x}");
        json.insert(format!("K{n}"), hex(*mask));
    }
    Ok(Answer::new(text, json!({ "mxcsr": hex(fpu.mxcsr.into()), "registers": json })))
}

/// `msr [NUMBER|NAME]`.
pub fn msr(session: &mut Session, arguments: &str) -> Outcome {
    if !arguments.is_empty() {
        let named = table::number(&arguments.to_ascii_uppercase());
        let number = match named {
            Some(number) => number,
            None => {
                let value = session.value(arguments);
                let value = value.map_err(|error| super::suggest::msr(arguments).map_or(error, Into::into))?;
                u32::try_from(value).map_err(|_| "MSRs have 32-bit numbers")?
            }
        };
        let (cpu, _) = selected(session)?;
        let value = cpu
            .read_msr_quiet(number)
            .ok_or_else(|| format!("this processor has no MSR {number:#x} that can be read"))?;
        let name = super::breakpoints::msr_words(number);
        return Ok(Answer::new(
            format!("{name} ({number:#x}) = {value:#018x}"),
            json!({ "msr": hex(number.into()), "name": name, "value": hex(value) }),
        ));
    }
    let (cpu, _) = selected(session)?;
    let mut rows = Table::new(&["number", "name", "value"]);
    let mut list = Vec::new();
    for (number, row) in table::of_model(super::scope::model(cpu)) {
        let Some(value) = cpu.read_msr_quiet(number) else { continue };
        let name = row.name_of(number).into_owned();
        rows.row([format!("{number:x}"), name.clone(), format!("{value:016x}")]);
        list.push(json!({ "msr": hex(number.into()), "name": name, "value": hex(value) }));
    }
    Ok(Answer::new(rows.text(), json!({ "msrs": list })))
}

/// `set REGISTER = EXPR`.
pub fn set(session: &mut Session, arguments: &str) -> Outcome {
    let Some((name, value)) = arguments.split_once('=') else {
        return Err(CommandError::Usage("there is no =".to_owned(), "set REGISTER = EXPR"));
    };
    let (cpu, name) = (session.cpu, name.trim().trim_start_matches('$'));
    if let Some(field) = name.to_ascii_lowercase().strip_prefix("vmcs").and_then(|rest| rest.strip_prefix(['.', '_'])) {
        let field = name.get(name.len() - field.len()..).unwrap_or_default();
        return Err(CommandError::Other(format!("set is for registers; write vmcs set {field} = EXPR")));
    }
    let value = session.value(value.trim())?;
    session.change(|pc| pc.set_register(cpu, name, value))?;
    Ok(Answer::silent())
}

/// `print EXPR`; GDB's formats behind a slash change nothing, as it is shown in all.
pub fn print(session: &mut Session, arguments: &str) -> Outcome {
    let format = |word: &str| word.strip_prefix('/').is_some_and(|letters| letters.len() < 3);
    let arguments = match arguments.split_once(char::is_whitespace) {
        Some((word, rest)) if format(word) => rest.trim(),
        _ => arguments,
    };
    let value = session.value(arguments)?;
    let label = super::watcher::label(&session.symbols, value);
    let text = format!(
        "{value:#x} = {value}{}",
        if (value as i64) < 0 { format!(" = {}", value as i64) } else { String::new() }
    );
    Ok(Answer::new(text + &label, json!({ "value": hex(value), "symbol": session.symbols.label(value) })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x87_numbers_are_shown_as_decimals() {
        assert_eq!(decimal(0x3FFF, 1 << 63), 1.0);
        assert_eq!(decimal(0xC000, 0xC000_0000_0000_0000), -3.0);
        assert_eq!(decimal(0x7FFF, 1 << 63), f64::INFINITY);
        assert!(decimal(0x7FFF, 3 << 62).is_nan());
        assert_eq!(decimal(0, 0), 0.0);
    }

    #[test]
    fn flags_are_in_capitals_when_they_are_set() {
        assert_eq!(flags(0x3246), "id vip vif ac vm rf nt IOPL=3 of df IF tf sf ZF af PF cf");
    }
}
