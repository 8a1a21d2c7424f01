//! Standard output: large writes of whole lines, no write that cannot be interrupted, and knowing when nobody reads.

use std::fs::File;
use std::io::{self, ErrorKind, IoSlice, Write as _};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::{Errno, ReadWriteFlags};
use tokio::io::Interest;

use super::Flow;
use crate::system::{descriptors, watched};

/// How much is gathered for one write.
const CHUNK: usize = 64 << 10;

/// What a pipe accepts or refuses as a whole (`PIPE_BUF`, pipe(7)).
const ATOMIC: usize = 4 << 10;

/// How long a line that is half written may take to be completed once writing has ended.
const GRACE: Duration = Duration::from_millis(200);

/// What poll(2) reports once nobody reads any more: files never have either.
const GONE: PollFlags = PollFlags::ERR.union(PollFlags::HUP);

/// Standard output and what waits to be written to it.
#[derive(Debug)]
pub struct Stdout {
    file: File,
    target: Target,
    buffer: Vec<u8>,
    /// Where each event in the buffer ends.
    ends: Vec<usize>,
    /// How much of the buffer is written.
    written: usize,
    /// Whether the output has refused the last write, so that the next ones are small.
    is_slow: bool,
    /// Whether writes can be made that return at once (`RWF_NOWAIT`, pwritev2(2)): not on all kinds of files.
    returns_at_once: bool,
    flow: Arc<Flow>,
}

/// What standard output is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    /// A pipe that holds so many bytes.
    Pipe(usize),
    /// A terminal, opened a second time so that our writes return at once and nobody else's do.
    Terminal,
    /// A file, a socket, a device.
    Other,
}

/// Whether everything is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flushed {
    /// Everything is.
    All,
    /// The rest is not, because the output does not accept it now.
    Part,
}

impl Stdout {
    /// Reports to `flow` how writing goes.
    ///
    /// # Errors
    /// There is no standard output.
    pub fn new(flow: Arc<Flow>) -> io::Result<Self> {
        let mut descriptor = descriptors::stdout()?;
        let mut target = Target::Other;
        let file_type = FileType::from_raw_mode(rustix::fs::fstat(&descriptor)?.st_mode);
        if rustix::termios::isatty(&descriptor) {
            // Not permitted where another user's terminal is used (su); then a stopped terminal blocks our writes.
            let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
            if let Ok(own) = rustix::fs::open("/proc/self/fd/1", flags, Mode::empty()) {
                (descriptor, target) = (own, Target::Terminal);
            }
        } else if file_type == FileType::Fifo {
            target = Target::Pipe(rustix::pipe::fcntl_getpipe_size(&descriptor).unwrap_or(ATOMIC));
        }
        Ok(Self {
            file: File::from(descriptor),
            target,
            buffer: Vec::with_capacity(CHUNK),
            ends: Vec::new(),
            written: 0,
            is_slow: false,
            // Polled, a regular file always accepts more, even while a write that must not wait is refused.
            returns_at_once: file_type != FileType::RegularFile,
            flow,
        })
    }

    /// Where to append what is to be written.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// An event ends here.
    pub fn end_event(&mut self) {
        self.ends.push(self.buffer.len());
    }

    /// An event is not going to be written.
    pub fn skip_event(&self) {
        self.flow.rendered.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether enough waits to be worth a write.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.buffer.len() >= CHUNK
    }

    /// Writes what waits, and waits for the output as long as the flow allows.
    ///
    /// # Errors
    /// The output is gone (`BrokenPipe`) or broken.
    pub fn flush(&mut self) -> io::Result<Flushed> {
        self.flow.rendered.fetch_add(self.ends.len() as u64, Ordering::Relaxed);
        let outcome = self.write_all();
        self.count_written();
        if outcome.is_ok() {
            self.buffer.clear();
            self.buffer.shrink_to(4 * CHUNK);
            self.written = 0;
        }
        outcome
    }

