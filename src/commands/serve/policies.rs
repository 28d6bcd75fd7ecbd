//! The policies of files and of the cluster, and the snapshot that is made of both.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::Notify;

use crate::commands::arguments::PolicyArguments;
use crate::discovery::mesh::KnownMesh;
use crate::discovery::mesh_config::{ControlPlane, ReadConfig};
use crate::discovery::watch::News;
use crate::mesh::MeshView;
use crate::policy::PolicySet;
use crate::policy::namespaces::Namespaces;
use crate::policy::proxy::Evidence;
use crate::policy::spec::PolicyStatus;
use crate::server::metrics::{Metrics, Reload};
use crate::state::{
    Change, PolicyFileError, PolicyResources, SharedSnapshot, Snapshot, Surroundings,
};

use super::mesh_configs::MeshConfigs;
use super::namespaces::{self, Labelled};
use super::stored_findings::FindingCounts;
use super::trial;
use super::workloads::{Workloads, observed};

/// What is in force, from wherever it comes.
pub(super) struct Policies {
    arguments: PolicyArguments,
    shared: Arc<SharedSnapshot>,
    metrics: Arc<Metrics>,
    workloads: Arc<Workloads>,
    /// Held while publishing, so that what was read last is what is in force.
    parts: Mutex<Parts>,
    /// Told whenever a status may have become another.
    changed: Notify,
    /// Told whenever a snapshot is published.
    published: Notify,
    /// Told whenever one has other policies.
    edited: Notify,
}

/// What the cluster is to show of a policy.
pub(super) struct StatusToWrite {
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) status: PolicyStatus,
}

struct Parts {
    files: PolicySet,
    files_are_current: bool,
    resources: PolicyResources,
    cluster_answers: bool,
    /// Resources that have the name of a policy in a file.
    hidden: BTreeSet<String>,
    /// What files, resources and flags come to.
    in_force: Arc<PolicySet>,
    /// The same with the proxies that workloads are told of.
    observing: Arc<PolicySet>,
    namespaces: Arc<Namespaces>,
    mesh: Arc<MeshView>,
    /// Whether all that there is in the mesh has been told.
    sees_mesh: bool,
    mesh_configs: MeshConfigs,
    /// What was counted last.
    findings: Option<FindingCounts>,
}

impl Policies {
    /// Publishes what the files say.
    pub(super) fn new(
        arguments: &PolicyArguments,
        files: PolicySet,
        metrics: Arc<Metrics>,
    ) -> (Arc<SharedSnapshot>, Arc<Self>) {
        let in_force = Arc::new(arguments.in_force(files.clone()));
        let snapshot = arguments.snapshot_of(Arc::clone(&in_force));
        metrics.declares(snapshot.policies.proxies.all().len());
        let shared = Arc::new(SharedSnapshot::new(snapshot));
        let parts = Parts {
            files,
            files_are_current: true,
            resources: PolicyResources::default(),
            cluster_answers: true,
            hidden: BTreeSet::new(),
            observing: Arc::clone(&in_force),
            in_force,
            namespaces: Arc::default(),
            mesh: Arc::default(),
            sees_mesh: false,
            mesh_configs: MeshConfigs::default(),
            findings: None,
        };
        let policies = Self {
            arguments: arguments.clone(),
            shared: Arc::clone(&shared),
            metrics,
            workloads: Arc::default(),
            parts: Mutex::new(parts),
            changed: Notify::new(),
            published: Notify::new(),
            edited: Notify::new(),
        };
        (shared, Arc::new(policies))
    }

    /// The files were edited.
    pub(super) fn files_changed(&self, files: PolicySet) {
        let mut parts = self.parts();
        parts.files = files;
        parts.files_are_current = true;
        self.policies_changed(&mut parts);
    }

    /// The files were edited into something else.
    pub(super) fn files_unusable(&self, error: &PolicyFileError) {
        tracing::error!(
            %error,
            "the policy was edited into one that cannot be used; the last good one stays in force"
        );
        self.parts().files_are_current = false;
        self.metrics.reloaded(Reload::Policy, false, false);
    }

