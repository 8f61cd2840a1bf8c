//! A processor in VMX root operation with a VMCS whose guest is one of the guests of `guest_code`.

use crate::guest::{model, set_up};
use crate::vmx::code::vmx_instructions;
use crate::{Source, features};
use emu_core::model::CpuModel;
use emu_core::state::cpu::Cpu;
use emu_core::state::system::{Activity, DescriptorTable};
use emu_core::testing::Bench;
use emu_vmx::arch::cr::{Cr0, Cr4};
use emu_vmx::arch::efer::Efer;
use emu_vmx::arch::msr::IA32_FEATURE_CONTROL;
use emu_vmx::arch::segment::{AccessRights, Segment, SegmentRegister};
use emu_vmx::controls::{PrimaryProcessorControls, SecondaryProcessorControls, VmEntryControls, VmExitControls};
use emu_vmx::field::Field;
use emu_vmx::vmcs::{NO_VMCS, Vmcs};

/// Where things of the VMM are; the guest's lie below.
pub mod at {
    pub const PAGING: u64 = 0x10_0000;
    pub const GDT: u64 = 0x10_4000;
    pub const IDT: u64 = 0x10_5000;
    pub const TSS: u64 = 0x10_7000;
    pub const CODE: u64 = 0x10_8000;
    /// Where VM exits go.
    pub const EXIT: u64 = 0x10_8800;
    /// Where exceptions of the VMM go.
    pub const HANDLER: u64 = 0x10_8C00;
    pub const VMXON: u64 = 0x10_9000;
    pub const VMCS: u64 = 0x10_A000;
    pub const VMCS2: u64 = 0x10_B000;
    /// Pages that the VMCS points to, and what instructions are pointed at.
    pub const PAGES: u64 = 0x10_C000;
    pub const STACK: u64 = 0x11_F000;
    pub const EPT: u64 = 0x12_0000;
    /// The sub-page-permission table.
    pub const SUB_PAGES: u64 = 0x13_0000;
    /// End of RAM.
    pub const END: u64 = 0x40_0000;
}

const CODE_SELECTOR: u16 = 8;
const DATA_SELECTOR: u16 = 0x10;
const TSS_SELECTOR: u16 = 0x18;
/// The exit reason before VMLAUNCH: none.
pub const NO_REASON: u64 = 0x7FFF_FFFF;

/// A model that has VMX.
fn vmx_model(source: &mut Source) -> CpuModel {
    let max = model(true);
    let either = if max.vmx().is_some() && source.chance(60) { max } else { model(false) };
    CpuModel::clone(&either)
}

fn put(bench: &mut Bench, address: u64, value: u64) {
    bench.ram.dma_write(address, &value.to_le_bytes());
}

/// A processor in 64-bit mode at CPL 0, VMX enabled, before VMXON; RAM is mapped to itself.
pub fn host(source: &mut Source) -> Bench {
    let mut bench = Bench::new(vmx_model(source));
    put(&mut bench, at::PAGING, (at::PAGING + 0x1000) | 7);
    put(&mut bench, at::PAGING + 0x1000, (at::PAGING + 0x2000) | 7);
    for n in 0..2 {
        put(&mut bench, at::PAGING + 0x2000 + 8 * n, n << 21 | 0xE7);
    }
    put(&mut bench, at::GDT + u64::from(CODE_SELECTOR), 0x00AF_9B00_0000_FFFF);
    put(&mut bench, at::GDT + u64::from(DATA_SELECTOR), 0x00CF_9300_0000_FFFF);
    put(&mut bench, at::GDT + u64::from(TSS_SELECTOR), 0x0000_8B00_0000_0067 | (at::TSS & 0xFF_FFFF) << 16);
    for vector in 0..256 {
        let low = at::HANDLER & 0xFFFF | u64::from(CODE_SELECTOR) << 16 | 0x8E00 << 32 | (at::HANDLER >> 16) << 48;
        put(&mut bench, at::IDT + 16 * vector, low);
    }
    let revision = bench.cpu.config.model.vmx().map_or(0, |vmx| vmx.caps.basic.revision_id());
    for region in [at::VMXON, at::VMCS, at::VMCS2] {
        bench.ram.dma_write(region, &revision.to_le_bytes());
    }
    host_state(&mut bench.cpu);
    bench
}

