//! Where entries are filed: by port, by who sees them, and by the listener and filter chain they
//! feed, so that a dial reads only what can decide it.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::mesh::address::Address;
use crate::mesh::protocol::{ListenerClass, Protocol};
use crate::mesh::service_entry::{Port, Registry, Resolution, ServiceEntry};

use super::Query;

/// Who is shown an entry: everyone, one namespace, or its own. Each has a first in line.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Scope {
    Everyone,
    Namespace(Box<str>),
    Private(Box<str>),
}

/// The entries of one port that one scope sees, by the listener and filter chain they feed.
///
/// Of the lanes that many entries share, only the first in line can matter: the second HTTP entry
/// of a port changes nothing (`buildSidecarOutboundListener` returns early), nor does the second
/// sniffed one, nor a second chain with the same match. [`Lanes::rare`] breaks that rule.
#[derive(Clone, Debug, Default)]
pub(super) struct Lanes {
    exact: HashMap<IpAddr, BTreeSet<Place>>,
    pub(super) ranges: BTreeMap<u8, HashMap<IpNet, BTreeSet<Place>>>,
    any_range: BTreeSet<Place>,
    http: BTreeSet<Place>,
    sniffed: BTreeSet<Place>,
    match_all: BTreeSet<Place>,
    server_names: HashMap<Box<str>, BTreeSet<Place>>,
    any_server_name: BTreeSet<Place>,
    /// HTTP_PROXY replaces what it finds, Mongo and MySQL refuse company, `::` is on the wildcard
    /// listener of some: where one of them is, every entry counts.
    pub(super) rare: BTreeSet<Place>,
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
}

/// Where an entry is filed: each scope that sees it, with each of its ports.
pub(super) fn slots(entry: &ServiceEntry) -> Vec<(Scope, &Port)> {
    // Whatever makes no service must not stand for those behind it.
    if !entry.has_services() || entry.hosts.is_empty() {
        return Vec::new();
    }
    let scopes: Vec<Scope> = if entry.is_public() {
        vec![Scope::Everyone]
    } else {
        let names: BTreeSet<&str> = entry
            .export_to
            .iter()
            .map(|to| {
                if &**to == "." {
                    &*entry.namespace
                } else {
                    &**to
                }
            })
            .filter(|to| entry.is_visible_from(to))
            .collect();
        names
            .into_iter()
            .map(|name| match entry.is_private_to(name) {
                true => Scope::Private(name.into()),
                false => Scope::Namespace(name.into()),
            })
            .collect()
    };
    // Of two ports of one number, which istiod refuses, the first is the one that is read.
    let is_first = |port: &&Port| {
        let first = entry.port(port.number);
        first.is_some_and(|first| first.index == port.index)
    };
    let pairs = entry
        .ports
        .iter()
        .filter(is_first)
        .flat_map(|port| scopes.iter().map(move |scope| (scope.clone(), port)));
    pairs.collect()
}

impl Lanes {
    /// Whether nothing is filed in any of them.
    pub(super) fn is_empty(&self) -> bool {
        // What is in a range, or has a server name, is in a lane that is shared, too.
        self.exact.is_empty() && self.of_the_port().iter().all(|lane| lane.is_empty())
    }

    /// The lanes that every dial of the port shares.
    fn of_the_port(&self) -> [&BTreeSet<Place>; 6] {
        [
            &self.any_range,
            &self.http,
            &self.sniffed,
            &self.match_all,
            &self.any_server_name,
            &self.rare,
        ]
    }

