//! JSON as it is written: numbers keep their text, which a parsed value does not.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;
use tunnelguard::mesh::FieldPath;

/// What is written at each JSON Pointer that holds neither fields nor items.
pub(super) type Leaves = BTreeMap<String, String>;

/// The leaves of a text.
pub(super) fn leaves(text: &str) -> Leaves {
    let mut found = Leaves::new();
    let raw: &RawValue = serde_json::from_str(text).expect("JSON");
    collect(raw, FieldPath::root(), &mut found);
    found
}

fn collect(raw: &RawValue, path: FieldPath, found: &mut Leaves) {
    let text = raw.get();
    let before = found.len();
    if text.starts_with('{') {
        let fields: BTreeMap<String, &RawValue> = serde_json::from_str(text).expect("fields");
        for (key, value) in fields {
            collect(value, path.clone().key(&key), found);
        }
    } else if text.starts_with('[') {
        let items: Vec<&RawValue> = serde_json::from_str(text).expect("items");
        for (index, value) in items.into_iter().enumerate() {
            collect(value, path.clone().index(index), found);
        }
    }
    if found.len() == before {
        found.insert(path.pointer(), text.to_owned());
    }
}

/// Applies a JSON Patch by the letter of RFC 6902, section 4, as far as repairs go: fields are
/// added and replaced, and items of lists stay where they are.
pub(super) fn apply(mut leaves: Leaves, patch: &Value) -> Leaves {
    for operation in patch.as_array().expect("a list of operations") {
        let word = |field: &str| operation[field].as_str().expect("text");
        let (name, path) = (word("op"), word("path"));
        let below = format!("{path}/");
        let is_at = |pointer: &String| pointer == path || pointer.starts_with(&below);
        let is_there = leaves.keys().any(is_at);
        match name {
            "add" => {}
            "replace" => assert!(is_there, "{operation} replaces nothing"),
            other => panic!("{other} is no operation of a repair"),
        }
        let (parent, _) = path.rsplit_once('/').expect("the root is never replaced");
        leaves.retain(|pointer, _| !is_at(pointer) && pointer != parent);
        for (pointer, text) in self::leaves(&operation["value"].to_string()) {
            leaves.insert(format!("{path}{pointer}"), text);
        }
    }
    leaves
}

/// The pointers at which two texts differ.
pub(super) fn differences(before: &Leaves, after: &Leaves) -> Vec<String> {
    let pointers = before.keys().chain(after.keys());
    let differing = pointers.filter(|pointer| before.get(*pointer) != after.get(*pointer));
    let mut differing: Vec<String> = differing.cloned().collect();
    differing.sort();
    differing.dedup();
    differing
}
