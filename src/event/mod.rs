//! An event: the unchanged text of the message, and the positions of the envelope's members in it.

pub(crate) mod catalogue;
pub mod entity;
pub mod failure;
pub(crate) mod gap;
pub mod guest;
pub mod json;
pub mod lifecycle;
pub mod logging;
pub mod message;
pub mod operation;
pub mod progress;
pub mod requestor;
pub mod security;
pub mod state;
pub mod timestamp;

use std::fmt;

use chrono::{DateTime, FixedOffset, Utc};

pub use self::failure::Failure;
pub use self::guest::{Device, Setting};
pub use self::lifecycle::Lifecycle;
pub use self::logging::{Level, Logging};
pub use self::message::Message;
pub use self::operation::{Operation, Status};
pub use self::progress::Stages;
pub use self::requestor::Requestor;
pub use self::security::Security;
pub use self::state::State;
pub use self::timestamp::Timestamp;

use self::json::{Content, JsonError, Span, Tape, Text, Value};

/// Which of the followed remotes an event came from: the index of that remote in the configuration's list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RemoteId(pub u16);

/// The event types that servers are known to send (LXD `shared/api/event.go`, Incus `shared/api/event.go`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// A log line of the daemon.
    Logging,
    /// A background operation was created, changed or finished.
    Operation,
    /// Something was created, changed or deleted.
    Lifecycle,
    /// A log line of the OVN layer (since LXD 5.21).
    Ovn,
    /// A security audit record (since LXD 6.9).
    Security,
    /// A line of the network ACL log (Incus).
    NetworkAcl,
    /// A configuration key of the instance has changed (on a guest's socket).
    Config,
    /// A device of the instance has changed (on a guest's socket).
    Device,
    /// The present state of an instance or operation, which lxmon itself has asked for (`--state`).
    State,
    /// A type that this program does not know. Such events are printed like any other.
    Other,
}

/// What becomes of an event that passed the selection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fate {
    /// It is printed.
    #[default]
    Printed,
    /// It is a failure that ends the program (`--fail-fast`), and it is printed.
    PrintedLast,
    /// It is a failure that ends the program, and it is not printed.
    Last,
}

/// One event, ready to be filtered, ordered and rendered.
#[derive(Debug)]
pub struct Event {
    message: Message,
    tape: Tape,
    remote: RemoteId,
    of_type: Type,
    fate: Fate,
    timestamp: Option<Timestamp>,
    envelope: Envelope,
    derived: Option<Box<Derived>>,
}

/// Of a result of `--jq`: what it is, and what it inherits from its event.
#[derive(Debug)]
struct Derived {
    /// Whether it is an event itself: an object with a `type`.
    is_event: bool,
    timestamp: Option<Timestamp>,
    location: Option<String>,
}

/// The envelope: tape indexes of its values, [`ABSENT`] where the message lacks the key, and what is needed without the
/// tape.
#[derive(Clone, Copy, Debug)]
struct Envelope {
    event_type: u32,
    timestamp: u32,
    metadata: u32,
    project: u32,
    location: Option<Span>,
    /// Whether the event has a member `remote`, which no server sends.
    has_remote: bool,
}

const ABSENT: u32 = u32::MAX;

/// The key whose value is the remote that an event came from; added to printed events when several remotes are
/// followed.
pub const REMOTE: &str = "remote";

/// Why a message is not an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// It is not JSON.
    Json(JsonError),
    /// It is JSON, but not an object.
    NotAnObject,
    /// It has no `type`, or one that is not a string.
    NoType,
}

/// A message that is not an event.
#[derive(Debug)]
pub struct Rejected {
    /// The reason.
    pub why: Malformed,
    /// The message.
    pub message: Message,
    /// The tape that was passed to [`Event::decode`], for reuse.
    pub tape: Tape,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(error) => error.fmt(f),
            Self::NotAnObject => f.write_str("not a JSON object"),
            Self::NoType => f.write_str("without a \"type\""),
        }
    }
}

