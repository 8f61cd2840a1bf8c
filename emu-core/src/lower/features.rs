//! Which instructions a model has: the decoder's classes and the features of CPUID.

use crate::model::CpuModel;
use crate::model::features::Feature;
use emu_vmx::caps::EptVpidCap;
use iced_x86::CpuidFeature;

/// Whether a model has the instructions of a decoder's class.
pub fn is_offered(model: &CpuModel, class: CpuidFeature) -> bool {
    let vmx = |bit| model.vmx().is_some_and(|vmx| vmx.caps.ept_vpid_cap.contains(bit));
    match class {
        // SDM Vol. 3C 31.3 "VMX Instructions": IA32_VMX_EPT_VPID_CAP has them.
        CpuidFeature::INVEPT => vmx(EptVpidCap::INVEPT),
        CpuidFeature::INVVPID => vmx(EptVpidCap::INVVPID),
        _ => is_base_feature(class) || feature_of(class).is_some_and(|feature| model.has(feature)),
    }
}

macro_rules! classes {
    ($($class:ident $feature:ident;)*) => {
        /// The feature that must be there for the instructions of a class.
        fn feature_of(class: CpuidFeature) -> Option<Feature> {
            match class {
                $(CpuidFeature::$class => Some(Feature::$feature),)*
                _ => None,
            }
        }
    };
}

classes! {
    TSC Tsc; MSR Msr; CX8 Cx8; SEP Sep; CMOV Cmov; CLFSH Clfsh; MMX Mmx; FXSR Fxsr; SSE Sse; SSE2 Sse2; SSE3 Sse3;
    PCLMULQDQ Pclmulqdq; MONITOR Monitor; VMX Vmx; SMX Smx; SSSE3 Ssse3; FMA Fma;
    CMPXCHG16B Cx16; SSE4_1 Sse41; SSE4_2 Sse42; MOVBE Movbe; POPCNT Popcnt; AES Aes; XSAVE Xsave; AVX Avx; F16C F16c;
    RDRAND Rdrand; FSGSBASE FsGsBase; BMI1 Bmi1; AVX2 Avx2; BMI2 Bmi2; INVPCID Invpcid; RTM Rtm; HLE_or_RTM Rtm;
    AVX512F Avx512F; AVX512DQ Avx512Dq; RDSEED Rdseed; ADX Adx; SMAP Smap; AVX512_IFMA Avx512Ifma;
    CLFLUSHOPT ClflushOpt; CLWB Clwb; AVX512CD Avx512Cd; SHA Sha; AVX512BW Avx512Bw; AVX512VL Avx512Vl;
    AVX512_VBMI Avx512Vbmi; PKU Pku; AVX512_VBMI2 Avx512Vbmi2; WAITPKG Waitpkg; CET_SS CetSs; GFNI Gfni; VAES Vaes;
    VPCLMULQDQ Vpclmulqdq; AVX512_VNNI Avx512Vnni; AVX512_BITALG Avx512Bitalg; AVX512_VPOPCNTDQ Avx512Vpopcntdq;
    RDPID Rdpid; CLDEMOTE Cldemote; MOVDIRI Movdiri; MOVDIR64B Movdir64b; SERIALIZE Serialize; CET_IBT CetIbt;
    XSAVEOPT Xsaveopt; XSAVEC Xsavec; XSAVES Xsaves; LZCNT Lzcnt; SYSCALL Syscall; RDTSCP Rdtscp; WBNOINVD Wbnoinvd;
    PREFETCHW PrefetchW;
}

/// Whether `feature` is one that every processor since the 80386 has.
fn is_base_feature(feature: CpuidFeature) -> bool {
    use CpuidFeature::*;
    matches!(
        feature,
        INTEL8086
            | INTEL186
            | INTEL286
            | INTEL386
            | INTEL486
            | X64
            | FPU
            | FPU287
            | FPU387
            | CPUID
            | RDPMC
            | PAUSE
            | MULTIBYTENOP
    )
}
