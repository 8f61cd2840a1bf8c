//! `--clock`: what the machine's clock counts.

use crate::error::did_you_mean;
use emu_core::cycles::parts::Parts;
use emu_vmx::dump::names::shown;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What the clock counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub enum Clock {
    /// Instructions: each is one cycle.
    #[default]
    Ips,
    /// Cycles, as the table of the CPU model's microarchitecture estimates them, with these parts of it.
    Model(Parts),
}

/// The clock as RON files have it: `ips`, `model`, or `model_with([caches, branches])`.
#[derive(Serialize, Deserialize)]
#[serde(rename = "Clock", rename_all = "snake_case")]
enum Written {
    Ips,
    Model,
    ModelWith(Vec<Part>),
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Part {
    Caches,
    Branches,
}

impl From<Written> for Clock {
    fn from(written: Written) -> Self {
        match written {
            Written::Ips => Self::Ips,
            Written::Model => Self::Model(Parts::NONE),
            Written::ModelWith(parts) => {
                let has = |part| parts.contains(&part);
                Self::Model(Parts { caches: has(Part::Caches), branches: has(Part::Branches) })
            }
        }
    }
}

impl From<Clock> for Written {
    fn from(clock: Clock) -> Self {
        match clock {
            Clock::Ips => Self::Ips,
            Clock::Model(Parts::NONE) => Self::Model,
            Clock::Model(parts) => {
                let all = [(parts.caches, Part::Caches), (parts.branches, Part::Branches)];
                Self::ModelWith(all.into_iter().filter(|part| part.0).map(|part| part.1).collect())
            }
        }
    }
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Ips => f.write_str("ips"),
            Self::Model(parts) => {
                f.write_str("model")?;
                parts.names().try_for_each(|name| write!(f, ",{name}"))
            }
        }
    }
}

impl FromStr for Clock {
    type Err = String;

    /// `ips`, or `model` with any of `,caches` and `,branches`. The problem and the remedy as an error.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split(',');
        let mut clock = match words.next() {
            Some("ips") => Self::Ips,
            Some("model") => Self::Model(Parts::NONE),
            first => {
                let first = first.unwrap_or_default();
                let near = did_you_mean(first, ["ips", "model"].into_iter());
                return Err(format!("{:?} is no clock{near}; give ips, or model[,caches][,branches]", shown(first)));
            }
        };
        for word in words {
            let Self::Model(parts) = &mut clock else {
                return Err(format!(
                    "an instruction is one cycle with ips, whatever {:?} says; give ips alone, or model[,caches][,branches]",
                    shown(word)
                ));
            };
            match word {
                "caches" if !parts.caches => parts.caches = true,
                "branches" if !parts.branches => parts.branches = true,
                "caches" | "branches" => {
                    return Err(format!("{word:?} stands there twice; give model[,caches][,branches]"));
                }
                _ => {
                    let near = did_you_mean(word, ["caches", "branches"].into_iter());
                    return Err(format!(
                        "{:?} is nothing that the model's clock counts{near}; give model[,caches][,branches]",
                        shown(word)
                    ));
                }
            }
        }
        Ok(clock)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_are_written_as_they_are_read() {
        let both = Parts { caches: true, branches: true };
        for (text, ron, clock) in [
            ("ips", "ips", Clock::Ips),
            ("model", "model", Clock::Model(Parts::NONE)),
            ("model,caches", "model_with([caches])", Clock::Model(Parts { caches: true, branches: false })),
            ("model,branches", "model_with([branches])", Clock::Model(Parts { caches: false, branches: true })),
            ("model,caches,branches", "model_with([caches,branches])", Clock::Model(both)),
        ] {
            assert_eq!(text.parse(), Ok(clock));
            assert_eq!(clock.to_string(), text);
            assert_eq!(ron::from_str(ron), Ok(clock));
            assert_eq!(ron::to_string(&clock).expect("it has a form"), ron);
        }
        assert_eq!("model,branches,caches".parse(), Ok(Clock::Model(both)));
        assert_eq!(ron::from_str("model_with([])"), Ok(Clock::Model(Parts::NONE)));
    }

    #[test]
    fn a_wrong_word_is_told_with_what_can_stand_there() {
        for text in ["ips,caches", "model,cache", "fast", "modell", "", "model,", "caches"] {
            let problem = text.parse::<Clock>().expect_err(text);
            assert!(problem.contains("ips") || problem.contains("model[,caches][,branches]"), "{text}: {problem}");
        }
    }
}
