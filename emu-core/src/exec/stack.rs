//! Stack instructions.

use crate::fault::{Exec, Stop};
use crate::ir::uop::Uop;
use crate::ir::width::Width;
use crate::mem::access::{Checked, Path};
use crate::state::cpu::{Cpu, Env};
use crate::state::derived::Size;

const RSP: usize = 4;
const RBP: usize = 5;
const SS: u8 = 2;

impl Cpu {
    /// The stack pointer, as wide as the stack.
    #[inline(always)]
    pub fn sp(&self) -> u64 {
        self.gpr[RSP] & self.derived.mode.stack.mask()
    }

    /// Sets the stack pointer; with a 16-bit stack the upper bits of ESP stay.
    #[inline(always)]
    pub fn set_sp(&mut self, sp: u64) {
        let mask = self.derived.mode.stack.mask();
        self.gpr[RSP] = match self.derived.mode.stack {
            Size::Bits16 => self.gpr[RSP] & !mask | sp & mask,
            _ => sp & mask,
        };
    }

    /// Adds to the stack pointer.
    #[inline(always)]
    pub fn adjust_stack(&mut self, bytes: u64) {
        self.set_sp(self.sp().wrapping_add(bytes));
    }

    /// Pushes a value of width `W`.
    #[inline(always)]
    pub fn push<W: Width>(&mut self, env: &mut Env, value: u64) -> Exec {
        self.push_by::<Checked, W>(env, value)
    }

    /// Pushes a value of width `W` by path `P`.
    #[inline(always)]
    pub fn push_by<P: Path, W: Width>(&mut self, env: &mut Env, value: u64) -> Exec {
        let sp = self.cut_sp_by::<P>(self.gpr[RSP].wrapping_sub(W::BYTES));
        self.write_by::<P, W>(env, SS, sp, value)?;
        self.set_sp_by::<P>(sp);
        Ok(())
    }

    /// Reads the stack, `offset` bytes above its top.
    #[inline(always)]
    pub fn peek<W: Width>(&mut self, env: &mut Env, offset: u64) -> Result<u64, Stop> {
        self.read::<W>(env, SS, self.sp().wrapping_add(offset) & self.derived.mode.stack.mask())
    }

    /// The quadwords at the top of a 64-bit stack, if reading them is nothing but that.
    #[inline(always)]
    pub fn plain_frame<const N: usize>(&self, env: &Env) -> Option<[u64; N]> {
        if !self.derived.mode.is_64bit() {
            return None;
        }
        let (linear, len) = (self.gpr[RSP], 8 * N);
        let entry = self.tlb.slot(linear);
        if entry.read != linear.wrapping_add(len as u64 - 1) & !0xFFF | self.fast_context {
            return None;
        }
        let offset = linear.wrapping_add(entry.addend) as usize;
        let bytes = env.ram.bytes().get(offset..offset + len)?;
        let mut words = [0; N];
        for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        Some(words)
    }

    /// Reads the top of the stack by path `P`.
    #[inline(always)]
    pub fn peek_by<P: Path, W: Width>(&mut self, env: &mut Env) -> Result<u64, Stop> {
        self.read_by::<P, W>(env, SS, self.cut_sp_by::<P>(self.gpr[RSP]))
    }

    /// Adds to the stack pointer by path `P`.
    #[inline(always)]
    pub fn adjust_stack_by<P: Path>(&mut self, bytes: u64) {
        self.set_sp_by::<P>(self.gpr[RSP].wrapping_add(bytes));
    }

    /// An offset as wide as the stack by path `P`: a flat one has all bits.
    #[inline(always)]
    fn cut_sp_by<P: Path>(&self, offset: u64) -> u64 {
        if P::FLAT { offset } else { offset & self.derived.mode.stack.mask() }
    }

    /// Sets the stack pointer by path `P`.
    #[inline(always)]
    fn set_sp_by<P: Path>(&mut self, sp: u64) {
        if P::FLAT {
            self.gpr[RSP] = sp;
        } else {
            self.set_sp(sp);
        }
    }
}

