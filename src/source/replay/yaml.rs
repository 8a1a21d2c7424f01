//! Finds the documents in YAML, and makes JSON of each.
//!
//! lxmon begins each document with `---`. `lxc monitor` and `incus monitor` print two empty lines behind each, in every
//! release from 2015 on (LXD's `lxc/monitor.go`); `cat -s` and the like take them away. Empty lines can also be a part of
//! a text, so they end a document only where a key follows that is not indented, and not within a text that keeps the
//! line breaks at its end (`|+`). There the order of the keys decides: the clients sort them. A key that the document
//! has already begins another one in any case.
//!
//! A document of lxmon has no mark at its end, and the next one may come much later through a pipe. So one whose last line
//! is its type, as the last of sorted keys, counts as whole when nothing follows it for a moment ([`QUIET`]).

use std::io;
use std::time::Duration;

use super::blocks::Blocks;
use super::document::to_json;
use super::input::Input;
use crate::event::Type;
use crate::event::message::MAX_MESSAGE;

/// After this time without a further byte, a document that ends like one of lxmon is whole. lxmon writes each document at
/// once, so that only a part of one that does not fit into a pipe is followed by the rest later: when it has been read.
const QUIET: Duration = Duration::from_millis(50);

/// How many keys of a document are remembered. An event has seven at most.
const MAX_KEYS: usize = 64;

/// Queues all documents.
///
/// # Errors
/// The file cannot be read, or a document needs more memory than there is.
pub(super) fn read(input: Input, blocks: &mut Blocks<'_>) -> io::Result<()> {
    let mut reader = Reader { input, blocks, line: 1, is_marked: false, document: Document::default() };
    while reader.next_line()? {}
    reader.blocks.flush()
}

struct Reader<'r, 'q> {
    input: Input,
    blocks: &'r mut Blocks<'q>,
    /// The number of the line behind the document so far.
    line: u64,
    /// Whether a document began with `---`.
    is_marked: bool,
    /// The document that is being read: the beginning of the data.
    document: Document,
}

/// What is known of a document while its lines are read.
#[derive(Debug, Default)]
struct Document {
    /// The length of its lines so far, in bytes.
    length: usize,
    /// The number of its first line.
    first_line: u64,
    /// Its keys that are not indented.
    keys: Vec<Vec<u8>>,
    /// The number of empty lines at its end so far.
    empty_lines: u64,
    /// Within a text that keeps the line breaks at its end: the indentation of the line in which it begins.
    keeps_from: Option<usize>,
    /// Whether its last line that is not empty is its type.
    ends_with_type: bool,
    /// Whether it is too long, and its lines are dropped.
    is_dropped: bool,
}

/// What a line is for the document before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// It is a part of it.
    Continue,
    /// It is a part of it, and the last one.
    Finish,
    /// It is the first one of another document.
    Begin,
    /// It stands between documents.
    Between,
}

impl Reader<'_, '_> {
    /// Reads one line. Returns false at the end of the file.
    fn next_line(&mut self) -> io::Result<bool> {
        if self.document.ends_like_ours() && self.document.length == self.input.data().len() {
            // What is known must not wait for this one.
            self.blocks.flush()?;
            if self.input.is_quiet_for(QUIET)? {
                self.finish(false, false)?;
            }
        }
        let from = self.document.length;
        let (end, is_last) = loop {
            if let Some(end) = self.input.line_end_from(from) {
                break (end, false);
            }
            if self.input.data().len() > MAX_MESSAGE {
                // A line of this length, without an end.
                break (self.input.data().len(), false);
            }
            self.blocks.flush()?;
            if !self.input.fill()? {
                break (self.input.data().len(), true);
            }
        };
        if end == from {
            self.finish(true, false)?;
            return Ok(false);
        }
        let line = &self.input.data()[from..end];
        if from == 0 {
            self.document.first_line = self.line;
        }
        let step = self.document.judge(line.trim_ascii_end(), self.is_marked);
        self.is_marked |= is_mark(line);
        match step {
            // Empty lines before the first one.
            Step::Continue if self.document.empty_lines > 0 && self.document.keys.is_empty() && from == 0 => {
                self.input.consume(end);
            }
            Step::Continue => self.document.length = end,
            Step::Finish => {
                self.document.length = end;
                self.finish(false, false)?;
            }
            Step::Begin => {
                let length = end - from;
                self.finish(false, false)?;
                let line = self.input.data()[..length].trim_ascii_end().to_vec();
                self.document.judge(&line, self.is_marked);
                self.document.first_line = self.line;
                self.document.length = length;
            }
            Step::Between => {
                self.finish(false, false)?;
                self.input.consume(end - from);
            }
        }
        self.line += 1;
        if self.document.length > MAX_MESSAGE && !self.document.is_dropped {
            self.blocks.report_length(self.document.first_line);
            self.document.is_dropped = true;
        }
        if self.document.is_dropped {
            self.input.consume(self.document.length);
            self.document.length = 0;
        }
        if is_last {
            self.finish(true, true)?;
        }
        Ok(!is_last)
    }

