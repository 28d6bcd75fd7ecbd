//! Where a service listens.

use std::collections::BTreeSet;

use crate::mesh::address::Address;
use crate::mesh::service_entry::{Port, Registry, Resolution, ServiceEntry};
use crate::mesh::sidecar::EgressBind;
use crate::mesh::view::{Mesh, Query, age_order};

use super::endpoints::{of_entry, port_behind};

/// Where a service listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bind {
    /// Without an address: on the wildcard listener.
    Anywhere,
    /// On an IP, or for a range on the wildcard listener.
    At(Address),
    /// On an address of its own that the view does not tell, so that nobody dials it.
    Undialled,
    /// Where a Sidecar says, whatever the protocol.
    Fixed(EgressBind),
}

/// Where a service without an address listens: everywhere; with resolution NONE on the endpoints of its
/// host, if it has any; where DNS is captured on the address allocated to it. HTTP is everywhere.
pub(super) fn binds(
    mesh: &dyn Mesh,
    entry: &ServiceEntry,
    host: &str,
    port: &Port,
    query: &Query<'_>,
) -> Vec<Bind> {
    if query.captures_dns && entry.is_given_address(host, query.scope.is_newer) {
        let given = entry.given_address(host, query.address);
        return vec![given.map_or(Bind::Undialled, |ip| Bind::At(Address::Single(ip)))];
    }
    let is_service = entry.registry == Registry::Kubernetes;
    if entry.resolution != Resolution::None {
        // A Service always gets a ClusterIP: where the file has none, it is one that nobody dials yet.
        let bind = if is_service {
            Bind::Undialled
        } else {
            Bind::Anywhere
        };
        return vec![bind];
    }
    // An egress listener with a port of its own does not look at endpoints.
    if port.protocol.is_http() || query.scope.own_port().is_some() {
        return vec![Bind::Anywhere];
    }
    // A headless Service without endpoints listens nowhere, on either measured version, nor does an entry
    // whose selector selects nobody.
    let endpoints: BTreeSet<&str> = match is_service {
        true if entry.endpoints.is_empty() => return Vec::new(),
        // Those of its EndpointSlices: as measured, not the WorkloadEntries that it selects.
        true => {
            let own = of_entry(mesh, entry, port, host).into_iter();
            own.map(|(address, _)| address).collect()
        }
        false => host_endpoints(mesh, entry, host, port, query.scope.is_newer),
    };
    if endpoints.is_empty() && !is_service && entry.workload_selector.is_none() {
        return vec![Bind::Anywhere];
    }
    let ips = endpoints.iter().filter_map(|address| address.parse().ok());
    ips.map(|ip| Bind::At(Address::Single(ip))).collect()
}

/// The endpoints of a host, from every entry of the namespace that lists it: a service without
/// address and resolution listens on them instead of everywhere
/// (`buildSidecarOutboundListeners` in `pilot/pkg/networking/core/listener.go`).
fn host_endpoints<'a>(
    mesh: &'a dyn Mesh,
    entry: &ServiceEntry,
    host: &'a str,
    port: &Port,
    is_newer: bool,
) -> BTreeSet<&'a str> {
    let mut sharing = mesh.with_host(host);
    sharing.retain(|rival| rival.entry.namespace == entry.namespace);
    sharing.sort_by(|a, b| age_order(a, b).then_with(|| a.sequence.cmp(&b.sequence)));
    let last = sharing.last();
    // Older Istio goes by the names and numbers that the youngest entry gives its ports (`CopyEndpoints` in
    // `pilot/pkg/model/endpointshards.go`, where each service of a host takes the place of the last).
    let named = |own: &Port| {
        let known = last.iter().flat_map(|last| &last.entry.ports);
        known
            .filter(|known| known.number == port.number)
            .any(|known| known.name == own.name)
    };
    let endpoints = sharing.iter().flat_map(|rival| {
        let behind = if is_newer {
            port_behind(rival.entry, port, true)
        } else {
            rival.entry.ports.iter().find(|own| named(own))
        };
        behind
            .map(|own| of_entry(mesh, rival.entry, own, host))
            .unwrap_or_default()
    });
    endpoints.map(|(address, _)| address).collect()
}
