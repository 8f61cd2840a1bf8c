//! Features: where CPUID reports each (SDM Vol. 2A, CPUID), its name and what it is.

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

/// A bit of CPUID's result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CpuidBit {
    /// EAX of the question.
    pub leaf: u32,
    /// ECX of the question, where the leaf has subleaves.
    pub subleaf: u32,
    /// The register.
    pub register: Register,
    /// Number of the bit, 0 to 31.
    pub bit: u8,
    /// Name, as `--cpu-model` takes it.
    pub name: &'static str,
    /// What it is, in a few words.
    pub words: &'static str,
}

macro_rules! features {
    ($($(#[$doc:meta])* $name:ident = $leaf:literal $subleaf:literal $register:ident $bit:literal, $word:literal,
        $words:literal;)*) => {
        /// A feature that CPUID reports and this emulator knows.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        #[allow(missing_docs)]
        pub enum Feature { $($name,)* }

        impl Feature {
            /// All of them.
            pub const ALL: &[Feature] = &[$(Feature::$name,)*];

            /// Its bit.
            pub fn place(self) -> &'static CpuidBit {
                &FEATURES[self as usize]
            }
        }

        /// The bits of the features, in their order.
        const FEATURES: &[CpuidBit] = &[$(CpuidBit {
            leaf: $leaf, subleaf: $subleaf, register: Register::$register, bit: $bit, name: $word, words: $words,
        },)*];
    };
}

macro_rules! others {
    ($($leaf:literal $subleaf:literal $register:ident $bit:literal, $word:literal, $words:literal;)*) => {
        /// Bits that real processors report and nothing here asks for: some are told, since they promise nothing that
        /// a guest could miss, the others wait for their implementation.
        const OTHERS: &[CpuidBit] = &[$(CpuidBit {
            leaf: $leaf, subleaf: $subleaf, register: Register::$register, bit: $bit, name: $word, words: $words,
        },)*];
    };
}

/// Every bit of CPUID with a name.
pub fn bits() -> impl Iterator<Item = &'static CpuidBit> {
    FEATURES.iter().chain(OTHERS)
}

