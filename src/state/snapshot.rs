//! The immutable state that one review, lint or audit pass reads.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, Guard};

use crate::mesh::simulation::Environment;
use crate::mesh::{MeshConfig, MeshView, simulation};
use crate::policy::namespaces::Namespaces;
use crate::policy::{Context, PolicySet};

/// Policies, proxies and the mesh as of one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Which one it is, for logs: [`SharedSnapshot`] numbers what it publishes.
    pub generation: u64,
    /// The policies in force, with the proxies they declare.
    pub policies: Arc<PolicySet>,
    /// The other objects of the mesh.
    pub mesh: Arc<MeshView>,
    /// Whether `mesh` is all there is, or nothing but the object at hand is known.
    pub sees_mesh: bool,
    /// What the mesh itself says that it is set to.
    pub mesh_config: Option<MeshConfig>,
    /// Overrides the mesh's and the policies' outbound policy.
    pub outbound: Option<simulation::OutboundPolicy>,
    /// Overrides the policies' version of Istio.
    pub version: Option<simulation::IstioVersion>,
    /// Whether sidecars capture DNS, whatever the policies say.
    pub captures_dns: bool,
    /// The cluster's namespaces; none without a cluster.
    pub namespaces: Arc<Namespaces>,
}

impl Snapshot {
    /// What the checks are given.
    pub fn context(&self) -> Context<'_> {
        Context {
            policies: &self.policies,
            mesh: &self.mesh,
            sees_mesh: self.sees_mesh,
            environment: self.environment(),
            namespaces: Some(&self.namespaces),
        }
    }

    /// What the mesh is set to: the command line's word, else the mesh's own, else the policies', else the
    /// default. DNS is captured where any of them says so.
    pub fn environment(&self) -> Environment<'_> {
        let (own, policies) = (self.mesh_config.as_ref(), &self.policies);
        let outbound = self.outbound.or(own.and_then(|own| own.outbound));
        let root = own.and_then(|own| own.root_namespace.as_deref());
        Environment {
            outbound: outbound.or(policies.outbound).unwrap_or_default(),
            version: self.version.or(policies.version).unwrap_or_default(),
            names: Some(policies.proxies.names()),
            root_namespace: root.or(policies.root_namespace.as_deref()),
            captures_dns: self.captures_dns
                || policies.captures_dns
                || own.is_some_and(|own| own.captures_dns),
        }
    }
}

/// The snapshot in force, which a review reads without waiting for whoever publishes the next.
#[derive(Debug)]
pub struct SharedSnapshot {
    current: ArcSwap<Snapshot>,
    /// The generation published last; held while publishing, so that the newest also wins.
    published: Mutex<u64>,
}

impl SharedSnapshot {
    /// Publishes the first snapshot, as generation 1.
    pub fn new(first: Snapshot) -> Self {
        let shared = Self {
            current: ArcSwap::default(),
            published: Mutex::new(0),
        };
        shared.publish(first);
        shared
    }

    /// The snapshot in force. It stays whole however many are published while it is read.
    pub fn load(&self) -> Guard<Arc<Snapshot>> {
        self.current.load()
    }

    /// Puts the next snapshot in force, and gives it with its generation.
    pub fn publish(&self, next: Snapshot) -> Arc<Snapshot> {
        // Nothing panics while it is held.
        let mut published = self
            .published
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *published += 1;
        let next = Arc::new(Snapshot {
            generation: *published,
            ..next
        });
        self.current.store(Arc::clone(&next));
        next
    }
}

#[cfg(test)]
mod tests {
    use super::{SharedSnapshot, Snapshot};

    #[test]
    fn a_review_keeps_the_snapshot_that_it_began_with() {
        let shared = SharedSnapshot::new(Snapshot::default());
        let before = shared.load();
        let next = Snapshot {
            sees_mesh: true,
            generation: 40,
            ..Snapshot::default()
        };
        assert_eq!(shared.publish(next).generation, 2);
        assert_eq!((before.generation, before.sees_mesh), (1, false));
        let after = shared.load();
        assert_eq!((after.generation, after.sees_mesh), (2, true));
    }

    #[test]
    fn the_newest_wins_whoever_publishes() {
        let shared = SharedSnapshot::new(Snapshot::default());
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        let own = shared.publish(Snapshot::default()).generation;
                        assert!(shared.load().generation >= own);
                    }
                });
            }
        });
        assert_eq!(shared.load().generation, 801);
    }
}
