//! The files of the client configuration that verify a remote and log in to it.

use std::fmt;
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::Deserialize;

use super::Flavour;
use super::keys;
use super::read::read;
use crate::report::exit::Fault;
use crate::system::environment::Environment;

/// The directories of a client's files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directories {
    /// The user's configuration directory.
    pub user: PathBuf,
    /// The system-wide configuration directory, of which only `config.yml` and `servercerts/` are read.
    pub system: PathBuf,
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
    /// A bearer token.
    Token {
        /// The token.
        token: Secret,
        /// Where it comes from.
        source: String,
        /// The user, if the saved login names one.
        user: Option<String>,
    },
    /// No credentials were found.
    Nobody {
        /// The missing certificate file.
        looked_for: PathBuf,
    },
}

/// A text that must not be shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate { chain, .. } => {
                let fingerprint = chain.first().map(|certificate| fingerprint(certificate)).unwrap_or_default();
                write!(f, "client certificate {}", &fingerprint[..12.min(fingerprint.len())])
            }
            Self::Token { source, user: Some(user), .. } => write!(f, "token from {source}, as {user}"),
            Self::Token { source, user: None, .. } => write!(f, "token from {source}"),
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

/// The pinned certificate of the remote and its file.
pub fn pinned(directories: &Directories, name: &str) -> Result<Option<(CertificateDer<'static>, PathBuf)>, Fault> {
    for directory in [&directories.user, &directories.system] {
        let file = directory.join("servercerts").join(format!("{name}.crt"));
        if let Some(text) = read(&file)? {
            let certificate = CertificateDer::from_pem_slice(&text).map_err(|_| {
                Fault::failed(format!(
                    "{}: there is no certificate in it{}",
                    file.display(),
                    keys::instead("CERTIFICATE", &text)
                ))
                .hint("remove the file, then remove the remote with its client and add it again")
            })?;
            return Ok(Some((certificate, file)));
        }
    }
    Ok(None)
}

/// The certificate authority (`client.ca`) and its file. If it exists, it is the only one that is trusted.
pub fn authority(directories: &Directories) -> Result<Option<(Vec<CertificateDer<'static>>, PathBuf)>, Fault> {
    let file = directories.user.join("client.ca");
    let Some(text) = read(&file)? else { return Ok(None) };
    Ok(Some((certificates(&file, &text)?, file)))
}

impl Login {
    /// Finds a login in the environment and the files, in the same order as the clients: token, saved OIDC login,
    /// certificate.
    pub fn find(
        environment: &Environment,
        flavour: Flavour,
        directories: &Directories,
        name: &str,
        auth_type: Option<&str>,
    ) -> Result<Self, Fault> {
        const TOKEN: &str = "LXD_AUTH_BEARER_TOKEN";
        if let Some(text) = environment.var(TOKEN).filter(|_| flavour == Flavour::Lxd) {
            let source = format!("${TOKEN}");
            let token = token(&text.to_string_lossy()).map_err(|what| {
                Fault::failed(format!("{source}: it is not a token: it contains {what}"))
                    .hint("set it to the token alone, or unset it")
                    .permanent()
            })?;
            return Ok(Self::Token { token, source, user: None });
        }
        if auth_type == Some("oidc") {
            return oidc(&directories.user.join("oidctokens").join(format!("{name}.json")), flavour, name);
        }
        let certificate_file = directories.user.join("client.crt");
        let key_file = directories.user.join("client.key");
        let Some(certificate) = read(&certificate_file)? else {
            return Ok(Self::Nobody { looked_for: certificate_file });
        };
        let chain = certificates(&certificate_file, &certificate)?;
        let Some(key) = read(&key_file)? else {
            return Err(Fault::failed(format!("{}: missing, but there is a client.crt", key_file.display()))
                .hint(format!("`{} remote add` makes both when neither is there", flavour.client())));
        };
        let key = keys::private(&key_file, &key, flavour)?;
        Ok(Self::Certificate { chain, key, key_file })
    }

    /// The value of the `Authorization` header, if this login uses one.
    #[must_use]
    pub fn authorization(&self) -> Option<Secret> {
        match self {
            Self::Token { token: Secret(token), .. } => Some(Secret(format!("Bearer {token}"))),
            _ => None,
        }
    }
}

/// An OIDC login that `lxc` or `incus` has saved (`oidc.Tokens` of github.com/zitadel/oidc, as JSON).
fn oidc(file: &Path, flavour: Flavour, name: &str) -> Result<Login, Fault> {
    #[derive(Deserialize)]
    struct Tokens {
        access_token: Option<String>,
        #[serde(rename = "IDTokenClaims")]
        claims: Option<Claims>,
    }
    #[derive(Deserialize)]
    struct Claims {
        email: Option<String>,
        sub: Option<String>,
    }
    let shown = file.display();
    let again = format!("log in again: {} list {name}:", flavour.client());
    let Some(text) = read(file)? else {
        return Err(Fault::failed(format!("{shown}: there is no saved login")).hint(again));
    };
    let tokens: Tokens = serde_json::from_slice(&text).map_err(|error| {
        // An error of this kind quotes the value, which can be a token.
        let what = if error.is_data() {
            format!("not what a client saves: line {}, column {}", error.line(), error.column())
        } else {
            error.to_string()
        };
        Fault::failed(format!("{shown}: {what}")).hint(again.clone())
    })?;
    let Some(text) = tokens.access_token.filter(|token| !token.is_empty()) else {
        return Err(Fault::failed(format!("{shown}: there is no access token in it")).hint(again));
    };
    let token = token(&text)
        .map_err(|what| Fault::failed(format!("{shown}: its access token contains {what}")).hint(again.clone()))?;
    let user = tokens.claims.and_then(|claims| claims.email.or(claims.sub));
    Ok(Login::Token { token, source: shown.to_string(), user })
}

/// The token in `text`, without trailing line ends: an editor adds one, and `$(cat FILE)` keeps a carriage return.
///
/// # Errors
/// What `text` contains that is not allowed in a header value or would begin another header.
fn token(text: &str) -> Result<Secret, &'static str> {
    let token = text.trim_end_matches(['\r', '\n']);
    match token.chars().find(|c| !c.is_ascii_graphic()) {
        None if token.is_empty() => Err("nothing but line ends"),
        None => Ok(Secret(token.to_owned())),
        Some('\r' | '\n') => Err("a line end"),
        Some(' ') => Err("a space"),
        Some(c) if c.is_control() => Err("a control character"),
        Some(_) => Err("a character that is not ASCII"),
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
