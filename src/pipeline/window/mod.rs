//! The sort window: holds each event for a short time, so that an event with an earlier timestamp that arrives later
//! can still be printed before it.
//!
//! ```text
//!   arrival     12:00:00.021  12:00:00.022      window of 25 ms: the first event is due at 12:00:00.046,
//!   timestamp   12:00:00.020  12:00:00.010      printed: .010, .020
//! ```
//!
//! This is needed because the servers send each event from a goroutine of its own, so neighbours may change places.
//! Events of one *origin*, a member of a remote or of the cluster of several remotes, are sorted by their timestamps. The clocks of different origins can
//! differ by hours, so events of several origins are merged by *corrected* times, which are times of the local clock:
//!
//! ```text
//!   corrected = timestamp − offset        offset = the greatest (timestamp − time of arrival) of the last seconds
//!
//!   origin A, an hour ahead   13:00:00.010  13:00:00.030       corrected  12:00:00.010  12:00:00.030
//!   origin B                  12:00:00.020                     corrected  12:00:00.020
//!   printed                   A .010, B .020, A .030
//! ```
//!
//! The event with the shortest delay between server and lxmon defines the offset, so a corrected time is never later
//! than the arrival. All members of a remote share the offset of their connection, and each member's clock differs from
//! it by its *skew*. The offset is shared because a stream whose timestamps run faster than the clock, such as a
//! replayed one, does so for all members.
//!
//! An event is *due* in its origin when it has been held for the length of the window, or when its origin has sent an
//! event whose timestamp is later by that length: then no event within the window can still come before it. The event
//! with the earliest corrected time is released once it is due. Other due events wait for it for at most another length
//! of the window, so that an origin whose clock is behind cannot block the others.
//!
//! A recording has no times of arrival. There the clocks of all members count as equal until an event stands behind one
//! of another member that is later by more than a window: then its clock is behind by that much.
//!
//! A clock that was set and a single wrong timestamp look the same at first: an event does not fit the *time line* of
//! its origin, because it is more than `AHEAD` (50 ms) in the future, or more than a window behind the latest event.
//! Such an *odd* event is held until the next event of the origin decides. If that continues from the odd
//! one, the clock was set, and a new time line begins after the old one. If not, only the odd event was wrong.

mod clock;
mod heads;
mod leads;
mod line;

use std::time::{Duration, Instant};

use self::clock::{AGREEMENT, Clock, Connection};
use self::heads::{Head, Heads};
use self::leads::Leads;
use self::line::{Key, Line, Odd};

use crate::event::gap::Gap;
use crate::event::{Event, RemoteId, Timestamp};
use crate::system::clock::both_clocks;

/// Nanoseconds: since 1970 by a server's clock, or since the start of the program by the local clock.
type Time = i64;

const MILLISECOND: Time = 1_000_000;

/// An event that is ahead of its origin's clock by more than this is in the future. The estimated offset can be too
/// small by the shortest delay so far, which at first can be as long as the reading thread sleeps.
const AHEAD: Time = 50 * MILLISECOND;

/// An offset is the greatest difference within one or two periods of this length. Older ones are forgotten because
/// clocks drift.
const OFFSET_LIFE: Time = 10_000 * MILLISECOND;

/// While several events are held, the timer is set later than the first one is due by this time, so that usually the
/// arrival of another event is the wake-up that releases it. With the default window, that is after the second sleep of
/// the reading thread. A single event is released when it is due.
const SLACK: Duration = Duration::from_millis(42);

/// The maximum number of origins, which is more than any cluster has members. Beyond it, origins without held events
/// are replaced.
const MAX_ORIGINS: usize = 256;

/// An item that the window holds.
#[derive(Debug)]
pub(crate) enum Held {
    /// An event.
    Event(Event),
    /// A gap: events of a remote are missing here.
    Gap(Gap),
}

