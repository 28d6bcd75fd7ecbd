//! What Envoy will do with a CONNECT: Istio's listener selection, as a pure function.
//!
//! A sidecar picks the outbound listener by the address and port dialled: the exact
//! `IP_PORT`, else `0.0.0.0_PORT`, else the catch-all on 15001. On the listener Envoy picks a
//! filter chain by destination prefix, then server name, then what the first bytes look like.
//! An HTTP chain answers `404` to a CONNECT, because no sidecar route uses Envoy's
//! `connect_matcher`; a TCP chain forwards it to its cluster. Named after Istio's own
//! `pilot/pkg/simulation`, which does the same for its tests.
//!
//! The steps are [`client`] (which Sidecar decides what the client sees), [`service`] (entries to
//! services), [`listener`] (services to listeners and filter chains, and which one is picked),
//! [`cluster`] (where the chain's cluster forwards to) with the [`endpoints`] behind it, [`upstream`]
//! (what it does to the bytes) and [`words`] (the same told to a person). [`kubernetes`] is what
//! differs where the service is one of Kubernetes.

mod client;
mod cluster;
mod endpoints;
mod environment;
mod kubernetes;
mod listener;
mod service;
mod upstream;
mod words;

use std::fmt;
use std::net::IpAddr;

use super::destination_rule::DestinationRule;
use super::labels::Labels;
use super::service_entry::{ServiceEntry, is_allocated};
use super::sidecar::Sidecar;
use super::view::{Backwards, Mesh, Query, SidecarScope, Unmodelled, are_tied};
pub use environment::{Environment, IstioVersion, Names, OutboundPolicy};
use listener::{Listener, Listeners};
use service::Service;
pub use upstream::is_tunnelled;
use upstream::{Destination, Upstream};

/// What the client says first.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Speech {
    /// `CONNECT host:443 HTTP/1.1`, in plain text.
    Connect,
    /// `CONNECT host:443 HTTP/1.0`: sidecars do not take it for HTTP (since Istio 1.13).
    ConnectHttp10,
    /// A TLS handshake with the proxy itself, with this server name if any.
    Tls(Option<Box<str>>),
}

/// One connection that an application opens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Dial {
    /// The application's namespace.
    pub namespace: Box<str>,
    /// The application's labels, which selectors look at; `None` where they are not known.
    pub labels: Option<Labels>,
    /// The IP address dialled: a sidecar never sees a host name.
    pub address: IpAddr,
    /// The port dialled.
    pub port: u16,
    /// What it says first.
    pub speech: Speech,
}

/// What becomes of a dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// Forwarded untouched to the address dialled.
    Tunnel,
    /// An HTTP listener answers `404`.
    NotFound,
    /// The listener's cluster is empty or missing: the connection is closed.
    NoEndpoints,
    /// Nothing declares the address under REGISTRY_ONLY: the connection is closed.
    BlackHole,
    /// Forwarded, but to another endpoint or port than the one dialled.
    Hijacked,
    /// Forwarded inside TLS that a DestinationRule adds.
    Wrapped,
    /// Depends on something that the view does not hold.
    Unknown,
}

