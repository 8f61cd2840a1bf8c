//! `haswell,-vpid,+pcid,phys-bits=40`: features and controls put in and taken out by name, and the physical-address width.

use super::ModelError;
use super::contents::Contents;
use super::item::Item;
use super::offered::{is_offered, take_dependents};
use std::ops::RangeInclusive;

/// One change.
struct Change {
    item: Item,
    adds: bool,
}

/// What the width of physical addresses is called, as by QEMU.
pub(super) const WIDTH: &str = "phys-bits";
/// Widths that a processor can have (SDM Vol. 3A, "Enumeration of Paging Features by CPUID": at most 52).
pub(super) const WIDTHS: RangeInclusive<u8> = 32..=52;

/// Whether a name is that of the width of physical addresses.
fn is_width(name: &str) -> bool {
    name.trim().eq_ignore_ascii_case(WIDTH) || name.trim().eq_ignore_ascii_case("phys_bits")
}

/// The number of `phys-bits=40`, if that is what a word is.
pub(super) fn width(word: &str) -> Option<Result<u8, ModelError>> {
    let (name, number) = word.split_once('=')?;
    if !is_width(name) {
        return None;
    }
    let bits = number.trim().parse().ok().filter(|bits| WIDTHS.contains(bits));
    Some(bits.ok_or_else(|| {
        let number = emu_vmx::dump::names::shown(number);
        refused(WIDTH, &format!("{number:?} is no width of physical addresses; give 32 to 52"))
    }))
}

/// Reads `-vpid,+pcid,phys-bits=40`; the width apart.
fn parse(text: &str) -> Result<(Vec<Change>, Option<u8>), ModelError> {
    let (mut changes, mut bits): (Vec<Change>, _) = (Vec::new(), None);
    for word in text.split(',').map(str::trim) {
        if let Some(found) = width(word) {
            let found = found?;
            if bits.is_some_and(|other| other != found) {
                return Err(refused(WIDTH, "it is given twice"));
            }
            bits = Some(found);
            continue;
        }
        let (adds, name) = match (word.strip_prefix('+'), word.strip_prefix('-')) {
            (Some(name), _) => (true, name),
            (_, Some(name)) => (false, name),
            _ if word.is_empty() => return Err(ModelError::NoName { place: "before or behind a comma" }),
            _ => (true, word),
        };
        let (name, value) = name.split_once('=').map_or((name, None), |(name, value)| (name, Some(value)));
        if name.is_empty() {
            return Err(ModelError::NoName { place: "behind a sign" });
        }
        if is_width(name) {
            return Err(refused(WIDTH, "it takes the width of physical addresses; write phys-bits=40"));
        }
        if value.is_some() || name == word {
            let what = if value.is_some() { "it is there or not; " } else { "" };
            return Err(refused(
                name,
                &format!("{what}write +{name} or -{name}", name = emu_vmx::dump::names::shown(name)),
            ));
        }
        let item = Item::find(name).ok_or_else(|| ModelError::UnknownFeature {
            name: emu_vmx::dump::names::shown(name),
            nearest: Item::nearest(name).unwrap_or_else(|| "vmx".to_owned()),
        })?;
        if changes.iter().any(|other| other.item == item && other.adds != adds) {
            return Err(refused(item.name(), "it is both added and taken away"));
        }
        changes.push(Change { item, adds });
    }
    Ok((changes, bits))
}

fn refused(feature: &str, reason: &str) -> ModelError {
    ModelError::Refused { feature: emu_vmx::dump::names::shown(feature), reason: reason.to_owned() }
}

/// `contents` with the changes of `text`. `max` says what is implemented.
pub(super) fn apply(
    contents: &Contents,
    text: &str,
    reported: &[String],
    max: &Contents,
) -> Result<Contents, ModelError> {
    let (changes, bits) = parse(text)?;
    let mut changed = contents.clone();
    for item in changes.iter().filter(|change| !change.adds).map(|change| change.item) {
        if let Some(why) = item.essential() {
            return Err(refused(item.name(), &format!("it cannot be taken away: {why}")));
        }
        if contents.demands(item) {
            let why = "it cannot be taken away: VM entry demands it, or did on processors without TRUE capability MSRs";
            return Err(refused(item.name(), why));
        }
        changed.take(item);
    }
    take_dependents(&mut changed);
    let added = || changes.iter().filter(|change| change.adds).map(|change| change.item);
    for item in added() {
        if !is_offered(item, max, reported) {
            return Err(refused(item.name(), &format!("{} is not implemented", item.words())));
        }
        add(&mut changed, item, max);
    }
    for item in added() {
        if let Some(missing) = changed.missing(item) {
            return Err(refused(item.name(), &needs(item, &missing, &changed, &changes)));
        }
    }
    changed.settle(contents);
    if let Some(bits) = bits {
        changed.set_physical_bits(bits).map_err(|reason| refused(WIDTH, reason))?;
    }
    Ok(changed)
}

/// Puts an item in with its parts, and theirs: what it needs and what is nothing without it.
fn add(changed: &mut Contents, item: Item, max: &Contents) {
    if !changed.has(item) {
        changed.put(item, max);
    }
    for needed in item.needs() {
        let part = |needed: &Item| needed.needs().iter().any(|any| any.contains(&item)) && max.has(*needed);
        if !needed.iter().any(|needed| changed.has(*needed))
            && let Some(part) = needed.into_iter().find(part)
        {
            add(changed, part, max);
        }
    }
}

/// How far what is needed is followed to what it needs; longer than any chain is.
const DEEPEST: u8 = 6;

fn taken_of(items: &[Item], changes: &[Change]) -> Option<Item> {
    items.iter().copied().find(|item| changes.iter().any(|change| !change.adds && change.item == *item))
}

/// What an item needs and has not, itself or through others, because it is taken away.
fn taken_below(item: Item, changed: &Contents, changes: &[Change], depth: u8) -> Option<Item> {
    let needs = item.needs();
    let unmet = || needs.iter().filter(|any| !any.iter().any(|needed| changed.has(*needed)));
    let below = |any: &[Item]| match any {
        [only] => taken_below(*only, changed, changes, depth.checked_sub(1)?),
        _ => None,
    };
    unmet().find_map(|any| taken_of(any, changes).or_else(|| below(any)))
}

/// Why an item cannot be added.
fn needs(item: Item, missing: &[Item], changed: &Contents, changes: &[Change]) -> String {
    let names: Vec<&str> = missing.iter().map(|item| item.name()).collect();
    let names = names.join(" or ");
    let what = item.words();
    match missing {
        _ if taken_of(missing, changes).is_some() => format!("{what} needs {names}, which is taken away"),
        [only] if let Some(root) = taken_below(*only, changed, changes, DEEPEST) => {
            format!("{what} needs {names}, which goes with {}, which is taken away", root.name())
        }
        [only] => format!("{what} needs {names}, which the model lacks; add +{}", only.name()),
        _ => format!("{what} needs {names}, and the model has none of them"),
    }
}
