//! EVEX instructions and operation masks: availability, masking, fault suppression, rounding, saved state (SDM Vol. 2A
//! 2.7 and 2.8, Vol. 1 chapters 13 and 15), and the order of exceptions of SIMD instructions (Vol. 3A Table 7-2).

use emu_core::state::derived::Size;
use emu_core::testing::Bench;
use emu_vmx::arch::cr::{Cr0, Cr4};

/// x87, SSE, AVX, opmask, ZMM_Hi256, Hi16_ZMM.
const ALL: u64 = 0xE7;
const DATA: u64 = 0x8000;
/// A page that is not there.
const HOLE: u64 = 0x9000;

const UD: Option<u8> = Some(6);
const NM: Option<u8> = Some(7);
const GP: Option<u8> = Some(13);
const PF: Option<u8> = Some(14);
const MF: Option<u8> = Some(16);
const AC: Option<u8> = Some(17);
const XM: Option<u8> = Some(19);

/// `code` in 64-bit mode with AVX-512 switched on, RSI at [`DATA`].
fn avx512(code: &[u8]) -> Bench {
    let mut bench = Bench::long_mode(code);
    bench.cpu.sys.cr4 |= Cr4::OSFXSR | Cr4::OSXMMEXCPT | Cr4::OSXSAVE;
    bench.cpu.sys.xcr0 = ALL;
    bench.map(HOLE, 0, 0);
    bench.cpu.gpr[6] = DATA;
    bench.cpu.refresh();
    bench
}

/// The vector of the exception of the first instruction, if it raises one.
fn step(bench: &mut Bench) -> Option<u8> {
    bench.step().err().map(|_| bench.cpu.scratch.fault.vector)
}

fn fill(bench: &mut Bench, register: u8, value: impl Fn(u64) -> u64) {
    for n in 0..16 {
        bench.cpu.vector_mut(register).set_element(2, n, value(n as u64));
    }
}

fn elements(bench: &Bench, register: u8) -> [u64; 16] {
    std::array::from_fn(|n| bench.cpu.vector(register).element(2, n))
}

/// vpaddd zmm0{k1},zmm1,zmm2
const VPADDD_K1: &[u8] = &[0x62, 0xF1, 0x75, 0x49, 0xFE, 0xC2];
/// vmovdqu32 zmm0{k1},[rsi]
const LOAD_K1: &[u8] = &[0x62, 0xF1, 0x7E, 0x49, 0x6F, 0x06];
/// vmovdqu32 [rsi]{k1},zmm0
const STORE_K1: &[u8] = &[0x62, 0xF1, 0x7E, 0x49, 0x7F, 0x06];
/// kandw k1,k2,k3
const KANDW: &[u8] = &[0xC5, 0xEC, 0x41, 0xCB];

#[test]
fn evex_and_opmask_need_osxsave_and_all_of_xcr0_or_ud_before_ts_gives_nm() {
    for code in [VPADDD_K1, KANDW] {
        assert_eq!(step(&mut avx512(code)), None);
        for missing in [2, 4, 0x20, 0x40, 0x80] {
            let mut off = avx512(code);
            off.cpu.sys.xcr0 &= !missing;
            off.cpu.sys.cr0 |= Cr0::TS;
            assert_eq!(step(&mut off), UD, "without {missing:#x}");
        }
        let mut off = avx512(code);
        off.cpu.sys.cr4 -= Cr4::OSXSAVE;
        assert_eq!(step(&mut off), UD);
        let mut ts = avx512(code);
        ts.cpu.sys.cr0 |= Cr0::TS;
        assert_eq!(step(&mut ts), NM);
        // CR0.EM does not matter to VEX and EVEX.
        let mut em = avx512(code);
        em.cpu.sys.cr0 |= Cr0::EM;
        assert_eq!(step(&mut em), None);
    }
}

