//! EPTP switching (SDM Vol. 3C 28.5.7.3 "EPTP Switching"): the new hierarchy is in use at once, for data and for code.

use crate::guest::*;
use emu_vmx::controls::*;
use emu_vmx::exit::ExitReason;
use emu_vmx::field::Field;

/// The structures of the other view.
const OTHER: u64 = EPT + 0x8000;
/// The page that both views show at [`DATA`] or where the code is.
const HIDDEN: u64 = DATA + 0x1_0000;

/// A guest that runs `code` in view 0; in view 1 `page` is HIDDEN.
fn guest(code: &[u8], page: u64) -> Guest {
    let mut guest = Guest::with_ept(code);
    guest.secondary(SecondaryProcessorControls::ENABLE_VM_FUNCTIONS);
    guest.set(Field::VmFunctionControls, 1);
    guest.set(Field::EptpListAddress, PAGES);
    guest.make_ept(OTHER);
    guest.write(PAGES, EPT | 0x5E);
    guest.write(PAGES + 8, OTHER | 0x5E);
    guest.write(OTHER + 0x3000 + (page >> 12) * 8, HIDDEN | 0x37);
    guest
}

/// MOV ECX, `view`; VMFUNC
fn switch(view: u8) -> [u8; 8] {
    [0xB9, view, 0, 0, 0, 0x0F, 0x01, 0xD4]
}

#[test]
fn data_of_the_other_view_is_seen_from_the_next_access_on_in_both_directions() {
    // MOV RDX, [RBX]; MOV [RSI], RDX; ADD RSI, 8 before and after each switch, all in one block's reach.
    let look = [0x48, 0x8B, 0x13, 0x48, 0x89, 0x16, 0x48, 0x83, 0xC6, 0x08];
    let code: Vec<u8> = [&look[..], &switch(1), &look, &switch(0), &look, &switch(1), &look, &[0xF4]].concat();
    let mut guest = guest(&code, DATA);
    guest.write(DATA, 1);
    guest.write(HIDDEN, 2);
    let results = PAGES + 0x1000;
    (guest.bench.cpu.gpr[3], guest.bench.cpu.gpr[6]) = (DATA, results);
    guest.expect(ExitReason::Hlt);
    assert_eq!([0, 1, 2, 3].map(|n| guest.read(results + 8 * n)), [1, 2, 1, 2]);
}

#[test]
fn stores_reach_the_page_of_the_view_that_is_in_use() {
    // MOV [RBX], RCX after each switch; twice, the second time with all translations cached.
    let store = [0x48, 0x89, 0x0B];
    let again: Vec<u8> = [&switch(1)[..], &store, &switch(0), &store].concat();
    let mut guest = guest(&[&again[..], &again, &[0xF4]].concat(), DATA);
    guest.write(DATA, 7);
    guest.write(HIDDEN, 7);
    guest.bench.cpu.gpr[3] = DATA;
    guest.expect(ExitReason::Hlt);
    assert_eq!((guest.read(DATA), guest.read(HIDDEN)), (0, 1));
}

#[test]
fn code_of_the_other_view_runs_from_the_instruction_after_vmfunc_on() {
    // In a loop of EDX passes, so that blocks and links of both views are known: view 1 adds 1 to EBX where view 0
    // adds 100h.
    let pass = |add: u32| -> Vec<u8> {
        let add = [&[0x81, 0xC3][..], &add.to_le_bytes()].concat();
        let body = [&switch(1)[..], &add, &switch(0), &add, &[0xFF, 0xCA]].concat();
        let back = 0u8.wrapping_sub(body.len() as u8 + 2);
        [&body[..], &[0x75, back, 0xF4]].concat()
    };
    let mut guest = guest(&pass(0x100), CODE);
    guest.bench.ram.dma_write(HIDDEN | CODE & 0xFFF, &pass(1));
    (guest.bench.cpu.gpr[3], guest.bench.cpu.gpr[2]) = (0, 5);
    guest.expect(ExitReason::Hlt);
    assert_eq!(guest.bench.cpu.gpr[3], 0x505);
}

