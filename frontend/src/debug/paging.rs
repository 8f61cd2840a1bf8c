//! Paging structures and EPT as they are in memory: walks with every entry decoded, and mappings as ranges. Nothing is
//! set in them, and no TLB is asked.

use super::scope::{model, physical};
use emu_core::mem::ram::Ram;
use emu_core::state::cpu::Cpu;
use emu_vmx::arch::addr::{is_canonical, physical_mask};
use emu_vmx::arch::cr::{Cr0, Cr4};
use emu_vmx::arch::efer::Efer;
use emu_vmx::controls::SecondaryProcessorControls;
use emu_vmx::ept::{self, EptAccess, EptConfig, EptFault, EptMemory, MemoryType};
use emu_vmx::exit::qualification::EptViolation;
use emu_vmx::field::Field;
use emu_vmx::vmcs::Vmcs;

/// Entries that a listing looks at, at most: tables that contain themselves have no end.
const MAX_ENTRIES: u64 = 4_000_000;

const P: u64 = 1;
const RW: u64 = 1 << 1;
const US: u64 = 1 << 2;
const PS: u64 = 1 << 7;
const XD: u64 = 1 << 63;

/// Memory that is only read.
pub struct Reading<'a>(pub &'a Ram);

impl EptMemory for Reading<'_> {
    fn read_u64(&mut self, address: u64) -> u64 {
        physical(self.0, address, 8).unwrap_or(0)
    }
    fn set_bits(&mut self, _address: u64, _bits: u64) {}
}

/// EPT of a VMCS, if it enables it.
pub fn ept_of(cpu: &Cpu, vmcs: &Vmcs) -> Option<EptConfig> {
    let secondary = vmcs.secondary();
    let vmx = model(cpu).vmx()?;
    secondary.contains(SecondaryProcessorControls::ENABLE_EPT).then(|| EptConfig {
        eptp: vmcs.get(Field::EptPointer) & !ept::EPTP_ACCESSED_DIRTY,
        cap: vmx.caps.ept_vpid_cap,
        maxphyaddr: vmx.facts.maxphyaddr,
        mode_based_execute: secondary.contains(SecondaryProcessorControls::MODE_BASED_EXECUTE_CONTROL),
        sub_page: secondary
            .contains(SecondaryProcessorControls::SUB_PAGE_WRITE_PERMISSIONS)
            .then(|| vmcs.get(Field::SubPagePermissionTablePointer)),
        paging_write: false,
        log_full: false,
    })
}

/// An entry of a walk.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// 0 for the guest's structures, 1 for the EPT below them.
    pub depth: usize,
    /// `PML4E`, `EPT PDE`, …
    pub name: String,
    /// Address of the entry.
    pub address: u64,
    /// Its value; `None` where no memory answers.
    pub value: Option<u64>,
    /// Its bits in words.
    pub words: String,
}

const LEVELS: [&str; 6] = ["", "PTE", "PDE", "PDPTE", "PML4E", "PML5E"];

fn ept_words(config: &EptConfig, entry: u64, level: u8) -> String {
    use ept::entry as e;
    let letter = |bit, letter: &str| if entry & bit != 0 { letter.to_owned() } else { "-".to_owned() };
    let mut words = letter(e::READ, "R") + &letter(e::WRITE, "W") + &letter(e::EXECUTE, "X");
    if config.mode_based_execute {
        words += &letter(e::USER_EXECUTE, "U");
    }
    let leaf = level == 1 || level <= 3 && entry & e::LARGE != 0;
    if leaf {
        let size = ["", "4 KiB", "2 MiB", "1 GiB"][usize::from(level.min(3))];
        let kind = MemoryType::from_bits((entry >> 3 & 7) as u8)
            .map_or("reserved memory type".to_owned(), |kind| memory_type(kind).to_owned());
        words += &format!(", {size} page, {kind}");
        if entry & e::IGNORE_PAT != 0 {
            words += ", ignore PAT";
        }
    }
    for (bit, name) in [(e::ACCESSED, "accessed"), (e::DIRTY, "dirty"), (e::SUPPRESS_VE, "suppress #VE")] {
        if entry & bit != 0 {
            words += &format!(", {name}");
        }
    }
    if config.sub_page.is_some() && level == 1 && entry & e::SUB_PAGE != 0 {
        words += ", sub-page write permissions";
    }
    words
}

