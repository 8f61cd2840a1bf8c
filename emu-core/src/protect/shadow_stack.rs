//! Shadow stacks (SDM Vol. 1 18.2 "Shadow Stacks"): accesses, tokens, and what far transfers and events do with them.
//!
//! A transfer checks and stores first and has SSP and IA32_PL3_SSP in a [`Switch`], which its end commits: what faults
//! leaves all registers as they were.

use crate::fault::{Exec, Stop};
use crate::mem::walk::{Access, Kind};
use crate::protect::task::TaskSwitch;
use crate::state::cpu::{Cpu, Env};
use emu_vmx::arch::addr::sign_extend;
use emu_vmx::arch::cet::{self, BUSY, code};
use emu_vmx::arch::cr::Cr4;
use emu_vmx::arch::segment::SegmentRegister;
use emu_vmx::arch::vector;

/// Bytes of CS, LIP and SSP as far transfers push them.
const FRAME: u64 = 24;

/// How a shadow stack is accessed.
#[derive(Debug, Clone, Copy)]
pub struct ShadowMode {
    /// By user-mode accesses.
    pub user: bool,
    /// By addresses of 64 bits.
    pub wide: bool,
}

impl ShadowMode {
    /// SSP that a push or a pop has moved to `ssp`: outside 64-bit mode it has 32 bits (SDM Vol. 1 18.2.1 "Shadow Stack
    /// Pointer and Its Operand and Address Size Attributes").
    pub fn moved(self, ssp: u64) -> u64 {
        if self.wide { ssp } else { ssp & 0xFFFF_FFFF }
    }
}

/// What a transfer does with the shadow stacks once all its checks have passed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Switch {
    ssp: Option<u64>,
    /// The stack of CPL 3, for IA32_PL3_SSP.
    user: Option<u64>,
    /// A token that is to be freed, by accesses of this mode.
    freed: Option<(u64, ShadowMode)>,
}

/// Where a return leads.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Selector of CS.
    pub cs: u16,
    /// Linear address.
    pub lip: u64,
    /// Privilege level.
    pub cpl: u8,
    /// To 64-bit mode.
    pub wide: bool,
}

impl Cpu {
    /// Whether shadow stacks are enabled at a privilege level of protected mode.
    #[inline]
    pub fn shadow_stack_enabled(&self, cpl: u8) -> bool {
        self.sys.cr4.contains(Cr4::CET) && self.sys.cet.control(cpl) & cet::SHADOW_STACK != 0
    }

    /// How the present shadow stack is accessed.
    pub fn shadow_mode(&self) -> ShadowMode {
        ShadowMode { user: self.sys.cpl == 3, wide: self.derived.mode.is_64bit() }
    }

    /// #CP.
    #[cold]
    pub fn control_protection<T>(&mut self, code: u32) -> Result<T, Stop> {
        self.exception(vector::CP, code)
    }

    /// The linear address of an instruction of the present code segment.
    pub fn linear_ip(&self, rip: u64) -> u64 {
        if self.derived.mode.is_64bit() {
            rip
        } else {
            self.sys.seg(SegmentRegister::Cs).base.wrapping_add(rip) & 0xFFFF_FFFF
        }
    }

    fn shadow_linear(&mut self, at: u64, len: u64, mode: ShadowMode) -> Result<u64, Stop> {
        if !mode.wide {
            return Ok(mode.moved(at));
        }
        if self.is_canonical(at) && self.is_canonical(at.wrapping_add(len - 1)) { Ok(at) } else { self.gp(0) }
    }

    /// A shadow-stack load of up to 8 bytes.
    pub fn shadow_load(&mut self, env: &mut Env, at: u64, len: usize, mode: ShadowMode) -> Result<u64, Stop> {
        let linear = self.shadow_linear(at, len as u64, mode)?;
        self.read_operand(env, linear, len, Access::shadow_stack(Kind::Read, mode.user))
    }

    /// A shadow-stack store of up to 8 bytes.
    pub fn shadow_store(&mut self, env: &mut Env, at: u64, len: usize, value: u64, mode: ShadowMode) -> Exec {
        let linear = self.shadow_linear(at, len as u64, mode)?;
        self.write_operand(env, linear, len, value, Access::shadow_stack(Kind::Write, mode.user))
    }

