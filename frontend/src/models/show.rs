//! A model in words and as JSON, and two models beside each other.

use emu_core::model::controls::Word;
use emu_core::model::{CpuModel, Item};
use emu_core::msr;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write;

/// What a group of items is called.
fn group(item: Item) -> &'static str {
    match item {
        Item::Vmx(bit) => bit.word.title(),
        Item::Cpuid(_) | Item::Perfmon | Item::Event(_) => "Features",
    }
}

/// The groups, in the order in which they are shown.
fn groups() -> impl Iterator<Item = &'static str> {
    std::iter::once("Features").chain(Word::ALL.iter().map(|word| word.title()))
}

fn line(out: &mut String, name: &str, words: &str) {
    // Writing to a string does not fail.
    let _ = writeln!(out, "  {name:34} {words}");
}

fn section(out: &mut String, title: &str, items: &[Item], note: &dyn Fn(Item) -> &'static str) {
    if items.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n{title}:");
    for item in items {
        line(out, item.name(), &format!("{}{}", item.words(), note(*item)));
    }
}

/// The value of an MSR after power-on, of those that the model has.
fn registers(model: &CpuModel) -> Vec<(u32, String, Option<u64>)> {
    msr::of_model(model)
        .map(|(number, row)| (number, row.name_of(number).into_owned(), row.reset_value(model, number)))
        .collect()
}

/// Everything of a model.
pub fn text(model: &CpuModel) -> String {
    let mut out = format!("{}: {}\n", model.name(), model.description());
    // Behind `#`, for those who read the registers below out of this text.
    model.sources().iter().for_each(|source| {
        let _ = writeln!(out, "# from {source}");
    });
    for (number, rule) in model.derived() {
        let _ = writeln!(out, "# derived: {}: {rule}", msr::name(*number).unwrap_or_default());
    }
    for title in groups() {
        let items: Vec<Item> = Item::all().filter(|item| group(*item) == title && model.has_item(*item)).collect();
        section(&mut out, title, &items, &|item| {
            if model.demands(item) { " (must be 1 without TRUE MSRs)" } else { "" }
        });
    }
    let reported: Vec<Item> = model.reported().collect();
    section(&mut out, "Reported, but not implemented", &reported, &|_| "");
    let missing: Vec<Item> = model.not_offered().collect();
    section(&mut out, "Not offered, though the real processor has it", &missing, &|_| "");
    out.push_str("\nCPUID             EAX      EBX      ECX      EDX\n");
    for ((leaf, subleaf), r) in model.leaves() {
        let _ = writeln!(out, "{leaf:08X}.{subleaf:<4X} {:08X} {:08X} {:08X} {:08X}", r.eax, r.ebx, r.ecx, r.edx);
    }
    out.push_str("\nMSR      name                            after power-on\n");
    for (number, name, value) in registers(model) {
        let _ = writeln!(out, "{number:<8X} {name:31} {}", shown(value));
    }
    if model.vmx().is_none() {
        out.push_str("no VMX\n");
    }
    out
}

fn shown(value: Option<u64>) -> String {
    value.map_or("-".to_owned(), |value| format!("{:08X}:{:08X}", value >> 32, value & 0xffff_ffff))
}

/// Items as JSON.
fn items(items: impl Iterator<Item = Item>, model: &CpuModel) -> Vec<Value> {
    let each = |item: Item| match item {
        Item::Vmx(bit) => json!({
            "name": item.name(), "words": item.words(), "word": bit.word.title(), "bit": bit.bit,
            "required": model.demands(item),
        }),
        Item::Cpuid(bit) => json!({
            "name": item.name(), "words": item.words(), "leaf": bit.leaf, "subleaf": bit.subleaf,
            "register": format!("{:?}", bit.register).to_uppercase(), "bit": bit.bit,
        }),
        Item::Perfmon => json!({ "name": item.name(), "words": item.words(), "leaf": 10 }),
        Item::Event(event) => json!({
            "name": item.name(), "words": item.words(), "leaf": 10, "register": "EBX", "bit": event.bit,
        }),
    };
    items.map(each).collect()
}

