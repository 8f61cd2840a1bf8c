//! Packed and scalar floating-point operations: their tables and handlers.

use super::by_number;
use super::element::{from_fn, get};
use super::operands::Encoding;
use crate::fault::{Exec, Fault};
use crate::fpu::VectorRegister;
use crate::fpu::conversion;
use crate::fpu::soft::{self, Double, Format, Fp, Relation, Rounding, Signs, Single, flag};
use crate::ir::kernels::FloatOperation::{self, *};
use crate::ir::uop::Uop;
use crate::ir::vector::{ROUNDING_MXCSR, ROUNDING_SAE};
use crate::state::cpu::{Cpu, Env};
use emu_vmx::arch::cr::Cr4;
use emu_vmx::arch::vector;

/// An operation on one lane: first, second and third source, and the immediate.
pub type KernelF = fn(&mut Fp, u128, u128, u128, u32) -> u128;

/// A row of a table: which operation, and what it does.
pub struct Row(pub FloatOperation, pub KernelF);

impl Cpu {
    /// The state of an operation, from MXCSR and the micro-op.
    #[inline(always)]
    pub fn begin_float(&self, u: &Uop) -> Fp {
        match u.rounding() {
            ROUNDING_MXCSR => Fp::new(self.fpu.mxcsr),
            ROUNDING_SAE => Fp::suppressed(self.fpu.mxcsr, None),
            mode => Fp::suppressed(self.fpu.mxcsr, Some(mode as u32 - 1)),
        }
    }

    /// Reports the exceptions of an operation: in MXCSR, and if one is unmasked as #XM, or #UD without
    /// CR4.OSXMMEXCPT (SDM Vol. 1 11.5). An unmasked exception found before computing hides those found after.
    #[inline(always)]
    pub fn end_float(&mut self, u: &Uop, fp: &Fp) -> Exec {
        if fp.flags == 0 || u.rounding() != ROUNDING_MXCSR {
            return Ok(());
        }
        self.report_float(fp.flags, fp.kept)
    }

    #[inline(never)]
    fn report_float(&mut self, mut flags: u32, kept: u32) -> Exec {
        const BEFORE: u32 = flag::IE | flag::DE | flag::ZE;
        let unmasked = flags & !(self.fpu.mxcsr >> 7) & flag::ALL;
        if unmasked & BEFORE != 0 {
            flags = flags & BEFORE | kept;
        }
        self.fpu.mxcsr |= flags;
        if unmasked == 0 {
            Ok(())
        } else if self.sys.cr4.contains(Cr4::OSXMMEXCPT) {
            self.throw(Fault::exception(vector::XM))
        } else {
            self.ud()
        }
    }
}

/// An operation on the active elements of a lane.
#[inline(always)]
pub fn packed<F: Format>(fp: &mut Fp, a: u128, b: u128, c: u128, f: impl Fn(&mut Fp, u64, u64, u64) -> u64) -> u128 {
    let bits = F::BITS;
    let mask = u64::MAX >> (64 - bits);
    let mut out = 0;
    for n in 0..16 >> F::LOG2 {
        if fp.active >> n & 1 != 0 {
            let element = |lane: u128| (lane >> (n * bits)) as u64 & mask;
            out |= u128::from(f(fp, element(a), element(b), element(c))) << (n * bits);
        }
    }
    out
}

/// An operation on element 0, if it is active; the others are those of `a`.
#[inline(always)]
pub fn scalar<F: Format>(fp: &mut Fp, a: u128, b: u128, c: u128, f: impl Fn(&mut Fp, u64, u64, u64) -> u64) -> u128 {
    let mask = u64::MAX >> (64 - F::BITS);
    if fp.active & 1 == 0 {
        return a;
    }
    let low = f(fp, a as u64 & mask, b as u64 & mask, c as u64 & mask);
    a & !u128::from(mask) | u128::from(low)
}

