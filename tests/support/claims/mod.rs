//! What must hold whatever comes in, one function per fuzz target: the fuzzer gives them bytes of its own making,
//! `corpus.rs` those that are kept.

#![allow(unreachable_pub, reason = "the crate of the fuzz targets takes this module for its own")]

mod client_config;
mod entity;
mod envelope;
mod pretty;
mod yaml;

pub use self::client_config::client_config;
pub use self::entity::entity;
pub use self::envelope::envelope;
pub use self::pretty::pretty;
pub use self::yaml::{same, yaml};

use lxmon::event::json::Tape;
use lxmon::event::{Event, Message, RemoteId};
use lxmon::render::pretty::{Options, TimeStyle};
use lxmon::render::{Format, Renderer, Surface, sanitize};

pub const PIPE: Surface = Surface { color: false, terminal: false };
pub const TERMINAL: Surface = Surface { color: false, terminal: true };
pub const COLOR: Surface = Surface { color: true, terminal: true };

/// The event that `text` is, if it is one.
fn event(text: &str) -> Option<Event> {
    Event::decode(Message::from(text), RemoteId::default(), Tape::default()).ok()
}

/// How `event` is printed.
fn print(format: Format, surface: Surface, event: &Event, remote: Option<&str>) -> String {
    let pretty = Options { surface, time: TimeStyle::Utc, show_project: true, utf8: true, ..Options::default() };
    let mut out = Vec::new();
    Renderer::new(format, surface, &pretty).render(event, remote, &mut out);
    String::from_utf8(out).unwrap()
}

/// Takes out what colours are made of.
pub fn stripped(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        plain.push_str(before);
        rest = after.split_once('m').unwrap().1;
    }
    plain + rest
}

/// Nothing in `text` is more to a terminal than a character or the end of a line.
fn is_harmless(text: &str) -> bool {
    !text.chars().any(|character| character != '\n' && sanitize::is_control(character))
}
