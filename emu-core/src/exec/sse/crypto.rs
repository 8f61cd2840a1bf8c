//! AES, SHA, carry-less multiplication and GF(2^8): rows of the tables of operations.

use super::element::{from_fn, get, map};
use super::lanes::{Row2 as Row, Row3};
use crate::ir::kernels::{ThreeSources, TwoSources::*};

/// Product in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1 (FIPS 197 4.2).
const fn gf_multiply(a: u8, b: u8) -> u8 {
    let (mut a, mut b, mut product) = (a, b, 0);
    while b != 0 {
        if b & 1 != 0 {
            product ^= a;
        }
        a = (a << 1) ^ if a & 0x80 != 0 { 0x1B } else { 0 };
        b >>= 1;
    }
    product
}

/// The inverse in GF(2^8): the 254th power; 0 is its own.
const fn gf_inverse(a: u8) -> u8 {
    let (mut result, mut n) = (1, 0);
    while n < 254 {
        result = gf_multiply(result, a);
        n += 1;
    }
    result
}

const INVERSES: [u8; 256] = {
    let mut table = [0; 256];
    let mut n = 0;
    while n < 256 {
        table[n] = gf_inverse(n as u8);
        n += 1;
    }
    table
};

/// SubBytes (FIPS 197 5.1.1).
const SUBSTITUTION: [u8; 256] = {
    let mut table = [0; 256];
    let mut n = 0;
    while n < 256 {
        let b = INVERSES[n];
        table[n] = b ^ b.rotate_left(1) ^ b.rotate_left(2) ^ b.rotate_left(3) ^ b.rotate_left(4) ^ 0x63;
        n += 1;
    }
    table
};

const INVERSE_SUBSTITUTION: [u8; 256] = {
    let mut table = [0; 256];
    let mut n = 0;
    while n < 256 {
        table[SUBSTITUTION[n] as usize] = n as u8;
        n += 1;
    }
    table
};

fn substitute(state: u128, table: &[u8; 256]) -> u128 {
    map::<u8>(state, |byte| table[usize::from(byte)])
}

/// ShiftRows; a row is every fourth byte.
fn shift_rows(state: u128) -> u128 {
    let bytes = state.to_le_bytes();
    from_fn::<u8>(|n| bytes[(n + 4 * (n & 3)) & 15])
}

fn inverse_shift_rows(state: u128) -> u128 {
    let bytes = state.to_le_bytes();
    from_fn::<u8>(|n| bytes[(n + 16 - 4 * (n & 3)) & 15])
}

fn mix(state: u128, factors: [u8; 4]) -> u128 {
    let bytes = state.to_le_bytes();
    from_fn::<u8>(|n| (0..4).fold(0, |sum, k| sum ^ gf_multiply(bytes[(n & !3) + ((n + k) & 3)], factors[k])))
}

fn mix_columns(state: u128) -> u128 {
    mix(state, [2, 3, 1, 1])
}

fn inverse_mix_columns(state: u128) -> u128 {
    mix(state, [14, 11, 13, 9])
}

fn substitute_word(word: u32) -> u32 {
    u32::from_le_bytes(word.to_le_bytes().map(|byte| SUBSTITUTION[usize::from(byte)]))
}

/// AESKEYGENASSIST.
fn key_assist(b: u128, imm: u32) -> u128 {
    let (first, second) = (substitute_word(get(b, 1)), substitute_word(get(b, 3)));
    let constant = imm & 0xFF;
    from_fn::<u32>(|n| match n {
        0 => first,
        1 => first.rotate_right(8) ^ constant,
        2 => second,
        _ => second.rotate_right(8) ^ constant,
    })
}

/// PCLMULQDQ.
fn carryless(a: u128, b: u128, imm: u32) -> u128 {
    let a = u128::from(get::<u64>(a, imm as usize & 1));
    let b: u64 = get(b, imm as usize >> 4 & 1);
    (0..64).fold(0, |sum, n| if b >> n & 1 != 0 { sum ^ a << n } else { sum })
}

/// One byte through the 8 by 8 bit matrix `rows`.
fn affine(rows: u64, byte: u8, constant: u8) -> u8 {
    let rows = rows.to_le_bytes();
    (0..8).fold(constant, |sum, n| sum ^ ((rows[7 - n] & byte).count_ones() as u8 & 1) << n)
}

fn sha1_function(select: u32, b: u32, c: u32, d: u32) -> u32 {
    match select {
        0 => b & c ^ !b & d,
        2 => b & c ^ b & d ^ c & d,
        _ => b ^ c ^ d,
    }
}

/// SHA1RNDS4; A is the highest doubleword.
fn sha1_rounds(a: u128, b: u128, imm: u32) -> u128 {
    const K: [u32; 4] = [0x5A82_7999, 0x6ED9_EBA1, 0x8F1B_BCDC, 0xCA62_C1D6];
    let select = imm & 3;
    let mut state: [u32; 5] = [get(a, 3), get(a, 2), get(a, 1), get(a, 0), 0];
    for n in (0..4).rev() {
        let [a, b_, c, d, e] = state;
        let next = sha1_function(select, b_, c, d)
            .wrapping_add(a.rotate_left(5))
            .wrapping_add(get::<u32>(b, n))
            .wrapping_add(e)
            .wrapping_add(K[select as usize]);
        state = [next, a, b_.rotate_left(30), c, d];
    }
    from_fn::<u32>(|n| state[3 - n])
}

