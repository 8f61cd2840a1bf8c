//! Far JMP, CALL and RET (SDM Vol. 3A 5.8; Vol. 2A, CALL, JMP; Vol. 2B, RET).

use super::task::TaskSwitch;
use crate::fault::{Exec, Stop};
use crate::ir::uop::Uop;
use crate::ir::width::Width;
use crate::protect::rules;
use crate::protect::selector::Selector;
use crate::protect::shadow_stack::{Switch, Target};
use crate::protect::stack::Stack;
use crate::state::cpu::{Cpu, Env};
use crate::state::derived::Size;
use emu_vmx::arch::cr::Cr4;
use emu_vmx::arch::segment::{Descriptor, Segment, SegmentRegister, system_type};
use emu_vmx::arch::vector;

const RSP: usize = 4;

/// A far JMP or CALL on its way.
#[derive(Debug, Clone, Copy)]
struct Transfer {
    selector: Selector,
    offset: u64,
    /// Operand size of the instruction.
    width: Size,
    /// RIP of the next instruction.
    next_rip: u64,
    call: bool,
}

/// Where RET or IRET goes, after all checks.
#[derive(Debug, Clone, Copy)]
pub struct Return {
    code: Segment,
    /// The privilege level returned to.
    pub cpl: u8,
    rip: u64,
    /// The stack returned to, when it is popped too.
    stack: Option<(Segment, u64)>,
}

/// SS:RSP of a return.
#[derive(Debug, Clone, Copy)]
pub(super) enum Popped {
    /// They were read: IRETQ takes them always.
    Values {
        /// RSP.
        sp: u64,
        /// SS, in the low 16 bits.
        ss: u64,
    },
    /// They lie so many bytes above the top of the stack.
    At {
        /// Bytes.
        offset: u64,
        /// Operand size.
        width: Size,
        /// They are taken even if the privilege stays.
        always: bool,
    },
}

/// The operand width as a value.
pub(super) fn size_of<W: Width>() -> Size {
    match W::BITS {
        16 => Size::Bits16,
        32 => Size::Bits32,
        _ => Size::Bits64,
    }
}

impl Cpu {
    fn far_transfer(&mut self, env: &mut Env, transfer: Transfer) -> Exec {
        if self.derived.mode.real_segments() {
            return self.far_real(env, transfer);
        }
        let selector = transfer.selector;
        if selector.is_null() {
            return self.gp(0);
        }
        let descriptor = self.read_descriptor(env, selector, vector::GP, 0)?;
        let rights = descriptor.access_rights();
        if !rights.is_system() {
            return self.far_direct(env, transfer, descriptor);
        }
        let gate_or_tss = rights.type_field();
        let long = self.derived.mode.long;
        use system_type::*;
        match gate_or_tss {
            CALL_GATE => {}
            CALL_GATE16 | TASK_GATE | TSS16_AVAILABLE | TSS_AVAILABLE if !long => {}
            _ => return self.gp(selector.error(0)),
        }
        if rights.dpl() < self.sys.cpl || rights.dpl() < selector.rpl() {
            return self.gp(selector.error(0));
        }
        self.obey(rules::present(rights, vector::NP, selector, 0))?;
        let switch = if transfer.call { TaskSwitch::Call } else { TaskSwitch::Jump };
        match gate_or_tss {
            CALL_GATE | CALL_GATE16 => self.far_by_gate(env, transfer, descriptor),
            TASK_GATE => {
                self.switch_by_instruction(env, Selector(descriptor.gate_selector()), switch, transfer.next_rip)
            }
            _ => self.switch_by_instruction(env, selector, switch, transfer.next_rip),
        }
    }

    fn far_real(&mut self, env: &mut Env, transfer: Transfer) -> Exec {
        if transfer.offset > u64::from(self.sys.seg(SegmentRegister::Cs).limit) {
            return self.gp(0);
        }
        if transfer.call {
            let stack = self.push_return(env, &transfer)?;
            self.gpr[RSP] = stack.merged(self.gpr[RSP]);
        }
        self.load_real_segment(SegmentRegister::Cs, transfer.selector.0);
        self.derived.cs_bound = u64::from(self.sys.seg(SegmentRegister::Cs).limit);
        self.leave_block();
        self.branch_to(transfer.offset);
        Ok(())
    }

