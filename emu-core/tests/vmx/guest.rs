//! A VMM that halts and its guest, built by writing the VMCS directly.

use emu_core::model::CpuModel;
use emu_core::state::lbr::Lbr;
use emu_core::state::system::{Activity, DescriptorTable};
use emu_core::testing::Bench;
use emu_vmx::arch::cr::Cr4;
use emu_vmx::arch::segment::{AccessRights, Segment, SegmentRegister};
use emu_vmx::controls::*;
use emu_vmx::exit::ExitReason;
use emu_vmx::field::Field;
use emu_vmx::vmcs::{NO_VMCS, Vmcs};
use std::sync::Arc;

/// Where the guest's code starts.
pub const CODE: u64 = 0x7C00;
/// Its stack.
pub const STACK: u64 = 0x7000;
/// VMLAUNCH, then VMRESUME.
const LAUNCH: u64 = 0xA000;
const RESUME: u64 = 0xA010;
/// The VMM halts here after a VM exit.
const HOST: u64 = 0x8000;
/// Handler of the guest's vector n: HLT at this address plus n.
pub const HANDLERS: u64 = 0x9000;
const GDT: u64 = 0x1000;
pub const IDT: u64 = 0x2000;
/// Where the VMCS region is.
pub const VMCS: u64 = 0x10_1000;
/// Pages for structures of a test.
pub const PAGES: u64 = 0x11_0000;
/// GDT, IDT and TSS of [`Guest::legacy`].
pub const LEGACY_GDT: u64 = 0x12_0000;
pub const LEGACY_IDT: u64 = 0x12_1000;
pub const LEGACY_TSS: u64 = 0x12_2000;
/// EPT: PML4, PDPT, page directory, and the page table of the first 2 MiB.
pub const EPT: u64 = 0x20_0000;
/// A page that the guest's code does not lie in.
pub const DATA: u64 = 0x5_0000;

pub struct Guest {
    pub bench: Bench,
    launched: bool,
}

impl Guest {
    /// A 64-bit guest at CPL 0 that runs `code`, with the VMM's paging structures, on model `max`. HLT exits.
    pub fn new(code: &[u8]) -> Guest {
        let mut bench = Bench::long_mode(code);
        let model = bench.cpu.config.model.vmx().expect("the model has VMX").clone();
        let caps = model.caps;
        bench.cpu.sys.cr4 |= Cr4::VMXE | Cr4::OSXSAVE;
        for (at, bytes) in [(LAUNCH, [0x0F, 0x01, 0xC2, 0xF4]), (RESUME, [0x0F, 0x01, 0xC3, 0xF4]), (HOST, [0xF4; 4])] {
            bench.ram.dma_write(at, &bytes);
        }
        let flat = |rights: u32| Segment {
            selector: 8,
            base: 0,
            limit: u32::MAX,
            access_rights: AccessRights::from_bits_retain(rights),
        };
        bench.ram.dma_write(GDT + 8, &flat(0xA09B).to_descriptor().to_le_bytes());
        bench.ram.dma_write(GDT + 16, &flat(0xC093).to_descriptor().to_le_bytes());
        for n in 0..256u64 {
            let target = HANDLERS + n;
            let low = target & 0xFFFF | 8 << 16 | 0x8E << 40 | (target >> 16 & 0xFFFF) << 48;
            bench.ram.dma_write(IDT + 16 * n, &low.to_le_bytes());
            bench.ram.dma_write(target, &[0xF4]);
        }
        bench.cpu.sys.idtr = DescriptorTable { base: IDT, limit: 0xFFF };

        let mut vmcs = Vmcs::new(caps.basic.revision_id());
        let sys = &bench.cpu.sys;
        let mut set = |field, value: u64| vmcs.set(field, value);
        set(Field::PinBasedControls, caps.pin().must_be_1().into());
        let hlt = PrimaryProcessorControls::HLT_EXITING | PrimaryProcessorControls::ACTIVATE_SECONDARY_CONTROLS;
        set(Field::PrimaryProcessorControls, u64::from(caps.primary().must_be_1() | hlt.bits()));
        let exit = VmExitControls::HOST_ADDRESS_SPACE_SIZE | VmExitControls::LOAD_IA32_EFER;
        set(Field::VmExitControls, u64::from(caps.exit().must_be_1() | exit.bits()));
        let entry = VmEntryControls::IA32E_MODE_GUEST | VmEntryControls::LOAD_IA32_EFER;
        set(Field::VmEntryControls, u64::from(caps.entry().must_be_1() | entry.bits()));
        set(Field::VmcsLinkPointer, NO_VMCS);
        for (cr0, cr3, cr4, efer) in [
            (Field::HostCr0, Field::HostCr3, Field::HostCr4, Field::HostIa32Efer),
            (Field::GuestCr0, Field::GuestCr3, Field::GuestCr4, Field::GuestIa32Efer),
        ] {
            set(cr0, sys.cr0.bits());
            set(cr3, sys.cr3);
            set(cr4, sys.cr4.bits());
            set(efer, sys.efer.bits());
        }
        for field in [Field::HostCsSelector, Field::HostTrSelector] {
            set(field, 8);
        }
        set(Field::HostSsSelector, 0x10);
        set(Field::HostIdtrBase, IDT);
        set(Field::HostGdtrBase, GDT);
        set(Field::HostRip, HOST);
        set(Field::HostRsp, 0x6000);
        set(Field::GuestGdtrBase, GDT);
        set(Field::GuestGdtrLimit, 0x17);
        set(Field::GuestIdtrBase, IDT);
        set(Field::GuestIdtrLimit, 0xFFF);
        set(Field::GuestRip, CODE);
        set(Field::GuestRsp, STACK);
        set(Field::GuestRflags, 2);
        set(Field::GuestDr7, 0x400);
        for register in SegmentRegister::USER {
            vmcs.set_guest_segment(register, &Segment { selector: 0x10, ..flat(0xC093) });
        }
        vmcs.set_guest_segment(SegmentRegister::Cs, &flat(0xA09B));
        vmcs.set_guest_segment(SegmentRegister::Ldtr, &Segment { selector: 0, ..flat(0x1_0000) });
        vmcs.set_guest_segment(SegmentRegister::Tr, &Segment { selector: 0, limit: 0x67, ..flat(0x8B) });
        bench.cpu.vmx.vmxon = 0x10_0000;
        bench.cpu.vmx.current = VMCS;
        bench.cpu.vmx.active.insert(VMCS, vmcs);
        bench.cpu.refresh();
        Guest { bench, launched: false }
    }

