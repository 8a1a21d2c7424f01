//! The steps prepare and deliver, and the threads that run them.
//!
//! ```text
//!   reading thread                       thread "prepare"                  thread "deliver"
//!
//!   sources ──> queue ── under load ──>  decode, filter, window ─ batch ─> render, write
//!                 └── otherwise ──> the same two steps, as a task of this thread
//! ```
//!
//! Under load each step has its own thread. While only a little data waits and the output is not blocked, a task on the
//! reading thread does all the work right after the read, so that no other thread has to be woken for a few events.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot};

use super::deliver::{Deliver, Stop};
use super::prepare::{Batch, Prepare};
use crate::queue::{CaughtUp, Queue};
use crate::report::exit::Fault;
use crate::sink::stdout::Flushed;

/// How long the reading thread sleeps while events follow each other closely, selected or not. Most of the cost of an
/// event is the wake-up and the cold caches after it: six events per wake-up cost little more than one. Signals and the
/// timeout are delayed by at most this time.
const NAP: Duration = Duration::from_millis(33);

/// The shortest sort window with which the reading thread sleeps. A user who asks for a shorter one wants no delay.
pub(super) const MIN_WINDOW_FOR_NAPS: Duration = Duration::from_millis(25);

/// An event follows closely if it arrives within this time after the previous turn ended. The thread does not sleep
/// after other events, so that a single event is handled and released without delay.
const SOON: Duration = Duration::from_millis(6);

/// The maximum number of batches that wait for the writing thread.
const WAITING: usize = 1;

/// Both steps, and the state that their threads share.
pub(super) struct Pipeline {
    queue: Arc<Queue>,
    front: Mutex<Front>,
    deliver: Mutex<Deliver>,
    /// The number of batches that were sent to the writing thread and are not finished.
    in_flight: AtomicUsize,
    /// Notified when the thread "prepare" has no more work.
    rests: Notify,
    /// Whether the reading thread may sleep between events.
    may_nap: bool,
    /// Whether an item of the queue can take long, so that only the thread "prepare" admits it.
    may_wait: bool,
}

/// The first step, and the channels to the thread of the second.
struct Front {
    prepare: Prepare,
    /// `None` once all batches have been sent.
    batches: Option<SyncSender<Batch>>,
    /// Batches that the writing thread returns for reuse.
    used: Receiver<Batch>,
}

/// The result of running the steps on the reading thread.
enum Run {
    /// There is nothing to do before this time; `None`: before the next item is queued.
    Done(Option<Instant>),
    /// The threads must continue.
    Busy,
}

