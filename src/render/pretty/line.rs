//! A line: its cells, and how they are written into the columns of a layout.

use std::borrow::Cow;

use owo_colors::Style;

use super::super::{sanitize, simd, theme};
use super::columns::{GAP, Layout};
use super::glyph::Glyph;
use super::text::{Cut, Ellipsis, as_text, cut_end, cut_middle, cut_parts, split_line, width_of};
use crate::event::json::{Escapes, Text};

/// The minimum width of a part that is cut. A part that would be shorter is left out, as it would be of no use.
const SHORTEST: usize = 6;

/// The minimum width of an object that makes room for a long action.
const SHORTEST_OBJECT: usize = 4;

/// Sanitized text in a style.
#[derive(Debug)]
pub(super) struct Cell {
    pub(super) text: Vec<u8>,
    pub(super) style: Style,
    /// The number of bytes at the beginning that are left out where the text is too long for its column.
    pub(super) prefix: usize,
}

impl Default for Cell {
    fn default() -> Self {
        Self { text: Vec::new(), style: theme::PLAIN, prefix: 0 }
    }
}

/// What stands behind the object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Form {
    /// An action or the like in a column of its own, and then the detail.
    #[default]
    Columns,
    /// A text of any length, which may be cut at its end.
    Message,
    /// A text of any length, which is never cut.
    Sentence,
}

/// The line that is being rendered. Its buffers are reused.
#[derive(Debug, Default)]
pub(super) struct Line {
    pub(super) time: Cell,
    pub(super) glyph: Cell,
    pub(super) project: Cell,
    pub(super) member: Cell,
    pub(super) remote: Cell,
    pub(super) object: Cell,
    pub(super) what: Cell,
    /// What came of it, or what matters besides.
    pub(super) detail: Cell,
    /// What is of little interest. It is cut first.
    pub(super) extra: Cell,
    /// Why it failed. It stands on further lines, and is never cut.
    pub(super) reason: Cell,
    pub(super) form: Form,
    /// Whether the detail is never cut, but goes on in further lines.
    pub(super) is_detail_whole: bool,
    /// What separates the reason from the detail or message before it, where they stand on the same line.
    pub(super) joint: &'static str,
    /// Whether the reason may stand on the first line.
    pub(super) is_reason_near: bool,
    /// Whether characters beyond ASCII can be shown.
    pub(super) utf8: bool,
}

impl Cell {
    pub(super) fn push(&mut self, text: &str) {
        sanitize::push(&mut self.text, text);
    }

    pub(super) fn push_text(&mut self, text: Option<Text<'_>>) {
        let Some(text) = text else { return };
        if text.is_escaped() && text.escapes <= Escapes::Control && simd::is_usual(text.raw.as_bytes()) {
            return sanitize::push_escaped(&mut self.text, text.raw);
        }
        match text.cow() {
            Cow::Borrowed(text) => self.push(text),
            Cow::Owned(text) => self.push(&text),
        }
    }

