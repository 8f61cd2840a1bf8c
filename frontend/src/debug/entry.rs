//! VM entry and VM exit as lists of steps: what is checked and what is loaded, in the SDM's order, computed from a VMCS
//! without executing anything.

use super::msr_list::{self, Judge, Refused};
use super::scope::physical;
use emu_core::mem::ram::Ram;
use emu_core::state::cpu::Cpu;
use emu_core::state::system::{Activity, Monitor, Shadow};
use emu_vmx::apicv::{self, GuestInterruptStatus, VirtualApicPage, register};
use emu_vmx::arch::segment::{Segment, SegmentRegister};
use emu_vmx::caps::{ProcessorFacts, VmxCapabilities};
use emu_vmx::checks::{CheckContext, EntryMoment, Rule, all_rules};
use emu_vmx::controls::SecondaryProcessorControls;
use emu_vmx::entry::{EntryPlan, MsrList, PendingDebugOutcome};
use emu_vmx::field::Field;
use emu_vmx::intercept::ExecutionControls;
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
    /// Whether the controls and modes of the VMCS make it count; one that does not holds.
    pub applies: bool,
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
        Judged { rule, holds, applies: (rule.applies)(context), found: rule.found(context), detail }
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
const MONITORING: &str = "27.3.3 Clearing Address-Range Monitoring";
/// The section of the VM-entry MSR-load area.
pub const MSRS: &str = "27.4 Loading MSRs";
const INJECTION: &str = "27.6 Event Injection";
const INTERRUPTIBILITY: &str = "27.7.1 Interruptibility State";
const ACTIVITY: &str = "27.7.2 Activity State";
const PENDING_DEBUG: &str = "27.7.3 Delivery of Pending Debug Exceptions after VM Entry";
const TIMER: &str = "27.7.4 VMX-Preemption Timer";
/// What a VM entry or a VM exit without “enable VPID” does to cached translations.
pub const INVALIDATED: &str = "linear and combined mappings of VPID 0000h are invalidated (“enable VPID” is 0)";
/// What that happens to.
pub const TRANSLATIONS: &str = "cached translations";

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
    list.optional(CONTROL_REGISTERS, "IA32_SPEC_CTRL", read("IA32_SPEC_CTRL"), msrs.spec_ctrl);
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
    if plan.flush_vpid_0 {
        list.words(NON_REGISTER, TRANSLATIONS, "", INVALIDATED);
    }
    virtual_interrupts(&mut list, ram, vmcs);
    let monitored = if sys.monitor == Monitor::Idle { "none" } else { "armed" };
    list.words(MONITORING, "monitored address", monitored, "none");
    msr_list(&mut list, plan.msr_load, ram, cpu, vmcs);
    if let Some(injection) = &plan.injection {
        let code = injection.error_code.map_or(String::new(), |code| format!(", error code {code:#x}"));
        let event = emu_vmx::words::interruption(injection.information.0);
        list.words(INJECTION, "injected event", "", &format!("{event}{code}, through the guest's IDT"));
    }
    if plan.pending_mtf {
        list.words(INJECTION, "injected event", "", "a pending MTF VM exit, before the first instruction");
    }
    list.words(
        INTERRUPTIBILITY,
        "interruptibility",
        &blocking(present_blocking(cpu)),
        &blocking(plan.interruptibility),
    );
    list.words(ACTIVITY, "activity state", present_activity(cpu), activity(plan.activity));
    let pending = names::set_bits(Field::GuestPendingDebugExceptions, plan.pending_debug.bits()).join(" ");
    match plan.pending_debug_outcome {
        PendingDebugOutcome::None => {}
        PendingDebugOutcome::Deliver => {
            list.words(PENDING_DEBUG, "pending debug exceptions", "", &format!("{pending}: #DB follows"))
        }
        PendingDebugOutcome::HeldByMovSs => {
            list.words(PENDING_DEBUG, "pending debug exceptions", "", &format!("{pending}: held by MOV SS"))
        }
    }
    if let Some(count) = plan.preemption_timer {
        list.words(TIMER, "VMX-preemption timer", "", &format!("{count} left"));
    }
    list.0
}

fn activity(state: ActivityState) -> &'static str {
    match state {
        ActivityState::Active => "active",
        ActivityState::Hlt => "HLT",
        ActivityState::Shutdown => "shutdown",
        ActivityState::WaitForSipi => "wait-for-SIPI",
    }
}