    /// Replaces the 8 bytes at `at` by what `change` makes of them, or leaves them; the translation is that of a store.
    /// What stood there.
    pub fn shadow_exchange(
        &mut self,
        env: &mut Env,
        at: u64,
        mode: ShadowMode,
        change: impl FnOnce(u64) -> Option<u64>,
    ) -> Result<u64, Stop> {
        let linear = self.shadow_linear(at, 8, mode)?;
        let access = Access { reads_too: true, ..Access::shadow_stack(Kind::Write, mode.user) };
        let old = self.read_operand(env, linear, 8, access)?;
        let new = change(old).unwrap_or(old);
        self.write_operand(env, linear, 8, new, access)?;
        Ok(old)
    }

    /// Sets the busy bit of the supervisor shadow-stack token at `ssp`; false, and nothing has changed, if it is not free or
    /// not there, or for 32-bit code not below 4 GBytes (SDM Vol. 1 18.2.3 "Supervisor Shadow Stack Token").
    pub fn acquire_token(&mut self, env: &mut Env, ssp: u64, mode: ShadowMode) -> Result<bool, Stop> {
        let free = |token: u64| token == ssp && mode.moved(ssp) == ssp;
        let old = self.shadow_exchange(env, ssp, mode, |token| free(token).then_some(ssp | BUSY))?;
        Ok(free(old))
    }

    /// Clears the busy bit of the token at `ssp`; false, and nothing has changed, if it is not busy or not there.
    pub fn free_token(&mut self, env: &mut Env, ssp: u64, mode: ShadowMode) -> Result<bool, Stop> {
        let old = self.shadow_exchange(env, ssp, mode, |token| (token == ssp | BUSY).then_some(ssp))?;
        Ok(old == ssp | BUSY)
    }

    /// Pushes CS, LIP and SSP; the new SSP.
    fn push_frame(&mut self, env: &mut Env, ssp: u64, frame: [u64; 3], mode: ShadowMode) -> Result<u64, Stop> {
        let mut top = ssp;
        for value in frame {
            top = mode.moved(top.wrapping_sub(8));
            self.shadow_store(env, top, 8, value, mode)?;
        }
        Ok(top)
    }

    /// Makes the supervisor shadow stack at `ssp` busy, after its checks: the token and a frame below it lie in 32 aligned
    /// bytes, for 32-bit code below 4 GBytes.
    fn take_supervisor_stack(&mut self, env: &mut Env, ssp: u64, mode: ShadowMode) -> Exec {
        let one_region = ssp & !0x1F == ssp.wrapping_sub(FRAME) & !0x1F;
        if ssp & 7 != 0 || !one_region || (!mode.wide && ssp >> 32 != 0) || !self.acquire_token(env, ssp, mode)? {
            return self.gp(0);
        }
        Ok(())
    }

    /// A VM exit of a frame's push behind an acquired token leaves the stack prematurely busy. The token and the frame are in
    /// one page, so that a push does not fault where the token did not.
    fn after_token<T>(&mut self, result: Result<T, Stop>) -> Result<T, Stop> {
        if matches!(result, Err(Stop::VmExit)) {
            self.vmx.shadow_stack_busy = true;
        }
        result
    }

    /// SSP as IA32_PL3_SSP keeps it: outside IA-32e mode as it is, else sign-extended from the widest linear address.
    fn kept_user_ssp(&self) -> u64 {
        let ssp = self.sys.cet.ssp;
        if self.derived.mode.long { sign_extend(ssp, self.config.model.linear_bits()) } else { ssp }
    }

    /// The stack of CPL 3 that a transfer to a lower level leaves.
    fn left_user_ssp(&self) -> Option<u64> {
        (self.sys.cpl == 3 && self.derived.mode.shadow_stack).then(|| self.kept_user_ssp())
    }

