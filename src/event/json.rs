//! Reads one JSON text into a flat tape of spans, once, so that every later step walks the tape and never the text.
//!
//! The grammar is RFC 8259's, checked in full. Values are never converted: a number stays the digits the server
//! wrote, a string stays its escaped text until someone asks for it. The tape is reused from event to event.

use std::borrow::Cow;
use std::fmt;

use wide::u8x16;

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

/// The one around the outermost value.
const NOTHING: u32 = u32::MAX;

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

/// What kinds of escapes a string has, later kinds together with earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Escapes {
    /// None.
    None,
    /// `\"`, `\\`, `\n`: the same in YAML and Rust.
    Shared,
    /// `\t`, `\b`, `\f`, `\r`: the same in YAML, for control characters other than newlines.
    Control,
    /// `\u`, `\/`
    Other,
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

/// The contents of a JSON string, still escaped as in the message.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a> {
    /// What stands between the quotes.
    pub raw: &'a str,
    /// What escapes `raw` holds.
    pub escapes: Escapes,
}

/// One value of a parsed text.
#[derive(Clone, Copy)]
pub struct Value<'a> {
    text: &'a str,
    nodes: &'a [Node],
    index: u32,
}

/// What a value is.
#[derive(Clone, Debug)]
pub enum Kind<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number, with the digits the server wrote.
    Number(&'a str),
    /// A string.
    String(Text<'a>),
    /// An array's items, in order.
    Array(Items<'a>),
    /// An object's members, in the message's order, doubles included.
    Object(Members<'a>),
}

/// The items of an array.
#[derive(Clone)]
pub struct Items<'a> {
    at: Value<'a>,
    end: u32,
}

/// The members of an object.
#[derive(Clone)]
pub struct Members<'a> {
    at: Value<'a>,
    end: u32,
}

impl Tape {
    /// Parses `text`, forgetting what the tape held before.
    pub fn parse(&mut self, text: &str) -> Result<(), JsonError> {
        self.nodes.clear();
        self.raw_newlines = false;
        if text.len() > MAX_TEXT {
            return Err(JsonError::TooLong);
        }
        // The scanner has the tape as its own for the time: one way less to every node.
        let mut scanner = Scanner { bytes: text.as_bytes(), at: 0, tape: std::mem::take(self) };
        let outcome = scanner.document();
        *self = scanner.tape;
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
        Value { text, nodes: &self.nodes, index }
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

impl<'a> Value<'a> {
    #[inline]
    fn node(&self) -> Node {
        self.nodes[self.index as usize]
    }

    /// The index of the first node that is not part of this value.
    #[inline]
    fn next(&self) -> u32 {
        self.node().next(self.index)
    }

    /// Where the value stands on its tape.
    #[must_use]
    pub fn index(&self) -> u32 {
        self.index
    }

    /// The value as it stands in the message.
    #[must_use]
    pub fn raw(&self) -> &'a str {
        let node = self.node();
        let end = if node.is_container() { container_end(self.text, node.start()) } else { node.end() };
        &self.text[node.start()..end]
    }

    /// What the value is, with its contents.
    #[inline]
    #[must_use]
    pub fn kind(&self) -> Kind<'a> {
        let node = self.node();
        let inside = Value { index: self.index + 1, ..*self };
        match self.text.as_bytes()[node.start()] {
            b'"' => Kind::String(self.text_of(node)),
            b'{' => Kind::Object(Members { at: inside, end: node.link }),
            b'[' => Kind::Array(Items { at: inside, end: node.link }),
            b'n' => Kind::Null,
            b't' => Kind::Bool(true),
            b'f' => Kind::Bool(false),
            _ => Kind::Number(self.raw()),
        }
    }

    #[inline]
    fn text_of(&self, node: Node) -> Text<'a> {
        Text { raw: &self.text[node.start() + 1..node.end() - 1], escapes: node.escapes() }
    }

    /// Another value or key of the same text, by its index.
    #[must_use]
    pub fn at(&self, index: u32) -> Value<'a> {
        Value { index, ..*self }
    }

    /// The key at `index`, as [`Members::key_indexes`] gave it.
    #[inline]
    #[must_use]
    pub fn key(&self, index: u32) -> Text<'a> {
        self.text_of(self.nodes[index as usize])
    }

    /// The string's contents, when it is a string.
    #[must_use]
    pub fn as_text(&self) -> Option<Text<'a>> {
        match self.kind() {
            Kind::String(text) => Some(text),
            _ => None,
        }
    }

    /// The members, none when it is not an object.
    #[must_use]
    pub fn members(&self) -> Members<'a> {
        match self.kind() {
            Kind::Object(members) => members,
            _ => Members { at: *self, end: self.index },
        }
    }

    /// The items, none when it is not an array.
    #[must_use]
    pub fn items(&self) -> Items<'a> {
        match self.kind() {
            Kind::Array(items) => items,
            _ => Items { at: *self, end: self.index },
        }
    }

    /// The member called `name`; of doubles the last, as Go's and most other decoders take it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Value<'a>> {
        self.members().filter(|(key, _)| key.is(name)).map(|(_, value)| value).last()
    }

    /// The contents of the string member called `name`.
    #[must_use]
    pub fn get_text(&self, name: &str) -> Option<Text<'a>> {
        self.get(name)?.as_text()
    }
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.raw())
    }
}

