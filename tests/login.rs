//! Files and environment variables of a client: certificates, keys, tokens, addresses, proxies.

use std::fs;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::{Arc, mpsc};

use rustix::fs::{CWD, FileType, mknodat};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use rustix::process::Signal;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use std::ffi::CString;
use std::os::fd::AsRawFd as _;

use crate::support::program::{Running, finish, lxmon};
use crate::support::standin::{Connection, StandIn, numbered};
use crate::support::tls::{Authority, Client, TlsServer, config, https, listen, params, self_signed, send_one};

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
    fifo("client.crt");
    client.refuse(&says("client.crt"));
    fifo("servercerts/n1.crt");
    client.refuse(&says("n1.crt"));
    fs::remove_file(client.directory.path().join("servercerts/n1.crt")).unwrap();
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
        let session = ServerConnection::new(Arc::clone(&tls)).unwrap();
        let _ = send_one(&mut StreamOwned::new(session, stream), &mpsc::channel().0);
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
    let mut running = Running::start(command.env("LXD_CONF", client.directory.path()));
    assert!(running.line().contains(r#"{"remote":"n1""#));
    let Some(mount) = HungMount::at(&certificates) else {
        eprintln!("skipped: this takes root and FUSE");
        return;
    };
    hang_up.send(()).unwrap();
    running.wait_for_stderr("n1: connection lost");
    go.send(1).unwrap();
    assert!(running.line().contains("/c1\""));
    running.wait_for_stderr(&format!(
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
    client
        .file("oidctokens/n1.json", "{\"access_token\":\"a\\nb\"}")
        .refuse("n1.json: its access token contains a line end");
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
    let server = TlsServer::with(config());
    Client::new(&format!("https://localhost:{}", server.port)).file("client.ca", &authority.certificate).succeed();
    let outcome = Client::new("https://no-such-host.invalid:8443").follow();
    assert!(outcome.stderr.contains("cannot find the address of no-such-host.invalid"), "{}", outcome.stderr);
    let outcome = Client::new("https://:8443").follow();
    assert_eq!(outcome.status, 2, "{}", outcome.stderr);
}

#[test]
fn a_proxy_leads_to_the_server_or_says_why_not() {
    let authority = Authority::new();
    let server = TlsServer::new(&authority.sign(&params(&["lxd.example"])));
    let to = server.port;
    let (hearing, asked) = mpsc::channel();
    let proxy = listen("127.0.0.1:0", move |stream| {
        let mut head = String::new();
        let mut reader = BufReader::with_capacity(1, &stream);
        while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).is_ok_and(|length| length > 0) {}
        let _ = hearing.send(head);
        let mut server = TcpStream::connect(("127.0.0.1", to)).unwrap();
        (&stream).write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").unwrap();
        let (mut back, mut there) = (server.try_clone().unwrap(), stream.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut back, &mut there));
        let _ = std::io::copy(&mut &stream, &mut server);
    });
    let client = Client::new("https://lxd.example:8443");
    client.file("client.ca", &authority.certificate);
    let through = |url: &str| finish(client.command(&["-v", "--debug"]).env("HTTPS_PROXY", url));
    let outcome = through(&format!("http://me:pa%73s@127.0.0.1:{proxy}"));
    assert_eq!((outcome.status, outcome.stdout.trim_end()), (0, &*numbered(0)), "{}", outcome.stderr);
    let head = asked.recv().unwrap();
    assert!(head.starts_with("CONNECT lxd.example:8443 HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("\r\nProxy-Authorization: Basic bWU6cGFzcw==\r\n"), "{head}");
    assert!(!outcome.stderr.contains("pass") && !outcome.stderr.contains("bWU6"), "{}", outcome.stderr);

    for (answer, says) in [
        (&b"HTTP/1.1 403 Forbidden\r\n\r\n"[..], "it refuses to connect to lxd.example:8443: 403 Forbidden\nhint: "),
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "it requires a login (407)\nhint: "),
        (b"nonsense\r\n\r\n", "it does not answer in HTTP\nhint: "),
        (b"", "it closes the connection without an answer\nhint: "),
    ] {
        let proxy = listen("127.0.0.1:0", move |mut stream| {
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(answer);
        });
        let outcome = through(&format!("http://127.0.0.1:{proxy}"));
        assert_eq!(outcome.status, 1);
        assert!(outcome.stderr.contains(says), "{says}: {}", outcome.stderr);
    }
    let outcome = through("socks5://127.0.0.1:1080");
    assert_eq!(outcome.status, 2);
    assert!(outcome.stderr.contains("only http:// proxies can be used"), "{}", outcome.stderr);
}
