//! `--trace FILE[,cpu=N][,from=CYCLE][,to=CYCLE]`.

use crate::background::BackgroundFile;
use crate::cli::numbers::number;
use crate::config::MAX_CPUS;
use crate::error::{InputError, unknown_word};
use emu_core::trace::{TraceFilter, Tracer};
use std::path::PathBuf;
use std::str::FromStr;

/// What is traced, and where to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceSpec {
    /// The file.
    pub file: PathBuf,
    /// Which instructions.
    pub filter: TraceFilter,
}

impl TraceSpec {
    /// Creates the file, for a machine with so many processors.
    pub fn start(&self, processors: u32) -> Result<Tracer<BackgroundFile>, InputError> {
        if let Some(number) = self.filter.cpu.filter(|&number| number >= processors) {
            let last = processors.saturating_sub(1);
            let remedy = if last == 0 { "give cpu=0".to_owned() } else { format!("give cpu=0 to cpu={last}") };
            return Err(InputError::new("--trace", format!("there is no processor {number}")).remedy(remedy));
        }
        Ok(Tracer::new(self.filter, BackgroundFile::create(&self.file, "trace")?))
    }
}

impl FromStr for TraceSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(',');
        let file = parts.next().unwrap_or_default();
        if file.is_empty() {
            return Err("give a file, as in --trace trace.txt,cpu=0".to_owned());
        }
        let mut filter = TraceFilter::default();
        for part in parts {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let number = || number(0..=u64::MAX, "")(value).map_err(|problem| format!("{name}: {problem}"));
            match name {
                "cpu" => {
                    let number = number()?;
                    let processor = u32::try_from(number).ok().filter(|number| *number < MAX_CPUS);
                    let problem = || format!("there is no processor {number}; give 0 to {}", MAX_CPUS - 1);
                    filter.cpu = Some(processor.ok_or_else(problem)?);
                }
                "from" => filter.from = number()?,
                "to" => filter.to = number()?,
                _ => return Err(unknown_word(name, "cpu=N, from=CYCLE, to=CYCLE", &["cpu", "from", "to"])),
            }
        }
        if filter.from > filter.to {
            return Err(format!("from={} lies behind to={}; give from the smaller one", filter.from, filter.to));
        }
        Ok(Self { file: file.into(), filter })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trace_takes_a_file_and_options_in_any_order() {
        let all: TraceSpec = "a/b.txt,to=20,cpu=1,from=5".parse().unwrap();
        assert_eq!(all, TraceSpec { file: "a/b.txt".into(), filter: TraceFilter { cpu: Some(1), from: 5, to: 20 } });
        let plain: TraceSpec = "t".parse().unwrap();
        assert_eq!(plain.filter, TraceFilter::default());
        for (text, expected) in [
            ("", "give a file"),
            (
                "t,form=3",
                "\"form\" does not belong behind the file; give cpu=N, from=CYCLE, to=CYCLE; did you mean from?",
            ),
            ("t,CPU=3", "did you mean cpu?"),
            ("t,cpu=254", "there is no processor 254; give 0 to 253"),
            ("t,to=-1", "to: -1 is out of range; give 0 or more"),
            ("t,cpu=x", "cpu: \"x\" is no whole number"),
            ("t,from=9,to=8", "from=9 lies behind to=8"),
        ] {
            assert!(text.parse::<TraceSpec>().unwrap_err().contains(expected), "{text}");
        }
    }
}
