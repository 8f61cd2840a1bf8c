//! Features: where CPUID reports each (SDM Vol. 2A, CPUID).

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
    ($($(#[$doc:meta])* $name:ident = $leaf:literal $subleaf:literal $register:ident $bit:literal;)*) => {
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
        }
    };
}

features! {
    Fpu = 1 0 Edx 0;
    Vme = 1 0 Edx 1;
    De = 1 0 Edx 2;
    Pse = 1 0 Edx 3;
    Tsc = 1 0 Edx 4;
    Msr = 1 0 Edx 5;
    Pae = 1 0 Edx 6;
    Mce = 1 0 Edx 7;
    Cx8 = 1 0 Edx 8;
    Apic = 1 0 Edx 9;
    Sep = 1 0 Edx 11;
    Mtrr = 1 0 Edx 12;
    Pge = 1 0 Edx 13;
    Mca = 1 0 Edx 14;
    Cmov = 1 0 Edx 15;
    Pat = 1 0 Edx 16;
    Pse36 = 1 0 Edx 17;
    Clfsh = 1 0 Edx 19;
    Ds = 1 0 Edx 21;
    Mmx = 1 0 Edx 23;
    Fxsr = 1 0 Edx 24;
    Sse = 1 0 Edx 25;
    Sse2 = 1 0 Edx 26;
    Sse3 = 1 0 Ecx 0;
    Pclmulqdq = 1 0 Ecx 1;
    Monitor = 1 0 Ecx 3;
    Vmx = 1 0 Ecx 5;
    Smx = 1 0 Ecx 6;
    Ssse3 = 1 0 Ecx 9;
    Fma = 1 0 Ecx 12;
    Cx16 = 1 0 Ecx 13;
    Pdcm = 1 0 Ecx 15;
    Pcid = 1 0 Ecx 17;
    Sse41 = 1 0 Ecx 19;
    Sse42 = 1 0 Ecx 20;
    X2Apic = 1 0 Ecx 21;
    Movbe = 1 0 Ecx 22;
    Popcnt = 1 0 Ecx 23;
    TscDeadline = 1 0 Ecx 24;
    Aes = 1 0 Ecx 25;
    Xsave = 1 0 Ecx 26;
    Avx = 1 0 Ecx 28;
    F16c = 1 0 Ecx 29;
    Rdrand = 1 0 Ecx 30;
    FsGsBase = 7 0 Ebx 0;
    TscAdjust = 7 0 Ebx 1;
    Bmi1 = 7 0 Ebx 3;
    Avx2 = 7 0 Ebx 5;
    FdpExceptionOnly = 7 0 Ebx 6;
    Smep = 7 0 Ebx 7;
    Bmi2 = 7 0 Ebx 8;
    Erms = 7 0 Ebx 9;
    Invpcid = 7 0 Ebx 10;
    DeprecatesFcsFds = 7 0 Ebx 13;
    Rtm = 7 0 Ebx 11;
    Avx512F = 7 0 Ebx 16;
    Avx512Dq = 7 0 Ebx 17;
    Rdseed = 7 0 Ebx 18;
    Adx = 7 0 Ebx 19;
    Smap = 7 0 Ebx 20;
    Avx512Ifma = 7 0 Ebx 21;
    ClflushOpt = 7 0 Ebx 23;
    Clwb = 7 0 Ebx 24;
    Avx512Cd = 7 0 Ebx 28;
    Sha = 7 0 Ebx 29;
    Avx512Bw = 7 0 Ebx 30;
    Avx512Vl = 7 0 Ebx 31;
    Avx512Vbmi = 7 0 Ecx 1;
    Umip = 7 0 Ecx 2;
    Pku = 7 0 Ecx 3;
    Avx512Vbmi2 = 7 0 Ecx 6;
    Waitpkg = 7 0 Ecx 5;
    CetSs = 7 0 Ecx 7;
    Gfni = 7 0 Ecx 8;
    Vaes = 7 0 Ecx 9;
    Vpclmulqdq = 7 0 Ecx 10;
    Avx512Vnni = 7 0 Ecx 11;
    Avx512Bitalg = 7 0 Ecx 12;
    Avx512Vpopcntdq = 7 0 Ecx 14;
    La57 = 7 0 Ecx 16;
    Rdpid = 7 0 Ecx 22;
    Cldemote = 7 0 Ecx 25;
    Movdiri = 7 0 Ecx 27;
    Movdir64b = 7 0 Ecx 28;
    Pks = 7 0 Ecx 31;
    Serialize = 7 0 Edx 14;
    CetIbt = 7 0 Edx 20;
    SpecCtrl = 7 0 Edx 26;
    ArchCapabilities = 7 0 Edx 29;
    Lam = 7 1 Eax 26;
    Xsaveopt = 0xD 1 Eax 0;
    Xsavec = 0xD 1 Eax 1;
    Xsaves = 0xD 1 Eax 3;
    Lahf64 = 0x8000_0001 0 Ecx 0;
    Lzcnt = 0x8000_0001 0 Ecx 5;
    PrefetchW = 0x8000_0001 0 Ecx 8;
    Syscall = 0x8000_0001 0 Edx 11;
    Nx = 0x8000_0001 0 Edx 20;
    Page1Gb = 0x8000_0001 0 Edx 26;
    Rdtscp = 0x8000_0001 0 Edx 27;
    Wbnoinvd = 0x8000_0008 0 Ebx 9;
    LongMode = 0x8000_0001 0 Edx 29;
}
