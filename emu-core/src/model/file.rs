//! A model's file: RON text.

use super::contents::Contents;
use super::lbr::LbrModel;
use super::{CpuModel, CpuidResult, ModelError, PlainMsr};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt::Write;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Leaf {
    pub leaf: u32,
    pub subleaf: Option<u32>,
    pub values: (u32, u32, u32, u32),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename = "Model", deny_unknown_fields)]
pub(super) struct ModelFile {
    pub name: String,
    pub description: String,
    /// The brand string; without it, leaves 80000002h to 80000004h are as they stand.
    #[serde(default)]
    pub brand: String,
    /// Where the values come from.
    #[serde(default)]
    pub sources: Vec<String>,
    /// The table of cycles that is the processor's, or the nearest.
    #[serde(default)]
    pub cycles: String,
    /// Features and controls that are reported although they are not implemented.
    #[serde(default)]
    pub reported: Vec<String>,
    /// Capability MSRs of which no dump is known, and the rule that the value comes from.
    #[serde(default)]
    pub derived: BTreeMap<u32, String>,
    pub cpuid: Vec<Leaf>,
    pub msrs: Vec<PlainMsr>,
    /// The stack of last branch records; those of CPUID leaf 1Ch need nothing here.
    #[serde(default)]
    pub lbr: Option<LbrModel>,
    pub vmx: BTreeMap<u32, u64>,
}

/// Reads RON text.
pub(super) fn read(text: &str) -> Result<ModelFile, ModelError> {
    ron::from_str(text).map_err(|error| ModelError::Syntax(Box::new(error)))
}

/// What a file says.
pub(super) fn contents_of(file: &ModelFile) -> Contents {
    let (mut leaves, mut indexed) = (BTreeMap::new(), Vec::new());
    for leaf in &file.cpuid {
        let (eax, ebx, ecx, edx) = leaf.values;
        leaves.insert((leaf.leaf, leaf.subleaf.unwrap_or(0)), CpuidResult { eax, ebx, ecx, edx });
        if leaf.subleaf.is_some() && !indexed.contains(&leaf.leaf) {
            indexed.push(leaf.leaf);
        }
    }
    for (leaf, result) in (0x8000_0002..).zip(brand_leaves(&file.brand)).filter(|_| !file.brand.is_empty()) {
        leaves.insert((leaf, 0), result);
    }
    let mut msrs = BTreeMap::new();
    for msr in &file.msrs {
        for n in 0..msr.count.min(256) {
            let index = msr.index.wrapping_add(n);
            msrs.insert(index, PlainMsr { index, count: 1, ..*msr });
        }
    }
    Contents { leaves, indexed, msrs, vmx: file.vmx.clone(), lbr: file.lbr }
}

/// A model's file: the real machine that it is made from.
pub(super) fn write(model: &CpuModel) -> String {
    let contents = &model.real;
    let mut out = format!("Model(\n    name: {:?},\n    description: {:?},\n", model.name(), model.description());
    let strings = |list: &[String]| list.iter().map(|text| format!("        {text:?},\n")).collect::<String>();
    // Writing to a string does not fail.
    let _ = write!(out, "    sources: [\n{}    ],\n", strings(&model.sources));
    if !model.cycles.is_empty() {
        let _ = writeln!(out, "    cycles: {:?},", model.cycles);
    }
    let _ = write!(out, "    reported: [\n{}    ],\n    derived: {{\n", strings(&model.reported));
    for (index, rule) in &model.derived {
        let _ = writeln!(out, "        0x{index:X}: {rule:?},");
    }
    out.push_str("    },\n    // CPUID leaves as the registers EAX, EBX, ECX, EDX.\n    cpuid: [\n");
    for ((leaf, subleaf), r) in &contents.leaves {
        let subleaf = if contents.indexed.contains(leaf) { format!("Some({subleaf})") } else { "None".to_owned() };
        let _ = writeln!(
            out,
            "        (leaf: 0x{leaf:X}, subleaf: {subleaf}, values: (0x{:08X}, 0x{:08X}, 0x{:08X}, 0x{:08X})),",
            r.eax, r.ebx, r.ecx, r.edx
        );
    }
    out.push_str("    ],\n    // MSRs that are only stored: value after reset, and the bits that WRMSR may change.\n    msrs: [\n");
    for msr in contents.msrs.values() {
        let name = crate::msr::name(msr.index).map_or(String::new(), |name| format!(" // {name}"));
        let (index, reset, writable) = (msr.index, msr.reset, msr.writable);
        let _ = writeln!(out, "        (index: 0x{index:X}, reset: 0x{reset:X}, writable: 0x{writable:X}),{name}");
    }
    out.push_str("    ],\n");
    if let Some(LbrModel { entries, from, to, info, select, format, control: _, depths: _, information: _ }) =
        contents.lbr
    {
        let _ = writeln!(
            out,
            "    lbr: Some((entries: {entries}, from: 0x{from:X}, to: 0x{to:X}, info: 0x{info:X}, select: 0x{select:X}, format: {format})),"
        );
    }
    out.push_str("    // VMX capability MSRs.\n    vmx: {\n");
    for (index, value) in &contents.vmx {
        let _ = writeln!(out, "        0x{index:X}: 0x{value:016X},");
    }
    out.push_str("    },\n)\n");
    out
}

fn brand_leaves(brand: &str) -> [CpuidResult; 3] {
    let mut bytes = [0u8; 48];
    for (place, byte) in bytes.iter_mut().zip(brand.bytes().take(47)) {
        *place = byte;
    }
    let word = |n: usize| u32::from_le_bytes([bytes[n * 4], bytes[n * 4 + 1], bytes[n * 4 + 2], bytes[n * 4 + 3]]);
    [0, 4, 8].map(|n| CpuidResult { eax: word(n), ebx: word(n + 1), ecx: word(n + 2), edx: word(n + 3) })
}
