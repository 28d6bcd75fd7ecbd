//! What is asked: reviews as the API server sends them.

use std::sync::Arc;

use axum::body::Bytes;
use serde_json::{Value, json};

use crate::entry::entry;
use crate::servers::UID;

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) path: &'static str,
    pub(crate) review: Bytes,
}

/// Calls that are made one after the other, again and again.
pub(crate) type Calls = Arc<[Call]>;

/// Three entries on no proxy's port to one that declares a proxy correctly: more of the latter
/// than a mesh has, since they cost more.
pub(crate) fn of_a_mesh() -> Calls {
    let ordinary = entry("api.partner.example", "203.0.113.7", 8443, "HTTPS");
    let ordinary_before = entry("old.partner.example", "203.0.113.7", 8443, "HTTPS");
    let correct_before = entry("old.proxy.corp", "10.20.0.5", 3128, "TCP");
    let ordinary = calls(&ordinary, &ordinary_before);
    let correct = calls(&correct(), &correct_before);
    [ordinary.clone(), ordinary.clone(), ordinary, correct]
        .concat()
        .into()
}

/// The mistake that everybody makes: HTTP on a proxy's port.
pub(crate) fn broken() -> Calls {
    let broken = entry("my-company-proxy.com", "10.20.0.5", 3128, "HTTP");
    calls(&broken, &correct()).into()
}

fn correct() -> String {
    entry("my-company-proxy.com", "10.20.0.5", 3128, "TCP")
}

/// An object is made, and a like one changed; the API server asks `/mutate` first, `/validate` then.
fn calls(object: &str, before: &str) -> Vec<Call> {
    let made = Bytes::from(review("CREATE", object, "null"));
    let changed = Bytes::from(review("UPDATE", object, before));
    let both = [made, changed].into_iter().flat_map(|review| {
        ["/mutate", "/validate"].map(|path| Call {
            path,
            review: review.clone(),
        })
    });
    both.collect()
}

fn review(operation: &str, object: &str, before: &str) -> String {
    let value = |text| serde_json::from_str::<Value>(text).expect("JSON");
    let kind = json!({"group": "networking.istio.io", "version": "v1", "kind": "ServiceEntry"});
    let resource =
        json!({"group": "networking.istio.io", "version": "v1", "resource": "serviceentries"});
    let review = json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": UID,
            "kind": kind,
            "resource": resource,
            "requestKind": kind,
            "requestResource": resource,
            "name": "corporate-proxy",
            "namespace": "payments",
            "operation": operation,
            "userInfo": {
                "username": "system:serviceaccount:argocd:argocd-application-controller",
                "uid": "5c1d7a0e-3c0b-4a53-8d8e-8f6f4f0b1b7d",
                "groups": [
                    "system:serviceaccounts", "system:serviceaccounts:argocd",
                    "system:authenticated",
                ],
                "extra": {
                    "authentication.kubernetes.io/credential-id":
                        ["JTI=0f4b1a52-7f0b-4b8e-9d0a-6b8a0b6c8c11"],
                    "authentication.kubernetes.io/pod-name": ["argocd-application-controller-0"],
                },
            },
            "object": value(object),
            "oldObject": value(before),
            "dryRun": false,
            "options": {
                "kind": if operation == "CREATE" { "CreateOptions" } else { "UpdateOptions" },
                "apiVersion": "meta.k8s.io/v1",
                "fieldManager": "argocd-controller",
                "fieldValidation": "Strict",
            },
        },
    });
    review.to_string()
}
