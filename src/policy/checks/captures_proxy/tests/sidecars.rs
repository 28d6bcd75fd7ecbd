//! A Sidecar shows its clients the HTTP entry and hides what protects the proxy.

use serde_json::{Value, json};

use crate::mesh::simulation::OutboundPolicy;
use crate::mesh::{MeshView, Sidecar};
use crate::policy::checks::captures_proxy::CHECK;
use crate::policy::checks::testing::{context, entries, policies, table};
use crate::policy::evaluator::evaluate;

use super::PROTECTED;

/// A Sidecar of a third namespace, beside the entry and what protects the proxy.
#[test]
fn rows() {
    let port = "ports: [{number: 3129, name: p, protocol: HTTP}]";
    let own = "metadata: {name: own, namespace: b}\nspec: {hosts: [own.corp], addresses: [10.20.0.6], ports: [{number: 3129, name: p, protocol: TCP}]}";
    let beside = |spec: &str, others: &[&str]| {
        let api = format!(
            "metadata: {{name: api, namespace: a}}\nspec: {{hosts: [api.test], {spec}{port}}}"
        );
        let protects = PROTECTED.replace("{name: protects}", "{name: protects, namespace: egress}");
        let sidecar = |egress: &&str| {
            let (namespace, spec) = egress.split_once(' ').unwrap();
            format!(
                "kind: Sidecar\nmetadata: {{name: s{}, namespace: {namespace}}}\nspec: {spec}",
                spec.len()
            )
        };
        let sidecars = others
            .iter()
            .map(|other| match other.starts_with("metadata") {
                true => (*other).to_owned(),
                false => sidecar(other),
            });
        let sidecars: Vec<String> = sidecars.collect();
        [&[api, protects], &sidecars[..]].concat().join("\n---\n")
    };
    let hides = "b {egress: [{hosts: [a/*]}]}";
    let selecting = "b {workloadSelector: {labels: {app: web}}, egress: [{hosts: [a/*]}]}";
    for (name, spec, others, expected) in [
        ("none", "", &[][..], ""),
        ("hides the TCP entry", "", &[hides], "error"),
        (
            "shows it by namespace",
            "",
            &["b {egress: [{hosts: [a/*, egress/*]}]}"],
            "",
        ),
        (
            "shows it by host",
            "",
            &["b {egress: [{hosts: [a/*, '*/other.corp']}]}"],
            "",
        ),
        (
            "shows another host",
            "",
            &["b {egress: [{hosts: [a/*, '*/another.corp']}]}"],
            "error",
        ),
        (
            "shows everything",
            "",
            &["b {egress: [{hosts: ['*/*']}]}"],
            "",
        ),
        (
            "hides the HTTP entry too",
            "",
            &["b {egress: [{hosts: [./*]}]}"],
            "",
        ),
        (
            "names the HTTP entry",
            "",
            &["b {egress: [{hosts: [./*, '*/api.test']}]}"],
            "error",
        ),
        (
            "covers the HTTP entry",
            "",
            &["b {egress: [{hosts: ['*/*.test']}]}"],
            "error",
        ),
        (
            "covers another",
            "",
            &["b {egress: [{hosts: ['*/*.example']}]}"],
            "",
        ),
        (
            "hides it by a tilde",
            "",
            &["b {egress: [{hosts: ['*/*', ~egress/*]}]}"],
            "error",
        ),
        (
            "the namespace has a TCP entry of its own",
            "",
            &["b {egress: [{hosts: [./*, a/*]}]}", own],
            "",
        ),
        (
            "the other namespace has none",
            "",
            &[
                "b {egress: [{hosts: [./*, a/*]}]}",
                own,
                "c {egress: [{hosts: [./*, a/*]}]}",
            ],
            "error",
        ),
        ("of selected clients", "", &[selecting], "error"),
        (
            "of others than those selected",
            "",
            &["b {egress: [{hosts: ['*/*']}]}", selecting],
            "error",
        ),
        (
            "selects and shows it",
            "",
            &["b {workloadSelector: {labels: {app: web}}, egress: [{hosts: [a/*, egress/*]}]}"],
            "",
        ),
        (
            "an older one is for all",
            "",
            &["b {egress: [{hosts: [a/*, egress/*]}]}", hides],
            "",
        ),
        (
            "has its own listener for the port",
            "",
            &["b {egress: [{port: {number: 3129, protocol: TCP}, hosts: [a/*]}, {hosts: [a/*]}]}"],
            "",
        ),
        (
            "has one for another port",
            "",
            &["b {egress: [{port: {number: 80, protocol: HTTP}, hosts: [a/*]}, {hosts: [a/*]}]}"],
            "error",
        ),
        (
            "shows the HTTP entry on another port alone",
            "",
            &["b {egress: [{port: {number: 80, protocol: HTTP}, hosts: [a/*]}]}"],
            "",
        ),
        (
            "in the root namespace, for all without their own",
            "",
            &["istio-system {egress: [{hosts: [a/*]}]}"],
            "error",
        ),
        (
            "in the root namespace, and shows it",
            "",
            &["istio-system {egress: [{hosts: [a/*, egress/*]}]}"],
            "",
        ),
        (
            "the one of the root namespace shows neither",
            "",
            &["istio-system {egress: [{hosts: [other/*]}]}", hides],
            "error",
        ),
        (
            "the namespace does not see the HTTP entry",
            "exportTo: [., c], ",
            &[hides],
            "",
        ),
        (
            "exported to its namespace, and selects",
            "exportTo: [., b], ",
            &[selecting],
            "error",
        ),
    ] {
        table(&CHECK, &[(name, &beside(spec, others), expected)]);
    }
}

