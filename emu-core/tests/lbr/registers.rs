//! The registers of last branch records: which a model has, what they take, and after power-on.

use super::*;

/// Records, first registers of sources, targets and information, bits of MSR_LBR_SELECT, format (SDM Vol. 3B 18.5.1, 18.7.1,
/// 18.8 to 18.10, "LBR Stack"; 19.1).
const MODELS: [(&str, u32, u32, u32, u32, u64, u64); 10] = [
    ("penryn", 4, 0x40, 0x60, 0, 0, 1),
    ("corei5_arrandale_m520", 16, 0x680, 0x6C0, 0, 0x1FF, 3),
    ("sandy_bridge", 16, 0x680, 0x6C0, 0, 0x1FF, 3),
    ("haswell", 16, 0x680, 0x6C0, 0, 0x3FF, 4),
    ("skylake_sp", 32, 0x680, 0x6C0, 0xDC0, 0x3FF, 5),
    ("ice_lake", 32, 0x680, 0x6C0, 0xDC0, 0x3FF, 5),
    ("tiger_lake", 32, 0x680, 0x6C0, 0xDC0, 0x3FF, 5),
    ("sapphire_rapids", 32, 0x1500, 0x1600, 0x1200, 0, 0x3F),
    ("wildcat_lake", 32, 0x1500, 0x1600, 0x1200, 0, 0x3F),
    ("max", 32, 0x1500, 0x1600, 0x1200, 0, 0x3F),
];

/// All numbers that some model has for records, their filter or their top.
fn all_numbers() -> impl Iterator<Item = u32> {
    [
        0x40..0x48,
        0x60..0x68,
        0x1C8..0x1CA,
        0x680..0x6A0,
        0x6C0..0x6E0,
        0xDC0..0xDE0,
        0x1200..0x1220,
        0x14CE..0x14D0,
        0x1500..0x1520,
        0x1600..0x1620,
    ]
    .into_iter()
    .flatten()
    // IA32_SPEC_CTRL and its like stand behind the first.
    .filter(|number| !(0x48..0x60).contains(number))
}

#[test]
fn models_have_the_registers_of_their_microarchitecture_and_no_others() {
    assert_eq!(CpuModel::names().count(), MODELS.len());
    for (name, records, from, to, info, select, format) in MODELS {
        let mut bench = Bench::new(CpuModel::named(name).expect("it is built in"));
        let architectural = format == 0x3F;
        for number in all_numbers() {
            let of = |first: u32| first != 0 && (first..first + records).contains(&number);
            let there = match number {
                MSR_LBR_SELECT => select != 0,
                MSR_LASTBRANCH_TOS => !architectural,
                IA32_LBR_CTL | IA32_LBR_DEPTH => architectural,
                _ => of(from) || of(to) || of(info),
            };
            assert_eq!(bench.cpu.read_msr_quiet(number).is_some(), there, "{name}: {number:#x}");
            if number != IA32_LBR_DEPTH {
                assert_eq!(try_set(&mut bench, number, 0), there, "{name}: {number:#x}");
            }
        }
        assert_eq!(get(&bench, IA32_PERF_CAPABILITIES) & 0x3F, format, "{name}");
        for bit in 0..64 {
            assert_eq!(try_set(&mut bench, MSR_LBR_SELECT, 1 << bit), select >> bit & 1 != 0, "{name}: bit {bit}");
        }
    }
}

