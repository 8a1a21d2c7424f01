//! Remotes with several addresses.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use rustls::ServerConfig;

use crate::support::each_at_once;
use crate::support::http::{read_head, send_with_event, switching_protocols};
use crate::support::program::{Follower, finish, lxmon};
use crate::support::standin::numbered;
use crate::support::tls::{Client, Identity, config, over_tls, params, self_signed};

/// How a server of a cluster answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// It sends one event on each connection.
    Works,
    /// It accepts connections and never sends a byte.
    Hangs,
    /// It completes the handshake, reads the request and never answers.
    IsSilent,
    /// It completes the handshake and refuses the request.
    Refuses,
}

/// A server of a cluster. Its one event has its number.
struct Member {
    address: SocketAddr,
    listener: TcpListener,
    mode: Arc<Mutex<Mode>>,
    streams: Arc<Mutex<Vec<TcpStream>>>,
}

impl Member {
    fn new(number: u64, identity: &Identity, at: Option<SocketAddr>) -> Self {
        let at = at.unwrap_or_else(|| "127.0.0.1:0".parse().unwrap());
        let listener = TcpListener::bind(at).unwrap();
        let address = listener.local_addr().unwrap();
        let mode = Arc::new(Mutex::new(Mode::Works));
        let streams = Arc::<Mutex<Vec<TcpStream>>>::default();
        let tls = Arc::new(config(&identity.certificate, &identity.key, &[&rustls::version::TLS13]));
        let (incoming, modes, all) = (listener.try_clone().unwrap(), Arc::clone(&mode), Arc::clone(&streams));
        std::thread::spawn(move || {
            for stream in incoming.incoming().map_while(Result::ok) {
                all.lock().unwrap().push(stream.try_clone().unwrap());
                let (mode, tls) = (*modes.lock().unwrap(), Arc::clone(&tls));
                std::thread::spawn(move || _ = Self::serve(number, mode, &tls, stream));
            }
        });
        Self { address, listener, mode, streams }
    }

    fn serve(number: u64, mode: Mode, tls: &Arc<ServerConfig>, stream: TcpStream) -> std::io::Result<()> {
        if mode == Mode::Hangs {
            return Ok(());
        }
        let mut stream = over_tls(tls, stream);
        let head = read_head(&mut stream);
        if mode == Mode::IsSilent {
            return stream.read(&mut [0]).map(drop);
        }
        if mode == Mode::Refuses {
            return stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
        }
        send_with_event(&mut stream, &switching_protocols(&head, ""), &numbered(number))?;
        stream.read(&mut [0]).map(drop)
    }

    /// Ends all connections.
    fn cut(&self) {
        for stream in self.streams.lock().unwrap().drain(..) {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }

    /// Changes how it answers later connections, and ends the present ones.
    fn become_one_that(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
        self.cut();
    }

    fn url(&self) -> String {
        format!("https://{}", self.address)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both);
        self.cut();
    }
}

/// An Incus client whose remote `n1` has these addresses.
fn cluster(addresses: &[String]) -> Client {
    Client::with(&addresses.join(","), "")
}

fn follow(client: &Client, options: &[&str]) -> Command {
    let mut command = lxmon(["--incus", "n1:", "-f", "json", "-v"]);
    command.args(options).env("INCUS_CONF", client.directory.path());
    command
}

#[test]
fn when_one_of_several_addresses_dies_the_next_is_followed() {
    let identity = self_signed(&params(&["incus"]));
    each_at_once([None, Some(Mode::Hangs), Some(Mode::IsSilent), Some(Mode::Refuses)], |mode| {
        let (first, second) = (Member::new(1, &identity, None), Member::new(2, &identity, None));
        let client = cluster(&[first.url(), second.url()]);
        client.pin(&identity);
        let mut running = Follower::start(&mut follow(&client, &["--sort-window", "0"]));
        assert_eq!(running.line().trim_end(), numbered(1));
        let (begun, address) = (Instant::now(), first.address);
        let first = match mode {
            None => {
                drop(first);
                None
            }
            Some(mode) => {
                first.become_one_that(mode);
                Some(first)
            }
        };
        assert_eq!(running.line().trim_end(), numbered(2), "{mode:?}");
        assert!(begun.elapsed() < Duration::from_secs(30), "{mode:?}: {:?}", begun.elapsed());
        // The first is back, and the one that worked last is tried first.
        let first = match first {
            None => Member::new(1, &identity, Some(address)),
            Some(first) => {
                first.become_one_that(Mode::Works);
                first
            }
        };
        second.cut();
        assert_eq!(running.line().trim_end(), numbered(2), "{mode:?}");
        drop(second);
        assert_eq!(running.line().trim_end(), numbered(1), "{mode:?}");
        running.signal(Signal::TERM);
        let stderr = running.end().stderr;
        assert!(stderr.contains(&format!("at {} or https://", first.url())), "{stderr}");
        assert!(stderr.contains(&format!("n1: connected to {}\n", first.url())), "{stderr}");
        assert_eq!(stderr.matches("n1: connection lost (").count(), 3, "{stderr}");
    });
}

