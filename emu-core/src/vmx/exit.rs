//! VM exits: what is recorded and saved, and the host's state (SDM Vol. 3C chapter 28).

use super::enter::PENDING_DEBUG;
use crate::event::boundary::Boundary;
use crate::event::debug::DEBUGCTL_BTF;
use crate::fault::{EventKind, Fault};
use crate::flags::{RF, TF, bit};
use crate::state::cpu::{Cpu, Env};
use crate::state::derived::Attention;
use crate::state::observed::{Observed, VmExit, Watch};
use crate::state::system::{Activity, DescriptorTable, Monitor, Shadow};
use crate::state::vmx::{Delivering, ExitDetails, Length};
use emu_vmx::arch::cr::{Cr0, Dr7};
use emu_vmx::arch::efer::Efer;
use emu_vmx::arch::msr::{IA32_SPEC_CTRL, IA32_TSC};
use emu_vmx::arch::segment::SegmentRegister;
use emu_vmx::arch::vector;
use emu_vmx::controls::*;
use emu_vmx::entry::{HostPlan, LoadedMsrs, MsrList, VmxAbort, check_msr_load, check_msr_store};
use emu_vmx::exit::{
    ExitReason, InterruptionInformation, InterruptionType, SavedRf, saved_pending_debug, saved_preemption_timer,
};
use emu_vmx::field::Field;
use emu_vmx::region::ABORT_OFFSET;
use emu_vmx::tags::Invalidation;
use emu_vmx::vmcs::{Interruptibility, PendingDebug, Vmcs};

/// The interruption information of an event.
pub(crate) fn interruption(event: &Fault) -> InterruptionInformation {
    let kind = InterruptionType::from_bits(event.kind as u32);
    InterruptionInformation::new(event.vector, kind, event.error_code.is_some())
}

impl Cpu {
    /// Takes the VM exit that a handler has parked.
    pub(crate) fn take_parked_exit(&mut self, env: &mut Env) {
        if self.vmx.delivering.is_none() {
            self.forget_debug_hits();
        }
        match self.vmx.exit.take() {
            Some(details) => self.vm_exit(env, details),
            None => log::error!(target: "vmx", "a VM exit without details"),
        }
    }

    /// Whether the exception bitmap asks for a VM exit.
    pub(crate) fn exits_on(&self, event: &Fault) -> bool {
        let Some(controls) = self.vm_controls() else { return false };
        let exception =
            !matches!(event.kind, EventKind::ExternalInterrupt | EventKind::Nmi | EventKind::SoftwareInterrupt);
        exception && controls.exception(event.vector, event.error_code.unwrap_or(0))
    }

    /// VM exit because of an exception, which `original` met on its way through the IDT.
    pub(crate) fn exit_for_exception(
        &mut self,
        env: &mut Env,
        event: Fault,
        original: Option<Delivering>,
        resume: bool,
    ) {
        self.note_exit_for(event, self.rip());
        let mut details = ExitDetails::new(ExitReason::ExceptionOrNmi);
        // Real-address mode has no error codes.
        let code = event.error_code.filter(|_| self.sys.cr0.contains(Cr0::PE));
        let unblocked = self.vmx.iret_unblocked && original.is_none() && event.vector != vector::DF;
        let information = interruption(&Fault { error_code: code, ..event }).with_nmi_unblocking(unblocked);
        details.event = Some((information, code));
        details.resume = resume;
        if event.vector == vector::PF {
            // CR2 is not loaded.
            details.qualification = self.sys.cr2;
            self.sys.cr2 = self.vmx.saved_cr2;
        }
        self.vmx.delivering = original;
        self.vm_exit(env, details);
    }

    /// VM exit because of #DB with these conditions (bits of DR6, which is not changed).
    pub(crate) fn exit_for_debug(&mut self, env: &mut Env, conditions: u64, resume: bool) {
        self.note_exit_for(Fault::exception(vector::DB), self.rip());
        let qualification = conditions & !PendingDebug::ENABLED_BREAKPOINT.bits();
        let mut details = ExitDetails::new(ExitReason::ExceptionOrNmi).qualified(qualification);
        details.event = Some((interruption(&Fault::exception(vector::DB)), None));
        details.resume = resume;
        self.vm_exit(env, details);
    }

