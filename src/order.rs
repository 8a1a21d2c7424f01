//! The sort window: holds each event for a short while, so that one which was sent earlier and arrives later can still
//! be put before it.
//!
//! The servers send every event from a goroutine of its own, so neighbours change places (design, section 1). An event
//! leaves once nothing within the window can still come before it: when its remotes have all sent something a window
//! later, by their own clocks, or when it has been held for the window, by ours.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::event::{Event, Nanos, RemoteId};

/// The window and what is held in it.
#[derive(Debug)]
pub struct Order {
    window: Duration,
    window_nanos: i64,
    /// How many bytes may be held; beyond that the earliest leaves although an earlier one may still come.
    most: usize,
    /// How many bytes are held.
    bytes: usize,
    /// Keys and slots of what is held, in the order in which it will leave.
    sorted: VecDeque<(Key, usize)>,
    /// When each held event leaves at the latest, in order of arrival; those that have left are skipped.
    arrivals: VecDeque<(Instant, Key)>,
    slots: Vec<Option<Event>>,
    free: Vec<usize>,
    /// The latest timestamp of each remote; those that have sent nothing yet hold everything back.
    latest: Vec<i64>,
    /// The key of the event that arrived last.
    newest: i64,
    /// The key of the event that left last.
    left: Key,
    /// The last key among events that have been held for the window: they and what comes before them must leave.
    aged: Key,
    arrived: u64,
}

/// Timestamp in nanoseconds, then order of arrival.
type Key = (i64, u64);

impl Order {
    /// A window for the events of so many remotes that holds at most so many bytes. A window of zero lets everything
    /// through as it comes.
    #[must_use]
    pub fn new(window: Duration, most: usize, remotes: usize) -> Self {
        Self {
            window,
            window_nanos: i64::try_from(window.as_nanos()).unwrap_or(i64::MAX),
            most,
            bytes: 0,
            sorted: VecDeque::new(),
            arrivals: VecDeque::new(),
            slots: Vec::new(),
            free: Vec::new(),
            latest: vec![i64::MIN; remotes.max(1)],
            newest: i64::MIN,
            left: (i64::MIN, 0),
            aged: (i64::MIN, 0),
            arrived: 0,
        }
    }

    /// Takes in an event that arrived at `now`.
    pub fn push(&mut self, event: Event, now: Instant) {
        // Without a readable timestamp it stays behind the one that arrived before it.
        let time = event.moment().map_or(self.newest, |Nanos(time)| time);
        self.newest = time;
        let RemoteId(remote) = event.remote();
        if let Some(latest) = self.latest.get_mut(usize::from(remote)) {
            *latest = time.max(*latest);
        }
        let key = (time, self.arrived);
        self.arrived += 1;

        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.bytes += event.size();
        self.slots[slot] = Some(event);
        if self.window.is_zero() {
            self.sorted.push_back((key, slot));
            return;
        }
        // Nearly always the newest is the latest.
        let place = match self.sorted.back() {
            Some((last, _)) if *last > key => self.sorted.partition_point(|(held, _)| *held < key),
            _ => self.sorted.len(),
        };
        self.sorted.insert(place, (key, slot));
        self.arrivals.push_back((now + self.window, key));
    }

    /// Says that everything that came by `now` has been taken in.
    pub fn tell_time(&mut self, now: Instant) {
        while let Some(&(_, key)) = self.arrivals.front().filter(|(deadline, _)| *deadline <= now) {
            self.aged = self.aged.max(key);
            self.arrivals.pop_front();
        }
    }

    /// The next event whose turn it is.
    pub fn pop(&mut self) -> Option<Event> {
        let &(key, _) = self.sorted.front()?;
        let due = self.window.is_zero() || key <= self.aged || self.is_passed(key) || self.bytes > self.most;
        due.then(|| self.leave()).flatten()
    }

    /// The next event, due or not: nothing more will come.
    pub fn drain(&mut self) -> Option<Event> {
        self.leave()
    }

    /// When [`Order::tell_time`] should be called at the latest.
    pub fn deadline(&mut self) -> Option<Instant> {
        // What is held always comes after what left last, but for late ones, which leave at once.
        while self.arrivals.front().is_some_and(|(_, key)| *key <= self.left) {
            self.arrivals.pop_front();
        }
        self.arrivals.front().map(|(deadline, _)| *deadline)
    }

    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    fn leave(&mut self) -> Option<Event> {
        let (key, slot) = self.sorted.pop_front()?;
        self.left = self.left.max(key);
        self.free.push(slot);
        let event = self.slots[slot].take()?;
        self.bytes -= event.size();
        Some(event)
    }

