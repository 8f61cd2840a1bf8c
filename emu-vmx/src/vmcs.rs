//! The VMCS as the processor works with it, and the rules of VMREAD and VMWRITE (SDM Vol. 3C 25.11 "Software Use of the
//! VMCS"). How it lies in memory, [`crate::region`] says.

use crate::arch::{AccessRights, Segment, SegmentRegister};
use crate::controls::*;
use crate::field::{Access, Area, FIELD_COUNT, Field, FieldSet, Width};
use alloc::boxed::Box;
use serde::{Deserialize, Serialize};

/// Bit 31 of the first dword: this is a shadow VMCS.
pub const SHADOW_INDICATOR: u32 = 1 << 31;
/// A VMCS pointer that points nowhere.
pub const NO_VMCS: u64 = u64::MAX;

/// Launch state (SDM Vol. 3C 25.11.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum LaunchState {
    /// After VMCLEAR: VMLAUNCH is allowed.
    #[default]
    Clear,
    /// After VMLAUNCH: VMRESUME is allowed.
    Launched,
}

/// VM-instruction error numbers (SDM Vol. 3C 31.4 "VM Instruction Error Numbers").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u32)]
pub enum VmInstructionError {
    /// VMCALL executed in VMX root operation.
    VmcallInRoot = 1,
    /// VMCLEAR with invalid physical address.
    VmclearInvalidAddress = 2,
    /// VMCLEAR with VMXON pointer.
    VmclearVmxonPointer = 3,
    /// VMLAUNCH with non-clear VMCS.
    VmlaunchNonClear = 4,
    /// VMRESUME with non-launched VMCS.
    VmresumeNonLaunched = 5,
    /// VMRESUME after VMXOFF (VMXOFF and VMXON between VMLAUNCH and VMRESUME).
    VmresumeAfterVmxoff = 6,
    /// VM entry with invalid control field(s).
    EntryInvalidControls = 7,
    /// VM entry with invalid host-state field(s).
    EntryInvalidHostState = 8,
    /// VMPTRLD with invalid physical address.
    VmptrldInvalidAddress = 9,
    /// VMPTRLD with VMXON pointer.
    VmptrldVmxonPointer = 10,
    /// VMPTRLD with incorrect VMCS revision identifier.
    VmptrldIncorrectRevision = 11,
    /// VMREAD/VMWRITE from/to unsupported VMCS component.
    UnsupportedComponent = 12,
    /// VMWRITE to read-only VMCS component.
    ReadOnlyComponent = 13,
    /// VMXON executed in VMX root operation.
    VmxonInRoot = 15,
    /// VM entry with invalid executive-VMCS pointer.
    EntryInvalidExecutiveVmcs = 16,
    /// VM entry with non-launched executive VMCS.
    EntryNonLaunchedExecutiveVmcs = 17,
    /// VM entry with executive-VMCS pointer not VMXON pointer.
    EntryExecutiveVmcsNotVmxon = 18,
    /// VMCALL with non-clear VMCS (dual-monitor).
    VmcallNonClear = 19,
    /// VMCALL with invalid VM-exit control fields (dual-monitor).
    VmcallInvalidExitControls = 20,
    /// VMCALL with incorrect MSEG revision identifier.
    VmcallIncorrectMsegRevision = 22,
    /// VMXOFF under dual-monitor treatment.
    VmxoffDualMonitor = 23,
    /// VMCALL with invalid SMM-monitor features.
    VmcallInvalidSmmMonitor = 24,
    /// VM entry with invalid VM-execution control fields in executive VMCS.
    EntryInvalidExecutiveControls = 25,
    /// VM entry with events blocked by MOV SS.
    EntryMovSsBlocking = 26,
    /// Invalid operand to INVEPT/INVVPID.
    InvalidInvalidationOperand = 28,
}

