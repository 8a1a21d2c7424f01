//! Reports to the pipeline when all subscriptions are live: from then on no event is missed.

use std::cell::Cell;

use tokio::sync::Notify;

/// How many remotes are not followed yet.
#[derive(Debug)]
pub(crate) struct Live {
    missing: Cell<usize>,
    all: Notify,
    is_awaited: bool,
}

impl Live {
    /// For this number of remotes. `is_awaited`: [`Live::all`] is called.
    #[must_use]
    pub(crate) fn new(remotes: usize, is_awaited: bool) -> Self {
        Self { missing: Cell::new(remotes), all: Notify::new(), is_awaited }
    }

    /// Whether somebody waits until all remotes are followed.
    #[must_use]
    pub(super) fn is_awaited(&self) -> bool {
        self.is_awaited
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
