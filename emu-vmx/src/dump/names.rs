//! Names of fields as people write them: the SDM's, this library's, encodings, and those of the constants of Linux,
//! VirtualBox, Bochs and Hyper-V's TLFS. Names differ in abbreviations, order and noise; what is left of a name without
//! them is its key.

use crate::field::{Access, Field};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Words that say nothing: prefixes, widths, kinds.
const NOISE: &[&str] = &[
    "vmx",
    "vmcs",
    "vm",
    "vmexec",
    "ia",
    "ctrl",
    "ctrls",
    "ctl",
    "ctls",
    "control",
    "controls",
    "ro",
    "full",
    "field",
    "fields",
    "the",
    "of",
    "based",
    "exec",
    "execution",
    "info",
    "information",
    "state",
    "value",
    "address",
    "addr",
    "pointer",
    "ptr",
    "page",
    "pageaddr",
    "bytes",
    "bit",
    "register",
];

/// Words that mean the same.
const SAME: &[(&str, &[&str])] = &[
    ("sel", &["selector"]),
    ("ar", &["access", "rights"]),
    ("attr", &["access", "rights"]),
    ("attrs", &["access", "rights"]),
    ("attributes", &["access", "rights"]),
    ("intr", &["interrupt"]),
    ("interruption", &["interrupt"]),
    ("instr", &["instruction"]),
    ("len", &["length"]),
    ("err", &["error"]),
    ("errcode", &["error", "code"]),
    ("dbg", &["debug"]),
    ("xcpt", &["exception"]),
    ("xcpts", &["exception"]),
    ("exceptions", &["exception"]),
    ("bitmaps", &["bitmap"]),
    ("exiting", &["exit"]),
    ("vmexit", &["exit"]),
    ("vmentry", &["entry"]),
    ("cpu", &["processor"]),
    ("proc", &["processor"]),
    ("secproc", &["secondary", "processor"]),
    ("pdptr", &["pdpte"]),
    ("eptp", &["ept"]),
    ("eptptr", &["ept"]),
    ("ctx", &[]),
];

