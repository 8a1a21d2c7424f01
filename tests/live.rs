//! Tests with real LXD and Incus servers and real containers, run manually or by CI:
//! `cargo test --release -- --ignored`.

mod cluster;
mod cookbook;
mod guest;
mod jq;
mod link;
mod names;
mod package;
mod react;
mod redact;
mod restricted;
mod rows;
mod server;
mod slow;
mod state;
mod summary;
mod users;
mod wait;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use serde_json::Value;

use self::server::{Client, Cluster, Kind, Server};
use crate::support::program::{Follower, finish};

/// A lock, so that only one of these tests runs at a time: daemons slow down a small machine.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The wait for events that a follower has not received yet, because servers send each event from its own goroutine.
const SETTLE: Duration = Duration::from_millis(700);

fn text<'e>(event: &'e Value, path: &str) -> &'e str {
    event.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

fn action(event: &Value) -> &str {
    text(event, "/metadata/action")
}

fn is_about(event: &Value, instance: &str) -> bool {
    let path = format!("/1.0/instances/{instance}");
    let names =
        |source: &str| source.strip_prefix(&path).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']));
    let resources = event.pointer("/metadata/resources").and_then(Value::as_object);
    let listed = resources.into_iter().flatten().filter_map(|(_, paths)| paths.as_array()).flatten();
    names(text(event, "/metadata/source")) || listed.filter_map(Value::as_str).any(names)
}

/// The number of occurrences of each event. The order is ignored, because servers do not keep it for close events.
fn counted(events: impl IntoIterator<Item = Value>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for event in events {
        *counts.entry(event.to_string()).or_insert(0) += 1;
    }
    counts
}

/// Causes an event about an existing profile. `attempt` makes each event different.
fn set(server: &Server, profile: &str, attempt: usize) {
    server.client(&["profile", "set", profile, "user.attempt", &attempt.to_string()]);
}

/// Asserts that both contain the same events. The message shows only the differences.
fn assert_same(ours: &BTreeMap<String, usize>, wanted: &BTreeMap<String, usize>, what: &str) {
    let not_in = |a: &BTreeMap<String, usize>, b: &BTreeMap<String, usize>| {
        a.iter()
            .filter(|(event, count)| b.get(*event) != Some(count))
            .map(|(event, _)| event.clone())
            .collect::<Vec<_>>()
    };
    let (missing, invented) = (not_in(wanted, ours), not_in(ours, wanted));
    assert!(missing.is_empty() && invented.is_empty(), "{what}: missing {missing:#?}, unexpected {invented:#?}");
}

/// Causes the kinds of events that operators see: of projects, profiles, volumes, a container's life cycle, a failure.
fn story(server: &Server) {
    let web = |arguments: &[&str]| server.client(&[&["--project", "web"], arguments].concat());
    server.client(&["project", "create", "other"]);
    web(&["profile", "create", "small"]);
    web(&["profile", "set", "small", "limits.memory", "256MiB"]);
    web(&["profile", "rename", "small", "little"]);
    web(&["storage", "volume", "create", "default", "vol1"]);
    web(&["launch", "busybox", "c1"]);
    assert_eq!(web(&["exec", "c1", "--", "echo", "hello"]), "hello\n");
    match server.kind {
        Kind::Lxd => web(&["snapshot", "c1", "snap0"]),
        Kind::Incus | Kind::IncusFromSid => web(&["snapshot", "create", "c1", "snap0"]),
    };
    web(&["config", "set", "c1", "user.role", "primary"]);
    server.client_fails(&[
        "config",
        "device",
        "add",
        "c1",
        "bad",
        "disk",
        "source=/no/such/directory",
        "path=/x",
        "--project",
        "web",
    ]);
    web(&["restart", "--force", "c1"]);
    web(&["delete", "--force", "c1"]);
    web(&["storage", "volume", "delete", "default", "vol1"]);
    web(&["profile", "delete", "little"]);
    server.client(&["project", "delete", "other"]);
}

/// Whether the options of a follower select an event.
type Wanted = fn(&Value) -> bool;

