//! Operand widths as types, so that handlers are generated once per width.

use super::uop::REG_HIGH_BYTE;

/// An operand width: implemented by `u8`, `u16`, `u32` and `u64`. Values travel zero-extended in `u64`.
pub trait Width: Copy + 'static {
    /// Bits.
    const BITS: u32;
    /// Bytes.
    const BYTES: u64 = Self::BITS as u64 / 8;
    /// Mask of that many bits.
    const MASK: u64 = u64::MAX >> (64 - Self::BITS);
    /// Number of the sign bit.
    const TOP: u8 = Self::BITS as u8 - 1;
    /// 0 to 3.
    const INDEX: usize = Self::BITS.trailing_zeros() as usize - 3;

    /// Reads a register operand.
    fn get(gpr: &[u64; 32], register: u8) -> u64;
    /// Writes a register operand: 32 bits clear the upper half, 8 and 16 leave the rest.
    fn set(gpr: &mut [u64; 32], register: u8, value: u64);
    /// Loads from guest memory.
    fn load(bytes: &[u8], offset: usize) -> u64;
    /// Stores into a slice of exactly this width.
    fn store(place: &mut [u8], value: u64);

    /// Sign-extends a value of this width.
    #[inline(always)]
    fn sign_extend(value: u64) -> u64 {
        ((value << (64 - Self::BITS)) as i64 >> (64 - Self::BITS)) as u64
    }
}

macro_rules! width {
    ($type:ident, $bits:literal, $get:expr, $set:expr) => {
        impl Width for $type {
            const BITS: u32 = $bits;
            #[inline(always)]
            fn get(gpr: &[u64; 32], register: u8) -> u64 {
                let get: fn(&[u64; 32], u8) -> u64 = $get;
                get(gpr, register)
            }
            #[inline(always)]
            fn set(gpr: &mut [u64; 32], register: u8, value: u64) {
                let set: fn(&mut [u64; 32], u8, u64) = $set;
                set(gpr, register, value)
            }
            #[inline(always)]
            fn load(bytes: &[u8], offset: usize) -> u64 {
                let mut value = [0; size_of::<$type>()];
                value.copy_from_slice(&bytes[offset..offset + size_of::<$type>()]);
                $type::from_le_bytes(value) as u64
            }
            #[inline(always)]
            fn store(place: &mut [u8], value: u64) {
                place.copy_from_slice(&(value as $type).to_le_bytes());
            }
        }
    };
}

width!(u8, 8, |gpr, r| gpr[r as usize & 31] >> ((r & REG_HIGH_BYTE) >> 3) & 0xFF, |gpr, r, v| {
    let shift = (r & REG_HIGH_BYTE) >> 3;
    let register = &mut gpr[r as usize & 31];
    *register = *register & !(0xFF << shift) | (v & 0xFF) << shift;
});
width!(u16, 16, |gpr, r| gpr[r as usize & 31] & 0xFFFF, |gpr, r, v| {
    let register = &mut gpr[r as usize & 31];
    *register = *register & !0xFFFF | v & 0xFFFF;
});
width!(u32, 32, |gpr, r| gpr[r as usize & 31] & 0xFFFF_FFFF, |gpr, r, v| gpr[r as usize & 31] = v & 0xFFFF_FFFF);
width!(u64, 64, |gpr, r| gpr[r as usize & 31], |gpr, r, v| gpr[r as usize & 31] = v);
