//! The instructions that manage shadow stacks (SDM Vol. 1 18.2.5 "Switching Shadow Stacks"; Vol. 2).

use super::*;

const RDSSPQ: [u8; 5] = [0xF3, 0x48, 0x0F, 0x1E, 0xC8];
const RDSSPD: [u8; 4] = [0xF3, 0x0F, 0x1E, 0xC8];
const INCSSPQ: [u8; 5] = [0xF3, 0x48, 0x0F, 0xAE, 0xE8];
const INCSSPD: [u8; 4] = [0xF3, 0x0F, 0xAE, 0xE8];
const RSTORSSP: [u8; 4] = [0xF3, 0x0F, 0x01, 0x2B];
const SAVEPREVSSP: [u8; 4] = [0xF3, 0x0F, 0x01, 0xEA];
const WRSSQ: [u8; 5] = [0x48, 0x0F, 0x38, 0xF6, 0x03];
const WRSSD: [u8; 4] = [0x0F, 0x38, 0xF6, 0x03];
const WRUSSQ: [u8; 6] = [0x66, 0x48, 0x0F, 0x38, 0xF5, 0x03];
const SETSSBSY: [u8; 4] = [0xF3, 0x0F, 0x01, 0xE8];
const CLRSSBSY: [u8; 4] = [0xF3, 0x0F, 0xAE, 0x33];

/// What each raises where shadow stacks are not enabled, or CR4.CET is 0.
#[test]
fn instructions_without_shadow_stacks_are_undefined_and_rdssp_does_nothing() {
    let all: [(&[u8], bool); 11] = [
        (&RDSSPQ, true),
        (&RDSSPD, true),
        (&INCSSPQ, false),
        (&INCSSPD, false),
        (&RSTORSSP, false),
        (&SAVEPREVSSP, false),
        (&WRSSQ, false),
        (&WRSSD, false),
        (&WRUSSQ, false),
        (&SETSSBSY, false),
        (&CLRSSBSY, false),
    ];
    for (code, harmless) in all {
        for (cr4, real) in [(false, false), (true, false), (true, true)] {
            let mut bench = cet(code, 0, SHSTK | WRSS, WRSS);
            if !cr4 {
                bench.cpu.sys.cr4 -= Cr4::CET;
                bench.cpu.sys.cet.supervisor |= SHSTK;
            }
            // REX is another instruction there.
            if real && code.contains(&0x48) {
                continue;
            }
            if real {
                // Real-address mode knows none of them.
                bench = Bench::real_mode(&[&[0x90], code].concat());
                bench.cpu.config.model = long(&[]).cpu.config.model.clone();
                bench.cpu.sys.cet.supervisor = SHSTK | WRSS;
                steps(&mut bench, 1).unwrap();
            }
            bench.cpu.changed_from_outside();
            (bench.cpu.gpr[0], bench.cpu.gpr[3]) = (0x1234, USER_PAGE);
            // WRUSS needs CR4.CET alone.
            let expected = match (harmless, code[0] == 0x66 && cr4 && !real) {
                (true, _) | (_, true) => Ok(()),
                _ => UD,
            };
            assert_eq!(steps(&mut bench, 1), expected, "{code:X?} CR4.CET {cr4}");
            assert_eq!(bench.cpu.gpr[0], 0x1234);
        }
    }
}

#[test]
fn rdssp_reads_as_many_bits_as_it_says() {
    let mut bench = cet(&[&RDSSPQ[..], &RDSSPD[..]].concat(), 3, SHSTK, 0);
    bench.cpu.sys.cet.ssp = 0x12_3456_7898;
    steps(&mut bench, 1).unwrap();
    assert_eq!(bench.cpu.gpr[0], 0x12_3456_7898);
    steps(&mut bench, 1).unwrap();
    assert_eq!(bench.cpu.gpr[0], 0x3456_7898);
}

#[test]
fn incssp_reads_the_first_and_the_last_element_of_its_range() {
    for (code, bytes) in [(&INCSSPQ[..], 8), (&INCSSPD[..], 4)] {
        for (count, result) in [(0, Ok(())), (1, Ok(())), (255, Ok(())), (0x1_0003, Ok(()))] {
            let mut bench = cet(code, 3, SHSTK, 0);
            (bench.cpu.gpr[0], bench.cpu.sys.cet.ssp) = (count, USER_PAGE);
            assert_eq!(steps(&mut bench, 1), result);
            assert_eq!(bench.cpu.sys.cet.ssp, USER_PAGE + (count & 0xFF) * bytes);
        }
        // The first at the top is beyond the page, also if none is popped; the last one is.
        for (count, ssp) in [(0, USER_TOP), (2, USER_TOP - bytes)] {
            let mut bench = cet(code, 3, SHSTK, 0);
            (bench.cpu.gpr[0], bench.cpu.sys.cet.ssp) = (count, ssp);
            assert_eq!(steps(&mut bench, 1), pf(0x45));
            assert_eq!((bench.cpu.sys.cr2, bench.cpu.sys.cet.ssp), (USER_TOP, ssp));
        }
    }
}

