//! The types of events.

use super::json::Text;

/// The event types that servers are known to send (LXD `shared/api/event.go`, Incus `shared/api/event.go`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Type {
    /// A log line of the daemon.
    Logging,
    /// A background operation was created, changed or finished.
    Operation,
    /// Something was created, changed or deleted.
    Lifecycle,
    /// A log line of the OVN layer (since LXD 5.21).
    Ovn,
    /// A security audit record (since LXD 6.9).
    Security,
    /// A line of the network ACL log (Incus).
    NetworkAcl,
    /// A configuration key of the instance has changed (on a guest's socket).
    Config,
    /// A device of the instance has changed (on a guest's socket).
    Device,
    /// The present state of an instance or operation, which lxmon itself has asked for (`--state`).
    State,
    /// A type that this program does not know. Such events are printed like any other.
    #[default]
    Other,
}

impl Type {
    /// All types except [`Type::Other`].
    pub const KNOWN: [Self; 9] = [
        Self::Logging,
        Self::Operation,
        Self::Lifecycle,
        Self::Ovn,
        Self::Security,
        Self::NetworkAcl,
        Self::Config,
        Self::Device,
        Self::State,
    ];

    pub(super) fn of(text: Text<'_>) -> Self {
        Self::KNOWN.into_iter().find(|kind| text.is(kind.name())).unwrap_or(Self::Other)
    }

    /// The value of `type` that the servers use for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Logging => "logging",
            Self::Operation => "operation",
            Self::Lifecycle => "lifecycle",
            Self::Ovn => "ovn",
            Self::Security => "security",
            Self::NetworkAcl => "network-acl",
            Self::Config => "config",
            Self::Device => "device",
            Self::State => "state",
            Self::Other => "other",
        }
    }

    /// A short name that users may type, of at most four letters.
    #[must_use]
    pub fn short_name(self) -> &'static str {
        match self {
            Self::Logging => "log",
            Self::Operation => "op",
            Self::Lifecycle => "life",
            Self::Ovn => "ovn",
            Self::Security => "sec",
            Self::NetworkAcl => "acl",
            Self::Config => "conf",
            Self::Device => "dev",
            Self::State => "now",
            Self::Other => "",
        }
    }

    /// The known type that a user means by `word`: its name or short name, in any case, or the plural of one of them.
    #[must_use]
    pub fn meant_by(word: &str) -> Option<Self> {
        let word = word.to_ascii_lowercase();
        let names = |kind: &Self| [kind.name(), kind.short_name()];
        let is = |word: &str| Self::KNOWN.into_iter().find(|kind| names(kind).contains(&word));
        is(&word).or_else(|| is(word.strip_suffix('s')?))
    }

    /// A sentence about the events of the type, for people.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Logging => "Log lines of the server",
            Self::Operation => "Background operations: their begin, progress and end",
            Self::Lifecycle => "Something was created, changed or deleted",
            Self::Ovn => "Log lines of OVN (LXD 5.21 and later)",
            Self::Security => "Audit records (LXD 6.9 and later)",
            Self::NetworkAcl => "Log lines of network ACLs (Incus)",
            Self::Config => "A configuration key of this instance has changed (in an instance)",
            Self::Device => "A device of this instance has changed (in an instance)",
            Self::State => "What runs and what does not, asked of the server (--state)",
            Self::Other => "",
        }
    }
}