impl fmt::Debug for Items<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

impl fmt::Debug for Members<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.clone().map(|(key, value)| (key.raw, value))).finish()
    }
}

impl Items<'_> {
    /// Whether there are none left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.at.index >= self.end
    }
}

impl Members<'_> {
    /// Whether there are none left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.at.index >= self.end
    }

    /// Where the keys stand on the tape; each one's value is at the next index.
    pub fn key_indexes(self) -> impl Iterator<Item = u32> {
        let (at, end) = (self.at, self.end);
        let first = (at.index < end).then_some(at.index);
        std::iter::successors(first, move |key| Some(at.at(key + 1).next()).filter(|next| *next < end))
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Value<'a>;

    #[inline]
    fn next(&mut self) -> Option<Value<'a>> {
        if self.at.index >= self.end {
            return None;
        }
        let value = self.at;
        self.at.index = value.next();
        Some(value)
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = (Text<'a>, Value<'a>);

    #[inline]
    fn next(&mut self) -> Option<(Text<'a>, Value<'a>)> {
        if self.at.index >= self.end {
            return None;
        }
        let key = self.at.text_of(self.at.node());
        let value = Value { index: self.at.index + 1, ..self.at };
        self.at.index = value.next();
        Some((key, value))
    }
}

impl<'a> Text<'a> {
    /// A text without escapes.
    #[must_use]
    pub fn plain(raw: &'a str) -> Self {
        Self { raw, escapes: Escapes::None }
    }

    /// Whether `raw` holds escapes.
    #[inline]
    #[must_use]
    pub fn is_escaped(&self) -> bool {
        self.escapes != Escapes::None
    }

    /// Whether the string is `other`.
    #[inline]
    #[must_use]
    pub fn is(&self, other: &str) -> bool {
        if self.is_escaped() { self.cow() == other } else { self.raw == other }
    }

    /// The string, unescaped into `scratch` when it has escapes. A surrogate without its partner becomes U+FFFD, as
    /// in Go's decoder.
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

    /// The string itself.
    #[inline]
    #[must_use]
    pub fn cow(&self) -> Cow<'a, str> {
        if self.is_escaped() { Cow::Owned(unescaped(self.raw)) } else { Cow::Borrowed(self.raw) }
    }
}

/// Where the object or array that begins at `start` ends. The scanner has seen that it does.
fn container_end(text: &str, start: usize) -> usize {
    let bytes = text.as_bytes();
    let (mut at, mut depth) = (start, 0);
    while let Some(byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 1 => break,
            b'}' | b']' => depth -= 1,
            b'"' => {
                while let Some(found) = memchr::memchr2(b'"', b'\\', &bytes[at..]) {
                    let escapes = bytes[at + found] == b'\\';
                    at += found + 1 + usize::from(escapes);
                    if !escapes {
                        break;
                    }
                }
            }
            _ => {}
        }
    }
    at
}

#[cold]
fn unescaped(raw: &str) -> String {
    let mut decoded = String::with_capacity(raw.len());
    unescape(raw, &mut decoded);
    decoded
}

