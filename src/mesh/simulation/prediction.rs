//! What becomes of a dial, and because of whom.

use std::fmt;

use crate::mesh::destination_rule::DestinationRule;
use crate::mesh::service_entry::ServiceEntry;
use crate::mesh::sidecar::Sidecar;
use crate::mesh::view::Unmodelled;

use super::OutboundPolicy;
use super::cluster::Target;
use super::service::Service;
use super::upstream::Upstream;

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
    pub(super) fn unknown(trail: Trail<'a>) -> Self {
        Self {
            outcome: Outcome::Unknown,
            by: None,
            trail,
        }
    }

    pub(super) fn of(way: Way<'a>) -> Self {
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
                end: End::Cluster(_, Target::Selected, upstream),
                ..
            }) => upstream.outcome(Outcome::Tunnel),
            _ => self.outcome,
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
    Cluster(Service<'a>, Target, Upstream<'a>),
    /// No chain wants it: the outbound policy decides.
    Fallthrough,
}
