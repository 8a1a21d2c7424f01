//! The text of messages: many of them share one [`Block`], whose memory is counted as long as anything uses it.

use std::collections::TryReserveError;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// The longest message that is read, in bytes.
pub const MAX_MESSAGE: usize = 64 << 20;

/// A block is closed once its weight is so many bytes. Long enough that an allocation per block costs nothing, short
/// enough that one event that is kept holds little else in memory.
pub const BLOCK: usize = 64 << 10;

/// What a message counts beside its text, in bytes.
const MESSAGE_WEIGHT: usize = 32;

/// What a block takes beside its text: its own fields, reference counts, and what the allocator adds, in bytes.
const OVERHEAD: usize = 160;

/// How many bytes of memory all that waits takes, and a wake-up for those who wait for some of it to be freed.
#[derive(Debug)]
pub struct Memory {
    used: AtomicUsize,
    mark: usize,
    freed: Notify,
}

impl Memory {
    /// Nothing used yet; falling to `mark` bytes wakes those who wait.
    #[must_use]
    pub fn new(mark: usize) -> Self {
        Self { used: AtomicUsize::new(0), mark, freed: Notify::new() }
    }

    /// What is in use now, in bytes.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used.load(Ordering::SeqCst)
    }

    /// Whether no more is in use than the mark.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.used() <= self.mark
    }

    fn add(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::SeqCst);
    }

    fn free(&self, bytes: usize) {
        let before = self.used.fetch_sub(bytes, Ordering::SeqCst);
        if (before - bytes..before).contains(&self.mark) {
            self.freed.notify_waiters();
        }
    }

    /// Something takes `bytes` now, and took `before`, which is updated.
    pub fn update(&self, before: &mut usize, bytes: usize) {
        if bytes > *before {
            self.add(bytes - *before);
        } else {
            self.free(*before - bytes);
        }
        *before = bytes;
    }

    /// Waits until no more is in use than the mark.
    pub async fn wait_for_room(&self) {
        loop {
            // Made before the check, so that memory freed after the check wakes it.
            let freed = self.freed.notified();
            if self.has_room() {
                return;
            }
            freed.await;
        }
    }
}

/// The share of [`Memory`] that one block takes, freed with the block.
#[derive(Debug)]
struct Charge {
    memory: Arc<Memory>,
    bytes: usize,
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.memory.free(self.bytes);
    }
}

/// Messages one behind the other in one allocation.
#[derive(Debug, Default)]
pub struct Block {
    text: String,
    /// Where each message ends.
    ends: Vec<u32>,
    /// Frees the memory with the block.
    #[expect(dead_code, reason = "only dropped")]
    charge: Option<Charge>,
}

impl Block {
    /// An empty block with room for so many bytes of text.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self { text: String::with_capacity(bytes), ends: Vec::new(), charge: None }
    }

    /// How many messages there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no message.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// How many bytes of text there are.
    #[must_use]
    pub fn text_len(&self) -> usize {
        self.text.len()
    }

    /// What counts towards [`BLOCK`]: the text, and for each message a little more, so that a block does not hold any
    /// number of empty messages.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.text.len() + self.ends.len() * MESSAGE_WEIGHT
    }

    /// Whether it is long enough to be closed.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.weight() >= BLOCK
    }

    /// Its size in memory, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.text.capacity() + self.ends.capacity() * size_of::<u32>() + OVERHEAD
    }

    /// Adds a message.
    ///
    /// # Errors
    /// There is no memory for it.
    pub fn push(&mut self, message: &str) -> Result<(), TryReserveError> {
        if message.len() < BLOCK {
            self.text.try_reserve(message.len())?;
        } else {
            // No more than it needs: it may be as long as 64 MiB.
            self.text.try_reserve_exact(message.len())?;
        }
        self.text.push_str(message);
        self.end_message();
        Ok(())
    }

    /// Ends the message that consists of all text behind the last one.
    fn end_message(&mut self) {
        // The longest message is 64 MiB, and a block is closed at 64 KiB.
        self.ends.push(u32::try_from(self.text.len()).unwrap_or(u32::MAX));
    }

    /// Takes out what has been gathered, in an allocation that fits it, and leaves an empty block with room.
    #[must_use]
    pub fn close(&mut self) -> Self {
        if self.text.len() < BLOCK / 2 {
            let closed = Self { text: self.text.as_str().to_owned(), ends: self.ends.clone(), charge: None };
            self.text.clear();
            self.ends.clear();
            return closed;
        }
        let ends = self.ends.len();
        std::mem::replace(self, Self { ends: Vec::with_capacity(ends), ..Self::with_capacity(BLOCK + BLOCK / 8) })
    }

    /// Counts its memory until it is freed.
    #[must_use]
    pub fn charged_to(self, memory: &Arc<Memory>) -> Self {
        let bytes = self.size();
        memory.add(bytes);
        Self { charge: Some(Charge { memory: Arc::clone(memory), bytes }), ..self }
    }

    /// The message at `index`, which must be less than [`Block::len`].
    #[must_use]
    pub fn message(self: &Arc<Self>, index: usize) -> Message {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        Message { block: Arc::clone(self), start, end: self.ends[index] }
    }

    /// The text of the message at `index`, which must be less than [`Block::len`].
    #[must_use]
    pub fn text(&self, index: usize) -> &str {
        let start = if index == 0 { 0 } else { self.ends[index - 1] as usize };
        &self.text[start..self.ends[index] as usize]
    }
}

/// The text of one message, and a share in the block it stands in.
#[derive(Clone)]
pub struct Message {
    block: Arc<Block>,
    start: u32,
    end: u32,
}

impl Message {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.block.text[self.start as usize..self.end as usize]
    }

    /// The length of the text in bytes. (That of the slice costs a look at the text, which may have left the processor's
    /// cache.)
    #[must_use]
    pub fn len(&self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether there is no text.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }
}

impl Deref for Message {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        let mut block = Block { text, ends: Vec::with_capacity(1), charge: None };
        block.end_message();
        Arc::new(block).message(0)
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Self::from(text.to_owned())
    }
}
