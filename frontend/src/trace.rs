//! `--trace FILE[,cpu=N][,from=CYCLE][,to=CYCLE]`.

use crate::background::BackgroundFile;
use crate::error::InputError;
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
            let number = || value.parse::<u64>().map_err(|_| format!("{name} needs a number, not {value:?}"));
            match name {
                "cpu" => {
                    let number = number()?;
                    filter.cpu = Some(u32::try_from(number).map_err(|_| format!("there is no processor {number}"))?);
                }
                "from" => filter.from = number()?,
                "to" => filter.to = number()?,
                _ => return Err(format!("{name:?} is none of cpu=N, from=CYCLE, to=CYCLE")),
            }
        }
        if filter.from > filter.to {
            return Err(format!("from={} lies behind to={}", filter.from, filter.to));
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
            ("t,form=3", "\"form\" is none of"),
            ("t,cpu=x", "cpu needs a number, not \"x\""),
            ("t,from=9,to=8", "from=9 lies behind to=8"),
        ] {
            assert!(text.parse::<TraceSpec>().unwrap_err().contains(expected), "{text}");
        }
    }
}
