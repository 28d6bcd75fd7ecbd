//! What is known of a mesh, indexed so that one dial reads only what can decide it.
//!
//! [`Mesh`] is all that the simulation sees. [`MeshView`] is the index behind it, updated one
//! object at a time; [`Overlay`] shows it with one object put in place of its stored form, which
//! is how an object under review, or its repaired twin, is judged.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use ipnet::IpNet;

use super::address::Address;
use super::protocol::{ListenerClass, Protocol};
use super::service_entry::{Port, Resolution, ServiceEntry};

/// A ServiceEntry and where it stands in line.
#[derive(Clone, Copy, Debug)]
pub struct Ranked<'a> {
    /// The entry.
    pub entry: &'a ServiceEntry,
    /// The order in which it came into the view; decides where there is no creation time.
    pub sequence: u64,
}

/// A kind of object that changes what a sidecar does, and that the simulation does not model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmodelled {
    /// Its kind.
    pub kind: Box<str>,
    /// Its namespace.
    pub namespace: Box<str>,
    /// Its name.
    pub name: Box<str>,
}

/// What the simulation reads.
pub trait Mesh {
    /// The entries that can decide what a client in `namespace` meets when it dials `address` on
    /// `port`, with `server_name` if it speaks TLS. May hold more than necessary, in any order.
    fn deciders(&self, query: &Query<'_>) -> Vec<Ranked<'_>>;

    /// Every entry that lists `host`, visible or not.
    fn with_host(&self, host: &str) -> Vec<Ranked<'_>>;

    /// An object of a kind that is not modelled, if the view holds one.
    fn unmodelled(&self) -> Option<&Unmodelled>;

    /// One address of each range that an entry in view declares on `port`, at most `limit`.
    fn ranges(&self, port: u16, limit: usize) -> Vec<IpAddr>;
}

/// What a dial asks of a [`Mesh`].
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// The client's namespace.
    pub namespace: &'a str,
    /// The address dialled.
    pub address: IpAddr,
    /// The port dialled.
    pub port: u16,
    /// The SNI, for a client that speaks TLS.
    pub server_name: Option<&'a str>,
    /// Whether one entry of a host hides those of the same host in other namespaces.
    pub one_namespace_a_host: bool,
}

/// The identity of an object in a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    /// Its namespace.
    pub namespace: Box<str>,
    /// Its name.
    pub name: Box<str>,
}

impl ObjectKey {
    /// The key of an entry; `None` where it has no name, so that it is nobody's twin.
    pub fn of(entry: &ServiceEntry) -> Option<Self> {
        (!entry.name.is_empty()).then(|| Self {
            namespace: entry.namespace.clone(),
            name: entry.name.clone(),
        })
    }
}

/// A mesh, indexed.
#[derive(Clone, Debug, Default)]
pub struct MeshView {
    entries: BTreeMap<u64, ServiceEntry>,
    by_key: HashMap<ObjectKey, u64>,
    by_host: HashMap<Box<str>, BTreeSet<u64>>,
    lanes: HashMap<u16, HashMap<Scope, Lanes>>,
    unmodelled: Vec<Unmodelled>,
    next: u64,
}

/// Who is shown an entry: everyone, or one namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Scope {
    Everyone,
    Namespace(Box<str>),
}

/// The entries of one port that one scope sees, by the listener and filter chain they feed.
///
/// Of the lanes that many entries share, only the first in line can matter: the second HTTP entry
/// of a port changes nothing (`buildSidecarOutboundListener` returns early), nor does the second
/// sniffed one, nor a second chain with the same match. [`Lanes::rare`] breaks that rule.
#[derive(Clone, Debug, Default)]
struct Lanes {
    exact: HashMap<IpAddr, BTreeSet<Place>>,
    ranges: BTreeMap<u8, HashMap<IpNet, BTreeSet<Place>>>,
    any_range: BTreeSet<Place>,
    http: BTreeSet<Place>,
    sniffed: BTreeSet<Place>,
    match_all: BTreeSet<Place>,
    server_names: HashMap<Box<str>, BTreeSet<Place>>,
    any_server_name: BTreeSet<Place>,
    /// HTTP_PROXY replaces what it finds, Mongo and MySQL refuse company: where one of them is
    /// on the wildcard listener, every entry counts.
    rare: BTreeSet<Place>,
}

