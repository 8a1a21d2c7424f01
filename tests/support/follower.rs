//! A program that follows a server, and the lines that it has printed so far.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::program::PATIENCE;

/// The program and the lines of its output.
pub(crate) struct Follower {
    child: Child,
    lines: mpsc::Receiver<String>,
    notices: mpsc::Receiver<String>,
    /// Whether its output is read at full speed.
    released: Arc<AtomicBool>,
    /// All lines of its standard output that were read so far.
    pub(crate) seen: Vec<String>,
    /// All lines of its standard error that were read so far.
    pub(crate) told: Vec<String>,
}

fn verbose(mut command: Command) -> Command {
    command.arg("-v");
    command
}

fn lines(from: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (line, lines) = mpsc::channel();
    std::thread::spawn(move || BufReader::new(from).lines().map_while(Result::ok).try_for_each(|text| line.send(text)));
    lines
}

/// Reads small pieces, at `rate` bytes per second, until it is released.
struct Slow<R> {
    inner: R,
    rate: u32,
    due: Instant,
    released: Arc<AtomicBool>,
}

impl<R: Read> Read for Slow<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        const PIECE: usize = 512;
        if self.released.load(Ordering::Relaxed) {
            return self.inner.read(buffer);
        }
        std::thread::sleep(self.due.saturating_duration_since(Instant::now()));
        let most = buffer.len().min(PIECE);
        let length = self.inner.read(&mut buffer[..most])?;
        // Time in which there was nothing to read is not made up for by faster reading.
        self.due = self.due.max(Instant::now()) + Duration::from_secs(1) * u32::try_from(length).unwrap() / self.rate;
        Ok(length)
    }
}

impl Follower {
    /// Starts the program, which may not be subscribed yet.
    pub(crate) fn start(command: Command) -> Self {
        Self::start_at(command, None)
    }

    /// Starts the program, and reads its output at this rate in bytes per second, or at full speed without one.
    fn start_at(mut command: Command, rate: Option<u32>) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let released = Arc::new(AtomicBool::new(rate.is_none()));
        let slow =
            Slow { inner: stdout, rate: rate.unwrap_or(1), due: Instant::now(), released: Arc::clone(&released) };
        Self { child, lines: lines(slow), notices: lines(stderr), released, seen: Vec::new(), told: Vec::new() }
    }

    /// Starts lxmon with `-v` and waits until it is subscribed.
    pub(crate) fn subscribed(command: Command) -> Self {
        Self::start(verbose(command)).once_subscribed()
    }

    /// Like `subscribed`, with a slow reader: `rate` bytes per second.
    pub(crate) fn subscribed_at(command: Command, rate: u32) -> Self {
        Self::start_at(verbose(command), Some(rate)).once_subscribed()
    }

    fn once_subscribed(mut self) -> Self {
        self.wait_for_notice("subscribed after");
        self
    }

    /// Makes a slow reader read the rest at full speed.
    pub(crate) fn release(&self) {
        self.released.store(true, Ordering::Relaxed);
    }

    /// Waits for a line with this text on standard error.
    pub(crate) fn wait_for_notice(&mut self, text: &str) {
        let begun = Instant::now();
        while !self.told.iter().any(|line| line.contains(text)) {
            let left = PATIENCE.saturating_sub(begun.elapsed());
            let line = self.notices.recv_timeout(left);
            self.told.push(line.unwrap_or_else(|_| panic!("{text:?} is not on standard error: {:?}", self.told)));
        }
    }

    /// Waits for a line of its output that `wanted` accepts.
    pub(crate) fn wait_for(&mut self, wanted: impl Fn(&str) -> bool) {
        const SHOWN: usize = 20;
        let begun = Instant::now();
        let mut found = self.seen.iter().any(|line| wanted(line));
        while !found {
            let left = PATIENCE.saturating_sub(begun.elapsed());
            let Ok(line) = self.lines.recv_timeout(left) else {
                let last = &self.seen[self.seen.len().saturating_sub(SHOWN)..];
                panic!("the line has not been printed; the last lines: {last:#?}");
            };
            found = wanted(&line);
            self.seen.push(line);
        }
    }

    /// Calls `act` with the number of the attempt until a wanted line has been printed: the servers' own clients do not
    /// report when they are subscribed, nor members of a cluster when they are connected to each other.
    pub(crate) fn provoke(&mut self, wanted: impl Fn(&str) -> bool, mut act: impl FnMut(usize)) {
        let begun = Instant::now();
        for attempt in 1.. {
            act(attempt);
            self.read_for(Duration::from_millis(100));
            if self.seen.iter().any(|line| wanted(line)) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "no such line after {attempt} attempts; printed: {:#?}", self.seen);
        }
    }

    /// Reads the lines that are printed within `time`.
    pub(crate) fn read_for(&mut self, time: Duration) {
        let begun = Instant::now();
        while let Ok(line) = self.lines.recv_timeout(time.saturating_sub(begun.elapsed())) {
            self.seen.push(line);
        }
    }

    /// The process id of the program.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends the program a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.child.id().cast_signed()).unwrap(), signal).unwrap();
    }

    /// Sends SIGTERM, reads the output to its end, and returns everything that was printed.
    pub(crate) fn end(&mut self) -> &[String] {
        self.signal(Signal::TERM);
        self.wait();
        &self.seen
    }

    /// Waits until the program ends, and returns its exit status, or None if a signal ended it.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        // Both streams end when the process does.
        for (lines, taken) in [(&self.lines, &mut self.seen), (&self.notices, &mut self.told)] {
            loop {
                match lines.recv_timeout(PATIENCE) {
                    Ok(line) => taken.push(line),
                    Err(RecvTimeoutError::Disconnected) => break,
                    Err(RecvTimeoutError::Timeout) => panic!("the program has not ended; its lines: {taken:#?}"),
                }
            }
        }
        self.child.wait().unwrap().code()
    }

    /// Returns whether this text has been on standard error by now.
    pub(crate) fn has_told(&mut self, text: &str) -> bool {
        self.told.extend(self.notices.try_iter());
        self.told.iter().any(|line| line.contains(text))
    }

    /// The printed lines, parsed as events.
    pub(crate) fn events(&self) -> Vec<Value> {
        self.seen.iter().filter(|line| !line.is_empty()).map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