/// What is said of an API that every namespace sees, beside so many Sidecars.
fn said(sidecars: &[(&str, Value)]) -> Vec<(String, String)> {
    let api = "metadata: {name: api, namespace: a}\nspec: {hosts: [api.test], ports: [{number: 3129, name: p, protocol: HTTP}]}";
    let all = format!("{api}\n---\n{PROTECTED}");
    let all = entries(&all.replace("{name: protects}", "{name: protects, namespace: egress}"));
    let mut mesh = MeshView::new();
    for entry in &all {
        mesh.upsert(entry.clone());
    }
    for (namespace, egress) in sidecars {
        let sidecar = Sidecar::read(&json!({
            "metadata": {"name": "default", "namespace": namespace}, "spec": {"egress": egress},
        }));
        mesh.upsert_sidecar(sidecar.unwrap());
    }
    let policies = policies();
    let findings = evaluate(
        &all[0],
        context(&policies, &mesh, OutboundPolicy::default()),
    );
    let own = findings.iter().filter(|finding| finding.check == CHECK.id);
    own.map(|finding| (finding.message(), finding.brief_about(40).to_string()))
        .collect()
}

#[test]
fn the_sidecar_and_what_it_is_to_show_are_named() {
    let [(long, short)] = &said(&[("b", json!([{"hosts": ["a/*"]}]))])[..] else {
        panic!("one finding");
    };
    assert_eq!(
        long,
        "HTTP on port 3129 is for every destination, so CONNECT through other (10.20.0.6:3129, declared by policy corporate), which this entry does not claim, gets 404 for clients of Sidecar b/default, which hides ServiceEntry egress/protects. Add egress/other.corp to the egress hosts of that Sidecar."
    );
    assert_eq!(
        short,
        "HTTP: CONNECT to other on the same port gets 404 behind Sidecar b/default; add egress/other.corp to its egress hosts"
    );
}

/// Of what many have in common a few are looked at, in an order of their own, whoever came first.
#[test]
fn among_many_that_hide_nothing_one_is_found() {
    let showing = json!([{"hosts": ["./*", "a/*", "egress/*"]}]);
    let names: Vec<String> = (0..500).map(|index| format!("c-{index}")).collect();
    let mut sidecars: Vec<(&str, Value)> = names
        .iter()
        .map(|name| (&**name, showing.clone()))
        .collect();
    assert_eq!(said(&sidecars), []);
    sidecars.push(("z", json!([{"hosts": ["./*", "a/*"]}])));
    sidecars.push(("y", json!([{"hosts": ["./*", "a/*"]}])));
    let found = said(&sidecars);
    assert!(found[0].0.contains("Sidecar y/default"), "{found:?}");
    sidecars.reverse();
    assert_eq!(said(&sidecars), found);
}
