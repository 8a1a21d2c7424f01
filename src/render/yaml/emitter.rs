//! The layout of scalars, mappings and sequences: the part of libyaml's emitter, as ported in go-yaml v2, that JSON
//! values need. It has no anchors and no tags. Flow style, which go-yaml uses only for empty collections here, is
//! simplified: it only has to read back as the same value.
//!
//! Written by hand because no library prints the bytes of go-yaml v2; `yaml_serde` cannot. The tests compare 2,564
//! events with the text of lxc and incus (`tests/data/golden/`). Rendering takes 843 ns per event
//! (`benches/README.md`).

use owo_colors::Style as Ink;
use wide::u8x16;

use super::super::{sanitize, simd, theme};
use super::resolve;

/// libyaml folds at the first space after this column.
const WIDTH: usize = 80;

/// The indentation of each level, in columns.
const INDENT: usize = 2;

/// The source from which line breaks and indentation are copied.
const NEW_LINE: &[u8] = b"\n                                ";

/// The maximum length of a simple key, in bytes. Longer keys are written after a question mark.
const LONGEST_SIMPLE_KEY: usize = 128;

/// The state of libyaml's emitter, with its names.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "they are the states of libyaml's emitter")]
pub(super) struct Emitter<'o> {
    pub(super) out: &'o mut Vec<u8>,
    pub(super) color: bool,
    /// Whether control characters must be escaped even where YAML allows them, such as bidi controls.
    pub(super) must_sanitize: bool,
    /// The current column, in characters.
    column: usize,
    indent: usize,
    /// Whether the last character written is white space.
    whitespace: bool,
    /// Whether the line so far has only indentation and indicators.
    indention: bool,
    /// The maximum length of `out`, to which the length of colours is added. Beyond it no further line is begun.
    limit: usize,
    overflows: bool,
}

/// The position of a scalar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A key that is followed by a colon on the same line. It cannot be folded.
    SimpleKey,
    /// A value, an item or an explicit key.
    Free,
}

/// The style of a scalar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Plain,
    SingleQuoted,
    DoubleQuoted,
    Literal,
}

/// A range of text that needs no change and is copied at once.
#[derive(Debug, Default)]
struct Run {
    start: usize,
    /// The number of its bytes that continue a character and so take no column.
    wide: usize,
}

impl Run {
    /// The number of columns of the run up to `end`.
    fn width(&self, end: usize) -> usize {
        end - self.start - self.wide
    }
}

/// The styles that the characters of a scalar allow (`yaml_emitter_analyze_scalar`).
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is an independent property of the text")]
struct Analysis {
    multiline: bool,
    plain: bool,
    single_quoted: bool,
    block: bool,
}

// The classes of a scalar's bytes.
const SPACE: u8 = 1;
/// `:` and `#`, which have a meaning next to a space.
const BESIDE_SPACE: u8 = 2;
/// Double quote and backslash, which must be escaped in a double-quoted scalar.
const QUOTED: u8 = 4;
/// All bytes that are not printable ASCII.
const UNUSUAL: u8 = 8;
const NEWLINE: u8 = 16;
/// Control characters except newlines: only double-quoted scalars can contain them.
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

/// The union of the classes of a text's bytes. It is vectorised for text without unusual bytes, as nearly all text is.
fn classes(text: &[u8]) -> u8 {
    match simd::fold(text, Seen::default(), Seen::with).map(Seen::classes) {
        Some(classes) if classes & UNUSUAL == 0 => classes,
        _ => text.iter().fold(0, |seen, byte| seen | CLASS[usize::from(*byte)]),
    }
}

