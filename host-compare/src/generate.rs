//! Random instructions and states: bytes from a table of opcodes, registers such that memory operands mostly hit the
//! data pages.

use crate::fpu::Fpu;
use crate::layout::{AT, DATA, HIGH_CODE, HIGH_DATA, LOW_CODE, LOW_DATA, PAGE, WRITABLE};
use crate::random::Random;
use crate::vectors;
use emu_core::flags;
use iced_x86::{Code, CpuidFeature, Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register};

const RAX: usize = 0;
const RCX: usize = 1;
const RDX: usize = 2;
const RBX: usize = 3;
const RSP: usize = 4;
const RBP: usize = 5;
const RSI: usize = 6;
const RDI: usize = 7;

/// Opcode maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Map {
    One,
    F0,
    F38,
    Vex38,
    Vex3A,
}

/// An instruction and a state to run it in.
#[derive(Debug, Clone)]
pub struct Case {
    /// The instruction.
    pub bytes: [u8; 16],
    /// Its length.
    pub len: usize,
    /// The instruction, decoded.
    pub instruction: Instruction,
    /// 64-bit code, else 32-bit.
    pub wide: bool,
    /// It may go elsewhere than to the next instruction.
    pub branches: bool,
    /// It may run in several goes.
    pub repeats: bool,
    /// General registers.
    pub gpr: [u64; 16],
    /// RFLAGS.
    pub flags: u64,
    /// Data to write first: offset, bytes, how many of them.
    pub data: [(usize, [u8; 64], usize); 3],
    /// x87 and vector registers.
    pub fpu: Fpu,
    /// x87 and vector registers are compared.
    pub compares_fpu: bool,
}

impl Case {
    /// A vector instruction without a state.
    pub fn new(bytes: [u8; 16], instruction: Instruction, wide: bool) -> Self {
        Self {
            bytes,
            len: instruction.len(),
            instruction,
            wide,
            branches: false,
            repeats: false,
            gpr: [0; 16],
            flags: 0,
            data: [(0, [0; 64], 0); 3],
            fpu: Fpu::default(),
            compares_fpu: true,
        }
    }

    /// Address of the instruction.
    pub fn start(&self) -> u64 {
        AT as u64 + if self.wide { HIGH_CODE } else { LOW_CODE }
    }
}

/// What the host's processor has.
#[derive(Debug, Clone, Copy)]
pub struct Host {
    bmi1: bool,
    bmi2: bool,
    adx: bool,
    movbe: bool,
    popcnt: bool,
    lzcnt: bool,
    crc32: bool,
    cx16: bool,
}

impl Host {
    /// Asks CPUID.
    pub fn detect() -> Self {
        Self {
            bmi1: is_x86_feature_detected!("bmi1"),
            bmi2: is_x86_feature_detected!("bmi2"),
            adx: is_x86_feature_detected!("adx"),
            movbe: is_x86_feature_detected!("movbe"),
            popcnt: is_x86_feature_detected!("popcnt"),
            lzcnt: is_x86_feature_detected!("lzcnt"),
            crc32: is_x86_feature_detected!("sse4.2"),
            cx16: is_x86_feature_detected!("cmpxchg16b"),
        }
    }

