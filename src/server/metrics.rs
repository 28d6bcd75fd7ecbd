//! What is counted, in the text format that Prometheus reads (OpenMetrics 1.0).
//!
//! Names begin with `tunnelguard_`, but for the `process_` ones that every exporter shares. Every
//! label has a known, small set of values: what a client sends never becomes one. A series that can
//! be known beforehand exists from the start, at zero, so that an alert on its rate sees the first
//! event.

use std::{fmt, sync::atomic::AtomicU64, time::Duration};

use axum::http::StatusCode;
use prometheus_client::{
    encoding::text,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::{Metric, Registry, Unit},
};

use super::{process::Process, routes::ReviewPath};
use crate::admission::Record;

/// What [`Metrics::encode`] writes.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A review takes well under a millisecond; what takes longer waits for the client's bytes, up to
/// the 30 s that a webhook may be given (k8s.io/api/admissionregistration/v1, `timeoutSeconds`).
const BUCKETS: [f64; 15] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
    30.0,
];

/// Why a request was told to come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shed {
    /// As many are in flight as may be.
    Reviews,
    /// The memory for large bodies is held by others.
    Memory,
    /// The server is ending.
    Draining,
}

/// How a TLS handshake failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HandshakeFailure {
    /// It was not finished in time.
    Slow,
    /// The client refused the certificate, or something else that it was sent.
    RefusedByClient,
    /// Anything else: most often no TLS at all.
    Broken,
}

/// What was re-read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// The policy files.
    Policy,
    /// The certificate and its key.
    Certificate,
}

