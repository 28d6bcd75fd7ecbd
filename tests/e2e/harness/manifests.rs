//! The objects of `manifests/install.yaml`, which is what the chart makes of its defaults.

use std::fs;

use serde_json::Value;
use tunnelguard::source::{self, SourceFile};

use super::repository;

/// Its objects of one component, as the label says: `namespace`, `crd`, `rbac`, `webhooks` or what runs.
///
/// # Panics
/// If there is none.
pub(crate) fn component(name: &str) -> Vec<Value> {
    let text = fs::read_to_string(repository("manifests/install.yaml")).expect("a manifest");
    let mut objects = objects(&text);
    objects.retain(|object| object["metadata"]["labels"]["app.kubernetes.io/component"] == name);
    assert!(!objects.is_empty(), "no {name} in install.yaml");
    objects
}

/// The objects of a text.
pub(crate) fn objects(text: &str) -> Vec<Value> {
    let reading = source::read(&SourceFile::from_text("rendered", text));
    assert!(reading.problems.is_empty(), "{:?}", reading.problems);
    let objects = reading.documents.into_iter();
    objects.map(|document| document.value).collect()
}

/// The same as a text, which kubectl takes.
pub(crate) fn text_of(objects: &[Value]) -> String {
    let documents = objects.iter().map(|object| format!("---\n{object}\n"));
    documents.collect()
}
