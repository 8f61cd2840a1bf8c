//! FNSTENV, FLDENV, FNSAVE and FRSTOR in their four formats (SDM Vol. 1 Figures 8-9 to 8-12).

use super::waiting;
use crate::fault::Exec;
use crate::fpu::x87::F80;
use crate::fpu::x87::status::EXCEPTIONS;
use crate::ir::uop::Uop;
use crate::model::features::Feature;
use crate::state::cpu::{Cpu, Env};

/// Words of an environment.
const WORDS: usize = 7;
/// Bytes of a register.
const REGISTER: usize = 10;
/// Bytes of the largest image: a 32-bit environment and eight registers.
const LARGEST: usize = 4 * WORDS + 8 * REGISTER;

/// Bytes of one word of the format; `r1` of the micro-op.
fn word_size(u: &Uop) -> usize {
    if u.r1 == 2 { 2 } else { 4 }
}

impl Cpu {
    /// The seven words of the environment, in a format with words of `size` bytes.
    fn environment(&self, size: usize) -> [u32; WORDS] {
        let fpu = &self.fpu;
        let opcode = u32::from(fpu.opcode);
        let (code, data) = (fpu.instruction_pointer as u32, fpu.data_pointer as u32);
        let selectors = !self.config.model.has(Feature::DeprecatesFcsFds);
        let [code_selector, data_selector] =
            [fpu.instruction_selector, fpu.data_selector].map(|selector| u32::from(selector) * u32::from(selectors));
        // The upper halves of reserved places are ones.
        const ONES: u32 = 0xFFFF_0000;
        let head = [fpu.control, fpu.status, fpu.tag_word()].map(|word| ONES | u32::from(word));
        let tail = if self.derived.mode.real_segments() {
            // Real formats hold linear addresses.
            let code = (u32::from(fpu.instruction_selector) << 4).wrapping_add(code);
            let data = (u32::from(fpu.data_selector) << 4).wrapping_add(data);
            if size == 2 {
                [code, code >> 4 & 0xF000 | opcode, data, data >> 4 & 0xF000]
            } else {
                [ONES | code & 0xFFFF, code >> 4 & 0x0FFF_F000 | opcode, ONES | data & 0xFFFF, data >> 4 & 0x0FFF_F000]
            }
        } else if size == 2 {
            [code, code_selector, data, data_selector]
        } else {
            [code, code_selector | opcode << 16, data, ONES | data_selector]
        };
        [head[0], head[1], head[2], tail[0], tail[1], tail[2], tail[3]]
    }

    fn set_environment(&mut self, size: usize, words: [u32; WORDS]) {
        let real = self.derived.mode.real_segments();
        let fpu = &mut *self.fpu;
        fpu.status = words[1] as u16;
        fpu.set_tag_word(words[2] as u16);
        let [code, code_high, data, data_high] = [words[3], words[4], words[5], words[6]];
        let (code, code_selector, data, data_selector) = match (real, size) {
            (true, 2) => (code | (code_high & 0xF000) << 4, 0, data | (data_high & 0xF000) << 4, 0),
            (true, _) => {
                (code & 0xFFFF | (code_high & 0x0FFF_F000) << 4, 0, data & 0xFFFF | (data_high & 0x0FFF_F000) << 4, 0)
            }
            (false, _) => (code, code_high as u16, data, data_high as u16),
        };
        fpu.opcode = match (real, size) {
            (true, _) => code_high as u16 & 0x7FF,
            (false, 2) => 0,
            (false, _) => (code_high >> 16) as u16 & 0x7FF,
        };
        (fpu.instruction_pointer, fpu.instruction_selector) = (code.into(), code_selector);
        (fpu.data_pointer, fpu.data_selector) = (data.into(), data_selector);
        fpu.set_control(words[0] as u16);
    }

    fn put_environment(&self, size: usize, image: &mut [u8; LARGEST]) {
        for (place, word) in image.chunks_exact_mut(size).zip(self.environment(size)) {
            place.copy_from_slice(&word.to_le_bytes()[..size]);
        }
    }
}

fn words_of(size: usize, image: &[u8; LARGEST]) -> [u32; WORDS] {
    let mut words = [0; WORDS];
    for (word, place) in words.iter_mut().zip(image.chunks_exact(size)) {
        let mut bytes = [0; 4];
        bytes[..size].copy_from_slice(place);
        *word = u32::from_le_bytes(bytes);
    }
    words
}

/// FNSTENV: masks all exceptions afterwards.
pub fn fnstenv(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    cpu.x87_present()?;
    cpu.x87_before_summary()?;
    let size = word_size(u);
    let mut image = [0; LARGEST];
    cpu.put_environment(size, &mut image);
    let ea = cpu.ea(u);
    cpu.check_operand_alignment(u.seg, ea, size as u64, true)?;
    cpu.write_bytes(env, u.seg, ea, &image[..WORDS * size])?;
    cpu.fpu.control |= EXCEPTIONS;
    cpu.x87_summary_changed(env);
    Ok(())
}

/// FLDENV.
pub fn fldenv(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    waiting!(cpu, env, u);
    cpu.x87_before_summary()?;
    let size = word_size(u);
    let mut image = [0; LARGEST];
    let ea = cpu.ea(u);
    cpu.check_operand_alignment(u.seg, ea, size as u64, false)?;
    cpu.read_bytes(env, u.seg, ea, &mut image[..WORDS * size])?;
    cpu.set_environment(size, words_of(size, &image));
    cpu.x87_summary_changed(env);
    Ok(())
}

/// FNSAVE: environment and registers in stack order, then FNINIT.
pub fn fnsave(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    cpu.x87_present()?;
    cpu.x87_before_summary()?;
    let size = word_size(u);
    let mut image = [0; LARGEST];
    cpu.put_environment(size, &mut image);
    let registers = WORDS * size;
    for i in 0..8 {
        let at = registers + usize::from(i) * REGISTER;
        image[at..at + REGISTER].copy_from_slice(&cpu.fpu.st(i).to_bytes());
    }
    let ea = cpu.ea(u);
    cpu.check_operand_alignment(u.seg, ea, size as u64, true)?;
    cpu.write_bytes(env, u.seg, ea, &image[..registers + 8 * REGISTER])?;
    cpu.fpu.fninit();
    cpu.x87_summary_changed(env);
    Ok(())
}

/// FRSTOR.
pub fn frstor(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    waiting!(cpu, env, u);
    cpu.x87_before_summary()?;
    let size = word_size(u);
    let mut image = [0; LARGEST];
    let registers = WORDS * size;
    let ea = cpu.ea(u);
    cpu.check_operand_alignment(u.seg, ea, size as u64, false)?;
    cpu.read_bytes(env, u.seg, ea, &mut image[..registers + 8 * REGISTER])?;
    cpu.set_environment(size, words_of(size, &image));
    let tags = cpu.fpu.tags;
    for (i, bytes) in (0..8).zip(image[registers..].chunks_exact(REGISTER)) {
        let mut register = [0; REGISTER];
        register.copy_from_slice(bytes);
        cpu.fpu.set_st(i, F80::from_bytes(&register));
    }
    cpu.fpu.tags = tags;
    cpu.x87_summary_changed(env);
    Ok(())
}
