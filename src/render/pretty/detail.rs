//! Short forms of times and values.

use chrono::{Datelike as _, NaiveDateTime, Timelike as _};

use super::super::simd;
use super::line::Cell;
use super::text::Ellipsis;
use crate::event::json::{Content, Text, Value};

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
        if !text.is_escaped() || !text.raw.contains("\\n") {
            return self.push_text(Some(text));
        }
        let (mut rest, mut from) = (text.raw, 0);
        while let Some(at) = rest[from..].find("\\n").map(|at| from + at) {
            if !is_escape(rest, at) {
                from = at + 2;
                continue;
            }
            self.push_text(Some(Text { raw: trim_end(&rest[..at]), ..text }));
            rest = &rest[at + 2..];
            from = 0;
            while let Some(more) =
                [" ", "\\n", "\\t", "\\r"].iter().find_map(|white_space| rest.strip_prefix(white_space))
            {
                rest = more;
            }
            self.separate(if rest.is_empty() { "" } else { " " });
        }
        self.push_text(Some(Text { raw: rest, ..text }));
    }
}

/// A part of a JSON string without the white space at its end.
fn trim_end(mut raw: &str) -> &str {
    loop {
        let shorter = [" ", "\\t", "\\r"].iter().find_map(|white_space| raw.strip_suffix(white_space));
        match shorter.filter(|shorter| raw.ends_with(' ') || is_escape(raw, shorter.len())) {
            Some(shorter) => raw = shorter,
            None => return raw,
        }
    }
}

/// Whether the backslash at `at` of a JSON string begins an escape, and is not the end of one.
fn is_escape(raw: &str, at: usize) -> bool {
    raw.as_bytes()[..at].iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 0
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
        ] {
            let event = crate::event::event(&format!(r#"{{"type":"x","metadata":{json}}}"#));
            let mut cell = Cell::default();
            cell.push_in_one_line(event.metadata().unwrap().as_text().unwrap());
            assert_eq!(String::from_utf8(cell.text).unwrap(), shown, "{json}");
        }
    }
}
