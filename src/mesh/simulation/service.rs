//! From entries to the services that one client sees.
//!
//! istiod makes one service of every pair of a host and an address
//! (`convertServices` in `pilot/pkg/serviceregistry/serviceentry/conversion.go`).

use std::net::IpAddr;

use crate::mesh::address::Address;
use crate::mesh::protocol::Protocol;
use crate::mesh::service_entry::{Port, Registry, Resolution, ServiceEntry};
use crate::mesh::sidecar::{EgressBind, EgressPort};
use crate::mesh::view::{Audience, Mesh, Query, Ranked, SidecarScope, age_order, kept_namespace};

use super::Blame;
use super::bind::{Bind, binds};

/// One host at one address, on the port that is dialled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Service<'a> {
    pub(crate) entry: &'a ServiceEntry,
    pub(crate) host: &'a str,
    pub(crate) address: Bind,
    pub(crate) port: &'a Port,
    /// The port of the egress listener that shows it, where that has one of its own.
    pub(crate) egress: Option<EgressPort>,
    /// Kept, because it takes all of `exportTo` to say.
    audience: Audience,
    sequence: u64,
}

impl<'a> Service<'a> {
    pub(crate) fn blame(&self) -> Blame<'a> {
        Blame {
            entry: self.entry,
            host: self.host,
            port: self.port.number,
        }
    }

    /// The protocol with which it is on a listener.
    pub(crate) fn protocol(&self) -> Protocol {
        self.egress.map_or(self.port.protocol, |port| port.protocol)
    }

    /// Whether its HTTP filter chain takes only what looks like HTTP: not with HTTP_PROXY, and not where a
    /// Sidecar puts HTTP on an address.
    pub(crate) fn sniffs(&self) -> bool {
        match (self.protocol(), self.address) {
            (Protocol::HttpProxy, _) => false,
            (protocol, Bind::Fixed(EgressBind::At(ip))) if protocol.is_http() => {
                ip.is_unspecified()
            }
            _ => true,
        }
    }
}

/// The services of the dialled port that an egress listener of the client shows, in the order in which
/// Istio builds their listeners: by whom they are exported to ([`SidecarScope::audience`]), then older
/// first, then by name and namespace (`SortServicesByCreationTime` in
/// `pilot/pkg/model/push_context.go`); where a Sidecar names each host exactly, whomever they are
/// exported to (`servicesForExactHosts` in `sidecar.go` there).
pub(crate) fn in_line<'a>(mesh: &'a dyn Mesh, query: &Query<'_>) -> Vec<Service<'a>> {
    let mut services = Vec::new();
    for ranked in mesh.deciders(query) {
        if !ranked.entry.is_visible_from(query.scope.namespace) {
            continue;
        }
        let Some(port) = shown_port(ranked.entry, query) else {
            continue;
        };
        let hosts = deciding_hosts(mesh, &ranked, port, query);
        expand(mesh, &ranked, &hosts, port, query, &mut services);
    }
    services.sort_by(|a, b| {
        let (left, right) = (a.ranked(), b.ranked());
        a.audience
            .cmp(&b.audience)
            .then_with(|| age_order(&left, &right))
            .then_with(|| a.name().cmp(b.name()))
            .then_with(|| a.entry.namespace.cmp(&b.entry.namespace))
            .then_with(|| a.sequence.cmp(&b.sequence))
    });
    services
}

/// The port that an egress listener takes from an entry: the one dialled. An HTTP_PROXY listener takes
/// whatever there is.
fn shown_port<'a>(entry: &'a ServiceEntry, query: &Query<'_>) -> Option<&'a Port> {
    match query.scope.own_port() {
        Some(own) if own.protocol == Protocol::HttpProxy => entry.ports.first(),
        _ => entry.port(query.port),
    }
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
        .filter(|host| is_kept(mesh, host, ranked, &query.scope))
        .collect();
    kept.sort_unstable();
    let protocol = query
        .scope
        .own_port()
        .map_or(port.protocol, |own| own.protocol);
    if !protocol.is_tls() && entry.resolution != Resolution::None {
        kept.truncate(1);
    }
    kept
}