/// Names that no rule leads to their field.
const ALIASES: &[(&str, Field)] = &[
    ("processor", Field::PrimaryProcessorControls),
    ("processor 2", Field::SecondaryProcessorControls),
    ("processor 3", Field::TertiaryProcessorControls),
    ("secondary", Field::SecondaryProcessorControls),
    ("tertiary", Field::TertiaryProcessorControls),
    ("exit", Field::VmExitControls),
    ("exit 2", Field::SecondaryVmExitControls),
    ("vpid", Field::Vpid),
    ("virtual processor id", Field::Vpid),
    ("virtual processor identifier", Field::Vpid),
    ("posted interrupt nv", Field::PostedInterruptNotificationVector),
    ("posted interrupt vector", Field::PostedInterruptNotificationVector),
    ("posted interrupt desc", Field::PostedInterruptDescriptorAddress),
    ("posted interrupt descriptor", Field::PostedInterruptDescriptorAddress),
    ("function", Field::VmFunctionControls),
    ("eoi bitmap 0", Field::EoiExitBitmap0),
    ("eoi bitmap 1", Field::EoiExitBitmap1),
    ("eoi bitmap 2", Field::EoiExitBitmap2),
    ("eoi bitmap 3", Field::EoiExitBitmap3),
    ("virtual apic", Field::VirtualApicAddress),
    ("virt apic", Field::VirtualApicAddress),
    ("guest link", Field::VmcsLinkPointer),
    ("guest pml index", Field::PmlIndex),
    ("guest phys", Field::GuestPhysicalAddress),
    ("guest phys addr", Field::GuestPhysicalAddress),
    ("bitmap", Field::ExceptionBitmap),
    ("page fault error mask", Field::PageFaultErrorCodeMask),
    ("page fault error match", Field::PageFaultErrorCodeMatch),
    ("fault error mask", Field::PageFaultErrorCodeMask),
    ("fault error match", Field::PageFaultErrorCodeMatch),
    ("pagefault error mask", Field::PageFaultErrorCodeMask),
    ("pagefault error match", Field::PageFaultErrorCodeMatch),
    ("fault error code mask", Field::PageFaultErrorCodeMask),
    ("fault error code match", Field::PageFaultErrorCodeMatch),
    ("entry interrupt error code", Field::VmEntryExceptionErrorCode),
    ("entry exception error code", Field::VmEntryExceptionErrorCode),
    ("instruction", Field::VmExitInstructionInformation),
    ("exit reason", Field::ExitReason),
    ("qualification", Field::ExitQualification),
    ("exit qualification", Field::ExitQualification),
    ("idt vectoring", Field::IdtVectoringInformation),
    ("idt", Field::IdtVectoringInformation),
    ("idt error code", Field::IdtVectoringErrorCode),
    ("guest int", Field::GuestInterruptibilityState),
    ("guest activity", Field::GuestActivityState),
    ("preemption timer", Field::VmxPreemptionTimerValue),
    ("guest preemption timer", Field::VmxPreemptionTimerValue),
    ("guest pending dbgs", Field::GuestPendingDebugExceptions),
    ("guest pending debug", Field::GuestPendingDebugExceptions),
    ("cr 0 mask", Field::Cr0GuestHostMask),
    ("cr 4 mask", Field::Cr4GuestHostMask),
    ("cr 3 target 0", Field::Cr3Target0),
    ("cr 3 target 1", Field::Cr3Target1),
    ("cr 3 target 2", Field::Cr3Target2),
    ("cr 3 target 3", Field::Cr3Target3),
    ("guest bndcfgs", Field::GuestIa32Bndcfgs),
    ("executive", Field::ExecutiveVmcsPointer),
    ("exec", Field::ExecutiveVmcsPointer),
    ("tsc multiplier", Field::TscMultiplier),
];

/// The words of a name: at `_`, spaces and punctuation, between small and capital letters, between letters and digits.
/// What stands in parentheses is an abbreviation.
fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let (mut last, mut depth) = (' ', 0);
    for c in name.chars() {
        depth += i32::from(c == '(') - i32::from(c == ')');
        if depth > 0 || !c.is_ascii_alphanumeric() {
            last = ' ';
            continue;
        }
        let begins = !last.is_ascii_alphanumeric()
            || last.is_ascii_lowercase() && c.is_ascii_uppercase()
            || last.is_ascii_digit() != c.is_ascii_digit();
        if begins {
            words.push(String::new());
        }
        words.iter_mut().last().into_iter().for_each(|word| word.push(c.to_ascii_lowercase()));
        last = c;
    }
    words
}

/// What is left of a name: its words that say something, in alphabetical order.
fn key(name: &str) -> String {
    let words = words(name);
    key_of(words.iter().map(String::as_str))
}

fn key_of<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let mut left: Vec<&str> = Vec::new();
    for word in words {
        // The widths of `vmcs16`, `32bit` and `ia32`.
        let width = matches!(word, "16" | "32" | "64");
        if !(NOISE.contains(&word) || width) {
            match SAME.iter().find(|same| same.0 == word) {
                Some((_, same)) => left.extend(same.iter()),
                None => left.push(word),
            }
        }
    }
    // The TLFS puts it behind the names of MSRs.
    if left.contains(&"sysenter") {
        left.retain(|word| *word != "msr");
    }
    // `GuestCsRights`.
    if left.contains(&"rights") && !left.contains(&"access") {
        left.push("access");
    }
    left.sort_unstable();
    left.join(" ")
}