    /// A VM exit: records it, saves the guest, loads the host.
    pub(crate) fn vm_exit(&mut self, env: &mut Env, details: ExitDetails) {
        // The guest's controls judge what the guest has counted.
        self.sync_pmu();
        let current = self.vmx.current;
        // Out of the processor as a whole: VMCSs come and go too often for the map to lose one and get it back.
        let mut active = std::mem::take(&mut self.vmx.active);
        let (Some(non_root), Some(vmcs)) = (&self.vmx.non_root, active.get_mut(&current)) else {
            self.vmx.active = active;
            log::error!(target: "vmx", "VM exit \"{}\" outside VMX non-root operation", details.reason.text());
            return;
        };
        let virtual_nmi = non_root.virtual_nmis().then_some(non_root.virtual_nmi_blocked);
        let timer_deadline = non_root.timer_deadline;
        self.vmx.non_root = None;
        log::trace!(
            target: "vmx",
            "cpu{} exit {} ({}), qualification {:#x}, RIP {:#x}",
            self.sys.index, details.reason as u16, details.reason.text(), details.qualification, self.rip()
        );
        self.vmx.counts.count_exit(details.reason);
        if self.notes.watch.contains(Watch::VM_EXITS) {
            let (reason, qualification, guest_rip) = (details.reason, details.qualification, self.rip());
            self.note(Observed::VmExit(VmExit { vmcs: current, reason, qualification, guest_rip }));
        }
        let delivering = self.vmx.delivering.take();
        self.record_exit(vmcs, &details, delivering);
        let stores_lma = self.config.model.vmx().is_some_and(|model| model.caps.misc.stores_lma());
        let mut entry = vmcs.get32(Field::VmEntryInterruptionInformation);
        entry &= !InterruptionInformation::VALID;
        vmcs.set(Field::VmEntryInterruptionInformation, entry.into());
        if stores_lma {
            let mut controls = vmcs.entry();
            controls.set(VmEntryControls::IA32E_MODE_GUEST, self.sys.efer.contains(Efer::LMA));
            vmcs.set(Field::VmEntryControls, controls.bits().into());
        }
        let resume = self.saved_rf(&details, delivering);
        self.save_guest(vmcs, &details, resume, virtual_nmi);
        if timer_deadline != u64::MAX && vmcs.exit().contains(VmExitControls::SAVE_VMX_PREEMPTION_TIMER_VALUE) {
            let shift = self.config.model.vmx().map_or(0, |model| model.caps.misc.preemption_timer_shift());
            let left = saved_preemption_timer(timer_deadline, self.cycles, shift);
            vmcs.set(Field::VmxPreemptionTimerValue, left);
        }
        let list =
            MsrList { address: vmcs.get(Field::VmExitMsrStoreAddress), count: vmcs.get32(Field::VmExitMsrStoreCount) };
        self.vmx.active = active;
        let stored = self.store_msrs(env, list);
        if stored.is_err() {
            return self.vmx_abort(env, VmxAbort::SavingMsrs);
        }
        self.load_host(env);
        self.spend(|events| events.vm_exit.into());
    }

    /// RFLAGS.RF as it is saved (SDM Vol. 3C 28.3.3, "Saving RIP, RSP, RFLAGS, and SSP").
    fn saved_rf(&self, details: &ExitDetails, delivering: Option<Delivering>) -> bool {
        let image = delivering.map(|delivering| delivering.resume);
        match details.reason.saved_rf() {
            SavedRf::Clear => false,
            SavedRf::Image => details.resume,
            SavedRf::TaskImage => image.unwrap_or(false),
            SavedRf::Access => image.unwrap_or(true),
            // RF is cleared as an instruction begins here, and as it completes on a processor.
            SavedRf::Register => {
                let begun = self.carried.single_step && self.scratch.began_with_rf;
                self.flags.has(RF) || self.carried.repeating || begun
            }
        }
    }

