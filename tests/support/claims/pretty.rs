//! `pretty` and `logfmt` print one line per event, on a terminal without control characters. `pretty` fits the width,
//! puts reasons on further lines, and can render an operation as a row.

use std::time::Duration;

use chrono::{DateTime, Timelike as _};
use lxmon::event::json::Text;
use lxmon::event::{Event, Level};
use lxmon::render::pretty::{Options, Pretty, TimeStyle};
use lxmon::render::{Format, Surface, sanitize};
use unicode_width::UnicodeWidthStr as _;

use super::{COLOR, PIPE, TERMINAL, event, is_harmless, print, stripped};

const PLAIN: Options = Options {
    surface: PIPE,
    width: None,
    time: TimeStyle::Utc,
    show_project: true,
    remote_width: 0,
    utf8: true,
    live_rows: false,
};
const SCREEN: Options = Options { surface: TERMINAL, width: Some(110), live_rows: true, ..PLAIN };

const LOOKS: [Options; 7] = [
    PLAIN,
    SCREEN,
    Options { width: Some(200), live_rows: false, ..SCREEN },
    Options { width: Some(80), time: TimeStyle::Local, remote_width: 2, ..SCREEN },
    Options { width: Some(60), time: TimeStyle::Iso, ..SCREEN },
    Options { width: Some(40), time: TimeStyle::Delta, show_project: false, utf8: false, ..SCREEN },
    Options { width: Some(20), ..SCREEN },
];

/// Prints the lines of `data` that are events one after the other, with several options, and checks the output.
pub fn pretty(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let events: Vec<_> = text.split('\n').filter_map(event).take(16).collect();
    for look in LOOKS {
        let remote = (look.remote_width > 0).then_some("n1");
        let color = Surface { color: true, ..look.surface };
        let (mut plain, mut colored) = (Pretty::new(look), Pretty::new(Options { surface: color, ..look }));
        for event in &events {
            let text = render(&mut plain, event, remote);
            assert_eq!(stripped(&render(&mut colored, event, remote)), text);
            assert!(is_harmless(&text), "{text:?}");
            check(event, &look, &text);
            let row = row(&mut plain, event, remote);
            assert_eq!(stripped(&self::row(&mut colored, event, remote)), row);
            assert!(is_harmless(&row), "{row:?}");
            assert_eq!(row.matches('\n').count(), usize::from(event.operation().is_some()), "{row:?}");
            assert!(look.width.is_none_or(|width| row.trim_end_matches('\n').width() <= width), "{row:?}");
        }
    }
    for event in &events {
        logfmt(event);
    }
}

fn render(pretty: &mut Pretty, event: &Event, remote: Option<&str>) -> String {
    let mut out = Vec::new();
    pretty.render(event, remote, &mut out);
    String::from_utf8(out).unwrap()
}

fn row(pretty: &mut Pretty, event: &Event, remote: Option<&str>) -> String {
    let mut out = Vec::new();
    pretty.render_running(event, remote, Duration::from_secs(12), &mut out);
    String::from_utf8(out).unwrap()
}

fn check(event: &Event, look: &Options, text: &str) {
    assert!(text.is_empty() || text.ends_with('\n'), "{text:?}");
    let mut lines = text.lines().peekable();
    if lines.peek().is_none() {
        assert!(event.operation().is_some(), "no line was printed");
        return;
    }
    let dash = if look.utf8 { "── " } else { "-- " };
    // A line of its own for the date, where the times have none.
    if look.surface.terminal && matches!(look.time, TimeStyle::Local | TimeStyle::Utc) {
        lines.next_if(|line| line.starts_with(dash));
    }
    let (line, further): (_, Vec<_>) = (lines.next().unwrap(), lines.collect());
    let has_time = look.width.is_none_or(|width| width >= 40);
    assert!(!has_time || !line.starts_with(' ') || matches!(look.time, TimeStyle::Delta), "{line:?}");
    assert!(further.iter().all(|line| line.starts_with("  ")), "{further:?}");
    // Every character that is not a space, whichever line it is on.
    let dense = |text: &str| text.split_whitespace().collect::<String>();
    let all = dense(&format!("{line}{}", further.join("")));
    let err = event.operation().and_then(|operation| operation.err()).filter(|_| event.failure().is_some());
    let warning = event.logging().filter(|logging| logging.level().is_some_and(|level| level >= Level::Warning));
    let warning = warning.and_then(|logging| logging.context()?.get_text("err"));
    for reason in [err, warning].into_iter().flatten() {
        assert!(all.contains(&dense(&shown(Some(reason)))), "{text:?}");
    }
    if let Some(action) = event.lifecycle().map(|lifecycle| shown(lifecycle.action())) {
        let has_room = look.width.is_none_or(|width| width >= 80 && action.width() < 32);
        assert!(!has_room || line.contains(&action), "{line:?}");
    }
    if let Some(width) = look.width {
        for line in text.lines() {
            assert!(line.width() <= width, "{} columns for {width}: {line:?}", line.width());
        }
    } else {
        // A time that cannot be converted is printed as the server wrote it, any other in UTC.
        let as_written = event.timestamp_text().map(|text| text.cow()).unwrap_or_default();
        let as_written = sanitize::shown(as_written.trim());
        if let Some(time) = event.offset_time().filter(|_| !line.starts_with(&as_written)) {
            let shown = line.split(' ').next().and_then(|first| DateTime::parse_from_rfc3339(first).ok()).unwrap();
            let late = (time - shown).num_milliseconds();
            // A leap second is printed as the second before it.
            assert!(late == 0 || (time.nanosecond() >= 1_000_000_000 && late <= 1000), "{line:?}");
        }
        // Line breaks in a message are shown as spaces.
        let message = event.logging().and_then(|logging| logging.message());
        let message = message.filter(|message| !message.cow().contains('\n'));
        for part in [message, event.project()] {
            assert!(line.contains(&shown(part)), "{line:?}");
        }
        assert!(event.offset_time().is_some() || line.starts_with(&as_written), "{line:?}");
    }
}

fn shown(text: Option<Text<'_>>) -> String {
    let mut out = Vec::new();
    sanitize::push(&mut out, &text.map(|text| text.cow()).unwrap_or_default());
    String::from_utf8(out).unwrap()
}

fn logfmt(event: &Event) {
    for surface in [PIPE, TERMINAL] {
        let line = print(Format::Logfmt, surface, event, None);
        assert!(line.ends_with('\n') && line.matches('\n').count() == 1, "{line:?}");
        if surface == TERMINAL {
            assert!(is_harmless(&line), "{line:?}");
            assert_eq!(stripped(&print(Format::Logfmt, COLOR, event, None)), line);
        }
    }
}
