//! Processor models: CPUID, MSRs and VMX capabilities as RON data.

mod changes;
mod contents;
pub mod controls;
mod depends;
pub mod features;
mod file;
mod item;
pub mod lbr;
mod offered;
pub mod pmu;
pub mod vmx;

pub use item::Item;

use crate::cycles::table::{Table, TableError};
use crate::hash::StableHash;
use contents::Contents;
use emu_vmx::arch::Efer;
use emu_vmx::arch::cet;
use emu_vmx::arch::cr::Cr4;
use emu_vmx::arch::msr::*;
use emu_vmx::caps::ProcessorFacts;
use emu_vmx::field::FieldSet;
use emu_vmx::region::RegionLayout;
use features::Feature;
use file::{contents_of, read};
use lbr::LbrModel;
use pmu::PmuModel;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use vmx::VmxModel;

/// A model cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// No such name.
    #[error("no CPU model is called {name:?}; there are: {known}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// Names that exist.
        known: String,
    },
    /// A model file that does not parse: line, column and what RON says of it.
    #[error("CPU model {0}")]
    Syntax(Box<ron::error::SpannedError>),
    /// A model file that does not fit together.
    #[error("CPU model {place}: {what}")]
    Invalid {
        /// The field.
        place: String,
        /// What is wrong.
        what: String,
    },
    /// No feature and no control has this name.
    #[error("no feature or VMX control is called {name:?}; the nearest name is {nearest:?}")]
    UnknownFeature {
        /// What was asked for.
        name: String,
        /// The name that is least unlike it.
        nearest: String,
    },
    /// A change without a name.
    #[error("a name is missing {place}")]
    NoName {
        /// Where.
        place: &'static str,
    },
    /// A feature cannot be added or taken away.
    #[error("{feature:?}: {reason}")]
    Refused {
        /// Its name.
        feature: String,
        /// Why not.
        reason: String,
    },
}

/// An MSR that the processor only stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlainMsr {
    /// Index of the first.
    pub index: u32,
    /// How many follow each other.
    #[serde(default = "one")]
    pub count: u32,
    /// Value after reset.
    pub reset: u64,
    /// Bits that WRMSR may change.
    pub writable: u64,
}

fn one() -> u32 {
    1
}

/// CPUID's result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CpuidResult {
    /// EAX.
    pub eax: u32,
    /// EBX.
    pub ebx: u32,
    /// ECX.
    pub ecx: u32,
    /// EDX.
    pub edx: u32,
}

/// One processor model.
#[derive(Debug, Clone)]
pub struct CpuModel {
    name: String,
    description: String,
    sources: Vec<String>,
    cycles: String,
    reported: Vec<String>,
    derived: BTreeMap<u32, String>,
    /// The real processor's, as the file has it.
    real: Arc<Contents>,
    /// What is offered of it, and what was changed.
    contents: Contents,
    vmx_model: Option<Arc<VmxModel>>,
    pmu: PmuModel,
    lbr: Option<LbrModel>,
    features: u128,
    cr4: Cr4,
    physical_bits: u8,
    max_basic_leaf: u32,
    max_extended_leaf: u32,
}

const BUILT_IN: &[(&str, &str)] = &[
    ("penryn", include_str!("../../models/penryn.ron")),
    ("corei5_arrandale_m520", include_str!("../../models/corei5_arrandale_m520.ron")),
    ("sandy_bridge", include_str!("../../models/sandy_bridge.ron")),
    ("haswell", include_str!("../../models/haswell.ron")),
    ("skylake_sp", include_str!("../../models/skylake_sp.ron")),
    ("ice_lake", include_str!("../../models/ice_lake.ron")),
    ("tiger_lake", include_str!("../../models/tiger_lake.ron")),
    ("sapphire_rapids", include_str!("../../models/sapphire_rapids.ron")),
    ("wildcat_lake", include_str!("../../models/wildcat_lake.ron")),
    ("max", include_str!("../../models/max.ron")),
];