    fn record_exit(&mut self, vmcs: &mut Vmcs, details: &ExitDetails, delivering: Option<Delivering>) {
        let busy = std::mem::take(&mut self.vmx.shadow_stack_busy)
            && vmcs.secondary_exit().contains(SecondaryVmExitControls::PREMATURELY_BUSY_SHADOW_STACK);
        let busy = if busy { ExitReason::SHADOW_STACK_BUSY } else { 0 };
        vmcs.set(Field::ExitReason, (details.reason.field() | busy).into());
        vmcs.set(Field::ExitQualification, details.qualification);
        let (information, code) = match details.event {
            Some((information, code)) => (information.0, code),
            None => (0, None),
        };
        vmcs.set(Field::VmExitInterruptionInformation, information.into());
        if let Some(code) = code {
            vmcs.set(Field::VmExitInterruptionErrorCode, code.into());
        }
        // Real-address mode has no error codes.
        let protected = self.sys.cr0.contains(Cr0::PE);
        let original = delivering.map(|d| Fault { error_code: d.event.error_code.filter(|_| protected), ..d.event });
        vmcs.set(Field::IdtVectoringInformation, original.map_or(0, |event| interruption(&event).0.into()));
        if let Some(code) = original.and_then(|event| event.error_code) {
            vmcs.set(Field::IdtVectoringErrorCode, code.into());
        }
        let mut length = match details.length {
            Length::None => None,
            Length::Bytes(bytes) => Some(bytes),
            Length::Until(next) => Some(next.wrapping_sub(self.rip()) as u8 & 0xF),
        };
        // Accesses to memory report the length of the instruction that made them.
        let stopped_len = std::mem::take(&mut self.vmx.stopped_len);
        if length.is_none() && details.by_access() && stopped_len != 0 {
            length = Some(stopped_len);
        }
        if let Some(delivering) = delivering {
            let bytes = delivering.return_rip.wrapping_sub(self.rip()) as u8 & 0xF;
            length = delivering.event.kind.is_software().then_some(bytes);
        }
        if let Some(length) = length {
            vmcs.set(Field::VmExitInstructionLength, length.into());
        }
        if let Some(information) = details.information {
            vmcs.set(Field::VmExitInstructionInformation, information.into());
        }
        if let Some(linear) = details.linear {
            vmcs.set(Field::GuestLinearAddress, linear);
        }
        if let Some(physical) = details.physical {
            vmcs.set(Field::GuestPhysicalAddress, physical);
        }
        self.vmx.iret_unblocked = false;
    }

