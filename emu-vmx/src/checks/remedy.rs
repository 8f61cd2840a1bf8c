//! What makes a rule hold that fails: changes of the VMCS, of memory or of the processor, with the values at hand.
//!
//! A rule has [`Fix`]es, the best first. In a context a fix becomes a [`Way`] if it can be carried out (the processor
//! allows the bits) and if the rule holds afterwards, which is tried out. [`Rule::remedy`] tells the ways in words:
//! `write 2020h to Guest CR4: set bit 13 (“VMXE”) (IA32_VMX_CR4_FIXED0 (488h) = 2000h, …)`.

use super::{CR0_UNCHECKED, CheckContext, EntryMoment, Rule, all_rules};
use crate::arch::{Cr0, addr, msr};
use crate::caps::{AllowedSettings, VmxCapabilities};
use crate::controls::*;
use crate::field::Field;
use crate::names;
use crate::vmcs::{NO_VMCS, Vmcs};
use alloc::{format, string::String, vec::Vec};

/// Ways that are told.
const TOLD: usize = 3;

/// How a rule can be made to hold, before the values are known.
#[derive(Debug, Clone, Copy)]
pub enum Fix {
    /// Sets bits of a field; of secondary and tertiary controls, with the control that activates them.
    Set(Field, u64),
    /// Clears bits of a field.
    Clear(Field, u64),
    /// Writes what the context gives, or is none.
    Make(Field, fn(&CheckContext) -> Option<u64>),
    /// Makes the field what its capability MSRs ask.
    Word(Field),
    /// Makes an address canonical.
    Canonical(Field),
    /// Takes an address within the physical-address width.
    Width(Field),
    /// Changes something outside the VMCS, or is none.
    Outside(fn(&CheckContext) -> Option<Change>),
    /// What has no value here.
    Words(&'static str),
    /// All of these, with a remark.
    All(&'static [Fix], &'static str),
}

/// Sets bits.
pub const fn set(field: Field, bits: u64) -> Fix {
    Fix::Set(field, bits)
}
/// Clears bits.
pub const fn clear(field: Field, bits: u64) -> Fix {
    Fix::Clear(field, bits)
}
/// Clears bits 63:32.
pub const fn low32(field: Field) -> Fix {
    Fix::Clear(field, 0xFFFF_FFFF_0000_0000)
}
/// Clears bits 11:0.
pub const fn page(field: Field) -> Fix {
    Fix::Clear(field, addr::PAGE_OFFSET_MASK)
}
/// Writes what the context gives.
pub const fn make(field: Field, value: fn(&CheckContext) -> Option<u64>) -> Fix {
    Fix::Make(field, value)
}
/// As the capability MSRs ask.
pub const fn word(field: Field) -> Fix {
    Fix::Word(field)
}
/// Makes canonical.
pub const fn canonical(field: Field) -> Fix {
    Fix::Canonical(field)
}
/// Takes within the physical-address width.
pub const fn width(field: Field) -> Fix {
    Fix::Width(field)
}
/// Changes something outside the VMCS.
pub const fn outside(change: fn(&CheckContext) -> Option<Change>) -> Fix {
    Fix::Outside(change)
}
/// What has no value here.
pub const fn say(words: &'static str) -> Fix {
    Fix::Words(words)
}
/// All of these, with a remark.
pub const fn all(fixes: &'static [Fix], note: &'static str) -> Fix {
    Fix::All(fixes, note)
}

macro_rules! switches {
    ($($on:ident $off:ident $word:ident $bits:ident;)*) => {$(
        /// Sets controls.
        pub const fn $on(bits: $bits) -> Fix {
            Fix::Set(Field::$word, bits.bits() as u64)
        }
        /// Clears controls.
        pub const fn $off(bits: $bits) -> Fix {
            Fix::Clear(Field::$word, bits.bits() as u64)
        }
    )*};
}
switches! {
    on_pin off_pin PinBasedControls PinBasedControls;
    on_primary off_primary PrimaryProcessorControls PrimaryProcessorControls;
    on_secondary off_secondary SecondaryProcessorControls SecondaryProcessorControls;
    on_tertiary off_tertiary TertiaryProcessorControls TertiaryProcessorControls;
    on_exit off_exit VmExitControls VmExitControls;
    on_entry off_entry VmEntryControls VmEntryControls;
    on_function off_function VmFunctionControls VmFunctions;
}

/// Injects nothing.
pub const NO_EVENT: Fix = Fix::Clear(Field::VmEntryInterruptionInformation, 1 << 31);
/// Injects the external interrupt when it can be delivered.
pub const INTERRUPT_WINDOW: Fix = Fix::All(
    &[NO_EVENT, on_primary(PrimaryProcessorControls::INTERRUPT_WINDOW_EXITING)],
    "the interrupt-window exit then says when to inject",
);
/// Injects the NMI when it can be delivered.
pub const NMI_WINDOW: Fix = Fix::All(
    &[
        NO_EVENT,
        on_pin(PinBasedControls::NMI_EXITING.union(PinBasedControls::VIRTUAL_NMIS)),
        on_primary(PrimaryProcessorControls::NMI_WINDOW_EXITING),
    ],
    "the NMI-window exit then says when to inject",
);
/// The processor executes.
pub const ACTIVE: Fix = Fix::Make(Field::GuestActivityState, |_| Some(0));
/// No VMCS is linked; with “VMCS shadowing” the guest needs one.
pub const NO_LINK: Fix = Fix::Make(Field::VmcsLinkPointer, |c| {
    (!c.secondary.contains(SecondaryProcessorControls::VMCS_SHADOWING)).then_some(NO_VMCS)
});
/// A VMCS of its own is linked.
pub const OWN_LINK: Fix = Fix::Words(
    "give the guest's shadow VMCS a page of its own and write the address of that page to VMCS link pointer",
);

/// Something that is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A field of the VMCS.
    Field {
        /// The field.
        field: Field,
        /// Its value.
        old: u64,
        /// Its value afterwards.
        new: u64,
        /// How it is told.
        kind: Kind,
    },
    /// Byte 80h of the virtual-APIC page.
    Vtpr {
        /// Its physical address.
        at: u64,
        /// Its value afterwards.
        new: u8,
    },
    /// The first dword of the VMCS that the link pointer names.
    LinkHeader {
        /// Its physical address.
        at: u64,
        /// Its value afterwards.
        new: u32,
    },
    /// A PDPTE in memory.
    Pdpte {
        /// Which one.
        number: u8,
        /// Its physical address.
        at: u64,
        /// Its value.
        old: u64,
        /// Its value afterwards.
        new: u64,
    },
    /// IA32_RTIT_CTL.TraceEn is cleared.
    TraceOff,
    /// What has no value here.
    Words(&'static str),
}

/// How a change of a field is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// By its bits.
    Bits,
    /// By its value.
    Value,
    /// By its bits, and the capability MSRs.
    Word,
    /// By its bits, which are the upper ones of a canonical address.
    Canonical,
    /// By the bound of addresses.
    Width,
}