/// The activity state of a processor.
fn present_activity(cpu: &Cpu) -> &'static str {
    activity(match cpu.sys.activity {
        Activity::Active | Activity::Mwait => ActivityState::Active,
        Activity::Hlt => ActivityState::Hlt,
        Activity::Shutdown => ActivityState::Shutdown,
        Activity::WaitForSipi => ActivityState::WaitForSipi,
    })
}

fn blocking(state: Interruptibility) -> String {
    match names::set_bits(Field::GuestInterruptibilityState, state.bits().into()) {
        set if set.is_empty() => "no blocking".to_owned(),
        set => set.join(", "),
    }
}

/// What a processor blocks; for a guest with “virtual NMIs” virtual NMIs.
fn present_blocking(cpu: &Cpu) -> Interruptibility {
    let mut state = match cpu.sys.shadow {
        Shadow::None => Interruptibility::empty(),
        Shadow::Sti => Interruptibility::STI,
        Shadow::MovSs => Interruptibility::MOV_SS,
    };
    let nmi = match &cpu.vmx.non_root {
        Some(non_root) if non_root.virtual_nmis() => non_root.virtual_nmi_blocked,
        _ => cpu.sys.nmi_blocked,
    };
    state.set(Interruptibility::NMI, nmi);
    state
}

/// The virtual-APIC page, of which VPPR is changed in a copy.
struct PageCopy<'a> {
    ram: &'a Ram,
    base: u64,
    vppr: Option<u32>,
}

impl VirtualApicPage for PageCopy<'_> {
    fn read(&mut self, offset: u16) -> u32 {
        let in_memory = || physical(self.ram, self.ram.gate_a20(self.base + u64::from(offset)), 4);
        self.vppr
            .filter(|_| offset == register::PPR)
            .unwrap_or_else(|| in_memory().map_or(u32::MAX, |found| found as u32))
    }
    fn write(&mut self, offset: u16, value: u32) {
        if offset == register::PPR {
            self.vppr = Some(value);
        }
    }
}

