//! What a Sidecar shows or hides: one host, or a wildcard, of one namespace or of all.

use std::fmt;

use crate::mesh::host;
use crate::mesh::service_entry::ServiceEntry;

/// One of `hosts`: `namespace/host`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Import {
    /// `*`, `.` (the client's) or a namespace.
    pub(super) namespace: Box<str>,
    /// A host, or a wildcard.
    pub(super) host: Box<str>,
    /// Written with `~` before the namespace: it hides (Istio 1.31).
    pub(super) hides: bool,
}

impl Import {
    /// `None` for what has not exactly one slash, which istiod leaves out.
    pub(super) fn read(text: &str) -> Option<Self> {
        let (namespace, host) = text.split_once('/')?;
        if host.contains('/') {
            return None;
        }
        let hides = namespace.starts_with('~');
        let namespace = match namespace.trim_start_matches('~') {
            "" => "*",
            namespace => namespace,
        };
        Some(Self {
            namespace: namespace.into(),
            host: host.into(),
            hides,
        })
    }

    /// Whether it is about a host of an entry, for a client in `client`.
    pub(super) fn covers(&self, entry: &ServiceEntry, host: &str, client: &str) -> bool {
        let is_about = match &*self.namespace {
            "*" => true,
            "." => *entry.namespace == *client,
            own => *own == *entry.namespace,
        };
        is_about && host::covers(&self.host, host)
    }
}

/// As it is written, but for a namespace left out.
impl fmt::Display for Import {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tilde = if self.hides { "~" } else { "" };
        write!(formatter, "{tilde}{}/{}", self.namespace, self.host)
    }
}
