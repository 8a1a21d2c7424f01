//! The middle of the way: decodes messages, leaves out what the filter does not want, and puts the rest in order.
//!
//! It has a thread of its own, so that decoding goes on while the writer renders. What it passes on is small: where
//! the output is stopped it waits, and the queue before it is what grows.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Instant;

use crate::config::Config;
use crate::event::json::Tape;
use crate::event::{Event, Malformed, Message, RemoteId, Unreadable};
use crate::filter::Filter;
use crate::gap::Gap;
use crate::order::Order;
use crate::queue::{Item, Queue, Taken};
use crate::render::Format;

/// A batch with so many bytes of messages is passed on even though more is there to be added.
const FULL: usize = 64 << 10;

/// A batch that is gathered from more bytes of messages than this is passed on however small it is: each event keeps the
/// whole buffer that it was read into.
const STRETCH: usize = 1 << 20;

/// How many batches may wait for the writer.
const WAITING: usize = 1;

/// What the writer gets to see.
#[derive(Debug)]
pub enum Sorted {
    /// An event that is wanted, when its turn has come.
    Event(Event),
    /// Events are missing here.
    Gap(Gap),
    /// A message that is no event; of a recording, with the number of its line.
    Malformed(RemoteId, Option<u64>, Malformed, Message),
    /// A message that is no text.
    Unreadable(RemoteId, Unreadable),
}

/// What is passed on at once. Used up batches come back, with tapes for new events.
#[derive(Debug, Default)]
pub struct Batch {
    /// In the order in which they are to be written.
    pub sorted: Vec<Sorted>,
    /// The tapes of events that are written.
    pub tapes: Vec<Tape>,
}

/// The writer's ends of the two ways between it and the sorter.
#[derive(Debug)]
pub struct Batches {
    /// What is to be written.
    pub coming: Receiver<Batch>,
    /// What is used up.
    pub returned: SyncSender<Batch>,
}

/// Everything between the queue and the writer.
#[derive(Debug)]
pub struct Sorter {
    queue: Arc<Queue>,
    filter: Filter,
    /// Whether events are rendered from their text alone.
    text_only: bool,
    order: Order,
    batch: Batch,
    /// The size of the messages in the batch, in bytes.
    size: usize,
    /// Bytes that were taken from the queue and not yet released.
    taken: usize,
    /// Bytes that were taken since a batch was last passed on.
    stretch: usize,
    /// Tapes for the next events.
    tapes: Vec<Tape>,
    going: SyncSender<Batch>,
    used: Receiver<Batch>,
}

/// The writer takes nothing any more.
struct WriterGone;

impl Sorter {
    /// Takes what `filter` admits from `queue`, and puts it in order as the configuration says.
    #[must_use]
    pub fn new(queue: Arc<Queue>, filter: Filter, config: &Config) -> (Self, Batches) {
        let remotes = config.source.remote_names().len();
        let (going, coming) = sync_channel(WAITING);
        // Room for all that can be on the way, so that the writer never waits.
        let (returned, used) = sync_channel(WAITING + 2);
        let sorter = Self {
            queue,
            filter,
            text_only: config.format == Format::Json,
            order: Order::new(config.sort_window, config.buffer, remotes),
            batch: Batch::default(),
            size: 0,
            taken: 0,
            stretch: 0,
            tapes: Vec::new(),
            going,
            used,
        };
        (sorter, Batches { coming, returned })
    }

    /// Sorts until the queue ends, or until nobody wants any more.
    pub fn run(mut self) {
        // Once the writer is gone, it has said why, and the program ends.
        let (Ok(()) | Err(WriterGone)) = self.sort_all();
    }

    fn sort_all(&mut self) -> Result<(), WriterGone> {
        let mut items = Vec::new();
        // Also while the queue runs ahead of us: what is late is late on the way here, not here.
        let mut arrived = Instant::now();
        loop {
            let taken = self.queue.take(&mut items, self.order.deadline());
            for item in items.drain(..) {
                self.taken += item.size();
                match item {
                    Item::Arrived(time) => arrived = time,
                    Item::Time(now) => {
                        self.order.tell_time(now);
                        self.let_due_go();
                    }
                    Item::Message(remote, message) => self.take_in(message, remote, None, arrived),
                    Item::Line(number, message) => self.take_in(message, RemoteId::default(), Some(number), arrived),
                    Item::Unreadable(remote, why) => self.batch.sorted.push(Sorted::Unreadable(remote, why)),
                    Item::Gap(gap) => {
                        self.let_all_go();
                        self.batch.sorted.push(Sorted::Gap(gap));
                    }
                }
                if self.taken >= FULL {
                    self.let_due_go();
                    self.release();
                }
                if self.size >= FULL || self.stretch >= STRETCH {
                    self.pass_on()?;
                }
            }
            if taken == Taken::End {
                self.let_all_go();
                return self.pass_on();
            }
            self.let_due_go();
            self.release();
            if !self.queue.has_items() {
                self.pass_on()?;
            }
        }
    }

    fn release(&mut self) {
        self.stretch += self.taken;
        self.queue.release(std::mem::take(&mut self.taken));
    }

    /// From message to event, into the sort window if it is wanted.
    fn take_in(&mut self, message: Message, remote: RemoteId, line: Option<u64>, arrived: Instant) {
        match Event::decode(message, remote, self.tapes.pop().unwrap_or_default()) {
            Ok(mut event) if self.filter.admits(&event) => {
                if self.text_only {
                    self.tapes.push(event.strip());
                }
                self.order.push(event, arrived);
            }
            Ok(event) => self.tapes.push(event.into_tape()),
            Err(rejected) => {
                self.size += rejected.message.len();
                self.batch.sorted.push(Sorted::Malformed(remote, line, rejected.why, rejected.message));
                self.tapes.push(rejected.tape);
            }
        }
    }

    fn let_due_go(&mut self) {
        while let Some(event) = self.order.pop() {
            self.let_go(event);
        }
    }

    fn let_all_go(&mut self) {
        while let Some(event) = self.order.drain() {
            self.let_go(event);
        }
    }

    fn let_go(&mut self, event: Event) {
        self.size += event.text().len();
        self.batch.sorted.push(Sorted::Event(event));
    }

    /// Gives the writer what there is, waiting while it has enough to do.
    fn pass_on(&mut self) -> Result<(), WriterGone> {
        self.stretch = 0;
        if self.batch.sorted.is_empty() {
            return Ok(());
        }
        let mut next = self.used.try_recv().unwrap_or_default();
        self.tapes.append(&mut next.tapes);
        self.size = 0;
        self.going.send(std::mem::replace(&mut self.batch, next)).map_err(|_| WriterGone)
    }
}
