//! The table of handlers: a row for each operation, a column for each operand width.

use crate::decode::uop::Uop;
use crate::exec::sse::{
    convert::*, float::*, gather::*, lanes::*, mask::*, moves::*, native::*, operands::*, select::*, status::*,
    strings::*, wide::*,
};
use crate::exec::x87::{compare::*, compute::*, control::*, environment::*, transfer::*};
use crate::exec::{atomic::*, bcd::*, bits::*, bmi::*, branch::*, control::*, cpuid::*, far::*, fast_call::*};
use crate::exec::{flags_io::*, int::*, interrupt::*, io::*, misc::*, msr::*, muldiv::*, segment::*, shift::*};
use crate::exec::{mmx::*, stack::*, string::*, system::*, tables::*, vmx::*, xsave::*};
use crate::fault::{Exec, Stop};
use crate::mem::access::{Any, Checked, Flat, FlatBase};
use crate::state::cpu::{Cpu, Env};

/// A handler executes one micro-op and goes on with those that follow it in the block. What it calls commits registers
/// and flags last, so that a fault leaves no trace.
pub type Handler = fn(&mut Cpu, &mut Env, &Uop, &[Uop]) -> Exec;

/// Executes `uop`, then `rest`. How many of them were not completed is in [`Cpu::undone`].
#[inline(always)]
pub fn execute(cpu: &mut Cpu, env: &mut Env, uop: &Uop, rest: &[Uop]) -> Exec {
    TABLE[uop.op as usize & (TABLE.len() - 1)](cpu, env, uop, rest)
}

/// The last step of a handler: the next one, as a jump and not a call in optimized code. A block's length bounds the
/// depth where it is a call.
#[inline(always)]
fn go_on(cpu: &mut Cpu, env: &mut Env, rest: &[Uop]) -> Exec {
    match rest.split_first() {
        Some((uop, rest)) if !cpu.leaves_block() => execute(cpu, env, uop, rest),
        _ => {
            cpu.undone = rest.len();
            Ok(())
        }
    }
}

/// [`go_on`] after an instruction that cannot have asked for the boundary.
#[inline(always)]
fn next(cpu: &mut Cpu, env: &mut Env, rest: &[Uop]) -> Exec {
    match rest.split_first() {
        Some((uop, rest)) => execute(cpu, env, uop, rest),
        None => Ok(()),
    }
}

#[cold]
#[inline(never)]
fn stop(cpu: &mut Cpu, rest: &[Uop], stop: Stop) -> Exec {
    cpu.undone = rest.len() + 1;
    Err(stop)
}

/// A handler around a function that executes one micro-op.
macro_rules! chain {
    ($handler:expr) => {
        (|cpu: &mut Cpu, env: &mut Env, uop: &Uop, rest: &[Uop]| match $handler(cpu, env, uop) {
            Ok(()) => go_on(cpu, env, rest),
            Err(reason) => stop(cpu, rest, reason),
        }) as Handler
    };
}

/// Rows of the table, rounded up so that an index needs no check.
const ROWS: usize = 1024;

/// Columns: operand widths (or encodings).
const WIDTHS: usize = 4;

/// Bits of [`Uop::op`] above row and column: the form of the handler.
pub const FORMS: u16 = 3 * FLAT;
/// The handler reaches memory by [`Flat`].
pub const FLAT: u16 = (ROWS * WIDTHS) as u16;
/// The handler reaches memory by [`FlatBase`].
pub const FLAT_BASE: u16 = 2 * FLAT;
/// Nobody sees the status flags that a register operation would leave.
pub const NO_FLAGS: u16 = 3 * FLAT;
const FORM_COUNT: usize = 4;

/// A handler of a register operation, which neither faults nor asks for the boundary.
macro_rules! pure {
    ($handler:expr) => {
        (|cpu: &mut Cpu, env: &mut Env, uop: &Uop, rest: &[Uop]| match $handler(cpu, env, uop) {
            Ok(()) => next(cpu, env, rest),
            Err(reason) => stop(cpu, rest, reason),
        }) as Handler
    };
}

