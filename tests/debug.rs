//! `--debug`: it says what a maintainer needs to understand a report, and no secret.

use std::io::Write as _;
use std::net::TcpStream;
use std::process::Command;

use tempfile::TempDir;

use crate::support::http::read_head;
use crate::support::oidc::OidcServer;
use crate::support::program::{Follower, Outcome, finish, finish_with_input, lxmon};
use crate::support::standin::{Connection, StandIn, numbered, opcode};
use crate::support::tls::{Client, Identity, TlsServer, https, listen, params, self_signed};

/// Follows until the servers have said what they are, and returns standard error.
fn follow(command: &mut Command) -> Vec<String> {
    let mut follower = Follower::start(command);
    follower.wait_for_notice("extensions");
    follower.terminate();
    std::mem::take(&mut follower.notices)
}

/// Asserts that lines of standard error have these texts, in this order. A line can have several of them.
fn assert_says(lines: &[String], wanted: &[&str]) {
    let mut rest = lines.iter();
    let mut line = "";
    for text in wanted {
        if line.contains(text) {
            continue;
        }
        let found = rest.find(|line| line.contains(text));
        line = found.unwrap_or_else(|| panic!("{text:?} is missing, or out of place: {lines:#?}"));
    }
}

#[test]
fn the_first_lines_are_the_program_and_the_circumstances() {
    let directory = TempDir::new().unwrap();
    std::fs::write(directory.path().join("config.yml"), "default-remote: here\n").unwrap();
    let mut command = lxmon(["--debug"]);
    command.env("LXD_CONF", directory.path()).env("LXD_DIR", directory.path()).env("TERM", "xterm");
    command.env("HTTPS_PROXY", "http://me:secret@proxy").env("LXD_AUTH_BEARER_TOKEN", "secret").env("OTHER", "secret");
    let Outcome { status, stderr, .. } = finish(&mut command);
    assert_eq!(status, 2, "{stderr}");
    let lines: Vec<_> = stderr.lines().map(str::to_owned).collect();
    let config = directory.path().join("config.yml").display().to_string();
    assert_says(
        &lines,
        &[
            concat!("lxmon ", env!("CARGO_PKG_VERSION")),
            std::env::consts::ARCH,
            "Linux ",
            "; user ",
            "started at ",
            "standard input: a device; standard output: a pipe; standard error: a pipe",
            "TERM: xterm; locale: C.UTF-8 (LANG), UTF-8",
            "variables that are set: HTTPS_PROXY, LXD_AUTH_BEARER_TOKEN, LXD_CONF, LXD_DIR, SSL_CERT_FILE, TZ",
            &format!("read {config} (21 bytes)"),
            &format!("no remote is named, so it is here (it is the default in {config})"),
            "there is no LXD remote \"here\"",
        ],
    );
    // Each line has the time of day.
    let (mark, rest) = lines[0].split_at("lxmon: debug: ".len());
    assert_eq!((mark, rest.find(" lxmon ")), ("lxmon: debug: ", Some("00:00:00.000".len())), "{}", lines[0]);
    assert!(!stderr.contains("secret"), "{stderr}");
    // Without the option, nothing of this is printed.
    let verbose = finish(lxmon(["-v"]).env("LXD_CONF", directory.path()));
    assert!(!verbose.stderr.contains("debug: "), "{}", verbose.stderr);
}

#[test]
fn a_local_server_is_followed_and_lost_and_followed_again() {
    let server = StandIn::new(|connection: &mut Connection| {
        connection.accept();
        connection.event(&numbered(0));
        connection.frame(true, opcode::PING, b"alive");
        // The answer shows that the events have been read.
        let answer = connection.read_frame();
        if connection.number > 0 {
            connection.wait();
        }
        drop(answer);
    });
    let mut command = lxmon(["--debug", "-f", "json", "-t", "lifecycle", "--project", "web"]);
    let mut follower = Follower::start(command.env("LXD_SOCKET", server.socket()));
    follower.wait_for_notice("extensions");
    follower.wait_for_notice("reconnected after");
    follower.terminate();
    let socket = server.socket().display().to_string();
    let of_the_server = [
        "local: to it we are trusted",
        "local: it is lxd 6.9 named n1, in no cluster; API ? with 0 extensions",
        "local: its system is ",
    ];
    assert_says(&follower.notices, &of_the_server);
    assert_says(
        &follower.notices,
        &[
            "there is no /nonexistent/.config/lxc/config.yml",
            "no remote is named, so it is local (nothing names another one)",
            &format!("{socket} answers"),
            &format!("local: LXD (LXD_SOCKET is set) at {socket}"),
            &format!("local: connected to {socket}"),
            "request to localhost: GET /1.0/events?type=lifecycle&project=web",
            "answer of localhost: 101 Switching Protocols",
            "local: subscribed after ",
            "local: ping of the server; 1 messages so far on this connection",
            "local: the connection lasted ",
            "; the server closed the connection",
            "local: the next attempt to connect is in ",
            &format!("local: connected to {socket}"),
            "answer of localhost: 101 Switching Protocols",
            "local: ping of the server; 1 messages so far on this connection",
        ],
    );
}

/// The beginning of a certificate's fingerprint.
fn fingerprint(identity: &Identity) -> String {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;
    let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap();
    lxmon::remote::login::fingerprint(&certificate)
}

