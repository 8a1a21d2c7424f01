//! Checks the grammar of a JSON text and fills the tape.
//!
//! Strings are most of a text, so their ends are searched for in 64 bytes at once: bit masks say where the quotes are,
//! and where the bytes that need a closer look, which are backslashes and control characters. The masks of 64 bytes serve
//! all strings in them.
//!
//! ```text
//!   {"a":"x","b":"\n"}      text
//!   .1.1.1.1.1.1.1..1.      quotes: the end of a string is the next bit
//!   ..............1...      special: the string that contains it is scanned again, by `escaped_string`
//! ```
//!
//! Written by hand: a library would have to fill a reused tape without an allocation per text, keep the digits of
//! numbers and the escapes of strings, and limit the depth. None that was examined does. The scanner takes most of the
//! 278 ns of decoding an event, and a third of all samples of `--format json` (`benches/README.md`).

use wide::u8x16;

use super::{CONTAINER, ESCAPES_SHIFT, Escapes, JsonError, MAX_DEPTH, Node, Tape};

/// Stands for the enclosing container of the outermost value, which has none.
const NOTHING: u32 = u32::MAX;

/// Says that the text is not JSON. The reason is in [`Scanner::fault`], because results that fit into registers are
/// faster.
struct Failed;

type Scan<T> = Result<T, Failed>;

pub(super) struct Scanner<'s> {
    bytes: &'s [u8],
    tape: Tape,
    marks: Marks,
    fault: JsonError,
}

/// The quotes in the 64 bytes of the text from `start` on, and the bytes that need a closer look: backslashes and control
/// characters. A quote that is escaped follows a backslash of the same string, so it is never the first of all these.
struct Marks {
    start: usize,
    quotes: u64,
    special: u64,
}

impl Marks {
    fn at(bytes: &[u8], start: usize) -> Self {
        let chunk = Chunk::at(bytes, start);
        Self { start, quotes: chunk.equal_to(b'"'), special: chunk.special() }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "positions and node counts stay below MAX_TEXT, a quarter of u32's range"
)]
impl<'s> Scanner<'s> {
    pub(super) fn new(bytes: &'s [u8], tape: Tape) -> Self {
        Self { bytes, tape, marks: Marks::at(bytes, 0), fault: JsonError::Truncated }
    }

    pub(super) fn into_tape(self) -> Tape {
        self.tape
    }

    pub(super) fn document(&mut self) -> Result<(), JsonError> {
        self.values().map_err(|Failed| self.fault)
    }

    /// Scans the whole text. Here and below, `at` and the returned number are offsets: where something begins, and the
    /// end of it.
    fn values(&mut self) -> Scan<()> {
        // The innermost open container, its opening bracket, and the number of open containers.
        let (mut open, mut open_bracket, mut depth) = (NOTHING, 0, 0);
        let mut at = 0;
        loop {
            // A scalar or an empty container up to its end, or another container up to its first value.
            let (start, byte) = self.token(at)?;
            at = match byte {
                b'"' => self.string(start)?,
                b'{' | b'[' => {
                    if depth == MAX_DEPTH {
                        return self.fail(JsonError::TooDeep);
                    }
                    depth += 1;
                    let outer = std::mem::replace(&mut open, self.tape.nodes.len() as u32);
                    open_bracket = byte;
                    self.push(Node { start: start as u32 | CONTAINER, link: outer })?;
                    let (next, first) = self.token(start + 1)?;
                    match (byte, first) {
                        (b'{', b'}') | (b'[', b']') => next,
                        (b'{', first) => {
                            at = self.key(next, first)?;
                            continue;
                        }
                        _ => {
                            at = next;
                            continue;
                        }
                    }
                }
                b't' => self.word(start, b"true")?,
                b'f' => self.word(start, b"false")?,
                b'n' => self.word(start, b"null")?,
                b'-' | b'0'..=b'9' => self.number(start)?,
                _ => return self.fail(JsonError::Syntax(start)),
            };
            // What follows a value: closing brackets, then a comma.
            loop {
                if open == NOTHING {
                    return self.end(at);
                }
                let (next, byte) = self.token(at)?;
                at = next + 1;
                match byte {
                    b',' => {
                        if open_bracket == b'{' {
                            let (next, first) = self.token(at)?;
                            at = self.key(next, first)?;
                        }
                        break;
                    }
                    // In ASCII, ']' and '}' are the codes of '[' and '{' plus two.
                    byte if byte == open_bracket + 2 => {
                        let behind = self.tape.nodes.len() as u32;
                        open = std::mem::replace(&mut self.tape.nodes[open as usize].link, behind);
                        if let Some(outer) = self.tape.nodes.get(open as usize) {
                            open_bracket = self.bytes[outer.start()];
                        }
                        depth -= 1;
                    }
                    _ => return self.fail(JsonError::Syntax(next)),
                }
            }
        }
    }

