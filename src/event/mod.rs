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
mod types;

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
pub use self::types::Type;

use self::json::{Content, JsonError, Span, Tape, Text, Value};

/// Which of the followed remotes an event came from: the index of that remote in the configuration's list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RemoteId(pub u16);

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

/// One event, ready to be filtered, ordered and rendered. It is small, because every step moves it.
#[derive(Debug)]
pub struct Event {
    message: Message,
    /// `None` once the event is stripped.
    parts: Option<Box<Parts>>,
    derived: Option<Box<Derived>>,
    timestamp: Option<Timestamp>,
    location: Option<Span>,
    remote: RemoteId,
    of_type: Type,
    fate: Fate,
    /// Whether the event has a member `remote`, which no server sends.
    has_remote: bool,
    /// Whether there are line breaks between the tokens of the text.
    has_newlines: bool,
}

/// Where the parts of an event are.
#[derive(Debug, Default)]
struct Parts {
    tape: Tape,
    envelope: Envelope,
}

/// The allocations of an event that is no longer needed, for reuse by another one.
#[derive(Debug)]
pub struct Spare(Box<Parts>);

/// Of a result of `--jq`: what it is, and what it inherits from its event.
#[derive(Debug)]
struct Derived {
    /// Whether it is an event itself: an object with a `type`.
    is_event: bool,
    timestamp: Option<Timestamp>,
    location: Option<String>,
}

/// The envelope: tape indexes of its values, [`ABSENT`] where the message lacks the key.
#[derive(Clone, Copy, Debug)]
struct Envelope {
    event_type: u32,
    timestamp: u32,
    metadata: u32,
    project: u32,
    location: u32,
    remote: u32,
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
    /// Allocations for reuse.
    pub spare: Spare,
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
    /// Parses `message` and reads its envelope. The event reuses the allocations of `spare`.
    ///
    /// # Errors
    /// The message is not an event. The error returns the message, and allocations for reuse.
    pub fn decode(message: Message, remote: RemoteId, spare: Option<Spare>) -> Result<Self, Rejected> {
        let mut parts = spare.map(|Spare(parts)| parts).unwrap_or_default();
        let Parts { tape, envelope } = &mut *parts;
        let event_type = match envelope.read(&message, tape) {
            Ok(event_type) => event_type,
            Err(why) => return Err(Rejected { why, message, spare: Spare(parts) }),
        };
        let Envelope { timestamp, location, remote: own_remote, .. } = *envelope;
        let value = |index: u32| (index != ABSENT).then(|| tape.value(&message, index));
        Ok(Self {
            timestamp: value(timestamp).and_then(|value| Timestamp::parse(&value.as_text()?.cow())),
            location: value(location).and_then(|value| value.span()),
            remote,
            of_type: event_type,
            fate: Fate::default(),
            has_remote: own_remote != ABSENT,
            has_newlines: tape.has_raw_newlines(),
            message,
            parts: Some(parts),
            derived: None,
        })
    }

    /// A value that replaces this event, which need not be an event itself. It keeps the place of this event in the order
    /// of events. `spare` is for reuse.
    ///
    /// # Errors
    /// `message` is not JSON, or nested too deep.
    pub fn derive(&self, message: Message, spare: Option<Spare>) -> Result<Self, Rejected> {
        let mut event = match Self::decode(message, self.remote, spare) {
            Err(Rejected { why: Malformed::NotAnObject | Malformed::NoType, message, spare: Spare(mut parts) }) => {
                parts.envelope = Envelope::default();
                Self {
                    message,
                    has_newlines: parts.tape.has_raw_newlines(),
                    parts: Some(parts),
                    derived: None,
                    timestamp: None,
                    location: None,
                    remote: self.remote,
                    of_type: Type::Other,
                    fate: Fate::default(),
                    has_remote: false,
                }
            }
            decoded => decoded?,
        };
        let location = self.location().map(|location| location.cow().into_owned());
        let is_event = event.envelope().event_type != ABSENT;
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

    /// Returns the allocations for reuse by another event, if the event still has them. Afterwards its members can no
    /// longer be read. What remains is the text, the type, the timestamp, the location, the remote,
    /// [`Event::spans_lines`] and [`Event::names_a_remote`].
    #[must_use]
    pub fn strip(&mut self) -> Option<Spare> {
        let mut parts = self.parts.take()?;
        parts.tape.trim();
        Some(Spare(parts))
    }

    /// Returns the allocations for reuse by another event, if the event still has them.
    #[must_use]
    pub fn into_spare(mut self) -> Option<Spare> {
        self.strip()
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
        let of_parts = |parts: &Parts| parts.tape.size() + size_of::<Parts>();
        size_of::<Self>() + self.parts.as_deref().map_or(0, of_parts)
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
        self.has_newlines && self.text().bytes().any(|byte| byte == b'\n' || byte == b'\r')
    }

    /// The remote that the event came from.
    #[must_use]
    pub fn remote(&self) -> RemoteId {
        self.remote
    }

    /// The remote that the event names itself, if it is one that lxmon has recorded. Not to be called on a stripped event.
    #[must_use]
    pub(crate) fn recorded_remote(&self) -> Option<Text<'_>> {
        self.has_remote.then(|| self.root().get_text(REMOTE))?.filter(|name| !name.raw.is_empty())
    }

