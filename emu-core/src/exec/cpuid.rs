//! CPUID, the time-stamp counter, MONITOR, MWAIT, UMONITOR, UMWAIT, TPAUSE and PAUSE.

use crate::fault::Exec;
use crate::flags::{CF, IF};
use crate::ir::uop::Uop;
use crate::model::CpuidResult;
use crate::model::features::Feature;
use crate::state::cpu::{Cpu, Env};
use crate::state::derived::Attention;
use crate::state::system::{Activity, Monitor};
use emu_vmx::arch::cr::Cr4;
use emu_vmx::arch::msr::{IA32_BIOS_SIGN_ID, IA32_UMWAIT_CONTROL};
use emu_vmx::controls::PrimaryProcessorControls;
use emu_vmx::exit::instruction_information;
use emu_vmx::intercept::Instruction as Intercept;

impl Cpu {
    /// The result of CPUID in the present state (SDM Vol. 2A, CPUID).
    pub fn cpuid_leaf(&self, leaf: u32, subleaf: u32) -> CpuidResult {
        let hidden = self.derived.hidden;
        let basic = self.config.model.max_basic_leaf().min(if hidden.high_leaves { 2 } else { u32::MAX });
        // Beyond the highest leaf Intel processors answer with the highest basic one.
        let leaf = match leaf {
            0..=0x7FFF_FFFF if leaf > basic => basic,
            0x8000_0000.. if leaf > self.config.model.max_extended_leaf() => basic,
            _ => leaf,
        };
        let mut result = self.config.model.leaf(leaf, subleaf);
        match leaf {
            0 => result.eax = basic,
            1 => {
                if hidden.monitor {
                    set_bit(&mut result.ecx, 3, false);
                }
                result.ebx = result.ebx & 0x00FF_FFFF | self.sys.apic_id << 24;
                set_bit(&mut result.ecx, 27, self.sys.cr4.contains(Cr4::OSXSAVE));
                if !self.lapic.enabled {
                    set_bit(&mut result.edx, 9, false);
                }
            }
            7 if subleaf == 0 => set_bit(&mut result.ecx, 4, self.sys.cr4.contains(Cr4::PKE)),
            0xB | 0x1F => {
                result.edx = self.sys.apic_id;
                if result.eax | result.ebx == 0 {
                    result.ecx = subleaf & 0xFF;
                }
            }
            0xD => self.fill_xsave_leaf(subleaf, &mut result),
            0x8000_0001 => {
                // SYSCALL is reported in 64-bit mode only.
                if !self.derived.mode.is_64bit() {
                    set_bit(&mut result.edx, 11, false);
                }
                if hidden.execute_disable {
                    set_bit(&mut result.edx, 20, false);
                }
            }
            _ => {}
        }
        result
    }

    fn fill_xsave_leaf(&self, subleaf: u32, result: &mut CpuidResult) {
        if !self.config.model.has(Feature::Xsave) {
            return;
        }
        match subleaf {
            0 => result.ebx = self.xsave_area_size(self.sys.xcr0, false),
            1 if self.config.model.has(Feature::Xsavec) => {
                result.ebx = self.xsave_area_size(self.sys.xcr0 | self.sys.xss, true);
            }
            _ => {}
        }
    }

    /// Bytes of an XSAVE area for the components in `mask` (SDM Vol. 1 13.4.3), in the standard or compacted format.
    pub fn xsave_area_size(&self, mask: u64, compacted: bool) -> u32 {
        let mut end = 576;
        for component in 2..63 {
            if mask >> component & 1 == 0 {
                continue;
            }
            let leaf = self.config.model.leaf(0xD, component);
            end = if compacted {
                let start = if leaf.ecx & 2 != 0 { u32::next_multiple_of(end, 64) } else { end };
                start + leaf.eax
            } else {
                end.max(leaf.ebx + leaf.eax)
            };
        }
        end
    }
}

fn set_bit(word: &mut u32, bit: u32, on: bool) {
    *word = *word & !(1 << bit) | u32::from(on) << bit;
}

