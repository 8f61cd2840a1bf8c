//! What a guest finds enabled besides its mode: control-flow enforcement and performance monitoring, as a system could
//! have set them up, and shadow stacks that its instructions can use.

use crate::Source;
use crate::tables::{Paging, at};
use emu_core::lapic::Lvt;
use emu_core::mem::ram::Ram;
use emu_core::state::cpu::{Cpu, Env};
use emu_core::testing::BareBus;
use emu_vmx::arch::cet;
use emu_vmx::arch::cr::{Cr0, Cr4};
use emu_vmx::arch::msr::*;

/// Bits of IA32_U_CET and IA32_S_CET in their usual combinations.
const ENFORCED: [u64; 8] = [
    cet::SHADOW_STACK,
    cet::SHADOW_STACK,
    cet::SHADOW_STACK | cet::WRITE,
    cet::SHADOW_STACK | cet::WRITE | cet::ENDBRANCH,
    cet::ENDBRANCH,
    cet::ENDBRANCH | cet::NO_TRACK | cet::TRACKER,
    cet::ENDBRANCH | cet::LEGACY | at::DATA,
    cet::SHADOW_STACK | cet::ENDBRANCH | cet::LEGACY | cet::SUPPRESS_DISABLE | at::PAGING,
];

/// What IA32_PERFEVTSELx can select: the architectural events, one that never happens, and no event.
const EVENTS: [u64; 8] = [0x3C, 0xC0, 0xC0, 0xC4, 0xC4, 0x013C, 0x412E, 0x00];

/// IA32_PERFEVTSELx besides the event: USR, OS and EN, with E, PC, INT, INV and CMASK.
const SELECTS: [u64; 10] = [
    0x43 << 16,
    0x53 << 16,
    0x53 << 16,
    0x51 << 16,
    0x52 << 16,
    0x57 << 16,
    1 << 24 | 0x53 << 16,
    1 << 24 | 0x57 << 16,
    1 << 24 | 0xD3 << 16,
    2 << 24 | 0xD7 << 16,
];

/// IA32_DEBUGCTL: LBR, FREEZE_LBRS_ON_PMI, FREEZE_PERFMON_ON_PMI, both.
const FREEZES: [u64; 5] = [0, 1 << 12, 1 << 12, 1 << 0 | 1 << 11, 1 << 0 | 3 << 11];

/// The local APIC's performance-counter entry: NMI, fixed with vectors, masked, SMI.
const ENTRIES: [u32; 6] = [0x400, 0x400, 0x50, 0x2F, 0x1_0400, 0x200];

/// Fills the pages of the shadow stacks: tokens of the supervisor at the end of each 32 bytes, free or busy, between them
/// tokens of RSTORSSP and return addresses.
pub fn fill_shadow_stacks(source: &mut Source, ram: &mut Ram, long: bool) {
    for page in [at::SHADOW, at::USER_SHADOW] {
        for address in (page..page + 0x1000).step_by(8) {
            let value = match (address >> 3 & 3, source.below(4)) {
                (3, 0) => address | cet::BUSY,
                (3, _) => address,
                (0, 0) => (address + 8) | 2 | u64::from(long),
                (0, _) => (address + 8) | u64::from(long),
                (_, 0) => address,
                (_, 1) => source.value(),
                _ => at::CODE + source.below(0x400),
            };
            ram.dma_write(address, &value.to_le_bytes());
        }
    }
    for n in 0..8 {
        ram.dma_write(at::SHADOW_TABLE + 8 * n, &(at::SHADOW + 0x18 + 0x20 * source.below(0x80)).to_le_bytes());
    }
    ram.dma_write(at::TSS2 + 0x68, &(at::SHADOW as u32 + 0x818).to_le_bytes());
}

/// Marks the pages of the shadow stacks as such: dirty, not writable, of their mode.
fn map_shadow_stacks(ram: &mut Ram, paging: Paging) {
    for (page, user) in [(at::SHADOW, 0), (at::USER_SHADOW, 4)] {
        let (number, entry) = (page >> 12, page | 0x61 | user);
        match paging {
            Paging::None => {}
            Paging::Bits32 => ram.dma_write(at::LEAF + 4 * number, &(entry as u32).to_le_bytes()),
            _ => ram.dma_write(at::LEAF + 8 * number, &entry.to_le_bytes()),
        }
    }
}

