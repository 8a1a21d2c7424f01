//! The operations that go on: each has a line only when its status changes.

use std::collections::VecDeque;

use crate::event::{Operation, Status};

/// How many operations are remembered; real servers run a few at a time.
const OPERATIONS: usize = 256;

/// The operations that go on and the status that was last shown, oldest first.
#[derive(Debug, Default)]
pub(super) struct Operations {
    shown: VecDeque<(String, String)>,
}

impl Operations {
    /// Whether the operation's status is another than it was when it last had a line.
    pub(super) fn has_changed(&mut self, operation: Operation<'_>, is_terminal: bool) -> bool {
        let Some(id) = operation.id() else { return true };
        let (id, status) = (id.cow(), operation.status_text().map(|status| status.cow()).unwrap_or_default());
        let known = self.shown.iter().position(|(known, _)| *known == id);
        if operation.status() != Status::Going {
            known.map(|at| self.shown.remove(at));
            return true;
        }
        match known {
            Some(at) if self.shown[at].1 == status => false,
            Some(at) => {
                self.shown[at].1 = status.into_owned();
                // That a pending operation runs is no news to people.
                !is_terminal
            }
            None => {
                if self.shown.len() == OPERATIONS {
                    self.shown.pop_front();
                }
                self.shown.push_back((id.into_owned(), status.into_owned()));
                true
            }
        }
    }
}