/// Whether an egress listener shows a host of an entry.
pub(crate) fn is_kept(
    mesh: &dyn Mesh,
    host: &str,
    ranked: &Ranked<'_>,
    scope: &SidecarScope<'_>,
) -> bool {
    let entry = ranked.entry;
    if !scope.shows(entry, host) {
        return false;
    }
    if scope.looks_up_hosts() && !is_first_of_namespace(mesh, host, ranked) {
        return false;
    }
    if !scope.keeps_one_namespace() || *entry.namespace == *scope.namespace {
        return true;
    }
    let rivals = mesh.with_host(host);
    rivals.len() < 2 || kept_namespace(&rivals, host, scope) == Some(&*entry.namespace)
}

/// Whether an entry is the one by which istiod knows a host of a namespace: a Service, else the first
/// in line, whatever its ports are (`initServiceRegistry` in `pilot/pkg/model/push_context.go`).
fn is_first_of_namespace(mesh: &dyn Mesh, host: &str, ranked: &Ranked<'_>) -> bool {
    let mut rivals = mesh.with_host(host);
    rivals.retain(|rival| {
        rival.entry.namespace == ranked.entry.namespace && rival.entry.has_services()
    });
    let is_entry = |one: &Ranked<'_>| one.entry.registry == Registry::Istio;
    let first = rivals.iter().min_by(|a, b| {
        let services_first = is_entry(a).cmp(&is_entry(b));
        let by_age = services_first.then_with(|| age_order(a, b));
        by_age.then_with(|| a.sequence.cmp(&b.sequence))
    });
    first.is_none_or(|first| first.sequence == ranked.sequence)
}

/// Of an entry's addresses those that can matter, to all its hosts alike: what takes the dial, and
/// of what cannot take it one a kind, to say that the listener is there.
fn deciding_addresses(
    entry: &ServiceEntry,
    dialled: IpAddr,
    first_only: bool,
) -> impl Iterator<Item = Address> {
    let (mut elsewhere, mut strange_ranges) = (0, 0);
    let addresses = entry.addresses.iter().map(|written| written.address);
    // Others are dropped without a word: an entry with bad addresses alone vanishes.
    let valid = addresses.filter(|address| *address != Address::Invalid);
    // A host that is looked up is known by one service, the first that the entry makes of it.
    let known = valid.take(if first_only { 1 } else { usize::MAX });
    known.filter(move |address| match address {
        Address::Single(ip) if *ip != dialled && !ip.is_unspecified() => {
            elsewhere += 1;
            elsewhere == 1
        }
        Address::Range(net) if !net.contains(&dialled) && !net.addr().is_unspecified() => {
            strange_ranges += 1;
            strange_ranges == 1
        }
        _ => true,
    })
}

/// Adds the services of an entry: each of its hosts at each address.
fn expand<'a>(
    mesh: &'a dyn Mesh,
    ranked: &Ranked<'a>,
    hosts: &[&'a str],
    port: &'a Port,
    query: &Query<'_>,
    services: &mut Vec<Service<'a>>,
) {
    let entry = ranked.entry;
    let audience = query.scope.audience(entry);
    let egress = query.scope.own_port();
    let service = |host, address| Service {
        entry,
        host,
        address,
        port,
        egress,
        audience,
        sequence: ranked.sequence,
    };
    if let Some(bind) = query.scope.egress.and_then(|egress| egress.bind) {
        services.extend(hosts.iter().map(|host| service(*host, Bind::Fixed(bind))));
        return;
    }
    let anywhere = |host| {
        let binds = binds(mesh, entry, host, port, query).into_iter();
        binds.map(move |address| service(host, address))
    };
    let first_only = query.scope.looks_up_hosts();
    let dialled = query.address;
    for address in deciding_addresses(entry, dialled, first_only) {
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
