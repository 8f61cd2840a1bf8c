//! The models of real machines against the dumps that they are made from, and dumps as models of one's own.

use rvmx_emu::models::{self, ModelArgs};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn dump(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cpu_dumps").join(name)
}

fn dumps() -> Vec<String> {
    let folder = std::fs::read_dir(dump("")).expect("the folder is there");
    let mut names: Vec<String> =
        folder.map(|entry| entry.expect("it is read").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn every_model_of_a_dump_has_the_dump_s_leaves_and_capability_msrs() {
    let names = dumps();
    assert_eq!(names.len(), 8, "{names:?}");
    for file in names {
        let path = dump(&file);
        let read = models::find("test", path.to_str().expect("it is text")).expect("the dump is sound");
        let built_in = models::find("test", file.trim_end_matches(".txt")).expect("it is built in");
        let mut expected = built_in.real_capabilities().clone();
        // What no dump has is marked as derived.
        expected.retain(|index, _| !built_in.derived().contains_key(index));
        let mut found = read.real_capabilities().clone();
        found.retain(|index, _| !read.derived().contains_key(index));
        assert_eq!(found, expected, "{file}");
        let said = |model: &emu_core::model::CpuModel| -> BTreeMap<_, _> {
            model
                .real_leaves()
                .filter(|leaf| leaf.1 != Default::default())
                .map(|(place, r)| (place, (r.eax, r.ebx, r.ecx, r.edx)))
                .collect()
        };
        assert_eq!(said(&read), said(&built_in), "{file}");
        // What is offered follows from them.
        for item in emu_core::model::Item::all().filter(|item| matches!(item, emu_core::model::Item::Cpuid(_))) {
            assert_eq!(read.has_item(item), built_in.has_item(item), "{file}: {}", item.name());
        }
    }
}

#[test]
fn imported_dump_is_a_model_file_that_changes_can_be_made_to() {
    let folder = tempfile::tempdir().expect("there is a folder");
    let import = ModelArgs { import: Some(dump("haswell.txt")), ..ModelArgs::default() };
    let file = folder.path().join("mine.ron");
    std::fs::write(&file, models::run(&import).expect("the dump is sound")).expect("it is written");
    let name = file.to_str().expect("it is text");
    let mine = models::find("test", name).expect("the file is sound");
    let of_dump = models::find("test", dump("haswell.txt").to_str().expect("it is text")).expect("the dump is sound");
    assert_eq!(mine.fingerprint(), of_dump.fingerprint());
    let changed = models::find("test", &format!("{name},-ept")).expect("EPT can go");
    assert!(changed.vmx().is_some_and(|vmx| vmx.caps.procbased_ctls2.may_be_1() & 2 == 0));
    std::fs::write(&file, "Model(\n    name: 5,\n)").expect("it is written");
    let error = models::find("test", name).map(|_| ()).expect_err("a name is text").to_string();
    assert!(error.contains("mine.ron:2:11: "), "{error}");
}

#[test]
fn cpu_models_tells_features_controls_and_differences_in_words_and_json() {
    let run = |args: ModelArgs| models::run(&args).expect("the models are sound");
    let named = |name: &str| ModelArgs { name: Some(name.to_owned()), ..ModelArgs::default() };
    let text = run(named("skylake_sp"));
    for part in [
        "# from CPUID and MSRs 480h to 490h: InstLatx64",
        "\nFeatures:\n",
        "  avx512f                            AVX-512 foundation\n",
        "\nSecondary processor-based VM-execution controls:\n",
        "  pml                                Enable PML\n",
        "\nNot offered, though the real processor has it:\n",
        "  intel_pt                           Intel processor trace\n",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let json: serde_json::Value =
        serde_json::from_str(&run(ModelArgs { json: true, ..named("haswell,-vpid") })).expect("JSON");
    assert_eq!(json["name"], "haswell,-vpid");
    let controls: Vec<&str> =
        json["controls"].as_array().expect("a list").iter().filter_map(|c| c["name"].as_str()).collect();
    assert!(controls.contains(&"ept") && !controls.contains(&"vpid") && !controls.contains(&"invvpid"), "{controls:?}");
    let diff = |a: &str, b: &str| ModelArgs { diff: Some(vec![a.to_owned(), b.to_owned()]), ..ModelArgs::default() };
    let text = run(diff("haswell", "haswell,-ept_ad"));
    assert_eq!(
        text,
        "haswell, not haswell,-ept_ad:\n  ept_ad                             accessed and dirty flags of EPT\n\n\
         MSR        name                            after power-on\n\
         < 48C      IA32_VMX_EPT_VPID_CAP           00000F01:06334141\n\
         > 48C      IA32_VMX_EPT_VPID_CAP           00000F01:06134141\n"
    );
    assert_eq!(run(diff("max", "max")), "max and max are the same\n");
    let json: serde_json::Value =
        serde_json::from_str(&run(ModelArgs { json: true, ..diff("haswell", "penryn") })).expect("JSON");
    assert!(json["only_a"].as_array().is_some_and(|list| !list.is_empty()), "{json}");
}
