//! Between the readers and the pipeline: blocks of messages in the order of their arrival, bounded in memory.
//!
//! ```text
//!   used memory
//!   max  ───────────────────────────────  beyond: the newest block is dropped and counted, reading goes on
//!                        ↑
//!          a reader has rested for REST: the limit is `max` until little waits again
//!                        ↓
//!   SMALL ──────────────────────────────  beyond: readers rest, so the server waits (back-pressure)
//! ```
//!
//! Readers rest before they read, never with a message in hand. They rest only shortly whatever the output does: LXD
//! gives each of its writes 5 s (`lxd/events/connections.go`), and Incus ends a connection for which 1,000 events wait.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::event::RemoteId;
use crate::event::gap::{End, Gap, timestamp_of};
use crate::event::message::{Block, Memory};
use crate::system::clock::Moment;
use crate::system::clock::local_now;

/// How many bytes may wait while readers rest for the output.
const SMALL: usize = 8 << 20;

/// How many bytes must be freed before a resting reader goes on, and before dropping ends: waking a reader costs more
/// than queueing many messages, and a gap per block would hide what a gap says.
const STEP: usize = 1 << 20;

/// The longest rest of a reader. At 4,000 events/s that is as much as Incus lets wait for a client.
const REST: Duration = Duration::from_millis(250);

/// The rest of a reader whose messages are dropped anyway: short enough for every server, long enough to leave the
/// processor to those who could free memory.
const REST_WHILE_FULL: Duration = Duration::from_millis(10);

/// What waits beyond so many bytes is for the pipeline's thread to decode, beside the reading.
const MAX_FOR_TASK: usize = 16 << 10;

/// What the pipeline gets to see.
#[derive(Debug)]
pub enum Item {
    /// Messages of a remote.
    Messages {
        /// The remote.
        remote: RemoteId,
        /// The messages.
        block: Arc<Block>,
        /// When they were read.
        arrived: Instant,
        /// Everything that came by this time, from whichever remote, was queued before; none where that is not known.
        complete_by: Option<Instant>,
    },
    /// Lines of a recording, with the number of the first. An empty one has been skipped.
    Lines(u64, Arc<Block>),
    /// So many messages of a remote that are not text, and so are no events.
    Binary(RemoteId, u64),
    /// Events of a remote are missing here.
    Gap(Gap),
}

/// The queue.
#[derive(Debug)]
pub struct Queue {
    state: Mutex<State>,
    /// Wakes the pipeline's thread.
    wanted: Condvar,
    /// Wakes the pipeline's task on the reading thread.
    filled: Notify,
    /// Wakes resting readers when the queue has become short.
    shortened: Notify,
    memory: Arc<Memory>,
    /// How many bytes a short queue has at most.
    short: usize,
    /// How much memory may be in use, in bytes, when dropping ends.
    room: usize,
    /// How much memory all that waits may take, in bytes.
    max_bytes: usize,
    /// Whether the limit is `max_bytes`, because a reader has rested long enough.
    is_grown: AtomicBool,
    /// Whether a reader has rested long enough for room, and found none.
    is_overfull: AtomicBool,
    /// Whether readers wait for ever rather than drop (replay, demo).
    never_drops: bool,
}

#[derive(Debug, Default)]
struct State {
    items: VecDeque<Item>,
    /// The memory that `items` take, in bytes.
    bytes: usize,
    /// Whether the pipeline's thread is to take the items; else its task on the reading thread does.
    thread_wanted: bool,
    /// Everything that came by this time is in `items` or has been taken.
    complete_by: Option<Instant>,
    has_ended: bool,
    /// Gaps that go on, at most one per remote and reason.
    open: Vec<(Gap, Moment)>,
}

/// What became of a block.
#[derive(Debug)]
pub enum Pushed {
    /// It waits for the pipeline, behind the gap of those that were dropped before it.
    Queued(Option<Gap>),
    /// It was dropped and counted: all memory is in use.
    Dropped,
}

