//! The last part of the way: renders what the sorter passes on, and writes it.

use std::io;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::mpsc::TryRecvError;

use log::warn;

use crate::config::Config;
use crate::event::json::Tape;
use crate::event::{Event, RemoteId};
use crate::exit::{Exit, Fault};
use crate::gap::Gap;
use crate::queue::Queue;
use crate::render::Renderer;
use crate::sink::stdout::Stdout;
use crate::skipped::Skipped;
use crate::sorter::{Batch, Batches, Sorted};

/// Why the writer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// As many events as `--count` asked for are written.
    Count,
    /// Everything is written, and nothing more will come.
    Drained,
    /// Nobody reads what we write.
    ReaderGone,
    /// Events were lost, and `--fail-on-gap` was given.
    Gap,
}

impl Ended {
    /// What that means for the program, where `drained` is what the end of the source means.
    #[must_use]
    pub fn exit(self, drained: Exit) -> Exit {
        match self {
            Self::Drained => drained,
            Self::Count | Self::ReaderGone => Exit::Success,
            Self::Gap => Exit::Gap,
        }
    }
}

/// Everything between the sorter and standard output.
pub struct Writer {
    batches: Batches,
    renderer: Renderer,
    stdout: Stdout,
    skipped: Skipped,
    /// The remotes' names, when there are several.
    names: Vec<String>,
    /// How many events are still to be written.
    left: Option<NonZeroU64>,
    gap_events: bool,
    fail_on_gap: bool,
}

/// Why the writer stops before the end.
enum Stop {
    Ended(Ended),
    Failed(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Ended(Ended::ReaderGone),
            _ => Self::Failed(error),
        }
    }
}

impl Writer {
    /// Prints as the configuration says, and tells `queue` how writing goes.
    ///
    /// # Errors
    /// There is no standard output.
    pub fn new(config: &Config, queue: Arc<Queue>, batches: Batches) -> io::Result<Self> {
        Ok(Self {
            batches,
            renderer: Renderer::new(config.format, config.surface, &config.pretty),
            stdout: Stdout::new(queue)?,
            skipped: Skipped::new(config.source.remote_names()),
            names: config.source.remote_names(),
            left: config.count,
            gap_events: config.gap_events,
            fail_on_gap: config.fail_on_gap,
        })
    }

    /// Writes until the sorter ends, or until there is no point in going on.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn run(mut self) -> anyhow::Result<Ended> {
        let stop = self.write_all();
        self.skipped.tell();
        match stop {
            Ok(ended) | Err(Stop::Ended(ended)) => Ok(ended),
            Err(Stop::Failed(error)) => Err(Fault::failed(format!("writing to standard output: {error}")).into()),
        }
    }

    fn write_all(&mut self) -> Result<Ended, Stop> {
        while let Some(Batch { mut sorted, mut tapes }) = self.next()? {
            for one in sorted.drain(..) {
                match one {
                    Sorted::Event(event) => {
                        let tape = self.print(event)?;
                        // That of a stripped event is none to use again.
                        if tape.size() > 0 {
                            tapes.push(tape);
                        }
                    }
                    Sorted::Gap(gap) => self.mark(&gap)?,
                    Sorted::Malformed(remote, line, why, message) => {
                        self.skipped.malformed(remote, line, why, &message);
                    }
                    Sorted::Unreadable(remote, why) => self.skipped.unreadable(remote, why),
                }
            }
            // When the sorter has ended, it needs no tapes.
            let _ = self.batches.returned.try_send(Batch { sorted, tapes });
        }
        Ok(Ended::Drained)
    }

    /// The next batch; before waiting for it, what is rendered is written.
    fn next(&mut self) -> Result<Option<Batch>, Stop> {
        match self.batches.coming.try_recv() {
            Ok(batch) => Ok(Some(batch)),
            Err(TryRecvError::Disconnected) => {
                self.stdout.flush()?;
                Ok(None)
            }
            Err(TryRecvError::Empty) => {
                self.stdout.flush()?;
                Ok(self.batches.coming.recv().ok())
            }
        }
    }

    /// Renders the event, and gives back its tape.
    fn print(&mut self, event: Event) -> Result<Tape, Stop> {
        self.render(&event);
        if let Some(left) = self.left {
            self.left = NonZeroU64::new(left.get() - 1);
            if self.left.is_none() {
                self.stdout.flush()?;
                return Err(Stop::Ended(Ended::Count));
            }
        }
        if self.stdout.is_full() {
            self.stdout.flush()?;
        }
        Ok(event.into_tape())
    }

    fn render(&mut self, event: &Event) {
        let RemoteId(number) = event.remote();
        let remote = if self.names.len() > 1 { self.names.get(usize::from(number)) } else { None };
        self.renderer.render(event, remote.map(String::as_str), self.stdout.buffer());
    }

    /// Tells of a gap where it is in the stream.
    fn mark(&mut self, gap: &Gap) -> Result<(), Stop> {
        let RemoteId(number) = gap.remote;
        let name = self.names.get(usize::from(number)).map_or("", String::as_str);
        warn!("{name}: {gap}");
        if self.gap_events {
            let message = gap.to_message(name);
            match Event::decode(message, gap.remote, Tape::default()) {
                Ok(event) => self.render(&event),
                Err(rejected) => debug_assert!(false, "a gap record is {}", rejected.why),
            }
        }
        if self.fail_on_gap {
            self.stdout.flush()?;
            return Err(Stop::Ended(Ended::Gap));
        }
        Ok(())
    }
}
