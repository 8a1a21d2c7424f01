//! Changes selected events before they are sorted and printed: `--redact`, then `--jq`, which so gets no secrets.

#[cfg(feature = "jq")]
pub mod jq;
#[cfg(not(feature = "jq"))]
#[path = "no_jq.rs"]
pub mod jq;
mod redact;

use std::sync::Arc;

use self::jq::{Handle, Jq};
use self::redact::Redact;
use crate::event::message::Memory;
use crate::event::{Event, Fate, Message, Spare};

/// The changes that were asked for.
#[derive(Debug)]
pub(crate) struct Transform {
    redact: Option<Redact>,
    jq: Option<Jq>,
}

/// The text of an event without its secrets, as `--redact` prints it; `None` if it has none. For tests and fuzz targets.
#[must_use]
pub fn redacted(event: &Event) -> Option<String> {
    Redact::default().redacted(event)
}

impl Transform {
    /// The changes; `None` if there are none.
    #[must_use]
    pub(crate) fn new(redact: bool, jq: Option<Jq>) -> Option<Self> {
        let redact = redact.then(Redact::default);
        (redact.is_some() || jq.is_some()).then_some(Self { redact, jq })
    }

    /// Whether a change can take long, so that the reading thread must not wait for it.
    #[must_use]
    pub(crate) fn may_wait(&self) -> bool {
        self.jq.is_some()
    }

    /// What the thread that ends the run needs.
    #[must_use]
    pub(crate) fn handle(&self) -> Option<Arc<Handle>> {
        self.jq.as_ref().map(Jq::handle)
    }

    /// Changes the events. `spares` are for reuse, and new texts are counted in `memory`.
    pub(crate) fn apply(&mut self, events: &mut Vec<Event>, spares: &mut Vec<Spare>, memory: &Arc<Memory>) {
        if let Some(redact) = &mut self.redact {
            for event in &mut *events {
                let Some(text) = redact.redacted(event) else { continue };
                let message = Message::counted(text, memory);
                match Event::decode(message, event.remote(), spares.pop()) {
                    Ok(mut redacted) => {
                        redacted.set_fate(event.fate());
                        spares.extend(std::mem::replace(event, redacted).into_spare());
                    }
                    Err(rejected) => unreachable!("a redacted event is {}", rejected.why),
                }
            }
        }
        if let Some(jq) = &mut self.jq {
            // What is not printed is no concern of the expression.
            let unprinted: Vec<_> = events.extract_if(.., |event| event.fate() == Fate::Last).collect();
            if !events.is_empty() {
                jq.apply(events, spares, memory);
            }
            events.extend(unprinted);
        }
    }
}
