//! The files of the client configuration that verify a remote and log in to it.

use std::fmt;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use log::{Level, debug, log_enabled};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_cert::der::Decode as _;

use super::address::Directories;
use super::oidc::{Saved, Site};
use super::read::read;
use super::secret::{Secret, token};
use super::{Flavour, Https, keys};
use crate::report::exit::Fault;
use crate::system::environment::Environment;

/// The files of a client certificate.
struct CertificateFiles {
    certificate: PathBuf,
    key: PathBuf,
    /// The authority that has signed the certificates of the servers that accept this one.
    authority: PathBuf,
}

/// The files of the client certificate for the remote `name`. Incus has some for single remotes (Incus
/// `shared/cliconfig/cert.go`); they count if the certificate and its key are both there.
fn client_certificate(directories: &Directories, flavour: Flavour, name: &str) -> CertificateFiles {
    let file =
        |directory: &str, name: &str, ending: &str| directories.user.join(directory).join(format!("{name}.{ending}"));
    let files = |directory, name| CertificateFiles {
        certificate: file(directory, name, "crt"),
        key: file(directory, name, "key"),
        authority: file(directory, name, "ca"),
    };
    let own = files("clientcerts", name);
    if flavour == Flavour::Incus && own.certificate.exists() && own.key.exists() {
        return own;
    }
    files("", "client")
}

/// How we authenticate.
#[derive(Debug)]
pub enum Login {
    /// A client certificate and its key.
    Certificate {
        /// The certificate and the intermediate certificates of its chain.
        chain: Vec<CertificateDer<'static>>,
        /// Its key.
        key: PrivateKeyDer<'static>,
        /// The key's file, for error messages.
        key_file: PathBuf,
    },
    /// A bearer token from the environment.
    Token {
        /// The token.
        token: Secret,
        /// Where it comes from.
        source: String,
    },
    /// A saved OIDC login.
    Oidc(Saved),
    /// No credentials were found.
    Nobody {
        /// The missing certificate file.
        looked_for: PathBuf,
    },
}

impl fmt::Display for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate { chain, .. } => {
                let fingerprint = chain.first().map(|certificate| fingerprint(certificate)).unwrap_or_default();
                write!(f, "client certificate {}", &fingerprint[..12.min(fingerprint.len())])
            }
            Self::Token { source, .. } => write!(f, "token from {source}"),
            Self::Oidc(Saved { source, user: Some(user), .. }) => write!(f, "login from {source}, as {user}"),
            Self::Oidc(Saved { source, user: None, .. }) => write!(f, "login from {source}"),
            Self::Nobody { looked_for } => write!(f, "no login: there is no {}", looked_for.display()),
        }
    }
}

/// The SHA-256 fingerprint of a certificate, as the clients show it.
#[must_use]
pub fn fingerprint(certificate: &[u8]) -> String {
    use std::fmt::Write as _;
    let digest = ring::digest::digest(&ring::digest::SHA256, certificate);
    digest.as_ref().iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A certificate as text for the maintainers: its fingerprint, whom it is for and how long it is valid.
#[must_use]
pub fn described(certificate: &[u8]) -> String {
    let fingerprint = fingerprint(certificate);
    let Ok(parsed) = x509_cert::Certificate::from_der(certificate) else {
        return format!("{fingerprint}, which cannot be parsed");
    };
    let content = parsed.tbs_certificate;
    let date = |time: x509_cert::time::Time| {
        let seconds = i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX);
        DateTime::from_timestamp(seconds, 0).map_or_else(|| "?".to_owned(), |time| time.date_naive().to_string())
    };
    let (from, to) = (date(content.validity.not_before), date(content.validity.not_after));
    format!("{fingerprint} of {:?}, valid from {from} to {to}", content.subject.to_string())
}

