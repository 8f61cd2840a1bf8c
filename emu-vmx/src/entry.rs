//! What VM entry loads into the processor, and what a VM exit loads for the host, as plans: computed from the VMCS
//! after all checks have passed, applied by the processor (SDM Vol. 3C 27.3.2 "Loading Guest State", 27.4 "Loading
//! MSRs", 27.6 "Event Injection", 28.5 "Loading Host State", 28.6 "Loading MSRs").

pub use crate::abort::VmxAbort;
use crate::arch::{Cr4, Efer, Rflags, Segment, SegmentRegister, msr};
use crate::controls::*;
use crate::exit::InterruptionInformation;
use crate::field::Field;
use crate::vmcs::{ActivityState, Interruptibility, PendingDebug, Vmcs};
use serde::{Deserialize, Serialize};

/// Bits of CR0 that VM entry and VM exit leave alone: CD, NW, 28:19, 17, 15:6, ET.
pub const CR0_UNTOUCHED: u64 = 0x7FFA_FFD0;

/// A descriptor-table register.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DescriptorTable {
    /// Base.
    pub base: u64,
    /// Limit.
    pub limit: u16,
}

/// Values of MSRs that controls load; `None`: left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LoadedMsrs {
    /// IA32_DEBUGCTL.
    pub debugctl: Option<u64>,
    /// IA32_SYSENTER_CS.
    pub sysenter_cs: u32,
    /// IA32_SYSENTER_ESP.
    pub sysenter_esp: u64,
    /// IA32_SYSENTER_EIP.
    pub sysenter_eip: u64,
    /// IA32_EFER, complete.
    pub efer: Efer,
    /// IA32_PAT.
    pub pat: Option<u64>,
    /// IA32_PERF_GLOBAL_CTRL.
    pub perf_global_ctrl: Option<u64>,
    /// IA32_BNDCFGS.
    pub bndcfgs: Option<u64>,
    /// IA32_RTIT_CTL.
    pub rtit_ctl: Option<u64>,
    /// IA32_LBR_CTL.
    pub lbr_ctl: Option<u64>,
    /// IA32_PKRS.
    pub pkrs: Option<u32>,
    /// IA32_SPEC_CTRL.
    pub spec_ctrl: Option<u64>,
    /// UINV.
    pub uinv: Option<u8>,
    /// IA32_S_CET, SSP, IA32_INTERRUPT_SSP_TABLE_ADDR.
    pub cet: Option<Cet>,
}

/// CET state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cet {
    /// IA32_S_CET.
    pub s_cet: u64,
    /// SSP.
    pub ssp: u64,
    /// IA32_INTERRUPT_SSP_TABLE_ADDR.
    pub interrupt_ssp_table: u64,
}

/// An event to inject (27.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Injection {
    /// Type and vector.
    pub information: InterruptionInformation,
    /// Error code, if one is delivered.
    pub error_code: Option<u32>,
    /// Length of the instruction, for software events: what delivery adds to RIP.
    pub instruction_length: u8,
}

/// What becomes of pending debug exceptions (27.7.3 "Delivery of Pending Debug Exceptions after VM Entry").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PendingDebugOutcome {
    /// None are valid: nothing is delivered.
    None,
    /// #DB follows VM entry with the priority of a trap on the previous instruction. With an injected INT n, INT3 or
    /// INTO that means: on entry to its handler, as if the instruction had followed a MOV SS with a debug trap.
    Deliver,
    /// MOV SS holds them for one instruction, as in normal execution.
    HeldByMovSs,
}

fn pending_debug_outcome(
    pending: PendingDebug,
    event: Option<&Injection>,
    mov_ss: bool,
    activity: ActivityState,
) -> PendingDebugOutcome {
    use crate::exit::InterruptionType as T;
    if !pending.intersects(PendingDebug::ENABLED_BREAKPOINT | PendingDebug::BS) {
        return PendingDebugOutcome::None;
    }
    match event.map(|event| event.information.kind()) {
        // Other types discard them, and so do these without MOV SS blocking.
        Some(T::SoftwareInterrupt | T::SoftwareException) if mov_ss => PendingDebugOutcome::Deliver,
        Some(_) => PendingDebugOutcome::None,
        None if matches!(activity, ActivityState::Shutdown | ActivityState::WaitForSipi) => PendingDebugOutcome::None,
        None if mov_ss => PendingDebugOutcome::HeldByMovSs,
        None => PendingDebugOutcome::Deliver,
    }
}