impl Event {
    /// Parses `message` and reads its envelope. `tape` can be the tape of a finished event ([`Event::into_tape`]),
    /// whose allocation is then reused.
    ///
    /// # Errors
    /// The message is not an event. The error returns the message, and the tape for reuse.
    pub fn decode(message: Message, remote: RemoteId, mut tape: Tape) -> Result<Self, Rejected> {
        match Envelope::read(&message, &mut tape) {
            Ok((event_type, envelope)) => {
                let fate = Fate::default();
                let mut event =
                    Self { message, tape, remote, of_type: event_type, fate, timestamp: None, envelope, derived: None };
                event.timestamp = event.timestamp_text().and_then(|text| Timestamp::parse(&text.cow()));
                Ok(event)
            }
            Err(why) => Err(Rejected { why, message, tape }),
        }
    }

    /// A value that replaces this event, which need not be an event itself. It keeps the place of this event in the order
    /// of events. `tape` is for reuse.
    ///
    /// # Errors
    /// `message` is not JSON, or nested too deep.
    pub fn derive(&self, message: Message, tape: Tape) -> Result<Self, Rejected> {
        let mut event = match Self::decode(message, self.remote, tape) {
            Err(Rejected { why: Malformed::NotAnObject | Malformed::NoType, message, tape }) => {
                let (of_type, fate, envelope) = (Type::Other, Fate::default(), Envelope::EMPTY);
                Self { message, tape, remote: self.remote, of_type, fate, timestamp: None, envelope, derived: None }
            }
            decoded => decoded?,
        };
        let location = self.location().map(|location| location.cow().into_owned());
        let is_event = event.envelope.event_type != ABSENT;
        event.derived = Some(Box::new(Derived { is_event, timestamp: self.sorting_time(), location }));
        Ok(event)
    }

    /// Whether it is an event, rather than another value that replaces one.
    #[must_use]
    pub fn is_event(&self) -> bool {
        self.derived.as_ref().is_none_or(|derived| derived.is_event)
    }

    /// The time by which the event is sorted: its timestamp, or that of the event that it replaces. `None` keeps the place
    /// of its arrival: the timestamp of a state event is not by the server's clock.
    #[must_use]
    pub(crate) fn sorting_time(&self) -> Option<Timestamp> {
        let own = self.timestamp.filter(|_| self.of_type != Type::State);
        self.derived.as_ref().map_or(own, |derived| derived.timestamp)
    }

