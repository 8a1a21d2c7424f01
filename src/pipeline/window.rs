//! The sort window: holds each event for a short while, so that one which was sent earlier and arrives later can still
//! be put before it.
//!
//! The servers send every event from a goroutine of its own, so neighbours change places (design, section 1). What may
//! change places are events of one *origin*, a member of a remote, and its clock decides. Other origins' clocks differ, by
//! hours perhaps, so events of several origins are merged by *corrected* times, which are ours:
//!
//! ```text
//!   corrected = timestamp − offset        offset = the greatest (timestamp − time of arrival) of the last seconds
//!
//!   origin A, an hour ahead   13:00:00.010  13:00:00.030       corrected  12:00:00.010  12:00:00.030
//!   origin B                  12:00:00.020                     corrected  12:00:00.020
//!   printed                   A .010, B .020, A .030
//! ```
//!
//! The event that was on its way for the shortest time defines the offset, so a corrected time is never later than the
//! arrival. What the members of a remote have in common is one offset, their connection's, and each differs from that by
//! its *skew*: a stream that runs ahead of its clock (one that is sent again) does so with all its members.
//!
//! An event is *due* in its origin when it has been held for the window's length, or when that origin has sent an event
//! whose timestamp is so much later: nothing within the window can come before it then. The event with the earliest
//! corrected time is released once it is due. Others wait for it, but for no longer than a second window: an origin that
//! is behind must not hold up the rest.
//!
//! A clock that is set, and one wrong timestamp, both show as an event that does not fit its origin's time line: it is
//! from the future, or a window behind what came before. What follows decides. If the next event goes on from there, the
//! clock was set, and a new time line begins behind the old one. If not, only that one event was wrong.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::{Duration, Instant};

use crate::event::gap::Gap;
use crate::event::{Event, RemoteId, Timestamp};
use crate::system::clock::both_clocks;

/// Nanoseconds: of a server's clock since 1970, or of ours since the program was started.
type Time = i64;

const MILLISECOND: Time = 1_000_000;

/// An event that is ahead of its origin's clock by more than this is from the future. Events arrive early by no more than
/// the origin's offset was underestimated, at first by as much as the reading thread sleeps.
const AHEAD: Time = 50 * MILLISECOND;

/// Clocks that differ from ours by less are taken to agree with ours and with each other: times of arrival cannot tell
/// the difference from the time that events are on their way.
const AGREEMENT: Time = 10 * MILLISECOND;

/// Offsets are the greatest of this time, or of twice as long: clocks drift.
const OFFSET_LIFE: Time = 10_000 * MILLISECOND;

/// How much later than due held events may be released while there are several, so that the arrival of the next event
/// serves as the wake-up that releases an earlier one: with the usual window the second time that the reading thread has
/// slept. A lone event is released when it is due.
const SLACK: Duration = Duration::from_millis(42);

/// More origins than any cluster has members. Beyond that, origins that hold nothing are forgotten.
const MAX_ORIGINS: usize = 256;

/// What the window holds.
#[derive(Debug)]
pub enum Held {
    /// An event.
    Event(Event),
    /// The place where events of a remote are missing.
    Gap(Gap),
}

/// The window and what is held in it.
#[derive(Debug)]
pub struct Window {
    /// Its length.
    length: Time,
    /// What the held events take beside their texts.
    tape_bytes: usize,
    /// How many events and gaps are held.
    count: usize,
    origins: Vec<Origin>,
    /// The origin of the last event.
    last_origin: usize,
    /// Most releases are of the same origin as the one before. None once something has been put into a line: that may have
    /// become the earliest, and offsets change with it.
    leader: Option<Leader>,
    /// By remote; none where no event with a readable timestamp has come.
    connections: Vec<Option<Connection>>,
    /// Counts what is pushed: the order of arrival.
    pushed: u64,
    /// What our times count from.
    start: Instant,
    /// Our system clock minus our time.
    system_offset: Time,
    /// Everything that arrived by this time has been pushed.
    now: Time,
    /// Of a recording: the latest corrected time, which stands in for the time of arrival.
    recorded_now: Time,
    /// Whether events come from a recording, which shows no times of arrival.
    is_recording: bool,
    /// When the last line of a recording that grows was pushed. One that grows may have no further line for long.
    last_line: Option<Instant>,
    recording_grows: bool,
}

/// Orders the events of a time line: timestamp, then order of arrival.
type Key = (Time, u64);

/// A member of a remote.
#[derive(Debug)]
struct Origin {
    remote: RemoteId,
    location: String,
    /// Where events are put.
    current: Line,
    /// What is left of the time line before the clock was set.
    former: Line,
    /// An event that does not fit the current time line, until the next one decides.
    odd: Option<Odd>,
}

