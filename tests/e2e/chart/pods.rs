//! The chart's Pods, as Pod Security's `restricted` sees them: the API server's own admission plugin decides.

use serde_json::{Value, json};

use super::helm::{Helm, NAMESPACE, printed};
use super::rows;
use crate::harness::ControlPlane;
use crate::harness::manifests::{component, objects, text_of};

/// What breaks a Pod that is allowed, and how the refusal names it.
const BROKEN: &[(&str, &str, Value, &str)] = &[
    (
        "/spec/securityContext",
        "runAsNonRoot",
        Value::Bool(false),
        "runAsNonRoot",
    ),
    (
        "/spec/securityContext",
        "seccompProfile",
        Value::Null,
        "seccompProfile",
    ),
    (
        "/spec/containers/0/securityContext",
        "allowPrivilegeEscalation",
        Value::Bool(true),
        "allowPrivilegeEscalation",
    ),
    (
        "/spec/containers/0/securityContext",
        "capabilities",
        Value::Null,
        "capabilities",
    ),
    ("/spec", "hostNetwork", Value::Bool(true), "host namespaces"),
];

pub(super) fn are_restricted(plane: &ControlPlane) {
    plane.apply(&text_of(&component("namespace")));
    let helm = Helm::new();
    let pods = rows()
        .into_iter()
        .map(|row| pod(&helm.template(&row.values).expect("a chart")));
    let (on_the_node, others): (Vec<_>, Vec<_>) =
        pods.partition(|pod| pod["spec"]["hostNetwork"] == true);
    create(
        plane,
        &json!({"apiVersion": "v1", "kind": "List", "items": others}),
    )
    .expect("restricted Pods");
    assert_eq!(on_the_node.len(), 1);
    create(plane, &on_the_node[0]).expect_err("the node's network");
    let well = pod(&helm.template(&json!({})).expect("a chart"));
    for (parent, field, value, named) in BROKEN {
        let mut broken = well.clone();
        broken.pointer_mut(parent).expect("an object")[*field] = value.clone();
        let said = create(plane, &broken).expect_err(field);
        let names_it = said.contains("PodSecurity \"restricted") && said.contains(named);
        assert!(names_it, "{field}: {said}");
    }
}

/// What a ReplicaSet would make of the Deployment.
fn pod(rendered: &str) -> Value {
    let mut objects = objects(rendered).into_iter();
    let deployment = objects.find(|object| object["kind"] == "Deployment");
    let template = &deployment.expect("a Deployment")["spec"]["template"];
    let metadata = json!({"generateName": "tunnelguard-", "namespace": NAMESPACE, "labels": template["metadata"]["labels"]});
    let mut spec = template["spec"].clone();
    // A class that this cluster does not have.
    spec.as_object_mut()
        .expect("a spec")
        .remove("priorityClassName");
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
}

/// What is said of Pods; none is made.
fn create(plane: &ControlPlane, pod: &Value) -> Result<String, String> {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), pod.to_string()).expect("a file");
    let flags = ["create", "--dry-run=server", "--validate=strict", "-f"];
    printed(
        plane
            .kubectl(flags)
            .arg(file.path())
            .output()
            .expect("kubectl runs"),
    )
}