    /// Checks that only white space follows the document's value.
    fn end(&mut self, at: usize) -> Scan<()> {
        // The newline at the end of a message is not between tokens.
        let raw_newlines = self.tape.raw_newlines;
        let end = self.token(at);
        self.tape.raw_newlines = raw_newlines;
        match end {
            Ok((at, _)) => self.fail(JsonError::Syntax(at)),
            Err(Failed) => Ok(()),
        }
    }

    #[cold]
    fn fail<T>(&mut self, fault: JsonError) -> Scan<T> {
        self.fault = fault;
        Err(Failed)
    }

    /// Scans a member's key, whose first byte is `first`, and the colon after it.
    #[expect(clippy::inline_always, reason = "measured: the scanner takes most of the time of an event")]
    #[inline(always)]
    fn key(&mut self, at: usize, first: u8) -> Scan<usize> {
        if first != b'"' {
            return self.fail(JsonError::Syntax(at));
        }
        let end = self.string(at)?;
        let (at, byte) = self.token(end)?;
        if byte != b':' {
            return self.fail(JsonError::Syntax(at));
        }
        Ok(at + 1)
    }

    /// Skips white space. Returns the offset of the next byte, and that byte.
    #[expect(clippy::inline_always, reason = "measured: the scanner takes most of the time of an event")]
    #[inline(always)]
    fn token(&mut self, at: usize) -> Scan<(usize, u8)> {
        match self.bytes.get(at) {
            Some(&byte) if byte > b' ' => Ok((at, byte)),
            _ => {
                let at = self.token_behind_space(at)?;
                Ok((at, self.bytes[at]))
            }
        }
    }

    /// Servers write no white space between tokens.
    #[inline(never)]
    fn token_behind_space(&mut self, mut at: usize) -> Scan<usize> {
        loop {
            match self.bytes.get(at) {
                Some(byte @ (b' ' | b'\t' | b'\n' | b'\r')) => {
                    self.tape.raw_newlines |= *byte == b'\n' || *byte == b'\r';
                    at += 1;
                }
                Some(_) => return Ok(at),
                None => return self.fail(JsonError::Truncated),
            }
        }
    }

    #[inline]
    fn push(&mut self, node: Node) -> Scan<()> {
        if self.tape.nodes.len() == self.tape.nodes.capacity() {
            self.grow()?;
        }
        self.tape.nodes.push(node);
        Ok(())
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self) -> Scan<()> {
        match self.tape.nodes.try_reserve(1) {
            Ok(()) => Ok(()),
            Err(_) => self.fail(JsonError::NoMemory),
        }
    }

    /// Adds a scalar. `link` is its end, and in the bits above that the kinds of its escapes.
    #[inline]
    fn push_scalar(&mut self, start: usize, link: usize) -> Scan<()> {
        self.push(Node { start: start as u32, link: link as u32 })
    }

    fn word(&mut self, start: usize, word: &[u8]) -> Scan<usize> {
        for (at, &wanted) in (start..).zip(word) {
            match self.bytes.get(at) {
                Some(&byte) if byte == wanted => {}
                Some(_) => return self.fail(JsonError::Syntax(at)),
                None => return self.fail(JsonError::Truncated),
            }
        }
        let end = start + word.len();
        self.push_scalar(start, end)?;
        Ok(end)
    }

