//! Dry runs of every row.

use serde_json::json;

use super::row::Row;
use crate::harness::{Answer, CelPolicies, ControlPlane, Repair, Writer};

/// What `policy.yaml` has beside the examples, in the words of the CEL policies.
const AS_IN_POLICY_YAML: [(&str, &str); 3] = [
    (
        "'ports': ['8443']}]",
        "'ports': ['8443']}, {'name': ['six-squid'], 'hosts': [], 'addresses': ['2001:db8::5/128'], 'ports': ['3131']}]",
    ),
    ("team-a/old-proxy", "comparison/exempt"),
    ("2027-03-31", "2026-01-31"),
];

/// Stores what the updates replace, while nobody judges.
pub(super) fn store(plane: &ControlPlane, rows: &[Row]) {
    for row in rows {
        if let Some(old) = &row.old {
            let mut object = row.object.clone();
            object["spec"] = old.clone();
            plane.apply(&object.to_string());
        }
    }
}

/// What the API server says to each row.
pub(super) fn asked(plane: &ControlPlane, rows: &[Row]) -> Vec<Answer> {
    let jane = Writer::new(plane, "jane");
    let answers = rows.iter().map(|row| match row.old {
        Some(_) => jane.replaces(&row.object),
        None => jane.creates(&row.object),
    });
    answers.collect()
}

/// The same, with the CEL policies in force.
pub(super) fn with_policies(plane: &ControlPlane, repair: Repair, rows: &[Row]) -> Vec<Answer> {
    let _in_force = CelPolicies::apply(plane, repair, &AS_IN_POLICY_YAML);
    asked(plane, rows)
}

/// With a hundred proxies on a port, an entry that the CRD allows costs more than an expression may.
pub(super) fn exceeds_the_budget(plane: &ControlPlane) {
    let proxies = (0..100).map(|n| {
        format!(", {{'name': ['p{n}'], 'hosts': ['p{n}.corp'], 'addresses': ['10.21.0.{n}/32'], 'ports': ['3128']}}")
    });
    let proxies = format!("'ports': ['8443']}}{}]", proxies.collect::<String>());
    let edits = [("'ports': ['8443']}]", &*proxies)];
    let _in_force = CelPolicies::apply(plane, Repair::None, &edits);
    let hosts = (0..256).map(|n| format!("api-{n}.example.com"));
    let addresses = (0..256).map(|n| format!("10.40.0.{n}"));
    let api = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry",
        "metadata": {"name": "large", "namespace": "default"},
        "spec": {
            "hosts": hosts.collect::<Vec<_>>(), "addresses": addresses.collect::<Vec<_>>(),
            "ports": [{"name": "http", "number": 3128, "protocol": "HTTP"}], "resolution": "NONE",
        },
    });
    let answer = Writer::new(plane, "jane").creates(&api);
    assert!(
        answer.message().contains("operation cancelled"),
        "{answer:?}"
    );
}
