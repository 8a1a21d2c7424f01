//! The environment variables, as one value, so that everything that depends on them can be tested.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::Flavour;

/// The process's environment variables. Empty ones count as not set, as in Go's clients.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    variables: HashMap<String, String>,
}

impl Environment {
    /// Those of this process. Variables that are not UTF-8 are left out.
    #[must_use]
    pub fn current() -> Self {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }

    /// The value of a variable.
    #[must_use]
    pub fn var(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The value of a variable that holds a path.
    pub(super) fn path(&self, name: &str) -> Option<PathBuf> {
        self.var(name).map(PathBuf::from)
    }

    pub(super) fn home(&self) -> Option<&Path> {
        self.var("HOME").map(Path::new)
    }

    /// A variable that is set and tells which server is meant.
    pub(super) fn variable_of(&self, flavour: Flavour) -> Option<&'static str> {
        let names: &[&str] = match flavour {
            Flavour::Lxd => &["LXD_SOCKET", "LXD_DIR", "LXD_CONF", "LXC_REMOTE"],
            Flavour::Incus => &["INCUS_SOCKET", "INCUS_DIR", "INCUS_CONF", "INCUS_REMOTE", "INCUS_PROJECT"],
        };
        names.iter().copied().find(|name| self.var(name).is_some())
    }

    /// The project that the environment asks for.
    pub(super) fn project(&self, flavour: Flavour) -> Option<String> {
        match flavour {
            Flavour::Lxd => None,
            Flavour::Incus => self.var("INCUS_PROJECT").map(str::to_owned),
        }
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        Self { variables: variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect() }
    }
}
