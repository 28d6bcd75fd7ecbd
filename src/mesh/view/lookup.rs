//! What a dial asks of the index.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use ipnet::IpNet;

use crate::mesh::service_entry::{Registry, Resolution, is_allocated};

use super::drawn::is_drawn;
use super::index::Change;
use super::lanes::{Place, Scope};
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
        let found: BTreeSet<u64> = match query.scope.of_named_hosts() {
            // They are few; and an older entry of a host may hide all of a younger one, which no lane
            // tells.
            Some(egress) => {
                let hosts = egress.shown_hosts();
                let listed = hosts.filter_map(|host| self.by_host.get(host));
                listed.flatten().copied().collect()
            }
            None => self.of_namespaces(query).unwrap_or_else(|| {
                // Whatever the listener shows has its protocol, so that the lanes tell nothing.
                if query.scope.own_port().is_some() {
                    return self.of_own_port(query);
                }
                let mut found = self.first_in_line(query, change);
                found.extend(self.drawn(query, change));
                found
            }),
        };
        let visible = found
            .into_iter()
            .filter(|sequence| Some(*sequence) != change.hidden);
        visible
            .filter_map(|sequence| self.ranked(sequence))
            .collect()
    }

    /// Where an egress listener shows a few namespaces alone, what they have on the port: in the lanes it would
    /// stand behind whatever the others have.
    fn of_namespaces(&self, query: &Query<'_>) -> Option<BTreeSet<u64>> {
        let egress = query.scope.egress?;
        let namespaces = egress.shown_namespaces(query.scope.namespace)?;
        let takes_any_port = query.scope.own_port().is_some() && egress.matched_port().is_none();
        if takes_any_port {
            return None;
        }
        let of_port = self.by_port.get(&query.port)?;
        let places = namespaces.iter().filter_map(|name| of_port.get(*name));
        Some(places.flatten().copied().collect())
    }

    /// What an egress listener with a port of its own may show: HTTP_PROXY whatever there is.
    fn of_own_port(&self, query: &Query<'_>) -> BTreeSet<u64> {
        let matched = query.scope.egress.and_then(|egress| egress.matched_port());
        match matched {
            Some(port) => {
                let namespaces = self.by_port.get(&port).into_iter().flatten();
                namespaces.flat_map(|(_, places)| places).copied().collect()
            }
            None => self.entries.keys().copied().collect(),
        }
    }

    /// Of every lane in which a dial can end the entries that can decide.
    fn first_in_line(&self, query: &Query<'_>, change: Change<'_>) -> BTreeSet<u64> {
        let except = change.hidden;
        let namespace = || query.scope.namespace.into();
        let mut found = BTreeSet::new();
        let scopes = [
            Scope::Everyone,
            Scope::Namespace(namespace()),
            Scope::Private(namespace()),
        ];
        for scope in scopes {
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
                let eligible = lane
                    .iter()
                    .filter(|place| Some(place.sequence) != except)
                    .filter(|place| self.is_in_scope(place.sequence, query, change));
                // The first in line counts, and what stands before it without a claim to its
                // place.
                let mut first: Option<&Place> = None;
                for place in eligible {
                    let behind = first.is_some_and(|first| !first.ties(place));
                    if behind && lanes.rare.is_empty() {
                        break;
                    }
                    found.insert(place.sequence);
                    let may_be_its = query.captures_dns && is_allocated(query.address);
                    if first.is_none()
                        && !may_be_its
                        && !self.may_listen_elsewhere(place.sequence, query)
                    {
                        first = Some(place);
                    }
                }
            }
        }
        found
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

    /// Whether an address allocated or endpoints may draw the entry from the wildcard listener: with
    /// resolution NONE it listens on those of its host, which other entries can bring.
    fn may_listen_elsewhere(&self, sequence: u64, query: &Query<'_>) -> bool {
        let Some(entry) = self.entries.get(&sequence) else {
            return true;
        };
        if query.captures_dns && entry.is_given_addresses(query.scope.is_newer) {
            return true;
        }
        let mut hosts = entry.hosts.iter();
        // Of Services only the HTTP ones are on the wildcard listener, and they stay there.
        entry.registry == Registry::Istio
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
        let scopes = self.lanes.get(&port).into_iter().flatten();
        scopes.flat_map(|(_, lanes)| lanes.ranges.values())
    }
}
