//! `walk`, `tab`, `ept`: translations, entry by entry and as ranges.

use super::answer::{Answer, Table, hex};
use super::paging::{self, EptListing, Paging, Range, size_words};
use super::session::{CommandError, Outcome, Session};
use emu_core::state::cpu::Cpu;
use emu_vmx::controls::{PrimaryProcessorControls, SecondaryProcessorControls, VmFunctions};
use emu_vmx::ept::{EptAccess, EptConfig};
use emu_vmx::field::Field;
use emu_vmx::vmcs::Vmcs;
use serde_json::{Value, json};
use std::fmt::Write;

/// Ranges that a table shows.
const ROWS: usize = 2000;

fn selected(session: &Session) -> Result<&Cpu, CommandError> {
    Ok(session.target.pc().cpus.get(session.cpu).ok_or("there is no such processor")?)
}

fn show_rows(rows: &[paging::Row], text: &mut String) -> Vec<Value> {
    let mut list = Vec::new();
    for row in rows {
        let indent = "  ".repeat(row.depth + 1);
        let value = row.value.map_or("-".to_owned(), |value| format!("{value:016x}"));
        let _ = writeln!(text, "{indent}{:9} at {:#x} = {value}  {}", row.name, row.address, row.words);
        list.push(
            json!({ "level": row.name, "address": hex(row.address), "value": row.value.map(hex), "words": row.words }),
        );
    }
    list
}

/// `walk ADDR`, `walk phys ADDR`.
pub fn walk(session: &mut Session, arguments: &str) -> Outcome {
    let ram = &session.target.pc().ram;
    if let Some(address) = arguments.strip_prefix("phys ") {
        let guest = session.value(address)?;
        let config = current_ept(session)?;
        let mut rows = Vec::new();
        let found = paging::walk_ept(&config, guest, EptAccess { read: true, ..EptAccess::default() }, ram, &mut rows);
        let mut text =
            format!("guest-physical {guest:#x}: EPTP {:#x} ({})\n", config.eptp, super::fields::eptp(config.eptp));
        let list = show_rows(&rows, &mut text);
        let end = match &found {
            Ok(host) => format!("host-physical {host:#x}"),
            Err(why) => why.clone(),
        };
        let json =
            json!({ "guest_physical": hex(guest), "entries": list, "host_physical": found.ok().map(hex), "end": end });
        return Ok(Answer::new(text + &end, json));
    }
    let linear = session.value(arguments)?;
    let cpu = selected(session)?;
    let (rows, found) = Paging::of(cpu).walk(ram, linear);
    let mut text = format!("linear {linear:#x}: CR3 {:#x}", cpu.sys.cr3);
    if let Some(vmcs) = cpu.vmx.non_root.as_ref().and(cpu.vmx.current())
        && paging::ept_of(cpu, vmcs).is_some()
    {
        let _ = write!(text, ", EPTP {:#x}", vmcs.get(Field::EptPointer));
    }
    text.push('\n');
    let list = show_rows(&rows, &mut text);
    let end = match &found {
        Ok((guest, host)) if guest == host => format!("physical {host:#x}"),
        Ok((guest, host)) => format!("guest-physical {guest:#x}, host-physical {host:#x}"),
        Err(why) => why.clone(),
    };
    let json = json!({
        "linear": hex(linear), "entries": list, "end": end,
        "guest_physical": found.as_ref().ok().map(|found| hex(found.0)), "physical": found.as_ref().ok().map(|found| hex(found.1)),
    });
    Ok(Answer::new(text + &end, json))
}

fn ranges(list: &[Range], complete: bool, headings: &[&str], what: &str) -> Answer {
    let mut table = Table::new(headings);
    for range in list.iter().take(ROWS) {
        let last = range.start.wrapping_add(range.size - 1);
        table.row([
            format!("{:#x}..{last:#x}", range.start),
            size_words(range.size),
            format!("{:#x}", range.target),
            range.words.clone(),
        ]);
    }
    let json: Vec<Value> = list
        .iter()
        .take(ROWS)
        .map(|range| json!({ "start": hex(range.start), "size": hex(range.size), "target": hex(range.target), "words": range.words }))
        .collect();
    let mut text = if table.is_empty() { format!("{what} maps nothing\n") } else { table.text() };
    if list.len() > ROWS {
        let _ = writeln!(text, "and {} ranges more", list.len() - ROWS);
    }
    if !complete {
        let _ = writeln!(text, "there is more: the tables are too many to look at all");
    }
    Answer::new(text, json!({ "ranges": json, "complete": complete && list.len() <= ROWS }))
}

/// `tab`.
pub fn tab(session: &mut Session, _arguments: &str) -> Outcome {
    let cpu = selected(session)?;
    let paging = Paging::of(cpu);
    if !paging.is_on() {
        return Ok(Answer::message("paging is off: linear addresses are physical ones"));
    }
    let (list, complete) = paging.ranges(&session.target.pc().ram);
    Ok(ranges(&list, complete, &["linear", "size", "physical", "rights"], "CR3"))
}

fn current_ept(session: &Session) -> Result<EptConfig, CommandError> {
    let cpu = selected(session)?;
    let vmcs = cpu.vmx.current().ok_or("this processor has no current VMCS")?;
    Ok(paging::ept_of(cpu, vmcs).ok_or("the current VMCS does not enable EPT")?)
}

/// `ept [lint]`.
pub fn ept(session: &mut Session, arguments: &str) -> Outcome {
    let config = current_ept(session)?;
    let listing = paging::list_ept(&config, &session.target.pc().ram);
    match arguments {
        "" => {
            Ok(ranges(&listing.ranges, listing.complete, &["guest-physical", "size", "host-physical", "rights"], "EPT"))
        }
        "lint" => lint(session, &config, &listing),
        other => Err(CommandError::Usage(format!("{other:?} is not known"), "ept [lint]")),
    }
}

