//! Collects the messages of a recording in blocks, and queues these.

use std::io;
use std::sync::Arc;

use log::warn;
use tokio::runtime::Handle;

use crate::event::message::{Block, MAX_MESSAGE};
use crate::queue::{Item, Lines, Queue};

/// The block that is being filled.
pub(super) struct Blocks<'q> {
    /// The recording's name in notices.
    file: Arc<str>,
    runtime: &'q Handle,
    queue: &'q Queue,
    block: Block,
    /// The number of the line in which each message of the block begins.
    numbers: Vec<u64>,
}

impl<'q> Blocks<'q> {
    pub(super) fn new(file: &str, runtime: &'q Handle, queue: &'q Queue) -> Self {
        Self { file: file.into(), runtime, queue, block: Block::default(), numbers: Vec::new() }
    }

    /// Adds a message that begins in this line. One that is not UTF-8 is reported in place.
    ///
    /// # Errors
    /// There is not enough memory for it.
    pub(super) fn push(&mut self, message: &[u8], line: u64) -> io::Result<()> {
        match std::str::from_utf8(message) {
            Ok(message) => {
                self.block.push(message)?;
                self.numbers.push(line);
                if self.block.is_full() {
                    self.flush()?;
                }
            }
            Err(_) => self.report(line, "not UTF-8; skipped"),
        }
        Ok(())
    }

    /// Reports what is wrong with this line.
    pub(super) fn report(&self, line: u64, what: &str) {
        warn!("{}: line {line}: {what}", self.file);
    }

    /// Reports a message that is too long, and is skipped.
    pub(super) fn report_length(&self, line: u64) {
        self.report(line, &format!("longer than {MAX_MESSAGE} bytes; skipped"));
    }

    /// Queues the messages so far. To be called before each read, which can block.
    ///
    /// # Errors
    /// There is not enough memory for further messages.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if self.block.is_empty() {
            return Ok(());
        }
        self.runtime.block_on(self.queue.rest());
        let lines = Lines { file: Arc::clone(&self.file), numbers: self.numbers.as_slice().into() };
        self.numbers.clear();
        let memory = self.queue.memory();
        let block = Arc::new(self.block.close(memory)?.charged_to(memory));
        self.queue.push_always(Item::Recorded(lines, block));
        Ok(())
    }
}
