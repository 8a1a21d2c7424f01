//! LXD clusters that lxmon follows through one or several members.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::ops::Range;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::server::{Client, Cluster, Server};
use super::{SETTLE, alone, set, text};
use crate::support::program::{Follower, PATIENCE};

/// A user who knows each member as a remote of its name.
fn user_of<const N: usize>(cluster: &Cluster, ports: [u16; N]) -> Client {
    let user = Client::new();
    for (index, port) in ports.into_iter().enumerate() {
        user.add(&cluster.members[index], &format!("n{}", index + 1), &format!("127.0.0.1:{port}"));
    }
    user
}

#[test]
#[ignore = "needs LXD: run by CI"]
fn a_cluster_is_followed_through_each_member_and_through_both() {
    const PORTS: [u16; 2] = [18453, 18454];
    let _alone = alone();
    let cluster = Cluster::start(PORTS);
    let user = user_of(&cluster, PORTS);
    let options = ["-f", "json", "-a", "profile-*"];
    let follow = |remotes: &[&str]| Follower::subscribed(user.lxmon(&[remotes, &options].concat()));
    let mut each = ["n1:", "n2:"].map(|name| follow(&[name]));
    let mut both = follow(&["n1:", "n2:"]);
    both.wait_for_notice("n1: subscribed after");
    both.wait_for_notice("n2: subscribed after");
    let mut whole = follow(&["n2:", "--cluster"]);
    whole.wait_for_notice("n2/n1: subscribed after");
    whole.wait_for_notice("n2/n2: subscribed after");
    cluster.members[0].client(&["profile", "create", "one"]);
    cluster.members[1].client(&["profile", "create", "two"]);
    let [first, second] = &mut each;
    let mut printed = [first, second, &mut both, &mut whole].map(|follower| {
        follower.wait_for(|line| line.contains("/1.0/profiles/one"));
        follower.wait_for(|line| line.contains("/1.0/profiles/two"));
        std::thread::sleep(SETTLE);
        follower.terminate();
        let mut printed: Vec<_> = follower.events().iter().map(|event| text(event, "/location").to_owned()).collect();
        printed.sort_unstable();
        printed
    });
    printed.sort_unstable();
    assert!(printed.iter().all(|locations| locations == &["n1", "n2"]), "{printed:?}");
    assert!(both.seen.iter().all(|line| line.starts_with(r#"{"remote":"n"#)), "{:?}", both.seen);
    assert!(whole.seen.iter().all(|line| line.starts_with(r#"{"type":"#)), "{:?}", whole.seen);
}

#[test]
#[ignore = "needs LXD: run by CI"]
fn a_member_that_dies_stops_nothing_of_the_others_and_is_followed_again() {
    const PORTS: [u16; 2] = [18463, 18464];
    let _alone = alone();
    let mut cluster = Cluster::start(PORTS);
    let user = user_of(&cluster, PORTS);
    let options = ["-f", "json", "-a", "profile-*", "--gap-events"];
    let mut first = Follower::subscribed(user.lxmon(&[&["n1:"], &options[..]].concat()));
    let mut both = Follower::subscribed(user.lxmon(&[&["n1:", "n2:"], &options[..]].concat()));
    both.wait_for_notice("n1: a member of the cluster ");
    both.wait_for_notice("n2: a member of the cluster ");
    let about = |profile: &str| {
        let source = format!("\"/1.0/profiles/{profile}\"");
        move |line: &str| line.contains(&source)
    };

    cluster.members[1].kill();
    both.wait_for_notice("n2: connection lost (");
    for profile in ["one", "two", "three"] {
        cluster.members[0].client(&["profile", "create", profile]);
        first.wait_for(about(profile));
        both.wait_for(about(profile));
    }

    cluster.members[1].restart();
    both.wait_for_notice("n2: followed again after ");
    cluster.members[1].client(&["profile", "create", "back"]);
    both.wait_for(about("back"));
    // It can take a while until the members are connected to each other again.
    first.provoke(|line| line.contains("\"location\":\"n2\""), |attempt| set(&cluster.members[1], "back", attempt));
    for follower in [&mut first, &mut both] {
        follower.terminate();
        assert!(!follower.seen.iter().any(|line| line.contains(r#""type":"gap""#)), "{:#?}", follower.seen);
        for lost in ["n1: connection lost", "may be missing"] {
            assert!(!follower.has_notice(lost), "{:?}", follower.notices);
        }
        let once: BTreeSet<_> = follower.seen.iter().collect();
        assert_eq!(once.len(), follower.seen.len(), "{:#?}", follower.seen);
    }
}

#[test]
#[ignore = "needs LXD: run by CI"]
fn a_member_that_joins_is_followed_and_one_that_is_removed_is_not() {
    let _alone = alone();
    let mut cluster = Cluster::start([18483, 18484]);
    let user = Client::new();
    user.add(&cluster.members[0], "prod", "127.0.0.1:18483");
    let mut follower = Follower::subscribed(user.lxmon(&["prod:", "--cluster", "-f", "json", "-A", "--gap-events"]));
    follower.wait_for_notice("prod/n1: subscribed after");
    follower.wait_for_notice("prod/n2: subscribed after");
    cluster.add(18485);
    follower.wait_for_notice("prod/n3: subscribed after");
    // Only the member itself shows its log messages of this level.
    let is_own = |name: &'static str| {
        let location = format!(r#""location":"{name}""#);
        move |line: &str| line.contains(&location) && line.contains(r#""level":"debug""#)
    };
    cluster.members[2].client(&["profile", "create", "three"]);
    follower.wait_for(is_own("n3"));

    follower.notices.clear();
    cluster.members[0].client(&["cluster", "remove", "n2", "--yes"]);
    follower.wait_for_notice("prod/n2: is not in the cluster any more");
    cluster.members[0].client(&["profile", "create", "four"]);
    follower.wait_for(|line| line.contains("/1.0/profiles/four"));
    follower.read_for(SETTLE);
    follower.terminate();
    println!("{:#?}", follower.notices);
    let told = follower.notices.iter().filter(|line| line.contains("prod/n2"));
    assert!(
        told.clone().all(|line| !line.contains("hint") && !line.contains("certificate")),
        "{:#?}",
        follower.notices
    );
    assert!(!follower.seen.iter().any(|line| line.contains(r#""type":"gap""#)));
}

/// How often a member is killed.
fn kills() -> usize {
    std::env::var("LXMON_TEST_KILLS").map_or(20, |number| number.parse().unwrap())
}

/// The time between two requests to a member.
const PAUSE: Duration = Duration::from_millis(30);

/// What a request may take before a member counts as dead.
const ANSWER: Duration = Duration::from_secs(5);

/// What happened within this time before a member was killed may not have left it.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// LXD begins to send events some milliseconds after it has accepted a subscription. What a member that is followed again
/// does within this time may not be sent to us.
const FIRST_WORDS: Duration = Duration::from_secs(1);

/// How long a member that was started again is not relied on by lxmon, with a margin (`SETTLE` in
/// `source/server/peers.rs`).
const UNSETTLED: Duration = Duration::from_secs(32);

/// Makes one request; returns whether the server says that it has done it.
fn request(socket: &Path, method: &str, target: &str, body: &str) -> std::io::Result<bool> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(ANSWER))?;
    let length = body.len();
    write!(
        stream,
        "{method} {target} HTTP/1.1\r\nHost: lxmon\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.starts_with("HTTP/1.1 20"))
}

/// What a member did, and when.
struct Deed {
    member: usize,
    action: &'static str,
    profile: String,
    begun: Instant,
    done: Instant,
}

/// Makes a member create and delete profiles until `stop`.
fn load(member: usize, socket: &Path, stop: &AtomicBool, deeds: &Mutex<Vec<Deed>>) {
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let profile = format!("p{}-{number}", member + 1);
        let target = format!("/1.0/profiles/{profile}");
        for (action, method, target, body) in [
            ("profile-created", "POST", "/1.0/profiles", format!(r#"{{"name":"{profile}"}}"#)),
            ("profile-deleted", "DELETE", &*target, String::new()),
        ] {
            std::thread::sleep(PAUSE);
            let begun = Instant::now();
            if request(socket, method, target, &body).unwrap_or(false) {
                let (done, profile) = (Instant::now(), profile.clone());
                deeds.lock().unwrap().push(Deed { member, action, profile, begun, done });
            }
        }
    }
}

/// The time from the kill of a member until it was followed again and had begun to send.
struct Outage {
    victim: usize,
    since: Instant,
    until: Instant,
    /// By the clock of the servers, which is ours. It begins earlier, as what happened before may not have left the
    /// member.
    utc: Range<DateTime<Utc>>,
}

impl Outage {
    /// Whether the member itself did this in its outage.
    fn has(&self, event: &str) -> bool {
        let event: Value = serde_json::from_str(&format!("{{{event}")).unwrap();
        let time: DateTime<Utc> = text(&event, "/timestamp").parse().unwrap();
        text(&event, "/location") == format!("n{}", self.victim + 1) && self.utc.contains(&time)
    }
}

/// Waits until a member that was killed takes part in the cluster again.
fn wait_until_online(victim: &Server, name: &str, other: &Server) {
    let begun = Instant::now();
    loop {
        let list = other.client(&["cluster", "list", "--format", "csv"]);
        let is_online = list.lines().any(|line| line.starts_with(&format!("{name},")) && line.contains(",ONLINE,"));
        if is_online && request(&victim.socket(), "GET", "/1.0/profiles", "").unwrap_or(false) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{name} is not back: {list}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Kills a member and starts it again. Each follower comes with what it puts before the member's name in notices.
fn kill_and_restart(cluster: &mut Cluster, victim: usize, mut followers: [(&mut Follower, &str); 2]) -> Outage {
    let name = format!("n{}", victim + 1);
    for (follower, _) in &mut followers {
        follower.has_notice("");
        follower.notices.clear();
    }
    let (since, since_utc) = (Instant::now(), Utc::now());
    cluster.members[victim].kill();
    std::thread::sleep(Duration::from_secs(1));
    cluster.members[victim].restart();
    for (follower, prefix) in followers {
        follower.wait_for_notice(&format!("{prefix}{name}: followed again after "));
    }
    let (until, until_utc) = (Instant::now() + FIRST_WORDS, Utc::now() + FIRST_WORDS);
    wait_until_online(&cluster.members[victim], &name, &cluster.members[(victim + 1) % 3]);
    Outage { victim, since, until, utc: since_utc - LAST_WORDS..until_utc }
}

/// The lifecycle events about the profiles of the load that were printed, without the remote: how often each was.
fn printed(follower: &Follower) -> BTreeMap<String, usize> {
    let mut printed = BTreeMap::new();
    for line in follower.seen.iter().filter(|line| line.contains("\"/1.0/profiles/p")) {
        let event = line.find(r#""type":"#).map_or(&**line, |at| &line[at..]);
        *printed.entry(event.to_owned()).or_insert(0) += 1;
    }
    printed
}

/// How many events were printed after a later one of the same member.
fn out_of_order(follower: &Follower) -> usize {
    let mut latest = BTreeMap::<String, String>::new();
    let mut count = 0;
    for event in follower.events() {
        let (location, time) = (text(&event, "/location").to_owned(), text(&event, "/timestamp").to_owned());
        let latest = latest.entry(location).or_default();
        // The servers write up to nine digits without trailing zeros, in the same zone.
        if time.trim_end_matches('Z') < latest.trim_end_matches('Z') {
            count += 1;
        } else {
            *latest = time;
        }
    }
    count
}

#[test]
#[ignore = "needs LXD, takes minutes: run by CI"]
fn killing_members_of_a_cluster_loses_and_doubles_nothing() {
    const PORTS: [u16; 3] = [18473, 18474, 18475];
    let _alone = alone();
    let mut cluster = Cluster::start(PORTS);
    let user = user_of(&cluster, PORTS);
    let options = ["-f", "json", "-A", "-t", "lifecycle", "--gap-events"];
    let follow = |remotes: &[&str]| Follower::subscribed(user.lxmon(&[remotes, &options].concat()));
    let mut recordings = ["n1:", "n2:", "n3:"].map(|name| follow(&[name]));
    let mut members = follow(&["n1:", "n2:", "n3:"]);
    let mut whole = follow(&["n1:", "--cluster"]);
    for name in ["n1", "n2", "n3"] {
        members.wait_for_notice(&format!("{name}: a member of the cluster "));
        whole.wait_for_notice(&format!("n1/{name}: subscribed after"));
    }
    let sockets: Vec<_> = cluster.members.iter().map(Server::socket).collect();
    let (stop, deeds) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    let mut outages: Vec<Outage> = Vec::new();
    std::thread::scope(|scope| {
        for (member, socket) in sockets.iter().enumerate() {
            let (stop, deeds) = (&stop, &deeds);
            scope.spawn(move || load(member, socket, stop, deeds));
        }
        for kill in 0..kills() {
            // While one member of three is just back, and the next one dies, only the third one is relied on.
            let relied_on = outages.len().checked_sub(2).map(|index| outages[index].until + UNSETTLED);
            let now = Instant::now();
            let wait = relied_on.map_or(Duration::from_secs(3), |at| at.saturating_duration_since(now));
            std::thread::sleep(wait.max(Duration::from_secs(3)));
            let outage = kill_and_restart(&mut cluster, kill % 3, [(&mut members, ""), (&mut whole, "n1/")]);
            println!("kill {}: followed again after {:.1?}", kill + 1, outage.until - outage.since);
            outages.push(outage);
        }
        std::thread::sleep(Duration::from_secs(3));
        stop.store(true, Ordering::Relaxed);
    });
    std::thread::sleep(2 * SETTLE);
    for follower in recordings.iter_mut().chain([&mut members, &mut whole]) {
        follower.terminate();
    }

    let deeds = deeds.into_inner().unwrap();
    let of_survivors: Vec<_> = deeds
        .iter()
        .filter(|deed| {
            let is_in = |outage: &Outage| {
                outage.victim == deed.member && deed.done + LAST_WORDS >= outage.since && deed.begun <= outage.until
            };
            !outages.iter().any(is_in)
        })
        .collect();
    let union: BTreeSet<_> = recordings.iter().flat_map(printed).map(|(event, _)| event).collect();
    println!(
        "{} requests, {} of them of members that were up; {} events in the recordings of single members",
        deeds.len(),
        of_survivors.len(),
        union.len()
    );
    let mut faults = Vec::new();
    for (what, follower) in [("n1: n2: n3:", &members), ("n1: --cluster", &whole)] {
        let printed = printed(follower);
        let known: BTreeSet<_> = follower
            .events()
            .iter()
            .map(|event| (text(event, "/metadata/action").to_owned(), text(event, "/metadata/source").to_owned()))
            .collect();
        let lost: Vec<_> = of_survivors
            .iter()
            .map(|deed| (deed.action.to_owned(), format!("/1.0/profiles/{}", deed.profile)))
            .filter(|deed| !known.contains(deed))
            .collect();
        let doubled: Vec<_> = printed.iter().filter(|(_, count)| **count > 1).map(|(event, _)| event).collect();
        // What a member itself did in its outage: in its last moments, and after it was started again until the
        // follower was connected to it. Another follower may have been connected to it earlier.
        let (own, only_recorded): (Vec<_>, Vec<_>) = union
            .iter()
            .filter(|event| !printed.contains_key(*event))
            .partition(|event| outages.iter().any(|outage| outage.has(event)));
        let gaps = follower.seen.iter().filter(|line| line.contains(r#""type":"gap""#)).count();
        println!(
            "{what}: {} events, {} lost, {} doubled, {} only in the recordings, {} of members in their outages only \
             there, {} out of order, {gaps} gap records",
            printed.len(),
            lost.len(),
            doubled.len(),
            only_recorded.len(),
            own.len(),
            out_of_order(follower)
        );
        if !(lost.is_empty() && doubled.is_empty() && only_recorded.is_empty() && gaps == 0) {
            faults.push(format!(
                "{what}: lost {lost:#?}, doubled {doubled:#?}, missing {only_recorded:#?}, {gaps} gap records"
            ));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
