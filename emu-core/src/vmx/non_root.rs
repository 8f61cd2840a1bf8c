//! VMX non-root operation: how handlers ask for a VM exit (SDM Vol. 3C chapter 26).

use crate::fault::{Exec, Stop};
use crate::ir::uop::{REG_MINUS_1G, REG_PLUS_1G, REG_RIP, REG_ZERO, Uop};
use crate::mem::ram::{Place, Ram};
use crate::state::cpu::{Cpu, Env};
use crate::state::system::Activity;
use crate::state::vmx::{ExitDetails, Length};
use emu_vmx::arch::msr::IA32_SPEC_CTRL;
use emu_vmx::arch::segment::SegmentRegister;
use emu_vmx::controls::TertiaryProcessorControls;
use emu_vmx::exit::ExitReason;
use emu_vmx::exit::instruction_information::{AddressSize, Memory};
use emu_vmx::field::Field;
use emu_vmx::intercept::{Decision, ExecutionControls, Instruction};

/// A byte of a bitmap in guest memory.
pub(crate) fn bitmap_byte(ram: &Ram, address: u64) -> u8 {
    match ram.place(ram.gate_a20(address), false) {
        Place::Memory(offset) => ram.load(offset, 1) as u8,
        _ => 0xFF,
    }
}

impl Cpu {
    /// In VMX non-root operation.
    #[inline(always)]
    pub fn in_non_root(&self) -> bool {
        self.vmx.non_root.is_some()
    }

    /// The execution controls in effect.
    #[inline(always)]
    pub(crate) fn vm_controls(&self) -> Option<&ExecutionControls> {
        self.vmx.non_root.as_ref().map(|non_root| &non_root.controls)
    }

    /// Parks a VM exit; the loop takes it.
    #[cold]
    pub(crate) fn park_exit<T>(&mut self, details: ExitDetails) -> Result<T, Stop> {
        self.vmx.exit = Some(details);
        Err(Stop::VmExit)
    }

    /// A fault-like VM exit of the instruction `u`.
    #[cold]
    pub(crate) fn exit_at<T>(&mut self, u: &Uop, reason: ExitReason, qualification: u64) -> Result<T, Stop> {
        self.park_exit(ExitDetails {
            length: Length::Bytes(u.len),
            ..ExitDetails::new(reason).qualified(qualification)
        })
    }

    /// The same with instruction information.
    #[cold]
    pub(crate) fn exit_with_information<T>(
        &mut self,
        u: &Uop,
        reason: ExitReason,
        qualification: u64,
        information: u32,
    ) -> Result<T, Stop> {
        let details = ExitDetails::new(reason).qualified(qualification);
        self.park_exit(ExitDetails { length: Length::Bytes(u.len), information: Some(information), ..details })
    }

    /// VM exit or #UD of an instruction that a control bit decides about.
    #[inline]
    pub(crate) fn intercept(&mut self, u: &Uop, instruction: Instruction) -> Exec {
        if self.in_non_root() { self.intercept_with(u, instruction, |_, _| (0, None)) } else { Ok(()) }
    }

    /// The same with a qualification and instruction information.
    #[inline]
    pub(crate) fn intercept_with(
        &mut self,
        u: &Uop,
        instruction: Instruction,
        report: impl FnOnce(&Cpu, &Uop) -> (u64, Option<u32>),
    ) -> Exec {
        let Some(controls) = self.vm_controls() else { return Ok(()) };
        let decision = controls.instruction(instruction);
        self.decide(u, decision, report)
    }

    /// Carries out a decision about an instruction.
    #[inline]
    pub(crate) fn decide(
        &mut self,
        u: &Uop,
        decision: Decision,
        report: impl FnOnce(&Cpu, &Uop) -> (u64, Option<u32>),
    ) -> Exec {
        match decision {
            Decision::Execute => Ok(()),
            Decision::InvalidOpcode => self.ud(),
            Decision::Exit(reason) => {
                let (qualification, information) = report(self, u);
                let details = ExitDetails::new(reason).qualified(qualification);
                self.park_exit(ExitDetails { length: Length::Bytes(u.len), information, ..details })
            }
        }
    }

