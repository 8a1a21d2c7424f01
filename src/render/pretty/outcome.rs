//! The line of an operation: what it works on, and how it goes on or has ended.

use std::io::Write as _;
use std::time::Duration;

use chrono::DateTime;

use super::super::theme;
use super::columns::Layout;
use super::glyph::Glyph;
use super::lifecycle::last_part;
use super::line::Line;
use super::operations::{Step, Turn};
use super::progress::Progress;
use super::text::Ellipsis;
use crate::event::entity::{Entity, EntityKind};
use crate::event::json::{Content, Text};
use crate::event::{Event, Failure, Operation, Status};
use crate::system::duration::shown;
use crate::system::units::write_size;

/// How many digits of the id are shown where operations differ by it only. They are its last ones, as the first ones of LXD's are a time.
const ID_DIGITS: usize = 6;

/// The beginning of the path that LXD up to 5.0 has for backups.
const BACKUPS: &str = "/1.0/backups/";

/// Fills in the line of an operation that begins or has ended.
pub(super) fn fill(line: &mut Line, operation: Operation<'_>, event: &Event, step: &Step<'_>) {
    let failure = event.failure();
    let status = operation.status();
    let is_token = is_token(operation);
    line.glyph(match (failure, step.turn) {
        (Some(_), _) => Glyph::FAILURE,
        (None, Turn::Begins) if is_token => Glyph::OTHER,
        (None, _) => Glyph::of_status(status),
    });
    head(line, operation, event);
    match (failure, status) {
        (Some(failure), _) => fail(line, operation, event, failure),
        (None, Status::Cancelled) if is_token => line.detail.push("used, cancelled or expired"),
        (None, Status::Cancelled) => {
            line.detail.style = theme::WARN;
            line.detail.push("cancelled");
            duration(line, operation, event, " after ");
        }
        (None, Status::Success) => duration(line, operation, event, ""),
        (None, Status::Going | Status::Failure) => {
            if let Some(children) = children(operation) {
                line.detail.push(children);
                line.detail.push(if children == "1" { " operation" } else { " operations" });
            }
            if let Some(stage) = step.stage.as_deref() {
                line.detail.separate("  ");
                Progress::of(operation, Some(stage)).push(&mut line.detail);
            }
        }
    }
    results(line, operation);
    if step.has_double {
        id(line, operation);
    }
    line.requestor(event);
}

/// Fills in the line of an operation that is in progress.
pub(super) fn fill_row(
    line: &mut Line,
    operation: Operation<'_>,
    event: &Event,
    step: &Step<'_>,
    elapsed: Duration,
    layout: &Layout,
) {
    line.glyph(Glyph::RUNNING);
    head(line, operation, event);
    let room = layout.room_behind(line.what.text());
    Progress::of(operation, step.stage.as_deref()).push_row(&mut line.detail, elapsed, room);
    results(line, operation);
    if step.has_double {
        id(line, operation);
    }
}

/// Whether the operation is a token: it only waits until somebody uses it.
pub(super) fn is_token(operation: Operation<'_>) -> bool {
    operation.member("class").and_then(|class| class.as_text()).is_some_and(|class| class.is("token"))
}

/// Sets the object and the description.
fn head(line: &mut Line, operation: Operation<'_>, event: &Event) {
    let description = operation.description().filter(|description| !description.raw.is_empty());
    let is_vague = description.is_some_and(|description| description.is("Executing operation"));
    if let Some(kind) = token_kind(operation).filter(|_| is_vague) {
        line.what.push(kind);
    } else {
        let class = || operation.member("class").and_then(|class| class.as_text());
        line.what.push_text(description.or_else(class));
    }
    let subjects = operation.subjects();
    let Some(path) = subjects.first() else { return fingerprint(line, operation) };
    let entity = Entity::parse(path);
    // The project stands for something in it that is not named, unless the project itself is meant.
    if entity.kind == EntityKind::Project && !description.is_some_and(|text| text.raw.contains(" project")) {
        return fingerprint(line, operation);
    }
    line.object(&entity, path, event.project());
    let others = &subjects[1..];
    if let ([instance], EntityKind::Other) = (others, entity.kind)
        && path.starts_with(BACKUPS)
    {
        // LXD up to 5.0 names the instance beside its backup.
        let name = last_part(&entity.name);
        line.object.text.truncate(line.object.prefix);
        line.object.push(&Entity::parse(instance).name);
        line.object.push("/");
        line.object.push(name);
    } else if subjects.len() == 2 && is_copy(operation) {
        line.extra.push("copy of ");
        let source = Entity::parse(&subjects[1]);
        line.extra.push(&source.name);
    } else if subjects.len() > 1 {
        line.object.push(&format!(" +{}", subjects.len() - 1));
        for (at, path) in subjects.iter().enumerate() {
            line.extra.push(if at == 0 { "" } else { ", " });
            line.extra.push(last_part(&Entity::parse(path).name));
        }
    }
    if let Some(target) =
        path.split_once('?').and_then(|(_, query)| query.split('&').find_map(|pair| pair.strip_prefix("target=")))
    {
        line.extra.separate("  ");
        line.extra.push("on ");
        line.extra.push(target);
    }
}

/// Whether the second resource is what the first one is copied from. Only Incus names it (`cmd/incusd/instances_post.go`).
fn is_copy(operation: Operation<'_>) -> bool {
    operation.description().is_some_and(|description| description.is("Creating instance"))
}