/// A memory type by its letters.
pub fn memory_type(kind: MemoryType) -> &'static str {
    match kind {
        MemoryType::Uc => "UC",
        MemoryType::Wc => "WC",
        MemoryType::Wt => "WT",
        MemoryType::Wp => "WP",
        MemoryType::Wb => "WB",
        MemoryType::UcMinus => "UC-",
    }
}

/// Walks EPT for a guest-physical address: adds the entries, and gives the host-physical address or why there is none.
pub fn walk_ept(
    config: &EptConfig,
    guest: u64,
    access: EptAccess,
    ram: &Ram,
    rows: &mut Vec<Row>,
) -> Result<u64, String> {
    let levels = ((config.eptp >> 3 & 7) as u8 + 1).clamp(4, 5);
    let mut table = config.eptp & ept::entry::ADDRESS;
    for level in (1..=levels).rev() {
        let address = table | (guest >> (12 + 9 * (u32::from(level) - 1)) & 0x1FF) << 3;
        let value = physical(ram, address, 8);
        let name = format!("EPT {}", LEVELS[usize::from(level)]);
        let words = value.map_or("no memory".to_owned(), |value| ept_words(config, value, level));
        rows.push(Row { depth: 1, name, address, value, words });
        let Some(value) = value else { break };
        let leaf = level == 1 || level <= 3 && value & ept::entry::LARGE != 0;
        if leaf || value & 7 == 0 && (!config.mode_based_execute || value & ept::entry::USER_EXECUTE == 0) {
            break;
        }
        table = value & ept::entry::ADDRESS;
    }
    match ept::walk(config, guest, access, &mut Reading(ram)) {
        Ok(found) => Ok(found.address),
        Err(EptFault::Misconfiguration) => Err("EPT misconfiguration (VM exit 49)".to_owned()),
        Err(EptFault::PageModificationLogFull) => Err("page-modification log full (VM exit 62)".to_owned()),
        Err(EptFault::SubPage { miss }) => {
            let what = if miss { "miss" } else { "misconfiguration" };
            Err(format!("SPP {what} (VM exit 66)"))
        }
        Err(EptFault::Violation { qualification, .. }) => {
            let allowed = qualification & (EptViolation::READABLE | EptViolation::WRITABLE | EptViolation::EXECUTABLE);
            let why = if allowed.is_empty() { "not mapped" } else { "the access is not allowed" };
            Err(format!("EPT violation (VM exit 48): {why}"))
        }
    }
}

/// How a processor's linear addresses are translated.
#[derive(Debug, Clone, Copy)]
pub struct Paging {
    cr3: u64,
    levels: u32,
    narrow: bool,
    pae: Option<[u64; 4]>,
    on: bool,
    pse: bool,
    gigabyte: bool,
    max: u64,
    width: u8,
    long: bool,
    ept: Option<EptConfig>,
}

impl Paging {
    /// That of a processor at present.
    pub fn of(cpu: &Cpu) -> Self {
        let sys = &cpu.sys;
        let long = sys.efer.contains(Efer::LMA);
        let la57 = sys.cr4.contains(Cr4::LA57);
        let pae = !long && sys.cr4.contains(Cr4::PAE);
        let ept = cpu.vmx.non_root.as_ref().and(cpu.vmx.current()).and_then(|vmcs| ept_of(cpu, vmcs));
        Self {
            cr3: sys.cr3,
            levels: match (long, la57, pae) {
                (true, true, _) => 5,
                (true, false, _) => 4,
                (false, _, true) => 3,
                _ => 2,
            },
            narrow: !long && !pae,
            pae: pae.then_some(sys.pdptes),
            on: sys.cr0.contains(Cr0::PG),
            pse: sys.cr4.contains(Cr4::PSE),
            gigabyte: model(cpu).has_1g_pages(),
            max: physical_mask(model(cpu).physical_bits()),
            width: if la57 { 57 } else { 48 },
            long,
            ept,
        }
    }