/// Runs [`story`] with many followers at once and compares each one's events with those of the follower that sees all.
fn follow_the_story(server: &Server) {
    // Servers refuse subscriptions to a project that does not exist.
    server.client(&["project", "create", "web", "-c", "features.images=false", "-c", "features.profiles=false"]);
    let start = |arguments: &[&str]| Follower::subscribed(server.lxmon(arguments));
    let mut all = start(&["-A", "-f", "json"]);
    let filters: [(&[&str], Wanted); 12] = [
        (&["-A", "-t", "lifecycle,operation"], |event| matches!(text(event, "/type"), "lifecycle" | "operation")),
        (&["-A", "-a", "instance-*"], |event| action(event).starts_with("instance-")),
        (&["-A", "-a", "instance-*", "-a", "!*-started"], |event| {
            action(event).starts_with("instance-") && !action(event).ends_with("-started")
        }),
        (&["-A", "-t", "lifecycle", "-a", "!instance-*"], |event| {
            text(event, "/type") == "lifecycle" && !action(event).starts_with("instance-")
        }),
        (&["-A", "-t", "lifecycle,operation", "-i", "c?"], |event| {
            text(event, "/type") != "logging" && is_about(event, "c1")
        }),
        (&["-t", "lifecycle,operation", "--project", "web"], |event| {
            text(event, "/type") != "logging" && text(event, "/project") == "web"
        }),
        (&["-t", "lifecycle", "--project", "web", "--project", "default"], |event| {
            text(event, "/type") == "lifecycle" && text(event, "/project") != "other"
        }),
        (&["-t", "lifecycle"], |event| text(event, "/type") == "lifecycle" && text(event, "/project") == "default"),
        (&["-A", "--source", "/1.0/profiles/*"], |event| text(event, "/metadata/source").starts_with("/1.0/profiles/")),
        (&["-A", "-t", "lifecycle", "--requestor", "unix/root"], |event| {
            text(event, "/type") == "lifecycle" && text(event, "/metadata/requestor/username") == "root"
        }),
        (&["-A", "-t", "lifecycle", "--location", "none"], |event| text(event, "/type") == "lifecycle"),
        (&["-A", "-t", "operation", "--location", "!none"], |_| false),
    ];
    let mut filtered =
        filters.map(|(arguments, wanted)| (arguments, wanted, start(&[arguments, &["-f", "json"]].concat())));
    let mut theirs = Follower::start(server.client_command(&["monitor", "--all-projects", "--format", "json"]));
    let mut yaml = start(&["-A", "-t", "lifecycle,operation"]);
    let mut logfmt = start(&["-A", "-t", "lifecycle", "-f", "logfmt"]);
    let mut pretty = start(&["-A", "-t", "lifecycle", "-p"]);
    server.client(&["profile", "create", "begin"]);
    all.wait_for(|line| line.contains("\"/1.0/profiles/begin\""));
    theirs.provoke(
        |line| line.contains("marker"),
        |attempt| {
            server.client(&["profile", "create", &format!("marker{attempt}")]);
            server.client(&["profile", "delete", &format!("marker{attempt}")]);
        },
    );

    story(server);
    all.wait_for(|line| line.contains("project-deleted"));
    std::thread::sleep(SETTLE);
    all.terminate();
    let seen = all.events();

    let actions: Vec<_> = seen.iter().map(action).filter(|action| !action.is_empty()).collect();
    for wanted in [
        "project-created",
        "profile-created",
        "profile-updated",
        "profile-renamed",
        "storage-volume-created",
        "instance-created",
        "instance-started",
        "instance-exec",
        "instance-snapshot-created",
        "instance-updated",
        "instance-restarted",
        "instance-deleted",
        "storage-volume-deleted",
        "profile-deleted",
        "project-deleted",
    ] {
        assert!(actions.contains(&wanted), "{wanted} is missing: {actions:?}");
    }
    let operations = |status: &str| seen.iter().filter(|event| text(event, "/metadata/status") == status).count();
    assert!(
        operations("Success") > 3 && operations("Failure") == 1,
        "{} {}",
        operations("Success"),
        operations("Failure")
    );
    let moments: Vec<_> =
        seen.iter().map(|event| chrono::DateTime::parse_from_rfc3339(text(event, "/timestamp")).unwrap()).collect();
    assert!(moments.is_sorted(), "events are out of order");

    for (arguments, wanted, follower) in &mut filtered {
        follower.terminate();
        let expected = counted(seen.iter().filter(|event| wanted(event)).cloned());
        // All followers were subscribed before the first event, so they received the same events.
        assert_same(&counted(follower.events()), &expected, &format!("{arguments:?}"));
    }

    let kinds = |event: &&Value| text(event, "/type") != "logging";
    let since = |events: Vec<Value>| {
        let begin = events.iter().rposition(|event| action(event).contains("project-created")).unwrap();
        counted(events.iter().skip(begin).filter(kinds).cloned())
    };
    theirs.terminate();
    assert_same(&since(seen.clone()), &since(theirs.events()), "compared with the server's own client");

    yaml.terminate();
    let documents: Vec<Value> =
        yaml.seen.join("\n").split("---\n").skip(1).map(|text| serde_yaml::from_str(text).unwrap()).collect();
    assert_eq!(counted(documents), counted(seen.iter().filter(kinds).cloned()));
    let lifecycle: Vec<_> = seen.iter().filter(|event| text(event, "/type") == "lifecycle").collect();
    for (name, lines) in [("logfmt", logfmt.terminate()), ("pretty", pretty.terminate())] {
        assert_eq!(lines.len(), lifecycle.len(), "{name}");
        for (line, event) in lines.iter().zip(&lifecycle) {
            assert!(line.contains(action(event)), "{name}: {line}");
        }
    }
    let restarted = pretty.seen.iter().find(|line| line.contains("instance-restarted")).unwrap();
    assert!(restarted.contains(" ↻ web ") && restarted.contains(" c1 "), "{restarted}");
}

