//! The text of the summary, safe to print on a terminal.

use std::fmt::{Display, Write as _};
use std::time::Duration;

use owo_colors::Style;
use unicode_width::UnicodeWidthStr as _;

use super::{Count, Counts, Gaps, Summary, Tally, until_now};
use crate::event::gap::Gap;
use crate::render::{sanitize, theme};
use crate::system::duration::shown;

/// How many entries of a list are shown.
const SHOWN: usize = 20;

/// How many types the one line names.
const TYPES: usize = 8;

/// The widest column of names, in columns. Longer names reach into the next one.
const WIDEST: usize = 36;

/// The lines of a summary.
pub(super) struct Page {
    color: bool,
    lines: Vec<Vec<u8>>,
}

impl Page {
    pub(super) fn new(color: bool) -> Self {
        Self { color, lines: Vec::new() }
    }

    /// The lines, each with its line feed.
    pub(super) fn into_lines(self) -> Vec<Vec<u8>> {
        self.lines
    }

    /// Adds a line of parts with their styles.
    fn add(&mut self, parts: &[(Style, &str)]) {
        let mut line = Vec::new();
        for (style, text) in parts.iter().filter(|(_, text)| !text.is_empty()) {
            let is_colored = self.color && *style != theme::PLAIN;
            theme::paint(&mut line, is_colored, *style, |line| sanitize::push(line, text));
        }
        line.push(b'\n');
        self.lines.push(line);
    }

    fn heading(&mut self, title: &str, text: &str) {
        self.add(&[(theme::PLAIN, "  "), (theme::OBJECT, title), (theme::PLAIN, text)]);
    }

    /// The summary as one dim line.
    pub(super) fn line(&mut self, time: Duration, counts: &Counts) {
        let types = types(&counts.types);
        // With several types it is clear what is counted, and the line fits 80 columns.
        let events = match counts.types.total().all {
            0 => "no events".to_owned(),
            1 => format!("{types} event"),
            _ if types.contains(',') => types,
            _ => format!("{types} events"),
        };
        let mut parts = vec![format!("lxmon: {}: {events}", shown(time))];
        if counts.failures > 0 {
            parts.push(number_of(counts.failures, "failure"));
        }
        if counts.gaps.count > 0 {
            parts.push(gaps(&counts.gaps));
        }
        self.add(&[(theme::DIM, &parts.join("; "))]);
    }

    /// The whole summary.
    pub(super) fn all(&mut self, time: Duration, counts: &Counts, summary: &Summary) {
        let total = counts.types.total().all;
        let events = if total == 0 { "no events".to_owned() } else { number_of(total, "event") };
        self.add(&[
            (theme::PLAIN, "lxmon: "),
            (theme::OBJECT, "summary"),
            (theme::PLAIN, &format!(": {events} in {}", shown(time))),
        ]);
        if total > 0 {
            self.heading("types", &format!(": {}", types(&counts.types)));
        }
        if let Some(details) = &counts.details {
            self.tally("actions", &details.actions);
            self.tally("operations", &details.operations.ended);
            let failures = details.failures.sorted();
            if counts.failures > 0 {
                self.heading("failures", &format!(": {}", grouped(counts.failures)));
            }
            for (count, what, whom, reason) in failures.iter().take(SHOWN) {
                let whom = if whom.is_empty() { String::new() } else { format!("  {whom}") };
                self.add(&[
                    (theme::PLAIN, &format!("{:>10}  ", grouped(*count))),
                    (theme::BAD, what),
                    (theme::OBJECT, &whom),
                    (theme::PLAIN, &format!(": {reason}")),
                ]);
            }
            let hidden = &failures[failures.len().min(SHOWN)..];
            let rest = hidden.iter().map(|(count, ..)| count).sum::<u64>() + details.failures.beyond;
            self.rest(rest, "other");
            let last = if summary.options.is_recording { counts.span.map(|(_, last)| last) } else { None };
            let operations = &details.operations;
            let slowest: Vec<_> =
                operations.slowest().into_iter().map(|slow| (slow.time, &*slow.description, &*slow.subject)).collect();
            self.timed("slowest", "", &slowest);
            let running: Vec<_> = operations.running(last);
            let running: Vec<_> =
                running.iter().map(|(time, running)| (*time, &*running.description, &*running.subject)).collect();
            self.timed("still running", &format!(": {}", grouped(running.len() as u64)), &running);
            // Those that ran when events were lost, and have not been heard of since.
            if operations.doubtful() > 0 {
                self.heading("perhaps ended unseen", &format!(": {}", number_of(operations.doubtful(), "operation")));
            }
        }
        self.gaps(&counts.gaps, summary);
    }

