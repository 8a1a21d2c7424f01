//! A network link that fails silently: neither end gets a packet that reports the failure.

use std::process::Command;
use std::time::{Duration, Instant};

use super::alone;
use super::server::{Client, Kind, PASSWORD, Server};
use crate::reconnect::{gaps, length};
use crate::support::program::Follower;

/// A client, a server and a router between them, each in its own network namespace. The addresses are reserved for
/// documentation (RFC 5737).
pub(crate) struct Link {
    namespaces: [String; 3],
}

const CLIENT: &str = "192.0.2.1";
const SERVER: &str = "192.0.2.5";

fn ip(arguments: &[&str]) {
    let output = Command::new("ip").args(arguments).output().unwrap();
    assert!(output.status.success(), "ip {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Link {
    fn new() -> Self {
        let link = Self {
            namespaces: ["client", "router", "server"].map(|name| format!("lxmon-{}-{name}", std::process::id())),
        };
        for namespace in &link.namespaces {
            ip(&["netns", "add", namespace]);
        }
        let [client, router, server] = &link.namespaces;
        for (end, port, here, there) in
            [(client, "client", CLIENT, "192.0.2.2"), (server, "server", SERVER, "192.0.2.6")]
        {
            ip(&["-n", router, "link", "add", "name", port, "type", "veth", "peer", "name", "line", "netns", end]);
            for (namespace, device, address) in [(router, port, there), (end, "line", here)] {
                ip(&["-n", namespace, "addr", "add", &format!("{address}/30"), "dev", device]);
                ip(&["-n", namespace, "link", "set", device, "up"]);
            }
            ip(&["-n", end, "route", "add", "default", "via", there]);
        }
        ip(&["netns", "exec", router, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]);
        link
    }

    /// The command, to be run in the client's namespace.
    fn client(&self, command: &Command) -> Command {
        within(&self.namespaces[0], command)
    }

    /// Makes the router drop all packets without an answer.
    fn cut(&self) {
        for end in [CLIENT, SERVER] {
            ip(&["-n", &self.namespaces[1], "route", "add", "blackhole", end]);
        }
    }

    fn mend(&self) {
        for end in [CLIENT, SERVER] {
            ip(&["-n", &self.namespaces[1], "route", "del", "blackhole", end]);
        }
    }

    /// Takes the carrier away from the client's network device.
    fn unplug(&self) {
        ip(&["-n", &self.namespaces[1], "link", "set", "client", "down"]);
    }

    fn plug(&self) {
        ip(&["-n", &self.namespaces[1], "link", "set", "client", "up"]);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        for namespace in &self.namespaces {
            let _ = Command::new("ip").args(["netns", "del", namespace]).output();
        }
    }
}

/// The command in a network namespace, with only `PATH` and the variables that were set for the command.
pub(crate) fn within(namespace: &str, command: &Command) -> Command {
    let mut inside = Command::new("ip");
    inside.args(["netns", "exec", namespace]).arg(command.get_program()).args(command.get_args());
    inside.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    inside.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    inside
}

#[test]
#[ignore = "needs root, LXD and iproute2: run by CI"]
fn a_dead_line_is_noticed_by_its_silence_and_followed_again_when_it_lives() {
    type Change = fn(&Link);
    let _alone = alone();
    let link = Link::new();
    let server = Server::start_within(Kind::Lxd, Some(&link.namespaces[2]));
    server.listen(&format!("{SERVER}:8443"));
    server.client(&["config", "set", "core.trust_password", PASSWORD]);
    let user = Client::new();
    let add = ["remote", "add", "n1", SERVER, "--accept-certificate", "--password", PASSWORD];
    let added = link.client(&user.client(Kind::Lxd, &add)).output().unwrap();
    assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));

    let options = ["n1:", "-f", "json", "-a", "profile-*", "--gap-events"];
    let mut follower = Follower::subscribed(link.client(&user.lxmon(&options)));
    let about = |profile: &str| {
        let source = format!("\"/1.0/profiles/{profile}\"");
        move |line: &str| line.contains(&source)
    };
    server.client(&["profile", "create", "before"]);
    follower.wait_for(about("before"));
    let minute = Duration::from_secs(60);
    let faults: [(&str, [Change; 2], Duration); 2] =
        [("cut", [Link::cut, Link::mend], minute), ("unplugged", [Link::unplug, Link::plug], Duration::ZERO)];
    for (fault, [cut, mend], down) in faults {
        follower.notices.clear();
        cut(&link);
        let begun = Instant::now();
        server.client(&["profile", "create", &format!("while-{fault}")]);
        // The notice comes while the link is still dead, so only the silence can have caused it.
        follower.wait_for_notice("n1: connection lost (no sign of life for 30 s); reconnecting");
        let noticed = begun.elapsed();
        std::thread::sleep(down.saturating_sub(noticed));
        let dead = begun.elapsed();
        mend(&link);
        follower.wait_for_notice("(no sign of life for 30 s); reconnected after ");
        let back = begun.elapsed();
        server.client(&["profile", "create", &format!("after-{fault}")]);
        follower.wait_for(about(&format!("after-{fault}")));
        let tried: Vec<_> = follower.notices.iter().filter(|line| line.ends_with("; trying again")).collect();
        let gap = gaps(follower.seen.iter().map(String::as_str)).pop().unwrap();
        println!("{fault} for {dead:.1?}: noticed after {noticed:.1?}, back after {back:.1?}; {tried:#?}");
        assert!(length(&gap) >= dead, "{gap}");
        assert_eq!(gap["metadata"]["reason"], "no sign of life for 30 s");
    }
    follower.terminate();
    let seen: Vec<_> = follower.events();
    let seen: Vec<_> = seen
        .iter()
        .map(|event| event["metadata"]["source"].as_str().or(event["type"].as_str()).unwrap())
        .map(|text| text.trim_start_matches("/1.0/profiles/"))
        .collect();
    assert_eq!(seen, ["before", "gap", "gap", "after-cut", "gap", "gap", "after-unplugged"]);
}
