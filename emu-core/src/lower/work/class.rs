//! The class of an instruction.

use crate::cycles::class::Class;
use iced_x86::{ConditionCode, EncodingKind, Instruction, Mnemonic, OpKind, Register};

/// Bytes of the first operand.
fn width(i: &Instruction) -> usize {
    match i.op0_kind() {
        OpKind::Register => i.op0_register().size(),
        _ => i.memory_size().size(),
    }
}

pub(super) fn is_register(i: &Instruction, n: u32) -> bool {
    i.op_count() > n && i.op_kind(n) == OpKind::Register
}

fn is_immediate(i: &Instruction, n: u32) -> bool {
    i.op_count() > n && (OpKind::Immediate8..=OpKind::Immediate32to64).contains(&i.op_kind(n))
}

fn is_vector(register: Register) -> bool {
    register.is_vector_register() || register.is_mm()
}

/// Whether all sources are one register.
pub(super) fn sources_are_one(i: &Instruction) -> bool {
    match i.op_count() {
        2 => is_register(i, 0) && is_register(i, 1) && i.op0_register() == i.op1_register(),
        3 => is_register(i, 1) && is_register(i, 2) && i.op1_register() == i.op2_register(),
        _ => false,
    }
}

fn by_width(i: &Instruction, classes: [Class; 4]) -> Class {
    classes[(width(i).max(1).trailing_zeros() as usize).min(3)]
}

/// The class of an instruction.
pub fn class_of(i: &Instruction) -> Class {
    if let Some(class) = general(i).or_else(|| text(i)).or_else(|| system(i)) {
        return class;
    }
    if let Some(class) = super::vector::class_of(i) {
        return class;
    }
    let vector = (0..i.op_count()).any(|n| i.op_kind(n) == OpKind::Register && is_vector(i.op_register(n)));
    if vector || i.code().encoding() == EncodingKind::EVEX { Class::VectorOther } else { Class::Other }
}

fn general(i: &Instruction) -> Option<Class> {
    use Mnemonic::*;
    let by_cl = |plain, by_cl| if is_register(i, i.op_count() - 1) { by_cl } else { plain };
    Some(match i.mnemonic() {
        Nop | Fnop | Wait | Endbr32 | Endbr64 | Prefetch | Prefetchnta | Prefetcht0 | Prefetcht1 | Prefetcht2
        | Prefetchw => Class::Nop,
        Mov if is_segment(i, 0) => Class::LoadSegment,
        Mov if is_segment(i, 1) => Class::StoreSegment,
        Mov if is_control(i, 0) => Class::WriteControl,
        Mov if is_control(i, 1) => Class::ReadControl,
        Mov if is_register(i, 0) && is_register(i, 1) && width(i) >= 4 && i.op0_register() != i.op1_register() => {
            Class::MoveWhole
        }
        Mov | Movnti | Movbe => Class::Move,
        Movsx | Movsxd | Movzx => Class::Extend,
        Xor | Sub if sources_are_one(i) => Class::Zero,
        Add | Sub | And | Or | Xor | Cmp | Test | Inc | Dec | Neg | Not | Cbw | Cwde | Cdqe => Class::Alu,
        Cwd | Cdq | Cqo => Class::SignHalf,
        Adc | Sbb | Adcx | Adox => Class::Carry,
        _ if i.is_jcc_short_or_near() => Class::Branch,
        Loop | Loope | Loopne | Jcxz | Jecxz | Jrcxz => Class::Loop,
        Fcmovb | Fcmove | Fcmovbe | Fcmovu | Fcmovnb | Fcmovne | Fcmovnbe | Fcmovnu => Class::X87Select,
        _ if i.condition_code() != ConditionCode::None => {
            // Two flags make two micro-operations.
            let two = matches!(i.condition_code(), ConditionCode::a | ConditionCode::be);
            match (i.op_count(), two) {
                (1, false) => Class::Set,
                (1, true) => Class::SetTwo,
                (_, false) => Class::Select,
                (_, true) => Class::SelectTwo,
            }
        }
        Lea if width(i) == 2 => Class::LeaShort,
        Lea => {
            let parts = [i.memory_base(), i.memory_index()].iter().filter(|part| **part != Register::None).count();
            let three = parts == 2 && i.memory_displacement64() != 0 || i.is_ip_rel_memory_operand();
            if three { Class::LeaThree } else { Class::Lea }
        }
        Shl | Shr | Sar => by_cl(Class::Shift, Class::ShiftCl),
        Shlx | Shrx | Sarx => Class::ShiftX,
        Rol | Ror => by_cl(Class::Rotate, Class::RotateCl),
        Rorx => Class::ShiftX,
        Rcl | Rcr if is_immediate(i, 1) && i.immediate8() == 1 => Class::RotateCarry,
        Rcl | Rcr => Class::RotateCarryMany,
        Shld | Shrd => by_cl(Class::ShiftDouble, Class::ShiftDoubleCl),
        Bt | Bts | Btr | Btc if !is_register(i, 0) && is_register(i, 1) => Class::BitTestMemory,
        Bt | Bts | Btr | Btc => Class::BitTest,
        Bsf | Bsr | Lzcnt | Tzcnt | Popcnt => Class::BitScan,
        Bswap if width(i) == 8 => Class::SwapLong,
        Bswap => Class::Swap,
        Crc32 | Pdep | Pext => Class::Crc,
        Andn | Blsi | Blsmsk | Blsr | Bzhi => Class::Bmi,
        Bextr => Class::Extract,
        Imul if i.op_count() > 1 => Class::Multiply,
        Mul | Imul => {
            by_width(i, [Class::MultiplyByte, Class::MultiplyWord, Class::MultiplyDouble, Class::MultiplyLong])
        }
        Mulx => Class::MultiplyLong,
        Div => by_width(i, [Class::DivideByte, Class::DivideWord, Class::DivideDouble, Class::DivideLong]),
        Idiv => by_width(i, [Class::DivideByte, Class::DivideWord, Class::DivideDouble, Class::DivideLongSigned]),
        Xchg => Class::Exchange,
        Xadd => Class::ExchangeAdd,
        Cmpxchg => Class::CompareExchange,
        Cmpxchg8b => Class::CompareExchange8,
        Cmpxchg16b => Class::CompareExchange16,
        Push if is_segment(i, 0) => Class::StoreSegment,
        Push => Class::Push,
        Pop if is_segment(i, 0) => Class::LoadSegment,
        Pop => Class::Pop,
        Pushf | Pushfd | Pushfq => Class::PushFlags,
        Popf | Popfd | Popfq => Class::PopFlags,
        Leave => Class::Leave,
        Enter => Class::Enter,
        Pusha | Pushad | Popa | Popad => Class::PushAll,
        Lahf | Sahf => Class::FlagsAh,
        Clc | Stc | Cmc => Class::CarryFlag,
        Cld | Std => Class::DirectionFlag,
        Aaa | Aas | Daa | Das => Class::Decimal,
        Aam | Aad => Class::DecimalDivide,
        Xlatb => Class::Translate,
        Jmp if i.is_jmp_short_or_near() => Class::Jump,
        Jmp if i.is_jmp_near_indirect() => Class::JumpIndirect,
        Call if i.is_call_near() || i.is_call_near_indirect() => Class::Call,
        Ret => Class::Return,
        _ => return None,
    })
}

