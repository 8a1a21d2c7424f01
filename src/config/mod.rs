//! Combines the command line, the environment and the client configuration into [`Config`]. Reads files but changes
//! none.

pub(crate) mod circumstances;
mod doubts;
mod followed;
mod words;

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::io::IsTerminal as _;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use clap::ValueEnum as _;
use log::warn;
use unicode_width::UnicodeWidthStr as _;

pub(crate) use self::doubts::doubts;
use crate::cli::{Cli, When};
use crate::event::{Level, Type};
use crate::filter::{Filter, Selection, excludes, is_glob, literal, names_state};
use crate::remote::sockets::Socket;
use crate::remote::{self, Flavour, Wanted};
use crate::render::{Format, Surface, pretty, sanitize};
use crate::report::exit::Fault;
use crate::report::followed::Followed;
use crate::report::ready::Ready;
use crate::report::service::Service;
use crate::report::summary::{self, Extent};
use crate::sink::exec::Reaction;
use crate::source::Source;
use crate::source::live::Live;
use crate::source::replay::Recording;
use crate::source::server::follow::Conduct;
use crate::source::server::request::{Projects, Request};
use crate::source::server::{Connecting, Questions};
use crate::system::clock::Resumed;
use crate::system::environment::Environment;
use crate::system::terminal::{self, Terminal};

/// All settings, fixed before the first event.
#[derive(Debug)]
pub(crate) struct Config {
    /// Where events come from.
    pub source: Source,
    /// How to connect to servers.
    pub connecting: Connecting,
    /// Which of the received events are selected.
    pub filter: Filter,
    /// `--redact`
    pub redact: bool,
    /// The value of `--jq`.
    pub jq: Option<String>,
    /// How events are printed.
    pub output: Output,
    /// What ends the output, and which records other than events it contains.
    pub limits: Limits,
    /// The value of `--timeout`.
    pub timeout: Option<Duration>,
    /// How long an event can be held for reordering.
    pub sort_window: Duration,
    /// The memory limit of all waiting events, in bytes.
    pub buffer: usize,
    /// The value of `--record`.
    pub record: Option<PathBuf>,
    /// `--exec`
    pub exec: Option<Reaction>,
    /// `--ready-fd`
    pub ready: Option<Ready>,
    /// `-- COMMAND`
    pub command: Option<CommandLine>,
    /// What is followed, as text.
    pub followed: Followed,
    /// Whether a line says at the start what is followed.
    pub introduces: bool,
    /// What is summed up at the end.
    pub summary: Option<summary::Options>,
    /// The service manager that has started us.
    pub service: Option<Service>,
}

/// How events are printed.
#[derive(Debug)]
pub(crate) struct Output {
    /// The output format.
    pub format: Format,
    /// Properties of standard output.
    pub surface: Surface,
    /// Options of the pretty format.
    pub pretty: pretty::Options,
    /// Whether operations in progress are shown as live rows on the terminal.
    pub live_rows: bool,
}

/// What ends the output, and which records other than events it contains.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The value of `--count`.
    pub count: Option<NonZeroU64>,
    /// Whether gap records are put into the stream.
    pub gap_events: bool,
    /// Whether the first gap ends the program.
    pub fail_on_gap: bool,
}

/// The value of `-- COMMAND`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CommandLine {
    /// The program.
    pub program: OsString,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// The number of a descriptor that it must not inherit (`--ready-fd`).
    pub withheld: Option<i32>,
}

