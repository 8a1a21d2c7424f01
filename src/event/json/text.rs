//! Strings in their escaped form, as in the message, and their decoding.

use std::borrow::Cow;
use std::ops::Range;

/// The kinds of escapes in a string. The value is the greatest kind that occurs; lesser kinds may occur too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Escapes {
    /// No escapes.
    None,
    /// `\"`, `\\`, `\n`, which are the same in YAML and Rust.
    Shared,
    /// `\t`, `\b`, `\f`, `\r`: control characters other than newlines, whose escapes are the same in YAML.
    Control,
    /// `\u` and `\/`.
    Other,
}

/// The contents of a JSON string, still escaped as in the message.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a> {
    /// The text between the quotes.
    pub raw: &'a str,
    /// The kinds of escapes in `raw`.
    pub escapes: Escapes,
}

/// The place of a string's contents in a message. It is valid without the tape.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) escapes: Escapes,
}

impl Span {
    /// The text at this place of `message`, which must be the one of which the span was made.
    #[must_use]
    pub fn of(self, message: &str) -> Text<'_> {
        Text { raw: &message[self.start as usize..self.end as usize], escapes: self.escapes }
    }
}

impl<'a> Text<'a> {
    /// A text without escapes.
    #[must_use]
    pub fn plain(raw: &'a str) -> Self {
        Self { raw, escapes: Escapes::None }
    }

    /// Whether `raw` contains escapes.
    #[inline]
    #[must_use]
    pub fn is_escaped(&self) -> bool {
        self.escapes != Escapes::None
    }

    /// Whether the decoded string equals `other`.
    #[inline]
    #[must_use]
    pub fn is(&self, other: &str) -> bool {
        if self.is_escaped() { self.cow() == other } else { self.raw == other }
    }

    /// The decoded string, which is stored in `scratch` if it has escapes. A lone surrogate becomes U+FFFD, as in Go's
    /// decoder.
    #[must_use]
    pub fn decode<'b>(&self, scratch: &'b mut String) -> &'b str
    where
        'a: 'b,
    {
        if !self.is_escaped() {
            return self.raw;
        }
        scratch.clear();
        unescape(self.raw, scratch);
        scratch
    }

    /// Replaces ranges of the decoded string, which must be in order and without overlaps, by those of `raw`.
    pub fn raw_ranges(&self, ranges: &mut [Range<usize>]) {
        if !self.is_escaped() {
            return;
        }
        let (mut raw, mut decoded) = (0, 0);
        let mut find = |wanted: usize| {
            while decoded < wanted {
                let (raw_length, decoded_length) = match self.raw.as_bytes()[raw..] {
                    [b'\\', b'u', ..] => {
                        let (character, length) = unescape_unicode(&self.raw[raw..]);
                        (length, character.len_utf8())
                    }
                    [b'\\', ..] => (2, 1),
                    _ => (1, 1),
                };
                raw += raw_length;
                decoded += decoded_length;
            }
            raw
        };
        for range in ranges {
            *range = find(range.start)..find(range.end);
        }
    }

    /// The decoded string. A lone surrogate becomes U+FFFD.
    #[inline]
    #[must_use]
    pub fn cow(&self) -> Cow<'a, str> {
        if self.is_escaped() { Cow::Owned(unescaped(self.raw)) } else { Cow::Borrowed(self.raw) }
    }
}

#[cold]
fn unescaped(raw: &str) -> String {
    let mut decoded = String::with_capacity(raw.len());
    unescape(raw, &mut decoded);
    decoded
}

fn unescape(mut raw: &str, out: &mut String) {
    // Texts that have escapes have many close together, as in JSON within JSON, so a vectorised search does not pay.
    while let Some(at) = raw.bytes().position(|byte| byte == b'\\') {
        out.push_str(&raw[..at]);
        let escape = raw.as_bytes()[at + 1];
        let mut taken = at + 2;
        out.push(match escape {
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let (character, length) = unescape_unicode(&raw[at..]);
                taken = at + length;
                character
            }
            other => char::from(other),
        });
        raw = &raw[taken..];
    }
    out.push_str(raw);
}

/// The character of the `\uXXXX` at the start of `text`, and the length of the escape or surrogate pair.
fn unescape_unicode(text: &str) -> (char, usize) {
    let unit = hex(&text[2..]);
    if (0xd800..0xdc00).contains(&unit)
        && text[6..].starts_with("\\u")
        && let low @ 0xdc00..0xe000 = hex(&text[8..])
    {
        let code = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
        return (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 12);
    }
    (char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER), 6)
}

/// The value of the four hex digits at the start of `text`. The scanner has checked that they are there.
fn hex(text: &str) -> u32 {
    text.as_bytes()[..4].iter().fold(0, |value, &digit| value << 4 | char::from(digit).to_digit(16).unwrap_or(0))
}
