//! Single bits, bit scans and counts, byte order, CRC32.

use crate::fault::Exec;
use crate::flags::{CF, Flags, ZF, bit};
use crate::ir::uop::Uop;
use crate::ir::width::Width;
use crate::state::cpu::{Cpu, Env};

/// BT, BTS, BTR or BTC.
pub trait BitOp: 'static {
    /// Whether the operand is written.
    const WRITES: bool;
    /// The operand with the one bit of `mask` changed.
    fn change(value: u64, mask: u64) -> u64;
}

macro_rules! bit_ops {
    ($($name:ident $writes:literal |$value:ident, $mask:ident| $body:expr;)*) => {$(
        #[doc = concat!(stringify!($name), ".")]
        pub struct $name;
        impl BitOp for $name {
            const WRITES: bool = $writes;
            #[inline(always)]
            fn change($value: u64, $mask: u64) -> u64 {
                $body
            }
        }
    )*};
}

bit_ops! {
    Bt false |value, _mask| value;
    Bts true |value, mask| value | mask;
    Btr true |value, mask| value & !mask;
    Btc true |value, mask| value ^ mask;
}

/// Reads, sets CF (the other flags stay), writes if the operation does. `n` is below the width.
#[inline(always)]
fn bit_register<O: BitOp, W: Width>(cpu: &mut Cpu, u: &Uop, n: u64) -> Exec {
    let value = W::get(&cpu.gpr, u.r1);
    cpu.flags.set_cf(value >> n & 1 != 0);
    if O::WRITES {
        W::set(&mut cpu.gpr, u.r1, O::change(value, 1 << n));
    }
    Ok(())
}

#[inline(always)]
fn bit_memory<O: BitOp, W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop, ea: u64, n: u64) -> Exec {
    if O::WRITES {
        let (value, target) = cpu.read_for_write::<W>(env, u.seg, ea)?;
        cpu.write_back::<W>(env, target, O::change(value, 1 << n));
        cpu.flags.set_cf(value >> n & 1 != 0);
    } else {
        let value = cpu.read::<W>(env, u.seg, ea)?;
        cpu.flags.set_cf(value >> n & 1 != 0);
    }
    Ok(())
}

/// op r, r.
pub fn bit_rr<O: BitOp, W: Width>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    let n = W::get(&cpu.gpr, u.r2) & u64::from(W::BITS - 1);
    bit_register::<O, W>(cpu, u, n)
}

/// op r, imm; `imm` is below the width.
pub fn bit_ri<O: BitOp, W: Width>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    bit_register::<O, W>(cpu, u, u.imm)
}

/// op m, r: the register is a signed offset into a bit string (SDM Vol. 2A 3.1.1.9, Bit(BitBase, BitOffset)).
pub fn bit_mr<O: BitOp, W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let offset = W::sign_extend(W::get(&cpu.gpr, u.r2)) as i64;
    let operand = (offset >> W::BITS.trailing_zeros()) as u64;
    let ea = cpu.ea(u).wrapping_add(operand.wrapping_mul(W::BYTES)) & u.address_mask();
    bit_memory::<O, W>(cpu, env, u, ea, offset as u64 & u64::from(W::BITS - 1))
}

/// op m, imm.
pub fn bit_mi<O: BitOp, W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    bit_memory::<O, W>(cpu, env, u, cpu.ea(u), u.imm)
}

/// BSF or BSR.
pub trait Scan: 'static {
    /// Number of the bit found in a value that is not 0.
    fn find(value: u64) -> u64;
}

/// BSF.
pub struct Bsf;

impl Scan for Bsf {
    #[inline(always)]
    fn find(value: u64) -> u64 {
        u64::from(value.trailing_zeros())
    }
}

/// BSR.
pub struct Bsr;

impl Scan for Bsr {
    #[inline(always)]
    fn find(value: u64) -> u64 {
        u64::from(63 - value.leading_zeros())
    }
}

/// A source of 0 leaves the destination alone, all 64 bits of it, as every processor does. ZF alone is defined.
#[inline(always)]
fn scan<O: Scan, W: Width>(cpu: &mut Cpu, u: &Uop, value: u64) -> Exec {
    if value == 0 {
        cpu.flags.record_logic(W::TOP, 0);
    } else {
        let found = O::find(value);
        cpu.flags.record_logic(W::TOP, found);
        cpu.flags.set_status_masked(ZF, 0);
        W::set(&mut cpu.gpr, u.r1, found);
    }
    Ok(())
}

