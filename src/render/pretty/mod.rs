//! The `pretty` format: one line per event for people. Its cells are time, glyph, type, project, member, remote, action
//! or message, object, requestor, detail.

mod columns;
mod detail;
mod glyph;
mod operations;
mod state;

use std::io::Write as _;

use chrono::{DateTime, Datelike as _, Local, NaiveDate, TimeDelta, Utc};
use clap::ValueEnum;

use self::columns::{Cells, WIDEST_COLUMN};
use self::detail::{clock, date_and_clock, digits, shortened, write_duration};
use self::glyph::Glyph;
use self::operations::Operations;
use super::{Surface, theme};
use crate::event::entity::{Entity, EntityKind};
use crate::event::json::{Text, Value};
use crate::event::{Device, Event, Failure, Level, Lifecycle, Logging, Operation, Security, Setting, Status, Type};

/// The form of the time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum TimeStyle {
    /// Local time
    #[default]
    Local,
    /// UTC
    Utc,
    /// RFC 3339, in local time
    Iso,
    /// Seconds since the previous event
    Delta,
}

/// Options of the format.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Properties of the output.
    pub surface: Surface,
    /// The number of columns of the terminal; with `None`, lines are not shortened.
    pub width: Option<usize>,
    /// The form of the time.
    pub time: TimeStyle,
    /// Whether to show the project, because events of several projects can occur.
    pub show_project: bool,
    /// The width of the longest name of a remote, in columns; 0 with one remote.
    pub remote_width: usize,
    /// Whether the output can show glyphs beyond ASCII.
    pub utf8: bool,
}

/// The renderer of the format.
#[derive(Debug)]
pub struct Pretty {
    options: Options,
    cells: Cells,
    /// Whether an event of a cluster member has been rendered. From then on all lines have the column of the member.
    clustered: bool,
    /// The greatest width of the column so far, up to a limit. Columns never become narrower, so that lines stay
    /// aligned.
    project_width: usize,
    member_width: usize,
    remote_width: usize,
    previous: Option<DateTime<Local>>,
    day: Option<NaiveDate>,
    operations: Operations,
}

