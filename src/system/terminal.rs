//! What the process's terminals can show.

use std::io::{IsTerminal as _, stdout};

/// Standard output as it is when the program starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terminal {
    /// Whether it is a terminal.
    pub is_terminal: bool,
    /// How many columns it has.
    pub width: Option<usize>,
}

impl Terminal {
    /// Looks at standard output.
    #[must_use]
    pub fn of_stdout() -> Self {
        let is_terminal = stdout().is_terminal();
        let size = if is_terminal { terminal_size::terminal_size_of(stdout()) } else { None };
        Self { is_terminal, width: size.map(|(width, _)| usize::from(width.0)) }
    }
}
