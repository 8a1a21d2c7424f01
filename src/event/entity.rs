//! The entity that an API path names: paths are in `source` of lifecycle events and in `resources` of operations.
//!
//! The forms of the paths are those that both servers build (LXD `lxd/lifecycle`, Incus `internal/server/lifecycle`).

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// The kinds of entities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntityKind {
    /// The server's own configuration.
    Server,
    /// A container or virtual machine.
    Instance,
    /// A snapshot of an instance.
    InstanceSnapshot,
    /// A backup of an instance.
    InstanceBackup,
    /// A log file of an instance.
    InstanceLog,
    /// The image metadata or templates of an instance.
    InstanceMetadata,
    /// An image.
    Image,
    /// Another name for an image.
    ImageAlias,
    /// A profile.
    Profile,
    /// A project.
    Project,
    /// A network.
    Network,
    /// A forwarded address of a network.
    NetworkForward,
    /// A peering of a network with another one.
    NetworkPeer,
    /// A load balancer of a network.
    NetworkLoadBalancer,
    /// A network access control list.
    NetworkAcl,
    /// A set of network addresses.
    NetworkAddressSet,
    /// A network integration.
    NetworkIntegration,
    /// A DNS zone.
    NetworkZone,
    /// A record of a DNS zone.
    NetworkZoneRecord,
    /// A storage pool.
    StoragePool,
    /// A storage volume.
    StorageVolume,
    /// A snapshot of a storage volume.
    StorageVolumeSnapshot,
    /// A backup of a storage volume.
    StorageVolumeBackup,
    /// A storage bucket.
    StorageBucket,
    /// A key of a storage bucket.
    StorageBucketKey,
    /// A backup of a storage bucket.
    StorageBucketBackup,
    /// The cluster, or its certificate.
    Cluster,
    /// A member of the cluster.
    ClusterMember,
    /// A group of cluster members.
    ClusterGroup,
    /// A link to another cluster.
    ClusterLink,
    /// A certificate in the trust store.
    Certificate,
    /// A group of identities.
    AuthGroup,
    /// A user or client that may log in.
    Identity,
    /// A group of an identity provider.
    IdentityProviderGroup,
    /// A background operation.
    Operation,
    /// A placement group.
    PlacementGroup,
    /// A replicator.
    Replicator,
    /// A warning.
    Warning,
    /// Anything else.
    Other,
}

/// The entity that a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entity<'a> {
    /// Its kind.
    pub kind: EntityKind,
    /// Its name, after the names of the entities that contain it: `db1/snap0`, `default/custom/vol1`. The whole path if
    /// the kind is [`EntityKind::Other`].
    pub name: Cow<'a, str>,
    /// The value of `?project=`.
    pub project: Option<Cow<'a, str>>,
    instance: Option<Cow<'a, str>>,
}

/// The maximum number of parts of a path. No path of the API has as many.
const PARTS: usize = 8;

impl<'a> Entity<'a> {
    /// Parses `path`. This never fails: a path of an unknown form is [`EntityKind::Other`], and invalid percent escapes
    /// are not decoded.
    #[must_use]
    pub fn parse(path: &'a str) -> Self {
        let (plain, query) = path.split_once('?').unwrap_or((path, ""));
        let other = |project| Self { kind: EntityKind::Other, name: Cow::Borrowed(path), project, instance: None };
        let project = query.split('&').find_map(|pair| pair.strip_prefix("project=")).map(unescape_query);
        let Some(plain) = plain.strip_prefix("/1.0").filter(|rest| rest.is_empty() || rest.starts_with('/')) else {
            return other(project);
        };
        let mut parts = [""; PARTS];
        let mut count = 0;
        for part in plain.split('/').skip(1) {
            if count == PARTS {
                return other(project);
            }
            parts[count] = part;
            count += 1;
        }
        let (kind, names) = route(&parts[..count]);
        let name = match (kind, names) {
            (EntityKind::Other, _) => Cow::Borrowed(path),
            (_, Names::One(name)) => unescape(name),
            (_, Names::Two(outer, name)) => format!("{}/{}", unescape(outer), unescape(name)).into(),
            (_, Names::Three(pool, volume, name)) => {
                format!("{}/{}/{}", unescape(pool), unescape(volume), unescape(name)).into()
            }
            (_, Names::Volume(pool, kind, volume, None)) => {
                format!("{}/{}/{}", unescape(pool), unescape(kind), unescape(volume)).into()
            }
            (_, Names::Volume(pool, kind, volume, Some(name))) => {
                format!("{}/{}/{}/{}", unescape(pool), unescape(kind), unescape(volume), unescape(name)).into()
            }
        };
        let instance = match parts[..count] {
            ["instances" | "containers" | "virtual-machines", name, ..] => Some(unescape(name)),
            _ => None,
        };
        Self { kind, name, project, instance }
    }