/// The VMM's registers.
pub fn host_state(cpu: &mut Cpu) {
    let sys = &mut cpu.sys;
    sys.activity = Activity::Active;
    sys.cr0 = Cr0::PE | Cr0::PG | Cr0::NE | Cr0::ET | Cr0::WP;
    sys.cr3 = at::PAGING;
    sys.cr4 = Cr4::PAE | Cr4::VMXE | Cr4::OSFXSR;
    sys.efer = Efer::LME | Efer::LMA | Efer::SCE;
    sys.gdtr = DescriptorTable { base: at::GDT, limit: 0x1F };
    sys.idtr = DescriptorTable { base: at::IDT, limit: 0xFFF };
    // Locked, VMX outside SMX.
    sys.plain_msrs.insert(IA32_FEATURE_CONTROL, 5);
    sys.segments[SegmentRegister::Tr as usize] = Segment {
        selector: TSS_SELECTOR,
        base: at::TSS,
        limit: 0x67,
        access_rights: AccessRights::from_bits_retain(0x8B),
    };
    sys.segments[SegmentRegister::Ldtr as usize] = Segment::NULL;
    flat(cpu);
    cpu.gpr[4] = at::STACK;
    cpu.set_flags(2);
    cpu.set_rip(at::CODE);
    cpu.select_address_space();
    cpu.flush_tlb();
    cpu.refresh();
}

fn flat(cpu: &mut Cpu) {
    let flat = |selector, rights| Segment {
        selector,
        base: 0,
        limit: u32::MAX,
        access_rights: AccessRights::from_bits_retain(rights),
    };
    for register in SegmentRegister::USER {
        cpu.sys.segments[register as usize] =
            if register == SegmentRegister::Cs { flat(CODE_SELECTOR, 0xA09B) } else { flat(DATA_SELECTOR, 0xC093) };
    }
    cpu.sys.cpl = 0;
}

/// Puts the processor into VMX root operation with `vmcs` as the current one.
pub fn enter_root(bench: &mut Bench, vmcs: Vmcs) {
    bench.cpu.vmx.vmxon = at::VMXON;
    bench.cpu.vmx.current = at::VMCS;
    bench.cpu.vmx.active.insert(at::VMCS, vmcs);
    bench.cpu.refresh();
}

/// `wanted` and a few more bits, as far as the processor allows.
fn control(source: &mut Source, allowed: emu_vmx::caps::AllowedSettings, wanted: u32) -> u64 {
    let mut value = wanted;
    for _ in 0..source.pick(&[0, 0, 1, 2, 4]) {
        value |= 1 << source.below(32);
    }
    allowed.adjust(value).into()
}