/// What makes a rule hold.
#[derive(Debug, Clone)]
pub struct Way {
    /// What is changed, all of it.
    pub changes: Vec<Change>,
    /// A remark; may be empty.
    pub note: &'static str,
    /// Rules that fail only afterwards.
    pub then: Vec<&'static Rule>,
}

/// A VMCS and its surroundings, as they are changed.
struct Plan<'a> {
    context: &'a CheckContext<'a>,
    vmcs: Vmcs,
    now: EntryMoment,
    changes: Vec<Change>,
    note: &'static str,
}

/// Which bits of a field the processor wants: those that must be 1, and those that may be.
fn allowed(field: Field, caps: &VmxCapabilities, vmcs: &Vmcs) -> Option<(u64, u64)> {
    let pair = |settings: AllowedSettings| Some((settings.must_be_1().into(), settings.may_be_1().into()));
    let unrestricted = vmcs.secondary().contains(SecondaryProcessorControls::UNRESTRICTED_GUEST);
    let paging = if unrestricted { (Cr0::PE | Cr0::PG).bits() } else { 0 };
    match field {
        Field::PinBasedControls => pair(caps.pin()),
        Field::PrimaryProcessorControls => pair(caps.primary()),
        Field::SecondaryProcessorControls => pair(caps.procbased_ctls2),
        Field::TertiaryProcessorControls => Some((0, caps.procbased_ctls3.bits())),
        Field::VmExitControls => pair(caps.exit()),
        Field::SecondaryVmExitControls => Some((0, caps.exit_ctls2.bits())),
        Field::VmEntryControls => pair(caps.entry()),
        Field::VmFunctionControls => Some((0, caps.vmfunc.bits())),
        Field::GuestCr0 => Some((caps.cr0_fixed0 & !(CR0_UNCHECKED | paging), caps.cr0_fixed1 | CR0_UNCHECKED)),
        Field::HostCr0 => Some((caps.cr0_fixed0 & !CR0_UNCHECKED, caps.cr0_fixed1 | CR0_UNCHECKED)),
        Field::GuestCr4 | Field::HostCr4 => Some((caps.cr4_fixed0, caps.cr4_fixed1)),
        _ => None,
    }
}

