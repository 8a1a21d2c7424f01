//! What went wrong between us and a server, in words, and what mends it.

mod proxy;
mod refusal;
mod socket;

use std::fmt;
use std::io;
use std::path::Path;
use std::time::Duration;

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, OtherError, PeerIncompatible};

pub(super) use self::proxy::{of_proxy, of_proxys_handshake, of_proxys_refusal, of_socks};
pub(super) use self::refusal::Refused;
pub(super) use self::socket::of_unix_socket;
use crate::remote::{Address, Https, Remote};
use crate::report::exit::Fault;
use crate::system::duration::shown;

/// The server's certificate differs from the pinned one.
#[derive(Debug)]
pub(super) struct Changed {
    pub(super) pinned: String,
    pub(super) presented: String,
}

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the server's certificate has changed: the accepted one was {}, now it is {}",
            self.pinned, self.presented
        )
    }
}

impl std::error::Error for Changed {}

/// There is no answer within this time.
pub(super) fn of_silence(time: Duration) -> Fault {
    Fault::failed(format!("no answer within {}", shown(time))).hint("is it an LXD or Incus server, and does it hang?")
}

/// The first connection to each remote has failed, for reasons that were reported.
pub(super) fn of_all_remotes() -> Fault {
    Fault::failed("none of the remotes can be followed").hint("--retry keeps trying")
}

/// The client's files cannot be read within this time.
pub(super) fn of_files(directory: &str, time: Duration) -> Fault {
    Fault::failed(format!("the client's files in {directory}: no answer within {}", shown(time)))
        .hint("is that directory on a network file system whose server is gone?")
}

/// The name of a host has no address.
pub(super) fn of_name(name: &str, error: &io::Error) -> Fault {
    Fault::failed(format!("cannot find the address of {name}: {error}")).hint("is the name right, and the network up?")
}

/// None of the addresses of a host accepts a connection. `reasons` names them.
pub(super) fn of_connecting(reasons: &str) -> Fault {
    Fault::failed(reasons)
        .hint("is the server up, and does core.https_address listen there? Only the remote's own addresses are tried")
}

/// The client certificate cannot be used with its key.
pub(super) fn of_client_certificate(error: &Error, key_file: &Path) -> Fault {
    let certificate = key_file.with_extension("crt");
    match error {
        Error::InvalidCertificate(_) => {
            Fault::failed(format!("{}: the certificate in it is damaged", certificate.display()))
                .hint("put back a whole copy, or remove it and its key and add the remote again")
        }
        Error::InconsistentKeys(_) => {
            let certificate = certificate.file_name().unwrap_or_default().display();
            Fault::failed(format!("{}: the key is not that of {certificate} beside it", key_file.display()))
                .hint("put back the key that belongs to the certificate, or remove both and add the remote again")
        }
        error => Fault::failed(format!("{}: {error}", key_file.display())),
    }
}

/// The server's certificate is not pinned, and there are no authorities that could have signed it.
pub(super) fn of_no_authorities() -> Fault {
    Fault::failed("the system trusts no authority at all")
        .hint("install the package ca-certificates, or accept the server's certificate with `remote add` of the client")
}

/// Explains an error on a connection to `remote` if TLS caused it: in TLS 1.3 a server verifies our certificate only
/// after our side has completed the handshake.
pub(super) fn in_words(error: anyhow::Error, remote: &Remote) -> anyhow::Error {
    let io = error.chain().find_map(|cause| cause.downcast_ref::<io::Error>());
    match (io.and_then(of_tls), &remote.address) {
        (Some(tls), Address::Https(https)) => explain_tls(tls, remote, https, false).into(),
        _ => error,
    }
}

