//! The process's terminal: its properties, and who may write to it.

use std::io::{IsTerminal as _, stderr, stdout};
use std::sync::{Condvar, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use rustix::fs::fstat;
use rustix::termios::tcgetwinsize;

/// Standard output at the start of the program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Terminal {
    /// Whether it is a terminal.
    pub is_terminal: bool,
    /// The number of columns, if it is a terminal.
    pub width: Option<usize>,
}

impl Terminal {
    /// Examines standard output.
    #[must_use]
    pub(crate) fn of_stdout() -> Self {
        let is_terminal = stdout().is_terminal();
        let size = if is_terminal { tcgetwinsize(stdout()).ok() } else { None };
        // Some terminals, serial lines for example, do not know their size and report 0.
        Self { is_terminal, width: size.map(|size| usize::from(size.ws_col)).filter(|width| *width > 0) }
    }
}

/// Whether standard output and standard error are one terminal.
pub(crate) fn is_shared() -> bool {
    static IS_SHARED: OnceLock<bool> = OnceLock::new();
    *IS_SHARED.get_or_init(|| {
        let device = |stat: rustix::fs::Stat| (stat.st_dev, stat.st_ino, stat.st_rdev);
        let (out, err) = (fstat(stdout()).map(device), fstat(stderr()).map(device));
        stdout().is_terminal() && stderr().is_terminal() && out.is_ok() && out == err
    })
}

/// The right to write to the shared terminal. Its owner, events or notices, keeps it until the line is complete, so that
/// no line stands within another.
static SHARED: Ownership = Ownership { is_owned: Mutex::new(false), released: Condvar::new() };

struct Ownership {
    is_owned: Mutex<bool>,
    released: Condvar,
}

/// Becomes the owner of the shared terminal. Returns false if that is not possible within `timeout`.
#[must_use]
pub(crate) fn own_within(timeout: Duration) -> bool {
    let state = SHARED.is_owned.lock().unwrap_or_else(PoisonError::into_inner);
    let waited = SHARED.released.wait_timeout_while(state, timeout, |is_owned| *is_owned);
    let (mut is_owned, _) = waited.unwrap_or_else(PoisonError::into_inner);
    !std::mem::replace(&mut *is_owned, true)
}

/// Becomes the owner of the shared terminal, however long that takes.
pub(crate) fn own() {
    let state = SHARED.is_owned.lock().unwrap_or_else(PoisonError::into_inner);
    let waited = SHARED.released.wait_while(state, |is_owned| *is_owned);
    *waited.unwrap_or_else(PoisonError::into_inner) = true;
}

/// Gives the ownership up.
pub(crate) fn release() {
    *SHARED.is_owned.lock().unwrap_or_else(PoisonError::into_inner) = false;
    SHARED.released.notify_one();
}
