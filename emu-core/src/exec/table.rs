//! The table of handlers: a row for each operation, a column for each operand width.

use crate::decode::uop::Uop;
use crate::exec::{branch::*, control::*, cpuid::*, int::*, msr::*, stack::*, system::*};
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

    // Identification, time, model-specific registers.
    Cpuid = one cpuid;        Rdtsc = one rdtsc;        Monitor = one monitor;    Mwait = one mwait;
    Rdmsr = one rdmsr;        Wrmsr = one wrmsr;        Rdpmc = one rdpmc;
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
