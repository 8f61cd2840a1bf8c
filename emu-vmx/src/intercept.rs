//! Which instructions and events cause VM exits in VMX non-root operation, and what the others do differently there
//! (SDM Vol. 3C 26.1 "Instructions That Cause VM Exits", 26.2 "Other Causes of VM Exits", 26.3 "Changes to
//! Instruction Behavior in VMX Non-Root Operation").
//!
//! The caller checks first what has priority over a VM exit (26.1.1 "Relative Priority of Faults and VM Exits"):
//! invalid opcode, CPL, and for IN and OUT the I/O permission bitmap of the TSS.

use crate::bitmaps;
use crate::caps::VmxCapabilities;
use crate::controls::*;
use crate::exit::ExitReason;
use crate::field::Field;
use crate::vmcs::Vmcs;
use serde::{Deserialize, Serialize};

/// What to do with an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Execute it.
    Execute,
    /// VM exit with this basic reason.
    Exit(ExitReason),
    /// Raise #UD: the control that enables the instruction is 0.
    InvalidOpcode,
}

impl Decision {
    fn exit_if(condition: bool, reason: ExitReason) -> Decision {
        if condition { Decision::Exit(reason) } else { Decision::Execute }
    }
}

/// Instructions whose exit depends on control bits alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // The variants are the mnemonics.
pub enum Instruction {
    Cpuid,
    Getsec,
    Invd,
    Xsetbv,
    Invept,
    Invvpid,
    Vmcall,
    Vmclear,
    Vmlaunch,
    Vmptrld,
    Vmptrst,
    Vmresume,
    Vmxoff,
    Vmxon,
    Hlt,
    Invlpg,
    Invpcid,
    Lgdt,
    Lidt,
    Sgdt,
    Sidt,
    Lldt,
    Ltr,
    Sldt,
    Str,
    Loadiwkey,
    MovDr,
    MovFromCr3,
    MovToCr8,
    MovFromCr8,
    Monitor,
    Mwait,
    Rdpmc,
    Rdrand,
    Rdseed,
    Rdtsc,
    Rdtscp,
    Rdpid,
    Umonitor,
    Umwait,
    Tpause,
    Wbinvd,
    Rdmsrlist,
    Wrmsrlist,
}

/// The execution controls of the current VMCS, decoded once at VM entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ExecutionControls {
    /// Pin-based controls.
    pub pin: PinBasedControls,
    /// Primary processor-based controls.
    pub primary: PrimaryProcessorControls,
    /// Secondary processor-based controls as they take effect.
    pub secondary: SecondaryProcessorControls,
    /// Tertiary processor-based controls as they take effect.
    pub tertiary: TertiaryProcessorControls,
    /// VM-function controls as they take effect.
    pub functions: VmFunctions,
    /// Exception bitmap.
    pub exception_bitmap: u32,
    /// Page-fault error-code mask.
    pub page_fault_mask: u32,
    /// Page-fault error-code match.
    pub page_fault_match: u32,
    /// CR0 guest/host mask.
    pub cr0_mask: u64,
    /// CR0 read shadow.
    pub cr0_shadow: u64,
    /// CR4 guest/host mask.
    pub cr4_mask: u64,
    /// CR4 read shadow.
    pub cr4_shadow: u64,
    /// CR3-target count, at most 4.
    pub cr3_target_count: u8,
    /// CR3-target values.
    pub cr3_targets: [u64; 4],
    /// Physical addresses of I/O bitmaps A and B.
    pub io_bitmaps: [u64; 2],
    /// Physical address of the MSR bitmaps.
    pub msr_bitmaps: u64,
    /// Physical addresses of the VMREAD and VMWRITE bitmaps.
    pub vmread_bitmap: u64,
    /// See `vmread_bitmap`.
    pub vmwrite_bitmap: u64,
    /// TSC offset.
    pub tsc_offset: u64,
    /// TSC multiplier, 48 fraction bits.
    pub tsc_multiplier: u64,
    /// XSS-exiting bitmap.
    pub xss_exiting_bitmap: u64,
    /// ENCLS-exiting bitmap.
    pub encls_exiting_bitmap: u64,
    /// ENCLV-exiting bitmap.
    pub enclv_exiting_bitmap: u64,
    /// PCONFIG-exiting bitmap.
    pub pconfig_exiting_bitmap: u64,
    /// PLE_Gap.
    pub ple_gap: u32,
    /// PLE_Window.
    pub ple_window: u32,
    /// Virtual-APIC address.
    pub virtual_apic: u64,
    /// APIC-access address.
    pub apic_access: u64,
    /// TPR threshold, 0–15.
    pub tpr_threshold: u8,
    /// EOI-exit bitmaps.
    pub eoi_exit: [u64; 4],
    /// EPT pointer.
    pub eptp: u64,
    /// VPID as it takes effect: 0 without “enable VPID”.
    pub vpid: u16,
    /// Posted-interrupt notification vector.
    pub notification_vector: u8,
    /// Posted-interrupt descriptor address.
    pub posted_descriptor: u64,
}

