//! The `lxmon` program: parse, run, map the outcome to an exit status.

use std::process::ExitCode;

use lxmon::cli::{Cli, complete, meant};
use lxmon::report::exit::Exit;
use lxmon::report::notice;
use lxmon::system::{memory, signals};
use lxmon::transform::jq;
use lxmon::{run, show};

fn main() -> ExitCode {
    if let Err(error) = memory::exit_where_allocations_fail(Exit::Failed.status()) {
        let exit = notice::fail(&anyhow::Error::new(error).context("starting"));
        notice::flush();
        return ExitCode::from(exit.status());
    }
    if jq::is_asked() {
        return jq::run();
    }
    // If a shell asks for completions, this prints them and exits.
    complete::answer();
    let exit = match Cli::of_words(std::env::args_os()) {
        Ok(cli) => run(&cli).unwrap_or_else(|error| notice::fail(&error)),
        // Help and version are not errors. They are printed here because clap's own print ignores write errors.
        Err(shown) if !shown.use_stderr() => show(&shown).unwrap_or_else(|error| notice::fail(&error)),
        Err(error) => notice::misuse(&error, meant::hint(&error)),
    };
    notice::flush();
    if let Exit::Signal(signal) = exit {
        signals::die_by(signal);
    }
    ExitCode::from(exit.status())
}
