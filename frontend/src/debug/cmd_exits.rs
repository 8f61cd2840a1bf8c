//! `exits`: the timeline of VM exits, as a table, as CSV and as a picture.

use super::answer::{Answer, Table, hex};
use super::session::{CommandError, Outcome, Session};
use super::vmxlog::ExitRecord;
use crate::background::write_whole;
use emu_vmx::exit::ExitReason;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

const USAGE: &str = "exits [COUNT] [cpu N] [REASON] | exits stat | exits csv FILE | exits svg FILE | exits clear";
/// Rows of a table, unless told.
const ROWS: usize = 20;

/// `exits …`.
pub fn exits(session: &mut Session, arguments: &str) -> Outcome {
    let words: Vec<&str> = arguments.split_whitespace().collect();
    match words[..] {
        ["stat" | "stats"] => return Ok(statistics(&seen(session), none(session))),
        ["csv", file] => return written(file, csv(&seen(session))),
        ["svg", file] => return written(file, svg(&seen(session))?),
        ["csv" | "svg", _, ..] => return Err(CommandError::Usage("give one file".to_owned(), USAGE)),
        ["csv" | "svg"] => return Err(CommandError::Usage("a file is missing".to_owned(), USAGE)),
        ["clear"] => {
            session.watcher.vmx.clear_exits();
            return Ok(Answer::silent());
        }
        _ => {}
    }
    let (mut count, mut cpu, mut reason) = (ROWS, None, None);
    let mut words = words.into_iter().peekable();
    if let Some(number) = words.peek().and_then(|word| word.parse::<usize>().ok()) {
        count = number;
        words.next();
    }
    while let Some(word) = words.next() {
        if word == "cpu" {
            let number = words.next().and_then(|word| word.parse::<u32>().ok());
            cpu = Some(number.ok_or_else(|| CommandError::Usage("cpu needs a number".to_owned(), USAGE))?);
        } else if let Some(other) = reason.replace(super::breakpoints::reason(word)?) {
            let problem = format!("one reason is taken, and {} is another; a count stands first", other.text());
            return Err(CommandError::Usage(problem, USAGE));
        }
    }
    let log = &session.watcher.vmx;
    let wanted = |record: &ExitRecord| {
        cpu.is_none_or(|cpu| cpu == record.processor) && reason.is_none_or(|reason| reason == record.reason)
    };
    let shown: Seen = seen(session).into_iter().filter(|(_, record)| wanted(record)).collect();
    let mut table =
        Table::new(&["exit", "cycle", "cpu", "reason", "guest RIP", "guest ran", "VMM ran", "qualification"]);
    let mut list = Vec::new();
    for (n, record) in &shown[shown.len().saturating_sub(count)..] {
        table.row([
            n.to_string(),
            record.cycle.to_string(),
            record.processor.to_string(),
            format!("{} {}", record.reason as u16, record.reason.text()),
            format!("{:#x}", record.rip),
            record.guest.to_string(),
            record.vmm.map_or_else(|| "-".to_owned(), |vmm| vmm.to_string()),
            record.words(),
        ]);
        list.push(as_json(*n, record));
    }
    let (forgotten, later) = (log.forgotten(), log.later(&session.clocks()));
    let all = seen(session).len();
    let mut text = match table.is_empty() {
        true if all != 0 => format!("none of the {all} VM exits is of that kind\n"),
        true => none(session),
        false => table.text(),
    };
    if !table.is_empty() && later != 0 {
        text += &format!("{later} more come after this moment; goto exit {} goes to the last\n", log.next_exit() - 1);
    }
    Ok(Answer::new(text, json!({ "exits": list, "all": shown.len(), "forgotten": forgotten, "later": later })))
}

/// VM exits with their numbers.
type Seen<'a> = Vec<(u64, &'a ExitRecord)>;

/// Those up to the present moment.
fn seen(session: &Session) -> Seen<'_> {
    session.watcher.vmx.exits(&session.clocks()).collect()
}

/// That there are none to show.
fn none(session: &Session) -> String {
    match session.watcher.vmx.later(&session.clocks()) {
        0 => "no VM exits while the debugger watched\n".to_owned(),
        later => format!("no VM exits before this moment; {later} come after it\n"),
    }
}

fn as_json(n: u64, record: &ExitRecord) -> Value {
    json!({
        "exit": n, "cycle": record.cycle, "processor": record.processor, "vmcs": hex(record.vmcs),
        "reason": record.reason as u16, "name": record.reason.text(), "qualification": hex(record.qualification),
        "words": record.words(), "guest_rip": hex(record.rip), "guest_cycles": record.guest, "vmm_cycles": record.vmm,
    })
}

