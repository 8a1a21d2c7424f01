//! What a run has printed, counted for its end: one dim line on a terminal, or in full with `--summary`.
//!
//! A session can last for weeks, so everything is bounded: names beyond [`MAX_NAMES`] are counted together, and lists
//! keep the most important entries and the number of the others. An event allocates only when a name, an operation or
//! a failure is seen for the first time, and the end of an operation that has failed or was slow for the list of its
//! entities.

mod operations;
mod text;

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Local};

use self::operations::Operations;
use self::text::Page;
use super::notice;
use crate::event::gap::Gap;
use crate::event::json::Text;
use crate::event::{Event, Failure, Logging, RemoteId, Timestamp};
use crate::system::clock::{Moment, local_now};

/// The maximum number of names that are counted each on its own, of each kind.
const MAX_NAMES: usize = 1000;

/// How much of a name is kept, in bytes. Names of servers are much shorter.
const MAX_NAME: usize = 200;

/// The maximum number of different failures that are kept.
const MAX_FAILURES: usize = 200;

/// How much of a reason is kept, in bytes.
const MAX_REASON: usize = 2000;

/// The number of gaps that are kept, the latest ones.
const MAX_GAPS: usize = 20;

/// How much is counted and printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// One line.
    Line,
    /// `--summary`
    Full,
}

/// What the summary is made for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// How much is counted and printed.
    pub extent: Extent,
    /// Whether standard error is a terminal.
    pub is_terminal: bool,
    /// Whether it shows colours.
    pub color: bool,
    /// Whether the events are those of a recording: then the time between the first and the last one counts.
    pub is_recording: bool,
}

/// The counts of a run, which the thread that prints fills and the one that ends the run reads.
#[derive(Debug)]
pub(crate) struct Summary {
    options: Options,
    /// The names of the remotes.
    names: Vec<String>,
    started: Moment,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    types: Tally,
    failures: u64,
    gaps: Gaps,
    /// The timestamps of the earliest and of the latest event.
    span: Option<(Timestamp, Timestamp)>,
    /// With `--summary`.
    details: Option<Box<Details>>,
}

/// What only the full summary contains.
#[derive(Debug, Default)]
struct Details {
    actions: Tally,
    operations: Operations,
    failures: Failures,
}

impl Summary {
    /// Starts with nothing counted, for remotes with these names.
    #[must_use]
    pub(crate) fn new(options: Options, names: Vec<String>) -> Self {
        let details = (options.extent == Extent::Full).then(Box::default);
        Self { options, names, started: Moment::now(), counts: Mutex::new(Counts { details, ..Counts::default() }) }
    }

    /// Whether it was asked for by `--summary`.
    #[must_use]
    pub(crate) fn is_full(&self) -> bool {
        self.options.extent == Extent::Full
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The name of a remote where several are followed, otherwise empty.
    fn name(&self, RemoteId(number): RemoteId) -> &str {
        let name = if self.names.len() > 1 { self.names.get(usize::from(number)) } else { None };
        name.map_or("", String::as_str)
    }

    /// Counts an event that is printed. It must have its tape.
    pub(crate) fn count(&self, event: &Event) {
        let mut counts = self.counts();
        counts.types.count(&event.type_text().cow(), |count| count.all += 1);
        if let Some(time) = event.timestamp() {
            let (first, last) = counts.span.unwrap_or((time, time));
            counts.span = Some((first.min(time), last.max(time)));
        }
        let failure = event.failure();
        counts.failures += u64::from(failure.is_some());
        let Some(details) = &mut counts.details else { return };
        if let Some(action) = event.lifecycle().and_then(|lifecycle| lifecycle.action()) {
            details.actions.count(&action.cow(), |count| count.all += 1);
        }
        let remote = self.name(event.remote());
        if let Some(operation) = event.operation() {
            details.operations.advance(event, operation, failure.is_some(), remote);
        }
        if let Some(failure) = failure {
            details.failures.add(event, failure, remote);
        }
    }

    /// Counts a gap: when it begins, and when it ends.
    pub(crate) fn count_gap(&self, gap: &Gap) {
        let mut counts = self.counts();
        if (gap.end.is_none() || gap.dropped > 0)
            && let Some(details) = &mut counts.details
        {
            details.operations.doubt(gap.remote);
        }
        counts.gaps.add(gap);
    }

    /// Prints it on standard error.
    pub(crate) fn print(&self) {
        let mut lines = self.lines();
        // A terminal has shown `^C` for the signal, and no line feed.
        if let Some(first) = lines.first_mut().filter(|_| self.options.is_terminal) {
            first.insert(0, b'\r');
        }
        lines.into_iter().for_each(notice::print);
    }

    /// Its lines, each with its line feed.
    fn lines(&self) -> Vec<Vec<u8>> {
        let counts = self.counts();
        let time = match (self.options.is_recording, counts.span) {
            (true, Some((Timestamp(first), Timestamp(last)))) => Duration::from_nanos(last.abs_diff(first)),
            (true, None) => Duration::ZERO,
            (false, _) => self.started.elapsed(),
        };
        let mut page = Page::new(self.options.color);
        match self.options.extent {
            Extent::Line => page.line(time, &counts),
            Extent::Full => page.all(time, &counts, self),
        }
        page.into_lines()
    }
}

/// How often something has happened, and with what success.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    all: u64,
    failed: u64,
    cancelled: u64,
}

