//! The colours, by what they stand for.

use std::io::Write as _;

use owo_colors::Style;

/// A key of YAML, or a column that tells where an event comes from.
pub const KEY: Style = Style::new().cyan();
/// A string.
pub const STRING: Style = Style::new().green();
/// A number, `true`, `false` and `null`.
pub const NUMBER: Style = Style::new().magenta();
/// Something began or went well.
pub const GOOD: Style = Style::new().green();
/// Something ended for good or went wrong.
pub const BAD: Style = Style::new().red();
/// Something rests, or wants attention.
pub const WARN: Style = Style::new().yellow();
/// Something is another than it was.
pub const CHANGE: Style = Style::new().blue();
/// What an event happened to.
pub const OBJECT: Style = Style::new().bold();
/// What is seldom looked at.
pub const DIM: Style = Style::new().dimmed();
/// As the terminal has it.
pub const PLAIN: Style = Style::new();

/// Appends what `write` writes, in `style` when `color` is on.
pub fn paint(out: &mut Vec<u8>, color: bool, style: Style, write: impl FnOnce(&mut Vec<u8>)) {
    if color {
        // Writing to a Vec cannot fail.
        let _ = write!(out, "{}", style.prefix_formatter());
        write(out);
        let _ = write!(out, "{}", style.suffix_formatter());
    } else {
        write(out);
    }
}