#[test]
fn every_address_that_fails_is_named() {
    let (identity, other) = (self_signed(&params(&["incus"])), self_signed(&params(&["incus"])));
    let (good, impostor) = (Member::new(1, &identity, None), Member::new(2, &other, None));
    let (refusing, dead) = (Member::new(3, &identity, None), "https://127.0.0.1:1/below".to_owned());
    refusing.become_one_that(Mode::Refuses);
    let outcome = |addresses: &[String]| {
        let client = cluster(addresses);
        client.pin(&identity);
        finish(&mut follow(&client, &["-n1"]))
    };
    // Whatever is wrong with the others, also at the first connection.
    let found = outcome(&[dead.clone(), impostor.url(), refusing.url(), good.url()]);
    assert_eq!((found.status, found.stdout.trim_end()), (0, &*numbered(1)), "{}", found.stderr);
    let none = outcome(&[refusing.url(), dead, impostor.url()]);
    assert_eq!(none.status, 1);
    let line = none.stderr.lines().find(|line| line.contains("; 127.0.0.1:1: ")).unwrap_or_default();
    let (refused, rest) = line.split_once("; ").unwrap();
    let (connecting, changed) = rest.split_once("; ").unwrap();
    assert!(refused.starts_with(&format!("lxmon: n1: {}: the server refuses (503)", refusing.url())), "{line}");
    assert_eq!(connecting, "127.0.0.1:1: connection refused", "{line}");
    assert!(changed.starts_with(&format!("{}: the server's certificate has changed", impostor.url())), "{line}");
    assert!(none.stderr.contains("\nhint: "), "{}", none.stderr);
}

#[test]
fn an_address_that_does_not_answer_is_waited_for_while_the_next_is_tried_as_well() {
    let identity = self_signed(&params(&["incus"]));
    let (silent, refusing) = (Member::new(1, &identity, None), Member::new(2, &identity, None));
    silent.become_one_that(Mode::IsSilent);
    refusing.become_one_that(Mode::Refuses);
    let client = cluster(&[silent.url(), refusing.url()]);
    client.pin(&identity);
    let mut running = Follower::start(&mut follow(&client, &["-n1"]));
    running.wait_for_notice(&format!("n1: {}: the server refuses (503)", refusing.url()));
    // The connection to the first is still there; its end is the last of the two failures.
    silent.cut();
    let outcome = running.end();
    assert_eq!(outcome.status, 1, "{}", outcome.stderr);
    let line = outcome.stderr.lines().find(|line| line.contains("; https://")).unwrap_or_default();
    assert!(line.starts_with(&format!("lxmon: n1: {}: ", silent.url())), "{}", outcome.stderr);
    assert!(line.contains(&format!("; {}: the server refuses (503)", refusing.url())), "{}", outcome.stderr);
}

#[test]
fn a_proxy_is_chosen_for_each_address() {
    let identity = self_signed(&params(&["incus"]));
    let good = Member::new(1, &identity, None);
    // The first address is reached through the proxy only, which nobody runs; the second without it.
    let client = cluster(&["https://incus.example:8443".to_owned(), good.url()]);
    client.pin(&identity);
    let outcome = finish(follow(&client, &["-n1"]).env("HTTPS_PROXY", "http://127.0.0.1:1"));
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    assert!(
        outcome.stderr.contains("n1: https://incus.example:8443: proxy 127.0.0.1:1: 127.0.0.1:1: connection refused\n"),
        "{}",
        outcome.stderr
    );
    // A proxy that is spoken to over TLS is not prepared for the first address only.
    let client = cluster(&["https://127.0.0.1:1".to_owned(), "https://incus.example:8443".to_owned()]);
    client.pin(&identity);
    let outcome = finish(follow(&client, &["-n1"]).env("HTTPS_PROXY", good.url()).env("NO_PROXY", "127.0.0.1"));
    let wanted = format!("https://incus.example:8443: proxy {}: ", good.url().trim_start_matches("https://"));
    assert!(outcome.stderr.contains(&format!("{wanted}no authority that the system trusts")), "{}", outcome.stderr);
}
