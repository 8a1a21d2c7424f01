//! Sizes and elapsed times for people.

use std::io::Write as _;
use std::time::Duration;

/// Appends for how long something has been going on: `0:12`, `1:02:07`.
pub(crate) fn write_elapsed(text: &mut Vec<u8>, elapsed: Duration) {
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
pub(crate) fn write_size(text: &mut Vec<u8>, bytes: u64) {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut text = Vec::new();
        write(&mut text);
        String::from_utf8(text).unwrap()
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
}
