//! What a whole machine is doing, for people and for programs that read JSON. Making a report changes nothing.

use crate::pc::Pc;
use emu_core::report::{CpuReport, Detail};
use serde::Serialize;

/// Processors that a short text describes; the others get a line each.
const DESCRIBED: usize = 4;

/// A machine at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct PcReport {
    /// The clock: cycles since power-on.
    pub cycle: u64,
    /// Instructions executed by all processors.
    pub instructions: u64,
    /// The processors, by number.
    pub processors: Vec<CpuReport>,
    /// The lines of the text screen without trailing blanks; `None` in a graphics mode.
    pub screen: Option<Vec<String>>,
}

impl Pc {
    /// Looks at the machine.
    pub fn report(&self) -> PcReport {
        PcReport {
            cycle: self.now(),
            instructions: self.instructions(),
            processors: self.cpus.iter().map(|cpu| CpuReport::new(cpu, &self.ram)).collect(),
            screen: self.board.vga.text_screen().map(|screen| screen.lines()),
        }
    }
}

impl PcReport {
    /// Everything as text.
    pub fn full_text(&self) -> String {
        let mut text: String = self.processors.iter().map(|cpu| cpu.text(Detail::Full)).collect();
        text.push_str(&self.screen_text());
        text
    }

    /// What one wants to see first: all about a processor that has shut down, the main things about the others, and the
    /// screen.
    pub fn short_text(&self) -> String {
        let mut text = String::new();
        let mut described = 0;
        for cpu in &self.processors {
            // A processor that waits, or was never started, has little to tell.
            let detail = if cpu.is_shut_down() {
                Detail::Full
            } else if cpu.number == 0 || cpu.active && described < DESCRIBED {
                Detail::Short
            } else {
                Detail::Line
            };
            described += usize::from(detail != Detail::Line);
            text.push_str(&cpu.text(detail));
        }
        text.push_str(&self.screen_text());
        text
    }

    /// The screen without the empty lines at its end.
    fn screen_text(&self) -> String {
        let Some(lines) = &self.screen else { return "screen: a graphics mode\n".to_owned() };
        let used = lines.iter().rposition(|line| !line.is_empty()).map_or(0, |last| last + 1);
        if used == 0 {
            return "screen: empty\n".to_owned();
        }
        lines.iter().take(used).fold("screen:\n".to_owned(), |text, line| text + line + "\n")
    }
}
