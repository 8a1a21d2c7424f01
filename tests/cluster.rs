//! Members of a cluster that are followed together: no event twice, and no gap while one of them brings the events.

use std::io::Write as _;
use std::net::TcpStream;
use std::process::Command;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use rustls::ServerConfig;
use serde_json::{Value, json};

use crate::reconnect::gaps;
use crate::support::http::{self, is_complete, read_head, switching_protocols, wants_websocket};
use crate::support::program::{Follower, lxmon, run};
use crate::support::standin::{Connection, StandIn, about_itself, frame, opcode};
use crate::support::tls::{Client, Identity, config, listen, over_tls, params, self_signed};

/// What a member does next.
enum Order {
    Send(String),
    /// Ends the connection. The next one waits for orders again.
    End,
}

/// A member on a unix socket, which does what it is told.
struct Member {
    server: StandIn,
    orders: mpsc::Sender<Order>,
}

impl Member {
    /// A member of the cluster with this certificate, or else a server that is in no cluster.
    fn new(cluster: Option<&'static str>) -> Self {
        let (orders, next) = mpsc::channel();
        let next = Mutex::new(next);
        let script = move |connection: &mut Connection| {
            let next = next.lock().unwrap();
            connection.accept();
            while let Ok(order) = next.recv() {
                match order {
                    Order::Send(text) => _ = connection.event(&text),
                    Order::End => return connection.end(),
                }
            }
        };
        let server = match cluster {
            Some(cluster) => StandIn::member(cluster, script),
            None => StandIn::new(script),
        };
        Self { server, orders }
    }

    fn send(&self, text: &str) {
        self.orders.send(Order::Send(text.to_owned())).unwrap();
    }

    fn end(&self) {
        self.orders.send(Order::End).unwrap();
    }
}

fn event(location: &str, number: u32) -> String {
    format!(
        r#"{{"type":"lifecycle","timestamp":"2026-11-26T12:00:00.{number:09}Z","metadata":{{"action":"instance-started","source":"/1.0/instances/c{number}"}},"location":"{location}","project":"default"}}"#
    )
}

fn log(location: &str, number: u32) -> String {
    format!(
        r#"{{"type":"logging","timestamp":"2026-11-26T12:00:00.{number:09}Z","metadata":{{"message":"m{number}","level":"debug","context":{{}}}},"location":"{location}"}}"#
    )
}

