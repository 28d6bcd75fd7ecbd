//! A serving certificate made here, with its key.

use std::sync::Arc;

use rcgen::{Certificate, KeyPair};
use rustls::{
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    sign::CertifiedKey,
};
use time::OffsetDateTime;

use super::ServingPair;

/// A serving certificate and its key, as [`Authority::sign_leaf`](super::Authority::sign_leaf)
/// makes them.
#[derive(Debug)]
pub struct Leaf {
    pub(super) certificate: Certificate,
    pub(super) key: KeyPair,
    pub(super) not_after: OffsetDateTime,
}

impl Leaf {
    /// What the server sends: the leaf alone, because its issuer is the root that the client
    /// already trusts (RFC 8446 §4.4.2 lets the root be left out).
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![self.certificate.der().clone()]
    }

    /// The chain as the content of a `tls.crt`.
    pub fn certificate_pem(&self) -> String {
        self.certificate.pem()
    }

    /// The private key as the content of a `tls.key`: PKCS#8, not encrypted.
    pub fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    /// The last second at which the certificate is valid.
    pub fn not_after(&self) -> OffsetDateTime {
        self.not_after
    }

    /// The pair as a server takes it.
    ///
    /// # Errors
    /// If rustls cannot sign with the key: it can with every key that an authority makes.
    pub fn serving_pair(&self) -> Result<ServingPair, rustls::Error> {
        let key = PrivatePkcs8KeyDer::from(self.key.serialize_der());
        let provider = aws_lc_rs::default_provider();
        let pair = CertifiedKey::from_der(self.chain(), PrivateKeyDer::Pkcs8(key), &provider)?;
        Ok(ServingPair {
            certified_key: Arc::new(pair),
            not_after: self.not_after,
        })
    }
}
