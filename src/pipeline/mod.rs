//! Connects the steps, and decides when the program ends.
//!
//! `Run::start` starts the threads. `Run::first_ending` reads the source until the first event that ends the run: the
//! end of the source, a signal, the timeout, or the end of the output. `Run::drain` then writes the events received so
//! far, within a deadline.
//!
//! Back-pressure, if standard output accepts nothing:
//!
//! ```text
//!   server ──> source ──> queue ──> prepare ──> deliver ──> standard output
//!   waits  <── rests  <── grows <── blocked <── blocked <── accepts nothing
//! ```
//!
//! The source rests only for a short time, because servers end slow connections. Then the queue grows up to `--buffer`;
//! beyond that the newest messages are dropped and counted ([`crate::queue`]).

mod command;
mod dedup;
pub(crate) mod deliver;
mod endings;
mod known;
pub(crate) mod prepare;
mod reactions;
mod recorded;
mod screen;
mod status;
mod threads;
pub(crate) mod window;

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use log::{Level, log_enabled, warn};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio::time::sleep;

use self::command::Job;
use self::dedup::Dedup;
use self::deliver::{Deliver, Outcome, Stop};
use self::endings::{End, Ending, Endings, Failing};
use self::known::Known;
use self::prepare::{Prepare, Steps};
use self::screen::Screen;
use self::status::Status;
use self::threads::{MIN_WINDOW_FOR_NAPS, Pipeline, Running};
use self::window::Window;
use crate::config::{Config, Limits, Output};
use crate::event::RemoteId;
use crate::queue::Queue;
use crate::render::{Format, Renderer};
use crate::report::exit::{Exit, Fault};
use crate::report::followed::Followed;
use crate::report::ready::Ready;
use crate::report::summary::Summary;
use crate::sink::exec::{Exec, Reactions, Remotes};
use crate::sink::printer::Printer;
use crate::sink::recorder::Recorder;
use crate::sink::stdout;
use crate::sink::{Flow, Sink};
use crate::source::Source;
use crate::source::server::Connecting;
use crate::system::memory;
use crate::system::signals::{Signals, TerminalSignals};
use crate::system::terminal;
use crate::transform::Transform;
use crate::transform::jq::{Handle, Jq};

/// The time in which one more event is counted, unless a thread waits for a write that cannot be interrupted.
const UNINTERRUPTED: Duration = Duration::from_millis(500);

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
    /// SIGUSR1.
    reopen: Reopen,
    /// With `--exec`.
    reactions: Option<Reactions>,
    /// With `--ready-fd`, until it is written to.
    ready: Option<Ready>,
    /// What is followed, until a line has said so, if one does.
    introduction: Option<Followed>,
    /// If the end of the run is summed up.
    summary: Option<Arc<Summary>>,
    /// What a service manager is notified of.
    status: Option<Status>,
    screen: Screen,
    /// With `--jq`.
    jq: Option<Arc<Handle>>,
}

/// SIGUSR1, after which the file of `--record` is opened again. It is caught without `--record` too, because log rotation
/// sends it to all processes of this name.
struct Reopen {
    signal: Signal,
    is_asked: Arc<AtomicBool>,
}

impl Reopen {
    fn new() -> io::Result<Self> {
        Ok(Self { signal: signal(SignalKind::user_defined1())?, is_asked: Arc::default() })
    }

    /// Waits for the next signal, and then asks for the file to be opened again.
    async fn next(&mut self) {
        if self.signal.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
        self.is_asked.store(true, Ordering::Relaxed);
    }
}

/// Follows the source of the configuration until the run ends, and returns the exit status.
///
/// # Errors
/// The failure that ended the run.
pub(crate) fn run(config: Config) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting")?;
    let outcome = runtime.block_on(async {
        let mut run = Run::start(config)?;
        let ending = run.first_ending().await;
        // If nothing was followed, the error says all that a line could.
        let is_followed = run.connecting.live.is_any();
        let summary = run.summary.clone().filter(|summary| summary.is_full() || is_followed);
        let outcome = run.end(ending).await;
        let outcome = run.endings.settle(outcome).await;
        let outcome = match &mut run.reactions {
            Some(reactions) => reactions::end(reactions, &mut run.endings.signals, outcome).await,
            None => outcome,
        };
        if let Some(jq) = &run.jq {
            jq.report();
        }
        if let Some(summary) = summary {
            summary.print();
        }
        outcome
    });
    terminal::restore();
    // A thread may be blocked in a read of standard input. The process does not wait for it.
    runtime.shutdown_background();
    outcome
}

