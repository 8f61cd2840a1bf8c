//! What KVM (`dump_vmcs`) and Xen print of a VMCS when a VM entry fails: sections of guest, host and control state whose
//! lines have short names.

use super::{Dump, DumpError, bare, hexadecimal, names, pairs};
use crate::field::{Access, Field};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// A section of the dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Section {
    Guest,
    Host,
    Control,
}

fn section(line: &str) -> Option<Section> {
    match line.trim_matches(['*', ' ']) {
        "Guest State" => Some(Section::Guest),
        "Host State" => Some(Section::Host),
        "Control State" => Some(Section::Control),
        _ => None,
    }
}

/// Whether the text has one of the sections.
pub fn is_log(text: &str) -> bool {
    text.lines().map(bare).any(|line| line.starts_with("***") && section(line).is_some())
}

use Field as F;
use Section::{Control, Guest, Host};

/// Names in a section, small and without spaces; before a dot, the word with a colon that begins the line.
const NAMES: &[(Section, &str, Field)] = &[
    (Guest, "cr0.actual", F::GuestCr0),
    (Guest, "cr0.shadow", F::Cr0ReadShadow),
    (Guest, "cr0.gh_mask", F::Cr0GuestHostMask),
    (Guest, "cr4.actual", F::GuestCr4),
    (Guest, "cr4.shadow", F::Cr4ReadShadow),
    (Guest, "cr4.gh_mask", F::Cr4GuestHostMask),
    (Guest, "cr3", F::GuestCr3),
    (Guest, "pdptr0", F::GuestPdpte0),
    (Guest, "pdptr1", F::GuestPdpte1),
    (Guest, "pdptr2", F::GuestPdpte2),
    (Guest, "pdptr3", F::GuestPdpte3),
    (Guest, "pdpte0", F::GuestPdpte0),
    (Guest, "pdpte1", F::GuestPdpte1),
    (Guest, "pdpte2", F::GuestPdpte2),
    (Guest, "pdpte3", F::GuestPdpte3),
    (Guest, "rsp", F::GuestRsp),
    (Guest, "rip", F::GuestRip),
    (Guest, "rflags", F::GuestRflags),
    (Guest, "dr7", F::GuestDr7),
    (Guest, "sysenterrsp", F::GuestIa32SysenterEsp),
    (Guest, "efer", F::GuestIa32Efer),
    (Guest, "efer(vmcs)", F::GuestIa32Efer),
    (Guest, "pat", F::GuestIa32Pat),
    (Guest, "debugctl", F::GuestIa32Debugctl),
    (Guest, "debugexceptions", F::GuestPendingDebugExceptions),
    (Guest, "perfglobctl", F::GuestIa32PerfGlobalCtrl),
    (Guest, "bndcfgs", F::GuestIa32Bndcfgs),
    (Guest, "interruptibility", F::GuestInterruptibilityState),
    (Guest, "activitystate", F::GuestActivityState),
    (Guest, "interruptstatus", F::GuestInterruptStatus),
    (Guest, "preemptiontimer", F::VmxPreemptionTimerValue),
    (Guest, "smbase", F::GuestSmbase),
    (Guest, "s_cet", F::GuestIa32SCet),
    (Guest, "ssp", F::GuestSsp),
    (Guest, "ssptable", F::GuestIa32InterruptSspTableAddr),
    (Guest, "pkrs", F::GuestIa32Pkrs),
    (Host, "rip", F::HostRip),
    (Host, "rsp", F::HostRsp),
    (Host, "cs", F::HostCsSelector),
    (Host, "ss", F::HostSsSelector),
    (Host, "ds", F::HostDsSelector),
    (Host, "es", F::HostEsSelector),
    (Host, "fs", F::HostFsSelector),
    (Host, "gs", F::HostGsSelector),
    (Host, "tr", F::HostTrSelector),
    (Host, "fsbase", F::HostFsBase),
    (Host, "gsbase", F::HostGsBase),
    (Host, "trbase", F::HostTrBase),
    (Host, "gdtbase", F::HostGdtrBase),
    (Host, "idtbase", F::HostIdtrBase),
    (Host, "cr0", F::HostCr0),
    (Host, "cr3", F::HostCr3),
    (Host, "cr4", F::HostCr4),
    (Host, "sysenterrsp", F::HostIa32SysenterEsp),
    (Host, "efer", F::HostIa32Efer),
    (Host, "pat", F::HostIa32Pat),
    (Host, "perfglobctl", F::HostIa32PerfGlobalCtrl),
    (Host, "s_cet", F::HostIa32SCet),
    (Host, "ssp", F::HostSsp),
    (Host, "ssptable", F::HostIa32InterruptSspTableAddr),
    (Host, "pkrs", F::HostIa32Pkrs),
    (Control, "pinbased", F::PinBasedControls),
    (Control, "cpubased", F::PrimaryProcessorControls),
    (Control, "secondaryexec", F::SecondaryProcessorControls),
    (Control, "tertiaryexec", F::TertiaryProcessorControls),
    (Control, "entrycontrols", F::VmEntryControls),
    (Control, "exitcontrols", F::VmExitControls),
    (Control, "exceptionbitmap", F::ExceptionBitmap),
    (Control, "pfecmask", F::PageFaultErrorCodeMask),
    (Control, "pfecmatch", F::PageFaultErrorCodeMatch),
    (Control, "vmentry.intr_info", F::VmEntryInterruptionInformation),
    (Control, "vmentry.errcode", F::VmEntryExceptionErrorCode),
    (Control, "vmentry.ilen", F::VmEntryInstructionLength),
    (Control, "vmexit.intr_info", F::VmExitInterruptionInformation),
    (Control, "vmexit.errcode", F::VmExitInterruptionErrorCode),
    (Control, "vmexit.ilen", F::VmExitInstructionLength),
    (Control, "reason", F::ExitReason),
    (Control, "qualification", F::ExitQualification),
    (Control, "idtvectoring.info", F::IdtVectoringInformation),
    (Control, "idtvectoring.errcode", F::IdtVectoringErrorCode),
    (Control, "tscoffset", F::TscOffset),
    (Control, "tscmultiplier", F::TscMultiplier),
    (Control, "tprthreshold", F::TprThreshold),
    (Control, "apic-accessaddr", F::ApicAccessAddress),
    (Control, "virt-apicaddr", F::VirtualApicAddress),
    (Control, "postedintrvec", F::PostedInterruptNotificationVector),
    (Control, "eptpointer", F::EptPointer),
    (Control, "eptpindex", F::EptpIndex),
    (Control, "plegap", F::PleGap),
    (Control, "window", F::PleWindow),
    (Control, "plewindow", F::PleWindow),
    (Control, "virtualprocessorid", F::Vpid),
    (Control, "vmfunccontrols", F::VmFunctionControls),
    (Control, "veinfoaddress", F::VirtualizationExceptionInformationAddress),
    (Control, "cr3target0", F::Cr3Target0),
    (Control, "cr3target1", F::Cr3Target1),
    (Control, "cr3target2", F::Cr3Target2),
    (Control, "cr3target3", F::Cr3Target3),
];

