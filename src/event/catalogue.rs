//! Every lifecycle action that LXD and Incus are known to send.
//!
//! Source of the names, the context keys and the servers: LXD's `lxd/lifecycle` and Incus' `internal/server/lifecycle`,
//! main branches of August 2026, and LXD's events documentation. Actions that only older servers send are not listed.

/// Which servers send an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Where {
    /// Both.
    Both,
    /// LXD only.
    Lxd,
    /// Incus only.
    Incus,
}

/// A lifecycle action.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Action {
    /// Its name in the API.
    pub name: &'static str,
    /// The servers that send it.
    pub servers: Where,
    /// What has happened when it is sent.
    pub meaning: &'static str,
    /// The release since which no server sends it, although it is still documented.
    pub gone_since: Option<&'static str>,
    /// Keys that `context` may have in addition to those of all events. Some exist only in some releases.
    pub context: &'static [&'static str],
}

/// The actions whose names are wanted.
pub(crate) fn matching(is_wanted: impl Fn(&str) -> bool) -> impl Iterator<Item = &'static Action> {
    ACTIONS.iter().filter(move |action| is_wanted(action.name))
}

impl Where {
    /// The name that is shown to users.
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Both => "both",
            Self::Lxd => "LXD",
            Self::Incus => "Incus",
        }
    }
}

const fn action(name: &'static str, servers: Where, meaning: &'static str, context: &'static [&'static str]) -> Action {
    Action { name, servers, meaning, gone_since: None, context }
}

impl Action {
    /// The same action, which servers since `release` do not send.
    const fn gone_since(self, release: &'static str) -> Self {
        Self { gone_since: Some(release), ..self }
    }
}

