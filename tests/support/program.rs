//! Runs the program as a user does, in a clean environment: to its end, or under the eyes of a test that reads its
//! output, sends it signals and chooses its standard streams.

use std::borrow::BorrowMut;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::Value;

use crate::support::wait_until;

/// How long a test waits before it considers something stuck: far longer than anything takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Exit status, or 128 and the signal's number.
    pub(crate) status: i32,
    /// The part of its standard output that the test had not read yet.
    pub(crate) stdout: String,
    /// All of its standard error.
    pub(crate) stderr: String,
}

/// The program with these arguments, no configuration, and none of the caller's environment.
pub(crate) fn lxmon<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lxmon"));
    command.args(arguments).env_clear().env("HOME", "/nonexistent").env("LANG", "C.UTF-8").env("TZ", "UTC");
    // Some systems trust no authority at all.
    command.env("SSL_CERT_FILE", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/authority.pem"));
    command
}

/// Runs the program until it ends.
pub(crate) fn run<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Outcome {
    finish(&mut lxmon(arguments))
}

/// Runs a prepared command until it ends.
pub(crate) fn finish(command: &mut Command) -> Outcome {
    Follower::start(command).end()
}

/// Runs a prepared command until it ends, with a pipe for its standard input from which it reads `input`.
pub(crate) fn finish_with_input(command: &mut Command, input: &[u8]) -> Outcome {
    let mut follower = Follower::start_with(command, [Stdio::piped(), Stdio::piped(), Stdio::piped()]);
    // Otherwise the program and the test might each wait until the other one reads.
    follower.read_ahead();
    follower.write(input);
    follower.stdin = None;
    follower.end()
}

/// Copies the program. Another process does this: a child that another test starts meanwhile would inherit the open file,
/// and while that child has it open, the copy cannot be executed (`ETXTBSY`).
pub(crate) fn copy_program(to: &Path) {
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_lxmon")).arg(to).status();
    assert!(copied.unwrap().success());
}

/// Both ends of a new pseudo-terminal that is not the controlling terminal of any process: ours, and the one for the
/// program.
pub(crate) fn terminal() -> (File, File) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap().into_string().unwrap();
    let no_controlling = i32::try_from(OFlags::NOCTTY.bits()).unwrap();
    let theirs = File::options().read(true).write(true).custom_flags(no_controlling).open(name).unwrap();
    (ours.into(), theirs)
}

/// A program that is running, usually lxmon. It is killed when this value is dropped.
///
/// A thread reads its standard error from the start. Its standard output stays in its pipe at first, so that a test can
/// be a reader that has stopped; [`Follower::line`] reads one line of it. As soon as a test waits for something else (a
/// line with given text, a notice, the end), a thread reads the standard output too.
pub(crate) struct Follower {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Output,
    stderr: Receiver<String>,
    /// Whether a slow reader reads at full speed from now on.
    released: Arc<AtomicBool>,
    /// All lines of its standard output that were read so far, except those that `line` has returned.
    pub(crate) seen: Vec<String>,
    /// All lines of its standard error that were read so far.
    pub(crate) notices: Vec<String>,
    /// The same as it was printed.
    noticed: String,
}

/// Who reads the standard output.
enum Output {
    /// Only the test, when it asks for a line.
    Pipe(BufReader<ChildStdout>),
    /// A thread, which sends the lines.
    Lines(Receiver<String>),
}

impl Follower {
    /// Starts the program with no input, and with pipes for its output.
    pub(crate) fn start(command: impl BorrowMut<Command>) -> Self {
        Self::start_into(command, Stdio::piped())
    }

    /// Starts the program with no input and this standard output.
    pub(crate) fn start_into(command: impl BorrowMut<Command>, stdout: impl Into<Stdio>) -> Self {
        Self::start_with(command, [Stdio::null(), stdout.into(), Stdio::piped()])
    }