/// The line that is printed for an event that a remote brings.
fn line(member: &Member, event: &str) -> String {
    format!(r#"{{"remote":"{}",{}"#, member.server.remote(), &event[1..])
}

/// Follows the members with these options, and waits until it is known of each whether it is in a cluster.
fn follow(members: &[&Member], options: &[&str]) -> Follower {
    let remotes: Vec<_> = members.iter().map(|member| member.server.remote()).collect();
    let arguments = remotes.iter().map(|remote| &**remote).chain(["-f", "json", "-v", "--sort-window", "0"]);
    let mut follower = Follower::start(lxmon(arguments.chain(options.iter().copied())));
    for remote in remotes {
        follower.wait_for_notice(&format!("{remote}: a member of the cluster "));
    }
    follower
}

#[test]
fn what_several_members_send_is_printed_once_and_what_one_sends_twice_is_printed_twice() {
    let [n1, n2, n3] = [(); 3].map(|()| Member::new(Some("fingerprint of a")));
    let mut follower = follow(&[&n1, &n2, &n3], &[]);
    let mut wanted = Vec::new();
    let mut first = |member: &Member, text: &str| {
        member.send(text);
        wanted.push(line(member, text));
        follower.wait_for(|seen| seen == wanted[wanted.len() - 1]);
    };
    first(&n1, &event("n1", 1));
    first(&n2, &event("n3", 2));
    for (member, text) in [(&n2, event("n1", 1)), (&n3, event("n1", 1)), (&n3, event("n3", 2)), (&n1, event("n3", 2))] {
        member.send(&text);
    }
    // Each member's own log messages come through it alone.
    for (number, member) in (10..).zip([&n1, &n2, &n3]) {
        first(member, &log("n1", number));
    }
    // What is sent behind the two shows that both have been read before the other member sends them.
    let twice = event("n1", 20);
    n1.send(&twice);
    n1.send(&twice);
    first(&n1, &event("n1", 21));
    for _ in 0..2 {
        wanted.insert(wanted.len() - 1, line(&n1, &twice));
        n2.send(&twice);
    }
    let last = event("n1", 30);
    n2.send(&last);
    follower.wait_for(|seen| seen == line(&n2, &last));
    wanted.push(line(&n2, &last));
    assert_eq!(follower.terminate(), wanted);
}

#[test]
fn servers_that_are_in_no_cluster_have_no_events_in_common() {
    let [one, two] = [(); 2].map(|()| Member::new(None));
    let mut follower = Follower::start(lxmon([&*one.server.remote(), &*two.server.remote(), "-f", "json"]));
    for member in [&one, &two] {
        member.send(&event("none", 1));
        follower.wait_for(|seen| seen == line(member, &event("none", 1)));
    }
}

#[test]
fn a_member_that_is_lost_is_no_gap_while_another_is_followed() {
    let [n1, n2] = [(); 2].map(|()| Member::new(Some("fingerprint of a")));
    let names = [&n1, &n2].map(|member| member.server.remote());
    let mut follower = follow(&[&n1, &n2], &["--gap-events"]);
    n2.end();
    follower.wait_for_notice(&format!(
        "{}: connection lost (the server closed the connection); its cluster is followed through {}, \
         without its own log messages",
        names[1], names[0]
    ));
    follower.wait_for_notice(&format!("{}: followed again after ", names[1]));
    n1.send(&event("n1", 1));
    follower.wait_for(|seen| seen == line(&n1, &event("n1", 1)));
    n2.send(&event("n2", 2));
    follower.wait_for(|seen| seen == line(&n2, &event("n2", 2)));
    assert!(!follower.has_notice("may be missing"), "{:?}", follower.notices);
    // The second one may just have been started, and may not be connected to the others yet.
    n1.end();
    follower.wait_for_notice(&format!("{}: connection lost at ", names[0]));
    follower.terminate();
    let gaps = gaps(follower.seen.iter().map(String::as_str));
    assert_eq!(gaps.len(), 2, "{gaps:#?}");
    assert!(gaps.iter().all(|gap| gap["metadata"]["remote"] == names[0]), "{gaps:#?}");
}

#[test]
fn without_log_messages_nothing_is_missing() {
    let [n1, n2] = [(); 2].map(|()| Member::new(Some("fingerprint of a")));
    let (first, second) = (n1.server.remote(), n2.server.remote());
    let mut follower = follow(&[&n1, &n2], &["-t", "lifecycle,operation"]);
    n2.end();
    follower.wait_for_notice(&format!("{second}: followed again after "));
    let told: Vec<_> = follower.notices.iter().filter(|line| line.starts_with(&format!("lxmon: {second}: "))).collect();
    let [.., lost, _, back] = &told[..] else { panic!("{told:?}") };
    assert!(lost.ends_with(&format!("its cluster is followed through {first}")), "{told:?}");
    assert!(back.contains("followed again after "), "{told:?}");
}

#[test]
fn the_loss_of_the_last_member_is_the_first_gap() {
    let [n1, n2] = [(); 2].map(|()| Member::new(Some("fingerprint of a")));
    let mut follower = follow(&[&n1, &n2], &["--fail-on-gap"]);
    n2.end();
    follower.wait_for_notice(": followed again after ");
    n1.send(&event("n1", 1));
    follower.wait_for(|seen| seen == line(&n1, &event("n1", 1)));
    n1.end();
    assert_eq!(follower.wait(), Some(3), "{:?}", follower.notices);
}

#[test]
fn members_of_different_clusters_do_not_stand_in_for_each_other() {
    let (a, b) = (Member::new(Some("fingerprint of a")), Member::new(Some("fingerprint of b")));
    let mut follower = follow(&[&a, &b], &[]);
    a.end();
    follower
        .wait_for_notice(&format!("{}: connection lost (the server closed the connection); reconn", a.server.remote()));
    follower.wait_for_notice(&format!("{}: connection lost at ", a.server.remote()));
}

#[test]
fn a_project_of_its_own_is_another_view_of_the_cluster() {
    for (options, ends) in [(&[][..], "; reconnecting"), (&["-A"], ", without its own log messages")] {
        let [n1, n2] = [(); 2].map(|()| Member::new(Some("fingerprint of a")));
        let [first, second] = [&n1, &n2].map(|member| member.server.remote());
        let client = Client::new(&first);
        let remotes = format!("remotes:\n  n1:\n    addr: {first}\n  n2:\n    addr: {second}\n    project: web\n");
        client.file("config.yml", &remotes);
        let mut command = lxmon(["--lxd", "n1:", "n2:", "-f", "json", "-v"]);
        command.args(options).env("LXD_CONF", client.directory.path());
        let mut follower = Follower::start(command);
        follower.wait_for_notice("n1: a member of the cluster ");
        follower.wait_for_notice("n2: a member of the cluster ");
        n2.end();
        follower.wait_for_notice("n2: connection lost (");
        assert!(follower.notices.last().unwrap().ends_with(ends), "{:?}", follower.notices);
    }
}

#[test]
fn a_server_that_is_in_no_cluster_is_followed_alone() {
    let server = Member::new(None);
    server.send(&event("none", 1));
    let outcome = run([&*server.server.remote(), "--cluster", "-f", "json", "-n1"]);
    assert_eq!((outcome.status, outcome.stdout.trim_end()), (0, &*event("none", 1)));
    let notice = format!("lxmon: {}: not in a cluster; the server is followed alone\n", server.server.remote());
    assert_eq!(outcome.stderr, notice);
}

/// The answer to a question for the members of a cluster, given by names and addresses.
fn listed<'m>(members: impl IntoIterator<Item = &'m (String, String)>) -> String {
    let member =
        |(name, url): &(String, String)| json!({"server_name": name, "url": url, "status": "Online", "roles": []});
    json!({"type": "sync", "status_code": 200, "metadata": members.into_iter().map(member).collect::<Value>()})
        .to_string()
}

