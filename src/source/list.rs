//! Opens `List` objects: what reaches the API server are their items.

use serde_json::Value;

use super::spot::{Inside, Spot};

/// Puts `value` into `found`, or when it is a list each of its items, lists in lists included.
/// The spans go along, so paths count from the item's root.
///
/// Recursive, and no deeper than a document may nest.
pub(super) fn flatten(value: Value, spot: Spot, found: &mut Vec<(Value, Spot)>) {
    let Some(item_kind) = item_kind(&value) else {
        found.push((value, spot));
        return;
    };
    let version = value.get("apiVersion").cloned();
    let (Value::Object(mut object), Inside::Mapping(fields)) = (value, spot.inside) else {
        return;
    };
    let spots = fields.into_iter().find(|field| &*field.key == "items");
    let (Some(Value::Array(items)), Some(Inside::Sequence(spots))) = (
        object.remove("items"),
        spots.map(|field| field.value.inside),
    ) else {
        return;
    };
    for (mut item, spot) in items.into_iter().zip(spots) {
        if let (Some(kind), Some(version)) = (&item_kind, &version) {
            name(&mut item, kind, version);
        }
        flatten(item, spot, found);
    }
}

/// None for what is no list; the kind of the items is known when the list is a typed one
/// (`ServiceEntryList`).
fn item_kind(value: &Value) -> Option<Option<String>> {
    let kind = value.get("kind")?.as_str()?.strip_suffix("List")?;
    value.get("items")?.as_array()?;
    Some((!kind.is_empty()).then(|| kind.to_owned()))
}

/// The API's own typed lists leave out what their items are, and its clients put it back.
fn name(item: &mut Value, kind: &str, version: &Value) {
    let Value::Object(fields) = item else {
        return;
    };
    if fields.contains_key("kind") || fields.contains_key("apiVersion") {
        return;
    }
    fields.insert("kind".to_owned(), Value::from(kind));
    fields.insert("apiVersion".to_owned(), version.clone());
}

#[cfg(test)]
mod tests {
    use crate::mesh::FieldPath;
    use crate::source::{SourceFile, read};
    use serde_json::{Value, json};

    fn values(text: &str) -> Vec<Value> {
        let reading = read(&SourceFile::from_text("list.yaml", text));
        assert_eq!(reading.problems, [], "{text}");
        reading.documents.into_iter().map(|it| it.value).collect()
    }

    #[test]
    fn lists_become_their_items() {
        let cases = [
            (
                "{kind: List, items: [{a: 1}, {b: 2}]}",
                json!([{"a": 1}, {"b": 2}]),
            ),
            ("{kind: List, items: []}", json!([])),
            (
                "{kind: List, items: {a: 1}}",
                json!([{"kind": "List", "items": {"a": 1}}]),
            ),
            (
                "{kind: Listing, items: []}",
                json!([{"kind": "Listing", "items": []}]),
            ),
            (
                "{kind: List, items: [{kind: List, items: [{a: 1}]}, {b: 2}]}",
                json!([{"a": 1}, {"b": 2}]),
            ),
            (
                "{kind: PodList, apiVersion: v1, items: [{a: 1}, {kind: X, apiVersion: v2}]}",
                json!([{"kind": "Pod", "apiVersion": "v1", "a": 1}, {"kind": "X", "apiVersion": "v2"}]),
            ),
            ("{kind: List, items: [null, {a: 1}]}", json!([{"a": 1}])),
        ];
        for (text, expected) in cases {
            assert_eq!(json!(values(text)), expected, "{text}");
        }
    }

    #[test]
    fn paths_count_from_the_item() {
        let text = "kind: List\nitems:\n- spec:\n    a: 1\n- spec:\n    a: 2\n";
        let reading = read(&SourceFile::from_text("list.yaml", text));
        let lines: Vec<usize> = reading
            .documents
            .iter()
            .map(|document| document.locate(&FieldPath::spec().key("a")).line)
            .collect();
        assert_eq!(lines, [4, 6]);
    }
}
