//! Performance monitoring in VMX operation: IA32_PERF_GLOBAL_CTRL in VM entries and VM exits (SDM Vol. 3C 27.3.2.1 "Loading
//! Guest Control Registers, Debug Registers, and MSRs", 28.3.1 "Saving Control Registers, Debug Registers, and MSRs", 28.5.1
//! "Loading Host Control Registers, Debug Registers, MSRs").

use crate::guest::*;
use emu_core::lapic::Lvt;
use emu_vmx::arch::msr::*;
use emu_vmx::arch::vector;
use emu_vmx::controls::*;
use emu_vmx::exit::ExitReason;
use emu_vmx::field::Field;

/// IA32_PERFEVTSELx: instructions retired at every privilege level.
const INSTRUCTIONS: u64 = 0x0043_00C0;
const INT: u64 = 1 << 20;
/// Four NOPs; HLT, which exits.
const CODE_OF_FOUR: [u8; 5] = [0x90, 0x90, 0x90, 0x90, 0xF4];

fn write(guest: &mut Guest, number: u32, value: u64) {
    guest.bench.with_env(|cpu, env| cpu.write_msr(env, number, value)).expect("the model has it");
}

fn read(guest: &Guest, number: u32) -> u64 {
    guest.bench.cpu.read_msr_quiet(number).expect("the model has it")
}

fn exits(guest: &mut Guest, controls: VmExitControls) {
    guest.or(Field::VmExitControls, controls.bits().into());
}

fn entries(guest: &mut Guest, controls: VmEntryControls) {
    guest.or(Field::VmEntryControls, controls.bits().into());
}

/// A guest beside whose counter 0, for the guest, there is counter 1, for the VMM.
fn guest_with_a_counter() -> Guest {
    let mut guest = Guest::new(&CODE_OF_FOUR);
    entries(&mut guest, VmEntryControls::LOAD_IA32_PERF_GLOBAL_CTRL);
    exits(&mut guest, VmExitControls::LOAD_IA32_PERF_GLOBAL_CTRL);
    guest.set(Field::GuestIa32PerfGlobalCtrl, 1);
    guest.set(Field::HostIa32PerfGlobalCtrl, 2);
    write(&mut guest, IA32_PERFEVTSEL0, INSTRUCTIONS);
    write(&mut guest, IA32_PERFEVTSEL0 + 1, INSTRUCTIONS);
    write(&mut guest, IA32_PERF_GLOBAL_CTRL, 2);
    guest
}

#[test]
fn perf_global_ctrl_is_loaded_by_entry_and_exit_and_counts_each_side_for_itself() {
    let mut guest = guest_with_a_counter();
    guest.expect(ExitReason::Hlt);
    // HLT has not retired; VMLAUNCH and the VMM's HLT have.
    assert_eq!([IA32_PMC0, IA32_PMC0 + 1].map(|n| read(&guest, n)), [4, 2]);
    assert_eq!(read(&guest, IA32_PERF_GLOBAL_CTRL), 2);
    assert_eq!(guest.get(Field::GuestIa32PerfGlobalCtrl), 1, "it was not to be saved");
}

#[test]
fn perf_global_ctrl_stays_without_the_controls_and_is_saved_with_one() {
    for save in [false, true] {
        let mut guest = Guest::new(&CODE_OF_FOUR);
        guest.set(Field::GuestIa32PerfGlobalCtrl, 4);
        guest.set(Field::HostIa32PerfGlobalCtrl, 8);
        write(&mut guest, IA32_PERFEVTSEL0, INSTRUCTIONS);
        write(&mut guest, IA32_PERF_GLOBAL_CTRL, 0x7_0000_00FF);
        if save {
            exits(&mut guest, VmExitControls::SAVE_IA32_PERF_GLOBAL_CTRL);
        }
        guest.expect(ExitReason::Hlt);
        assert_eq!((read(&guest, IA32_PERF_GLOBAL_CTRL), read(&guest, IA32_PMC0)), (0x7_0000_00FF, 6));
        assert_eq!(guest.get(Field::GuestIa32PerfGlobalCtrl), if save { 0x7_0000_00FF } else { 4 });
    }
}

