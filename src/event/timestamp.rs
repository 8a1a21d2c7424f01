//! Timestamps in nanoseconds since 1970, by which events are sorted.
//!
//! The form that Go writes is parsed by hand, because every event has such a timestamp and chrono's general parser is
//! slower: all of decoding, this included, takes 278 ns per event (`benches/README.md`). All other forms are parsed by
//! chrono, which is also the reference in the tests.

use std::time::Duration;

use chrono::DateTime;

/// Nanoseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Parses `text`. `None` if it is not RFC 3339, or not within the years 1677 to 2262.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        usual(text.as_bytes()).or_else(|| DateTime::parse_from_rfc3339(text).ok()?.timestamp_nanos_opt()).map(Self)
    }

    /// The time that is later by `duration`, or the latest possible one.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)))
    }
}

/// Parses the form that Go writes (`time.RFC3339Nano`), for years in which nothing overflows. `None` for everything
/// else, which chrono then parses.
fn usual(text: &[u8]) -> Option<i64> {
    let (&[y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1, b'T', h0, h1, b':', i0, i1, b':', s0, s1], rest) =
        text.split_first_chunk::<19>()?
    else {
        return None;
    };
    if !are_digits([y0, y1, y2, y3, m0, m1, d0, d1, h0, h1, i0, i1, s0, s1]) {
        return None;
    }
    let year = pair(y0, y1) * 100 + pair(y2, y3);
    let (month, day) = (pair(m0, m1), pair(d0, d1));
    let (hour, minute, second) = (pair(h0, h1), pair(i0, i1), pair(s0, s1));
    let in_range = (1970..2200).contains(&year)
        && (1..=12).contains(&month)
        && ((1..=28).contains(&day) || (29..=days_in(year, month)).contains(&day))
        && hour < 24
        && minute < 60
        && second < 60;
    if !in_range {
        return None;
    }
    let (nanos, zone) = match rest {
        [b'.', rest @ ..] => fraction(rest)?,
        _ => (0, rest),
    };
    let offset = match *zone {
        [b'Z'] => 0,
        [sign @ (b'+' | b'-'), h0, h1, b':', m0, m1] => {
            let (hours, minutes) = (pair(h0, h1), pair(m0, m1));
            if !are_digits([h0, h1, m0, m1]) || hours >= 24 || minutes >= 60 {
                return None;
            }
            let seconds = (hours * 60 + minutes) * 60;
            if sign == b'+' { seconds } else { -seconds }
        }
        _ => return None,
    };
    let seconds = ((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second - offset;
    Some(seconds * 1_000_000_000 + nanos)
}

/// Whether all bytes are ASCII digits. All are looked at, as one branch is cheaper than one for each.
fn are_digits<const N: usize>(bytes: [u8; N]) -> bool {
    bytes.iter().fold(true, |all, byte| all & byte.is_ascii_digit())
}

/// The value of two ASCII digits.
fn pair(tens: u8, ones: u8) -> i64 {
    i64::from(tens) * 10 + i64::from(ones) - i64::from(b'0') * 11
}

/// Parses one to nine digits of a decimal fraction. Returns the nanoseconds and the rest of the text.
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    // Go writes nine digits unless the last ones are zeros. A loop of constant length has no branch to predict.
    if let Some((digits, rest)) = text.split_first_chunk::<9>()
        && are_digits(*digits)
    {
        return rest.first().is_none_or(|byte| !byte.is_ascii_digit()).then(|| (number(digits), rest));
    }
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 {
        return None;
    }
    let (digits, rest) = text.split_at(digits);
    Some(((digits.len()..9).fold(number(digits), |value, _| value * 10), rest))
}

/// The value of ASCII digits.
fn number(digits: &[u8]) -> i64 {
    digits.iter().fold(0, |value, digit| value * 10 + i64::from(digit - b'0'))
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to this date. Years are counted from March, so that a leap day is the last day of its year
/// (Howard Hinnant's `days_from_civil`).
fn days(year: i64, month: i64, day: i64) -> i64 {
    /// Days from 0000-03-01 to 1970-01-01.
    const BEFORE: i64 = 719_468;
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1 - BEFORE
}

#[cfg(test)]
mod tests {
    use chrono::{SecondsFormat, Utc};
    use proptest::prelude::*;

    use super::*;

    fn chronos(text: &str) -> Option<i64> {
        DateTime::parse_from_rfc3339(text).ok()?.timestamp_nanos_opt()
    }

    #[test]
    fn what_is_not_usual_is_judged_too() {
        for text in
            ["2026-01-02t03:04:05z", "1969-12-31T23:59:59.5Z", "2016-12-31T23:59:60Z", "2026-01-02 03:04:05+01:00"]
        {
            assert_eq!(Timestamp::parse(text).map(|Timestamp(nanos)| nanos), chronos(text), "{text}");
            assert!(usual(text.as_bytes()).is_none() && chronos(text).is_some(), "{text}");
        }
        for text in
            ["", "now", "2026-02-29T00:00:00Z", "2026-01-02T03:04:05", "2026-01-02T24:00:00Z", "2026-13-01T00:00:00Z"]
        {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_chrono(seconds in -9_000_000_000i64..9_000_000_000, nanos in 0u32..1_000_000_000, minutes in -1439i32..1439) {
            let zone = chrono::FixedOffset::east_opt(minutes * 60).unwrap();
            let time = DateTime::<Utc>::from_timestamp(seconds, nanos).unwrap().with_timezone(&zone);
            for format in [SecondsFormat::Secs, SecondsFormat::Millis, SecondsFormat::AutoSi, SecondsFormat::Nanos] {
                let text = time.to_rfc3339_opts(format, true);
                prop_assert_eq!(Timestamp::parse(&text).map(|Timestamp(nanos)| nanos), chronos(&text), "{}", text);
            }
        }

        #[test]
        fn agrees_with_chrono_on_nonsense(text in "(19|20|21)[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{0,12})?(Z|[-+][0-2][0-9]:?[0-6][0-9])?") {
            if let Some(nanos) = usual(text.as_bytes()) {
                prop_assert_eq!(Some(nanos), chronos(&text), "{}", text);
            }
        }
    }
}
