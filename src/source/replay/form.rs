//! Recognises the form of a recording by how it begins, and says what it is if it is none of ours.

use std::io;

use super::input::{Input, MARK, READ};
use crate::event::json::Tape;
use crate::report::exit::Fault;

/// What a recording is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// JSON of any layout.
    Json,
    /// YAML documents.
    Yaml,
    /// Nothing is in it but white space.
    Empty,
}

/// If this many lines do not say what it is, it is none of the forms.
const ENOUGH: usize = 100;

impl Form {
    /// Its name.
    pub(super) fn described(self) -> &'static str {
        match self {
            Self::Json => "JSON",
            Self::Yaml => "YAML",
            Self::Empty => "empty",
        }
    }

    /// Reads as much as is needed to recognise the form, and nothing if that has been read.
    ///
    /// # Errors
    /// The file cannot be read, or it is not a recording: a [`Fault`] that says what it is.
    pub(super) fn of(input: &mut Input) -> anyhow::Result<Self> {
        let mut is_all = false;
        loop {
            let head = input.data();
            if let Some(form) = judge(head, is_all || head.len() >= READ) {
                return Ok(form?);
            }
            is_all = !input.fill().map_err(in_words)?;
        }
    }
}

/// The error of a read, with what to do.
fn in_words(error: io::Error) -> anyhow::Error {
    if error.kind() == io::ErrorKind::IsADirectory {
        return Fault::failed("it is a directory, not a recording").hint("name the files in it").into();
    }
    error.into()
}

/// Files that are often mistaken for recordings: how they begin, what they are, and what makes text of them.
const OTHERS: &[(&[u8], &str, &str)] = &[
    (b"\x1f\x8b", "compressed by gzip", "zcat"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd", "zstdcat"),
    (b"\xfd7zXZ\0", "compressed by xz", "xzcat"),
    (b"BZh", "compressed by bzip2", "bzcat"),
    (b"\x04\x22\x4d\x18", "compressed by lz4", "lz4cat"),
    (b"PK\x03\x04", "a zip archive", "unzip -p"),
    (b"\xff\xfe\0\0", "UTF-32", "iconv -f UTF-32 -t UTF-8"),
    (b"\xff\xfe", "UTF-16", "iconv -f UTF-16 -t UTF-8"),
    (b"\xfe\xff", "UTF-16", "iconv -f UTF-16 -t UTF-8"),
];

/// The form of a recording that begins with `head`. `None` if more must be read; never if that is all there is.
fn judge(head: &[u8], is_all: bool) -> Option<Result<Form, Fault>> {
    /// The length of the longest mark in `OTHERS`.
    const LONGEST_MARK: usize = 6;
    if head.len() < LONGEST_MARK && !is_all {
        return None;
    }
    if let Some((_, what, command)) = OTHERS.iter().find(|(mark, ..)| head.starts_with(mark)) {
        return Some(Err(Fault::failed(format!("it is {what}, not JSON or YAML"))
            .hint(format!("`{command} FILE | lxmon --replay -`"))));
    }
    if let Some(what) = binary(head) {
        return Some(Err(what));
    }
    let text = head.strip_prefix(MARK).unwrap_or(head);
    if text.trim_ascii().is_empty() {
        return is_all.then_some(Ok(Form::Empty));
    }
    let lines: Vec<_> = text.split_inclusive(|byte| *byte == b'\n').collect();
    let whole = if is_all || text.ends_with(b"\n") { &lines[..] } else { &lines[..lines.len() - 1] };
    let is_enough = is_all || whole.len() >= ENOUGH;
    let form = json(text, whole).or_else(|| is_yaml(whole).then_some(Form::Yaml));
    match form {
        Some(form) => Some(Ok(form)),
        None if is_enough => Some(Err(other_text(text, whole))),
        None => None,
    }
}

/// JSON that has an event, or may have one: the first lines that are objects decide, if there are any. Lines before
/// them may be the rest of one that was cut off.
fn json(text: &[u8], whole: &[&[u8]]) -> Option<Form> {
    let mut objects = whole.iter().filter_map(|line| has_type(line)).peekable();
    if objects.peek().is_some() {
        return objects.any(|has_type| has_type).then_some(Form::Json);
    }
    // One object in several lines or in one that goes on, or an array of objects.
    let mut visible = text.iter().filter(|byte| !byte.is_ascii_whitespace() && **byte != b'\x1e');
    let mut first = *visible.next()?;
    if first == b'[' {
        first = *visible.next()?;
        if first == b']' {
            return Some(Form::Json);
        }
    }
    let has_type = || text.len() >= READ || memchr::memmem::find(text, b"\"type\"").is_some();
    (first == b'{' && visible.next() == Some(&b'"') && has_type()).then_some(Form::Json)
}

/// Whether a line that is an object has a type, as each event has; `None` if it is no object.
fn has_type(line: &[u8]) -> Option<bool> {
    let line = std::str::from_utf8(line).ok().filter(|line| line.trim_ascii_start().starts_with('{'))?;
    let mut tape = Tape::default();
    tape.parse(line).ok()?;
    Some(tape.root(line).get_text("type").is_some())
}

/// Whether one of the lines has a key of an event, not indented.
fn is_yaml(lines: &[&[u8]]) -> bool {
    let is_key = |line: &&[u8]| {
        let key = line.split(|byte| *byte == b':').next().unwrap_or_default();
        let behind = line.get(key.len() + 1);
        matches!(key, b"type" | b"timestamp" | b"metadata")
            && behind.is_none_or(u8::is_ascii_whitespace)
            && key.len() < line.len()
    };
    lines.iter().any(is_key)
}

/// What it is if it is not text.
fn binary(head: &[u8]) -> Option<Fault> {
    let is_odd = |byte: &u8| *byte < b' ' && !matches!(byte, b'\t' | b'\n' | b'\r' | b'\x1b' | b'\x1e');
    if !head.iter().any(is_odd) {
        return None;
    }
    // Text of ASCII characters in two bytes each.
    let pairs = head.chunks_exact(2).take(100);
    let is_wide = pairs.len() > 1 && (pairs.clone().all(|pair| pair[0] == 0) || pairs.clone().all(|pair| pair[1] == 0));
    Some(if is_wide {
        Fault::failed("it is UTF-16, not JSON or YAML in UTF-8")
            .hint("`iconv -f UTF-16LE -t UTF-8 FILE | lxmon --replay -`")
    } else {
        Fault::failed("it is a binary file, not JSON or YAML").hint(RECORD)
    })
}

/// What makes a file that can be replayed.
const RECORD: &str = "`lxmon --record FILE` or `lxmon -f json > FILE` writes what can be replayed";

/// What is wrong with a text.
fn other_text(text: &[u8], whole: &[&[u8]]) -> Fault {
    if text.contains(&b'\x1b') {
        return Fault::failed("it has escape sequences of a terminal, such as colours")
            .hint("write it with --color never; `lxmon --record FILE` writes what can be replayed");
    }
    if whole.iter().any(|line| has_type(line).is_some()) {
        return Fault::failed("it is JSON, but its objects are no events: they have no \"type\"").hint(RECORD);
    }
    let first = whole.iter().map(|line| String::from_utf8_lossy(line)).find(|line| !line.trim_ascii().is_empty());
    let first: String = first.unwrap_or_default().trim_ascii().chars().take(60).collect();
    Fault::failed(format!("it is neither JSON nor YAML with events; it begins with: {first}")).hint(RECORD)
}