/// Counts by name.
#[derive(Debug, Default)]
struct Tally {
    by_name: HashMap<Box<str>, Count>,
    /// What has names beyond [`MAX_NAMES`].
    beyond: Count,
}

impl Tally {
    /// Changes the count of `name`.
    fn count(&mut self, name: &str, add: impl FnOnce(&mut Count)) {
        let name = start(name, MAX_NAME);
        if let Some(count) = self.by_name.get_mut(name) {
            return add(count);
        }
        if self.by_name.len() >= MAX_NAMES {
            return add(&mut self.beyond);
        }
        add(self.by_name.entry(name.into()).or_default());
    }

    /// The sum of all counts.
    fn total(&self) -> Count {
        self.by_name.values().chain([&self.beyond]).fold(Count::default(), |sum, count| Count {
            all: sum.all + count.all,
            failed: sum.failed + count.failed,
            cancelled: sum.cancelled + count.cancelled,
        })
    }

    /// The names, the most frequent first.
    fn sorted(&self) -> Vec<(&str, Count)> {
        let mut sorted: Vec<_> = self.by_name.iter().map(|(name, count)| (&**name, *count)).collect();
        sorted.sort_unstable_by(|(name, count), (other, its)| its.all.cmp(&count.all).then(name.cmp(other)));
        sorted
    }
}

/// The failures, those with the same reason counted together.
#[derive(Debug, Default)]
struct Failures {
    /// By the texts of all parts.
    by_text: HashMap<Box<str>, Failed>,
    /// What is different from all of them.
    beyond: u64,
    /// For the text of the event in hand, so that a known failure allocates nothing.
    text: String,
}

/// A failure that has happened at least once.
#[derive(Clone, Copy, Debug)]
struct Failed {
    count: u64,
    /// The place in the order of first sights.
    order: usize,
    /// Where the text of what has failed ends, and where that of whom it concerns does. The rest is the reason.
    parts: (usize, usize),
}

impl Failures {
    fn add(&mut self, event: &Event, failure: Failure<'_>, remote: &str) {
        let Self { by_text, text, .. } = self;
        text.clear();
        let parts = describe(text, event, failure, remote);
        if let Some(failed) = by_text.get_mut(text.as_str()) {
            failed.count += 1;
        } else if by_text.len() < MAX_FAILURES {
            let order = by_text.len();
            by_text.insert(text.as_str().into(), Failed { count: 1, order, parts });
        } else {
            self.beyond += 1;
        }
    }

    /// The failures as (count, what, whom, reason), the most frequent first.
    fn sorted(&self) -> Vec<(u64, &str, &str, &str)> {
        let mut sorted: Vec<_> = self.by_text.iter().collect();
        sorted.sort_unstable_by_key(|(_, failed)| (u64::MAX - failed.count, failed.order));
        sorted
            .into_iter()
            .map(|(text, failed)| {
                let (what, whom) = failed.parts;
                (failed.count, &text[..what], &text[what..whom], &text[whom..])
            })
            .collect()
    }
}