impl ExecutionControls {
    /// From a VMCS that has passed the checks.
    pub fn from_vmcs(vmcs: &Vmcs) -> ExecutionControls {
        let secondary = vmcs.secondary();
        ExecutionControls {
            pin: vmcs.pin(),
            primary: vmcs.primary(),
            secondary,
            tertiary: vmcs.tertiary(),
            functions: vmcs.vm_functions(),
            exception_bitmap: vmcs.get32(Field::ExceptionBitmap),
            page_fault_mask: vmcs.get32(Field::PageFaultErrorCodeMask),
            page_fault_match: vmcs.get32(Field::PageFaultErrorCodeMatch),
            cr0_mask: vmcs.get(Field::Cr0GuestHostMask),
            cr0_shadow: vmcs.get(Field::Cr0ReadShadow),
            cr4_mask: vmcs.get(Field::Cr4GuestHostMask),
            cr4_shadow: vmcs.get(Field::Cr4ReadShadow),
            cr3_target_count: vmcs.get(Field::Cr3TargetCount).min(4) as u8,
            cr3_targets: [Field::Cr3Target0, Field::Cr3Target1, Field::Cr3Target2, Field::Cr3Target3]
                .map(|field| vmcs.get(field)),
            io_bitmaps: [vmcs.get(Field::IoBitmapA), vmcs.get(Field::IoBitmapB)],
            msr_bitmaps: vmcs.get(Field::MsrBitmaps),
            vmread_bitmap: vmcs.get(Field::VmreadBitmapAddress),
            vmwrite_bitmap: vmcs.get(Field::VmwriteBitmapAddress),
            tsc_offset: vmcs.get(Field::TscOffset),
            tsc_multiplier: vmcs.get(Field::TscMultiplier),
            xss_exiting_bitmap: vmcs.get(Field::XssExitingBitmap),
            encls_exiting_bitmap: vmcs.get(Field::EnclsExitingBitmap),
            enclv_exiting_bitmap: vmcs.get(Field::EnclvExitingBitmap),
            pconfig_exiting_bitmap: vmcs.get(Field::PconfigExitingBitmap),
            ple_gap: vmcs.get32(Field::PleGap),
            ple_window: vmcs.get32(Field::PleWindow),
            virtual_apic: vmcs.get(Field::VirtualApicAddress),
            apic_access: vmcs.get(Field::ApicAccessAddress),
            tpr_threshold: (vmcs.get(Field::TprThreshold) & 0xF) as u8,
            eoi_exit: [Field::EoiExitBitmap0, Field::EoiExitBitmap1, Field::EoiExitBitmap2, Field::EoiExitBitmap3]
                .map(|field| vmcs.get(field)),
            eptp: vmcs.get(Field::EptPointer),
            vpid: if secondary.contains(SecondaryProcessorControls::ENABLE_VPID) { vmcs.get16(Field::Vpid) } else { 0 },
            notification_vector: vmcs.get(Field::PostedInterruptNotificationVector) as u8,
            posted_descriptor: vmcs.get(Field::PostedInterruptDescriptorAddress),
        }
    }

