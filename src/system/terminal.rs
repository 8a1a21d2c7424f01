//! The properties of the process's terminal.

use std::io::{IsTerminal as _, stdout};

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
