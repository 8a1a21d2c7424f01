//! The TLS handshake: how the server's certificate is verified, and which one we present.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use log::{Level, debug, log_enabled};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WantsClientCert, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{
    CertificateError, ClientConfig, ConfigBuilder, DigitallySignedStruct, Error, OtherError, RootCertStore,
    SignatureScheme,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use x509_cert::der::Decode as _;

use super::hints::{self, Changed};
use super::stream::Stream;
use crate::remote::login::{self, Login, fingerprint};
use crate::remote::proxy::Kind;
use crate::remote::{Address, Host, Https, Remote};
use crate::report::exit::Fault;
use crate::system::environment::Environment;

/// How a server's certificate is verified.
#[derive(Debug)]
pub(crate) enum Trust {
    /// It must be this certificate.
    Pin(CertificateDer<'static>, PathBuf),
    /// It must be signed by this authority and valid for the host name.
    Authority(Vec<CertificateDer<'static>>, PathBuf),
    /// It must be signed by an authority that the system trusts and valid for the host name.
    System,
}

impl Trust {
    /// Finds in the client configuration how to verify the remote's certificate.
    pub(crate) fn find(remote: &Remote, https: &Https, login: &Login) -> Result<Self, Fault> {
        let Remote { name, flavour, .. } = remote;
        if let Some((certificate, file)) = login::pinned(&https.directories, name)? {
            return Ok(Self::Pin(certificate, file));
        }
        Ok(match login::authority(&https.directories, *flavour, name, login)? {
            Some((certificates, file)) => Self::Authority(certificates, file),
            None => Self::System,
        })
    }
}

impl fmt::Display for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pin(certificate, file) => {
                write!(f, "its pinned certificate {} ({})", &fingerprint(certificate)[..12], file.display())
            }
            Self::Authority(_, file) => write!(f, "the authority in {}", file.display()),
            Self::System => f.write_str("the system's authorities"),
        }
    }
}

/// What the client's files contain for a remote: whom to trust and how to log in.
#[derive(Debug)]
pub(crate) struct Credentials {
    /// How the server's certificate is verified.
    pub trust: Trust,
    /// How we log in.
    pub login: Login,
    config: Arc<ClientConfig>,
    /// For a proxy that is spoken to over TLS. The system's authorities verify its certificate.
    proxy_config: Option<Arc<ClientConfig>>,
}

impl Credentials {
    /// Reads the client's files. Blocks for as long as the file system does.
    ///
    /// # Errors
    /// A file cannot be read, or does not contain what it should.
    pub(crate) fn read(remote: &Remote, https: &Https, environment: &Environment) -> anyhow::Result<Self> {
        let login = Login::find(environment, remote.flavour, https, &remote.name)?;
        let trust = Trust::find(remote, https, &login)?;
        let config = Arc::new(config(https, &trust, &login)?);
        // Each address can have its own proxy, or none.
        let is_proxy_tls = |address: &Address| match address {
            Address::Https(https) => https.proxy.as_ref().is_some_and(|proxy| proxy.kind == Kind::Https),
            Address::Unix(_) => false,
        };
        let is_any = remote.addresses().any(is_proxy_tls);
        let proxy_config = if is_any { Some(Arc::new(proxy_config(https)?)) } else { None };
        Ok(Self { trust, login, config, proxy_config })
    }
}

/// Performs the handshake over `stream`.
pub(crate) async fn handshake(
    stream: Stream,
    https: &Https,
    remote: &Remote,
    credentials: &Credentials,
) -> anyhow::Result<TlsStream<Stream>> {
    let name = ServerName::try_from(https.host.name.clone())
        .map_err(|_| Fault::usage(format!("{:?} is neither a host name nor an address", https.host.name)))?;
    let connector = TlsConnector::from(Arc::clone(&credentials.config));
    let stream = connector.connect(name, stream).await.map_err(|error| {
        let is_pinned = matches!(credentials.trust, Trust::Pin(..));
        hints::of_handshake(&error, remote, https, is_pinned)
    })?;
    report(&stream, &remote.name);
    Ok(stream)
}

/// With `--debug`, prints what was agreed upon in a handshake with `peer`.
fn report(stream: &TlsStream<Stream>, peer: &str) {
    if !log_enabled!(Level::Debug) {
        return;
    }
    let (_, session) = stream.get_ref();
    let version = session.protocol_version().map_or_else(|| "?".into(), |version| format!("{version:?}"));
    let suite = session.negotiated_cipher_suite().map_or_else(|| "?".into(), |suite| format!("{:?}", suite.suite()));
    let group =
        session.negotiated_key_exchange_group().map_or_else(|| "?".into(), |group| format!("{:?}", group.name()));
    let protocol = session.alpn_protocol().map_or_else(|| "none".into(), String::from_utf8_lossy);
    debug!("{peer}: {version}, {suite}, {group}, ALPN {protocol}");
    if let Some([certificate, others @ ..]) = session.peer_certificates() {
        let others = others.len();
        debug!("{peer}: its certificate is {}, with {others} more of its chain", login::described(certificate));
    }
}