/// The rows of an operation on two operands: packed single and double, scalar single and double.
macro_rules! four {
    ($ps:ident, $pd:ident, $ss:ident, $sd:ident, $f:ident) => {
        &[
            Row($ps, |fp, a, b, _, _| packed::<Single>(fp, a, b, 0, |fp, a, b, _| soft::$f::<Single>(fp, a, b))),
            Row($pd, |fp, a, b, _, _| packed::<Double>(fp, a, b, 0, |fp, a, b, _| soft::$f::<Double>(fp, a, b))),
            Row($ss, |fp, a, b, _, _| scalar::<Single>(fp, a, b, 0, |fp, a, b, _| soft::$f::<Single>(fp, a, b))),
            Row($sd, |fp, a, b, _, _| scalar::<Double>(fp, a, b, 0, |fp, a, b, _| soft::$f::<Double>(fp, a, b))),
        ]
    };
}

/// The same for an operation on the second operand alone, with the immediate.
macro_rules! four_unary {
    ($ps:ident, $pd:ident, $ss:ident, $sd:ident, |$fp:ident, $b:ident, $imm:ident, $format:ident| $body:expr) => {
        &[
            Row($ps, |fp, _, b, _, $imm| {
                type $format = Single;
                packed::<Single>(fp, 0, b, 0, |$fp, _, $b, _| $body)
            }),
            Row($pd, |fp, _, b, _, $imm| {
                type $format = Double;
                packed::<Double>(fp, 0, b, 0, |$fp, _, $b, _| $body)
            }),
            Row($ss, |fp, a, b, _, $imm| {
                type $format = Single;
                scalar::<Single>(fp, a, b, 0, |$fp, _, $b, _| $body)
            }),
            Row($sd, |fp, a, b, _, $imm| {
                type $format = Double;
                scalar::<Double>(fp, a, b, 0, |$fp, _, $b, _| $body)
            }),
        ]
    };
}

/// Which relations make a predicate of CMPPS true: less, equal, greater, unordered from bit 0 up (SDM Vol. 2A, CMPPD).
const PREDICATES: [u8; 16] = [
    0b0010, 0b0001, 0b0011, 0b1000, 0b1101, 0b1110, 0b1100, 0b0111, 0b1010, 0b1001, 0b1011, 0b0000, 0b0101, 0b0110,
    0b0100, 0b1111,
];

/// A predicate of CMPPS and its kind, 0 to 31.
pub fn predicate<F: Format>(fp: &mut Fp, a: u64, b: u64, number: u32) -> bool {
    // Predicates 16 and up differ from those below in whether a quiet NaN is invalid.
    let signaling = matches!(number & 3, 1 | 2) != (number & 16 != 0);
    let bit = match soft::compare::<F>(fp, a, b, signaling) {
        Relation::Less => 0,
        Relation::Equal => 1,
        Relation::Greater => 2,
        Relation::Unordered => 3,
    };
    PREDICATES[number as usize & 15] >> bit & 1 != 0
}

#[inline(always)]
fn compared<F: Format>(fp: &mut Fp, a: u64, b: u64, imm: u32) -> u64 {
    if predicate::<F>(fp, a, b, imm & 31) { u64::MAX >> (64 - F::BITS) } else { 0 }
}

const COMPARE: &[Row] = &[
    Row(Cmpps, |fp, a, b, _, i| packed::<Single>(fp, a, b, 0, |fp, a, b, _| compared::<Single>(fp, a, b, i))),
    Row(Cmppd, |fp, a, b, _, i| packed::<Double>(fp, a, b, 0, |fp, a, b, _| compared::<Double>(fp, a, b, i))),
    Row(Cmpss, |fp, a, b, _, i| scalar::<Single>(fp, a, b, 0, |fp, a, b, _| compared::<Single>(fp, a, b, i))),
    Row(Cmpsd, |fp, a, b, _, i| scalar::<Double>(fp, a, b, 0, |fp, a, b, _| compared::<Double>(fp, a, b, i))),
];

