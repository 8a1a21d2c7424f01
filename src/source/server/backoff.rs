//! How long to wait before the next attempt to reconnect.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(30);

/// Exponential back-off with jitter: waits double, and each is shortened by a random part of up to one half, so that
/// the clients of a restarted server do not all reconnect at the same moment.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
    /// The longest wait.
    cap: Duration,
}

impl Backoff {
    /// Waits for a server on this machine (`is_local`) do not grow: trying its socket is cheap, and a long wait would
    /// miss the first events after its restart.
    #[must_use]
    pub(crate) fn new(is_local: bool) -> Self {
        Self { next: FIRST, cap: if is_local { FIRST } else { LONGEST } }
    }

    /// The next wait.
    pub(crate) fn wait(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(self.cap);
        wait.mul_f64(1.0 - fastrand::f64() / 2.0)
    }

    /// Resets the waits if the last connection lasted longer than the longest wait. A server that closes each
    /// connection soon after it was opened is tried less and less often.
    pub(crate) fn lived(&mut self, time: Duration) {
        if time > self.cap {
            self.next = FIRST;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn begins_anew_only_after_a_connection_that_outlived_the_longest_wait() {
        let mut backoff = Backoff::new(false);
        backoff.wait();
        backoff.wait();
        backoff.lived(LONGEST);
        assert!(backoff.wait() > FIRST);
        backoff.lived(LONGEST + FIRST);
        assert!(backoff.wait() <= FIRST);
    }

    #[test]
    fn doubles_up_to_half_a_minute_with_jitter() {
        let mut backoff = Backoff::new(false);
        let mut full = FIRST;
        for _ in 0..20 {
            let wait = backoff.wait();
            assert!(wait <= full && wait >= full / 2, "{wait:?} of {full:?}");
            full = (full * 2).min(LONGEST);
        }
    }

    #[test]
    fn a_local_server_never_waits_longer_than_the_first_time() {
        let mut backoff = Backoff::new(true);
        assert!((0..20).all(|_| backoff.wait() <= FIRST));
    }
}