/// Performs the handshake with the proxy `host` over `stream`.
///
/// # Errors
/// Why it failed, as text for the user.
pub(super) async fn handshake_with_proxy(
    stream: TcpStream,
    host: &Host,
    credentials: &Credentials,
) -> Result<TlsStream<Stream>, String> {
    let name = ServerName::try_from(host.name.clone())
        .map_err(|_| format!("{:?} is neither a host name nor an address", host.name))?;
    let config = credentials.proxy_config.as_ref().ok_or("it is not spoken to over TLS")?;
    let connector = TlsConnector::from(Arc::clone(config));
    let stream = connector.connect(name, Stream::Tcp(stream)).await;
    let stream = stream.map_err(|error| hints::of_proxys_handshake(&error))?;
    report(&stream, &format!("proxy {host}"));
    Ok(stream)
}

fn proxy_config(https: &Https) -> anyhow::Result<ClientConfig> {
    let mut config = builder(https, &Trust::System)?.with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn builder(https: &Https, trust: &Trust) -> anyhow::Result<ConfigBuilder<ClientConfig, WantsClientCert>> {
    let provider = Arc::new(ring::default_provider());
    let versions: &[&rustls::SupportedProtocolVersion] = if https.allow_tls12 {
        &[&rustls::version::TLS13, &rustls::version::TLS12]
    } else {
        &[&rustls::version::TLS13]
    };
    let verifier = verifier(trust, &provider)?;
    Ok(ClientConfig::builder_with_details(provider, Arc::new(Clock))
        .with_protocol_versions(versions)?
        .dangerous()
        .with_custom_certificate_verifier(verifier))
}

fn config(https: &Https, trust: &Trust, login: &Login) -> anyhow::Result<ClientConfig> {
    let builder = builder(https, trust)?;
    let mut config = match login {
        Login::Certificate { chain, key, key_file } => {
            let made = builder.with_client_auth_cert(chain.clone(), key.clone_key());
            made.map_err(|error| hints::of_client_certificate(&error, key_file))?
        }
        Login::Token { .. } | Login::Oidc(_) | Login::Nobody { .. } => builder.with_no_client_auth(),
    };
    // LXD and Incus offer h2, but refuse WebSocket over it.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn verifier(trust: &Trust, provider: &Arc<CryptoProvider>) -> anyhow::Result<Arc<dyn ServerCertVerifier>> {
    let mut roots = RootCertStore::empty();
    match trust {
        Trust::Pin(certificate, _) => {
            return Ok(Arc::new(Pinned { certificate: certificate.clone(), provider: Arc::clone(provider) }));
        }
        Trust::Authority(certificates, file) => {
            for certificate in certificates {
                roots
                    .add(certificate.clone())
                    .map_err(|_| Fault::failed(format!("{}: a certificate in it is damaged", file.display())))?;
            }
        }
        Trust::System => {
            let (added, ignored) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            debug!("{added} authorities of the system are trusted, {ignored} cannot be read");
            if roots.is_empty() {
                return Err(hints::of_no_authorities().into());
            }
        }
    }
    Ok(WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build()?)
}

/// Accepts exactly one certificate, within its validity period, and ignores the name in it.
#[derive(Debug)]
struct Pinned {
    certificate: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if *end_entity != self.certificate {
            let changed = Changed { pinned: fingerprint(&self.certificate), presented: fingerprint(end_entity) };
            return Err(CertificateError::Other(OtherError(Arc::new(changed))).into());
        }
        let certificate = x509_cert::Certificate::from_der(end_entity).map_err(|_| CertificateError::BadEncoding)?;
        let validity = certificate.tbs_certificate.validity;
        let now = Duration::from_secs(now.as_secs());
        if now < validity.not_before.to_unix_duration() {
            return Err(CertificateError::NotValidYet.into());
        }
        if now > validity.not_after.to_unix_duration() {
            return Err(CertificateError::Expired.into());
        }
        Ok(ServerCertVerified::assertion())
    }

    // Anybody can present the certificate. Only the handshake signature proves that the server has its key.
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The system's time, `None` before 1970: rustls' own clock panics then.
#[derive(Debug)]
struct Clock;

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok().map(UnixTime::since_unix_epoch)
    }
}
