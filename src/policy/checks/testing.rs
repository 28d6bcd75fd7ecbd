//! The table that every check is tested with.
//!
//! A row is a name, a `spec` (or several whole documents) and what the check says of it:
//! nothing, or its severity and the safety of its fix.

use serde_json::{Value, json};

use crate::mesh::kubernetes::read_service;
use crate::mesh::simulation::{Environment, OutboundPolicy};
use crate::mesh::{DestinationRule, MeshView, ServiceEntry, Sidecar};
use crate::policy::check::{Check, Context};
use crate::policy::compile::PolicySet;
use crate::policy::evaluator::{evaluate, evaluate_mesh};
use crate::policy::spec::ConnectProxyPolicy;

/// The proxies that the rows speak of.
pub(crate) fn policies() -> PolicySet {
    let document = json!({
        "apiVersion": "tunnelguard.dev/v1alpha1",
        "kind": "ConnectProxyPolicy",
        "metadata": {"name": "corporate"},
        "spec": {"mode": "Mutate", "proxies": [
            {"name": "corp", "hosts": ["proxy.corp", "*.proxy.corp"], "addresses": ["10.20.0.5"], "ports": [3128]},
            {"name": "other", "hosts": ["other.corp"], "addresses": ["10.20.0.6"], "ports": [3128, 3129]},
            {"name": "pair", "hosts": ["pair.corp"], "addresses": ["10.20.0.7", "10.20.0.8"], "ports": [8118]},
            {"name": "tls", "hosts": ["tls.corp"], "addresses": ["10.20.0.9"], "ports": [8443], "tls": true},
            {"name": "tunnel", "hosts": ["tunnel.corp"], "addresses": ["10.20.0.10"], "ports": [8888], "tunnel": true},
        ]}
    });
    let document: ConnectProxyPolicy = serde_json::from_value(document).unwrap();
    PolicySet::compile(&[document]).unwrap()
}

/// Checks every row; `REGISTRY_ONLY` in a row's name sets the outbound policy.
pub(crate) fn table(check: &Check, rows: &[(&str, &str, &str)]) {
    for (name, yaml, expected) in rows {
        let found = verdict(check, name, yaml);
        assert_eq!(found, *expected, "{}: {name}", check.id);
    }
}

fn verdict(check: &Check, name: &str, yaml: &str) -> String {
    let policies = policies();
    let entries = entries(yaml);
    let mut mesh = MeshView::new();
    for entry in &entries {
        mesh.upsert(entry.clone());
    }
    for object in objects(yaml) {
        match object["kind"].as_str() {
            Some("DestinationRule") => {
                mesh.upsert_destination_rule(DestinationRule::read(&object).unwrap());
            }
            Some("Sidecar") => mesh.upsert_sidecar(Sidecar::read(&object).unwrap()),
            _ => {}
        }
    }
    // Of two words the longer one: ALLOW_ANY begins another.
    let mut named = OutboundPolicy::ALL.to_vec();
    named.retain(|(word, _)| name.contains(word));
    let named = named.into_iter().max_by_key(|(word, _)| word.len());
    let outbound = named.map(|(_, policy)| policy).unwrap_or_default();
    let context = context(&policies, &mesh, outbound);
    let mut findings: Vec<_> = entries
        .iter()
        .flat_map(|entry| evaluate(entry, context))
        .collect();
    let of_mesh = evaluate_mesh(context, &findings);
    findings.extend(of_mesh);
    let words = findings
        .iter()
        .filter(|finding| finding.check == check.id)
        .map(|finding| {
            let fix = match &finding.fix {
                None => "",
                Some(fix) if fix.is_safe() => ", safe",
                Some(_) => ", unsafe",
            };
            format!("{}{fix}", finding.severity)
        });
    words.collect::<Vec<_>>().join("; ")
}

/// What a check goes by, with all of the mesh in view.
pub(crate) fn context<'a>(
    policies: &'a PolicySet,
    mesh: &'a MeshView,
    outbound: OutboundPolicy,
) -> Context<'a> {
    Context {
        policies,
        mesh,
        sees_mesh: true,
        namespaces: None,
        environment: Environment {
            outbound,
            names: Some(policies.proxies.names()),
            ..Environment::default()
        },
    }
}

/// The entries of a row, Services among them.
pub(crate) fn entries(yaml: &str) -> Vec<ServiceEntry> {
    let entries = objects(yaml).filter_map(|object| match object["kind"].as_str() {
        Some("DestinationRule" | "Sidecar") => None,
        Some("Service") => read_service(&object).unwrap(),
        _ => Some(serde_json::from_value(object).unwrap()),
    });
    entries.collect()
}

fn objects(yaml: &str) -> impl Iterator<Item = Value> {
    let documents = yaml.split("\n---\n").enumerate();
    documents.map(|(index, text)| {
        let value: Value = serde_saphyr::from_str(text).unwrap_or_else(|e| panic!("{text}\n{e}"));
        match value.get("spec") {
            Some(_) => value,
            None => json!({"metadata": {"name": format!("entry-{index}")}, "spec": value}),
        }
    })
}
