//! `debug --tui`, drawn into memory.

use crossterm::event::{KeyCode, KeyEvent};
use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};
use rvmx_emu::config::{AtaDrive, BootDevice, MachineConfig};
use rvmx_emu::{debug, pc};
use std::fmt::Write;
use std::path::Path;

/// The screen of a test image after these commands and keys.
fn buffer(image: &str, commands: &[&str], keys: &[KeyCode], size: (u16, u16)) -> Buffer {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../test-images/images/{image}.img"));
    let config = MachineConfig {
        hda: Some(AtaDrive::Disk { image: path, geometry: None }),
        boot: vec![BootDevice::Disk],
        snapshot: true,
        memory: 64,
        cpu_model: "max".to_owned(),
        ..MachineConfig::default()
    };
    let machine = pc::build(&config, None).expect("the machine is sound");
    let keys: Vec<KeyEvent> = keys.iter().map(|&key| KeyEvent::from(key)).collect();
    debug::picture(machine, commands, &keys, size).expect("the commands are sound")
}

fn lines(buffer: &Buffer) -> Vec<String> {
    let row = |y| (0..buffer.area.width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
    (0..buffer.area.height).map(row).collect()
}

fn screen(image: &str, commands: &[&str], keys: &[KeyCode]) -> Vec<String> {
    lines(&buffer(image, commands, keys, (80, 24)))
}

fn find(lines: &[String], part: &str) {
    assert!(lines.iter().any(|line| line.contains(part)), "{part} is not in\n{}", lines.join("\n"));
}

/// At the VM entry that fails for its CS.
const FAILS: [&str; 5] = ["b vmentry failed", "c", "c", "c", "c"];

#[test]
fn all_panes_are_there_on_80_columns_and_24_lines() {
    let lines = screen("vmxentry", &["b vmentry ignore 5", "c"], &[]);
    assert_eq!(lines.len(), 24);
    for title in [" Registers ", " Disassembly ", " Memory ss.base+rsp ", " VMCS ", " VM exits ", " Screen "] {
        find(&lines, title);
    }
    for part in
        ["EIP 0000", "EAX ", "=> 0000", " vmlaunch", "FAIL guest.rflags.fixed_1", "VM-entry failure due t", "host"]
    {
        find(&lines, part);
    }
    assert!(lines[21].starts_with("breakpoint 1, VM entry"), "{}", lines[21]);
    assert!(lines[22].starts_with("[0] ") && lines[22].contains("vmlaunch"), "{}", lines[22]);
    assert!(lines[23].starts_with("(rvmx) F1 help"), "{}", lines[23]);
}

#[test]
fn keys_choose_a_pane_and_give_it_all_the_room() {
    let keys = [KeyCode::Tab, KeyCode::Tab, KeyCode::Tab, KeyCode::F(2)];
    let lines = screen("vmxentry", &FAILS, &keys);
    find(&lines, " VMCS ");
    find(&lines, "VM-execution");
    assert!(!lines.iter().any(|line| line.contains(" Registers ")), "{}", lines.join("\n"));
    let again = screen("vmxentry", &FAILS, &[&keys[..], &[KeyCode::Esc]].concat());
    find(&again, " Registers ");
    let down = screen("vmxentry", &FAILS, &[&keys[..], &[KeyCode::PageDown]].concat());
    assert_ne!(down[1], lines[1]);
}

#[test]
fn line_at_the_bottom_takes_any_command() {
    let typed = |text: &str| -> Vec<KeyCode> { text.chars().map(KeyCode::Char).chain([KeyCode::Enter]).collect() };
    let lines = screen("modes", &[], &typed("s 2"));
    find(&lines, "[0] 2 f000:0000");
    // What is longer than the message lies over the panes, until it is closed.
    let long = screen("modes", &[], &typed("help"));
    find(&long, " Answer: Esc closes it ");
    find(&long, "what it does");
    find(&screen("modes", &[], &[typed("help"), vec![KeyCode::Esc]].concat()), " Registers ");
    find(&screen("modes", &[], &typed("nothing")), "there is no command \"nothing\"");
    let moved = screen("modes", &[], &typed("memory 0xf0000"));
    find(&moved, " Memory 0xf0000 ");
    find(&moved, "000f0000 ");
    // An empty line is the last step again; F11 is one, too.
    let steps = screen("modes", &["s"], &[KeyCode::Enter, KeyCode::F(11)]);
    find(&steps, "[0] 3 f000:");
    let typing = screen("modes", &[], &[KeyCode::Char('p'), KeyCode::Char('t'), KeyCode::Tab]);
    assert_eq!(typing[23], "(rvmx) ptime");
}

#[test]
fn a_larger_terminal_shows_more_and_a_tiny_one_does_not_fail() {
    let large = lines(&buffer("vmxentry", &FAILS, &[], (140, 50)));
    assert_eq!(large.len(), 50);
    find(&large, "CR0  ");
    for size in [(10, 4), (1, 1), (80, 5)] {
        buffer("modes", &["help"], &[], size);
    }
}

/// The size of a character in the picture.
const CHARACTER: (u16, u16) = (8, 17);

/// The colour of a cell, and its background.
fn colors(cell: &Cell) -> (&'static str, &'static str) {
    let front = match cell.fg {
        Color::Yellow => "#e5c07b",
        Color::Red => "#e06c75",
        Color::Green => "#98c379",
        Color::DarkGray => "#7f848e",
        _ => "#d7dae0",
    };
    let back = "#1e2127";
    if cell.modifier.contains(Modifier::REVERSED) { (back, front) } else { (front, back) }
}

/// The screen as a picture: runs of one style, each as wide as its characters.
fn svg(buffer: &Buffer) -> String {
    let (columns, rows) = (buffer.area.width, buffer.area.height);
    let (width, height) = CHARACTER;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\" font-family=\"monospace\" font-size=\"13\" \
         xml:space=\"preserve\">\n<rect width=\"100%\" height=\"100%\" fill=\"#1e2127\"/>\n",
        columns * width,
        rows * height
    );
    for y in 0..rows {
        let mut x = 0;
        while x < columns {
            let style = |x: u16| (colors(&buffer[(x, y)]), buffer[(x, y)].modifier.contains(Modifier::BOLD));
            let first = x;
            let mut run = String::new();
            while x < columns && style(x) == style(first) {
                run += buffer[(x, y)].symbol();
                x += 1;
            }
            let ((front, back), bold) = style(first);
            let (left, top, wide) = (first * width, y * height, (x - first) * width);
            if back != "#1e2127" {
                let _ = writeln!(
                    text,
                    "<rect x=\"{left}\" y=\"{top}\" width=\"{wide}\" height=\"{height}\" fill=\"{back}\"/>"
                );
            }
            if run.trim().is_empty() {
                continue;
            }
            let weight = if bold { " font-weight=\"bold\"" } else { "" };
            let run = run.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            let _ = writeln!(
                text,
                "<text x=\"{left}\" y=\"{}\" textLength=\"{wide}\" fill=\"{front}\"{weight}>{run}</text>",
                top + 13
            );
        }
    }
    text + "</svg>\n"
}

/// The picture in the documents is what the program draws; `UPDATE_GOLDEN=1` writes it anew.
#[test]
fn picture_in_the_documents_is_the_screen() {
    let picture = svg(&buffer("vmxentry", &["b vmentry ignore 5", "c"], &[KeyCode::Tab; 3], (80, 24)));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/debugger-tui.svg");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &picture).expect("the documents can be written");
    }
    let shown = std::fs::read_to_string(&path).expect("the picture is there");
    assert_eq!(shown, picture, "UPDATE_GOLDEN=1 writes it anew");
}

/// An answer that is wider than the terminal is not cut: no word of the remedy is lost.
#[test]
fn answers_are_wrapped_to_the_terminal() {
    let typed: Vec<KeyCode> = "vmentry why".chars().map(KeyCode::Char).chain([KeyCode::Enter]).collect();
    let shown = screen("vmxentry", &["b vmentry failed ignore 4", "c"], &typed).join(" ");
    for word in ["(accessed", "“Unrestricted", "3", "0xc09b", "then)"] {
        assert!(shown.contains(word), "{word}: {shown}");
    }
}