impl Run {
    /// Starts the threads. The source is not read yet.
    fn start(config: Config) -> anyhow::Result<Self> {
        let Config {
            source,
            connecting,
            filter,
            redact,
            jq,
            output,
            limits,
            timeout,
            sort_window,
            buffer,
            record,
            exec,
            ready,
            command,
            followed,
            introduces,
            summary,
            service,
        } = config;
        let signals = Signals::new(command.is_some()).context("catching signals")?;
        let flow = Arc::new(Flow::new().context("starting")?);
        let buffer = memory::for_events(buffer);
        let queue = Arc::new(Queue::new(buffer, source.is_patient()));
        let window = Window::new(sort_window, source.may_rest());
        // The other half of the memory is for the queue, so that a full window alone never causes dropped messages.
        let dedup = source.follows_several().then(Dedup::default);
        let known = connecting.state.map(|_| Known::default());
        let memory = Arc::clone(queue.memory());
        let needs_events = matches!(output.format, Format::Pretty | Format::Logfmt);
        let jq = jq.map(|expression| Jq::start(&expression, source.remote_names(), needs_events)).transpose()?;
        let transform = Transform::new(redact, jq);
        let (jq, may_wait) =
            (transform.as_ref().and_then(Transform::handle), transform.as_ref().is_some_and(Transform::may_wait));
        let names = source.remote_names();
        let summary = summary.map(|options| Arc::new(Summary::new(options, names.clone())));
        let prints = exec.as_ref().is_none_or(|reaction| !reaction.owns_stdout);
        // All other sinks need nothing but the text; the full summary reads the members of events.
        let text_only = (output.format == Format::Json || !prints) && summary.is_none();
        let steps = Steps { filter, dedup, known, transform, text_only };
        let prepare = Prepare::new(steps, window, buffer / 2, memory);
        let status = service.map(|service| Status::new(service, followed.clone(), names.clone()));
        let reopen = Reopen::new().context("catching signals")?;
        let mut sinks = Vec::new();
        if let Some(path) = &record {
            sinks.push(Sink::Record(Recorder::open(path, names.clone(), Arc::clone(&reopen.is_asked))?));
        }
        let mut screen = Screen::default();
        if prints {
            let (printer, of_output) = printer(&output, names.clone(), limits.gap_events, &flow)?;
            sinks.push(Sink::Print(printer));
            screen = of_output;
        }
        let mut reactions = None;
        if let Some(reaction) = &exec {
            let remotes = Remotes { names: names.clone(), are_recorded: matches!(source, Source::Replay(_)) };
            let (exec, running) = Exec::start(reaction, remotes, limits.gap_events, source.is_patient(), buffer)?;
            sinks.push(Sink::Exec(exec));
            reactions = Some(running);
        }
        let has_begun = Arc::new(AtomicBool::new(command.is_none()));
        let has_failed = Arc::new(Notify::new());
        let deliver = Deliver::new(
            sinks,
            names,
            limits,
            Arc::clone(&has_begun),
            Arc::clone(&has_failed),
            redact,
            summary.clone(),
        );
        let may_nap = source.is_live() && sort_window >= MIN_WINDOW_FOR_NAPS;
        let Running { pipeline, ended } = Running::start(Arc::clone(&queue), prepare, deliver, may_nap, may_wait)?;
        let endings = Endings {
            writer: ended,
            reader_gone: Box::pin(stdout::reader_gone()),
            signals,
            timeout: timeout.map(|timeout| Box::pin(sleep(timeout))),
            job: command
                .map(|command| Job::new(command, Rc::clone(&connecting.live), has_begun, limits.count.is_some())),
            failing: Failing::No(has_failed),
        };
        let introduction = introduces.then_some(followed);
        Ok(Self {
            source,
            connecting,
            limits,
            timeout,
            queue,
            pipeline,
            flow,
            endings,
            reopen,
            reactions,
            ready,
            introduction,
            summary,
            status,
            screen,
            jq,
        })
    }

