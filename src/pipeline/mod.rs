//! Joins the steps, and decides when the program ends.
//!
//! A run starts (`Run::start`), goes on until the first thing that ends it (`Run::first_ending`), and then writes what
//! has come by then, if that does not take too long (`Run::drain`).

pub mod deliver;
pub mod prepare;
mod threads;
pub mod window;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use log::warn;
use tokio::sync::oneshot;
use tokio::time::{Sleep, sleep};

use self::deliver::{Deliver, Outcome, Stop};
use self::prepare::Prepare;
use self::threads::{MIN_WINDOW_FOR_NAPS, Pipeline, Running};
use self::window::Window;
use crate::config::{Config, Limits};
use crate::event::RemoteId;
use crate::queue::Queue;
use crate::render::{Format, Renderer};
use crate::report::exit::{Exit, Fault};
use crate::sink::Flow;
use crate::sink::stdout;
use crate::source::Source;
use crate::source::server::Connecting;
use crate::system::signals::Signals;

/// How long what has come may take to be written once a signal has asked for the end, and how long the output may accept
/// nothing meanwhile.
const AFTER_SIGNAL: (Duration, Duration) = (Duration::from_secs(1), Duration::from_millis(250));

/// The same once the timeout is over, at most.
const AFTER_TIMEOUT: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(1));

/// How much longer than that an output may take that cannot be interrupted.
const UNINTERRUPTED: Duration = Duration::from_millis(500);

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

/// What ends a run, or the wait for its output.
enum Ending {
    /// There will be no more events.
    Ended(End),
    /// The output is complete or broken.
    Stopped(Stop),
    /// Nobody reads the output.
    ReaderGone,
    /// The writing thread is gone without a word.
    WriterDied,
}

/// Everything that can end a run beside its source.
struct Endings {
    /// How the writing thread ends.
    writer: oneshot::Receiver<Stop>,
    reader_gone: Pin<Box<dyn Future<Output = ()>>>,
    signals: Signals,
    /// None when there is no timeout, or when it does not count any more.
    timeout: Option<Pin<Box<Sleep>>>,
}

impl Endings {
    /// The next one.
    async fn next(&mut self) -> Ending {
        let Self { writer, reader_gone, signals, timeout } = self;
        let timeout_over = async {
            match timeout {
                Some(timeout) => timeout.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            stop = writer => stop.map_or(Ending::WriterDied, Ending::Stopped),
            () = reader_gone => Ending::ReaderGone,
            signal = signals.next() => Ending::Ended(End::Signal(signal)),
            () = timeout_over => Ending::Ended(End::Timeout),
        }
    }
}

/// A run of the program.
struct Run {
    source: Source,
    connecting: Connecting,
    limits: Limits,
    timeout: Option<Duration>,
    queue: Arc<Queue>,
    pipeline: Arc<Pipeline>,
    flow: Arc<Flow>,
    endings: Endings,
}

/// Follows what the configuration says until the end, and returns how it ended.
///
/// # Errors
/// What ended it, when it was neither asked for nor a signal.
pub fn run(config: Config) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting")?;
    let outcome = runtime.block_on(async {
        let mut run = Run::start(config)?;
        match run.first_ending().await {
            Ending::Ended(end) => run.drain(end).await,
            Ending::Stopped(stop) => Ok(stop.into_outcome()?.exit()),
            Ending::ReaderGone => Ok(Exit::Success),
            Ending::WriterDied => Err(writer_died()),
        }
    });
    // A thread may sit in a read of standard input; the process need not wait for it.
    runtime.shutdown_background();
    outcome
}

