//! `--redact`: no secret leaves the program, whatever the format and the destination, and all else stays as it is.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::support::program::{Follower, finish, finish_with_input, lxmon};
use crate::support::standin::{Connection, StandIn};

/// Events as both servers send them, with the word `hunter2` in place of each secret.
const SECRETS: &str = concat!(
    // Incus, `lxc exec`: websocket secrets, variables and a command line with passwords.
    r#"{"type":"operation","timestamp":"2026-11-26T12:00:00.1Z","metadata":{"id":"1","class":"websocket","description":"Executing command","status_code":103,"resources":{"instances":["/1.0/instances/c1"]},"metadata":{"command":["mysql","-phunter2"],"environment":{"PASSWORD":"hunter2"},"fds":{"0":"hunter2","control":"hunter2"},"interactive":false}},"project":"default"}"#,
    "\n",
    r#"{"type":"operation","timestamp":"2026-11-26T12:00:00.2Z","metadata":{"id":"2","class":"websocket","description":"Migrating instance","status_code":103,"resources":{"instances":["/1.0/instances/c1"]},"metadata":{"control":"hunter2","fs":"hunter2","criu":"hunter2"}},"project":"default"}"#,
    "\n",
    // Tokens: Incus has the same description for both.
    r#"{"type":"operation","timestamp":"2026-11-26T12:00:00.3Z","metadata":{"id":"3","class":"token","description":"Executing operation","status_code":103,"resources":{},"metadata":{"addresses":["10.0.0.1:8443"],"fingerprint":"f00","s\u0065cret":"hunter2","request":{"name":"x","trust_token":"hunter2","password":"hunter2","token":true}}},"project":"default"}"#,
    "\n",
    r#"{"type":"operation","timestamp":"2026-11-26T12:00:00.4Z","metadata":{"id":"4","class":"task","description":"Creating storage bucket","status_code":200,"metadata":{"key":{"name":"admin","access-key":"hunter2","secret-key":"hunter2"}}},"project":"default"}"#,
    "\n",
    r#"{"type":"logging","timestamp":"2026-11-26T12:00:00.5Z","metadata":{"message":"Handling API request","level":"debug","context":{"method":"GET","url":"/1.0/operations/1/websocket?public=1\u0026secret=hunter2","username":"root"}},"location":"none"}"#,
    "\n",
    r#"{"type":"logging","timestamp":"2026-11-26T12:00:00.6Z","metadata":{"message":"API Request\n\t{\n\t\t\"name\": \"n1\",\n\t\t\"config\": {\n\t\t\t\"user.user-data\": \"hunter2\"\n\t\t},\n\t\t\"trust_token\": \"hunter2\"\n\t","level":"debug","context":{"username":"root"}},"location":"none"}"#,
    "\n",
    r#"{"type":"logging","timestamp":"2026-11-26T12:00:00.65Z","metadata":{"message":"joining with eyJzZXJ2ZXJfbmFtZSI6Imh1bnRlcjIifQ==","level":"info","context":{}},"location":"none"}"#,
    "\n",
    r#"{"type":"lifecycle","timestamp":"2026-11-26T12:00:00.7Z","metadata":{"action":"instance-exec","source":"/1.0/instances/c1","context":{"command":["mysql","--password","hunter2"]}},"project":"default"}"#,
    "\n",
    r#"{"type":"config","timestamp":"2026-11-26T12:00:00.8Z","metadata":{"key":"user.x","old_value":"hunter2","value":"hunter2"}}"#,
    "\n",
    r#"{"type":"security","timestamp":"2026-11-26T12:00:00.9Z","metadata":{"name":"authn_token_created:1","level":"info","description":"token=hunter2","request_path":"/1.0/x?secret=hunter2"}}"#,
    "\n",
);

/// The secret of all events, and its form in Base64.
fn has_secret(text: &str) -> bool {
    text.contains("hunter2") || text.contains("aHVudGVyMg") || text.contains("h1bnRlcjI")
}

