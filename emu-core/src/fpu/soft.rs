//! IEEE 754 arithmetic of SSE and AVX on half, single and double precision, exact to the last flag (SDM Vol. 1 4.8,
//! 11.5).
//!
//! Written here rather than taken from a crate: those for these formats (`rustc_apfloat`) detect tininess at the
//! precision of the denormal result and not with an unbounded exponent as x86 does, have no square root, and know
//! neither the denormal-operand exception nor DAZ and FTZ. A finite value is taken apart into 128 significand bits, so
//! that each operation is one exact integer step and one rounding ([`Fp::round`]). Where [`super::native`] gives the same
//! result and exceptions, and [`Fp::host`] lets it, nothing of that is done.

use super::native::Native;

/// Exception flags of MXCSR.
pub mod flag {
    /// Invalid operation.
    pub const IE: u32 = 1 << 0;
    /// Denormal operand.
    pub const DE: u32 = 1 << 1;
    /// Divide by zero.
    pub const ZE: u32 = 1 << 2;
    /// Overflow.
    pub const OE: u32 = 1 << 3;
    /// Underflow.
    pub const UE: u32 = 1 << 4;
    /// Precision.
    pub const PE: u32 = 1 << 5;
    /// All of them.
    pub const ALL: u32 = 0x3F;
}
use flag::*;

/// Denormals are zeros.
const DAZ: u32 = 1 << 6;
/// Where the exception masks lie.
const MASKS: u32 = 7;
const RC: u32 = 13;
/// Flush to zero.
const FTZ: u32 = 1 << 15;

/// Rounding control.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Rounding {
    /// To nearest, ties to even.
    Nearest,
    /// Toward minus infinity.
    Down,
    /// Toward plus infinity.
    Up,
    /// Toward zero.
    Zero,
}

impl Rounding {
    /// From two bits of a control word.
    #[inline(always)]
    pub fn from_bits(bits: u32) -> Self {
        match bits & 3 {
            0 => Self::Nearest,
            1 => Self::Down,
            2 => Self::Up,
            _ => Self::Zero,
        }
    }
}

/// A binary interchange format. Values travel as bit patterns in the low bits of a `u64`.
pub trait Format: Native + 'static {
    /// Exponent bits.
    const EXPONENT: u32;
    /// Fraction bits.
    const FRACTION: u32;
    /// Log2 of the bytes.
    const LOG2: u32;
    /// Bits.
    const BITS: u32 = 1 + Self::EXPONENT + Self::FRACTION;
    /// Exponent bias, and the largest exponent.
    const BIAS: i32 = (1 << (Self::EXPONENT - 1)) - 1;
    /// Exponent of the smallest normal number.
    const MIN: i32 = 1 - Self::BIAS;
    /// The sign bit.
    const SIGN: u64 = 1 << (Self::BITS - 1);
    /// The exponent field of all ones: infinity.
    const INFINITY: u64 = ((1 << Self::EXPONENT) - 1) << Self::FRACTION;
    /// Mask of the fraction.
    const FRACTION_MASK: u64 = (1 << Self::FRACTION) - 1;
    /// The bit that makes a NaN quiet.
    const QUIET: u64 = 1 << (Self::FRACTION - 1);
    /// The default NaN.
    const INDEFINITE: u64 = Self::SIGN | Self::INFINITY | Self::QUIET;
    /// The largest finite number.
    const LARGEST: u64 = Self::INFINITY - 1;
    /// 1.0.
    const ONE: u64 = (Self::BIAS as u64) << Self::FRACTION;
}

/// Half precision.
#[derive(Debug, Clone, Copy)]
pub struct Half;
/// Single precision.
#[derive(Debug, Clone, Copy)]
pub struct Single;
/// Double precision.
#[derive(Debug, Clone, Copy)]
pub struct Double;

impl Format for Half {
    const EXPONENT: u32 = 5;
    const FRACTION: u32 = 10;
    const LOG2: u32 = 1;
}
impl Format for Single {
    const EXPONENT: u32 = 8;
    const FRACTION: u32 = 23;
    const LOG2: u32 = 2;
}
impl Format for Double {
    const EXPONENT: u32 = 11;
    const FRACTION: u32 = 52;
    const LOG2: u32 = 3;
}

