//! LXD clusters that lxmon follows through one or several members.

use super::server::{Client, Cluster};
use super::{SETTLE, alone, set, text};
use crate::reconnect::gaps;
use crate::support::follower::Follower;

#[test]
#[ignore = "needs LXD: run by CI"]
fn a_cluster_is_followed_through_each_member_and_through_both() {
    let _alone = alone();
    let cluster = Cluster::start([18453, 18454]);
    let user = Client::new();
    user.add(&cluster.first, "n1", "127.0.0.1:18453");
    user.add(&cluster.second, "n2", "127.0.0.1:18454");
    let options = ["-f", "json", "-a", "profile-*"];
    let mut each = ["n1:", "n2:"].map(|name| Follower::subscribed(user.lxmon(&[&[name], &options[..]].concat())));
    let mut both = Follower::subscribed(user.lxmon(&[&["n1:", "n2:"], &options[..]].concat()));
    both.wait_for_notice("n1: subscribed after");
    both.wait_for_notice("n2: subscribed after");
    cluster.first.client(&["profile", "create", "one"]);
    cluster.second.client(&["profile", "create", "two"]);
    for follower in &mut each {
        follower.wait_for(|line| line.contains("/1.0/profiles/one"));
        follower.wait_for(|line| line.contains("/1.0/profiles/two"));
        std::thread::sleep(SETTLE);
        let mut seen: Vec<_> = follower.end().to_vec();
        seen.sort_unstable();
        let locations: Vec<_> = follower.events().iter().map(|event| text(event, "/location").to_owned()).collect();
        assert_eq!(locations, ["n1", "n2"], "{seen:?}");
    }
    both.end();
    let mut seen: Vec<_> = both
        .events()
        .iter()
        .map(|event| [text(event, "/remote").to_owned(), text(event, "/location").to_owned()].join(" of "))
        .collect();
    seen.sort_unstable();
    assert_eq!(seen, ["n1 of n1", "n1 of n2", "n2 of n1", "n2 of n2"]);
}

#[test]
#[ignore = "needs LXD: run by CI"]
fn a_member_that_dies_stops_nothing_of_the_others_and_is_followed_again() {
    let _alone = alone();
    let mut cluster = Cluster::start([18463, 18464]);
    let user = Client::new();
    user.add(&cluster.first, "n1", "127.0.0.1:18463");
    user.add(&cluster.second, "n2", "127.0.0.1:18464");
    let options = ["-f", "json", "-a", "profile-*", "--gap-events"];
    let mut first = Follower::subscribed(user.lxmon(&[&["n1:"], &options[..]].concat()));
    let mut both = Follower::subscribed(user.lxmon(&[&["n1:", "n2:"], &options[..]].concat()));
    both.wait_for_notice("n1: subscribed after");
    both.wait_for_notice("n2: subscribed after");
    let from = |remote: &'static str, profile: &str| {
        let (begin, source) = (format!("{{\"remote\":\"{remote}\","), format!("\"/1.0/profiles/{profile}\""));
        move |line: &str| line.starts_with(&begin) && line.contains(&source)
    };

    cluster.second.kill();
    both.wait_for_notice("n2: connection lost (");
    for profile in ["one", "two", "three"] {
        cluster.first.client(&["profile", "create", profile]);
        first.wait_for(|line| line.contains(&format!("\"/1.0/profiles/{profile}\"")));
        both.wait_for(from("n1", profile));
    }

    cluster.second.restart();
    both.wait_for_notice("; reconnected after ");
    cluster.second.client(&["profile", "create", "back"]);
    both.wait_for(from("n2", "back"));
    // It can take a while until the members are connected to each other again.
    first.provoke(|line| line.contains("\"location\":\"n2\""), |attempt| set(&cluster.second, "back", attempt));
    both.end();
    let gaps = gaps(both.seen.iter().map(String::as_str));
    // One gap record for the lost connection, one for the reconnect.
    assert_eq!(gaps.len(), 2, "{:#?}", both.seen);
    assert!(gaps.iter().all(|gap| gap["metadata"]["remote"] == "n2"), "{gaps:#?}");
    assert!(!both.seen.iter().any(|line| ["one", "two", "three"].iter().any(|profile| from("n2", profile)(line))));
    first.end();
    for lost in ["n1: connection lost", "may be missing"] {
        assert!(!first.has_told(lost), "{:?}", first.told);
    }
    assert!(!both.has_told("n1: connection lost"), "{:?}", both.told);
}