    /// Whether an instruction is one to compare, and the host has it.
    fn compares(&self, i: &Instruction) -> bool {
        use Mnemonic::*;
        match i.mnemonic() {
            Add | Or | Adc | Sbb | And | Sub | Xor | Cmp | Test | Inc | Dec | Not | Neg | Movzx | Movsx | Movsxd
            | Lea | Xchg | Cbw | Cwde | Cdqe | Cwd | Cdq | Cqo | Nop | Clc | Stc | Cmc | Cld | Std | Sahf | Lahf
            | Shl | Sal | Shr | Sar | Rol | Ror | Rcl | Rcr | Shld | Shrd | Mul | Imul | Div | Idiv | Bt | Bts
            | Btr | Btc | Bsf | Bsr | Bswap | Xadd | Cmpxchg | Cmpxchg8b | Movsb | Movsw | Movsq | Stosb | Stosw
            | Stosd | Stosq | Lodsb | Lodsw | Lodsd | Lodsq | Scasb | Scasw | Scasd | Scasq | Cmpsb | Cmpsw | Cmpsq
            | Daa | Das | Aaa | Aas | Aam | Aad | Xlatb | Bound | Salc | Pusha | Pushad | Popa | Popad | Enter
            | Leave | Clflush | Prefetch | Prefetchw | Prefetchnta | Prefetcht0 | Prefetcht1 | Prefetcht2 | Lfence
            | Sfence | Mfence | Pause | Movnti | Ud0 | Ud1 | Ud2 | In | Out | Insb | Insw | Insd | Outsb | Outsw
            | Outsd | Cli | Sti | Hlt => true,
            Movsd | Cmpsd => i.is_string_instruction(),
            Mov | Push | Pop => {
                (0..i.op_count()).all(|n| i.op_kind(n) != OpKind::Register || i.op_register(n).is_gpr())
            }
            Andn | Bextr | Blsi | Blsmsk | Blsr => self.bmi1,
            Tzcnt => self.bmi1,
            Bzhi | Mulx | Pdep | Pext | Rorx | Sarx | Shlx | Shrx => self.bmi2,
            Adcx | Adox => self.adx,
            Movbe => self.movbe,
            Popcnt => self.popcnt,
            Lzcnt => self.lzcnt,
            Crc32 => self.crc32,
            Cmpxchg16b => self.cx16,
            Jmp | Call => !i.is_jmp_far() && !i.is_call_far() && !i.is_jmp_far_indirect() && !i.is_call_far_indirect(),
            Ret | Jcxz | Jecxz | Jrcxz | Loop | Loope | Loopne => true,
            INVALID => true,
            _ if i.is_jcc_short_or_near() => true,
            // SETcc and CMOVcc.
            _ => i.condition_code() as u8 != 0 && i.op0_kind() != OpKind::NearBranch64,
        }
    }
}

/// Makes cases.
pub struct Generator {
    random: Random,
    host: Host,
    opcodes: Vec<(Map, u8)>,
    features: Vec<CpuidFeature>,
}

fn opcodes() -> Vec<(Map, u8)> {
    let mut list = Vec::new();
    let mut add = |map: Map, range: std::ops::RangeInclusive<u8>| {
        for opcode in range {
            list.push((map, opcode));
        }
    };
    for base in (0..0x40).step_by(8) {
        add(Map::One, base..=base + 5);
    }
    for one in [0x27, 0x2F, 0x37, 0x3F, 0x60, 0x61, 0x62, 0x63, 0xD4, 0xD5, 0xD6, 0xD7, 0xF4, 0xF5, 0xF6, 0xF7] {
        add(Map::One, one..=one);
    }
    for range in [
        0x40..=0x5F,
        0x68..=0x8B,
        0x8D..=0x8D,
        0x8F..=0x99,
        0x9E..=0xB1,
        0xB8..=0xB9,
        0xC0..=0xC3,
        0xC6..=0xC9,
        0xD0..=0xD3,
        0xE0..=0xE9,
        0xEB..=0xEF,
        0xF6..=0xFF,
    ] {
        add(Map::One, range);
    }
    // Shifts, multiplications and divisions have more in them than others.
    for _ in 0..4 {
        for range in [0xC0..=0xC1, 0xD0..=0xD3, 0xF6..=0xF7, 0xA4..=0xA7, 0xAA..=0xAF] {
            add(Map::One, range);
        }
    }
    for range in [
        0x0B..=0x0B,
        0x0D..=0x0D,
        0x18..=0x19,
        0x1F..=0x1F,
        0x40..=0x4F,
        0x80..=0x83,
        0x90..=0x9F,
        0xA3..=0xA5,
        0xAB..=0xAF,
        0xB0..=0xB1,
        0xB3..=0xB3,
        0xB6..=0xC1,
        0xC3..=0xC3,
        0xC7..=0xCA,
        0xFF..=0xFF,
    ] {
        add(Map::F0, range);
    }
    for _ in 0..3 {
        for range in [0xA3..=0xA5, 0xAB..=0xAD, 0xB0..=0xB1, 0xB8..=0xBD, 0xC7..=0xC7] {
            add(Map::F0, range);
        }
        add(Map::F38, 0xF0..=0xF1);
        add(Map::F38, 0xF6..=0xF6);
        add(Map::Vex38, 0xF2..=0xF3);
        add(Map::Vex38, 0xF5..=0xF7);
        add(Map::Vex38, 0xF5..=0xF7);
        add(Map::Vex3A, 0xF0..=0xF0);
    }
    list
}

