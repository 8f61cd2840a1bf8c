//! The table of handlers: a row for each operation, a column for each operand width.

use crate::decode::uop::Uop;
use crate::exec::sse::{
    convert::*, float::*, gather::*, lanes::*, mask::*, moves::*, operands::*, select::*, status::*, strings::*,
    wide::*,
};
use crate::exec::x87::{compare::*, compute::*, control::*, environment::*, transfer::*};
use crate::exec::{atomic::*, bcd::*, bits::*, bmi::*, branch::*, control::*, cpuid::*, far::*, fast_call::*};
use crate::exec::{flags_io::*, int::*, interrupt::*, io::*, misc::*, msr::*, muldiv::*, segment::*, shift::*};
use crate::exec::{mmx::*, stack::*, string::*, system::*, tables::*, vmx::*, xsave::*};
use crate::fault::Exec;
use crate::state::cpu::{Cpu, Env};

/// A handler executes one micro-op. It commits registers and flags last, so that a fault leaves no trace.
pub type Handler = fn(&mut Cpu, &mut Env, &Uop) -> Exec;

/// Rows of the table, rounded up so that an index needs no check.
const ROWS: usize = 2048;

macro_rules! row {
    (all $handler:ident) => {
        [$handler::<u8>, $handler::<u16>, $handler::<u32>, $handler::<u64>]
    };
    (all $handler:ident $kind:ident) => {
        [$handler::<$kind, u8>, $handler::<$kind, u16>, $handler::<$kind, u32>, $handler::<$kind, u64>]
    };
    (wide $handler:ident) => {
        [undefined, undefined, $handler::<u32>, $handler::<u64>]
    };
    (wide $handler:ident $kind:ident) => {
        [undefined, undefined, $handler::<$kind, u32>, $handler::<$kind, u64>]
    };
    (enc $handler:ident) => {
        [$handler::<Legacy>, $handler::<Vex128>, $handler::<Vex256>, $handler::<Evex>]
    };
    (one $handler:ident) => {
        [$handler, $handler, $handler, $handler]
    };
    (one $handler:ident $kind:ident) => {
        [$handler::<$kind>, $handler::<$kind>, $handler::<$kind>, $handler::<$kind>]
    };
}

macro_rules! ops {
    ($($name:ident = $columns:ident $handler:ident $($kind:ident)?;)*) => {
        /// Operations: the row numbers of [`TABLE`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u16)]
        #[allow(missing_docs)]
        pub enum Op { $($name,)* }

        /// Names of the operations, in order.
        pub const NAMES: &[&str] = &[$(stringify!($name),)*];

        static ROW_TABLE: &[[Handler; 4]] = &[$(row!($columns $handler $($kind)?),)*];

        const COUNT: usize = NAMES.len();
    };
}

