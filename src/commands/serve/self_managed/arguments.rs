//! The flags of certificates that look after themselves.

use anyhow::{bail, ensure};
use clap::Args;
use jiff::{SignedDuration, Span, SpanRelativeTo};
use time::Duration;

use crate::pki::plan::Lives;

/// The least that a certificate may be valid: its times are whole seconds, and are looked at every second.
const LEAST: SignedDuration = SignedDuration::from_secs(10);

/// Where the authority is kept, whom it is for, and how long.
#[derive(Clone, Debug, Args)]
pub(in crate::commands::serve) struct SelfManagedArguments {
    /// Serve with a certificate of its own authority, which all replicas share in a Secret, and have the
    /// webhook configurations trust it; both are renewed in time.
    #[arg(long, conflicts_with_all = ["tls_cert", "tls_key", "offline"])]
    self_managed: bool,
    /// The Secret, in the Pod's namespace; made if missing.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "tunnelguard-ca",
        requires = "self_managed"
    )]
    ca_secret: String,
    /// The Service, in the Pod's namespace, that the API server dials.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "tunnelguard",
        requires = "self_managed"
    )]
    service: String,
    /// The name of both webhook configurations, validating and mutating.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "tunnelguard",
        requires = "self_managed"
    )]
    webhook_configuration: String,
    /// How long an authority is valid, such as 365d or 12h; replaced at two thirds of it.
    #[arg(long, value_name = "DURATION", default_value = "365d", requires = "self_managed", value_parser = parse_life)]
    ca_life: SignedDuration,
    /// How long a replica's certificate is valid, a third of the authority's life at most; renewed at two
    /// thirds of it.
    #[arg(long, value_name = "DURATION", default_value = "30d", requires = "self_managed", value_parser = parse_life)]
    leaf_life: SignedDuration,
}

/// What the flags say.
#[derive(Clone, Debug)]
pub(in crate::commands::serve) struct Settings {
    pub(super) secret: String,
    pub(super) service: String,
    pub(super) configuration: String,
    pub(super) lives: Lives,
}

impl SelfManagedArguments {
    /// None where certificates come from elsewhere.
    ///
    /// # Errors
    /// Lives that do not fit.
    pub(in crate::commands::serve) fn settings(&self) -> anyhow::Result<Option<Settings>> {
        if !self.self_managed {
            return Ok(None);
        }
        let Self {
            ca_life, leaf_life, ..
        } = self;
        let [authority, leaf] = [ca_life, leaf_life].map(|life| Duration::seconds(life.as_secs()));
        let Some(lives) = Lives::new(authority, leaf) else {
            bail!(
                "--leaf-life {leaf_life:#} is more than a third of --ca-life {ca_life:#}, so that certificates could \
                 outlive their authority; give a shorter or a longer one"
            );
        };
        Ok(Some(Settings {
            secret: self.ca_secret.clone(),
            service: self.service.clone(),
            configuration: self.webhook_configuration.clone(),
            lives,
        }))
    }
}

/// With units up to days of 24 hours.
fn parse_life(text: &str) -> anyhow::Result<SignedDuration> {
    let span: Result<Span, _> = text.parse();
    let life = span.and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()));
    let Ok(life) = life else {
        bail!(
            "it is no duration; write days, hours, minutes or seconds, such as 30d, 12h, 90m or 60s"
        );
    };
    ensure!(
        life >= LEAST,
        "a certificate has to be valid for 10s at the least"
    );
    Ok(life)
}
