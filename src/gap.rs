//! A hole in the stream: events that were sent and that nobody will see here.

use std::fmt;

use chrono::{DateTime, Local, SecondsFormat};

use crate::event::{Message, RemoteId};

/// Where and why events are missing.
#[derive(Clone, Debug)]
pub struct Gap {
    /// Whose events they are.
    pub remote: RemoteId,
    /// When the last event before the gap had been received.
    pub since: DateTime<Local>,
    /// When receiving went on.
    pub until: DateTime<Local>,
    /// Why they are missing.
    pub reason: String,
    /// How many were received and then dropped. What a server sent while we were not connected is in no count.
    pub dropped: u64,
}

impl Gap {
    /// The first message that there was no room for.
    #[must_use]
    pub fn dropped(remote: RemoteId) -> Self {
        let now = Local::now();
        let reason = "our output took nothing and the buffer was full".to_owned();
        Self { remote, since: now, until: now, reason, dropped: 1 }
    }

    /// The gap ends now.
    #[must_use]
    pub fn until_now(self) -> Self {
        Self { until: Local::now(), ..self }
    }

    /// The record that `--gap-events` puts into the stream, in the form of an event.
    #[must_use]
    pub fn to_message(&self, remote: &str) -> Message {
        let time = |time: DateTime<Local>| time.to_rfc3339_opts(SecondsFormat::Nanos, true);
        let record = serde_json::json!({
            "type": "gap",
            "timestamp": time(self.until),
            "metadata": {
                "remote": remote,
                "since": time(self.since),
                "until": time(self.until),
                "reason": self.reason,
                "dropped": self.dropped,
            },
        });
        Message::from(record.to_string())
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reason, dropped, .. } = self;
        let since = self.since.format("%H:%M:%S");
        let seconds = (self.until - self.since).as_seconds_f64();
        match dropped {
            0 => write!(
                f,
                "connection lost at {since} ({reason}); reconnected after {seconds:.1} s; events in between are lost"
            ),
            _ => write!(f, "{dropped} events dropped from {since} on, for {seconds:.1} s: {reason}"),
        }
    }
}