impl Queue {
    /// A queue in which at most about `max_bytes` of memory wait. With `never_drops`, readers wait for ever.
    #[must_use]
    pub fn new(max_bytes: usize, never_drops: bool) -> Self {
        let small = SMALL.min(max_bytes);
        let room = max_bytes - STEP.min(max_bytes / 2);
        Self {
            state: Mutex::default(),
            wanted: Condvar::new(),
            filled: Notify::new(),
            shortened: Notify::new(),
            memory: Arc::new(Memory::new(room)),
            short: small - STEP.min(small / 2),
            room,
            max_bytes,
            is_grown: AtomicBool::new(false),
            is_overfull: AtomicBool::new(false),
            never_drops,
        }
    }

    /// The count of the memory that all that waits takes.
    #[must_use]
    pub fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic in the other thread ends the process (panic=abort), so a poisoned lock is never seen in earnest.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Rests, before reading more, as long as little can be done with it: until the queue is short, but never longer
    /// than `REST`, unless nothing may be dropped.
    pub async fn rest(&self) {
        if self.never_drops {
            return self.wait_until_short().await;
        }
        let queued = self.state().bytes;
        if self.memory.used() >= self.max_bytes {
            // As long as the output moves, that makes room soon.
            let rest = if self.is_overfull.load(Ordering::Relaxed) { REST_WHILE_FULL } else { REST };
            let room = tokio::time::timeout(rest, self.memory.wait_for_room()).await;
            self.is_overfull.store(room.is_err(), Ordering::Relaxed);
        } else if queued <= self.short {
            self.is_grown.store(false, Ordering::Relaxed);
        } else if queued >= SMALL.min(self.max_bytes) && !self.is_grown.load(Ordering::Relaxed) {
            let short = tokio::time::timeout(REST, self.wait_until_short()).await;
            self.is_grown.store(short.is_err(), Ordering::Relaxed);
        }
    }

    /// Waits until the pipeline has taken most of what is queued. What the sort window holds is no reason to wait: it may
    /// hold all that there is until the last event has come.
    async fn wait_until_short(&self) {
        loop {
            // Made before the check, so that what is taken after the check wakes it.
            let shortened = self.shortened.notified();
            if self.state().bytes <= self.short {
                return;
            }
            shortened.await;
        }
    }

    /// How much memory is in use by what has been taken, in bytes.
    #[must_use]
    pub fn in_use_outside(&self) -> usize {
        let queued = self.state().bytes;
        self.memory.used().saturating_sub(queued)
    }

    /// Queues messages that were read at `now`, or drops and counts them while all memory is in use.
    /// `before` is the message that came before them, if there was one.
    pub fn push(&self, remote: RemoteId, block: Block, now: Instant, before: &str) -> Pushed {
        let used = self.memory.used();
        let mut state = self.state();
        let is_dropping = state.dropping(remote).is_some();
        if !self.never_drops && (used >= self.max_bytes || (is_dropping && used > self.room)) {
            state.count_dropped(remote, block.len() as u64, before);
            return Pushed::Dropped;
        }
        let gap = if is_dropping { state.end_dropping(remote) } else { None };
        let block = Arc::new(block.charged_to(&self.memory));
        let complete_by = state.complete_by;
        state.add(Item::Messages { remote, block, arrived: now, complete_by });
        if state.thread_wanted {
            self.wake(state);
        }
        Pushed::Queued(gap)
    }

    /// Whether events of `remote` were dropped, and that has not been reported yet.
    #[must_use]
    pub fn is_dropping(&self, remote: RemoteId) -> bool {
        self.state().dropping(remote).is_some()
    }

    /// Waits until there is room again for what `remote` sends, although it sends nothing, and ends the gap of its
    /// dropped events, if there is one.
    pub async fn end_dropping(&self, remote: RemoteId) -> Option<Gap> {
        self.memory.wait_for_room().await;
        let mut state = self.state();
        let gap = state.end_dropping(remote);
        self.wake(state);
        gap
    }