    /// Pushes CS and RIP on the present stack; the caller commits the stack pointer.
    fn push_return(&mut self, env: &mut Env, transfer: &Transfer) -> Result<Stack, Stop> {
        let cs = u64::from(self.sys.seg(SegmentRegister::Cs).selector);
        let mut stack = self.present_stack(0);
        self.push_all_on(env, &mut stack, transfer.width, &[cs, transfer.next_rip])?;
        Ok(stack)
    }

    /// #GP(0) unless `target` is canonical (64-bit code) or within the limit of `code`.
    fn check_far_target(&mut self, code: &Segment, target: u64) -> Exec {
        let fits = if self.derived.mode.long && code.access_rights.long() {
            self.is_canonical(target)
        } else {
            target <= u64::from(code.limit)
        };
        if fits { Ok(()) } else { self.gp(0) }
    }

    fn far_direct(&mut self, env: &mut Env, transfer: Transfer, descriptor: Descriptor) -> Exec {
        let selector = transfer.selector;
        let (cpl, long) = (self.sys.cpl, self.derived.mode.long);
        self.obey(rules::direct_transfer(descriptor.access_rights(), selector, cpl, long))?;
        let code = Segment::from_descriptor(selector.0, descriptor.0);
        self.check_far_target(&code, transfer.offset)?;
        self.far_on_same_level(env, transfer, selector, descriptor, transfer.offset)
    }

    /// A far JMP or CALL that keeps CPL, to a target that has been checked.
    fn far_on_same_level(
        &mut self,
        env: &mut Env,
        transfer: Transfer,
        selector: Selector,
        descriptor: Descriptor,
        target: u64,
    ) -> Exec {
        let wide = self.derived.mode.long && descriptor.access_rights().long();
        self.check_narrow_shadow_stack(wide)?;
        let stack = if transfer.call { Some(self.push_return(env, &transfer)?) } else { None };
        let code = self.accessed_segment(env, selector, descriptor)?;
        if let Some(stack) = stack {
            let switch = self.call_on_shadow_stack(env, None, wide, transfer.next_rip)?;
            self.switch_shadow_stack(env, switch)?;
            self.gpr[RSP] = stack.merged(self.gpr[RSP]);
        }
        self.set_code_segment(code, self.sys.cpl);
        self.branch_to(target);
        self.expect_endbranch();
        Ok(())
    }

    fn far_by_gate(&mut self, env: &mut Env, transfer: Transfer, gate: Descriptor) -> Exec {
        let long = self.derived.mode.long;
        let high = if long { self.read_descriptor_high(env, transfer.selector, vector::GP, 0)? } else { 0 };
        let selector = Selector(gate.gate_selector());
        if selector.is_null() {
            return self.gp(0);
        }
        let descriptor = self.read_descriptor(env, selector, vector::GP, 0)?;
        let rights = descriptor.access_rights();
        let cpl = self.sys.cpl;
        self.obey(rules::gate_transfer(rights, selector, cpl, long, transfer.call))?;
        let wide = gate.access_rights().type_field() & 8 != 0;
        let (width, target) = match (long, wide) {
            (true, _) => (Size::Bits64, high << 32 | u64::from(gate.gate_offset())),
            (false, true) => (Size::Bits32, u64::from(gate.gate_offset())),
            (false, false) => (Size::Bits16, u64::from(gate.gate_offset()) & 0xFFFF),
        };
        let code = Segment::from_descriptor(selector.0, descriptor.0);
        if !transfer.call || rights.conforming() || rights.dpl() == cpl {
            self.check_far_target(&code, target)?;
            return self.far_on_same_level(env, Transfer { width, ..transfer }, selector, descriptor, target);
        }
        let inner = rights.dpl();
        let (mut stack, new_ss) = if long {
            let top = self.long_stack_pointer(env, u64::from(inner) * 8 + 4, 0)?;
            if !self.is_canonical(top) {
                return self.exception(vector::SS, 0);
            }
            (Stack::long(top, inner, u32::from(inner) & !3), Self::null_stack_segment(u16::from(inner), inner))
        } else {
            let (segment, sp) = self.inner_stack(env, inner, 0)?;
            (Stack::new(segment, sp, inner, Selector(segment.selector).error(0)), segment)
        };
        self.check_far_target(&code, target)?;
        let seg = |register: SegmentRegister| u64::from(self.sys.seg(register).selector);
        let (ss, cs) = (seg(SegmentRegister::Ss), seg(SegmentRegister::Cs));
        let old_sp = self.gpr[RSP];
        // Parameters are read before anything is pushed; 64-bit gates have none.
        let count = if long { 0 } else { usize::from(gate.gate_parameter_count()) };
        let mut parameters = [0; 31];
        for (n, parameter) in parameters.iter_mut().enumerate().take(count) {
            *parameter = if wide { self.peek::<u32>(env, 4 * n as u64)? } else { self.peek::<u16>(env, 2 * n as u64)? };
        }
        self.push_all_on(env, &mut stack, width, &[ss, old_sp])?;
        for &parameter in parameters[..count.min(31)].iter().rev() {
            self.push_on(env, &mut stack, width, parameter)?;
        }
        self.push_all_on(env, &mut stack, width, &[cs, transfer.next_rip])?;
        let code = self.accessed_segment(env, selector, descriptor)?;
        let wide = long && code.access_rights.long();
        let switch = self.enter_shadow_stack(env, inner, None, wide, transfer.next_rip)?;
        self.switch_shadow_stack(env, switch)?;
        self.sys.segments[SegmentRegister::Ss as usize] = new_ss;
        self.gpr[RSP] = stack.merged(self.gpr[RSP]);
        self.set_code_segment(code, inner);
        self.branch_to(target);
        self.expect_endbranch();
        Ok(())
    }

