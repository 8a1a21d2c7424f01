//! What a shell offers for an unfinished command line: options, their values, remotes, files and commands.
//!
//! The scripts in `completions/` ask for it. A script gets the kind of what can stand at the cursor, in a line of its
//! own, and the words that it can be. Files, and the arguments of another command, are completed by the shell.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use clap::error::ErrorKind;
use clap::{Command, CommandFactory as _};
use clap_complete::engine::complete;
use clap_complete::{ArgValueCompleter, CompletionCandidate};

use super::Cli;
use super::names::{Names, in_time, of_servers};
use super::shells::{Line, Offer, Shell, is_plain};
use crate::event::Type;
use crate::event::catalogue::ACTIONS;
use crate::filter::{Named, exactly, split_exclusion, start_of_last};
use crate::remote::{self, Flavour};
use crate::system::environment::Environment;

/// Stands for a file in what completers return. No name has it.
const FILE: char = '\0';

/// The beginning of the argument that is the path of a socket.
const UNIX: &str = "unix:";

/// If a shell asks for completions, prints them and exits the process.
pub fn answer() {
    let Some(name) = std::env::var_os("COMPLETE").filter(|name| !name.is_empty() && name != "0") else { return };
    let Some(shell) = Shell::named(&name) else {
        let what = format!("COMPLETE is {}, and not one of bash, fish and zsh\n", name.display());
        Cli::command().error(ErrorKind::InvalidValue, what).exit();
    };
    let words: Vec<_> = std::env::args_os().skip_while(|word| word != "--").skip(1).collect();
    let text = if words.is_empty() {
        shell.script().to_owned()
    } else {
        let line = Arc::new(Line::typed(shell, words));
        shell.answer(&line, offer(&line))
    };
    // An error means that the shell does not wait for the answer any more.
    let _ = io::stdout().write_all(text.as_bytes());
    std::process::exit(0)
}

/// What can stand at the cursor of a line.
fn offer(line: &Arc<Line>) -> Offer {
    let begun = line.target();
    if let Some(word) = line.word_of_command() {
        return match begun.to_str() {
            _ if word > 0 => Offer::Command,
            Some(begun) if !begun.contains('/') => Offer::Words(programs(begun.to_owned())),
            _ => Offer::Files(String::new()),
        };
    }
    // Errors are about lines without completions.
    let mut words = complete(&mut command(line), line.words.clone(), line.index(), None).unwrap_or_default();
    let is_option = begun.to_str().is_some_and(|begun| begun.starts_with('-'));
    let file = words.iter().filter_map(|word| word.get_value().to_str()?.strip_suffix(FILE));
    match file.map(str::to_owned).next() {
        Some(prefix) if !is_option || !prefix.is_empty() => return Offer::Files(prefix),
        _ => words.retain(|word| !word.get_value().to_string_lossy().contains(FILE)),
    }
    // Options are offered where a word begins with a dash, or nothing else can be.
    let is_value = |word: &CompletionCandidate| !word.get_value().to_string_lossy().starts_with('-');
    if begun.is_empty() && words.iter().any(is_value) {
        words.retain(is_value);
    }
    Offer::Words(words)
}

/// The command line with completers for its values.
fn command(line: &Arc<Line>) -> Command {
    let file = || ArgValueCompleter::new(|_: &OsStr| vec![CompletionCandidate::new(FILE.to_string())]);
    let names = |what| {
        let line = Arc::clone(line);
        list(move || of_servers(what, line.words.clone()).into_iter().filter_map(|name| pattern(&name)).collect())
    };
    let remotes = {
        let line = Arc::clone(line);
        ArgValueCompleter::new(move |begun: &OsStr| remotes(&line, begun))
    };
    Cli::command()
        .mut_arg("remotes", |arg| arg.add(remotes))
        .mut_arg("types", |arg| arg.add(list(types)))
        .mut_arg("actions", |arg| arg.add(list(|| actions().chain(states()).collect())))
        .mut_arg("list_actions", |arg| arg.add(list(|| actions().collect())))
        .mut_arg("instances", |arg| arg.add(names(Names::Instances)))
        .mut_arg("projects", |arg| arg.add(names(Names::Projects)))
        .mut_arg("locations", |arg| arg.add(names(Names::Members)))
        .mut_arg("replay", |arg| arg.add(file()))
        .mut_arg("record", |arg| arg.add(file()))
}

