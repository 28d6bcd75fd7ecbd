//! The ServiceEntry that the benchmarks are about.

use serde_json::{Value, json};

/// An entry as the API server sends it, of about 1.3 KB: most of it is `managedFields`.
pub(crate) fn entry(host: &str, address: &str, port: u16, protocol: &str) -> String {
    let spec = json!({
        "hosts": [host],
        "addresses": [address],
        "ports": [{"number": port, "name": "proxy", "protocol": protocol}],
        "location": "MESH_EXTERNAL",
        "resolution": "NONE",
    });
    let applied =
        json!({"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry", "spec": spec});
    let fields: Value = serde_json::from_str(
        r#"{"f:metadata":{"f:annotations":{".":{},"f:kubectl.kubernetes.io/last-applied-configuration":{}},"f:labels":{".":{},"f:app.kubernetes.io/name":{}}},"f:spec":{".":{},"f:addresses":{},"f:hosts":{},"f:location":{},"f:ports":{".":{},"k:{\"name\":\"proxy\"}":{".":{},"f:name":{},"f:number":{},"f:protocol":{}}},"f:resolution":{}}}"#,
    )
    .expect("JSON");
    let object = json!({
        "apiVersion": "networking.istio.io/v1",
        "kind": "ServiceEntry",
        "metadata": {
            "name": "corporate-proxy",
            "namespace": "payments",
            "uid": "2a9c6e7e-6f5b-4a35-9c9f-0d1b1c6f3a51",
            "creationTimestamp": "2026-11-21T06:00:00Z",
            "labels": {"app.kubernetes.io/name": "corporate-proxy"},
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": applied.to_string()},
            "managedFields": [{
                "manager": "kubectl-client-side-apply", "operation": "Update",
                "apiVersion": "networking.istio.io/v1", "time": "2026-11-21T06:00:00Z",
                "fieldsType": "FieldsV1", "fieldsV1": fields,
            }],
        },
        "spec": spec,
    });
    object.to_string()
}
