//! Delivery through interrupt, trap and task gates (SDM Vol. 3A 6.12, 6.14; Vol. 2A, INT n).

use super::deliver::Delivery;
use crate::fault::{Exec, Stop};
use crate::flags::{IF, NT, RF, TF, VM, bit};
use crate::protect::rules;
use crate::protect::selector::Selector;
use crate::protect::stack::Stack;
use crate::state::cpu::{Cpu, Env};
use crate::state::derived::Size;
use emu_vmx::arch::cr::Cr4;
use emu_vmx::arch::segment::{Descriptor, Segment, SegmentRegister, system_type};
use emu_vmx::arch::vector;

const RSP: usize = 4;

impl Cpu {
    /// Whether CR4.VME and the TSS's redirection bitmap send INT `vector` of a virtual-8086 task to its own handler
    /// (SDM Vol. 3B 21.3.3).
    pub(super) fn vme_redirects(&mut self, env: &mut Env, vector: u8) -> Result<bool, Stop> {
        if !self.sys.cr4.contains(Cr4::VME) {
            return Ok(false);
        }
        let tss = *self.sys.seg(SegmentRegister::Tr);
        if tss.access_rights.type_field() & 8 == 0 || tss.limit < 0x67 {
            return self.gp(0);
        }
        // The 32 bytes before the I/O permission bitmap.
        let io_map = self.read_system::<u16>(env, tss.base.wrapping_add(0x66))?;
        let offset = io_map.wrapping_sub(32).wrapping_add(u64::from(vector >> 3)) & 0xFFFF;
        if offset > u64::from(tss.limit) {
            return self.gp(0);
        }
        let byte = self.read_system::<u8>(env, tss.base.wrapping_add(offset))?;
        Ok(byte >> (vector & 7) & 1 == 0)
    }

    /// The checks that every gate of the IDT must pass; `wanted` are the types that may be there.
    fn check_gate(&mut self, delivery: &Delivery, gate: Descriptor, wanted: &[u8]) -> Exec {
        let rights = gate.access_rights();
        let software = delivery.checks_privilege();
        if !rights.is_system() || !wanted.contains(&rights.type_field()) || (software && rights.dpl() < self.sys.cpl) {
            return self.gp(delivery.gate_error());
        }
        if !rights.present() {
            return self.exception(vector::NP, delivery.gate_error());
        }
        Ok(())
    }

    /// The code segment that a gate names, after its checks, and the privilege that it runs at.
    #[inline(always)]
    fn gate_code(&mut self, env: &mut Env, delivery: &Delivery, gate: Descriptor) -> Result<(Segment, u8), Stop> {
        let (selector, ext) = (Selector(gate.gate_selector()), delivery.ext());
        if selector.is_null() {
            return self.gp(ext);
        }
        let descriptor = self.read_descriptor(env, selector, vector::GP, ext)?;
        let rights = descriptor.access_rights();
        self.obey(rules::interrupt_transfer(rights, selector, self.sys.cpl, self.derived.mode.long, ext))?;
        // Virtual-8086 mode is left for privilege level 0 alone.
        if self.derived.mode.v86 && (rights.conforming() || rights.dpl() != 0) {
            return self.gp(selector.error(ext));
        }
        let cpl = if rights.conforming() { self.sys.cpl } else { rights.dpl() };
        Ok((self.accessed_segment(env, selector, descriptor)?, cpl))
    }

    /// The saved flags of a delivery.
    pub(crate) fn flags_image(&self, delivery: &Delivery) -> u64 {
        self.flags.get() & !RF | bit(delivery.resume, RF)
    }

    /// What every gate does to RFLAGS; interrupt gates also clear IF.
    fn clear_flags(&mut self, gate: Descriptor) {
        let interrupt_gate = gate.access_rights().type_field() & 1 == 0;
        self.put_flags(TF | NT | RF | VM | if interrupt_gate { IF } else { 0 }, false);
    }

