//! The next event of each origin, in the order of their corrected times.

use std::cmp::Reverse;

use super::Time;
use super::line::Key;

/// The next event of an origin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    /// Its key in its time line.
    pub(super) key: Key,
    /// The same with the corrected time, by which the events of all origins are merged.
    pub(super) corrected: Key,
    /// The difference between a timestamp of its line and the corrected time.
    pub(super) correction: Time,
    pub(super) origin: usize,
    pub(super) is_former: bool,
}

/// At most one head for each origin.
#[derive(Debug, Default)]
pub(super) struct Heads {
    /// The earliest one last.
    heads: Vec<Head>,
}

impl Heads {
    pub(super) fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.heads.clear();
    }

    /// Adds these heads to none.
    pub(super) fn fill(&mut self, heads: impl Iterator<Item = Head>) {
        self.heads.extend(heads);
        self.heads.sort_unstable_by_key(|head| Reverse(head.corrected));
    }

    /// The earliest head.
    pub(super) fn first(&self) -> Option<Head> {
        self.heads.last().copied()
    }

    /// The earliest head that is wanted.
    pub(super) fn find(&self, is_wanted: impl Fn(&Head) -> bool) -> Option<Head> {
        self.heads.iter().rev().find(|head| is_wanted(head)).copied()
    }

    /// The head of the origin has been released, and `next` takes its place.
    pub(super) fn replace(&mut self, origin: usize, next: Option<Head>) {
        match (next, &mut self.heads[..]) {
            // Nearly always it was the earliest one, and its successor is now.
            (Some(next), [others @ .., last])
                if last.origin == origin && others.last().is_none_or(|other| other.corrected > next.corrected) =>
            {
                *last = next;
                return;
            }
            _ => {}
        }
        if let Some(place) = self.heads.iter().rposition(|other| other.origin == origin) {
            self.heads.remove(place);
        }
        if let Some(next) = next {
            let place = self.heads.partition_point(|other| other.corrected > next.corrected);
            self.heads.insert(place, next);
        }
    }
}
