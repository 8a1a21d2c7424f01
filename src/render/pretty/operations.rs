//! Remembers the operations in progress, so that an operation gets a line only when its status changes.

use std::collections::VecDeque;

use crate::event::{Operation, Status};

/// The maximum number of remembered operations. Real servers run only a few at a time.
const OPERATIONS: usize = 256;

/// The ids of operations in progress and the status that was last shown, oldest first.
#[derive(Debug, Default)]
pub(super) struct Operations {
    shown: VecDeque<(String, String)>,
}

impl Operations {
    /// Whether the operation needs a line: it is new, it has ended, or its status has changed since its last line.
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
                // On a terminal, a change from pending to running is of no interest.
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
