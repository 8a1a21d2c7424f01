//! The `pretty` format: one line per event for people. Its cells are time, glyph, type, project, member, remote, action
//! or message, object, requestor, detail.

mod columns;
mod detail;
mod glyph;
mod operations;

use std::io::Write as _;

use chrono::{DateTime, Datelike as _, Local, NaiveDate, TimeDelta, Utc};
use clap::ValueEnum;

use self::columns::{Cells, WIDEST_COLUMN};
use self::detail::{clock, date_and_clock, digits, shortened, write_duration};
use self::glyph::Glyph;
use self::operations::Operations;
use super::{Surface, theme};
use crate::event::entity::{Entity, EntityKind};
use crate::event::json::Value;
use crate::event::{Event, Level, Lifecycle, Logging, Operation, Requestor, Security, Status, Type};

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
        if event
            .operation()
            .is_some_and(|operation| !self.operations.has_changed(operation, self.options.surface.terminal))
        {
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
            self.operation(operation, time);
        } else if let Some(logging) = event.logging() {
            self.logging(event.event_type(), logging);
        } else if let Some(security) = event.security() {
            self.security(security);
        } else {
            self.unknown(event);
        }
        if let Some(width) = self.options.width {
            let ellipsis = if self.options.utf8 { "…" } else { "~" };
            self.cells.fit(width, ellipsis, event.event_type() == Type::Lifecycle);
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
            Type::Lifecycle => cells.kind.push("life"),
            Type::Operation => cells.kind.push("op"),
            Type::Logging => cells.kind.push("log"),
            Type::Ovn => cells.kind.push("ovn"),
            Type::Security => cells.kind.push("sec"),
            Type::NetworkAcl => cells.kind.push("acl"),
            Type::Other => cells.kind.push_text(Some(event.type_text())),
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
        self.object(&source);
        self.requestor(lifecycle.requestor());
        if let Some(context) = lifecycle.context() {
            self.details(context);
        }
    }

    fn operation(&mut self, operation: Operation<'_>, time: Option<DateTime<Utc>>) {
        let status = operation.status();
        let tight = self.is_tight();
        self.glyph(Glyph::of_status(status));
        self.cells.what.pad = 18;
        let description = operation.description().or(operation.member("class").and_then(|class| class.as_text()));
        self.cells.what.push_text(description);
        let mut objects = operation.subjects();
        if let Some(path) = objects.next() {
            let path = path.cow();
            self.object(&path);
            // LXD 5.0 lists an instance twice: under `instances` and under `containers`.
            let first = Entity::parse(&path);
            let others = objects.filter(|path| Entity::parse(&path.cow()).name != first.name).count();
            if others > 0 {
                let _ = write!(self.cells.object.text, " +{others}");
            }
        }
        self.cells.detail.style = theme::PLAIN;
        match status {
            Status::Going => {
                if !self.progress(operation) {
                    let text = operation.status_text().filter(|status| !tight && !status.is("Running"));
                    self.cells.detail.push_text(text);
                }
            }
            Status::Success => self.duration(operation, time),
            Status::Cancelled => self.cells.detail.push("cancelled"),
            Status::Failure => {
                self.cells.detail.style = theme::BAD;
                self.cells.detail.push("Error: ");
                self.cells.detail.push_text(operation.err());
            }
        }
    }

    /// Appends the operation's progress or, without one, its command. Returns whether it had either.
    fn progress(&mut self, operation: Operation<'_>) -> bool {
        let Some(details) = operation.details() else { return false };
        let progress =
            details.members().find(|(key, _)| key.raw.ends_with("_progress")).and_then(|(_, text)| text.as_text());
        match (progress.filter(|progress| !progress.raw.is_empty()), details.get("command")) {
            (Some(progress), _) => self.cells.detail.push_text(Some(progress)),
            (None, Some(command)) => self.cells.detail.push_value(command),
            (None, None) => return false,
        }
        true
    }

    /// Appends the duration of an operation. Its end is the time of the event, because LXD does not update `updated_at`
    /// at the end.
    fn duration(&mut self, operation: Operation<'_>, end: Option<DateTime<Utc>>) {
        let begin = operation.created_at().and_then(|text| DateTime::parse_from_rfc3339(&text.cow()).ok());
        let (Some(from), Some(to)) = (begin, end) else { return };
        write_duration(&mut self.cells.detail.text, (to - from.to_utc()).to_std().unwrap_or_default());
    }

    fn logging(&mut self, kind: Type, logging: Logging<'_>) {
        let level = logging.level();
        self.glyph(Glyph::of_level(level.unwrap_or(Level::Info)));
        self.cells.what.style = match level {
            Some(Level::Trace | Level::Debug) => theme::DIM,
            Some(Level::Warning) => theme::WARN,
            Some(Level::Error | Level::Fatal | Level::Panic) => theme::BAD,
            Some(Level::Info) | None => theme::PLAIN,
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
        self.requestor(security.requestor());
        self.cells.detail.style = theme::DIM;
        self.cells.detail.push_text(security.request_method());
        self.cells.detail.push(" ");
        self.cells.detail.push_text(security.request_path());
    }

    fn unknown(&mut self, event: &Event) {
        self.glyph(Glyph::OTHER);
        if let Some(metadata) = event.metadata() {
            self.cells.what.push(metadata.raw());
        }
    }

    fn object(&mut self, path: &str) {
        let source = Entity::parse(path);
        let cell = &mut self.cells.object;
        cell.style = theme::OBJECT;
        cell.pad = 14;
        if source.kind == EntityKind::Other {
            // The path of an entity of an unknown kind is shown without its prefix and query.
            let plain = path.split('?').next().unwrap_or_default();
            cell.push(plain.strip_prefix("/1.0/").unwrap_or(plain));
            return;
        }
        cell.push(source.kind.name());
        if !source.name.is_empty() {
            cell.push(" ");
            cell.push(shortened(&source.name, self.options.width.is_some()));
        }
    }

    fn requestor(&mut self, requestor: Option<Requestor<'_>>) {
        let Some(requestor) = requestor.filter(|requestor| !requestor.username.raw.is_empty()) else { return };
        let tight = self.is_tight();
        let cell = &mut self.cells.requestor;
        cell.style = theme::DIM;
        cell.push("by ");
        cell.push_text(Some(requestor.protocol));
        cell.push("/");
        cell.push(shortened(&requestor.username.cow(), tight));
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