impl Generator {
    /// A generator for a seed.
    pub fn new(seed: u64, host: Host) -> Self {
        Self { random: Random::new(seed), host, opcodes: opcodes(), features: vectors::host_features() }
    }

    /// A new instruction, without a state yet.
    pub fn instruction(&mut self) -> Case {
        loop {
            if let Some(case) = self.try_instruction() {
                return case;
            }
        }
    }

    fn try_instruction(&mut self) -> Option<Case> {
        let r = &mut self.random;
        let wide = r.chance(80);
        let (map, opcode) = r.pick(&self.opcodes);
        let mut bytes = [0; 16];
        let mut len = 0;
        let mut put = |byte: u8| {
            bytes[len] = byte;
            len += 1;
        };
        // Not for near branches in 64-bit mode: Intel's processors ignore the prefix and AMD's do not.
        let narrow = r.chance(18);
        let vex = matches!(map, Map::Vex38 | Map::Vex3A);
        let string = map == Map::One && matches!(opcode, 0x6C..=0x6F | 0xA4..=0xA7 | 0xAA..=0xAF);
        if narrow && (!vex || r.chance(5)) {
            put(0x66);
        }
        if r.chance(8) {
            put(0x67);
        }
        let repeat = match map {
            _ if vex => 0,
            Map::One if string => 55,
            Map::One => 8,
            _ => 31,
        };
        if r.chance(repeat) {
            put(if r.chance(60) { 0xF3 } else { 0xF2 });
        }
        if !vex && r.chance(4) {
            put(0xF0);
        }
        if r.chance(5) {
            put(r.pick(&[0x26, 0x2E, 0x36, 0x3E, 0x65]));
        }
        if vex {
            let w = (r.bits() as u8) & 0x80;
            let vvvv = r.bits() as u8 & 0x78;
            let pp = r.bits() as u8 & 3;
            put(0xC4);
            // R, X and B are inverted; 32-bit code has them at 1.
            put((if wide { r.bits() as u8 & 0xE0 } else { 0xE0 }) | if map == Map::Vex38 { 2 } else { 3 });
            put(w | vvvv | pp);
        } else {
            if wide && r.chance(55) {
                put(0x40 | r.bits() as u8 & if r.chance(50) { 0xF } else { 8 });
            }
            match map {
                Map::F0 => put(0x0F),
                Map::F38 => {
                    put(0x0F);
                    put(0x38);
                }
                _ => {}
            }
        }
        put(opcode);
        let mut modrm = r.bits() as u8;
        if r.chance(35) {
            modrm |= 0xC0;
        }
        put(modrm);
        for byte in bytes[len..].iter_mut() {
            *byte = r.bits() as u8;
        }
        let start = AT as u64 + if wide { HIGH_CODE } else { LOW_CODE };
        let bits = if wide { 64 } else { 32 };
        let mut decoder = Decoder::with_ip(bits, &bytes[..15], start, DecoderOptions::NONE);
        let mut instruction = decoder.decode();
        if !self.host.compares(&instruction) {
            return None;
        }
        let invalid = instruction.code() == Code::INVALID;
        if invalid && !undefined_everywhere(&bytes, map, opcode) {
            return None;
        }
        let branches = !matches!(instruction.flow_control(), FlowControl::Next | FlowControl::Exception) && !invalid;
        // FS belongs to the program.
        let narrow = narrow || bytes[..instruction.len()].contains(&0x66);
        if (branches && wide && narrow) || instruction.segment_prefix() == Register::FS || unlike(&instruction, &bytes)
        {
            return None;
        }
        if !invalid {
            let offsets = decoder.get_constant_offsets(&instruction);
            let mut set = |at: usize, size: usize, value: u64| {
                bytes[at..at + size].copy_from_slice(&value.to_le_bytes()[..size]);
            };
            let address = self.random.address(wide && self.random.clone().chance(50));
            if offsets.has_displacement() {
                let (at, size) = (offsets.displacement_offset(), offsets.displacement_size());
                let absolute =
                    instruction.memory_base() == Register::None && instruction.memory_index() == Register::None;
                if instruction.is_ip_rel_memory_operand() {
                    let target = self.random.address(true);
                    set(at, size, target.wrapping_sub(start + instruction.len() as u64));
                } else if absolute && size >= 4 {
                    set(at, size, if size == 8 { address } else { self.random.address(false) });
                } else if absolute || self.random.chance(20) {
                    // Left as it is.
                } else if size == 4 && self.random.chance(60) {
                    let small = self.random.below(0x2000) as i64 - 0x1000;
                    set(at, size, small as u64);
                }
            }
            if branches && offsets.has_immediate() && is_relative(&instruction) {
                // Somewhere in the code page, but not in the instruction itself.
                let (at, size) = (offsets.immediate_offset(), offsets.immediate_size());
                if size > 1 {
                    let delta = self.random.below(0xC00) as i64 - 0x600;
                    set(at, size, delta as u64);
                }
            }
            if instruction.mnemonic() == Mnemonic::Enter {
                let at = offsets.immediate_offset();
                let frame = self.random.below(256);
                set(at, 2, frame);
            }
            let mut decoder = Decoder::with_ip(bits, &bytes[..15], start, DecoderOptions::NONE);
            instruction = decoder.decode();
            if branches && is_relative(&instruction) {
                let target = instruction.near_branch_target();
                if target >= start && target < start + instruction.len() as u64 {
                    return None;
                }
            }
        }
        let repeats =
            instruction.is_string_instruction() && (instruction.has_rep_prefix() || instruction.has_repne_prefix());
        let len = if invalid { 15 } else { instruction.len() };
        Some(Case {
            bytes,
            len,
            instruction,
            wide,
            branches,
            repeats,
            gpr: [0; 16],
            flags: 0,
            data: [(0, [0; 64], 0); 3],
            fpu: Fpu::default(),
            compares_fpu: false,
        })
    }

