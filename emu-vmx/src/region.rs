//! Where a processor keeps a VMCS in its region (SDM Vol. 3C 25.2 "Format of the VMCS Region").
//!
//! The format of the VMCS data is implementation-specific. Ours: revision identifier at 0 (bit 31 is the shadow-VMCS
//! indicator), VMX-abort indicator at 4, launch state at 8; from 16 on the fields that the processor has, without gaps,
//! little-endian, those of 64 bits and of natural width before those of 32 and of 16, each in the order of [`Field::ALL`].

use crate::field::{FIELD_COUNT, Field, FieldSet, Width};
use crate::vmcs::{LaunchState, SHADOW_INDICATOR, Vmcs};

/// Offset of the revision identifier.
pub const REVISION_OFFSET: usize = 0;
/// Offset of the VMX-abort indicator.
pub const ABORT_OFFSET: usize = 4;
/// Offset of the launch state in our layout.
pub const LAUNCH_STATE_OFFSET: usize = 8;
/// Offset of the first field in our layout.
const DATA_OFFSET: usize = 16;
/// The place of a field that the processor has not: never that of a field.
const NOWHERE: u16 = 0;

/// Where the fields of a processor lie in a VMCS region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegionLayout {
    places: [u16; FIELD_COUNT],
    size: u16,
}

impl RegionLayout {
    /// The layout for a processor with these fields.
    pub fn of(fields: &FieldSet) -> Self {
        let mut layout = Self { places: [NOWHERE; FIELD_COUNT], size: DATA_OFFSET as u16 };
        for bytes in [8, 4, 2] {
            for field in fields.iter().filter(|field| bytes_of(*field) == bytes) {
                layout.places[field.index()] = layout.size;
                layout.size += bytes as u16;
            }
        }
        layout
    }

    /// How many bytes of a region it takes; at most [`VmxBasic::region_size`](crate::caps::VmxBasic::region_size).
    pub const fn size(&self) -> usize {
        self.size as usize
    }

    /// Offset of a field; `None` for one that the processor has not.
    pub fn offset(&self, field: Field) -> Option<usize> {
        let place = self.places[field.index()];
        (place != NOWHERE).then_some(usize::from(place))
    }

    /// Decodes a region; fields that the processor has not are 0. `None` if it is shorter than [`RegionLayout::size`].
    pub fn load(&self, region: &[u8]) -> Option<Vmcs> {
        let region = region.get(..self.size())?;
        let number = |at: usize, bytes: usize| {
            region[at..at + bytes].iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
        };
        let first = number(REVISION_OFFSET, 4) as u32;
        let mut vmcs = Vmcs::new(first);
        vmcs.shadow = first & SHADOW_INDICATOR != 0;
        vmcs.abort = number(ABORT_OFFSET, 4) as u32;
        vmcs.launch_state =
            if number(LAUNCH_STATE_OFFSET, 4) == 1 { LaunchState::Launched } else { LaunchState::Clear };
        for &field in Field::ALL {
            if let Some(at) = self.offset(field) {
                vmcs.set(field, number(at, bytes_of(field)));
            }
        }
        Some(vmcs)
    }

    /// Encodes into a region. The abort indicator is left alone (only a VMX abort writes it), and so are bytes that
    /// belong to no field. Does nothing when `region` is shorter than [`RegionLayout::size`].
    pub fn store(&self, vmcs: &Vmcs, region: &mut [u8]) {
        let Some(region) = region.get_mut(..self.size()) else { return };
        let mut put = |at: usize, bytes: &[u8]| region[at..at + bytes.len()].copy_from_slice(bytes);
        let first = vmcs.revision_id | if vmcs.shadow { SHADOW_INDICATOR } else { 0 };
        put(REVISION_OFFSET, &first.to_le_bytes());
        put(LAUNCH_STATE_OFFSET, &u32::from(vmcs.launch_state == LaunchState::Launched).to_le_bytes());
        for &field in Field::ALL {
            if let Some(at) = self.offset(field) {
                put(at, &vmcs.get(field).to_le_bytes()[..bytes_of(field)]);
            }
        }
    }
}

/// Bytes of a field.
const fn bytes_of(field: Field) -> usize {
    match field.width() {
        Width::W16 => 2,
        Width::W32 => 4,
        Width::W64 | Width::Natural => 8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caps::VmxCapabilities;

    /// All fields that exist, or those of the Core i5 M520, each with another value.
    fn filled(fields: &FieldSet) -> Vmcs {
        let mut vmcs = Vmcs::new(0x2B);
        for (n, field) in fields.iter().enumerate() {
            vmcs.set(field, 0x0123_4567_89AB_CDEF ^ (n as u64) << 8);
        }
        vmcs.launch_state = LaunchState::Launched;
        vmcs.shadow = true;
        vmcs
    }

    #[test]
    fn region_store_then_load_gives_the_same_vmcs_and_touches_nothing_behind_it() {
        let mut every = FieldSet::default();
        Field::ALL.iter().for_each(|field| every.insert(*field));
        for fields in [every, FieldSet::supported(&VmxCapabilities::CORE_I5_M520)] {
            let layout = RegionLayout::of(&fields);
            let vmcs = filled(&fields);
            let mut region = alloc::vec![0xA5u8; layout.size() + 64];
            region[ABORT_OFFSET..ABORT_OFFSET + 4].fill(0);
            layout.store(&vmcs, &mut region);
            assert_eq!(region[..4], 0x8000_002Bu32.to_le_bytes());
            assert!(region[layout.size()..].iter().all(|byte| *byte == 0xA5));
            assert_eq!(layout.load(&region[..layout.size()]), Some(vmcs));
            assert_eq!(layout.load(&region[..layout.size() - 1]), None);
        }
    }

    #[test]
    fn region_places_do_not_overlap_and_fields_that_do_not_exist_have_none() {
        let fields = FieldSet::supported(&VmxCapabilities::CORE_I5_M520);
        let layout = RegionLayout::of(&fields);
        let mut taken = alloc::vec![false; layout.size()];
        for &field in Field::ALL {
            let place = layout.offset(field);
            assert_eq!(place.is_some(), fields.contains(field), "{field:?}");
            for byte in place.into_iter().flat_map(|at| at..at + bytes_of(field)) {
                assert!(byte >= DATA_OFFSET && !std::mem::replace(&mut taken[byte], true), "{field:?}");
            }
        }
    }
}
