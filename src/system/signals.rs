//! The signals that end the program, SIGXFSZ, which must not, the signals that concern its terminal, and what children
//! inherit.

use std::io;
use std::sync::Arc;

use nix::sys::signal::SigSet;
use nix::unistd::{Pid, getpgid, getpgrp, getppid, getsid};
use signal_hook::consts::{SIGCHLD, SIGCONT, SIGPIPE, SIGQUIT, SIGTSTP, SIGXFSZ};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::low_level::siginfo::Cause;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGINT, SIGTERM and SIGHUP, except those that were ignored when the program started (`nohup`).
#[derive(Debug)]
pub struct Signals {
    /// Who sent each signal, if this is of interest.
    origins: Option<SignalsInfo<WithOrigin>>,
    /// The signals that `origins` has returned and `next` has not, with whether the kernel sent them.
    known: Vec<(i32, bool)>,
    interrupt: Option<Signal>,
    terminate: Option<Signal>,
    hang_up: Option<Signal>,
}

/// A signal that was caught.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caught {
    /// Its number.
    pub number: i32,
    /// Whether the terminal has sent it, which then has sent it to all processes of the foreground process group (tty
    /// Ctrl-C, hang-up). Always false without `with_origins`.
    pub is_from_terminal: bool,
}

impl Signals {
    /// Catches the signals from now on. `with_origins`: it is of interest who sends them.
    ///
    /// # Errors
    /// The signals cannot be caught: no descriptor is available.
    pub fn new(with_origins: bool) -> io::Result<Self> {
        // With SIGXFSZ caught, a write beyond the file size limit (`ulimit -f`) fails instead of killing the process.
        let _ = signal(SignalKind::from_raw(SIGXFSZ))?;
        let ignored = ignored();
        let is_caught = |kind: &SignalKind| !is_in(ignored, *kind);
        let ending = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        // Before the others: a signal wakes the program only when its origin is known, as the handlers of a signal run
        // in the order of their registration.
        let numbers = ending.iter().filter(|kind| is_caught(kind)).map(SignalKind::as_raw_value);
        let origins = with_origins.then(|| SignalsInfo::new(numbers)).transpose()?;
        let [interrupt, terminate, hang_up] = ending.map(|kind| is_caught(&kind).then(|| signal(kind)).transpose());
        Ok(Self { origins, known: Vec::new(), interrupt: interrupt?, terminate: terminate?, hang_up: hang_up? })
    }

    /// Waits for the next signal. Cancel safe.
    pub async fn next(&mut self) -> Caught {
        let number = tokio::select! {
            () = arrival(self.interrupt.as_mut()) => SignalKind::interrupt(),
            () = arrival(self.terminate.as_mut()) => SignalKind::terminate(),
            () = arrival(self.hang_up.as_mut()) => SignalKind::hangup(),
        }
        .as_raw_value();
        Caught { number, is_from_terminal: self.is_from_terminal(number) }
    }

    /// Whether the kernel has sent the last signal of this number. The kernel sends these signals only for a terminal.
    fn is_from_terminal(&mut self, number: i32) -> bool {
        if let Some(origins) = &mut self.origins {
            self.known.extend(origins.pending().map(|origin| (origin.signal, origin.cause == Cause::Kernel)));
        }
        let last = self.known.iter().rev().find(|(known, _)| *known == number).copied();
        self.known.retain(|(known, _)| *known != number);
        last.is_some_and(|(_, is_from_kernel)| is_from_kernel)
    }
}

/// A signal that concerns the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OfTerminal {
    /// SIGWINCH: it was resized.
    Resized,
    /// SIGTSTP: the user wants to suspend the program.
    Suspend,
    /// SIGCONT: the program was stopped, and has continued.
    Continued,
    /// SIGQUIT: the program has to end at once.
    Quit,
}

/// SIGWINCH, SIGCONT, and SIGTSTP and SIGQUIT unless they were ignored when the program started.
#[derive(Debug)]
pub(crate) struct TerminalSignals {
    resized: Signal,
    suspend: Option<Signal>,
    continued: Signal,
    quit: Option<Signal>,
}

