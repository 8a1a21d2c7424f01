//! The text of messages. Many messages share one [`Block`], and the memory of a block is counted until its last message
//! is dropped.

use std::collections::TryReserveError;
use std::fmt;
use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The maximum length of a message, in bytes.
pub const MAX_MESSAGE: usize = 64 << 20;

/// A block is closed once its [weight](Block::weight) reaches this many bytes. It is so large that the cost of one
/// allocation per block is negligible, and so small that a single event that keeps its block alive wastes little
/// memory.
pub const BLOCK: usize = 64 << 10;

/// The capacity of the text buffer that a block under load has, in bytes: with room for a last message of 16 KiB, as
/// growing would double the buffer.
const CAPACITY: usize = BLOCK + (16 << 10);

/// What each message adds to the weight of its block besides its text, in bytes.
const MESSAGE_WEIGHT: usize = 32;

/// Memory use of a block besides its text and its list of ends: its fields, the reference counts and the overhead of
/// the allocator, in bytes.
const OVERHEAD: usize = 160;

/// The maximum number of text buffers that wait for reuse: about as much as a resting reader waits for.
const SPARE_BUFFERS: usize = 16;

/// Counts the memory that all buffered events take, and wakes the tasks that wait for some of it to be freed.
#[derive(Debug)]
pub struct Memory {
    used: AtomicUsize,
    mark: AtomicUsize,
    freed: Notify,
    /// Text buffers of former blocks. The allocator would split freed ones for small allocations, and the next block would
    /// take new memory.
    spare: Mutex<Vec<String>>,
}

impl Memory {
    /// A counter at zero. When the count falls to `mark` bytes, waiting tasks are woken.
    #[must_use]
    pub fn new(mark: usize) -> Self {
        Self { used: AtomicUsize::new(0), mark: mark.into(), freed: Notify::new(), spare: Mutex::default() }
    }

    /// An empty buffer with [`CAPACITY`], a former one if there is one.
    fn buffer(&self) -> Result<String, TryReserveError> {
        let former = self.spare().pop();
        former.map_or_else(|| buffer_of(CAPACITY), Ok)
    }

    /// Keeps the buffer of a dropped block for reuse if it is of the usual size.
    fn recycle(&self, mut text: String) {
        if text.capacity() == CAPACITY {
            text.clear();
            let mut spare = self.spare();
            if spare.len() < SPARE_BUFFERS {
                spare.push(text);
            }
        }
    }

    fn spare(&self) -> MutexGuard<'_, Vec<String>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The memory in use, in bytes.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used.load(Ordering::SeqCst)
    }

    /// Whether the memory in use does not exceed the mark.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.used() <= self.mark.load(Ordering::SeqCst)
    }

    /// Moves the mark.
    pub fn set_mark(&self, mark: usize) {
        let before = self.mark.swap(mark, Ordering::SeqCst);
        if before < mark {
            self.freed.notify_waiters();
        }
    }

    fn add(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::SeqCst);
    }

    fn free(&self, bytes: usize) {
        let before = self.used.fetch_sub(bytes, Ordering::SeqCst);
        if (before - bytes..before).contains(&self.mark.load(Ordering::SeqCst)) {
            self.freed.notify_waiters();
        }
    }

    /// Changes the share of one user from `before` to `bytes`, and sets `before` to `bytes`.
    pub fn update(&self, before: &mut usize, bytes: usize) {
        if bytes > *before {
            self.add(bytes - *before);
        } else {
            self.free(*before - bytes);
        }
        *before = bytes;
    }

    /// Waits until the memory in use does not exceed the mark.
    pub async fn wait_for_room(&self) {
        loop {
            // Created before the check, so that memory which is freed after the check wakes this task.
            let freed = self.freed.notified();
            if self.has_room() {
                return;
            }
            freed.await;
        }
    }
}

/// The share of one block in [`Memory`].
#[derive(Debug)]
struct Charge {
    memory: Arc<Memory>,
    bytes: usize,
}

/// The texts of several messages, concatenated in one allocation.
#[derive(Debug, Default)]
pub struct Block {
    text: String,
    /// The offset at which each message ends.
    ends: Vec<u32>,
    /// Subtracted from the counted memory when the block is dropped.
    charge: Option<Charge>,
}

impl Drop for Block {
    fn drop(&mut self) {
        if let Some(Charge { memory, bytes }) = self.charge.take() {
            memory.recycle(std::mem::take(&mut self.text));
            memory.free(bytes);
        }
    }
}

impl Block {
    /// An empty block with capacity for this many bytes of text.
    ///
    /// # Errors
    /// There is not enough memory.
    pub fn with_capacity(bytes: usize) -> Result<Self, TryReserveError> {
        Ok(Self { text: buffer_of(bytes)?, ends: Vec::new(), charge: None })
    }

