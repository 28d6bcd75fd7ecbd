//! What an object that came, changed or went does to a view.

use std::sync::Arc;

use crate::discovery::watch::NamespacedName;
use crate::mesh::service_entry::Registry;
use crate::mesh::view::ObjectKey;
use crate::mesh::{DestinationRule, MeshView, ServiceEntry, Sidecar, WorkloadEntry};

use super::MeshKind;

/// One step from a view to the next.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Entry(Arc<ServiceEntry>),
    DestinationRule(DestinationRule),
    WorkloadEntry(WorkloadEntry),
    Sidecar(Sidecar),
    Gone(MeshKind, NamespacedName),
}

impl Change {
    pub(super) fn make(&self, view: &mut MeshView) {
        match self {
            Self::Entry(entry) => view.upsert(Arc::clone(entry)),
            Self::DestinationRule(rule) => view.upsert_destination_rule(rule.clone()),
            Self::WorkloadEntry(workload) => view.upsert_workload_entry(workload.clone()),
            Self::Sidecar(sidecar) => view.upsert_sidecar(sidecar.clone()),
            Self::Gone(kind, NamespacedName { namespace, name }) => match kind {
                MeshKind::ServiceEntry => view.remove(&key(Registry::Istio, namespace, name)),
                MeshKind::Service => view.remove(&key(Registry::Kubernetes, namespace, name)),
                MeshKind::DestinationRule => view.remove_destination_rule(namespace, name),
                MeshKind::WorkloadEntry => view.remove_workload_entry(namespace, name),
                MeshKind::Sidecar => view.remove_sidecar(namespace, name),
                // Its Service is another then.
                MeshKind::EndpointSlice => {}
            },
        }
    }
}

fn key(registry: Registry, namespace: &str, name: &str) -> ObjectKey {
    ObjectKey {
        registry,
        namespace: namespace.into(),
        name: name.into(),
    }
}
