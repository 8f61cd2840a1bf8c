//! CPU models: what is offered of real machines, and every feature and control taken away singly.

use emu_core::model::controls::Word;
use emu_core::model::features::{Feature, Register};
use emu_core::model::{CpuModel, Item};
use emu_core::msr;
use emu_core::testing::Bench;
use emu_vmx::arch::cr::Cr4;
use emu_vmx::arch::msr::*;
use emu_vmx::arch::vector;
use emu_vmx::caps::VmxCapabilities;
use emu_vmx::field::{Field, Need};
use std::collections::BTreeSet;
use std::sync::Arc;

fn models() -> impl Iterator<Item = CpuModel> {
    CpuModel::names().map(|name| CpuModel::named(name).expect("the built-in models parse"))
}

fn max() -> CpuModel {
    CpuModel::named("max").expect("the built-in models parse")
}

/// The model without an item; `None` for what cannot be taken away.
fn without(model: &CpuModel, item: Item) -> Option<CpuModel> {
    let changed = model.with(&format!("-{}", item.name()));
    assert_eq!(changed.is_err(), item.essential().is_some() || model.demands(item), "{} {}", model.name(), item.name());
    changed.ok()
}

/// What holds of every model, however it came about.
fn check(model: &CpuModel) {
    let name = model.name();
    for item in Item::all().filter(|item| model.has_item(*item)) {
        for any in item.needs() {
            let met = any.iter().any(|needed| model.has_item(*needed));
            assert!(met, "{name}: {} needs one of {:?}", item.name(), any.iter().map(|i| i.name()).collect::<Vec<_>>());
        }
    }
    // State components, by the features that use them.
    let components = model.leaf(0xD, 0).eax;
    let has = |feature| model.has(feature);
    let expected = if has(Feature::Xsave) {
        let brings = |feature, mask| if has(feature) { mask } else { 0 };
        3 | brings(Feature::Avx, 4) | brings(Feature::Avx512F, 0xE0) | brings(Feature::Pku, 0x200)
    } else {
        0
    };
    assert_eq!(components, expected, "{name}: XCR0");
    let cet = has(Feature::Xsaves) && (has(Feature::CetSs) || has(Feature::CetIbt));
    let supervisor = model.leaf(0xD, 1).ecx;
    assert_eq!(supervisor, if cet { 0x1800 } else { 0 }, "{name}: IA32_XSS");
    let components = components | supervisor;
    for component in 2..32 {
        let leaf = model.leaf(0xD, component);
        assert_eq!(components >> component & 1 != 0, leaf.eax != 0, "{name}: component {component}");
        assert!(leaf.eax == 0 || leaf.ebx + leaf.eax <= model.leaf(0xD, 0).ecx, "{name}: component {component}");
    }
    let Some(vmx) = model.vmx() else {
        assert!(model.vmx_capabilities().is_empty() && !has(Feature::Vmx), "{name}");
        return;
    };
    // The registers are those that exist, and say what the rules go by.
    for number in IA32_VMX_BASIC..=IA32_VMX_EXIT_CTLS2 {
        assert_eq!(model.vmx_capabilities().get(&number).copied(), vmx.caps.read_msr(number), "{name}: {number:x}");
    }
    let featured = max().cr4() | model.cr4();
    let fixed1 = Cr4::from_bits_retain(vmx.caps.cr4_fixed1) & featured;
    assert_eq!(fixed1, model.cr4(), "{name}: CR4_FIXED1");
    for (plain, exact) in [
        (vmx.caps.pinbased_ctls, vmx.caps.pin()),
        (vmx.caps.procbased_ctls, vmx.caps.primary()),
        (vmx.caps.exit_ctls, vmx.caps.exit()),
        (vmx.caps.entry_ctls, vmx.caps.entry()),
    ] {
        assert_eq!(exact.may_be_1(), plain.may_be_1(), "{name}: {exact:x?}");
        assert!(exact.allows(exact.adjust(0)) && plain.allows(plain.adjust(0)), "{name}: {exact:x?}");
    }
    if vmx.caps.secondary_allowed_1().bits() & 2 != 0 {
        assert!(vmx.caps.ept_vpid_cap.bits() & 1 << 6 != 0, "{name}: EPT without a walk length");
    }
}

