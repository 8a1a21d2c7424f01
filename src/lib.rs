//! lxmon follows the events of LXD and Incus servers.
//!
//! Data flows one way: source → queue → event → filter → window → render → sink. [`pipeline`] joins the steps and says
//! which thread does what.

pub mod cli;
pub mod complete;
pub mod config;
pub mod event;
pub mod exit;
pub mod filter;
pub mod gap;
mod generate;
mod near;
pub mod notice;
pub mod pipeline;
pub mod queue;
pub mod remote;
pub mod render;
mod shells;
pub mod signals;
pub mod sink;
pub mod skipped;
pub mod source;
pub mod system;
pub mod terminal;

use std::io::{self, Write as _};

use log::warn;

use crate::cli::Cli;
use crate::config::Config;
use crate::event::catalogue;
use crate::exit::{Exit, Fault};
use crate::notice::Verbosity;
use crate::remote::Environment;
use crate::terminal::Terminal;

/// Does what the command line says.
///
/// # Errors
/// What went wrong; the root of the chain is a [`Fault`] where a status or a hint depends on it.
pub fn run(cli: &Cli) -> anyhow::Result<Exit> {
    notice::start(match cli {
        Cli { quiet: true, .. } => Verbosity::Quiet,
        Cli { debug: true, .. } => Verbosity::Debug,
        Cli { verbose: true, .. } => Verbosity::Verbose,
        _ => Verbosity::Normal,
    });
    if let Some(shell) = cli.completions {
        return print(&generate::completions(shell));
    }
    if cli.man {
        return print(&generate::man()?);
    }
    if let Some(glob) = &cli.list_actions {
        let mut list = Vec::new();
        catalogue::write_list(&mut list, glob.as_deref())?;
        if list.is_empty() {
            return Err(no_such_action(glob.as_deref().unwrap_or_default()).into());
        }
        return print(&list);
    }
    for doubt in config::doubts(cli) {
        warn!("{doubt}");
    }
    pipeline::run(Config::new(cli, &Environment::current(), Terminal::of_stdout())?)
}

/// Prints what is not an event. That nobody reads it to its end is no error.
fn print(text: &[u8]) -> anyhow::Result<Exit> {
    let mut out = io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Fault::failed(format!("writing to standard output: {error}")).into())
        }
        _ => Ok(Exit::Success),
    }
}

fn no_such_action(glob: &str) -> Fault {
    let fault = Fault::failed(format!("no known action matches {glob:?}"));
    match &catalogue::nearest(glob)[..] {
        [] => fault,
        names => fault.hint(format!("near it: {}", names.join(", "))),
    }
}
