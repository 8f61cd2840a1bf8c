//! What reading, writing and the reserved bits of the registers with a behaviour of their own are.

use crate::fault::Exec;
use crate::model::CpuModel;
use crate::model::features::Feature;
use crate::state::cpu::{Cpu, Env};
use crate::state::derived::Hidden;
use emu_vmx::arch::addr::{is_canonical, physical_mask};
use emu_vmx::arch::cet;
use emu_vmx::arch::efer::Efer;
use emu_vmx::arch::msr::*;
use emu_vmx::arch::segment::SegmentRegister;

/// Writes to registers that say what their bits are for and need no more.
pub(super) fn ignore(_: &mut Cpu, _: &mut Env, _: u32, _: u64) -> Exec {
    Ok(())
}

/// SDM Vol. 2D, WRMSR: the check is for the processor's widest linear address.
pub(super) fn canonical(model: &CpuModel, _: u32, value: u64) -> bool {
    is_canonical(value, model.linear_bits())
}

pub(super) fn write_tsc(cpu: &mut Cpu, _: &mut Env, _: u32, value: u64) -> Exec {
    let delta = value.wrapping_sub(cpu.show_tsc());
    cpu.sys.tsc_offset = cpu.sys.tsc_offset.wrapping_add(delta);
    if cpu.config.model.has(Feature::TscAdjust) {
        cpu.sys.tsc_adjust = cpu.sys.tsc_adjust.wrapping_add(delta);
    }
    cpu.reschedule_apic_timer();
    Ok(())
}

pub(super) fn write_tsc_adjust(cpu: &mut Cpu, _: &mut Env, _: u32, value: u64) -> Exec {
    let delta = value.wrapping_sub(cpu.sys.tsc_adjust);
    cpu.sys.tsc_adjust = value;
    cpu.sys.tsc_offset = cpu.sys.tsc_offset.wrapping_add(delta);
    cpu.reschedule_apic_timer();
    Ok(())
}

/// IA32_MPERF and IA32_APERF (SDM Vol. 3B 15.2, "Hardware Coordination Feedback Capability and MSRs"): both count at the
/// TSC's rate, since there is one frequency and no C-state. What is stored is the distance to the clock.
pub(super) fn read_performance_clock(cpu: &Cpu, number: u32) -> Option<u64> {
    Some(cpu.cycles.wrapping_add(cpu.stored_msr(number)))
}

pub(super) fn write_performance_clock(cpu: &mut Cpu, _: &mut Env, number: u32, value: u64) -> Exec {
    cpu.sys.plain_msrs.insert(number, value.wrapping_sub(cpu.cycles));
    Ok(())
}

pub(super) fn apic_base_bits(model: &CpuModel, _: u32) -> u64 {
    let mut flags = ApicBase::BSP | ApicBase::EN;
    flags.set(ApicBase::EXTD, model.has(Feature::X2Apic));
    physical_mask(model.physical_bits()) & !0xFFF | flags.bits()
}

pub(super) fn feature_control_bits(model: &CpuModel, _: u32) -> u64 {
    let flags = FeatureControl::LOCK | FeatureControl::VMX_OUTSIDE_SMX;
    flags.bits() | if model.has(Feature::Smx) { 0xFF02 } else { 0 }
}

pub(super) fn write_feature_control(cpu: &mut Cpu, _: &mut Env, number: u32, value: u64) -> Exec {
    if cpu.stored_msr(number) & FeatureControl::LOCK.bits() != 0 {
        return cpu.gp(0);
    }
    cpu.sys.plain_msrs.insert(number, value);
    Ok(())
}

/// IA32_MISC_ENABLE (SDM Vol. 4, Table 2-2 "IA-32 Architectural MSRs").
mod misc_enable {
    /// MONITOR and MWAIT exist, and CPUID says so.
    pub const MONITOR: u64 = 1 << 18;
    /// CPUID has no basic leaf above 2.
    pub const LIMIT_CPUID: u64 = 1 << 22;
    /// Execute-disable does not exist, and CPUID says so.
    pub const XD_DISABLE: u64 = 1 << 34;
}

