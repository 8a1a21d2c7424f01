//! The second half of the way: decodes messages, filters, orders, renders and writes them.

use std::io;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Instant;

use log::warn;

use crate::config::Config;
use crate::event::json::Tape;
use crate::event::{Event, Message, RemoteId};
use crate::exit::{Exit, Fault};
use crate::filter::Filter;
use crate::gap::Gap;
use crate::order::Order;
use crate::queue::{Item, Queue, Taken};
use crate::render::Renderer;
use crate::sink::stdout::Stdout;
use crate::skipped::Skipped;

/// How much is taken from the queue before it may fill up again, in bytes.
const RELEASE: usize = 64 << 10;

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

/// Everything between the queue and standard output.
pub struct Writer {
    queue: Arc<Queue>,
    filter: Filter,
    order: Order,
    renderer: Renderer,
    stdout: Stdout,
    skipped: Skipped,
    /// The remotes' names, when there are several.
    names: Vec<String>,
    /// How many events are still to be written.
    left: Option<NonZeroU64>,
    gap_events: bool,
    fail_on_gap: bool,
    /// Tapes for the next events.
    tapes: Vec<Tape>,
    /// Bytes that were taken and not yet released.
    taken: usize,
}

/// Why the writer stops before the queue ends.
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
    /// Prints as the configuration says.
    pub fn new(config: &Config, filter: Filter, queue: Arc<Queue>) -> io::Result<Self> {
        let names = config.source.remote_names();
        Ok(Self {
            filter,
            order: Order::new(config.sort_window, names.len()),
            renderer: Renderer::new(config.format, config.surface, &config.pretty),
            stdout: Stdout::new(Arc::clone(&queue))?,
            skipped: Skipped::new(config.source.remote_names()),
            names,
            left: config.count,
            gap_events: config.gap_events,
            fail_on_gap: config.fail_on_gap,
            tapes: Vec::new(),
            taken: 0,
            queue,
        })
    }

    /// Writes until the queue ends, or until there is no point in going on.
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
        let mut items = Vec::new();
        let mut arrived = Instant::now();
        loop {
            let taken = self.queue.take(&mut items, self.order.deadline());
            // When the queue runs ahead of us, time is what it was when its items arrived: what is late is late on the
            // way here, not here.
            let mut now = arrived;
            for item in items.drain(..) {
                self.taken += item.size();
                match item {
                    Item::Arrived(time) => now = time,
                    Item::Message(remote, message) => self.take_in(message, remote, None, now),
                    Item::Line(number, message) => self.take_in(message, RemoteId::default(), Some(number), now),
                    Item::Unreadable(remote, why) => self.skipped.unreadable(remote, why),
                    Item::Gap(gap) => self.mark(&gap)?,
                }
                self.print_due(now)?;
                if self.taken >= RELEASE {
                    self.release();
                }
            }
            arrived = now;
            if !self.queue.has_items() {
                self.print_due(Instant::now())?;
            }
            if taken == Taken::End {
                self.print_held()?;
                self.stdout.flush()?;
                return Ok(Ended::Drained);
            }
            self.release();
            if !self.queue.has_items() {
                self.stdout.flush()?;
            }
        }
    }

    fn release(&mut self) {
        self.queue.release(std::mem::take(&mut self.taken));
    }

    /// From message to event, into the sort window if it is wanted.
    fn take_in(&mut self, message: Message, remote: RemoteId, line: Option<u64>, now: Instant) {
        match Event::decode(message, remote, self.tapes.pop().unwrap_or_default()) {
            Ok(event) if self.filter.admits(&event) => self.order.push(event, now),
            Ok(event) => self.tapes.push(event.into_tape()),
            Err(rejected) => {
                self.skipped.malformed(remote, line, rejected.why, &rejected.message);
                self.tapes.push(rejected.tape);
            }
        }
    }

    fn print_due(&mut self, now: Instant) -> Result<(), Stop> {
        while let Some(event) = self.order.pop(now) {
            self.print(event)?;
        }
        Ok(())
    }

    fn print_held(&mut self) -> Result<(), Stop> {
        while let Some(event) = self.order.drain() {
            self.print(event)?;
        }
        Ok(())
    }

    fn print(&mut self, event: Event) -> Result<(), Stop> {
        self.render(&event);
        self.tapes.push(event.into_tape());
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
        Ok(())
    }

    fn render(&mut self, event: &Event) {
        let RemoteId(number) = event.remote();
        let remote = if self.names.len() > 1 { self.names.get(usize::from(number)) } else { None };
        self.renderer.render(event, remote.map(String::as_str), self.stdout.buffer());
    }

    /// Tells of a gap where it is in the stream.
    fn mark(&mut self, gap: &Gap) -> Result<(), Stop> {
        self.print_held()?;
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
