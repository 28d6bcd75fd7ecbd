//! What of the mesh a client is shown.

use std::cmp::Ordering;

use crate::mesh::service_entry::ServiceEntry;
use crate::mesh::sidecar::{Egress, EgressPort};

use super::{Ranked, age_order, line_order};

/// Whom an entry is for, as far as that decides the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Audience {
    Private,
    Named,
    Public,
}

/// What one egress listener of a sidecar shows it; without a Sidecar there is one listener, which shows
/// whatever is exported to the client.
#[derive(Clone, Copy, Debug)]
pub struct SidecarScope<'a> {
    /// The client's namespace.
    pub namespace: &'a str,
    /// The egress listener, if a Sidecar is for the client.
    pub(crate) egress: Option<&'a Egress>,
    /// Whether by the newer of the two measured istiods.
    pub(crate) is_newer: bool,
}

impl<'a> SidecarScope<'a> {
    /// Of a client that no Sidecar is for.
    pub(crate) fn of_everything(namespace: &'a str, is_newer: bool) -> Self {
        Self {
            namespace,
            egress: None,
            is_newer,
        }
    }

    /// Whether it shows a host of an entry, were there no other entry of the host.
    pub(crate) fn shows(&self, entry: &ServiceEntry, host: &str) -> bool {
        let imports = |egress: &Egress| egress.imports(entry, host, self.namespace, self.is_newer);
        entry.has_services()
            && entry.is_visible_from(self.namespace)
            && self.egress.is_none_or(imports)
    }

    /// Whether one namespace's entries of a host hide those of the others (`selectServices` in
    /// `pilot/pkg/model/sidecar.go`): older istiods have it only where there is a Sidecar.
    pub(crate) fn keeps_one_namespace(&self) -> bool {
        self.is_newer || self.egress.is_some()
    }

    /// The port of the egress listener, where it has one of its own.
    pub(crate) fn own_port(&self) -> Option<EgressPort> {
        self.egress?.port
    }

    /// Whether services are looked up by host and namespace, where they otherwise are gone through: it
    /// finds one service of each (`servicesForExactHosts` in `pilot/pkg/model/sidecar.go`, newer Istio).
    pub(crate) fn looks_up_hosts(&self) -> bool {
        self.is_newer && self.of_named_hosts().is_some()
    }

    /// Whose entries come first: those exported to named namespaces before the public ones
    /// (`servicesExportedToNamespace` in `pilot/pkg/model/push_context.go`), and in older Istio before
    /// them what the client's namespace exports to itself (`privateByNamespace` there).
    pub(crate) fn audience(&self, entry: &ServiceEntry) -> Audience {
        match entry.is_public() {
            _ if self.looks_up_hosts() => Audience::Public,
            true => Audience::Public,
            false if !self.is_newer && *entry.namespace == *self.namespace => Audience::Private,
            false => Audience::Named,
        }
    }

    /// The order in which it takes the entries of one host.
    pub(crate) fn order(&self, a: &Ranked<'_>, b: &Ranked<'_>) -> Ordering {
        match self.looks_up_hosts() {
            true => age_order(a, b).then_with(|| a.sequence.cmp(&b.sequence)),
            false => {
                let audiences = self.audience(a.entry).cmp(&self.audience(b.entry));
                audiences.then_with(|| line_order(a, b))
            }
        }
    }

    /// The egress listener whose hosts are the only ones that it shows, each named with its namespace.
    pub(crate) fn of_named_hosts(&self) -> Option<&'a Egress> {
        self.egress.filter(|egress| egress.names_each_host())
    }
}
