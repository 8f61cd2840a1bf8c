//! The checks of VM entry as rules (SDM Vol. 3C Chapter 27 "VM Entries").
//!
//! Each rule is one declaration: id, fields that it reads, requirement, remedies, when it applies, predicate. From one list
//! the `rules!` macro makes the table (`RULES`: debugger, linter, documentation) and the straight-line function (`check`:
//! the processor). Within a stage the SDM lets checks run in any order; the processor reports the first failing rule of
//! the list, [`failing`] all of them.

pub mod controls;
pub mod guest_cr;
pub mod guest_nonreg;
pub mod guest_rip;
pub mod guest_seg;
pub mod guest_tables;
pub mod host;
pub mod pdpte;
pub mod remedy;

use crate::arch::{Cr0, Cr4, Efer, Rflags};
use crate::caps::{ProcessorFacts, VmxCapabilities};
use crate::controls::*;
use crate::exit::InterruptionInformation;
use crate::field::Field;
use crate::vmcs::{LaunchState, NO_VMCS, VmInstructionError, Vmcs};
use alloc::{format, string::String, vec::Vec};
use core::fmt::Write as _;

/// A section of the SDM; numbers belong to the revision that the crate documentation names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Section {
    /// Number in the pinned revision.
    pub number: &'static str,
    /// Title, stable between revisions.
    pub title: &'static str,
}

/// When a check happens and what its failure does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// VMfailValid with error 7.
    Controls,
    /// VMfailValid with error 8.
    HostState,
    /// VM-entry failure with basic exit reason 33.
    GuestState,
}

/// What a failing rule makes of the VM entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// VMfailValid: the instruction fails, RFLAGS.ZF is set, the error number is stored.
    VmFailValid(VmInstructionError),
    /// Entry failure after the instruction has succeeded: exit reason 33 with this exit qualification.
    InvalidGuestState {
        /// 0, 2 (PDPTEs), 3 (an NMI while STI blocks) or 4 (VMCS link pointer).
        qualification: u64,
    },
}

impl Failure {
    /// `VMfailValid 7 (VM entry with invalid control field(s))`, or the VM exit.
    pub fn words(self) -> String {
        match self {
            Failure::VmFailValid(error) => crate::words::vmfail(Some(error)),
            Failure::InvalidGuestState { qualification } => {
                let reason = crate::exit::ExitReason::EntryFailureGuestState;
                let words = crate::words::qualification(reason, qualification);
                let words = if words.is_empty() { words } else { format!(" ({words})") };
                format!("{}, qualification {qualification}{words}", crate::words::vm_exit(reason))
            }
        }
    }
}

/// One check of VM entry.
pub struct Rule {
    /// Stable name, `area.subject.property`.
    pub id: &'static str,
    /// Where the SDM says it.
    pub section: Section,
    /// When it is checked.
    pub stage: Stage,
    /// Exit qualification if it fails (stage [`Stage::GuestState`]).
    pub qualification: u64,
    /// Fields that it reads.
    pub fields: &'static [Field],
    /// What is required, as the end of the sentence “VM entry requires that …”.
    pub required: &'static str,
    /// What makes it hold, the best first; see [`Rule::remedy`].
    pub remedy: &'static [remedy::Fix],
    /// Whether the VMCS makes the rule count; where it does not, the rule holds.
    pub applies: fn(&CheckContext) -> bool,
    /// Whether the VMCS respects the rule.
    pub holds: fn(&CheckContext) -> bool,
    /// More about what was found, for instance which bits.
    pub detail: Option<fn(&CheckContext) -> String>,
}

impl core::fmt::Debug for Rule {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Rule").field("id", &self.id).field("stage", &self.stage).finish_non_exhaustive()
    }
}

impl PartialEq for Rule {
    fn eq(&self, other: &Rule) -> bool {
        self.id == other.id
    }
}

impl Rule {
    /// What the processor does when the rule fails.
    pub fn failure(&self) -> Failure {
        match self.stage {
            Stage::Controls => Failure::VmFailValid(VmInstructionError::EntryInvalidControls),
            Stage::HostState => Failure::VmFailValid(VmInstructionError::EntryInvalidHostState),
            Stage::GuestState => Failure::InvalidGuestState { qualification: self.qualification },
        }
    }

