//! The x87 FPU seen from a program: exceptions, their delivery, and the formats of its environment.

use emu_core::cycles::table::Table;
use emu_core::model::CpuModel;
use emu_core::run::RunExit;
use emu_core::state::derived::Size;
use emu_core::testing::Bench;
use emu_vmx::arch::cr::Cr0;

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

/// Executes one instruction and gives the vector of its exception, if it has one.
fn step(bench: &mut Bench) -> Option<u8> {
    bench.step().err().map(|_| bench.cpu.scratch.fault.vector)
}

#[test]
fn x87_instructions_with_em_or_ts_are_nm_and_fwait_needs_mp_and_ts() {
    // SDM Vol. 3A Table 9-3. FNINIT, FNSTSW AX, FLD1, FWAIT.
    for (code, is_wait) in [([0xDB, 0xE3], false), ([0xDF, 0xE0], false), ([0xD9, 0xE8], false), ([0x9B, 0x90], true)] {
        for bits in 0..8 {
            let (mp, em, ts) = (bits & 1 != 0, bits & 2 != 0, bits & 4 != 0);
            let mut bench = Bench::real_mode(&code);
            bench.cpu.sys.cr0.set(Cr0::MP, mp);
            bench.cpu.sys.cr0.set(Cr0::EM, em);
            bench.cpu.sys.cr0.set(Cr0::TS, ts);
            let expected = if is_wait { mp && ts } else { em || ts };
            assert_eq!(step(&mut bench), expected.then_some(7), "{code:x?} MP {mp} EM {em} TS {ts}");
        }
    }
}

#[test]
fn a_pending_exception_is_mf_at_the_next_waiting_instruction_only() {
    // FNSTSW AX; FNSTCW [500h]; FLD1.
    let mut bench = Bench::real_mode(&[0xDF, 0xE0, 0xD9, 0x3E, 0x00, 0x05, 0xD9, 0xE8]);
    bench.cpu.sys.cr0 |= Cr0::NE;
    bench.cpu.fpu.fninit();
    bench.cpu.fpu.status = 1 << 2;
    bench.cpu.fpu.set_control(0x37B);
    assert_eq!(step(&mut bench), None);
    assert_eq!(bench.cpu.gpr[0] & 0xFFFF, 0x8084);
    assert_eq!(step(&mut bench), None);
    assert_eq!(step(&mut bench), Some(16));
    assert_eq!(bench.cpu.fpu.tags, 0);
    // #NM goes first.
    bench.cpu.sys.cr0 |= Cr0::TS;
    assert_eq!(step(&mut bench), Some(7));
}

#[test]
fn fldcw_that_unmasks_an_old_exception_makes_it_pending() {
    // FLDCW [500h]; FWAIT.
    let mut bench = Bench::real_mode(&[0xD9, 0x2E, 0x00, 0x05, 0x9B]);
    bench.cpu.sys.cr0 |= Cr0::NE;
    bench.cpu.fpu.fninit();
    bench.cpu.fpu.status = 1;
    bench.ram.dma_write(0x500, &[0x7E, 0x03]);
    assert_eq!(step(&mut bench), None);
    assert_eq!(bench.cpu.fpu.status, 0x8081);
    assert_eq!(step(&mut bench), Some(16));
}

#[test]
fn a_fault_of_the_operand_comes_after_mf_and_leaves_the_fpu_alone() {
    // FADD dword [500h]: the operand lies beyond the limit of DS.
    let mut bench = Bench::real_mode(&[0xD8, 0x06, 0x00, 0x05]);
    bench.cpu.sys.cr0 |= Cr0::NE;
    bench.cpu.sys.segments[3].limit = 0x4FF;
    bench.cpu.refresh();
    bench.cpu.fpu.fninit();
    let before = bench.cpu.fpu.clone();
    assert_eq!(step(&mut bench), Some(13));
    assert_eq!(bench.cpu.fpu, before);
    bench.cpu.fpu.status = 1;
    bench.cpu.fpu.set_control(0x37E);
    assert_eq!(step(&mut bench), Some(16));
}

/// FPU state with pointers that show where each bit goes.
fn marked(bench: &mut Bench) {
    let fpu = &mut bench.cpu.fpu;
    fpu.fninit();
    fpu.push(emu_core::fpu::x87::F80::ONE);
    (fpu.opcode, fpu.instruction_pointer, fpu.instruction_selector) = (0x5A5, 0x1234, 0xF00F);
    (fpu.data_pointer, fpu.data_selector) = (0x5678, 0xABCD);
}

fn words(bench: &Bench, n: usize) -> Vec<u16> {
    bench.ram.bytes()[0x500..0x500 + 2 * n].chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect()
}

#[test]
fn fnstenv_in_real_mode_stores_linear_addresses() {
    // SDM Vol. 1 Figures 8-10 and 8-12. Linear: F1324h and B1348h.
    let mut bench = Bench::real_mode(&[0xD9, 0x36, 0x00, 0x05]);
    marked(&mut bench);
    assert_eq!(step(&mut bench), None);
    assert_eq!(words(&bench, 7), [0x37F, 0x3800, 0x3FFF, 0x1324, 0xF5A5, 0x1348, 0xB000]);
    let mut bench = Bench::real_mode(&[0x66, 0xD9, 0x36, 0x00, 0x05]);
    marked(&mut bench);
    assert_eq!(step(&mut bench), None);
    let all = 0xFFFF;
    let expected = [0x37F, all, 0x3800, all, 0x3FFF, all, 0x1324, all, 0xF5A5, 0, 0x1348, all, 0xB000, 0];
    assert_eq!(words(&bench, 14), expected);
}

