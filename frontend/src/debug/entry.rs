//! VM entry and VM exit as lists of steps: what is checked and what is loaded, in the SDM's order, computed from a VMCS
//! without executing anything.

use super::msr_list::{self, Judge, Refused};
use super::scope::physical;
use emu_core::mem::ram::Ram;
use emu_core::state::cpu::Cpu;
use emu_vmx::arch::segment::{Segment, SegmentRegister};
use emu_vmx::caps::{ProcessorFacts, VmxCapabilities};
use emu_vmx::checks::{CheckContext, EntryMoment, Rule, all_rules};
use emu_vmx::entry::{EntryPlan, MsrList, PendingDebugOutcome};
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

impl Step {
    /// The value before and after, in words.
    pub fn change(&self) -> String {
        match self.before.as_str() {
            "" => self.after.clone(),
            before if before == self.after => format!("{before}, as before"),
            before => format!("{before} -> {}", self.after),
        }
    }
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

/// Steps that are put together.
pub struct List(pub Vec<Step>);

impl List {
    /// A register, in hexadecimal.
    pub fn load(&mut self, section: &str, what: &str, before: u64, after: u64) {
        self.words(section, what, &format!("{before:x}"), &format!("{after:x}"));
    }

    /// A register that is a set of bits.
    pub fn bits(&mut self, section: &str, what: &str, field: Field, before: u64, after: u64) {
        self.words(section, what, &set_bits(field, before), &set_bits(field, after));
    }

    /// Anything, in words.
    pub fn words(&mut self, section: &str, what: &str, before: &str, after: &str) {
        let (before, after) = (before.to_owned(), after.to_owned());
        self.0.push(Step { section: section.to_owned(), what: what.to_owned(), before, after, ok: true });
    }

    /// A register that a control may leave alone.
    pub fn optional(&mut self, section: &str, what: &str, before: u64, after: Option<u64>) {
        if let Some(after) = after {
            self.load(section, what, before, after);
        }
    }

    /// Segment registers, LDTR and TR.
    pub fn segments(&mut self, section: &str, cpu: &[Segment; 8], plan: &[Segment; 8]) {
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

/// A value with the names of the bits that are set.
pub fn set_bits(field: Field, value: u64) -> String {
    format!("{value:x} ({})", names::set_bits(field, value).join(" "))
}

/// A descriptor-table register.
pub fn table(base: u64, limit: u16) -> String {
    format!("base {base:x} limit {limit:x}")
}

const CONTROL_REGISTERS: &str = "27.3.2.1 Loading Guest Control Registers, Debug Registers, and MSRs";
const SEGMENTS: &str = "27.3.2.2 Loading Guest Segment Registers and Descriptor-Table Registers";
const RIP: &str = "27.3.2.3 Loading Guest RIP, RSP, SSP, and RFLAGS";
const PDPTES: &str = "27.3.2.4 Loading Page-Directory-Pointer-Table Entries";
const NON_REGISTER: &str = "27.3.2.5 Updating Non-Register State";
/// The section of the VM-entry MSR-load area.
pub const MSRS: &str = "27.4 Loading MSRs";
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
    if let Some(cet) = &msrs.cet {
        list.load(CONTROL_REGISTERS, "IA32_S_CET", read("IA32_S_CET"), cet.s_cet);
        let (name, new) = ("IA32_INTERRUPT_SSP_TABLE_ADDR", cet.interrupt_ssp_table);
        list.load(CONTROL_REGISTERS, name, read(name), new);
    }
    list.optional(CONTROL_REGISTERS, "UINV", read("UINV"), msrs.uinv.map(u64::from));
    list.segments(SEGMENTS, &sys.segments, &plan.segments);
    for (name, old, new) in [("GDTR", sys.gdtr, plan.gdtr), ("IDTR", sys.idtr, plan.idtr)] {
        list.words(SEGMENTS, name, &table(old.base, old.limit), &table(new.base, new.limit));
    }
    list.load(RIP, "RIP", cpu.rip(), plan.rip);
    list.load(RIP, "RSP", cpu.gpr[4], plan.rsp);
    list.optional(RIP, "SSP", read("SSP"), msrs.cet.map(|cet| cet.ssp));
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
    msr_list(&mut list, plan.msr_load, ram, cpu, vmcs);
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

/// The first entry of a VM-entry MSR-load area that cannot be loaded, and why.
pub fn first_refused(cpu: &Cpu, ram: &Ram, vmcs: &Vmcs) -> Option<(msr_list::Listed, Refused)> {
    let area =
        MsrList { address: vmcs.get(Field::VmEntryMsrLoadAddress), count: vmcs.get32(Field::VmEntryMsrLoadCount) };
    let mut judge = Judge::new(cpu, vmcs);
    msr_list::read(ram, area).find_map(|entry| Some((entry, judge.next(&entry)?)))
}

fn msr_list(list: &mut List, area: MsrList, ram: &Ram, cpu: &Cpu, vmcs: &Vmcs) {
    let mut judge = Judge::new(cpu, vmcs);
    for entry in msr_list::read(ram, area) {
        let index = entry.first as u32;
        let before = cpu.read_msr_quiet(index).map_or_else(|| "not readable".to_owned(), |old| format!("{old:x}"));
        let what = format!("entry {}: {}", entry.number, entry.name());
        let Some(refused) = judge.next(&entry) else {
            list.words(MSRS, &what, &before, &format!("{:x}", entry.value));
            continue;
        };
        let what = format!("{what} = {:x}", entry.value);
        list.words(MSRS, &what, "", &format!("{}; {}", refused.why, refused.remedy));
        list.0.last_mut().into_iter().for_each(|step| step.ok = false);
        return;
    }
}