#[test]
fn no_secret_is_printed_in_any_format_or_recorded() {
    let directory = TempDir::new().unwrap();
    for (format, marks) in [("json", "***"), ("yaml", "'***'"), ("pretty", ""), ("logfmt", "***")] {
        let record = directory.path().join(format);
        let arguments = ["--replay", "-", "-f", format, "--loglevel=debug", "--record", record.to_str().unwrap()];
        let plain = finish_with_input(&mut lxmon(arguments), SECRETS.as_bytes());
        assert_eq!((plain.status, &*plain.stderr), (0, ""), "{format}");
        assert!(has_secret(&plain.stdout), "{format}: the test has secrets");
        fs::remove_file(&record).unwrap();
        let outcome = finish_with_input(lxmon(arguments).arg("--redact"), SECRETS.as_bytes());
        assert_eq!((outcome.status, &*outcome.stderr), (0, ""), "{format}");
        assert!(!has_secret(&outcome.stdout), "{format}: {}", outcome.stdout);
        assert!(outcome.stdout.contains(marks), "{format}: {}", outcome.stdout);
        let recorded = fs::read_to_string(record).unwrap();
        assert_eq!(recorded.lines().count(), SECRETS.lines().count());
        assert!(!has_secret(&recorded), "{recorded}");
        for (line, original) in recorded.lines().zip(SECRETS.lines()) {
            let (line, original): (serde_json::Value, serde_json::Value) =
                (serde_json::from_str(line).unwrap(), serde_json::from_str(original).unwrap());
            for path in ["/type", "/timestamp", "/metadata/id", "/metadata/description", "/metadata/context/username"] {
                if !path.contains("description") || line["type"] != "security" {
                    assert_eq!(line.pointer(path), original.pointer(path), "{path} of {original}");
                }
            }
        }
    }
}

#[test]
fn events_without_secrets_keep_their_bytes() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/golden/lxd-5.0.2-cluster.lxc-yaml.ndjson");
    let pairs = fs::read_to_string(data).unwrap();
    let events: String = pairs
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["event"].as_str().unwrap().to_owned() + "\n"
        })
        .collect();
    let outcome = finish_with_input(
        &mut lxmon(["--replay", "-", "-f", "json", "--redact", "--sort-window=0"]),
        events.as_bytes(),
    );
    assert_eq!(outcome.stdout.lines().count(), events.lines().count());
    let mut redacted = 0;
    for (line, original) in outcome.stdout.lines().zip(events.lines()) {
        if line != original {
            redacted += 1;
            assert!(line.contains("***"), "{line}");
        }
    }
    assert!((10..150).contains(&redacted), "{redacted} of {} are redacted", events.lines().count());
}

#[test]
fn nothing_of_a_message_that_is_not_an_event_is_shown() {
    let messages = ["{\"secret\":\"hunter2\"", "{\"secret\":\"hunter2\"}", "[\"hunter2\"]", "hunter2"];
    let server = StandIn::new(move |connection: &mut Connection| {
        connection.accept();
        for message in messages {
            connection.event(message);
        }
        connection.event(r#"{"type":"x"}"#);
        connection.wait();
    });
    for redact in [true, false] {
        let mut command = lxmon([&*server.remote(), "-f", "json", "-n1"]);
        if redact {
            command.arg("--redact");
        }
        let outcome = finish(&mut command);
        assert_eq!(outcome.stdout, "{\"type\":\"x\"}\n");
        assert_eq!(outcome.stderr.contains("hunter2"), !redact, "{}", outcome.stderr);
        assert!(outcome.stderr.contains("skipped a message that is without a \"type\""), "{}", outcome.stderr);
    }
    let lines = format!("{{\"type\":\"x\"}}\n{}\n{{\"type\":\"x\"}}\n", messages.join("\n"));
    let recording = finish_with_input(&mut lxmon(["--replay", "-", "--redact"]), lines.as_bytes());
    assert!(!recording.stderr.contains("hunter2"), "{}", recording.stderr);
    assert!(recording.stderr.contains("line 5: not JSON (byte 1); skipped\n"), "{}", recording.stderr);
}

#[test]
fn a_burst_is_redacted_in_order_and_in_bounded_memory() {
    let server = StandIn::new(|connection: &mut Connection| {
        connection.accept();
        for number in 0..20_000 {
            connection.event(&format!(
                r#"{{"type":"operation","timestamp":"2026-11-26T12:00:{:02}.{:03}Z","metadata":{{"number":{number},"metadata":{{"secret":"hunter2"}}}}}}"#,
                number / 1000,
                number % 1000,
            ));
        }
        connection.wait();
    });
    let mut follower = Follower::start(lxmon([&*server.remote(), "-f", "json", "--redact", "-n20000"]));
    assert_eq!(follower.wait(), Some(0));
    for (number, line) in follower.seen.iter().enumerate() {
        assert!(line.contains(&format!("\"number\":{number},\"metadata\":{{\"secret\":\"***\"}}")), "{line}");
    }
    assert_eq!(follower.seen.len(), 20_000);
}
