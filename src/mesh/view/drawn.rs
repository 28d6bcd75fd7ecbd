//! Entries that other objects draw to an address.
//!
//! With resolution NONE and no address of its own, a TCP entry listens on the endpoints of its hosts, and
//! other entries and WorkloadEntries may bring these (`buildSidecarOutboundListeners` in
//! `pilot/pkg/networking/core/listener.go`). No lane tells where such an entry stands.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use crate::mesh::service_entry::{Registry, Resolution, ServiceEntry};

use super::index::take_out;

/// Who brings endpoints to its hosts, by the endpoint's address.
#[derive(Clone, Debug, Default)]
pub(super) struct Bringing {
    by_endpoint: HashMap<IpAddr, BTreeSet<u64>>,
    /// Those that select workloads.
    selecting: BTreeSet<u64>,
}

impl Bringing {
    pub(super) fn link(&mut self, sequence: u64, entry: &ServiceEntry) {
        for ip in endpoints(entry) {
            self.by_endpoint.entry(ip).or_default().insert(sequence);
        }
        if entry.workload_selector.is_some() {
            self.selecting.insert(sequence);
        }
    }

    pub(super) fn unlink(&mut self, sequence: u64, entry: &ServiceEntry) {
        for ip in endpoints(entry) {
            take_out(&mut self.by_endpoint, &ip, sequence);
        }
        self.selecting.remove(&sequence);
    }

    /// The entries that may bring an endpoint of that address; those that select workloads only if one is
    /// there.
    pub(super) fn to(&self, address: IpAddr, is_workload: bool) -> impl Iterator<Item = u64> {
        let by_endpoint = self.by_endpoint.get(&address).into_iter().flatten();
        let selecting = self.selecting.iter().filter(move |_| is_workload);
        by_endpoint.chain(selecting).copied()
    }
}

/// Those that are IPs: names are asked of DNS by nobody who listens.
fn endpoints(entry: &ServiceEntry) -> impl Iterator<Item = IpAddr> {
    let endpoints = entry.endpoints.iter();
    endpoints.filter_map(|endpoint| endpoint.address.parse().ok())
}

/// Whether endpoints of its hosts say where an entry listens.
pub(super) fn is_drawn(entry: &ServiceEntry, port: u16) -> bool {
    let mut addresses = entry.addresses.iter();
    entry.registry == Registry::Istio
        && entry.resolution == Resolution::None
        && entry.port(port).is_some()
        && (entry.addresses.is_empty() || addresses.any(|written| &*written.text == "0.0.0.0"))
}
