//! The first line on a terminal, and the summary, with real servers.

use super::alone;
use super::server::{Kind, Server};
use crate::summary::on_a_terminal;
use crate::support::program::Follower;

fn a_day(kind: Kind) {
    let _alone = alone();
    let server = Server::start(kind);
    let info = server.client(&["info"]);
    let version = info.lines().find_map(|line| line.trim().strip_prefix("server_version: ")).unwrap();
    let version = version.trim_matches('"');
    let (screen, _) = on_a_terminal(server.lxmon(&["-A", "-p", "--timeout=3s", "--color=never"]), true);
    let first = format!("lxmon: {} {version} (local), all projects\n", kind.product());
    assert_eq!(screen.matches(&first).count(), 1, "{screen}");
    assert!(screen.lines().last().unwrap().starts_with("lxmon: 3."), "{screen}");

    server.prepare_instances();
    let mut follower = Follower::subscribed(server.lxmon(&["-A", "-f", "json", "--summary"]));
    server.client(&["launch", "busybox", "c1"]);
    server.client_fails(&["exec", "c1", "--", "sh", "-c", "exit 3"]);
    server.client(&["delete", "--force", "c1"]);
    // The client returns from a command before the server has sent the end of its operation.
    follower.wait_for(|line| line.contains("\"instance-deleted\""));
    follower.wait_for(|line| line.contains("\"return\":3"));
    follower.terminate();
    let outcome = follower.end();
    for part in ["         1  instance-created\n", "  Creating instance", "c1: exit 3: sh -c exit 3\n", "  slowest\n"] {
        assert!(outcome.stderr.contains(part), "{part}: {}", outcome.stderr);
    }
}

#[test]
#[ignore = "needs LXD: run by CI"]
fn what_lxd_has_done_is_summed_up() {
    a_day(Kind::Lxd);
}

#[test]
#[ignore = "needs Incus: run by CI"]
fn what_incus_has_done_is_summed_up() {
    a_day(Kind::Incus);
}
