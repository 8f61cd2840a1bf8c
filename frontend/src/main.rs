//! The rvmx-emu program.

fn main() {
    std::process::exit(rvmx_emu::session::main(std::env::args_os()));
}