    /// The fields that the rule reads, with their values in the SDM's words: `Guest activity state = 1h (HLT)`. Of control
    /// words, the bits that the requirement names.
    pub fn found(&self, context: &CheckContext) -> String {
        let one = |&field: &Field| {
            let value = context.vmcs.get(field);
            let words = self.words(field, value, context);
            let words = if words.is_empty() { words } else { format!(" ({words})") };
            format!("{} = {value:X}h{words}", field.name())
        };
        self.fields.iter().map(one).collect::<Vec<_>>().join(", ")
    }

    fn words(&self, field: Field, value: u64, context: &CheckContext) -> String {
        let names = crate::names::bit_names(field);
        if field.area() != crate::field::Area::Control || names.is_empty() || field == Field::EptPointer {
            return crate::words::field(field, value, context.vmcs);
        }
        let required = self.required.to_lowercase();
        let mut named = Vec::new();
        for (bit, name) in names {
            if required.contains(&format!("“{}”", name.to_lowercase())) {
                named.push(format!("“{name}” = {}", value >> bit & 1));
            }
        }
        // What differs is told by the rule's detail.
        if named.is_empty() && self.detail.is_none() {
            crate::words::field(field, value, context.vmcs)
        } else {
            named.join(", ")
        }
    }

    /// The sentence to show when the rule fails: required, found, remedy.
    pub fn explain(&self, context: &CheckContext) -> String {
        self.explain_of(context, &|_| true)
    }

    /// The same where some fields are not given.
    pub fn explain_of(&self, context: &CheckContext, known: &dyn Fn(Field) -> bool) -> String {
        let mut text = format!(
            "{} (SDM Vol. 3C {} \"{}\"): requires that {}; found {}",
            self.id,
            self.section.number,
            self.section.title,
            self.required,
            self.found(context)
        );
        if let Some(detail) = self.detail {
            let _ = write!(text, "; {}", detail(context));
        }
        let _ = write!(text, ". Remedy: {}", self.remedy_of(context, known));
        text
    }
}

/// What VM entry looks at outside the VMCS and the CPU model: the processor's state at that moment, and memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryMoment {
    /// IA32_EFER.LMA: the VMM is in IA-32e mode.
    pub ia32e_mode: bool,
    /// In system-management mode.
    pub in_smm: bool,
    /// Physical address of the current VMCS.
    pub current_vmcs: u64,
    /// IA32_RTIT_CTL.TraceEn is set.
    pub pt_enabled: bool,
    /// Byte 80h (VTPR) of the virtual-APIC page; `None`: not known, the rule is skipped.
    pub vtpr: Option<u8>,
    /// First dword of the region that the VMCS link pointer names; `None`: not known.
    pub link_header: Option<u32>,
    /// The PDPTEs that guest CR3 points to, when they come from memory (no EPT); `None`: not known or not needed.
    pub pdptes: Option<[u64; 4]>,
}

impl Default for EntryMoment {
    fn default() -> Self {
        EntryMoment {
            ia32e_mode: true,
            in_smm: false,
            current_vmcs: NO_VMCS,
            pt_enabled: false,
            vtpr: None,
            link_header: None,
            pdptes: None,
        }
    }
}

impl EntryMoment {
    /// Reads from memory what the rules will need, and only that. `read_u64` reads an aligned quadword at a physical
    /// address.
    pub fn read_memory(
        &mut self,
        vmcs: &Vmcs,
        caps: &VmxCapabilities,
        cpu: &ProcessorFacts,
        mut read_u64: impl FnMut(u64) -> u64,
    ) {
        let context = CheckContext::new(vmcs, caps, cpu, self);
        let (mut vtpr, mut link_header, mut pdptes) = (None, None, None);
        if context.primary.contains(PrimaryProcessorControls::USE_TPR_SHADOW)
            && !context.secondary.contains(SecondaryProcessorControls::VIRTUAL_INTERRUPT_DELIVERY)
        {
            let page = vmcs.get(Field::VirtualApicAddress);
            if context.vmx_page(page) {
                vtpr = Some(read_u64(page + 0x80) as u8);
            }
        }
        let link = vmcs.get(Field::VmcsLinkPointer);
        if link != NO_VMCS && context.vmx_page(link) {
            link_header = Some(read_u64(link) as u32);
        }
        if context.pae_paging_guest() && !context.secondary.contains(SecondaryProcessorControls::ENABLE_EPT) {
            let base = crate::arch::Cr3(vmcs.get(Field::GuestCr3)).pdpt_base_pae();
            pdptes = Some(core::array::from_fn(|n| read_u64(base + 8 * n as u64)));
        }
        (self.vtpr, self.link_header, self.pdptes) = (vtpr, link_header, pdptes);
    }
}

