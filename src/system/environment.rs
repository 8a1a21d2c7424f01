//! The environment variables as a value, so that code that depends on them can be tested.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

/// The value of an environment variable is not UTF-8.
#[derive(Debug)]
pub struct NotUtf8 {
    /// The name of the variable.
    pub name: String,
}

/// The process's environment variables. An empty one counts as unset, as in the Go clients.
#[derive(Clone, Default)]
pub struct Environment {
    variables: HashMap<String, OsString>,
}

/// Shows names only, because values can be credentials.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}

impl Environment {
    /// The variables of this process. Those whose names are not UTF-8 are skipped, as lxmon reads none of them. Without
    /// `HOME`, as in many services, it is the user's directory in the system's list of users, as for the clients.
    #[must_use]
    pub fn current() -> Self {
        let named = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
        let mut variables: Self = named.collect();
        if let (None, Some(home)) = (variables.home(), std::env::home_dir()) {
            variables.variables.insert("HOME".into(), home.into());
        }
        variables
    }

    /// The value of a variable, not necessarily UTF-8.
    #[must_use]
    pub fn var(&self, name: &str) -> Option<&OsStr> {
        self.variables.get(name).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }

    /// The names of the variables that are set.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.variables.iter().filter(|(_, value)| !value.is_empty()).map(|(name, _)| name.as_str())
    }

    /// Whether a variable is set.
    #[must_use]
    pub fn is_set(&self, name: &str) -> bool {
        self.var(name).is_some()
    }

    /// Whether a variable is set to something other than a word for "no", as the Go clients read switches (Incus
    /// `shared/tls/tls.go`).
    #[must_use]
    pub fn is_on(&self, name: &str) -> bool {
        let is_no = |value: &OsStr| ["0", "false", "no", "off"].iter().any(|no| value.eq_ignore_ascii_case(no));
        self.var(name).is_some_and(|value| !is_no(value))
    }

    /// The value of a variable that must be UTF-8.
    ///
    /// # Errors
    /// It is not UTF-8. The error does not contain the value, which can be a secret.
    pub fn text(&self, name: &str) -> Result<Option<&str>, NotUtf8> {
        let Some(value) = self.var(name) else { return Ok(None) };
        value.to_str().map(Some).ok_or_else(|| NotUtf8 { name: name.to_owned() })
    }

    /// The value of a variable that holds a path.
    pub(crate) fn path(&self, name: &str) -> Option<PathBuf> {
        self.var(name).map(PathBuf::from)
    }

    /// The user's home directory.
    pub(crate) fn home(&self) -> Option<&Path> {
        self.var("HOME").map(Path::new)
    }
}

impl<N: Into<String>, V: Into<OsString>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        Self { variables: variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_no_turn_nothing_on() {
        for (value, is_on) in
            [("1", true), ("yes", true), ("0", false), ("False", false), ("no", false), ("OFF", false), ("", false)]
        {
            let environment: Environment = [("X", value)].into_iter().collect();
            assert_eq!(environment.is_on("X"), is_on, "{value}");
        }
        assert!(!Environment::default().is_on("X"));
    }

    #[test]
    fn values_are_not_shown() {
        let environment: Environment = [("LXD_AUTH_BEARER_TOKEN", "secret")].into_iter().collect();
        assert_eq!(format!("{environment:?}"), r#"{"LXD_AUTH_BEARER_TOKEN"}"#);
    }
}
