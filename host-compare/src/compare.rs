//! Both sides of a case, and what differs.

use crate::defined::{fault_leaves_registers_open, fault_order_is_open, undefined_flags, x87_state_is_open};
use crate::fpu::Fpu;
use crate::generate::{Case, Generator, Host};
use crate::guest::Guest;
use crate::layout::DATA;
use crate::native::{Native, Outcome, SetupError};
use iced_x86::{Code, Formatter, NasmFormatter};
use std::collections::BTreeMap;
use std::fmt::Write;

/// States that each instruction is run in.
const STATES: u64 = 4;
/// Linear addresses from here on are not the process's.
const KERNEL: u64 = (1 << 47) - 4096;

/// Counts of one mnemonic.
#[derive(Debug, Clone, Copy, Default)]
pub struct Count {
    /// Cases.
    pub cases: u64,
    /// Cases that raised an exception on the host.
    pub faults: u64,
    /// Cases that differ.
    pub differences: u64,
}

/// The result of a run.
#[derive(Debug, Default)]
pub struct Report {
    /// By mnemonic.
    pub counts: BTreeMap<String, Count>,
    /// The first differences, in full.
    pub differences: Vec<String>,
}

impl Report {
    /// The sums of all counts.
    pub fn total(&self) -> Count {
        self.counts.values().fold(Count::default(), |sum, count| Count {
            cases: sum.cases + count.cases,
            faults: sum.faults + count.faults,
            differences: sum.differences + count.differences,
        })
    }

    /// The table.
    pub fn table(&self) -> String {
        let mut table = String::from("mnemonic          cases     faults  differences\n");
        let total = self.total();
        for (name, count) in self.counts.iter().map(|(name, count)| (name.as_str(), count)).chain([("total", &total)]) {
            let _ = writeln!(table, "{name:12} {:>10} {:>10} {:>12}", count.cases, count.faults, count.differences);
        }
        table
    }
}

/// What to compare.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    /// Of the generator: the same seed gives the same cases.
    pub seed: u64,
    /// How many.
    pub cases: u64,
    /// The only mnemonic, if there is one.
    pub only: Option<&'a str>,
    /// How many differences to describe.
    pub keep: usize,
    /// Whether the compiled tier runs what it has templates for.
    pub compiled: bool,
}

/// Which instructions to compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Integer,
    Vector,
}

/// Runs cases of general-purpose instructions.
pub fn run(plan: Plan) -> Result<Report, SetupError> {
    run_family(Family::Integer, plan)
}

/// The same with MMX, SSE and AVX instructions.
pub fn run_vectors(plan: Plan) -> Result<Report, SetupError> {
    run_family(Family::Vector, plan)
}

fn run_family(family: Family, plan: Plan) -> Result<Report, SetupError> {
    let Plan { seed, cases, only, keep, compiled } = plan;
    let mut generator = Generator::new(seed, Host::detect());
    let mut native = Native::new()?;
    let mut guest = Guest::default();
    if compiled {
        guest.compile();
    }
    guest.fill_code(native.code());
    let mut report = Report::default();
    let mut counts: Vec<Count> = Vec::new();
    let mut done = 0;
    let mut before = vec![0; DATA];
    while done < cases {
        let mut case = match family {
            Family::Integer => generator.instruction(),
            Family::Vector => generator.vector_instruction(),
        };
        let name = case.instruction.mnemonic();
        if only.is_some_and(|only| !format!("{name:?}").eq_ignore_ascii_case(only)) {
            continue;
        }
        native.load_code(&case);
        guest.load_code(&case, native.code());
        let index = name as usize;
        if counts.len() <= index {
            counts.resize(index + 1, Count::default());
        }
        for _ in 0..STATES {
            generator.state(&mut case);
            for (offset, bytes, len) in &case.data {
                native.data_mut()[*offset..*offset + *len].copy_from_slice(&bytes[..*len]);
                guest.write_data(*offset, &bytes[..*len]);
            }
            if keep > 0 {
                before.copy_from_slice(native.data());
            }
            let host = native.run(&case);
            let ours = guest.run(&case);
            done += 1;
            let count = &mut counts[index];
            count.cases += 1;
            count.faults += u64::from(host.fault.is_some());
            let same_memory = native.data() == guest.data();
            if same_memory && same(&case, &host, &ours) {
                continue;
            }
            count.differences += 1;
            if report.differences.len() < keep {
                report.differences.push(describe(&case, &before, &host, &ours, native.data(), guest.data()));
            }
            if !same_memory {
                let data = native.data().to_vec();
                guest.write_data(0, &data);
            }
        }
    }
    for (index, count) in counts.into_iter().enumerate().filter(|(_, count)| count.cases != 0) {
        let name = iced_x86::Mnemonic::try_from(index).map_or_else(|_| index.to_string(), |name| format!("{name:?}"));
        report.counts.insert(name.to_lowercase(), count);
    }
    Ok(report)
}