/// Events whose timestamps can be compared.
#[derive(Debug)]
struct Line {
    /// The held events that arrived in order.
    run: VecDeque<Entry>,
    /// Those that arrived after a later one.
    late: BinaryHeap<Reverse<Entry>>,
    /// What is left of a line before this one, and due.
    earlier: VecDeque<Held>,
    /// When the held events arrived, in that order, and the latest key of those that arrived at that time: those that have
    /// not been held for the window's length, and those that have. Some may have been released already.
    fresh: VecDeque<(Time, Key)>,
    aged: VecDeque<(Time, Key)>,
    /// The latest key of those that have been held for the window's length, and for twice as long.
    aged_key: Key,
    overdue_key: Key,
    /// None until an event with a readable timestamp has come.
    clock: Option<Clock>,
    /// The key's timestamp of the event that arrived last.
    last: Time,
}

/// The time line that has the next event.
#[derive(Clone, Copy, Debug)]
struct Next {
    /// The corrected time of its first event.
    corrected: Key,
    origin: usize,
    is_former: bool,
    is_due: bool,
}

/// The time line that has the earliest event, with what is needed to see whether it still has it after a release.
#[derive(Clone, Copy, Debug)]
struct Leader {
    origin: usize,
    is_former: bool,
    /// A timestamp minus its corrected time.
    correction: Time,
    /// The earliest corrected time of the other origins.
    others: Key,
}

/// Later than all events.
const LAST: Key = (Time::MAX, u64::MAX);

/// What is known of the clock behind a time line.
#[derive(Clone, Copy, Debug)]
struct Clock {
    /// The latest timestamp.
    max: Time,
    /// By how much it is ahead of its remote's offset.
    skew: Time,
    /// The greatest of timestamp − arrival since the remote's offset was last renewed.
    greatest: Time,
}

/// What the members of a remote have in common.
#[derive(Clone, Copy, Debug)]
struct Connection {
    /// The greatest of timestamp − skew − arrival, since `since` and in the period before that.
    offset: Time,
    former_offset: Time,
    since: Time,
}

impl Connection {
    fn offset(&self) -> Time {
        self.offset.max(self.former_offset)
    }

    /// The skew of a clock with such a difference of timestamp and arrival. Members whose clocks agree are taken to have
    /// the same: how long single events were on their way must not change their order.
    fn skew(&self, difference: Time) -> Time {
        let skew = difference.saturating_sub(self.offset());
        if skew.saturating_abs() < AGREEMENT { 0 } else { skew }
    }
}

/// An event that does not fit, or the memory of one that could not be held longer.
#[derive(Debug)]
struct Odd {
    time: Time,
    arrival: Time,
    number: u64,
    held: Option<Held>,
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
    fn push(&mut self, key: Key, arrival: Time, held: Held) {
        self.last = key.0;
        match self.fresh.back_mut() {
            Some((same, latest)) if *same == arrival => *latest = key.max(*latest),
            _ => self.fresh.push_back((arrival, key)),
        }
        let entry = Entry { key, held };
        // Nearly always the newest is the latest.
        if self.run.back().is_none_or(|last| last.key < key) {
            self.run.push_back(entry);
        } else {
            self.late.push(Reverse(entry));
        }
    }

