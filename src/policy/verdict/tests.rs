//! The truth table of the verdict: settings × old object × object.

use jiff::civil::date;
use serde_json::{Value, json};

use super::{judge, leaves_an_error, would_be_repaired};
use crate::mesh::{MeshView, ServiceEntry};
use crate::policy::check::Context;
use crate::policy::compile::PolicySet;
use crate::policy::evaluate;

const SAFE: &str = "{hosts: [proxy.corp], addresses: [10.20.0.5], ports: [{number: 3128, name: p, protocol: HTTP}]}";
const UNSAFE: &str =
    "{hosts: [proxy.corp], resolution: DNS, ports: [{number: 3128, name: p, protocol: HTTP}]}";
const FRAGILE: &str = "{hosts: [proxy.corp], ports: [{number: 3128, name: p, protocol: TCP}]}";
const HIJACKS: &str =
    "{hosts: [proxy.corp], resolution: DNS, ports: [{number: 3128, name: p, protocol: TCP}]}";
const GOOD: &str = "{hosts: [proxy.corp], addresses: [10.20.0.5], ports: [{number: 3128, name: p, protocol: TCP}]}";
const SUSPECT: &str = "{hosts: [squid.test], addresses: [10.9.9.9], ports: [{number: 8080, name: p, protocol: HTTP}]}";
const CAPTURES: &str = "{hosts: [api.test], ports: [{number: 3128, name: p, protocol: HTTP}]}";

fn entry(spec: &str) -> ServiceEntry {
    let spec: Value = serde_saphyr::from_str(spec).unwrap();
    let metadata = json!({"name": "e", "namespace": "team"});
    serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap()
}

/// What happens to `spec` under a policy's `settings`: the mutation, then the verdict on the
/// object as it was sent.
fn outcome(settings: &str, old: Option<&str>, spec: &str) -> String {
    let mut policy: Value = serde_saphyr::from_str(settings).unwrap();
    policy["proxies"] = json!([{
        "name": "corp", "hosts": ["proxy.corp"], "addresses": ["10.20.0.5"], "ports": [3128, 3129]
    }]);
    let document = serde_json::from_value(json!({
        "apiVersion": "tunnelguard.dev/v1alpha1", "kind": "ConnectProxyPolicy",
        "metadata": {"name": "corporate"}, "spec": policy,
    }));
    let policies = PolicySet::compile(&[document.unwrap()]).unwrap();
    let mesh = MeshView::new();
    let context = Context {
        policies: &policies,
        mesh: &mesh,
        sees_mesh: false,
        namespaces: None,
        environment: crate::mesh::Environment::default(),
    };
    let today = date(2026, 11, 21);
    let entry = entry(spec);
    let findings = evaluate(&entry, context);
    let repaired = would_be_repaired(&findings, &entry, &context, today);
    let old = old.map(self::entry);
    let known = old.as_ref().map(|old| evaluate(old, context));
    let old = old.as_ref().zip(known.as_deref());
    let verdict = judge(findings, &entry, old, &context, today);
    let mut words = vec![if repaired { "repaired" } else { "untouched" }];
    words.push(match (verdict.is_allowed(), verdict.warned.is_empty()) {
        (false, _) => "denied",
        (true, false) => "warned",
        (true, true) => "allowed",
    });
    if !verdict.expired.is_empty() {
        words.push("expired");
    }
    words.join(" ")
}