impl VmInstructionError {
    /// The number that goes into the VM-instruction error field.
    pub const fn number(self) -> u32 {
        self as u32
    }
    /// From the value of the VM-instruction error field.
    pub const fn from_number(number: u32) -> Option<VmInstructionError> {
        Some(match number {
            1 => Self::VmcallInRoot,
            2 => Self::VmclearInvalidAddress,
            3 => Self::VmclearVmxonPointer,
            4 => Self::VmlaunchNonClear,
            5 => Self::VmresumeNonLaunched,
            6 => Self::VmresumeAfterVmxoff,
            7 => Self::EntryInvalidControls,
            8 => Self::EntryInvalidHostState,
            9 => Self::VmptrldInvalidAddress,
            10 => Self::VmptrldVmxonPointer,
            11 => Self::VmptrldIncorrectRevision,
            12 => Self::UnsupportedComponent,
            13 => Self::ReadOnlyComponent,
            15 => Self::VmxonInRoot,
            16 => Self::EntryInvalidExecutiveVmcs,
            17 => Self::EntryNonLaunchedExecutiveVmcs,
            18 => Self::EntryExecutiveVmcsNotVmxon,
            19 => Self::VmcallNonClear,
            20 => Self::VmcallInvalidExitControls,
            22 => Self::VmcallIncorrectMsegRevision,
            23 => Self::VmxoffDualMonitor,
            24 => Self::VmcallInvalidSmmMonitor,
            25 => Self::EntryInvalidExecutiveControls,
            26 => Self::EntryMovSsBlocking,
            28 => Self::InvalidInvalidationOperand,
            _ => return None,
        })
    }
    /// The SDM's words.
    pub const fn text(self) -> &'static str {
        match self {
            Self::VmcallInRoot => "VMCALL executed in VMX root operation",
            Self::VmclearInvalidAddress => "VMCLEAR with invalid physical address",
            Self::VmclearVmxonPointer => "VMCLEAR with VMXON pointer",
            Self::VmlaunchNonClear => "VMLAUNCH with non-clear VMCS",
            Self::VmresumeNonLaunched => "VMRESUME with non-launched VMCS",
            Self::VmresumeAfterVmxoff => "VMRESUME after VMXOFF (VMXOFF and VMXON between VMLAUNCH and VMRESUME)",
            Self::EntryInvalidControls => "VM entry with invalid control field(s)",
            Self::EntryInvalidHostState => "VM entry with invalid host-state field(s)",
            Self::VmptrldInvalidAddress => "VMPTRLD with invalid physical address",
            Self::VmptrldVmxonPointer => "VMPTRLD with VMXON pointer",
            Self::VmptrldIncorrectRevision => "VMPTRLD with incorrect VMCS revision identifier",
            Self::UnsupportedComponent => "VMREAD/VMWRITE from/to unsupported VMCS component",
            Self::ReadOnlyComponent => "VMWRITE to read-only VMCS component",
            Self::VmxonInRoot => "VMXON executed in VMX root operation",
            Self::EntryInvalidExecutiveVmcs => "VM entry with invalid executive-VMCS pointer",
            Self::EntryNonLaunchedExecutiveVmcs => "VM entry with non-launched executive VMCS",
            Self::EntryExecutiveVmcsNotVmxon => "VM entry with executive-VMCS pointer not VMXON pointer",
            Self::VmcallNonClear => "VMCALL with non-clear VMCS (dual-monitor)",
            Self::VmcallInvalidExitControls => "VMCALL with invalid VM-exit control fields (dual-monitor)",
            Self::VmcallIncorrectMsegRevision => "VMCALL with incorrect MSEG revision identifier",
            Self::VmxoffDualMonitor => "VMXOFF under dual-monitor treatment",
            Self::VmcallInvalidSmmMonitor => "VMCALL with invalid SMM-monitor features",
            Self::EntryInvalidExecutiveControls => {
                "VM entry with invalid VM-execution control fields in executive VMCS"
            }
            Self::EntryMovSsBlocking => "VM entry with events blocked by MOV SS",
            Self::InvalidInvalidationOperand => "Invalid operand to INVEPT/INVVPID",
        }
    }
}