    /// The earliest key.
    fn first(&self) -> Option<Key> {
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

    fn pop(&mut self) -> Option<Held> {
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

    /// Everything that arrived by `now` has been pushed.
    fn advance(&mut self, now: Time, length: Time) {
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

    fn is_due(&self, key: Key, length: Time) -> bool {
        !self.earlier.is_empty()
            || key <= self.aged_key
            || self.clock.is_some_and(|clock| clock.max.saturating_sub(length) >= key.0)
    }

    fn is_overdue(&self, key: Key) -> bool {
        key <= self.overdue_key
    }

    fn is_empty(&self) -> bool {
        self.run.is_empty() && self.late.is_empty() && self.earlier.is_empty()
    }
}

impl Window {
    /// A window of this length. With a length of zero everything passes as it comes. `recording_grows` is for recordings
    /// whose next line may be a long time coming.
    #[must_use]
    pub fn new(length: Duration, recording_grows: bool) -> Self {
        let (start, system_offset) = both_clocks();
        Self {
            // Half of the range, so that sums stay within it.
            length: i64::try_from(length.as_nanos()).unwrap_or(i64::MAX / 2).min(i64::MAX / 2),
            tape_bytes: 0,
            count: 0,
            origins: Vec::new(),
            last_origin: 0,
            leader: None,
            connections: Vec::new(),
            pushed: 0,
            start,
            system_offset,
            now: 0,
            recorded_now: 0,
            is_recording: false,
            last_line: None,
            recording_grows,
        }
    }

    /// Whether everything passes as it comes.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.length == 0
    }

    /// What the held events take beside their texts, in bytes.
    #[must_use]
    pub fn tape_bytes(&self) -> usize {
        self.tape_bytes
    }

    fn time(&self, at: Instant) -> Time {
        i64::try_from(at.saturating_duration_since(self.start).as_nanos()).unwrap_or(i64::MAX / 2)
    }

    /// Admits an event that arrived at `arrived`; none for an event of a recording.
    pub fn push(&mut self, event: Event, arrived: Option<Instant>) {
        self.tape_bytes += event.size_beside_text();
        self.pushed += 1;
        let number = self.pushed;
        let index = self.origin_of(&event);
        let time = event.timestamp().map(|Timestamp(time)| time);
        let held = Held::Event(event);
        if self.length == 0 {
            self.put(index, (0, number), 0, held);
            return;
        }
        let arrival = arrived.map(|at| self.time(at));
        if arrived.is_none() {
            self.is_recording = true;
            self.last_line = self.recording_grows.then(Instant::now);
        }
        let Some(time) = time else {
            // Without a readable timestamp it stays behind the one that arrived before it.
            self.settle(index, None);
            let line = &self.origins[index].current;
            let time = if line.clock.is_none() { arrival.unwrap_or(self.recorded_now) } else { line.last };
            self.put(index, (time, number), arrival.unwrap_or(self.recorded_now), held);
            return;
        };
        self.place(index, time, arrival, number, held);
    }

    /// Puts an event where its timestamp belongs.
    fn place(&mut self, index: usize, time: Time, arrival: Option<Time>, number: u64, held: Held) {
        let at = arrival.unwrap_or(self.recorded_now);
        let Some(clock) = self.origins[index].current.clock else {
            // Held events without a readable timestamp came before this one.
            let clock = self.new_clock(index, time, at);
            let origin = &mut self.origins[index];
            let line = Line { clock: Some(clock), ..Line::default() };
            origin.former = std::mem::replace(&mut origin.current, line);
            self.finish_placing(index, (time, number), at, held);
            return;
        };
        let is_behind = time < clock.max.saturating_sub(self.length);
        // A recording shows no time of arrival, so that nothing can be ahead of it.
        let is_ahead = |offset: Time| arrival.is_some_and(|at| time > at.saturating_add(offset).saturating_add(AHEAD));
        if !is_behind && !is_ahead(self.offset(index, clock)) {
            self.settle(index, Some(time));
            self.learn(index, time, arrival);
            self.finish_placing(index, (time, number), at, held);
            return;
        }
        let goes_on = self.origins[index].odd.as_ref().is_some_and(|odd| {
            time >= odd.time.saturating_sub(self.length) && !is_ahead(odd.time.saturating_sub(odd.arrival))
        });
        if goes_on {
            self.begin_line(index, (time, arrival, number), held);
            return;
        }
        self.settle(index, None);
        self.origins[index].odd = Some(Odd { time, arrival: at, number, held: Some(held) });
        self.count += 1;
    }

    fn connection(&mut self, index: usize) -> &mut Option<Connection> {
        let remote = usize::from(self.origins[index].remote.0);
        if self.connections.len() <= remote {
            self.connections.resize(remote + 1, None);
        }
        &mut self.connections[remote]
    }

    /// The clock of an origin whose first event this is, or whose clock was set.
    fn new_clock(&mut self, index: usize, time: Time, at: Time) -> Clock {
        let difference = time.saturating_sub(at);
        let new = Connection { offset: difference, former_offset: difference, since: at };
        let skew = self.connection(index).get_or_insert(new).skew(difference);
        Clock { max: time, skew, greatest: difference }
    }

    fn offset(&self, index: usize, clock: Clock) -> Time {
        let connection = self.connections.get(usize::from(self.origins[index].remote.0)).copied().flatten();
        connection.map_or(0, |connection| connection.offset()).saturating_add(clock.skew)
    }

    /// Learns from an event that fits.
    fn learn(&mut self, index: usize, time: Time, arrival: Option<Time>) {
        let Some(clock) = &mut self.origins[index].current.clock else { return };
        clock.max = clock.max.max(time);
        let Some(arrival) = arrival else { return };
        let difference = time.saturating_sub(arrival);
        clock.greatest = clock.greatest.max(difference);
        let skew = clock.skew;
        let Some(connection) = self.connection(index) else { return };
        if arrival - connection.since > OFFSET_LIFE {
            let offset = difference.saturating_sub(skew);
            *connection = Connection { offset, former_offset: connection.offset, since: arrival };
            let (connection, remote) = (*connection, self.origins[index].remote);
            for origin in self.origins.iter_mut().filter(|origin| origin.remote == remote) {
                if let Some(clock) = origin.current.clock.as_mut().filter(|clock| clock.greatest > Time::MIN) {
                    clock.skew = connection.skew(clock.greatest);
                    clock.greatest = Time::MIN;
                }
            }
        } else {
            connection.offset = connection.offset.max(difference.saturating_sub(skew));
        }
    }

    fn finish_placing(&mut self, index: usize, key: Key, arrival: Time, held: Held) {
        if let Some(clock) = self.origins[index].current.clock {
            let corrected = key.0.saturating_sub(self.offset(index, clock));
            self.recorded_now = self.recorded_now.max(corrected);
        }
        self.put(index, key, arrival, held);
    }

    fn put(&mut self, index: usize, key: Key, arrival: Time, held: Held) {
        self.count += 1;
        self.leader = None;
        self.origins[index].current.push(key, arrival, held);
    }

    /// The clock was set: the odd event and the one that goes on from it begin a time line.
    fn begin_line(&mut self, index: usize, (time, arrival, number): (Time, Option<Time>, u64), held: Held) {
        let Some(odd) = self.origins[index].odd.take() else { return };
        let at = arrival.unwrap_or(self.recorded_now);
        let clock = self.new_clock(index, odd.time, odd.arrival);
        let mut line = Line { clock: Some(clock), ..Line::default() };
        if let Some(held) = odd.held {
            line.push((odd.time, odd.number), odd.arrival, held);
        }
        let origin = &mut self.origins[index];
        let mut earlier = std::mem::replace(&mut origin.former, std::mem::replace(&mut origin.current, line));
        // Clocks are not set twice within a window. Where timestamps jump all the time, what is left of the line before
        // the former one is due.
        while let Some(held) = earlier.pop() {
            origin.former.earlier.push_back(held);
        }
        self.learn(index, time, arrival);
        self.finish_placing(index, (time, number), at, held);
    }

    /// What does not fit was a single event. One from the future stays behind the event that arrived before it, a late one
    /// is due, and one that is within a window of the `next` event's time belongs where its timestamp says.
    fn settle(&mut self, index: usize, next: Option<Time>) {
        let Some(odd) = self.origins[index].odd.take() else { return };
        self.put_odd(index, odd, next);
    }

    fn put_odd(&mut self, index: usize, odd: Odd, next: Option<Time>) {
        let Odd { time, arrival, number, held: Some(held) } = odd else { return };
        self.leader = None;
        let origin = &self.origins[index];
        let last = origin.current.last;
        let is_late = origin.current.clock.is_some_and(|clock| time < clock.max);
        let belongs = next.is_some_and(|next| time <= next.saturating_add(self.length));
        if belongs && !is_late {
            self.learn(index, time, Some(arrival));
        }
        let line = &mut self.origins[index].current;
        line.push((if is_late || belongs { time } else { last }, number), arrival, held);
        line.last = last;
    }

    /// Marks the place where events of a remote are missing: behind all that was sent before.
    pub fn push_gap(&mut self, gap: Gap) {
        self.pushed += 1;
        let of_remote = |origin: &Origin| origin.remote == gap.remote;
        let latest = |index: &usize| {
            let clock = self.origins[*index].current.clock;
            clock.map_or(Time::MIN, |clock| clock.max.saturating_sub(self.offset(*index, clock)))
        };
        let index = (0..self.origins.len()).filter(|index| of_remote(&self.origins[*index])).max_by_key(latest);
        let index = index.unwrap_or_else(|| self.add_origin(gap.remote, ""));
        self.settle(index, None);
        let line = &self.origins[index].current;
        let time = line.clock.map_or(line.last, |clock| clock.max);
        let key = (if self.length == 0 { 0 } else { time }, self.pushed);
        self.put(index, key, self.now, Held::Gap(gap));
    }

    /// Everything that arrived by `now` has been pushed.
    pub fn advance(&mut self, now: Instant) {
        self.now = self.now.max(self.time(now));
        for index in 0..self.origins.len() {
            // The next event may still go on from one that was held long enough.
            let old = self.origins[index].odd.as_mut().filter(|odd| odd.arrival <= self.now - self.length);
            if let Some(odd) = old {
                let odd = Odd { held: odd.held.take(), ..*odd };
                self.put_odd(index, odd, None);
            }
            let Origin { former, current, .. } = &mut self.origins[index];
            for line in [former, current] {
                line.advance(self.now, self.length);
            }
        }
    }

    /// The next event or gap that is due.
    pub fn pop(&mut self) -> Option<Held> {
        let first = self.first()?;
        if self.length == 0 || first.is_due {
            return self.release(first);
        }
        let overdue = self.overdue()?;
        self.release(overdue)
    }

    /// The next event or gap, due or not: there is no memory to hold it longer.
    pub fn pop_early(&mut self) -> Option<Held> {
        let first = self.first()?;
        self.release(first)
    }

    /// Whether a recording has had no further line for the window's length.
    fn recording_rests(&self) -> bool {
        self.last_line.is_some_and(|at| self.time(at) <= self.now.saturating_sub(self.length))
    }

    /// The next event or gap, due or not: nothing more will come.
    pub fn drain(&mut self) -> Option<Held> {
        for index in 0..self.origins.len() {
            self.settle(index, None);
        }
        self.pop_early()
    }

    /// When [`Window::advance`] should be called.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        if self.count == 0 {
            return None;
        }
        if self.is_recording {
            let length = Duration::from_nanos(self.length.unsigned_abs());
            return self.last_line.and_then(|at| at.checked_add(length));
        }
        let lines = self.origins.iter().flat_map(|origin| [&origin.former, &origin.current]);
        let held = lines.flat_map(|line| {
            let fresh = line.fresh.front().map(|(arrival, _)| arrival + self.length);
            let aged = line.aged.front().map(|(arrival, _)| arrival + self.length + self.length);
            fresh.into_iter().chain(aged)
        });
        let odd = self.origins.iter().filter_map(|origin| origin.odd.as_ref().filter(|odd| odd.held.is_some()));
        let due = held.chain(odd.map(|odd| odd.arrival + self.length)).min()?;
        let due = Duration::from_nanos(u64::try_from(due).unwrap_or(0));
        self.start.checked_add(if self.count > 1 { due + SLACK } else { due })
    }

