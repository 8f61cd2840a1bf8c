//! `vmexit`: what a VM exit recorded, saved and loaded.

use super::answer::Answer;
use super::cmd_vmentry::{Walk, moment_of, next_steps};
use super::entry::Step;
use super::exit_steps;
use super::session::{CommandError, Outcome, Session};
use super::vmxlog::DETAILED;
use emu_vmx::field::Field;
use serde_json::json;
use std::fmt::Write;

const USAGE: &str = "vmexit [step [N|load]|reset]";

/// The steps of the last VM exit, and its first line.
fn last(session: &Session) -> Result<(String, Vec<Step>), CommandError> {
    let (processor, moment) = (session.cpu as u32, session.clocks());
    let log = &session.watcher.vmx;
    let Some(exited) = log.exited(processor, &moment) else {
        let text = match log.exits(&moment).filter(|(_, record)| record.processor == processor).last() {
            Some((number, _)) => {
                format!(
                    "the details of VM exit {number} are not kept, of the last {DETAILED} alone; goto exit {number} brings them back"
                )
            }
            None if log.later(&moment) != 0 => {
                "this processor had no VM exit before this moment; c goes on to the next".to_owned()
            }
            None => "this processor had no VM exit while the debugger watched; b vmexit stops at one".to_owned(),
        };
        return Err(CommandError::Other(text));
    };
    let reason = emu_vmx::words::exit_reason(exited.vmcs.get32(Field::ExitReason));
    let head = match exited.entered {
        Some(_) => format!("VM exit at cycle {}: {reason}", exited.cycle),
        None => format!(
            "VM exit at cycle {}: {reason}; nothing was saved (SDM Vol. 3C 27.8 \"VM-Entry Failures During or After Loading \
             Guest State\")",
            exited.cycle
        ),
    };
    Ok((head, exit_steps::steps(exited)))
}

/// `vmexit [step|reset]`.
pub fn vmexit(session: &mut Session, arguments: &str) -> Outcome {
    let words: Vec<&str> = arguments.split_whitespace().collect();
    match words[..] {
        [] => {
            let (head, steps) = last(session)?;
            let (mut text, mut section, mut list) = (head.clone() + "\n", String::new(), Vec::new());
            for step in steps {
                if step.section != section {
                    section.clone_from(&step.section);
                    let _ = writeln!(text, "{section}");
                }
                let _ = writeln!(text, "  {}: {}", step.what, step.change());
                list.push(
                    json!({ "section": step.section, "what": step.what, "before": step.before, "after": step.after }),
                );
            }
            text += "fields of the VMCS that kept their values are not shown\n";
            Ok(Answer::new(text, json!({ "exit": head, "steps": list })))
        }
        ["step" | "s", ref how @ ..] => {
            if !session.exit_walk.belongs_to(moment_of(session)) {
                let (_, steps) = last(session)?;
                let end = "the VM exit is complete; the VMM runs".to_owned();
                session.exit_walk = Walk::new(steps, end, moment_of(session));
            }
            let loads = |step: &Step| step.section.starts_with("28.5") || step.section.starts_with("28.6");
            next_steps(session, how, |session| &mut session.exit_walk, loads, USAGE)
        }
        ["reset"] => {
            session.exit_walk = Walk::default();
            Ok(Answer::silent())
        }
        _ => Err(CommandError::Usage(format!("{arguments:?} is not known"), USAGE)),
    }
}