fn same(case: &Case, host: &Outcome, ours: &Outcome) -> bool {
    let ignored = if host.fault.is_some() { 0 } else { undefined_flags(&case.instruction, case.gpr[1]) };
    let registers_open = host.fault.is_some() && fault_leaves_registers_open(&case.instruction);
    (host.gpr == ours.gpr || registers_open)
        && (host.flags ^ ours.flags) & !ignored == 0
        && host.rip == ours.rip
        && (!case.compares_fpu || same_fpu(case, host, ours))
        && same_fault(case, host.fault, ours.fault)
}

fn same_fpu(case: &Case, host: &Outcome, ours: &Outcome) -> bool {
    let (a, b) = (&host.fpu, &ours.fpu);
    let open = x87_state_is_open(&case.instruction, host.fault.is_some());
    let x87 = |fpu: &Fpu| (fpu.control, fpu.status, fpu.tags, fpu.st);
    (a.ymm, a.mxcsr) == (b.ymm, b.mxcsr) && (open || x87(a) == x87(b))
}

fn same_fault(case: &Case, host: Option<(u8, u32, u64)>, ours: Option<(u8, u32, u64)>) -> bool {
    match (host, ours) {
        (None, None) => true,
        (Some(_), Some(_)) if fault_order_is_open(&case.instruction) => true,
        (Some((vector, error, cr2)), Some(other)) => {
            // Linux says "present" of every address in its own half.
            let ignored = u32::from(vector == 14 && cr2 >= KERNEL);
            // An invalid opcode near the end of the code has its vector only.
            vector == other.0
                && (case.instruction.code() == Code::INVALID || ((error ^ other.1) & !ignored == 0 && cr2 == other.2))
        }
        _ => false,
    }
}

const NAMES: [&str; 16] =
    ["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"];

fn describe(case: &Case, before: &[u8], host: &Outcome, ours: &Outcome, host_data: &[u8], our_data: &[u8]) -> String {
    let mut text = String::new();
    let mut disassembly = String::new();
    NasmFormatter::new().format(&case.instruction, &mut disassembly);
    let bytes: Vec<String> = case.bytes[..case.len].iter().map(|byte| format!("{byte:02x}")).collect();
    let bits = if case.wide { 64 } else { 32 };
    let _ = writeln!(text, "{} ({bits}-bit, {:?}): {disassembly}", bytes.join(" "), case.instruction.code());
    let _ = writeln!(text, "  rip {:#x}, flags {:#x}", case.start(), case.flags);
    for (n, name) in NAMES.iter().enumerate() {
        let mark = if host.gpr[n] == ours.gpr[n] { ' ' } else { '*' };
        let _ = writeln!(
            text,
            " {mark}{name:4} before {:#018x}  host {:#018x}  ours {:#018x}",
            case.gpr[n], host.gpr[n], ours.gpr[n]
        );
    }
    let ignored = undefined_flags(&case.instruction, case.gpr[1]);
    let _ = writeln!(
        text,
        "  flags host {:#x} ours {:#x} (differ in {:#x}, not compared {ignored:#x})",
        host.flags,
        ours.flags,
        host.flags ^ ours.flags
    );
    let _ = writeln!(text, "  rip   host {:#x} ours {:#x}", host.rip, ours.rip);
    let _ = writeln!(text, "  fault host {:x?} ours {:x?} (vector, error code, CR2)", host.fault, ours.fault);
    if case.compares_fpu && host.fpu != ours.fpu {
        describe_fpu(&mut text, case, host, ours);
    }
    for at in (0..before.len()).filter(|&at| host_data[at] != our_data[at]).take(16) {
        let _ = writeln!(
            text,
            "  data +{at:#x}: before {:02x} host {:02x} ours {:02x}",
            before[at], host_data[at], our_data[at]
        );
    }
    text
}

fn describe_fpu(text: &mut String, case: &Case, host: &Outcome, ours: &Outcome) {
    let (before, host, ours) = (&case.fpu, &host.fpu, &ours.fpu);
    let used = |n: usize| {
        (0..5).any(|k| case.instruction.op_register(k.min(case.instruction.op_count().max(1) - 1)).number() == n)
    };
    for n in 0..16 {
        if host.ymm[n] != ours.ymm[n] || used(n) {
            let mark = if host.ymm[n] == ours.ymm[n] { ' ' } else { '*' };
            let _ = writeln!(text, " {mark}ymm{n:<2} before {:016x?}", before.ymm[n]);
            if mark == '*' {
                let _ = writeln!(text, "         host {:016x?}\n         ours {:016x?}", host.ymm[n], ours.ymm[n]);
            }
        }
    }
    let _ = writeln!(text, "  mxcsr before {:x} host {:x} ours {:x}", before.mxcsr, host.mxcsr, ours.mxcsr);
    let rest = |fpu: &crate::fpu::Fpu| (fpu.control, fpu.status, fpu.tags);
    if (rest(host), host.st) != (rest(ours), ours.st) {
        let _ = writeln!(text, "  x87 before {:x?} {:x?}", rest(before), before.st);
        let _ = writeln!(text, "      host   {:x?} {:x?}", rest(host), host.st);
        let _ = writeln!(text, "      ours   {:x?} {:x?}", rest(ours), ours.st);
    }
}
