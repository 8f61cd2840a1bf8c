//! VMX: VM entries with random VMCSs, guests under random EPT, VMX instructions with random operands.

mod code;
mod machine;

use crate::Source;
use crate::guest::{SLACK, set_up};
use crate::tiers::{Tiers, Trail};
use emu_core::bus::ApicMessage;
use emu_core::run::RunExit;
use emu_core::state::cpu::Cpu;
use emu_core::state::system::Activity;
use emu_core::testing::Bench;
use emu_vmx::arch::cr::Cr4;
use emu_vmx::arch::segment::SegmentRegister;
use emu_vmx::caps::EptVpidCap;
use emu_vmx::checks::{self, CheckContext, EntryMoment, Failure};
use emu_vmx::field::{Field, Width};
use emu_vmx::vmcs::Vmcs;
use machine::{NO_REASON, at};

/// Instructions that a guest gets, as far as it lives.
const GUEST_INSTRUCTIONS: u64 = 1000;
/// Cycles that a guest and its VMM get at most: some guests exit at every instruction.
const GUEST_CYCLES: u64 = 20_000;
/// Cycles of a run that may have no guest.
const CYCLES: u64 = 3000;
/// How many cycles of a CPU model stand for one of these.
const MODEL_CYCLES: u64 = 10;
const ZF: u64 = 1 << 6;
const ENTRY_FAILURE: u64 = 1 << 31;

/// Random VMCS contents over a valid base: VM entry succeeds exactly if no rule of `emu-vmx` fails, and fails as the
/// rule says; then the guest and its VMM run.
pub fn vmx_entry(source: &mut Source) {
    vmx_entry_in(source, Tiers::INTERPRETED);
}

/// [`vmx_entry`] with what the runs have come to.
pub fn vmx_entry_in(source: &mut Source, tiers: Tiers) -> Trail {
    let mut bench = machine::host(source);
    bench.cache.set_tier(tiers.tier());
    let mut vmcs = machine::base_vmcs(source, &mut bench);
    let changes = source.pick(&[0, 0, 1, 1, 2, 4, 16]);
    for _ in 0..changes {
        change(source, &mut vmcs);
    }
    machine::host_code(source, &mut bench);
    machine::enter_root(&mut bench, vmcs);
    enter(&mut bench);
    run(source, &mut bench, GUEST_CYCLES, tiers)
}

/// Guests under EPT whose structures are random, or right with mistakes.
pub fn vmx_ept(source: &mut Source) {
    vmx_ept_in(source, Tiers::INTERPRETED);
}

/// [`vmx_ept`] with what the runs have come to.
pub fn vmx_ept_in(source: &mut Source, tiers: Tiers) -> Trail {
    let mut bench = machine::host(source);
    bench.cache.set_tier(tiers.tier());
    let mut vmcs = machine::base_vmcs(source, &mut bench);
    let Some(vmx) = bench.cpu.config.model.vmx().cloned() else { return Trail::default() };
    let secondary = vmcs.get(Field::SecondaryProcessorControls) | 2;
    vmcs.set(Field::SecondaryProcessorControls, vmx.caps.procbased_ctls2.adjust(secondary as u32).into());
    let primary = vmcs.get(Field::PrimaryProcessorControls) | 1 << 31;
    vmcs.set(Field::PrimaryProcessorControls, vmx.caps.primary().adjust(primary as u32).into());
    if vmx.caps.ept_vpid_cap.contains(EptVpidCap::ACCESSED_DIRTY) && source.chance(40) {
        vmcs.set(Field::EptPointer, vmcs.get(Field::EptPointer) | 1 << 6);
    }
    if source.chance(5) {
        vmcs.set(Field::EptPointer, vmcs.get(Field::EptPointer) ^ 1 << source.below(52));
    }
    if source.chance(30) {
        machine::sub_pages(source, &mut bench, &mut vmcs);
    }
    let mistakes = source.pick(&[0, 1, 4, 16, 64, 256, 1024]);
    for _ in 0..mistakes {
        let entries = source.pick(&[0x40, 0x40, 0x200]);
        let place = at::EPT + source.below(7) * 0x1000 + 8 * source.below(entries);
        let mut old = [0; 8];
        bench.ram.dma_read(place, &mut old);
        let old = u64::from_le_bytes(old);
        let value = match source.below(8) {
            0 => source.bits(8),
            1 => old & !7 | source.below(8),
            2 => old ^ 0x38 & source.bits(1),
            3 => old | 0x80,
            4 => old ^ 1 << source.below(64),
            5 => 0,
            6 => old & 0xFFF | source.below(0x400) << 12,
            _ => old | 0x300,
        };
        bench.ram.dma_write(place, &value.to_le_bytes());
    }
    machine::host_code(source, &mut bench);
    machine::enter_root(&mut bench, vmcs);
    enter(&mut bench);
    run(source, &mut bench, GUEST_CYCLES, tiers)
}

