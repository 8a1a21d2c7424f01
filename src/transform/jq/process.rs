//! Starts and ends the process that runs the expression, and exchanges requests and answers with it.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::BorrowedFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::worker;

/// The time that an expression may take for one event. Servers end connections whose events are not read for 5 s, but
/// events are read into `--buffer` meanwhile.
const MOST_TIME: Duration = Duration::from_secs(10);

/// The time after the end of the run in which events that were received are still transformed.
const LAST_TIME: Duration = Duration::from_millis(250);

/// The maximum length of all results for one event, in bytes.
const MOST_RESULTS: usize = 64 << 20;

/// How many bytes are read at once.
const READ: usize = 64 << 10;

/// The running process.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
    /// What was read and is not a whole answer.
    received: Vec<u8>,
}

/// What a process answers first.
pub(super) enum Started {
    /// The expression is valid. Whether no result of it can be an event.
    Ready(bool),
    /// The expression is not valid: what is wrong, and a hint.
    Mistake(String, String),
}

/// A result for an event.
#[derive(Debug)]
pub(super) enum Answer {
    /// The event itself.
    Unchanged,
    /// JSON.
    Value(String),
}

/// Why an exchange ends before its last answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// The process has ended.
    Died,
    /// One event takes too long.
    TooSlow,
    /// One event has too many or too long results.
    TooMuch,
    /// The run has ended.
    Interrupted,
}

/// The answers to one request: its results, or why the expression fails.
pub(super) type Answers = Result<Vec<Answer>, String>;