/// The window and the held items.
#[derive(Debug)]
pub(crate) struct Window {
    /// The length of the window.
    length: Time,
    /// Memory use of the held events without their texts, in bytes.
    tape_bytes: usize,
    /// The number of held events and gaps.
    count: usize,
    origins: Vec<Origin>,
    /// Which remotes are members of one cluster.
    leads: Leads,
    /// The index of the origin of the last pushed event.
    last_origin: usize,
    /// The next event of each origin. Empty once an item has been put into a line: that item may be the earliest of its
    /// origin, and it may have changed the offsets.
    heads: Heads,
    /// By remote; `None` while no event with a readable timestamp has arrived.
    connections: Vec<Option<Connection>>,
    /// The number of pushed items, which numbers them in the order of arrival.
    pushed: u64,
    /// The zero of local times.
    start: Instant,
    /// The local system clock minus the local time.
    system_offset: Time,
    /// All events that arrived by this time have been pushed.
    now: Time,
    /// For a recording: the latest corrected time, which is used as the time of arrival.
    recorded_now: Time,
    /// Whether the events are from a recording, which has no times of arrival.
    is_recording: bool,
    /// When the last line of a growing recording was pushed. The next line may not come for a long time.
    last_line: Option<Instant>,
    recording_grows: bool,
}

/// A member of a remote, or of a cluster of which several members are followed.
#[derive(Debug)]
struct Origin {
    /// The remote, or the one that stands for its cluster.
    remote: RemoteId,
    location: String,
    /// The time line to which events are added.
    current: Line,
    /// The rest of the time line before the clock was set.
    former: Line,
    /// An event that does not fit the current time line, until the next event decides.
    odd: Option<Odd>,
}

impl Window {
    /// A window of this length. With a length of zero, items are released in the order of arrival. `recording_grows`
    /// must be set for a recording whose next line may not come for a long time.
    #[must_use]
    pub(crate) fn new(length: Duration, recording_grows: bool) -> Self {
        let (start, system_offset) = both_clocks();
        Self {
            // Half of the range of `i64`, so that sums do not overflow.
            length: i64::try_from(length.as_nanos()).unwrap_or(i64::MAX / 2).min(i64::MAX / 2),
            tape_bytes: 0,
            count: 0,
            origins: Vec::new(),
            leads: Leads::default(),
            last_origin: 0,
            heads: Heads::default(),
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

    /// Whether the window has a length of zero, so that items are released in the order of arrival.
    #[must_use]
    pub(crate) fn is_zero(&self) -> bool {
        self.length == 0
    }

    /// Memory use of the held events without their texts, in bytes.
    #[must_use]
    pub(crate) fn tape_bytes(&self) -> usize {
        self.tape_bytes
    }

    fn time(&self, at: Instant) -> Time {
        i64::try_from(at.saturating_duration_since(self.start).as_nanos()).unwrap_or(i64::MAX / 2)
    }

    /// Admits events that arrived at `arrived`, which is `None` for events of a recording.
    pub(crate) fn push_all(&mut self, events: impl IntoIterator<Item = Event>, arrived: Option<Instant>) {
        let arrival = arrived.map(|at| self.time(at));
        for event in events {
            self.push(event, arrival);
        }
    }

    fn push(&mut self, event: Event, arrival: Option<Time>) {
        self.tape_bytes += event.size_beside_text();
        self.pushed += 1;
        let number = self.pushed;
        let index = self.origin_of(&event);
        let time = event.sorting_time().map(|Timestamp(time)| time);
        let held = Held::Event(event);
        if self.length == 0 {
            self.put(index, (0, number), 0, held);
            return;
        }
        if arrival.is_none() {
            self.is_recording = true;
            self.last_line = self.recording_grows.then(Instant::now);
        }
        let Some(time) = time else {
            // Without a readable timestamp, the event stays behind the one that arrived before it.
            self.settle(index, None);
            let line = &self.origins[index].current;
            let time = if line.clock.is_none() { arrival.unwrap_or(self.recorded_now) } else { line.last };
            self.put(index, (time, number), arrival.unwrap_or(self.recorded_now), held);
            return;
        };
        self.place(index, time, arrival, number, held);
    }

    /// Puts an event at the place of its timestamp, or keeps it as the odd event.
    fn place(&mut self, index: usize, time: Time, arrival: Option<Time>, number: u64, held: Held) {
        let at = arrival.unwrap_or(self.recorded_now);
        let Some(clock) = self.origins[index].current.clock else {
            // The line has only events without a readable timestamp. They stay before this one.
            let clock = self.new_clock(index, time, at);
            let origin = &mut self.origins[index];
            let line = Line::with_clock(clock);
            origin.former = std::mem::replace(&mut origin.current, line);
            self.finish_placing(index, (time, number), at, held);
            return;
        };
        let is_behind = time < clock.max.saturating_sub(self.length);
        // A recording has no times of arrival, so none of its events counts as ahead.
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

    /// The clock of an origin of which this is the first event, at all or since its clock was set.
    fn new_clock(&mut self, index: usize, time: Time, at: Time) -> Clock {
        let is_recording = self.is_recording;
        let difference = time.saturating_sub(at);
        let connection = self.connection(index).get_or_insert(Connection::new(difference, at));
        // In a recording, a time without events looks like a clock that is ahead.
        let at = if is_recording { at.max(time.saturating_sub(connection.offset())) } else { at };
        Clock::new(connection, time, at)
    }

    fn offset(&self, index: usize, clock: Clock) -> Time {
        let connection = self.connections.get(usize::from(self.origins[index].remote.0)).and_then(Option::as_ref);
        connection.map_or(0, Connection::offset).saturating_add(clock.skew)
    }

    /// Updates the clock and the connection with an event that fits the time line.
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
            clock.renew(connection, arrival);
        }
    }

    fn finish_placing(&mut self, index: usize, key: Key, arrival: Time, held: Held) {
        if self.is_recording
            && let Some(clock) = self.origins[index].current.clock
        {
            let corrected = key.0.saturating_sub(self.offset(index, clock));
            let behind = self.recorded_now.saturating_sub(corrected);
            if behind > self.length.max(AGREEMENT) {
                self.set_behind(index, behind);
            }
            self.recorded_now = self.recorded_now.max(corrected);
        }
        self.put(index, key, arrival, held);
    }

    /// In a recording an event stands behind one of another origin that is later by this much. So the clocks differ.
    fn set_behind(&mut self, index: usize, behind: Time) {
        if let Some(clock) = &mut self.origins[index].current.clock {
            clock.skew = clock.skew.saturating_sub(behind);
        }
    }

    fn put(&mut self, index: usize, key: Key, arrival: Time, held: Held) {
        self.count += 1;
        self.heads.clear();
        self.origins[index].current.push(key, arrival, held);
    }

    /// The clock was set: begins a time line with the odd event and the event that continues from it.
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
        // A clock is not set twice within a window. If timestamps jump more often than that, the rest of the line
        // before the former one is due at once.
        while let Some(held) = earlier.pop() {
            origin.former.earlier.push_back(held);
        }
        self.learn(index, time, arrival);
        self.finish_placing(index, (time, number), at, held);
    }

