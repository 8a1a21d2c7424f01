//! Files and environment variables of a client: certificates, keys, tokens, addresses.

use std::fs;
use std::net::ToSocketAddrs as _;
use std::path::Path;
use std::sync::{Arc, mpsc};

use rustix::fs::{CWD, FileType, mknodat};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use rustix::process::Signal;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::ffi::CString;
use std::os::fd::AsRawFd as _;

use crate::support::program::{Follower, finish, lxmon};
use crate::support::standin::{Connection, StandIn, numbered};
use crate::support::tls::{
    Authority, Client, TlsServer, config, https, listen, over_tls, params, self_signed, send_one,
};

#[test]
fn client_certificates_of_every_kind_log_in() {
    let identity = self_signed(&params(&["lxd"]));
    // Generated with openssl: ecparam -genkey, genpkey, genrsa -traditional, genrsa; each certificate is valid for a
    // century.
    for kind in ["ec-sec1", "ec-pkcs8", "rsa-pkcs1", "rsa-pkcs8"] {
        let keys = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/keys");
        let read = |ending: &str| fs::read_to_string(keys.join(format!("{kind}.{ending}"))).unwrap();
        // The server accepts only this certificate.
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(read("crt").as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(ring::default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().unwrap();
        let chain = vec![CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap()];
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap())
            .unwrap();
        let server = TlsServer::with(config);
        let client = Client::new(&https(server.port));
        client.pin(&identity).file("client.crt", &read("crt")).file("client.key", &read("key")).succeed();
    }
}

#[test]
fn client_files_that_do_not_fit_are_told() {
    let identity = self_signed(&params(&["lxd"]));
    let server = TlsServer::new(&identity);
    let [mine, other] = [self_signed(&params(&["me"])), self_signed(&params(&["me"]))];
    let client = Client::new(&https(server.port));
    client.pin(&identity).file("client.crt", &mine.certificate);
    client.refuse("client.key: missing, but there is a client.crt\nhint: ");
    client.file("client.key", &other.key).refuse("client.key: the key is not that of client.crt beside it\nhint: ");
    client.file("client.key", "garbage").refuse("client.key: there is no private key in it\nhint: ");
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n";
    client.file("client.key", encrypted).refuse("client.key: the key is encrypted, and lxmon does not ask");
    client
        .file("client.key", &mine.key)
        .file("client.crt", "garbage")
        .refuse("client.crt: there is no certificate in it\nhint: ");
    client.file("client.crt", &mine.certificate).succeed();
    client
        .file("servercerts/n1.crt", "-----BEGIN CERTIFICATE-----\n!!\n")
        .refuse("n1.crt: there is no certificate in it but a damaged one\nhint: ");
    client.pin(&identity).file("client.ca", "x").succeed();
    fs::remove_file(client.directory.path().join("servercerts/n1.crt")).unwrap();
    client.refuse("client.ca: there is no certificate in it\nhint: ");
}

#[test]
fn keys_that_cannot_be_used_are_named() {
    let identity = self_signed(&params(&["lxd"]));
    let server = TlsServer::new(&identity);
    let client = Client::new(&https(server.port));
    client.pin(&identity).file("client.crt", &self_signed(&params(&["me"])).certificate);
    let keys = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/keys/unusable");
    let named = [
        ("ec-secp521r1", "an EC P-521 key, which cannot be used\nhint: usable are "),
        ("ec-secp521r1-pkcs8", "an EC P-521 key, which cannot be used\nhint: usable are "),
        ("ec-secp256k1", "an EC secp256k1 key, which cannot be used\nhint: "),
        ("ec-secp224r1-pkcs8", "an EC P-224 key, which cannot be used\nhint: "),
        ("ec-brainpoolP256r1", "an EC Brainpool key, which cannot be used\nhint: "),
        ("ec-explicit", "an EC key whose curve is spelled out, not named, which cannot be used\nhint: "),
        ("ed448", "an Ed448 key, which cannot be used\nhint: "),
        ("x25519", "an X25519 key, which cannot be used\nhint: "),
        ("rsa-pss", "an RSA-PSS key, which cannot be used\nhint: "),
        ("rsa1024", "an RSA key of 1024 bits, which cannot be used\nhint: usable are "),
        ("rsa1024-pkcs8", "an RSA key of 1024 bits, which cannot be used\nhint: "),
        ("dsa", "a DSA key, which cannot be used\nhint: "),
        ("dsa-pkcs8", "a DSA key, which cannot be used\nhint: "),
        ("openssh", "an OpenSSH key, which cannot be used\nhint: "),
        ("encrypted-legacy", "the key is encrypted, and lxmon does not ask for pass phrases\nhint: openssl pkey -in "),
        ("encrypted-pkcs8", "the key is encrypted, and lxmon does not ask for pass phrases\nhint: openssl pkey -in "),
        ("public", "there is no private key in it but a public key\nhint: "),
        ("der", "there is no private key in it: it is in DER format, and PEM is required\nhint: "),
    ];
    for (name, says) in named {
        let key = fs::read(keys.join(format!("{name}.key"))).unwrap();
        fs::write(client.directory.path().join("client.key"), key).unwrap();
        client.refuse(&format!("client.key: {says}"));
    }
    assert_eq!(fs::read_dir(&keys).unwrap().count(), named.len());
    client.file("client.key", "").refuse("client.key: there is no private key in it: it is empty\nhint: ");
    client
        .file("client.key", &identity.certificate)
        .refuse("client.key: there is no private key in it but a certificate\nhint: ");
    client
        .file("client.key", "-----BEGIN PRIVATE KEY-----\n!!\n-----END PRIVATE KEY-----\n")
        .refuse("client.key: the PEM block of its private key is damaged\nhint: ");
    client
        .file("client.crt", &identity.key)
        .refuse("client.crt: there is no certificate in it but a private key\nhint: ");
}

#[test]
fn files_that_are_no_files_are_told_and_hang_nothing() {
    let identity = self_signed(&params(&["lxd"]));
    let server = TlsServer::new(&identity);
    let client = Client::with(&https(server.port), "    auth_type: oidc\n");
    let me = self_signed(&params(&["me"]));
    client.pin(&identity).file("client.crt", &me.certificate).file("client.key", &me.key);
    client.file("oidctokens/n1.json", r#"{"access_token":"x"}"#).succeed();
    let fifo = |name: &str| {
        let path = client.directory.path().join(name);
        fs::remove_file(&path).unwrap();
        mknodat(CWD, &path, FileType::Fifo, 0o600.into(), 0).unwrap();
        path
    };
    let says = |name: &str| format!("{name}: a FIFO, where a regular file is expected\nhint: ");
    let path = fifo("oidctokens/n1.json");
    client.refuse(&says("n1.json"));
    // A file as large as a disk image is not read to its end.
    fs::remove_file(&path).unwrap();
    fs::File::create(&path).unwrap().set_len(100 << 30).unwrap();
    client.refuse("n1.json: longer than 1 MiB");
    let config = client.directory.path().join("config.yml");
    fs::write(&config, fs::read_to_string(&config).unwrap().replace("auth_type: oidc", "")).unwrap();
    fifo("client.key");
    client.refuse(&says("client.key"));
    let path = fifo("client.crt");
    client.refuse(&says("client.crt"));
    fs::remove_file(path).unwrap();
    let path = fifo("servercerts/n1.crt");
    client.refuse(&says("n1.crt"));
    fs::remove_file(path).unwrap();
    client.file("client.ca", "");
    fifo("client.ca");
    client.refuse(&says("client.ca"));
    fifo("config.yml");
    let outcome = client.follow();
    assert!(outcome.status == 1 && outcome.stderr.contains(&says("config.yml")), "{}", outcome.stderr);
}

/// A FUSE mount whose server never answers; it ends when this is dropped.
struct HungMount {
    at: std::path::PathBuf,
    server: Option<fs::File>,
}

impl HungMount {
    /// Mounts it; `None` if that fails, because it takes root and FUSE.
    fn at(path: &Path) -> Option<Self> {
        let server = fs::File::options().read(true).write(true).open("/dev/fuse").ok()?;
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", server.as_raw_fd());
        mount("hung", path, "fuse", MountFlags::empty(), &*CString::new(options).unwrap()).ok()?;
        Some(Self { at: path.to_owned(), server: Some(server) })
    }
}

impl Drop for HungMount {
    fn drop(&mut self) {
        // Processes that wait for an answer get an error.
        drop(self.server.take());
        let _ = unmount(&self.at, UnmountFlags::DETACH);
    }
}

#[test]
fn a_hung_mount_costs_its_own_remote_only() {
    let identity = self_signed(&params(&["lxd"]));
    let tls = Arc::new(config(&identity.certificate, &identity.key, &[&rustls::version::TLS13]));
    let (hang_up, end) = mpsc::channel::<()>();
    let end = std::sync::Mutex::new(end);
    let port = listen("127.0.0.1:0", move |stream| {
        let _ = send_one(&mut over_tls(&tls, stream), &mpsc::channel().0);
        let _ = end.lock().unwrap().recv();
    });
    let (go, wait) = mpsc::channel::<u64>();
    let wait = std::sync::Mutex::new(wait);
    let local = StandIn::new(move |connection: &mut Connection| {
        connection.accept();
        while let Ok(number) = wait.lock().unwrap().recv() {
            connection.event(&numbered(number));
        }
    });
    let client = Client::with(&https(port), &format!("  u:\n    addr: unix://{}\n", local.socket().display()));
    client.pin(&identity);
    let certificates = client.directory.path().join("servercerts");
    let mut command = lxmon(["--lxd", "n1:", "u:", "-f", "json", "-v", "--sort-window", "0"]);
    let mut running = Follower::start(command.env("LXD_CONF", client.directory.path()));
    assert!(running.line().contains(r#"{"remote":"n1""#));
    let Some(mount) = HungMount::at(&certificates) else {
        eprintln!("skipped: this takes root and FUSE");
        return;
    };
    hang_up.send(()).unwrap();
    running.wait_for_notice("n1: connection lost");
    go.send(1).unwrap();
    assert!(running.line().contains("/c1\""));
    running.wait_for_notice(&format!(
        "n1: the client's files in {}: no answer within 5 s; trying again",
        client.directory.path().display()
    ));
    go.send(2).unwrap();
    assert!(running.line().contains("/c2\""));
    running.signal(Signal::TERM);
    assert_eq!(running.end().status, 128 + 15);

    // The same when the mount already hangs at the start.
    let mut command = lxmon(["--lxd", "n1:"]);
    let outcome = finish(command.env("LXD_CONF", client.directory.path()));
    assert_eq!(outcome.status, 1);
    assert!(
        outcome.stderr.contains("no answer within 5 s\nhint: is that directory on a network"),
        "{}",
        outcome.stderr
    );
    drop(mount);
}

#[test]
fn tokens_are_sent_and_never_shown() {
    let identity = self_signed(&params(&["lxd"]));
    let server = TlsServer::new(&identity);
    let client = Client::with(&https(server.port), "    auth_type: oidc\n");
    client.pin(&identity).refuse("n1.json: there is no saved login\nhint: log in again: lxc list n1:");
    client.file("oidctokens/n1.json", "{").refuse("n1.json: EOF");
    client.file("oidctokens/n1.json", "{}").refuse("there is no access token in it");
    let quoting = r#"{"access_token":"x","IDTokenClaims":"oidc-secret"}"#;
    client
        .file("oidctokens/n1.json", "{\"access_token\":\"a\\nb\"}")
        .refuse("n1.json: its access token contains a line end");
    let refused =
        client.file("oidctokens/n1.json", quoting).refuse("n1.json: not what a client saves: line 1, column ");
    assert!(!refused.contains("oidc-secret"), "{refused}");
    client.file("oidctokens/n1.json", r#"{"access_token":"oidc-secret","token_type":"Bearer","IDTokenClaims":{"email":"me@example.org"},"IDToken":"x"}"#);
    let outcome = finish(&mut client.command(&["-v", "--debug"]));
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    assert!(server.requests.recv().unwrap().contains("\r\nAuthorization: Bearer oidc-secret\r\n"));
    assert!(
        outcome.stderr.contains("as me@example.org") && !outcome.stderr.contains("oidc-secret"),
        "{}",
        outcome.stderr
    );

    let client = Client::new(&https(server.port));
    client.pin(&identity);
    let outcome = finish(client.command(&["-v", "--debug"]).env("LXD_AUTH_BEARER_TOKEN", "bearer-secret"));
    assert!(server.requests.recv().unwrap().contains("\r\nAuthorization: Bearer bearer-secret\r\n"));
    assert!(outcome.stderr.contains("token from $LXD_AUTH_BEARER_TOKEN") && !outcome.stderr.contains("bearer-secret"));

    // Line ends that `$(cat FILE)` in some shells, or an EnvironmentFile, leaves in the value.
    for ending in ["\n", "\r\n", "\r\n\n"] {
        let token = format!("bearer-secret{ending}");
        assert_eq!(finish(client.command(&[]).env("LXD_AUTH_BEARER_TOKEN", token)).status, 0);
        let request = server.requests.recv().unwrap();
        assert!(request.contains("\r\nAuthorization: Bearer bearer-secret\r\n"), "{request}");
    }
    for (token, what) in [
        ("secret\nX-Injected: yes\n", "a line end"),
        ("secret\rX-Injected: yes", "a line end"),
        ("\nsecret", "a line end"),
        ("\n", "nothing but line ends"),
        ("sec\tret", "a control character"),
        ("sec\x7fret", "a control character"),
        ("sec\u{85}ret", "a control character"),
        ("sec ret", "a space"),
        ("secrét", "a character that is not ASCII"),
    ] {
        let outcome = finish(client.command(&["--debug"]).env("LXD_AUTH_BEARER_TOKEN", token));
        let says = format!("lxmon: n1: $LXD_AUTH_BEARER_TOKEN: it is not a token: it contains {what}\nhint: ");
        assert!(outcome.status == 1 && outcome.stderr.contains(&says), "{token:?}: {}", outcome.stderr);
        assert!(!outcome.stderr.contains("sec"), "{}", outcome.stderr);
        assert!(server.requests.try_recv().is_err(), "{token:?}");
    }
}

#[test]
fn addresses_of_every_form() {
    let authority = Authority::new();
    let identity = authority.sign(&params(&["::1", "localhost"]));
    let config = || config(&identity.certificate, &identity.key, &[&rustls::version::TLS13]);
    let server = TlsServer::at("[::1]:0", config());
    let client = Client::new(&format!("https://[::1]:{}/behind/a/proxy/", server.port));
    client.file("client.ca", &authority.certificate).succeed();
    let request = server.requests.recv().unwrap();
    assert!(request.starts_with("GET /behind/a/proxy/1.0/events HTTP/1.1\r\n"), "{request}");
    assert!(request.contains(&format!("\r\nHost: [::1]:{}\r\n", server.port)), "{request}");
    // localhost has two addresses, and the server listens on only one of them.
    if ("localhost", 0).to_socket_addrs().is_ok() {
        let server = TlsServer::with(config());
        Client::new(&format!("https://localhost:{}", server.port)).file("client.ca", &authority.certificate).succeed();
    } else {
        eprintln!("skipped: this system does not know localhost");
    }
    let outcome = Client::new("https://no-such-host.invalid:8443").follow();
    assert!(outcome.stderr.contains("cannot find the address of no-such-host.invalid"), "{}", outcome.stderr);
    let outcome = Client::new("https://:8443").follow();
    assert_eq!(outcome.status, 2, "{}", outcome.stderr);
}

#[test]
fn client_ca_counts_for_certificates_only() {
    // The row "client.ca" of the clients' settings: it is not read for a token or with OIDC (LXD lxc/config/remote.go).
    let [private, public] = [Authority::new(), Authority::new()];
    let server = TlsServer::new(&public.sign(&params(&["127.0.0.1"])));
    let roots = tempfile::NamedTempFile::new().unwrap();
    fs::write(roots.path(), &public.certificate).unwrap();
    let follow = |client: &Client, token: &str| {
        client.file("client.ca", &private.certificate).file("oidctokens/n1.json", r#"{"access_token":"x"}"#);
        let mut command = client.command(&[]);
        finish(command.env("SSL_CERT_FILE", roots.path()).env("LXD_AUTH_BEARER_TOKEN", token))
    };
    let tls = Client::new(&https(server.port));
    let me = self_signed(&params(&["me"]));
    tls.file("client.crt", &me.certificate).file("client.key", &me.key);
    let outcome = follow(&tls, "");
    assert!(outcome.stderr.contains("no authority that we trust has signed"), "{}", outcome.stderr);
    assert_eq!(follow(&tls, "x").status, 0);
    assert_eq!(follow(&Client::with(&https(server.port), "    auth_type: oidc\n"), "").status, 0);
}

#[test]
fn logins_come_in_the_clients_order() {
    // The row "login order": OIDC if the remote says so, else the token of the environment (LXD), else the certificate.
    let identity = self_signed(&params(&["lxd"]));
    let server = TlsServer::new(&identity);
    let me = self_signed(&params(&["me"]));
    for (auth_type, flavour, token, login) in [
        ("oidc", "lxd", "bearer-secret", "; login from "),
        ("oidc", "incus", "bearer-secret", "; login from "),
        ("tls", "lxd", "bearer-secret", "; token from $LXD_AUTH_BEARER_TOKEN\n"),
        ("tls", "incus", "bearer-secret", "; client certificate "),
        ("tls", "lxd", "", "; client certificate "),
    ] {
        let client = Client::with(&https(server.port), &format!("    auth_type: {auth_type}\n"));
        client.pin(&identity).file("client.crt", &me.certificate).file("client.key", &me.key);
        client.file("oidctokens/n1.json", r#"{"access_token":"oidc-secret"}"#);
        let mut command = lxmon([&*format!("--{flavour}"), "n1:", "-f", "json", "-n1", "-v"]);
        command.env("LXD_CONF", client.directory.path()).env("INCUS_CONF", client.directory.path());
        let outcome = finish(command.env("LXD_AUTH_BEARER_TOKEN", token));
        assert_eq!(outcome.status, 0, "{}", outcome.stderr);
        assert!(outcome.stderr.contains(login), "{auth_type} {flavour} {token}: {}", outcome.stderr);
        let head = server.requests.recv().unwrap();
        let sent = head.lines().find(|line| line.starts_with("Authorization: "));
        let wanted = match login {
            "; login from " => Some("Authorization: Bearer oidc-secret"),
            "; client certificate " => None,
            _ => Some("Authorization: Bearer bearer-secret"),
        };
        assert_eq!(sent, wanted, "{auth_type} {flavour} {token}");
    }
}

#[test]
fn a_system_wide_remote_is_pinned_by_the_systems_files_only() {
    // The row "certificates": each remote has the pin that stands beside the file that it is configured in.
    let [mine, other] = [(); 2].map(|()| self_signed(&params(&["lxd"])));
    let server = TlsServer::new(&mine);
    let [user, system] = [(); 2].map(|()| Client::new(&https(server.port)));
    for (user_has_remote, users_pin, systems_pin, status) in [
        (true, Some(&mine), Some(&other), 0),
        (true, Some(&other), Some(&mine), 1),
        (true, None, Some(&mine), 1),
        (false, Some(&other), Some(&mine), 0),
        (false, Some(&mine), Some(&other), 1),
        (false, Some(&mine), None, 1),
    ] {
        for (client, pin) in [(&user, users_pin), (&system, systems_pin)] {
            let _ = fs::remove_file(client.directory.path().join("servercerts/n1.crt"));
            pin.map(|identity| client.pin(identity));
        }
        let remotes = format!("remotes:\n  n1:\n    addr: {}\n", https(server.port));
        user.file("config.yml", if user_has_remote { &remotes } else { "" });
        let outcome = finish(user.command(&[]).env("LXD_GLOBAL_CONF", system.directory.path()));
        let case = (user_has_remote, users_pin.is_some(), systems_pin.is_some());
        assert_eq!(outcome.status, status, "{case:?}: {}", outcome.stderr);
    }
}

/// An Incus client's command for the files in a directory.
fn incus(client: &Client) -> std::process::Command {
    let mut command = lxmon(["--incus", "n1:", "-f", "json", "-n1", "-v"]);
    command.env("INCUS_CONF", client.directory.path());
    command
}

#[test]
fn incus_certificates_of_a_remote_come_first() {
    // The row "client certificate" of Incus: clientcerts/NAME.crt and .key, both there, with NAME.ca.
    let [own_authority, authority] = [Authority::new(), Authority::new()];
    let [own, general] = [self_signed(&params(&["own"])), self_signed(&params(&["general"]))];
    let server = TlsServer::new(&own_authority.sign(&params(&["127.0.0.1"])));
    let client = Client::new(&https(server.port));
    fs::create_dir(client.directory.path().join("clientcerts")).unwrap();
    client.file("client.crt", &general.certificate).file("client.key", &general.key);
    client.file("client.ca", &authority.certificate);
    client.file("clientcerts/n1.crt", &own.certificate).file("clientcerts/n1.ca", &own_authority.certificate);
    let shown = |identity: &crate::support::tls::Identity| {
        let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap();
        format!("client certificate {}", &lxmon::remote::login::fingerprint(&certificate)[..12])
    };
    // Without its key, neither the certificate nor the authority counts.
    let outcome = finish(&mut incus(&client));
    assert!(outcome.stderr.contains("no authority that we trust has signed"), "{}", outcome.stderr);
    client.file("client.ca", &own_authority.certificate);
    let outcome = finish(&mut incus(&client));
    assert!(outcome.status == 0 && outcome.stderr.contains(&shown(&general)), "{}", outcome.stderr);
    client.file("client.ca", &authority.certificate).file("clientcerts/n1.key", &own.key);
    let outcome = finish(&mut incus(&client));
    assert!(outcome.status == 0 && outcome.stderr.contains(&shown(&own)), "{}", outcome.stderr);
    // Without an authority of its own the system's decide, not client.ca.
    fs::remove_file(client.directory.path().join("clientcerts/n1.ca")).unwrap();
    client.file("client.ca", &own_authority.certificate);
    let outcome = finish(&mut incus(&client));
    assert!(outcome.status == 1 && outcome.stderr.contains("trust"), "{}", outcome.stderr);
    client.file("clientcerts/n1.key", "garbage");
    let outcome = finish(&mut incus(&client));
    assert!(outcome.stderr.contains("clientcerts/n1.key: there is no private key in it\nhint: "), "{}", outcome.stderr);
    client.file("clientcerts/n1.key", &general.key);
    let outcome = finish(&mut incus(&client));
    assert!(outcome.stderr.contains("n1.key: the key is not that of n1.crt beside it\nhint: "), "{}", outcome.stderr);
    // LXD has no such files.
    client.file("client.ca", &own_authority.certificate).succeed();
}

#[test]
fn incus_can_ask_for_pass_phrases_in_our_place() {
    // The row "encrypted keys" of Incus: its keepalive socket serves the remote.
    let identity = self_signed(&params(&["lxd"]));
    let server = TlsServer::new(&identity);
    let client = Client::new(&https(server.port));
    client.pin(&identity).file("client.crt", &self_signed(&params(&["me"])).certificate);
    let keys = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/keys/unusable");
    for name in ["encrypted-legacy", "encrypted-pkcs8", "openssh"] {
        client.file("client.key", &fs::read_to_string(keys.join(format!("{name}.key"))).unwrap());
        let outcome = finish(&mut incus(&client));
        let directory = client.directory.path().display();
        let hint = format!(
            "hint: let incus ask for it: write `keepalive: 3600` below n1 in {directory}/config.yml, run `incus list \
             n1:`, and follow unix:{directory}/keepalive/n1.socket\n"
        );
        assert!(outcome.status == 1 && outcome.stderr.ends_with(&hint), "{name}: {}", outcome.stderr);
        assert!(!client.refuse("client.key: ").contains("incus"), "{name}");
    }
}

#[test]
fn a_bearer_token_that_is_refused_has_its_own_hint() {
    let identity = self_signed(&params(&["lxd"]));
    let tls = Arc::new(config(&identity.certificate, &identity.key, &[&rustls::version::TLS13]));
    let port = listen("127.0.0.1:0", move |stream| {
        let mut stream = over_tls(&tls, stream);
        let _ = std::io::Read::read(&mut stream, &mut [0; 4096]);
        let body = r#"{"type":"error","error":"Failed verifying bearer token: token has expired","error_code":403}"#;
        let answer = format!("HTTP/1.1 403 Forbidden\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let _ = std::io::Write::write_all(&mut stream, answer.as_bytes());
    });
    let client = Client::new(&https(port));
    let outcome = finish(client.pin(&identity).command(&[]).env("LXD_AUTH_BEARER_TOKEN", "bearer-secret"));
    assert_eq!(outcome.status, 1);
    assert_eq!(
        outcome.stderr,
        "lxmon: n1: the server refuses (403): Failed verifying bearer token: token has expired (tried: token from \
         $LXD_AUTH_BEARER_TOKEN)\n\
         hint: the token has expired, was revoked, or is for another server; a new one: lxc auth identity token issue \
         bearer/NAME\n"
    );
}

#[test]
fn each_server_has_its_own_variable_for_tls_1_2() {
    // The rows "TLS" and "TLS 1.2": unless the value is a word for "no".
    let identity = self_signed(&params(&["lxd"]));
    let server = TlsServer::with(config(&identity.certificate, &identity.key, &[&rustls::version::TLS12]));
    let client = Client::new(&https(server.port));
    client.pin(&identity);
    for (variable, for_lxd, for_incus) in [("LXD_INSECURE_TLS", 0, 1), ("INCUS_INSECURE_TLS", 1, 0)] {
        for (value, is_on) in [("1", true), ("yes", true), ("0", false), ("No", false), ("off", false), ("", false)] {
            let status = |mut command: std::process::Command| finish(command.env(variable, value)).status;
            let wanted = |if_on| if is_on { if_on } else { 1 };
            assert_eq!(status(client.command(&[])), wanted(for_lxd), "lxc {variable}={value}");
            assert_eq!(status(incus(&client)), wanted(for_incus), "incus {variable}={value}");
        }
    }
}
