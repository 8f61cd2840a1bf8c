//! VM entry and VM exit as lists of steps: what is checked and what is loaded, in the SDM's order, computed from a VMCS
//! without executing anything.

use super::fields::digits;
use super::scope::physical;
use emu_core::mem::ram::Ram;
use emu_core::state::cpu::Cpu;
use emu_vmx::arch::efer::Efer;
use emu_vmx::arch::segment::{Segment, SegmentRegister};
use emu_vmx::caps::{ProcessorFacts, VmxCapabilities};
use emu_vmx::checks::{CheckContext, EntryMoment, Rule, all_rules};
use emu_vmx::controls::VmExitControls;
use emu_vmx::entry::{EntryPlan, HostPlan, MsrList, PendingDebugOutcome, check_msr_load};
use emu_vmx::field::Field;
use emu_vmx::names;
use emu_vmx::vmcs::{ActivityState, Interruptibility, Vmcs};

/// One step.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Number and title of the SDM's section.
    pub section: String,
    /// What is checked or loaded.
    pub what: String,
    /// The value before; empty for a check.
    pub before: String,
    /// The value after; for a check, what was found.
    pub after: String,
    /// It goes well.
    pub ok: bool,
}

/// What the rules look at outside of the VMCS.
pub fn moment(
    vmcs: &Vmcs,
    address: u64,
    ia32e_mode: bool,
    (caps, facts): (&VmxCapabilities, &ProcessorFacts),
    ram: &Ram,
) -> EntryMoment {
    let mut moment = EntryMoment { ia32e_mode, current_vmcs: address, ..EntryMoment::default() };
    moment.read_memory(vmcs, caps, facts, |at| physical(ram, at & !7, 8).unwrap_or(u64::MAX));
    moment
}

/// A rule that was judged.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// The rule.
    pub rule: &'static Rule,
    /// Whether it holds.
    pub holds: bool,
    /// The fields that it reads, with their values.
    pub found: String,
    /// What is wrong about them, for instance which bits; empty if it holds.
    pub detail: String,
}

/// All rules, in the order in which the processor checks them.
pub fn judge(context: &CheckContext) -> Vec<Judged> {
    let judged = |rule: &'static Rule| {
        let holds = (rule.holds)(context);
        let detail = rule.detail.filter(|_| !holds).map_or(String::new(), |detail| detail(context));
        Judged { rule, holds, found: rule.found(context), detail }
    };
    all_rules().map(judged).collect()
}

/// What helps against a rule that fails.
pub fn remedy(judged: &Judged) -> String {
    if judged.rule.hint.is_empty() {
        format!("see to it that {}", judged.rule.required)
    } else {
        judged.rule.hint.to_owned()
    }
}

struct List(Vec<Step>);

impl List {
    fn load(&mut self, section: &str, what: &str, before: u64, after: u64) {
        self.words(section, what, &format!("{before:x}"), &format!("{after:x}"));
    }

    /// A register that is a set of bits.
    fn bits(&mut self, section: &str, what: &str, field: Field, before: u64, after: u64) {
        let words = |value: u64| names::set_bits(field, value).join(" ");
        let show = |value: u64| format!("{value:x} ({})", words(value));
        self.words(section, what, &show(before), &show(after));
    }

    fn words(&mut self, section: &str, what: &str, before: &str, after: &str) {
        let (before, after) = (before.to_owned(), after.to_owned());
        self.0.push(Step { section: section.to_owned(), what: what.to_owned(), before, after, ok: true });
    }

    fn optional(&mut self, section: &str, what: &str, before: u64, after: Option<u64>) {
        if let Some(after) = after {
            self.load(section, what, before, after);
        }
    }

    fn segments(&mut self, section: &str, cpu: &[Segment; 8], plan: &[Segment; 8]) {
        let show = |segment: &Segment| {
            format!(
                "{:04x} base {:x} limit {:x} ({})",
                segment.selector,
                segment.base,
                segment.limit,
                emu_vmx::words::segment(segment.access_rights)
            )
        };
        for register in SegmentRegister::ALL {
            let n = register as usize;
            self.words(section, register.name(), &show(&cpu[n]), &show(&plan[n]));
        }
    }
}

const CONTROL_REGISTERS: &str = "27.3.2.1 Loading Guest Control Registers, Debug Registers, and MSRs";
const SEGMENTS: &str = "27.3.2.2 Loading Guest Segment Registers and Descriptor-Table Registers";
const RIP: &str = "27.3.2.3 Loading Guest RIP, RSP, SSP, and RFLAGS";
const PDPTES: &str = "27.3.2.4 Loading Page-Directory-Pointer-Table Entries";
const NON_REGISTER: &str = "27.3.2 Loading Guest State";
const MSRS: &str = "27.4 Loading MSRs";
const INJECTION: &str = "27.6 Event Injection";
const FEATURES: &str = "27.7 Special Features of VM Entry";