/// ROUNDPS and its kind: rounding in bits 1:0 of the immediate, or MXCSR's if bit 2 is set; bit 3 hides precision.
fn rounded<F: Format>(fp: &mut Fp, b: u64, imm: u32) -> u64 {
    let rounding = if imm & 4 != 0 { fp.rounding } else { Rounding::from_bits(imm) };
    fp.with_rounding(rounding, |fp| conversion::round_to_integral::<F>(fp, b, imm & 8 != 0))
}

/// HADDPS and its kind.
fn horizontal<F: Format>(fp: &mut Fp, a: u128, b: u128, f: fn(&mut Fp, u64, u64) -> u64) -> u128 {
    let (bits, count) = (F::BITS, 16 >> F::LOG2);
    let mask = u64::MAX >> (64 - bits);
    let mut out = 0;
    for n in 0..count {
        let from = if n < count / 2 { a } else { b };
        let at = 2 * (n % (count / 2));
        let element = |k: u32| (from >> (k * bits)) as u64 & mask;
        out |= u128::from(f(fp, element(at), element(at + 1))) << (n * bits);
    }
    out
}

/// ADDSUBPS and ADDSUBPD: differences in even elements, sums in odd ones.
fn alternate<F: Format>(fp: &mut Fp, a: u128, b: u128) -> u128 {
    let (bits, mask) = (F::BITS, u64::MAX >> (64 - F::BITS));
    (0..16 >> F::LOG2).fold(0, |out, n| {
        let (a, b) = ((a >> (n * bits)) as u64 & mask, (b >> (n * bits)) as u64 & mask);
        let value = if n & 1 == 0 { soft::sub::<F>(fp, a, b) } else { soft::add::<F>(fp, a, b) };
        out | u128::from(value) << (n * bits)
    })
}

/// An unmasked exception of one step of DPPS keeps the next steps from being taken (SDM Vol. 2A, DPPS).
fn stopped(fp: &Fp, steps_done: u8) -> bool {
    fp.flags & !(fp.control >> 7) & flag::ALL != 0 || steps_done >= fp.steps
}

/// DPPS.
fn dot_singles(fp: &mut Fp, a: u128, b: u128, imm: u32) -> u128 {
    fp.stepped = true;
    let mut product = [0; 4];
    for (n, product) in product.iter_mut().enumerate() {
        if imm >> (4 + n) & 1 != 0 {
            *product = soft::mul::<Single>(fp, get::<u32>(a, n).into(), get::<u32>(b, n).into());
        }
    }
    if stopped(fp, 1) {
        return 0;
    }
    let low = soft::add::<Single>(fp, product[0], product[1]);
    let high = soft::add::<Single>(fp, product[2], product[3]);
    if stopped(fp, 2) {
        return 0;
    }
    let sum = soft::add::<Single>(fp, low, high) as u32;
    from_fn::<u32>(|n| if imm >> n & 1 != 0 { sum } else { 0 })
}

/// DPPD.
fn dot_doubles(fp: &mut Fp, a: u128, b: u128, imm: u32) -> u128 {
    fp.stepped = true;
    let mut product = [0; 2];
    for (n, product) in product.iter_mut().enumerate() {
        if imm >> (4 + n) & 1 != 0 {
            *product = soft::mul::<Double>(fp, get(a, n), get(b, n));
        }
    }
    if stopped(fp, 1) {
        return 0;
    }
    let sum = soft::add::<Double>(fp, product[0], product[1]);
    from_fn::<u64>(|n| if imm >> n & 1 != 0 { sum } else { 0 })
}

/// An approximation of 1/b: the 12 upper bits of its significand, truncated; a relative error below 1.5 × 2^-12 is
/// what the SDM promises. No exceptions; denormals are zeros.
fn reciprocal(b: u64) -> u64 {
    let mut fp = Fp::suppressed(0x1F80 | 1 << 6 | 1 << 15, Some(Rounding::Zero as u32));
    if soft::is_nan::<Single>(b) {
        return b | Single::QUIET;
    }
    approximate(soft::div::<Single>(&mut fp, Single::ONE, b))
}

