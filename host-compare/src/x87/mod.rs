//! The x87 FPU: random states and operands through every instruction, on the host's processor and in the interpreter.

pub mod cases;
pub mod guest;
pub mod native;
pub mod verdict;

use crate::compare::{Count, Plan, Report};
use crate::native::SetupError;
use crate::random::Random;
use cases::{Instruction, instructions, random_state};
use guest::Guest;
use native::Native;
use std::collections::BTreeMap;

/// States that an instruction is run in before the next.
const STATES: u64 = 64;
/// Bytes of the memory operand, and what may be written around it.
pub const OPERAND: usize = 128;

/// An 80-bit register.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Register {
    /// Sign and exponent.
    pub sign_exponent: u16,
    /// Significand.
    pub significand: u64,
}

/// All that an x87 instruction reads or writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// Control word.
    pub control: u16,
    /// Status word.
    pub status: u16,
    /// Full tag word.
    pub tags: u16,
    /// FIP as an offset from the instruction; `None` if it was left alone.
    pub instruction_pointer: Option<u32>,
    /// FOP.
    pub opcode: u16,
    /// FDP as an offset from the memory operand; `None` if it was left alone.
    pub data_pointer: Option<u32>,
    /// ST(0) to ST(7).
    pub registers: [Register; 8],
    /// The memory operand.
    pub memory: [u8; OPERAND],
    /// Status flags.
    pub flags: u64,
    /// AX.
    pub ax: u16,
}

/// Compares as `plan` says.
pub fn run(plan: Plan) -> Result<Report, SetupError> {
    let Plan { seed, cases, only, keep, compiled } = plan;
    let mut random = Random::new(seed);
    let mut by_name: BTreeMap<String, Vec<Instruction>> = BTreeMap::new();
    for instruction in instructions() {
        by_name.entry(instruction.name()).or_default().push(instruction);
    }
    by_name.retain(|name, _| only.is_none_or(|only| name.eq_ignore_ascii_case(only)));
    // Mnemonics are drawn evenly, however many encodings they have.
    let list: Vec<(String, Vec<Instruction>)> = by_name.into_iter().collect();
    let mut report = Report::default();
    if list.is_empty() {
        return Ok(report);
    }
    let mut native = Native::new()?;
    let mut guest = Guest::default();
    if compiled {
        guest.compile();
    }
    let mut counts: BTreeMap<String, Count> = BTreeMap::new();
    let mut done = 0;
    while done < cases {
        let (name, encodings) = &list[random.below(list.len() as u64) as usize];
        let instruction = encodings[random.below(encodings.len() as u64) as usize];
        native.load_code(&instruction);
        guest.load_code(&instruction);
        let count = counts.entry(name.clone()).or_default();
        for _ in 0..STATES {
            let before = random_state(&mut random, &instruction);
            let host = native.run(&before);
            let ours = guest.run(&before);
            done += 1;
            count.cases += 1;
            count.faults += u64::from(host.status & 0x80 != 0);
            // A second look: a switch of tasks in the middle may lose the pointers on the host.
            if verdict::same(&instruction, &before, &host, &ours)
                || verdict::same(&instruction, &before, &native.run(&before), &ours)
            {
                continue;
            }
            count.differences += 1;
            if report.differences.len() < keep {
                report.differences.push(verdict::describe(&instruction, &before, &host, &ours));
            }
        }
    }
    report.counts = counts;
    Ok(report)
}
