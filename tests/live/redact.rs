//! `--redact` on real servers: what the client is given as a secret, and what a user passes as one, reaches no output.

use std::fs;

use serde_json::Value;

use super::server::{Kind, Server};
use super::{SETTLE, alone};
use crate::support::program::Follower;

/// Asks the API, and returns the metadata of the operation or the object.
fn query(server: &Server, method: &str, path: &str, body: &str) -> Value {
    let answer = server.client(&["query", "-X", method, path, "-d", body]);
    serde_json::from_str(&answer).unwrap_or(Value::Null)
}

/// All strings below a value of the answer.
fn strings(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::String(text) => into.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| strings(item, into)),
        Value::Object(members) => members.values().for_each(|member| strings(member, into)),
        _ => {}
    }
}

/// Does what involves secrets, and returns all of them.
fn act(server: &Server) -> Vec<String> {
    let mut secrets = vec!["hunter2".to_owned()];
    let mut is_given = |value: &Value, what: &str| {
        let before = secrets.len();
        strings(value, &mut secrets);
        assert!(secrets.len() > before, "{what}: the client is given no secret: {value}");
    };
    server.client(&["launch", "busybox", "c1"]);
    let exec = query(
        server,
        "POST",
        "/1.0/instances/c1/exec",
        r#"{"command":["echo","hunter2"],"environment":{"PW":"hunter2"},"wait-for-websocket":true,"interactive":false}"#,
    );
    is_given(&exec["metadata"]["fds"], "exec");
    // The secret is in the address of the websocket, which the server logs.
    let id = exec["id"].as_str().unwrap();
    let secret = exec["metadata"]["fds"]["control"].as_str().unwrap_or_default();
    let _ = server.client_command(&["query", &format!("/1.0/operations/{id}/websocket?secret={secret}")]).output();
    let console = query(server, "POST", "/1.0/instances/c1/console", r#"{"width":80,"height":24,"type":"console"}"#);
    is_given(&console["metadata"]["fds"], "console");
    server.client(&["exec", "c1", "--env", "PW=hunter2", "--", "echo", "hunter2"]);
    let token = query(server, "POST", "/1.0/certificates", r#"{"type":"client","name":"other","token":true}"#);
    is_given(&token["metadata"]["secret"], "certificate add token");
    let added = match server.kind {
        Kind::Lxd => server.client(&["config", "trust", "add", "--quiet", "--name", "third"]),
        Kind::Incus | Kind::IncusFromSid => server.client(&["config", "trust", "add", "--quiet", "third"]),
    };
    is_given(&Value::from(added.split_whitespace().last().unwrap_or_default()), "join token");
    let fingerprint = server.client(&["image", "list", "--format", "csv", "--columns", "F"]).trim().to_owned();
    let image = query(server, "POST", &format!("/1.0/images/{fingerprint}/secret"), "{}");
    is_given(&image["metadata"]["secret"], "image secret");
    let secret = image["metadata"]["secret"].as_str().unwrap();
    let _ = server.client_command(&["query", &format!("/1.0/images/{fingerprint}?secret={secret}")]).output();
    server.client(&["stop", "--force", "c1"]);
    let migration = query(server, "POST", "/1.0/instances/c1", r#"{"name":"c1","migration":true,"live":false}"#);
    is_given(&migration["metadata"]["control"], "migration");
    is_given(&migration["metadata"]["fs"], "migration");
    server.client(&["copy", "c1", "c2"]);
    server.client(&["config", "set", "c2", "user.password", "hunter2"]);
    server.client(&["publish", "c2", "--alias", "p"]);
    secrets.retain(|secret| !secret.is_empty());
    secrets
}

fn grep_for_secrets(kind: Kind) {
    let server = Server::start(kind);
    server.prepare_instances();
    // Tokens are issued only by a server that listens.
    server.listen("127.0.0.1:18463");
    let record = tempfile::NamedTempFile::new().unwrap();
    let start = |arguments: &[&str]| Follower::subscribed(server.lxmon(arguments));
    let mut plain = start(&["-A", "-f", "json"]);
    let formats = ["json", "yaml", "pretty", "logfmt"];
    let mut redacted: Vec<_> =
        formats.iter().map(|format| start(&["-A", "-f", format, "--redact", "--loglevel=debug", "--debug"])).collect();
    let path = record.path().to_str().unwrap();
    let mut recorder = start(&["-A", "-f", "pretty", "--redact", "--record", path]);
    let secrets = act(&server);
    std::thread::sleep(SETTLE);
    let seen = plain.terminate().join("\n");
    let shown = secrets.iter().filter(|secret| seen.contains(&***secret)).count();
    assert!(shown > 8, "only {shown} of {} secrets are in events: the test tries nothing", secrets.len());
    for (format, follower) in formats.iter().zip(&mut redacted) {
        let lines = follower.terminate().to_vec();
        assert!(lines.len() > 50, "{format}: {} lines", lines.len());
        for secret in &secrets {
            let leak = lines.iter().chain(&follower.notices).find(|line| line.contains(&**secret));
            assert_eq!(leak, None, "{kind:?}, {format}: {secret}");
        }
    }
    recorder.terminate();
    let file = fs::read_to_string(path).unwrap();
    for secret in &secrets {
        let leak = file.lines().find(|line| line.contains(&**secret));
        assert_eq!(leak, None, "{kind:?}, --record: {secret}");
    }
    assert!(file.contains("\"***\""));
}

#[test]
#[ignore = "needs LXD: run by CI"]
fn no_secret_of_lxd_is_shown() {
    let _alone = alone();
    grep_for_secrets(Kind::Lxd);
}

#[test]
#[ignore = "needs Incus: run by CI"]
fn no_secret_of_incus_is_shown() {
    let _alone = alone();
    grep_for_secrets(Kind::Incus);
}
