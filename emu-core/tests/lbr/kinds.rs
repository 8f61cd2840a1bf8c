//! What is recorded: each kind of branch in each mode (SDM Vol. 3B 18.4.2, "Monitoring Branches, Exceptions, and
//! Interrupts": taken branches, interrupts, and exceptions but debug exceptions).

use super::*;
use emu_core::flags::FIXED1;
use emu_core::state::system::Activity;
use emu_vmx::arch::segment::SegmentRegister;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// 64-bit mode at CPL 0.
    Long,
    /// Protected mode at CPL 0, 32 bits.
    Protected,
    /// The same at CPL 3.
    User,
    /// Real-address mode.
    Real,
}

/// What is done, the code at [`START`], what prepares it, and what is recorded: from where behind [`START`], to where.
struct Case {
    name: &'static str,
    mode: Mode,
    code: &'static [u8],
    prepare: fn(&mut Bench),
    recorded: &'static [(u64, u64)],
}

const fn case(
    name: &'static str,
    mode: Mode,
    code: &'static [u8],
    prepare: fn(&mut Bench),
    recorded: &'static [(u64, u64)],
) -> Case {
    Case { name, mode, code, prepare, recorded }
}

fn nothing(_: &mut Bench) {}

/// Debug exceptions end recording, so that their handler does not push out what was before.
fn debug_handler_that_jumps(bench: &mut Bench) {
    bench.ram.dma_write(HANDLERS + 1, &[0xEB, 0x40]);
    bench.ram.dma_write(HANDLERS + 0x43, &[0xF4]);
}

/// RBX leads to the byte behind two, and so does the pointer that it points to, with CS.
fn pointers(bench: &mut Bench) {
    let selector = if bench.cpu.derived.mode.long { CODE64 } else { CODE0 };
    write(bench, 0x8000, START + 2);
    write(bench, 0x8100, (START + 2) | u64::from(selector) << 32);
    (bench.cpu.gpr[3], bench.cpu.gpr[6], bench.cpu.gpr[7]) = (START + 2, 0x8000, 0x8100);
}

/// On the stack lies what RET, far RET and IRET take, to the byte behind two.
fn stacked_return(bench: &mut Bench) {
    let top = 0x4F00;
    let long = bench.cpu.derived.mode.long;
    let (code, data) = if long { (CODE64, DATA0) } else { (CODE0, DATA0) };
    let values = [START + 2, code.into(), FIXED1, 0x4F80, data.into()];
    let width = if long { 8 } else { 4 };
    for (n, value) in values.into_iter().enumerate() {
        bench.ram.dma_write(top + width * n as u64, &value.to_le_bytes()[..width as usize]);
    }
    bench.cpu.gpr[4] = top;
}

fn system_calls(bench: &mut Bench) {
    bench.cpu.sys.syscall = [u64::from(CODE64) << 32 | 0x0058 << 48, HANDLERS, 0, 0];
    bench.cpu.sys.sysenter = [CODE0.into(), 0x6000, HANDLERS];
    (bench.cpu.gpr[1], bench.cpu.gpr[2]) = (START + 8, START + 8);
}

fn second_task(bench: &mut Bench) {
    let fields: [(u64, u64); 8] = [
        (0x20, HANDLERS),
        (0x24, FIXED1),
        (0x38, STACK3),
        (0x48, DATA0.into()),
        (0x4C, CODE0.into()),
        (0x50, DATA0.into()),
        (0x54, DATA0.into()),
        (0x58, 0),
    ];
    for (offset, value) in fields {
        bench.ram.dma_write(TSS2_AT + offset, &(value as u32).to_le_bytes());
    }
}

fn nmi(bench: &mut Bench) {
    bench.cpu.sys.nmi_pending = true;
    bench.cpu.refresh_attention();
}

fn real_vectors(bench: &mut Bench) {
    for vector in 0..32 {
        bench.ram.dma_write(4 * vector, &(HANDLERS as u32 + vector as u32).to_le_bytes());
    }
    bench.ram.dma_write(HANDLERS, &[0xF4; 64]);
    // What IRET and far RET take: IP, CS, FLAGS.
    for (n, value) in [START as u16 + 1, 0, 2].into_iter().enumerate() {
        bench.ram.dma_write(0x6F00 + 2 * n as u64, &value.to_le_bytes());
    }
    bench.cpu.gpr[4] = 0x6F00;
}

const H: u64 = HANDLERS - START;

use Mode::{Long, Protected, Real, User};

