//! Packed integer arithmetic, comparison, shuffles and packing: rows of the table of two-source operations.

use super::element::{from_fn, get, interleave_high, interleave_low, map, pairs, zip, zip_with};
use super::lanes::Row2 as Row;
use crate::ir::kernels::TwoSources::*;

fn truth(on: bool, ones: u128) -> u128 {
    if on { ones } else { 0 }
}

macro_rules! compare {
    ($type:ident, $op:tt) => {
        |a, b, _| zip::<$type>(a, b, |a, b| if a $op b { !0 } else { 0 })
    };
}

/// Sum of the products of neighbours, 32 bits.
fn multiply_add_words(a: u128, b: u128) -> u128 {
    from_fn::<i32>(|n| {
        let product = |k: usize| i32::from(get::<i16>(a, k)) * i32::from(get::<i16>(b, k));
        product(2 * n).wrapping_add(product(2 * n + 1))
    })
}

/// PMADDUBSW: unsigned bytes of `a`, signed bytes of `b`.
fn multiply_add_bytes(a: u128, b: u128) -> u128 {
    from_fn::<i16>(|n| {
        let product = |k: usize| i32::from(get::<u8>(a, k)) * i32::from(get::<i8>(b, k));
        (product(2 * n) + product(2 * n + 1)).clamp(-0x8000, 0x7FFF) as i16
    })
}

/// PSADBW.
fn sum_of_differences(a: u128, b: u128) -> u128 {
    from_fn::<u64>(|n| (8 * n..8 * n + 8).map(|k| u64::from(get::<u8>(a, k).abs_diff(get::<u8>(b, k)))).sum())
}

/// MPSADBW; the control of lane 1 lies in bits 5:3.
fn many_sums(a: u128, b: u128, imm: u32) -> u128 {
    let control = imm >> (3 * (imm >> 8 & 1));
    let (from_a, from_b) = ((control as usize >> 2 & 1) * 4, (control as usize & 3) * 4);
    from_fn::<u16>(|n| (0..4).map(|k| u16::from(get::<u8>(a, from_a + n + k).abs_diff(get::<u8>(b, from_b + k)))).sum())
}

/// PHMINPOSUW.
fn minimum_word(b: u128) -> u128 {
    let (place, least) = (0..8).map(|n| (n, get::<u16>(b, n))).min_by_key(|&(n, word)| (word, n)).unwrap_or((0, 0));
    u128::from(least) | (place as u128) << 16
}

/// PSHUFB.
fn shuffle_bytes(a: u128, b: u128) -> u128 {
    let bytes = a.to_le_bytes();
    map::<u8>(b, |index| if index & 0x80 != 0 { 0 } else { bytes[usize::from(index & 15)] })
}

/// PALIGNR.
fn align(a: u128, b: u128, imm: u32) -> u128 {
    match imm & 0xFF {
        0 => b,
        n @ 1..=15 => b >> (8 * n) | a << (128 - 8 * n),
        n @ 16..=31 => a >> (8 * (n - 16)),
        _ => 0,
    }
}

/// Element of `b` for each result element by two bits of the immediate.
fn shuffle_doublewords(b: u128, imm: u32) -> u128 {
    from_fn::<u32>(|n| get(b, (imm >> (2 * n)) as usize & 3))
}

fn shuffle_words(b: u128, imm: u32, first: usize) -> u128 {
    from_fn::<u16>(|n| if n & 4 == first { get(b, first + ((imm >> (2 * (n & 3))) as usize & 3)) } else { get(b, n) })
}

fn shuffle_singles(a: u128, b: u128, imm: u32) -> u128 {
    from_fn::<u32>(|n| get(if n < 2 { a } else { b }, (imm >> (2 * n)) as usize & 3))
}

/// SHUFPD; each lane has two bits of the immediate.
fn shuffle_doubles(a: u128, b: u128, imm: u32) -> u128 {
    let control = (imm & 0xFF) >> (2 * (imm >> 8));
    from_fn::<u64>(|n| get(if n == 0 { a } else { b }, (control >> n) as usize & 1))
}

/// Elements of `b` where the immediate has a one; `per_lane` bits of it for each lane.
macro_rules! blend {
    ($type:ident, $per_lane:expr) => {
        |a, b, imm| {
            let control = (imm & 0xFF) >> ($per_lane * (imm >> 8));
            from_fn::<$type>(|n| get(if control >> n & 1 != 0 { b } else { a }, n))
        }
    };
}

