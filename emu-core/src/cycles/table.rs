//! A microarchitecture as data: RON files in `emu-core/cycles`.

use super::class::Class;
use super::estimate::MOST_SETS;
use super::parts::{Branches, Caches};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A table cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// No such name.
    #[error("no table of cycles is called {name:?}; there are: {known}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// Names that exist.
        known: String,
    },
    /// It does not parse or does not fit together.
    #[error("table of cycles {table}, {place}: {what}")]
    Invalid {
        /// Its name, or the file's.
        table: String,
        /// Line and column, or the row.
        place: String,
        /// What is wrong, and what it must be.
        what: String,
    },
}

/// Ports as a set: bit n is port n.
pub type Ports = u8;

/// Micro-operations that go to one set of ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group {
    /// Any of these ports takes one.
    pub ports: Ports,
    /// How many.
    pub count: u8,
}

/// What an instruction of a class takes, beside its accesses to memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row {
    /// Micro-operations by the ports that take them.
    pub groups: Vec<Group>,
    /// Micro-operations as renaming counts them.
    pub issued: u16,
    /// Cycles from a source to the result.
    pub latency: u16,
    /// Cycles for which it keeps a unit, or the whole processor, to itself.
    pub busy: u16,
}

/// A row as its file has it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct RowText {
    /// `p015 2*p5`.
    #[serde(default)]
    uops: String,
    #[serde(default = "one")]
    latency: u16,
    #[serde(default)]
    busy: u16,
    #[serde(default)]
    issued: Option<u16>,
}

fn one() -> u16 {
    1
}

/// What events cost, cycles, beside the instructions themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Events {
    /// A TLB miss, whatever the walk reads.
    pub tlb_miss: u16,
    /// Each table entry that a walk reads, of the guest's or of EPT.
    pub walk_entry: u16,
    /// An exception or an interrupt that is delivered through the IDT.
    pub delivery: u16,
    /// VM entry.
    pub vm_entry: u16,
    /// VM exit.
    pub vm_exit: u16,
    /// Each MSR of the lists of VM entry and VM exit.
    pub vm_msr: u16,
    /// Nanoseconds that an access to a port takes.
    pub port_ns: u16,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename = "Cycles", deny_unknown_fields)]
struct TableText {
    name: String,
    sources: Vec<String>,
    width: u16,
    load: String,
    store_address: String,
    store_data: String,
    load_latency: u16,
    vector_load_latency: u16,
    fuses: Fuses,
    events: Events,
    caches: Caches,
    branches: Branches,
    classes: BTreeMap<String, RowText>,
}

/// What becomes one micro-operation with the conditional branch behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Fuses {
    /// CMP and TEST.
    Compare,
    /// These, and ADD, SUB, AND, INC and DEC.
    Arithmetic,
}

/// A set of ports that can be the narrowest place of a run.
#[derive(Debug, Clone, Copy)]
pub struct Narrow {
    /// The ports.
    pub ports: Ports,
    /// How many they are.
    pub size: u8,
}

/// A microarchitecture.
#[derive(Debug, Clone)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Where the figures come from.
    pub sources: Vec<String>,
    /// Micro-operations that are renamed in a cycle.
    pub width: u16,
    /// Ports that load.
    pub load: Ports,
    /// Ports that take the address of a store.
    pub store_address: Ports,
    /// Ports that take its data.
    pub store_data: Ports,
    /// Cycles that a load takes which hits, to a general register.
    pub load_latency: u16,
    /// The same to a vector register.
    pub vector_load_latency: u16,
    /// What fuses with branches.
    pub fuses: Fuses,
    /// What events cost.
    pub events: Events,
    /// Caches, for clocks that model them.
    pub caches: Caches,
    /// Branch prediction, likewise.
    pub branches: Branches,
    /// Sets of ports that can be the narrowest place of a run: unions of what rows name.
    pub narrow: Vec<Narrow>,
    /// Which of them have all ports of a set, a bit for each; by the set.
    around: Vec<u64>,
    rows: Vec<Row>,
}

const BUILT_IN: &[(&str, &str)] = &[
    ("westmere", include_str!("../../cycles/westmere.ron")),
    ("haswell", include_str!("../../cycles/haswell.ron")),
    ("skylake", include_str!("../../cycles/skylake.ron")),
];

