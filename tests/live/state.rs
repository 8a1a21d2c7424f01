//! `--state` and the states that `-a` names, on real servers: what is so already, what happens meanwhile, and what has
//! changed while events were missing.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use super::server::{Client, Kind, Server};
use super::{action, alone, text};
use crate::support::program::{Follower, finish};

/// How often a wait races with a start.
fn races() -> u32 {
    std::env::var("LXMON_TEST_RACES").map_or(10, |runs| runs.parse().unwrap())
}

/// The states among the events, as in `c1 Running`, sorted; with an asterisk if it is marked as changed.
fn states(events: &[Value]) -> Vec<String> {
    let of_instance = events.iter().filter(|event| text(event, "/metadata/kind") == "instance");
    let show = |event: &Value| {
        let mark = if event["metadata"]["changed"] == true { " *" } else { "" };
        format!("{} {}{mark}", text(event, "/metadata/name"), text(event, "/metadata/status"))
    };
    let mut states: Vec<_> = of_instance.map(show).collect();
    states.sort_unstable();
    states
}

/// Ends with the first event about the instance that `state` selects.
fn wait(server: &Server, state: &str, instance: &str) -> std::process::Command {
    server.lxmon(&["-n1", "-a", state, "-i", instance, "-f", "json", "--timeout", "60s"])
}

