//! The objects beside entries and Services.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::Bound;

use crate::mesh::destination_rule::DestinationRule;
use crate::mesh::host::covers;
use crate::mesh::labels::Labels;
use crate::mesh::service_entry::ServiceEntry;
use crate::mesh::sidecar::Sidecar;
use crate::mesh::workload_entry::WorkloadEntry;

use super::imports::Imports;
use super::labelled::Labelled;
use super::named::Named;

type NamesByHost = BTreeMap<Box<str>, Vec<Box<str>>>;
pub(super) type NamespacedName = (Box<str>, Box<str>);

/// DestinationRules, WorkloadEntries and Sidecars.
#[derive(Clone, Debug, Default)]
pub struct Others {
    destination_rules: Named<DestinationRule>,
    /// Namespace → host → the names of its rules, in order of arrival: a namespace may have thousands.
    rules_by_host: BTreeMap<Box<str>, NamesByHost>,
    workload_entries: Named<WorkloadEntry>,
    workloads_by_label: Labelled,
    /// How many of them are at an IP.
    workloads_at: BTreeMap<IpAddr, usize>,
    sidecars: Named<Sidecar>,
    /// Port → namespace and name of the Sidecars that have an egress listener for it that parses HTTP.
    sidecars_parsing: BTreeMap<u16, BTreeSet<NamespacedName>>,
    sidecars_by_import: Imports,
}