/// The capability MSRs of a field.
fn capability_msrs(field: Field, caps: &VmxCapabilities) -> Vec<(&'static str, u32)> {
    let truth = caps.basic.true_controls();
    let either = |old: (&'static str, u32), new: (&'static str, u32)| Vec::from([if truth { new } else { old }]);
    match field {
        Field::PinBasedControls => either(
            ("IA32_VMX_PINBASED_CTLS", msr::IA32_VMX_PINBASED_CTLS),
            ("IA32_VMX_TRUE_PINBASED_CTLS", msr::IA32_VMX_TRUE_PINBASED_CTLS),
        ),
        Field::PrimaryProcessorControls => either(
            ("IA32_VMX_PROCBASED_CTLS", msr::IA32_VMX_PROCBASED_CTLS),
            ("IA32_VMX_TRUE_PROCBASED_CTLS", msr::IA32_VMX_TRUE_PROCBASED_CTLS),
        ),
        Field::VmExitControls => either(
            ("IA32_VMX_EXIT_CTLS", msr::IA32_VMX_EXIT_CTLS),
            ("IA32_VMX_TRUE_EXIT_CTLS", msr::IA32_VMX_TRUE_EXIT_CTLS),
        ),
        Field::VmEntryControls => either(
            ("IA32_VMX_ENTRY_CTLS", msr::IA32_VMX_ENTRY_CTLS),
            ("IA32_VMX_TRUE_ENTRY_CTLS", msr::IA32_VMX_TRUE_ENTRY_CTLS),
        ),
        Field::SecondaryProcessorControls => Vec::from([("IA32_VMX_PROCBASED_CTLS2", msr::IA32_VMX_PROCBASED_CTLS2)]),
        Field::TertiaryProcessorControls => Vec::from([("IA32_VMX_PROCBASED_CTLS3", msr::IA32_VMX_PROCBASED_CTLS3)]),
        Field::SecondaryVmExitControls => Vec::from([("IA32_VMX_EXIT_CTLS2", msr::IA32_VMX_EXIT_CTLS2)]),
        Field::VmFunctionControls => Vec::from([("IA32_VMX_VMFUNC", msr::IA32_VMX_VMFUNC)]),
        Field::GuestCr0 | Field::HostCr0 => Vec::from([
            ("IA32_VMX_CR0_FIXED0", msr::IA32_VMX_CR0_FIXED0),
            ("IA32_VMX_CR0_FIXED1", msr::IA32_VMX_CR0_FIXED1),
        ]),
        Field::GuestCr4 | Field::HostCr4 => Vec::from([
            ("IA32_VMX_CR4_FIXED0", msr::IA32_VMX_CR4_FIXED0),
            ("IA32_VMX_CR4_FIXED1", msr::IA32_VMX_CR4_FIXED1),
        ]),
        _ => Vec::new(),
    }
}

