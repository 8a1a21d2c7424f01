//! The last step: renders the batches that [`super::prepare`] makes, and writes them.

use std::io;
use std::num::NonZeroU64;
use std::sync::Arc;

use super::prepare::{Batch, Prepared};
use crate::config::Limits;
use crate::event::gap::Gap;
use crate::event::json::Tape;
use crate::event::{Event, RemoteId};
use crate::render::Renderer;
use crate::report::exit::{Exit, Fault};
use crate::report::malformed::Skipped;
use crate::sink::Flow;
use crate::sink::stdout::{Flushed, Stdout};

/// How the output ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As many events as `--count` asked for are written.
    Count,
    /// Everything that came is written, or counted as not written, and nothing more will come.
    Drained,
    /// Nobody reads what lxmon writes.
    ReaderGone,
    /// Events were lost, and `--fail-on-gap` was given.
    Gap,
}

impl Outcome {
    /// What that means for the program, unless the end of the source decides.
    #[must_use]
    pub fn exit(self) -> Exit {
        match self {
            Self::Count | Self::Drained | Self::ReaderGone => Exit::Success,
            Self::Gap => Exit::Gap,
        }
    }
}

/// Renderer and output.
pub struct Deliver {
    renderer: Renderer,
    stdout: Stdout,
    skipped: Skipped,
    /// The remotes' names.
    names: Vec<String>,
    limits: Limits,
    /// How many events are still to be written.
    events_left: Option<NonZeroU64>,
    /// Why nothing more is to be rendered, once what is rendered has been written.
    end: Option<Outcome>,
    /// Whether the time to write is over, so that events are only counted.
    only_counts: bool,
}

/// Why this step stops.
#[derive(Debug)]
pub enum Stop {
    /// It is complete.
    Ended(Outcome),
    /// The output is broken.
    Failed(io::Error),
}

impl Stop {
    /// The outcome.
    ///
    /// # Errors
    /// The output is broken.
    pub fn into_outcome(self) -> anyhow::Result<Outcome> {
        match self {
            Self::Ended(outcome) => Ok(outcome),
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
    /// Prints the events of the remotes with these `names`, and reports to `flow` how writing goes.
    ///
    /// # Errors
    /// There is no standard output.
    pub fn new(renderer: Renderer, names: Vec<String>, limits: Limits, flow: Arc<Flow>) -> io::Result<Self> {
        Ok(Self {
            renderer,
            stdout: Stdout::new(flow)?,
            skipped: Skipped::new(names.clone()),
            names,
            limits,
            events_left: limits.count,
            end: None,
            only_counts: false,
        })
    }

    /// Renders what is in the batch, which is empty then but for tapes to use again. With `may_wait`, writes when enough
    /// is rendered.
    ///
    /// # Errors
    /// Why nothing more is to be rendered.
    pub fn render(&mut self, batch: &mut Batch, may_wait: bool) -> Result<(), Stop> {
        let Batch { prepared, tapes } = batch;
        for one in prepared.drain(..) {
            if self.end.is_some() {
                continue;
            }
            match one {
                Prepared::Event(event) => {
                    let tape = self.render_event(event);
                    // The tape of a stripped event is empty: the real one has been used again already.
                    if tape.size() > 0 {
                        tapes.push(tape);
                    }
                }
                Prepared::Gap(gap) => self.render_gap(&gap),
                Prepared::Malformed(remote, line, why, message) => {
                    self.skipped.malformed(remote, line, why, &message);
                }
                Prepared::Binary(remote, count) => self.skipped.binary(remote, count),
            }
            if may_wait && (self.stdout.is_full() || self.end.is_some()) {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Writes what is rendered.
    ///
    /// # Errors
    /// Why nothing more is to be rendered.
    pub fn flush(&mut self) -> Result<(), Stop> {
        if self.stdout.flush()? == Flushed::Part {
            self.only_counts = true;
            self.end = self.end.filter(|end| *end != Outcome::Count);
        }
        self.end.map_or(Ok(()), |end| Err(Stop::Ended(end)))
    }

    /// Writes of what is rendered as much as the output accepts at once.
    ///
    /// # Errors
    /// Why nothing more is to be rendered.
    pub fn try_flush(&mut self) -> Result<Flushed, Stop> {
        let flushed = self.stdout.try_flush()?;
        match (flushed, self.end) {
            (Flushed::All, Some(end)) => Err(Stop::Ended(end)),
            _ => Ok(flushed),
        }
    }

    /// Reports how many messages were skipped.
    pub fn report_skipped(&self) {
        self.skipped.report();
    }

    /// Renders the event, and returns its tape.
    fn render_event(&mut self, event: Event) -> Tape {
        if self.only_counts {
            self.stdout.skip_event();
            return event.into_tape();
        }
        self.append(&event);
        self.stdout.end_event();
        if let Some(left) = self.events_left {
            self.events_left = NonZeroU64::new(left.get() - 1);
            if self.events_left.is_none() {
                self.end = Some(Outcome::Count);
            }
        }
        event.into_tape()
    }

    fn append(&mut self, event: &Event) {
        let RemoteId(number) = event.remote();
        let remote = if self.names.len() > 1 { self.names.get(usize::from(number)) } else { None };
        self.renderer.render(event, remote.map(String::as_str), self.stdout.buffer());
    }

    fn render_gap(&mut self, gap: &Gap) {
        if self.limits.gap_events && !self.only_counts {
            let RemoteId(number) = gap.remote;
            let name = self.names.get(usize::from(number)).map_or("", String::as_str);
            match Event::decode(gap.to_message(name), gap.remote, Tape::default()) {
                Ok(event) => self.append(&event),
                Err(rejected) => debug_assert!(false, "a gap record is {}", rejected.why),
            }
        }
        if self.limits.fail_on_gap {
            self.end = Some(Outcome::Gap);
        }
    }
}
