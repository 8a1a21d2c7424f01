//! The last step of the pipeline: gives the events of [`super::prepare`]'s batches to the sinks, and decides when they
//! have got enough.

use std::io;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use super::prepare::{Batch, Prepared};
use crate::config::Limits;
use crate::event::gap::Gap;
use crate::event::{Event, Fate, RemoteId, Timestamp};
use crate::report::exit::{Exit, Fault};
use crate::report::failure;
use crate::report::malformed::Skipped;
use crate::report::summary::Summary;
use crate::sink::Sink;
use crate::sink::stdout::Flushed;

/// Why the output ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The number of events given by `--count` is written.
    Count,
    /// There are no more events, and all events that were received are written or counted as not written.
    Drained,
    /// The reader of standard output has closed it.
    ReaderGone,
    /// Events were lost, and `--fail-on-gap` was given.
    Gap,
}

impl Outcome {
    /// The exit status of this outcome, unless the end of the source determines it (see `End::into_exit`).
    #[must_use]
    pub(crate) fn exit(self) -> Exit {
        match self {
            Self::Count | Self::Drained | Self::ReaderGone => Exit::Success,
            Self::Gap => Exit::Gap,
        }
    }
}

/// The sinks, and what decides when they have got enough.
pub(crate) struct Deliver {
    /// In the order in which they are written. Standard output comes after the file, because its failure ends the program,
    /// and before the command, which a recording waits for.
    sinks: Vec<Sink>,
    skipped: Skipped,
    /// Counts what is printed, if the end of the run shows it.
    summary: Option<Arc<Summary>>,
    /// The remotes' names.
    names: Vec<String>,
    limits: Limits,
    /// The number of events that are still to be rendered, with `--count`.
    events_left: Option<NonZeroU64>,
    /// Whether events count and failures end the program: with `-- COMMAND`, once it is started. What happened before is
    /// not its effect.
    has_begun: Arc<AtomicBool>,
    /// The failure that ends the program, with `--fail-fast`.
    failure: Option<Failed>,
    /// Notified when a log line is that failure.
    has_failed: Arc<Notify>,
    /// Set once nothing more is to be rendered: the outcome as soon as the rendered text is written.
    end: Option<Outcome>,
}

/// How long after a log line the operation is waited for that fails for the same reason. The servers log first, and only
/// the operation says why (LXD 5.0.2: `Failed starting container`).
pub(super) const REASON: Duration = Duration::from_millis(500);

/// The failure that ends the program.
struct Failed {
    fault: Fault,
    /// Whether it ends the program now.
    is_last: bool,
    /// If not: the last time of an event that can say more.
    until: Option<Timestamp>,
}

/// Why this step stops.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The output has ended.
    Ended(Outcome),
    /// A failure ends the program, with `--fail-fast`.
    Failure(Fault),
    /// Writing failed.
    Failed(io::Error),
}

impl Stop {
    /// The outcome.
    ///
    /// # Errors
    /// Writing failed, or a failure ends the program.
    pub(crate) fn into_outcome(self) -> anyhow::Result<Outcome> {
        match self {
            Self::Ended(outcome) => Ok(outcome),
            Self::Failure(failure) => Err(failure.into()),
            Self::Failed(error) => Err(Fault::failed(format!("writing to standard output: {error}")).into()),
        }
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Ended(Outcome::ReaderGone),
            _ => Self::Failed(error),
        }
    }
}

impl Deliver {
    /// Creates the step. The sinks are written in this order. `names` are the names of the remotes. Events count, and
    /// failures end the program, while `has_begun` is set. `has_failed` is notified of a failure that ends the program
    /// after [`REASON`]. With `redact`, nothing of a message that is not an event is shown. With a
    /// `summary`, events must have their tapes.
    #[must_use]
    pub(crate) fn new(
        sinks: Vec<Sink>,
        names: Vec<String>,
        limits: Limits,
        has_begun: Arc<AtomicBool>,
        has_failed: Arc<Notify>,
        redact: bool,
        summary: Option<Arc<Summary>>,
    ) -> Self {
        let skipped = Skipped::new(names.clone(), redact);
        let (events_left, failure, end) = (limits.count, None, None);
        Self { sinks, skipped, summary, names, limits, events_left, has_begun, failure, has_failed, end }
    }

