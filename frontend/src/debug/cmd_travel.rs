//! Commands that go back in time.

use super::answer::Answer;
use super::session::{CommandError, Outcome, Session};
use super::target::{Came, How};
use super::travel::TravelError;
use serde_json::{Value, json};

fn there(session: &mut Session) -> Answer {
    let cycles: Vec<u64> = session.target.pc().cpus.iter().map(|cpu| cpu.cycles).collect();
    session.watcher.vmx.forget_after(&cycles);
    session.place()
}

fn went(session: &mut Session, result: Result<(), TravelError>) -> Outcome {
    result.map_err(|error| CommandError::Other(error.to_string()))?;
    Ok(there(session))
}

/// `rs [N]`.
pub fn step(session: &mut Session, arguments: &str) -> Outcome {
    let count = if arguments.is_empty() { 1 } else { session.value(arguments)? };
    let count = usize::try_from(count).ok().filter(|count| (1..=10_000_000).contains(count));
    let count = count.ok_or("give 1 to 10000000")?;
    let result = session.target.back(session.cpu, count);
    went(session, result)
}

/// `rn`.
pub fn next(session: &mut Session, _arguments: &str) -> Outcome {
    let result = session.target.back_over(session.cpu);
    went(session, result)
}

/// `rc`.
pub fn cont(session: &mut Session, _arguments: &str) -> Outcome {
    let hits: Vec<u64> = session.watcher.breakpoints.iter().map(|breakpoint| breakpoint.hits).collect();
    let result = session.target.back_to_hit(&mut session.watcher);
    // Meeting them again does not count.
    session.watcher.breakpoints.iter_mut().zip(hits).for_each(|(breakpoint, hits)| breakpoint.hits = hits);
    let hit = result.map_err(|error| CommandError::Other(error.to_string()))?;
    session.cpu = hit.processor as usize;
    let words = session.hit_words(&hit);
    let mut answer = there(session);
    if let Value::Object(object) = &mut answer.json {
        object.insert("stopped".to_owned(), Value::from("breakpoint"));
        object.insert("breakpoint".to_owned(), json!(hit.breakpoint));
        object.insert("what".to_owned(), Value::from(words.clone()));
    }
    answer.text = format!("{words}\n{}", answer.text);
    Ok(answer)
}

/// `goto CYCLE`, `goto exit N`.
pub fn goto(session: &mut Session, arguments: &str) -> Outcome {
    if let Some(number) = arguments.strip_prefix("exit ") {
        let number = session.value(number)?;
        let log = &session.watcher.vmx;
        let place = number.checked_sub(log.forgotten).and_then(|n| log.exits.get(usize::try_from(n).ok()?));
        let record =
            place.ok_or_else(|| CommandError::Other(format!("there was no VM exit {number}; exits lists them")))?;
        let (processor, cycle) = (record.processor as usize, record.cycle);
        let result = session.target.back_to_cycle(cycle.saturating_sub(1));
        result.map_err(|error| CommandError::Other(error.to_string()))?;
        session.cpu = processor;
        // The VMM's first instruction.
        for _ in 0..1_000_000 {
            let cpu = session.target.pc().cpus.get(processor);
            if cpu.is_none_or(|cpu| cpu.cycles >= cycle && cpu.vmx.non_root.is_none()) {
                break;
            }
            if session.target.interrupted() {
                return Ok(session.stopped(&Came::Interrupted));
            }
            session.target.quiet_step(processor);
        }
        return Ok(there(session));
    }
    let cycle = session.value(arguments)?;
    if cycle >= session.target.pc().now() {
        return Ok(session.go(How::Until(cycle)));
    }
    let result = session.target.back_to_cycle(cycle);
    went(session, result)
}

/// `history [N]`.
pub fn history(session: &mut Session, arguments: &str) -> Outcome {
    if !arguments.is_empty() {
        let limit = session.value(arguments)?;
        session.target.travel.set_limit(usize::try_from(limit).unwrap_or(usize::MAX));
    }
    let (points, interval, limit) = session.target.travel.state();
    let text = format!("{points} snapshots to go back by, of {limit} at most, {interval} cycles apart");
    Ok(Answer::new(text, json!({ "snapshots": points, "limit": limit, "interval": interval })))
}