    /// The entity that `action` happened to, by the path in the lifecycle event. By mistake, both servers write peers as
    /// forwards and log files as backups (LXD `lxd/lifecycle/network_peer.go`, `instance_log.go`).
    #[must_use]
    pub fn of_action(action: &str, source: &'a str) -> Self {
        let mut entity = Self::parse(source);
        if entity.kind == EntityKind::NetworkForward && action.starts_with("network-peer-") {
            entity.kind = EntityKind::NetworkPeer;
        } else if entity.kind == EntityKind::InstanceBackup && action.starts_with("instance-log-") {
            entity.kind = EntityKind::InstanceLog;
        }
        entity
    }

    /// The name of the instance, if the entity is an instance or part of one.
    #[must_use]
    pub fn instance(&self) -> Option<&str> {
        self.instance.as_deref()
    }
}

/// The parts of a path that are names, with their percent escapes.
#[derive(Clone, Copy)]
enum Names<'a> {
    One(&'a str),
    Two(&'a str, &'a str),
    Three(&'a str, &'a str, &'a str),
    /// Pool, type, volume, and the snapshot or backup of the volume.
    Volume(&'a str, &'a str, &'a str, Option<&'a str>),
}

fn route<'a>(parts: &[&'a str]) -> (EntityKind, Names<'a>) {
    use EntityKind as Kind;
    use Names::{One, Three, Two, Volume};
    match *parts {
        [] => (Kind::Server, One("")),
        ["instances" | "containers" | "virtual-machines", instance, ref rest @ ..] => match *rest {
            ["snapshots", name] => (Kind::InstanceSnapshot, Two(instance, name)),
            ["backups", name] => (Kind::InstanceBackup, Two(instance, name)),
            ["logs", name] => (Kind::InstanceLog, Two(instance, name)),
            ["metadata", ..] => (Kind::InstanceMetadata, One(instance)),
            _ => (Kind::Instance, One(instance)),
        },
        ["images", "aliases", name] => (Kind::ImageAlias, One(name)),
        // The names of aliases may contain slashes.
        ["images", "aliases", first, second] => (Kind::ImageAlias, Two(first, second)),
        ["images", "aliases", first, second, third] => (Kind::ImageAlias, Three(first, second, third)),
        ["images", fingerprint, ..] => (Kind::Image, One(fingerprint)),
        ["profiles", name] => (Kind::Profile, One(name)),
        ["projects", name] => (Kind::Project, One(name)),
        ["networks", name] => (Kind::Network, One(name)),
        ["networks", network, "forwards", name] => (Kind::NetworkForward, Two(network, name)),
        ["networks", network, "peers", name] => (Kind::NetworkPeer, Two(network, name)),
        ["networks", network, "load-balancers", name] => (Kind::NetworkLoadBalancer, Two(network, name)),
        ["network-acls", name] => (Kind::NetworkAcl, One(name)),
        ["network-address-sets", name] => (Kind::NetworkAddressSet, One(name)),
        ["network-integrations", name] => (Kind::NetworkIntegration, One(name)),
        ["network-zones", name] => (Kind::NetworkZone, One(name)),
        ["network-zones", zone, "records", name] => (Kind::NetworkZoneRecord, Two(zone, name)),
        ["storage-pools", name] => (Kind::StoragePool, One(name)),
        // By mistake, Incus puts a type before the bucket that it restores (`cmd/incusd/storage_buckets.go`).
        ["storage-pools", pool, "buckets", bucket] | ["storage-pools", pool, "buckets", "custom", bucket] => {
            (Kind::StorageBucket, Two(pool, bucket))
        }
        ["storage-pools", pool, "buckets", bucket, "keys", key] => (Kind::StorageBucketKey, Three(pool, bucket, key)),
        ["storage-pools", pool, "buckets", bucket, "backups", name] => {
            (Kind::StorageBucketBackup, Three(pool, bucket, name))
        }
        ["storage-pools", pool, "volumes", kind, volume] => (Kind::StorageVolume, Volume(pool, kind, volume, None)),
        ["storage-pools", pool, "volumes", kind, volume, "snapshots", name] => {
            (Kind::StorageVolumeSnapshot, Volume(pool, kind, volume, Some(name)))
        }
        ["storage-pools", pool, "volumes", kind, volume, "backups", name] => {
            (Kind::StorageVolumeBackup, Volume(pool, kind, volume, Some(name)))
        }
        ["cluster", "members", name] => (Kind::ClusterMember, One(name)),
        ["cluster", "groups", name] => (Kind::ClusterGroup, One(name)),
        ["cluster", "links", name] => (Kind::ClusterLink, One(name)),
        ["cluster", name] => (Kind::Cluster, One(name)),
        ["certificates", fingerprint] => (Kind::Certificate, One(fingerprint)),
        ["auth", "groups", name] => (Kind::AuthGroup, One(name)),
        ["auth", "identities", method, id] => (Kind::Identity, Two(method, id)),
        ["auth", "identity-provider-groups", name] => (Kind::IdentityProviderGroup, One(name)),
        ["operations", id] => (Kind::Operation, One(id)),
        ["placement-groups", name] => (Kind::PlacementGroup, One(name)),
        ["replicators", name] => (Kind::Replicator, One(name)),
        ["warnings", id] => (Kind::Warning, One(id)),
        _ => (Kind::Other, One("")),
    }
}

