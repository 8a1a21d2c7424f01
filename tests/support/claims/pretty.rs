//! `pretty` and `logfmt` print one line per event, on a terminal without control characters; `pretty` fits the width.

use chrono::{DateTime, Timelike as _};
use lxmon::event::Event;
use lxmon::event::json::Text;
use lxmon::render::pretty::{Options, Pretty, TimeStyle};
use lxmon::render::{Format, Surface, sanitize};
use unicode_width::UnicodeWidthStr as _;

use super::{COLOR, PIPE, TERMINAL, event, is_harmless, print, stripped};

const PLAIN: Options =
    Options { surface: PIPE, width: None, time: TimeStyle::Utc, show_project: true, remote_width: 0, utf8: true };
const SCREEN: Options = Options { surface: TERMINAL, width: Some(110), ..PLAIN };

const LOOKS: [Options; 6] = [
    PLAIN,
    SCREEN,
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

fn check(event: &Event, look: &Options, text: &str) {
    let mut lines: Vec<_> = text.split_inclusive('\n').map(|line| line.strip_suffix('\n').unwrap()).collect();
    let Some(line) = lines.pop() else {
        assert!(event.operation().is_some(), "no line was printed");
        return;
    };
    if let Some(rule) = lines.pop() {
        assert!(look.surface.terminal && matches!(look.time, TimeStyle::Local | TimeStyle::Utc), "{text:?}");
        assert!(rule.starts_with(if look.utf8 { "── " } else { "-- " }), "{rule:?}");
    }
    assert!(lines.is_empty(), "{text:?}");
    let action = event.lifecycle().map(|lifecycle| shown(lifecycle.action()));
    if let Some(action) = &action {
        assert!(line.contains(action), "{line:?}");
    }
    if let Some(width) = look.width {
        // The action and the glyph before it are never left out.
        let least = action.map_or(0, |action| 2 + action.width());
        assert!(line.width() <= width.max(least), "{} columns for {width}: {line:?}", line.width());
    } else {
        // A time that cannot be converted is printed as the server wrote it, any other in UTC.
        if let Some(time) = event.offset_time().filter(|_| !line.starts_with(&shown(event.timestamp_text()))) {
            let shown = line.split(' ').next().and_then(|first| DateTime::parse_from_rfc3339(first).ok()).unwrap();
            let late = (time - shown).num_milliseconds();
            // A leap second is printed as the second before it.
            assert!(late == 0 || (time.nanosecond() >= 1_000_000_000 && late <= 1000), "{line:?}");
        }
        let parts = [event.logging().and_then(|logging| logging.message()), event.project(), event.timestamp_text()];
        let parts = if event.offset_time().is_some() { &parts[..2] } else { &parts[..] };
        for part in parts {
            assert!(line.contains(&shown(*part)), "{line:?}");
        }
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
