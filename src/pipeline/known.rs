//! What is known of the state of instances and operations (`--state`), and which states of an answer are printed.
//!
//! A server that is asked says what it sees at some moment between the question and the answer, of each instance at
//! another one. The subscription is live meanwhile, so events come in between:
//!
//! ```text
//!   question ────────────────────────────────────────────> answer
//!               c1 seen: stopped    c1 is started
//!                                     └──> instance-started      the answer is older than the event, and is not printed
//! ```
//!
//! **The events are right.** What is known is the last answer, changed by each lifecycle and operation event that has
//! arrived since, whether it is printed or not. A state in an answer that contradicts an event which has arrived since the
//! question is not printed: either the event is newer, or another event is on its way that says so. A state that agrees
//! with the event is printed. So nobody who waits for a state or the event that leads to it waits in vain, and no older
//! state comes after a newer event.
//!
//! After a gap the same is asked again. Printed is what differs from what is known, and then is known. An instance that
//! is known and not in the answer was deleted, an operation has ended, unless an event since the question has named it.

use std::collections::HashMap;
use std::fmt::Write as _;

use crate::event::entity::{Entity, EntityKind};
use crate::event::message::Block;
use crate::event::state::{DEFAULT_PROJECT, Kind, Record, Running, Subject, is_running, status_after};
use crate::event::{Event, Lifecycle, Operation, RemoteId, Status, Timestamp, Type};
use crate::queue::Stage;

/// The maximum number of instances and operations that are known. What comes as an event beyond that is unknown after a
/// gap, and so is printed.
const MOST: usize = 200_000;

/// The maximum number of remembered things that are gone. They are remembered because events can change places.
const MOST_GONE: usize = 4096;

/// An event that is earlier than the last one about the same thing by less than this is late, so it changes nothing. By
/// more, the clock was set. In nanoseconds; the servers' events change places by some milliseconds (`docs/soak.md`).
const LATE: i64 = 1_000_000_000;

/// What is known of all remotes.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// By remote.
    remotes: Vec<Remote>,
    /// By remote: the one that is asked in its place, as both are members of one cluster.
    same: Vec<Option<RemoteId>>,
    /// Buffer for a key.
    key: String,
}

#[derive(Debug, Default)]
struct Remote {
    /// By `project/name` of an instance, and `/id` of an operation. Neither name can have a slash.
    entries: HashMap<String, Entry>,
    /// The number of entries that are gone.
    gone: usize,
    /// Whether there was an answer about instances, and about operations.
    has_answer: [bool; 2],
}

/// What is known of one instance or operation.
#[derive(Debug)]
struct Entry {
    /// The status; `None` once it is gone.
    status: Option<String>,
    /// The cluster member on which it was last seen, if that is known.
    location: Option<Box<str>>,
    /// When it changed, by the server's clock, if an event said so.
    at: Option<Timestamp>,
    /// Whether an event since the last question has named it.
    is_named: bool,
    /// Whether it is in the answer that is being read.
    is_listed: bool,
    /// The text of its state event.
    record: String,
}

