//! A serving certificate made here, with its key.

use std::sync::Arc;

use rcgen::{Certificate, KeyPair};
use rustls::{
    RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier as _},
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime},
    sign::CertifiedKey,
};
use time::OffsetDateTime;

use super::{Root, ServingPair};

/// Why a client would refuse a certificate that was signed here.
#[derive(Debug, thiserror::Error)]
pub enum LeafError {
    /// The time is not one that a client could have.
    #[error("the clock says {0}, which no certificate can be valid at")]
    Clock(OffsetDateTime),
    /// It says so itself.
    #[error(transparent)]
    Refused(#[from] rustls::Error),
    /// The authority's certificate cannot be trusted.
    #[error(transparent)]
    Root(#[from] rustls::server::VerifierBuilderError),
}

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

    /// Verifies it as a client does that trusts `root` alone and dials one of `names`.
    ///
    /// # Errors
    /// Why the client would refuse it.
    pub fn verify(
        &self,
        root: &Root,
        names: &[String],
        now: OffsetDateTime,
    ) -> Result<(), LeafError> {
        let mut roots = RootCertStore::empty();
        roots.add(root.der().clone())?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
        let verifier = verifier.build()?;
        let moment = unix_time(now).ok_or(LeafError::Clock(now))?;
        for name in names {
            let name = ServerName::try_from(name.as_str())
                .map_err(|_| rustls::Error::General(format!("{name} is not a DNS name")))?;
            verifier.verify_server_cert(self.certificate.der(), &[], &name, &[], moment)?;
        }
        Ok(())
    }
}

/// A moment as certificates are verified at; none before 1970.
pub(super) fn unix_time(moment: OffsetDateTime) -> Option<UnixTime> {
    let seconds = u64::try_from(moment.unix_timestamp()).ok()?;
    Some(UnixTime::since_unix_epoch(std::time::Duration::from_secs(
        seconds,
    )))
}
