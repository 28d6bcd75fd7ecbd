//! What Envoy will do with a CONNECT: Istio's listener selection, as a pure function.
//!
//! A sidecar picks the outbound listener by the address and port dialled: the exact
//! `IP_PORT`, else `0.0.0.0_PORT`, else the catch-all on 15001. On the listener Envoy picks a
//! filter chain by destination prefix, then server name, then what the first bytes look like.
//! An HTTP chain answers `404` to a CONNECT, because no sidecar route uses Envoy's
//! `connect_matcher`; a TCP chain forwards it to its cluster. Named after Istio's own
//! `pilot/pkg/simulation`, which does the same for its tests.
//!
//! The steps are [`service`] (entries to services, and which a client sees), [`listener`]
//! (services to listeners and filter chains, and which one is picked), [`cluster`] (where the
//! chain's cluster forwards to) and [`words`] (the same told to a person).

mod cluster;
mod listener;
mod service;
mod words;

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::service_entry::ServiceEntry;
use super::view::{Mesh, Query, Unmodelled};
use listener::Listener;
use service::Service;

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
    /// The IP address dialled: a sidecar never sees a host name.
    pub address: IpAddr,
    /// The port dialled.
    pub port: u16,
    /// What it says first.
    pub speech: Speech,
}

/// `meshConfig.outboundTrafficPolicy.mode`: what happens to a destination nobody declares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OutboundPolicy {
    /// Forwarded as it is.
    #[default]
    AllowAny,
    /// Closed.
    RegistryOnly,
    /// Forwarded; but HTTP is parsed (Istio 1.31 and newer).
    AllowAnyDynamicDns,
}

/// A minor version of Istio, 1.21 to 1.31. Behaviour was measured at both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IstioVersion(u8);

/// What the mesh is set to, and what is known of names.
#[derive(Clone, Copy, Debug, Default)]
pub struct Environment<'a> {
    /// The outbound policy.
    pub outbound: OutboundPolicy,
    /// The version of Istio.
    pub version: IstioVersion,
    /// Where host names lead, as far as it is known; lower case.
    pub names: Option<&'a Names>,
}

/// Host name → addresses.
pub type Names = HashMap<Box<str>, Vec<IpAddr>>;

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
    /// The entry.
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

/// What the words are made of.
#[derive(Clone, Debug)]
pub(crate) enum Trail<'a> {
    /// A kind of object that is not modelled.
    Unmodelled(&'a Unmodelled),
    /// The two measured ends of the version range disagree.
    Versions(Outcome, Outcome),
    /// The outbound policy does not exist in that version.
    NoSuchPolicy,
    /// The way through the listeners.
    Way(Way<'a>),
}

/// The way of a dial through the sidecar.
#[derive(Clone, Debug)]
pub(crate) struct Way<'a> {
    pub(crate) listener: ListenerKind,
    pub(crate) end: End<'a>,
    /// An entry that lost to an older one, where that decided.
    pub(crate) outranked: Option<&'a ServiceEntry>,
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
    /// The cluster of this service.
    Cluster(Service<'a>, cluster::Target),
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
        return predict(mesh, dial, environment, Behaviour::Old);
    }
    let newest = predict(mesh, dial, environment, Behaviour::New);
    if version == IstioVersion::NEWEST {
        return newest;
    }
    let oldest = predict(mesh, dial, environment, Behaviour::Old);
    if oldest.outcome != newest.outcome {
        return unknown(Trail::Versions(oldest.outcome, newest.outcome));
    }
    newest
}

/// What differs between the two measured istiods (2024-02-21 and 2026-08-27).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// Every entry of a host is used; a second entry's ports join the first's whatever its
    /// resolution; `targetPort` is ignored with NONE.
    Old,
    /// One namespace a host is kept; ports join only where resolution, labels, selector and
    /// exportTo agree; `targetPort` is honoured with NONE.
    New,
}