    /// Reads the source until a condition ends the run.
    async fn first_ending(&mut self) -> Ending {
        let Self {
            source,
            connecting,
            queue,
            pipeline,
            flow,
            endings,
            reopen,
            ready,
            introduction,
            status,
            screen,
            reactions,
            ..
        } = self;
        let events = async {
            // The source is polled first, so that the pipeline handles its messages in the same turn of the runtime.
            tokio::select! {
                biased;
                outcome = source.read(connecting, queue) => Ending::Ended(End::Source(outcome)),
                stop = pipeline.drive() => Ending::Stopped(stop),
            }
        };
        let reopening = async {
            loop {
                reopen.next().await;
                pipeline.flush();
            }
        };
        let reporting = async {
            if ready.is_some() {
                connecting.live.all().await;
                ready.take().into_iter().for_each(Ready::report);
            }
            std::future::pending::<()>().await;
        };
        let introducing = async {
            let introduction = introduction.take();
            // With --debug, to learn what the servers are.
            if introduction.is_some() || log_enabled!(Level::Debug) {
                // The line waits for the versions, for a second at most. On a quiet server it is the first one all the
                // same; on a busy one, events are not held back for it.
                let versions = source.versions(connecting).await;
                if let Some(followed) = introduction {
                    warn!("{}", followed.text_with(&versions));
                }
            }
            std::future::pending::<()>().await;
        };
        let notifying = async {
            match status {
                Some(status) => status.report(&connecting.live, queue, flow).await,
                None => std::future::pending().await,
            }
        };
        let others = async {
            tokio::select! {
                biased;
                ending = endings.next() => ending,
                () = reopening => unreachable!("it never ends"),
                () = reporting => unreachable!("it never ends"),
                () = introducing => unreachable!("it never ends"),
                () = notifying => unreachable!("it never ends"),
                stop = screen.follow(pipeline) => Ending::Stopped(stop),
                () = connecting.resumed.watch() => unreachable!("it never ends"),
            }
        };
        // `FuturesUnordered` polls only the future that was woken, so an event does not cause polls of signals and
        // timers.
        let parts: [Pin<Box<dyn Future<Output = Ending> + '_>>; 2] = [Box::pin(others), Box::pin(events)];
        let mut parts: FuturesUnordered<_> = parts.into_iter().collect();
        let ending = parts.next().await.unwrap_or(Ending::WriterDied);
        // Before the connections are closed: whoever sees that shall not see another command start.
        if let (Ending::Ended(End::Signal(_)), Some(reactions)) = (&ending, reactions) {
            reactions.stop();
        }
        ending
    }

    /// Ends the run: writes what is still to be written, and returns the exit status.
    async fn end(&mut self, ending: Ending) -> anyhow::Result<Exit> {
        // A source that has ended at once was followed all the same, unless it has failed.
        let has_failed = matches!(ending, Ending::Ended(End::Source(Err(_))));
        if self.connecting.live.is_all() && !has_failed {
            self.ready.take().into_iter().for_each(Ready::report);
            if let Some(status) = &mut self.status {
                status.end(&self.queue, &self.flow);
            }
        }
        match ending {
            Ending::Ended(end) => self.drain(end).await,
            Ending::Stopped(stop) => stop.into_outcome().map(Outcome::exit),
            Ending::ReaderGone => {
                // First, as the writing thread may wait for the command.
                if let Some(reactions) = &self.reactions {
                    reactions.finish();
                }
                self.pipeline.finish_sinks();
                Ok(Exit::Success)
            }
            Ending::WriterDied => Err(writer_died()),
        }
    }

    /// Writes the queued events within a deadline. The source is no longer read.
    async fn drain(&mut self, mut end: End) -> anyhow::Result<Exit> {
        self.report_open_gaps(&end);
        if let Some(job) = &mut self.endings.job {
            job.give_up();
            if let End::Timeout = end {
                job.terminate();
            }
        }
        let mut is_counted = true;
        let outcome = loop {
            if matches!(end, End::Timeout | End::Signal(_)) {
                if let Some(jq) = &self.jq {
                    jq.interrupt();
                }
                self.endings.timeout = None;
            }
            if let (End::Signal(_), Some(reactions)) = (&end, &self.reactions) {
                reactions.stop();
            }
            let time_to_write = end.time_to_write(self.timeout);
            if let Some((within, patience)) = time_to_write {
                self.flow.finish(within, patience);
                // Before anything is awaited: if all is written already, the run ends with the first look.
                if let Some(status) = &mut self.status {
                    status.stop();
                }
            }
            let uninterrupted = async {
                match time_to_write {
                    Some((within, _)) => {
                        sleep(within).await;
                        // Events are counted now, if none of the threads waits for a write.
                        let mut counted = None;
                        while counted != Some(self.flow.rendered()) {
                            counted = Some(self.flow.rendered());
                            sleep(UNINTERRUPTED).await;
                        }
                    }
                    None => std::future::pending().await,
                }
            };
            let notifying = async {
                match &mut self.status {
                    Some(status) => status.finish().await,
                    None => std::future::pending().await,
                }
            };
            let ending = tokio::select! {
                biased;
                ending = self.endings.next_of_drain() => ending,
                () = uninterrupted => {
                    is_counted = false;
                    break Outcome::Drained;
                }
                () = notifying => unreachable!("it never ends"),
            };
            match ending {
                // Whoever sends a signal does not wait for a failure.
                Ending::Stopped(Stop::Failure(_)) if matches!(end, End::Signal(_)) => break Outcome::Drained,
                Ending::Stopped(stop) => break stop.into_outcome()?,
                Ending::ReaderGone => break Outcome::ReaderGone,
                Ending::WriterDied => return Err(writer_died()),
                Ending::Ended(another) => {
                    // A second signal ends the run at once.
                    let is_second = matches!((&end, &another), (End::Signal(_), End::Signal(_)));
                    end = another;
                    if is_second {
                        if let Some(reactions) = &mut self.reactions {
                            reactions.hurry();
                        }
                        break Outcome::Drained;
                    }
                }
            }
        };
        if outcome != Outcome::ReaderGone {
            report_unwritten(self.flow.unwritten(), is_counted);
        }
        let is_unfinished = self.endings.job.as_ref().is_some_and(|job| job.status().is_none());
        end.into_exit(outcome, self.limits.count.is_some() || is_unfinished)
    }

    /// Reports the gaps that have not ended.
    fn report_open_gaps(&self, end: &End) {
        let names = self.source.remote_names();
        for gap in self.queue.end() {
            // If the source ended by itself, its error already reports the lost connection.
            if gap.dropped == 0 && matches!(end, End::Source(_)) {
                continue;
            }
            let RemoteId(number) = gap.remote;
            warn!("{}: {gap}", names.get(usize::from(number)).map_or("", String::as_str));
        }
    }
}

/// The sink that prints, and the terminal that it prints to.
fn printer(
    output: &Output,
    names: Vec<String>,
    gap_events: bool,
    flow: &Arc<Flow>,
) -> anyhow::Result<(Printer, Screen)> {
    let Output { format, surface, pretty, live_rows } = *output;
    let renderer = Renderer::new(format, surface, &pretty);
    let printer = Printer::new(renderer, names, gap_events, Arc::clone(flow));
    let mut printer = printer.context("standard output")?;
    let depends_on_terminal = format == Format::Pretty && surface.terminal;
    let signals = depends_on_terminal.then(TerminalSignals::new).transpose().context("catching signals")?;
    let screen = Screen { redraw: Arc::default(), signals };
    if pretty.width.is_some() {
        printer.follow_width();
    }
    if live_rows {
        terminal::restore_on_panic();
        printer.show_rows(surface, &screen.redraw);
    }
    Ok((printer, screen))
}

fn writer_died() -> anyhow::Error {
    Fault::failed("the writing thread died").into()
}

/// `is_counted`: no other event waits.
fn report_unwritten(events: u64, is_counted: bool) {
    if events > 0 {
        let were = if events == 1 { "event was" } else { "events were" };
        let least = if is_counted { "" } else { "at least " };
        warn!("{least}{events} {were} not written: the reader of our output is too slow");
    }
}