    /// SDM Vol. 3C 28.3 "Saving Guest State".
    fn save_guest(&mut self, vmcs: &mut Vmcs, details: &ExitDetails, resume: bool, virtual_nmi: Option<bool>) {
        let exit = vmcs.exit();
        let secondary = vmcs.secondary();
        let sys = &self.sys;
        vmcs.set(Field::GuestCr0, sys.cr0.bits());
        vmcs.set(Field::GuestCr3, sys.cr3);
        vmcs.set(Field::GuestCr4, sys.cr4.bits());
        vmcs.set(Field::GuestIa32SysenterCs, sys.sysenter[0]);
        vmcs.set(Field::GuestIa32SysenterEsp, sys.sysenter[1]);
        vmcs.set(Field::GuestIa32SysenterEip, sys.sysenter[2]);
        if exit.contains(VmExitControls::SAVE_DEBUG_CONTROLS) {
            vmcs.set(Field::GuestDr7, sys.dr7.bits());
            vmcs.set(Field::GuestIa32Debugctl, sys.debugctl);
        }
        if exit.contains(VmExitControls::SAVE_IA32_PAT) {
            vmcs.set(Field::GuestIa32Pat, sys.pat);
        }
        if exit.contains(VmExitControls::SAVE_IA32_EFER) {
            vmcs.set(Field::GuestIa32Efer, sys.efer.bits());
        }
        if exit.contains(VmExitControls::SAVE_IA32_PERF_GLOBAL_CTRL) {
            vmcs.set(Field::GuestIa32PerfGlobalCtrl, self.counted_pmu().global_control);
        }
        vmcs.set(Field::GuestIa32Pkrs, sys.pkrs.into());
        // On every processor that supports the 1-setting of "load CET state" of VM entry.
        let model = self.config.model.vmx();
        if model.is_some_and(|model| model.fields.contains(Field::GuestSsp)) {
            vmcs.set(Field::GuestIa32SCet, sys.cet.supervisor);
            vmcs.set(Field::GuestSsp, sys.cet.ssp);
            vmcs.set(Field::GuestIa32InterruptSspTableAddr, sys.cet.interrupt_table);
        }
        // Likewise (SDM Vol. 3C 30.3.1).
        if model.is_some_and(|model| model.fields.contains(Field::GuestIa32SpecCtrl)) {
            vmcs.set(Field::GuestIa32SpecCtrl, self.stored_msr(IA32_SPEC_CTRL));
        }
        if model.is_some_and(|model| model.fields.contains(Field::GuestIa32LbrCtl)) {
            vmcs.set(Field::GuestIa32LbrCtl, sys.lbr_ctl);
        }
        for register in SegmentRegister::ALL {
            vmcs.set_guest_segment(register, sys.seg(register));
        }
        vmcs.set(Field::GuestGdtrBase, sys.gdtr.base);
        vmcs.set(Field::GuestGdtrLimit, sys.gdtr.limit.into());
        vmcs.set(Field::GuestIdtrBase, sys.idtr.base);
        vmcs.set(Field::GuestIdtrLimit, sys.idtr.limit.into());
        vmcs.set(Field::GuestRip, self.gpr[crate::ir::uop::REG_RIP as usize]);
        vmcs.set(Field::GuestRsp, self.gpr[4]);
        vmcs.set(Field::GuestRflags, self.flags.get() & !RF | bit(resume, RF));
        // The field never tells of MWAIT.
        let activity = if sys.activity == Activity::Mwait { Activity::Active } else { sys.activity };
        vmcs.set(Field::GuestActivityState, activity as u64);
        let mut blocking = Interruptibility::empty();
        blocking.set(Interruptibility::STI, sys.shadow == Shadow::Sti);
        blocking.set(Interruptibility::MOV_SS, sys.shadow == Shadow::MovSs);
        blocking.set(Interruptibility::NMI, virtual_nmi.unwrap_or(sys.nmi_blocked));
        vmcs.set(Field::GuestInterruptibilityState, blocking.bits().into());
        let pending = PendingDebug::from_bits_retain(sys.pending_debug & PENDING_DEBUG);
        let debug_exception = details.event.is_some_and(|(event, _)| {
            event.vector() == vector::DB && event.kind() == InterruptionType::HardwareException
        });
        let mov_ss = sys.shadow == Shadow::MovSs;
        let single_step = self.flags.has(TF) && sys.debugctl & DEBUGCTL_BTF == 0;
        let pending = saved_pending_debug(details.reason, pending, debug_exception, false, mov_ss, single_step);
        vmcs.set(Field::GuestPendingDebugExceptions, pending.bits());
        let pae = Cpu::is_pae_paging(sys.cr0, sys.cr4, sys.efer);
        if pae && secondary.contains(SecondaryProcessorControls::ENABLE_EPT) {
            let fields = [Field::GuestPdpte0, Field::GuestPdpte1, Field::GuestPdpte2, Field::GuestPdpte3];
            for (field, pdpte) in fields.into_iter().zip(sys.pdptes) {
                vmcs.set(field, pdpte);
            }
        }
    }

    /// Behaviour beyond the recommended maximum is undefined (SDM Vol. 3D A.6): the next entry fails.
    fn msr_list_maximum(&self) -> u32 {
        self.config.model.vmx().map_or(0, |model| model.caps.misc.msr_list_maximum())
    }

