//! `tunnelguard serve`: the admission webhook.

mod attempts;
mod certificate;
mod cluster;
mod descriptors;
mod leadership;
mod log;
mod mesh;
mod mesh_configs;
mod namespaces;
mod policies;
mod reload;
mod samples;
mod self_managed;
mod status;
mod stored_findings;
mod trial;
mod workloads;

use std::io::Write;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use axum::http::StatusCode;
use clap::Args;

use crate::admission::{Judging, OnFailure, Webhook, review};
use crate::policy::compile::Place;
use crate::server::metrics::Metrics;
use crate::server::shutdown::{self, Signals};
use crate::server::tls::ServingCertificate;
use crate::server::{Options, Reply, Review, ReviewPath, Server};
use crate::state::SharedSnapshot;

use super::Exit;
use super::arguments::PolicyArguments;
use certificate::{CertificateArguments, Source, keep_telling_of_its_end};
use cluster::ClusterArguments;
use policies::Policies;
use reload::{Certificate, Policy, keep_reloading};
use self_managed::SelfManaged;
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
    #[command(flatten)]
    certificate: CertificateArguments,
    #[command(flatten)]
    policy: PolicyArguments,
    #[command(flatten)]
    cluster: ClusterArguments,
    /// Deny what a bug in tunnelguard kept from being judged [default: allow it, with a warning].
    #[arg(long)]
    fail_closed: bool,
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
}

/// How long a client may keep the server waiting while others want its place.
const PATIENCE: Duration = Duration::from_secs(1);

/// Serves until it is told to stop.
pub(super) fn run(arguments: Arguments, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let _log = log::start();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(serve(&arguments, out))?;
    // Not dropped, which would wait for a file system that hangs under a poll.
    runtime.shutdown_background();
    Ok(Exit::Clean)
}

async fn serve(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<()> {
    let metrics = Arc::new(Metrics::default());
    let mut cluster = arguments.cluster.connect(&metrics).await?;
    let place = match &cluster {
        Some(_) => Place::Cluster,
        None => Place::Offline,
    };
    let mut files = arguments.policy.policy_files().for_use_in(place);
    let from_files = files.load().context("the policy cannot be used")?;
    let (pair, source) = arguments.certificate.first(arguments.listen.ip())?;
    if matches!(source, Source::SelfManaged(_)) && cluster.is_none() {
        bail!(
            "--self-managed keeps its authority in the cluster, and there is none; name it with --kubeconfig, or \
             give --tls-cert and --tls-key"
        );
    }
    let certificate = Arc::new(ServingCertificate::default());
    if let Some(pair) = pair {
        metrics.certificate_ends(pair.not_after.unix_timestamp());
        certificate.replace(pair);
    }
    let (shared, policies) = Policies::new(&arguments.policy, from_files, Arc::clone(&metrics));

    let options = Options {
        listen: arguments.listen,
        health_listen: arguments.health_listen,
        connections: descriptors::allow(arguments.max_connections.get()),
        reviews: arguments.max_reviews.get(),
        patience: PATIENCE,
    };
    let review = arguments.reviewer(Arc::clone(&shared), Arc::clone(&metrics));
    let (serving, counted) = (Arc::clone(&certificate), Arc::clone(&metrics));
    let mut server = Server::bind(options, serving, review, counted).await?;
    let mut signals = Signals::listen()?;
    let mut self_managed = match (&source, &mut cluster) {
        (Source::SelfManaged(settings), Some(cluster)) => {
            let (settings, certificate) = (settings.clone(), Arc::clone(&certificate));
            Some(SelfManaged::follow(settings, cluster, certificate))
        }
        _ => None,
    };
    if let Some(cluster) = &mut cluster {
        cluster.follow_policies(Arc::clone(&policies));
        cluster.follow_workloads(&policies);
        cluster.follow_namespaces(Arc::clone(&policies));
        let whole_mesh = mesh::follow(cluster, &policies);
        let ready = async {
            cluster.first_view(whole_mesh).await;
            if let Some(self_managed) = &mut self_managed {
                self_managed.first().await;
            }
        };
        tokio::select! {
            () = server.await_ready(ready) => {}
            signal = signals.next() => {
                tracing::info!("{signal}: ending before it was ready");
                return Ok(());
            }
        }
    }
    let trial = match &source {
        Source::Own { authority } => Some(Trial::write(authority, &shared.load())?),
        Source::Files(_) | Source::SelfManaged(_) => None,
    };

    let addresses = server.addresses();
    tracing::info!(webhook = %addresses.webhook, health = %addresses.health, "serving");
    introduce(out, addresses, &source, &shared.load(), trial.as_ref())?;
    keep_telling_of_its_end(Arc::clone(&certificate));
    let leadership = cluster.map(|cluster| cluster.write_statuses(&policies, &metrics));
    if let (Some(self_managed), Some(leadership)) = (self_managed, &leadership) {
        self_managed.keep_looking(leadership.leads());
    }
    if files.can_change() {
        let policy = Policy { files, policies };
        keep_reloading(policy, Arc::clone(&metrics));
    }
    if let Source::Files(files) = source {
        let certificate = Certificate {
            files: *files,
            serving: certificate,
        };
        keep_reloading(certificate, metrics);
    }
    let linger = Duration::from_secs(arguments.drain_seconds.into());
    shutdown::run_until_signalled(server, signals, linger).await;
    if let Some(leadership) = leadership {
        leadership.release().await;
    }
    Ok(())
}

impl Arguments {
    /// The function that answers one review: synchronous, a few microseconds.
    fn reviewer(&self, shared: Arc<SharedSnapshot>, metrics: Arc<Metrics>) -> Review {
        let on_failure = match self.fail_closed {
            true => OnFailure::Deny,
            false => OnFailure::Allow,
        };
        Arc::new(move |path, body| {
            let webhook = match path {
                ReviewPath::Mutate => Webhook::Mutate,
                ReviewPath::Validate => Webhook::Validate,
            };
            let snapshot = shared.load();
            let judging = Judging {
                context: snapshot.context(),
                today: crate::commands::today(),
                on_failure,
            };
            match review(webhook, body, judging) {
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
                    // What is wrong may quote the body: that is for whoever sent it.
                    tracing::warn!(
                        webhook = path.name(),
                        "refused a body that is no AdmissionReview"
                    );
                    Reply {
                        status: StatusCode::BAD_REQUEST,
                        content_type: "text/plain; charset=utf-8",
                        body: format!("{rejected}\n").into_bytes(),
                    }
                }
            }
        })
    }
}
