//! The Pods that the benchmarks are about.

use std::sync::LazyLock;

use serde_json::json;

/// How many proxies they use.
pub(crate) const PROXIES: usize = 50;

/// A Pod as the API server sends it, with the environment of one of [`PROXIES`].
pub(crate) fn pod(number: usize, replicas: usize) -> String {
    static TEMPLATE: LazyLock<String> = LazyLock::new(template);
    let workload = number / replicas;
    TEMPLATE
        .replace("<number>", &format!("{number:08}"))
        .replace("<workload>", &workload.to_string())
        .replace("<hash>", &format!("{:x}", 0x5d9c_7b6f_usize + workload))
        .replace("<namespace>", &(workload % 500).to_string())
        .replace("<proxy>", &(workload % PROXIES).to_string())
}

/// Written once, so that what is measured is reading.
fn template() -> String {
    let url = "http://svc:secret@proxy-<proxy>.corp.example.com:3128/";
    let more =
        (0..20).map(|n| json!({"name": format!("SETTING_{n}"), "value": format!("<number>-{n}")}));
    let mut env: Vec<_> = more.collect();
    for name in ["HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"] {
        env.push(json!({"name": name, "value": url}));
    }
    env.push(
        json!({"name": "NO_PROXY", "value": ".svc,.cluster.local,10.0.0.0/8,169.254.169.254"}),
    );
    let managed =
        json!({"f:spec": {"f:containers": {"k:{\"name\":\"main\"}": {"f:env": "x".repeat(1500)}}}});
    let labels = json!({"app": "service-<workload>", "pod-template-hash": "<hash>"});
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "service-<workload>-<hash>-<number>", "namespace": "namespace-<namespace>",
            "uid": "<number>-3c39-4b9e-8d6e-0f3c1a2b4c5d", "resourceVersion": "<number>",
            "labels": labels,
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "service-<workload>-<hash>",
                "uid": "7d1b8f0a-3c39-4b9e-8d6e-0f3c1a2b4c5d", "controller": true}],
            "managedFields": [{"manager": "kube-controller-manager", "operation": "Update", "fieldsV1": managed}],
        },
        "spec": {"containers": [
            {"name": "main", "image": "registry.example.com/main:1", "env": env},
            {"name": "istio-proxy", "image": "proxyv2", "args": ["proxy", "sidecar"], "env": [{"name": "PROXY_CONFIG", "value": "{}"}]},
        ]},
        "status": {"phase": "Running", "podIP": "10.1.2.3"},
    })
    .to_string()
}
