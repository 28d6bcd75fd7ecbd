//! `tunnelguard serve`: the admission webhook.

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use axum::http::StatusCode;
use clap::Args;
use tracing_subscriber::EnvFilter;

use crate::admission::{Record, Webhook, review};
use crate::pki::Authority;
use crate::server::{self, Options, Reply, Review, ReviewPath, Server};
use crate::state::Snapshot;

use super::Exit;
use super::arguments::PolicyArguments;
use super::samples::{self, Sample};

/// The flags of `serve`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Where reviews are answered, over TLS.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8443")]
    listen: SocketAddr,
    /// Where /livez and /readyz are answered, in plain HTTP.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8081")]
    health_listen: SocketAddr,
    #[command(flatten)]
    policy: PolicyArguments,
}

/// The ephemeral certificate lives as long as a person may leave a trial running.
const CERTIFICATE_DAYS: u16 = 30;

/// Serves until it is told to stop.
pub(super) fn run(arguments: Arguments, out: &mut dyn Write) -> anyhow::Result<Exit> {
    start_log();
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
    let options = Options {
        listen: arguments.listen,
        health_listen: arguments.health_listen,
    };
    let server = Server::bind(options, tls, reviewer(snapshot.clone())).await?;
    let addresses = server.addresses();
    tracing::info!(webhook = %addresses.webhook, health = %addresses.health, "serving");
    // Kept until the end: the lines printed below name its files.
    let trial = Trial::write(authority.certificate_pem(), &snapshot)?;
    introduce(out, &trial, &snapshot, addresses.webhook, addresses.health)?;
    server::shutdown::run_until_signalled(server).await?;
    Ok(())
}

/// The function that answers one review: synchronous, a few microseconds.
fn reviewer(snapshot: Arc<Snapshot>) -> Review {
    Arc::new(move |path, body| {
        let webhook = match path {
            ReviewPath::Mutate => Webhook::Mutate,
            ReviewPath::Validate => Webhook::Validate,
        };
        let today = super::today();
        match review(webhook, body, snapshot.context(), today) {
            Ok((body, record)) => {
                log(webhook, &record);
                Reply {
                    status: StatusCode::OK,
                    content_type: "application/json",
                    body,
                }
            }
            Err(rejected) => {
                tracing::warn!(?webhook, %rejected, "refused a body");
                Reply {
                    status: StatusCode::BAD_REQUEST,
                    content_type: "text/plain; charset=utf-8",
                    body: format!("{rejected}\n").into_bytes(),
                }
            }
        }
    })
}

fn log(webhook: Webhook, record: &Record) {
    tracing::info!(
        webhook = match webhook {
            Webhook::Mutate => "mutate",
            Webhook::Validate => "validate",
        },
        decision = record.decision.name(),
        object = %record.object,
        operation = %record.operation,
        checks = %record.checks.join(","),
        dry_run = record.dry_run,
        uid = %record.uid,
        "reviewed",
    );
}

/// To stderr: for people on a terminal, JSON otherwise.
fn start_log() {
    let filter = EnvFilter::try_from_env("TUNNELGUARD_LOG")
        .unwrap_or_else(|_| EnvFilter::new("info,rustls=warn,hyper=warn,h2=warn"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match std::io::stderr().is_terminal() {
        true => builder.with_target(false).init(),
        false => builder.json().flatten_event(true).init(),
    }
}

/// The files that the printed curl lines name, removed at the end.
struct Trial {
    directory: PathBuf,
    samples: Vec<Sample>,
}

impl Trial {
    fn write(authority: &str, snapshot: &Snapshot) -> anyhow::Result<Self> {
        // New, under a name that nobody can foresee, and for its owner alone: the printed lines
        // trust the certificate in it.
        let nanoseconds = jiff::Timestamp::now().subsec_nanosecond();
        let name = format!("tunnelguard-{}-{nanoseconds}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        let place = || format!("cannot write to {}", directory.display());
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&directory)
            .with_context(place)?;
        std::fs::write(directory.join("ca.pem"), authority).with_context(place)?;
        let samples = samples::samples(snapshot);
        for sample in &samples {
            std::fs::write(directory.join(sample.file), &sample.review).with_context(place)?;
        }
        Ok(Self { directory, samples })
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Says what is served, and how to see it at work.
fn introduce(
    out: &mut dyn Write,
    trial: &Trial,
    snapshot: &Snapshot,
    webhook: SocketAddr,
    health: SocketAddr,
) -> std::io::Result<()> {
    let proxies = snapshot.policies.proxies.all().len();
    let names: Vec<&str> = snapshot
        .policies
        .policies
        .iter()
        .map(|policy| &*policy.name)
        .collect();
    let names = names.join(", ");
    let names = if names.is_empty() {
        "the built-in policy".to_owned()
    } else {
        names
    };
    writeln!(
        out,
        "tunnelguard serves https://{webhook} with its own certificate ({names}: {proxies} proxies)"
    )?;
    writeln!(out, "health on http://{health}/livez and /readyz")?;
    let directory = trial.directory.display();
    for sample in &trial.samples {
        writeln!(out, "\n# {}", sample.title)?;
        writeln!(
            out,
            "curl -s --cacert {directory}/ca.pem -H 'Content-Type: application/json' -d @{directory}/{} https://{webhook}/{}",
            sample.file, sample.path
        )?;
    }
    writeln!(out, "\nCtrl-C ends it.")?;
    out.flush()
}
