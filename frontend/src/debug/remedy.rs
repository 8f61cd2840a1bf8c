//! What helps against a rule of VM entry that does not hold, as commands that try it.

use super::entry::{self, Judged};
use emu_core::mem::ram::Ram;
use emu_vmx::caps::{ProcessorFacts, VmxCapabilities};
use emu_vmx::checks::remedy::{Change, Way};
use emu_vmx::checks::{CheckContext, EntryMoment, Rule, all_rules};
use emu_vmx::vmcs::Vmcs;

/// The VM entry that failed, or would.
pub struct Case<'a> {
    /// The VMCS.
    pub vmcs: &'a Vmcs,
    /// Its address.
    pub address: u64,
    /// The VMM is in IA-32e mode.
    pub ia32e_mode: bool,
    /// What the processor allows.
    pub processor: (&'a VmxCapabilities, &'a ProcessorFacts),
    /// Memory.
    pub ram: &'a Ram,
}

impl Case<'_> {
    /// Judges with a context of this case's VMCS, or of one that differs a little.
    pub fn with<R>(&self, vmcs: &Vmcs, judge: impl FnOnce(&CheckContext) -> R) -> R {
        let moment = entry::moment(vmcs, self.address, self.ia32e_mode, self.processor, self.ram);
        judge(&CheckContext::new(vmcs, self.processor.0, self.processor.1, &moment))
    }

    /// All rules.
    pub fn judged(&self) -> Vec<Judged> {
        self.with(self.vmcs, entry::judge)
    }
}

/// What makes a rule hold, as commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// The commands.
    pub commands: Vec<String>,
    /// Rules that still fail then.
    pub failing: usize,
}

/// The command that makes a change, if there is one; the change is made in `vmcs` or `moment`.
fn make(change: &Change, vmcs: &mut Vmcs, moment: &mut EntryMoment) -> Option<String> {
    Some(match *change {
        Change::Field { field, new, .. } => {
            vmcs.set(field, new);
            format!("vmcs set {} = {new:#x}", field.identifier())
        }
        Change::Vtpr { at, new } => {
            moment.vtpr = Some(new);
            format!("setpmem {at:#x} 1 {new:#x}")
        }
        Change::LinkHeader { at, new } => {
            moment.link_header = Some(new);
            format!("setpmem {at:#x} 4 {new:#x}")
        }
        Change::Pdpte { number, at, new, .. } => {
            *moment.pdptes.as_mut()?.get_mut(usize::from(number))? = new;
            format!("setpmem {at:#x} 8 {new:#x}")
        }
        Change::TraceOff | Change::Words(_) => return None,
    })
}

/// The way to make a rule hold that leaves fewest others failing, of those that commands can go.
pub fn tried(case: &Case, rule: &'static Rule) -> Option<Tried> {
    let (caps, facts) = case.processor;
    let one = |way: Way| {
        let mut vmcs = case.vmcs.clone();
        // What lies in memory is read where the changed fields say, and then changed itself.
        for change in way.changes.iter().filter(|change| matches!(change, Change::Field { .. })) {
            make(change, &mut vmcs, &mut EntryMoment::default())?;
        }
        let mut moment = entry::moment(&vmcs, case.address, case.ia32e_mode, case.processor, case.ram);
        let commands = way.changes.iter().map(|change| make(change, &mut vmcs, &mut moment));
        let commands = commands.collect::<Option<_>>()?;
        let context = CheckContext::new(&vmcs, caps, facts, &moment);
        let failing = all_rules().filter(|rule| !(rule.holds)(&context)).count();
        Some(Tried { commands, failing })
    };
    let ways = case.with(case.vmcs, |context| rule.ways(context, &|_| true));
    ways.into_iter().filter_map(one).min_by_key(|tried| tried.failing)
}

/// The commands that try it, and what comes of it.
pub fn command(tried: &Tried) -> String {
    let then = match tried.failing {
        0 => "all rules hold then".to_owned(),
        1 => "1 rule still fails then".to_owned(),
        more => format!("{more} rules still fail then"),
    };
    format!("{}  ({then})", tried.commands.join("; "))
}
