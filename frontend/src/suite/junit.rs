//! The report for CI systems.

use super::Outcome;
use super::child::Verdict;
use super::report::name;
use crate::error::InputError;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use std::path::Path;
use std::time::Duration;

/// The outcomes as JUnit XML: a suite for each folder.
pub(super) fn report(outcomes: &[Outcome], wall: Duration) -> Result<String, InputError> {
    let mut report = Report::new("rvmx-emu");
    report.set_time(wall);
    let mut suites: Vec<TestSuite> = Vec::new();
    for outcome in outcomes {
        let folder = outcome.script.parent().map_or(String::new(), name);
        let folder = if folder.is_empty() { ".".to_owned() } else { folder };
        let at = suites.iter().position(|suite| suite.name.as_str() == folder).unwrap_or_else(|| {
            suites.push(TestSuite::new(folder.as_str()));
            suites.len() - 1
        });
        if let Some(suite) = suites.get_mut(at) {
            suite.set_time(suite.time.unwrap_or_default() + outcome.wall);
            suite.add_test_case(case(outcome, &folder));
        }
    }
    report.add_test_suites(suites);
    let xml = report.to_string().map_err(|e| InputError::new("--junit", format!("cannot make the report: {e}")))?;
    // The schema that Jenkins checks reports by knows this attribute of a suite, but not of all of them.
    let skipped = outcomes.iter().filter(|outcome| outcome.verdict == Verdict::NotBegun).count();
    Ok(xml.replacen(&format!(" skipped=\"{skipped}\""), "", 1))
}

fn case(outcome: &Outcome, folder: &str) -> TestCase {
    let status = match outcome.verdict {
        Verdict::Passed => TestCaseStatus::success(),
        Verdict::NotBegun => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(outcome.message.as_str());
            status
        }
        verdict => {
            let kind = if verdict == Verdict::Failed { NonSuccessKind::Failure } else { NonSuccessKind::Error };
            let mut status = TestCaseStatus::non_success(kind);
            status.set_message(outcome.message.lines().next().unwrap_or_default());
            status.set_type(if verdict == Verdict::Failed { "step" } else { "run" });
            status.set_description(format!("{}\n{}", outcome.message, outcome.state));
            status
        }
    };
    let file = outcome.script.file_name().unwrap_or(outcome.script.as_os_str());
    let mut case = TestCase::new(name(Path::new(file)), status);
    case.set_classname(folder).set_time(outcome.wall);
    let guest = outcome.guest.map_or(String::new(), |seconds| format!("guest time: {seconds:.3} s\n"));
    case.set_system_out(guest + &outcome.output);
    if !outcome.log.is_empty() {
        case.set_system_err(outcome.log.as_str());
    }
    case
}
