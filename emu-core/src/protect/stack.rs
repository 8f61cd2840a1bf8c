//! A stack that is not (yet) the one in SS: what gates, interrupts and task switches push on.

use crate::fault::Exec;
use crate::mem::walk::{Access, Kind};
use crate::state::cpu::{Cpu, Env};
use crate::state::derived::Size;
use crate::state::observed::Watch;
use emu_vmx::arch::segment::Segment;
use emu_vmx::arch::vector;

/// A stack to push on at some privilege.
#[derive(Debug, Clone, Copy)]
pub struct Stack {
    segment: Segment,
    /// Width of the stack pointer.
    size: Size,
    /// The stack pointer, within `size`.
    pub sp: u64,
    user: bool,
    /// Error code of #SS.
    code: u32,
}

impl Stack {
    /// The stack `segment` from `sp` downwards, pushed on at privilege `cpl`; `code` is #SS's error code.
    pub fn new(segment: Segment, sp: u64, cpl: u8, code: u32) -> Self {
        let size = if segment.access_rights.default_big() { Size::Bits32 } else { Size::Bits16 };
        Self { segment, size, sp: sp & size.mask(), user: cpl == 3, code }
    }

    /// A 64-bit stack.
    pub fn long(sp: u64, cpl: u8, code: u32) -> Self {
        Self { segment: Segment::NULL, size: Size::Bits64, sp, user: cpl == 3, code }
    }

    /// `rsp` with this stack pointer in it: a 16-bit one leaves the upper part.
    pub fn merged(&self, rsp: u64) -> u64 {
        match self.size {
            Size::Bits16 => rsp & !0xFFFF | self.sp,
            _ => self.sp,
        }
    }

    /// Whether `len` bytes at `offset` lie within the segment.
    fn holds(&self, offset: u64, len: u64) -> bool {
        let (limit, last) = (u64::from(self.segment.limit), offset.wrapping_add(len - 1));
        if self.segment.access_rights.expand_down() {
            offset > limit && last <= self.size.mask()
        } else {
            last <= limit
        }
    }
}

impl Cpu {
    /// The present stack, for pushes that must not move RSP before all of them have succeeded.
    pub fn present_stack(&self, code: u32) -> Stack {
        let segment = *self.sys.seg(emu_vmx::arch::segment::SegmentRegister::Ss);
        if self.derived.mode.is_64bit() {
            Stack::long(self.gpr[4], self.sys.cpl, code)
        } else {
            Stack::new(segment, self.gpr[4], self.sys.cpl, code)
        }
    }

    /// Pushes `value`, `width` wide.
    pub fn push_on(&mut self, env: &mut Env, stack: &mut Stack, width: Size, value: u64) -> Exec {
        let len = u64::from(width.bits() / 8);
        let sp = stack.sp.wrapping_sub(len) & stack.size.mask();
        let wide = stack.size == Size::Bits64;
        let allowed = if wide { self.canonicalize(sp, len).is_some() } else { stack.holds(sp, len) };
        if !allowed {
            return self.exception(vector::SS, stack.code);
        }
        let linear = if wide { sp } else { stack.segment.base.wrapping_add(sp) & 0xFFFF_FFFF };
        if stack.user {
            self.check_push_alignment(linear, len, stack.code & 1)?;
        }
        let (value, access) = (value & width.mask(), Access::data(Kind::Write, stack.user));
        if wide {
            self.write_linear(env, linear, len as usize, value, access)?;
        } else {
            self.write_operand(env, linear, len as usize, value, access)?;
        }
        stack.sp = sp;
        Ok(())
    }

    /// Pushes all of `values` in order, or none that a limit forbids.
    pub fn push_all_on(&mut self, env: &mut Env, stack: &mut Stack, width: Size, values: &[u64]) -> Exec {
        // Watched accesses are told one by one, and go through caches line by line.
        let together = !values.is_empty() && !self.notes.watch.contains(Watch::MEMORY) && !self.has_caches();
        if together && (stack.size, width) == (Size::Bits64, Size::Bits64) {
            let len = 8 * values.len();
            let bottom = stack.sp.wrapping_sub(len as u64);
            // A page that the TLB has is canonical and holds no code.
            if let Some(offset) = self.known_place(bottom, len, Access::data(Kind::Write, stack.user)) {
                let frame = env.ram.page_bytes_mut(offset, len);
                for (place, value) in frame.chunks_exact_mut(8).rev().zip(values) {
                    place.copy_from_slice(&value.to_le_bytes());
                }
                stack.sp = bottom;
                return Ok(());
            }
        }
        for &value in values {
            self.push_on(env, stack, width, value)?;
        }
        Ok(())
    }
}
