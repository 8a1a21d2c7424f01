//! The `pretty` format: one line per event for people. Its columns are time, glyph, project, member, remote, object,
//! action or the like, and detail; the reason of a failure or warning goes on in further lines.

mod columns;
mod detail;
mod glyph;
mod lifecycle;
mod line;
mod logs;
mod objects;
mod operations;
mod others;
mod outcome;
mod progress;
pub mod running;
mod text;

use std::io::Write as _;
use std::time::Duration;

use chrono::{DateTime, Datelike as _, Local, NaiveDate, TimeDelta, Utc};
use clap::ValueEnum;
use owo_colors::Style;

pub(crate) use self::glyph::LEGEND;

use self::columns::{Layout, Shows};
use self::detail::{clock, date_and_clock, digits};
use self::line::{Cell, Line};
use self::operations::{Operations, Step, Turn};
use self::text::as_text;
use super::{Surface, theme};
use crate::event::Event;

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
    /// Whether operations in progress are shown in live rows, so that their beginning needs no line.
    pub live_rows: bool,
}

/// The renderer of the format.
#[derive(Debug)]
pub struct Pretty {
    options: Options,
    layout: Layout,
    line: Line,
    /// Whether an event of a cluster member has been rendered. From then on all lines have the column of the member.
    clustered: bool,
    previous: Option<DateTime<Local>>,
    day: Option<NaiveDate>,
    operations: Operations,
}

