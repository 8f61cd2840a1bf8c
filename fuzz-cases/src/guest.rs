//! Random guest code in every mode of operation.

use crate::instructions::code;
use crate::tables::{Paging, at, fill, fill_paging, selector};
use crate::tiers::{Tiers, Trail, any_parts};
use crate::{Source, board, features};
use emu_core::block::cache::CodeCache;
use emu_core::bus::ApicMessage;
use emu_core::cycles::parts::Parts;
use emu_core::cycles::table::Table;
use emu_core::flags;
use emu_core::mem::ram::Ram;
use emu_core::model::CpuModel;
use emu_core::run::RunExit;
use emu_core::state::cpu::{Cpu, Env};
use emu_core::state::system::{Activity, DescriptorTable};
use emu_core::testing::BareBus;
use emu_devices::pc::{Pc, PcConfig, PcExit};
use emu_vmx::arch::cr::{Cr0, Cr4};
use emu_vmx::arch::efer::Efer;
use emu_vmx::arch::segment::{AccessRights, Segment, SegmentRegister};
use std::sync::{Arc, OnceLock};

/// Modes of operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Real,
    /// Real-address mode with 4 GiB data segments.
    Unreal,
    Virtual8086,
    Protected16,
    Protected32,
    Compatibility,
    Long,
}

const MODES: [Mode; 8] = [
    Mode::Real,
    Mode::Unreal,
    Mode::Virtual8086,
    Mode::Protected16,
    Mode::Protected32,
    Mode::Protected32,
    Mode::Compatibility,
    Mode::Long,
];

/// How far past its limit a processor's clock may be when it comes back: the longest block, and one go of a repeated
/// instruction, which handles no more than a page.
pub const SLACK: u64 = 0x4_0000;

/// `max`, or the default model. They are parsed once.
pub fn model(max: bool) -> Arc<CpuModel> {
    models()[usize::from(max)].clone()
}

/// Mostly `max`, which has everything; the others have other versions of performance monitoring.
fn any_model(source: &mut Source) -> Arc<CpuModel> {
    if source.chance(65) { model(true) } else { source.pick(&[0, 0, 2, 3].map(|n| &models()[n])).clone() }
}

fn models() -> &'static [Arc<CpuModel>; 4] {
    static MODELS: OnceLock<[Arc<CpuModel>; 4]> = OnceLock::new();
    MODELS.get_or_init(|| {
        let named = |name| CpuModel::named(name).expect("it is built in");
        [CpuModel::default_model(), named("max"), named("penryn"), named("skylake_sp")].map(Arc::new)
    })
}

fn flat(selector: u16, rights: u32, cpl: u8) -> Segment {
    let access_rights = AccessRights::from_bits_retain(rights).with_dpl(cpl);
    Segment { selector: selector | u16::from(cpl), base: 0, limit: u32::MAX, access_rights }
}

