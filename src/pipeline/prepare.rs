//! The middle step of the pipeline: decodes messages, filters events, sorts them in the window, and collects them in
//! batches.

use std::sync::Arc;
use std::time::Instant;

use super::dedup::Dedup;
use super::known::{Known, Printed};
use super::recorded::RecordedRemotes;
use super::window::{Held, Window};
use crate::event::gap::Gap;
use crate::event::message::{Block, Memory};
use crate::event::{Event, Fate, Malformed, Message, RemoteId, Spare};
use crate::filter::Filter;
use crate::queue::{Feed, Item, Lines, Stage};
use crate::transform::Transform;

/// A batch with this many bytes of text is full.
const FULL: usize = 96 << 10;

/// If less than `1 / SPARSE` of a block passes the filter, its events are copied into a new block before they wait in
/// the window, so that the original block can be freed.
const SPARSE: usize = 2;

/// The maximum number of spares that are kept: as many as a window of the default length needs under load.
const MAX_SPARES: usize = 8192;

/// An item of a batch.
#[derive(Debug)]
pub(crate) enum Prepared {
    /// An event that passed the filter and has left the window.
    Event(Event),
    /// A gap: events are missing here.
    Gap(Gap),
    /// A message that is not an event; if it is from a recording, with the file and the number of its line.
    Malformed(RemoteId, Option<(Arc<str>, u64)>, Malformed, Message),
    /// A number of binary messages, which events never are.
    Binary(RemoteId, u64),
}

/// Items for the next step. The next step returns the batch without items, and with spares.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// The items in the order in which they are to be written.
    pub prepared: Vec<Prepared>,
    /// The allocations of written events.
    pub spares: Vec<Spare>,
    /// The names of further remotes, of which the items are the first.
    pub names: Vec<String>,
}

/// Where a block comes from.
enum Origin {
    /// A server: its connection, and the time of arrival.
    Server(Feed, Instant),
    /// A recording: where the messages stand in it.
    Recording(Lines),
}

/// What an event passes before the window.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    /// What is selected.
    pub filter: Filter,
    /// Leaves out what another connection has brought. `None` if there is only one connection.
    pub dedup: Option<Dedup>,
    /// Makes state events of the answers of servers (`--state`).
    pub known: Option<Known>,
    /// Changes selected events (`--redact`, `--jq`).
    pub transform: Option<Transform>,
    /// Whether events are rendered from their text alone. Then their tapes are reused at once.
    pub text_only: bool,
}

/// The decoder, the steps, the window and the current batch.
#[derive(Debug)]
pub(crate) struct Prepare {
    steps: Steps,
    recorded: RecordedRemotes,
    window: Window,
    /// The maximum memory use outside of the queue, in bytes. Beyond it, events are released from the window early.
    max_held: usize,
    memory: Arc<Memory>,
    /// The memory use of the events in the window without their texts that is counted in `memory`, in bytes.
    tape_bytes: usize,
    batch: Batch,
    /// The length of the texts in the batch, in bytes.
    batch_bytes: usize,
    /// Allocations for reuse.
    spares: Vec<Spare>,
    /// The events of the current block that passed the filter.
    wanted: Vec<Event>,
}

impl Prepare {
    /// Creates the step. Events that pass `steps` are held in `window`. Their tapes are counted in `memory`, and events are
    /// released early while more than about `max_held` bytes are in use outside of the queue.
    #[must_use]
    pub(crate) fn new(steps: Steps, window: Window, max_held: usize, memory: Arc<Memory>) -> Self {
        Self {
            steps,
            recorded: RecordedRemotes::default(),
            window,
            max_held,
            memory,
            tape_bytes: 0,
            batch: Batch::default(),
            batch_bytes: 0,
            spares: Vec::new(),
            wanted: Vec::new(),
        }
    }

    /// Decodes and filters one item of the queue, puts its events into the window, and adds the events that are due to
    /// the batch until it is full. `in_use` is the memory in use outside of the queue, in bytes. This does not advance the
    /// window beyond `complete_by`, as other connections may have unread events that arrived before this item.
    pub(crate) fn admit(&mut self, item: Item, in_use: usize) {
        match item {
            Item::Messages { feed, block, arrived, complete_by } => {
                self.decode(&block, &Origin::Server(feed, arrived));
                self.window.push_all(self.wanted.drain(..), Some(arrived));
                if let Some(complete_by) = complete_by {
                    self.window.advance(complete_by);
                }
            }
            Item::Recorded(lines, block) => {
                self.decode(&block, &Origin::Recording(lines));
                self.window.push_all(self.wanted.drain(..), None);
            }
            Item::Binary(remote, count) => self.batch.prepared.push(Prepared::Binary(remote, count)),
            Item::Gap(gap) => self.window.push_gap(gap),
            Item::Joined(remote, other) => self.window.join(remote, other),
            Item::State(remote, stage, at) => self.advance_known(remote, &stage, at),
        }
        self.release_due();
        self.release_early(in_use.saturating_sub(self.max_held));
    }

    /// Adds the events that are due at `now` to the batch until it is full. All events that arrived by `now` must have
    /// been admitted.
    pub(crate) fn advance(&mut self, now: Instant) {
        self.window.advance(now);
        self.release_due();
    }

