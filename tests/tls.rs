//! HTTPS remotes: which certificates are accepted, which errors are reported, and how lxmon reconnects. The servers are
//! real TLS servers with certificates that the tests generate.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use rcgen::{KeyPair, date_time_ymd};
use rustix::process::Signal;
use rustls::ServerConfig;
use tempfile::TempDir;

use crate::support::program::{Follower, finish, lxmon};
use crate::support::standin::{frame, numbered, opcode};
use crate::support::tls::{
    Authority, Client, TlsServer, answer, config, https, listen, over_tls, params, self_signed, send_one,
};

#[test]
fn the_pinned_certificate_is_taken_whatever_its_name_and_no_other() {
    let identity = self_signed(&params(&["some-server"]));
    let server = TlsServer::new(&identity);
    let client = Client::new(&https(server.port));
    client.pin(&identity).succeed();
    let request = server.requests.recv().unwrap();
    assert!(request.contains(&format!("\r\nHost: 127.0.0.1:{}\r\n", server.port)), "{request}");

    let told = client
        .pin(&self_signed(&params(&["some-server"])))
        .refuse("the server's certificate has changed: the accepted one was ");
    assert!(
        told.contains("now it is ")
            && told.contains("hint: if that is right, accept it: lxc remote remove n1 && lxc remote add n1 https://")
    );
    let fingerprints = told.split_whitespace().filter(|word| word.trim_end_matches(',').len() == 64).count();
    assert_eq!(fingerprints, 2, "{told}");
}

#[test]
fn a_server_with_the_pinned_certificate_but_not_its_key_is_an_impostor() {
    let identity = self_signed(&params(&["lxd"]));
    let other = KeyPair::generate().unwrap().serialize_pem();
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let server = TlsServer::with(config(&identity.certificate, &other, &[version]));
        let client = Client::new(&https(server.port));
        client.pin(&identity);
        let outcome = finish(client.command(&[]).env("LXD_INSECURE_TLS", "1"));
        assert_eq!(outcome.status, 1);
        assert!(outcome.stderr.contains("does not have its key: it is an impostor"), "{}", outcome.stderr);
        assert!(server.requests.try_recv().is_err(), "no request may be sent to it");
    }
}

#[test]
fn a_reset_takes_nothing_back_that_was_sent() {
    // This many events fit into the receiver's socket: data still on the sender's side at a reset is never sent.
    const EVENTS: u64 = 150;
    let identity = self_signed(&params(&["localhost"]));
    let config = Arc::new(config(&identity.certificate, &identity.key, &[&rustls::version::TLS13]));
    let port = listen("127.0.0.1:0", move |stream| {
        // Without Nagle's algorithm, written data is sent at once.
        stream.set_nodelay(true).unwrap();
        let mut stream = over_tls(&config, stream);
        send_one(&mut stream, &mpsc::channel().0).unwrap();
        // One write, because the receiver's socket has room for only a few small segments.
        let burst: Vec<_> =
            (1..EVENTS).flat_map(|number| frame(true, opcode::TEXT, numbered(number).as_bytes())).collect();
        stream.write_all(&burst).unwrap();
        stream.flush().unwrap();
        // With a linger time of zero, closing the socket resets the connection.
        rustix::net::sockopt::set_socket_linger(&stream.sock, Some(Duration::ZERO)).unwrap();
    });
    let outcome = finish(&mut Client::new(&https(port)).pin(&identity).counting("-n1000", &["--no-reconnect"]));
    assert_eq!(outcome.status, 1);
    assert!(outcome.stderr.contains("connection lost: the server closed the connection"), "{}", outcome.stderr);
    assert!(outcome.stdout.lines().eq((0..EVENTS).map(numbered)), "{}", outcome.stdout);
}

#[test]
fn dates_are_checked_pinned_or_not() {
    let authority = Authority::new();
    let mut old = params(&["127.0.0.1"]);
    old.not_before = date_time_ymd(2020, 1, 1);
    old.not_after = date_time_ymd(2021, 1, 1);
    let mut new = params(&["127.0.0.1"]);
    new.not_before = date_time_ymd(2990, 1, 1);
    new.not_after = date_time_ymd(2999, 1, 1);
    for (params, says) in [(old, "certificate has expired"), (new, "certificate is not valid yet")] {
        let pinned = self_signed(&params);
        let server = TlsServer::new(&pinned);
        Client::new(&https(server.port)).pin(&pinned).refuse(says);
        let server = TlsServer::new(&authority.sign(&params));
        Client::new(&https(server.port)).file("client.ca", &authority.certificate).refuse(says);
    }
}