/// The pinned certificate of the remote and its file.
pub fn pinned(directories: &Directories, name: &str) -> Result<Option<(CertificateDer<'static>, PathBuf)>, Fault> {
    let file = directories.pins.join(format!("{name}.crt"));
    let Some(text) = read(&file)? else { return Ok(None) };
    let certificate = CertificateDer::from_pem_slice(&text).map_err(|_| {
        Fault::failed(format!(
            "{}: there is no certificate in it{}",
            file.display(),
            keys::instead("CERTIFICATE", &text)
        ))
        .hint("remove the file, then remove the remote with its client and add it again")
    })?;
    Ok(Some((certificate, file)))
}

/// The certificate authority (`client.ca`) and its file. If it exists, it is the only one that is trusted. It belongs to
/// the client certificate: the clients read it for no other login (LXD `lxc/config/remote.go`).
pub fn authority(
    directories: &Directories,
    flavour: Flavour,
    name: &str,
    login: &Login,
) -> Result<Option<(Vec<CertificateDer<'static>>, PathBuf)>, Fault> {
    if matches!(login, Login::Token { .. } | Login::Oidc(_)) {
        return Ok(None);
    }
    let file = client_certificate(directories, flavour, name).authority;
    let Some(text) = read(&file)? else { return Ok(None) };
    Ok(Some((certificates(&file, &text)?, file)))
}

impl Login {
    /// With `--debug`, prints what the client certificate is, if that is how we log in.
    pub(crate) fn report_certificate(&self, remote: &str) {
        if let Self::Certificate { chain, key_file, .. } = self
            && let [certificate, others @ ..] = &chain[..]
            && log_enabled!(Level::Debug)
        {
            let (described, others, key) = (described(certificate), others.len(), key_file.display());
            debug!("{remote}: our certificate is {described}, with {others} more of its chain; its key is in {key}");
        }
    }

    /// Finds the login for the remote `name`, in the same order as the clients: a saved OIDC login if the remote is
    /// configured for one, else a token from the environment (LXD only), else the client certificate.
    pub fn find(environment: &Environment, flavour: Flavour, https: &Https, name: &str) -> Result<Self, Fault> {
        const TOKEN: &str = "LXD_AUTH_BEARER_TOKEN";
        let Https { directories, host, prefix, .. } = https;
        if https.is_oidc() {
            let site = Site { host: &host.name, prefix };
            return Saved::read(directories, flavour, name, site, Utc::now()).map(Self::Oidc);
        }
        if let Some(text) = environment.var(TOKEN).filter(|_| flavour == Flavour::Lxd) {
            let source = format!("${TOKEN}");
            let token = token(&text.to_string_lossy()).map_err(|what| {
                Fault::failed(format!("{source}: it is not a token: it contains {what}"))
                    .hint("set it to the token alone, or unset it")
                    .permanent()
            })?;
            return Ok(Self::Token { token, source });
        }
        let files = client_certificate(directories, flavour, name);
        let Some(certificate) = read(&files.certificate)? else {
            return Ok(Self::Nobody { looked_for: files.certificate });
        };
        let chain = certificates(&files.certificate, &certificate)?;
        let Some(key) = read(&files.key)? else {
            // Only `client.key`: other files count when both are there.
            return Err(Fault::failed(format!("{}: missing, but there is a client.crt", files.key.display()))
                .hint(format!("`{} remote add` makes both when neither is there", flavour.client())));
        };
        // `incus` asks for pass phrases, and can leave a process behind that serves others (Incus
        // `shared/cliconfig/keepalive.go`). `lxc` does neither.
        let by_client = (flavour == Flavour::Incus).then(|| {
            let directory = directories.user.display();
            format!(
                "let incus ask for it: write `keepalive: 3600` below {name} in {directory}/config.yml, run `incus list \
                 {name}:`, and follow unix:{directory}/keepalive/{name}.socket"
            )
        });
        let key = keys::private(&files.key, &key, flavour, by_client)?;
        Ok(Self::Certificate { chain, key, key_file: files.key })
    }
}

fn certificates(file: &Path, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let shown = file.display();
    let none = || {
        Fault::failed(format!("{shown}: there is no certificate in it{}", keys::instead("CERTIFICATE", text)))
            .hint("it should hold a PEM block CERTIFICATE")
    };
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    found.ok().filter(|found| !found.is_empty()).ok_or_else(none)
}