/// Decodes percent escapes. If the result is not UTF-8, returns `text` unchanged.
fn unescape(text: &str) -> Cow<'_, str> {
    percent_decode_str(text).decode_utf8().unwrap_or(Cow::Borrowed(text))
}

/// Decodes percent escapes in a query, where `+` stands for a space.
fn unescape_query(text: &str) -> Cow<'_, str> {
    if text.contains('+') { unescape(&text.replace('+', " ")).into_owned().into() } else { unescape(text) }
}

impl EntityKind {
    /// The name that is shown to users.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Instance => "instance",
            Self::InstanceSnapshot | Self::StorageVolumeSnapshot => "snapshot",
            Self::InstanceBackup | Self::StorageVolumeBackup | Self::StorageBucketBackup => "backup",
            Self::InstanceLog => "log",
            Self::InstanceMetadata => "metadata",
            Self::Image => "image",
            Self::ImageAlias => "alias",
            Self::Profile => "profile",
            Self::Project => "project",
            Self::Network => "network",
            Self::NetworkForward => "forward",
            Self::NetworkPeer => "peer",
            Self::NetworkLoadBalancer => "load-balancer",
            Self::NetworkAcl => "acl",
            Self::NetworkAddressSet => "address-set",
            Self::NetworkIntegration => "integration",
            Self::NetworkZone => "zone",
            Self::NetworkZoneRecord => "record",
            Self::StoragePool => "pool",
            Self::StorageVolume => "volume",
            Self::StorageBucket => "bucket",
            Self::StorageBucketKey => "key",
            Self::Cluster => "cluster",
            Self::ClusterMember => "member",
            Self::ClusterGroup => "cluster-group",
            Self::ClusterLink => "cluster-link",
            Self::Certificate => "certificate",
            Self::AuthGroup => "group",
            Self::Identity => "identity",
            Self::IdentityProviderGroup => "provider-group",
            Self::Operation => "operation",
            Self::PlacementGroup => "placement-group",
            Self::Replicator => "replicator",
            Self::Warning => "warning",
            Self::Other => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_form_of_path() {
        for (path, kind, name, project, instance) in [
            ("/1.0", EntityKind::Server, "", None, None),
            ("/1.0/instances/c1", EntityKind::Instance, "c1", None, Some("c1")),
            ("/1.0/containers/c1", EntityKind::Instance, "c1", None, Some("c1")),
            ("/1.0/virtual-machines/v1?project=p+q", EntityKind::Instance, "v1", Some("p q"), Some("v1")),
            (
                "/1.0/instances/c1/snapshots/a%20b?project=w%2Fb",
                EntityKind::InstanceSnapshot,
                "c1/a b",
                Some("w/b"),
                Some("c1"),
            ),
            ("/1.0/instances/c1/backups/b0", EntityKind::InstanceBackup, "c1/b0", None, Some("c1")),
            ("/1.0/instances/c1/metadata/templates", EntityKind::InstanceMetadata, "c1", None, Some("c1")),
            ("/1.0/instances/c1/console", EntityKind::Instance, "c1", None, Some("c1")),
            ("/1.0/images/aliases/a%2Fb?project=web", EntityKind::ImageAlias, "a/b", Some("web"), None),
            ("/1.0/images/aliases/a/b", EntityKind::ImageAlias, "a/b", None, None),
            ("/1.0/images/12ab", EntityKind::Image, "12ab", None, None),
            (
                "/1.0/storage-pools/p/volumes/custom/default_v1",
                EntityKind::StorageVolume,
                "p/custom/default_v1",
                None,
                None,
            ),
            (
                "/1.0/storage-pools/p/volumes/custom/v1/snapshots/s",
                EntityKind::StorageVolumeSnapshot,
                "p/custom/v1/s",
                None,
                None,
            ),
            ("/1.0/storage-pools/p/buckets/custom/b", EntityKind::StorageBucket, "p/b", None, None),
            ("/1.0/storage-pools/p/buckets/b/keys/k", EntityKind::StorageBucketKey, "p/b/k", None, None),
            ("/1.0/networks/br0/forwards/10.0.0.1", EntityKind::NetworkForward, "br0/10.0.0.1", None, None),
            ("/1.0/cluster/members/lxd02", EntityKind::ClusterMember, "lxd02", None, None),
            ("/1.0/cluster/certificate", EntityKind::Cluster, "certificate", None, None),
            ("/1.0/auth/identities/tls/12ab", EntityKind::Identity, "tls/12ab", None, None),
            ("/1.0/profiles/a%zz%ff", EntityKind::Profile, "a%zz%ff", None, None),
            ("/1.0/new-things/x?target=n1", EntityKind::Other, "/1.0/new-things/x?target=n1", None, None),
            ("nonsense", EntityKind::Other, "nonsense", None, None),
            ("/1.0/b/c/d/e/f/g/h/i/j", EntityKind::Other, "/1.0/b/c/d/e/f/g/h/i/j", None, None),
        ] {
            let source = Entity::parse(path);
            assert_eq!((source.kind, &*source.name), (kind, name), "{path}");
            assert_eq!((source.project.as_deref(), source.instance()), (project, instance), "{path}");
        }
    }

