//! `--loglevel`

use super::{Event, Predicate};
use crate::event::Level;

/// The least level of log lines and security records. Anything else counts as info, as in `lxc monitor`, and so does
/// a level that nobody knows.
#[derive(Debug)]
pub(super) struct MinimumLevel(pub(super) Level);

impl Predicate for MinimumLevel {
    fn holds(&self, event: &Event) -> bool {
        let text = event
            .logging()
            .and_then(|logging| logging.level_text())
            .or_else(|| event.security().and_then(|security| security.level_text()));
        text.and_then(|level| level.cow().parse().ok()).unwrap_or(Level::Info) >= self.0
    }
}
