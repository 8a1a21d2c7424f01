//! Acting and waiting for the effect: `-- COMMAND` and `--fail-fast` with real servers and containers.

use std::process::Command;

use serde_json::Value;

use super::server::{Kind, Server};
use super::{action, alone};
use crate::support::program::finish;

/// The variable with the number of starts that are waited for. 200 take some minutes.
const STARTS: &str = "LXMON_TEST_STARTS";

/// lxmon with these options, and the server's client with these arguments as its command.
fn acting(server: &Server, options: &[&str], arguments: &[&str]) -> Command {
    let client = server.client_command(arguments);
    let mut command = server.lxmon(options);
    command.args(["--", "env"]);
    for (name, value) in client.get_envs() {
        let mut variable = name.to_owned();
        variable.push("=");
        variable.push(value.unwrap_or_default());
        command.arg(variable);
    }
    command.arg(client.get_program()).args(client.get_args()).env("PATH", std::env::var_os("PATH").unwrap());
    command
}

fn waits(kind: Kind) {
    let _alone = alone();
    let server = Server::start(kind);
    server.prepare_instances();
    server.client(&["init", "busybox", "c1"]);
    let wait = ["-n1", "-f", "json", "-a", "instance-started", "-i", "c1", "--fail-fast", "--timeout", "60s"];
    let starts = std::env::var(STARTS).map_or(10, |starts| starts.parse().unwrap());
    for start in 1..=starts {
        let outcome = finish(&mut acting(&server, &wait, &["start", "c1"]));
        assert_eq!(outcome.status, 0, "start {start}: {}", outcome.stderr);
        let event: Value = serde_json::from_str(&outcome.stdout).unwrap();
        assert_eq!(action(&event), "instance-started", "start {start}");
        server.client(&["stop", "--force", "c1"]);
    }
    println!("{}: {starts} starts waited for", kind.product());

    // All that one command causes, up to the end of its operation.
    let outcome = finish(&mut acting(&server, &["-f", "json", "-t", "operation,lifecycle"], &["start", "c1"]));
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    let events: Vec<Value> = outcome.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(events.iter().any(|event| action(event) == "instance-started"), "{}", outcome.stdout);
    assert!(events.iter().any(|event| event["metadata"]["status"] == "Success"), "{}", outcome.stdout);
    server.client(&["stop", "--force", "c1"]);

    // A command that fails before it has asked for anything that could fail.
    let outcome = finish(&mut acting(&server, &wait, &["start", "nosuch"]));
    assert_eq!((outcome.status, &*outcome.stdout), (1, ""), "{}", outcome.stderr);
    assert!(outcome.stderr.starts_with("Error: ") && !outcome.stderr.contains("lxmon: "), "{}", outcome.stderr);

    // A start that fails.
    server.client(&["config", "set", "c1", "raw.lxc=lxc.mount.entry=/nonexistent x none bind 0 0"]);
    let outcome = finish(&mut acting(&server, &wait, &["start", "c1"]));
    assert_eq!((outcome.status, &*outcome.stdout), (4, ""), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("lxmon: c1: Starting instance failed: Failed to run: "), "{}", outcome.stderr);
}

#[test]
#[ignore = "needs LXD: run by CI"]
fn a_start_of_lxd_is_waited_for_and_its_failure_told() {
    waits(Kind::Lxd);
}

#[test]
#[ignore = "needs Incus: run by CI"]
fn a_start_of_incus_is_waited_for_and_its_failure_told() {
    waits(Kind::Incus);
}

#[test]
#[ignore = "needs Incus in a change-root: run by CI"]
fn a_start_of_incus_from_sid_is_waited_for_and_its_failure_told() {
    waits(Kind::IncusFromSid);
}