/// Locks a mutex. Poisoning is ignored because a panic ends the process (`panic = "abort"`).
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pipeline {
    /// Runs both steps: handles all queued items, and releases the events that are due at `now`. All events that
    /// arrived by `now` must have been queued.
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
        if self.in_flight.load(Ordering::Acquire) > 0 || (self.may_wait && !self.queue.is_empty()) {
            return Ok(Run::Busy);
        }
        while let Some(item) = self.queue.take() {
            front.prepare.admit(item, self.queue.in_use_outside());
        }
        front.prepare.advance(now);
        let mut next = front.prepare.take_batch(|| None);
        if next.is_some() {
            // The lock is free: nothing is in flight, and only the holder of the lock on `front` can send a batch.
            let mut deliver = lock(&self.deliver);
            while let Some(mut batch) = next {
                deliver.render(&mut batch, false)?;
                front.prepare.return_batch(batch);
                front.prepare.release_due();
                next = front.prepare.take_batch(|| None);
            }
            if deliver.try_flush()? == Flushed::Part {
                drop(deliver);
                // An empty batch makes the writing thread write the rest.
                self.send(&front, Batch::default());
            }
        }
        Ok(if self.queue.memory().has_room() { Run::Done(front.prepare.deadline()) } else { Run::Busy })
    }

    /// Sends a batch to the writing thread. An error is ignored: that thread has ended then, and has reported why.
    fn send(&self, front: &Front, batch: Batch) {
        self.in_flight.fetch_add(1, Ordering::AcqRel);
        if let Some(batches) = &front.batches {
            let _ = batches.send(batch);
        }
    }

    /// Makes the writing thread flush the sinks although there is no event.
    pub(super) fn flush(&self) {
        // If the lock is taken, the thread "prepare" is at work and will send a batch.
        let Ok(front) = self.front.try_lock() else { return };
        self.in_flight.fetch_add(1, Ordering::AcqRel);
        let sent = front.batches.as_ref().map(|batches| batches.try_send(Batch::default()));
        if !matches!(sent, Some(Ok(()))) {
            self.in_flight.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Draws the live rows, without waiting for the output.
    pub(super) fn redraw(&self) -> Result<Flushed, Stop> {
        // If the lock is taken, the writing thread is at work, or waits for the output.
        let mut deliver = match self.deliver.try_lock() {
            Ok(deliver) => deliver,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Ok(Flushed::Part),
        };
        let flushed = deliver.try_flush()?;
        drop(deliver);
        if flushed == Flushed::Part {
            self.flush();
        }
        Ok(flushed)
    }

    /// Makes the sinks write what they hold, before the program ends without waiting for the threads.
    pub(super) fn finish_sinks(&self) {
        lock(&self.deliver).finish_sinks();
    }

    fn send_prepared(&self, front: &mut Front) {
        let used = &front.used;
        if let Some(batch) = front.prepare.take_batch(|| used.try_recv().ok()) {
            self.send(front, batch);
        }
    }

    /// Runs on the thread "prepare": decodes, filters and sorts while there is too much work for the reading thread.
    fn run_prepare(&self) {
        loop {
            self.queue.wait_until_wanted();
            let mut front = lock(&self.front);
            loop {
                while let Some(item) = self.queue.take() {
                    front.prepare.admit(item, self.queue.in_use_outside());
                    while front.prepare.is_full() {
                        self.send_prepared(&mut front);
                        front.prepare.release_due();
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
                        while front.prepare.finish() {
                            self.send_prepared(&mut front);
                        }
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

    /// Runs on the thread "deliver": renders and writes until there are no more batches or the output ends.
    fn run_deliver(&self, batches: &Receiver<Batch>, used: &SyncSender<Batch>) -> Stop {
        let mut next = None;
        while let Some(mut batch) = next.take().or_else(|| batches.recv().ok()) {
            let mut deliver = lock(&self.deliver);
            // Rendered text is written before the thread waits for the next batch.
            let outcome = deliver.render(&mut batch, true).and_then(|()| {
                next = batches.try_recv().ok();
                if next.is_none() { deliver.flush() } else { Ok(()) }
            });
            if let Err(stop) = outcome {
                deliver.finish();
                return stop;
            }
            drop(deliver);
            // If the other thread has ended, the batch is dropped.
            let _ = used.try_send(batch);
            self.in_flight.fetch_sub(1, Ordering::AcqRel);
        }
        let mut deliver = lock(&self.deliver);
        let ended = deliver.end();
        deliver.finish();
        ended.err().unwrap_or_else(|| deliver.last_stop())
    }

    /// The task on the reading thread: runs the steps when an item was queued or an event is due, until the output
    /// ends.
    pub(super) async fn drive(&self) -> Stop {
        let alarm = tokio::time::sleep(Duration::ZERO);
        tokio::pin!(alarm);
        let mut deadline = None;
        let mut turn_ended: Option<Instant> = None;
        loop {
            let is_due = tokio::select! {
                () = self.queue.filled() => false,
                () = self.rests.notified() => false,
                () = &mut alarm, if deadline.is_some() => true,
            };
            let now = Instant::now();
            if is_due {
                // The first yield makes the runtime poll the sockets, the second lets the readers of ready sockets run.
                // Otherwise an event that is unread only because this process got no CPU time would be late.
                tokio::task::yield_now().await;
                tokio::task::yield_now().await;
            }
            if self.queue.is_threads() {
                deadline = None;
                continue;
            }
            let is_stream = self.may_nap
                && turn_ended.is_some_and(|ended| now.duration_since(ended) < SOON)
                && !self.queue.is_empty();
            deadline = match self.run(now) {
                Ok(Run::Done(deadline)) => {
                    if is_stream {
                        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
                        std::thread::sleep(left.unwrap_or(NAP).min(NAP));
                    }
                    deadline
                }
                Ok(Run::Busy) => {
                    self.queue.want_thread(now);
                    None
                }
                Err(stop) => {
                    lock(&self.deliver).finish();
                    return stop;
                }
            };
            if let Some(deadline) = deadline {
                // A new timer, because one that is moved to a later time also wakes the thread at its former time.
                alarm.set(tokio::time::sleep_until(deadline.into()));
            }
            turn_ended = Some(Instant::now());
        }
    }
}

/// A pipeline whose threads are running.
pub(super) struct Running {
    pub(super) pipeline: Arc<Pipeline>,
    /// Receives the result of the writing thread.
    pub(super) ended: oneshot::Receiver<Stop>,
}

impl Running {
    pub(super) fn start(
        queue: Arc<Queue>,
        prepare: Prepare,
        deliver: Deliver,
        may_nap: bool,
        may_wait: bool,
    ) -> anyhow::Result<Self> {
        let (batches, coming) = sync_channel(WAITING);
        // Capacity for all batches that exist, so that returning one never blocks the writing thread.
        let (returned, used) = sync_channel(WAITING + 2);
        let pipeline = Arc::new(Pipeline {
            queue,
            front: Mutex::new(Front { prepare, batches: Some(batches), used }),
            deliver: Mutex::new(deliver),
            in_flight: AtomicUsize::new(0),
            rests: Notify::new(),
            may_nap,
            may_wait,
        });
        let thread = |name: &str, work: Box<dyn FnOnce() + Send>| {
            let spawned = std::thread::Builder::new().name(name.into()).spawn(work);
            spawned.map(drop).map_err(|error| {
                Fault::failed(format!("cannot start a thread: {error}"))
                    .hint("`ulimit -u` and the pids limit of the control group limit the number of threads")
            })
        };
        let preparing = Arc::clone(&pipeline);
        thread("prepare", Box::new(move || preparing.run_prepare()))?;
        let delivering = Arc::clone(&pipeline);
        let (report, ended) = oneshot::channel();
        // An error is ignored: the receiver is dropped when the process is about to end.
        thread("deliver", Box::new(move || _ = report.send(delivering.run_deliver(&coming, &returned))))?;
        Ok(Self { pipeline, ended })
    }
}