/// What an event says of an instance.
enum Change<'a> {
    Status(&'a str),
    Created,
    Deleted,
    /// It had this name before.
    Renamed(&'a str),
}

impl Known {
    /// Updates what is known with an event of a server. To be called with every event in the order of arrival.
    pub(crate) fn learn(&mut self, event: &Event) {
        match event.event_type() {
            Type::Lifecycle => {
                if let Some(lifecycle) = event.lifecycle() {
                    self.learn_lifecycle(event, lifecycle);
                }
            }
            Type::Operation => {
                if let Some(operation) = event.operation() {
                    self.learn_operation(event, operation);
                }
            }
            _ => {}
        }
    }

    /// A step of a question about a remote. Returns the state events to print, as messages of the block, or as new texts.
    pub(crate) fn advance(&mut self, remote: RemoteId, stage: &Stage) -> Vec<Printed> {
        match stage {
            Stage::Same(other) => {
                let index = usize::from(remote.0);
                if self.same.len() <= index {
                    self.same.resize(index + 1, None);
                }
                self.same[index] = Some(*other);
                Vec::new()
            }
            Stage::Asked => {
                self.remote(remote).forget_events();
                Vec::new()
            }
            Stage::Answer { kind, block, at } => self.remote(remote).compare(*kind, block, at),
        }
    }

    /// The entries for a remote, or for the one that is asked in its place.
    fn remote(&mut self, remote: RemoteId) -> &mut Remote {
        let RemoteId(number) = self.same.get(usize::from(remote.0)).copied().flatten().unwrap_or(remote);
        let index = usize::from(number);
        if self.remotes.len() <= index {
            self.remotes.resize_with(index + 1, Remote::default);
        }
        &mut self.remotes[index]
    }

    fn learn_lifecycle(&mut self, event: &Event, lifecycle: Lifecycle<'_>) {
        let Some(action) = lifecycle.action().map(|action| action.cow()) else { return };
        let old_name = || lifecycle.context()?.get_text("old_name").map(|name| name.cow().into_owned());
        let (status, old);
        let change = match &*action {
            "instance-created" | "container-created" | "virtual-machine-created" => Change::Created,
            "instance-deleted" | "container-deleted" | "virtual-machine-deleted" => Change::Deleted,
            "instance-renamed" | "container-renamed" | "virtual-machine-renamed" => {
                let Some(name) = old_name() else { return };
                old = name;
                Change::Renamed(&old)
            }
            other => {
                let Some(after) = status_after(other) else { return };
                status = after;
                Change::Status(status)
            }
        };
        let source = lifecycle.source().map(|source| source.cow()).unwrap_or_default();
        let entity = Entity::parse(&source);
        let Some(name) = entity.instance().filter(|_| entity.kind == EntityKind::Instance) else { return };
        let event_project = event.project().map(|project| project.cow());
        let project = entity.project.as_deref().or(event_project.as_deref()).unwrap_or(DEFAULT_PROJECT);
        let mut key = std::mem::take(&mut self.key);
        key_of_instance(&mut key, project, name);
        let remote = self.remote(event.remote());
        let at = event.timestamp();
        let location = event.location().map(|location| location.cow());
        let location = location.as_deref();
        let record = |status: &str| {
            let subject = Subject::instance(name.to_owned(), project, status.to_owned());
            let location = location.map(str::to_owned);
            Record::new(String::new(), Some(project.to_owned()), location, subject).to_text()
        };
        match change {
            Change::Status(status) => remote.set(&key, status, location, at, || record(status)),
            // A new instance is stopped, or its start has been seen already.
            Change::Created => remote.set(&key, "Stopped", location, at, || record("Stopped")),
            Change::Deleted => remote.remove(&key, at),
            Change::Renamed(old) => {
                let mut old_key = String::new();
                key_of_instance(&mut old_key, project, old);
                let before = remote.entries.get(&old_key).and_then(|entry| entry.status.clone());
                remote.remove(&old_key, at);
                // Only an instance that is stopped can be renamed.
                let status = before.unwrap_or_else(|| "Stopped".to_owned());
                remote.set(&key, &status, location, at, || record(&status));
            }
        }
        self.key = key;
    }

    fn learn_operation(&mut self, event: &Event, operation: Operation<'_>) {
        let Some(id) = operation.id() else { return };
        let mut key = std::mem::take(&mut self.key);
        key_of_operation(&mut key, &id.cow());
        let remote = self.remote(event.remote());
        let at = event.timestamp();
        if operation.status() == Status::Going {
            let record = || {
                let metadata = event.metadata().map(|metadata| metadata.raw()).unwrap_or_default();
                let running = serde_json::from_str::<Running>(metadata).unwrap_or_default();
                let text = |text: Option<crate::event::json::Text<'_>>| text.map(|text| text.cow().into_owned());
                let subject = Subject::operation(running);
                Record::new(String::new(), text(event.project()), text(event.location()), subject).to_text()
            };
            remote.set(&key, "Running", None, at, record);
        } else {
            remote.remove(&key, at);
        }
        self.key = key;
    }
}

/// A state event to print.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Printed {
    /// The message of the answer with this number, as it is.
    Message(usize),
    /// Another text.
    Text(String),
}

fn key_of_instance(key: &mut String, project: &str, name: &str) {
    key.clear();
    // Writing to a String cannot fail.
    let _ = write!(key, "{project}/{name}");
}

fn key_of_operation(key: &mut String, id: &str) {
    key.clear();
    let _ = write!(key, "/{id}");
}

fn kind_of(key: &str) -> Kind {
    if key.starts_with('/') { Kind::Operation } else { Kind::Instance }
}

/// Whether two statuses are equal as far as events can say: none need be sent when an operation begins to be cancelled,
/// and of an instance that runs the guest itself reports that it is ready.
fn agree(kind: Kind, one: &str, other: &str) -> bool {
    kind == Kind::Operation || one == other || (is_running(one) && is_running(other))
}

impl Entry {
    /// Whether an event of this time is late: a later one about the same thing came before it.
    fn is_after(&self, at: Option<Timestamp>) -> bool {
        let (Some(Timestamp(last)), Some(Timestamp(at))) = (self.at, at) else { return false };
        at < last && last - at < LATE
    }
}

