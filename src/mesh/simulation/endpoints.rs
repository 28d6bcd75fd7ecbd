//! The endpoints behind a port of a host, and whether they are what was dialled.

use std::net::IpAddr;

use crate::mesh::service_entry::{Port, Registry, Resolution, ServiceEntry, is_allocated};
use crate::mesh::view::{Mesh, Ranked};

use super::cluster::Target;
use super::{Dial, Environment};

/// Whether an entry brings endpoints that are no IPs beside some that are.
pub(super) fn has_names(mesh: &dyn Mesh, entry: &ServiceEntry, port: &Port, host: &str) -> bool {
    let endpoints = of_entry(mesh, entry, port, host);
    let is_ip = |(address, _): &(&str, u16)| address.parse::<IpAddr>().is_ok();
    endpoints.iter().any(is_ip) && !endpoints.iter().all(is_ip)
}

/// The port of an entry whose endpoints are behind a port of its host: that of the same name, or in newer
/// Istio, for listeners and for clusters that carry their endpoints, that of the same number
/// (`LegacyClusterPortKey` in `pilot/pkg/model/endpointshards.go`).
pub(super) fn port_behind<'a>(
    entry: &'a ServiceEntry,
    port: &Port,
    by_number: bool,
) -> Option<&'a Port> {
    if by_number && entry.registry == Registry::Istio {
        return entry.port(port.number);
    }
    entry.ports.iter().find(|own| own.name == port.name)
}

/// What one entry brings to a host's port: its endpoints, the WorkloadEntries that it selects, or the
/// name itself.
pub(super) fn of_entry<'a>(
    mesh: &'a dyn Mesh,
    entry: &'a ServiceEntry,
    port: &Port,
    host: &'a str,
) -> Vec<(&'a str, u16)> {
    let default = port.target_port.unwrap_or(port.number);
    if entry.endpoints.is_empty() && entry.workload_selector.is_none() {
        // A wildcard is no name that DNS could answer.
        let is_name = entry.resolution.is_dns() && !host.starts_with('*');
        let resolved = is_name.then_some((host, default));
        return resolved.into_iter().collect();
    }
    if let (Some(selector), []) = (&entry.workload_selector, &entry.endpoints[..]) {
        let workloads = mesh.workloads();
        let selected = workloads.selected_workloads(&entry.namespace, selector);
        let selected = selected.into_iter().map(|workload| {
            let number = workload.ports.get(&port.name).copied();
            (&*workload.address, number.unwrap_or(default))
        });
        return selected.collect();
    }
    let endpoints = entry.endpoints.iter().filter_map(|endpoint| {
        let number = endpoint.ports.get(&port.name).copied();
        // An EndpointSlice names every port that its endpoints have.
        let number = match entry.registry {
            Registry::Kubernetes => number?,
            Registry::Istio => number.unwrap_or(default),
        };
        Some((&*endpoint.address, number))
    });
    endpoints.collect()
}

/// An endpoint as people write it.
pub(super) fn written(address: &str, port: u16) -> String {
    match address.parse::<IpAddr>() {
        Ok(IpAddr::V6(v6)) => format!("[{v6}]:{port}"),
        _ => format!("{address}:{port}"),
    }
}

/// The endpoints behind a host's port.
pub(super) struct Endpoints<'a> {
    base: &'a ServiceEntry,
    addresses: Vec<(&'a str, u16)>,
    selected: bool,
    contested: bool,
}

impl<'a> Endpoints<'a> {
    /// Endpoints are shared by all entries of a host in a namespace. Where two of them bring different
    /// ones, what istiod keeps depends on the order in which it saw them (measured on both ends of the
    /// version range). Those that Envoy is sent as IPs are found by the port's name.
    pub(super) fn collect(
        mesh: &'a dyn Mesh,
        sharing: &[Ranked<'a>],
        base: &'a ServiceEntry,
        host: &'a str,
        port: &Port,
    ) -> Self {
        let by_number = base.resolution.is_dns();
        let mut addresses = Vec::new();
        let (mut selected, mut contested) = (false, false);
        for entry in sharing.iter().map(|ranked| ranked.entry) {
            let Some(port) = port_behind(entry, port, by_number) else {
                continue;
            };
            let mut own = of_entry(mesh, entry, port, host);
            // Pods, which it may select as well, are not in view.
            selected |= own.is_empty() && entry.workload_selector.is_some();
            match base.resolution {
                // The endpoints of such a cluster travel as IPs; istiod leaves host names out.
                Resolution::Static | Resolution::DynamicDns => {
                    own.retain(|(address, _)| address.parse::<IpAddr>().is_ok());
                }
                // A LOGICAL_DNS cluster has one endpoint: istiod keeps the first.
                Resolution::DnsRoundRobin => own.truncate(1),
                Resolution::Dns | Resolution::None => {}
            }
            // Envoy refuses a LOGICAL_DNS cluster with two endpoints, be they the same.
            let doubled = base.resolution == Resolution::DnsRoundRobin && !own.is_empty();
            contested |= !std::ptr::eq(entry, base) && (own != addresses || doubled);
            addresses.extend(own);
        }
        contested &= sharing.len() > 1;
        Self {
            base,
            addresses,
            selected,
            contested,
        }
    }

    pub(super) fn judge(&self, dial: &Dial, environment: &Environment<'_>) -> Target {
        if self.contested {
            return Target::Contested;
        }
        if self.addresses.is_empty() {
            return if self.selected {
                Target::Selected
            } else {
                Target::Empty
            };
        }
        let written = self
            .addresses
            .iter()
            .map(|(address, port)| written(address, *port));
        // What is dialled stands for the host, as a ClusterIP does.
        if environment.captures_dns && is_allocated(dial.address) {
            return Target::Behind(written.collect());
        }
        let mut unresolved = None;
        let mut elsewhere = false;
        for (address, port) in &self.addresses {
            match self.leads_to(address, dial, environment) {
                _ if *port != dial.port => elsewhere = true,
                Some(there) => elsewhere |= !there,
                None => unresolved = Some((*address).to_owned()),
            }
        }
        match unresolved {
            _ if elsewhere => {}
            Some(name) => return Target::Unresolved(name),
            None => return Target::Dialled,
        }
        Target::Elsewhere(written.collect())
    }

    /// Whether an endpoint is the address dialled; `None` where that depends on where a name leads.
    /// One of the entry's own hosts is taken to lead to its own address where it has exactly one:
    /// that is what its author says.
    fn leads_to(&self, address: &str, dial: &Dial, environment: &Environment<'_>) -> Option<bool> {
        if let Ok(ip) = address.parse::<IpAddr>() {
            return Some(ip == dial.address);
        }
        let known = environment
            .names
            .and_then(|names| names.get(&*address.to_ascii_lowercase()));
        if let Some(known) = known {
            return Some(known.iter().all(|ip| *ip == dial.address));
        }
        let own: Vec<IpAddr> = self.base.usable_addresses().collect();
        if self.base.hosts.iter().any(|host| **host == *address) {
            return Some(own == [dial.address]);
        }
        match own.contains(&dial.address) {
            true => None,
            false => Some(false),
        }
    }
}