/// CPUID.
pub fn cpuid(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    cpu.intercept(u, Intercept::Cpuid)?;
    if cpu.gpr[0] as u32 == 1 {
        cpu.load_update_signature();
    }
    let result = cpu.cpuid_leaf(cpu.gpr[0] as u32, cpu.gpr[1] as u32);
    cpu.gpr[0] = u64::from(result.eax);
    cpu.gpr[3] = u64::from(result.ebx);
    cpu.gpr[1] = u64::from(result.ecx);
    cpu.gpr[2] = u64::from(result.edx);
    Ok(())
}

impl Cpu {
    /// CPUID leaf 1 loads the signature of the microcode update, if there is one (SDM Vol. 3A 10.11.7.1 "Determining the
    /// Signature"): software has written 0 before.
    fn load_update_signature(&mut self) {
        let signature = self.config.model.plain_msr(IA32_BIOS_SIGN_ID).map_or(0, |msr| msr.reset);
        if signature != 0 {
            self.sys.plain_msrs.insert(IA32_BIOS_SIGN_ID, signature);
        }
    }

    /// #GP(0) if CR4.TSD keeps the time-stamp counter from this CPL.
    fn require_tsc(&mut self) -> Exec {
        let kept = self.sys.cr4.contains(Cr4::TSD) && self.sys.cpl != 0 && self.derived.mode.protected;
        if kept { self.gp(0) } else { Ok(()) }
    }
}

/// RDTSC (`imm` 0), RDTSCP (1).
pub fn rdtsc(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    if u.variant() == 1 {
        cpu.require_enabled(Intercept::Rdtscp)?;
    }
    cpu.require_tsc()?;
    cpu.intercept(u, if u.variant() == 1 { Intercept::Rdtscp } else { Intercept::Rdtsc })?;
    let tsc = cpu.show_guest_tsc();
    cpu.gpr[0] = tsc & 0xFFFF_FFFF;
    cpu.gpr[2] = tsc >> 32;
    if u.variant() == 1 {
        cpu.gpr[1] = u64::from(cpu.sys.tsc_aux);
    }
    Ok(())
}

/// Checks the address in `r1` as a load.
fn read_monitored(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let address = cpu.gpr[u.r1 as usize & 31] & u.address_mask();
    cpu.read::<u8>(env, u.seg, address)?;
    Ok(())
}

/// MONITOR: checks its address as a load and arms the monitor; what it watches is not kept, as MWAIT wakes in the next
/// turn whatever was written.
pub fn monitor(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    if cpu.sys.cpl != 0 || cpu.derived.hidden.monitor {
        return cpu.ud();
    }
    cpu.intercept(u, Intercept::Monitor)?;
    if cpu.gpr[1] & 0xFFFF_FFFF != 0 {
        return cpu.gp(0);
    }
    read_monitored(cpu, env, u)?;
    cpu.sys.monitor = Monitor::Monitor;
    Ok(())
}

/// MWAIT: with the monitor armed the processor waits for an event until its turn ends. Other processors write only in
/// their own turns, so a store to the monitored line has been made by the next turn, and waking without one is allowed.
pub fn mwait(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    if cpu.sys.cpl != 0 || cpu.derived.hidden.monitor {
        return cpu.ud();
    }
    let armed = cpu.sys.monitor == Monitor::Monitor;
    cpu.intercept_with(u, Intercept::Mwait, |_, _| (emu_vmx::exit::qualification::mwait(armed), None))?;
    if cpu.gpr[1] & 0xFFFF_FFFE != 0 {
        return cpu.gp(0);
    }
    cpu.sys.monitor = Monitor::Idle;
    let breaks = cpu.gpr[1] & 1 != 0 && !cpu.flags.has(IF) && cpu.virtual_interrupt_breaks_mwait();
    if armed && !breaks {
        cpu.set_activity(Activity::Mwait);
        cpu.raise(Attention::STOPPED);
    }
    Ok(())
}

