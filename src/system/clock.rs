//! Elapsed time that includes time in suspend. Neither setting the clock nor suspending the machine makes it wrong.

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

/// The interval of the timer that detects a resume from suspend.
const LOOK: Duration = Duration::from_secs(15);

/// A point in time from which durations are measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    awake: Instant,
    asleep: Duration,
}

impl Moment {
    /// This moment.
    #[must_use]
    pub(crate) fn now() -> Self {
        // Tokio's clock, because tests can pause it.
        Self { awake: Instant::now(), asleep: asleep() }
    }

    /// The moment `ago` before now.
    #[must_use]
    pub(crate) fn before_now(ago: Duration) -> Self {
        let now = Self::now();
        // If the monotonic clock cannot represent the moment, shift the time in suspend instead.
        match now.awake.checked_sub(ago) {
            Some(awake) => Self { awake, ..now },
            None => Self { asleep: now.asleep.saturating_sub(ago), ..now },
        }
    }

    /// The time since this moment.
    #[must_use]
    pub(crate) fn elapsed(self) -> Duration {
        self.awake.elapsed() + asleep().saturating_sub(self.asleep)
    }
}

/// The local time. (`chrono::Local::now` panics if the clock is before 1970.)
#[must_use]
pub(crate) fn local_now() -> DateTime<Local> {
    SystemTime::now().into()
}

/// The current time by the monotonic clock, and by the system clock in nanoseconds since 1970 (0 before that). The
/// scheduler can preempt us between the two readings for milliseconds, so several pairs are read and the one with the
/// least delay between its readings is returned.
#[must_use]
pub(crate) fn both_clocks() -> (std::time::Instant, i64) {
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

/// The total time in suspend since boot: `CLOCK_BOOTTIME` includes it, `CLOCK_MONOTONIC` does not (`clock_gettime(2)`).
fn asleep() -> Duration {
    let nanoseconds = |id| {
        let Timespec { tv_sec, tv_nsec } = clock_gettime(id);
        i128::from(tv_sec) * 1_000_000_000 + i128::from(tv_nsec)
    };
    // In this order, so that the time between the two readings does not count as suspend.
    let boot = nanoseconds(ClockId::Boottime);
    let slept = boot - nanoseconds(ClockId::Monotonic);
    Duration::from_nanos(u64::try_from(slept).unwrap_or(0))
}

/// Detects that the machine was suspended and has resumed.
#[derive(Debug, Default)]
pub(crate) struct Resumed {
    resumed: Notify,
}

impl Resumed {
    /// Waits for the next resume after this call.
    pub(crate) fn wait(&self) -> Notified<'_> {
        self.resumed.notified()
    }

    /// Watches for resumes for ever. If the system has no such timer, none is detected.
    pub(crate) async fn watch(&self) {
        let Ok(timer) = timer() else { return std::future::pending().await };
        let mut known = asleep();
        loop {
            // A timer of this clock that was due during suspend expires at once after the resume.
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
