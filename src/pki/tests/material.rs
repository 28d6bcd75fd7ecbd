//! Certificates and keys of every kind, made for a test.

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, SignatureAlgorithm};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use time::{Duration, OffsetDateTime};
use x509_parser::der_parser::parse_der;

pub(super) const NAME: &str = "tunnelguard.tunnelguard-system.svc";

/// When every test takes place: 2027-01-15T08:00:00Z.
pub(super) fn now() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_800_000_000).expect("a date in 2027")
}

/// The content of a certificate file and of a key file.
#[derive(Clone)]
pub(super) struct Material {
    pub(super) certificate: String,
    pub(super) key: String,
}

impl Material {
    /// A good pair.
    pub(super) fn new() -> Self {
        Self::with(|_| {})
    }

    /// A good pair, changed; self-signed.
    pub(super) fn with(change: impl FnOnce(&mut CertificateParams)) -> Self {
        Self::of(&rcgen::PKCS_ECDSA_P256_SHA256, change)
    }

    /// A pair with a key of this kind.
    pub(super) fn of(
        algorithm: &'static SignatureAlgorithm,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Self {
        let key = KeyPair::generate_for(algorithm).expect("a key");
        let mut params = CertificateParams::new([NAME.to_owned()]).expect("a name");
        params.not_before = now() - Duration::DAY;
        params.not_after = now() + Duration::DAY;
        params.distinguished_name.push(DnType::CommonName, NAME);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        change(&mut params);
        Self {
            certificate: params.self_signed(&key).expect("a certificate").pem(),
            key: key.serialize_pem(),
        }
    }

    pub(super) fn chain(&self) -> Vec<CertificateDer<'static>> {
        let chain = CertificateDer::pem_slice_iter(self.certificate.as_bytes());
        chain.collect::<Result<_, _>>().expect("PEM")
    }

    /// The key as it was written before PKCS#8: the octets inside (RFC 5208 §5).
    pub(super) fn traditional_key(mut self, label: &str) -> Self {
        let pkcs8 = rustls::pki_types::PrivatePkcs8KeyDer::from_pem_slice(self.key.as_bytes());
        let pkcs8 = pkcs8.expect("PKCS#8");
        let (_, sequence) = parse_der(pkcs8.secret_pkcs8_der()).expect("DER");
        let inner = sequence.as_sequence().expect("a sequence")[2].as_slice();
        self.key = pem(label, inner.expect("octets"));
        self
    }
}

/// A PEM section.
pub(super) fn pem(label: &str, der: &[u8]) -> String {
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    let text = BASE64_STANDARD.encode(der);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .map(|line| str::from_utf8(line).expect("ASCII"))
        .collect();
    let lines = lines.join("\n");
    format!("-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n")
}
