//! One pattern in compiled form: `*` is any text, `?` one character, `[a-c]` one of these, `[!a-c]` another one, and a
//! backslash takes the meaning from what follows. (Braces and commas are gone: [`super::values`].)
//!
//! A pattern is a list of segments between its asterisks. The first one must be at the beginning of the text and the
//! last one at its end. Each of the others is taken where it is found first: as every segment matches a fixed number of
//! characters, a later place leaves less for the rest and is never better. So no text takes longer than its length times
//! that of the pattern, and a match allocates nothing.
//!
//! Written by hand: `wildmatch` knows neither sets nor escapes, in `glob-match` and `fast-glob` an asterisk ends at a
//! slash, and `globset` brings an engine for regular expressions.

use std::borrow::Cow;
use std::fmt;
use std::iter::Peekable;
use std::str::CharIndices;

use memchr::memmem;

/// A compiled pattern.
#[derive(Clone, Debug)]
pub(crate) struct Glob {
    /// What stands before, between and behind the asterisks. There is at least one segment.
    segments: Vec<Segment>,
}

/// Pieces that match one after the other, without an asterisk in between.
#[derive(Clone, Debug, Default)]
struct Segment {
    pieces: Vec<Piece>,
    /// The number of characters that the segment matches.
    characters: usize,
}

#[derive(Clone, Debug)]
enum Piece {
    /// This text, which is not empty.
    Text(Box<str>),
    /// Any character.
    Any,
    /// A character from one of these ranges, or with `excludes` from none of them.
    Set { excludes: bool, ranges: Vec<(char, char)> },
}

/// Why a pattern cannot be compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BadPattern {
    /// The number of the character at fault, from 1.
    at: usize,
    what: &'static str,
}

impl BadPattern {
    /// The fault `what` of the character at the byte offset `at` of `pattern`.
    pub(super) fn new(pattern: &str, at: usize, what: &'static str) -> Self {
        Self { at: pattern[..at].chars().count() + 1, what }
    }
}

impl fmt::Display for BadPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "character {}: {}", self.at, self.what)
    }
}

impl Glob {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// A bracket is not closed, a range ends before it begins, or a backslash stands at the end.
    pub(crate) fn new(pattern: &str) -> Result<Self, BadPattern> {
        let mut segments = vec![Segment::default()];
        let mut text = String::new();
        let mut characters = pattern.char_indices().peekable();
        while let Some((at, character)) = characters.next() {
            // There is always a last segment.
            let Some(segment) = segments.last_mut() else { break };
            match character {
                '*' => {
                    segment.push_text(&mut text);
                    segments.push(Segment::default());
                }
                '?' => segment.push(&mut text, Piece::Any),
                '[' => segment.push(&mut text, set(pattern, at, &mut characters)?),
                '\\' => text.push(escaped(pattern, at, &mut characters)?),
                _ => text.push(character),
            }
        }
        if let Some(segment) = segments.last_mut() {
            segment.push_text(&mut text);
        }
        Ok(Self { segments })
    }

    /// The pattern that matches `text` and nothing else.
    pub(super) fn of_text(text: &str) -> Self {
        let mut segment = Segment::default();
        segment.push_text(&mut text.to_owned());
        Self { segments: vec![segment] }
    }

    /// Whether the whole text matches.
    #[must_use]
    pub(crate) fn matches(&self, text: &str) -> bool {
        let (Some(first), last) = (self.segments.first(), &self.segments[1..]) else { return false };
        let Some(begun) = first.prefix(text) else { return false };
        let Some((last, between)) = last.split_last() else { return begun == text.len() };
        let mut rest = &text[begun..];
        for segment in between {
            let Some(end) = segment.find(rest) else { return false };
            rest = &rest[end..];
        }
        last.is_suffix(rest)
    }
}