fn predict<'a>(
    mesh: &'a dyn Mesh,
    dial: &Dial,
    environment: &Environment<'_>,
    behaviour: Behaviour,
) -> Prediction<'a> {
    let server_name = match &dial.speech {
        Speech::Tls(name) => name.as_deref(),
        _ => None,
    };
    let query = Query {
        namespace: &dial.namespace,
        address: dial.address,
        port: dial.port,
        server_name,
        one_namespace_a_host: behaviour == Behaviour::New,
    };
    let services = service::in_line(mesh, &query);
    let listeners = listener::build(&services, dial);
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
            let target = cluster::resolve(mesh, &chain.service, dial, environment, behaviour);
            End::Cluster(chain.service, target)
        }
        None if kind == ListenerKind::CatchAll && catches_http(dial, environment) => {
            End::Http(None)
        }
        None => End::Fallthrough,
    };
    conclude(
        kind,
        end,
        listener.and_then(Listener::outranked),
        environment,
    )
}

/// Under ALLOW_ANY_DYNAMIC_DNS even the catch-all listener parses HTTP.
fn catches_http(dial: &Dial, environment: &Environment<'_>) -> bool {
    environment.outbound == OutboundPolicy::AllowAnyDynamicDns && dial.speech == Speech::Connect
}

fn conclude<'a>(
    listener: ListenerKind,
    end: End<'a>,
    outranked: Option<&'a ServiceEntry>,
    environment: &Environment<'_>,
) -> Prediction<'a> {
    let outcome = match &end {
        End::Http(_) => Outcome::NotFound,
        End::Cluster(_, target) => target.outcome(),
        End::Fallthrough if environment.outbound == OutboundPolicy::RegistryOnly => {
            Outcome::BlackHole
        }
        End::Fallthrough => Outcome::Tunnel,
    };
    let by = match &end {
        End::Http(service) => service.map(|service| service.blame()),
        End::Cluster(service, _) => Some(service.blame()),
        End::Fallthrough => None,
    };
    let way = Way {
        listener,
        end,
        outranked,
    };
    Prediction {
        outcome,
        by,
        trail: Trail::Way(way),
    }
}

fn unknown(trail: Trail<'_>) -> Prediction<'_> {
    Prediction {
        outcome: Outcome::Unknown,
        by: None,
        trail,
    }
}

impl OutboundPolicy {
    /// Every mode, as Istio spells it.
    pub const ALL: [(&'static str, OutboundPolicy); 3] = [
        ("ALLOW_ANY", OutboundPolicy::AllowAny),
        ("REGISTRY_ONLY", OutboundPolicy::RegistryOnly),
        ("ALLOW_ANY_DYNAMIC_DNS", OutboundPolicy::AllowAnyDynamicDns),
    ];
}

impl fmt::Display for OutboundPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = Self::ALL.iter().find(|(_, policy)| policy == self);
        f.write_str(known.map_or("", |(name, _)| name))
    }
}

impl FromStr for OutboundPolicy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.iter().find(|(name, _)| *name == text);
        known.map(|(_, policy)| *policy).ok_or_else(|| {
            let names = Self::ALL.map(|(name, _)| name).join(", ");
            format!("{text:?} is not an outbound traffic policy; use one of {names}")
        })
    }
}

impl IstioVersion {
    /// 1.21, of 2024-02.
    pub const OLDEST: Self = Self(21);
    /// 1.31, of 2026-08.
    pub const NEWEST: Self = Self(31);
}

impl Default for IstioVersion {
    fn default() -> Self {
        Self::NEWEST
    }
}

impl fmt::Display for IstioVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1.{}", self.0)
    }
}

impl FromStr for IstioVersion {
    type Err = String;

    /// Reads `1.21` to `1.31`; a patch level (`1.24.2`) is allowed and ignored.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.trim_start_matches('v').split('.');
        let major = parts.next();
        let minor = parts.next().and_then(|minor| minor.parse::<u8>().ok());
        let known = Self::OLDEST.0..=Self::NEWEST.0;
        match (major, minor) {
            (Some("1"), Some(minor)) if known.contains(&minor) => Ok(Self(minor)),
            _ => Err(format!(
                "{text:?} is not a version of Istio between {} and {}; write it as \"{}\"",
                Self::OLDEST,
                Self::NEWEST,
                Self::NEWEST
            )),
        }
    }
}