/// INSERTPS.
fn insert_single(a: u128, b: u128, imm: u32) -> u128 {
    let (source, destination) = ((imm >> 6) as usize & 3, (imm >> 4) as usize & 3);
    from_fn::<u32>(|n| {
        if imm >> n & 1 != 0 {
            0
        } else if n == destination {
            get(b, source)
        } else {
            get(a, n)
        }
    })
}

macro_rules! pack {
    ($from:ident, $to:ident) => {
        |a, b, _| {
            from_fn::<$to>(|n| {
                let half = 8 / size_of::<$to>();
                let value: $from = get(if n < half { a } else { b }, n % half);
                value.clamp($to::MIN as $from, $to::MAX as $from) as $to
            })
        }
    };
}

/// Arithmetic, comparison, shuffles and packing.
pub const TABLE: &[Row] = &[
    Row(Paddb, |a, b, _| zip(a, b, u8::wrapping_add)),
    Row(Paddw, |a, b, _| zip(a, b, u16::wrapping_add)),
    Row(Paddd, |a, b, _| zip(a, b, u32::wrapping_add)),
    Row(Paddq, |a, b, _| zip(a, b, u64::wrapping_add)),
    Row(Psubb, |a, b, _| zip(a, b, u8::wrapping_sub)),
    Row(Psubw, |a, b, _| zip(a, b, u16::wrapping_sub)),
    Row(Psubd, |a, b, _| zip(a, b, u32::wrapping_sub)),
    Row(Psubq, |a, b, _| zip(a, b, u64::wrapping_sub)),
    Row(Paddsb, |a, b, _| zip(a, b, i8::saturating_add)),
    Row(Paddsw, |a, b, _| zip(a, b, i16::saturating_add)),
    Row(Paddusb, |a, b, _| zip(a, b, u8::saturating_add)),
    Row(Paddusw, |a, b, _| zip(a, b, u16::saturating_add)),
    Row(Psubsb, |a, b, _| zip(a, b, i8::saturating_sub)),
    Row(Psubsw, |a, b, _| zip(a, b, i16::saturating_sub)),
    Row(Psubusb, |a, b, _| zip(a, b, u8::saturating_sub)),
    Row(Psubusw, |a, b, _| zip(a, b, u16::saturating_sub)),
    Row(Pmullw, |a, b, _| zip(a, b, i16::wrapping_mul)),
    Row(Pmulld, |a, b, _| zip(a, b, i32::wrapping_mul)),
    Row(Vpmullq, |a, b, _| zip(a, b, i64::wrapping_mul)),
    Row(Pmulhw, |a, b, _| zip::<i16>(a, b, |a, b| ((i32::from(a) * i32::from(b)) >> 16) as i16)),
    Row(Pmulhuw, |a, b, _| zip::<u16>(a, b, |a, b| ((u32::from(a) * u32::from(b)) >> 16) as u16)),
    Row(Pmulhrsw, |a, b, _| zip::<i16>(a, b, |a, b| ((((i32::from(a) * i32::from(b)) >> 14) + 1) >> 1) as i16)),
    Row(Pmuludq, |a, b, _| zip::<u64>(a, b, |a, b| (a & 0xFFFF_FFFF) * (b & 0xFFFF_FFFF))),
    Row(Pmuldq, |a, b, _| zip::<i64>(a, b, |a, b| i64::from(a as i32) * i64::from(b as i32))),
    Row(Pmaddwd, |a, b, _| multiply_add_words(a, b)),
    Row(Pmaddubsw, |a, b, _| multiply_add_bytes(a, b)),
    Row(Pavgb, |a, b, _| zip::<u8>(a, b, |a, b| (u16::from(a) + u16::from(b)).div_ceil(2) as u8)),
    Row(Pavgw, |a, b, _| zip::<u16>(a, b, |a, b| (u32::from(a) + u32::from(b)).div_ceil(2) as u16)),
    Row(Pminub, |a, b, _| zip(a, b, u8::min)),
    Row(Pminuw, |a, b, _| zip(a, b, u16::min)),
    Row(Pminud, |a, b, _| zip(a, b, u32::min)),
    Row(Vpminuq, |a, b, _| zip(a, b, u64::min)),
    Row(Pminsb, |a, b, _| zip(a, b, i8::min)),
    Row(Pminsw, |a, b, _| zip(a, b, i16::min)),
    Row(Pminsd, |a, b, _| zip(a, b, i32::min)),
    Row(Vpminsq, |a, b, _| zip(a, b, i64::min)),
    Row(Pmaxub, |a, b, _| zip(a, b, u8::max)),
    Row(Pmaxuw, |a, b, _| zip(a, b, u16::max)),
    Row(Pmaxud, |a, b, _| zip(a, b, u32::max)),
    Row(Vpmaxuq, |a, b, _| zip(a, b, u64::max)),
    Row(Pmaxsb, |a, b, _| zip(a, b, i8::max)),
    Row(Pmaxsw, |a, b, _| zip(a, b, i16::max)),
    Row(Pmaxsd, |a, b, _| zip(a, b, i32::max)),
    Row(Vpmaxsq, |a, b, _| zip(a, b, i64::max)),
    Row(Pabsb, |_, b, _| map(b, i8::wrapping_abs)),
    Row(Pabsw, |_, b, _| map(b, i16::wrapping_abs)),
    Row(Pabsd, |_, b, _| map(b, i32::wrapping_abs)),
    Row(Vpabsq, |_, b, _| map(b, i64::wrapping_abs)),
    Row(Psignb, |a, b, _| zip::<i8>(a, b, |a, b| a.wrapping_mul(b.signum()))),
    Row(Psignw, |a, b, _| zip::<i16>(a, b, |a, b| a.wrapping_mul(b.signum()))),
    Row(Psignd, |a, b, _| zip::<i32>(a, b, |a, b| a.wrapping_mul(b.signum()))),
    Row(Pcmpeqb, compare!(u8, ==)),
    Row(Pcmpeqw, compare!(u16, ==)),
    Row(Pcmpeqd, compare!(u32, ==)),
    Row(Pcmpeqq, compare!(u64, ==)),
    Row(Pcmpgtb, compare!(i8, >)),
    Row(Pcmpgtw, compare!(i16, >)),
    Row(Pcmpgtd, compare!(i32, >)),
    Row(Pcmpgtq, compare!(i64, >)),
    Row(Psadbw, |a, b, _| sum_of_differences(a, b)),
    Row(Mpsadbw, many_sums),
    Row(Phminposuw, |_, b, _| minimum_word(b)),
    Row(Phaddw, |a, b, _| pairs(a, b, i16::wrapping_add)),
    Row(Phaddd, |a, b, _| pairs(a, b, i32::wrapping_add)),
    Row(Phaddsw, |a, b, _| pairs(a, b, i16::saturating_add)),
    Row(Phsubw, |a, b, _| pairs(a, b, i16::wrapping_sub)),
    Row(Phsubd, |a, b, _| pairs(a, b, i32::wrapping_sub)),
    Row(Phsubsw, |a, b, _| pairs(a, b, i16::saturating_sub)),
    Row(Packsswb, pack!(i16, i8)),
    Row(Packssdw, pack!(i32, i16)),
    Row(Packuswb, pack!(i16, u8)),
    Row(Packusdw, pack!(i32, u16)),
    Row(Punpcklbw, |a, b, _| interleave_low::<u8>(a, b)),
    Row(Punpcklwd, |a, b, _| interleave_low::<u16>(a, b)),
    Row(Punpckldq, |a, b, _| interleave_low::<u32>(a, b)),
    Row(Punpcklqdq, |a, b, _| interleave_low::<u64>(a, b)),
    Row(Punpckhbw, |a, b, _| interleave_high::<u8>(a, b)),
    Row(Punpckhwd, |a, b, _| interleave_high::<u16>(a, b)),
    Row(Punpckhdq, |a, b, _| interleave_high::<u32>(a, b)),
    Row(Punpckhqdq, |a, b, _| interleave_high::<u64>(a, b)),
    Row(Pshufb, |a, b, _| shuffle_bytes(a, b)),
    Row(Pshufd, |_, b, imm| shuffle_doublewords(b, imm)),
    Row(Pshuflw, |_, b, imm| shuffle_words(b, imm, 0)),
    Row(Pshufhw, |_, b, imm| shuffle_words(b, imm, 4)),
    Row(Palignr, align),
    Row(Shufps, shuffle_singles),
    Row(Shufpd, shuffle_doubles),
    Row(Pblendw, blend!(u16, 0)),
    Row(Blendps, blend!(u32, 4)),
    Row(Blendpd, blend!(u64, 2)),
    Row(Insertps, insert_single),
    Row(Movddup, |_, b, _| from_fn::<u64>(|_| b as u64)),
    Row(Movshdup, |_, b, _| from_fn::<u32>(|n| get(b, n | 1))),
    Row(Movsldup, |_, b, _| from_fn::<u32>(|n| get(b, n & !1))),
    Row(Vdbpsadbw, |a, b, imm| {
        let shuffled = shuffle_doublewords(b, imm);
        from_fn::<u16>(|n| {
            let (from_a, from_b) = ((n & 4) * 2 + (n & 2) * 2, (n & 4) * 2 + (n & 3));
            (0..4).map(|k| u16::from(get::<u8>(a, from_a + k).abs_diff(get::<u8>(shuffled, from_b + k)))).sum()
        })
    }),
    Row(Vpmultishiftqb, |a, b, _| {
        from_fn::<u8>(|n| get::<u64>(b, n / 8).rotate_right(u32::from(get::<u8>(a, n) & 63)) as u8)
    }),
    Row(Vpopcntb, |_, b, _| map::<u8>(b, |b| b.count_ones() as u8)),
    Row(Vpopcntw, |_, b, _| map::<u16>(b, |b| b.count_ones() as u16)),
    Row(Vpopcntd, |_, b, _| map::<u32>(b, |b| b.count_ones())),
    Row(Vpopcntq, |_, b, _| map::<u64>(b, |b| b.count_ones().into())),
    Row(Vplzcntd, |_, b, _| map::<u32>(b, |b| b.leading_zeros())),
    Row(Vplzcntq, |_, b, _| map::<u64>(b, |b| b.leading_zeros().into())),
];