fn of_tls(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

/// Explains why a handshake failed, with a hint.
pub(super) fn of_handshake(error: &io::Error, remote: &Remote, https: &Https, is_pinned: bool) -> Fault {
    match (of_tls(error), error.kind()) {
        (Some(tls), _) => explain_tls(tls, remote, https, is_pinned),
        (None, io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => {
            Fault::failed("the server ended the connection during the TLS handshake")
                .hint("is it an LXD or Incus server, and is the port right?")
        }
        _ => Fault::failed(error.to_string()),
    }
}

fn explain_tls(error: &Error, remote: &Remote, https: &Https, is_pinned: bool) -> Fault {
    let failed = |what: String| Fault::failed(what);
    match error {
        Error::InvalidCertificate(error) => explain_certificate(error, remote, https, is_pinned),
        Error::AlertReceived(alert) => explain_alert(*alert, remote, https),
        Error::PeerIncompatible(lack) => explain_lack(lack, remote, https),
        Error::NoCertificatesPresented => failed("the server sent no certificate".into())
            .hint(format!("is {} the address of an LXD or Incus server?", https.url)),
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType
            | InvalidMessage::UnknownProtocolVersion
            | InvalidMessage::InvalidEmptyPayload
            | InvalidMessage::MessageTooLarge,
        ) => failed("the server does not speak TLS on this port".into())
            .hint(format!("is {} the address of an LXD or Incus server?", https.url)),
        Error::InvalidMessage(what) => broken_rules(&words(what)),
        Error::PeerMisbehaved(what) => broken_rules(&words(what)),
        Error::InappropriateMessage { got_type, .. } => broken_rules(&format!("unexpected {}", words(got_type))),
        Error::InappropriateHandshakeMessage { got_type, .. } => {
            broken_rules(&format!("unexpected {}", words(got_type)))
        }
        Error::DecryptError => broken_rules("a message cannot be decrypted"),
        Error::PeerSentOversizedRecord => broken_rules("a record is too long"),
        Error::NoApplicationProtocol => failed("the server does not support HTTP/1.1 on this port".into())
            .hint(format!("is {} the address of an LXD or Incus server?", https.url)),
        Error::FailedToGetCurrentTime => {
            failed("this machine's clock is before 1970, so that no certificate can be verified".into())
                .hint("set the clock")
        }
        Error::FailedToGetRandomBytes => failed("the system provides no random numbers for TLS".into()),
        error => failed(format!("TLS: {error}")),
    }
}

/// The server, or a middlebox, violates the TLS protocol.
fn broken_rules(what: &str) -> Fault {
    Fault::failed(format!("what the server sends violates the TLS protocol: {what}"))
        .hint("does a proxy or firewall on the way change what is sent?")
}

/// A command that removes the remote and adds it again, so that client and server accept each other's certificates.
pub(super) fn add_again(remote: &Remote, https: &Https) -> String {
    let (client, name) = (remote.flavour.client(), &remote.name);
    format!("{client} remote remove {name} && {client} remote add {name} {}", https.url)
}

/// Explains why the server's certificate is rejected.
fn explain_certificate(error: &CertificateError, remote: &Remote, https: &Https, is_pinned: bool) -> Fault {
    let accept = || format!("accept the certificate itself: {}", add_again(remote, https));
    let certificate = |what: &str| Fault::failed(format!("the server's certificate {what}"));
    let renew = "make a new one on the server, with a key on P-256 or P-384 or an RSA key";
    let fault = match error {
        CertificateError::Other(OtherError(other)) if other.is::<Changed>() => {
            Fault::failed(other.to_string()).hint(format!("if that is right, accept it: {}", add_again(remote, https)))
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            certificate("has expired").hint("renew it on the server; check this machine's clock")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            certificate("is not valid yet").hint("check the clocks of both machines")
        }
        CertificateError::BadSignature if is_pinned => {
            Fault::failed("the server shows the accepted certificate but does not have its key: it is an impostor")
        }
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            Fault::failed("no authority that we trust has signed the server's certificate").hint(accept())
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            certificate(&format!("is not for {:?}", https.host.name))
                .hint("use a name that is in the certificate, or accept the certificate itself with `remote add`")
        }
        CertificateError::Revoked => certificate("has been revoked").hint("renew it on the server"),
        CertificateError::BadEncoding => certificate("is damaged, or of a form that lxmon does not know").hint(renew),
        CertificateError::UnhandledCriticalExtension => {
            certificate("has a critical extension that lxmon does not know").hint(accept())
        }
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            certificate("is signed in a way that lxmon does not know").hint(renew)
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            certificate("is not a server certificate").hint(accept())
        }
        // Errors of webpki, which verifies chains, come as this variant if rustls has none of its own for them.
        CertificateError::Other(OtherError(other)) => match &*words(other) {
            "ca used as end entity" => certificate("is that of an authority, not of a server").hint(accept()),
            other => certificate(&format!("is rejected: {other}")).hint(accept()),
        },
        error => certificate(&format!("is rejected: {}", words(error))).hint(accept()),
    };
    fault.permanent()
}

