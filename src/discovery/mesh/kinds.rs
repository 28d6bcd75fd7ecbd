//! The kinds of objects that decide what becomes of a CONNECT, and how each is read.

use std::sync::Arc;

use kube::Client;
use kube::api::DynamicObject;
use serde_json::{Value, json};

use crate::discovery::watch::{Kind, NamespacedName, Reading};
use crate::mesh::kubernetes::{EndpointSlice, read_service};
use crate::mesh::service_entry::GROUP;
use crate::mesh::{DestinationRule, ServiceEntry, Sidecar, WorkloadEntry};

/// A kind whose objects are in the view of the mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MeshKind {
    /// Of Istio.
    ServiceEntry,
    /// Of Istio.
    DestinationRule,
    /// Of Istio.
    Sidecar,
    /// Of Istio.
    WorkloadEntry,
    /// Of Kubernetes.
    Service,
    /// Of Kubernetes.
    EndpointSlice,
}

/// What is kept of an object.
#[derive(Clone, Debug, PartialEq)]
pub enum MeshObject {
    /// A ServiceEntry.
    ServiceEntry(Arc<ServiceEntry>),
    /// A DestinationRule.
    DestinationRule(DestinationRule),
    /// A Sidecar.
    Sidecar(Sidecar),
    /// A WorkloadEntry.
    WorkloadEntry(WorkloadEntry),
    /// A Service, without what its EndpointSlices say.
    Service(ServiceEntry),
    /// An EndpointSlice, by its own name.
    EndpointSlice(NamespacedName, EndpointSlice),
}

impl MeshKind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::ServiceEntry,
        Self::DestinationRule,
        Self::Sidecar,
        Self::WorkloadEntry,
        Self::Service,
        Self::EndpointSlice,
    ];

    /// In words, in the plural.
    pub fn called(self) -> &'static str {
        match self {
            Self::ServiceEntry => "ServiceEntries",
            Self::DestinationRule => "DestinationRules",
            Self::Sidecar => "Sidecars",
            Self::WorkloadEntry => "WorkloadEntries",
            Self::Service => "Services",
            Self::EndpointSlice => "EndpointSlices",
        }
    }

    /// What is followed, in the newest version that the cluster serves: Istio's share one schema.
    pub fn followed(self, client: &Client) -> Kind<DynamicObject> {
        let (group, versions, kind) = match self {
            Self::ServiceEntry => (GROUP, &OF_ISTIO[..], "ServiceEntry"),
            Self::DestinationRule => (GROUP, &OF_ISTIO[..], "DestinationRule"),
            Self::Sidecar => (GROUP, &OF_ISTIO[..], "Sidecar"),
            Self::WorkloadEntry => (GROUP, &OF_ISTIO[..], "WorkloadEntry"),
            Self::Service => ("", &["v1"][..], "Service"),
            Self::EndpointSlice => ("discovery.k8s.io", &["v1"][..], "EndpointSlice"),
        };
        Kind::of_any_form(client, self.called(), group, versions, kind)
    }

    /// What is kept of an object of this kind; nothing where it decides nothing.
    pub fn read(self, object: DynamicObject) -> Reading<MeshObject> {
        let name = NamespacedName::of(&object.metadata);
        let object = value(object);
        let read = match self {
            Self::ServiceEntry => Some(MeshObject::ServiceEntry(read_entry(object)?)),
            Self::DestinationRule => {
                Some(MeshObject::DestinationRule(DestinationRule::read(&object)))
            }
            Self::Sidecar => Some(MeshObject::Sidecar(Sidecar::read(&object))),
            Self::WorkloadEntry => Some(MeshObject::WorkloadEntry(WorkloadEntry::read(&object))),
            Self::Service => read_service(&object).map(MeshObject::Service),
            Self::EndpointSlice => {
                let slice = EndpointSlice::read(&object);
                slice.map(|slice| MeshObject::EndpointSlice(name, slice))
            }
        };
        Ok(read)
    }
}

const OF_ISTIO: [&str; 3] = ["v1", "v1beta1", "v1alpha3"];

impl MeshObject {
    /// Which object it is.
    pub(super) fn name(&self) -> NamespacedName {
        let of = |namespace: &str, name: &str| NamespacedName {
            namespace: namespace.into(),
            name: name.into(),
        };
        match self {
            Self::ServiceEntry(entry) => of(&entry.namespace, &entry.name),
            Self::Service(service) => of(&service.namespace, &service.name),
            Self::DestinationRule(rule) => of(&rule.namespace, &rule.name),
            Self::Sidecar(sidecar) => of(&sidecar.namespace, &sidecar.name),
            Self::WorkloadEntry(workload) => of(&workload.namespace, &workload.name),
            Self::EndpointSlice(name, _) => name.clone(),
        }
    }
}

/// What can be read in part only is left out: what it does in whole, nobody can tell.
fn read_entry(object: Value) -> Result<Arc<ServiceEntry>, String> {
    // Every field may have any type, so that this does not fail.
    let entry: ServiceEntry = serde_json::from_value(object).map_err(|error| error.to_string())?;
    match entry.problems.first() {
        Some(problem) => Err(format!("{}: {}", problem.path, problem.message)),
        None => Ok(Arc::new(entry)),
    }
}

/// The object in the form in which files have it, without what nobody reads.
fn value(object: DynamicObject) -> Value {
    let DynamicObject {
        metadata, mut data, ..
    } = object;
    let metadata = json!({
        "namespace": metadata.namespace,
        "name": metadata.name,
        "creationTimestamp": metadata.creation_timestamp,
        "deletionTimestamp": metadata.deletion_timestamp,
        "labels": metadata.labels,
        "annotations": metadata.annotations,
    });
    if let Some(fields) = data.as_object_mut() {
        fields.insert("metadata".to_owned(), metadata);
    }
    data
}