/// The name of the model that has all that is implemented.
const MAX: &str = "max";

/// Its contents: what is implemented.
static IMPLEMENTED: LazyLock<Contents> = LazyLock::new(|| {
    let text = BUILT_IN.iter().find(|model| model.0 == MAX).map_or("", |model| model.1);
    let file = read(text).unwrap_or_else(|error| unreachable!("the built-in models parse: {error}"));
    contents_of(&file)
});

/// The model a machine has unless another is named.
pub const DEFAULT: &str = "corei5_arrandale_m520";

impl CpuModel {
    /// Names of the built-in models.
    pub fn names() -> impl Iterator<Item = &'static str> {
        BUILT_IN.iter().map(|model| model.0)
    }

    /// A built-in model.
    pub fn named(name: &str) -> Result<Self, ModelError> {
        let Some(model) = BUILT_IN.iter().find(|model| model.0 == name) else {
            let known = Self::names().collect::<Vec<_>>().join(", ");
            return Err(ModelError::Unknown { name: name.into(), known });
        };
        Self::parse(model.1)
    }

    /// The default model, the book's own processor.
    pub fn default_model() -> Self {
        Self::named(DEFAULT).unwrap_or_else(|error| unreachable!("the built-in models parse: {error}"))
    }

    /// The model `max` with every feature of [`Feature::ALL`], implemented or not: for comparing single instructions.
    pub fn everything() -> Self {
        let max = Self::named("max").unwrap_or_else(|error| unreachable!("the built-in models parse: {error}"));
        let features = Feature::ALL.iter().fold(0, |all, &feature| all | 1 << feature as u32);
        let cr4 = depends::CR4_FEATURES.iter().fold(Cr4::empty(), |all, row| all | row.0);
        Self { name: "everything".into(), features, cr4, ..max }
    }

    /// A built-in model with changes: `haswell,-vpid,+pcid`.
    pub fn of_spec(spec: &str) -> Result<Self, ModelError> {
        match spec.split_once(',') {
            None => Self::named(spec),
            Some((name, changes)) => Self::named(name.trim())?.with(changes),
        }
    }

    /// The model with features and controls put in and taken out by name, and with another physical-address width:
    /// `-vpid,+pcid,phys-bits=40`. What cannot be without what is taken out goes with it.
    pub fn with(&self, changes: &str) -> Result<Self, ModelError> {
        let contents = changes::apply(&self.contents, changes, &self.reported, &IMPLEMENTED)?;
        Self { contents, name: format!("{},{changes}", self.name), ..self.clone() }.derive()
    }

    /// The model with another stack of last branch records, or none; IA32_PERF_CAPABILITIES tells of it.
    pub fn with_lbr(&self, lbr: Option<LbrModel>) -> Result<Self, ModelError> {
        let mut contents = self.contents.clone();
        contents.lbr = lbr;
        if let Some(listed) = contents.msrs.get_mut(&IA32_PERF_CAPABILITIES) {
            listed.reset = listed.reset & !0x3F | lbr.map_or(0, |lbr| u64::from(lbr.format));
        }
        Self { contents, ..self.clone() }.derive()
    }

    /// Whether a specification as that of [`CpuModel::of_spec`] says how wide physical addresses are.
    pub fn spec_has_physical_bits(spec: &str) -> bool {
        spec.split(',').skip(1).any(|word| changes::width(word).is_some())
    }

    /// The model of a real machine's leaves – place (the subleaf where there are subleaves) and result – and VMX capability
    /// MSRs. Registers that are only stored it has as `max` has them; `derived` are capability MSRs that were not among what
    /// was read, and what their values were derived from.
    pub fn of_machine(
        name: &str,
        source: &str,
        leaves: &[(u32, Option<u32>, CpuidResult)],
        vmx: &BTreeMap<u32, u64>,
        derived: BTreeMap<u32, String>,
    ) -> Result<Self, ModelError> {
        let cpuid = leaves
            .iter()
            .map(|&(leaf, subleaf, r)| file::Leaf { leaf, subleaf, values: (r.eax, r.ebx, r.ecx, r.edx) })
            .collect();
        let mut file = file::ModelFile {
            name: name.to_owned(),
            description: format!("the machine of {source}"),
            brand: String::new(),
            sources: vec![source.to_owned()],
            cycles: String::new(),
            reported: Vec::new(),
            derived,
            cpuid,
            msrs: IMPLEMENTED.msrs.values().copied().collect(),
            lbr: None,
            vmx: vmx.clone(),
        };
        // How a stack of last branch records would look cannot be read.
        let architectural = contents_of(&file).feature(Feature::ArchLbr);
        let told = file.msrs.iter_mut().filter(|msr| msr.index == IA32_PERF_CAPABILITIES && !architectural);
        told.for_each(|msr| msr.reset &= !0x3F);
        Self::of_file(file)
    }

    /// The real machine that the model is made from, as RON text that [`CpuModel::parse`] reads. Changes are not in it.
    pub fn to_ron(&self) -> String {
        file::write(self)
    }

    /// A model from RON text.
    pub fn parse(text: &str) -> Result<Self, ModelError> {
        Self::of_file(read(text)?)
    }

    fn of_file(file: file::ModelFile) -> Result<Self, ModelError> {
        let real = contents_of(&file);
        if let Some(name) = file.reported.iter().find(|name| Item::find(name).is_none_or(|item| item.name() != *name)) {
            let what = format!("no feature or VMX control is called {name:?}");
            return Err(ModelError::Invalid { place: "reported".into(), what });
        }
        let contents = match file.name == MAX {
            true => real.clone(),
            false => offered::offered(&real, &file.reported, &IMPLEMENTED),
        };
        let model = Self {
            name: file.name,
            description: file.description,
            sources: file.sources,
            cycles: file.cycles,
            reported: file.reported,
            derived: file.derived,
            real: Arc::new(real),
            contents,
            vmx_model: None,
            pmu: PmuModel::default(),
            lbr: None,
            features: 0,
            cr4: Cr4::empty(),
            physical_bits: 0,
            max_basic_leaf: 0,
            max_extended_leaf: 0,
        };
        model.derive()
    }

    /// Fills in what follows from the contents.
    fn derive(mut self) -> Result<Self, ModelError> {
        let contents = &self.contents;
        let highest = |first: u32| contents.leaf(first, 0).eax;
        (self.max_basic_leaf, self.max_extended_leaf) = (highest(0), highest(0x8000_0000));
        self.physical_bits = contents.physical_bits();
        if !changes::WIDTHS.contains(&self.physical_bits) {
            let what = format!("physical address width {} is not in 32 to 52", self.physical_bits);
            return Err(ModelError::Invalid { place: "cpuid leaf 0x80000008".into(), what });
        }
        self.features = Feature::ALL.iter().filter(|&&f| contents.feature(f)).fold(0, |all, &f| all | 1 << f as u32);
        self.cr4 = Cr4::from_bits_retain(self.contents.cr4());
        let capabilities = self.plain_msr(IA32_PERF_CAPABILITIES).filter(|_| self.has(Feature::Pdcm));
        self.pmu = PmuModel::new(&self.leaf(0xA, 0), capabilities.map(|msr| msr.reset), self.signature());
        self.lbr = match self.has(Feature::ArchLbr) {
            true => LbrModel::architectural(&self.leaf(lbr::LEAF, 0)),
            false => self.contents.lbr,
        };
        self.check_lbr(capabilities.map(|msr| msr.reset))?;
        self.vmx_model = self.make_vmx_model().map(Arc::new);
        if let Some(vmx) = &self.vmx_model {
            let (room, size) = (usize::from(vmx.caps.basic.region_size()), vmx.layout.size());
            if !(size..=4096).contains(&room) {
                let what = format!(
                    "bits 44:32 give a VMCS region {room} bytes, and the fields of the controls that are offered take {size}; \
                     at most 4096 may be given"
                );
                return Err(ModelError::Invalid { place: "vmx 0x480 (IA32_VMX_BASIC)".into(), what });
            }
        }
        Ok(self)
    }

    /// The registers of last branch records are those that IA32_PERF_CAPABILITIES tells of (`capabilities`).
    fn check_lbr(&self, capabilities: Option<u64>) -> Result<(), ModelError> {
        if let Some(lbr) = &self.contents.lbr {
            lbr.check()?;
        }
        let format = self.lbr.map_or(0, |lbr| lbr.format);
        match capabilities.map(|value| (value & 0x3F) as u8).filter(|told| *told != format) {
            None => Ok(()),
            Some(told) => {
                let place = format!("msrs {IA32_PERF_CAPABILITIES:#X} (IA32_PERF_CAPABILITIES)");
                let what =
                    format!("bits 5:0 are {told:#x}, and the format of last branch records is {format:#x}; give that");
                Err(ModelError::Invalid { place, what })
            }
        }
    }

    /// Bits of IA32_SPEC_CTRL that are not reserved: those of the features that CPUID reports. STIBP can be written wherever
    /// IBRS can (SDM Vol. 4 Table 2-2, "IA32_SPEC_CTRL").
    pub fn spec_ctrl_mask(&self) -> u64 {
        if !self.has(Feature::SpecCtrl) {
            return 0;
        }
        let (leaf, more) = (self.leaf(7, 0).edx, self.leaf(7, 2).edx);
        let bits = |register: u32, bit: u32, mask: u64| if register >> bit & 1 != 0 { mask } else { 0 };
        0x3 | bits(leaf, 31, 0x4) // SSBD
            | bits(more, 0, 0x80) // PSFD
            | bits(more, 1, 0x18) // IPRED_DIS
            | bits(more, 2, 0x60) // RRSBA_DIS
            | bits(more, 3, 0x100) // DDPD
            | bits(more, 4, 0x400) // BHI_DIS
    }

    /// What the rules of VMX need of the model: from the capability MSRs and CPUID.
    fn make_vmx_model(&self) -> Option<VmxModel> {
        if !self.has(Feature::Vmx) {
            return None;
        }
        let caps = self.contents.caps();
        let mut efer = Efer::empty();
        efer.set(Efer::SCE, self.has(Feature::Syscall));
        efer.set(Efer::LME | Efer::LMA, self.has(Feature::LongMode));
        efer.set(Efer::NXE, self.has(Feature::Nx));
        let facts = ProcessorFacts {
            maxphyaddr: self.physical_bits,
            linear_width: self.linear_bits(),
            perf_global_ctrl_mask: self.pmu.global_mask(),
            debugctl_mask: self.debugctl_mask(),
            efer_mask: efer.bits(),
            rtit_ctl_mask: 0,
            lbr_ctl_mask: self.lbr.map_or(0, |lbr| lbr.control),
            s_cet_mask: cet::defined(self.has(Feature::CetSs), self.has(Feature::CetIbt)),
            spec_ctrl_mask: self.spec_ctrl_mask(),
            cr3_lam_mask: if self.has(Feature::Lam) { 3 << 61 } else { 0 },
            sgx: false,
            rtm: self.has(Feature::Rtm),
            bus_lock_detect: false,
            mtf_injection: true,
        };
        let fields = FieldSet::supported(&caps);
        Some(VmxModel { layout: RegionLayout::of(&fields), fields, caps, facts })
    }

    /// VMX as the rules need it; `None` for a model without.
    pub fn vmx(&self) -> Option<&Arc<VmxModel>> {
        self.vmx_model.as_ref()
    }

    /// Performance monitoring, as leaf 0Ah reports it.
    #[inline]
    pub fn pmu(&self) -> &PmuModel {
        &self.pmu
    }

    /// Last branch records; `None` without.
    #[inline]
    pub fn lbr(&self) -> Option<&LbrModel> {
        self.lbr.as_ref()
    }

    /// Whether the model has a feature or a control.
    pub fn has_item(&self, item: Item) -> bool {
        self.contents.has(item)
    }

    /// Whether VM entry demands that a control is 1.
    pub fn demands(&self, item: Item) -> bool {
        self.contents.demands(item)
    }

    /// What the real processor has and is not offered, since it is not implemented or was taken away.
    pub fn not_offered(&self) -> impl Iterator<Item = Item> {
        Item::all().filter(|item| self.real.has(*item) && !self.contents.has(*item))
    }

    /// What is reported although it is not implemented.
    pub fn reported(&self) -> impl Iterator<Item = Item> {
        self.reported.iter().filter_map(|name| Item::find(name)).filter(|item| self.contents.has(*item))
    }

    /// Where the values come from.
    pub fn sources(&self) -> &[String] {
        &self.sources
    }

    /// The name of the table of cycles that is the processor's, or the nearest; empty if the model's file names none.
    pub fn cycles(&self) -> &str {
        &self.cycles
    }

    /// The table of cycles, for a clock that counts them.
    pub fn table(&self) -> Result<Arc<Table>, ModelError> {
        if self.cycles.is_empty() {
            let known = Table::names().collect::<Vec<_>>().join(", ");
            let what = format!("the model names no table of cycles; its file can have one of: {known}");
            return Err(ModelError::Invalid { place: "cycles".into(), what });
        }
        let invalid = |error: TableError| ModelError::Invalid { place: "cycles".into(), what: error.to_string() };
        Table::named(&self.cycles).map_err(invalid)
    }

    /// Capability MSRs of which no dump is known, and the rules that their values come from.
    pub fn derived(&self) -> &BTreeMap<u32, String> {
        &self.derived
    }

    /// The real processor's capability MSRs, as the file has them.
    pub fn real_capabilities(&self) -> &BTreeMap<u32, u64> {
        &self.real.vmx
    }

    /// The real processor's leaves, as the file has them.
    pub fn real_leaves(&self) -> impl Iterator<Item = ((u32, u32), CpuidResult)> {
        self.real.leaves.iter().map(|(&place, &result)| (place, result))
    }

    /// The flags of CR4 that its features bring.
    pub fn cr4(&self) -> Cr4 {
        self.cr4
    }

    /// Name, as `--cpu-model` takes it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A hash of all that guests can see of it.
    pub fn fingerprint(&self) -> u64 {
        let Self {
            name: _,
            description: _,
            sources: _,
            cycles: _,
            reported: _,
            derived: _,
            real: _,
            contents: Contents { leaves, indexed, msrs, vmx, lbr },
            // Follow from the contents.
            vmx_model: _,
            pmu: _,
            lbr: _,
            features: _,
            cr4: _,
            physical_bits: _,
            max_basic_leaf: _,
            max_extended_leaf: _,
        } = self;
        let mut hash = StableHash::new();
        for (place, result) in leaves {
            hash.value(&(place, result.eax, result.ebx, result.ecx, result.edx)).expect("numbers have an encoding");
        }
        for msr in msrs.values() {
            hash.value(&(msr.index, msr.reset, msr.writable)).expect("numbers have an encoding");
        }
        hash.value(&(indexed, vmx)).expect("numbers have an encoding");
        if let Some(LbrModel { entries, from, to, info, select, format, control: _, depths: _, information: _ }) = lbr {
            hash.value(&(entries, from, to, info, select, format)).expect("numbers have an encoding");
        }
        hash.get()
    }

    /// One line that tells what it is.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// Width of a physical address, 32 to 52 bits.
    #[inline]
    pub fn physical_bits(&self) -> u8 {
        self.physical_bits
    }

    /// Width of the widest linear address: 48 or 57 bits.
    #[inline]
    pub fn linear_bits(&self) -> u8 {
        if self.has(Feature::La57) { 57 } else { 48 }
    }

    /// The bits of IA32_DEBUGCTL that may be written (SDM Vol. 4 Table 2-2).
    pub fn debugctl_mask(&self) -> u64 {
        let freezes_on_pmi = self.has(Feature::Pdcm) && self.pmu.version > 1;
        0x2042
            | if self.has(Feature::Ds) { 0xF << 7 } else { 0 }
            | if self.lbr.is_some() { 1 } else { 0 }
            | if freezes_on_pmi { 3 << 11 } else { 0 }
            | if self.pmu.freezes_in_smm { 1 << 14 } else { 0 }
            | if self.has(Feature::Rtm) { 1 << 15 } else { 0 }
    }

    /// Machine-check banks, as IA32_MCG_CAP counts them.
    pub fn machine_check_banks(&self) -> u32 {
        self.plain_msr(IA32_MCG_CAP).map_or(0, |msr| msr.reset as u32 & 0xFF)
    }

    /// Whether the model has a feature.
    #[inline]
    pub fn has(&self, feature: Feature) -> bool {
        self.features >> feature as u32 & 1 != 0
    }

    /// CPUID.80000001H:EDX.Page1GB.
    #[inline]
    pub fn has_1g_pages(&self) -> bool {
        self.has(Feature::Page1Gb)
    }

    /// Processor signature: CPUID.01H:EAX, also in EDX after reset.
    pub fn signature(&self) -> u32 {
        self.leaf(1, 0).eax
    }

    /// A leaf before what depends on the processor is filled in; zeros where there is none.
    pub fn leaf(&self, leaf: u32, subleaf: u32) -> CpuidResult {
        self.contents.leaf(leaf, subleaf)
    }

    /// Highest basic leaf.
    pub fn max_basic_leaf(&self) -> u32 {
        self.max_basic_leaf
    }

    /// Highest extended leaf.
    pub fn max_extended_leaf(&self) -> u32 {
        self.max_extended_leaf
    }

    /// All leaves, for `cpu-models NAME`.
    pub fn leaves(&self) -> impl Iterator<Item = ((u32, u32), CpuidResult)> {
        self.contents.leaves.iter().map(|(&place, &result)| (place, result))
    }

    /// An MSR that is only stored.
    pub fn plain_msr(&self, index: u32) -> Option<PlainMsr> {
        self.contents.msrs.get(&index).copied()
    }

    /// All MSRs that are only stored.
    pub fn plain_msrs(&self) -> impl Iterator<Item = &PlainMsr> {
        self.contents.msrs.values()
    }

    /// The VMX capability MSRs, by index.
    pub fn vmx_capabilities(&self) -> &BTreeMap<u32, u64> {
        &self.contents.vmx
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_model_parses_and_has_its_own_name() {
        for name in CpuModel::names() {
            assert_eq!(CpuModel::named(name).map(|model| model.name().to_owned()), Ok(name.to_owned()));
        }
    }

    #[test]
    fn the_m520_has_sse4_2_and_vmx_but_neither_avx_nor_x2apic() {
        let model = CpuModel::default_model();
        assert!(model.has(Feature::Sse42) && model.has(Feature::Vmx));
        assert!(!model.has(Feature::Avx) && !model.has(Feature::X2Apic));
        assert_eq!(model.physical_bits(), 40);
    }

    #[test]
    fn an_unknown_model_names_those_there_are() {
        let error = CpuModel::named("z80").expect_err("there is no such model").to_string();
        assert!(error.contains("z80") && error.contains("max"), "{error}");
    }
}
