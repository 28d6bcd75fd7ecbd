//! Lanes: entries in line by the listener and filter chain they feed, so that a dial reads only what can
//! decide it.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::mesh::address::Address;
use crate::mesh::protocol::{ListenerClass, Protocol};
use crate::mesh::service_entry::{Registry, Resolution, ServiceEntry};

use super::filing::{Listening, Place};

type Lane = BTreeSet<Place>;

/// The entries that listen as one thing and that one scope sees.
#[derive(Clone, Debug, Default)]
pub(super) struct Lanes {
    /// Prefix length → range → its entries.
    pub(super) ranges: BTreeMap<u8, HashMap<IpNet, Lane>>,
    of_all: Shared,
    /// The same by the entries' namespaces, for egress listeners that show some of them alone: in the lanes
    /// of all those would stand behind whatever the others have.
    of_namespaces: HashMap<Box<str>, Shared>,
}

/// Lanes that dials of all addresses share.
///
/// Only the first in line can matter: the second HTTP entry of a port changes nothing
/// (`buildSidecarOutboundListener` returns early), nor does the second sniffed one, nor a second chain
/// with the same match.
#[derive(Clone, Debug, Default)]
pub(super) struct Shared {
    any_range: Lane,
    /// Those on an egress listener all stand here as well: as HTTP, or where it says where it listens, the
    /// first of all counts.
    http: Lane,
    /// Each replaces what it finds, so that the last counts, and whoever is the first after it.
    pub(super) http_proxy: Lane,
    anywhere: Anywhere,
    /// Those that listen on an address allocated instead, where DNS is captured.
    given: Anywhere,
    /// Mongo and MySQL refuse company, `::` is on the wildcard listener of some: each of them counts.
    pub(super) rare: Lane,
}

/// Those without an address of their own.
#[derive(Clone, Debug, Default)]
struct Anywhere {
    sniffed: Lane,
    match_all: Lane,
    any_server_name: Lane,
}

impl Lanes {
    /// Whether nothing is filed in any of them.
    pub(super) fn is_empty(&self) -> bool {
        // What is in a range, or of a namespace, is in a lane of all, too.
        self.of_all.is_empty()
    }

    /// Calls `act` with every lane in which an entry stands that listens so, by that protocol of its own.
    pub(super) fn each(
        &mut self,
        entry: &ServiceEntry,
        listening: Listening,
        protocol: Protocol,
        mut act: impl FnMut(&mut Lane),
    ) {
        self.of_all.each(entry, listening, protocol, &mut act);
        let namespace = entry.namespace.clone();
        let of_namespace = self.of_namespaces.entry(namespace).or_default();
        of_namespace.each(entry, listening, protocol, &mut act);
        if of_namespace.is_empty() {
            self.of_namespaces.remove(&entry.namespace);
        }
        let is_http = protocol.listener_class() == ListenerClass::Http;
        let has_ranges = match listening {
            Listening::Port(_) => !is_http && protocol.listener_class() != ListenerClass::None,
            Listening::Egress(_) => true,
            Listening::HttpProxy => false,
        };
        for net in ranges(entry).filter(|_| has_ranges) {
            let by_net = self.ranges.entry(net.prefix_len()).or_default();
            lane_of(by_net, net, &mut act);
            if by_net.is_empty() {
                self.ranges.remove(&net.prefix_len());
            }
        }
    }

    /// The entries of ranges that hold an address: each of them counts, and there are few.
    pub(super) fn holding(&self, address: IpAddr) -> impl Iterator<Item = u64> {
        let nets = self.ranges.iter().filter_map(move |(length, by_net)| {
            let net = IpNet::new(address, *length).ok()?.trunc();
            by_net.get(&net)
        });
        nets.flatten().map(|place| place.sequence)
    }

    /// What every address shares, of some namespaces or of all.
    pub(super) fn shared(&self, namespaces: Option<&BTreeSet<&str>>) -> Vec<&Shared> {
        let Some(namespaces) = namespaces else {
            return vec![&self.of_all];
        };
        let namespaces = namespaces.iter();
        let shared = namespaces.filter_map(|namespace| self.of_namespaces.get(*namespace));
        shared.collect()
    }
}

impl Shared {
    fn is_empty(&self) -> bool {
        let Self {
            any_range,
            http,
            http_proxy,
            anywhere,
            given,
            rare,
        } = self;
        let mut lanes = [any_range, http, http_proxy, rare]
            .into_iter()
            .chain(anywhere.lanes())
            .chain(given.lanes());
        lanes.all(BTreeSet::is_empty)
    }

    /// The lanes of which the first in line counts, and whether its entries are on the wildcard listener for
    /// certain, or where a Sidecar says; with `given` those that an address allocated may draw from it, too.
    pub(super) fn in_line(&self, given: bool) -> impl Iterator<Item = (&Lane, bool)> {
        let certain = [&self.http, &self.any_range].map(|lane| (lane, true));
        let given = Some(&self.given).filter(|_| given);
        let anywhere = [Some(&self.anywhere), given].into_iter().flatten();
        let uncertain = anywhere.flat_map(|lanes| lanes.lanes().map(|lane| (lane, false)));
        certain.into_iter().chain(uncertain)
    }