#[test]
fn every_model_is_consistent() {
    models().for_each(|model| check(&model));
}

/// What 64-bit operating systems take for granted.
#[test]
fn every_model_has_syscall_execute_disable_and_sse2() {
    for model in models() {
        for feature in [Feature::LongMode, Feature::Syscall, Feature::Nx, Feature::Sse2, Feature::Cx16, Feature::Vmx] {
            assert!(model.has(feature), "{}: {feature:?}", model.name());
        }
    }
}

#[test]
fn the_book_s_processor_and_max_offer_all_that_their_files_say() {
    for name in ["corei5_arrandale_m520", "max"] {
        let model = CpuModel::named(name).expect("it is built in");
        let missing: Vec<_> = model.not_offered().map(Item::name).collect();
        assert!(missing.is_empty(), "{name}: {missing:?}");
        assert_eq!(model.vmx_capabilities(), model.real_capabilities(), "{name}");
        let leaves = |leaves: &mut dyn Iterator<Item = ((u32, u32), _)>| leaves.collect::<Vec<_>>();
        assert_eq!(leaves(&mut model.leaves()), leaves(&mut model.real_leaves()), "{name}");
    }
}

/// A real machine's values are offered but for what is not implemented: no bit is invented, none that is implemented is
/// dropped unless what it stands on is, and numbers are as they are.
#[test]
fn capabilities_are_the_real_ones_but_for_what_is_not_implemented() {
    let max = max();
    for model in models().filter(|model| model.name() != "max") {
        let reported: Vec<_> = model.reported().collect();
        let offered = model.vmx_capabilities();
        for item in Item::all() {
            let Item::Vmx(bit) = item else { continue };
            let (msrs, base) = bit.word.msrs();
            let real =
                msrs.iter().any(|n| model.real_capabilities().get(n).is_some_and(|v| v >> (base + bit.bit) & 1 != 0));
            let implemented = max.has_item(item) || reported.contains(&item);
            let stands = item.needs().iter().all(|any| any.iter().any(|needed| model.has_item(*needed)));
            // SMXE stands for itself; the other flags of CR4 are those of features.
            assert_eq!(model.has_item(item), real && implemented && stands, "{}: {}", model.name(), item.name());
        }
        for (number, value) in offered {
            let real = model.real_capabilities()[number];
            if *number == IA32_VMX_VMCS_ENUM {
                assert!(*value <= real, "{}: {value:x}", model.name());
                continue;
            }
            assert_eq!(value & !real, 0, "{}: {number:x} has bits that the real one has not", model.name());
            let demanded = match *number {
                IA32_VMX_PINBASED_CTLS..=IA32_VMX_ENTRY_CTLS
                | IA32_VMX_TRUE_PINBASED_CTLS..=IA32_VMX_TRUE_ENTRY_CTLS => 0xFFFF_FFFF,
                IA32_VMX_BASIC => 0x003D_1FFF_7FFF_FFFF,
                IA32_VMX_MISC => 0x0FFF_001F,
                IA32_VMX_CR0_FIXED0 | IA32_VMX_CR0_FIXED1 | IA32_VMX_CR4_FIXED0 => u64::MAX,
                _ => 0,
            };
            assert_eq!(value & demanded, real & demanded, "{}: {number:x}", model.name());
        }
    }
}