#[test]
fn translation_made_after_a_switch_belongs_to_the_view_that_is_in_use() {
    // Read in view 0, in view 1, and again in view 1 after a VM exit; meanwhile its EPT entry changes and nothing is
    // invalidated.
    let look = [0x48, 0x8B, 0x13, 0x48, 0x89, 0x16, 0x48, 0x83, 0xC6, 0x08];
    let code: Vec<u8> = [&look[..], &switch(1), &look, &[0x0F, 0xA2], &look, &[0xF4]].concat();
    let mut guest = guest(&code, DATA);
    guest.secondary(SecondaryProcessorControls::ENABLE_VPID);
    guest.set(Field::Vpid, 1);
    guest.write(DATA, 1);
    guest.write(HIDDEN, 2);
    let results = PAGES + 0x1000;
    (guest.bench.cpu.gpr[3], guest.bench.cpu.gpr[6]) = (DATA, results);
    guest.expect(ExitReason::Cpuid);
    let next = guest.get(Field::GuestRip) + 2;
    guest.set(Field::GuestRip, next);
    guest.write(OTHER + 0x3000 + (DATA >> 12) * 8, DATA | 0x337);
    guest.expect(ExitReason::Hlt);
    assert_eq!([0, 1, 2].map(|n| guest.read(results + 8 * n)), [1, 2, 2]);
}

#[test]
fn switch_to_another_page_walk_length_is_a_vm_exit() {
    let mut guest = guest(&[&switch(1)[..], &[0xF4]].concat(), DATA);
    // Five levels: valid for a VM entry.
    guest.write(PAGES + 8, OTHER | 0x66);
    guest.expect(ExitReason::Vmfunc);
    assert_eq!(guest.get(Field::EptPointer), EPT | 0x5E);
    assert_eq!(guest.get(Field::VmExitInstructionLength), 3);
    let top = OTHER + 0x9000;
    guest.write(top, OTHER | 7);
    guest.set(Field::EptPointer, top | 0x66);
    guest.write(PAGES + 8, EPT | 0x5E);
    guest.expect(ExitReason::Vmfunc);
    guest.write(PAGES + 8, top | 0x66);
    guest.expect(ExitReason::Hlt);
}

/// MOV RDX, [RBX]; MOV [RSI], RDX; ADD RSI, 8
const LOOK: [u8; 10] = [0x48, 0x8B, 0x13, 0x48, 0x89, 0x16, 0x48, 0x83, 0xC6, 0x08];

// 28.5.7.3 "EPTP Switching": without "enable VPID" the combined mappings of VPID 0000H go, of every hierarchy.
#[test]
fn switch_forgets_the_mappings_of_vpid_0_and_none_of_another() {
    for vpid in [0, 1] {
        // Data of view 0; then MOV [RDI], R8 moves its page, and two switches lead back.
        let store = [0x4C, 0x89, 0x07];
        let code = [&LOOK[..], &store, &switch(1), &switch(0), &LOOK, &[0xF4]].concat();
        let mut guest = guest(&code, DATA);
        if vpid != 0 {
            guest.secondary(SecondaryProcessorControls::ENABLE_VPID);
            guest.set(Field::Vpid, vpid);
        }
        guest.write(DATA, 1);
        guest.write(HIDDEN, 2);
        let results = PAGES + 0x1000;
        let gpr = &mut guest.bench.cpu.gpr;
        (gpr[3], gpr[6], gpr[7], gpr[8]) = (DATA, results, EPT + 0x3000 + (DATA >> 12) * 8, HIDDEN | 0x337);
        guest.expect(ExitReason::Hlt);
        assert_eq!([0, 1].map(|n| guest.read(results + 8 * n)), [1, if vpid == 0 { 2 } else { 1 }]);
    }
}

// The same section: where the processor has the field, "EPT-violation #VE" or not.
#[test]
fn switch_writes_the_eptp_index_without_virtualization_exceptions_too() {
    let mut guest = guest(&[&switch(1)[..], &[0xF4]].concat(), DATA);
    guest.set(Field::EptpIndex, 7);
    guest.expect(ExitReason::Hlt);
    assert_eq!((guest.get(Field::EptpIndex), guest.get(Field::EptPointer)), (1, OTHER | 0x5E));
}
