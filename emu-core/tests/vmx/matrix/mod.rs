//! The matrix of VM exits: (what exits) × (direct, or during delivery of each event, injected or not) × (what is around).
//! Every saved field is compared with the table of [`table::ROWS`], which is written from the SDM.

mod case;
mod scene;
mod table;

use case::{Around, Case, Exit, handler, legacy_cases, long_cases};
use scene::Scene;
use std::fmt::Write;
use table::{ROWS, Saved, expected};

/// What differs from the table, one line each.
fn differences(scene: &mut Scene, cases: &[Case]) -> Vec<String> {
    let mut wrong = Vec::new();
    for case in cases {
        scene.run(case);
        for saved in Saved::ALL {
            let found = scene.found(saved);
            if let Some(value) = expected(case, saved)
                && value != found
            {
                wrong.push(format!("{case:?}: {} is {found:#x}, the table says {value:#x}", saved.name()));
            }
        }
    }
    wrong
}

#[test]
fn vm_exit_saves_what_the_table_says_in_every_cell_of_the_matrix() {
    let wrong = differences(&mut Scene::new(false), &long_cases());
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn vm_exit_of_a_32_bit_guest_saves_what_the_table_says_in_every_cell_of_the_matrix() {
    let wrong = differences(&mut Scene::new(true), &legacy_cases());
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
}

/// SDM Vol. 3A, "Interrupt 8 – Double Fault Exception (#DF)": every pair of an event and a second exception.
#[test]
fn nested_exception_that_does_not_exit_is_merged_by_the_classes_of_both() {
    for (legacy, cases) in [(false, long_cases()), (true, legacy_cases())] {
        let mut scene = Scene::new(legacy);
        for case in cases.iter().filter(|case| case.around == Around::Nothing) {
            if let (Exit::Nested(second), Some(event)) = (case.exit, case.event) {
                assert_eq!(scene.merge(case), handler(event, second), "{case:?}");
            }
        }
    }
}

/// docs/vmx-exits.md.
fn document() -> String {
    let (long, legacy) = (long_cases(), legacy_cases());
    let mut text = format!(
        "# What VM exits save\n\n\
         Made from the tables in `emu-core/tests/vmx/matrix`; `UPDATE_GOLDEN=1 cargo test -p emu-core --test vmx matrix` \
         rewrites this file. `cargo test` holds the processor against it in {} combinations of what exits, which event is \
         being delivered, injected or not, and what is around.\n\n\
         For every field the first row that applies; the titles are those of SDM Vol. 3C. An event exits *directly* if it \
         is the event that the VMM asked for, and *indirectly* if its delivery meets something that exits. RF of the flags \
         that delivery saves: 1 for faults but code breakpoints, 0 for software interrupts, otherwise that of the register \
         (Vol. 3B, \"Instruction-Breakpoint Exception Condition\"); as VM entry loads it for an injected event (\"Details \
         of Vectored-Event Injection\").\n\n\
         | field | exits | value | section |\n|---|---|---|---|\n",
        long.len() + legacy.len()
    );
    for row in ROWS {
        let (saved, when, value) = (row.saved.name(), row.when.words(), row.value.words());
        writeln!(text, "| {saved} | {when} | {value} | {} |", row.title).expect("a string takes it");
    }
    text.push_str("\n## What is tried\n\n| what exits | during delivery of | around |\n|---|---|---|\n");
    for ([exit, around], events) in tried(long.iter().chain(&legacy)) {
        writeln!(text, "| {exit} | {} | {around} |", events.join("; ")).expect("a string takes it");
    }
    text
}

/// What exits in which surroundings, with the events whose delivery it is tried in.
fn tried<'a>(cases: impl Iterator<Item = &'a Case>) -> Vec<([String; 2], Vec<String>)> {
    let mut cases = cases.peekable();
    let mut rows: Vec<([String; 2], Vec<String>)> = Vec::new();
    while let Some(case) = cases.next() {
        let mut around = vec![case.around.name()];
        while let Some(next) =
            cases.next_if(|n| (n.exit, n.event, n.injected) == (case.exit, case.event, case.injected))
        {
            around.push(next.around.name());
        }
        let event = case.event.map_or("", |event| event.facts().name);
        let (exit, event) = match (case.exit, case.injected) {
            (Exit::Direct, _) => (event.to_string(), String::new()),
            (Exit::Acknowledged, _) => (format!("{event}, acknowledged"), String::new()),
            (exit, true) => (exit.name().to_string(), format!("{event} (injected)")),
            (exit, false) => (exit.name().to_string(), event.to_string()),
        };
        let key = [exit, around.join(", ")];
        match rows.iter_mut().find(|(other, _)| *other == key) {
            Some((_, events)) => events.push(event),
            None => rows.push((key, vec![event])),
        }
    }
    rows.sort_by(|(a, _), (b, _)| a[0].cmp(&b[0]));
    rows
}

/// `UPDATE_GOLDEN=1 cargo test -p emu-core --test vmx matrix` rewrites the file.
#[test]
fn vm_exit_document_equals_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/vmx-exits.md");
    let expected = document();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &expected).expect("docs can be written");
    }
    let found = std::fs::read_to_string(path).expect("docs/vmx-exits.md; UPDATE_GOLDEN=1 makes it");
    assert!(found == expected, "docs/vmx-exits.md differs from the table; UPDATE_GOLDEN=1 rewrites it");
}

/// Every row is met by a cell, and no field is without its row for all others.
#[test]
fn every_row_of_the_table_is_met_by_a_cell() {
    let cases: Vec<Case> = long_cases().into_iter().chain(legacy_cases()).collect();
    for (n, row) in ROWS.iter().enumerate() {
        let earlier = &ROWS[..n];
        let met = cases.iter().any(|case| {
            row.when.applies(case) && !earlier.iter().any(|other| other.saved == row.saved && other.when.applies(case))
        });
        assert!(met, "no cell meets {row:?}");
    }
}
