//! Vector instructions: availability, alignment, saved state (SDM Vol. 3A chapter 14, Vol. 1 chapter 13).

use emu_core::model::CpuModel;
use emu_core::run::RunExit;
use emu_core::testing::Bench;
use emu_vmx::arch::cr::{Cr0, Cr4};
use std::sync::Arc;

const XMM0: usize = 0;

/// `code` at 7C00 in real-address mode with SSE switched on; exceptions halt at F000:vector.
fn bench(code: &[u8]) -> Bench {
    let mut bench = Bench::real_mode(code);
    for vector in 0..32u64 {
        bench.ram.dma_write(4 * vector, &[vector as u8, 0x60, 0, 0]);
        bench.ram.dma_write(0x6000 + vector, &[0xF4]);
    }
    bench.cpu.sys.cr4 |= Cr4::OSFXSR | Cr4::OSXMMEXCPT;
    bench.cpu.refresh();
    bench
}

/// Runs to HLT; the vector of the exception that came first, if one did.
fn run(bench: &mut Bench) -> Option<u64> {
    assert_eq!(bench.run(1000), RunExit::Stopped);
    let rip = bench.cpu.rip();
    (0x6001..0x6021).contains(&rip).then(|| rip - 0x6001)
}

const PXOR: &[u8] = &[0x66, 0x0F, 0xEF, 0xC1, 0xF4];

#[test]
fn pxor_with_em_or_without_osfxsr_is_ud_and_with_ts_is_nm() {
    let mut on = bench(PXOR);
    on.cpu.vector_mut(0).set_lane(0, 0xFF00);
    on.cpu.vector_mut(1).set_lane(0, 0x0FF0);
    assert_eq!(run(&mut on), None);
    assert_eq!(on.cpu.vector(0).lane(0), 0xF0F0);

    let mut em = bench(PXOR);
    em.cpu.sys.cr0 |= Cr0::EM | Cr0::TS;
    assert_eq!(run(&mut em), Some(6));

    let mut off = bench(PXOR);
    off.cpu.sys.cr4 -= Cr4::OSFXSR;
    off.cpu.sys.cr0 |= Cr0::TS;
    assert_eq!(run(&mut off), Some(6));

    let mut ts = bench(PXOR);
    ts.cpu.sys.cr0 |= Cr0::TS;
    assert_eq!(run(&mut ts), Some(7));
}

#[test]
fn movdqa_misaligned_is_gp_and_movdqu_is_not() {
    // movdqa xmm0,[1008h]; movdqu xmm0,[1008h]
    assert_eq!(run(&mut bench(&[0x66, 0x0F, 0x6F, 0x06, 0x08, 0x10, 0xF4])), Some(13));
    let mut unaligned = bench(&[0xF3, 0x0F, 0x6F, 0x06, 0x08, 0x10, 0xF4]);
    unaligned.ram.dma_write(0x1008, &[7; 16]);
    assert_eq!(run(&mut unaligned), None);
    assert_eq!(unaligned.cpu.vector(0).lane(0), u128::from_le_bytes([7; 16]));
    // pand xmm0,[1008h]: an operand of an operation must be aligned too.
    assert_eq!(run(&mut bench(&[0x66, 0x0F, 0xDB, 0x06, 0x08, 0x10, 0xF4])), Some(13));
}

#[test]
fn movq_and_movss_loads_clear_the_rest_of_the_lane_and_keep_what_lies_above() {
    // movq xmm0,[1000h]; movss xmm1,[1000h]
    let mut bench = bench(&[0xF3, 0x0F, 0x7E, 0x06, 0x00, 0x10, 0xF3, 0x0F, 0x10, 0x0E, 0x00, 0x10, 0xF4]);
    bench.ram.dma_write(0x1000, &[0x11; 16]);
    bench.cpu.vector_mut(0).0 = [u64::MAX; 8];
    bench.cpu.vector_mut(1).0 = [u64::MAX; 8];
    assert_eq!(run(&mut bench), None);
    assert_eq!(
        bench.cpu.vector(0).0,
        [0x1111_1111_1111_1111, 0, u64::MAX, u64::MAX, u64::MAX, u64::MAX, u64::MAX, u64::MAX]
    );
    assert_eq!(bench.cpu.vector(1).0[..3], [0x1111_1111, 0, u64::MAX]);
}

#[test]
fn ldmxcsr_with_a_reserved_bit_is_gp() {
    let mut bench = bench(&[0x0F, 0xAE, 0x16, 0x00, 0x10, 0xF4]);
    bench.ram.dma_write(0x1000, &[0, 0, 1, 0]);
    assert_eq!(run(&mut bench), Some(13));
    assert_eq!(bench.cpu.fpu.mxcsr, 0x1F80);
}

