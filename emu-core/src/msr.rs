//! Model-specific registers: one table says of each its number, its name, who has it, its value after reset, and what
//! reading and writing it does (SDM Vol. 4, Chapter 2 "Model-Specific Registers (MSRs)").
//!
//! A new register is one row of [`table`]; one that the processor only stores stands in the model's file too, with its
//! reset value and the bits that may be written.

mod special;
mod table;

use crate::fault::{Exec, Stop};
use crate::model::CpuModel;
use crate::model::features::Feature;
use crate::state::cpu::{Cpu, Env};
use crate::state::observed::{Observed, RegisterWrite, Watch};
use std::borrow::Cow;
pub use table::TABLE;

/// Which models have a register.
#[derive(Debug, Clone, Copy)]
pub enum Has {
    /// All of them.
    Always,
    /// Those with one of these features.
    Any(&'static [Feature]),
    /// Those whose file lists it.
    Listed,
    /// Those whose file gives it as a VMX capability.
    Capability,
    /// Those with so many machine-check banks.
    Banks,
    /// Those of which a function of model and number says so.
    When(fn(&CpuModel, u32) -> bool),
}

/// The value after power-on.
#[derive(Debug, Clone, Copy)]
pub enum Reset {
    /// This one, of the bootstrap processor.
    Is(u64),
    /// What the model's file says.
    Model,
    /// What a function of model and number says.
    Of(fn(&CpuModel, u32) -> u64),
    /// None can be read: write-only, or #GP in the state after power-on.
    Unreadable,
}

/// What WRMSR may write; anything else raises #GP.
#[derive(Debug, Clone, Copy)]
pub enum Allowed {
    /// All values.
    Any,
    /// Values whose other bits are 0.
    Bits(u64),
    /// The same, by model and number.
    BitsOf(fn(&CpuModel, u32) -> u64),
    /// Values that change none but the writable bits of the model's file.
    Listed,
    /// Values of which a function says so; with one that is refused on every model.
    Values(fn(&CpuModel, u32, u64) -> bool, u64),
    /// None: the register is read-only.
    Nothing,
}

/// How RDMSR comes to the value.
#[derive(Clone, Copy)]
pub enum Read {
    /// As last written, or the reset value.
    Stored,
    /// By a function of processor and number; `None` is #GP. Reading changes nothing.
    Of(fn(&Cpu, u32) -> Option<u64>),
    /// Not at all: #GP.
    Never,
}

/// What WRMSR of an allowed value does.
#[derive(Clone, Copy)]
pub enum Write {
    /// Stores it.
    Stored,
    /// This.
    Of(fn(&mut Cpu, &mut Env, u32, u64) -> Exec),
}

/// One row of the table: a register, or several of one kind.
pub struct Msr {
    /// Number of the first.
    pub first: u32,
    /// How many there are.
    pub count: u32,
    /// From one's number to the next's.
    pub stride: u32,
    /// Name in the SDM; `#` stands for which of several it is, from 0.
    pub name: &'static str,
    /// Which models have it.
    pub has: Has,
    /// Value after power-on.
    pub reset: Reset,
    /// What may be written.
    pub allowed: Allowed,
    /// What reading does.
    pub read: Read,
    /// What writing does.
    pub write: Write,
}

impl Msr {
    /// Which one of the row has this number.
    fn place(&self, number: u32) -> Option<u32> {
        let distance = number.checked_sub(self.first)?;
        (distance % self.stride == 0 && distance / self.stride < self.count).then(|| distance / self.stride)
    }

    /// The SDM's name of the register with this number of the row.
    pub fn name_of(&self, number: u32) -> Cow<'static, str> {
        match self.place(number) {
            Some(place) if self.count > 1 => self.name.replace('#', &place.to_string()).into(),
            _ => self.name.into(),
        }
    }

    /// The numbers of the row, in order.
    pub fn numbers(&self) -> impl Iterator<Item = u32> {
        let (first, stride) = (self.first, self.stride);
        (0..self.count).map(move |n| first + n * stride)
    }

    /// Whether a model has the register with this number of the row.
    pub fn exists(&self, model: &CpuModel, number: u32) -> bool {
        match self.has {
            Has::Always => true,
            Has::Any(features) => features.iter().any(|&feature| model.has(feature)),
            Has::Listed => model.plain_msr(number).is_some(),
            Has::Capability => model.has(Feature::Vmx) && model.vmx_capabilities().contains_key(&number),
            Has::Banks => self.place(number).is_some_and(|bank| bank < model.machine_check_banks()),
            Has::When(has) => has(model, number),
        }
    }

    /// The value after power-on; `None` when it cannot be read then.
    pub fn reset_value(&self, model: &CpuModel, number: u32) -> Option<u64> {
        match self.reset {
            Reset::Is(value) => Some(value),
            Reset::Of(value) => Some(value(model, number)),
            Reset::Model if matches!(self.has, Has::Capability) => model.vmx_capabilities().get(&number).copied(),
            Reset::Model => model.plain_msr(number).map(|listed| listed.reset),
            Reset::Unreadable => None,
        }
    }

    fn allows(&self, cpu: &Cpu, number: u32, value: u64) -> bool {
        match self.allowed {
            Allowed::Any => true,
            Allowed::Bits(bits) => value & !bits == 0,
            Allowed::BitsOf(bits) => value & !bits(&cpu.config.model, number) == 0,
            Allowed::Listed => {
                let writable = cpu.config.model.plain_msr(number).map_or(0, |listed| listed.writable);
                (value ^ cpu.stored_msr(number)) & !writable == 0
            }
            Allowed::Values(allowed, _) => allowed(&cpu.config.model, number, value),
            Allowed::Nothing => false,
        }
    }
}

