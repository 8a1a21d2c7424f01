//! The sink that reacts (`--exec`): gives events to a command, which a thread of its own runs. A slow command delays
//! neither reading nor printing: its events wait in a bounded queue.

mod failures;
mod run;
mod variables;
mod waiting;

use std::sync::Arc;
use std::time::Duration;

use log::warn;
use tokio::sync::oneshot;

use self::run::Runner;
use self::waiting::Waiting;
use super::stdout::Flushed;
use crate::event::{Event, RemoteId};
use crate::render::Surface;
use crate::render::json::Json;
use crate::report::exit::Fault;
use crate::system::signals;

/// What is run for events, and when.
#[derive(Clone, Debug)]
pub(crate) struct Reaction {
    /// The text that the shell runs.
    pub command: String,
    /// The value of `--debounce`.
    pub debounce: Option<Duration>,
    /// Whether the command's standard output is ours, so that events are not printed. If not, it is our standard error.
    pub owns_stdout: bool,
}

/// The remotes whose events are given to the command.
#[derive(Clone, Debug)]
pub(crate) struct Remotes {
    /// Their names.
    pub names: Vec<String>,
    /// Whether the events come from a recording. Then the names are those of files, and say nothing of the events.
    pub are_recorded: bool,
}

/// The near end of the queue to the thread that runs the command.
pub(crate) struct Exec {
    json: Json,
    remotes: Remotes,
    /// Whether records of gaps are given to the command.
    gap_events: bool,
    /// Whether the source waits while the queue is full, so that nothing has to be dropped.
    is_patient: bool,
    line: Vec<u8>,
    waiting: Arc<Waiting>,
}

/// The thread that runs the command, for whoever ends the program.
pub(crate) struct Reactions {
    waiting: Arc<Waiting>,
    ended: oneshot::Receiver<()>,
    owns_stdout: bool,
    is_hurried: bool,
}

impl Exec {
    /// Starts the thread. Events that wait for the command may take `buffer` bytes. With `is_patient`, the source waits
    /// while they take more; otherwise the newest ones are dropped.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(crate) fn start(
        reaction: &Reaction,
        remotes: Remotes,
        gap_events: bool,
        is_patient: bool,
        buffer: usize,
    ) -> Result<(Self, Reactions), Fault> {
        let failed = |error: std::io::Error| {
            Fault::failed(format!("--exec: cannot start a thread: {error}"))
                .hint("`ulimit -u` and the pids limit of the control group limit the number of threads")
        };
        signals::keep_statuses_of_children().map_err(failed)?;
        let waiting = Arc::new(Waiting::new(reaction.debounce, buffer));
        let runner = Runner::new(reaction, remotes.clone(), Arc::clone(&waiting));
        let (report, ended) = oneshot::channel();
        let work = move || {
            runner.run();
            // An error is ignored: the receiver is dropped when the process is about to end.
            let _ = report.send(());
        };
        std::thread::Builder::new().name("exec".into()).spawn(work).map_err(failed)?;
        let owns_stdout = reaction.owns_stdout;
        let reactions = Reactions { waiting: Arc::clone(&waiting), ended, owns_stdout, is_hurried: false };
        let json = Json::new(Surface::default());
        Ok((Self { json, remotes, gap_events, is_patient, line: Vec::new(), waiting }, reactions))
    }

    /// Queues an event for the command.
    pub(crate) fn event(&mut self, event: &Event) {
        let RemoteId(number) = event.remote();
        let names = &self.remotes.names;
        let remote = if names.len() > 1 { names.get(usize::from(number)) } else { None };
        self.line.clear();
        self.json.render(event, remote.map(String::as_str), &mut self.line);
        self.waiting.push(&self.line, event.remote(), self.is_patient);
        self.line.shrink_to(1 << 20);
    }

    /// Queues the record of a gap, if such records are events of the stream.
    pub(crate) fn gap(&mut self, record: &Event) {
        if self.gap_events {
            self.event(record);
        }
    }

    /// Whether the source has to wait for the command.
    #[must_use]
    pub(crate) fn is_full(&self) -> bool {
        self.is_patient && self.waiting.is_over_limit()
    }

    /// Reports whether the source has to wait.
    #[must_use]
    pub(crate) fn try_flush(&self) -> Flushed {
        if self.is_full() { Flushed::Part } else { Flushed::All }
    }

    /// Waits until there is room in the queue, unless events are dropped in place of that.
    pub(crate) fn flush(&self) {
        if self.is_patient {
            self.waiting.wait_for_room();
        }
    }

    /// No more events will come.
    pub(crate) fn finish(&self) {
        self.waiting.finish();
    }
}

impl Reactions {
    /// Whether the command writes to our standard output.
    #[must_use]
    pub(crate) fn owns_stdout(&self) -> bool {
        self.owns_stdout
    }

    /// No more events will come. The thread runs the command for those that wait, and ends.
    pub(crate) fn finish(&self) {
        self.waiting.finish();
    }

    /// Makes the thread end as soon as the command that is running has ended.
    pub(crate) fn stop(&self) {
        self.waiting.stop();
    }

    /// The program ends at once: the running command is not waited for either.
    pub(crate) fn hurry(&mut self) {
        self.is_hurried = true;
    }

    /// Whether the program ends at once.
    #[must_use]
    pub(crate) fn is_hurried(&self) -> bool {
        self.is_hurried
    }

    /// Waits until the thread has ended. May be called again until then.
    pub(crate) async fn ended(&mut self) {
        // An error means that the thread has ended without a word.
        let _ = (&mut self.ended).await;
    }

    /// Reports that the command is being waited for.
    pub(crate) fn report_wait(&self) {
        match self.waiting.left() {
            0 => warn!("--exec: waiting for the command to end"),
            left => warn!("--exec: waiting for the command, which is still to be run for {}", events(left)),
        }
    }

    /// Reports that the command is still running, and will be when the program has ended.
    pub(crate) fn report_still_running() {
        warn!("--exec: the command has not ended, and is left running");
    }

    /// Reports the number of events that the command was not run for.
    pub(crate) fn report_left(&self) {
        let left = self.waiting.left();
        if left > 0 {
            warn!("--exec: the command was not run for {} that waited", events(left));
        }
    }
}

fn events(number: u64) -> String {
    if number == 1 { "1 event".to_owned() } else { format!("{number} events") }
}