    /// Instructions that exit always or by a control bit (26.1.2, 26.1.3), or raise #UD without theirs (26.3).
    pub fn instruction(&self, instruction: Instruction) -> Decision {
        use ExitReason as R;
        use Instruction as I;
        use PrimaryProcessorControls as P1;
        use SecondaryProcessorControls as P2;
        let primary = |bit, reason| Decision::exit_if(self.primary.contains(bit), reason);
        let secondary = |bit, reason| Decision::exit_if(self.secondary.contains(bit), reason);
        let enabled = |bit, decision| match self.secondary.contains(bit) {
            true => decision,
            false => Decision::InvalidOpcode,
        };
        match instruction {
            I::Cpuid => Decision::Exit(R::Cpuid),
            I::Getsec => Decision::Exit(R::Getsec),
            I::Invd => Decision::Exit(R::Invd),
            I::Xsetbv => Decision::Exit(R::Xsetbv),
            I::Invept => Decision::Exit(R::Invept),
            I::Invvpid => Decision::Exit(R::Invvpid),
            I::Vmcall => Decision::Exit(R::Vmcall),
            I::Vmclear => Decision::Exit(R::Vmclear),
            I::Vmlaunch => Decision::Exit(R::Vmlaunch),
            I::Vmptrld => Decision::Exit(R::Vmptrld),
            I::Vmptrst => Decision::Exit(R::Vmptrst),
            I::Vmresume => Decision::Exit(R::Vmresume),
            I::Vmxoff => Decision::Exit(R::Vmxoff),
            I::Vmxon => Decision::Exit(R::Vmxon),
            I::Hlt => primary(P1::HLT_EXITING, R::Hlt),
            I::Invlpg => primary(P1::INVLPG_EXITING, R::Invlpg),
            I::Invpcid => enabled(P2::ENABLE_INVPCID, primary(P1::INVLPG_EXITING, R::Invpcid)),
            I::Lgdt | I::Lidt | I::Sgdt | I::Sidt => secondary(P2::DESCRIPTOR_TABLE_EXITING, R::GdtrIdtrAccess),
            I::Lldt | I::Ltr | I::Sldt | I::Str => secondary(P2::DESCRIPTOR_TABLE_EXITING, R::LdtrTrAccess),
            I::Loadiwkey => {
                Decision::exit_if(self.tertiary.contains(TertiaryProcessorControls::LOADIWKEY_EXITING), R::Loadiwkey)
            }
            I::MovDr => primary(P1::MOV_DR_EXITING, R::MovDr),
            I::MovFromCr3 => primary(P1::CR3_STORE_EXITING, R::ControlRegisterAccess),
            I::MovToCr8 => primary(P1::CR8_LOAD_EXITING, R::ControlRegisterAccess),
            I::MovFromCr8 => primary(P1::CR8_STORE_EXITING, R::ControlRegisterAccess),
            I::Monitor => primary(P1::MONITOR_EXITING, R::Monitor),
            I::Mwait => primary(P1::MWAIT_EXITING, R::Mwait),
            I::Rdpmc => primary(P1::RDPMC_EXITING, R::Rdpmc),
            I::Rdrand => secondary(P2::RDRAND_EXITING, R::Rdrand),
            I::Rdseed => secondary(P2::RDSEED_EXITING, R::Rdseed),
            I::Rdtsc => primary(P1::RDTSC_EXITING, R::Rdtsc),
            I::Rdtscp => enabled(P2::ENABLE_RDTSCP, primary(P1::RDTSC_EXITING, R::Rdtscp)),
            I::Rdpid => enabled(P2::ENABLE_RDTSCP, Decision::Execute),
            I::Umonitor => enabled(P2::ENABLE_USER_WAIT_AND_PAUSE, Decision::Execute),
            I::Umwait => enabled(P2::ENABLE_USER_WAIT_AND_PAUSE, primary(P1::RDTSC_EXITING, R::Umwait)),
            I::Tpause => enabled(P2::ENABLE_USER_WAIT_AND_PAUSE, primary(P1::RDTSC_EXITING, R::Tpause)),
            I::Wbinvd => secondary(P2::WBINVD_EXITING, R::Wbinvd),
            I::Rdmsrlist => self.msr_list(R::Rdmsrlist),
            I::Wrmsrlist => self.msr_list(R::Wrmsrlist),
        }
    }

