//! A certificate chain with its key, checked for what the API server will check.

use std::sync::Arc;

use rustls::{
    crypto::aws_lc_rs,
    pki_types::CertificateDer,
    sign::{CertifiedKey, SigningKey},
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer as _};

use super::expected::Expected;
use super::pem_file::{CertificateFileError, PemFile};

/// A certificate chain and its key as rustls serves them.
#[derive(Clone, Debug)]
pub struct ServingPair {
    /// The chain, leaf first, and the key of the leaf.
    pub certified_key: Arc<CertifiedKey>,
    /// The last second at which the leaf is valid.
    pub not_after: OffsetDateTime,
}

impl ServingPair {
    /// Reads a chain and a key, and checks what would make a client refuse the pair.
    ///
    /// That the leaf is valid already is not checked: a certificate signed this second by a clock
    /// a little ahead of ours would be refused, and files are tried once, not again a second
    /// later when it is valid.
    pub(super) fn from_pem(
        certificate: PemFile<'_>,
        key: PemFile<'_>,
        expected: Expected<'_>,
        now: OffsetDateTime,
    ) -> Result<Self, CertificateFileError> {
        let chain = certificate.chain()?;
        let provider = aws_lc_rs::default_provider();
        let loaded = provider.key_provider.load_private_key(key.private_key()?);
        let signing_key = loaded.map_err(|_| {
            key.error(
                "holds a private key that TLS cannot sign with; make one that it can, \
                 ECDSA P-256 or RSA of at least 2048 bits",
            )
        })?;

        let parsed = parse(certificate, &chain)?;
        check_order(certificate, key, &parsed, &*signing_key)?;
        let leaf = &parsed[0];
        check_names(certificate, leaf)?;
        check_usage(certificate, leaf)?;
        let not_after = leaf.validity().not_after.to_datetime();
        if now > not_after {
            let end = rfc3339(not_after);
            return Err(certificate.error(format!(
                "its certificate was valid until {end} and is not now; renew it, or set this \
                 machine's clock if the certificate should still be valid"
            )));
        }
        let begins = leaf.validity().not_before.to_datetime();
        expected.check(certificate, &chain, now.max(begins))?;
        Ok(Self {
            certified_key: Arc::new(CertifiedKey::new(chain, signing_key)),
            not_after,
        })
    }
}

/// A moment as RFC 3339 writes it, to the second as in a certificate.
pub fn rfc3339(moment: OffsetDateTime) -> String {
    let moment = moment.truncate_to_second();
    // RFC 3339 knows the years 0 to 9999 only, as certificates do (RFC 5280 §4.1.2.5.2).
    moment
        .format(&Rfc3339)
        .unwrap_or_else(|_| moment.to_string())
}

/// Every certificate of the chain: Go's client ends the handshake if it cannot parse one.
fn parse<'a>(
    file: PemFile<'_>,
    chain: &'a [CertificateDer<'static>],
) -> Result<Vec<X509Certificate<'a>>, CertificateFileError> {
    let mut parsed = Vec::with_capacity(chain.len());
    for (index, der) in chain.iter().enumerate() {
        let Ok(([], certificate)) = X509Certificate::from_der(der) else {
            let number = index + 1;
            return Err(file.error(format!(
                "its certificate {number} is not an X.509 certificate; copy the chain into it again"
            )));
        };
        parsed.push(certificate);
    }
    Ok(parsed)
}

/// The leaf comes first and is the key's (RFC 8446 §4.4.2).
///
/// An authority's certificate that is the key's own is let through: `openssl req -x509` makes
/// such self-signed ones, and Go takes them for a server's.
fn check_order(
    file: PemFile<'_>,
    key_file: PemFile<'_>,
    parsed: &[X509Certificate<'_>],
    key: &dyn SigningKey,
) -> Result<(), CertificateFileError> {
    let public_key = key.public_key();
    // The comparison of rustls' `CertifiedKey::keys_match`, made for every certificate. Without a
    // public key there is nothing to compare; aws-lc's keys always have one.
    let is_keys = |certificate: &X509Certificate<'_>| {
        let public_key = public_key.as_deref();
        public_key.is_none_or(|public_key| public_key == certificate.public_key().raw)
    };
    let number = match parsed.iter().position(is_keys) {
        Some(0) => return Ok(()),
        Some(index) => index + 1,
        None if parsed[0].is_ca() => {
            return Err(file.error(
                "its first certificate is an authority's, and none is the key's: the leaf must \
                 come first; put it above the others",
            ));
        }
        None => {
            let key = key_file.path.display();
            return Err(file.error(format!(
                "its certificate does not match the key in {key}; write both files from the same \
                 Secret, or issue the certificate again for this key"
            )));
        }
    };
    Err(file.error(format!(
        "its certificate {number} is the key's, and the first is not: the leaf must come first; \
         move certificate {number} to the top"
    )))
}

/// Go does not look at the common name (crypto/x509, `Certificate.VerifyHostname`).
fn check_names(file: PemFile<'_>, leaf: &X509Certificate<'_>) -> Result<(), CertificateFileError> {
    let names = leaf.subject_alternative_name().ok().flatten();
    let is_dialled = |name: &GeneralName<'_>| {
        matches!(name, GeneralName::DNSName(_) | GeneralName::IPAddress(_))
    };
    if names.is_some_and(|names| names.value.general_names.iter().any(is_dialled)) {
        return Ok(());
    }
    Err(file.error(
        "its certificate has no DNS name or IP address as subject alternative name, and the API \
         server does not read the common name; issue it for <service>.<namespace>.svc",
    ))
}

/// Without the extension every use is allowed (RFC 5280 §4.2.1.12).
fn check_usage(file: PemFile<'_>, leaf: &X509Certificate<'_>) -> Result<(), CertificateFileError> {
    let serves = match leaf.extended_key_usage() {
        Ok(Some(usage)) => usage.value.any || usage.value.server_auth,
        Ok(None) => true,
        Err(_) => false,
    };
    if serves {
        return Ok(());
    }
    Err(file.error(
        "its certificate is not for servers; issue it with the extended key usage serverAuth",
    ))
}
