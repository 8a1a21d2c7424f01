//! Completion of the names that real servers have.

use super::alone;
use super::server::{Cluster, Kind, Server};
use crate::support::program::finish;

/// What is offered for the last of these words, without the kind of the answer.
fn offered(server: &Server, words: &[&str]) -> Vec<String> {
    let words = [&["--", "lxmon"], words].concat();
    // A busy machine can be too slow for somebody at a keyboard.
    let mut attempts = std::iter::repeat_with(|| finish(server.lxmon(&words).env("COMPLETE", "fish")).stdout).take(8);
    let answer = attempts.find(|answer| answer.lines().count() > 1).unwrap_or_default();
    answer.lines().skip(1).map(str::to_owned).collect()
}

fn has_names(kind: Kind) {
    let _alone = alone();
    let server = Server::start(kind);
    server.client(&["storage", "create", "default", "dir"]);
    server.client(&["project", "create", "web"]);
    for (project, instance) in [("default", "c1"), ("web", "c2")] {
        let in_project = |words: &[&str]| server.client(&[&["--project", project], words].concat());
        in_project(&["profile", "device", "add", "default", "root", "disk", "path=/", "pool=default"]);
        in_project(&["init", "--empty", instance]);
    }
    for (words, names) in [
        (&["--project", ""][..], &["default", "web"][..]),
        (&["-i", ""], &["c1"]),
        (&["--project", "web", "-i", ""], &["c2"]),
        (&["--project", "web,default", "-i", ""], &["c1", "c2"]),
        (&["-A", "-i", "c"], &["c1", "c2"]),
    ] {
        assert_eq!(offered(&server, words), names, "{words:?}");
    }
}

#[test]
#[ignore = "needs LXD: run by CI"]
fn lxd_has_names_for_completion() {
    has_names(Kind::Lxd);
}

#[test]
#[ignore = "needs Incus: run by CI"]
fn incus_has_names_for_completion() {
    has_names(Kind::Incus);
}

#[test]
#[ignore = "needs LXD: run by CI"]
fn a_cluster_has_members_for_completion() {
    let _alone = alone();
    let cluster = Cluster::start([18_467, 18_468]);
    assert_eq!(offered(&cluster.members[0], &["--location", ""]), ["n1", "n2"]);
}
