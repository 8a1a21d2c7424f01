//! Joins the steps, and decides when the program ends.
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

pub mod deliver;
pub mod prepare;
pub mod window;

use std::cell::Cell;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use log::warn;
use tokio::sync::{Notify, oneshot};

use self::deliver::{Deliver, Outcome, Stop};
use self::prepare::{Batch, Prepare};
use self::window::Window;
use crate::config::{Config, Limits, Source};
use crate::event::RemoteId;
use crate::queue::{CaughtUp, Queue};
use crate::remote::{Address, Flavour, Remote};
use crate::render::{Format, Renderer};
use crate::report::exit::{Exit, Fault};
use crate::report::notice;
use crate::sink::Flow;
use crate::sink::stdout::{self, Flushed};
use crate::source::demo::Demo;
use crate::source::dial::dial;
use crate::source::request::Request;
use crate::source::server::{Conduct, Follow, Starts};
use crate::source::subscription::Lost;
use crate::system::clock::Resumed;
use crate::system::environment::Environment;
use crate::system::signals::Signals;

/// How long what has come may take to be written once a signal has asked for the end, and how long the output may accept
/// nothing meanwhile.
const AFTER_SIGNAL: (Duration, Duration) = (Duration::from_secs(1), Duration::from_millis(250));

/// The same once the timeout is over, at most.
const AFTER_TIMEOUT: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(1));

/// How much longer than that an output may take that cannot be interrupted.
const UNINTERRUPTED: Duration = Duration::from_millis(500);

/// For how long the reading thread sleeps while events come one soon after the other. Most of what an event costs is the
/// wake-up, and the cold caches that it finds: six at once cost little more than one. Everything that ends the program waits
/// for so long at most.
const NAP: Duration = Duration::from_millis(33);

/// The shortest sort window with which it does. Who asks for less wants events without delay.
const MIN_WINDOW_FOR_NAPS: Duration = Duration::from_millis(25);

/// An event that comes within this time after the last one was dealt with comes soon. One that is alone is dealt with and
/// released without delay.
const SOON: Duration = Duration::from_millis(6);

/// How many batches may wait for the thread that writes.
const WAITING: usize = 1;