/// For each class, the lanes of the chunks in which a byte of that class was seen.
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
    /// An emitter at the beginning of a document, which may have at most `most` bytes.
    pub(super) fn new(out: &'o mut Vec<u8>, color: bool, must_sanitize: bool, most: usize) -> Self {
        let limit = out.len().saturating_add(most);
        Self {
            out,
            color,
            must_sanitize,
            column: 0,
            indent: 0,
            whitespace: true,
            indention: true,
            limit,
            overflows: false,
        }
    }

    /// Whether the document exceeds its limit. Then the output is incomplete, and the caller can stop early.
    pub(super) fn overflows(&self) -> bool {
        self.overflows
    }

    /// Ends the document.
    pub(super) fn end(mut self) {
        self.indent = 0;
        self.write_indent();
    }

    /// Begins a mapping inside another value. The result must be passed to [`Self::leave`].
    pub(super) fn enter_mapping(&mut self) -> usize {
        let outer = self.indent;
        self.indent += INDENT;
        outer
    }

    /// Begins a sequence. It is not indented if it is a mapping's value and its key is on the same line. The result
    /// must be passed to [`Self::leave`].
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

    /// Writes a member's key and the colon after it.
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

    /// Writes `[]` or `{}`.
    pub(super) fn empty(&mut self, brackets: &str) {
        self.indicator(brackets, true, false, false);
    }

    /// Writes a number, `true`, `false` or `null` without a change.
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

    /// Writes a string value.
    pub(super) fn string(&mut self, text: &str) {
        if self.word(text) {
            return;
        }
        self.scalar(text, classes(text.as_bytes()), Place::Free, theme::STRING);
    }

    /// Writes a string value in its JSON form: one that needs double quotes and no other escapes than it has.
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

    /// Ends a mapping or sequence in flow style.
    pub(super) fn close(&mut self, bracket: &str) {
        self.indicator(bracket, false, false, false);
    }

    /// Separates two items or members in flow style.
    pub(super) fn comma(&mut self) {
        self.indicator(",", false, false, false);
        if self.column > WIDTH {
            // Any indentation is valid in flow style, but at least one column is required. So it does not grow with
            // depth.
            self.indent = INDENT;
            self.write_indent();
            self.indent = 0;
        }
    }

    /// Writes a member's key and the colon after it in flow style.
    pub(super) fn flow_key(&mut self, text: &str) {
        let is_simple = text.len() <= LONGEST_SIMPLE_KEY;
        if !is_simple {
            self.indicator("?", true, false, false);
        }
        self.flow_scalar(text, theme::KEY);
        self.indicator(":", !is_simple, false, false);
    }

    /// Writes a string value in flow style.
    pub(super) fn flow_string(&mut self, text: &str) {
        self.flow_scalar(text, theme::STRING);
    }

    /// Writes a string in double quotes, on one line.
    fn flow_scalar(&mut self, text: &str, ink: Ink) {
        self.paint(ink, |emitter| emitter.double_quoted(text, classes(text.as_bytes()), Place::SimpleKey));
    }

    /// Writes `text` if a few cheap tests show that it is a plain scalar, as most keys and many values are. Returns
    /// whether it did.
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
            // The separating space must not be coloured.
            self.separate();
            self.put_ink(ink.prefix_formatter());
        }
        // Continuation lines of a scalar are indented one level deeper than its parent.
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

    /// The style of a scalar: go-yaml's choice (`encode.go`, `stringv`), then libyaml's corrections
    /// (`yaml_emitter_select_scalar_style`).
    fn style(&self, text: &str, seen: u8, place: Place) -> Style {
        if seen & CONTROL != 0 {
            return Style::DoubleQuoted;
        }
        let simple_key = place == Place::SimpleKey;
        let analysis = self.analyze(text, seen);
        let mut style = if seen & NEWLINE != 0 {
            Style::Literal
        } else if resolve::is_string(text) || (simple_key && text == "=") {
            // As a key, every reader reads the equals sign as a string.
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

    /// Whether the character must be escaped because it must not reach a terminal.
    fn is_unsafe(&self, character: char) -> bool {
        self.must_sanitize && character != '\n' && sanitize::is_control(character)
    }

    /// Whether the text ends before the column at which lines are folded.
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
            // go-yaml has a bug: for every character, it tests the start of the text for a byte order mark. So it
            // escapes all characters of a text that starts with one.
            text.chars().for_each(|character| self.escape(character));
        } else {
            self.escape_and_fold::<false>(text, place);
        }
        self.indicator("\"", false, false, false);
    }

    /// Writes the contents of a double-quoted scalar. Runs without escapes are copied at once. With `ESCAPED` the text
    /// is already escaped, and its escapes are copied.
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

    /// Writes the contents of a double-quoted scalar of printable ASCII that needs no escapes or is already escaped.
    /// Only spaces beyond the line width need a look, as lines are folded there.
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

    /// Copies the run up to `end`. The next run starts at `next`.
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

    /// Writes text without line breaks, and folds it at spaces beyond the line width.
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
            // Continuation bytes of UTF-8 take no column.
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

    /// Writes the space between an indicator and a scalar, if there is none.
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

/// Whether libyaml considers the character printable. Tabs and characters beyond the basic multilingual plane are not.
fn is_printable(character: char) -> bool {
    matches!(character, '\n' | '\x20'..='\x7e' | '\u{a0}'..='\u{feff}' | '\u{ff00}'..='\u{fffd}')
        && character != '\u{feff}'
}

/// Whether `text` has line or paragraph separators that not every reader would read back unless they are escaped. YAML
/// 1.1 treats them as line breaks, after which indentation follows, and YAML 1.2 as ordinary characters. Only at the
/// end of a text of one line are they read back by both.
fn has_torn_separators(text: &str) -> bool {
    let is_separator = |character| matches!(character, '\u{2028}' | '\u{2029}');
    let content = if text.contains('\n') { text } else { text.trim_end_matches(is_separator) };
    content.contains(is_separator)
}

/// Whether libyaml considers the character a line break.
fn is_break(character: char) -> bool {
    matches!(character, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}
