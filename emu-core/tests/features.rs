//! Every feature and control taken away singly, seen by a guest: a ROM is booted that tries CPUID, MSRs, instructions, control
//! registers, paging, VMCS fields and VM entry, and says what came of each.

mod features {
    pub mod probes;
}

use emu_core::model::features::Feature;
use emu_core::model::{CpuModel, Item};
use emu_core::run::RunExit;
use emu_core::testing::Bench;
use emu_vmx::arch::cr::Cr4;
use features::probes::{Mode, ONLY_TOLD, Probe, of_item, set_up};
use std::collections::BTreeSet;

const ROM: &[u8] = include_bytes!("../../test-images/roms/features.rom");
/// Where the ROM finds what it needs.
const PROBES: u64 = 0x2_0000;
const CR4_IS: u64 = 0x1_F000;
const XCR0_IS: u64 = 0x1_F008;
const SLOT: usize = 64;
/// Cycles that no run comes to.
const LIMIT: u64 = 20_000_000;

/// The book's processor has a register without the bit of CPUID that tells of it.
const WITHOUT_BIT: &[(&str, &str)] = &[("corei5_arrandale_m520", "epb")];

/// Boots the ROM; one character for each probe, in the order of their modes.
fn boot(model: &CpuModel, probes: &[&Probe]) -> Vec<char> {
    let mut bench = Bench::new(model.clone());
    bench.ram.load_system_rom(ROM).expect("the ROM has 4 KiB");
    let mut slots = Vec::new();
    for probe in probes {
        assert!(probe.code.len() < SLOT - 1, "{}: {} bytes", probe.what, probe.code.len());
        let at = slots.len();
        slots.push(probe.mode as u8);
        slots.extend(&probe.code);
        slots.push(0xC3);
        slots.resize(at + SLOT, 0);
    }
    slots.push(0xFF);
    bench.ram.dma_write(PROBES, &slots);
    let cr4 = model.cr4() & (Cr4::OSXSAVE | Cr4::FSGSBASE | Cr4::PKE | Cr4::SMAP | Cr4::OSFXSR | Cr4::OSXMMEXCPT);
    bench.ram.dma_write(CR4_IS, &cr4.bits().to_le_bytes());
    bench.ram.dma_write(XCR0_IS, &u64::from(model.leaf(0xD, 0).eax).to_le_bytes());
    let mut exit = RunExit::Budget;
    let mut cycles = 0;
    while exit != RunExit::Stopped && cycles < LIMIT {
        exit = bench.run(LIMIT / 10);
        cycles += LIMIT / 10;
    }
    let shown: Vec<char> = bench.bus.written.iter().map(|(_, _, value)| char::from(*value as u8)).collect();
    assert_eq!((shown.len(), shown.last()), (probes.len() + 1, Some(&'\n')), "{}: {shown:?}", model.name());
    shown
}

fn models() -> impl Iterator<Item = CpuModel> {
    CpuModel::names().map(|name| CpuModel::named(name).expect("the built-in models parse"))
}

/// The probes of items that make sense on a model, by mode.
fn probes(model: &CpuModel, items: &[Item]) -> Vec<(Item, Probe)> {
    let all = items.iter().flat_map(|&item| of_item(item, model).into_iter().map(move |probe| (item, probe)));
    let mut all: Vec<_> = all.filter(|(_, probe)| probe.mode != Mode::Vmx || model.has(Feature::Vmx)).collect();
    all.sort_by_key(|(_, probe)| probe.mode);
    all
}

/// What a guest sees of items that it should not, and the other way round.
fn wrong(model: &CpuModel, items: &[Item]) -> Vec<String> {
    let probes = probes(model, items);
    // Control words for those in VMX operation.
    let first = probes.partition_point(|(_, probe)| probe.mode != Mode::Vmx);
    let set_up = if first < probes.len() { set_up(model) } else { Vec::new() };
    let (before, after) = probes.split_at(first);
    let list: Vec<&Probe> =
        before.iter().map(|row| &row.1).chain(&set_up).chain(after.iter().map(|row| &row.1)).collect();
    let shown = boot(model, &list);
    for (probe, shown) in set_up.iter().zip(&shown[first..]) {
        assert!(matches!(shown, '0' | '-'), "{}: {}: {shown:?}", model.name(), probe.what);
    }
    let rest = shown[..first].iter().chain(&shown[first + set_up.len()..]);
    let mut wrong = Vec::new();
    for ((item, probe), &shown) in probes.iter().zip(rest) {
        let excepted = !probe.tells && WITHOUT_BIT.contains(&(model.name(), item.name()));
        let there = excepted || model.has_item(*item);
        let agrees = match shown {
            '-' => !model.has(Feature::LongMode),
            _ if there => probe.loose || !probe.absent.contains(shown),
            _ => probe.absent.contains(shown),
        };
        if !agrees {
            wrong.push(format!("{}: {} ({there}), {}: {shown:?}", model.name(), item.name(), probe.what));
        }
    }
    wrong
}