/// An MSR list in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MsrList {
    /// Physical address of the first 16-byte entry.
    pub address: u64,
    /// Number of entries.
    pub count: u32,
}

impl MsrList {
    /// Address of entry `n`: index at 0, reserved dword at 4, value at 8.
    pub const fn entry(&self, n: u32) -> u64 {
        self.address.wrapping_add(16 * n as u64)
    }
}

/// What VM entry loads.
#[derive(Debug, Clone, PartialEq)]
pub struct EntryPlan {
    /// CR0.
    pub cr0: u64,
    /// CR3.
    pub cr3: u64,
    /// CR4.
    pub cr4: Cr4,
    /// DR7, with “load debug controls”.
    pub dr7: Option<u64>,
    /// MSRs.
    pub msrs: LoadedMsrs,
    /// Segment registers, LDTR and TR, in the order of [`SegmentRegister::ALL`].
    pub segments: [Segment; 8],
    /// GDTR.
    pub gdtr: DescriptorTable,
    /// IDTR.
    pub idtr: DescriptorTable,
    /// RIP.
    pub rip: u64,
    /// RSP.
    pub rsp: u64,
    /// RFLAGS.
    pub rflags: Rflags,
    /// PDPTE registers: from the fields with EPT, from memory (`None`: the caller has them in
    /// [`crate::checks::EntryMoment::pdptes`]) without.
    pub pdptes: Option<[u64; 4]>,
    /// The guest uses PAE paging: the PDPTE registers count.
    pub pae: bool,
    /// Guest in IA-32e mode.
    pub ia32e: bool,
    /// Activity state. An injected event makes it active.
    pub activity: ActivityState,
    /// Blocking by STI, MOV SS, SMI, NMI (virtual-NMI blocking with “virtual NMIs”). An injected event ends blocking
    /// by STI and MOV SS, an injected NMI begins blocking by NMI (27.7.1 "Interruptibility State").
    pub interruptibility: Interruptibility,
    /// Pending debug exceptions as stored in the VMCS.
    pub pending_debug: PendingDebug,
    /// What becomes of them.
    pub pending_debug_outcome: PendingDebugOutcome,
    /// The event to inject.
    pub injection: Option<Injection>,
    /// The injected event is a pending MTF VM exit.
    pub pending_mtf: bool,
    /// VMX-preemption timer.
    pub preemption_timer: Option<u32>,
    /// VM-entry MSR-load area. A failing entry is exit reason 34; the qualification is its number, 1 for the first.
    pub msr_load: MsrList,
    /// Translations of VPID 0 must go ([`crate::tags::vm_transition`]).
    pub flush_vpid_0: bool,
}

const fn merge_cr0(field: u64, current: u64) -> u64 {
    (field & !CR0_UNTOUCHED & 0xFFFF_FFFF) | (current & CR0_UNTOUCHED)
}

/// What an unusable register keeps of its base (27.3.2.2 "Loading Guest Segment Registers and Descriptor-Table
/// Registers"): SS, DS and ES clear bits 63:32, LDTR becomes canonical, FS and GS are loaded.
fn loaded_segment(register: SegmentRegister, segment: Segment) -> Segment {
    if !segment.access_rights.unusable() {
        return segment;
    }
    let base = match register {
        SegmentRegister::Ss | SegmentRegister::Ds | SegmentRegister::Es => segment.base & 0xFFFF_FFFF,
        SegmentRegister::Ldtr => crate::arch::addr::sign_extend(segment.base, 48),
        _ => segment.base,
    };
    Segment { base, ..segment }
}

