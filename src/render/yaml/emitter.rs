//! The layout of scalars, mappings and sequences: libyaml's emitter as go-yaml v2 carries it, without what JSON cannot
//! ask for (flow style but for empty collections, anchors, tags, several documents).

use owo_colors::Style as Ink;
use wide::u8x16;

use super::super::{sanitize, simd, theme};
use super::resolve;

/// libyaml folds at the first space after this column.
const WIDTH: usize = 80;

/// How far each level is indented.
const INDENT: usize = 2;

/// What new lines and their indentation are copied from.
const NEW_LINE: &[u8] = b"\n                                ";

/// A key longer than this, in bytes, is written with a question mark.
const LONGEST_SIMPLE_KEY: usize = 128;

/// The state of libyaml's emitter, by its names.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "they are the states of libyaml's emitter")]
pub(super) struct Emitter<'o> {
    pub(super) out: &'o mut Vec<u8>,
    pub(super) color: bool,
    /// Whether bidi controls and the like must be escaped too.
    pub(super) delicate: bool,
    /// In characters.
    column: usize,
    indent: usize,
    /// Whether what was written last is white space.
    whitespace: bool,
    /// Whether the line holds nothing but indentation and indicators so far.
    indention: bool,
    /// How much `out` may hold, colours left out: beyond that no line is begun any more.
    limit: usize,
    overflows: bool,
}

/// What stands before a scalar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It is a key, followed by a colon on the same line.
    SimpleKey,
    /// It is a value, an item or an explicit key.
    Free,
}

/// How a scalar is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Plain,
    SingleQuoted,
    DoubleQuoted,
    Literal,
}

/// Text that is to be copied as it is, once its end is known.
#[derive(Debug, Default)]
struct Run {
    start: usize,
    /// How many of its bytes take no column.
    wide: usize,
}

impl Run {
    /// The columns it takes up to `end`.
    fn width(&self, end: usize) -> usize {
        end - self.start - self.wide
    }
}

/// What a scalar's characters allow (`yaml_emitter_analyze_scalar`).
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is one thing that the characters allow or not")]
struct Analysis {
    multiline: bool,
    plain: bool,
    single_quoted: bool,
    block: bool,
}

// What the bytes of a scalar may be.
const SPACE: u8 = 1;
/// `:` and `#`, which matter next to a space.
const BESIDE_SPACE: u8 = 2;
/// Quotes and backslash, which double quotes must escape.
const QUOTED: u8 = 4;
/// Anything that is not printable ASCII.
const UNUSUAL: u8 = 8;
const NEWLINE: u8 = 16;
/// Control characters but newlines: only double quotes can hold them.
const CONTROL: u8 = 32;

static CLASS: [u8; 256] = {
    let mut table = [UNUSUAL; 256];
    let mut byte = 0x20;
    while byte < 0x7f {
        table[byte] = 0;
        byte += 1;
    }
    table[b' ' as usize] = SPACE;
    table[b':' as usize] = BESIDE_SPACE;
    table[b'#' as usize] = BESIDE_SPACE;
    table[b'"' as usize] = QUOTED;
    table[b'\\' as usize] = QUOTED;
    byte = 0;
    while byte < 0x20 {
        table[byte] = UNUSUAL | CONTROL;
        byte += 1;
    }
    table[0x7f] = UNUSUAL | CONTROL;
    table[b'\n' as usize] = UNUSUAL | NEWLINE;
    table
};

/// The classes of all of a text's bytes. Without unusual ones, as nearly always, it is a matter of vectors.
fn classes(text: &[u8]) -> u8 {
    match simd::fold(text, Seen::default(), Seen::with).map(Seen::classes) {
        Some(classes) if classes & UNUSUAL == 0 => classes,
        _ => text.iter().fold(0, |seen, byte| seen | CLASS[usize::from(*byte)]),
    }
}

/// Which bytes were seen, at any place of a chunk.
#[derive(Clone, Copy, Default)]
struct Seen {
    space: u8x16,
    beside_space: u8x16,
    quoted: u8x16,
    unusual: u8x16,
}

impl Seen {
    fn with(self, chunk: u8x16) -> Self {
        let is = |byte| chunk.simd_eq(u8x16::splat(byte));
        Self {
            space: self.space | is(b' '),
            beside_space: self.beside_space | is(b':') | is(b'#'),
            quoted: self.quoted | is(b'"') | is(b'\\'),
            unusual: self.unusual | simd::unusual(chunk),
        }
    }