/// VMX instructions with random operands, before and in VMX operation, in 64-bit mode and in all the others.
pub fn vmx_instructions(source: &mut Source) {
    vmx_instructions_in(source, Tiers::INTERPRETED);
}

/// [`vmx_instructions`] with what the runs have come to.
pub fn vmx_instructions_in(source: &mut Source, tiers: Tiers) -> Trail {
    let mut bench = machine::host(source);
    bench.cache.set_tier(tiers.tier());
    if source.chance(70) {
        let vmcs = machine::base_vmcs(source, &mut bench);
        machine::host_code(source, &mut bench);
        machine::enter_root(&mut bench, vmcs);
    } else if source.chance(50) {
        machine::host_code(source, &mut bench);
    }
    if source.chance(15) {
        // Some other mode. Most of it is #UD.
        set_up(source, &mut bench.cpu, &mut bench.ram);
        bench.cpu.sys.cr4 |= Cr4::VMXE;
        bench.cpu.refresh();
    }
    let start = bench.cpu.sys.seg(SegmentRegister::Cs).base.wrapping_add(bench.cpu.rip());
    let length = 100 + source.below(400) as usize;
    let mut code = code::vmx_instructions(source, length);
    code.push(0xF4);
    if start < at::VMXON {
        bench.ram.dma_write(start, &code);
    }
    run(source, &mut bench, CYCLES, tiers)
}

/// A random field gets another value.
fn change(source: &mut Source, vmcs: &mut Vmcs) {
    let field = source.pick(Field::ALL);
    let old = vmcs.get(field);
    let bits = match field.width() {
        Width::W16 => 16,
        Width::W32 => 32,
        _ => 64,
    };
    let value = match source.below(6) {
        0 | 1 => old ^ 1 << source.below(bits),
        2 => code::address(source),
        3 => source.bits(8),
        4 => old.wrapping_add(1),
        _ => source.value(),
    };
    vmcs.set(field, value);
}