fn ends_and_errors(server: &mut Server) {
    let name = server.kind.product();
    let socket = format!("unix:{}", server.socket().display());
    let flag = if server.kind == Kind::Lxd { "--lxd" } else { "--incus" };
    for arguments in [&[][..], &["local:"], &["--force-local"], &[flag], &[&*socket]] {
        let outcome = finish(&mut server.lxmon(&[arguments, &["--timeout", "200ms", "-v"]].concat()));
        assert_eq!(outcome.status, 0, "{arguments:?}: {}", outcome.stderr);
        assert!(outcome.stderr.contains("subscribed after"), "{arguments:?}: {}", outcome.stderr);
        if !arguments.contains(&&*socket) {
            assert!(outcome.stderr.contains(&format!(": {name} (")), "{arguments:?}: {}", outcome.stderr);
        }
    }
    let missed = finish(&mut server.lxmon(&["-n1", "-a", "instance-started", "--timeout", "200ms"]));
    assert_eq!((missed.status, &*missed.stdout), (124, ""));

    let typo = finish(&mut server.lxmon(&["-t", "lifecylce"]));
    assert_eq!(typo.status, 1);
    assert!(typo.stderr.contains("lifecylce") && typo.stderr.contains("hint: known types: logging"), "{}", typo.stderr);
    let missing = finish(&mut server.lxmon(&["--project", "nosuch"]));
    assert_eq!(missing.status, 1);
    assert!(
        missing.stderr.to_lowercase().contains("project") && missing.stderr.contains("not found"),
        "{}",
        missing.stderr
    );

    // lxmon makes a single request, which contains the event type.
    let directory = tempfile::tempdir().unwrap();
    let proxied = format!("unix:{}", directory.path().join("proxy").display());
    let requests = proxy(&directory.path().join("proxy"), &server.socket());
    let mut follower = Follower::subscribed(server.lxmon(&[&*proxied, "-a", "profile-*", "-f", "json", "-n1"]));
    server.client(&["profile", "create", "seen"]);
    assert_eq!(follower.wait(), Some(0));
    let sent = String::from_utf8_lossy(&requests.recv_timeout(Duration::from_secs(10)).unwrap()).into_owned();
    assert_eq!(sent.matches("HTTP/1.1").count(), 1, "{sent}");
    assert!(sent.starts_with("GET /1.0/events?type=lifecycle HTTP/1.1\r\n"), "{sent}");
    assert!(requests.try_recv().is_err(), "more than one connection");

    // An idle lxmon takes little memory.
    let idle = Follower::subscribed(server.lxmon(&["-A"]));
    let kilobytes = idle.resident_memory();
    println!("{name}: {kilobytes} kB resident at rest");
    assert!(cfg!(debug_assertions) || kilobytes < 8 << 10, "{kilobytes} kB");
    // Of a debug build most is the program itself.
    let own = kilobytes - idle.mapped_memory();
    assert!(own < 4 << 10, "{own} kB besides the program");
    drop(idle);

    // The server is killed and restarted.
    let mut faithless = Follower::subscribed(server.lxmon(&["-A", "--no-reconnect"]));
    let mut faithful = Follower::subscribed(server.lxmon(&["-A", "-f", "json", "-a", "profile-*", "--gap-events"]));
    server.kill();
    assert_eq!(faithless.wait(), Some(1));
    assert!(faithless.notices.iter().any(|line| line.contains("connection lost")), "{:?}", faithless.notices);
    faithful.wait_for_notice("reconnecting");
    server.restart();
    faithful.wait_for_notice("reconnected after ");
    server.client(&["profile", "create", "afterwards"]);
    faithful.wait_for(|line| line.contains("\"/1.0/profiles/afterwards\""));
    assert!(faithful.seen[0].starts_with("{\"type\":\"gap\""), "{:?}", faithful.seen);
    faithful.wait_for_notice("may be missing");
}

