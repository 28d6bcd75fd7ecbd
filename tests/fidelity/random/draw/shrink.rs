//! Making a shape smaller for as long as it still fails.

use serde_json::Value;

/// Fields without which the API server would take no object, or the lab no dial.
const KEPT: &[&str] = &[
    "objects",
    "dials",
    "apiVersion",
    "kind",
    "metadata",
    "name",
    "namespace",
    "spec",
    "hosts",
    "ports",
    "number",
    "address",
    "addressType",
    "host",
    "to",
    // Whether proxies have a certificate that Envoy trusts is not what shapes are about.
    "insecureSkipVerify",
];

/// The smallest that still `fails`, of those that come of taking away one thing after the other, in at
/// most `attempts`. A shape of which nothing can be taken away stays as it is.
pub(crate) fn smallest(
    shape: &Value,
    attempts: usize,
    mut fails: impl FnMut(&Value) -> bool,
) -> Value {
    let mut shape = shape.clone();
    let mut left = attempts;
    loop {
        let before = shape.clone();
        let mut next = 0;
        while let Some(candidate) = steps(&shape).get(next) {
            if left == 0 {
                return shape;
            }
            left -= 1;
            if fails(candidate) {
                // What stands next has taken its place.
                shape = candidate.clone();
            } else {
                next += 1;
            }
        }
        if shape == before {
            return shape;
        }
    }
}

/// Every shape that is smaller by one thing, those first that lack most.
fn steps(shape: &Value) -> Vec<Value> {
    let mut places = Vec::new();
    collect(shape, "", &mut places);
    places.sort_by_key(|place| place.matches('/').count());
    let steps = places.iter().filter_map(|place| without(shape, place));
    steps.collect()
}

/// The places of all that is in `value`, as JSON Pointers (RFC 6901).
fn collect(value: &Value, place: &str, places: &mut Vec<String>) {
    let parts: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (name.clone(), value))
            .collect(),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(index, item)| (index.to_string(), item))
            .collect(),
        _ => return,
    };
    for (name, part) in parts {
        let place = format!("{place}/{name}");
        collect(part, &place, places);
        places.push(place);
    }
}

/// The shape without what is at `place`; an object's namespace gives way to the usual one.
fn without(shape: &Value, place: &str) -> Option<Value> {
    let mut shape = shape.clone();
    let (parent, name) = place.rsplit_once('/')?;
    match shape.pointer_mut(parent)? {
        Value::Object(fields) if name == "namespace" && fields[name] != "default" => {
            fields.insert(name.to_owned(), "default".into());
        }
        Value::Object(fields) if !KEPT.contains(&name) => drop(fields.remove(name)),
        // Without its last item a list says something else than a field that is absent.
        Value::Array(items) if items.len() > 1 || matches!(parent, "/objects" | "/dials") => {
            drop(items.remove(name.parse().ok()?))
        }
        _ => return None,
    }
    Some(shape)
}