    /// Whether addresses are translated at all.
    pub fn is_on(&self) -> bool {
        self.on
    }

    fn table(&self, entry: u64) -> u64 {
        if self.narrow { entry & 0xFFFF_F000 } else { entry & self.max & !0xFFF }
    }

    fn index_bits(&self) -> u32 {
        if self.narrow { 10 } else { 9 }
    }

    fn entry_size(&self) -> usize {
        if self.narrow { 4 } else { 8 }
    }

    fn shift(&self, level: u32) -> u32 {
        12 + self.index_bits() * (level - 1)
    }

    fn is_leaf(&self, level: u32, entry: u64) -> bool {
        level == 1
            || entry & PS != 0
                && match level {
                    2 => !self.narrow || self.pse,
                    3 => !self.narrow && self.gigabyte && self.pae.is_none(),
                    _ => false,
                }
    }

    fn page(&self, level: u32, entry: u64) -> u64 {
        if self.narrow && level > 1 {
            entry & 0xFFC0_0000 | (entry >> 13 & 0xFF) << 32
        } else if self.narrow {
            entry & 0xFFFF_F000
        } else {
            entry & self.max & !((1u64 << self.shift(level)) - 1)
        }
    }

    /// An entry at a guest-physical address.
    fn read(&self, ram: &Ram, at: u64) -> Option<u64> {
        let host = match &self.ept {
            None => at,
            Some(config) => {
                ept::walk(config, at, EptAccess { read: true, ..EptAccess::default() }, &mut Reading(ram)).ok()?.address
            }
        };
        physical(ram, host, self.entry_size())
    }

    fn words(&self, level: u32, entry: u64) -> String {
        if entry & P == 0 {
            return "not present".to_owned();
        }
        let mut words = vec!["present".to_owned()];
        let leaf = self.is_leaf(level, entry);
        if leaf {
            let size = 1u64 << self.shift(level);
            words.push(format!("{} page", size_words(size)));
        }
        words.push((if entry & RW != 0 { "read/write" } else { "read-only" }).to_owned());
        words.push((if entry & US != 0 { "user" } else { "supervisor" }).to_owned());
        for (bit, name) in [(3, "PWT"), (4, "PCD"), (5, "accessed")] {
            if entry >> bit & 1 != 0 {
                words.push(name.to_owned());
            }
        }
        if leaf {
            for (bit, name) in [(6, "dirty"), (8, "global")] {
                if entry >> bit & 1 != 0 {
                    words.push(name.to_owned());
                }
            }
        }
        if !self.narrow && entry & XD != 0 {
            words.push("execute-disable".to_owned());
        }
        words.join(", ")
    }

    fn through_ept(&self, guest: u64, access: EptAccess, ram: &Ram, rows: &mut Vec<Row>) -> Result<u64, String> {
        match &self.ept {
            None => Ok(guest),
            Some(config) => walk_ept(config, guest, access, ram, rows),
        }
    }

    /// Walks for a linear address: the entries, then the guest-physical and host-physical address, or why there is none.
    pub fn walk(&self, ram: &Ram, linear: u64) -> (Vec<Row>, Result<(u64, u64), String>) {
        let mut rows = Vec::new();
        let found = self.walk_into(ram, linear, &mut rows);
        (rows, found)
    }

