//! The host's arithmetic where it serves gives the same bits and the same exceptions as the soft one, which stays as the
//! proof.

use emu_core::fpu::conversion::{convert, from_integer, round_to_integral, to_integer};
use emu_core::fpu::soft::{self, Double, Format, Fp, Host, Relation, Rounding, Signs, Single, flag};

/// Random numbers (SplitMix64).
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u32) -> u32 {
        (self.bits() % u64::from(limit)) as u32
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

    /// A number whose significand has `digits` digits, and whose exponent is near that of 1.
    fn digits<F: Format>(&mut self, digits: u32) -> u64 {
        let unit = 1 << (F::FRACTION + 1 - digits.clamp(1, F::FRACTION + 1));
        let fraction = (self.bits() & F::FRACTION_MASK | unit) & !(unit - 1) & F::FRACTION_MASK;
        let near = u64::from(self.below(2 * F::FRACTION)) << F::FRACTION;
        self.bits() & F::SIGN | (F::ONE + near - (u64::from(F::FRACTION) << F::FRACTION)) | fraction
    }
}

/// Numbers of every kind, and those next to where the kinds meet; each with both signs.
fn kinds<F: Format>() -> Vec<u64> {
    let one = F::ONE;
    let exponent = |steps: u64| steps << F::FRACTION;
    let smallest = exponent(1);
    let mut kinds = vec![
        0,
        1,
        2,
        F::FRACTION_MASK / 2,
        F::FRACTION_MASK,
        smallest,
        smallest + 1,
        smallest + F::FRACTION_MASK,
        2 * smallest,
        // Their products and quotients are near the ends of the range.
        (one / 2) & F::INFINITY,
        ((one / 2) & F::INFINITY) + 1,
        ((one / 2) & F::INFINITY) - 1,
        (one + one / 2) & F::INFINITY,
        ((one + one / 2) & F::INFINITY) - 1,
        one - exponent(u64::from(F::FRACTION) + 2),
        one - exponent(u64::from(F::FRACTION) + 1),
        one - exponent(u64::from(F::FRACTION)) + 1,
        one - exponent(2),
        one - exponent(1),
        one - exponent(1) + 1,
        one - 1,
        one,
        one + 1,
        // 1.5, 2, 2.5, 3, 3.5, 10
        one + F::QUIET,
        one + exponent(1),
        one + exponent(1) + F::QUIET / 2,
        one + exponent(1) + F::QUIET,
        one + exponent(1) + F::QUIET / 2 * 3,
        one + exponent(3) + F::QUIET / 2,
        // Odd numbers of half the digits, of one more, and of all.
        one + exponent(F::FRACTION.into()) + (1 << (F::FRACTION / 2)),
        one + exponent(F::FRACTION.into()) + (1 << (F::FRACTION / 2 - 1)),
        one + exponent(F::FRACTION.into()) + 1,
        one + exponent(F::FRACTION.into()) + F::FRACTION_MASK,
        one + exponent(u64::from(F::FRACTION) + 1),
        // Where the integers end.
        one + exponent(31),
        one + exponent(31) - 1,
        one + exponent(32),
        one + exponent(32) - 1,
        one + exponent(62),
        one + exponent(62) - 1,
        one + exponent(63),
        one + exponent(64) - 1,
        F::LARGEST - exponent(1),
        F::LARGEST - 1,
        F::LARGEST,
        F::INFINITY,
        F::INFINITY + 1,
        F::INFINITY + F::QUIET + 1,
    ];
    kinds.extend(kinds.clone().iter().map(|kind| kind | F::SIGN));
    kinds
}

/// MXCSR: all roundings, with precision noted or not, exceptions masked or not, DAZ and FTZ.
fn controls() -> Vec<u32> {
    let mut all = Vec::new();
    for rounding in 0..4 {
        // All masked; precision, underflow, everything unmasked.
        for masked in [0x1F80, 0x0F80, 0x1780, 0] {
            for modes in [0, 0x40, 0x8000, 0x8040] {
                for noted in [0, flag::PE, flag::ALL] {
                    all.push(rounding << 13 | masked | modes | noted);
                }
            }
        }
    }
    all
}

