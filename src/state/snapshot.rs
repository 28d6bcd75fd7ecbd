//! The immutable state that one review, lint or audit pass reads.

use crate::mesh::simulation::Environment;
use crate::mesh::{MeshView, simulation};
use crate::policy::{Context, PolicySet};

/// Policies, proxies and the mesh as of one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The policies in force, with the proxies they declare.
    pub policies: PolicySet,
    /// The other objects of the mesh.
    pub mesh: MeshView,
    /// Whether `mesh` is all there is, or nothing but the object at hand is known.
    pub sees_mesh: bool,
    /// Overrides the policies' outbound policy.
    pub outbound: Option<simulation::OutboundPolicy>,
    /// Overrides the policies' version of Istio.
    pub version: Option<simulation::IstioVersion>,
}

impl Snapshot {
    /// What the checks are given.
    pub fn context(&self) -> Context<'_> {
        Context {
            policies: &self.policies,
            mesh: &self.mesh,
            sees_mesh: self.sees_mesh,
            environment: self.environment(),
        }
    }

    /// What the mesh is set to: the command line's word, else the policies', else the default.
    pub fn environment(&self) -> Environment<'_> {
        Environment {
            outbound: self.outbound.or(self.policies.outbound).unwrap_or_default(),
            version: self.version.or(self.policies.version).unwrap_or_default(),
            names: Some(self.policies.proxies.names()),
        }
    }
}