impl Outcome {
    /// How bad it is: Tunnel › NotFound = NoEndpoints = BlackHole › Hijacked = Wrapped. `Unknown`
    /// has no rank, since it proves nothing.
    pub fn badness(self) -> Option<u8> {
        match self {
            Self::Tunnel => Some(0),
            Self::NotFound | Self::NoEndpoints | Self::BlackHole => Some(1),
            Self::Hijacked | Self::Wrapped => Some(2),
            Self::Unknown => None,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// The object that decided.
#[derive(Clone, Copy, Debug)]
pub struct Blame<'a> {
    /// The entry, or the Service in its form ([`ServiceEntry::kind`]).
    pub entry: &'a ServiceEntry,
    /// Which of its hosts.
    pub host: &'a str,
    /// Which of its ports.
    pub port: u16,
}

/// An outcome, with what led to it.
#[derive(Clone, Debug)]
pub struct Prediction<'a> {
    /// What becomes of the dial.
    pub outcome: Outcome,
    /// Because of whom; `None` where nobody declares the address.
    pub by: Option<Blame<'a>>,
    pub(crate) trail: Trail<'a>,
}

impl<'a> Prediction<'a> {
    fn of(way: Way<'a>) -> Self {
        let egress_proxy = way.egress_proxy();
        let outcome = match &way.end {
            End::Http(_) => Outcome::NotFound,
            End::Cluster(_, target, upstream) => upstream.outcome(target.outcome()),
            End::Fallthrough if way.outbound == OutboundPolicy::RegistryOnly => Outcome::BlackHole,
            // What it makes of a CONNECT is not in view.
            End::Fallthrough if egress_proxy.is_some() => Outcome::Unknown,
            End::Fallthrough => Outcome::Tunnel,
        };
        let by = match &way.end {
            End::Http(service) => service.map(|service| service.blame()),
            End::Cluster(service, ..) => Some(service.blame()),
            End::Fallthrough => None,
        };
        Self {
            outcome,
            by,
            trail: Trail::Way(way),
        }
    }

    /// The Sidecar that says what the client sees.
    pub fn sidecar(&self) -> Option<&'a Sidecar> {
        match &self.trail {
            Trail::Way(way) => way.sidecar,
            _ => None,
        }
    }

    /// The outcome, where what is outside the view counts as met: the pods that a workloadSelector may
    /// select are taken to be at the address dialled. What an entry is judged by.
    pub fn assumed(&self) -> Outcome {
        match &self.trail {
            Trail::Way(Way {
                end: End::Cluster(_, cluster::Target::Selected, upstream),
                ..
            }) => upstream.outcome(Outcome::Tunnel),
            _ => self.outcome,
        }
    }

    /// The endpoints of the Service whose ClusterIP was dialled, as `address:port`: none where its
    /// EndpointSlices are not in view.
    pub fn behind(&self) -> Option<&[String]> {
        match &self.trail {
            Trail::Way(Way {
                end: End::Cluster(_, cluster::Target::Behind(endpoints), _),
                ..
            }) => Some(endpoints),
            _ => None,
        }
    }

    /// The Sidecar whose egress listener for the port dialled took the connection.
    pub fn by_egress_of(&self) -> Option<&'a Sidecar> {
        let Trail::Way(way) = &self.trail else {
            return None;
        };
        let service = match &way.end {
            End::Http(service) => (*service)?,
            End::Cluster(service, ..) => *service,
            End::Fallthrough => return None,
        };
        service.egress.and(way.sidecar)
    }

    /// Whether it ends in the HTTP chain that every HTTP port of the number shares.
    pub(crate) fn is_http_of_port(&self) -> bool {
        matches!(
            &self.trail,
            Trail::Way(Way {
                listener: ListenerKind::Wildcard,
                end: End::Http(Some(_)),
                ..
            })
        )
    }

    /// The DestinationRule that puts what is forwarded into TLS.
    pub fn wrapped_by(&self) -> Option<&'a DestinationRule> {
        match &self.trail {
            Trail::Way(Way {
                end: End::Cluster(_, _, Upstream::Tls(rule)),
                ..
            }) => Some(rule),
            _ => None,
        }
    }
}

