//! Parsers for the values of options.

use std::num::{IntErrorKind, NonZeroU64, ParseIntError};
use std::str::FromStr as _;
use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use super::Cli;
use crate::event::{Level, Type};
use crate::filter::{Named, names_state, split_exclusion, values};

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

/// Accepts what [`values`] does: patterns, with or without the `!` that excludes. The argument stays whole, as clap gives
/// one value for each; [`Cli::split`] splits it.
pub(super) fn parse_patterns(text: &str) -> Result<String, String> {
    values(text).map(|_| text.to_owned())
}

impl Cli {
    /// The same command line with the patterns of each argument in values of their own. Types that are known by their
    /// name, their short name or the plural of one of them have the name that the servers use.
    #[must_use]
    pub(crate) fn split(&self) -> Self {
        // They were parsed once, so there are no errors.
        let split =
            |arguments: &[String]| arguments.iter().filter_map(|argument| values(argument).ok()).flatten().collect();
        let types: Vec<String> = split(&self.types);
        Self {
            types: types.into_iter().map(meant_type).collect(),
            actions: split(&self.actions),
            instances: split(&self.instances),
            sources: split(&self.sources),
            requestors: split(&self.requestors),
            locations: split(&self.locations),
            projects: split(&self.projects),
            list_actions: self.list_actions.as_deref().map(split),
            ..self.clone()
        }
    }
}

/// Accepts patterns for an action, and of the names that begin with `@` those of states.
pub(super) fn parse_actions(text: &str) -> Result<String, String> {
    let is_unknown = |value: &String| names_state(value) && Named::of(value).is_none();
    if values(text)?.iter().any(is_unknown) {
        return Err(format!("no such state; the states are {}", Named::ALL.map(Named::name).join(" and ")));
    }
    Ok(text.to_owned())
}

/// The event type that is meant by a value. A word that is not known stays as it is.
fn meant_type(value: String) -> String {
    let (excludes, word) = split_exclusion(&value);
    match Type::meant_by(word) {
        Some(kind) => format!("{}{}", if excludes { "!" } else { "" }, kind.name()),
        None => value,
    }
}

/// Parses the number of a file descriptor.
pub(super) fn parse_descriptor(text: &str) -> Result<i32, String> {
    let number = text.parse().ok().filter(|number| *number >= 0);
    number
        .ok_or_else(|| "expected the number of an open descriptor, as the 3 of `lxmon --ready-fd 3 3>FILE`".to_owned())
}

/// Parses how many events end the output.
pub(super) fn parse_count(text: &str) -> Result<NonZeroU64, String> {
    text.parse().map_err(|error: ParseIntError| match error.kind() {
        IntErrorKind::PosOverflow => format!("expected at most {}", u64::MAX),
        _ => "expected a positive number".to_owned(),
    })
}

/// Accepts any expression that is not empty. What it means is known to the process that runs it.
pub(super) fn parse_expression(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err("the expression is empty; to pass every event, omit the option".to_owned());
    }
    Ok(text.to_owned())
}

/// Parses `--timeout`: a duration that is longer than zero.
pub(super) fn parse_timeout(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        Duration::ZERO => Err("nothing can happen in no time; omit the option to follow without a limit".to_owned()),
        timeout => Ok(timeout),
    }
}

/// Nanoseconds.
const SECOND: u128 = 1_000_000_000;

/// Parses `500ms`, `10s`, `2m30s`, `1h`, `1d`, `1.5s`, or `5`, a number of seconds.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    // The limit makes sure that the duration can be added to the current time of any clock.
    const LONGEST: u128 = 100 * 365 * 86_400 * SECOND;
    let expected =
        || "expected a duration such as 500ms, 10s, 2m30s, 1.5h or 1d; without a unit it is in seconds".to_owned();
    let mut total = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, behind) = rest.split_at(end);
        let end = behind.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(end);
        let unit = match unit {
            "us" => SECOND / 1_000_000,
            "ms" => SECOND / 1_000,
            "s" => SECOND,
            "m" => 60 * SECOND,
            "h" => 3_600 * SECOND,
            "d" => 86_400 * SECOND,
            "" if number.len() == text.len() => SECOND,
            _ => return Err(expected()),
        };
        let part = decimal(number, unit).ok_or_else(expected)?;
        total += part;
        if total > LONGEST {
            return Err("longer than a hundred years".to_owned());
        }
        rest = behind;
    }
    // Below a hundred years, both fit.
    let seconds = u64::try_from(total / SECOND).unwrap_or(u64::MAX);
    let nanos = u32::try_from(total % SECOND).unwrap_or(0);
    if text.is_empty() { Err(expected()) } else { Ok(Duration::new(seconds, nanos)) }
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