/// A proxy between the sockets `socket` and `to`. The channel gets what the client sent on each connection, after its
/// end.
fn proxy(socket: &std::path::Path, to: &std::path::Path) -> mpsc::Receiver<Vec<u8>> {
    let listener = UnixListener::bind(socket).unwrap();
    let to = to.to_owned();
    let (heard, requests) = mpsc::channel();
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let mut client: UnixStream = client;
            let mut server = UnixStream::connect(&to).unwrap();
            let (mut answers, mut back) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut answers, &mut back));
            let (mut sent, mut buffer) = (Vec::new(), [0; 4096]);
            while let Ok(length @ 1..) = client.read(&mut buffer) {
                sent.extend_from_slice(&buffer[..length]);
                server.write_all(&buffer[..length]).unwrap();
            }
            if heard.send(sent).is_err() {
                return;
            }
        }
    });
    requests
}

fn whole(kind: Kind) {
    let _alone = alone();
    let mut server = Server::start(kind);
    server.prepare_instances();
    follow_the_story(&server);
    ends_and_errors(&mut server);
}

#[test]
#[ignore = "needs LXD: run by CI"]
fn lxd() {
    whole(Kind::Lxd);
}

#[test]
#[ignore = "needs Incus: run by CI"]
fn incus() {
    whole(Kind::Incus);
}

#[test]
#[ignore = "needs Incus in a change-root: run by CI"]
fn incus_from_sid() {
    whole(Kind::IncusFromSid);
}

#[test]
#[ignore = "needs LXD: run by CI"]
fn a_cluster_tells_which_member_an_event_comes_from() {
    let _alone = alone();
    let cluster = Cluster::start([18443, 18444]);
    let mut all = Follower::subscribed(cluster.members[0].lxmon(&["-A", "-f", "json", "-t", "lifecycle"]));
    let mut second =
        Follower::subscribed(cluster.members[0].lxmon(&["-A", "-f", "json", "-t", "lifecycle", "--location", "n2"]));
    let mut pretty = Follower::subscribed(cluster.members[1].lxmon(&["-A", "-p", "-a", "profile-*"]));
    cluster.members[0].client(&["profile", "create", "one"]);
    cluster.members[1].client(&["profile", "create", "two"]);
    cluster.members[0].client(&["profile", "delete", "two"]);
    for follower in [&mut all, &mut pretty] {
        follower.wait_for(|line| line.contains("profile-deleted"));
    }
    second.wait_for(|line| line.contains("/1.0/profiles/two"));
    std::thread::sleep(SETTLE);
    all.terminate();
    let seen: Vec<_> = all.events();
    let seen: Vec<_> = seen
        .iter()
        .filter(|event| action(event).starts_with("profile-"))
        .map(|event| (action(event), text(event, "/metadata/source"), text(event, "/location")))
        .collect();
    assert_eq!(
        seen,
        [
            ("profile-created", "/1.0/profiles/one", "n1"),
            ("profile-created", "/1.0/profiles/two", "n2"),
            ("profile-deleted", "/1.0/profiles/two", "n1"),
        ]
    );
    second.terminate();
    assert!(second.events().iter().all(|event| text(event, "/location") == "n2") && !second.seen.is_empty());
    pretty.terminate();
    let members: Vec<_> = pretty.seen.iter().map(|line| line.split_whitespace().nth(3).unwrap()).collect();
    assert_eq!(members, ["n1", "n2", "n1"], "{:#?}", pretty.seen);
}

