//! The process's terminal: its properties, and who may write to it.

use std::borrow::Cow;
use std::io::{IsTerminal as _, stderr, stdout};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use nix::unistd::{getpgrp, tcgetpgrp};
use rustix::fs::{Mode, OFlags, fstat};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcgetwinsize, tcsetattr};

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
        Self { is_terminal, width: if is_terminal { size().map(|size| size.columns) } else { None } }
    }
}

/// The size of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    /// The number of characters in a line; at least 1.
    pub columns: usize,
    /// The number of lines; 0 if the terminal does not know it.
    pub lines: usize,
}

/// The present size of the terminal that standard output is. Some terminals, serial lines for example, do not know it.
pub(crate) fn size() -> Option<Size> {
    size_of(&stdout())
}

/// The present size of a terminal.
pub(crate) fn size_of(terminal: &impl AsFd) -> Option<Size> {
    let size = tcgetwinsize(terminal).ok().filter(|size| size.ws_col > 0)?;
    Some(Size { columns: size.ws_col.into(), lines: size.ws_row.into() })
}

/// Whether the cursor is ours: the terminal is not our controlling terminal, or we are its foreground job.
pub(crate) fn is_foreground() -> bool {
    tcgetpgrp(stdout()).map_or(true, |group| group == getpgrp())
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

/// Moves the cursor, which rests at the beginning of the first live row, to the beginning of its line, and erases all
/// from there to the end of the screen.
pub(crate) const ERASE: &[u8] = b"\r\x1b[J";

/// Makes the cursor visible.
pub(crate) const SHOW_CURSOR: &[u8] = b"\x1b[?25h";

/// The right to write to the terminal. If standard output and standard error are one terminal, its owner, events or
/// notices, keeps it until the line is complete, so that no line stands within another.
static SHARED: Ownership = Ownership {
    state: Mutex::new(State { is_owned: false, rows: Vec::new(), is_ours: false }),
    released: Condvar::new(),
};

struct Ownership {
    state: Mutex<State>,
    released: Condvar,
}

struct State {
    is_owned: bool,
    /// The text that draws the live rows that are on the screen at the end of the output. Only the owner may change it.
    rows: Vec<u8>,
    /// Whether live rows, or a part of them, are on the screen, and the cursor is hidden.
    is_ours: bool,
}

impl Ownership {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Becomes the owner of the shared terminal. Returns false if that is not possible within `timeout`.
#[must_use]
pub(crate) fn own_within(timeout: Duration) -> bool {
    let waited = SHARED.released.wait_timeout_while(SHARED.state(), timeout, |state| state.is_owned);
    let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
    !std::mem::replace(&mut state.is_owned, true)
}

/// Becomes the owner of the shared terminal, however long that takes.
pub(crate) fn own() {
    let waited = SHARED.released.wait_while(SHARED.state(), |state| state.is_owned);
    waited.unwrap_or_else(PoisonError::into_inner).is_owned = true;
}

/// Gives the ownership up.
pub(crate) fn release() {
    SHARED.state().is_owned = false;
    SHARED.released.notify_one();
}

/// Records that the owner erases the live rows on the screen, and whether it will draw others.
pub(crate) fn begin_frame(has_rows: bool) {
    let mut state = SHARED.state();
    state.rows.clear();
    state.is_ours |= has_rows;
}

/// Records the text that draws the live rows that the owner has left on the screen; empty if there are none.
pub(crate) fn end_frame(rows: &[u8]) {
    let mut state = SHARED.state();
    state.rows.clear();
    state.rows.extend_from_slice(rows);
    state.is_ours = !rows.is_empty();
}

/// What the owner of the terminal has to write so that `line` stands above the live rows.
pub(crate) fn above_rows(line: &[u8]) -> Cow<'_, [u8]> {
    let state = SHARED.state();
    if state.rows.is_empty() { Cow::Borrowed(line) } else { Cow::Owned([ERASE, line, &state.rows].concat()) }
}

/// Whether we have turned off the terminal's echo.
static ECHO_IS_OFF: AtomicBool = AtomicBool::new(false);

/// Turns the terminal's echo of typed characters on again, or off. While live rows are on the screen, an echoed line
/// feed would move the cursor away from them.
pub(crate) fn set_echo(on: bool) {
    let is_on = !ECHO_IS_OFF.load(Ordering::Relaxed);
    // A job in the background would be stopped (SIGTTOU), and the shell has set the modes as it wants them.
    if on == is_on || !is_foreground() {
        return;
    }
    // Without the right to read or change the modes, the echo stays as it is.
    let Ok(mut modes) = tcgetattr(stdout()) else { return };
    if !on && !modes.local_modes.contains(LocalModes::ECHO) {
        return;
    }
    modes.local_modes.set(LocalModes::ECHO, on);
    if tcsetattr(stdout(), OptionalActions::Now, &modes).is_ok() {
        ECHO_IS_OFF.store(!on, Ordering::Relaxed);
    }
}

/// Leaves the terminal as it was found, before the process ends: removes live rows if an end in a hurry has left some,
/// and restores the cursor and the echo. A terminal that accepts nothing is not waited for.
pub(crate) fn restore() {
    set_echo(true);
    // A panic can have happened on a thread that holds the lock.
    let is_ours = match SHARED.state.try_lock() {
        Ok(mut state) => std::mem::take(&mut state.is_ours),
        Err(_) => true,
    };
    if is_ours {
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        if let Ok(terminal) = rustix::fs::open("/proc/self/fd/1", flags, Mode::empty()) {
            // There is nobody to report an error to.
            let _ = rustix::io::write(&terminal, &[ERASE, SHOW_CURSOR].concat());
        }
    }
}

/// Leaves the terminal as it was found also if the program panics.
pub(crate) fn restore_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        restore();
        report(panic);
    }));
}