    fn msr_list(&self, reason: ExitReason) -> Decision {
        match self.tertiary.contains(TertiaryProcessorControls::ENABLE_MSR_LIST_INSTRUCTIONS) {
            true => Decision::exit_if(!self.primary.contains(PrimaryProcessorControls::USE_MSR_BITMAPS), reason),
            false => Decision::InvalidOpcode,
        }
    }

    /// IN, OUT, INS, OUTS of `size` bytes at `port`.
    pub fn io(&self, port: u16, size: u8, read_u8: impl FnMut(u64) -> u8) -> bool {
        if self.primary.contains(PrimaryProcessorControls::USE_IO_BITMAPS) {
            bitmaps::io_exits(self.io_bitmaps[0], self.io_bitmaps[1], port, size, read_u8)
        } else {
            self.primary.contains(PrimaryProcessorControls::UNCONDITIONAL_IO_EXITING)
        }
    }
    /// RDMSR, or with `write` WRMSR, of `index`.
    pub fn msr(&self, index: u32, write: bool, read_u8: impl FnMut(u64) -> u8) -> bool {
        !self.primary.contains(PrimaryProcessorControls::USE_MSR_BITMAPS)
            || bitmaps::msr_exits(self.msr_bitmaps, index, write, read_u8)
    }
    /// VMREAD, or with `write` VMWRITE, of `encoding`. When it does not exit it accesses the VMCS that the VMCS link
    /// pointer names.
    pub fn vmcs_access(&self, encoding: u64, write: bool, read_u8: impl FnMut(u64) -> u8) -> bool {
        let bitmap = if write { self.vmwrite_bitmap } else { self.vmread_bitmap };
        !self.secondary.contains(SecondaryProcessorControls::VMCS_SHADOWING)
            || bitmaps::vmcs_shadow_exits(bitmap, encoding, read_u8)
    }
    /// XSAVES (`XRSTORS` with `restore`): #UD, exit, or execute. `requested` is EDX:EAX.
    pub fn xsaves(&self, restore: bool, requested: u64, xss: u64) -> Decision {
        if !self.secondary.contains(SecondaryProcessorControls::ENABLE_XSAVES_XRSTORS) {
            return Decision::InvalidOpcode;
        }
        let reason = if restore { ExitReason::Xrstors } else { ExitReason::Xsaves };
        Decision::exit_if(bitmaps::xss_exits(self.xss_exiting_bitmap, requested, xss), reason)
    }
    /// ENCLS with leaf EAX.
    pub fn encls(&self, leaf: u32) -> Decision {
        let on = self.secondary.contains(SecondaryProcessorControls::ENABLE_ENCLS_EXITING);
        Decision::exit_if(on && bitmaps::leaf_exits(self.encls_exiting_bitmap, leaf), ExitReason::Encls)
    }
    /// ENCLV with leaf EAX.
    pub fn enclv(&self, leaf: u32) -> Decision {
        let on = self.secondary.contains(SecondaryProcessorControls::ENABLE_ENCLV_EXITING);
        Decision::exit_if(on && bitmaps::leaf_exits(self.enclv_exiting_bitmap, leaf), ExitReason::Enclv)
    }
    /// PCONFIG with leaf EAX.
    pub fn pconfig(&self, leaf: u32) -> Decision {
        if !self.secondary.contains(SecondaryProcessorControls::ENABLE_PCONFIG) {
            return Decision::InvalidOpcode;
        }
        Decision::exit_if(bitmaps::leaf_exits(self.pconfig_exiting_bitmap, leaf), ExitReason::Pconfig)
    }
    /// VMFUNC with function EAX (26.5.6.1): leaf 0 (EPTP switching) may still exit.
    pub fn vmfunc(&self, function: u32) -> Decision {
        if !self.secondary.contains(SecondaryProcessorControls::ENABLE_VM_FUNCTIONS) || function >= 64 {
            return Decision::InvalidOpcode;
        }
        Decision::exit_if(self.functions.bits() & (1 << function) == 0, ExitReason::Vmfunc)
    }
    /// Exception `vector` with its error code (0 without one).
    #[inline]
    pub fn exception(&self, vector: u8, error_code: u32) -> bool {
        bitmaps::exception_exits(self.exception_bitmap, self.page_fault_mask, self.page_fault_match, vector, error_code)
    }
    /// MOV to CR3 of `source`: exits unless it equals a CR3-target value.
    pub fn mov_to_cr3(&self, source: u64) -> bool {
        self.primary.contains(PrimaryProcessorControls::CR3_LOAD_EXITING)
            && !self.cr3_targets.iter().take(self.cr3_target_count.into()).any(|&target| target == source)
    }
    /// What MOV from CR0 and SMSW read.
    pub const fn read_cr0(&self, cr0: u64) -> u64 {
        (cr0 & !self.cr0_mask) | (self.cr0_shadow & self.cr0_mask)
    }
    /// What MOV from CR4 reads.
    pub const fn read_cr4(&self, cr4: u64) -> u64 {
        (cr4 & !self.cr4_mask) | (self.cr4_shadow & self.cr4_mask)
    }
    /// MOV to CR0 of `source` while CR0 is `cr0`.
    pub const fn mov_to_cr0(&self, cr0: u64, source: u64, caps: &VmxCapabilities) -> CrWrite {
        if (source ^ self.cr0_shadow) & self.cr0_mask != 0 {
            return CrWrite::Exit;
        }
        let value = (source & !self.cr0_mask) | (cr0 & self.cr0_mask);
        let unrestricted = self.secondary.contains(SecondaryProcessorControls::UNRESTRICTED_GUEST);
        if caps.guest_cr0_allowed(value, unrestricted) { CrWrite::Load(value) } else { CrWrite::GeneralProtection }
    }
    /// MOV to CR4 of `source` while CR4 is `cr4`.
    pub const fn mov_to_cr4(&self, cr4: u64, source: u64, caps: &VmxCapabilities) -> CrWrite {
        if (source ^ self.cr4_shadow) & self.cr4_mask != 0 {
            return CrWrite::Exit;
        }
        let value = (source & !self.cr4_mask) | (cr4 & self.cr4_mask);
        if caps.cr4_allowed(value) { CrWrite::Load(value) } else { CrWrite::GeneralProtection }
    }
    /// CLTS while CR0 is `cr0`: exits when TS is in the mask and set in the shadow; leaves a TS that the host owns.
    pub const fn clts(&self, cr0: u64) -> CrWrite {
        let ts = crate::arch::Cr0::TS.bits();
        if self.cr0_mask & ts == 0 {
            CrWrite::Load(cr0 & !ts)
        } else if self.cr0_shadow & ts != 0 {
            CrWrite::Exit
        } else {
            CrWrite::Load(cr0)
        }
    }
    /// LMSW of `source` while CR0 is `cr0`: it never clears PE, so bit 0 exits only when it would set it.
    pub const fn lmsw(&self, cr0: u64, source: u16, caps: &VmxCapabilities) -> CrWrite {
        let source = source as u64;
        let differs = (source ^ self.cr0_shadow) & self.cr0_mask & 0xE != 0;
        let sets_pe = source & !self.cr0_shadow & self.cr0_mask & 1 != 0;
        if differs || sets_pe {
            return CrWrite::Exit;
        }
        let owned = self.cr0_mask & 0xF;
        let loaded = (source & 0xF & !owned) | (cr0 & owned);
        let value = (cr0 & !0xE) | loaded;
        let unrestricted = self.secondary.contains(SecondaryProcessorControls::UNRESTRICTED_GUEST);
        if caps.guest_cr0_allowed(value, unrestricted) { CrWrite::Load(value) } else { CrWrite::GeneralProtection }
    }
    /// What RDTSC, RDTSCP and RDMSR of IA32_TIME_STAMP_COUNTER give when they do not exit (26.3): scaled and offset.
    pub const fn guest_tsc(&self, tsc: u64) -> u64 {
        if !self.primary.contains(PrimaryProcessorControls::USE_TSC_OFFSETTING) {
            return tsc;
        }
        let scaled = if self.scales_tsc() { ((tsc as u128 * self.tsc_multiplier as u128) >> 48) as u64 } else { tsc };
        scaled.wrapping_add(self.tsc_offset)
    }
    /// Whether the guest's TSC runs at another rate: scaling counts with offsetting alone.
    const fn scales_tsc(&self) -> bool {
        self.primary.contains(PrimaryProcessorControls::USE_TSC_OFFSETTING)
            && self.secondary.contains(SecondaryProcessorControls::USE_TSC_SCALING)
    }
    /// How far the processor's TSC goes on while the guest's goes on by `ticks`.
    pub const fn tsc_ticks_of_guest(&self, ticks: u64) -> u64 {
        if !self.scales_tsc() || self.tsc_multiplier == 0 {
            return ticks;
        }
        let own = ((ticks as u128) << 48).div_ceil(self.tsc_multiplier as u128);
        if own > u64::MAX as u128 { u64::MAX } else { own as u64 }
    }
    /// WRMSR of IA32_SPEC_CTRL with “virtualize IA32_SPEC_CTRL”: the value for the MSR; `mask`, `shadow` and the old
    /// value decide the bits that the VMM owns.
    pub const fn spec_ctrl_write(current: u64, source: u64, mask: u64) -> u64 {
        (current & mask) | (source & !mask)
    }
    /// EPT is in use.
    pub const fn ept(&self) -> bool {
        self.secondary.contains(SecondaryProcessorControls::ENABLE_EPT)
    }
}

