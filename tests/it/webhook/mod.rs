//! The webhook as the API server meets it: the binary itself, over TLS, with the authority that
//! it prints.
//!
//! What a review decides is in `verdicts`, what is no review in `contract`, and the process and
//! its client in `serving`.

mod client;
mod contract;
mod drain;
mod limits;
mod reload;
mod serving;
mod telling;
mod verdicts;

use serde_json::{Value, json};

/// The mistake that everybody makes, in a namespace.
fn seed(namespace: &str) -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1",
        "kind": "ServiceEntry",
        "metadata": {"name": "corporate-proxy", "namespace": namespace},
        "spec": {
            "hosts": ["my-company-proxy.com"],
            "addresses": ["10.20.0.5/32"],
            "ports": [{"number": 3128, "name": "http", "protocol": "HTTP"}],
            "resolution": "NONE"
        }
    })
}

/// The review in which the API server asks about an object.
fn review(operation: &str, object: &Value, old: &Value) -> Value {
    let either = if object.is_null() { old } else { object };
    let api_version = either["apiVersion"].as_str().unwrap_or_default();
    let version = api_version.rsplit('/').next().unwrap_or_default();
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": format!("uid-of-{operation}"),
            "kind": {"group": "networking.istio.io", "version": version, "kind": "ServiceEntry"},
            "resource": {
                "group": "networking.istio.io", "version": version, "resource": "serviceentries"
            },
            "namespace": either["metadata"]["namespace"],
            "name": either["metadata"]["name"].as_str().unwrap_or_default(),
            "operation": operation,
            "userInfo": {"username": "jane"},
            "dryRun": false,
            "options": {"apiVersion": "meta.k8s.io/v1", "kind": "CreateOptions"},
            "object": object,
            "oldObject": old
        }
    })
}
