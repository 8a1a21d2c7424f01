//! Reads one JSON text into a flat tape of nodes, once, so that every later step walks the tape and never the text.
//!
//! ```text
//!   {"a":[1]}        node   start             link
//!   0   4 6          0      0, a container    4: the first node behind the object
//!                    1      1, the key        4: where the text `"a"` ends
//!                    2      5, a container    4: the first node behind the array
//!                    3      6, the number     7: where the text `1` ends
//! ```
//!
//! The grammar is RFC 8259's, checked in full (`scan`). Values are never converted (`view`): a number stays the digits
//! the server wrote, a string stays its escaped text until someone asks for it (`text`). The tape is reused from event to
//! event.

mod scan;
mod text;
mod view;

use std::fmt;

use self::scan::Scanner;
pub use self::text::{Escapes, Text};
pub use self::view::{Content, Items, Members, Value};

/// How deep objects and arrays may nest. Real events reach 8; the limit keeps every later walk within its stack.
pub const MAX_DEPTH: usize = 256;

/// The longest text a tape can describe, in bytes. Messages are refused long before that.
const MAX_TEXT: usize = (1 << ESCAPES_SHIFT) - 1;

/// Where in [`Node::link`] the [`Escapes`] of a string begin.
const ESCAPES_SHIFT: u32 = 30;

/// In [`Node::start`]: it is an object or array.
const CONTAINER: u32 = 1 << 31;

/// One value or object key. An array of single digits has one for every two bytes of text, as have arrays within arrays,
/// so they are small: where an object or array ends is looked for in the text when it is asked.
#[derive(Clone, Copy, Debug)]
struct Node {
    /// Where it stands in the text, and whether it is a [`CONTAINER`].
    start: u32,
    /// Where a scalar ends, and above that the [`Escapes`] of a string. Of a container, the index of the first node that is
    /// not part of it; while it is being parsed, that of the container around it.
    link: u32,
}

impl Node {
    #[inline]
    fn start(self) -> usize {
        (self.start & !CONTAINER) as usize
    }

    /// Where a scalar ends.
    #[inline]
    fn end(self) -> usize {
        (self.link & !(u32::MAX << ESCAPES_SHIFT)) as usize
    }

    #[inline]
    fn is_container(self) -> bool {
        self.start & CONTAINER != 0
    }

    /// The index of the first node that is not part of this one, which is at `index`.
    #[inline]
    fn next(self, index: u32) -> u32 {
        if self.is_container() { self.link } else { index + 1 }
    }

    #[inline]
    fn escapes(self) -> Escapes {
        match self.link >> ESCAPES_SHIFT {
            0 => Escapes::None,
            1 => Escapes::Shared,
            2 => Escapes::Control,
            _ => Escapes::Other,
        }
    }
}

/// The parsed form of one JSON text, to be reused for the next.
#[derive(Debug, Default)]
pub struct Tape {
    nodes: Vec<Node>,
    raw_newlines: bool,
}

/// Why a text is not JSON that lxmon reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonError {
    /// Not JSON; the byte where that shows.
    Syntax(usize),
    /// Ends before its value does.
    Truncated,
    /// Nests deeper than [`MAX_DEPTH`].
    TooDeep,
    /// Longer than a tape can describe.
    TooLong,
    /// There is no memory for the tape.
    NoMemory,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(at) => write!(f, "not JSON (byte {})", at + 1),
            Self::Truncated => f.write_str("not JSON (it ends too early)"),
            Self::TooDeep => write!(f, "JSON nested deeper than {MAX_DEPTH} levels"),
            Self::TooLong => f.write_str("JSON longer than 1 GiB"),
            Self::NoMemory => f.write_str("JSON that there is no memory to read"),
        }
    }
}

impl std::error::Error for JsonError {}

impl Tape {
    /// Parses `text`, forgetting what the tape held before.
    pub fn parse(&mut self, text: &str) -> Result<(), JsonError> {
        self.nodes.clear();
        self.raw_newlines = false;
        if text.len() > MAX_TEXT {
            return Err(JsonError::TooLong);
        }
        // The scanner has the tape as its own for the time: one way less to every node.
        let mut scanner = Scanner::new(text.as_bytes(), std::mem::take(self));
        let outcome = scanner.document();
        *self = scanner.into_tape();
        outcome
    }

    /// The value parsed last. `text` must be the text it was parsed from.
    #[must_use]
    pub fn root<'a>(&'a self, text: &'a str) -> Value<'a> {
        self.value(text, 0)
    }

    /// The value at `index`, as [`Value::index`] gave it.
    #[must_use]
    pub fn value<'a>(&'a self, text: &'a str, index: u32) -> Value<'a> {
        Value::new(text, &self.nodes, index)
    }

    /// Whether line ends stand between the tokens (inside strings they are always escaped).
    #[must_use]
    pub fn has_raw_newlines(&self) -> bool {
        self.raw_newlines
    }