/// CET for a processor that has it and whose other control registers are set: not always, and then with CR0.WP.
pub fn control_flow(source: &mut Source, cpu: &mut Cpu, ram: &mut Ram, paging: Paging) {
    if !cpu.cr4_supported().contains(Cr4::CET) || !source.chance(35) {
        return;
    }
    map_shadow_stacks(ram, paging);
    let user = cpu.sys.cpl == 3;
    let sys = &mut cpu.sys;
    sys.cr0 |= Cr0::WP;
    sys.cr4 |= Cr4::CET;
    sys.cet.user = source.pick(&ENFORCED);
    sys.cet.supervisor = source.pick(&ENFORCED);
    let page = if user == source.chance(95) { at::USER_SHADOW } else { at::SHADOW };
    sys.cet.ssp = page + source.below(0x400) * 4;
    for (n, ssp) in sys.cet.ssps.iter_mut().enumerate() {
        let page = if n == 3 { at::USER_SHADOW } else { at::SHADOW };
        *ssp = page + if source.chance(85) { 0x18 + 0x20 * source.below(0x80) } else { 4 * source.below(0x400) };
    }
    sys.cet.interrupt_table = at::SHADOW_TABLE;
}

/// Counters that run, many of them shortly before they overflow, and what an overflow does. Registers that the model does
/// not have stay away.
pub fn counters(source: &mut Source, cpu: &mut Cpu, ram: &mut Ram) {
    let model = *cpu.config.model.pmu();
    if model.version == 0 || !source.chance(60) {
        return;
    }
    cpu.lapic.lvt[Lvt::PerformanceCounter as usize] = source.pick(&ENTRIES);
    cpu.lapic.svr = 0x1FF;
    let mut writes = Vec::new();
    for n in 0..1 + source.below(3) as u32 {
        let n = if source.chance(80) { n } else { source.below(model.general.into()) as u32 };
        let near = 0u64.wrapping_sub(source.below(400));
        writes.push((if model.full_writes { IA32_A_PMC0 } else { IA32_PMC0 } + n, near));
        writes.push((IA32_PERFEVTSEL0 + n, source.pick(&EVENTS) | source.pick(&SELECTS)));
    }
    for n in 0..u32::from(model.fixed) {
        writes.push((IA32_FIXED_CTR0 + n, 0u64.wrapping_sub(source.below(600))));
    }
    writes.push((IA32_FIXED_CTR_CTRL, source.bits(2)));
    let enabled = if source.chance(85) { u64::MAX } else { source.bits(8) };
    writes.push((IA32_PERF_GLOBAL_CTRL, enabled));
    writes.push((IA32_DEBUGCTL, source.pick(&FREEZES)));
    let (mut bus, mut outbox) = (BareBus::default(), Vec::new());
    let mut env = Env { ram, bus: &mut bus, outbox: &mut outbox };
    for (number, value) in writes {
        let value = value & writable(cpu, number);
        // A register that is not there is none to write.
        let _ = cpu.write_msr(&mut env, number, value);
    }
}

/// Branches are recorded, more often than not by what a model has and with some of it filtered out.
pub fn last_branches(source: &mut Source, cpu: &mut Cpu, ram: &mut Ram) {
    let Some(model) = cpu.config.model.lbr().copied() else { return };
    if !source.chance(40) {
        return;
    }
    let debugctl = cpu.sys.debugctl | 1;
    let filter = if source.chance(50) { 0 } else { source.bits(10) };
    let depth = source.pick(&[8, 16, 32]);
    let writes = match model.is_architectural() {
        true => {
            vec![(IA32_LBR_DEPTH, depth), (IA32_LBR_CTL, (0x7F_0006 ^ (filter << 16 | filter >> 7)) & 0x7F_000F | 1)]
        }
        false => vec![
            (MSR_LBR_SELECT, filter & model.select),
            (MSR_LASTBRANCH_TOS, depth / 3 % u64::from(model.entries)),
            (IA32_DEBUGCTL, debugctl),
        ],
    };
    let (mut bus, mut outbox) = (BareBus::default(), Vec::new());
    let mut env = Env { ram, bus: &mut bus, outbox: &mut outbox };
    for (number, value) in writes {
        // A register that is not there is none to write.
        let _ = cpu.write_msr(&mut env, number, value);
    }
}

/// The bits of a register of performance monitoring that are not reserved.
fn writable(cpu: &Cpu, number: u32) -> u64 {
    let model = cpu.config.model.pmu();
    match number {
        IA32_A_PMC0..=IA32_A_PMC7 => u64::MAX >> (64 - model.width),
        IA32_FIXED_CTR0..=IA32_FIXED_CTR2 => u64::MAX >> (64 - model.fixed_width),
        IA32_FIXED_CTR_CTRL => 0xBBB & ((1 << (4 * model.fixed)) - 1),
        IA32_PERF_GLOBAL_CTRL => model.global_mask(),
        _ => u64::MAX,
    }
}
