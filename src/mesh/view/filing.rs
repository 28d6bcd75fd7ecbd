//! Under what an entry is filed: the ports it listens on, those that Sidecars give an egress listener of
//! their own, and who sees it.

use std::collections::{BTreeSet, HashMap};

use crate::mesh::protocol::Protocol;
use crate::mesh::service_entry::ServiceEntry;
use crate::mesh::sidecar::{Egress, Sidecar};

use super::Query;

/// What the entries of some lanes listen as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Listening {
    /// On a port, each by its own protocol.
    Port(u16),
    /// On an egress listener with a port of its own, all by its protocol.
    Egress(u16),
    /// On an egress listener for HTTP_PROXY, whatever their ports are.
    HttpProxy,
}

impl Listening {
    /// As what those are filed that can decide what comes of a dial.
    pub(super) fn of(query: &Query<'_>) -> Self {
        let own = query.scope.egress.and_then(Self::of_egress);
        own.unwrap_or(Self::Port(query.port))
    }

    /// `None` for an egress listener of all ports.
    fn of_egress(egress: &Egress) -> Option<Self> {
        egress.port?;
        Some(egress.matched_port().map_or(Self::HttpProxy, Self::Egress))
    }
}

/// The egress listeners with a port of their own, and how many Sidecars of the view have each.
#[derive(Clone, Debug, Default)]
pub(super) struct OwnPorts(HashMap<Listening, usize>);

impl OwnPorts {
    /// Those of a Sidecar.
    pub(super) fn of(sidecar: &Sidecar) -> Vec<Listening> {
        let egress = sidecar.egress.iter();
        egress.filter_map(Listening::of_egress).collect()
    }

    /// Counts one; whether it is the first.
    pub(super) fn add(&mut self, listening: Listening) -> bool {
        let count = self.0.entry(listening).or_default();
        *count += 1;
        *count == 1
    }

    /// Counts one less; whether that was the last.
    pub(super) fn remove(&mut self, listening: Listening) -> bool {
        let Some(count) = self.0.get_mut(&listening) else {
            return false;
        };
        *count -= 1;
        *count == 0 && self.0.remove(&listening).is_some()
    }

    fn has(&self, listening: &Listening) -> bool {
        self.0.contains_key(listening)
    }
}

/// Who is shown an entry: everyone, one namespace, or its own. Each has a first in line.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Scope {
    Everyone,
    Namespace(Box<str>),
    Private(Box<str>),
}

impl Scope {
    /// Those of which a client in `namespace` is shown anything.
    pub(super) fn of_client(namespace: &str) -> [Self; 3] {
        [
            Self::Everyone,
            Self::Namespace(namespace.into()),
            Self::Private(namespace.into()),
        ]
    }

    /// Those that are shown an entry.
    fn of_entry(entry: &ServiceEntry) -> Vec<Self> {
        if entry.is_public() {
            return vec![Self::Everyone];
        }
        let names = entry.export_to.iter().map(|to| match &**to {
            "." => &*entry.namespace,
            named => named,
        });
        let names: BTreeSet<&str> = names.filter(|to| entry.is_visible_from(to)).collect();
        let scopes = names
            .into_iter()
            .map(|name| match entry.is_private_to(name) {
                true => Self::Private(name.into()),
                false => Self::Namespace(name.into()),
            });
        scopes.collect()
    }
}

/// A place in line: creation time first (objects without one come last), then order of arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    no_time: bool,
    time: i64,
    pub(super) sequence: u64,
}

impl Place {
    pub(super) fn of(entry: &ServiceEntry, sequence: u64) -> Self {
        Self {
            no_time: entry.created.is_none(),
            time: entry.created.unwrap_or(0),
            sequence,
        }
    }

    /// Whether hosts and namespaces decide between the two.
    pub(super) fn ties(&self, other: &Self) -> bool {
        !self.no_time && !other.no_time && self.time == other.time
    }

    /// The first that could tie with it.
    pub(super) fn first_tied(self) -> Self {
        let sequence = if self.no_time { self.sequence } else { 0 };
        Self { sequence, ..self }
    }
}

/// Where an entry is filed: as what, by which protocol of its own, and for whom.
pub(super) fn slots(entry: &ServiceEntry, own: &OwnPorts) -> Vec<(Listening, Protocol, Scope)> {
    // Whatever makes no service must not stand for those behind it.
    if !entry.has_services() || entry.hosts.is_empty() {
        return Vec::new();
    }
    let mut listening = Vec::new();
    for port in &entry.ports {
        // Of two ports of one number, which istiod refuses, the first is the one that is read.
        let first = entry.port(port.number);
        if first.is_some_and(|first| first.index == port.index) {
            let egress = Some(Listening::Egress(port.number)).filter(|egress| own.has(egress));
            listening.extend(
                [Some(Listening::Port(port.number)), egress]
                    .into_iter()
                    .flatten()
                    .map(|one| (one, port.protocol)),
            );
        }
    }
    let first = entry.ports.first();
    let first = first.filter(|_| own.has(&Listening::HttpProxy));
    listening.extend(first.map(|port| (Listening::HttpProxy, port.protocol)));
    let scopes = Scope::of_entry(entry);
    let pairs = listening.into_iter().flat_map(|(listening, protocol)| {
        let scopes = scopes.iter();
        scopes.map(move |scope| (listening, protocol, scope.clone()))
    });
    pairs.collect()
}