#[test]
fn every_model_shows_a_guest_what_it_has_and_nothing_that_it_lacks() {
    let all: Vec<Item> = Item::all().collect();
    let wrong: Vec<String> = models().flat_map(|model| wrong(&model, &all)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_item_taken_away_singly_is_gone_for_a_guest_with_all_that_needs_it() {
    let mut found = Vec::new();
    for model in models() {
        for item in Item::all().filter(|item| model.has_item(*item)) {
            let Ok(changed) = model.with(&format!("-{}", item.name())) else {
                assert!(item.essential().is_some() || model.demands(item), "{},-{}", model.name(), item.name());
                continue;
            };
            let lost: Vec<Item> =
                Item::all().filter(|item| model.has_item(*item) && !changed.has_item(*item)).collect();
            assert!(lost.contains(&item), "{}", changed.name());
            found.extend(wrong(&changed, &lost));
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

/// Added to a model that lacks it, an item is there, or the message names what it needs; with that it can be added.
#[test]
fn every_item_added_singly_is_there_for_a_guest_or_refused_for_what_it_needs() {
    let max = CpuModel::named("max").expect("it is built in");
    let mut found = Vec::new();
    for model in models() {
        for item in Item::all().filter(|item| max.has_item(*item) && !model.has_item(*item)) {
            let mut spec = format!("+{}", item.name());
            // A need at a time, as the messages say.
            let added = loop {
                let error = match model.with(&spec) {
                    Ok(added) => break added,
                    Err(error) => error.to_string(),
                };
                let names = error.split([' ', ',', ';']).filter_map(|word| word.strip_prefix('+').or(Some(word)));
                let given = |name: &str| spec.split(',').any(|word| word[1..] == *name);
                let said = |name: &&str| Item::find(name).is_some_and(|needed| !given(needed.name()));
                let needs = error.split_once(" needs ").map_or("", |parts| parts.1);
                let next = names.filter(said).find(|name| needs.contains(name));
                let Some(next) = next else { panic!("{},{spec}: {error}", model.name()) };
                spec = format!("{spec},+{next}");
            };
            let gained: Vec<Item> =
                Item::all().filter(|item| added.has_item(*item) && !model.has_item(*item)).collect();
            assert!(gained.contains(&item), "{}", added.name());
            let lost = Item::all().find(|item| model.has_item(*item) && !added.has_item(*item));
            assert!(lost.is_none(), "{}: {lost:?}", added.name());
            for item in Item::all().filter(|item| added.has_item(*item)) {
                let met = item.needs().iter().all(|any| any.iter().any(|needed| added.has_item(*needed)));
                assert!(met, "{}: {} is there without what it needs", added.name(), item.name());
            }
            found.extend(wrong(&added, &gained));
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

/// What some model has is seen by more than the bit that tells of it, or is on the list of what only tells.
#[test]
fn every_item_has_a_probe_of_what_it_does_or_only_tells() {
    let max = CpuModel::named("max").expect("it is built in");
    let offered: BTreeSet<&str> = models()
        .flat_map(|model| Item::all().filter(|item| model.has_item(*item)).map(Item::name).collect::<Vec<_>>())
        .collect();
    let mut unseen = Vec::new();
    for name in &offered {
        let item = Item::find(name).expect("it is a name");
        let does = of_item(item, &max).iter().any(|probe| !probe.tells);
        let listed = ONLY_TOLD.iter().any(|row| row.1.split(' ').any(|other| other == *name));
        if does == listed {
            unseen.push(format!("{name}: a probe of what it does: {does}; listed: {listed}"));
        }
    }
    assert!(unseen.is_empty(), "{unseen:#?}");
    for name in ONLY_TOLD.iter().flat_map(|row| row.1.split(' ')) {
        assert!(offered.contains(name), "{name}: no model has it");
    }
}
