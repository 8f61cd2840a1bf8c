//! `vmcs` and `vmx`.

use super::answer::{Answer, Table, hex};
use super::fields::{AREAS, digits, words};
use super::session::{CommandError, Outcome, Session};
use crate::error::InputError;
use crate::files;
use crate::lint::MAX_DUMP;
use emu_vmx::dump;
use emu_vmx::field::{Area, Field, FieldSet};
use emu_vmx::vmcs::{LaunchState, NO_VMCS, Vmcs};
use serde_json::{Map, Value, json};
use std::path::Path;

const USAGE: &str =
    "vmcs [ADDR|link] [controls|guest|host|exit|FIELD] [all] | vmcs diff [FILE] | vmcs list | vmcs set FIELD = EXPR";

/// The VMCS at a physical address: as a processor holds it, else as memory has it.
pub fn at(session: &Session, address: u64) -> Result<Vmcs, CommandError> {
    let pc = session.target.pc();
    if let Some(vmcs) = pc.cpus.iter().find_map(|cpu| cpu.vmx.active.get(&address)) {
        return Ok(vmcs.clone());
    }
    let model = pc.cpus.get(session.cpu).and_then(|cpu| super::scope::model(cpu).vmx());
    let layout = &model.ok_or("this processor has no VMX")?.layout;
    let mut region = vec![0; layout.size()];
    pc.read_physical(address, &mut region)?;
    layout.load(&region).ok_or_else(|| CommandError::Other(format!("there is no VMCS at {address:#x}")))
}

/// The current VMCS of the selected processor, and its address.
pub fn current(session: &Session) -> Result<(u64, Vmcs), CommandError> {
    let cpu = session.target.pc().cpus.get(session.cpu).ok_or("there is no such processor")?;
    let vmcs = cpu.vmx.current().ok_or("this processor has no current VMCS")?;
    Ok((cpu.vmx.current, vmcs.clone()))
}

/// The fields that the selected processor has.
fn supported(session: &Session) -> FieldSet {
    let model = session.target.pc().cpus.get(session.cpu).and_then(|cpu| super::scope::model(cpu).vmx());
    model.map_or_else(FieldSet::default, |vmx| FieldSet::supported(&vmx.caps))
}

/// `vmcs …`.
pub fn vmcs(session: &mut Session, arguments: &str) -> Outcome {
    let (first, rest) = arguments.split_once(char::is_whitespace).unwrap_or((arguments, ""));
    match first {
        "diff" => return diff(session, rest.trim()),
        "list" => return Ok(list(session)),
        "set" => return set(session, rest),
        _ => {}
    }
    let area = |word: &str| match word {
        "controls" | "control" => Some(Area::Control),
        "guest" => Some(Area::Guest),
        "host" => Some(Area::Host),
        "exit" | "info" => Some(Area::ReadOnly),
        _ => None,
    };
    let mut words: Vec<&str> = arguments.split_whitespace().collect();
    let all = words.last() == Some(&"all");
    if all {
        words.pop();
    }
    let mut wanted = None;
    if let Some(last) = words.last().and_then(|word| area(word)) {
        wanted = Some(last);
        words.pop();
    }
    let text = words.join(" ");
    let mut field = Field::from_name(&text).filter(|_| !text.starts_with("0x"));
    let (address, vmcs) = match text.as_str() {
        "" => current(session)?,
        _ if field.is_some() => current(session)?,
        "link" | "shadow" => {
            let address = current(session)?.1.get(Field::VmcsLinkPointer);
            if address == NO_VMCS {
                return Err("the VMCS link pointer names no VMCS".into());
            }
            (address, at(session, address)?)
        }
        text => {
            let word = text.starts_with(|c: char| c.is_ascii_alphabetic())
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || b" _".contains(&b));
            let address = match session.value(text) {
                // No address, so a field by another program's name, or misspelled.
                Err(_) if word => super::fields::named(text)?.encoding().into(),
                value => value.map_err(|error| CommandError::Usage(error.to_string(), USAGE))?,
            };
            // A VMCS begins at a page; anything else can only be the encoding of a field.
            match address & 0xFFF {
                0 => (address, at(session, address)?),
                _ => {
                    field = Field::from_encoding(address).map(|(field, _)| field);
                    if field.is_none() {
                        let problem = format!("{address:#x} is no multiple of 4096, and no field has that encoding");
                        return Err(CommandError::Usage(problem, USAGE));
                    }
                    current(session)?
                }
            }
        }
    };
    let launch = if vmcs.launch_state == LaunchState::Launched { "launched" } else { "clear" };
    let kind = if vmcs.shadow { "shadow VMCS" } else { "VMCS" };
    let head = format!("{kind} {address:#x}, revision {:#x}, {launch}\n", vmcs.revision_id);
    let mut text = if field.is_some() { String::new() } else { head };
    let mut fields = Map::new();
    let own = supported(session);
    let mut hidden = 0;
    for (area, heading) in AREAS {
        let mut table = Table::default();
        for each in Field::ALL.iter().copied().filter(|each| each.area() == area && own.contains(*each)) {
            let value = vmcs.get(each);
            if wanted.is_some_and(|wanted| wanted != area) || field.is_some_and(|field| field != each) {
                continue;
            }
            // What is 0 says nothing, unless somebody asks for it.
            if value == 0 && !all && field.is_none() && wanted.is_none() {
                hidden += 1;
                continue;
            }
            let meaning = self::words(each, value, &vmcs);
            table.row([
                format!("  {:04x}", each.encoding()),
                each.name().to_owned(),
                digits(each, value),
                meaning.clone(),
            ]);
            fields.insert(each.identifier().to_owned(), json!({ "value": hex(value), "words": meaning }));
        }
        if !table.rows_is_empty() {
            if field.is_none() {
                text += &format!("{heading}\n");
            }
            text += &table.text();
        }
    }
    if hidden != 0 {
        text += &format!("{hidden} more fields are 0; vmcs all shows them\n");
    }
    let json = json!({ "hidden": hidden, "address": hex(address), "shadow": vmcs.shadow, "launch_state": launch, "fields": fields });
    Ok(Answer::new(text, json))
}