/// Whether a pattern is a NaN.
#[inline(always)]
pub fn is_nan<F: Format>(a: u64) -> bool {
    a & !F::SIGN > F::INFINITY
}

/// Whether a pattern is a signaling NaN.
#[inline(always)]
pub fn is_signaling<F: Format>(a: u64) -> bool {
    is_nan::<F>(a) && a & F::QUIET == 0
}

/// Whether a pattern is an infinity.
#[inline(always)]
pub fn is_infinite<F: Format>(a: u64) -> bool {
    a & !F::SIGN == F::INFINITY
}

/// Whether a pattern is a zero.
#[inline(always)]
pub fn is_zero<F: Format>(a: u64) -> bool {
    a & !F::SIGN == 0
}

/// Whether a pattern is a denormal number.
#[inline(always)]
pub fn is_denormal<F: Format>(a: u64) -> bool {
    a & F::INFINITY == 0 && !is_zero::<F>(a)
}

/// A finite value other than zero: `significand` × 2^(`exponent` − 127), its top bit set.
#[derive(Debug, Clone, Copy)]
pub struct Finite {
    /// Negative.
    pub sign: bool,
    /// Unbiased exponent.
    pub exponent: i32,
    /// Normalized significand.
    pub significand: u128,
}

/// Takes a finite pattern other than zero apart.
pub fn unpack<F: Format>(a: u64) -> Finite {
    let field = ((a & F::INFINITY) >> F::FRACTION) as i32;
    let fraction = a & F::FRACTION_MASK;
    let sign = a & F::SIGN != 0;
    if field == 0 {
        let shift = fraction.leading_zeros();
        let exponent = F::MIN - (shift as i32 - (63 - F::FRACTION as i32));
        return Finite { sign, exponent, significand: u128::from(fraction) << (64 + shift) };
    }
    let significand = u128::from(fraction | 1 << F::FRACTION) << (127 - F::FRACTION);
    Finite { sign, exponent: field - F::BIAS, significand }
}

/// Shifts right; what is lost sets the lowest bit.
#[inline(always)]
fn shift_sticky(value: u128, count: u32) -> u128 {
    match count {
        0 => value,
        1..=127 => value >> count | u128::from(value << (128 - count) != 0),
        _ => u128::from(value != 0),
    }
}

/// How far the host's arithmetic serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host {
    /// Not at all: all is computed here.
    Never,
    /// For exact results.
    Exact,
    /// For rounded ones, too: they are rounded to nearest, and precision is masked and noted already.
    Rounded,
}

/// The state of an operation: rounding, masks and modes in, exceptions out.
#[derive(Debug, Clone, Copy)]
pub struct Fp {
    /// Rounding control.
    pub rounding: Rounding,
    /// MXCSR, with all exceptions masked if they are suppressed.
    pub control: u32,
    /// Exceptions that occurred.
    pub flags: u32,
    /// Elements of the present lane that are to be computed.
    pub active: u32,
    /// How far the host's arithmetic serves.
    pub host: Host,
    /// An operation in steps, each of which reports its exceptions, has run.
    pub stepped: bool,
    /// Steps to be taken at most.
    pub steps: u8,
    /// Exceptions of earlier steps.
    pub kept: u32,
}

impl Fp {
    /// From MXCSR.
    #[inline(always)]
    pub fn new(mxcsr: u32) -> Self {
        Self {
            rounding: Rounding::from_bits(mxcsr >> RC),
            control: mxcsr,
            flags: 0,
            active: u32::MAX,
            host: if Self::host_rounds(mxcsr) { Host::Rounded } else { Host::Exact },
            stepped: false,
            steps: u8::MAX,
            kept: 0,
        }
    }

    /// Whether under this MXCSR a result that was rounded by the host needs no further look: to nearest, and precision
    /// is masked and noted already.
    #[inline(always)]
    pub fn host_rounds(mxcsr: u32) -> bool {
        const MASKED: u32 = PE << MASKS;
        mxcsr & (MASKED | PE | 3 << RC) == MASKED | PE
    }

    /// Whether MXCSR rounds down.
    #[inline(always)]
    pub fn rounds_down(mxcsr: u32) -> bool {
        mxcsr >> RC & 3 == Rounding::Down as u32
    }