/// Both ways of `f` give the same result and the same exceptions; whether precision was lost may remain untold if it is
/// masked and noted already.
fn both<R: PartialEq + std::fmt::Debug>(control: u32, f: impl Fn(&mut Fp) -> R, what: &str, operands: &[u64]) {
    let mut host = Fp::new(control);
    let mut proof = Fp { host: Host::Never, ..Fp::new(control) };
    let known = if control & 0x1020 == 0x1020 { flag::PE } else { 0 };
    let (result, expected) = (f(&mut host), f(&mut proof));
    assert_eq!(result, expected, "{what} {operands:x?} under {control:#x}");
    assert_eq!(host.flags | known, proof.flags | known, "{what} {operands:x?} under {control:#x}");
}

fn one_operand<F: Format, G: Format>(control: u32, a: u64) {
    let of = [a];
    both(control, |fp| soft::sqrt::<F>(fp, a), "sqrt", &of);
    both(control, |fp| convert::<F, G>(fp, a, true, true), "convert", &of);
    let toward_zero = |fp: &mut Fp| fp.with_rounding(Rounding::Zero, |fp| convert::<F, G>(fp, a, true, true));
    both(control, toward_zero, "convert toward zero", &of);
    both(control, |fp| round_to_integral::<F>(fp, a, false), "round", &of);
    both(control, |fp| round_to_integral::<F>(fp, a, true), "round quietly", &of);
    for (bits, signed) in [(32, true), (32, false), (64, true), (64, false)] {
        both(control, |fp| to_integer::<F>(fp, a, bits, signed), "to integer", &of);
        let truncate = |fp: &mut Fp| fp.with_rounding(Rounding::Zero, |fp| to_integer::<F>(fp, a, bits, signed));
        both(control, truncate, "truncate", &of);
    }
}

fn two_operands<F: Format>(control: u32, a: u64, b: u64) {
    let of = [a, b];
    both(control, |fp| soft::add::<F>(fp, a, b), "add", &of);
    both(control, |fp| soft::sub::<F>(fp, a, b), "sub", &of);
    both(control, |fp| soft::mul::<F>(fp, a, b), "mul", &of);
    both(control, |fp| soft::div::<F>(fp, a, b), "div", &of);
}

fn three_operands<F: Format>(control: u32, a: u64, b: u64, c: u64, signs: Signs) {
    both(control, |fp| soft::fma::<F>(fp, a, b, c, signs, [a, b, c]), "fma", &[a, b, c]);
}

fn kinds_by_kinds<F: Format, G: Format>() {
    let (kinds, controls) = (kinds::<F>(), controls());
    for (n, &a) in kinds.iter().enumerate() {
        for &control in &controls {
            one_operand::<F, G>(control, a);
        }
        for (m, &b) in kinds.iter().enumerate() {
            for &control in &controls {
                two_operands::<F>(control, a, b);
            }
            for (k, &c) in kinds.iter().enumerate() {
                let n = n * 31 + m * 7 + k;
                let signs = Signs { product: n & 1 != 0, addend: n & 2 != 0 };
                three_operands::<F>(controls[n % controls.len()], a, b, c, signs);
                // To nearest, all masked, precision not noted.
                three_operands::<F>(0x1F80, a, b, c, signs);
            }
        }
    }
}

#[test]
fn host_arithmetic_on_all_kinds_of_numbers_under_all_controls_equals_the_soft_arithmetic() {
    kinds_by_kinds::<Single, Double>();
    kinds_by_kinds::<Double, Single>();
}