    /// Starts the program with these streams: standard input, standard output, and standard error.
    pub(crate) fn start_with(mut command: impl BorrowMut<Command>, [stdin, stdout, stderr]: [Stdio; 3]) -> Self {
        let mut child = command.borrow_mut().stdin(stdin).stdout(stdout).stderr(stderr).spawn().unwrap();
        let stdout = child.stdout.take().map(|pipe| Output::Pipe(BufReader::new(pipe)));
        Self {
            stdin: child.stdin.take(),
            stdout: stdout.unwrap_or_else(|| Output::Lines(mpsc::channel().1)),
            stderr: child.stderr.take().map_or_else(|| mpsc::channel().1, lines),
            child,
            released: Arc::default(),
            seen: Vec::new(),
            notices: Vec::new(),
            noticed: String::new(),
        }
    }

    /// Starts lxmon with `-v` and waits until it is subscribed.
    pub(crate) fn subscribed(mut command: Command) -> Self {
        let mut follower = Self::start(command.arg("-v"));
        follower.wait_for_notice("subscribed after");
        follower
    }

    /// Like `subscribed`, with a slow reader: `rate` bytes per second.
    pub(crate) fn subscribed_at(mut command: Command, rate: u32) -> Self {
        let mut follower = Self::start(command.arg("-v"));
        let slow = follower.output_at(rate, Arc::clone(&follower.released));
        follower.stdout = Output::Lines(lines(slow));
        follower.wait_for_notice("subscribed after");
        follower
    }

    /// Makes a slow reader read the rest at full speed.
    pub(crate) fn release(&self) {
        self.released.store(true, Ordering::Relaxed);
    }

    /// Has a thread read the standard output from here on.
    fn read_ahead(&mut self) -> &Receiver<String> {
        if let Output::Pipe(_) = self.stdout {
            let pipe = self.pipe();
            self.stdout = Output::Lines(lines(pipe));
        }
        let Output::Lines(lines) = &self.stdout else { unreachable!() };
        lines
    }

    /// Takes the pipe from which nobody else reads.
    fn pipe(&mut self) -> BufReader<ChildStdout> {
        match std::mem::replace(&mut self.stdout, Output::Lines(mpsc::channel().1)) {
            Output::Pipe(pipe) => pipe,
            Output::Lines(_) => panic!("a thread reads the standard output, or it is no pipe"),
        }
    }

    /// Takes its standard output, of which nothing has been read yet, for a test that reads it in its own way.
    pub(crate) fn output(&mut self) -> ChildStdout {
        let pipe = self.pipe();
        assert!(pipe.buffer().is_empty(), "a part of the standard output has been read");
        pipe.into_inner()
    }

    /// The same for a slow reader: `rate` bytes per second until `released`, and then the rest at full speed.
    pub(crate) fn output_at(&mut self, rate: u32, released: Arc<AtomicBool>) -> Slow {
        Slow { inner: self.output(), rate, due: Instant::now(), released }
    }

    /// Closes our end of its output's pipe, so that the program loses its reader.
    pub(crate) fn close_stdout(&mut self) {
        drop(self.pipe());
    }

    /// How many unread bytes of its output are in the pipe.
    pub(crate) fn unread(&self) -> u64 {
        let Output::Pipe(pipe) = &self.stdout else { panic!("a thread reads the standard output, or it is no pipe") };
        rustix::io::ioctl_fionread(pipe.get_ref()).unwrap()
    }

    /// Writes to its standard input, which stays open.
    pub(crate) fn write(&mut self, input: &[u8]) {
        // Fails if the program ends before it has read everything.
        let _ = self.stdin.as_mut().unwrap().write_all(input);
    }

