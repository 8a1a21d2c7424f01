//! The lines of log messages and audit records.

use std::borrow::Cow;

use super::super::theme;
use super::glyph::Glyph;
use super::line::{Form, Line};
use super::text::Ellipsis;
use crate::event::entity::Entity;
use crate::event::json::{Text, Value};
use crate::event::{Event, Level, Logging, Security, Type};

/// The keys of a context that name an instance. The first one that occurs is the object.
const INSTANCES: [&str; 3] = ["instance", "container", "sourceInstance"];

/// Fills in the line of a log message.
pub(super) fn fill(line: &mut Line, logging: Logging<'_>, event: &Event) {
    let ellipsis = Ellipsis::new(line.utf8);
    let level = logging.level();
    line.glyph(Glyph::of_level(level.unwrap_or(Level::Info)));
    let warns = level.is_some_and(|level| level >= Level::Warning);
    line.form = if warns { Form::Sentence } else { Form::Message };
    line.what.style = match level {
        Some(Level::Trace | Level::Debug) => theme::DIM,
        Some(Level::Warning) => theme::WARN,
        Some(Level::Error | Level::Fatal | Level::Panic) => theme::BAD,
        Some(Level::Info) | None => theme::PLAIN,
    };
    line.what.push(match event.event_type() {
        Type::Ovn => "ovn ",
        Type::NetworkAcl => "acl ",
        _ => "",
    });
    match level {
        Some(Level::Info) => {}
        Some(level) => {
            line.what.push(level.name());
            line.what.push(": ");
        }
        None => {
            if let Some(level) = logging.level_text().filter(|level| !level.raw.is_empty()) {
                line.what.push_text(Some(level));
                line.what.push(": ");
            }
        }
    }
    line.is_reason_near = true;
    let message = logging.message();
    if let Some(message) = message {
        line.what.push_in_one_line(message);
    }
    let Some(context) = logging.context() else { return };
    let instance = INSTANCES.iter().find_map(|key| context.get_text(key).filter(|name| !name.raw.is_empty()));
    if let Some(instance) = instance {
        line.object.style = theme::OBJECT;
        line.object.push_text(Some(instance));
    }
    for (key, value) in context.members() {
        if key.is("err") && warns {
            line.reason.style = line.what.style;
            match value.as_text() {
                Some(reason) => line.reason.push_text(Some(reason)),
                None => line.reason.push(value.raw()),
            }
        } else if !is_elsewhere(key, value, event, message, instance) {
            line.extra.push_pair(key, value, ellipsis);
        }
    }
}

/// The project that a log message is about. Log messages of all projects have none of their own.
pub(super) fn project(event: &Event) -> Option<Text<'_>> {
    event.logging()?.context()?.get_text("project").filter(|project| !project.raw.is_empty())
}

/// Whether the columns of the line show a member of the context, or nobody needs it.
fn is_elsewhere(
    key: Text<'_>,
    value: Value<'_>,
    event: &Event,
    message: Option<Text<'_>>,
    instance: Option<Text<'_>>,
) -> bool {
    let text = value.as_text();
    match key.raw {
        "created" | "used" | "ephemeral" | "instanceType" => true,
        "stateful" => text.is_some_and(|text| text.is("false")),
        "project" => text.is_some(),
        // The lines of a start say `Starting instance`.
        "action" => text.zip(message).is_some_and(|(action, message)| {
            !action.raw.is_empty() && message.cow().to_ascii_lowercase().contains(&action.cow().to_ascii_lowercase())
        }),
        "application" | "sequence" => event.event_type() != Type::Logging,
        name if INSTANCES.contains(&name) => {
            text.zip(instance).is_some_and(|(text, instance)| text.is(&instance.cow()))
        }
        _ => false,
    }
}

/// Fills in the line of an audit record.
pub(super) fn fill_security(line: &mut Line, security: Security<'_>, event: &Event) {
    let warns = security.level_text().is_some_and(|level| level.is("warning"));
    line.glyph(Glyph::of_level(if warns { Level::Warning } else { Level::Info }));
    line.what.style = if warns { theme::WARN } else { theme::PLAIN };
    let name = security.name().map(|name| name.cow()).unwrap_or_default();
    let path = security.entity_path();
    let (name, object) = match &path {
        Some(path) => (name.strip_suffix(&**path).map_or(&*name, |name| name.trim_end_matches(':')), None),
        None => split_name(&name),
    };
    line.what.push(name);
    match (&path, object) {
        (Some(path), _) => line.object(&Entity::parse(path), path, event.project()),
        (None, Some((kind, name))) => {
            line.object.style = theme::OBJECT;
            line.object.push(kind);
            line.object.prefix = line.object.text.len();
            line.object.push_name(&name.replacen(':', "/", usize::from(kind == USER)), Ellipsis::new(line.utf8));
        }
        (None, None) => {}
    }
    line.is_detail_whole = warns;
    line.detail.style = line.what.style;
    line.detail.push_text(security.description());
    line.joint = "  ";
    line.is_reason_near = true;
    line.requestor(event);
    line.extra.push_text(security.request_method());
    if let Some(path) = security.request_path() {
        line.extra.separate(" ");
        line.extra.push_text(Some(path));
    }
}

/// The kind of a user, before the name.
const USER: &str = "user ";

/// The name of an audit record without the name of what it is about, and that with its kind. The forms are those of
/// LXD's `lxd/request/security/security.go`.
fn split_name(name: &str) -> (&str, Option<(&'static str, &str)>) {
    const KINDS: [(&str, &str); 10] = [
        ("authn_token_created:", ""),
        ("authn_token_revoked:", ""),
        ("authn_certificate_change:", "certificate "),
        ("authz_admin:group_", "group "),
        ("authz_admin:idp_group_", "provider-group "),
        ("authz_admin:identity_", "identity "),
        ("user_created:", USER),
        ("user_updated:", USER),
        ("user_deleted:", USER),
        ("authn_login_fail:", ""),
    ];
    let Some((begin, kind)) = KINDS.iter().find(|(begin, _)| name.starts_with(begin)) else { return (name, None) };
    // The kind of login is part of the name.
    if *begin == "authn_login_fail:" {
        return (name, None);
    }
    match name[begin.len() - 1..].split_once(':') {
        Some((verb, object)) => (&name[..begin.len() - 1 + verb.len()], Some((kind, object))),
        None => (name, None),
    }
}

/// The reason of a gap, or another text of a record, if it is there.
pub(super) fn text_of<'a>(metadata: Value<'a>, name: &str) -> Option<Cow<'a, str>> {
    metadata.get_text(name).map(|text| text.cow()).filter(|text| !text.is_empty())
}