    fn classes(self) -> u8 {
        [(self.space, SPACE), (self.beside_space, BESIDE_SPACE), (self.quoted, QUOTED), (self.unusual, UNUSUAL)]
            .into_iter()
            .fold(0, |classes, (seen, class)| if seen.to_bitmask() == 0 { classes } else { classes | class })
    }
}

impl<'o> Emitter<'o> {
    /// At the beginning of a document of at most so many bytes.
    pub(super) fn new(out: &'o mut Vec<u8>, color: bool, delicate: bool, most: usize) -> Self {
        let limit = out.len().saturating_add(most);
        Self { out, color, delicate, column: 0, indent: 0, whitespace: true, indention: true, limit, overflows: false }
    }

    /// Whether the document has grown too long: what is there is no document, and there is no use in going on.
    pub(super) fn overflows(&self) -> bool {
        self.overflows
    }

    /// Ends the document.
    pub(super) fn end(mut self) {
        self.indent = 0;
        self.write_indent();
    }

    /// Begins a mapping inside another value; what comes back is to be given to [`Self::leave`].
    pub(super) fn enter_mapping(&mut self) -> usize {
        let outer = self.indent;
        self.indent += INDENT;
        outer
    }

    /// Begins a sequence. As a mapping's value, on the line of its key, it is not indented.
    pub(super) fn enter_sequence(&mut self, in_mapping: bool) -> usize {
        let indentless = in_mapping && !self.indention;
        let outer = self.indent;
        self.indent += if indentless { 0 } else { INDENT };
        outer
    }

    /// Ends a mapping or sequence.
    pub(super) fn leave(&mut self, indent: usize) {
        self.indent = indent;
    }

    /// Begins an item of a sequence.
    pub(super) fn item(&mut self) {
        self.write_indent();
        self.indicator("-", true, false, true);
    }

    /// A member's key, up to where its value begins.
    pub(super) fn key(&mut self, text: &str) {
        self.write_indent();
        if self.word(text) {
            return self.indicator(":", false, false, false);
        }
        let seen = classes(text.as_bytes());
        let is_multiline = seen & UNUSUAL != 0 && text.chars().any(is_break);
        if text.len() <= LONGEST_SIMPLE_KEY && !is_multiline {
            self.scalar(text, seen, Place::SimpleKey, theme::KEY);
            self.indicator(":", false, false, false);
        } else {
            self.indicator("?", true, false, true);
            self.scalar(text, seen, Place::Free, theme::KEY);
            self.write_indent();
            self.indicator(":", true, false, true);
        }
    }

    /// `[]` or `{}`
    pub(super) fn empty(&mut self, brackets: &str) {
        self.indicator(brackets, true, false, false);
    }

    /// A number, `true`, `false` or `null`, in a form that every reader takes for what it is.
    pub(super) fn verbatim(&mut self, parts: &[&str]) {
        self.separate();
        let start = self.out.len();
        theme::paint(self.out, self.color, theme::NUMBER, |out| {
            for part in parts {
                out.extend_from_slice(part.as_bytes());
            }
        });
        let width = parts.iter().map(|part| part.len()).sum::<usize>();
        self.limit = self.limit.saturating_add(self.out.len() - start - width);
        self.column += width;
        self.whitespace = false;
        self.indention = false;
    }

    /// A string value.
    pub(super) fn string(&mut self, text: &str) {
        if self.word(text) {
            return;
        }
        self.scalar(text, classes(text.as_bytes()), Place::Free, theme::STRING);
    }

    /// A string value that needs double quotes and just the escapes that it has, as it stands in the message.
    pub(super) fn escaped_string(&mut self, raw: &str) {
        self.paint(theme::STRING, |emitter| {
            emitter.indicator("\"", true, false, false);
            if simd::is_usual(raw.as_bytes()) {
                emitter.copy_and_fold(raw);
            } else {
                emitter.escape_and_fold::<true>(raw, Place::Free);
            }
            emitter.indicator("\"", false, false, false);
        });
    }

    /// Begins a mapping or sequence in flow style.
    pub(super) fn open(&mut self, bracket: &str) {
        self.indicator(bracket, true, true, false);
    }