/// Puts a processor into a mode with registers, tables and code as `source` says.
pub fn set_up(source: &mut Source, cpu: &mut Cpu, ram: &mut Ram) {
    let mode = source.pick(&MODES);
    let long = matches!(mode, Mode::Compatibility | Mode::Long);
    let paging = match mode {
        Mode::Real | Mode::Unreal => Paging::None,
        _ if long && source.chance(30) && cpu.cr4_supported().contains(Cr4::LA57) => Paging::Levels5,
        _ if long => Paging::Levels4,
        _ => source.pick(&[Paging::None, Paging::Bits32, Paging::Pae]),
    };
    let cpl = match mode {
        Mode::Real | Mode::Unreal => 0,
        Mode::Virtual8086 => 3,
        _ => source.pick(&[0, 0, 3, 3, 1]),
    };
    // One decision makes all tables: the input is for the code.
    let mut tables = Source::seeded(source.bits(3));
    fill(&mut tables, ram, long, cpl);
    let user = if cpl == 0 && source.chance(50) { 0 } else { 4 };
    let cr3 = fill_paging(&mut tables, ram, paging, user);
    features::fill_shadow_stacks(&mut tables, ram, mode == Mode::Long);

    let sys = &mut cpu.sys;
    sys.activity = Activity::Active;
    sys.gdtr = DescriptorTable { base: at::GDT, limit: if source.chance(90) { 0x1FF } else { source.bits(2) as u16 } };
    let idt_limit = if source.chance(90) { 0xFFF } else { source.bits(2) as u16 };
    sys.idtr = DescriptorTable { base: if mode == Mode::Real { 0 } else { at::IDT }, limit: idt_limit };
    if source.chance(4) {
        // Tables at the end of memory, of 4 GiB, of the canonical range.
        let base = source.value();
        let base = if long { (base as i64) << 16 >> 16 } else { i64::from(base as u32) } as u64;
        if source.chance(50) { sys.gdtr.base = base } else { sys.idtr.base = base }
    }
    let wanted = Cr4::from_bits_truncate(source.bits(4)) - Cr4::VMXE - Cr4::SMXE - Cr4::CET;
    // With pages of CPL 3 these leave nothing of a handler.
    let wanted = if user != 0 && source.chance(92) { wanted - Cr4::SMEP - Cr4::SMAP } else { wanted };
    let vmxe = if source.chance(25) { Cr4::VMXE } else { Cr4::empty() };
    let allowed = cpu.cr4_supported();
    let sys = &mut cpu.sys;
    sys.cr4 = ((wanted | vmxe) & allowed) - Cr4::PAE - Cr4::LA57 - Cr4::PCIDE;
    if !source.chance(20) {
        sys.cr4 |= (Cr4::OSFXSR | Cr4::OSXMMEXCPT | Cr4::OSXSAVE) & allowed;
    }
    match paging {
        Paging::None => {}
        Paging::Bits32 => sys.cr4 |= Cr4::PSE,
        Paging::Pae => sys.cr4 |= Cr4::PAE,
        Paging::Levels4 => sys.cr4 |= Cr4::PAE | wanted & allowed & Cr4::PCIDE,
        Paging::Levels5 => sys.cr4 |= Cr4::PAE | Cr4::LA57,
    }
    if sys.cr4.contains(Cr4::OSXSAVE) {
        sys.xcr0 = if cpu.config.model.name() == "max" { source.pick(&[1, 3, 7, 0xE7]) } else { source.pick(&[1, 3]) };
    }
    sys.cr0 = Cr0::ET;
    for (flag, percent) in [(Cr0::NE, 60), (Cr0::WP, 60), (Cr0::AM, 50), (Cr0::MP, 50), (Cr0::EM, 8), (Cr0::TS, 8)] {
        if source.chance(percent) {
            sys.cr0 |= flag;
        }
    }
    if !matches!(mode, Mode::Real | Mode::Unreal) {
        sys.cr0 |= Cr0::PE;
    }
    if paging != Paging::None {
        sys.cr0 |= Cr0::PG;
    }
    sys.cr3 = cr3;
    sys.efer = if source.chance(50) { Efer::SCE | Efer::NXE } else { Efer::empty() };
    if long {
        sys.efer |= Efer::LME | Efer::LMA;
    }
    sys.cpl = cpl;
    sys.pkru = if source.chance(20) { source.bits(4) as u32 } else { 0 };
    features::control_flow(source, cpu, ram, paging);
    let sys = &mut cpu.sys;
    for number in 0..4 {
        sys.dr[number] = if source.chance(20) { source.value() & if long { u64::MAX } else { 0xFFFF_FFFF } } else { 0 };
    }
    if source.chance(15) {
        sys.dr7 = emu_vmx::arch::cr::Dr7::from_write(source.bits(4));
    }
    sys.sysenter = [u64::from(selector::CODE32), at::STACK, at::CODE];
    sys.syscall = [(u64::from(selector::CODE32) << 32) | 0x23 << 48, at::CODE, at::CODE + 0x40, source.bits(2)];

    let (code_selector, code_rights, data_rights) = match mode {
        Mode::Protected16 => (selector::CODE16, 0x9B, 0x93),
        Mode::Long => (selector::CODE64, 0xA09B, 0xC093),
        _ => (selector::CODE32, 0xC09B, 0xC093),
    };
    let start = at::CODE + source.below(0x400) * u64::from(source.chance(20));
    for register in SegmentRegister::USER {
        let segment = match mode {
            Mode::Real | Mode::Unreal | Mode::Virtual8086 => {
                let (base, rights) = match register {
                    SegmentRegister::Cs => (at::CODE, if mode == Mode::Virtual8086 { 0xF3 } else { 0x9B }),
                    _ => (at::DATA & !0xFFFF, if mode == Mode::Virtual8086 { 0xF3 } else { 0x93 }),
                };
                let limit = if mode == Mode::Unreal && register != SegmentRegister::Cs { u32::MAX } else { 0xFFFF };
                let access_rights = AccessRights::from_bits_retain(rights);
                Segment { selector: (base >> 4) as u16, base, limit, access_rights }
            }
            _ if register == SegmentRegister::Cs => flat(code_selector, code_rights, cpl),
            _ => flat(selector::DATA32, data_rights, cpl),
        };
        sys.segments[register as usize] = segment;
    }
    let protected = sys.cr0.contains(Cr0::PE);
    if protected && mode != Mode::Virtual8086 {
        // Segments as a program can have loaded them: limits, expand-down, read-only, null.
        for register in [SegmentRegister::Ds, SegmentRegister::Es, SegmentRegister::Fs, SegmentRegister::Gs] {
            let segment = &mut sys.segments[register as usize];
            match source.below(12) {
                0 => segment.limit = source.value() as u32 & 0xF_FFFF,
                1 => segment.access_rights |= AccessRights::CONFORMING_EXPAND_DOWN,
                2 => segment.access_rights.remove(AccessRights::READ_WRITE),
                3 => *segment = Segment::NULL,
                4 => segment.base = u64::from(source.value() as u32),
                _ => {}
            }
        }
        if source.chance(10) && mode != Mode::Long {
            let cs = &mut sys.segments[SegmentRegister::Cs as usize];
            cs.limit = (start as u32).saturating_add(u32::from(source.byte()));
            cs.access_rights.remove(AccessRights::G);
        }
    }
    if protected {
        let table = |selector: u16, base: u64, limit: u32, rights: u32| Segment {
            selector,
            base,
            limit,
            access_rights: AccessRights::from_bits_retain(rights),
        };
        let tss_limit = if source.chance(85) { 0x20FF } else { source.bits(1) as u32 };
        sys.segments[SegmentRegister::Ldtr as usize] = table(selector::LDT, at::LDT, 0xFFF, 0x82);
        sys.segments[SegmentRegister::Tr as usize] = table(selector::TSS, at::TSS, tss_limit, 0x8B);
    }

    for register in 0..16 {
        let value = if source.chance(50) { at::DATA + source.below(0x1000) } else { source.value() };
        cpu.gpr[register] = if long { value } else { value & 0xFFFF_FFFF };
    }
    if source.chance(90) {
        cpu.gpr[4] = at::STACK & if protected && mode != Mode::Virtual8086 { u64::MAX } else { 0xFFFF };
    }
    let mut rflags = source.bits(3) & flags::DEFINED & !(flags::VM | flags::TF | flags::RF);
    if source.chance(5) {
        rflags |= flags::TF;
    }
    if mode == Mode::Virtual8086 {
        rflags |= flags::VM;
        rflags &= !flags::NT;
    }
    cpu.set_flags(rflags | flags::FIXED1);
    let rip = start - cpu.sys.seg(SegmentRegister::Cs).base;
    cpu.set_rip(rip);
    if paging == Paging::Pae {
        let (mut bus, mut outbox) = (BareBus::default(), Vec::new());
        let mut env = Env { ram, bus: &mut bus, outbox: &mut outbox };
        if !matches!(cpu.load_pdptes(&mut env, cr3), Ok(true)) {
            cpu.sys.pdptes = [0; 4];
        }
    }
    cpu.select_address_space();
    cpu.flush_tlb();
    cpu.refresh();
    features::counters(source, cpu, ram);
    features::last_branches(source, cpu, ram);

    let length = 64 + source.below(192) as usize;
    let mut bytes = code(source, length);
    let data = tables.bytes(0x400);
    ram.dma_write(at::DATA, &data);
    if tables.chance(30) {
        bytes.extend(tables.bytes(0x200));
    }
    ram.dma_write(start, &bytes);
    // Handlers and whatever is jumped to beyond: more of the same.
    let more = code(&mut tables, 0x200);
    ram.dma_write(at::CODE + 0x400, &more);
}