/// An approximation of 1/√b, as good.
fn reciprocal_root(b: u64) -> u64 {
    let mut fp = Fp::suppressed(0x1F80 | 1 << 6 | 1 << 15, Some(Rounding::Zero as u32));
    if soft::is_nan::<Single>(b) {
        return b | Single::QUIET;
    }
    let root = soft::sqrt::<Single>(&mut fp, b);
    if soft::is_nan::<Single>(root) {
        return root;
    }
    approximate(soft::div::<Single>(&mut fp, Single::ONE, root))
}

/// Twelve bits of the significand of a number.
fn approximate(value: u64) -> u64 {
    if value & Single::INFINITY == Single::INFINITY { value } else { value & !0xFFF }
}

/// FMA; which operands are multiplied in bits 1:0 of the immediate (0: 132, 1: 213, 2: 231), the signs in bits 4:2
/// (0 to 3: add, subtract, negate and add, negate and subtract; 4 and 5: alternating).
#[inline(always)]
fn fused<F: Format>(fp: &mut Fp, a: u64, b: u64, c: u64, imm: u32, odd: bool) -> u64 {
    let (x, y, z) = match imm & 3 {
        0 => (c, b, a),
        1 => (a, c, b),
        _ => (a, b, c),
    };
    let signs = match imm >> 2 & 7 {
        4 => Signs { product: false, addend: !odd },
        5 => Signs { product: false, addend: odd },
        kind => Signs { product: kind & 2 != 0, addend: kind & 1 != 0 },
    };
    soft::fma::<F>(fp, x, y, z, signs, [x, y, z])
}

fn fused_packed<F: Format>(fp: &mut Fp, a: u128, b: u128, c: u128, imm: u32) -> u128 {
    let (bits, mask) = (F::BITS, u64::MAX >> (64 - F::BITS));
    let mut out = 0;
    for n in 0..16 >> F::LOG2 {
        if fp.active >> n & 1 != 0 {
            let element = |lane: u128| (lane >> (n * bits)) as u64 & mask;
            let value = fused::<F>(fp, element(a), element(b), element(c), imm, n & 1 != 0);
            out |= u128::from(value) << (n * bits);
        }
    }
    out
}

fn fused_scalar<F: Format>(fp: &mut Fp, a: u128, b: u128, c: u128, imm: u32) -> u128 {
    let mask = u64::MAX >> (64 - F::BITS);
    if fp.active & 1 == 0 {
        return c;
    }
    let low = fused::<F>(fp, a as u64 & mask, b as u64 & mask, c as u64 & mask, imm, false);
    c & !u128::from(mask) | u128::from(low)
}

const FUSED: &[Row] = &[
    Row(FusedPs, fused_packed::<Single>),
    Row(FusedPd, fused_packed::<Double>),
    Row(FusedSs, fused_scalar::<Single>),
    Row(FusedSd, fused_scalar::<Double>),
];

