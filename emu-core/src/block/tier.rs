//! What a compiled tier is to the block cache: it makes host code of hot blocks, and runs it. Whatever it does, the run
//! is the one that the interpreter would have made.

use crate::fault::Exec;
use crate::ir::op::Op;
use crate::ir::uop::Uop;
use crate::state::cpu::{Cpu, Env};
use std::num::NonZeroU32;

/// A compiled block's number, which is the tier's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code(pub NonZeroU32);

/// The number of an exit of compiled code, which is the tier's own, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit(pub u32);

/// A block that is to be compiled, in one page: of 64-bit mode, or of flat 32-bit code with a stack of 32 bits.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// Its number in the cache.
    pub block: u32,
    /// Its micro-ops, at least one.
    pub uops: &'a [Uop],
    /// What all of them cost, cycles.
    pub cost: u64,
    /// It may begin if so many cycles are left: [`Block::bound`](super::Block::bound), which is `cost` or one more.
    pub bound: u64,
    /// Offset of its first byte in its page.
    pub place: u16,
    /// Whether it is of 64-bit mode. If not, CS has base 0 and limit FFFF_FFFFh whenever it is entered.
    pub wide: bool,
    /// Whether instructions have costs of their own; if not, each costs one cycle.
    pub priced: bool,
    /// Whether the x87 FPU records the last data pointer of instructions that raise no unmasked exception.
    pub records_data: bool,
}

/// Why a block was not compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// It stays with the interpreter.
    Block,
    /// There is no more room: everything that was compiled is to be dropped first.
    Full,
}

/// How compiled code was left.
#[derive(Debug, Clone, Copy)]
pub struct Left {
    /// The block that was left.
    pub block: u32,
    /// RIP of its first instruction.
    pub start: u64,
    /// What its instructions gave back, as from [`execute`](crate::exec::table::execute): [`Scratch`] tells where they
    /// ended. `None` if the block has not begun, because it would not end in time.
    ///
    /// [`Scratch`]: crate::state::scratch::Scratch
    pub result: Option<Exec>,
    /// Where it was left, if a direct way to the block behind can be made there.
    pub exit: Option<Exit>,
}

/// A compiled tier.
pub trait Tier: Send {
    /// How often a block is interpreted before it is compiled, at least 1.
    fn threshold(&self) -> u32;
    /// Compiles a block.
    fn compile(&mut self, source: Source) -> Result<Code, Refused>;
    /// Runs compiled code from RIP on, which is at the block of that code, for as long as nothing asks for the boundary.
    fn enter(&mut self, cpu: &mut Cpu, env: &mut Env, code: Code) -> Left;
    /// From now on the exit leads to `to`, which is in the same page, until one of the two is forgotten.
    fn link(&mut self, exit: Exit, to: Code);
    /// Drops a compiled block.
    fn forget(&mut self, code: Code);
    /// Drops everything.
    fn clear(&mut self);
    /// How often compiled code has called the handler of each operation, for those that it has.
    fn calls(&self) -> Vec<(Op, u64)> {
        Vec::new()
    }
}