#[test]
fn truth_table() {
    let over = "{mode: Mutate, overrides: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: team}}, mode: MODE}]}";
    let over = |mode: &str| over.replace("MODE", mode);
    let exempt =
        |rest: &str| format!("{{mode: Enforce, exemptions: [{{reason: r, owner: o, {rest}}}]}}");
    let rows: Vec<(String, Option<&str>, &str, &str)> = vec![
        // Mode × what the finding is.
        ("{mode: Off}".into(), None, SAFE, "untouched allowed"),
        ("{mode: Audit}".into(), None, SAFE, "untouched warned"),
        ("{mode: Mutate}".into(), None, SAFE, "repaired denied"),
        ("{mode: Enforce}".into(), None, SAFE, "untouched denied"),
        ("{mode: Audit}".into(), None, UNSAFE, "untouched warned"),
        ("{mode: Mutate}".into(), None, UNSAFE, "untouched denied"),
        (
            "{mode: Mutate, onUnsafe: Audit}".into(),
            None,
            UNSAFE,
            "untouched warned",
        ),
        ("{mode: Enforce}".into(), None, UNSAFE, "untouched denied"),
        ("{mode: Enforce}".into(), None, FRAGILE, "untouched warned"),
        ("{mode: Enforce}".into(), None, GOOD, "untouched allowed"),
        ("{}".into(), None, SAFE, "untouched warned"),
        // Ceilings.
        ("{mode: Enforce}".into(), None, SUSPECT, "untouched warned"),
        (
            "{mode: Enforce, suspected: {mode: Off}}".into(),
            None,
            SUSPECT,
            "untouched allowed",
        ),
        ("{mode: Enforce}".into(), None, CAPTURES, "untouched warned"),
        (
            "{mode: Enforce, checks: {TG013: {mode: Off}}}".into(),
            None,
            CAPTURES,
            "untouched allowed",
        ),
        (
            "{mode: Enforce, checks: {TG001: {mode: Audit}}}".into(),
            None,
            SAFE,
            "untouched warned",
        ),
        (
            "{mode: Enforce, checks: {TG001: {mode: Mutate}}}".into(),
            None,
            SAFE,
            "repaired denied",
        ),
        // Overrides.
        (over("Enforce"), None, SAFE, "untouched denied"),
        (over("Audit"), None, SAFE, "untouched warned"),
        (over("Off"), None, SAFE, "untouched allowed"),
        (
            over("Audit").replace("team}", "other}"),
            None,
            SAFE,
            "repaired denied",
        ),
        // Exemptions.
        (exempt("checks: [TG001]"), None, SAFE, "untouched allowed"),
        (exempt("checks: [TG002]"), None, SAFE, "untouched denied"),
        (exempt("namespace: 'te*'"), None, SAFE, "untouched allowed"),
        (exempt("namespace: prod"), None, SAFE, "untouched denied"),
        (
            exempt("expires: 2026-11-21"),
            None,
            SAFE,
            "untouched allowed",
        ),
        (
            exempt("expires: 2026-11-20"),
            None,
            SAFE,
            "untouched denied expired",
        ),
        (
            exempt("expires: 2026-11-20").replace("Enforce", "Audit"),
            None,
            SAFE,
            "untouched warned expired",
        ),
        // The ratchet.
        (
            "{mode: Enforce}".into(),
            Some(SAFE),
            SAFE,
            "untouched warned",
        ),
        (
            "{mode: Enforce, existing: Enforce}".into(),
            Some(SAFE),
            SAFE,
            "untouched denied",
        ),
        (
            "{mode: Enforce}".into(),
            Some(GOOD),
            SAFE,
            "untouched denied",
        ),
        (
            "{mode: Enforce}".into(),
            Some("{hosts: [proxy.corp], addresses: [10.20.0.5], ports: [{number: 3128, name: p}]}"),
            SAFE,
            "untouched warned",
        ),
        (
            "{mode: Enforce}".into(),
            Some(
                "{hosts: [proxy.corp], addresses: [10.20.0.5], ports: [{number: 3129, name: p, protocol: HTTP}]}",
            ),
            SAFE,
            "untouched denied",
        ),
        (
            "{mode: Enforce}".into(),
            Some(
                "{hosts: [a.corp], addresses: [10.20.0.5], ports: [{number: 3128, name: p, protocol: HTTP}]}",
            ),
            SAFE,
            "untouched denied",
        ),
        (
            "{mode: Enforce}".into(),
            Some(
                "{hosts: [proxy.corp], addresses: [10.20.0.5], exportTo: [.], ports: [{number: 3128, name: p, protocol: HTTP}]}",
            ),
            SAFE,
            "untouched denied",
        ),
        (
            "{mode: Enforce}".into(),
            Some(FRAGILE),
            HIJACKS,
            "untouched denied",
        ),
        (
            "{mode: Enforce}".into(),
            Some(HIJACKS),
            HIJACKS,
            "untouched warned",
        ),
        // … which forgives what does not reach further than before.
        (
            "{mode: Enforce}".into(),
            Some(
                "{hosts: [Proxy.corp.], addresses: [10.20.0.0/24], exportTo: [.], ports: [{number: 3128, name: p, protocol: HTTP}]}",
            ),
            "{hosts: [proxy.corp], addresses: [10.20.0.5/32], exportTo: [team], ports: [{number: 3128, name: p, protocol: HTTP}]}",
            "untouched warned",
        ),
        (
            "{mode: Enforce}".into(),
            Some(
                "{hosts: [proxy.corp], addresses: [10.20.0.5], resolution: STATIC, ports: [{number: 3128, name: p, protocol: TCP}, {number: 3129, name: q, protocol: TCP}]}",
            ),
            "{hosts: [proxy.corp], addresses: [10.20.0.5], resolution: STATIC, ports: [{number: 3129, name: q, protocol: TCP}]}",
            "untouched warned",
        ),
        (
            "{mode: Enforce}".into(),
            Some(
                "{hosts: [proxy.corp], addresses: [10.20.0.5], resolution: STATIC, ports: [{number: 3128, name: p, protocol: TCP}]}",
            ),
            "{hosts: [proxy.corp], addresses: [10.20.0.5], resolution: STATIC, ports: [{number: 3128, name: p, protocol: TCP}, {number: 3129, name: q, protocol: TCP}]}",
            "untouched denied",
        ),
        // One port can be repaired, the other cannot: neither repaired nor held against it.
        (
            "{mode: Mutate, onUnsafe: Audit}".into(),
            None,
            "{hosts: [proxy.corp], addresses: [10.20.0.5], ports: [{number: 3128, name: p, protocol: HTTP}, {number: 3129, name: q, protocol: HTTP, targetPort: 80}]}",
            "untouched warned",
        ),
        (
            "{mode: Mutate}".into(),
            None,
            "{hosts: [proxy.corp], addresses: [10.20.0.5], ports: [{number: 3128, name: p, protocol: connect}, {number: 3129, name: q, protocol: squid}]}",
            "repaired denied",
        ),
        (
            "{mode: Enforce}".into(),
            Some("{hosts: [proxy.corp], ports: [{number: 3128, name: p, protocol: HTTP}]}"),
            SAFE,
            "untouched warned",
        ),
    ];
    for (settings, old, spec, expected) in rows {
        assert_eq!(
            outcome(&settings, old, spec),
            expected,
            "{settings} {old:?} {spec}"
        );
    }
}