fn waits(kind: Kind) {
    let _alone = alone();
    let server = Server::start(kind);
    server.prepare_instances();
    // What does not exist yet is waited for.
    let mut early = Follower::subscribed(wait(&server, "@running", "c1"));
    early.wait_for_notice("asked for the present state: 0 instances");
    server.client(&["init", "busybox", "c1"]);
    let stopped = finish(&mut wait(&server, "@stopped", "c1"));
    assert!(stopped.status == 0 && stopped.stdout.contains(r#""status":"Stopped""#), "{stopped:?}");
    server.client(&["start", "c1"]);
    assert_eq!(early.wait(), Some(0), "{:?}", early.notices);
    assert_eq!(early.events().iter().map(action).collect::<Vec<_>>(), ["instance-started"]);
    // What is so already ends the wait at once.
    let begun = Instant::now();
    let running = finish(&mut wait(&server, "@running", "c1"));
    assert!(running.status == 0 && running.stdout.contains(r#""status":"Running""#), "{running:?}");
    assert!(begun.elapsed() < Duration::from_secs(10));
    // A paused instance is neither running nor stopped.
    let mut stopping = Follower::subscribed(wait(&server, "@stopped", "c1"));
    stopping.wait_for_notice("asked for the present state: 1 instances");
    server.client(&["pause", "c1"]);
    let mut resuming = Follower::subscribed(wait(&server, "@running", "c1"));
    resuming.wait_for_notice("asked for the present state: 1 instances");
    server.client(&[if kind == Kind::Lxd { "start" } else { "resume" }, "c1"]);
    assert_eq!(resuming.wait(), Some(0), "{:?}", resuming.notices);
    assert_eq!(resuming.events().iter().map(action).collect::<Vec<_>>(), ["instance-resumed"]);
    server.client(&["stop", "--force", "c1"]);
    assert_eq!(stopping.wait(), Some(0), "{:?}", stopping.notices);
    assert!(states(&stopping.events()).is_empty(), "{:?}", stopping.seen);

    // Whenever a wait begins, before the start, within it or after it, it ends.
    let mut ends = BTreeMap::new();
    for run in 0..races() {
        let mut start = server.client_command(&["start", "c1"]);
        let mut start = start.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // Spread over the time that a start takes.
        std::thread::sleep(Duration::from_millis(u64::from(run * 37 % 400)));
        let ended = finish(&mut wait(&server, "@running", "c1"));
        assert_eq!(ended.status, 0, "run {run}: {}", ended.stderr);
        let event: Value = serde_json::from_str(&ended.stdout).unwrap();
        *ends.entry(text(&event, "/type").to_owned()).or_insert(0) += 1;
        assert!(start.wait().unwrap().success());
        server.client(&["stop", "--force", "c1"]);
    }
    eprintln!("{kind:?}: waits that ended by {ends:?}");
}

#[test]
#[ignore = "needs LXD: run by CI"]
fn a_wait_for_a_state_of_lxd_ends_whenever_it_begins() {
    waits(Kind::Lxd);
}

#[test]
#[ignore = "needs Incus: run by CI"]
fn a_wait_for_a_state_of_incus_ends_whenever_it_begins() {
    waits(Kind::Incus);
}

/// lxmon is stopped while the server is killed and restarted and instances are changed.
fn changes_in_a_gap(kind: Kind) {
    let _alone = alone();
    let mut server = Server::start(kind);
    server.prepare_instances();
    server.client(&["launch", "busybox", "c1"]);
    server.client(&["init", "busybox", "c2"]);
    server.client(&["launch", "busybox", "c3"]);
    let mut follower = Follower::subscribed(server.lxmon(&["--state", "-t", "lifecycle", "-f", "json"]));
    let is_state = |line: &str| line.contains(r#""type":"state""#);
    follower.wait_for(|line| is_state(line) && line.contains(r#""name":"c3""#));
    assert_eq!(states(&follower.events()), ["c1 Running", "c2 Stopped", "c3 Running"]);
    // What the stream itself says is known.
    server.client(&["stop", "--force", "c1"]);
    server.client(&["init", "busybox", "c4"]);
    server.client(&["rename", "c4", "c5"]);
    follower.wait_for(|line| line.contains("instance-renamed"));
    follower.seen.clear();

    follower.signal(Signal::STOP);
    follower.wait_for_state("T");
    server.kill();
    server.restart();
    server.client(&["start", "c2"]);
    server.client(&["delete", "--force", "c3"]);
    server.client(&["init", "busybox", "c6"]);
    follower.signal(Signal::CONT);
    follower.wait_for(|line| is_state(line) && line.contains(r#""status":"Deleted""#));
    // A mark behind everything that the answer brings.
    server.client(&["profile", "create", "mark"]);
    follower.wait_for(|line| line.contains("/1.0/profiles/mark"));
    assert_eq!(states(&follower.events()), ["c2 Running *", "c3 Deleted *", "c6 Stopped *"]);
    follower.terminate();
}

#[test]
#[ignore = "needs LXD: run by CI"]
fn what_has_changed_on_lxd_in_a_gap_is_printed() {
    changes_in_a_gap(Kind::Lxd);
}

#[test]
#[ignore = "needs Incus: run by CI"]
fn what_has_changed_on_incus_in_a_gap_is_printed() {
    changes_in_a_gap(Kind::Incus);
}

#[test]
#[ignore = "needs LXD and Incus: run by CI"]
fn a_restricted_certificate_gets_the_state_of_what_it_may_see() {
    let _alone = alone();
    for (kind, address) in [(Kind::Lxd, "127.0.0.1:18477"), (Kind::Incus, "127.0.0.1:18478")] {
        let server = Server::start(kind);
        server.listen(address);
        server.prepare_instances();
        server.client(&["project", "create", "web", "-c", "features.images=false", "-c", "features.profiles=false"]);
        server.client(&["init", "busybox", "c1", "--project", "web"]);
        server.client(&["init", "busybox", "c2"]);
        let admin = Client::new();
        admin.add(&server, "n1", address);
        let restricted = Client::restricted(&server, &admin, "n1", "web");
        let flag = if kind == Kind::Lxd { "--lxd" } else { "--incus" };
        for (client, options, wanted) in [
            (&restricted, &["-A"][..], &["c1 Stopped"][..]),
            (&restricted, &["--project", "web"], &["c1 Stopped"]),
            (&admin, &["-A"], &["c1 Stopped", "c2 Stopped"]),
        ] {
            let arguments = [&[flag, "n1:", "--state", "-f", "json", "-t", "lifecycle"], options].concat();
            let mut follower = Follower::subscribed(client.lxmon(&arguments));
            follower.wait_for_notice("asked for the present state: ");
            follower.wait_for(|line| line.contains("c1"));
            assert_eq!(
                states(&{
                    follower.terminate();
                    follower.events()
                }),
                wanted,
                "{kind:?} {arguments:?}"
            );
        }
    }
}
