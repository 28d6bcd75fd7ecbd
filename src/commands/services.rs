//! The Services among the files, with the EndpointSlices that stand behind them, in whichever
//! order they come.

use std::collections::HashMap;

use serde_json::Value;

use crate::mesh::kubernetes::{EndpointSlice, is_endpoint_slice, is_endpoints, with_slices};
use crate::mesh::service_entry::Resolution;
use crate::mesh::view::Unmodelled;
use crate::mesh::{MeshView, Problem, ServiceEntry};
use crate::report::ObjectName;

use super::workspace::Placed;

/// What was read so far.
#[derive(Default)]
pub(super) struct Services {
    services: Vec<Placed>,
    slices: Vec<EndpointSlice>,
    /// Objects of kind Endpoints, which EndpointSlices are made of in a cluster.
    endpoints: Vec<Unmodelled>,
}

impl Services {
    /// Takes a Service.
    pub(super) fn take_service(&mut self, service: Placed) {
        self.services.push(service);
    }

    /// Takes a document if it tells what stands behind a Service.
    pub(super) fn take(
        &mut self,
        api_version: &str,
        kind: &str,
        value: &Value,
    ) -> Result<(), Problem> {
        if is_endpoint_slice(api_version, kind) {
            self.slices.extend(EndpointSlice::read(value)?);
        } else if is_endpoints(api_version, kind) {
            self.endpoints.push(ObjectName::of(value).unmodelled());
        }
        Ok(())
    }

    /// Gives every Service its endpoints, once all is read.
    pub(super) fn complete(mut self, mesh: &mut MeshView) -> Vec<Placed> {
        let mut slices: HashMap<_, Vec<&EndpointSlice>> = HashMap::new();
        for slice in &self.slices {
            let key = (slice.namespace.clone(), slice.service.clone());
            slices.entry(key).or_default().push(slice);
        }
        let mut needy = HashMap::new();
        for Placed { entry, .. } in &mut self.services {
            let key = (entry.namespace.clone(), entry.name.clone());
            match slices.get(&key) {
                Some(own) => {
                    *entry = with_slices(std::mem::take(entry), own);
                    mesh.upsert(entry.clone());
                }
                None => {
                    needy.insert(key, needs_endpoints(entry));
                }
            }
        }
        for endpoints in self.endpoints {
            let key = (endpoints.namespace.clone(), endpoints.name.clone());
            if needy.get(&key) == Some(&true) {
                mesh.note_unmodelled(endpoints);
            }
        }
        self.services
    }
}

/// Whether what a Service does depends on what its Endpoints say: where a headless one listens,
/// and whether one without a selector has anything behind it.
fn needs_endpoints(service: &ServiceEntry) -> bool {
    service.resolution == Resolution::None || service.workload_selector.is_none()
}