    /// The memory operand of `u` as instruction information has it, and its displacement (the exit qualification): a
    /// RIP-relative one is the address itself (SDM Vol. 3C 28.2.1, 28.2.5).
    pub(crate) fn memory_information(&self, u: &Uop) -> (Memory, u64) {
        let address_size = match u.scale >> 2 {
            48 => AddressSize::A16,
            32 => AddressSize::A32,
            _ => AddressSize::A64,
        };
        let general = |register: u8| (register < REG_ZERO).then_some(register);
        let memory = Memory {
            scaling: u.scale & 3,
            address_size,
            segment: SegmentRegister::from_index(u.seg).unwrap_or(SegmentRegister::Ds),
            index: general(u.index),
            base: general(u.base),
        };
        let mut displacement = u.disp as i64 as u64;
        if u.base == REG_RIP {
            displacement = displacement.wrapping_add(self.rip());
            if matches!(u.index, REG_PLUS_1G | REG_MINUS_1G) {
                displacement = displacement.wrapping_add(self.gpr[u.index as usize & 31]);
            }
        }
        (memory, displacement & u.address_mask())
    }

    /// IN, OUT, INS, OUTS, after the I/O permission check.
    pub(crate) fn intercept_io(&mut self, env: &Env, u: &Uop, access: PortAccess) -> Exec {
        let Some(controls) = self.vm_controls() else { return Ok(()) };
        let PortAccess { port, size, input, immediate, string } = access;
        if !controls.io(port, size, |address| bitmap_byte(env.ram, address)) {
            return Ok(());
        }
        use emu_vmx::exit::{instruction_information, qualification};
        let rep = string.is_some_and(|string| string.rep);
        let mut details = ExitDetails::new(ExitReason::IoInstruction).qualified(qualification::io(
            port,
            size,
            input,
            string.is_some(),
            rep,
            immediate,
        ));
        details.length = Length::Bytes(u.len);
        if let Some(string) = string {
            let (memory, _) = self.memory_information(u);
            let segment = SegmentRegister::from_index(string.segment).unwrap_or(SegmentRegister::Ds);
            details.information = Some(instruction_information::ins_outs(memory.address_size, segment));
            let base = self.seg_access[string.segment as usize & 7].base;
            details.linear = Some(self.wrap_operand(base.wrapping_add(string.offset)));
        }
        self.park_exit(details)
    }

    /// RDMSR or, with `write`, WRMSR of `index`, after the privilege check.
    pub(crate) fn intercept_msr(&mut self, env: &Env, u: &Uop, index: u32, write: bool) -> Exec {
        let Some(controls) = self.vm_controls() else { return Ok(()) };
        if !controls.msr(index, write, |address| bitmap_byte(env.ram, address)) {
            return Ok(());
        }
        self.exit_at(u, if write { ExitReason::Wrmsr } else { ExitReason::Rdmsr }, 0)
    }

    /// #UD of an instruction without the control that enables it, which comes before other faults.
    pub(crate) fn require_enabled(&mut self, instruction: Instruction) -> Exec {
        match self.vm_controls().map(|controls| controls.instruction(instruction)) {
            Some(Decision::InvalidOpcode) => self.ud(),
            _ => Ok(()),
        }
    }

    /// How many cycles pass while the TSC that the guest reads goes on by `ticks`.
    pub(crate) fn cycles_of_guest_tsc(&self, ticks: u64) -> u64 {
        self.vm_controls().map_or(ticks, |controls| controls.tsc_ticks_of_guest(ticks))
    }

    /// `tsc` as software reads it: scaled and offset in VMX non-root operation.
    fn seen_by_guest(&self, tsc: u64) -> u64 {
        self.vm_controls().map_or(tsc, |controls| controls.guest_tsc(tsc))
    }

    /// The TSC as RDTSC and RDMSR read it, which software now gets to see.
    pub(crate) fn show_guest_tsc(&mut self) -> u64 {
        let tsc = self.show_tsc();
        self.seen_by_guest(tsc)
    }

