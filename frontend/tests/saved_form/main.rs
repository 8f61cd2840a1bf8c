//! The form of what is saved, type by type and field by field, stands in `saved_form.txt` under the version of snapshot
//! files that it belongs to: no change of it goes without a new version.

mod form;

use emu_devices::snapshot::{Configuration, PcState};
use emu_vmx::field::Field;
use form::Forms;
use rvmx_emu::snapshot_file::VERSION;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/saved_form/saved_form.txt");

/// Everything that is saved: a line for each type, and the fields of a VMCS.
fn saved() -> String {
    let mut forms = Forms::default();
    forms.length("Vmcs", Field::ALL.len());
    forms.look_at::<Configuration>().unwrap_or_else(|refused| panic!("{refused}"));
    forms.look_at::<PcState>().unwrap_or_else(|refused| panic!("{refused}"));
    let fields: Vec<_> = Field::ALL.iter().map(|field| format!("{field:?}")).collect();
    let lines = forms.lines().into_iter().chain([format!("values of a VMCS: {}", fields.join(" "))]);
    lines.map(|line| line + "\n").collect()
}

#[test]
fn saved_form_changes_with_the_version_of_snapshot_files_alone() {
    let form = saved();
    let golden = std::fs::read_to_string(GOLDEN).unwrap_or_default();
    let (version, recorded) = golden.split_once('\n').unwrap_or_default();
    let version = version.strip_prefix("version ").and_then(|number| number.parse::<u32>().ok());
    if form != recorded {
        let changed: Vec<_> = form.lines().filter(|line| !recorded.lines().any(|other| other == *line)).collect();
        assert_ne!(
            version,
            Some(VERSION),
            "the saved form has changed: raise VERSION in frontend/src/snapshot_file.rs, then run this with \
             UPDATE_GOLDEN=1; new or changed: {changed:#?}"
        );
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(GOLDEN, format!("version {VERSION}\n{form}")).expect("the file can be written");
    } else {
        assert_eq!(version, Some(VERSION), "the version was raised: run this with UPDATE_GOLDEN=1");
        assert!(form == recorded, "run this with UPDATE_GOLDEN=1");
    }
}

#[test]
fn form_tells_structs_enums_lists_and_what_is_in_them() {
    #[derive(serde::Deserialize)]
    #[expect(dead_code)]
    struct Outer {
        list: Vec<Option<Inner>>,
        map: std::collections::BTreeMap<u8, (u16, bool)>,
        array: [u32; 3],
    }
    #[derive(serde::Deserialize)]
    #[expect(dead_code)]
    enum Inner {
        Nothing,
        Number(u64),
        Named { again: Box<Option<Inner>> },
    }
    let mut forms = Forms::default();
    forms.look_at::<Outer>().unwrap_or_else(|refused| panic!("{refused}"));
    let expected = [
        "Inner = Nothing | Number(u64) | Named { again: ?Inner }",
        "Outer { list: [?Inner], map: {u8: (u16, bool)}, array: [u32; 3] }",
    ];
    assert_eq!(forms.lines(), expected);
}
