//! A program that follows a server, and what it has printed so far.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::program::PATIENCE;

/// The program and its lines.
pub(crate) struct Follower {
    child: Child,
    lines: mpsc::Receiver<String>,
    notices: mpsc::Receiver<String>,
    /// Whether its output is read as fast as it comes.
    released: Arc<AtomicBool>,
    /// Everything it has printed.
    pub(crate) seen: Vec<String>,
    /// Everything it has said on standard error.
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

/// Reads a little at a time, and so many bytes a second, until it is released.
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
        // What it did not read while nothing was there it does not make up for.
        self.due = self.due.max(Instant::now()) + Duration::from_secs(1) * u32::try_from(length).unwrap() / self.rate;
        Ok(length)
    }
}

impl Follower {
    /// Starts it; it may not be subscribed yet.
    pub(crate) fn start(command: Command) -> Self {
        Self::start_at(command, None)
    }

    /// Starts it, and reads its output at this rate in bytes per second, if there is one.
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

    /// The same with a slow reader: so many bytes per second.
    pub(crate) fn subscribed_at(command: Command, rate: u32) -> Self {
        Self::start_at(verbose(command), Some(rate)).once_subscribed()
    }

    fn once_subscribed(mut self) -> Self {
        self.wait_for_notice("subscribed after");
        self
    }

    /// Reads a slow reader's rest as fast as it comes.
    pub(crate) fn release(&self) {
        self.released.store(true, Ordering::Relaxed);
    }

    /// Waits for a line on standard error.
    pub(crate) fn wait_for_notice(&mut self, text: &str) {
        let begun = Instant::now();
        while !self.told.iter().any(|line| line.contains(text)) {
            let left = PATIENCE.saturating_sub(begun.elapsed());
            let line = self.notices.recv_timeout(left);
            self.told.push(line.unwrap_or_else(|_| panic!("{text:?} was not told: {:?}", self.told)));
        }
    }

    /// Waits for a line of its output.
    pub(crate) fn wait_for(&mut self, wanted: impl Fn(&str) -> bool) {
        const SHOWN: usize = 20;
        let begun = Instant::now();
        let mut found = self.seen.iter().any(|line| wanted(line));
        while !found {
            let left = PATIENCE.saturating_sub(begun.elapsed());
            let Ok(line) = self.lines.recv_timeout(left) else {
                let last = &self.seen[self.seen.len().saturating_sub(SHOWN)..];
                panic!("it has not come; the last lines: {last:#?}");
            };
            found = wanted(&line);
            self.seen.push(line);
        }
    }

    /// Does something, with the number of the attempt, until a line like this has come: the servers' own clients do not
    /// say when they are subscribed, and members of a cluster do not say when they are connected to each other.
    pub(crate) fn provoke(&mut self, wanted: impl Fn(&str) -> bool, mut act: impl FnMut(usize)) {
        let begun = Instant::now();
        for attempt in 1.. {
            act(attempt);
            self.read_for(Duration::from_millis(100));
            if self.seen.iter().any(|line| wanted(line)) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "not after {attempt} attempts; seen: {:#?}", self.seen);
        }
    }

    /// Reads what comes within a while.
    pub(crate) fn read_for(&mut self, time: Duration) {
        let begun = Instant::now();
        while let Ok(line) = self.lines.recv_timeout(time.saturating_sub(begun.elapsed())) {
            self.seen.push(line);
        }
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.child.id().cast_signed()).unwrap(), signal).unwrap();
    }

    /// Asks it to end, and reads what it still prints.
    pub(crate) fn end(&mut self) -> &[String] {
        self.signal(Signal::TERM);
        self.wait();
        &self.seen
    }

    /// Waits for its end; its exit status, if it had one.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        // Both ends come with the process's.
        for (lines, taken) in [(&self.lines, &mut self.seen), (&self.notices, &mut self.told)] {
            loop {
                match lines.recv_timeout(PATIENCE) {
                    Ok(line) => taken.push(line),
                    Err(RecvTimeoutError::Disconnected) => break,
                    Err(RecvTimeoutError::Timeout) => panic!("it has not ended; the last lines: {taken:#?}"),
                }
            }
        }
        self.child.wait().unwrap().code()
    }

    /// Whether it has said this on standard error by now.
    pub(crate) fn has_told(&mut self, text: &str) -> bool {
        self.told.extend(self.notices.try_iter());
        self.told.iter().any(|line| line.contains(text))
    }

    /// What it has printed, as events.
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