    /// Only the odd event was wrong: puts it into the current line. An event that is late, or not more than a window
    /// later than the timestamp of the `next` event, is put at the place of its timestamp. One from the future stays
    /// behind the event that arrived before it.
    fn settle(&mut self, index: usize, next: Option<Time>) {
        // Nearly always there is none. `take` alone would move a whole event to find that out.
        if self.origins[index].odd.is_some()
            && let Some(odd) = self.origins[index].odd.take()
        {
            self.put_odd(index, odd, next);
        }
    }

    fn put_odd(&mut self, index: usize, odd: Odd, next: Option<Time>) {
        let Odd { time, arrival, number, held: Some(held) } = odd else { return };
        self.heads.clear();
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

    /// Admits a gap. It is placed behind all events of its remote that were sent before.
    pub(crate) fn push_gap(&mut self, gap: Gap) {
        self.pushed += 1;
        let remote = self.leads.of(gap.remote);
        let of_remote = |origin: &Origin| origin.remote == remote;
        let latest = |index: &usize| {
            let clock = self.origins[*index].current.clock;
            clock.map_or(Time::MIN, |clock| clock.max.saturating_sub(self.offset(*index, clock)))
        };
        let index = (0..self.origins.len()).filter(|index| of_remote(&self.origins[*index])).max_by_key(latest);
        let index = index.unwrap_or_else(|| self.add_origin(remote, ""));
        self.settle(index, None);
        let line = &self.origins[index].current;
        let time = line.clock.map_or(line.last, |clock| clock.max);
        let key = (if self.length == 0 { 0 } else { time }, self.pushed);
        self.put(index, key, self.now, Held::Gap(gap));
    }

    /// Makes events due that have been held for the length of the window at `now`. All events that arrived by `now`
    /// must have been pushed.
    pub(crate) fn advance(&mut self, now: Instant) {
        self.now = self.now.max(self.time(now));
        if self.is_recording {
            // A recording is sorted by its own times, which are unrelated to the local time.
            if self.recording_rests() {
                self.settle_all();
            }
            return;
        }
        for index in 0..self.origins.len() {
            // An odd event that was held for the length of the window is released, but its time is kept: the next event
            // may continue from it.
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

    /// Releases the next event or gap that is due.
    pub(crate) fn pop(&mut self) -> Option<Held> {
        let first = self.first()?;
        if self.length == 0 || self.is_due(first) {
            return self.release(first);
        }
        let overdue = self.overdue()?;
        self.release(overdue)
    }

    /// Releases the next event or gap even if it is not due, to free memory.
    pub(crate) fn pop_early(&mut self) -> Option<Held> {
        let first = self.first()?;
        self.release(first)
    }

    /// Whether a growing recording has had no further line for the length of the window.
    fn recording_rests(&self) -> bool {
        self.last_line.is_some_and(|at| self.time(at) <= self.now.saturating_sub(self.length))
    }

    /// Releases the next event or gap even if it is not due, because no more will be pushed.
    pub(crate) fn drain(&mut self) -> Option<Held> {
        self.settle_all();
        self.pop_early()
    }

    fn settle_all(&mut self) {
        for index in 0..self.origins.len() {
            self.settle(index, None);
        }
    }

    /// When [`Window::advance`] must be called next.
    #[must_use]
    pub(crate) fn deadline(&self) -> Option<Instant> {
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

    /// The line with the next event of an origin, and whether it is the former one. The rest of the former line comes
    /// before the current line, regardless of the timestamps.
    fn line(&self, index: usize) -> (bool, &Line) {
        let origin = &self.origins[index];
        if origin.former.is_empty() { (false, &origin.current) } else { (true, &origin.former) }
    }

    /// The head with the earliest corrected time.
    fn first(&mut self) -> Option<Head> {
        if self.heads.is_empty() {
            let mut heads = std::mem::take(&mut self.heads);
            heads.fill((0..self.origins.len()).filter_map(|index| self.head(index, None)));
            self.heads = heads;
        }
        self.heads.first()
    }

    /// The head with the earliest corrected time among those that are overdue.
    fn overdue(&self) -> Option<Head> {
        self.heads.find(|head| self.line(head.origin).1.is_overdue(head.key))
    }

    /// The next event of the origin. `former` is the head before it, whose correction still holds for the same line.
    fn head(&self, origin: usize, former: Option<Head>) -> Option<Head> {
        let (is_former, line) = self.line(origin);
        let key = line.first()?;
        let known = former.filter(|former| former.is_former == is_former);
        let correction = known.map_or_else(|| self.correction(origin, line), |former| former.correction);
        let corrected = (key.0.saturating_sub(correction), key.1);
        Some(Head { key, corrected, correction, origin, is_former })
    }

    fn is_due(&self, head: Head) -> bool {
        if self.is_recording {
            return head.corrected.0 <= self.recorded_now.saturating_sub(self.length) || self.recording_rests();
        }
        self.line(head.origin).1.is_due(head.key, self.length)
    }

    /// The difference that is subtracted from the timestamps of a line to get local times.
    fn correction(&self, index: usize, line: &Line) -> Time {
        let Some(clock) = line.clock else { return 0 };
        let offset = self.offset(index, clock);
        let agrees = offset.saturating_sub(self.system_offset).saturating_abs() < AGREEMENT;
        if agrees { self.system_offset } else { offset }
    }

    /// Releases the event, and replaces it in `heads` by the next one of its origin.
    fn release(&mut self, first: Head) -> Option<Held> {
        let origin = &mut self.origins[first.origin];
        let held = if first.is_former { origin.former.pop() } else { origin.current.pop() }?;
        self.count -= 1;
        if let Held::Event(event) = &held {
            self.tape_bytes -= event.size_beside_text();
        }
        let next = self.head(first.origin, Some(first));
        self.heads.replace(first.origin, next);
        Some(held)
    }

    /// Makes one origin of the events of each member of a cluster that two remotes belong to: whichever remote brings
    /// them, their timestamps are of one clock.
    pub(crate) fn join(&mut self, remote: RemoteId, other: RemoteId) {
        self.leads.join(remote, other);
    }

    fn origin_of(&mut self, event: &Event) -> usize {
        let remote = self.leads.of(event.remote());
        let location = event.sorting_location();
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
            // If all are in use, the last one is shared.
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
