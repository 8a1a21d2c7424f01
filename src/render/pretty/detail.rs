//! Short forms of times, durations, sizes and values.

use std::io::Write as _;
use std::time::Duration;

use chrono::{Datelike as _, NaiveDateTime, Timelike as _};

use super::super::simd;
use super::line::Cell;
use super::text::Ellipsis;
use crate::event::json::{Content, Text, Value};

/// Appends a duration such as `850 ms`, `7.2 s`, `12 min 7 s` or `3 h 5 min`. It is rounded before the unit is chosen,
/// because rounding can lead to the next unit (`59.95 s` is `1 min 0 s`).
pub(super) fn write_duration(text: &mut Vec<u8>, duration: Duration) {
    let rounded = |unit: u128| (duration.as_nanos() + unit / 2) / unit;
    let (milliseconds, tenths, seconds) = (rounded(1_000_000), rounded(100_000_000), rounded(1_000_000_000));
    let minutes = rounded(60_000_000_000);
    // Writing to a Vec cannot fail.
    let _ = match (milliseconds, tenths, seconds) {
        (..1000, _, _) => write!(text, "{milliseconds} ms"),
        (_, ..600, _) => write!(text, "{}.{} s", tenths / 10, tenths % 10),
        (_, _, ..3600) => write!(text, "{} min {} s", seconds / 60, seconds % 60),
        _ => write!(text, "{} h {} min", minutes / 60, minutes % 60),
    };
}

/// Appends for how long something has been going on: `0:12`, `1:02:07`.
pub(super) fn write_elapsed(text: &mut Vec<u8>, elapsed: Duration) {
    let seconds = elapsed.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    // Writing to a Vec cannot fail.
    let _ = match hours {
        0 => write!(text, "{minutes}:{seconds:02}"),
        _ => write!(text, "{hours}:{minutes:02}:{seconds:02}"),
    };
}

/// Appends a number of bytes such as `850 B`, `3.4 MB` or `34 MB`, in powers of 1000 as both servers write them. It is
/// rounded before the unit is chosen.
pub(super) fn write_size(text: &mut Vec<u8>, bytes: u64) {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let (bytes, mut unit, mut place) = (u128::from(bytes), 1u128, 0);
    let tenths = |unit: u128| (bytes * 10 + unit / 2) / unit;
    let whole = |unit: u128| (bytes + unit / 2) / unit;
    while whole(unit) >= 1000 && place + 1 < UNITS.len() {
        unit *= 1000;
        place += 1;
    }
    let name = UNITS[place];
    // Writing to a Vec cannot fail.
    let _ = if place > 0 && tenths(unit) < 100 {
        write!(text, "{}.{} {name}", tenths(unit) / 10, tenths(unit) % 10)
    } else {
        write!(text, "{} {name}", whole(unit))
    };
}

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

    fn text_of(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut text = Vec::new();
        write(&mut text);
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn durations_are_rounded_before_their_unit_is_chosen() {
        for (microseconds, shown) in [
            (0, "0 ms"),
            (499, "0 ms"),
            (500, "1 ms"),
            (999_499, "999 ms"),
            (999_500, "1.0 s"),
            (1_000_000, "1.0 s"),
            (1_049_999, "1.0 s"),
            (1_050_000, "1.1 s"),
            (59_949_999, "59.9 s"),
            (59_950_000, "1 min 0 s"),
            (60_000_000, "1 min 0 s"),
            (60_499_999, "1 min 0 s"),
            (119_499_999, "1 min 59 s"),
            (119_500_000, "2 min 0 s"),
            (119_999_999, "2 min 0 s"),
            (3_599_499_999, "59 min 59 s"),
            (3_599_600_000, "1 h 0 min"),
            (7_169_999_999, "1 h 59 min"),
            (7_170_000_000, "2 h 0 min"),
            (90_000_000_000, "25 h 0 min"),
        ] {
            let text = text_of(|text| write_duration(text, Duration::from_micros(microseconds)));
            assert_eq!(text, shown, "{microseconds} µs");
        }
        write_duration(&mut Vec::new(), Duration::MAX);
    }

    #[test]
    fn sizes_are_rounded_before_their_unit_is_chosen() {
        for (bytes, shown) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (9_949, "9.9 kB"),
            (9_950, "10 kB"),
            (999_499, "999 kB"),
            (999_500, "1.0 MB"),
            (34_820_636, "35 MB"),
            (120_000_000, "120 MB"),
            (u64::MAX, "18 EB"),
        ] {
            assert_eq!(text_of(|text| write_size(text, bytes)), shown, "{bytes}");
        }
    }

    #[test]
    fn elapsed_times_have_the_form_of_a_clock() {
        for (seconds, shown) in [(0, "0:00"), (12, "0:12"), (754, "12:34"), (3_727, "1:02:07")] {
            assert_eq!(text_of(|text| write_elapsed(text, Duration::from_secs(seconds))), shown);
        }
    }

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
