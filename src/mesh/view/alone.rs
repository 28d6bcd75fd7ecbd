//! A mesh that holds nothing but one entry: what it does by itself.

use std::net::IpAddr;

use crate::mesh::service_entry::ServiceEntry;

use super::{Mesh, Others, Query, Ranked, Unmodelled};

/// A mesh of one entry, with the workloads that it may select: they are the endpoints that it means.
pub struct Alone<'a> {
    entry: &'a ServiceEntry,
    workloads: &'a Others,
    others: &'a Others,
}

impl<'a> Alone<'a> {
    /// An entry of `mesh`, without the rest of it.
    pub fn new(entry: &'a ServiceEntry, mesh: &'a dyn Mesh) -> Self {
        Self {
            entry,
            workloads: mesh.workloads(),
            others: Others::NONE,
        }
    }

    /// The same, as the Sidecars of `mesh` show it to their clients.
    pub fn behind_sidecars(entry: &'a ServiceEntry, mesh: &'a dyn Mesh) -> Self {
        Self {
            others: mesh.others(),
            ..Self::new(entry, mesh)
        }
    }
}

impl Mesh for Alone<'_> {
    fn deciders(&self, _: &Query<'_>) -> Vec<Ranked<'_>> {
        vec![Ranked {
            entry: self.entry,
            sequence: 0,
        }]
    }

    fn with_host(&self, host: &str) -> Vec<Ranked<'_>> {
        let listed = self.entry.hosts.iter().any(|own| &**own == host);
        let own = listed.then_some(Ranked {
            entry: self.entry,
            sequence: 0,
        });
        own.into_iter().collect()
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
