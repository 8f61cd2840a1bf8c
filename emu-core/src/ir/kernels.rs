//! Vector operations by name: what [`Uop::kernel`](super::uop::Uop::kernel) is a number of.
//!
//! Lowering finds them by mnemonic, the handlers have a function for each. Their names are those of an instruction that
//! does them; `…Immediate` where another form of it has its control in a register.

/// What the elements of an operation are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elements {
    /// Log2 of the bytes of a source element.
    pub source: u32,
    /// Log2 of the bytes of a result element: what operation masks select.
    pub log2: u32,
    /// There is one element, the lowest.
    pub scalar: bool,
}

macro_rules! elements {
    ([$log2:literal]) => {
        Elements { source: $log2, log2: $log2, scalar: false }
    };
    ([$log2:literal scalar]) => {
        Elements { source: $log2, log2: $log2, scalar: true }
    };
    ([$from:literal to $to:literal]) => {
        Elements { source: $from, log2: $to, scalar: false }
    };
}

macro_rules! kernels {
    ($($(#[$doc:meta])* $enum:ident { $($elements:tt $($name:ident)*;)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u16)]
        #[allow(missing_docs)]
        pub enum $enum { $($($name,)*)* }

        impl $enum {
            /// All of them, in the order of their numbers, and what their elements are.
            pub const ALL: &'static [($enum, Elements)] = &[$($(($enum::$name, elements!($elements)),)*)*];

            /// What the elements are.
            pub const fn elements(self) -> Elements {
                Self::ALL[self as usize].1
            }
        }
    )*};
}

kernels! {
    /// Operations on each 128-bit lane of two sources.
    TwoSources {
        [0] Paddb Psubb Paddsb Paddusb Psubsb Psubusb Pavgb Pminub Pminsb Pmaxub Pmaxsb Pabsb Psignb Pcmpeqb Pcmpgtb
            Packsswb Packuswb Punpcklbw Punpckhbw Pshufb Palignr Vpmultishiftqb Vpopcntb Gf2p8mulb Gf2p8affineqb
            Gf2p8affineinvqb Pslldq Psrldq;
        [1] Paddw Psubw Paddsw Paddusw Psubsw Psubusw Pmullw Pmulhw Pmulhuw Pmulhrsw Pmaddubsw Pavgw Pminuw Pminsw
            Pmaxuw Pmaxsw Pabsw Psignw Pcmpeqw Pcmpgtw Psadbw Mpsadbw Phminposuw Phaddw Phaddsw Phsubw Phsubsw
            Packssdw Packusdw Punpcklwd Punpckhwd Pshuflw Pshufhw Pblendw Vdbpsadbw Vpopcntw Vpsllvw Vpsrlvw Vpsravw
            Psllw Psrlw Psraw PsllwImmediate PsrlwImmediate PsrawImmediate Vpshldw Vpshrdw;
        [2] Pand Pandn Por Pxor Movss Paddd Psubd Pmulld Pmaddwd Pminud Pminsd Pmaxud Pmaxsd Pabsd Psignd Pcmpeqd
            Pcmpgtd Phaddd Phsubd Punpckldq Punpckhdq Pshufd Shufps Blendps Insertps Movshdup Movsldup Vpopcntd
            Vplzcntd Vpsllvd Vpsrlvd Vpsravd Vprolvd Vprorvd Sha1rnds4 Sha1nexte Sha1msg1 Sha1msg2 Sha256msg1
            Sha256msg2 Pslld Psrld Psrad Vpermilps PslldImmediate PsrldImmediate PsradImmediate Vprold Vprord Vpshldd
            Vpshrdd VpermilpsImmediate;
        [3] Vpandq Vpandnq Vporq Vpxorq Movsd Movlps Movhps Movhlps Movq Paddq Psubq Vpmullq Pmuludq Pmuldq Vpminuq
            Vpminsq Vpmaxuq Vpmaxsq Vpabsq Pcmpeqq Pcmpgtq Punpcklqdq Punpckhqdq Shufpd Blendpd Movddup Vpopcntq
            Vplzcntq Vpsllvq Vpsrlvq Vpsravq Vprolvq Vprorvq Psllq Psrlq Vpsraq Vpermilpd PsllqImmediate
            PsrlqImmediate VpsraqImmediate Vprolq Vprorq Vpshldq Vpshrdq VpermilpdImmediate;
        [4] Aesenc Aesenclast Aesdec Aesdeclast Aesimc Aeskeygenassist Pclmulqdq;
    }
    /// The same of three sources.
    ThreeSources {
        [0] Pblendvb;
        [1] Vpshldvw Vpshrdvw;
        [2] Blendvps Vpdpbusd Vpdpbusds Vpdpwssd Vpdpwssds Vpternlogd Vpshldvd Vpshrdvd Sha256rnds2;
        [3] Blendvpd Vpmadd52luq Vpmadd52huq Vpternlogq Vpshldvq Vpshrdvq;
    }
    /// Operations across lanes.
    AcrossLanes {
        [0] Vpermb Vpermt2b Vpermi2b Vpbroadcastb;
        [1] Vpermw Vpermt2w Vpermi2w Vpbroadcastw;
        [2] Vpermd Vpermt2d Vpermi2d Vpbroadcastd Vbroadcastf32x2 Vbroadcastf128 Vbroadcastf32x8 Vinsertf128
            Vinsertf32x8 Vshuff32x4 Valignd Vpconflictd;
        [3] Vperm2f128 Vpermt2q Vpermi2q Vpbroadcastq Vbroadcastf64x2 Vbroadcastf64x4 Vinsertf64x2 Vinsertf64x4
            Vshuff64x2 Valignq Vpconflictq VpermqImmediate Vpermq;
    }
    /// Conversions element by element.
    Conversion {
        [0 to 1] Pmovzxbw Pmovsxbw;
        [0 to 2] Pmovzxbd Pmovsxbd;
        [0 to 3] Pmovzxbq Pmovsxbq;
        [1 to 0] Vpmovwb Vpmovswb Vpmovuswb;
        [1 to 2] Vcvtph2ps Pmovzxwd Pmovsxwd;
        [1 to 3] Pmovzxwq Pmovsxwq;
        [2 to 0] Vpmovdb Vpmovsdb Vpmovusdb;
        [2 to 1] Vcvtps2ph Vpmovdw Vpmovsdw Vpmovusdw;
        [2 to 2] Cvtdq2ps Vcvtudq2ps Cvtps2dq Cvttps2dq Vcvtps2udq Vcvttps2udq;
        [2 to 3] Cvtps2pd Cvtdq2pd Vcvtudq2pd Vcvtps2qq Vcvttps2qq Vcvtps2uqq Vcvttps2uqq Pmovzxdq Pmovsxdq;
        [3 to 0] Vpmovqb Vpmovsqb Vpmovusqb;
        [3 to 1] Vpmovqw Vpmovsqw Vpmovusqw;
        [3 to 2] Cvtpd2ps Vcvtqq2ps Vcvtuqq2ps Cvtpd2dq Cvttpd2dq Vcvtpd2udq Vcvttpd2udq Vpmovqd Vpmovsqd Vpmovusqd;
        [3 to 3] Vcvtqq2pd Vcvtuqq2pd Vcvtpd2qq Vcvttpd2qq Vcvtpd2uqq Vcvttpd2uqq;
    }
    /// Operations on mask registers.
    MaskOperation {
        [0] Kand Kandn Kor Kxor Kxnor Kadd Knot Kmov Kshiftl Kshiftr Kunpck;
    }
    /// Comparisons into a mask register.
    MaskComparison {
        [0] Vpcmpeqb Vpcmpgtb Vpcmpb Vpcmpub Vptestmb Vptestnmb Vpshufbitqmb;
        [1] Vpcmpeqw Vpcmpgtw Vpcmpw Vpcmpuw Vptestmw Vptestnmw;
        [2 scalar] Vcmpss Vfpclassss;
        [2] Vpcmpeqd Vpcmpgtd Vpcmpd Vpcmpud Vptestmd Vptestnmd Vcmpps Vfpclassps;
        [3 scalar] Vcmpsd Vfpclasssd;
        [3] Vpcmpeqq Vpcmpgtq Vpcmpq Vpcmpuq Vptestmq Vptestnmq Vcmppd Vfpclasspd;
    }
    /// Floating-point operations on each lane, with rounding and exceptions.
    FloatOperation {
        [2 scalar] FusedSs Addss Subss Mulss Divss Minss Maxss Sqrtss Roundss Cmpss Rcpss Rsqrtss Cvtsd2ss Vrndscaless
            Vreducess Vgetexpss Vgetmantss Vscalefss Vrangess Vfixupimmss Vrcp14ss Vrsqrt14ss;
        [2] FusedPs Addps Subps Mulps Divps Minps Maxps Sqrtps Roundps Cmpps Haddps Hsubps Addsubps Dpps Rcpps Rsqrtps
            Vrndscaleps Vreduceps Vgetexpps Vgetmantps Vscalefps Vrangeps Vfixupimmps Vrcp14ps Vrsqrt14ps;
        [3 scalar] FusedSd Addsd Subsd Mulsd Divsd Minsd Maxsd Sqrtsd Roundsd Cmpsd Cvtss2sd Vrndscalesd Vreducesd
            Vgetexpsd Vgetmantsd Vscalefsd Vrangesd Vfixupimmsd Vrcp14sd Vrsqrt14sd;
        [3] FusedPd Addpd Subpd Mulpd Divpd Minpd Maxpd Sqrtpd Roundpd Cmppd Haddpd Hsubpd Addsubpd Dppd Vrndscalepd
            Vreducepd Vgetexppd Vgetmantpd Vscalefpd Vrangepd Vfixupimmpd Vrcp14pd Vrsqrt14pd;
    }
}
