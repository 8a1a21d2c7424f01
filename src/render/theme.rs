//! The colours, by what they stand for.

use owo_colors::Style;

/// A key of YAML or of a detail.
pub const KEY: Style = Style::new().cyan();
/// A string.
pub const STRING: Style = Style::new().green();
/// A number, `true`, `false` and `null`.
pub const NUMBER: Style = Style::new().magenta();

/// Appends what `write` writes, in `style` when `color` is on.
pub fn paint(out: &mut Vec<u8>, color: bool, style: Style, write: impl FnOnce(&mut Vec<u8>)) {
    use std::io::Write as _;
    if color {
        // Writing to a Vec cannot fail.
        let _ = write!(out, "{}", style.prefix_formatter());
        write(out);
        let _ = write!(out, "{}", style.suffix_formatter());
    } else {
        write(out);
    }
}
