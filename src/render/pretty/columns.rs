//! The parts of a line, how they stand in columns, and which give way where the line is too long.

use std::borrow::Cow;

use owo_colors::Style;
use unicode_truncate::UnicodeTruncateStr as _;
use unicode_width::UnicodeWidthStr as _;

use super::super::{sanitize, simd, theme};
use crate::event::json::{Escapes, Text};

/// No column is made wider than this for the sake of alignment.
pub(super) const WIDEST_COLUMN: usize = 16;

/// A detail shorter than this says nothing.
pub(super) const SHORTEST_DETAIL: usize = 8;

/// The parts of the line that is being made.
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

/// A part of a line: clean text, its width in columns, and how it is painted.
#[derive(Debug)]
pub(super) struct Cell {
    pub(super) text: Vec<u8>,
    pub(super) style: Style,
    /// Filled up with spaces to this width when something follows.
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

    /// The columns that the whole line takes.
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

    /// Makes the line fit: detail, requestor, member, project give way in that order, then what it happened to, the
    /// remote, the type and the time. An action never does.
    pub(super) fn fit(&mut self, columns: usize, ellipsis: &str, keep_what: bool) {
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

    /// A column as wide as its widest text so far.
    pub(super) fn align(&mut self, widest: &mut usize, style: Style) {
        *widest = self.width().min(WIDEST_COLUMN).max(*widest);
        self.pad = *widest;
        self.style = style;
    }

    pub(super) fn is_shown(&self) -> bool {
        !self.text.is_empty() || self.pad > 0
    }

    /// The space after it: narrow parts stand close to what follows.
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

    /// Takes off `excess` columns and shows that something is missing; drops it when less than `shortest` is left.
    pub(super) fn shorten(&mut self, excess: usize, shortest: usize, ellipsis: &str) {
        if excess == 0 {
            return;
        }
        let keep = self.width().saturating_sub(excess);
        if keep < shortest {
            return self.drop();
        }
        let text = String::from_utf8_lossy(&self.text);
        // One column is the ellipsis'.
        let (kept, _) = text.unicode_truncate(keep - 1);
        let mut short = kept.as_bytes().to_vec();
        short.extend_from_slice(ellipsis.as_bytes());
        self.text = short;
        self.pad = self.pad.min(keep);
    }
}