/// Variable permutations within a lane: the control is the second source.
pub const PERMUTE_BY_SOURCE: &[Row] = &[
    Row(Vpermilps, |a, b, _| from_fn::<u32>(|n| get(a, get::<u32>(b, n) as usize & 3))),
    Row(Vpermilpd, |a, b, _| from_fn::<u64>(|n| get(a, get::<u64>(b, n) as usize >> 1 & 1))),
];

/// The same by an immediate.
pub const PERMUTE_BY_IMMEDIATE: &[Row] = &[
    Row(VpermilpsImmediate, |_, b, imm| shuffle_doublewords(b, imm)),
    Row(VpermilpdImmediate, |_, b, imm| {
        let control = (imm & 0xFF) >> (2 * (imm >> 8));
        from_fn::<u64>(|n| get(b, (control >> n) as usize & 1))
    }),
];

macro_rules! shift {
    ($name:ident, $type:ident, |$value:ident, $count:ident| $body:expr, $beyond:expr) => {
        fn $name(lane: u128, $count: u64) -> u128 {
            map::<$type>(lane, |$value| {
                if $count < u64::from($type::BITS) {
                    $body
                } else {
                    let beyond: fn($type) -> $type = $beyond;
                    beyond($value)
                }
            })
        }
    };
}

shift!(sllw, u16, |value, count| value << count, |_| 0);
shift!(slld, u32, |value, count| value << count, |_| 0);
shift!(sllq, u64, |value, count| value << count, |_| 0);
shift!(srlw, u16, |value, count| value >> count, |_| 0);
shift!(srld, u32, |value, count| value >> count, |_| 0);
shift!(srlq, u64, |value, count| value >> count, |_| 0);
shift!(sraw, i16, |value, count| value >> count, |value| value >> 15);
shift!(srad, i32, |value, count| value >> count, |value| value >> 31);
shift!(sraq, i64, |value, count| value >> count, |value| value >> 63);