    /// The same exceptions with another rounding, for as long as `f` runs.
    #[inline(always)]
    pub fn with_rounding<R>(&mut self, rounding: Rounding, f: impl FnOnce(&mut Self) -> R) -> R {
        let (old, host) = (self.rounding, self.host);
        self.rounding = rounding;
        if host == Host::Rounded {
            self.host = Host::Exact;
        }
        let result = f(self);
        (self.rounding, self.host) = (old, host);
        result
    }

    /// A result of the host's that is exact, unless it is a zero that rounding down could make negative.
    #[inline(always)]
    fn exact_sum<F: Format>(&self, sum: impl FnOnce() -> Option<u64>) -> Option<u64> {
        if self.host != Host::Exact {
            return None;
        }
        sum().filter(|&sum| self.rounding != Rounding::Down || !is_zero::<F>(sum))
    }

    /// From MXCSR, with static rounding (0 to 3) or none, and all exceptions suppressed.
    pub fn suppressed(mxcsr: u32, rounding: Option<u32>) -> Self {
        let control = mxcsr & !(3 << RC) | ALL << MASKS | rounding.unwrap_or(mxcsr >> RC & 3) << RC;
        Self { host: Host::Exact, ..Self::new(control) }
    }

    /// A result of the host's from operands that may be denormal numbers: then it is #D, or they are zeros under DAZ.
    #[inline(always)]
    fn any_operands<F: Format>(&mut self, a: u64, b: u64, f: impl FnOnce(u64, u64) -> Option<u64>) -> Option<u64> {
        if a & F::INFINITY == F::INFINITY || b & F::INFINITY == F::INFINITY {
            return None;
        }
        let (a, b) = (self.operand::<F>(a), self.operand::<F>(b));
        let result = f(a, b)?;
        self.note_denormal::<F>(a);
        self.note_denormal::<F>(b);
        Some(result)
    }

    #[inline(always)]
    fn masked(&self, exception: u32) -> bool {
        self.control >> MASKS & exception != 0
    }

    /// MXCSR.DAZ.
    #[inline(always)]
    pub fn daz(&self) -> bool {
        self.control & DAZ != 0
    }

    /// Notes exceptions.
    #[inline(always)]
    pub fn raise(&mut self, flags: u32) {
        self.flags |= flags;
    }

    /// The default NaN of an invalid operation.
    #[cold]
    pub fn invalid<F: Format>(&mut self) -> u64 {
        self.raise(IE);
        F::INDEFINITE
    }

    /// A denormal operand becomes a zero of its sign under DAZ.
    #[inline(always)]
    pub fn operand<F: Format>(&self, a: u64) -> u64 {
        if self.daz() && is_denormal::<F>(a) { a & F::SIGN } else { a }
    }

    /// #D for a denormal number.
    #[inline(always)]
    pub(super) fn note_denormal<F: Format>(&mut self, a: u64) {
        if is_denormal::<F>(a) {
            self.raise(DE);
        }
    }

    /// The NaN that results from operands of which one is a NaN: the first of them, quiet.
    pub(super) fn nan<F: Format>(&mut self, operands: &[u64]) -> Option<u64> {
        let first = *operands.iter().find(|&&a| is_nan::<F>(a))?;
        if operands.iter().any(|&a| is_signaling::<F>(a)) {
            self.raise(IE);
        }
        Some(first | F::QUIET)
    }

    /// Rounds `significand` / 2^`shift` to an integer; whether it was inexact.
    #[inline(always)]
    pub fn round_shift(&self, significand: u128, shift: u32, sign: bool) -> (u128, bool) {
        let (quotient, rest, half) = match shift {
            0 => return (significand, false),
            1..=127 => (significand >> shift, significand & ((1 << shift) - 1), 1 << (shift - 1)),
            128 => (0, significand, 1 << 127),
            // Less than a half.
            _ => (0, u128::from(significand != 0), 2),
        };
        let up = match self.rounding {
            Rounding::Nearest => rest > half || rest == half && quotient & 1 != 0,
            Rounding::Down => sign && rest != 0,
            Rounding::Up => !sign && rest != 0,
            Rounding::Zero => false,
        };
        (quotient + u128::from(up), rest != 0)
    }

