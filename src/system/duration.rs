//! Durations as text for people: `3.2 ms`, `850 ms`, `7.2 s`, `12 min 7 s`, `3 h 2 min`, `5 d 1 h`.

use std::fmt;
use std::time::Duration;

const MILLISECOND: u128 = 1_000_000;
const SECOND: u128 = 1000 * MILLISECOND;
const MINUTE: u128 = 60 * SECOND;
const HOUR: u128 = 60 * MINUTE;
const DAY: u128 = 24 * HOUR;

/// A duration as text: in one or two units, rounded to the smaller one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown(Duration);

/// The text of a duration. It is rounded before its units are chosen, because rounding can lead to the next unit:
/// 59.95 s is `1 min 0 s`. Where the smaller unit is zero without any rounding, it is left out: a limit of 10 s is
/// `10 s`.
#[must_use]
pub(crate) fn shown(duration: Duration) -> Shown {
    Shown(duration)
}

/// The text of a duration, rounded to seconds.
#[must_use]
pub(crate) fn in_seconds(duration: Duration) -> Shown {
    let half_up = duration.saturating_add(Duration::from_millis(500));
    Shown(Duration::from_secs(half_up.as_secs()))
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanoseconds = self.0.as_nanos();
        let rounded = |unit: u128| (nanoseconds + unit / 2) / unit;
        let is_whole = |unit: u128| nanoseconds.is_multiple_of(unit);
        let decimal = |f: &mut fmt::Formatter<'_>, unit: u128, name: &str| {
            let tenths = rounded(unit / 10);
            if is_whole(unit) {
                write!(f, "{} {name}", tenths / 10)
            } else {
                write!(f, "{}.{} {name}", tenths / 10, tenths % 10)
            }
        };
        let pair = |f: &mut fmt::Formatter<'_>, (unit, name), (smaller, its_name): (u128, &str)| {
            let (all, per_unit) = (rounded(smaller), unit / smaller);
            if is_whole(unit) {
                write!(f, "{} {name}", all / per_unit)
            } else {
                write!(f, "{} {name} {} {its_name}", all / per_unit, all % per_unit)
            }
        };
        let (seconds, minutes, hours) = ((SECOND, "s"), (MINUTE, "min"), (HOUR, "h"));
        if rounded(MILLISECOND / 10) < 100 {
            decimal(f, MILLISECOND, "ms")
        } else if rounded(MILLISECOND) < 1000 {
            write!(f, "{} ms", rounded(MILLISECOND))
        } else if rounded(SECOND / 10) < 600 {
            decimal(f, SECOND, "s")
        } else if rounded(SECOND) < 3600 {
            pair(f, minutes, seconds)
        } else if rounded(MINUTE) < 24 * 60 {
            pair(f, hours, minutes)
        } else {
            pair(f, (DAY, "d"), hours)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_rounded_before_their_units_are_chosen() {
        for (microseconds, text) in [
            (0, "0 ms"),
            (40, "0.0 ms"),
            (449, "0.4 ms"),
            (9_949, "9.9 ms"),
            (9_950, "10 ms"),
            (5_000, "5 ms"),
            (999_499, "999 ms"),
            (999_500, "1.0 s"),
            (1_000_000, "1 s"),
            (1_049_999, "1.0 s"),
            (1_050_000, "1.1 s"),
            (10_000_000, "10 s"),
            (59_949_999, "59.9 s"),
            (59_950_000, "1 min 0 s"),
            (60_000_000, "1 min"),
            (119_499_999, "1 min 59 s"),
            (119_500_000, "2 min 0 s"),
            (3_599_499_999, "59 min 59 s"),
            (3_599_500_000, "1 h 0 min"),
            (3_600_000_000, "1 h"),
            (86_369_999_999, "23 h 59 min"),
            (86_370_000_000, "1 d 0 h"),
            (86_400_000_000, "1 d"),
            (100 * 86_400_000_000 + 7_300_000_000, "100 d 2 h"),
        ] {
            assert_eq!(shown(Duration::from_micros(microseconds)).to_string(), text, "{microseconds} µs");
        }
        assert_eq!(in_seconds(Duration::from_millis(9_499)).to_string(), "9 s");
        assert_eq!(in_seconds(Duration::from_millis(9_500)).to_string(), "10 s");
        let _ = (shown(Duration::MAX).to_string(), in_seconds(Duration::MAX).to_string());
    }

    proptest! {
        #[test]
        fn no_unit_is_full_and_the_text_is_right(exponent in 0u32..57, bits: u64) {
            let duration = Duration::from_nanos(bits >> (63 - exponent));
            let text = shown(duration).to_string();
            let words: Vec<_> = text.split(' ').collect();
            let (mut read, mut smallest) = (0.0, 0.0);
            for pair in words.chunks(2) {
                let number: f64 = pair[0].parse().unwrap();
                let (unit, full) = match pair[1] {
                    "ms" => (1e-3, 1e3),
                    "s" => (1.0, 60.0),
                    "min" => (60.0, 60.0),
                    "h" => (3600.0, 24.0),
                    "d" => (86_400.0, f64::INFINITY),
                    other => panic!("{other}"),
                };
                prop_assert!(number < full, "{}", text);
                read += number * unit;
                smallest = if pair[0].contains('.') { unit / 10.0 } else { unit };
            }
            prop_assert!((read - duration.as_secs_f64()).abs() <= smallest * 0.501, "{}: {:?}", text, duration);
        }
    }
}
