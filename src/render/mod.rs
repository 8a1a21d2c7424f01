//! Turns events into text. Every renderer appends to the caller's buffer and does no I/O.

pub(crate) mod json;
pub mod logfmt;
pub mod pretty;
pub mod sanitize;
mod simd;
pub mod theme;
pub mod yaml;

use std::time::Duration;

use clap::ValueEnum;

use crate::event::Event;

use self::json::Json;
use self::logfmt::Logfmt;
use self::pretty::Pretty;
use self::yaml::Yaml;

/// Properties of the output that decide how text is rendered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Surface {
    /// Whether to use colours.
    pub color: bool,
    /// Whether the output is a terminal. Control characters and bidi controls from the server must not reach it.
    pub terminal: bool,
}

impl Surface {
    /// Whether control characters in text from the server must be escaped, even where the format does not require it.
    #[must_use]
    pub fn must_sanitize(self) -> bool {
        self.color || self.terminal
    }
}

/// The output formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One document per event, as `lxc monitor` prints it
    Yaml,
    /// One event per line, the server's own bytes
    Json,
    /// One line per event for people
    Pretty,
    /// One line per event, as `lxc monitor --pretty` prints it
    Logfmt,
}

/// The renderer of the chosen format.
pub enum Renderer {
    /// [`Format::Yaml`]
    Yaml(Yaml),
    /// [`Format::Json`]
    Json(Json),
    /// [`Format::Pretty`]
    Pretty(Box<Pretty>),
    /// [`Format::Logfmt`]
    Logfmt(Logfmt),
}

impl Renderer {
    /// The renderer of `format`.
    #[must_use]
    pub fn new(format: Format, surface: Surface, pretty: &pretty::Options) -> Self {
        match format {
            Format::Yaml => Self::Yaml(Yaml::new(surface)),
            Format::Json => Self::Json(Json::new(surface).with_raw_strings()),
            Format::Pretty => Self::Pretty(Box::new(Pretty::new(*pretty))),
            Format::Logfmt => Self::Logfmt(Logfmt::new(surface)),
        }
    }

    /// Appends `event`. `remote` is the name of its remote if several remotes are followed, otherwise `None`.
    pub fn render(&mut self, event: &Event, remote: Option<&str>, out: &mut Vec<u8>) {
        match self {
            // The formats for events show any other value as JSON, for people to read.
            Self::Pretty(_) | Self::Logfmt(_) if !event.is_event() => {
                Json::new(Surface { color: false, terminal: true }).render(event, None, out);
            }
            Self::Yaml(yaml) => yaml.render(event, remote, out),
            Self::Json(json) => json.render(event, remote, out),
            Self::Pretty(pretty) => pretty.render(event, remote, out),
            Self::Logfmt(logfmt) => logfmt.render(event, remote, out),
        }
    }

    /// The number of columns of the terminal has changed. Formats that do not depend on it ignore that.
    pub(crate) fn resize(&mut self, columns: usize) {
        if let Self::Pretty(pretty) = self {
            pretty.resize(Some(columns));
        }
    }

    /// Operations in progress have no live rows, although the options say so.
    pub(crate) fn show_no_rows(&mut self) {
        if let Self::Pretty(pretty) = self {
            pretty.show_no_rows();
        }
    }

    /// Appends the line of an operation that has been in progress for the time `elapsed`, in formats that have one.
    pub(crate) fn render_running(&mut self, event: &Event, remote: Option<&str>, elapsed: Duration, out: &mut Vec<u8>) {
        if let Self::Pretty(pretty) = self {
            pretty.render_running(event, remote, elapsed, out);
        }
    }
}
