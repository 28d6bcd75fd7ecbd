//! A certificate authority that lives in memory and signs the webhook's serving certificate.
//!
//! The API server accepts a webhook's certificate on three conditions: it chains to the
//! configuration's `caBundle`, the name dialled is among its subject alternative names (a common
//! name alone is refused by Go's `crypto/x509`), and it may be used for server authentication.
//! An authority made anew at every start satisfies them without a key on any disk.
//!
//! Time is an argument: the caller reads the clock.

use std::net::IpAddr;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};
use rustls::pki_types::{DnsName, InvalidDnsNameError};
use time::{Duration, OffsetDateTime};

use super::Leaf;

/// How far certificates are dated back.
///
/// The API server's clock may be behind ours, and to it a certificate made this second is not
/// valid yet. One hour is what open-policy-agent/cert-controller chose.
const BACKDATED: Duration = Duration::HOUR;

/// A certificate authority whose key exists in this process only.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate_pem: String,
    not_after: OffsetDateTime,
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
    #[error("{days} days after {now} is past the last date that can be written")]
    Validity {
        /// The time given.
        now: OffsetDateTime,
        /// The days asked for.
        days: u16,
    },
    /// Making the key, encoding or signing failed.
    #[error("cannot make the certificate")]
    Certificate(#[from] rcgen::Error),
}

impl Authority {
    /// Makes a key and a self-signed certificate, valid for `days` from `now`.
    ///
    /// # Errors
    /// If `days` lead past the calendar's end, or the key cannot be made.
    pub fn mint(now: OffsetDateTime, days: u16) -> Result<Self, AuthorityError> {
        // P-256: in Go's default list of curves and signatures, so every API server verifies it.
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;

        let mut params = CertificateParams::default();
        (params.not_before, params.not_after) = validity(now, days)?;
        // A leaf may follow, another authority may not.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name = unique_subject(&params.key_identifier(&key));

        let certificate = params.self_signed(&key)?;
        Ok(Self {
            certificate_pem: certificate.pem(),
            not_after: params.not_after,
            issuer: Issuer::new(params, key),
        })
    }

    /// The authority's certificate: the content of a webhook configuration's `caBundle`, before
    /// base64.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// Makes a key and a certificate for a server that is dialled by any of `dns_names` and
    /// `addresses`, valid for `days` from `now` but never longer than the authority itself.
    ///
    /// # Errors
    /// If there is no name at all, one is not a DNS name, `days` lead past the calendar's end,
    /// or the key cannot be made.
    pub fn sign_leaf(
        &self,
        dns_names: &[String],
        addresses: &[IpAddr],
        now: OffsetDateTime,
        days: u16,
    ) -> Result<Leaf, AuthorityError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;

        let mut params = CertificateParams::default();
        let (not_before, not_after) = validity(now, days)?;
        params.not_before = not_before;
        params.not_after = not_after.min(self.not_after);
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

/// `not_before` and `not_after` of a certificate made at `now` for `days`, to the second: a
/// certificate holds no fractions (RFC 5280 §4.1.2.5).
fn validity(
    now: OffsetDateTime,
    days: u16,
) -> Result<(OffsetDateTime, OffsetDateTime), AuthorityError> {
    let second = now.truncate_to_second();
    let not_before = second.checked_sub(BACKDATED);
    let not_after = second.checked_add(Duration::days(i64::from(days)));
    not_before
        .zip(not_after)
        .ok_or(AuthorityError::Validity { now, days })
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
    common_name(&format!("tunnelguard authority {fingerprint}"))
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::{
        CertificateError::{self, *},
        Error, RootCertStore,
        client::{WebPkiServerVerifier, danger::ServerCertVerifier},
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
    };

    use super::*;

    const NAME: &str = "tunnelguard.tunnelguard-system.svc";
    const DAY: i64 = 24 * 60 * 60;

    fn now() -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(1_800_000_000).expect("a date in 2027")
    }