/// A VMCS whose guest is a guest of `guest_code`, in whatever mode; most of them pass every check.
pub fn base_vmcs(source: &mut Source, bench: &mut Bench) -> Vmcs {
    let Some(vmx) = bench.cpu.config.model.vmx().cloned() else { return Vmcs::default() };
    let caps = &vmx.caps;
    let mut guest = Cpu::new(bench.cpu.config.model.clone(), 0, 0);
    set_up(source, &mut guest, &mut bench.ram);
    let sys = &guest.sys;
    let long = sys.efer.contains(Efer::LMA);
    let real = !sys.cr0.contains(Cr0::PE | Cr0::PG);
    let ept = real || source.chance(50);

    let mut vmcs = Vmcs::new(caps.basic.revision_id());
    let mut set = |field, value| vmcs.set(field, value);
    set(Field::PinBasedControls, control(source, caps.pin(), 0));
    let secondary = PrimaryProcessorControls::ACTIVATE_SECONDARY_CONTROLS;
    let mut primary = if ept { secondary } else { PrimaryProcessorControls::empty() };
    if source.chance(60) {
        primary |= PrimaryProcessorControls::HLT_EXITING;
    }
    set(Field::PrimaryProcessorControls, control(source, caps.primary(), primary.bits()));
    let mut wanted = SecondaryProcessorControls::empty();
    if ept {
        wanted |= SecondaryProcessorControls::ENABLE_EPT;
    }
    if real {
        wanted |= SecondaryProcessorControls::UNRESTRICTED_GUEST;
    }
    if source.chance(30) {
        wanted |= SecondaryProcessorControls::ENABLE_VPID;
    }
    set(Field::SecondaryProcessorControls, control(source, caps.procbased_ctls2, wanted.bits()));
    let exit = VmExitControls::HOST_ADDRESS_SPACE_SIZE;
    set(Field::VmExitControls, control(source, caps.exit(), exit.bits()));
    let entry = if long { VmEntryControls::IA32E_MODE_GUEST } else { VmEntryControls::empty() };
    let mut entry = entry | VmEntryControls::LOAD_IA32_EFER | VmEntryControls::LOAD_DEBUG_CONTROLS;
    if sys.cr4.contains(Cr4::CET) && source.chance(80) {
        entry |= VmEntryControls::LOAD_CET_STATE;
    }
    if source.chance(20) {
        entry |= VmEntryControls::LOAD_IA32_PERF_GLOBAL_CTRL;
    }
    let mut entry = control(source, caps.entry(), entry.bits());
    if !long {
        entry &= !u64::from(VmEntryControls::IA32E_MODE_GUEST.bits());
    }
    set(Field::VmEntryControls, entry);
    // Everything that an optional control needs is there.
    let pages = [
        Field::IoBitmapA,
        Field::IoBitmapB,
        Field::MsrBitmaps,
        Field::VirtualApicAddress,
        Field::ApicAccessAddress,
        Field::PostedInterruptDescriptorAddress,
        Field::PmlAddress,
        Field::EptpListAddress,
        Field::VmreadBitmapAddress,
        Field::VmwriteBitmapAddress,
        Field::VirtualizationExceptionInformationAddress,
        Field::SubPagePermissionTablePointer,
        Field::VmExitMsrStoreAddress,
        Field::VmExitMsrLoadAddress,
        Field::VmEntryMsrLoadAddress,
        Field::PidPointerTableAddress,
        Field::HlatPointer,
    ];
    for (n, field) in pages.into_iter().enumerate() {
        set(field, at::PAGES + 0x1000 * n as u64);
    }
    for page in 0..3 {
        // Bitmaps: none, some, all.
        let fill = source.pick(&[0, 0xFF, 0x10]);
        bench.ram.dma_write(at::PAGES + 0x1000 * page, &[fill; 0x1000]);
    }
    let small = [(Field::PmlIndex, 0x1FF), (Field::Vpid, 1), (Field::TscMultiplier, 1 << 48), (Field::TprThreshold, 0)];
    small.into_iter().for_each(|(field, value)| set(field, value));
    let masks = [
        Field::Cr0GuestHostMask,
        Field::Cr4GuestHostMask,
        Field::Cr0ReadShadow,
        Field::Cr4ReadShadow,
        Field::Cr3Target0,
    ];
    for field in masks {
        let value = if source.chance(50) { 0 } else { source.value() };
        set(field, value);
    }
    let bitmap = if source.chance(50) { 0 } else { source.bits(4) };
    set(Field::ExceptionBitmap, bitmap);
    let timer = source.below(3000);
    set(Field::VmxPreemptionTimerValue, timer);
    let levels =
        if caps.ept_vpid_cap.contains(emu_vmx::caps::EptVpidCap::WALK_LENGTH_5) && source.chance(30) { 5 } else { 4 };
    set(Field::EptPointer, at::EPT | 6 | (levels - 1) << 3);
    set(Field::VmcsLinkPointer, NO_VMCS);
    set(Field::ExitReason, NO_REASON);
    if source.chance(25) {
        // An event: exceptions with and without error code, interrupts, software interrupts.
        let information = source.pick(&[0x0B0D, 0x0B0E, 0x0306, 0x0020, 0x0202, 0x0480, 0x0603, 0x0501]) | 1 << 31;
        set(Field::VmEntryInterruptionInformation, information);
        set(Field::VmEntryInstructionLength, source.below(15) + 1);
    }
    host_fields(&mut vmcs, &bench.cpu);
    guest_fields(&mut vmcs, &guest, real);
    // What VM entries do not load.
    bench.cpu.sys.cet = guest.sys.cet;
    features::counters(source, &mut bench.cpu, &mut bench.ram);
    features::last_branches(source, &mut bench.cpu, &mut bench.ram);
    if !long && sys.cr0.contains(Cr0::PG) {
        let pdptes = [Field::GuestPdpte0, Field::GuestPdpte1, Field::GuestPdpte2, Field::GuestPdpte3];
        pdptes.into_iter().zip(sys.pdptes).for_each(|(field, value)| vmcs.set(field, value));
    }
    identity_ept(bench, levels);
    vmcs
}