/// VMLAUNCH, judged by the rules.
fn enter(bench: &mut Bench) {
    let Some(vmx) = bench.cpu.config.model.vmx().cloned() else { return };
    let Some(vmcs) = bench.cpu.vmx.current().cloned() else { return };
    let mut now = EntryMoment { ia32e_mode: true, current_vmcs: at::VMCS, ..EntryMoment::default() };
    let mut in_ram = true;
    now.read_memory(&vmcs, &vmx.caps, &vmx.facts, |address| {
        let mut bytes = [0; 8];
        in_ram &= address < at::END;
        bench.ram.dma_read(address, &mut bytes);
        u64::from_le_bytes(bytes)
    });
    let context = CheckContext::new(&vmcs, &vmx.caps, &vmx.facts, &now);
    let failing = checks::failing(&context);
    bench.run(1);
    let after = bench.cpu.vmx.active.get(&at::VMCS).map_or(NO_REASON, |vmcs| vmcs.get(Field::ExitReason));
    let in_guest = bench.cpu.vmx.non_root.is_some();
    let entered = in_guest || after != NO_REASON && after & ENTRY_FAILURE == 0;
    if !in_ram || vmcs.get(Field::ExitReason) != NO_REASON || !bench.cpu.vmx.on() {
        // What lies outside RAM is not known here; a shutdown by a VMX abort leaves nothing to judge.
        return;
    }
    let Some(first) = failing.first() else {
        let failed = after == ENTRY_FAILURE | 33 || !entered && after == NO_REASON;
        assert!(!failed, "VM entry fails though no rule does: exit reason {after:#x}");
        return;
    };
    let ids: Vec<_> = failing.iter().map(|rule| rule.id).collect();
    assert!(!entered, "VM entry succeeds though {ids:?} fail");
    match first.failure() {
        Failure::VmFailValid(error) => {
            let number = bench.cpu.vmx.current().map_or(0, |vmcs| vmcs.get(Field::VmInstructionError));
            assert_eq!(number, u64::from(error.number()), "{ids:?}");
            assert_eq!(bench.cpu.flags.get() & ZF, ZF, "{ids:?}");
        }
        Failure::InvalidGuestState { qualification } => {
            let vmcs = bench.cpu.vmx.active.get(&at::VMCS);
            let found = vmcs.map_or(0, |vmcs| vmcs.get(Field::ExitQualification));
            assert_eq!((after, found), (ENTRY_FAILURE | 33, qualification), "{ids:?}");
        }
    }
}

/// Runs in goes until a guest has had [`GUEST_INSTRUCTIONS`], or for `cycles`.
fn run(source: &mut Source, bench: &mut Bench, cycles: u64, tiers: Tiers) -> Trail {
    let mut trail = Trail::default();
    tiers.set_clock(&mut bench.cpu, &mut bench.ram);
    let cycles = if bench.cpu.config.cycles.is_some() { cycles * MODEL_CYCLES } else { cycles };
    let end = bench.cpu.cycles + cycles;
    let mut in_guest = 0;
    for _ in 0..100 {
        if in_guest >= GUEST_INSTRUCTIONS || bench.cpu.cycles >= end {
            break;
        }
        let limit = bench.cpu.cycles + 1 + source.below(700);
        let (guest, exits, instructions) = moment(&bench.cpu);
        let exit = bench.run(limit - bench.cpu.cycles);
        trail.note(tiers, &bench.cpu);
        let after = moment(&bench.cpu);
        // Only goes that were the guest's alone.
        if guest && after.0 && exits == after.1 {
            in_guest += after.2.wrapping_sub(instructions);
        }
        assert!(bench.cpu.cycles <= limit + SLACK, "ran until {} instead of {limit}", bench.cpu.cycles);
        match exit {
            RunExit::Budget => assert!(bench.cpu.cycles >= limit, "back at {} before {limit}", bench.cpu.cycles),
            RunExit::Observer => panic!("nobody watches"),
            RunExit::Signals => {
                let messages: Vec<ApicMessage> = std::mem::take(&mut bench.outbox);
                assert!(!messages.is_empty(), "asked for the scheduler without a reason");
                for message in messages {
                    emu_core::lapic::route::deliver(std::slice::from_mut(&mut bench.cpu), Some(0), &message);
                }
            }
            RunExit::Stopped => {
                if bench.cpu.sys.activity != Activity::Hlt {
                    break;
                }
                bench.cpu.set_intr(true, true);
            }
        }
    }
    trail.end(tiers, &bench.ram);
    trail
}

/// Whether a guest runs, the VM exits so far, the instructions so far.
fn moment(cpu: &Cpu) -> (bool, u64, u64) {
    (cpu.vmx.non_root.is_some(), cpu.vmx.counts.exits.iter().sum(), cpu.instructions)
}
