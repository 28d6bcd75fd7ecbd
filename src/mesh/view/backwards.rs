//! A mesh in which what was left to chance went the other way.

use std::net::IpAddr;

use super::{Mesh, Others, Query, Ranked, Unmodelled};

/// A view in which entries with a creation time came in the opposite order. Where time, host and
/// namespace are the same, that order is all there is, and istiod's is that of a Go map.
#[derive(Clone, Copy)]
pub(crate) struct Backwards<'a>(pub(crate) &'a dyn Mesh);

impl Mesh for Backwards<'_> {
    fn deciders(&self, query: &Query<'_>) -> Vec<Ranked<'_>> {
        turned(self.0.deciders(query))
    }

    fn with_host(&self, host: &str) -> Vec<Ranked<'_>> {
        turned(self.0.with_host(host))
    }

    fn others(&self) -> &Others {
        self.0.others()
    }

    fn workloads(&self) -> &Others {
        self.0.workloads()
    }

    fn unmodelled(&self) -> Option<&Unmodelled> {
        self.0.unmodelled()
    }

    fn ranges(&self, port: u16, limit: usize) -> Vec<IpAddr> {
        self.0.ranges(port, limit)
    }
}

fn turned(mut entries: Vec<Ranked<'_>>) -> Vec<Ranked<'_>> {
    for ranked in &mut entries {
        // Without a time, as in files, the order of appearance is meant.
        if ranked.entry.created.is_some() {
            ranked.sequence = u64::MAX - ranked.sequence;
        }
    }
    entries
}

/// Whether two entries of a host have nothing but chance to decide between them.
pub(crate) fn are_tied(mesh: &dyn Mesh, host: &str, namespace: &str) -> bool {
    let mut times: Vec<i64> = mesh
        .with_host(host)
        .iter()
        .filter(|rival| *rival.entry.namespace == *namespace)
        .filter_map(|rival| rival.entry.created)
        .collect();
    times.sort_unstable();
    times.windows(2).any(|pair| pair[0] == pair[1])
}
