//! Describes the failure that ends the program with `--fail-fast`.

use std::borrow::Cow;

use crate::event::entity::{Entity, EntityKind};
use crate::event::{Event, Failure, Level, Logging, Operation};
use crate::report::exit::Fault;

/// The project that is not named.
const DEFAULT_PROJECT: &str = "default";

/// The failure that `event` reports, as an error: what has failed, and why. `remote` is the name of the remote if there
/// are several.
#[must_use]
pub(crate) fn describe(event: &Event, remote: Option<&str>) -> Fault {
    let what = match (event.failure(), event.operation(), event.logging()) {
        (Some(Failure::Operation(reason)), Some(operation), _) => {
            let failed = format!("{}: {} failed", subject(event, operation), description(operation));
            reason.map_or(failed.clone(), |reason| format!("{failed}: {}", reason.cow()))
        }
        (Some(Failure::Command(status)), Some(operation), _) => {
            format!("{}: {} failed: it returned {status}", subject(event, operation), description(operation))
        }
        (Some(Failure::Message(level)), _, Some(log)) => message(event, log, level),
        _ => "a failure".to_owned(),
    };
    Fault::failure(match remote {
        Some(remote) => format!("{remote}: {what}"),
        None => what,
    })
}

/// What the operation works on: an instance by its name alone, anything else with its kind.
fn subject(event: &Event, operation: Operation<'_>) -> String {
    let paths = operation.subjects();
    let Some(path) = paths.first() else { return "operation".to_owned() };
    let entity = Entity::parse(path);
    let name = match entity.kind {
        EntityKind::Instance | EntityKind::Other => entity.name.to_string(),
        kind => format!("{} {}", kind.name(), entity.name),
    };
    let project = entity.project.or_else(|| event.project().map(|project| project.cow()));
    with_project(name, project)
}

fn with_project(name: String, project: Option<Cow<'_, str>>) -> String {
    match project {
        Some(project) if project != DEFAULT_PROJECT => format!("{name} (project {project})"),
        _ => name,
    }
}

fn description(operation: Operation<'_>) -> Cow<'_, str> {
    operation.description().map_or(Cow::Borrowed("an operation"), |description| description.cow())
}

/// A log line: what it is about, its text, and the error in its context (both servers: `err`, rarely `error`).
fn message(event: &Event, log: Logging<'_>, level: Level) -> String {
    let context = |key: &str| log.context()?.get_text(key).filter(|text| !text.raw.is_empty()).map(|text| text.cow());
    let project = context("project").or_else(|| event.project().map(|project| project.cow()));
    let about = context("instance").or_else(|| context("container"));
    let about = about.map_or_else(|| "log message".to_owned(), |name| with_project(name.into_owned(), project));
    let text = log.message().map_or(Cow::Borrowed("without text"), |text| text.cow());
    let text = format!("{about}: {level}: {text}");
    match context("err").or_else(|| context("error")) {
        Some(reason) => format!("{text}: {reason}"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::event;

    #[test]
    fn a_failure_is_described_by_what_failed_and_why() {
        let operation = |rest: &str| {
            format!(
                r#"{{"type":"operation","project":"default","metadata":{{"description":"Starting instance",{rest}}}}}"#
            )
        };
        let log = |context: &str| {
            format!(r#"{{"type":"logging","metadata":{{"message":"Failed","level":"error","context":{context}}}}}"#)
        };
        for (text, what) in [
            (
                operation(r#""status_code":400,"err":"no space","resources":{"instances":["/1.0/instances/c1"]}"#),
                "c1: Starting instance failed: no space",
            ),
            // LXD 6.8 and later.
            (
                operation(
                    r#""status_code":400,"err":"","resources":{},"metadata":{"entity_url":"/1.0/instances/c1?project=web"}"#,
                ),
                "c1 (project web): Starting instance failed",
            ),
            (
                operation(r#""status_code":400,"err":"e","resources":{"images":["/1.0/images/12ab"]}"#),
                "image 12ab: Starting instance failed: e",
            ),
            (operation(r#""status_code":400,"err":"e""#), "operation: Starting instance failed: e"),
            (
                r#"{"type":"operation","project":"web","metadata":{"status_code":400,"err":"e","resources":{"instances":["/1.0/instances/c1"]}}}"#.into(),
                "c1 (project web): an operation failed: e",
            ),
            (
                operation(
                    r#""status_code":200,"metadata":{"return":3},"resources":{"instances":["/1.0/instances/c1"]}"#,
                ),
                "c1: Starting instance failed: it returned 3",
            ),
            (log(r#"{"instance":"c1","project":"web","err":"why"}"#), "c1 (project web): error: Failed: why"),
            (log(r#"{"instance":"c1","project":"default"}"#), "c1: error: Failed"),
            (log("null"), "log message: error: Failed"),
            (log(r#"{"error":"why"}"#), "log message: error: Failed: why"),
        ] {
            assert_eq!(describe(&event(&text), None).to_string(), what, "{text}");
        }
        let text = log("{}");
        assert_eq!(describe(&event(&text), Some("n1")).to_string(), "n1: log message: error: Failed");
    }
}