#[test]
fn evex_with_reserved_bits_is_ud() {
    // Vol. 2A Table 2-36: P0[3] set; P1[2] clear; zeroing without a mask; length 11b without rounding.
    for (byte, clear, set) in [(1, 0, 8), (2, 4, 0), (3, 7, 0x80), (3, 0, 0x60)] {
        let mut code = VPADDD_K1.to_vec();
        code[byte] = code[byte] & !clear | set;
        assert_eq!(step(&mut avx512(&code)), UD, "byte {byte}");
    }
    // A store cannot zero; vpaddd has no vvvv-less form, vmovdqu32 demands vvvv = 1111b.
    let mut store = STORE_K1.to_vec();
    store[3] |= 0x80;
    assert_eq!(step(&mut avx512(&store)), UD);
    let mut load = LOAD_K1.to_vec();
    load[2] &= !0x08;
    assert_eq!(step(&mut avx512(&load)), UD);
}

#[test]
fn masked_elements_keep_their_value_or_become_zero_and_what_lies_above_the_length_is_cleared() {
    for (zeroing, other) in [(0, 7), (0x80, 0)] {
        // At 256 bits.
        let mut code = VPADDD_K1.to_vec();
        code[3] = code[3] & !0x40 | 0x20 | zeroing;
        let mut bench = avx512(&code);
        fill(&mut bench, 0, |_| 7);
        fill(&mut bench, 1, |n| n);
        fill(&mut bench, 2, |_| 100);
        bench.cpu.fpu.masks[1] = 0b0101;
        assert_eq!(step(&mut bench), None);
        let expected = std::array::from_fn(|n| match n {
            0 => 100,
            2 => 102,
            8.. => 0,
            _ => other,
        });
        assert_eq!(elements(&bench, 0), expected);
    }
}

#[test]
fn accesses_masked_out_raise_no_fault_and_those_of_permutations_do() {
    // Vol. 2A Table 2-47 (E4) and Table 2-48 (E4NF): the first four doublewords are there.
    for (mask, vector) in [(0x000F, None), (0x0000, None), (0x0010, PF), (0x8000, PF)] {
        for code in [LOAD_K1, STORE_K1] {
            let mut bench = avx512(code);
            bench.cpu.gpr[6] = HOLE - 16;
            bench.cpu.fpu.masks[1] = mask;
            assert_eq!(step(&mut bench), vector, "{mask:#x}");
        }
        // vpermd zmm0{k1},zmm1,[rsi]
        let mut permute = avx512(&[0x62, 0xF2, 0x75, 0x49, 0x36, 0x06]);
        permute.cpu.gpr[6] = HOLE - 16;
        permute.cpu.fpu.masks[1] = mask;
        assert_eq!(step(&mut permute), PF);
    }
}

#[test]
fn a_masked_store_that_faults_writes_nothing() {
    let mut bench = avx512(STORE_K1);
    bench.cpu.gpr[6] = HOLE - 16;
    fill(&mut bench, 0, |_| 0x1111_1111);
    bench.cpu.fpu.masks[1] = 0x1F;
    assert_eq!(step(&mut bench), PF);
    assert_eq!((bench.cpu.sys.cr2, bench.ram.load((HOLE - 16) as usize, 8)), (HOLE, 0));
}

#[test]
fn compressed_stores_touch_only_as_many_elements_as_are_active() {
    // vcompressps [rsi]{k1},zmm0
    let mut bench = avx512(&[0x62, 0xF2, 0x7D, 0x49, 0x8A, 0x06]);
    bench.cpu.gpr[6] = HOLE - 8;
    fill(&mut bench, 0, |n| n + 1);
    bench.cpu.fpu.masks[1] = 0x8100;
    assert_eq!(step(&mut bench), None);
    assert_eq!(bench.ram.load((HOLE - 8) as usize, 8), 16 << 32 | 9);
}

