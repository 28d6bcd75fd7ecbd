//! The mesh, indexed: by name, by host, and by where a dial can end.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Arc;

use crate::mesh::destination_rule::DestinationRule;
use crate::mesh::protocol::Protocol;
use crate::mesh::service_entry::{Registry, ServiceEntry};
use crate::mesh::sidecar::Sidecar;
use crate::mesh::workload_entry::WorkloadEntry;

use super::drawn::Bringing;
use super::filing::{Listening, OwnPorts, Place, Scope, slots};
use super::lanes::{Lanes, listening_addresses};
use super::{ObjectKey, Others, Ranked, Unmodelled};

/// A mesh, indexed.
#[derive(Clone, Debug, Default)]
pub struct MeshView {
    /// Shared with the view that takes the place of this one.
    pub(super) entries: BTreeMap<u64, Arc<ServiceEntry>>,
    pub(super) by_key: HashMap<ObjectKey, u64>,
    pub(super) by_host: HashMap<Box<str>, BTreeSet<u64>>,
    /// By the addresses that have a listener for an entry.
    pub(super) by_address: HashMap<IpAddr, BTreeSet<u64>>,
    pub(super) lanes: HashMap<Listening, HashMap<Scope, Lanes>>,
    own_ports: OwnPorts,
    pub(super) bringing: Bringing,
    pub(super) others: Others,
    pub(super) unmodelled: Vec<Unmodelled>,
    pub(super) next: u64,
}

/// What an overlay does to a view: one entry hidden, one put in.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Change<'a> {
    pub(super) hidden: Option<u64>,
    pub(super) own: Option<Ranked<'a>>,
}