    /// Calls `act` with every lane in which this port of this entry stands.
    pub(super) fn each(
        &mut self,
        entry: &ServiceEntry,
        port: &Port,
        mut act: impl FnMut(&mut BTreeSet<Place>),
    ) {
        match port.protocol.listener_class() {
            ListenerClass::None => return,
            ListenerClass::Http if port.protocol == Protocol::HttpProxy => {
                return act(&mut self.rare);
            }
            ListenerClass::Http => return act(&mut self.http),
            ListenerClass::Tcp | ListenerClass::Auto => {}
        }
        let given = entry.allocated.iter().map(|(_, ip)| *ip);
        for ip in listening_endpoints(entry).chain(given) {
            lane_of(&mut self.exact, ip, &mut act);
        }
        // A Service listens on its ClusterIP or its endpoints, or nowhere.
        if entry.addresses.is_empty() && entry.registry == Registry::Istio {
            self.wildcard(entry, port.protocol, &mut act);
        }
        for written in &entry.addresses {
            match written.address {
                Address::Invalid => {}
                // `::` means "no address" to IPv6 sidecars only.
                Address::Single(ip) if ip.is_unspecified() && ip.is_ipv6() => act(&mut self.rare),
                Address::Single(ip) if ip.is_unspecified() => {
                    self.wildcard(entry, port.protocol, &mut act);
                }
                Address::Single(ip) => lane_of(&mut self.exact, ip, &mut act),
                Address::Range(net) => {
                    let by_net = self.ranges.entry(net.prefix_len()).or_default();
                    lane_of(by_net, net, &mut act);
                    act(&mut self.any_range);
                    if net.addr().is_unspecified() || port.protocol.is_sniffed() {
                        self.wildcard(entry, port.protocol, &mut act);
                    } else if port.protocol.refuses_company() {
                        act(&mut self.rare);
                    }
                }
            }
        }
    }

    /// The lanes of a service without an address of its own.
    fn wildcard(
        &mut self,
        entry: &ServiceEntry,
        protocol: Protocol,
        act: &mut impl FnMut(&mut BTreeSet<Place>),
    ) {
        if protocol.is_sniffed() {
            return act(&mut self.sniffed);
        }
        if protocol.refuses_company() {
            return act(&mut self.rare);
        }
        if !protocol.is_tls() {
            return act(&mut self.match_all);
        }
        for host in &entry.hosts {
            lane_of(&mut self.server_names, host.clone(), act);
        }
        act(&mut self.any_server_name);
    }

    /// The lanes that name the address dialled: every entry counts, and there are few.
    pub(super) fn named(&self, query: &Query<'_>) -> Vec<&BTreeSet<Place>> {
        let mut lanes: Vec<&BTreeSet<Place>> = Vec::new();
        lanes.extend(self.exact.get(&query.address));
        for (length, by_net) in &self.ranges {
            let net = IpNet::new(query.address, *length).map(|net| net.trunc());
            lanes.extend(net.ok().and_then(|net| by_net.get(&net)));
        }
        lanes
    }

    /// The lanes that every address of the port shares: the first in line counts.
    pub(super) fn shared(&self, query: &Query<'_>) -> Vec<&BTreeSet<Place>> {
        let mut lanes: Vec<&BTreeSet<Place>> = Vec::with_capacity(7);
        if let Some(name) = query.server_name {
            lanes.extend(self.server_names.get(name));
            // `*.corp` covers `a.corp`.
            for (dot, _) in name.match_indices('.') {
                lanes.extend(self.server_names.get(format!("*{}", &name[dot..]).as_str()));
            }
        }
        lanes.extend(self.of_the_port());
        lanes
    }
}

/// Acts on the lane of a key; none is left behind empty, because addresses of endpoints come and go.
fn lane_of<K: Eq + Hash>(
    lanes: &mut HashMap<K, BTreeSet<Place>>,
    key: K,
    act: &mut impl FnMut(&mut BTreeSet<Place>),
) {
    match lanes.entry(key) {
        Entry::Occupied(mut lane) => {
            act(lane.get_mut());
            if lane.get().is_empty() {
                lane.remove();
            }
        }
        Entry::Vacant(place) => {
            let mut lane = BTreeSet::new();
            act(&mut lane);
            if !lane.is_empty() {
                place.insert(lane);
            }
        }
    }
}

/// With resolution NONE and no address, an entry that names endpoints listens on their IPs
/// (`buildSidecarOutboundListeners` in `pilot/pkg/networking/core/listener.go`).
fn listening_endpoints(entry: &ServiceEntry) -> impl Iterator<Item = IpAddr> + '_ {
    let mut addresses = entry.addresses.iter();
    let applies = entry.resolution == Resolution::None
        && (entry.addresses.is_empty() || addresses.any(|written| &*written.text == "0.0.0.0"));
    let endpoints = entry.endpoints.iter().filter(move |_| applies);
    endpoints.filter_map(|endpoint| endpoint.address.parse().ok())
}
