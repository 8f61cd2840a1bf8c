//! VMLAUNCH and VMRESUME: checks, the guest's state, injection (SDM Vol. 3C chapter 27).

use super::diagnose::{self, FailedEntry};
use crate::fault::{EventKind, Exec, Fault};
use crate::ir::uop::Uop;
use crate::state::cpu::{Cpu, Env};
use crate::state::observed::{EntryOutcome, Observed, VmEntry, Watch};
use crate::state::system::{Activity, DescriptorTable, Monitor, Shadow};
use crate::state::vmx::NonRoot;
use emu_vmx::arch::cr::{Cr0, Dr7};
use emu_vmx::arch::efer::Efer;
use emu_vmx::arch::segment::SegmentRegister;
use emu_vmx::boundary::Pending;
use emu_vmx::checks::{self, BasicFailure, CheckContext, EntryMoment, Failure};
use emu_vmx::controls::{PinBasedControls, PrimaryProcessorControls, SecondaryProcessorControls};
use emu_vmx::entry::{EntryPlan, Injection, PendingDebugOutcome};
use emu_vmx::exit::{ExitReason, InterruptionType};
use emu_vmx::field::Field;
use emu_vmx::intercept::ExecutionControls;
use emu_vmx::operation::VmFail;
use emu_vmx::tags::Invalidation;
use emu_vmx::vmcs::{ActivityState, Interruptibility, LaunchState};

/// B0 to B3, enabled breakpoint, BS: the pending debug exceptions that a processor without RTM and bus-lock detection has.
pub(super) const PENDING_DEBUG: u64 = 0x500F;

impl Cpu {
    /// VMLAUNCH, or with `resume` VMRESUME, in VMX root operation.
    pub(crate) fn vm_entry(&mut self, env: &mut Env, u: &Uop, resume: bool) -> Exec {
        self.require_vmx_root()?;
        let model = self.vmx_model()?;
        let mov_ss = self.sys.shadow == Shadow::MovSs;
        let rip = self.rip().wrapping_add(u.off.into());
        let current = self.vmx.current;
        let note = |cpu: &mut Self, outcome: &dyn Fn() -> EntryOutcome| {
            if cpu.notes.watch.contains(Watch::VM_ENTRIES) {
                cpu.note(Observed::VmEntry(Box::new(VmEntry { vmcs: current, resume, rip, outcome: outcome() })));
            }
        };
        if let Err(failure) = checks::basic_checks(self.vmx.current(), resume, mov_ss) {
            note(self, &|| EntryOutcome::Refused(failure));
            let fail = match failure {
                BasicFailure::VmFailInvalid => VmFail::Invalid,
                BasicFailure::VmFailValid(error) => VmFail::Error(error),
            };
            let what = diagnose::kind(&EntryOutcome::Refused(failure));
            self.tell_refused_entry(FailedEntry { resume, rip, vmcs: current, what }, fail);
            self.set_vmx_result(Err(fail));
            return Ok(());
        }
        // Out of the processor as a whole, as in a VM exit.
        let mut active = std::mem::take(&mut self.vmx.active);
        let Some(vmcs) = active.get_mut(&current) else {
            self.vmx.active = active;
            return Ok(());
        };
        let mut now = EntryMoment {
            ia32e_mode: self.sys.efer.contains(Efer::LMA),
            current_vmcs: current,
            ..EntryMoment::default()
        };
        now.read_memory(vmcs, &model.caps, &model.facts, |address| self.read_quad(env, address));
        let context = CheckContext::new(vmcs, &model.caps, &model.facts, &now);
        let failed = checks::check(&context).err();
        if let Some(rule) = failed {
            let entry = FailedEntry { resume, rip, vmcs: current, what: rule.id };
            self.tell_failed_entry(entry, |_| diagnose::rule_words(rule, &context));
            note(self, &|| EntryOutcome::Failed(rule.id));
        }
        match failed.map(|rule| rule.failure()) {
            None => {}
            Some(Failure::VmFailValid(error)) => {
                self.vmx.active = active;
                self.set_vmx_result(Err(VmFail::Error(error)));
                return Ok(());
            }
            Some(Failure::InvalidGuestState { qualification }) => {
                self.vmx.counts.count_exit(ExitReason::EntryFailureGuestState);
                vmcs.set(Field::ExitReason, ExitReason::EntryFailureGuestState.field().into());
                vmcs.set(Field::ExitQualification, qualification);
                self.vmx.active = active;
                self.load_host(env);
                return Ok(());
            }
        }
        let plan = EntryPlan::new(vmcs, self.sys.cr0.bits(), self.sys.efer);
        let controls = ExecutionControls::from_vmcs(vmcs);
        let nmi_blocked = self.sys.nmi_blocked;
        let virtual_nmi_blocked = self.load_guest(&plan, &now, controls.pin);
        self.vmx.non_root =
            Some(NonRoot { controls, virtual_nmi_blocked, timer_deadline: u64::MAX, ..NonRoot::default() });
        if plan.flush_vpid_0 {
            self.tlb.invalidate(&Invalidation::Vpid { vpid: 0 });
        }
        self.end_step();
        self.branch_to(plan.rip);
        self.refresh();
        if let Err(number) = self.load_msrs(env, plan.msr_load) {
            let what = diagnose::kind(&EntryOutcome::MsrLoading(number));
            self.tell_failed_msr(env, FailedEntry { resume, rip, vmcs: current, what }, plan.msr_load, number);
            note(self, &|| EntryOutcome::MsrLoading(number));
            self.vmx.non_root = None;
            self.vmx.counts.count_exit(ExitReason::EntryFailureMsrLoading);
            vmcs.set(Field::ExitReason, ExitReason::EntryFailureMsrLoading.field().into());
            vmcs.set(Field::ExitQualification, number.into());
            self.vmx.active = active;
            // 27.8 "VM-Entry Failures During or After Loading Guest State", step 3.
            self.sys.nmi_blocked = nmi_blocked;
            self.load_host(env);
            return Ok(());
        }
        vmcs.launch_state = LaunchState::Launched;
        self.vmx.counts.entries += 1;
        self.vmx.active = active;
        note(self, &|| EntryOutcome::Entered(Box::new(plan.clone())));
        log::trace!(target: "vmx", "cpu{} enters at {:#x}", self.sys.index, plan.rip);
        self.spend(|events| events.vm_entry.into());
        if let Some(count) = plan.preemption_timer {
            let shift = model.caps.misc.preemption_timer_shift();
            // It counts changes of one bit of the TSC.
            let into = self.own_tsc() & ((1u64 << shift) - 1);
            let cycles = (u64::from(count) << shift).saturating_sub(if count == 0 { 0 } else { into });
            if let Some(non_root) = &mut self.vmx.non_root {
                non_root.timer_deadline = self.cycles.saturating_add(cycles);
            }
        }
        self.virtual_apic_at_entry(env, &controls);
        if let Some(injection) = &plan.injection {
            self.inject(env, injection);
        }
        if self.in_non_root() {
            let conditions = plan.pending_debug.bits() & PENDING_DEBUG;
            if plan.pending_debug_outcome != PendingDebugOutcome::None {
                self.sys.pending_debug = conditions;
            }
            let below = controls.primary.contains(PrimaryProcessorControls::USE_TPR_SHADOW)
                && controls.secondary.contains(SecondaryProcessorControls::VIRTUALIZE_APIC_ACCESSES)
                && !controls.secondary.contains(SecondaryProcessorControls::VIRTUAL_INTERRUPT_DELIVERY)
                && now.vtpr.is_some_and(|vtpr| vtpr >> 4 < controls.tpr_threshold);
            if let Some(non_root) = &mut self.vmx.non_root {
                non_root.pending.set(Pending::MTF, non_root.pending.contains(Pending::MTF) || plan.pending_mtf);
                non_root.pending.set(Pending::TPR_BELOW_THRESHOLD, below);
            }
        }
        self.refresh_attention();
        self.scratch.flow.branched = true;
        Ok(())
    }