const OTHERS: &[Row] = &[
    Row(Haddps, |fp, a, b, _, _| horizontal::<Single>(fp, a, b, soft::add::<Single>)),
    Row(Haddpd, |fp, a, b, _, _| horizontal::<Double>(fp, a, b, soft::add::<Double>)),
    Row(Hsubps, |fp, a, b, _, _| horizontal::<Single>(fp, a, b, soft::sub::<Single>)),
    Row(Hsubpd, |fp, a, b, _, _| horizontal::<Double>(fp, a, b, soft::sub::<Double>)),
    Row(Addsubps, |fp, a, b, _, _| alternate::<Single>(fp, a, b)),
    Row(Addsubpd, |fp, a, b, _, _| alternate::<Double>(fp, a, b)),
    Row(Dpps, |fp, a, b, _, imm| dot_singles(fp, a, b, imm)),
    Row(Dppd, |fp, a, b, _, imm| dot_doubles(fp, a, b, imm)),
    Row(Rcpps, |fp, _, b, _, _| packed::<Single>(fp, 0, b, 0, |_, _, b, _| reciprocal(b))),
    Row(Rcpss, |fp, a, b, _, _| scalar::<Single>(fp, a, b, 0, |_, _, b, _| reciprocal(b))),
    Row(Rsqrtps, |fp, _, b, _, _| packed::<Single>(fp, 0, b, 0, |_, _, b, _| reciprocal_root(b))),
    Row(Rsqrtss, |fp, a, b, _, _| scalar::<Single>(fp, a, b, 0, |_, _, b, _| reciprocal_root(b))),
    Row(Cvtss2sd, |fp, a, b, _, _| {
        scalar::<Double>(fp, a, b, 0, |fp, _, b, _| {
            conversion::convert::<Single, Double>(fp, b & 0xFFFF_FFFF, true, true)
        })
    }),
    Row(Cvtsd2ss, |fp, a, b, _, _| {
        if fp.active & 1 == 0 {
            return a;
        }
        a & !0xFFFF_FFFF | u128::from(conversion::convert::<Double, Single>(fp, b as u64, true, true))
    }),
];

static KERNELS: [KernelF; FloatOperation::ALL.len()] = by_number!(
    FloatOperation,
    [
        FUSED,
        super::native::TABLE,
        four!(Minps, Minpd, Minss, Minsd, min),
        four!(Maxps, Maxpd, Maxss, Maxsd, max),
        four_unary!(Sqrtps, Sqrtpd, Sqrtss, Sqrtsd, |fp, b, _imm, F| { soft::sqrt::<F>(fp, b) }),
        four_unary!(Roundps, Roundpd, Roundss, Roundsd, |fp, b, imm, F| rounded::<F>(fp, b, imm)),
        COMPARE,
        OTHERS,
        super::scaled::TABLE,
    ]
);

/// Computes and commits; the second source is in a register unless it has been read from memory.
#[inline(never)]
pub fn apply<E: Encoding>(cpu: &mut Cpu, u: &Uop, memory: Option<VectorRegister>) -> Exec {
    let kernel = KERNELS[u.kernel()];
    let mut fp = cpu.begin_float(u);
    let (a, c) = (cpu.vector(u.r2), cpu.vector(u.r4()));
    let b = memory.as_ref().unwrap_or_else(|| cpu.vector(u.base));
    let mut out = VectorRegister::ZERO;
    let lanes = if E::EVEX { u.lanes() } else { E::LANES };
    let mask = if E::EVEX { cpu.active_elements(u) } else { u64::MAX };
    for n in 0..lanes {
        if E::EVEX {
            fp.active = (mask >> (n * (16 >> u.element_log2()))) as u32;
        }
        out.set_lane(n, kernel(&mut fp, a.lane(n), b.lane(n), c.lane(n), u.imm8()));
    }
    if fp.stepped && stopped(&fp, 0) {
        // The exceptions are those of the first step that has an unmasked one in any lane, and of those before.
        let fresh = cpu.begin_float(u);
        let mut kept = 0;
        for steps in 1..=3 {
            fp = Fp { steps, kept, ..fresh };
            for n in 0..lanes {
                kernel(&mut fp, a.lane(n), b.lane(n), c.lane(n), u.imm8());
            }
            if stopped(&fp, 0) {
                break;
            }
            kept = fp.flags;
        }
    }
    cpu.end_float(u, &fp)?;
    cpu.commit::<E>(u, out);
    Ok(())
}

/// The second source in a register.
pub fn float_rr<E: Encoding>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    E::require(cpu)?;
    apply::<E>(cpu, u, None)
}

/// The second source in memory.
pub fn float_rm<E: Encoding>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    E::require(cpu)?;
    let b = cpu.vector_operand::<E>(env, u)?;
    apply::<E>(cpu, u, Some(b))
}
