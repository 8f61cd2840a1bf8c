//! RDMSR, WRMSR, RDPMC, and what each model-specific register does.

use crate::decode::lower::{End, Lowered, Lowerer};
use crate::fault::{Exec, Stop};
use crate::ir::op::Op;
use crate::ir::uop::Uop;
use crate::model::features::Feature;
use crate::state::cpu::{Cpu, Env};
use emu_vmx::arch::cr::Cr4;
use emu_vmx::arch::msr::*;
use emu_vmx::arch::segment::SegmentRegister;
use iced_x86::{Instruction, Mnemonic};

/// MTRRs: index, and whether each byte is a memory type.
fn is_mtrr(index: u32) -> Option<bool> {
    match index {
        IA32_MTRR_PHYSBASE0..=0x20F => Some(false),
        IA32_MTRR_FIX64K_00000 | IA32_MTRR_FIX16K_80000 | IA32_MTRR_FIX16K_A0000 => Some(true),
        IA32_MTRR_FIX4K_C0000..=IA32_MTRR_FIX4K_F8000 => Some(true),
        IA32_MTRR_DEF_TYPE => Some(false),
        _ => None,
    }
}

fn is_memory_type(byte: u8) -> bool {
    matches!(byte, 0 | 1 | 4 | 5 | 6)
}

impl Cpu {
    /// Reads an MSR as RDMSR at CPL 0 does; #GP(0) if there is none.
    pub fn read_msr(&mut self, index: u32) -> Result<u64, Stop> {
        let model = self.model.clone();
        Ok(match index {
            IA32_TSC => self.tsc(),
            IA32_APIC_BASE => self.sys.apic_base,
            IA32_TSC_ADJUST if model.has(Feature::TscAdjust) => self.sys.tsc_adjust,
            IA32_FEATURE_CONTROL if model.has(Feature::Vmx) => self.stored(index, 0),
            IA32_SYSENTER_CS..=IA32_SYSENTER_EIP if model.has(Feature::Sep) => {
                self.sys.sysenter[(index - IA32_SYSENTER_CS) as usize]
            }
            IA32_DEBUGCTL => self.sys.debugctl,
            IA32_PAT if model.has(Feature::Pat) => self.sys.pat,
            IA32_TSC_DEADLINE if model.has(Feature::TscDeadline) => self.read_tsc_deadline(),
            IA32_PKRS if model.has(Feature::Pks) => u64::from(self.sys.pkrs),
            IA32_XSS if model.has(Feature::Xsaves) => self.sys.xss,
            IA32_X2APIC_BASE..=IA32_X2APIC_LAST if model.has(Feature::X2Apic) => self.read_x2apic_msr(index)?,
            IA32_VMX_BASIC..=IA32_VMX_EXIT_CTLS2 if model.has(Feature::Vmx) => {
                match model.vmx_capabilities().get(&index) {
                    Some(&value) => value,
                    None => return self.unknown_msr(index, None),
                }
            }
            IA32_SPEC_CTRL if model.has(Feature::SpecCtrl) => self.stored(index, 0),
            IA32_EFER if model.has(Feature::LongMode) || model.has(Feature::Nx) => self.sys.efer.bits(),
            IA32_STAR..=IA32_FMASK if model.has(Feature::LongMode) => self.sys.syscall[(index - IA32_STAR) as usize],
            IA32_FS_BASE if model.has(Feature::LongMode) => self.sys.seg(SegmentRegister::Fs).base,
            IA32_GS_BASE if model.has(Feature::LongMode) => self.sys.seg(SegmentRegister::Gs).base,
            IA32_KERNEL_GS_BASE if model.has(Feature::LongMode) => self.sys.kernel_gs_base,
            IA32_TSC_AUX if model.has(Feature::Rdtscp) || model.has(Feature::Rdpid) => u64::from(self.sys.tsc_aux),
            _ if is_mtrr(index).is_some() && model.has(Feature::Mtrr) => self.stored(index, 0),
            _ if self.machine_check_bank(index).is_some() => self.stored(index, 0),
            _ => match model.plain_msr(index) {
                Some(plain) => self.stored(index, plain.reset),
                None => return self.unknown_msr(index, None),
            },
        })
    }