impl Process {
    /// Starts the process and gives it the expression.
    ///
    /// # Errors
    /// The process cannot be started, or does not answer.
    pub(super) fn start(expression: &str) -> io::Result<(Self, Started)> {
        let mut command = Command::new("/proc/self/exe");
        // Nothing of the environment is for an expression, except in which time zone `localtime` is.
        command.arg0(worker::NAME).env_clear().envs(std::env::var_os("TZ").map(|zone| ("TZ", zone))).current_dir("/");
        // In a group of its own, a Ctrl-C does not end it before the last events are transformed.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            unreachable!("both are pipes")
        };
        rustix::fs::fcntl_setfl(&input, OFlags::NONBLOCK)?;
        rustix::fs::fcntl_setfl(&output, OFlags::NONBLOCK)?;
        let mut process = Self { child, input, output, received: Vec::new() };
        let mut request = Vec::with_capacity(expression.len() + 4);
        push_length(expression, &mut request);
        request.extend_from_slice(expression.as_bytes());
        let mut started = None;
        let outcome = process.talk(&request, None, |tag, text| {
            started = Some(if tag == worker::READY {
                Started::Ready(!text.is_empty())
            } else {
                let (what, hint) = text.split_once('\0').unwrap_or((text, ""));
                Started::Mistake(what.to_owned(), hint.to_owned())
            });
            Progress::Finished
        });
        match (started, outcome) {
            (Some(started), Ok(())) => Ok((process, started)),
            (_, Err(broken)) => Err(io::Error::other(process.end(broken))),
            (None, Ok(())) => Err(ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Sends requests and passes the answers to each to `answered`, in order. There are `count` requests.
    ///
    /// # Errors
    /// Not all of them are answered. Then the process must be ended.
    pub(super) fn exchange(
        &mut self,
        requests: &[u8],
        count: usize,
        interrupt: BorrowedFd<'_>,
        mut answered: impl FnMut(Answers),
    ) -> Result<(), Broken> {
        let mut results = Vec::new();
        let (mut size, mut done) = (0, 0);
        self.talk(requests, Some(interrupt), |tag, text| {
            match tag {
                worker::UNCHANGED => results.push(Answer::Unchanged),
                worker::VALUE => results.push(Answer::Value(text.to_owned())),
                worker::DONE => answered(Ok(std::mem::take(&mut results))),
                _ => {
                    results.clear();
                    answered(Err(text.to_owned()));
                }
            }
            if tag == worker::UNCHANGED || tag == worker::VALUE {
                size += text.len() + size_of::<Answer>();
                return if size > MOST_RESULTS { Progress::TooMuch } else { Progress::Result };
            }
            size = 0;
            done += 1;
            if done == count { Progress::Finished } else { Progress::Next }
        })
    }

    /// Sends `requests` and calls `each` with the tag and the text of each answer until that says that it was the last.
    fn talk(
        &mut self,
        mut requests: &[u8],
        interrupt: Option<BorrowedFd<'_>>,
        mut each: impl FnMut(u8, &str) -> Progress,
    ) -> Result<(), Broken> {
        let mut interrupt = interrupt;
        let mut deadline = Instant::now() + MOST_TIME;
        loop {
            let mut at = 0;
            while let Some((tag, text)) = answer_at(&self.received, at) {
                at += worker::HEAD + text.len();
                match each(tag, &String::from_utf8_lossy(text)) {
                    Progress::Next if interrupt.is_some() => deadline = Instant::now() + MOST_TIME,
                    Progress::Result | Progress::Next => {}
                    Progress::Finished => {
                        self.received.drain(..at);
                        return Ok(());
                    }
                    Progress::TooMuch => return Err(Broken::TooMuch),
                }
            }
            self.received.drain(..at);
            if self.received.len() > MOST_RESULTS {
                return Err(Broken::TooMuch);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(if interrupt.is_none() { Broken::Interrupted } else { Broken::TooSlow });
            }
            let is_interrupted = self.wait(!requests.is_empty(), interrupt, left);
            if is_interrupted {
                interrupt = None;
                deadline = deadline.min(Instant::now() + LAST_TIME);
            }
            if !self.receive()? {
                return Err(Broken::Died);
            }
            match self.input.write(requests) {
                Ok(sent) => requests = &requests[sent..],
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                // The process has ended, which reading shows.
                Err(_) => requests = &[],
            }
        }
    }

    /// Waits until there is something to read or, with `sends`, until something can be written. Returns whether the run
    /// has ended.
    fn wait(&self, sends: bool, interrupt: Option<BorrowedFd<'_>>, time: Duration) -> bool {
        let mut descriptors = vec![PollFd::new(&self.output, PollFlags::IN)];
        if let Some(interrupt) = &interrupt {
            descriptors.push(PollFd::new(interrupt, PollFlags::IN));
        }
        if sends {
            descriptors.push(PollFd::new(&self.input, PollFlags::OUT));
        }
        let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        let timeout = Timespec { tv_sec: seconds, tv_nsec: time.subsec_nanos().into() };
        // After an error the pipes are tried, and the deadline is checked.
        let _ = poll(&mut descriptors, Some(&timeout));
        interrupt.is_some() && !descriptors[1].revents().is_empty()
    }

    /// Reads what is there. Returns false at the end.
    fn receive(&mut self) -> Result<bool, Broken> {
        loop {
            self.received.reserve(READ);
            match rustix::io::read(&self.output, spare_capacity(&mut self.received)) {
                Ok(0) => return Ok(false),
                Ok(read) if read < READ => return Ok(true),
                Ok(_) if self.received.len() > MOST_RESULTS => return Err(Broken::TooMuch),
                Ok(_) | Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) => return Ok(true),
                Err(_) => return Ok(false),
            }
        }
    }

    /// Ends the process, and returns what has broken the exchange, as a sentence's end.
    pub(super) fn end(mut self, broken: Broken) -> String {
        const MOST_WORDS: u64 = 4 << 10;
        let _ = self.child.kill();
        let status = self.child.wait();
        match broken {
            Broken::TooSlow => return format!("it takes longer than {} s", MOST_TIME.as_secs()),
            Broken::TooMuch => return format!("its results are longer than {} MiB", MOST_RESULTS >> 20),
            Broken::Interrupted => return "the program ends".into(),
            Broken::Died => {}
        }
        let mut words = Vec::new();
        if let Some(stderr) = self.child.stderr.take() {
            let _ = stderr.take(MOST_WORDS).read_to_end(&mut words);
        }
        let words = String::from_utf8_lossy(&words);
        if words.contains("overflowed its stack") {
            "it recurses too deeply".into()
        } else if words.contains("memory allocation") || words.contains("capacity overflow") {
            format!("it needs more than {} GiB of memory", worker::MEMORY >> 30)
        } else {
            let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
            let words = words.lines().next().map(|line| format!(": {line}")).unwrap_or_default();
            format!("the process that evaluates it has ended ({status}){words}")
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What an answer means for the exchange.
enum Progress {
    /// It is a result.
    Result,
    /// It is the last one to a request.
    Next,
    /// It is the last one of all.
    Finished,
    /// There are too many results for one request.
    TooMuch,
}

/// The tag and the text of the answer at this offset, if it is there in full.
fn answer_at(received: &[u8], at: usize) -> Option<(u8, &[u8])> {
    let (head, rest) = received.get(at..)?.split_at_checked(worker::HEAD)?;
    let length = u32::from_le_bytes(*head.last_chunk()?);
    Some((head[0], rest.get(..length as usize)?))
}

/// Appends the length of `text`. A message has at most 64 MiB.
pub(super) fn push_length(text: &str, request: &mut Vec<u8>) {
    request.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
}
