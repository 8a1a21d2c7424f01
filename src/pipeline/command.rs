//! `-- COMMAND`: starts the command once all subscriptions are live, passes signals on to it, and waits for its end.
//!
//! The command runs in our process group and with our standard input, so that the terminal and its shell treat both as
//! one job: Ctrl-C and Ctrl-Z reach both, and the command can read the terminal.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use command_fds::{CommandFdExt as _, FdMapping};
use log::{info, warn};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Child;
use tokio::signal::unix::SignalKind;
use tokio::time::{Instant, sleep_until};

use super::End;
use crate::config::CommandLine;
use crate::report::exit::Fault;
use crate::report::service;
use crate::source::live::Live;
use crate::system::descriptors;
use crate::system::signals::{Caught, keep_statuses_of_children};

/// How long events are followed after the end of the command: what is on its way arrives within this time.
const ON_ITS_WAY: Duration = Duration::from_millis(500);

/// How long the program waits for the end of the command after a signal.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// The standard descriptors, which the command always gets.
const STANDARD: std::ops::RangeInclusive<i32> = 0..=2;

/// The command, before, while and after it runs.
#[derive(Debug)]
pub(super) struct Job {
    command: CommandLine,
    live: Rc<Live>,
    /// Set when it is started.
    has_begun: Arc<AtomicBool>,
    /// Whether events are followed after its end until something else ends the program, if it succeeds (`--count`).
    is_counted: bool,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Not all subscriptions are live yet.
    Waiting,
    Running(Running),
    /// It has ended with this status, as a shell reports it. The program ends at that time because of it.
    Ended(u8, Option<Instant>),
    /// It was not started and will not be.
    Never,
    /// The program ends without waiting for it any longer.
    Left,
}

/// A running command.
#[derive(Debug)]
struct Running {
    child: Child,
    id: Pid,
    /// The last signal that is to end the program when the command has ended, and the end of the wait for that.
    caught: Option<(Caught, Instant)>,
    /// Whether it was sent SIGTERM because the program ends.
    is_terminated: bool,
}

/// The end of the wait for a running command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// It has ended with this status, as a shell reports it.
    Status(u8),
    /// A signal ends the program, whether or not the command has ended.
    Signal(i32),
}

impl Job {
    /// A command that is started once `live` reports that all subscriptions are live. `has_begun` is set then.
    pub(super) fn new(command: CommandLine, live: Rc<Live>, has_begun: Arc<AtomicBool>, is_counted: bool) -> Self {
        Self { command, live, has_begun, is_counted, state: State::Waiting }
    }

    /// Whether the command is running.
    pub(super) fn is_running(&self) -> bool {
        matches!(self.state, State::Running(_))
    }

    /// The status with which the command has ended.
    pub(super) fn status(&self) -> Option<u8> {
        match self.state {
            State::Ended(status, _) => Some(status),
            _ => None,
        }
    }

    /// Makes sure that the command will not be started any more.
    pub(super) fn give_up(&mut self) {
        if let State::Waiting = self.state {
            self.state = State::Never;
        }
    }

    /// Starts the command when it is time, and waits until it ends the program. Cancel safe.
    pub(super) async fn next(&mut self) -> End {
        loop {
            match self.state {
                State::Waiting => {
                    self.live.all().await;
                    self.state = State::Never;
                    // From now on, as its first effect can come before `start` returns.
                    self.has_begun.store(true, Ordering::Relaxed);
                    match Running::start(&self.command) {
                        Ok(running) => self.state = State::Running(running),
                        Err(error) => return End::Source(Err(error)),
                    }
                }
                State::Running(_) => {
                    if let Ended::Signal(signal) = self.ended().await {
                        return End::Signal(signal);
                    }
                }
                State::Ended(status, Some(until)) => {
                    sleep_until(until).await;
                    self.state = State::Ended(status, None);
                    return End::Command(status);
                }
                State::Ended(_, None) | State::Never | State::Left => std::future::pending().await,
            }
        }
    }

    /// Waits until the running command has ended, or until a signal that was caught before ends the program. Cancel
    /// safe.
    pub(super) async fn ended(&mut self) -> Ended {
        let State::Running(running) = &mut self.state else { return std::future::pending().await };
        let ended = running.ended().await;
        let is_over = |status: u8| status != 0 || !self.is_counted;
        self.state = match ended {
            Ended::Status(status) => {
                info!("the command has ended with status {status}");
                State::Ended(status, is_over(status).then(|| Instant::now() + ON_ITS_WAY))
            }
            Ended::Signal(_) => State::Left,
        };
        ended
    }

    /// Passes a signal on to a running command, unless the terminal has sent it to both, and has it end the program when
    /// the command has ended. Returns the signal if it ends the program now.
    pub(super) fn catch(&mut self, caught: Caught) -> Option<i32> {
        let State::Running(running) = &mut self.state else { return Some(caught.number) };
        if !caught.is_from_terminal {
            running.send(caught.number);
        }
        let is_second = running.caught.is_some_and(|(before, _)| !before.is_for_command());
        if is_second && !caught.is_for_command() {
            self.state = State::Left;
            return Some(caught.number);
        }
        running.caught = Some((caught, Instant::now() + PATIENCE));
        None
    }

