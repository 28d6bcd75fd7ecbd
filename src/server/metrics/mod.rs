//! What is counted, in the text format that Prometheus reads (OpenMetrics 1.0).
//!
//! Names begin with `tunnelguard_`, but for the `process_` ones that every exporter shares. Every
//! label has a known, small set of values: what a client sends never becomes one. A series that can
//! be known beforehand exists from the start, at zero, so that an alert on its rate sees the first
//! event.

mod names;
mod process;

use std::{fmt, sync::atomic::AtomicU64, time::Duration};

use axum::http::StatusCode;
use prometheus_client::{
    encoding::text,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use super::review::ReviewPath;
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
    /// The policy, in files and in the cluster.
    Policy,
    /// The certificate and its key.
    Certificate,
}

/// Why it is not known which proxy a workload uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// A Secret has it, or something else that is not read.
    Unknown,
    /// The value is none of a CONNECT proxy.
    Unusable,
}

/// What is written of certificates that look after themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelfManagedObject {
    /// The Secret that keeps the authorities.
    Secret,
    /// The `caBundle` of a webhook configuration.
    CaBundle,
}

type Label = [(&'static str, &'static str); 1];
type ReviewLabels = [(&'static str, &'static str); 4];
type FindingLabels = [(&'static str, String); 3];
type ObjectLabels = [(&'static str, &'static str); 2];
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
    authority_not_after: Seconds,
    authority_generation: Gauge,
    certificate_generation: Gauge,
    trusted_authorities: Gauge,
    self_managed_writes: Family<ObjectLabels, Counter>,
    foreign_bundles: Counter,
    proxies: Gauge,
    leader: Gauge,
    status_writes: Family<Label, Counter>,
    observed_proxies: Gauge,
    observed_proxies_left_out: Gauge,
    unread_workloads: Family<Label, Gauge>,
    followed: Family<Label, Gauge>,
    followed_current: Family<Label, Gauge>,
    followed_left_out: Family<Label, Gauge>,
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
            authority_not_after: Seconds::default(),
            authority_generation: Gauge::default(),
            certificate_generation: Gauge::default(),
            trusted_authorities: Gauge::default(),
            self_managed_writes: Family::default(),
            foreign_bundles: Counter::default(),
            proxies: Gauge::default(),
            leader: Gauge::default(),
            status_writes: Family::default(),
            observed_proxies: Gauge::default(),
            observed_proxies_left_out: Gauge::default(),
            unread_workloads: Family::default(),
            followed: Family::default(),
            followed_current: Family::default(),
            followed_left_out: Family::default(),
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
        let dry_run = if record.dry_run { "true" } else { "false" };
        let labels = [
            ("webhook", path.name()),
            ("operation", record.operation.name()),
            ("decision", decision),
            ("dry_run", dry_run),
        ];
        self.reviews.get_or_create(&labels).inc();
        for check in &record.checks {
            let labels = [
                ("check", check.clone()),
                ("decision", decision.to_owned()),
                ("dry_run", dry_run.to_owned()),
            ];
            self.findings.get_or_create(&labels).inc();
        }
        if record.failure.is_some() {
            self.failures.inc();
        }
    }

    /// Notes how an attempt to re-read something ended, and whether all that is in use is what was
    /// written last.
    pub fn reloaded(&self, what: Reload, successful: bool, current: bool) {
        let reloads = match what {
            Reload::Policy => &self.policy_reloads,
            Reload::Certificate => &self.certificate_reloads,
        };
        reloads.outcomes.get_or_create(&[result(successful)]).inc();
        reloads.last_successful.set(i64::from(current));
    }

    /// Notes whether the policy in force is what was written last, where nothing was read.
    pub fn policy_is_current(&self, current: bool) {
        self.policy_reloads.last_successful.set(i64::from(current));
    }

    /// Notes how many proxies the policy in force declares.
    pub fn declares(&self, proxies: usize) {
        self.proxies.set(signed(proxies));
    }

    /// Notes how many proxies workloads use that no policy declares, and how many of those are too many.
    pub fn observes(&self, proxies: usize, left_out: usize) {
        self.observed_proxies.set(signed(proxies));
        self.observed_proxies_left_out.set(signed(left_out));
    }

    /// Notes how many workloads may use a proxy that is not known.
    pub fn cannot_read(&self, why: Unread, workloads: usize) {
        let gauge = self.unread_workloads.get_or_create(&[why.label()]);
        gauge.set(signed(workloads));
    }

    /// Notes whether this replica is the one that writes to the cluster.
    pub fn leads(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    /// Counts an attempt to write the status of a policy.
    pub fn status_written(&self, successful: bool) {
        self.status_writes
            .get_or_create(&[result(successful)])
            .inc();
    }

    /// Notes how many objects of a kind of the cluster are known.
    pub fn followed(&self, kind: &'static str, objects: usize) {
        set(&self.followed, kind, objects);
    }

    /// Notes whether what is known of a kind of the cluster is what there is.
    pub fn is_current(&self, kind: &'static str, current: bool) {
        set(&self.followed_current, kind, usize::from(current));
    }

    /// Notes how many objects of a kind of the cluster cannot be read.
    pub fn left_out(&self, kind: &'static str, objects: usize) {
        set(&self.followed_left_out, kind, objects);
    }

    /// Notes the last second, as a Unix time, at which the serving certificate is valid.
    pub fn certificate_ends(&self, not_after: i64) {
        // Exact up to 2⁵³ s, 285 million years.
        self.certificate_not_after.set(not_after as f64);
    }

    /// Notes which authority has signed the serving certificate, by number.
    pub fn certificate_is_of(&self, generation: u64) {
        self.certificate_generation.set(signed(generation));
    }

    /// Notes whether what is known of the certificate, and of its authority, is as it should be.
    pub fn certificate_is_current(&self, current: bool) {
        self.certificate_reloads
            .last_successful
            .set(i64::from(current));
    }

    /// Notes who signs, by number, when that authority ends, as a Unix time, and how many are trusted.
    pub fn trusts(&self, generation: u64, authorities: usize, not_after: i64) {
        self.authority_generation.set(signed(generation));
        self.trusted_authorities.set(signed(authorities));
        self.authority_not_after.set(not_after as f64);
    }

    /// Counts an attempt to write what belongs to an authority.
    pub fn self_managed_written(&self, what: SelfManagedObject, successful: bool) {
        let labels = [what.label(), result(successful)];
        self.self_managed_writes.get_or_create(&labels).inc();
    }

    /// Counts a change to a `caBundle` that somebody else had made, and that was put right.
    pub fn foreign_bundle(&self) {
        self.foreign_bundles.inc();
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
}

fn signed(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}

fn set(gauges: &Family<Label, Gauge>, kind: &'static str, count: usize) {
    gauges.get_or_create(&[("kind", kind)]).set(signed(count));
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

impl SelfManagedObject {
    fn label(self) -> (&'static str, &'static str) {
        let object = match self {
            Self::Secret => "secret",
            Self::CaBundle => "ca_bundle",
        };
        ("object", object)
    }
}

impl Unread {
    fn label(self) -> (&'static str, &'static str) {
        let reason = match self {
            Self::Unknown => "unknown",
            Self::Unusable => "unusable",
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
