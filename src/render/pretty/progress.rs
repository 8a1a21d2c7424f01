//! How far an operation is: the text that the server writes for its stage, and the numbers beside it.

use std::time::Duration;

use super::columns::GAP;
use super::line::Cell;
use crate::event::Operation;
use crate::event::json::Value;
use crate::system::units::{write_elapsed, write_size};

/// How far an operation is. Any part may be missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress<'a> {
    /// 0 to 100.
    percent: Option<u8>,
    /// How many bytes are done, where the total is not known.
    bytes: Option<u64>,
    /// Bytes per second.
    speed: Option<u64>,
    /// What is being done.
    stage: &'a str,
}

/// The widths of percentage or size and of the speed in rows that stand below each other.
const AMOUNT: usize = 8;
const SPEED: usize = 10;

/// As much of the name of a stage as is of use in a row, with an ellipsis.
const SHORTEST_STAGE: usize = 6;

impl<'a> Progress<'a> {
    /// The progress by the text of the stage that moves, such as `rootfs: 43% (120.00MB/s)` or `c1: 12.30MB (4.00MB/s)`,
    /// and by the numbers in the operation's `progress`. The speed is the one that the server has computed.
    pub(super) fn of(operation: Operation<'_>, stage: Option<&'a str>) -> Self {
        let mut progress = stage.map(Self::parse).unwrap_or_default();
        // The numbers belong to this stage: a stage that has ended has an empty text.
        let numbers = operation.details().and_then(|details| details.get("progress")).filter(|_| stage.is_some());
        if let Some(numbers) = numbers {
            let is_percent = |percent: &u64| *percent <= 100;
            let percent = number(numbers, "percent").filter(is_percent).and_then(|percent| u8::try_from(percent).ok());
            progress.percent = percent.or(progress.percent);
            progress.speed = number(numbers, "speed").filter(|speed| *speed > 0).or(progress.speed);
        }
        progress
    }

    fn parse(text: &'a str) -> Self {
        let speed_at = text.strip_suffix("/s)").and_then(|text| text.rfind(" ("));
        let (text, speed) = match speed_at.and_then(|at| Some((&text[..at], size(&text[at + 2..text.len() - 3])?))) {
            Some((text, speed)) => (text, Some(speed)),
            None => (text, None),
        };
        let (stage, amount) = text.rsplit_once(": ").unwrap_or(("", text));
        let percent = amount.strip_suffix('%').and_then(|digits| digits.parse().ok()).filter(|percent| *percent <= 100);
        let bytes = size(amount).filter(|_| percent.is_none());
        let is_amount = percent.is_some() || bytes.is_some();
        Self { percent, bytes, speed, stage: if is_amount { stage } else { text } }
    }

    /// Appends the progress.
    pub(super) fn push(&self, cell: &mut Cell) {
        if self.push_amount(cell) {
            cell.push(if self.speed.is_some() { "  " } else { "" });
        }
        self.push_speed(cell);
        self.push_stage(cell);
    }

    /// Appends the progress in columns, and for how long the operation has been going on. If these have not room enough,
    /// the speed is left out, then the spaces between them, and then the time.
    pub(super) fn push_row(&self, cell: &mut Cell, elapsed: Duration, room: usize) {
        let mut time = Vec::new();
        write_elapsed(&mut time, elapsed);
        let has_speed = self.speed.is_some() && AMOUNT + SPEED + time.len() <= room;
        if self.push_amount(cell) || has_speed {
            let is_wide = AMOUNT + time.len() <= room;
            pad(cell, if is_wide { AMOUNT } else { cell.text.len() + 1 });
        }
        if has_speed {
            self.push_speed(cell);
            pad(cell, AMOUNT + SPEED);
        }
        if cell.text.is_empty() || cell.text.len() + time.len() <= room {
            cell.text.extend_from_slice(&time);
        } else {
            cell.text.pop();
        }
        // A stage of which next to nothing is seen would cost the end of the time.
        if cell.text.len() + GAP + SHORTEST_STAGE.min(self.stage.len()) <= room {
            self.push_stage(cell);
        }
    }

    fn push_amount(&self, cell: &mut Cell) -> bool {
        match (self.percent, self.bytes) {
            (Some(percent), _) => cell.push(&format!("{percent} %")),
            (None, Some(bytes)) => write_size(&mut cell.text, bytes),
            (None, None) => return false,
        }
        true
    }

