//! HTTPS remotes: which certificates are taken, how we log in, and what is said when either fails. The server is a real
//! TLS server with certificates of the test's making.

use std::fs;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustix::fs::{CWD, FileType, mknodat};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use rustix::process::Signal;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use std::ffi::CString;
use std::os::fd::AsRawFd as _;
use tempfile::TempDir;

use crate::support::program::{Outcome, Running, finish, lxmon};
use crate::support::standin::{Connection, StandIn, frame, numbered, opcode, switching_protocols};

/// A certificate and its key.
struct Identity {
    certificate: String,
    key: String,
}

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<_> = names.iter().map(ToString::to_string).collect();
    CertificateParams::new(names).unwrap()
}

/// Signed by itself, as the servers' own certificates are.
fn self_signed(params: &CertificateParams) -> Identity {
    let key = KeyPair::generate().unwrap();
    Identity { certificate: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
}

/// An authority, and what it signs.
struct Authority {
    params: CertificateParams,
    key: KeyPair,
    certificate: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = params(&[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().pem();
        Self { params, key, certificate }
    }

    fn sign(&self, params: &CertificateParams) -> Identity {
        let key = KeyPair::generate().unwrap();
        let issuer = Issuer::from_params(&self.params, &self.key);
        Identity { certificate: params.signed_by(&key, &issuer).unwrap().pem(), key: key.serialize_pem() }
    }
}

/// Hands out whatever it was given, a key that is not the certificate's too.
#[derive(Debug)]
struct Shown(Arc<CertifiedKey>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let offered: Vec<_> = hello.alpn().into_iter().flatten().collect();
        assert_eq!(offered, [b"http/1.1"], "h2 must not be offered");
        Some(Arc::clone(&self.0))
    }
}

fn config(certificate: &str, key: &str, versions: &[&'static rustls::SupportedProtocolVersion]) -> ServerConfig {
    let provider = Arc::new(ring::default_provider());
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let key = provider.key_provider.load_private_key(key).unwrap();
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Shown(Arc::new(CertifiedKey::new(chain, key)))));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}

/// An LXD server over TLS that sends one event; what it was asked, by connection.
struct TlsServer {
    port: u16,
    requests: mpsc::Receiver<String>,
}

impl TlsServer {
    fn new(identity: &Identity) -> Self {
        Self::with(config(&identity.certificate, &identity.key, &[&rustls::version::TLS13]))
    }

    fn with(config: ServerConfig) -> Self {
        Self::at("127.0.0.1:0", config)
    }

    fn at(address: &str, config: ServerConfig) -> Self {
        let config = Arc::new(config);
        let (hearing, requests) = mpsc::channel();
        let port = listen(address, move |stream| {
            let session = ServerConnection::new(Arc::clone(&config)).unwrap();
            // A client that does not like us is gone here.
            let _ = answer(&mut StreamOwned::new(session, stream), &hearing);
        });
        Self { port, requests }
    }
}

/// Calls `serve` for every connection; the port.
fn listen(address: &str, serve: impl Fn(TcpStream) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind(address).unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = Arc::new(serve);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let serve = Arc::clone(&serve);
            std::thread::spawn(move || serve(stream));
        }
    });
    port
}

fn answer(stream: &mut (impl Read + Write), hearing: &mpsc::Sender<String>) -> std::io::Result<()> {
    send_one(stream, hearing)?;
    stream.read(&mut [0]).map(drop)
}

fn send_one(stream: &mut (impl Read + Write), hearing: &mpsc::Sender<String>) -> std::io::Result<()> {
    let mut head = String::new();
    let mut reader = BufReader::with_capacity(1, &mut *stream);
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    let _ = hearing.send(head.clone());
    stream.write_all(switching_protocols(&head).as_bytes())?;
    stream.write_all(&frame(true, opcode::TEXT, numbered(0).as_bytes()))?;
    stream.flush()
}