/// Counts and cycles by reason, the most frequent first.
fn statistics(exits: &Seen, none: String) -> Answer {
    let mut by: BTreeMap<u16, (ExitReason, u64, u64, u64)> = BTreeMap::new();
    for (_, record) in exits {
        let entry = by.entry(record.reason as u16).or_insert((record.reason, 0, 0, 0));
        entry.1 += 1;
        entry.2 += record.guest;
        entry.3 += record.vmm.unwrap_or(0);
    }
    let mut all: Vec<_> = by.into_values().collect();
    all.sort_by_key(|entry| std::cmp::Reverse(entry.1));
    let mut table = Table::new(&["reason", "exits", "guest cycles before", "VMM cycles before"]);
    let mut list = Vec::new();
    for (reason, count, guest, vmm) in all {
        table.row([
            format!("{} {}", reason as u16, reason.text()),
            count.to_string(),
            guest.to_string(),
            vmm.to_string(),
        ]);
        list.push(json!({ "reason": reason as u16, "name": reason.text(), "exits": count, "guest_cycles": guest, "vmm_cycles": vmm }));
    }
    let text = if table.is_empty() { none } else { table.text() };
    Answer::new(text, json!({ "reasons": list }))
}

fn written(file: &str, contents: String) -> Outcome {
    write_whole(Path::new(file), "timeline", contents.as_bytes())?;
    Ok(Answer::silent())
}

pub(super) fn csv(exits: &Seen) -> String {
    let mut text =
        String::from("exit,cycle,processor,vmcs,reason,name,qualification,words,guest_rip,guest_cycles,vmm_cycles\n");
    for (n, record) in exits {
        let vmm = record.vmm.map_or(String::new(), |vmm| vmm.to_string());
        let _ = writeln!(
            text,
            "{},{},{},{:#x},{},\"{}\",{:#x},\"{}\",{:#x},{},{vmm}",
            n,
            record.cycle,
            record.processor,
            record.vmcs,
            record.reason as u16,
            record.reason.text(),
            record.qualification,
            record.words().replace('"', "'"),
            record.rip,
            record.guest
        );
    }
    text
}

/// Colours of the picture, for the most frequent reasons in this order.
const COLOURS: [&str; 10] =
    ["#4e79a7", "#f28e2b", "#e15759", "#76b7b2", "#59a14f", "#edc948", "#b07aa1", "#ff9da7", "#9c755f", "#bab0ac"];

