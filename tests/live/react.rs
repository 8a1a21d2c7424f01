//! `--exec` with real servers: what a user would paste.

use super::alone;
use super::server::{Kind, Server};
use crate::support::program::Follower;

fn reactions(kind: Kind) {
    let _alone = alone();
    let server = Server::start(kind);
    server.prepare_instances();
    let mut each = Follower::subscribed(server.lxmon(&[
        "-a",
        "instance-started",
        "--exec",
        "echo \"$LXMON_INSTANCE $LXMON_PROJECT\"",
        "-n3",
    ]));
    // Containers start one after another, so a pause of some seconds is between no two of them.
    let debounced = "echo \"$LXMON_COUNT: $(grep -o '\"instance-[a-z]*\"' | sort | uniq -c | tr -s ' \\n' ' ')\"";
    let mut once = Follower::subscribed(server.lxmon(&[
        "-a",
        "instance-*",
        "-a",
        "!instance-updated",
        "--debounce",
        "5s",
        "--exec",
        debounced,
    ]));
    for name in ["c1", "c2", "c3"] {
        server.client(&["launch", "busybox", name]);
    }
    assert_eq!(each.wait(), Some(0), "{:?}", each.notices);
    assert_eq!(each.seen, ["c1 default", "c2 default", "c3 default"]);
    once.wait_for(|line| line == "6:  3 \"instance-created\" 3 \"instance-started\" ");

    // It is the container that is asked, not the event: its command sees what the event has announced.
    let client = kind.client();
    let [(directory, state), _] = server.environment();
    let ask = format!("{directory}={} {client} list -f csv -c ns \"$LXMON_INSTANCE\"", state.display());
    let mut command = server.lxmon(&["-a", "instance-started", "-n1", "--exec", &ask]);
    command.env("PATH", std::env::var_os("PATH").unwrap());
    let mut asked = Follower::subscribed(command);
    server.client(&["restart", "--force", "c2"]);
    server.client(&["stop", "--force", "c2"]);
    server.client(&["start", "c2"]);
    assert_eq!(asked.wait(), Some(0), "{:?}", asked.notices);
    assert_eq!(asked.seen, ["c2,RUNNING"]);
    once.terminate();
}

#[test]
#[ignore = "needs LXD: run by CI"]
fn a_command_reacts_to_the_events_of_lxd() {
    reactions(Kind::Lxd);
}

#[test]
#[ignore = "needs Incus: run by CI"]
fn a_command_reacts_to_the_events_of_incus() {
    reactions(Kind::Incus);
}
