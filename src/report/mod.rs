//! Findings and traces as people and programs read them.

mod human;
mod json;
pub mod snippet;
mod trace;

pub use human::{Summary, write_human};
pub use json::write_json;
pub use trace::{TraceReport, trace_human, trace_json};

use crate::mesh::FieldPath;
use crate::policy::Finding;
use crate::source::Location;

/// `1 proxy`, `2 proxies`.
pub fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// The object a finding is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectName {
    /// `apiVersion`.
    pub api_version: String,
    /// `kind`.
    pub kind: String,
    /// `metadata.namespace`, as written or defaulted.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
}

/// A finding, with its place.
#[derive(Clone, Debug)]
pub struct Reported {
    /// The finding.
    pub finding: Finding,
    /// Which file, as an index into the report's files; none for what is about the mesh.
    pub file: Option<usize>,
    /// Where in the file.
    pub location: Option<Location>,
    /// Which object.
    pub object: Option<ObjectName>,
    /// Exemptions that covered it until they expired, each with what to do.
    pub expired: Vec<String>,
}

impl Reported {
    /// The field, or nothing where the finding is about the whole.
    pub fn path(&self) -> Option<&FieldPath> {
        let path = &self.finding.path;
        (!path.segments().is_empty()).then_some(path)
    }
}
