//! The operations of a run: how many there were by description, the slowest ones, and those that still run.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use super::{MAX_NAME, Tally, start};
use crate::event::entity::{Entity, EntityKind};
use crate::event::{Event, Operation, RemoteId, Status, Timestamp};
use crate::system::clock::Moment;

/// The maximum number of running operations that are remembered. Servers run a few at a time, but the ends of some may
/// be missed.
const MAX_RUNNING: usize = 1000;

/// How many of the slowest operations are kept.
const SLOWEST: usize = 10;

/// The length of a fingerprint that is shown, as in `lxc image list`.
const FINGERPRINT: usize = 12;

/// The operations of a run.
#[derive(Debug, Default)]
pub(super) struct Operations {
    /// Those that have ended, by description.
    pub(super) ended: Tally,
    /// The slowest ones that have ended, in no order.
    slowest: Vec<Slow>,
    running: HashMap<(RemoteId, u64), Running>,
    /// How many operations in progress were not remembered any longer, for want of room.
    forgotten: u64,
}

/// An operation that has ended.
#[derive(Debug)]
pub(super) struct Slow {
    pub(super) time: Duration,
    pub(super) description: Box<str>,
    pub(super) subject: Box<str>,
}

/// An operation that has not ended.
#[derive(Debug)]
pub(super) struct Running {
    created: Option<Timestamp>,
    /// How long it had run when it was first seen, and when that was.
    age: Duration,
    seen: Moment,
    /// Whether it may have ended unseen, in a gap. Its next event says that it has not.
    is_doubtful: bool,
    pub(super) description: Box<str>,
    pub(super) subject: Box<str>,
}

impl Running {
    /// How long it has run: until now, or until `last`, the end of a recording.
    pub(super) fn time(&self, last: Option<Timestamp>) -> Duration {
        match (last, self.created) {
            (Some(last), Some(created)) => between(created, last),
            _ => self.age + self.seen.elapsed(),
        }
    }
}

impl Operations {
    /// Counts the event of an operation.
    pub(super) fn advance(&mut self, event: &Event, operation: Operation<'_>, has_failed: bool, remote: &str) {
        let id = operation.id().map(|id| (event.remote(), hash_of(&id.cow())));
        let status = operation.status();
        if status == Status::Going {
            match id.map(|id| (id, self.running.get_mut(&id))) {
                Some((_, Some(known))) => known.is_doubtful = false,
                Some((id, None)) if !only_waits(operation) => self.begin(id, event, operation, remote),
                _ => {}
            }
            return;
        }
        self.ended.count(&description(operation), |count| {
            count.all += 1;
            count.failed += u64::from(has_failed);
            count.cancelled += u64::from(status == Status::Cancelled);
        });
        let running = id.and_then(|id| self.running.remove(&id));
        let (Some(created), Some(end)) = (created(operation), event.timestamp()) else { return };
        let time = between(created, end);
        if only_waits(operation) || is_used(operation) {
            return;
        }
        let place = if self.slowest.len() < SLOWEST {
            None
        } else {
            let least = (0..SLOWEST).min_by_key(|at| self.slowest[*at].time);
            match least {
                Some(at) if self.slowest[at].time < time => Some(at),
                _ => return,
            }
        };
        let (description, subject) = match running {
            Some(running) => (running.description, running.subject),
            None => texts(event, operation, remote),
        };
        let slow = Slow { time, description, subject };
        match place {
            Some(at) => self.slowest[at] = slow,
            None => self.slowest.push(slow),
        }
    }

    fn begin(&mut self, id: (RemoteId, u64), event: &Event, operation: Operation<'_>, remote: &str) {
        if self.running.len() >= MAX_RUNNING
            && let Some(oldest) = self.oldest()
        {
            self.running.remove(&oldest);
            self.forgotten += 1;
        }
        let (description, subject) = texts(event, operation, remote);
        let created = created(operation);
        let age = created.zip(event.timestamp()).map_or(Duration::ZERO, |(created, now)| between(created, now));
        self.running
            .insert(id, Running { created, age, seen: Moment::now(), is_doubtful: false, description, subject });
    }

    /// The remembered operation whose end has most likely been missed.
    fn oldest(&self) -> Option<(RemoteId, u64)> {
        let age = |(_, running): &(_, &Running)| (running.is_doubtful, running.time(None));
        self.running.iter().max_by_key(age).map(|(id, _)| *id)
    }

    /// Events of a remote are missing: its operations may end unseen. Those that go on are seen again.
    pub(super) fn doubt(&mut self, remote: RemoteId) {
        for (_, running) in self.running.iter_mut().filter(|((of, _), _)| *of == remote) {
            running.is_doubtful = true;
        }
    }