bitflags::bitflags! {
    /// Guest interruptibility state (SDM Vol. 3C 25.4.2, Table 25-3).
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
    pub struct Interruptibility: u32 {
        /// Blocking by STI.
        const STI = 1 << 0;
        /// Blocking by MOV SS.
        const MOV_SS = 1 << 1;
        /// Blocking by SMI.
        const SMI = 1 << 2;
        /// Blocking by NMI (virtual-NMI blocking with “virtual NMIs”).
        const NMI = 1 << 3;
        /// Enclave interruption.
        const ENCLAVE = 1 << 4;
    }
}

bitflags::bitflags! {
    /// Pending debug exceptions (SDM Vol. 3C 25.4.2, Table 25-4).
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
    pub struct PendingDebug: u64 {
        /// Breakpoint condition 0 met.
        const B0 = 1 << 0;
        /// Breakpoint condition 1 met.
        const B1 = 1 << 1;
        /// Breakpoint condition 2 met.
        const B2 = 1 << 2;
        /// Breakpoint condition 3 met.
        const B3 = 1 << 3;
        /// Bus lock.
        const BLD = 1 << 11;
        /// An enabled data or I/O breakpoint was met.
        const ENABLED_BREAKPOINT = 1 << 12;
        /// Single step.
        const BS = 1 << 14;
        /// Inside an RTM region.
        const RTM = 1 << 16;
    }
}

/// Guest activity states (SDM Vol. 3C 25.4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[repr(u32)]
pub enum ActivityState {
    /// Executing instructions.
    #[default]
    Active = 0,
    /// After HLT.
    Hlt = 1,
    /// After a triple fault.
    Shutdown = 2,
    /// Waiting for a SIPI.
    WaitForSipi = 3,
}

impl ActivityState {
    /// From the value of the field.
    pub const fn from_field(value: u32) -> Option<ActivityState> {
        match value {
            0 => Some(Self::Active),
            1 => Some(Self::Hlt),
            2 => Some(Self::Shutdown),
            3 => Some(Self::WaitForSipi),
            _ => None,
        }
    }
}

bitflags::bitflags! {
    /// Areas of the VMCS whose fields were written since somebody last cleared the mark: VM entry need not repeat
    /// checks of areas that did not change since the last success.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
    pub struct Changed: u8 {
        /// A control field.
        const CONTROL = 1 << 0;
        /// A VM-exit information field.
        const READ_ONLY = 1 << 1;
        /// A guest-state field.
        const GUEST = 1 << 2;
        /// A host-state field.
        const HOST = 1 << 3;
    }
}

/// The decoded copy of a VMCS that the processor keeps while the VMCS is active.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vmcs {
    #[serde(with = "values_serde")]
    values: Box<[u64; FIELD_COUNT]>,
    /// Revision identifier (31 bits).
    pub revision_id: u32,
    /// The region's shadow-VMCS indicator.
    pub shadow: bool,
    /// Launch state.
    pub launch_state: LaunchState,
    /// VMX-abort indicator.
    pub abort: u32,
    /// What was written since the mark was last cleared.
    pub changed: Changed,
}

mod values_serde {
    use super::{Box, FIELD_COUNT};
    use alloc::vec::Vec;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    pub fn serialize<S: Serializer>(values: &[u64; FIELD_COUNT], serializer: S) -> Result<S::Ok, S::Error> {
        values.as_slice().serialize(serializer)
    }
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Box<[u64; FIELD_COUNT]>, D::Error> {
        let values = Vec::<u64>::deserialize(deserializer)?;
        let found = values.len();
        values.into_boxed_slice().try_into().map_err(|_| {
            D::Error::custom(alloc::format!(
                "a VMCS has {FIELD_COUNT} fields, this one {found}: made by another version"
            ))
        })
    }
}

impl Default for Vmcs {
    fn default() -> Self {
        Vmcs {
            values: Box::new([0; FIELD_COUNT]),
            revision_id: 0,
            shadow: false,
            launch_state: LaunchState::Clear,
            abort: 0,
            changed: Changed::all(),
        }
    }
}