/// A place in line: creation time first (objects without one come last), then order of arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    no_time: bool,
    time: i64,
    sequence: u64,
}

impl MeshView {
    /// An empty view.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an entry, or puts it in the place of the one with the same namespace and name.
    pub fn upsert(&mut self, entry: ServiceEntry) {
        let key = ObjectKey::of(&entry);
        let known = key.as_ref().and_then(|key| self.by_key.get(key)).copied();
        let sequence = known.unwrap_or(self.next);
        match known {
            Some(sequence) => self.unlink(sequence),
            None => self.next += 1,
        }
        if let Some(key) = key {
            self.by_key.insert(key, sequence);
        }
        self.link(sequence, &entry);
        self.entries.insert(sequence, entry);
    }

    /// Takes an entry out.
    pub fn remove(&mut self, key: &ObjectKey) {
        if let Some(sequence) = self.by_key.remove(key) {
            self.unlink(sequence);
        }
    }

    /// Notes an object of a kind that is not modelled.
    pub fn note_unmodelled(&mut self, object: Unmodelled) {
        self.unmodelled.push(object);
    }

    /// Every entry, in order of arrival.
    pub fn entries(&self) -> impl Iterator<Item = &ServiceEntry> {
        self.entries.values()
    }

    /// How many entries are in view.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no entry is in view.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn link(&mut self, sequence: u64, entry: &ServiceEntry) {
        for host in &entry.hosts {
            let places = self.by_host.entry(host.clone()).or_default();
            places.insert(sequence);
        }
        let place = Place::of(entry, sequence);
        for (scope, port) in slots(entry) {
            let scopes = self.lanes.entry(port.number).or_default();
            scopes.entry(scope).or_default().each(entry, port, |lane| {
                lane.insert(place);
            });
        }
    }

    fn unlink(&mut self, sequence: u64) {
        let Some(entry) = self.entries.remove(&sequence) else {
            return;
        };
        for host in &entry.hosts {
            if let Some(places) = self.by_host.get_mut(host) {
                places.remove(&sequence);
                if places.is_empty() {
                    self.by_host.remove(host);
                }
            }
        }
        let place = Place::of(&entry, sequence);
        for (scope, port) in slots(&entry) {
            let scopes = self.lanes.get_mut(&port.number);
            if let Some(lanes) = scopes.and_then(|scopes| scopes.get_mut(&scope)) {
                lanes.each(&entry, port, |lane| {
                    lane.remove(&place);
                });
            }
        }
    }

    fn ranked(&self, sequence: u64) -> Option<Ranked<'_>> {
        let entry = self.entries.get(&sequence)?;
        Some(Ranked { entry, sequence })
    }

    /// As [`Mesh::deciders`], as if `except` were not there.
    fn deciders_except(&self, query: &Query<'_>, except: Option<u64>) -> Vec<Ranked<'_>> {
        let mut found = BTreeSet::new();
        for scope in [Scope::Everyone, Scope::Namespace(query.namespace.into())] {
            let scopes = self.lanes.get(&query.port);
            let Some(lanes) = scopes.and_then(|scopes| scopes.get(&scope)) else {
                continue;
            };
            for place in lanes.named(query).into_iter().flatten() {
                if Some(place.sequence) != except {
                    found.insert(place.sequence);
                }
            }
            for lane in lanes.shared(query) {
                let mut eligible = lane
                    .iter()
                    .filter(|place| Some(place.sequence) != except)
                    .filter(|place| self.is_in_scope(place.sequence, query));
                let Some(first) = eligible.next() else {
                    continue;
                };
                found.insert(first.sequence);
                let others =
                    eligible.take_while(|other| !lanes.rare.is_empty() || first.ties(other));
                found.extend(others.map(|place| place.sequence));
            }
        }
        found
            .into_iter()
            .filter_map(|sequence| self.ranked(sequence))
            .collect()
    }

    /// Whether the client sees a service of the entry where one namespace a host is kept.
    fn is_in_scope(&self, sequence: u64, query: &Query<'_>) -> bool {
        if !query.one_namespace_a_host {
            return true;
        }
        let Some(entry) = self.entries.get(&sequence) else {
            return false;
        };
        entry.hosts.iter().any(|host| {
            let rivals = self.with_host(host);
            kept_namespace(&rivals, query.namespace) == Some(&*entry.namespace)
        })
    }
}

