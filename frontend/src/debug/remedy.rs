//! What helps against a rule of VM entry that does not hold, as commands that try it.

use super::entry::{self, Judged};
use emu_core::mem::ram::Ram;
use emu_vmx::caps::{ProcessorFacts, VmxCapabilities};
use emu_vmx::checks::remedy::{Change, Way};
use emu_vmx::checks::{CheckContext, Rule, all_rules};
use emu_vmx::field::Field;
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

/// Values of fields with which a rule holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// The fields, and what to write to them.
    pub writes: Vec<(Field, u64)>,
    /// Rules that still fail then.
    pub failing: usize,
}

/// The way to make a rule hold that leaves fewest others failing, of those that change the VMCS alone.
pub fn tried(case: &Case, rule: &'static Rule) -> Option<Tried> {
    let field = |change: &Change| match *change {
        Change::Field { field, new, .. } => Some((field, new)),
        _ => None,
    };
    let one = |way: Way| {
        let writes: Vec<(Field, u64)> = way.changes.iter().map(field).collect::<Option<_>>()?;
        let mut vmcs = case.vmcs.clone();
        writes.iter().for_each(|&(field, value)| vmcs.set(field, value));
        let failing = case.with(&vmcs, |context| all_rules().filter(|rule| !(rule.holds)(context)).count());
        Some(Tried { writes, failing })
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
    let set = |(field, value): &(Field, u64)| format!("vmcs set {} = {value:#x}", field.identifier());
    let commands: Vec<String> = tried.writes.iter().map(set).collect();
    format!("{}  ({then})", commands.join("; "))
}