impl Segment {
    fn push_text(&mut self, text: &mut String) {
        if !text.is_empty() {
            self.characters += text.chars().count();
            self.pieces.push(Piece::Text(std::mem::take(text).into_boxed_str()));
        }
    }

    /// Adds the collected text, and then a piece that matches one character.
    fn push(&mut self, text: &mut String, piece: Piece) {
        self.push_text(text);
        self.characters += 1;
        self.pieces.push(piece);
    }

    /// The length of what the segment matches at the beginning of `text`, in bytes.
    fn prefix(&self, text: &str) -> Option<usize> {
        let mut rest = text;
        for piece in &self.pieces {
            rest = match piece {
                Piece::Text(wanted) => rest.strip_prefix(&**wanted)?,
                Piece::Any | Piece::Set { .. } => {
                    let character = rest.chars().next().filter(|character| piece.has(*character))?;
                    &rest[character.len_utf8()..]
                }
            };
        }
        Some(text.len() - rest.len())
    }

    /// The end of the first place in `text` that the segment matches, as an offset in bytes.
    fn find(&self, text: &str) -> Option<usize> {
        let mut from = 0;
        loop {
            let rest = &text[from..];
            let at = match self.pieces.first() {
                Some(Piece::Text(wanted)) => memmem::find(rest.as_bytes(), wanted.as_bytes())?,
                _ => 0,
            };
            if let Some(length) = self.prefix(&rest[at..]) {
                return Some(from + at + length);
            }
            from += at + rest[at..].chars().next()?.len_utf8();
        }
    }

    /// Whether the segment matches the end of `text`.
    fn is_suffix(&self, text: &str) -> bool {
        let Some(before) = self.characters.checked_sub(1) else { return true };
        let start = text.char_indices().rev().nth(before);
        start.is_some_and(|(at, _)| self.prefix(&text[at..]).is_some())
    }
}

impl Piece {
    /// Whether this piece, if it is one for a single character, matches it.
    fn has(&self, character: char) -> bool {
        match self {
            Self::Text(_) => false,
            Self::Any => true,
            Self::Set { excludes, ranges } => {
                ranges.iter().any(|(first, last)| (first..=last).contains(&&character)) != *excludes
            }
        }
    }
}

type Characters<'p> = Peekable<CharIndices<'p>>;

/// What is wrong with a backslash at the end.
pub(super) const NOTHING_ESCAPED: &str = r"nothing follows this backslash; '\\' stands for one";

/// The character behind the backslash at `at`.
fn escaped(pattern: &str, at: usize, characters: &mut Characters<'_>) -> Result<char, BadPattern> {
    let next = characters.next().map(|(_, character)| character);
    next.ok_or_else(|| BadPattern::new(pattern, at, NOTHING_ESCAPED))
}

/// The set whose opening bracket stands at `at`.
fn set(pattern: &str, at: usize, characters: &mut Characters<'_>) -> Result<Piece, BadPattern> {
    let open = || BadPattern::new(pattern, at, r"this '[' has no ']'; '\[' stands for the character itself");
    let excludes = characters.next_if(|(_, character)| matches!(character, '!' | '^')).is_some();
    let mut ranges: Vec<(char, char)> = Vec::new();
    loop {
        let (place, character) = characters.next().ok_or_else(open)?;
        let first = match character {
            // A bracket that comes first is one of the set, as in a shell.
            ']' if !ranges.is_empty() => return Ok(Piece::Set { excludes, ranges }),
            '\\' => escaped(pattern, place, characters)?,
            _ => character,
        };
        let mut behind = characters.clone();
        let is_range =
            behind.next_if(|(_, dash)| *dash == '-').is_some() && behind.peek().is_some_and(|(_, c)| *c != ']');
        if !is_range {
            ranges.push((first, first));
            continue;
        }
        *characters = behind;
        let last = match characters.next().ok_or_else(open)? {
            (place, '\\') => escaped(pattern, place, characters)?,
            (_, last) => last,
        };
        if last < first {
            return Err(BadPattern::new(pattern, place, "this range ends before it begins"));
        }
        ranges.push((first, last));
    }
}

