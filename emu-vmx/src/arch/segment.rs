//! Segments: registers, access rights in the VMX format, descriptors (SDM Vol. 3A 3.4 and 3.5; Vol. 3C 25.4.1
//! "Guest Register State", Table "Format of Access Rights").

use serde::{Deserialize, Serialize};

/// A segment register, or LDTR or TR. The first six values are the hardware encodings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum SegmentRegister {
    /// ES.
    Es = 0,
    /// CS.
    Cs = 1,
    /// SS.
    Ss = 2,
    /// DS.
    Ds = 3,
    /// FS.
    Fs = 4,
    /// GS.
    Gs = 5,
    /// LDTR.
    Ldtr = 6,
    /// TR.
    Tr = 7,
}

impl SegmentRegister {
    /// All eight, in the order of their VMCS encodings.
    pub const ALL: [SegmentRegister; 8] =
        [Self::Es, Self::Cs, Self::Ss, Self::Ds, Self::Fs, Self::Gs, Self::Ldtr, Self::Tr];
    /// The six that instructions can name.
    pub const USER: [SegmentRegister; 6] = [Self::Es, Self::Cs, Self::Ss, Self::Ds, Self::Fs, Self::Gs];

    /// The segment register with hardware encoding `n`: 0–5, or 6 for LDTR and 7 for TR.
    pub const fn from_index(n: u8) -> Option<SegmentRegister> {
        match n {
            0..=7 => Some(Self::ALL[n as usize]),
            _ => None,
        }
    }
    /// Name in the SDM.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Es => "ES",
            Self::Cs => "CS",
            Self::Ss => "SS",
            Self::Ds => "DS",
            Self::Fs => "FS",
            Self::Gs => "GS",
            Self::Ldtr => "LDTR",
            Self::Tr => "TR",
        }
    }
}

/// Types of system descriptors (S = 0), SDM Vol. 3A Table 3-2.
pub mod system_type {
    /// Available 16-bit TSS.
    pub const TSS16_AVAILABLE: u8 = 1;
    /// LDT.
    pub const LDT: u8 = 2;
    /// Busy 16-bit TSS.
    pub const TSS16_BUSY: u8 = 3;
    /// 16-bit call gate.
    pub const CALL_GATE16: u8 = 4;
    /// Task gate.
    pub const TASK_GATE: u8 = 5;
    /// 16-bit interrupt gate.
    pub const INTERRUPT_GATE16: u8 = 6;
    /// 16-bit trap gate.
    pub const TRAP_GATE16: u8 = 7;
    /// Available 32-bit TSS; 64-bit in IA-32e mode.
    pub const TSS_AVAILABLE: u8 = 9;
    /// Busy 32-bit TSS; 64-bit in IA-32e mode.
    pub const TSS_BUSY: u8 = 11;
    /// 32-bit call gate; 64-bit in IA-32e mode.
    pub const CALL_GATE: u8 = 12;
    /// 32-bit interrupt gate; 64-bit in IA-32e mode.
    pub const INTERRUPT_GATE: u8 = 14;
    /// 32-bit trap gate; 64-bit in IA-32e mode.
    pub const TRAP_GATE: u8 = 15;
}

bitflags::bitflags! {
    /// Access rights in the VMX format: bytes 5 and 6 of the descriptor without the limit nibble, and bit 16
    /// "unusable".
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
    pub struct AccessRights: u32 {
        /// Type bit 0: accessed (code, data).
        const ACCESSED = 1 << 0;
        /// Type bit 1: readable (code) or writable (data); busy (TSS).
        const READ_WRITE = 1 << 1;
        /// Type bit 2: conforming (code) or expand-down (data).
        const CONFORMING_EXPAND_DOWN = 1 << 2;
        /// Type bit 3: code (S = 1).
        const CODE = 1 << 3;
        /// S: code or data, not system.
        const S = 1 << 4;
        /// Descriptor privilege level, two bits.
        const DPL = 3 << 5;
        /// Present.
        const P = 1 << 7;
        /// Available to software.
        const AVL = 1 << 12;
        /// 64-bit code segment.
        const L = 1 << 13;
        /// D/B: default operation size, stack size, upper bound.
        const DB = 1 << 14;
        /// Granularity: the limit is in 4 KiB units.
        const G = 1 << 15;
        /// Segment unusable (null selector).
        const UNUSABLE = 1 << 16;
    }
}