    /// The line of an origin that has its next event. What is left of a former line comes before the current one, whatever
    /// the clock was set to.
    fn line(&self, index: usize) -> (bool, &Line) {
        let origin = &self.origins[index];
        if origin.former.is_empty() { (false, &origin.current) } else { (true, &origin.former) }
    }

    /// The line with the earliest corrected time.
    fn first(&mut self) -> Option<Next> {
        if let Some(leader) = self.leader {
            let (is_former, line) = self.line(leader.origin);
            let first = line.first().map(|key| self.next_of(leader.origin, line, key, leader.correction));
            if let Some(first) = first.filter(|first| first.corrected < leader.others && is_former == leader.is_former)
            {
                return Some(first);
            }
        }
        let mut first: Option<Next> = None;
        let mut others = LAST;
        for (index, line, key) in self.lines() {
            let next = self.next_of(index, line, key, self.correction(index, line));
            match first {
                Some(known) if known.corrected <= next.corrected => others = others.min(next.corrected),
                known => {
                    others = known.map_or(others, |known| known.corrected);
                    first = Some(next);
                }
            }
        }
        let Next { origin, is_former, .. } = first?;
        let correction = self.correction(origin, self.line(origin).1);
        self.leader = Some(Leader { origin, is_former, correction, others });
        first
    }