    /// Writes an MSR as WRMSR at CPL 0 does; #GP(0) if there is none or the value is not allowed.
    pub fn write_msr(&mut self, env: &mut Env, index: u32, value: u64) -> Exec {
        let model = self.model.clone();
        match index {
            IA32_TSC => {
                let delta = value.wrapping_sub(self.tsc());
                self.sys.tsc_offset = self.sys.tsc_offset.wrapping_add(delta);
                if model.has(Feature::TscAdjust) {
                    self.sys.tsc_adjust = self.sys.tsc_adjust.wrapping_add(delta);
                }
                self.reschedule_apic_timer();
            }
            IA32_TSC_ADJUST if model.has(Feature::TscAdjust) => {
                let delta = value.wrapping_sub(self.sys.tsc_adjust);
                self.sys.tsc_adjust = value;
                self.sys.tsc_offset = self.sys.tsc_offset.wrapping_add(delta);
                self.reschedule_apic_timer();
            }
            IA32_APIC_BASE => return self.write_apic_base(value),
            IA32_FEATURE_CONTROL if model.has(Feature::Vmx) => {
                let locked = self.stored(index, 0) & 1 != 0;
                let allowed = 1 | 1 << 2 | if model.has(Feature::Smx) { 0xFF02 } else { 0 };
                if locked || value & !allowed != 0 {
                    return self.gp(0);
                }
                self.sys.plain_msrs.insert(index, value);
            }
            IA32_SYSENTER_CS if model.has(Feature::Sep) => self.sys.sysenter[0] = value & 0xFFFF_FFFF,
            IA32_SYSENTER_ESP | IA32_SYSENTER_EIP if model.has(Feature::Sep) => {
                self.require_canonical(value)?;
                self.sys.sysenter[(index - IA32_SYSENTER_CS) as usize] = value;
            }
            IA32_DEBUGCTL => {
                let rtm = if model.has(Feature::Rtm) { 1 << 15 } else { 0 };
                if value & !(0x7FC3 | rtm) != 0 {
                    return self.gp(0);
                }
                self.sys.debugctl = value;
                self.refresh_attention();
            }
            IA32_PAT if model.has(Feature::Pat) => {
                if !pat_valid(value) {
                    return self.gp(0);
                }
                self.sys.pat = value;
            }
            IA32_TSC_DEADLINE if model.has(Feature::TscDeadline) => self.write_tsc_deadline(value),
            IA32_PKRS if model.has(Feature::Pks) => {
                if value >> 32 != 0 {
                    return self.gp(0);
                }
                self.sys.pkrs = value as u32;
                self.select_address_space();
                self.refresh_context();
            }
            IA32_XSS if model.has(Feature::Xsaves) => {
                let leaf = model.leaf(0xD, 1);
                if value & !(u64::from(leaf.edx) << 32 | u64::from(leaf.ecx)) != 0 {
                    return self.gp(0);
                }
                self.sys.xss = value;
            }
            IA32_X2APIC_BASE..=IA32_X2APIC_LAST if model.has(Feature::X2Apic) => {
                return self.write_x2apic_msr(env, index, value);
            }
            IA32_SPEC_CTRL if model.has(Feature::SpecCtrl) => {
                if value & !0x7 != 0 {
                    return self.gp(0);
                }
                self.sys.plain_msrs.insert(index, value);
            }
            IA32_PRED_CMD if model.has(Feature::SpecCtrl) => {
                // There is no branch predictor to barrier.
                if value & !1 != 0 {
                    return self.gp(0);
                }
            }
            IA32_BIOS_UPDT_TRIG => {
                if self.log_once("microcode update", 0) {
                    log::warn!(target: "cpu", "microcode update from {value:#x} ignored: there is no microcode (SDM Vol. 3A 10.11.6)");
                }
            }
            IA32_EFER if model.has(Feature::LongMode) || model.has(Feature::Nx) => {
                return self.write_efer(env, value);
            }
            IA32_STAR | IA32_FMASK if model.has(Feature::LongMode) => {
                if index == IA32_FMASK && value >> 32 != 0 {
                    return self.gp(0);
                }
                self.sys.syscall[(index - IA32_STAR) as usize] = value;
            }
            IA32_LSTAR | IA32_CSTAR if model.has(Feature::LongMode) => {
                self.require_canonical(value)?;
                self.sys.syscall[(index - IA32_STAR) as usize] = value;
            }
            IA32_FS_BASE | IA32_GS_BASE if model.has(Feature::LongMode) => {
                self.require_canonical(value)?;
                let register = if index == IA32_FS_BASE { SegmentRegister::Fs } else { SegmentRegister::Gs };
                self.sys.segments[register as usize].base = value;
                self.refresh_segment(register);
            }
            IA32_KERNEL_GS_BASE if model.has(Feature::LongMode) => {
                self.require_canonical(value)?;
                self.sys.kernel_gs_base = value;
            }
            IA32_TSC_AUX if model.has(Feature::Rdtscp) || model.has(Feature::Rdpid) => {
                if value >> 32 != 0 {
                    return self.gp(0);
                }
                self.sys.tsc_aux = value as u32;
            }
            _ if is_mtrr(index).is_some() && model.has(Feature::Mtrr) => return self.write_mtrr(index, value),
            _ if self.machine_check_bank(index).is_some() => {
                let ok = match self.machine_check_bank(index) {
                    // CTL takes all zeros or all ones; STATUS zero only; ADDR and MISC anything (SDM Vol. 3B 16.3.2).
                    Some(0) => value == 0 || value == u64::MAX,
                    Some(1) => value == 0,
                    _ => true,
                };
                if !ok {
                    return self.gp(0);
                }
                self.sys.plain_msrs.insert(index, value);
            }
            _ => {
                let Some(plain) = model.plain_msr(index) else {
                    return self.unknown_msr(index, Some(value)).map(|_| ());
                };
                let old = self.stored(index, plain.reset);
                if (value ^ old) & !plain.writable != 0 {
                    return self.gp(0);
                }
                self.sys.plain_msrs.insert(index, value);
            }
        }
        Ok(())
    }