/// Shifts of all elements by the low quadword of the second source.
pub const SHIFT_BY_SOURCE: &[Row] = &[
    Row(Psllw, |a, b, _| sllw(a, b as u64)),
    Row(Pslld, |a, b, _| slld(a, b as u64)),
    Row(Psllq, |a, b, _| sllq(a, b as u64)),
    Row(Psrlw, |a, b, _| srlw(a, b as u64)),
    Row(Psrld, |a, b, _| srld(a, b as u64)),
    Row(Psrlq, |a, b, _| srlq(a, b as u64)),
    Row(Psraw, |a, b, _| sraw(a, b as u64)),
    Row(Psrad, |a, b, _| srad(a, b as u64)),
    Row(Vpsraq, |a, b, _| sraq(a, b as u64)),
];

/// Bits of the immediate, without the lane number.
fn count(imm: u32) -> u64 {
    u64::from(imm & 0xFF)
}

/// Shifts by an immediate.
pub const SHIFT_BY_IMMEDIATE: &[Row] = &[
    Row(PsllwImmediate, |_, b, imm| sllw(b, count(imm))),
    Row(PslldImmediate, |_, b, imm| slld(b, count(imm))),
    Row(PsllqImmediate, |_, b, imm| sllq(b, count(imm))),
    Row(PsrlwImmediate, |_, b, imm| srlw(b, count(imm))),
    Row(PsrldImmediate, |_, b, imm| srld(b, count(imm))),
    Row(PsrlqImmediate, |_, b, imm| srlq(b, count(imm))),
    Row(PsrawImmediate, |_, b, imm| sraw(b, count(imm))),
    Row(PsradImmediate, |_, b, imm| srad(b, count(imm))),
    Row(VpsraqImmediate, |_, b, imm| sraq(b, count(imm))),
    Row(Pslldq, |_, b, imm| b.checked_shl(8 * (imm & 0xFF)).unwrap_or(0)),
    Row(Psrldq, |_, b, imm| b.checked_shr(8 * (imm & 0xFF)).unwrap_or(0)),
    Row(Vprold, |_, b, imm| map::<u32>(b, |b| b.rotate_left(imm & 31))),
    Row(Vprolq, |_, b, imm| map::<u64>(b, |b| b.rotate_left(imm & 63))),
    Row(Vprord, |_, b, imm| map::<u32>(b, |b| b.rotate_right(imm & 31))),
    Row(Vprorq, |_, b, imm| map::<u64>(b, |b| b.rotate_right(imm & 63))),
    Row(Vpshldw, |a, b, imm| zip::<u16>(a, b, |a, b| funnel(a.into(), b.into(), 16, imm & 15) as u16)),
    Row(Vpshldd, |a, b, imm| zip::<u32>(a, b, |a, b| funnel(a.into(), b.into(), 32, imm & 31) as u32)),
    Row(Vpshldq, |a, b, imm| zip::<u64>(a, b, |a, b| funnel(a, b, 64, imm & 63))),
    Row(Vpshrdw, |a, b, imm| zip::<u16>(a, b, |a, b| funnel_right(a.into(), b.into(), 16, imm & 15) as u16)),
    Row(Vpshrdd, |a, b, imm| zip::<u32>(a, b, |a, b| funnel_right(a.into(), b.into(), 32, imm & 31) as u32)),
    Row(Vpshrdq, |a, b, imm| zip::<u64>(a, b, |a, b| funnel_right(a, b, 64, imm & 63))),
];