fn sha1_message2(a: u128, b: u128) -> u128 {
    let w16 = (get::<u32>(a, 3) ^ get::<u32>(b, 2)).rotate_left(1);
    let w17 = (get::<u32>(a, 2) ^ get::<u32>(b, 1)).rotate_left(1);
    let w18 = (get::<u32>(a, 1) ^ get::<u32>(b, 0)).rotate_left(1);
    let w19 = (get::<u32>(a, 0) ^ w16).rotate_left(1);
    from_fn::<u32>(|n| [w19, w18, w17, w16][n])
}

/// SHA256RNDS2: C, D, G, H in `a`, A, B, E, F in `b`, message and constants in `wk`.
fn sha256_rounds(a: u128, b: u128, wk: u128) -> u128 {
    let mut s: [u32; 8] = [get(b, 3), get(b, 2), get(a, 3), get(a, 2), get(b, 1), get(b, 0), get(a, 1), get(a, 0)];
    for n in 0..2 {
        let [a, b, c, d, e, f, g, h] = s;
        let big1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
        let big0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
        let t = (e & f ^ !e & g).wrapping_add(big1).wrapping_add(get::<u32>(wk, n)).wrapping_add(h);
        let majority = a & b ^ a & c ^ b & c;
        s = [t.wrapping_add(majority).wrapping_add(big0), a, b, c, t.wrapping_add(d), e, f, g];
    }
    from_fn::<u32>(|n| [s[5], s[4], s[1], s[0]][n])
}

fn sha256_message1(a: u128, b: u128) -> u128 {
    let small0 = |x: u32| x.rotate_right(7) ^ x.rotate_right(18) ^ x >> 3;
    from_fn::<u32>(|n| {
        let next: u32 = if n == 3 { get(b, 0) } else { get(a, n + 1) };
        get::<u32>(a, n).wrapping_add(small0(next))
    })
}

fn sha256_message2(a: u128, b: u128) -> u128 {
    let small1 = |x: u32| x.rotate_right(17) ^ x.rotate_right(19) ^ x >> 10;
    let w16 = get::<u32>(a, 0).wrapping_add(small1(get(b, 2)));
    let w17 = get::<u32>(a, 1).wrapping_add(small1(get(b, 3)));
    let w18 = get::<u32>(a, 2).wrapping_add(small1(w16));
    let w19 = get::<u32>(a, 3).wrapping_add(small1(w17));
    from_fn::<u32>(|n| [w16, w17, w18, w19][n])
}

/// AES, PCLMULQDQ, GFNI and SHA.
pub const TABLE: &[Row] = &[
    Row(Aesenc, |a, b, _| mix_columns(substitute(shift_rows(a), &SUBSTITUTION)) ^ b),
    Row(Aesenclast, |a, b, _| substitute(shift_rows(a), &SUBSTITUTION) ^ b),
    Row(Aesdec, |a, b, _| inverse_mix_columns(substitute(inverse_shift_rows(a), &INVERSE_SUBSTITUTION)) ^ b),
    Row(Aesdeclast, |a, b, _| substitute(inverse_shift_rows(a), &INVERSE_SUBSTITUTION) ^ b),
    Row(Aesimc, |_, b, _| inverse_mix_columns(b)),
    Row(Aeskeygenassist, |_, b, imm| key_assist(b, imm)),
    Row(Pclmulqdq, carryless),
    Row(Gf2p8mulb, |a, b, _| super::element::zip(a, b, gf_multiply)),
    // Operation masks select bytes, though the matrices are quadwords.
    Row(Gf2p8affineqb, |a, b, imm| from_fn::<u8>(|n| affine(get(b, n / 8), get(a, n), imm as u8))),
    Row(Gf2p8affineinvqb, |a, b, imm| {
        from_fn::<u8>(|n| affine(get(b, n / 8), INVERSES[usize::from(get::<u8>(a, n))], imm as u8))
    }),
    Row(Sha1rnds4, sha1_rounds),
    Row(Sha1nexte, |a, b, _| {
        let top = get::<u32>(b, 3).wrapping_add(get::<u32>(a, 3).rotate_left(30));
        b & u128::MAX >> 32 | u128::from(top) << 96
    }),
    Row(Sha1msg1, |a, b, _| a ^ (a << 64 | b >> 64)),
    Row(Sha1msg2, |a, b, _| sha1_message2(a, b)),
    Row(Sha256msg1, |a, b, _| sha256_message1(a, b)),
    Row(Sha256msg2, |a, b, _| sha256_message2(a, b)),
];

/// Those with a third source.
pub const TABLE3: &[Row3] = &[Row3(ThreeSources::Sha256rnds2, |a, b, c, _| sha256_rounds(a, b, c))];