/// Both steps, and what joins their threads.
struct Pipeline {
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
    async fn drive(&self) -> Stop {
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
struct Running {
    pipeline: Arc<Pipeline>,
    /// How the writing thread ends.
    ended: oneshot::Receiver<Stop>,
}

impl Running {
    fn start(queue: Arc<Queue>, prepare: Prepare, deliver: Deliver, may_nap: bool) -> anyhow::Result<Self> {
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

/// What happened first of all that ends a run.
enum First {
    /// There will be no more events.
    Ended(End),
    /// The output is complete or broken.
    Stopped(Stop),
    /// Nobody reads the output.
    ReaderGone,
    /// A thread is gone without a word.
    WriterDied,
}

/// Why there will be no more events.
enum End {
    /// The source has no more events, or failed.
    Source(anyhow::Result<()>),
    /// `--timeout` is over.
    Timeout,
    /// A signal.
    Signal(i32),
}

impl End {
    /// How long what has come may still be written, and how long the output may accept nothing meanwhile; none where it
    /// is waited for.
    fn time_to_write(&self, timeout: Option<Duration>) -> Option<(Duration, Duration)> {
        let (most, patience) = AFTER_TIMEOUT;
        match self {
            Self::Source(_) => None,
            Self::Signal(_) => Some(AFTER_SIGNAL),
            // As long again as the timeout.
            Self::Timeout => Some((most.min(timeout.unwrap_or(most)), patience)),
        }
    }

    fn into_exit(self, outcome: Outcome, limits: Limits) -> anyhow::Result<Exit> {
        match (self, outcome) {
            (Self::Signal(signal), _) => Ok(Exit::Signal(signal)),
            (_, Outcome::Count | Outcome::ReaderGone | Outcome::Gap) => Ok(outcome.exit()),
            // With `--count`, what was waited for has not come.
            (Self::Timeout, Outcome::Drained) if limits.count.is_some() => Ok(Exit::Timeout),
            (Self::Timeout, Outcome::Drained) => Ok(Exit::Success),
            (Self::Source(outcome), Outcome::Drained) => outcome.map(|()| Exit::Success),
        }
    }
}

/// Follows what the configuration says until the end, and returns how it ended.
///
/// # Errors
/// What ended it, when it was neither asked for nor a signal.
pub fn run(config: Config) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting")?;
    let outcome = runtime.block_on(follow(config));
    // A thread may sit in a read of standard input; the process need not wait for it.
    runtime.shutdown_background();
    outcome
}

async fn follow(config: Config) -> anyhow::Result<Exit> {
    let Config { source, environment, request, filter, format, surface, pretty, limits, conduct, .. } = config;
    let Config { timeout: time, sort_window, buffer, .. } = config;
    let mut signals = Signals::new().context("catching signals")?;
    let flow = Arc::new(Flow::new().context("starting")?);
    let queue = Arc::new(Queue::new(buffer, !matches!(source, Source::Servers(_))));
    let names = source.remote_names();
    let window = Window::new(sort_window, source.may_rest());
    // The other half of the memory is the queue's, so that it can never be the window that makes a reader drop.
    let prepare = Prepare::new(filter, format == Format::Json, window, buffer / 2, Arc::clone(queue.memory()));
    let renderer = Renderer::new(format, surface, &pretty);
    let deliver = Deliver::new(renderer, names.clone(), limits, Arc::clone(&flow)).context("standard output")?;
    let Running { pipeline, mut ended } =
        Running::start(Arc::clone(&queue), prepare, deliver, sort_window >= MIN_WINDOW_FOR_NAPS)?;

    let resumed = Resumed::default();
    let timeout = async {
        match time {
            Some(time) => tokio::time::sleep(time).await,
            None => std::future::pending().await,
        }
    };
    let reader_gone = stdout::reader_gone();
    tokio::pin!(timeout, reader_gone);

    let first = {
        let events = async {
            // In this order: what the source queues is taken in the same turn of the runtime.
            tokio::select! {
                biased;
                outcome = read_source(&source, &environment, &request, conduct, &queue, &resumed) => {
                    First::Ended(End::Source(outcome))
                }
                stop = pipeline.drive() => First::Stopped(stop),
            }
        };
        let others = async {
            tokio::select! {
                biased;
                stop = &mut ended => stop.map_or(First::WriterDied, First::Stopped),
                () = &mut reader_gone => First::ReaderGone,
                signal = signals.next() => First::Ended(End::Signal(signal)),
                () = &mut timeout => First::Ended(End::Timeout),
                () = resumed.watch() => unreachable!("it watches for ever"),
            }
        };
        // Each is polled only when something of its own has happened: an event costs no look at anything else.
        let parts: [Pin<Box<dyn Future<Output = First> + '_>>; 2] = [Box::pin(others), Box::pin(events)];
        let mut parts: FuturesUnordered<_> = parts.into_iter().collect();
        parts.next().await.unwrap_or(First::WriterDied)
    };
    let mut end = match first {
        First::Ended(end) => end,
        First::Stopped(stop) => return Ok(stop.into_outcome()?.exit()),
        First::ReaderGone => return Ok(Exit::Success),
        First::WriterDied => return Err(Fault::failed("the writing thread died").into()),
    };

    // Nothing more comes in. What is queued is still written, if that does not take too long.
    for gap in queue.end() {
        // When the source has ended by itself, its error says as much.
        if gap.dropped == 0 && matches!(end, End::Source(_)) {
            continue;
        }
        let RemoteId(number) = gap.remote;
        warn!("{}: {gap}", names.get(usize::from(number)).map_or("", String::as_str));
    }
    let outcome = loop {
        let time_to_write = end.time_to_write(time);
        if let Some((within, patience)) = time_to_write {
            flow.finish(within, patience);
        }
        let uninterrupted = async {
            match time_to_write {
                Some((within, _)) => tokio::time::sleep(within + UNINTERRUPTED).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            stop = &mut ended => break stop.context("the writing thread died")?.into_outcome()?,
            () = &mut reader_gone => break Outcome::ReaderGone,
            // A second one does not wait.
            signal = signals.next() => {
                let is_second = matches!(end, End::Signal(_));
                end = End::Signal(signal);
                if is_second {
                    break Outcome::Drained;
                }
            }
            () = &mut timeout, if matches!(end, End::Source(_)) => end = End::Timeout,
            () = uninterrupted => break Outcome::Drained,
        }
    };
    if outcome != Outcome::ReaderGone {
        report_unwritten(flow.unwritten());
    }
    end.into_exit(outcome, limits)
}

fn report_unwritten(events: u64) {
    if events > 0 {
        let were = if events == 1 { "event was" } else { "events were" };
        warn!("{events} {were} not written: the reader of our output is too slow");
    }
}

async fn read_source(
    source: &Source,
    environment: &Environment,
    request: &Request,
    conduct: Conduct,
    queue: &Arc<Queue>,
    resumed: &Resumed,
) -> anyhow::Result<()> {
    match source {
        Source::Servers(remotes) => follow_servers(remotes, environment, request, conduct, queue, resumed).await,
        Source::Replay(recording) => recording.run(Arc::clone(queue)).await,
        Source::Demo => play_demo(environment, request, queue, resumed).await,
    }
}

/// Follows all remotes at once. One that fails is reported and does not stop the others.
async fn follow_servers(
    remotes: &[Remote],
    environment: &Environment,
    request: &Request,
    conduct: Conduct,
    queue: &Queue,
    resumed: &Resumed,
) -> anyhow::Result<()> {
    let starts = Starts::new(remotes.len());
    // One of several that fails at the start is tried again like one that is lost later.
    let of_several = Conduct { retry: conduct.retry || (remotes.len() > 1 && conduct.reconnect), ..conduct };
    let follow = |(number, remote)| {
        let follow = Follow {
            remote,
            id: RemoteId(number),
            request,
            queue,
            conduct: of_several,
            connections: remotes.len(),
            starts: &starts,
            resumed,
        };
        let dial = async |is_accepted: &Cell<bool>| dial(remote, environment, is_accepted).await;
        async move { follow.run(dial).await.with_context(|| remote.name.clone()) }
    };
    if let [remote] = remotes {
        return follow((0, remote)).await;
    }
    let mut followed: FuturesUnordered<_> = (0..).zip(remotes).map(follow).collect();
    let all = async {
        while let Some(outcome) = followed.next().await {
            if let Err(error) = outcome {
                notice::show(&error);
            }
        }
        Err(Fault::failed("none of the remotes is followed any more").into())
    };
    tokio::select! {
        biased;
        outcome = all => outcome,
        () = starts.all_failed(), if !conduct.retry => {
            Err(Fault::failed("none of the remotes can be followed").hint("--retry keeps trying").into())
        }
    }
}

async fn play_demo(
    environment: &Environment,
    request: &Request,
    queue: &Queue,
    resumed: &Resumed,
) -> anyhow::Result<()> {
    let demo = Demo::new()?;
    let remote = Remote {
        name: "demo".into(),
        flavour: Flavour::Lxd,
        why: "the recorded server is one".into(),
        address: Address::Unix(demo.socket()),
        project: None,
    };
    let starts = Starts::new(1);
    let follow = Follow {
        remote: &remote,
        id: RemoteId::default(),
        request,
        queue,
        conduct: Conduct { retry: false, reconnect: false, fail_on_gap: false },
        connections: 1,
        starts: &starts,
        resumed,
    };
    let dial = async |is_accepted: &Cell<bool>| dial(&remote, environment, is_accepted).await;
    let (served, followed) = tokio::join!(demo.serve(), follow.run(dial));
    served.context("the demonstration's server")?;
    match followed {
        // The server's end is the session's end.
        Err(error) if error.is::<Lost>() => Ok(()),
        outcome => outcome.context("following the demonstration's server"),
    }
}
