//! What lies between the readers and the writer: messages in the order of their arrival, bounded in bytes.
//!
//! Readers never wait for a stopped output, and never run away from one that moves. While the output takes anything,
//! the queue stays small and readers wait for room: the servers allow a write 5 s (LXD `lxd/events`). Once the output
//! has taken nothing for a second, the queue may grow to its full size, so that the connections survive; when that is
//! used up too, the newest messages are dropped and counted.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::event::{Message, RemoteId, Unreadable};
use crate::gap::Gap;

/// How many bytes may wait while the output moves.
const SMALL: usize = 8 << 20;

/// An output that has taken nothing for this long is stopped. Well below the 5 s after which LXD cuts us off.
const STALLED: Duration = Duration::from_secs(1);

/// What a message costs beside its text.
const OVERHEAD: usize = 64;

/// How many items are taken at once. They are passed on from hand to hand and used again, so that neither a long queue
/// nor a long stream has to be moved as it grows.
const BLOCK: usize = 512;

/// How many used blocks are kept: as many as a queue of the usual length has of short messages.
const SPARE: usize = SMALL / OVERHEAD / BLOCK / 2;

/// What the writer gets to see.
#[derive(Debug)]
pub enum Item {
    /// The items that follow arrived at this time.
    Arrived(Instant),
    /// Everything that came by this time stands before it.
    Time(Instant),
    /// A message of a remote.
    Message(RemoteId, Message),
    /// A line of a recording, with its number.
    Line(u64, Message),
    /// A message of a remote that is no text, and so no event.
    Unreadable(RemoteId, Unreadable),
    /// Events are missing here.
    Gap(Gap),
}

/// Why [`Queue::take`] came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// There are items.
    Items,
    /// There are no items and never will be.
    End,
}

/// What a reader may do with its next message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Room {
    /// Queue it.
    Free,
    /// Drop it: there is no room, and there will be none soon.
    None,
}

/// The queue.
#[derive(Debug)]
pub struct Queue {
    state: Mutex<State>,
    filled: Condvar,
    drained: Notify,
    asked: Notify,
    /// Readers push one after the other, in the order in which they asked: none falls behind the others.
    turn: tokio::sync::Mutex<()>,
    /// How many bytes may wait while the output is stopped.
    full: usize,
    /// Whether readers wait for ever rather than drop (replay, demo).
    patient: bool,
}

#[derive(Debug)]
struct State {
    /// What waits, in blocks of at most [`BLOCK`] items.
    blocks: VecDeque<Vec<Item>>,
    /// Empty blocks.
    spare: Vec<Vec<Item>>,
    /// Bytes that were pushed and not yet released.
    bytes: usize,
    /// How many bytes may wait just now.
    limit: usize,
    /// Since when the writer has been inside one write.
    writing_since: Option<Instant>,
    /// What was dropped and not yet told, at most one gap a remote.
    dropped: Vec<Gap>,
    /// When to tell the time next.
    asked_for: Option<Instant>,
    ended: bool,
}