fn host_fields(vmcs: &mut Vmcs, cpu: &Cpu) {
    let sys = &cpu.sys;
    let values = [
        (Field::HostCr0, sys.cr0.bits()),
        (Field::HostCr3, sys.cr3),
        (Field::HostCr4, sys.cr4.bits()),
        (Field::HostIa32Efer, sys.efer.bits()),
        (Field::HostIa32Pat, sys.pat),
        (Field::HostCsSelector, CODE_SELECTOR.into()),
        (Field::HostSsSelector, DATA_SELECTOR.into()),
        (Field::HostTrSelector, TSS_SELECTOR.into()),
        (Field::HostTrBase, at::TSS),
        (Field::HostGdtrBase, at::GDT),
        (Field::HostIdtrBase, at::IDT),
        (Field::HostRsp, at::STACK),
        (Field::HostRip, at::EXIT),
    ];
    values.into_iter().for_each(|(field, value)| vmcs.set(field, value));
}

fn guest_fields(vmcs: &mut Vmcs, guest: &Cpu, real: bool) {
    let sys = &guest.sys;
    let caps = guest.config.model.vmx().map(|vmx| vmx.caps).unwrap_or_default();
    let unrestricted = if real { Cr0::PE | Cr0::PG } else { Cr0::empty() };
    let cr0 = (sys.cr0.bits() | caps.cr0_fixed0 & !unrestricted.bits()) & caps.cr0_fixed1;
    let cr0 = if real { cr0 & !unrestricted.bits() | sys.cr0.bits() & unrestricted.bits() } else { cr0 };
    let values = [
        (Field::GuestCr0, cr0),
        (Field::GuestCr3, sys.cr3 & !0xFFF),
        (Field::GuestCr4, (sys.cr4.bits() | caps.cr4_fixed0) & caps.cr4_fixed1),
        (Field::GuestIa32Efer, sys.efer.bits()),
        (Field::GuestIa32Pat, sys.pat),
        (Field::GuestDr7, sys.dr7.bits() & 0xFFFF_FFFF),
        (Field::GuestRsp, guest.gpr[4]),
        (Field::GuestRip, guest.rip()),
        (Field::GuestRflags, guest.flags.get()),
        (Field::GuestGdtrBase, sys.gdtr.base),
        (Field::GuestGdtrLimit, sys.gdtr.limit.into()),
        (Field::GuestIdtrBase, sys.idtr.base),
        (Field::GuestIdtrLimit, sys.idtr.limit.into()),
        (Field::GuestIa32SCet, sys.cet.supervisor),
        (Field::GuestSsp, sys.cet.ssp),
        (Field::GuestIa32InterruptSspTableAddr, sys.cet.interrupt_table),
        (Field::GuestIa32PerfGlobalCtrl, guest.pmu.global_control),
        (Field::GuestIa32SysenterCs, sys.sysenter[0]),
        (Field::GuestIa32SysenterEsp, sys.sysenter[1]),
        (Field::GuestIa32SysenterEip, sys.sysenter[2]),
    ];
    values.into_iter().for_each(|(field, value)| vmcs.set(field, value));
    let virtual_8086 = guest.flags.has(emu_core::flags::VM);
    for register in SegmentRegister::ALL {
        let mut segment = sys.segments[register as usize];
        if register == SegmentRegister::Tr && segment.access_rights.contains(AccessRights::UNUSABLE) {
            segment = Segment { access_rights: AccessRights::from_bits_retain(0x8B), limit: 0x67, ..segment };
        }
        if !virtual_8086 && register != SegmentRegister::Tr {
            if segment.limit >> 20 != 0 {
                segment.limit |= 0xFFF;
            }
            segment.access_rights.set(AccessRights::G, segment.limit & 0xFFF == 0xFFF && segment.limit >> 20 != 0);
        }
        vmcs.set_guest_segment(register, &segment);
    }
}

