//! INT n, INT3, INTO, INT1 and IRET (SDM Vol. 2A, INT n and IRET).

use super::far::{Popped, Return, size_of};
use super::task::TaskSwitch;
use crate::fault::{EventKind, Exec, Fault, Stop};
use crate::flags::*;
use crate::ir::uop::Uop;
use crate::ir::width::Width;
use crate::protect::selector::Selector;
use crate::state::cpu::{Cpu, Env};
use emu_vmx::arch::cr::Cr4;
use emu_vmx::arch::segment::{Segment, SegmentRegister};
use emu_vmx::arch::vector;

const RSP: usize = 4;

/// INT n, INT3 and INT1: the vector in `imm`, the kind in `r1`.
pub fn int_n(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let kind = match u.r1 {
        5 => EventKind::PrivilegedSoftwareException,
        6 => EventKind::SoftwareException,
        _ => EventKind::SoftwareInterrupt,
    };
    let next = cpu.next_rip(u);
    cpu.software_interrupt(env, Fault { vector: u.vector(), kind, error_code: None }, next)?;
    if kind == EventKind::PrivilegedSoftwareException {
        cpu.merge_pending_debug();
    }
    Ok(())
}

/// INTO.
pub fn into(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    if !cpu.flags.of() {
        return Ok(());
    }
    let next = cpu.next_rip(u);
    let event = Fault { vector: vector::OF, kind: EventKind::SoftwareException, error_code: None };
    cpu.software_interrupt(env, event, next)
}

impl Cpu {
    /// Blocking by NMI, and by virtual NMIs.
    fn nmi_blocking(&self) -> (bool, bool) {
        (self.sys.nmi_blocked, self.vmx.non_root.as_ref().is_some_and(|non_root| non_root.virtual_nmi_blocked))
    }

    fn set_nmi_blocking(&mut self, (nmi, virtual_nmi): (bool, bool)) {
        self.sys.nmi_blocked = nmi;
        if let Some(non_root) = &mut self.vmx.non_root {
            non_root.virtual_nmi_blocked = virtual_nmi;
        }
    }

    /// IRET ends blocking by NMI; in VMX non-root operation that of virtual NMIs, or with "NMI exiting" alone none
    /// (SDM Vol. 3C 26.3).
    fn unblock_nmis(&mut self) {
        let Some(non_root) = &mut self.vmx.non_root else {
            self.sys.nmi_blocked = false;
            return;
        };
        if non_root.virtual_nmis() {
            self.vmx.iret_unblocked = std::mem::take(&mut non_root.virtual_nmi_blocked);
        } else if !non_root.controls.pin.contains(emu_vmx::controls::PinBasedControls::NMI_EXITING) {
            self.vmx.iret_unblocked = std::mem::take(&mut self.sys.nmi_blocked);
        }
    }

    /// Replaces the flags that `mask` names.
    pub fn replace_flags(&mut self, value: u64, mask: u64) {
        let old = if mask & STATUS == STATUS { self.flags.system() } else { self.flags.get() };
        self.set_flags(old & !mask | value & mask);
    }
}

/// IRET, IRETD, IRETQ.
pub fn iret<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    // NMIs are open again even if this IRET faults.
    let blocking = cpu.nmi_blocking();
    cpu.unblock_nmis();
    let result = iret_by_mode::<W>(cpu, env, u);
    match result {
        Ok(()) => cpu.vmx.iret_unblocked = false,
        // It has not happened yet.
        Err(Stop::Alone) => {
            cpu.set_nmi_blocking(blocking);
            cpu.vmx.iret_unblocked = false;
        }
        Err(_) => {}
    }
    result
}

fn iret_by_mode<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    if !cpu.derived.mode.protected {
        return iret_real::<W>(cpu, env);
    }
    if cpu.derived.mode.v86 {
        return iret_v86::<W>(cpu, env);
    }
    if cpu.flags.has(NT) {
        if cpu.derived.mode.long {
            return cpu.gp(0);
        }
        let next = cpu.next_rip(u);
        return cpu.return_from_task(env, next);
    }
    if W::BITS == 64
        && let Some([rip, cs, image, sp, ss]) = cpu.plain_frame(env)
    {
        let to = cpu.check_return(env, Selector(cs as u16), rip, Popped::Values { sp, ss })?;
        return finish_iret::<W>(cpu, env, to, image);
    }
    let rip = cpu.peek::<W>(env, 0)?;
    let selector = cpu.peek::<W>(env, W::BYTES)? as u16;
    let image = cpu.peek::<W>(env, 2 * W::BYTES)?;
    if W::BITS == 32 && image & VM != 0 && cpu.sys.cpl == 0 && !cpu.derived.mode.long {
        return iret_to_v86(cpu, env, selector, rip, image);
    }
    let popped = Popped::At { offset: 3 * W::BYTES, width: size_of::<W>(), always: cpu.derived.mode.is_64bit() };
    let to = cpu.check_return(env, Selector(selector), rip, popped)?;
    finish_iret::<W>(cpu, env, to, image)
}

