//! Files that are generated from the definition of the command line: completions and the man page.

use std::io;

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::{Cli, man, shells};

/// The completions for `shell`. Where they can, they ask lxmon itself.
pub(crate) fn completions(shell: Shell) -> Vec<u8> {
    if let Some(shell) = shells::Shell::named(shell.to_string().as_ref()) {
        return shell.script().into();
    }
    let mut out = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "lxmon", &mut out);
    out
}

/// The man page, as roff.
pub(crate) fn man() -> io::Result<Vec<u8>> {
    man::source()
}
