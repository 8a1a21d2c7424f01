//! Asks the servers that an unfinished command line means for names: of their projects, instances and cluster members.

use std::borrow::Cow;
use std::ffi::OsString;
use std::rc::Rc;
use std::slice;
use std::sync::mpsc::{self, Sender};
use std::time::{Duration, Instant};

use clap::{ArgMatches, CommandFactory as _, value_parser};
use futures_util::future::join_all;
use serde::Deserialize;

use super::Cli;
use crate::event::entity::Entity;
use crate::filter::{excludes, literal, values};
use crate::remote::{self, Flavour, Remote, Wanted};
use crate::source::server::attempt::{Attempt, Turn};
use crate::source::server::dial::dial;
use crate::source::server::http;
use crate::source::server::request::{Projects, Request};
use crate::source::server::stream::Dialed;
use crate::system::environment::Environment;

/// The timeout for finding candidates, because a user waits at the keyboard. With the start of the program, Tab takes
/// less than 300 ms.
const PATIENCE: Duration = Duration::from_millis(250);

/// The maximum length of a server's answer, in bytes.
const LONGEST: usize = 1 << 20;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Names {
    Projects,
    /// Of the projects that the line names, else of those that are followed without any.
    Instances,
    Members,
}

/// The names that the servers know, sorted. `words` is the unfinished command line. Servers that do not answer in time,
/// or refuse, have none.
pub(super) fn of_servers(what: Names, words: Vec<OsString>) -> Vec<String> {
    let answers = in_time(move |answers| {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        let (typed, environment) = (typed(&words), Environment::current());
        let questions = questions(what, &typed);
        let remotes = remotes(&typed, &environment);
        let asked = remotes.iter().flat_map(|remote| questions.iter().map(move |question| (remote, question)));
        runtime.block_on(join_all(asked.map(async |(remote, question)| {
            if let Ok(names) = ask(remote, &environment, question).await {
                // Fails once nobody waits any more.
                let _ = answers.send(names);
            }
        })));
    });
    let mut names: Vec<_> = answers.into_iter().flatten().collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// All that `work` sends before the timeout. A thread that hangs ends with the process.
pub(super) fn in_time<T: Send + 'static>(work: impl FnOnce(&Sender<T>) + Send + 'static) -> Vec<T> {
    let end = Instant::now() + PATIENCE;
    let (sender, found) = mpsc::channel();
    let mut all = Vec::new();
    if std::thread::Builder::new().spawn(move || work(&sender)).is_ok() {
        while let Ok(some) = found.recv_timeout(end.saturating_duration_since(Instant::now())) {
            all.push(some);
        }
    }
    all
}

/// The options and arguments that have been typed so far. Errors are ignored, as the command line is incomplete; values
/// are not parsed, because clap ends at the first one that is wrong.
fn typed(words: &[OsString]) -> ArgMatches {
    let command = Cli::command()
        .ignore_errors(true)
        .mut_args(|arg| if arg.get_action().takes_values() { arg.value_parser(value_parser!(OsString)) } else { arg });
    command.try_get_matches_from(words).unwrap_or_default()
}

/// The values of an argument, without those that are not text.
fn texts(typed: &ArgMatches, name: &str) -> Vec<String> {
    let given = typed.try_get_many::<OsString>(name).ok().flatten().into_iter().flatten();
    given.filter_map(|value| value.to_str().map(str::to_owned)).collect()
}

fn is_set(typed: &ArgMatches, flag: &str) -> bool {
    matches!(typed.try_get_one(flag), Ok(Some(true)))
}

/// The servers that the line means. Words that are not remotes, such as the one that is being typed, are left out.
fn remotes(typed: &ArgMatches, environment: &Environment) -> Vec<Remote> {
    let flavour = match (is_set(typed, "lxd"), is_set(typed, "incus")) {
        (true, _) => Some(Flavour::Lxd),
        (_, true) => Some(Flavour::Incus),
        _ => None,
    };
    let wanted = Wanted { words: &[], flavour, force_local: is_set(typed, "force_local"), names_projects: true };
    let words = texts(typed, "remotes");
    let named = words.iter().map(|word| Wanted { words: slice::from_ref(word), ..wanted });
    let all = named.chain(words.is_empty().then_some(wanted));
    all.filter_map(|wanted| remote::resolve(&wanted, environment).ok()).flatten().collect()
}

/// The questions that each server is asked.
fn questions(what: Names, typed: &ArgMatches) -> Vec<Question> {
    match what {
        Names::Projects => vec![Question::Path("/1.0/projects")],
        Names::Members => vec![Question::Path("/1.0/cluster/members")],
        Names::Instances => {
            let projects: Vec<_> =
                texts(typed, "projects").iter().filter_map(|text| values(text).ok()).flatten().collect();
            let named: Option<Vec<_>> = projects
                .iter()
                .map(|value| literal(value).filter(|_| !excludes(value)).map(Cow::into_owned).map(Projects::One))
                .collect();
            let projects = match named {
                Some(_) if is_set(typed, "all_projects") => vec![Projects::All],
                Some(named) if named.is_empty() => vec![Projects::Default],
                Some(named) => named,
                None => vec![Projects::All],
            };
            projects.into_iter().map(|projects| Question::Instances(Request { types: Vec::new(), projects })).collect()
        }
    }
}

/// A question to a server, whose answer is a list of paths.
enum Question {
    Path(&'static str),
    Instances(Request),
}

async fn ask(remote: &Remote, environment: &Environment, question: &Question) -> anyhow::Result<Vec<String>> {
    #[derive(Deserialize)]
    struct Answer {
        metadata: Vec<String>,
    }
    let turn = Turn::default();
    let attempt = Attempt::new(remote, &turn);
    let dial = async |attempt: &Attempt<'_>| dial(attempt, environment, &Rc::default()).await;
    let body = attempt.run(dial, async |Dialed { stream, host, prefix, identity, .. }| {
        let target = match question {
            Question::Path(path) => format!("{prefix}{path}"),
            Question::Instances(request) => request.instances_target(&prefix, remote.project.as_deref()),
        };
        http::get(stream, &host, &target, &identity, LONGEST).await
    });
    let body = body.await?;
    let answer: Answer = serde_json::from_slice(&body)?;
    Ok(answer.metadata.iter().map(|path| Entity::parse(path).name.into_owned()).collect())
}