impl Cpu {
    /// Derives what IA32_MISC_ENABLE hides: after reset, and after every change of it.
    pub(crate) fn refresh_misc_enable(&mut self) {
        // A model without the register hides nothing.
        let exists = self.config.model.plain_msr(IA32_MISC_ENABLE).is_some();
        let value = if exists { self.stored_msr(IA32_MISC_ENABLE) } else { misc_enable::MONITOR };
        self.derived.hidden = Hidden {
            monitor: value & misc_enable::MONITOR == 0,
            high_leaves: value & misc_enable::LIMIT_CPUID != 0,
            execute_disable: value & misc_enable::XD_DISABLE != 0,
        };
    }
}

pub(super) fn write_misc_enable(cpu: &mut Cpu, _: &mut Env, number: u32, value: u64) -> Exec {
    cpu.sys.plain_msrs.insert(number, value);
    cpu.refresh_misc_enable();
    if cpu.derived.hidden.execute_disable && cpu.sys.efer.contains(Efer::NXE) {
        cpu.sys.efer -= Efer::NXE;
        cpu.refresh();
    }
    Ok(())
}

pub(super) fn write_microcode_update(cpu: &mut Cpu, _: &mut Env, _: u32, value: u64) -> Exec {
    if cpu.log_once("microcode update", 0) {
        log::warn!(target: "cpu", "microcode update from {value:#x} ignored: there is no microcode (SDM Vol. 3A 10.11.6)");
    }
    Ok(())
}

pub(super) fn read_sysenter(cpu: &Cpu, number: u32) -> Option<u64> {
    cpu.sys.sysenter.get((number - IA32_SYSENTER_CS) as usize).copied()
}

pub(super) fn write_sysenter(cpu: &mut Cpu, _: &mut Env, number: u32, value: u64) -> Exec {
    cpu.sys.sysenter[(number - IA32_SYSENTER_CS) as usize] = value;
    Ok(())
}

pub(super) fn write_sysenter_cs(cpu: &mut Cpu, _: &mut Env, _: u32, value: u64) -> Exec {
    cpu.sys.sysenter[0] = value & 0xFFFF_FFFF;
    Ok(())
}

pub(super) fn debugctl_bits(model: &CpuModel, _: u32) -> u64 {
    model.debugctl_mask()
}

pub(super) fn write_debugctl(cpu: &mut Cpu, _: &mut Env, _: u32, value: u64) -> Exec {
    cpu.sync_pmu();
    cpu.load_debugctl(value);
    cpu.refresh_attention();
    Ok(())
}

fn is_memory_type(byte: u8) -> bool {
    matches!(byte, 0 | 1 | 4 | 5 | 6)
}

pub(super) fn mtrr_base(model: &CpuModel, _: u32, value: u64) -> bool {
    value & !(physical_mask(model.physical_bits()) & !0xFFF | 0xFF) == 0 && is_memory_type(value as u8)
}

pub(super) fn mtrr_mask_bits(model: &CpuModel, _: u32) -> u64 {
    physical_mask(model.physical_bits()) & !0xFFF | 0x800
}

pub(super) fn mtrr_fixed(_: &CpuModel, _: u32, value: u64) -> bool {
    value.to_le_bytes().iter().all(|&byte| is_memory_type(byte))
}

pub(super) fn mtrr_default(_: &CpuModel, _: u32, value: u64) -> bool {
    value & !0xCFF == 0 && is_memory_type(value as u8)
}

pub(super) fn pat(_: &CpuModel, _: u32, value: u64) -> bool {
    pat_valid(value)
}

pub(super) fn write_pat(cpu: &mut Cpu, _: &mut Env, _: u32, value: u64) -> Exec {
    cpu.sys.pat = value;
    Ok(())
}

/// CTL of a machine-check bank takes all zeros or all ones (SDM Vol. 3B 16.3.2.1).
pub(super) fn all_or_nothing(_: &CpuModel, _: u32, value: u64) -> bool {
    value == 0 || value == u64::MAX
}

pub(super) fn read_capability(cpu: &Cpu, number: u32) -> Option<u64> {
    cpu.config.model.vmx_capabilities().get(&number).copied()
}

