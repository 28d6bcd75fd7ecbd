//! A mesh that holds nothing but one entry, or those of its hosts: what it does by itself.

use std::net::IpAddr;

use crate::mesh::service_entry::ServiceEntry;

use super::{Mesh, Others, Query, Ranked, Unmodelled};

/// A mesh of one entry, with the workloads that it may select: they are the endpoints that it means.
pub struct Alone<'a> {
    entries: Vec<Ranked<'a>>,
    workloads: &'a Others,
    others: &'a Others,
}

impl<'a> Alone<'a> {
    /// An entry of `mesh`, without the rest of it.
    pub fn new(entry: &'a ServiceEntry, mesh: &'a dyn Mesh) -> Self {
        Self {
            entries: vec![Ranked { entry, sequence: 0 }],
            workloads: mesh.workloads(),
            others: Others::NONE,
        }
    }

    /// The same with those of `mesh` that list one of its hosts, which may hide it, and with the Sidecars
    /// that show it to their clients.
    pub fn among_rivals(entry: &'a ServiceEntry, mesh: &'a dyn Mesh) -> Self {
        let mut entries: Vec<Ranked<'a>> = Vec::new();
        for host in &entry.hosts {
            let known = entries.len();
            let listed = mesh.with_host(host).into_iter();
            let new = listed.filter(|one| {
                let mut seen = entries[..known].iter();
                !seen.any(|other| std::ptr::eq(other.entry, one.entry))
            });
            let new: Vec<Ranked<'a>> = new.collect();
            entries.extend(new);
        }
        Self {
            entries,
            workloads: mesh.workloads(),
            others: mesh.others(),
        }
    }
}

impl Mesh for Alone<'_> {
    fn deciders(&self, _: &Query<'_>) -> Vec<Ranked<'_>> {
        self.entries.clone()
    }

    fn with_host(&self, host: &str) -> Vec<Ranked<'_>> {
        let listed = self.entries.iter().copied();
        listed
            .filter(|one| one.entry.hosts.iter().any(|own| **own == *host))
            .collect()
    }

    fn others(&self) -> &Others {
        self.others
    }

    fn workloads(&self) -> &Others {
        self.workloads
    }

    fn unmodelled(&self) -> Option<&Unmodelled> {
        None
    }

    fn ranges(&self, _: u16, _: usize) -> Vec<IpAddr> {
        Vec::new()
    }
}