    /// Queues what is small or must not be lost, however much waits.
    pub fn push_always(&self, item: Item) {
        let mut state = self.state();
        match (state.items.back_mut(), &item) {
            // However many come, they take no more room.
            (Some(Item::Binary(last, count)), Item::Binary(remote, more)) if last == remote => *count += more,
            _ => state.add(item),
        }
        self.wake(state);
    }

    /// Wakes whoever is to take what was queued.
    fn wake(&self, state: MutexGuard<'_, State>) {
        let thread_wanted = state.thread_wanted;
        drop(state);
        if thread_wanted {
            self.wanted.notify_one();
        } else {
            self.filled.notify_one();
        }
    }

    /// Queues the record of a gap that goes on, which is closed when the queue ends unless [`Queue::close_gap`] comes
    /// first.
    pub fn open_gap(&self, gap: Gap, since: Moment) {
        let mut state = self.state();
        state.open.retain(|(open, _)| open.remote != gap.remote || open.dropped > 0);
        state.open.push((gap.clone(), since));
        state.add(Item::Gap(gap));
        self.wake(state);
    }

    /// Events of `remote` come again: queues the record of the whole gap, and returns it.
    pub fn close_gap(&self, remote: RemoteId) -> Option<Gap> {
        let mut state = self.state();
        let index = state.open.iter().position(|(gap, _)| gap.remote == remote && gap.dropped == 0)?;
        let (gap, since) = state.open.swap_remove(index);
        let gap = closed(gap, since, true);
        state.add(Item::Gap(gap.clone()));
        self.wake(state);
        Some(gap)
    }

    /// Nothing more will come: closes the gaps that are still open, and returns them.
    pub fn end(&self) -> Vec<Gap> {
        let mut state = self.state();
        let open = std::mem::take(&mut state.open);
        let gaps: Vec<_> = open.into_iter().map(|(gap, since)| closed(gap, since, false)).collect();
        for gap in &gaps {
            state.add(Item::Gap(gap.clone()));
        }
        state.has_ended = true;
        state.thread_wanted = true;
        self.wake(state);
        gaps
    }

    /// Waits until something is queued for the pipeline's task. What the sources queue on the reading thread wakes nobody:
    /// the task is polled after them, in the same turn. So everything that came by then is queued.
    pub async fn filled(&self) {
        let filled = self.filled.notified();
        tokio::pin!(filled);
        poll_fn(|context| {
            let is_filled = {
                let mut state = self.state();
                if state.thread_wanted {
                    state.complete_by = Some(Instant::now());
                }
                !state.thread_wanted && !state.items.is_empty()
            };
            if is_filled { Poll::Ready(()) } else { filled.as_mut().poll(context) }
        })
        .await;
    }

    /// The next item, if one waits.
    pub fn take(&self) -> Option<Item> {
        let mut state = self.state();
        let item = state.items.pop_front()?;
        let before = state.bytes;
        state.bytes -= item.size();
        if (state.bytes..before).contains(&self.short) {
            self.shortened.notify_waiters();
        }
        Some(item)
    }

    /// Whether no item waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.state().items.is_empty()
    }

    /// Whether the pipeline's thread has been asked to take the items.
    #[must_use]
    pub fn is_threads(&self) -> bool {
        self.state().thread_wanted
    }

    /// Asks the pipeline's thread to take the items from now on, until it has caught up. Everything that came by `now` is
    /// queued.
    pub fn want_thread(&self, now: Instant) {
        let mut state = self.state();
        state.complete_by = Some(now);
        if !state.thread_wanted {
            state.thread_wanted = true;
            drop(state);
            self.wanted.notify_one();
        }
    }

    /// For the pipeline's thread: waits until it is asked to take items.
    pub fn wait_until_wanted(&self) {
        let mut state = self.state();
        while !state.thread_wanted {
            state = self.wanted.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// For the pipeline's thread, which has found no item: what it is to do now.
    pub fn thread_caught_up(&self) -> CaughtUp {
        let mut state = self.state();
        if !state.items.is_empty() {
            return CaughtUp::More;
        }
        if state.has_ended {
            return CaughtUp::Ended;
        }
        state.thread_wanted = false;
        CaughtUp::Rest(state.complete_by.take())
    }
}

/// What the pipeline's thread is to do when it has found no item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CaughtUp {
    /// Look again.
    More,
    /// Wait until it is wanted; the task on the reading thread takes the items. If a time is given, everything that came
    /// by then has been taken.
    Rest(Option<Instant>),
    /// Nothing more will come.
    Ended,
}