    /// The line with the earliest corrected time of those that are overdue.
    fn overdue(&self) -> Option<Next> {
        let overdue = self.lines().filter(|(_, line, key)| line.is_overdue(*key));
        let nexts = overdue.map(|(index, line, key)| self.next_of(index, line, key, self.correction(index, line)));
        nexts.min_by_key(|next| next.corrected)
    }

    /// The lines that have their origin's next event, and its key.
    fn lines(&self) -> impl Iterator<Item = (usize, &Line, Key)> {
        (0..self.origins.len()).filter_map(|index| {
            let (_, line) = self.line(index);
            Some((index, line, line.first()?))
        })
    }

    fn next_of(&self, origin: usize, line: &Line, key: Key, correction: Time) -> Next {
        let corrected = (key.0.saturating_sub(correction), key.1);
        let is_due = if self.is_recording {
            corrected.0 <= self.recorded_now.saturating_sub(self.length) || self.recording_rests()
        } else {
            line.is_due(key, self.length)
        };
        Next { corrected, origin, is_former: self.line(origin).0, is_due }
    }

    /// What is subtracted from the timestamps of a line to have them in our time.
    fn correction(&self, index: usize, line: &Line) -> Time {
        let Some(clock) = line.clock else { return 0 };
        let offset = self.offset(index, clock);
        let agrees = offset.saturating_sub(self.system_offset).saturating_abs() < AGREEMENT;
        if agrees { self.system_offset } else { offset }
    }

    fn release(&mut self, next: Next) -> Option<Held> {
        let origin = &mut self.origins[next.origin];
        let held = if next.is_former { origin.former.pop() } else { origin.current.pop() }?;
        self.count -= 1;
        if let Held::Event(event) = &held {
            self.tape_bytes -= event.size_beside_text();
        }
        Some(held)
    }

    fn origin_of(&mut self, event: &Event) -> usize {
        let remote = event.remote();
        let location = event.location();
        let is_same = |origin: &Origin| {
            origin.remote == remote
                && location.map_or(origin.location.is_empty(), |location| location.is(&origin.location))
        };
        if self.origins.get(self.last_origin).is_some_and(is_same) {
            return self.last_origin;
        }
        let known = self.origins.iter().position(is_same);
        self.last_origin = known.unwrap_or_else(|| {
            let location = location.map(|location| location.cow().into_owned()).unwrap_or_default();
            self.add_origin(remote, &location)
        });
        self.last_origin
    }

