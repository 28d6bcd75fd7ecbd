//! The mesh as the cluster has it: what its followed objects come to, kept up to date one change at a time.
//!
//! `kinds` are the objects that decide what becomes of a CONNECT, each with its reader, and `stored` what that reads;
//! `services` pairs Services with their EndpointSlices; `change` is what an object does to a view; `twin` applies
//! changes to a view that nobody reads.

mod change;
mod kinds;
mod services;
mod stored;
#[cfg(test)]
mod tests;
mod twin;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::mesh::MeshView;

use super::watch::{NamespacedName, News};
use change::Change;
pub use kinds::{MeshKind, MeshObject};
use services::Services;
pub use stored::Stored;
use twin::Twin;

/// What is known of the mesh.
#[derive(Clone, Debug)]
pub struct KnownMesh {
    /// The objects that are known.
    pub view: Arc<MeshView>,
    /// Whether all kinds have been told, so that there are no others.
    pub is_whole: bool,
    /// How many objects of each kind there are.
    pub counts: Vec<(MeshKind, usize)>,
}

/// Where followers tell what there is of the mesh.
pub type Telling = UnboundedSender<(MeshKind, News<MeshObject>)>;

/// How many changes are taken together at least: whoever tells without pause must not keep all of it out of
/// view.
const TOGETHER: usize = 1000;

/// Keeps a view of what is told up to date, on a thread of its own, and hands every state of it to
/// `publish`. What is told meanwhile is taken together.
pub fn keep_view(publish: impl Fn(KnownMesh) + Send + 'static) -> Telling {
    let (telling, told) = unbounded_channel();
    let working = tokio::task::spawn_blocking(move || keep(told, &publish));
    tokio::spawn(async move {
        let ended = working.await;
        tracing::error!(
            ?ended,
            "a bug: the view of the mesh stays as it is until a restart"
        );
    });
    telling
}

fn keep(mut told: UnboundedReceiver<(MeshKind, News<MeshObject>)>, publish: &impl Fn(KnownMesh)) {
    let mut objects = MeshObjects::default();
    while let Some((kind, news)) = told.blocking_recv() {
        let mut changes = objects.take(kind, news);
        while changes.len() < TOGETHER
            && let Ok((kind, news)) = told.try_recv()
        {
            changes.extend(objects.take(kind, news));
        }
        publish(objects.apply(changes));
    }
}

/// What has been told.
#[derive(Default)]
struct MeshObjects {
    twin: Twin,
    services: Services,
    /// Which objects there are, of the kinds of which that is known.
    known: BTreeMap<MeshKind, BTreeSet<NamespacedName>>,
}

impl MeshObjects {
    /// What news do to the view.
    fn take(&mut self, kind: MeshKind, news: News<MeshObject>) -> Vec<Change> {
        match news {
            News::Listed(objects) => self.list(kind, objects),
            News::NotInstalled => self.list(kind, Vec::new()),
            News::Applied(object) => {
                let own = self.known.entry(kind).or_default();
                own.insert(object.name());
                self.put(object)
            }
            News::Deleted(name) => {
                let own = self.known.entry(kind).or_default();
                own.remove(&name);
                self.remove(kind, name)
            }
            News::Unanswered | News::LeftOut(_) => Vec::new(),
        }
    }

    fn list(&mut self, kind: MeshKind, objects: Vec<MeshObject>) -> Vec<Change> {
        let listed: BTreeSet<NamespacedName> = objects.iter().map(MeshObject::name).collect();
        let before = self.known.remove(&kind).unwrap_or_default();
        let mut changes: Vec<Change> = Vec::with_capacity(objects.len());
        for name in before.into_iter().filter(|name| !listed.contains(name)) {
            changes.extend(self.remove(kind, name));
        }
        self.known.insert(kind, listed);
        for object in objects {
            changes.extend(self.put(object));
        }
        changes
    }

    fn put(&mut self, object: MeshObject) -> Vec<Change> {
        let name = object.name();
        match object {
            MeshObject::ServiceEntry(entry) => vec![Change::Entry(entry)],
            MeshObject::Service(service) => self.services.put(name, service).into_iter().collect(),
            MeshObject::EndpointSlice(_, slice) => self.services.put_slice(name, slice),
            MeshObject::DestinationRule(rule) => vec![Change::DestinationRule(rule)],
            MeshObject::WorkloadEntry(workload) => vec![Change::WorkloadEntry(workload)],
            MeshObject::Sidecar(sidecar) => vec![Change::Sidecar(sidecar)],
        }
    }

    fn remove(&mut self, kind: MeshKind, name: NamespacedName) -> Vec<Change> {
        match kind {
            MeshKind::EndpointSlice => {
                return self.services.remove_slice(&name).into_iter().collect();
            }
            MeshKind::Service => self.services.remove(&name),
            _ => {}
        }
        vec![Change::Gone(kind, name)]
    }

    fn apply(&mut self, changes: Vec<Change>) -> KnownMesh {
        let counts = self.known.iter().map(|(kind, own)| (*kind, own.len()));
        KnownMesh {
            view: self.twin.apply(changes),
            is_whole: self.known.len() == MeshKind::ALL.len(),
            counts: counts.collect(),
        }
    }
}