    /// Rounds a value to the format, with overflow, underflow and precision.
    pub fn round<F: Format>(&mut self, value: Finite) -> u64 {
        round_to::<F>(self, value, true)
    }

    /// ±0.
    pub(super) fn signed_zero<F: Format>(sign: bool) -> u64 {
        if sign { F::SIGN } else { 0 }
    }
}

/// Rounds a value to the format; FTZ applies if `flush`.
pub(super) fn round_to<F: Format>(fp: &mut Fp, value: Finite, flush: bool) -> u64 {
    let Finite { sign, exponent, significand } = value;
    let sign_bit = if sign { F::SIGN } else { 0 };
    let shift = 127 - F::FRACTION;
    let (rounded, inexact) = fp.round_shift(significand, shift, sign);
    let carried = rounded >> (F::FRACTION + 1) != 0;
    let unbounded = exponent + i32::from(carried);
    if unbounded < F::MIN {
        // Tiny, with an unbounded exponent: SDM Vol. 1 4.9.1.5.
        if flush && fp.control & FTZ != 0 && fp.masked(UE) {
            fp.raise(UE | PE);
            return sign_bit;
        }
        if !fp.masked(UE) {
            // There is no result; precision is that of the unbounded one.
            fp.raise(UE | if inexact { PE } else { 0 });
            return sign_bit;
        }
        let (denormal, inexact) = fp.round_shift(significand, shift + (F::MIN - exponent) as u32, sign);
        if inexact {
            fp.raise(UE | PE);
        }
        return sign_bit | denormal as u64;
    }
    if unbounded > F::BIAS {
        fp.raise(OE);
        if fp.masked(OE) || inexact {
            fp.raise(PE);
        }
        let to_infinity = match fp.rounding {
            Rounding::Nearest => true,
            Rounding::Down => sign,
            Rounding::Up => !sign,
            Rounding::Zero => false,
        };
        return sign_bit | if to_infinity { F::INFINITY } else { F::LARGEST };
    }
    if inexact {
        fp.raise(PE);
    }
    // A carry out of the fraction adds one to the exponent field, which may be one below the smallest until then.
    let field = (exponent - F::MIN) as u64;
    sign_bit | (field << F::FRACTION).wrapping_add(rounded as u64)
}

/// Sum of two finite values that are not zero.
fn sum<F: Format>(fp: &mut Fp, a: Finite, b: Finite) -> u64 {
    let (a, b) = if a.exponent >= b.exponent { (a, b) } else { (b, a) };
    let high = a.significand >> 1 | a.significand & 1;
    let low = shift_sticky(b.significand, 1 + (a.exponent - b.exponent) as u32);
    let (sign, total) = if a.sign == b.sign {
        (a.sign, high + low)
    } else if high >= low {
        (a.sign, high - low)
    } else {
        (b.sign, low - high)
    };
    if total == 0 {
        return Fp::signed_zero::<F>(fp.rounding == Rounding::Down);
    }
    let zeros = total.leading_zeros();
    let exponent = a.exponent + 1 - zeros as i32;
    fp.round::<F>(Finite { sign, exponent, significand: total << zeros })
}

/// a + b.
#[inline(always)]
pub fn add<F: Format>(fp: &mut Fp, a: u64, b: u64) -> u64 {
    if fp.host == Host::Rounded
        && let Some(result) = F::native_add::<false>(a, b)
    {
        return result;
    }
    add_otherwise::<F>(fp, a, b)
}

/// a − b.
#[inline(always)]
pub fn sub<F: Format>(fp: &mut Fp, a: u64, b: u64) -> u64 {
    if fp.host == Host::Rounded
        && let Some(result) = F::native_add::<false>(a, b ^ F::SIGN)
    {
        return result;
    }
    add_otherwise::<F>(fp, a, subtrahend::<F>(b))
}

/// What is added for −b: the sign of a NaN is its own.
#[inline(always)]
fn subtrahend<F: Format>(b: u64) -> u64 {
    if is_nan::<F>(b) { b } else { b ^ F::SIGN }
}

