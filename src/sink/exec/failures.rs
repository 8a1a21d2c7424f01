//! Reports that the command has failed. The first failure of a kind is reported at once, and those that follow it soon as
//! a number: a command that always fails is no flood of notices.

use std::fmt;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use log::warn;

/// For how long failures of a kind are only counted after one was reported.
const INTERVAL: Duration = Duration::from_secs(10);

/// A way to fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// An exit status other than 0.
    Status(i32),
    /// A signal ended the shell.
    Signal(i32),
    /// The shell could not be started: the text of the error.
    Start(String),
}

impl Failure {
    /// The failure of a command that has ended, unless it succeeded.
    pub(super) fn of(status: ExitStatus) -> Option<Self> {
        match (status.code(), status.signal()) {
            (Some(0), _) => None,
            (Some(code), _) => Some(Self::Status(code)),
            (None, signal) => Some(Self::Signal(signal.unwrap_or_default())),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Start(error.to_string())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // What these two mean in every shell (POSIX, 2.8.2).
            Self::Status(127) => f.write_str("exit status 127: the shell has not found it"),
            Self::Status(126) => f.write_str("exit status 126: the shell could not execute it"),
            Self::Status(status) => write!(f, "exit status {status}"),
            Self::Signal(signal) => match signal_hook::low_level::signal_name(*signal) {
                Some(name) => write!(f, "killed by {name}"),
                None => write!(f, "killed by signal {signal}"),
            },
            Self::Start(error) => write!(f, "the shell could not be started: {error}"),
        }
    }
}

/// The failures since the last reports.
#[derive(Debug, Default)]
pub(super) struct Failures {
    /// For each kind that was reported: how many more there were, and until when they are only counted.
    kinds: Vec<(Failure, u64, Instant)>,
}

impl Failures {
    /// Reports a failure, or counts it.
    pub(super) fn note(&mut self, failure: Failure, now: Instant) {
        for report in self.add(failure, now) {
            warn!("--exec: {report}");
        }
    }

    /// Reports the numbers of failures that have not been reported for long enough.
    pub(super) fn report(&mut self, now: Instant) {
        for report in self.due_reports(now) {
            warn!("--exec: {report}");
        }
    }

    /// Reports all numbers: there will be no more failures.
    pub(super) fn finish(mut self) {
        self.report(Instant::now() + INTERVAL);
    }

    /// When [`Failures::report`] has something to report.
    pub(super) fn due(&self) -> Option<Instant> {
        self.kinds.iter().filter(|(_, more, _)| *more > 0).map(|(_, _, until)| *until).min()
    }

    fn add(&mut self, failure: Failure, now: Instant) -> Vec<String> {
        let mut reports = self.due_reports(now);
        if let Some((_, more, _)) = self.kinds.iter_mut().find(|(known, _, _)| *known == failure) {
            *more += 1;
        } else {
            reports.push(format!("the command failed: {failure}"));
            self.kinds.push((failure, 0, now + INTERVAL));
        }
        reports
    }

    /// The numbers that are due, of kinds that are forgotten with that.
    fn due_reports(&mut self, now: Instant) -> Vec<String> {
        let due = self.kinds.extract_if(.., |(_, _, until)| *until <= now);
        let reports = due.filter(|(_, more, _)| *more > 0).map(|(failure, more, _)| match more {
            1 => format!("the command failed once more: {failure}"),
            _ => format!("the command failed {more} more times: {failure}"),
        });
        reports.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_failures_a_second_are_two_reports_each_ten_seconds() {
        let mut failures = Failures::default();
        let start = Instant::now();
        let mut reports = Vec::new();
        for number in 0..25_000 {
            reports.extend(failures.add(Failure::Status(3), start + Duration::from_millis(number)));
        }
        let first = "the command failed: exit status 3";
        let more = "the command failed 9999 more times: exit status 3";
        assert_eq!(reports, [first, more, first, more, first]);
        assert_eq!(failures.due(), Some(start + 3 * INTERVAL));
        assert_eq!(failures.due_reports(start + 3 * INTERVAL), ["the command failed 4999 more times: exit status 3"]);
        assert_eq!(failures.due(), None);
    }

    #[test]
    fn a_failure_now_and_then_is_reported_each_time() {
        let mut failures = Failures::default();
        let start = Instant::now();
        for number in 0..3 {
            let reports = failures.add(Failure::Signal(9), start + number * 2 * INTERVAL);
            assert_eq!(reports, ["the command failed: killed by SIGKILL"]);
        }
        // Another kind is not hidden by the first.
        let at = start + 4 * INTERVAL;
        assert_eq!(failures.add(Failure::Status(127), at).len(), 1);
        assert_eq!(failures.due(), None);
    }
}