    /// The cluster has told every policy that it has.
    pub(super) fn listed(&self, objects: &[Value]) {
        let mut parts = self.parts();
        parts.cluster_answers = true;
        let names = objects.iter().map(|object| &object["metadata"]["name"]);
        let names: BTreeSet<&str> = names.filter_map(Value::as_str).collect();
        let mut changed = parts.resources.retain(&names);
        for object in objects {
            changed |= self.apply(&mut parts, object);
        }
        self.settle(&mut parts, changed);
    }

    /// A policy was made or edited.
    pub(super) fn applied(&self, object: &Value) {
        let mut parts = self.parts();
        let changed = self.apply(&mut parts, object);
        self.settle(&mut parts, changed);
    }

    /// A policy was deleted.
    pub(super) fn deleted(&self, name: &str) {
        let mut parts = self.parts();
        let changed = parts.resources.delete(name);
        self.settle(&mut parts, changed);
    }

    /// The cluster has told something of its namespaces.
    pub(super) fn namespaces_changed(&self, news: News<Labelled>) {
        let mut parts = self.parts();
        if let Some(changed) = namespaces::after(&parts.namespaces, news) {
            parts.namespaces = Arc::new(changed);
            self.publish(&parts);
        }
    }

    /// The cluster does not tell which policies it has.
    pub(super) fn unanswered(&self) {
        self.parts().cluster_answers = false;
        self.metrics.policy_is_current(false);
    }

    /// Waits until a status may have become another, if none has since the last wait.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// What is in force now.
    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.shared.load())
    }

    /// Waits until another snapshot is in force, if none has come since the last wait.
    pub(super) async fn published(&self) {
        self.published.notified().await;
    }

    /// Waits until other policies are in force, if none have come since the last wait.
    pub(super) async fn edited(&self) {
        self.edited.notified().await;
    }

    /// The findings about what is stored were counted, as far as they can be.
    pub(super) fn findings_counted(&self, findings: Option<FindingCounts>) {
        let mut parts = self.parts();
        if parts.findings != findings {
            parts.findings = findings;
            self.changed.notify_one();
        }
    }

    /// The statuses that differ from what the cluster shows.
    pub(super) fn statuses_to_write(&self, now: Timestamp) -> Vec<StatusToWrite> {
        let snapshot = self.shared.load();
        let proxies = snapshot.policies.proxies.all().iter();
        let observed = proxies.filter(|proxy| proxy.evidence == Evidence::Observed);
        let observed = observed.count();
        let parts = self.parts();
        let statuses = parts.resources.standings().filter_map(|standing| {
            let around = Surroundings {
                hidden: parts.hidden.contains(standing.name),
                observed,
                findings: parts
                    .findings
                    .as_ref()
                    .and_then(|counts| counts.of(standing.name)),
                now,
            };
            let status = standing.to_write(around)?;
            Some(StatusToWrite {
                name: standing.name.to_owned(),
                uid: standing.uid.to_owned(),
                status,
            })
        });
        statuses.collect()
    }

    /// The cluster shows this status of a policy now.
    pub(super) fn status_shown(&self, name: &str, uid: &str, status: Value) {
        self.parts().resources.shows(name, uid, status);
    }

    /// What was seen of workloads.
    pub(super) fn workloads(&self) -> &Arc<Workloads> {
        &self.workloads
    }

    /// Whether any of them has DNS asked for the addresses of observed proxies.
    pub(super) fn asks_dns(&self) -> bool {
        self.parts().in_force.asks_dns()
    }

    /// Workloads are told of other proxies, or others are.
    pub(super) fn observed_changed(&self) {
        if !self.workloads.take_changed() {
            return;
        }
        let mut parts = self.parts();
        let before = observed(&parts.observing);
        self.observe(&mut parts);
        let after = observed(&parts.observing);
        let generation = self.publish(&parts).generation;
        // Who uses them changes with every rollout.
        if before != after {
            let proxies = after.len();
            tracing::info!(generation, proxies, "the observed proxies changed");
            self.changed.notify_one();
        }
    }

    fn observe(&self, parts: &mut Parts) {
        let mesh = &self.shared.load().mesh;
        let observing = self
            .workloads
            .observing(&parts.in_force, mesh, &self.metrics);
        parts.observing = Arc::new(observing);
    }

    fn parts(&self) -> MutexGuard<'_, Parts> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads a resource, and says whether it can be used and is another than before.
    fn apply(&self, parts: &mut Parts, object: &Value) -> bool {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        match parts.resources.apply(object) {
            Change::Nothing => return false,
            Change::Usable => return true,
            Change::Unusable {
                faults,
                stays: true,
            } => tracing::error!(
                policy = name,
                error = faults,
                "a ConnectProxyPolicy was edited into one that cannot be used; its last good form stays in force"
            ),
            Change::Unusable {
                faults,
                stays: false,
            } => tracing::error!(
                policy = name,
                error = faults,
                "a ConnectProxyPolicy cannot be used and is left out"
            ),
        }
        self.metrics.reloaded(Reload::Policy, false, false);
        false
    }

    fn settle(&self, parts: &mut Parts, changed: bool) {
        match changed {
            true => self.policies_changed(parts),
            false => {
                self.metrics.policy_is_current(parts.are_current());
                self.changed.notify_one();
            }
        }
    }

    /// The other objects of the mesh are these now.
    pub(super) fn mesh_changed(&self, known: KnownMesh) {
        let mut parts = self.parts();
        let before = std::mem::replace(&mut parts.mesh, known.view);
        parts.sees_mesh = known.is_whole;
        self.publish(&parts);
        self.workloads.mesh_changed(&before, &parts.mesh);
        for (kind, count) in known.counts {
            self.metrics.followed(kind.called(), count);
        }
    }

    /// The mesh is set to something else.
    pub(super) fn mesh_configured(&self, control_plane: ControlPlane, news: News<ReadConfig>) {
        let mut parts = self.parts();
        parts.mesh_configs.take(control_plane, news);
        let unreadable = parts.mesh_configs.unreadable(control_plane);
        self.metrics.left_out(control_plane.called(), unreadable);
        parts.tell_difference();
        self.publish(&parts);
    }

    fn policies_changed(&self, parts: &mut Parts) {
        let united = parts.united();
        parts.in_force = Arc::new(self.arguments.in_force(united));
        parts.tell_difference();
        self.observe(parts);
        let snapshot = self.publish(parts);
        self.metrics.declares(parts.in_force.proxies.all().len());
        let policies = trial::policies(&snapshot);
        let generation = snapshot.generation;
        tracing::info!(generation, policies, "the policy changed");
        let current = parts.are_current();
        self.metrics.reloaded(Reload::Policy, true, current);
        self.changed.notify_one();
        self.edited.notify_one();
    }

    /// Puts what all parts come to in force.
    fn publish(&self, parts: &Parts) -> Arc<Snapshot> {
        let snapshot = self.arguments.snapshot_of(Arc::clone(&parts.observing));
        let root = parts.in_force.root_namespace.as_deref();
        let snapshot = self.shared.publish(Snapshot {
            namespaces: Arc::clone(&parts.namespaces),
            mesh: Arc::clone(&parts.mesh),
            sees_mesh: parts.sees_mesh,
            mesh_config: parts.mesh_configs.of(root),
            ..snapshot
        });
        self.published.notify_one();
        snapshot
    }
}

