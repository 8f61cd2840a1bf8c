//! Runs random instructions natively on the host's processor and in the interpreter, and compares registers, flags,
//! memory and exceptions. x86-64 Linux only.

#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

pub mod compare;
pub mod defined;
pub mod evex;
pub mod fpu;
pub mod generate;
pub mod guest;
pub mod layout;
pub mod native;
pub mod random;
pub mod vectors;
pub mod x87;
