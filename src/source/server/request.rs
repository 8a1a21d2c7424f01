//! What a server is asked for.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::event::Type;
use crate::event::state::Kind;

/// The characters that are escaped in a query value: all except the unreserved ones (RFC 3986, section 2.3) and the
/// comma that separates types.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b',');

/// What a server is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Request {
    /// Event types; if empty, the server sends all that are permitted.
    pub types: Vec<String>,
    /// The projects.
    pub projects: Projects,
}

/// The projects whose events are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Projects {
    /// The remote's own project, or else the server's default.
    #[default]
    Default,
    /// This project.
    One(String),
    /// All projects.
    All,
}

impl Request {
    /// Whether log messages are asked for, which members of a cluster do not all forward to each other.
    #[must_use]
    pub(crate) fn wants_logs(&self) -> bool {
        let log_types = [Type::Logging, Type::Ovn, Type::NetworkAcl].map(Type::name);
        self.types.is_empty() || self.types.iter().any(|name| log_types.contains(&&**name))
    }

    /// The path and query. `default_project` is the remote's own project; if given, it is sent even if it is the
    /// server's default too.
    #[must_use]
    pub(crate) fn target(&self, prefix: &str, default_project: Option<&str>) -> String {
        let mut target = format!("{prefix}/1.0/events");
        let mut separator = '?';
        let mut add = |name: &str, value: &str| {
            target.push(separator);
            target.push_str(name);
            target.push('=');
            target.extend(utf8_percent_encode(value, ESCAPED));
            separator = '&';
        };
        if !self.types.is_empty() {
            add("type", &self.types.join(","));
        }
        self.add_project(default_project, add);
        target
    }

    /// The path and query of the question for the present state, likewise. No other form of the query that all servers
    /// know names the status of an instance.
    #[must_use]
    pub(crate) fn state_target(&self, kind: Kind, prefix: &str, default_project: Option<&str>) -> String {
        let what = match kind {
            Kind::Instance => "instances",
            Kind::Operation => "operations",
        };
        let mut target = format!("{prefix}/1.0/{what}?recursion=1");
        self.add_project(default_project, |name, value| add_parameter(&mut target, name, value));
        target
    }

    /// The path and query of the question for the paths of the instances, likewise.
    #[must_use]
    pub(crate) fn instances_target(&self, prefix: &str, default_project: Option<&str>) -> String {
        let mut target = format!("{prefix}/1.0/instances?recursion=0");
        self.add_project(default_project, |name, value| add_parameter(&mut target, name, value));
        target
    }

    /// Adds the parameter that names the projects.
    fn add_project(&self, default_project: Option<&str>, mut add: impl FnMut(&str, &str)) {
        match (&self.projects, default_project) {
            (Projects::All, _) => add("all-projects", "true"),
            (Projects::One(project), _) => add("project", project),
            (Projects::Default, Some(project)) => add("project", project),
            (Projects::Default, None) => {}
        }
    }
}

/// Adds a further parameter to a query.
fn add_parameter(target: &mut String, name: &str, value: &str) {
    target.extend(["&", name, "="]);
    target.extend(utf8_percent_encode(value, ESCAPED));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_says_what_is_wanted() {
        let request =
            |types: &[&str], projects| Request { types: types.iter().map(ToString::to_string).collect(), projects };
        for (request, default_project, target) in [
            (request(&[], Projects::Default), None, "/1.0/events"),
            (request(&[], Projects::Default), Some("web"), "/1.0/events?project=web"),
            (
                request(&["lifecycle", "operation"], Projects::All),
                Some("web"),
                "/1.0/events?type=lifecycle,operation&all-projects=true",
            ),
            (request(&["a b&c"], Projects::One("ü/?".into())), None, "/1.0/events?type=a%20b%26c&project=%C3%BC%2F%3F"),
        ] {
            assert_eq!(request.target("", default_project), target);
        }
        for (projects, default_project, target) in [
            (Projects::Default, None, "/p/1.0/instances?recursion=0"),
            (Projects::Default, Some("web"), "/p/1.0/instances?recursion=0&project=web"),
            (Projects::One("a&b".into()), Some("web"), "/p/1.0/instances?recursion=0&project=a%26b"),
            (Projects::All, Some("web"), "/p/1.0/instances?recursion=0&all-projects=true"),
        ] {
            assert_eq!(request(&[], projects).instances_target("/p", default_project), target);
        }
        for (projects, default_project, target) in [
            (Projects::Default, None, "/p/1.0/instances?recursion=1"),
            (Projects::Default, Some("web"), "/p/1.0/instances?recursion=1&project=web"),
            (Projects::One("a&b".into()), Some("web"), "/p/1.0/instances?recursion=1&project=a%26b"),
            (Projects::All, Some("web"), "/p/1.0/instances?recursion=1&all-projects=true"),
        ] {
            assert_eq!(request(&["x"], projects).state_target(Kind::Instance, "/p", default_project), target);
        }
    }
}
