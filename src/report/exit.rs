//! How the program ends: exit statuses, and errors that have an exit status and a hint.

use std::fmt;

use crate::system::environment::NotUtf8;

/// Why the program ends, which determines the exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The requested end: count reached, replay over, or the reader of our output gone.
    Success,
    /// Something failed, and an error was printed.
    Failed,
    /// The command line or the configuration is invalid.
    Usage,
    /// Events were lost, and `--fail-on-gap` was given.
    Gap,
    /// A failure, and `--fail-fast` was given.
    Failure,
    /// `--timeout` passed before `--count` was reached, or before the command of `-- COMMAND` ended.
    Timeout,
    /// The status of the command of `-- COMMAND`, as a shell reports it.
    Command(u8),
    /// A signal ended the program; the process dies by the same signal.
    Signal(i32),
}

impl Exit {
    /// The process's exit status; for a signal, the status that a shell reports.
    #[must_use]
    pub fn status(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Gap => 3,
            Self::Failure => 4,
            Self::Timeout => 124,
            Self::Command(status) => status,
            Self::Signal(number) => 128u8.wrapping_add(u8::try_from(number).unwrap_or(0)),
        }
    }
}

/// The root of an error chain: what is wrong, which exit status it causes, and how to correct it.
///
/// Printed as `lxmon: context: what`, then `hint: …` where there is a hint.
#[derive(Debug)]
pub struct Fault {
    what: String,
    hint: Option<String>,
    exit: Exit,
    permanent: bool,
    renewable: bool,
}

impl Fault {
    /// Something failed: exit status 1.
    pub fn failed(what: impl Into<String>) -> Self {
        Self { what: what.into(), hint: None, exit: Exit::Failed, permanent: false, renewable: false }
    }

    /// The command line, the environment or the configuration is invalid: exit status 2.
    pub fn usage(what: impl Into<String>) -> Self {
        Self { what: what.into(), hint: None, exit: Exit::Usage, permanent: true, renewable: false }
    }

    /// What `--fail-fast` ends the program for: exit status 4.
    pub fn failure(what: impl Into<String>) -> Self {
        Self { exit: Exit::Failure, ..Self::failed(what) }
    }

    /// The command of `-- COMMAND` cannot be started: exit status 127 if there is no such program, else 126.
    pub fn command(what: impl Into<String>, is_found: bool) -> Self {
        Self { exit: Exit::Command(if is_found { 126 } else { 127 }), ..Self::failed(what) }
    }

    /// Adds a hint: what the user can do about it, preferably a command.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Marks the fault as one that a retry cannot correct.
    #[must_use]
    pub fn permanent(mut self) -> Self {
        self.permanent = true;
        self
    }

    /// Marks the fault as one that the user mends by logging in again with the client: a server that was followed
    /// before is tried again until then, even if the fault is permanent. The hint contains the command.
    #[must_use]
    pub fn renewable(mut self) -> Self {
        self.renewable = true;
        self
    }

    /// Whether logging in again mends the fault.
    #[must_use]
    pub fn is_renewable(&self) -> bool {
        self.renewable
    }

    /// Whether a retry cannot succeed.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        self.permanent
    }

    /// The hint: what the user can do about it.
    #[must_use]
    pub fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// How the program ends because of this fault.
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

impl From<NotUtf8> for Fault {
    fn from(NotUtf8 { name }: NotUtf8) -> Self {
        Self::usage(format!("${name}: its value is not UTF-8")).hint(format!("set it anew, or unset {name}"))
    }
}