/// What a VM entry that passes all checks does, in its order.
pub fn loads(cpu: &Cpu, ram: &Ram, vmcs: &Vmcs, now: &EntryMoment) -> Vec<Step> {
    let sys = &cpu.sys;
    let plan = EntryPlan::new(vmcs, sys.cr0.bits(), sys.efer);
    let mut list = List(Vec::new());
    list.bits(CONTROL_REGISTERS, "CR0", Field::GuestCr0, sys.cr0.bits(), plan.cr0);
    list.load(CONTROL_REGISTERS, "CR3", sys.cr3, plan.cr3);
    list.bits(CONTROL_REGISTERS, "CR4", Field::GuestCr4, sys.cr4.bits(), plan.cr4.bits());
    list.optional(CONTROL_REGISTERS, "DR7", sys.dr7.bits(), plan.dr7);
    let msrs = &plan.msrs;
    list.optional(CONTROL_REGISTERS, "IA32_DEBUGCTL", sys.debugctl, msrs.debugctl);
    list.load(CONTROL_REGISTERS, "IA32_SYSENTER_CS", sys.sysenter[0], msrs.sysenter_cs.into());
    list.load(CONTROL_REGISTERS, "IA32_SYSENTER_ESP", sys.sysenter[1], msrs.sysenter_esp);
    list.load(CONTROL_REGISTERS, "IA32_SYSENTER_EIP", sys.sysenter[2], msrs.sysenter_eip);
    list.bits(CONTROL_REGISTERS, "IA32_EFER", Field::GuestIa32Efer, sys.efer.bits(), msrs.efer.bits());
    let read = |name: &str| emu_devices::pc::register_of(cpu, name).unwrap_or(0);
    list.optional(CONTROL_REGISTERS, "IA32_PAT", sys.pat, msrs.pat);
    list.optional(CONTROL_REGISTERS, "IA32_PERF_GLOBAL_CTRL", read("IA32_PERF_GLOBAL_CTRL"), msrs.perf_global_ctrl);
    list.optional(CONTROL_REGISTERS, "IA32_BNDCFGS", read("IA32_BNDCFGS"), msrs.bndcfgs);
    list.optional(CONTROL_REGISTERS, "IA32_RTIT_CTL", read("IA32_RTIT_CTL"), msrs.rtit_ctl);
    list.optional(CONTROL_REGISTERS, "IA32_LBR_CTL", read("IA32_LBR_CTL"), msrs.lbr_ctl);
    list.optional(CONTROL_REGISTERS, "IA32_PKRS", sys.pkrs.into(), msrs.pkrs.map(u64::from));
    list.segments(SEGMENTS, &sys.segments, &plan.segments);
    for (name, old, new) in [("GDTR", sys.gdtr, plan.gdtr), ("IDTR", sys.idtr, plan.idtr)] {
        let show = |base: u64, limit: u16| format!("base {base:x} limit {limit:x}");
        list.words(SEGMENTS, name, &show(old.base, old.limit), &show(new.base, new.limit));
    }
    list.load(RIP, "RIP", cpu.rip(), plan.rip);
    list.load(RIP, "RSP", cpu.gpr[4], plan.rsp);
    let flags = |value: u64| format!("{value:x} ({})", names::set_bits(Field::GuestRflags, value & !0x3002).join(" "));
    list.words(RIP, "RFLAGS", &flags(cpu.flags.get()), &flags(plan.rflags.bits()));
    if let Some(pdptes) = plan.pdptes.or(now.pdptes).filter(|_| plan.pae) {
        for (n, (old, new)) in sys.pdptes.into_iter().zip(pdptes).enumerate() {
            list.load(PDPTES, &format!("PDPTE{n}"), old, new);
        }
    }
    let activity = match plan.activity {
        ActivityState::Active => "active",
        ActivityState::Hlt => "HLT",
        ActivityState::Shutdown => "shutdown",
        ActivityState::WaitForSipi => "wait-for-SIPI",
    };
    list.words(NON_REGISTER, "activity state", "active", activity);
    let blocking =
        |state: Interruptibility| match names::set_bits(Field::GuestInterruptibilityState, state.bits().into()) {
            set if set.is_empty() => "no blocking".to_owned(),
            set => set.join(", "),
        };
    list.words(NON_REGISTER, "interruptibility", "", &blocking(plan.interruptibility));
    msr_list(&mut list, plan.msr_load, ram, cpu);
    if let Some(injection) = &plan.injection {
        let code = injection.error_code.map_or(String::new(), |code| format!(", error code {code:#x}"));
        let event = emu_vmx::words::interruption(injection.information.0);
        list.words(INJECTION, "injected event", "", &format!("{event}{code}, through the guest's IDT"));
    }
    if plan.pending_mtf {
        list.words(INJECTION, "injected event", "", "a pending MTF VM exit, before the first instruction");
    }
    let pending = names::set_bits(Field::GuestPendingDebugExceptions, plan.pending_debug.bits()).join(" ");
    match plan.pending_debug_outcome {
        PendingDebugOutcome::None => {}
        PendingDebugOutcome::Deliver => {
            list.words(FEATURES, "pending debug exceptions", "", &format!("{pending}: #DB follows"))
        }
        PendingDebugOutcome::HeldByMovSs => {
            list.words(FEATURES, "pending debug exceptions", "", &format!("{pending}: held by MOV SS"))
        }
    }
    if let Some(count) = plan.preemption_timer {
        list.words(FEATURES, "VMX-preemption timer", "", &format!("{count} left"));
    }
    list.0
}