/// PUSH r.
pub fn push_r<P: Path, W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let value = W::get(&cpu.gpr, u.r1);
    cpu.push_by::<P, W>(env, value)
}

/// PUSH m.
pub fn push_m<P: Path, W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let value = cpu.load_by::<P, W>(env, u)?;
    cpu.push_by::<P, W>(env, value)
}

/// PUSH imm.
pub fn push_i<P: Path, W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    cpu.push_by::<P, W>(env, u.imm)
}

/// POP r.
pub fn pop_r<P: Path, W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let value = cpu.peek_by::<P, W>(env)?;
    cpu.adjust_stack_by::<P>(W::BYTES);
    W::set(&mut cpu.gpr, u.r1, value);
    Ok(())
}

/// POP m: the address is computed after the stack pointer has moved.
pub fn pop_m<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let value = cpu.peek::<W>(env, 0)?;
    let sp = cpu.gpr[RSP];
    cpu.adjust_stack(W::BYTES);
    let ea = cpu.ea(u);
    cpu.write::<W>(env, u.seg, ea, value).inspect_err(|_| cpu.gpr[RSP] = sp)
}

/// PUSHA, PUSHAD.
pub fn pusha<W: Width>(cpu: &mut Cpu, env: &mut Env, _u: &Uop) -> Exec {
    let sp = cpu.gpr[RSP];
    for register in 0..8 {
        let value = if register == RSP as u8 { sp & W::MASK } else { W::get(&cpu.gpr, register) };
        cpu.push::<W>(env, value).inspect_err(|_| cpu.gpr[RSP] = sp)?;
    }
    Ok(())
}

/// POPA, POPAD.
pub fn popa<W: Width>(cpu: &mut Cpu, env: &mut Env, _u: &Uop) -> Exec {
    let mut values = [0; 8];
    for (n, value) in values.iter_mut().enumerate() {
        *value = cpu.peek::<W>(env, n as u64 * W::BYTES)?;
    }
    cpu.adjust_stack(8 * W::BYTES);
    for (n, value) in values.iter().enumerate() {
        let register = 7 - n as u8;
        if register != RSP as u8 {
            W::set(&mut cpu.gpr, register, *value);
        }
    }
    Ok(())
}

/// ENTER: frame size in `imm`, nesting level in `r1`.
pub fn enter<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let mask = cpu.derived.mode.stack.mask();
    let level = u64::from(u.r1 & 31);
    let sp = cpu.gpr[RSP];
    let enter = |cpu: &mut Cpu, env: &mut Env| -> Result<u64, Stop> {
        let bp = W::get(&cpu.gpr, RBP as u8);
        cpu.push::<W>(env, bp)?;
        // All of ESP, also on a 16-bit stack.
        let frame = cpu.gpr[RSP];
        let outer = cpu.gpr[RBP];
        for n in 1..level {
            let value = cpu.read::<W>(env, SS, outer.wrapping_sub(n * W::BYTES) & mask)?;
            cpu.push::<W>(env, value)?;
        }
        if level > 0 {
            cpu.push::<W>(env, frame & W::MASK)?;
        }
        cpu.adjust_stack(0u64.wrapping_sub(u.stack_bytes()));
        // The new top must be writable (SDM Vol. 2A, ENTER).
        let top = cpu.sp();
        cpu.probe_write(env, SS, top, W::BYTES as usize)?;
        Ok(frame)
    };
    let frame = enter(cpu, env).inspect_err(|_| cpu.gpr[RSP] = sp)?;
    W::set(&mut cpu.gpr, RBP as u8, frame & W::MASK);
    Ok(())
}

/// LEAVE.
pub fn leave<P: Path, W: Width>(cpu: &mut Cpu, env: &mut Env, _u: &Uop) -> Exec {
    let frame = cpu.cut_sp_by::<P>(cpu.gpr[RBP]);
    let value = cpu.read_by::<P, W>(env, SS, frame)?;
    cpu.set_sp_by::<P>(frame.wrapping_add(W::BYTES));
    W::set(&mut cpu.gpr, RBP as u8, value);
    Ok(())
}
