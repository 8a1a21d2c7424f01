//! The signals that end the program, and one that must not.

use std::io;

use signal_hook::consts::SIGXFSZ;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGINT, SIGTERM and SIGHUP, but for those that whoever started us has told us to ignore (`nohup`).
#[derive(Debug)]
pub struct Signals {
    interrupt: Option<Signal>,
    terminate: Option<Signal>,
    hang_up: Option<Signal>,
}

impl Signals {
    /// Catches them from now on.
    pub fn new() -> io::Result<Self> {
        // Once it is caught, a file that may not grow any more (`ulimit -f`) is an error of the write, not a death.
        let _ = signal(SignalKind::from_raw(SIGXFSZ))?;
        let ignored = ignored();
        let caught = |kind: SignalKind| {
            let bit = 1u64 << (kind.as_raw_value() - 1);
            (ignored & bit == 0).then(|| signal(kind)).transpose()
        };
        Ok(Self {
            interrupt: caught(SignalKind::interrupt())?,
            terminate: caught(SignalKind::terminate())?,
            hang_up: caught(SignalKind::hangup())?,
        })
    }

    /// The number of the next one.
    pub async fn next(&mut self) -> i32 {
        tokio::select! {
            () = arrival(self.interrupt.as_mut()) => SignalKind::interrupt().as_raw_value(),
            () = arrival(self.terminate.as_mut()) => SignalKind::terminate().as_raw_value(),
            () = arrival(self.hang_up.as_mut()) => SignalKind::hangup().as_raw_value(),
        }
    }
}

async fn arrival(signal: Option<&mut Signal>) {
    match signal {
        Some(signal) => _ = signal.recv().await,
        None => std::future::pending().await,
    }
}

/// The mask of ignored signals, from the one place where it can be read without unsafe code (`proc_pid_status(5)`).
/// Where that is missing, none counts as ignored.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// Dies by the signal, as a program does that never caught it: a shell and a supervisor see the truth.
///
/// Not as the first process of a container: the kernel keeps such a one from dying by its own signal.
pub fn die_by(signal: i32) {
    if std::process::id() == 1 {
        return;
    }
    // It returns only where the signal does not kill; the caller then exits with the status that a shell would report.
    let _ = signal_hook::low_level::emulate_default_handler(signal);
}