impl Remote {
    /// An event of the member `location` says that something has this status. `record` makes the text of its state event.
    fn set(
        &mut self,
        key: &str,
        status: &str,
        location: Option<&str>,
        at: Option<Timestamp>,
        record: impl FnOnce() -> String,
    ) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.is_named = true;
            if entry.is_after(at) {
                return;
            }
            entry.at = at;
            let is_elsewhere = location.is_some() && entry.location.as_deref() != location;
            let was_gone = entry.status.is_none();
            match &mut entry.status {
                Some(known) if known == status => {}
                Some(known) => status.clone_into(known),
                gone @ None => {
                    *gone = Some(status.to_owned());
                    self.gone -= 1;
                }
            }
            if was_gone || is_elsewhere {
                entry.location = location.map(Into::into);
                entry.record = record();
            }
        } else if self.entries.len() < MOST {
            let (status, location, record) = (Some(status.to_owned()), location.map(Into::into), record());
            let entry = Entry { status, location, at, is_named: true, is_listed: false, record };
            self.entries.insert(key.to_owned(), entry);
        }
    }

    /// An event says that something is gone.
    fn remove(&mut self, key: &str, at: Option<Timestamp>) {
        if self.gone >= MOST_GONE {
            self.forget_gone();
        }
        if let Some(entry) = self.entries.get_mut(key) {
            entry.is_named = true;
            if entry.is_after(at) {
                return;
            }
            entry.at = at;
            if entry.status.take().is_some() {
                self.gone += 1;
                entry.record = String::new();
            }
        } else if self.entries.len() < MOST {
            let record = String::new();
            let entry = Entry { status: None, location: None, at, is_named: true, is_listed: false, record };
            self.entries.insert(key.to_owned(), entry);
            self.gone += 1;
        }
    }

    fn forget_gone(&mut self) {
        self.entries.retain(|_, entry| entry.status.is_some());
        self.gone = 0;
    }

    /// A question is about to be sent: what was named before it is older than the answer.
    fn forget_events(&mut self) {
        self.forget_gone();
        self.entries.values_mut().for_each(|entry| entry.is_named = false);
    }

    /// Compares an answer with what is known. Afterwards, the answer is known.
    fn compare(&mut self, kind: Kind, block: &Block, at: &str) -> Vec<Printed> {
        let is_first = !std::mem::replace(&mut self.has_answer[kind as usize], true);
        let mut printed = Vec::new();
        let mut key = String::new();
        for index in 0..block.len() {
            let text = block.text(index);
            let Some(record) = Record::parse(text) else { continue };
            match record.subject() {
                Subject::Instance { name, .. } => {
                    key_of_instance(&mut key, record.project.as_deref().unwrap_or(DEFAULT_PROJECT), name);
                }
                Subject::Operation(running) => key_of_operation(&mut key, &running.id),
            }
            if self.admit(&key, &record, text, is_first) {
                if is_first {
                    printed.push(Printed::Message(index));
                } else {
                    let mut record = record;
                    record.set_changed();
                    printed.push(Printed::Text(record.to_text()));
                }
            }
        }
        let mut gone = Vec::new();
        self.entries.retain(|key, entry| {
            let is_there = std::mem::replace(&mut entry.is_listed, false) || entry.is_named || kind_of(key) != kind;
            if !is_there && !is_first {
                gone.push((key.clone(), std::mem::take(&mut entry.record)));
            }
            is_there
        });
        gone.sort_unstable();
        for mut record in gone.iter().filter_map(|(_, record)| Record::parse(record)) {
            record.set_gone(at.to_owned());
            printed.push(Printed::Text(record.to_text()));
        }
        printed
    }

    /// Puts a state of an answer into the entries. Returns whether it is to be printed.
    fn admit(&mut self, key: &str, record: &Record, text: &str, is_first: bool) -> bool {
        let status = record.subject().status();
        let location = record.location.as_deref();
        let Some(entry) = self.entries.get_mut(key) else {
            if self.entries.len() < MOST {
                let (status, location, record) = (Some(status.to_owned()), location.map(Into::into), text.to_owned());
                let entry = Entry { status, location, at: None, is_named: false, is_listed: true, record };
                self.entries.insert(key.to_owned(), entry);
            }
            return true;
        };
        entry.is_listed = true;
        let kind = record.subject().kind();
        if entry.is_named {
            // The events already say what happened later.
            return is_first && entry.status.as_deref().is_some_and(|known| agree(kind, known, status));
        }
        let is_new = if let Some(known) = &entry.status {
            // An instance can have been moved to another member of the cluster.
            let is_elsewhere = entry.location.as_deref().zip(location).is_some_and(|(known, now)| known != now);
            kind == Kind::Instance && (known != status || is_elsewhere)
        } else {
            self.gone -= 1;
            true
        };
        entry.status = Some(status.to_owned());
        entry.location = location.map(Into::into);
        text.clone_into(&mut entry.record);
        entry.at = None;
        is_first || is_new
    }
}

#[cfg(test)]
mod tests;
