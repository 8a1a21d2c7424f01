//! The columns of a line. Their widths are chosen once from the terminal's width, so that each part of a line stands at
//! the same place on all lines.

use super::text::width_of;

/// Which columns the lines of a session have besides glyph, object, action and detail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Shows {
    /// The width of a time with milliseconds, and without.
    pub(super) time: [usize; 2],
    /// Whether there is a column for the project.
    pub(super) project: bool,
    /// Whether there is a column for the cluster member.
    pub(super) member: bool,
    /// The width of the longest name of a remote; 0 without such a column.
    pub(super) remote: usize,
}

/// The widths of the columns. A column of width 0 is not shown. Behind time and glyph is one space, behind each other
/// column are two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// The width of the terminal. Without one, nothing is cut.
    pub(super) width: Option<usize>,
    pub(super) time: usize,
    /// Whether times are without milliseconds.
    pub(super) is_brief: bool,
    pub(super) project: usize,
    pub(super) member: usize,
    pub(super) remote: usize,
    pub(super) object: usize,
    /// The width of the action, the description of an operation, or the like.
    pub(super) what: usize,
    /// Where the object begins.
    pub(super) object_at: usize,
    /// Where the action begins.
    pub(super) what_at: usize,
    /// Where further lines begin.
    pub(super) indent: usize,
}

/// The space behind a column, except time and glyph.
pub(super) const GAP: usize = 2;

/// The width of the glyph with the space behind it.
const GLYPH: usize = 2;

/// The least widths of object, action and detail on terminals of 80 columns and more.
const OBJECT: usize = 12;
const WHAT: usize = 17;
const DETAIL: usize = 16;

/// The least number of columns for the text of further lines that are indented as far as the action or the object.
const READABLE: usize = 46;

impl Layout {
    /// The number of columns that are left for the detail behind this action.
    pub(super) fn room_behind(&self, what: &str) -> usize {
        let begin = self.what_at + self.what.max(width_of(what)) + GAP;
        self.width.map_or(usize::MAX, |width| width.saturating_sub(begin))
    }

    /// The layout for a terminal of this width; `None` for an output that has none.
    pub(super) fn new(width: Option<usize>, shows: Shows) -> Self {
        // The widths of project, member and the longest remote.
        let (project, member, remote) = match width {
            None => (12, 10, usize::MAX),
            Some(..50) => (0, 0, 6),
            Some(..80) => (7, 0, 7),
            Some(..120) => (7, 6, 8),
            Some(..160) => (8, 7, 12),
            Some(..200) => (10, 8, 16),
            Some(_) => (14, 10, 20),
        };
        let is_brief = width.is_some_and(|width| width < 80);
        let time = match width {
            Some(..40) => 0,
            _ => shows.time[usize::from(is_brief)],
        };
        let project = if shows.project { project } else { 0 };
        let member = if shows.member { member } else { 0 };
        let remote = remote.min(shows.remote);
        let gap = |column: usize, gap| if column == 0 { 0 } else { column + gap };
        let object_at = gap(time, 1) + GLYPH + gap(project, GAP) + gap(member, GAP) + gap(remote, GAP);
        let (object, what) = match width {
            None => (28, 26),
            Some(width) => share(width.saturating_sub(object_at + 2 * GAP), width),
        };
        let what_at = object_at + object + GAP;
        let is_readable = |at: &usize| width.is_none_or(|width| width >= at + READABLE);
        let indent = [what_at, object_at].into_iter().find(is_readable).unwrap_or(GLYPH);
        Self { width, time, is_brief, project, member, remote, object, what, object_at, what_at, indent }
    }
}

/// The widths of object and action on a terminal of `width` columns, where `room` columns are left for them and the
/// detail.
fn share(room: usize, width: usize) -> (usize, usize) {
    let Some(free) = room.checked_sub(OBJECT + WHAT + DETAIL) else {
        let object = (room * 3 / 10).clamp(4, OBJECT);
        return (object, WHAT.min(room.saturating_sub(object)).max(4));
    };
    // The longest actions have 31 letters, the usual ones at most 26.
    let longest = if width >= 160 { 31 } else { 26 };
    (OBJECT + (free / 6).min(20), WHAT + (free * 2 / 5).min(longest - WHAT))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Shows = Shows { time: [12, 8], project: true, member: true, remote: 0 };

    #[test]
    fn all_columns_of_a_line_fit_the_terminal() {
        for width in 20..250 {
            for remote in [0, 5, 40] {
                for (project, member) in [(false, false), (true, false), (false, true), (true, true)] {
                    let shows = Shows { project, member, remote, ..ALL };
                    let layout = Layout::new(Some(width), shows);
                    assert!(layout.what_at + layout.what <= width, "{width} {shows:?}: {layout:?}");
                    assert!(layout.indent + 10 <= width, "{width} {shows:?}: {layout:?}");
                }
            }
        }
    }

    #[test]
    fn a_wider_terminal_has_no_narrower_column() {
        let widths = |width| {
            let Layout { time, project, member, object, what, .. } = Layout::new(Some(width), ALL);
            [time, project, member, object, what]
        };
        // Where a column is added, the others may get narrower.
        for range in [20..40, 40..50, 50..80, 80..120, 120..160, 160..200, 200..250] {
            for width in range.start..range.end - 1 {
                let pairs = widths(width).into_iter().zip(widths(width + 1));
                assert!(pairs.into_iter().all(|(narrow, wide)| narrow <= wide), "{width}");
            }
        }
    }

    #[test]
    fn below_80_columns_milliseconds_and_member_go() {
        let [narrow, wide] = [79, 80].map(|width| Layout::new(Some(width), ALL));
        assert_eq!((narrow.time, narrow.member, wide.time, wide.member), (8, 0, 12, 6));
        assert!(Layout::new(Some(120), ALL).what >= 25);
        assert!(Layout::new(Some(100), Shows { member: false, project: false, ..ALL }).what >= 25);
    }
}