    /// A new vector instruction, without a state yet.
    pub fn vector_instruction(&mut self) -> Case {
        loop {
            if let Some(case) = vectors::try_instruction(&mut self.random, &self.features) {
                return case;
            }
        }
    }

    /// Gives the case a new state.
    pub fn state(&mut self, case: &mut Case) {
        let r = &mut self.random;
        let i = &case.instruction;
        let mask = if case.wide { u64::MAX } else { 0xFFFF_FFFF };
        for register in &mut case.gpr {
            *register = r.value() & mask;
        }
        if !case.wide {
            case.gpr[8..].fill(0);
        }
        case.flags = r.bits() & (flags::STATUS | flags::DF) | flags::IF | flags::FIXED1;
        case.data = [(0, [0; 64], 0); 3];
        let high = case.wide && r.chance(50);
        if i.is_stack_instruction() || r.chance(30) {
            case.gpr[RSP] = r.address(high);
        }
        if matches!(i.mnemonic(), Mnemonic::Leave | Mnemonic::Enter) {
            case.gpr[RBP] = r.address(high);
        }
        match i.mnemonic() {
            Mnemonic::Div | Mnemonic::Idiv if r.chance(75) => {
                case.gpr[RDX] = if r.chance(50) { 0 } else { r.below(1 << r.clone().below(32)) };
                if i.mnemonic() == Mnemonic::Idiv && r.chance(40) {
                    case.gpr[RDX] = mask;
                }
                if r.chance(40) {
                    case.gpr[RAX] &= if r.chance(50) { 0xFF } else { 0x7F_FFFF };
                }
            }
            Mnemonic::Loop
            | Mnemonic::Loope
            | Mnemonic::Loopne
            | Mnemonic::Jcxz
            | Mnemonic::Jecxz
            | Mnemonic::Jrcxz
                if r.chance(40) =>
            {
                case.gpr[RCX] = case.gpr[RCX] & !0xFFFF_FFFF | r.below(3);
            }
            _ => {}
        }
        let target = memory_operand(r, case, high);
        if matches!(case.instruction.mnemonic(), Mnemonic::Shld | Mnemonic::Shrd)
            && operand_size(&case.instruction) == 2
        {
            case.gpr[RCX] &= !0x10;
        }
        fill(r, case, target);
        if case.compares_fpu {
            vectors::state(r, case);
        }
    }
}