/// The offset behind the closing bracket of the set whose opening bracket stands at `at`.
pub(super) fn end_of_set(pattern: &str, at: usize) -> Result<usize, BadPattern> {
    let mut characters = pattern.char_indices().peekable();
    while characters.next_if(|(place, _)| *place <= at).is_some() {}
    set(pattern, at, &mut characters)?;
    Ok(characters.peek().map_or(pattern.len(), |(end, _)| *end))
}

/// The only text that a pattern matches; `None` if it has a wildcard.
pub(crate) fn literal(pattern: &str) -> Option<Cow<'_, str>> {
    if !pattern.contains(['*', '?', '[', '\\']) {
        return Some(Cow::Borrowed(pattern));
    }
    let mut text = String::with_capacity(pattern.len());
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        match character {
            '*' | '?' | '[' => return None,
            '\\' => text.extend(characters.next()),
            _ => text.push(character),
        }
    }
    Some(Cow::Owned(text))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn wildcards_sets_and_escapes() {
        for (pattern, matching, others) in [
            ("web", &["web"][..], &["", "we", "webs", "Web"][..]),
            ("", &[""], &["a"]),
            ("*", &["", "a", "日本"], &[]),
            ("web*", &["web", "web1"], &["we", "aweb"]),
            ("*web", &["web", "aweb"], &["webs"]),
            ("w*b", &["wb", "web", "wbb"], &["w", "b", "wba"]),
            ("a*a", &["aa", "aba"], &["a"]),
            ("*a*b*", &["ab", "xaybz"], &["ba", "a"]),
            ("c?", &["c1", "cé"], &["c", "c12"]),
            ("?*", &["a", "ab"], &[""]),
            ("*?x", &["ax", "日x"], &["x"]),
            ("c[0-9]", &["c0", "c9"], &["c", "ca", "c10"]),
            ("c[0-9a-cx]", &["c0", "cb", "cx"], &["cd", "c-"]),
            ("c[!0-9]", &["ca", "c-", "c!"], &["c1", "c"]),
            ("c[^0-9]", &["ca"], &["c1"]),
            ("[]]", &["]"], &["[", ""]),
            ("[!]]", &["a"], &["]"]),
            ("[a-]", &["a", "-"], &["b"]),
            ("[-a]", &["a", "-"], &["b"]),
            (r"[\]a]", &["]", "a"], &[r"\"]),
            (r"[\!a]", &["!", "a"], &[r"\"]),
            ("[é-ü]", &["ö"], &["o"]),
            ("a]b}c", &["a]b}c"], &["abc"]),
            (r"\*\?\[\{\\\,", &[r"*?[{\,"], &["a"]),
            ("/1.0/*/c1", &["/1.0/instances/c1", "/1.0/a/b/c1"], &["/1.0/c1"]),
            ("*日*", &["日", "a日本"], &["本"]),
        ] {
            let glob = Glob::new(pattern).unwrap();
            for text in matching {
                assert!(glob.matches(text), "{pattern} {text}");
            }
            for text in others {
                assert!(!glob.matches(text), "{pattern} {text}");
            }
        }
    }

    #[test]
    fn a_bad_pattern_is_refused_with_the_place() {
        for (pattern, says) in [
            ("[", "character 1: this '[' has no ']'"),
            ("ö[a", "character 2: this '['"),
            ("a[]", "character 2: this '['"),
            ("a[!", "character 2: this '['"),
            ("a[b-", "character 2: this '['"),
            ("[z-a]", "character 2: this range ends before it begins"),
            (r"ab\", "character 3: nothing follows this backslash"),
            (r"[\", "character 2: nothing follows this backslash"),
        ] {
            let error = Glob::new(pattern).unwrap_err().to_string();
            assert!(error.starts_with(says), "{pattern}: {error}");
        }
    }

    #[test]
    fn the_only_text_of_a_pattern() {
        for (pattern, text) in
            [("web", Some("web")), (r"a\*\,b", Some("a*,b")), ("a*", None), ("a?", None), ("[a]", None), (r"\\*", None)]
        {
            assert_eq!(literal(pattern).as_deref(), text, "{pattern}");
        }
    }

    #[test]
    fn no_pattern_takes_long() {
        // A matcher that tries every place for every asterisk would not end in this life.
        let text = "a".repeat(100_000);
        for pattern in ["*a*a*a*a*a*a*a*a*a*a*a*a*b", "*?a*?a*?a*?a*?a*?a*[b-z]", "a*a*a*a*a*a*a*a*ab*a"] {
            assert!(!Glob::new(pattern).unwrap().matches(&text), "{pattern}");
            assert!(Glob::new(pattern).unwrap().matches(&format!("{text}b{text}b")) != pattern.ends_with('a'));
        }
    }

    /// What a pattern is made of, for a matcher that is obviously right.
    #[derive(Clone, Debug)]
    enum Part {
        Star,
        Any,
        One(char),
        Set(bool, Vec<(char, char)>),
    }

    fn write(parts: &[Part]) -> String {
        let escape = |c: char| if "*?[]{}\\,!^-".contains(c) { format!("\\{c}") } else { c.to_string() };
        parts
            .iter()
            .map(|part| match part {
                Part::Star => "*".to_owned(),
                Part::Any => "?".to_owned(),
                Part::One(c) => escape(*c),
                Part::Set(excludes, ranges) => {
                    let ranges = ranges.iter().map(|(a, b)| format!("{}-{}", escape(*a), escape(*b)));
                    format!("[{}{}]", if *excludes { "!" } else { "" }, ranges.collect::<String>())
                }
            })
            .collect()
    }

    fn naive(parts: &[Part], text: &[char]) -> bool {
        match (parts, text) {
            ([], []) => true,
            ([Part::Star, rest @ ..], _) => (0..=text.len()).any(|taken| naive(rest, &text[taken..])),
            ([part, rest @ ..], [first, others @ ..]) => {
                let is_match = match part {
                    Part::One(c) => c == first,
                    Part::Set(excludes, ranges) => ranges.iter().any(|(a, b)| a <= first && first <= b) != *excludes,
                    _ => true,
                };
                is_match && naive(rest, others)
            }
            _ => false,
        }
    }

    fn any_character() -> impl Strategy<Value = char> {
        prop_oneof![4 => prop::char::range('a', 'c'), 1 => prop::sample::select("日é*?[]!-\\,{}^".chars().collect::<Vec<_>>())]
    }

    fn any_part() -> impl Strategy<Value = Part> {
        let range = (any_character(), any_character()).prop_map(|(a, b)| (a.min(b), a.max(b)));
        prop_oneof![
            2 => Just(Part::Star),
            1 => Just(Part::Any),
            4 => any_character().prop_map(Part::One),
            1 => (any::<bool>(), prop::collection::vec(range, 1..3)).prop_map(|(excludes, ranges)| Part::Set(excludes, ranges)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]
        #[test]
        fn matches_what_a_naive_matcher_does(parts in prop::collection::vec(any_part(), 0..8), text in prop::collection::vec(any_character(), 0..10)) {
            let pattern = write(&parts);
            let glob = Glob::new(&pattern).unwrap();
            let string: String = text.iter().collect();
            prop_assert_eq!(glob.matches(&string), naive(&parts, &text), "{} {}", pattern, string);
        }

        #[test]
        fn any_text_is_a_pattern_or_an_error(pattern: String, text: String) {
            if let Ok(glob) = Glob::new(&pattern) {
                let _ = glob.matches(&text);
            }
        }
    }
}
