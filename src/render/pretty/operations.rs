//! Remembers the operations in progress: an operation has a line when it begins and when it ends, and its stage is the
//! one that moves.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use crate::event::{Event, Operation, Stages, Status};

/// The maximum number of remembered operations. Real servers run only a few at a time.
const OPERATIONS: usize = 256;

/// The operations in progress, oldest first.
#[derive(Debug, Default)]
pub(super) struct Operations {
    known: VecDeque<Known>,
}

/// An operation in progress.
#[derive(Debug)]
struct Known {
    id: String,
    /// A hash of what its lines show besides its id.
    looks: u64,
    /// Whether another operation that looks the same was in progress at the same time.
    has_double: bool,
    stages: Stages,
}

/// Where an operation is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// This is the first event of it that was seen, and it is in progress.
    Begins,
    /// It is in progress.
    Goes,
    /// It has ended.
    Ends,
}

/// What an event means for its operation.
#[derive(Debug)]
pub(super) struct Step<'a> {
    pub(super) turn: Turn,
    /// The text of the stage that moves.
    pub(super) stage: Option<Cow<'a, str>>,
    /// Whether the operation differs from another one in progress by its id only.
    pub(super) has_double: bool,
}

impl Operations {
    /// Records an event of an operation.
    pub(super) fn advance<'a>(&mut self, event: &Event, operation: Operation<'a>) -> Step<'a> {
        let ends = operation.status() != Status::Going;
        let Some(id) = operation.id() else {
            let turn = if ends { Turn::Ends } else { Turn::Begins };
            return Step { turn, stage: Stages::default().advance(operation), has_double: false };
        };
        let id = id.cow();
        let known = self.known.iter().position(|known| known.id == id);
        if ends {
            let known = known.and_then(|at| self.known.remove(at));
            return Step { turn: Turn::Ends, stage: None, has_double: known.is_some_and(|known| known.has_double) };
        }
        if let Some(known) = known.and_then(|at| self.known.get_mut(at)) {
            let stage = known.stages.advance(operation);
            return Step { turn: Turn::Goes, stage, has_double: known.has_double };
        }
        if self.known.len() == OPERATIONS {
            self.known.pop_front();
        }
        let looks = looks(event, operation);
        let mut has_double = false;
        for other in self.known.iter_mut().filter(|other| other.looks == looks) {
            other.has_double = true;
            has_double = true;
        }
        let mut stages = Stages::default();
        let stage = stages.advance(operation);
        self.known.push_back(Known { id: id.into_owned(), looks, has_double, stages });
        Step { turn: Turn::Begins, stage, has_double }
    }
}

/// A hash of what distinguishes operations for a reader: project, description, object, command.
fn looks(event: &Event, operation: Operation<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    event.remote().hash(&mut hasher);
    event.project().map(|project| project.raw).hash(&mut hasher);
    operation.description().map(|description| description.raw).hash(&mut hasher);
    for path in operation.entity_paths() {
        path.raw.hash(&mut hasher);
    }
    operation.details().and_then(|details| details.get("command")).map(|command| command.raw()).hash(&mut hasher);
    hasher.finish()
}