    /// The cluster member by whose clock the event is sorted.
    #[must_use]
    pub(crate) fn sorting_location(&self) -> Option<Text<'_>> {
        match &self.derived {
            Some(derived) => derived.location.as_deref().map(Text::plain),
            None => self.location(),
        }
    }

    /// Takes the tape out of the event, for reuse. Afterwards the members of the event can no longer be read. What
    /// remains is the text, the type, the timestamp, the remote, [`Event::spans_lines`] and [`Event::names_a_remote`].
    #[must_use]
    pub fn strip(&mut self) -> Tape {
        let Envelope { location, has_remote, .. } = self.envelope;
        self.envelope = Envelope { location, has_remote, ..Envelope::EMPTY };
        self.tape.trim();
        self.tape.take()
    }

    /// Returns the tape for reuse by another event.
    #[must_use]
    pub fn into_tape(mut self) -> Tape {
        self.tape.trim();
        self.tape
    }

    /// What becomes of the event.
    #[must_use]
    pub fn fate(&self) -> Fate {
        self.fate
    }

    /// Decides what becomes of the event.
    pub fn set_fate(&mut self, fate: Fate) {
        self.fate = fate;
    }

    /// Approximate memory use of the event, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.message.byte_len() + self.size_beside_text()
    }

    /// Approximate memory use of the event without its text, in bytes.
    #[must_use]
    pub fn size_beside_text(&self) -> usize {
        self.tape.size() + size_of::<Self>()
    }

    /// The message that contains the event.
    #[must_use]
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// Replaces the message by a copy of the same text in another block, so that the original block can be freed.
    pub fn relocate(&mut self, message: Message) {
        debug_assert_eq!(*self.message, *message);
        self.message = message;
    }

    /// The message without the newline at its end.
    #[must_use]
    pub fn text(&self) -> &str {
        self.message.trim_ascii()
    }

    /// Whether [`Event::text`] contains line breaks. They can only be between tokens, as JSON allows none in strings.
    #[must_use]
    pub fn spans_lines(&self) -> bool {
        self.tape.has_raw_newlines() && self.text().bytes().any(|byte| byte == b'\n' || byte == b'\r')
    }

    /// The remote that the event came from.
    #[must_use]
    pub fn remote(&self) -> RemoteId {
        self.remote
    }

    /// The remote that the event names itself, if it is one that lxmon has recorded. Not to be called on a stripped event.
    #[must_use]
    pub(crate) fn recorded_remote(&self) -> Option<Text<'_>> {
        self.envelope.has_remote.then(|| self.root().get_text(REMOTE))?.filter(|name| !name.raw.is_empty())
    }

    /// Changes the remote that the event came from.
    pub(crate) fn set_remote(&mut self, remote: RemoteId) {
        self.remote = remote;
    }

    /// Whether the event has a member `remote` of its own. With several remotes it could be mistaken for the member of
    /// that name that lxmon adds.
    #[must_use]
    pub fn names_a_remote(&self) -> bool {
        self.envelope.has_remote
    }

    /// The whole event.
    #[must_use]
    pub fn root(&self) -> Value<'_> {
        self.tape.root(&self.message)
    }

    /// Whether any string or key in the event may be `wanted`; see [`Tape::may_contain`].
    #[must_use]
    pub(crate) fn may_contain(&self, wanted: &str) -> bool {
        self.tape.may_contain(&self.message, wanted)
    }

    fn part(&self, index: u32) -> Option<Value<'_>> {
        (index != ABSENT).then(|| self.tape.value(&self.message, index))
    }

    /// The type of the event.
    #[must_use]
    pub fn event_type(&self) -> Type {
        self.of_type
    }

    /// `type` as the server wrote it.
    #[must_use]
    pub fn type_text(&self) -> Text<'_> {
        self.part(self.envelope.event_type).and_then(|value| value.as_text()).unwrap_or(Text::plain(""))
    }

    /// `timestamp` as the server wrote it.
    #[must_use]
    pub fn timestamp_text(&self) -> Option<Text<'_>> {
        self.part(self.envelope.timestamp)?.as_text()
    }

    /// `timestamp` with its UTC offset, if it is RFC 3339.
    #[must_use]
    pub fn offset_time(&self) -> Option<DateTime<FixedOffset>> {
        DateTime::parse_from_rfc3339(&self.timestamp_text()?.cow()).ok()
    }

    /// `timestamp` as a time in UTC, if it is RFC 3339.
    #[must_use]
    pub fn time(&self) -> Option<DateTime<Utc>> {
        match self.timestamp {
            Some(Timestamp(nanos)) => Some(DateTime::from_timestamp_nanos(nanos)),
            None => Some(self.offset_time()?.to_utc()),
        }
    }

    /// `timestamp` in nanoseconds since 1970, if it is RFC 3339 and within the years 1677 to 2262.
    #[must_use]
    pub fn timestamp(&self) -> Option<Timestamp> {
        self.timestamp
    }

    /// `metadata`, of whichever JSON type it is.
    #[must_use]
    pub fn metadata(&self) -> Option<Value<'_>> {
        self.part(self.envelope.metadata)
    }

    /// `location`: the cluster member that the event comes from; `none` if the server is not clustered.
    #[must_use]
    pub fn location(&self) -> Option<Text<'_>> {
        Some(self.envelope.location?.of(&self.message))
    }

    /// `project`; absent for events that belong to no project.
    #[must_use]
    pub fn project(&self) -> Option<Text<'_>> {
        self.part(self.envelope.project)?.as_text().filter(|project| !project.raw.is_empty())
    }

    /// The metadata of a lifecycle event.
    #[must_use]
    pub fn lifecycle(&self) -> Option<Lifecycle<'_>> {
        (self.of_type == Type::Lifecycle).then(|| self.metadata()).flatten().map(Lifecycle::new)
    }

    /// The metadata of an operation event.
    #[must_use]
    pub fn operation(&self) -> Option<Operation<'_>> {
        (self.of_type == Type::Operation).then(|| self.metadata()).flatten().map(Operation::new)
    }

    /// The metadata of a logging event, or of the other types that carry log lines (ovn, network-acl).
    #[must_use]
    pub fn logging(&self) -> Option<Logging<'_>> {
        matches!(self.of_type, Type::Logging | Type::Ovn | Type::NetworkAcl)
            .then(|| self.metadata())
            .flatten()
            .map(Logging::new)
    }

    /// The metadata of a security event.
    #[must_use]
    pub fn security(&self) -> Option<Security<'_>> {
        (self.of_type == Type::Security).then(|| self.metadata()).flatten().map(Security::new)
    }

    /// The metadata of a config event.
    #[must_use]
    pub fn setting(&self) -> Option<Setting<'_>> {
        (self.of_type == Type::Config).then(|| self.metadata()).flatten().map(Setting::new)
    }

    /// The metadata of a device event.
    #[must_use]
    pub fn device(&self) -> Option<Device<'_>> {
        (self.of_type == Type::Device).then(|| self.metadata()).flatten().map(Device::new)
    }

    /// The metadata of a state event.
    #[must_use]
    pub fn state(&self) -> Option<State<'_>> {
        (self.of_type == Type::State).then(|| self.metadata()).flatten().map(State::new)
    }

    /// Whether the servers say of events of this type who asked for them: lifecycle, operation (LXD 6.6 and 5.21.5 on)
    /// and security events.
    #[must_use]
    pub fn can_have_requestor(&self) -> bool {
        matches!(self.of_type, Type::Lifecycle | Type::Operation | Type::Security)
    }

    /// The user who asked for what the event reports; `None` if nobody did, or if the server does not say who.
    #[must_use]
    pub fn requestor(&self) -> Option<Requestor<'_>> {
        let metadata = self.metadata().filter(|_| self.can_have_requestor())?;
        Requestor::of(metadata).filter(|requestor| !requestor.is_nobody())
    }
}

