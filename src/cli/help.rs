//! The parts of the help that are no options: the flags that ask for it, the event types, and the forms of values.

use std::fmt::Write as _;

use clap::builder::{StyledStr, Styles};
use clap::{Arg, ArgAction};

use crate::event::{Level, Type};

/// The end of the short help.
pub(super) const AFTER_SHORT: &str = "All options: lxmon --help. Every detail: lxmon --man | man -l -";

/// The names of values in the help of options, and what can be written there.
pub(super) const VALUES: [(&str, &str); 5] = [
    (
        "TYPE, GLOB, NAME",
        "Several values, separated by commas or in several options, are alternatives; different options must all hold. \
         A value that starts with '!' excludes.",
    ),
    (
        "GLOB, NAME",
        "A pattern for a whole name: * is any text, ? is one character, [a-c] is one of these and [!a-c] another one, \
         {web,db} is either text. A backslash takes the meaning from the character behind it.",
    ),
    ("DURATION", "500ms, 10s, 2m30s, 1.5h, 1d, or 5, which is in seconds."),
    ("SIZE", "64MiB, 512KiB, 1GiB, 64MB (of 1,000,000 bytes), or a number of bytes; at least 64KiB."),
    (
        "TIME",
        "14:00 (today), 2026-11-26, '2026-11-26 14:00', 2026-11-26T14:00:00Z, or a DURATION such as 2h, which is that \
         long ago. Local time, unless it says otherwise.",
    ),
];

/// The options `--help` and `--version`. They are made here because clap's own stand in a group of their own.
pub(super) fn flags() -> [Arg; 2] {
    let flag = |name: &'static str, short, action, help: &'static str| {
        Arg::new(name).long(name).short(short).action(action).help(help).help_heading("Other")
    };
    [
        flag("help", 'h', ArgAction::Help, "Print the usual options (-h) or all of them (--help)"),
        flag("version", 'V', ArgAction::Version, "Print the version and the commit"),
    ]
}

/// The title of the list of types.
pub(super) const TYPES: &str = "Event types (TYPE), of every server unless stated";

/// The names of the log levels.
pub(super) fn levels() -> String {
    Level::ALL.map(Level::name).join(", ")
}

/// A type's names, as they are typed.
pub(super) fn names(kind: Type) -> String {
    let (name, short) = (kind.name(), kind.short_name());
    if name == short { name.to_owned() } else { format!("{name}, {short}") }
}

/// The end of the long help: what the names of values stand for.
pub(super) fn after_long() -> StyledStr {
    let (styles, mut text) = (Styles::styled(), StyledStr::new());
    let (header, literal) = (styles.get_header(), styles.get_literal());
    // These cannot fail: they write to memory.
    let entry = |text: &mut StyledStr, name: &str, meaning: &str| {
        let _ = write!(text, "\n  {literal}{name}{literal:#}\n          {meaning}");
    };
    let _ = write!(text, "{header}{TYPES}:{header:#}");
    for kind in Type::KNOWN {
        entry(&mut text, &names(kind), kind.meaning());
    }
    let _ = write!(text, "\n\n{header}Values:{header:#}");
    for (name, meaning) in VALUES {
        entry(&mut text, name, meaning);
    }
    entry(&mut text, "LEVEL", &levels());
    let _ = write!(
        text,
        "\n\nExamples, formats, exit statuses, files and all else are in the man page: lxmon --man | man -l -"
    );
    text
}

#[cfg(test)]
mod tests {
    use super::super::moment::parse_moment;
    use super::super::values::{parse_duration, parse_patterns, parse_size};
    use super::*;

    #[test]
    fn the_examples_of_values_are_understood() {
        let text = |wanted: &str| VALUES.iter().find(|(name, _)| *name == wanted).map_or("", |(_, text)| *text);
        for example in ["500ms", "10s", "2m30s", "1.5h", "1d", "5"] {
            assert!(text("DURATION").contains(example) && parse_duration(example).is_ok(), "{example}");
        }
        for example in ["64MiB", "512KiB", "1GiB", "64MB", "64KiB"] {
            assert!(text("SIZE").contains(example) && parse_size(example).is_ok(), "{example}");
        }
        for example in ["14:00", "2026-11-26", "2026-11-26 14:00", "2026-11-26T14:00:00Z", "2h"] {
            assert!(text("TIME").contains(example) && parse_moment(example).is_ok(), "{example}");
        }
        for example in ["*", "?", "[a-c]", "[!a-c]", "{web,db}"] {
            assert!(text("GLOB, NAME").contains(example) && parse_patterns(example).is_ok(), "{example}");
        }
    }
}
