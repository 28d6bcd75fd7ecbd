//! Where a filter chain's cluster forwards to.
//!
//! A chain names its cluster by host and port alone. Which entry's resolution and endpoints
//! stand behind that name is decided apart (`appendSidecarServices` in
//! `pilot/pkg/model/sidecar.go`): the first entry of the host, joined by the ports of the others
//! where they may join. That is how a listener can lose its cluster.

use std::collections::BTreeSet;

use crate::mesh::protocol::Protocol;
use crate::mesh::service_entry::{Port, Registry, Resolution, ServiceEntry};
use crate::mesh::view::{Mesh, Ranked, SidecarScope};

use super::endpoints::{Endpoints, has_names};
use super::service::{Service, is_kept};
use super::{Behaviour, Dial, Environment, Outcome, kubernetes};

/// Where a cluster leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// To the address and port dialled.
    Dialled,
    /// To the pods that a selector may select, which no view holds: it selects nothing that is in view,
    /// and without any pod the connection is closed.
    Selected,
    /// To the endpoints of the Service whose ClusterIP was dialled; none are named where its
    /// EndpointSlices are not in view.
    Behind(Vec<String>),
    /// To another port.
    Port(u16),
    /// To these endpoints, of which not every one is what was dialled.
    Elsewhere(Vec<String>),
    /// To nothing: no endpoint.
    Empty,
    /// To wherever this name leads.
    Unresolved(String),
    /// To where one of several entries of the host leads: whichever istiod saw last, or built a cluster of
    /// first.
    Contested,
    /// To whatever Envoy knew before: it refuses all endpoints of an assignment with a host name in it.
    Refused,
    /// The cluster does not exist, because another entry owns the host's.
    Missing,
    /// The cluster does not exist, because DYNAMIC_DNS has none for this protocol.
    NotDynamic,
}

impl Target {
    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Self::Dialled | Self::Behind(_) => Outcome::Tunnel,
            Self::Port(_) | Self::Elsewhere(_) => Outcome::Hijacked,
            Self::Empty | Self::Missing | Self::NotDynamic => Outcome::NoEndpoints,
            Self::Selected | Self::Contested | Self::Refused | Self::Unresolved(_) => {
                Outcome::Unknown
            }
        }
    }
}

/// Follows the cluster of a service.
pub(crate) fn resolve<'a>(
    mesh: &'a dyn Mesh,
    service: &Service<'a>,
    dial: &Dial,
    environment: &Environment<'_>,
    scopes: &[SidecarScope<'_>],
    behaviour: Behaviour,
) -> Target {
    let rivals = mesh.with_host(service.host);
    let mut owners = owners(mesh, &rivals, service, scopes);
    kubernetes::take_over(&mut owners);
    let Some(base) = owners.first().map(|owner| owner.ranked) else {
        return Target::Missing;
    };
    let Some((owner, port)) = owning_port(&owners, dial.port, behaviour) else {
        return Target::Missing;
    };
    if port.protocol == Protocol::Udp {
        return Target::Missing;
    }
    if base.entry.registry == Registry::Kubernetes && base.entry.resolution == Resolution::Static {
        return kubernetes::behind(mesh, &rivals, base.entry, port, service, dial);
    }
    let mut sharing = rivals;
    sharing.retain(|rival| rival.entry.namespace == owner.entry.namespace);
    let lead = |base: &ServiceEntry, port: &Port| match base.resolution {
        Resolution::None => original_destination(base, dial, behaviour),
        Resolution::DynamicDns if service.host.starts_with('*') && !forwards_dynamically(port) => {
            Target::NotDynamic
        }
        // Older istiods send host names among IPs.
        Resolution::Static
            if behaviour == Behaviour::Old && has_names(mesh, base, port, service.host) =>
        {
            Target::Refused
        }
        // Older istiods keep the endpoints of one entry a host, on whichever port.
        _ if behaviour == Behaviour::Old && sharing.len() > 1 => Target::Contested,
        _ => {
            let endpoints = Endpoints::collect(mesh, &sharing, base, service.host, port);
            endpoints.judge(dial, environment)
        }
    };
    let target = lead(base.entry, port);
    let mut cached = sharing
        .iter()
        .filter_map(|rival| cached_for_others(base.entry, port, rival.entry));
    match cached.all(|other| lead(other.0, other.1) == target) {
        true => target,
        false => Target::Contested,
    }
}

