//! Counts messages that are not events. The first of each kind is reported with an excerpt.

use std::sync::Arc;

use log::warn;

use crate::event::json::JsonError;
use crate::event::{Malformed, RemoteId};

/// How much of a message is shown, in characters.
const EXCERPT: usize = 60;

/// The messages skipped so far.
#[derive(Debug)]
pub(crate) struct Skipped {
    /// The name of each remote, indexed by its number.
    names: Vec<String>,
    /// Whether nothing of a message is shown (`--redact`): what is no JSON has no keys to find secrets by.
    hides: bool,
    counts: Vec<(RemoteId, Class, u64)>,
}

/// What is wrong with a message, without details.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    NotJson,
    TooDeep,
    NoMemory,
    NotAnEvent,
    NoType,
    Binary,
}

impl Class {
    fn of(why: Malformed) -> Self {
        match why {
            Malformed::Json(JsonError::TooDeep) => Self::TooDeep,
            Malformed::Json(JsonError::NoMemory) => Self::NoMemory,
            Malformed::Json(_) => Self::NotJson,
            Malformed::NotAnObject => Self::NotAnEvent,
            Malformed::NoType => Self::NoType,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::NotJson => "not JSON",
            Self::TooDeep => "nested too deep",
            Self::NoMemory => "too long for the available memory",
            Self::NotAnEvent => "not a JSON object",
            Self::NoType => "without a \"type\"",
            Self::Binary => "binary",
        }
    }
}

impl Skipped {
    /// Starts with nothing skipped, for remotes with these names. With `hides`, nothing of a message is shown.
    #[must_use]
    pub(crate) fn new(names: Vec<String>, hides: bool) -> Self {
        Self { names, hides, counts: Vec::new() }
    }

    /// Counts a message that is not an event. For a recording, each such line is reported with the file and its number
    /// instead.
    pub(crate) fn malformed(&mut self, remote: RemoteId, line: Option<(Arc<str>, u64)>, why: Malformed, text: &str) {
        let excerpt = if self.hides { String::new() } else { format!(": {}", excerpt(text)) };
        if let Some((file, number)) = line {
            warn!("{file}: line {number}: {why}; skipped{excerpt}");
        } else if self.count(remote, Class::of(why), 1) == 1 {
            warn!("{}: skipped a message that is {why}{excerpt}", self.name(remote));
        }
    }

    /// Counts messages that are not text, and so cannot be events.
    pub(crate) fn binary(&mut self, remote: RemoteId, messages: u64) {
        if self.count(remote, Class::Binary, messages) == messages {
            warn!("{}: skipped a message that is {}", self.name(remote), Class::Binary.name());
        }
    }

    /// Reports the count of each kind of which more than the first message was skipped.
    pub(crate) fn report(&self) {
        for (remote, class, count) in self.counts.iter().filter(|(_, _, count)| *count > 1) {
            warn!("{}: skipped {count} messages that are {}", self.name(*remote), class.name());
        }
    }

    fn name(&self, remote: RemoteId) -> &str {
        self.names.get(usize::from(remote.0)).map_or("", String::as_str)
    }

    /// Adds to the count of a kind, and returns the new count.
    fn count(&mut self, remote: RemoteId, class: Class, messages: u64) -> u64 {
        let known = self.counts.iter_mut().find(|(of, what, _)| (*of, *what) == (remote, class));
        if let Some((_, _, count)) = known {
            *count += messages;
            return *count;
        }
        self.counts.push((remote, class, messages));
        messages
    }
}

fn excerpt(text: &str) -> String {
    let text = text.trim_ascii();
    match text.char_indices().nth(EXCERPT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