/// What a token is for. LXD up to 6.7 and Incus have one description for both kinds.
fn token_kind(operation: Operation<'_>) -> Option<&'static str> {
    let details = operation.details().filter(|_| is_token(operation))?;
    if details.get("serverName").is_some() {
        Some("Cluster join token")
    } else {
        details.get("request").map(|_| "Certificate add token")
    }
}

/// Sets the image that the operation has made as the object.
fn fingerprint(line: &mut Line, operation: Operation<'_>) {
    let ellipsis = Ellipsis::new(line.utf8);
    let made = operation.details().and_then(|details| details.get_text("fingerprint"));
    if let Some(made) = made.filter(|made| !made.raw.is_empty() && !is_token(operation)) {
        line.object.style = theme::OBJECT;
        line.object.push("image ");
        line.object.prefix = line.object.text.len();
        line.object.push_name(&made.cow(), ellipsis);
    }
}

fn fail(line: &mut Line, operation: Operation<'_>, event: &Event, failure: Failure<'_>) {
    line.detail.style = theme::BAD;
    line.is_detail_whole = true;
    match failure {
        Failure::Operation(reason) => {
            line.detail.push("failed");
            let before = line.detail.text.len();
            duration(line, operation, event, " after ");
            if line.detail.text.len() > before {
                line.detail.prefix = "failed ".len();
            }
            line.reason.style = theme::BAD;
            line.reason.push_text(reason);
        }
        Failure::Command(status) => {
            line.detail.push("exit ");
            line.detail.push(status);
            line.is_reason_near = true;
            line.reason.style = theme::BAD;
            // The operation of a command whose output is recorded does not have the command.
            if let Some(command) = operation.details().and_then(|details| details.get("command")) {
                line.reason.push_value(command, Ellipsis::new(line.utf8));
            }
        }
        // Operations have no level.
        Failure::Message(_) => {}
    }
}

fn children(operation: Operation<'_>) -> Option<&str> {
    operation.member("child_count").map(|count| count.raw()).filter(|count| *count != "0")
}

/// Appends what the operation does, has made or has found.
fn results(line: &mut Line, operation: Operation<'_>) {
    let Some(details) = operation.details() else { return };
    let ellipsis = Ellipsis::new(line.utf8);
    let arrow = line.arrow();
    let (is_token, has_command) = (is_token(operation), line.is_reason_near);
    if let (Some(old), Some(new)) = (operation.old_entity_url(), details.get_text("entity_url")) {
        let cell = &mut line.extra;
        cell.separate("  ");
        cell.push_name(last_part(&Entity::parse(&old.cow()).name), ellipsis);
        cell.text.extend_from_slice(arrow.as_bytes());
        cell.push_name(last_part(&Entity::parse(&new.cow()).name), ellipsis);
    }
    for (key, value) in details.members() {
        let text = value.as_text().filter(|text| !text.raw.is_empty());
        match (key.raw, text) {
            // That of a failed command is on the line already.
            ("command", _) if !has_command => {
                line.extra.separate("  ");
                line.extra.push_value(value, ellipsis);
            }
            ("listen_address", Some(address)) => words(line, "listens on ", address),
            ("refreshed", None) => match value.content() {
                Content::Bool(true) => words(line, "", Text::plain("refreshed")),
                Content::Bool(false) => words(line, "", Text::plain("nothing new")),
                _ => {}
            },
            ("key", None) => {
                if let Some(name) = value.get_text("name") {
                    words(line, "key ", name);
                }
            }
            ("size", Some(size)) if !is_token => {
                if let Ok(size) = size.raw.parse() {
                    line.extra.separate("  ");
                    write_size(&mut line.extra.text, size);
                }
            }
            ("serverName", Some(name)) if is_token => words(line, "for ", name),
            ("request", None) if is_token => {
                if let Some(name) = value.get_text("name").filter(|name| !name.raw.is_empty()) {
                    words(line, "for ", name);
                }
            }
            ("expiresAt" | "expires_at", Some(time)) if is_token => words(line, "until ", time),
            _ => {}
        }
    }
}

/// Appends a text behind these words.
fn words(line: &mut Line, words: &str, text: Text<'_>) {
    line.extra.separate("  ");
    line.extra.push(words);
    line.extra.push_text(Some(text));
}

/// Appends for how long the operation took to the detail, behind these words. Its end is the time of the event, because
/// LXD does not update `updated_at` at the end.
fn duration(line: &mut Line, operation: Operation<'_>, event: &Event, words: &str) {
    let begin = operation.created_at().and_then(|text| DateTime::parse_from_rfc3339(&text.cow()).ok());
    let (Some(from), Some(to)) = (begin, event.time()) else { return };
    line.detail.push(words);
    // Writing to a Vec cannot fail.
    let _ = write!(line.detail.text, "{}", shown((to - from.to_utc()).to_std().unwrap_or_default()));
}

/// Appends the end of the id.
fn id(line: &mut Line, operation: Operation<'_>) {
    let Some(id) = operation.id().map(|id| id.cow()) else { return };
    let first = id.char_indices().rev().nth(ID_DIGITS - 1).map_or(0, |(at, _)| at);
    line.detail.separate("  ");
    line.detail.push("#");
    line.detail.push(&id[first..]);
}