impl Plan<'_> {
    fn write(&mut self, field: Field, value: u64, kind: Kind) {
        let (old, value) = (self.vmcs.get(field), value & field.width().mask());
        if old == value {
            return;
        }
        self.vmcs.set(field, value);
        for change in &mut self.changes {
            if let Change::Field { field: other, new, .. } = change
                && *other == field
            {
                *new = value;
                return;
            }
        }
        self.changes.push(Change::Field { field, old, new: value, kind });
    }

    /// Sets bits. Controls that are not activated count as 0, whatever stands in them.
    fn set(&mut self, field: Field, bits: u64) {
        let activation = match field {
            Field::SecondaryProcessorControls => PrimaryProcessorControls::ACTIVATE_SECONDARY_CONTROLS,
            Field::TertiaryProcessorControls => PrimaryProcessorControls::ACTIVATE_TERTIARY_CONTROLS,
            _ => PrimaryProcessorControls::empty(),
        };
        if self.vmcs.primary().contains(activation) {
            self.write(field, self.vmcs.get(field) | bits, Kind::Bits);
        } else {
            self.set(Field::PrimaryProcessorControls, activation.bits().into());
            self.write(field, bits, Kind::Value);
        }
    }

    fn apply(&mut self, fix: &Fix) -> Option<()> {
        match *fix {
            Fix::Set(field, bits) => self.set(field, bits),
            Fix::Clear(field, bits) => self.write(field, self.vmcs.get(field) & !bits, Kind::Bits),
            Fix::Make(field, value) => self.write(field, value(self.context)?, Kind::Value),
            Fix::Word(field) => {
                let (must, may) = allowed(field, self.context.caps, &self.vmcs)?;
                self.write(field, (self.vmcs.get(field) | must) & may, Kind::Word);
            }
            Fix::Canonical(field) => {
                let value = addr::sign_extend(self.vmcs.get(field), self.context.cpu.linear_width);
                self.write(field, value, Kind::Canonical);
            }
            Fix::Width(field) => {
                let value = self.vmcs.get(field) & addr::physical_mask(self.context.address_bits());
                self.write(field, value, Kind::Width);
            }
            Fix::Outside(change) => {
                let change = change(self.context)?;
                match change {
                    Change::Vtpr { new, .. } => self.now.vtpr = Some(new),
                    Change::LinkHeader { new, .. } => self.now.link_header = Some(new),
                    Change::Pdpte { number, new, .. } => {
                        *self.now.pdptes.as_mut()?.get_mut(usize::from(number))? = new;
                    }
                    Change::TraceOff => self.now.pt_enabled = false,
                    Change::Field { field, new, kind, .. } => self.write(field, new, kind),
                    Change::Words(_) => return None,
                }
                if !matches!(change, Change::Field { .. }) {
                    self.changes.push(change);
                }
            }
            Fix::Words(words) => self.changes.push(Change::Words(words)),
            Fix::All(fixes, note) => {
                for fix in fixes {
                    self.apply(fix)?;
                }
                self.note = note;
            }
        }
        Some(())
    }

    /// Whether the processor allows the bits that change.
    fn possible(&self) -> bool {
        self.changes.iter().all(|change| match *change {
            Change::Field { field, old, new, .. } => allowed(field, self.context.caps, &self.vmcs)
                .is_none_or(|(must, may)| new & !old & !may == 0 && old & !new & must == 0),
            _ => true,
        })
    }
}

