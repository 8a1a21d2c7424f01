//! Standard output: large writes of whole lines, waits that can be interrupted, and detection that the reader is gone.

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
use crate::system::{descriptors, terminal, watched};

/// How many bytes are collected for one write.
const CHUNK: usize = 64 << 10;

/// Writes to a pipe up to this size are atomic (`PIPE_BUF`, pipe(7)).
const ATOMIC: usize = 4 << 10;

/// The timeout for completing a partly written line after the deadline.
const GRACE: Duration = Duration::from_millis(200);

/// How long is waited for a notice on the same terminal before the deadline is checked again.
const TURN: Duration = Duration::from_millis(50);

/// What poll(2) reports once the reader is gone. Regular files report neither.
const GONE: PollFlags = PollFlags::ERR.union(PollFlags::HUP);

/// Standard output and its buffer.
#[derive(Debug)]
pub(crate) struct Stdout {
    file: File,
    target: Target,
    buffer: Vec<u8>,
    /// The end offset of each event in the buffer.
    ends: Vec<usize>,
    /// How many bytes of the buffer have been written.
    written: usize,
    /// Where the live rows begin in the buffer, if it ends with the state of these. They follow the last line.
    rows_at: Option<usize>,
    /// Whether we own the terminal that is shared with standard error.
    is_owner: bool,
    /// Whether the output did not accept a write at once, so that the next writes are small.
    is_slow: bool,
    /// Whether non-blocking writes are possible (`RWF_NOWAIT`, pwritev2(2)). Not all kinds of files support them.
    returns_at_once: bool,
    flow: Arc<Flow>,
}

/// The kind of file that standard output is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    /// A pipe of this capacity in bytes.
    Pipe(usize),
    /// A terminal, opened a second time so that only our own writes are non-blocking.
    Terminal {
        /// Whether it is standard error too. Then only the owner writes to it.
        is_shared: bool,
    },
    /// A file, a socket, a device.
    Other,
}

/// Whether everything has been written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flushed {
    /// Everything has been written.
    All,
    /// A part has not been written, because the output does not accept it now.
    Part,
}

impl Stdout {
    /// Opens standard output. Counts of events are reported to `flow`, and its deadline is observed.
    ///
    /// # Errors
    /// Standard output cannot be used.
    pub(crate) fn new(flow: Arc<Flow>) -> io::Result<Self> {
        let mut descriptor = descriptors::stdout()?;
        let mut target = Target::Other;
        let file_type = FileType::from_raw_mode(rustix::fs::fstat(&descriptor)?.st_mode);
        if rustix::termios::isatty(&descriptor) {
            // Permission is denied if the terminal belongs to another user (su). Then a stopped terminal blocks our
            // writes.
            let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
            if let Ok(own) = rustix::fs::open("/proc/self/fd/1", flags, Mode::empty()) {
                (descriptor, target) = (own, Target::Terminal { is_shared: terminal::is_shared() });
            }
        } else if file_type == FileType::Fifo {
            target = Target::Pipe(rustix::pipe::fcntl_getpipe_size(&descriptor).unwrap_or(ATOMIC));
        }
        Ok(Self {
            file: File::from(descriptor),
            target,
            // With room for the event that fills it, as growing would double it.
            buffer: Vec::with_capacity(CHUNK + CHUNK / 8),
            ends: Vec::new(),
            written: 0,
            rows_at: None,
            is_owner: false,
            is_slow: false,
            // poll(2) always reports a regular file as writable, even while non-blocking writes fail.
            returns_at_once: file_type != FileType::RegularFile,
            flow,
        })
    }

    /// The buffer, to append output to.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Marks the end of an event in the buffer.
    pub(crate) fn end_event(&mut self) {
        self.ends.push(self.buffer.len());
    }

    /// Whether it is a terminal that can be written to without waiting.
    #[must_use]
    pub(crate) fn is_terminal(&self) -> bool {
        matches!(self.target, Target::Terminal { .. })
    }

    /// Marks the end of the lines in the buffer. What is appended until the next write draws the live rows; nothing if
    /// there are none.
    pub(crate) fn begin_rows(&mut self) {
        self.rows_at = Some(self.buffer.len());
    }

    /// Whether the buffer is a complete frame, which has to be written before anything is appended.
    #[must_use]
    pub(crate) fn is_frame(&self) -> bool {
        self.rows_at.is_some()
    }