impl MeshView {
    /// An empty view.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an entry, or puts it in the place of the one of the same kind, namespace and name.
    pub fn upsert(&mut self, entry: impl Into<Arc<ServiceEntry>>) {
        let entry = entry.into();
        let key = ObjectKey::of(&entry);
        let known = key.as_ref().and_then(|key| self.by_key.get(key)).copied();
        let sequence = known.unwrap_or(self.next);
        match known {
            Some(sequence) if self.entries.get(&sequence) == Some(&entry) => return,
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

    /// The entries of a registry, by their keys.
    pub fn keys(&self, registry: Registry) -> impl Iterator<Item = &ObjectKey> {
        let entries = self.entries.values();
        let keys = entries.filter(move |entry| entry.registry == registry);
        keys.filter_map(|entry| {
            let (key, _) = self.by_key.get_key_value(&ObjectKey::of(entry)?)?;
            Some(key)
        })
    }

    /// Adds a DestinationRule, or puts it in the place of the one with the same namespace and name.
    pub fn upsert_destination_rule(&mut self, rule: DestinationRule) {
        self.others.upsert_destination_rule(rule);
    }

    /// Adds a WorkloadEntry, or puts it in the place of the one with the same namespace and name.
    pub fn upsert_workload_entry(&mut self, workload: WorkloadEntry) {
        self.others.upsert_workload_entry(workload);
    }

    /// Adds a Sidecar, or puts it in the place of the one with the same namespace and name. The first that
    /// gives a port an egress listener of its own costs as much as the entries of that port do.
    pub fn upsert_sidecar(&mut self, sidecar: Sidecar) {
        // A watch that starts anew delivers every Sidecar again.
        let known = self.others.sidecar(&sidecar.namespace, &sidecar.name);
        if known == Some(&sidecar) {
            return;
        }
        for listening in OwnPorts::of(&sidecar) {
            if self.own_ports.add(listening) {
                self.file_all(listening);
            }
        }
        self.drop_own_ports(&sidecar.namespace, &sidecar.name);
        self.others.upsert_sidecar(sidecar);
    }

    /// Takes a DestinationRule out.
    pub fn remove_destination_rule(&mut self, namespace: &str, name: &str) {
        self.others.remove_destination_rule(namespace, name);
    }

    /// Takes a WorkloadEntry out.
    pub fn remove_workload_entry(&mut self, namespace: &str, name: &str) {
        self.others.remove_workload_entry(namespace, name);
    }

    /// Takes a Sidecar out.
    pub fn remove_sidecar(&mut self, namespace: &str, name: &str) {
        self.drop_own_ports(namespace, name);
        self.others.remove_sidecar(namespace, name);
    }

    /// Notes an object of a kind that is not modelled.
    pub fn note_unmodelled(&mut self, object: Unmodelled) {
        self.unmodelled.push(object);
    }

    /// Every entry, Services included, in order of arrival.
    pub fn entries(&self) -> impl Iterator<Item = &ServiceEntry> {
        self.entries.values().map(|entry| &**entry)
    }

    /// The entries that came at `sequence` or later, in that order: whoever looks at all of them goes on in the
    /// next view where it left off in this one, and need not keep it.
    pub fn entries_from(&self, sequence: u64) -> impl Iterator<Item = Ranked<'_>> {
        let entries = self.entries.range(sequence..);
        entries.map(|(&sequence, entry)| Ranked { entry, sequence })
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
        for ip in listening_addresses(entry) {
            self.by_address.entry(ip).or_default().insert(sequence);
        }
        self.bringing.link(sequence, entry);
        let place = Place::of(entry, sequence);
        for slot in slots(entry, &self.own_ports) {
            file(&mut self.lanes, entry, place, slot);
        }
    }

    /// Leaves nothing behind: what comes and goes for years must not add up.
    fn unlink(&mut self, sequence: u64) {
        let Some(entry) = self.entries.remove(&sequence) else {
            return;
        };
        for host in &entry.hosts {
            take_out(&mut self.by_host, host, sequence);
        }
        for ip in listening_addresses(&entry) {
            take_out(&mut self.by_address, &ip, sequence);
        }
        self.bringing.unlink(sequence, &entry);
        let place = Place::of(&entry, sequence);
        for (listening, protocol, scope) in slots(&entry, &self.own_ports) {
            let Some(scopes) = self.lanes.get_mut(&listening) else {
                continue;
            };
            if let Some(lanes) = scopes.get_mut(&scope) {
                lanes.each(&entry, listening, protocol, |lane| {
                    lane.remove(&place);
                });
                if lanes.is_empty() {
                    scopes.remove(&scope);
                }
            }
            if scopes.is_empty() {
                self.lanes.remove(&listening);
            }
        }
    }

    /// Files every entry of which an egress listener takes a port that no Sidecar had one for before.
    fn file_all(&mut self, wanted: Listening) {
        for (sequence, entry) in &self.entries {
            let place = Place::of(entry, *sequence);
            let slots = slots(entry, &self.own_ports).into_iter();
            for slot in slots.filter(|(listening, ..)| *listening == wanted) {
                file(&mut self.lanes, entry, place, slot);
            }
        }
    }

    /// Forgets the egress listeners that a Sidecar in view has, and what was filed for them alone.
    fn drop_own_ports(&mut self, namespace: &str, name: &str) {
        let known = self.others.sidecar(namespace, name);
        for listening in known.map(OwnPorts::of).unwrap_or_default() {
            if self.own_ports.remove(listening) {
                self.lanes.remove(&listening);
            }
        }
    }
}

fn file(
    lanes: &mut HashMap<Listening, HashMap<Scope, Lanes>>,
    entry: &ServiceEntry,
    place: Place,
    (listening, protocol, scope): (Listening, Protocol, Scope),
) {
    let scopes = lanes.entry(listening).or_default();
    let lanes = scopes.entry(scope).or_default();
    lanes.each(entry, listening, protocol, |lane| {
        lane.insert(place);
    });
}

/// Takes an entry out of what is filed under a key, and the key with its last entry.
pub(super) fn take_out<K, Q>(places: &mut HashMap<K, BTreeSet<u64>>, key: &Q, sequence: u64)
where
    K: Borrow<Q> + Eq + Hash,
    Q: Eq + Hash + ?Sized,
{
    if let Some(own) = places.get_mut(key) {
        own.remove(&sequence);
        if own.is_empty() {
            places.remove(key);
        }
    }
}
