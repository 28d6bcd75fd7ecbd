//! Which entry comes first, and which namespace's is kept.

use crate::mesh::service_entry::Registry;

use super::{Ranked, SidecarScope};

/// The one namespace whose entries of a host a client keeps: its own, else (newer Istio) a Service's,
/// else that of the first in line (`selectServices` in `pilot/pkg/model/sidecar.go`).
pub(crate) fn kept_namespace<'a>(
    rivals: &[Ranked<'a>],
    host: &str,
    scope: &SidecarScope<'_>,
) -> Option<&'a str> {
    let shown = || rivals.iter().filter(|rival| scope.shows(rival.entry, host));
    let is_own = |rival: &&Ranked<'_>| *rival.entry.namespace == *scope.namespace;
    let kept = shown().find(is_own).or_else(|| {
        shown().min_by(|a, b| {
            let yields = |one: &Ranked<'_>| scope.is_newer && one.entry.registry == Registry::Istio;
            yields(a).cmp(&yields(b)).then_with(|| line_order(a, b))
        })
    });
    kept.map(|rival| &*rival.entry.namespace)
}

/// The order in which Istio takes the entries of one host: those exported to named namespaces
/// before the public ones (`servicesExportedToNamespace`), then older first, then by namespace
/// (`SortServicesByCreationTime`; both in `pilot/pkg/model/push_context.go`). Files carry no
/// creation time: there the order of appearance takes its place.
pub(crate) fn line_order(a: &Ranked<'_>, b: &Ranked<'_>) -> std::cmp::Ordering {
    a.entry
        .is_public()
        .cmp(&b.entry.is_public())
        .then_with(|| age_order(a, b))
        .then_with(|| a.entry.namespace.cmp(&b.entry.namespace))
        .then_with(|| a.sequence.cmp(&b.sequence))
}

/// Older first; two with the same time, which Kubernetes stores in whole seconds, are equal.
pub(crate) fn age_order(a: &Ranked<'_>, b: &Ranked<'_>) -> std::cmp::Ordering {
    match (a.entry.created, b.entry.created) {
        (Some(a), Some(b)) => a.cmp(&b),
        (Some(_), None) => std::cmp::Ordering::Less,
        (None, Some(_)) => std::cmp::Ordering::Greater,
        (None, None) => a.sequence.cmp(&b.sequence),
    }
}