    /// Appends `between` unless the cell is empty.
    pub(super) fn separate(&mut self, between: &str) {
        if !self.text.is_empty() {
            self.text.extend_from_slice(between.as_bytes());
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    pub(super) fn text(&self) -> &str {
        as_text(&self.text)
    }

    fn clear(&mut self) {
        self.text.clear();
        self.style = theme::PLAIN;
        self.prefix = 0;
    }

    /// The text, without its prefix if it is wider than `room` columns with it.
    fn without_prefix(&self, room: usize) -> &str {
        let text = self.text();
        if self.prefix > 0 && width_of(text) > room { text.get(self.prefix..).unwrap_or(text) } else { text }
    }
}

impl Line {
    pub(super) fn clear(&mut self) {
        let Self { time, glyph, project, member, remote, object, what, detail, extra, reason, .. } = self;
        for cell in [time, glyph, project, member, remote, object, what, detail, extra, reason] {
            cell.clear();
        }
        self.form = Form::Columns;
        self.is_detail_whole = false;
        self.joint = ": ";
        self.is_reason_near = false;
    }

    pub(super) fn glyph(&mut self, glyph: Glyph) {
        self.glyph.style = glyph.style;
        self.glyph.text.extend_from_slice(if self.utf8 { glyph.shape } else { glyph.ascii }.as_bytes());
    }

    /// The arrow between a former and a present name or value.
    pub(super) fn arrow(&self) -> &'static str {
        if self.utf8 { " → " } else { " -> " }
    }

    /// Appends the line, and its further lines.
    pub(super) fn write(&self, layout: &Layout, color: bool, out: &mut Vec<u8>) {
        let mut pen = Pen { out, color, layout, ellipsis: Ellipsis::new(self.utf8), at: 0, owed: 0 };
        pen.column(&self.time, layout.time, 1);
        pen.column(&self.glyph, 1, 1);
        pen.column(&self.project, layout.project, GAP);
        pen.column(&self.member, layout.member, GAP);
        pen.column(&self.remote, layout.remote, GAP);
        let mut object = layout.object;
        if let Some(width) = layout.width
            && self.form == Form::Columns
        {
            // An action is never cut. One that does not fit begins further left.
            let excess = (layout.what_at + width_of(self.what.text())).saturating_sub(width);
            object -= excess.min(object.saturating_sub(SHORTEST_OBJECT));
        }
        pen.column(&self.object, object, GAP);
        let rest = match self.form {
            Form::Columns => {
                pen.action(&self.what);
                self.write_detail(&mut pen)
            }
            Form::Message => {
                pen.cut(&self.what);
                pen.cut_parts(&self.extra);
                Rest::default()
            }
            Form::Sentence => {
                let text = pen.first_line(&self.what);
                let mut rest = Rest { text, style: self.what.style, has_reason: true };
                if text.is_empty() {
                    rest.has_reason = !self.joins_reason(&mut pen);
                    pen.cut_parts(&self.extra);
                }
                rest
            }
        };
        pen.out.push(b'\n');
        let reason = if rest.has_reason { self.reason.text() } else { "" };
        if self.form == Form::Columns && !rest.text.is_empty() && !reason.is_empty() {
            pen.further(rest.style, &[rest.text, self.joint, reason].concat());
        } else {
            pen.further(rest.style, rest.text);
            pen.further(self.reason.style, reason);
        }
    }

    /// Writes the reason on the first line if it may stand there and fits. Returns whether nothing of it is left.
    fn joins_reason(&self, pen: &mut Pen<'_>) -> bool {
        self.reason.is_empty() || (self.is_reason_near && pen.joins(self.joint, &self.reason))
    }

    /// Writes the detail, and what else stands on the first line. Returns what is left for further lines.
    fn write_detail(&self, pen: &mut Pen<'_>) -> Rest<'_> {
        let mut rest = Rest { text: "", style: self.detail.style, has_reason: true };
        if self.is_detail_whole && !pen.fits(&self.detail) {
            rest.text = self.detail.text();
        } else {
            pen.cut(&self.detail);
            rest.has_reason = !self.joins_reason(pen);
            pen.cut_parts(&self.extra);
        }
        rest
    }
}

/// What is left for further lines.
#[derive(Debug, Default)]
struct Rest<'a> {
    text: &'a str,
    style: Style,
    /// Whether the reason has not been written.
    has_reason: bool,
}

/// Writes cells one behind the other.
struct Pen<'a> {
    out: &'a mut Vec<u8>,
    color: bool,
    layout: &'a Layout,
    ellipsis: Ellipsis,
    /// The column at which the next text begins.
    at: usize,
    /// The number of spaces to be written before the next text.
    owed: usize,
}