#[test]
#[ignore = "needs LXD and Incus: run by CI"]
fn https_remotes_of_both_clients_are_followed_at_once() {
    let _alone = alone();
    let (lxd, incus) = (Server::start(Kind::Lxd), Server::start(Kind::Incus));
    lxd.listen("127.0.0.1:18445");
    incus.listen("127.0.0.1:18446");
    let user = Client::new();
    user.add(&lxd, "n1", "127.0.0.1:18445");
    user.add(&incus, "incus1", "127.0.0.1:18446");

    let mut both = Follower::subscribed(user.lxmon(&["n1:", "incus1:", "-A", "-f", "json", "-a", "profile-*"]));
    both.wait_for_notice("incus1: subscribed after");
    both.wait_for_notice("n1: subscribed after");
    for told in [
        "n1: LXD (its client configuration knows",
        "incus1: Incus (its client configuration knows",
        "n1: verified by its pinned certificate",
        "; client certificate ",
    ] {
        assert!(both.notices.iter().any(|line| line.contains(told)), "{told}: {:?}", both.notices);
    }
    let mut pretty = Follower::subscribed(user.lxmon(&["n1:", "incus1:", "-A", "-p", "-a", "profile-*"]));
    pretty.wait_for_notice("incus1: subscribed after");
    pretty.wait_for_notice("n1: subscribed after");
    for (server, profile) in [(&lxd, "one"), (&incus, "two"), (&lxd, "three")] {
        server.client(&["profile", "create", profile]);
        both.wait_for(|line| line.contains(&format!("/1.0/profiles/{profile}\"")));
        pretty.wait_for(|line| line.contains(&format!("profile {profile}")));
    }
    let seen: Vec<_> = both
        .events()
        .iter()
        .map(|event| (text(event, "/remote").to_owned(), text(event, "/metadata/source").to_owned()))
        .collect();
    assert_eq!(
        seen,
        [("n1", "one"), ("incus1", "two"), ("n1", "three")]
            .map(|(remote, profile)| (remote.into(), format!("/1.0/profiles/{profile}")))
    );
    assert!(pretty.seen[1].contains("  incus1  profile two"), "{:?}", pretty.seen);

    // Compares lxmon with lxc on the same HTTPS remote.
    let mut theirs =
        Follower::start(user.client(Kind::Lxd, &["monitor", "n1:", "--type", "lifecycle", "--format", "json"]));
    let mut ours = Follower::subscribed(user.lxmon(&["n1:", "-t", "lifecycle", "-f", "json"]));
    theirs.provoke(|_| true, |attempt| set(&lxd, "one", attempt));
    for name in ["a", "b", "c", "d"] {
        lxd.client(&["profile", "create", name]);
        lxd.client(&["profile", "delete", name]);
    }
    ours.wait_for(|line| line.contains("profile-deleted") && line.contains("/1.0/profiles/d\""));
    std::thread::sleep(SETTLE);
    let since = |follower: &mut Follower| {
        follower.terminate();
        counted(follower.events().into_iter().filter(|event| action(event) != "profile-updated"))
    };
    assert_same(&since(&mut ours), &since(&mut theirs), "compared with lxc monitor n1:");

    // A remote for which the client configuration sets a project.
    lxd.client(&["project", "create", "web"]);
    user.run(Kind::Lxd, &["project", "switch", "n1:web"]);
    let mut web = Follower::subscribed(user.lxmon(&["n1:", "-f", "json", "-t", "lifecycle"]));
    lxd.client(&["profile", "create", "elsewhere"]);
    lxd.client(&["profile", "create", "here", "--project", "web"]);
    web.wait_for(|line| line.contains("/1.0/profiles/here"));
    std::thread::sleep(SETTLE);
    web.terminate();
    assert_eq!(web.seen.len(), 1, "{:?}", web.seen);

    // Without a client certificate, the error says that there was no login.
    let stranger = Client::new();
    stranger.take_certificate_of(&user, Kind::Lxd, "n1");
    fs::remove_file(stranger.certificate(Kind::Lxd)).unwrap();
    let stranger = finish(&mut stranger.lxmon(&["n1:"]));
    assert!(stranger.stderr.contains("(403): not authorized (tried: no login: "), "{}", stranger.stderr);
}

