//! Runs the program as a user does, in a clean environment.

use std::io::{BufRead as _, BufReader, Read};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long a test waits before it considers something stuck: far longer than anything takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Exit status, or 128 and the signal's number.
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// The program with these arguments, no configuration, and none of the caller's environment.
pub(crate) fn lxmon<A: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lxmon"));
    command.args(arguments).env_clear().env("HOME", "/nonexistent").env("LANG", "C.UTF-8").env("TZ", "UTC");
    command
}

/// Runs the program until it ends.
pub(crate) fn run<A: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = A>) -> Outcome {
    finish(&mut lxmon(arguments))
}

/// Runs a prepared command until it ends.
pub(crate) fn finish(command: &mut Command) -> Outcome {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    Running::new(child).end()
}

/// A program that is running.
pub(crate) struct Running {
    child: Child,
    stdout: Option<BufReader<ChildStdout>>,
    stderr: Option<Reading>,
}

impl Running {
    /// Starts the program.
    pub(crate) fn start(command: &mut Command) -> Self {
        Self::start_into(command, Stdio::piped())
    }

    /// Starts the program with this standard output.
    pub(crate) fn start_into(command: &mut Command, stdout: impl Into<Stdio>) -> Self {
        Self::new(command.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped()).spawn().unwrap())
    }

    fn new(mut child: Child) -> Self {
        let stdout = child.stdout.take().map(BufReader::new);
        let stderr = child.stderr.take().map(Reading::new);
        Self { child, stdout, stderr }
    }

    /// The next line of its output.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.as_mut().unwrap().read_line(&mut line).unwrap();
        line
    }

    /// How many unread bytes of its output are in the pipe.
    pub(crate) fn unread(&self) -> u64 {
        rustix::io::ioctl_fionread(self.stdout.as_ref().unwrap().get_ref()).unwrap()
    }

    /// Closes our end of its output's pipe.
    pub(crate) fn close_stdout(&mut self) {
        self.stdout = None;
    }

    /// Waits until standard error contains this text.
    pub(crate) fn wait_for_stderr(&self, text: &str) {
        crate::support::wait_until(|| self.stderr.as_ref().unwrap().so_far().contains(text));
    }

    /// Sends the program a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.child.id().cast_signed()).unwrap(), signal).unwrap();
    }

    /// The child process of the program, which must have exactly one.
    pub(crate) fn only_child(&self) -> Pid {
        let id = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
        Pid::from_raw(children.trim().parse().unwrap()).unwrap()
    }

    /// Waits until the program is in this state, as `proc_pid_status(5)` names it.
    pub(crate) fn wait_for_state(&self, state: &str) {
        let file = format!("/proc/{}/status", self.child.id());
        let line = format!("State:\t{state} ");
        crate::support::wait_until(|| std::fs::read_to_string(&file).unwrap().contains(&line));
    }

    /// The peak of its resident memory, in kB.
    pub(crate) fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Waits until the program ends, and reads its output meanwhile. Kills it if it does not end.
    pub(crate) fn end(mut self) -> Outcome {
        let stdout = self.stdout.take().map(Reading::new);
        let ended = self.wait();
        self.outcome(ended, stdout)
    }

    /// Waits until the program ends, and only then reads the output that is left in the pipe.
    pub(crate) fn end_unread(mut self) -> Outcome {
        let ended = self.wait();
        let stdout = self.stdout.take().map(Reading::new);
        self.outcome(ended, stdout)
    }

    /// Returns None if the program had to be killed.
    fn wait(&mut self) -> Option<ExitStatus> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().unwrap() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        None
    }

    fn outcome(mut self, ended: Option<ExitStatus>, stdout: Option<Reading>) -> Outcome {
        let text = |reading: Option<Reading>| reading.map(Reading::all).unwrap_or_default();
        let (stdout, stderr) = (text(stdout), text(self.stderr.take()));
        let Some(status) = ended else {
            panic!("the program has not ended; stdout:\n{stdout}\nstderr:\n{stderr}");
        };
        Outcome { status: status.code().or(status.signal().map(|signal| 128 + signal)).unwrap(), stdout, stderr }
    }
}

/// A thread that reads a stream to its end, and the bytes that it has read so far.
struct Reading {
    thread: JoinHandle<()>,
    bytes: Arc<Mutex<Vec<u8>>>,
}

impl Reading {
    fn new(mut from: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&bytes);
        let thread = std::thread::spawn(move || {
            let mut some = vec![0; 64 << 10];
            while let Ok(length @ 1..) = from.read(&mut some) {
                into.lock().unwrap().extend_from_slice(&some[..length]);
            }
        });
        Self { thread, bytes }
    }

    fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap()).into_owned()
    }

    fn all(self) -> String {
        self.thread.join().unwrap();
        // The program may be killed in the middle of a character.
        String::from_utf8_lossy(&std::mem::take(&mut *self.bytes.lock().unwrap())).into_owned()
    }
}

/// Copies the program. Another process does this: a child that another test starts meanwhile would inherit the open file,
/// and while that child has it open, the copy cannot be executed (`ETXTBSY`).
pub(crate) fn copy_program(to: &Path) {
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_lxmon")).arg(to).status();
    assert!(copied.unwrap().success());
}

/// The lines of a stream, which a thread reads.
pub(crate) struct Lines(mpsc::Receiver<String>);

impl Lines {
    pub(crate) fn new(from: impl Read + Send + 'static) -> Self {
        let (line, lines) = mpsc::channel();
        std::thread::spawn(move || {
            BufReader::new(from).lines().map_while(Result::ok).try_for_each(|text| line.send(text))
        });
        Self(lines)
    }

    /// The next line, or None if no line arrives within `time`.
    pub(crate) fn next_within(&mut self, time: Duration) -> Option<String> {
        self.0.recv_timeout(time).ok()
    }
}