fn unescape(mut raw: &str, out: &mut String) {
    // Escapes stand close together where they stand at all, as in JSON within JSON: no use in a vector search.
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

/// The character that `\uXXXX` at the start of `text` stands for, with the length of the escape or of the pair.
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

/// The value of the four hex digits that `text` starts with; the scanner has seen that they are there.
fn hex(text: &str) -> u32 {
    text.as_bytes()[..4].iter().fold(0, |value, &digit| value << 4 | char::from(digit).to_digit(16).unwrap_or(0))
}

struct Scanner<'s> {
    bytes: &'s [u8],
    at: usize,
    tape: Tape,
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "positions and node counts stay below MAX_TEXT, a quarter of u32's range"
)]
impl Scanner<'_> {
    fn document(&mut self) -> Result<(), JsonError> {
        // The innermost object or array that is not complete, its bracket, and how many there are.
        let (mut open, mut open_bracket, mut depth) = (NOTHING, 0, 0);
        loop {
            // A value, up to its end or to the first value inside it.
            match self.next_token()? {
                b'"' => self.string()?,
                bracket @ (b'{' | b'[') => {
                    if depth == MAX_DEPTH {
                        return Err(JsonError::TooDeep);
                    }
                    depth += 1;
                    let outer = std::mem::replace(&mut open, self.tape.nodes.len() as u32);
                    open_bracket = bracket;
                    self.push(Node { start: self.at as u32 | CONTAINER, link: outer })?;
                    self.at += 1;
                    match (bracket, self.next_token()?) {
                        (b'{', b'}') | (b'[', b']') => {}
                        (b'{', byte) => {
                            self.key(byte)?;
                            continue;
                        }
                        _ => continue,
                    }
                }
                b't' => self.word(b"true")?,
                b'f' => self.word(b"false")?,
                b'n' => self.word(b"null")?,
                b'-' | b'0'..=b'9' => self.number()?,
                _ => return Err(JsonError::Syntax(self.at)),
            }
            // What stands behind it: ends of containers, then a comma.
            loop {
                if open == NOTHING {
                    return self.end();
                }
                match self.next_token()? {
                    b',' => {
                        self.at += 1;
                        if open_bracket == b'{' {
                            let byte = self.next_token()?;
                            self.key(byte)?;
                        }
                        break;
                    }
                    // ']' and '}' are each two above their opening one.
                    byte if byte == open_bracket + 2 => {
                        self.at += 1;
                        let next = self.tape.nodes.len() as u32;
                        open = std::mem::replace(&mut self.tape.nodes[open as usize].link, next);
                        if let Some(outer) = self.tape.nodes.get(open as usize) {
                            open_bracket = self.bytes[outer.start()];
                        }
                        depth -= 1;
                    }
                    _ => return Err(JsonError::Syntax(self.at)),
                }
            }
        }
    }

    /// Nothing but space may stand behind the document's value.
    fn end(&mut self) -> Result<(), JsonError> {
        // The newline that ends a message is not between tokens.
        let raw_newlines = self.tape.raw_newlines;
        let end = self.next_token();
        self.tape.raw_newlines = raw_newlines;
        match end {
            Ok(_) => Err(JsonError::Syntax(self.at)),
            Err(_) => Ok(()),
        }
    }

    /// A member's key, which begins with `first`, and the colon behind it.
    #[inline]
    fn key(&mut self, first: u8) -> Result<(), JsonError> {
        if first != b'"' {
            return Err(JsonError::Syntax(self.at));
        }
        self.string()?;
        if self.next_token()? != b':' {
            return Err(JsonError::Syntax(self.at));
        }
        self.at += 1;
        Ok(())
    }

    /// The next byte that is not space. It is not taken.
    #[inline]
    fn next_token(&mut self) -> Result<u8, JsonError> {
        loop {
            match self.bytes.get(self.at) {
                Some(byte @ (b' ' | b'\t' | b'\n' | b'\r')) => {
                    self.tape.raw_newlines |= *byte == b'\n' || *byte == b'\r';
                    self.at += 1;
                }
                Some(&byte) => return Ok(byte),
                None => return Err(JsonError::Truncated),
            }
        }
    }

    #[inline]
    fn push(&mut self, node: Node) -> Result<(), JsonError> {
        if self.tape.nodes.len() == self.tape.nodes.capacity() {
            self.grow()?;
        }
        self.tape.nodes.push(node);
        Ok(())
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self) -> Result<(), JsonError> {
        self.tape.nodes.try_reserve(1).map_err(|_| JsonError::NoMemory)
    }

    #[inline]
    fn push_scalar(&mut self, start: usize, end: usize) -> Result<(), JsonError> {
        self.push(Node { start: start as u32, link: end as u32 })
    }

    fn word(&mut self, word: &[u8]) -> Result<(), JsonError> {
        let start = self.at;
        for &wanted in word {
            match self.bytes.get(self.at) {
                Some(&byte) if byte == wanted => self.at += 1,
                Some(_) => return Err(JsonError::Syntax(self.at)),
                None => return Err(JsonError::Truncated),
            }
        }
        self.push_scalar(start, self.at)
    }

    /// Most strings are short and plain.
    #[expect(clippy::inline_always, reason = "measured: the scanner is what most of an event's time is spent in")]
    #[inline(always)]
    fn string(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        let special = Chunk::at(self.bytes, start + 1).special();
        let end = start + 1 + special.trailing_zeros() as usize;
        if special != 0 && self.bytes.get(end) == Some(&b'"') {
            self.at = end + 1;
            return self.push_scalar(start, self.at);
        }
        self.long_string()
    }

    #[inline(never)]
    fn long_string(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        let mut escapes = Escapes::None;
        self.at += 1;
        while self.at < self.bytes.len() {
            let mut special = Chunk::at(self.bytes, self.at).special();
            loop {
                if special == 0 {
                    self.at += LANES;
                    break;
                }
                let place = special.trailing_zeros() as usize;
                match self.bytes.get(self.at + place) {
                    Some(b'"') => {
                        self.at += place + 1;
                        return self.push_scalar(start, self.at | (escapes as usize) << ESCAPES_SHIFT);
                    }
                    Some(b'\\') => {
                        let follows = self.bytes.get(self.at + place + 1).copied().unwrap_or_default();
                        match SHORT_ESCAPES[usize::from(follows)] {
                            Some(kind) if place + 1 < LANES => {
                                escapes = escapes.max(kind);
                                // What is escaped is not special any more.
                                special &= !(0b11 << place);
                            }
                            _ => {
                                self.at += place;
                                escapes = escapes.max(self.escape()?);
                                break;
                            }
                        }
                    }
                    Some(_) => return Err(JsonError::Syntax(self.at + place)),
                    None => return Err(JsonError::Truncated),
                }
            }
        }
        Err(JsonError::Truncated)
    }

    fn escape(&mut self) -> Result<Escapes, JsonError> {
        let Some(&byte) = self.bytes.get(self.at + 1) else { return Err(JsonError::Truncated) };
        if let Some(kind) = SHORT_ESCAPES[usize::from(byte)] {
            self.at += 2;
            return Ok(kind);
        }
        if byte != b'u' {
            return Err(JsonError::Syntax(self.at + 1));
        }
        self.at += 2;
        for _ in 0..4 {
            match self.bytes.get(self.at) {
                Some(digit) if digit.is_ascii_hexdigit() => self.at += 1,
                Some(_) => return Err(JsonError::Syntax(self.at)),
                None => return Err(JsonError::Truncated),
            }
        }
        Ok(Escapes::Other)
    }

    fn number(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        if self.bytes[self.at] == b'-' {
            self.at += 1;
        }
        match self.bytes.get(self.at) {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.bytes.get(self.at) {
            self.at += 1;
            if let Some(b'+' | b'-') = self.bytes.get(self.at) {
                self.at += 1;
            }
            self.digits()?;
        }
        self.push_scalar(start, self.at)
    }

    /// At least one digit.
    fn digits(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        match (self.at > start, self.bytes.get(self.at)) {
            (true, _) => Ok(()),
            (false, Some(_)) => Err(JsonError::Syntax(self.at)),
            (false, None) => Err(JsonError::Truncated),
        }
    }
}