/// One processor and RAM, or a whole PC with one or two processors, runs random code.
pub fn guest_code(source: &mut Source) {
    guest_code_in(source, Tiers::INTERPRETED);
}

/// [`guest_code`] with what the runs have come to.
pub fn guest_code_in(source: &mut Source, tiers: Tiers) -> Trail {
    let model = any_model(source);
    if source.chance(60) { bare(source, &model, tiers) } else { whole(source, &model, tiers) }
}

fn bare(source: &mut Source, model: &Arc<CpuModel>, tiers: Tiers) -> Trail {
    let mut ram = Ram::new(1 << 20).expect("the host has memory");
    let mut cpu = Cpu::new(model.clone(), 0, 0);
    tiers.set_clock(&mut cpu, &mut ram);
    let mut bus = BareBus { port_value: source.bits(4) as u32, ..BareBus::default() };
    let mut cache = CodeCache::default();
    cache.set_tier(tiers.tier());
    let mut outbox: Vec<ApicMessage> = Vec::new();
    let mut trail = Trail::default();
    set_up(source, &mut cpu, &mut ram);
    for _ in 0..8 {
        let limit = cpu.cycles + 1 + source.below(500);
        let mut env = Env { ram: &mut ram, bus: &mut bus, outbox: &mut outbox };
        let exit = cpu.run(&mut env, &mut cache, limit);
        trail.note(tiers, &cpu);
        assert!(cpu.cycles <= limit + SLACK, "ran until {} instead of {limit}", cpu.cycles);
        match exit {
            RunExit::Budget => assert!(cpu.cycles >= limit, "came back at {} before {limit}", cpu.cycles),
            RunExit::Observer => panic!("nobody watches"),
            RunExit::Signals => {
                let messages = std::mem::take(&mut outbox);
                assert!(!messages.is_empty(), "asked for the scheduler without a reason");
                for message in messages {
                    emu_core::lapic::route::deliver(std::slice::from_mut(&mut cpu), Some(0), &message);
                }
            }
            RunExit::Stopped => {
                if cpu.sys.activity != Activity::Hlt {
                    break;
                }
                cpu.set_intr(true, true);
            }
        }
    }
    trail.end(tiers, &ram);
    trail
}

