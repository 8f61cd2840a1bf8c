//! VM exits: reasons, qualifications, instruction and interruption information
//! (SDM Vol. 3C 25.9 "VM-Exit Information Fields", 28.2 "Recording VM-Exit Information and Updating VM-Entry Control
//! Fields", Vol. 3D Appendix C "VMX Basic Exit Reasons").

use serde::{Deserialize, Serialize};

/// Interruption types (SDM Vol. 3C 25.8.3, Table 25-17).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum InterruptionType {
    /// External interrupt.
    ExternalInterrupt = 0,
    /// Reserved.
    Reserved = 1,
    /// Non-maskable interrupt.
    Nmi = 2,
    /// Hardware exception.
    HardwareException = 3,
    /// Software interrupt (INT n).
    SoftwareInterrupt = 4,
    /// Privileged software exception (INT1).
    PrivilegedSoftwareException = 5,
    /// Software exception (INT3, INTO).
    SoftwareException = 6,
    /// Other event (pending MTF VM exit).
    Other = 7,
}

impl InterruptionType {
    /// From the three bits 10:8.
    pub const fn from_bits(bits: u32) -> InterruptionType {
        match bits & 7 {
            0 => Self::ExternalInterrupt,
            1 => Self::Reserved,
            2 => Self::Nmi,
            3 => Self::HardwareException,
            4 => Self::SoftwareInterrupt,
            5 => Self::PrivilegedSoftwareException,
            6 => Self::SoftwareException,
            _ => Self::Other,
        }
    }
    /// INT n, INT1, INT3 and INTO: the instruction length matters.
    pub const fn is_software(self) -> bool {
        matches!(self, Self::SoftwareInterrupt | Self::PrivilegedSoftwareException | Self::SoftwareException)
    }
}

/// The format that the VM-entry interruption-information, VM-exit interruption-information and IDT-vectoring
/// information fields share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct InterruptionInformation(pub u32);

impl InterruptionInformation {
    /// Bit 11: an error code is delivered or valid.
    pub const ERROR_CODE: u32 = 1 << 11;
    /// Bit 12 of the VM-exit field: NMI unblocking due to IRET.
    pub const NMI_UNBLOCKING: u32 = 1 << 12;
    /// Bit 31: valid.
    pub const VALID: u32 = 1 << 31;

    /// A valid event.
    pub const fn new(vector: u8, kind: InterruptionType, error_code: bool) -> Self {
        let error = if error_code { Self::ERROR_CODE } else { 0 };
        InterruptionInformation(Self::VALID | error | (kind as u32) << 8 | vector as u32)
    }
    /// Valid.
    pub const fn valid(self) -> bool {
        self.0 & Self::VALID != 0
    }
    /// Vector.
    pub const fn vector(self) -> u8 {
        self.0 as u8
    }
    /// Type.
    pub const fn kind(self) -> InterruptionType {
        InterruptionType::from_bits(self.0 >> 8)
    }
    /// An error code goes with it.
    pub const fn error_code(self) -> bool {
        self.0 & Self::ERROR_CODE != 0
    }
    /// The same with bit 12, “NMI unblocking due to IRET”.
    pub const fn with_nmi_unblocking(self, unblocking: bool) -> Self {
        if unblocking { Self(self.0 | Self::NMI_UNBLOCKING) } else { self }
    }
    /// Valid and of this type.
    pub fn injects(self, kind: InterruptionType) -> bool {
        self.valid() && self.kind() == kind
    }
}