    fn stored(&self, index: u32, reset: u64) -> u64 {
        self.sys.plain_msrs.get(&index).copied().unwrap_or(reset)
    }

    /// Which register of a machine-check bank `index` is: 0 CTL, 1 STATUS, 2 ADDR, 3 MISC.
    fn machine_check_bank(&self, index: u32) -> Option<u32> {
        let banks = self.model.plain_msr(IA32_MCG_CAP).map_or(0, |msr| msr.reset as u32 & 0xFF);
        let offset = index.checked_sub(IA32_MC0_CTL)?;
        (offset / 4 < banks).then_some(offset % 4)
    }

    fn require_canonical(&mut self, address: u64) -> Exec {
        // SDM Vol. 2D, WRMSR: the check is for the processor's widest linear address.
        if self.is_canonical_for_register(address) { Ok(()) } else { self.gp(0) }
    }

    fn write_mtrr(&mut self, index: u32, value: u64) -> Exec {
        let physical = emu_vmx::arch::addr::physical_mask(self.model.physical_bits());
        let ok = match index {
            IA32_MTRR_DEF_TYPE => value & !0xCFF == 0 && is_memory_type(value as u8),
            _ if is_mtrr(index) == Some(true) => value.to_le_bytes().iter().all(|&byte| is_memory_type(byte)),
            _ if index & 1 == 0 => value & !(physical & !0xFFF | 0xFF) == 0 && is_memory_type(value as u8),
            _ => value & !(physical & !0xFFF | 0x800) == 0,
        };
        if !ok {
            return self.gp(0);
        }
        self.sys.plain_msrs.insert(index, value);
        Ok(())
    }

