//! In place of `--jq` in a program that was built without the feature `jq`.

use std::convert::Infallible;
use std::process::ExitCode;
use std::sync::Arc;

use crate::event::message::Memory;
use crate::event::{Event, Spare};
use crate::report::exit::Fault;

/// There is none.
#[derive(Debug)]
pub(crate) struct Jq(Infallible);

/// There is none.
#[derive(Debug)]
pub(crate) struct Handle(Infallible);

/// Whether this process was started to run an expression: never.
#[must_use]
pub fn is_asked() -> bool {
    false
}

/// Runs nothing.
#[must_use]
pub fn run() -> ExitCode {
    ExitCode::FAILURE
}

impl Jq {
    /// # Errors
    /// Always.
    pub(crate) fn start(_expression: &str, _names: Vec<String>, _needs_events: bool) -> Result<Self, Fault> {
        Err(Fault::usage("--jq: this lxmon was built without it")
            .hint("build it with its default features, or use a pipe: lxmon -f json | jq EXPR"))
    }

    pub(crate) fn handle(&self) -> Arc<Handle> {
        match self.0 {}
    }

    pub(crate) fn apply(&mut self, _events: &mut Vec<Event>, _spares: &mut Vec<Spare>, _memory: &Arc<Memory>) {
        match self.0 {}
    }
}

impl Handle {
    pub(crate) fn interrupt(&self) {
        match self.0 {}
    }

    pub(crate) fn report(&self) {
        match self.0 {}
    }
}