impl Queue {
    /// A queue for at most `full` bytes. With `patient`, pushing waits for ever and drops nothing.
    #[must_use]
    pub fn new(full: usize, patient: bool) -> Self {
        let state = State {
            blocks: VecDeque::new(),
            spare: Vec::new(),
            bytes: 0,
            limit: SMALL.min(full),
            writing_since: None,
            dropped: Vec::new(),
            asked_for: None,
            ended: false,
        };
        Self {
            state: Mutex::new(state),
            filled: Condvar::new(),
            drained: Notify::new(),
            asked: Notify::new(),
            turn: tokio::sync::Mutex::default(),
            full,
            patient,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic in the other thread ends the process (panic=abort), so a poisoned lock is never seen in earnest.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds the messages that a remote sent in one burst, waiting for room where that is right. Those for which there
    /// is none are dropped, and a gap is queued in their place as soon as there is room again.
    pub async fn push(&self, remote: RemoteId, burst: &mut Vec<Item>) {
        let _turn = self.turn.lock().await;
        let mut pending = burst.drain(..).peekable();
        while pending.peek().is_some() {
            let room = self.room().await;
            let mut state = self.state();
            match room {
                Room::Free => {
                    state.tell_dropped(remote);
                    // Waiting for room is our own doing: nothing is late because of it.
                    state.add(Item::Arrived(Instant::now()));
                    while state.bytes < state.limit {
                        let Some(item) = pending.next() else { break };
                        state.add(item);
                    }
                    drop(state);
                    self.filled.notify_one();
                }
                Room::None => {
                    pending.next();
                    state.count_dropped(remote);
                }
            }
        }
    }

    /// Adds what must not be lost, whatever room there is.
    pub fn push_always(&self, item: Item) {
        self.state().add(item);
        self.filled.notify_one();
    }

    /// Waits until there is room, or until it is clear that there will be none soon.
    async fn room(&self) -> Room {
        loop {
            let drained = self.drained.notified();
            let stalled_in = {
                let mut state = self.state();
                if state.bytes < state.limit {
                    return Room::Free;
                }
                match state.writing_since.map(|since| since.elapsed()) {
                    Some(stalled) if stalled >= STALLED && !self.patient => {
                        if state.bytes >= self.full {
                            return Room::None;
                        }
                        state.limit = self.full;
                        return Room::Free;
                    }
                    Some(stalled) => STALLED.saturating_sub(stalled),
                    None => STALLED,
                }
            };
            if self.patient {
                drained.await;
            } else {
                // Either outcome is looked at above.
                let _ = tokio::time::timeout(stalled_in.max(Duration::from_millis(1)), drained).await;
            }
        }
    }

    /// Says that nothing more will come.
    pub fn end(&self) {
        let mut state = self.state();
        while let Some(gap) = state.dropped.pop() {
            state.add(Item::Gap(gap.until_now()));
        }
        state.ended = true;
        drop(state);
        self.filled.notify_one();
    }

    /// Waits for items and puts some of them into the empty `items`. From `deadline` on there will be an [`Item::Time`].
    pub fn take(&self, items: &mut Vec<Item>, deadline: Option<Instant>) -> Taken {
        let mut state = self.state();
        if deadline.is_some() && state.asked_for.is_none() {
            state.asked_for = deadline;
            self.asked.notify_one();
        }
        loop {
            if let Some(block) = state.blocks.pop_front() {
                let empty = std::mem::replace(items, block);
                if state.spare.len() < SPARE {
                    state.spare.push(empty);
                }
                return Taken::Items;
            }
            if state.ended {
                return Taken::End;
            }
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Tells the time at the deadlines that [`Queue::take`] is given, once all that has come by then is queued. Only
    /// the thread that reads knows that: what it has not read for want of time is not late.
    pub async fn tell_time(&self) {
        loop {
            self.asked.notified().await;
            let Some(deadline) = self.state().asked_for else { continue };
            tokio::time::sleep_until(deadline.into()).await;
            let now = Instant::now();
            // The first lets the runtime ask the sockets once more, the second lets those be read that have something.
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
            // Those who have something and wait for room come first.
            let _turn = self.turn.lock().await;
            self.state().asked_for = None;
            self.push_always(Item::Time(now));
        }
    }

    /// Whether something waits for the writer.
    #[must_use]
    pub fn has_items(&self) -> bool {
        !self.state().blocks.is_empty()
    }

    /// The writer is done with items of this size together.
    pub fn release(&self, bytes: usize) {
        if bytes == 0 {
            return;
        }
        let mut state = self.state();
        let before = self.is_roomy(&state);
        state.bytes = state.bytes.saturating_sub(bytes);
        // After a stop the queue shrinks back by half of what is written, so that reading goes on meanwhile.
        state.limit = state.limit.saturating_sub(bytes / 2).max(SMALL.min(self.full));
        let after = self.is_roomy(&state);
        drop(state);
        if after && !before {
            self.drained.notify_waiters();
        }
    }

    /// Whether waking a reader pays: it costs more than queueing many messages.
    fn is_roomy(&self, state: &State) -> bool {
        state.bytes + SMALL.min(self.full) / 2 <= state.limit
    }

    /// The writer enters a write, or goes on with one that has not taken anything; since when.
    pub fn writing(&self) -> Instant {
        *self.state().writing_since.get_or_insert_with(Instant::now)
    }

    /// The write took something.
    pub fn written(&self) {
        self.state().writing_since = None;
    }
}

impl State {
    fn add(&mut self, item: Item) {
        self.bytes += item.size();
        if let Some(block) = self.blocks.back_mut().filter(|block| block.len() < BLOCK) {
            return block.push(item);
        }
        let mut block = self.spare.pop().unwrap_or_else(|| Vec::with_capacity(BLOCK));
        block.push(item);
        self.blocks.push_back(block);
    }

    fn count_dropped(&mut self, remote: RemoteId) {
        match self.dropped.iter_mut().find(|gap| gap.remote == remote) {
            Some(gap) => gap.dropped += 1,
            None => self.dropped.push(Gap::dropped(remote)),
        }
    }

    fn tell_dropped(&mut self, remote: RemoteId) {
        if let Some(index) = self.dropped.iter().position(|gap| gap.remote == remote) {
            let gap = self.dropped.swap_remove(index);
            self.add(Item::Gap(gap.until_now()));
        }
    }
}

impl Item {
    /// What the item counts in the queue, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Self::Message(_, message) | Self::Line(_, message) => message.len() + OVERHEAD,
            Self::Arrived(_) | Self::Time(_) | Self::Unreadable(..) | Self::Gap(_) => OVERHEAD,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn burst(count: usize, size: usize) -> Vec<Item> {
        let text = "x".repeat(size - OVERHEAD);
        (0..count).map(|_| Item::Message(RemoteId::default(), Message::from(text.as_str()))).collect()
    }

    fn messages(items: &[Item]) -> usize {
        items.iter().filter(|item| matches!(item, Item::Message(..))).count()
    }

    fn block_on<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
    }

    #[test]
    fn a_stopped_output_lets_it_grow_to_the_limit_and_then_drops_the_newest() {
        let queue = Queue::new(16 << 20, false);
        let remote = RemoteId::default();
        queue.writing();
        // 20 MiB: 16 of them fit.
        block_on(queue.push(remote, &mut burst(20, 1 << 20)));
        let mut items = Vec::new();
        assert_eq!(queue.take(&mut items, None), Taken::Items);
        assert_eq!(messages(&items), 16);
        items.clear();
        queue.written();
        queue.release(16 << 20);
        block_on(queue.push(remote, &mut burst(1, 1 << 20)));
        assert_eq!(queue.take(&mut items, None), Taken::Items);
        assert!(
            matches!(&items[..], [Item::Gap(gap), Item::Arrived(_), Item::Message(..)] if gap.dropped == 4),
            "{items:?}"
        );
    }

    #[test]
    fn what_was_dropped_last_is_told_at_the_end() {
        let queue = Queue::new(1 << 20, false);
        queue.writing();
        block_on(queue.push(RemoteId::default(), &mut burst(3, 1 << 20)));
        queue.end();
        let mut items = Vec::new();
        assert_eq!(queue.take(&mut items, None), Taken::Items);
        assert!(
            matches!(&items[..], [Item::Arrived(_), Item::Message(..), Item::Gap(gap)] if gap.dropped == 2),
            "{items:?}"
        );
        items.clear();
        assert_eq!(queue.take(&mut items, None), Taken::End);
    }

    #[test]
    fn a_moving_output_makes_the_reader_wait_and_loses_nothing() {
        let queue = Arc::new(Queue::new(64 << 20, false));
        let writer = std::thread::spawn({
            let queue = Arc::clone(&queue);
            move || {
                let (mut items, mut seen, mut most) = (Vec::new(), 0, 0);
                while queue.take(&mut items, None) == Taken::Items {
                    most = most.max(queue.state().bytes);
                    seen += messages(&items);
                    for item in items.drain(..) {
                        queue.writing();
                        queue.written();
                        queue.release(item.size());
                    }
                }
                (seen, most)
            }
        });
        block_on(async {
            for _ in 0..100 {
                queue.push(RemoteId::default(), &mut burst(10, 256 << 10)).await;
            }
        });
        queue.end();
        let (seen, most) = writer.join().unwrap();
        assert_eq!(seen, 1000);
        assert!(most <= SMALL + (256 << 10), "{most}");
    }

    #[test]
    fn a_patient_queue_waits_for_a_stopped_output() {
        let queue = Arc::new(Queue::new(1 << 20, true));
        queue.writing();
        let writer = std::thread::spawn({
            let queue = Arc::clone(&queue);
            move || {
                std::thread::sleep(STALLED + STALLED / 4);
                queue.written();
                let (mut items, mut seen) = (Vec::new(), 0);
                while queue.take(&mut items, None) == Taken::Items {
                    seen += messages(&items);
                    for item in items.drain(..) {
                        queue.release(item.size());
                    }
                }
                seen
            }
        });
        block_on(queue.push(RemoteId::default(), &mut burst(8, 256 << 10)));
        queue.end();
        assert_eq!(writer.join().unwrap(), 8);
    }
}
