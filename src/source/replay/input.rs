//! A file that is read with blocking reads, and what has been read of it and is still needed.

use std::fs::File;
use std::io;
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// The read size in bytes.
pub(super) const READ: usize = 128 << 10;

/// The byte order mark, which some editors write at the start of a file.
pub(super) const MARK: &[u8] = b"\xef\xbb\xbf";

/// An open recording.
#[derive(Debug)]
pub(super) struct Input {
    file: File,
    buffer: Vec<u8>,
    /// Where the unconsumed data begins in the buffer.
    start: usize,
    /// The number of bytes at the start of the data that are known to have no line break.
    searched: usize,
}

impl Input {
    pub(super) fn new(file: File) -> Self {
        Self { file, buffer: Vec::new(), start: 0, searched: 0 }
    }

    /// The data that has been read and not been consumed.
    #[must_use]
    pub(super) fn data(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// Reads more behind the data. Returns whether there was more.
    ///
    /// # Errors
    /// The file cannot be read, or the data needs more memory than there is.
    pub(super) fn fill(&mut self) -> io::Result<bool> {
        self.buffer.drain(..std::mem::take(&mut self.start));
        let length = self.buffer.len();
        if self.buffer.capacity() < length + READ / 2 {
            self.buffer.try_reserve_exact(READ.max(length))?;
        } else if self.buffer.capacity() > 4 * READ && length < READ {
            // Free the memory of an unusually long message.
            self.buffer.shrink_to(2 * READ);
        }
        loop {
            match rustix::io::read(&self.file, spare_capacity(&mut self.buffer)) {
                Ok(length) => return Ok(length > 0),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Whether nothing more can be read within this time. A regular file is never quiet.
    ///
    /// # Errors
    /// The file cannot be waited for.
    pub(super) fn is_quiet_for(&self, time: Duration) -> io::Result<bool> {
        let time = Timespec::try_from(time).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(&self.file, PollFlags::IN)], Some(&time)) {
            Ok(ready) => Ok(ready == 0),
            Err(Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The end of the first line of the data, behind its line break. `None` if that has not been read yet.
    pub(super) fn line_end(&mut self) -> Option<usize> {
        let searched = self.searched;
        let found = memchr::memchr(b'\n', &self.data()[searched..]).map(|at| searched + at + 1);
        self.searched = found.map_or(self.data().len(), |_| 0);
        found
    }

    /// The same for the line that begins at the offset `from`.
    pub(super) fn line_end_from(&self, from: usize) -> Option<usize> {
        memchr::memchr(b'\n', &self.data()[from..]).map(|at| from + at + 1)
    }

    /// Removes the first `length` bytes of the data.
    pub(super) fn consume(&mut self, length: usize) {
        self.start += length;
        self.searched = self.searched.saturating_sub(length);
    }

    /// Removes everything up to the next line break, and that too. Returns false if the file ends before.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn skip_line(&mut self) -> io::Result<bool> {
        loop {
            let length = self.data().len();
            if let Some(end) = self.line_end() {
                self.consume(end);
                return Ok(true);
            }
            self.consume(length);
            if !self.fill()? {
                return Ok(false);
            }
        }
    }
}
