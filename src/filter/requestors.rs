//! `--requestor`: who asked for what an event reports, or that nobody did.

use std::net::SocketAddrV6;

use super::patterns::{Patterns, split_exclusion};
use crate::event::Event;

/// The value that stands for nobody. A user of that name is selected by `*/none`.
const NOBODY: &str = "none";

/// The values of the option.
#[derive(Debug)]
pub(super) struct Requestors {
    patterns: Patterns,
    includes_nobody: bool,
    excludes_nobody: bool,
}

/// An IPv6 address with a port begins with a bracket, which is no set then.
fn address(value: String) -> String {
    let (excludes, pattern) = split_exclusion(&value);
    match (pattern.parse::<SocketAddrV6>(), excludes) {
        (Ok(_), true) => format!(r"!\{pattern}"),
        (Ok(_), false) => format!(r"\{pattern}"),
        (Err(_), _) => value,
    }
}

impl Requestors {
    pub(super) fn new(values: &[String]) -> Self {
        let (nobody, patterns): (Vec<_>, Vec<_>) =
            values.iter().cloned().partition(|value| split_exclusion(value).1 == NOBODY);
        let patterns: Vec<_> = patterns.into_iter().map(address).collect();
        Self {
            patterns: Patterns::new(&patterns),
            includes_nobody: nobody.iter().any(|value| !split_exclusion(value).0),
            excludes_nobody: nobody.iter().any(|value| split_exclusion(value).0),
        }
    }

    /// Whether the event passes. A requestor is compared as `protocol/username`, by the username, and by the address with
    /// and without its port. An event of a type that says who asked, but that names nobody, has the value [`NOBODY`]. An
    /// event of another type, such as a log line, has no value.
    pub(super) fn admit(&self, event: &Event) -> bool {
        let must_match = self.patterns.must_match() || self.includes_nobody;
        if !event.can_have_requestor() {
            return !must_match;
        }
        let Some(requestor) = event.requestor() else {
            return !self.excludes_nobody && (self.includes_nobody || !must_match);
        };
        let (username, address) = (requestor.username.cow(), requestor.address.cow());
        let full = format!("{}/{username}", requestor.protocol.cow());
        let host = requestor.host().unwrap_or_default();
        let names = || [&*full, &*username, &*address, &*host].into_iter().filter(|name| !name.is_empty());
        !names().any(|name| self.patterns.exclude(name))
            && (!must_match || names().any(|name| self.patterns.include(name)))
    }
}