/// SDM Vol. 3C 26.1.3 "Instructions That Cause VM Exits Conditionally": "RDPMC exiting". #GP comes first.
#[test]
fn rdpmc_exits_with_its_control_and_reads_without() {
    let code = [0xB9, 0, 0, 0, 0, 0x0F, 0x33, 0xF4];
    let mut guest = Guest::new(&code);
    write(&mut guest, IA32_A_PMC0, 77);
    guest.expect(ExitReason::Hlt);
    assert_eq!(guest.bench.cpu.gpr[0], 77);
    let mut guest = Guest::new(&code);
    guest.primary(PrimaryProcessorControls::RDPMC_EXITING);
    guest.expect(ExitReason::Rdpmc);
    assert_eq!(guest.get(Field::VmExitInstructionLength), 2);
    let mut guest = Guest::new(&[0xB9, 0x40, 0, 0, 0, 0x0F, 0x33, 0xF4]);
    guest.expect_vector(vector::GP);
}

/// A performance-monitoring interrupt in the guest is an interrupt, or an NMI, like any other.
#[test]
fn performance_interrupt_of_a_guest_exits_as_the_controls_of_interrupts_say() {
    for (entry, exiting, reason) in [
        (0x60, PinBasedControls::EXTERNAL_INTERRUPT_EXITING, ExitReason::ExternalInterrupt),
        (0x400, PinBasedControls::NMI_EXITING, ExitReason::ExceptionOrNmi),
    ] {
        let mut guest = guest_with_a_counter();
        guest.pin(exiting);
        guest.bench.cpu.lapic.svr = 0x1FF;
        guest.bench.cpu.lapic.lvt[Lvt::PerformanceCounter as usize] = entry;
        write(&mut guest, IA32_PERFEVTSEL0, INSTRUCTIONS | INT);
        write(&mut guest, IA32_A_PMC0, (1 << 48) - 3);
        guest.expect(reason);
        assert_eq!((guest.get(Field::GuestRip), read(&guest, IA32_PERF_GLOBAL_STATUS)), (CODE + 3, 1));
        assert_eq!((read(&guest, IA32_PMC0), read(&guest, IA32_PERF_GLOBAL_CTRL)), (0, 2));
    }
}

/// With “load debug controls” of the entry and “save debug controls” of the exit, freezing is the guest's.
#[test]
fn performance_interrupt_freezes_by_the_guests_debugctl() {
    let mut guest = guest_with_a_counter();
    entries(&mut guest, VmEntryControls::LOAD_DEBUG_CONTROLS);
    guest.set(Field::GuestIa32Debugctl, 1 << 12);
    write(&mut guest, IA32_PERFEVTSEL0, INSTRUCTIONS | INT);
    write(&mut guest, IA32_A_PMC0, (1 << 48) - 3);
    guest.expect(ExitReason::Hlt);
    assert_eq!((read(&guest, IA32_PMC0), read(&guest, IA32_PERF_GLOBAL_STATUS)), (0, 1 << 59 | 1));
    // CTR_FRZ is no part of what entries and exits load.
    assert_eq!(read(&guest, IA32_PMC0 + 1), 1);
}

/// SDM Vol. 3C 28.5.1: VM exits clear IA32_DEBUGCTL, and what the guest has counted until then is judged by its own.
#[test]
fn overflow_on_the_way_between_guest_and_vmm_is_judged_by_the_side_it_came_on() {
    const CYCLES: u64 = 0x0043_003C;
    // VMLAUNCH, four NOPs, the VM exit, HLT of the VMM: a cycle each.
    for left in 1..=7u64 {
        let mut guest = Guest::new(&CODE_OF_FOUR);
        entries(&mut guest, VmEntryControls::LOAD_DEBUG_CONTROLS);
        guest.set(Field::GuestIa32Debugctl, 1 << 12);
        write(&mut guest, IA32_PERFEVTSEL0, CYCLES | INT);
        write(&mut guest, IA32_A_PMC0, (1 << 48) - left);
        write(&mut guest, IA32_PERF_GLOBAL_CTRL, 1);
        guest.expect(ExitReason::Hlt);
        let frozen = (2..=6).contains(&left);
        assert_eq!(read(&guest, IA32_PERF_GLOBAL_STATUS), 1 | u64::from(frozen) << 59, "{left}");
    }
}