/// EPT that maps RAM to itself, everything allowed.
fn identity_ept(bench: &mut Bench, levels: u64) {
    let mut table = at::EPT;
    for _ in 0..levels - 2 {
        put(bench, table, (table + 0x1000) | 7);
        table += 0x1000;
    }
    put(bench, table, (table + 0x1000) | 7);
    put(bench, table + 8, (table + 0x2000) | 7);
    for n in 0..512 {
        put(bench, table + 0x1000 + 8 * n, n << 12 | 0x37);
        put(bench, table + 0x2000 + 8 * n, n << 12 | 1 << 21 | 0x37);
    }
}

/// Sub-page write permissions, if the processor has them: pages of which some regions, or none, may be written, and a
/// table with mistakes.
pub fn sub_pages(source: &mut Source, bench: &mut Bench, vmcs: &mut Vmcs) {
    let Some(vmx) = bench.cpu.config.model.vmx().cloned() else { return };
    let wanted = vmcs.secondary() | SecondaryProcessorControls::SUB_PAGE_WRITE_PERMISSIONS;
    vmcs.set(Field::SecondaryProcessorControls, vmx.caps.procbased_ctls2.adjust(wanted.bits()).into());
    vmcs.set(Field::SubPagePermissionTablePointer, at::SUB_PAGES);
    for n in 0..2 {
        put(bench, at::SUB_PAGES + 0x1000 * n, (at::SUB_PAGES + 0x1000 * (n + 1)) | 1);
        put(bench, at::SUB_PAGES + 0x2000 + 8 * n, (at::SUB_PAGES + 0x3000 + 0x1000 * n) | 1);
    }
    // Behind the levels above them are the page tables of the first 4 MiB.
    let tables = at::EPT + 0x1000 * (vmcs.get(Field::EptPointer) >> 3 & 7).saturating_sub(1);
    let marked = source.pick(&[1, 2, 4, 8]);
    for n in 0..1024 {
        if source.below(8) < marked {
            put(bench, tables + 0x1000 + 8 * n, n << 12 | 1 << 61 | 0x35);
        }
        let permissions = (u64::MAX / 3) & if source.chance(50) { u64::MAX } else { source.value() };
        put(bench, at::SUB_PAGES + 0x3000 + 8 * n, permissions);
    }
    for _ in 0..source.pick(&[0, 0, 1, 4]) {
        let place = at::SUB_PAGES + source.below(5) * 0x1000 + 8 * source.pick(&[0, 1, 5, 9]);
        put(bench, place, source.value());
    }
}

/// The VMM's code: VMLAUNCH, and at VM exits mostly the next instruction of the guest.
pub fn host_code(source: &mut Source, bench: &mut Bench) {
    bench.ram.dma_write(at::CODE, &[0x0F, 0x01, 0xC2, 0xF4]);
    #[rustfmt::skip]
    let skip = [
        0xB9, 0x1E, 0x68, 0, 0,  // MOV ECX, guest RIP
        0x0F, 0x78, 0xC8,        // VMREAD RAX, RCX
        0xBA, 0x0C, 0x44, 0, 0,  // MOV EDX, VM-exit instruction length
        0x0F, 0x78, 0xD3,        // VMREAD RBX, RDX
        0x48, 0x01, 0xD8,        // ADD RAX, RBX
        0x0F, 0x79, 0xC8,        // VMWRITE RCX, RAX
    ];
    let mut exit = Vec::new();
    if source.chance(20) {
        exit.extend(vmx_instructions(source, 40));
    }
    if source.chance(85) {
        exit.extend(skip);
    }
    if source.chance(20) {
        exit.extend(vmx_instructions(source, 40));
    }
    exit.extend([0x0F, 0x01, 0xC3, 0x0F, 0x01, 0xC2, 0xF4]);
    bench.ram.dma_write(at::EXIT, &exit);
    // An exception of the VMM's own: drop the frame, go on behind the instruction.
    bench.ram.dma_write(at::HANDLER, &[0x48, 0x83, 0x04, 0x24, 0x03, 0x48, 0xCF, 0xF4]);
}