fn msr_list(list: &mut List, area: MsrList, ram: &Ram, cpu: &Cpu) {
    for n in 0..area.count.min(512) {
        let at = area.entry(n);
        let (Some(first), Some(value)) = (physical(ram, at, 8), physical(ram, at + 8, 8)) else {
            list.words(MSRS, &format!("entry {}", n + 1), "", &format!("no memory at {at:#x}"));
            continue;
        };
        let index = first as u32;
        let name = super::breakpoints::msr_words(index);
        let before = cpu.read_msr_quiet(index).map_or_else(|| "not readable".to_owned(), |old| format!("{old:x}"));
        let refused = check_msr_load(first, false).is_err();
        list.words(MSRS, &format!("entry {}: {name}", n + 1), &before, &format!("{value:x}"));
        if let Some(step) = list.0.last_mut().filter(|_| refused) {
            step.ok = false;
            step.after = "this MSR may not be in the list: VM exit 34".to_owned();
        }
    }
}

const RECORDING: &str = "28.2 Recording VM-Exit Information and Updating VM-Entry Control Fields";
const SAVING: &str = "28.3 Saving Guest State";
const HOST: &str = "28.5 Loading Host State";

/// What a VM exit did: what it recorded and saved, against the VMCS at the VM entry before, and what it loaded.
pub fn exit_steps(entered: &Vmcs, exited: &Vmcs, host_cr0: u64) -> Vec<Step> {
    use emu_vmx::field::Area;
    let mut list = List(Vec::new());
    for (section, areas) in [(RECORDING, [Area::ReadOnly, Area::Control]), (SAVING, [Area::Guest, Area::Guest])] {
        for &field in Field::ALL.iter().filter(|field| areas.contains(&field.area())) {
            let (old, new) = (entered.get(field), exited.get(field));
            let recorded = matches!(field, Field::ExitReason | Field::ExitQualification);
            if old == new && !recorded {
                continue;
            }
            let words = super::fields::words(field, new, exited);
            let words = if words.is_empty() { words } else { format!(" ({words})") };
            list.words(section, field.name(), &digits(field, old), &format!("{}{words}", digits(field, new)));
        }
    }
    let guest = |field| exited.get(field);
    let efer = if exited.exit().contains(VmExitControls::SAVE_IA32_EFER) { guest(Field::GuestIa32Efer) } else { 0 };
    let plan = HostPlan::new(exited, host_cr0, Efer::from_bits_retain(efer));
    list.bits(HOST, "CR0", Field::HostCr0, guest(Field::GuestCr0), plan.cr0);
    list.load(HOST, "CR3", guest(Field::GuestCr3), plan.cr3);
    list.bits(HOST, "CR4", Field::HostCr4, guest(Field::GuestCr4), plan.cr4.bits());
    list.load(HOST, "IA32_SYSENTER_CS", guest(Field::GuestIa32SysenterCs), plan.msrs.sysenter_cs.into());
    list.load(HOST, "IA32_SYSENTER_ESP", guest(Field::GuestIa32SysenterEsp), plan.msrs.sysenter_esp);
    list.load(HOST, "IA32_SYSENTER_EIP", guest(Field::GuestIa32SysenterEip), plan.msrs.sysenter_eip);
    if exited.exit().contains(VmExitControls::LOAD_IA32_EFER) {
        list.bits(HOST, "IA32_EFER", Field::HostIa32Efer, efer, plan.msrs.efer.bits());
    }
    list.optional(HOST, "IA32_PAT", guest(Field::GuestIa32Pat), plan.msrs.pat);
    let segments = SegmentRegister::ALL.map(|register| exited.guest_segment(register));
    list.segments(HOST, &segments, &plan.segments);
    list.load(HOST, "RIP", guest(Field::GuestRip), plan.rip);
    list.load(HOST, "RSP", guest(Field::GuestRsp), plan.rsp);
    list.load(HOST, "RFLAGS", guest(Field::GuestRflags), plan.rflags.bits());
    list.0
}