/// Whether a name that is no field's is probably meant as one: an identifier of those that fields have, or nearly a name.
pub fn is_like_a_field(name: &str) -> bool {
    let name = name.trim();
    let lower = name.to_ascii_lowercase();
    let prefixed =
        ["vmcs_", "vmx_vmcs", "guest_", "host_", "guest ", "host "].iter().any(|start| lower.starts_with(start));
    if name.contains([':', '(', '[']) {
        return false;
    }
    let plain: Vec<char> = lower.chars().filter(char::is_ascii_alphanumeric).collect();
    let near = |other: &str| {
        let other: Vec<char> = other.to_ascii_lowercase().chars().filter(char::is_ascii_alphanumeric).collect();
        distance(&plain, &other) * 6 <= other.len()
    };
    prefixed || Field::ALL.iter().any(|field| near(field.name()) || near(field.identifier()))
}

fn sorted_letters(word: &[char]) -> Vec<char> {
    let mut letters = word.to_vec();
    letters.sort_unstable();
    letters
}

/// The name among `names` that `name` is probably a slip of: a third of its letters at most are others, or they stand in
/// another order.
pub fn slip<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let letters = |text: &str| -> Vec<char> { text.to_ascii_lowercase().chars().collect() };
    let wanted = letters(name);
    let (distance, near) = names.map(|other| (distance(&wanted, &letters(other)), other)).min_by_key(|near| near.0)?;
    let swapped = distance <= 2 && sorted_letters(&wanted) == sorted_letters(&letters(near));
    (swapped || distance <= (wanted.len() / 3).max(1)).then_some(near)
}

/// A word of a name as it is probably meant: a word of four letters or more that one mistake separates from a word that
/// names have.
fn meant(word: &str) -> &str {
    let known = || NOISE.iter().copied().chain(SAME.iter().map(|same| same.0));
    let of_a_field = || Field::ALL.iter().any(|field| words(field.name()).iter().any(|other| other == word));
    if word.len() < 4 || known().any(|other| other == word) || of_a_field() {
        return word;
    }
    let letters = |text: &str| -> Vec<char> { text.chars().collect() };
    let wanted = letters(word);
    known().find(|other| other.len() >= 4 && distance(&wanted, &letters(other)) == 1).unwrap_or(word)
}

fn sorted(words: &str) -> String {
    let mut words: Vec<&str> = words.split(' ').collect();
    words.sort_unstable();
    words.join(" ")
}

/// The field, or the upper half of one, that a name means; also an encoding in hexadecimal.
pub fn find(name: &str) -> Option<(Field, Access)> {
    if let Some(field) = Field::from_name(name) {
        return Some((field, Access::Full));
    }
    let digits = name.trim().trim_start_matches("0x").trim_start_matches("0X").trim_end_matches(['h', 'H']);
    if let Some(found) = u64::from_str_radix(digits, 16).ok().and_then(Field::from_encoding) {
        return Some(found);
    }
    let lower = name.to_ascii_lowercase();
    let stem = ["_high", "_hi", " high", " hi"].iter().find_map(|end| lower.strip_suffix(end));
    let (name, access) = match stem {
        Some(stem) => (&name[..stem.len()], Access::High),
        None => (name, Access::Full),
    };
    let wanted = key(name);
    if wanted.is_empty() {
        return None;
    }
    let same = |field: &&Field| key(field.name()) == wanted || key(field.identifier()) == wanted;
    let field = Field::ALL.iter().find(same).copied();
    let field = field.or_else(|| ALIASES.iter().find(|alias| sorted(alias.0) == wanted).map(|alias| alias.1));
    field.map(|field| (field, access))
}

/// The longest text, in bytes, that may be a misspelled name, and the most characters of one in a message.
const LONGEST: usize = 100;

/// A text of somebody's as it stands in messages: a long one is cut.
pub fn shown(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_string(),
    }
}

/// The name among `names` that is least unlike `name`, sooner one of the same letters; none of what is too long to be a name.
pub fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    if name.len() > LONGEST {
        return None;
    }
    let plain = |text: &str| -> Vec<char> {
        text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
    };
    let wanted = plain(name);
    let letters = sorted_letters(&wanted);
    let unlike = |other: &str| {
        let other = plain(other);
        (distance(&wanted, &other), sorted_letters(&other) != letters)
    };
    names.min_by_key(|other| unlike(other)).map(ToString::to_string)
}

