//! Services, with the EndpointSlices that stand behind them, in whichever order they come and go.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::discovery::watch::NamespacedName;
use crate::mesh::ServiceEntry;
use crate::mesh::kubernetes::{EndpointSlice, with_slices};

use super::change::Change;

/// What is known of both.
#[derive(Default)]
pub(super) struct Services {
    /// Without their endpoints.
    services: BTreeMap<NamespacedName, ServiceEntry>,
    /// By Service and own name.
    slices: BTreeMap<NamespacedName, BTreeMap<Box<str>, EndpointSlice>>,
    /// The Service of each slice.
    behind: BTreeMap<NamespacedName, NamespacedName>,
}

impl Services {
    pub(super) fn put(&mut self, name: NamespacedName, service: ServiceEntry) -> Option<Change> {
        self.services.insert(name.clone(), service);
        self.complete(&name)
    }

    pub(super) fn remove(&mut self, name: &NamespacedName) {
        self.services.remove(name);
    }

    /// A slice was made or is another now: at most two Services change.
    pub(super) fn put_slice(&mut self, name: NamespacedName, slice: EndpointSlice) -> Vec<Change> {
        let service = NamespacedName {
            namespace: slice.namespace.clone(),
            name: slice.service.clone(),
        };
        let before = self.behind.get(&name);
        let moved = before.is_some_and(|before| *before != service);
        let lost = moved.then(|| self.remove_slice(&name)).flatten();
        let own = self.slices.entry(service.clone()).or_default();
        own.insert(name.name.clone(), slice);
        self.behind.insert(name, service.clone());
        lost.into_iter().chain(self.complete(&service)).collect()
    }

    pub(super) fn remove_slice(&mut self, name: &NamespacedName) -> Option<Change> {
        let service = self.behind.remove(name)?;
        let own = self.slices.get_mut(&service)?;
        own.remove(&name.name);
        if own.is_empty() {
            self.slices.remove(&service);
        }
        self.complete(&service)
    }

    /// The Service with all of its slices, if there is one.
    fn complete(&self, name: &NamespacedName) -> Option<Change> {
        let service = self.services.get(name)?;
        let own = self.slices.get(name).into_iter();
        let slices: Vec<&EndpointSlice> = own.flat_map(BTreeMap::values).collect();
        let complete = with_slices(service.clone(), &slices);
        Some(Change::Entry(Arc::new(complete)))
    }
}
