//! Delivery of interrupts and exceptions (SDM Vol. 3A chapter 6).

use crate::fault::{EventKind, Exec, Fault, Stop};
use crate::flags::{AC, IF, RF, TF};
use crate::state::cpu::{Cpu, Env};
use crate::state::derived::Attention;
use crate::state::system::{Activity, Shadow, SystemState};
use emu_vmx::arch::cr::{BreakpointKind, Dr6};
use emu_vmx::arch::segment::SegmentRegister;
use emu_vmx::arch::vector::{self, NestedFault};

impl Cpu {
    /// Delivers the exception that an instruction raised. RIP is that of the instruction.
    pub fn deliver_fault(&mut self, env: &mut Env, fault: Fault) {
        self.deliver_event(env, fault);
    }

    /// Delivers an event; exceptions on the way become double faults or a shutdown (SDM Vol. 3A Table 6-5).
    pub fn deliver_event(&mut self, env: &mut Env, event: Fault) {
        let mut event = event;
        loop {
            match self.try_deliver(env, event) {
                Ok(()) => return,
                Err(Stop::Fault) => {}
                Err(_) => return,
            }
            let second = self.fault;
            let is_exception = event.kind == EventKind::HardwareException;
            event = match vector::nest(event.vector, is_exception, second.vector) {
                NestedFault::Serial => second,
                NestedFault::DoubleFault => Fault::with_code(vector::DF, 0),
                NestedFault::Shutdown => {
                    self.sys.activity = Activity::Shutdown;
                    self.raise(Attention::STOPPED);
                    return;
                }
            };
        }
    }

    /// One attempt at delivery; an exception of its own is parked, and nothing has changed then.
    fn try_deliver(&mut self, env: &mut Env, event: Fault) -> Exec {
        if !self.mode.protected { self.deliver_real(env, event) } else { self.deliver_protected(env, event) }
    }

    fn deliver_real(&mut self, env: &mut Env, event: Fault) -> Exec {
        let slot = u64::from(event.vector) * 4;
        if slot + 3 > u64::from(self.sys.idtr.limit) {
            return self.exception(vector::GP, 0);
        }
        let pointer = self.read_system::<u32>(env, self.sys.idtr.base.wrapping_add(slot))?;
        let sp = self.gpr[4];
        let flags = self.flags.get();
        let cs = u64::from(self.sys.seg(SegmentRegister::Cs).selector);
        let rip = self.rip();
        let push = |cpu: &mut Cpu, env: &mut Env| {
            cpu.push::<u16>(env, flags)?;
            cpu.push::<u16>(env, cs)?;
            cpu.push::<u16>(env, rip)
        };
        push(self, env).inspect_err(|_| self.gpr[4] = sp)?;
        self.flags.put(IF | TF | AC | RF, false);
        self.load_real_segment(SegmentRegister::Cs, (pointer >> 16) as u16);
        self.set_rip(pointer & 0xFFFF);
        self.refresh();
        Ok(())
    }

    fn deliver_protected(&mut self, _env: &mut Env, event: Fault) -> Exec {
        log::error!(target: "cpu", "delivery of {event:?} in protected mode is not implemented (SDM Vol. 3A 6.12)");
        Err(Stop::Shutdown)
    }

    /// Loads a segment register as real-address mode does: selector and base change, limit and rights stay.
    pub fn load_real_segment(&mut self, register: SegmentRegister, selector: u16) {
        let segment = &mut self.sys.segments[register as usize];
        segment.selector = selector;
        segment.base = u64::from(selector) << 4;
        self.refresh_segment(register);
    }

    /// #DB as a trap: `conditions` are bits of DR6.
    pub fn deliver_debug(&mut self, env: &mut Env, conditions: u64) {
        self.set_dr6(conditions);
        self.deliver_event(env, Fault::exception(vector::DB));
    }

    /// #DB as a fault before the instruction at RIP.
    pub fn fault_debug(&mut self, env: &mut Env, conditions: u64) {
        self.set_dr6(conditions);
        self.deliver_fault(env, Fault::exception(vector::DB));
    }

    fn set_dr6(&mut self, conditions: u64) {
        let kept = self.sys.dr6.bits() & !0xF;
        self.sys.dr6 = Dr6::from_bits_retain(kept | conditions);
    }

    /// Whether DR7 enables an instruction breakpoint.
    pub fn has_code_breakpoints(&self) -> bool {
        (0..4).any(|n| self.sys.dr7.enabled(n) && self.sys.dr7.kind(n) == BreakpointKind::Execute)
    }

    /// The instruction breakpoints that match RIP, if an enabled one is among them.
    pub fn code_breakpoint_hits(&self) -> Option<u64> {
        let linear = self.wrap_linear(self.seg_access[1].base.wrapping_add(self.rip()));
        let mut hits = 0;
        for n in 0..4u8 {
            if self.sys.dr7.kind(n) == BreakpointKind::Execute && self.sys.dr[n as usize] == linear {
                hits |= 1 << n;
            }
        }
        (0..4u8).any(|n| hits >> n & 1 != 0 && self.sys.dr7.enabled(n)).then_some(hits)
    }

    /// TF's trap, RF and the shadow after an instruction that ran alone.
    pub(crate) fn end_of_stepped_instruction(&mut self) {
        self.sys.shadow = Shadow::None;
        if self.flags.has(TF) {
            self.sys.pending_debug |= Dr6::BS.bits();
        }
    }

    /// INIT (SDM Vol. 3A Table 10-1): registers as after reset, but the local APIC id, the TSC, floating point and
    /// most MSRs stay.
    pub(crate) fn take_init(&mut self) {
        self.attention.remove(Attention::INIT);
        let old = self.sys.clone();
        self.sys = SystemState {
            apic_base: old.apic_base,
            sysenter: old.sysenter,
            syscall: old.syscall,
            kernel_gs_base: old.kernel_gs_base,
            tsc_aux: old.tsc_aux,
            tsc_offset: old.tsc_offset,
            tsc_adjust: old.tsc_adjust,
            pat: old.pat,
            xcr0: old.xcr0,
            xss: old.xss,
            random: old.random,
            plain_msrs: old.plain_msrs,
            ..SystemState::new(old.index, old.apic_id)
        };
        self.reset_registers();
        if self.sys.apic_base & 0x100 == 0 {
            self.sys.activity = Activity::WaitForSipi;
        }
        self.lapic_init();
        self.refresh();
    }

    /// A start-up IPI: real-address mode at page `vector`.
    pub(crate) fn take_sipi(&mut self) {
        self.attention.remove(Attention::SIPI);
        let vector = self.lapic.sipi_vector;
        let cs = &mut self.sys.segments[SegmentRegister::Cs as usize];
        cs.selector = u16::from(vector) << 8;
        cs.base = u64::from(vector) << 12;
        self.set_rip(0);
        self.sys.activity = Activity::Active;
        self.refresh();
    }
}