    /// Scans a string. This is the fast path for those without escapes that end within the marks, as most do.
    #[expect(clippy::inline_always, reason = "measured: the scanner takes most of the time of an event")]
    #[inline(always)]
    fn string(&mut self, start: usize) -> Scan<usize> {
        let from = start + 1 - self.marks.start;
        if from < LANES {
            let quotes = self.marks.quotes >> from;
            // Whether the first bit of both is that of a quote.
            if (quotes ^ quotes.wrapping_sub(1)) & (self.marks.special >> from) == 0 && quotes != 0 {
                let end = start + 2 + quotes.trailing_zeros() as usize;
                self.push_scalar(start, end)?;
                return Ok(end);
            }
        }
        self.long_string(start)
    }

    /// Scans a string that does not end within the marks, or that has escapes.
    #[inline(never)]
    fn long_string(&mut self, start: usize) -> Scan<usize> {
        let mut from = start + 1;
        loop {
            if from >= self.marks.start + LANES {
                if from >= self.bytes.len() {
                    // The text ends before the string. This finds out whether something else is wrong before that.
                    return self.escaped_string(start);
                }
                self.marks = Marks::at(self.bytes, from);
            }
            let quotes = self.marks.quotes >> (from - self.marks.start);
            let special = self.marks.special >> (from - self.marks.start);
            if special.trailing_zeros() < quotes.trailing_zeros() {
                return self.escaped_string(start);
            }
            if quotes != 0 {
                let end = from + 1 + quotes.trailing_zeros() as usize;
                self.push_scalar(start, end)?;
                return Ok(end);
            }
            from = self.marks.start + LANES;
        }
    }

    /// Scans a string that has escapes, and checks them.
    fn escaped_string(&mut self, start: usize) -> Scan<usize> {
        let mut escapes = Escapes::None;
        let mut carry = 0;
        let mut at = start + 1;
        while at < self.bytes.len() {
            let chunk = Chunk::at(self.bytes, at);
            let quotes = chunk.equal_to(b'"');
            let backslashes = chunk.equal_to(b'\\');
            let behind = if backslashes | carry == 0 { 0 } else { behind_backslash(backslashes, &mut carry) };
            let end = (quotes & !behind).trailing_zeros();
            let inside = 1_u64.checked_shl(end).map_or(u64::MAX, |end| end - 1);
            let controls = chunk.controls() & inside;
            if controls != 0 {
                return self.first_fault(at, behind & inside, controls);
            }
            let special = behind & inside;
            if special != 0 {
                // These are nearly all: servers log JSON with line breaks and tabs.
                let tabs = chunk.equal_to(b't');
                let shared = quotes | backslashes | chunk.equal_to(b'n');
                escapes = escapes.max(if special & tabs == 0 { Escapes::Shared } else { Escapes::Control });
                if special & !(shared | tabs) != 0 {
                    escapes = escapes.max(self.check_escapes(at, special & !(shared | tabs))?);
                }
            }
            at += end as usize;
            if inside != u64::MAX {
                at += 1;
                self.push_scalar(start, at | (escapes as usize) << ESCAPES_SHIFT)?;
                return Ok(at);
            }
        }
        self.fail(JsonError::Truncated)
    }

    /// Checks the characters that follow backslashes: `behind` has a bit for each, counted from `from`.
    fn check_escapes(&mut self, from: usize, mut behind: u64) -> Scan<Escapes> {
        let mut escapes = Escapes::None;
        while behind != 0 {
            let at = from + behind.trailing_zeros() as usize;
            escapes = escapes.max(match self.bytes.get(at) {
                Some(b'"' | b'\\' | b'n') => Escapes::Shared,
                Some(b't' | b'b' | b'f' | b'r') => Escapes::Control,
                Some(b'/') => Escapes::Other,
                Some(b'u') => self.check_digits(at + 1)?,
                Some(_) => return self.fail(JsonError::Syntax(at)),
                None => return self.fail(JsonError::Truncated),
            });
            behind &= behind - 1;
        }
        Ok(escapes)
    }

    /// Checks the four hexadecimal digits of `\u`.
    fn check_digits(&mut self, at: usize) -> Scan<Escapes> {
        for at in at..at + 4 {
            match self.bytes.get(at) {
                Some(digit) if digit.is_ascii_hexdigit() => {}
                Some(_) => return self.fail(JsonError::Syntax(at)),
                None => return self.fail(JsonError::Truncated),
            }
        }
        Ok(Escapes::Other)
    }