/// Explains an alert that the server has sent.
fn explain_alert(alert: AlertDescription, remote: &Remote, https: &Https) -> Fault {
    let trust = || format!("have the server trust this client: {}", add_again(remote, https));
    let ours = |what: &str| {
        Fault::failed(format!("the server does not accept this client's certificate: {what}")).hint(trust()).permanent()
    };
    match alert {
        AlertDescription::ProtocolVersion => no_version(remote, https),
        AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity => {
            Fault::failed("the server and lxmon have no encryption method in common").hint(if https.allow_tls12 {
                "update the server".to_owned()
            } else {
                format!("update the server; {}=1 allows TLS 1.2 too", remote.flavour.tls12_variable())
            })
        }
        AlertDescription::CertificateRequired | AlertDescription::NoCertificate => {
            Fault::failed("the server requires a client certificate, and there is none").hint(trust()).permanent()
        }
        AlertDescription::BadCertificate => ours("it is invalid"),
        AlertDescription::UnsupportedCertificate => ours("it is of a kind that the server does not know"),
        AlertDescription::CertificateRevoked => ours("it has been revoked"),
        AlertDescription::CertificateExpired => ours("it has expired, or one of the clocks is wrong"),
        AlertDescription::CertificateUnknown => ours("the server cannot use it"),
        AlertDescription::UnknownCA => ours("no authority that the server trusts has signed it"),
        AlertDescription::AccessDenied => ours("access denied"),
        AlertDescription::UnrecognisedName => {
            Fault::failed(format!("there is no server named {:?} at this address", https.host.name))
                .hint("use the name that the server goes by")
                .permanent()
        }
        AlertDescription::NoApplicationProtocol => Fault::failed("the server does not support HTTP/1.1 on this port")
            .hint(format!("is {} the address of an LXD or Incus server?", https.url)),
        AlertDescription::InternalError => {
            Fault::failed("the server has an internal error in the TLS handshake").hint("its log says more")
        }
        AlertDescription::CloseNotify | AlertDescription::UserCanceled => {
            Fault::failed("the server ended the connection during the TLS handshake")
                .hint("is it an LXD or Incus server, and is the port right?")
        }
        AlertDescription::Unknown(number) => {
            Fault::failed(format!("the server refuses the TLS handshake, with the unknown alert {number}"))
        }
        alert => Fault::failed(format!("the server refuses the TLS handshake: {}", words(alert)))
            .hint("does a proxy or firewall on the way change what is sent?"),
    }
}

/// Explains what the server's TLS does not support.
fn explain_lack(lack: &PeerIncompatible, remote: &Remote, https: &Https) -> Fault {
    match lack {
        PeerIncompatible::ServerDoesNotSupportTls12Or13 => {
            Fault::failed("the server supports neither TLS 1.3 nor TLS 1.2").hint("update the server").permanent()
        }
        PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
        | PeerIncompatible::SupportedVersionsExtensionRequired
        | PeerIncompatible::Tls12NotOffered
        | PeerIncompatible::Tls12NotOfferedOrEnabled => no_version(remote, https),
        PeerIncompatible::NoCipherSuitesInCommon | PeerIncompatible::NoKxGroupsInCommon => {
            Fault::failed("the server and lxmon have no encryption method in common")
                .hint("update the server")
                .permanent()
        }
        PeerIncompatible::NoSignatureSchemesInCommon
        | PeerIncompatible::NoCertificateRequestSignatureSchemesInCommon => {
            Fault::failed("the server accepts no signature that this client's key can make")
                .hint(format!("make a new key: put client.crt and client.key away, then {}", add_again(remote, https)))
                .permanent()
        }
        lack => Fault::failed(format!("the server's TLS lacks what lxmon needs: {}", words(lack)))
            .hint("update the server")
            .permanent(),
    }
}

/// The server supports no TLS version that is allowed.
fn no_version(remote: &Remote, https: &Https) -> Fault {
    if https.allow_tls12 {
        Fault::failed("the server supports neither TLS 1.3 nor TLS 1.2").hint("update the server").permanent()
    } else {
        Fault::failed("the server does not support TLS 1.3")
            .hint(format!("{}=1 allows TLS 1.2; better update the server", remote.flavour.tls12_variable()))
            .permanent()
    }
}