#[test]
fn fxsave_then_fxrstor_gives_the_state_back() {
    // fxsave [1000h]; fxrstor [1000h]
    let mut bench = bench(&[0x0F, 0xAE, 0x06, 0x00, 0x10, 0x0F, 0xAE, 0x0E, 0x00, 0x10, 0xF4]);
    bench.cpu.fpu.status = 3 << 11;
    bench.cpu.fpu.significand = [1, 2, 3, 4, 5, 6, 7, 8];
    bench.cpu.vector_mut(7).set_lane(0, 42);
    let before = bench.cpu.fpu.clone();
    assert_eq!(run(&mut bench), None);
    assert_eq!(bench.cpu.fpu, before);
    // ST(0) is R3; MXCSR and its mask; XMM7.
    assert_eq!(bench.ram.load(0x1020, 8), 4);
    assert_eq!(bench.ram.load(0x1018, 8), 0xFFFF_0000_1F80);
    assert_eq!(bench.ram.load(0x1000 + 160 + 7 * 16, 8), 42);
}

#[test]
fn fxsave_with_em_is_nm_and_misaligned_is_gp() {
    let mut em = bench(&[0x0F, 0xAE, 0x06, 0x00, 0x10, 0xF4]);
    em.cpu.sys.cr0 |= Cr0::EM;
    assert_eq!(run(&mut em), Some(7));
    assert_eq!(run(&mut bench(&[0x0F, 0xAE, 0x06, 0x08, 0x10, 0xF4])), Some(13));
}

fn max(code: &[u8]) -> Bench {
    let mut bench = bench(code);
    bench.cpu.config.model = Arc::new(CpuModel::named("max").expect("a built-in model"));
    bench.cpu.sys.cr4 |= Cr4::OSXSAVE;
    bench
}

const XSETBV: &[u8] = &[0x0F, 0x01, 0xD1, 0xF4];

#[test]
fn xsetbv_without_x87_or_with_an_unsupported_component_is_gp() {
    for (value, vector) in [(3, None), (1, None), (0, Some(13)), (2, Some(13)), (0x8000_0001, Some(13))] {
        let mut bench = max(XSETBV);
        bench.cpu.gpr[0] = value;
        bench.cpu.gpr[2] = 0;
        assert_eq!(run(&mut bench), vector, "{value:#x}");
        assert_eq!(bench.cpu.sys.xcr0, if vector.is_none() { value } else { 1 });
    }
    let mut off = max(XSETBV);
    off.cpu.sys.cr4 -= Cr4::OSXSAVE;
    assert_eq!(run(&mut off), Some(6));
}

/// xsave or a relative at 1000h with EDX:EAX all ones.
fn save(code: &[u8]) -> Bench {
    let mut bench = max(code);
    bench.cpu.sys.xcr0 = 3;
    bench.cpu.gpr[0] = 0xFFFF_FFFF;
    bench.cpu.gpr[2] = 0xFFFF_FFFF;
    bench
}

#[test]
fn xsave_marks_only_components_in_use_and_keeps_bits_it_was_not_asked_for() {
    let mut bench = save(&[0x0F, 0xAE, 0x26, 0x00, 0x10, 0xF4]);
    bench.cpu.gpr[0] = 2;
    bench.cpu.gpr[2] = 0;
    bench.ram.dma_write(0x1200, &[5]);
    bench.cpu.vector_mut(XMM0 as u8).set_lane(0, 9);
    assert_eq!(run(&mut bench), None);
    assert_eq!(bench.ram.load(0x1200, 8), 7);
    assert_eq!(bench.ram.load(0x10A0, 8), 9);
}

#[test]
fn xsavec_writes_a_compacted_header_and_xrstor_reads_it() {
    // xsavec [1000h]; xrstor [1000h]
    let mut bench = save(&[0x0F, 0xC7, 0x26, 0x00, 0x10, 0x0F, 0xAE, 0x2E, 0x00, 0x10, 0xF4]);
    bench.cpu.fpu.initialize_x87();
    bench.cpu.fpu.mxcsr = 0x1FA0;
    let before = bench.cpu.fpu.clone();
    assert_eq!(run(&mut bench), None);
    assert_eq!(bench.ram.load(0x1200, 8), 2);
    assert_eq!(bench.ram.load(0x1208, 8), 1 << 63 | 3);
    assert_eq!(bench.cpu.fpu, before);
}