    /// Ends one.
    pub(super) fn close(&mut self, bracket: &str) {
        self.indicator(bracket, false, false, false);
    }

    /// Ends an item or member that is followed by another, in flow style.
    pub(super) fn comma(&mut self) {
        self.indicator(",", false, false, false);
        if self.column > WIDTH {
            // However deep it is: the indentation of a flow means nothing, but there must be some.
            self.indent = INDENT;
            self.write_indent();
            self.indent = 0;
        }
    }

    /// A member's key in flow style, up to where its value begins.
    pub(super) fn flow_key(&mut self, text: &str) {
        let is_simple = text.len() <= LONGEST_SIMPLE_KEY;
        if !is_simple {
            self.indicator("?", true, false, false);
        }
        self.flow_scalar(text, theme::KEY);
        self.indicator(":", !is_simple, false, false);
    }

    /// A string value in flow style.
    pub(super) fn flow_string(&mut self, text: &str) {
        self.flow_scalar(text, theme::STRING);
    }

    /// A string in double quotes, on one line.
    fn flow_scalar(&mut self, text: &str, ink: Ink) {
        self.paint(ink, |emitter| emitter.double_quoted(text, classes(text.as_bytes()), Place::SimpleKey));
    }

    /// Writes what is plain at a glance, as most keys and many values are; whether it was.
    fn word(&mut self, text: &str) -> bool {
        let bytes = text.as_bytes();
        let [first, .., last] = bytes else { return false };
        let is_word = matches!(first, b'a'..=b'z' | b'A'..=b'Z' | b'/')
            && *last != b' '
            && !self.color
            && self.fits(text)
            && simd::is_words(bytes)
            && (bytes.len() > resolve::LONGEST_WORD || resolve::is_string(text));
        if is_word {
            self.separate();
            self.copy(text);
            self.whitespace = false;
            self.indention = false;
        }
        is_word
    }

    fn scalar(&mut self, text: &str, seen: u8, place: Place, ink: Ink) {
        let style = self.style(text, seen, place);
        self.paint(ink, |emitter| match style {
            Style::Plain => emitter.plain(text, seen, place),
            Style::SingleQuoted => emitter.single_quoted(text, seen, place),
            Style::DoubleQuoted => emitter.double_quoted(text, seen, place),
            Style::Literal => emitter.literal(text),
        });
    }

    /// Writes a scalar in its colour.
    fn paint(&mut self, ink: Ink, write: impl FnOnce(&mut Self)) {
        if self.color {
            // The separating space comes before the colour.
            self.separate();
            self.put_ink(ink.prefix_formatter());
        }
        // The lines of a scalar stand one level deeper than what it belongs to.
        self.indent += INDENT;
        write(self);
        self.indent -= INDENT;
        if self.color {
            self.put_ink(ink.suffix_formatter());
        }
    }

    fn put_ink(&mut self, ink: impl std::fmt::Display) {
        use std::io::Write as _;
        let start = self.out.len();
        // Writing to a Vec cannot fail.
        let _ = write!(self.out, "{ink}");
        self.limit = self.limit.saturating_add(self.out.len() - start);
    }

    /// go-yaml's choice (`encode.go`, `stringv`), then libyaml's (`yaml_emitter_select_scalar_style`).
    fn style(&self, text: &str, seen: u8, place: Place) -> Style {
        if seen & CONTROL != 0 {
            return Style::DoubleQuoted;
        }
        let simple_key = place == Place::SimpleKey;
        let analysis = self.analyze(text, seen);
        let mut style = if seen & NEWLINE != 0 {
            Style::Literal
        } else if resolve::is_string(text) || (simple_key && text == "=") {
            // As a key every reader takes the equals sign for itself.
            Style::Plain
        } else {
            Style::DoubleQuoted
        };
        if simple_key && analysis.multiline {
            style = Style::DoubleQuoted;
        }
        if style == Style::Plain && !analysis.plain {
            style = Style::SingleQuoted;
        }
        if style == Style::SingleQuoted && !analysis.single_quoted {
            style = Style::DoubleQuoted;
        }
        if style == Style::Literal && (!analysis.block || simple_key) {
            style = Style::DoubleQuoted;
        }
        style
    }

