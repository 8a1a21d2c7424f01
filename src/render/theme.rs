//! The colours, by their meaning.

use std::io::Write as _;

use owo_colors::Style;

/// A YAML key, or a column with the origin of an event.
pub const KEY: Style = Style::new().cyan();
/// A string.
pub const STRING: Style = Style::new().green();
/// A number, `true`, `false` and `null`.
pub const NUMBER: Style = Style::new().magenta();
/// A beginning or a success.
pub const GOOD: Style = Style::new().green();
/// A deletion or a failure.
pub const BAD: Style = Style::new().red();
/// A stop or pause, or a warning.
pub const WARN: Style = Style::new().yellow();
/// A change, and the name of a project.
pub const CHANGE: Style = Style::new().blue();
/// The entity that an event concerns.
pub const OBJECT: Style = Style::new().bold();
/// Details of little interest.
pub const DIM: Style = Style::new().dimmed();
/// The terminal's default style.
pub const PLAIN: Style = Style::new();

/// Appends the output of `write`, in `style` if `color` is true.
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
