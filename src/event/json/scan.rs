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
        match self.bytes.get(self.at) {
            Some(&byte) if byte > b' ' => Ok(byte),
            _ => self.token_behind_space(),
        }
    }

    /// Servers write no white space between tokens.
    #[inline(never)]
    fn token_behind_space(&mut self) -> Result<u8, JsonError> {
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
        // Whether a backslash at the end of the previous chunk escapes the first byte of this one: 1, else 0.
        let mut carry = 0;
        self.at += 1;
        while self.at < self.bytes.len() {
            let chunk = Chunk::at(self.bytes, self.at);
            let quotes = chunk.equal_to(b'"');
            let backslashes = chunk.equal_to(b'\\');
            let behind = if backslashes | carry == 0 { 0 } else { behind_backslash(backslashes, &mut carry) };
            let end = (quotes & !behind).trailing_zeros().min(LANES);
            let inside = (1 << end) - 1;
            let controls = chunk.controls() & inside;
            if controls != 0 {
                return Err(self.first_fault(behind & inside, controls));
            }
            let special = behind & inside;
            if special != 0 {
                // These are nearly all: servers log JSON with line breaks and tabs.
                let tabs = chunk.equal_to(b't');
                let shared = quotes | backslashes | chunk.equal_to(b'n');
                escapes = escapes.max(if special & tabs == 0 { Escapes::Shared } else { Escapes::Control });
                if special & !(shared | tabs) != 0 {
                    escapes = escapes.max(self.check_escapes(special & !(shared | tabs))?);
                }
            }
            self.at += end as usize;
            if end < LANES {
                self.at += 1;
                return self.push_scalar(start, self.at | (escapes as usize) << ESCAPES_SHIFT);
            }
        }
        Err(JsonError::Truncated)
    }

    /// Checks the characters that follow backslashes: `behind` has a bit for each, counted from the current byte.
    fn check_escapes(&self, mut behind: u32) -> Result<Escapes, JsonError> {
        let mut escapes = Escapes::None;
        while behind != 0 {
            let at = self.at + behind.trailing_zeros() as usize;
            escapes = escapes.max(match self.bytes.get(at) {
                Some(b'"' | b'\\' | b'n') => Escapes::Shared,
                Some(b't' | b'b' | b'f' | b'r') => Escapes::Control,
                Some(b'/') => Escapes::Other,
                Some(b'u') => self.check_digits(at + 1)?,
                Some(_) => return Err(JsonError::Syntax(at)),
                None => return Err(JsonError::Truncated),
            });
            behind &= behind - 1;
        }
        Ok(escapes)
    }

    /// Checks the four hexadecimal digits of `\u`.
    fn check_digits(&self, at: usize) -> Result<Escapes, JsonError> {
        for at in at..at + 4 {
            match self.bytes.get(at) {
                Some(digit) if digit.is_ascii_hexdigit() => {}
                Some(_) => return Err(JsonError::Syntax(at)),
                None => return Err(JsonError::Truncated),
            }
        }
        Ok(Escapes::Other)
    }

    /// The first fault in a chunk that has control characters: one of them, or an invalid escape before it.
    #[cold]
    fn first_fault(&self, behind: u32, controls: u32) -> JsonError {
        let control = controls.trailing_zeros();
        let before = behind & ((1 << control) - 1);
        self.check_escapes(before).err().unwrap_or(JsonError::Syntax(self.at + control as usize))
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

/// The bytes of a chunk that a backslash escapes: in a sequence of backslashes every second one, and what follows a
/// sequence of odd length. `carry` says whether the first byte is escaped (1, else 0), and is set for the next chunk.
/// The subtraction carries through each sequence at once (the method of simdjson, `json_escape_scanner`). This avoids
/// branches, which the processor cannot predict here: log lines are full of JSON within JSON.
fn behind_backslash(backslashes: u32, carry: &mut u32) -> u32 {
    const ODD: u32 = 0xaaaa_aaaa;
    let may_escape = backslashes & !*carry;
    let series = ((may_escape << 1 | ODD) - may_escape) ^ ODD;
    let escaped = series ^ (backslashes | *carry);
    *carry = (series & backslashes) >> (LANES - 1) & 1;
    escaped
}

/// The number of bytes in a [`Chunk`].
const LANES: u32 = 16;

/// Bytes that are compared at once. Beyond the end of the text the chunk is filled with spaces.
struct Chunk(u8x16);

impl Chunk {
    fn at(bytes: &[u8], at: usize) -> Self {
        let rest = &bytes[at..];
        Self(u8x16::new(rest.first_chunk().copied().unwrap_or_else(|| {
            let mut filled = [b' '; LANES as usize];
            filled[..rest.len()].copy_from_slice(rest);
            filled
        })))
    }

    /// A bit mask of the bytes that equal `byte`.
    fn equal_to(&self, byte: u8) -> u32 {
        self.0.simd_eq(u8x16::splat(byte)).to_bitmask()
    }

    /// A bit mask of the control characters, which JSON does not allow in strings.
    fn controls(&self) -> u32 {
        self.0.min(u8x16::splat(0x1f)).simd_eq(self.0).to_bitmask()
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