impl Vmcs {
    /// A VMCS in the clear state with all fields 0.
    pub fn new(revision_id: u32) -> Vmcs {
        Vmcs { revision_id: revision_id & !SHADOW_INDICATOR, ..Vmcs::default() }
    }

    /// Value of a field (all bits of its width, 0 above).
    #[inline]
    pub fn get(&self, field: Field) -> u64 {
        self.values[field.index()]
    }
    /// Value of a 32-bit (or 16-bit) field.
    #[inline]
    pub fn get32(&self, field: Field) -> u32 {
        self.get(field) as u32
    }
    /// Value of a 16-bit field.
    #[inline]
    pub fn get16(&self, field: Field) -> u16 {
        self.get(field) as u16
    }
    /// Writes a field, as the processor does (no read-only check); bits beyond its width are dropped.
    #[inline]
    pub fn set(&mut self, field: Field, value: u64) {
        self.values[field.index()] = value & field.width().mask();
        self.changed |= match field.area() {
            Area::Control => Changed::CONTROL,
            Area::ReadOnly => Changed::READ_ONLY,
            Area::Guest => Changed::GUEST,
            Area::Host => Changed::HOST,
        };
    }

    /// VMREAD (SDM Vol. 3C 31.3 "VMREAD—Read Field from Virtual-Machine Control Structure"): the value for the
    /// destination, zero-extended. The caller truncates to its operand size.
    pub fn vmread(&self, encoding: u64, supported: &FieldSet) -> Result<u64, VmInstructionError> {
        let (field, access) = find(encoding, supported)?;
        let value = self.get(field);
        Ok(match access {
            Access::Full => value,
            Access::High => value >> 32,
        })
    }

    /// VMWRITE (SDM Vol. 3C 31.3): `source` is the operand, zero-extended from 32 bits outside 64-bit mode. A 16- or
    /// 32-bit field ignores the upper bits of its source; a high access replaces bits 63:32. `any_field` is VMX_MISC
    /// bit 29: VM-exit information fields may be written.
    pub fn vmwrite(
        &mut self,
        encoding: u64,
        source: u64,
        supported: &FieldSet,
        any_field: bool,
    ) -> Result<(), VmInstructionError> {
        let (field, access) = find(encoding, supported)?;
        if field.area() == Area::ReadOnly && !any_field {
            return Err(VmInstructionError::ReadOnlyComponent);
        }
        let value = match access {
            Access::Full => source,
            Access::High => (self.get(field) & 0xFFFF_FFFF) | (source << 32),
        };
        self.set(field, value);
        Ok(())
    }