/// Appends the texts of a failure: what has failed, whom it concerns, and the reason. Returns the ends of the first two.
fn describe(text: &mut String, event: &Event, failure: Failure<'_>, remote: &str) -> (usize, usize) {
    if let Some(operation) = event.operation() {
        text.push_str(start(&operations::description(operation), MAX_NAME));
        let what = text.len();
        operations::push_subject(text, event, operation, remote);
        let whom = text.len();
        match failure {
            Failure::Operation(Some(reason)) => text.push_str(start(&reason.cow(), MAX_REASON)),
            Failure::Operation(None) | Failure::Message(_) => text.push_str("no reason given"),
            Failure::Command(status) => {
                text.push_str("exit ");
                text.push_str(start(status, MAX_NAME));
                let command = operation.details().and_then(|details| details.get("command"));
                for (at, word) in command.into_iter().flat_map(|command| command.items()).enumerate() {
                    text.push_str(if at == 0 { ": " } else { " " });
                    let word = word.as_text().map(|word| word.cow()).unwrap_or_default();
                    let room = MAX_REASON.saturating_sub(text.len());
                    text.push_str(start(&word, room));
                }
            }
        }
        return (what, whom);
    }
    let logging = event.logging();
    if let Failure::Message(level) = failure {
        text.push_str(level.name());
    }
    let what = text.len();
    let context = logging.and_then(|logging| logging.context());
    let named = |name| context.and_then(|context| context.get_text(name));
    if let Some(instance) = named("instance") {
        operations::push_whom(text, remote, &instance.cow(), named("project").as_ref().map(Text::cow).as_deref());
    } else {
        operations::push_whom(text, remote, "", None);
    }
    let whom = text.len();
    let message = logging.and_then(|logging: Logging<'_>| logging.message()).map(|message| message.cow());
    text.push_str(start(message.as_deref().unwrap_or("no message"), MAX_REASON));
    if let Some(error) = named("err").or_else(|| named("error")) {
        text.push_str(": ");
        text.push_str(start(&error.cow(), MAX_REASON));
    }
    (what, whom)
}

/// The gaps.
#[derive(Debug, Default)]
struct Gaps {
    count: u64,
    /// The seconds of all gaps that have ended.
    seconds: f64,
    /// The number of events that were received and dropped.
    dropped: u64,
    /// The gaps that have not ended: at most one for each connection.
    open: Vec<(RemoteId, DateTime<Local>)>,
    /// The latest ones.
    latest: VecDeque<Gap>,
}

impl Gaps {
    fn add(&mut self, gap: &Gap) {
        let key = (gap.remote, gap.since);
        let is_same = |known: &&mut Gap| (known.remote, known.since) == key && known.end.is_none();
        let was_open = self.open.iter().position(|open| *open == key);
        match (gap.end, was_open) {
            (None, _) => self.open.push(key),
            (Some(_), Some(at)) => _ = self.open.swap_remove(at),
            (Some(_), None) => {}
        }
        if was_open.is_none() {
            self.count += 1;
        }
        self.seconds += gap.end.map_or(0.0, |end| end.seconds);
        self.dropped += gap.dropped;
        if let Some(known) = self.latest.iter_mut().find(is_same) {
            known.clone_from(gap);
        } else if was_open.is_none() {
            if self.latest.len() == MAX_GAPS {
                self.latest.pop_front();
            }
            self.latest.push_back(gap.clone());
        }
    }

    /// The length of all gaps. Those that have not ended last until now.
    fn length(&self) -> Duration {
        let open: Duration = self.open.iter().map(|(_, since)| until_now(*since)).sum();
        open + Duration::try_from_secs_f64(self.seconds).unwrap_or_default()
    }
}

/// The time from `since` until now, by the system clock.
fn until_now(since: DateTime<Local>) -> Duration {
    (local_now() - since).to_std().unwrap_or_default()
}

/// The beginning of `text`, of at most `bytes` bytes.
fn start(text: &str, bytes: usize) -> &str {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests;
