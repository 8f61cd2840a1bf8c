//! The host's arithmetic where it serves gives the same bits as the soft one, and no exception but precision can have
//! occurred.

use emu_core::fpu::soft::{self, Double, Format, Fp, Signs, Single, flag};

/// Random numbers (SplitMix64).
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A pattern of the format: often near the ends of the range, near 1, or with a fraction near a turning point.
    fn float<F: Format>(&mut self) -> u64 {
        let top = F::INFINITY >> F::FRACTION;
        let exponent = match self.bits() % 8 {
            0 => self.bits() % 4,
            1 => top - self.bits() % 3,
            2 => top / 2 - 1 + self.bits() % 3,
            3 => top / 2 - self.bits() % u64::from(F::FRACTION + 2),
            4 => top / 4 + self.bits() % 4,
            _ => self.bits() % (top + 1),
        };
        let fraction = match self.bits() % 4 {
            0 => self.bits() % 4,
            1 => F::FRACTION_MASK - self.bits() % 4,
            2 => 1 << (self.bits() % u64::from(F::FRACTION)),
            _ => self.bits() & F::FRACTION_MASK,
        };
        self.bits() & F::SIGN | exponent << F::FRACTION | fraction
    }
}

/// All masked, precision noted already, to nearest; with every setting of DAZ and FTZ.
const CONTROLS: [u32; 4] = [0x1FA0, 0x1FE0, 0x9FA0, 0x9FE0];

/// Both ways of `f` give the same result and the same exceptions, precision aside.
fn both(control: u32, f: impl Fn(&mut Fp) -> u64, what: &str, operands: &[u64]) {
    let mut fast = Fp::new(control);
    let mut exact = Fp { fast: false, ..Fp::new(control) };
    assert!(fast.fast, "the condition for the host's arithmetic");
    let results = (f(&mut fast), f(&mut exact));
    assert_eq!(results.0, results.1, "{what} {operands:x?} under {control:#x}");
    assert_eq!(fast.flags | flag::PE, exact.flags | flag::PE, "{what} {operands:x?} under {control:#x}");
}

fn scalars<F: Format>(seed: u64) {
    let mut r = Random(seed);
    for n in 0..200_000 {
        let (a, b, c) = (r.float::<F>(), r.float::<F>(), r.float::<F>());
        let control = CONTROLS[n & 3];
        let operands = [a, b, c];
        both(control, |fp| soft::add::<F>(fp, a, b), "add", &operands);
        both(control, |fp| soft::sub::<F>(fp, a, b), "sub", &operands);
        both(control, |fp| soft::mul::<F>(fp, a, b), "mul", &operands);
        both(control, |fp| soft::div::<F>(fp, a, b), "div", &operands);
        both(control, |fp| soft::sqrt::<F>(fp, b), "sqrt", &operands);
        let signs = Signs { product: n & 4 != 0, addend: n & 8 != 0 };
        both(control, |fp| soft::fma::<F>(fp, a, b, c, signs, [a, b, c]), "fma", &operands);
    }
}

#[test]
fn host_arithmetic_on_scalars_equals_the_soft_arithmetic_bit_for_bit() {
    scalars::<Single>(1);
    scalars::<Double>(2);
}

type Lane = fn(u128, u128) -> Option<u128>;
type Scalar = fn(&mut Fp, u64, u64) -> u64;

fn lanes<F: Format>(seed: u64) {
    let operations: [(&str, Lane, Scalar); 4] = [
        ("add", F::native_lane_add, soft::add::<F>),
        ("sub", F::native_lane_sub, soft::sub::<F>),
        ("mul", F::native_lane_mul, soft::mul::<F>),
        ("div", F::native_lane_div, soft::div::<F>),
    ];
    let mut r = Random(seed);
    let mut served = [0u32; 4];
    for n in 0..100_000 {
        let count = 128 / F::BITS;
        let (mut a, mut b) = (0, 0);
        for element in 0..count {
            a |= u128::from(r.float::<F>()) << (element * F::BITS);
            b |= u128::from(r.float::<F>()) << (element * F::BITS);
        }
        for (k, (name, lane, scalar)) in operations.iter().enumerate() {
            let Some(result) = lane(a, b) else { continue };
            served[k] += 1;
            for element in 0..count {
                let get = |lane: u128| (lane >> (element * F::BITS)) as u64 & (u64::MAX >> (64 - F::BITS));
                let mut fp = Fp { fast: false, ..Fp::new(CONTROLS[n & 3]) };
                assert_eq!(get(result), scalar(&mut fp, get(a), get(b)), "{name} {a:x} {b:x}");
                assert_eq!(fp.flags & !flag::PE, 0, "{name} {a:x} {b:x}");
            }
        }
    }
    assert!(served.iter().all(|&count| count > 1000), "{served:?}");
}

#[test]
fn host_arithmetic_on_lanes_equals_the_soft_arithmetic_bit_for_bit() {
    lanes::<Single>(3);
    lanes::<Double>(4);
}
