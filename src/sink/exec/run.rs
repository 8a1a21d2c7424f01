//! Runs the command: one process at a time, with the events on its standard input and the parts of the last one in
//! environment variables. Nothing of an event is ever part of the text that the shell reads.

use std::io::{self, stderr};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::warn;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::failures::{Failure, Failures};
use super::waiting::{Line, Next, Waiting};
use super::{Reaction, Remotes, events, variables};
use crate::report::service;
use crate::system::signals;

/// The shell of system(3).
const SHELL: &str = "/bin/sh";

/// How many bytes are collected for one write to the command.
const CHUNK: usize = 64 << 10;

/// How long the pipe to the command may accept nothing before it is asked whether the command still runs.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// A signal that ends both the command and lxmon reaches them within this time.
const SAME_TIME: Duration = Duration::from_millis(100);

/// The thread's work.
pub(super) struct Runner {
    reaction: Reaction,
    remotes: Remotes,
    waiting: Arc<Waiting>,
    failures: Failures,
    left_out: LeftOut,
}

/// Which reasons for leaving a variable out have been reported.
#[derive(Default)]
struct LeftOut {
    too_long: bool,
    nul: bool,
}

impl Runner {
    pub(super) fn new(reaction: &Reaction, remotes: Remotes, waiting: Arc<Waiting>) -> Self {
        let (reaction, failures, left_out) = (reaction.clone(), Failures::default(), LeftOut::default());
        Self { reaction, remotes, waiting, failures, left_out }
    }

    /// Runs the command until there are no more events.
    pub(super) fn run(mut self) {
        signals::unblock_all();
        loop {
            match self.waiting.next(self.failures.due()) {
                Next::Run(lines) => {
                    if let Some(failure) = self.react(lines) {
                        self.failures.note(failure, Instant::now());
                    }
                }
                Next::Nothing => self.failures.report(Instant::now()),
                Next::End => break,
            }
        }
        self.failures.finish();
    }

    /// Runs the command for some events, and returns how it has failed.
    fn react(&mut self, lines: Vec<Line>) -> Option<Failure> {
        let started = self.start(&lines);
        let mut child = match started {
            Ok(child) => child,
            Err(error) => {
                drop(lines);
                self.release();
                return Some(error.into());
            }
        };
        if let Some(stdin) = child.stdin.take() {
            feed(&mut child, &stdin.into(), &lines);
        }
        drop(lines);
        self.release();
        let failure = match child.wait() {
            Ok(status) => Failure::of(status),
            Err(error) => Some(error.into()),
        };
        failure.filter(|failure| !self.is_expected(failure))
    }

    /// Whether the command has failed because the program ends too: the reader of its output is gone, or both have got
    /// the signal, as from a terminal.
    fn is_expected(&self, failure: &Failure) -> bool {
        match failure {
            Failure::Signal(signals::BROKEN_PIPE) => self.reaction.owns_stdout,
            // SIGHUP, SIGINT and SIGTERM, or what a shell makes of them.
            Failure::Signal(1 | 2 | 15) | Failure::Status(129 | 130 | 143) => self.waiting.is_stopped_within(SAME_TIME),
            _ => false,
        }
    }

    /// The memory of the events is free again.
    fn release(&self) {
        if let Some(dropped) = self.waiting.release() {
            warn!(
                "--exec: {} dropped, because the command was too slow; --debounce runs it less often, --buffer lets more wait",
                events(dropped)
            );
        }
    }

    /// Starts the command. A variable that cannot be set is left out.
    fn start(&mut self, lines: &[Line]) -> io::Result<Child> {
        let mut variables = match lines.last() {
            Some(last) => variables::of(last, lines.len(), &self.remotes),
            None => Vec::new(),
        };
        if let Some(at) = variables.iter().position(|(_, value)| value.contains('\0')) {
            if !std::mem::replace(&mut self.left_out.nul, true) {
                report_left_out(variables[at].0, "it contains a NUL");
            }
            variables.retain(|(_, value)| !value.contains('\0'));
        }
        loop {
            match self.command(&variables)?.spawn() {
                // One variable is longer than 128 KiB, or all variables and arguments together are longer than a
                // quarter of the limit of the stack (execve(2)).
                Err(error) if error.raw_os_error() == Some(Errno::TOOBIG.raw_os_error()) && !variables.is_empty() => {
                    let sizes = variables.iter().map(|(_, value)| value.len()).enumerate();
                    let longest = sizes.max_by_key(|(_, size)| *size).map_or(0, |(index, _)| index);
                    let (name, value) = variables.swap_remove(longest);
                    if !std::mem::replace(&mut self.left_out.too_long, true) {
                        report_left_out(name, &format!("{} bytes are too long for the environment", value.len()));
                    }
                }
                outcome => return outcome,
            }
        }
    }

    fn command(&self, variables: &[(&'static str, String)]) -> io::Result<Command> {
        let output =
            if self.reaction.owns_stdout { Stdio::inherit() } else { stderr().as_fd().try_clone_to_owned()?.into() };
        let mut command = Command::new(SHELL);
        // `--`, so that a text that begins with a hyphen is no option.
        command.arg0("sh").args(["-c", "--", &self.reaction.command]).stdin(Stdio::piped()).stdout(output);
        service::withhold(&mut command);
        for name in variables::NAMES {
            command.env_remove(name);
        }
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        Ok(command)
    }
}

fn report_left_out(name: &str, why: &str) {
    warn!("--exec: {name} is not set where it cannot be: {why}; the event on standard input is complete");
}

/// Writes the events to the command. Ends early when the command has closed its standard input or has ended: what it
/// does not read is no error. Another process may keep the pipe open then, and never read it.
fn feed(child: &mut Child, stdin: &OwnedFd, lines: &[Line]) {
    // Without this a write could last for ever.
    if rustix::io::ioctl_fionbio(stdin, true).is_err() {
        return;
    }
    let mut chunk = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        chunk.extend_from_slice(&line.text);
        if chunk.len() >= CHUNK || index + 1 == lines.len() {
            if !write(child, stdin, &chunk) {
                return;
            }
            chunk.clear();
        }
    }
}

/// Writes all of `text`, or returns false if nobody reads it any more.
fn write(child: &mut Child, stdin: &OwnedFd, mut text: &[u8]) -> bool {
    while !text.is_empty() {
        match rustix::io::write(stdin, text) {
            Ok(written) => text = &text[written..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let ready = poll(&mut [PollFd::new(stdin, PollFlags::OUT)], Some(&LOOK));
                if ready == Ok(0) && !matches!(child.try_wait(), Ok(None)) {
                    return false;
                }
            }
            // EPIPE: the command has closed it.
            Err(_) => return false,
        }
    }
    true
}