features! {
    Fpu = 1 0 Edx 0, "fpu", "x87 floating-point unit";
    Vme = 1 0 Edx 1, "vme", "virtual-8086 mode extensions";
    De = 1 0 Edx 2, "de", "debugging extensions: I/O breakpoints";
    Pse = 1 0 Edx 3, "pse", "pages of 4 MBytes";
    Tsc = 1 0 Edx 4, "tsc", "time-stamp counter";
    Msr = 1 0 Edx 5, "msr", "RDMSR and WRMSR";
    Pae = 1 0 Edx 6, "pae", "physical address extension";
    Mce = 1 0 Edx 7, "mce", "machine-check exception";
    Cx8 = 1 0 Edx 8, "cx8", "CMPXCHG8B";
    Apic = 1 0 Edx 9, "apic", "local APIC";
    Sep = 1 0 Edx 11, "sep", "SYSENTER and SYSEXIT";
    Mtrr = 1 0 Edx 12, "mtrr", "memory type range registers";
    Pge = 1 0 Edx 13, "pge", "global pages";
    Mca = 1 0 Edx 14, "mca", "machine-check architecture";
    Cmov = 1 0 Edx 15, "cmov", "conditional moves";
    Pat = 1 0 Edx 16, "pat", "page attribute table";
    Pse36 = 1 0 Edx 17, "pse36", "pages of 4 MBytes above 4 GBytes";
    Clfsh = 1 0 Edx 19, "clflush", "CLFLUSH";
    Ds = 1 0 Edx 21, "ds", "debug store";
    Mmx = 1 0 Edx 23, "mmx", "MMX";
    Fxsr = 1 0 Edx 24, "fxsr", "FXSAVE and FXRSTOR";
    Sse = 1 0 Edx 25, "sse", "SSE";
    Sse2 = 1 0 Edx 26, "sse2", "SSE2";
    Sse3 = 1 0 Ecx 0, "sse3", "SSE3";
    Pclmulqdq = 1 0 Ecx 1, "pclmulqdq", "carry-less multiplication";
    Monitor = 1 0 Ecx 3, "monitor", "MONITOR and MWAIT";
    Vmx = 1 0 Ecx 5, "vmx", "virtual-machine extensions";
    Smx = 1 0 Ecx 6, "smx", "safer mode extensions";
    Ssse3 = 1 0 Ecx 9, "ssse3", "SSSE3";
    Fma = 1 0 Ecx 12, "fma", "fused multiply-add";
    Cx16 = 1 0 Ecx 13, "cx16", "CMPXCHG16B";
    Pdcm = 1 0 Ecx 15, "pdcm", "IA32_PERF_CAPABILITIES";
    Pcid = 1 0 Ecx 17, "pcid", "process-context identifiers";
    Sse41 = 1 0 Ecx 19, "sse4_1", "SSE4.1";
    Sse42 = 1 0 Ecx 20, "sse4_2", "SSE4.2";
    X2Apic = 1 0 Ecx 21, "x2apic", "x2APIC mode";
    Movbe = 1 0 Ecx 22, "movbe", "MOVBE";
    Popcnt = 1 0 Ecx 23, "popcnt", "POPCNT";
    TscDeadline = 1 0 Ecx 24, "tsc_deadline", "TSC-deadline mode of the local APIC timer";
    Aes = 1 0 Ecx 25, "aes", "AES instructions";
    Xsave = 1 0 Ecx 26, "xsave", "XSAVE, XRSTOR, XSETBV and XGETBV";
    Avx = 1 0 Ecx 28, "avx", "AVX";
    F16c = 1 0 Ecx 29, "f16c", "half-precision conversions";
    Rdrand = 1 0 Ecx 30, "rdrand", "RDRAND";
    FsGsBase = 7 0 Ebx 0, "fsgsbase", "RDFSBASE, WRFSBASE and those of GS";
    TscAdjust = 7 0 Ebx 1, "tsc_adjust", "IA32_TSC_ADJUST";
    Bmi1 = 7 0 Ebx 3, "bmi1", "bit manipulation, first group";
    Avx2 = 7 0 Ebx 5, "avx2", "AVX2";
    FdpExceptionOnly = 7 0 Ebx 6, "fdp_excptn_only", "x87 data pointer updated on exceptions only";
    Smep = 7 0 Ebx 7, "smep", "supervisor-mode execution prevention";
    Bmi2 = 7 0 Ebx 8, "bmi2", "bit manipulation, second group";
    Erms = 7 0 Ebx 9, "erms", "enhanced REP MOVSB and STOSB";
    Invpcid = 7 0 Ebx 10, "invpcid", "INVPCID";
    DeprecatesFcsFds = 7 0 Ebx 13, "deprecates_fcs_fds", "x87 CS and DS are saved as 0";
    Rtm = 7 0 Ebx 11, "rtm", "restricted transactional memory";
    Avx512F = 7 0 Ebx 16, "avx512f", "AVX-512 foundation";
    Avx512Dq = 7 0 Ebx 17, "avx512dq", "AVX-512 of doublewords and quadwords";
    Rdseed = 7 0 Ebx 18, "rdseed", "RDSEED";
    Adx = 7 0 Ebx 19, "adx", "ADCX and ADOX";
    Smap = 7 0 Ebx 20, "smap", "supervisor-mode access prevention";
    Avx512Ifma = 7 0 Ebx 21, "avx512_ifma", "AVX-512 integer fused multiply-add";
    ClflushOpt = 7 0 Ebx 23, "clflushopt", "CLFLUSHOPT";
    Clwb = 7 0 Ebx 24, "clwb", "CLWB";
    Avx512Cd = 7 0 Ebx 28, "avx512cd", "AVX-512 conflict detection";
    Sha = 7 0 Ebx 29, "sha", "SHA instructions";
    Avx512Bw = 7 0 Ebx 30, "avx512bw", "AVX-512 of bytes and words";
    Avx512Vl = 7 0 Ebx 31, "avx512vl", "AVX-512 of 128 and 256 bits";
    Avx512Vbmi = 7 0 Ecx 1, "avx512_vbmi", "AVX-512 vector byte manipulation";
    Umip = 7 0 Ecx 2, "umip", "user-mode instruction prevention";
    Pku = 7 0 Ecx 3, "pku", "protection keys of user pages";
    Avx512Vbmi2 = 7 0 Ecx 6, "avx512_vbmi2", "AVX-512 vector byte manipulation, second group";
    Waitpkg = 7 0 Ecx 5, "waitpkg", "TPAUSE, UMONITOR and UMWAIT";
    CetSs = 7 0 Ecx 7, "cet_ss", "CET shadow stacks";
    Gfni = 7 0 Ecx 8, "gfni", "Galois field instructions";
    Vaes = 7 0 Ecx 9, "vaes", "AES instructions on wide vectors";
    Vpclmulqdq = 7 0 Ecx 10, "vpclmulqdq", "carry-less multiplication on wide vectors";
    Avx512Vnni = 7 0 Ecx 11, "avx512_vnni", "AVX-512 neural-network instructions";
    Avx512Bitalg = 7 0 Ecx 12, "avx512_bitalg", "AVX-512 bit algorithms";
    Avx512Vpopcntdq = 7 0 Ecx 14, "avx512_vpopcntdq", "AVX-512 POPCNT of doublewords and quadwords";
    La57 = 7 0 Ecx 16, "la57", "linear addresses of 57 bits";
    Rdpid = 7 0 Ecx 22, "rdpid", "RDPID";
    Cldemote = 7 0 Ecx 25, "cldemote", "CLDEMOTE";
    Movdiri = 7 0 Ecx 27, "movdiri", "MOVDIRI";
    Movdir64b = 7 0 Ecx 28, "movdir64b", "MOVDIR64B";
    Pks = 7 0 Ecx 31, "pks", "protection keys of supervisor pages";
    Serialize = 7 0 Edx 14, "serialize", "SERIALIZE";
    ArchLbr = 7 0 Edx 19, "arch_lbr", "architectural last branch records";
    CetIbt = 7 0 Edx 20, "cet_ibt", "CET indirect-branch tracking";
    SpecCtrl = 7 0 Edx 26, "spec_ctrl", "IA32_SPEC_CTRL and IA32_PRED_CMD";
    ArchCapabilities = 7 0 Edx 29, "arch_capabilities", "IA32_ARCH_CAPABILITIES";
    Ssbd = 7 0 Edx 31, "ssbd", "SSBD of IA32_SPEC_CTRL";
    Lam = 7 1 Eax 26, "lam", "linear-address masking";
    Xsaveopt = 0xD 1 Eax 0, "xsaveopt", "XSAVEOPT";
    Xsavec = 0xD 1 Eax 1, "xsavec", "XSAVEC and the compacted format";
    Xsaves = 0xD 1 Eax 3, "xsaves", "XSAVES, XRSTORS and IA32_XSS";
    Lahf64 = 0x8000_0001 0 Ecx 0, "lahf_lm", "LAHF and SAHF in 64-bit mode";
    Lzcnt = 0x8000_0001 0 Ecx 5, "lzcnt", "LZCNT";
    PrefetchW = 0x8000_0001 0 Ecx 8, "prefetchw", "PREFETCHW";
    Syscall = 0x8000_0001 0 Edx 11, "syscall", "SYSCALL and SYSRET";
    Nx = 0x8000_0001 0 Edx 20, "nx", "execute-disable pages";
    Page1Gb = 0x8000_0001 0 Edx 26, "page1gb", "pages of 1 GByte";
    Rdtscp = 0x8000_0001 0 Edx 27, "rdtscp", "RDTSCP and IA32_TSC_AUX";
    Wbnoinvd = 0x8000_0008 0 Ebx 9, "wbnoinvd", "WBNOINVD";
    LongMode = 0x8000_0001 0 Edx 29, "long_mode", "Intel 64: 64-bit mode";
}

