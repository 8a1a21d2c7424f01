//! A gap in the stream: a period in which events may be missing from the output, because the connection was lost or
//! because received events were dropped.

use chrono::{DateTime, Local, SecondsFormat};
use serde::Serialize;

use crate::event::{Event, Message, RemoteId};

/// From which remote, for how long and why events are missing.
#[derive(Clone, Debug)]
pub(crate) struct Gap {
    /// The remote whose events are missing.
    pub remote: RemoteId,
    /// The server's timestamp of the last event that was received before the gap.
    pub last_event: Option<String>,
    /// When the gap began, by the local clock.
    pub since: DateTime<Local>,
    /// The end of the gap; `None` while it lasts.
    pub end: Option<End>,
    /// Why events are missing.
    pub reason: String,
    /// The number of events that were received and then dropped. Events that the server sent while lxmon was not
    /// connected are not counted, as their number is unknown.
    pub dropped: u64,
}

/// The end of a gap.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    /// When the gap ended, by the local clock.
    pub until: DateTime<Local>,
    /// The length of the gap in seconds, by a monotonic clock.
    pub seconds: f64,
    /// Whether events are received again. If not, the gap ends because lxmon exits.
    pub is_over: bool,
}

/// The maximum length of a timestamp, in bytes. RFC 3339 with nanoseconds has 35.
const MAX_TIMESTAMP: usize = 64;

/// The timestamp of a message, for [`Gap::last_event`]. `None` if the message is not an event, has no timestamp, or one
/// that is too long.
#[must_use]
pub(crate) fn timestamp_of(message: &str) -> Option<String> {
    let event = Event::decode(Message::from(message), RemoteId::default(), None).ok()?;
    let text = event.timestamp_text()?.cow().into_owned();
    (text.len() <= MAX_TIMESTAMP).then_some(text)
}

impl Gap {
    /// The record that `--gap-events` adds to the stream. It has the form of an event.
    #[must_use]
    pub(crate) fn to_message(&self, remote: &str) -> Message {
        let time = |time: DateTime<Local>| time.to_rfc3339_opts(SecondsFormat::Nanos, true);
        let record = Record {
            kind: "gap",
            timestamp: time(self.end.map_or(self.since, |end| end.until)),
            metadata: Metadata {
                remote,
                last_event: self.last_event.as_deref(),
                since: time(self.since),
                until: self.end.map(|end| time(end.until)),
                seconds: self.end.map(|end| (end.seconds * 1e3).round() / 1e3),
                reason: &self.reason,
                dropped: self.dropped,
            },
        };
        // This cannot fail: strings and finite numbers can always be serialized.
        Message::from(serde_json::to_string(&record).unwrap_or_default())
    }
}

/// The record, with its keys in the order of an event's keys.
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
    last_event: Option<&'a str>,
    since: String,
    until: Option<String>,
    seconds: Option<f64>,
    reason: &'a str,
    dropped: u64,
}
