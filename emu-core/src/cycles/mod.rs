//! What instructions cost when the clock is the model's (`--clock model`): tables of microarchitectures, and a static
//! estimate of a pipeline. `docs/cycles.md` says what is modelled and how far off it is.
//!
//! - [`table`]: a microarchitecture as data: ports, classes of instructions, what events cost.
//! - [`class`]: the classes.
//! - [`estimate`]: how long a run of instructions takes; a pure function of the list.
//! - [`parts`]: caches and branch prediction as data, and which of them a clock models.
//! - [`cache`], [`predictor`]: what these hold, and whether it is hit.
//!
//! Which class an instruction is of, and what it reads and writes, [`crate::lower::work`] says.

pub mod cache;
pub mod class;
pub mod estimate;
pub mod parts;
pub mod predictor;
pub mod table;