/// Kills the server at this address and starts it again.
fn killed(kind: Kind, address: &str) {
    let _alone = alone();
    let mut server = Server::start(kind);
    server.listen(address);
    let user = Client::new();
    user.add(&server, "n1", address);
    let options = ["-f", "json", "-a", "profile-*", "--gap-events"];
    let remote = |more: &[&str]| Follower::subscribed(user.lxmon(&[&["n1:"], more].concat()));
    let mut followers = [remote(&options), Follower::subscribed(server.lxmon(&options))];
    let mut ending = [(remote(&["--no-reconnect"]), 1), (remote(&["--fail-on-gap"]), 3)];
    server.kill();
    for follower in &mut followers {
        follower.wait_for_notice("; reconnecting");
    }
    server.restart();

    for follower in &mut followers {
        follower.wait_for_notice("reconnected after ");
    }
    let profiles = ["first", "second", "third"];
    for profile in profiles {
        server.client(&["profile", "create", profile]);
    }
    for follower in &mut followers {
        follower.wait_for(|line| line.contains("\"/1.0/profiles/third\""));
        let events = follower.events();
        // One gap record for the lost connection, one for the reconnect.
        assert!(events[..2].iter().all(|event| text(event, "/type") == "gap"), "{events:#?}");
        let sources = events[2..].iter().map(|event| text(event, "/metadata/source"));
        assert!(sources.eq(profiles.map(|profile| format!("/1.0/profiles/{profile}"))), "{events:#?}");
        follower.wait_for_notice("may be missing");
    }
    for (follower, status) in &mut ending {
        assert_eq!(follower.wait(), Some(*status), "{:?}", follower.notices);
    }
}

#[test]
#[ignore = "needs LXD: run by CI"]
fn a_killed_lxd_is_followed_again_from_the_first_event_on() {
    killed(Kind::Lxd, "127.0.0.1:18465");
}

#[test]
#[ignore = "needs Incus: run by CI"]
fn a_killed_incus_is_followed_again_from_the_first_event_on() {
    killed(Kind::Incus, "127.0.0.1:18466");
}

#[test]
#[ignore = "needs Incus in a change-root: run by CI"]
fn a_killed_incus_from_sid_is_followed_again_from_the_first_event_on() {
    killed(Kind::IncusFromSid, "127.0.0.1:18467");
}

#[test]
#[ignore = "needs python3-yaml: run by CI"]
fn a_yaml_1_1_reader_gets_every_event_back() {
    let script = r"
import json, sys, yaml
pairs = json.load(sys.stdin)
wrong = []
for event, text in pairs:
    try:
        back = yaml.safe_load(text)
    except Exception as error:
        back = error
    if back != json.loads(event):
        wrong.append((event, text, repr(back)))
for one in wrong[:5]:
    print(*one, sep='\n', end='\n\n')
sys.exit(len(wrong) > 0)
";
    let pairs: Vec<_> = crate::golden::events().into_iter().map(|event| (crate::golden::yaml(&event), event)).collect();
    let pairs: Vec<_> = pairs.iter().map(|(text, event)| (event, text)).collect();
    assert!(pairs.len() > 3000, "{}", pairs.len());
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pairs.json");
    std::fs::write(&file, serde_json::to_vec(&pairs).unwrap()).unwrap();
    let mut python = Command::new("/usr/bin/python3");
    let output = python.args(["-c", script]).stdin(std::fs::File::open(file).unwrap()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}