    fn walk_into(&self, ram: &Ram, linear: u64, rows: &mut Vec<Row>) -> Result<(u64, u64), String> {
        let data = EptAccess { read: true, ..EptAccess::default() };
        if !self.on {
            let guest = linear & self.max;
            return Ok((guest, self.through_ept(guest, data, ram, rows)?));
        }
        if self.long && !is_canonical(linear, self.width) {
            return Err("the address is not canonical: #GP".to_owned());
        }
        let (mut table, mut level) = (self.table(self.cr3), self.levels);
        if let Some(pdptes) = self.pae {
            let n = (linear >> 30 & 3) as usize;
            let words = (if pdptes[n] & P == 0 { "not present" } else { "present" }).to_owned();
            rows.push(Row { depth: 0, name: format!("PDPTE{n} register"), address: 0, value: Some(pdptes[n]), words });
            if pdptes[n] & P == 0 {
                return Err("not present: #PF".to_owned());
            }
            (table, level) = (self.table(pdptes[n]), 2);
        }
        loop {
            let index = linear >> self.shift(level) & ((1 << self.index_bits()) - 1);
            let place = table + index * self.entry_size() as u64;
            let at_entry = EptAccess { read: true, paging_structure: true, ..EptAccess::default() };
            let host = self.through_ept(place, at_entry, ram, rows)?;
            let value = physical(ram, host, self.entry_size());
            let words = value.map_or("no memory".to_owned(), |value| self.words(level, value));
            let name = LEVELS[level as usize].to_owned();
            rows.push(Row { depth: 0, name, address: place, value, words });
            let value = value.ok_or("no memory answers there")?;
            if value & P == 0 {
                return Err("not present: #PF".to_owned());
            }
            if self.is_leaf(level, value) {
                let guest = self.page(level, value) | linear & ((1 << self.shift(level)) - 1);
                return Ok((guest, self.through_ept(guest, data, ram, rows)?));
            }
            table = self.table(value);
            level -= 1;
        }
    }

    /// All mappings as ranges of linear addresses, and whether the listing is complete.
    pub fn ranges(&self, ram: &Ram) -> (Vec<Range>, bool) {
        let mut list = Ranges::default();
        let all = US | RW;
        if let Some(pdptes) = self.pae {
            for (n, pdpte) in pdptes.into_iter().enumerate().filter(|(_, pdpte)| pdpte & P != 0) {
                self.list(ram, self.table(pdpte), 2, (n as u64) << 30, all, false, &mut list);
            }
        } else {
            self.list(ram, self.table(self.cr3), self.levels, 0, all, false, &mut list);
        }
        list.finish()
    }

    #[allow(clippy::too_many_arguments)]
    fn list(&self, ram: &Ram, table: u64, level: u32, base: u64, rights: u64, disabled: bool, list: &mut Ranges) {
        for index in 0..1u64 << self.index_bits() {
            list.seen += 1;
            if list.seen > MAX_ENTRIES {
                return;
            }
            let Some(entry) = self.read(ram, table + index * self.entry_size() as u64) else { return };
            if entry & P == 0 {
                continue;
            }
            let shift = self.shift(level);
            let mut start = base | index << shift;
            if level == self.levels && self.long && start >> (self.width - 1) & 1 != 0 {
                start |= !0 << self.width;
            }
            let (rights, disabled) = (rights & entry, disabled || !self.narrow && entry & XD != 0);
            if self.is_leaf(level, entry) {
                let words = format!(
                    "{}{}{} {}",
                    "r",
                    if rights & RW != 0 { "w" } else { "-" },
                    if disabled { "-" } else { "x" },
                    if rights & US != 0 { "user" } else { "supervisor" }
                );
                list.add(Range { start, size: 1 << shift, target: self.page(level, entry), words });
            } else {
                self.list(ram, self.table(entry), level - 1, start, rights, disabled, list);
            }
        }
    }
}

/// `4 KiB`, `2 MiB`, …
pub fn size_words(bytes: u64) -> String {
    match bytes.trailing_zeros() {
        30.. => format!("{} GiB", bytes >> 30),
        20.. => format!("{} MiB", bytes >> 20),
        _ => format!("{} KiB", bytes >> 10),
    }
}

/// A range of addresses that are mapped alike, one behind the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// First address.
    pub start: u64,
    /// Bytes.
    pub size: u64,
    /// Where the first address is mapped to.
    pub target: u64,
    /// Rights and memory type.
    pub words: String,
}

#[derive(Default)]
struct Ranges {
    list: Vec<Range>,
    seen: u64,
}

impl Ranges {
    fn add(&mut self, range: Range) {
        if let Some(last) = self.list.last_mut()
            && last.start.wrapping_add(last.size) == range.start
            && last.target.wrapping_add(last.size) == range.target
            && last.words == range.words
        {
            last.size += range.size;
            return;
        }
        self.list.push(range);
    }

