//! Processor models: CPUID, MSRs and VMX capabilities as RON data.

pub mod features;

use features::{Feature, Register};
use iced_x86::CpuidFeature;
use serde::Deserialize;
use std::collections::BTreeMap;

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
    features: u128,
    physical_bits: u8,
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
            indexed,
            msrs,
            vmx: file.vmx,
            features: 0,
            physical_bits,
        };
        model.features = Feature::ALL.iter().filter(|&&f| model.has_bit(f)).fold(0, |all, &f| all | 1 << f as u32);
        Ok(model)
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

    /// One line that tells what it is.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// Width of a physical address, 32 to 52 bits.
    #[inline]
    pub fn physical_bits(&self) -> u8 {
        self.physical_bits
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
        self.leaf(0, 0).eax
    }

    /// Highest extended leaf.
    pub fn max_extended_leaf(&self) -> u32 {
        self.leaf(0x8000_0000, 0).eax
    }

    /// All leaves, for `cpu-models NAME`.
    pub fn leaves(&self) -> impl Iterator<Item = ((u32, u32), CpuidResult)> {
        self.leaves.iter().map(|(&place, &result)| (place, result))
    }

    /// An MSR that is only stored.
    pub fn plain_msr(&self, index: u32) -> Option<PlainMsr> {
        self.msrs.get(&index).copied()
    }

    /// The VMX capability MSRs, by index.
    pub fn vmx_capabilities(&self) -> &BTreeMap<u32, u64> {
        &self.vmx
    }

    /// Whether instructions that need `feature` exist.
    pub fn offers(&self, feature: CpuidFeature) -> bool {
        if crate::decode::lower::is_base_feature(feature) {
            return true;
        }
        Feature::of_instructions(feature).is_some_and(|features| features.iter().any(|&f| self.has(f)))
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
