//! The queue between the readers and the pipeline: blocks of messages in the order of arrival, bounded in memory.
//!
//! ```text
//!   memory in use
//!   max  ───────────────────────────────  above: the newest block is dropped and counted, reading continues
//!                        ↑
//!          a reader has rested for REST: the limit is `max` until the queue is short again
//!                        ↓
//!   SMALL ──────────────────────────────  queued bytes above this: readers rest, so the server waits (back-pressure)
//! ```
//!
//! `max` is what `--buffer` and the limit of virtual memory permit, or less while there is no memory for more.
//!
//! Readers rest before a read, so no message that was read waits with them. A rest is short whatever the output does:
//! LXD's writes time out after 5 s (`lxd/events/connections.go`), and Incus closes a connection with 1,000 queued
//! events.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::event::RemoteId;
use crate::event::gap::{End, Gap, timestamp_of};
use crate::event::message::{Block, Memory};
use crate::event::state::Kind;
use crate::system::clock::Moment;
use crate::system::clock::local_now;

/// Above this many queued bytes, readers rest to let the output catch up.
const SMALL: usize = 8 << 20;

/// How many bytes must be freed before a resting reader continues and before dropping ends. Waking a reader costs more
/// than queueing many messages, and one gap per dropped block would be noise.
const STEP: usize = 1 << 20;

/// The longest rest of a reader. At 4,000 events/s the server queues 1,000 events meanwhile, which is Incus' limit.
const REST: Duration = Duration::from_millis(250);

/// The rest of a reader whose messages are dropped anyway: short enough for every server, long enough to leave CPU time
/// to the threads that can free memory.
const REST_WHILE_FULL: Duration = Duration::from_millis(10);

/// With more queued bytes than this, the pipeline's thread decodes them, in parallel with the reading.
const MAX_FOR_TASK: usize = 16 << 10;

/// A connection that brings messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Feed {
    /// The remote.
    pub remote: RemoteId,
    /// With `--cluster`, the number of the member. 0 without.
    pub member: u16,
}

impl From<RemoteId> for Feed {
    fn from(remote: RemoteId) -> Self {
        Self { remote, member: 0 }
    }
}

/// What the pipeline takes from the queue.
#[derive(Debug)]
pub(crate) enum Item {
    /// Text messages.
    Messages {
        /// The connection that brought them.
        feed: Feed,
        /// The messages.
        block: Arc<Block>,
        /// When they were read.
        arrived: Instant,
        /// Everything that arrived by this time, from any remote, was queued before this item. `None` if unknown.
        complete_by: Option<Instant>,
    },
    /// Messages of a recording, and where they stand in it.
    Recorded(Lines, Arc<Block>),
    /// A number of messages of a remote that are not text and therefore not events.
    Binary(RemoteId, u64),
    /// Events of a remote are missing at this place.
    Gap(Gap),
    /// The first remote is a member of the same cluster as the second one.
    Joined(RemoteId, RemoteId),
    /// A step of the question for the present state of a remote, taken at this time.
    State(RemoteId, Stage, Instant),
}

/// A step of the question for the present state of a remote (`--state`).
#[derive(Debug)]
pub(crate) enum Stage {
    /// What is asked for another remote is true of this one, as both are members of one cluster.
    Same(RemoteId),
    /// The question is about to be sent. Events that arrive from here on can be newer than the answer.
    Asked,
    /// The answer: a state event for each instance or each running operation.
    Answer {
        /// What it is about.
        kind: Kind,
        /// The events.
        block: Arc<Block>,
        /// When it had come, as the events have it.
        at: String,
    },
}

/// Where the messages of a block stand in a recording.
#[derive(Debug)]
pub(crate) struct Lines {
    /// The name of the file.
    pub file: Arc<str>,
    /// For each message, the number of the line in which it begins.
    pub numbers: Box<[u64]>,
}

/// The queue.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    /// Wakes the pipeline's thread.
    wanted: Condvar,
    /// Wakes the pipeline's task, which runs on the reading thread.
    filled: Notify,
    /// Notified when the gap of a lost connection begins or ends.
    outages: Notify,
    /// Wakes resting readers once the queue is short.
    shortened: Notify,
    memory: Arc<Memory>,
    /// The queue is short while it holds no more bytes than this.
    short: usize,
    /// Messages are dropped while this much memory is in use, in bytes, until it has fallen to the mark of `memory`. It is
    /// `limit`, or a little less than what was in use when there was no memory for more.
    max_bytes: AtomicUsize,
    /// The most that `max_bytes` can be: what `--buffer` and the limit of virtual memory permit.
    limit: usize,
    /// Whether the queue can grow to `max_bytes`, because a reader has rested for `REST` in vain.
    is_grown: AtomicBool,
    /// Whether the last reader that rested for free memory got none.
    is_overfull: AtomicBool,
    /// Whether readers wait without limit and nothing is dropped (replay, demo).
    never_drops: bool,
}

