//! The certificate that `serve` begins with.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use rustls::pki_types::ServerName;
use time::{Duration, OffsetDateTime};
use tokio::time::{MissedTickBehavior, interval};

use crate::pki::{Authority, CertificateFiles, ServingPair, rfc3339};
use crate::server::tls::ServingCertificate;

use super::self_managed::{SelfManagedArguments, Settings};

/// The ephemeral certificate lives as long as a person may leave a trial running.
const LIFE: Duration = Duration::days(30);

/// How often the clock is looked at: a machine that slept wakes up to another time, and no timer tells.
const LOOK: std::time::Duration = std::time::Duration::from_secs(1);

/// Where the certificate comes from.
#[derive(Clone, Debug, Args)]
pub(super) struct CertificateArguments {
    /// The certificate to serve with, PEM, leaf first; read again when it changes [default: one of
    /// its own, made at start].
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The certificate's private key, PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// The name or address that the API server dials, such as tunnelguard.tunnelguard-system.svc: a certificate
    /// for another one is not served.
    #[arg(long, value_name = "NAME", requires = "tls_cert", value_parser = parse_name)]
    tls_name: Option<ServerName<'static>>,
    /// The authorities that the API server trusts, PEM, read again with the certificate: one that none of them
    /// signed is not served.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_ca: Option<PathBuf>,
    #[command(flatten)]
    self_managed: SelfManagedArguments,
}

/// Where a certificate came from.
pub(super) enum Source {
    /// An authority made at start, whose certificate this is, as PEM.
    Own { authority: String },
    /// Files, which may change.
    Files(Box<CertificateFiles>),
    /// An authority that the replicas share in the cluster.
    SelfManaged(Settings),
}

impl CertificateArguments {
    /// The first certificate, for a server that is dialled by `address`; none where the cluster has yet to be
    /// asked for it.
    pub(super) fn first(&self, address: IpAddr) -> anyhow::Result<(Option<ServingPair>, Source)> {
        let now = OffsetDateTime::now_utc();
        if let Some(settings) = self.self_managed.settings()? {
            return Ok((None, Source::SelfManaged(settings)));
        }
        if let (Some(certificate), Some(key)) = (&self.tls_cert, &self.tls_key) {
            let mut files = CertificateFiles::new(certificate.clone(), key.clone())
                .expecting(self.tls_name.clone(), self.tls_ca.clone());
            let pair = files.load(now).context("the certificate cannot be used")?;
            return Ok((Some(pair), Source::Files(Box::new(files))));
        }
        let authority = Authority::mint(now, LIFE)?;
        let leaf = authority.sign_leaf(&["localhost".to_owned()], &[address], now, LIFE)?;
        let authority = authority.certificate_pem();
        Ok((Some(leaf.serving_pair()?), Source::Own { authority }))
    }
}

fn parse_name(text: &str) -> anyhow::Result<ServerName<'static>> {
    let name = ServerName::try_from(text.to_owned());
    name.context("it is no DNS name or IP address; write <service>.<namespace>.svc")
}

/// Tells the log when the certificate in use has ended, and when another has taken its place: meanwhile this
/// replica is not ready.
pub(super) fn keep_telling_of_its_end(certificate: Arc<ServingCertificate>) {
    tokio::spawn(async move {
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = None;
        loop {
            ticks.tick().await;
            let ended = certificate.ended(OffsetDateTime::now_utc());
            if ended.is_some() == told.is_some() {
                continue;
            }
            told = ended;
            match ended.map(rfc3339) {
                Some(not_after) => tracing::error!(
                    not_after,
                    "the certificate has ended: not ready until there is another"
                ),
                None => tracing::info!("there is a certificate that is valid: ready again"),
            }
        }
    });
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Own { .. } => "its own certificate",
            Self::Files(_) => "the certificate from --tls-cert",
            Self::SelfManaged(_) => "a certificate of the authority that replicas share",
        })
    }
}