impl TerminalSignals {
    /// Catches the signals from now on.
    pub(crate) fn new() -> io::Result<Self> {
        let ignored = ignored();
        let caught = |kind: SignalKind| (!is_in(ignored, kind)).then(|| signal(kind)).transpose();
        Ok(Self {
            resized: signal(SignalKind::window_change())?,
            suspend: caught(SignalKind::from_raw(SIGTSTP))?,
            continued: signal(SignalKind::from_raw(SIGCONT))?,
            quit: caught(SignalKind::quit())?,
        })
    }

    /// Waits for the next signal.
    pub(crate) async fn next(&mut self) -> OfTerminal {
        let Self { resized, suspend, continued, quit } = self;
        tokio::select! {
            () = arrival(Some(resized)) => OfTerminal::Resized,
            () = arrival(suspend.as_mut()) => OfTerminal::Suspend,
            () = arrival(Some(continued)) => OfTerminal::Continued,
            () = arrival(quit.as_mut()) => OfTerminal::Quit,
        }
    }
}

/// Stops the process, as SIGTSTP would have if it were not caught, until it is continued. As the kernel does, this does
/// nothing in an orphaned process group, which no shell would continue (`setpgid(2)`).
pub(crate) fn stop() {
    if !is_orphaned() {
        // An error means that the process continues.
        let _ = signal_hook::low_level::emulate_default_handler(SIGTSTP);
    }
}

/// Dies by SIGQUIT, as if it were not caught.
pub(crate) fn quit() {
    super::terminal::restore();
    die_by(SIGQUIT);
}

/// A process, group or session that has no number here, as it is outside of our PID namespace (`pid_namespaces(7)`).
const OUTSIDE: Pid = Pid::from_raw(0);

/// Whether no ancestor of this session is outside of our process group, as a shell with job control is.
fn is_orphaned() -> bool {
    let (group, session) = (getpgrp(), getsid(None));
    let mut ancestor = getppid();
    while ancestor != OUTSIDE {
        if getsid(Some(ancestor)) != session {
            return true;
        }
        if getpgid(Some(ancestor)) != Ok(group) {
            return false;
        }
        ancestor = parent(ancestor);
    }
    // A session from outside has its shell there (`nsenter`, `unshare --fork`).
    session != Ok(OUTSIDE)
}

/// The parent of a process (`proc_pid_status(5)`).
fn parent(pid: Pid) -> Pid {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"));
    parent.and_then(|parent| parent.trim().parse().ok()).map_or(OUTSIDE, Pid::from_raw)
}

async fn arrival(signal: Option<&mut Signal>) {
    match signal {
        Some(signal) => _ = signal.recv().await,
        None => std::future::pending().await,
    }
}

fn is_in(mask: u64, kind: SignalKind) -> bool {
    mask & (1u64 << (kind.as_raw_value() - 1)) != 0
}

/// The mask of ignored signals, read from the only source that needs no unsafe code (`proc_pid_status(5)`). Without
/// that source, no signal counts as ignored.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// The signal of a write to a pipe that nobody reads. lxmon ignores it, its children do not.
pub(crate) const BROKEN_PIPE: i32 = SIGPIPE;

/// Makes sure that the exit statuses of children can be read, and that children can read those of theirs. If SIGCHLD was
/// ignored when the program started, the system would discard them (wait(2)).
///
/// # Errors
/// The signal cannot be caught.
pub(crate) fn keep_statuses_of_children() -> io::Result<()> {
    signal_hook::flag::register(SIGCHLD, Arc::default()).map(drop)
}

/// Unblocks all signals for this thread and for the children that it starts, which inherit its mask (execve(2)).
pub(crate) fn unblock_all() {
    // It cannot fail: the argument is valid (pthread_sigmask(3)).
    let _ = SigSet::empty().thread_set_mask();
}

/// Dies by the signal as if it had never been caught, so that shells and supervisors see the cause of death.
///
/// Returns in the first process of a container: the kernel does not let PID 1 die by a signal that it sends to itself.
pub fn die_by(signal: i32) {
    if std::process::id() == 1 {
        return;
    }
    // This returns only if the signal does not kill. The caller then exits with the status that a shell would report.
    let _ = signal_hook::low_level::emulate_default_handler(signal);
}