impl Config {
    /// Determines all settings.
    ///
    /// # Errors
    /// The options contradict each other, or the client configuration is invalid or does not contain a remote.
    pub(crate) fn new(cli: &Cli, environment: &Environment, terminal: Terminal) -> anyhow::Result<Self> {
        // First, as every number that is not in use now is that of a file that we open.
        let ready = cli.ready_fd.map(Ready::new).transpose()?;
        let command = command(cli)?;
        check_times(cli)?;
        let source = source(cli, environment)?;
        let format = format(cli, environment)?;
        let request = Request { types: types(cli), projects: projects(cli) };
        let state = questions(cli, &source, &request)?;
        for doubt in guest_doubts(&source, &request) {
            warn!("{doubt}");
        }
        let surface = Surface { color: colors(cli.color, environment, terminal), terminal: terminal.is_terminal };
        let one_project = match (&source, &request.projects) {
            (_, Projects::All) | (Source::Replay(_) | Source::Demo, _) => false,
            (Source::Servers { .. }, Projects::One(_)) => true,
            (Source::Servers { remotes, .. }, Projects::Default) => {
                remotes.windows(2).all(|pair| pair[0].project() == pair[1].project())
            }
        };
        let is_recording = matches!(source, Source::Replay(_));
        // The output of a command would stand within the rows.
        let shares_terminal = (cli.exec.is_some() || !cli.command.is_empty()) && terminal::is_shared();
        let live_rows =
            format == Format::Pretty && !is_recording && !shares_terminal && can_move_cursor(environment, terminal);
        let pretty = pretty::Options {
            surface,
            width: if cli.no_trunc { None } else { terminal.width },
            time: cli.time,
            show_project: !one_project,
            remote_width: match &source.remote_names()[..] {
                [_] => 0,
                names => names.iter().map(|name| sanitize::shown(name).width()).max().unwrap_or(0),
            },
            utf8: speaks_utf8(environment),
            // Of a recording the ends of operations are enough: what it shows is over.
            live_rows: live_rows || (is_recording && terminal.is_terminal),
        };
        let filter = Filter::new(&selection(cli, format, &source));
        let service = Service::new(environment);
        let is_awaited = ready.is_some() || service.is_some() || !cli.command.is_empty();
        let live = Rc::new(Live::new(source.remote_names().len(), is_awaited));
        // Who reads the events of a pipe, of a file or in a format for programs does not want further lines around them.
        let has_frame = format == Format::Pretty && !cli.quiet && terminal::is_shared();
        let stderr = Terminal { is_terminal: std::io::stderr().is_terminal(), width: None };
        let extent = if cli.summary { Some(Extent::Full) } else { has_frame.then_some(Extent::Line) };
        let summary = extent.map(|extent| summary::Options {
            extent,
            is_terminal: stderr.is_terminal,
            color: stderr.is_terminal && colors(cli.color, environment, stderr),
            is_recording,
        });
        Ok(Self {
            followed: followed::followed(cli, &source),
            introduces: has_frame && !is_recording,
            summary,
            service,
            source,
            connecting: Connecting {
                environment: environment.clone(),
                request,
                conduct: Conduct { retry: cli.retry, reconnect: !cli.no_reconnect, fail_on_gap: cli.fail_on_gap },
                resumed: Resumed::default(),
                live,
                state,
            },
            filter,
            redact: cli.redact,
            jq: cli.jq.clone(),
            output: Output { format, surface, pretty, live_rows },
            limits: Limits { count: cli.count, gap_events: cli.gap_events, fail_on_gap: cli.fail_on_gap },
            timeout: cli.timeout,
            sort_window: cli.sort_window,
            buffer: cli.buffer,
            record: cli.record.clone(),
            exec: reaction(cli),
            ready,
            command,
        })
    }
}

/// The command of `-- COMMAND`.
fn command(cli: &Cli) -> Result<Option<CommandLine>, Fault> {
    let Some((program, arguments)) = cli.command.split_first() else { return Ok(None) };
    if program.is_empty() {
        return Err(Fault::usage("-- COMMAND: the name of the command is empty")
            .hint("write the command behind `--`: lxmon -- lxc start c1"));
    }
    Ok(Some(CommandLine { program: program.clone(), arguments: arguments.to_vec(), withheld: cli.ready_fd }))
}

fn source(cli: &Cli, environment: &Environment) -> anyhow::Result<Source> {
    if !cli.replay.is_empty() {
        return recordings(cli).map(Source::Replay);
    }
    if cli.demo {
        return Ok(Source::Demo);
    }
    let flavour = match (cli.lxd, cli.incus) {
        (true, _) => Some(Flavour::Lxd),
        (_, true) => Some(Flavour::Incus),
        _ => None,
    };
    let wanted = Wanted {
        words: &cli.remotes,
        flavour,
        force_local: cli.force_local,
        names_projects: projects(cli) != Projects::Default,
    };
    words::check(&cli.remotes, environment)?;
    let remotes = remote::resolve(&wanted, environment)?;
    Ok(Source::Servers { remotes, cluster: cli.cluster })
}

/// The recordings to read.
///
/// # Errors
/// One of them is also written to, or is not a file at all.
fn recordings(cli: &Cli) -> anyhow::Result<Vec<Recording>> {
    let recordings: Vec<_> = cli.replay.iter().map(|path| Recording::new(path)).collect();
    for recording in &recordings {
        let name = recording.name();
        if let Some(word) = recording.remote_word() {
            return Err(Fault::usage(format!("{word:?} is a remote, but --replay reads files in place of servers"))
                .hint("leave out one of the two")
                .into());
        }
        if recording.is_output() {
            return Err(Fault::usage(format!("{name}: it is the output too"))
                .hint("write to another file, and rename it afterwards")
                .into());
        }
        if cli.record.as_ref().is_some_and(|record| recording.is_file(record)) {
            return Err(Fault::usage(format!("{name}: --replay and --record name the same file"))
                .hint("record into another file")
                .into());
        }
    }
    if recordings.iter().filter(|recording| **recording == Recording::Stdin).count() > 1 {
        return Err(Fault::usage("--replay: standard input can be read once only").hint("give `-` once").into());
    }
    Ok(recordings)
}

