//! Which Sidecar decides for a client, and what each of its egress listeners shows it.

use crate::mesh::labels::{Labels, selects};
use crate::mesh::sidecar::{Egress, Sidecar};
use crate::mesh::view::{Mesh, SidecarScope};

use super::{Behaviour, Dial, Environment};

/// The Sidecars that may decide for the client of a dial, of which `None` stands for none: one, where
/// the client's labels are known. The last is that of a client whom no selector selects.
///
/// In the client's namespace those with a selector come first, each kind by age; else the oldest one
/// without a selector of the root namespace decides (`initSidecarScopes` and `doGetSidecarScope` in
/// `pilot/pkg/model/push_context.go`).
pub(super) fn sidecars<'a>(
    mesh: &'a dyn Mesh,
    dial: &Dial,
    environment: &Environment<'_>,
) -> Vec<Option<&'a Sidecar>> {
    let (selecting, others) = by_age(mesh.others().sidecars(&dial.namespace));
    let root = environment.root_namespace();
    let for_all = others.first().copied();
    let for_all = for_all.or_else(|| {
        let (_, roots) = by_age(mesh.others().sidecars(root));
        roots.first().copied()
    });
    let Some(labels) = &dial.labels else {
        let selecting = selecting.into_iter().map(|(sidecar, _)| Some(sidecar));
        return selecting.chain([for_all]).collect();
    };
    let mut selecting = selecting.into_iter();
    let own = selecting.find(|(_, selector)| selects(selector, labels));
    vec![own.map(|(sidecar, _)| sidecar).or(for_all)]
}

/// Those with a selector, and the others.
fn by_age(sidecars: &[Sidecar]) -> (Vec<(&Sidecar, &Labels)>, Vec<&Sidecar>) {
    let mut sorted: Vec<&Sidecar> = sidecars.iter().collect();
    // Files carry no creation time: there the order of appearance takes its place.
    sorted.sort_by_key(|sidecar| {
        let name = sidecar.created.map(|_| &sidecar.name);
        (sidecar.created.is_none(), sidecar.created, name)
    });
    let selecting = sorted.iter().filter_map(|sidecar| {
        let selector = sidecar.selector.as_ref()?;
        Some((*sidecar, selector))
    });
    let others = sorted.iter().filter(|sidecar| sidecar.selector.is_none());
    (selecting.collect(), others.copied().collect())
}

/// What each egress listener shows a client, in order; without a Sidecar one that shows everything.
pub(super) fn scopes<'a>(
    sidecar: Option<&'a Sidecar>,
    namespace: &'a str,
    behaviour: Behaviour,
) -> Vec<SidecarScope<'a>> {
    let everything = SidecarScope::of_everything(namespace, behaviour == Behaviour::New);
    let Some(sidecar) = sidecar else {
        return vec![everything];
    };
    let of = |egress: &'a Egress| SidecarScope {
        egress: Some(egress),
        ..everything
    };
    sidecar.egress.iter().map(of).collect()
}
