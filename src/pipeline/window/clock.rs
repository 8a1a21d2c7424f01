//! What is known of the servers' clocks.

use super::{MILLISECOND, Time};

/// Clocks that differ from ours by less are taken to agree with ours and with each other: times of arrival cannot tell
/// the difference from the time that events are on their way.
pub(super) const AGREEMENT: Time = 10 * MILLISECOND;

/// The same while few arrivals are known: the reading thread sleeps, so that single events arrive late by as much.
const FIRST_AGREEMENT: Time = 50 * MILLISECOND;

/// So many arrivals at different times show how short the way is: that all of them were late by more than [`AGREEMENT`] is
/// less likely than one in a hundred.
const MANY: u32 = 16;

/// Arrivals, counted.
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

/// What is known of the clock behind a time line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// The latest timestamp.
    pub(super) max: Time,
    /// By how much it is ahead of its remote's offset.
    pub(super) skew: Time,
    /// The greatest of timestamp − arrival since the remote's offset was last renewed, or since the beginning while few
    /// arrivals are known.
    greatest: Time,
    /// The arrivals that this is the greatest of.
    arrivals: Arrivals,
    /// Whether the skew is from many arrivals.
    is_known: bool,
}

/// What the members of a remote have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Connection {
    /// The greatest of timestamp − skew − arrival, since `since` and in the period before that.
    offset: Time,
    former_offset: Time,
    since: Time,
    arrivals: Arrivals,
}

impl Connection {
    /// One whose first event arrived with such a difference of timestamp and arrival.
    pub(super) fn new(difference: Time, arrival: Time) -> Self {
        let arrivals = Arrivals { count: 1, last: arrival };
        Self { offset: difference, former_offset: difference, since: arrival, arrivals }
    }

    pub(super) fn offset(&self) -> Time {
        self.offset.max(self.former_offset)
    }

    /// How long ago the offset was renewed.
    pub(super) fn age(&self, arrival: Time) -> Time {
        arrival - self.since
    }

    /// An event arrived with such a difference, of a clock with such a skew.
    pub(super) fn learn(&mut self, difference: Time, skew: Time, arrival: Time) {
        self.arrivals.add(arrival);
        self.offset = self.offset.max(difference.saturating_sub(skew));
    }

    /// Begins a new period with such an event.
    pub(super) fn renew(&mut self, difference: Time, skew: Time, arrival: Time) {
        self.arrivals.add(arrival);
        self.former_offset = self.offset;
        self.offset = difference.saturating_sub(skew);
        self.since = arrival;
    }

    /// The skew of a clock with such a greatest difference of timestamp and arrival, of so many arrivals. Members whose
    /// clocks agree are taken to have the same: how long single events were on their way must not change their order.
    fn skew(&self, difference: Time, arrivals: u32) -> Time {
        let skew = difference.saturating_sub(self.offset());
        // One that seems to be behind may have arrived late. Where one seems to be ahead, all others may have.
        let known = if skew < 0 { arrivals } else { self.arrivals.count };
        let agreement = if known < MANY { FIRST_AGREEMENT } else { AGREEMENT };
        if skew.saturating_abs() < agreement { 0 } else { skew }
    }
}

impl Clock {
    /// One whose first event arrived with such a timestamp.
    pub(super) fn new(connection: &Connection, time: Time, arrival: Time) -> Self {
        let greatest = time.saturating_sub(arrival);
        let arrivals = Arrivals { count: 1, last: arrival };
        let skew = connection.skew(greatest, arrivals.count);
        Self { max: time, skew, greatest, arrivals, is_known: false }
    }

    /// Another event arrived with such a difference.
    pub(super) fn learn(&mut self, connection: &Connection, difference: Time, arrival: Time) {
        let (greatest, count) = (self.greatest, self.arrivals.count);
        self.greatest = greatest.max(difference);
        self.arrivals.add(arrival);
        let is_news = self.greatest > greatest || (count < MANY && self.arrivals.count >= MANY);
        if is_news && !self.is_known {
            self.skew = connection.skew(self.greatest, self.arrivals.count);
        }
    }

    /// The connection's offset has been renewed.
    pub(super) fn renew(&mut self, connection: &Connection) {
        if self.arrivals.count < MANY {
            return;
        }
        self.skew = connection.skew(self.greatest, self.arrivals.count);
        self.is_known = true;
        self.greatest = Time::MIN;
        self.arrivals.count = 0;
    }
}