#[test]
fn records_take_addresses_with_their_sign_and_the_flags_of_their_format() {
    let (high, low) = (0xFFFF_8000_1234_5678, 0x7FFF_1234_5678);
    let mispredicted = 1u64 << 63;
    for (name, records, from, to, info, _, format) in MODELS {
        let mut bench = Bench::new(CpuModel::named(name).expect("it is built in"));
        let last = records - 1;
        for number in [from, to, from + last, to + last] {
            for value in [0, high, low, u64::MAX] {
                set(&mut bench, number, value);
                assert_eq!(get(&bench, number), value, "{name}: {number:#x}");
            }
            // MAX has linear addresses of 57 bits.
            assert!(!try_set(&mut bench, number, 1 << 60), "{name}: {number:#x}");
        }
        let flagged = matches!(format, 3 | 4);
        assert_eq!(try_set(&mut bench, from, low | mispredicted), flagged, "{name}");
        assert_eq!(try_set(&mut bench, from, high & !mispredicted), flagged, "{name}");
        assert!(!try_set(&mut bench, to, low | mispredicted), "{name}");
        // Without transactions bits 62:61 are of the sign.
        assert!(!try_set(&mut bench, from, low | 3 << 61), "{name}");
        if info != 0 {
            let bits: u64 =
                (0..64).filter(|bit| try_set(&mut bench, info, 1 << bit)).fold(0, |all, bit| all | 1 << bit);
            let expected = if format == 0x3F { 0xFF00_0000_0000_FFFF } else { 0xE000_0000_0000_FFFF };
            assert_eq!(bits, expected, "{name}");
        }
    }
}

#[test]
fn top_takes_the_places_that_there_are() {
    for (name, records, .., format) in MODELS.into_iter().filter(|model| model.6 != 0x3F) {
        let mut bench = Bench::new(CpuModel::named(name).expect("it is built in"));
        for value in 0..64 {
            assert_eq!(try_set(&mut bench, MSR_LASTBRANCH_TOS, value), value < u64::from(records), "{name} {format}");
        }
    }
}

/// SDM Vol. 3B 19.1.1: IA32_LBR_DEPTH takes what CPUID leaf 1Ch reports, starts as the deepest, and its writes clear.
#[test]
fn depth_takes_what_cpuid_reports_and_clears_the_records() {
    for name in ["max", "sapphire_rapids", "wildcat_lake"] {
        let mut bench = Bench::new(CpuModel::named(name).expect("it is built in"));
        let depths = bench.cpu.cpuid_leaf(0x1C, 0).eax & 0xFF;
        assert_eq!((depths, get(&bench, IA32_LBR_DEPTH)), (0xB, 32), "{name}");
        for depth in 0..100u64 {
            let reported = depth % 8 == 0 && depth != 0 && depth <= 64 && depths >> (depth / 8 - 1) & 1 != 0;
            assert_eq!(try_set(&mut bench, IA32_LBR_DEPTH, depth), reported, "{name}: {depth}");
        }
        for depth in [8u32, 16, 32, 32] {
            set(&mut bench, IA32_LBR_DEPTH, depth.into());
            for number in [IA32_LBR_0_INFO, IA32_LBR_0_FROM_IP, IA32_LBR_0_TO_IP].into_iter().flat_map(|n| n..n + 32) {
                let there = number & 0x1F < depth;
                assert_eq!(bench.cpu.read_msr_quiet(number), there.then_some(0), "{name}: {number:#x} of {depth}");
                assert_eq!(try_set(&mut bench, number, 1), there, "{name}: {number:#x} of {depth}");
            }
        }
    }
}

/// On processors with architectural records IA32_DEBUGCTL.LBR can be written, means nothing, and reads 0.
#[test]
fn debugctl_lbr_means_nothing_beside_architectural_records() {
    let mut bench = long(&[0xEB, 0x00, 0xF4]);
    become_model(&mut bench, "max");
    set(&mut bench, IA32_DEBUGCTL, 3);
    assert_eq!(get(&bench, IA32_DEBUGCTL), 2);
    set(&mut bench, IA32_DEBUGCTL, 1);
    halts(&mut bench);
    assert!(records(&bench).is_empty());
}

