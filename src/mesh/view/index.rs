//! The mesh, indexed: by name, by host, and by where a dial can end.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::Arc;

use crate::mesh::destination_rule::DestinationRule;
use crate::mesh::service_entry::{Registry, ServiceEntry};
use crate::mesh::sidecar::Sidecar;
use crate::mesh::workload_entry::WorkloadEntry;

use super::drawn::Bringing;
use super::lanes::{Lanes, Place, Scope, slots};
use super::{ObjectKey, Others, Ranked, Unmodelled};

/// A mesh, indexed.
#[derive(Clone, Debug, Default)]
pub struct MeshView {
    /// Shared with the view that takes the place of this one.
    pub(super) entries: BTreeMap<u64, Arc<ServiceEntry>>,
    pub(super) by_key: HashMap<ObjectKey, u64>,
    pub(super) by_host: HashMap<Box<str>, BTreeSet<u64>>,
    /// Port → namespace → entries.
    pub(super) by_port: HashMap<u16, HashMap<Box<str>, BTreeSet<u64>>>,
    pub(super) lanes: HashMap<u16, HashMap<Scope, Lanes>>,
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

    /// Adds a Sidecar, or puts it in the place of the one with the same namespace and name.
    pub fn upsert_sidecar(&mut self, sidecar: Sidecar) {
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
        for port in &entry.ports {
            let namespaces = self.by_port.entry(port.number).or_default();
            let places = namespaces.entry(entry.namespace.clone()).or_default();
            places.insert(sequence);
        }
        self.bringing.link(sequence, entry);
        let place = Place::of(entry, sequence);
        for (scope, port) in slots(entry) {
            let scopes = self.lanes.entry(port.number).or_default();
            scopes.entry(scope).or_default().each(entry, port, |lane| {
                lane.insert(place);
            });
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
        for port in &entry.ports {
            if let Some(namespaces) = self.by_port.get_mut(&port.number) {
                take_out(namespaces, &*entry.namespace, sequence);
                if namespaces.is_empty() {
                    self.by_port.remove(&port.number);
                }
            }
        }
        self.bringing.unlink(sequence, &entry);
        let place = Place::of(&entry, sequence);
        for (scope, port) in slots(&entry) {
            let Some(scopes) = self.lanes.get_mut(&port.number) else {
                continue;
            };
            if let Some(lanes) = scopes.get_mut(&scope) {
                lanes.each(&entry, port, |lane| {
                    lane.remove(&place);
                });
                if lanes.is_empty() {
                    scopes.remove(&scope);
                }
            }
            if scopes.is_empty() {
                self.lanes.remove(&port.number);
            }
        }
    }
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
