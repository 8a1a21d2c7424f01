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
            self.all.notify_waiters();
        }
    }

    /// Waits until all remotes are followed. Several can wait.
    pub(crate) async fn all(&self) {
        // It is woken by a report from here on, although it is not polled yet.
        let all = self.all.notified();
        if self.missing.get() > 0 {
            all.await;
        }
    }
}