    fn finish(self) -> (Vec<Range>, bool) {
        (self.list, self.seen <= MAX_ENTRIES)
    }
}

/// What EPT maps, as ranges of guest-physical addresses; the tables' own addresses; entries that are misconfigured; and
/// whether all was looked at.
pub struct EptListing {
    /// Mappings.
    pub ranges: Vec<Range>,
    /// Host-physical addresses of the tables.
    pub tables: Vec<u64>,
    /// Guest-physical address and entry of what is misconfigured.
    pub misconfigured: Vec<(u64, u64)>,
    /// Nothing was left out.
    pub complete: bool,
}

/// Lists what EPT maps.
pub fn list_ept(config: &EptConfig, ram: &Ram) -> EptListing {
    let levels = ((config.eptp >> 3 & 7) as u32 + 1).clamp(4, 5);
    let mut state = (Ranges::default(), Vec::new(), Vec::new());
    let all = ept::entry::READ | ept::entry::WRITE | ept::entry::EXECUTE;
    ept_table(config, ram, (config.eptp & ept::entry::ADDRESS, levels, 0, all), &mut state);
    let (ranges, mut tables, misconfigured) = state;
    tables.sort_unstable();
    tables.dedup();
    let (ranges, complete) = ranges.finish();
    EptListing { ranges, tables, misconfigured, complete }
}

type EptState = (Ranges, Vec<u64>, Vec<(u64, u64)>);

fn ept_table(config: &EptConfig, ram: &Ram, (table, level, base, rights): (u64, u32, u64, u64), state: &mut EptState) {
    use ept::entry as e;
    state.1.push(table);
    for index in 0..512u64 {
        state.0.seen += 1;
        if state.0.seen > MAX_ENTRIES {
            return;
        }
        let Some(entry) = physical(ram, table + index * 8, 8) else { return };
        let user = if config.mode_based_execute { e::USER_EXECUTE } else { 0 };
        if entry & (e::READ | e::WRITE | e::EXECUTE | user) == 0 {
            continue;
        }
        let shift = 12 + 9 * (level - 1);
        let start = base | index << shift;
        let leaf = level == 1 || level <= 3 && entry & e::LARGE != 0;
        // Tables further down are judged by their own entries.
        let verdict = ept::walk(config, start, EptAccess::default(), &mut Reading(ram));
        if verdict == Err(EptFault::Misconfiguration)
            && (leaf || physical(ram, entry & e::ADDRESS, 8).is_none_or(|next| next & 7 == 0))
        {
            state.2.push((start, entry));
            continue;
        }
        let rights = rights & entry;
        if leaf {
            let letter = |bit, letter: &'static str| if rights & bit != 0 { letter } else { "-" };
            let kind = MemoryType::from_bits((entry >> 3 & 7) as u8).map_or("?", memory_type);
            let words = format!("{}{}{} {kind}", letter(e::READ, "r"), letter(e::WRITE, "w"), letter(e::EXECUTE, "x"));
            let target = entry & e::ADDRESS & !((1u64 << shift) - 1);
            state.0.add(Range { start, size: 1 << shift, target, words });
        } else {
            ept_table(config, ram, (entry & e::ADDRESS, level - 1, start, rights), state);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_continue_each_other_are_one() {
        let mut list = Ranges::default();
        let range = |start, target, words: &str| Range { start, size: 0x1000, target, words: words.to_owned() };
        list.add(range(0, 0x5000, "rw"));
        list.add(range(0x1000, 0x6000, "rw"));
        list.add(range(0x2000, 0x7000, "r-"));
        list.add(range(0x3000, 0x9000, "r-"));
        let (ranges, complete) = list.finish();
        let sizes: Vec<u64> = ranges.iter().map(|range| range.size).collect();
        assert!(complete);
        assert_eq!(sizes, [0x2000, 0x1000, 0x1000]);
    }

    #[test]
    fn sizes_are_told_in_binary_units() {
        assert_eq!(
            (size_words(0x1000), size_words(2 << 20), size_words(1 << 30)),
            ("4 KiB".into(), "2 MiB".into(), "1 GiB".into())
        );
    }
}