    /// Delivery in protected mode outside of IA-32e mode, and from virtual-8086 mode.
    pub(super) fn deliver_protected(&mut self, env: &mut Env, delivery: &Delivery) -> Exec {
        use system_type::*;
        let offset = u64::from(delivery.event.vector) * 8;
        if offset + 7 > u64::from(self.sys.idtr.limit) {
            return self.gp(delivery.gate_error());
        }
        let gate = Descriptor(self.read_system::<u64>(env, self.sys.idtr.base.wrapping_add(offset))?);
        self.check_gate(delivery, gate, &[TASK_GATE, INTERRUPT_GATE16, TRAP_GATE16, INTERRUPT_GATE, TRAP_GATE])?;
        if gate.access_rights().type_field() == TASK_GATE {
            return self.deliver_by_task(env, delivery, Selector(gate.gate_selector()));
        }
        let ext = delivery.ext();
        let (code, cpl) = self.gate_code(env, delivery, gate)?;
        let wide = gate.access_rights().type_field() & 8 != 0;
        let width = if wide { Size::Bits32 } else { Size::Bits16 };
        let target = u64::from(gate.gate_offset()) & width.mask();
        if target > u64::from(code.limit) {
            return self.gp(ext);
        }

        let seg = |register: SegmentRegister| u64::from(self.sys.seg(register).selector);
        let flags = self.flags_image(delivery);
        let (cs, ss, old_sp) = (seg(SegmentRegister::Cs), seg(SegmentRegister::Ss), self.gpr[RSP]);
        let data = [SegmentRegister::Gs, SegmentRegister::Fs, SegmentRegister::Ds, SegmentRegister::Es].map(seg);
        let v86 = self.derived.mode.v86;
        let inner = cpl < self.sys.cpl;
        let (mut stack, new_ss) = if inner {
            let (segment, sp) = self.inner_stack(env, cpl, ext)?;
            (Stack::new(segment, sp, cpl, Selector(segment.selector).error(ext)), Some(segment))
        } else {
            (self.present_stack(ext), None)
        };
        if v86 {
            self.push_all_on(env, &mut stack, width, &data)?;
        }
        if inner {
            self.push_all_on(env, &mut stack, width, &[ss, old_sp])?;
        }
        self.push_all_on(env, &mut stack, width, &[flags, cs, delivery.return_rip])?;
        if let Some(code) = delivery.event.error_code {
            self.push_on(env, &mut stack, width, u64::from(code))?;
        }

        let switch = if inner {
            self.enter_shadow_stack(env, cpl, None, false, delivery.return_rip)?
        } else {
            self.call_on_shadow_stack(env, None, false, delivery.return_rip)?
        };
        self.switch_shadow_stack(env, switch)?;
        if let Some(segment) = new_ss {
            self.sys.segments[SegmentRegister::Ss as usize] = segment;
        }
        if v86 {
            for register in [SegmentRegister::Gs, SegmentRegister::Fs, SegmentRegister::Ds, SegmentRegister::Es] {
                self.sys.segments[register as usize] = Segment::NULL;
            }
        }
        self.gpr[RSP] = stack.merged(self.gpr[RSP]);
        self.clear_flags(gate);
        self.set_code_segment(code, cpl);
        self.set_rip(target);
        self.expect_endbranch();
        Ok(())
    }

    /// Stack segment and pointer of privilege `cpl` from the TSS, after their checks (SDM Vol. 3A 5.8.5).
    pub fn inner_stack(&mut self, env: &mut Env, cpl: u8, ext: u32) -> Result<(Segment, u64), Stop> {
        let tss = *self.sys.seg(SegmentRegister::Tr);
        let wide = tss.access_rights.type_field() & 8 != 0;
        let (offset, pointer_len) = if wide { (u64::from(cpl) * 8 + 4, 4) } else { (u64::from(cpl) * 4 + 2, 2) };
        if offset + pointer_len + 1 > u64::from(tss.limit) {
            return self.exception(vector::TS, Selector(tss.selector).error(ext));
        }
        let place = tss.base.wrapping_add(offset);
        let sp = if wide { self.read_system::<u32>(env, place)? } else { self.read_system::<u16>(env, place)? };
        let selector = Selector(self.read_system::<u16>(env, place.wrapping_add(pointer_len))? as u16);
        if selector.is_null() {
            return self.exception(vector::TS, ext);
        }
        let descriptor = self.read_descriptor(env, selector, vector::TS, ext)?;
        self.obey(rules::stack_segment(descriptor.access_rights(), selector, cpl, vector::TS, ext))?;
        Ok((self.accessed_segment(env, selector, descriptor)?, sp))
    }