#[test]
fn the_login_of_a_local_socket_is_of_no_use_to_the_other_members() {
    let all = [("n1", "https://10.0.0.1:8443"), ("n2", "https://10.0.0.2:8443"), ("n3", "https://10.0.0.3:8443")];
    let all = all.map(|(name, url)| (name.to_owned(), url.to_owned()));
    for members in [1, 3] {
        let answer = listed(&all[..members]);
        let server = StandIn::member("fingerprint of a", move |connection: &mut Connection| {
            if !connection.wants_websocket() {
                return connection.answer(&answer);
            }
            connection.accept();
            connection.event(&event("n1", 1));
            connection.wait();
        });
        let outcome = run([&*server.remote(), "--cluster", "-f", "json", "-n1"]);
        if members == 1 {
            assert_eq!((outcome.status, outcome.stdout.trim_end()), (0, &*event("n1", 1)), "{}", outcome.stderr);
            continue;
        }
        assert_eq!(outcome.status, 1);
        let wanted = format!(
            "lxmon: {}: --cluster: the other members (n2, n3) do not accept the login of a local socket\n\
             hint: add the server as an HTTPS remote, and follow that: lxc remote add NAME https://10.0.0.1:8443 && \
             lxmon NAME: --cluster\n",
            server.remote()
        );
        assert_eq!(outcome.stderr, wanted);
    }
}

#[test]
fn a_list_of_members_that_cannot_be_had_is_an_error() {
    let server = StandIn::member("fingerprint of a", |connection: &mut Connection| {
        connection.refuse("403 Forbidden", "not authorized");
    });
    let outcome = run([&*server.remote(), "--cluster"]);
    assert_eq!(outcome.status, 1);
    assert!(
        outcome.stderr.contains(": the members of its cluster: the server refuses (403): not auth"),
        "{}",
        outcome.stderr
    );
    assert!(outcome.stderr.contains("\nhint: "), "{}", outcome.stderr);
}

/// A member over TLS. All share their certificate, and what the cluster says about its members.
struct TlsMember {
    name: &'static str,
    url: String,
    /// What the present connection is to send. It ends when this is dropped.
    connection: Arc<Mutex<Option<mpsc::Sender<String>>>>,
}

type Members = Arc<Mutex<Vec<(String, String)>>>;

impl TlsMember {
    fn new(name: &'static str, config: &Arc<ServerConfig>, members: &Members) -> Self {
        let connection = Arc::<Mutex<Option<mpsc::Sender<String>>>>::default();
        let (config, members, current) = (Arc::clone(config), Arc::clone(members), Arc::clone(&connection));
        let port = listen("127.0.0.1:0", move |stream| {
            // Fails if lxmon has ended.
            let _ = serve(name, stream, &config, &members, &current);
        });
        Self { name, url: format!("https://127.0.0.1:{port}"), connection }
    }

    fn listed(&self) -> (String, String) {
        (self.name.to_owned(), self.url.clone())
    }

    fn send(&self, text: &str) {
        self.connection.lock().unwrap().as_ref().unwrap().send(text.to_owned()).unwrap();
    }

    fn end(&self) {
        self.connection.lock().unwrap().take();
    }
}

