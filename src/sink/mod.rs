//! Where rendered events go. Only this step writes.

pub mod stdout;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, eventfd};

/// What the thread that writes and the one that ends the program know of one output: whether it moves, and when writing
/// is to end.
#[derive(Debug)]
pub struct Flow {
    /// Interrupts the wait for an output that accepts nothing.
    interrupt: OwnedFd,
    finish: Mutex<Option<Finish>>,
    /// Events that were rendered, and those of them that are completely written.
    rendered: AtomicU64,
    written: AtomicU64,
}

/// When writing ends although not everything is written.
#[derive(Clone, Copy, Debug)]
pub struct Finish {
    /// At this time, whatever the output does.
    by: Instant,
    /// Before that once the output has accepted nothing for `patience` since `moved_at`.
    moved_at: Instant,
    patience: Duration,
}

impl Finish {
    /// How long there is still time to write.
    fn time_left(self, now: Instant) -> Duration {
        self.by.min(self.moved_at + self.patience).saturating_duration_since(now)
    }
}

impl Flow {
    /// An output that moves.
    ///
    /// # Errors
    /// No descriptor is to be had.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?,
            finish: Mutex::default(),
            rendered: AtomicU64::new(0),
            written: AtomicU64::new(0),
        })
    }

    /// Writing ends `within` that time, and before that once the output accepts nothing for `patience`.
    pub fn finish(&self, within: Duration, patience: Duration) {
        let now = Instant::now();
        // Far enough for a duration that no clock can be added to.
        let by = now.checked_add(within).unwrap_or_else(|| now + Duration::from_secs(86_400));
        *self.finish.lock().unwrap_or_else(PoisonError::into_inner) = Some(Finish { by, moved_at: now, patience });
        let _ = rustix::io::write(&self.interrupt, &1u64.to_ne_bytes());
    }

    /// How long there is still time to write; none while writing is not to end.
    fn time_left(&self) -> Option<Duration> {
        let finish = *self.finish.lock().unwrap_or_else(PoisonError::into_inner);
        finish.map(|finish| finish.time_left(Instant::now()))
    }

    /// The output has accepted something.
    fn moved(&self) {
        if let Some(finish) = &mut *self.finish.lock().unwrap_or_else(PoisonError::into_inner) {
            finish.moved_at = Instant::now();
        }
    }

    /// How many events were rendered and not completely written so far.
    #[must_use]
    pub fn unwritten(&self) -> u64 {
        self.rendered.load(Ordering::Relaxed).saturating_sub(self.written.load(Ordering::Relaxed))
    }
}
