//! What is printed: a line for each script as it ends, what failed once more with all that is known, and the sum.

use super::Outcome;
use super::child::Verdict;
use crate::error::{InputError, visible};
use crate::output;
use indicatif::{ProgressBar, ProgressStyle};
use std::fmt::Write;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Widest column of paths.
const MAX_WIDTH: usize = 60;

pub(super) struct Reporter {
    /// Only where somebody sees it.
    bar: Option<ProgressBar>,
    width: usize,
}

impl Reporter {
    /// Begins a report about these scripts.
    pub(super) fn new(scripts: &[PathBuf]) -> Self {
        let width = |path: &PathBuf| name(path).chars().count();
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(scripts.len() as u64);
            // The template is sound; the default one would do, too.
            if let Ok(style) = ProgressStyle::with_template("[{bar:30}] {pos}/{len}, {elapsed}{msg}") {
                bar.set_style(style.progress_chars("=> "));
            }
            bar.tick();
            bar
        });
        Self { bar, width: scripts.iter().map(width).max().unwrap_or(0).min(MAX_WIDTH) }
    }

    /// Lets the time go on.
    pub(super) fn tick(&self) {
        self.bar.iter().for_each(ProgressBar::tick);
    }

    /// A script has ended.
    pub(super) fn finished(&self, outcome: &Outcome) -> Result<(), InputError> {
        let line = self.line(outcome);
        match &self.bar {
            Some(bar) => {
                let printed = bar.suspend(|| {
                    output::print(&line);
                    output::finish()
                });
                if outcome.verdict != Verdict::Passed {
                    bar.set_message(", failures");
                }
                bar.inc(1);
                printed
            }
            None => {
                output::print(&line);
                Ok(())
            }
        }
    }

    fn line(&self, outcome: &Outcome) -> String {
        let word = match outcome.verdict {
            Verdict::Passed => "pass",
            Verdict::Failed => "FAIL",
            Verdict::Error => "ERROR",
            Verdict::Stopped => "stop",
            Verdict::NotBegun => "skip",
        };
        let guest = outcome.guest.map_or("-".to_owned(), |seconds| format!("{seconds:.3} s"));
        let (path, wall) = (name(&outcome.script), outcome.wall.as_secs_f64());
        let line = format!("{word:5} {path:width$}  guest {guest:>10}  wall {wall:6.2} s", width = self.width);
        let why = outcome.message.lines().next().map_or(String::new(), |first| format!("  {}", visible(first, &[])));
        line + &why + "\n"
    }

    /// Ends the report.
    pub(super) fn summary(&self, outcomes: &[Outcome], wall: Duration) -> String {
        self.bar.iter().for_each(ProgressBar::finish_and_clear);
        let not_begun = outcomes.iter().filter(|outcome| outcome.verdict == Verdict::NotBegun);
        let mut text: String = not_begun.map(|outcome| self.line(outcome)).collect();
        for outcome in outcomes.iter().filter(|o| matches!(o.verdict, Verdict::Failed | Verdict::Error)) {
            let details = if outcome.state.is_empty() { &outcome.log } else { &outcome.state };
            // The script's line has said all.
            if details.is_empty() && outcome.message.lines().count() <= 1 {
                continue;
            }
            // Writing to a string does not fail.
            let _ = writeln!(text, "\n---- {}\n{}", name(&outcome.script), visible(&outcome.message, &['\n', '\t']));
            text.push_str(&visible(details, &['\n', '\t']));
        }
        let count = |verdict| outcomes.iter().filter(|outcome| outcome.verdict == verdict).count();
        // The sum of no numbers at all is -0.
        let guest = outcomes.iter().filter_map(|outcome| outcome.guest).fold(0.0, |sum, seconds| sum + seconds);
        let failed = count(Verdict::Failed);
        let errors = match count(Verdict::Error) {
            0 => String::new(),
            1 => ", 1 error".to_owned(),
            count => format!(", {count} errors"),
        };
        let others = |verdict, word| match count(verdict) {
            0 => String::new(),
            count => format!(", {count} {word}"),
        };
        let stopped = others(Verdict::Stopped, "stopped") + &others(Verdict::NotBegun, "not begun");
        let _ = writeln!(
            text,
            "\n{} {}: {} passed, {failed} failed{errors}{stopped}; {guest:.3} guest seconds in {:.2} s",
            outcomes.len(),
            if outcomes.len() == 1 { "script" } else { "scripts" },
            count(Verdict::Passed),
            wall.as_secs_f64()
        );
        text
    }
}

/// A path that does not drive the terminal.
pub(super) fn name(path: &Path) -> String {
    visible(&path.display().to_string(), &[])
}