/// The one namespace whose entries of a host a client in `namespace` keeps: its own, else that of
/// the first in line (`selectServices` in `pilot/pkg/model/sidecar.go`, newer Istio).
pub(crate) fn kept_namespace<'a>(rivals: &[Ranked<'a>], namespace: &str) -> Option<&'a str> {
    let visible = || {
        rivals
            .iter()
            .filter(|rival| rival.entry.has_services())
            .filter(|rival| rival.entry.is_visible_from(namespace))
    };
    if visible().any(|rival| *rival.entry.namespace == *namespace) {
        return visible()
            .find(|rival| *rival.entry.namespace == *namespace)
            .map(|rival| &*rival.entry.namespace);
    }
    visible()
        .min_by(|a, b| line_order(a, b))
        .map(|rival| &*rival.entry.namespace)
}

/// The order in which Istio takes the entries of one host: those exported to named namespaces
/// before the public ones (`servicesExportedToNamespace`), then older first, then by namespace
/// (`SortServicesByCreationTime`; both in `pilot/pkg/model/push_context.go`). Files carry no
/// creation time: there the order of appearance takes its place.
pub(crate) fn line_order(a: &Ranked<'_>, b: &Ranked<'_>) -> std::cmp::Ordering {
    a.entry
        .is_public()
        .cmp(&b.entry.is_public())
        .then_with(|| age_order(a, b))
        .then_with(|| a.entry.namespace.cmp(&b.entry.namespace))
        .then_with(|| a.sequence.cmp(&b.sequence))
}

/// Older first; two with the same time, which Kubernetes stores in whole seconds, are equal.
pub(crate) fn age_order(a: &Ranked<'_>, b: &Ranked<'_>) -> std::cmp::Ordering {
    match (a.entry.created, b.entry.created) {
        (Some(a), Some(b)) => a.cmp(&b),
        (Some(_), None) => std::cmp::Ordering::Less,
        (None, Some(_)) => std::cmp::Ordering::Greater,
        (None, None) => a.sequence.cmp(&b.sequence),
    }
}

impl Mesh for MeshView {
    fn deciders(&self, query: &Query<'_>) -> Vec<Ranked<'_>> {
        self.deciders_except(query, None)
    }

    fn with_host(&self, host: &str) -> Vec<Ranked<'_>> {
        let places = self.by_host.get(host);
        let sequences = places.into_iter().flatten();
        sequences
            .filter_map(|sequence| self.ranked(*sequence))
            .collect()
    }

    fn unmodelled(&self) -> Option<&Unmodelled> {
        self.unmodelled.first()
    }

    fn ranges(&self, port: u16, limit: usize) -> Vec<IpAddr> {
        let mut nets = BTreeSet::new();
        for lane in self.range_lanes(port) {
            nets.extend(lane.keys().take(limit.saturating_sub(nets.len())).copied());
        }
        nets.into_iter().map(|net| net.addr()).collect()
    }
}

impl MeshView {
    fn range_lanes(&self, port: u16) -> impl Iterator<Item = &HashMap<IpNet, BTreeSet<Place>>> {
        let scopes = self.lanes.get(&port).into_iter().flatten();
        scopes.flat_map(|(_, lanes)| lanes.ranges.values())
    }
}

impl Place {
    fn of(entry: &ServiceEntry, sequence: u64) -> Self {
        Self {
            no_time: entry.created.is_none(),
            time: entry.created.unwrap_or(0),
            sequence,
        }
    }

    /// Whether hosts and namespaces decide between the two.
    fn ties(&self, other: &Self) -> bool {
        !self.no_time && !other.no_time && self.time == other.time
    }
}

/// Where an entry is filed: each scope that sees it, with each of its ports.
fn slots(entry: &ServiceEntry) -> Vec<(Scope, &Port)> {
    if !entry.has_services() {
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
            .map(|name| Scope::Namespace(name.into()))
            .collect()
    };
    let pairs = entry
        .ports
        .iter()
        .flat_map(|port| scopes.iter().map(move |scope| (scope.clone(), port)));
    pairs.collect()
}