    /// Queues the document, and begins an empty one. `is_last`: the file ends here; `is_open`: and not with a line break.
    fn finish(&mut self, is_last: bool, is_open: bool) -> io::Result<()> {
        let document = std::mem::take(&mut self.document);
        if !document.keys.is_empty() && !document.is_dropped {
            let mut text = &self.input.data()[..document.length];
            if document.keeps_from.is_some() && !self.is_marked {
                // The two empty lines that the clients print behind the document would be a part of its last text.
                for _ in 0..document.empty_lines.min(2) {
                    text = text.strip_suffix(b"\n").unwrap_or(text);
                    text = text.strip_suffix(b"\r").unwrap_or(text);
                }
            }
            let line = document.first_line;
            match std::str::from_utf8(text).map(|text| (to_json(text), text)) {
                _ if is_last && document.is_cut_off(text, is_open) => {
                    self.blocks.report(line, "the recording is cut off here; skipped");
                }
                Ok((Ok(json), _)) => self.blocks.push(json.as_bytes(), line)?,
                Ok((Err(error), _)) => {
                    let at = line + error.line;
                    self.blocks.report(line, &format!("not YAML (line {at}: {}); skipped", error.what));
                }
                Err(_) => self.blocks.report(line, "not UTF-8; skipped"),
            }
        }
        self.input.consume(document.length);
        Ok(())
    }
}

impl Document {
    /// Adds a line, without its line break, to what is known, unless it does not belong to the document.
    fn judge(&mut self, line: &[u8], is_marked: bool) -> Step {
        let indent = line.iter().take_while(|byte| **byte == b' ').count();
        let Some(first) = line.get(indent) else {
            self.empty_lines += 1;
            // Nothing follows the type, so a reader at the other end of a pipe need not wait for the next event.
            let is_finished = self.ends_with_type && self.empty_lines == 2 && !is_marked;
            return if is_finished { Step::Finish } else { Step::Continue };
        };
        if is_mark(line) && (self.length > 0 || self.is_dropped) {
            return Step::Begin;
        }
        if line == b"..." {
            return Step::Between;
        }
        // Sequences, comments and the values of long keys are not indented either.
        let is_key = indent == 0
            && !is_mark(line)
            && !matches!(first, b'#' | b'%' | b':')
            && !line.starts_with(b"- ")
            && line != b"-";
        if is_key {
            let key = line.split(|byte| *byte == b':').next().unwrap_or(line);
            if self.is_followed_by(key, is_marked) {
                return Step::Begin;
            }
            // The last one is always kept, for the order.
            self.keys.truncate(MAX_KEYS - 1);
            self.keys.push(key.to_vec());
        }
        if self.keeps_from.is_none_or(|outer| indent <= outer) {
            self.keeps_from = keeps_line_breaks(line).then_some(indent);
        }
        self.ends_with_type = is_key && is_whole_type(line);
        self.empty_lines = 0;
        Step::Continue
    }

    /// Whether it can be whole: the type of an event is its last line, and the last of its keys, which are sorted.
    fn ends_like_ours(&self) -> bool {
        self.ends_with_type
            && self.empty_lines == 0
            && self.keys.is_sorted()
            && self.keys.iter().any(|key| key == b"metadata")
    }

    /// Whether this key, which is not indented, begins another document.
    fn is_followed_by(&self, key: &[u8], is_marked: bool) -> bool {
        let Some(last) = self.keys.last() else { return false };
        let is_separated = self.empty_lines >= 2;
        if self.keys.iter().any(|known| known == key) {
            return true;
        }
        let is_in_order = **last < *key;
        match self.keeps_from {
            None if is_separated => true,
            _ if is_marked => false,
            Some(_) => is_separated && !is_in_order,
            // The separators are gone.
            None => last == b"type" && !is_in_order && self.keys.iter().any(|known| known == b"metadata"),
        }
    }

    /// Whether the document, which is the last one, lacks its end: it has no type, which the clients print last, or the
    /// type is none that is known and no line break follows it.
    fn is_cut_off(&self, text: &[u8], is_open: bool) -> bool {
        let Some(at) = memchr::memmem::rfind(text, b"type:").filter(|_| self.keys.iter().any(|key| key == b"type"))
        else {
            return true;
        };
        let kind = text[at + b"type:".len()..].trim_ascii();
        is_open && self.ends_with_type && !Type::KNOWN.iter().any(|known| known.name().as_bytes() == kind)
    }
}

/// Whether a line begins a document.
fn is_mark(line: &[u8]) -> bool {
    line.strip_prefix(b"---").is_some_and(|rest| rest.first().is_none_or(u8::is_ascii_whitespace))
}

/// Whether a text begins in this line that keeps the line breaks at its end: its last word is `|+`, with or without the
/// number of its indentation.
fn keeps_line_breaks(line: &[u8]) -> bool {
    let word = memchr::memrchr(b' ', line).map_or(line, |at| &line[at + 1..]);
    let [b'|' | b'>', rest @ ..] = word else { return false };
    matches!(rest, [b'+'] | [b'+', b'0'..=b'9'] | [b'0'..=b'9', b'+'])
}

/// Whether the line is the type of an event, which is a word, so that no other line belongs to it.
fn is_whole_type(line: &[u8]) -> bool {
    let word = line.strip_prefix(b"type: ").unwrap_or_default();
    !word.is_empty() && word.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
}
