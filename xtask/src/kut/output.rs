//! What a test wrote to its serial port and how it ended: counted and judged.

use super::plan::{Exception, Kind};

/// The exit status of a run whose guest ended with 0 through isa-debug-exit, and with "every test skipped".
const STATUS_PASSED: i32 = 1;
const STATUS_SKIPPED: i32 = 77;
/// And of one that reports failures.
const STATUS_FAILED: i32 = 3;

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// With this status; the emulator's last words.
    Status(i32, String),
    /// By a signal of the host, or never.
    Killed(String),
}

/// A failure that an exception accounts for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excused {
    /// The line.
    pub line: String,
    /// What kind of reason.
    pub kind: Kind,
    /// The reason.
    pub reason: String,
}

/// How a test went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Cases that pass: those of the summary, of which quiet tests write no lines, or else the lines that report one.
    pub pass: usize,
    /// Lines that report a failure.
    pub fail: usize,
    /// Lines that report a skipped case.
    pub skip: usize,
    /// Failures with a reason.
    pub excused: Vec<Excused>,
    /// Failures, crashes and hangs without one.
    pub unexpected: Vec<String>,
    /// Exceptions of this test that nothing needed.
    pub stale: Vec<String>,
}

/// Judges a run of the test `name`.
pub fn judge(name: &str, output: &str, ended: &Ended, exceptions: &[Exception]) -> Verdict {
    let mut verdict = Verdict::default();
    let mut findings: Vec<String> = Vec::new();
    let mut gave_up = false;
    let mut summary = false;
    let mut quiet_passes = 0;
    for line in output.lines().map(|line| line.trim_end()) {
        // XFAIL: the suite expects what it reports.
        if line.starts_with("PASS: ") || line.starts_with("XFAIL: ") {
            verdict.pass += 1;
        } else if line.starts_with("SKIP: ") {
            verdict.skip += 1;
        } else if ["FAIL: ", "KFAIL: ", "XPASS: "].iter().any(|start| line.starts_with(start)) {
            verdict.fail += 1;
            findings.push(line.to_owned());
        } else if line.starts_with("Unhandled ") || line.starts_with("ABORT: ") || line.contains(": assert failed: ") {
            gave_up = true;
            findings.push(line.to_owned());
        }
        if let Some(cases) = line.strip_prefix("SUMMARY: ").and_then(|text| text.split_once(" tests")) {
            summary = true;
            quiet_passes = cases.0.parse::<usize>().unwrap_or(0).saturating_sub(verdict.fail + verdict.skip);
        }
    }
    verdict.pass = verdict.pass.max(quiet_passes);
    match ended {
        Ended::Status(STATUS_PASSED | STATUS_SKIPPED, _) if summary || findings.is_empty() => {}
        Ended::Status(STATUS_FAILED, _) if summary && !findings.is_empty() => {}
        // A test that gives up ends with a status of its choice.
        Ended::Status(status, words) if gave_up && words.is_empty() && *status & 1 == 1 => {}
        Ended::Status(status, words) => {
            findings.push(format!("ended with status {status} {words}").trim_end().to_owned())
        }
        Ended::Killed(how) => findings.push(how.clone()),
    }
    let own: Vec<_> = exceptions.iter().filter(|exception| exception.tests.iter().any(|test| test == name)).collect();
    let mut needed = vec![false; own.len()];
    for line in findings {
        match own.iter().position(|exception| line.contains(&exception.line)) {
            Some(index) => {
                needed[index] = true;
                verdict.excused.push(Excused { line, kind: own[index].kind, reason: own[index].reason.clone() });
            }
            None => verdict.unexpected.push(line),
        }
    }
    verdict.stale = own.iter().zip(needed).filter(|(_, needed)| !needed).map(|(own, _)| own.line.clone()).collect();
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exception() -> Exception {
        Exception {
            tests: vec!["t".to_owned()],
            models: Vec::new(),
            clock: None,
            line: "known".to_owned(),
            kind: Kind::KvmFeature,
            reason: "for a reason".to_owned(),
        }
    }

    fn status(status: i32) -> Ended {
        Ended::Status(status, String::new())
    }

    #[test]
    fn passing_run_has_its_lines_counted() {
        let verdict = judge("t", "PASS: a\nSKIP: b\nPASS: c\r\nSUMMARY: 3 tests, 1 skipped\n", &status(1), &[]);
        assert_eq!((verdict.pass, verdict.fail, verdict.skip), (2, 0, 1));
        assert!(verdict.unexpected.is_empty());
        assert_eq!(judge("t", "cpuid 81\n", &status(1), &[]), Verdict::default());
    }

    #[test]
    fn cases_that_a_quiet_test_only_sums_up_count_as_passes() {
        let verdict = judge(
            "t",
            "SKIP: a\nXPASS: known\nSUMMARY: 1000 tests, 1 unexpected failures, 1 skipped\n",
            &status(3),
            &[exception()],
        );
        assert_eq!((verdict.pass, verdict.fail, verdict.skip), (998, 1, 1));
    }

    #[test]
    fn failure_with_an_exception_is_excused_and_without_one_is_not() {
        let text = "FAIL: known\nFAIL: new\nSUMMARY: 2 tests, 2 unexpected failures\n";
        let verdict = judge("t", text, &status(3), &[exception()]);
        assert_eq!((verdict.fail, verdict.excused.len()), (2, 1));
        assert_eq!(verdict.unexpected, ["FAIL: new"]);
        assert_eq!(judge("other", text, &status(3), &[exception()]).unexpected.len(), 2);
    }

    #[test]
    fn exception_that_nothing_needs_is_stale() {
        assert_eq!(judge("t", "PASS: a\nSUMMARY: 1 tests\n", &status(1), &[exception()]).stale, ["known"]);
    }

    #[test]
    fn crash_hang_and_missing_summary_are_unexpected() {
        assert_eq!(judge("t", "PASS: a\n", &status(3), &[]).unexpected, ["ended with status 3"]);
        let died = Ended::Status(3, "the guest died".to_owned());
        assert_eq!(judge("t", "", &died, &[]).unexpected, ["ended with status 3 the guest died"]);
        assert_eq!(judge("t", "", &Ended::Killed("hung".to_owned()), &[]).unexpected, ["hung"]);
        let unhandled = judge("t", "Unhandled exception 6 #UD(0) at ip 1\n", &status(0x101), &[]);
        assert_eq!(unhandled.unexpected.len(), 1);
    }

    #[test]
    fn run_that_passes_with_failures_but_no_summary_is_unexpected() {
        assert_eq!(judge("t", "FAIL: known\n", &status(1), &[exception()]).unexpected, ["ended with status 1"]);
    }
}