pub(super) fn write_pkrs(cpu: &mut Cpu, _: &mut Env, _: u32, value: u64) -> Exec {
    cpu.sys.pkrs = value as u32;
    cpu.select_address_space();
    Ok(())
}

/// IA32_U_CET and IA32_S_CET (SDM Vol. 4 Table 2-2): the tracker does not wait while it is suppressed.
pub(super) fn cet_control(model: &CpuModel, number: u32, value: u64) -> bool {
    let defined = cet::defined(model.has(Feature::CetSs), model.has(Feature::CetIbt));
    let both = cet::SUPPRESS | cet::TRACKER;
    value & !defined == 0 && value & both != both && canonical(model, number, value)
}

pub(super) fn shadow_stack_pointer(model: &CpuModel, number: u32, value: u64) -> bool {
    value & 3 == 0 && canonical(model, number, value)
}

pub(super) fn read_cet(cpu: &Cpu, number: u32) -> Option<u64> {
    let cet = &cpu.sys.cet;
    match number {
        IA32_U_CET => Some(cet.user),
        IA32_S_CET => Some(cet.supervisor),
        IA32_INTERRUPT_SSP_TABLE_ADDR => Some(cet.interrupt_table),
        _ => cet.ssps.get(number.wrapping_sub(IA32_PL0_SSP) as usize).copied(),
    }
}

pub(super) fn write_cet(cpu: &mut Cpu, _: &mut Env, number: u32, value: u64) -> Exec {
    cpu.set_cet_register(number, value);
    Ok(())
}

impl Cpu {
    /// Sets a register of CET to a value that it allows.
    pub(crate) fn set_cet_register(&mut self, number: u32, value: u64) {
        let cet = &mut self.sys.cet;
        match number {
            IA32_U_CET => cet.user = value,
            IA32_S_CET => cet.supervisor = value,
            IA32_INTERRUPT_SSP_TABLE_ADDR => cet.interrupt_table = value,
            _ => {
                if let Some(ssp) = cet.ssps.get_mut(number.wrapping_sub(IA32_PL0_SSP) as usize) {
                    *ssp = value;
                }
            }
        }
        self.refresh_control_flow();
    }
}

pub(super) fn spec_ctrl_bits(model: &CpuModel, _: u32) -> u64 {
    model.spec_ctrl_mask()
}

pub(super) fn xss_bits(model: &CpuModel, _: u32) -> u64 {
    let leaf = model.leaf(0xD, 1);
    u64::from(leaf.edx) << 32 | u64::from(leaf.ecx)
}

pub(super) fn write_xss(cpu: &mut Cpu, _: &mut Env, _: u32, value: u64) -> Exec {
    cpu.sys.xss = value;
    Ok(())
}

pub(super) fn efer_bits(model: &CpuModel, _: u32) -> u64 {
    let mut bits = Efer::LMA;
    bits.set(Efer::SCE, model.has(Feature::Syscall));
    bits.set(Efer::LME, model.has(Feature::LongMode));
    bits.set(Efer::NXE, model.has(Feature::Nx));
    bits.bits()
}

pub(super) fn read_syscall(cpu: &Cpu, number: u32) -> Option<u64> {
    cpu.sys.syscall.get((number - IA32_STAR) as usize).copied()
}

pub(super) fn write_syscall(cpu: &mut Cpu, _: &mut Env, number: u32, value: u64) -> Exec {
    cpu.sys.syscall[(number - IA32_STAR) as usize] = value;
    Ok(())
}

pub(super) fn write_fs_base(cpu: &mut Cpu, _: &mut Env, _: u32, value: u64) -> Exec {
    write_base(cpu, SegmentRegister::Fs, value)
}

pub(super) fn write_gs_base(cpu: &mut Cpu, _: &mut Env, _: u32, value: u64) -> Exec {
    write_base(cpu, SegmentRegister::Gs, value)
}

fn write_base(cpu: &mut Cpu, register: SegmentRegister, value: u64) -> Exec {
    cpu.sys.segments[register as usize].base = value;
    cpu.refresh_segment(register);
    Ok(())
}
