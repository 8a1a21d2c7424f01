//! What the command line and the configuration make us follow, as text.

use super::projects;
use crate::cli::Cli;
use crate::report::followed::{Followed, Server};
use crate::source::Source;
use crate::source::replay::Recording;
use crate::source::server::request::Projects;

/// What is followed.
#[must_use]
pub(super) fn followed(cli: &Cli, source: &Source) -> Followed {
    let scope = match (projects(cli), &cli.projects[..]) {
        (Projects::Default, _) => None,
        (Projects::One(project), _) => Some(format!("project {project}")),
        (Projects::All, []) => Some("all projects".to_owned()),
        (Projects::All, [pattern]) => Some(format!("project {pattern}")),
        (Projects::All, patterns) => Some(format!("projects {}", patterns.join(", "))),
    };
    match source {
        Source::Replay(recordings) => {
            let names: Vec<_> = recordings.iter().map(Recording::name).collect();
            Followed { servers: Vec::new(), scope: format!("the recording {}", names.join(", ")) }
        }
        Source::Demo => {
            let server = Server { name: "demo".into(), software: "LXD".into(), detail: None };
            Followed { servers: vec![server], scope: scope.unwrap_or_default() }
        }
        Source::Servers { remotes, cluster } => {
            // A guest's socket has no projects. Elsewhere each remote has its own, unless the command line names some.
            let project = |remote: &crate::remote::Remote| {
                let is_guest = remote.address.socket() == Some(crate::remote::sockets::Socket::Guest);
                (!is_guest).then(|| format!("project {}", remote.project()))
            };
            let own: Vec<_> = remotes.iter().map(project).collect();
            let is_one = own.windows(2).all(|pair| pair[0] == pair[1]);
            let servers = remotes.iter().zip(&own).map(|(remote, own)| Server {
                name: if *cluster { format!("{} and its cluster", remote.name) } else { remote.name.clone() },
                software: remote.flavour.to_string(),
                detail: own.clone().filter(|_| scope.is_none() && !is_one),
            });
            let servers = servers.collect();
            let scope = scope.or_else(|| own.first().cloned().flatten().filter(|_| is_one));
            Followed { servers, scope: scope.unwrap_or_default() }
        }
    }
}
