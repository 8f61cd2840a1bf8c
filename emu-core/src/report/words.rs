//! Numbers in words.

use crate::fault::{EventKind, Fault};
use crate::state::derived::{Mode, Size};
use crate::state::system::SystemState;
use emu_vmx::arch::cr::{Cr0, Cr4};
use emu_vmx::arch::efer::Efer;
use emu_vmx::arch::vector::{self, PageFaultError};

/// The general-purpose registers.
pub(super) const GENERAL: [&str; 16] =
    ["RAX", "RCX", "RDX", "RBX", "RSP", "RBP", "RSI", "RDI", "R8", "R9", "R10", "R11", "R12", "R13", "R14", "R15"];

/// RFLAGS by bit, lowest first; IOPL is two bits.
const FLAGS: [(u32, &str); 16] = [
    (0, "CF"),
    (2, "PF"),
    (4, "AF"),
    (6, "ZF"),
    (7, "SF"),
    (8, "TF"),
    (9, "IF"),
    (10, "DF"),
    (11, "OF"),
    (14, "NT"),
    (16, "RF"),
    (17, "VM"),
    (18, "AC"),
    (19, "VIF"),
    (20, "VIP"),
    (21, "ID"),
];

/// The flags that are set, and IOPL if it is not 0.
pub(super) fn flags(rflags: u64) -> String {
    let set = FLAGS.iter().filter(|flag| rflags >> flag.0 & 1 != 0).map(|flag| flag.1.to_owned());
    let iopl = rflags >> 12 & 3;
    let iopl = (iopl != 0).then(|| format!("IOPL={iopl}"));
    set.chain(iopl).collect::<Vec<_>>().join(" ")
}

/// The bits of a control register that are set, highest first as the SDM draws them.
pub(super) fn control(name: &str, value: u64) -> Option<String> {
    let names: Vec<&str> = match name {
        "CR0" => Cr0::from_bits_truncate(value).iter_names().map(|bit| bit.0).collect(),
        "CR4" => Cr4::from_bits_truncate(value).iter_names().map(|bit| bit.0).collect(),
        "EFER" => Efer::from_bits_truncate(value).iter_names().map(|bit| bit.0).collect(),
        _ => return None,
    };
    Some(names.join(" "))
}

/// Bytes as hexadecimal digits.
pub(super) fn hex_bytes(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The mode of operation.
pub(super) fn mode(mode: Mode) -> String {
    let width = if mode.code == Size::Bits32 { "32-bit" } else { "16-bit" };
    if mode.is_64bit() {
        "64-bit mode".to_owned()
    } else if mode.long {
        format!("{width} compatibility mode")
    } else if mode.v86 {
        "virtual-8086 mode".to_owned()
    } else if mode.protected {
        format!("{width} protected mode")
    } else {
        "real-address mode".to_owned()
    }
}

/// The paging mode.
pub(super) fn paging(sys: &SystemState) -> &'static str {
    if !sys.cr0.contains(Cr0::PG) {
        "no paging"
    } else if sys.efer.contains(Efer::LMA) {
        if sys.cr4.contains(Cr4::LA57) { "5-level paging" } else { "4-level paging" }
    } else if sys.cr4.contains(Cr4::PAE) {
        "PAE paging"
    } else {
        "32-bit paging"
    }
}

/// What an error code says, if it says something.
pub(super) fn error_code(event: &Fault) -> Option<String> {
    let code = event.error_code.filter(|_| event.kind == EventKind::HardwareException)?;
    match event.vector {
        vector::PF => Some(page_fault(PageFaultError::from_bits_retain(code))),
        vector::TS | vector::NP | vector::SS | vector::GP if code != 0 => {
            let entry = code >> 3 & 0x1FFF;
            let external = if code & 1 != 0 { ", while an event was delivered" } else { "" };
            let what = match (code & 2 != 0, code & 4 != 0) {
                (true, _) => format!("IDT entry {entry:#x}"),
                (false, true) => format!("selector {:#x} in the LDT", code & 0xFFFC),
                (false, false) => format!("selector {:#x} in the GDT", code & 0xFFFC),
            };
            Some(what + external)
        }
        _ => None,
    }
}

fn page_fault(code: PageFaultError) -> String {
    use PageFaultError as E;
    let who = if code.contains(E::US) { "user" } else { "supervisor" };
    let what = if code.contains(E::ID) {
        "fetch"
    } else if code.contains(E::WR) {
        "write"
    } else {
        "read"
    };
    let why = if code.contains(E::RSVD) {
        "a reserved bit is set in a paging-structure entry"
    } else if code.contains(E::PK) {
        "the protection key denies it"
    } else if code.contains(E::P) {
        "the page's rights deny it"
    } else {
        "the page is not present"
    };
    format!("{who} {what}, {why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_codes_say_what_they_are_about() {
        let words = |vector, code| error_code(&Fault::with_code(vector, code));
        assert_eq!(words(vector::GP, 0x6B).unwrap(), "IDT entry 0xd, while an event was delivered");
        assert_eq!(words(vector::NP, 0x2C).unwrap(), "selector 0x2c in the LDT");
        assert_eq!(words(vector::PF, 2).unwrap(), "supervisor write, the page is not present");
        assert_eq!(words(vector::PF, 0x15).unwrap(), "user fetch, the page's rights deny it");
        assert_eq!((words(vector::GP, 0), words(vector::DF, 0)), (None, None));
    }

    #[test]
    fn flags_are_told_in_words() {
        assert_eq!(flags(0x3246), "PF ZF IF IOPL=3");
        assert_eq!(control("CR0", 0x8000_0011).unwrap(), "PE ET PG");
    }
}
