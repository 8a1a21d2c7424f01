//! A gap as a sentence, for notices.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Local};

use crate::event::gap::{End, Gap};
use crate::system::duration::{Shown, shown};

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reason, dropped, .. } = self;
        let since = self.since.format("%H:%M:%S");
        let last = last_event(self);
        match (dropped, self.end) {
            (0, None) => write!(f, "connection lost at {since} ({reason}); events since {last} may be missing"),
            (0, Some(end)) => write!(
                f,
                "connection lost at {since} ({reason}); {} {}; events since {last} may be missing",
                if end.is_over { "reconnected after" } else { "not reconnected in" },
                length(Some(end))
            ),
            (_, end) => {
                let length = length(end);
                let events = if *dropped == 1 { "event" } else { "events" };
                write!(f, "{dropped} {events} dropped from {since} on, within {length}: {reason}")
            }
        }
    }
}

/// The length of the gap.
fn length(end: Option<End>) -> Shown {
    shown(end.and_then(|end| Duration::try_from_secs_f64(end.seconds).ok()).unwrap_or_default())
}

/// The timestamp of the last event: the local time of day if it is RFC 3339, otherwise the server's text. Without a last
/// event, the beginning of the gap.
fn last_event(gap: &Gap) -> String {
    let Some(text) = &gap.last_event else { return gap.since.format("%H:%M:%S").to_string() };
    DateTime::parse_from_rfc3339(text)
        .map_or_else(|_| text.clone(), |time| time.with_timezone(&Local).format("%H:%M:%S").to_string())
}
