//! What a check is, and what it is given.

use std::fmt;

use crate::mesh::MeshView;
use crate::mesh::simulation::Environment;

use super::compile::PolicySet;
use super::finding::Finding;
use super::namespaces::{Namespace, Namespaces};
use super::spec::Mode;
use super::subject::Subject;

/// The stable id of a check: `TG001`. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckId(pub u16);

impl fmt::Display for CheckId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TG{:03}", self.0)
    }
}

/// One rule.
pub struct Check {
    /// Its id.
    pub id: CheckId,
    /// A few words for lists.
    pub title: &'static str,
    /// The mode that its findings do not pass unless a policy says otherwise.
    pub ceiling: Mode,
    /// Its page in `docs/checks`, in Markdown.
    pub page: &'static str,
    /// Looks at one entry.
    pub run: fn(&Subject<'_>, &mut Vec<Finding>),
}

/// What every check of one pass reads.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The policies in force, with their proxies.
    pub policies: &'a PolicySet,
    /// The other objects of the mesh; empty where they are not known.
    pub mesh: &'a MeshView,
    /// Whether `mesh` is all there is, or only the object at hand is known.
    pub sees_mesh: bool,
    /// What the mesh is set to.
    pub environment: Environment<'a>,
    /// The cluster's namespaces; none where there is no cluster.
    pub namespaces: Option<&'a Namespaces>,
}

impl Context<'_> {
    /// A namespace, as far as it is known.
    pub fn namespace<'a>(&'a self, name: &'a str) -> Namespace<'a> {
        let labels = self.namespaces.and_then(|known| known.get(name));
        Namespace { name, labels }
    }
}