#[derive(Debug, Default)]
struct State {
    items: VecDeque<Item>,
    /// The memory of `items`, in bytes.
    bytes: usize,
    /// Whether the pipeline's thread takes the items. Otherwise its task on the reading thread does.
    thread_wanted: bool,
    /// Whether the pipeline's thread waits to be asked. Waking nobody would still cost a system call per item.
    thread_waits: bool,
    /// Everything that arrived by this time is in `items` or has been taken.
    complete_by: Option<Instant>,
    has_ended: bool,
    /// Gaps that have not ended: for each connection at most one of its loss and one of dropped events.
    open: Vec<Open>,
}

/// A gap that has not ended.
#[derive(Debug)]
struct Open {
    feed: Feed,
    gap: Gap,
    since: Moment,
}

/// The outcome of a push.
#[derive(Debug)]
pub(crate) enum Pushed {
    /// The block is queued, behind the gap record of the messages that were dropped before it, if any.
    Queued(Option<Gap>),
    /// The block was dropped and its messages counted: all memory is in use.
    Dropped,
}

impl Queue {
    /// A queue that drops messages once about `max_bytes` of memory are in use. With `never_drops`, readers wait
    /// without limit instead.
    #[must_use]
    pub(crate) fn new(max_bytes: usize, never_drops: bool) -> Self {
        let small = SMALL.min(max_bytes);
        Self {
            state: Mutex::default(),
            wanted: Condvar::new(),
            filled: Notify::new(),
            outages: Notify::new(),
            shortened: Notify::new(),
            memory: Arc::new(Memory::new(room(max_bytes))),
            short: small - STEP.min(small / 2),
            max_bytes: max_bytes.into(),
            limit: max_bytes,
            is_grown: AtomicBool::new(false),
            is_overfull: AtomicBool::new(false),
            never_drops,
        }
    }

    /// Counts the memory of all messages that wait, here and in the pipeline.
    #[must_use]
    pub(crate) fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic in another thread ends the process (`panic = "abort"`), so a release build never sees a poisoned
        // lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Back-pressure, to be awaited before each read: waits until the queue is short or memory is free, for at most
    /// `REST`. If nothing can be dropped, waits for a short queue without limit.
    pub(crate) async fn rest(&self) {
        if self.never_drops {
            return self.wait_until_short().await;
        }
        let queued = self.state().bytes;
        if self.memory.used() >= self.max_bytes() {
            // While the output accepts data, a full rest frees memory. If the last one did not, the next is short.
            let rest = if self.is_overfull.load(Ordering::Relaxed) { REST_WHILE_FULL } else { REST };
            let room = tokio::time::timeout(rest, self.memory.wait_for_room()).await;
            self.is_overfull.store(room.is_err(), Ordering::Relaxed);
        } else if queued <= self.short {
            self.is_grown.store(false, Ordering::Relaxed);
            if queued == 0 {
                // What took the memory may be gone.
                self.set_max(self.limit);
            }
        } else if queued >= SMALL.min(self.limit) && !self.is_grown.load(Ordering::Relaxed) {
            let short = tokio::time::timeout(REST, self.wait_until_short()).await;
            self.is_grown.store(short.is_err(), Ordering::Relaxed);
        }
    }

    /// Waits until the pipeline has taken most of the queue. The content of the sort window does not count: a window
    /// can hold every event until the last one has arrived, so a wait for it would never end.
    async fn wait_until_short(&self) {
        loop {
            // Created before the check, so that an item that is taken after the check wakes it.
            let shortened = self.shortened.notified();
            if self.state().bytes <= self.short {
                return;
            }
            shortened.await;
        }
    }

    /// The memory of messages that were taken and are still in use, in bytes.
    #[must_use]
    pub(crate) fn in_use_outside(&self) -> usize {
        let queued = self.state().bytes;
        self.memory.used().saturating_sub(queued)
    }

