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

mod clock;
mod line;

use std::time::{Duration, Instant};

use self::clock::{AGREEMENT, Clock, Connection};
use self::line::{Key, Line};

use crate::event::gap::Gap;
use crate::event::{Event, RemoteId, Timestamp};
use crate::system::clock::both_clocks;

/// Nanoseconds: of a server's clock since 1970, or of ours since the program was started.
type Time = i64;

const MILLISECOND: Time = 1_000_000;

/// An event that is ahead of its origin's clock by more than this is from the future. Events arrive early by no more than
/// the origin's offset was underestimated, at first by as much as the reading thread sleeps.
const AHEAD: Time = 50 * MILLISECOND;

/// Offsets are the greatest of this time, or of twice as long: clocks drift.
const OFFSET_LIFE: Time = 10_000 * MILLISECOND;

/// How much later than due held events may be released while there are several, so that the arrival of the next event
/// serves as the wake-up that releases an earlier one: with the usual window the second time that the reading thread has
/// slept. A lone event is released when it is due.
const SLACK: Duration = Duration::from_millis(42);

/// An event that is behind its origin's latest timestamp by no more windows than this is late; by more, the clock may have
/// been set back.
const MAX_LATE: Time = 3;

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

/// An event that does not fit, or the memory of one that could not be held longer.
#[derive(Debug)]
struct Odd {
    time: Time,
    arrival: Time,
    number: u64,
    held: Option<Held>,
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
            let line = Line::with_clock(clock);
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
        if is_behind && time >= clock.max.saturating_sub(self.length.saturating_mul(MAX_LATE)) {
            self.settle(index, None);
            self.put_late(index, (time, number), at, held);
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
        let connection = self.connection(index).get_or_insert(Connection::new(difference, at));
        Clock::new(connection, time, at)
    }

    fn offset(&self, index: usize, clock: Clock) -> Time {
        let connection = self.connections.get(usize::from(self.origins[index].remote.0)).copied().flatten();
        connection.map_or(0, |connection| connection.offset()).saturating_add(clock.skew)
    }

    /// Learns from an event that fits.
    fn learn(&mut self, index: usize, time: Time, arrival: Option<Time>) {
        let origin = &mut self.origins[index];
        let remote = origin.remote;
        let Some(clock) = &mut origin.current.clock else { return };
        clock.max = clock.max.max(time);
        let Some(arrival) = arrival else { return };
        let Some(Some(connection)) = self.connections.get_mut(usize::from(remote.0)) else { return };
        let difference = time.saturating_sub(arrival);
        clock.learn(connection, difference, arrival);
        if connection.age(arrival) <= OFFSET_LIFE {
            connection.learn(difference, clock.skew, arrival);
            return;
        }
        connection.renew(difference, clock.skew, arrival);
        let clocks = self.origins.iter_mut().filter(|origin| origin.remote == remote);
        for clock in clocks.filter_map(|origin| origin.current.clock.as_mut()) {
            clock.renew(connection);
        }
    }

    fn finish_placing(&mut self, index: usize, key: Key, arrival: Time, held: Held) {
        if let Some(clock) = self.origins[index].current.clock {
            let corrected = key.0.saturating_sub(self.offset(index, clock));
            self.recorded_now = self.recorded_now.max(corrected);
        }
        self.put(index, key, arrival, held);
    }

    /// Puts an event where its timestamp says, although those that arrive next belong behind others.
    fn put_late(&mut self, index: usize, key: Key, arrival: Time, held: Held) {
        let last = self.origins[index].current.last;
        self.put(index, key, arrival, held);
        self.origins[index].current.last = last;
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
        let mut line = Line::with_clock(clock);
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
        if self.is_recording {
            // The times of its events are the recorded ones, which have nothing to do with ours.
            if self.recording_rests() {
                self.settle_all();
            }
            return;
        }
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
        self.settle_all();
        self.pop_early()
    }

    fn settle_all(&mut self) {
        for index in 0..self.origins.len() {
            self.settle(index, None);
        }
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
mod tests;
