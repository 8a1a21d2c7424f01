//! How long to wait before the next attempt to reconnect.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(30);

/// Waits that double, each shortened by a random part of up to a half, so that many clients of one restarted server do
/// not come back at the same moment.
#[derive(Debug)]
pub struct Backoff {
    next: Duration,
    last: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: FIRST, last: Duration::ZERO }
    }
}

impl Backoff {
    /// The next wait.
    pub fn wait(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(LONGEST);
        self.last = wait.mul_f64(1.0 - fastrand::f64() / 2.0);
        self.last
    }

    /// A connection lived for so long. If that is longer than the wait for it was, waits begin anew; a server that takes
    /// connections only to end them is left in peace for longer and longer.
    pub fn lived(&mut self, time: Duration) {
        if time > self.last {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn begins_anew_after_a_connection_that_outlived_the_wait_for_it() {
        let mut backoff = Backoff::default();
        backoff.wait();
        let second = backoff.wait();
        backoff.lived(second);
        assert!(backoff.wait() > FIRST);
        backoff.lived(LONGEST);
        assert!(backoff.wait() <= FIRST);
    }

    #[test]
    fn doubles_up_to_half_a_minute_with_jitter() {
        let mut backoff = Backoff::default();
        let mut full = FIRST;
        for _ in 0..20 {
            let wait = backoff.wait();
            assert!(wait <= full && wait >= full / 2, "{wait:?} of {full:?}");
            full = (full * 2).min(LONGEST);
        }
    }
}