/// a + b where the host's arithmetic does not serve at once.
#[inline(never)]
pub fn add_otherwise<F: Format>(fp: &mut Fp, a: u64, b: u64) -> u64 {
    let sum = match fp.host {
        Host::Rounded => fp.any_operands::<F>(a, b, F::native_add_any),
        _ => fp.exact_sum::<F>(|| F::native_add::<true>(a, b)),
    };
    match sum {
        Some(sum) => sum,
        None => add_soft::<F>(fp, a, b),
    }
}

/// a − b, likewise.
pub fn sub_otherwise<F: Format>(fp: &mut Fp, a: u64, b: u64) -> u64 {
    add_otherwise::<F>(fp, a, subtrahend::<F>(b))
}

#[inline(never)]
fn add_soft<F: Format>(fp: &mut Fp, a: u64, b: u64) -> u64 {
    if let Some(nan) = fp.nan::<F>(&[a, b]) {
        return nan;
    }
    let (a, b) = (fp.operand::<F>(a), fp.operand::<F>(b));
    if is_infinite::<F>(a) && is_infinite::<F>(b) && a != b {
        return fp.invalid::<F>();
    }
    fp.note_denormal::<F>(a);
    fp.note_denormal::<F>(b);
    match (is_infinite::<F>(a), is_infinite::<F>(b)) {
        (true, _) => return a,
        (_, true) => return b,
        _ => {}
    }
    match (is_zero::<F>(a), is_zero::<F>(b)) {
        (true, true) if a == b => a,
        (true, true) => Fp::signed_zero::<F>(fp.rounding == Rounding::Down),
        (true, false) => fp.round::<F>(unpack::<F>(b)),
        (false, true) => fp.round::<F>(unpack::<F>(a)),
        _ => sum::<F>(fp, unpack::<F>(a), unpack::<F>(b)),
    }
}

fn product(a: Finite, b: Finite) -> Finite {
    let wide = (a.significand >> 64) * (b.significand >> 64);
    let zeros = wide.leading_zeros();
    Finite { sign: a.sign != b.sign, exponent: a.exponent + b.exponent + 1 - zeros as i32, significand: wide << zeros }
}

/// a × b.
#[inline(always)]
pub fn mul<F: Format>(fp: &mut Fp, a: u64, b: u64) -> u64 {
    if fp.host == Host::Rounded
        && let Some(result) = F::native_mul::<false>(a, b)
    {
        return result;
    }
    mul_otherwise::<F>(fp, a, b)
}

/// a × b where the host's arithmetic does not serve at once.
#[inline(never)]
pub fn mul_otherwise<F: Format>(fp: &mut Fp, a: u64, b: u64) -> u64 {
    let result = match fp.host {
        Host::Rounded => fp.any_operands::<F>(a, b, F::native_mul_any),
        Host::Exact => F::native_mul::<true>(a, b),
        Host::Never => None,
    };
    match result {
        Some(result) => result,
        None => mul_soft::<F>(fp, a, b),
    }
}

#[inline(never)]
fn mul_soft<F: Format>(fp: &mut Fp, a: u64, b: u64) -> u64 {
    if let Some(nan) = fp.nan::<F>(&[a, b]) {
        return nan;
    }
    let (a, b) = (fp.operand::<F>(a), fp.operand::<F>(b));
    let infinite = is_infinite::<F>(a) || is_infinite::<F>(b);
    let zero = is_zero::<F>(a) || is_zero::<F>(b);
    if infinite && zero {
        return fp.invalid::<F>();
    }
    fp.note_denormal::<F>(a);
    fp.note_denormal::<F>(b);
    let sign = (a ^ b) & F::SIGN;
    if infinite {
        return sign | F::INFINITY;
    }
    if zero {
        return sign;
    }
    fp.round::<F>(product(unpack::<F>(a), unpack::<F>(b)))
}

/// a ÷ b.
#[inline(always)]
pub fn div<F: Format>(fp: &mut Fp, a: u64, b: u64) -> u64 {
    if fp.host == Host::Rounded
        && let Some(result) = F::native_div::<false>(a, b)
    {
        return result;
    }
    div_otherwise::<F>(fp, a, b)
}