    fn leaf(authority: &Authority) -> Leaf {
        let addresses = ["127.0.0.1", "::1"].map(|address| address.parse().expect("an address"));
        let leaf = authority.sign_leaf(&[NAME.to_owned()], &addresses, now(), 90);
        leaf.expect("a leaf")
    }

    fn roots(authority: &Authority) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(authority.certificate_pem().as_bytes());
        roots.add(root.expect("a PEM certificate")).expect("a root");
        roots
    }

    /// Why a client that trusts `authority` alone refuses `leaf`, `after` seconds from now.
    fn refusal(
        authority: &Authority,
        leaf: &Leaf,
        name: &str,
        after: i64,
    ) -> Option<CertificateError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let roots = Arc::new(roots(authority));
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider).build();
        let name = ServerName::try_from(name.to_owned()).expect("a server name");
        let moment = u64::try_from(now().unix_timestamp() + after).expect("a time after 1970");
        let moment = UnixTime::since_unix_epoch(std::time::Duration::from_secs(moment));
        let verifier = verifier.expect("a verifier");
        match verifier.verify_server_cert(leaf.certificate.der(), &[], &name, &[], moment) {
            Ok(_) => None,
            Err(Error::InvalidCertificate(reason)) => Some(reason),
            Err(other) => panic!("not about the certificate: {other}"),
        }
    }

    #[test]
    fn leaf_verifies_for_every_name_within_its_validity() {
        let authority = Authority::mint(now(), 365).expect("an authority");
        let leaf = leaf(&authority);
        for name in [NAME, "127.0.0.1", "::1"] {
            for after in [-59 * 60, 0, 90 * DAY] {
                assert_eq!(refusal(&authority, &leaf, name, after), None, "{name}");
            }
        }
    }

    #[test]
    fn another_name_time_or_authority_is_refused() {
        let authority = Authority::mint(now(), 365).expect("an authority");
        let leaf = leaf(&authority);
        let misnamed = refusal(&authority, &leaf, "other.svc", 0);
        assert!(matches!(misnamed, Some(NotValidForNameContext { .. })));
        let expired = refusal(&authority, &leaf, NAME, 90 * DAY + 1);
        assert!(matches!(expired, Some(ExpiredContext { .. })));
        let early = refusal(&authority, &leaf, NAME, -61 * 60);
        assert!(matches!(early, Some(NotValidYetContext { .. })));

        let stranger = Authority::mint(now(), 365).expect("an authority");
        let strange = refusal(&stranger, &leaf, NAME, 0);
        assert_eq!(strange, Some(UnknownIssuer));
    }

    #[test]
    fn leaf_never_outlives_its_authority() {
        let authority = Authority::mint(now(), 30).expect("an authority");
        assert_eq!(leaf(&authority).not_after(), now() + Duration::days(30));
    }

    #[test]
    fn authorities_differ_in_subject() {
        let [one, two] = [(); 2].map(|()| {
            let authority = Authority::mint(now(), 1).expect("an authority");
            roots(&authority).roots[0].subject.to_vec()
        });
        assert_ne!(one, two);
    }

    #[test]
    fn impossible_requests_are_errors() {
        let authority = Authority::mint(now(), 1).expect("an authority");
        let nothing = authority.sign_leaf(&[], &[], now(), 1);
        assert!(matches!(nothing, Err(AuthorityError::NoNames)));
        for name in ["", "a b", "ünicode.svc", "a..svc"] {
            let bad = authority.sign_leaf(&[name.to_owned()], &[], now(), 1);
            assert!(matches!(bad, Err(AuthorityError::Name { .. })), "{name:?}");
        }
        let last_day = OffsetDateTime::new_utc(time::Date::MAX, time::Time::MIDNIGHT);
        let beyond = Authority::mint(last_day, 1);
        assert!(matches!(beyond, Err(AuthorityError::Validity { .. })));
    }
}
