//! The objects beside entries and Services, by namespace.

use std::collections::BTreeMap;

use crate::mesh::destination_rule::DestinationRule;
use crate::mesh::sidecar::Sidecar;
use crate::mesh::workload_entry::WorkloadEntry;

/// DestinationRules, WorkloadEntries and Sidecars, each under its namespace.
#[derive(Clone, Debug, Default)]
pub struct Others {
    destination_rules: BTreeMap<Box<str>, Vec<DestinationRule>>,
    workload_entries: BTreeMap<Box<str>, Vec<WorkloadEntry>>,
    sidecars: BTreeMap<Box<str>, Vec<Sidecar>>,
}

impl Others {
    /// None of them.
    pub const NONE: &'static Self = &Self {
        destination_rules: BTreeMap::new(),
        workload_entries: BTreeMap::new(),
        sidecars: BTreeMap::new(),
    };

    /// The DestinationRules of a namespace.
    pub fn destination_rules(&self, namespace: &str) -> &[DestinationRule] {
        of(&self.destination_rules, namespace)
    }

    /// The WorkloadEntries of a namespace.
    pub fn workload_entries(&self, namespace: &str) -> &[WorkloadEntry] {
        of(&self.workload_entries, namespace)
    }

    /// The Sidecars of a namespace.
    pub fn sidecars(&self, namespace: &str) -> &[Sidecar] {
        of(&self.sidecars, namespace)
    }

    /// Whether there is any DestinationRule.
    pub fn has_destination_rules(&self) -> bool {
        !self.destination_rules.is_empty()
    }

    /// The Sidecars that have an egress listener for a port, by namespace.
    pub fn sidecars_with_port(&self, port: u16) -> impl Iterator<Item = &Sidecar> {
        let sidecars = self.sidecars.values().flatten();
        sidecars.filter(move |sidecar| sidecar.has_port(port))
    }

    pub(super) fn upsert_destination_rule(&mut self, rule: DestinationRule) {
        let namespace = rule.namespace.clone();
        upsert(&mut self.destination_rules, namespace, rule, |rule| {
            &rule.name
        });
    }

    pub(super) fn upsert_workload_entry(&mut self, workload: WorkloadEntry) {
        let namespace = workload.namespace.clone();
        upsert(&mut self.workload_entries, namespace, workload, |one| {
            &one.name
        });
    }

    pub(super) fn upsert_sidecar(&mut self, sidecar: Sidecar) {
        let namespace = sidecar.namespace.clone();
        upsert(&mut self.sidecars, namespace, sidecar, |one| &one.name);
    }
}

fn of<'m, T>(kind: &'m BTreeMap<Box<str>, Vec<T>>, namespace: &str) -> &'m [T] {
    kind.get(namespace).map_or(&[], Vec::as_slice)
}

/// Adds an object, or puts it in the place of the one of its name.
fn upsert<T>(
    kind: &mut BTreeMap<Box<str>, Vec<T>>,
    namespace: Box<str>,
    object: T,
    name: impl Fn(&T) -> &str,
) {
    let objects = kind.entry(namespace).or_default();
    objects.retain(|known| *name(known) != *name(&object));
    objects.push(object);
}
