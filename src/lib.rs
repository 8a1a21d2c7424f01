//! lxmon follows the events of LXD and Incus servers.
//!
//! Data flows one way: source → queue → event → filter → transform → window → render → sink. `pipeline` connects the steps and
//! starts their threads.
//!
//! This is a program, not a library: what is public here is used by `main.rs`, the tests, the benchmarks and the fuzz
//! targets of this repository, and can change at any time.

pub mod cli;
mod config;
pub mod event;
pub mod filter;
mod pipeline;
mod queue;
pub mod remote;
pub mod render;
pub mod report;
mod sink;
pub mod source;
pub mod system;
pub mod transform;

use std::io::{self, Write as _};

use log::warn;

use crate::cli::{Cli, When, generate, install};
use crate::config::Config;
use crate::report::exit::{Exit, Fault};
use crate::report::notice::{self, Verbosity};
use crate::system::descriptors;
use crate::system::environment::Environment;
use crate::system::memory;
use crate::system::terminal::Terminal;

/// Runs the command line: prints what `--completions`, `--man` or `--list-actions` ask for, or follows events.
///
/// # Errors
/// Any failure. The root of the error chain is a [`Fault`] where the error has its own exit status or hint.
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
    if cli.install_docs {
        return print(install::install(&Environment::current())?.as_bytes());
    }
    if cli.remove_docs {
        return print(install::remove(&Environment::current())?.as_bytes());
    }
    let cli = &cli.split();
    if let Some(globs) = &cli.list_actions {
        return print(&cli::actions::list(globs)?);
    }
    check_stdout()?;
    descriptors::check_supply()
        .map_err(|error| Fault::failed(format!("starting: {error}")).hint("raise the limit: ulimit -n 64"))?;
    memory::check_supply().map_err(|error| {
        Fault::failed(format!("starting: {error}")).hint("`ulimit -v` shows the limit in KiB and sets it")
    })?;
    let environment = Environment::current();
    config::circumstances::report(&environment);
    let config = Config::new(cli, &environment, Terminal::of_stdout())?;
    for doubt in config::doubts(cli, &config) {
        warn!("{doubt}");
    }
    pipeline::run(config)
}

/// Prints the help or the version, which clap returns as errors.
///
/// # Errors
/// Writing to standard output fails.
pub fn show(help: &clap::Error) -> anyhow::Result<Exit> {
    let text = help.render();
    let color = config::colors(When::Auto, &Environment::current(), Terminal::of_stdout());
    print(if color { text.ansi().to_string() } else { text.to_string() }.as_bytes())
}

/// Prints `text`, which is not an event. A reader that closes the pipe early is not an error.
fn print(text: &[u8]) -> anyhow::Result<Exit> {
    check_stdout()?;
    let mut out = io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Fault::failed(format!("writing to standard output: {error}")).into())
        }
        _ => Ok(Exit::Success),
    }
}

/// # Errors
/// Standard output was closed when the program started.
fn check_stdout() -> Result<(), Fault> {
    if descriptors::stdout_was_closed() {
        return Err(Fault::failed("standard output is closed").hint("to print nothing: >/dev/null"));
    }
    Ok(())
}
