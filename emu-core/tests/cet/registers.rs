//! CR4.CET, the registers of CET, and their part of XSAVE areas (SDM Vol. 3A 2.5 "Control Registers"; Vol. 4; Vol. 1
//! 13.5.9 "CET State").

use super::*;
use emu_core::model::CpuModel;
use emu_vmx::arch::msr::*;

const NON_CANONICAL: u64 = 1 << 62;

fn wrmsr(model: &str, number: u32, value: u64) -> bool {
    let mut bench = long(&[]);
    bench.cpu.config.model = CpuModel::of_spec(model).expect("a model").into();
    bench.with_env(|cpu, env| cpu.write_msr(env, number, value).is_ok() && cpu.read_msr(number) == Ok(value))
}

#[test]
fn registers_take_what_is_not_reserved() {
    let cases: &[(u32, u64, bool)] = &[
        (IA32_U_CET, 0x3F, true),
        (IA32_U_CET, 0x40, false),
        (IA32_U_CET, 0x200, false),
        (IA32_U_CET, 0x404, true),
        (IA32_U_CET, 0x804, true),
        (IA32_U_CET, 0xC04, false),
        (IA32_U_CET, 0x7FFF_FFFF_F000, true),
        (IA32_S_CET, 0x3F, true),
        (IA32_S_CET, 0xC00, false),
        (IA32_S_CET, NON_CANONICAL, false),
        (IA32_PL0_SSP, 0x1004, true),
        (IA32_PL0_SSP, 0x1002, false),
        (IA32_PL1_SSP, 0x1001, false),
        (IA32_PL2_SSP, 0x1008, true),
        (IA32_PL3_SSP, 0x1004, true),
        (IA32_PL3_SSP, 0x1001, false),
        (IA32_PL3_SSP, NON_CANONICAL, false),
        (IA32_INTERRUPT_SSP_TABLE_ADDR, 0x1001, true),
        (IA32_INTERRUPT_SSP_TABLE_ADDR, NON_CANONICAL, false),
    ];
    for &(number, value, allowed) in cases {
        assert_eq!(wrmsr("max", number, value), allowed, "{number:#x} {value:#x}");
    }
}

#[test]
fn either_feature_alone_has_its_own_bits_and_registers() {
    assert!(wrmsr("max,-cet_ibt", IA32_U_CET, 3) && !wrmsr("max,-cet_ibt", IA32_U_CET, 4));
    assert!(!wrmsr("max,-cet_ibt", IA32_U_CET, 0x1000), "the bitmap is that of tracking");
    assert!(wrmsr("max,-cet_ss", IA32_S_CET, 4) && !wrmsr("max,-cet_ss", IA32_S_CET, 1));
    assert!(!wrmsr("max,-cet_ss", IA32_PL0_SSP, 0) && !wrmsr("max,-cet_ss", IA32_INTERRUPT_SSP_TABLE_ADDR, 0));
    assert!(!wrmsr("max,-cet_ss,-cet_ibt", IA32_U_CET, 0));
    for (spec, has) in [("max", true), ("max,-cet_ss", true), ("max,-cet_ss,-cet_ibt", false)] {
        assert_eq!(CpuModel::of_spec(spec).unwrap().cr4().contains(Cr4::CET), has);
    }
}

#[test]
fn cr4_cet_and_cr0_wp_go_together() {
    let mut bench = long(&[]);
    bench.with_env(|cpu, env| {
        let (cr0, cr4) = (cpu.sys.cr0.bits(), cpu.sys.cr4.bits());
        assert!(cpu.write_cr4(env, cr4 | Cr4::CET.bits()).is_err());
        assert!(cpu.write_cr0(env, cr0 | Cr0::WP.bits()).is_ok());
        assert!(cpu.write_cr4(env, cr4 | Cr4::CET.bits()).is_ok());
        assert!(cpu.write_cr0(env, cr0).is_err());
        assert!(cpu.write_cr4(env, cr4).is_ok() && cpu.write_cr0(env, cr0).is_ok());
    });
}

#[test]
fn init_keeps_the_registers_and_reset_does_not() {
    let mut bench = cet(&[], 0, 5, 3);
    bench.cpu.sys.cet.ssps = [8, 16, 24, 32];
    bench.cpu.sys.init_pending = true;
    bench.cpu.changed_from_outside();
    bench.run(1);
    let kept = bench.cpu.sys.cet;
    assert_eq!((kept.user, kept.supervisor, kept.ssps), (5, 3, [8, 16, 24, 32]));
    assert!(!bench.cpu.sys.cr4.contains(Cr4::CET));
    bench.cpu.reset();
    assert_eq!(bench.cpu.sys.cet, Default::default());
}

/// xsaves [rbx]; xrstors [rbx]
const XSAVES: [u8; 4] = [0x48, 0x0F, 0xC7, 0x2B];
const XRSTORS: [u8; 4] = [0x48, 0x0F, 0xC7, 0x1B];
const AREA: u64 = 0x7_0000;