fn serve(
    name: &str,
    stream: TcpStream,
    config: &Arc<ServerConfig>,
    members: &Members,
    current: &Mutex<Option<mpsc::Sender<String>>>,
) -> std::io::Result<()> {
    let mut stream = over_tls(config, stream);
    let head = read_head(&mut stream);
    if !is_complete(&head) {
        return Ok(());
    }
    if !wants_websocket(&head) {
        let body = if head.starts_with("GET /1.0/cluster/members?recursion=1 ") {
            listed(members.lock().unwrap().iter())
        } else if head.starts_with("GET /1.0/instances?") {
            // The instance has the name of the member that was asked.
            json!({"metadata": [{"name": name, "project": "default", "location": "a", "status": "Running"}]})
                .to_string()
        } else {
            about_itself(Some("fingerprint of a")).replace("\"n1\"", &format!("\"{name}\""))
        };
        stream.write_all(http::json("200 OK", "", &body).as_bytes())?;
        return stream.flush();
    }
    stream.write_all(switching_protocols(&head, "").as_bytes())?;
    stream.flush()?;
    let (sender, texts) = mpsc::channel();
    current.lock().unwrap().replace(sender);
    for text in texts {
        stream.write_all(&frame(true, opcode::TEXT, text.as_bytes()))?;
        stream.flush()?;
    }
    Ok(())
}

