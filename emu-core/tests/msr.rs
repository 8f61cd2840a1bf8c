//! The table of model-specific registers, held against what RDMSR and WRMSR do on each model.

use emu_core::fault::{Fault, Stop};
use emu_core::model::CpuModel;
use emu_core::msr::{self, Allowed, Msr, Read, TABLE, Write};
use emu_core::testing::Bench;
use emu_vmx::arch::msr::*;
use emu_vmx::arch::vector;
use std::collections::{BTreeMap, BTreeSet};

fn benches() -> impl Iterator<Item = Bench> {
    CpuModel::names().map(|name| Bench::new(CpuModel::named(name).expect("the model is built in")))
}

/// What the model has, by number.
fn rows(bench: &Bench) -> BTreeMap<u32, &'static Msr> {
    msr::of_model(&bench.cpu.config.model).collect()
}

fn read(bench: &mut Bench, number: u32) -> Option<u64> {
    let quiet = bench.cpu.read_msr_quiet(number);
    let read = match bench.cpu.read_msr(number) {
        Ok(value) => Some(value),
        Err(stop) => {
            assert_eq!((stop, bench.cpu.scratch.fault), (Stop::Fault, Fault::with_code(vector::GP, 0)), "{number:#x}");
            None
        }
    };
    assert_eq!(read, quiet, "{number:#x}");
    read
}

/// Whether WRMSR takes the value; else it raises #GP(0).
fn write(bench: &mut Bench, number: u32, value: u64) -> bool {
    let result = bench.with_env(|cpu, env| cpu.write_msr(env, number, value));
    if let Err(stop) = result {
        assert_eq!((stop, bench.cpu.scratch.fault), (Stop::Fault, Fault::with_code(vector::GP, 0)), "{number:#x}");
    }
    result.is_ok()
}

#[test]
fn msr_rows_stand_in_order_and_numbers_and_names_find_them() {
    assert!(TABLE.is_sorted_by_key(|row| row.first));
    let (mut numbers, mut names) = (BTreeSet::new(), BTreeSet::new());
    for row in TABLE {
        for number in row.numbers() {
            let name = row.name_of(number);
            // A number that has come to mean another register is no model's twice.
            let both = |model: &CpuModel| msr::of_model(model).filter(|other| other.0 == number).count() > 1;
            let first = numbers.insert(number) || !benches().any(|bench| both(&bench.cpu.config.model));
            assert!(first && names.insert(name.clone()), "{name}");
            assert_eq!(msr::row(number).map(|found| found.first), Some(row.first), "{name}");
            assert_eq!(msr::number(&name), Some(number), "{name}");
        }
    }
}

#[test]
fn msr_name_without_prefix_in_any_case_gives_the_number() {
    assert_eq!(msr::number("efer"), Some(IA32_EFER));
    assert_eq!(msr::number("Platform_Info"), Some(MSR_PLATFORM_INFO));
    assert_eq!(msr::number("IA32_MC5_STATUS"), Some(IA32_MC0_STATUS + 20));
    assert_eq!(msr::name(IA32_MTRR_PHYSMASK0 + 4).as_deref(), Some("IA32_MTRR_PHYSMASK2"));
    assert_eq!((msr::number("EFERR"), msr::name(0x12345)), (None, None));
}

#[test]
fn msrs_of_model_files_have_rows() {
    for bench in benches() {
        let rows = rows(&bench);
        let model = &bench.cpu.config.model;
        for number in model.plain_msrs().map(|msr| msr.index).chain(model.vmx_capabilities().keys().copied()) {
            assert!(rows.contains_key(&number), "{}: {number:#x}", model.name());
        }
    }
}

#[test]
fn msr_on_a_fresh_processor_reads_its_reset_value() {
    for mut bench in benches() {
        for (number, row) in rows(&bench) {
            let reset = row.reset_value(&bench.cpu.config.model, number);
            assert_eq!(read(&mut bench, number), reset, "{}", row.name_of(number));
        }
    }
}