/// The pages of the structures that a VMCS uses: a field that no control looks at says nothing.
fn structures(vmcs: &Vmcs) -> Vec<(u64, String)> {
    let (primary, secondary) = (vmcs.primary(), vmcs.secondary());
    let io = primary.contains(PrimaryProcessorControls::USE_IO_BITMAPS);
    let shadowing = secondary.contains(SecondaryProcessorControls::VMCS_SHADOWING);
    let switching = vmcs.vm_functions().contains(VmFunctions::EPTP_SWITCHING);
    let pages = [
        (Field::IoBitmapA, io),
        (Field::IoBitmapB, io),
        (Field::MsrBitmaps, primary.contains(PrimaryProcessorControls::USE_MSR_BITMAPS)),
        (Field::VmreadBitmapAddress, shadowing),
        (Field::VmwriteBitmapAddress, shadowing),
        (Field::EptpListAddress, switching),
        (Field::PmlAddress, secondary.contains(SecondaryProcessorControls::ENABLE_PML)),
    ];
    let pages = pages.into_iter().filter(|(_, used)| *used).map(|(field, _)| (field, vmcs.get(field), 1));
    let lists = [
        (Field::VmExitMsrStoreAddress, Field::VmExitMsrStoreCount),
        (Field::VmExitMsrLoadAddress, Field::VmExitMsrLoadCount),
        (Field::VmEntryMsrLoadAddress, Field::VmEntryMsrLoadCount),
    ];
    let lists = lists.into_iter().map(|(field, count)| (field, vmcs.get(field), 16 * vmcs.get(count).min(4096)));
    let mut all = Vec::new();
    for (field, address, bytes) in pages.chain(lists).filter(|(_, _, bytes)| *bytes != 0) {
        let (first, last) = (address & !0xFFF, address.saturating_add(bytes - 1) & !0xFFF);
        all.extend((first..=last).step_by(0x1000).map(|page| (page, field.name().to_owned())));
    }
    all
}

/// Pages that the VMM needs for itself, with what they are.
fn precious(session: &Session, listing: &EptListing) -> Result<Vec<(u64, String)>, CommandError> {
    let cpu = selected(session)?;
    let mut list: Vec<(u64, String)> =
        listing.tables.iter().map(|&table| (table, "an EPT paging structure".to_owned())).collect();
    if cpu.vmx.on() {
        list.push((cpu.vmx.vmxon, "the VMXON region".to_owned()));
    }
    for &address in cpu.vmx.active.keys() {
        list.push((address, "a VMCS".to_owned()));
    }
    if let Some(vmcs) = cpu.vmx.current() {
        list.extend(structures(vmcs));
        let cr3 = vmcs.get(Field::HostCr3) & 0x000F_FFFF_FFFF_F000;
        list.push((cr3, "the VMM's paging structures (host CR3)".to_owned()));
    }
    Ok(list)
}

fn lint(session: &Session, config: &EptConfig, listing: &EptListing) -> Outcome {
    let mut findings: Vec<(&str, String)> = Vec::new();
    for (guest, entry) in &listing.misconfigured {
        findings.push((
            "misconfiguration",
            format!("guest-physical {guest:#x}: entry {entry:#x}; an access is VM exit 49"),
        ));
    }
    for range in listing.ranges.iter().filter(|range| range.words.starts_with("rwx")) {
        let last = range.start + (range.size - 1);
        findings.push(("writable and executable", format!("guest-physical {:#x}..{last:#x}", range.start)));
    }
    let mut by_target: Vec<&Range> = listing.ranges.iter().collect();
    by_target.sort_by_key(|range| range.target);
    for pair in by_target.windows(2) {
        if let [low, high] = pair
            && high.target < low.target + low.size
        {
            findings.push((
                "overlap",
                format!(
                    "host-physical {:#x} is mapped at guest-physical {:#x} and {:#x}",
                    high.target,
                    low.start + (high.target - low.target),
                    high.start
                ),
            ));
        }
    }
    for (page, what) in precious(session, listing)? {
        for range in listing.ranges.iter().filter(|range| (range.target..range.target + range.size).contains(&page)) {
            let write = if range.words.contains('w') { "the guest can write" } else { "the guest can read" };
            let guest = range.start + (page - range.target);
            findings.push(("exposed", format!("{write} {what}: host-physical {page:#x} at guest-physical {guest:#x}")));
        }
    }
    let mut table = Table::new(&["finding", "where"]);
    for (kind, place) in findings.iter().take(ROWS) {
        table.row([(*kind).to_owned(), place.clone()]);
    }
    let list: Vec<Value> = findings.iter().map(|(kind, place)| json!({ "finding": kind, "where": place })).collect();
    let text =
        if table.is_empty() { format!("EPTP {:#x}: nothing to complain about\n", config.eptp) } else { table.text() };
    Ok(Answer::new(text, json!({ "findings": list })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structures_that_no_control_uses_are_nothing_to_complain_about() {
        let mut vmcs = Vmcs::new(1);
        for field in [Field::IoBitmapA, Field::IoBitmapB, Field::MsrBitmaps, Field::VmEntryMsrLoadAddress] {
            vmcs.set(field, 0x5000);
        }
        assert_eq!(structures(&vmcs), []);
        vmcs.set(Field::PrimaryProcessorControls, PrimaryProcessorControls::USE_MSR_BITMAPS.bits().into());
        vmcs.set(Field::VmEntryMsrLoadCount, 257);
        let found: Vec<u64> = structures(&vmcs).into_iter().map(|(page, _)| page).collect();
        assert_eq!(found, [0x5000, 0x5000, 0x6000]);
    }
}