    /// A call gate, interrupt or exception to the lower privilege level `cpl`, returning to `rip`. The new stack is that of
    /// IA32_PLi_SSP, or `ist`. `wide`: to 64-bit mode.
    pub fn enter_shadow_stack(
        &mut self,
        env: &mut Env,
        cpl: u8,
        ist: Option<u64>,
        wide: bool,
        rip: u64,
    ) -> Result<Switch, Stop> {
        if !self.sys.cr4.contains(Cr4::CET) {
            return Ok(Switch::default());
        }
        let mut switch = Switch { user: self.left_user_ssp(), ..Switch::default() };
        if self.shadow_stack_enabled(cpl) {
            let mode = ShadowMode { user: false, wide };
            let mut ssp = ist.unwrap_or(self.sys.cet.ssps[usize::from(cpl & 3)]);
            self.take_supervisor_stack(env, ssp, mode)?;
            if self.sys.cpl != 3 {
                let cs = u64::from(self.sys.seg(SegmentRegister::Cs).selector);
                let frame = [cs, self.linear_ip(rip), self.sys.cet.ssp];
                let pushed = self.push_frame(env, ssp, frame, mode);
                ssp = self.after_token(pushed)?;
            }
            switch.ssp = Some(ssp);
        }
        Ok(switch)
    }

    /// A far CALL, interrupt or exception that keeps CPL, returning to `rip`; `ist` is another stack to go to.
    pub fn call_on_shadow_stack(
        &mut self,
        env: &mut Env,
        ist: Option<u64>,
        wide: bool,
        rip: u64,
    ) -> Result<Switch, Stop> {
        if !self.derived.mode.shadow_stack {
            return Ok(Switch::default());
        }
        let mode = ShadowMode { user: self.sys.cpl == 3, wide };
        let old = self.sys.cet.ssp;
        if let Some(ssp) = ist {
            self.take_supervisor_stack(env, ssp, mode)?;
        }
        let frame = [u64::from(self.sys.seg(SegmentRegister::Cs).selector), self.linear_ip(rip), old];
        let new = ist.unwrap_or(old);
        let pushed = self.push_aligned_frame(env, new, frame, mode);
        let ssp = if ist.is_some() { self.after_token(pushed)? } else { pushed? };
        Ok(Switch { ssp: Some(ssp), ..Switch::default() })
    }

    /// A frame at the next lower multiple of 8: the hole above it, if there is one, is 0.
    fn push_aligned_frame(&mut self, env: &mut Env, ssp: u64, frame: [u64; 3], mode: ShadowMode) -> Result<u64, Stop> {
        self.shadow_store(env, ssp.wrapping_sub(4), 4, 0, mode)?;
        self.push_frame(env, ssp & !7, frame, mode)
    }

    /// A far JMP or CALL to code of 32 or 16 bits: SSP must lie below 4 GBytes (SDM Vol. 2A, CALL and JMP).
    pub fn check_narrow_shadow_stack(&mut self, wide: bool) -> Exec {
        if !wide && self.derived.mode.shadow_stack && self.sys.cet.ssp >> 32 != 0 { self.gp(0) } else { Ok(()) }
    }

    /// The shadow stack that IDT gates with `ist` name; 0 is none (SDM Vol. 3A 6.14.5 "Interrupt Stack Table").
    pub fn interrupt_shadow_stack(&mut self, env: &mut Env, ist: u64, cpl: u8) -> Result<Option<u64>, Stop> {
        if ist == 0 || !self.shadow_stack_enabled(cpl) {
            return Ok(None);
        }
        let place = self.sys.cet.interrupt_table.wrapping_add(ist << 3);
        Ok(Some(self.read_system::<u64>(env, place)?))
    }

