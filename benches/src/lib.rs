//! What the benchmarks share: loops of machine code, a processor with a guest under VMX, a small PC.
//!
//! The benchmarks themselves are in `benches/` (`cargo bench -p benches`); the comparison with Bochs and QEMU is the
//! script `peers`.

use emu_core::model::CpuModel;
use emu_core::testing::Bench;
use emu_devices::board::BoardConfig;
use emu_devices::debug_ports::DebugPortsConfig;
use emu_devices::pc::{DEFAULT_QUANTUM, Pc, PcConfig};
use emu_devices::rtc::{CmosConfig, RtcConfig};
use emu_vmx::arch::cr::Cr4;
use emu_vmx::arch::segment::{AccessRights, Segment, SegmentRegister};
use emu_vmx::field::Field;
use emu_vmx::vmcs::{NO_VMCS, Vmcs};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Where [`Bench`] puts code and data may lie behind it; linear and physical.
pub const DATA: u64 = 0x10_0000;
/// Where the code of [`guest`] lies.
pub const GUEST: u64 = 0x9000;
/// The VMXON region's and the VMCS's addresses.
const VMXON: u64 = 0x2_0000;
const VMCS: u64 = 0x2_1000;
/// EPT paging structures: PML4, PDPT, PD and the page tables of 4 MiB, at the end of the bench's RAM.
const EPT: u64 = 0x3F_0000;

/// `inc r14`: the loops count their rounds in R14.
pub const COUNT: &[u8] = &[0x49, 0xFF, 0xC6];

/// `body`, [`COUNT`] and a jump back to the start.
pub fn round(body: &[u8]) -> Vec<u8> {
    let mut code = [body, COUNT, &[0xE9]].concat();
    let back = -(code.len() as i32 + 4);
    code.extend(back.to_le_bytes());
    code
}

/// The host's time for `rounds` rounds of a program that counts them in R14.
///
/// # Panics
/// If the program makes no progress.
pub fn time_rounds(bench: &mut Bench, rounds: u64) -> Duration {
    let first = bench.cpu.gpr[14];
    let start = Instant::now();
    let mut calls = 0u64;
    while bench.cpu.gpr[14] - first < rounds {
        bench.run(2000);
        calls += 1;
        assert!(calls <= 10_000 * rounds, "the program does not count its rounds: RIP {:#x}", bench.cpu.rip());
    }
    // A call may run past the number asked for.
    start.elapsed().mul_f64(rounds as f64 / (bench.cpu.gpr[14] - first) as f64)
}

/// The host: VMLAUNCH, then for every VM exit RIP moves past the instruction that caused it, and VMRESUME.
const HOST: &[u8] = &[
    0x0F, 0x01, 0xC2, // vmlaunch
    0xB9, 0x0C, 0x44, 0x00, 0x00, // mov ecx, 440Ch: the instruction's length
    0x0F, 0x78, 0xC8, // vmread rax, rcx
    0xB9, 0x1E, 0x68, 0x00, 0x00, // mov ecx, 681Eh: guest RIP
    0x0F, 0x78, 0xCA, // vmread rdx, rcx
    0x48, 0x01, 0xC2, // add rdx, rax
    0x0F, 0x79, 0xCA, // vmwrite rcx, rdx
    0x0F, 0x01, 0xC3, // vmresume
];
const HOST_START: u64 = 0x7C00;
const ON_EXIT: u64 = HOST_START + 3;

