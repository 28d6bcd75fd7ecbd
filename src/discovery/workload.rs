//! Which workload a Pod is of.

use std::collections::HashSet;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// The label with which a Deployment tells the Pods of its ReplicaSets apart.
const TEMPLATE_HASH: &str = "pod-template-hash";

/// What runs Pods; a Pod that nothing runs is one itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Workload {
    /// Its namespace.
    pub namespace: Box<str>,
    /// Its name.
    pub name: Box<str>,
    /// Its kind.
    pub kind: Box<str>,
}

impl Workload {
    /// Not one workload, but what OpenShift tells all of them: the cluster's `Proxy`.
    pub fn whole_cluster() -> Self {
        Self {
            namespace: "".into(),
            name: "cluster".into(),
            kind: "Proxy".into(),
        }
    }

    /// Whether it is that.
    pub fn is_whole_cluster(&self) -> bool {
        *self == Self::whole_cluster()
    }

    /// That of a Pod: its controller, and the Deployment of a ReplicaSet that has its hash in its name.
    pub fn of(pod: &ObjectMeta) -> Self {
        let namespace = pod.namespace.as_deref().unwrap_or_default().into();
        let owners = pod.owner_references.iter().flatten();
        let mut controllers = owners.filter(|owner| owner.controller == Some(true));
        let Some(controller) = controllers.next() else {
            return Self {
                namespace,
                name: pod.name.as_deref().unwrap_or_default().into(),
                kind: "Pod".into(),
            };
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
        Self {
            namespace,
            name: name.into(),
            kind: kind.into(),
        }
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
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
                "Deployment payments/api",
            ),
            (
                owned("ReplicaSet", "api-other", json!("5d9c7b6f4")),
                "ReplicaSet payments/api-other",
            ),
            (
                owned("ReplicaSet", "api-", json!("")),
                "ReplicaSet payments/api-",
            ),
            (
                owned("StatefulSet", "db", json!("5d9c7b6f4")),
                "StatefulSet payments/db",
            ),
            (
                owned("Job", "backup-28391234", Value::Null),
                "Job payments/backup-28391234",
            ),
            (
                json!({"namespace": "payments", "name": "debug"}),
                "Pod payments/debug",
            ),
            (json!({}), "Pod /"),
        ] {
            let mut metadata = metadata;
            if metadata["labels"]["pod-template-hash"].is_null() {
                metadata["labels"] = Value::Null;
            }
            let workload = Workload::of(&serde_json::from_value(metadata.clone()).unwrap());
            let told = format!("{} {workload}", workload.kind);
            assert_eq!(told, expected, "{metadata}");
        }
    }
}
