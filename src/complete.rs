//! What the shell offers while a command line is being typed: remotes, projects, actions.

use std::cell::Cell;
use std::time::Duration;

use clap_complete::CompletionCandidate;
use serde::Deserialize;
use tokio::time::timeout;

use crate::event::catalogue::ACTIONS;
use crate::event::source::Source;
use crate::remote::{self, Environment, Wanted};
use crate::source::dial::{Dialed, dial};
use crate::source::http;

/// How long the server may take; someone waits at the keyboard.
const PATIENCE: Duration = Duration::from_secs(1);

/// The longest answer that is read, in bytes.
const LONGEST: usize = 1 << 20;

/// The remotes of both client configurations.
pub(crate) fn remotes() -> Vec<CompletionCandidate> {
    let names = remote::names(&Environment::current());
    names.into_iter().map(|name| CompletionCandidate::new(format!("{name}:"))).collect()
}

/// The lifecycle actions with their meanings.
pub(crate) fn actions() -> Vec<CompletionCandidate> {
    ACTIONS.iter().map(|action| CompletionCandidate::new(action.name).help(Some(action.meaning.into()))).collect()
}

/// The projects of the remote that is named on the command line, else of the default one. None when it does not answer.
pub(crate) fn projects() -> Vec<CompletionCandidate> {
    let words: Vec<_> = std::env::args().skip(1).filter(|word| word.ends_with(':') && word.len() > 1).take(1).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let asked = runtime.map(|runtime| runtime.block_on(async { timeout(PATIENCE, ask(&words)).await }));
    let names = asked.ok().and_then(Result::ok).and_then(Result::ok).unwrap_or_default();
    names.into_iter().map(CompletionCandidate::new).collect()
}

async fn ask(words: &[String]) -> anyhow::Result<Vec<String>> {
    #[derive(Deserialize)]
    struct Answer {
        metadata: Vec<String>,
    }
    let environment = Environment::current();
    let remotes = remote::resolve(&Wanted { words, flavour: None, force_local: false }, &environment)?;
    let Some(remote) = remotes.first() else { return Ok(Vec::new()) };
    let Dialed { stream, host, prefix, authorization, .. } = dial(remote, &environment, &Cell::new(false)).await?;
    let target = format!("{prefix}/1.0/projects");
    let body = http::get(stream, &host, &target, authorization.as_ref(), LONGEST).await?;
    let answer: Answer = serde_json::from_slice(&body)?;
    Ok(answer.metadata.iter().map(|path| Source::parse(path).name.into_owned()).collect())
}
