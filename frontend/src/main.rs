//! The rvmx-emu program.
fn main() {}