    /// Whether the event is later than the window allows, or every remote has sent something a window after it.
    fn is_passed(&self, key: Key) -> bool {
        let watermark = self.latest.iter().copied().min().unwrap_or(i64::MIN);
        key < self.left || key.0.saturating_add(self.window_nanos) <= watermark
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::Message;
    use crate::event::json::Tape;

    const WINDOW: Duration = Duration::from_millis(25);

    fn event(remote: u16, number: usize, timestamp: &str) -> Event {
        let text = format!(r#"{{"type":"x","timestamp":"{timestamp}","metadata":{number}}}"#);
        Event::decode(Message::from(text), RemoteId(remote), Tape::default()).unwrap()
    }

    fn number(event: &Event) -> usize {
        event.metadata().unwrap().raw().parse().unwrap()
    }

    fn at(milliseconds: i64) -> String {
        chrono::DateTime::from_timestamp_millis(1_800_000_000_000 + milliseconds).unwrap().to_rfc3339()
    }

    /// Pushes (milliseconds of arrival, timestamp) and gives the order in which they leave, with the time.
    fn run(window: Duration, remotes: usize, events: &[(u64, u16, String)]) -> Vec<(usize, u64)> {
        let start = Instant::now();
        let mut order = Order::new(window, usize::MAX, remotes);
        let mut left = Vec::new();
        let last = events.last().map_or(0, |event| event.0) + 100;
        for now in 0..=last {
            let moment = start + Duration::from_millis(now);
            for (index, (_, remote, timestamp)) in events.iter().enumerate().filter(|(_, event)| event.0 == now) {
                order.push(event(*remote, index, timestamp), moment);
            }
            order.tell_time(moment);
            while let Some(event) = order.pop() {
                left.push((number(&event), now));
            }
        }
        assert!(order.is_empty() && order.drain().is_none());
        left
    }

    #[test]
    fn neighbours_change_places_back_and_a_lone_event_leaves_with_the_window() {
        let left = run(WINDOW, 1, &[(0, 0, at(2)), (1, 0, at(1)), (2, 0, at(1)), (60, 0, at(60))]);
        assert_eq!(left, [(1, 25), (2, 25), (0, 25), (3, 85)]);
    }

    #[test]
    fn a_later_event_by_the_servers_clock_lets_earlier_ones_go_at_once() {
        let left = run(WINDOW, 1, &[(0, 0, at(0)), (0, 0, at(10)), (0, 0, at(30)), (0, 0, at(100))]);
        assert_eq!(left, [(0, 0), (1, 0), (2, 0), (3, 25)]);
    }

    #[test]
    fn an_event_later_than_the_window_is_printed_when_it_comes() {
        let left = run(WINDOW, 1, &[(0, 0, at(50)), (30, 0, at(49)), (31, 0, at(0))]);
        assert_eq!(left, [(0, 25), (1, 30), (2, 31)]);
    }

    #[test]
    fn another_remote_that_may_still_send_earlier_ones_is_waited_for() {
        let left = run(WINDOW, 2, &[(0, 0, at(0)), (0, 0, at(100)), (3, 1, at(1)), (4, 1, at(200))]);
        assert_eq!(left, [(0, 4), (2, 4), (1, 25), (3, 29)]);
    }

    #[test]
    fn unreadable_timestamps_keep_their_place() {
        let left =
            run(WINDOW, 1, &[(0, 0, at(5)), (0, 0, "?".into()), (0, 0, at(6)), (0, 0, at(1)), (0, 0, String::new())]);
        assert_eq!(left.iter().map(|left| left.0).collect::<Vec<_>>(), [3, 4, 0, 1, 2]);
    }

    #[test]
    fn offsets_and_precision_do_not_matter() {
        let times =
            ["2026-01-01T01:00:00.000000002+01:00", "2026-01-01T00:00:00.000000001Z", "2025-12-31T19:00:00-05:00"];
        let events: Vec<_> = times.iter().map(|time| (0, 0, (*time).to_owned())).collect();
        assert_eq!(run(WINDOW, 1, &events).iter().map(|left| left.0).collect::<Vec<_>>(), [2, 1, 0]);
    }

    #[test]
    fn a_window_that_is_full_lets_the_earliest_go() {
        let most = event(0, 0, &at(0)).size() * 5 / 2;
        let mut order = Order::new(Duration::from_secs(3600), most, 1);
        let mut left = Vec::new();
        for (index, time) in [4, 3, 1, 2].into_iter().enumerate() {
            order.push(event(0, index, &at(time)), Instant::now());
            while let Some(event) = order.pop() {
                left.push(number(&event));
            }
        }
        assert_eq!(left, [2, 3]);
    }

    #[test]
    fn a_window_of_zero_keeps_the_order_of_arrival() {
        let left = run(Duration::ZERO, 1, &[(0, 0, at(9)), (0, 0, at(5)), (7, 0, at(1))]);
        assert_eq!(left, [(0, 0), (1, 0), (2, 7)]);
    }

    proptest! {
        #[test]
        fn everything_leaves_once_in_order_when_none_is_late(
            jitter in prop::collection::vec((0i64..24, 0u64..3, 0u16..3), 1..200)
        ) {
            let mut now = 0;
            let mut events = Vec::new();
            for (late, pause, remote) in jitter {
                now += pause;
                events.push((now, remote, at(now.cast_signed() - late)));
            }
            let left: Vec<_> = run(WINDOW, 3, &events).into_iter().map(|left| left.0).collect();
            let mut wanted: Vec<_> = (0..events.len()).collect();
            wanted.sort_by_key(|index| events[*index].2.clone());
            prop_assert_eq!(left, wanted);
        }
    }
}