/// Whether bytes that the decoder refuses are #UD on every processor: LOCK where it is not allowed, or a register
/// form of an instruction that has none.
fn undefined_everywhere(bytes: &[u8; 16], map: Map, opcode: u8) -> bool {
    match map {
        Map::One => bytes.contains(&0xF0) && !matches!(opcode, 0x62 | 0x63 | 0x82 | 0x8F | 0xC4 | 0xC5),
        Map::F0 => {
            bytes.contains(&0xF0) && matches!(opcode, 0x40..=0x4F | 0x80..=0x9F | 0xA3..=0xA5 | 0xAF | 0xB6..=0xB7)
        }
        _ => false,
    }
}

/// Encodings that processors execute differently, so that neither way is right.
fn unlike(i: &Instruction, bytes: &[u8; 16]) -> bool {
    match i.mnemonic() {
        // The SDM leaves a 16-bit shift by more than 16 undefined.
        Mnemonic::Shld | Mnemonic::Shrd => {
            operand_size(i) == 2 && i.op2_kind() == OpKind::Immediate8 && i.immediate8() & 31 > 16
        }
        // With REX.B the bytes are XCHG R8, RAX to some and PAUSE to the decoder.
        Mnemonic::Pause => bytes.iter().take(i.len()).any(|byte| byte & 0xF1 == 0x41),
        // By the SDM MOVSXD r16 reads a word of memory; AMD's processors read a doubleword.
        Mnemonic::Movsxd => operand_size(i) == 2 && i.op1_kind() == OpKind::Memory,
        // AMD's processors take REP's condition instead of the opcode's.
        Mnemonic::Loope | Mnemonic::Loopne => bytes.iter().take(i.len()).any(|byte| matches!(byte, 0xF2 | 0xF3)),
        _ => false,
    }
}

fn is_relative(i: &Instruction) -> bool {
    matches!(i.op0_kind(), OpKind::NearBranch16 | OpKind::NearBranch32 | OpKind::NearBranch64)
}

impl Random {
    /// An address in the data pages, often near an edge.
    pub fn address(&mut self, high: bool) -> u64 {
        let (page, end) = (PAGE, DATA as u64);
        let offset = match self.below(20) {
            0..=2 => page - 16 + self.below(20),
            3 => WRITABLE as u64 - 16 + self.below(20),
            4 => WRITABLE as u64 + self.below(page),
            5 if self.chance(40) => (end - 16).wrapping_add(self.below(32)),
            5 => self.below(32).wrapping_sub(16),
            6..=9 => self.below(WRITABLE as u64 / 64) * 64,
            _ => self.below(WRITABLE as u64 - 64),
        };
        offset.wrapping_add(if high { HIGH_DATA } else { LOW_DATA })
    }
}

/// Bytes of the first operand.
fn operand_size(i: &Instruction) -> usize {
    if i.op0_kind() == OpKind::Register { i.op0_register().size() } else { i.memory_size().size() }
}

/// Number of a general register.
fn number(register: Register) -> Option<usize> {
    register.is_gpr().then(|| register.full_register() as usize - Register::RAX as usize)
}

/// AMD's processors do not want the memory operands of these aligned; the SDM does (Vol. 2A 2.4, type 4).
pub fn takes_any_alignment(mnemonic: Mnemonic) -> bool {
    use Mnemonic::*;
    matches!(mnemonic, Sha1msg1 | Sha1msg2 | Sha1nexte | Sha1rnds4 | Sha256msg1 | Sha256msg2 | Sha256rnds2)
}

