//! VMX non-root operation in the interpreter.

mod features;
mod guest;
mod invalidation;
mod reported;