/// # Errors
/// A time is given for servers, which keep no events, or the times contradict each other.
fn check_times(cli: &Cli) -> Result<(), Fault> {
    let option = match (cli.since, cli.until) {
        (Some(since), Some(until)) if since > until => {
            return Err(Fault::usage("--since is later than --until: no event is in between").hint("swap them"));
        }
        (Some(_), _) => "--since",
        (None, Some(_)) => "--until",
        (None, None) => return Ok(()),
    };
    if cli.replay.is_empty() {
        return Err(Fault::usage(format!("{option} is for recordings: servers keep no events that they have sent"))
            .hint(format!("`lxmon --record FILE` records; then `lxmon --replay FILE {option} TIME`")));
    }
    Ok(())
}

/// Warnings about types that the socket of a guest does not send to a container (`lxd/devlxd.go` of LXD). The agent of
/// a virtual machine has more types, about itself.
fn guest_doubts(source: &Source, request: &Request) -> Vec<String> {
    let Source::Servers { remotes, .. } = source else { return Vec::new() };
    if request.types.is_empty() || request.types.iter().any(|kind| kind == "config" || kind == "device") {
        return Vec::new();
    }
    let guests = remotes.iter().filter(|remote| remote.address.socket() == Some(Socket::Guest));
    let types = request.types.join(", ");
    guests
        .map(|remote| {
            let name = &remote.name;
            format!("{name}: the server sends to its containers events of type config and device only, not {types}")
        })
        .collect()
}

/// The format from the command line, else from the environment, else YAML.
fn format(cli: &Cli, environment: &Environment) -> Result<Format, Fault> {
    let asked = if cli.pretty { Some(Format::Pretty) } else { cli.format };
    if let Some(format) = asked {
        return Ok(format);
    }
    match environment.text("LXMON_FORMAT")? {
        None => Ok(Format::Yaml),
        Some(name) => Format::from_str(name, true).map_err(|_| {
            let names = Format::value_variants().iter().filter_map(Format::to_possible_value);
            let names: Vec<_> = names.map(|value| value.get_name().to_owned()).collect();
            Fault::usage(format!("LXMON_FORMAT is {name:?}, which is not a format"))
                .hint(format!("formats: {}", names.join(", ")))
        }),
    }
}

/// What `--exec` asks for. Events are printed besides only if the command line asks for a format: whether they are must
/// not depend on the environment, as the command of a script writes to standard output if they are not.
fn reaction(cli: &Cli) -> Option<Reaction> {
    let owns_stdout = cli.format.is_none() && !cli.pretty;
    cli.exec.clone().map(|command| Reaction { command, debounce: cli.debounce, owns_stdout })
}

/// The selection of events by the command line.
fn selection(cli: &Cli, format: Format, source: &Source) -> Selection {
    let remotes = match source {
        Source::Servers { remotes, .. } => &remotes[..],
        Source::Replay(_) | Source::Demo => &[],
    };
    let remote_projects = match projects(cli) {
        Projects::Default => remotes.iter().map(|remote| remote.project().to_owned()).collect(),
        Projects::One(_) | Projects::All => Vec::new(),
    };
    let asks_for_logs = cli.types.iter().any(|kind| kind == Type::Logging.name());
    let wants_all_levels = !cli.failed && cli.loglevel.is_none_or(|level| level < Level::Warning);
    Selection {
        types: shown_types(cli),
        actions: cli.actions.clone(),
        instances: cli.instances.clone(),
        sources: cli.sources.clone(),
        requestors: cli.requestors.clone(),
        locations: cli.locations.clone(),
        projects: cli.projects.clone(),
        remote_projects,
        // Most messages are of level debug, which is of no interest to a reader.
        loglevel: cli.loglevel.or((format == Format::Pretty).then_some(Level::Info)),
        failed: cli.failed,
        fail_fast: cli.fail_fast,
        since: cli.since,
        until: cli.until,
        expects_all_log_lines: asks_for_logs && wants_all_levels && remotes.len() == 1 && !cli.cluster,
    }
}

/// Whether the present state is asked for: also by an option that selects states.
fn wants_state(cli: &Cli) -> bool {
    let names = cli.actions.iter().any(|action| !excludes(action) && names_state(action));
    cli.state || names || cli.types.iter().any(|kind| kind == Type::State.name())
}

