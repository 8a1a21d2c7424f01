//! The glyph of a line: one character for the kind of the event. The glyph of a lifecycle action depends only on the
//! ending of its name, so that future actions have one too.

use owo_colors::Style;

use super::theme;
use crate::event::{Level, Status};

/// A glyph, its ASCII substitute for terminals without UTF-8, and its colour.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Glyph {
    pub(crate) shape: &'static str,
    pub(crate) ascii: &'static str,
    pub(super) style: Style,
}

const fn glyph(shape: &'static str, ascii: &'static str, style: Style) -> Glyph {
    Glyph { shape, ascii, style }
}

/// The glyphs, and what they stand for in the man page.
pub(crate) const LEGEND: [(Glyph, &str); 16] = [
    (Glyph::CREATED, "Something was created, added or enabled."),
    (Glyph::DELETED, "Something was deleted, removed or disabled."),
    (Glyph::UPDATED, "Something was changed."),
    (Glyph::STARTED, "Something was started or resumed."),
    (Glyph::STOPPED, "Something was stopped."),
    (Glyph::PAUSED, "Something was paused."),
    (Glyph::MOVED, "Something was renamed, moved to another server, or evacuated."),
    (Glyph::RESTARTED, "Something was restarted, restored, refreshed, reset or healed."),
    (Glyph::DOWNLOADED, "Something was downloaded."),
    (Glyph::UPLOADED, "Something was uploaded."),
    (Glyph::RUN, "A command was run, or a console attached."),
    (Glyph::RUNNING, "An operation is in progress."),
    (Glyph::SUCCESS, "An operation has succeeded, an instance says that it is ready, or a warning was acknowledged."),
    (Glyph::FAILURE, "An operation or a command has failed, or was cancelled."),
    (Glyph::WARNING, "A warning, an error, or a gap."),
    (Glyph::OTHER, "Anything else."),
];

impl Glyph {
    const CREATED: Self = glyph("+", "+", theme::GOOD);
    const DELETED: Self = glyph("−", "-", theme::BAD);
    const STARTED: Self = glyph("▶", ">", theme::GOOD);
    const STOPPED: Self = glyph("■", "#", theme::WARN);
    const PAUSED: Self = glyph("‖", "=", theme::WARN);
    const MOVED: Self = glyph("→", "/", theme::CHANGE);
    const RESTARTED: Self = glyph("↻", "@", theme::CHANGE);
    const DOWNLOADED: Self = glyph("↓", "<", theme::PLAIN);
    const UPLOADED: Self = glyph("↑", "^", theme::PLAIN);
    const RUN: Self = glyph("»", "$", theme::PLAIN);
    const SUCCESS: Self = glyph("✓", "v", theme::GOOD);
    const WARNING: Self = glyph("!", "!", theme::WARN);

    /// The glyph of events that have no other.
    pub(super) const OTHER: Self = glyph("·", "*", theme::PLAIN);

    /// The glyph of what was changed.
    pub(super) const UPDATED: Self = glyph("~", "~", theme::CHANGE);

    /// The glyph of an operation in progress.
    pub(super) const RUNNING: Self = glyph("…", ":", theme::DIM);

    /// The glyph of a gap in the stream.
    pub(super) const GAP: Self = Self::WARNING;

    /// The glyph of an operation or command that failed.
    pub(super) const FAILURE: Self = glyph("✗", "x", theme::BAD);

    /// The glyph of a lifecycle action, by the ending of its name.
    pub(super) fn of_action(action: &str) -> Self {
        match action.rsplit('-').next().unwrap_or_default() {
            "created" | "added" | "enabled" => Self::CREATED,
            "deleted" | "removed" | "disabled" => Self::DELETED,
            "started" | "resumed" | "run" => Self::STARTED,
            "stopped" | "shutdown" => Self::STOPPED,
            "paused" => Self::PAUSED,
            "updated" => Self::UPDATED,
            "renamed" | "migrated" | "evacuated" => Self::MOVED,
            "restarted" | "restored" | "refreshed" | "reset" | "healed" => Self::RESTARTED,
            "retrieved" => Self::DOWNLOADED,
            "pushed" => Self::UPLOADED,
            "exec" | "console" => Self::RUN,
            "ready" | "acknowledged" => Self::SUCCESS,
            "cancelled" => Self::FAILURE,
            _ => Self::OTHER,
        }
    }

    /// The glyph of an operation, by its state.
    pub(super) fn of_status(status: Status) -> Self {
        match status {
            Status::Going => Self::RUNNING,
            Status::Success => Self::SUCCESS,
            Status::Failure => Self::FAILURE,
            Status::Cancelled => Self { style: theme::WARN, ..Self::FAILURE },
        }
    }

    /// The glyph of a log line, by its level.
    pub(super) fn of_level(level: Level) -> Self {
        match level {
            Level::Trace | Level::Debug | Level::Info => glyph(" ", " ", theme::PLAIN),
            Level::Warning => Self::WARNING,
            Level::Error | Level::Fatal | Level::Panic => Self { style: theme::BAD, ..Self::WARNING },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::catalogue::ACTIONS;

    #[test]
    fn the_legend_has_all_glyphs() {
        let of_actions = ACTIONS.iter().map(|action| Glyph::of_action(action.name));
        let statuses = [Status::Going, Status::Success, Status::Failure, Status::Cancelled];
        let levels = [Level::Warning, Level::Error, Level::Fatal, Level::Panic];
        let others = statuses.map(Glyph::of_status).into_iter().chain(levels.map(Glyph::of_level)).chain([Glyph::GAP]);
        let all: Vec<_> = of_actions.chain(others).collect();
        for (glyph, _) in LEGEND {
            assert!(LEGEND.iter().filter(|(other, _)| other.shape == glyph.shape).count() == 1, "{}", glyph.shape);
        }
        for glyph in all {
            let known = LEGEND.iter().any(|(known, _)| (known.shape, known.ascii) == (glyph.shape, glyph.ascii));
            assert!(known, "{}", glyph.shape);
        }
    }

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