/// Instructions that need a feature, and their code: 64-bit mode, operands in registers or at [RBX].
#[rustfmt::skip]
const INSTRUCTIONS: &[(&str, &[u8])] = &[
    ("tsc", &[0x0F, 0x31]), ("msr", &[0x0F, 0x32]), ("cx8", &[0x0F, 0xC7, 0x0B]), ("cmov", &[0x0F, 0x44, 0xC1]),
    ("clflush", &[0x0F, 0xAE, 0x3B]), ("mmx", &[0x0F, 0x77]), ("fxsr", &[0x0F, 0xAE, 0x03]), ("sse", &[0x0F, 0x58, 0xC1]),
    ("sse2", &[0x66, 0x0F, 0x58, 0xC1]), ("sse3", &[0x66, 0x0F, 0x7C, 0xC1]),
    ("pclmulqdq", &[0x66, 0x0F, 0x3A, 0x44, 0xC1, 0x00]), ("monitor", &[0x0F, 0x01, 0xC8]),
    ("ssse3", &[0x66, 0x0F, 0x38, 0x00, 0xC1]), ("fma", &[0xC4, 0xE2, 0x71, 0x98, 0xC2]),
    ("cx16", &[0x48, 0x0F, 0xC7, 0x0B]), ("sse4_1", &[0x66, 0x0F, 0x38, 0x40, 0xC1]),
    ("sse4_2", &[0xF2, 0x0F, 0x38, 0xF1, 0xC1]), ("movbe", &[0x0F, 0x38, 0xF0, 0x03]), ("popcnt", &[0xF3, 0x0F, 0xB8, 0xC1]),
    ("aes", &[0x66, 0x0F, 0x38, 0xDC, 0xC1]), ("xsave", &[0x0F, 0x01, 0xD0]), ("avx", &[0xC5, 0xF4, 0x58, 0xC2]),
    ("f16c", &[0xC4, 0xE2, 0x79, 0x13, 0xC1]), ("rdrand", &[0x0F, 0xC7, 0xF0]), ("fsgsbase", &[0xF3, 0x48, 0x0F, 0xAE, 0xC0]),
    ("bmi1", &[0xC4, 0xE2, 0x70, 0xF2, 0xC2]), ("avx2", &[0xC5, 0xF5, 0xFE, 0xC2]), ("bmi2", &[0xC4, 0xE2, 0x73, 0xF5, 0xC2]),
    ("invpcid", &[0x66, 0x0F, 0x38, 0x82, 0x03]), ("avx512f", &[0x62, 0xF1, 0x74, 0x48, 0x58, 0xC2]),
    ("avx512dq", &[0x62, 0xF1, 0xF5, 0x48, 0x54, 0xC2]), ("avx512bw", &[0x62, 0xF1, 0x75, 0x48, 0xFD, 0xC2]),
    ("avx512vl", &[0x62, 0xF1, 0x74, 0x28, 0x58, 0xC2]), ("avx512cd", &[0x62, 0xF2, 0x7D, 0x48, 0x44, 0xC1]),
    ("rdseed", &[0x0F, 0xC7, 0xF8]), ("adx", &[0x66, 0x0F, 0x38, 0xF6, 0xC1]), ("smap", &[0x0F, 0x01, 0xCA]),
    ("avx512_ifma", &[0x62, 0xF2, 0xF5, 0x48, 0xB4, 0xC2]), ("clflushopt", &[0x66, 0x0F, 0xAE, 0x3B]),
    ("clwb", &[0x66, 0x0F, 0xAE, 0x33]), ("sha", &[0x0F, 0x38, 0xC8, 0xC1]), ("pku", &[0x0F, 0x01, 0xEE]),
    ("avx512_vbmi", &[0x62, 0xF2, 0x75, 0x48, 0x8D, 0xC2]), ("avx512_vbmi2", &[0x62, 0xF2, 0xF5, 0x48, 0x70, 0xC2]),
    ("waitpkg", &[0xF3, 0x0F, 0xAE, 0xF3]), ("gfni", &[0x66, 0x0F, 0x38, 0xCF, 0xC1]),
    ("vaes", &[0xC4, 0xE2, 0x75, 0xDC, 0xC2]), ("vpclmulqdq", &[0xC4, 0xE3, 0x75, 0x44, 0xC2, 0x00]),
    ("avx512_vnni", &[0x62, 0xF2, 0x75, 0x48, 0x50, 0xC2]), ("avx512_bitalg", &[0x62, 0xF2, 0x7D, 0x48, 0x54, 0xC1]),
    ("avx512_vpopcntdq", &[0x62, 0xF2, 0x7D, 0x48, 0x55, 0xC1]), ("rdpid", &[0xF3, 0x0F, 0xC7, 0xF8]),
    ("movdiri", &[0x0F, 0x38, 0xF9, 0x03]), ("movdir64b", &[0x66, 0x0F, 0x38, 0xF8, 0x03]), ("serialize", &[0x0F, 0x01, 0xE8]),
    ("xsaveopt", &[0x0F, 0xAE, 0x33]), ("xsavec", &[0x0F, 0xC7, 0x23]), ("xsaves", &[0x0F, 0xC7, 0x2B]),
    ("lahf_lm", &[0x9F]), ("rdtscp", &[0x0F, 0x01, 0xF9]), ("syscall", &[0x0F, 0x05]), ("sep", &[0x0F, 0x34]),
];

