//! Reports to the pipeline when all subscriptions are live: from then on no event is missed.

use tokio::sync::watch;

/// How many remotes are not followed yet.
#[derive(Debug)]
pub(crate) struct Live {
    remotes: usize,
    missing: watch::Sender<usize>,
    is_awaited: bool,
}

impl Live {
    /// For this number of remotes. `is_awaited`: [`Live::all`] is called.
    #[must_use]
    pub(crate) fn new(remotes: usize, is_awaited: bool) -> Self {
        Self { remotes, missing: watch::Sender::new(remotes), is_awaited }
    }

    /// Whether somebody waits until all remotes are followed.
    #[must_use]
    pub(super) fn is_awaited(&self) -> bool {
        self.is_awaited
    }

    /// Reports that one more remote is followed. To be called once for each.
    pub(super) fn report(&self) {
        self.missing.send_modify(|missing| *missing = missing.saturating_sub(1));
    }

    /// Waits until all remotes are followed. Several can wait.
    pub(crate) async fn all(&self) {
        // This cannot fail, because the sender lives as long as `self`.
        let _ = self.missing.subscribe().wait_for(|missing| *missing == 0).await;
    }

    /// Waits until at least one remote is followed.
    pub(crate) async fn any(&self) {
        let _ = self.missing.subscribe().wait_for(|missing| *missing < self.remotes).await;
    }

    /// Whether all remotes are or were followed.
    #[must_use]
    pub(crate) fn is_all(&self) -> bool {
        *self.missing.borrow() == 0
    }

    /// Whether a remote is or was followed.
    #[must_use]
    pub(crate) fn is_any(&self) -> bool {
        *self.missing.borrow() < self.remotes
    }
}