impl AccessRights {
    /// Reserved bits: 11:8 and 31:17.
    pub const RESERVED: u32 = 0xFFFE_0F00;
    /// Reset value of data segment registers: present, writable, accessed (SDM Vol. 3A Table 10-1).
    pub const RESET_DATA: AccessRights = AccessRights::from_bits_retain(0x93);
    /// Reset value of CS. The SDM gives type 3 for all segment registers; processors show Bh in CS.
    pub const RESET_CODE: AccessRights = AccessRights::from_bits_retain(0x9B);
    /// A null segment register.
    pub const NULL: AccessRights = AccessRights::UNUSABLE;

    /// Descriptor type, bits 3:0.
    pub const fn type_field(self) -> u8 {
        (self.bits() & 0xF) as u8
    }
    /// The same rights with another type.
    pub const fn with_type(self, type_field: u8) -> Self {
        Self::from_bits_retain((self.bits() & !0xF) | (type_field & 0xF) as u32)
    }
    /// Descriptor privilege level, 0–3.
    pub const fn dpl(self) -> u8 {
        ((self.bits() >> 5) & 3) as u8
    }
    /// The same rights with another DPL.
    pub const fn with_dpl(self, dpl: u8) -> Self {
        Self::from_bits_retain((self.bits() & !(3 << 5)) | (((dpl & 3) as u32) << 5))
    }
    /// Loaded with a null selector: any access faults.
    pub const fn unusable(self) -> bool {
        self.contains(Self::UNUSABLE)
    }
    /// Present.
    pub const fn present(self) -> bool {
        self.contains(Self::P)
    }
    /// System descriptor (S = 0).
    pub const fn is_system(self) -> bool {
        !self.contains(Self::S)
    }
    /// Code segment.
    pub const fn is_code(self) -> bool {
        self.contains(Self::S.union(Self::CODE))
    }
    /// Data segment.
    pub const fn is_data(self) -> bool {
        self.contains(Self::S) && !self.contains(Self::CODE)
    }
    /// Conforming code segment.
    pub const fn conforming(self) -> bool {
        self.is_code() && self.contains(Self::CONFORMING_EXPAND_DOWN)
    }
    /// Expand-down data segment.
    pub const fn expand_down(self) -> bool {
        self.is_data() && self.contains(Self::CONFORMING_EXPAND_DOWN)
    }
    /// Writable data segment.
    pub const fn writable(self) -> bool {
        self.is_data() && self.contains(Self::READ_WRITE)
    }
    /// Data segment or readable code segment.
    pub const fn readable(self) -> bool {
        self.is_data() || (self.is_code() && self.contains(Self::READ_WRITE))
    }
    /// Accessed code or data segment.
    pub const fn accessed(self) -> bool {
        self.contains(Self::S.union(Self::ACCESSED))
    }
    /// 64-bit code segment.
    pub const fn long(self) -> bool {
        self.contains(Self::L)
    }
    /// D/B flag.
    pub const fn default_big(self) -> bool {
        self.contains(Self::DB)
    }
    /// Type of a system descriptor, see [`system_type`]; `None` for code and data.
    pub const fn system_type(self) -> Option<u8> {
        if self.is_system() { Some(self.type_field()) } else { None }
    }
    /// From bits 55:40 of a descriptor (the limit nibble is dropped).
    pub const fn from_descriptor(low: u64) -> Self {
        Self::from_bits_retain(((low >> 40) & 0xF0FF) as u32)
    }
}

/// A segment register with its hidden part. `limit` is in bytes (granularity already applied).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Segment {
    /// Visible part.
    pub selector: u16,
    /// Base linear address.
    pub base: u64,
    /// Limit in bytes: the highest valid offset, or for expand-down segments the highest invalid one.
    pub limit: u32,
    /// Attributes.
    pub access_rights: AccessRights,
}

impl Default for Segment {
    fn default() -> Self {
        Segment::NULL
    }
}

impl Segment {
    /// A segment register loaded with a null selector.
    pub const NULL: Segment = Segment { selector: 0, base: 0, limit: 0, access_rights: AccessRights::NULL };