/// The name of the field that is nearest to `name`: by what its words mean, then by its letters. None of what is too long
/// to be a name.
pub fn nearest_field(name: &str) -> Option<String> {
    if name.len() > LONGEST {
        return None;
    }
    let letters = |text: &str| -> Vec<char> { text.chars().collect() };
    let plain = |text: &str| -> Vec<char> {
        text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
    };
    let words = words(name);
    let meaning = letters(&key_of(words.iter().map(|word| meant(word))));
    let spelling = plain(name);
    let unlike = |field: &&Field| {
        let names = [field.name(), field.identifier()];
        let by = |how: &dyn Fn(&str) -> usize| names.iter().map(|name| how(name)).min().unwrap_or(0);
        (by(&|name| distance(&meaning, &letters(&key(name)))), by(&|name| distance(&spelling, &plain(name))))
    };
    Field::ALL.iter().min_by_key(unlike).map(|field| field.name().to_string())
}

/// Characters to insert, delete or replace between two texts.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut corner = i;
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
        for (j, y) in b.iter().enumerate() {
            let replaced = corner + usize::from(x != y);
            corner = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(corner + 1);
        }
    }
    row.last().copied().unwrap_or(a.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn every_fields_own_names_lead_to_it_and_to_no_other() {
        let mut keys: BTreeMap<String, Field> = BTreeMap::new();
        for &field in Field::ALL {
            for name in [field.name(), field.identifier()] {
                assert_eq!(find(name), Some((field, Access::Full)), "{name}");
                let other = keys.insert(key(name), field);
                assert!(other.is_none_or(|other| other == field), "{name}: {} is also {other:?}'s", key(name));
            }
        }
    }

    #[test]
    fn names_of_other_programs_are_known() {
        use Field::*;
        for (names, field) in [
            (
                &[
                    "PIN_BASED_VM_EXEC_CONTROL",
                    "VMX_VMCS32_CTRL_PIN_EXEC",
                    "VMCS_32BIT_CONTROL_PIN_BASED_EXEC_CONTROLS",
                    "PinControls",
                ][..],
                PinBasedControls,
            ),
            (
                &[
                    "CPU_BASED_VM_EXEC_CONTROL",
                    "VMX_VMCS32_CTRL_PROC_EXEC",
                    "VMCS_32BIT_CONTROL_PROCESSOR_BASED_VMEXEC_CONTROLS",
                    "ProcessorControls",
                ],
                PrimaryProcessorControls,
            ),
            (
                &[
                    "SECONDARY_VM_EXEC_CONTROL",
                    "VMX_VMCS32_CTRL_PROC_EXEC2",
                    "VMCS_32BIT_CONTROL_SECONDARY_VMEXEC_CONTROLS",
                    "SecondaryProcessorControls",
                ],
                SecondaryProcessorControls,
            ),
            (
                &["VM_EXIT_CONTROLS", "VMX_VMCS32_CTRL_EXIT", "VMCS_32BIT_CONTROL_VMEXIT_CONTROLS", "ExitControls"],
                VmExitControls,
            ),
            (
                &["VM_ENTRY_CONTROLS", "VMX_VMCS32_CTRL_ENTRY", "VMCS_32BIT_CONTROL_VMENTRY_CONTROLS", "EntryControls"],
                VmEntryControls,
            ),
            (
                &[
                    "GUEST_CS_AR_BYTES",
                    "VMX_VMCS32_GUEST_CS_ACCESS_RIGHTS",
                    "VMCS_32BIT_GUEST_CS_ACCESS_RIGHTS",
                    "GuestCsAttributes",
                ],
                GuestCsAccessRights,
            ),
            (
                &["GUEST_ES_SELECTOR", "VMX_VMCS16_GUEST_ES_SEL", "VMCS_16BIT_GUEST_ES_SELECTOR", "GuestEsSelector"],
                GuestEsSelector,
            ),
            (
                &["VMCS_LINK_POINTER", "VMX_VMCS64_GUEST_VMCS_LINK_PTR_FULL", "VMCS_64BIT_GUEST_LINK_POINTER"],
                VmcsLinkPointer,
            ),
            (
                &[
                    "GUEST_INTERRUPTIBILITY_INFO",
                    "VMX_VMCS32_GUEST_INT_STATE",
                    "VMCS_32BIT_GUEST_INTERRUPTIBILITY_STATE",
                ],
                GuestInterruptibilityState,
            ),
            (
                &["GUEST_PENDING_DBG_EXCEPTIONS", "VMX_VMCS_GUEST_PENDING_DEBUG_XCPTS", "GuestPendingDebugExceptions"],
                GuestPendingDebugExceptions,
            ),
            (
                &[
                    "VM_ENTRY_INTR_INFO_FIELD",
                    "VMX_VMCS32_CTRL_ENTRY_INTERRUPTION_INFO",
                    "VMCS_32BIT_CONTROL_VMENTRY_INTERRUPTION_INFO",
                    "VmEntryInterruptInfo",
                ],
                VmEntryInterruptionInformation,
            ),
            (&["EPT_POINTER", "VMX_VMCS64_CTRL_EPTP_FULL", "VMCS_64BIT_CONTROL_EPTPTR"], EptPointer),
            (&["GUEST_CR0", "VMX_VMCS_GUEST_CR0", "VMCS_GUEST_CR0", "GuestCr0"], GuestCr0),
            (&["HOST_IA32_SYSENTER_EIP", "VMX_VMCS_HOST_SYSENTER_EIP", "HostIa32SysenterEipMsr"], HostIa32SysenterEip),
            (&["VM_EXIT_REASON", "VMX_VMCS32_RO_EXIT_REASON", "VMCS_32BIT_VMEXIT_REASON"], ExitReason),
            (&["EXIT_QUALIFICATION", "VMX_VMCS_RO_EXIT_QUALIFICATION", "VMCS_VMEXIT_QUALIFICATION"], ExitQualification),
            (
                &["EXCEPTION_BITMAP", "VMX_VMCS32_CTRL_EXCEPTION_BITMAP", "VMCS_32BIT_CONTROL_EXECUTION_BITMAP"],
                ExceptionBitmap,
            ),
            (&["MSR_BITMAP", "VMX_VMCS64_CTRL_MSR_BITMAP_FULL", "VMCS_64BIT_CONTROL_MSR_BITMAPS"], MsrBitmaps),
            (&["VIRTUAL_PROCESSOR_ID", "VMX_VMCS16_VPID", "VMCS_16BIT_CONTROL_VPID"], Vpid),
            (&["VIRTUAL_APIC_PAGE_ADDR"], VirtualApicAddress),
            (&["VM_ENTRY_MSR_LOAD_ADDR", "VmEntryMsrLoadAddress"], VmEntryMsrLoadAddress),
            (&["VM_ENTRY_INSTRUCTION_LEN", "VMX_VMCS32_CTRL_ENTRY_INSTR_LENGTH"], VmEntryInstructionLength),
            (&["VM_ENTRY_EXCEPTION_ERROR_CODE", "VMX_VMCS32_CTRL_ENTRY_EXCEPTION_ERRCODE"], VmEntryExceptionErrorCode),
            (&["CR0_GUEST_HOST_MASK", "VMX_VMCS_CTRL_CR0_MASK", "VMCS_CONTROL_CR0_GUEST_HOST_MASK"], Cr0GuestHostMask),
            (&["GUEST_PDPTR0", "VMX_VMCS64_GUEST_PDPTE0_FULL", "GuestPdpte0"], GuestPdpte0),
            (&["PAGE_FAULT_ERROR_CODE_MASK", "VMCS_32BIT_CONTROL_PAGE_FAULT_ERR_CODE_MASK"], PageFaultErrorCodeMask),
            (&["IO_BITMAP_A", "VMX_VMCS64_CTRL_IO_BITMAP_A_FULL", "IoBitmapA"], IoBitmapA),
            (&["GUEST_ACTIVITY_STATE", "VMCS_32BIT_GUEST_ACTIVITY_STATE"], GuestActivityState),
            (&["VMX_PREEMPTION_TIMER_VALUE"], VmxPreemptionTimerValue),
            (&["IDT_VECTORING_INFO_FIELD", "VMX_VMCS32_RO_IDT_INFO"], IdtVectoringInformation),
            (&["VMX_INSTRUCTION_INFO"], VmExitInstructionInformation),
        ] {
            for name in names {
                assert_eq!(find(name), Some((field, Access::Full)), "{name}: {}", key(name));
            }
        }
        assert_eq!(find("VMCS_LINK_POINTER_HIGH"), Some((VmcsLinkPointer, Access::High)));
        assert_eq!(find("0x2801"), Some((VmcsLinkPointer, Access::High)));
        assert_eq!(find("no such thing"), None);
    }

    #[test]
    fn access_rights_may_be_rights_alone() {
        assert_eq!(find("GuestCsRights"), Some((Field::GuestCsAccessRights, Access::Full)));
        assert_eq!(find("GUEST_TR_RIGHTS"), Some((Field::GuestTrAccessRights, Access::Full)));
    }

    #[test]
    fn slips_of_a_few_letters_have_a_name_and_others_none() {
        let names = || ["vmentry", "vmexit", "cpu", "io"].into_iter();
        for (slipped, name) in [
            ("vmentyr", Some("vmentry")),
            ("VMEXIT", Some("vmexit")),
            ("cpuu", Some("cpu")),
            ("upc", Some("cpu")),
            ("main", None),
            ("x", None),
        ] {
            assert_eq!(slip(slipped, names()), name, "{slipped}");
        }
        assert_eq!(slip("", names()), None);
    }

    #[test]
    fn misspelled_names_have_a_nearest_one() {
        assert_eq!(nearest_field("GUEST_CR00").as_deref(), Some("Guest CR0"));
        assert_eq!(nearest_field("Guest activty state").as_deref(), Some("Guest activity state"));
    }

    #[test]
    fn long_text_is_no_name_and_is_cut_in_messages() {
        let long = "é".repeat(1 << 20);
        assert_eq!((nearest_field(&long), nearest(&long, ["e"].into_iter())), (None, None));
        assert_eq!(shown(&long), "é".repeat(100) + "…");
        assert_eq!(shown(&long[..200]), long[..200]);
        let error = crate::dump::parse(&format!("{} = 1", "A".repeat(1 << 20))).unwrap_err().to_string();
        assert!(error.len() < 300 && error.contains("no field of a VMCS"), "{error}");
    }

    #[test]
    fn nearest_names_are_those_of_the_same_meaning() {
        for (name, nearest) in [
            ("GUEST_CS_AR_BYTE", "Guest CS access rights"),
            ("GuestRipp", "Guest RIP"),
            ("GuestCsAttribute", "Guest CS access rights"),
            ("GUEST_TR_AR_BYTE", "Guest TR access rights"),
            ("VMX_VMCS32_GUEST_SS_ACCES_RIGHTS", "Guest SS access rights"),
            ("GUEST_SS_SELECTR", "Guest SS selector"),
            ("GUEST_ES_LIMT", "Guest ES limit"),
            ("GUEST_GSS_BASE", "Guest GS base"),
            ("HOST_IA32_SYSENTER_EIPP", "Host IA32_SYSENTER_EIP"),
        ] {
            assert_eq!(nearest_field(name).as_deref(), Some(nearest), "{name}");
        }
    }
}
