//! `--jq`: runs an expression on each event, and replaces the event by the results.
//!
//! ```text
//!   prepare ──> requests ──> process "lxmon: jq" ──> answers ──> window
//!                            one event at a time
//! ```
//!
//! The expression runs in a process of its own, for the reasons in `worker`. The step waits for it, so it must not run on
//! the reading thread.

mod context;
mod evaluate;
mod process;
mod worker;

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use log::warn;
use rustix::event::{EventfdFlags, eventfd};

use self::process::{Answer, Answers, Broken, Process, Started, push_length};
pub use self::worker::{is_asked, run};
use crate::event::message::Memory;
use crate::event::{Event, Fate, Message, RemoteId, Spare};
use crate::report::exit::Fault;

/// The maximum number of kinds of errors that are reported one by one.
const MOST_KINDS: usize = 16;

/// How much of an error of an expression is shown, in characters.
const MOST_SHOWN: usize = 200;

/// The expression, and the process that runs it.
#[derive(Debug)]
pub(crate) struct Jq {
    expression: String,
    /// Whether the expression uses `$lxmon`.
    uses_context: bool,
    /// The names of the remotes.
    names: Vec<String>,
    /// `None` before it is started again.
    process: Option<Process>,
    /// Whether the run has ended, and the expression has used the time that was left.
    has_given_up: bool,
    handle: Arc<Handle>,
    /// The requests for the current events, and the offset at which each ends.
    requests: Vec<u8>,
    ends: Vec<usize>,
    context: String,
    /// The events that are replaced.
    sources: Vec<Event>,
}

/// What the run needs of the step while that is at work on another thread.
#[derive(Debug)]
pub(crate) struct Handle {
    /// Interrupts the wait for the process.
    interrupt: OwnedFd,
    errors: Mutex<Errors>,
}

impl Jq {
    /// Starts the process. `names` are the names of the remotes. With `needs_events`, an expression whose results cannot
    /// be events is refused.
    ///
    /// # Errors
    /// The expression is not valid, or the process cannot be started.
    pub(crate) fn start(expression: &str, names: Vec<String>, needs_events: bool) -> Result<Self, Fault> {
        let failed = |error: io::Error| {
            Fault::failed(format!("--jq: cannot start the process for the expression: {error}"))
                .hint("it needs /proc, memory, and one more process")
        };
        let process = match Process::start(expression).map_err(failed)? {
            (_, Started::Mistake(what, hint)) => return Err(Fault::usage(format!("--jq: {what}")).hint(hint)),
            (_, Started::Ready(true)) if needs_events => {
                return Err(Fault::usage("--jq: the results are no events, which this format needs")
                    .hint("print them with --format json or yaml"));
            }
            (process, Started::Ready(_)) => process,
        };
        let interrupt = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC);
        let interrupt = interrupt.map_err(|error| failed(error.into()))?;
        Ok(Self {
            expression: expression.to_owned(),
            uses_context: expression.contains(evaluate::CONTEXT),
            names,
            process: Some(process),
            has_given_up: false,
            handle: Arc::new(Handle { interrupt, errors: Mutex::default() }),
            requests: Vec::new(),
            ends: Vec::new(),
            context: String::new(),
            sources: Vec::new(),
        })
    }

    /// For the thread that ends the run.
    pub(crate) fn handle(&self) -> Arc<Handle> {
        Arc::clone(&self.handle)
    }

    /// Replaces the events by the results for them. `spares` are for reuse, and new texts are counted in `memory`.
    pub(crate) fn apply(&mut self, events: &mut Vec<Event>, spares: &mut Vec<Spare>, memory: &Arc<Memory>) {
        if self.has_given_up {
            self.handle.errors().unanswered += events.len() as u64;
            spares.extend(events.drain(..).filter_map(Event::into_spare));
            return;
        }
        std::mem::swap(events, &mut self.sources);
        self.write_requests();
        let mut outcomes = Vec::with_capacity(self.sources.len());
        self.exchange(&mut outcomes);
        for (mut source, answers) in self.sources.drain(..).zip(outcomes) {
            match answers {
                Ok(answers) if matches!(answers[..], [Answer::Unchanged]) => {
                    events.push(source);
                    continue;
                }
                Ok(answers) => {
                    for answer in answers {
                        let text = match answer {
                            Answer::Unchanged => source.text().to_owned(),
                            Answer::Value(text) => text,
                        };
                        let spare = spares.pop();
                        match source.derive(Message::counted(text, memory), spare) {
                            Ok(event) => events.push(event),
                            Err(rejected) => self.handle.errors().add(&format!("a result is {}", rejected.why)),
                        }
                    }
                }
                Err(why) => self.handle.errors().add(&why),
            }
            if source.fate() == Fate::PrintedLast {
                // Its results are printed, and it ends the program.
                source.set_fate(Fate::Last);
                events.push(source);
            } else {
                spares.extend(source.into_spare());
            }
        }
        // An unusually large event shall not take its memory for ever.
        self.requests.clear();
        self.requests.shrink_to(1 << 20);
    }

    fn write_requests(&mut self) {
        self.ends.clear();
        for event in &self.sources {
            self.context.clear();
            if self.uses_context {
                let RemoteId(number) = event.remote();
                let name = self.names.get(usize::from(number)).map(String::as_str).filter(|name| !name.is_empty());
                // A recorded event can name its remote.
                let recorded = event.recorded_remote().filter(|_| name.is_none()).map(|name| name.cow());
                context::push(event, name.or(recorded.as_deref()), &mut self.context);
            }
            push_length(event.text(), &mut self.requests);
            push_length(&self.context, &mut self.requests);
            self.requests.extend_from_slice(event.text().as_bytes());
            self.requests.extend_from_slice(self.context.as_bytes());
            self.ends.push(self.requests.len());
        }
    }

    /// Gets the answers to all requests. A process that cannot go on after an event is replaced for the next.
    fn exchange(&mut self, outcomes: &mut Vec<Answers>) {
        while outcomes.len() < self.ends.len() {
            let done = outcomes.len();
            let process = match self.process.take() {
                Some(process) => Ok(process),
                None => Process::start(&self.expression).map(|(process, _)| process),
            };
            let mut process = match process {
                Ok(process) => process,
                Err(error) => {
                    let why = format!("the process for the expression cannot be started again: {error}");
                    outcomes.resize_with(self.ends.len(), || Err(why.clone()));
                    return;
                }
            };
            let start = done.checked_sub(1).map_or(0, |last| self.ends[last]);
            let requests = &self.requests[start..];
            let interrupt = self.handle.interrupt.as_fd();
            match process.exchange(requests, self.ends.len() - done, interrupt, |answers| outcomes.push(answers)) {
                Ok(()) => self.process = Some(process),
                Err(Broken::Interrupted) => {
                    process.end(Broken::Interrupted);
                    self.has_given_up = true;
                    self.handle.errors().unanswered += (self.ends.len() - outcomes.len()) as u64;
                    self.sources.truncate(outcomes.len());
                    return;
                }
                Err(broken) => outcomes.push(Err(process.end(broken))),
            }
        }
    }
}