/// a ÷ b where the host's arithmetic does not serve at once.
#[inline(never)]
pub fn div_otherwise<F: Format>(fp: &mut Fp, a: u64, b: u64) -> u64 {
    let result = match fp.host {
        Host::Rounded => fp.any_operands::<F>(a, b, F::native_div_any),
        Host::Exact => F::native_div::<true>(a, b),
        Host::Never => None,
    };
    match result {
        Some(result) => result,
        None => div_soft::<F>(fp, a, b),
    }
}

#[inline(never)]
fn div_soft<F: Format>(fp: &mut Fp, a: u64, b: u64) -> u64 {
    if let Some(nan) = fp.nan::<F>(&[a, b]) {
        return nan;
    }
    let (a, b) = (fp.operand::<F>(a), fp.operand::<F>(b));
    let sign = (a ^ b) & F::SIGN;
    let (infinite, zero) = ((is_infinite::<F>(a), is_infinite::<F>(b)), (is_zero::<F>(a), is_zero::<F>(b)));
    if infinite == (true, true) || zero == (true, true) {
        return fp.invalid::<F>();
    }
    if zero.1 && !infinite.0 {
        fp.raise(ZE);
        return sign | F::INFINITY;
    }
    fp.note_denormal::<F>(a);
    fp.note_denormal::<F>(b);
    if infinite.0 {
        return sign | F::INFINITY;
    }
    if infinite.1 || zero.0 {
        return sign;
    }
    let (a, b) = (unpack::<F>(a), unpack::<F>(b));
    let (dividend, divisor) = ((a.significand >> 64) << 63, b.significand >> 64);
    let (quotient, rest) = (dividend / divisor, dividend % divisor);
    let zeros = quotient.leading_zeros();
    // The quotient has 63 or 64 bits, far more than any format keeps.
    let significand = quotient << zeros | u128::from(rest != 0);
    let exponent = a.exponent - b.exponent + 64 - zeros as i32;
    fp.round::<F>(Finite { sign: a.sign != b.sign, exponent, significand })
}

/// The square root of b.
#[inline(always)]
pub fn sqrt<F: Format>(fp: &mut Fp, b: u64) -> u64 {
    if fp.host == Host::Rounded
        && let Some(result) = F::native_sqrt::<false>(b)
    {
        return result;
    }
    sqrt_soft::<F>(fp, b)
}

#[inline(never)]
fn sqrt_soft<F: Format>(fp: &mut Fp, b: u64) -> u64 {
    if fp.host == Host::Exact
        && let Some(result) = F::native_sqrt::<true>(b)
    {
        return result;
    }
    if let Some(nan) = fp.nan::<F>(&[b]) {
        return nan;
    }
    let b = fp.operand::<F>(b);
    if is_zero::<F>(b) {
        return b;
    }
    if b & F::SIGN != 0 {
        return fp.invalid::<F>();
    }
    if is_infinite::<F>(b) {
        return b;
    }
    fp.note_denormal::<F>(b);
    let b = unpack::<F>(b);
    let odd = b.exponent & 1;
    let square = (b.significand >> 64) << (63 + odd);
    let root = square.isqrt();
    let zeros = root.leading_zeros();
    let significand = root << zeros | u128::from(root * root != square);
    let exponent = (b.exponent - odd) / 2 + 64 - zeros as i32;
    fp.round::<F>(Finite { sign: false, exponent, significand })
}

/// How a fused operation signs its product and its addend.
#[derive(Debug, Clone, Copy)]
pub struct Signs {
    /// The product is negated.
    pub product: bool,
    /// The addend is negated.
    pub addend: bool,
}

#[inline(always)]
fn signed<F: Format>(a: u64, negated: bool) -> u64 {
    a ^ if negated { F::SIGN } else { 0 }
}

/// ±(x × y) ± z, rounded once. NaNs are chosen in the order of `order`, the operands as the instruction names them.
pub fn fma<F: Format>(fp: &mut Fp, x: u64, y: u64, z: u64, signs: Signs, order: [u64; 3]) -> u64 {
    if fp.host == Host::Rounded
        && let Some(result) = F::native_fma::<false>(signed::<F>(x, signs.product), y, signed::<F>(z, signs.addend))
    {
        return result;
    }
    fma_soft::<F>(fp, x, y, z, signs, order)
}