impl Pretty {
    /// A renderer with these options.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self {
            options,
            cells: Cells::default(),
            clustered: false,
            project_width: "default".len(),
            member_width: 0,
            remote_width: options.remote_width.min(WIDEST_COLUMN),
            previous: None,
            day: None,
            operations: Operations::default(),
        }
    }

    /// Appends the line of the event. An event of an operation whose status has not changed has no line.
    pub fn render(&mut self, event: &Event, remote: Option<&str>, out: &mut Vec<u8>) {
        let is_terminal = self.options.surface.terminal;
        let (needs_line, progress) =
            event.operation().map_or((true, None), |operation| self.operations.advance(operation, is_terminal));
        if !needs_line {
            return;
        }
        self.cells.clear();
        let time = event.time();
        // With the local UTC offset, the year can fall outside of the range 0 to 9999, which cannot be printed.
        let has_room = |time: &DateTime<Local>| {
            [time.naive_utc(), time.naive_local()].iter().all(|time| (0..=9999).contains(&time.year()))
        };
        let local = time.map(|time| time.with_timezone(&Local)).filter(has_room);
        self.rule(local, out);
        self.time(event, local);
        self.columns(event, remote);
        if let Some(lifecycle) = event.lifecycle() {
            self.lifecycle(lifecycle);
        } else if let Some(operation) = event.operation() {
            self.operation(operation, event.failure(), progress.as_deref(), time);
        } else if let Some(logging) = event.logging() {
            self.logging(event.event_type(), logging, event.failure().is_some());
        } else if let Some(security) = event.security() {
            self.security(security);
        } else if let Some(setting) = event.setting() {
            self.setting(setting);
        } else if let Some(device) = event.device() {
            self.device(device);
        } else if let Some(state) = event.state() {
            self.state(state);
        } else {
            self.unknown(event);
        }
        self.requestor(event);
        if let Some(width) = self.options.width {
            let ellipsis = if self.options.utf8 { "…" } else { "~" };
            self.cells.fit(width, ellipsis, event.event_type());
        }
        self.cells.write(out, self.options.surface.color);
    }

    /// On a terminal, appends a line with the date when a new day begins.
    fn rule(&mut self, time: Option<DateTime<Local>>, out: &mut Vec<u8>) {
        let day = match (self.options.time, time) {
            (TimeStyle::Local, Some(time)) => time.date_naive(),
            (TimeStyle::Utc, Some(time)) => time.naive_utc().date(),
            _ => return,
        };
        let before = self.day.replace(day);
        if !self.options.surface.terminal || before.is_none_or(|before| before == day) {
            return;
        }
        let dash = if self.options.utf8 { "──" } else { "--" };
        theme::paint(out, self.options.surface.color, theme::DIM, |out| {
            // Writing to a Vec cannot fail.
            let _ = write!(out, "{dash} {} {dash}", day.format("%A, %-d %B %Y"));
        });
        out.push(b'\n');
    }

    fn time(&mut self, event: &Event, time: Option<DateTime<Local>>) {
        let cell = &mut self.cells.time;
        cell.style = theme::DIM;
        let Some(time) = time else {
            cell.push_text(event.timestamp_text());
            return;
        };
        let short = self.options.surface.terminal;
        let text = &mut cell.text;
        match self.options.time {
            TimeStyle::Local if short => clock(text, time.naive_local()),
            TimeStyle::Utc if short => clock(text, time.naive_utc()),
            TimeStyle::Local | TimeStyle::Iso => {
                date_and_clock(text, time.naive_local());
                let minutes = time.offset().local_minus_utc() / 60;
                text.push(if minutes < 0 { b'-' } else { b'+' });
                digits(text, minutes.unsigned_abs() / 60, 2);
                text.push(b':');
                digits(text, minutes.unsigned_abs() % 60, 2);
            }
            TimeStyle::Utc => {
                date_and_clock(text, time.naive_utc());
                text.push(b'Z');
            }
            TimeStyle::Delta => {
                let since = self.previous.map_or(TimeDelta::zero(), |previous| time - previous);
                // Writing to a Vec cannot fail.
                let _ = write!(text, "{:>+10.3}", since.as_seconds_f64());
            }
        }
        self.previous = Some(time);
    }

    fn columns(&mut self, event: &Event, remote: Option<&str>) {
        let cells = &mut self.cells;
        match event.event_type() {
            Type::Other => cells.kind.push_text(Some(event.type_text())),
            known => cells.kind.push(known.short_name()),
        }
        cells.kind.style = theme::DIM;
        cells.kind.pad = 4;
        if self.options.show_project {
            cells.project.push_text(event.project());
            cells.project.align(&mut self.project_width, theme::CHANGE);
        }
        let member = event.location().filter(|location| !location.raw.is_empty() && !location.is("none"));
        self.clustered |= member.is_some();
        if self.clustered {
            cells.member.push_text(member);
            cells.member.align(&mut self.member_width, theme::KEY);
        }
        if let Some(remote) = remote {
            cells.remote.push(remote);
            cells.remote.align(&mut self.remote_width, theme::KEY);
        }
    }

    fn glyph(&mut self, glyph: Glyph) {
        let cell = &mut self.cells.glyph;
        cell.pad = 1;
        cell.style = glyph.style;
        cell.push(if self.options.utf8 { glyph.shape } else { glyph.ascii });
    }

    /// Whether long names such as fingerprints are shortened.
    fn is_tight(&self) -> bool {
        self.options.width.is_some()
    }

    fn lifecycle(&mut self, lifecycle: Lifecycle<'_>) {
        let action = lifecycle.action().map(|action| action.cow()).unwrap_or_default();
        let glyph = Glyph::of_action(&action);
        self.glyph(glyph);
        self.cells.what.push(&action);
        self.cells.what.pad = 18;
        self.cells.what.style = glyph.style;
        let source = lifecycle.source().map(|source| source.cow()).unwrap_or_default();
        self.object(&Entity::of_action(&action, &source), &source);
        if let Some(context) = lifecycle.context() {
            self.details(context);
        }
    }

    fn operation(
        &mut self,
        operation: Operation<'_>,
        failure: Option<Failure<'_>>,
        progress: Option<&str>,
        time: Option<DateTime<Utc>>,
    ) {
        let status = operation.status();
        self.glyph(if failure.is_some() { Glyph::FAILURE } else { Glyph::of_status(status) });
        self.cells.what.pad = 18;
        let description = operation.description().or(operation.member("class").and_then(|class| class.as_text()));
        self.cells.what.push_text(description);
        let subjects = operation.subjects();
        if let Some(path) = subjects.first() {
            self.object(&Entity::parse(path), path);
            if subjects.len() > 1 {
                let _ = write!(self.cells.object.text, " +{}", subjects.len() - 1);
            }
        }
        self.cells.detail.style = theme::PLAIN;
        match (failure, status) {
            (Some(failure), _) => {
                self.cells.detail.style = theme::BAD;
                self.failure(operation, failure);
            }
            (None, Status::Cancelled) => self.cells.detail.push("cancelled"),
            (None, Status::Success) => {
                self.duration(operation, time);
                self.results(operation);
            }
            (None, Status::Going | Status::Failure) => self.going(operation, progress),
        }
    }

    /// Appends the reason of a failure of an operation.
    fn failure(&mut self, operation: Operation<'_>, failure: Failure<'_>) {
        let cell = &mut self.cells.detail;
        match failure {
            Failure::Operation(reason) => {
                cell.push("Error: ");
                cell.push_text(reason);
            }
            Failure::Command(status) => {
                cell.push("exit ");
                cell.push(status);
                // The operation of a command whose output is recorded does not have the command.
                if let Some(command) = operation.details().and_then(|details| details.get("command")) {
                    cell.push(": ");
                    cell.push_value(command);
                }
            }
            // Operations have no level.
            Failure::Message(_) => {}
        }
    }

    /// Appends what is known of an operation in progress: its status unless that is the usual one, and its stage, its
    /// command, what it renames, or how many operations it has started.
    fn going(&mut self, operation: Operation<'_>, progress: Option<&str>) {
        let tight = self.is_tight();
        let cell = &mut self.cells.detail;
        let is_usual = |status: Text<'_>| status.is("Running") || (tight && status.is("Pending"));
        cell.push_text(operation.status_text().filter(|status| !is_usual(*status)));
        let details = operation.details();
        let command = details.and_then(|details| details.get("command"));
        let children = operation.member("child_count").map(|count| count.raw()).filter(|count| *count != "0");
        if progress.is_some() || command.is_some() || operation.old_entity_url().is_some() || children.is_some() {
            cell.push(if cell.text.is_empty() { "" } else { "  " });
        }
        if let Some(progress) = progress {
            cell.push(progress);
        } else if let Some(command) = command {
            cell.push_value(command);
        } else if let Some(old) = operation.old_entity_url() {
            let old = old.cow();
            cell.push("was ");
            // The names of what contains the entity stay the same.
            cell.push(Entity::parse(&old).name.rsplit('/').next().unwrap_or_default());
        } else if let Some(children) = children {
            cell.push(children);
            cell.push(if children == "1" { " operation" } else { " operations" });
        }
    }

    /// Appends what a successful operation has made or found.
    fn results(&mut self, operation: Operation<'_>) {
        let Some(details) = operation.details() else { return };
        let tight = self.is_tight();
        let cell = &mut self.cells.detail;
        for (key, label) in [("fingerprint", "fingerprint="), ("listen_address", "listen_address=")] {
            if let Some(result) = details.get_text(key) {
                cell.push(if cell.text.is_empty() { "" } else { "  " });
                cell.push(label);
                cell.push(shortened(&result.cow(), tight));
            }
        }
        if let Some(refreshed) =
            details.get("refreshed").filter(|refreshed| matches!(refreshed.raw(), "true" | "false"))
        {
            cell.push(if cell.text.is_empty() { "" } else { "  " });
            cell.push(if refreshed.raw() == "true" { "refreshed" } else { "nothing new" });
        }
    }

    /// Appends the duration of an operation. Its end is the time of the event, because LXD does not update `updated_at`
    /// at the end.
    fn duration(&mut self, operation: Operation<'_>, end: Option<DateTime<Utc>>) {
        let begin = operation.created_at().and_then(|text| DateTime::parse_from_rfc3339(&text.cow()).ok());
        let (Some(from), Some(to)) = (begin, end) else { return };
        write_duration(&mut self.cells.detail.text, (to - from.to_utc()).to_std().unwrap_or_default());
    }

    fn logging(&mut self, kind: Type, logging: Logging<'_>, has_failed: bool) {
        let level = logging.level();
        self.glyph(Glyph::of_level(level.unwrap_or(Level::Info)));
        self.cells.what.style = match level {
            _ if has_failed => theme::BAD,
            Some(Level::Trace | Level::Debug) => theme::DIM,
            Some(Level::Warning) => theme::WARN,
            _ => theme::PLAIN,
        };
        if level.is_none() && kind == Type::Logging {
            self.cells.what.push_text(logging.level_text());
            self.cells.what.push(": ");
        }
        self.cells.what.push_text(logging.message());
        if let Some(context) = logging.context() {
            self.details(context);
        }
    }

    fn security(&mut self, security: Security<'_>) {
        let warns = security.level_text().is_some_and(|level| level.is("warning"));
        self.glyph(Glyph::of_level(if warns { Level::Warning } else { Level::Info }));
        self.cells.what.style = if warns { theme::WARN } else { theme::PLAIN };
        self.cells.what.push_text(security.name());
        self.cells.what.pad = 18;
        self.cells.object.push_text(security.description());
        self.cells.detail.style = theme::DIM;
        self.cells.detail.push_text(security.request_method());
        if let Some(path) = security.request_path() {
            self.cells.detail.push(if self.cells.detail.text.is_empty() { "" } else { " " });
            self.cells.detail.push_text(Some(path));
        }
    }

    /// A configuration key with its value before and now; values that are not set are empty.
    fn setting(&mut self, setting: Setting<'_>) {
        self.glyph(Glyph::UPDATED);
        self.cells.what.push_text(setting.key());
        self.cells.what.pad = 18;
        let arrow = if self.options.utf8 { " → " } else { " -> " };
        let cell = &mut self.cells.detail;
        let quoted = |text: Option<Text<'_>>| format!("{:?}", text.map(|text| text.cow()).unwrap_or_default());
        cell.push(&quoted(setting.old_value()));
        cell.push(arrow);
        cell.push(&quoted(setting.value()));
    }

    fn device(&mut self, device: Device<'_>) {
        let action = device.action().map(|action| action.cow()).unwrap_or_default();
        self.glyph(Glyph::of_action(&action));
        let cell = &mut self.cells.what;
        cell.pad = 18;
        cell.push_text(device.name());
        if let Some(kind) = device.device_type() {
            cell.push(" (");
            cell.push_text(Some(kind));
            cell.push(")");
        }
        if let Some(config) = device.config() {
            let cell = &mut self.cells.detail;
            cell.style = theme::DIM;
            for (key, value) in config.members().filter(|(key, _)| !key.is("type")) {
                cell.push(if cell.text.is_empty() { "" } else { " " });
                cell.push_text(Some(key));
                cell.push("=");
                cell.push_value(value);
            }
        }
    }

    fn unknown(&mut self, event: &Event) {
        self.glyph(Glyph::OTHER);
        if let Some(metadata) = event.metadata() {
            self.cells.what.push(metadata.raw());
        }
    }

    fn object(&mut self, entity: &Entity<'_>, path: &str) {
        let cell = &mut self.cells.object;
        cell.style = theme::OBJECT;
        cell.pad = 14;
        if entity.kind == EntityKind::Other {
            // The path of an entity of an unknown kind is shown without its prefix and query.
            let plain = path.split('?').next().unwrap_or_default();
            cell.push(plain.strip_prefix("/1.0/").unwrap_or(plain));
            return;
        }
        cell.push(entity.kind.name());
        if !entity.name.is_empty() {
            cell.push(" ");
            cell.push(shortened(&entity.name, self.options.width.is_some()));
        }
    }

    /// Who asked for it; for audit records also from where.
    fn requestor(&mut self, event: &Event) {
        let Some(requestor) = event.requestor() else { return };
        let tight = self.is_tight();
        let cell = &mut self.cells.requestor;
        cell.style = theme::DIM;
        if !requestor.username.raw.is_empty() {
            cell.push("by ");
            cell.push_text(Some(requestor.protocol));
            cell.push("/");
            cell.push(shortened(&requestor.username.cow(), tight));
        }
        if let Some(host) = requestor.host().filter(|_| event.event_type() == Type::Security) {
            cell.push(if cell.text.is_empty() { "from " } else { " from " });
            cell.push(&host);
        }
        cell.pad = cell.width();
    }

    /// Appends the members of a context as `key=value`; `old_name` is shown as `was NAME`.
    fn details(&mut self, context: Value<'_>) {
        let cell = &mut self.cells.detail;
        cell.style = theme::DIM;
        for (key, value) in context.members() {
            if !cell.text.is_empty() {
                cell.push(" ");
            }
            if key.is("old_name") {
                cell.push("was ");
            } else {
                cell.push_text(Some(key));
                cell.push("=");
            }
            cell.push_value(value);
        }
    }
}
