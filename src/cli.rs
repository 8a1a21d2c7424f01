//! The command line: what clap needs to know, nothing else.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValue, TypedValueParser};
use clap::{Parser, ValueEnum, ValueHint};

use crate::event::Level;
use crate::render::Format;
use crate::render::pretty::TimeStyle;

/// Follow the events of LXD and Incus servers
#[derive(Debug, Parser)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[command(
    name = "lxmon",
    version,
    max_term_width = 100,
    override_usage = "lxmon [OPTIONS] [REMOTE:]...",
    after_help = "Values of one option are alternatives, different options must all hold, and a value that starts \
                  with '!' excludes.\nThe man page has examples, exit statuses and the files that are read: \
                  lxmon --man | man -l -"
)]
pub struct Cli {
    /// Names from the client configuration, or unix:PATH of a socket [default: the default remote]
    #[arg(value_name = "REMOTE:", value_hint = ValueHint::Other)]
    pub remotes: Vec<String>,

    /// Event type, such as lifecycle, operation or logging; comma-separated or repeated
    #[arg(short = 't', long = "type", value_name = "TYPE", value_delimiter = ',', value_parser = parse_pattern, help_heading = "Select")]
    pub types: Vec<String>,

    /// Lifecycle action, such as 'instance-*'; without --type, asks the server for lifecycle events only
    #[arg(short, long = "action", value_name = "GLOB", value_parser = parse_pattern, help_heading = "Select")]
    pub actions: Vec<String>,

    /// Events about these instances
    #[arg(short, long = "instance", value_name = "GLOB", value_parser = parse_pattern, help_heading = "Select")]
    pub instances: Vec<String>,

    /// Path of what a lifecycle event happened to, such as '/1.0/networks/*'
    #[arg(long = "source", value_name = "GLOB", value_parser = parse_pattern, help_heading = "Select")]
    pub sources: Vec<String>,

    /// Who asked for it: protocol/username, or username
    #[arg(long = "requestor", value_name = "GLOB", value_parser = parse_pattern, help_heading = "Select")]
    pub requestors: Vec<String>,

    /// Cluster member that the event comes from
    #[arg(long = "location", value_name = "GLOB", value_parser = parse_pattern, help_heading = "Select")]
    pub locations: Vec<String>,

    /// Project; repeatable [default: the remote's project, else 'default']
    #[arg(long = "project", value_name = "NAME", value_parser = parse_pattern, help_heading = "Select")]
    pub projects: Vec<String>,

    /// Events of every project
    #[arg(short = 'A', long, conflicts_with = "projects", help_heading = "Select")]
    pub all_projects: bool,

    /// Minimum log level; events other than logging and security count as info
    #[arg(long, value_name = "LEVEL", value_parser = LevelParser, help_heading = "Select")]
    pub loglevel: Option<Level>,

    /// Output format [default: yaml, or what `LXMON_FORMAT` says]
    #[arg(short, long, value_name = "FORMAT", overrides_with = "pretty", help_heading = "Print")]
    pub format: Option<Format>,

    /// Short for --format=pretty
    #[arg(short, long, overrides_with = "format", help_heading = "Print")]
    pub pretty: bool,

    /// When to colour
    #[arg(long, value_name = "WHEN", default_value = "auto", help_heading = "Print")]
    pub color: When,

    /// How pretty shows the time
    #[arg(long, value_name = "STYLE", default_value = "local", help_heading = "Print")]
    pub time: TimeStyle,

    /// Never shorten a pretty line to the terminal's width
    #[arg(long, help_heading = "Print")]
    pub no_trunc: bool,

    /// Exit 0 after N matching events
    #[arg(short = 'n', long, value_name = "N", value_parser = parse_count, allow_negative_numbers = true, help_heading = "Stop")]
    pub count: Option<NonZeroU64>,