    /// Pin-based controls.
    #[inline]
    pub fn pin(&self) -> PinBasedControls {
        PinBasedControls::from_bits_retain(self.get32(Field::PinBasedControls))
    }
    /// Primary processor-based controls.
    #[inline]
    pub fn primary(&self) -> PrimaryProcessorControls {
        PrimaryProcessorControls::from_bits_retain(self.get32(Field::PrimaryProcessorControls))
    }
    /// Secondary processor-based controls as they take effect: 0 unless activated.
    #[inline]
    pub fn secondary(&self) -> SecondaryProcessorControls {
        match self.primary().contains(PrimaryProcessorControls::ACTIVATE_SECONDARY_CONTROLS) {
            true => SecondaryProcessorControls::from_bits_retain(self.get32(Field::SecondaryProcessorControls)),
            false => SecondaryProcessorControls::empty(),
        }
    }
    /// Tertiary processor-based controls as they take effect: 0 unless activated.
    #[inline]
    pub fn tertiary(&self) -> TertiaryProcessorControls {
        match self.primary().contains(PrimaryProcessorControls::ACTIVATE_TERTIARY_CONTROLS) {
            true => TertiaryProcessorControls::from_bits_retain(self.get(Field::TertiaryProcessorControls)),
            false => TertiaryProcessorControls::empty(),
        }
    }
    /// Primary VM-exit controls.
    #[inline]
    pub fn exit(&self) -> VmExitControls {
        VmExitControls::from_bits_retain(self.get32(Field::VmExitControls))
    }
    /// Secondary VM-exit controls as they take effect: 0 unless activated.
    #[inline]
    pub fn secondary_exit(&self) -> SecondaryVmExitControls {
        match self.exit().contains(VmExitControls::ACTIVATE_SECONDARY_CONTROLS) {
            true => SecondaryVmExitControls::from_bits_retain(self.get(Field::SecondaryVmExitControls)),
            false => SecondaryVmExitControls::empty(),
        }
    }
    /// VM-entry controls.
    #[inline]
    pub fn entry(&self) -> VmEntryControls {
        VmEntryControls::from_bits_retain(self.get32(Field::VmEntryControls))
    }
    /// VM-function controls as they take effect: 0 unless VM functions are enabled.
    #[inline]
    pub fn vm_functions(&self) -> VmFunctions {
        match self.secondary().contains(SecondaryProcessorControls::ENABLE_VM_FUNCTIONS) {
            true => VmFunctions::from_bits_retain(self.get(Field::VmFunctionControls)),
            false => VmFunctions::empty(),
        }
    }
    /// Guest interruptibility state.
    #[inline]
    pub fn interruptibility(&self) -> Interruptibility {
        Interruptibility::from_bits_retain(self.get32(Field::GuestInterruptibilityState))
    }
    /// The guest's segment register `register`.
    pub fn guest_segment(&self, register: SegmentRegister) -> Segment {
        let fields = GuestSegmentFields::of(register);
        Segment {
            selector: self.get16(fields.selector),
            base: self.get(fields.base),
            limit: self.get32(fields.limit),
            access_rights: AccessRights::from_bits_retain(self.get32(fields.access_rights)),
        }
    }
    /// Stores the guest's segment register `register`, its reserved access rights cleared (SDM Vol. 3C 30.3.2 "Saving
    /// Segment Registers and Descriptor-Table Registers").
    pub fn set_guest_segment(&mut self, register: SegmentRegister, segment: &Segment) {
        let fields = GuestSegmentFields::of(register);
        // As wide as their fields.
        self.values[fields.selector.index()] = segment.selector.into();
        self.values[fields.base.index()] = segment.base;
        self.values[fields.limit.index()] = segment.limit.into();
        self.values[fields.access_rights.index()] = (segment.access_rights.bits() & !AccessRights::RESERVED).into();
        self.changed |= Changed::GUEST;
    }
}

#[inline]
fn find(encoding: u64, supported: &FieldSet) -> Result<(Field, Access), VmInstructionError> {
    Field::from_encoding(encoding)
        .filter(|(field, _)| supported.contains(*field))
        .ok_or(VmInstructionError::UnsupportedComponent)
}

/// The four fields of a guest segment register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GuestSegmentFields {
    /// Selector field.
    pub selector: Field,
    /// Base field.
    pub base: Field,
    /// Limit field.
    pub limit: Field,
    /// Access-rights field.
    pub access_rights: Field,
}

impl GuestSegmentFields {
    /// The fields of `register`.
    pub const fn of(register: SegmentRegister) -> GuestSegmentFields {
        macro_rules! fields {
            ($selector:ident $base:ident $limit:ident $rights:ident) => {
                GuestSegmentFields {
                    selector: Field::$selector,
                    base: Field::$base,
                    limit: Field::$limit,
                    access_rights: Field::$rights,
                }
            };
        }
        match register {
            SegmentRegister::Es => fields!(GuestEsSelector GuestEsBase GuestEsLimit GuestEsAccessRights),
            SegmentRegister::Cs => fields!(GuestCsSelector GuestCsBase GuestCsLimit GuestCsAccessRights),
            SegmentRegister::Ss => fields!(GuestSsSelector GuestSsBase GuestSsLimit GuestSsAccessRights),
            SegmentRegister::Ds => fields!(GuestDsSelector GuestDsBase GuestDsLimit GuestDsAccessRights),
            SegmentRegister::Fs => fields!(GuestFsSelector GuestFsBase GuestFsLimit GuestFsAccessRights),
            SegmentRegister::Gs => fields!(GuestGsSelector GuestGsBase GuestGsLimit GuestGsAccessRights),
            SegmentRegister::Ldtr => fields!(GuestLdtrSelector GuestLdtrBase GuestLdtrLimit GuestLdtrAccessRights),
            SegmentRegister::Tr => fields!(GuestTrSelector GuestTrBase GuestTrLimit GuestTrAccessRights),
        }
    }
}

