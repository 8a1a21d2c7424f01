//! What is known of the servers' clocks.

use super::{MILLISECOND, Time};

/// Clocks that differ from ours by less are taken to agree with ours and with each other: times of arrival cannot tell
/// the difference from the time that events are on their way.
pub(super) const AGREEMENT: Time = 10 * MILLISECOND;

/// What is known of the clock behind a time line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// The latest timestamp.
    pub(super) max: Time,
    /// By how much it is ahead of its remote's offset.
    pub(super) skew: Time,
    /// The greatest of timestamp − arrival since the remote's offset was last renewed.
    pub(super) greatest: Time,
}

/// What the members of a remote have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Connection {
    /// The greatest of timestamp − skew − arrival, since `since` and in the period before that.
    pub(super) offset: Time,
    pub(super) former_offset: Time,
    pub(super) since: Time,
}

impl Connection {
    pub(super) fn offset(&self) -> Time {
        self.offset.max(self.former_offset)
    }

    /// The skew of a clock with such a difference of timestamp and arrival. Members whose clocks agree are taken to have
    /// the same: how long single events were on their way must not change their order.
    pub(super) fn skew(&self, difference: Time) -> Time {
        let skew = difference.saturating_sub(self.offset());
        if skew.saturating_abs() < AGREEMENT { 0 } else { skew }
    }
}
