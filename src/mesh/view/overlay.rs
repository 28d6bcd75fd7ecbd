//! A view with one object put in place: how an object under review, or its repaired twin, is
//! judged.

use std::net::IpAddr;

use crate::mesh::service_entry::ServiceEntry;

use super::{Mesh, MeshView, ObjectKey, Query, Ranked, Unmodelled};

/// A view with one object added, or put in the place of its stored form.
#[derive(Clone, Copy)]
pub struct Overlay<'a> {
    base: &'a MeshView,
    entry: Option<&'a ServiceEntry>,
    hidden: Option<u64>,
    sequence: u64,
}

impl<'a> Overlay<'a> {
    /// `base` with `entry` in its place.
    pub fn with(base: &'a MeshView, entry: &'a ServiceEntry) -> Self {
        let hidden = ObjectKey::of(entry).and_then(|key| base.by_key.get(&key).copied());
        Self {
            base,
            entry: Some(entry),
            hidden,
            sequence: hidden.unwrap_or(base.next),
        }
    }

    /// `base` without the entry of that key.
    pub fn without(base: &'a MeshView, entry: &ServiceEntry) -> Self {
        let hidden = ObjectKey::of(entry).and_then(|key| base.by_key.get(&key).copied());
        Self {
            base,
            entry: None,
            hidden,
            sequence: 0,
        }
    }

    fn own(&self) -> Option<Ranked<'_>> {
        let sequence = self.sequence;
        self.entry.map(|entry| Ranked { entry, sequence })
    }
}

impl Mesh for Overlay<'_> {
    fn deciders(&self, query: &Query<'_>) -> Vec<Ranked<'_>> {
        let mut found = self.base.deciders_except(query, self.hidden);
        found.extend(self.own().filter(|own| {
            own.entry.is_visible_from(query.namespace) && own.entry.port(query.port).is_some()
        }));
        found
    }

    fn with_host(&self, host: &str) -> Vec<Ranked<'_>> {
        let mut found = self.base.with_host(host);
        found.retain(|ranked| Some(ranked.sequence) != self.hidden);
        found.extend(
            self.own()
                .filter(|own| own.entry.hosts.iter().any(|h| &**h == host)),
        );
        found
    }

    fn unmodelled(&self) -> Option<&Unmodelled> {
        self.base.unmodelled()
    }

    fn ranges(&self, port: u16, limit: usize) -> Vec<IpAddr> {
        self.base.ranges(port, limit)
    }
}