/// What may follow a backslash, but for `u`: a table, because the branches of a match cannot be foretold in JSON within
/// JSON, of which log lines are full.
static SHORT_ESCAPES: [Option<Escapes>; 256] = {
    let mut table = [None; 256];
    table[b'"' as usize] = Some(Escapes::Shared);
    table[b'\\' as usize] = Some(Escapes::Shared);
    table[b'n' as usize] = Some(Escapes::Shared);
    table[b't' as usize] = Some(Escapes::Control);
    table[b'b' as usize] = Some(Escapes::Control);
    table[b'f' as usize] = Some(Escapes::Control);
    table[b'r' as usize] = Some(Escapes::Control);
    table[b'/' as usize] = Some(Escapes::Other);
    table
};

/// How many bytes are looked at together.
const LANES: usize = 16;

/// Bytes that are looked at together; behind the text's end they count as spaces.
struct Chunk(u8x16);

impl Chunk {
    fn at(bytes: &[u8], at: usize) -> Self {
        let rest = &bytes[at..];
        Self(u8x16::new(rest.first_chunk().copied().unwrap_or_else(|| {
            let mut filled = [b' '; LANES];
            filled[..rest.len()].copy_from_slice(rest);
            filled
        })))
    }

    /// Which bytes need a look inside a string: quotes, backslashes, and control characters, which must be escaped.
    fn special(&self) -> u32 {
        let Self(bytes) = *self;
        let special = bytes.simd_eq(u8x16::splat(b'"'))
            | bytes.simd_eq(u8x16::splat(b'\\'))
            | bytes.min(u8x16::splat(0x1f)).simd_eq(bytes);
        special.to_bitmask()
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
        match value.kind() {
            Kind::Null => serde_json::Value::Null,
            Kind::Bool(bool) => bool.into(),
            Kind::Number(digits) => serde_json::from_str(digits).unwrap(),
            Kind::String(text) => text.cow().into(),
            Kind::Array(items) => items.map(to_serde).collect(),
            Kind::Object(members) => members.map(|(key, value)| (key.cow().into_owned(), to_serde(value))).collect(),
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