    /// Fails for a chunk at `from` that has control characters, because of the first of them or of an invalid escape
    /// before it.
    #[cold]
    fn first_fault<T>(&mut self, from: usize, behind: u64, controls: u64) -> Scan<T> {
        let control = controls.trailing_zeros();
        let before = behind & ((1 << control) - 1);
        self.check_escapes(from, before)?;
        self.fail(JsonError::Syntax(from + control as usize))
    }

    fn number(&mut self, start: usize) -> Scan<usize> {
        let mut at = start;
        if self.bytes[at] == b'-' {
            at += 1;
        }
        at = match self.bytes.get(at) {
            Some(b'0') => at + 1,
            _ => self.digits(at)?,
        };
        if self.bytes.get(at) == Some(&b'.') {
            at = self.digits(at + 1)?;
        }
        if let Some(b'e' | b'E') = self.bytes.get(at) {
            at += 1;
            if let Some(b'+' | b'-') = self.bytes.get(at) {
                at += 1;
            }
            at = self.digits(at)?;
        }
        self.push_scalar(start, at)?;
        Ok(at)
    }

    /// Scans one or more digits.
    fn digits(&mut self, start: usize) -> Scan<usize> {
        let mut at = start;
        while self.bytes.get(at).is_some_and(u8::is_ascii_digit) {
            at += 1;
        }
        match (at > start, self.bytes.get(at)) {
            (true, _) => Ok(at),
            (false, Some(_)) => self.fail(JsonError::Syntax(at)),
            (false, None) => self.fail(JsonError::Truncated),
        }
    }
}

/// The bytes of a chunk that a backslash escapes: in a sequence of backslashes every second one, and what follows a
/// sequence of odd length. `carry` says whether the first byte is escaped (1, else 0), and is set for the next chunk.
/// The subtraction carries through each sequence at once (the method of simdjson, `json_escape_scanner`). This avoids
/// branches, which the processor cannot predict here: log lines are full of JSON within JSON.
fn behind_backslash(backslashes: u64, carry: &mut u64) -> u64 {
    const ODD: u64 = 0xaaaa_aaaa_aaaa_aaaa;
    let may_escape = backslashes & !*carry;
    let series = (may_escape << 1 | ODD).wrapping_sub(may_escape) ^ ODD;
    let escaped = series ^ (backslashes | *carry);
    *carry = (series & backslashes) >> (LANES - 1);
    escaped
}

/// The number of bytes in a [`Chunk`].
const LANES: usize = 64;

/// Bytes that are compared at once. Beyond the end of the text the chunk is filled with spaces.
struct Chunk([u8x16; 4]);

impl Chunk {
    #[inline]
    fn at(bytes: &[u8], at: usize) -> Self {
        let rest = bytes.get(at..).unwrap_or_default();
        match rest.first_chunk() {
            Some(bytes) => Self::of(bytes),
            None => Self::last(rest),
        }
    }

    fn of(bytes: &[u8; LANES]) -> Self {
        let (parts, _) = bytes.as_chunks();
        Self([u8x16::new(parts[0]), u8x16::new(parts[1]), u8x16::new(parts[2]), u8x16::new(parts[3])])
    }

    fn last(rest: &[u8]) -> Self {
        let mut filled = [b' '; LANES];
        filled[..rest.len()].copy_from_slice(rest);
        Self::of(&filled)
    }

    /// A bit mask of the bytes for which `is` has all bits set.
    #[inline]
    fn mask(&self, is: impl Fn(u8x16) -> u8x16) -> u64 {
        let [a, b, c, d] = self.0.map(|bytes| u64::from(is(bytes).to_bitmask()));
        a | b << 16 | c << 32 | d << 48
    }

    /// A bit mask of the bytes that equal `byte`.
    #[inline]
    fn equal_to(&self, byte: u8) -> u64 {
        self.mask(|bytes| bytes.simd_eq(u8x16::splat(byte)))
    }

    /// A bit mask of the control characters, which JSON does not allow in strings.
    fn controls(&self) -> u64 {
        self.mask(|bytes| bytes.min(u8x16::splat(0x1f)).simd_eq(bytes))
    }

    /// A bit mask of the backslashes and the control characters.
    #[inline]
    fn special(&self) -> u64 {
        self.mask(|bytes| bytes.simd_eq(u8x16::splat(b'\\')) | bytes.min(u8x16::splat(0x1f)).simd_eq(bytes))
    }
}