fn random<F: Format, G: Format>(seed: u64) {
    let (mut r, controls) = (Random(seed), controls());
    for n in 0..100_000 {
        // Half of them as most programs have it.
        let control = if n & 1 == 0 { controls[n / 2 % controls.len()] } else { [0x1F80, 0x1FA0][(n / 2) & 1] };
        let (a, b, c) = match n % 3 {
            0 => (r.float::<F>(), r.float::<F>(), r.float::<F>()),
            // Results are exact, or miss that by a digit or two.
            1 => {
                let digits = r.below(F::FRACTION + 1) + 1;
                let other = (F::FRACTION + r.below(4)).saturating_sub(digits);
                (r.digits::<F>(digits), r.digits::<F>(other), r.digits::<F>(digits))
            }
            // Whole numbers, and what they cancel.
            _ => {
                let mut whole = |limit| from_integer::<F>(&mut Fp::new(0x1F80), limit & 1 != 0, r.below(limit).into());
                let (a, b) = (whole(1000), whole(99_999));
                (a, b, soft::mul::<F>(&mut Fp::new(0x1F80), a, b))
            }
        };
        let exact = soft::mul::<F>(&mut Fp::new(0x1F80), a, b);
        let signs = Signs { product: n & 4 != 0, addend: n & 8 != 0 };
        one_operand::<F, G>(control, a);
        one_operand::<F, G>(control, soft::mul::<F>(&mut Fp::new(0x1F80), a, a));
        two_operands::<F>(control, a, b);
        two_operands::<F>(control, exact, b);
        two_operands::<F>(control, a, a ^ F::SIGN ^ u64::from(r.below(3)));
        three_operands::<F>(control, a, b, c, signs);
        three_operands::<F>(control, a, b, exact ^ F::SIGN ^ u64::from(r.below(2)), signs);
        let integer = r.bits() >> r.below(64);
        both(control, |fp| from_integer::<F>(fp, n & 4 != 0, integer), "from integer", &[integer]);
        let near = integer & (u64::MAX << (63 - r.below(64)));
        both(control, |fp| from_integer::<F>(fp, n & 4 != 0, near), "from integer", &[near]);
    }
}

#[test]
fn host_arithmetic_on_random_numbers_equals_the_soft_arithmetic() {
    random::<Single, Double>(1);
    random::<Double, Single>(2);
}

type Lane = fn(u128, u128) -> Option<u128>;
type Scalar = fn(&mut Fp, u64, u64) -> u64;

fn lanes<F: Format>(seed: u64) {
    let operations: [(&str, [Lane; 2], Scalar); 4] = [
        ("add", [F::native_lane_add::<false>, F::native_lane_add::<true>], soft::add::<F>),
        ("sub", [F::native_lane_sub::<false>, F::native_lane_sub::<true>], soft::sub::<F>),
        ("mul", [F::native_lane_mul::<false>, F::native_lane_mul::<true>], soft::mul::<F>),
        ("div", [F::native_lane_div::<false>, F::native_lane_div::<true>], soft::div::<F>),
    ];
    let mut r = Random(seed);
    let kinds = kinds::<F>();
    let mut served = [[0u32; 2]; 4];
    for n in 0..200_000u32 {
        let count = 128 / F::BITS;
        let (mut a, mut b) = (0, 0);
        for element in 0..count {
            let [x, y] = std::array::from_fn(|_| match n % 3 {
                0 => r.float::<F>(),
                1 => r.digits::<F>(F::FRACTION / 2),
                _ => kinds[r.below(kinds.len() as u32) as usize],
            });
            a |= u128::from(x) << (element * F::BITS);
            b |= u128::from(y) << (element * F::BITS);
        }
        for (k, (name, lanes, scalar)) in operations.iter().enumerate() {
            for (exact, lane) in lanes.iter().enumerate() {
                let Some(result) = lane(a, b) else { continue };
                served[k][exact] += 1;
                for element in 0..count {
                    let get = |lane: u128| (lane >> (element * F::BITS)) as u64 & (u64::MAX >> (64 - F::BITS));
                    let mut fp = Fp { host: Host::Never, ..Fp::new(0x1F80) };
                    assert_eq!(get(result), scalar(&mut fp, get(a), get(b)), "{name} {a:x} {b:x}");
                    let allowed = if exact == 0 { flag::PE } else { 0 };
                    assert_eq!(fp.flags & !allowed, 0, "{name} {a:x} {b:x}");
                }
            }
        }
    }
    // An exact quotient of random numbers is rare.
    let least = [[1000, 1000], [1000, 1000], [1000, 1000], [1000, 10]];
    assert!(served.iter().flatten().zip(least.iter().flatten()).all(|(count, least)| count > least), "{served:?}");
}

