//! What one instruction leaves for its own later steps, and a block for the loop that runs it.

use super::fault::Fault;

/// What the present instruction, block and slice keep for their own later steps; nothing of it outlives a slice.
#[derive(Debug, Clone, Copy)]
pub struct Scratch {
    /// The exception of the last [`Stop::Fault`](super::fault::Stop::Fault).
    pub fault: Fault,
    /// Where the write half of a read-modify-write goes.
    pub rmw: RmwTarget,
    /// How the present block goes.
    pub flow: Flow,
    /// RF was set when the instruction that runs alone began.
    pub began_with_rf: bool,
    /// The pending debug conditions when the instruction that runs alone began.
    pub held_debug: u64,
    /// How many micro-ops of the present block were left undone when it was cut short; 0 after any other.
    pub undone: usize,
    /// Cycle at which the present turn ends.
    pub turn_end: u64,
    /// The present slice has executed something.
    pub progressed: bool,
    /// The present slice ends after one instruction.
    pub step: bool,
    /// Entries of paging structures that the present translation has read, of the guest's and of EPT.
    pub walked: u32,
    /// Cycles that translations of the present instruction have taken.
    pub walking: u64,
    /// [`Cpu::block_limit`](super::cpu::Cpu::block_limit) where the block ends after the present instruction because that
    /// has walked, and for nothing else; 0 otherwise.
    pub resumes_to: u64,
    /// Cycles that translations of an instruction have taken which was given up and comes again at once.
    pub owed: u64,
}

/// How a block goes; as it begins, a block has it ready, so that one store sets it.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(2))]
pub struct Flow {
    /// Set by a handler that wrote RIP itself.
    pub branched: bool,
    /// `cycles` is the present instruction's own time, and not the end of a block around it.
    pub exact: bool,
}

impl Default for Scratch {
    fn default() -> Self {
        Self {
            fault: Fault::exception(0),
            rmw: RmwTarget::default(),
            flow: Flow { branched: false, exact: true },
            began_with_rf: false,
            held_debug: 0,
            undone: 0,
            turn_end: 0,
            progressed: false,
            step: false,
            walked: 0,
            walking: 0,
            resumes_to: 0,
            owed: 0,
        }
    }
}

/// Where the write half of a read-modify-write goes.
#[derive(Debug, Clone, Copy, Default)]
pub struct RmwTarget {
    /// Linear address of the first byte.
    pub(crate) linear: u64,
    /// Physical address of the first byte.
    pub(crate) physical: u64,
    /// Physical address of the part in the next page, and how many bytes lie before it; 0 when there is none.
    pub(crate) second: u64,
    pub(crate) first_len: u16,
}