    /// An MSR that the model does not have.
    #[cold]
    fn unknown_msr(&mut self, index: u32, written: Option<u64>) -> Result<u64, Stop> {
        if self.log_once(if written.is_some() { "WRMSR" } else { "RDMSR" }, u64::from(index)) {
            let (rip, model) = (self.rip(), self.model.name());
            let outcome = if self.ignore_bad_msrs { "ignored" } else { "#GP" };
            let access = match written {
                Some(value) => format!("WRMSR {index:#x} = {value:#x}"),
                None => format!("RDMSR {index:#x}"),
            };
            log::warn!(target: "cpu", "{access} near {rip:#x}: model {model} has no such MSR (SDM Vol. 4): {outcome}");
        }
        if self.ignore_bad_msrs { Ok(0) } else { self.gp(0) }
    }
}

/// RDMSR.
pub fn rdmsr(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    cpu.require_cpl0()?;
    let index = cpu.gpr[1] as u32;
    cpu.intercept_msr(env, u, index, false)?;
    let virtual_register = match index {
        IA32_TSC => Some(cpu.guest_tsc()),
        IA32_SPEC_CTRL => cpu.virtual_spec_ctrl(),
        IA32_X2APIC_BASE..=IA32_X2APIC_LAST if cpu.in_non_root() => cpu.virtual_x2apic_read(env, index)?,
        _ => None,
    };
    let value = match virtual_register {
        Some(value) => value,
        None => cpu.read_msr(index)?,
    };
    cpu.gpr[0] = value & 0xFFFF_FFFF;
    cpu.gpr[2] = value >> 32;
    Ok(())
}

/// WRMSR.
pub fn wrmsr(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    cpu.require_cpl0()?;
    let index = cpu.gpr[1] as u32;
    cpu.intercept_msr(env, u, index, true)?;
    let value = cpu.edx_eax();
    if index == IA32_SPEC_CTRL && cpu.virtual_spec_ctrl().is_some() {
        return cpu.write_virtual_spec_ctrl(env, value);
    }
    if cpu.in_non_root()
        && matches!(index, IA32_X2APIC_BASE..=IA32_X2APIC_LAST)
        && cpu.virtual_x2apic_write(env, index, value)?
    {
        return Ok(());
    }
    cpu.write_msr(env, cpu.gpr[1] as u32, value)
}

/// RDPMC: the counters that the model stores.
pub fn rdpmc(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    if cpu.sys.cpl != 0 && !cpu.sys.cr4.contains(Cr4::PCE) {
        return cpu.gp(0);
    }
    cpu.intercept(u, emu_vmx::intercept::Instruction::Rdpmc)?;
    let selector = cpu.gpr[1] as u32;
    let index = match selector {
        0..=7 => IA32_PMC0 + selector,
        0x4000_0000..=0x4000_0002 => IA32_FIXED_CTR0 + (selector & 3),
        _ => return cpu.gp(0),
    };
    if cpu.model.plain_msr(index).is_none() {
        return cpu.gp(0);
    }
    let value = cpu.read_msr(index)?;
    cpu.gpr[0] = value & 0xFFFF_FFFF;
    cpu.gpr[2] = value >> 32;
    Ok(())
}

/// Lowers the instructions of this family.
pub fn lower(l: &Lowerer, i: &Instruction) -> Lowered {
    let op = match i.mnemonic() {
        Mnemonic::Rdmsr => Op::Rdmsr,
        Mnemonic::Wrmsr => Op::Wrmsr,
        Mnemonic::Rdpmc => Op::Rdpmc,
        _ => return None,
    };
    Some((l.uop(op, 4), End::Ends))
}