/// A client configuration with one remote `n1`.
struct Client {
    directory: TempDir,
}

impl Client {
    fn new(addr: &str) -> Self {
        Self::with(addr, "")
    }

    fn with(addr: &str, more: &str) -> Self {
        let directory = TempDir::new().unwrap();
        let config = format!("remotes:\n  n1:\n    addr: {addr}\n{more}");
        fs::write(directory.path().join("config.yml"), config).unwrap();
        fs::create_dir(directory.path().join("servercerts")).unwrap();
        fs::create_dir(directory.path().join("oidctokens")).unwrap();
        Self { directory }
    }

    fn file(&self, name: &str, contents: &str) -> &Self {
        fs::write(self.directory.path().join(name), contents).unwrap();
        self
    }

    fn pin(&self, identity: &Identity) -> &Self {
        self.file("servercerts/n1.crt", &identity.certificate)
    }

    fn command(&self, options: &[&str]) -> Command {
        self.counting("-n1", options)
    }

    fn counting(&self, count: &str, options: &[&str]) -> Command {
        let mut command = lxmon(["--lxd", "n1:", "-f", "json", count]);
        command.args(options).env("LXD_CONF", self.directory.path());
        command
    }

    fn follow(&self) -> Outcome {
        finish(&mut self.command(&[]))
    }

    /// It must fail with one error that says this.
    fn refuse(&self, says: &str) -> String {
        let outcome = self.follow();
        assert_eq!(outcome.status, 1, "{says}: {}{}", outcome.stdout, outcome.stderr);
        assert!(outcome.stderr.contains(says), "{says}: {}", outcome.stderr);
        assert!(outcome.stderr.starts_with("lxmon: n1: "), "{}", outcome.stderr);
        outcome.stderr
    }

    fn succeed(&self) {
        let outcome = self.follow();
        assert_eq!((outcome.status, outcome.stdout.trim_end()), (0, &*numbered(0)), "{}", outcome.stderr);
    }
}

fn https(port: u16) -> String {
    format!("https://127.0.0.1:{port}")
}

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
        assert!(server.requests.try_recv().is_err(), "nothing may be said to it");
    }
}

