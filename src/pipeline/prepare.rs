//! The middle step: decodes messages, leaves out what the filter does not want, puts the rest in order, and gathers it
//! into batches.

use std::sync::Arc;
use std::time::Instant;

use super::window::{Held, Window};
use crate::event::gap::Gap;
use crate::event::json::Tape;
use crate::event::message::{Block, Memory};
use crate::event::{Event, Malformed, Message, RemoteId};
use crate::filter::Filter;
use crate::queue::Item;

/// A batch with so many bytes of text is complete.
const FULL: usize = 64 << 10;

/// Of a block that waits in the window less than one part in so many is kept: then that part is copied, so that the block
/// can be freed.
const SPARSE: usize = 2;

/// How many tapes are kept for the next events: as many as a window of the usual length needs under load.
const MAX_TAPES: usize = 8192;

/// What the next step gets to see.
#[derive(Debug)]
pub enum Prepared {
    /// An event that is wanted, when its turn has come.
    Event(Event),
    /// Events are missing here.
    Gap(Gap),
    /// A message that is no event; of a recording, with the number of its line.
    Malformed(RemoteId, Option<u64>, Malformed, Message),
    /// So many messages that are not text.
    Binary(RemoteId, u64),
}

/// What the next step gets at once. It comes back empty, with tapes for new events.
#[derive(Debug, Default)]
pub struct Batch {
    /// In the order in which it is to be written.
    pub prepared: Vec<Prepared>,
    /// The tapes of events that are written.
    pub tapes: Vec<Tape>,
}

/// Decoder, filter and window.
#[derive(Debug)]
pub struct Prepare {
    filter: Filter,
    /// Whether events are rendered from their text alone.
    text_only: bool,
    window: Window,
    /// How much memory may be in use outside of the queue, in bytes; beyond that events leave the window early.
    max_held: usize,
    memory: Arc<Memory>,
    /// What the tapes in the window took when `memory` was last informed, in bytes.
    tape_bytes: usize,
    batch: Batch,
    /// The length of the texts in the batch, in bytes.
    batch_bytes: usize,
    /// Tapes for the next events.
    tapes: Vec<Tape>,
    /// The wanted events of the block at hand.
    wanted: Vec<Event>,
}

impl Prepare {
    /// Puts what `filter` admits into `window`, and counts in `memory` what that holds: at most about `max_held` bytes.
    /// With `text_only`, events lose their tapes when they have been filtered.
    #[must_use]
    pub fn new(filter: Filter, text_only: bool, window: Window, max_held: usize, memory: Arc<Memory>) -> Self {
        Self {
            filter,
            text_only,
            window,
            max_held,
            memory,
            tape_bytes: 0,
            batch: Batch::default(),
            batch_bytes: 0,
            tapes: Vec::new(),
            wanted: Vec::new(),
        }
    }

    /// Takes one item of the queue, as far as the window, when so many bytes are in use outside of the queue. What is due
    /// then is in the batch. Other connections may still have events to be read that came before this item.
    pub fn admit(&mut self, item: Item, in_use: usize) {
        match item {
            Item::Messages { remote, block, arrived, complete_by } => {
                self.decode(&block, remote, None);
                for event in self.wanted.drain(..) {
                    self.window.push(event, Some(arrived));
                }
                if let Some(complete_by) = complete_by {
                    self.window.advance(complete_by);
                }
            }
            Item::Lines(first, block) => {
                self.decode(&block, RemoteId::default(), Some(first));
                for event in self.wanted.drain(..) {
                    self.window.push(event, None);
                }
            }
            Item::Binary(remote, count) => self.batch.prepared.push(Prepared::Binary(remote, count)),
            Item::Gap(gap) => self.window.push_gap(gap),
        }
        self.release_due();
        self.release_early(in_use.saturating_sub(self.max_held));
    }

    /// Everything that came by `now` has been admitted: what is due then is in the batch.
    pub fn advance(&mut self, now: Instant) {
        self.window.advance(now);
        self.release_due();
    }

    /// Nothing waits to be admitted, and yet nearly all memory is in use: a batch of events leaves the window early.
    /// Returns whether there are any.
    pub fn make_room(&mut self) -> bool {
        if !self.memory.has_room() {
            self.release_early(FULL);
        }
        !self.batch.prepared.is_empty()
    }

    /// Nothing more will come: all that is held is in the batch.
    pub fn finish(&mut self) {
        while let Some(held) = self.window.drain() {
            self.add(held);
        }
        self.count_tapes();
    }

