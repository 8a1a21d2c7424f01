//! The cells of a line, their alignment in columns, and how a line that is too long is shortened.

use std::borrow::Cow;

use owo_colors::Style;
use unicode_truncate::UnicodeTruncateStr as _;
use unicode_width::UnicodeWidthStr as _;

use super::super::{sanitize, simd, theme};
use crate::event::Type;
use crate::event::json::{Escapes, Text};

/// The maximum width to which a column grows for alignment.
pub(super) const WIDEST_COLUMN: usize = 16;

/// The minimum width of a shortened cell. A cell that would be shorter is dropped, as it would be of no use.
pub(super) const SHORTEST_DETAIL: usize = 8;

/// The cells of the line that is being rendered.
#[derive(Debug, Default)]
pub(super) struct Cells {
    pub(super) time: Cell,
    pub(super) glyph: Cell,
    pub(super) kind: Cell,
    pub(super) project: Cell,
    pub(super) member: Cell,
    pub(super) remote: Cell,
    pub(super) what: Cell,
    pub(super) object: Cell,
    pub(super) requestor: Cell,
    pub(super) detail: Cell,
}

/// A cell of a line: sanitized text, its style, and its minimum width.
#[derive(Debug)]
pub(super) struct Cell {
    pub(super) text: Vec<u8>,
    pub(super) style: Style,
    /// The width to which the cell is padded with spaces if another cell follows.
    pub(super) pad: usize,
}

impl Default for Cell {
    fn default() -> Self {
        Self { text: Vec::new(), style: theme::PLAIN, pad: 0 }
    }
}

impl Cells {
    pub(super) fn all(&mut self) -> [&mut Cell; 10] {
        let Self { time, glyph, kind, project, member, remote, what, object, requestor, detail } = self;
        [time, glyph, kind, project, member, remote, what, object, requestor, detail]
    }

    pub(super) fn clear(&mut self) {
        for cell in self.all() {
            cell.text.clear();
            cell.pad = 0;
            cell.style = theme::PLAIN;
        }
    }

    /// The width of the whole line, in columns.
    pub(super) fn width(&mut self) -> usize {
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

    /// Makes the line of an event of this type fit into `columns`. Until it does, these steps are taken in this order:
    /// shorten the detail; drop the requestor, the member and the project; shorten the object and, but for lifecycle
    /// actions, the text of `what`; drop the remote, the type and the time. Of an operation the requestor goes first, as
    /// its detail may be the reason of a failure.
    pub(super) fn fit(&mut self, columns: usize, ellipsis: &str, event_type: Type) {
        let keep_what = event_type == Type::Lifecycle;
        if event_type == Type::Operation && self.width() > columns {
            self.requestor.drop();
        }
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
            // A message is shortened before the time is dropped, but an action is never shortened (`keep_what`).
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

    pub(super) fn write(&mut self, out: &mut Vec<u8>, color: bool) {
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

    /// Pads the cell to the width of the widest text of its column so far.
    pub(super) fn align(&mut self, widest: &mut usize, style: Style) {
        *widest = self.width().min(WIDEST_COLUMN).max(*widest);
        self.pad = *widest;
        self.style = style;
    }

    pub(super) fn is_shown(&self) -> bool {
        !self.text.is_empty() || self.pad > 0
    }

    /// The number of spaces after the cell: one after a glyph or an unaligned dim cell, otherwise two.
    pub(super) fn gap(&self) -> usize {
        if self.pad == 1 || self.style == theme::DIM && self.pad == 0 { 1 } else { 2 }
    }

    pub(super) fn width(&self) -> usize {
        match std::str::from_utf8(&self.text) {
            Ok(text) if text.is_ascii() => text.len(),
            Ok(text) => text.width(),
            Err(_) => self.text.len(),
        }
    }

    pub(super) fn drop(&mut self) {
        self.text.clear();
        self.pad = 0;
    }

    /// Shortens the cell by `excess` columns, and ends it with the ellipsis. Drops the cell if less than `shortest`
    /// columns would be left.
    pub(super) fn shorten(&mut self, excess: usize, shortest: usize, ellipsis: &str) {
        if excess == 0 {
            return;
        }
        let keep = self.width().saturating_sub(excess);
        if keep < shortest {
            return self.drop();
        }
        let text = String::from_utf8_lossy(&self.text);
        // One column is for the ellipsis.
        let (kept, _) = text.unicode_truncate(keep - 1);
        let mut short = kept.as_bytes().to_vec();
        short.extend_from_slice(ellipsis.as_bytes());
        self.text = short;
        self.pad = self.pad.min(keep);
    }
}