    fn analyze(&self, text: &str, seen: u8) -> Analysis {
        let bytes = text.as_bytes();
        let Some(&first) = bytes.first() else {
            return Analysis { multiline: false, plain: true, single_quoted: true, block: false };
        };
        let begins_like_markup = match first {
            b'#' | b',' | b'[' | b']' | b'{' | b'}' | b'&' | b'*' | b'!' | b'|' | b'>' | b'\'' | b'"' | b'%' | b'@'
            | b'`' => true,
            b'?' | b':' | b'-' => {
                bytes.get(1).is_none_or(|next| matches!(next, b' ' | b'\t')) || text.starts_with("---")
            }
            b'.' => text.starts_with("..."),
            _ => false,
        };
        if seen & UNUSUAL == 0 {
            let beside_space =
                || bytes.windows(2).any(|pair| pair == b": " || pair == b" #") || bytes.last() == Some(&b':');
            let like_markup = begins_like_markup || (seen & BESIDE_SPACE != 0 && beside_space());
            let edge_space = first == b' ' || bytes.last() == Some(&b' ');
            return Analysis {
                multiline: false,
                plain: !like_markup && !edge_space,
                single_quoted: true,
                block: bytes.last() != Some(&b' '),
            };
        }
        self.analyze_slowly(text, begins_like_markup)
    }

    fn analyze_slowly(&self, text: &str, begins_like_markup: bool) -> Analysis {
        let mut markup = begins_like_markup;
        let (mut special, mut breaks, mut edge, mut trailing_space) = (false, false, false, false);
        let (mut break_space, mut space_break) = (false, false);
        let (mut previous_space, mut previous_break) = (false, false);
        let mut after_blank = true;
        for (at, character) in text.char_indices() {
            let next = at + character.len_utf8();
            let (is_first, is_last) = (at == 0, next == text.len());
            if !is_first {
                let before_blank = is_last || matches!(text.as_bytes()[next], b' ' | b'\t');
                markup |= (character == ':' && before_blank) || (character == '#' && after_blank);
            }
            special |= !is_printable(character) || self.is_unsafe(character) || character == '\u{85}';
            if character == ' ' {
                edge |= is_first || is_last;
                trailing_space |= is_last;
                break_space |= previous_break;
                (previous_space, previous_break) = (true, false);
            } else if is_break(character) {
                breaks = true;
                edge |= is_first || is_last;
                space_break |= previous_space;
                (previous_space, previous_break) = (false, true);
            } else {
                (previous_space, previous_break) = (false, false);
            }
            after_blank = matches!(character, ' ' | '\t') || is_break(character);
        }
        let hopeless = space_break || special || has_torn_separators(text);
        Analysis {
            multiline: breaks,
            plain: !(edge || break_space || hopeless || breaks || markup),
            single_quoted: !(break_space || hopeless),
            block: !(trailing_space || hopeless),
        }
    }

    /// Whether the character must not reach a terminal.
    fn is_unsafe(&self, character: char) -> bool {
        self.delicate && character != '\n' && sanitize::is_control(character)
    }

    /// Whether all of the text stays before the column at which lines are folded.
    fn fits(&self, text: &str) -> bool {
        self.column + text.len() <= WIDTH
    }

    fn plain(&mut self, text: &str, seen: u8, place: Place) {
        if !text.is_empty() {
            self.separate();
        }
        if place == Place::SimpleKey || seen & SPACE == 0 || self.fits(text) {
            self.copy(text);
        } else {
            self.fold(text);
        }
        self.whitespace = false;
        self.indention = false;
    }

    fn single_quoted(&mut self, text: &str, seen: u8, place: Place) {
        self.indicator("'", true, false, false);
        let folds = seen & SPACE != 0 && place == Place::Free && !self.fits(text);
        if seen & UNUSUAL == 0 && !folds && !text.contains('\'') {
            self.copy(text);
            return self.indicator("'", false, false, false);
        }
        let mut spaces = false;
        for (at, character) in text.char_indices() {
            if character == ' ' {
                let inside = at > 0 && at + 1 < text.len();
                let next_is_space = text.as_bytes().get(at + 1) == Some(&b' ');
                if place == Place::Free && !spaces && self.column > WIDTH && inside && !next_is_space {
                    self.write_indent();
                } else {
                    self.put(' ');
                }
                spaces = true;
            } else {
                if character == '\'' {
                    self.put('\'');
                }
                self.put(character);
                self.indention = false;
                spaces = false;
            }
        }
        self.indicator("'", false, false, false);
    }

