//! Architecture definitions shared by the rules and by the processor: control registers, flags, segments,
//! model-specific registers, vectors and addresses, named as in the SDM.

pub mod addr;
pub mod cet;
pub mod cr;
pub mod efer;
pub mod msr;
pub mod rflags;
pub mod segment;
pub mod vector;

pub use cr::{Cr0, Cr3, Cr4, Dr6, Dr7};
pub use efer::Efer;
pub use rflags::Rflags;
pub use segment::{AccessRights, Segment, SegmentRegister};