/// What the words are made of.
#[derive(Clone, Debug)]
pub(crate) enum Trail<'a> {
    /// A kind of object that is not modelled.
    Unmodelled(&'a Unmodelled),
    /// The two measured ends of the version range disagree.
    Versions(Outcome, Outcome),
    /// A Sidecar decides otherwise for the clients that it selects, and the client's labels are not
    /// known: what it decides, and what becomes of the others.
    Clients(&'a Sidecar, Outcome, Outcome),
    /// An address that istiod allocates, and nothing in view tells to whom.
    Allocated,
    /// Entries of this host were created in the same second: what it comes to in either order.
    Tied(Blame<'a>, Outcome, Outcome),
    /// The protocol of a Service's port is written in a way that older Istio does not read.
    NewlyRead(&'a ServiceEntry),
    /// The outbound policy does not exist in that version.
    NoSuchPolicy,
    /// The way through the listeners.
    Way(Way<'a>),
}

/// The way of a dial through the sidecar.
#[derive(Clone, Debug)]
pub(crate) struct Way<'a> {
    /// The Sidecar that says what the client sees.
    pub(crate) sidecar: Option<&'a Sidecar>,
    /// The outbound policy: the Sidecar's, else the mesh's.
    pub(crate) outbound: OutboundPolicy,
    pub(crate) listener: ListenerKind,
    pub(crate) end: End<'a>,
    /// An entry that lost to an older one, where that decided.
    pub(crate) outranked: Option<&'a ServiceEntry>,
}

impl Way<'_> {
    /// Where the Sidecar sends what nobody declares.
    pub(crate) fn egress_proxy(&self) -> Option<&str> {
        let own = self.sidecar.and_then(|sidecar| sidecar.outbound.as_ref())?;
        own.egress_proxy.as_deref()
    }
}

/// Which listener took the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ListenerKind {
    Exact,
    Wildcard,
    CatchAll,
}

/// Where the connection ends.
#[derive(Clone, Debug)]
pub(crate) enum End<'a> {
    /// An HTTP connection manager, because of this service (none: the catch-all's).
    Http(Option<Service<'a>>),
    /// The cluster of this service, and what it does to the bytes.
    Cluster(Service<'a>, cluster::Target, Upstream<'a>),
    /// No chain wants it: the outbound policy decides.
    Fallthrough,
}

/// Predicts what becomes of `dial`.
///
/// Between the two measured versions a differing reading is [`Outcome::Unknown`].
pub fn simulate<'a>(
    mesh: &'a dyn Mesh,
    dial: &Dial,
    environment: &Environment<'_>,
) -> Prediction<'a> {
    if let Some(object) = mesh.unmodelled() {
        return unknown(Trail::Unmodelled(object));
    }
    let version = environment.version;
    if version < IstioVersion::NEWEST && environment.outbound == OutboundPolicy::AllowAnyDynamicDns
    {
        return unknown(Trail::NoSuchPolicy);
    }
    if version == IstioVersion::OLDEST {
        return either_way(mesh, dial, environment, Behaviour::Old);
    }
    let newest = either_way(mesh, dial, environment, Behaviour::New);
    if version == IstioVersion::NEWEST {
        return newest;
    }
    let oldest = either_way(mesh, dial, environment, Behaviour::Old);
    if oldest.outcome != newest.outcome {
        return unknown(Trail::Versions(oldest.outcome, newest.outcome));
    }
    newest
}

/// What differs between the two measured istiods (2024-02-21 and 2026-08-27).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// Every entry of a host is used, those first that the client's namespace keeps for itself; a second
    /// entry's ports join the first's whatever its resolution; `targetPort` is ignored with NONE.
    Old,
    /// One namespace a host is kept; ports join only where resolution, labels, selector and
    /// exportTo agree; `targetPort` is honoured with NONE.
    New,
}

/// What becomes of the dial in whichever order istiod takes entries that are alike in creation time, host
/// and namespace.
fn either_way<'a>(
    mesh: &'a dyn Mesh,
    dial: &Dial,
    environment: &Environment<'_>,
    behaviour: Behaviour,
) -> Prediction<'a> {
    let prediction = predict(mesh, dial, environment, behaviour);
    let Some(by) = prediction.by else {
        return prediction;
    };
    if !are_tied(mesh, by.host, &by.entry.namespace) {
        return prediction;
    }
    let other = predict(&Backwards(mesh), dial, environment, behaviour).outcome;
    if other == prediction.outcome {
        return prediction;
    }
    unknown(Trail::Tied(by, prediction.outcome, other))
}

fn predict<'a>(
    mesh: &'a dyn Mesh,
    dial: &Dial,
    environment: &Environment<'_>,
    behaviour: Behaviour,
) -> Prediction<'a> {
    let mut candidates = client::sidecars(mesh, dial, environment).into_iter().rev();
    let by = |sidecar| predict_by(mesh, sidecar, dial, environment, behaviour);
    let prediction = by(candidates.next().flatten());
    for sidecar in candidates.flatten() {
        let selected = by(Some(sidecar)).outcome;
        if selected != prediction.outcome {
            return unknown(Trail::Clients(sidecar, selected, prediction.outcome));
        }
    }
    prediction
}