/// A processor before the VMLAUNCH of a 64-bit guest that runs `code` at CPL 0; with `ept` under EPT that maps every
/// page of 4 KiB to itself, with a VPID. RSI of the guest is [`DATA`].
///
/// # Panics
/// If the default model has no VMX.
pub fn guest(code: &[u8], ept: bool) -> Bench {
    let mut bench = Bench::long_mode(HOST);
    bench.cpu.config.model = Arc::new(CpuModel::default_model());
    let model = bench.cpu.config.model.vmx().expect("the default model has VMX").clone();
    bench.ram.dma_write(GUEST, code);
    bench.cpu.gpr[6] = DATA;
    bench.cpu.sys.cr4 |= Cr4::VMXE;
    bench.cpu.refresh();
    let sys = &bench.cpu.sys;
    let caps = &model.caps;
    let mut vmcs = Vmcs::new(caps.basic.revision_id());
    let mut set = |field, value| vmcs.set(field, value);
    const SECONDARY: u32 = 1 << 31;
    const HOST_64: u32 = 1 << 9;
    const GUEST_64: u32 = 1 << 9;
    set(Field::PinBasedControls, caps.true_pinbased_ctls.adjust(0).into());
    set(Field::PrimaryProcessorControls, caps.true_procbased_ctls.adjust(if ept { SECONDARY } else { 0 }).into());
    set(Field::VmExitControls, caps.true_exit_ctls.adjust(HOST_64).into());
    set(Field::VmEntryControls, caps.true_entry_ctls.adjust(GUEST_64).into());
    set(Field::VmcsLinkPointer, NO_VMCS);
    for (host, guest, value) in [
        (Field::HostCr0, Field::GuestCr0, sys.cr0.bits()),
        (Field::HostCr3, Field::GuestCr3, sys.cr3),
        (Field::HostCr4, Field::GuestCr4, sys.cr4.bits()),
    ] {
        set(host, value);
        set(guest, value);
    }
    set(Field::HostCsSelector, 8);
    for selector in [Field::HostSsSelector, Field::HostDsSelector, Field::HostEsSelector] {
        set(selector, 0x10);
    }
    set(Field::HostTrSelector, 0x20);
    set(Field::HostRsp, 0x7000);
    set(Field::HostRip, ON_EXIT);
    set(Field::GuestRsp, 0x6000);
    set(Field::GuestRip, GUEST);
    set(Field::GuestRflags, 2);
    set(Field::GuestDr7, 0x400);
    set(Field::GuestGdtrLimit, 0xFFFF);
    set(Field::GuestIdtrLimit, 0xFFFF);
    if ept {
        const ENABLE_EPT: u64 = 1 << 1;
        const ENABLE_VPID: u64 = 1 << 5;
        const WRITE_BACK_FOUR_LEVELS: u64 = 6 | 3 << 3;
        set(Field::SecondaryProcessorControls, ENABLE_EPT | ENABLE_VPID);
        set(Field::EptPointer, EPT | WRITE_BACK_FOUR_LEVELS);
        set(Field::Vpid, 1);
        map_ept(&mut bench);
    }
    let segment = |selector, limit, rights| Segment {
        selector,
        base: 0,
        limit,
        access_rights: AccessRights::from_bits_retain(rights),
    };
    for register in SegmentRegister::USER {
        vmcs.set_guest_segment(register, &segment(0x10, u32::MAX, 0xC093));
    }
    vmcs.set_guest_segment(SegmentRegister::Cs, &segment(8, u32::MAX, 0xA09B));
    vmcs.set_guest_segment(SegmentRegister::Ldtr, &segment(0, 0xFFFF, 0x82));
    vmcs.set_guest_segment(SegmentRegister::Tr, &segment(0x20, 0x67, 0x8B));
    bench.cpu.vmx.vmxon = VMXON;
    bench.cpu.vmx.current = VMCS;
    bench.cpu.vmx.active.insert(VMCS, vmcs);
    bench
}

fn map_ept(bench: &mut Bench) {
    const ALL: u64 = 7;
    const WRITE_BACK: u64 = 6 << 3;
    let mut write = |at: u64, entry: u64| bench.ram.dma_write(at, &entry.to_le_bytes());
    write(EPT, (EPT + 0x1000) | ALL);
    write(EPT + 0x1000, (EPT + 0x2000) | ALL);
    for table in 0..2 {
        write(EPT + 0x2000 + table * 8, (EPT + 0x3000 + table * 0x1000) | ALL);
    }
    for page in 0..1024 {
        write(EPT + 0x3000 + page * 8, page << 12 | WRITE_BACK | ALL);
    }
}

/// Cycles per guest second of [`pc`].
pub const HZ: u64 = 50_000_000;

/// A PC with one processor, 16 MiB and no drives.
///
/// # Panics
/// If `bios` does not fit.
pub fn pc(bios: Vec<u8>, vga_bios: Vec<u8>) -> Pc {
    let memory = 16 << 20;
    Pc::new(PcConfig {
        processors: 1,
        model: Arc::new(CpuModel::default_model()),
        memory,
        quantum: DEFAULT_QUANTUM,
        cycles: None,
        parts: emu_core::cycles::parts::Parts::NONE,
        bios,
        vga_bios,
        option_roms: Vec::new(),
        board: BoardConfig {
            hz: HZ,
            rtc: RtcConfig { start: 0, cmos: CmosConfig { memory_below_4g: memory, ..CmosConfig::default() } },
            ata: Default::default(),
            floppies: Default::default(),
            debug: DebugPortsConfig { port_402: false, debug_exit: None },
            test_devices: false,
            video_memory: 1 << 20,
            vga_rom: Vec::new(),
            flash: None,
            fw_cfg: None,
        },
    })
    .expect("the ROM fits")
}