    /// By how much the TSC that the guest reads is short of `deadline`.
    pub(crate) fn guest_tsc_until(&self, deadline: u64) -> u64 {
        deadline.saturating_sub(self.seen_by_guest(self.own_tsc()))
    }

    /// What RDMSR of IA32_SPEC_CTRL reads with "virtualize IA32_SPEC_CTRL": the shadow (SDM Vol. 3C 26.3).
    pub(crate) fn virtual_spec_ctrl(&self) -> Option<u64> {
        let controls = self.vm_controls()?;
        let on = controls.tertiary.contains(TertiaryProcessorControls::VIRTUALIZE_IA32_SPEC_CTRL);
        on.then(|| self.vmx.current().map_or(0, |vmcs| vmcs.get(Field::Ia32SpecCtrlShadow)))
    }

    /// WRMSR of IA32_SPEC_CTRL with "virtualize IA32_SPEC_CTRL": the bits of the mask keep their value in the MSR, the
    /// shadow takes them all.
    pub(crate) fn write_virtual_spec_ctrl(&mut self, env: &mut Env, value: u64) -> Exec {
        let mask = self.vmx.current().map_or(0, |vmcs| vmcs.get(Field::Ia32SpecCtrlMask));
        let current = self.read_msr(IA32_SPEC_CTRL)?;
        self.write_msr(env, IA32_SPEC_CTRL, ExecutionControls::spec_ctrl_write(current, value, mask))?;
        if let Some(vmcs) = self.vmx.current_mut() {
            vmcs.set(Field::Ia32SpecCtrlShadow, value);
        }
        Ok(())
    }

    /// Cycle of the next thing that happens by itself: the APIC timer's interrupt, the end of the VMX-preemption
    /// timer, the overflow of a performance counter.
    #[inline]
    pub fn next_deadline(&self) -> u64 {
        self.lapic.deadline.min(self.preemption_deadline()).min(self.pmu.deadline)
    }

    /// [`Cpu::next_deadline`] for time that passes without an instruction: counters of those do not end it.
    pub(crate) fn idle_deadline(&self) -> u64 {
        self.lapic.deadline.min(self.preemption_deadline()).min(self.idle_overflow())
    }

    /// Cycle at which the VMX-preemption timer reaches 0; `u64::MAX` without one.
    #[inline]
    fn preemption_deadline(&self) -> u64 {
        self.vmx.non_root.as_ref().map_or(u64::MAX, |non_root| non_root.timer_deadline)
    }

    /// Cycle of the next thing that can end the present activity state by itself; `u64::MAX` when only others can. The
    /// preemption timer ends every state but wait-for-SIPI (SDM Vol. 3C 26.5.1 "VMX-Preemption Timer"), interrupts do
    /// not end shutdown.
    pub fn wake_deadline(&self) -> u64 {
        match self.sys.activity {
            Activity::Active | Activity::Hlt | Activity::Mwait => self.next_deadline(),
            Activity::Shutdown => self.preemption_deadline(),
            Activity::WaitForSipi => u64::MAX,
        }
    }

    /// PAUSE gives the time until `cycle` away: none of it is the guest's loop's (SDM Vol. 3C 25.6.13 "Controls for
    /// PAUSE-Loop Exiting").
    pub(crate) fn give_time_until(&mut self, cycle: u64) {
        let given = cycle.saturating_sub(self.cycles);
        self.cycles += given;
        if let Some(non_root) = &mut self.vmx.non_root {
            non_root.pause_loop.gave_away(given);
        }
    }
}

/// What an I/O instruction is about to do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PortAccess {
    pub port: u16,
    /// Bytes: 1, 2 or 4.
    pub size: u8,
    pub input: bool,
    /// The port stands in the instruction.
    pub immediate: bool,
    /// INS and OUTS.
    pub string: Option<StringIo>,
}

/// The memory side of INS and OUTS.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StringIo {
    /// With a REP prefix.
    pub rep: bool,
    /// Segment of the memory operand.
    pub segment: u8,
    /// Its offset.
    pub offset: u64,
}
