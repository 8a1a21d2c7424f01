//! The metadata of logging events (`EventLogging` in both servers' `shared/api/event.go`), and log levels.

use std::fmt;
use std::str::FromStr;

use super::json::{Text, Value};

/// A log line of the server. Any part may be missing.
#[derive(Clone, Copy, Debug)]
pub struct Logging<'a> {
    metadata: Value<'a>,
}

/// The level of a log line, with the names and the order of logrus, which both servers and their clients use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// More detailed than debug.
    Trace,
    /// Details for troubleshooting.
    Debug,
    /// Normal operation.
    Info,
    /// A possible problem.
    Warning,
    /// A failure.
    Error,
    /// A failure after which the server exits.
    Fatal,
    /// A failure after which the server exits with a stack trace.
    Panic,
}

impl<'a> Logging<'a> {
    pub(super) fn new(metadata: Value<'a>) -> Self {
        Self { metadata }
    }

    /// The text of the log line.
    #[must_use]
    pub fn message(&self) -> Option<Text<'a>> {
        self.metadata.get_text("message")
    }

    /// The level as the server wrote it.
    #[must_use]
    pub fn level_text(&self) -> Option<Text<'a>> {
        self.metadata.get_text("level")
    }

    /// The level, if it is a known one.
    #[must_use]
    pub fn level(&self) -> Option<Level> {
        self.level_text()?.cow().parse().ok()
    }

    /// Further data: an object of named values.
    #[must_use]
    pub fn context(&self) -> Option<Value<'a>> {
        self.metadata.get("context")
    }
}

impl Level {
    /// All levels, least severe first.
    pub const ALL: [Self; 7] =
        [Self::Trace, Self::Debug, Self::Info, Self::Warning, Self::Error, Self::Fatal, Self::Panic];

    /// The name that logrus uses for the level.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Fatal => "fatal",
            Self::Panic => "panic",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The error of a name that is not a log level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownLevel;

impl FromStr for Level {
    type Err = UnknownLevel;

    /// Parses the names of logrus and `warn`, in upper or lower case.
    fn from_str(name: &str) -> Result<Self, UnknownLevel> {
        if name.eq_ignore_ascii_case("warn") {
            return Ok(Self::Warning);
        }
        Self::ALL.into_iter().find(|level| name.eq_ignore_ascii_case(level.name())).ok_or(UnknownLevel)
    }
}