impl Envelope {
    const EMPTY: Self = Self {
        event_type: ABSENT,
        timestamp: ABSENT,
        metadata: ABSENT,
        project: ABSENT,
        location: None,
        has_remote: false,
    };

    fn read(message: &str, tape: &mut Tape) -> Result<(Type, Self), Malformed> {
        tape.parse(message).map_err(Malformed::Json)?;
        let mut envelope = Envelope::EMPTY;
        let root = tape.root(message);
        let Content::Object(members) = root.content() else {
            return Err(Malformed::NotAnObject);
        };
        for (key, value) in members {
            let slot = match &*key.cow() {
                "type" => &mut envelope.event_type,
                "timestamp" => &mut envelope.timestamp,
                "metadata" => &mut envelope.metadata,
                "location" => {
                    envelope.location = value.span();
                    continue;
                }
                "project" => &mut envelope.project,
                REMOTE => {
                    envelope.has_remote = true;
                    continue;
                }
                _ => continue,
            };
            *slot = value.index();
        }
        let event_type = match envelope.event_type {
            ABSENT => None,
            index => tape.value(message, index).as_text(),
        };
        let Some(event_type) = event_type.map(Type::of) else {
            return Err(Malformed::NoType);
        };
        Ok((event_type, envelope))
    }
}

