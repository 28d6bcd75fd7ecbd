//! What whoever dials expects of a certificate: a name, and an authority that it trusts.

use rustls::RootCertStore;
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;
use time::OffsetDateTime;

use super::leaf::unix_time;
use super::pem_file::{CertificateFileError, PemFile};

/// What a certificate is held to besides what every client checks.
#[derive(Clone, Copy, Default)]
pub(super) struct Expected<'a> {
    /// The name or address that is dialled.
    pub(super) name: Option<&'a ServerName<'static>>,
    /// Who may have signed it.
    pub(super) authorities: Option<PemFile<'a>>,
}

impl Expected<'_> {
    /// Holds the leaf of a chain that could be parsed to it, as at `moment`.
    pub(super) fn check(
        self,
        file: PemFile<'_>,
        chain: &[CertificateDer<'_>],
        moment: OffsetDateTime,
    ) -> Result<(), CertificateFileError> {
        let unusable = |error: rustls::Error| {
            file.error(format!("it cannot be verified ({error}); issue it again"))
        };
        let leaf = ParsedCertificate::try_from(&chain[0]).map_err(unusable)?;
        if let Some(name) = self.name {
            verify_server_name(&leaf, name).map_err(|_| {
                let name = name.to_str();
                file.error(format!(
                    "its certificate is not for {name}, which --tls-name says is dialled; issue it for that name"
                ))
            })?;
        }
        match self.authorities {
            Some(authorities) => check_signature(file, &leaf, chain, authorities, moment),
            None => Ok(()),
        }
    }
}

fn check_signature(
    file: PemFile<'_>,
    leaf: &ParsedCertificate<'_>,
    chain: &[CertificateDer<'_>],
    authorities: PemFile<'_>,
    moment: OffsetDateTime,
) -> Result<(), CertificateFileError> {
    let mut roots = RootCertStore::empty();
    for authority in authorities.authorities()? {
        roots.add(authority).map_err(|error| {
            authorities.error(format!(
                "holds what is no authority ({error}); leave only authorities in it"
            ))
        })?;
    }
    let moment = unix_time(moment).ok_or_else(|| {
        file.error("its certificate cannot be verified before 1970; set this machine's clock")
    })?;
    let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
    let verified = verify_server_cert_signed_by_trust_anchor(
        leaf,
        &roots,
        &chain[1..],
        moment,
        algorithms.all,
    );
    verified.map_err(|error| {
        let authorities = authorities.path.display();
        file.error(format!(
            "whoever trusts {authorities} would refuse its certificate ({error}); write both from the same Secret, \
             and intermediates behind the leaf"
        ))
    })
}
