//! Options of a run that the debugger has no use for, whether the command line or a configuration gives them.

use crate::cli::{RunArgs, RunConfig};
use crate::error::InputError;

/// An option that is not taken.
#[derive(Debug)]
struct Refused {
    /// As clap names it, and as a configuration's `run` does.
    name: &'static str,
    given: fn(&RunArgs) -> bool,
    remedy: &'static str,
}

const REFUSED: [Refused; 13] = [
    Refused {
        name: "script",
        given: |args| args.script.is_some(),
        remedy: "give the debugger's commands with -c or -x",
    },
    Refused { name: "record", given: |args| args.record.is_some(), remedy: "leave it out" },
    Refused { name: "replay", given: |args| args.replay.is_some(), remedy: "leave it out" },
    Refused {
        name: "trace",
        given: |args| args.trace.is_some(),
        remedy: "print instructions with the commands trace and last",
    },
    Refused {
        name: "vmcs_dump",
        given: |args| args.vmcs_dump.is_some(),
        remedy: "see the VMCS with vmcs and vmentry why",
    },
    Refused {
        name: "max_instructions",
        given: |args| args.max_instructions.is_some(),
        remedy: "give --max-time, or stop with sb and sba",
    },
    Refused {
        name: "realtime",
        given: |args| args.realtime.is_some(),
        remedy: "leave it out: guest time goes as fast as the host can",
    },
    Refused { name: "wall_time", given: |args| args.wall_time.is_some(), remedy: "give --max-time" },
    Refused { name: "dump_config", given: |args| args.dump_config, remedy: "give it without the debugger" },
    Refused {
        name: "dump_state",
        given: |args| args.dump_state.is_some(),
        remedy: "see the state with r, sreg, creg, info exceptions, vmcs and screen",
    },
    Refused {
        name: "screen_dump",
        given: |args| args.screen_dump.is_some(),
        remedy: "see the text screen with the command screen",
    },
    Refused {
        name: "screenshot",
        given: |args| args.screenshot.is_some(),
        remedy: "write the picture with the command screen FILE.png",
    },
    Refused { name: "stats", given: |args| args.stats, remedy: "see the figures with ptime, hash, vmx and exits stat" },
];

/// The options that the debugger's help does not show, as clap names them.
pub fn not_taken() -> impl Iterator<Item = &'static str> {
    REFUSED.iter().map(|refused| refused.name)
}

/// Refuses what the command line gives and the debugger does not take.
pub fn check(args: &RunArgs) -> Result<(), InputError> {
    let given = REFUSED.iter().find(|refused| (refused.given)(args));
    given.map_or(Ok(()), |Refused { name, remedy, .. }| {
        let option = format!("--{}", name.replace('_', "-"));
        Err(InputError::new(option, "the debugger does not take it").remedy(*remedy))
    })
}

/// What a run's settings have of it. Those that are not in the list hold in the debugger, too, or are for the command line
/// alone.
fn configured(run: &RunConfig) -> Vec<&'static str> {
    let RunConfig {
        max_instructions,
        max_time: _,
        wall_time,
        media: _,
        restore: _,
        script,
        record: _,
        replay: _,
        screen_dump,
        screenshot,
        dump_state,
        trace,
        vmcs_dump,
        stats,
        gdb: _,
        gdb_no_wait: _,
        log: _,
        log_file: _,
    } = run;
    let fields = [
        ("max_instructions", max_instructions.is_some()),
        ("wall_time", wall_time.is_some()),
        ("script", script.is_some()),
        ("screen_dump", screen_dump.is_some()),
        ("screenshot", screenshot.is_some()),
        ("dump_state", dump_state.is_some()),
        ("trace", trace.is_some()),
        ("vmcs_dump", vmcs_dump.is_some()),
        ("stats", *stats),
    ];
    fields.into_iter().filter(|(_, is_there)| *is_there).map(|(name, _)| name).collect()
}

/// Refuses what the configuration says of the run and the debugger does not take. The command line gives none of it.
pub fn check_configured(args: &RunArgs, run: &RunConfig) -> Result<(), InputError> {
    let configured = configured(run);
    let refused = REFUSED.iter().find(|refused| configured.contains(&refused.name));
    let (Some(Refused { name, remedy, .. }), Some(config)) = (refused, &args.config) else { return Ok(()) };
    Err(InputError::file(config, "the debugger does not take it")
        .field(format!("run: {name}"))
        .remedy(format!("take it out for the debugger; {remedy}")))
}
