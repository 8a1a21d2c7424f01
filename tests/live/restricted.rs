//! Clients whose certificate is restricted to one project.

use super::server::{Client, Kind, Server};
use super::{alone, text};
use crate::support::program::{Follower, finish};

#[test]
#[ignore = "needs LXD and Incus: run by CI"]
fn a_restricted_certificate_follows_what_it_may_and_is_told_what_it_may_not() {
    const TYPES: &str = "events of the type logging are for those who may see the whole server; ";
    const PROJECT: &str = "this login may not see this project; `incus project list n1:` shows those that it may, ";
    let _alone = alone();
    for (kind, address) in [(Kind::Lxd, "127.0.0.1:18467"), (Kind::Incus, "127.0.0.1:18468")] {
        let server = Server::start(kind);
        server.listen(address);
        for project in ["web", "other"] {
            server.client(&["project", "create", project, "-c", "features.profiles=true"]);
        }
        let admin = Client::new();
        admin.add(&server, "n1", address);
        let restricted = Client::restricted(&server, &admin, "n1", "web");
        let flag = if kind == Kind::Lxd { "--lxd" } else { "--incus" };

        // LXD 5.0 checks no project, and refuses with status 500.
        let not_permitted = |project: &str| {
            (kind == Kind::Incus)
                .then(|| (format!("(403): User does not have permission for project \"{project}\""), PROJECT))
        };
        let forbidden = || {
            let status = if kind == Kind::Lxd { 500 } else { 403 };
            Some((format!("({status}): Forbidden"), TYPES))
        };
        for (options, refusal) in [
            (&[][..], not_permitted("default")),
            (&["--project", "web"], None),
            (&["--project", "other"], not_permitted("other")),
            (&["-A"], None),
            (&["-A", "-t", "lifecycle"], None),
            (&["-A", "-t", "logging"], forbidden()),
            (&["--project", "web", "-t", "lifecycle,logging"], forbidden()),
        ] {
            let arguments = [&[flag, "n1:", "-f", "json"], options].concat();
            match refusal {
                None => {
                    let mut follower = Follower::subscribed(restricted.lxmon(&arguments));
                    if options.contains(&"other") || options.is_empty() {
                        continue;
                    }
                    follower.provoke(
                        |line| line.contains("\"profile-updated\""),
                        |attempt| {
                            let attempt = attempt.to_string();
                            server.client(&["profile", "set", "default", "user.x", &attempt, "--project", "web"]);
                        },
                    );
                    follower.terminate();
                    assert!(follower.events().iter().all(|event| text(event, "/project") != "other"));
                }
                Some((refusal, hint)) => {
                    let outcome = finish(&mut restricted.lxmon(&arguments));
                    assert_eq!(outcome.status, 1, "{kind:?} {options:?}: {}", outcome.stderr);
                    let error = format!("lxmon: n1: the server refuses {refusal} (tried: client certificate ");
                    assert!(outcome.stderr.starts_with(&error), "{kind:?} {options:?}: {}", outcome.stderr);
                    let hint = format!("\nhint: {hint}");
                    assert!(outcome.stderr.contains(&hint), "{kind:?} {options:?}: {}", outcome.stderr);
                }
            }
        }
        // The command in the hint shows what it promises.
        let listed = restricted.client(kind, &["project", "list", "n1:", "--format", "csv"]).output().unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        assert!(listed.contains("web") && !listed.contains("other"), "{kind:?}: {listed}");

        // Somebody whose certificate the server does not know.
        let stranger = Client::new();
        stranger.take_certificate_of(&admin, kind, "n1");
        for options in [&[][..], &["-t", "logging"]] {
            let outcome = finish(&mut stranger.lxmon(&[&[flag, "n1:"], options].concat()));
            let error = "lxmon: n1: the server refuses (403): not authorized (tried: client certificate ";
            assert!(outcome.stderr.starts_with(error), "{kind:?} {options:?}: {}", outcome.stderr);
            assert!(outcome.stderr.contains("\nhint: have the server trust this client: "), "{}", outcome.stderr);
        }
    }
}
