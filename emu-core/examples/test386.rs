//! Runs a CPU test ROM that takes the BIOS's place (such as test386.asm) on a processor with RAM and no devices.
//!
//! `test386 ROM [POST-PORT [OUT-PORT]]` (hexadecimal, 190 and E9 unless given): the bytes of the output port go to
//! standard output, the POST codes to standard error. Exit status 0 if the last code is FFh when the processor halts.

use emu_core::model::CpuModel;
use emu_core::run::RunExit;
use emu_core::testing::Bench;
use std::io::Write;
use std::process::ExitCode;

/// Cycles between looks at what was written.
const SLICE: u64 = 1_000_000;
/// Slices after which a ROM that does not halt is given up.
const MAX_SLICES: u64 = 20_000;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(path) = arguments.next() else {
        eprintln!("usage: test386 ROM [POST-PORT [OUT-PORT]]");
        return ExitCode::from(2);
    };
    let mut port = |default: u16| match arguments.next() {
        Some(text) => u16::from_str_radix(&text, 16).map_err(|error| format!("port {text:?}: {error}")),
        None => Ok(default),
    };
    let ports = port(0x190).and_then(|post| port(0xE9).map(|out| (post, out)));
    match ports.and_then(|(post, out)| run(&path, post, out)) {
        Ok(0xFF) => ExitCode::SUCCESS,
        Ok(last) => {
            eprintln!("the last POST code is {last:02X}, not FF");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("test386: {error}");
            ExitCode::from(2)
        }
    }
}

/// The last POST code.
fn run(path: &str, post: u16, out: u16) -> Result<u32, String> {
    let rom = std::fs::read(path).map_err(|error| format!("cannot read {path}: {error}"))?;
    let mut bench = Bench::new(CpuModel::default_model());
    bench.ram.load_system_rom(&rom).map_err(|error| format!("{path}: {error}"))?;
    let mut last = 0;
    let mut stdout = std::io::stdout().lock();
    for _ in 0..MAX_SLICES {
        let exit = bench.run(SLICE);
        for (port, _, value) in bench.bus.written.drain(..) {
            if port == out {
                stdout.write_all(&[value as u8]).map_err(|error| format!("cannot write: {error}"))?;
            } else if port == post {
                last = value & 0xFF;
                eprintln!("POST {last:02X} at {} instructions", bench.cpu.instructions);
            }
        }
        if exit == RunExit::Stopped {
            let cs = bench.cpu.sys.segments[1].selector;
            eprintln!("stopped at {cs:04X}:{:X} after {} instructions", bench.cpu.rip(), bench.cpu.instructions);
            let names = ["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi"];
            for (name, value) in names.iter().zip(bench.cpu.gpr) {
                eprint!("{name}={value:08X} ");
            }
            eprintln!("rflags={:X}", bench.cpu.flags.get());
            return Ok(last);
        }
    }
    Err(format!("{path} has not halted after {} instructions", bench.cpu.instructions))
}