/// Width of a field in bits, for dumps.
pub const fn width_bits(field: Field) -> u32 {
    match field.width() {
        Width::W16 => 16,
        Width::W32 => 32,
        Width::W64 | Width::Natural => 64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caps::VmxCapabilities;

    fn supported() -> FieldSet {
        FieldSet::supported(&VmxCapabilities::CORE_I5_M520)
    }

    #[test]
    fn vmwrite_of_16_and_32_bit_field_ignores_upper_source_bits() {
        let mut vmcs = Vmcs::new(0x2B);
        vmcs.vmwrite(0x0800, 0xDEAD_BEEF_1234_5678, &supported(), false).unwrap();
        vmcs.vmwrite(0x4000, 0xDEAD_BEEF_1234_5678, &supported(), false).unwrap();
        assert_eq!(vmcs.vmread(0x0800, &supported()), Ok(0x5678));
        assert_eq!(vmcs.vmread(0x4000, &supported()), Ok(0x1234_5678));
    }

    #[test]
    fn vmwrite_high_access_replaces_the_upper_half_only() {
        let mut vmcs = Vmcs::new(0x2B);
        vmcs.vmwrite(0x2000, 0x1111_2222_3333_4444, &supported(), false).unwrap();
        vmcs.vmwrite(0x2001, 0xFFFF_FFFF_AAAA_BBBB, &supported(), false).unwrap();
        assert_eq!(vmcs.get(Field::IoBitmapA), 0xAAAA_BBBB_3333_4444);
        assert_eq!(vmcs.vmread(0x2001, &supported()), Ok(0xAAAA_BBBB));
    }

    #[test]
    fn vmwrite_read_only_field_needs_vmx_misc_bit_29() {
        let mut vmcs = Vmcs::new(0x2B);
        assert_eq!(vmcs.vmwrite(0x4402, 1, &supported(), false), Err(VmInstructionError::ReadOnlyComponent));
        assert_eq!(vmcs.vmwrite(0x4402, 1, &supported(), true), Ok(()));
        assert_eq!(vmcs.vmwrite(0x0812, 1, &supported(), true), Err(VmInstructionError::UnsupportedComponent));
        assert_eq!(vmcs.vmread(0x1_0000_4402, &supported()), Err(VmInstructionError::UnsupportedComponent));
    }

    #[test]
    fn the_fields_of_a_guest_segment_are_as_wide_as_its_parts() {
        let ones = Segment {
            selector: u16::MAX,
            base: u64::MAX,
            limit: u32::MAX,
            access_rights: AccessRights::from_bits_retain(u32::MAX),
        };
        for register in SegmentRegister::ALL {
            let mut vmcs = Vmcs::new(0x2B);
            vmcs.changed = Changed::empty();
            vmcs.set_guest_segment(register, &ones);
            // 30.3.2 "Saving Segment Registers and Descriptor-Table Registers": reserved access rights are cleared.
            let access_rights = AccessRights::from_bits_retain(0x0001_F0FF);
            let saved = Segment { access_rights, ..ones };
            assert_eq!((vmcs.guest_segment(register), vmcs.changed), (saved, Changed::GUEST), "{register:?}");
            let fields = GuestSegmentFields::of(register);
            for field in [fields.selector, fields.base, fields.limit] {
                assert_eq!((vmcs.get(field), field.area()), (field.width().mask(), Area::Guest), "{field:?}");
            }
            assert_eq!(fields.access_rights.area(), Area::Guest);
        }
    }
}
