//! The intermediate representation: operations and micro-ops. It knows neither what makes them nor what runs them.

pub mod branch;
pub mod kernels;
pub mod op;
pub mod operands;
pub mod uop;
pub mod vector;
pub mod width;
