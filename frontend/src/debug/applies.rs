//! Whether a rule of VM entry that holds says anything.

use super::remedy::Case;
use emu_vmx::checks::Rule;

/// Whether the controls and modes of the VMCS make the rule count.
pub fn applies(case: &Case, rule: &'static Rule) -> bool {
    case.with(case.vmcs, rule.applies)
}
