//! Boots every test image through the firmware and judges it by its script, which names the machine, too.

use std::process::Command;

fn boots(name: &str) {
    let image = test_images::TestImage::find(name).unwrap_or_else(|| panic!("no test image {name}"));
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../test-images");
    let output = Command::new(env!("CARGO_BIN_EXE_rvmx-emu"))
        .args(["--snapshot", "--debugcon", "stdio", "--script", &format!("{folder}/scripts/{name}.ron")])
        .output()
        .expect("the program starts");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{out}\n{err}");
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
    demo modes paging interrupts tasks gates smp selfmod strings disk floppy keyboard serial timers vgatext
    vmxexits vmxentry vmxfail vmxfaults vmxinject vmxmtf vmxreal vmxsysenter vmxtask vmxapic vmxint vmxirq evex programs
}
