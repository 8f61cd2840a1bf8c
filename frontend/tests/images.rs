//! Boots every test image through the firmware and judges it by its script, which names the machine, too.

use std::process::Command;

fn boots(name: &str) {
    boots_with(name, &[]);
}

fn boots_with(name: &str, options: &[&str]) {
    let image = test_images::TestImage::find(name).unwrap_or_else(|| panic!("no test image {name}"));
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../test-images");
    let output = Command::new(env!("CARGO_BIN_EXE_rvmx-emu"))
        .args(["--snapshot", "--debugcon", "stdio", "--script", &format!("{folder}/scripts/{name}.ron")])
        .args(options)
        .output()
        .expect("the program starts");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{options:?}: {out}\n{err}");
    let mut rest = &*out;
    for text in image.debugcon {
        let at = rest.find(text).unwrap_or_else(|| panic!("port E9 does not carry {text:?}:\n{out}"));
        rest = &rest[at + text.len()..];
    }
}

macro_rules! images {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            boots(stringify!($name));
        })*

        #[test]
        fn every_image_has_its_test() {
            let tested = [$(stringify!($name)),*];
            for image in test_images::ALL {
                assert!(tested.contains(&image.name), "{} is not run", image.name);
            }
        }
    };
}

images! {
    demo vmdemo modes paging interrupts tasks gates smp selfmod strings disk floppy keyboard serial timers counters
    vgatext
    vmxexits vmxentry vmxfail vmxfaults vmxinject vmxmtf vmxreal vmxsysenter vmxtask vmxapic vmxint vmxirq evex programs
}

/// An image that uses EPT, VPID and what else the book's processor has runs on every model that has these, and one without
/// VMX on those that have not. Each has performance counters.
#[test]
fn images_run_on_every_model() {
    for model in emu_core::model::CpuModel::names() {
        let cpu = emu_core::model::CpuModel::named(model).expect("it is built in");
        let ept = emu_core::model::Item::find("ept").is_some_and(|ept| cpu.has_item(ept));
        boots_with(if ept { "vmxmtf" } else { "modes" }, &["--cpu-model", model]);
        boots_with("counters", &["--cpu-model", model]);
    }
}
