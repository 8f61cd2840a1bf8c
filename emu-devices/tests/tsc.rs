//! The time-stamp counters of several processors agree: who reads after another does not read less
//! (SDM Vol. 3B 19.17.4, "Invariant Time-Keeping").

use emu_core::state::cpu::Cpu;
use emu_core::state::system::Activity;
use emu_devices::pc::{DEFAULT_QUANTUM, Pc, PcExit};
use emu_vmx::arch::cr::Cr0;
use emu_vmx::arch::segment::{AccessRights, Segment, SegmentRegister};

const CODE: u64 = 0x1_0000;
const LAST: u64 = 0x3004;
const WARPS: u64 = 0x3008;
/// How often each processor has read.
const READINGS: u64 = 0x300C;

/// Takes a lock, reads the counter, compares it with the last reading of anybody, counts, and again.
const RACE: &[u8] = &[
    0xB8, 0x01, 0x00, 0x00, 0x00, // lock: mov eax, 1
    0x87, 0x05, 0x00, 0x30, 0x00, 0x00, // xchg [3000h], eax
    0x85, 0xC0, // test eax, eax
    0x75, 0xF1, // jnz lock
    0x0F, 0x31, // rdtsc
    0x3B, 0x05, 0x04, 0x30, 0x00, 0x00, // cmp eax, [LAST]
    0x73, 0x06, // jae ok
    0xFF, 0x05, 0x08, 0x30, 0x00, 0x00, // inc dword [WARPS]
    0xA3, 0x04, 0x30, 0x00, 0x00, // ok: mov [LAST], eax
    0xFF, 0x04, 0x9D, 0x0C, 0x30, 0x00, 0x00, // inc dword [READINGS + 4 * ebx]
    0xC7, 0x05, 0x00, 0x30, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, // mov dword [3000h], 0
    0xEB, 0xC9, // jmp lock
];

/// Flat 32-bit protected mode, at `CODE`.
fn protected_mode(cpu: &mut Cpu, number: u64) {
    let flat = |rights: u32| Segment {
        selector: 8,
        base: 0,
        limit: u32::MAX,
        access_rights: AccessRights::from_bits_retain(rights),
    };
    cpu.sys.cr0 |= Cr0::PE;
    for register in SegmentRegister::USER {
        cpu.sys.segments[register as usize] = flat(if register == SegmentRegister::Cs { 0xC09B } else { 0xC093 });
    }
    cpu.sys.activity = Activity::Active;
    cpu.gpr[3] = number;
    cpu.set_rip(CODE);
    cpu.refresh();
    cpu.refresh_attention();
}

fn machine(processors: u32) -> Pc {
    let mut pc = Pc::builder().processors(processors).memory(2 << 20).build().expect("the host has memory");
    pc.ram.dma_write(CODE, RACE);
    (0..).zip(&mut pc.cpus).for_each(|(number, cpu)| protected_mode(cpu, number));
    pc
}

fn word(pc: &Pc, at: u64) -> u32 {
    let mut word = [0; 4];
    pc.read_physical(at, &mut word).expect("RAM");
    u32::from_le_bytes(word)
}

#[test]
fn processors_that_read_their_counters_in_turn_never_read_less_than_before() {
    for processors in [1, 2, 3, 5] {
        let mut pc = machine(processors);
        assert_eq!(pc.run_until(300_500), PcExit::Limit);
        let readings: Vec<u32> = (0..u64::from(processors)).map(|n| word(&pc, READINGS + 4 * n)).collect();
        assert!(readings.iter().all(|count| *count > 100), "each gets the lock: {readings:?}");
        assert_eq!(word(&pc, WARPS), 0, "{processors} processors");
        // No counter runs away from the machine's clock.
        let behind = pc.now() - u64::from(word(&pc, LAST));
        assert!(behind <= DEFAULT_QUANTUM, "{behind}");
        assert!(pc.cpus.iter().all(|cpu| cpu.tsc() <= pc.now().next_multiple_of(DEFAULT_QUANTUM)));
    }
}

#[test]
fn counters_are_the_same_however_the_run_is_cut() {
    let mut whole = machine(3);
    assert_eq!(whole.run_until(20_000), PcExit::Limit);
    let mut cut = machine(3);
    let mut at = 0;
    while at < 20_000 {
        at = (at + 1 + at * 7 % 93).min(20_000);
        assert_eq!(cut.run_until(at), PcExit::Limit);
    }
    assert_eq!(whole.state_hash(), cut.state_hash());
}

#[test]
fn counters_of_processors_that_are_reset_in_the_middle_of_a_turn_start_together() {
    let mut pc = machine(3);
    assert_eq!(pc.run_until(10_400), PcExit::Limit);
    let clocks: Vec<u64> = pc.cpus.iter().map(|cpu| cpu.cycles).collect();
    assert!(clocks.iter().any(|clock| *clock != clocks[0]), "{clocks:?}");
    pc.reset();
    assert!(pc.cpus.iter().all(|cpu| cpu.tsc() == 0));
    assert_eq!(pc.run_until(30_000), PcExit::Limit);
    let counters: Vec<u64> = pc.cpus.iter().map(|cpu| cpu.cycles.wrapping_add(cpu.sys.tsc_offset)).collect();
    assert!(counters.iter().all(|counter| counter.abs_diff(counters[0]) <= DEFAULT_QUANTUM), "{counters:?}");
}
