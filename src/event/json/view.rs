//! Reads values from a tape, and iterates over the items of arrays and the members of objects.

use std::fmt;

use super::text::Span;
use super::{Node, Text};

/// One value of a parsed text.
#[derive(Clone, Copy)]
pub struct Value<'a> {
    text: &'a str,
    nodes: &'a [Node],
    index: u32,
}

/// The type and the contents of a value.
#[derive(Clone, Debug)]
pub enum Content<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number, with the server's digits.
    Number(&'a str),
    /// A string.
    String(Text<'a>),
    /// An array's items, in order.
    Array(Items<'a>),
    /// An object's members in the order of the message, including those with duplicate keys.
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

impl<'a> Value<'a> {
    pub(super) fn new(text: &'a str, nodes: &'a [Node], index: u32) -> Self {
        Self { text, nodes, index }
    }

    #[inline]
    fn node(&self) -> Node {
        self.nodes[self.index as usize]
    }

    /// The index of the first node after this value.
    #[inline]
    fn next(&self) -> u32 {
        self.node().next(self.index)
    }

    /// The index of the value on its tape.
    #[must_use]
    pub fn index(&self) -> u32 {
        self.index
    }

    /// The text of the value in the message.
    #[must_use]
    pub fn raw(&self) -> &'a str {
        let node = self.node();
        let end = if node.is_container() { container_end(self.text, node.start()) } else { node.end() };
        &self.text[node.start()..end]
    }

    /// The type of the value, with its contents.
    #[inline]
    #[must_use]
    pub fn content(&self) -> Content<'a> {
        let node = self.node();
        let inside = Value { index: self.index + 1, ..*self };
        match self.text.as_bytes()[node.start()] {
            b'"' => Content::String(self.text_of(node)),
            b'{' => Content::Object(Members { at: inside, end: node.link }),
            b'[' => Content::Array(Items { at: inside, end: node.link }),
            b'n' => Content::Null,
            b't' => Content::Bool(true),
            b'f' => Content::Bool(false),
            _ => Content::Number(self.raw()),
        }
    }

    #[inline]
    fn text_of(&self, node: Node) -> Text<'a> {
        Text { raw: &self.text[node.start() + 1..node.end() - 1], escapes: node.escapes() }
    }

    /// The whole text that the value is a part of.
    #[must_use]
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// Another value or key of the same text, by its index on the tape.
    #[must_use]
    pub fn at(&self, index: u32) -> Value<'a> {
        Value { index, ..*self }
    }

    /// The key at `index`, which must be a result of [`Members::key_indexes`].
    #[inline]
    #[must_use]
    pub fn key(&self, index: u32) -> Text<'a> {
        self.text_of(self.nodes[index as usize])
    }

    /// The contents of a string, or `None` if the value is not a string.
    #[must_use]
    pub fn as_text(&self) -> Option<Text<'a>> {
        let node = self.node();
        (self.text.as_bytes()[node.start()] == b'"').then(|| self.text_of(node))
    }

    /// The place of the contents of a string, or `None` if the value is not a string.
    #[must_use]
    pub fn span(&self) -> Option<Span> {
        let node = self.node();
        let is_string = self.text.as_bytes()[node.start()] == b'"';
        // Without the quotes. The bit that marks containers is not set.
        is_string.then(|| Span { start: node.start + 1, end: node.end_offset() - 1, escapes: node.escapes() })
    }

    /// The members of an object. There are none if the value is not an object.
    #[must_use]
    pub fn members(&self) -> Members<'a> {
        match self.content() {
            Content::Object(members) => members,
            _ => Members { at: *self, end: self.index },
        }
    }

    /// The items of an array. There are none if the value is not an array.
    #[must_use]
    pub fn items(&self) -> Items<'a> {
        match self.content() {
            Content::Array(items) => items,
            _ => Items { at: *self, end: self.index },
        }
    }

    /// The member called `name`. Of duplicate keys the last one counts, as in Go's and most other decoders.
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
    /// Whether there are no more items.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.at.index >= self.end
    }
}

impl Members<'_> {
    /// Whether there are no more members.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.at.index >= self.end
    }

    /// The indexes of the keys on the tape. The value of a key is at the next index.
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

/// The offset at which the object or array that begins at `start` ends. The scanner has checked that it does.
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