/// What becomes of a dial where that Sidecar is for the client, or none.
fn predict_by<'a>(
    mesh: &'a dyn Mesh,
    sidecar: Option<&'a Sidecar>,
    dial: &Dial,
    environment: &Environment<'_>,
    behaviour: Behaviour,
) -> Prediction<'a> {
    let scopes = client::scopes(sidecar, &dial.namespace, behaviour);
    let listeners = listeners(mesh, &scopes, dial, environment, behaviour);
    if listeners.exact.is_none() && listeners.has_untold && is_allocated(dial.address) {
        return unknown(Trail::Allocated);
    }
    if let Some(service) = listeners.newly_read {
        return unknown(Trail::NewlyRead(service));
    }
    let own_policy = sidecar.and_then(|sidecar| sidecar.outbound.as_ref());
    let outbound = own_policy.map_or(environment.outbound, |own| own.policy);
    let (kind, listener) = match (&listeners.exact, &listeners.wildcard) {
        (Some(exact), _) => (ListenerKind::Exact, Some(exact)),
        (None, Some(wildcard)) => (ListenerKind::Wildcard, Some(wildcard)),
        (None, None) => (ListenerKind::CatchAll, None),
    };
    let end = match listener.and_then(|listener| listener.pick(dial, behaviour)) {
        Some(listener::Chain {
            http: true,
            service,
            ..
        }) => End::Http(Some(*service)),
        Some(chain) => {
            let target =
                cluster::resolve(mesh, &chain.service, dial, environment, &scopes, behaviour);
            let destination = Destination {
                host: chain.service.host,
                namespace: &chain.service.entry.namespace,
                port: chain.service.port.number,
                client: &dial.namespace,
                labels: dial.labels.as_ref(),
            };
            let upstream = Upstream::of(mesh, destination, environment);
            End::Cluster(chain.service, target, upstream)
        }
        // Under ALLOW_ANY_DYNAMIC_DNS even the catch-all listener parses HTTP.
        None if kind == ListenerKind::CatchAll
            && outbound == OutboundPolicy::AllowAnyDynamicDns
            && dial.speech == Speech::Connect =>
        {
            End::Http(None)
        }
        None => End::Fallthrough,
    };
    Prediction::of(Way {
        sidecar,
        outbound,
        listener: kind,
        end,
        outranked: listener.and_then(Listener::outranked),
    })
}

/// The listeners that a dial can end on. What is on a port that a Sidecar gives an egress listener of its
/// own is not added to by the one for all other ports (`buildSidecarOutboundListeners` in
/// `pilot/pkg/networking/core/listener.go`).
fn listeners<'a>(
    mesh: &'a dyn Mesh,
    scopes: &[SidecarScope<'_>],
    dial: &Dial,
    environment: &Environment<'_>,
    behaviour: Behaviour,
) -> Listeners<'a> {
    let server_name = match &dial.speech {
        Speech::Tls(name) => name.as_deref(),
        _ => None,
    };
    let mut listeners = Listeners::default();
    for scope in scopes {
        match scope.own_port() {
            Some(own) if own.number != dial.port => continue,
            Some(_) => {}
            None => listeners.lock(),
        }
        let query = Query {
            scope: *scope,
            address: dial.address,
            port: dial.port,
            server_name,
            captures_dns: environment.captures_dns,
            heeds_allocation_label: behaviour == Behaviour::New,
        };
        let services = service::in_line(mesh, &query);
        let mut newer = services.iter().filter(|one| kubernetes::is_newly_read(one));
        if let (Behaviour::Old, Some(service)) = (behaviour, newer.next()) {
            listeners.newly_read = Some(service.entry);
        }
        listeners.add(&services, dial, behaviour);
    }
    listeners
}

fn unknown(trail: Trail<'_>) -> Prediction<'_> {
    Prediction {
        outcome: Outcome::Unknown,
        by: None,
        trail,
    }
}
