//! Standard output: large writes, and knowing when nobody reads any more.

use std::fs::File;
use std::io::{self, ErrorKind, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use tokio::sync::oneshot;

use crate::queue::Queue;

/// How much is written at once.
const CHUNK: usize = 64 << 10;

/// How much is written at once to a slow reader, so that taking a little ends a write, and the output does not count as
/// stopped: what a pipe takes or refuses as a whole (`PIPE_BUF`, pipe(7)).
const LEAST: usize = 4 << 10;

/// A write that takes longer has met a slow reader. Well below the time after which an output counts as stopped.
const SLOW: Duration = Duration::from_millis(100);

/// What poll(2) tells once nobody reads any more: files never have either.
const GONE: PollFlags = PollFlags::ERR.union(PollFlags::HUP);

/// Standard output and what waits to be written to it.
#[derive(Debug)]
pub struct Stdout {
    file: File,
    buffer: Vec<u8>,
    /// How much the next write is given at most.
    chunk: usize,
    queue: Arc<Queue>,
}

/// A descriptor of its own for standard output, free of the standard library's line buffering.
pub fn descriptor() -> io::Result<OwnedFd> {
    io::stdout().as_fd().try_clone_to_owned()
}

impl Stdout {
    /// Tells `queue` of every write, so that it knows whether the output moves.
    pub fn new(queue: Arc<Queue>) -> io::Result<Self> {
        Ok(Self { file: File::from(descriptor()?), buffer: Vec::with_capacity(CHUNK), chunk: CHUNK, queue })
    }

    /// Where to append what is to be written.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Whether enough waits to be worth a write.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.buffer.len() >= CHUNK
    }

    /// Writes what waits.
    pub fn flush(&mut self) -> io::Result<()> {
        let mut rest = self.buffer.as_slice();
        while !rest.is_empty() {
            let begun = self.queue.writing();
            let outcome = self.file.write(&rest[..rest.len().min(self.chunk)]);
            match outcome {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => {
                    self.queue.written();
                    self.chunk = if begun.elapsed() > SLOW { LEAST } else { (2 * self.chunk).min(CHUNK) };
                    rest = &rest[written..];
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Someone who shares the descriptor has made it non-blocking.
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let mut descriptors = [PollFd::new(&self.file, PollFlags::OUT)];
                    // Interrupted or not, the write is tried again.
                    let _ = poll(&mut descriptors, None);
                }
                // A terminal that is gone fails writes with EIO, which is not its reader's fault or ours.
                Err(_) if is_hung_up(&self.file) => return Err(ErrorKind::BrokenPipe.into()),
                Err(error) => return Err(error),
            }
        }
        self.buffer.clear();
        self.buffer.shrink_to(4 * CHUNK);
        Ok(())
    }
}

/// Whether nobody is left at the other end.
fn is_hung_up(file: &File) -> bool {
    let mut descriptors = [PollFd::new(file, PollFlags::empty())];
    poll(&mut descriptors, Some(&Timespec::default())).is_ok() && descriptors[0].revents().intersects(GONE)
}

/// Waits until nobody reads standard output any more, which no write would tell while there is nothing to write.
pub async fn reader_gone() {
    let (gone, told) = oneshot::channel();
    let watch = std::thread::Builder::new().name("stdout".into()).stack_size(64 << 10);
    let watching = watch.spawn(move || {
        let stdout = io::stdout();
        // Nothing is asked for: an error or a hang-up is told all the same.
        let mut descriptors = [PollFd::new(&stdout, PollFlags::empty())];
        while poll(&mut descriptors, None).is_err_and(|error| error == Errno::INTR) {}
        // If nobody waits any more, the program is ending.
        let _ = gone.send(descriptors[0].revents());
    });
    match told.await {
        Ok(events) if watching.is_ok() && events.intersects(GONE) => {}
        _ => std::future::pending().await,
    }
}