    /// The processor has another model's stack of last branch records instead of the architectural ones.
    pub fn keep_branches(&mut self, model: &str) {
        let other = CpuModel::named(model).expect("it is built in");
        let own =
            CpuModel::of_spec("max,-arch_lbr").expect("it can go").with_lbr(other.lbr().copied()).expect("it fits");
        *self.bench.cpu.lbr = Lbr::new(own.lbr());
        self.bench.cpu.config.model = Arc::new(own);
    }

    /// With EPT: 4 KiB pages below 2 MiB, one 2 MiB page above, all to themselves; accessed and dirty flags.
    pub fn with_ept(code: &[u8]) -> Guest {
        let mut guest = Guest::new(code);
        guest.make_ept(EPT);
        guest.secondary(SecondaryProcessorControls::ENABLE_EPT);
        guest.set(Field::EptPointer, EPT | 0x5E);
        guest
    }

    /// An unrestricted 32-bit guest with EPT and without paging at CPL 0: every vector has an interrupt gate of DPL 3, the
    /// stack of privilege 0 is 10h:[`STACK`].
    pub fn legacy(code: &[u8]) -> Guest {
        let mut guest = Guest::with_ept(code);
        guest.secondary(SecondaryProcessorControls::UNRESTRICTED_GUEST);
        let entry = guest.get(Field::VmEntryControls) & !u64::from(VmEntryControls::IA32E_MODE_GUEST.bits());
        guest.set(Field::VmEntryControls, entry);
        guest.set(Field::GuestIa32Efer, 0);
        guest.set(Field::GuestCr0, 0x31);
        guest.set(Field::GuestCr4, Cr4::VMXE.bits());
        guest.set(Field::GuestCsAccessRights, 0xC09B);
        let flat = |rights| Segment {
            selector: 0,
            base: 0,
            limit: u32::MAX,
            access_rights: AccessRights::from_bits_retain(rights),
        };
        guest.write(LEGACY_GDT + 8, flat(0xC09B).to_descriptor());
        guest.write(LEGACY_GDT + 16, flat(0xC093).to_descriptor());
        guest.set(Field::GuestGdtrBase, LEGACY_GDT);
        for n in 0..256 {
            let target = HANDLERS + n;
            guest.write(LEGACY_IDT + 8 * n, target & 0xFFFF | 8 << 16 | 0xEE << 40 | (target >> 16 & 0xFFFF) << 48);
        }
        guest.set(Field::GuestIdtrBase, LEGACY_IDT);
        guest.set(Field::GuestTrBase, LEGACY_TSS);
        guest.write(LEGACY_TSS + 4, STACK | 0x10 << 32);
        guest
    }