impl EntryPlan {
    /// From a VMCS that has passed the checks. `cr0` and `efer` are the processor's present ones.
    pub fn new(vmcs: &Vmcs, cr0: u64, efer: Efer) -> EntryPlan {
        let entry = vmcs.entry();
        let secondary = vmcs.secondary();
        let ia32e = entry.contains(VmEntryControls::IA32E_MODE_GUEST);
        let guest_cr0 = merge_cr0(vmcs.get(Field::GuestCr0), cr0);
        let paging = guest_cr0 & crate::arch::Cr0::PG.bits() != 0;
        let when = |control, field| entry.contains(control).then(|| vmcs.get(field));
        let guest_efer = if entry.contains(VmEntryControls::LOAD_IA32_EFER) {
            Efer::from_bits_retain(vmcs.get(Field::GuestIa32Efer))
        } else {
            // LMA follows the control; LME too, but only with paging on (27.3.2.1).
            let mut efer = efer;
            efer.set(Efer::LMA, ia32e);
            if paging {
                efer.set(Efer::LME, ia32e);
            }
            efer
        };
        let information = InterruptionInformation(vmcs.get32(Field::VmEntryInterruptionInformation));
        let pending_mtf = information.injects(crate::exit::InterruptionType::Other);
        let injection = (information.valid() && !pending_mtf).then(|| Injection {
            information,
            error_code: information.error_code().then(|| vmcs.get32(Field::VmEntryExceptionErrorCode)),
            instruction_length: vmcs.get(Field::VmEntryInstructionLength) as u8,
        });
        let mut interruptibility = vmcs.interruptibility();
        let mut activity =
            ActivityState::from_field(vmcs.get32(Field::GuestActivityState)).unwrap_or(ActivityState::Active);
        let mut pending_debug = PendingDebug::from_bits_retain(vmcs.get(Field::GuestPendingDebugExceptions));
        let mov_ss = interruptibility.contains(Interruptibility::MOV_SS);
        if mov_ss {
            // The single-step trap of MOV SS itself is lost, as in normal execution; what it holds back are breakpoints.
            pending_debug.remove(PendingDebug::BS);
        }
        let pending_debug_outcome = pending_debug_outcome(pending_debug, injection.as_ref(), mov_ss, activity);
        if injection.is_some() {
            interruptibility.remove(Interruptibility::STI | Interruptibility::MOV_SS);
            if information.injects(crate::exit::InterruptionType::Nmi) {
                interruptibility.insert(Interruptibility::NMI);
            }
            activity = ActivityState::Active;
        }
        let pae = paging && !ia32e && vmcs.get(Field::GuestCr4) & Cr4::PAE.bits() != 0;
        let ept = secondary.contains(SecondaryProcessorControls::ENABLE_EPT);
        let timer = vmcs.pin().contains(PinBasedControls::ACTIVATE_VMX_PREEMPTION_TIMER);
        EntryPlan {
            cr0: guest_cr0,
            cr3: vmcs.get(Field::GuestCr3),
            cr4: Cr4::from_bits_retain(vmcs.get(Field::GuestCr4)),
            // Bits 12, 14 and 15 are cleared, bit 10 is set (27.3.2.1).
            dr7: when(VmEntryControls::LOAD_DEBUG_CONTROLS, Field::GuestDr7)
                .map(|dr7| crate::arch::Dr7::from_write(dr7).bits()),
            msrs: LoadedMsrs {
                debugctl: when(VmEntryControls::LOAD_DEBUG_CONTROLS, Field::GuestIa32Debugctl),
                sysenter_cs: vmcs.get32(Field::GuestIa32SysenterCs),
                sysenter_esp: vmcs.get(Field::GuestIa32SysenterEsp),
                sysenter_eip: vmcs.get(Field::GuestIa32SysenterEip),
                efer: guest_efer,
                pat: when(VmEntryControls::LOAD_IA32_PAT, Field::GuestIa32Pat),
                perf_global_ctrl: when(VmEntryControls::LOAD_IA32_PERF_GLOBAL_CTRL, Field::GuestIa32PerfGlobalCtrl),
                bndcfgs: when(VmEntryControls::LOAD_IA32_BNDCFGS, Field::GuestIa32Bndcfgs),
                rtit_ctl: when(VmEntryControls::LOAD_IA32_RTIT_CTL, Field::GuestIa32RtitCtl),
                lbr_ctl: when(VmEntryControls::LOAD_GUEST_IA32_LBR_CTL, Field::GuestIa32LbrCtl),
                pkrs: when(VmEntryControls::LOAD_PKRS, Field::GuestIa32Pkrs).map(|pkrs| pkrs as u32),
                spec_ctrl: when(VmEntryControls::LOAD_IA32_SPEC_CTRL, Field::GuestIa32SpecCtrl),
                uinv: when(VmEntryControls::LOAD_UINV, Field::GuestUinv).map(|uinv| uinv as u8),
                cet: entry.contains(VmEntryControls::LOAD_CET_STATE).then(|| Cet {
                    s_cet: vmcs.get(Field::GuestIa32SCet),
                    ssp: vmcs.get(Field::GuestSsp),
                    interrupt_ssp_table: vmcs.get(Field::GuestIa32InterruptSspTableAddr),
                }),
            },
            segments: SegmentRegister::ALL.map(|register| loaded_segment(register, vmcs.guest_segment(register))),
            gdtr: DescriptorTable { base: vmcs.get(Field::GuestGdtrBase), limit: vmcs.get16(Field::GuestGdtrLimit) },
            idtr: DescriptorTable { base: vmcs.get(Field::GuestIdtrBase), limit: vmcs.get16(Field::GuestIdtrLimit) },
            rip: vmcs.get(Field::GuestRip),
            rsp: vmcs.get(Field::GuestRsp),
            rflags: Rflags::from_bits_retain(vmcs.get(Field::GuestRflags)),
            pdptes: (pae && ept).then(|| {
                [Field::GuestPdpte0, Field::GuestPdpte1, Field::GuestPdpte2, Field::GuestPdpte3].map(|f| vmcs.get(f))
            }),
            pae,
            ia32e,
            activity,
            interruptibility,
            pending_debug,
            pending_debug_outcome,
            injection,
            pending_mtf,
            preemption_timer: timer.then(|| vmcs.get32(Field::VmxPreemptionTimerValue)),
            msr_load: MsrList {
                address: vmcs.get(Field::VmEntryMsrLoadAddress),
                count: vmcs.get32(Field::VmEntryMsrLoadCount),
            },
            flush_vpid_0: !secondary.contains(SecondaryProcessorControls::ENABLE_VPID),
        }
    }
}