/// Names that are no field of the VMCS: what software has beside it, and the entries of MSR lists.
const OTHER: &[&str] = &["efer(effective)", "efer(autoload)", "msr", "value", "index"];

/// The segment registers: selector, access rights, limit, base.
const SEGMENTS: &[(&str, [Field; 4])] = &[
    ("cs", [F::GuestCsSelector, F::GuestCsAccessRights, F::GuestCsLimit, F::GuestCsBase]),
    ("ds", [F::GuestDsSelector, F::GuestDsAccessRights, F::GuestDsLimit, F::GuestDsBase]),
    ("ss", [F::GuestSsSelector, F::GuestSsAccessRights, F::GuestSsLimit, F::GuestSsBase]),
    ("es", [F::GuestEsSelector, F::GuestEsAccessRights, F::GuestEsLimit, F::GuestEsBase]),
    ("fs", [F::GuestFsSelector, F::GuestFsAccessRights, F::GuestFsLimit, F::GuestFsBase]),
    ("gs", [F::GuestGsSelector, F::GuestGsAccessRights, F::GuestGsLimit, F::GuestGsBase]),
    ("ldtr", [F::GuestLdtrSelector, F::GuestLdtrAccessRights, F::GuestLdtrLimit, F::GuestLdtrBase]),
    ("tr", [F::GuestTrSelector, F::GuestTrAccessRights, F::GuestTrLimit, F::GuestTrBase]),
];
const TABLES: &[(&str, [Field; 2])] =
    &[("gdtr", [F::GuestGdtrLimit, F::GuestGdtrBase]), ("idtr", [F::GuestIdtrLimit, F::GuestIdtrBase])];

fn plain(name: &str) -> String {
    name.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_ascii_lowercase()).collect()
}

/// A segment register's or descriptor table's field by its short name.
fn segment(register: &str, what: &str) -> Option<Field> {
    let table = TABLES.iter().find(|table| table.0 == register).map(|table| table.1);
    let fields = SEGMENTS.iter().find(|segment| segment.0 == register).map(|segment| segment.1);
    match (what, fields, table) {
        ("sel", Some(fields), _) => Some(fields[0]),
        ("attr", Some(fields), _) => Some(fields[1]),
        ("limit", Some(fields), _) => Some(fields[2]),
        ("base", Some(fields), _) => Some(fields[3]),
        ("limit", _, Some(table)) => Some(table[0]),
        ("base", _, Some(table)) => Some(table[1]),
        _ => None,
    }
}

