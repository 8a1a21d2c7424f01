//! Short forms of times and values.

use chrono::{Datelike as _, NaiveDateTime, Timelike as _};

use super::super::simd;
use super::line::Cell;
use super::text::Ellipsis;
use crate::event::json::{Content, Escapes, Text, Value};

/// Appends a time such as `14:03:07.412`. Written by hand because chrono would parse the format string for every event.
pub(super) fn clock(text: &mut Vec<u8>, time: NaiveDateTime, is_brief: bool) {
    digits(text, time.hour(), 2);
    text.push(b':');
    digits(text, time.minute(), 2);
    text.push(b':');
    digits(text, time.second(), 2);
    if !is_brief {
        text.push(b'.');
        digits(text, time.nanosecond() / 1_000_000 % 1000, 3);
    }
}

/// Appends a date and time such as `2026-11-23T14:03:07.412`.
pub(super) fn date_and_clock(text: &mut Vec<u8>, time: NaiveDateTime, is_brief: bool) {
    digits(text, u32::try_from(time.year()).unwrap_or(0), 4);
    text.push(b'-');
    digits(text, time.month(), 2);
    text.push(b'-');
    digits(text, time.day(), 2);
    text.push(b'T');
    clock(text, time, is_brief);
}

pub(super) fn digits(text: &mut Vec<u8>, value: u32, count: u32) {
    text.extend((0..count).rev().map(|place| b'0' + u8::try_from(value / 10u32.pow(place) % 10).unwrap_or(0)));
}

/// Whether the JSON form of a text, with its quotes and escapes, equals Rust's `{:?}` of it.
fn is_own_debug(text: Text<'_>) -> bool {
    if !simd::is_usual(text.raw.as_bytes()) {
        return false;
    }
    let mut bytes = text.raw.bytes();
    // Printable ASCII without escapes is the same in both forms.
    !text.is_escaped()
        || loop {
            match bytes.find(|byte| *byte == b'\\').and_then(|_| bytes.next()) {
                Some(b'"' | b'\\' | b'n' | b'r' | b't') => {}
                Some(_) => break false,
                None => break true,
            }
        }
}

impl Cell {
    /// Appends a value in a short form: strings without quotes where they are unambiguous, arrays as their items
    /// separated by spaces.
    pub(super) fn push_value(&mut self, value: Value<'_>, ellipsis: Ellipsis) {
        match value.content() {
            Content::String(text) if text.raw.contains([' ', '"', '=']) && is_own_debug(text) => {
                self.text.extend_from_slice(value.raw().as_bytes());
            }
            Content::String(text) => {
                let text = text.cow();
                if text.is_empty() || text.contains([' ', '"', '=']) {
                    self.push(&format!("{text:?}"));
                } else {
                    self.push_name(&text, ellipsis);
                }
            }
            Content::Array(items) => {
                for (at, item) in items.enumerate() {
                    if at > 0 {
                        self.push(" ");
                    }
                    self.push_value(item, ellipsis);
                }
            }
            _ => self.push(value.raw()),
        }
    }

    /// Appends `key=value`.
    pub(super) fn push_pair(&mut self, key: Text<'_>, value: Value<'_>, ellipsis: Ellipsis) {
        self.separate(" ");
        self.push_text(Some(key));
        self.push("=");
        self.push_value(value, ellipsis);
    }

    /// Appends a text in which each run of white space that has a line break is one space, as in the servers' dumps of
    /// JSON.
    pub(super) fn push_in_one_line(&mut self, text: Text<'_>) {
        if !text.is_escaped() {
            return self.push_text(Some(text));
        }
        if text.escapes <= Escapes::Control && simd::is_usual(text.raw.as_bytes()) {
            return push_escaped_in_one_line(&mut self.text, text.raw);
        }
        let text = text.cow();
        let white = [' ', '\t', '\r', '\n'];
        let mut rest = &*text;
        while let Some(line_break) = rest.find('\n') {
            self.push(rest[..line_break].trim_end_matches(white));
            rest = rest[line_break..].trim_start_matches(white);
            if !rest.is_empty() && self.text.last().is_some_and(|last| *last != b' ') {
                self.push(" ");
            }
        }
        self.push(rest);
    }
}

/// Appends what [`sanitize::push_escaped`](super::super::sanitize) would for `raw`, with one space for each run of white
/// space that has a line break.
fn push_escaped_in_one_line(out: &mut Vec<u8>, raw: &str) {
    let bytes = raw.as_bytes();
    // What is before `clean` has been appended; `white` is where white space begins that may be dropped.
    let (mut clean, mut at, mut white) = (0, 0, None);
    while let Some(byte) = bytes.get(at) {
        let escape = bytes.get(at + 1).filter(|_| *byte == b'\\');
        let control: &[u8] = match (byte, escape) {
            (b' ', _) => {
                white.get_or_insert(at);
                at += 1;
                continue;
            }
            (_, Some(b'r' | b't')) => {
                white.get_or_insert(at);
                at += 2;
                continue;
            }
            (_, None) => {
                white = None;
                at += 1;
                continue;
            }
            (_, Some(b'n')) => {
                out.extend_from_slice(&bytes[clean..white.take().unwrap_or(at)]);
                at += 2;
                while let Some(length) = white_space(&bytes[at..]) {
                    at += length;
                }
                clean = at;
                if at < bytes.len() && out.last().is_some_and(|last| *last != b' ') {
                    out.push(b' ');
                }
                continue;
            }
            (_, Some(b'b')) => b"\\x08",
            (_, Some(b'f')) => b"\\x0c",
            // The escaped character stands for itself.
            (_, Some(_)) => b"",
        };
        out.extend_from_slice(&bytes[clean..at]);
        out.extend_from_slice(control);
        clean = if control.is_empty() { at + 1 } else { at + 2 };
        white = None;
        at += 2;
    }
    out.extend_from_slice(&bytes[clean..]);
}

/// The length of the white space at the beginning of a JSON string, if there is one.
fn white_space(raw: &[u8]) -> Option<usize> {
    match raw {
        [b' ', ..] => Some(1),
        [b'\\', b'n' | b'r' | b't', ..] => Some(2),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dumps_of_json_stand_in_one_line() {
        for (json, shown) in [
            (r#""WriteJSON\n\t{\n\t\t\"type\": \"sync\"\n\t}""#, r#"WriteJSON { "type": "sync" }"#),
            (r#""one\ntwo \r\n three\n""#, "one two three"),
            (r#""\n\tone\ttwo""#, r"one\ttwo"),
            (r#""C:\\new\\n""#, r"C:\new\n"),
            (r#""a\\\nb""#, r"a\ b"),
            (r#""a\b \n\f\nb\u0001""#, r"a\x08 \x0c b\x01"),
            (r#""a\b \n\f\nb""#, r"a\x08 \x0c b"),
            (r#""\ta \t""#, r"\ta \t"),
            (r#""\ta\u0001 \t""#, r"\ta\x01 \t"),
            (r#""\n\ta\u0001 \n \n\tb \r\n""#, r"a\x01 b"),
        ] {
            let event = crate::event::event(&format!(r#"{{"type":"x","metadata":{json}}}"#));
            let mut cell = Cell::default();
            cell.push_in_one_line(event.metadata().unwrap().as_text().unwrap());
            assert_eq!(String::from_utf8(cell.text).unwrap(), shown, "{json}");
        }
    }
}