/// Completes the last one of several values, with or without the `!` that excludes.
fn list(candidates: impl Fn() -> Vec<CompletionCandidate> + Send + Sync + 'static) -> ArgValueCompleter {
    ArgValueCompleter::new(move |begun: &OsStr| {
        let last = begun.to_str().and_then(|begun| Some(begun.split_at(start_of_last(begun)?)));
        let Some((before, last)) = last else { return Vec::new() };
        let (excludes, last) = split_exclusion(last);
        let prefix = format!("{before}{}", if excludes { "!" } else { "" });
        let fits = |candidate: &CompletionCandidate| candidate.get_value().to_string_lossy().starts_with(last);
        candidates().into_iter().filter(fits).map(|candidate| candidate.add_prefix(&prefix)).collect()
    })
}

/// The remotes of both client configurations that are not on the line yet, and the paths of sockets.
fn remotes(line: &Line, begun: &OsStr) -> Vec<CompletionCandidate> {
    let Some(begun) = begun.to_str() else { return Vec::new() };
    if begun.starts_with(UNIX) {
        return vec![CompletionCandidate::new(format!("{UNIX}{FILE}"))];
    }
    let has = |flavour: &Flavour| line.others().any(|word| word == OsStr::new(flavour.option()));
    let flavour = Flavour::ALL.into_iter().find(has);
    let names = in_time(move |names| {
        for name in remote::names(flavour, &Environment::current()) {
            let _ = names.send(name);
        }
    });
    let names = names.into_iter().filter(|name| !name.contains(':') && name != "unix").map(|name| format!("{name}:"));
    let unix = (!begun.is_empty()).then(|| UNIX.to_owned());
    let is_new = |name: &String| name.starts_with(begun) && !line.others().any(|word| word == OsStr::new(name));
    names.chain(unix).filter(is_new).filter_map(candidate).collect()
}

/// The event types with their meanings.
fn types() -> Vec<CompletionCandidate> {
    Type::KNOWN.iter().map(|kind| CompletionCandidate::new(kind.name()).help(Some(kind.meaning().into()))).collect()
}

/// The lifecycle actions with their meanings.
fn actions() -> impl Iterator<Item = CompletionCandidate> {
    ACTIONS.iter().map(|action| CompletionCandidate::new(action.name).help(Some(action.meaning.into())))
}

/// The states with their meanings.
fn states() -> impl Iterator<Item = CompletionCandidate> {
    let states = Named::ALL.into_iter();
    states.map(|named| CompletionCandidate::new(named.name()).help(Some(named.meaning().into())))
}

/// The programs in the directories of `PATH` whose names begin so.
fn programs(begun: String) -> Vec<CompletionCandidate> {
    let names = in_time(move |names| {
        let directories = std::env::var_os("PATH").unwrap_or_default();
        for file in std::env::split_paths(&directories).filter_map(|path| path.read_dir().ok()).flatten().flatten() {
            let name: Option<String> = file.file_name().into_string().ok().filter(|name| name.starts_with(&begun));
            // Of the file that a link leads to.
            let about = name.and_then(|name| Some((name, std::fs::metadata(file.path()).ok()?)));
            if let Some((name, about)) = about
                && about.is_file()
                && about.permissions().mode() & 0o111 != 0
            {
                let _ = names.send(name);
            }
        }
    });
    names.into_iter().collect::<BTreeSet<_>>().into_iter().filter_map(candidate).collect()
}

/// A candidate for the pattern that matches this name only.
fn pattern(name: &str) -> Option<CompletionCandidate> {
    candidate(exactly(name))
}

/// A candidate for this word, unless it looks like an option or has characters that are not visible.
fn candidate(word: String) -> Option<CompletionCandidate> {
    let is_word = !matches!(&*word, "" | ":") && !word.starts_with('-') && is_plain(&word);
    is_word.then(|| CompletionCandidate::new(word))
}