#[test]
fn a_reset_takes_nothing_back_that_was_sent() {
    // So many fit into the receiver's socket: what is still on the sender's side at a reset is never sent.
    const EVENTS: u64 = 150;
    let identity = self_signed(&params(&["localhost"]));
    let config = Arc::new(config(&identity.certificate, &identity.key, &[&rustls::version::TLS13]));
    let port = listen("127.0.0.1:0", move |stream| {
        // What is sent is on its way at once.
        stream.set_nodelay(true).unwrap();
        let session = ServerConnection::new(Arc::clone(&config)).unwrap();
        let mut stream = StreamOwned::new(session, stream);
        send_one(&mut stream, &mpsc::channel().0).unwrap();
        // In one piece, because a receiver has room for a few small ones only.
        let burst: Vec<_> =
            (1..EVENTS).flat_map(|number| frame(true, opcode::TEXT, numbered(number).as_bytes())).collect();
        stream.write_all(&burst).unwrap();
        stream.flush().unwrap();
        // Closed without lingering, it is reset.
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
    assert_eq!(system(&client).status, 0, "the system's roots");
    client.file("client.ca", &authority.certificate).succeed();
    // That authority is the only one then.
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
    assert!(told.contains("Other members of a cluster are not tried"), "{told}");
}

#[test]
fn client_certificates_of_every_kind_log_in() {
    let identity = self_signed(&params(&["lxd"]));
    // Made by openssl: ecparam -genkey, genpkey, genrsa -traditional, genrsa; each with a certificate for a century.
    for kind in ["ec-sec1", "ec-pkcs8", "rsa-pkcs1", "rsa-pkcs8"] {
        let keys = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/keys");
        let read = |ending: &str| fs::read_to_string(keys.join(format!("{kind}.{ending}"))).unwrap();
        // The server takes this certificate only.
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
    // A whole disc image in its place is not read to its end.
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

/// A mount whose server never answers, until this is dropped.
struct HungMount {
    at: std::path::PathBuf,
    server: Option<fs::File>,
}

impl HungMount {
    /// None where it cannot be made: only root can, and only with FUSE.
    fn at(path: &Path) -> Option<Self> {
        let server = fs::File::options().read(true).write(true).open("/dev/fuse").ok()?;
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", server.as_raw_fd());
        mount("hung", path, "fuse", MountFlags::empty(), &*CString::new(options).unwrap()).ok()?;
        Some(Self { at: path.to_owned(), server: Some(server) })
    }
}

impl Drop for HungMount {
    fn drop(&mut self) {
        // Whoever waits gets an error.
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

    // The same at the start.
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

    // As `$(cat FILE)` of some shells, or an EnvironmentFile, leaves it.
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
    // localhost has two addresses, of which one answers.
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
    let mut running = Running::start(command.env("LXD_CONF", client.directory.path()));
    let mut remotes = [running.line(), running.line()].map(|line| line.split(',').next().unwrap().to_owned());
    remotes.sort_unstable();
    assert_eq!(remotes, [r#"{"remote":"n1""#, r#"{"remote":"n2""#]);
    running.wait_for_stderr("lxmon: dead: 127.0.0.1:1: connection refused");
    running.signal(Signal::TERM);
    let outcome = running.end();
    // `again` is the same server as n1 and is followed once.
    assert!(outcome.stdout.is_empty(), "{}", outcome.stdout);
    let told = "lxmon: again: followed as n1, which has the same address and project\n";
    assert!(outcome.stderr.contains(told), "{}", outcome.stderr);
    for (format, part) in [("yaml", "\nremote: n2\n"), ("logfmt", " remote=n2 "), ("pretty", " n2  instance-started")] {
        let outcome = follow(&["n1:", "n2:"], &["-f", format, "-n2"]);
        assert!(outcome.stdout.contains(part), "{format}: {}", outcome.stdout);
    }
    let outcome = follow(&["dead:", "unix:/nonexistent"], &[]);
    assert_eq!(outcome.status, 1);
    assert!(outcome.stderr.contains("lxmon: none of the remotes can be followed"), "{}", outcome.stderr);
}

/// Serves the `number`th connection, from 0, of a port on which each one may be another server.
fn listen_in_turn(serve: impl Fn(usize, TcpStream) + Send + Sync + 'static) -> u16 {
    let connections = AtomicUsize::new(0);
    listen("127.0.0.1:0", move |stream| serve(connections.fetch_add(1, Ordering::SeqCst), stream))
}

/// Sends an event, then ends or stays.
fn serve(config: &Arc<ServerConfig>, stream: TcpStream, stays: bool) {
    let session = ServerConnection::new(Arc::clone(config)).unwrap();
    let mut stream = StreamOwned::new(session, stream);
    let serve = if stays { answer } else { send_one };
    // A client that does not like us is gone here.
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
        // It is not asked again and again.
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
        // The test may have ended.
        let _ = say.send(Instant::now());
        let mut stream = StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), stream);
        let _ = send_one(&mut stream, &mpsc::channel().0);
        // Longer than the first wait, and far shorter than the longest.
        std::thread::sleep(Duration::from_millis(300));
    });
    let client = Client::new(&https(port));
    client.pin(&identity);
    let outcome = finish(&mut client.counting("-n4", &[]));
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    let came: Vec<_> = said.try_iter().collect();
    let waits: Vec<_> = came.windows(2).map(|pair| pair[1] - pair[0]).collect();
    // Doubled twice, of which jitter takes off up to a half.
    assert!(waits[2] >= Duration::from_millis(300 + 500), "{waits:?}");
}
