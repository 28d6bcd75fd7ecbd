//! What is kept of a Pod as the cluster tells it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1;
use kube::api::DynamicObject;

use super::env::ProxyVariables;
use super::index::{Pod, PodKey};
use super::workload::{Shared, Workload};

/// OpenShift's `Proxy` (config.openshift.io/v1) that holds for the whole cluster.
const CLUSTER_PROXY: &str = "cluster";

/// Reads Pods, and keeps once what they have in common.
#[derive(Debug, Default)]
pub struct PodReader {
    workloads: Shared<Workload>,
    variables: Shared<ProxyVariables>,
}

impl PodReader {
    /// Nothing of a Pod that names no proxy, nor of one that is finished.
    pub fn read(&mut self, pod: &v1::Pod) -> Option<Pod> {
        let phase = pod
            .status
            .as_ref()
            .and_then(|status| status.phase.as_deref());
        if matches!(phase, Some("Succeeded" | "Failed")) {
            return None;
        }
        let metadata = &pod.metadata;
        let namespace = metadata.namespace.as_deref().unwrap_or_default();
        let variables = ProxyVariables::of(pod.spec.as_ref()?, namespace);
        if variables.is_empty() {
            return None;
        }
        let name = metadata.name.as_deref().unwrap_or_default();
        Some(Pod {
            key: PodKey::of(namespace, name),
            workload: self.workloads.share(Workload::of(metadata)),
            variables: self.variables.share(variables),
        })
    }
}

/// What OpenShift's `Proxy` says, as if it were a Pod: it is put into the environment of what the platform
/// runs, and of workloads that ask for it.
pub fn read_cluster_proxy(object: &DynamicObject) -> Option<Pod> {
    if object.metadata.name.as_deref() != Some(CLUSTER_PROXY) {
        return None;
    }
    let status = &object.data["status"];
    let names = [
        ("HTTPS_PROXY", "httpsProxy"),
        ("HTTP_PROXY", "httpProxy"),
        ("NO_PROXY", "noProxy"),
    ];
    let set: BTreeMap<&str, &str> = names
        .into_iter()
        .filter_map(|(variable, field)| Some((variable, status[field].as_str()?)))
        .collect();
    let variables = ProxyVariables::of_values(&set);
    (!variables.is_empty()).then(|| Pod {
        key: cluster_proxy(),
        workload: Workload::whole_cluster().into(),
        variables: variables.into(),
    })
}

/// How the index knows OpenShift's `Proxy`, which is no Pod.
pub fn cluster_proxy() -> PodKey {
    PodKey::of("", CLUSTER_PROXY)
}