impl Table {
    /// Names of the built-in tables.
    pub fn names() -> impl Iterator<Item = &'static str> {
        BUILT_IN.iter().map(|table| table.0)
    }

    /// A built-in table.
    pub fn named(name: &str) -> Result<Arc<Self>, TableError> {
        match BUILT_IN.iter().find(|table| table.0 == name) {
            Some(table) => Self::parse(table.0, table.1).map(Arc::new),
            None => {
                let known = Self::names().collect::<Vec<_>>().join(", ");
                Err(TableError::Unknown { name: name.into(), known })
            }
        }
    }

    /// A table from RON text.
    pub fn parse(table: &str, text: &str) -> Result<Self, TableError> {
        let invalid = |place: String, what: String| TableError::Invalid { table: table.into(), place, what };
        let text: TableText =
            ron::from_str(text).map_err(|error| invalid(error.position.to_string(), error.code.to_string()))?;
        let mut given = text.classes;
        let mut rows = Vec::new();
        for class in Class::ALL {
            let name = class.name();
            let row = given.remove(name).ok_or_else(|| invalid(name.into(), "the row is missing".into()))?;
            rows.push(row_of(&row).map_err(|what| invalid(name.into(), what))?);
        }
        if let Some(name) = given.keys().next() {
            return Err(invalid(name.clone(), "no class has this name".into()));
        }
        if text.width == 0 {
            return Err(invalid("width".into(), "0 micro-operations a cycle; give at least 1".into()));
        }
        text.caches
            .check()
            .and_then(|()| text.branches.check())
            .map_err(|(field, what)| invalid(field.into(), what))?;
        let port = |place: &str, ports: &str| {
            ports_of(ports).ok_or_else(|| invalid(place.into(), format!("{ports:?} is no set of ports, as p23 is")))
        };
        let load = port("load", &text.load)?;
        let store_address = port("store_address", &text.store_address)?;
        let store_data = port("store_data", &text.store_data)?;
        let sets = rows.iter().flat_map(|row| &row.groups).map(|group| group.ports);
        let sets = unions(sets.chain([load, store_address, store_data]));
        if sets.len() > MOST_SETS {
            let what =
                format!("the rows name sets of ports with {} unions; use sets with {MOST_SETS} at most", sets.len());
            return Err(invalid("classes".into(), what));
        }
        let around =
            |ports: Ports| sets.iter().enumerate().fold(0, |all, (n, set)| all | u64::from(ports & !set == 0) << n);
        let around = (0..=Ports::MAX).map(around).collect();
        let narrow = sets.into_iter().map(|ports| Narrow { ports, size: ports.count_ones() as u8 }).collect();
        Ok(Self {
            name: text.name,
            sources: text.sources,
            width: text.width,
            load,
            store_address,
            store_data,
            load_latency: text.load_latency,
            vector_load_latency: text.vector_load_latency,
            fuses: text.fuses,
            events: text.events,
            caches: text.caches,
            branches: text.branches,
            narrow,
            around,
            rows,
        })
    }

    /// The most that the translations of one access can take, cycles: a source and a destination in two pages each, with
    /// five levels of paging and of EPT.
    pub fn most_walking(&self) -> u64 {
        4 * (u64::from(self.events.tlb_miss) + 35 * u64::from(self.events.walk_entry))
    }

    /// Which of [`Table::narrow`] have all of these ports, a bit for each.
    #[inline]
    pub fn around(&self, ports: Ports) -> u64 {
        self.around[usize::from(ports)]
    }

    /// The row of a class.
    #[inline]
    pub fn row(&self, class: Class) -> &Row {
        &self.rows[class as usize]
    }
}

/// `p015`, or nothing.
fn ports_of(text: &str) -> Option<Ports> {
    let digits = text.strip_prefix('p').filter(|digits| !digits.is_empty())?;
    digits.chars().try_fold(0, |ports: Ports, digit| match digit {
        '0'..='7' => Some(ports | 1 << (digit as u32 - '0' as u32)),
        _ => None,
    })
}

fn row_of(text: &RowText) -> Result<Row, String> {
    let mut groups = Vec::new();
    for word in text.uops.split_whitespace() {
        let (count, ports) = word.split_once('*').unwrap_or(("1", word));
        match (count.parse(), ports_of(ports)) {
            (Ok(count), Some(ports)) if (1..=200).contains(&count) => groups.push(Group { ports, count }),
            _ => return Err(format!("{word:?} is not micro-operations with their ports, as 2*p015 is")),
        }
    }
    let issued = text.issued.unwrap_or_else(|| groups.iter().map(|group| u16::from(group.count)).sum());
    Ok(Row { groups, issued, latency: text.latency, busy: text.busy })
}

/// All unions of sets that meet.
fn unions(sets: impl Iterator<Item = Ports>) -> Vec<Ports> {
    let mut all: Vec<Ports> = Vec::new();
    let mut waiting: Vec<Ports> = sets.collect();
    while let Some(set) = waiting.pop() {
        if !all.contains(&set) {
            waiting.extend(all.iter().filter(|&&other| other & set != 0).map(|other| other | set));
            all.push(set);
        }
    }
    all.sort_unstable();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_tables_have_a_row_for_every_class() {
        for name in Table::names() {
            let table = Table::named(name).expect("it parses");
            assert_eq!(table.name, name);
            assert!(table.narrow.len() < 48, "{name}: {} sets of ports", table.narrow.len());
        }
    }

    #[test]
    fn rows_that_make_no_sense_name_the_row_and_the_remedy() {
        let text = include_str!("../../cycles/westmere.ron");
        let broken = text.replacen("p015", "q015", 1);
        let error = Table::parse("mine.ron", &broken).expect_err("q015").to_string();
        assert!(error.contains("mine.ron") && error.contains("q015") && error.contains("2*p015"), "{error}");
        let missing = text.replace("\"carry\":", "\"cary\":");
        let error = Table::parse("mine.ron", &missing).expect_err("no row").to_string();
        assert!(error.contains("carry") && error.contains("missing"), "{error}");
        for (from, to, field, remedy) in [
            ("line: 64", "line: 60", "caches.line", "power of two"),
            ("ways: 12", "ways: 11", "caches.l3", "ways"),
            ("stores: 10", "stores: 101", "caches.stores", "up to 100"),
            ("stores: 10", "stores: 1", "caches.stores", "half a cycle"),
            ("returns: 16", "returns: 0", "branches.returns", "1 to 256"),
            ("counters: 4096", "counters: 4095", "branches.counters", "power of two"),
        ] {
            let error = Table::parse("mine.ron", &text.replacen(from, to, 1)).expect_err(to).to_string();
            assert!(error.contains("mine.ron") && error.contains(field) && error.contains(remedy), "{error}");
        }
    }
}