    fn add_origin(&mut self, remote: RemoteId, location: &str) -> usize {
        let origin = Origin {
            remote,
            location: location.to_owned(),
            current: Line::default(),
            former: Line::default(),
            odd: None,
        };
        if self.origins.len() >= MAX_ORIGINS {
            let is_unused =
                |origin: &Origin| origin.current.is_empty() && origin.former.is_empty() && origin.odd.is_none();
            // With no unused one, the last one's events are merged with these.
            let index = self.origins.iter().position(is_unused).unwrap_or(MAX_ORIGINS - 1);
            if is_unused(&self.origins[index]) {
                self.origins[index] = origin;
            }
            return index;
        }
        self.origins.push(origin);
        self.origins.len() - 1
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::Message;
    use crate::event::json::Tape;

    const LENGTH: Duration = Duration::from_millis(25);

    fn event(remote: u16, location: &str, number: usize, timestamp: &str) -> Event {
        let text = format!(r#"{{"type":"x","timestamp":"{timestamp}","metadata":{number},"location":"{location}"}}"#);
        Event::decode(Message::from(text), RemoteId(remote), Tape::default()).unwrap()
    }

    fn number(held: &Held) -> usize {
        match held {
            Held::Event(event) => event.metadata().unwrap().raw().parse().unwrap(),
            Held::Gap(gap) => usize::try_from(gap.dropped).unwrap(),
        }
    }

    fn at(milliseconds: i64) -> String {
        chrono::DateTime::from_timestamp_millis(1_800_000_000_000 + milliseconds).unwrap().to_rfc3339()
    }

    /// Pushes (milliseconds of arrival, remote, timestamp) and returns the order in which they are released, with the time.
    fn run(length: Duration, events: &[(u64, u16, String)]) -> Vec<(usize, u64)> {
        let mut window = Window::new(length, false);
        let start = window.start;
        let mut released = Vec::new();
        let last = events.last().map_or(0, |event| event.0) + 100;
        for now in 0..=last {
            let moment = start + Duration::from_millis(now);
            for (index, (_, remote, timestamp)) in events.iter().enumerate().filter(|(_, event)| event.0 == now) {
                window.push(event(*remote, "none", index, timestamp), Some(moment));
            }
            window.advance(moment);
            while let Some(held) = window.pop() {
                released.push((number(&held), now));
            }
        }
        assert!(window.count == 0 && window.drain().is_none());
        assert_eq!(window.tape_bytes(), 0);
        released
    }

    fn order(length: Duration, events: &[(u64, u16, String)]) -> Vec<usize> {
        run(length, events).into_iter().map(|released| released.0).collect()
    }

    #[test]
    fn neighbours_change_places_back_and_a_lone_event_is_released_after_the_window() {
        let released = run(LENGTH, &[(0, 0, at(2)), (1, 0, at(1)), (2, 0, at(1)), (60, 0, at(60))]);
        assert_eq!(released.iter().map(|released| released.0).collect::<Vec<_>>(), [1, 2, 0, 3]);
        assert!(released[2].1 <= 25 && released[3].1 <= 85, "{released:?}");
    }

    #[test]
    fn timestamps_that_run_faster_than_our_clock_release_earlier_events() {
        let events: Vec<_> = (0..1000).map(|number| (0, 0, at(number))).collect();
        let mut window = Window::new(LENGTH, false);
        let start = window.start;
        let mut most = 0;
        for (index, (_, remote, timestamp)) in events.iter().enumerate() {
            window.push(event(*remote, "none", index, timestamp), Some(start));
            while window.pop().is_some() {}
            most = most.max(window.count);
        }
        assert!(most <= 27, "{most}");
    }

    #[test]
    fn an_event_later_than_the_window_is_released_with_the_next_one() {
        let released = run(LENGTH, &[(0, 0, at(50)), (30, 0, at(20)), (31, 0, at(81))]);
        assert_eq!(released[..2], [(0, 25), (1, 31)]);
    }

    #[test]
    fn an_odd_event_that_nothing_follows_is_released_after_the_window() {
        for odd in [at(-60_000), at(60_000), at(4_000_000_000_000)] {
            assert_eq!(run(LENGTH, &[(0, 0, at(0)), (30, 0, odd)]), [(0, 25), (1, 55)]);
        }
    }

    #[test]
    fn an_odd_event_that_is_settled_late_still_comes_before_another_origins() {
        assert_eq!(order(LENGTH, &[(0, 0, at(0)), (0, 1, at(1)), (0, 1, at(-60))]), [2, 0, 1]);
    }

    #[test]
    fn unreadable_timestamps_keep_their_place() {
        let events = [(0, 0, at(5)), (0, 0, "?".into()), (0, 0, at(6)), (0, 0, at(1)), (0, 0, String::new())];
        assert_eq!(order(LENGTH, &events), [3, 4, 0, 1, 2]);
        let events = [(0, 0, "?".into()), (0, 0, at(6)), (0, 0, at(1)), (1, 0, "?".into())];
        assert_eq!(order(LENGTH, &events), [0, 2, 3, 1]);
    }

    #[test]
    fn offsets_and_precision_do_not_matter() {
        let times =
            ["2026-01-01T01:00:00.000000002+01:00", "2026-01-01T00:00:00.000000001Z", "2025-12-31T19:00:00-05:00"];
        let events: Vec<_> = times.iter().map(|time| (0, 0, (*time).to_owned())).collect();
        assert_eq!(order(LENGTH, &events), [2, 1, 0]);
    }

    #[test]
    fn where_memory_is_short_the_earliest_leave_early() {
        let mut window = Window::new(Duration::from_secs(3600), false);
        for (index, time) in [4, 3, 1, 2].into_iter().enumerate() {
            window.push(event(0, "none", index, &at(time)), Some(window.start));
        }
        assert!(window.pop().is_none());
        let early: Vec<_> = (0..2).filter_map(|_| window.pop_early()).map(|held| number(&held)).collect();
        assert_eq!(early, [2, 3]);
    }

    #[test]
    fn a_window_of_zero_keeps_the_order_of_arrival() {
        assert_eq!(run(Duration::ZERO, &[(0, 0, at(9)), (0, 1, at(5)), (7, 0, at(1))]), [(0, 0), (1, 0), (2, 7)]);
    }

    /// Swapped neighbours of two origins whose clocks are `skew` milliseconds apart.
    fn skewed(skew: i64) -> Vec<(u64, u16, String)> {
        (0..200u64)
            .flat_map(|pair| {
                let time = i64::try_from(4 * pair).unwrap();
                let arrival = 4 * pair + 3;
                [
                    (arrival, 0, at(time + 1)),
                    (arrival, 1, at(time + 3 + skew)),
                    (arrival, 0, at(time)),
                    (arrival, 1, at(time + 2 + skew)),
                ]
            })
            .collect()
    }

    #[test]
    fn clocks_that_differ_disturb_neither_an_origins_order_nor_the_merged_one() {
        for skew in [0, 30, 100, -100, 1000, 60_000, 3_600_000, -3_600_000] {
            let events = skewed(skew);
            let released = order(LENGTH, &events);
            let mut true_order: Vec<_> = (0..events.len()).collect();
            true_order.sort_by_key(|index| [1, 3, 0, 2][index % 4] + index / 4 * 4);
            for remote in [0, 1] {
                let of = |order: &[usize]| -> Vec<usize> {
                    order.iter().copied().filter(|index| events[*index].1 == remote).collect()
                };
                assert_eq!(of(&released), of(&true_order), "{skew}");
            }
            // The merge may be off by as much as the shortest ways of the two differ, which is 1 ms here.
            let displaced = released.iter().zip(&true_order).filter(|(one, other)| one.abs_diff(**other) > 8).count();
            assert_eq!(displaced, 0, "{skew}: {released:?}");
        }
    }

    #[test]
    fn a_clock_that_is_set_keeps_the_order_before_and_after() {
        for step in [-3_600_000, -60_000, -100, 100, 60_000, 3_600_000] {
            let events: Vec<_> = (0..200u64)
                .flat_map(|pair| {
                    let time = i64::try_from(3 * pair).unwrap() + if pair < 100 { 0 } else { step };
                    [(3 * pair + 1, 0, at(time + 1)), (3 * pair + 2, 0, at(time))]
                })
                .collect();
            let wanted: Vec<_> = (0..200).flat_map(|pair| [2 * pair + 1, 2 * pair]).collect();
            assert_eq!(order(LENGTH, &events), wanted, "{step}");
        }
    }

    #[test]
    fn a_wrong_timestamp_moves_only_itself() {
        for wrong in ["2099-01-01T00:00:00Z".to_owned(), at(60_300), "1970-01-01T00:00:00Z".to_owned(), at(-60_000)] {
            let mut events: Vec<_> = (0..200u64)
                .flat_map(|pair| {
                    let time = i64::try_from(3 * pair).unwrap();
                    [(3 * pair + 1, 0, at(time + 1)), (3 * pair + 2, 0, at(time))]
                })
                .collect();
            events.insert(201, (302, 0, wrong.clone()));
            let released = order(LENGTH, &events);
            let others: Vec<_> = released.iter().filter(|index| **index != 201).collect();
            assert_eq!(released.len(), 401);
            let wanted: Vec<_> = (0..200)
                .flat_map(|pair| [2 * pair + 1, 2 * pair])
                .map(|index| if index < 201 { index } else { index + 1 })
                .collect();
            assert_eq!(others, wanted.iter().collect::<Vec<_>>(), "{wrong}");
        }
    }

    #[test]
    fn members_with_one_clock_are_merged_by_their_timestamps_however_fast_they_come() {
        // A member that is heard of rarely, and blocks of events that arrive at the same moment.
        let mut window = Window::new(LENGTH, false);
        let start = window.start;
        let mut released = Vec::new();
        for number in 0..20_000u32 {
            let member = if number % 997 == 5 { "rare" } else { ["m1", "m2", "m3"][number as usize % 7 % 3] };
            let micros = 1_800_000_000_000_000 + 100 * i64::from(number);
            let time = chrono::DateTime::from_timestamp_micros(micros).unwrap().to_rfc3339();
            let arrived = start + Duration::from_micros(300 * u64::from(number / 170));
            window.push(event(0, member, number as usize, &time), Some(arrived));
            window.advance(arrived);
            released.extend(std::iter::from_fn(|| window.pop()).map(|held| super::tests::number(&held)));
        }
        released.extend(std::iter::from_fn(|| window.drain()).map(|held| super::tests::number(&held)));
        assert!(released.iter().copied().eq(0..20_000));
    }

    #[test]
    fn an_event_that_is_a_little_ahead_keeps_its_place_by_timestamp() {
        // The first one was on its way for 30 ms more than the others, so that they all seem to be ahead.
        let events = [(30, 0, at(0)), (31, 0, at(31)), (37, 0, at(30)), (38, 0, at(39)), (39, 0, at(38))];
        assert_eq!(order(LENGTH, &events), [0, 2, 1, 4, 3]);
    }

    #[test]
    fn events_far_apart_that_come_all_at_once_keep_their_order() {
        let events: Vec<_> = (0..100).map(|number| (0, 0, at(1000 * number))).collect();
        assert_eq!(order(LENGTH, &events), (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn a_gap_stands_behind_what_came_before_it_and_disturbs_no_other_remote() {
        let gap = Gap {
            remote: RemoteId(0),
            last_event: None,
            since: chrono::Local::now(),
            end: None,
            reason: String::new(),
            dropped: 99,
        };
        let mut window = Window::new(LENGTH, false);
        let start = window.start;
        for (index, (remote, time)) in [(0, 2), (1, 2), (0, 1)].into_iter().enumerate() {
            window.push(event(remote, "none", index, &at(time)), Some(start));
        }
        window.push_gap(gap);
        window.push(event(1, "none", 3, &at(1)), Some(start));
        window.push(event(0, "none", 4, &at(3)), Some(start));
        window.advance(start + 2 * LENGTH);
        let released: Vec<_> = std::iter::from_fn(|| window.pop()).map(|held| number(&held)).collect();
        let position = |number| released.iter().position(|released| *released == number).unwrap();
        assert!(position(2) < position(0) && position(0) < position(99) && position(99) < position(4), "{released:?}");
        assert!(position(3) < position(1), "{released:?}");
    }

    #[test]
    fn a_recording_is_put_in_order_without_times_of_arrival() {
        let mut window = Window::new(LENGTH, false);
        let times = [0, 2, 1, 5_000, 5_002, 5_001, 9_000_000, 9_000_001];
        for (index, time) in times.into_iter().enumerate() {
            window.push(event(0, "none", index, &at(time)), None);
        }
        assert_eq!(window.deadline(), None);
        let mut released: Vec<_> = std::iter::from_fn(|| window.pop()).map(|held| number(&held)).collect();
        assert_eq!(released, [0, 2, 1, 3, 5, 4]);
        released.extend(std::iter::from_fn(|| window.drain()).map(|held| number(&held)));
        assert_eq!(released, [0, 2, 1, 3, 5, 4, 6, 7]);
    }

    #[test]
    fn more_origins_than_are_kept_lose_nothing() {
        let mut window = Window::new(LENGTH, false);
        let start = window.start;
        for index in 0..2 * MAX_ORIGINS {
            window.push(event(0, &format!("m{index}"), index, &at(0)), Some(start));
        }
        let mut released: Vec<_> = std::iter::from_fn(|| window.drain()).map(|held| number(&held)).collect();
        released.sort_unstable();
        assert_eq!(released, (0..2 * MAX_ORIGINS).collect::<Vec<_>>());
        assert!(window.origins.len() <= MAX_ORIGINS);
    }

    proptest! {
        #[test]
        fn everything_is_released_once_in_each_origins_order_when_none_is_late(
            jitter in prop::collection::vec((0i64..12, 0u64..3, 0u16..3), 1..200), skew in 0i64..100_000
        ) {
            let mut now = 0;
            let mut events = Vec::new();
            for (late, pause, remote) in jitter {
                now += pause;
                events.push((now, remote, at(now.cast_signed() - late + skew * i64::from(remote))));
            }
            let released = order(LENGTH, &events);
            for remote in 0..3 {
                let of = |index: &&usize| events[**index].1 == remote;
                let mut wanted: Vec<_> = (0..events.len()).collect();
                wanted.sort_by_key(|index| events[*index].2.clone());
                prop_assert_eq!(released.iter().filter(of).collect::<Vec<_>>(), wanted.iter().filter(of).collect::<Vec<_>>());
            }
            prop_assert_eq!(released.len(), events.len());
        }

        #[test]
        fn nothing_is_lost_whatever_the_timestamps(
            events in prop::collection::vec((0u64..3, 0u16..2, prop_oneof![
                (0i64..200).prop_map(at),
                any::<i32>().prop_map(|time| at(i64::from(time))),
                Just(String::from("?")),
                Just("1677-09-21T00:12:44Z".to_owned()),
                Just("2262-04-11T23:47:16Z".to_owned()),
            ]), 1..200)
        ) {
            let mut now = 0;
            let events: Vec<_> = events.into_iter().map(|(pause, remote, time)| { now += pause; (now, remote, time) }).collect();
            let mut released = order(LENGTH, &events);
            released.sort_unstable();
            prop_assert_eq!(released, (0..events.len()).collect::<Vec<_>>());
        }
    }
}