/// Everything that rules look at, decoded once.
pub struct CheckContext<'a> {
    /// The VMCS.
    pub vmcs: &'a Vmcs,
    /// Capability MSRs.
    pub caps: &'a VmxCapabilities,
    /// The CPU model.
    pub cpu: &'a ProcessorFacts,
    /// The processor and memory at this moment.
    pub now: &'a EntryMoment,
    /// Pin-based controls.
    pub pin: PinBasedControls,
    /// Primary processor-based controls.
    pub primary: PrimaryProcessorControls,
    /// Secondary processor-based controls as they take effect.
    pub secondary: SecondaryProcessorControls,
    /// Tertiary processor-based controls as they take effect.
    pub tertiary: TertiaryProcessorControls,
    /// Primary VM-exit controls.
    pub exit: VmExitControls,
    /// VM-entry controls.
    pub entry: VmEntryControls,
    /// VM-function controls as they take effect.
    pub functions: VmFunctions,
    /// Guest CR0.
    pub cr0: Cr0,
    /// Guest CR4.
    pub cr4: Cr4,
    /// Guest RFLAGS.
    pub rflags: Rflags,
    /// The event to inject.
    pub event: InterruptionInformation,
}

impl<'a> CheckContext<'a> {
    /// Decodes what the rules share.
    pub fn new(
        vmcs: &'a Vmcs,
        caps: &'a VmxCapabilities,
        cpu: &'a ProcessorFacts,
        now: &'a EntryMoment,
    ) -> CheckContext<'a> {
        CheckContext {
            vmcs,
            caps,
            cpu,
            now,
            pin: vmcs.pin(),
            primary: vmcs.primary(),
            secondary: vmcs.secondary(),
            tertiary: vmcs.tertiary(),
            exit: vmcs.exit(),
            entry: vmcs.entry(),
            functions: vmcs.vm_functions(),
            cr0: Cr0::from_bits_retain(vmcs.get(Field::GuestCr0)),
            cr4: Cr4::from_bits_retain(vmcs.get(Field::GuestCr4)),
            rflags: Rflags::from_bits_retain(vmcs.get(Field::GuestRflags)),
            event: InterruptionInformation(vmcs.get32(Field::VmEntryInterruptionInformation)),
        }
    }
    /// A field.
    #[inline]
    pub fn get(&self, field: Field) -> u64 {
        self.vmcs.get(field)
    }
    /// “IA-32e mode guest”.
    #[inline]
    pub fn ia32e_guest(&self) -> bool {
        self.entry.contains(VmEntryControls::IA32E_MODE_GUEST)
    }
    /// “Unrestricted guest”.
    #[inline]
    pub fn unrestricted(&self) -> bool {
        self.secondary.contains(SecondaryProcessorControls::UNRESTRICTED_GUEST)
    }
    /// The guest is in virtual-8086 mode.
    #[inline]
    pub fn v8086(&self) -> bool {
        self.rflags.contains(Rflags::VM)
    }
    /// The guest uses PAE paging: CR0.PG, CR4.PAE, not IA-32e mode.
    #[inline]
    pub fn pae_paging_guest(&self) -> bool {
        self.cr0.contains(Cr0::PG) && self.cr4.contains(Cr4::PAE) && !self.ia32e_guest()
    }
    /// Whether the CR3 field has no bit beyond the physical-address width. The bits of linear-address masking, 62:61, are
    /// exempt where CR3 has them: in the state of IA-32e mode (SDM Vol. 3A 2.5).
    pub fn cr3_ok(&self, cr3: Field, ia32e_mode: bool) -> bool {
        let masking = if ia32e_mode { self.cpu.cr3_lam_mask } else { 0 };
        !crate::arch::addr::beyond_physical(self.get(cr3) & !masking, self.cpu.maxphyaddr)
    }
    /// CR3 without the bits that [`CheckContext::cr3_ok`] refuses.
    pub fn cr3_within(&self, cr3: Field, ia32e_mode: bool) -> u64 {
        let masking = if ia32e_mode { self.cpu.cr3_lam_mask } else { 0 };
        self.get(cr3) & (masking | crate::arch::addr::physical_mask(self.cpu.maxphyaddr))
    }
    /// Bits that the address of a VMX structure may have.
    pub fn address_bits(&self) -> u8 {
        let width = self.cpu.maxphyaddr;
        if self.caps.basic.addresses_limited_to_32_bits() { width.min(32) } else { width }
    }
    /// Entries of an MSR list at this address that lie within the physical-address width.
    pub fn msr_list_room(&self, address: Field) -> u64 {
        let end = 1u64 << self.address_bits().min(63);
        (end.saturating_sub(self.get(address)) / 16).min(u32::MAX.into())
    }
    /// No bit of a VMX structure's address is beyond the physical-address width.
    #[inline]
    pub fn width_ok(&self, address: u64) -> bool {
        !self.cpu.vmx_address_too_wide(address, self.caps.basic)
    }
    /// A good address of a 4-KByte VMX structure.
    #[inline]
    pub fn vmx_page(&self, address: u64) -> bool {
        crate::arch::addr::page_aligned(address) && self.width_ok(address)
    }
    /// Canonical for the processor's widest linear address.
    #[inline]
    pub fn canonical(&self, field: Field) -> bool {
        self.cpu.canonical(self.get(field))
    }
    /// IA32_EFER field as flags.
    #[inline]
    pub fn efer(&self, field: Field) -> Efer {
        Efer::from_bits_retain(self.get(field))
    }
    /// The last byte of an MSR list lies within the physical-address width.
    pub fn msr_list_end_ok(&self, address: Field, count: Field) -> bool {
        let bytes = u128::from(self.get(count)) * 16;
        let last = u128::from(self.get(address)) + bytes.saturating_sub(1);
        bytes == 0 || u64::try_from(last).is_ok_and(|last| self.width_ok(last))
    }
}