/// What a write to CR0 or CR4 does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrWrite {
    /// VM exit 28.
    Exit,
    /// #GP(0): the value breaks the fixed bits of VMX operation.
    GeneralProtection,
    /// Load this value, if the usual checks of the register allow it.
    Load(u64),
}

/// PAUSE-loop exiting (SDM Vol. 3C 25.6.13 "Controls for PAUSE-Loop Exiting" and 26.1.3 "Instructions That Cause VM
/// Exits Conditionally"): the times of the loop's first and of the last PAUSE. PLE_Gap and PLE_Window are times that the
/// processor runs; the caller tells of those in between that it gave to others ([`PauseLoop::gave_away`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PauseLoop {
    first: u64,
    last: u64,
    seen: bool,
}

impl PauseLoop {
    /// PAUSE at CPL `cpl` and time `tsc` (not scaled, not offset): whether it exits. VM entry starts with a new
    /// `PauseLoop`.
    pub fn pause(&mut self, controls: &ExecutionControls, cpl: u8, tsc: u64) -> bool {
        if self.exits_by_control(controls) {
            return true;
        }
        if cpl != 0 || !controls.secondary.contains(SecondaryProcessorControls::PAUSE_LOOP_EXITING) {
            return false;
        }
        let new_loop = !self.seen || tsc.wrapping_sub(self.last) > u64::from(controls.ple_gap);
        if new_loop {
            self.first = tsc;
        }
        self.seen = true;
        self.last = tsc;
        !new_loop && tsc.wrapping_sub(self.first) > u64::from(controls.ple_window)
    }
    /// The processor, which is in a loop, gave `ticks` of the TSC to others and executed nothing: no part of the loop.
    pub fn gave_away(&mut self, ticks: u64) {
        self.first = self.first.wrapping_add(ticks);
        self.last = self.last.wrapping_add(ticks);
    }
    fn exits_by_control(&self, controls: &ExecutionControls) -> bool {
        controls.primary.contains(PrimaryProcessorControls::PAUSE_EXITING)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn controls() -> ExecutionControls {
        ExecutionControls::default()
    }

    #[test]
    fn mov_to_cr0_exits_only_when_an_owned_bit_differs_from_the_shadow() {
        let caps = VmxCapabilities::CORE_I5_M520;
        let c = ExecutionControls { cr0_mask: 0x6000_0020, cr0_shadow: 0x20, ..controls() };
        assert_eq!(c.mov_to_cr0(0xE000_0031, 0x8000_0031, &caps), CrWrite::Load(0xE000_0031));
        assert_eq!(c.mov_to_cr0(0xE000_0031, 0xE000_0031, &caps), CrWrite::Exit);
        assert_eq!(c.mov_to_cr0(0xE000_0031, 0x0000_0031, &caps), CrWrite::GeneralProtection);
        assert_eq!(c.read_cr0(0xE000_0031), 0x8000_0031);
    }

    #[test]
    fn lmsw_cannot_clear_pe_and_exits_when_it_would_set_an_owned_one() {
        let caps = VmxCapabilities::CORE_I5_M520;
        let c = ExecutionControls { cr0_mask: 1, cr0_shadow: 0, ..controls() };
        assert_eq!(c.lmsw(0x8000_0031, 1, &caps), CrWrite::Exit);
        assert_eq!(c.lmsw(0x8000_0031, 0, &caps), CrWrite::Load(0x8000_0031));
        let c = ExecutionControls { cr0_mask: 1, cr0_shadow: 1, ..controls() };
        assert_eq!(c.lmsw(0x8000_0031, 0, &caps), CrWrite::Load(0x8000_0031));
        assert_eq!(controls().lmsw(0x8000_0031, 0x8, &caps), CrWrite::Load(0x8000_0039));
    }

    #[test]
    fn clts_of_a_bit_the_host_owns_is_a_no_op_or_exits() {
        let ts = 8;
        assert_eq!(controls().clts(0x39), CrWrite::Load(0x31));
        assert_eq!(ExecutionControls { cr0_mask: ts, cr0_shadow: ts, ..controls() }.clts(0x39), CrWrite::Exit);
        assert_eq!(ExecutionControls { cr0_mask: ts, cr0_shadow: 0, ..controls() }.clts(0x39), CrWrite::Load(0x39));
    }

    #[test]
    fn mov_to_cr3_of_a_target_value_does_not_exit() {
        let c = ExecutionControls {
            primary: PrimaryProcessorControls::CR3_LOAD_EXITING,
            cr3_target_count: 1,
            cr3_targets: [0x5000, 0x6000, 0, 0],
            ..controls()
        };
        assert!(!c.mov_to_cr3(0x5000) && c.mov_to_cr3(0x6000) && c.mov_to_cr3(0));
    }

    #[test]
    fn instruction_without_its_enabling_control_is_undefined() {
        assert_eq!(controls().instruction(Instruction::Rdtscp), Decision::InvalidOpcode);
        assert_eq!(controls().instruction(Instruction::Cpuid), Decision::Exit(ExitReason::Cpuid));
        assert_eq!(controls().instruction(Instruction::Hlt), Decision::Execute);
        let c = ExecutionControls {
            secondary: SecondaryProcessorControls::ENABLE_RDTSCP,
            primary: PrimaryProcessorControls::RDTSC_EXITING,
            ..controls()
        };
        assert_eq!(c.instruction(Instruction::Rdtscp), Decision::Exit(ExitReason::Rdtscp));
    }

    #[test]
    fn guest_tsc_is_scaled_then_offset() {
        let c = ExecutionControls {
            primary: PrimaryProcessorControls::USE_TSC_OFFSETTING,
            secondary: SecondaryProcessorControls::USE_TSC_SCALING,
            tsc_multiplier: 3 << 47,
            tsc_offset: u64::MAX,
            ..controls()
        };
        assert_eq!(c.guest_tsc(1000), 1499);
        assert_eq!((c.tsc_ticks_of_guest(1500), c.tsc_ticks_of_guest(u64::MAX)), (1000, u64::MAX / 3 * 2));
        assert_eq!(controls().tsc_ticks_of_guest(1500), 1500);
    }

    #[test]
    fn pause_loop_longer_than_the_window_exits_at_cpl_0() {
        let c = ExecutionControls {
            secondary: SecondaryProcessorControls::PAUSE_LOOP_EXITING,
            ple_gap: 10,
            ple_window: 50,
            ..controls()
        };
        let mut state = PauseLoop::default();
        assert!((0..6).all(|n| !state.pause(&c, 0, 1000 + 10 * n)));
        assert!(!state.pause(&c, 3, 1060), "CPL 3 never exits");
        assert!(state.pause(&c, 0, 1060));
        assert!(!state.pause(&c, 0, 2000), "a new loop");
    }

    #[test]
    fn pause_loop_does_not_count_time_that_the_processor_gave_away() {
        let c = ExecutionControls {
            secondary: SecondaryProcessorControls::PAUSE_LOOP_EXITING,
            ple_gap: 10,
            ple_window: 50,
            ..controls()
        };
        let (mut state, mut now) = (PauseLoop::default(), 1000);
        for n in 0..6 {
            assert!(!state.pause(&c, 0, now), "{n}");
            // 10 ticks of the loop, and a turn of somebody else.
            state.gave_away(30_000);
            now += 30_010;
        }
        assert!(state.pause(&c, 0, now));
    }
}
