//! What a dial asks of the index.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use ipnet::IpNet;

use crate::mesh::protocol::Protocol;
use crate::mesh::service_entry::{Registry, Resolution, ServiceEntry, is_allocated};

use super::drawn::is_drawn;
use super::filing::{Listening, Place, Scope};
use super::index::Change;
use super::lanes::Shared;
use super::{Mesh, MeshView, Others, Query, Ranked, Unmodelled, kept_namespace};

impl MeshView {
    pub(super) fn with_host_and<'v>(&'v self, host: &str, change: Change<'v>) -> Vec<Ranked<'v>> {
        let places = self.by_host.get(host);
        let sequences = places.into_iter().flatten();
        let visible = sequences.filter(|sequence| Some(**sequence) != change.hidden);
        let mut found: Vec<Ranked<'v>> = visible
            .filter_map(|sequence| self.ranked(*sequence))
            .collect();
        found.extend(
            change
                .own
                .filter(|own| own.entry.hosts.iter().any(|own| **own == *host)),
        );
        found
    }

    fn ranked(&self, sequence: u64) -> Option<Ranked<'_>> {
        let entry = self.entries.get(&sequence)?;
        Some(Ranked { entry, sequence })
    }

    /// As [`Mesh::deciders`], with the change of an overlay.
    pub(super) fn deciders_with(&self, query: &Query<'_>, change: Change<'_>) -> Vec<Ranked<'_>> {
        let found = match query.scope.egress {
            Some(egress) if !egress.may_listen_on(query.address) => BTreeSet::new(),
            // They are few; and an older entry of a host may hide all of a younger one, which no lane
            // tells.
            Some(egress) if egress.shows_exact_hosts() => {
                let hosts = egress.shown_hosts();
                let listed = hosts.filter_map(|host| self.by_host.get(host));
                listed.flatten().copied().collect()
            }
            // Without a port a Sidecar may name nothing but the loopback address, by `captureMode: NONE`.
            Some(egress) if egress.bind.is_some() && egress.port.is_none() => {
                let has_port = |entry: &ServiceEntry| entry.port(query.port).is_some();
                let entries = self.entries.iter().filter(|(_, entry)| has_port(entry));
                entries.map(|(sequence, _)| *sequence).collect()
            }
            _ => self.of_lanes(query, change),
        };
        let visible = found
            .into_iter()
            .filter(|sequence| Some(*sequence) != change.hidden);
        visible
            .filter_map(|sequence| self.ranked(sequence))
            .collect()
    }

    /// The entries of the address dialled and of the server name, of which every one counts, and there are
    /// few; and of each lane in which the dial can end those that can decide.
    fn of_lanes(&self, query: &Query<'_>, change: Change<'_>) -> BTreeSet<u64> {
        let mut found: BTreeSet<u64> = self.named(query).collect();
        // An egress listener with a port of its own does not look at endpoints.
        if query.scope.own_port().is_none() {
            found.extend(self.drawn(query, change));
        }
        let Some(scopes) = self.lanes.get(&Listening::of(query)) else {
            return found;
        };
        let namespace = query.scope.namespace;
        let egress = query.scope.egress;
        let shown = egress.and_then(|egress| egress.shown_namespaces(namespace));
        for scope in &Scope::of_client(namespace) {
            if let Some(lanes) = scopes.get(scope) {
                found.extend(lanes.holding(query.address));
                let shared = lanes.shared(shown.as_ref());
                self.first_in_line(&shared, query, change, &mut found);
            }
        }
        found
    }

    fn named(&self, query: &Query<'_>) -> impl Iterator<Item = u64> {
        let of_address = self.by_address.get(&query.address);
        let of_name = query.server_name.into_iter().flat_map(|name| {
            // `*.corp` covers `a.corp`, and `*` any.
            let parents = name.match_indices('.');
            let wildcards = parents.map(|(dot, _)| format!("*{}", &name[dot..]).into());
            let covering = wildcards.chain(["*".into(), Cow::Borrowed(name)]);
            covering.filter_map(|host: Cow<'_, str>| self.by_host.get(&*host))
        });
        of_address.into_iter().chain(of_name).flatten().copied()
    }

    /// Of lanes that every address shares the first in line, and what stands before it without a claim to
    /// its place.
    fn first_in_line(
        &self,
        shared: &[&Shared],
        query: &Query<'_>,
        change: Change<'_>,
        found: &mut BTreeSet<u64>,
    ) {
        let eligible = |place: &&Place| {
            Some(place.sequence) != change.hidden && self.is_in_scope(place.sequence, query, change)
        };
        let last = |lanes: &&Shared| lanes.http_proxy.iter().rev().find(eligible).copied();
        let last = shared.iter().filter_map(last).max();
        // HTTP_PROXY replaces what it finds, and whoever comes after it is the first once more.
        let after = [last, own_http_proxy(query, change)].into_iter().flatten();
        let begins: Vec<Place> = after.map(Place::first_tied).collect();
        // Where DNS is captured, they listen on the addresses allocated to them.
        let given = !query.captures_dns || is_allocated(query.address);
        for lanes in shared {
            found.extend(lanes.rare.iter().map(|place| place.sequence));
            if let Some(last) = last {
                let tied = lanes.http_proxy.range(last.first_tied()..);
                found.extend(tied.map(|place| place.sequence));
            }
            for (lane, is_certain) in lanes.in_line(given) {
                let rests = begins.iter().map(|begin| lane.range(*begin..));
                for places in rests.chain([lane.range::<Place, _>(..)]) {
                    self.first_of(places.filter(eligible), is_certain, query, found);
                }
            }
        }
    }

    fn first_of<'p>(
        &self,
        places: impl Iterator<Item = &'p Place>,
        is_certain: bool,
        query: &Query<'_>,
        found: &mut BTreeSet<u64>,
    ) {
        let mut first: Option<&Place> = None;
        for place in places {
            if first.is_some_and(|first| !first.ties(place)) {
                return;
            }
            found.insert(place.sequence);
            if first.is_none() && !self.may_step_aside(place.sequence, query, is_certain) {
                first = Some(place);
            }
        }
    }

    /// The entries that listen, or may, on the address dialled because another object of one of their
    /// hosts brings it.
    fn drawn(&self, query: &Query<'_>, change: Change<'_>) -> BTreeSet<u64> {
        let selects = self.others.has_workload_at(query.address);
        let known = self.bringing.to(query.address, selects);
        let known = known.filter_map(|sequence| self.entries.get(&sequence));
        let bringing = known.map(|entry| &**entry);
        let bringing = bringing.chain(change.own.map(|own| own.entry));
        let hosts = bringing.flat_map(|entry| &entry.hosts);
        let sharing = hosts.filter_map(|host| self.by_host.get(host)).flatten();
        let is_drawn = |sequence: &&u64| {
            let entry = self.entries.get(sequence);
            entry.is_some_and(|entry| is_drawn(entry, query.port))
        };
        sharing.filter(is_drawn).copied().collect()
    }

    /// Whether an entry may leave its place in line to others: an address allocated or endpoints may draw it
    /// from the wildcard listener, unless it is `certain` to be there. With resolution NONE it listens on the
    /// endpoints of its host, which other entries can bring.
    fn may_step_aside(&self, sequence: u64, query: &Query<'_>, is_certain: bool) -> bool {
        let Some(entry) = self.entries.get(&sequence) else {
            return true;
        };
        let own_port = query.scope.own_port();
        // Its chain has a server name even where that of others has none.
        let is_tls = own_port.is_some_and(|own| own.protocol.is_tls());
        if is_tls && entry.resolution == Resolution::DynamicDns {
            return true;
        }
        if is_certain {
            return false;
        }
        let mut hosts = entry.hosts.iter();
        let is_newer = query.scope.is_newer;
        if query.captures_dns && hosts.any(|host| entry.is_given_address(host, is_newer)) {
            return true;
        }
        let mut hosts = entry.hosts.iter();
        // Of Services only the HTTP ones are on the wildcard listener, and they stay there.
        own_port.is_none()
            && entry.registry == Registry::Istio
            && entry.resolution == Resolution::None
            && (!entry.endpoints.is_empty()
                || entry.workload_selector.is_some()
                || hosts.any(|host| self.by_host.get(host).is_some_and(|all| all.len() > 1)))
    }

    /// Whether the client sees a service of the entry.
    fn is_in_scope(&self, sequence: u64, query: &Query<'_>, change: Change<'_>) -> bool {
        let Some(entry) = self.entries.get(&sequence) else {
            return false;
        };
        if !query.scope.keeps_one_namespace() {
            return true;
        }
        entry.hosts.iter().any(|host| {
            let rivals = self.with_host_and(host, change);
            kept_namespace(&rivals, host, &query.scope) == Some(&*entry.namespace)
        })
    }
}

/// The place in line of the entry put in, where it is one of HTTP_PROXY.
fn own_http_proxy(query: &Query<'_>, change: Change<'_>) -> Option<Place> {
    let own = change.own?;
    let port = own.entry.port(query.port)?;
    let is_http_proxy = port.protocol == Protocol::HttpProxy;
    is_http_proxy.then(|| Place::of(own.entry, own.sequence))
}

impl Mesh for MeshView {
    fn deciders(&self, query: &Query<'_>) -> Vec<Ranked<'_>> {
        self.deciders_with(query, Change::default())
    }

    fn with_host(&self, host: &str) -> Vec<Ranked<'_>> {
        self.with_host_and(host, Change::default())
    }

    fn others(&self) -> &Others {
        &self.others
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
        let scopes = self.lanes.get(&Listening::Port(port));
        let scopes = scopes.into_iter().flatten();
        scopes.flat_map(|(_, lanes)| lanes.ranges.values())
    }
}