/// A PC with one or two processors that are about to run random code.
pub fn any_pc(source: &mut Source) -> Pc {
    let model = any_model(source);
    let table = model.table().ok().filter(|_| source.chance(40));
    let clock = table.map(|table| (table, any_parts(source)));
    pc(source, &model, clock)
}

fn pc(source: &mut Source, model: &Arc<CpuModel>, clock: Option<(Arc<Table>, Parts)>) -> Pc {
    let processors = 1 + source.below(2) as u32;
    let config = PcConfig {
        processors,
        model: model.clone(),
        memory: 4 << 20,
        quantum: source.pick(&[1, 50, 1000]),
        parts: clock.as_ref().map_or(Parts::NONE, |clock| clock.1),
        cycles: clock.map(|clock| clock.0),
        bios: firmware::BIOS.to_vec(),
        vga_bios: Vec::new(),
        option_roms: Vec::new(),
        board: board::config(source),
    };
    let mut pc = Pc::new(config).expect("the ROM is good");
    set_up(source, &mut pc.cpus[0], &mut pc.ram);
    if processors > 1 && source.chance(60) {
        let mut second = Source::seeded(source.bits(3));
        set_up(&mut second, &mut pc.cpus[1], &mut pc.ram);
    }
    pc
}

fn whole(source: &mut Source, model: &Arc<CpuModel>, tiers: Tiers) -> Trail {
    let mut pc = pc(source, model, tiers.clock(model));
    pc.set_tier(tiers.tier());
    let mut trail = Trail::default();
    let mut resets = 0;
    for _ in 0..4 {
        let limit = pc.now() + 1 + source.below(1500);
        let exit = pc.run_until(limit);
        for cpu in &pc.cpus {
            trail.note(tiers, cpu);
        }
        match exit {
            PcExit::Limit => assert!(pc.now() >= limit && pc.now() <= limit + SLACK, "{} for {limit}", pc.now()),
            PcExit::ExitStatus(_) => {}
            exit @ (PcExit::Observer { .. } | PcExit::Work) => panic!("nobody asked for {exit:?}"),
            PcExit::PowerOff | PcExit::Halted | PcExit::Shutdown { .. } => {
                resets += 1;
                if resets > 2 {
                    break;
                }
                pc.reset();
                set_up(source, &mut pc.cpus[0], &mut pc.ram);
            }
        }
        board::press(source, &mut pc.board, &mut pc.ram);
    }
    trail.ends_with(pc.state_hash());
    trail
}
