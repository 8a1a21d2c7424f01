//! What is followed, as text for people: for the first line on a terminal, and for the status of a service.

/// What is followed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Followed {
    /// The servers; none for a recording.
    pub servers: Vec<Server>,
    /// Which of their events, such as `all projects`, or the recording's name. Empty if there is nothing to say.
    pub scope: String,
}

/// A server that is followed.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    /// Its name in notices.
    pub name: String,
    /// The name of the software, as far as it is known without asking.
    pub software: String,
    /// What is known of this server only, such as its project where those of several servers differ.
    pub detail: Option<String>,
}

/// What a server says that it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    /// The name of the software.
    pub software: String,
    /// Its version.
    pub version: String,
}

impl Followed {
    /// What we do with it, before all servers are followed and from then on.
    #[must_use]
    pub(crate) fn verb(&self, is_live: bool) -> &'static str {
        match (self.servers.is_empty(), is_live) {
            (true, _) => "reading",
            (false, false) => "connecting to",
            (false, true) => "following",
        }
    }

    /// The text without versions, such as `LXD (local), all projects`.
    #[must_use]
    pub(crate) fn text(&self) -> String {
        self.text_with(&[])
    }

    /// The text, such as `LXD 6.9 (n1, n2), Incus 6.0.4 (i1), all projects`. `versions` are those of the servers, in
    /// their order, where they are known. Servers of one version are named together.
    #[must_use]
    pub(crate) fn text_with(&self, versions: &[Option<Version>]) -> String {
        let mut groups: Vec<(String, Vec<String>)> = Vec::new();
        for (index, server) in self.servers.iter().enumerate() {
            let software = match versions.get(index).and_then(Option::as_ref) {
                Some(Version { software, version }) => format!("{software} {version}"),
                None => server.software.clone(),
            };
            let name = match &server.detail {
                Some(detail) => format!("{}: {detail}", server.name),
                None => server.name.clone(),
            };
            match groups.iter_mut().find(|(known, _)| *known == software) {
                Some((_, names)) => names.push(name),
                None => groups.push((software, vec![name])),
            }
        }
        let groups = groups.into_iter().map(|(software, names)| format!("{software} ({})", names.join(", ")));
        let scope = Some(self.scope.clone()).filter(|scope| !scope.is_empty());
        groups.chain(scope).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(name: &str, software: &str, detail: Option<&str>) -> Server {
        Server { name: name.into(), software: software.into(), detail: detail.map(Into::into) }
    }

    fn version(software: &str, version: &str) -> Version {
        Version { software: software.into(), version: version.into() }
    }

    #[test]
    fn servers_of_one_version_are_named_together() {
        let one = Followed { servers: vec![server("local", "LXD", None)], scope: "all projects".into() };
        assert_eq!(one.text_with(&[Some(version("LXD", "6.9"))]), "LXD 6.9 (local), all projects");
        assert_eq!(one.text(), "LXD (local), all projects");
        // The name of a socket does not say which server is behind it; the server does.
        assert_eq!(one.text_with(&[Some(version("Incus", "6.0.4"))]), "Incus 6.0.4 (local), all projects");
        let servers = vec![server("n1", "LXD", None), server("i1", "Incus", None), server("n2", "LXD", None)];
        let several = Followed { servers, scope: "project web".into() };
        let versions = [Some(version("LXD", "6.9")), None, Some(version("LXD", "6.9"))];
        assert_eq!(several.text_with(&versions), "LXD 6.9 (n1, n2), Incus (i1), project web");
        let versions = [Some(version("LXD", "6.9")), Some(version("Incus", "7.0.2")), Some(version("LXD", "6.8"))];
        assert_eq!(several.text_with(&versions), "LXD 6.9 (n1), Incus 7.0.2 (i1), LXD 6.8 (n2), project web");
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let servers = vec![server("n1", "LXD", Some("project a")), server("n2", "LXD", None)];
        assert_eq!(Followed { servers, scope: String::new() }.text(), "LXD (n1: project a, n2)");
        assert_eq!(Followed { servers: Vec::new(), scope: "the recording x".into() }.text(), "the recording x");
    }
}
