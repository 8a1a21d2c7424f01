//! A hole in the stream: events that were sent and that nobody will see here.

use std::fmt;

use chrono::{DateTime, Local, SecondsFormat};
use serde::Serialize;

use crate::event::moment::local_now;
use crate::event::{Message, RemoteId};

/// Where and why events are missing.
#[derive(Clone, Debug)]
pub struct Gap {
    /// Whose events they are.
    pub remote: RemoteId,
    /// When the last event before the gap had been received.
    pub since: DateTime<Local>,
    /// When receiving went on, or was given up.
    pub until: DateTime<Local>,
    /// Why they are missing.
    pub reason: String,
    /// How many were received and then dropped. What a server sent while we were not connected is in no count.
    pub dropped: u64,
    /// Receiving was given up, and there is no end of the gap to wait for.
    pub is_open: bool,
}

impl Gap {
    /// The first message that there was no room for.
    #[must_use]
    pub fn dropped(remote: RemoteId) -> Self {
        let now = local_now();
        let reason = "our output took nothing and the buffer was full".to_owned();
        Self { remote, since: now, until: now, reason, dropped: 1, is_open: false }
    }

    /// The gap ends now.
    #[must_use]
    pub fn until_now(self) -> Self {
        Self { until: local_now(), ..self }
    }

    /// The record that `--gap-events` puts into the stream, in the form of an event.
    #[must_use]
    pub fn to_message(&self, remote: &str) -> Message {
        let time = |time: DateTime<Local>| time.to_rfc3339_opts(SecondsFormat::Nanos, true);
        let record = Record {
            kind: "gap",
            timestamp: time(self.until),
            metadata: Metadata {
                remote,
                since: time(self.since),
                until: time(self.until),
                reason: &self.reason,
                dropped: self.dropped,
            },
        };
        // Strings and a number always have a form in JSON.
        Message::from(serde_json::to_string(&record).unwrap_or_default())
    }
}

/// The record, in the order of an event's keys.
#[derive(Serialize)]
struct Record<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    timestamp: String,
    metadata: Metadata<'a>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    remote: &'a str,
    since: String,
    until: String,
    reason: &'a str,
    dropped: u64,
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reason, dropped, is_open, .. } = self;
        let since = self.since.format("%H:%M:%S");
        let seconds = (self.until - self.since).as_seconds_f64();
        match dropped {
            0 if *is_open => write!(f, "connection lost at {since} ({reason}); events from then on are lost"),
            0 => write!(
                f,
                "connection lost at {since} ({reason}); reconnected after {seconds:.1} s; events in between are lost"
            ),
            _ => write!(f, "{dropped} events dropped from {since} on, for {seconds:.1} s: {reason}"),
        }
    }
}