/// An entry that other clients are shown in the place of `base`, with its port, where istiod has one cluster
/// for both: it keeps those that it has built by host, namespace and port, and by whether the port is sniffed or
/// HTTP/2, but not by entry (`clusterCache` in `pilot/pkg/networking/core/cluster_cache.go`). The first to ask
/// decides for the others.
fn cached_for_others<'a>(
    base: &ServiceEntry,
    port: &Port,
    other: &'a ServiceEntry,
) -> Option<(&'a ServiceEntry, &'a Port)> {
    if is_exported_alike(other, base) {
        return None;
    }
    let its = other.port(port.number)?;
    let is_http2 = |port: &Port| {
        matches!(
            port.protocol,
            Protocol::Http2 | Protocol::Grpc | Protocol::GrpcWeb
        )
    };
    let kind = |port: &Port| (port.protocol.is_sniffed(), is_http2(port));
    (kind(its) == kind(port) && its.protocol != Protocol::Udp).then_some((other, its))
}

/// One of the entries that make up a host's services for a client.
pub(super) struct Owner<'a> {
    pub(super) ranked: Ranked<'a>,
    /// The only port of it that the client is shown, if not all.
    only: Option<u16>,
}

impl<'a> Owner<'a> {
    fn port(&self, number: u16) -> Option<&'a Port> {
        let is_shown = self.only.is_none_or(|only| only == number);
        is_shown.then(|| self.ranked.entry.port(number)).flatten()
    }
}

/// The entries that make up the host's services for this client: egress listener by egress listener, in
/// each first in line first.
fn owners<'a>(
    mesh: &dyn Mesh,
    rivals: &[Ranked<'a>],
    service: &Service<'a>,
    scopes: &[SidecarScope<'_>],
) -> Vec<Owner<'a>> {
    let mut owners = Vec::new();
    for scope in scopes {
        let shown = rivals
            .iter()
            .filter(|rival| is_kept(mesh, service.host, rival, scope));
        let mut shown: Vec<Ranked<'a>> = shown.copied().collect();
        shown.sort_by(|a, b| scope.order(a, b));
        let only = scope.egress.and_then(|egress| egress.matched_port());
        owners.extend(shown.into_iter().map(|ranked| Owner { ranked, only }));
    }
    if owners.is_empty() {
        let (ranked, only) = (service.ranked(), None);
        owners.push(Owner { ranked, only });
    }
    owners
}

/// The entry whose port the cluster is built from: the first in line, or one that joined it.
fn owning_port<'a>(
    owners: &[Owner<'a>],
    number: u16,
    behaviour: Behaviour,
) -> Option<(Ranked<'a>, &'a Port)> {
    let base = owners.first()?.ranked.entry;
    let mut joined = owners.iter().filter(|owner| {
        let entry = owner.ranked.entry;
        std::ptr::eq(entry, base) || may_join(base, entry, behaviour)
    });
    joined.find_map(|owner| owner.port(number).map(|port| (owner.ranked, port)))
}

/// Whether a second entry's ports join the first's (`canMergeServices`).
fn may_join(base: &ServiceEntry, other: &ServiceEntry, behaviour: Behaviour) -> bool {
    if base.namespace != other.namespace {
        return false;
    }
    behaviour == Behaviour::Old
        || (base.resolution == other.resolution
            && base.labels == other.labels
            && base.workload_selector == other.workload_selector
            && is_exported_alike(base, other))
}

fn is_exported_alike(one: &ServiceEntry, other: &ServiceEntry) -> bool {
    let [one, other] = [one, other].map(|entry| entry.export_to.iter().collect::<BTreeSet<_>>());
    one == other
}

/// An ORIGINAL_DST cluster forwards to the address dialled; newer Istio moves it to `targetPort`.
fn original_destination(base: &ServiceEntry, dial: &Dial, behaviour: Behaviour) -> Target {
    let target = base.port(dial.port).and_then(|port| port.target_port);
    match target {
        Some(target) if behaviour == Behaviour::New && target != dial.port => Target::Port(target),
        _ => Target::Dialled,
    }
}

/// The protocols for which Istio builds a dynamic forward proxy cluster.
fn forwards_dynamically(port: &Port) -> bool {
    matches!(
        port.protocol,
        Protocol::Http | Protocol::Tls | Protocol::Grpc | Protocol::Http2
    )
}
