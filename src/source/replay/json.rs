//! Finds the messages in JSON of any layout: one object per line, objects of several lines as `jq` writes them, objects
//! behind each other, and arrays of objects. Whether a message is an event is judged when it is decoded.
//!
//! As long as each line is an object, only line breaks are searched for.

use std::io;

use super::blocks::Blocks;
use super::input::{Input, MARK};
use crate::event::json::Tape;
use crate::event::message::MAX_MESSAGE;

/// Queues all messages.
///
/// # Errors
/// The file cannot be read, or a message needs more memory than there is.
pub(super) fn read(input: Input, blocks: &mut Blocks<'_>) -> io::Result<()> {
    let mut reader = Reader { input, blocks, line: 1, is_line_start: true, is_list: false, has_lines: false };
    while reader.value()? {
        if reader.has_lines {
            reader.lines()?;
        }
    }
    reader.blocks.flush()
}

struct Reader<'r, 'q> {
    input: Input,
    blocks: &'r mut Blocks<'q>,
    /// The number of the line in which the data begins.
    line: u64,
    /// Whether nothing but white space stands before the data in its line.
    is_line_start: bool,
    /// Whether an array of messages is open.
    is_list: bool,
    /// Whether the last message was a line of its own, so that the next ones probably are too.
    has_lines: bool,
}

/// Where the text of a message ends, as an offset in the data.
enum Found {
    /// Behind the brace that closes the object.
    Whole(usize),
    /// Where something stands that cannot be part of the object, or where the file ends.
    Torn(usize),
    /// It is too long.
    TooLong,
}

impl Reader<'_, '_> {
    /// Reads more. What has been found by then is queued first, because a read can block.
    fn fill(&mut self) -> io::Result<bool> {
        self.blocks.flush()?;
        self.input.fill()
    }

    /// Queues lines that are objects, up to one that is not.
    fn lines(&mut self) -> io::Result<()> {
        loop {
            let Some(end) = self.input.line_end() else {
                if self.input.data().len() > MAX_MESSAGE || !self.fill()? {
                    return Ok(());
                }
                continue;
            };
            let line = self.input.data()[..end].trim_ascii();
            match (line.first(), line.last()) {
                (Some(b'{'), Some(b'}')) if line.len() <= MAX_MESSAGE && !may_be_several(line) => {
                    self.blocks.push(line, self.line)?;
                }
                (None, _) => {}
                _ => return Ok(()),
            }
            self.input.consume(end);
            self.line += 1;
        }
    }

    /// Queues the next message in whichever layout it is. Returns false at the end of the file.
    fn value(&mut self) -> io::Result<bool> {
        loop {
            let Some(&byte) = self.input.data().first() else {
                if self.fill()? {
                    continue;
                }
                if self.is_list {
                    self.blocks.report(self.line, "the recording is cut off here: the array does not end");
                }
                return Ok(false);
            };
            let mut length = 1;
            match byte {
                b'{' => break,
                b'\n' => {
                    self.line += 1;
                    self.is_line_start = true;
                }
                // The last one separates texts in RFC 7464.
                b' ' | b'\t' | b'\r' | b'\x1e' => {}
                b',' if self.is_list => self.is_line_start = false,
                b']' if self.is_list => (self.is_list, self.is_line_start) = (false, false),
                b'[' if !self.is_list && self.begins_list()? => (self.is_list, self.is_line_start) = (true, false),
                _ if self.input.data().starts_with(MARK) => length = MARK.len(),
                _ => return self.strange_line(),
            }
            self.input.consume(length);
        }
        self.object()?;
        Ok(true)
    }

    /// Whether the bracket with which the data begins opens an array of objects.
    fn begins_list(&mut self) -> io::Result<bool> {
        let mut at = 1;
        loop {
            match self.input.data().get(at) {
                Some(byte) if byte.is_ascii_whitespace() => at += 1,
                Some(byte) => return Ok(matches!(byte, b'{' | b']')),
                None => {
                    if !self.fill()? {
                        return Ok(true);
                    }
                }
            }
        }
    }

    /// Queues the rest of a line that does not begin like a message. Decoding it reports what is wrong.
    fn strange_line(&mut self) -> io::Result<bool> {
        self.has_lines = false;
        self.is_line_start = true;
        loop {
            let end = match self.input.line_end() {
                Some(end) => end,
                None if self.input.data().len() > MAX_MESSAGE => {
                    self.blocks.report_length(self.line);
                    self.line += 1;
                    return self.input.skip_line();
                }
                None if self.fill()? => continue,
                None => self.input.data().len(),
            };
            self.blocks.push(&self.input.data()[..end], self.line)?;
            self.input.consume(end);
            self.line += 1;
            return Ok(true);
        }
    }