/// A cluster of members with these names, and a client whose remote `prod` is the first one.
fn cluster<const N: usize>(names: [&'static str; N]) -> ([TlsMember; N], Members, Client) {
    let Identity { certificate, key } = self_signed(&params(&["the cluster"]));
    let config = Arc::new(config(&certificate, &key, &[&rustls::version::TLS13]));
    let members = Members::default();
    let all = names.map(|name| TlsMember::new(name, &config, &members));
    members.lock().unwrap().extend(all.iter().map(TlsMember::listed));
    let client = Client::new("https://unused");
    client.file("config.yml", &format!("remotes:\n  prod:\n    addr: {}\n", all[0].url));
    client.file("servercerts/prod.crt", &certificate);
    (all, members, client)
}

fn lxmon_of(client: &Client, options: &[&str]) -> Command {
    let mut command = lxmon(["--lxd", "prod:", "--cluster", "-f", "json", "-v"]);
    command.args(options).env("LXD_CONF", client.directory.path());
    command
}

fn changed(action: &str, number: u32) -> String {
    event("a", number).replace("instance-started", action)
}

#[test]
fn all_members_of_the_cluster_are_followed_also_those_that_come_and_none_that_has_gone() {
    let ([a, b, c], members, client) = cluster(["a", "b", "c"]);
    members.lock().unwrap().pop();
    let begun = Instant::now();
    let mut follower = Follower::start(lxmon_of(&client, &["--gap-events"]));
    for name in ["a", "b"] {
        follower.wait_for_notice(&format!("prod/{name}: subscribed after"));
    }
    let mut wanted = Vec::new();
    let mut first = |follower: &mut Follower, member: &TlsMember, text: String| {
        member.send(&text);
        follower.wait_for(|seen| seen == text);
        wanted.push(text);
    };
    // One remote was named, so none is printed.
    first(&mut follower, &a, event("a", 1));
    b.send(&event("a", 1));
    first(&mut follower, &b, event("b", 2));

    members.lock().unwrap().push(c.listed());
    first(&mut follower, &a, changed("cluster-member-added", 3));
    follower.wait_for_notice("prod/c: has joined the cluster");
    follower.wait_for_notice("prod/c: subscribed after");
    c.send(&event("b", 2));
    first(&mut follower, &c, event("c", 4));

    members.lock().unwrap()[2].0 = "d".to_owned();
    first(&mut follower, &c, changed("cluster-member-renamed", 5));
    members.lock().unwrap().remove(1);
    first(&mut follower, &c, changed("cluster-member-removed", 6));
    follower.wait_for_notice("prod/b: is not in the cluster any more");
    // It is not listened to any more, or this would be printed.
    b.send(&event("b", 99));
    first(&mut follower, &a, event("a", 7));
    // The events said so: the list is not asked for again by itself within this time.
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    c.end();
    follower.wait_for_notice("prod/d: connection lost (");
    follower.wait_for_notice("prod/d: followed again after ");
    assert!(
        !follower.has_notice("prod/b: connection lost") && !follower.has_notice("may be missing"),
        "{:?}",
        follower.notices
    );
    assert_eq!(follower.terminate(), wanted);
}

#[test]
fn the_state_of_a_cluster_is_asked_of_one_member_and_again_when_all_were_lost() {
    let ([a, b], _, client) = cluster(["a", "b"]);
    let mut follower = Follower::start(lxmon_of(&client, &["-t", "lifecycle", "--state"]));
    let is_state = |line: &str| line.contains(r#""type":"state""#);
    for name in ["a", "b"] {
        follower.wait_for_notice(&format!("prod/{name}: subscribed after"));
    }
    follower.wait_for(is_state);
    // One member is lost, which is no gap.
    a.end();
    follower.wait_for_notice("prod/a: followed again after ");
    b.send(&event("b", 1));
    follower.wait_for(|seen| seen == event("b", 1));
    let asked = |follower: &Follower| follower.notices.iter().filter(|line| line.contains("asked for the")).count();
    assert_eq!((follower.seen.iter().filter(|line| is_state(line)).count(), asked(&follower)), (1, 1));
    // The one that is left has not been followed for half a minute, so all are lost.
    b.end();
    follower.wait_for_notice("may be missing");
    let deadline = Instant::now() + Duration::from_secs(20);
    while asked(&follower) < 2 && follower.see_notice(deadline) {}
    assert!(asked(&follower) > 1, "{:?}", follower.notices);
}

#[test]
#[ignore = "long: run by CI"]
fn without_lifecycle_events_the_list_of_members_is_asked_for_by_and_by() {
    let ([_a, b], members, client) = cluster(["a", "b"]);
    members.lock().unwrap().pop();
    let mut follower = Follower::start(lxmon_of(&client, &["-t", "operation"]));
    follower.wait_for_notice("prod/a: subscribed after");
    members.lock().unwrap().push(b.listed());
    follower.wait_for_notice("prod/b: subscribed after");
    members.lock().unwrap().pop();
    follower.wait_for_notice("prod/b: is not in the cluster any more");
}

#[test]
fn the_members_are_followed_though_the_first_one_dies_and_one_is_down_from_the_start() {
    let ([a, b], members, client) = cluster(["a", "b"]);
    members.lock().unwrap().push(("c".to_owned(), "https://127.0.0.1:1".to_owned()));
    let mut follower = Follower::start(lxmon_of(&client, &[]));
    for notice in ["prod/a: subscribed", "prod/b: subscribed", "prod/c: trying again until it can be followed"] {
        follower.wait_for_notice(notice);
    }
    a.end();
    follower.wait_for_notice("prod/a: connection lost (");
    b.send(&event("b", 1));
    follower.wait_for(|seen| seen == event("b", 1));
    assert!(!follower.has_notice("may be missing"));
}

#[test]
fn of_several_addresses_of_the_remote_only_the_one_that_has_answered_is_that_of_its_member() {
    let ([a, b, c], _, client) = cluster(["a", "b", "c"]);
    let addr = ["https://127.0.0.1:1", &b.url, &c.url].join(",");
    client.file("config.yml", &format!("remotes:\n  prod:\n    addr: {addr}\n"));
    let mut command = lxmon(["--incus", "prod:", "--cluster", "-f", "json", "-v"]);
    command.env("INCUS_CONF", client.directory.path());
    let mut follower = Follower::start(command);
    for member in [&a, &b, &c] {
        follower.wait_for_notice(&format!("prod/{}: subscribed after", member.name));
    }
    for member in [a, b, c] {
        // Otherwise a member that is lost would be followed at the address of another one.
        let wanted = format!("lxmon: prod/{}: Incus (asked for) at {}", member.name, member.url);
        assert!(follower.notices.contains(&wanted), "{wanted}: {:#?}", follower.notices);
    }
}

#[test]
fn the_whole_cluster_is_lost_when_its_last_member_is() {
    let ([a, b], _, client) = cluster(["a", "b"]);
    let mut follower = Follower::start(lxmon_of(&client, &["--gap-events", "--no-reconnect"]));
    for name in ["a", "b"] {
        follower.wait_for_notice(&format!("prod/{name}: subscribed after"));
    }
    a.end();
    follower.wait_for_notice("prod/a: connection lost: ");
    b.end();
    assert_eq!(follower.wait(), Some(1));
    assert_eq!(follower.notices.last().unwrap(), "lxmon: prod: no member of its cluster is followed any more");
    let gaps = gaps(follower.seen.iter().map(String::as_str));
    // The outage of both begins with the loss of the second one, and ends with the program.
    assert_eq!(gaps.len(), 4, "{gaps:#?}");
    assert!(gaps.iter().all(|gap| gap["metadata"]["remote"] == "prod"), "{gaps:#?}");
}
