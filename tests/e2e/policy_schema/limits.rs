//! How long a list, a mapping or a text may be: every such limit of the schema, at the limit and one above. They are
//! found in the definition, so that none is without a test. Files have no limit.

use std::fs;

use serde_json::{Value, json};
use tunnelguard::mesh::FieldPath;

use super::{Asking, compiles};
use crate::harness::{ControlPlane, Definition, repository};

/// A policy with something wherever there is a limit.
fn sample() -> Value {
    json!({
        "apiVersion": "tunnelguard.dev/v1alpha1", "kind": "ConnectProxyPolicy",
        "metadata": {"name": "limits"},
        "spec": {
            "proxies": [{"name": "a", "hosts": ["a.test"], "addresses": ["10.20.0.5"], "ports": [3128]}],
            "checks": {"TG013": {"mode": "Audit"}},
            "mesh": {"istioVersion": "1.30.0"},
            "overrides": [{
                "mode": "Audit",
                "namespaceSelector": {
                    "matchLabels": {"tier": "prod"},
                    "matchExpressions": [{"key": "team", "operator": "Exists"}],
                },
            }],
            "exemptions": [{"reason": "r", "checks": ["TG001"], "expires": "2028-02-29"}],
        },
    })
}

/// Where a rule refuses what is much shorter already.
const NARROWER: [&str; 4] = [
    "spec.checks",
    "spec.exemptions[0].checks[0]",
    "spec.exemptions[0].expires",
    "spec.proxies[0].addresses[0]",
];

struct Limit {
    path: FieldPath,
    most: usize,
    /// What is said of one more.
    said: String,
}

pub(super) fn limits(plane: &ControlPlane) {
    let _definition = Definition::install(plane);
    let asking = Asking::new(plane);
    let mut wrong = Vec::new();
    for Limit { path, most, said } in all() {
        let is_narrower = NARROWER.contains(&path.to_string().as_str());
        for length in [most, most + 1] {
            let mut policy = sample();
            let value = policy.pointer_mut(&path.pointer());
            grow(value.expect("what the limit was found with"), length);
            let answer = asking.creates(&policy);
            let message = answer.message();
            let told = message.contains(&format!("{path}: Too ")) && message.contains(&said);
            let fits = length == most;
            let as_expected = told != fits
                && answer.is_allowed() == (fits && !is_narrower)
                && compiles(&policy) != is_narrower;
            if !as_expected {
                let code = answer.code;
                wrong.push(format!("{path}, {length} of {most}: {code} {message}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Every limit of the definition.
fn all() -> Vec<Limit> {
    let file = repository("manifests/chart/files/connectproxypolicy-crd.yaml");
    let text = fs::read_to_string(file).expect("the definition");
    let definition: Value = serde_saphyr::from_str(&text).expect("YAML");
    let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let mut found = Vec::new();
    find(schema, &sample(), &FieldPath::root(), &mut found);
    let keywords = ["maxItems: ", "maxProperties: ", "maxLength: "];
    let written = keywords.map(|keyword| text.matches(keyword).count());
    assert_eq!(found.len(), written.iter().sum::<usize>());
    found
}

/// The limits of what `schema` says of a value of the sample, and of what is in it.
fn find(schema: &Value, value: &Value, path: &FieldPath, found: &mut Vec<Limit>) {
    let words = [
        ("maxItems", "must have at most LIMIT items"),
        ("maxProperties", "must have at most LIMIT items"),
        ("maxLength", "may not be more than LIMIT bytes"),
    ];
    for (keyword, said) in words {
        if let Some(most) = schema[keyword].as_u64() {
            assert!(!value.is_null(), "the sample has nothing at {path}");
            found.push(Limit {
                path: path.clone(),
                most: usize::try_from(most).expect("a length"),
                said: said.replace("LIMIT", &most.to_string()),
            });
        }
    }
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        find(schema, &value[name], &path.clone().key(name), found);
    }
    if let Some(schema) = schema.get("items") {
        find(schema, &value[0], &path.clone().index(0), found);
    }
    if let Some(schema) = schema.get("additionalProperties") {
        let (key, value) = value
            .as_object()
            .and_then(|own| own.iter().next())
            .expect("an entry");
        find(schema, value, &path.clone().key(key), found);
    }
}

/// Makes a value that long, of what it has.
fn grow(value: &mut Value, length: usize) {
    match value {
        Value::Array(items) => items.resize(length, items[0].clone()),
        Value::String(text) => {
            let last = text.chars().last().expect("a letter");
            text.extend(std::iter::repeat_n(last, length - text.len()));
        }
        Value::Object(entries) => {
            let one = entries.values().next().expect("an entry").clone();
            entries.extend((1..length).map(|number| (format!("a{number}"), one.clone())));
        }
        other => panic!("{other} has no length"),
    }
}
