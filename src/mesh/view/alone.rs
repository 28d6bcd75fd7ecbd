//! A mesh that holds nothing but one entry: what it does by itself.

use std::net::IpAddr;

use crate::mesh::service_entry::ServiceEntry;

use super::{Mesh, Others, Query, Ranked, Unmodelled};

/// A mesh of one entry.
pub struct Alone<'a>(pub &'a ServiceEntry);

impl Mesh for Alone<'_> {
    fn deciders(&self, _: &Query<'_>) -> Vec<Ranked<'_>> {
        vec![Ranked {
            entry: self.0,
            sequence: 0,
        }]
    }

    fn with_host(&self, host: &str) -> Vec<Ranked<'_>> {
        let listed = self.0.hosts.iter().any(|own| &**own == host);
        let own = listed.then_some(Ranked {
            entry: self.0,
            sequence: 0,
        });
        own.into_iter().collect()
    }

    fn others(&self) -> &Others {
        Others::NONE
    }

    fn unmodelled(&self) -> Option<&Unmodelled> {
        None
    }

    fn ranges(&self, _: u16, _: usize) -> Vec<IpAddr> {
        Vec::new()
    }
}
