//! Estimates how far the clocks of servers and cluster members differ from the local clock.

use super::{MILLISECOND, Time};

/// Clocks that differ by less are treated as equal. A smaller difference cannot be distinguished from the delay of the events.
pub(super) const AGREEMENT: Time = 10 * MILLISECOND;

/// The same limit while the number of known arrivals is small. It is greater because the sleep of the reading thread
/// delays single events.
const FIRST_AGREEMENT: Time = 50 * MILLISECOND;

/// The number of arrivals at different times after which the shortest delay is considered known: the probability that
/// all of them were delayed by more than [`AGREEMENT`] is less than one in a hundred.
const MANY: u32 = 16;

/// How long few arrivals are remembered: clocks drift, by a few milliseconds in this time.
const FEW_LIFE: Time = 60_000 * MILLISECOND;

/// A counter of different times of arrival.
#[derive(Clone, Copy, Debug)]
struct Arrivals {
    count: u32,
    last: Time,
}

impl Arrivals {
    fn add(&mut self, arrival: Time) {
        if arrival != self.last {
            self.count = self.count.saturating_add(1);
            self.last = arrival;
        }
    }
}

/// The estimated clock of a time line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// The latest timestamp.
    pub(super) max: Time,
    /// How far the clock is ahead of the offset of its connection.
    pub(super) skew: Time,
    /// The greatest timestamp − arrival of the events that `arrivals` counts.
    greatest: Time,
    /// The arrivals since `since`.
    arrivals: Arrivals,
    /// When the connection's offset was renewed; the last time of all, or an earlier one while there are few arrivals.
    since: Time,
    /// Whether the skew was computed from many arrivals.
    is_known: bool,
}

/// The offset that all members of a remote share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Connection {
    /// The greatest timestamp − skew − arrival in the current period, which began at `since`, and in the previous one.
    offset: Time,
    former_offset: Time,
    since: Time,
    arrivals: Arrivals,
}

impl Connection {
    /// A connection whose first event arrived at `arrival`, with this difference of timestamp and arrival.
    pub(super) fn new(difference: Time, arrival: Time) -> Self {
        let arrivals = Arrivals { count: 1, last: arrival };
        Self { offset: difference, former_offset: difference, since: arrival, arrivals }
    }

    pub(super) fn offset(&self) -> Time {
        self.offset.max(self.former_offset)
    }

    /// The time from the beginning of the current period to `arrival`.
    pub(super) fn age(&self, arrival: Time) -> Time {
        arrival - self.since
    }

    /// Updates the offset with an event that arrived with this difference, of a clock with this skew.
    pub(super) fn learn(&mut self, difference: Time, skew: Time, arrival: Time) {
        self.arrivals.add(arrival);
        self.offset = self.offset.max(difference.saturating_sub(skew));
    }

    /// Begins a new period with such an event; see [`Connection::learn`].
    pub(super) fn renew(&mut self, difference: Time, skew: Time, arrival: Time) {
        self.arrivals.add(arrival);
        self.former_offset = self.offset;
        self.offset = difference.saturating_sub(skew);
        self.since = arrival;
    }

    /// The skew of a clock, from the greatest difference of timestamp and arrival and the number of its arrivals. Small
    /// skews count as 0, so that the delay of single events does not change the order of members whose clocks agree.
    fn skew(&self, difference: Time, arrivals: u32) -> Time {
        let skew = difference.saturating_sub(self.offset());
        // If the clock seems to be behind, its own events may have been delayed. If it seems to be ahead, all events
        // that defined the offset may have been delayed.
        let known = if skew < 0 { arrivals } else { self.arrivals.count };
        let agreement = if known < MANY { FIRST_AGREEMENT } else { AGREEMENT };
        if skew.saturating_abs() < agreement { 0 } else { skew }
    }
}

impl Clock {
    /// A clock whose first event arrived at `arrival` with the timestamp `time`.
    pub(super) fn new(connection: &Connection, time: Time, arrival: Time) -> Self {
        let greatest = time.saturating_sub(arrival);
        let arrivals = Arrivals { count: 1, last: arrival };
        let skew = connection.skew(greatest, arrivals.count);
        Self { max: time, skew, greatest, arrivals, since: arrival, is_known: false }
    }

    /// Updates the clock with another event, which arrived with this difference.
    pub(super) fn learn(&mut self, connection: &Connection, difference: Time, arrival: Time) {
        let (greatest, count) = (self.greatest, self.arrivals.count);
        self.greatest = greatest.max(difference);
        self.arrivals.add(arrival);
        let is_news = self.greatest > greatest || (count < MANY && self.arrivals.count >= MANY);
        if is_news && !self.is_known {
            self.skew = connection.skew(self.greatest, self.arrivals.count);
        }
    }

    /// Recomputes the skew after the offset of the connection was renewed.
    pub(super) fn renew(&mut self, connection: &Connection, arrival: Time) {
        if self.arrivals.count >= MANY {
            self.skew = connection.skew(self.greatest, self.arrivals.count);
            self.is_known = true;
        } else if arrival - self.since < FEW_LIFE {
            return;
        }
        self.greatest = Time::MIN;
        self.arrivals.count = 0;
        self.since = arrival;
    }
}