    /// For use when the queue is empty: adds further events that are due to the batch until it is full. If nearly all
    /// memory is in use nevertheless, releases events for one batch early. Returns whether the batch has items.
    pub(crate) fn make_room(&mut self) -> bool {
        self.release_due();
        if !self.memory.has_room() {
            self.release_early(FULL);
        }
        !self.batch.prepared.is_empty()
    }

    /// Adds held events, due or not, to the batch until it is full. No more items will be admitted. Returns whether the
    /// batch has items.
    pub(crate) fn finish(&mut self) -> bool {
        while !self.is_full()
            && let Some(held) = self.window.drain()
        {
            self.add(held);
        }
        self.count_tapes();
        !self.batch.prepared.is_empty()
    }

    /// When [`Prepare::advance`] must be called next, if no event arrives before.
    #[must_use]
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.window.deadline()
    }

    /// Whether the batch is full.
    #[must_use]
    pub(crate) fn is_full(&self) -> bool {
        self.batch_bytes >= FULL
    }

    /// Returns the batch unless it is empty, and replaces it by a `used` one. After a full one, more may be due.
    pub(crate) fn take_batch(&mut self, used: impl FnOnce() -> Option<Batch>) -> Option<Batch> {
        if self.batch.prepared.is_empty() {
            return None;
        }
        let mut next = used().unwrap_or_default();
        self.spares.append(&mut next.spares);
        self.spares.truncate(MAX_SPARES);
        self.batch_bytes = 0;
        Some(std::mem::replace(&mut self.batch, next))
    }

    /// Reuses the allocations of a batch that was delivered.
    pub(crate) fn return_batch(&mut self, mut used: Batch) {
        self.spares.append(&mut used.spares);
        if self.batch.prepared.is_empty() {
            self.batch.prepared = used.prepared;
        }
    }

    /// Decodes and filters the messages of a block, and puts those that pass and are no doubles into `wanted`.
    fn decode(&mut self, block: &Arc<Block>, origin: &Origin) {
        let (remote, lines) = match origin {
            Origin::Server(Feed { remote, .. }, _) => (*remote, None),
            Origin::Recording(lines) => (RemoteId::default(), Some(lines)),
        };
        for index in 0..block.len() {
            let mut decoded = Event::decode(block.message(index), remote, self.spares.pop());
            if let (Some(_), Ok(event)) = (lines, &mut decoded) {
                self.batch.names.extend(self.recorded.assign(event));
            }
            match decoded {
                Ok(mut event) => {
                    // Also from events that are not selected.
                    if let Some(known) = &mut self.steps.known {
                        known.learn(&event);
                    }
                    if self.steps.filter.decides(&mut event) {
                        // The failure that ends the program is described from its parts.
                        if self.steps.text_only && self.steps.transform.is_none() && event.fate() == Fate::Printed {
                            self.spares.extend(event.strip());
                        }
                        self.wanted.push(event);
                    } else {
                        self.spares.extend(event.into_spare());
                    }
                }
                Err(rejected) => {
                    let line = lines.map(|lines| (Arc::clone(&lines.file), lines.numbers[index]));
                    // The message goes into the batch directly, as the window only sorts events.
                    let message = rejected.message;
                    self.batch_bytes += message.byte_len() + size_of::<Prepared>();
                    self.batch.prepared.push(Prepared::Malformed(remote, line, rejected.why, message));
                    self.spares.push(rejected.spare);
                }
            }
        }
        if let (Some(dedup), Origin::Server(feed, arrived)) = (&mut self.steps.dedup, origin) {
            let doubles = self.wanted.extract_if(.., |event| !dedup.is_new(event, *feed, *arrived));
            self.spares.extend(doubles.filter_map(Event::into_spare));
        }
        self.transform_wanted();
        let kept: usize = self.wanted.iter().map(|event| event.message().byte_len()).sum();
        if !self.wanted.is_empty() && kept * SPARSE < block.text_len() && !self.window.is_zero() {
            self.copy_wanted(kept);
        }
    }

    /// Changes the wanted events as was asked for.
    fn transform_wanted(&mut self) {
        let Some(transform) = &mut self.steps.transform else { return };
        transform.apply(&mut self.wanted, &mut self.spares, &self.memory);
        if self.steps.text_only {
            let printed = self.wanted.iter_mut().filter(|event| event.fate() == Fate::Printed);
            self.spares.extend(printed.filter_map(Event::strip));
        }
    }

    /// Takes a step of the question for the present state, and puts the selected state events into the window.
    fn advance_known(&mut self, remote: RemoteId, stage: &Stage, at: Instant) {
        let Some(known) = &mut self.steps.known else { return };
        for printed in known.advance(remote, stage) {
            let message = match (printed, stage) {
                (Printed::Text(text), _) => Message::from(text),
                (Printed::Message(index), Stage::Answer { block, .. }) => block.message(index),
                (Printed::Message(_), _) => continue,
            };
            match Event::decode(message, remote, self.spares.pop()) {
                Ok(mut event) if self.steps.filter.admits(&event) => {
                    if self.steps.text_only && self.steps.transform.is_none() {
                        self.spares.extend(event.strip());
                    }
                    self.wanted.push(event);
                }
                Ok(event) => self.spares.extend(event.into_spare()),
                Err(rejected) => debug_assert!(false, "a state event is {}", rejected.why),
            }
        }
        self.transform_wanted();
        self.window.push_all(self.wanted.drain(..), Some(at));
    }

    /// Copies the texts of the wanted events, `bytes` in total, into a new block.
    fn copy_wanted(&mut self, bytes: usize) {
        // Without memory for the copy, the events keep the original block.
        let Ok(mut copy) = Block::with_capacity(bytes) else { return };
        for event in &self.wanted {
            if copy.push(event.message()).is_err() {
                return;
            }
        }
        let copy = Arc::new(copy.charged_to(&self.memory));
        for (index, event) in self.wanted.iter_mut().enumerate() {
            event.relocate(copy.message(index));
        }
    }

    /// Adds events that are due to the batch until it is full: a burst leaves the window in batches of one size, so that
    /// few events are on their way and their memory is soon reused.
    pub(crate) fn release_due(&mut self) {
        while !self.is_full()
            && let Some(held) = self.window.pop()
        {
            self.add(held);
        }
        self.count_tapes();
    }

    /// Releases events that are not due yet, of `bytes` in total. Only the sizes of the events themselves are counted;
    /// less memory may be freed, as each event keeps its whole block alive.
    fn release_early(&mut self, mut bytes: usize) {
        while bytes > 0 {
            let Some(held) = self.window.pop_early() else { break };
            if let Held::Event(event) = &held {
                bytes = bytes.saturating_sub(event.size());
            }
            self.add(held);
        }
        self.count_tapes();
    }

    fn add(&mut self, held: Held) {
        self.batch.prepared.push(match held {
            Held::Event(event) => {
                self.batch_bytes += event.message().byte_len();
                Prepared::Event(event)
            }
            Held::Gap(gap) => Prepared::Gap(gap),
        });
    }

    fn count_tapes(&mut self) {
        self.memory.update(&mut self.tape_bytes, self.window.tape_bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const WINDOW: Duration = Duration::from_millis(25);

    fn item(remote: u16, number: usize, millisecond: u64, arrived: Instant) -> Item {
        let mut block = Block::default();
        let time = format!("2026-11-26T12:00:00.{millisecond:03}Z");
        block.push(&format!(r#"{{"type":"x","timestamp":"{time}","metadata":{number}}}"#)).unwrap();
        Item::Messages { feed: RemoteId(remote).into(), block: Arc::new(block), arrived, complete_by: None }
    }

    /// The number of the event.
    fn number(prepared: &Prepared) -> usize {
        match prepared {
            Prepared::Event(event) => event.metadata().unwrap().raw().parse().unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_due_leaves_in_order_and_in_batches_of_one_size() {
        let memory = Arc::new(Memory::new(usize::MAX));
        let mut prepare = Prepare::new(Steps::default(), Window::new(WINDOW, false), usize::MAX, memory);
        let start = Instant::now();
        let text = "x".repeat(FULL / 10);
        let numbers: Vec<_> = (0..105).collect();
        for number in &numbers {
            let mut block = Block::default();
            let time = format!("2026-11-26T12:00:00.{:06}Z", number / 2);
            block.push(&format!(r#"{{"type":"{text}","timestamp":"{time}","metadata":{number}}}"#)).unwrap();
            let feed = RemoteId(0).into();
            prepare.admit(Item::Messages { feed, block: Arc::new(block), arrived: start, complete_by: None }, 0);
        }
        let mut came = Vec::new();
        let mut take = |batch: Option<Batch>| {
            let batch = batch.unwrap();
            assert!(batch.prepared.len() <= 10, "{} events", batch.prepared.len());
            came.extend(batch.prepared.iter().map(number));
        };
        // All are due. What is left after five batches leaves as what is held does at the end.
        prepare.advance(start + WINDOW);
        for _ in 0..5 {
            assert!(prepare.make_room());
            take(prepare.take_batch(|| None));
        }
        while prepare.finish() {
            take(prepare.take_batch(|| None));
        }
        assert_eq!(came, numbers);
    }

    #[test]
    fn what_one_connection_brings_releases_no_event_of_another_that_is_still_to_be_read() {
        let memory = Arc::new(Memory::new(usize::MAX));
        let mut prepare = Prepare::new(Steps::default(), Window::new(WINDOW, false), usize::MAX, memory);
        let start = Instant::now();
        prepare.admit(item(1, 1, 1, start), 0);
        prepare.advance(start);
        // The reading thread has slept for longer than the window, and both connections have unread events.
        let later = start + 2 * WINDOW;
        prepare.admit(item(0, 2, 50, later), 0);
        prepare.admit(item(1, 0, 0, later), 0);
        prepare.advance(later);
        let batch = prepare.take_batch(|| None).unwrap();
        let numbers: Vec<_> = batch.prepared.iter().map(number).collect();
        assert_eq!(numbers, [0, 1]);
    }
}
