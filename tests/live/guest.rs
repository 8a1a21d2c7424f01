//! lxmon in a container, where the server's guest socket sends the changes of the container's own configuration.

use serde_json::{Value, json};

use super::server::{Kind, Server};
use super::{alone, text};
use crate::support::program::{Follower, finish};

/// Follows the guest socket in a container, while the container's configuration is changed from outside.
fn guest(kind: Kind) {
    let _alone = alone();
    let server = Server::start(kind);
    server.prepare_instances();
    // Incus from sid recognises a guest by its cgroup, whose name differs from the instance's if another server's
    // instance has the same name.
    let name = &*format!("guest{}", std::process::id());
    server.client(&["launch", "busybox", name]);
    let program = server.install_lxmon_in(name);
    let (socket, key) = match kind {
        Kind::Lxd => ("unix:/dev/lxd/sock", "security.devlxd"),
        Kind::Incus | Kind::IncusFromSid => ("unix:/dev/incus/sock", "security.guestapi"),
    };
    let lxmon = |arguments: &[&str]| server.client_command(&[&["exec", name][..], &program, arguments].concat());
    let set = |key: &str, value: &str| server.client(&["config", "set", name, &format!("{key}={value}")]);
    let device = |arguments: &[&str]| server.client(&[&["config", "device"], arguments].concat());

    // There are no instances to ask for.
    let state = finish(&mut lxmon(&["--state"]));
    assert!(state.stderr.contains("a guest cannot ask for the state of instances"), "{}", state.stderr);

    // Without an argument the guest's socket is found.
    let mut all = Follower::subscribed(lxmon(&["-f", "json", "-n7"]));
    let mut devices = Follower::subscribed(lxmon(&[socket, "-f", "json", "-t", "device", "-n3"]));
    set("user.x", "1");
    set("user.x", "");
    // Guests see only the keys of users.
    set("security.nesting", "true");
    device(&["add", name, "null2", "unix-char", "path=/dev/null2", "source=/dev/null"]);
    device(&["override", name, "root", "size=1GiB"]);
    device(&["remove", name, "null2"]);
    assert_eq!(devices.wait(), Some(0), "{:?}", devices.notices);

    // A guest that is subscribed already goes on when the server takes the socket away, others find none.
    all.wait_for(|line| line.contains("removed"));
    set(key, "false");
    let late = finish(&mut lxmon(&[socket]));
    assert_eq!(late.status, 1);
    assert!(late.stderr.contains("there is no such socket"), "{}", late.stderr);
    set("user.x", "2");
    set("user.y", "say \"é\"");
    assert_eq!(all.wait(), Some(0), "{:?}", all.notices);

    let metadata = |follower: &Follower, types: &[&str]| -> Vec<Value> {
        let events = follower.events().into_iter();
        let events = events.filter(|event| types.contains(&text(event, "/type")));
        events.map(|mut event| event["metadata"].take()).collect()
    };
    let configured = |key: &str, from: &str, to: &str| json!({"key": key, "old_value": from, "value": to});
    let null = json!({"type": "unix-char", "path": "/dev/null2", "source": "/dev/null"});
    let root = json!({"type": "disk", "path": "/", "pool": "default", "size": "1GiB"});
    let device = |action: &str, name: &str, config: &Value| json!({"action": action, "name": name, "config": config});
    let changed =
        [device("added", "null2", &null), device("updated", "root", &root), device("removed", "null2", &null)];
    assert_eq!(metadata(&devices, &["config", "device"]), changed);
    assert_eq!(metadata(&all, &["device"]), changed);
    assert_eq!(
        metadata(&all, &["config"]),
        [
            configured("user.x", "", "1"),
            configured("user.x", "1", ""),
            configured("user.x", "", "2"),
            configured("user.y", "", "say \"é\""),
        ]
    );
}

#[test]
#[ignore = "needs LXD: run by CI"]
fn a_guest_of_lxd_follows_its_own_configuration() {
    guest(Kind::Lxd);
}

#[test]
#[ignore = "needs Incus: run by CI"]
fn a_guest_of_incus_follows_its_own_configuration() {
    guest(Kind::Incus);
}

#[test]
#[ignore = "needs Incus in a change-root: run by CI"]
fn a_guest_of_incus_from_sid_follows_its_own_configuration() {
    guest(Kind::IncusFromSid);
}
