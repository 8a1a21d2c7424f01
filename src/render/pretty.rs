//! One line per event for people: time, glyph, type, project, member, remote, what happened, what it happened to, who
//! asked for it, detail.

mod glyph;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io::Write as _;
use std::time::Duration;

use chrono::{DateTime, Datelike as _, Local, NaiveDate, NaiveDateTime, TimeDelta, Timelike as _, Utc};
use clap::ValueEnum;
use owo_colors::Style;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use self::glyph::Glyph;
use super::{Surface, sanitize, simd, theme};
use crate::event::entity::{Entity, EntityKind};
use crate::event::json::{Escapes, Kind, Text, Value};
use crate::event::{Event, Level, Lifecycle, Logging, Operation, Requestor, Security, Status, Type};

/// How the time is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum TimeStyle {
    /// Local time
    #[default]
    Local,
    /// UTC
    Utc,
    /// RFC 3339, in local time
    Iso,
    /// Seconds since the event before
    Delta,
}

/// How the lines are to look.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// What the output can take.
    pub surface: Surface,
    /// The terminal's columns; none: lines of full length.
    pub width: Option<usize>,
    /// How the time is shown.
    pub time: TimeStyle,
    /// Whether events of several projects can occur.
    pub show_project: bool,
    /// The columns that the longest name of a remote takes; 0 with one remote.
    pub remote_width: usize,
    /// Whether glyphs beyond ASCII can be shown.
    pub utf8: bool,
}

/// The format.
#[derive(Debug)]
pub struct Pretty {
    options: Options,
    cells: Cells,
    /// Whether an event has come from a cluster member.
    clustered: bool,
    /// The widest so far, up to a limit: columns do not jump about.
    project_width: usize,
    member_width: usize,
    remote_width: usize,
    previous: Option<DateTime<Local>>,
    day: Option<NaiveDate>,
    /// The operations that go on and the status that was last shown, oldest first.
    operations: VecDeque<(String, String)>,
}

/// The parts of the line that is being made.
#[derive(Debug, Default)]
struct Cells {
    time: Cell,
    glyph: Cell,
    kind: Cell,
    project: Cell,
    member: Cell,
    remote: Cell,
    what: Cell,
    object: Cell,
    requestor: Cell,
    detail: Cell,
}

/// A part of a line: clean text, its width in columns, and how it is painted.
#[derive(Debug)]
struct Cell {
    text: Vec<u8>,
    style: Style,
    /// Filled up with spaces to this width when something follows.
    pad: usize,
}

impl Default for Cell {
    fn default() -> Self {
        Self { text: Vec::new(), style: theme::PLAIN, pad: 0 }
    }
}

/// How many operations are remembered; real servers run a few at a time.
const OPERATIONS: usize = 256;

/// No column is made wider than this for the sake of alignment.
const WIDEST_COLUMN: usize = 16;

/// How much of a fingerprint is shown where room is scarce, as in `lxc image list`.
const FINGERPRINT: usize = 12;

/// A detail shorter than this says nothing.
const SHORTEST_DETAIL: usize = 8;