    /// Identity-mapping EPT structures in the four pages at `at`.
    pub fn make_ept(&mut self, at: u64) {
        self.write(at, (at + 0x1000) | 7);
        self.write(at + 0x1000, (at + 0x2000) | 7);
        self.write(at + 0x2000, (at + 0x3000) | 7);
        self.write(at + 0x2008, 0x20_0000 | 0xB7);
        for page in 0..512 {
            self.write(at + 0x3000 + 8 * page, page << 12 | 0x37);
        }
    }

    /// Place of the EPT entry of a page below 2 MiB.
    pub fn ept_entry(page: u64) -> u64 {
        EPT + 0x3000 + (page >> 12) * 8
    }

    pub fn vmcs(&mut self) -> &mut Vmcs {
        self.bench.cpu.vmx.current_mut().expect("there is a current VMCS")
    }
    pub fn set(&mut self, field: Field, value: u64) {
        self.vmcs().set(field, value);
    }
    pub fn get(&mut self, field: Field) -> u64 {
        self.vmcs().get(field)
    }
    pub fn or(&mut self, field: Field, bits: u64) {
        let value = self.get(field) | bits;
        self.set(field, value);
    }
    pub fn pin(&mut self, bits: PinBasedControls) {
        self.or(Field::PinBasedControls, bits.bits().into());
    }
    pub fn primary(&mut self, bits: PrimaryProcessorControls) {
        self.or(Field::PrimaryProcessorControls, bits.bits().into());
    }
    pub fn secondary(&mut self, bits: SecondaryProcessorControls) {
        self.or(Field::SecondaryProcessorControls, bits.bits().into());
    }
    pub fn tertiary(&mut self, bits: TertiaryProcessorControls) {
        self.primary(PrimaryProcessorControls::ACTIVATE_TERTIARY_CONTROLS);
        self.or(Field::TertiaryProcessorControls, bits.bits());
    }

    pub fn write(&mut self, address: u64, value: u64) {
        self.bench.ram.dma_write(address, &value.to_le_bytes());
    }
    pub fn read(&self, address: u64) -> u64 {
        self.bench.ram.load(address as usize, 8)
    }

    /// Has the VMM enter the guest with its next instruction.
    pub fn start(&mut self) {
        self.bench.cpu.set_rip(if self.launched { RESUME } else { LAUNCH });
        self.bench.cpu.sys.activity = Activity::Active;
        self.bench.cpu.refresh();
        self.launched = true;
    }

    /// The VMCS was put back to one that has not been launched.
    pub fn begin_again(&mut self) {
        self.launched = false;
    }

    /// Enters the guest, which does not execute.
    pub fn enter(&mut self) {
        self.start();
        self.bench.run(100);
        assert!(self.bench.cpu.in_non_root(), "VM exit {}", self.get(Field::ExitReason));
    }

    /// The local APIC has an interrupt to deliver.
    pub fn interrupt(&mut self, vector: u8) {
        let cpu = &mut self.bench.cpu;
        cpu.lapic.svr = 0x1FF;
        cpu.lapic.request(vector, false);
        cpu.refresh_apic_attention();
    }

    /// Enters the guest, which executes until RIP is `rip`.
    pub fn enter_until(&mut self, rip: u64) {
        self.start();
        while !self.bench.cpu.in_non_root() || self.bench.cpu.rip() != rip {
            self.bench.run(1);
        }
    }

    /// Enters the guest and runs until it sends an IPI.
    pub fn run_until_ipi(&mut self) {
        self.start();
        self.bench.run(1000);
        assert!(!self.bench.outbox.is_empty());
    }

    /// Enters the guest and runs until the VMM halts: after a VM exit, or because VM entry failed.
    pub fn run(&mut self) {
        self.start();
        self.bench.run(100_000);
        assert!(!self.bench.cpu.in_non_root(), "no VM exit by {:#x}", self.bench.cpu.rip());
    }

    /// Runs to the next VM exit, whose reason must be `reason`.
    #[track_caller]
    pub fn expect(&mut self, reason: ExitReason) {
        self.run();
        let found = self.get(Field::ExitReason);
        assert_eq!(found, u64::from(reason.field()), "found {found}, expected {reason:?}");
    }

    /// The same; the guest halted in the handler of `vector`.
    #[track_caller]
    pub fn expect_vector(&mut self, vector: u8) {
        self.expect(ExitReason::Hlt);
        assert_eq!(self.get(Field::GuestRip), HANDLERS + u64::from(vector));
    }
}