/// A number with or without a fraction, such as `12` or `1.5`, of a unit. Very large numbers are that of the largest one.
fn decimal(number: &str, unit: u128) -> Option<u128> {
    // More digits than the unit has are of no use, and as few as these cannot overflow.
    const MOST: usize = 18;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let fraction = &fraction[..fraction.len().min(MOST)];
    let scale = 10u128.pow(u32::try_from(fraction.len()).ok()?);
    let parts: u128 = fraction.parse().ok()?;
    let whole = u64::from_str(whole).unwrap_or(u64::MAX);
    Some(u128::from(whole) * unit + parts * unit / scale)
}

/// Parses `64MiB`, `512KiB`, `1GiB`, `64MB`, or a number of bytes.
pub(super) fn parse_size(text: &str) -> Result<usize, String> {
    const EXPECTED: &str = "expected a size such as 512KiB, 64MiB or 64MB";
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number = text[..digits].parse::<usize>();
    let number = number.or_else(|error| match error.kind() {
        IntErrorKind::PosOverflow => Ok(usize::MAX),
        _ => Err(EXPECTED.to_owned()),
    })?;
    let unit = match &text[digits..] {
        "" | "B" => 1,
        "KiB" | "K" => 1 << 10,
        "MiB" | "M" => 1 << 20,
        "GiB" | "G" => 1 << 30,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return Err(EXPECTED.to_owned()),
    };
    let size = number.checked_mul(unit).filter(|bytes| *bytes >= 64 << 10);
    size.ok_or_else(|| "expected at least 64KiB, and less than the address space".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[test]
    fn types_have_several_names() {
        for (text, names) in [
            ("logging", &["logging"][..]),
            ("log", &["logging"]),
            ("logs", &["logging"]),
            ("op", &["operation"]),
            ("operations", &["operation"]),
            ("life", &["lifecycle"]),
            ("Lifecycle", &["lifecycle"]),
            ("sec", &["security"]),
            ("acl", &["network-acl"]),
            ("acls", &["network-acl"]),
            ("network-acls", &["network-acl"]),
            ("ovn", &["ovn"]),
            ("configs", &["config"]),
            ("dev", &["device"]),
            ("!log", &["!logging"]),
            ("!ops,life", &["!operation", "lifecycle"]),
            ("{log,op}", &["logging", "operation"]),
            ("!{log,op}", &["!logging", "!operation"]),
            ("s", &["s"]),
            ("weather", &["weather"]),
            ("other", &["other"]),
            ("l*", &["l*"]),
        ] {
            let cli = Cli::try_parse_from(["lxmon", "-t", text]).unwrap();
            assert_eq!(cli.split().types, names, "{text}");
        }
    }

    #[test]
    fn every_option_with_patterns_is_split() {
        let argument = r"!a,b\,{1,2}";
        let names = ["type", "action", "instance", "source", "requestor", "location", "project", "list-actions"];
        let arguments = names.map(|name| format!("--{name}={argument}"));
        let cli = Cli::try_parse_from(std::iter::once("lxmon".to_owned()).chain(arguments.clone()).chain(arguments));
        let Cli { types, actions, instances, sources, requestors, locations, projects, list_actions, .. } =
            cli.unwrap().split();
        let listed = list_actions.unwrap();
        for values in [types, actions, instances, sources, requestors, locations, projects, listed] {
            assert_eq!(values, ["!a", r"b\,1", r"b\,2", "!a", r"b\,1", r"b\,2"]);
        }
    }

    #[test]
    fn durations() {
        for (text, milliseconds) in [
            ("500ms", 500),
            ("10s", 10_000),
            ("2m30s", 150_000),
            ("1h", 3_600_000),
            ("1d", 86_400_000),
            ("1d12h", 129_600_000),
            ("1.5s", 1_500),
            ("0.5h", 1_800_000),
            ("1.25m0.5s", 75_500),
            ("1.0000000000000000000000009s", 1_000),
            ("5", 5_000),
            ("0.5", 500),
            ("0", 0),
            ("0s", 0),
            ("36500d", 3_153_600_000_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in
            ["", "s", "-1s", ".5s", "1.s", "1..5s", "1.5.5s", "10 s", "10sec", "10s5", "2m30", "1w", "１s", "5é"]
        {
            assert!(parse_duration(text).is_err_and(|error| error.contains("10s, 2m30s")), "{text}");
        }
        for text in ["99999999999999999999s", "9999999999999h", "36501d", "99999999999999999999"] {
            assert!(parse_duration(text).is_err_and(|error| error.contains("a hundred years")), "{text}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("64MiB", 64 << 20),
            ("64M", 64 << 20),
            ("512KiB", 512 << 10),
            ("1GiB", 1 << 30),
            ("64MB", 64_000_000),
            ("100kB", 100_000),
            ("2GB", 2_000_000_000),
            ("65536", 65536),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "MiB", "-1MiB", "64mb", "64 MB", "1.5MiB", "64Mib"] {
            assert!(parse_size(text).is_err_and(|error| error.contains("64MB")), "{text}");
        }
        for text in ["0", "1", "0MiB", "65kB", "99999999999999999999GiB", "99999999999999GiB"] {
            assert!(parse_size(text).is_err_and(|error| error.contains("at least 64KiB")), "{text}");
        }
    }
}
