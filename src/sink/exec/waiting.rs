//! The events that wait for the command: bounded, and held until the command is due.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::event::RemoteId;

/// Without a pause, the events of `--debounce` wait for at most this many times its value.
const MOST_PAUSES: u32 = 10;

/// Memory use of a line besides its text, in bytes: the line itself and the overhead of the allocator.
const OVERHEAD: usize = size_of::<Line>() + 16;

/// Once events were dropped, none is queued until this many bytes are free, or half of the limit if that is less.
/// Otherwise a queue that stays nearly full would cause a notice for each event.
const ROOM: usize = 1 << 20;

/// An event as one line of JSON.
#[derive(Debug)]
pub(super) struct Line {
    pub text: Box<[u8]>,
    pub remote: RemoteId,
}

/// What the thread does next.
#[derive(Debug)]
pub(super) enum Next {
    /// Run the command for these events, of which there is at least one.
    Run(Vec<Line>),
    /// Nothing: the given time has come.
    Nothing,
    /// End.
    End,
}

/// The queue.
#[derive(Debug)]
pub(super) struct Waiting {
    state: Mutex<State>,
    /// Notified when the thread may have to do something earlier than it expects.
    wanted: Condvar,
    /// Notified when memory was freed.
    freed: Condvar,
    /// The value of `--debounce`.
    debounce: Option<Duration>,
    /// How much memory may be in use, in bytes.
    limit: usize,
}

#[derive(Debug)]
struct State {
    lines: VecDeque<Line>,
    /// Memory use of `lines`, in bytes.
    waiting: usize,
    /// Memory use of the lines that the command is being given, in bytes.
    running: usize,
    /// When the first and the last of `lines` were queued.
    first: Instant,
    last: Instant,
    /// Whether events are dropped until there is room.
    is_full: bool,
    /// The number of events that were dropped since the last report of that.
    dropped: u64,
    /// The number of events that came too late.
    late: u64,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Events are queued.
    Open,
    /// No more events are queued, and the command is run for those that wait.
    Finishing,
    /// The command is not run any more.
    Stopped,
}

impl State {
    fn in_use(&self) -> usize {
        self.waiting + self.running
    }
}

