//! Field edits as a JSON Patch (RFC 6902).
//!
//! A patch that does not apply is HTTP 500 to the user, whatever the failurePolicy. So it is made
//! only from what was seen, without `test` and without null, missing parents first, and it is
//! applied here before it leaves.

use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, Patch, PatchOperation, RemoveOperation, ReplaceOperation, patch};
use serde_json::{Value, json};

use crate::mesh::FieldPath;
use crate::policy::fix::{Edit, Operation};

use super::change::Changes;

/// The annotation in which a repair says what it changed and why.
pub(crate) const REPAIRED: &str = "tunnelguard.dev/repaired";

/// The patch that makes `edits` and leaves the annotation, and the object as it will be.
///
/// `None` where it does not apply: then the object is left alone, and `/validate` judges it.
pub(crate) fn build(
    mut object: Value,
    edits: &[Edit],
    changes: &Changes,
) -> Option<(Patch, Value)> {
    let mut operations: Vec<PatchOperation> = edits.iter().map(operation).collect();
    operations.extend(annotate(&object, &changes.annotation()));
    let patch_document = Patch(operations);
    patch(&mut object, &patch_document).ok()?;
    Some((patch_document, object))
}

fn operation(edit: &Edit) -> PatchOperation {
    let path = pointer(&edit.path);
    match &edit.operation {
        Operation::Add(value) => PatchOperation::Add(AddOperation {
            path,
            value: value.clone(),
        }),
        Operation::Replace(value) => PatchOperation::Replace(ReplaceOperation {
            path,
            value: value.clone(),
        }),
        Operation::Remove => PatchOperation::Remove(RemoveOperation { path }),
    }
}

fn pointer(path: &FieldPath) -> PointerBuf {
    // `FieldPath::pointer` escapes as RFC 6901 asks; the root is what is left if it ever did not.
    PointerBuf::parse(path.pointer()).unwrap_or_default()
}

fn annotate(object: &Value, note: &str) -> Vec<PatchOperation> {
    let metadata = FieldPath::root().key("metadata");
    let path = metadata.clone().key("annotations");
    let annotations = object
        .pointer(&path.pointer())
        .filter(|value| value.is_object());
    let mut operations = Vec::new();
    if !object.get("metadata").is_some_and(Value::is_object) {
        operations.push(Edit::set(metadata, false, json!({})));
    }
    if annotations.is_none() {
        operations.push(Edit::set(path.clone(), false, json!({})));
    }
    let present = annotations.is_some_and(|annotations| annotations.get(REPAIRED).is_some());
    operations.push(Edit::set(path.key(REPAIRED), present, note));
    operations.iter().map(operation).collect()
}
