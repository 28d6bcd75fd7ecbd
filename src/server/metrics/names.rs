//! What each series is called, and which exist from the start.

use prometheus_client::{
    metrics::info::Info,
    registry::{Metric, Registry, Unit},
};

use super::{HandshakeFailure, Metrics, SelfManagedObject, Shed, Unread, process::Process, result};
use crate::server::review::ReviewPath;

impl Metrics {
    pub(super) fn register(&mut self) {
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
            "leader",
            "Whether this replica writes to the cluster",
            &self.leader,
        );
        add.entry(
            "status_writes",
            "Attempts to write the status of a policy",
            &self.status_writes,
        );
        add.entry(
            "observed_proxies",
            "Proxies that workloads use and no policy declares",
            &self.observed_proxies,
        );
        add.entry(
            "observed_proxies_left_out",
            "Such proxies beyond those that are taken into account",
            &self.observed_proxies_left_out,
        );
        add.entry(
            "unread_workloads",
            "Workloads that may use a proxy which is not known",
            &self.unread_workloads,
        );
        add.entry(
            "followed_objects",
            "Objects of the cluster that are known",
            &self.followed,
        );
        add.entry(
            "followed_current",
            "Whether what is known of a kind of the cluster is what there is",
            &self.followed_current,
        );
        add.entry(
            "followed_left_out",
            "Objects of the cluster that cannot be read",
            &self.followed_left_out,
        );
        add.entry(
            "certificate_reloads",
            "Changes of the certificate, by whether they could be used",
            &self.certificate_reloads.outcomes,
        );
        add.entry(
            "certificate_last_reload_successful",
            "Whether the certificate in use is the one last written",
            &self.certificate_reloads.last_successful,
        );
        add.entry(
            "authority_generation",
            "The number of the authority that signs, if certificates look after themselves",
            &self.authority_generation,
        );
        add.entry(
            "certificate_generation",
            "The number of the authority that has signed the certificate in use, if certificates look after themselves",
            &self.certificate_generation,
        );
        add.entry(
            "trusted_authorities",
            "Authorities that the webhook configurations are to trust",
            &self.trusted_authorities,
        );
        add.entry(
            "self_managed_writes",
            "Attempts to write the authorities and the caBundle",
            &self.self_managed_writes,
        );
        add.entry(
            "ca_bundle_foreign_changes",
            "Changes to a caBundle by others, which were put right",
            &self.foreign_bundles,
        );
        let registry = &mut self.registry;
        registry.register_with_unit(
            "tunnelguard_certificate_not_after",
            "When the serving certificate ends, as a Unix time",
            Unit::Seconds,
            self.certificate_not_after.clone(),
        );
        registry.register_with_unit(
            "tunnelguard_authority_not_after",
            "When the authority that signs ends, as a Unix time",
            Unit::Seconds,
            self.authority_not_after.clone(),
        );
        registry.register_with_unit(
            "tunnelguard_review_duration",
            "From a review's header to its answer",
            Unit::Seconds,
            self.durations.clone(),
        );
        registry.register_collector(Box::new(Process));
    }

    pub(super) fn begin_at_zero(&self) {
        for path in [ReviewPath::Mutate, ReviewPath::Validate] {
            drop(self.durations.get_or_create(&[("webhook", path.name())]));
        }
        for why in [Shed::Reviews, Shed::Memory, Shed::Draining] {
            drop(self.shed.get_or_create(&[why.label()]));
        }
        for why in [Unread::Unknown, Unread::Unusable] {
            self.cannot_read(why, 0);
        }
        for code in [400, 404, 405, 408, 413, 500] {
            drop(self.refused.get_or_create(&[("code", code)]));
        }
        for reloads in [&self.policy_reloads, &self.certificate_reloads] {
            for successful in [true, false] {
                drop(reloads.outcomes.get_or_create(&[result(successful)]));
            }
            reloads.last_successful.set(1);
        }
        for successful in [true, false] {
            drop(self.status_writes.get_or_create(&[result(successful)]));
            for what in [SelfManagedObject::Secret, SelfManagedObject::CaBundle] {
                let labels = [what.label(), result(successful)];
                drop(self.self_managed_writes.get_or_create(&labels));
            }
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