/// Points the registers of memory operands into the data; the address that the explicit operand then has.
fn memory_operand(r: &mut Random, case: &mut Case, high: bool) -> u64 {
    let i = case.instruction;
    if i.is_string_instruction() {
        for (register, kinds) in [
            (RSI, [OpKind::MemorySegSI, OpKind::MemorySegESI, OpKind::MemorySegRSI]),
            (RDI, [OpKind::MemoryESDI, OpKind::MemoryESEDI, OpKind::MemoryESRDI]),
        ] {
            if let Some(kind) = (0..i.op_count()).map(|n| i.op_kind(n)).find(|kind| kinds.contains(kind)) {
                case.gpr[register] = r.address(high && kind == kinds[2]);
                if kind != kinds[2] && case.wide && r.chance(50) {
                    case.gpr[register] |= r.bits() << 32;
                }
            }
        }
        if r.chance(30) {
            case.gpr[RDI] = case.gpr[RSI].wrapping_add(r.below(64)).wrapping_sub(32);
        }
        let count = match r.below(10) {
            0 => 0,
            1 => r.below(3000),
            2 => r.value(),
            _ => r.below(40),
        };
        case.gpr[RCX] = count & if case.wide { u64::MAX } else { 0xFFFF_FFFF };
        if case.wide && r.chance(10) {
            case.gpr[RCX] |= r.bits() << 32;
        }
        if !case.wide {
            case.gpr[RSI] &= 0xFFFF_FFFF;
            case.gpr[RDI] &= 0xFFFF_FFFF;
        }
        return case.gpr[RDI];
    }
    if matches!(i.mnemonic(), Mnemonic::Maskmovdqu | Mnemonic::Vmaskmovdqu | Mnemonic::Maskmovq) {
        // Which byte faults, and whether one that is masked out does, is the processor's choice.
        let base = if high && i.op0_kind() == OpKind::MemorySegRDI { HIGH_DATA } else { LOW_DATA };
        case.gpr[RDI] = base + r.below(WRITABLE as u64 - 16);
        return case.gpr[RDI];
    }
    if !(0..i.op_count()).any(|n| i.op_kind(n) == OpKind::Memory) {
        return case.gpr[RSP];
    }
    let base = number(i.memory_base());
    let index = number(i.memory_index());
    let size = match (i.memory_base(), i.memory_index()) {
        (Register::None, Register::None) => i.memory_displ_size() as usize,
        (Register::None, index) => index.size(),
        (base, _) => base.size(),
    };
    let mut address = r.address(high && size == 8);
    let aligned = matches!(i.mnemonic(), Mnemonic::Cmpxchg16b) || case.compares_fpu;
    if aligned && (r.chance(85) || takes_any_alignment(i.mnemonic())) {
        address &= if i.memory_size().size() == 32 { !31 } else { !15 };
    }
    let mask = match size {
        2 => 0xFFFF,
        4 => 0xFFFF_FFFF,
        _ => u64::MAX,
    };
    let displacement = i.memory_displacement64();
    let scale = u64::from(i.memory_index_scale());
    if i.mnemonic() == Mnemonic::Xlatb {
        case.gpr[RBX] = address.wrapping_sub(case.gpr[RAX] & 0xFF) & if case.wide { u64::MAX } else { mask };
        return address;
    }
    match (base, index) {
        (Some(base), Some(index)) if base != index => {
            if r.chance(70) {
                case.gpr[index] = r.below(512).wrapping_sub(256) & if case.wide { u64::MAX } else { mask };
            }
            let rest = address.wrapping_sub(displacement).wrapping_sub(case.gpr[index].wrapping_mul(scale));
            put_address(r, case, base, rest, mask);
        }
        (Some(base), None) => put_address(r, case, base, address.wrapping_sub(displacement), mask),
        (None, Some(index)) => {
            let value = (address.wrapping_sub(displacement) & mask) / scale;
            put_address(r, case, index, value, mask);
        }
        (Some(base), Some(_)) => {
            let value = (address.wrapping_sub(displacement) & mask) / (scale + 1);
            put_address(r, case, base, value, mask);
        }
        (None, None) => {
            if i.is_ip_rel_memory_operand() || i.memory_displ_size() >= 4 {
                address = displacement;
            }
        }
    }
    bit_offset(r, case, base, index);
    address
}

fn put_address(r: &mut Random, case: &mut Case, register: usize, value: u64, mask: u64) {
    case.gpr[register] = value & mask;
    if mask == 0xFFFF_FFFF && case.wide && r.chance(50) {
        case.gpr[register] |= r.bits() << 32;
    }
}

/// BT and its kind with a register as offset: mostly near the base.
fn bit_offset(r: &mut Random, case: &mut Case, base: Option<usize>, index: Option<usize>) {
    let i = &case.instruction;
    if !matches!(i.mnemonic(), Mnemonic::Bt | Mnemonic::Bts | Mnemonic::Btr | Mnemonic::Btc)
        || i.op1_kind() != OpKind::Register
        || r.chance(5)
    {
        return;
    }
    let register = i.op1_register();
    let (Some(number), size) = (number(register), register.size()) else { return };
    if Some(number) == base || Some(number) == index {
        return;
    }
    let near = r.below(0x4000).wrapping_sub(0x2000);
    let mask = u64::MAX >> (64 - 8 * size);
    case.gpr[number] = case.gpr[number] & !mask | near & mask;
    if !case.wide {
        case.gpr[number] &= 0xFFFF_FFFF;
    }
}

