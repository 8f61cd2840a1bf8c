//! Last branch records in VMX operation: IA32_DEBUGCTL and IA32_LBR_CTL in VM entries and VM exits (SDM Vol. 3C 27.3.2.1
//! "Loading Guest Control Registers, Debug Registers, and MSRs", 28.3.1 "Saving Control Registers, Debug Registers, and MSRs",
//! 28.5.1 "Loading Host Control Registers, Debug Registers, MSRs"), and the registers in MSR lists.

use super::guest::*;
use emu_vmx::arch::msr::*;
use emu_vmx::controls::*;
use emu_vmx::exit::ExitReason;
use emu_vmx::field::Field;

/// jmp to the next instruction; HLT, which exits.
const JUMP: [u8; 3] = [0xEB, 0x00, 0xF4];
/// IA32_LBR_CTL: everything, and all but LBREn.
const EVERYTHING: u64 = 0x7F_0007;

fn write(guest: &mut Guest, number: u32, value: u64) {
    guest.bench.with_env(|cpu, env| cpu.write_msr(env, number, value)).expect("the model has it");
}

fn read(guest: &Guest, number: u32) -> u64 {
    guest.bench.cpu.read_msr_quiet(number).expect("the model has it")
}

/// A guest whose processor has a stack of last branch records.
fn with_stack(code: &[u8]) -> Guest {
    let mut guest = Guest::new(code);
    guest.keep_branches("sandy_bridge");
    guest
}

/// (from, to) behind [`CODE`], the newest first, of a stack of 16 or of the architectural records.
fn recorded(guest: &Guest) -> Vec<(u64, u64)> {
    let lbr = &guest.bench.cpu.lbr;
    let all = (0..lbr.depth).map(|age| lbr.record(age)).take_while(|record| record.to != 0);
    all.map(|record| (record.from.wrapping_sub(CODE), record.to.wrapping_sub(CODE))).collect()
}

#[test]
fn entry_loads_and_exit_saves_and_clears_debugctl_lbr() {
    let mut guest = with_stack(&JUMP);
    guest.or(Field::VmEntryControls, VmEntryControls::LOAD_DEBUG_CONTROLS.bits().into());
    guest.or(Field::VmExitControls, VmExitControls::SAVE_DEBUG_CONTROLS.bits().into());
    guest.set(Field::GuestIa32Debugctl, 1);
    guest.expect(ExitReason::Hlt);
    // Neither VM entry nor VM exit is a branch.
    assert_eq!(recorded(&guest), [(0, 2)]);
    assert_eq!((read(&guest, IA32_DEBUGCTL), guest.get(Field::GuestIa32Debugctl)), (0, 1));
    assert!(!guest.bench.cpu.derived.records_branches);
}

#[test]
fn entry_without_the_control_keeps_debugctl_and_the_exit_clears_it() {
    let mut guest = with_stack(&JUMP);
    let entry = guest.get(Field::VmEntryControls) & !u64::from(VmEntryControls::LOAD_DEBUG_CONTROLS.bits());
    guest.set(Field::VmEntryControls, entry);
    write(&mut guest, IA32_DEBUGCTL, 1);
    guest.expect(ExitReason::Hlt);
    assert_eq!(recorded(&guest), [(0, 2)]);
    assert_eq!(read(&guest, IA32_DEBUGCTL), 0);
}

