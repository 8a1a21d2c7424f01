//! How the program ends: exit statuses, and errors that know their status and what mends them.

use std::fmt;

/// Why the program ends; its number is the exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The end that was asked for: count reached, replay over, nobody reads our output any more.
    Success,
    /// Something failed, and an error said what.
    Failed,
    /// The command line or the configuration cannot be meant so.
    Usage,
    /// Events were lost, and `--fail-on-gap` was given.
    Gap,
    /// `--timeout` passed before `--count` was reached.
    Timeout,
    /// A signal ended it; the process dies by the same signal.
    Signal(i32),
}

impl Exit {
    /// The process's exit status; for a signal what a shell reports for it.
    #[must_use]
    pub fn status(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Gap => 3,
            Self::Timeout => 124,
            Self::Signal(number) => 128u8.wrapping_add(u8::try_from(number).unwrap_or(0)),
        }
    }
}

/// The root of an error chain: what is wrong, whose fault it is and what mends it.
///
/// Printed as `lxmon: context: what`, then `hint: …` where there is a hint.
#[derive(Debug)]
pub struct Fault {
    what: String,
    hint: Option<String>,
    exit: Exit,
    permanent: bool,
}

impl Fault {
    /// Something failed: exit status 1.
    pub fn failed(what: impl Into<String>) -> Self {
        Self { what: what.into(), hint: None, exit: Exit::Failed, permanent: false }
    }

    /// The user asked for something that makes no sense: exit status 2.
    pub fn usage(what: impl Into<String>) -> Self {
        Self { what: what.into(), hint: None, exit: Exit::Usage, permanent: true }
    }

    /// Adds what the user can do about it, best a command.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Trying again is in vain until somebody does something.
    #[must_use]
    pub fn permanent(mut self) -> Self {
        self.permanent = true;
        self
    }

    /// Whether trying again is in vain.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        self.permanent
    }

    /// What the user can do about it.
    #[must_use]
    pub fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// How the program ends because of it.
    #[must_use]
    pub fn exit(&self) -> Exit {
        self.exit
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Fault {}