    /// SDM Vol. 3C 27.3.2 "Loading Guest State"; whether virtual NMIs are blocked.
    fn load_guest(&mut self, plan: &EntryPlan, now: &EntryMoment, pin: PinBasedControls) -> bool {
        self.sync_pmu();
        let sys = &mut self.sys;
        sys.cr0 = Cr0::from_bits_retain(plan.cr0);
        sys.cr3 = plan.cr3;
        sys.cr4 = plan.cr4;
        sys.efer = plan.msrs.efer;
        if let Some(dr7) = plan.dr7 {
            sys.dr7 = Dr7::from_bits_retain(dr7);
        }
        sys.segments = plan.segments;
        sys.gdtr = DescriptorTable { base: plan.gdtr.base, limit: plan.gdtr.limit };
        sys.idtr = DescriptorTable { base: plan.idtr.base, limit: plan.idtr.limit };
        sys.cpl = sys.seg(SegmentRegister::Ss).access_rights.dpl();
        if plan.pae
            && let Some(pdptes) = plan.pdptes.or(now.pdptes)
        {
            sys.pdptes = pdptes;
        }
        sys.activity = match plan.activity {
            ActivityState::Active => Activity::Active,
            ActivityState::Hlt => Activity::Hlt,
            ActivityState::Shutdown => Activity::Shutdown,
            ActivityState::WaitForSipi => Activity::WaitForSipi,
        };
        // 27.3.3 "Clearing Address-Range Monitoring".
        sys.monitor = Monitor::Idle;
        sys.shadow = if plan.interruptibility.contains(Interruptibility::MOV_SS) {
            Shadow::MovSs
        } else if plan.interruptibility.contains(Interruptibility::STI) {
            Shadow::Sti
        } else {
            Shadow::None
        };
        let nmi = plan.interruptibility.contains(Interruptibility::NMI);
        let virtual_nmis = pin.contains(PinBasedControls::VIRTUAL_NMIS);
        sys.nmi_blocked = nmi && !virtual_nmis;
        sys.pending_debug = 0;
        self.load_control_msrs(&plan.msrs);
        self.gpr[4] = plan.rsp;
        self.set_flags(plan.rflags.bits());
        if self.sys.dr7.bits() & Dr7::ENABLES != 0 {
            // Pages with data breakpoints have no fast entries.
            self.tlb.flush_all();
        }
        nmi && virtual_nmis
    }

    /// SDM Vol. 3C 27.6 "Event Injection".
    fn inject(&mut self, env: &mut Env, injection: &Injection) {
        let kind = match injection.information.kind() {
            InterruptionType::ExternalInterrupt | InterruptionType::Reserved | InterruptionType::Other => {
                EventKind::ExternalInterrupt
            }
            InterruptionType::Nmi => EventKind::Nmi,
            InterruptionType::HardwareException => EventKind::HardwareException,
            InterruptionType::SoftwareInterrupt => EventKind::SoftwareInterrupt,
            InterruptionType::PrivilegedSoftwareException => EventKind::PrivilegedSoftwareException,
            InterruptionType::SoftwareException => EventKind::SoftwareException,
        };
        let event = Fault { vector: injection.information.vector(), kind, error_code: injection.error_code };
        self.deliver_injected(env, event, injection.instruction_length);
    }
}