/// The gap as it is now.
fn closed(mut gap: Gap, since: Moment, is_over: bool) -> Gap {
    gap.end = Some(End { until: local_now(), seconds: since.elapsed().as_secs_f64(), is_over });
    gap
}

impl State {
    fn add(&mut self, item: Item) {
        if self.has_ended {
            return;
        }
        self.bytes += item.size();
        self.items.push_back(item);
        self.thread_wanted |= self.bytes > MAX_FOR_TASK;
    }

    fn dropping(&mut self, remote: RemoteId) -> Option<&mut (Gap, Moment)> {
        self.open.iter_mut().find(|(gap, _)| gap.remote == remote && gap.dropped > 0)
    }

    fn count_dropped(&mut self, remote: RemoteId, messages: u64, before: &str) {
        if let Some((gap, _)) = self.dropping(remote) {
            gap.dropped += messages;
            return;
        }
        let last_event = timestamp_of(before);
        let reason = "the reader of our output is slow, and --buffer is full".to_owned();
        let gap = Gap { remote, last_event, since: local_now(), end: None, reason, dropped: messages };
        self.open.push((gap, Moment::now()));
    }

    fn end_dropping(&mut self, remote: RemoteId) -> Option<Gap> {
        let index = self.open.iter().position(|(gap, _)| gap.remote == remote && gap.dropped > 0)?;
        let (gap, since) = self.open.swap_remove(index);
        let gap = closed(gap, since, true);
        self.add(Item::Gap(gap.clone()));
        Some(gap)
    }
}

