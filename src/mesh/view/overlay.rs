//! A view with one object put in place: how an object under review, or its repaired twin, is
//! judged.

use std::net::IpAddr;

use crate::mesh::service_entry::ServiceEntry;

use super::index::Change;
use super::{Mesh, MeshView, ObjectKey, Others, Query, Ranked, Unmodelled};

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

    /// The same, as if objects of kinds that are not modelled were not there.
    pub fn of_entries_only(self) -> EntriesOnly<'a> {
        EntriesOnly(self)
    }

    fn change(&self) -> Change<'_> {
        let sequence = self.sequence;
        Change {
            hidden: self.hidden,
            own: self.entry.map(|entry| Ranked { entry, sequence }),
        }
    }
}

impl Mesh for Overlay<'_> {
    fn deciders(&self, query: &Query<'_>) -> Vec<Ranked<'_>> {
        let change = self.change();
        let mut found = self.base.deciders_with(query, change);
        found.extend(change.own.filter(|own| {
            let has_own_port = query.scope.own_port().is_some();
            own.entry.is_visible_from(query.scope.namespace)
                && (has_own_port || own.entry.port(query.port).is_some())
        }));
        found
    }

    fn with_host(&self, host: &str) -> Vec<Ranked<'_>> {
        self.base.with_host_and(host, self.change())
    }

    fn others(&self) -> &Others {
        self.base.others()
    }

    fn unmodelled(&self) -> Option<&Unmodelled> {
        self.base.unmodelled()
    }

    fn ranges(&self, port: u16, limit: usize) -> Vec<IpAddr> {
        self.base.ranges(port, limit)
    }
}

/// An overlay without the objects of kinds that are not modelled.
#[derive(Clone, Copy)]
pub struct EntriesOnly<'a>(Overlay<'a>);

impl Mesh for EntriesOnly<'_> {
    fn deciders(&self, query: &Query<'_>) -> Vec<Ranked<'_>> {
        self.0.deciders(query)
    }

    fn with_host(&self, host: &str) -> Vec<Ranked<'_>> {
        self.0.with_host(host)
    }

    fn others(&self) -> &Others {
        self.0.others()
    }

    fn unmodelled(&self) -> Option<&Unmodelled> {
        None
    }

    fn ranges(&self, port: u16, limit: usize) -> Vec<IpAddr> {
        self.0.ranges(port, limit)
    }
}