    /// A far RET, or with `iret` an IRET (SDM Vol. 2B, RET; Vol. 2A, IRET).
    pub fn return_by_shadow_stack(&mut self, env: &mut Env, to: Target, iret: bool) -> Result<Switch, Stop> {
        if !self.sys.cr4.contains(Cr4::CET) {
            return Ok(Switch::default());
        }
        let (enabled, outer, mode) = (self.derived.mode.shadow_stack, to.cpl > self.sys.cpl, self.shadow_mode());
        let mut top = self.sys.cet.ssp;
        let mut restored = None;
        if enabled {
            if top & 7 != 0 {
                return self.control_protection(code::FAR_RET);
            }
            if !outer || to.cpl != 3 {
                restored = Some(self.pop_frame(env, top, to, mode)?);
                top = mode.moved(top.wrapping_add(FRAME));
            }
        }
        let mut switch = Switch::default();
        let wanted = if outer { self.shadow_stack_enabled(to.cpl) } else { enabled };
        if wanted {
            let ssp = match restored {
                Some(ssp) => ssp,
                None => self.sys.cet.ssps[3],
            };
            self.check_returned_ssp(ssp, to.wide)?;
            switch.ssp = Some(ssp);
        }
        if enabled {
            // To its own stack there was no switch; outside IA-32e mode there is none without another level.
            let switched = outer || iret && self.derived.mode.long && restored != Some(top);
            switch.freed = switched.then_some((top, mode));
        }
        Ok(switch)
    }

    /// An SSP that a return restores: below 4 GBytes, or canonical in 64-bit mode.
    fn check_returned_ssp(&mut self, ssp: u64, wide: bool) -> Exec {
        let good = if wide { self.is_canonical(ssp) } else { ssp >> 32 == 0 };
        if good { Ok(()) } else { self.gp(0) }
    }

    /// Compares CS and LIP at the top of the shadow stack; the SSP below them.
    fn pop_frame(&mut self, env: &mut Env, top: u64, to: Target, mode: ShadowMode) -> Result<u64, Stop> {
        let cs = self.shadow_load(env, top.wrapping_add(16), 8, mode)?;
        let lip = self.shadow_load(env, top.wrapping_add(8), 8, mode)?;
        let ssp = self.shadow_load(env, top, 8, mode)?;
        if cs != u64::from(to.cs) || lip != to.lip || ssp & 3 != 0 {
            return self.control_protection(code::FAR_RET);
        }
        Ok(ssp)
    }

    /// IRET to virtual-8086 mode, where there are no shadow stacks.
    pub fn leave_shadow_stack(&mut self) -> Result<Switch, Stop> {
        if !self.derived.mode.shadow_stack {
            return Ok(Switch::default());
        }
        let top = self.sys.cet.ssp;
        if top & 7 != 0 {
            return self.control_protection(code::FAR_RET);
        }
        Ok(Switch { freed: Some((top, self.shadow_mode())), ..Switch::default() })
    }

    /// Frees the token that a transfer leaves behind, the last that can fault in it, and commits its registers.
    pub fn switch_shadow_stack(&mut self, env: &mut Env, switch: Switch) -> Exec {
        if let Some((token, mode)) = switch.freed {
            self.free_token(env, token, mode)?;
        }
        if let Some(ssp) = switch.user {
            self.sys.cet.ssps[3] = ssp;
        }
        if let Some(ssp) = switch.ssp {
            self.sys.cet.ssp = ssp;
        }
        Ok(())
    }

    /// SYSCALL and SYSENTER: the stack of CPL 3 is kept, and at CPL 0 there is none until software chooses one (SDM Vol. 2B,
    /// SYSCALL).
    pub fn enter_system_call(&mut self) {
        if self.derived.mode.shadow_stack {
            self.sys.cet.ssps[3] = self.kept_user_ssp();
        }
        if self.shadow_stack_enabled(0) {
            self.sys.cet.ssp = 0;
        }
    }

    /// SYSRET and SYSEXIT: back to the stack of CPL 3.
    pub fn leave_system_call(&mut self) {
        if self.shadow_stack_enabled(3) {
            self.sys.cet.ssp = self.sys.cet.ssps[3];
        }
    }
}

/// What a task switch takes along (SDM Vol. 3A 10.3 "Task Switching"; AMD64 Architecture Programmer's Manual Vol. 2 12.3.2
/// "Switching Tasks", which has the same steps).
#[derive(Debug, Clone, Copy, Default)]
pub struct TaskStacks {
    /// CS, LIP and SSP of the old task, which the new one's stack is to have.
    old: Option<[u64; 3]>,
    /// SSP that IA32_PL3_SSP is to keep instead.
    user: Option<u64>,
    /// CS, LIP and SSP at the top of the old task's stack, where IRET leaves it.
    top: Option<[u64; 3]>,
    /// The token that IRET frees.
    token: Option<u64>,
}

