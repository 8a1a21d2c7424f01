//! Changes selected events before they are sorted and printed: `--redact`.

mod redact;

use std::sync::Arc;

use self::redact::Redact;
use crate::event::json::Tape;
use crate::event::message::Memory;
use crate::event::{Event, Message};

/// The changes that were asked for.
#[derive(Debug)]
pub(crate) struct Transform {
    redact: Redact,
}

impl Transform {
    /// The changes; `None` if there are none.
    #[must_use]
    pub(crate) fn new(redact: bool) -> Option<Self> {
        redact.then(|| Self { redact: Redact::default() })
    }

    /// Changes the events. `tapes` are for reuse, and new texts are counted in `memory`.
    pub(crate) fn apply(&mut self, events: &mut [Event], tapes: &mut Vec<Tape>, memory: &Arc<Memory>) {
        for event in events {
            if let Some(text) = self.redact.redacted(event) {
                let message = Message::counted(text, memory);
                match Event::decode(message, event.remote(), tapes.pop().unwrap_or_default()) {
                    Ok(mut redacted) => {
                        redacted.set_fate(event.fate());
                        tapes.push(std::mem::replace(event, redacted).into_tape());
                    }
                    Err(rejected) => unreachable!("a redacted event is {}", rejected.why),
                }
            }
        }
    }
}
