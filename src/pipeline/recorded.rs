//! The remotes that recorded events name: `lxmon` puts the name into each event where it follows several.

use crate::event::{Event, RemoteId};

/// The maximum number of names. Events of further remotes are printed as they were recorded, but without a column of
/// their own.
const MAX_NAMES: usize = 256;

/// The names so far. The first [`RemoteId`] is for events that name none.
#[derive(Debug, Default)]
pub(super) struct RecordedRemotes {
    names: Vec<String>,
}

impl RecordedRemotes {
    /// Sets the event's remote to the one that it names. Returns that name if no event had it before.
    pub(super) fn assign(&mut self, event: &mut Event) -> Option<String> {
        let name = event.recorded_remote()?.cow();
        let known = self.names.iter().position(|known| *known == name);
        let index = known.unwrap_or(self.names.len());
        let new = known.is_none().then(|| name.into_owned());
        if index >= MAX_NAMES {
            return None;
        }
        self.names.extend(new.clone());
        event.set_remote(RemoteId(u16::try_from(index + 1).unwrap_or(0)));
        new
    }
}
