//! The instruction in the interpreter.

use super::cases::Instruction;
use super::{OPERAND, Register, State};
use emu_core::block::tier::Tier;
use emu_core::fpu::x87::F80;
use emu_core::testing::Bench;

const CODE: u64 = 0x8000;
const DATA: u64 = 0x2_0000;
const RDI: usize = 7;

/// The interpreter in 64-bit mode.
pub struct Guest {
    bench: Bench,
    /// Runs what it can compile; without it everything is interpreted.
    tier: Option<Box<dyn Tier>>,
}

fn offset(pointer: u64, base: u64) -> Option<u32> {
    (pointer != 0).then(|| (pointer as u32).wrapping_sub(base as u32))
}

impl Default for Guest {
    fn default() -> Self {
        let mut bench = Bench::long_mode(&[]);
        bench.cpu.config.model = std::sync::Arc::new(emu_core::model::CpuModel::everything());
        Self { bench, tier: None }
    }
}

impl Guest {
    /// From now on the compiled tier runs what it has templates for.
    pub fn compile(&mut self) {
        self.tier = emu_jit::tier(1);
    }

    /// Puts the instruction into memory.
    pub fn load_code(&mut self, instruction: &Instruction) {
        self.bench.ram.dma_write(CODE, &instruction.bytes[..instruction.len]);
        self.bench.ram.dma_write(CODE + instruction.len as u64, &[0xC3]);
    }

    /// Runs the instruction that was loaded.
    pub fn run(&mut self, before: &State) -> State {
        self.bench.ram.dma_write(DATA, &before.memory);
        let cpu = &mut self.bench.cpu;
        let fpu = &mut cpu.fpu;
        fpu.status = before.status;
        fpu.set_tag_word(before.tags);
        let tags = fpu.tags;
        for (i, register) in (0..8).zip(&before.registers) {
            fpu.set_st(i, F80::new(register.sign_exponent, register.significand));
        }
        fpu.tags = tags;
        fpu.set_control(before.control);
        (fpu.instruction_pointer, fpu.data_pointer, fpu.opcode) = (0, 0, 0);
        cpu.gpr[0] = before.ax.into();
        cpu.gpr[RDI] = DATA;
        cpu.set_flags(before.flags | 2);
        cpu.set_rip(CODE);
        let done = match &mut self.tier {
            Some(tier) => self.bench.step_compiled(&mut **tier),
            None => self.bench.step(),
        };
        assert!(done.is_ok(), "exception {:?} from {before:x?}", self.bench.cpu.scratch.fault);
        let cpu = &self.bench.cpu;
        let fpu = &cpu.fpu;
        let register = |i: usize| {
            let value = fpu.st(i as u8);
            Register { sign_exponent: value.sign_exponent, significand: value.significand }
        };
        let mut memory = [0; OPERAND];
        memory.copy_from_slice(&self.bench.ram.bytes()[DATA as usize..DATA as usize + OPERAND]);
        State {
            control: fpu.control,
            status: fpu.status,
            tags: fpu.tag_word(),
            instruction_pointer: offset(fpu.instruction_pointer, CODE),
            opcode: fpu.opcode,
            data_pointer: offset(fpu.data_pointer, DATA),
            registers: std::array::from_fn(register),
            memory,
            flags: cpu.flags.get() & emu_core::flags::STATUS,
            ax: cpu.gpr[0] as u16,
        }
    }
}