/// Why an MSR-list entry cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MsrListError {
    /// Bits 63:32 of the entry are not 0.
    Reserved,
    /// This MSR may not be in a list.
    Forbidden,
}

/// Checks an entry of a load area (27.4 "Loading MSRs") before the write itself, which may still #GP: FS and GS base,
/// the x2APIC MSRs, IA32_SMM_MONITOR_CTL outside SMM, and IA32_BIOS_UPDT_TRIG are refused. `first` is the entry's
/// first quadword.
pub const fn check_msr_load(first: u64, in_smm: bool) -> Result<u32, MsrListError> {
    if first >> 32 != 0 {
        return Err(MsrListError::Reserved);
    }
    let index = first as u32;
    let forbidden = matches!(index, msr::IA32_FS_BASE | msr::IA32_GS_BASE | msr::IA32_BIOS_UPDT_TRIG)
        || index >> 8 == 8
        || (index == msr::IA32_SMM_MONITOR_CTL && !in_smm);
    if forbidden { Err(MsrListError::Forbidden) } else { Ok(index) }
}

/// Checks an entry of the VM-exit MSR-store area (28.4 "Saving MSRs"); a failure is VMX abort 1.
pub const fn check_msr_store(first: u64, in_smm: bool) -> Result<u32, MsrListError> {
    if first >> 32 != 0 {
        return Err(MsrListError::Reserved);
    }
    let index = first as u32;
    if index >> 8 == 8 || (index == msr::IA32_SMBASE && !in_smm) { Err(MsrListError::Forbidden) } else { Ok(index) }
}