#[test]
fn xrstor_with_a_bad_header_is_gp() {
    let xrstor = [0x0F, 0xAE, 0x2E, 0x00, 0x10, 0xF4];
    // XSTATE_BV beyond XCR0; reserved bytes 23:8; compacted with XSTATE_BV beyond XCOMP_BV.
    for (at, bytes) in [(0x1200, [4u8, 0]), (0x1208, [1, 0]), (0x1210, [1, 0])] {
        let mut bench = save(&xrstor);
        bench.ram.dma_write(at, &bytes);
        assert_eq!(run(&mut bench), Some(13), "{at:#x}");
    }
    let mut compact = save(&xrstor);
    compact.ram.dma_write(0x1200, &[2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0x80]);
    assert_eq!(run(&mut compact), Some(13));
    assert_eq!(run(&mut save(&[0x0F, 0xAE, 0x2E, 0x20, 0x10, 0xF4])), Some(13));
}

const ALL: u64 = 7;

/// `code` with AVX switched on, in 32-bit code.
fn avx(code: &[u8]) -> Bench {
    let mut bench = Bench::long_mode(code);
    bench.cpu.config.model = Arc::new(CpuModel::named("max").expect("a built-in model"));
    bench.cpu.sys.cr4 |= Cr4::OSFXSR | Cr4::OSXMMEXCPT | Cr4::OSXSAVE;
    bench.cpu.sys.xcr0 = ALL;
    bench.cpu.refresh();
    bench
}

/// The vector of the exception of the first instruction, if it raises one.
fn step(bench: &mut Bench) -> Option<u8> {
    bench.step().err().map(|_| bench.cpu.scratch.fault.vector)
}

const VPADDD: &[u8] = &[0xC5, 0xF5, 0xFE, 0xC2];

#[test]
fn vex_without_osxsave_or_avx_in_xcr0_is_ud_before_ts_gives_nm() {
    assert_eq!(step(&mut avx(VPADDD)), None);
    let mut off = avx(VPADDD);
    off.cpu.sys.cr4 -= Cr4::OSXSAVE;
    off.cpu.sys.cr0 |= Cr0::TS;
    assert_eq!(step(&mut off), Some(6));
    let mut sse_only = avx(VPADDD);
    sse_only.cpu.sys.xcr0 = 3;
    assert_eq!(step(&mut sse_only), Some(6));
    let mut ts = avx(VPADDD);
    ts.cpu.sys.cr0 |= Cr0::TS;
    assert_eq!(step(&mut ts), Some(7));
    // CR0.EM does not matter to VEX.
    let mut em = avx(VPADDD);
    em.cpu.sys.cr0 |= Cr0::EM;
    assert_eq!(step(&mut em), None);
}

#[test]
fn an_unmasked_exception_is_xm_or_without_osxmmexcpt_ud_and_leaves_the_destination() {
    // divps xmm0,xmm1: 1 / 0
    let divide = [0x0F, 0x5E, 0xC1];
    let run = |cr4: Cr4, mxcsr: u32| {
        let mut bench = avx(&divide);
        bench.cpu.sys.cr4 -= Cr4::OSXMMEXCPT;
        bench.cpu.sys.cr4 |= cr4;
        bench.cpu.fpu.mxcsr = mxcsr;
        bench.cpu.vector_mut(0).set_lane(0, 0x3F80_0000_3F80_0000_3F80_0000_3F80_0000);
        let vector = step(&mut bench);
        (vector, bench.cpu.vector(0).0[0], bench.cpu.fpu.mxcsr)
    };
    assert_eq!(run(Cr4::OSXMMEXCPT, 0x1D80), (Some(19), 0x3F80_0000_3F80_0000, 0x1D84));
    assert_eq!(run(Cr4::empty(), 0x1D80), (Some(6), 0x3F80_0000_3F80_0000, 0x1D84));
    assert_eq!(run(Cr4::OSXMMEXCPT, 0x1F80), (None, 0x7F80_0000_7F80_0000, 0x1F84));
}

#[test]
fn gf2p8affineinvqb_with_the_matrix_of_aes_is_subbytes() {
    // gf2p8affineinvqb xmm0,xmm1,63h; aesenclast xmm2,xmm3 on the same bytes, all equal, so that ShiftRows is nothing.
    for byte in [0u8, 1, 0x53, 0xFF] {
        let mut bench = avx(&[0x66, 0x0F, 0x3A, 0xCF, 0xC1, 0x63, 0x66, 0x0F, 0x38, 0xDD, 0xD3]);
        let same = u128::from_le_bytes([byte; 16]);
        bench.cpu.vector_mut(0).set_lane(0, same);
        bench.cpu.vector_mut(1).set_lane(0, 0xF1E3_C78F_1F3E_7CF8_F1E3_C78F_1F3E_7CF8);
        bench.cpu.vector_mut(2).set_lane(0, same);
        assert_eq!((step(&mut bench), step(&mut bench)), (None, None));
        assert_eq!(bench.cpu.vector(0).lane(0), bench.cpu.vector(2).lane(0), "{byte:#x}");
    }
}