/// A bit that would do nothing is not there.
#[test]
fn model_without_records_refuses_to_enable_them() {
    for name in ["max,-arch_lbr", "sapphire_rapids,-arch_lbr"] {
        let mut bench = Bench::new(CpuModel::of_spec(name).expect("it can go"));
        assert!(!try_set(&mut bench, IA32_DEBUGCTL, 1) && try_set(&mut bench, IA32_DEBUGCTL, 2), "{name}");
        assert_eq!(get(&bench, IA32_PERF_CAPABILITIES) & 0x3F, 0, "{name}");
        assert_eq!(bench.cpu.cpuid_leaf(0x1C, 0), Default::default(), "{name}");
        assert!(all_numbers().all(|number| bench.cpu.read_msr_quiet(number).is_none()), "{name}");
        let again = bench.cpu.config.model.with("+arch_lbr").expect("it can come");
        let model = CpuModel::named(name.split(',').next().unwrap_or(name)).expect("it is built in");
        let told = |model: &CpuModel| model.plain_msr(IA32_PERF_CAPABILITIES).map(|msr| msr.reset);
        assert!(again.lbr().is_some() && (again.lbr(), told(&again)) == (model.lbr(), told(&model)), "{name}");
        assert_eq!(again.leaf(0x1C, 0), model.leaf(0x1C, 0), "{name}");
    }
}

/// IA32_DEBUGCTL.BTS, BTINT, BTS_OFF_OS and BTS_OFF_USR: of the debug store.
#[test]
fn branch_trace_store_can_be_enabled_only_where_cpuid_reports_the_debug_store() {
    for name in CpuModel::names() {
        let mut bench = Bench::new(CpuModel::named(name).expect("it is built in"));
        let has = bench.cpu.cpuid_leaf(1, 0).edx >> 21 & 1 != 0;
        for bit in 7..=10 {
            assert_eq!(try_set(&mut bench, IA32_DEBUGCTL, 1 << bit), has, "{name}: bit {bit}");
        }
    }
}

#[test]
fn lbr_ctl_takes_the_fields_that_cpuid_reports() {
    for name in ["max", "sapphire_rapids", "wildcat_lake"] {
        let mut bench = Bench::new(CpuModel::named(name).expect("it is built in"));
        let leaf = bench.cpu.cpuid_leaf(0x1C, 0);
        assert_eq!((leaf.ebx, leaf.ecx), (7, 7), "{name}: no event logging");
        for bit in 0..64 {
            let there = 0x7F_000F >> bit & 1u64 != 0 && bit < 32;
            assert_eq!(try_set(&mut bench, IA32_LBR_CTL, 1 << bit), there, "{name}: bit {bit}");
        }
        let vmx = bench.cpu.config.model.vmx().expect("it has VMX");
        assert_eq!(vmx.facts.lbr_ctl_mask, 0x7F_000F, "{name}");
    }
}

#[test]
fn file_whose_registers_do_not_fit_together_is_refused_by_name() {
    let text = CpuModel::named("haswell").expect("it is built in").to_ron();
    let lbr = "lbr: Some((entries: 16, from: 0x680, to: 0x6C0, info: 0x0, select: 0x3FF, format: 4))";
    assert!(text.contains(lbr), "{text}");
    let wrong = |new: &str| CpuModel::parse(&text.replace(lbr, new)).expect_err(new).to_string();
    for (new, word) in [
        ("lbr: None", "IA32_PERF_CAPABILITIES"),
        (&lbr.replace("format: 4", "format: 3"), "IA32_PERF_CAPABILITIES"),
        (&lbr.replace("format: 4", "format: 6"), "lbr.format"),
        (&lbr.replace("16", "12"), "lbr.entries"),
        (&lbr.replace("16", "64"), "lbr.entries"),
        (&lbr.replace("16", "0"), "lbr.entries"),
        (&lbr.replace("0x680", "0x681"), "lbr.from"),
        (&lbr.replace("info: 0x0", "info: 0xDC0"), "lbr.info"),
        (&lbr.replace("0x3FF", "0x7FF"), "lbr.select"),
    ] {
        assert!(wrong(new).contains(word), "{new}: {}", wrong(new));
    }
}