/// What servers are asked for with `--state`. Of operations, if events of that type are asked for too: without them, an
/// operation that has begun or ended meanwhile would be unknown.
///
/// # Errors
/// The source is the socket of a guest, which has no instances.
fn questions(cli: &Cli, source: &Source, request: &Request) -> Result<Option<Questions>, Fault> {
    let Source::Servers { remotes, .. } = source else { return Ok(None) };
    if !wants_state(cli) {
        return Ok(None);
    }
    if let Some(remote) = remotes.iter().find(|remote| remote.address.socket() == Some(Socket::Guest)) {
        let what = format!("{}: --state: a guest cannot ask for the state of instances", remote.name);
        return Err(Fault::usage(what).hint("run lxmon on the host, or leave out --state, -a @running and -a @stopped"));
    }
    let operation = Type::Operation.name();
    Ok(Some(Questions { operations: request.types.is_empty() || request.types.iter().any(|kind| kind == operation) }))
}

/// The event types to print: with `--state`, states too.
fn shown_types(cli: &Cli) -> Vec<String> {
    let mut types = cli.types.clone();
    if wants_state(cli) && types.iter().any(|kind| !excludes(kind)) {
        types.push(Type::State.name().to_owned());
    }
    types
}

/// The event types to request. Exclusions and globs cannot be requested. Only lifecycle events have an action, so a
/// positive action pattern needs no other type. `--failed` requests no type: log lines are for privileged users, and a
/// server refuses a request for a type that is not permitted, but sends all permitted types if none is named. The same
/// holds for `--fail-fast`, whatever types are printed. With `--state`, lifecycle events say what has changed since.
fn types(cli: &Cli) -> Vec<String> {
    if cli.fail_fast {
        return Vec::new();
    }
    let [lifecycle, operation, state] = [Type::Lifecycle, Type::Operation, Type::State].map(Type::name);
    let types: Vec<_> = cli.types.iter().filter(|kind| !excludes(kind)).collect();
    let asks_for_actions = cli.actions.iter().any(|action| !excludes(action));
    if types.iter().any(|kind| is_glob(kind)) {
        Vec::new()
    } else if types.is_empty() && asks_for_actions {
        vec![lifecycle.to_owned()]
    } else if wants_state(cli) && !types.is_empty() {
        let named = types.into_iter().filter_map(|kind| literal(kind)).map(Cow::into_owned);
        let mut asked: Vec<_> = named.filter(|kind| kind != state).collect();
        if asked.is_empty() && !asks_for_actions {
            asked.push(operation.to_owned());
        }
        if !asked.iter().any(|kind| kind == lifecycle) {
            asked.push(lifecycle.to_owned());
        }
        asked
    } else {
        types.into_iter().filter_map(|kind| literal(kind)).map(Cow::into_owned).collect()
    }
}

/// The projects to request: a server can be asked for one by name or for all. The filter does the rest.
fn projects(cli: &Cli) -> Projects {
    match &cli.projects[..] {
        [] if cli.all_projects => Projects::All,
        [] => Projects::Default,
        [project] if !excludes(project) => {
            literal(project).map_or(Projects::All, |name| Projects::One(name.into_owned()))
        }
        _ => Projects::All,
    }
}

/// Whether to use colours: the option decides, then `NO_COLOR`, `CLICOLOR_FORCE`, `TERM=dumb`, and whether standard
/// output is a terminal.
pub(crate) fn colors(when: When, environment: &Environment, terminal: Terminal) -> bool {
    let set = |name| environment.is_set(name);
    match when {
        When::Always => true,
        When::Never => false,
        When::Auto if set("NO_COLOR") => false,
        When::Auto if set("CLICOLOR_FORCE") && environment.var("CLICOLOR_FORCE") != Some("0".as_ref()) => true,
        When::Auto if environment.var("TERM") == Some("dumb".as_ref()) => false,
        When::Auto => terminal.is_terminal,
    }
}

/// Whether standard output is a terminal whose size is known and whose cursor can be moved.
fn can_move_cursor(environment: &Environment, terminal: Terminal) -> bool {
    terminal.is_terminal
        && terminal.width.is_some()
        && environment.var("TERM").is_some_and(|name| name != "dumb" && name != "unknown")
}

/// Whether the locale's encoding is UTF-8 (locale(7): the first of these variables that is set decides).
fn speaks_utf8(environment: &Environment) -> bool {
    let charset = locale(environment).map(|(_, value)| value.to_string_lossy().to_ascii_lowercase());
    charset.is_some_and(|charset| charset.contains("utf-8") || charset.contains("utf8"))
}

/// The locale for characters, and the variable that sets it.
fn locale(environment: &Environment) -> Option<(&'static str, &OsStr)> {
    ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(|name| Some((name, environment.var(name)?)))
}