impl Parts {
    /// Files come first, then resources by name. A name is how a proxy finds its policy: of two with one
    /// name the file's is in force, as long as there is one.
    fn united(&mut self) -> PolicySet {
        let in_files = self.files.policies.iter();
        let in_files: BTreeSet<&str> = in_files.map(|policy| &*policy.name).collect();
        let resources = self.resources.usable();
        let (hidden, seen): (Vec<_>, Vec<_>) =
            resources.partition(|(name, _)| in_files.contains(name));
        let hidden: BTreeSet<String> = hidden.iter().map(|(name, _)| (*name).to_owned()).collect();
        for policy in hidden.difference(&self.hidden) {
            tracing::error!(
                policy,
                "a ConnectProxyPolicy has the name of a policy in a file and is left out; rename or remove one"
            );
        }
        let seen = seen.iter().map(|(_, policy)| *policy);
        let united = PolicySet::united([&self.files].into_iter().chain(seen));
        self.hidden = hidden;
        united
    }

    fn tell_difference(&mut self) {
        let root = self.in_force.root_namespace.as_deref();
        self.mesh_configs.tell_difference(root);
    }

    fn are_current(&self) -> bool {
        self.files_are_current
            && self.cluster_answers
            && self.resources.are_current()
            && self.hidden.is_empty()
    }
}