impl Type {
    /// All types except [`Type::Other`].
    pub const KNOWN: [Self; 9] = [
        Self::Logging,
        Self::Operation,
        Self::Lifecycle,
        Self::Ovn,
        Self::Security,
        Self::NetworkAcl,
        Self::Config,
        Self::Device,
        Self::State,
    ];

    fn of(text: Text<'_>) -> Self {
        Self::KNOWN.into_iter().find(|kind| text.is(kind.name())).unwrap_or(Self::Other)
    }

    /// The value of `type` that the servers use for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Logging => "logging",
            Self::Operation => "operation",
            Self::Lifecycle => "lifecycle",
            Self::Ovn => "ovn",
            Self::Security => "security",
            Self::NetworkAcl => "network-acl",
            Self::Config => "config",
            Self::Device => "device",
            Self::State => "state",
            Self::Other => "other",
        }
    }

    /// A short name that users may type, of at most four letters.
    #[must_use]
    pub fn short_name(self) -> &'static str {
        match self {
            Self::Logging => "log",
            Self::Operation => "op",
            Self::Lifecycle => "life",
            Self::Ovn => "ovn",
            Self::Security => "sec",
            Self::NetworkAcl => "acl",
            Self::Config => "conf",
            Self::Device => "dev",
            Self::State => "now",
            Self::Other => "",
        }
    }

    /// The known type that a user means by `word`: its name or short name, in any case, or the plural of one of them.
    #[must_use]
    pub fn meant_by(word: &str) -> Option<Self> {
        let word = word.to_ascii_lowercase();
        let names = |kind: &Self| [kind.name(), kind.short_name()];
        let is = |word: &str| Self::KNOWN.into_iter().find(|kind| names(kind).contains(&word));
        is(&word).or_else(|| is(word.strip_suffix('s')?))
    }

    /// A sentence about the events of the type, for people.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Logging => "Log lines of the server",
            Self::Operation => "Background operations: their begin, progress and end",
            Self::Lifecycle => "Something was created, changed or deleted",
            Self::Ovn => "Log lines of OVN (LXD 5.21 and later)",
            Self::Security => "Audit records (LXD 6.9 and later)",
            Self::NetworkAcl => "Log lines of network ACLs (Incus)",
            Self::Config => "A configuration key of this instance has changed (in an instance)",
            Self::Device => "A device of this instance has changed (in an instance)",
            Self::State => "What runs and what does not, asked of the server (--state)",
            Self::Other => "",
        }
    }
}

#[cfg(test)]
pub(crate) fn event(text: &str) -> Event {
    Event::decode(Message::from(text), RemoteId::default(), Tape::default()).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn envelope_in_any_order_with_unknown_keys() {
        let event = event(
            "{\"x\":[{\"type\":\"no\"}],\"project\":\"web\",\"metadata\":{\"type\":\"no\"},\"type\":\"ovn\",\"timestamp\":\"2026-01-02T03:04:05.5+01:00\"}\n",
        );
        assert_eq!(event.event_type(), Type::Ovn);
        assert!(event.project().unwrap().is("web"));
        assert!(event.location().is_none());
        assert_eq!(event.timestamp(), Some(Timestamp(1_767_319_445_500_000_000)));
        assert!(event.text().ends_with('}') && !event.spans_lines());
    }

    #[test]
    fn says_why_a_message_is_no_event() {
        for (text, why) in [
            ("hello", Malformed::Json(JsonError::Syntax(0))),
            ("[]", Malformed::NotAnObject),
            ("{}", Malformed::NoType),
            (r#"{"type":7}"#, Malformed::NoType),
            (r#"{"type":"logging","type":null}"#, Malformed::NoType),
        ] {
            let error = Event::decode(Message::from(text), RemoteId::default(), Tape::default()).unwrap_err();
            assert_eq!(error.why, why, "{text}");
        }
    }
}
