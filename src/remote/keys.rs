//! Private keys: reads those that can be used, and says what the others are.

use std::path::Path;

use memchr::memmem;
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use x509_cert::der::asn1::UintRef;
use x509_cert::der::{Decode as _, Header, Reader as _, SliceReader};

use super::Flavour;
use crate::report::exit::Fault;

/// The private key in the PEM file `file`, whose contents are `text`. `by_client` is the hint for keys that the client
/// asks a pass phrase for, if it does so.
pub(super) fn private(
    file: &Path,
    text: &[u8],
    flavour: Flavour,
    by_client: Option<String>,
) -> Result<PrivateKeyDer<'static>, Fault> {
    let shown = file.display();
    let certificate = file.with_extension("crt");
    let labels = labels(text);
    // The clients use the first block whose label ends like this (Go's crypto/tls, X509KeyPair).
    let label = labels.iter().find(|label| label.ends_with("PRIVATE KEY")).map(String::as_str);
    let is_encrypted = label == Some("ENCRYPTED PRIVATE KEY") || memmem::find(text, b"4,ENCRYPTED").is_some();
    if label.is_some() && is_encrypted {
        let fault = Fault::failed(format!("{shown}: the key is encrypted, and lxmon does not ask for pass phrases"));
        return Err(fault
            .hint(by_client.unwrap_or_else(|| {
                format!("openssl pkey -in {shown} -out {shown}.plain, then put that in its place")
            })));
    }
    let none = |what: &str| {
        Fault::failed(format!("{shown}: there is no private key in it{what}"))
            .hint("it should hold a PEM block of an EC, RSA or PKCS#8 private key")
    };
    let unusable = |what: &str| {
        let client = flavour.client();
        Fault::failed(format!("{shown}: {what}, which cannot be used")).hint(format!(
            "usable are EC keys on P-256 and P-384, Ed25519, and RSA keys of 2048 to 4096 bits; `{client} remote add` \
             makes one once {} and {shown} have been moved away",
            certificate.display()
        ))
    };
    match label {
        None => return Err(none(&instead("PRIVATE KEY", text))),
        Some("OPENSSH PRIVATE KEY") => {
            let fault = unusable("an OpenSSH key");
            return Err(match by_client {
                Some(hint) => fault.hint(hint),
                None => fault,
            });
        }
        Some("DSA PRIVATE KEY") => return Err(unusable("a DSA key")),
        Some("PRIVATE KEY" | "EC PRIVATE KEY" | "RSA PRIVATE KEY") => {}
        Some(other) => return Err(unusable(&format!("a key of the form {other:?}"))),
    }
    let key = PrivateKeyDer::from_pem_slice(text).map_err(|_| {
        Fault::failed(format!("{shown}: the PEM block of its private key is damaged"))
            .hint(format!("put back a whole copy of the key that belongs to {}", certificate.display()))
    })?;
    match ring::default_provider().key_provider.load_private_key(key.clone_key()) {
        Ok(_) => Ok(key),
        Err(_) => Err(unusable(&kind(&key))),
    }
}

/// What `text` contains instead of a PEM block labelled `wanted`, as the end of a sentence.
pub(super) fn instead(wanted: &str, text: &[u8]) -> String {
    let labels = labels(text);
    let article = |label: &str| if label.starts_with(['A', 'E', 'O', 'R']) { "an" } else { "a" };
    match (&labels[..], text) {
        ([], text) if text.trim_ascii().is_empty() => ": it is empty".to_owned(),
        // 0x30 is the tag of a DER sequence, with which certificates and keys begin.
        ([], [0x30, ..]) if !text.is_ascii() || text.contains(&0) => {
            ": it is in DER format, and PEM is required".to_owned()
        }
        ([], _) => String::new(),
        ([label, ..], _) => {
            let label = match &**label {
                label if label == wanted => return " but a damaged one".to_owned(),
                "RSA PUBLIC KEY" | "PUBLIC KEY" => "public key",
                "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE" => "certificate",
                "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => "certificate request",
                label if label.ends_with("PRIVATE KEY") => "private key",
                label => return format!(" but {} {label}", article(label)),
            };
            format!(" but a {label}")
        }
    }
}

