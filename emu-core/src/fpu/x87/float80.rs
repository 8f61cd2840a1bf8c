//! The double extended-precision format: encodings and classes (SDM Vol. 1 4.2.2, 8.2.2).

/// Exponent bias.
pub const BIAS: i32 = 16383;
/// Exponent of the smallest normal number, and of all denormals.
pub const MIN_EXPONENT: i32 = -16382;
/// The integer bit of a significand.
pub const INTEGER_BIT: u64 = 1 << 63;
/// The bit that makes a NaN quiet.
pub const QUIET_BIT: u64 = 1 << 62;

/// An 80-bit value as it lies in a register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct F80 {
    /// Sign (bit 15) and biased exponent.
    pub sign_exponent: u16,
    /// Significand with its explicit integer bit.
    pub significand: u64,
}

/// What an encoding stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Zero.
    Zero,
    /// Denormal or pseudo-denormal: an operand that raises #D.
    Denormal,
    /// Normal finite number.
    Normal,
    /// Infinity.
    Infinity,
    /// Quiet NaN.
    Quiet,
    /// Signaling NaN.
    Signaling,
    /// Unnormal, pseudo-infinity or pseudo-NaN: an operand that raises #IA (SDM Vol. 1 Table 8-3).
    Unsupported,
}

/// A finite value other than zero: `significand` × 2^(`exponent` - 63), its top bit set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unpacked {
    /// Negative.
    pub sign: bool,
    /// Unbiased exponent.
    pub exponent: i32,
    /// Normalized significand.
    pub significand: u64,
}

impl Unpacked {
    /// The same with the other sign.
    #[inline(always)]
    pub fn negated(self) -> Self {
        Self { sign: !self.sign, ..self }
    }
}

impl F80 {
    /// +0.
    pub const ZERO: Self = Self::new(0, 0);
    /// +1.
    pub const ONE: Self = Self::new(0x3FFF, INTEGER_BIT);
    /// The default NaN, "real indefinite".
    pub const INDEFINITE: Self = Self::new(0xFFFF, INTEGER_BIT | QUIET_BIT);
    /// +∞.
    pub const INFINITY: Self = Self::new(0x7FFF, INTEGER_BIT);

    /// From its two parts.
    pub const fn new(sign_exponent: u16, significand: u64) -> Self {
        Self { sign_exponent, significand }
    }

    /// From the ten bytes of its memory format.
    pub fn from_bytes(bytes: &[u8; 10]) -> Self {
        let mut low = [0; 8];
        low.copy_from_slice(&bytes[..8]);
        Self::new(u16::from_le_bytes([bytes[8], bytes[9]]), u64::from_le_bytes(low))
    }

    /// The ten bytes of its memory format.
    pub fn to_bytes(self) -> [u8; 10] {
        let mut bytes = [0; 10];
        bytes[..8].copy_from_slice(&self.significand.to_le_bytes());
        bytes[8..].copy_from_slice(&self.sign_exponent.to_le_bytes());
        bytes
    }

    /// Whether the sign bit is set.
    #[inline]
    pub fn sign(self) -> bool {
        self.sign_exponent >> 15 != 0
    }

    /// The biased exponent.
    #[inline]
    pub fn biased(self) -> u16 {
        self.sign_exponent & 0x7FFF
    }

    /// The same with the sign given.
    #[inline]
    pub fn with_sign(self, sign: bool) -> Self {
        Self::new(self.biased() | u16::from(sign) << 15, self.significand)
    }

    /// The same with the other sign.
    #[inline]
    pub fn negated(self) -> Self {
        Self::new(self.sign_exponent ^ 0x8000, self.significand)
    }

    /// What the encoding stands for.
    #[inline]
    pub fn class(self) -> Class {
        let integer = self.significand & INTEGER_BIT != 0;
        match self.biased() {
            0 if self.significand == 0 => Class::Zero,
            0 => Class::Denormal,
            _ if !integer => Class::Unsupported,
            0x7FFF if self.significand == INTEGER_BIT => Class::Infinity,
            0x7FFF if self.significand & QUIET_BIT != 0 => Class::Quiet,
            0x7FFF => Class::Signaling,
            _ => Class::Normal,
        }
    }

    /// Whether the class is [`Class::Normal`].
    #[inline(always)]
    pub fn is_normal(self) -> bool {
        self.biased().wrapping_sub(1) < 0x7FFE && self.significand & INTEGER_BIT != 0
    }

    /// The parts of a normal number.
    #[inline(always)]
    pub fn unpack_normal(self) -> Unpacked {
        let (sign, exponent) = (self.sign(), i32::from(self.biased()) - BIAS);
        Unpacked { sign, exponent, significand: self.significand }
    }

    /// Whether it is a NaN of either kind.
    pub fn is_nan(self) -> bool {
        matches!(self.class(), Class::Quiet | Class::Signaling)
    }

    /// A NaN made quiet.
    pub fn quieted(self) -> Self {
        Self::new(self.sign_exponent, self.significand | QUIET_BIT)
    }

    /// The parts of a finite value that is not zero.
    #[inline]
    pub fn unpack(self) -> Unpacked {
        let biased = i32::from(self.biased());
        let shift = self.significand.leading_zeros();
        Unpacked {
            sign: self.sign(),
            exponent: biased.max(1) - BIAS - shift as i32,
            significand: self.significand.wrapping_shl(shift),
        }
    }

    /// Infinity of a sign.
    pub fn infinity(sign: bool) -> Self {
        Self::INFINITY.with_sign(sign)
    }

    /// Zero of a sign.
    pub fn zero(sign: bool) -> Self {
        Self::ZERO.with_sign(sign)
    }

    /// An integer, exactly.
    pub fn from_integer(value: i64) -> Self {
        if value == 0 {
            return Self::ZERO;
        }
        let magnitude = value.unsigned_abs();
        let shift = magnitude.leading_zeros();
        Self::new((BIAS as u32 + 63 - shift) as u16, magnitude << shift).with_sign(value < 0)
    }
}