/// The name of a variant as separate words: rustls has no other text for most variants.
fn words(variant: impl fmt::Debug) -> String {
    let name = format!("{variant:?}");
    let name = name.split(['(', '{', ' ']).next().unwrap_or_default();
    let mut words = String::with_capacity(name.len() + 8);
    let mut was_upper = true;
    for character in name.chars() {
        if character.is_uppercase() && !was_upper {
            words.push(' ');
        }
        was_upper = character.is_uppercase();
        words.extend(character.to_lowercase());
    }
    words
}

/// Whether a retry cannot succeed.
pub(super) fn is_permanent(error: &anyhow::Error) -> bool {
    error.chain().filter_map(|cause| cause.downcast_ref::<Fault>()).any(Fault::is_permanent)
}

#[cfg(test)]
mod tests {
    use rustls::PeerMisbehaved;
    use rustls::pki_types::UnixTime;

    use super::*;
    use crate::remote::{Directories, Flavour, Host};

    fn explained(error: &Error, allow_tls12: bool) -> Fault {
        let https = Https {
            url: "https://host:8443".into(),
            host: Host { name: "host".into(), port: 8443 },
            prefix: String::new(),
            auth_type: None,
            directories: Directories::default(),
            proxy: None,
            allow_tls12,
        };
        let address = Address::Https(Box::new(https.clone()));
        let remote = Remote {
            name: "n1".into(),
            flavour: Flavour::Lxd,
            why: String::new(),
            address,
            further: Vec::new(),
            project: None,
        };
        explain_tls(error, &remote, &https, false)
    }

    #[test]
    fn every_alert_is_a_sentence() {
        for number in 0..=255 {
            let fault = explained(&Error::AlertReceived(AlertDescription::from(number)), false);
            let text = fault.to_string();
            assert!(text.contains("server") && text.contains(' '), "{number}: {text}");
            // The text contains no name of a variant.
            let has_inner_capital = |word: &str| word.chars().skip(1).any(char::is_uppercase);
            let odd = text.split([' ', '/']).find(|word| has_inner_capital(word) && !["TLS", "HTTP"].contains(word));
            assert_eq!(odd, None, "{number}: {text}");
        }
    }

    #[test]
    fn versions_are_told_apart() {
        for (lack, allow_tls12, says) in [
            (PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig, false, "the server does not support TLS 1.3"),
            (PeerIncompatible::ServerDoesNotSupportTls12Or13, false, "the server supports neither TLS 1.3 nor TLS 1.2"),
            (PeerIncompatible::ServerDoesNotSupportTls12Or13, true, "the server supports neither TLS 1.3 nor TLS 1.2"),
            (
                PeerIncompatible::NoCipherSuitesInCommon,
                false,
                "the server and lxmon have no encryption method in common",
            ),
            (
                PeerIncompatible::ExtendedMasterSecretExtensionRequired,
                true,
                "the server's TLS lacks what lxmon needs: extended master secret extension required",
            ),
        ] {
            let fault = explained(&Error::PeerIncompatible(lack), allow_tls12);
            assert_eq!(fault.to_string(), says);
            let names_variable = fault.hint_text().is_some_and(|hint| hint.contains("INSECURE"));
            assert_eq!(names_variable, says == "the server does not support TLS 1.3", "{says}");
        }
        let refused = Error::AlertReceived(AlertDescription::ProtocolVersion);
        assert_eq!(explained(&refused, false).to_string(), "the server does not support TLS 1.3");
        assert_eq!(explained(&refused, true).to_string(), "the server supports neither TLS 1.3 nor TLS 1.2");
    }

    #[test]
    fn what_has_no_sentence_of_its_own_is_spelled_out() {
        for (error, says) in [
            (
                Error::PeerMisbehaved(PeerMisbehaved::TooManyEmptyFragments),
                "what the server sends violates the TLS protocol: too many empty fragments",
            ),
            (
                Error::InvalidMessage(InvalidMessage::InvalidDhParams),
                "what the server sends violates the TLS protocol: invalid dh params",
            ),
            (
                Error::InvalidCertificate(CertificateError::InvalidOcspResponse),
                "the server's certificate is rejected: invalid ocsp response",
            ),
            (
                Error::InvalidCertificate(CertificateError::ExpiredRevocationListContext {
                    time: UnixTime::now(),
                    next_update: UnixTime::now(),
                }),
                "the server's certificate is rejected: expired revocation list context",
            ),
            (
                Error::FailedToGetCurrentTime,
                "this machine's clock is before 1970, so that no certificate can be verified",
            ),
        ] {
            assert_eq!(explained(&error, false).to_string(), says);
        }
    }
}