impl Item {
    /// Its size in memory, in bytes.
    fn size(&self) -> usize {
        match self {
            Self::Messages { block, .. } | Self::Lines(_, block) => block.size(),
            Self::Binary(..) | Self::Gap(_) => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    fn block(size: usize) -> Block {
        let mut block = Block::with_capacity(size);
        block.push(&"x".repeat(size)).unwrap();
        block
    }

    fn push(queue: &Queue, mib: usize) -> Vec<Pushed> {
        (0..mib).map(|_| queue.push(RemoteId(0), block(MIB), Instant::now(), "")).collect()
    }

    fn dropped(pushed: &[Pushed]) -> usize {
        pushed.iter().filter(|pushed| matches!(pushed, Pushed::Dropped)).count()
    }

    #[test]
    fn a_gap_of_dropped_events_names_the_last_event_wherever_that_is() {
        let queue = Queue::new(MIB, false);
        // What was taken is in use too.
        push(&queue, 1);
        let taken = queue.take();
        let before = r#"{"type":"x","timestamp":"2026-11-25T12:00:00Z"}"#;
        assert!(matches!(queue.push(RemoteId(0), block(MIB), Instant::now(), before), Pushed::Dropped));
        drop(taken);
        let Pushed::Queued(Some(gap)) = queue.push(RemoteId(0), block(1), Instant::now(), "") else { panic!("no gap") };
        assert_eq!(gap.last_event.as_deref(), Some("2026-11-25T12:00:00Z"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_rests_while_much_waits_but_only_shortly() {
        let queue = Queue::new(64 * MIB, false);
        let begun = tokio::time::Instant::now();
        push(&queue, 7);
        queue.rest().await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
        push(&queue, 1);
        queue.rest().await;
        assert_eq!(begun.elapsed(), REST);
        // From then on the queue grows, without another rest.
        for _ in 0..50 {
            assert_eq!(dropped(&push(&queue, 1)), 0);
            queue.rest().await;
        }
        assert_eq!(begun.elapsed(), REST);
        // Little waits again: the next time that much waits, readers rest again.
        while queue.state().bytes > 2 * MIB {
            queue.take();
        }
        queue.rest().await;
        push(&queue, 8);
        queue.rest().await;
        assert_eq!(begun.elapsed(), 2 * REST);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_rests_while_the_sort_window_and_the_queue_take_all_memory_together() {
        let queue = Queue::new(8 * MIB, false);
        push(&queue, 4);
        let held: Vec<_> = std::iter::from_fn(|| queue.take()).collect();
        push(&queue, 4);
        let begun = tokio::time::Instant::now();
        let free = async {
            tokio::time::sleep(REST / 2).await;
            drop(held);
        };
        let rest = async {
            queue.rest().await;
            begun.elapsed()
        };
        assert_eq!(tokio::join!(rest, free).0, REST / 2);
        assert_eq!(dropped(&push(&queue, 3)), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_taken_wakes_a_reader_that_waits_for_ever() {
        let queue = Queue::new(64 * MIB, true);
        push(&queue, 8);
        let begun = tokio::time::Instant::now();
        let rest = queue.rest();
        let take = async {
            tokio::time::sleep(10 * REST).await;
            // What is taken need not be freed: the sort window may hold it.
            std::iter::from_fn(|| queue.take()).collect::<Vec<_>>()
        };
        let _held = tokio::join!(rest, take);
        // Nothing may be dropped here, so it rested for longer than a server would allow.
        assert_eq!(begun.elapsed(), 10 * REST);
    }

    #[tokio::test(start_paused = true)]
    async fn what_finds_no_room_is_counted_and_reported_where_it_is_missing() {
        let queue = Queue::new(16 * MIB, false);
        let pushed = push(&queue, 20);
        // One block may exceed what is allowed.
        assert!((4..=5).contains(&dropped(&pushed)), "{pushed:?}");
        let lost = dropped(&pushed) as u64;
        // Memory that is freed by less than a step ends nothing, so that gaps do not alternate with blocks.
        assert!(tokio::time::timeout(REST, queue.end_dropping(RemoteId(0))).await.is_err());
        let taken: Vec<_> = (0..3).map(|_| queue.take()).collect();
        drop(taken);
        let gap = queue.end_dropping(RemoteId(0)).await.unwrap();
        assert_eq!((gap.dropped, gap.end.unwrap().is_over), (lost, true));
        assert!(matches!(push(&queue, 1)[..], [Pushed::Queued(None)]));
        let kinds: Vec<_> = std::iter::from_fn(|| queue.take())
            .map(|item| matches!(item, Item::Gap(gap) if gap.dropped == lost))
            .collect();
        assert_eq!(kinds.iter().position(|is_gap| *is_gap), Some(kinds.len() - 2), "{kinds:?}");
    }

    #[test]
    fn what_the_sort_window_holds_makes_no_reader_rest_for_ever() {
        let queue = Queue::new(64 * MIB, true);
        push(&queue, 20);
        let held: Vec<_> = std::iter::from_fn(|| queue.take()).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(queue.rest());
        assert!(queue.memory().used() > 20 * MIB);
        drop(held);
    }

    #[test]
    fn the_end_closes_what_is_open() {
        let queue = Queue::new(MIB, false);
        let gap = Gap {
            remote: RemoteId(1),
            last_event: None,
            since: local_now(),
            end: None,
            reason: "lost".into(),
            dropped: 0,
        };
        queue.open_gap(gap, Moment::now());
        push(&queue, 4);
        let gaps = queue.end();
        assert_eq!(gaps.len(), 2);
        assert!(gaps.iter().all(|gap| gap.end.is_some_and(|end| !end.is_over)));
        // What comes later is of no interest.
        push(&queue, 1);
        let items: Vec<_> = std::iter::from_fn(|| queue.take()).collect();
        assert!(matches!(&items[..], [Item::Gap(_), .., Item::Gap(_), Item::Gap(_)]), "{items:?}");
        assert_eq!(queue.thread_caught_up(), CaughtUp::Ended);
    }
}
