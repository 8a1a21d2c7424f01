//! The TLS handshake: which certificate is good enough, and how we show ours.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use x509_cert::der::Decode as _;

use crate::exit::Fault;
use crate::remote::login::{self, Login, fingerprint};
use crate::remote::{Https, Remote};

/// How a server's certificate is judged.
#[derive(Debug)]
pub enum Trust {
    /// It must be this one.
    Pin(CertificateDer<'static>, PathBuf),
    /// This authority must have signed it, for the name.
    Authority(Vec<CertificateDer<'static>>, PathBuf),
    /// An authority that the system trusts must have signed it, for the name.
    System,
}

impl Trust {
    /// What the client configuration has for the remote.
    pub fn find(https: &Https, name: &str) -> Result<Self, Fault> {
        if let Some((certificate, file)) = login::pinned(&https.directories, name)? {
            return Ok(Self::Pin(certificate, file));
        }
        Ok(match login::authority(&https.directories)? {
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

/// Makes the handshake over `stream`.
pub async fn handshake(
    stream: TcpStream,
    https: &Https,
    remote: &Remote,
    trust: &Trust,
    login: &Login,
) -> anyhow::Result<TlsStream<TcpStream>> {
    let config = config(https, trust, login)?;
    let name = ServerName::try_from(https.host.name.clone())
        .map_err(|_| Fault::usage(format!("{:?} is neither a host name nor an address", https.host.name)))?;
    let connector = TlsConnector::from(Arc::new(config));
    connector.connect(name, stream).await.map_err(|error| explain(&error, remote, https, trust).into())
}

/// The system's time. rustls' own panics where that is before 1970.
#[derive(Debug)]
struct Clock;

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
        Some(UnixTime::since_unix_epoch(since))
    }
}

fn config(https: &Https, trust: &Trust, login: &Login) -> anyhow::Result<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let versions: &[&rustls::SupportedProtocolVersion] = if https.allow_tls12 {
        &[&rustls::version::TLS13, &rustls::version::TLS12]
    } else {
        &[&rustls::version::TLS13]
    };
    let verifier = verifier(trust, &provider)?;
    let builder = ClientConfig::builder_with_details(provider, Arc::new(Clock))
        .with_protocol_versions(versions)?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match login {
        Login::Certificate { chain, key, key_file } => {
            builder.with_client_auth_cert(chain.clone(), key.clone_key()).map_err(|error| match error {
                Error::InconsistentKeys(_) => {
                    Fault::failed(format!("{}: the key is not that of client.crt beside it", key_file.display())).hint(
                        "put back the key that belongs to the certificate, or remove both and add the remote again",
                    )
                }
                error => Fault::failed(format!("{}: {error}", key_file.display())),
            })?
        }
        Login::Token { .. } | Login::Nobody { .. } => builder.with_no_client_auth(),
    };
    // Both servers offer h2, and refuse WebSocket over it.
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
                    .map_err(|error| Fault::failed(format!("{}: {error}", file.display())))?;
            }
        }
        Trust::System => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err(Fault::failed("the system trusts no authority at all")
                    .hint(
                        "install the package ca-certificates, or accept the server's certificate with `lxc remote add`",
                    )
                    .into());
            }
        }
    }
    Ok(WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build()?)
}

/// Takes one certificate and no other, within its dates, whatever name is in it.
#[derive(Debug)]
struct Pinned {
    certificate: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

/// The server has another certificate than the one that was accepted.
#[derive(Debug)]
struct Changed {
    pinned: String,
    presented: String,
}

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server's certificate has changed: accepted was {}, now it is {}", self.pinned, self.presented)
    }
}

impl std::error::Error for Changed {}

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

    // Having the certificate is not having its key: the signatures are what proves that.
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

/// What a failed handshake means and what can be done about it.
fn explain(error: &io::Error, remote: &Remote, https: &Https, trust: &Trust) -> Fault {
    let (client, name, url) = (remote.flavour.client(), &remote.name, &https.url);
    let accept =
        format!("if that is right, accept it: {client} remote remove {name} && {client} remote add {name} {url}");
    let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        return match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
                Fault::failed("the server ended the connection during the TLS handshake")
                    .hint("is it an LXD or Incus server, and is the port right?")
            }
            _ => Fault::failed(error.to_string()),
        };
    };
    match tls {
        Error::InvalidCertificate(CertificateError::Other(OtherError(other))) if other.is::<Changed>() => {
            Fault::failed(other.to_string()).hint(accept).permanent()
        }
        Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            Fault::failed("the server's certificate has expired")
                .hint("renew it on the server; check this machine's clock")
                .permanent()
        }
        Error::InvalidCertificate(CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }) => {
            Fault::failed("the server's certificate is not valid yet")
                .hint("check the clocks of both machines")
                .permanent()
        }
        Error::InvalidCertificate(CertificateError::BadSignature) if matches!(trust, Trust::Pin(..)) => {
            Fault::failed("the server shows the accepted certificate but does not have its key: it is an impostor")
                .permanent()
        }
        Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            Fault::failed("no authority that we trust has signed the server's certificate")
                .hint(format!(
                    "accept the certificate itself: {client} remote remove {name} && {client} remote add {name} {url}"
                ))
                .permanent()
        }
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => Fault::failed(format!("the server's certificate is not for {:?}", https.host.name))
            .hint("use a name that is in the certificate, or accept the certificate itself with `remote add`")
            .permanent(),
        Error::InvalidCertificate(error) => Fault::failed(format!("the server's certificate: {error}")).permanent(),
        Error::InvalidMessage(_) => Fault::failed("the server does not speak TLS on this port")
            .hint(format!("is {} the address of an LXD or Incus server?", https.url)),
        Error::PeerIncompatible(_) | Error::AlertReceived(rustls::AlertDescription::ProtocolVersion) => {
            Fault::failed("the server speaks no TLS 1.3")
                .hint("INCUS_INSECURE_TLS=1 allows TLS 1.2; better update the server")
                .permanent()
        }
        Error::AlertReceived(alert) => Fault::failed(format!("the server refuses the TLS handshake: {alert:?}")),
        error => Fault::failed(format!("TLS: {error}")),
    }
}
