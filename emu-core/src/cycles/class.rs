//! Classes of instructions: what has the same row in every table.

/// Declares [`Class`] and the names of the rows.
macro_rules! classes {
    ($($(#[$doc:meta])* $name:ident = $row:literal;)*) => {
        /// A class of instructions.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Class {
            $($(#[$doc])* $name,)*
        }

        impl Class {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The name of its row in a table.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $row,)*
                }
            }
        }
    };
}

classes! {
    /// NOP, and prefetches and the like beside their load.
    Nop = "nop";
    /// MOV of a register or an immediate; as a load or a store it has no operation of its own.
    Move = "move";
    /// The same, of two whole registers, where renaming may do it.
    MoveWhole = "move_whole";
    /// MOVSX, MOVZX.
    Extend = "extend";
    /// A register set to 0 by an idiom.
    Zero = "zero";
    /// ADD, SUB, AND, OR, XOR, CMP, TEST, INC, DEC, NEG, NOT, CBW and the like.
    Alu = "alu";
    /// CWD, CDQ, CQO.
    SignHalf = "sign_half";
    /// ADC, SBB.
    Carry = "carry";
    /// SETcc.
    Set = "set";
    /// SETA, SETBE.
    SetTwo = "set_two";
    /// CMOVcc.
    Select = "select";
    /// CMOVA, CMOVBE.
    SelectTwo = "select_two";
    /// LEA of up to two components.
    Lea = "lea";
    /// LEA of three components, or relative to RIP.
    LeaThree = "lea_three";
    /// LEA of 16 bits.
    LeaShort = "lea_short";
    /// Shifts by an immediate.
    Shift = "shift";
    /// Shifts by CL.
    ShiftCl = "shift_cl";
    /// Shifts of BMI2.
    ShiftX = "shift_x";
    /// Rotations by an immediate.
    Rotate = "rotate";
    /// Rotations by CL.
    RotateCl = "rotate_cl";
    /// RCL, RCR by one.
    RotateCarry = "rotate_carry";
    /// RCL, RCR by more.
    RotateCarryMany = "rotate_carry_many";
    /// SHLD, SHRD by an immediate.
    ShiftDouble = "shift_double";
    /// SHLD, SHRD by CL.
    ShiftDoubleCl = "shift_double_cl";
    /// BT, BTS, BTR, BTC.
    BitTest = "bit_test";
    /// The same in memory with a register's bit number.
    BitTestMemory = "bit_test_memory";
    /// BSF, BSR, LZCNT, TZCNT, POPCNT.
    BitScan = "bit_scan";
    /// BSWAP of 32 bits.
    Swap = "swap";
    /// BSWAP of 64 bits.
    SwapLong = "swap_long";
    /// CRC32, PDEP, PEXT.
    Crc = "crc";
    /// ANDN, BLSR and the like.
    Bmi = "bmi";
    /// BEXTR.
    Extract = "extract";
    /// IMUL with two or three operands.
    Multiply = "multiply";
    /// MUL, IMUL of 8 bits.
    MultiplyByte = "multiply_byte";
    /// MUL, IMUL of 16 bits to DX:AX.
    MultiplyWord = "multiply_word";
    /// The same of 32 bits.
    MultiplyDouble = "multiply_double";
    /// The same of 64 bits, and MULX.
    MultiplyLong = "multiply_long";
    /// DIV of 8 bits.
    DivideByte = "divide_byte";
    /// DIV of 16 bits.
    DivideWord = "divide_word";
    /// DIV of 32 bits.
    DivideDouble = "divide_double";
    /// DIV of 64 bits.
    DivideLong = "divide_long";
    /// IDIV of 64 bits.
    DivideLongSigned = "divide_long_signed";
    /// XCHG of registers.
    Exchange = "exchange";
    /// XADD of registers.
    ExchangeAdd = "exchange_add";
    /// CMPXCHG.
    CompareExchange = "compare_exchange";
    /// CMPXCHG8B.
    CompareExchange8 = "compare_exchange_8";
    /// CMPXCHG16B.
    CompareExchange16 = "compare_exchange_16";
    /// What a locked access has beside its operation.
    Locked = "locked";
    /// PUSH; its store is of every table.
    Push = "push";
    /// POP; its load is of every table.
    Pop = "pop";
    /// PUSHF.
    PushFlags = "push_flags";
    /// POPF.
    PopFlags = "pop_flags";
    /// LEAVE.
    Leave = "leave";
    /// ENTER.
    Enter = "enter";
    /// PUSHA, POPA.
    PushAll = "push_all";
    /// LAHF, SAHF.
    FlagsAh = "flags_ah";
    /// CLC, STC, CMC.
    CarryFlag = "carry_flag";
    /// CLD, STD.
    DirectionFlag = "direction_flag";
    /// AAA, DAA and their like.
    Decimal = "decimal";
    /// AAM, AAD.
    DecimalDivide = "decimal_divide";
    /// XLAT.
    Translate = "translate";
    /// Jcc.
    Branch = "branch";
    /// JMP near.
    Jump = "jump";
    /// JMP through a register or memory.
    JumpIndirect = "jump_indirect";
    /// CALL near.
    Call = "call";
    /// RET near.
    Return = "return";
    /// LOOP, JCXZ.
    Loop = "loop";
    /// MOVS without a prefix.
    MoveString = "move_string";
    /// STOS.
    StoreString = "store_string";
    /// LODS.
    LoadString = "load_string";
    /// SCAS.
    ScanString = "scan_string";
    /// CMPS.
    CompareString = "compare_string";
    /// The beginning of a repeated string instruction.
    Repeat = "repeat";
    /// Moves between vector registers.
    VectorMove = "vector_move";
    /// From a general register to a vector register.
    ToVector = "to_vector";
    /// From a vector register to a general one; MOVMSK.
    FromVector = "from_vector";
    /// AND and the like of integer vectors.
    VectorLogic = "vector_logic";
    /// The same by the names for floating point.
    FloatLogic = "float_logic";
    /// PADD, PSUB, PCMPEQ, PMAX, PAVG, PABS, PSIGN.
    VectorAdd = "vector_add";
    /// PCMPGTQ.
    VectorCompareLong = "vector_compare_long";
    /// PMUL, PMADD.
    VectorMultiply = "vector_multiply";
    /// PMULLD.
    VectorMultiplyDouble = "vector_multiply_double";
    /// PSADBW.
    SumDifferences = "sum_differences";
    /// MPSADBW.
    SumDifferencesMany = "sum_differences_many";
    /// Shifts of vectors by an immediate.
    VectorShift = "vector_shift";
    /// The same by a register.
    VectorShiftBy = "vector_shift_by";
    /// PSHUF, PUNPCK, PACK, PALIGNR.
    Shuffle = "shuffle";
    /// SHUFPS, UNPCK, MOVHLPS, MOVDDUP.
    FloatShuffle = "float_shuffle";
    /// Shuffles across the halves of a YMM register.
    ShuffleFar = "shuffle_far";
    /// PHADD, PHSUB.
    Horizontal = "horizontal";
    /// HADDPS and the like.
    FloatHorizontal = "float_horizontal";
    /// Blends by an immediate.
    Blend = "blend";
    /// Blends by a register.
    BlendBy = "blend_by";
    /// PINSR.
    Insert = "insert";
    /// PEXTR.
    Pick = "pick";
    /// PTEST.
    VectorTest = "vector_test";
    /// PHMINPOSUW.
    Minimum = "minimum";
    /// ADDSS, SUBPD, MAXPS, CMPPS.
    FloatAdd = "float_add";
    /// COMISS, UCOMISD.
    FloatCompare = "float_compare";
    /// MULSS, MULPS.
    FloatMultiply = "float_multiply";
    /// MULSD, MULPD.
    FloatMultiplyDouble = "float_multiply_double";
    /// FMA.
    FloatFused = "float_fused";
    /// DIVSS, DIVPS.
    FloatDivide = "float_divide";
    /// DIVSD, DIVPD.
    FloatDivideDouble = "float_divide_double";
    /// DIVPS of 256 bits.
    FloatDivideWide = "float_divide_wide";
    /// DIVPD of 256 bits.
    FloatDivideDoubleWide = "float_divide_double_wide";
    /// SQRTSS, SQRTPS.
    FloatRoot = "float_root";
    /// SQRTSD, SQRTPD.
    FloatRootDouble = "float_root_double";
    /// RCPSS, RSQRTPS.
    FloatApproximate = "float_approximate";
    /// ROUNDSS.
    FloatRound = "float_round";
    /// DPPS.
    DotProduct = "dot_product";
    /// DPPD.
    DotProductDouble = "dot_product_double";
    /// CVTSI2SS, CVTSI2SD.
    FromInteger = "from_integer";
    /// CVTSS2SI, CVTTSD2SI.
    ToInteger = "to_integer";
    /// CVTDQ2PS, CVTPS2DQ.
    ConvertSingle = "convert_single";
    /// CVTDQ2PD, CVTPD2DQ, CVTPD2PS, CVTSD2SS.
    ConvertDouble = "convert_double";
    /// CVTPS2PD.
    Widen = "widen";
    /// CVTSS2SD.
    WidenScalar = "widen_scalar";
    /// AESENC and the like.
    Aes = "aes";
    /// AESIMC.
    AesMix = "aes_mix";
    /// AESKEYGENASSIST.
    AesKey = "aes_key";
    /// PCLMULQDQ.
    CarrylessMultiply = "carryless_multiply";
    /// PCMPISTRI, PCMPISTRM.
    TextImplicit = "text_implicit";
    /// PCMPESTRI, PCMPESTRM.
    TextExplicit = "text_explicit";
    /// Gathers and scatters.
    Gather = "gather";
    /// VZEROUPPER, VZEROALL, EMMS.
    VectorState = "vector_state";
    /// STMXCSR.
    StoreStatus = "store_status";
    /// LDMXCSR.
    LoadStatus = "load_status";
    /// MASKMOVDQU.
    MaskedStore = "masked_store";
    /// FLD, FST, FXCH, FFREE and constants.
    X87Move = "x87_move";
    /// FCHS, FABS.
    X87Sign = "x87_sign";
    /// FCMOVcc.
    X87Select = "x87_select";
    /// FADD, FSUB, FCOM.
    X87Add = "x87_add";
    /// FMUL.
    X87Multiply = "x87_multiply";
    /// FDIV.
    X87Divide = "x87_divide";
    /// FSQRT.
    X87Root = "x87_root";
    /// FILD, FIST.
    X87Integer = "x87_integer";
    /// FRNDINT, FSCALE, FXTRACT, FPREM.
    X87Slow = "x87_slow";
    /// FSIN, FPTAN, FYL2X and the like.
    X87Transcendental = "x87_transcendental";
    /// FLDCW, FNSTSW and the like.
    X87Control = "x87_control";
    /// FBLD, FBSTP.
    X87Decimal = "x87_decimal";
    /// FSAVE, FXSAVE, XSAVE and what loads it again.
    SaveState = "save_state";
    /// SFENCE.
    StoreFence = "store_fence";
    /// LFENCE.
    LoadFence = "load_fence";
    /// MFENCE.
    Fence = "fence";
    /// PAUSE.
    Pause = "pause";
    /// CPUID.
    Cpuid = "cpuid";
    /// RDTSC.
    Timestamp = "timestamp";
    /// RDTSCP, RDPMC.
    TimestampOrdered = "timestamp_ordered";
    /// RDMSR, XGETBV.
    ReadMsr = "read_msr";
    /// WRMSR, XSETBV.
    WriteMsr = "write_msr";
    /// MOV from control and debug registers.
    ReadControl = "read_control";
    /// MOV to control and debug registers, CLTS, LMSW.
    WriteControl = "write_control";
    /// INVLPG.
    InvalidatePage = "invalidate_page";
    /// CLFLUSH and its like.
    FlushLine = "flush_line";
    /// CLI, STI, HLT.
    InterruptFlag = "interrupt_flag";
    /// MOV and POP to segment registers, LDS and its like.
    LoadSegment = "load_segment";
    /// MOV and PUSH from segment registers.
    StoreSegment = "store_segment";
    /// LGDT, LIDT, LLDT, LTR, and SGDT and its like.
    Tables = "tables";
    /// LAR, LSL, VERR, VERW.
    Verify = "verify";
    /// Far calls, jumps and returns.
    Far = "far";
    /// INT n, INT3, INTO.
    Interrupt = "interrupt";
    /// IRET.
    InterruptReturn = "interrupt_return";
    /// SYSCALL, SYSENTER.
    SystemCall = "system_call";
    /// SYSRET, SYSEXIT.
    SystemReturn = "system_return";
    /// SWAPGS, RDFSBASE and its like.
    SegmentBase = "segment_base";
    /// IN, OUT, INS and OUTS, beside what the port costs.
    PortAccess = "port_access";
    /// VMREAD.
    VmRead = "vm_read";
    /// VMWRITE.
    VmWrite = "vm_write";
    /// VMPTRLD, VMPTRST, VMCLEAR, VMXON, VMXOFF.
    VmPointer = "vm_pointer";
    /// INVEPT, INVVPID, INVPCID.
    VmInvalidate = "vm_invalidate";
    /// VMLAUNCH, VMRESUME, VMCALL, VMFUNC, beside what VM entry and VM exit cost.
    VmTransition = "vm_transition";
    /// BOUND, WBINVD, RSM and whatever else is rare.
    Rare = "rare";
    /// Vector instructions without a row of their own.
    VectorOther = "vector_other";
    /// Others without a row of their own.
    Other = "other";
}

impl Class {
    /// Whether nothing behind it in program order overlaps with it: a run of the estimate ends there.
    pub fn is_serial(self) -> bool {
        matches!(
            self,
            Self::Repeat
                | Self::PopFlags
                | Self::Cpuid
                | Self::Timestamp
                | Self::TimestampOrdered
                | Self::ReadMsr
                | Self::WriteMsr
                | Self::WriteControl
                | Self::InvalidatePage
                | Self::InterruptFlag
                | Self::LoadSegment
                | Self::Tables
                | Self::Far
                | Self::Interrupt
                | Self::InterruptReturn
                | Self::SystemCall
                | Self::SystemReturn
                | Self::PortAccess
                | Self::VmRead
                | Self::VmWrite
                | Self::VmPointer
                | Self::VmInvalidate
                | Self::VmTransition
                | Self::Pause
                | Self::Rare
        )
    }
}
