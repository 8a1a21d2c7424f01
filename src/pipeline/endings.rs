//! What can end a run, and which of several ends counts.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use log::info;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, Sleep, sleep_until};

use super::command::{Ended, Job, PATIENCE};
use super::deliver::{Outcome, REASON, Stop};
use crate::report::exit::{Exit, Fault};
use crate::report::notice;
use crate::system::signals::{Caught, Signals};

/// The limits for writing buffered events after a signal: the total time, and the time for which the output may accept
/// nothing.
const AFTER_SIGNAL: (Duration, Duration) = (Duration::from_secs(1), Duration::from_millis(250));

/// The same limits after `--timeout`. The total time is also limited by the timeout itself.
const AFTER_TIMEOUT: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(1));

/// How long the command of `-- COMMAND` can take to end by itself when an error ends the program: it may fail for the
/// same reason, and print that.
const BEFORE_TERMINATION: Duration = Duration::from_millis(500);

/// Why no more events are read.
pub(super) enum End {
    /// The source has ended or failed.
    Source(anyhow::Result<()>),
    /// The time of `--timeout` is over.
    Timeout,
    /// A signal was received.
    Signal(i32),
    /// The command of `-- COMMAND` has ended with this status.
    Command(u8),
    /// A failure ends the program (`--fail-fast`), and no other event has said more about it.
    Failure,
}

impl End {
    /// The limits for writing buffered events: the total time, and the time for which the output may accept nothing.
    /// `None` if there is no limit.
    pub(super) fn time_to_write(&self, timeout: Option<Duration>) -> Option<(Duration, Duration)> {
        let (most, patience) = AFTER_TIMEOUT;
        match self {
            Self::Source(_) | Self::Command(_) | Self::Failure => None,
            Self::Signal(_) => Some(AFTER_SIGNAL),
            // At most the length of the timeout itself.
            Self::Timeout => Some((most.min(timeout.unwrap_or(most)), patience)),
        }
    }

    /// How the program ends. `is_awaited`: something is waited for that had not happened: the number of events of
    /// `--count`, or the end of the command.
    pub(super) fn into_exit(self, outcome: Outcome, is_awaited: bool) -> anyhow::Result<Exit> {
        match (self, outcome) {
            (Self::Signal(signal), _) => Ok(Exit::Signal(signal)),
            (_, Outcome::Count | Outcome::ReaderGone | Outcome::Gap) => Ok(outcome.exit()),
            (Self::Timeout, Outcome::Drained) if is_awaited => Ok(Exit::Timeout),
            (Self::Timeout, Outcome::Drained) => Ok(Exit::Success),
            (Self::Source(outcome), Outcome::Drained) => outcome.map(|()| Exit::Success),
            (Self::Command(status), Outcome::Drained) => Ok(Exit::Command(status)),
            (Self::Failure, Outcome::Drained) => Ok(Exit::Failure),
        }
    }
}

/// A condition that ends a run, or the writing after it.
pub(super) enum Ending {
    /// No more events are read.
    Ended(End),
    /// The output has ended or failed.
    Stopped(Stop),
    /// The reader of standard output has closed it.
    ReaderGone,
    /// The writing thread has ended without a result.
    WriterDied,
}

/// All conditions that can end a run, except the end of its source.
pub(super) struct Endings {
    /// Receives the result of the writing thread.
    pub(super) writer: oneshot::Receiver<Stop>,
    pub(super) reader_gone: Pin<Box<dyn Future<Output = ()>>>,
    pub(super) signals: Signals,
    /// `None` if there is no timeout, or if it no longer applies.
    pub(super) timeout: Option<Pin<Box<Sleep>>>,
    /// With `-- COMMAND`.
    pub(super) job: Option<Job>,
    pub(super) failing: Failing,
}

/// Whether a log line was the failure that ends the program (`--fail-fast`).
pub(super) enum Failing {
    /// Not yet.
    No(Arc<Notify>),
    /// It was, and ends the program then.
    Until(Instant),
    /// It has ended the program.
    Over,
}

impl Failing {
    /// Waits until it ends the program. Cancel safe.
    async fn over(&mut self) {
        if let Self::No(has_failed) = self {
            has_failed.notified().await;
            *self = Self::Until(Instant::now() + REASON);
        }
        match self {
            Self::Until(until) => sleep_until(*until).await,
            _ => std::future::pending().await,
        }
        *self = Self::Over;
    }
}