#[test]
fn aligned_moves_that_are_not_aligned_are_gp_whatever_the_mask() {
    // vmovdqa32 zmm0,[rsi]; movdqa [rsi],xmm0; addps xmm0,[rsi]: Vol. 2A Tables 2-44, 2-19 and 2-22.
    for code in [&[0x62, 0xF1, 0x7D, 0x48, 0x6F, 0x06][..], &[0x66, 0x0F, 0x7F, 0x06], &[0x0F, 0x58, 0x06]] {
        let mut bench = avx512(code);
        bench.cpu.gpr[6] = DATA + 8;
        assert_eq!(step(&mut bench), GP);
        // #GP comes before the page fault.
        bench.cpu.gpr[6] = HOLE + 8;
        assert_eq!(step(&mut bench), GP);
        bench.cpu.gpr[6] = HOLE;
        assert_eq!(step(&mut bench), PF);
    }
    // vaddps xmm0,xmm1,[rsi] needs no alignment, but is checked at CPL 3 with AM and AC.
    let mut vex = avx512(&[0xC5, 0xF0, 0x58, 0x06]);
    vex.cpu.gpr[6] = DATA + 8;
    assert_eq!(step(&mut vex), None);
    let mut checked = avx512(&[0xC5, 0xF0, 0x58, 0x06]);
    checked.cpu.gpr[6] = DATA + 8;
    checked.cpu.sys.cr0 |= Cr0::AM;
    checked.cpu.set_flags(1 << 18 | 2);
    checked.set_flat_segments(Size::Bits64, 3);
    assert_eq!(step(&mut checked), AC);
}

#[test]
fn embedded_rounding_overrides_mxcsr_and_suppresses_exceptions() {
    // vaddps zmm0,zmm1,zmm2 with {ru-sae} and with MXCSR's rounding: 1 + 2^-30.
    let run = |third: u8, mxcsr: u32| {
        let mut bench = avx512(&[0x62, 0xF1, 0x74, third, 0x58, 0xC2]);
        fill(&mut bench, 1, |_| 0x3F80_0000);
        fill(&mut bench, 2, |_| 0x3080_0000);
        bench.cpu.fpu.mxcsr = mxcsr;
        (step(&mut bench), elements(&bench, 0)[15], bench.cpu.fpu.mxcsr)
    };
    assert_eq!(run(0x58, 0x0F80), (None, 0x3F80_0001, 0x0F80));
    assert_eq!(run(0x48, 0x1F80), (None, 0x3F80_0000, 0x1FA0));
    assert_eq!(run(0x48, 0x0F80), (XM, 0, 0x0FA0));
}

#[test]
fn exceptions_of_masked_elements_do_not_happen() {
    // vdivps zmm0{k1},zmm1,zmm2: 1 / 0 in element 3.
    for (mask, vector, mxcsr) in [(0xFFFF, XM, 0x1D84), (0xFFF7, None, 0x1D80)] {
        let mut bench = avx512(&[0x62, 0xF1, 0x74, 0x49, 0x5E, 0xC2]);
        fill(&mut bench, 1, |_| 0x3F80_0000);
        fill(&mut bench, 2, |n| if n == 3 { 0 } else { 0x3F80_0000 });
        bench.cpu.fpu.mxcsr = 0x1D80;
        bench.cpu.fpu.masks[1] = mask;
        assert_eq!((step(&mut bench), bench.cpu.fpu.mxcsr), (vector, mxcsr));
    }
}

#[test]
fn a_page_fault_comes_before_the_simd_exception_and_a_store_of_a_conversion_before_too() {
    // vdivps zmm0,zmm1,[rsi] and vcvtps2ph [rsi],ymm0,0 with everything unmasked.
    for code in [&[0x62, 0xF1, 0x74, 0x48, 0x5E, 0x06][..], &[0xC4, 0xE3, 0x7D, 0x1D, 0x06, 0x00]] {
        let mut bench = avx512(code);
        fill(&mut bench, 0, |_| 0x7F80_0001);
        bench.cpu.gpr[6] = HOLE;
        bench.cpu.fpu.mxcsr = 0;
        assert_eq!((step(&mut bench), bench.cpu.fpu.mxcsr), (PF, 0));
    }
}

#[test]
fn gathers_with_equal_registers_or_without_a_mask_are_ud() {
    // vpgatherdd zmm1{k1},[rsi+zmm1*4]; with k0; vpgatherdd xmm0,[rsi+xmm1*4],xmm1
    for code in [
        &[0x62, 0xF2, 0x7D, 0x49, 0x90, 0x0C, 0x8E][..],
        &[0x62, 0xF2, 0x7D, 0x48, 0x90, 0x04, 0x8E],
        &[0xC4, 0xE2, 0x71, 0x90, 0x04, 0x8E],
    ] {
        assert_eq!(step(&mut avx512(code)), UD);
    }
}