/// SDM Vol. 1 7.3.8, "Control Transfer Instructions".
#[rustfmt::skip]
const CASES: &[Case] = &[
    // "Unconditional Transfer Instructions": near.
    case("jmp rel", Long, &[0xEB, 0x00, 0xF4], nothing, &[(0, 2)]),
    case("jmp r", Long, &[0xFF, 0xE3, 0xF4], pointers, &[(0, 2)]),
    case("jmp m", Long, &[0xFF, 0x26, 0xF4], pointers, &[(0, 2)]),
    case("call rel", Long, &[0xE8, 0x01, 0, 0, 0, 0x90, 0xF4], nothing, &[(0, 6)]),
    case("call to the next instruction", Long, &[0xE8, 0, 0, 0, 0, 0xF4], nothing, &[(0, 5)]),
    case("call r", Long, &[0xFF, 0xD3, 0xF4], pointers, &[(0, 2)]),
    case("call m", Long, &[0xFF, 0x16, 0xF4], pointers, &[(0, 2)]),
    case("ret", Long, &[0xC3, 0x90, 0xF4], stacked_return, &[(0, 2)]),
    case("jmp rel behind other instructions", Long, &[0x90, 0x90, 0xEB, 0x00, 0xF4], nothing, &[(2, 4)]),
    // Far: CALL, JMP, RET.
    case("jmp far m", Long, &[0xFF, 0x2F, 0xF4], pointers, &[(0, 2)]),
    case("call far m", Long, &[0xFF, 0x1F, 0xF4], pointers, &[(0, 2)]),
    case("retf", Long, &[0x48, 0xCB, 0xF4], stacked_return, &[(0, 2)]),
    // "Conditional Transfer Instructions": only those that are taken.
    case("jz taken", Long, &[0x31, 0xC0, 0x74, 0x00, 0xF4], nothing, &[(2, 4)]),
    case("jnz not taken", Long, &[0x31, 0xC0, 0x75, 0x00, 0xF4], nothing, &[]),
    case("cmp, jb", Long, &[0x31, 0xC0, 0x83, 0xF8, 0x01, 0x72, 0x00, 0xF4], nothing, &[(5, 7)]),
    case("jrcxz", Long, &[0x31, 0xC9, 0xE3, 0x00, 0xF4], nothing, &[(2, 4)]),
    case("loop", Long, &[0xB9, 2, 0, 0, 0, 0xE2, 0xFE, 0xF4], nothing, &[(5, 5)]),
    case("rep movsb is no branch", Long, &[0xB9, 2, 0, 0, 0, 0xBE, 0, 0x50, 0, 0, 0xBF, 0, 0x51, 0, 0, 0xF3, 0xA4, 0xF4], nothing, &[]),
    // "Software Interrupt Instructions", and their return.
    case("int n", Long, &[0xCD, 0x14], nothing, &[(0, H + 0x14)]),
    case("int3", Long, &[0xCC], nothing, &[(0, H + 3)]),
    case("iretq", Long, &[0x48, 0xCF, 0xF4], stacked_return, &[(0, 2)]),
    case("int1 is a debug exception", Long, &[0xF1], debug_handler_that_jumps, &[]),
    // "Fast system calls".
    case("syscall", Long, &[0x0F, 0x05], system_calls, &[(0, H)]),
    case("sysenter", Long, &[0x0F, 0x34], system_calls, &[(0, H)]),
    // Exceptions and interrupts: from what raised them, or would have been next.
    case("ud2", Long, &[0x90, 0x0F, 0x0B], nothing, &[(1, H + 6)]),
    case("page fault", Long, &[0x90, 0x8B, 0x04, 0x25, 0, 0, 0, 0x40], nothing, &[(1, H + 14)]),
    case("fetch of a page that is not there", Long, &[0xFF, 0xE3], |bench| bench.cpu.gpr[3] = 0x4000_0000,
        &[(0, 0x4000_0000 - START), (0x4000_0000 - START, H + 14)]),
    case("nmi", Long, &[0x90, 0xF4], nmi, &[(0, H + 2)]),
    case("jmp rel", Protected, &[0xEB, 0x00, 0xF4], nothing, &[(0, 2)]),
    case("jmp rel16 cuts the address", Protected, &[0x66, 0xE9, 0x00, 0x00, 0xF4], nothing, &[(0, 4)]),
    case("jmp r", Protected, &[0xFF, 0xE3, 0xF4], pointers, &[(0, 2)]),
    case("call rel", Protected, &[0xE8, 0x01, 0, 0, 0, 0x90, 0xF4], nothing, &[(0, 6)]),
    case("ret", Protected, &[0xC3, 0x90, 0xF4], stacked_return, &[(0, 2)]),
    case("jmp far ptr", Protected, &[0xEA, 0x07, 0x7C, 0, 0, 0x08, 0, 0xF4], nothing, &[(0, 7)]),
    case("call far ptr", Protected, &[0x9A, 0x07, 0x7C, 0, 0, 0x08, 0, 0xF4], nothing, &[(0, 7)]),
    case("call through a gate", Protected, &[0x9A, 0, 0, 0, 0, 0x48, 0, 0xF4], nothing, &[(0, 0x8800 - START)]),
    case("retf", Protected, &[0xCB, 0x90, 0xF4], stacked_return, &[(0, 2)]),
    case("iretd", Protected, &[0xCF, 0x90, 0xF4], stacked_return, &[(0, 2)]),
    case("into", Protected, &[0xB0, 0x7F, 0x04, 0x01, 0xCE], nothing, &[(4, H + 4)]),
    case("into without overflow", Protected, &[0x31, 0xC0, 0xCE, 0xF4], nothing, &[]),
    case("jmp to a task", Protected, &[0xEA, 0, 0, 0, 0, 0x50, 0], second_task, &[(0, H)]),
    case("ud2", Protected, &[0x90, 0x0F, 0x0B], nothing, &[(1, H + 6)]),
    case("int n to CPL 0", User, &[0xCD, 0x80], nothing, &[(0, H + 0x80)]),
    case("ud2 to CPL 0", User, &[0x0F, 0x0B], nothing, &[(0, H + 6)]),
    case("jmp rel", Real, &[0xEB, 0x00, 0xF4], real_vectors, &[(0, 2)]),
    case("int n", Real, &[0xCD, 0x14], real_vectors, &[(0, H + 0x14)]),
    case("iret", Real, &[0xCF, 0xF4], real_vectors, &[(0, 1)]),
    case("retf", Real, &[0xCB, 0xF4], real_vectors, &[(0, 1)]),
    case("jmp far ptr", Real, &[0xEA, 0x05, 0x7C, 0, 0, 0xF4], real_vectors, &[(0, 5)]),
    case("ud2", Real, &[0x0F, 0x0B], real_vectors, &[(0, H + 6)]),
];

