//! Operations with three sources: rows of their table. `c` is the destination, or the register of a fourth operand,
//! or XMM0 for legacy forms.

use super::element::{from_fn, get, zip};
use super::integer::{funnel, funnel_right};
use super::lanes::Row3 as Row;
use crate::ir::kernels::ThreeSources::*;

/// Elements of `b` where the sign bit of `c` is set.
macro_rules! blend {
    ($type:ident) => {
        |a, b, c, _| from_fn::<$type>(|n| get(if get::<$type>(c, n) >> ($type::BITS - 1) != 0 { b } else { a }, n))
    };
}

/// VPDPBUSD: unsigned bytes of `a`, signed bytes of `b`.
fn dot_bytes(a: u128, b: u128, n: usize) -> i32 {
    (4 * n..4 * n + 4).map(|k| i32::from(get::<u8>(a, k)) * i32::from(get::<i8>(b, k))).sum()
}

fn dot_words(a: u128, b: u128, n: usize) -> i64 {
    (2 * n..2 * n + 2).map(|k| i64::from(get::<i16>(a, k)) * i64::from(get::<i16>(b, k))).sum()
}

fn saturate(value: i64) -> i32 {
    value.clamp(i32::MIN.into(), i32::MAX.into()) as i32
}

/// Product of the low 52 bits.
fn product52(a: u64, b: u64) -> u128 {
    const LOW: u64 = (1 << 52) - 1;
    u128::from(a & LOW) * u128::from(b & LOW)
}

/// VPTERNLOG: bit `c:a:b` of the immediate for each bit.
fn ternary_logic(a: u128, b: u128, c: u128, imm: u32) -> u128 {
    (0..8u32).filter(|n| imm >> n & 1 != 0).fold(0, |out, n| {
        let pick = |value: u128, bit: u32| if n >> bit & 1 != 0 { value } else { !value };
        out | pick(c, 2) & pick(a, 1) & pick(b, 0)
    })
}

/// VPSHLDV, VPSHRDV: the destination is the upper (lower) half, `a` the other, `b` the count.
macro_rules! funnel_by {
    ($type:ident, $shift:ident) => {
        |a, b, c, _| {
            from_fn::<$type>(|n| {
                let count = get::<$type>(b, n) as u32 & ($type::BITS - 1);
                $shift(get::<$type>(c, n).into(), get::<$type>(a, n).into(), $type::BITS, count) as $type
            })
        }
    };
}

/// Three sources, lane by lane.
pub const TABLE: &[Row] = &[
    Row(Pblendvb, blend!(u8)),
    Row(Blendvps, blend!(u32)),
    Row(Blendvpd, blend!(u64)),
    Row(Vpdpbusd, |a, b, c, _| from_fn::<i32>(|n| get::<i32>(c, n).wrapping_add(dot_bytes(a, b, n)))),
    Row(Vpdpbusds, |a, b, c, _| {
        from_fn::<i32>(|n| saturate(i64::from(get::<i32>(c, n)) + i64::from(dot_bytes(a, b, n))))
    }),
    Row(Vpdpwssd, |a, b, c, _| from_fn::<i32>(|n| get::<i32>(c, n).wrapping_add(dot_words(a, b, n) as i32))),
    Row(Vpdpwssds, |a, b, c, _| from_fn::<i32>(|n| saturate(i64::from(get::<i32>(c, n)) + dot_words(a, b, n)))),
    Row(Vpmadd52luq, |a, b, c, _| {
        let low = zip::<u64>(a, b, |a, b| product52(a, b) as u64 & ((1 << 52) - 1));
        zip(low, c, u64::wrapping_add)
    }),
    Row(Vpmadd52huq, |a, b, c, _| {
        let high = zip::<u64>(a, b, |a, b| (product52(a, b) >> 52) as u64);
        zip(high, c, u64::wrapping_add)
    }),
    Row(Vpternlogd, ternary_logic),
    Row(Vpternlogq, ternary_logic),
    Row(Vpshldvw, funnel_by!(u16, funnel)),
    Row(Vpshldvd, funnel_by!(u32, funnel)),
    Row(Vpshldvq, funnel_by!(u64, funnel)),
    Row(Vpshrdvw, funnel_by!(u16, funnel_right)),
    Row(Vpshrdvd, funnel_by!(u32, funnel_right)),
    Row(Vpshrdvq, funnel_by!(u64, funnel_right)),
];