#[test]
fn rstorssp_and_saveprevssp_switch_stacks_as_in_the_figures() {
    // Figures 18-2 and 18-3, on one page: the present stack at 800h, another whose token at FF8h holds 1000h.
    let mut bench = cet(&[&RSTORSSP[..], &SAVEPREVSSP[..]].concat(), 3, SHSTK, 0);
    let (present, token) = (USER_PAGE + 0x800, USER_PAGE + 0xFF8);
    bench.cpu.sys.cet.ssp = present;
    bench.cpu.gpr[3] = token;
    write(&mut bench, token, USER_TOP | 1);
    assert_eq!(steps(&mut bench, 1), Ok(()));
    assert_eq!((bench.cpu.sys.cet.ssp, read(&bench, token, 8)), (token, present | 3));
    assert!(!bench.cpu.flags.cf());
    assert_eq!(steps(&mut bench, 1), Ok(()));
    assert_eq!((bench.cpu.sys.cet.ssp, read(&bench, present - 8, 8)), (USER_TOP, present | 1));
    assert_eq!(read(&bench, present, 8), 0, "what lay above is untouched");
}

#[test]
fn rstorssp_refuses_wrong_tokens_and_leaves_them() {
    let token = USER_PAGE + 0x800;
    let cases = [
        ((token + 8) | 1, Ok(()), false),
        ((token + 12) | 1, Ok(()), true),
        (token + 8, cp(4), false),
        ((token + 8) | 3, cp(4), false),
        (token | 1, cp(4), false),
        ((token + 16) | 1, cp(4), false),
    ];
    for (value, result, hole) in cases {
        let mut bench = cet(&RSTORSSP, 3, SHSTK, 0);
        bench.cpu.gpr[3] = token;
        write(&mut bench, token, value);
        assert_eq!(steps(&mut bench, 1), result, "{value:#x}");
        if result.is_err() {
            assert_eq!((read(&bench, token, 8), bench.cpu.sys.cet.ssp), (value, USER_TOP));
        } else {
            assert_eq!(bench.cpu.flags.cf(), hole);
        }
    }
    let mut bench = cet(&RSTORSSP, 3, SHSTK, 0);
    bench.cpu.gpr[3] = token + 4;
    assert_eq!(steps(&mut bench, 1), GP);
    // Of 32 bits: no mode bit, and below 4 GBytes.
    for (value, result) in [(token + 8, Ok(())), ((token + 8) | 1, cp(4)), ((token + 8) | 1 << 32, cp(4))] {
        let mut bench = cet32(&RSTORSSP, 3, SHSTK, 0);
        bench.cpu.gpr[3] = token;
        write(&mut bench, token, value);
        assert_eq!(steps(&mut bench, 1), result, "{value:#x}");
    }
}

#[test]
fn saveprevssp_needs_a_previous_ssp_token() {
    let at = USER_PAGE + 0x100;
    for (ssp, token, carry, result) in [
        (at, USER_TOP | 3, false, Ok(())),
        (at, USER_TOP | 1, false, GP),
        (at, USER_TOP | 3, true, GP),
        (at + 4, USER_TOP | 3, false, GP),
    ] {
        let mut bench = cet(&SAVEPREVSSP, 3, SHSTK, 0);
        bench.cpu.sys.cet.ssp = ssp;
        write(&mut bench, at, token);
        bench.cpu.flags.set_status(u64::from(carry));
        assert_eq!(steps(&mut bench, 1), result, "{ssp:#x} {token:#x} {carry}");
        let after = if result.is_ok() { at + 8 } else { ssp };
        assert_eq!(bench.cpu.sys.cet.ssp, after);
    }
    // 32 bits, where CF says that there is a hole, which must be 0.
    for (hole, result) in [(0, Ok(())), (1, GP)] {
        let mut bench = cet32(&SAVEPREVSSP, 3, SHSTK, 0);
        bench.cpu.sys.cet.ssp = at;
        write(&mut bench, at, (USER_PAGE + 0x804) | 2);
        bench.ram.dma_write(at + 8, &u32::to_le_bytes(hole));
        write(&mut bench, USER_PAGE + 0x7F8, u64::MAX);
        bench.ram.dma_write(USER_PAGE + 0x800, &u32::MAX.to_le_bytes());
        bench.cpu.flags.set_status(1);
        assert_eq!(steps(&mut bench, 1), result);
        if result.is_ok() {
            assert_eq!(bench.cpu.sys.cet.ssp, at + 12);
            assert_eq!(read(&bench, USER_PAGE + 0x7F8, 8), USER_PAGE + 0x804);
            assert_eq!(read(&bench, USER_PAGE + 0x800, 4), 0, "the hole");
        }
    }
}