    /// Sends a running command SIGTERM, because the program ends; returns until when to wait for its end.
    pub(super) fn terminate(&mut self) -> Instant {
        if let State::Running(running) = &mut self.state
            && !std::mem::replace(&mut running.is_terminated, true)
        {
            running.send(Signal::TERM.as_raw());
        }
        Instant::now() + PATIENCE
    }

    /// Reports that a running command goes on although the program ends.
    pub(super) fn leave(&mut self) {
        if let State::Running(running) = &self.state {
            running.report_left();
            self.state = State::Left;
        }
    }
}

impl Caught {
    /// Whether the command decides what comes of the signal: the interrupt key of a terminal. An interpreter, for
    /// example, ends a statement then, and not itself.
    fn is_for_command(self) -> bool {
        self.is_from_terminal && self.number == SignalKind::interrupt().as_raw_value()
    }
}

impl Running {
    fn start(command: &CommandLine) -> anyhow::Result<Self> {
        keep_statuses_of_children()?;
        let mut prepared = std::process::Command::new(&command.program);
        prepared.args(&command.arguments).stdout(Stdio::from(descriptors::stderr()?));
        service::withhold(&mut prepared);
        // All other descriptors of ours are closed when a program is executed.
        if let Some(number) = command.withheld.filter(|number| !STANDARD.contains(number)) {
            let nothing = FdMapping { parent_fd: File::open("/dev/null")?.into(), child_fd: number };
            prepared.fd_mappings(vec![nothing])?;
        }
        let mut prepared = tokio::process::Command::from(prepared);
        let child = prepared.spawn().map_err(|error| unstarted(&command.program, &error))?;
        let id = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)).context("a process without an id")?;
        info!("started the command as process {}", id.as_raw_nonzero());
        Ok(Self { child, id, caught: None, is_terminated: false })
    }

    /// Sends a signal, and wakes the command if it is stopped.
    fn send(&self, number: i32) {
        // It has not been waited for, so its id is that of no other process. It may have ended.
        if let Some(signal) = Signal::from_named_raw(number) {
            let _ = kill_process(self.id, signal);
            let _ = kill_process(self.id, Signal::CONT);
        }
    }

    fn report_left(&self) {
        warn!("the command has not ended within {PATIENCE:?}; process {} goes on", self.id.as_raw_nonzero());
    }

    async fn ended(&mut self) -> Ended {
        loop {
            let caught = self.caught;
            let is_up = async {
                match caught {
                    Some((_, until)) => sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                status = self.child.wait() => {
                    let status = status.map_or(1, shell_status);
                    return caught.map_or(Ended::Status(status), |(caught, _)| Ended::Signal(caught.number));
                }
                () = is_up => match self.caught.take() {
                    // The command has handled it, and goes on. So does the program.
                    Some((caught, _)) if caught.is_for_command() => {}
                    Some((caught, _)) => {
                        self.report_left();
                        return Ended::Signal(caught.number);
                    }
                    None => {}
                }
            }
        }
    }
}

/// The exit status as a shell reports it.
fn shell_status(status: ExitStatus) -> u8 {
    let status = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    status.and_then(|status| u8::try_from(status).ok()).unwrap_or(1)
}

/// The error of a command that cannot be started, with the status that a shell would give.
fn unstarted(program: &OsStr, error: &io::Error) -> Fault {
    let name = &*program.to_string_lossy();
    let path = Path::new(program);
    if error.kind() == ErrorKind::NotFound {
        if name.contains('/') && path.exists() {
            return Fault::command(
                format!("cannot start {name:?}: the interpreter that its first line names is not found"),
                true,
            )
            .hint(format!("see the first line: head -n1 {name}"));
        }
        let fault = Fault::command(format!("cannot start {name:?}: there is no such command"), false);
        return if name.ends_with(':') {
            fault.hint(format!("remotes stand before the `--`: lxmon {name} -- COMMAND"))
        } else if name.contains(char::is_whitespace) {
            fault.hint("write the command and each argument as a word of its own, or: -- sh -c 'COMMAND'")
        } else {
            fault.hint("what follows `--` is a program and its arguments; for a shell's command: -- sh -c 'COMMAND'")
        };
    }
    let fault = Fault::command(format!("cannot start {name:?}: {error}"), true);
    match error.kind() {
        ErrorKind::PermissionDenied if path.is_dir() => {
            Fault::command(format!("cannot start {name:?}: it is a directory"), true).hint("name a program in it")
        }
        ErrorKind::PermissionDenied if path.metadata().is_ok_and(|file| file.permissions().mode() & 0o111 == 0) => {
            fault.hint(format!("make it executable: chmod +x {name}; or run it with its interpreter: -- sh {name}"))
        }
        _ if error.raw_os_error() == Some(rustix::io::Errno::NOEXEC.raw_os_error()) => {
            fault.hint("a script needs a first line such as #!/bin/sh")
        }
        _ => fault.hint(format!("try it without lxmon: {name}")),
    }
}