/// At most so many rows interleave their numbers (the four registers of a machine-check bank).
const INTERLEAVED: usize = 4;

/// The rows of a number: more than one where it has come to mean another register, and no model has both.
fn rows(number: u32) -> impl Iterator<Item = &'static Msr> {
    let end = TABLE.partition_point(|msr| msr.first <= number);
    TABLE[..end].iter().rev().take(INTERLEAVED).filter(move |msr| msr.place(number).is_some())
}

/// The row of a number, whether or not a model has the register.
pub fn row(number: u32) -> Option<&'static Msr> {
    rows(number).next()
}

/// The row of a register that a model has.
pub fn row_of(model: &CpuModel, number: u32) -> Option<&'static Msr> {
    rows(number).find(|msr| msr.exists(model, number))
}

/// The SDM's name of a number.
pub fn name(number: u32) -> Option<Cow<'static, str>> {
    row(number).map(|msr| msr.name_of(number))
}

/// The number of a name as the SDM has it, with or without `IA32_` and `MSR_`, in upper or lower case.
pub fn number(name: &str) -> Option<u32> {
    let short = |name: &str| -> String {
        let name = name.to_ascii_uppercase();
        name.strip_prefix("IA32_").or(name.strip_prefix("MSR_")).unwrap_or(&name).to_owned()
    };
    let wanted = short(name);
    let rows = TABLE.iter().flat_map(|msr| msr.numbers().map(move |number| (number, msr)));
    rows.into_iter().find(|&(number, msr)| short(&msr.name_of(number)) == wanted).map(|(number, _)| number)
}

/// The registers that a model has, by number.
pub fn of_model(model: &CpuModel) -> impl Iterator<Item = (u32, &'static Msr)> {
    let mut all: Vec<_> = TABLE
        .iter()
        .flat_map(|msr| msr.numbers().map(move |number| (number, msr)))
        .filter(|&(number, msr)| msr.exists(model, number))
        .collect();
    all.sort_by_key(|&(number, _)| number);
    all.into_iter()
}

impl Cpu {
    /// The row of an MSR that this processor has.
    fn msr(&self, number: u32) -> Option<&'static Msr> {
        row_of(&self.config.model, number)
    }

    /// Reads an MSR as RDMSR at CPL 0 does; #GP(0) if there is none.
    pub fn read_msr(&mut self, number: u32) -> Result<u64, Stop> {
        match self.msr(number) {
            None => self.unknown_msr(number, None),
            Some(msr) => match self.read_row(msr, number) {
                Some(value) => Ok(value),
                None => self.gp(0),
            },
        }
    }

    /// What RDMSR would read, for a look from outside; `None` where it would raise #GP.
    pub fn read_msr_quiet(&self, number: u32) -> Option<u64> {
        self.read_row(self.msr(number)?, number)
    }

    /// Whether WRMSR would take a value.
    pub(crate) fn allows_msr(&self, number: u32, value: u64) -> bool {
        self.msr(number).is_some_and(|msr| msr.allows(self, number, value))
    }

    fn read_row(&self, msr: &Msr, number: u32) -> Option<u64> {
        match msr.read {
            Read::Stored => Some(self.stored_msr(number)),
            Read::Of(read) => read(self, number),
            Read::Never => None,
        }
    }

    /// Writes an MSR as WRMSR at CPL 0 does; #GP(0) if there is none or the value is not allowed.
    pub fn write_msr(&mut self, env: &mut Env, number: u32, value: u64) -> Exec {
        self.write_known_msr(env, number, value)?;
        if self.notes.watch.contains(Watch::MSRS) {
            self.note(Observed::Msr(RegisterWrite { number, value }));
        }
        Ok(())
    }

    fn write_known_msr(&mut self, env: &mut Env, number: u32, value: u64) -> Exec {
        let Some(msr) = self.msr(number) else {
            return self.unknown_msr(number, Some(value)).map(|_| ());
        };
        if !msr.allows(self, number, value) {
            return self.gp(0);
        }
        match msr.write {
            Write::Stored => {
                self.sys.plain_msrs.insert(number, value);
                Ok(())
            }
            Write::Of(write) => write(self, env, number, value),
        }
    }

    /// An MSR that the processor only stores: as last written, or its reset value.
    pub(crate) fn stored_msr(&self, number: u32) -> u64 {
        match self.sys.plain_msrs.get(&number) {
            Some(&value) => value,
            None => {
                let row = self.msr(number).or_else(|| row(number));
                row.and_then(|msr| msr.reset_value(&self.config.model, number)).unwrap_or(0)
            }
        }
    }

    /// An MSR that the model does not have.
    #[cold]
    fn unknown_msr(&mut self, number: u32, written: Option<u64>) -> Result<u64, Stop> {
        if self.log_once(if written.is_some() { "WRMSR" } else { "RDMSR" }, u64::from(number)) {
            let (rip, model) = (self.rip(), self.config.model.name());
            let outcome = if self.config.ignore_bad_msrs { "ignored" } else { "#GP" };
            let access = match written {
                Some(value) => format!("WRMSR {number:#x} = {value:#x}"),
                None => format!("RDMSR {number:#x}"),
            };
            let name = name(number).map_or(String::new(), |name| format!(" ({name})"));
            log::info!(target: "cpu", "{access}{name} near {rip:#x}: model {model} has no such MSR (SDM Vol. 4): {outcome}");
        }
        if self.config.ignore_bad_msrs { Ok(0) } else { self.gp(0) }
    }
}