#[test]
fn a_gather_that_faults_keeps_what_it_has_and_clears_those_mask_bits() {
    // vpgatherdd zmm0{k1},[rsi+zmm1*4]
    let mut bench = avx512(&[0x62, 0xF2, 0x7D, 0x49, 0x90, 0x04, 0x8E]);
    bench.ram.dma_write(DATA, &[5, 0, 0, 0]);
    fill(&mut bench, 0, |_| 9);
    fill(&mut bench, 1, |n| if n == 2 { 0x400 } else { 0 });
    bench.cpu.fpu.masks[1] = 0b0111;
    assert_eq!(step(&mut bench), PF);
    assert_eq!((elements(&bench, 0)[..4].to_vec(), bench.cpu.fpu.masks[1]), (vec![5, 5, 9, 9], 0b0100));
    bench.map(HOLE, DATA, emu_core::testing::PAGE_PRESENT);
    assert_eq!(step(&mut bench), None);
    assert_eq!((elements(&bench, 0)[..4].to_vec(), bench.cpu.fpu.masks[1]), (vec![5, 5, 5, 9], 0));
}

#[test]
fn mmx_with_a_pending_x87_exception_is_mf_after_ud_and_nm() {
    // paddb mm0,mm1 and cvtps2pi mm0,xmm1: Vol. 2A Tables 2-30 and 22-5 of Vol. 3B.
    for code in [&[0x0F, 0xFC, 0xC1][..], &[0x0F, 0x2D, 0xC1]] {
        let pending = || {
            let mut bench = avx512(code);
            bench.cpu.fpu.control = 0x37E;
            bench.cpu.fpu.status = 0x8081;
            bench
        };
        assert_eq!(step(&mut pending()), MF);
        let mut ts = pending();
        ts.cpu.sys.cr0 |= Cr0::TS;
        assert_eq!(step(&mut ts), NM);
        let mut em = pending();
        em.cpu.sys.cr0 |= Cr0::TS | Cr0::EM;
        assert_eq!(step(&mut em), UD);
    }
    // #MF comes before the #XM of the conversion.
    let mut both = avx512(&[0x0F, 0x2D, 0xC1]);
    both.cpu.fpu.control = 0x37E;
    both.cpu.fpu.status = 0x8081;
    both.cpu.fpu.mxcsr = 0;
    both.cpu.vector_mut(1).set_lane(0, 0x7F80_0001);
    assert_eq!(step(&mut both), MF);
}

#[test]
fn xsave_and_xrstor_carry_masks_upper_halves_and_upper_registers() {
    // xsave [rdi]; xrstor [rdi]
    let mut bench = avx512(&[0x0F, 0xAE, 0x27, 0x0F, 0xAE, 0x2F]);
    (bench.cpu.gpr[7], bench.cpu.gpr[0], bench.cpu.gpr[2]) = (0x4000, 0xFFFF_FFFF, 0xFFFF_FFFF);
    fill(&mut bench, 3, |n| n);
    fill(&mut bench, 20, |n| n + 100);
    bench.cpu.fpu.masks[5] = 55;
    bench.cpu.fpu.initialize_x87();
    let before = bench.cpu.fpu.clone();
    assert_eq!(step(&mut bench), None);
    // Opmask at 440h, ZMM_Hi256 at 480h, Hi16_ZMM at 680h.
    assert_eq!(bench.ram.load(0x4200, 8) & ALL, ALL & !1);
    assert_eq!(bench.ram.load(0x4440 + 5 * 8, 8), 55);
    assert_eq!(bench.ram.load(0x4480 + 3 * 32, 8), 9 << 32 | 8);
    assert_eq!(bench.ram.load(0x4680 + 4 * 64, 8), 101 << 32 | 100);
    bench.cpu.fpu.vectors = [emu_core::fpu::VectorRegister::ZERO; 32];
    bench.cpu.fpu.masks = [0; 8];
    assert_eq!(step(&mut bench), None);
    assert_eq!(bench.cpu.fpu, before);
}