impl Pretty {
    /// A renderer with these options.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let mut pretty = Self {
            options,
            layout: Layout::new(options.width, Shows::default()),
            line: Line { utf8: options.utf8, ..Line::default() },
            clustered: false,
            previous: None,
            day: None,
            operations: Operations::default(),
        };
        pretty.lay_out();
        pretty
    }

    /// The terminal has another width now, in columns. Later lines have it.
    pub fn resize(&mut self, width: Option<usize>) {
        if self.options.width != width {
            self.options.width = width;
            self.lay_out();
        }
    }

    /// Appends the line of the event, and further lines if it has a reason. An operation has a line when it ends, and
    /// when it begins unless its progress is shown in live rows; other events of it have none.
    pub fn render(&mut self, event: &Event, remote: Option<&str>, out: &mut Vec<u8>) {
        let step = event.operation().map(|operation| (operation, self.operations.advance(event, operation)));
        if let Some((operation, step)) = &step {
            // A token only waits, so it has no row.
            let has_line = match step.turn {
                Turn::Begins => !self.options.live_rows || outcome::is_token(*operation),
                Turn::Goes => false,
                Turn::Ends => true,
            };
            if !has_line {
                return;
            }
        }
        let time = event.time().and_then(local);
        self.columns(event, remote);
        self.rule(time, out);
        self.time(event, time);
        let line = &mut self.line;
        if let Some((operation, step)) = &step {
            outcome::fill(line, *operation, event, step);
        } else if let Some(lifecycle) = event.lifecycle() {
            lifecycle::fill(line, lifecycle, event);
        } else if let Some(logging) = event.logging() {
            logs::fill(line, logging, event);
        } else if let Some(security) = event.security() {
            logs::fill_security(line, security, event);
        } else if let Some(setting) = event.setting() {
            others::fill_setting(line, setting);
        } else if let Some(device) = event.device() {
            others::fill_device(line, device);
        } else if let Some(state) = event.state() {
            others::fill_state(line, state, event);
        } else {
            others::fill_unknown(line, event);
        }
        self.line.write(&self.layout, self.options.surface.color, out);
    }

    /// Appends one line for an operation that is still in progress, by its latest event. `elapsed` is for how long it
    /// has been going on. Appends nothing if the event is not an operation's.
    pub fn render_running(&mut self, event: &Event, remote: Option<&str>, elapsed: Duration, out: &mut Vec<u8>) {
        let Some(operation) = event.operation() else { return };
        let step: Step<'_> = self.operations.advance(event, operation);
        self.columns(event, remote);
        let created = operation.created_at().and_then(|text| DateTime::parse_from_rfc3339(&text.cow()).ok());
        let begin = created.map(|time| time.to_utc()).and_then(local);
        let previous = self.previous;
        self.time(event, begin);
        self.previous = previous;
        outcome::fill_row(&mut self.line, operation, event, &step, elapsed, &self.layout);
        self.line.write(&self.layout, self.options.surface.color, out);
    }

    /// Chooses the widths of the columns.
    fn lay_out(&mut self) {
        let is_short = self.options.surface.terminal;
        let time = match self.options.time {
            TimeStyle::Local | TimeStyle::Utc if is_short => [12, 8],
            TimeStyle::Local | TimeStyle::Iso => [29, 25],
            TimeStyle::Utc => [24, 20],
            TimeStyle::Delta => [10, 8],
        };
        let shows = Shows {
            time,
            project: self.options.show_project,
            member: self.clustered,
            remote: self.options.remote_width,
        };
        self.layout = Layout::new(self.options.width, shows);
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
        let text = format!("{dash} {} {dash}", day.format("%A, %-d %B %Y"));
        let shown =
            text::cut_end(&text, self.layout.width.unwrap_or(usize::MAX - 1), text::Ellipsis::new(self.options.utf8));
        theme::paint(out, self.options.surface.color, theme::DIM, |out| {
            out.extend_from_slice(shown.head.as_bytes());
            out.extend_from_slice(shown.ellipsis.as_bytes());
        });
        out.push(b'\n');
    }

    fn time(&mut self, event: &Event, time: Option<DateTime<Local>>) {
        let cell = &mut self.line.time;
        cell.style = theme::DIM;
        let Some(time) = time else {
            // A line that begins with a space would be a further line of the one before.
            let text = event.timestamp_text().map(|text| text.cow()).unwrap_or_default();
            cell.push(if text.trim().is_empty() { "-" } else { text.trim() });
            return;
        };
        let short = self.options.surface.terminal;
        let is_brief = self.layout.is_brief;
        let text = &mut cell.text;
        match self.options.time {
            TimeStyle::Local if short => clock(text, time.naive_local(), is_brief),
            TimeStyle::Utc if short => clock(text, time.naive_utc(), is_brief),
            TimeStyle::Local | TimeStyle::Iso => {
                date_and_clock(text, time.naive_local(), is_brief);
                let minutes = time.offset().local_minus_utc() / 60;
                text.push(if minutes < 0 { b'-' } else { b'+' });
                digits(text, minutes.unsigned_abs() / 60, 2);
                text.push(b':');
                digits(text, minutes.unsigned_abs() % 60, 2);
            }
            TimeStyle::Utc => {
                date_and_clock(text, time.naive_utc(), is_brief);
                text.push(b'Z');
            }
            TimeStyle::Delta => {
                let since = self.previous.map_or(TimeDelta::zero(), |previous| time - previous).as_seconds_f64();
                // Writing to a Vec cannot fail.
                let _ = if is_brief { write!(text, "{since:>+8.1}") } else { write!(text, "{since:>+10.3}") };
            }
        }
        self.previous = Some(time);
    }

    /// Empties the line, and fills in where the event comes from.
    fn columns(&mut self, event: &Event, remote: Option<&str>) {
        let member = event.location().filter(|location| !location.raw.is_empty() && !location.is("none"));
        let has_new_column =
            (member.is_some() && !self.clustered) || (remote.is_some() && self.options.remote_width == 0);
        if has_new_column {
            self.clustered |= member.is_some();
            if let Some(remote) = remote.filter(|_| self.options.remote_width == 0) {
                self.options.remote_width = text::width_of(remote).max(1);
            }
            self.lay_out();
        }
        let line = &mut self.line;
        line.clear();
        line.extra.style = theme::DIM;
        let has_color = self.options.surface.color;
        let style = |cell: &Cell| if has_color { name_style(as_text(&cell.text)) } else { theme::PLAIN };
        if self.layout.project > 0 {
            line.project.push_text(event.project().or_else(|| logs::project(event)));
            line.project.style = style(&line.project);
        }
        if self.layout.member > 0 {
            line.member.push_text(member);
            line.member.style = style(&line.member);
        }
        if let Some(remote) = remote {
            line.remote.push(remote);
            line.remote.style = style(&line.remote);
        }
    }
}

/// The time in the local time zone, if it can be printed: with the local UTC offset, the year can fall outside of the
/// range 0 to 9999.
fn local(time: DateTime<Utc>) -> Option<DateTime<Local>> {
    let local = time.with_timezone(&Local);
    let has_room = [local.naive_utc(), local.naive_local()].iter().all(|time| (0..=9999).contains(&time.year()));
    has_room.then_some(local)
}

/// The colour of a project, member or remote: always the same one for a name, and neither that of failures nor that of
/// warnings.
fn name_style(name: &str) -> Style {
    const STYLES: [Style; 4] = [Style::new().cyan(), Style::new().magenta(), Style::new().blue(), Style::new().green()];
    // FNV-1a, whose low bits alone differ too little for short names.
    let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    STYLES[(hash ^ hash >> 15) as usize % STYLES.len()]
}