/// Reads the sections.
pub fn parse(text: &str) -> Result<Vec<Dump>, DumpError> {
    let mut dumps: Vec<Dump> = Vec::new();
    let (mut now, mut list) = (None, false);
    for (number, line) in text.lines().enumerate() {
        let (number, line) = (number + 1, bare(line));
        if line.starts_with("***") {
            now = section(line);
            list = false;
            if now == Some(Guest) || dumps.is_empty() && now.is_some() {
                dumps.push(Dump { title: format!("dump in line {number}"), ..Dump::default() });
            }
            continue;
        }
        let (Some(section), Some(dump)) = (now, dumps.last_mut()) else { continue };
        // `MSR guest autoload:`, and its entries.
        list = line.starts_with("MSR ") || list && line.starts_with(|c: char| c.is_ascii_digit());
        if !list {
            read(dump, section, line, number)?;
        }
    }
    Ok(dumps)
}

fn read(dump: &mut Dump, section: Section, line: &str, number: usize) -> Result<(), DumpError> {
    let Some(pairs) = pairs(line) else { return row(dump, section, line, number) };
    let mut scope = String::new();
    for (name, value) in pairs {
        let mut name = name;
        // `CS:   sel=`, but not `CS:RIP=`.
        if let Some((register, rest)) = name.split_once(": ").filter(|(_, rest)| !rest.trim().is_empty()) {
            scope = plain(register);
            name = rest;
        }
        let key = plain(name);
        match key.as_str() {
            "cs:rip" => {
                let (cs, rip) = value.split_once(':').unwrap_or((value, ""));
                let fields = match section {
                    Guest => [F::GuestIa32SysenterCs, F::GuestIa32SysenterEip],
                    _ => [F::HostIa32SysenterCs, F::HostIa32SysenterEip],
                };
                set(dump, number, name, fields[0], cs)?;
                set(dump, number, name, fields[1], rip)?;
            }
            "svi|rvi" => {
                let (svi, rvi) = value.split_once('|').unwrap_or((value, ""));
                let bad = || DumpError::BadValue { line: number, name: name.into(), value: value.into() };
                let (svi, rvi) = hexadecimal(svi).zip(hexadecimal(rvi)).ok_or_else(bad)?;
                dump.set(number, F::GuestInterruptStatus, Access::Full, svi << 8 | rvi)?;
            }
            key if OTHER.contains(&key) => {}
            key => {
                let scoped = format!("{scope}.{key}");
                let found = NAMES.iter().find(|each| each.0 == section && (each.1 == key || each.1 == scoped));
                let found = found.map(|each| each.2).or_else(|| segment(&scope, key).filter(|_| section == Guest));
                let nearest = || {
                    let own = NAMES.iter().filter(|each| each.0 == section).map(|each| each.1);
                    names::nearest(if scope.is_empty() { key } else { &scoped }, own)
                };
                let field = found.ok_or_else(|| DumpError::Unknown {
                    line: number,
                    name: name.trim().into(),
                    nearest: nearest(),
                })?;
                set(dump, number, name, field, value)?;
            }
        }
    }
    Ok(())
}

fn set(dump: &mut Dump, line: usize, name: &str, field: Field, value: &str) -> Result<(), DumpError> {
    let bad = || DumpError::BadValue { line, name: name.trim().into(), value: value.into() };
    dump.set(line, field, Access::Full, hexadecimal(value).ok_or_else(bad)?)
}

/// Xen's table of segment registers: `CS: 0008 0c09b ffffffff 0000000000000000`. What is no row of it says nothing.
fn row(dump: &mut Dump, section: Section, line: &str, number: usize) -> Result<(), DumpError> {
    let Some((register, values)) = line.split_once(':').filter(|_| section == Guest) else { return Ok(()) };
    let register = plain(register);
    let values: Vec<&str> = values.split_whitespace().collect();
    let fields: &[Field] = if let Some(segment) = SEGMENTS.iter().find(|segment| segment.0 == register) {
        &segment.1
    } else if let Some(table) = TABLES.iter().find(|table| table.0 == register) {
        &table.1
    } else {
        return Ok(());
    };
    if values.len() != fields.len() {
        return Err(DumpError::NoValue { line: number, text: line.into() });
    }
    for (&field, value) in fields.iter().zip(values) {
        set(dump, number, &register, field, value)?;
    }
    Ok(())
}
