//! Features: where CPUID reports each (SDM Vol. 2A, CPUID), and which instructions need it.

use iced_x86::CpuidFeature;

/// A register of CPUID's result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Register {
    /// EAX.
    Eax,
    /// EBX.
    Ebx,
    /// ECX.
    Ecx,
    /// EDX.
    Edx,
}

macro_rules! features {
    ($($(#[$doc:meta])* $name:ident = $leaf:literal $subleaf:literal $register:ident $bit:literal $(($($instructions:ident)*))?;)*) => {
        /// A feature that CPUID reports.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        #[allow(missing_docs)]
        pub enum Feature { $($name,)* }

        impl Feature {
            /// All of them.
            pub const ALL: &[Feature] = &[$(Feature::$name,)*];

            /// Leaf, subleaf, register and bit.
            pub fn place(self) -> (u32, u32, Register, u8) {
                match self { $(Self::$name => ($leaf, $subleaf, Register::$register, $bit),)* }
            }

            /// The features of which one must be there for instructions of a decoder's class.
            pub fn of_instructions(class: CpuidFeature) -> Option<&'static [Feature]> {
                match class {
                    $($($(CpuidFeature::$instructions => Some(&[Feature::$name]),)*)?)*
                    CpuidFeature::PREFETCHW => Some(&[Feature::PrefetchW]),
                    _ => None,
                }
            }
        }
    };
}

features! {
    Fpu = 1 0 Edx 0;
    Vme = 1 0 Edx 1;
    De = 1 0 Edx 2;
    Pse = 1 0 Edx 3;
    Tsc = 1 0 Edx 4 (TSC);
    Msr = 1 0 Edx 5 (MSR);
    Pae = 1 0 Edx 6;
    Mce = 1 0 Edx 7;
    Cx8 = 1 0 Edx 8 (CX8);
    Apic = 1 0 Edx 9;
    Sep = 1 0 Edx 11 (SEP);
    Mtrr = 1 0 Edx 12;
    Pge = 1 0 Edx 13;
    Mca = 1 0 Edx 14;
    Cmov = 1 0 Edx 15 (CMOV);
    Pat = 1 0 Edx 16;
    Pse36 = 1 0 Edx 17;
    Clfsh = 1 0 Edx 19 (CLFSH);
    Ds = 1 0 Edx 21;
    Mmx = 1 0 Edx 23 (MMX);
    Fxsr = 1 0 Edx 24 (FXSR);
    Sse = 1 0 Edx 25 (SSE);
    Sse2 = 1 0 Edx 26 (SSE2);
    Sse3 = 1 0 Ecx 0 (SSE3);
    Pclmulqdq = 1 0 Ecx 1 (PCLMULQDQ);
    Monitor = 1 0 Ecx 3 (MONITOR);
    Vmx = 1 0 Ecx 5 (VMX INVEPT INVVPID);
    Smx = 1 0 Ecx 6 (SMX);
    Ssse3 = 1 0 Ecx 9 (SSSE3);
    Fma = 1 0 Ecx 12 (FMA);
    Cx16 = 1 0 Ecx 13 (CMPXCHG16B);
    Pdcm = 1 0 Ecx 15;
    Pcid = 1 0 Ecx 17;
    Sse41 = 1 0 Ecx 19 (SSE4_1);
    Sse42 = 1 0 Ecx 20 (SSE4_2);
    X2Apic = 1 0 Ecx 21;
    Movbe = 1 0 Ecx 22 (MOVBE);
    Popcnt = 1 0 Ecx 23 (POPCNT);
    TscDeadline = 1 0 Ecx 24;
    Aes = 1 0 Ecx 25 (AES);
    Xsave = 1 0 Ecx 26 (XSAVE);
    Avx = 1 0 Ecx 28 (AVX);
    F16c = 1 0 Ecx 29 (F16C);
    Rdrand = 1 0 Ecx 30 (RDRAND);
    FsGsBase = 7 0 Ebx 0 (FSGSBASE);
    TscAdjust = 7 0 Ebx 1;
    Bmi1 = 7 0 Ebx 3 (BMI1);
    Avx2 = 7 0 Ebx 5 (AVX2);
    FdpExceptionOnly = 7 0 Ebx 6;
    Smep = 7 0 Ebx 7;
    Bmi2 = 7 0 Ebx 8 (BMI2);
    Erms = 7 0 Ebx 9;
    Invpcid = 7 0 Ebx 10 (INVPCID);
    DeprecatesFcsFds = 7 0 Ebx 13;
    Rtm = 7 0 Ebx 11 (RTM HLE_or_RTM);
    Avx512F = 7 0 Ebx 16 (AVX512F);
    Avx512Dq = 7 0 Ebx 17 (AVX512DQ);
    Rdseed = 7 0 Ebx 18 (RDSEED);
    Adx = 7 0 Ebx 19 (ADX);
    Smap = 7 0 Ebx 20 (SMAP);
    Avx512Ifma = 7 0 Ebx 21 (AVX512_IFMA);
    ClflushOpt = 7 0 Ebx 23 (CLFLUSHOPT);
    Clwb = 7 0 Ebx 24 (CLWB);
    Avx512Cd = 7 0 Ebx 28 (AVX512CD);
    Sha = 7 0 Ebx 29 (SHA);
    Avx512Bw = 7 0 Ebx 30 (AVX512BW);
    Avx512Vl = 7 0 Ebx 31 (AVX512VL);
    Avx512Vbmi = 7 0 Ecx 1 (AVX512_VBMI);
    Umip = 7 0 Ecx 2;
    Pku = 7 0 Ecx 3 (PKU);
    Avx512Vbmi2 = 7 0 Ecx 6 (AVX512_VBMI2);
    Waitpkg = 7 0 Ecx 5 (WAITPKG);
    CetSs = 7 0 Ecx 7 (CET_SS);
    Gfni = 7 0 Ecx 8 (GFNI);
    Vaes = 7 0 Ecx 9 (VAES);
    Vpclmulqdq = 7 0 Ecx 10 (VPCLMULQDQ);
    Avx512Vnni = 7 0 Ecx 11 (AVX512_VNNI);
    Avx512Bitalg = 7 0 Ecx 12 (AVX512_BITALG);
    Avx512Vpopcntdq = 7 0 Ecx 14 (AVX512_VPOPCNTDQ);
    La57 = 7 0 Ecx 16;
    Rdpid = 7 0 Ecx 22 (RDPID);
    Cldemote = 7 0 Ecx 25 (CLDEMOTE);
    Movdiri = 7 0 Ecx 27 (MOVDIRI);
    Movdir64b = 7 0 Ecx 28 (MOVDIR64B);
    Pks = 7 0 Ecx 31;
    Serialize = 7 0 Edx 14 (SERIALIZE);
    CetIbt = 7 0 Edx 20 (CET_IBT);
    SpecCtrl = 7 0 Edx 26;
    ArchCapabilities = 7 0 Edx 29;
    Lam = 7 1 Eax 26;
    Xsaveopt = 0xD 1 Eax 0 (XSAVEOPT);
    Xsavec = 0xD 1 Eax 1 (XSAVEC);
    Xsaves = 0xD 1 Eax 3 (XSAVES);
    Lahf64 = 0x8000_0001 0 Ecx 0;
    Lzcnt = 0x8000_0001 0 Ecx 5 (LZCNT);
    PrefetchW = 0x8000_0001 0 Ecx 8;
    Syscall = 0x8000_0001 0 Edx 11 (SYSCALL);
    Nx = 0x8000_0001 0 Edx 20;
    Page1Gb = 0x8000_0001 0 Edx 26;
    Rdtscp = 0x8000_0001 0 Edx 27 (RDTSCP);
    Wbnoinvd = 0x8000_0008 0 Ebx 9 (WBNOINVD);
    LongMode = 0x8000_0001 0 Edx 29;
}
