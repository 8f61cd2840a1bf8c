//! Commands that go back in time.

use super::answer::Answer;
use super::session::{CommandError, Outcome, Session};
use super::target::How;
use super::travel::TravelError;
use super::vmxlog::REMEMBERED;
use super::watcher::Here;
use serde_json::{Value, json};

/// Snapshots that may be kept at most.
const MOST_POINTS: usize = 10_000;
/// The highest number of a VM exit to go to: a guest makes fewer in a year.
const MOST_EXITS: u64 = 1 << 48;
/// Instructions that `last` prints at most.
const MOST_LAST: usize = 10_000;

fn went(session: &mut Session, result: Result<(), TravelError>) -> Outcome {
    result.map_err(|error| CommandError::Other(error.to_string()))?;
    Ok(session.place())
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
    let mut answer = session.place();
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
        if number > MOST_EXITS {
            return Err(CommandError::Other(format!("there is no VM exit {}; give 0 to {MOST_EXITS}", number as i64)));
        }
        return goto_exit(session, number);
    }
    let cycle = session.value(arguments)?;
    if cycle >= session.target.pc().now() {
        return Ok(session.go(How::Until(cycle)));
    }
    let result = session.target.back_to_cycle(cycle);
    went(session, result)
}

/// To the VMM's first instruction behind a VM exit: back, or on; to one that has not been seen yet by letting the guest run.
fn goto_exit(session: &mut Session, number: u64) -> Outcome {
    let log = &session.watcher.vmx;
    if number < log.forgotten() {
        return Err(CommandError::Other(format!(
            "VM exit {number} is forgotten: the last {REMEMBERED} are kept, from {} on",
            log.forgotten()
        )));
    }
    let Some(record) = log.exit_number(number).cloned() else {
        session.watcher.until_exit = Some(number);
        let answer = session.go(How::Until(u64::MAX));
        session.watcher.until_exit = None;
        return Ok(answer);
    };
    let (processor, cycle) = (record.processor as usize, record.cycle);
    let later = session.clocks().get(processor).is_some_and(|now| *now < cycle);
    // The VM entry before it is to be told again, too.
    let entered = cycle.saturating_sub(record.guest).saturating_sub(2);
    let other = |error: TravelError| CommandError::Other(error.to_string());
    let home = session.target.home().map_err(other)?;
    let went = match session.target.back_to_cycle(entered) {
        // Without snapshots there is a way on, not back.
        Err(TravelError::Off) if later => Ok(()),
        result => result,
    };
    let log = &mut session.watcher.vmx;
    let went = went.and_then(|()| session.target.watch_to(cycle.saturating_sub(1), log));
    let went = went.and_then(|()| session.target.come_to_vmm(processor, cycle, log));
    if let Err(error) = went {
        session.target.go_home(home).map_err(other)?;
        return Err(other(error));
    }
    session.cpu = processor;
    Ok(session.place())
}

/// `last [N]`.
pub fn last(session: &mut Session, arguments: &str) -> Outcome {
    let count = if arguments.is_empty() { 20 } else { session.value(arguments)? };
    let count = usize::try_from(count).ok().filter(|count| (1..=MOST_LAST).contains(count));
    let count = count.ok_or_else(|| format!("give 1 to {MOST_LAST} instructions"))?;
    let n = session.cpu;
    let Some(goal) = session.target.pc().cpus.get(n).map(Here::of) else {
        return Err("there is no such processor".into());
    };
    let other = |error: TravelError| CommandError::Other(error.to_string());
    let home = session.target.home().map_err(other)?;
    session.target.back(n, count).map_err(other)?;
    let (mut text, mut list) = (String::new(), Vec::new());
    let mut before = None;
    while let Some(here) = session.target.pc().cpus.get(n).map(Here::of).filter(|here| *here != goal) {
        if here.is_after(&goal) || list.len() > count {
            break;
        }
        if before.replace(here) != Some(here) {
            let place = session.place();
            text += &place.text;
            list.push(place.json);
        }
        session.target.come_closer(n);
    }
    session.target.go_home(home).map_err(other)?;
    Ok(Answer::new(text, json!({ "instructions": list })))
}

/// `history [N]`.
pub fn history(session: &mut Session, arguments: &str) -> Outcome {
    if !arguments.is_empty() {
        let limit = session.value(arguments)?;
        let limit = usize::try_from(limit).ok().filter(|limit| *limit <= MOST_POINTS);
        session.target.travel.set_limit(limit.ok_or_else(|| format!("give 0 to {MOST_POINTS} snapshots"))?);
    }
    let (points, interval, limit) = session.target.travel.state();
    let text = format!("{points} snapshots to go back by, of {limit} at most, {interval} cycles apart");
    Ok(Answer::new(text, json!({ "snapshots": points, "limit": limit, "interval": interval })))
}