#[test]
fn wrss_writes_shadow_stacks_of_its_own_level_if_it_is_enabled() {
    for (code, bytes) in [(&WRSSQ[..], 8), (&WRSSD[..], 4)] {
        for (cpl, control, at, result) in [
            (3, SHSTK | WRSS, USER_PAGE, Ok(())),
            (3, SHSTK, USER_PAGE, UD),
            (3, SHSTK | WRSS, USER_PAGE + 2, GP),
            (3, SHSTK | WRSS, KERNEL_PAGE, pf(0x47)),
            (3, SHSTK | WRSS, 0x8000, pf(0x47)),
            (0, SHSTK | WRSS, KERNEL_PAGE, Ok(())),
            (0, SHSTK | WRSS, USER_PAGE, pf(0x43)),
        ] {
            let mut bench = cet(code, cpl, control, control);
            (bench.cpu.gpr[0], bench.cpu.gpr[3]) = (0x1122_3344_5566_7788, at);
            assert_eq!(steps(&mut bench, 1), result, "{code:X?} {cpl} {at:#x}");
            let written = if result.is_ok() { 0x1122_3344_5566_7788 & (u64::MAX >> (64 - 8 * bytes)) } else { 0 };
            if at != 0x8000 {
                assert_eq!(read(&bench, at, 8), written);
            }
        }
    }
}

#[test]
fn wruss_is_a_user_access_of_cpl_0() {
    for (cpl, at, result) in
        [(0, USER_PAGE, Ok(())), (0, KERNEL_PAGE, pf(0x47)), (3, USER_PAGE, GP), (0, USER_PAGE + 4, GP)]
    {
        let mut bench = cet(&WRUSSQ, cpl, 0, 0);
        // It is none of the supervisor: SMAP does not look at it.
        bench.cpu.sys.cr4 |= Cr4::SMAP;
        bench.cpu.changed_from_outside();
        (bench.cpu.gpr[0], bench.cpu.gpr[3]) = (0x77, at);
        assert_eq!(steps(&mut bench, 1), result, "{cpl} {at:#x}");
    }
}

#[test]
fn setssbsy_takes_the_free_token_of_pl0_ssp() {
    let token = KERNEL_TOP - 8;
    for (cpl, pl0, value, result) in [
        (0, token, token, Ok(())),
        (0, token, token | 1, cp(5)),
        (0, token, token - 8, cp(5)),
        (0, token, token | 2, cp(5)),
        (0, token + 4, token, GP),
        (3, token, token, GP),
    ] {
        let mut bench = cet(&SETSSBSY, cpl, SHSTK, SHSTK);
        let before = bench.cpu.sys.cet.ssp;
        bench.cpu.sys.cet.ssps[0] = pl0;
        write(&mut bench, token, value);
        assert_eq!(steps(&mut bench, 1), result, "{value:#x}");
        let after = if result.is_ok() { (token, token | 1) } else { (before, value) };
        assert_eq!((bench.cpu.sys.cet.ssp, read(&bench, token, 8)), after);
    }
}

#[test]
fn setssbsy_of_32_bit_code_needs_a_token_below_4_gbytes() {
    for (high, result) in [(0, Ok(())), (1 << 32, cp(5))] {
        let token = KERNEL_TOP - 8;
        let mut bench = cet32(&SETSSBSY, 0, 0, SHSTK);
        bench.cpu.sys.cet.ssps[0] = high | token;
        write(&mut bench, token, high | token);
        assert_eq!(steps(&mut bench, 1), result, "{high:#x}");
        let after = if result.is_ok() { token | 1 } else { high | token };
        assert_eq!(read(&bench, token, 8), after);
    }
}

#[test]
fn wruss_of_a_processor_without_shadow_stacks_is_undefined() {
    let mut bench = cet(&WRUSSQ, 0, 0, 0);
    bench.cpu.config.model = emu_core::model::CpuModel::of_spec("max,-cet_ss").unwrap().into();
    bench.cpu.changed_from_outside();
    bench.cpu.gpr[3] = USER_PAGE;
    assert_eq!(steps(&mut bench, 1), UD);
}

#[test]
fn clrssbsy_frees_a_busy_token_and_tells_of_others_by_cf() {
    let token = KERNEL_TOP - 8;
    for (cpl, value, result, carry) in [
        (0, token | 1, Ok(()), false),
        (0, token, Ok(()), true),
        (0, (token - 8) | 1, Ok(()), true),
        (3, token | 1, GP, false),
    ] {
        let mut bench = cet(&CLRSSBSY, cpl, SHSTK, SHSTK);
        bench.cpu.gpr[3] = token;
        write(&mut bench, token, value);
        assert_eq!(steps(&mut bench, 1), result, "{value:#x}");
        if result.is_ok() {
            let after = if carry { value } else { token };
            assert_eq!((bench.cpu.flags.cf(), bench.cpu.sys.cet.ssp), (carry, 0));
            assert_eq!(read(&bench, token, 8), after);
        }
    }
}