impl Handle {
    /// Ends the wait for the process soon: the run has ended.
    pub(crate) fn interrupt(&self) {
        let _ = rustix::io::write(&self.interrupt, &1u64.to_ne_bytes());
    }

    fn errors(&self) -> std::sync::MutexGuard<'_, Errors> {
        self.errors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reports how often the expression has failed.
    pub(crate) fn report(&self) {
        self.errors().report();
    }
}

/// The errors of the expression. The first of each kind is reported when it occurs.
#[derive(Debug, Default)]
struct Errors {
    /// The kind, the first error, and how many events it has cost.
    kinds: Vec<(String, String, u64)>,
    /// The number of errors of further kinds.
    others: u64,
    /// The number of events that the expression was not run on, because the program ends.
    unanswered: u64,
}

impl Errors {
    fn add(&mut self, error: &str) {
        let kind = kind_of(error);
        if let Some((_, _, count)) = self.kinds.iter_mut().find(|(known, ..)| *known == kind) {
            *count += 1;
        } else if self.kinds.len() < MOST_KINDS {
            let shown = match error.char_indices().nth(MOST_SHOWN) {
                Some((end, _)) => format!("{}…", &error[..end]),
                None => error.to_owned(),
            };
            warn!("--jq: an event is left out: {shown}");
            self.kinds.push((kind, shown, 1));
        } else {
            if self.others == 0 {
                warn!("--jq: events are left out for further reasons, which are only counted");
            }
            self.others += 1;
        }
    }

    fn report(&self) {
        for (_, error, count) in self.kinds.iter().filter(|(_, _, count)| *count > 1) {
            warn!("--jq: {count} events were left out: {error}");
        }
        if self.others > 0 {
            warn!("--jq: {} events were left out for further reasons", self.others);
        }
        if self.unanswered > 0 {
            warn!(
                "--jq: {} events were not written: the expression was at work when the program ended",
                self.unanswered
            );
        }
    }
}

/// An error without the values in it: what is in quotation marks, brackets or braces, and numbers.
fn kind_of(error: &str) -> String {
    let mut kind = String::new();
    let (mut depth, mut is_quoted, mut is_escaped) = (0_usize, false, false);
    for character in error.chars() {
        if is_quoted {
            is_quoted = character != '"' || is_escaped;
            is_escaped = character == '\\' && !is_escaped;
            continue;
        }
        match character {
            '"' => is_quoted = true,
            '{' | '[' => depth += 1,
            '}' | ']' => depth = depth.saturating_sub(1),
            _ if depth > 0 || character.is_ascii_digit() => {}
            _ => kind.push(character),
        }
    }
    kind
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_differ_by_their_words_only() {
        let kind = "cannot index  with ";
        for error in
            [r#"cannot index 5 with "x""#, r#"cannot index {"a":"}"} with "\"y""#, r#"cannot index [1,[2]] with "z""#]
        {
            assert_eq!(kind_of(error), kind, "{error}");
        }
        assert_ne!(kind_of("cannot use 1 as array"), kind);
    }
}