type Label = [(&'static str, &'static str); 1];
type ReviewLabels = [(&'static str, &'static str); 4];
type FindingLabels = [(&'static str, String); 2];
type Seconds = Gauge<f64, AtomicU64>;

/// Everything that is counted. Cheap to update from any thread.
pub struct Metrics {
    registry: Registry,
    reviews: Family<ReviewLabels, Counter>,
    findings: Family<FindingLabels, Counter>,
    durations: Family<Label, Histogram, fn() -> Histogram>,
    in_flight: Gauge,
    shed: Family<Label, Counter>,
    refused: Family<[(&'static str, u16); 1], Counter>,
    failures: Counter,
    policy_reloads: Reloads,
    certificate_reloads: Reloads,
    certificate_not_after: Seconds,
    proxies: Gauge,
    pub(super) connections: ConnectionMetrics,
}

/// What is counted of the connections on one address.
#[derive(Clone, Default)]
pub(super) struct ConnectionMetrics {
    pub(super) open: Gauge,
    pub(super) evicted: Counter,
    handshake_failures: Family<Label, Counter>,
}

#[derive(Clone, Default)]
struct Reloads {
    outcomes: Family<Label, Counter>,
    last_successful: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            reviews: Family::default(),
            findings: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            in_flight: Gauge::default(),
            shed: Family::default(),
            refused: Family::default(),
            failures: Counter::default(),
            policy_reloads: Reloads::default(),
            certificate_reloads: Reloads::default(),
            certificate_not_after: Seconds::default(),
            proxies: Gauge::default(),
            connections: ConnectionMetrics::default(),
        };
        metrics.register();
        metrics.begin_at_zero();
        metrics
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// All of it, as Prometheus reads it.
    pub(super) fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }

    /// Counts what a review came to.
    pub fn reviewed(&self, path: ReviewPath, record: &Record) {
        let decision = record.decision.name();
        let labels = [
            ("webhook", path.name()),
            ("operation", record.operation.name()),
            ("decision", decision),
            ("dry_run", if record.dry_run { "true" } else { "false" }),
        ];
        self.reviews.get_or_create(&labels).inc();
        for check in &record.checks {
            let labels = [("check", check.clone()), ("decision", decision.to_owned())];
            self.findings.get_or_create(&labels).inc();
        }
        if record.failure.is_some() {
            self.failures.inc();
        }
    }

    /// Notes how an attempt to re-read something ended.
    pub fn reloaded(&self, what: Reload, successful: bool) {
        let reloads = match what {
            Reload::Policy => &self.policy_reloads,
            Reload::Certificate => &self.certificate_reloads,
        };
        reloads.outcomes.get_or_create(&[result(successful)]).inc();
        reloads.last_successful.set(i64::from(successful));
    }

    /// Notes how many proxies the policy in force declares.
    pub fn declares(&self, proxies: usize) {
        let proxies = i64::try_from(proxies).unwrap_or(i64::MAX);
        self.proxies.set(proxies);
    }

    /// Notes the last second, as a Unix time, at which the serving certificate is valid.
    pub fn certificate_ends(&self, not_after: i64) {
        // Exact up to 2⁵³ s, 285 million years.
        self.certificate_not_after.set(not_after as f64);
    }

    /// A review was begun; dropping what is returned ends it.
    pub(super) fn review_begins(&self) -> InFlight<'_> {
        self.in_flight.inc();
        InFlight(&self.in_flight)
    }

    pub(super) fn review_took(&self, path: ReviewPath, time: Duration) {
        let durations = self.durations.get_or_create(&[("webhook", path.name())]);
        durations.observe(time.as_secs_f64());
    }

    pub(super) fn shed(&self, why: Shed) {
        self.shed.get_or_create(&[why.label()]).inc();
    }

    pub(super) fn refused(&self, status: StatusCode) {
        self.refused
            .get_or_create(&[("code", status.as_u16())])
            .inc();
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("tunnelguard_build", "The version that runs", build);
        let mut add = Entry(registry);
        add.entry(
            "reviews",
            "Reviews answered, by what they came to",
            &self.reviews,
        );
        add.entry(
            "findings",
            "Findings in force, by what was done about them",
            &self.findings,
        );
        add.entry(
            "review_failures",
            "Reviews not judged because of a bug in tunnelguard",
            &self.failures,
        );
        add.entry(
            "reviews_in_flight",
            "Reviews from header to answer",
            &self.in_flight,
        );
        add.entry(
            "requests_shed",
            "Requests answered with 503 and Retry-After",
            &self.shed,
        );
        add.entry(
            "requests_refused",
            "Requests that got no decision, by HTTP status",
            &self.refused,
        );
        add.entry(
            "connections",
            "Open connections to the webhook",
            &self.connections.open,
        );
        add.entry(
            "connections_evicted",
            "Connections ended to make room while too many were open",
            &self.connections.evicted,
        );
        add.entry(
            "tls_handshake_failures",
            "TLS handshakes that came to nothing",
            &self.connections.handshake_failures,
        );
        add.entry(
            "policy_reloads",
            "Edits of the policy, by whether they could be used",
            &self.policy_reloads.outcomes,
        );
        add.entry(
            "policy_last_reload_successful",
            "Whether the policy in force is the one last written",
            &self.policy_reloads.last_successful,
        );
        add.entry(
            "declared_proxies",
            "Proxies that the policy declares",
            &self.proxies,
        );
        add.entry(
            "certificate_reloads",
            "Changes of the certificate files, by whether they could be used",
            &self.certificate_reloads.outcomes,
        );
        add.entry(
            "certificate_last_reload_successful",
            "Whether the certificate in use is the one last written",
            &self.certificate_reloads.last_successful,
        );
        let registry = &mut self.registry;
        registry.register_with_unit(
            "tunnelguard_certificate_not_after",
            "When the serving certificate ends, as a Unix time",
            Unit::Seconds,
            self.certificate_not_after.clone(),
        );
        registry.register_with_unit(
            "tunnelguard_review_duration",
            "From a review's header to its answer",
            Unit::Seconds,
            self.durations.clone(),
        );
        registry.register_collector(Box::new(Process));
    }

    fn begin_at_zero(&self) {
        for path in [ReviewPath::Mutate, ReviewPath::Validate] {
            drop(self.durations.get_or_create(&[("webhook", path.name())]));
        }
        for why in [Shed::Reviews, Shed::Memory, Shed::Draining] {
            drop(self.shed.get_or_create(&[why.label()]));
        }
        for code in [400, 408, 413, 500] {
            drop(self.refused.get_or_create(&[("code", code)]));
        }
        for reloads in [&self.policy_reloads, &self.certificate_reloads] {
            for successful in [true, false] {
                drop(reloads.outcomes.get_or_create(&[result(successful)]));
            }
            reloads.last_successful.set(1);
        }
        use HandshakeFailure::{Broken, RefusedByClient, Slow};
        for failure in [Slow, RefusedByClient, Broken] {
            let failures = &self.connections.handshake_failures;
            drop(failures.get_or_create(&[failure.label()]));
        }
    }
}

/// Registers under the one prefix.
struct Entry<'a>(&'a mut Registry);

impl Entry<'_> {
    fn entry<M: Metric + Clone>(&mut self, name: &str, what: &str, metric: &M) {
        let name = format!("tunnelguard_{name}");
        self.0.register(name, what, metric.clone());
    }
}

fn result(successful: bool) -> (&'static str, &'static str) {
    ("result", if successful { "success" } else { "failure" })
}

impl ConnectionMetrics {
    pub(super) fn handshake_failed(&self, how: HandshakeFailure) {
        self.handshake_failures.get_or_create(&[how.label()]).inc();
    }
}

impl Shed {
    fn label(self) -> (&'static str, &'static str) {
        let reason = match self {
            Self::Reviews => "reviews",
            Self::Memory => "memory",
            Self::Draining => "draining",
        };
        ("reason", reason)
    }
}

impl HandshakeFailure {
    fn label(self) -> (&'static str, &'static str) {
        let reason = match self {
            Self::Slow => "timeout",
            Self::RefusedByClient => "refused_by_client",
            Self::Broken => "other",
        };
        ("reason", reason)
    }
}

/// A review that is not answered yet.
#[derive(Debug)]
pub(super) struct InFlight<'a>(&'a Gauge);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}