#[test]
fn host_arithmetic_on_lanes_equals_the_soft_arithmetic() {
    lanes::<Single>(3);
    lanes::<Double>(4);
}

/// Comparisons have one way only for numbers that are neither denormal nor NaNs.
fn compared<F: Format>(value: impl Fn(u64) -> f64) {
    let kinds = kinds::<F>();
    for &a in &kinds {
        for &b in &kinds {
            for control in [0x1F80, 0x1FC0] {
                let number = |pattern| {
                    if control & 0x40 != 0 && soft::is_denormal::<F>(pattern) { 0.0 } else { value(pattern) }
                };
                let (x, y) = (number(a), number(b));
                let expected = match x.partial_cmp(&y) {
                    Some(std::cmp::Ordering::Less) => Relation::Less,
                    Some(std::cmp::Ordering::Equal) => Relation::Equal,
                    Some(std::cmp::Ordering::Greater) => Relation::Greater,
                    None => Relation::Unordered,
                };
                let denormal = soft::is_denormal::<F>(a) || soft::is_denormal::<F>(b);
                for signaling in [false, true] {
                    let invalid = signaling || soft::is_signaling::<F>(a) || soft::is_signaling::<F>(b);
                    let flags = match expected {
                        Relation::Unordered if invalid => flag::IE,
                        Relation::Unordered => 0,
                        _ if denormal && control & 0x40 == 0 => flag::DE,
                        _ => 0,
                    };
                    let mut fp = Fp::new(control);
                    let relation = soft::compare::<F>(&mut fp, a, b, signaling);
                    assert_eq!((relation, fp.flags), (expected, flags), "{a:x} {b:x} under {control:#x}");
                }
            }
        }
    }
}

#[test]
fn comparison_of_all_kinds_of_numbers_tells_order_and_exceptions() {
    compared::<Single>(|pattern| f32::from_bits(pattern as u32).into());
    compared::<Double>(f64::from_bits);
}

/// What a program that computes with whole numbers does is never left to the soft arithmetic.
fn served<F: Format>(limit: u64) {
    let number = |value: u64| from_integer::<F>(&mut Fp::new(0x1F80), false, value);
    let values = [0, 1, 2, 3, 7, 10, 100, 255, 256, 999, limit - 1, limit];
    for i in values {
        for k in values {
            let (a, b) = (number(i), number(k));
            assert!(F::native_add::<true>(a, b).is_some_and(|sum| sum == number(i + k)), "{i} + {k}");
            assert!(F::native_add::<true>(a, b ^ F::SIGN).is_some(), "{i} - {k}");
            assert!(F::native_mul::<true>(a, b).is_some_and(|product| product == number(i * k)), "{i} * {k}");
            assert!(F::native_fma::<true>(a, b, number(k)).is_some(), "{i} * {k} + {k}");
            assert!(F::native_fma::<true>(a, b, number(i * k) ^ F::SIGN).is_some_and(|zero| zero == 0), "{i} * {k}");
            if k != 0 {
                assert!(
                    F::native_div::<true>(number(i * k), b).is_some_and(|quotient| quotient == a),
                    "{i} * {k} / {k}"
                );
            }
        }
        assert!(F::native_sqrt::<true>(number(i * i)).is_some_and(|root| root == number(i)), "sqrt({i} * {i})");
    }
    // A power of two only moves the exponent.
    let all = F::ONE | F::FRACTION_MASK;
    assert_eq!(F::native_mul::<true>(all, number(2)), Some(all + F::FRACTION_MASK + 1));
    assert_eq!(F::native_div::<true>(all, number(2)), Some(all - F::FRACTION_MASK - 1));
    assert_eq!(F::native_mul::<true>(all, number(3)), None);
}

#[test]
fn exact_results_are_the_hosts() {
    served::<Single>(4095);
    served::<Double>((1 << 26) - 1);
}
