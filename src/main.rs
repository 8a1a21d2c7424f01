//! The `lxmon` program: parse, run, map the outcome to an exit status.

use std::process::ExitCode;

use clap::Parser as _;

use lxmon::cli::Cli;
use lxmon::exit::Exit;
use lxmon::{notice, run, signals};

fn main() -> ExitCode {
    let exit = run(&Cli::parse()).unwrap_or_else(|error| notice::fail(&error));
    if let Exit::Signal(signal) = exit {
        signals::die_by(signal);
    }
    ExitCode::from(exit.status())
}
