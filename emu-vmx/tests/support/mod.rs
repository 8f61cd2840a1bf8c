//! A VMCS that passes every rule, and what surrounds it.
#![allow(dead_code, missing_docs)]

use emu_vmx::arch::msr::pat_valid;
use emu_vmx::arch::{AccessRights, Segment, SegmentRegister};
use emu_vmx::caps::*;
use emu_vmx::checks::{CheckContext, EntryMoment};
use emu_vmx::controls::*;
use emu_vmx::field::Field;
use emu_vmx::vmcs::{NO_VMCS, Vmcs};

#[derive(Clone)]
pub struct Case {
    pub vmcs: Vmcs,
    pub caps: VmxCapabilities,
    pub cpu: ProcessorFacts,
    pub now: EntryMoment,
}

impl Case {
    /// A 64-bit guest of a 64-bit VMM at CPL 0, no optional control in use; nearly every control may be used.
    pub fn long_mode() -> Case {
        let allowed = |must: u64, may: u64| AllowedSettings(must | may << 32);
        let caps = VmxCapabilities {
            basic: VmxBasic(0x00D8_1000_0000_002B),
            true_pinbased_ctls: allowed(0x16, 0x7F | 0x80),
            true_procbased_ctls: allowed(0x0400_6172, 0xFFFB_FFFE),
            true_exit_ctls: allowed(0x0003_6DFB, 0xFFFF_FFFF & !(1 << 20) | 1 << 20),
            true_entry_ctls: allowed(0x0000_11FB, 0x017F_FFFF),
            misc: VmxMisc(0x2004_01E0),
            cr0_fixed0: 0x8000_0021,
            cr0_fixed1: 0xFFFF_FFFF,
            cr4_fixed0: 0x2000,
            cr4_fixed1: 0x0177_FFFF,
            procbased_ctls2: allowed(0, 0xDFFF_FFFF),
            ept_vpid_cap: EptVpidCap::from_bits_retain(0x0F01_0611_4041 | 1 << 14),
            vmfunc: VmFunctions::EPTP_SWITCHING,
            procbased_ctls3: TertiaryProcessorControls::all(),
            exit_ctls2: SecondaryVmExitControls::all(),
            ..VmxCapabilities::CORE_I5_M520
        };
        let cpu = ProcessorFacts {
            rtit_ctl_mask: 0xFFFF,
            lbr_ctl_mask: 0x007F_000F,
            s_cet_mask: !0x3C0,
            spec_ctrl_mask: 7,
            ..ProcessorFacts::CORE_I5_M520
        };
        let mut vmcs = Vmcs::new(0x2B);
        let mut set = |field, value| vmcs.set(field, value);
        set(Field::PinBasedControls, 0x16);
        set(Field::PrimaryProcessorControls, 0x8402_6172);
        set(Field::VmExitControls, 0x8003_6DFB | 1 << 9);
        set(Field::VmEntryControls, 0x11FB | 1 << 9);
        set(Field::VmcsLinkPointer, NO_VMCS);
        for (cr0, cr3, cr4) in
            [(Field::HostCr0, Field::HostCr3, Field::HostCr4), (Field::GuestCr0, Field::GuestCr3, Field::GuestCr4)]
        {
            set(cr0, 0x8001_0031);
            set(cr3, 0x1000);
            set(cr4, 0x2020);
        }
        for selector in [Field::HostCsSelector, Field::HostSsSelector, Field::HostDsSelector, Field::HostTrSelector] {
            set(selector, 0x18);
        }
        set(Field::HostIa32Efer, 0xD01);
        set(Field::GuestIa32Efer, 0xD01);
        set(Field::HostIa32Pat, 0x0007_0406_0007_0406);
        set(Field::GuestIa32Pat, 0x0007_0406_0007_0406);
        assert!(pat_valid(0x0007_0406_0007_0406));
        set(Field::GuestRflags, 2);
        set(Field::GuestDr7, 0x400);
        set(Field::GuestGdtrLimit, 0xFFFF);
        set(Field::GuestIdtrLimit, 0xFFFF);
        let segment = |selector, limit, rights| Segment {
            selector,
            base: 0,
            limit,
            access_rights: AccessRights::from_bits_retain(rights),
        };
        for register in SegmentRegister::USER {
            vmcs.set_guest_segment(register, &segment(0x10, 0xFFFF_FFFF, 0xC093));
        }
        vmcs.set_guest_segment(SegmentRegister::Cs, &segment(8, 0xFFFF_FFFF, 0xA09B));
        vmcs.set_guest_segment(SegmentRegister::Ldtr, &segment(0, 0xFFFF, 0x82));
        vmcs.set_guest_segment(SegmentRegister::Tr, &segment(0x20, 0x67, 0x8B));
        let now = EntryMoment { ia32e_mode: true, current_vmcs: 0x5000, ..EntryMoment::default() };
        Case { vmcs, caps, cpu, now }
    }

