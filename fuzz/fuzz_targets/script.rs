//! Scripts.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rvmx_emu::script;
use std::path::Path;

fuzz_target!(|text: &str| {
    if let Ok(script) = script::parse(Path::new("script.ron"), text) {
        for step in &script.steps {
            let again = script::parse(Path::new("script.ron"), &format!("Script(steps: [{step}])"));
            assert_eq!(again.expect("a step shown is a step").steps, [step.clone()]);
        }
    }
});