#[test]
fn without_a_pin_authorities_decide_and_the_name_counts() {
    let authority = Authority::new();
    let server = TlsServer::new(&authority.sign(&params(&["127.0.0.1", "localhost"])));
    let directory = TempDir::new().unwrap();
    let roots = directory.path().join("roots.pem");
    fs::write(&roots, &authority.certificate).unwrap();
    let client = Client::new(&https(server.port));
    let system = |client: &Client| finish(client.command(&[]).env("SSL_CERT_FILE", &roots));
    assert_eq!(system(&client).status, 0, "with the system's root certificates");
    client.file("client.ca", &authority.certificate).succeed();
    // With `client.ca`, no other authority is trusted.
    client.file("client.ca", &Authority::new().certificate);
    let told = system(&client);
    assert!(told.status == 1 && told.stderr.contains("no authority that we trust"), "{}", told.stderr);

    let server = TlsServer::new(&authority.sign(&params(&["another.example"])));
    let told = system(&Client::new(&https(server.port)));
    assert!(told.stderr.contains("the server's certificate is not for \"127.0.0.1\"\nhint: "), "{}", told.stderr);

    let server = TlsServer::new(&self_signed(&params(&["127.0.0.1"])));
    let told = system(&Client::new(&https(server.port)));
    assert!(
        told.stderr.contains("no authority that we trust") && told.stderr.contains("lxc remote add n1"),
        "{}",
        told.stderr
    );
}

#[test]
fn ports_that_speak_something_else() {
    let plain = listen("127.0.0.1:0", |mut stream| {
        let _ = stream.read(&mut [0; 1024]);
        let _ = stream.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n");
    });
    Client::new(&https(plain))
        .pin(&self_signed(&params(&[])))
        .refuse("the server does not speak TLS on this port\nhint: ");

    let closing = listen("127.0.0.1:0", drop);
    Client::new(&https(closing))
        .pin(&self_signed(&params(&[])))
        .refuse("ended the connection during the TLS handshake\nhint: ");

    let identity = self_signed(&params(&["x"]));
    let old = TlsServer::with(config(&identity.certificate, &identity.key, &[&rustls::version::TLS12]));
    let client = Client::new(&https(old.port));
    client.pin(&identity).refuse("the server does not support TLS 1.3\nhint: LXD_INSECURE_TLS=1");
    for (variable, value, status) in
        [("LXD_INSECURE_TLS", "1", 0), ("LXD_INSECURE_TLS", "false", 1), ("INCUS_INSECURE_TLS", "1", 1)]
    {
        let outcome = finish(client.command(&[]).env(variable, value));
        assert_eq!(outcome.status, status, "{variable}={value}: {}", outcome.stderr);
    }

    let refusing = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let told = Client::new(&https(refusing)).refuse("connection refused\nhint: ");
    assert!(told.contains("Only the remote's own addresses are tried"), "{told}");
}