/// RVI, SVI, PPR virtualization and the evaluation of pending virtual interrupts, with “virtual-interrupt delivery”.
fn virtual_interrupts(list: &mut List, ram: &Ram, vmcs: &Vmcs) {
    if !vmcs.secondary().contains(SecondaryProcessorControls::VIRTUAL_INTERRUPT_DELIVERY) {
        return;
    }
    let status = GuestInterruptStatus(vmcs.get16(Field::GuestInterruptStatus));
    let controls = ExecutionControls::from_vmcs(vmcs);
    let mut page = PageCopy { ram, base: controls.virtual_apic, vppr: None };
    list.words(NON_REGISTER, "RVI, SVI", "", &format!("{:#04x}, {:#04x}", status.rvi(), status.svi()));
    let before = page.read(register::PPR) & 0xFF;
    let vppr = apicv::ppr_virtualization(&mut page, status);
    list.load(NON_REGISTER, "VPPR", before.into(), vppr.into());
    let recognized = apicv::recognized(&mut page, status, &controls);
    let words = if recognized { "recognized" } else { "not recognized" };
    list.words(NON_REGISTER, "virtual interrupt", "", &format!("{words}: RVI {:#04x}, VPPR {vppr:#04x}", status.rvi()));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::debug::session::Session;

    fn session() -> Session {
        let image = concat!(env!("CARGO_MANIFEST_DIR"), "/../test-images/images/vmxexits.img");
        let config = crate::config::MachineConfig {
            hda: Some(crate::config::AtaDrive::Disk { image: image.into(), geometry: None }),
            boot: vec![crate::config::BootDevice::Disk],
            snapshot: true,
            memory: 64,
            cpu_model: "max".to_owned(),
            ..Default::default()
        };
        let machine = crate::pc::build(&config, None).expect("the image is there");
        let mut session = Session::new(crate::debug::silent(machine, 20_000_000).expect("a session"));
        assert!(session.line("b vmentry; c").1);
        session
    }

    fn shown(session: &Session) -> Vec<Step> {
        let pc = session.target.pc();
        let cpu = &pc.cpus[0];
        let vmx = super::super::scope::model(cpu).vmx().expect("the model has VMX");
        let vmcs = cpu.vmx.current().expect("a current VMCS");
        let moment = moment(vmcs, cpu.vmx.current, true, (&vmx.caps, &vmx.facts), &pc.ram);
        loads(cpu, &pc.ram, vmcs, &moment)
    }

    fn words<'a>(steps: &'a [Step], section: &str, what: &str) -> &'a str {
        let found = steps.iter().find(|step| step.section.starts_with(section) && step.what == what);
        found.map_or("", |step| &step.after)
    }

    /// Commands `vmcs set` before the VM entry.
    fn with(bits: &[(Field, u64)], values: &[(Field, u64)]) -> Session {
        let mut session = session();
        let vmcs = session.target.pc().cpus[0].vmx.current().expect("a current VMCS").clone();
        let bits = bits.iter().map(|&(field, bits)| (field, vmcs.get(field) | bits));
        for (field, value) in bits.chain(values.iter().copied()) {
            let line = format!("vmcs set {} = {value:#x}", field.identifier());
            let (text, well) = session.line(&line);
            assert!(well, "{line}: {text}");
        }
        session
    }

    #[test]
    fn what_a_vm_entry_shows_as_loaded_is_what_the_processor_has_afterwards() {
        let load = [(Field::VmEntryControls, 1 << 2 | 1 << 14)];
        let pat = (Field::GuestIa32Pat, 0x0007_0406_0007_0406);
        let (flags, blocking) = (Field::GuestRflags, Field::GuestInterruptibilityState);
        let virtual_nmis = [(Field::PinBasedControls, 1 << 3 | 1 << 5)];
        for (bits, values) in [
            (&load[..0], &[][..]),
            (&load, &[pat, (Field::GuestDr7, 0x455)]),
            (&load[..0], &[(flags, 0x202), (blocking, 1)]),
            (&load[..0], &[(blocking, 2)]),
            (&load[..0], &[(blocking, 8)]),
            (&virtual_nmis, &[(blocking, 8)]),
            (&load[..0], &[(Field::GuestActivityState, 1)]),
        ] {
            let mut session = with(bits, values);
            let before = shown(&session);
            session.line("s");
            assert!(session.target.pc().cpus[0].vmx.non_root.is_some(), "{values:x?}");
            let after = shown(&session);
            assert_eq!(before.len(), after.len());
            for (before, after) in before.iter().zip(&after).filter(|pair| !pair.0.before.is_empty()) {
                assert_eq!((&before.what, &before.after), (&after.what, &after.before), "{values:x?}");
            }
        }
    }

    #[test]
    fn injected_nmi_is_shown_with_the_blocking_that_it_begins() {
        for (bits, values) in [(0, 0), (1 << 3 | 1 << 5, 0), (0, 8)] {
            let event = (Field::VmEntryInterruptionInformation, 0x8000_0202);
            let state = (Field::GuestInterruptibilityState, values);
            let steps = shown(&with(&[(Field::PinBasedControls, bits)], &[event, state]));
            assert_eq!(words(&steps, "27.7.1 ", "interruptibility"), "blocking by NMI");
            assert_eq!(words(&steps, "27.7.2 ", "activity state"), "active");
            let place = |section: &str| steps.iter().position(|step| step.section.starts_with(section));
            assert!(place("27.3.2.5 ") < place("27.3.3 ") && place("27.3.3 ") < place("27.6 "));
            assert!(place("27.6 ") < place("27.7.1 ") && place("27.7.1 ") < place("27.7.2 "));
        }
    }

    #[test]
    fn virtual_interrupt_delivery_and_vpid_are_shown_by_their_controls() {
        let none = shown(&session());
        assert_eq!(words(&none, "27.3.2.5 ", TRANSLATIONS), INVALIDATED);
        assert_eq!(words(&none, "27.3.2.5 ", "RVI, SVI"), "");
        assert_eq!(words(&none, "27.3.3 ", "monitored address"), "none");
        // “Use TPR shadow”, secondary controls; “enable VPID”, “virtual-interrupt delivery”.
        let bits = [
            (Field::PrimaryProcessorControls, 1 << 21 | 1 << 31),
            (Field::SecondaryProcessorControls, 1 << 5 | 1 << 9),
        ];
        let values = [(Field::Vpid, 1), (Field::VirtualApicAddress, 0x30_0000), (Field::GuestInterruptStatus, 0x2041)];
        let steps = shown(&with(&bits, &values));
        assert_eq!(words(&steps, "27.3.2.5 ", TRANSLATIONS), "");
        assert_eq!(words(&steps, "27.3.2.5 ", "RVI, SVI"), "0x41, 0x20");
        assert_eq!(words(&steps, "27.3.2.5 ", "VPPR"), "20");
        assert_eq!(words(&steps, "27.3.2.5 ", "virtual interrupt"), "recognized: RVI 0x41, VPPR 0x20");
    }
}
