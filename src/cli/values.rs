//! Parsers for the values of options.

use std::num::NonZeroU64;
use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use crate::event::{Level, Type};
use crate::filter::{Named, names_state, split_exclusion};

/// Parses log levels: the names of logrus, and `warn`.
#[derive(Clone)]
pub(super) struct LevelParser;

impl TypedValueParser for LevelParser {
    type Value = Level;

    fn parse_ref(
        &self,
        cmd: &clap::Command,
        arg: Option<&clap::Arg>,
        value: &std::ffi::OsStr,
    ) -> Result<Level, clap::Error> {
        let names = PossibleValuesParser::new(self.possible_values().into_iter().flatten());
        let name = names.parse_ref(cmd, arg, &value.to_ascii_lowercase())?;
        Ok(name.parse().unwrap_or(Level::Info))
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(Level::ALL.into_iter().map(|level| {
            let value = PossibleValue::new(level.name());
            if level == Level::Warning { value.alias("warn") } else { value }
        })))
    }
}

/// Accepts any pattern that is not empty, with or without the `!` that excludes.
pub(super) fn parse_pattern(text: &str) -> Result<String, String> {
    match text {
        "" => Err("the value is empty; omit the option to select everything".to_owned()),
        "!" => Err("there is no pattern after the '!' that excludes".to_owned()),
        _ => Ok(text.to_owned()),
    }
}

/// Accepts any pattern for an action, and of the names that begin with `@` those of states.
pub(super) fn parse_action(text: &str) -> Result<String, String> {
    let pattern = parse_pattern(text)?;
    if names_state(&pattern) && Named::of(&pattern).is_none() {
        return Err(format!("no such state; the states are {}", Named::ALL.map(Named::name).join(" and ")));
    }
    Ok(pattern)
}

/// Parses an event type: one that is known by its name, its short name or the plural of one of them becomes the name
/// that the servers use, anything else stays as it is.
pub(super) fn parse_type(text: &str) -> Result<String, String> {
    let pattern = parse_pattern(text)?;
    let (excludes, word) = split_exclusion(&pattern);
    Ok(match Type::meant_by(word) {
        Some(kind) => format!("{}{}", if excludes { "!" } else { "" }, kind.name()),
        None => pattern,
    })
}

/// Accepts any expression that is not empty. What it means is known to the process that runs it.
pub(super) fn parse_expression(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err("the expression is empty; to pass every event, omit the option".to_owned());
    }
    Ok(text.to_owned())
}

pub(super) fn parse_count(text: &str) -> Result<NonZeroU64, String> {
    text.parse().map_err(|_| "expected a positive number".to_owned())
}

/// Parses `500ms`, `10s`, `2m30s`, `1h`, or `0` without a unit.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    const EXPECTED: &str = "expected a duration such as 500ms, 10s, 2m30s or 1h";
    let expected = || EXPECTED.to_owned();
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(expected)?;
        let number: u64 = rest[..digits].parse().map_err(|_| expected())?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let part = match &rest[..unit] {
            "us" => Some(Duration::from_micros(number)),
            "ms" => Some(Duration::from_millis(number)),
            "s" => Some(Duration::from_secs(number)),
            "m" => number.checked_mul(60).map(Duration::from_secs),
            "h" => number.checked_mul(3600).map(Duration::from_secs),
            _ => return Err(expected()),
        };
        // The limit makes sure that the duration can be added to the current time of any clock.
        total = part
            .and_then(|part| total.checked_add(part))
            .filter(|total| total.as_secs() < 100 * 365 * 86_400)
            .ok_or_else(|| "longer than a hundred years".to_owned())?;
        rest = &rest[unit..];
    }
    if text.is_empty() { Err(expected()) } else { Ok(total) }
}

/// Parses the length of a pause, which is longer than 0.
pub(super) fn parse_pause(text: &str) -> Result<Duration, String> {
    let pause = parse_duration(text)?;
    if pause.is_zero() {
        return Err("expected a duration longer than 0; without the option, the command runs for each event".to_owned());
    }
    Ok(pause)
}

/// Accepts any command that is not blank.
pub(super) fn parse_command(text: &str) -> Result<String, String> {
    if text.trim_ascii().is_empty() {
        return Err("expected a command for the shell, such as 'echo \"$LXMON_INSTANCE\"'".to_owned());
    }
    Ok(text.to_owned())
}

/// Parses `64MiB`, `512KiB`, `1GiB`, or a number of bytes.
pub(super) fn parse_size(text: &str) -> Result<usize, String> {
    const EXPECTED: &str = "expected a size such as 512KiB or 64MiB";
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: usize = text[..digits].parse().map_err(|_| EXPECTED.to_owned())?;
    let unit = match &text[digits..] {
        "" | "B" => 1,
        "KiB" | "K" => 1 << 10,
        "MiB" | "M" => 1 << 20,
        "GiB" | "G" => 1 << 30,
        _ => return Err(EXPECTED.to_owned()),
    };
    number.checked_mul(unit).filter(|bytes| *bytes >= 64 << 10).ok_or_else(|| {
        if number == 0 {
            EXPECTED.to_owned()
        } else {
            "expected at least 64KiB, and less than the address space".to_owned()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_have_several_names() {
        for (text, name) in [
            ("logging", "logging"),
            ("log", "logging"),
            ("logs", "logging"),
            ("op", "operation"),
            ("operations", "operation"),
            ("life", "lifecycle"),
            ("Lifecycle", "lifecycle"),
            ("sec", "security"),
            ("acl", "network-acl"),
            ("acls", "network-acl"),
            ("network-acls", "network-acl"),
            ("ovn", "ovn"),
            ("configs", "config"),
            ("dev", "device"),
            ("!log", "!logging"),
            ("!ops", "!operation"),
            ("s", "s"),
            ("weather", "weather"),
            ("other", "other"),
            ("l*", "l*"),
        ] {
            assert_eq!(parse_type(text).as_deref(), Ok(name), "{text}");
        }
        for text in ["", "!"] {
            assert!(parse_type(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations() {
        for (text, milliseconds) in
            [("500ms", 500), ("10s", 10_000), ("2m30s", 150_000), ("1h", 3_600_000), ("0", 0), ("0s", 0)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "10", "s", "-1s", "1.5s", "10 s", "10sec", "99999999999999999999s", "9999999999999h"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [("64MiB", 64 << 20), ("512KiB", 512 << 10), ("1GiB", 1 << 30), ("65536", 65536)] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "MiB", "-1MiB", "0", "1", "64MB", "1.5MiB", "99999999999999999999GiB", "99999999999999GiB"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