#[test]
fn several_remotes_are_merged_and_the_failure_of_one_stops_no_other() {
    let identity = self_signed(&params(&["lxd"]));
    let servers = [TlsServer::new(&identity), TlsServer::new(&identity)];
    let client = Client::with(
        &https(servers[0].port),
        &format!(
            "  n2:\n    addr: {}\n  again:\n    addr: {}\n  dead:\n    addr: https://127.0.0.1:1\n",
            https(servers[1].port),
            https(servers[0].port)
        ),
    );
    client
        .pin(&identity)
        .file("servercerts/n2.crt", &identity.certificate)
        .file("servercerts/again.crt", &identity.certificate);
    let follow = |names: &[&str], options: &[&str]| {
        let mut command = lxmon(["--lxd"]);
        finish(command.args(names).args(options).env("LXD_CONF", client.directory.path()))
    };
    let mut command = lxmon(["--lxd", "n1:", "n2:", "dead:", "again:", "-f", "json", "-v"]);
    let mut running = Follower::start(command.env("LXD_CONF", client.directory.path()));
    let mut remotes = [running.line(), running.line()].map(|line| line.split(',').next().unwrap().to_owned());
    remotes.sort_unstable();
    assert_eq!(remotes, [r#"{"remote":"n1""#, r#"{"remote":"n2""#]);
    running.wait_for_notice("lxmon: dead: 127.0.0.1:1: connection refused");
    running.signal(Signal::TERM);
    let outcome = running.end();
    // `again` names the same server as n1, which must be followed only once.
    assert!(outcome.stdout.is_empty(), "{}", outcome.stdout);
    let told = "lxmon: again: followed as n1, which has the same address and project\n";
    assert!(outcome.stderr.contains(told), "{}", outcome.stderr);
    for (format, part) in [("yaml", "\nremote: n2\n"), ("logfmt", " remote=n2 "), ("pretty", " n2  c0  ")] {
        let outcome = follow(&["n1:", "n2:"], &["-f", format, "-n2"]);
        assert!(outcome.stdout.contains(part), "{format}: {}", outcome.stdout);
    }
    let outcome = follow(&["dead:", "unix:/nonexistent"], &[]);
    assert_eq!(outcome.status, 1);
    assert!(outcome.stderr.contains("lxmon: none of the remotes can be followed"), "{}", outcome.stderr);
}

/// Listens on a port, and calls `serve` with the number of each connection, from 0, so that each one can meet a
/// different server. Returns the port.
fn listen_in_turn(serve: impl Fn(usize, TcpStream) + Send + Sync + 'static) -> u16 {
    let connections = AtomicUsize::new(0);
    listen("127.0.0.1:0", move |stream| serve(connections.fetch_add(1, Ordering::SeqCst), stream))
}

/// Sends an event, then keeps the connection open if `stays`, or else ends it.
fn serve(config: &Arc<ServerConfig>, stream: TcpStream, stays: bool) {
    let mut stream = over_tls(config, stream);
    let serve = if stays { answer } else { send_one };
    // Fails if the client has rejected the certificate and disconnected.
    let _ = serve(&mut stream, &mpsc::channel().0);
}

#[test]
fn a_certificate_that_changes_while_we_are_away_is_the_end() {
    let [before, after] = [(); 2].map(|()| self_signed(&params(&["lxd"])));
    let other = KeyPair::generate().unwrap().serialize_pem();
    for (certificate, key, says) in [
        (&after.certificate, &after.key, "the server's certificate has changed: the accepted one was "),
        (&before.certificate, &other, "does not have its key: it is an impostor"),
    ] {
        let configs = [(&before.certificate, &before.key), (certificate, key)]
            .map(|(certificate, key)| Arc::new(config(certificate, key, &[&rustls::version::TLS13])));
        let (coming, came) = mpsc::channel();
        let port = listen_in_turn(move |number, stream| {
            coming.send(number).unwrap();
            serve(&configs[number.min(1)], stream, false);
        });
        let client = Client::new(&https(port));
        client.pin(&before);
        let outcome = finish(&mut client.counting("-n2", &[]));
        assert_eq!((outcome.status, outcome.stdout.trim_end()), (1, &*numbered(0)));
        let told: Vec<_> = outcome.stderr.lines().collect();
        assert_eq!(told[0], "lxmon: n1: connection lost (the server closed the connection); reconnecting");
        let error = "lxmon: n1: reconnecting after: the server closed the connection: ";
        assert!(told[1].starts_with(error) && told[1].contains(says), "{told:?}");
        let accept =
            format!("hint: if that is right, accept it: lxc remote remove n1 && lxc remote add n1 {}", https(port));
        let hints: &[&str] = if says.contains("changed") { &[&accept] } else { &[] };
        assert_eq!(told[2..], *hints);
        // lxmon must not try again after this error.
        assert_eq!(came.try_iter().collect::<Vec<_>>(), [0, 1]);
    }
}

#[test]
fn an_https_server_that_stumbles_on_its_way_back_is_tried_again() {
    let identity = self_signed(&params(&["lxd"]));
    let config = Arc::new(config(&identity.certificate, &identity.key, &[&rustls::version::TLS13]));
    let port = listen_in_turn(move |number, mut stream| match number {
        0 => serve(&config, stream, false),
        1 => drop(stream),
        2 => {
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"HTTP/1.0 502 Bad Gateway\r\n\r\n");
        }
        _ => serve(&config, stream, true),
    });
    let client = Client::new(&https(port));
    client.pin(&identity);
    let outcome = finish(&mut client.counting("-n2", &["-v"]));
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    assert!(outcome.stdout.lines().eq([numbered(0), numbered(0)]), "{}", outcome.stdout);
    for told in [
        "n1: the server ended the connection during the TLS handshake; trying again\n",
        "n1: the server does not speak TLS on this port; trying again\n",
        "(the server closed the connection); reconnected after ",
    ] {
        assert!(outcome.stderr.contains(told), "{told}: {}", outcome.stderr);
    }
}

#[test]
fn a_server_that_ends_every_connection_soon_is_asked_less_and_less_often() {
    let identity = self_signed(&params(&["lxd"]));
    let config = Arc::new(config(&identity.certificate, &identity.key, &[&rustls::version::TLS13]));
    let (say, said) = mpsc::channel();
    let port = listen_in_turn(move |_, stream| {
        // Fails if the test has already ended.
        let _ = say.send(Instant::now());
        let mut stream = over_tls(&config, stream);
        let _ = send_one(&mut stream, &mpsc::channel().0);
        // Longer than the first reconnection delay, and far shorter than the longest.
        std::thread::sleep(Duration::from_millis(300));
    });
    let client = Client::new(&https(port));
    client.pin(&identity);
    let outcome = finish(&mut client.counting("-n4", &[]));
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    let came: Vec<_> = said.try_iter().collect();
    let waits: Vec<_> = came.windows(2).map(|pair| pair[1] - pair[0]).collect();
    // The delay has doubled twice, and jitter shortens it by up to one half.
    assert!(waits[2] >= Duration::from_millis(300 + 500), "{waits:?}");
}
