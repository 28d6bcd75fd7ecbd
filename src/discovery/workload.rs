//! Which workload a Pod is of.

use std::collections::HashSet;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// The label with which a Deployment tells the Pods of its ReplicaSets apart.
const TEMPLATE_HASH: &str = "pod-template-hash";

/// Between namespace, name and kind: in none of them, and before all that is.
const BETWEEN: char = ' ';

/// Not one workload, but what OpenShift tells all of them.
const WHOLE_CLUSTER: &str = " cluster Proxy";

/// What runs Pods; a Pod that nothing runs is one itself. There may be as many as Pods: so its namespace, name
/// and kind are one text, a third of what three take.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Workload(Box<str>);

impl Workload {
    /// That of this namespace, name and kind.
    pub fn new(namespace: &str, name: &str, kind: &str) -> Self {
        Self(format!("{namespace}{BETWEEN}{name}{BETWEEN}{kind}").into())
    }

    /// OpenShift's `Proxy` of the cluster.
    pub fn whole_cluster() -> Self {
        Self(WHOLE_CLUSTER.into())
    }

    /// Whether it is that.
    pub fn is_whole_cluster(&self) -> bool {
        &*self.0 == WHOLE_CLUSTER
    }

    /// That of a Pod: its controller, and the Deployment of a ReplicaSet that has its hash in its name.
    pub fn of(pod: &ObjectMeta) -> Self {
        let namespace = pod.namespace.as_deref().unwrap_or_default();
        let owners = pod.owner_references.iter().flatten();
        let mut controllers = owners.filter(|owner| owner.controller == Some(true));
        let Some(controller) = controllers.next() else {
            let name = pod.name.as_deref().unwrap_or_default();
            return Self::new(namespace, name, "Pod");
        };
        let hash = pod
            .labels
            .as_ref()
            .and_then(|labels| labels.get(TEMPLATE_HASH));
        let deployment = hash.and_then(|hash| {
            let name = controller.name.strip_suffix(&**hash)?;
            name.strip_suffix('-')
        });
        let (name, kind) = match deployment {
            Some(name) if controller.kind == "ReplicaSet" && !hash.is_none_or(String::is_empty) => {
                (name, "Deployment")
            }
            _ => (&*controller.name, &*controller.kind),
        };
        Self::new(namespace, name, kind)
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = self.0.split(BETWEEN);
        let namespace = parts.next().unwrap_or_default();
        let name = parts.next().unwrap_or_default();
        write!(f, "{namespace}/{name}")
    }
}

/// Equal values kept once, for as long as somebody has them.
#[derive(Debug)]
pub struct Shared<T> {
    values: HashSet<Arc<T>>,
    /// So many, and those that nobody has are looked for.
    full: usize,
}

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self {
            values: HashSet::new(),
            full: 64,
        }
    }
}

impl<T: Eq + Hash> Shared<T> {
    /// The value as others have it.
    pub fn share(&mut self, value: T) -> Arc<T> {
        if let Some(known) = self.values.get(&value) {
            return known.clone();
        }
        if self.values.len() >= self.full {
            self.values.retain(|known| Arc::strong_count(known) > 1);
            self.full = 64.max(2 * self.values.len());
        }
        let value = Arc::new(value);
        self.values.insert(value.clone());
        value
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Workload;

    #[test]
    fn workloads_are_in_the_order_of_namespace_and_name() {
        let mut workloads = [
            ("b", "a"),
            ("a-b", "c"),
            ("a", "d"),
            ("a", "c-b"),
            ("a", "c"),
        ]
        .map(|(namespace, name)| Workload::new(namespace, name, "Deployment"));
        workloads.sort();
        let told = workloads.map(|workload| workload.to_string());
        assert_eq!(told, ["a/c", "a/c-b", "a/d", "a-b/c", "b/a"]);
    }

    #[test]
    fn a_pod_is_of_what_controls_it() {
        let owned = |kind: &str, name: &str, hash: Value| {
            json!({
                "namespace": "payments", "name": "api-5d9c7b6f4-x2x",
                "labels": {"pod-template-hash": hash},
                "ownerReferences": [
                    {"apiVersion": "v1", "kind": "Other", "name": "other", "uid": "1"},
                    {"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": "2", "controller": true},
                ],
            })
        };
        for (metadata, expected) in [
            (
                owned("ReplicaSet", "api-5d9c7b6f4", json!("5d9c7b6f4")),
                "payments/api Deployment",
            ),
            (
                owned("ReplicaSet", "api-other", json!("5d9c7b6f4")),
                "payments/api-other ReplicaSet",
            ),
            (
                owned("ReplicaSet", "api-", json!("")),
                "payments/api- ReplicaSet",
            ),
            (
                owned("StatefulSet", "db", json!("5d9c7b6f4")),
                "payments/db StatefulSet",
            ),
            (
                owned("Job", "backup-28391234", Value::Null),
                "payments/backup-28391234 Job",
            ),
            (
                json!({"namespace": "payments", "name": "debug"}),
                "payments/debug Pod",
            ),
            (json!({}), "/ Pod"),
        ] {
            let mut metadata = metadata;
            if metadata["labels"]["pod-template-hash"].is_null() {
                metadata["labels"] = Value::Null;
            }
            let workload = Workload::of(&serde_json::from_value(metadata.clone()).unwrap());
            let (told, kind) = expected.split_once(' ').unwrap();
            assert_eq!(workload.to_string(), told, "{metadata}");
            let (namespace, name) = told.split_once('/').unwrap();
            assert_eq!(workload, Workload::new(namespace, name, kind), "{metadata}");
        }
    }
}