#[test]
fn msr_write_of_a_reserved_bit_is_gp_and_changes_nothing() {
    for mut bench in benches() {
        for (number, row) in rows(&bench) {
            let before = read(&mut bench, number);
            let model = bench.cpu.config.model.clone();
            let old = before.unwrap_or(0);
            let refused: Vec<u64> = match row.allowed {
                Allowed::Any => continue,
                Allowed::Bits(bits) => reserved(bits).collect(),
                Allowed::BitsOf(bits) => reserved(bits(&model, number)).collect(),
                Allowed::Listed => reserved(model.plain_msr(number).unwrap().writable).map(|bit| old ^ bit).collect(),
                Allowed::Values(_, refused) => vec![refused],
                Allowed::Nothing => vec![0, old, old ^ 1],
            };
            for value in refused {
                assert!(!write(&mut bench, number, value), "{} = {value:#x}", row.name_of(number));
                assert_eq!(read(&mut bench, number), before, "{} = {value:#x}", row.name_of(number));
            }
        }
    }
}

/// Each bit that is not of `bits`, alone.
fn reserved(bits: u64) -> impl Iterator<Item = u64> {
    (0..64).map(|n| 1 << n).filter(move |bit| bit & bits == 0)
}

#[test]
fn msr_that_is_only_stored_reads_what_was_written() {
    for mut bench in benches() {
        for (number, row) in rows(&bench) {
            if !matches!((row.read, row.write), (Read::Stored, Write::Stored)) {
                continue;
            }
            let model = bench.cpu.config.model.clone();
            let reset = row.reset_value(&model, number).unwrap();
            let value = match row.allowed {
                Allowed::Any => 0xFEDC_BA98_7654_3210,
                Allowed::Bits(bits) => bits,
                Allowed::BitsOf(bits) => bits(&model, number),
                Allowed::Listed => reset ^ model.plain_msr(number).unwrap().writable,
                Allowed::Values(allowed, _) => [u64::MAX, 6].into_iter().find(|&v| allowed(&model, number, v)).unwrap(),
                Allowed::Nothing => continue,
            };
            assert!(write(&mut bench, number, value), "{}", row.name_of(number));
            assert_eq!(read(&mut bench, number), Some(value), "{}", row.name_of(number));
        }
    }
}

#[test]
fn msr_that_the_model_lacks_is_gp_read_and_written() {
    for mut bench in benches() {
        let rows = rows(&bench);
        for number in (0..0x2000).chain(0xC000_0000..0xC000_0200).filter(|number| !rows.contains_key(number)) {
            assert_eq!(read(&mut bench, number), None, "{number:#x}");
            assert!(!write(&mut bench, number, 0), "{number:#x}");
        }
    }
}

#[test]
fn msrs_that_systems_read_unguarded_are_there() {
    let arrandale = [0x34, 0xE2, 0xE4, 0x13C, 0x1A2, 0x1A4, 0x1A6, 0x1A7, 0x1AA, 0x1AC, 0x1AD, 0x1B0, 0x1C8, 0x1C9]
        .into_iter()
        .chain([0x1DD, 0x1DE, 0x1FC, 0x391, 0x3F8, 0x3FC, 0x680, 0x68F, 0x6C0, 0x6CF])
        .collect();
    let lists: [(&str, Vec<u32>); 2] =
        [("corei5_arrandale_m520", arrandale), ("max", vec![0xE2, 0x1FC, IA32_ARCH_CAPABILITIES])];
    for (model, numbers) in lists {
        let mut bench = Bench::new(CpuModel::named(model).unwrap());
        for number in numbers {
            let value = read(&mut bench, number).unwrap_or_else(|| panic!("{model}: {number:#x}"));
            let read_only = matches!(rows(&bench)[&number].allowed, Allowed::Nothing);
            assert_eq!(write(&mut bench, number, value), !read_only, "{model}: {number:#x} and what it read");
        }
    }
}

#[test]
fn msr_arch_capabilities_of_max_says_that_loads_do_not_leak() {
    let mut bench = Bench::new(CpuModel::named("max").unwrap());
    // RDCL_NO, IBRS_ALL, SKIP_L1DFL_VMENTRY, MDS_NO, IF_PSCHANGE_MC_NO, TAA_NO; no TSX_CTRL, no RSBA.
    let value = read(&mut bench, IA32_ARCH_CAPABILITIES).unwrap();
    assert_eq!((value & 0x16B, value & 0x84), (0x16B, 0));
    assert!(!write(&mut bench, IA32_ARCH_CAPABILITIES, value ^ 1));
}