#[inline(never)]
fn fma_soft<F: Format>(fp: &mut Fp, x: u64, y: u64, z: u64, signs: Signs, order: [u64; 3]) -> u64 {
    let exact = || F::native_fma::<true>(signed::<F>(x, signs.product), y, signed::<F>(z, signs.addend));
    if let Some(sum) = fp.exact_sum::<F>(exact) {
        return sum;
    }
    if let Some(nan) = fp.nan::<F>(&order) {
        return nan;
    }
    let (x, y, z) = (fp.operand::<F>(x), fp.operand::<F>(y), fp.operand::<F>(z));
    let (x, z) = (signed::<F>(x, signs.product), signed::<F>(z, signs.addend));
    let infinite = is_infinite::<F>(x) || is_infinite::<F>(y);
    let zero = is_zero::<F>(x) || is_zero::<F>(y);
    let sign = (x ^ y) & F::SIGN;
    if infinite && (zero || is_infinite::<F>(z) && z & F::SIGN != sign) {
        return fp.invalid::<F>();
    }
    for operand in [x, y, z] {
        fp.note_denormal::<F>(operand);
    }
    if infinite {
        return sign | F::INFINITY;
    }
    if is_infinite::<F>(z) {
        return z;
    }
    match (zero, is_zero::<F>(z)) {
        (true, true) if sign == z & F::SIGN => z,
        (true, true) => Fp::signed_zero::<F>(fp.rounding == Rounding::Down),
        (true, false) => fp.round::<F>(unpack::<F>(z)),
        (false, true) => fp.round::<F>(product(unpack::<F>(x), unpack::<F>(y))),
        _ => sum::<F>(fp, product(unpack::<F>(x), unpack::<F>(y)), unpack::<F>(z)),
    }
}

/// The outcome of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// a < b.
    Less,
    /// a = b.
    Equal,
    /// a > b.
    Greater,
    /// One of them is a NaN.
    Unordered,
}

/// Whether a pattern is neither a denormal number nor a NaN.
#[inline(always)]
fn is_plain<F: Format>(a: u64) -> bool {
    let magnitude = a & !F::SIGN;
    let smallest = F::FRACTION_MASK + 1;
    magnitude == 0 || magnitude.wrapping_sub(smallest) <= F::INFINITY - smallest
}

/// Compares; a quiet NaN is invalid if `signaling`.
#[inline(always)]
pub fn compare<F: Format>(fp: &mut Fp, a: u64, b: u64, signaling: bool) -> Relation {
    if is_plain::<F>(a) && is_plain::<F>(b) { relation::<F>(a, b) } else { compare_unusual::<F>(fp, a, b, signaling) }
}

#[inline(never)]
fn compare_unusual<F: Format>(fp: &mut Fp, a: u64, b: u64, signaling: bool) -> Relation {
    if is_nan::<F>(a) || is_nan::<F>(b) {
        if signaling || is_signaling::<F>(a) || is_signaling::<F>(b) {
            fp.raise(IE);
        }
        return Relation::Unordered;
    }
    let (a, b) = (fp.operand::<F>(a), fp.operand::<F>(b));
    fp.note_denormal::<F>(a);
    fp.note_denormal::<F>(b);
    relation::<F>(a, b)
}

/// The order of two patterns that are no NaNs.
#[inline(always)]
pub fn relation<F: Format>(a: u64, b: u64) -> Relation {
    let key = |a: u64| {
        let magnitude = (a & !F::SIGN) as i64;
        if a & F::SIGN != 0 { -magnitude } else { magnitude }
    };
    match key(a).cmp(&key(b)) {
        std::cmp::Ordering::Less => Relation::Less,
        std::cmp::Ordering::Equal => Relation::Equal,
        std::cmp::Ordering::Greater => Relation::Greater,
    }
}

/// MINPS and its kind: the second operand unless the first is less.
pub fn min<F: Format>(fp: &mut Fp, a: u64, b: u64) -> u64 {
    let less = compare::<F>(fp, a, b, true) == Relation::Less;
    fp.operand::<F>(if less { a } else { b })
}

/// MAXPS and its kind: the second operand unless the first is greater.
pub fn max<F: Format>(fp: &mut Fp, a: u64, b: u64) -> u64 {
    let greater = compare::<F>(fp, a, b, true) == Relation::Greater;
    fp.operand::<F>(if greater { a } else { b })
}