/// Declares rules: `"id" => [Fields], "required", [remedies], [when |c| condition,] |c| predicate [, show |c| detail];`.
///
/// `when` is what the SDM puts before a check: the control that turns it on, the valid bit of an event, virtual-8086 mode,
/// a register that is usable. Without it the rule always applies.
macro_rules! rules {
    (section $section:expr; stage $stage:expr; qualification $qualification:expr;
     $($id:expr => [$($field:ident),*], $required:expr, $remedy:expr, $(when |$w:ident| $when:expr,)? |$c:ident| $holds:expr
       $(, show |$d:ident| $detail:expr)?;)*) => {
        /// The rules as a table.
        pub static RULES: &[$crate::checks::Rule] = &[$(
            $crate::checks::Rule {
                id: $id,
                section: $section,
                stage: $stage,
                qualification: $qualification,
                fields: &[$($crate::field::Field::$field),*],
                required: $required,
                remedy: {
                    #[allow(unused_imports)]
                    use $crate::checks::remedy::*;
                    &$remedy
                },
                applies: $crate::checks::rules!(@applies $(|$w| $when)?),
                holds: |context| {
                    let applies = $crate::checks::rules!(@when context $(|$w| $when)?);
                    let $c = context;
                    !applies || $holds
                },
                detail: $crate::checks::rules!(@detail $(|$d| $detail)?),
            },
        )*];

        /// The same rules as straight-line code: the first that fails.
        #[allow(unused_assignments)]
        pub fn check(context: &$crate::checks::CheckContext) -> Result<(), &'static $crate::checks::Rule> {
            let mut number = 0;
            $({
                let applies = $crate::checks::rules!(@when context $(|$w| $when)?);
                let $c = context;
                if applies && !($holds) {
                    return Err(&RULES[number]);
                }
                number += 1;
            })*
            Ok(())
        }
    };
    (@when $context:ident) => { true };
    (@when $context:ident |$w:ident| $when:expr) => {{ let $w = $context; $when }};
    (@applies) => { |_| true };
    (@applies |$w:ident| $when:expr) => { |$w| $when };
    (@detail) => { None };
    (@detail |$d:ident| $detail:expr) => { Some(|$d| $detail) };
}
pub(crate) use rules;

