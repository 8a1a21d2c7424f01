//! The command line: the structures from which clap parses it, and nothing else.

pub(crate) mod actions;
pub mod complete;
pub(crate) mod generate;
mod help;
pub(crate) mod install;
mod man;
pub mod meant;
mod moment;
mod names;
mod shells;
mod values;

use std::ffi::OsString;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser, ValueEnum, ValueHint};

use self::moment::parse_moment;
use self::values::{
    LevelParser, parse_actions, parse_command, parse_count, parse_descriptor, parse_duration, parse_expression,
    parse_patterns, parse_pause, parse_size, parse_timeout,
};
use crate::event::{Level, Timestamp};
use crate::render::Format;
use crate::render::pretty::TimeStyle;
use crate::system::VERSION;

/// Follow the events of LXD and Incus servers
#[derive(Clone, Debug, Parser)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[command(
    name = "lxmon",
    version = VERSION,
    disable_help_flag = true,
    disable_version_flag = true,
    args = help::flags(),
    max_term_width = 100,
    override_usage = "lxmon [OPTIONS] [REMOTE:]... [-- COMMAND [ARG]...]",
    after_help = help::AFTER_SHORT,
    after_long_help = help::after_long()
)]
pub struct Cli {
    /// Remotes of lxc or incus, or unix:PATH of a socket
    ///
    /// Names from the client configuration of lxc or incus, each with a colon; several are followed at once [default:
    /// the configuration's default remote, which is the local server unless it was changed]
    #[arg(index = 1, value_name = "REMOTE:", value_hint = ValueHint::Other)]
    pub remotes: Vec<String>,

    /// Run this once every subscription is live; exit with its status
    ///
    /// A program and its arguments, not a line of a shell. What it causes is followed from its start on, and what it
    /// prints goes to standard error
    #[arg(index = 2, last = true, num_args = 1.., value_name = "COMMAND", value_hint = ValueHint::CommandWithArguments, conflicts_with_all = ["replay", "demo", "list_actions"])]
    pub command: Vec<OsString>,

    /// Event types, such as lifecycle or operation
    ///
    /// The server is asked for these types only [default: all that it sends to this user]
    #[arg(short = 't', long = "type", value_name = "TYPE", value_parser = parse_patterns, help_heading = "Select")]
    pub types: Vec<String>,

    /// Lifecycle actions, such as 'instance-*'
    ///
    /// Without --type, the server is asked for lifecycle events only. --list-actions lists the actions. @running and
    /// @stopped also select what is so already: the server is asked for the present state, as by --state
    #[arg(short, long = "action", value_name = "GLOB", value_parser = parse_actions, help_heading = "Select")]
    pub actions: Vec<String>,

    /// Events about these instances
    ///
    /// One that matched and is renamed stays selected
    #[arg(short, long = "instance", value_name = "GLOB", value_parser = parse_patterns, help_heading = "Select")]
    pub instances: Vec<String>,

    /// Path of what a lifecycle event happened to, such as '/1.0/networks/*'
    #[arg(long = "source", value_name = "GLOB", value_parser = parse_patterns, help_heading = "Select", hide_short_help = true)]
    pub sources: Vec<String>,

    /// Who asked for it
    ///
    /// protocol/username, username, or address; 'none' if nobody did
    #[arg(long = "requestor", value_name = "GLOB", value_parser = parse_patterns, help_heading = "Select", hide_short_help = true)]
    pub requestors: Vec<String>,

    /// Cluster member that the event comes from
    #[arg(long = "location", value_name = "GLOB", value_parser = parse_patterns, help_heading = "Select", hide_short_help = true)]
    pub locations: Vec<String>,

    /// Projects, such as web or 'web*'
    ///
    /// [default: the remote's project, else 'default'; on the socket for ordinary users 'user-UID']
    #[arg(long = "project", value_name = "NAME", value_parser = parse_patterns, help_heading = "Select")]
    pub projects: Vec<String>,

    /// Events of every project
    #[arg(short = 'A', long, conflicts_with = "projects", help_heading = "Select")]
    pub all_projects: bool,

    /// Log messages from this level on, such as warning
    ///
    /// The minimum level of log messages (types logging, ovn and network-acl) and of audit records; other events pass
    /// [default: info in pretty, everything in other formats]
    #[arg(long, value_name = "LEVEL", value_parser = LevelParser, hide_possible_values = true, help_heading = "Select")]
    pub loglevel: Option<Level>,

    /// Failures only
    ///
    /// Operations that failed, commands that returned other than 0, and log messages from level error on
    #[arg(long, help_heading = "Select")]
    pub failed: bool,

