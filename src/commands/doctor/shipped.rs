//! What this version ships for a cluster: the objects of `manifests/install.yaml`, which is made from the chart.

use serde_json::Value;

use crate::source::{self, SourceFile};

const INSTALL: &str = include_str!("../../../manifests/install.yaml");

/// What is to be done where one of them is missing, or is another.
pub(super) const REMEDY: &str =
    "helm upgrade, or kubectl apply --server-side -f manifests/install.yaml";

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