fn saving(code: &[u8]) -> Bench {
    let mut bench = long(code);
    bench.cpu.sys.cr4 |= Cr4::OSXSAVE | Cr4::OSFXSR;
    bench.cpu.sys.xss = 0x1800;
    bench.cpu.changed_from_outside();
    (bench.cpu.gpr[0], bench.cpu.gpr[2], bench.cpu.gpr[3]) = (0x1800, 0, AREA);
    bench
}

#[test]
fn xsaves_and_xrstors_carry_the_registers() {
    let mut bench = saving(&[XSAVES, XRSTORS].concat());
    bench.cpu.sys.cet.user = SHSTK;
    bench.cpu.sys.cet.ssps = [0x1000, 0x2000, 0x3000, 0x4000];
    steps(&mut bench, 1).unwrap();
    assert_eq!((read(&bench, AREA + 512, 8), read(&bench, AREA + 520, 8)), (0x1800, 1 << 63 | 0x1800));
    let saved: Vec<u64> = (0..5).map(|n| read(&bench, AREA + 576 + 8 * n, 8)).collect();
    assert_eq!(saved, [SHSTK, 0x4000, 0x1000, 0x2000, 0x3000]);
    let before = bench.cpu.sys.cet;
    bench.cpu.sys.cet = Default::default();
    steps(&mut bench, 1).unwrap();
    assert_eq!(bench.cpu.sys.cet, before);
}

#[test]
fn component_of_tracking_alone_has_the_place_of_an_ssp() {
    for (ssp, result) in [(0, Ok(())), (0x4000, GP)] {
        let mut bench = saving(&[XSAVES, XRSTORS].concat());
        bench.cpu.config.model = CpuModel::of_spec("max,-cet_ss").unwrap().into();
        bench.cpu.changed_from_outside();
        bench.cpu.sys.cet.user = ENDBR;
        write(&mut bench, AREA + 584, u64::MAX);
        steps(&mut bench, 1).unwrap();
        assert_eq!([576, 584].map(|at| read(&bench, AREA + at, 8)), [ENDBR, 0]);
        bench.cpu.sys.cet.user = 0;
        write(&mut bench, AREA + 584, ssp);
        assert_eq!(steps(&mut bench, 1), result);
        assert_eq!(bench.cpu.sys.cet.user, if result.is_ok() { ENDBR } else { 0 });
    }
}

#[test]
fn xrstors_initializes_absent_components_and_refuses_what_wrmsr_refuses() {
    for (xstate, user, ssp, result) in [
        (0x1000, 0, 0, Ok(())),
        (0x1800, SHSTK, 0x4000, Ok(())),
        (0x1800, 0x40, 0x4000, GP),
        (0x1800, SHSTK, 0x4001, GP),
        (0x1800, SHSTK, NON_CANONICAL, GP),
    ] {
        let mut bench = saving(&XRSTORS);
        bench.cpu.sys.cet.user = WRSS;
        write(&mut bench, AREA + 512, xstate);
        write(&mut bench, AREA + 520, 1 << 63 | 0x1800);
        for (n, value) in [user, ssp, 0x1000, 0x2000, 0x3000].into_iter().enumerate() {
            write(&mut bench, AREA + 576 + 8 * n as u64, value);
        }
        assert_eq!(steps(&mut bench, 1), result, "{xstate:#x} {user:#x} {ssp:#x}");
        let expected = match result {
            Ok(()) if xstate == 0x1000 => (0, 0),
            Ok(()) => (user, ssp),
            Err(_) => (WRSS, 0),
        };
        assert_eq!((bench.cpu.sys.cet.user, bench.cpu.sys.cet.ssps[3]), expected);
    }
}

/// SDM Vol. 1 13.2 "Enumeration of CPU Support for XSAVE Instructions and XSAVE-Supported Features".
#[test]
fn cpuid_tells_of_the_features_and_their_components() {
    for (name, has) in [
        ("max", true),
        ("tiger_lake", true),
        ("sapphire_rapids", true),
        ("wildcat_lake", true),
        ("ice_lake", false),
        ("haswell", false),
    ] {
        let model = CpuModel::named(name).unwrap();
        let leaf = model.leaf(7, 0);
        assert_eq!((leaf.ecx >> 7 & 1 != 0, leaf.edx >> 20 & 1 != 0), (has, has), "{name}");
        assert_eq!(model.leaf(0xD, 1).ecx & 0x1800, if has { 0x1800 } else { 0 }, "{name}");
        let sizes = [11, 12].map(|n| (model.leaf(0xD, n).eax, model.leaf(0xD, n).ecx));
        assert_eq!(sizes, if has { [(16, 1), (24, 1)] } else { [(0, 0); 2] }, "{name}");
    }
}