/// `vmcs set FIELD = EXPR`: as VMWRITE does, with no check.
fn set(session: &mut Session, arguments: &str) -> Outcome {
    let Some((name, value)) = arguments.split_once('=') else {
        return Err(CommandError::Usage("there is no =".to_owned(), USAGE));
    };
    let name = name.trim();
    let field = super::fields::named(name)?;
    let (value, n) = (session.value(value.trim())?, session.cpu);
    if value & !field.width().mask() != 0 {
        return Err(CommandError::Other(format!("{value:#x} does not fit into {}", field.name())));
    }
    session.change(|pc| {
        let cpu = pc.cpus.get_mut(n).ok_or("there is no such processor")?;
        if cpu.vmx.non_root.is_some() {
            return Err("the guest runs: its VMCS can be changed in VMX root operation");
        }
        cpu.vmx.current_mut().ok_or("this processor has no current VMCS")?.set(field, value);
        Ok(())
    })?;
    Ok(Answer::silent())
}

/// `vmcs list`: the VMCSs that processors hold.
fn list(session: &Session) -> Answer {
    let mut table = Table::new(&["processor", "address", "", "state", "guest RIP", "last VM exit"]);
    let mut list = Vec::new();
    for cpu in &session.target.pc().cpus {
        for (&address, vmcs) in &cpu.vmx.active {
            let current = if address == cpu.vmx.current { "current" } else { "" };
            let launch = if vmcs.launch_state == LaunchState::Launched { "launched" } else { "clear" };
            let state = if vmcs.shadow { "shadow" } else { launch };
            let rip = vmcs.get(Field::GuestRip);
            let exit = emu_vmx::words::exit_reason(vmcs.get32(Field::ExitReason));
            let n = cpu.sys.index;
            table.row([
                n.to_string(),
                format!("{address:#x}"),
                current.to_owned(),
                state.to_owned(),
                format!("{rip:#x}"),
                exit,
            ]);
            list.push(json!({ "processor": n, "address": hex(address), "current": !current.is_empty(), "state": state, "guest_rip": hex(rip) }));
        }
    }
    let text = if table.is_empty() { "no processor holds a VMCS\n".to_owned() } else { table.text() };
    Answer::new(text, json!({ "vmcss": list }))
}

/// `vmcs diff [FILE]`: against the last VM entry, or a dump.
fn diff(session: &mut Session, file: &str) -> Outcome {
    let (address, now) = current(session)?;
    let (before, named, what) = if file.is_empty() {
        let clocks = session.clocks();
        let entered =
            session.watcher.vmx.entered(session.cpu as u32, &clocks).filter(|entered| entered.address == address);
        let Some(entered) = entered else {
            return Err(
                "there was no VM entry with this VMCS while the debugger watched; give a file to compare with".into()
            );
        };
        (entered.vmcs.clone(), None, format!("the VM entry at cycle {}", entered.cycle))
    } else {
        let path = Path::new(file);
        let text = files::read_text(path, "VMCS dump", MAX_DUMP)?;
        session.read.add(path, "a VMCS dump");
        let place = |error: dump::DumpError| InputError::file(path, error.to_string()).line(error.line());
        let dump = dump::parse(&text).map_err(place)?.into_iter().next();
        let dump = dump.ok_or_else(|| InputError::file(path, "the dump has no fields"))?;
        let mut vmcs = now.clone();
        dump.fields.iter().for_each(|(&field, given)| vmcs.set(field, given.0));
        let named: Vec<Field> = dump.fields.into_keys().collect();
        (vmcs, Some(named), file.to_owned())
    };
    let mut table = Table::new(&["field", "before", "now", "what changed"]);
    let mut list = Vec::new();
    for &field in Field::ALL {
        let (old, new) = (before.get(field), now.get(field));
        if old == new || named.as_ref().is_some_and(|named| !named.contains(&field)) {
            continue;
        }
        let change = changed_bits(field, old, new).unwrap_or_else(|| words(field, new, &now));
        table.row([field.name().to_owned(), digits(field, old), digits(field, new), change.clone()]);
        list.push(json!({ "field": field.identifier(), "before": hex(old), "now": hex(new), "words": change }));
    }
    let text = if table.is_empty() { format!("no difference to {what}\n") } else { table.text() };
    Ok(Answer::new(text, json!({ "differences": list })))
}