    /// The checks of a return to `selector:rip`.
    // Inlined like all steps that hand segments on: returned through memory, one is written by fields and read back in
    // wider pieces, for which the host waits until the stores have left its store buffer.
    #[inline(always)]
    pub(super) fn check_return(
        &mut self,
        env: &mut Env,
        selector: Selector,
        rip: u64,
        popped: Popped,
    ) -> Result<Return, Stop> {
        if selector.is_null() {
            return self.gp(0);
        }
        let descriptor = self.read_descriptor(env, selector, vector::GP, 0)?;
        let (old, cpl) = (self.sys.cpl, selector.rpl());
        self.obey(rules::return_transfer(descriptor.access_rights(), selector, old, self.derived.mode.long))?;
        let code = Segment::from_descriptor(selector.0, descriptor.0);
        let popped = match popped {
            Popped::Values { sp, ss } => Some((sp, ss)),
            Popped::At { offset, width, always } if cpl > old || always => Some(self.peek_two(env, offset, width)?),
            Popped::At { .. } => None,
        };
        let stack = match popped {
            Some((sp, ss)) => {
                let wide = self.derived.mode.long && code.access_rights.long();
                Some((self.returned_stack(env, Selector(ss as u16), cpl, wide)?, sp))
            }
            None => None,
        };
        self.check_far_target(&code, rip)?;
        let code = self.accessed_segment(env, selector, descriptor)?;
        Ok(Return { code, cpl, rip, stack })
    }

    /// Reads two operands `offset` bytes above the top of the stack.
    fn peek_two(&mut self, env: &mut Env, offset: u64, width: Size) -> Result<(u64, u64), Stop> {
        let second = offset.wrapping_add(u64::from(width.bits() / 8));
        Ok(match width {
            Size::Bits16 => (self.peek::<u16>(env, offset)?, self.peek::<u16>(env, second)?),
            Size::Bits32 => (self.peek::<u32>(env, offset)?, self.peek::<u32>(env, second)?),
            Size::Bits64 => (self.peek::<u64>(env, offset)?, self.peek::<u64>(env, second)?),
        })
    }

    #[inline(always)]
    fn returned_stack(&mut self, env: &mut Env, ss: Selector, cpl: u8, to_64bit: bool) -> Result<Segment, Stop> {
        if ss.is_null() {
            return if to_64bit && cpl != 3 && ss.rpl() == cpl {
                Ok(Self::null_stack_segment(ss.0, cpl))
            } else {
                self.gp(0)
            };
        }
        let descriptor = self.read_descriptor(env, ss, vector::GP, 0)?;
        self.obey(rules::stack_segment(descriptor.access_rights(), ss, cpl, vector::GP, 0))?;
        self.accessed_segment(env, ss, descriptor)
    }