    fn max_bytes(&self) -> usize {
        self.max_bytes.load(Ordering::Relaxed)
    }

    fn set_max(&self, bytes: usize) {
        if self.max_bytes() != bytes {
            self.max_bytes.store(bytes, Ordering::Relaxed);
            self.memory.set_mark(room(bytes));
        }
    }

    /// Queues the messages of `read`, which were read at `now`. While all memory is in use, drops and counts them instead.
    /// `before` is the message that preceded them, empty if there was none. Leaves `read` empty.
    pub(crate) fn push(&self, feed: Feed, read: &mut Block, now: Instant, before: &str) -> Pushed {
        let messages = read.len() as u64;
        let used = self.memory.used();
        let closed = read.close(&self.memory);
        if closed.is_err() {
            read.clear();
            // For now, there is no more memory than this. The rest of the program needs some, too.
            self.set_max((used - used / 8).max(STEP));
        }
        let mut state = self.state();
        let is_dropping = state.dropping(feed).is_some();
        let is_full = used >= self.max_bytes() || (is_dropping && !self.memory.has_room());
        let block = match closed {
            Ok(block) if self.never_drops || !is_full => block,
            closed => {
                let why = if closed.is_ok() { "--buffer is full" } else { "there is no memory for more events" };
                state.count_dropped(feed, messages, before, why);
                return Pushed::Dropped;
            }
        };
        let gap = if is_dropping { state.end_dropping(feed) } else { None };
        let block = Arc::new(block.charged_to(&self.memory));
        let complete_by = state.complete_by;
        state.add(Item::Messages { feed, block, arrived: now, complete_by });
        if state.thread_wanted {
            self.wake(state);
        }
        Pushed::Queued(gap)
    }

    /// Whether events of `feed` were dropped and the gap has not been reported yet.
    #[must_use]
    pub(crate) fn is_dropping(&self, feed: Feed) -> bool {
        self.state().dropping(feed).is_some()
    }

    /// Waits for free memory and ends the gap of the dropped events of `feed`, if there is one. Needed while `feed`
    /// brings nothing: a push would end the gap as well.
    pub(crate) async fn end_dropping(&self, feed: Feed) -> Option<Gap> {
        self.memory.wait_for_room().await;
        let mut state = self.state();
        let gap = state.end_dropping(feed);
        self.wake(state);
        gap
    }

    /// Queues an item regardless of the limits: it is small or must not be lost.
    pub(crate) fn push_always(&self, item: Item) {
        let mut state = self.state();
        match (state.items.back_mut(), &item) {
            // Merged, so that any number of binary messages takes the memory of one item.
            (Some(Item::Binary(last, count)), Item::Binary(remote, more)) if last == remote => *count += more,
            _ => state.add(item),
        }
        self.wake(state);
    }

    /// Wakes the thread or the task that takes the items.
    fn wake(&self, state: MutexGuard<'_, State>) {
        let State { thread_wanted, thread_waits, .. } = *state;
        drop(state);
        match (thread_wanted, thread_waits) {
            (true, true) => self.wanted.notify_one(),
            (true, false) => {}
            (false, _) => self.filled.notify_one(),
        }
    }

    /// Queues the record of a lost connection whose gap lasts until [`Queue::close_gap`], or else [`Queue::end`].
    /// Replaces an open gap of the same connection.
    pub(crate) fn open_gap(&self, feed: Feed, gap: Gap, since: Moment) {
        let mut state = self.state();
        state.open.retain(|open| open.feed != feed || open.gap.dropped > 0);
        state.open.push(Open { feed, gap: gap.clone(), since });
        state.add(Item::Gap(gap));
        self.wake(state);
        self.outages.notify_waiters();
    }

    /// For a connection that is made again: queues the record of the whole gap, if there is one, and returns it.
    pub(crate) fn close_gap(&self, feed: Feed) -> Option<Gap> {
        let mut state = self.state();
        let index = state.open.iter().position(|open| open.feed == feed && open.gap.dropped == 0)?;
        let Open { gap, since, .. } = state.open.swap_remove(index);
        let gap = closed(gap, since, true);
        state.add(Item::Gap(gap.clone()));
        self.wake(state);
        self.outages.notify_waiters();
        Some(gap)
    }

    /// The gaps of lost connections that have not ended.
    #[must_use]
    pub(crate) fn open_outages(&self) -> Vec<Gap> {
        let state = self.state();
        state.open.iter().map(|open| &open.gap).filter(|gap| gap.dropped == 0).cloned().collect()
    }

