//! What this version ships for a cluster: the objects of `manifests/install.yaml`, which is made from the chart.

use serde_json::Value;

use crate::source::{self, SourceFile};

const INSTALL: &str = include_str!("../../../manifests/install.yaml");

/// What is to be done where one of them is missing, or is another. Its part is named by the label
/// `app.kubernetes.io/component`, so that nothing else goes back to the chart's defaults.
pub(super) fn remedy(component: &str, loses: &str) -> String {
    // Forced, for what is to be put right was written by somebody, who owns it since.
    format!(
        "helm upgrade; where Helm did not install it ({loses}): kubectl apply --server-side --force-conflicts -f manifests/install.yaml -l app.kubernetes.io/component={component}"
    )
}

/// Its objects of these kinds.
pub(super) fn shipped(kinds: &[&str]) -> Vec<Value> {
    let objects = source::read(&SourceFile::from_text("install.yaml", INSTALL)).documents;
    let objects = objects.into_iter().map(|document| document.value);
    let of_kinds = objects.filter(|object| {
        let kind = object["kind"].as_str();
        kind.is_some_and(|kind| kinds.contains(&kind))
    });
    of_kinds.collect()
}
