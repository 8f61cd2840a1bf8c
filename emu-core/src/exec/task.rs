//! Task switching (SDM Vol. 3A chapter 8).

use crate::event::deliver::Delivery;
use crate::fault::{Exec, Stop};
use crate::protect::selector::Selector;
use crate::state::cpu::{Cpu, Env};

/// What switches tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskSwitch {
    /// JMP to a TSS or task gate.
    Jump,
    /// CALL to a TSS or task gate.
    Call,
    /// IRET with NT.
    Iret,
    /// An event through a task gate of the IDT.
    Event,
}

impl Cpu {
    /// Switches by a task gate's selector.
    pub fn switch_by_gate(
        &mut self,
        env: &mut Env,
        tss: Selector,
        switch: TaskSwitch,
        next_rip: u64,
        ext: u32,
    ) -> Exec {
        self.switch_task(env, tss, switch, next_rip, ext)
    }

    /// Switches to the task of a TSS.
    pub fn switch_task(
        &mut self,
        _env: &mut Env,
        tss: Selector,
        switch: TaskSwitch,
        _next_rip: u64,
        _ext: u32,
    ) -> Exec {
        log::error!(target: "cpu", "task switch {switch:?} to {tss:?} is not implemented (SDM Vol. 3A 8.3)");
        Err(Stop::Shutdown)
    }

    /// Delivers an event through a task gate.
    pub fn deliver_by_task(&mut self, env: &mut Env, delivery: &Delivery, tss: Selector) -> Exec {
        self.switch_by_gate(env, tss, TaskSwitch::Event, delivery.return_rip, delivery.ext())
    }
}