    /// Waits until the gap of a lost connection begins or ends, from this call on.
    pub(crate) fn outage(&self) -> Notified<'_> {
        self.outages.notified()
    }

    /// Ends the queue: closes the gaps that are still open, and returns them. Later items are ignored.
    pub(crate) fn end(&self) -> Vec<Gap> {
        let mut state = self.state();
        let open = std::mem::take(&mut state.open);
        let gaps: Vec<_> = open.into_iter().map(|Open { gap, since, .. }| closed(gap, since, false)).collect();
        for gap in &gaps {
            state.add(Item::Gap(gap.clone()));
        }
        state.has_ended = true;
        state.thread_wanted = true;
        self.wake(state);
        gaps
    }

    /// Waits until something is queued for the pipeline's task. [`Queue::push`] does not wake the task: the sources run
    /// on the same thread, and the task is polled after them, in the same turn. So at each poll, everything that has
    /// been read is queued.
    pub(crate) async fn filled(&self) {
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

    /// The next item, if there is one.
    pub(crate) fn take(&self) -> Option<Item> {
        let mut state = self.state();
        let item = state.items.pop_front()?;
        let before = state.bytes;
        state.bytes -= item.size();
        if (state.bytes..before).contains(&self.short) {
            self.shortened.notify_waiters();
        }
        Some(item)
    }

    /// Whether the queue has no item.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.state().items.is_empty()
    }

    /// Whether the pipeline's thread has been asked to take the items.
    #[must_use]
    pub(crate) fn is_threads(&self) -> bool {
        self.state().thread_wanted
    }

    /// Makes the pipeline's thread take the items until it has caught up. Everything that arrived by `now` must be
    /// queued.
    pub(crate) fn want_thread(&self, now: Instant) {
        let mut state = self.state();
        state.complete_by = Some(now);
        if !state.thread_wanted {
            state.thread_wanted = true;
            self.wake(state);
        }
    }

    /// Called by the pipeline's thread: waits until it is asked to take items.
    pub(crate) fn wait_until_wanted(&self) {
        let mut state = self.state();
        state.thread_waits = true;
        while !state.thread_wanted {
            state = self.wanted.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.thread_waits = false;
    }

    /// Called by the pipeline's thread after it found no item: what it does next.
    pub(crate) fn thread_caught_up(&self) -> CaughtUp {
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

/// What the pipeline's thread does when it has found no item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CaughtUp {
    /// Look again: an item was queued meanwhile.
    More,
    /// Wait until it is wanted again; the task on the reading thread takes the items. Everything that arrived by the
    /// given time, if any, has been taken.
    Rest(Option<Instant>),
    /// End: no item will come.
    Ended,
}

/// The amount of memory in use at which dropping ends, in bytes, for the one at which it begins.
fn room(max_bytes: usize) -> usize {
    max_bytes - STEP.min(max_bytes / 2)
}

/// The gap with its end: now.
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

    fn dropping(&mut self, feed: Feed) -> Option<&mut Open> {
        self.open.iter_mut().find(|open| open.feed == feed && open.gap.dropped > 0)
    }

    fn count_dropped(&mut self, feed: Feed, messages: u64, before: &str, why: &str) {
        if let Some(open) = self.dropping(feed) {
            open.gap.dropped += messages;
            return;
        }
        let last_event = timestamp_of(before);
        let reason = format!("the reader of our output is slow, and {why}");
        let gap = Gap { remote: feed.remote, last_event, since: local_now(), end: None, reason, dropped: messages };
        self.open.push(Open { feed, gap, since: Moment::now() });
    }

    fn end_dropping(&mut self, feed: Feed) -> Option<Gap> {
        let index = self.open.iter().position(|open| open.feed == feed && open.gap.dropped > 0)?;
        let Open { gap, since, .. } = self.open.swap_remove(index);
        let gap = closed(gap, since, true);
        self.add(Item::Gap(gap.clone()));
        Some(gap)
    }
}

impl Item {
    /// The memory of the messages in it, in bytes.
    fn size(&self) -> usize {
        match self {
            Self::Messages { block, .. }
            | Self::Recorded(_, block)
            | Self::State(_, Stage::Answer { block, .. }, _) => block.size(),
            Self::Binary(..) | Self::Gap(_) | Self::Joined(..) | Self::State(..) => 0,
        }
    }
}

#[cfg(test)]
mod tests;
