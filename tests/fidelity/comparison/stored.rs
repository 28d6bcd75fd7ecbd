//! The objects of a shape in the API server, and the mesh that they make.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};
use tunnelguard::commands;
use tunnelguard::mesh::validation::validate;
use tunnelguard::mesh::{MeshView, ServiceEntry};

use crate::harness::await_some;
use crate::lab::Lab;
use crate::shape::Shape;

/// The objects as stored, one after the other. Nothing if the API server refuses one; then so must
/// the prediction. Those that are there already stay: shapes are measured under one outbound policy
/// after the other, and several objects take seconds to store.
pub(super) fn stored(lab: &Lab, shape: &Shape) -> Option<Vec<Value>> {
    // Another second would be another shape.
    let held = lab.holds(&shape.objects).filter(|_| !shape.in_one_second);
    if held.is_some() {
        return held;
    }
    lab.clear();
    let mut stored: Vec<Value> = Vec::new();
    let mut newest: BTreeMap<&str, i64> = BTreeMap::new();
    for object in &shape.objects {
        // Timestamps are whole seconds, and of one second the name decides. Nobody asks for the age of
        // an endpoint.
        let is_endpoint = object["kind"] == "EndpointSlice" || object["kind"] == "WorkloadEntry";
        let line = line(object);
        await_some("the next second", || {
            let now = Timestamp::now().as_second();
            let is_newer = newest.get(line).is_none_or(|newest| now > *newest);
            (shape.in_one_second || is_newer || is_endpoint).then_some(())
        });
        let answer = lab.create(object);
        if !answer.is_allowed() {
            let is_entry = object["kind"] == "ServiceEntry";
            let entry: ServiceEntry = serde_json::from_value(object.clone()).expect("an entry");
            assert!(
                is_entry && !validate(&entry).is_empty(),
                "refused: {}",
                answer.message()
            );
            return None;
        }
        let created = answer.body["metadata"]["creationTimestamp"].as_str();
        let created: Timestamp = created.expect("a time").parse().expect("a time");
        newest.insert(line, created.as_second());
        stored.push(answer.body);
    }
    if !shape.in_one_second {
        lab.hold(&shape.objects, &stored);
    }
    Some(stored)
}

/// The kind of the objects whose age is compared with this one's: those of the other kinds stand in a line
/// of their own.
fn line(object: &Value) -> &str {
    match object["kind"].as_str().unwrap_or_default() {
        "Service" => "ServiceEntry",
        kind => kind,
    }
}

/// The mesh of objects as they are stored.
pub(super) fn mesh_of(objects: &[Value]) -> MeshView {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    commands::mesh_of(&list.to_string())
}
