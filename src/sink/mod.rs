//! Where events go. Only this step writes events.

pub(crate) mod exec;
pub(crate) mod printer;
pub(crate) mod recorder;
pub(crate) mod stdout;
pub(crate) mod terminal;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, eventfd};

use self::exec::Exec;
use self::printer::Printer;
use self::recorder::Recorder;
use self::stdout::Flushed;
use crate::event::{Event, RemoteId};

/// One destination of events.
pub(crate) enum Sink {
    /// Standard output, in the chosen format.
    Print(Printer),
    /// `--record`
    Record(Recorder),
    /// `--exec`
    Exec(Exec),
}

impl Sink {
    /// Adds an event of a server. Returns whether it counts: whether it is in the output, if this is the output.
    pub(crate) fn event(&mut self, event: &Event) -> bool {
        match self {
            Self::Print(printer) => printer.event(event),
            Self::Record(recorder) => {
                recorder.record(event);
                true
            }
            Self::Exec(exec) => {
                exec.event(event);
                true
            }
        }
    }

    /// Adds the record of a gap.
    pub(crate) fn gap(&mut self, record: &Event) {
        match self {
            Self::Print(printer) => printer.gap(record),
            Self::Record(recorder) => recorder.record(record),
            Self::Exec(exec) => exec.gap(record),
        }
    }

    /// Adds a remote, which an event of a recording names for the first time.
    pub(crate) fn add_remote(&mut self, name: &str) {
        match self {
            Self::Print(printer) => printer.add_remote(name),
            Self::Record(recorder) => recorder.add_remote(name),
            // The name is in the text of the event.
            Self::Exec(_) => {}
        }
    }

    /// Whether there is enough text for a write.
    #[must_use]
    pub(crate) fn is_full(&self) -> bool {
        match self {
            Self::Print(printer) => printer.is_full(),
            Self::Record(recorder) => recorder.is_full(),
            Self::Exec(exec) => exec.is_full(),
        }
    }

    /// Writes everything. Standard output is waited for until the deadline of its flow, and the command of `--exec` if
    /// the source can wait too.
    ///
    /// # Errors
    /// Standard output is gone (`BrokenPipe`) or broken.
    pub(crate) fn flush(&mut self) -> io::Result<Flushed> {
        match self {
            Self::Print(printer) => printer.flush(),
            Self::Record(recorder) => {
                recorder.flush();
                Ok(Flushed::All)
            }
            Self::Exec(exec) => {
                exec.flush();
                Ok(Flushed::All)
            }
        }
    }

    /// Writes as much as is possible without blocking.
    ///
    /// # Errors
    /// Standard output is gone (`BrokenPipe`) or broken.
    pub(crate) fn try_flush(&mut self) -> io::Result<Flushed> {
        match self {
            Self::Print(printer) => printer.try_flush(),
            Self::Record(recorder) => Ok(recorder.try_flush()),
            Self::Exec(exec) => Ok(exec.try_flush()),
        }
    }

    /// Nothing more is to be printed, so the next flush leaves the terminal as it was found.
    pub(crate) fn end(&mut self) {
        match self {
            Self::Print(printer) => printer.end(),
            Self::Record(_) | Self::Exec(_) => {}
        }
    }

    /// No more events will be added: writes what a former failure left to write.
    pub(crate) fn finish(&mut self) {
        match self {
            Self::Print(_) => {}
            Self::Record(recorder) => recorder.finish(),
            Self::Exec(exec) => exec.finish(),
        }
    }
}

/// The name of a remote if it is written with each event: where there are several, and it has a name.
fn shown_name(names: &[String], RemoteId(number): RemoteId) -> Option<&str> {
    let name = names.get(usize::from(number)).filter(|name| names.len() > 1 && !name.is_empty());
    name.map(String::as_str)
}

/// The state that the writing thread shares with the thread that ends the program: what has been written, and when to
/// stop writing.
#[derive(Debug)]
pub(crate) struct Flow {
    /// Interrupts a wait for an output that accepts nothing.
    interrupt: OwnedFd,
    finish: Mutex<Option<Finish>>,
    /// The number of rendered events, and of those that have been written completely.
    rendered: AtomicU64,
    written: AtomicU64,
}

/// When writing stops although not everything has been written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Finish {
    /// The deadline, whatever the output does.
    by: Instant,
    /// Writing stops earlier if the output has accepted nothing for `patience` since `moved_at`.
    moved_at: Instant,
    patience: Duration,
}

impl Finish {
    /// The time that is left for writing.
    fn time_left(self, now: Instant) -> Duration {
        self.by.min(self.moved_at + self.patience).saturating_duration_since(now)
    }
}

impl Flow {
    /// A flow without a deadline.
    ///
    /// # Errors
    /// No file descriptor is available.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?,
            finish: Mutex::default(),
            rendered: AtomicU64::new(0),
            written: AtomicU64::new(0),
        })
    }

    /// Makes writing stop after `within`, or earlier once the output has accepted nothing for `patience`.
    pub(crate) fn finish(&self, within: Duration, patience: Duration) {
        let now = Instant::now();
        // A day is far enough if the clock cannot represent the sum.
        let by = now.checked_add(within).unwrap_or_else(|| now + Duration::from_secs(86_400));
        *self.finish.lock().unwrap_or_else(PoisonError::into_inner) = Some(Finish { by, moved_at: now, patience });
        let _ = rustix::io::write(&self.interrupt, &1u64.to_ne_bytes());
    }

    /// The time that is left for writing; `None` without a deadline.
    fn time_left(&self) -> Option<Duration> {
        let finish = *self.finish.lock().unwrap_or_else(PoisonError::into_inner);
        finish.map(|finish| finish.time_left(Instant::now()))
    }

    /// Records that the output has accepted something.
    fn moved(&self) {
        if let Some(finish) = &mut *self.finish.lock().unwrap_or_else(PoisonError::into_inner) {
            finish.moved_at = Instant::now();
        }
    }

    /// The number of events that have been written completely.
    #[must_use]
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// The number of events that were rendered, or counted because the time for writing is over.
    #[must_use]
    pub(crate) fn rendered(&self) -> u64 {
        self.rendered.load(Ordering::Relaxed)
    }

    /// The number of events that were rendered and have not been written completely.
    #[must_use]
    pub(crate) fn unwritten(&self) -> u64 {
        self.rendered().saturating_sub(self.written())
    }
}
