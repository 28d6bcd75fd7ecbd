//! The Services among the files, with the EndpointSlices that stand behind them, in whichever
//! order they come.

use std::collections::HashMap;

use serde_json::Value;

use crate::mesh::kubernetes::{
    EndpointSlice, is_endpoint_slice, is_endpoints, is_service, read_service, with_slices,
};
use crate::mesh::service_entry::Resolution;
use crate::mesh::view::Unmodelled;
use crate::mesh::{MeshView, ServiceEntry};
use crate::report::ObjectName;

/// What was read so far.
#[derive(Default)]
pub(super) struct Services {
    services: Vec<ServiceEntry>,
    slices: Vec<EndpointSlice>,
    /// Objects of kind Endpoints, which EndpointSlices are made of in a cluster.
    endpoints: Vec<Unmodelled>,
}

impl Services {
    /// Takes a document if it is of one of the kinds. A Service is in view at once: the order in
    /// which objects appear is their age.
    pub(super) fn take(
        &mut self,
        api_version: &str,
        kind: &str,
        value: &Value,
        mesh: &mut MeshView,
    ) {
        if is_service(api_version, kind) {
            let service = read_service(value);
            self.services.extend(service.clone());
            service.into_iter().for_each(|service| mesh.upsert(service));
        } else if is_endpoint_slice(api_version, kind) {
            self.slices.extend(EndpointSlice::read(value));
        } else if is_endpoints(api_version, kind) {
            self.endpoints.push(ObjectName::of(value).unmodelled());
        }
    }

    /// Gives every Service its endpoints, once all is read.
    pub(super) fn complete(self, mesh: &mut MeshView) {
        let mut slices: HashMap<_, Vec<&EndpointSlice>> = HashMap::new();
        for slice in &self.slices {
            let key = (&*slice.namespace, &*slice.service);
            slices.entry(key).or_default().push(slice);
        }
        let mut bare = HashMap::new();
        for service in &self.services {
            let key = (&*service.namespace, &*service.name);
            match slices.get(&key) {
                Some(own) => mesh.upsert(with_slices(service.clone(), own)),
                None => {
                    bare.insert(key, service);
                }
            }
        }
        for endpoints in self.endpoints {
            let service = bare.get(&(&*endpoints.namespace, &*endpoints.name));
            if service.is_some_and(|service| needs_endpoints(service)) {
                mesh.note_unmodelled(endpoints);
            }
        }
    }
}

/// Whether what a Service does depends on what its Endpoints say: where a headless one listens,
/// and whether one without a selector has anything behind it.
fn needs_endpoints(service: &ServiceEntry) -> bool {
    service.resolution == Resolution::None || service.workload_selector.is_none()
}
