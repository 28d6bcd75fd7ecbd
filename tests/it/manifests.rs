//! The webhook configurations hold the values that they were tried with on a real API server: one that drifts
//! opens a hole, adds calls to every request, or shuts users out, and no unit test would notice.

use serde_json::{Value, json};
use tunnelguard::mesh::service_entry::GROUP;

use crate::support::{installed, repository, run, text_of};

const MUTATING: &str = "MutatingWebhookConfiguration";
const VALIDATING: &str = "ValidatingWebhookConfiguration";

/// A pointer into a configuration, and what stands there; null: nothing does.
type Row = (&'static str, Value);

fn in_both(kind: &str) -> Vec<Row> {
    let labels = json!({
        "app.kubernetes.io/name": "tunnelguard",
        "app.kubernetes.io/instance": "tunnelguard",
        "app.kubernetes.io/version": env!("CARGO_PKG_VERSION"),
        "app.kubernetes.io/component": "webhooks",
        "app.kubernetes.io/part-of": "tunnelguard"
    });
    let selector = json!({
        "matchExpressions": [{
            "key": "kubernetes.io/metadata.name",
            "operator": "NotIn",
            "values": ["kube-system", "kube-node-lease", "tunnelguard-system"]
        }]
    });
    let rule = json!({
        "apiGroups": [GROUP],
        "apiVersions": ["v1", "v1beta1", "v1alpha3"],
        "resources": ["serviceentries"],
        "operations": ["CREATE", "UPDATE"],
        "scope": "Namespaced"
    });
    let conditions = json!([
        {
            "name": "not-being-deleted",
            "expression": "oldObject == null || !has(oldObject.metadata) || \
                           !has(oldObject.metadata.deletionTimestamp)"
        },
        {
            "name": "spec-changes",
            "expression": "object == null || oldObject == null || \
                           has(object.spec) != has(oldObject.spec) || \
                           (has(object.spec) && object.spec != oldObject.spec)"
        }
    ]);
    vec![
        ("/apiVersion", json!("admissionregistration.k8s.io/v1")),
        ("/kind", json!(kind)),
        ("/metadata/name", json!("tunnelguard")),
        ("/metadata/namespace", Value::Null),
        ("/metadata/labels", labels),
        (
            "/metadata/annotations",
            json!({"admissions.enforcer/disabled": "true"}),
        ),
        (
            "/webhooks/0/clientConfig/service/name",
            json!("tunnelguard"),
        ),
        (
            "/webhooks/0/clientConfig/service/namespace",
            json!("tunnelguard-system"),
        ),
        ("/webhooks/0/clientConfig/service/port", json!(443)),
        ("/webhooks/0/clientConfig/caBundle", Value::Null),
        ("/webhooks/0/clientConfig/url", Value::Null),
        ("/webhooks/0/admissionReviewVersions", json!(["v1"])),
        ("/webhooks/0/sideEffects", json!("None")),
        ("/webhooks/0/matchPolicy", json!("Equivalent")),
        ("/webhooks/0/rules", json!([rule])),
        ("/webhooks/0/namespaceSelector", selector),
        ("/webhooks/0/objectSelector", Value::Null),
        ("/webhooks/0/matchConditions", conditions),
        ("/webhooks/0/timeoutSeconds", json!(5)),
        ("/webhooks/0/failurePolicy", json!("Ignore")),
    ]
}

fn in_mutating() -> Vec<Row> {
    vec![
        ("/webhooks/0/name", json!("mutate.tunnelguard.dev")),
        ("/webhooks/0/clientConfig/service/path", json!("/mutate")),
        ("/webhooks/0/reinvocationPolicy", json!("IfNeeded")),
    ]
}

fn in_validating() -> Vec<Row> {
    vec![
        ("/webhooks/0/name", json!("validate.tunnelguard.dev")),
        ("/webhooks/0/clientConfig/service/path", json!("/validate")),
        ("/webhooks/0/reinvocationPolicy", Value::Null),
    ]
    .into_iter()
    .chain(for_policies())
    .collect()
}

/// The entry for policies; where both entries say the same, it is said with the first.
fn for_policies() -> Vec<Row> {
    let rule = json!({
        "apiGroups": ["tunnelguard.dev"],
        "apiVersions": ["v1alpha1"],
        "resources": ["connectproxypolicies"],
        "operations": ["CREATE", "UPDATE"],
        "scope": "Cluster"
    });
    let own = [
        ("/webhooks/1/name", json!("validate-policy.tunnelguard.dev")),
        ("/webhooks/1/rules", json!([rule])),
        ("/webhooks/1/namespaceSelector", Value::Null),
        ("/webhooks/1/clientConfig/service/path", json!("/validate")),
    ];
    let same = [
        (
            "/webhooks/1/clientConfig/service/name",
            json!("tunnelguard"),
        ),
        (
            "/webhooks/1/clientConfig/service/namespace",
            json!("tunnelguard-system"),
        ),
        ("/webhooks/1/clientConfig/service/port", json!(443)),
        ("/webhooks/1/clientConfig/caBundle", Value::Null),
        ("/webhooks/1/admissionReviewVersions", json!(["v1"])),
        ("/webhooks/1/sideEffects", json!("None")),
        ("/webhooks/1/matchPolicy", json!("Equivalent")),
        ("/webhooks/1/objectSelector", Value::Null),
        ("/webhooks/1/timeoutSeconds", json!(5)),
        // Whatever the other says: a dead guard must not block mending its policy.
        ("/webhooks/1/failurePolicy", json!("Ignore")),
    ];
    let mut conditions = in_both(VALIDATING).into_iter();
    let conditions = conditions.find(|(pointer, _)| *pointer == "/webhooks/0/matchConditions");
    let (_, conditions) = conditions.expect("conditions");
    let conditions = [("/webhooks/1/matchConditions", conditions)];
    own.into_iter().chain(same).chain(conditions).collect()
}

fn both() -> [(&'static str, Value); 2] {
    [MUTATING, VALIDATING].map(|kind| (kind, installed(kind)))
}

fn strings(value: &Value, pointer: &str) -> Vec<String> {
    let list = value.pointer(pointer).and_then(Value::as_array);
    let list = list.unwrap_or_else(|| panic!("{pointer} is no list: {value}"));
    let texts = list.iter().map(|item| item.as_str().map(str::to_owned));
    texts.map(|text| text.expect("a string")).collect()
}

#[test]
fn every_value_is_the_one_that_was_tried() {
    for (kind, own) in [(MUTATING, in_mutating()), (VALIDATING, in_validating())] {
        let configuration = installed(kind);
        for (pointer, expected) in in_both(kind).into_iter().chain(own) {
            let found = configuration.pointer(pointer).cloned().unwrap_or_default();
            assert_eq!(found, expected, "{kind}: {pointer}");
        }
    }
}

#[test]
fn nothing_else_is_said() {
    for (kind, own) in [(MUTATING, in_mutating()), (VALIDATING, in_validating())] {
        let mut rest = installed(kind);
        for (pointer, _) in in_both(kind).into_iter().chain(own) {
            let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
            if let Some(parent) = rest.pointer_mut(parent).and_then(Value::as_object_mut) {
                parent.remove(key);
            }
        }
        let entries = installed(kind)["webhooks"].as_array().map_or(0, Vec::len);
        let empty = vec![json!({"clientConfig": {"service": {}}}); entries];
        let empty = json!({"metadata": {}, "webhooks": empty});
        assert_eq!(rest, empty, "{kind}: a field that this test does not know");
    }
}

#[test]
fn names_have_three_segments() {
    // Fewer are refused: `IsFullyQualifiedName`, k8s.io/apimachinery/pkg/util/validation.
    for (kind, configuration) in both() {
        for webhook in configuration["webhooks"].as_array().unwrap() {
            let name = webhook["name"].as_str().unwrap();
            let segments: Vec<&str> = name.split('.').collect();
            assert!(segments.len() >= 3, "{kind}: {name}");
            let is_label = |segment: &str| {
                let mut characters = segment.chars();
                !segment.is_empty()
                    && characters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
            };
            assert!(segments.into_iter().all(is_label), "{kind}: {name}");
        }
    }
}

#[test]
fn one_entry_asks_about_service_entries_only() {
    for (kind, configuration) in both() {
        let entries = configuration["webhooks"].as_array().unwrap();
        let about_entries =
            |webhook: &&Value| webhook["rules"].to_string().contains("serviceentries");
        let asked = entries.iter().filter(about_entries).count();
        assert_eq!(asked, 1, "{kind}: one call a webhook");
        let rules = &entries[0]["rules"];
        assert_eq!(rules.as_array().unwrap().len(), 1, "{kind}: one rule");
        assert!(!rules.to_string().contains('*'), "{kind}: {rules}");
        // `serviceentries/status` is istiod's to write.
        assert!(!rules.to_string().contains('/'), "{kind}: {rules}");
        // istio.io/api serves these three; one that is left out would pass without Equivalent.
        let mut versions = strings(&rules[0], "/apiVersions");
        versions.sort();
        assert_eq!(versions, ["v1", "v1alpha3", "v1beta1"], "{kind}");
    }
}

#[test]
fn its_own_namespace_is_excluded_and_both_call_one_service() {
    let [(_, mutating), (_, validating)] = both();
    let service = |configuration: &Value| {
        let mut service = configuration["webhooks"][0]["clientConfig"]["service"].clone();
        service.as_object_mut().unwrap().remove("path");
        service
    };
    assert_eq!(service(&mutating), service(&validating));
    let own = service(&mutating)["namespace"].as_str().unwrap().to_owned();
    for (kind, configuration) in both() {
        let expression = "/webhooks/0/namespaceSelector/matchExpressions/0";
        let expression = configuration.pointer(expression).unwrap();
        assert_eq!(expression["operator"], "NotIn", "{kind}");
        assert!(strings(expression, "/values").contains(&own), "{kind}");
    }
}

#[test]
fn conditions_are_guarded_and_never_look_at_a_protocol() {
    for (kind, configuration) in both() {
        let conditions = configuration["webhooks"][0]["matchConditions"].clone();
        for condition in conditions.as_array().unwrap() {
            let name = condition["name"].as_str().unwrap();
            let expression = condition["expression"].as_str().unwrap();
            // On CREATE there is no old object, and an error is a 403 under Fail.
            assert!(
                expression.contains("oldObject == null ||"),
                "{kind}: {name} does not say what holds without an old object"
            );
            for field in fields(expression) {
                assert!(
                    expression.contains(&format!("has({field})")),
                    "{kind}: {name} reads {field} without has()"
                );
            }
            // `namespaceObject` compiles and fails when it is read.
            for word in ["protocol", "ports", "namespaceObject", "userInfo"] {
                assert!(!expression.contains(word), "{kind}: {name} looks at {word}");
            }
        }
    }
}

/// `object.spec`, `oldObject.metadata.deletionTimestamp`: every field that an expression reads.
fn fields(expression: &str) -> Vec<&str> {
    let words = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '.'));
    let fields = words.filter(|word| word.starts_with("object.") || word.starts_with("oldObject."));
    fields.collect()
}

/// `make crd` writes it.
#[test]
fn the_definition_is_what_the_policys_types_say() {
    let printed = run(&repository(""), "crd", b"");
    assert_eq!(printed.status, Some(0), "{printed}");
    let written = text_of("manifests/chart/files/connectproxypolicy-crd.yaml");
    assert!(printed.stdout == written, "run `make crd`:\n{printed}");
}