impl Pen<'_> {
    /// The number of columns that are left, if there is a limit.
    fn room(&self) -> Option<usize> {
        self.layout.width.map(|width| width.saturating_sub(self.at))
    }

    /// Whether not even text without width fits, as the gap before it does not.
    fn is_full(&self) -> bool {
        self.layout.width.is_some_and(|width| self.at > width)
    }

    fn put(&mut self, cut: Cut<'_>, style: Style) {
        if (cut.head.is_empty() && cut.ellipsis.is_empty()) || self.is_full() {
            return;
        }
        self.out.resize(self.out.len() + self.owed, b' ');
        self.owed = 0;
        paint(self.out, self.color, style, |out| {
            for part in [cut.head, cut.ellipsis, cut.tail] {
                out.extend_from_slice(part.as_bytes());
            }
        });
        self.at += cut.width;
    }

    fn space(&mut self, columns: usize) {
        self.owed += columns;
        self.at += columns;
    }

    /// Writes a cell into a column of this width, with a gap behind it. Without a limit, a long cell moves what follows.
    fn column(&mut self, cell: &Cell, width: usize, gap: usize) {
        if width == 0 {
            return;
        }
        let begin = self.at;
        let cut = match self.room() {
            None => whole(cell.text()),
            Some(room) => {
                let room = room.min(width);
                cut_middle(cell.without_prefix(room), room, self.ellipsis)
            }
        };
        self.put(cut, cell.style);
        let used = self.at - begin;
        self.space(width.saturating_sub(used) + gap);
    }

    /// Writes the action. It is longer than its column rather than cut.
    fn action(&mut self, cell: &Cell) {
        let begin = self.at;
        let cut = self.room().map_or_else(|| whole(cell.text()), |room| cut_end(cell.text(), room, self.ellipsis));
        self.put(cut, cell.style);
        let used = self.at - begin;
        self.space(self.layout.what.saturating_sub(used) + GAP);
    }

    /// Whether the whole cell, perhaps without its prefix, fits into the line.
    fn fits(&self, cell: &Cell) -> bool {
        !self.is_full() && self.room().is_none_or(|room| width_of(cell.without_prefix(room)) <= room)
    }

    /// Writes as much of a cell as fits, unless that is too little to be of use, with a gap behind it.
    fn cut(&mut self, cell: &Cell) {
        if cell.is_empty() {
            return;
        }
        match self.room() {
            // Nothing needs the width of what was written.
            None => self.put(Cut { head: cell.text(), ellipsis: "", tail: "", width: 0 }, cell.style),
            Some(room) => {
                let text = cell.without_prefix(room);
                let cut = cut_end(text, room, self.ellipsis);
                if !cut.ellipsis.is_empty() && room < SHORTEST {
                    return;
                }
                self.put(cut, cell.style);
            }
        }
        self.space(GAP);
    }

    /// Writes the parts of a cell that fit, with a gap behind it.
    fn cut_parts(&mut self, cell: &Cell) {
        if let Some(room) = self.room() {
            self.put(cut_parts(cell.text(), room, self.ellipsis), cell.style);
        } else {
            self.cut(cell);
        }
    }

    /// Writes the reason behind this joint if it fits into the line; otherwise does nothing.
    fn joins(&mut self, joint: &str, reason: &Cell) -> bool {
        // The room behind the gap is measured, and no joint is wider than the gap.
        if !self.fits(reason) {
            return false;
        }
        if self.owed == GAP {
            self.owed = 0;
            paint(self.out, self.color, reason.style, |out| out.extend_from_slice(joint.as_bytes()));
        }
        self.put(whole(reason.text()), reason.style);
        self.space(GAP);
        true
    }

    /// Writes the beginning of a text that is never cut, and returns the rest of it.
    fn first_line<'c>(&mut self, cell: &'c Cell) -> &'c str {
        let (line, rest) = match self.room() {
            None => (cell.text(), ""),
            Some(room) => split_line(cell.text(), room),
        };
        self.put(whole(line), cell.style);
        self.space(GAP);
        rest
    }

    /// Writes a text on further lines.
    fn further(&mut self, style: Style, mut text: &str) {
        let room = self.layout.width.map_or(usize::MAX - 1, |width| width.saturating_sub(self.layout.indent).max(1));
        while !text.is_empty() {
            let (line, rest) = split_line(text, room);
            self.out.resize(self.out.len() + self.layout.indent, b' ');
            paint(self.out, self.color, style, |out| out.extend_from_slice(line.as_bytes()));
            self.out.push(b'\n');
            text = rest;
        }
    }
}

fn paint(out: &mut Vec<u8>, color: bool, style: Style, write: impl FnOnce(&mut Vec<u8>)) {
    // The plain style has no escape sequence, but one that ends it.
    theme::paint(out, color && style != theme::PLAIN, style, write);
}

fn whole(text: &str) -> Cut<'_> {
    Cut { head: text, ellipsis: "", tail: "", width: width_of(text) }
}