/// Bits that were set and cleared, `+` and `-`, for a field that is a set of bits.
pub fn changed_bits(field: Field, old: u64, new: u64) -> Option<String> {
    if emu_vmx::names::bit_names(field).is_empty() {
        return None;
    }
    let list = |sign: &str, bits| {
        emu_vmx::names::set_bits(field, bits).into_iter().map(|name| format!("{sign}{name}")).collect::<Vec<_>>()
    };
    let all: Vec<String> = list("+", new & !old).into_iter().chain(list("-", old & !new)).collect();
    Some(all.join(" "))
}

/// `vmx`.
pub fn vmx(session: &mut Session, _arguments: &str) -> Outcome {
    let (mut text, mut list) = (String::new(), Vec::new());
    let moment = session.clocks();
    for cpu in &session.target.pc().cpus {
        let n = cpu.sys.index;
        if !cpu.vmx.on() {
            text += &format!("processor {n}: not in VMX operation\n");
            list.push(json!({ "processor": n, "operation": "off" }));
            continue;
        }
        let operation = if cpu.vmx.non_root.is_some() { "non-root" } else { "root" };
        text += &format!("processor {n}: VMX {operation} operation, VMXON region {:#x}, ", cpu.vmx.vmxon);
        let [entries, exits, failed] = session.watcher.vmx.counts(n, &moment);
        let entry = |count: u64| if count == 1 { "entry" } else { "entries" };
        let s = if exits == 1 { "" } else { "s" };
        text += &format!("{entries} VM {}, {exits} VM exit{s}, {failed} failed VM {}\n", entry(entries), entry(failed));
        let mut controls = Map::new();
        match cpu.vmx.current() {
            None => text += "  no current VMCS\n",
            Some(vmcs) => {
                let launch = if vmcs.launch_state == LaunchState::Launched { "launched" } else { "clear" };
                text += &format!("  current VMCS {:#x}, {launch}\n", cpu.vmx.current);
                let mut table = Table::default();
                for field in [
                    Field::PinBasedControls,
                    Field::PrimaryProcessorControls,
                    Field::SecondaryProcessorControls,
                    Field::TertiaryProcessorControls,
                    Field::VmExitControls,
                    Field::VmEntryControls,
                    Field::ExceptionBitmap,
                    Field::EptPointer,
                ] {
                    let value = vmcs.get(field);
                    let basic = matches!(
                        field,
                        Field::PinBasedControls
                            | Field::PrimaryProcessorControls
                            | Field::VmExitControls
                            | Field::VmEntryControls
                    );
                    // Every VM entry has them; what else is 0 does nothing.
                    if value == 0 && !basic {
                        continue;
                    }
                    // Bits that must be 1 and have no name say nothing.
                    let named: Vec<String> = words(field, value, vmcs)
                        .split(", ")
                        .filter(|name| !name.starts_with("bit ") && !name.is_empty())
                        .map(str::to_owned)
                        .collect();
                    let shown =
                        if named.is_empty() { "none of the optional ones".to_owned() } else { named.join(", ") };
                    table.row([format!("  {}", field.name()), shown.clone()]);
                    controls.insert(field.identifier().to_owned(), json!({ "value": hex(value), "words": shown }));
                }
                text += &table.text();
                let reason = vmcs.get32(Field::ExitReason);
                let what = if reason >> 31 == 0 { "last VM exit" } else { "the last VM entry failed" };
                // In the guest the field is of the VM exit before, and there may have been none.
                let stale = reason >> 31 != 0 && cpu.vmx.non_root.is_some();
                if !stale && (exits != 0 || reason != 0) {
                    let qualification = vmcs.get(Field::ExitQualification);
                    let meaning = words(Field::ExitQualification, qualification, vmcs);
                    let meaning = if meaning.is_empty() { meaning } else { format!(": {meaning}") };
                    let reason = emu_vmx::words::exit_reason(reason);
                    text += &format!("  {what}: {reason}{meaning}; guest RIP {:#x}\n", vmcs.get(Field::GuestRip));
                }
            }
        }
        list.push(json!({
            "processor": n, "operation": operation, "vmxon": hex(cpu.vmx.vmxon), "entries": entries, "exits": exits,
            "failed_entries": failed,
            "current_vmcs": (cpu.vmx.current != NO_VMCS).then(|| hex(cpu.vmx.current)), "controls": controls,
        }));
    }
    Ok(Answer::new(text, json!({ "processors": Value::Array(list) })))
}