    /// A jq expression that drops or replaces events
    ///
    /// No result, null and false drop the event, anything else replaces it. $lxmon has what lxmon knows about the
    /// event, such as $lxmon.instance
    #[arg(long, value_name = "EXPR", value_parser = parse_expression, help_heading = "Select", hide_short_help = true)]
    pub jq: Option<String>,

    /// Format
    ///
    /// [default: the value of `LXMON_FORMAT`, else yaml]
    #[arg(short, long, value_name = "FORMAT", overrides_with = "pretty", help_heading = "Print")]
    pub format: Option<Format>,

    /// One line per event for people: --format=pretty
    #[arg(short, long, overrides_with = "format", help_heading = "Print")]
    pub pretty: bool,

    /// When to colour
    #[arg(long, value_name = "WHEN", default_value = "auto", help_heading = "Print", hide_short_help = true)]
    pub color: When,

    /// How pretty shows the time
    #[arg(long, value_name = "STYLE", default_value = "local", help_heading = "Print", hide_short_help = true)]
    pub time: TimeStyle,

    /// Replace secrets with ***
    ///
    /// In everything that leaves lxmon: passwords, tokens, environments, arguments of commands, websocket secrets
    #[arg(long, help_heading = "Print", hide_short_help = true)]
    pub redact: bool,

    /// Never shorten a pretty line to the terminal's width
    #[arg(long, help_heading = "Print", hide_short_help = true)]
    pub no_trunc: bool,

    /// Sum up at the end, on stderr
    ///
    /// How long, actions and operations by count, failures with their reasons, the slowest operations, gaps
    #[arg(long, help_heading = "Print", hide_short_help = true)]
    pub summary: bool,

    /// Exit 0 after N matching events
    ///
    /// In pretty, after N that were printed [default: follow without an end]
    #[arg(short = 'n', long, value_name = "N", value_parser = parse_count, allow_negative_numbers = true, help_heading = "Stop")]
    pub count: Option<NonZeroU64>,

    /// Exit after this time
    ///
    /// With status 124 if --count or COMMAND is given, else with 0 [default: no limit]
    #[arg(long, value_name = "DURATION", value_parser = parse_timeout, help_heading = "Stop")]
    pub timeout: Option<Duration>,

    /// Exit 4 at the first failure
    ///
    /// A failure as --failed selects them, about what --instance, --project and --location select, printed or not
    #[arg(long, help_heading = "Stop")]
    pub fail_fast: bool,

    /// Keep trying although the first connection fails
    ///
    /// [default: exit 1 then; a connection that is lost later is always tried again]
    #[arg(long, conflicts_with_all = ["replay", "demo"], help_heading = "Stay", hide_short_help = true)]
    pub retry: bool,

    /// Exit 1 when the connection is lost
    #[arg(long, help_heading = "Stay", hide_short_help = true)]
    pub no_reconnect: bool,

    /// Follow all members of the remote's cluster, also those that join later
    #[arg(long, conflicts_with_all = ["replay", "demo", "force_local"], help_heading = "Stay", hide_short_help = true)]
    pub cluster: bool,

    /// First the present state
    ///
    /// An event of type state for each selected instance and each running operation; after a gap, what differs
    #[arg(long, conflicts_with_all = ["replay", "demo"], help_heading = "Stay", hide_short_help = true)]
    pub state: bool,

    // Of 1,375,475 events of servers under load, 49 arrived later than this default, and all but one in a thousand
    // arrived within 5 ms (docs/soak.md).
    /// Put events back in timestamp order within this window; 0 turns it off
    #[arg(long, value_name = "DURATION", default_value = "25ms", value_parser = parse_duration, help_heading = "Stay", hide_short_help = true)]
    pub sort_window: Duration,

