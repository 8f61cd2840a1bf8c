//! The x87 FPU seen from a program: exceptions, their delivery, and the formats of its environment.

use emu_core::testing::Bench;

/// Runs `code` in real-address mode up to its HLT.
fn run(code: &[u8]) -> Bench {
    let mut bench = Bench::real_mode(code);
    bench.run(200);
    bench
}

#[test]
fn fninit_leaves_the_documented_control_and_status_words() {
    // FNINIT; FNSTCW [500h]; FNSTSW AX; HLT.
    let bench = run(&[0xDB, 0xE3, 0xD9, 0x3E, 0x00, 0x05, 0xDF, 0xE0, 0xF4]);
    assert_eq!(bench.ram.bytes()[0x500..0x502], [0x7F, 0x03]);
    assert_eq!(bench.cpu.gpr[0] & 0xFFFF, 0);
}

#[test]
fn fdiv_of_one_by_three_rounds_to_nearest() {
    // FNINIT; FLD1; PUSH 3; FIDIV word [SP]... : FIDIV [500h]; FSTP tword [510h]; HLT.
    let bench = run(&[
        0xDB, 0xE3, 0xC7, 0x06, 0x00, 0x05, 0x03, 0x00, 0xD9, 0xE8, 0xDE, 0x36, 0x00, 0x05, 0xDB, 0x3E, 0x10, 0x05,
        0xF4,
    ]);
    assert_eq!(bench.ram.bytes()[0x510..0x51A], [0xAB, 0xAA, 0xAA, 0xAA, 0xAA, 0xAA, 0xAA, 0xAA, 0xFD, 0x3F]);
}

#[test]
fn an_unmasked_division_by_zero_waits_for_the_next_instruction_with_ne_clear() {
    // FNINIT; MOV WORD [500h],37Bh (ZM clear); FLDCW [500h]; FLD1; FLDZ; FDIVP; FNSTSW AX; FWAIT; HLT.
    let bench = run(&[
        0xDB, 0xE3, 0xC7, 0x06, 0x00, 0x05, 0x7B, 0x03, 0xD9, 0x2E, 0x00, 0x05, 0xD9, 0xE8, 0xD9, 0xEE, 0xDE, 0xF9,
        0xDF, 0xE0, 0x9B, 0xF4,
    ]);
    // ZE, ES, B; both operands are still there.
    assert_eq!(bench.cpu.gpr[0] & 0xFFFF, 0x8084 | 6 << 11);
    // The processor waits before FWAIT, and FERR# is asserted.
    assert_eq!(bench.cpu.rip(), 0x7C00 + 20);
    assert!(bench.cpu.fpu.ferr);
}