    fn each(
        &mut self,
        entry: &ServiceEntry,
        listening: Listening,
        protocol: Protocol,
        act: &mut impl FnMut(&mut Lane),
    ) {
        match listening {
            Listening::Port(_) => self.each_of_port(entry, protocol, act),
            Listening::Egress(_) => self.each_of_egress(entry, act),
            Listening::HttpProxy => act(&mut self.http_proxy),
        }
    }

    fn each_of_port(
        &mut self,
        entry: &ServiceEntry,
        protocol: Protocol,
        act: &mut impl FnMut(&mut Lane),
    ) {
        match protocol.listener_class() {
            ListenerClass::None => return,
            ListenerClass::Http if protocol == Protocol::HttpProxy => {
                return act(&mut self.http_proxy);
            }
            ListenerClass::Http => return act(&mut self.http),
            ListenerClass::Tcp | ListenerClass::Auto => {}
        }
        // A Service listens on its ClusterIP or its endpoints, or nowhere.
        let listens_anywhere = entry.addresses.is_empty() && entry.registry == Registry::Istio;
        if listens_anywhere || lists_wildcard(entry) {
            self.anywhere(entry, protocol, act);
        }
        if lists_wildcard_of_v6(entry) {
            act(&mut self.rare);
        }
        for net in ranges(entry) {
            act(&mut self.any_range);
            if net.addr().is_unspecified() || protocol.is_sniffed() {
                self.anywhere(entry, protocol, act);
            } else if protocol.refuses_company() {
                act(&mut self.rare);
            }
        }
    }

    /// The lanes of an entry whose protocol is the egress listener's, whichever that is.
    fn each_of_egress(&mut self, entry: &ServiceEntry, act: &mut impl FnMut(&mut Lane)) {
        act(&mut self.http);
        // Of Services only headless ones are without an address, and no endpoints are looked at.
        let listens_anywhere = entry.addresses.is_empty()
            && (entry.registry == Registry::Istio || entry.resolution == Resolution::None);
        if listens_anywhere || lists_wildcard(entry) {
            self.anywhere(entry, Protocol::Tcp, act);
        }
        if lists_wildcard_of_v6(entry) {
            act(&mut self.rare);
        }
        for net in ranges(entry) {
            act(&mut self.any_range);
            if net.addr().is_unspecified() {
                self.anywhere(entry, Protocol::Tcp, act);
            }
        }
    }

    fn anywhere(
        &mut self,
        entry: &ServiceEntry,
        protocol: Protocol,
        act: &mut impl FnMut(&mut Lane),
    ) {
        // Whom a label or a wildcard host may leave without an address allocated stays with the others.
        let mut hosts = entry.hosts.iter();
        let is_given = entry.is_given_addresses(true) && !hosts.any(|host| host.starts_with('*'));
        let lanes = match is_given {
            true => &mut self.given,
            false => &mut self.anywhere,
        };
        match protocol {
            sniffed if sniffed.is_sniffed() => act(&mut lanes.sniffed),
            alone if alone.refuses_company() => act(&mut self.rare),
            tls if tls.is_tls() => act(&mut lanes.any_server_name),
            _ => act(&mut lanes.match_all),
        }
    }
}

impl Anywhere {
    fn lanes(&self) -> [&Lane; 3] {
        [&self.sniffed, &self.match_all, &self.any_server_name]
    }
}

fn ranges(entry: &ServiceEntry) -> impl Iterator<Item = IpNet> {
    entry
        .addresses
        .iter()
        .filter_map(|written| match written.address {
            Address::Range(net) => Some(net),
            _ => None,
        })
}

/// Whether it lists 0.0.0.0, which is how Istio writes "no address".
fn lists_wildcard(entry: &ServiceEntry) -> bool {
    lists(entry, |ip| ip.is_unspecified() && ip.is_ipv4())
}

/// Whether it lists `::`, which means "no address" to IPv6 sidecars only.
fn lists_wildcard_of_v6(entry: &ServiceEntry) -> bool {
    lists(entry, |ip| ip.is_unspecified() && ip.is_ipv6())
}

fn lists(entry: &ServiceEntry, is_it: impl Fn(IpAddr) -> bool) -> bool {
    let mut addresses = entry.addresses.iter();
    addresses.any(|written| matches!(written.address, Address::Single(ip) if is_it(ip)))
}

/// Acts on the lane of a key; none is left behind empty, because ranges come and go.
fn lane_of<K: Eq + Hash>(lanes: &mut HashMap<K, Lane>, key: K, act: &mut impl FnMut(&mut Lane)) {
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

/// The addresses that have a listener for an entry, or may: those that it lists or that are allocated to it,
/// and with resolution NONE and no address the IPs of its endpoints (`buildSidecarOutboundListeners` in
/// `pilot/pkg/networking/core/listener.go`).
pub(super) fn listening_addresses(entry: &ServiceEntry) -> impl Iterator<Item = IpAddr> {
    let listed = entry
        .addresses
        .iter()
        .filter_map(|written| match written.address {
            Address::Single(ip) if !ip.is_unspecified() => Some(ip),
            _ => None,
        });
    let allocated = entry.allocated.iter().map(|(_, ip)| *ip);
    let mut addresses = entry.addresses.iter();
    let applies = entry.resolution == Resolution::None
        && (entry.addresses.is_empty() || addresses.any(|written| &*written.text == "0.0.0.0"));
    let endpoints = entry.endpoints.iter().filter(move |_| applies);
    let endpoints = endpoints.filter_map(|endpoint| endpoint.address.parse().ok());
    listed.chain(allocated).chain(endpoints)
}