    /// Removes all messages.
    pub fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }

    /// The number of messages.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether the block has no message.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The length of the text of all messages, in bytes.
    #[must_use]
    pub fn text_len(&self) -> usize {
        self.text.len()
    }

    /// The size that is compared with [`BLOCK`]: the length of the text and a constant for each message, so that the
    /// number of empty messages in a block is limited too.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.text.len() + self.ends.len() * MESSAGE_WEIGHT
    }

    /// Whether the block is large enough to be closed.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.weight() >= BLOCK
    }

    /// Memory use of the block, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.text.capacity() + self.ends.capacity() * size_of::<u32>() + OVERHEAD
    }

    /// Adds a message.
    ///
    /// # Errors
    /// There is not enough memory for the message.
    pub fn push(&mut self, message: &str) -> Result<(), TryReserveError> {
        if message.len() < BLOCK {
            self.text.try_reserve(message.len())?;
        } else {
            // Exactly its length, as amortised growth would waste memory: a message may be 64 MiB long.
            self.text.try_reserve_exact(message.len())?;
        }
        self.text.push_str(message);
        self.end_message();
        Ok(())
    }

    /// Makes a message of all text behind the end of the last message.
    fn end_message(&mut self) {
        // The value always fits: a block is closed at 64 KiB, and its last message has at most 64 MiB.
        self.ends.push(u32::try_from(self.text.len()).unwrap_or(u32::MAX));
    }

    /// Returns the messages so far in a block that they fill to a half at least, and leaves an empty block with capacity
    /// for as many. After a large block, that is the buffer of a former block of `memory` if there is one.
    ///
    /// # Errors
    /// There is not enough memory for another block. The messages stay in this one.
    pub fn close(&mut self, memory: &Memory) -> Result<Self, TryReserveError> {
        let mut ends = Vec::new();
        ends.try_reserve_exact(self.ends.len())?;
        if self.text.len() < self.text.capacity() / 2 {
            let mut text = buffer_of(self.text.len())?;
            text.push_str(&self.text);
            ends.extend_from_slice(&self.ends);
            self.clear();
            return Ok(Self { text, ends, charge: None });
        }
        let is_large = self.text.len() >= CAPACITY / 2;
        let text = if is_large { memory.buffer()? } else { buffer_of(self.text.len() + CAPACITY / 8)? };
        Ok(std::mem::replace(self, Self { text, ends, charge: None }))
    }

    /// Adds the memory use of the block to `memory` until the block is dropped.
    #[must_use]
    pub fn charged_to(mut self, memory: &Arc<Memory>) -> Self {
        let bytes = self.size();
        memory.add(bytes);
        self.charge = Some(Charge { memory: Arc::clone(memory), bytes });
        self
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

/// An empty text with this capacity, in bytes.
fn buffer_of(bytes: usize) -> Result<String, TryReserveError> {
    let mut buffer = String::new();
    buffer.try_reserve_exact(bytes)?;
    Ok(buffer)
}

/// The text of one message: a slice of its block, and a reference that keeps the block alive.
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

    /// The length of the text in bytes. `len` of the text itself reads the text, which may have left the CPU's cache.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        (self.end - self.start) as usize
    }
}

impl Message {
    /// A message of its own, whose memory use is added to `memory`.
    #[must_use]
    pub fn counted(text: String, memory: &Arc<Memory>) -> Self {
        let mut block = Block { text, ends: Vec::with_capacity(1), charge: None };
        block.end_message();
        Arc::new(block.charged_to(memory)).message(0)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A closed block with `bytes` of text, whose memory is counted.
    fn closed(bytes: usize, memory: &Arc<Memory>) -> Block {
        let mut block = Block { text: memory.buffer().unwrap(), ends: Vec::new(), charge: None };
        block.push(&"x".repeat(bytes)).unwrap();
        block.close(memory).unwrap().charged_to(memory)
    }

    #[test]
    fn buffers_of_full_blocks_are_reused_and_few_wait() {
        let memory = Arc::new(Memory::new(0));
        let blocks: Vec<_> = (0..2 * SPARE_BUFFERS).map(|_| closed(BLOCK, &memory)).collect();
        let former: Vec<_> = blocks.iter().map(|block| block.text.as_ptr()).collect();
        drop(blocks);
        assert_eq!(memory.used(), 0);
        let mut waiting = std::mem::take(&mut *memory.spare());
        assert_eq!(waiting.len(), SPARE_BUFFERS);
        assert!(waiting.iter().all(|text| text.is_empty() && former.contains(&text.as_ptr())));
        memory.spare().extend(waiting.pop());
        let last = memory.spare()[0].as_ptr();
        assert_eq!(closed(BLOCK, &memory).text.as_ptr(), last);
    }

    #[test]
    fn buffers_of_small_and_of_large_blocks_do_not_wait() {
        let memory = Arc::new(Memory::new(0));
        for bytes in [1, CAPACITY / 2 - 1, CAPACITY + 1, 16 * CAPACITY] {
            *memory.spare() = Vec::new();
            let block = closed(bytes, &memory);
            *memory.spare() = Vec::new();
            drop(block);
            assert!(memory.spare().is_empty(), "{bytes} bytes");
        }
    }
}
