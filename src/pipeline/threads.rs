//! The two steps, and which thread runs them.
//!
//! ```text
//!   reading thread                       "prepare"                         "deliver"
//!
//!   sources ──> queue ────────────────>  decode, filter, window ─ batch ─> render, write
//!                 └──> the same two steps here, while little comes
//! ```
//!
//! Under load each step has a thread of its own. While little waits and the output accepts what is written, all of it is
//! done by a task on the reading thread, right after the read: no other thread has to be woken for an event or two.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot};

use super::deliver::{Deliver, Outcome, Stop};
use super::prepare::{Batch, Prepare};
use crate::queue::{CaughtUp, Queue};
use crate::report::exit::Fault;
use crate::sink::stdout::Flushed;

/// For how long the reading thread sleeps while events come one soon after the other. Most of what an event costs is the
/// wake-up, and the cold caches that it finds: six at once cost little more than one. Everything that ends the program waits
/// for so long at most.
const NAP: Duration = Duration::from_millis(33);

/// The shortest sort window with which it does. Who asks for less wants events without delay.
pub(super) const MIN_WINDOW_FOR_NAPS: Duration = Duration::from_millis(25);

/// An event that comes within this time after the last one was dealt with comes soon. One that is alone is dealt with and
/// released without delay.
const SOON: Duration = Duration::from_millis(6);

/// How many batches may wait for the thread that writes.
const WAITING: usize = 1;

/// Both steps, and what joins their threads.
pub(super) struct Pipeline {
    queue: Arc<Queue>,
    front: Mutex<Front>,
    deliver: Mutex<Deliver>,
    /// Batches that the writing thread has been given and not finished.
    in_flight: AtomicUsize,
    /// The thread that prepares has nothing to do any more.
    rests: Notify,
    /// Whether the reading thread may sleep between events.
    may_nap: bool,
}

/// The first step, and the way to the thread of the second.
struct Front {
    prepare: Prepare,
    /// None once all batches have been sent.
    batches: Option<SyncSender<Batch>>,
    /// Batches that the writing thread has used.
    used: Receiver<Batch>,
}

/// What one run of the steps on the reading thread has achieved.
enum Run {
    /// Everything is done until this time.
    Done(Option<Instant>),
    /// A thread has to go on.
    Busy,
}

