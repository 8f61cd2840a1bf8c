//! Processor models: CPUID, MSRs and VMX capabilities as RON data.

pub mod features;
pub mod vmx;

use crate::hash::StableHash;
use emu_vmx::arch::Efer;
use emu_vmx::arch::msr::*;
use emu_vmx::caps::{AllowedSettings, EptVpidCap, ProcessorFacts, VmxBasic, VmxCapabilities, VmxMisc};
use emu_vmx::controls::{SecondaryVmExitControls, TertiaryProcessorControls, VmFunctions};
use emu_vmx::field::FieldSet;
use features::{Feature, Register};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;
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
    /// A model file that does not parse or does not fit together.
    #[error("CPU model {place}: {what}")]
    Invalid {
        /// Line and column, or the field.
        place: String,
        /// What is wrong.
        what: String,
    },
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Leaf {
    leaf: u32,
    subleaf: Option<u32>,
    values: (u32, u32, u32, u32),
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

#[derive(Debug, Clone, Deserialize)]
#[serde(rename = "Model", deny_unknown_fields)]
struct ModelFile {
    name: String,
    description: String,
    brand: String,
    cpuid: Vec<Leaf>,
    msrs: Vec<PlainMsr>,
    vmx: BTreeMap<u32, u64>,
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
    leaves: BTreeMap<(u32, u32), CpuidResult>,
    /// Leaves that ECX selects within.
    indexed: Vec<u32>,
    msrs: BTreeMap<u32, PlainMsr>,
    vmx: BTreeMap<u32, u64>,
    vmx_model: Option<Arc<VmxModel>>,
    features: u128,
    physical_bits: u8,
    max_basic_leaf: u32,
    max_extended_leaf: u32,
}

const BUILT_IN: &[(&str, &str)] = &[
    ("corei5_arrandale_m520", include_str!("../../models/corei5_arrandale_m520.ron")),
    ("max", include_str!("../../models/max.ron")),
];

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
        Self { name: "everything".into(), features, ..max }
    }

    /// A model from RON text.
    pub fn parse(text: &str) -> Result<Self, ModelError> {
        let file: ModelFile = ron::from_str(text)
            .map_err(|error| ModelError::Invalid { place: error.position.to_string(), what: error.code.to_string() })?;
        let mut leaves = BTreeMap::new();
        let mut indexed = Vec::new();
        for leaf in &file.cpuid {
            let (eax, ebx, ecx, edx) = leaf.values;
            leaves.insert((leaf.leaf, leaf.subleaf.unwrap_or(0)), CpuidResult { eax, ebx, ecx, edx });
            if leaf.subleaf.is_some() && !indexed.contains(&leaf.leaf) {
                indexed.push(leaf.leaf);
            }
        }
        for (leaf, result) in (0x8000_0002..).zip(brand_leaves(&file.brand)) {
            leaves.insert((leaf, 0), result);
        }
        let highest = |first: u32| leaves.get(&(first, 0)).map_or(0, |leaf| leaf.eax);
        let (max_basic_leaf, max_extended_leaf) = (highest(0), highest(0x8000_0000));
        let physical_bits = leaves.get(&(0x8000_0008, 0)).map_or(36, |leaf| leaf.eax as u8);
        if !(32..=52).contains(&physical_bits) {
            let what = format!("physical address width {physical_bits} is not in 32 to 52");
            return Err(ModelError::Invalid { place: "cpuid leaf 0x80000008".into(), what });
        }
        let mut msrs = BTreeMap::new();
        for msr in file.msrs {
            for n in 0..msr.count.min(256) {
                msrs.insert(msr.index.wrapping_add(n), PlainMsr { index: msr.index.wrapping_add(n), count: 1, ..msr });
            }
        }
        let mut model = Self {
            name: file.name,
            description: file.description,
            leaves,
            max_basic_leaf,
            max_extended_leaf,
            indexed,
            msrs,
            vmx: file.vmx,
            vmx_model: None,
            features: 0,
            physical_bits,
        };
        model.features = Feature::ALL.iter().filter(|&&f| model.has_bit(f)).fold(0, |all, &f| all | 1 << f as u32);
        model.vmx_model = model.make_vmx_model().map(Arc::new);
        Ok(model)
    }

    /// What the rules of VMX need of the model: from the capability MSRs and CPUID.
    fn make_vmx_model(&self) -> Option<VmxModel> {
        if !self.has(Feature::Vmx) {
            return None;
        }
        let msr = |index| self.vmx.get(&index).copied().unwrap_or(0);
        let settings = |index| AllowedSettings(msr(index));
        let caps = VmxCapabilities {
            basic: VmxBasic(msr(IA32_VMX_BASIC)),
            pinbased_ctls: settings(IA32_VMX_PINBASED_CTLS),
            procbased_ctls: settings(IA32_VMX_PROCBASED_CTLS),
            exit_ctls: settings(IA32_VMX_EXIT_CTLS),
            entry_ctls: settings(IA32_VMX_ENTRY_CTLS),
            misc: VmxMisc(msr(IA32_VMX_MISC)),
            cr0_fixed0: msr(IA32_VMX_CR0_FIXED0),
            cr0_fixed1: msr(IA32_VMX_CR0_FIXED1),
            cr4_fixed0: msr(IA32_VMX_CR4_FIXED0),
            cr4_fixed1: msr(IA32_VMX_CR4_FIXED1),
            vmcs_enum: msr(IA32_VMX_VMCS_ENUM),
            procbased_ctls2: settings(IA32_VMX_PROCBASED_CTLS2),
            ept_vpid_cap: EptVpidCap::from_bits_retain(msr(IA32_VMX_EPT_VPID_CAP)),
            true_pinbased_ctls: settings(IA32_VMX_TRUE_PINBASED_CTLS),
            true_procbased_ctls: settings(IA32_VMX_TRUE_PROCBASED_CTLS),
            true_exit_ctls: settings(IA32_VMX_TRUE_EXIT_CTLS),
            true_entry_ctls: settings(IA32_VMX_TRUE_ENTRY_CTLS),
            vmfunc: VmFunctions::from_bits_retain(msr(IA32_VMX_VMFUNC)),
            procbased_ctls3: TertiaryProcessorControls::from_bits_retain(msr(IA32_VMX_PROCBASED_CTLS3)),
            exit_ctls2: SecondaryVmExitControls::from_bits_retain(msr(IA32_VMX_EXIT_CTLS2)),
        };
        let writable = |index| self.plain_msr(index).map_or(0, |msr| msr.writable);
        let mut efer = Efer::empty();
        efer.set(Efer::SCE, self.has(Feature::Syscall));
        efer.set(Efer::LME | Efer::LMA, self.has(Feature::LongMode));
        efer.set(Efer::NXE, self.has(Feature::Nx));
        let facts = ProcessorFacts {
            maxphyaddr: self.physical_bits,
            linear_width: self.linear_bits(),
            perf_global_ctrl_mask: writable(IA32_PERF_GLOBAL_CTRL),
            debugctl_mask: self.debugctl_mask(),
            efer_mask: efer.bits(),
            rtit_ctl_mask: 0,
            lbr_ctl_mask: 0,
            s_cet_mask: 0,
            cr3_lam_mask: if self.has(Feature::Lam) { 3 << 61 } else { 0 },
            sgx: false,
            rtm: self.has(Feature::Rtm),
            bus_lock_detect: false,
            mtf_injection: true,
        };
        Some(VmxModel { fields: FieldSet::supported(&caps), caps, facts })
    }

    /// VMX as the rules need it; `None` for a model without.
    pub fn vmx(&self) -> Option<&Arc<VmxModel>> {
        self.vmx_model.as_ref()
    }

    fn has_bit(&self, feature: Feature) -> bool {
        let (leaf, subleaf, register, bit) = feature.place();
        let result = self.leaves.get(&(leaf, subleaf)).copied().unwrap_or_default();
        let value = match register {
            Register::Eax => result.eax,
            Register::Ebx => result.ebx,
            Register::Ecx => result.ecx,
            Register::Edx => result.edx,
        };
        value >> bit & 1 != 0
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
            leaves,
            indexed,
            msrs,
            vmx,
            // Follow from the others.
            vmx_model: _,
            features: _,
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

    /// The bits of IA32_DEBUGCTL that may be written.
    pub fn debugctl_mask(&self) -> u64 {
        0x7FC3 | if self.has(Feature::Rtm) { 1 << 15 } else { 0 }
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

    /// A leaf as the model file has it; zeros where there is none.
    pub fn leaf(&self, leaf: u32, subleaf: u32) -> CpuidResult {
        let subleaf = if self.indexed.contains(&leaf) { subleaf } else { 0 };
        self.leaves.get(&(leaf, subleaf)).copied().unwrap_or_default()
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
        self.leaves.iter().map(|(&place, &result)| (place, result))
    }

    /// An MSR that is only stored.
    pub fn plain_msr(&self, index: u32) -> Option<PlainMsr> {
        self.msrs.get(&index).copied()
    }

    /// All MSRs that are only stored.
    pub fn plain_msrs(&self) -> impl Iterator<Item = &PlainMsr> {
        self.msrs.values()
    }

    /// The VMX capability MSRs, by index.
    pub fn vmx_capabilities(&self) -> &BTreeMap<u32, u64> {
        &self.vmx
    }
}

fn brand_leaves(brand: &str) -> [CpuidResult; 3] {
    let mut bytes = [0u8; 48];
    for (place, byte) in bytes.iter_mut().zip(brand.bytes().take(47)) {
        *place = byte;
    }
    let word = |n: usize| u32::from_le_bytes([bytes[n * 4], bytes[n * 4 + 1], bytes[n * 4 + 2], bytes[n * 4 + 3]]);
    [0, 4, 8].map(|n| CpuidResult { eax: word(n), ebx: word(n + 1), ecx: word(n + 2), edx: word(n + 3) })
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
