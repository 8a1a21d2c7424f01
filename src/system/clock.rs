//! Time that passed, time asleep included: neither a clock that is set nor a suspended machine falsifies it.

use std::fs::File;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, Local};
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime, timerfd_create,
    timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::Instant;

/// How often a suspended machine's wake-up is looked for while the machine is awake.
const LOOK: Duration = Duration::from_secs(15);

/// A point in time that durations are measured from.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    awake: Instant,
    asleep: Duration,
}

impl Moment {
    /// This moment.
    #[must_use]
    pub fn now() -> Self {
        // Tokio's clock, so that tests can pause it.
        Self { awake: Instant::now(), asleep: asleep() }
    }

    /// The moment that was this long ago.
    #[must_use]
    pub fn before_now(ago: Duration) -> Self {
        let now = Self::now();
        // What the monotonic clock cannot express is left to the time asleep.
        match now.awake.checked_sub(ago) {
            Some(awake) => Self { awake, ..now },
            None => Self { asleep: now.asleep.saturating_sub(ago), ..now },
        }
    }

    /// The time since then.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        self.awake.elapsed() + asleep().saturating_sub(self.asleep)
    }
}

/// The time of day. (chrono's own panics where the clock is before 1970.)
#[must_use]
pub fn local_now() -> DateTime<Local> {
    SystemTime::now().into()
}

/// This moment by the monotonic clock, and by the system's in nanoseconds since 1970 (0 before that).
/// Between two readings the processor may be taken away for milliseconds: of several pairs, the one that was read most
/// quickly.
#[must_use]
pub fn both_clocks() -> (std::time::Instant, i64) {
    const PAIRS: usize = 8;
    let pair = |_| {
        let monotonic = std::time::Instant::now();
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        (monotonic.elapsed(), monotonic, i64::try_from(since_1970.as_nanos()).unwrap_or(i64::MAX))
    };
    let (_, monotonic, system) =
        (1..PAIRS).map(pair).fold(pair(0), |best, pair| if pair.0 < best.0 { pair } else { best });
    (monotonic, system)
}

/// How long the machine has been suspended since it was started: `CLOCK_BOOTTIME` counts that, `CLOCK_MONOTONIC` does
/// not (`clock_gettime(2)`).
fn asleep() -> Duration {
    let nanoseconds = |id| {
        let Timespec { tv_sec, tv_nsec } = clock_gettime(id);
        i128::from(tv_sec) * 1_000_000_000 + i128::from(tv_nsec)
    };
    // In this order, so that the time between the two readings is no sleep.
    let boot = nanoseconds(ClockId::Boottime);
    let slept = boot - nanoseconds(ClockId::Monotonic);
    Duration::from_nanos(u64::try_from(slept).unwrap_or(0))
}

/// Notices that the machine was suspended and runs again.
#[derive(Debug, Default)]
pub struct Resumed {
    resumed: Notify,
}

impl Resumed {
    /// Waits for the next time that the machine runs again, counted from the call.
    pub fn wait(&self) -> Notified<'_> {
        self.resumed.notified()
    }

    /// Looks for it for ever. Where the system has no such timer, it is never noticed.
    pub async fn watch(&self) {
        let Ok(timer) = timer() else { return std::future::pending().await };
        let mut known = asleep();
        loop {
            // A timer of this clock expires at once when the machine runs again.
            let expired = timer.readable().await;
            let Ok(mut guard) = expired else { return std::future::pending().await };
            let _ = rustix::io::read(timer.get_ref(), &mut [0; 8]);
            guard.clear_ready();
            let now = asleep();
            if now.saturating_sub(known) > Duration::from_secs(1) {
                known = now;
                self.resumed.notify_waiters();
            }
        }
    }
}

fn timer() -> std::io::Result<AsyncFd<File>> {
    let timer = timerfd_create(TimerfdClockId::Boottime, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
    let every = Timespec { tv_sec: i64::try_from(LOOK.as_secs()).unwrap_or(15), tv_nsec: 0 };
    timerfd_settime(&timer, TimerfdTimerFlags::empty(), &Itimerspec { it_interval: every, it_value: every })?;
    super::watched(File::from(timer), Interest::READABLE)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn who_waits_hears_of_a_resume_before_the_wait_is_polled() {
        let resumed = Resumed::default();
        let wait = resumed.wait();
        resumed.resumed.notify_waiters();
        assert!(wait.now_or_never().is_some());
        assert!(resumed.wait().now_or_never().is_none());
    }
}