    fn double_quoted(&mut self, text: &str, seen: u8, place: Place) {
        self.indicator("\"", true, false, false);
        if seen & (QUOTED | UNUSUAL) == 0 && (seen & SPACE == 0 || place == Place::SimpleKey) {
            self.copy(text);
        } else if seen & (QUOTED | UNUSUAL) == 0 {
            self.copy_and_fold(text);
        } else if text.starts_with('\u{feff}') {
            // go-yaml looks for a byte order mark at the start of the text whatever character it is at, and so escapes
            // all of a text that starts with one.
            text.chars().for_each(|character| self.escape(character));
        } else {
            self.escape_and_fold::<false>(text, place);
        }
        self.indicator("\"", false, false, false);
    }

    /// The contents of double quotes: runs that need nothing are copied whole. With `ESCAPED` the text has its escapes
    /// already, which only have to be stepped over.
    fn escape_and_fold<const ESCAPED: bool>(&mut self, text: &str, place: Place) {
        let bytes = text.as_bytes();
        let mut run = Run::default();
        let mut spaces = false;
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            let class = CLASS[usize::from(byte)];
            if class & (SPACE | QUOTED | UNUSUAL) == 0 {
                at += 1;
                spaces = false;
            } else if class & SPACE != 0 {
                let inside = at > 0 && at + 1 < bytes.len();
                if place == Place::Free && !spaces && self.column + run.width(at) > WIDTH && inside {
                    self.flush(text, &mut run, at, at + 1);
                    self.write_indent();
                    if bytes[at + 1] == b' ' {
                        self.put('\\');
                    }
                }
                at += 1;
                spaces = true;
            } else if ESCAPED && byte == b'\\' {
                at += 2;
                spaces = false;
            } else {
                let character = text[at..].chars().next().unwrap_or_default();
                let next = at + character.len_utf8();
                let plain = is_printable(character) && !is_break(character) && !self.is_unsafe(character);
                if plain && class & QUOTED == 0 {
                    run.wide += next - at - 1;
                } else {
                    self.flush(text, &mut run, at, next);
                    self.escape(character);
                }
                at = next;
                spaces = false;
            }
        }
        self.flush(text, &mut run, at, at);
    }

    /// The contents of double quotes that need no escape, or have theirs: printable ASCII. Nothing need be looked at
    /// before the line is full.
    fn copy_and_fold(&mut self, text: &str) {
        let bytes = text.as_bytes();
        let mut start = 0;
        let mut from = 1;
        loop {
            from = from.max(start + (WIDTH + 1).saturating_sub(self.column));
            let Some(found) = bytes.get(from..).and_then(|rest| memchr::memchr(b' ', rest)) else { break };
            let at = from + found;
            from = at + 1;
            if from == bytes.len() || bytes[at - 1] == b' ' {
                continue;
            }
            self.copy(&text[start..at]);
            self.write_indent();
            if bytes[from] == b' ' {
                self.put('\\');
            }
            start = from;
        }
        self.copy(&text[start..]);
    }

    /// Copies the run up to `end`; the next one starts at `next`.
    fn flush(&mut self, text: &str, run: &mut Run, end: usize, next: usize) {
        self.out.extend_from_slice(&text.as_bytes()[run.start..end]);
        self.column += run.width(end);
        *run = Run { start: next, wide: 0 };
    }

    fn escape(&mut self, character: char) {
        use std::io::Write as _;
        let short = match character {
            '\0' => '0',
            '\x07' => 'a',
            '\x08' => 'b',
            '\t' => 't',
            '\n' => 'n',
            '\x0b' => 'v',
            '\x0c' => 'f',
            '\r' => 'r',
            '\x1b' => 'e',
            '"' => '"',
            '\\' => '\\',
            '\u{85}' => 'N',
            '\u{a0}' => '_',
            '\u{2028}' => 'L',
            '\u{2029}' => 'P',
            _ => {
                let code = u32::from(character);
                let start = self.out.len();
                // Writing to a Vec cannot fail.
                let _ = match code {
                    0..=0xff => write!(self.out, "\\x{code:02X}"),
                    0x100..=0xffff => write!(self.out, "\\u{code:04X}"),
                    _ => write!(self.out, "\\U{code:08X}"),
                };
                self.column += self.out.len() - start;
                return;
            }
        };
        self.put('\\');
        self.put(short);
    }

    fn literal(&mut self, text: &str) {
        self.indicator("|", true, false, false);
        if text.starts_with([' ', '\n']) {
            self.indicator("2", false, false, false);
        }
        match text.as_bytes() {
            [b'\n'] | [.., b'\n', b'\n'] => self.indicator("+", false, false, false),
            [.., b'\n'] => {}
            _ => self.indicator("-", false, false, false),
        }
        self.newline();
        self.indention = true;
        self.whitespace = true;
        for line in text.split_inclusive('\n') {
            let content = line.strip_suffix('\n').unwrap_or(line);
            if !content.is_empty() {
                self.write_indent();
                self.copy(content);
                self.indention = false;
            }
            if content.len() < line.len() {
                self.newline();
                self.indention = true;
            }
        }
    }

    /// Writes text that holds no breaks, folding it at spaces once the line is full.
    fn fold(&mut self, text: &str) {
        let bytes = text.as_bytes();
        let mut run = Run::default();
        let mut spaces = false;
        for (at, &byte) in bytes.iter().enumerate() {
            let is_space = byte == b' ';
            if is_space && !spaces && self.column + run.width(at) > WIDTH && bytes.get(at + 1) != Some(&b' ') {
                self.flush(text, &mut run, at, at + 1);
                self.write_indent();
            }
            // Bytes that continue a character take no column.
            run.wide += usize::from(byte & 0xc0 == 0x80);
            spaces = is_space;
        }
        self.flush(text, &mut run, bytes.len(), bytes.len());
    }

    fn put(&mut self, character: char) {
        let mut bytes = [0; 4];
        self.out.extend_from_slice(character.encode_utf8(&mut bytes).as_bytes());
        self.column += 1;
    }

    fn copy(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
        self.column += if text.is_ascii() { text.len() } else { text.chars().count() };
    }

    fn newline(&mut self) {
        self.out.push(b'\n');
        self.column = 0;
    }

    /// The space between an indicator and a scalar.
    fn separate(&mut self) {
        if !self.whitespace {
            self.out.push(b' ');
            self.column += 1;
            self.whitespace = true;
        }
    }

    fn indicator(&mut self, indicator: &str, needs_space: bool, is_space: bool, is_indention: bool) {
        if needs_space {
            self.separate();
        }
        self.out.extend_from_slice(indicator.as_bytes());
        self.column += indicator.len();
        self.whitespace = is_space;
        self.indention = self.indention && is_indention;
    }

    fn write_indent(&mut self) {
        if self.out.len() > self.limit {
            self.overflows = true;
            return;
        }
        let indent = self.indent;
        if !self.indention || self.column > indent || (self.column == indent && !self.whitespace) {
            let line = &NEW_LINE[..(1 + indent).min(NEW_LINE.len())];
            self.out.extend_from_slice(line);
            self.column = line.len() - 1;
        }
        while self.column < indent {
            let spaces = &NEW_LINE[1..=(indent - self.column).min(NEW_LINE.len() - 1)];
            self.out.extend_from_slice(spaces);
            self.column += spaces.len();
        }
        self.whitespace = true;
        self.indention = true;
    }
}

/// libyaml's idea of printable characters. Tabs are not, and nothing beyond the basic plane is.
fn is_printable(character: char) -> bool {
    matches!(character, '\n' | '\x20'..='\x7e' | '\u{a0}'..='\u{feff}' | '\u{ff00}'..='\u{fffd}')
        && character != '\u{feff}'
}

/// Whether `text` has line or paragraph separators that not every reader would take for themselves. They are line breaks
/// to YAML 1.1, where indentation follows, and characters like any other to YAML 1.2, where it does not. Both get those
/// back that end a text of one line.
fn has_torn_separators(text: &str) -> bool {
    let is_separator = |character| matches!(character, '\u{2028}' | '\u{2029}');
    let content = if text.contains('\n') { text } else { text.trim_end_matches(is_separator) };
    content.contains(is_separator)
}

/// libyaml's line breaks.
fn is_break(character: char) -> bool {
    matches!(character, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}