#[test]
fn a_repair_that_leaves_an_error_is_known() {
    let findings = |spec: &str| {
        let policies = PolicySet::built_in();
        let mesh = MeshView::new();
        let context = Context {
            policies: &policies,
            mesh: &mesh,
            sees_mesh: false,
            namespaces: None,
            environment: crate::mesh::Environment::default(),
        };
        let entry = entry(spec);
        let findings = evaluate(&entry, context);
        leaves_an_error(&findings, &entry, &context, date(2026, 11, 21))
    };
    // Name evidence is capped at Audit and stands in nobody's way.
    assert!(!findings(SUSPECT));
}

#[test]
fn a_weaker_policy_lends_its_settings_to_no_other() {
    let policy = |name: &str, settings: Value| {
        let mut spec = settings;
        spec["proxies"] = json!([{"name": name, "hosts": ["proxy.corp"], "ports": [3128]}]);
        serde_json::from_value(json!({
            "apiVersion": "tunnelguard.dev/v1alpha1", "kind": "ConnectProxyPolicy",
            "metadata": {"name": name}, "spec": spec,
        }))
        .unwrap()
    };
    let documents = [
        policy("lenient", json!({"mode": "Mutate", "onUnsafe": "Audit"})),
        policy("silent", json!({"mode": "Audit", "existing": "Enforce"})),
    ];
    let policies = PolicySet::compile(&documents).unwrap();
    let mesh = MeshView::new();
    let context = Context {
        policies: &policies,
        mesh: &mesh,
        sees_mesh: false,
        namespaces: None,
        environment: crate::mesh::Environment::default(),
    };
    let entry = entry(UNSAFE);
    let findings = evaluate(&entry, context);
    let verdict = judge(findings, &entry, None, &context, date(2026, 11, 21));
    assert!(
        verdict.is_allowed() && !verdict.warned.is_empty(),
        "{verdict:?}"
    );
}