/// Scan r, r.
pub fn scan_rr<O: Scan, W: Width>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    let value = W::get(&cpu.gpr, u.r2);
    scan::<O, W>(cpu, u, value)
}

/// Scan r, m.
pub fn scan_rm<O: Scan, W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let value = cpu.load::<W>(env, u)?;
    scan::<O, W>(cpu, u, value)
}

/// POPCNT, LZCNT or TZCNT.
pub trait Count: 'static {
    /// The count, with the flags it gives.
    fn count<W: Width>(flags: &mut Flags, value: u64) -> u64;
}

/// POPCNT: ZF from the source, the other flags clear.
pub struct Popcnt;

impl Count for Popcnt {
    #[inline(always)]
    fn count<W: Width>(flags: &mut Flags, value: u64) -> u64 {
        flags.set_status(bit(value == 0, ZF));
        u64::from(value.count_ones())
    }
}

/// LZCNT.
pub struct Lzcnt;

impl Count for Lzcnt {
    #[inline(always)]
    fn count<W: Width>(flags: &mut Flags, value: u64) -> u64 {
        let count = u64::from(value.leading_zeros() + W::BITS - 64);
        flags.record_result(W::TOP, count, bit(value == 0, CF));
        count
    }
}

/// TZCNT.
pub struct Tzcnt;

impl Count for Tzcnt {
    #[inline(always)]
    fn count<W: Width>(flags: &mut Flags, value: u64) -> u64 {
        let count = u64::from(value.trailing_zeros().min(W::BITS));
        flags.record_result(W::TOP, count, bit(value == 0, CF));
        count
    }
}

/// Count r, r.
pub fn count_rr<O: Count, W: Width>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    let value = W::get(&cpu.gpr, u.r2);
    let count = O::count::<W>(&mut cpu.flags, value);
    W::set(&mut cpu.gpr, u.r1, count);
    Ok(())
}

/// Count r, m.
pub fn count_rm<O: Count, W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let value = cpu.load::<W>(env, u)?;
    let count = O::count::<W>(&mut cpu.flags, value);
    W::set(&mut cpu.gpr, u.r1, count);
    Ok(())
}

#[inline(always)]
fn swapped<W: Width>(value: u64) -> u64 {
    value.swap_bytes() >> (64 - W::BITS)
}

/// BSWAP; with a 16-bit operand, which the SDM leaves undefined, processors give 0.
pub fn bswap<W: Width>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    let value = if W::BITS == 16 { 0 } else { swapped::<W>(W::get(&cpu.gpr, u.r1)) };
    W::set(&mut cpu.gpr, u.r1, value);
    Ok(())
}

/// MOVBE r, m.
pub fn movbe_rm<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let value = cpu.load::<W>(env, u)?;
    W::set(&mut cpu.gpr, u.r1, swapped::<W>(value));
    Ok(())
}

/// MOVBE m, r.
pub fn movbe_mr<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let value = W::get(&cpu.gpr, u.r1);
    cpu.store::<W>(env, u, swapped::<W>(value))
}

/// The polynomial 11EDC6F41h, bit-reflected (SDM Vol. 2A, CRC32).
const CRC_POLYNOMIAL: u32 = 0x82F6_3B78;

static CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut n = 0;
    while n < 256 {
        let mut crc = n as u32;
        let mut step = 0;
        while step < 8 {
            crc = crc >> 1 ^ if crc & 1 != 0 { CRC_POLYNOMIAL } else { 0 };
            step += 1;
        }
        table[n] = crc;
        n += 1;
    }
    table
};

#[inline(always)]
fn crc32<W: Width>(cpu: &mut Cpu, u: &Uop, data: u64) -> Exec {
    let mut crc = u32::get(&cpu.gpr, u.r1) as u32;
    for n in 0..W::BYTES {
        let byte = (data >> (8 * n)) as u8;
        crc = crc >> 8 ^ CRC_TABLE[(crc as u8 ^ byte) as usize];
    }
    // The upper half of a 64-bit destination is cleared too.
    u32::set(&mut cpu.gpr, u.r1, u64::from(crc));
    Ok(())
}

/// CRC32 r, r: `W` is the width of the data.
pub fn crc32_rr<W: Width>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    let data = W::get(&cpu.gpr, u.r2);
    crc32::<W>(cpu, u, data)
}

/// CRC32 r, m.
pub fn crc32_rm<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let data = cpu.load::<W>(env, u)?;
    crc32::<W>(cpu, u, data)
}