#[test]
fn a_remote_server_is_verified_and_logged_in_to_and_no_secret_is_shown() {
    let identity = self_signed(&params(&["lxd.example"]));
    let server = TlsServer::new(&identity);
    let ours = self_signed(&params(&["me"]));
    let client = Client::new(&https(server.port));
    client.pin(&identity).file("client.crt", &ours.certificate).file("client.key", &ours.key);
    let directory = client.directory.path().display().to_string();
    let command = || {
        let mut command = lxmon(["--debug", "--lxd", "n1:", "-f", "json"]);
        command.env("LXD_CONF", client.directory.path());
        command
    };
    let lines = follow(&mut command());
    let port = server.port;
    let (theirs, own) = (fingerprint(&identity), fingerprint(&ours));
    assert_says(
        &lines,
        &[
            &format!("read {directory}/config.yml"),
            &format!("n1: LXD (asked for) at https://127.0.0.1:{port}"),
            &format!("read {directory}/client.crt"),
            &format!("read {directory}/client.key"),
            &format!("read {directory}/servercerts/n1.crt"),
            &format!("connected to 127.0.0.1:{port} at 127.0.0.1:{port}, from 127.0.0.1:"),
            "n1: TLSv1_3, TLS13_AES_",
            "ALPN http/1.1",
            &format!("n1: its certificate is {theirs} of \"CN=rcgen self signed cert\", valid from "),
            &format!("n1: verified by its pinned certificate {} ({directory}/servercerts/n1.crt)", &theirs[..12]),
            &format!("n1: our certificate is {own} of "),
            &format!("its key is in {directory}/client.key"),
            &format!("request to 127.0.0.1:{port}: GET /1.0/events"),
            &format!("answer of 127.0.0.1:{port}: 101 Switching Protocols"),
            "n1: it is lxd 6.9 named n1",
        ],
    );
    let whole = lines.join("\n");
    for line in ours.key.lines().filter(|line| !line.is_empty()) {
        assert!(!whole.contains(line), "{line}: {whole}");
    }

    // A token, and without a pin.
    let lines = follow(command().env("LXD_AUTH_BEARER_TOKEN", "bearer-secret"));
    assert_says(&lines, &["variables that are set: LXD_AUTH_BEARER_TOKEN", "; token from $LXD_AUTH_BEARER_TOKEN"]);
    assert!(!lines.concat().contains("secret"), "{lines:#?}");
    std::fs::remove_file(client.directory.path().join("servercerts/n1.crt")).unwrap();
    client.file("roots.pem", &identity.certificate);
    let refused = finish(command().env("SSL_CERT_FILE", client.directory.path().join("roots.pem")));
    let lines: Vec<_> = refused.stderr.lines().map(str::to_owned).collect();
    let none = format!("there is no {directory}/servercerts/n1.crt");
    assert_says(&lines, &[&none, "1 authorities of the system are trusted, 0 cannot be read", "certificate"]);
}

#[test]
fn a_proxy_is_named_without_its_password() {
    let identity = self_signed(&params(&["lxd.example"]));
    let server = TlsServer::new(&identity);
    let to = server.port;
    let proxy = listen("127.0.0.1:0", move |stream| {
        read_head(&stream);
        let mut server = TcpStream::connect(("127.0.0.1", to)).unwrap();
        (&stream).write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").unwrap();
        let (mut back, mut there) = (server.try_clone().unwrap(), stream.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut back, &mut there));
        let _ = std::io::copy(&mut &stream, &mut server);
    });
    let client = Client::new("https://name:hidden1@lxd.example:8443");
    client.pin(&identity);
    let mut command = lxmon(["--debug", "--lxd", "n1:", "-f", "json"]);
    command.env("LXD_CONF", client.directory.path());
    let lines = follow(command.env("HTTPS_PROXY", format!("http://me:hidden2@127.0.0.1:{proxy}")));
    assert_says(
        &lines,
        &[
            "variables that are set: HTTPS_PROXY, LXD_CONF",
            "n1: user and password in its address are not used",
            "n1: LXD (asked for) at https://lxd.example:8443",
            &format!("connected to 127.0.0.1:{proxy} at "),
            &format!("asking the HTTP proxy 127.0.0.1:{proxy} for a connection to lxd.example:8443, with a login"),
            "request to lxd.example:8443: CONNECT lxd.example:8443",
            "answer of lxd.example:8443: 200 Connection established",
            "n1: TLSv1_3",
            "request to lxd.example:8443: GET /1.0/events",
        ],
    );
    let whole = lines.concat();
    // The last one is the login as it is sent: me:hidden2.
    for secret in ["hidden", "bWU6aGlkZGVuMg"] {
        assert!(!whole.contains(secret), "{secret}: {lines:#?}");
    }
}

#[test]
fn a_saved_login_is_named_without_its_token_and_cookie() {
    let identity = self_signed(&params(&["lxd"]));
    let server = OidcServer::new(&identity);
    server.logins().tokens.insert("token-secret".into());
    let client = Client::with(&https(server.port), "    auth_type: oidc\n");
    client.pin(&identity);
    let saved = r#"{"access_token":"token-secret","IDTokenClaims":{"email":"me@example.org"}}"#;
    client.file("oidctokens/n1.json", saved);
    let mut command = lxmon(["--debug", "--lxd", "n1:", "-f", "json"]);
    let lines = follow(command.env("LXD_CONF", client.directory.path()));
    let file = client.directory.path().join("oidctokens/n1.json").display().to_string();
    assert_says(
        &lines,
        &[
            &format!("read {file}"),
            &format!("; login from {file}, as me@example.org"),
            "the server sets a session cookie",
        ],
    );
    assert!(!lines.concat().contains("secret"), "{lines:#?}");
}

#[test]
fn the_form_of_a_recording_is_named() {
    for (recording, form) in [(numbered(0), "JSON"), ("type: lifecycle\nmetadata: {}\n".into(), "YAML")] {
        let outcome = finish_with_input(&mut lxmon(["--debug", "--replay", "-"]), recording.as_bytes());
        assert!(outcome.stderr.contains(&format!("standard input: it is {form}\n")), "{}", outcome.stderr);
    }
}