/// All actions, sorted by name.
#[rustfmt::skip]
pub(crate) static ACTIONS: &[Action] = &[
    action("auth-group-created", Where::Lxd, "A permission group was created", &[]),
    action("auth-group-deleted", Where::Lxd, "A permission group was deleted", &[]),
    action("auth-group-renamed", Where::Lxd, "A permission group was renamed", &["old_name"]),
    action("auth-group-updated", Where::Lxd, "A permission group was changed", &[]),
    action("certificate-created", Where::Both, "A certificate was added to the trust store", &[]),
    action("certificate-deleted", Where::Both, "A certificate was removed from the trust store", &[]),
    action("certificate-updated", Where::Both, "A trusted certificate was changed", &[]),
    action("cluster-certificate-updated", Where::Both, "The certificate of the cluster was replaced", &[]),
    action("cluster-disabled", Where::Both, "Clustering was disabled on a server", &[]),
    action("cluster-enabled", Where::Both, "A server became the first member of a new cluster", &[]),
    action("cluster-group-created", Where::Both, "A cluster group was created", &[]),
    action("cluster-group-deleted", Where::Both, "A cluster group was deleted", &[]),
    action("cluster-group-renamed", Where::Both, "A cluster group was renamed", &["old_name"]),
    action("cluster-group-updated", Where::Both, "A cluster group was changed", &["description", "members"]),
    action("cluster-link-created", Where::Lxd, "A link to another cluster was created", &[]),
    action("cluster-link-deleted", Where::Lxd, "A link to another cluster was deleted", &[]),
    action("cluster-link-renamed", Where::Lxd, "A link to another cluster was renamed", &["old_name"]),
    action("cluster-link-updated", Where::Lxd, "A link to another cluster was changed", &[]),
    action("cluster-member-added", Where::Both, "A server joined the cluster", &[]),
    action("cluster-member-evacuated", Where::Both, "The instances of a cluster member were moved away", &[]),
    action("cluster-member-healed", Where::Both, "The instances of a dead cluster member were started elsewhere", &[]),
    action("cluster-member-removed", Where::Both, "A server left the cluster", &[]),
    action("cluster-member-renamed", Where::Both, "A cluster member was renamed", &["old_name"]),
    action("cluster-member-restored", Where::Both, "The instances of an evacuated cluster member were brought back", &[]),
    action("cluster-member-updated", Where::Both, "A cluster member was changed", &[]),
    action("cluster-token-created", Where::Both, "A token was issued with which a server can join the cluster", &[]),
    action("config-updated", Where::Both, "The configuration of the server was changed", &[]),
    action("identity-created", Where::Lxd, "An identity was created", &[]),
    action("identity-deleted", Where::Lxd, "An identity was deleted", &[]),
    action("identity-provider-group-created", Where::Lxd, "An identity provider group mapping was created", &[]),
    action("identity-provider-group-deleted", Where::Lxd, "An identity provider group mapping was deleted", &[]).gone_since("LXD 6.7"),
    action("identity-provider-group-renamed", Where::Lxd, "An identity provider group mapping was renamed", &["old_name"]).gone_since("LXD 6.7"),
    action("identity-provider-group-updated", Where::Lxd, "An identity provider group mapping was changed", &[]).gone_since("LXD 6.7"),
    action("identity-updated", Where::Lxd, "An identity was changed", &[]),
    action("image-alias-created", Where::Both, "An image alias was created", &["target"]),
    action("image-alias-deleted", Where::Both, "An image alias was deleted", &[]),
    action("image-alias-renamed", Where::Both, "An image alias was renamed", &["old_name"]),
    action("image-alias-updated", Where::Both, "An image alias was changed", &["target"]),
    action("image-created", Where::Both, "An image was added to the store", &["type"]),
    action("image-deleted", Where::Both, "An image was deleted", &[]),
    action("image-refreshed", Where::Both, "An image was brought up to date with its origin", &[]),
    action("image-retrieved", Where::Both, "An image was downloaded, or sent to another server", &["target"]),
    action("image-secret-created", Where::Both, "A one-time secret was issued with which an image can be fetched", &[]),
    action("image-updated", Where::Both, "An image was changed", &[]),
    action("instance-agent-started", Where::Incus, "The agent in a virtual machine was started", &[]),
    action("instance-agent-stopped", Where::Incus, "The agent in a virtual machine stopped", &[]),
    action("instance-backup-created", Where::Both, "An instance backup was created", &[]),
    action("instance-backup-deleted", Where::Both, "An instance backup was deleted", &[]),
    action("instance-backup-renamed", Where::Both, "An instance backup was renamed", &["old_name"]),
    action("instance-backup-retrieved", Where::Both, "An instance backup was downloaded", &[]),
    action("instance-console", Where::Both, "Somebody attached to the console of an instance", &["type"]),
    action("instance-console-reset", Where::Both, "The console log of an instance was emptied", &[]),
    action("instance-console-retrieved", Where::Both, "The console log of an instance was read", &[]),
    action("instance-created", Where::Both, "An instance was created", &["type", "storage-pool", "location"]),
    action("instance-deleted", Where::Both, "An instance was deleted", &[]),
    action("instance-exec", Where::Both, "A command was run in an instance", &["command"]),
    action("instance-file-deleted", Where::Both, "A file in an instance was deleted", &["path", "file"]),
    action("instance-file-pushed", Where::Both, "A file was written into an instance", &["path", "file-source", "file-destination", "info"]),
    action("instance-file-retrieved", Where::Both, "A file in an instance was downloaded", &["path", "file-source", "file-destination"]),
    action("instance-log-deleted", Where::Both, "An instance log file was deleted", &[]),
    action("instance-log-retrieved", Where::Both, "An instance log file was downloaded", &[]),
    action("instance-metadata-retrieved", Where::Both, "The image metadata of an instance was downloaded", &[]),
    action("instance-metadata-template-created", Where::Both, "An image template of an instance was created", &["path"]),
    action("instance-metadata-template-deleted", Where::Both, "An image template of an instance was deleted", &["path"]),
    action("instance-metadata-template-retrieved", Where::Both, "An image template of an instance was downloaded", &["path"]),
    action("instance-metadata-updated", Where::Both, "The image metadata of an instance was changed", &[]),
    action("instance-migrated", Where::Both, "An instance was moved to another server or cluster member", &[]),
    action("instance-paused", Where::Both, "An instance was frozen", &[]),
    action("instance-ready", Where::Both, "The guest in an instance reported that it is ready", &[]),
    action("instance-renamed", Where::Both, "An instance was renamed", &["old_name"]),
    action("instance-restarted", Where::Both, "An instance was restarted", &[]),
    action("instance-restored", Where::Both, "An instance was restored from a snapshot", &["snapshot"]),
    action("instance-resumed", Where::Both, "A frozen instance was resumed", &[]),
    action("instance-shutdown", Where::Both, "An instance shut itself down", &[]),
    action("instance-snapshot-created", Where::Both, "A snapshot was taken of an instance", &[]),
    action("instance-snapshot-deleted", Where::Both, "An instance snapshot was deleted", &[]),
    action("instance-snapshot-renamed", Where::Both, "An instance snapshot was renamed", &["old_name"]),
    action("instance-snapshot-updated", Where::Both, "An instance snapshot was changed", &[]),
    action("instance-started", Where::Both, "An instance was started", &[]),
    action("instance-stopped", Where::Both, "An instance was stopped", &[]),
    action("instance-updated", Where::Both, "An instance was changed", &[]),
    action("network-acl-created", Where::Both, "A network ACL was created", &[]),
    action("network-acl-deleted", Where::Both, "A network ACL was deleted", &[]),
    action("network-acl-renamed", Where::Both, "A network ACL was renamed", &["old_name"]),
    action("network-acl-updated", Where::Both, "A network ACL was changed", &[]),
    action("network-address-set-created", Where::Incus, "A network address set was created", &[]),
    action("network-address-set-deleted", Where::Incus, "A network address set was deleted", &[]),
    action("network-address-set-renamed", Where::Incus, "A network address set was renamed", &["old_name"]),
    action("network-address-set-updated", Where::Incus, "A network address set was changed", &[]),
    action("network-created", Where::Both, "A network was created", &[]),
    action("network-deleted", Where::Both, "A network was deleted", &[]),
    action("network-forward-created", Where::Both, "A network forward was created", &[]),
    action("network-forward-deleted", Where::Both, "A network forward was deleted", &[]),
    action("network-forward-updated", Where::Both, "A network forward was changed", &[]),
    action("network-integration-created", Where::Incus, "A network integration was created", &[]),
    action("network-integration-deleted", Where::Incus, "A network integration was deleted", &[]),
    action("network-integration-renamed", Where::Incus, "A network integration was renamed", &["old_name"]),
    action("network-integration-updated", Where::Incus, "A network integration was changed", &[]),
    action("network-load-balancer-created", Where::Both, "A network load balancer was created", &[]),
    action("network-load-balancer-deleted", Where::Both, "A network load balancer was deleted", &[]),
    action("network-load-balancer-updated", Where::Both, "A network load balancer was changed", &[]),
    action("network-peer-created", Where::Both, "A network peering was created", &[]),
    action("network-peer-deleted", Where::Both, "A network peering was deleted", &[]),
    action("network-peer-updated", Where::Both, "A network peering was changed", &[]),
    action("network-renamed", Where::Both, "A network was renamed", &["old_name"]),
    action("network-updated", Where::Both, "A network was changed", &[]),
    action("network-zone-created", Where::Both, "A DNS zone was created", &[]),
    action("network-zone-deleted", Where::Both, "A DNS zone was deleted", &[]),
    action("network-zone-record-created", Where::Both, "A DNS zone record was created", &[]),
    action("network-zone-record-deleted", Where::Both, "A DNS zone record was deleted", &[]),
    action("network-zone-record-updated", Where::Both, "A DNS zone record was changed", &[]),
    action("network-zone-updated", Where::Both, "A DNS zone was changed", &[]),
    action("operation-cancelled", Where::Both, "A background operation was cancelled", &[]),
    action("placement-group-created", Where::Lxd, "A placement group was created", &[]),
    action("placement-group-deleted", Where::Lxd, "A placement group was deleted", &[]),
    action("placement-group-renamed", Where::Lxd, "A placement group was renamed", &[]),
    action("placement-group-updated", Where::Lxd, "A placement group was changed", &[]),
    action("profile-created", Where::Both, "A profile was created", &[]),
    action("profile-deleted", Where::Both, "A profile was deleted", &[]),
    action("profile-renamed", Where::Both, "A profile was renamed", &["old_name"]),
    action("profile-updated", Where::Both, "A profile was changed", &[]),
    action("project-created", Where::Both, "A project was created", &[]),
    action("project-deleted", Where::Both, "A project was deleted", &[]),
    action("project-renamed", Where::Both, "A project was renamed", &["old_name"]),
    action("project-updated", Where::Both, "A project was changed", &[]),
    action("replicator-created", Where::Lxd, "A replicator was created", &[]),
    action("replicator-deleted", Where::Lxd, "A replicator was deleted", &[]),
    action("replicator-renamed", Where::Lxd, "A replicator was renamed", &["old_name"]),
    action("replicator-run", Where::Lxd, "A replicator was run", &[]),
    action("replicator-updated", Where::Lxd, "A replicator was changed", &[]),
    action("storage-bucket-backup-created", Where::Incus, "A bucket backup was created", &[]),
    action("storage-bucket-backup-deleted", Where::Incus, "A bucket backup was deleted", &[]),
    action("storage-bucket-backup-renamed", Where::Incus, "A bucket backup was renamed", &[]),
    action("storage-bucket-backup-retrieved", Where::Incus, "A bucket backup was downloaded", &[]),
    action("storage-bucket-created", Where::Both, "A storage bucket was created", &[]),
    action("storage-bucket-deleted", Where::Both, "A storage bucket was deleted", &[]),
    action("storage-bucket-key-created", Where::Both, "A bucket key was created", &[]),
    action("storage-bucket-key-deleted", Where::Both, "A bucket key was deleted", &[]),
    action("storage-bucket-key-updated", Where::Both, "A bucket key was changed", &[]),
    action("storage-bucket-updated", Where::Both, "A storage bucket was changed", &[]),
    action("storage-pool-created", Where::Both, "A storage pool was created", &["target"]),
    action("storage-pool-deleted", Where::Both, "A storage pool was deleted", &[]),
    action("storage-pool-updated", Where::Both, "A storage pool was changed", &["target"]),
    action("storage-volume-backup-created", Where::Both, "A volume backup was created", &["type"]),
    action("storage-volume-backup-deleted", Where::Both, "A volume backup was deleted", &[]),
    action("storage-volume-backup-renamed", Where::Both, "A volume backup was renamed", &["old_name"]),
    action("storage-volume-backup-retrieved", Where::Both, "A volume backup was downloaded", &[]),
    action("storage-volume-created", Where::Both, "A storage volume was created", &["type", "location"]),
    action("storage-volume-deleted", Where::Both, "A storage volume was deleted", &[]),
    action("storage-volume-file-deleted", Where::Incus, "A file in a storage volume was deleted", &["path"]),
    action("storage-volume-file-pushed", Where::Incus, "A file was written into a storage volume", &["path"]),
    action("storage-volume-file-retrieved", Where::Incus, "A file in a storage volume was downloaded", &["path"]),
    action("storage-volume-renamed", Where::Both, "A storage volume was renamed", &["old_name"]),
    action("storage-volume-restored", Where::Both, "A storage volume was restored from a snapshot", &["snapshot"]),
    action("storage-volume-snapshot-created", Where::Both, "A snapshot was taken of a storage volume", &["type"]),
    action("storage-volume-snapshot-deleted", Where::Both, "A volume snapshot was deleted", &[]),
    action("storage-volume-snapshot-renamed", Where::Both, "A volume snapshot was renamed", &["old_name"]),
    action("storage-volume-snapshot-updated", Where::Both, "A volume snapshot was changed", &[]),
    action("storage-volume-updated", Where::Both, "A storage volume was changed", &[]),
    action("warning-acknowledged", Where::Both, "A warning was marked as seen", &[]),
    action("warning-deleted", Where::Both, "A warning was deleted", &[]),
    action("warning-reset", Where::Both, "A warning was marked as new again", &[]),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn holds_every_known_action_and_says_truly_who_sends_it() {
        let names = |text: &'static str| text.lines().collect::<BTreeSet<_>>();
        let lxd = names(include_str!("../../tests/data/actions/lxd.txt"));
        let incus = names(include_str!("../../tests/data/actions/incus.txt"));
        let documented = names(include_str!("../../tests/data/actions/documented.txt"));
        let ours: Vec<_> = ACTIONS.iter().map(|action| action.name).collect();
        assert!(ours.is_sorted());
        let all: BTreeSet<_> = lxd.iter().chain(&incus).chain(&documented).copied().collect();
        assert_eq!(ours.into_iter().collect::<BTreeSet<_>>(), all);
        for action in ACTIONS {
            let servers = match (lxd.contains(action.name), incus.contains(action.name)) {
                (true, true) => Where::Both,
                (true, false) => Where::Lxd,
                _ => Where::Incus,
            };
            assert_eq!(action.servers, servers, "{}", action.name);
        }
    }
}
