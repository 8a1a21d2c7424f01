//! `--jq` on what real servers send: events are selected and reshaped, and `$lxmon` names what they are about.

use serde_json::Value;

use super::alone;
use super::server::{Kind, Server};
use crate::support::program::Follower;

/// What lifecycle events are about, and what has happened.
const NAMES: &str = r#"select(.type == "lifecycle" and (.metadata.action | test("^(instance|network|storage-volume)-")))
    | [$lxmon.kind, $lxmon.name, $lxmon.instance // "-", $lxmon.project, .metadata.action] | @tsv"#;

/// Operations that have ended, as objects.
const TIMES: &str = r#"select(.type == "operation" and $lxmon.duration_ms != null)
    | {what: .metadata.description, instance: $lxmon.instance, ms: $lxmon.duration_ms, failed: $lxmon.failed}"#;

/// Starts, as events that say a little more.
const STARTS: &str = r#"select(.metadata.action == "instance-started") | .metadata.first = $lxmon.instance"#;

fn reshapes(kind: Kind) {
    let _alone = alone();
    let server = Server::start(kind);
    server.prepare_instances();
    let follow = |format, expression, count: &str| {
        Follower::subscribed(server.lxmon(&["-f", format, "--jq", expression, "-n", count]))
    };
    let names = follow("json", NAMES, "8");
    let mut times = follow("json", TIMES, "100");
    let starts = follow("yaml", STARTS, "1");
    // Incus does both in one operation if it is asked to launch.
    server.client(&["init", "busybox", "c1"]);
    server.client(&["start", "c1"]);
    server.client(&["network", "create", "n1", "--type=macvlan", "parent=lo"]);
    server.client(&["storage", "volume", "create", "default", "v1"]);
    server.client(&["storage", "volume", "delete", "default", "v1"]);
    server.client(&["network", "delete", "n1"]);
    server.client(&["stop", "--force", "c1"]);
    server.client(&["delete", "c1"]);
    // A failure.
    server.client(&["init", "busybox", "c2"]);
    server.client(&["config", "set", "c2", "raw.lxc=lxc.mount.entry=/nonexistent x none bind 0 0"]);
    server.client_fails(&["start", "c2"]);

    let outcome = names.end();
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    let mut lines: Vec<_> = outcome.stdout.lines().collect();
    // The storage layer calls the volume `default_v1`.
    let volume = |action: &str| format!("volume\tdefault/custom/default_v1\t-\tdefault\tstorage-volume-{action}");
    let mut wanted = vec![
        "instance\tc1\tc1\tdefault\tinstance-created".to_owned(),
        "instance\tc1\tc1\tdefault\tinstance-started".to_owned(),
        "network\tn1\t-\tdefault\tnetwork-created".to_owned(),
        volume("created"),
        volume("deleted"),
        "network\tn1\t-\tdefault\tnetwork-deleted".to_owned(),
        "instance\tc1\tc1\tdefault\tinstance-stopped".to_owned(),
        "instance\tc1\tc1\tdefault\tinstance-deleted".to_owned(),
    ];
    // The servers do not keep the order of events that are close.
    lines.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(lines, wanted);

    let outcome = starts.end();
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    assert_eq!(outcome.stdout.matches("---\n").count(), 1, "{}", outcome.stdout);
    assert!(outcome.stdout.contains("\n  action: instance-started\n"), "{}", outcome.stdout);
    assert!(outcome.stdout.contains("\n  first: c1\n"), "{}", outcome.stdout);

    times.wait_for(|line| line.contains(r#""failed":true"#));
    times.terminate();
    let results: Vec<Value> = times.seen.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |what: &str, instance: &str, failed: bool| {
        let is_it =
            |result: &&Value| result["what"] == what && result["instance"] == instance && result["failed"] == failed;
        let ms = results.iter().find(is_it).map(|result| result["ms"].as_i64().unwrap());
        ms.unwrap_or_else(|| panic!("{what} of {instance}, failed: {failed}, is missing: {results:#?}"))
    };
    for (what, instance, failed) in [
        ("Creating instance", "c1", false),
        ("Starting instance", "c1", false),
        ("Stopping instance", "c1", false),
        ("Deleting instance", "c1", false),
        ("Starting instance", "c2", true),
    ] {
        let ms = of(what, instance, failed);
        assert!((0..120_000).contains(&ms), "{what}: {ms} ms");
    }
}

#[test]
#[ignore = "needs LXD: run by CI"]
fn events_of_lxd_are_selected_and_reshaped() {
    reshapes(Kind::Lxd);
}

#[test]
#[ignore = "needs Incus: run by CI"]
fn events_of_incus_are_selected_and_reshaped() {
    reshapes(Kind::Incus);
}
