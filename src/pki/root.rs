//! What clients trust: the certificate of an authority, alone or in a bundle.

use pem::{EncodeConfig, LineEnding, Pem};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use time::OffsetDateTime;
use x509_parser::{certificate::X509Certificate, prelude::FromDer as _};

use super::authority::NAMED;

/// The certificate of an authority. Two are one if they are so to the byte.
#[derive(Clone, Debug)]
pub struct Root {
    der: CertificateDer<'static>,
    public_key: Vec<u8>,
    not_before: OffsetDateTime,
    not_after: OffsetDateTime,
    is_ours: bool,
}

impl PartialEq for Root {
    fn eq(&self, other: &Self) -> bool {
        self.der == other.der
    }
}

impl Eq for Root {}

impl Root {
    /// Reads a certificate.
    ///
    /// # Errors
    /// It is no certificate, or no authority's.
    pub fn read(der: &CertificateDer<'_>) -> Result<Self, &'static str> {
        let Ok(([], certificate)) = X509Certificate::from_der(der) else {
            return Err("it is not an X.509 certificate");
        };
        if !certificate.is_ca() {
            return Err("it is not an authority's certificate");
        }
        let validity = certificate.validity();
        let mut names = certificate.subject().iter_common_name();
        let is_ours = names.any(|name| name.as_str().is_ok_and(|name| name.starts_with(NAMED)));
        Ok(Self {
            is_ours,
            public_key: certificate.public_key().raw.to_vec(),
            not_before: validity.not_before.to_datetime(),
            not_after: validity.not_after.to_datetime(),
            der: der.clone().into_owned(),
        })
    }

    /// Those that stand in a text of PEM. What else stands there is passed over: nobody trusts it.
    pub fn all_of(text: &[u8]) -> Vec<Self> {
        let sections = CertificateDer::pem_slice_iter(text);
        let roots = sections.filter_map(|section| Self::read(&section.ok()?).ok());
        roots.collect()
    }

    /// In PEM, with a line break at its end.
    pub fn pem(&self) -> String {
        let config = EncodeConfig::new().set_line_ending(LineEnding::LF);
        pem::encode_config(&Pem::new("CERTIFICATE", self.der.to_vec()), config)
    }

    /// The first second at which it is valid.
    pub fn not_before(&self) -> OffsetDateTime {
        self.not_before
    }

    /// The last second at which it is valid.
    pub fn not_after(&self) -> OffsetDateTime {
        self.not_after
    }

    /// Whether it is called as the authorities are that tunnelguard makes.
    pub(super) fn is_ours(&self) -> bool {
        self.is_ours
    }

    pub(super) fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// In the form that a certificate has it.
    pub(super) fn public_key(&self) -> &[u8] {
        &self.public_key
    }
}

/// The `caBundle` of a webhook, as it was seen.
#[derive(Clone, Debug, Default)]
pub struct Bundle {
    text: Vec<u8>,
    roots: Vec<Root>,
}

impl PartialEq for Bundle {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Bundle {}

impl Bundle {
    /// Reads a text of PEM; an empty one trusts nobody that we know.
    pub fn read(text: Vec<u8>) -> Self {
        Self {
            roots: Root::all_of(&text),
            text,
        }
    }

    /// Whether whoever trusts this bundle trusts that authority.
    pub fn holds(&self, root: &Root) -> bool {
        self.roots.contains(root)
    }

    /// Whether it is that text, to the byte.
    pub fn is(&self, text: &str) -> bool {
        self.text == text.as_bytes()
    }

    /// Whom it trusts.
    pub fn roots(&self) -> &[Root] {
        &self.roots
    }
}
