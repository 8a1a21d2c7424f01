//! Parses one JSON text, once, into a flat array of nodes: the tape. Later steps find values by the tape.
//!
//! ```text
//!   {"a":[1]}        node   start            link
//!   012345678        0      0, container     4: index of the first node after the object
//!                    1      1, key           4: offset at which the text `"a"` ends
//!                    2      5, container     4: index of the first node after the array
//!                    3      6, number        7: offset at which the text `1` ends
//! ```
//!
//! The text is checked in full against the grammar of RFC 8259 (`scan`). Values are not converted (`view`): a number
//! keeps the server's digits, and a string stays escaped until it is decoded on demand (`text`). The tape is reused for
//! the next event.
//!
//! Written by hand because no library does all of that: `serde_json` either builds a tree or, with `RawValue`, keeps
//! the metadata unparsed; `simd-json` modifies the text, which lxmon must print unchanged. Decoding takes 278 ns per
//! event of 418 bytes on average, without an allocation (`benches/README.md`).

mod scan;
mod text;
mod view;

use std::fmt;

use self::scan::Scanner;
pub use self::text::{Escapes, Span, Text};
pub use self::view::{Content, Items, Members, Value};

/// The maximum nesting of objects and arrays. Real events reach 8. The limit bounds the stack of recursive functions.
pub const MAX_DEPTH: usize = 256;

/// The maximum length of a text that a tape can describe, in bytes. Messages are limited to far less.
const MAX_TEXT: usize = (1 << ESCAPES_SHIFT) - 1;

/// The lowest bit of the [`Escapes`] of a string in [`Node::link`].
const ESCAPES_SHIFT: u32 = 30;

/// The bit of [`Node::start`] that marks an object or array.
const CONTAINER: u32 = 1 << 31;

/// One value or object key. Nodes are small because a text can need one for every two bytes (`[1,1,1]`, `[[[]]]`). So
/// the offset at which an object or array ends is not stored, but searched for in the text when it is needed.
#[derive(Clone, Copy, Debug)]
struct Node {
    /// The offset in the text, and the bit [`CONTAINER`].
    start: u32,
    /// Of a scalar or key: the offset at which it ends, and in the bits above that the [`Escapes`] of a string. Of a
    /// container: the index of the first node after it; while it is being parsed, the index of the enclosing container.
    link: u32,
}

impl Node {
    #[inline]
    fn start(self) -> usize {
        (self.start & !CONTAINER) as usize
    }

    /// The offset at which a scalar ends.
    #[inline]
    fn end(self) -> usize {
        self.end_offset() as usize
    }

    #[inline]
    fn end_offset(self) -> u32 {
        self.link & !(u32::MAX << ESCAPES_SHIFT)
    }

    #[inline]
    fn is_container(self) -> bool {
        self.start & CONTAINER != 0
    }

    /// The index of the first node after this value, whose own index is `index`.
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

/// The parsed form of one JSON text. It can be reused for the next text.
#[derive(Debug, Default)]
pub struct Tape {
    nodes: Vec<Node>,
    raw_newlines: bool,
}

/// Why lxmon cannot parse a text as JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonError {
    /// A syntax error, and its offset in bytes.
    Syntax(usize),
    /// The text ends within its value.
    Truncated,
    /// The text is nested deeper than [`MAX_DEPTH`].
    TooDeep,
    /// The text is longer than a tape can describe.
    TooLong,
    /// There is not enough memory for the tape.
    NoMemory,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(at) => write!(f, "not JSON (byte {})", at + 1),
            Self::Truncated => f.write_str("not JSON (it ends too early)"),
            Self::TooDeep => write!(f, "JSON nested deeper than {MAX_DEPTH} levels"),
            Self::TooLong => f.write_str("JSON longer than 1 GiB"),
            Self::NoMemory => f.write_str("JSON that is too large for the available memory"),
        }
    }
}

impl std::error::Error for JsonError {}

impl Tape {
    /// A tape of no text.
    pub(super) const EMPTY: Self = Self { nodes: Vec::new(), raw_newlines: false };

    /// Parses `text`, and replaces the previous contents of the tape.
    pub fn parse(&mut self, text: &str) -> Result<(), JsonError> {
        self.nodes.clear();
        self.raw_newlines = false;
        if text.len() > MAX_TEXT {
            return Err(JsonError::TooLong);
        }
        // The scanner owns the tape while it runs, which saves an indirection per node.
        let mut scanner = Scanner::new(text.as_bytes(), std::mem::take(self));
        let outcome = scanner.document();
        *self = scanner.into_tape();
        outcome
    }

