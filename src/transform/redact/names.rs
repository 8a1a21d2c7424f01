//! Which names are those of secrets: keys of objects, and parameters in addresses and texts.
//!
//! The names are those under which LXD and Incus send secrets: the metadata of operations
//! (`lxd/instance_exec.go`, `lxd/migrate.go`, `lxd/certificates.go`, `lxd/images.go`, `lxd/storage_buckets.go`), and the
//! bodies of requests and the configuration that they log.

/// What is secret about the value of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// Nothing.
    Public,
    /// The value, and all that it contains.
    Secret,
    /// The arguments of a command line. The program's name is shown.
    Command,
}

/// Keys of objects whose values are secret. In a text such a name alone says little.
const KEYS: [&str; 6] = ["fds", "environment", "control", "fs", "criu", "websockets"];

/// A name that ends with one of these words names a secret.
const WORDS: [&str; 10] = [
    "secret",
    "secrets",
    "password",
    "passwords",
    "passwd",
    "passphrase",
    "token",
    "tokens",
    "credential",
    "credentials",
];

/// A name that ends with one of these words and `key` names a secret.
const KINDS_OF_KEYS: [&str; 9] =
    ["access", "secret", "private", "api", "certificate", "cert", "encryption", "signing", "shared"];

/// The rule for the value of the key `name`.
pub(super) fn rule(name: &str) -> Rule {
    if name == "command" {
        Rule::Command
    } else if KEYS.contains(&name) || is_configuration(name) || is_secret(name) {
        Rule::Secret
    } else {
        Rule::Public
    }
}

/// Whether the value is configuration of an instance that the user has made up: variables of its environment, free keys,
/// and the data of cloud-init, which often contain passwords.
fn is_configuration(name: &str) -> bool {
    let has_prefix = |prefix: &str| name.len() > prefix.len() && name.starts_with(prefix);
    has_prefix("environment.") || has_prefix("user.") || (has_prefix("cloud-init.") && name.ends_with("-data"))
}

/// Whether a name alone, as in `?secret=…`, says that its value is secret.
pub(super) fn is_secret(name: &str) -> bool {
    if WORDS.iter().any(|word| strip_suffix(name, word).is_some()) {
        return true;
    }
    let Some(kind) = strip_suffix(name, "key") else { return false };
    let kind = kind.trim_end_matches(['-', '_', '.', ' ']);
    KINDS_OF_KEYS.iter().any(|word| strip_suffix(kind, word).is_some())
}

/// `name` without `suffix`, in upper or lower case, if it ends so.
fn strip_suffix<'a>(name: &'a str, suffix: &str) -> Option<&'a str> {
    let (rest, end) = name.split_at_checked(name.len().checked_sub(suffix.len())?)?;
    end.eq_ignore_ascii_case(suffix).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets_and_others() {
        for name in [
            "secret",
            "Secret",
            "trust_token",
            "password",
            "core.trust_password",
            "access-key",
            "secret-key",
            "fds",
            "environment",
            "environment.HOME",
            "user.user-data",
            "user.x",
            "cloud-init.user-data",
            "control",
            "fs",
            "criu",
            "cluster_token",
            "clientSecret",
            "private_key",
            "cluster_certificate_key",
            "rbac.agent.private_key",
            "apiKey",
            "MYSQL_PASSWORD",
            "secrets",
            "oidc.client.secret",
            "PASSPHRASE",
            "openfga.api.token",
        ] {
            assert_eq!(rule(name), Rule::Secret, "{name}");
        }
        assert_eq!(rule("command"), Rule::Command);
        for name in [
            "",
            "type",
            "key",
            "fingerprint",
            "certificate",
            "addresses",
            "entity_url",
            "user",
            "user.",
            "username",
            "environment.",
            "keys",
            "public_key",
            "fs_progress",
            "monkey",
            "core.remote_token_expiry",
            "cloud-init.x",
            "é",
            "class",
            "control_plane",
        ] {
            assert_eq!(rule(name), Rule::Public, "{name}");
        }
    }
}
