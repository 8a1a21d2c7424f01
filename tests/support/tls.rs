//! A TLS server, and a client configuration with one remote.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, mpsc};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tempfile::TempDir;

use crate::support::http::{is_complete, json, read_head, send_with_event, switching_protocols};
use crate::support::program::{Outcome, finish, lxmon};
use crate::support::standin::{about_itself, numbered};

/// A certificate and its private key, both in PEM.
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

pub(crate) fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<_> = names.iter().map(ToString::to_string).collect();
    CertificateParams::new(names).unwrap()
}

/// A self-signed identity, as the servers generate them.
pub(crate) fn self_signed(params: &CertificateParams) -> Identity {
    let key = KeyPair::generate().unwrap();
    Identity { certificate: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
}

/// A certificate authority.
pub(crate) struct Authority {
    pub(crate) params: CertificateParams,
    pub(crate) key: KeyPair,
    pub(crate) certificate: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = params(&[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().pem();
        Self { params, key, certificate }
    }

    pub(crate) fn sign(&self, params: &CertificateParams) -> Identity {
        let key = KeyPair::generate().unwrap();
        let issuer = Issuer::from_params(&self.params, &self.key);
        Identity { certificate: params.signed_by(&key, &issuer).unwrap().pem(), key: key.serialize_pem() }
    }
}

/// Presents the configured certificate with the configured key, even if they do not belong together.
#[derive(Debug)]
pub(crate) struct Shown(Arc<CertifiedKey>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let offered: Vec<_> = hello.alpn().into_iter().flatten().collect();
        assert_eq!(offered, [b"http/1.1"], "h2 must not be offered");
        Some(Arc::clone(&self.0))
    }
}

pub(crate) fn config(
    certificate: &str,
    key: &str,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> ServerConfig {
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

/// An LXD server over TLS that sends one event on each connection, and records the heads of the requests.
pub(crate) struct TlsServer {
    pub(crate) port: u16,
    pub(crate) requests: mpsc::Receiver<String>,
}

impl TlsServer {
    pub(crate) fn new(identity: &Identity) -> Self {
        Self::with(config(&identity.certificate, &identity.key, &[&rustls::version::TLS13]))
    }

    pub(crate) fn with(config: ServerConfig) -> Self {
        Self::at("127.0.0.1:0", config)
    }

    pub(crate) fn at(address: &str, config: ServerConfig) -> Self {
        let config = Arc::new(config);
        let (hearing, requests) = mpsc::channel();
        let port = listen(address, move |stream| {
            // Fails if the client has rejected the certificate and disconnected.
            let _ = answer(&mut over_tls(&config, stream), &hearing);
        });
        Self { port, requests }
    }
}

/// The server's side of TLS on a connection. The handshake comes with the first read or write.
pub(crate) fn over_tls(config: &Arc<ServerConfig>, stream: TcpStream) -> StreamOwned<ServerConnection, TcpStream> {
    StreamOwned::new(ServerConnection::new(Arc::clone(config)).unwrap(), stream)
}

/// Listens at this address and calls `serve` with every connection. Returns the port.
pub(crate) fn listen(address: &str, serve: impl Fn(TcpStream) + Send + Sync + 'static) -> u16 {
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

/// Sends one event, and keeps the connection open until the client sends something or disconnects.
pub(crate) fn answer(stream: &mut (impl Read + Write), hearing: &mpsc::Sender<String>) -> std::io::Result<()> {
    send_one(stream, hearing)?;
    stream.read(&mut [0]).map(drop)
}

/// Reads a request, reports its head on the channel, and answers with one event.
pub(crate) fn send_one(stream: &mut (impl Read + Write), hearing: &mpsc::Sender<String>) -> std::io::Result<()> {
    let head = read_head(&mut *stream);
    if !is_complete(&head) {
        return Ok(());
    }
    // What `--debug` asks is of no interest to the tests of other things.
    if head.starts_with("GET /1.0 ") {
        return stream.write_all(json("200 OK", "", &about_itself(None)).as_bytes());
    }
    let _ = hearing.send(head.clone());
    send_with_event(stream, &switching_protocols(&head, ""), &numbered(0))
}

/// A client configuration with the remote `n1`.
pub(crate) struct Client {
    pub(crate) directory: TempDir,
}

impl Client {
    pub(crate) fn new(addr: &str) -> Self {
        Self::with(addr, "")
    }

    pub(crate) fn with(addr: &str, more: &str) -> Self {
        let directory = TempDir::new().unwrap();
        let config = format!("remotes:\n  n1:\n    addr: {addr}\n{more}");
        fs::write(directory.path().join("config.yml"), config).unwrap();
        fs::create_dir(directory.path().join("servercerts")).unwrap();
        fs::create_dir(directory.path().join("oidctokens")).unwrap();
        Self { directory }
    }

    pub(crate) fn file(&self, name: &str, contents: &str) -> &Self {
        fs::write(self.directory.path().join(name), contents).unwrap();
        self
    }

    pub(crate) fn pin(&self, identity: &Identity) -> &Self {
        self.file("servercerts/n1.crt", &identity.certificate)
    }

    pub(crate) fn command(&self, options: &[&str]) -> Command {
        self.counting("-n1", options)
    }

    pub(crate) fn counting(&self, count: &str, options: &[&str]) -> Command {
        let mut command = lxmon(["--lxd", "n1:", "-f", "json", count]);
        command.args(options).env("LXD_CONF", self.directory.path());
        command
    }

    pub(crate) fn follow(&self) -> Outcome {
        finish(&mut self.command(&[]))
    }

    /// Asserts that following `n1` fails with an error that contains this text. Returns standard error.
    pub(crate) fn refuse(&self, says: &str) -> String {
        let outcome = self.follow();
        assert_eq!(outcome.status, 1, "{says}: {}{}", outcome.stdout, outcome.stderr);
        assert!(outcome.stderr.contains(says), "{says}: {}", outcome.stderr);
        assert!(outcome.stderr.starts_with("lxmon: n1: "), "{}", outcome.stderr);
        outcome.stderr
    }

    pub(crate) fn succeed(&self) {
        let outcome = self.follow();
        assert_eq!((outcome.status, outcome.stdout.trim_end()), (0, &*numbered(0)), "{}", outcome.stderr);
    }
}

pub(crate) fn https(port: u16) -> String {
    format!("https://127.0.0.1:{port}")
}
