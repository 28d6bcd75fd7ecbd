//! Certificates that look after themselves: an authority in a Secret, and leaves in the replicas' memory.

use clap::Args;
use jiff::{SignedDuration, Span, SpanRelativeTo};

/// Where the authority is, and whom it is for.
#[derive(Clone, Debug, Args)]
pub(super) struct SelfManagedArguments {
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
    /// How long a replica's certificate is valid; renewed at two thirds of it.
    #[arg(long, value_name = "DURATION", default_value = "30d", requires = "self_managed", value_parser = parse_life)]
    leaf_life: SignedDuration,
}

impl SelfManagedArguments {
    pub(super) fn refuse(&self) -> anyhow::Result<()> {
        if self.self_managed {
            anyhow::bail!("--self-managed is not there yet; give --tls-cert and --tls-key");
        }
        Ok(())
    }
}

/// With units up to days of 24 hours.
fn parse_life(text: &str) -> anyhow::Result<SignedDuration> {
    let span: Span = text.parse()?;
    let life = span.to_duration(SpanRelativeTo::days_are_24_hours())?;
    if life < SignedDuration::from_secs(10) {
        anyhow::bail!("a certificate has to be valid for 10 seconds at the least");
    }
    Ok(life)
}