/// Bits of a control word that break its capability MSR, for `show`.
fn wrong_bits(field: Field, value: u32, allowed: crate::caps::AllowedSettings) -> String {
    let (missing, excess) = (allowed.must_be_1() & !value, value & !allowed.may_be_1());
    differing(field, missing.into(), excess.into())
}

/// Bits of a field that are 0 and must be 1, and that are 1 and must be 0, for `show`.
fn differing(field: Field, missing: u64, excess: u64) -> String {
    let words = |bits| crate::names::bits_in_words(field, bits);
    format!("must be 1: {}, must be 0: {}", words(missing), words(excess))
}

/// Bits of CR0 that VM entry does not check, neither in the guest's CR0 nor in the host's: NW and CD, which VM entry and VM
/// exit leave as they are (SDM Vol. 3C 27.2.2, 27.3.1.1, footnotes).
pub(crate) const CR0_UNCHECKED: u64 = Cr0::NW.union(Cr0::CD).bits();

/// All tables, in the order in which the processor checks them.
pub fn tables() -> impl Iterator<Item = &'static [Rule]> {
    let before = [
        controls::execution::RULES,
        controls::vm_exit::RULES,
        controls::vm_entry::RULES,
        host::registers::RULES,
        host::segments::RULES,
        host::address_space::RULES,
        guest_cr::RULES,
    ];
    let after = [
        guest_tables::RULES,
        guest_rip::RULES,
        guest_nonreg::RULES,
        guest_nonreg::nmi_sti::RULES,
        guest_nonreg::link::RULES,
        pdpte::RULES,
    ];
    before.into_iter().chain(guest_seg::tables()).chain(after)
}

/// Every rule, in order.
pub fn all_rules() -> impl Iterator<Item = &'static Rule> {
    tables().flatten()
}

/// Checks on VMX controls and the host-state area: VMfailValid 7 or 8.
pub fn check_controls_and_host(context: &CheckContext) -> Result<(), &'static Rule> {
    controls::execution::check(context)?;
    controls::vm_exit::check(context)?;
    controls::vm_entry::check(context)?;
    host::registers::check(context)?;
    host::segments::check(context)?;
    host::address_space::check(context)
}

/// Checks on the guest-state area: exit reason 33.
pub fn check_guest(context: &CheckContext) -> Result<(), &'static Rule> {
    guest_cr::check(context)?;
    guest_seg::check(context)?;
    guest_tables::check(context)?;
    guest_rip::check(context)?;
    guest_nonreg::check(context)?;
    guest_nonreg::nmi_sti::check(context)?;
    guest_nonreg::link::check(context)?;
    pdpte::check(context)
}

/// All checks in order; the first that fails.
pub fn check(context: &CheckContext) -> Result<(), &'static Rule> {
    check_controls_and_host(context)?;
    check_guest(context)
}

/// All rules that fail.
pub fn failing(context: &CheckContext) -> Vec<&'static Rule> {
    all_rules().filter(|rule| !(rule.holds)(context)).collect()
}

/// How VMLAUNCH or VMRESUME fails before any field is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BasicFailure {
    /// No current VMCS, or a shadow VMCS.
    VmFailInvalid,
    /// With an error number.
    VmFailValid(VmInstructionError),
}

/// Basic VM-entry checks (SDM Vol. 3C 27.1): after the #UD, VM-exit and CPL checks of the instruction. `current` is the
/// current VMCS, `None` when the current-VMCS pointer is not valid.
pub fn basic_checks(current: Option<&Vmcs>, resume: bool, mov_ss_blocking: bool) -> Result<(), BasicFailure> {
    let vmcs = current.ok_or(BasicFailure::VmFailInvalid)?;
    if vmcs.shadow {
        return Err(BasicFailure::VmFailInvalid);
    }
    if mov_ss_blocking {
        return Err(BasicFailure::VmFailValid(VmInstructionError::EntryMovSsBlocking));
    }
    match (resume, vmcs.launch_state) {
        (false, LaunchState::Launched) => Err(BasicFailure::VmFailValid(VmInstructionError::VmlaunchNonClear)),
        (true, LaunchState::Clear) => Err(BasicFailure::VmFailValid(VmInstructionError::VmresumeNonLaunched)),
        _ => Ok(()),
    }
}