/// SDM Vol. 4, Table 2-2 "IA-32 Architectural MSRs": of a register that is R/O.
#[test]
fn msr_that_is_read_only_refuses_what_it_holds() {
    let mut refused = 0;
    for mut bench in benches() {
        for (number, row) in rows(&bench).into_iter().filter(|(_, row)| matches!(row.allowed, Allowed::Nothing)) {
            if let Some(value) = read(&mut bench, number) {
                assert!(!write(&mut bench, number, value), "{}", row.name_of(number));
                refused += 1;
            }
        }
        for (number, row) in rows(&bench) {
            let writable = bench.cpu.config.model.plain_msr(number).map(|listed| listed.writable);
            assert!(
                writable != Some(0) || matches!(row.allowed, Allowed::Nothing) || MAY_TAKE_ITS_VALUE.contains(&number),
                "{}: read-only, or which bits?",
                row.name_of(number)
            );
        }
    }
    assert!(refused > 30, "{refused}");
}

/// Writable by the SDM, with no bit that these models let change: MSR_FEATURE_CONFIG (locked), MISC_FEATURES_ENABLES.
const MAY_TAKE_ITS_VALUE: [u32; 2] = [MSR_FEATURE_CONFIG, MISC_FEATURES_ENABLES];

/// SDM Vol. 4, Table 2-2 "IA-32 Architectural MSRs", IA32_MISC_ENABLE, bits 18, 22 and 34.
#[test]
fn misc_enable_hides_what_it_switches_off() {
    const MONITOR: u64 = 1 << 18;
    const LIMIT_CPUID: u64 = 1 << 22;
    const XD_DISABLE: u64 = 1 << 34;
    for mut bench in benches() {
        let reset = read(&mut bench, IA32_MISC_ENABLE).unwrap();
        let monitor = |bench: &Bench| bench.cpu.cpuid_leaf(1, 0).ecx >> 3 & 1 != 0;
        let xd = |bench: &Bench| bench.cpu.cpuid_leaf(0x8000_0001, 0).edx >> 20 & 1 != 0;
        assert_eq!(monitor(&bench), reset & MONITOR != 0, "the reset value mirrors CPUID");
        assert!(xd(&bench) && bench.cpu.cpuid_leaf(0, 0).eax > 2 && bench.cpu.cpuid_leaf(4, 0).eax != 0);
        let leaf_2 = bench.cpu.cpuid_leaf(2, 0);

        assert!(write(&mut bench, IA32_EFER, 0x800), "NXE");
        assert!(write(&mut bench, IA32_MISC_ENABLE, reset & !MONITOR | LIMIT_CPUID | XD_DISABLE));
        assert!(!monitor(&bench) && !xd(&bench));
        assert_eq!((bench.cpu.cpuid_leaf(0, 0).eax, bench.cpu.cpuid_leaf(4, 0)), (2, leaf_2));
        assert_eq!(read(&mut bench, IA32_EFER), Some(0), "NXE is no more");
        assert!(!write(&mut bench, IA32_EFER, 0x800));
        for code in [0xC8, 0xC9] {
            bench.ram.dma_write(0x1000, &[0x0F, 0x01, code]); // monitor; mwait
            bench.cpu.load_real_segment(emu_vmx::arch::segment::SegmentRegister::Cs, 0);
            bench.cpu.set_rip(0x1000);
            bench.cpu.refresh();
            assert!(bench.step().is_err());
            assert_eq!(bench.cpu.scratch.fault.vector, vector::UD);
        }

        assert!(write(&mut bench, IA32_MISC_ENABLE, reset));
        assert!(monitor(&bench) && xd(&bench) && write(&mut bench, IA32_EFER, 0x800));
    }
}

/// SDM Vol. 3B 15.2 "Hardware Coordination Feedback Capability and MSRs": IA32_MPERF counts at the TSC's rate, and the
/// ratio of what both have counted is that of the frequencies. Linux 6.1 takes counters that stand for an overflow.
#[test]
fn mperf_and_aperf_count_with_the_tsc_from_what_was_written() {
    for mut bench in benches() {
        for number in [IA32_MPERF, IA32_APERF] {
            assert!(write(&mut bench, number, 1000));
        }
        bench.cpu.cycles += 500;
        for number in [IA32_MPERF, IA32_APERF] {
            assert_eq!(read(&mut bench, number), Some(1500));
        }
        bench.cpu.reset();
        bench.cpu.cycles += 7;
        for number in [IA32_MPERF, IA32_APERF, IA32_TIME_STAMP_COUNTER] {
            assert_eq!(read(&mut bench, number), Some(7));
        }
    }
}