/// A handler of an instruction that always ends its block.
macro_rules! last {
    ($handler:expr) => {
        (|cpu: &mut Cpu, env: &mut Env, uop: &Uop, rest: &[Uop]| match $handler(cpu, env, uop) {
            Ok(()) => Ok(()),
            Err(reason) => stop(cpu, rest, reason),
        }) as Handler
    };
}

/// A handler of a conditional branch, which tells whether it is taken; if not, the block goes on.
macro_rules! either {
    ($handler:expr) => {
        (|cpu: &mut Cpu, env: &mut Env, uop: &Uop, rest: &[Uop]| match $handler(cpu, env, uop) {
            Ok(false) => next(cpu, env, rest),
            Ok(true) => {
                cpu.undone = rest.len();
                Ok(())
            }
            Err(reason) => stop(cpu, rest, reason),
        }) as Handler
    };
}

/// A handler whose fast form gives up in favour of the checked one.
macro_rules! fast {
    ($handler:ident $path:ident $($type:ident)*) => {
        (|cpu: &mut Cpu, env: &mut Env, uop: &Uop, rest: &[Uop]| match $handler::<$path, $($type),*>(cpu, env, uop) {
            Ok(()) => go_on(cpu, env, rest),
            Err(_) => {
                const CHECKED: Handler = chain!($handler::<Checked, $($type),*>);
                CHECKED(cpu, env, uop, rest)
            }
        }) as Handler
    };
}

/// A column for each width.
macro_rules! widths {
    ($make:ident! $handler:ident $($kind:ident)*) => {
        [
            $make!($handler::<$($kind,)* u8>),
            $make!($handler::<$($kind,)* u16>),
            $make!($handler::<$($kind,)* u32>),
            $make!($handler::<$($kind,)* u64>),
        ]
    };
    (fast $path:ident $handler:ident $($kind:ident)*) => {
        [
            fast!($handler $path $($kind)* u8),
            fast!($handler $path $($kind)* u16),
            fast!($handler $path $($kind)* u32),
            fast!($handler $path $($kind)* u64),
        ]
    };
}

/// A row for each form.
macro_rules! row {
    (mem $handler:ident $($kind:ident)?) => {
        [
            widths!(fast Any $handler $($kind)?),
            widths!(fast Flat $handler $($kind)?),
            widths!(fast FlatBase $handler $($kind)?),
            [UNDEFINED; WIDTHS],
        ]
    };
    (lea $handler:ident) => {
        [
            widths!(pure! $handler Any),
            widths!(pure! $handler Flat),
            widths!(pure! $handler FlatBase),
            [UNDEFINED; WIDTHS],
        ]
    };
    (alu $handler:ident $kind:ident) => {
        [
            widths!(pure! $handler WithFlags $kind),
            widths!(pure! $handler WithFlags $kind),
            widths!(pure! $handler WithFlags $kind),
            widths!(pure! $handler WithoutFlags $kind),
        ]
    };
    ($($columns:tt)*) => {
        [same!($($columns)*); FORM_COUNT]
    };
}

/// The same row for every form.
macro_rules! same {
    (all $handler:ident $($kind:ident)?) => {
        widths!(chain! $handler $($kind)?)
    };
    (reg $handler:ident $($kind:ident)?) => {
        widths!(pure! $handler $($kind)?)
    };
    (branch $handler:ident $($kind:ident)?) => {
        widths!(either! $handler $($kind)?)
    };
    (end $handler:ident $($kind:ident)?) => {
        widths!(last! $handler $($kind)?)
    };
    (wide $handler:ident) => {
        [UNDEFINED, UNDEFINED, chain!($handler::<u32>), chain!($handler::<u64>)]
    };
    (wide $handler:ident $kind:ident) => {
        [UNDEFINED, UNDEFINED, chain!($handler::<$kind, u32>), chain!($handler::<$kind, u64>)]
    };
    (enc $handler:ident) => {
        [
            chain!($handler::<Legacy>),
            chain!($handler::<Vex128>),
            chain!($handler::<Vex256>),
            chain!($handler::<Evex>),
        ]
    };
    (enc $handler:ident $kind:ident) => {
        [
            chain!($handler::<$kind, Legacy>),
            chain!($handler::<$kind, Vex128>),
            chain!($handler::<$kind, Vex256>),
            chain!($handler::<$kind, Evex>),
        ]
    };
    (one $handler:ident) => {
        [chain!($handler); 4]
    };
    (one $handler:ident $kind:ident) => {
        [chain!($handler::<$kind>); 4]
    };
}