impl Rule {
    /// The ways to make the rule hold, the best first; `known` says which fields are given. None if the rule holds.
    pub fn ways(&self, context: &CheckContext, known: &dyn Fn(Field) -> bool) -> Vec<Way> {
        let mut ways: Vec<Way> = Vec::new();
        if (self.holds)(context) {
            return ways;
        }
        for fix in self.remedy {
            let mut plan =
                Plan { context, vmcs: context.vmcs.clone(), now: *context.now, changes: Vec::new(), note: "" };
            if plan.apply(fix).is_none() || plan.changes.is_empty() || !plan.possible() {
                continue;
            }
            let after = CheckContext::new(&plan.vmcs, context.caps, context.cpu, &plan.now);
            let words = plan.changes.iter().any(|change| matches!(change, Change::Words(_)));
            // The value of a field that is not given hangs on more than this rule.
            let unknown = plan.changes.iter().any(
                |change| matches!(change, Change::Field { field, kind, .. } if !known(*field) && *kind != Kind::Bits),
            );
            if unknown || !words && !(self.holds)(&after) || ways.iter().any(|way| way.changes == plan.changes) {
                continue;
            }
            let broken = |rule: &&'static Rule| {
                !(rule.holds)(&after) && (rule.holds)(context) && rule.fields.iter().all(|&field| known(field))
            };
            let then = if words { Vec::new() } else { all_rules().filter(broken).collect() };
            ways.push(Way { changes: plan.changes, note: plan.note, then });
        }
        ways.sort_by_key(|way| !way.then.is_empty());
        ways
    }

    /// What makes the rule hold, in words.
    pub fn remedy(&self, context: &CheckContext) -> String {
        self.remedy_of(context, &|_| true)
    }

    /// The same where some fields are not given.
    pub fn remedy_of(&self, context: &CheckContext, known: &dyn Fn(Field) -> bool) -> String {
        let ways = self.ways(context, known);
        let told: Vec<String> = ways.iter().take(TOLD).map(|way| way.words(context, known)).collect();
        if told.is_empty() {
            let fields: Vec<&str> = self.fields.iter().map(|field| field.name()).collect();
            return format!("change {}", fields.join(" or "));
        }
        told.join("; or ")
    }
}

impl Way {
    /// In words.
    pub fn words(&self, context: &CheckContext, known: &dyn Fn(Field) -> bool) -> String {
        let changes: Vec<String> = self.changes.iter().map(|change| change.words(context, known)).collect();
        let mut text = changes.join(", and ");
        if !self.note.is_empty() {
            text.push_str(&format!(" ({})", self.note));
        }
        if let Some(first) = self.then.first() {
            let more = self.then.len() - 1;
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            text.push_str(&format!(" (then {}{more} must be mended, too)", first.id));
        }
        text
    }
}

/// What a value of a field means, where its bits do not say it: ` (busy TSS)`.
fn sense(field: Field, value: u64, context: &CheckContext) -> String {
    if !names::bit_names(field).is_empty() {
        return String::new();
    }
    match crate::words::field(field, value, context.vmcs) {
        words if words.is_empty() => words,
        words => format!(" ({words})"),
    }
}

/// Whether a field is told by its bits.
fn is_bits(field: Field) -> bool {
    let more = [
        Field::HostCr3,
        Field::GuestCr3,
        Field::GuestPdpte0,
        Field::GuestPdpte1,
        Field::GuestPdpte2,
        Field::GuestPdpte3,
    ];
    more.contains(&field) || !names::bit_names(field).is_empty()
}

/// Bytes from the address in `field` on that lie within the physical-address width: the whole of an MSR list.
fn bytes(field: Field, context: &CheckContext) -> u64 {
    let count = match field {
        Field::VmEntryMsrLoadAddress => Field::VmEntryMsrLoadCount,
        Field::VmExitMsrLoadAddress => Field::VmExitMsrLoadCount,
        Field::VmExitMsrStoreAddress => Field::VmExitMsrStoreCount,
        _ => return 1,
    };
    context.get(count) * 16
}

