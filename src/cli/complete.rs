//! Dynamic shell completion of remotes, projects, actions and commands.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt as _;
use std::rc::Rc;
use std::sync::mpsc;
use std::time::Duration;

use clap::{ArgMatches, Command, CommandFactory as _};
use clap_complete::engine::{PathCompleter, ValueCompleter as _};
use clap_complete::env::Shells;
use clap_complete::{ArgValueCandidates, ArgValueCompleter, CompleteEnv, CompletionCandidate};
use serde::Deserialize;

use super::Cli;
use super::shells::{Line, Shell, is_plain};
use crate::event::Type;
use crate::event::catalogue::ACTIONS;
use crate::event::entity::Entity;
use crate::filter::Named;
use crate::remote::{self, Flavour, Wanted};
use crate::source::server::attempt::{Attempt, Turn};
use crate::source::server::dial::dial;
use crate::source::server::http;
use crate::source::server::stream::Dialed;
use crate::system::environment::Environment;

/// The timeout for finding candidates, because a user waits at the keyboard.
const PATIENCE: Duration = Duration::from_secs(1);

/// The maximum length of a server's answer, in bytes.
const LONGEST: usize = 1 << 20;

const SHELLS: Shells<'_> = Shells(&[&Shell::Bash, &Shell::Fish, &Shell::Zsh]);

/// If a shell asks for completions, prints them and exits the process.
pub fn answer() {
    // The shell is determined here because clap removes the variable before it calls the factory.
    let Some(shell) = Shell::asking() else {
        return CompleteEnv::with_factory(Cli::command).shells(SHELLS).complete();
    };
    CompleteEnv::with_factory(|| command(shell)).shells(SHELLS).complete();
}

/// The command line with completers for its values.
fn command(shell: Shell) -> Command {
    Cli::command()
        .mut_arg("remotes", |arg| match line(shell).word_of_command() {
            // clap's engine does not know that no remote stands behind `--`.
            Some(word) => arg.add(ArgValueCompleter::new(move |begun: &OsStr| commands(word, begun))),
            None => arg.add(ArgValueCandidates::new(remotes)),
        })
        // The delimiter is for the completion only, as a comma in braces does not delimit.
        .mut_arg("types", |arg| arg.value_delimiter(',').add(ArgValueCandidates::new(types)))
        .mut_arg("actions", |arg| arg.value_delimiter(',').add(ArgValueCandidates::new(actions)))
        .mut_arg("projects", |arg| arg.value_delimiter(',').add(ArgValueCandidates::new(move || projects(shell))))
}

/// The remotes of both client configurations.
fn remotes() -> Vec<CompletionCandidate> {
    let names = in_time(|| remote::names(&Environment::current())).unwrap_or_default();
    let can_be_named = |name: &String| !name.contains(':') && name != "unix";
    names.into_iter().filter(can_be_named).filter_map(|name| candidate(format!("{name}:"))).collect()
}

/// The event types with their meanings.
fn types() -> Vec<CompletionCandidate> {
    Type::KNOWN.iter().map(|kind| CompletionCandidate::new(kind.name()).help(Some(kind.meaning().into()))).collect()
}

/// The lifecycle actions with their meanings, and the states.
fn actions() -> Vec<CompletionCandidate> {
    let actions = ACTIONS.iter().map(|action| (action.name, action.meaning));
    let states = Named::ALL.into_iter().map(|named| (named.name(), named.meaning()));
    actions.chain(states).map(|(name, meaning)| CompletionCandidate::new(name).help(Some(meaning.into()))).collect()
}

/// The projects of the first remote on the command line, else of the default remote. Empty if the server does not
/// answer.
fn projects(shell: Shell) -> Vec<CompletionCandidate> {
    let typed = typed(shell);
    let names = in_time(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(ask(&typed))
    });
    // A value of `--project` that starts with an exclamation mark excludes.
    let can_be_named = |name: &String| !name.starts_with('!');
    let names = names.and_then(Result::ok).unwrap_or_default();
    names.into_iter().filter(can_be_named).filter_map(candidate).collect()
}

/// What the word of this number of `-- COMMAND` can be, from 0: the first one a program in a directory of `PATH`, the
/// others files.
fn commands(word: usize, begun: &OsStr) -> Vec<CompletionCandidate> {
    let Some(begun) = begun.to_str().filter(|begun| word == 0 && !begun.contains('/')).map(str::to_owned) else {
        return PathCompleter::any().complete(begun);
    };
    let names = in_time(move || {
        let directories = std::env::var_os("PATH").unwrap_or_default();
        let files = std::env::split_paths(&directories).filter_map(|path| path.read_dir().ok()).flatten().flatten();
        let wanted = files.filter_map(|file| {
            let name = file.file_name().into_string().ok().filter(|name| name.starts_with(&begun))?;
            // Of the file that a link leads to.
            let file = std::fs::metadata(file.path()).ok()?;
            (file.is_file() && file.permissions().mode() & 0o111 != 0).then_some(name)
        });
        wanted.collect::<BTreeSet<_>>()
    });
    names.unwrap_or_default().into_iter().filter_map(candidate).collect()
}

/// A candidate for this name, unless it looks like an option or has characters that are not visible.
fn candidate(name: String) -> Option<CompletionCandidate> {
    let is_name = !matches!(&*name, "" | ":") && !name.starts_with('-') && is_plain(&name);
    is_name.then(|| CompletionCandidate::new(name))
}

/// The result of `work`, or `None` after a timeout. A thread that hangs ends with the process.
fn in_time<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (report, reported) = mpsc::channel();
    std::thread::Builder::new().spawn(move || report.send(work())).ok()?;
    reported.recv_timeout(PATIENCE).ok()
}

/// The options and arguments that have been typed so far. Errors are ignored, as the command line is incomplete.
fn typed(shell: Shell) -> ArgMatches {
    Cli::command().ignore_errors(true).try_get_matches_from(line(shell).words).unwrap_or_default()
}

/// The command line that is being typed.
fn line(shell: Shell) -> Line {
    Line::typed(shell, std::env::args_os().skip_while(|word| word != "--").skip(1).collect())
}

async fn ask(typed: &ArgMatches) -> anyhow::Result<Vec<String>> {
    #[derive(Deserialize)]
    struct Answer {
        metadata: Vec<String>,
    }
    let is_set = |flag| matches!(typed.try_get_one(flag), Ok(Some(true)));
    let flavour = match (is_set("lxd"), is_set("incus")) {
        (true, _) => Some(Flavour::Lxd),
        (_, true) => Some(Flavour::Incus),
        _ => None,
    };
    let words: Vec<_> =
        typed.try_get_many::<String>("remotes").ok().flatten().into_iter().flatten().take(1).cloned().collect();
    let environment = Environment::current();
    let wanted = Wanted { words: &words, flavour, force_local: is_set("force_local"), names_projects: true };
    let remotes = remote::resolve(&wanted, &environment)?;
    let Some(remote) = remotes.first() else { return Ok(Vec::new()) };
    let turn = Turn::default();
    let attempt = Attempt::new(remote, &turn);
    let dial = async |attempt: &Attempt<'_>| dial(attempt, &environment, &Rc::default()).await;
    let body = attempt.run(dial, async |Dialed { stream, host, prefix, identity, .. }| {
        http::get(stream, &host, &format!("{prefix}/1.0/projects"), &identity, LONGEST).await
    });
    let body = body.await?;
    let answer: Answer = serde_json::from_slice(&body)?;
    Ok(answer.metadata.iter().map(|path| Entity::parse(path).name.into_owned()).collect())
}