impl Waiting {
    /// An empty queue in which events may take `limit` bytes.
    pub(super) fn new(debounce: Option<Duration>, limit: usize) -> Self {
        let now = Instant::now();
        let state = State {
            lines: VecDeque::new(),
            waiting: 0,
            running: 0,
            first: now,
            last: now,
            is_full: false,
            dropped: 0,
            late: 0,
            phase: Phase::Open,
        };
        Self { state: Mutex::new(state), wanted: Condvar::new(), freed: Condvar::new(), debounce, limit }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues an event, or drops and counts it if there is no room and it need not be queued all the same.
    pub(super) fn push(&self, text: &[u8], remote: RemoteId, must_queue: bool) {
        let mut state = self.state();
        if state.phase != Phase::Open {
            state.late += 1;
            return;
        }
        let size = text.len() + OVERHEAD;
        // One event may exceed the limit.
        state.is_full |= state.in_use() > 0 && state.in_use() + size > self.limit;
        if state.is_full && !must_queue {
            state.dropped += 1;
            return;
        }
        let now = Instant::now();
        let former = if state.lines.is_empty() { None } else { Some(self.due(&state)) };
        if former.is_none() {
            state.first = now;
        }
        state.last = now;
        state.waiting += size;
        state.lines.push_back(Line { text: text.into(), remote });
        // Usually the thread is not woken: it finds out when it wakes that the command is due later.
        let is_wanted = former.is_none_or(|former| self.due(&state) < former);
        drop(state);
        if is_wanted {
            self.wanted.notify_one();
        }
    }

    /// When the command is due for the events that wait, of which there must be one. With `--debounce`: when no event
    /// has come for its time, or ten times as long after the first event. Before memory gets scarce, events that come
    /// without a pause wait shorter.
    fn due(&self, state: &State) -> Instant {
        let Some(debounce) = self.debounce else { return state.first };
        let longest = match state.waiting {
            waiting if waiting >= self.limit / 2 => Duration::ZERO,
            waiting if waiting >= self.limit / 8 => debounce,
            _ => debounce.saturating_mul(MOST_PAUSES),
        };
        let after = |from: Instant, duration| from.checked_add(duration);
        // A time that the clock cannot represent never comes.
        let never = || state.last + Duration::from_secs(86_400);
        let due = [after(state.last, debounce), after(state.first, longest)].into_iter().flatten().min();
        due.unwrap_or_else(never)
    }

    /// Waits until the command is due, and takes the events for it: one, or with `--debounce` all. Returns at `until`
    /// if there are none by then.
    pub(super) fn next(&self, until: Option<Instant>) -> Next {
        let mut state = self.state();
        loop {
            let now = Instant::now();
            let due = match state.phase {
                Phase::Stopped => return Next::End,
                Phase::Finishing if state.lines.is_empty() => return Next::End,
                Phase::Finishing => Some(now),
                Phase::Open => (!state.lines.is_empty()).then(|| self.due(&state)),
            };
            if due.is_some_and(|due| due <= now) {
                return Next::Run(self.take(&mut state));
            }
            if until.is_some_and(|until| until <= now) {
                return Next::Nothing;
            }
            state = match [due, until].into_iter().flatten().min() {
                Some(wake) => {
                    let waited = self.wanted.wait_timeout(state, wake.saturating_duration_since(now));
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.wanted.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    fn take(&self, state: &mut State) -> Vec<Line> {
        let number = if self.debounce.is_some() { state.lines.len() } else { 1 };
        let lines: Vec<_> = state.lines.drain(..number).collect();
        if state.lines.is_empty() {
            // A burst has been taken.
            state.lines.shrink_to(1024);
        }
        state.running = lines.iter().map(|line| line.text.len() + OVERHEAD).sum();
        state.waiting -= state.running;
        lines
    }

    /// The events that were taken need no memory any more. Returns how many events were dropped, once there is room.
    pub(super) fn release(&self) -> Option<u64> {
        let mut state = self.state();
        state.running = 0;
        let has_room = self.limit.saturating_sub(state.waiting) >= ROOM.min(self.limit / 2);
        let dropped = if has_room {
            state.is_full = false;
            std::mem::take(&mut state.dropped)
        } else {
            0
        };
        drop(state);
        self.freed.notify_all();
        (dropped > 0).then_some(dropped)
    }

    /// Whether more memory is in use than allowed.
    pub(super) fn is_over_limit(&self) -> bool {
        let state = self.state();
        state.in_use() > self.limit && state.phase == Phase::Open
    }

    /// Waits until no more memory is in use than allowed, or no event is queued any more.
    pub(super) fn wait_for_room(&self) {
        let is_over = |state: &mut State| state.in_use() > self.limit && state.phase == Phase::Open;
        drop(self.freed.wait_while(self.state(), is_over).unwrap_or_else(PoisonError::into_inner));
    }

    /// No more events will come.
    pub(super) fn finish(&self) {
        self.enter(Phase::Finishing);
    }

    /// The command is not to be run any more.
    pub(super) fn stop(&self) {
        self.enter(Phase::Stopped);
    }

    fn enter(&self, phase: Phase) {
        let mut state = self.state();
        if state.phase != Phase::Stopped {
            state.phase = phase;
        }
        drop(state);
        self.wanted.notify_all();
        self.freed.notify_all();
    }

    /// Waits until the command is not to be run any more, but at most for this time. Returns whether it is so.
    pub(super) fn is_stopped_within(&self, time: Duration) -> bool {
        let waited = self.wanted.wait_timeout_while(self.state(), time, |state| state.phase != Phase::Stopped);
        waited.unwrap_or_else(PoisonError::into_inner).0.phase == Phase::Stopped
    }

    /// The number of events that the command was not run for so far, except those whose number was reported.
    pub(super) fn left(&self) -> u64 {
        let state = self.state();
        state.lines.len() as u64 + state.dropped + state.late
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn state(waiting: usize, first: Instant, last: Instant) -> State {
        State { waiting, first, last, ..Waiting::new(None, 0).state.into_inner().unwrap() }
    }

    #[test]
    fn the_command_is_due_after_a_pause_or_ten_times_as_long_without_one() {
        let queue = Waiting::new(Some(SECOND), 8000);
        let first = Instant::now();
        let due = |waiting, last| queue.due(&state(waiting, first, first + last)) - first;
        assert_eq!(due(10, Duration::ZERO), SECOND);
        assert_eq!(due(10, SECOND / 2), 3 * SECOND / 2);
        assert_eq!(due(10, 20 * SECOND), 10 * SECOND);
        // Much text waits for one pause only, and half of the memory for nothing.
        assert_eq!(due(1000, SECOND / 2), SECOND);
        assert_eq!(due(4000, SECOND / 2), Duration::ZERO);
    }

    #[test]
    fn without_debounce_each_event_is_due_at_once_and_alone() {
        let queue = Waiting::new(None, 8000);
        queue.push(b"1\n", RemoteId(0), false);
        queue.push(b"2\n", RemoteId(7), false);
        for (text, remote) in [(b"1\n", 0), (b"2\n", 7)] {
            let Next::Run(lines) = queue.next(None) else { panic!() };
            assert_eq!((lines.len(), &*lines[0].text, lines[0].remote), (1, &text[..], RemoteId(remote)));
            assert_eq!(queue.release(), None);
        }
        assert!(matches!(queue.next(Some(Instant::now())), Next::Nothing));
        queue.finish();
        assert!(matches!(queue.next(None), Next::End));
    }

    #[test]
    fn events_without_room_are_dropped_and_counted_until_there_is_much_room() {
        let queue = Waiting::new(None, 10 * (OVERHEAD + 100));
        let push = || queue.push(&[b'x'; 100], RemoteId(0), false);
        let run = || {
            let Next::Run(_) = queue.next(None) else { panic!() };
            queue.release()
        };
        (0..13).for_each(|_| push());
        assert_eq!(queue.left(), 13);
        // Nine wait, then eight, …; at five there is room again.
        assert_eq!((0..4).map(|_| run()).collect::<Vec<_>>(), [None; 4]);
        push();
        assert_eq!(run(), Some(4));
        push();
        assert_eq!((0..6).map(|_| run()).collect::<Vec<_>>(), [None; 6]);
        assert_eq!(queue.left(), 0);
    }

    #[test]
    fn one_event_may_be_larger_than_the_limit() {
        let queue = Waiting::new(None, 1000);
        queue.push(&[b'x'; 5000], RemoteId(0), false);
        queue.push(b"y", RemoteId(0), false);
        assert!(queue.is_over_limit());
        let Next::Run(lines) = queue.next(None) else { panic!() };
        assert_eq!((lines[0].text.len(), queue.release()), (5000, Some(1)));
    }

    #[test]
    fn at_the_end_all_that_waits_is_due_unless_it_is_stopped() {
        let queue = Waiting::new(Some(3600 * SECOND), 8000);
        (0..3).for_each(|_| queue.push(b"x", RemoteId(0), false));
        queue.finish();
        queue.push(b"late", RemoteId(0), false);
        let Next::Run(lines) = queue.next(None) else { panic!() };
        assert_eq!((lines.len(), queue.left()), (3, 1));
        queue.stop();
        assert!(matches!(queue.next(None), Next::End));
    }

    #[test]
    fn the_longest_pause_overflows_no_clock() {
        let queue = Waiting::new(Some(Duration::MAX), 8000);
        queue.push(b"x", RemoteId(0), false);
        assert!(matches!(queue.next(Some(Instant::now())), Next::Nothing));
    }
}