fn bench(case: &Case, model: &str) -> Bench {
    let mut bench = match case.mode {
        Mode::Long => long(case.code),
        Mode::Protected => protected(case.code, 0),
        Mode::User => protected(case.code, 3),
        Mode::Real => Bench::real_mode(case.code),
    };
    become_model(&mut bench, model);
    (case.prepare)(&mut bench);
    bench
}

#[test]
fn branches_of_each_kind_in_each_mode_are_recorded_with_where_they_were_and_went() {
    for model in KINDS {
        for case in CASES {
            let mut bench = bench(case, model);
            record(&mut bench);
            halts(&mut bench);
            let expected: Vec<_> = case.recorded.iter().map(|(from, to)| (from + START, to + START)).collect();
            assert_eq!(branches(&bench), expected, "{model}: {} in {:?}", case.name, case.mode);
        }
    }
}

#[test]
fn nothing_is_recorded_and_nothing_costs_while_recording_is_off() {
    for model in KINDS {
        for case in CASES {
            let mut bench = bench(case, model);
            let before = bench.cpu.lbr.clone();
            halts(&mut bench);
            assert!(!bench.cpu.derived.records_branches);
            assert_eq!(bench.cpu.lbr, before, "{model}: {} in {:?}", case.name, case.mode);
            let (cycles, instructions) = (bench.cpu.cycles, bench.cpu.instructions);
            let mut recording = self::bench(case, model);
            record(&mut recording);
            halts(&mut recording);
            let times = (recording.cpu.cycles, recording.cpu.instructions);
            assert_eq!(times, (cycles, instructions), "{model}: {}: recording changes no time", case.name);
        }
    }
}

/// SDM Vol. 3B 18.4.8.1 "LBR Stack and Intel 64 Processors": linear addresses, or offsets in CS.
#[test]
fn addresses_are_linear_or_offsets_by_the_format() {
    for model in KINDS {
        let mut bench = Bench::real_mode(&[]);
        become_model(&mut bench, model);
        bench.ram.dma_write(0x8010, &[0xEB, 0x00, 0xF4]);
        bench.cpu.load_real_segment(SegmentRegister::Cs, 0x800);
        bench.cpu.set_rip(0x10);
        bench.cpu.refresh();
        record(&mut bench);
        halts(&mut bench);
        let base = if model == "penryn" { 0x8000 } else { 0 };
        assert_eq!(branches(&bench), [(base + 0x10, base + 0x12)], "{model}");
    }
}

/// SDM Vol. 3A 10.1, "Initialization Overview": INIT leaves MSRs as they are. SDM Vol. 3B 19.1, OTHER_BRANCH: INIT and SIPI are
/// among the others.
#[test]
fn init_goes_on_recording_and_is_recorded_by_the_architectural_ones() {
    for model in KINDS {
        let mut bench = long(&[0xEB, 0x00, 0xF4]);
        become_model(&mut bench, model);
        record(&mut bench);
        halts(&mut bench);
        bench.cpu.sys.init_pending = true;
        bench.cpu.refresh_attention();
        bench.ram.dma_write(0x30000, &[0xF4]);
        bench.run(1);
        let kept = branches(&bench);
        assert!(bench.cpu.sys.activity != Activity::WaitForSipi, "the bootstrap processor goes on");
        let architectural = is_architectural(&bench);
        assert_eq!(kept[0], (START, START + 2), "{model}: the records stay");
        assert_eq!(kept.contains(&(START + 3, 0xFFF0)), architectural, "{model}: {kept:x?}");
        assert!(bench.cpu.derived.records_branches, "{model}");
    }
}