/// Runs one instruction in 64-bit mode with all of CR4 and XCR0 that the model has; whether it is #UD.
fn is_undefined(model: &Arc<CpuModel>, code: &[u8]) -> bool {
    let mut bench = Bench::long_mode(code);
    bench.cpu.config.model = Arc::clone(model);
    bench.cpu.gpr[3] = 0x9000;
    bench.cpu.gpr[1] = 0;
    let cr4 = model.cr4() & (Cr4::OSXSAVE | Cr4::FSGSBASE | Cr4::PKE | Cr4::SMAP | Cr4::OSFXSR | Cr4::OSXMMEXCPT);
    bench.cpu.sys.cr4 = Cr4::PAE | cr4;
    bench.cpu.sys.xcr0 = u64::from(model.leaf(0xD, 0).eax.max(1));
    bench.cpu.refresh();
    bench.step().is_err() && bench.cpu.scratch.fault.vector == vector::UD
}

#[test]
fn every_instruction_of_the_table_is_undefined_just_without_its_feature() {
    for model in models() {
        let has = Arc::new(model.clone());
        for (name, code) in INSTRUCTIONS {
            let item = Item::find(name).expect("the feature exists");
            let there = model.has_item(item);
            assert_eq!(is_undefined(&has, code), !there, "{}: {name}", model.name());
            // Without 64-bit mode there is no such bench.
            let changed = without(&model, item).expect("it is a feature that can go");
            if changed.has(Feature::LongMode) {
                assert!(is_undefined(&Arc::new(changed), code), "{},-{name}", model.name());
            }
        }
    }
}

/// The registers of CPUID, read as CPUID gives them.
fn cpuid_shows(bench: &Bench, item: Item) -> bool {
    let Item::Cpuid(bit) = item else { return false };
    let result = bench.cpu.cpuid_leaf(bit.leaf, bit.subleaf);
    let register = match bit.register {
        Register::Eax => result.eax,
        Register::Ebx => result.ebx,
        Register::Ecx => result.ecx,
        Register::Edx => result.edx,
    };
    register >> bit.bit & 1 != 0
}

