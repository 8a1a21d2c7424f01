//! Reports to the pipeline when all subscriptions are live: from then on no event is missed.

use std::cell::Cell;

use tokio::sync::Notify;

/// How many remotes are not followed yet.
#[derive(Debug)]
pub(crate) struct Live {
    missing: Cell<usize>,
    all: Notify,
}

impl Live {
    /// For this number of remotes.
    #[must_use]
    pub(crate) fn new(remotes: usize) -> Self {
        Self { missing: Cell::new(remotes), all: Notify::new() }
    }

    /// Reports that one more remote is followed. To be called once for each.
    pub(super) fn report(&self) {
        self.missing.set(self.missing.get().saturating_sub(1));
        if self.missing.get() == 0 {
            self.all.notify_one();
        }
    }

    /// Waits until all remotes are followed.
    pub(crate) async fn all(&self) {
        if self.missing.get() > 0 {
            self.all.notified().await;
        }
    }
}