/// What a VM exit loads (28.5).
#[derive(Debug, Clone, PartialEq)]
pub struct HostPlan {
    /// CR0.
    pub cr0: u64,
    /// CR3.
    pub cr3: u64,
    /// CR4: PAE set for a 64-bit host, PCIDE cleared for a 32-bit one.
    pub cr4: Cr4,
    /// MSRs. IA32_DEBUGCTL is always 0, DR7 always 400h.
    pub msrs: LoadedMsrs,
    /// Segment registers, LDTR and TR, in the order of [`SegmentRegister::ALL`].
    pub segments: [Segment; 8],
    /// GDTR; the limit is FFFFh.
    pub gdtr: DescriptorTable,
    /// IDTR; the limit is FFFFh.
    pub idtr: DescriptorTable,
    /// RIP.
    pub rip: u64,
    /// RSP.
    pub rsp: u64,
    /// RFLAGS: 2.
    pub rflags: Rflags,
    /// The host uses PAE paging: its PDPTEs must be loaded from `cr3`, else [`VmxAbort::HostPdptes`].
    pub pae: bool,
    /// VM-exit MSR-load area.
    pub msr_load: MsrList,
    /// Translations of VPID 0 must go.
    pub flush_vpid_0: bool,
}

impl HostPlan {
    /// From the VMCS. `cr0` and `efer` are the processor's at the exit.
    pub fn new(vmcs: &Vmcs, cr0: u64, efer: Efer) -> HostPlan {
        use crate::arch::AccessRights;
        let exit = vmcs.exit();
        let host64 = exit.contains(VmExitControls::HOST_ADDRESS_SPACE_SIZE);
        let when = |control, field| exit.contains(control).then(|| vmcs.get(field));
        let clear = |control| exit.contains(control).then_some(0u64);
        let mut host_efer = match exit.contains(VmExitControls::LOAD_IA32_EFER) {
            true => Efer::from_bits_retain(vmcs.get(Field::HostIa32Efer)),
            false => efer,
        };
        host_efer.set(Efer::LMA, host64);
        host_efer.set(Efer::LME, host64);
        let mut cr4 = Cr4::from_bits_retain(vmcs.get(Field::HostCr4));
        if host64 {
            cr4 |= Cr4::PAE;
        } else {
            cr4 -= Cr4::PCIDE;
        }
        // 28.5.2 "Loading Host Segment and Descriptor-Table Registers".
        let segment = |selector: Field, base: Option<Field>, rights: u32, limit: u32| {
            let selector = vmcs.get16(selector);
            let base = base.map_or(0, |field| vmcs.get(field));
            let rights = AccessRights::from_bits_retain(rights);
            Segment { selector, base, limit, access_rights: rights }
        };
        let data = |selector: Field, base: Option<Field>| {
            let loaded = segment(selector, base, 0xC093, u32::MAX);
            match loaded.selector {
                // A null selector: unusable; FS and GS keep their base.
                0 => Segment { access_rights: loaded.access_rights | AccessRights::UNUSABLE, ..loaded },
                _ => loaded,
            }
        };
        let segments = [
            data(Field::HostEsSelector, None),
            segment(Field::HostCsSelector, None, if host64 { 0xA09B } else { 0xC09B }, u32::MAX),
            data(Field::HostSsSelector, None),
            data(Field::HostDsSelector, None),
            data(Field::HostFsSelector, Some(Field::HostFsBase)),
            data(Field::HostGsSelector, Some(Field::HostGsBase)),
            Segment::NULL,
            segment(Field::HostTrSelector, Some(Field::HostTrBase), 0x8B, 0x67),
        ];
        HostPlan {
            cr0: merge_cr0(vmcs.get(Field::HostCr0), cr0),
            cr3: vmcs.get(Field::HostCr3),
            cr4,
            msrs: LoadedMsrs {
                debugctl: Some(0),
                sysenter_cs: vmcs.get32(Field::HostIa32SysenterCs),
                sysenter_esp: vmcs.get(Field::HostIa32SysenterEsp),
                sysenter_eip: vmcs.get(Field::HostIa32SysenterEip),
                efer: host_efer,
                pat: when(VmExitControls::LOAD_IA32_PAT, Field::HostIa32Pat),
                perf_global_ctrl: when(VmExitControls::LOAD_IA32_PERF_GLOBAL_CTRL, Field::HostIa32PerfGlobalCtrl),
                bndcfgs: clear(VmExitControls::CLEAR_IA32_BNDCFGS),
                rtit_ctl: clear(VmExitControls::CLEAR_IA32_RTIT_CTL),
                lbr_ctl: clear(VmExitControls::CLEAR_IA32_LBR_CTL),
                pkrs: when(VmExitControls::LOAD_PKRS, Field::HostIa32Pkrs).map(|pkrs| pkrs as u32),
                spec_ctrl: vmcs
                    .secondary_exit()
                    .contains(SecondaryVmExitControls::LOAD_IA32_SPEC_CTRL)
                    .then(|| vmcs.get(Field::HostIa32SpecCtrl)),
                uinv: clear(VmExitControls::CLEAR_UINV).map(|_| 0),
                cet: exit.contains(VmExitControls::LOAD_CET_STATE).then(|| Cet {
                    s_cet: vmcs.get(Field::HostIa32SCet),
                    ssp: vmcs.get(Field::HostSsp),
                    interrupt_ssp_table: vmcs.get(Field::HostIa32InterruptSspTableAddr),
                }),
            },
            segments,
            gdtr: DescriptorTable { base: vmcs.get(Field::HostGdtrBase), limit: 0xFFFF },
            idtr: DescriptorTable { base: vmcs.get(Field::HostIdtrBase), limit: 0xFFFF },
            rip: vmcs.get(Field::HostRip),
            rsp: vmcs.get(Field::HostRsp),
            rflags: Rflags::RESET,
            pae: !host64 && cr4.contains(Cr4::PAE),
            msr_load: MsrList {
                address: vmcs.get(Field::VmExitMsrLoadAddress),
                count: vmcs.get32(Field::VmExitMsrLoadCount),
            },
            flush_vpid_0: !vmcs.secondary().contains(SecondaryProcessorControls::ENABLE_VPID),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::AccessRights;

    #[test]
    fn entry_plan_keeps_cd_nw_and_et_of_cr0() {
        let mut vmcs = Vmcs::new(1);
        vmcs.set(Field::GuestCr0, 0x8000_0021);
        let plan = EntryPlan::new(&vmcs, 0xE000_0031, Efer::empty());
        assert_eq!(plan.cr0, 0xE000_0031);
        vmcs.set(Field::GuestCr0, 0x6000_0030);
        assert_eq!(EntryPlan::new(&vmcs, 0x8000_0031, Efer::empty()).cr0, 0x0000_0030);
    }

    #[test]
    fn entry_plan_without_load_efer_sets_lma_and_lme_from_the_control() {
        let mut vmcs = Vmcs::new(1);
        vmcs.set(Field::GuestCr0, 0x8000_0021);
        let host = Efer::LMA | Efer::LME | Efer::NXE;
        assert_eq!(EntryPlan::new(&vmcs, 0, host).msrs.efer, Efer::NXE);
        vmcs.set(Field::GuestCr0, 0x20);
        assert_eq!(EntryPlan::new(&vmcs, 0, host).msrs.efer, Efer::NXE | Efer::LME, "paging off: LME is kept");
    }

    #[test]
    fn entry_plan_injection_ends_blocking_and_wakes() {
        let mut vmcs = Vmcs::new(1);
        vmcs.set(Field::GuestActivityState, 1);
        vmcs.set(Field::GuestInterruptibilityState, 1);
        assert_eq!(EntryPlan::new(&vmcs, 0, Efer::empty()).activity, ActivityState::Hlt);
        vmcs.set(Field::VmEntryInterruptionInformation, 0x8000_0B0E);
        vmcs.set(Field::VmEntryExceptionErrorCode, 7);
        vmcs.set(Field::GuestPendingDebugExceptions, 0x4000);
        let plan = EntryPlan::new(&vmcs, 0, Efer::empty());
        assert_eq!((plan.activity, plan.interruptibility), (ActivityState::Active, Interruptibility::empty()));
        assert_eq!(plan.injection.and_then(|event| event.error_code), Some(7));
        assert_eq!(plan.pending_debug_outcome, PendingDebugOutcome::None, "a hardware exception discards them");
        vmcs.set(Field::VmEntryInterruptionInformation, 0x8000_0202);
        assert_eq!(EntryPlan::new(&vmcs, 0, Efer::empty()).interruptibility, Interruptibility::NMI);
    }

    #[test]
    fn pending_debug_follows_an_injected_int3_only_after_mov_ss() {
        let outcome = |event: u64, blocking: u64, activity: u64| {
            let mut vmcs = Vmcs::new(1);
            vmcs.set(Field::GuestPendingDebugExceptions, 0x1001);
            vmcs.set(Field::VmEntryInterruptionInformation, event);
            vmcs.set(Field::GuestInterruptibilityState, blocking);
            vmcs.set(Field::GuestActivityState, activity);
            EntryPlan::new(&vmcs, 0, Efer::empty()).pending_debug_outcome
        };
        assert_eq!(outcome(0x8000_0603, 2, 0), PendingDebugOutcome::Deliver);
        assert_eq!(outcome(0x8000_0603, 0, 0), PendingDebugOutcome::None);
        assert_eq!(outcome(0x8000_0480, 2, 0), PendingDebugOutcome::Deliver);
        assert_eq!(outcome(0x8000_0501, 2, 0), PendingDebugOutcome::None);
        assert_eq!(outcome(0, 0, 0), PendingDebugOutcome::Deliver);
        assert_eq!(outcome(0, 2, 0), PendingDebugOutcome::HeldByMovSs);
        assert_eq!(outcome(0, 0, 2), PendingDebugOutcome::None);
    }

    #[test]
    fn pending_single_step_of_mov_ss_is_lost() {
        for event in [0, 0x8000_0603] {
            let mut vmcs = Vmcs::new(1);
            vmcs.set(Field::GuestPendingDebugExceptions, 0x4000);
            vmcs.set(Field::GuestInterruptibilityState, 2);
            vmcs.set(Field::VmEntryInterruptionInformation, event);
            assert_eq!(EntryPlan::new(&vmcs, 0, Efer::empty()).pending_debug_outcome, PendingDebugOutcome::None);
            vmcs.set(Field::GuestPendingDebugExceptions, 0x5001);
            let plan = EntryPlan::new(&vmcs, 0, Efer::empty());
            assert_ne!(plan.pending_debug_outcome, PendingDebugOutcome::None);
            assert_eq!(plan.pending_debug & PendingDebug::BS, PendingDebug::empty());
        }
    }

    #[test]
    fn host_plan_segments_are_flat_and_null_ones_unusable() {
        let mut vmcs = Vmcs::new(1);
        vmcs.set(Field::VmExitControls, 1 << 9);
        vmcs.set(Field::HostCsSelector, 8);
        vmcs.set(Field::HostTrSelector, 0x20);
        vmcs.set(Field::HostFsBase, 0xFFFF_8000_0000_0000);
        let plan = HostPlan::new(&vmcs, 0, Efer::empty());
        let [es, cs, _, _, fs, _, ldtr, tr] = plan.segments;
        assert_eq!((cs.access_rights.bits(), cs.limit), (0xA09B, u32::MAX));
        assert!(es.access_rights.unusable() && fs.access_rights.unusable() && ldtr.access_rights.unusable());
        assert_eq!(
            (fs.base, tr.limit, tr.access_rights),
            (0xFFFF_8000_0000_0000, 0x67, AccessRights::from_bits_retain(0x8B))
        );
        assert_eq!(plan.msrs.efer, Efer::LMA | Efer::LME);
        assert!(plan.cr4.contains(Cr4::PAE));
    }

    #[test]
    fn msr_list_forbidden_entries_are_refused() {
        assert_eq!(check_msr_load(0x10, false), Ok(0x10));
        assert_eq!(check_msr_load(1 << 32 | 0x10, false), Err(MsrListError::Reserved));
        for index in [0xC000_0100, 0xC000_0101, 0x808, 0x8FF, 0x9B, 0x79] {
            assert_eq!(check_msr_load(index, false), Err(MsrListError::Forbidden), "{index:x}");
        }
        assert_eq!(check_msr_store(0x808, false), Err(MsrListError::Forbidden));
        assert_eq!(check_msr_store(0xC000_0100, false), Ok(0xC000_0100));
    }
}
