//! What a driver may expect of a disk, a floppy, a keyboard or a line does not depend on how fast its processor is.

use std::process::Command;

/// Boots an image on a processor of this speed, and judges it by its script.
fn passes_at(name: &str, ips: u64) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../test-images");
    let output = Command::new(env!("CARGO_BIN_EXE_rvmx-emu"))
        .args(["--headless", "--snapshot", "--debugcon", "stdio", "--ips", &ips.to_string()])
        .args(["--script", &format!("{folder}/scripts/{name}.ron"), &format!("{folder}/images/{name}.img")])
        .output()
        .expect("the program starts");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{name} at {ips} cycles a second:\n{out}\n{err}");
}

macro_rules! at_any_speed {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            for ips in [1_000_000, 10_000_000, 300_000_000, 4_000_000_000] {
                passes_at(stringify!($name), ips);
            }
        })*
    };
}

at_any_speed! { disk floppy keyboard serial }