/// `bit 13 (“VMXE”)`, `bits 63:40, 3:1`.
pub(crate) fn bits(field: Option<Field>, mut mask: u64) -> String {
    let names = field.map(names::bit_names).unwrap_or_default();
    let mut parts = Vec::new();
    let one = mask.count_ones() == 1;
    while mask != 0 {
        let high = 63 - mask.leading_zeros();
        let name = names.iter().find(|name| name.0 == high).map(|name| name.1);
        let mut low = high;
        if name.is_none() {
            let named = |bit: u32| names.iter().any(|name| name.0 == bit);
            while low > 0 && mask >> (low - 1) & 1 != 0 && !named(low - 1) {
                low -= 1;
            }
        }
        parts.push(match name {
            Some(name) => format!("{high} (“{name}”)"),
            None if low == high => format!("{high}"),
            None => format!("{high}:{low}"),
        });
        mask &= (1u64 << low) - 1;
    }
    format!("bit{} {}", if one { "" } else { "s" }, parts.join(", "))
}

/// `set bit 13 (“VMXE”), clear bits 63:32`.
fn flips(field: Option<Field>, old: u64, new: u64) -> String {
    let (up, down) = (new & !old, old & !new);
    let mut parts = Vec::new();
    if up != 0 {
        parts.push(format!("set {}", bits(field, up)));
    }
    if down != 0 {
        parts.push(format!("clear {}", bits(field, down)));
    }
    parts.join(", ")
}

impl Change {
    /// In words: `write 2020h to Guest CR4: set bit 13 (“VMXE”)`.
    pub fn words(&self, context: &CheckContext, known: &dyn Fn(Field) -> bool) -> String {
        match *self {
            Change::Field { field, old, new, .. } if !known(field) => {
                format!("{} of {}", flips(Some(field), old, new), field.name())
            }
            Change::Field { field, old, new, kind } => {
                let (name, flips) = (field.name(), flips(Some(field), old, new));
                let sense = sense(field, new, context);
                match kind {
                    Kind::Bits => format!("write {new:X}h to {name}: {flips}{sense}"),
                    Kind::Value if is_bits(field) => format!("write {new:X}h to {name}: {flips}{sense}"),
                    Kind::Value => format!("write {new:X}h to {name} in place of {old:X}h{sense}"),
                    Kind::Word => {
                        let value = |index| context.caps.read_msr(index).unwrap_or(0);
                        let msrs: Vec<String> = capability_msrs(field, context.caps)
                            .iter()
                            .map(|&(name, index)| format!("{name} ({index:X}h) = {:X}h", value(index)))
                            .collect();
                        let ask = if msrs.len() == 1 { "asks" } else { "ask" };
                        format!("write {new:X}h to {name}: {flips}, as {} {ask}", msrs.join(" and "))
                    }
                    Kind::Canonical => {
                        let high = context.cpu.linear_width.saturating_sub(1);
                        format!("write {new:X}h to {name}: {flips}, so that bits 63:{high} are equal")
                    }
                    Kind::Width => {
                        let width = context.address_bits();
                        let end = (1u128 << width).saturating_sub(bytes(field, context).into());
                        let beyond = bits(None, old & !new);
                        format!(
                            "write an address of at most {end:X}h to {name}: {beyond} must be 0, beyond the {width} bits"
                        )
                    }
                }
            }
            Change::Vtpr { at, new } => format!("write {new:02X}h to the byte at {at:X}h (VTPR)"),
            Change::LinkHeader { at, new } => {
                format!("write {new:X}h to the dword at {at:X}h, where the VMCS link pointer points to")
            }
            Change::Pdpte { number, at, old, new } => {
                format!("write {new:X}h to PDPTE{number} in memory at {at:X}h: {}", flips(None, old, new))
            }
            Change::TraceOff => "clear bit 0 (TraceEn) of IA32_RTIT_CTL (570h) with WRMSR before the VM entry".into(),
            Change::Words(words) => words.into(),
        }
    }
}