impl Pretty {
    /// Lines of that look.
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
            operations: VecDeque::new(),
        }
    }

    /// Appends the event's line. An operation that only goes on has none: one line at each change of its status.
    pub fn render(&mut self, event: &Event, remote: Option<&str>, out: &mut Vec<u8>) {
        if event.operation().is_some_and(|operation| !self.has_changed(operation)) {
            return;
        }
        self.cells.clear();
        let time = event.time();
        // Its offset can lead a time out of the years that there is room for.
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
            self.logging(event.kind(), logging);
        } else if let Some(security) = event.security() {
            self.security(security);
        } else {
            self.unknown(event);
        }
        if let Some(width) = self.options.width {
            let ellipsis = if self.options.utf8 { "…" } else { "~" };
            self.cells.fit(width, ellipsis, event.kind() == Type::Lifecycle);
        }
        self.cells.write(out, self.options.surface.color);
    }

    /// Whether the operation's status is another than it was when it last had a line.
    fn has_changed(&mut self, operation: Operation<'_>) -> bool {
        let Some(id) = operation.id() else { return true };
        let (id, status) = (id.cow(), operation.status_text().map(|status| status.cow()).unwrap_or_default());
        let known = self.operations.iter().position(|(known, _)| *known == id);
        if operation.status() != Status::Going {
            known.map(|at| self.operations.remove(at));
            return true;
        }
        match known {
            Some(at) if self.operations[at].1 == status => false,
            Some(at) => {
                self.operations[at].1 = status.into_owned();
                // That a pending operation runs is no news to people.
                !self.options.surface.terminal
            }
            None => {
                if self.operations.len() == OPERATIONS {
                    self.operations.pop_front();
                }
                self.operations.push_back((id.into_owned(), status.into_owned()));
                true
            }
        }
    }

    /// On a terminal a new day gets a line of its own.
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
        match event.kind() {
            Type::Lifecycle => cells.kind.push("life"),
            Type::Operation => cells.kind.push("op"),
            Type::Logging => cells.kind.push("log"),
            Type::Ovn => cells.kind.push("ovn"),
            Type::Security => cells.kind.push("sec"),
            Type::NetworkAcl => cells.kind.push("acl"),
            Type::Other => cells.kind.push_text(Some(event.kind_text())),
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

    /// Whether names that only machines read may be cut.
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
        let mut objects = operation.resource_paths();
        if let Some(path) = objects.next() {
            let path = path.cow();
            self.object(&path);
            // LXD 5.0 lists an instance twice, as a container too.
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

    /// What the operation says about how far it is, or what it runs.
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

    /// From the operation's beginning to the event that tells of its end: LXD leaves `updated_at` as it was.
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
            // Some resources have paths of their own making: what matters stands last.
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

    /// The members of a context; an old name without its key.
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

/// `850 ms`, `7.2 s`, `12 min 7 s`. Rounded first, because that can lead into the next unit.
fn write_duration(text: &mut Vec<u8>, duration: Duration) {
    let rounded = |unit: u128| (duration.as_nanos() + unit / 2) / unit;
    let (milliseconds, tenths, seconds) = (rounded(1_000_000), rounded(100_000_000), rounded(1_000_000_000));
    // Writing to a Vec cannot fail.
    let _ = match (milliseconds, tenths) {
        (..1000, _) => write!(text, "{milliseconds} ms"),
        (_, ..600) => write!(text, "{}.{} s", tenths / 10, tenths % 10),
        _ => write!(text, "{} min {} s", seconds / 60, seconds % 60),
    };
}

/// `14:03:07.412`. chrono's formatting reads its format anew for every event.
fn clock(text: &mut Vec<u8>, time: NaiveDateTime) {
    digits(text, time.hour(), 2);
    text.push(b':');
    digits(text, time.minute(), 2);
    text.push(b':');
    digits(text, time.second(), 2);
    text.push(b'.');
    digits(text, time.nanosecond() / 1_000_000 % 1000, 3);
}

/// `2026-11-23T14:03:07.412`
fn date_and_clock(text: &mut Vec<u8>, time: NaiveDateTime) {
    digits(text, u32::try_from(time.year()).unwrap_or(0), 4);
    text.push(b'-');
    digits(text, time.month(), 2);
    text.push(b'-');
    digits(text, time.day(), 2);
    text.push(b'T');
    clock(text, time);
}

fn digits(text: &mut Vec<u8>, value: u32, count: u32) {
    text.extend((0..count).rev().map(|place| b'0' + u8::try_from(value / 10u32.pow(place) % 10).unwrap_or(0)));
}

/// Whether a text in the message's quotes and escapes is what `{:?}` makes of it.
fn is_own_debug(text: Text<'_>) -> bool {
    if !simd::is_usual(text.raw.as_bytes()) {
        return false;
    }
    let mut bytes = text.raw.bytes();
    // Without an escape there is nothing to find: quotes are escaped.
    !text.is_escaped()
        || loop {
            match bytes.find(|byte| *byte == b'\\').and_then(|_| bytes.next()) {
                Some(b'"' | b'\\' | b'n' | b'r' | b't') => {}
                Some(_) => break false,
                None => break true,
            }
        }
}

/// A fingerprint, cut where room is scarce.
fn shortened(name: &str, tight: bool) -> &str {
    let is_fingerprint = name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    if tight && is_fingerprint { &name[..FINGERPRINT] } else { name }
}

impl Cells {
    fn all(&mut self) -> [&mut Cell; 10] {
        let Self { time, glyph, kind, project, member, remote, what, object, requestor, detail } = self;
        [time, glyph, kind, project, member, remote, what, object, requestor, detail]
    }

    fn clear(&mut self) {
        for cell in self.all() {
            cell.text.clear();
            cell.pad = 0;
            cell.style = theme::PLAIN;
        }
    }

    /// The columns that the whole line takes.
    fn width(&mut self) -> usize {
        let mut width = 0;
        let mut last = 0;
        for cell in self.all() {
            if cell.is_shown() {
                last = width + cell.width();
                width += cell.width().max(cell.pad) + cell.gap();
            }
        }
        last
    }

    /// Makes the line fit: detail, requestor, member, project give way in that order, then what it happened to, the
    /// remote, the type and the time. An action never does.
    fn fit(&mut self, columns: usize, ellipsis: &str, keep_what: bool) {
        let excess = self.width().saturating_sub(columns);
        if excess == 0 {
            return;
        }
        self.detail.shorten(excess, SHORTEST_DETAIL, ellipsis);
        let drops: [fn(&mut Self) -> &mut Cell; 6] = [
            |cells| &mut cells.requestor,
            |cells| &mut cells.member,
            |cells| &mut cells.project,
            |cells| &mut cells.remote,
            |cells| &mut cells.kind,
            |cells| &mut cells.time,
        ];
        for (step, cell) in drops.into_iter().enumerate() {
            // A message is not an action: better a part of it than a line without its time.
            if step == 3 {
                let excess = self.width().saturating_sub(columns);
                self.object.shorten(excess, SHORTEST_DETAIL, ellipsis);
                let excess = self.width().saturating_sub(columns);
                if !keep_what {
                    self.what.shorten(excess, SHORTEST_DETAIL, ellipsis);
                }
            }
            if self.width() <= columns {
                return;
            }
            cell(self).drop();
        }
    }

    fn write(&mut self, out: &mut Vec<u8>, color: bool) {
        let mut owed = 0;
        for cell in self.all() {
            if !cell.is_shown() {
                continue;
            }
            if !cell.text.is_empty() {
                out.resize(out.len() + owed, b' ');
                owed = 0;
                if cell.style == theme::PLAIN {
                    out.extend_from_slice(&cell.text);
                } else {
                    theme::paint(out, color, cell.style, |out| out.extend_from_slice(&cell.text));
                }
            }
            owed += cell.gap();
            if cell.pad > 0 {
                owed += cell.pad.saturating_sub(cell.width());
            }
        }
        out.push(b'\n');
    }
}

impl Cell {
    fn push(&mut self, text: &str) {
        sanitize::push(&mut self.text, text);
    }

    fn push_text(&mut self, text: Option<Text<'_>>) {
        let Some(text) = text else { return };
        if text.is_escaped() && text.escapes <= Escapes::Control && simd::is_usual(text.raw.as_bytes()) {
            return sanitize::push_escaped(&mut self.text, text.raw);
        }
        match text.cow() {
            Cow::Borrowed(text) => self.push(text),
            Cow::Owned(text) => self.push(&text),
        }
    }

    /// A value in as few characters as it takes: words without quotes, lists of words as words.
    fn push_value(&mut self, value: Value<'_>) {
        match value.kind() {
            Kind::String(text) if text.raw.contains([' ', '"', '=']) && is_own_debug(text) => {
                self.text.extend_from_slice(value.raw().as_bytes());
            }
            Kind::String(text) => {
                let text = text.cow();
                if text.is_empty() || text.contains([' ', '"', '=']) {
                    self.push(&format!("{text:?}"));
                } else {
                    self.push(&text);
                }
            }
            Kind::Array(items) => {
                for (at, item) in items.enumerate() {
                    if at > 0 {
                        self.push(" ");
                    }
                    self.push_value(item);
                }
            }
            _ => self.push(value.raw()),
        }
    }

    /// A column as wide as its widest text so far.
    fn align(&mut self, widest: &mut usize, style: Style) {
        *widest = self.width().min(WIDEST_COLUMN).max(*widest);
        self.pad = *widest;
        self.style = style;
    }

    fn is_shown(&self) -> bool {
        !self.text.is_empty() || self.pad > 0
    }

    /// The space after it: narrow parts stand close to what follows.
    fn gap(&self) -> usize {
        if self.pad == 1 || self.style == theme::DIM && self.pad == 0 { 1 } else { 2 }
    }

    fn width(&self) -> usize {
        match std::str::from_utf8(&self.text) {
            Ok(text) if text.is_ascii() => text.len(),
            Ok(text) => text.width(),
            Err(_) => self.text.len(),
        }
    }

    fn drop(&mut self) {
        self.text.clear();
        self.pad = 0;
    }

    /// Takes off `excess` columns and shows that something is missing; drops it when less than `shortest` is left.
    fn shorten(&mut self, excess: usize, shortest: usize, ellipsis: &str) {
        if excess == 0 {
            return;
        }
        let keep = self.width().saturating_sub(excess);
        if keep < shortest {
            return self.drop();
        }
        let text = String::from_utf8_lossy(&self.text);
        let mut width = 0;
        let end = text.char_indices().find(|(_, character)| {
            // The selector of the emoji form makes what stands before it wide; nothing else takes more than its own.
            width += character.width().unwrap_or(0) + usize::from(*character == '\u{fe0f}');
            // One column is the ellipsis'.
            width >= keep
        });
        let end = end.map_or(text.len(), |(end, _)| end);
        let mut short = text.as_bytes()[..end].to_vec();
        short.extend_from_slice(ellipsis.as_bytes());
        self.text = short;
        self.pad = self.pad.min(keep);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_rounded_before_their_unit_is_chosen() {
        for (microseconds, shown) in [
            (0, "0 ms"),
            (499, "0 ms"),
            (500, "1 ms"),
            (999_499, "999 ms"),
            (999_500, "1.0 s"),
            (1_000_000, "1.0 s"),
            (1_049_999, "1.0 s"),
            (1_050_000, "1.1 s"),
            (59_949_999, "59.9 s"),
            (59_950_000, "1 min 0 s"),
            (60_000_000, "1 min 0 s"),
            (60_499_999, "1 min 0 s"),
            (119_499_999, "1 min 59 s"),
            (119_500_000, "2 min 0 s"),
            (119_999_999, "2 min 0 s"),
            (3_599_600_000, "60 min 0 s"),
        ] {
            let mut text = Vec::new();
            write_duration(&mut text, Duration::from_micros(microseconds));
            assert_eq!(String::from_utf8(text).unwrap(), shown, "{microseconds} µs");
        }
        write_duration(&mut Vec::new(), Duration::MAX);
    }
}