#[test]
fn fnstenv_in_protected_mode_stores_selectors_unless_the_model_deprecates_them() {
    // SDM Vol. 1 Figures 8-9 and 8-11; FNSTENV [500h] with 32- and 16-bit operands in 32-bit code.
    for deprecated in [false, true] {
        for size in [4, 2] {
            let code: &[u8] = if size == 4 { &[0xD9, 0x35, 0, 5, 0, 0] } else { &[0x66, 0xD9, 0x35, 0, 5, 0, 0] };
            let model = if deprecated { CpuModel::everything() } else { CpuModel::default_model() };
            let mut bench = Bench::long_mode(code);
            bench.cpu.config.model = std::sync::Arc::new(model);
            bench.set_flat_segments(Size::Bits32, 0);
            marked(&mut bench);
            assert_eq!(step(&mut bench), None);
            let selectors = if deprecated { [0, 0] } else { [0xF00F, 0xABCD] };
            let [code_selector, data_selector] = selectors;
            if size == 2 {
                let expected = [0x37F, 0x3800, 0x3FFF, 0x1234, code_selector, 0x5678, data_selector];
                assert_eq!(words(&bench, 7), expected);
            } else {
                let all = 0xFFFF;
                let head = [0x37F, all, 0x3800, all, 0x3FFF, all];
                let tail = [0x1234, 0, code_selector, 0x5A5, 0x5678, 0, data_selector, all];
                assert_eq!(words(&bench, 14), [&head[..], &tail[..]].concat());
            }
        }
    }
}

#[test]
fn frstor_of_what_fnsave_stored_gives_the_state_back_in_every_format() {
    // FNSAVE [500h]; FRSTOR [500h], with 16- and 32-bit operands.
    for code in [&[0xDD, 0x36, 0, 5, 0xDD, 0x26, 0, 5][..], &[0x66, 0xDD, 0x36, 0, 5, 0x66, 0xDD, 0x26, 0, 5][..]] {
        let mut bench = Bench::real_mode(code);
        marked(&mut bench);
        let before = bench.cpu.fpu.clone();
        assert_eq!(step(&mut bench), None);
        assert_eq!((bench.cpu.fpu.tags, bench.cpu.fpu.control), (0, 0x37F));
        assert_eq!(step(&mut bench), None);
        let after = &bench.cpu.fpu;
        assert_eq!((after.significand, after.exponent, after.tags), (before.significand, before.exponent, before.tags));
        assert_eq!((after.status, after.control, after.opcode), (before.status, before.control, before.opcode));
        // The selector is gone, the linear address is not.
        assert_eq!((after.instruction_selector, after.instruction_pointer), (0, 0xF1324));
    }
}

/// Where a table of cycles says that FWAIT costs nothing, waiting still takes time, and a run ends.
#[test]
fn ne_clear_waits_for_as_long_as_the_run_lasts_whatever_the_instruction_costs() {
    for table in ["westmere", "haswell", "skylake"] {
        let mut bench = Bench::real_mode(&[0x9B, 0x90]);
        bench.cpu.config.cycles = Some(Table::named(table).expect("it is built in"));
        bench.cpu.fpu.fninit();
        bench.cpu.fpu.status = 1;
        bench.cpu.fpu.set_control(0x37E);
        let start = bench.cpu.cycles;
        assert_eq!(bench.run(1000), RunExit::Budget);
        assert!((1000..1100).contains(&(bench.cpu.cycles - start)), "{table}");
        assert_eq!(bench.cpu.rip(), 0x7C00);
    }
}

#[test]
fn ne_clear_waits_without_faulting_and_fnclex_ends_it() {
    // FWAIT; NOP, and FNCLEX at the place an interrupt handler would have it.
    let mut bench = Bench::real_mode(&[0x9B, 0x90, 0xDB, 0xE2]);
    bench.cpu.fpu.fninit();
    bench.cpu.fpu.status = 1;
    bench.cpu.fpu.set_control(0x37E);
    for _ in 0..3 {
        assert_eq!(step(&mut bench), None);
        assert_eq!(bench.cpu.rip(), 0x7C00);
        assert!(bench.cpu.fpu.ferr);
    }
    bench.cpu.set_rip(0x7C02);
    assert_eq!(step(&mut bench), None);
    assert!(!bench.cpu.fpu.ferr);
    bench.cpu.set_rip(0x7C00);
    assert_eq!(step(&mut bench), None);
    assert_eq!(bench.cpu.rip(), 0x7C01);
}

#[test]
fn fxrstor_of_a_state_without_pending_exceptions_ends_the_wait() {
    // FWAIT; FXRSTOR [500h].
    let mut bench = Bench::real_mode(&[0x9B, 0x0F, 0xAE, 0x0E, 0x00, 0x05]);
    bench.cpu.fpu.fninit();
    bench.cpu.fpu.status = 1;
    bench.cpu.fpu.set_control(0x37E);
    assert_eq!(step(&mut bench), None);
    assert!(bench.cpu.fpu.ferr);
    bench.ram.dma_write(0x500, &[0x7F, 0x03]);
    bench.cpu.set_rip(0x7C01);
    assert_eq!(step(&mut bench), None);
    assert!(!bench.cpu.fpu.ferr);
    // ES and B of the image do not count: with the exception masked they are clear.
    bench.ram.dma_write(0x502, &[0x81, 0x80]);
    bench.cpu.set_rip(0x7C01);
    assert_eq!(step(&mut bench), None);
    assert_eq!(bench.cpu.fpu.status, 1);
}
