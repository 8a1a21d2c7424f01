//! Remembers the operations in progress, so that an operation gets a line only when its status changes, and shows the
//! stage that moves.

use std::borrow::Cow;
use std::collections::VecDeque;

use crate::event::{Operation, Stages, Status};

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
    /// The status at its last line.
    status: String,
    stages: Stages,
}

impl Operations {
    /// Whether the operation needs a line, because it is new, it has ended, or its status has changed since its last line;
    /// and the text of its progress, if it has one. An operation may begin with any status.
    pub(super) fn advance<'a>(&mut self, operation: Operation<'a>, is_terminal: bool) -> (bool, Option<Cow<'a, str>>) {
        let Some(id) = operation.id() else { return (true, Stages::default().advance(operation)) };
        let (id, status) = (id.cow(), operation.status_text().map(|status| status.cow()).unwrap_or_default());
        let known = self.known.iter().position(|known| known.id == id);
        if operation.status() != Status::Going {
            known.map(|at| self.known.remove(at));
            return (true, None);
        }
        let Some(known) = known.and_then(|at| self.known.get_mut(at)) else {
            if self.known.len() == OPERATIONS {
                self.known.pop_front();
            }
            let mut stages = Stages::default();
            let progress = stages.advance(operation);
            self.known.push_back(Known { id: id.into_owned(), status: status.into_owned(), stages });
            return (true, progress);
        };
        let progress = known.stages.advance(operation);
        let has_changed = known.status != status;
        if has_changed {
            known.status = status.into_owned();
        }
        // On a terminal, a change from pending to running is of no interest.
        (has_changed && !is_terminal, progress)
    }
}