    /// How many operations may have ended unseen.
    pub(super) fn doubtful(&self) -> u64 {
        self.running.values().filter(|running| running.is_doubtful).count() as u64 + self.forgotten
    }

    /// The slowest operations, the slowest first.
    pub(super) fn slowest(&self) -> Vec<&Slow> {
        let mut slowest: Vec<_> = self.slowest.iter().collect();
        slowest.sort_by(|one, other| other.time.cmp(&one.time).then_with(|| one.description.cmp(&other.description)));
        slowest
    }

    /// The operations that have not ended, with how long they have run, the longest first. `last` is the end of a
    /// recording.
    pub(super) fn running(&self, last: Option<Timestamp>) -> Vec<(Duration, &Running)> {
        let known = self.running.values().filter(|running| !running.is_doubtful);
        let mut running: Vec<_> = known.map(|running| (running.time(last), running)).collect();
        running.sort_by(|(one, its), (other, others)| other.cmp(one).then_with(|| its.subject.cmp(&others.subject)));
        running
    }
}

/// Whether the operation does nothing itself: a token waits until it is used, for days.
fn only_waits(operation: Operation<'_>) -> bool {
    operation.member("class").and_then(|class| class.as_text()).is_some_and(|class| class.is("token"))
}

/// Whether the operation lasts for as long as a user wants: commands and consoles (the descriptions of both servers'
/// `operationtype`).
fn is_used(operation: Operation<'_>) -> bool {
    operation.description().is_some_and(|text| text.is("Executing command") || text.is("Showing console"))
}

/// The description of an operation, else its class.
pub(super) fn description(operation: Operation<'_>) -> Cow<'_, str> {
    let text = operation.description().or(operation.member("class").and_then(|class| class.as_text()));
    text.map_or(Cow::Borrowed("an operation"), |text| text.cow())
}

fn created(operation: Operation<'_>) -> Option<Timestamp> {
    Timestamp::parse(&operation.created_at()?.cow())
}

/// The time from `begin` to `end`; none if the end is earlier.
fn between(Timestamp(begin): Timestamp, Timestamp(end): Timestamp) -> Duration {
    Duration::from_nanos(u64::try_from(end.saturating_sub(begin)).unwrap_or(0))
}

fn hash_of(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// The description and the subject of an operation.
fn texts(event: &Event, operation: Operation<'_>, remote: &str) -> (Box<str>, Box<str>) {
    let mut subject = String::new();
    push_subject(&mut subject, event, operation, remote);
    (start(&description(operation), MAX_NAME).into(), subject.into())
}

/// Appends what an operation works on: an instance by its name alone, other entities with their kinds; the number of
/// further ones.
pub(super) fn push_subject(text: &mut String, event: &Event, operation: Operation<'_>, remote: &str) {
    let subjects = operation.subjects();
    // LXD 5 also lists paths of no form that it has, such as that of a backup without its instance.
    let mut entities = subjects.iter().map(|path| Entity::parse(start(path, MAX_NAME)));
    let known = entities.clone().find(|entity| entity.kind != EntityKind::Other);
    let entity = known.or_else(|| entities.next()).unwrap_or_else(|| Entity::parse(""));
    let is_fingerprint = entity.name.len() == 64 && entity.name.bytes().all(|byte| byte.is_ascii_hexdigit());
    let name = if is_fingerprint { &entity.name[..FINGERPRINT] } else { &*entity.name };
    let mut subject = match entity.kind {
        EntityKind::Instance => Cow::Borrowed(name),
        // A path of an unknown form.
        EntityKind::Other => {
            let plain = name.split('?').next().unwrap_or_default();
            plain.strip_prefix("/1.0/").unwrap_or(plain).to_owned().into()
        }
        kind if name.is_empty() => Cow::Borrowed(kind.name()),
        kind => format!("{} {name}", kind.name()).into(),
    };
    if subjects.len() > 1 {
        subject = format!("{subject} +{}", subjects.len() - 1).into();
    }
    push_whom(text, remote, &subject, event.project().map(|project| project.cow()).as_deref());
}

/// Appends whom something concerns: its name, with the project unless that is the default one, and behind the remote
/// where several are followed.
pub(super) fn push_whom(text: &mut String, remote: &str, name: &str, project: Option<&str>) {
    text.push_str(start(remote, MAX_NAME));
    if !remote.is_empty() && !name.is_empty() {
        text.push_str(": ");
    }
    text.push_str(start(name, MAX_NAME));
    if let Some(project) = project.filter(|project| !name.is_empty() && *project != "default") {
        text.push_str(" (");
        text.push_str(start(project, MAX_NAME));
        text.push(')');
    }
}