    /// What it takes in memory, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.nodes.capacity() * size_of::<Node>()
    }

    /// Moves the tape out; what stays knows only of line ends.
    #[must_use]
    pub fn take(&mut self) -> Self {
        let raw_newlines = self.raw_newlines;
        std::mem::replace(self, Self { nodes: Vec::new(), raw_newlines })
    }

    /// Gives back memory that an unusually large text took.
    pub fn trim(&mut self) {
        const KEEP: usize = 4096;
        if self.nodes.capacity() > KEEP {
            self.nodes = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<String, JsonError> {
        let mut tape = Tape::default();
        tape.parse(text)?;
        Ok(to_serde(tape.root(text)).to_string())
    }

    fn to_serde(value: Value<'_>) -> serde_json::Value {
        match value.content() {
            Content::Null => serde_json::Value::Null,
            Content::Bool(bool) => bool.into(),
            Content::Number(digits) => serde_json::from_str(digits).unwrap(),
            Content::String(text) => text.cow().into(),
            Content::Array(items) => items.map(to_serde).collect(),
            Content::Object(members) => members.map(|(key, value)| (key.cow().into_owned(), to_serde(value))).collect(),
        }
    }

    #[test]
    fn refuses_what_is_not_json() {
        for (text, error) in [
            ("", JsonError::Truncated),
            ("{", JsonError::Truncated),
            ("[1,", JsonError::Truncated),
            ("\"abc", JsonError::Truncated),
            ("\"\\u00", JsonError::Truncated),
            ("-", JsonError::Truncated),
            ("tru", JsonError::Truncated),
            ("]", JsonError::Syntax(0)),
            ("[1}", JsonError::Syntax(2)),
            ("{\"a\":1]", JsonError::Syntax(6)),
            ("[1,]", JsonError::Syntax(3)),
            ("{\"a\":1,}", JsonError::Syntax(7)),
            ("{\"a\" 1}", JsonError::Syntax(5)),
            ("{1:1}", JsonError::Syntax(1)),
            ("[1 2]", JsonError::Syntax(3)),
            ("01", JsonError::Syntax(1)),
            ("1.x", JsonError::Syntax(2)),
            ("truth", JsonError::Syntax(3)),
            ("{} {}", JsonError::Syntax(3)),
            ("\"\n\"", JsonError::Syntax(1)),
            ("\"\\x\"", JsonError::Syntax(2)),
            ("\"\\u12g4\"", JsonError::Syntax(5)),
            ("nope", JsonError::Syntax(1)),
        ] {
            assert_eq!(parse(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn nesting_has_a_limit_and_no_more() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(parse(&nested(MAX_DEPTH)).is_ok());
        assert_eq!(parse(&nested(MAX_DEPTH + 1)), Err(JsonError::TooDeep));
        assert_eq!(parse(&nested(10_000)), Err(JsonError::TooDeep));
    }

    #[test]
    fn surrogates_without_partner_become_the_replacement_character() {
        for (text, string) in [
            (r#""\ud83d\ude00""#, "😀"),
            (r#""\ud83d""#, "\u{fffd}"),
            (r#""\ude00x""#, "\u{fffd}x"),
            (r#""\ud83d\u0041""#, "\u{fffd}A"),
            (r#""\ud83d\ud83d\ude00""#, "\u{fffd}😀"),
        ] {
            let mut tape = Tape::default();
            tape.parse(text).unwrap();
            assert_eq!(tape.root(text).as_text().unwrap().cow(), string, "{text}");
        }
    }

    #[test]
    fn of_doubled_keys_the_last_counts() {
        let text = r#"{"a":1,"\u0061":2}"#;
        let mut tape = Tape::default();
        tape.parse(text).unwrap();
        assert_eq!(tape.root(text).get("a").unwrap().raw(), "2");
    }

    #[test]
    fn the_text_of_objects_and_arrays_ends_where_they_do() {
        let text = r#"{"a":[{"]":"}\\\"]"},[],{}, [ "\\" ] ],"b":"[{"}"#;
        let mut tape = Tape::default();
        tape.parse(text).unwrap();
        let root = tape.root(text);
        assert_eq!(root.raw(), text);
        assert_eq!(root.get("a").unwrap().raw(), r#"[{"]":"}\\\"]"},[],{}, [ "\\" ] ]"#);
        let items: Vec<_> = root.get("a").unwrap().items().map(|item| item.raw()).collect();
        assert_eq!(items, [r#"{"]":"}\\\"]"}"#, "[]", "{}", r#"[ "\\" ]"#]);
    }

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<f64>().prop_map(Into::into),
            any::<String>().prop_map(Into::into),
        ];
        leaf.prop_recursive(6, 64, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Into::into),
                prop::collection::btree_map(any::<String>(), inner, 0..8).prop_map(|map| map.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn reads_what_serde_json_writes(value in any_json(), pretty: bool) {
            let text = if pretty { serde_json::to_string_pretty(&value).unwrap() } else { value.to_string() };
            let theirs: serde_json::Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(parse(&text).unwrap(), theirs.to_string());
        }

        #[test]
        fn agrees_with_serde_json_on_damaged_text(value in any_json(), at: prop::sample::Index, byte in prop_oneof![any::<char>(), prop::char::range(' ', '~')]) {
            let mut text = value.to_string();
            let mut at = at.index(text.len());
            while !text.is_char_boundary(at) { at -= 1; }
            text.insert(at, byte);
            // Of values that it skips serde_json wants but the form: numbers out of f64's range and lone surrogates have it.
            let is_json = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
            prop_assert_eq!(Tape::default().parse(&text).is_ok(), is_json, "{}", text);
        }
    }
}