impl Cpu {
    /// The part of the old task, which goes on at `rip`, before one of level `cpl`. A nested task has the old place on its
    /// stack, but from CPL 3 to a lower level, where IA32_PL3_SSP has it; IRET goes back the same way.
    pub fn leave_task_stack(
        &mut self,
        env: &mut Env,
        rip: u64,
        switch: TaskSwitch,
        cpl: u8,
    ) -> Result<TaskStacks, Stop> {
        if !self.derived.mode.shadow_stack {
            return Ok(TaskStacks::default());
        }
        let (ssp, mode) = (self.sys.cet.ssp, self.shadow_mode());
        let mut stacks = TaskStacks::default();
        match switch {
            TaskSwitch::Jump => {}
            TaskSwitch::Call | TaskSwitch::Event => {
                if mode.user && cpl < 3 {
                    stacks.user = Some(ssp);
                } else {
                    stacks.old =
                        Some([u64::from(self.sys.seg(SegmentRegister::Cs).selector), self.linear_ip(rip), ssp]);
                }
            }
            TaskSwitch::Iret => {
                stacks.token = Some(ssp);
                if mode.user || cpl < 3 {
                    let cs = self.shadow_load(env, ssp.wrapping_add(16), 8, mode)?;
                    let lip = self.shadow_load(env, ssp.wrapping_add(8), 8, mode)?;
                    stacks.top = Some([cs, lip, self.shadow_load(env, ssp, 8, mode)?]);
                    stacks.token = Some(mode.moved(ssp.wrapping_add(FRAME)));
                }
            }
        }
        Ok(stacks)
    }

    /// Frees the token of the old task's stack, which IRET leaves for good.
    pub fn free_task_stack(&mut self, env: &mut Env, stacks: &TaskStacks) -> Exec {
        if let Some(token) = stacks.token {
            let mode = self.shadow_mode();
            self.free_token(env, token, mode)?;
            self.sys.cet.ssp = 0;
        }
        Ok(())
    }

    /// The part of the new task, whose registers are loaded, after JMP, CALL or an event: its stack is that of its TSS, with a
    /// token. #TS with `error` if that is wrong.
    pub fn enter_task_stack(&mut self, env: &mut Env, stacks: &TaskStacks, ssp: u64, error: u32) -> Exec {
        if let Some(ssp) = stacks.user {
            self.sys.cet.ssps[3] = ssp;
        }
        let cpl = self.sys.cpl;
        if !self.shadow_stack_enabled(cpl) {
            return Ok(());
        }
        let mode = ShadowMode { user: cpl == 3, wide: false };
        if ssp & 7 != 0 || !self.acquire_token(env, ssp, mode)? {
            return self.exception(vector::TS, error);
        }
        self.sys.cet.ssp = ssp;
        if let Some(frame) = stacks.old {
            self.sys.cet.ssp = self.push_frame(env, ssp, frame, mode)?;
        }
        Ok(())
    }

    /// The same after IRET: to the stack of the frame that the old task's stack had, or that of CPL 3.
    pub fn resume_task_stack(&mut self, stacks: &TaskStacks, lip: u64) -> Exec {
        let cpl = self.sys.cpl;
        let frame = stacks.top;
        let cs = u64::from(self.sys.seg(SegmentRegister::Cs).selector);
        if let Some([old_cs, old_lip, _]) = frame
            && (old_cs != cs || old_lip != lip)
        {
            return self.control_protection(code::FAR_RET);
        }
        if self.shadow_stack_enabled(cpl) {
            let ssp = frame.map_or(self.sys.cet.ssps[3], |frame| frame[2]);
            if ssp & 3 != 0 || ssp >> 32 != 0 {
                return self.control_protection(code::FAR_RET);
            }
            self.sys.cet.ssp = ssp;
        }
        Ok(())
    }
}
