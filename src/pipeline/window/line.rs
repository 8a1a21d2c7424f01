//! A time line: the held events of one origin since its clock was set, whose timestamps can therefore be compared.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::clock::Clock;
use super::{Held, Time};

/// The sort key of an event in a time line: timestamp, then order of arrival.
pub(super) type Key = (Time, u64);

/// A time line.
#[derive(Debug)]
pub(super) struct Line {
    /// The held events that arrived in the order of their keys.
    run: VecDeque<Entry>,
    /// The held events that arrived after one with a later key.
    late: BinaryHeap<Reverse<Entry>>,
    /// The rest of an older line. These items are due.
    pub(super) earlier: VecDeque<Held>,
    /// The times of arrival of events that have not been held for the length of the window (`fresh`), and of those that
    /// have (`aged`), each with the latest key that arrived at that time. Some of these events may be released already.
    pub(super) fresh: VecDeque<(Time, Key)>,
    pub(super) aged: VecDeque<(Time, Key)>,
    /// The latest key that has been held for the length of the window, and for twice that length.
    aged_key: Key,
    overdue_key: Key,
    /// `None` until an event with a readable timestamp has arrived.
    pub(super) clock: Option<Clock>,
    /// The timestamp in the key of the event that arrived last.
    pub(super) last: Time,
}

/// An event that does not fit its time line. `held` is `None` if it has been released already, and only its time is
/// kept.
#[derive(Debug)]
pub(super) struct Odd {
    pub(super) time: Time,
    pub(super) arrival: Time,
    pub(super) number: u64,
    pub(super) held: Option<Held>,
}

#[derive(Debug)]
struct Entry {
    key: Key,
    held: Held,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key.cmp(&other.key)
    }
}

impl Default for Line {
    fn default() -> Self {
        Self {
            run: VecDeque::new(),
            late: BinaryHeap::new(),
            earlier: VecDeque::new(),
            fresh: VecDeque::new(),
            aged: VecDeque::new(),
            aged_key: (Time::MIN, 0),
            overdue_key: (Time::MIN, 0),
            clock: None,
            last: 0,
        }
    }
}

impl Line {
    /// An empty line with this clock.
    pub(super) fn with_clock(clock: Clock) -> Self {
        Self { clock: Some(clock), ..Self::default() }
    }

    pub(super) fn push(&mut self, key: Key, arrival: Time, held: Held) {
        self.last = key.0;
        match self.fresh.back_mut() {
            Some((same, latest)) if *same == arrival => *latest = key.max(*latest),
            _ => self.fresh.push_back((arrival, key)),
        }
        let entry = Entry { key, held };
        // Nearly always, the event that arrived last has the latest key.
        if self.run.back().is_none_or(|last| last.key < key) {
            self.run.push_back(entry);
        } else {
            self.late.push(Reverse(entry));
        }
    }

    /// The earliest key.
    pub(super) fn first(&self) -> Option<Key> {
        if !self.earlier.is_empty() {
            return Some((Time::MIN, 0));
        }
        let run = self.run.front().map(|entry| entry.key);
        let late = self.late.peek().map(|Reverse(entry)| entry.key);
        match (run, late) {
            (Some(run), Some(late)) => Some(run.min(late)),
            (run, late) => run.or(late),
        }
    }

    pub(super) fn pop(&mut self) -> Option<Held> {
        if let Some(held) = self.earlier.pop_front() {
            return Some(held);
        }
        let late = self.late.peek().map(|Reverse(entry)| entry.key);
        let entry = match (self.run.front().map(|entry| entry.key), late) {
            (Some(run), Some(late)) if late < run => self.late.pop().map(|Reverse(entry)| entry),
            (Some(_), _) => self.run.pop_front(),
            (None, _) => self.late.pop().map(|Reverse(entry)| entry),
        };
        let Entry { key, held } = entry?;
        for arrivals in [&mut self.fresh, &mut self.aged] {
            while arrivals.front().is_some_and(|(_, other)| *other <= key) {
                arrivals.pop_front();
            }
        }
        Some(held)
    }

    /// Updates the keys that are due and overdue. All events that arrived by `now` must have been pushed.
    pub(super) fn advance(&mut self, now: Time, length: Time) {
        while let Some(&(arrival, key)) = self.fresh.front().filter(|(arrival, _)| *arrival <= now - length) {
            self.aged_key = self.aged_key.max(key);
            self.fresh.pop_front();
            self.aged.push_back((arrival, key));
        }
        while let Some((_, key)) = self.aged.front().filter(|(arrival, _)| *arrival <= now - length - length) {
            self.overdue_key = self.overdue_key.max(*key);
            self.aged.pop_front();
        }
    }

    pub(super) fn is_due(&self, key: Key, length: Time) -> bool {
        !self.earlier.is_empty()
            || key <= self.aged_key
            || self.clock.is_some_and(|clock| clock.max.saturating_sub(length) >= key.0)
    }

    pub(super) fn is_overdue(&self, key: Key) -> bool {
        key <= self.overdue_key
    }

    pub(super) fn is_empty(&self) -> bool {
        self.run.is_empty() && self.late.is_empty() && self.earlier.is_empty()
    }
}