others! {
    1 0 Ecx 2, "dtes64", "debug store of 64 bits";
    1 0 Ecx 4, "ds_cpl", "debug store qualified by CPL";
    1 0 Ecx 7, "est", "enhanced SpeedStep";
    1 0 Ecx 8, "tm2", "thermal monitor 2";
    1 0 Ecx 10, "cnxt_id", "L1 context identifier";
    1 0 Ecx 11, "sdbg", "silicon debug interface";
    1 0 Ecx 14, "xtpr", "control of task priority messages";
    1 0 Ecx 18, "dca", "direct cache access";
    1 0 Edx 18, "psn", "processor serial number";
    1 0 Edx 22, "acpi", "thermal monitor and clock control";
    1 0 Edx 27, "ss", "self snoop";
    1 0 Edx 28, "htt", "several logical processors a package";
    1 0 Edx 29, "tm", "thermal monitor";
    1 0 Edx 31, "pbe", "pending-break enable";
    6 0 Eax 0, "dtherm", "digital thermal sensor";
    6 0 Eax 1, "turbo", "Turbo Boost";
    6 0 Eax 2, "arat", "APIC timer that always runs";
    6 0 Eax 4, "pln", "power limit notification";
    6 0 Eax 5, "ecmd", "extended clock modulation duty";
    6 0 Eax 6, "ptm", "package thermal management";
    6 0 Eax 7, "hwp", "hardware-controlled performance states";
    6 0 Eax 8, "hwp_notify", "notification of HWP";
    6 0 Eax 9, "hwp_act_window", "activity window of HWP";
    6 0 Eax 10, "hwp_epp", "energy preference of HWP";
    6 0 Eax 11, "hwp_pkg_req", "package request of HWP";
    6 0 Eax 13, "hdc", "hardware duty cycling";
    6 0 Eax 14, "turbo_max_3", "Turbo Boost Max 3.0";
    6 0 Eax 15, "hwp_capabilities_change", "change of HWP capabilities";
    6 0 Eax 16, "hwp_peci", "PECI override of HWP";
    6 0 Eax 17, "hwp_flexible", "flexible HWP";
    6 0 Eax 18, "hwp_fast_access", "fast access to IA32_HWP_REQUEST";
    6 0 Eax 19, "hfi", "hardware feedback interface";
    6 0 Eax 20, "hwp_ignore_idle", "HWP requests of idle processors ignored";
    6 0 Eax 22, "hwp_ctl", "IA32_HWP_CTL";
    6 0 Eax 23, "thread_director", "thread director";
    6 0 Ecx 0, "aperfmperf", "IA32_APERF and IA32_MPERF";
    6 0 Ecx 3, "epb", "IA32_ENERGY_PERF_BIAS";
    7 0 Ebx 2, "sgx", "software guard extensions";
    7 0 Ebx 4, "hle", "hardware lock elision";
    7 0 Ebx 12, "rdt_m", "resource director monitoring";
    7 0 Ebx 14, "mpx", "memory protection extensions";
    7 0 Ebx 15, "rdt_a", "resource director allocation";
    7 0 Ebx 22, "pcommit", "PCOMMIT";
    7 0 Ebx 25, "intel_pt", "Intel processor trace";
    7 0 Ebx 26, "avx512pf", "AVX-512 prefetch";
    7 0 Ebx 27, "avx512er", "AVX-512 exponential and reciprocal";
    7 0 Ecx 13, "tme", "total memory encryption";
    7 0 Ecx 23, "key_locker", "Key Locker";
    7 0 Ecx 24, "bus_lock_detect", "bus-lock debug exceptions";
    7 0 Ecx 29, "enqcmd", "ENQCMD and ENQCMDS";
    7 0 Ecx 30, "sgx_lc", "SGX launch configuration";
    7 0 Edx 2, "avx512_4vnniw", "AVX-512 neural-network instructions of 4 steps";
    7 0 Edx 3, "avx512_4fmaps", "AVX-512 multiply-add of 4 steps";
    7 0 Edx 4, "fsrm", "fast short REP MOVSB";
    7 0 Edx 5, "uintr", "user interrupts";
    7 0 Edx 8, "avx512_vp2intersect", "AVX-512 intersection of vectors";
    7 0 Edx 9, "srbds_ctrl", "IA32_MCU_OPT_CTRL";
    7 0 Edx 10, "md_clear", "VERW overwrites buffers";
    7 0 Edx 11, "rtm_always_abort", "every transaction aborts";
    7 0 Edx 13, "tsx_force_abort", "IA32_TSX_FORCE_ABORT";
    7 0 Edx 15, "hybrid", "cores of several kinds";
    7 0 Edx 16, "tsxldtrk", "suspended tracking of loads in transactions";
    7 0 Edx 18, "pconfig", "PCONFIG";
    7 0 Edx 22, "amx_bf16", "AMX of bfloat16";
    7 0 Edx 23, "avx512_fp16", "AVX-512 of half precision";
    7 0 Edx 24, "amx_tile", "AMX tiles";
    7 0 Edx 25, "amx_int8", "AMX of bytes";
    7 0 Edx 27, "stibp", "STIBP of IA32_SPEC_CTRL";
    7 0 Edx 28, "flush_l1d", "IA32_FLUSH_CMD";
    7 0 Edx 30, "core_capabilities", "IA32_CORE_CAPABILITIES";
    7 1 Eax 0, "sha512", "SHA-512 instructions";
    7 1 Eax 1, "sm3", "SM3 hash instructions";
    7 1 Eax 2, "sm4", "SM4 cipher instructions";
    7 1 Eax 3, "rao_int", "atomic operations in memory without a result";
    7 1 Eax 4, "avx_vnni", "AVX neural-network instructions";
    7 1 Eax 5, "avx512_bf16", "AVX-512 of bfloat16";
    7 1 Eax 6, "lass", "linear-address space separation";
    7 1 Eax 7, "cmpccxadd", "CMPccXADD";
    7 1 Eax 8, "arch_perfmon_ext", "leaf 23h";
    7 1 Eax 10, "fzrm", "fast REP MOVSB of length 0";
    7 1 Eax 11, "fsrs", "fast short REP STOSB";
    7 1 Eax 12, "fsrc", "fast short REP CMPSB and SCASB";
    7 1 Eax 17, "fred", "flexible return and event delivery";
    7 1 Eax 18, "lkgs", "LKGS";
    7 1 Eax 19, "wrmsrns", "WRMSRNS";
    7 1 Eax 21, "amx_fp16", "AMX of half precision";
    7 1 Eax 22, "hreset", "HRESET";
    7 1 Eax 23, "avx_ifma", "AVX integer fused multiply-add";
    7 1 Eax 27, "msrlist", "RDMSRLIST and WRMSRLIST";
    7 1 Eax 30, "invd_disable_post_bios_done", "INVD that can be disabled behind the BIOS";
    7 1 Ebx 0, "ppin", "IA32_PPIN and IA32_PPIN_CTL";
    7 1 Edx 4, "avx_vnni_int8", "AVX neural-network instructions of bytes";
    7 1 Edx 5, "avx_ne_convert", "AVX conversions of half precision and bfloat16";
    7 1 Edx 10, "avx_vnni_int16", "AVX neural-network instructions of words";
    7 1 Edx 18, "cet_sss", "supervisor shadow stacks that only page faults of the system's make prematurely busy";
    7 2 Edx 0, "psfd", "PSFD of IA32_SPEC_CTRL";
    7 2 Edx 1, "ipred_ctrl", "IPRED controls of IA32_SPEC_CTRL";
    7 2 Edx 2, "rrsba_ctrl", "RRSBA controls of IA32_SPEC_CTRL";
    7 2 Edx 3, "ddpd", "DDPD of IA32_SPEC_CTRL";
    7 2 Edx 4, "bhi_ctrl", "BHI control of IA32_SPEC_CTRL";
    7 2 Edx 5, "mcdt_no", "no MXCSR-dependent timing";
    7 2 Edx 7, "monitor_mitg_no", "MONITOR and UMONITOR without the need of a mitigation";
    0xD 1 Eax 2, "xgetbv_ecx1", "XGETBV of XINUSE";
    0xD 1 Eax 4, "xfd", "extended feature disable";
    0x8000_0007 0 Edx 8, "invariant_tsc", "TSC at a constant rate";
}