impl Run {
    /// Starts the threads. Nothing is read yet.
    fn start(config: Config) -> anyhow::Result<Self> {
        let Config { source, connecting, filter, format, surface, pretty, limits, timeout, sort_window, buffer } =
            config;
        let signals = Signals::new().context("catching signals")?;
        let flow = Arc::new(Flow::new().context("starting")?);
        let queue = Arc::new(Queue::new(buffer, source.is_patient()));
        let window = Window::new(sort_window, source.may_rest());
        // The other half of the memory is the queue's, so that it can never be the window that makes a reader drop.
        let prepare = Prepare::new(filter, format == Format::Json, window, buffer / 2, Arc::clone(queue.memory()));
        let renderer = Renderer::new(format, surface, &pretty);
        let deliver =
            Deliver::new(renderer, source.remote_names(), limits, Arc::clone(&flow)).context("standard output")?;
        let may_nap = sort_window >= MIN_WINDOW_FOR_NAPS;
        let Running { pipeline, ended } = Running::start(Arc::clone(&queue), prepare, deliver, may_nap)?;
        let endings = Endings {
            writer: ended,
            reader_gone: Box::pin(stdout::reader_gone()),
            signals,
            timeout: timeout.map(|timeout| Box::pin(sleep(timeout))),
        };
        Ok(Self { source, connecting, limits, timeout, queue, pipeline, flow, endings })
    }

    /// Reads the source until something ends that.
    async fn first_ending(&mut self) -> Ending {
        let Self { source, connecting, queue, pipeline, endings, .. } = self;
        let events = async {
            // In this order: what the source queues is taken in the same turn of the runtime.
            tokio::select! {
                biased;
                outcome = source.read(connecting, queue) => Ending::Ended(End::Source(outcome)),
                stop = pipeline.drive() => Ending::Stopped(stop),
            }
        };
        let others = async {
            tokio::select! {
                biased;
                ending = endings.next() => ending,
                () = connecting.resumed.watch() => unreachable!("it watches for ever"),
            }
        };
        // Each is polled only when something of its own has happened: an event costs no look at anything else.
        let parts: [Pin<Box<dyn Future<Output = Ending> + '_>>; 2] = [Box::pin(others), Box::pin(events)];
        let mut parts: FuturesUnordered<_> = parts.into_iter().collect();
        parts.next().await.unwrap_or(Ending::WriterDied)
    }

    /// Nothing more is read. What is queued is still written, if that does not take too long.
    async fn drain(mut self, mut end: End) -> anyhow::Result<Exit> {
        self.report_open_gaps(&end);
        let outcome = loop {
            if !matches!(end, End::Source(_)) {
                self.endings.timeout = None;
            }
            let time_to_write = end.time_to_write(self.timeout);
            if let Some((within, patience)) = time_to_write {
                self.flow.finish(within, patience);
            }
            let uninterrupted = async {
                match time_to_write {
                    Some((within, _)) => sleep(within + UNINTERRUPTED).await,
                    None => std::future::pending().await,
                }
            };
            let ending = tokio::select! {
                biased;
                ending = self.endings.next() => ending,
                () = uninterrupted => break Outcome::Drained,
            };
            match ending {
                Ending::Stopped(stop) => break stop.into_outcome()?,
                Ending::ReaderGone => break Outcome::ReaderGone,
                Ending::WriterDied => return Err(writer_died()),
                Ending::Ended(another) => {
                    // A second signal does not wait.
                    let is_second = matches!((&end, &another), (End::Signal(_), End::Signal(_)));
                    end = another;
                    if is_second {
                        break Outcome::Drained;
                    }
                }
            }
        };
        if outcome != Outcome::ReaderGone {
            report_unwritten(self.flow.unwritten());
        }
        end.into_exit(outcome, self.limits)
    }

    /// Reports the gaps that last until the end.
    fn report_open_gaps(&self, end: &End) {
        let names = self.source.remote_names();
        for gap in self.queue.end() {
            // When the source has ended by itself, its error says as much.
            if gap.dropped == 0 && matches!(end, End::Source(_)) {
                continue;
            }
            let RemoteId(number) = gap.remote;
            warn!("{}: {gap}", names.get(usize::from(number)).map_or("", String::as_str));
        }
    }
}

fn writer_died() -> anyhow::Error {
    Fault::failed("the writing thread died").into()
}

fn report_unwritten(events: u64) {
    if events > 0 {
        let were = if events == 1 { "event was" } else { "events were" };
        warn!("{events} {were} not written: the reader of our output is too slow");
    }
}
