//! What several modules need: the policy of the examples, a text judged as `lint` would, and the
//! binary.

pub(crate) mod asking;
mod binary;

use std::path::{Path, PathBuf};

use serde_json::Value;
use tunnelguard::mesh::kubernetes::read_service;
use tunnelguard::mesh::simulation::{Environment, OutboundPolicy};
use tunnelguard::mesh::{DestinationRule, FieldPath, MeshView, ServiceEntry, Sidecar};
use tunnelguard::policy::evaluator::evaluate_mesh;
use tunnelguard::policy::fix::{Edit, Operation};
use tunnelguard::policy::{Context, Finding, PolicySet, evaluate};
use tunnelguard::source::{self, SourceFile};
use tunnelguard::state;

pub(crate) use binary::{Files, Finished, LIMIT, run, tunnelguard};

/// The one object of a kind in `manifests/install.yaml`, as `kubectl` would send it.
pub(crate) fn installed(kind: &str) -> Value {
    let path = "manifests/install.yaml";
    let reading = source::read(&SourceFile::from_text(path, text_of(path)));
    assert!(reading.problems.is_empty(), "{:?}", reading.problems);
    let objects = reading.documents.into_iter().map(|document| document.value);
    let mut of_kind = objects.filter(|object| object["kind"] == kind);
    let object = of_kind.next();
    assert!(of_kind.next().is_none(), "{kind}: more than one");
    object.unwrap_or_else(|| panic!("no {kind} in {path}"))
}

/// A path of the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A file of the repository.
pub(crate) fn text_of(path: &str) -> String {
    let path = repository(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The policy that the README, the pages in `docs/checks` and these tests use.
pub(crate) fn corporate() -> PolicySet {
    let path = repository(CORPORATE);
    state::load(&[path]).unwrap_or_else(|error| panic!("{error}"))
}

/// Where [`corporate`] stands in the repository.
pub(crate) const CORPORATE: &str = "examples/policies/corporate.yaml";

/// The ServiceEntry in an object, or the Service in that form.
pub(crate) fn entry(object: &Value) -> ServiceEntry {
    if object["kind"] == "Service" {
        return read_service(object).expect("a Service").expect("a name");
    }
    serde_json::from_value(object.clone()).expect("entries are read leniently")
}

fn is_entry(object: &Value) -> bool {
    !matches!(object["kind"].as_str(), Some("DestinationRule" | "Sidecar"))
}

/// A mesh of ServiceEntries, Services, DestinationRules and Sidecars.
pub(crate) fn mesh(objects: &[Value]) -> MeshView {
    let mut mesh = MeshView::new();
    for object in objects {
        match object["kind"].as_str() {
            Some("DestinationRule") => {
                mesh.upsert_destination_rule(DestinationRule::read(object).expect("a rule"));
            }
            Some("Sidecar") => mesh.upsert_sidecar(Sidecar::read(object).expect("a Sidecar")),
            _ => mesh.upsert(entry(object)),
        }
    }
    mesh
}

/// What is known beside an entry, with the whole mesh in view.
pub(crate) fn context<'a>(
    policies: &'a PolicySet,
    mesh: &'a MeshView,
    outbound: OutboundPolicy,
) -> Context<'a> {
    Context {
        policies,
        mesh,
        sees_mesh: true,
        namespaces: None,
        environment: Environment {
            outbound,
            names: Some(policies.proxies.names()),
            ..Environment::default()
        },
    }
}

/// Every finding about some objects, each with the index of its object (none: about the mesh), as
/// `lint` raises them.
pub(crate) fn judged(
    objects: &[Value],
    policies: &PolicySet,
    outbound: OutboundPolicy,
) -> Vec<(Option<usize>, Finding)> {
    let mesh = mesh(objects);
    let context = context(policies, &mesh, outbound);
    let mut judged = Vec::new();
    let entries = objects.iter().enumerate();
    for (index, object) in entries.filter(|(_, object)| is_entry(object)) {
        let findings = evaluate(&entry(object), context).into_iter();
        judged.extend(findings.map(|finding| (Some(index), finding)));
    }
    let findings: Vec<Finding> = judged.iter().map(|(_, finding)| finding.clone()).collect();
    let of_mesh = evaluate_mesh(context, &findings).into_iter();
    judged.extend(of_mesh.map(|finding| (None, finding)));
    judged
}

/// An object with edits made: not by tunnelguard's own code, but by the letter of RFC 6902.
pub(crate) fn edited(object: &Value, edits: &[Edit]) -> Value {
    let operations = edits.iter().map(|edit| {
        let path = edit.path.pointer();
        match &edit.operation {
            Operation::Add(value) => {
                serde_json::json!({"op": "add", "path": path, "value": value})
            }
            Operation::Replace(value) => {
                serde_json::json!({"op": "replace", "path": path, "value": value})
            }
            Operation::Remove => serde_json::json!({"op": "remove", "path": path}),
        }
    });
    patched(object, &operations.collect())
}

/// An object with a JSON Patch applied.
pub(crate) fn patched(object: &Value, patch: &Value) -> Value {
    let operations: json_patch::Patch = serde_json::from_value(patch.clone()).expect("a patch");
    let mut patched = object.clone();
    json_patch::patch(&mut patched, &operations)
        .unwrap_or_else(|error| panic!("{patch} does not apply to {object}: {error}"));
    patched
}

/// The paths at which two values differ, as JSON Pointers in order; a list of another length is one.
pub(crate) fn differences(before: &Value, after: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare(before, after, FieldPath::root(), &mut found);
    found.sort();
    found
}

fn compare(before: &Value, after: &Value, path: FieldPath, found: &mut Vec<String>) {
    match (before, after) {
        (Value::Object(old), Value::Object(new)) => {
            let added = new.keys().filter(|key| !old.contains_key(*key));
            for key in old.keys().chain(added) {
                let path = path.clone().key(key);
                match (old.get(key), new.get(key)) {
                    (Some(old), Some(new)) => compare(old, new, path, found),
                    _ => found.push(path.pointer()),
                }
            }
        }
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() => {
            for (index, (old, new)) in old.iter().zip(new).enumerate() {
                compare(old, new, path.clone().index(index), found);
            }
        }
        _ if before == after => {}
        _ => found.push(path.pointer()),
    }
}