/// Puts operands into memory.
fn fill(r: &mut Random, case: &mut Case, target: u64) {
    let i = case.instruction;
    let mut block = [0u8; 64];
    for part in block.chunks_exact_mut(8) {
        part.copy_from_slice(&r.value().to_le_bytes());
    }
    let pair = |high: usize, low: usize, half: u32| case.gpr[high] << half | case.gpr[low] & (u64::MAX >> (64 - half));
    let mut len = 16;
    match i.mnemonic() {
        Mnemonic::Cmpxchg if r.chance(50) => {
            block[..8].copy_from_slice(&case.gpr[RAX].to_le_bytes());
            if let Some(n) = number(i.op0_register()) {
                case.gpr[n] = case.gpr[RAX];
            }
        }
        Mnemonic::Cmpxchg8b if r.chance(60) => {
            block[..8].copy_from_slice(&pair(RDX, RAX, 32).to_le_bytes());
        }
        Mnemonic::Cmpxchg16b if r.chance(60) => {
            block[..8].copy_from_slice(&case.gpr[RAX].to_le_bytes());
            block[8..16].copy_from_slice(&case.gpr[RDX].to_le_bytes());
        }
        Mnemonic::Bound if r.chance(60) => {
            let size = i.op0_register().size();
            block[..size].copy_from_slice(&(r.value() & 0xFFFF).to_le_bytes()[..size]);
            block[size..2 * size].copy_from_slice(&r.value().to_le_bytes()[..size]);
        }
        Mnemonic::Ret | Mnemonic::Jmp | Mnemonic::Call if r.chance(80) => {
            let code = if case.wide { HIGH_CODE } else { LOW_CODE };
            let mut place = code + r.below(PAGE);
            if place >= code + AT as u64 - 8 && place < code + AT as u64 + 32 {
                place = code + 64;
            }
            block[..8].copy_from_slice(&place.to_le_bytes());
            if i.op0_kind() == OpKind::Register
                && let Some(n) = number(i.op0_register())
            {
                case.gpr[n] = place;
            }
        }
        Mnemonic::Jmp | Mnemonic::Call if i.op0_kind() == OpKind::Register => {
            // Somewhere below the pages of the program.
            if let Some(n) = number(i.op0_register()) {
                case.gpr[n] &= 0x3FFF_FFFF_F000;
            }
        }
        Mnemonic::Scasb
        | Mnemonic::Scasw
        | Mnemonic::Scasd
        | Mnemonic::Scasq
        | Mnemonic::Cmpsb
        | Mnemonic::Cmpsw
        | Mnemonic::Cmpsd
        | Mnemonic::Cmpsq
            if r.chance(50) =>
        {
            let byte = r.bits() as u8;
            block.fill(byte);
            len = 64;
            case.gpr[RAX] = u64::from_le_bytes([byte; 8]) & if case.wide { u64::MAX } else { 0xFFFF_FFFF };
            let source = case.gpr[RSI];
            write_at(case, 1, source, &block, 64);
            if r.chance(70) {
                block[r.below(64) as usize] ^= 1;
            }
        }
        _ => {}
    }
    let len = if case.compares_fpu { 32 } else { len };
    write_at(case, 0, target, &block, len);
    if i.is_stack_instruction() {
        let stack = case.gpr[RSP];
        write_at(case, 2, stack, &block, 16);
    }
}

/// Notes data for the part of `address..address + len` that lies in the data pages.
fn write_at(case: &mut Case, slot: usize, address: u64, block: &[u8; 64], len: usize) {
    let low = address & 0xFFFF_FFFF;
    let offset = if address.wrapping_sub(HIGH_DATA) < DATA as u64 {
        address - HIGH_DATA
    } else if low.wrapping_sub(LOW_DATA) < DATA as u64 {
        low - LOW_DATA
    } else {
        return;
    };
    let len = len.min(DATA - offset as usize);
    case.data[slot] = (offset as usize, *block, len);
}