#[test]
fn every_item_taken_away_singly_takes_what_needs_it_and_no_more() {
    for model in models() {
        let before: BTreeSet<&str> = Item::all().filter(|item| model.has_item(*item)).map(Item::name).collect();
        for item in Item::all().filter(|item| model.has_item(*item)) {
            let Some(changed) = without(&model, item) else { continue };
            check(&changed);
            let after: BTreeSet<&str> = Item::all().filter(|item| changed.has_item(*item)).map(Item::name).collect();
            assert!(!after.contains(item.name()) && after.is_subset(&before), "{}", changed.name());
            // What went with it needs, directly or not, something that went.
            for lost in before.difference(&after).filter(|lost| **lost != item.name()) {
                let lost = Item::find(lost).expect("it is a name");
                let unmet = |any: &Vec<Item>| any.iter().all(|needed| !after.contains(needed.name()));
                assert!(lost.needs().iter().any(unmet), "{}: {} went without need", changed.name(), lost.name());
            }
        }
    }
}

/// CPUID, RDMSR, MOV to CR4 and the settings of VM entry of a processor whose model lacks an item.
#[test]
fn every_item_taken_away_is_gone_from_cpuid_msrs_cr4_and_vm_entry() {
    for model in models() {
        let registers: Vec<u32> = msr::of_model(&model).map(|(number, _)| number).collect();
        for item in Item::all().filter(|item| model.has_item(*item)) {
            let Some(changed) = without(&model, item) else { continue };
            let mut bench = Bench::new(changed.clone());
            assert!(!cpuid_shows(&bench, item), "{}", changed.name());
            let here: BTreeSet<u32> = msr::of_model(&changed).map(|(number, _)| number).collect();
            for number in registers.iter().filter(|number| !here.contains(number)) {
                assert!(bench.cpu.read_msr(*number).is_err(), "{}: {number:x}", changed.name());
                assert_eq!(bench.cpu.scratch.fault.vector, vector::GP, "{}: {number:x}", changed.name());
            }
            for flag in (model.cr4() - changed.cr4()).iter() {
                let value = bench.cpu.sys.cr4 | flag;
                let refused = bench.with_env(|cpu, env| cpu.write_cr4(env, value.bits()).is_err());
                assert!(refused, "{}: {flag:?}", changed.name());
            }
            if let (Item::Vmx(bit), Some(vmx)) = (item, changed.vmx()) {
                let (msrs, base) = bit.word.msrs();
                for number in msrs {
                    let value = vmx.caps.read_msr(*number).unwrap_or(0);
                    assert_eq!(value >> (base + bit.bit) & 1, 0, "{}: {number:x}", changed.name());
                    assert_eq!(bench.cpu.read_msr(*number).ok(), vmx.caps.read_msr(*number), "{}", changed.name());
                }
                assert!(!may_be_1(&vmx.caps, bit.word, bit.bit), "{}: VM entry allows it", changed.name());
            }
        }
    }
}

/// Whether VM entry takes a control as 1; other bits are no controls.
fn may_be_1(caps: &VmxCapabilities, word: Word, bit: u8) -> bool {
    let allowed = match word {
        Word::Pin => caps.pin_allowed_1().bits().into(),
        Word::Primary => caps.primary_allowed_1().bits().into(),
        Word::Secondary => caps.secondary_allowed_1().bits().into(),
        Word::Tertiary => caps.tertiary_allowed_1().bits(),
        Word::Exit => caps.exit_allowed_1().bits().into(),
        Word::SecondaryExit => caps.secondary_exit_allowed_1().bits(),
        Word::Entry => caps.entry_allowed_1().bits().into(),
        Word::Functions => caps.vm_functions_allowed_1().bits(),
        Word::EptVpid | Word::Misc | Word::Basic | Word::Cr4 => 0,
    };
    allowed >> bit & 1 != 0
}

#[test]
fn whatever_went_can_be_added_again() {
    let max = max();
    for item in Item::all().filter(|item| max.has_item(*item)) {
        let Some(changed) = without(&max, item) else { continue };
        let lost: Vec<Item> = Item::all().filter(|item| max.has_item(*item) && !changed.has_item(*item)).collect();
        if lost.iter().any(|item| item.name() == "vmx") {
            continue;
        }
        let added = lost.iter().map(|item| format!("+{}", item.name())).collect::<Vec<_>>().join(",");
        let again = changed.with(&added).unwrap_or_else(|error| panic!("{},{added}: {error}", changed.name()));
        check(&again);
        assert_eq!(again.fingerprint(), max.fingerprint(), "{}", again.name());
    }
}

