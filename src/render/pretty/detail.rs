//! Short forms of times, durations, names and values.

use std::io::Write as _;
use std::time::Duration;

use chrono::{Datelike as _, NaiveDateTime, Timelike as _};

use super::super::simd;
use super::columns::Cell;
use crate::event::json::{Content, Text, Value};

/// The length of a shortened fingerprint, as in `lxc image list`.
pub(super) const FINGERPRINT: usize = 12;

/// Appends a duration such as `850 ms`, `7.2 s` or `12 min 7 s`. It is rounded before the unit is chosen, because
/// rounding can lead to the next unit (`59.95 s` is `1 min 0 s`).
pub(super) fn write_duration(text: &mut Vec<u8>, duration: Duration) {
    let rounded = |unit: u128| (duration.as_nanos() + unit / 2) / unit;
    let (milliseconds, tenths, seconds) = (rounded(1_000_000), rounded(100_000_000), rounded(1_000_000_000));
    // Writing to a Vec cannot fail.
    let _ = match (milliseconds, tenths) {
        (..1000, _) => write!(text, "{milliseconds} ms"),
        (_, ..600) => write!(text, "{}.{} s", tenths / 10, tenths % 10),
        _ => write!(text, "{} min {} s", seconds / 60, seconds % 60),
    };
}

/// Appends a time such as `14:03:07.412`. Written by hand because chrono would parse the format string for every event.
pub(super) fn clock(text: &mut Vec<u8>, time: NaiveDateTime) {
    digits(text, time.hour(), 2);
    text.push(b':');
    digits(text, time.minute(), 2);
    text.push(b':');
    digits(text, time.second(), 2);
    text.push(b'.');
    digits(text, time.nanosecond() / 1_000_000 % 1000, 3);
}

/// Appends a date and time such as `2026-11-23T14:03:07.412`.
pub(super) fn date_and_clock(text: &mut Vec<u8>, time: NaiveDateTime) {
    digits(text, u32::try_from(time.year()).unwrap_or(0), 4);
    text.push(b'-');
    digits(text, time.month(), 2);
    text.push(b'-');
    digits(text, time.day(), 2);
    text.push(b'T');
    clock(text, time);
}

pub(super) fn digits(text: &mut Vec<u8>, value: u32, count: u32) {
    text.extend((0..count).rev().map(|place| b'0' + u8::try_from(value / 10u32.pow(place) % 10).unwrap_or(0)));
}

/// Whether the JSON form of a text, with its quotes and escapes, equals Rust's `{:?}` of it.
pub(super) fn is_own_debug(text: Text<'_>) -> bool {
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

/// Returns `name`; if `tight` is set and it is a fingerprint, only its first characters.
pub(super) fn shortened(name: &str, tight: bool) -> &str {
    let is_fingerprint = name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    if tight && is_fingerprint { &name[..FINGERPRINT] } else { name }
}

impl Cell {
    /// Appends a value in a short form: strings without quotes where they are unambiguous, arrays as their items
    /// separated by spaces.
    pub(super) fn push_value(&mut self, value: Value<'_>) {
        match value.content() {
            Content::String(text) if text.raw.contains([' ', '"', '=']) && is_own_debug(text) => {
                self.text.extend_from_slice(value.raw().as_bytes());
            }
            Content::String(text) => {
                let text = text.cow();
                if text.is_empty() || text.contains([' ', '"', '=']) {
                    self.push(&format!("{text:?}"));
                } else {
                    self.push(&text);
                }
            }
            Content::Array(items) => {
                for (at, item) in items.enumerate() {
                    if at > 0 {
                        self.push(" ");
                    }
                    self.push_value(item);
                }
            }
            _ => self.push(value.raw()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            (3_599_600_000, "60 min 0 s"),
        ] {
            let mut text = Vec::new();
            write_duration(&mut text, Duration::from_micros(microseconds));
            assert_eq!(String::from_utf8(text).unwrap(), shown, "{microseconds} µs");
        }
        write_duration(&mut Vec::new(), Duration::MAX);
    }
}
