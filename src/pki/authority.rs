//! A certificate authority that signs the webhook's serving certificates.
//!
//! The API server accepts a webhook's certificate on three conditions: it chains to the
//! configuration's `caBundle`, the name dialled is among its subject alternative names (a common
//! name alone is refused by Go's `crypto/x509`), and it may be used for server authentication.
//! An authority made anew at every start satisfies them without a key on any disk; one that replicas
//! share is read again from what was kept of it.
//!
//! Time is an argument: the caller reads the clock.

use std::net::IpAddr;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData as _, SanType,
};
use rustls::pki_types::{DnsName, InvalidDnsNameError};
use time::{Duration, OffsetDateTime};

use super::{Leaf, Root};

/// How far certificates are dated back.
///
/// The API server's clock may be behind ours, and to it a certificate made this second is not
/// valid yet. One hour is what open-policy-agent/cert-controller chose.
pub(super) const BACKDATED: Duration = Duration::HOUR;

/// How the common name of every authority begins.
pub(super) const NAMED: &str = "tunnelguard authority ";

/// A certificate authority, with its key.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    root: Root,
}

/// Why no certificate could be made.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A serving certificate for nothing: every client would refuse it.
    #[error("a serving certificate needs at least one DNS name or IP address")]
    NoNames,
    /// A name that no client could dial.
    #[error("{name:?} is not a DNS name")]
    Name {
        /// The name as given.
        name: String,
        /// What is wrong with it.
        source: InvalidDnsNameError,
    },
    /// The end of the validity lies beyond the calendar.
    #[error("{life} after {now} is past the last date that can be written")]
    Validity {
        /// The time given.
        now: OffsetDateTime,
        /// How long it was to be valid.
        life: Duration,
    },
    /// Making the key, encoding or signing failed.
    #[error("cannot make the certificate")]
    Certificate(#[from] rcgen::Error),
}

impl Authority {
    /// Makes a key and a self-signed certificate, valid for `life` from `now`.
    ///
    /// # Errors
    /// If `life` leads past the calendar's end, or the key cannot be made.
    pub fn mint(now: OffsetDateTime, life: Duration) -> Result<Self, AuthorityError> {
        // P-256: in Go's default list of curves and signatures, so every API server verifies it.
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;

        let mut params = CertificateParams::default();
        (params.not_before, params.not_after) = validity(now, life)?;
        // A leaf may follow, another authority may not.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name = unique_subject(&params.key_identifier(&key));

        let certificate = params.self_signed(&key)?;
        let root =
            Root::read(certificate.der()).map_err(|_| rcgen::Error::CouldNotParseCertificate)?;
        Ok(Self {
            issuer: Issuer::new(params, key),
            root,
        })
    }

    /// Reads what was kept of an authority: its certificate and its key, in PEM.
    ///
    /// # Errors
    /// What keeps it from signing.
    pub fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Self, &'static str> {
        let root = match <[Root; 1]>::try_from(Root::all_of(certificate)) {
            Ok([root]) => root,
            Err(_) => return Err("its certificate is not that of one authority"),
        };
        let key = str::from_utf8(key)
            .ok()
            .and_then(|key| KeyPair::from_pem(key).ok());
        let key = key.ok_or("its key cannot be read")?;
        if key.subject_public_key_info() != root.public_key() {
            return Err("its key is not its certificate's");
        }
        let issuer = Issuer::from_ca_cert_der(root.der(), key);
        let issuer = issuer.map_err(|_| "its certificate cannot be used to sign")?;
        Ok(Self { issuer, root })
    }

    /// What clients trust of it.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// The authority's certificate: the content of a webhook configuration's `caBundle`, before
    /// base64.
    pub fn certificate_pem(&self) -> String {
        self.root.pem()
    }

    /// Its private key: PKCS#8 in PEM, not encrypted.
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// Makes a key and a certificate for a server that is dialled by any of `dns_names` and
    /// `addresses`, valid for `life` from `now` but never longer than the authority itself.
    ///
    /// # Errors
    /// If there is no name at all, one is not a DNS name, `life` leads past the calendar's end,
    /// or the key cannot be made.
    pub fn sign_leaf(
        &self,
        dns_names: &[String],
        addresses: &[IpAddr],
        now: OffsetDateTime,
        life: Duration,
    ) -> Result<Leaf, AuthorityError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;

        let mut params = CertificateParams::default();
        let (not_before, not_after) = validity(now, life)?;
        params.not_before = not_before;
        params.not_after = not_after.min(self.root.not_after());
        // Only the role: a common name holds 64 characters (RFC 5280, ub-common-name), the name of
        // a Service up to 63 + 1 + 63 + 4, and no client reads it.
        params.distinguished_name = common_name("tunnelguard webhook");
        params.subject_alt_names = alternative_names(dns_names, addresses)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;

        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Leaf {
            certificate,
            key,
            not_after: params.not_after,
        })
    }
}

/// `not_before` and `not_after` of a certificate made at `now` for `life`, to the second: a
/// certificate holds no fractions (RFC 5280 §4.1.2.5).
fn validity(
    now: OffsetDateTime,
    life: Duration,
) -> Result<(OffsetDateTime, OffsetDateTime), AuthorityError> {
    let second = now.truncate_to_second();
    let not_before = second.checked_sub(BACKDATED);
    let not_after = second.checked_add(life);
    not_before
        .zip(not_after)
        .ok_or(AuthorityError::Validity { now, life })
}

/// A subject that no other authority has.
///
/// Replicas and restarts mint an authority each, and a `caBundle` may hold two of them. Under
/// equal subjects Go would try the wrong one as the issuer first, so the subject carries the
/// first 64 bits of the key's own SHA-256.
fn unique_subject(key_identifier: &[u8]) -> DistinguishedName {
    let fingerprint: String = key_identifier
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    common_name(&format!("{NAMED}{fingerprint}"))
}

fn common_name(name: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    subject
}

fn alternative_names(
    dns_names: &[String],
    addresses: &[IpAddr],
) -> Result<Vec<SanType>, AuthorityError> {
    if dns_names.is_empty() && addresses.is_empty() {
        return Err(AuthorityError::NoNames);
    }
    let mut names = Vec::with_capacity(dns_names.len() + addresses.len());
    for name in dns_names {
        DnsName::try_from(name.as_str()).map_err(|source| AuthorityError::Name {
            name: name.clone(),
            source,
        })?;
        names.push(SanType::DnsName(name.as_str().try_into()?));
    }
    names.extend(addresses.iter().copied().map(SanType::IpAddress));
    Ok(names)
}