#[test]
fn mixtures_that_make_no_sense_are_refused_with_the_reason() {
    for (spec, reason) in [
        ("penryn,+ept_ad", "needs ept, which the model lacks; add +ept"),
        ("haswell,-xsave,+avx", "needs xsave, which is taken away"),
        ("haswell,-ept,+unrestricted_guest", "needs ept, which is taken away"),
        ("haswell,-vmx,+ept", "needs secondary_controls, which goes with vmx, which is taken away"),
        ("penryn,+ept,+pml", "needs ept_ad, which the model lacks; add +ept_ad"),
        ("corei5_arrandale_m520,-ept_uncacheable,+pml", "needs ept_ad, which the model lacks; add +ept_ad"),
        ("haswell,-vipd", "the nearest name is \"vpid\""),
        ("max,+vpid,-vpid", "it is both added and taken away"),
        ("wildcat_lake,+fred", "flexible return and event delivery is not implemented"),
        ("max,+avx_vnni_int8", "is not implemented"),
        ("max,-fpu", "every processor since the 80486 has one"),
        ("max,-cr3_load_exiting", "VM entry demands it"),
        ("max,-vmx,+ept", "needs secondary_controls"),
        ("tiger_lake,-long_mode,+pcid", "needs long_mode, which is taken away"),
        ("wildcat_lake,-cet_ss,+ept_shadow_stack", "needs cet_ss, which is taken away"),
        ("sandy_bridge,+vmcs_shadwing", "the nearest name is \"vmcs_shadowing\""),
        ("max,+", "a name is missing behind a sign"),
        ("max,,-pml", "a name is missing before or behind a comma"),
        ("max,pml", "write +pml or -pml"),
        ("max,+pml=1", "it is there or not; write +pml or -pml"),
        ("max,phys-bits=12", "give 32 to 52"),
        ("tigerlake,-pml", "no CPU model is called \"tigerlake\""),
    ] {
        let error = CpuModel::of_spec(spec).map(|model| model.name().to_owned()).expect_err(spec).to_string();
        assert!(error.contains(reason), "{spec}: {error}");
    }
}

#[test]
fn a_model_written_as_ron_is_read_as_the_same_model() {
    for model in models() {
        let again = CpuModel::parse(&model.to_ron()).unwrap_or_else(|error| panic!("{}: {error}", model.name()));
        assert_eq!(again.fingerprint(), model.fingerprint(), "{}", model.name());
    }
}

#[test]
fn physical_address_width_is_changed_alone_and_in_every_model() {
    for model in models() {
        for bits in [32, 36, 40, 52] {
            let changed = model.with(&format!("phys-bits={bits}")).expect("every model has a width");
            let name = changed.name().to_owned();
            check(&changed);
            assert_eq!(changed.physical_bits(), bits, "{name}");
            assert!(changed.vmx().is_none_or(|vmx| vmx.facts.maxphyaddr == bits), "{name}");
            let (was, is) = (model.leaf(0x8000_0008, 0), changed.leaf(0x8000_0008, 0));
            assert_eq!(
                (is.eax & !0xFF, is.ebx, is.ecx, is.edx),
                (was.eax & !0xFF, was.ebx, was.ecx, was.edx),
                "{name}"
            );
            assert!(Item::all().all(|item| changed.has_item(item) == model.has_item(item)), "{name}");
            let back = changed.with(&format!("phys-bits={}", model.physical_bits())).expect("it was so before");
            assert_eq!(back.fingerprint(), model.fingerprint(), "{name}");
        }
    }
    assert_eq!(max().with("-la57,phys-bits=46,-pml").expect("all three").physical_bits(), 46);
    assert!(CpuModel::spec_has_physical_bits("max,-la57, phys-bits=46"));
    assert!(!CpuModel::spec_has_physical_bits("phys-bits=46.ron,-la57"));
}