/// Everything of a model, as JSON.
pub fn json(model: &CpuModel) -> String {
    let control = |item: &Item| matches!(item, Item::Vmx(_));
    let has = |item: &Item| model.has_item(*item);
    let leaves: Vec<Value> = model
        .leaves()
        .map(|((leaf, subleaf), r)| {
            json!({ "leaf": leaf, "subleaf": subleaf, "eax": r.eax, "ebx": r.ebx, "ecx": r.ecx, "edx": r.edx })
        })
        .collect();
    let msrs: Vec<Value> = registers(model)
        .into_iter()
        .map(
            |(number, name, value)| json!({ "index": number, "name": name, "value": value.map(|v| format!("{v:#x}")) }),
        )
        .collect();
    let derived: Vec<Value> =
        model.derived().iter().map(|(number, rule)| json!({ "index": number, "rule": rule })).collect();
    let value = json!({
        "name": model.name(),
        "description": model.description(),
        "sources": model.sources(),
        "derived": derived,
        "features": items(Item::all().filter(|item| has(item) && !control(item)), model),
        "controls": items(Item::all().filter(|item| has(item) && control(item)), model),
        "reported": items(model.reported(), model),
        "not_offered": items(model.not_offered(), model),
        "cpuid": leaves,
        "msrs": msrs,
    });
    value.to_string() + "\n"
}

/// What one model has and the other has not, and where leaves and registers differ.
pub fn differences(a: &CpuModel, b: &CpuModel, as_json: bool) -> String {
    let only = |a: &CpuModel, b: &CpuModel| -> Vec<Item> {
        Item::all().filter(|item| a.has_item(*item) && !b.has_item(*item)).collect()
    };
    let (in_a, in_b) = (only(a, b), only(b, a));
    let places: BTreeSet<(u32, u32)> = a.leaves().chain(b.leaves()).map(|leaf| leaf.0).collect();
    let leaves: Vec<_> = places
        .into_iter()
        .map(|(leaf, subleaf)| (leaf, subleaf, a.leaf(leaf, subleaf), b.leaf(leaf, subleaf)))
        .filter(|(.., a, b)| a != b)
        .collect();
    let (of_a, of_b) = (registers(a), registers(b));
    let numbers: BTreeSet<u32> = of_a.iter().chain(&of_b).map(|row| row.0).collect();
    let find = |rows: &[(u32, String, Option<u64>)], number: u32| rows.iter().find(|row| row.0 == number).cloned();
    let registers: Vec<_> = numbers
        .into_iter()
        .map(|number| (number, find(&of_a, number), find(&of_b, number)))
        .filter(|(_, a, b)| a != b)
        .collect();
    if as_json {
        let four = |r: emu_core::model::CpuidResult| json!([r.eax, r.ebx, r.ecx, r.edx]);
        let value = |row: &Option<(u32, String, Option<u64>)>| match row {
            None => json!("absent"),
            Some((.., value)) => json!(value.map(|value| format!("{value:#x}"))),
        };
        let differing: Vec<Value> = leaves
            .iter()
            .map(|(leaf, subleaf, a, b)| json!({ "leaf": leaf, "subleaf": subleaf, "a": four(*a), "b": four(*b) }))
            .collect();
        let msrs: Vec<Value> =
            registers.iter().map(|(number, a, b)| json!({ "index": number, "a": value(a), "b": value(b) })).collect();
        let all = json!({
            "a": a.name(), "b": b.name(), "only_a": items(in_a.into_iter(), a), "only_b": items(in_b.into_iter(), b),
            "cpuid": differing, "msrs": msrs,
        });
        return all.to_string() + "\n";
    }
    let mut out = String::new();
    section(&mut out, &format!("{}, not {}", a.name(), b.name()), &in_a, &|_| "");
    section(&mut out, &format!("{}, not {}", b.name(), a.name()), &in_b, &|_| "");
    if !leaves.is_empty() {
        out.push_str("\nCPUID             EAX      EBX      ECX      EDX\n");
    }
    for (leaf, subleaf, a, b) in &leaves {
        for (sign, r) in [('<', a), ('>', b)] {
            let _ = writeln!(
                out,
                "{sign} {leaf:08X}.{subleaf:<4X} {:08X} {:08X} {:08X} {:08X}",
                r.eax, r.ebx, r.ecx, r.edx
            );
        }
    }
    if !registers.is_empty() {
        out.push_str("\nMSR        name                            after power-on\n");
    }
    for (_, a, b) in &registers {
        for (sign, row) in [('<', a), ('>', b)] {
            if let Some((number, name, value)) = row {
                let _ = writeln!(out, "{sign} {number:<8X} {name:31} {}", shown(*value));
            }
        }
    }
    match out.is_empty() {
        true => format!("{} and {} are the same\n", a.name(), b.name()),
        false => out.trim_start().to_owned(),
    }
}