    /// Exit after this long: with --count with status 124, else with 0
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, help_heading = "Stop")]
    pub timeout: Option<Duration>,

    /// Keep trying although the first connection fails
    #[arg(long, conflicts_with_all = ["replay", "demo"], help_heading = "Stay")]
    pub retry: bool,

    /// Exit 1 when the connection is lost
    #[arg(long, help_heading = "Stay")]
    pub no_reconnect: bool,

    // Of 1,375,475 events of servers under load 49 came later than this, and all but one in a thousand within 5 ms
    // (docs/soak.md).
    /// Put events back in timestamp order within this window; 0 turns it off
    #[arg(long, value_name = "DURATION", default_value = "25ms", value_parser = parse_duration, help_heading = "Stay")]
    pub sort_window: Duration,

    /// How much memory all that waits may take: for a slow reader of the output, and in the sort window
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = parse_size, help_heading = "Stay")]
    pub buffer: usize,

    /// Put a record of type gap into the stream where events were lost
    #[arg(long, help_heading = "Stay")]
    pub gap_events: bool,

    /// Exit 3 on the first gap
    #[arg(long, help_heading = "Stay")]
    pub fail_on_gap: bool,

    /// Read events from FILE, or '-', in place of a server
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with_all = ["remotes", "demo"], help_heading = "Other sources")]
    pub replay: Option<PathBuf>,

    /// Follow a built-in stand-in server that plays a recorded session
    #[arg(long, conflicts_with = "remotes", help_heading = "Other sources")]
    pub demo: bool,

    /// Use LXD's client configuration and sockets
    #[arg(long, conflicts_with = "incus", help_heading = "Connect")]
    pub lxd: bool,

    /// Use Incus' client configuration and sockets
    #[arg(long, help_heading = "Connect")]
    pub incus: bool,

    /// Use the local socket
    #[arg(long, conflicts_with_all = ["remotes", "replay", "demo"], help_heading = "Connect")]
    pub force_local: bool,

    /// No notices on stderr
    #[arg(short, long, conflicts_with_all = ["verbose", "debug"], help_heading = "Other")]
    pub quiet: bool,

    /// More notices on stderr
    #[arg(short, long, help_heading = "Other")]
    pub verbose: bool,

    /// Trace the protocol on stderr, without secrets
    #[arg(long, help_heading = "Other")]
    pub debug: bool,

    /// List the lifecycle actions: name, servers that have it, meaning, further context keys
    #[arg(long, value_name = "GLOB", num_args = 0..=1, value_parser = parse_pattern, help_heading = "Other")]
    pub list_actions: Option<Option<String>>,

    /// Print the completions for a shell
    #[arg(long, value_name = "SHELL", exclusive = true, help_heading = "Other")]
    pub completions: Option<clap_complete::Shell>,

    /// Print the man page
    #[arg(long, exclusive = true, help_heading = "Other")]
    pub man: bool,
}

/// When to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum When {
    /// On a terminal, unless `NO_COLOR` or `TERM=dumb` forbid it; `CLICOLOR_FORCE` asks for it anywhere
    Auto,
    /// Everywhere
    Always,
    /// Nowhere
    Never,
}

/// Shows the levels by logrus' names and also takes `warn`.
#[derive(Clone)]
struct LevelParser;

impl TypedValueParser for LevelParser {
    type Value = Level;

    fn parse_ref(
        &self,
        cmd: &clap::Command,
        arg: Option<&clap::Arg>,
        value: &std::ffi::OsStr,
    ) -> Result<Level, clap::Error> {
        let names = clap::builder::PossibleValuesParser::new(self.possible_values().into_iter().flatten());
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

/// Takes any text with something in it, after the `!` that excludes too.
fn parse_pattern(text: &str) -> Result<String, String> {
    match text {
        "" => Err("it is empty; leave the option out to select everything".to_owned()),
        "!" => Err("nothing stands after the '!' that excludes".to_owned()),
        _ => Ok(text.to_owned()),
    }
}

fn parse_count(text: &str) -> Result<NonZeroU64, String> {
    text.parse().map_err(|_| "expected a number from 1 on".to_owned())
}

/// Reads `500ms`, `10s`, `2m30s`, `1h`, or a bare `0`.
fn parse_duration(text: &str) -> Result<Duration, String> {
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
        // A century is more than any clock here can add to now.
        total = part
            .and_then(|part| total.checked_add(part))
            .filter(|total| total.as_secs() < 100 * 365 * 86_400)
            .ok_or_else(|| "longer than a hundred years".to_owned())?;
        rest = &rest[unit..];
    }
    if text.is_empty() { Err(expected()) } else { Ok(total) }
}

/// Reads `64MiB`, `512KiB`, `1GiB`, or a number of bytes.
fn parse_size(text: &str) -> Result<usize, String> {
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
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn clap_finds_no_fault_with_the_definition() {
        Cli::command().debug_assert();
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