/// Controls that are in the SDM (Vol. 3C of June 2026, Tables 27-8, 27-15 and 27-17) and that nothing here knows but by name.
#[rustfmt::skip]
const UNKNOWN: &[(Word, u8, &str)] = &[
    (Word::Tertiary, 5, "SEAM guest-physical address width"), (Word::Tertiary, 8, "APIC-timer virtualization"),
    (Word::Tertiary, 9, "Enable PBNDKB"), (Word::Tertiary, 12, "PEBS uses guest-physical addresses"),
    (Word::SecondaryExit, 0, "Save FRED"), (Word::SecondaryExit, 1, "Load FRED"),
    (Word::Entry, 23, "Load FRED"), (Word::Entry, 25, "Allow SEAM-guest telemetry"),
];

/// Controls of which docs/conformance.md says what the SDM leaves to the processor.
#[rustfmt::skip]
const CHOSEN: &[(Word, u8)] =
    &[(Word::Secondary, 23), (Word::SecondaryExit, 2), (Word::SecondaryExit, 3), (Word::Entry, 24)];

/// The control that a field of the VMCS comes with.
fn control_of(need: Need) -> Option<(Word, u8)> {
    let bit = |bits: u64| bits.trailing_zeros() as u8;
    Some(match need {
        Need::Pin(bits) => (Word::Pin, bit(bits.bits().into())),
        Need::Primary(bits) => (Word::Primary, bit(bits.bits().into())),
        Need::Secondary(bits) => (Word::Secondary, bit(bits.bits().into())),
        Need::Tertiary(bits) => (Word::Tertiary, bit(bits.bits())),
        Need::Exit(bits) => (Word::Exit, bit(bits.bits().into())),
        Need::SecondaryExit(bits) => (Word::SecondaryExit, bit(bits.bits())),
        Need::Entry(bits) => (Word::Entry, bit(bits.bits().into())),
        Need::VmFunction(bits) => (Word::Functions, bit(bits.bits())),
        Need::Never => return None,
    })
}

/// The fields of the VMCS that exist where a control may be 1.
fn fields_of(word: Word, bit: u8) -> Vec<&'static str> {
    let comes = |field: &&Field| field.needs().iter().any(|&need| control_of(need) == Some((word, bit)));
    Field::ALL.iter().filter(comes).map(|field| field.name()).collect()
}