    /// When [`Prepare::advance`] should be called, at the latest and with as little delay as a lone event deserves.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.window.deadline()
    }

    /// Whether the batch is long enough to be written.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.batch_bytes >= FULL
    }

    /// The batch, if there is something in it, in exchange for one that has been `used`.
    pub fn take_batch(&mut self, used: impl FnOnce() -> Option<Batch>) -> Option<Batch> {
        if self.batch.prepared.is_empty() {
            return None;
        }
        let mut next = used().unwrap_or_default();
        self.tapes.append(&mut next.tapes);
        self.tapes.truncate(MAX_TAPES);
        self.batch_bytes = 0;
        Some(std::mem::replace(&mut self.batch, next))
    }

    /// Takes back a batch that has been used, when no other is to be had for it.
    pub fn return_batch(&mut self, mut used: Batch) {
        self.tapes.append(&mut used.tapes);
        if self.batch.prepared.is_empty() {
            self.batch.prepared = used.prepared;
        }
    }

    /// Decodes and filters the messages of a block; those that are wanted are in `wanted` then. `first_line` is the number
    /// of a recording's line that the first one is.
    fn decode(&mut self, block: &Arc<Block>, remote: RemoteId, first_line: Option<u64>) {
        let mut kept = 0;
        for index in 0..block.len() {
            if first_line.is_some() && block.text(index).trim_ascii().is_empty() {
                continue;
            }
            match Event::decode(block.message(index), remote, self.tapes.pop().unwrap_or_default()) {
                Ok(mut event) if self.filter.admits(&event) => {
                    kept += event.message().len();
                    if self.text_only {
                        self.tapes.push(event.strip());
                    }
                    self.wanted.push(event);
                }
                Ok(event) => self.tapes.push(event.into_tape()),
                Err(rejected) => {
                    let line = first_line.map(|first| first + index as u64);
                    // An excerpt is shown; the block need not wait for that.
                    let message = rejected.message;
                    self.batch_bytes += message.len() + size_of::<Prepared>();
                    self.batch.prepared.push(Prepared::Malformed(remote, line, rejected.why, message));
                    self.tapes.push(rejected.tape);
                }
            }
        }
        if !self.wanted.is_empty() && kept * SPARSE < block.text_len() && !self.window.is_zero() {
            self.copy_wanted(kept);
        }
    }

    /// Moves the wanted events, of `bytes` together, into a block of their own.
    fn copy_wanted(&mut self, bytes: usize) {
        let mut copy = Block::with_capacity(bytes);
        for event in &self.wanted {
            if copy.push(event.message()).is_err() {
                // Without memory for a copy they stay where they are.
                return;
            }
        }
        let copy = Arc::new(copy.charged_to(&self.memory));
        for (index, event) in self.wanted.iter_mut().enumerate() {
            event.relocate(copy.message(index));
        }
    }

    fn release_due(&mut self) {
        while let Some(held) = self.window.pop() {
            self.add(held);
        }
        self.count_tapes();
    }

    /// Releases so many bytes that are not due. An event keeps the whole block that it stands in, and those around it may
    /// have been released long ago, so that more of them must go than their own sizes would make it.
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
                self.batch_bytes += event.message().len();
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
        Item::Messages { remote: RemoteId(remote), block: Arc::new(block), arrived, complete_by: None }
    }

    #[test]
    fn what_one_connection_brings_releases_no_event_of_another_that_is_still_to_be_read() {
        let memory = Arc::new(Memory::new(usize::MAX));
        let filter = Filter::default();
        let mut prepare = Prepare::new(filter, false, Window::new(WINDOW, false), usize::MAX, memory);
        let start = Instant::now();
        prepare.admit(item(1, 1, 1, start), 0);
        prepare.advance(start);
        // The reading thread has slept for longer than the window, and both connections have something.
        let later = start + 2 * WINDOW;
        prepare.admit(item(0, 2, 50, later), 0);
        prepare.admit(item(1, 0, 0, later), 0);
        prepare.advance(later);
        let batch = prepare.take_batch(|| None).unwrap();
        let number = |prepared: &Prepared| match prepared {
            Prepared::Event(event) => event.metadata().unwrap().raw().to_owned(),
            other => panic!("{other:?}"),
        };
        let numbers: Vec<_> = batch.prepared.iter().map(number).collect();
        assert_eq!(numbers, ["0", "1"]);
    }
}