impl Endings {
    /// Waits for the first of the conditions while the source is read. A signal ends the program only when a running
    /// command has ended.
    pub(super) async fn next(&mut self) -> Ending {
        loop {
            let Self { writer, reader_gone, signals, timeout, job, failing } = self;
            let caught = tokio::select! {
                biased;
                stop = writer => return stop.map_or(Ending::WriterDied, Ending::Stopped),
                () = reader_gone => return Ending::ReaderGone,
                caught = signals.next() => caught,
                end = of_job(job) => return Ending::Ended(end),
                () = failing.over() => return Ending::Ended(End::Failure),
                () = timeout_over(timeout) => return Ending::Ended(End::Timeout),
            };
            if let Some(signal) = catch(job, caught) {
                return Ending::Ended(End::Signal(signal));
            }
        }
    }

    /// Waits for the first of the conditions while the source is not read any more. The end of the command is none of
    /// them.
    pub(super) async fn next_of_drain(&mut self) -> Ending {
        let Self { writer, reader_gone, signals, timeout, job, .. } = self;
        tokio::select! {
            biased;
            stop = writer => stop.map_or(Ending::WriterDied, Ending::Stopped),
            () = reader_gone => Ending::ReaderGone,
            caught = signals.next() => {
                catch(job, caught);
                Ending::Ended(End::Signal(caught.number))
            }
            () = timeout_over(timeout) => Ending::Ended(End::Timeout),
        }
    }

    /// Waits for the end of a running command, or for a signal that ends the program.
    async fn end_of_job(&mut self) -> Ended {
        let Self { signals, job, .. } = self;
        loop {
            let caught = tokio::select! {
                biased;
                caught = signals.next() => caught,
                ended = async {
                    match job {
                        Some(job) => job.ended().await,
                        None => std::future::pending().await,
                    }
                } => return ended,
            };
            if let Some(signal) = catch(job, caught) {
                return Ended::Signal(signal);
            }
        }
    }

    /// Ends a running command, because the program ends: it gets SIGTERM unless it ends by itself within `before`.
    /// Returns the signal that ends the program meanwhile.
    async fn end_job(&mut self, before: Duration) -> Option<i32> {
        let mut ended = tokio::time::timeout(before, self.end_of_job()).await;
        if ended.is_err()
            && let Some(job) = &mut self.job
        {
            let until = job.terminate();
            ended = tokio::time::timeout_at(until, self.end_of_job()).await;
        }
        if ended.is_err()
            && let Some(job) = &mut self.job
        {
            job.leave();
        }
        match ended {
            Ok(Ended::Signal(signal)) => Some(signal),
            _ => None,
        }
    }

    /// Determines how the program ends, which is known but for the command: if that is running, waits for its end.
    pub(super) async fn settle(&mut self, outcome: anyhow::Result<Exit>) -> anyhow::Result<Exit> {
        let Some(job) = &self.job else { return outcome };
        if !job.is_running() {
            return match (outcome, job.status()) {
                (Ok(Exit::Success), Some(status)) | (Ok(Exit::Timeout | Exit::Gap), Some(status @ 1..)) => {
                    Ok(Exit::Command(status))
                }
                (Ok(Exit::Success), None) => {
                    Err(Fault::failed("the reader of the output has closed it before the command was started").into())
                }
                (outcome, _) => outcome,
            };
        }
        let exit = match outcome {
            Ok(Exit::Success) => {
                info!("waiting for the end of the command");
                let mut timeout = self.timeout.take();
                tokio::select! {
                    biased;
                    ended = self.end_of_job() => {
                        return Ok(match ended {
                            Ended::Status(status) => Exit::Command(status),
                            Ended::Signal(signal) => Exit::Signal(signal),
                        });
                    }
                    () = timeout_over(&mut timeout) => Exit::Timeout,
                }
            }
            Ok(exit) => exit,
            // Before the command ends, as that can take a while.
            Err(error) => notice::fail(&error),
        };
        let before = match exit {
            Exit::Timeout => Duration::ZERO,
            // The command has got the signal already.
            Exit::Signal(_) => PATIENCE,
            _ => BEFORE_TERMINATION,
        };
        Ok(self.end_job(before).await.map_or(exit, Exit::Signal))
    }
}

async fn timeout_over(timeout: &mut Option<Pin<Box<Sleep>>>) {
    match timeout {
        Some(timeout) => timeout.await,
        None => std::future::pending().await,
    }
}

/// Waits until the command ends the program.
async fn of_job(job: &mut Option<Job>) -> End {
    match job {
        Some(job) => job.next().await,
        None => std::future::pending().await,
    }
}

/// Passes a signal on to a running command. Returns the signal if it ends the program now.
fn catch(job: &mut Option<Job>, caught: Caught) -> Option<i32> {
    job.as_mut().map_or(Some(caught.number), |job| job.catch(caught))
}