    fn store_msrs(&mut self, env: &mut Env, list: MsrList) -> Result<(), ()> {
        let maximum = self.msr_list_maximum();
        for n in 0..list.count {
            if n >= maximum {
                return Err(());
            }
            let at = list.entry(n);
            let first = self.read_quad(env, at);
            let index = check_msr_store(first, false).map_err(|_| ())?;
            let value = self.read_msr(index).map_err(|_| ())?;
            if index == IA32_TSC {
                self.show_tsc();
            }
            let place = env.ram.gate_a20(at.wrapping_add(8));
            self.write_physical(env, place, 8, value);
        }
        if list.count != 0 {
            self.spend(|events| u64::from(events.vm_msr) * u64::from(list.count));
        }
        Ok(())
    }

    /// Loads an MSR list and derives what follows from it; the error is the number of the entry that failed, 1 for the first.
    pub(super) fn load_msrs(&mut self, env: &mut Env, list: MsrList) -> Result<(), u32> {
        let maximum = self.msr_list_maximum();
        for n in 0..list.count {
            if n >= maximum {
                return Err(n.wrapping_add(1));
            }
            let at = list.entry(n);
            let first = self.read_quad(env, at);
            let value = self.read_quad(env, at.wrapping_add(8));
            let failed = |_| n.wrapping_add(1);
            let index = check_msr_load(first, false).map_err(|_| n.wrapping_add(1))?;
            self.write_msr(env, index, value).map_err(failed)?;
        }
        if list.count != 0 {
            self.refresh();
            self.spend(|events| u64::from(events.vm_msr) * u64::from(list.count));
        }
        Ok(())
    }

    /// Reads an aligned quadword of a VMX structure.
    pub(super) fn read_quad(&mut self, env: &mut Env, address: u64) -> u64 {
        let address = env.ram.gate_a20(address);
        self.read_physical(env, address, 8)
    }

    /// The MSRs that controls load, but for IA32_EFER.
    pub(super) fn load_control_msrs(&mut self, msrs: &LoadedMsrs) {
        if let Some(debugctl) = msrs.debugctl {
            self.load_debugctl(debugctl);
        }
        if let Some(value) = msrs.lbr_ctl {
            self.load_lbr_ctl(value);
        }
        self.sys.sysenter = [msrs.sysenter_cs.into(), msrs.sysenter_esp, msrs.sysenter_eip];
        if let Some(pat) = msrs.pat {
            self.sys.pat = pat;
        }
        if let Some(value) = msrs.perf_global_ctrl {
            self.load_perf_global_ctrl(value);
        }
        if let Some(pkrs) = msrs.pkrs {
            self.sys.pkrs = pkrs;
        }
        if let Some(value) = msrs.spec_ctrl {
            self.sys.plain_msrs.insert(IA32_SPEC_CTRL, value);
        }
        if let Some(loaded) = &msrs.cet {
            let cet = &mut self.sys.cet;
            (cet.supervisor, cet.ssp, cet.interrupt_table) = (loaded.s_cet, loaded.ssp, loaded.interrupt_ssp_table);
        }
    }

