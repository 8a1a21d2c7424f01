//! The signals that end the program, and SIGXFSZ, which must not.

use std::io;

use signal_hook::consts::SIGXFSZ;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGINT, SIGTERM and SIGHUP, except those that were ignored when the program started (`nohup`).
#[derive(Debug)]
pub struct Signals {
    interrupt: Option<Signal>,
    terminate: Option<Signal>,
    hang_up: Option<Signal>,
}

impl Signals {
    /// Catches the signals from now on.
    pub fn new() -> io::Result<Self> {
        // With SIGXFSZ caught, a write beyond the file size limit (`ulimit -f`) fails instead of killing the process.
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

    /// Waits for the next signal and returns its number.
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

/// The mask of ignored signals, read from the only source that needs no unsafe code (`proc_pid_status(5)`). Without
/// that source, no signal counts as ignored.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
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
