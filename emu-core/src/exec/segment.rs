//! Loads and stores of segment registers (SDM Vol. 3A 3.4.3, 5.5 to 5.7).

use crate::fault::{Exec, Stop};
use crate::ir::operands::IN_MEMORY;
use crate::ir::uop::Uop;
use crate::ir::width::Width;
use crate::protect::rules;
use crate::protect::selector::Selector;
use crate::state::cpu::{Cpu, Env};
use crate::state::derived::{Mode, Size};
use crate::state::system::Shadow;
use emu_vmx::arch::segment::{Segment, SegmentRegister};
use emu_vmx::arch::vector;

const RSP: usize = 4;

impl Cpu {
    /// Loads DS, ES, FS, GS or SS as the present mode does.
    pub fn load_segment(&mut self, env: &mut Env, register: SegmentRegister, selector: u16) -> Exec {
        if self.derived.mode.real_segments() {
            self.load_real_segment(register, selector);
        } else if register == SegmentRegister::Ss {
            let segment = self.stack_segment(env, Selector(selector))?;
            self.sys.segments[SegmentRegister::Ss as usize] = segment;
            self.refresh_segment(register);
        } else {
            let segment = self.data_segment(env, Selector(selector))?;
            self.sys.segments[register as usize] = segment;
            self.refresh_segment(register);
        }
        if register == SegmentRegister::Ss {
            self.refresh_stack_size();
        }
        Ok(())
    }

    fn data_segment(&mut self, env: &mut Env, selector: Selector) -> Result<Segment, Stop> {
        if selector.is_null() {
            return Ok(Segment { selector: selector.0, ..Segment::NULL });
        }
        let descriptor = self.read_descriptor(env, selector, vector::GP, 0)?;
        self.obey(rules::data_segment(descriptor.access_rights(), selector, self.sys.cpl, vector::GP, 0))?;
        self.accessed_segment(env, selector, descriptor)
    }

    fn stack_segment(&mut self, env: &mut Env, selector: Selector) -> Result<Segment, Stop> {
        let cpl = self.sys.cpl;
        if selector.is_null() {
            return if self.derived.mode.is_64bit() && cpl < 3 && selector.rpl() == cpl {
                Ok(Self::null_stack_segment(selector.0, cpl))
            } else {
                self.gp(0)
            };
        }
        let descriptor = self.read_descriptor(env, selector, vector::GP, 0)?;
        self.obey(rules::stack_segment(descriptor.access_rights(), selector, cpl, vector::GP, 0))?;
        self.accessed_segment(env, selector, descriptor)
    }

    /// SS alone has changed: the stack's width may have.
    fn refresh_stack_size(&mut self) {
        let stack = match self.derived.mode.code {
            Size::Bits64 => Size::Bits64,
            _ if self.sys.seg(SegmentRegister::Ss).access_rights.default_big() => Size::Bits32,
            _ => Size::Bits16,
        };
        if stack != self.derived.mode.stack {
            self.set_mode(Mode { stack, ..self.derived.mode });
            self.leave_block();
        }
    }

    /// Takes the segments that code of privilege `cpl` may not have from DS, ES, FS and GS.
    pub fn drop_private_segments(&mut self, cpl: u8) {
        for register in [SegmentRegister::Ds, SegmentRegister::Es, SegmentRegister::Fs, SegmentRegister::Gs] {
            if !rules::survives_return(self.sys.seg(register).access_rights, cpl) {
                // 64-bit mode goes on with the base of FS and GS.
                let base = self.sys.seg(register).base;
                self.sys.segments[register as usize] = Segment { base, ..Segment::NULL };
            }
        }
    }

    /// The register or memory operand of an instruction that takes 16 bits; the register is in `r2`.
    pub(super) fn word_operand(&mut self, env: &mut Env, u: &Uop) -> Result<u64, Stop> {
        if u.r2 == IN_MEMORY { self.load::<u16>(env, u) } else { Ok(u16::get(&self.gpr, u.r2)) }
    }
}

/// The segment register that a micro-op names in `r1`.
fn named(u: &Uop) -> SegmentRegister {
    SegmentRegister::USER[usize::from(u.r1).min(5)]
}

/// MOV Sreg, r/m16.
pub fn mov_to_sreg(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let selector = cpu.word_operand(env, u)?;
    let register = named(u);
    cpu.load_segment(env, register, selector as u16)?;
    if register == SegmentRegister::Ss {
        cpu.open_shadow(Shadow::MovSs);
    }
    Ok(())
}

/// MOV r, Sreg: zero-extended.
pub fn mov_from_sreg<W: Width>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    let selector = cpu.sys.seg(named(u)).selector;
    W::set(&mut cpu.gpr, u.r2, u64::from(selector));
    Ok(())
}

/// MOV m16, Sreg.
pub fn store_sreg(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let selector = cpu.sys.seg(named(u)).selector;
    cpu.store::<u16>(env, u, u64::from(selector))
}

/// PUSH Sreg. A 32-bit push writes the low half of its slot only, as recent processors do (SDM Vol. 2B, PUSH).
pub fn push_sreg<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let selector = u64::from(cpu.sys.seg(named(u)).selector);
    if W::BITS == 32 {
        let sp = cpu.sp().wrapping_sub(4) & cpu.derived.mode.stack.mask();
        cpu.write::<u16>(env, SegmentRegister::Ss as u8, sp, selector)?;
        cpu.set_sp(sp);
        return Ok(());
    }
    cpu.push::<W>(env, selector)
}

/// POP Sreg.
pub fn pop_sreg<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let selector = cpu.peek::<W>(env, 0)? as u16;
    let register = named(u);
    let sp = cpu.gpr[RSP];
    // The stack pointer moves by the width of the stack that the selector came from.
    cpu.adjust_stack(W::BYTES);
    cpu.load_segment(env, register, selector).inspect_err(|_| cpu.gpr[RSP] = sp)?;
    if register == SegmentRegister::Ss {
        cpu.open_shadow(Shadow::MovSs);
    }
    Ok(())
}

/// LDS, LES, LFS, LGS, LSS: the segment register in `r1`, the general one in `r2`.
pub fn load_far_pointer<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let ea = cpu.ea(u);
    let offset = cpu.read::<W>(env, u.seg, ea)?;
    let selector = cpu.read::<u16>(env, u.seg, ea.wrapping_add(W::BYTES))?;
    cpu.load_segment(env, named(u), selector as u16)?;
    W::set(&mut cpu.gpr, u.r2, offset);
    Ok(())
}