    fn push_speed(&self, cell: &mut Cell) -> bool {
        let Some(speed) = self.speed else { return false };
        write_size(&mut cell.text, speed);
        cell.push("/s");
        true
    }

    fn push_stage(&self, cell: &mut Cell) {
        if !self.stage.is_empty() {
            cell.separate("  ");
            cell.push(self.stage);
        }
    }
}

fn pad(cell: &mut Cell, width: usize) {
    let padded = cell.text.len().max(width);
    cell.text.resize(padded, b' ');
}

/// A number that both servers write as a string.
fn number(numbers: Value<'_>, name: &str) -> Option<u64> {
    let number = numbers.get(name)?;
    number.as_text().map_or(number.raw(), |text| text.raw).parse().ok()
}

/// A size as both servers write it (`GetByteSizeString` in their `shared/units`): `12.30MB`.
fn size(text: &str) -> Option<u64> {
    const UNITS: [(&str, f64); 6] = [("kB", 1e3), ("MB", 1e6), ("GB", 1e9), ("TB", 1e12), ("PB", 1e15), ("EB", 1e18)];
    let unit = UNITS.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit)));
    let (digits, unit) = unit.or_else(|| Some((text.strip_suffix('B')?, 1.0)))?;
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let bytes = digits.parse::<f64>().ok().filter(|_| is_number)? * unit;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the number is not negative, and one that is too large becomes the largest"
    )]
    Some(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::event;

    #[test]
    fn the_texts_of_both_servers_are_shown_as_numbers_and_words() {
        for (text, shown) in [
            ("rootfs: 43% (120.00MB/s)", "43 %  120 MB/s  rootfs"),
            ("Unpacking image: 100% (1.50GB/s)", "100 %  1.5 GB/s  Unpacking image"),
            ("c1: 12.30MB (4.00MB/s)", "12 MB  4.0 MB/s  c1"),
            ("Converting image format from qcow2 to raw: 4%", "4 %  Converting image format from qcow2 to raw"),
            ("Remapping container filesystem", "Remapping container filesystem"),
            (r#"Migrating "c1" in project "web" to "m2""#, r#"Migrating "c1" in project "web" to "m2""#),
            (
                "Live migration: 1.2GB remaining (3.00MB/s) (30% CPU throttle)",
                "Live migration: 1.2GB remaining (3.00MB/s) (30% CPU throttle)",
            ),
            ("43%", "43 %"),
            ("a: 143%", "a: 143%"),
            ("a: 5 B (x/s)", "a: 5 B (x/s)"),
        ] {
            let mut cell = Cell::default();
            Progress::parse(text).push(&mut cell);
            assert_eq!(String::from_utf8(cell.text).unwrap(), shown);
        }
    }

    #[test]
    fn a_row_has_its_numbers_in_columns() {
        let event =
            event(r#"{"type":"operation","metadata":{"metadata":{"progress":{"percent":"36","speed":"34000000"}}}}"#);
        let operation = event.operation().unwrap();
        for (stage, speed, room, shown) in [
            (Some("rootfs: 36%"), None, 80, "36 %    34 MB/s   0:12  rootfs"),
            (Some("rootfs: 36%"), Some(119_000_000), 30, "36 %    119 MB/s  0:12  rootfs"),
            (Some("rootfs: 36%"), Some(119_000_000), 29, "36 %    119 MB/s  0:12"),
            (Some("c1: 123.4MB"), Some(1_000), 26, "36 %    1.0 kB/s  0:12  c1"),
            (Some("rootfs: 36%"), None, 21, "36 %    0:12  rootfs"),
            (Some("rootfs: 36%"), None, 11, "36 % 0:12"),
            (Some("rootfs: 36%"), None, 8, "36 %"),
            (Some("rootfs: 36%"), None, 0, "36 %"),
            (None, None, 80, "0:12"),
            (None, Some(2_500_000), 80, "        2.5 MB/s  0:12"),
            (None, Some(2_500_000), 21, "0:12"),
        ] {
            let mut cell = Cell::default();
            let mut progress = Progress::of(operation, stage);
            progress.speed = speed.or(progress.speed);
            progress.push_row(&mut cell, Duration::from_secs(12), room);
            assert_eq!(String::from_utf8(cell.text).unwrap(), shown);
        }
    }
}