#[test]
fn event_that_is_injected_is_recorded_and_one_that_exits_is_not() {
    let mut guest = with_stack(&[0x0F, 0x0B]);
    guest.or(Field::VmEntryControls, VmEntryControls::LOAD_DEBUG_CONTROLS.bits().into());
    guest.set(Field::GuestIa32Debugctl, 1);
    // #GP with an error code is injected; the handler halts, which exits.
    guest.set(Field::VmEntryInterruptionInformation, 0x8000_0B0D);
    guest.expect(ExitReason::Hlt);
    assert_eq!(recorded(&guest), [(0, HANDLERS + 13 - CODE)]);
    // Of #DB, too (SDM Vol. 3C 29.6.1.1, "Details of Vectored-Event Injection"), where the flag stays.
    for information in [0x8000_0301, 0x8000_0501] {
        let mut guest = with_stack(&[0x0F, 0x0B]);
        guest.or(Field::VmEntryControls, VmEntryControls::LOAD_DEBUG_CONTROLS.bits().into());
        guest.or(Field::VmExitControls, VmExitControls::SAVE_DEBUG_CONTROLS.bits().into());
        guest.set(Field::GuestIa32Debugctl, 1);
        guest.set(Field::VmEntryInterruptionInformation, information);
        guest.set(Field::VmEntryInstructionLength, 1);
        guest.expect(ExitReason::Hlt);
        assert_eq!(recorded(&guest), [(0, HANDLERS + 1 - CODE)], "{information:X}");
        assert_eq!(guest.get(Field::GuestIa32Debugctl), 1, "{information:X}");
    }
    let mut guest = with_stack(&[0xEB, 0x00, 0x0F, 0x0B]);
    guest.or(Field::VmEntryControls, VmEntryControls::LOAD_DEBUG_CONTROLS.bits().into());
    guest.set(Field::GuestIa32Debugctl, 1);
    guest.set(Field::ExceptionBitmap, 1 << 6);
    guest.expect(ExitReason::ExceptionOrNmi);
    assert_eq!(recorded(&guest), [(0, 2)]);
}

#[test]
fn lbr_ctl_is_loaded_by_entry_saved_by_exit_and_cleared_with_the_control() {
    for (load, clear) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut guest = Guest::new(&JUMP);
        if load {
            guest.or(Field::VmEntryControls, VmEntryControls::LOAD_GUEST_IA32_LBR_CTL.bits().into());
        }
        if clear {
            guest.or(Field::VmExitControls, VmExitControls::CLEAR_IA32_LBR_CTL.bits().into());
        }
        write(&mut guest, IA32_LBR_CTL, EVERYTHING & !1);
        guest.set(Field::GuestIa32LbrCtl, EVERYTHING);
        guest.expect(ExitReason::Hlt);
        let runs = if load { EVERYTHING } else { EVERYTHING & !1 };
        assert_eq!(recorded(&guest).len(), usize::from(load), "{load} {clear}");
        assert_eq!(guest.get(Field::GuestIa32LbrCtl), runs, "{load} {clear}: it is saved");
        assert_eq!(read(&guest, IA32_LBR_CTL), if clear { 0 } else { runs }, "{load} {clear}");
    }
}

#[test]
fn lists_of_msrs_load_and_store_records() {
    let mut guest = with_stack(&JUMP);
    guest.or(Field::VmEntryControls, VmEntryControls::LOAD_DEBUG_CONTROLS.bits().into());
    guest.set(Field::GuestIa32Debugctl, 1);
    let lists = [
        (Field::VmEntryMsrLoadAddress, Field::VmEntryMsrLoadCount, [(MSR_LASTBRANCH_TOS, 4), (0x685, 0x1111)]),
        (Field::VmExitMsrStoreAddress, Field::VmExitMsrStoreCount, [(MSR_LASTBRANCH_TOS, 0), (0x685, 0)]),
        (Field::VmExitMsrLoadAddress, Field::VmExitMsrLoadCount, [(MSR_LASTBRANCH_TOS, 9), (0x6C5, 0x2222)]),
    ];
    for (n, (address, count, entries)) in lists.into_iter().enumerate() {
        let list = PAGES + 0x1000 + 0x100 * n as u64;
        for (n, (number, value)) in entries.into_iter().enumerate() {
            guest.write(list + 16 * n as u64, number.into());
            guest.write(list + 16 * n as u64 + 8, value);
        }
        guest.set(address, list);
        guest.set(count, 2);
    }
    guest.expect(ExitReason::Hlt);
    // The jump has gone to place 5.
    assert_eq!([guest.read(PAGES + 0x1108), guest.read(PAGES + 0x1118)], [5, CODE]);
    assert_eq!([MSR_LASTBRANCH_TOS, 0x685, 0x6C5].map(|number| read(&guest, number)), [9, CODE, 0x2222]);
}