    /// Changes the remote that the event came from.
    pub(crate) fn set_remote(&mut self, remote: RemoteId) {
        self.remote = remote;
    }

    /// Whether the event has a member `remote` of its own. With several remotes it could be mistaken for the member of
    /// that name that lxmon adds.
    #[must_use]
    pub fn names_a_remote(&self) -> bool {
        self.has_remote
    }

    /// The whole event.
    #[must_use]
    pub fn root(&self) -> Value<'_> {
        self.tape().root(&self.message)
    }

    /// Whether any string or key in the event may be `wanted`; see [`Tape::may_contain`].
    #[must_use]
    pub(crate) fn may_contain(&self, wanted: &str) -> bool {
        self.tape().may_contain(&self.message, wanted)
    }

    fn tape(&self) -> &Tape {
        const NONE: &Tape = &Tape::EMPTY;
        self.parts.as_deref().map_or(NONE, |parts| &parts.tape)
    }

    fn envelope(&self) -> Envelope {
        self.parts.as_deref().map(|parts| parts.envelope).unwrap_or_default()
    }

    fn part(&self, index: u32) -> Option<Value<'_>> {
        (index != ABSENT).then(|| self.tape().value(&self.message, index))
    }

    /// The type of the event.
    #[must_use]
    pub fn event_type(&self) -> Type {
        self.of_type
    }

    /// `type` as the server wrote it.
    #[must_use]
    pub fn type_text(&self) -> Text<'_> {
        self.part(self.envelope().event_type).and_then(|value| value.as_text()).unwrap_or(Text::plain(""))
    }

    /// `timestamp` as the server wrote it.
    #[must_use]
    pub fn timestamp_text(&self) -> Option<Text<'_>> {
        self.part(self.envelope().timestamp)?.as_text()
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
        self.part(self.envelope().metadata)
    }

    /// `location`: the cluster member that the event comes from; `none` if the server is not clustered.
    #[must_use]
    pub fn location(&self) -> Option<Text<'_>> {
        Some(self.location?.of(&self.message))
    }

    /// `project`; absent for events that belong to no project.
    #[must_use]
    pub fn project(&self) -> Option<Text<'_>> {
        self.part(self.envelope().project)?.as_text().filter(|project| !project.raw.is_empty())
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

impl Default for Envelope {
    /// The envelope of a message without any member.
    fn default() -> Self {
        Self {
            event_type: ABSENT,
            timestamp: ABSENT,
            metadata: ABSENT,
            project: ABSENT,
            location: ABSENT,
            remote: ABSENT,
        }
    }
}

impl Envelope {
    /// Parses the message and reads its envelope. Returns the type of the event.
    fn read(&mut self, message: &str, tape: &mut Tape) -> Result<Type, Malformed> {
        tape.parse(message).map_err(Malformed::Json)?;
        let root = tape.root(message);
        let Content::Object(members) = root.content() else {
            return Err(Malformed::NotAnObject);
        };
        let mut envelope = Self::default();
        for (key, value) in members {
            let slot = match &*key.cow() {
                "type" => &mut envelope.event_type,
                "timestamp" => &mut envelope.timestamp,
                "metadata" => &mut envelope.metadata,
                "location" => &mut envelope.location,
                "project" => &mut envelope.project,
                REMOTE => &mut envelope.remote,
                _ => continue,
            };
            *slot = value.index();
        }
        *self = envelope;
        let event_type = match envelope.event_type {
            ABSENT => None,
            index => root.at(index).as_text(),
        };
        event_type.map(Type::of).ok_or(Malformed::NoType)
    }
}

#[cfg(test)]
pub(crate) fn event(text: &str) -> Event {
    Event::decode(Message::from(text), RemoteId::default(), None).unwrap()
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
            let error = Event::decode(Message::from(text), RemoteId::default(), None).unwrap_err();
            assert_eq!(error.why, why, "{text}");
        }
    }
}