    /// A stack pointer of the 64-bit TSS: RSP0 to RSP2 (`offset` 4, 12, 20) or IST1 to IST7 (36 and up).
    pub fn long_stack_pointer(&mut self, env: &mut Env, offset: u64, ext: u32) -> Result<u64, Stop> {
        let tss = *self.sys.seg(SegmentRegister::Tr);
        if offset + 7 > u64::from(tss.limit) {
            return self.exception(vector::TS, Selector(tss.selector).error(ext));
        }
        self.read_system::<u64>(env, tss.base.wrapping_add(offset))
    }

    /// Delivery in IA-32e mode (SDM Vol. 3A 6.14).
    pub(super) fn deliver_long(&mut self, env: &mut Env, delivery: &Delivery) -> Exec {
        let offset = u64::from(delivery.event.vector) * 16;
        if offset + 15 > u64::from(self.sys.idtr.limit) {
            return self.gp(delivery.gate_error());
        }
        let place = self.sys.idtr.base.wrapping_add(offset);
        let gate = Descriptor(self.read_system::<u64>(env, place)?);
        let high = self.read_system::<u64>(env, place.wrapping_add(8))?;
        self.check_gate(delivery, gate, &[system_type::INTERRUPT_GATE, system_type::TRAP_GATE])?;
        let ext = delivery.ext();
        let (code, cpl) = self.gate_code(env, delivery, gate)?;
        let target = high << 32 | u64::from(gate.gate_offset());
        let inner = cpl < self.sys.cpl;
        let ist = u64::from(gate.gate_ist());
        let top = if ist != 0 {
            self.long_stack_pointer(env, ist * 8 + 28, ext)?
        } else if inner {
            self.long_stack_pointer(env, u64::from(cpl) * 8 + 4, ext)?
        } else {
            self.gpr[RSP]
        };
        // Both stacks are looked up before either is looked at (SDM Vol. 2A, INT n).
        let other = self.interrupt_shadow_stack(env, ist, cpl)?;
        if !self.is_canonical(top) {
            return self.exception(vector::SS, ext);
        }
        if !self.is_canonical(target) {
            return self.gp(ext);
        }
        let seg = |register: SegmentRegister| u64::from(self.sys.seg(register).selector);
        let image = [
            seg(SegmentRegister::Ss),
            self.gpr[RSP],
            self.flags_image(delivery),
            seg(SegmentRegister::Cs),
            delivery.return_rip,
        ];
        let mut stack = Stack::long(top & !0xF, cpl, ext);
        self.push_all_on(env, &mut stack, Size::Bits64, &image)?;
        if let Some(code) = delivery.event.error_code {
            self.push_on(env, &mut stack, Size::Bits64, u64::from(code))?;
        }
        if self.sys.cr4.contains(Cr4::CET) {
            self.deliver_on_shadow_stack(env, cpl, other, delivery.return_rip)?;
        }
        if inner {
            self.sys.segments[SegmentRegister::Ss as usize] = Self::null_stack_segment(u16::from(cpl), cpl);
        }
        self.gpr[RSP] = stack.sp;
        self.clear_flags(gate);
        self.set_code_segment(code, cpl);
        self.set_rip(target);
        self.expect_endbranch();
        Ok(())
    }

    /// The shadow stacks of a delivery in IA-32e mode, whose handlers are 64-bit code.
    fn deliver_on_shadow_stack(&mut self, env: &mut Env, cpl: u8, other: Option<u64>, return_rip: u64) -> Exec {
        let switch = if cpl < self.sys.cpl {
            self.enter_shadow_stack(env, cpl, other, true, return_rip)?
        } else {
            self.call_on_shadow_stack(env, other, true, return_rip)?
        };
        self.switch_shadow_stack(env, switch)
    }
}