/// Locks what no other thread leaves half changed: a panic ends the process (panic=abort).
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pipeline {
    /// Takes what waits, and releases what is due at `now`, everything that came by then being queued.
    fn run(&self, now: Instant) -> Result<Run, Stop> {
        let mut front = match self.front.try_lock() {
            Ok(front) => front,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Ok(Run::Busy),
        };
        let deadline = front.prepare.deadline();
        if self.queue.is_empty() && deadline.is_none_or(|deadline| deadline > now) {
            return Ok(Run::Done(deadline));
        }
        if self.in_flight.load(Ordering::Acquire) > 0 {
            return Ok(Run::Busy);
        }
        while let Some(item) = self.queue.take() {
            front.prepare.admit(item, self.queue.in_use_outside());
        }
        front.prepare.advance(now);
        if let Some(mut batch) = front.prepare.take_batch(|| None) {
            // Nobody else has it: nothing is in flight, and only who has the front can change that.
            let mut deliver = lock(&self.deliver);
            deliver.render(&mut batch, false)?;
            front.prepare.return_batch(batch);
            if deliver.try_flush()? == Flushed::Part {
                drop(deliver);
                // An empty batch makes the thread write what is left.
                self.send(&front, Batch::default());
            }
        }
        Ok(if self.queue.memory().has_room() { Run::Done(front.prepare.deadline()) } else { Run::Busy })
    }

    /// Gives the writing thread a batch. Once that thread has ended, it has reported why.
    fn send(&self, front: &Front, batch: Batch) {
        self.in_flight.fetch_add(1, Ordering::AcqRel);
        if let Some(batches) = &front.batches {
            let _ = batches.send(batch);
        }
    }

    fn send_prepared(&self, front: &mut Front) {
        let used = &front.used;
        if let Some(batch) = front.prepare.take_batch(|| used.try_recv().ok()) {
            self.send(front, batch);
        }
    }

    /// The thread that decodes, filters and orders, whenever that is more than the reading thread should do.
    fn run_prepare(&self) {
        loop {
            self.queue.wait_until_wanted();
            let mut front = lock(&self.front);
            loop {
                while let Some(item) = self.queue.take() {
                    front.prepare.admit(item, self.queue.in_use_outside());
                    if front.prepare.is_full() {
                        self.send_prepared(&mut front);
                    }
                }
                match self.queue.thread_caught_up() {
                    CaughtUp::More => {}
                    CaughtUp::Rest(now) => {
                        if let Some(now) = now {
                            front.prepare.advance(now);
                        }
                        break;
                    }
                    CaughtUp::Ended => {
                        front.prepare.finish();
                        self.send_prepared(&mut front);
                        front.batches = None;
                        return;
                    }
                }
            }
            while front.prepare.make_room() {
                self.send_prepared(&mut front);
            }
            drop(front);
            self.rests.notify_one();
        }
    }

    /// The thread that renders and writes, until the batches end or there is no point in going on.
    fn run_deliver(&self, batches: &Receiver<Batch>, used: &SyncSender<Batch>) -> Stop {
        let mut next = None;
        while let Some(mut batch) = next.take().or_else(|| batches.recv().ok()) {
            let mut deliver = lock(&self.deliver);
            // Before waiting for the next batch, what is rendered is written.
            let outcome = deliver.render(&mut batch, true).and_then(|()| {
                next = batches.try_recv().ok();
                if next.is_none() { deliver.flush() } else { Ok(()) }
            });
            if let Err(stop) = outcome {
                deliver.report_skipped();
                return stop;
            }
            drop(deliver);
            // When the other thread has ended, it needs no batches.
            let _ = used.try_send(batch);
            self.in_flight.fetch_sub(1, Ordering::AcqRel);
        }
        lock(&self.deliver).report_skipped();
        Stop::Ended(Outcome::Drained)
    }

    /// The task on the reading thread: runs the steps whenever something was queued or is due, until they stop.
    pub(super) async fn drive(&self) -> Stop {
        let alarm = tokio::time::sleep(Duration::ZERO);
        tokio::pin!(alarm);
        let mut deadline = None;
        let mut turn_ended = Instant::now();
        loop {
            let is_due = tokio::select! {
                () = self.queue.filled() => false,
                () = self.rests.notified() => false,
                () = &mut alarm, if deadline.is_some() => true,
            };
            let now = Instant::now();
            let is_soon = now.duration_since(turn_ended) < SOON;
            if is_due {
                // The first lets the runtime look at the sockets, the second lets those be read that have something: what
                // was not read because this process got no processor is not late.
                tokio::task::yield_now().await;
                tokio::task::yield_now().await;
            }
            if self.queue.is_threads() {
                deadline = None;
                continue;
            }
            deadline = match self.run(now) {
                Ok(Run::Done(deadline)) => deadline,
                Ok(Run::Busy) => {
                    self.queue.want_thread(now);
                    None
                }
                Err(stop) => {
                    lock(&self.deliver).report_skipped();
                    return stop;
                }
            };
            if let Some(deadline) = deadline {
                if self.may_nap && is_soon && !is_due {
                    std::thread::sleep(NAP.min(deadline.saturating_duration_since(Instant::now())));
                }
                // A new one: a timer that is put off wakes the thread at its former time too.
                alarm.set(tokio::time::sleep_until(deadline.into()));
            }
            turn_ended = Instant::now();
        }
    }
}

/// A pipeline whose threads run.
pub(super) struct Running {
    pub(super) pipeline: Arc<Pipeline>,
    /// How the writing thread ends.
    pub(super) ended: oneshot::Receiver<Stop>,
}

impl Running {
    pub(super) fn start(queue: Arc<Queue>, prepare: Prepare, deliver: Deliver, may_nap: bool) -> anyhow::Result<Self> {
        let (batches, coming) = sync_channel(WAITING);
        // Room for all that can be on the way, so that the writing thread never waits.
        let (returned, used) = sync_channel(WAITING + 2);
        let pipeline = Arc::new(Pipeline {
            queue,
            front: Mutex::new(Front { prepare, batches: Some(batches), used }),
            deliver: Mutex::new(deliver),
            in_flight: AtomicUsize::new(0),
            rests: Notify::new(),
            may_nap,
        });
        let thread = |name: &str, work: Box<dyn FnOnce() + Send>| {
            let spawned = std::thread::Builder::new().name(name.into()).spawn(work);
            spawned.map(drop).map_err(|error| {
                Fault::failed(format!("cannot start a thread: {error}"))
                    .hint("`ulimit -u` and the pids limit of the control group say how many are allowed")
            })
        };
        let preparing = Arc::clone(&pipeline);
        thread("prepare", Box::new(move || preparing.run_prepare()))?;
        let delivering = Arc::clone(&pipeline);
        let (report, ended) = oneshot::channel();
        // Nobody waits for the report any more when the process is about to end.
        thread("deliver", Box::new(move || _ = report.send(delivering.run_deliver(&coming, &returned))))?;
        Ok(Self { pipeline, ended })
    }
}