/// The labels of the PEM blocks that begin in `text`, including damaged blocks, which parsers skip.
fn labels(text: &[u8]) -> Vec<String> {
    let begin = b"-----BEGIN ";
    memmem::find_iter(text, begin)
        .filter_map(|at| {
            let label = &text[at + begin.len()..];
            let label = &label[..memmem::find(label, b"-----")?];
            let is_name = label.len() <= 40 && label.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ');
            is_name.then(|| String::from_utf8_lossy(label).into_owned())
        })
        .collect()
}

/// The kind of a key that cannot be used.
fn kind(key: &PrivateKeyDer<'_>) -> String {
    /// Encoded object identifiers (RFC 5480, 8410, 8017, 3279, 5639; NIST's arcs for the newest), the more specific
    /// ones first.
    const KINDS: [(&[u8], &str); 21] = [
        (b"\x06\x05\x2b\x81\x04\x00\x23", "an EC P-521 key"),
        (b"\x06\x05\x2b\x81\x04\x00\x21", "an EC P-224 key"),
        (b"\x06\x05\x2b\x81\x04\x00\x0a", "an EC secp256k1 key"),
        (b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x01", "an EC P-192 key"),
        (b"\x06\x09\x2b\x24\x03\x03\x02\x08\x01\x01", "an EC Brainpool key"),
        (b"\x06\x08\x2a\x81\x1c\xcf\x55\x01\x82\x2d", "an SM2 key"),
        (b"\x06\x07\x2a\x86\x48\xce\x3d\x01\x01", "an EC key whose curve is spelled out, not named"),
        (b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07", "a damaged EC P-256 key"),
        (b"\x06\x05\x2b\x81\x04\x00\x22", "a damaged EC P-384 key"),
        (b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01", "an EC key on another curve than P-256 and P-384"),
        (b"\x06\x07\x2a\x86\x48\xce\x38\x04\x01", "a DSA key"),
        (b"\x06\x03\x2b\x65\x70", "a damaged Ed25519 key"),
        (b"\x06\x03\x2b\x65\x71", "an Ed448 key"),
        (b"\x06\x03\x2b\x65\x6e", "an X25519 key"),
        (b"\x06\x03\x2b\x65\x6f", "an X448 key"),
        (b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x03\x01", "a Diffie-Hellman key"),
        (b"\x06\x07\x2a\x86\x48\xce\x3e\x02\x01", "a Diffie-Hellman key"),
        (b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a", "an RSA-PSS key"),
        (b"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03\x11", "an ML-DSA key"),
        (b"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03\x12", "an ML-DSA key"),
        (b"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03\x13", "an ML-DSA key"),
    ];
    const RSA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01";
    let der = key.secret_der();
    let is_rsa = matches!(key, PrivateKeyDer::Pkcs1(_)) || memmem::find(der, RSA).is_some_and(|at| at < 16);
    if is_rsa {
        return match rsa_bits(der) {
            Some(bits) => format!("an RSA key of {bits} bits"),
            None => "a damaged RSA key".to_owned(),
        };
    }
    // In PKCS#8 the identifiers precede the key itself, in SEC 1 they follow it.
    let known = KINDS.into_iter().find(|(identifier, _)| memmem::find(der, identifier).is_some());
    match (known, key) {
        (Some((_, name)), _) => name.to_owned(),
        (None, PrivateKeyDer::Sec1(_)) => "an EC key without the name of its curve".to_owned(),
        (None, _) => "a key of an unknown kind".to_owned(),
    }
}

/// The length of an RSA key's modulus, in PKCS#1 or PKCS#8.
fn rsa_bits(der: &[u8]) -> Option<usize> {
    let mut reader = SliceReader::new(der).ok()?;
    Header::decode(&mut reader).ok()?;
    let _version: UintRef<'_> = reader.decode().ok()?;
    if reader.peek_byte() == Some(0x30) {
        // PKCS#8: the algorithm, then PKCS#1 as an octet string.
        let algorithm = Header::decode(&mut reader).ok()?;
        reader.read_slice(algorithm.length).ok()?;
        Header::decode(&mut reader).ok()?;
        Header::decode(&mut reader).ok()?;
        let _version: UintRef<'_> = reader.decode().ok()?;
    }
    let modulus: UintRef<'_> = reader.decode().ok()?;
    let bytes = modulus.as_bytes();
    let first = bytes.first()?;
    Some(bytes.len() * 8 - usize::try_from(first.leading_zeros()).ok()?)
}