/// The rest of IRET, when all is checked but the shadow stack.
#[inline(always)]
fn finish_iret<W: Width>(cpu: &mut Cpu, env: &mut Env, to: Return, image: u64) -> Exec {
    let switch = cpu.shadow_return(env, &to, true)?;
    cpu.switch_shadow_stack(env, switch)?;
    let mask = returned_flags::<W>(cpu.sys.cpl, cpu.flags.iopl());
    cpu.replace_flags(image, mask);
    cpu.finish_return(to, 3 * W::BYTES, 0);
    Ok(())
}

/// The flags that IRET at privilege `cpl` takes from its image (SDM Vol. 2A, IRET).
fn returned_flags<W: Width>(cpl: u8, iopl: u8) -> u64 {
    let mut mask = STATUS | TF | DF | NT;
    if W::BITS > 16 {
        mask |= RF | AC | ID;
    }
    if cpl <= iopl {
        mask |= IF;
    }
    if cpl == 0 {
        mask |= IOPL;
        if W::BITS > 16 {
            mask |= VIF | VIP;
        }
    }
    mask
}

fn iret_real<W: Width>(cpu: &mut Cpu, env: &mut Env) -> Exec {
    let rip = cpu.peek::<W>(env, 0)?;
    let selector = cpu.peek::<W>(env, W::BYTES)? as u16;
    let image = cpu.peek::<W>(env, 2 * W::BYTES)?;
    if rip > u64::from(cpu.sys.seg(SegmentRegister::Cs).limit) {
        return cpu.gp(0);
    }
    cpu.adjust_stack(3 * W::BYTES);
    cpu.load_real_segment(SegmentRegister::Cs, selector);
    cpu.replace_flags(image, DEFINED & !(VM | VIF | VIP) & W::MASK);
    cpu.leave_block();
    cpu.branch_to(rip);
    Ok(())
}

fn iret_v86<W: Width>(cpu: &mut Cpu, env: &mut Env) -> Exec {
    let virtual_if = cpu.flags.iopl() < 3;
    if virtual_if && (W::BITS != 16 || !cpu.sys.cr4.contains(Cr4::VME)) {
        return cpu.gp(0);
    }
    let rip = cpu.peek::<W>(env, 0)?;
    let selector = cpu.peek::<W>(env, W::BYTES)? as u16;
    let image = cpu.peek::<W>(env, 2 * W::BYTES)?;
    if virtual_if && (image & TF != 0 || (image & IF != 0 && cpu.flags.has(VIP))) {
        return cpu.gp(0);
    }
    if rip > u64::from(cpu.sys.seg(SegmentRegister::Cs).limit) {
        return cpu.gp(0);
    }
    cpu.adjust_stack(3 * W::BYTES);
    cpu.load_real_segment(SegmentRegister::Cs, selector);
    let mut mask = DEFINED & !(VM | VIF | VIP | IOPL) & W::MASK;
    if virtual_if {
        mask &= !IF;
        cpu.put_flags(VIF, image & IF != 0);
    }
    cpu.replace_flags(image, mask);
    cpu.leave_block();
    cpu.branch_to(rip);
    Ok(())
}

/// From privilege level 0 to virtual-8086 mode: nine doublewords (SDM Vol. 3B 21.2.5).
fn iret_to_v86(cpu: &mut Cpu, env: &mut Env, selector: u16, rip: u64, image: u64) -> Exec {
    // Neither shadow stacks nor tracking work there.
    if cpu.shadow_stack_enabled(3) || cpu.tracking_enabled(3) {
        return cpu.gp(0);
    }
    let mut values = [0; 6];
    for (n, value) in values.iter_mut().enumerate() {
        *value = cpu.peek::<u32>(env, 12 + 4 * n as u64)?;
    }
    if rip > 0xFFFF {
        return cpu.gp(0);
    }
    let switch = cpu.leave_shadow_stack()?;
    cpu.switch_shadow_stack(env, switch)?;
    let [esp, ss, es, ds, fs, gs] = values;
    let loads = [
        (SegmentRegister::Ss, ss),
        (SegmentRegister::Es, es),
        (SegmentRegister::Ds, ds),
        (SegmentRegister::Fs, fs),
        (SegmentRegister::Gs, gs),
    ];
    for (register, value) in loads {
        cpu.sys.segments[register as usize] = Segment::virtual_8086(value as u16);
    }
    cpu.sys.segments[SegmentRegister::Cs as usize] = Segment::virtual_8086(selector);
    cpu.set_flags(image);
    cpu.gpr[RSP] = esp;
    cpu.sys.cpl = 3;
    cpu.refresh();
    cpu.branch_to(rip);
    Ok(())
}

impl Cpu {
    /// IRET with NT: back to the task that the present TSS's link names (SDM Vol. 3A 8.4).
    fn return_from_task(&mut self, env: &mut Env, next_rip: u64) -> Exec {
        let tss = *self.sys.seg(SegmentRegister::Tr);
        let link = Selector(self.read_system::<u16>(env, tss.base)? as u16);
        if link.is_local() {
            return self.exception(vector::TS, link.error(0));
        }
        self.switch_by_instruction(env, link, TaskSwitch::Iret, next_rip)
    }
}
