//! `tunnelguard doctor`: is the guard of a cluster there, asked, believed and right?
//!
//! The cluster is asked for [`facts`], something is tried in dry runs ([`attempts`]), and what that comes to is
//! worked out by code that asks nobody ([`mod@examine`]).

mod attempts;
mod cluster;
mod examine;
mod facts;
mod print;
mod rights;
mod shipped;
#[cfg(test)]
mod tests;

use std::io::Write;

use clap::Args;
use k8s_openapi::api::admissionregistration::v1::ServiceReference;

use super::{Exit, Format, is_styled};
use cluster::ClusterArguments;
use examine::{State, examine};

/// The flags of `doctor`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    cluster: ClusterArguments,
    #[command(flatten)]
    installed: Installed,
}

/// How the guard is installed.
#[derive(Clone, Debug, Args)]
struct Installed {
    /// The namespace of the guard.
    #[arg(short, long, value_name = "NAME", default_value = "tunnelguard-system")]
    namespace: String,
    /// Its Service.
    #[arg(long, value_name = "NAME", default_value = "tunnelguard")]
    service: String,
    /// Its ServiceAccount.
    #[arg(long, value_name = "NAME", default_value = "tunnelguard")]
    service_account: String,
    /// What both webhook configurations are called.
    #[arg(long, value_name = "NAME", default_value = "tunnelguard")]
    webhook_configuration: String,
    /// The Secret with its authority, where it makes its certificates itself.
    #[arg(long, value_name = "NAME", default_value = "tunnelguard-ca")]
    ca_secret: String,
    /// The namespace in which entries are tried, in dry runs.
    #[arg(long, value_name = "NAME", default_value = "default")]
    try_in: String,
}

impl Installed {
    /// Whether that is the guard's Service.
    fn is_service(&self, service: &ServiceReference) -> bool {
        (&service.namespace, &service.name) == (&self.namespace, &self.service)
    }
}

/// Looks, tries, and says what is wrong.
///
/// # Errors
/// The cluster cannot be asked.
pub(super) fn run(
    arguments: &Arguments,
    format: Format,
    out: &mut dyn Write,
) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let observations = runtime.block_on(async {
        let installed = &arguments.installed;
        let cluster = arguments.cluster.connect().await?;
        let facts = cluster.facts(installed).await?;
        let mut tried = Vec::new();
        for attempt in attempts::attempts(&facts, installed) {
            tried.push(cluster.attempt(attempt).await?);
        }
        anyhow::Ok(examine(&facts, &tried, installed))
    })?;
    match format {
        Format::Json => print::json(&observations, out)?,
        Format::Human => print::human(&observations, is_styled(), out)?,
    }
    let is_bad = |observation: &examine::Observation| observation.state == State::Failed;
    Ok(match observations.iter().any(is_bad) {
        true => Exit::Findings,
        false => Exit::Clean,
    })
}