    fn write_all(&mut self) -> io::Result<Flushed> {
        // One line that is half written may still be completed when writing is to end.
        let mut grace = GRACE;
        while self.written < self.buffer.len() {
            let is_late = self.flow.time_left().is_some_and(|left| left.is_zero());
            if is_late && (self.is_at_line_start() || grace.is_zero()) {
                return Ok(Flushed::Part);
            }
            let outcome = if self.returns_at_once || self.wait_for_output(is_late.then_some(&mut grace))? {
                self.write_some(true)
            } else {
                continue;
            };
            match outcome {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.is_slow = true;
                    self.wait_for_output(is_late.then_some(&mut grace))?;
                }
                outcome => outcome?,
            }
        }
        self.is_slow = false;
        Ok(Flushed::All)
    }

    /// Writes what waits as far as the output accepts it at once.
    ///
    /// # Errors
    /// The output is gone (`BrokenPipe`) or broken.
    pub fn try_flush(&mut self) -> io::Result<Flushed> {
        while self.written < self.buffer.len() {
            if !self.returns_at_once {
                return Ok(Flushed::Part);
            }
            match self.write_some(false) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.is_slow = true;
                    return Ok(Flushed::Part);
                }
                outcome => outcome?,
            }
        }
        self.flow.rendered.fetch_add(self.ends.len() as u64, Ordering::Relaxed);
        self.count_written();
        self.buffer.clear();
        self.written = 0;
        Ok(Flushed::All)
    }

    /// One write of whole lines, where they fit.
    fn write_some(&mut self, may_wait: bool) -> io::Result<()> {
        let rest = &self.buffer[self.written..];
        let limit = match self.target {
            // Written as a whole or not at all, so that what a stopped reader finds in the pipe ends with a line.
            Target::Pipe(capacity) if rest.len() > ATOMIC => match rustix::io::ioctl_fionread(&self.file) {
                Ok(0) => capacity,
                _ => ATOMIC,
            },
            _ if self.is_slow => ATOMIC,
            _ => CHUNK.max(rest.len()),
        };
        let chunk = match rest.get(..limit) {
            Some(most) => &most[..memchr::memrchr(b'\n', most).map_or(limit, |end| end + 1)],
            None => rest,
        };
        let outcome = if self.target == Target::Terminal || !self.returns_at_once {
            self.file.write(chunk)
        } else {
            let at_once = rustix::io::pwritev2(&self.file, &[IoSlice::new(chunk)], u64::MAX, ReadWriteFlags::NOWAIT);
            match at_once {
                Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS | Errno::SPIPE) => {
                    self.returns_at_once = false;
                    return if may_wait { Ok(()) } else { Err(ErrorKind::WouldBlock.into()) };
                }
                outcome => outcome.map_err(io::Error::from),
            }
        };
        match outcome {
            Ok(0) => Err(ErrorKind::WriteZero.into()),
            Ok(written) => {
                self.written += written;
                self.flow.moved();
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Err(error),
            // A terminal that is gone fails writes with EIO, which is not its reader's fault or ours.
            Err(_) if is_hung_up(&self.file) => Err(ErrorKind::BrokenPipe.into()),
            Err(error) => Err(error),
        }
    }

    /// Waits until the output accepts something, writing is to end, or the time is up; whether the output accepts
    /// something. Of a `grace` what was waited is taken off.
    fn wait_for_output(&self, grace: Option<&mut Duration>) -> io::Result<bool> {
        let output = PollFd::new(&self.file, PollFlags::OUT);
        let interrupt = PollFd::new(&self.flow.interrupt, PollFlags::IN);
        let timeout = match &grace {
            Some(grace) => Some(**grace),
            None => self.flow.time_left(),
        };
        // The interrupt stays raised once writing is to end, and has been heard then.
        let mut descriptors = [output, interrupt];
        let heard = if timeout.is_some() { &mut descriptors[..1] } else { &mut descriptors[..] };
        let timespec = timeout.map(|timeout| Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(timeout.subsec_nanos()),
        });
        match poll(heard, timespec.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let is_ready = !heard[0].revents().is_empty();
        if let Some(grace) = grace.filter(|_| !is_ready) {
            *grace = Duration::ZERO;
        }
        Ok(is_ready)
    }

    fn is_at_line_start(&self) -> bool {
        self.written == 0 || self.buffer[self.written - 1] == b'\n'
    }

    /// Counts the events that are completely written, and starts a new list.
    fn count_written(&mut self) {
        let written = self.ends.partition_point(|end| *end <= self.written);
        self.flow.written.fetch_add(written as u64, Ordering::Relaxed);
        self.ends.clear();
    }
}

/// Whether nobody is left at the other end.
fn is_hung_up(file: &File) -> bool {
    let mut descriptors = [PollFd::new(file, PollFlags::empty())];
    poll(&mut descriptors, Some(&Timespec::default())).is_ok() && descriptors[0].revents().intersects(GONE)
}

/// Waits until nobody reads standard output any more, which no write would show while there is nothing to write.
pub async fn reader_gone() {
    // Files have no readers, and the system says so by refusing to watch them.
    let output = descriptors::stdout().and_then(|stdout| watched(File::from(stdout), Interest::ERROR));
    let Ok(output) = output else { return std::future::pending().await };
    loop {
        let Ok(mut event) = output.ready(Interest::ERROR).await else { return std::future::pending().await };
        if is_hung_up(output.get_ref()) {
            return;
        }
        event.clear_ready();
    }
}