/// SDM Vol. 3D A.3.4 "Tertiary Processor-Based VM-Execution Controls" and A.4.2 "Secondary VM-Exit Controls": the registers
/// are there where their activation may be 1, and 64 bits of allowed 1-settings.
#[test]
fn capability_msrs_of_tertiary_and_of_secondary_exit_controls_come_with_their_activation() {
    let expected = |name: &str| match name {
        "max" => (Some(0x90), Some(0xC)),
        "sapphire_rapids" => (Some(0x10), Some(0x8)),
        "tiger_lake" => (Some(0), None),
        "wildcat_lake" => (Some(0x10), Some(0xC)),
        _ => (None, None),
    };
    for mut bench in benches() {
        let name = bench.cpu.config.model.name().to_owned();
        let allowed = |bench: &mut Bench, truth, number, bit: u32| {
            let value = read(bench, truth).or_else(|| read(bench, number)).expect("every model has VMX");
            value >> (32 + bit) & 1 != 0
        };
        let tertiary = allowed(&mut bench, IA32_VMX_TRUE_PROCBASED_CTLS, IA32_VMX_PROCBASED_CTLS, 17);
        let exit = allowed(&mut bench, IA32_VMX_TRUE_EXIT_CTLS, IA32_VMX_EXIT_CTLS, 31);
        let found = (read(&mut bench, IA32_VMX_PROCBASED_CTLS3), read(&mut bench, IA32_VMX_EXIT_CTLS2));
        assert_eq!(found, expected(&name), "{name}");
        assert_eq!((found.0.is_some(), found.1.is_some()), (tertiary, exit), "{name}");
        assert!(
            !write(&mut bench, IA32_VMX_PROCBASED_CTLS3, 0) && !write(&mut bench, IA32_VMX_EXIT_CTLS2, 0),
            "{name}"
        );
    }
    for (gone, number) in
        [("tertiary_controls", IA32_VMX_PROCBASED_CTLS3), ("exit_secondary_controls", IA32_VMX_EXIT_CTLS2)]
    {
        let model = CpuModel::named("max").expect("it is built in").with(&format!("-{gone}")).expect("it can go");
        assert_eq!(read(&mut Bench::new(model), number), None, "{gone}");
    }
}

/// SDM Vol. 4 Table 2-2, "IA32_SPEC_CTRL": what CPUID does not report is reserved.
#[test]
fn spec_ctrl_takes_the_bits_that_cpuid_reports() {
    for mut bench in benches() {
        let model = bench.cpu.config.model.clone();
        let there = model.leaf(7, 0).edx >> 26 & 1 != 0;
        assert_eq!(read(&mut bench, IA32_SPEC_CTRL), there.then_some(0), "{}", model.name());
        let more = model.leaf(7, 2).edx;
        for bit in 0..64 {
            let reported = match bit {
                0 | 1 => true,
                2 => model.leaf(7, 0).edx >> 31 & 1 != 0,
                3 | 4 => more >> 1 & 1 != 0,
                5 | 6 => more >> 2 & 1 != 0,
                7 => more & 1 != 0,
                8 => more >> 3 & 1 != 0,
                10 => more >> 4 & 1 != 0,
                _ => false,
            };
            let taken = write(&mut bench, IA32_SPEC_CTRL, 1 << bit);
            assert_eq!(taken, there && reported, "{}: bit {bit}", model.name());
        }
    }
}

/// SDM Vol. 3A 10.11.7.1 "Determining the Signature": 0 is written, CPUID leaf 1 loads what is there.
#[test]
fn cpuid_loads_the_signature_of_the_microcode_update_that_the_model_has() {
    // wrmsr; mov eax,1; cpuid; mov ecx,8Bh; rdmsr; hlt
    let code = [0x0F, 0x30, 0xB8, 1, 0, 0, 0, 0x0F, 0xA2, 0xB9, 0x8B, 0, 0, 0, 0x0F, 0x32, 0xF4];
    for name in CpuModel::names() {
        let mut bench = Bench::long_mode(&code);
        let model = CpuModel::named(name).expect("the model is built in");
        let signature = model.plain_msr(IA32_BIOS_SIGN_ID).expect("every model has it").reset;
        bench.cpu.config.model = std::sync::Arc::new(model);
        (bench.cpu.gpr[0], bench.cpu.gpr[1], bench.cpu.gpr[2]) = (0, IA32_BIOS_SIGN_ID.into(), 0);
        bench.cpu.refresh();
        bench.run(1000);
        assert_eq!(bench.cpu.gpr[2] << 32 | bench.cpu.gpr[0], signature, "{name}");
    }
}