    /// Segment register as loaded in real-address mode: base is selector × 16, the rest as at reset.
    pub const fn real_mode(selector: u16) -> Segment {
        Segment { selector, base: (selector as u64) << 4, limit: 0xFFFF, access_rights: AccessRights::RESET_DATA }
    }
    /// Segment register as loaded in virtual-8086 mode (access rights F3h).
    pub const fn virtual_8086(selector: u16) -> Segment {
        Segment {
            selector,
            base: (selector as u64) << 4,
            limit: 0xFFFF,
            access_rights: AccessRights::from_bits_retain(0xF3),
        }
    }
    /// From an 8-byte descriptor (code, data, or a system segment outside 64-bit mode).
    pub const fn from_descriptor(selector: u16, low: u64) -> Segment {
        let descriptor = Descriptor(low);
        Segment {
            selector,
            base: descriptor.base() as u64,
            limit: descriptor.limit(),
            access_rights: descriptor.access_rights(),
        }
    }
    /// From the two halves of a 16-byte system descriptor (LDT, TSS in IA-32e mode).
    pub const fn from_system_descriptor(selector: u16, low: u64, high: u64) -> Segment {
        let mut segment = Self::from_descriptor(selector, low);
        segment.base |= high << 32;
        segment
    }
    /// The 8-byte descriptor of this segment (base bits 31:0). A limit that needs granularity must have G set, as
    /// every loaded segment has.
    pub const fn to_descriptor(self) -> u64 {
        let rights = (self.access_rights.bits() & 0xF0FF) as u64;
        let limit = if self.access_rights.contains(AccessRights::G) { self.limit >> 12 } else { self.limit } as u64;
        (limit & 0xFFFF)
            | ((self.base & 0xFF_FFFF) << 16)
            | (rights << 40)
            | (((limit >> 16) & 0xF) << 48)
            | (((self.base >> 24) & 0xFF) << 56)
    }
    /// The 16-byte system descriptor of this segment, low half first.
    pub const fn to_system_descriptor(self) -> (u64, u64) {
        (self.to_descriptor(), self.base >> 32)
    }
    /// Requested privilege level of the selector.
    pub const fn rpl(self) -> u8 {
        (self.selector & 3) as u8
    }
}

/// An 8-byte entry of the GDT, LDT or IDT (or the low half of a 16-byte one).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Descriptor(pub u64);

impl Descriptor {
    /// The accessed bit (type bit 0) in the descriptor.
    pub const ACCESSED: u64 = 1 << 40;
    /// The busy bit of a TSS descriptor.
    pub const BUSY: u64 = 1 << 41;

    /// Base bits 31:0.
    pub const fn base(self) -> u32 {
        (((self.0 >> 16) & 0xFF_FFFF) | ((self.0 >> 32) & 0xFF00_0000)) as u32
    }
    /// Limit in bytes, granularity applied.
    pub const fn limit(self) -> u32 {
        let raw = ((self.0 & 0xFFFF) | ((self.0 >> 32) & 0xF_0000)) as u32;
        if self.0 & (1 << 55) != 0 { (raw << 12) | 0xFFF } else { raw }
    }
    /// Access rights.
    pub const fn access_rights(self) -> AccessRights {
        AccessRights::from_descriptor(self.0)
    }
    /// Gate: target selector.
    pub const fn gate_selector(self) -> u16 {
        (self.0 >> 16) as u16
    }
    /// Gate: offset bits 31:0 (16-bit gates use bits 15:0 only).
    pub const fn gate_offset(self) -> u32 {
        ((self.0 & 0xFFFF) | ((self.0 >> 32) & 0xFFFF_0000)) as u32
    }
    /// Call gate: number of parameters copied, 0–31.
    pub const fn gate_parameter_count(self) -> u8 {
        ((self.0 >> 32) & 0x1F) as u8
    }
    /// 64-bit interrupt or trap gate: interrupt-stack-table index, 0–7.
    pub const fn gate_ist(self) -> u8 {
        ((self.0 >> 32) & 7) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptor_flat_code_round_trips() {
        let s = Segment::from_descriptor(8, 0x00CF_9A00_0000_FFFF);
        assert_eq!((s.base, s.limit, s.access_rights.bits()), (0, 0xFFFF_FFFF, 0xC09A));
        assert!(s.access_rights.is_code() && s.access_rights.readable() && !s.access_rights.conforming());
        assert_eq!(s.to_descriptor(), 0x00CF_9A00_0000_FFFF);
    }

    #[test]
    fn descriptor_system_base_above_4g_round_trips() {
        let s = Segment {
            selector: 0x40,
            base: 0xFFFF_8123_4567_89AB,
            limit: 0x67,
            access_rights: AccessRights::from_bits_retain(0x8B),
        };
        let (low, high) = s.to_system_descriptor();
        assert_eq!(Segment::from_system_descriptor(0x40, low, high), s);
        assert_eq!(s.access_rights.system_type(), Some(system_type::TSS_BUSY));
    }
}