/// docs/vmx-controls.md: every control of VMX, what is done with it, and which models offer it.
fn controls_document() -> String {
    use std::fmt::Write;
    let models: Vec<CpuModel> = models().collect();
    let max = max();
    let mut text = String::from(
        "# VMX controls\n\nMade from the CPU models and the names of controls; `UPDATE_GOLDEN=1 cargo test -p emu-core --test \
         models controls_document` rewrites this file, and `cargo test` holds it against the models. A model offers what its \
         real processor has and what is implemented. `--cpu-model` takes the names of the third column \
         ([cpu-models.md](cpu-models.md)). The fourth says what there is of a control:\n\n\
         - **emulated**: it does what the SDM says, and `max` offers it. Its rules of VM entry are in \
         [vmx-rules.md](vmx-rules.md).\n\
         - **reported**: the default model reports it, since its real processor does; it may be 1 and does nothing.\n\
         - **rules**: its fields, its rules of VM entry and its names are known, to `vmcs-lint` and the debugger too, and no \
         model offers it: VM entry refuses it.\n\
         - **name**: it is known that it exists; VM entry refuses it.\n\n\
         The last column has the fields of the VMCS that exist where the control (or another that has the same field) may \
         be 1.\n",
    );
    let mut marked = false;
    for word in
        Word::ALL.into_iter().filter(|word| !matches!(word, Word::EptVpid | Word::Misc | Word::Basic | Word::Cr4))
    {
        write!(text, "\n## {}\n\n| bit | control | name | here | `max` |", word.title()).expect("a String takes it");
        let others = || models.iter().filter(|model| model.name() != "max");
        others().for_each(|model| text.push_str(&format!(" `{}` |", model.name())));
        text.push_str(" fields |\n|--:|---|---|---|---|");
        others().for_each(|_| text.push_str("---|"));
        text.push_str("---|\n");
        let known = Item::all().filter_map(|item| match item {
            Item::Vmx(bit) if bit.word == word => Some((bit.bit, item.words(), Some(item))),
            _ => None,
        });
        let unknown = UNKNOWN.iter().filter(|row| row.0 == word).map(|row| (row.1, row.2, None));
        let mut rows: Vec<_> = known.chain(unknown).collect();
        rows.sort_by_key(|row| row.0);
        for pair in rows.windows(2) {
            assert!(pair[0].0 != pair[1].0, "{word:?} {}: it is known by now", pair[0].0);
        }
        for (bit, words, item) in rows {
            let name = item.map_or("–".to_string(), |item| format!("`{}`", item.name()));
            let here = match item {
                None => "name",
                Some(item) if max.has_item(item) => "emulated",
                Some(item) if models.iter().any(|model| model.reported().any(|other| other == item)) => "reported",
                Some(_) => "rules",
            };
            let chosen = CHOSEN.contains(&(word, bit));
            assert!(!chosen || here == "emulated", "{word:?} {bit}");
            marked |= chosen;
            let mark = if chosen { " ¹" } else { "" };
            write!(text, "| {bit} | {words} | {name} | {here}{mark} |").expect("a String takes it");
            for model in models.iter().filter(|model| model.name() == "max").chain(others()) {
                let offers = item.is_some_and(|item| model.has_item(item));
                let reported = item.is_some_and(|item| model.reported().any(|other| other == item));
                text.push_str(match (offers, reported) {
                    (_, true) => " *reported* |",
                    (true, _) => " yes |",
                    _ => " – |",
                });
            }
            text.push_str(&format!(" {} |\n", fields_of(word, bit).join(", ")));
        }
    }
    assert!(marked, "the footnote is of nothing");
    text.push_str(
        "\n¹ [conformance.md](conformance.md#what-the-sdm-leaves-open) has what the SDM leaves to the processor here.\n",
    );
    text
}

#[test]
fn controls_document_equals_the_models() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/vmx-controls.md");
    let expected = controls_document();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &expected).unwrap();
    }
    let found = std::fs::read_to_string(path).expect("docs/vmx-controls.md; UPDATE_GOLDEN=1 makes it");
    assert!(found == expected, "docs/vmx-controls.md differs from the models; UPDATE_GOLDEN=1 rewrites it");
}

/// SDM Vol. 3C 25.2, "Format of the VMCS Region": software allocates as many bytes as IA32_VMX_BASIC says, and the processor uses
/// no others.
#[test]
fn vmcs_of_every_model_fits_into_the_region_that_it_reports() {
    let room = |model: &CpuModel| {
        let vmx = model.vmx().expect("VMX");
        let (size, room) = (vmx.layout.size(), usize::from(vmx.caps.basic.region_size()));
        assert!(size <= room && room <= 4096, "{}: {size} bytes in {room}", model.name());
        room
    };
    for model in models() {
        room(&model);
    }
    // More controls have more fields: the region grows if it has to.
    let haswell = CpuModel::named("haswell").expect("a model");
    let mut all = haswell.clone();
    for item in Item::all() {
        if let Ok(more) = all.with(&format!("+{}", item.name())) {
            all = more;
        }
    }
    assert!(all.vmx().expect("VMX").fields.iter().count() > haswell.vmx().expect("VMX").fields.iter().count() + 20);
    assert!(room(&all) >= room(&haswell));
}
