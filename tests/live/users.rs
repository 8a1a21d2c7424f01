//! Ordinary users, who reach Incus through a socket of their own and see only their own project.

use super::alone;
use super::server::{Kind, Server};
use crate::support::program::{Follower, finish};

/// The project that Incus creates for the user `nobody` at the first connection.
const PROJECT: &str = "user-65534";

fn ordinary_user(kind: Kind) {
    let _alone = alone();
    let mut server = Server::start(kind);
    server.serve_ordinary_users();
    let lxmon = |arguments: &[&str]| server.lxmon_of_nobody(arguments);

    // The first connection creates the project, which is the default then.
    let mut own = Follower::subscribed(lxmon(&["-f", "json", "-n1"]));
    // The server filters the events of all projects.
    let mut all = Follower::subscribed(lxmon(&["-A", "-f", "json", "-n1"]));
    server.client(&["profile", "create", "hidden"]);
    server.client(&["profile", "create", "shown", "--project", PROJECT]);
    for follower in [&mut own, &mut all] {
        assert_eq!(follower.wait(), Some(0), "{:?}", follower.notices);
        assert_eq!(follower.events()[0]["metadata"]["source"], format!("/1.0/profiles/shown?project={PROJECT}"));
    }

    let state = finish(&mut lxmon(&["-A", "--state", "-v", "--timeout", "2s"]));
    for asked in ["0 instances", "0 operations"] {
        assert!(state.stderr.contains(&format!("asked for the present state: {asked}")), "{}", state.stderr);
    }

    let others = finish(&mut lxmon(&["--project", "default"]));
    assert_eq!(others.status, 1);
    assert!(
        others.stderr.contains("(403): User does not have permission for project \"default\""),
        "{}",
        others.stderr
    );
    let logging = finish(&mut lxmon(&["-t", "logging"]));
    assert_eq!(logging.status, 1);
    assert!(logging.stderr.contains("(403): Forbidden"), "{}", logging.stderr);
}

#[test]
#[ignore = "needs Incus: run by CI"]
fn an_ordinary_user_of_incus_sees_the_own_project() {
    ordinary_user(Kind::Incus);
}

#[test]
#[ignore = "needs Incus in a change-root: run by CI"]
fn an_ordinary_user_of_incus_from_sid_sees_the_own_project() {
    ordinary_user(Kind::IncusFromSid);
}