/// A picture: a lane a processor, the guest's time as bars in the colour of the VM exit that ended it.
pub(super) fn svg(exits: &Seen) -> Result<String, CommandError> {
    let (Some(first), Some(last)) = (
        exits.iter().map(|(_, record)| record.cycle - record.guest.min(record.cycle)).min(),
        exits.iter().map(|(_, record)| record.cycle).max(),
    ) else {
        return Err("there are no VM exits to draw".into());
    };
    let (width, lane, left, top) = (1200.0, 40.0, 60.0, 30.0);
    let scale = (width - left - 20.0) / (last - first).max(1) as f64;
    let mut processors: Vec<u32> = exits.iter().map(|(_, record)| record.processor).collect();
    processors.sort_unstable();
    processors.dedup();
    let mut counts: BTreeMap<ExitReason, u64> = BTreeMap::new();
    exits.iter().for_each(|(_, record)| *counts.entry(record.reason).or_insert(0) += 1);
    let mut reasons: Vec<(ExitReason, u64)> = counts.into_iter().collect();
    reasons.sort_by_key(|reason| std::cmp::Reverse(reason.1));
    let colour = |reason: ExitReason| {
        let place = reasons.iter().position(|other| other.0 == reason).unwrap_or(0);
        COLOURS[place.min(COLOURS.len() - 1)]
    };
    let lanes = top + lane * processors.len() as f64;
    let height = lanes + 40.0 + 18.0 * reasons.len() as f64;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{left}\" y=\"18\">VM exits from cycle {first} to {last}; bars: the guest runs</text>\n"
    );
    for (n, processor) in processors.iter().enumerate() {
        let y = top + lane * n as f64;
        let _ = writeln!(text, "<text x=\"4\" y=\"{:.1}\">cpu {processor}</text>", y + 20.0);
        let _ = writeln!(
            text,
            "<rect x=\"{left}\" y=\"{:.1}\" width=\"{:.1}\" height=\"2\" fill=\"#ddd\"/>",
            y + 16.0,
            width - left - 20.0
        );
        // Bars that nobody could tell apart are drawn once.
        let mut drawn = f64::MIN;
        for (_, record) in exits.iter().filter(|(_, record)| record.processor == *processor) {
            let end = left + (record.cycle - first) as f64 * scale;
            let bar = (record.guest as f64 * scale).max(1.0);
            if end - drawn < 0.5 {
                continue;
            }
            drawn = end;
            let _ = writeln!(
                text,
                "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{bar:.1}\" height=\"24\" fill=\"{}\"><title>{}</title></rect>",
                end - bar,
                y + 5.0,
                colour(record.reason),
                escaped(format!("cycle {}: {} {}", record.cycle, record.reason.text(), record.words()).trim_end())
            );
        }
    }
    for (n, (reason, count)) in reasons.iter().enumerate() {
        let y = lanes + 24.0 + 18.0 * n as f64;
        let fill = colour(*reason);
        let _ = writeln!(text, "<rect x=\"{left}\" y=\"{:.1}\" width=\"12\" height=\"12\" fill=\"{fill}\"/>", y - 10.0);
        let _ = writeln!(text, "<text x=\"{}\" y=\"{y:.1}\">{}: {count}</text>", left + 18.0, escaped(reason.text()));
    }
    text.push_str("</svg>\n");
    Ok(text)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log() -> [ExitRecord; 3] {
        let record = |cycle, processor, reason| ExitRecord {
            processor,
            cycle,
            vmcs: 0x1000,
            reason,
            qualification: 0,
            event: 0,
            error: 0,
            instruction: 0,
            operand: None,
            linear: None,
            rip: 0x7C00,
            guest: 10,
            vmm: Some(5),
        };
        [record(100, 0, ExitReason::Cpuid), record(200, 1, ExitReason::Hlt), record(300, 0, ExitReason::Cpuid)]
    }

    fn numbered(log: &[ExitRecord]) -> Seen<'_> {
        (0..).zip(log).collect()
    }

    #[test]
    fn access_that_ept_stops_and_an_msr_are_told_by_their_addresses_and_names() {
        let [mut record, ..] = log();
        (record.reason, record.operand, record.linear) = (ExitReason::EptMisconfiguration, Some(0x5000), None);
        assert_eq!(record.words(), "guest-physical 0x5000");
        (record.reason, record.linear) = (ExitReason::EptViolation, Some(0x7000));
        assert!(record.words().ends_with("guest-physical 0x5000, linear 0x7000"), "{}", record.words());
        (record.reason, record.operand, record.linear) = (ExitReason::Wrmsr, Some(0x277), None);
        assert_eq!(record.words(), "IA32_PAT");
    }

    #[test]
    fn exceptions_are_told_with_their_error_codes_and_accesses_to_tables_with_the_instruction() {
        let [mut record, ..] = log();
        (record.reason, record.event, record.error) = (ExitReason::ExceptionOrNmi, 0x8000_0B0D, 0x18);
        assert_eq!(record.words(), "hardware exception #GP, error code 0x18 (selector in the GDT 0x18)");
        record.error = 0;
        assert_eq!(record.words(), "hardware exception #GP, error code 0x0");
        (record.event, record.error, record.qualification) = (0x8000_1B0E, 3, 0x5000);
        let told = "hardware exception #PF, error code 0x3 (P WR), NMI unblocking due to IRET, linear address 0x5000";
        assert_eq!(record.words(), told);
        (record.event, record.qualification) = (0x8000_0306, 0);
        assert_eq!(record.words(), "hardware exception #UD");
        for (reason, number, name) in [
            (ExitReason::GdtrIdtrAccess, 0, "SGDT"),
            (ExitReason::GdtrIdtrAccess, 3, "LIDT"),
            (ExitReason::LdtrTrAccess, 1, "STR"),
            (ExitReason::LdtrTrAccess, 2, "LLDT"),
        ] {
            (record.reason, record.instruction) = (reason, number << 28);
            assert!(record.words().starts_with(name), "{}", record.words());
        }
    }

    #[test]
    fn timeline_as_csv_has_a_line_for_each_exit() {
        let text = csv(&numbered(&log()));
        assert_eq!(text.lines().count(), 4);
        assert!(text.contains("0,100,0,0x1000,10,\"CPUID\",0x0,\"\",0x7c00,10,5"), "{text}");
    }

    #[test]
    fn timeline_as_a_picture_has_a_lane_for_each_processor_and_a_legend() {
        let text = svg(&numbered(&log())).unwrap();
        assert!(
            text.contains("cpu 0") && text.contains("cpu 1") && text.contains("CPUID: 2") && text.ends_with("</svg>\n")
        );
        assert!(text.contains("<title>cycle 100: CPUID</title>"), "{text}");
        assert!(svg(&Vec::new()).is_err());
    }

    #[test]
    fn statistics_put_the_most_frequent_reason_first() {
        let text = statistics(&numbered(&log()), String::new()).text;
        assert!(text.lines().nth(1).is_some_and(|line| line.starts_with("10 CPUID") && line.contains(" 2 ")), "{text}");
    }
}
