//! A run is the same whether or not it is compiled: every test image, judged by its script, ends after the same number of
//! instructions and cycles in the same state.
#![cfg(all(feature = "jit", any(target_arch = "x86_64", target_arch = "aarch64"), target_os = "linux"))]

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a run of an image's script has come to.
fn outcome(image: &test_images::TestImage, tier: &str, clock: &str) -> String {
    let (name, folder) = (image.name, concat!(env!("CARGO_MANIFEST_DIR"), "/../test-images"));
    let output = Command::new(env!("CARGO_BIN_EXE_rvmx-emu"))
        .args([
            "--headless",
            "--snapshot",
            "--debugcon",
            "none",
            "--stats",
            "--cpus",
            &image.cpus.to_string(),
            tier,
            "--clock",
            clock,
        ])
        .args(if matches!(name, "evex" | "programs") { &["--cpu-model", "max"][..] } else { &[] })
        .args(["--script", &format!("{folder}/scripts/{name}.ron"), &format!("{folder}/images/{name}.img")])
        .output()
        .expect("the program starts");
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{name} {tier} {clock}: {err}");
    let line = err.lines().find(|line| line.starts_with('{')).expect("--stats prints a line");
    let counters = ["\"instructions\":", "\"cycles\":", "\"state_hash\":"].map(|field| {
        let start = line.find(field).expect("the field is there");
        line[start..].split(',').next().unwrap_or_default().trim_end_matches('}').to_owned()
    });
    counters.join(" ")
}

#[test]
fn every_image_ends_in_the_same_state_in_both_tiers() {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let work = || {
            while let Some(image) = test_images::ALL.get(next.fetch_add(1, Ordering::Relaxed)) {
                for clock in ["ips", "model"] {
                    let interpreted = outcome(image, "--no-jit", clock);
                    // At once, and as late as it is worth it.
                    for tier in ["--jit=1", "--jit"] {
                        assert_eq!(interpreted, outcome(image, tier, clock), "{} {tier} {clock}", image.name);
                    }
                }
            }
        };
        let threads: Vec<_> = (0..2).map(|_| scope.spawn(work)).collect();
        threads.into_iter().for_each(|thread| thread.join().expect("both threads find them equal"));
    });
}

#[test]
fn images_with_caches_and_branch_prediction_end_in_the_same_state_whoever_compiles() {
    for name in ["vmxexits", "smp", "paging"] {
        let image = test_images::TestImage::find(name).expect("the image exists");
        for clock in ["model,caches", "model,branches", "model,caches,branches"] {
            assert_eq!(outcome(image, "--no-jit", clock), outcome(image, "--jit=1", clock), "{name} {clock}");
        }
    }
}
