//! Which of the followed remotes are members of one cluster. One of them, the lead, stands for all.

use crate::event::RemoteId;

/// The leads of all remotes.
#[derive(Debug, Default)]
pub(super) struct Leads {
    /// By remote. A remote that is missing stands for itself.
    leads: Vec<RemoteId>,
}

impl Leads {
    /// Records that two remotes are members of one cluster.
    pub(super) fn join(&mut self, remote: RemoteId, other: RemoteId) {
        let (former, lead) = (self.of(remote), self.of(other));
        let (former, lead) = (former.max(lead), former.min(lead));
        let remotes = usize::from(remote.0.max(other.0)) + 1;
        let known = self.leads.len();
        self.leads.extend((known..remotes).map_while(|number| u16::try_from(number).ok()).map(RemoteId));
        for of_remote in &mut self.leads {
            if *of_remote == former {
                *of_remote = lead;
            }
        }
    }

    /// The remote that stands for the cluster of `remote`.
    pub(super) fn of(&self, remote: RemoteId) -> RemoteId {
        self.leads.get(usize::from(remote.0)).copied().unwrap_or(remote)
    }
}