    /// The root of the text that was parsed last. `text` must be that text.
    #[must_use]
    pub fn root<'a>(&'a self, text: &'a str) -> Value<'a> {
        self.value(text, 0)
    }

    /// Whether the text that was parsed last, `text`, may contain the string or key `wanted`, which must not need an
    /// escape. A quick check with false positives: one pass over the nodes, and no decoding.
    #[must_use]
    pub fn may_contain(&self, text: &str, wanted: &str) -> bool {
        let is_wanted = |node: &Node| {
            // With the quotes. For a container the difference is far greater.
            let is_as_long = node.end_offset().wrapping_sub(node.start) as usize == wanted.len() + 2;
            is_as_long && text[node.start() + 1..].starts_with(wanted)
        };
        self.nodes.iter().any(|node| is_wanted(node) || node.escapes() == Escapes::Other)
    }

    /// The value at `index`, which must be a result of [`Value::index`].
    #[must_use]
    pub fn value<'a>(&'a self, text: &'a str, index: u32) -> Value<'a> {
        Value::new(text, &self.nodes, index)
    }

    /// Whether there are line breaks between the tokens. Inside strings they are always escaped.
    #[must_use]
    pub fn has_raw_newlines(&self) -> bool {
        self.raw_newlines
    }

    /// Memory use of the tape, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.nodes.capacity() * size_of::<Node>()
    }

    /// Empties the tape, and frees the memory that an unusually large text needed.
    pub fn trim(&mut self) {
        /// Usual events have up to 72 nodes (`tests/data/golden`). If more were kept, the tapes of all events on their
        /// way would grow to the size of the largest ones, one by one, as they are reused.
        const KEEP: usize = 128;
        self.nodes.clear();
        self.nodes.shrink_to(KEEP);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_tape_that_is_reused_keeps_no_memory_of_a_large_text() {
        let mut tape = Tape::default();
        tape.parse(&format!("[{}0]", "0,".repeat(100_000))).unwrap();
        assert!(tape.size() >= 100_000 * size_of::<Node>());
        tape.trim();
        assert!(tape.size() <= 1024, "{} bytes", tape.size());
    }

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
    fn strings_end_at_any_place_of_the_bytes_that_are_looked_at_at_once() {
        for inside in ["", r"\\", r#"\""#, r#"\\\""#, r"\n\t", r"\u00e9", "é", r"\", r"\\\", r"\x", "\u{1}", "\u{7f}"]
        {
            for (before, after) in (0..140).flat_map(|before| [0, 1, 62, 63, 64].map(|after| (before, after))) {
                let (before, after) = ("x".repeat(before), "y".repeat(after));
                let text = format!(r#"{{"{before}":"{before}{inside}{after}","k":["a","{after}"]}}"#);
                let theirs = serde_json::from_str::<serde_json::Value>(&text).ok();
                assert_eq!(parse(&text).ok(), theirs.map(|value| value.to_string()), "{text}");
            }
        }
    }

    #[test]
    fn the_beginning_of_a_text_is_truncated() {
        let text =
            format!(r#"{{"a":"{}\n\\","b":[-1.5e3,true,"{}"],"c":{{}}}}"#, "x".repeat(100), r"\u00e9".repeat(30));
        assert!(parse(&text).is_ok());
        for end in 0..text.len() {
            assert_eq!(parse(&text[..end]), Err(JsonError::Truncated), "{end}");
        }
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
        fn agrees_with_serde_json_on_escapes(inside in r#"[\\"nu0a/\x00-]{0,12}(\\[\\"nt/]|a| ){0,60}[\\"nu0a]{0,40}"#) {
            let text = format!("\"{inside}\"");
            let theirs = serde_json::from_str::<String>(&text).ok();
            let mut tape = Tape::default();
            let ours = tape.parse(&text).ok().map(|()| tape.root(&text).as_text().unwrap().cow().into_owned());
            prop_assert_eq!(ours, theirs, "{}", text);
        }

        #[test]
        fn agrees_with_serde_json_on_damaged_text(value in any_json(), at: prop::sample::Index, byte in prop_oneof![any::<char>(), prop::char::range(' ', '~')]) {
            let mut text = value.to_string();
            let mut at = at.index(text.len());
            while !text.is_char_boundary(at) { at -= 1; }
            text.insert(at, byte);
            // serde_json checks only the form of ignored values: it accepts numbers beyond f64's range and lone
            // surrogates.
            let is_json = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
            prop_assert_eq!(Tape::default().parse(&text).is_ok(), is_json, "{}", text);
        }
    }
}
