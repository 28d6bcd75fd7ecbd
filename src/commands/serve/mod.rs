//! `tunnelguard serve`: the admission webhook.

mod descriptors;
mod log;
mod samples;
mod trial;

use std::io::Write;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use clap::Args;

use crate::admission::{Webhook, review};
use crate::pki::Authority;
use crate::server::metrics::Metrics;
use crate::server::{self, Options, Reply, Review, ReviewPath, Server};
use crate::state::Snapshot;

use super::Exit;
use super::arguments::PolicyArguments;
use trial::{Trial, introduce};

/// The flags of `serve`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Where reviews are answered, over TLS.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8443")]
    listen: SocketAddr,
    /// Where /livez, /readyz and /metrics are answered, in plain HTTP.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8081")]
    health_listen: SocketAddr,
    /// How many connections may be open at once; at the limit, those that wait longest for their
    /// client make room.
    #[arg(long, value_name = "COUNT", default_value = "2048")]
    max_connections: NonZeroUsize,
    /// How many reviews may be in flight at once; more are answered with 503 and Retry-After.
    #[arg(long, value_name = "COUNT", default_value = "2048")]
    max_reviews: NonZeroUsize,
    /// How long to serve on after SIGTERM, while the cluster hears that this replica is ending.
    #[arg(long, value_name = "SECONDS", default_value = "10")]
    drain_seconds: u16,
    #[command(flatten)]
    policy: PolicyArguments,
}

/// The ephemeral certificate lives as long as a person may leave a trial running.
const CERTIFICATE_DAYS: u16 = 30;

/// Serves until it is told to stop.
pub(super) fn run(arguments: Arguments, out: &mut dyn Write) -> anyhow::Result<Exit> {
    log::start();
    let snapshot = Arc::new(arguments.policy.snapshot()?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(serve(&arguments, snapshot, out))?;
    Ok(Exit::Clean)
}

async fn serve(
    arguments: &Arguments,
    snapshot: Arc<Snapshot>,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let now = time::OffsetDateTime::now_utc();
    let authority = Authority::mint(now, CERTIFICATE_DAYS)?;
    let names = ["localhost".to_owned()];
    let leaf = authority.sign_leaf(&names, &[arguments.listen.ip()], now, CERTIFICATE_DAYS)?;
    let certificate = Arc::new(server::tls::ServingCertificate::new(leaf.serving_pair()?));
    let tls = server::tls::server_config(certificate)?;
    let metrics = Arc::new(Metrics::default());
    metrics.declares(snapshot.policies.proxies.all().len());
    metrics.certificate_ends(leaf.not_after.unix_timestamp());
    let options = Options {
        listen: arguments.listen,
        health_listen: arguments.health_listen,
        connections: descriptors::allow(arguments.max_connections.get()),
        reviews: arguments.max_reviews.get(),
    };
    let review = reviewer(snapshot.clone(), Arc::clone(&metrics));
    let server = Server::bind(options, tls, review, metrics).await?;
    let addresses = server.addresses();
    tracing::info!(webhook = %addresses.webhook, health = %addresses.health, "serving");
    // Kept until the end: the lines printed below name its files.
    let trial = Trial::write(authority.certificate_pem(), &snapshot)?;
    introduce(
        out,
        addresses,
        "its own certificate",
        &snapshot,
        Some(&trial),
    )?;
    let linger = Duration::from_secs(arguments.drain_seconds.into());
    server::shutdown::run_until_signalled(server, linger).await?;
    Ok(())
}

/// The function that answers one review: synchronous, a few microseconds.
fn reviewer(snapshot: Arc<Snapshot>, metrics: Arc<Metrics>) -> Review {
    Arc::new(move |path, body| {
        let webhook = match path {
            ReviewPath::Mutate => Webhook::Mutate,
            ReviewPath::Validate => Webhook::Validate,
        };
        let today = super::today();
        match review(webhook, body, snapshot.context(), today) {
            Ok((body, record)) => {
                log::reviewed(path, &record);
                metrics.reviewed(path, &record);
                Reply {
                    status: StatusCode::OK,
                    content_type: "application/json",
                    body,
                }
            }
            Err(rejected) => {
                tracing::warn!(webhook = path.name(), %rejected, "refused a body");
                Reply {
                    status: StatusCode::BAD_REQUEST,
                    content_type: "text/plain; charset=utf-8",
                    body: format!("{rejected}\n").into_bytes(),
                }
            }
        }
    })
}