    pub fn set(&mut self, field: Field, value: u64) -> &mut Case {
        self.vmcs.set(field, value);
        self
    }
    pub fn get(&self, field: Field) -> u64 {
        self.vmcs.get(field)
    }
    pub fn or(&mut self, field: Field, bits: u64) -> &mut Case {
        let value = self.vmcs.get(field) | bits;
        self.set(field, value)
    }
    pub fn clear(&mut self, field: Field, bits: u64) -> &mut Case {
        let value = self.vmcs.get(field) & !bits;
        self.set(field, value)
    }
    pub fn pin(&mut self, bits: PinBasedControls) -> &mut Case {
        self.or(Field::PinBasedControls, bits.bits().into())
    }
    pub fn primary(&mut self, bits: PrimaryProcessorControls) -> &mut Case {
        self.or(Field::PrimaryProcessorControls, bits.bits().into())
    }
    pub fn secondary(&mut self, bits: SecondaryProcessorControls) -> &mut Case {
        self.or(Field::SecondaryProcessorControls, bits.bits().into())
    }
    pub fn tertiary(&mut self, bits: TertiaryProcessorControls) -> &mut Case {
        self.or(Field::TertiaryProcessorControls, bits.bits())
    }
    pub fn exit(&mut self, bits: VmExitControls) -> &mut Case {
        self.or(Field::VmExitControls, bits.bits().into())
    }
    pub fn entry(&mut self, bits: VmEntryControls) -> &mut Case {
        self.or(Field::VmEntryControls, bits.bits().into())
    }
    /// With EPT: WB, walk length 4.
    pub fn ept(&mut self) -> &mut Case {
        self.secondary(SecondaryProcessorControls::ENABLE_EPT).set(Field::EptPointer, 0x1E)
    }
    /// With EPT and unrestricted guest.
    pub fn unrestricted(&mut self) -> &mut Case {
        self.ept().secondary(SecondaryProcessorControls::UNRESTRICTED_GUEST)
    }
    /// A 32-bit guest (of the 64-bit VMM).
    pub fn guest32(&mut self) -> &mut Case {
        self.clear(Field::VmEntryControls, 1 << 9)
            .set(Field::GuestCsAccessRights, 0xC09B)
            .set(Field::GuestIa32Efer, 0)
            .set(Field::GuestCr4, 0x2000)
    }
    /// A 32-bit guest in virtual-8086 mode.
    pub fn v8086(&mut self) -> &mut Case {
        self.guest32().or(Field::GuestRflags, 1 << 17);
        for register in SegmentRegister::USER {
            self.vmcs.set_guest_segment(register, &Segment::virtual_8086(0x1234));
        }
        self
    }
    /// A 32-bit VMM with a 32-bit guest.
    pub fn host32(&mut self) -> &mut Case {
        self.now.ia32e_mode = false;
        self.guest32().clear(Field::VmExitControls, 1 << 9)
    }
    /// The guest runs at CPL 3.
    pub fn cpl3(&mut self) -> &mut Case {
        self.set(Field::GuestCsSelector, 0x0B)
            .set(Field::GuestSsSelector, 0x13)
            .set(Field::GuestCsAccessRights, 0xA0FB)
            .set(Field::GuestSsAccessRights, 0xC0F3)
    }
    pub fn inject(&mut self, information: u64) -> &mut Case {
        self.set(Field::VmEntryInterruptionInformation, information)
    }
    pub fn context(&self) -> CheckContext<'_> {
        CheckContext::new(&self.vmcs, &self.caps, &self.cpu, &self.now)
    }
}