impl Lanes {
    /// Calls `act` with every lane in which this port of this entry stands.
    fn each(
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
        for ip in listening_endpoints(entry) {
            act(self.exact.entry(ip).or_default());
        }
        if entry.addresses.is_empty() {
            self.wildcard(entry, port.protocol, &mut act);
        }
        for written in &entry.addresses {
            match written.address {
                Address::Invalid => {}
                Address::Single(ip) if ip.is_unspecified() => {
                    self.wildcard(entry, port.protocol, &mut act);
                }
                Address::Single(ip) => act(self.exact.entry(ip).or_default()),
                Address::Range(net) => {
                    let by_net = self.ranges.entry(net.prefix_len()).or_default();
                    act(by_net.entry(net).or_default());
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
            act(self.server_names.entry(host.clone()).or_default());
        }
        act(&mut self.any_server_name);
    }

    /// The lanes that name the address dialled: every entry counts, and there are few.
    fn named(&self, query: &Query<'_>) -> Vec<&BTreeSet<Place>> {
        let mut lanes: Vec<&BTreeSet<Place>> = Vec::new();
        lanes.extend(self.exact.get(&query.address));
        for (length, by_net) in &self.ranges {
            let net = IpNet::new(query.address, *length).map(|net| net.trunc());
            lanes.extend(net.ok().and_then(|net| by_net.get(&net)));
        }
        lanes
    }

    /// The lanes that every address of the port shares: the first in line counts.
    fn shared(&self, query: &Query<'_>) -> Vec<&BTreeSet<Place>> {
        let mut lanes: Vec<&BTreeSet<Place>> = Vec::with_capacity(7);
        if let Some(name) = query.server_name {
            lanes.extend(self.server_names.get(name));
        }
        lanes.extend([
            &self.any_range,
            &self.http,
            &self.sniffed,
            &self.match_all,
            &self.any_server_name,
            &self.rare,
        ]);
        lanes
    }
}

/// With resolution NONE and no address, an entry that names endpoints listens on their IPs
/// (`buildSidecarOutboundListeners` in `pilot/pkg/networking/core/listener.go`).
pub(crate) fn listening_endpoints(entry: &ServiceEntry) -> impl Iterator<Item = IpAddr> + '_ {
    let applies = entry.resolution == Resolution::None && entry.addresses.is_empty();
    let endpoints = entry.endpoints.iter().filter(move |_| applies);
    endpoints.filter_map(|endpoint| endpoint.address.parse().ok())
}

/// A view with one object added, or put in the place of its stored form.
#[derive(Clone, Copy)]
pub struct Overlay<'a> {
    base: &'a MeshView,
    entry: Option<&'a ServiceEntry>,
    hidden: Option<u64>,
    sequence: u64,
}

impl<'a> Overlay<'a> {
    /// `base` with `entry` in its place.
    pub fn with(base: &'a MeshView, entry: &'a ServiceEntry) -> Self {
        let hidden = ObjectKey::of(entry).and_then(|key| base.by_key.get(&key).copied());
        Self {
            base,
            entry: Some(entry),
            hidden,
            sequence: hidden.unwrap_or(base.next),
        }
    }

    /// `base` without the entry of that key.
    pub fn without(base: &'a MeshView, entry: &ServiceEntry) -> Self {
        let hidden = ObjectKey::of(entry).and_then(|key| base.by_key.get(&key).copied());
        Self {
            base,
            entry: None,
            hidden,
            sequence: 0,
        }
    }

    fn own(&self) -> Option<Ranked<'_>> {
        let sequence = self.sequence;
        self.entry.map(|entry| Ranked { entry, sequence })
    }
}

impl Mesh for Overlay<'_> {
    fn deciders(&self, query: &Query<'_>) -> Vec<Ranked<'_>> {
        let mut found = self.base.deciders_except(query, self.hidden);
        found.extend(self.own().filter(|own| {
            own.entry.is_visible_from(query.namespace) && own.entry.port(query.port).is_some()
        }));
        found
    }

    fn with_host(&self, host: &str) -> Vec<Ranked<'_>> {
        let mut found = self.base.with_host(host);
        found.retain(|ranked| Some(ranked.sequence) != self.hidden);
        found.extend(
            self.own()
                .filter(|own| own.entry.hosts.iter().any(|h| &**h == host)),
        );
        found
    }

    fn unmodelled(&self) -> Option<&Unmodelled> {
        self.base.unmodelled()
    }

    fn ranges(&self, port: u16, limit: usize) -> Vec<IpAddr> {
        self.base.ranges(port, limit)
    }
}