    /// Queues the object with which the data begins.
    fn object(&mut self) -> io::Result<()> {
        self.has_lines = false;
        let began_line = std::mem::replace(&mut self.is_line_start, false);
        let (found, breaks) = self.find_end()?;
        match found {
            Found::Whole(end) | Found::Torn(end) => {
                if end > MAX_MESSAGE {
                    self.blocks.report_length(self.line);
                } else {
                    self.blocks.push(&self.input.data()[..end], self.line)?;
                }
                self.input.consume(end);
                let ends_line = matches!(self.input.data(), [b'\n', ..] | [b'\r', b'\n', ..]);
                let is_whole = matches!(found, Found::Whole(_));
                self.has_lines = is_whole && began_line && breaks == 0 && ends_line && !self.is_list;
                self.line += breaks;
                if self.has_lines
                    && let Some(end) = self.input.line_end()
                {
                    self.input.consume(end);
                    self.line += 1;
                    self.is_line_start = true;
                }
            }
            Found::TooLong => {
                self.blocks.report_length(self.line);
                let length = self.input.data().len();
                self.input.consume(length);
                self.line += breaks;
                self.is_line_start = true;
                // The lines inside of an object are indented where it has several.
                while self.input.skip_line()? {
                    self.line += 1;
                    if self.input.data().is_empty() {
                        self.input.fill()?;
                    }
                    if self.input.data().starts_with(b"{") {
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    /// Finds the end of the object with which the data begins, and counts the line breaks in it.
    fn find_end(&mut self) -> io::Result<(Found, u64)> {
        let (mut at, mut depth, mut breaks) = (0, 0u32, 0);
        let mut is_string = false;
        // Where the current line begins, and the last character that is no white space.
        let (mut line_start, mut last) = (0, b' ');
        loop {
            let data = self.input.data();
            let Some(&byte) = data.get(at) else {
                if at > MAX_MESSAGE {
                    return Ok((Found::TooLong, breaks));
                }
                if self.fill()? {
                    continue;
                }
                return Ok((Found::Torn(at), breaks));
            };
            if is_string {
                match memchr::memchr3(b'"', b'\\', b'\n', &data[at..]) {
                    None => at = data.len(),
                    Some(offset) => {
                        at += offset;
                        match data[at] {
                            // No string has a line break.
                            b'\n' => return Ok((Found::Torn(at), breaks)),
                            b'"' => (is_string, last) = (false, b'"'),
                            // A line break behind the backslash is found in the next turn.
                            _ if data.get(at + 1).is_some_and(|escaped| *escaped != b'\n') => at += 1,
                            _ => {}
                        }
                        at += 1;
                    }
                }
                continue;
            }
            match byte {
                b'{' if at == line_start && at > 0 && !matches!(last, b':' | b',' | b'[') => {
                    return Ok((Found::Torn(at), breaks));
                }
                b'{' if at == line_start && at > 0 => match self.begins_event(at)? {
                    None => continue,
                    Some(true) => return Ok((Found::Torn(at), breaks)),
                    Some(false) => depth += 1,
                },
                b'{' | b'[' => depth += 1,
                b'}' | b']' => {
                    depth -= 1;
                    if depth == 0 {
                        return Ok((Found::Whole(at + 1), breaks));
                    }
                }
                b'"' => is_string = true,
                b'\n' => {
                    breaks += 1;
                    line_start = at + 1;
                }
                // No value has such a byte: the rest was cut off.
                _ if line_start > 0 && !is_usual(byte) => return Ok((Found::Torn(line_start), breaks)),
                _ => {}
            }
            if !byte.is_ascii_whitespace() {
                last = byte;
            }
            at += 1;
        }
    }

    /// Whether the line that begins at this offset is an event of its own, so that what stands before it was cut off. In
    /// a message without indentation it could be a part of it. `None` if more had to be read to see that: look again.
    fn begins_event(&mut self, at: usize) -> io::Result<Option<bool>> {
        let end = match self.input.line_end_from(at) {
            Some(end) => end,
            None if self.input.data().len() <= MAX_MESSAGE && self.fill()? => return Ok(None),
            None => self.input.data().len(),
        };
        Ok(Some(is_event(&self.input.data()[at..end])))
    }
}

/// Whether the line may have several objects behind each other, as in `{…} {…}`: a brace opens behind one that closes. The
/// same bytes can stand in a string.
fn may_be_several(line: &[u8]) -> bool {
    let is_between = |byte: &u8| byte.is_ascii_whitespace() || *byte == b'\x1e';
    memchr::memchr_iter(b'{', line)
        .any(|at| line[..at].iter().rev().find(|byte| !is_between(byte)).is_some_and(|before| *before == b'}'))
}

/// Whether the byte can stand outside of strings: between values, in a number, or in `true`, `false` or `null`.
fn is_usual(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte.is_ascii_digit() || b",:+-.Eaeflnrstu".contains(&byte)
}

/// Whether the text is an object with the keys that each event has.
pub(super) fn is_event(text: &[u8]) -> bool {
    let mut tape = Tape::default();
    std::str::from_utf8(text).is_ok_and(|text| {
        tape.parse(text).is_ok() && {
            let root = tape.root(text);
            root.get_text("type").is_some() && (root.get("metadata").is_some() || root.get("timestamp").is_some())
        }
    })
}
