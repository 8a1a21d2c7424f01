//! Checks the grammar of a JSON text and fills the tape. Strings are scanned sixteen bytes at a time.
//!
//! Written by hand: a library would have to fill a reused tape without an allocation per text, keep the digits of
//! numbers and the escapes of strings, and limit the depth. None that was examined does. The scanner takes 0.38 µs per
//! event, a third of all samples of `--format json` (`benches/README.md`).

use wide::u8x16;

use super::{CONTAINER, ESCAPES_SHIFT, Escapes, JsonError, MAX_DEPTH, Node, Tape};

/// Stands for the enclosing container of the outermost value, which has none.
const NOTHING: u32 = u32::MAX;

pub(super) struct Scanner<'s> {
    bytes: &'s [u8],
    at: usize,
    tape: Tape,
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "positions and node counts stay below MAX_TEXT, a quarter of u32's range"
)]
impl<'s> Scanner<'s> {
    pub(super) fn new(bytes: &'s [u8], tape: Tape) -> Self {
        Self { bytes, at: 0, tape }
    }

    pub(super) fn into_tape(self) -> Tape {
        self.tape
    }

    pub(super) fn document(&mut self) -> Result<(), JsonError> {
        // The innermost open container, its opening bracket, and the number of open containers.
        let (mut open, mut open_bracket, mut depth) = (NOTHING, 0, 0);
        loop {
            // A scalar or an empty container up to its end, or another container up to its first value.
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
            // What follows a value: closing brackets, then a comma.
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
                    // In ASCII, ']' and '}' are the codes of '[' and '{' plus two.
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

    /// Checks that only white space follows the document's value.
    fn end(&mut self) -> Result<(), JsonError> {
        // The newline at the end of a message is not between tokens.
        let raw_newlines = self.tape.raw_newlines;
        let end = self.next_token();
        self.tape.raw_newlines = raw_newlines;
        match end {
            Ok(_) => Err(JsonError::Syntax(self.at)),
            Err(_) => Ok(()),
        }
    }

    /// Scans a member's key, whose first byte is `first`, and the colon after it.
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

    /// Skips white space and returns the next byte without consuming it.
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

    /// Scans a string. This is the fast path for those without escapes that end within one chunk, as most do.
    #[expect(clippy::inline_always, reason = "measured: the scanner takes most of the time of an event")]
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
                                // Neither the backslash nor the escaped character needs another look.
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

    /// Scans one or more digits.
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

/// The kind of escape for each character that may follow a backslash, except `u`. This is a table because log lines are
/// full of JSON within JSON, where the processor cannot predict the branches of a `match`.
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

/// The number of bytes in a [`Chunk`].
const LANES: usize = 16;

/// Bytes that are compared at once. Beyond the end of the text the chunk is filled with spaces.
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

    /// A bit mask of the bytes that are special in a string: quotes, backslashes, and control characters, which JSON
    /// does not allow there.
    fn special(&self) -> u32 {
        let Self(bytes) = *self;
        let special = bytes.simd_eq(u8x16::splat(b'"'))
            | bytes.simd_eq(u8x16::splat(b'\\'))
            | bytes.min(u8x16::splat(0x1f)).simd_eq(bytes);
        special.to_bitmask()
    }
}