    /// Renders the contents of the batch, and leaves only spares in it. With `may_wait`, also writes whenever
    /// the output buffer is full.
    ///
    /// # Errors
    /// The reason, when nothing more is to be rendered.
    pub(crate) fn render(&mut self, batch: &mut Batch, may_wait: bool) -> Result<(), Stop> {
        let Batch { prepared, spares, names } = batch;
        for name in names.drain(..) {
            self.sinks.iter_mut().for_each(|sink| sink.add_remote(&name));
            self.names.push(name);
        }
        for one in prepared.drain(..) {
            if self.has_enough() {
                continue;
            }
            match one {
                Prepared::Event(event) => {
                    self.render_event(&event);
                    spares.extend(event.into_spare());
                }
                Prepared::Gap(gap) => self.render_gap(&gap),
                Prepared::Malformed(remote, line, why, message) => {
                    self.skipped.malformed(remote, line, why, &message);
                }
                Prepared::Binary(remote, count) => self.skipped.binary(remote, count),
            }
            if may_wait && (self.has_enough() || self.sinks.iter().any(Sink::is_full)) {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Writes all rendered text. This blocks while the output accepts nothing.
    ///
    /// # Errors
    /// The reason, when nothing more is to be rendered.
    pub(crate) fn flush(&mut self) -> Result<(), Stop> {
        for sink in &mut self.sinks {
            if sink.flush()? == Flushed::Part {
                // The deadline is over and nothing more is printed, so the count is not reached any more.
                self.events_left = None;
                self.end = self.end.filter(|end| *end != Outcome::Count);
            }
        }
        self.stop().map_or(Ok(()), Err)
    }

    /// Whether nothing more is to be rendered.
    fn has_enough(&self) -> bool {
        self.end.is_some() || self.failure.as_ref().is_some_and(|failed| failed.is_last)
    }

    /// Why nothing more is to be rendered.
    fn stop(&mut self) -> Option<Stop> {
        if self.has_enough() { Some(self.last_stop()) } else { None }
    }

    /// Why nothing more is rendered once there are no more events.
    pub(crate) fn last_stop(&mut self) -> Stop {
        let failed = self.failure.take().map(|failed| Stop::Failure(failed.fault));
        failed.unwrap_or(Stop::Ended(self.end.unwrap_or(Outcome::Drained)))
    }

    /// Writes as much of the rendered text as the output accepts without blocking.
    ///
    /// # Errors
    /// The reason, when nothing more is to be rendered.
    pub(crate) fn try_flush(&mut self) -> Result<Flushed, Stop> {
        let mut flushed = Flushed::All;
        for sink in &mut self.sinks {
            if sink.try_flush()? == Flushed::Part {
                flushed = Flushed::Part;
            }
        }
        match flushed {
            Flushed::All => self.stop().map_or(Ok(flushed), Err),
            Flushed::Part => Ok(flushed),
        }
    }

    /// Everything has been rendered: writes what is left. This blocks while the output accepts nothing.
    ///
    /// # Errors
    /// Writing failed.
    pub(crate) fn end(&mut self) -> Result<(), Stop> {
        self.end_sinks();
        self.flush()
    }

    /// Nothing more is to be rendered, because of this outcome.
    fn end_with(&mut self, outcome: Outcome) {
        self.end = Some(outcome);
        self.end_sinks();
    }

    fn end_sinks(&mut self) {
        self.sinks.iter_mut().for_each(Sink::end);
    }

    /// No more events will come: finishes the sinks, and reports the number of skipped messages.
    pub(crate) fn finish(&mut self) {
        self.finish_sinks();
        self.skipped.report();
    }

    /// Makes the sinks write what a former failure left to write.
    pub(crate) fn finish_sinks(&mut self) {
        self.sinks.iter_mut().for_each(Sink::finish);
    }

    fn render_event(&mut self, event: &Event) {
        let has_begun = self.has_begun.load(Ordering::Relaxed);
        if let Some(failed) = &mut self.failure
            && failed.until.zip(event.timestamp()).is_some_and(|(until, time)| time > until)
        {
            failed.is_last = true;
            self.end_sinks();
            return;
        }
        if event.fate() != Fate::Last {
            let mut is_printed = true;
            for sink in &mut self.sinks {
                is_printed &= sink.event(event);
            }
            if let Some(summary) = &self.summary {
                summary.count(event);
            }
            if let Some(left) = self.events_left.filter(|_| has_begun && is_printed) {
                self.events_left = NonZeroU64::new(left.get() - 1);
                if self.events_left.is_none() {
                    self.end_with(Outcome::Count);
                }
            }
        }
        if event.fate() != Fate::Printed && has_begun {
            self.fail(event);
        }
    }

    /// Ends the program because of the failure that the event reports. After a log line, an operation may say more.
    fn fail(&mut self, event: &Event) {
        let is_last = event.operation().is_some();
        if self.failure.is_some() && !is_last {
            return;
        }
        let RemoteId(number) = event.remote();
        let remote = self.names.get(usize::from(number)).filter(|_| self.names.len() > 1);
        let fault = failure::describe(event, remote.map(String::as_str));
        let until = event.timestamp().map(|time| time.after(REASON));
        self.failure = Some(Failed { fault, is_last, until });
        if is_last {
            self.end_sinks();
        } else {
            self.has_failed.notify_one();
        }
    }

    fn render_gap(&mut self, gap: &Gap) {
        if let Some(summary) = &self.summary {
            summary.count_gap(gap);
        }
        let RemoteId(number) = gap.remote;
        let name = self.names.get(usize::from(number)).map_or("", String::as_str);
        match Event::decode(gap.to_message(name), gap.remote, None) {
            Ok(record) => self.sinks.iter_mut().for_each(|sink| sink.gap(&record)),
            Err(rejected) => debug_assert!(false, "a gap record is {}", rejected.why),
        }
        if self.limits.fail_on_gap {
            self.end_with(Outcome::Gap);
        }
    }
}