const UNDEFINED: Handler = chain!(undefined);

macro_rules! ops {
    ($($name:ident = $columns:ident $handler:ident $($kind:ident)?;)*) => {
        /// Operations: the row numbers of [`TABLE`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u16)]
        #[allow(missing_docs)]
        pub enum Op { $($name,)* }

        /// Names of the operations, in order.
        pub const NAMES: &[&str] = &[$(stringify!($name),)*];

        static ROW_TABLE: &[[[Handler; WIDTHS]; FORM_COUNT]] = &[$(row!($columns $handler $($kind)?),)*];

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
    AddRr = alu alu_rr Add;   AddRm = mem alu_rm Add;   AddMr = mem alu_mr Add;   AddRi = alu alu_ri Add;   AddMi = mem alu_mi Add;
    OrRr = alu alu_rr Or;     OrRm = mem alu_rm Or;     OrMr = mem alu_mr Or;     OrRi = alu alu_ri Or;     OrMi = mem alu_mi Or;
    AdcRr = alu alu_rr Adc;   AdcRm = mem alu_rm Adc;   AdcMr = mem alu_mr Adc;   AdcRi = alu alu_ri Adc;   AdcMi = mem alu_mi Adc;
    SbbRr = alu alu_rr Sbb;   SbbRm = mem alu_rm Sbb;   SbbMr = mem alu_mr Sbb;   SbbRi = alu alu_ri Sbb;   SbbMi = mem alu_mi Sbb;
    AndRr = alu alu_rr And;   AndRm = mem alu_rm And;   AndMr = mem alu_mr And;   AndRi = alu alu_ri And;   AndMi = mem alu_mi And;
    SubRr = alu alu_rr Sub;   SubRm = mem alu_rm Sub;   SubMr = mem alu_mr Sub;   SubRi = alu alu_ri Sub;   SubMi = mem alu_mi Sub;
    XorRr = alu alu_rr Xor;   XorRm = mem alu_rm Xor;   XorMr = mem alu_mr Xor;   XorRi = alu alu_ri Xor;   XorMi = mem alu_mi Xor;
    CmpRr = reg cmp_rr;       CmpRm = mem cmp_rm;       CmpMr = mem cmp_mr;       CmpRi = reg cmp_ri;       CmpMi = mem cmp_mi;
    TestRr = reg test_rr;     TestMr = mem test_mr;     TestRi = reg test_ri;     TestMi = mem test_mi;
    IncR = alu unary_r Inc;   IncM = mem unary_m Inc;   DecR = alu unary_r Dec;   DecM = mem unary_m Dec;
    NotR = alu unary_r Not;   NotM = mem unary_m Not;   NegR = alu unary_r Neg;   NegM = mem unary_m Neg;
    XorZero = reg xor_zero;

    // Moves.
    MovRr = reg mov_rr;       MovRm = mem mov_rm;       MovMr = mem mov_mr;       MovRi = reg mov_ri;       MovMi = mem mov_mi;
    MovRmAbsolute = all mov_rm_absolute;                MovMrAbsolute = all mov_mr_absolute;
    MovzxRr8 = reg movzx_rr8; MovzxRm8 = mem movzx_rm8; MovzxRr16 = reg movzx_rr16; MovzxRm16 = mem movzx_rm16;
    MovsxRr8 = reg movsx_rr8; MovsxRm8 = mem movsx_rm8; MovsxRr16 = reg movsx_rr16; MovsxRm16 = mem movsx_rm16;
    MovsxRr32 = reg movsx_rr32; MovsxRm32 = mem movsx_rm32;
    Lea = lea lea;
    XchgRr = all xchg_rr;     XchgMr = all xchg_mr;
    CmovRr = reg cmov_rr;     CmovRm = mem cmov_rm;
    SetccR = one setcc_r;     SetccM = one setcc_m;
    Cbw = reg cbw;            Cwd = reg cwd;
    Nop = one nop;

    // Branches.
    JmpRel = end jmp_rel;     JmpR = end jmp_r;         JmpM = mem jmp_m;
    Jcc = branch jcc;            Jcxz = branch jcxz;          Loop = branch loop_rel;
    JccZero = branch jcc_on Zero;       JccNotZero = branch jcc_on NotZero;
    JccNegative = branch jcc_on Negative;   JccNotNegative = branch jcc_on NotNegative;
    JccBelow = branch jcc_on Below;     JccNotBelow = branch jcc_on NotBelow;
    JccBelowEqual = branch jcc_on BelowEqual; JccAbove = branch jcc_on Above;
    JccLess = branch jcc_on Less;       JccNotLess = branch jcc_on NotLess;
    JccLessEqual = branch jcc_on LessEqual; JccGreater = branch jcc_on Greater;
    CallRel = mem call_rel;   CallR = mem call_r;       CallM = mem call_m;
    Ret = mem ret;

    // Stack.
    PushR = mem push_r;       PushM = mem push_m;       PushI = mem push_i;
    PopR = mem pop_r;         PopM = all pop_m;
    PushA = all pusha;        PopA = all popa;
    Enter = all enter;        Leave = mem leave;

    // Shifts and rotates: register or memory by an immediate or CL.
    ShlRi = alu shift_ri Shl;  ShlRc = reg shift_rc Shl;  ShlMi = all shift_mi Shl;  ShlMc = all shift_mc Shl;
    ShrRi = alu shift_ri Shr;  ShrRc = reg shift_rc Shr;  ShrMi = all shift_mi Shr;  ShrMc = all shift_mc Shr;
    SarRi = alu shift_ri Sar;  SarRc = reg shift_rc Sar;  SarMi = all shift_mi Sar;  SarMc = all shift_mc Sar;
    RolRi = alu shift_ri Rol;  RolRc = reg shift_rc Rol;  RolMi = all shift_mi Rol;  RolMc = all shift_mc Rol;
    RorRi = alu shift_ri Ror;  RorRc = reg shift_rc Ror;  RorMi = all shift_mi Ror;  RorMc = all shift_mc Ror;
    RclRi = alu shift_ri Rcl;  RclRc = reg shift_rc Rcl;  RclMi = all shift_mi Rcl;  RclMc = all shift_mc Rcl;
    RcrRi = alu shift_ri Rcr;  RcrRc = reg shift_rc Rcr;  RcrMi = all shift_mi Rcr;  RcrMc = all shift_mc Rcr;
    ShldRi = reg double_ri Shld;  ShldRc = reg double_rc Shld;  ShldMi = all double_mi Shld;  ShldMc = all double_mc Shld;
    ShrdRi = reg double_ri Shrd;  ShrdRc = reg double_rc Shrd;  ShrdMi = all double_mi Shrd;  ShrdMc = all double_mc Shrd;

    // Multiplication and division.
    MulR = all mul_r;         MulM = all mul_m;         Imul1R = all imul1_r;     Imul1M = all imul1_m;
    ImulRr = reg imul_rr;     ImulRm = all imul_rm;     ImulRri = reg imul_rri;   ImulRmi = all imul_rmi;
    DivR = all div_r;         DivM = all div_m;         IdivR = all idiv_r;       IdivM = all idiv_m;

    // Bits and bytes.
    BtRr = reg bit_rr Bt;     BtRi = reg bit_ri Bt;     BtMr = all bit_mr Bt;     BtMi = all bit_mi Bt;
    BtsRr = reg bit_rr Bts;   BtsRi = reg bit_ri Bts;   BtsMr = all bit_mr Bts;   BtsMi = all bit_mi Bts;
    BtrRr = reg bit_rr Btr;   BtrRi = reg bit_ri Btr;   BtrMr = all bit_mr Btr;   BtrMi = all bit_mi Btr;
    BtcRr = reg bit_rr Btc;   BtcRi = reg bit_ri Btc;   BtcMr = all bit_mr Btc;   BtcMi = all bit_mi Btc;
    BsfRr = reg scan_rr Bsf;  BsfRm = all scan_rm Bsf;  BsrRr = reg scan_rr Bsr;  BsrRm = all scan_rm Bsr;
    PopcntRr = reg count_rr Popcnt; PopcntRm = all count_rm Popcnt;
    LzcntRr = reg count_rr Lzcnt;   LzcntRm = all count_rm Lzcnt;
    TzcntRr = reg count_rr Tzcnt;   TzcntRm = all count_rm Tzcnt;
    Bswap = reg bswap;        MovbeRm = all movbe_rm;   MovbeMr = all movbe_mr;
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
    Vmfunc = one vmfunc;

    // Identification, time, model-specific registers.
    Cpuid = one cpuid;        Rdtsc = one rdtsc;        Monitor = one monitor;    Mwait = one mwait;
    Umonitor = one umonitor;  UserWait = one user_wait;
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
    AddPsRr = enc native_rr AddPs; AddPsRm = enc native_rm AddPs; AddPdRr = enc native_rr AddPd; AddPdRm = enc native_rm AddPd;
    AddSsRr = enc native_rr AddSs; AddSsRm = enc native_rm AddSs; AddSdRr = enc native_rr AddSd; AddSdRm = enc native_rm AddSd;
    SubPsRr = enc native_rr SubPs; SubPsRm = enc native_rm SubPs; SubPdRr = enc native_rr SubPd; SubPdRm = enc native_rm SubPd;
    SubSsRr = enc native_rr SubSs; SubSsRm = enc native_rm SubSs; SubSdRr = enc native_rr SubSd; SubSdRm = enc native_rm SubSd;
    MulPsRr = enc native_rr MulPs; MulPsRm = enc native_rm MulPs; MulPdRr = enc native_rr MulPd; MulPdRm = enc native_rm MulPd;
    MulSsRr = enc native_rr MulSs; MulSsRm = enc native_rm MulSs; MulSdRr = enc native_rr MulSd; MulSdRm = enc native_rm MulSd;
    DivPsRr = enc native_rr DivPs; DivPsRm = enc native_rm DivPs; DivPdRr = enc native_rr DivPd; DivPdRm = enc native_rm DivPd;
    DivSsRr = enc native_rr DivSs; DivSsRm = enc native_rm DivSs; DivSdRr = enc native_rr DivSd; DivSdRm = enc native_rm DivSd;
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

/// All handlers: for each form [`ROWS`] rows of four, the rest undefined.
pub static TABLE: [Handler; FORM_COUNT * ROWS * WIDTHS] = {
    assert!(COUNT <= ROWS);
    let mut table: [Handler; FORM_COUNT * ROWS * WIDTHS] = [UNDEFINED; FORM_COUNT * ROWS * WIDTHS];
    let mut row = 0;
    while row < COUNT {
        let mut form = 0;
        while form < FORM_COUNT {
            let mut column = 0;
            while column < WIDTHS {
                table[(form * ROWS + row) * WIDTHS + column] = ROW_TABLE[row][form][column];
                column += 1;
            }
            form += 1;
        }
        row += 1;
    }
    table
};