    /// Memory limit for all waiting events
    ///
    /// Those for a slow reader of the output, and those in the sort window
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = parse_size, help_heading = "Stay", hide_short_help = true)]
    pub buffer: usize,

    /// Put a record of type gap into the stream where events were lost
    #[arg(long, help_heading = "Stay", hide_short_help = true)]
    pub gap_events: bool,

    /// Exit 3 on the first gap
    #[arg(long, help_heading = "Stay", hide_short_help = true)]
    pub fail_on_gap: bool,

    /// Run COMMAND by sh for each event
    ///
    /// It gets the event as JSON on standard input, and its parts in `LXMON_INSTANCE` and other variables. Events are
    /// not printed besides, unless --format or --pretty is given
    #[arg(long, value_name = "COMMAND", value_parser = parse_command, value_hint = ValueHint::CommandString, help_heading = "Act")]
    pub exec: Option<String>,

    /// Run the command of --exec once for all events up to a pause that long
    ///
    /// [default: once for each event]
    #[arg(long, value_name = "DURATION", value_parser = parse_pause, requires = "exec", help_heading = "Act", hide_short_help = true)]
    pub debounce: Option<Duration>,

    /// Append the events to FILE, as JSON lines
    ///
    /// Whatever is printed. SIGUSR1 opens the file again
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Act")]
    pub record: Option<PathBuf>,

    /// Read recorded events in place of a server
    ///
    /// From files, or '-' for standard input: JSON, or YAML as lxmon, lxc and incus print it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, num_args = 1.., conflicts_with_all = ["remotes", "demo"], help_heading = "Act")]
    pub replay: Vec<PathBuf>,

    /// With --replay: events from this time on
    ///
    /// [default: from the first one]
    #[arg(long, value_name = "TIME", value_parser = parse_moment, help_heading = "Act", hide_short_help = true)]
    pub since: Option<Timestamp>,

    /// With --replay: events up to this time
    ///
    /// [default: to the last one]
    #[arg(long, value_name = "TIME", value_parser = parse_moment, help_heading = "Act", hide_short_help = true)]
    pub until: Option<Timestamp>,

    /// Follow a built-in server that plays a session
    ///
    /// A cluster of LXD: no server is needed
    #[arg(long, conflicts_with = "remotes", help_heading = "Act")]
    pub demo: bool,

    /// Use LXD's client configuration and sockets
    ///
    /// [default: those of the kind whose environment variables are set, else whose configuration knows the remote, else
    /// whose socket answers]
    #[arg(long, conflicts_with = "incus", help_heading = "Connect", hide_short_help = true)]
    pub lxd: bool,

    /// Use Incus' client configuration and sockets
    #[arg(long, help_heading = "Connect", hide_short_help = true)]
    pub incus: bool,

    /// Use the local socket
    #[arg(long, conflicts_with_all = ["remotes", "replay", "demo"], help_heading = "Connect", hide_short_help = true)]
    pub force_local: bool,

    /// No notices on stderr
    #[arg(short, long, conflicts_with_all = ["verbose", "debug"], help_heading = "Other")]
    pub quiet: bool,

    /// More notices on stderr
    #[arg(short, long, help_heading = "Other")]
    pub verbose: bool,

    /// Trace the protocol on stderr, without secrets
    #[arg(long, help_heading = "Other", hide_short_help = true)]
    pub debug: bool,

    /// Write a line to file descriptor N once every subscription is live
    ///
    /// The line is 'ready'; from then on no event is missed
    #[arg(long, value_name = "N", value_parser = parse_descriptor, allow_negative_numbers = true, help_heading = "Other", hide_short_help = true)]
    pub ready_fd: Option<i32>,

    /// List the lifecycle actions
    ///
    /// Their names, the servers that have them, what they mean, and further context keys [default: all of them]
    #[arg(long, value_name = "GLOB", num_args = 0..=1, value_parser = parse_patterns, help_heading = "Other", hide_short_help = true)]
    pub list_actions: Option<Vec<String>>,

    /// Print the completions for a shell
    #[arg(long, value_name = "SHELL", exclusive = true, help_heading = "Other", hide_short_help = true)]
    pub completions: Option<clap_complete::Shell>,

    /// Print the man page
    #[arg(long, exclusive = true, help_heading = "Other", hide_short_help = true)]
    pub man: bool,

    /// Install the man page and the completions where man and the shells look
    #[arg(long, exclusive = true, help_heading = "Other", hide_short_help = true)]
    pub install_docs: bool,

    /// Remove the files of --install-docs
    #[arg(long, exclusive = true, help_heading = "Other", hide_short_help = true)]
    pub remove_docs: bool,
}

impl Cli {
    /// Parses the words of the command line, of which the first is the name of the program.
    ///
    /// # Errors
    /// They are not understood, or ask for the help or the version.
    pub fn of_words(words: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let words: Vec<_> = words.into_iter().collect();
        let cli = Self::try_parse_from(&words)?;
        // clap accepts this.
        if cli.command.is_empty() && words.last().is_some_and(|word| word == "--") {
            let what = "nothing follows the '--': write a command behind it, such as: lxmon -- lxc start c1";
            return Err(Self::command().error(ErrorKind::MissingRequiredArgument, what));
        }
        Ok(cli)
    }
}

/// When to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum When {
    /// On a terminal, unless `NO_COLOR` or `TERM=dumb` is set; everywhere with `CLICOLOR_FORCE`
    Auto,
    /// Everywhere
    Always,
    /// Nowhere
    Never,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clap_finds_no_fault_with_the_definition() {
        Cli::command().debug_assert();
    }

    #[test]
    fn each_option_has_a_line_for_completions() {
        for arg in Cli::command().get_arguments() {
            let line = arg.get_help().map(ToString::to_string).unwrap_or_default();
            assert!((5..=75).contains(&line.len()), "{}: {line:?} has {} letters", arg.get_id(), line.len());
        }
    }
}
