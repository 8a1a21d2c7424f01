//! The metadata of logging events (`EventLogging` in both servers' `shared/api/event.go`), and log levels.

use std::fmt;
use std::str::FromStr;

use super::json::{Text, Value};

/// A log line of the server. Any part may be missing.
#[derive(Clone, Copy, Debug)]
pub struct Logging<'a> {
    metadata: Value<'a>,
}

/// How grave a log line is; logrus' names and order, which both servers and their clients use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Finer than debug.
    Trace,
    /// For those who look for a fault.
    Debug,
    /// The course of things.
    Info,
    /// Something to look at.
    Warning,
    /// Something failed.
    Error,
    /// The server ends because of it.
    Fatal,
    /// The server ends because of it, with a trace.
    Panic,
}

impl<'a> Logging<'a> {
    pub(super) fn new(metadata: Value<'a>) -> Self {
        Self { metadata }
    }

    /// The log line.
    #[must_use]
    pub fn message(&self) -> Option<Text<'a>> {
        self.metadata.get_text("message")
    }

    /// The level as the server wrote it.
    #[must_use]
    pub fn level_text(&self) -> Option<Text<'a>> {
        self.metadata.get_text("level")
    }

    /// The level, when it is one that we know.
    #[must_use]
    pub fn level(&self) -> Option<Level> {
        self.level_text()?.cow().parse().ok()
    }

    /// Further facts by name.
    #[must_use]
    pub fn context(&self) -> Option<Value<'a>> {
        self.metadata.get("context")
    }
}

impl Level {
    /// All levels, least grave first.
    pub const ALL: [Self; 7] =
        [Self::Trace, Self::Debug, Self::Info, Self::Warning, Self::Error, Self::Fatal, Self::Panic];

    /// logrus' name for it.
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

/// The name is no log level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownLevel;

impl FromStr for Level {
    type Err = UnknownLevel;

    /// Reads logrus' names in any case, `warn` too.
    fn from_str(name: &str) -> Result<Self, UnknownLevel> {
        if name.eq_ignore_ascii_case("warn") {
            return Ok(Self::Warning);
        }
        Self::ALL.into_iter().find(|level| name.eq_ignore_ascii_case(level.name())).ok_or(UnknownLevel)
    }
}
