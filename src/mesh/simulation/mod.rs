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
//! services) and [`bind`] (where they listen), [`listener`] and [`filter_chain`] (which one is picked),
//! [`cluster`] (where the chain's cluster forwards to) with the [`endpoints`] behind it, [`upstream`]
//! (what it does to the bytes). A [`prediction`] holds what came of it, [`path`] and [`words`] tell it to a
//! person. [`kubernetes`] is what differs where the service is one of Kubernetes.

mod bind;
mod client;
mod cluster;
mod endpoints;
mod environment;
mod filter_chain;
mod kubernetes;
mod listener;
mod path;
mod prediction;
mod service;
mod upstream;
mod words;

use std::net::IpAddr;

use super::labels::Labels;
use super::service_entry::is_allocated;
use super::sidecar::Sidecar;
use super::view::{Backwards, Mesh, Query, SidecarScope, are_tied};
pub use environment::{Environment, IstioVersion, Names, OutboundPolicy, ROOT_NAMESPACE};
use filter_chain::Chain;
use listener::{Listener, Listeners};
pub use prediction::{Blame, Outcome, Prediction};
use prediction::{End, ListenerKind, Trail, Way};
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

/// Predicts what becomes of `dial`.
///
/// Between the two measured versions a differing reading is [`Outcome::Unknown`].
pub fn simulate<'a>(
    mesh: &'a dyn Mesh,
    dial: &Dial,
    environment: &Environment<'_>,
) -> Prediction<'a> {
    if let Some(object) = mesh.unmodelled() {
        return Prediction::unknown(Trail::Unmodelled(object));
    }
    let version = environment.version;
    if version < IstioVersion::NEWEST && environment.outbound == OutboundPolicy::AllowAnyDynamicDns
    {
        return Prediction::unknown(Trail::NoSuchPolicy);
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
        return Prediction::unknown(Trail::Versions(oldest.outcome, newest.outcome));
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
    Prediction::unknown(Trail::Tied(by, prediction.outcome, other))
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
            return Prediction::unknown(Trail::Clients(sidecar, selected, prediction.outcome));
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
        return Prediction::unknown(Trail::Allocated);
    }
    if let Some(service) = listeners.newly_read {
        return Prediction::unknown(Trail::NewlyRead(service));
    }
    let own_policy = sidecar.and_then(|sidecar| sidecar.outbound.as_ref());
    let outbound = own_policy.map_or(environment.outbound, |own| own.policy);
    let (kind, listener) = match (&listeners.exact, &listeners.wildcard) {
        (Some(exact), _) => (ListenerKind::Exact, Some(exact)),
        (None, Some(wildcard)) => (ListenerKind::Wildcard, Some(wildcard)),
        (None, None) => (ListenerKind::CatchAll, None),
    };
    let end = match listener.and_then(|listener| listener.pick(dial, behaviour)) {
        Some(Chain {
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
            let upstream =
                Upstream::of(mesh, destination, environment).on_port(chain.service.port.protocol);
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