ops! {
    // Loudly not there.
    Undefined = one undefined;
    TooLong = one too_long;
    Unimplemented = one unimplemented;

    // Integer arithmetic and logic: register/register, register/memory, memory/register, register/immediate,
    // memory/immediate.
    AddRr = all alu_rr Add;   AddRm = all alu_rm Add;   AddMr = all alu_mr Add;   AddRi = all alu_ri Add;   AddMi = all alu_mi Add;
    OrRr = all alu_rr Or;     OrRm = all alu_rm Or;     OrMr = all alu_mr Or;     OrRi = all alu_ri Or;     OrMi = all alu_mi Or;
    AdcRr = all alu_rr Adc;   AdcRm = all alu_rm Adc;   AdcMr = all alu_mr Adc;   AdcRi = all alu_ri Adc;   AdcMi = all alu_mi Adc;
    SbbRr = all alu_rr Sbb;   SbbRm = all alu_rm Sbb;   SbbMr = all alu_mr Sbb;   SbbRi = all alu_ri Sbb;   SbbMi = all alu_mi Sbb;
    AndRr = all alu_rr And;   AndRm = all alu_rm And;   AndMr = all alu_mr And;   AndRi = all alu_ri And;   AndMi = all alu_mi And;
    SubRr = all alu_rr Sub;   SubRm = all alu_rm Sub;   SubMr = all alu_mr Sub;   SubRi = all alu_ri Sub;   SubMi = all alu_mi Sub;
    XorRr = all alu_rr Xor;   XorRm = all alu_rm Xor;   XorMr = all alu_mr Xor;   XorRi = all alu_ri Xor;   XorMi = all alu_mi Xor;
    CmpRr = all cmp_rr;       CmpRm = all cmp_rm;       CmpMr = all cmp_mr;       CmpRi = all cmp_ri;       CmpMi = all cmp_mi;
    TestRr = all test_rr;     TestMr = all test_mr;     TestRi = all test_ri;     TestMi = all test_mi;
    IncR = all unary_r Inc;   IncM = all unary_m Inc;   DecR = all unary_r Dec;   DecM = all unary_m Dec;
    NotR = all unary_r Not;   NotM = all unary_m Not;   NegR = all unary_r Neg;   NegM = all unary_m Neg;
    XorZero = all xor_zero;

    // Moves.
    MovRr = all mov_rr;       MovRm = all mov_rm;       MovMr = all mov_mr;       MovRi = all mov_ri;       MovMi = all mov_mi;
    MovRmAbsolute = all mov_rm_absolute;                MovMrAbsolute = all mov_mr_absolute;
    MovzxRr8 = all movzx_rr8; MovzxRm8 = all movzx_rm8; MovzxRr16 = all movzx_rr16; MovzxRm16 = all movzx_rm16;
    MovsxRr8 = all movsx_rr8; MovsxRm8 = all movsx_rm8; MovsxRr16 = all movsx_rr16; MovsxRm16 = all movsx_rm16;
    MovsxRr32 = all movsx_rr32; MovsxRm32 = all movsx_rm32;
    Lea = all lea;
    XchgRr = all xchg_rr;     XchgMr = all xchg_mr;
    CmovRr = all cmov_rr;     CmovRm = all cmov_rm;
    SetccR = one setcc_r;     SetccM = one setcc_m;
    Cbw = all cbw;            Cwd = all cwd;
    Nop = one nop;

    // Branches.
    JmpRel = all jmp_rel;     JmpR = all jmp_r;         JmpM = all jmp_m;
    Jcc = all jcc;            Jcxz = all jcxz;          Loop = all loop_rel;
    CallRel = all call_rel;   CallR = all call_r;       CallM = all call_m;
    Ret = all ret;

    // Stack.
    PushR = all push_r;       PushM = all push_m;       PushI = all push_i;
    PopR = all pop_r;         PopM = all pop_m;
    PushA = all pusha;        PopA = all popa;
    Enter = all enter;        Leave = all leave;

    // Shifts and rotates: register or memory by an immediate or CL.
    ShlRi = all shift_ri Shl;  ShlRc = all shift_rc Shl;  ShlMi = all shift_mi Shl;  ShlMc = all shift_mc Shl;
    ShrRi = all shift_ri Shr;  ShrRc = all shift_rc Shr;  ShrMi = all shift_mi Shr;  ShrMc = all shift_mc Shr;
    SarRi = all shift_ri Sar;  SarRc = all shift_rc Sar;  SarMi = all shift_mi Sar;  SarMc = all shift_mc Sar;
    RolRi = all shift_ri Rol;  RolRc = all shift_rc Rol;  RolMi = all shift_mi Rol;  RolMc = all shift_mc Rol;
    RorRi = all shift_ri Ror;  RorRc = all shift_rc Ror;  RorMi = all shift_mi Ror;  RorMc = all shift_mc Ror;
    RclRi = all shift_ri Rcl;  RclRc = all shift_rc Rcl;  RclMi = all shift_mi Rcl;  RclMc = all shift_mc Rcl;
    RcrRi = all shift_ri Rcr;  RcrRc = all shift_rc Rcr;  RcrMi = all shift_mi Rcr;  RcrMc = all shift_mc Rcr;
    ShldRi = all double_ri Shld;  ShldRc = all double_rc Shld;  ShldMi = all double_mi Shld;  ShldMc = all double_mc Shld;
    ShrdRi = all double_ri Shrd;  ShrdRc = all double_rc Shrd;  ShrdMi = all double_mi Shrd;  ShrdMc = all double_mc Shrd;

    // Multiplication and division.
    MulR = all mul_r;         MulM = all mul_m;         Imul1R = all imul1_r;     Imul1M = all imul1_m;
    ImulRr = all imul_rr;     ImulRm = all imul_rm;     ImulRri = all imul_rri;   ImulRmi = all imul_rmi;
    DivR = all div_r;         DivM = all div_m;         IdivR = all idiv_r;       IdivM = all idiv_m;

    // Bits and bytes.
    BtRr = all bit_rr Bt;     BtRi = all bit_ri Bt;     BtMr = all bit_mr Bt;     BtMi = all bit_mi Bt;
    BtsRr = all bit_rr Bts;   BtsRi = all bit_ri Bts;   BtsMr = all bit_mr Bts;   BtsMi = all bit_mi Bts;
    BtrRr = all bit_rr Btr;   BtrRi = all bit_ri Btr;   BtrMr = all bit_mr Btr;   BtrMi = all bit_mi Btr;
    BtcRr = all bit_rr Btc;   BtcRi = all bit_ri Btc;   BtcMr = all bit_mr Btc;   BtcMi = all bit_mi Btc;
    BsfRr = all scan_rr Bsf;  BsfRm = all scan_rm Bsf;  BsrRr = all scan_rr Bsr;  BsrRm = all scan_rm Bsr;
    PopcntRr = all count_rr Popcnt; PopcntRm = all count_rm Popcnt;
    LzcntRr = all count_rr Lzcnt;   LzcntRm = all count_rm Lzcnt;
    TzcntRr = all count_rr Tzcnt;   TzcntRm = all count_rm Tzcnt;
    Bswap = all bswap;        MovbeRm = all movbe_rm;   MovbeMr = all movbe_mr;
    Crc32Rr = all crc32_rr;   Crc32Rm = all crc32_rm;

    // Exchange and compare.
    XaddRr = all xadd_rr;     XaddMr = all xadd_mr;     CmpxchgRr = all cmpxchg_rr; CmpxchgMr = all cmpxchg_mr;
    Cmpxchg8b = one cmpxchg8b;                          Cmpxchg16b = one cmpxchg16b;

    // BMI1, BMI2, ADX.
    AndnRr = wide vex_rr Andn;   AndnRm = wide vex_rm Andn;   BextrRr = wide vex_rr Bextr; BextrRm = wide vex_rm Bextr;
    BzhiRr = wide vex_rr Bzhi;   BzhiRm = wide vex_rm Bzhi;   PdepRr = wide vex_rr Pdep;   PdepRm = wide vex_rm Pdep;
    PextRr = wide vex_rr Pext;   PextRm = wide vex_rm Pext;   SarxRr = wide vex_rr Sarx;   SarxRm = wide vex_rm Sarx;
    ShlxRr = wide vex_rr Shlx;   ShlxRm = wide vex_rm Shlx;   ShrxRr = wide vex_rr Shrx;   ShrxRm = wide vex_rm Shrx;
    BlsiRr = wide vex_rr Blsi;   BlsiRm = wide vex_rm Blsi;   BlsrRr = wide vex_rr Blsr;   BlsrRm = wide vex_rm Blsr;
    BlsmskRr = wide vex_rr Blsmsk; BlsmskRm = wide vex_rm Blsmsk; RorxRr = wide vex_rr Rorx; RorxRm = wide vex_rm Rorx;
    MulxRr = wide mulx_rr;       MulxRm = wide mulx_rm;
    AdcxRr = wide adx_rr Adcx;   AdcxRm = wide adx_rm Adcx;   AdoxRr = wide adx_rr Adox;   AdoxRm = wide adx_rm Adox;

    // Strings.
    Movs = all movs;          RepMovs = all rep_movs;   Stos = all stos;          RepStos = all rep_stos;
    Lods = all lods;          RepLods = all rep_lods;   Scas = all scas;          RepScas = all rep_scas;
    Cmps = all cmps;          RepCmps = all rep_cmps;
    Ins = all ins;            RepIns = all rep_ins;     Outs = all outs;          RepOuts = all rep_outs;

    // Decimal.
    Daa = one daa;            Das = one das;            Aaa = one aaa;            Aas = one aas;
    Aam = one aam;            Aad = one aad;

    // Ports.
    InImm = all in_imm;       InDx = all in_dx;         OutImm = all out_imm;     OutDx = all out_dx;

    // Others.
    Xlat = one xlat;          Bound = all bound;        Salc = one salc;
    CacheLine = one cache_line; CacheLineWrite = one cache_line_write;
    Movdir64b = one movdir64b;
    Random = all random;      Rdpid = one rdpid;        Serialize = one serialize;

    // System.
    Hlt = one hlt;            Cli = one cli;            Sti = one sti;
    FlagBit = one flag_bit;   Sahf = one sahf;          Lahf = one lahf;

    // Control and debug registers.
    MovToCr = all mov_to_cr;  MovFromCr = all mov_from_cr;
    MovToDr = all mov_to_dr;  MovFromDr = all mov_from_dr;
    Clts = one clts;
    SmswR = all smsw_r;       SmswM = one smsw_m;       LmswR = one lmsw_r;       LmswM = one lmsw_m;
    Invlpg = one invlpg;      Invpcid = all invpcid;    InvalidateCaches = one invalidate_caches;
    SetAc = one set_ac;

    // VMX.
    Vmlaunch = one vmlaunch;  Vmresume = one vmresume;
    Vmxon = one vmxon;        Vmxoff = one vmxoff;      Vmclear = one vmclear;    Vmptrld = one vmptrld;
    Vmptrst = one vmptrst;    VmreadR = all vmread_r;   VmreadM = all vmread_m;   VmwriteR = all vmwrite_r;
    VmwriteM = all vmwrite_m; Invept = all invept;      Invvpid = all invvpid;    Vmcall = one vmcall;

    // Identification, time, model-specific registers.
    Cpuid = one cpuid;        Rdtsc = one rdtsc;        Monitor = one monitor;    Mwait = one mwait;
    Rdpkru = one rdpkru;      Wrpkru = one wrpkru;      Pause = one pause;
    Rdmsr = one rdmsr;        Wrmsr = one wrmsr;        Rdpmc = one rdpmc;

    // Segments and descriptor tables.
    MovToSreg = one mov_to_sreg; MovFromSreg = all mov_from_sreg; StoreSreg = one store_sreg;
    PushSreg = all push_sreg; PopSreg = all pop_sreg;   LoadFarPointer = all load_far_pointer;
    Lgdt = one lgdt;          Lidt = one lidt;          Sgdt = one sgdt;          Sidt = one sidt;
    Lldt = one lldt;          Ltr = one ltr;            StoreSystemSelector = all store_system_selector;
    Lar = all lar;            Lsl = all lsl;            Verify = one verify;      Arpl = one arpl;

    // Far transfers, interrupts, fast calls.
    JmpFar = all jmp_far;     JmpFarM = all jmp_far_m;  CallFar = all call_far;   CallFarM = all call_far_m;
    RetFar = all ret_far;
    IntN = one int_n;         Into = one into;          Iret = all iret;
    Pushf = all pushf;        Popf = all popf;
    Sysenter = one sysenter;  Sysexit = all sysexit;    Syscall = one syscall;    Sysret = all sysret;
    Swapgs = one swapgs;      ReadBase = all read_base; WriteBase = all write_base;

    // Vectors; the columns are the encodings.
    VmovRr = enc vmov_rr;     VmovRm = enc vmov_rm;     VmovMr = enc vmov_mr;     StoreHigh = enc store_high;
    VmovFromGpr = enc vmov_from_gpr;                    VmovToGpr = enc vmov_to_gpr;
    VextractR = enc extract_r; VextractM = enc extract_m; VinsertR = enc insert_r; VinsertM = enc insert_m;
    VmoveMask = enc move_mask; VmaskMove = enc mask_move; VmaskLoad = enc mask_load; VmaskStore = enc mask_store;
    Vzero = enc vzero;        TwoRr = enc two_rr;       TwoRm = enc two_rm;
    CountRr = enc by_count_rr; CountRm = enc by_count_rm;   ThreeRr = enc three_rr;   ThreeRm = enc three_rm;
    WideRr = enc wide_rr;     WideRm = enc wide_rm;     BroadcastGpr = enc broadcast_gpr;
    ExtractLaneR = enc extract_lane_r; ExtractLaneM = enc extract_lane_m;
    Gather = enc gather;      GatherMasked = enc gather_masked; Scatter = enc scatter;
    VtestRr = enc vtest_rr;   VtestRm = enc vtest_rm;   StringsRr = enc strings_rr; StringsRm = enc strings_rm;
    FloatRr = enc float_rr;   FloatRm = enc float_rm;
    ConvertRr = enc convert_rr; ConvertRm = enc convert_rm; ConvertMr = enc convert_mr;
    IntToFloatR = enc int_to_float_r; IntToFloatM = enc int_to_float_m;
    FloatToIntR = enc float_to_int_r; FloatToIntM = enc float_to_int_m;
    CompareScalarR = enc compare_scalar_r; CompareScalarM = enc compare_scalar_m;
    MaskOp = one mask_op;     MaskTest = one mask_test; MaskLoad = one mask_register_load;
    MaskStore = one mask_register_store;                MaskFromGpr = one mask_from_gpr; MaskToGpr = one mask_to_gpr;
    MaskCompareRr = enc mask_compare_rr; MaskCompareRm = enc mask_compare_rm;
    SignsToMask = enc signs_to_mask; MaskToVector = enc mask_to_vector;
    BlendMaskRr = enc blend_mask_rr; BlendMaskRm = enc blend_mask_rm;
    CompressR = enc compress_r; CompressM = enc compress_m; ExpandR = enc expand_r; ExpandM = enc expand_m;
    Ldmxcsr = enc ldmxcsr;    Stmxcsr = enc stmxcsr;

    // Saved state.
    Fxsave = one fxsave;      Fxrstor = one fxrstor;    Xsave = one xsave;        Xrstor = one xrstor;
    Xgetbv = one xgetbv;      Xsetbv = one xsetbv;      Emms = one emms;

    // x87 arithmetic: registers, single, double, integer.
    FaddSt = one x87_arith_st Fadd;   FaddM32 = one x87_arith_m32 Fadd;   FaddM64 = one x87_arith_m64 Fadd;   FaddInt = all x87_arith_int Fadd;
    FsubSt = one x87_arith_st Fsub;   FsubM32 = one x87_arith_m32 Fsub;   FsubM64 = one x87_arith_m64 Fsub;   FsubInt = all x87_arith_int Fsub;
    FsubrSt = one x87_arith_st Fsubr; FsubrM32 = one x87_arith_m32 Fsubr; FsubrM64 = one x87_arith_m64 Fsubr; FsubrInt = all x87_arith_int Fsubr;
    FmulSt = one x87_arith_st Fmul;   FmulM32 = one x87_arith_m32 Fmul;   FmulM64 = one x87_arith_m64 Fmul;   FmulInt = all x87_arith_int Fmul;
    FdivSt = one x87_arith_st Fdiv;   FdivM32 = one x87_arith_m32 Fdiv;   FdivM64 = one x87_arith_m64 Fdiv;   FdivInt = all x87_arith_int Fdiv;
    FdivrSt = one x87_arith_st Fdivr; FdivrM32 = one x87_arith_m32 Fdivr; FdivrM64 = one x87_arith_m64 Fdivr; FdivrInt = all x87_arith_int Fdivr;

    // x87 transfers.
    FldSt = one fld_st;       FldM32 = one fld_m32;     FldM64 = one fld_m64;     FldM80 = one fld_m80;
    Fild = all fild;          Fbld = one fbld;          FldConstant = one fld_constant;
    FstSt = one fst_st;       FstM32 = one fst_m32;     FstM64 = one fst_m64;     FstpM80 = one fstp_m80;
    Fist = all fist;          Fbstp = one fbstp;        Fxch = one fxch;          Fcmov = one fcmov;

    // x87 comparisons and functions.
    FcomSt = one fcom_st;     FcomM32 = one fcom_m32;   FcomM64 = one fcom_m64;   Ficom = all ficom;
    Fcomi = one fcomi;        Ftst = one ftst;          Fxam = one fxam;
    Fchs = one x87_on_top Fchs;   Fabs = one x87_on_top Fabs;   Fsqrt = one x87_on_top Fsqrt;
    Frndint = one x87_on_top Frndint; F2xm1 = one x87_on_top F2xm1;
    Fyl2x = one x87_on_pair Fyl2x; Fyl2xp1 = one x87_on_pair Fyl2xp1; Fpatan = one x87_on_pair Fpatan;
    Fscale = one fscale;      Fprem = one fprem;        Fxtract = one fxtract;    Ftrigonometric = one ftrigonometric;

    // x87 control.
    Fwait = one fwait;        Fnop = one fnop;          Fnoop = one fnoop;
    Fninit = one fninit;      Fnclex = one fnclex;      FnstswAx = one fnstsw_ax; FnstswM = one fnstsw_m;
    Fnstcw = one fnstcw;      Fldcw = one fldcw;        FmoveTop = one fmove_top; Ffree = one ffree;
    Fnstenv = one fnstenv;    Fldenv = one fldenv;      Fnsave = one fnsave;      Frstor = one frstor;
    // MMX.
    MmxRr = one mmx_rr;       MmxRm = one mmx_rm;       MmxMovRm = one mmx_mov_rm; MmxMovMr = one mmx_mov_mr;
    MmxFromGpr = one mmx_from_gpr;                      MmxToGpr = one mmx_to_gpr;
    MmxFromXmm = one mmx_from_xmm;                      MmxToXmm = one mmx_to_xmm;
    MmxExtract = one mmx_extract; MmxInsertR = one mmx_insert_r; MmxInsertM = one mmx_insert_m;
    MmxFromFloatR = one mmx_from_float_r; MmxFromFloatM = one mmx_from_float_m;
    MmxToFloatR = one mmx_to_float_r; MmxToFloatM = one mmx_to_float_m;
    MmxMoveMask = one mmx_move_mask; MmxMaskMove = one mmx_mask_move;
}

/// All handlers, [`ROWS`] rows of four, the rest undefined.
pub static TABLE: [Handler; ROWS * 4] = {
    assert!(COUNT <= ROWS);
    let mut table: [Handler; ROWS * 4] = [undefined as Handler; ROWS * 4];
    let mut row = 0;
    while row < COUNT {
        let mut column = 0;
        while column < 4 {
            table[row * 4 + column] = ROW_TABLE[row][column];
            column += 1;
        }
        row += 1;
    }
    table
};
