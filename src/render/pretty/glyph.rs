//! The glyph of a line: one character for the kind of the event. The glyph of a lifecycle action depends only on the
//! ending of its name, so that future actions have one too.

use owo_colors::Style;

use super::theme;
use crate::event::{Level, Status};

/// A glyph, its ASCII substitute for terminals without UTF-8, and its colour.
#[derive(Clone, Copy, Debug)]
pub(super) struct Glyph {
    pub(super) shape: &'static str,
    pub(super) ascii: &'static str,
    pub(super) style: Style,
}

const fn glyph(shape: &'static str, ascii: &'static str, style: Style) -> Glyph {
    Glyph { shape, ascii, style }
}

impl Glyph {
    /// The glyph of events that have no other.
    pub(super) const OTHER: Self = glyph("·", "*", theme::PLAIN);

    /// The glyph of what was changed.
    pub(super) const UPDATED: Self = glyph("~", "~", theme::CHANGE);

    /// The glyph of an operation in progress.
    pub(super) const RUNNING: Self = glyph("…", ":", theme::DIM);

    /// The glyph of a gap in the stream.
    pub(super) const GAP: Self = glyph("!", "!", theme::WARN);

    /// The glyph of an operation or command that failed.
    pub(super) const FAILURE: Self = glyph("✗", "x", theme::BAD);

    /// The glyph of a lifecycle action, by the ending of its name.
    pub(super) fn of_action(action: &str) -> Self {
        match action.rsplit('-').next().unwrap_or_default() {
            "created" | "added" | "enabled" => glyph("+", "+", theme::GOOD),
            "deleted" | "removed" | "disabled" => glyph("−", "-", theme::BAD),
            "started" | "resumed" | "run" => glyph("▶", ">", theme::GOOD),
            "stopped" | "shutdown" => glyph("■", "#", theme::WARN),
            "paused" => glyph("‖", "=", theme::WARN),
            "updated" => Self::UPDATED,
            "renamed" | "migrated" | "evacuated" => glyph("→", "/", theme::CHANGE),
            "restarted" | "restored" | "refreshed" | "reset" | "healed" => glyph("↻", "@", theme::CHANGE),
            "retrieved" => glyph("↓", "<", theme::PLAIN),
            "pushed" => glyph("↑", "^", theme::PLAIN),
            "exec" | "console" => glyph("»", "$", theme::PLAIN),
            "ready" | "acknowledged" => glyph("✓", "v", theme::GOOD),
            "cancelled" => glyph("✗", "x", theme::BAD),
            _ => Self::OTHER,
        }
    }

    /// The glyph of an operation, by its state.
    pub(super) fn of_status(status: Status) -> Self {
        match status {
            Status::Going => Self::RUNNING,
            Status::Success => glyph("✓", "v", theme::GOOD),
            Status::Failure => Self::FAILURE,
            Status::Cancelled => glyph("✗", "x", theme::WARN),
        }
    }

    /// The glyph of a log line, by its level.
    pub(super) fn of_level(level: Level) -> Self {
        match level {
            Level::Trace | Level::Debug | Level::Info => glyph(" ", " ", theme::PLAIN),
            Level::Warning => glyph("!", "!", theme::WARN),
            Level::Error | Level::Fatal | Level::Panic => glyph("!", "!", theme::BAD),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_decides() {
        for (action, shape) in [
            ("instance-created", "+"),
            ("network-acl-deleted", "−"),
            ("instance-started", "▶"),
            ("instance-shutdown", "■"),
            ("instance-paused", "‖"),
            ("config-updated", "~"),
            ("profile-renamed", "→"),
            ("storage-volume-restored", "↻"),
            ("instance-restarted", "↻"),
            ("thing-of-the-future-created", "+"),
            ("instance-levitated", "·"),
            ("", "·"),
        ] {
            assert_eq!(Glyph::of_action(action).shape, shape, "{action}");
        }
    }
}
