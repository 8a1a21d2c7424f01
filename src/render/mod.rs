//! Turns events into text. Every renderer appends to the caller's buffer and does no I/O.

pub mod theme;

/// What the place that the text goes to can take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Surface {
    /// Colours are wanted.
    pub color: bool,
    /// It is a terminal: control characters and bidi controls from the server must not reach it.
    pub terminal: bool,
}

impl Surface {
    /// Whether text from the server must be escaped beyond what the format asks for.
    #[must_use]
    pub fn is_delicate(self) -> bool {
        self.color || self.terminal
    }
}