    #[test]
    fn an_action_tells_what_a_path_gets_wrong() {
        for (action, source, kind) in [
            ("network-peer-created", "/1.0/networks/ovn1/forwards/peer1", EntityKind::NetworkPeer),
            ("network-forward-created", "/1.0/networks/ovn1/forwards/10.0.0.1", EntityKind::NetworkForward),
            ("network-peer-created", "/1.0/networks/ovn1/peers/peer1", EntityKind::NetworkPeer),
            ("instance-log-deleted", "/1.0/instances/c1/backups/lxc.log", EntityKind::InstanceLog),
            ("instance-log-deleted", "/1.0/instances/c1/logs/lxc.log", EntityKind::InstanceLog),
            ("instance-backup-deleted", "/1.0/instances/c1/backups/b0", EntityKind::InstanceBackup),
        ] {
            assert_eq!(Entity::of_action(action, source).kind, kind, "{action} {source}");
        }
        assert_eq!(EntityKind::NetworkPeer.name(), "peer");
        assert_eq!(EntityKind::InstanceLog.name(), "log");
    }

    proptest! {
        #[test]
        fn any_text_can_be_taken_apart(path: String, tail in "(/[a-z%?=&]{0,9}){0,10}") {
            let _ = Entity::parse(&path);
            let _ = Entity::parse(&format!("/1.0{tail}"));
        }
    }
}
