//! From entries to the services that one client sees.
//!
//! istiod makes one service of every pair of a host and an address
//! (`convertServices` in `pilot/pkg/serviceregistry/serviceentry/conversion.go`).

use crate::mesh::address::Address;
use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::mesh::service_entry::{Port, Registry, Resolution, ServiceEntry};
use crate::mesh::view::{Mesh, Query, Ranked, age_order, kept_namespace};

use super::Blame;
use super::cluster::of_entry;

/// One host at one address, on the port that is dialled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Service<'a> {
    pub(crate) entry: &'a ServiceEntry,
    pub(crate) host: &'a str,
    pub(crate) address: Bind,
    pub(crate) port: &'a Port,
    /// [`ServiceEntry::is_public`], which reads all of `exportTo`.
    is_public: bool,
    sequence: u64,
}

/// Where a service listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bind {
    /// Without an address: on the wildcard listener.
    Anywhere,
    /// On an IP, or for a range on the wildcard listener.
    At(Address),
}

impl<'a> Service<'a> {
    pub(crate) fn blame(&self) -> Blame<'a> {
        Blame {
            entry: self.entry,
            host: self.host,
            port: self.port.number,
        }
    }
}

/// The services of the dialled port that the client sees, in the order in which Istio builds
/// their listeners: those exported to named namespaces before public ones, then older first,
/// then by name and namespace (`servicesExportedToNamespace` and `SortServicesByCreationTime` in
/// `pilot/pkg/model/push_context.go`).
pub(crate) fn in_line<'a>(mesh: &'a dyn Mesh, query: &Query<'_>) -> Vec<Service<'a>> {
    let mut services = Vec::new();
    for ranked in mesh.deciders(query) {
        if !ranked.entry.is_visible_from(query.namespace) {
            continue;
        }
        let Some(port) = ranked.entry.port(query.port) else {
            continue;
        };
        let hosts = deciding_hosts(mesh, &ranked, port, query);
        expand(mesh, &ranked, &hosts, port, query.address, &mut services);
    }
    services.sort_by(|a, b| {
        let (left, right) = (a.ranked(), b.ranked());
        a.is_public
            .cmp(&b.is_public)
            .then_with(|| age_order(&left, &right))
            .then_with(|| a.name().cmp(b.name()))
            .then_with(|| a.entry.namespace.cmp(&b.entry.namespace))
            .then_with(|| a.sequence.cmp(&b.sequence))
    });
    services
}

/// Of an entry's hosts those that can matter: the first in Istio's order stands for all, unless a
/// server name or endpoints of its own tell one from another.
fn deciding_hosts<'a>(
    mesh: &dyn Mesh,
    ranked: &Ranked<'a>,
    port: &Port,
    query: &Query<'_>,
) -> Vec<&'a str> {
    let entry = ranked.entry;
    let hosts = entry.hosts.iter().map(|host| &**host);
    let mut kept: Vec<&str> = hosts
        .filter(|host| !query.one_namespace_a_host || is_kept(mesh, host, ranked, query.namespace))
        .collect();
    kept.sort_unstable();
    if !port.protocol.is_tls() && entry.resolution != Resolution::None {
        kept.truncate(1);
    }
    kept
}

fn is_kept(mesh: &dyn Mesh, host: &str, ranked: &Ranked<'_>, namespace: &str) -> bool {
    if *ranked.entry.namespace == *namespace {
        return true;
    }
    let rivals = mesh.with_host(host);
    rivals.len() < 2 || kept_namespace(&rivals, namespace) == Some(&*ranked.entry.namespace)
}

/// Of an entry's addresses those that can matter, to all its hosts alike: what takes the dial, and
/// of what cannot take it one a kind, to say that the listener is there.
fn deciding_addresses(entry: &ServiceEntry, dialled: IpAddr) -> impl Iterator<Item = Address> {
    let (mut elsewhere, mut strange_ranges) = (0, 0);
    let addresses = entry.addresses.iter().map(|written| written.address);
    addresses.filter(move |address| match address {
        Address::Single(ip) if *ip != dialled && !ip.is_unspecified() => {
            elsewhere += 1;
            elsewhere == 1
        }
        Address::Range(net) if !net.contains(&dialled) && !net.addr().is_unspecified() => {
            strange_ranges += 1;
            strange_ranges == 1
        }
        // Dropped without a word: an entry with bad addresses alone vanishes.
        Address::Invalid => false,
        _ => true,
    })
}

/// Adds the services of an entry: each of its hosts at each address.
fn expand<'a>(
    mesh: &'a dyn Mesh,
    ranked: &Ranked<'a>,
    hosts: &[&'a str],
    port: &'a Port,
    dialled: IpAddr,
    services: &mut Vec<Service<'a>>,
) {
    let entry = ranked.entry;
    let is_public = entry.is_public();
    let service = |host, address| Service {
        entry,
        host,
        address,
        port,
        is_public,
        sequence: ranked.sequence,
    };
    let anywhere = |host| {
        let binds = binds(mesh, entry, host, port).into_iter();
        binds.map(move |address| service(host, address))
    };
    for address in deciding_addresses(entry, dialled) {
        match address {
            // 0.0.0.0 is how Istio writes "no address".
            Address::Single(ip) if ip.is_unspecified() && ip.is_ipv4() => {
                services.extend(hosts.iter().flat_map(|host| anywhere(*host)));
            }
            address => services.extend(hosts.iter().map(|host| service(*host, Bind::At(address)))),
        }
    }
    if entry.addresses.is_empty() {
        services.extend(hosts.iter().flat_map(|host| anywhere(*host)));
    }
}

/// Where a service without an address listens: everywhere, or with resolution NONE on the
/// endpoints of its host, if it has any.
fn binds(mesh: &dyn Mesh, entry: &ServiceEntry, host: &str, port: &Port) -> Vec<Bind> {
    let is_service = entry.registry == Registry::Kubernetes;
    if port.protocol.is_http() || (entry.resolution != Resolution::None && !is_service) {
        return vec![Bind::Anywhere];
    }
    // A Service always gets a ClusterIP: where the file has none, it is one that nobody dials yet.
    if entry.resolution != Resolution::None {
        return Vec::new();
    }
    let endpoints = host_endpoints(mesh, entry, host, port);
    // A headless Service without endpoints listens nowhere, on either measured version.
    if endpoints.is_empty() && !is_service {
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
) -> BTreeSet<&'a str> {
    let rivals = mesh.with_host(host);
    let sharing = rivals
        .into_iter()
        .filter(|rival| rival.entry.namespace == entry.namespace);
    let endpoints = sharing.flat_map(|rival| {
        let mut ports = rival.entry.ports.iter();
        let own = ports.find(|own| own.name == port.name);
        own.map(|own| of_entry(mesh, rival.entry, own, host))
            .unwrap_or_default()
    });
    endpoints.map(|(address, _)| address).collect()
}

impl<'a> Service<'a> {
    /// The name by which istiod sorts it: an entry's services are called by their hosts.
    fn name(&self) -> &'a str {
        match self.entry.registry {
            Registry::Istio => self.host,
            Registry::Kubernetes => &self.entry.name,
        }
    }

    pub(crate) fn ranked(&self) -> Ranked<'a> {
        Ranked {
            entry: self.entry,
            sequence: self.sequence,
        }
    }
}