impl Others {
    /// None of them.
    pub const NONE: &'static Self = &Self {
        destination_rules: Named::NONE,
        rules_by_host: BTreeMap::new(),
        workload_entries: Named::NONE,
        workloads_by_label: Labelled::NONE,
        workloads_at: BTreeMap::new(),
        sidecars: Named::NONE,
        sidecars_parsing: BTreeMap::new(),
        sidecars_by_import: Imports::NONE,
    };

    /// The DestinationRules of a namespace whose host covers `host`; those of one host in order of arrival.
    pub fn destination_rules(&self, namespace: &str, host: &str) -> Vec<&DestinationRule> {
        let Some(hosts) = self.rules_by_host.get(namespace) else {
            return Vec::new();
        };
        let from_star = hosts.range::<str, _>((Bound::Included("*"), Bound::Unbounded));
        let wildcards = from_star.take_while(|(pattern, _)| pattern.starts_with('*'));
        let covering = wildcards.filter(|(pattern, _)| covers(pattern, host));
        let covering = covering.map(|(_, names)| names);
        let exact = hosts.get(host).filter(|_| !host.starts_with('*'));
        let names = exact.into_iter().chain(covering).flatten();
        let rules = names.filter_map(|name| self.destination_rules.get(namespace, name));
        rules.collect()
    }

    /// The WorkloadEntries of a namespace.
    pub fn workload_entries(&self, namespace: &str) -> &[WorkloadEntry] {
        self.workload_entries.of(namespace)
    }

    /// Those of them that a selector selects, in order of arrival.
    pub fn selected_workloads(&self, namespace: &str, selector: &Labels) -> Vec<&WorkloadEntry> {
        let Some(names) = self.workloads_by_label.fewest(namespace, selector) else {
            return self.workload_entries(namespace).iter().collect();
        };
        let mut selected: Vec<(usize, &WorkloadEntry)> = names
            .into_iter()
            .filter_map(|name| self.workload_entries.with_place(namespace, name))
            .filter(|(_, workload)| workload.is_selected_by(selector))
            .collect();
        selected.sort_by_key(|(place, _)| *place);
        selected.into_iter().map(|(_, workload)| workload).collect()
    }

    /// The Sidecars of a namespace.
    pub fn sidecars(&self, namespace: &str) -> &[Sidecar] {
        self.sidecars.of(namespace)
    }

    /// The same by name.
    pub fn sidecars_by_name(&self, namespace: &str) -> impl Iterator<Item = &Sidecar> {
        self.sidecars.by_name(namespace)
    }

    pub(super) fn sidecar(&self, namespace: &str, name: &str) -> Option<&Sidecar> {
        self.sidecars.get(namespace, name)
    }

    /// Whether there is any DestinationRule.
    pub fn has_destination_rules(&self) -> bool {
        !self.rules_by_host.is_empty()
    }

    /// The Sidecars that have an egress listener for a port on which HTTP is parsed, by namespace and name.
    pub fn sidecars_parsing(&self, port: u16) -> impl Iterator<Item = &Sidecar> {
        let named = self.sidecars_parsing.get(&port).into_iter().flatten();
        named.filter_map(|(namespace, name)| self.sidecars.get(namespace, name))
    }

    /// Sidecars that show one of an entry's hosts, and not everything, by namespace and name: so few that it
    /// costs the same however many there are, and of those written alike only the first. And whether there are no
    /// others.
    pub fn sidecars_showing(&self, entry: &ServiceEntry) -> (Vec<&Sidecar>, bool) {
        let (named, are_all) = self.sidecars_by_import.showing(entry);
        let known = named.into_iter();
        let known = known.filter_map(|(namespace, name)| self.sidecars.get(namespace, name));
        (known.collect(), are_all)
    }

    pub(super) fn upsert_destination_rule(&mut self, rule: DestinationRule) {
        let (namespace, name, host) = (&rule.namespace, &rule.name, &rule.host);
        self.unlink_rule(namespace, name);
        let hosts = self.rules_by_host.entry(namespace.clone()).or_default();
        let names = hosts.entry(host.clone()).or_default();
        names.push(name.clone());
        let (namespace, name) = (namespace.clone(), name.clone());
        self.destination_rules.insert(&namespace, &name, rule);
    }

    pub(super) fn remove_destination_rule(&mut self, namespace: &str, name: &str) {
        self.unlink_rule(namespace, name);
        self.destination_rules.remove(namespace, name);
    }

    fn unlink_rule(&mut self, namespace: &str, name: &str) {
        let known = self.destination_rules.get(namespace, name);
        let (Some(known), Some(hosts)) = (known, self.rules_by_host.get_mut(namespace)) else {
            return;
        };
        if let Some(names) = hosts.get_mut(&known.host) {
            names.retain(|own| **own != *name);
            if names.is_empty() {
                hosts.remove(&known.host);
            }
        }
        if hosts.is_empty() {
            self.rules_by_host.remove(namespace);
        }
    }

    pub(super) fn upsert_workload_entry(&mut self, workload: WorkloadEntry) {
        let (namespace, name) = (workload.namespace.clone(), workload.name.clone());
        self.unlink_workload_entry(&namespace, &name);
        if let Ok(ip) = workload.address.parse() {
            *self.workloads_at.entry(ip).or_default() += 1;
        }
        let labels = &workload.labels;
        self.workloads_by_label.link(&namespace, &name, labels);
        self.workload_entries.insert(&namespace, &name, workload);
    }

    pub(super) fn remove_workload_entry(&mut self, namespace: &str, name: &str) {
        self.unlink_workload_entry(namespace, name);
        self.workload_entries.remove(namespace, name);
    }

    fn unlink_workload_entry(&mut self, namespace: &str, name: &str) {
        let Some(known) = self.workload_entries.get(namespace, name) else {
            return;
        };
        let labels = &known.labels;
        self.workloads_by_label.unlink(namespace, name, labels);
        let ip = known.address.parse().ok();
        let Some((ip, count)) = ip.and_then(|ip| Some((ip, self.workloads_at.get_mut(&ip)?)))
        else {
            return;
        };
        *count -= 1;
        if *count == 0 {
            self.workloads_at.remove(&ip);
        }
    }

    /// Whether a WorkloadEntry is at an IP.
    pub(super) fn has_workload_at(&self, ip: IpAddr) -> bool {
        self.workloads_at.contains_key(&ip)
    }

    pub(super) fn upsert_sidecar(&mut self, sidecar: Sidecar) {
        let (namespace, name) = (sidecar.namespace.clone(), sidecar.name.clone());
        self.unlink_sidecar(&namespace, &name);
        self.sidecars_by_import.link(&sidecar);
        for port in sidecar.parsed_ports() {
            let named = self.sidecars_parsing.entry(port).or_default();
            named.insert((namespace.clone(), name.clone()));
        }
        self.sidecars.insert(&namespace, &name, sidecar);
    }

    pub(super) fn remove_sidecar(&mut self, namespace: &str, name: &str) {
        self.unlink_sidecar(namespace, name);
        self.sidecars.remove(namespace, name);
    }

    fn unlink_sidecar(&mut self, namespace: &str, name: &str) {
        let Some(known) = self.sidecars.get(namespace, name) else {
            return;
        };
        self.sidecars_by_import.unlink(known);
        for port in known.parsed_ports() {
            if let Some(named) = self.sidecars_parsing.get_mut(&port) {
                named.remove(&(namespace.into(), name.into()));
                if named.is_empty() {
                    self.sidecars_parsing.remove(&port);
                }
            }
        }
    }

    /// Namespace and name of every DestinationRule.
    pub fn named_destination_rules(&self) -> impl Iterator<Item = (&str, &str)> {
        self.destination_rules.names()
    }

    /// Namespace and name of every WorkloadEntry.
    pub fn named_workload_entries(&self) -> impl Iterator<Item = (&str, &str)> {
        self.workload_entries.names()
    }

    /// Namespace and name of every Sidecar.
    pub fn named_sidecars(&self) -> impl Iterator<Item = (&str, &str)> {
        self.sidecars.names()
    }
}