    /// What a return that has been checked does with the shadow stacks.
    #[inline(always)]
    pub(super) fn shadow_return(&mut self, env: &mut Env, to: &Return, iret: bool) -> Result<Switch, Stop> {
        if !self.sys.cr4.contains(Cr4::CET) {
            return Ok(Switch::default());
        }
        let wide = self.derived.mode.long && to.code.access_rights.long();
        let lip = if wide { to.rip } else { to.code.base.wrapping_add(to.rip) & 0xFFFF_FFFF };
        self.return_by_shadow_stack(env, Target { cs: to.code.selector, lip, cpl: to.cpl, wide }, iret)
    }

    /// Carries out a return that has been checked; `popped` bytes leave each stack.
    #[inline(always)]
    pub(super) fn finish_return(&mut self, to: Return, frame: u64, parameters: u64) {
        let outer = to.cpl > self.sys.cpl;
        match to.stack {
            Some((segment, sp)) => {
                self.sys.segments[SegmentRegister::Ss as usize] = segment;
                if outer {
                    self.drop_private_segments(to.cpl);
                }
                self.set_code_segment(to.code, to.cpl);
                self.set_sp(sp.wrapping_add(parameters));
            }
            None => {
                self.adjust_stack(frame.wrapping_add(parameters));
                self.set_code_segment(to.code, to.cpl);
            }
        }
        self.branch_to(to.rip);
    }
}

/// JMP ptr16:16/32: selector in bits 47:32 of `imm`, offset below.
pub fn jmp_far<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let next_rip = cpu.next_rip(u);
    let (selector, offset) = u.far_pointer();
    let selector = Selector(selector);
    cpu.far_transfer(env, Transfer { selector, offset, width: size_of::<W>(), next_rip, call: false })
}

/// CALL ptr16:16/32.
pub fn call_far<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let next_rip = cpu.next_rip(u);
    let (selector, offset) = u.far_pointer();
    let selector = Selector(selector);
    cpu.far_transfer(env, Transfer { selector, offset, width: size_of::<W>(), next_rip, call: true })
}

fn memory_pointer<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Result<(Selector, u64), Stop> {
    let ea = cpu.ea(u);
    let offset = cpu.read::<W>(env, u.seg, ea)?;
    let selector = cpu.read::<u16>(env, u.seg, ea.wrapping_add(W::BYTES))?;
    Ok((Selector(selector as u16), offset))
}

/// JMP m16:16/32/64.
pub fn jmp_far_m<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let next_rip = cpu.next_rip(u);
    let (selector, offset) = memory_pointer::<W>(cpu, env, u)?;
    cpu.far_transfer(env, Transfer { selector, offset, width: size_of::<W>(), next_rip, call: false })
}

/// CALL m16:16/32/64.
pub fn call_far_m<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let next_rip = cpu.next_rip(u);
    let (selector, offset) = memory_pointer::<W>(cpu, env, u)?;
    cpu.far_transfer(env, Transfer { selector, offset, width: size_of::<W>(), next_rip, call: true })
}

/// RETF, RETF imm.
pub fn ret_far<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let (rip, selector) = match cpu.plain_frame(env) {
        Some([rip, selector]) if W::BITS == 64 => (rip, selector),
        _ => (cpu.peek::<W>(env, 0)?, cpu.peek::<W>(env, W::BYTES)?),
    };
    let selector = Selector(selector as u16);
    if cpu.derived.mode.real_segments() {
        if rip > u64::from(cpu.sys.seg(SegmentRegister::Cs).limit) {
            return cpu.gp(0);
        }
        cpu.adjust_stack(2 * W::BYTES + u.stack_bytes());
        cpu.load_real_segment(SegmentRegister::Cs, selector.0);
        cpu.leave_block();
        cpu.branch_to(rip);
        return Ok(());
    }
    // The outer stack pointer lies above the parameters.
    let popped = Popped::At { offset: 2 * W::BYTES + u.stack_bytes(), width: size_of::<W>(), always: false };
    let to = cpu.check_return(env, selector, rip, popped)?;
    let switch = cpu.shadow_return(env, &to, false)?;
    cpu.switch_shadow_stack(env, switch)?;
    cpu.finish_return(to, 2 * W::BYTES, u.stack_bytes());
    Ok(())
}