/// The upper `bits` of `high:low` shifted left.
pub fn funnel(high: u64, low: u64, bits: u32, count: u32) -> u64 {
    ((u128::from(high) << bits | u128::from(low)) << count >> bits) as u64
}

/// The lower `bits` of `high:low` shifted right.
pub fn funnel_right(low: u64, high: u64, bits: u32, count: u32) -> u64 {
    ((u128::from(high) << bits | u128::from(low)) >> count) as u64
}

/// Shifts and rotates of each element by its own count.
pub const SHIFT_EACH: &[Row] = &[
    Row(Vpsllvw, |a, b, _| zip::<u16>(a, b, |a, b| a.checked_shl(b.into()).unwrap_or(0))),
    Row(Vpsllvd, |a, b, _| zip::<u32>(a, b, |a, b| a.checked_shl(b).unwrap_or(0))),
    Row(Vpsllvq, |a, b, _| zip::<u64>(a, b, |a, b| if b < 64 { a << b } else { 0 })),
    Row(Vpsrlvw, |a, b, _| zip::<u16>(a, b, |a, b| a.checked_shr(b.into()).unwrap_or(0))),
    Row(Vpsrlvd, |a, b, _| zip::<u32>(a, b, |a, b| a.checked_shr(b).unwrap_or(0))),
    Row(Vpsrlvq, |a, b, _| zip::<u64>(a, b, |a, b| if b < 64 { a >> b } else { 0 })),
    Row(Vpsravw, |a, b, _| zip_with::<i16, u16, i16>(a, b, |a, b| a >> b.min(15))),
    Row(Vpsravd, |a, b, _| zip_with::<i32, u32, i32>(a, b, |a, b| a >> b.min(31))),
    Row(Vpsravq, |a, b, _| zip_with::<i64, u64, i64>(a, b, |a, b| a >> b.min(63))),
    Row(Vprolvd, |a, b, _| zip::<u32>(a, b, |a, b| a.rotate_left(b & 31))),
    Row(Vprolvq, |a, b, _| zip::<u64>(a, b, |a, b| a.rotate_left(b as u32 & 63))),
    Row(Vprorvd, |a, b, _| zip::<u32>(a, b, |a, b| a.rotate_right(b & 31))),
    Row(Vprorvq, |a, b, _| zip::<u64>(a, b, |a, b| a.rotate_right(b as u32 & 63))),
];

/// PTEST's two results: whether `b AND a` and whether `b AND NOT a` are all zero.
pub fn test(a: u128, b: u128, signs: u128) -> (bool, bool) {
    (a & b & signs == 0, !a & b & signs == 0)
}

/// All ones in a lane of `on`.
pub fn ones(on: bool) -> u128 {
    truth(on, u128::MAX)
}