    /// Counts an event that will not be written.
    pub(crate) fn skip_event(&self) {
        self.flow.rendered.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether the buffer is large enough to be written.
    #[must_use]
    pub(crate) fn is_full(&self) -> bool {
        self.buffer.len() >= CHUNK
    }

    /// Writes the buffer, and waits for the output until the deadline of the flow.
    ///
    /// # Errors
    /// The output is gone (`BrokenPipe`) or broken.
    pub(crate) fn flush(&mut self) -> io::Result<Flushed> {
        self.flow.rendered.fetch_add(self.ends.len() as u64, Ordering::Relaxed);
        let outcome = self.write_all();
        self.leave_rows();
        self.disown();
        self.count_written();
        if outcome.is_ok() {
            self.clear();
            self.buffer.shrink_to(4 * CHUNK);
        }
        outcome
    }

    fn clear(&mut self) {
        self.buffer.clear();
        self.written = 0;
        self.rows_at = None;
    }

    /// Makes the live rows known that are on the screen once everything has been written.
    fn leave_rows(&self) {
        if let Some(rows_at) = self.rows_at.filter(|_| self.written == self.buffer.len()) {
            terminal::end_frame(&self.buffer[rows_at..]);
        }
    }

    fn write_all(&mut self) -> io::Result<Flushed> {
        // After the deadline, one partly written line can still be completed.
        let mut grace = GRACE;
        while self.written < self.buffer.len() {
            let is_late = self.flow.time_left().is_some_and(|left| left.is_zero());
            if is_late && (self.is_at_line_start() || grace.is_zero()) {
                return Ok(Flushed::Part);
            }
            if !self.own_terminal(TURN) {
                continue;
            }
            let outcome = if self.returns_at_once || self.wait_for_output(is_late.then_some(&mut grace))? {
                self.write_some(true)
            } else {
                continue;
            };
            match outcome {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.is_slow = true;
                    self.disown_between_lines();
                    self.wait_for_output(is_late.then_some(&mut grace))?;
                }
                outcome => outcome?,
            }
        }
        self.is_slow = false;
        Ok(Flushed::All)
    }

    /// Writes as much of the buffer as the output accepts at once.
    ///
    /// # Errors
    /// The output is gone (`BrokenPipe`) or broken.
    pub(crate) fn try_flush(&mut self) -> io::Result<Flushed> {
        while self.written < self.buffer.len() {
            if !self.returns_at_once || !self.own_terminal(Duration::ZERO) {
                return Ok(Flushed::Part);
            }
            match self.write_some(false) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.is_slow = true;
                    self.disown_between_lines();
                    return Ok(Flushed::Part);
                }
                outcome => outcome?,
            }
        }
        self.leave_rows();
        self.disown();
        self.flow.rendered.fetch_add(self.ends.len() as u64, Ordering::Relaxed);
        self.count_written();
        self.clear();
        Ok(Flushed::All)
    }

    /// Becomes the owner of a terminal that standard error shares. Returns false if that is not possible within
    /// `timeout`.
    fn own_terminal(&mut self, timeout: Duration) -> bool {
        let is_shared = matches!(self.target, Target::Terminal { is_shared: true });
        self.is_owner = is_shared && (self.is_owner || terminal::own_within(timeout));
        self.is_owner || !is_shared
    }

    /// Lets notices be written, unless a line is incomplete.
    fn disown_between_lines(&mut self) {
        if self.is_at_line_start() {
            self.disown();
        }
    }

    fn disown(&mut self) {
        if std::mem::take(&mut self.is_owner) {
            terminal::release();
        }
    }

    /// Makes one write, of whole lines if they fit.
    fn write_some(&mut self, may_wait: bool) -> io::Result<()> {
        let rest = &self.buffer[self.written..];
        let limit = match self.target {
            // An atomic write, or one that fits into an empty pipe, so that what a stopped reader finds in the pipe
            // ends with a line.
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
        let outcome = if matches!(self.target, Target::Terminal { .. }) || !self.returns_at_once {
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
                if let Some(rows_at) = self.rows_at.filter(|_| self.written == 0) {
                    terminal::begin_frame(rows_at < self.buffer.len());
                }
                self.written += written;
                self.flow.moved();
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Err(error),
            // Writes to a terminal that is gone fail with EIO, which is an ordinary end.
            Err(_) if is_hung_up(&self.file) => Err(ErrorKind::BrokenPipe.into()),
            Err(error) => Err(error),
        }
    }

    /// Waits until the output accepts something, a deadline is set, or the time is up. Returns whether the output
    /// accepts something. If not, sets `grace` to zero.
    fn wait_for_output(&self, grace: Option<&mut Duration>) -> io::Result<bool> {
        let output = PollFd::new(&self.file, PollFlags::OUT);
        let interrupt = PollFd::new(&self.flow.interrupt, PollFlags::IN);
        let timeout = match &grace {
            Some(grace) => Some(**grace),
            None => self.flow.time_left(),
        };
        // The eventfd stays readable once a deadline is set, so it is polled only before that.
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

    /// Whether the cursor is at the beginning of a line that is not one of the live rows.
    fn is_at_line_start(&self) -> bool {
        let is_in_rows = self.rows_at.is_some_and(|rows_at| self.written > rows_at);
        self.written == 0 || (self.buffer[self.written - 1] == b'\n' && !is_in_rows)
    }

    /// Counts the events that have been written completely, and clears `ends`.
    fn count_written(&mut self) {
        let written = self.ends.partition_point(|end| *end <= self.written);
        self.flow.written.fetch_add(written as u64, Ordering::Relaxed);
        self.ends.clear();
    }
}

/// Whether the other end has been closed.
fn is_hung_up(file: &File) -> bool {
    let mut descriptors = [PollFd::new(file, PollFlags::empty())];
    poll(&mut descriptors, Some(&Timespec::default())).is_ok() && descriptors[0].revents().intersects(GONE)
}

/// Waits until the reader of standard output is gone. While there is nothing to write, no write would fail and show it.
pub(crate) async fn reader_gone() {
    // Regular files have no readers, and the kernel refuses to watch them.
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