    /// Ends its standard input.
    pub(crate) fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// The next line of its output, with its line feed; empty at the end.
    pub(crate) fn line(&mut self) -> String {
        match &mut self.stdout {
            Output::Pipe(pipe) => {
                let mut line = String::new();
                pipe.read_line(&mut line).unwrap();
                line
            }
            Output::Lines(lines) => match lines.recv_timeout(PATIENCE) {
                Ok(line) => line,
                Err(RecvTimeoutError::Disconnected) => String::new(),
                Err(RecvTimeoutError::Timeout) => panic!("no line has been printed; notices: {:#?}", self.notices),
            },
        }
    }

    /// Reads the next line of its output into `seen`; false if none comes before the deadline or at all.
    pub(crate) fn see_line(&mut self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok(line) = self.read_ahead().recv_timeout(left) else { return false };
        self.seen.push(without_line_feed(&line));
        true
    }

    /// Waits for a line of its output that `wanted` accepts.
    pub(crate) fn wait_for(&mut self, wanted: impl Fn(&str) -> bool) {
        const SHOWN: usize = 20;
        let deadline = Instant::now() + PATIENCE;
        let mut found = self.seen.iter().any(|line| wanted(line));
        while !found {
            if !self.see_line(deadline) {
                let last = &self.seen[self.seen.len().saturating_sub(SHOWN)..];
                panic!("the line has not been printed; the last lines: {last:#?}");
            }
            found = wanted(&self.seen[self.seen.len() - 1]);
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
        let deadline = Instant::now() + time;
        while self.see_line(deadline) {}
    }

    /// The printed lines, parsed as events.
    pub(crate) fn events(&self) -> Vec<Value> {
        self.seen.iter().filter(|line| !line.is_empty()).map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Reads the next line of standard error into `notices`; false if none comes before the deadline or at all.
    pub(crate) fn see_notice(&mut self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok(line) = self.stderr.recv_timeout(left) else { return false };
        self.notices.push(without_line_feed(&line));
        self.noticed += &line;
        true
    }

    /// Waits for a line with this text on standard error.
    pub(crate) fn wait_for_notice(&mut self, text: &str) {
        self.read_ahead();
        let deadline = Instant::now() + PATIENCE;
        while !self.notices.iter().any(|line| line.contains(text)) {
            assert!(self.see_notice(deadline), "{text:?} is not on standard error: {:?}", self.notices);
        }
    }

    /// Returns whether this text has been on standard error by now.
    pub(crate) fn has_notice(&mut self, text: &str) -> bool {
        let now = Instant::now();
        while self.see_notice(now) {}
        self.notices.iter().any(|line| line.contains(text))
    }

    /// The process id of the program.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends the program a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// The child process of the program, which must have exactly one, if only soon.
    pub(crate) fn only_child(&self) -> Pid {
        let path = format!("/proc/{0}/task/{0}/children", self.id());
        let children = || std::fs::read_to_string(&path).unwrap();
        wait_until(|| !children().is_empty());
        Pid::from_raw(children().trim().parse().unwrap()).unwrap()
    }

    /// A field of `proc_pid_status(5)`.
    fn status(&self, field: &str) -> String {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let mut fields = status.lines().filter_map(|line| line.split_once(":\t"));
        fields.find(|(name, _)| *name == field).unwrap().1.trim().to_owned()
    }

    /// Waits until the program is in this state, as `proc_pid_status(5)` names it.
    pub(crate) fn wait_for_state(&self, state: &str) {
        wait_until(|| self.status("State").starts_with(&format!("{state} ")));
    }

    /// How often its first thread, which reads, has waited for something.
    pub(crate) fn waits(&self) -> u64 {
        self.status("voluntary_ctxt_switches").parse().unwrap()
    }

    /// The peak of its resident memory, in kB.
    pub(crate) fn peak_memory(&self) -> u64 {
        self.status("VmHWM").trim_end_matches(" kB").parse().unwrap()
    }

    /// Its resident memory, in kB.
    pub(crate) fn resident_memory(&self) -> u64 {
        self.status("VmRSS").trim_end_matches(" kB").parse().unwrap()
    }

    /// How much of its resident memory is mapped from files, in kB: mostly the program itself, which differs between builds.
    pub(crate) fn mapped_memory(&self) -> u64 {
        self.status("RssFile").trim_end_matches(" kB").parse().unwrap()
    }

    /// Waits until the program ends, and reads its output meanwhile.
    pub(crate) fn end(mut self) -> Outcome {
        self.read_ahead();
        self.end_unread()
    }

    /// Waits until the program ends, and only then reads the output that is left in the pipe.
    pub(crate) fn end_unread(mut self) -> Outcome {
        let status = self.exit_status();
        let stdout = self.rest();
        let status = status.code().or(status.signal().map(|signal| 128 + signal)).unwrap();
        Outcome { status, stdout, stderr: std::mem::take(&mut self.noticed) }
    }

    /// Sends SIGTERM, reads the output to its end, and returns everything that was printed.
    pub(crate) fn terminate(&mut self) -> &[String] {
        self.read_ahead();
        self.signal(Signal::TERM);
        self.wait();
        &self.seen
    }

    /// Waits until the program ends, reads its output meanwhile, and returns its exit status, or None if a signal ended
    /// it.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        self.read_ahead();
        let status = self.exit_status();
        let rest = self.rest();
        self.seen.extend(rest.lines().map(str::to_owned));
        status.code()
    }

    /// Waits until the program ends, and reads nothing that is not read by a thread already. Kills it if it does not
    /// end, and panics.
    pub(crate) fn exit_status(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let stdout = self.rest();
        panic!("the program has not ended; stdout:\n{stdout}\nstderr:\n{}", self.noticed);
    }

    /// Reads both streams to their ends, after the program has ended. Returns what was left of its standard output.
    fn rest(&mut self) -> String {
        const OPEN: &str = "another process keeps a stream of the program open";
        let mut stdout = String::new();
        loop {
            match self.read_ahead().recv_timeout(PATIENCE) {
                Ok(line) => stdout += &line,
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("{OPEN}; stdout:\n{stdout}"),
            }
        }
        while self.see_notice(Instant::now() + PATIENCE) {}
        assert_eq!(self.stderr.try_recv(), Err(mpsc::TryRecvError::Disconnected), "{OPEN}; stderr:\n{}", self.noticed);
        stdout
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads a stream to its end in a thread, which sends each line with its line feed.
fn lines(from: impl Read + Send + 'static) -> Receiver<String> {
    let (line, lines) = mpsc::channel();
    std::thread::spawn(move || {
        let (mut from, mut bytes) = (BufReader::new(from), Vec::new());
        while from.read_until(b'\n', &mut bytes).is_ok_and(|length| length > 0) {
            // The program may be killed in the middle of a character.
            let text = String::from_utf8(std::mem::take(&mut bytes));
            let text = text.unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
            if line.send(text).is_err() {
                break;
            }
        }
    });
    lines
}

/// The line as [`str::lines`] returns it.
fn without_line_feed(line: &str) -> String {
    line.lines().next().unwrap_or_default().to_owned()
}

/// A reader that reads `rate` bytes per second until it is released.
pub(crate) struct Slow {
    inner: ChildStdout,
    rate: u32,
    due: Instant,
    released: Arc<AtomicBool>,
}

impl Read for Slow {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.released.load(Ordering::Relaxed) {
            return self.inner.read(buffer);
        }
        std::thread::sleep(self.due.saturating_duration_since(Instant::now()));
        // Small pieces, so that it is released soon.
        let most = buffer.len().min(usize::try_from(self.rate / 20).unwrap().clamp(1, 4096));
        let begun = Instant::now();
        let length = self.inner.read(&mut buffer[..most])?;
        // Time in which there was nothing to read is not made up for by faster reading; a sleep that was too long is.
        self.due += begun.elapsed() + Duration::from_secs(1) * u32::try_from(length).unwrap() / self.rate;
        Ok(length)
    }
}
