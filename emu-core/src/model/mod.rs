//! Processor models: CPUID, MSRs and costs as data.

use iced_x86::CpuidFeature;

/// One processor model.
#[derive(Debug, Clone)]
pub struct CpuModel {
    name: String,
    physical_bits: u8,
}

impl CpuModel {
    /// The default model, the book's own processor.
    pub fn default_model() -> Self {
        Self { name: "corei5_arrandale_m520".into(), physical_bits: 40 }
    }

    /// Name, as `--cpu-model` takes it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Width of a physical address, 32 to 52 bits.
    #[inline]
    pub fn physical_bits(&self) -> u8 {
        self.physical_bits
    }

    /// CPUID.80000001H:EDX.Page1GB.
    pub fn has_1g_pages(&self) -> bool {
        false
    }

    /// Processor signature: CPUID.01H:EAX, also in EDX after reset.
    pub fn signature(&self) -> u32 {
        0x0002_0652
    }

    /// Whether instructions that need `feature` exist.
    pub fn offers(&self, feature: CpuidFeature) -> bool {
        crate::decode::lower::is_base_feature(feature)
    }
}