impl Cpu {
    /// Whether an MWAIT that masked interrupts are to end would not wait in VMX non-root operation: "interrupt-window
    /// exiting" is 1 or a virtual interrupt is recognized (SDM Vol. 3C 26.3 "Changes to Instruction Behavior in VMX
    /// Non-Root Operation", MWAIT).
    fn virtual_interrupt_breaks_mwait(&self) -> bool {
        self.vmx.non_root.as_ref().is_some_and(|non_root| {
            non_root.virtual_interrupt
                || non_root.controls.primary.contains(PrimaryProcessorControls::INTERRUPT_WINDOW_EXITING)
        })
    }
}

/// UMONITOR: MONITOR at every CPL.
pub fn umonitor(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    cpu.intercept(u, Intercept::Umonitor)?;
    read_monitored(cpu, env, u)?;
    cpu.sys.monitor = Monitor::Umonitor;
    Ok(())
}

/// UMWAIT, or with `imm` 1 TPAUSE, with its operand in `r1`: waits until the TSC is EDX:EAX, but no longer than
/// IA32_UMWAIT_CONTROL says, than until an event comes, or than until the processor's turn ends, as MWAIT. CF: the time
/// that IA32_UMWAIT_CONTROL grants was up. UMWAIT waits only with the monitor armed by UMONITOR.
pub fn user_wait(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    let instruction = if u.variant() == 1 { Intercept::Tpause } else { Intercept::Umwait };
    cpu.require_enabled(instruction)?;
    cpu.require_tsc()?;
    cpu.intercept_with(u, instruction, |_, u| (0, Some(instruction_information::random(u.r1, 32))))?;
    if cpu.gpr[u.r1 as usize & 31] & 0xFFFF_FFFE != 0 {
        return cpu.gp(0);
    }
    if instruction == Intercept::Umwait && std::mem::take(&mut cpu.sys.monitor) != Monitor::Umonitor {
        cpu.flags.set_status(0);
        return Ok(());
    }
    let deadline = cpu.edx_eax();
    let wanted = cpu.guest_tsc_until(deadline);
    let granted = match cpu.stored_msr(IA32_UMWAIT_CONTROL) & 0xFFFF_FFFC {
        0 => u64::MAX,
        time => time,
    };
    // The limit, too, is of the TSC that software reads: the virtual delay is what is scaled (SDM Vol. 3C 28.3 "Changes to
    // Instruction Behavior in VMX Non-Root Operation", TPAUSE).
    let in_time = cpu.linger(cpu.cycles_of_guest_tsc(wanted.min(granted)));
    let time_up = granted < wanted && in_time;
    cpu.flags.set_status(if time_up { CF } else { 0 });
    Ok(())
}

impl Cpu {
    /// Lets `cycles` pass, but not what is due meanwhile: the turn's end, a timer. Tells whether they all passed.
    fn linger(&mut self, cycles: u64) -> bool {
        let end = self.cycles.saturating_add(cycles);
        let limit = self.scratch.turn_end.min(self.idle_deadline());
        self.cycles = self.cycles.max(end.min(limit));
        self.leave_block();
        end <= limit
    }
}

/// How long PAUSE takes a processor that has nobody to give way to. Skylake takes 140 cycles (Intel 64 and IA-32
/// Architectures Optimization Reference Manual, "Pause Latency in Skylake Client Microarchitecture"); the more it is, the
/// less a loop that polls costs the host.
const PAUSE_CYCLES: u64 = 250;

/// PAUSE: the processor waits for another one, which may be able to go on only in its own turn. A lock that is released
/// and taken again around a PAUSE (SeaBIOS hands its stack to the other processors so) would otherwise never be free
/// when a turn ends.
/// Alone, it lets time pass: a loop that polls a timer and pauses costs the host a tenth so.
/// In VMX non-root operation it counts for PAUSE-loop exiting first.
pub fn pause(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    let (cpl, tsc) = (cpu.sys.cpl, cpu.own_tsc());
    if let Some(non_root) = &mut cpu.vmx.non_root
        && non_root.pause_loop.pause(&non_root.controls, cpl, tsc)
    {
        return cpu.exit_at(u, emu_vmx::exit::ExitReason::Pause, 0);
    }
    if cpu.config.takes_turns {
        cpu.carried.gives_way = true;
        cpu.leave_block();
    } else if !cpu.in_non_root() {
        cpu.linger(PAUSE_CYCLES);
    }
    Ok(())
}