    /// SDM Vol. 3C 28.5 "Loading Host State" and 28.6 "Loading MSRs".
    pub(super) fn load_host(&mut self, env: &mut Env) {
        self.sync_pmu();
        let (cr0, efer) = (self.sys.cr0.bits(), self.sys.efer);
        let Some(vmcs) = self.vmx.current() else { return };
        let plan = HostPlan::new(vmcs, cr0, efer);
        self.vmx.non_root = None;
        self.vmx.delivering = None;
        let old_long = efer.contains(Efer::LMA);
        let sys = &mut self.sys;
        sys.cr0 = Cr0::from_bits_retain(plan.cr0);
        sys.cr3 = plan.cr3;
        sys.cr4 = plan.cr4;
        sys.efer = plan.msrs.efer;
        sys.dr7 = Dr7::RESET;
        sys.segments = plan.segments;
        sys.gdtr = DescriptorTable { base: plan.gdtr.base, limit: plan.gdtr.limit };
        sys.idtr = DescriptorTable { base: plan.idtr.base, limit: plan.idtr.limit };
        sys.cpl = 0;
        sys.activity = Activity::Active;
        // 28.5.6 "Clearing Address-Range Monitoring".
        sys.monitor = Monitor::Idle;
        sys.shadow = Shadow::None;
        sys.pending_debug = 0;
        self.load_control_msrs(&plan.msrs);
        self.gpr[4] = plan.rsp;
        self.set_flags(plan.rflags.bits());
        self.branch_to(plan.rip);
        self.end_step();
        if plan.flush_vpid_0 {
            self.tlb.invalidate(&Invalidation::Vpid { vpid: 0 });
        }
        self.refresh();
        if old_long && !plan.msrs.efer.contains(Efer::LMA) {
            return self.vmx_abort(env, VmxAbort::LongModeTo32BitHost);
        }
        if plan.pae && !matches!(self.load_pdptes(env, plan.cr3), Ok(true)) {
            return self.vmx_abort(env, VmxAbort::HostPdptes);
        }
        if self.load_msrs(env, plan.msr_load).is_err() {
            self.vmx_abort(env, VmxAbort::LoadingMsrs);
        }
    }

    /// SDM Vol. 3C 28.7 "VMX Aborts": the indicator goes into the region, and the processor shuts down until it is reset.
    fn vmx_abort(&mut self, env: &mut Env, abort: VmxAbort) {
        log::error!(target: "vmx", "processor {}: {abort}: shutdown (SDM Vol. 3C 28.7)", self.sys.index);
        let at = self.vmx.current.wrapping_add(ABORT_OFFSET as u64);
        env.ram.dma_write(at, &(abort as u32).to_le_bytes());
        self.vmx.non_root = None;
        self.notes.history.set_vmx_abort(Some(abort));
        self.vmx.aborted = true;
        self.set_activity(Activity::Shutdown);
        self.raise(Attention::STOPPED);
    }

    /// VM exit for an event at an instruction boundary.
    pub(crate) fn exit_for_event(&mut self, env: &mut Env, reason: ExitReason) -> Boundary {
        let mut details = ExitDetails::new(reason);
        details.resume = self.flags.has(RF) || self.carried.repeating;
        self.cycles += 1;
        match reason {
            ExitReason::ExternalInterrupt => {
                let acknowledge = self
                    .vmx
                    .current()
                    .is_some_and(|vmcs| vmcs.exit().contains(VmExitControls::ACKNOWLEDGE_INTERRUPT_ON_EXIT));
                if acknowledge {
                    let Some(vector) = self.take_interrupt(env) else { return Boundary::Run };
                    if self.is_posted_interrupt(vector) {
                        self.process_posted_interrupts(env);
                        return Boundary::Again;
                    }
                    let event = Fault { vector, kind: EventKind::ExternalInterrupt, error_code: None };
                    details.event = Some((interruption(&event), None));
                }
            }
            ExitReason::ExceptionOrNmi => {
                self.sys.nmi_pending = false;
                let event = Fault { vector: vector::NMI, kind: EventKind::Nmi, error_code: None };
                details.event = Some((interruption(&event), None));
            }
            ExitReason::Init => {
                self.sys.init_pending = false;
                self.attention.remove(Attention::INIT);
            }
            ExitReason::Sipi => {
                self.sys.sipi_pending = false;
                self.attention.remove(Attention::SIPI);
                details.qualification = self.lapic.sipi_vector.into();
            }
            ExitReason::ApicWrite | ExitReason::VirtualizedEoi => {
                details.qualification = self.vmx.non_root.as_ref().map_or(0, |n| n.pending_qualification);
            }
            _ => {}
        }
        self.vm_exit(env, details);
        if reason == ExitReason::ExceptionOrNmi {
            // 28.5.5: the exit itself blocks further NMIs.
            self.sys.nmi_blocked = true;
        }
        Boundary::Again
    }
}