/// String instructions; with a prefix they are [`Class::Repeat`].
fn text(i: &Instruction) -> Option<Class> {
    use Mnemonic::*;
    // MOVSD and CMPSD are names of vector instructions, too.
    let class = match i.mnemonic() {
        Movsb | Movsw | Movsd | Movsq if !is_register(i, 0) && i.op1_kind() != OpKind::Register => Class::MoveString,
        Cmpsb | Cmpsw | Cmpsd | Cmpsq if i.op_count() == 2 && !is_register(i, 0) => Class::CompareString,
        Stosb | Stosw | Stosd | Stosq => Class::StoreString,
        Lodsb | Lodsw | Lodsd | Lodsq => Class::LoadString,
        Scasb | Scasw | Scasd | Scasq => Class::ScanString,
        Insb | Insw | Insd | Outsb | Outsw | Outsd => Class::PortAccess,
        _ => return None,
    };
    let repeated = i.has_rep_prefix() || i.has_repne_prefix();
    Some(if repeated { Class::Repeat } else { class })
}

fn is_segment(i: &Instruction, n: u32) -> bool {
    is_register(i, n) && i.op_register(n).is_segment_register()
}

fn is_control(i: &Instruction, n: u32) -> bool {
    is_register(i, n) && (i.op_register(n).is_cr() || i.op_register(n).is_dr())
}

fn system(i: &Instruction) -> Option<Class> {
    use Mnemonic::*;
    Some(match i.mnemonic() {
        Sfence => Class::StoreFence,
        Lfence => Class::LoadFence,
        Mfence => Class::Fence,
        Pause => Class::Pause,
        Cpuid => Class::Cpuid,
        Rdtsc => Class::Timestamp,
        Rdtscp | Rdpmc => Class::TimestampOrdered,
        Rdmsr | Xgetbv => Class::ReadMsr,
        Wrmsr | Xsetbv => Class::WriteMsr,
        Smsw => Class::ReadControl,
        Clts | Lmsw => Class::WriteControl,
        Invlpg => Class::InvalidatePage,
        Clflush | Clflushopt | Clwb => Class::FlushLine,
        Cli | Sti | Hlt | Monitor | Mwait => Class::InterruptFlag,
        Lds | Les | Lfs | Lgs | Lss => Class::LoadSegment,
        Lgdt | Lidt | Lldt | Ltr | Sgdt | Sidt | Sldt | Str => Class::Tables,
        Lar | Lsl | Verr | Verw | Arpl => Class::Verify,
        Retf => Class::Far,
        Jmp | Call => Class::Far,
        Int | Int1 | Int3 | Into => Class::Interrupt,
        Iret | Iretd | Iretq => Class::InterruptReturn,
        Syscall | Sysenter => Class::SystemCall,
        Sysret | Sysretq | Sysexit | Sysexitq => Class::SystemReturn,
        Swapgs | Rdfsbase | Rdgsbase | Wrfsbase | Wrgsbase => Class::SegmentBase,
        In | Out => Class::PortAccess,
        Vmread => Class::VmRead,
        Vmwrite => Class::VmWrite,
        Vmptrld | Vmptrst | Vmclear | Vmxon | Vmxoff => Class::VmPointer,
        Invept | Invvpid | Invpcid => Class::VmInvalidate,
        Vmlaunch | Vmresume | Vmcall | Vmfunc => Class::VmTransition,
        Fxsave | Fxsave64 | Fxrstor | Fxrstor64 | Fnsave | Frstor | Fnstenv | Fldenv | Xsave | Xsave64 | Xsaveopt
        | Xsaveopt64 | Xsavec | Xsavec64 | Xsaves | Xsaves64 | Xrstor | Xrstor64 | Xrstors | Xrstors64 => {
            Class::SaveState
        }
        Bound | Wbinvd | Invd | Rsm | Rdrand | Rdseed | Getsec | Xabort | Xbegin | Xend | Wbnoinvd => Class::Rare,
        _ => return None,
    })
}