    /// The counts of a kind of events.
    fn tally(&mut self, title: &str, tally: &Tally) {
        let total = tally.total();
        if total.all == 0 {
            return;
        }
        self.heading(title, &format!(": {}{}", grouped(total.all), outcomes(total)));
        let sorted = tally.sorted();
        let width = sorted.iter().take(SHOWN).map(|(name, _)| sanitize::shown(name).width()).max().unwrap_or(0);
        for (name, count) in sorted.iter().take(SHOWN) {
            let number = format!("{:>10}  ", grouped(count.all));
            let outcomes = outcomes(*count);
            let gap = width.min(WIDEST).saturating_sub(sanitize::shown(name).width());
            let outcomes = match outcomes.strip_prefix(", ") {
                Some(outcomes) => format!("{}  {outcomes}", " ".repeat(gap)),
                None => String::new(),
            };
            self.add(&[(theme::PLAIN, &number), (theme::PLAIN, name), (theme::BAD, &outcomes)]);
        }
        let hidden = &sorted[sorted.len().min(SHOWN)..];
        let rest = hidden.iter().map(|(_, count)| count.all).sum::<u64>() + tally.beyond.all;
        self.rest(rest, "other");
    }

    /// What a list does not show.
    fn rest(&mut self, count: u64, name: &str) {
        if count > 0 {
            let name = if count == 1 { name.to_owned() } else { format!("{name}s") };
            self.add(&[(theme::DIM, &format!("{:>10}  {name}", grouped(count)))]);
        }
    }

    /// Operations with the time that they took.
    fn timed(&mut self, title: &str, text: &str, list: &[(Duration, &str, &str)]) {
        if list.is_empty() {
            return;
        }
        self.heading(title, text);
        let width = |description: &str| sanitize::shown(description).width();
        let widest = list.iter().take(SHOWN).map(|(_, description, _)| width(description)).max().unwrap_or(0);
        for (time, description, subject) in list.iter().take(SHOWN) {
            let gap = if subject.is_empty() { 0 } else { widest.min(WIDEST).saturating_sub(width(description)) + 2 };
            self.add(&[
                (theme::PLAIN, &format!("{:>12}  ", shown(*time).to_string())),
                (theme::PLAIN, description),
                (theme::PLAIN, &" ".repeat(gap)),
                (theme::OBJECT, subject),
            ]);
        }
        self.rest(list.len().saturating_sub(SHOWN) as u64, "other");
    }

    fn gaps(&mut self, all: &Gaps, summary: &Summary) {
        if all.count == 0 {
            return;
        }
        let dropped = dropped(all);
        self.heading("gaps", &format!(": {}, {}{dropped}", grouped(all.count), shown(all.length())));
        for gap in &all.latest {
            let name = summary.name(gap.remote);
            let name = if name.is_empty() { String::new() } else { format!("{name}: ") };
            self.add(&[
                (theme::PLAIN, &format!("      {}  {:>12}  ", gap.since.format("%Y-%m-%d %H:%M:%S"), length(gap))),
                (theme::WARN, &name),
                (theme::WARN, &reason(gap)),
            ]);
        }
        self.rest(all.count - all.latest.len() as u64, "earlier one");
    }
}

/// The counts by type, such as `20 lifecycle, 7 operation`.
fn types(types: &Tally) -> String {
    let sorted = types.sorted();
    let hidden = &sorted[sorted.len().min(TYPES)..];
    let rest = hidden.iter().map(|(_, count)| count.all).sum::<u64>() + types.beyond.all;
    let mut texts: Vec<_> =
        sorted.iter().take(TYPES).map(|(name, count)| format!("{} {name}", grouped(count.all))).collect();
    if rest > 0 {
        texts.push(format!("{} other", grouped(rest)));
    }
    texts.join(", ")
}

/// What has not succeeded, behind a comma; nothing if everything has.
fn outcomes(count: Count) -> String {
    let mut text = String::new();
    for (number, what) in [(count.failed, "failed"), (count.cancelled, "cancelled")] {
        if number > 0 {
            // Writing to a String cannot fail.
            let _ = write!(text, ", {} {what}", grouped(number));
        }
    }
    text
}

/// The number of gaps, their length, and how many events they have cost, as far as that is known.
fn gaps(gaps: &Gaps) -> String {
    format!("{}, {}{}", number_of(gaps.count, "gap"), shown(gaps.length()), dropped(gaps))
}

fn dropped(gaps: &Gaps) -> String {
    if gaps.dropped > 0 { format!(", {} dropped", number_of(gaps.dropped, "event")) } else { String::new() }
}

/// The length of a gap. One that has not ended lasts until now.
fn length(gap: &Gap) -> impl Display {
    let measured = gap.end.map(|end| Duration::try_from_secs_f64(end.seconds).unwrap_or_default());
    shown(measured.unwrap_or_else(|| until_now(gap.since))).to_string()
}

fn reason(gap: &Gap) -> String {
    let mut text = gap.reason.clone();
    if gap.dropped > 0 {
        text = format!("{} dropped: {text}", number_of(gap.dropped, "event"));
    }
    if gap.dropped == 0 && gap.end.is_none_or(|end| !end.is_over) {
        text += "; not reconnected";
    }
    text
}

/// A number of things with their name in the singular.
fn number_of(number: u64, name: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {name}{plural}", grouped(number))
}

/// A number with its digits in groups of three.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
