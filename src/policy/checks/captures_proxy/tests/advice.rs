//! What is to be done about a Sidecar behind which a proxy is captured.

use serde_json::{Value, json};

use crate::mesh::simulation::{IstioVersion, OutboundPolicy};
use crate::mesh::{MeshView, Sidecar};
use crate::policy::check::Context;
use crate::policy::checks::captures_proxy::CHECK;
use crate::policy::checks::testing::{context, entries, policies};
use crate::policy::evaluator::evaluate;
use crate::policy::finding::Finding;

const API: &str = "metadata: {name: api, namespace: a}
spec: {hosts: [api.test], ports: [{number: 3129, name: p, protocol: HTTP}]}";

const PROTECTS: &str = "metadata: {name: protects, namespace: egress}
spec: {hosts: [other.corp], addresses: [10.20.0.6], ports: [{number: 3129, name: p, protocol: TCP}]}";

/// The findings about the first of some entries, beside one Sidecar in `b`.
fn found(documents: &[&str], hosts: &[&str], adapt: impl FnOnce(&mut Context<'_>)) -> Vec<Finding> {
    let sidecar = json!({
        "metadata": {"name": "default", "namespace": "b"}, "spec": {"egress": [{"hosts": hosts}]},
    });
    found_beside(documents, &[sidecar], adapt)
}

fn found_beside(
    documents: &[&str],
    sidecars: &[Value],
    adapt: impl FnOnce(&mut Context<'_>),
) -> Vec<Finding> {
    let all = entries(&documents.join("\n---\n"));
    let mut mesh = MeshView::new();
    for entry in &all {
        mesh.upsert(entry.clone());
    }
    for sidecar in sidecars {
        mesh.upsert_sidecar(Sidecar::read(sidecar).unwrap());
    }
    let policies = policies();
    let mut context = context(&policies, &mesh, OutboundPolicy::default());
    adapt(&mut context);
    let mut findings = evaluate(&all[0], context);
    findings.retain(|finding| finding.check == CHECK.id);
    findings
}

#[test]
fn what_hides_is_taken_out_and_what_is_not_shown_is_added() {
    let add = "Add egress/other.corp to the egress hosts of that Sidecar";
    let private = PROTECTS.replace("namespace: egress}", "namespace: a}");
    let private = private.replace("{hosts", "{exportTo: [.], hosts");
    for (hosts, others, expected) in [
        (&["a/*"][..], &[PROTECTS][..], add),
        (&["a/*", "~other/*"], &[PROTECTS], add),
        (
            &["*/*", "~egress/*"],
            &[PROTECTS],
            "Take ~egress/* out of the egress hosts of that Sidecar",
        ),
        (
            &["a/*", "egress/other.corp", "~*/*.corp", "~egress/*"],
            &[PROTECTS],
            "Take ~*/*.corp and ~egress/* out of the egress hosts of that Sidecar",
        ),
        (
            &["a/*", "~egress/*"],
            &[PROTECTS],
            "Take ~egress/* out of the egress hosts of that Sidecar, and add egress/other.corp to them",
        ),
        // Beside one that no client of the Sidecar is to see.
        (&["a/api.test"], &[&private, PROTECTS], add),
    ] {
        let findings = found(&[&[API], others].concat(), hosts, |_| {});
        let [finding] = &findings[..] else {
            panic!("one finding: {hosts:?} {findings:?}");
        };
        assert_eq!(finding.edit, expected, "{hosts:?}");
        let opening = |text: &str| text.split(' ').nth(1).map(str::to_owned);
        assert_eq!(
            opening(&finding.brief.edit),
            opening(expected),
            "{hosts:?}: {}",
            finding.brief.edit
        );
    }
}

#[test]
fn a_tilde_is_a_namespace_to_an_older_istio() {
    let older = |context: &mut Context<'_>| context.environment.version = IstioVersion::OLDEST;
    let shows = ["*/*", "~egress/*"];
    assert!(found(&[API, PROTECTS], &shows, older).is_empty());
}

/// A Sidecar hides nothing from clients that nobody means to show it.
#[test]
fn what_is_not_exported_there_is_hidden_by_no_sidecar() {
    let named = "n0, n1, n2, n3, n4, n5, n6, n7";
    let api = API.replace("{hosts", &format!("{{exportTo: [{named}, b], hosts"));
    let protects = PROTECTS.replace("{hosts", &format!("{{exportTo: [{named}], hosts"));
    for hosts in [&["a/*"][..], &["*/*"]] {
        let findings = found(&[&api, &protects], hosts, |_| {});
        let [finding] = &findings[..] else {
            panic!("one finding: {hosts:?} {findings:?}");
        };
        let (message, edit) = (finding.message(), &finding.edit);
        assert!(
            message.contains("for clients of Sidecar b/default"),
            "{message}"
        );
        assert!(!message.contains("which hides"), "{message}");
        let expected = "Leave this entry and add, where that Sidecar shows it: {apiVersion";
        assert!(edit.starts_with(expected), "{edit}");
    }
    let everywhere = found(&[&api, PROTECTS], &["*/*"], |_| {});
    assert!(everywhere.is_empty(), "{everywhere:?}");
}

#[test]
fn where_not_all_is_seen_the_sidecar_may_show_another() {
    let partly = |context: &mut Context<'_>| context.sees_mesh = false;
    let findings = found(&[API, PROTECTS], &["a/*"], partly);
    let message = findings[0].message();
    let hedge =
        "hides ServiceEntry egress/protects unless that Sidecar shows another TCP entry for it.";
    assert!(message.contains(hedge), "{message}");
    assert_eq!(
        findings[0].brief.edit,
        "add egress/other.corp to its egress hosts if it shows no other"
    );
}

/// Those that hide nothing do not keep one that does from being found, in whatever order they came.
#[test]
fn one_of_many_that_differ_is_found() {
    let sidecar = |index| {
        let egress = if index == 99 { "b" } else { "egress" };
        let own = format!("own-{index}/*");
        let hosts = ["a/*".to_owned(), format!("{egress}/*"), own];
        let name = format!("s-{index:03}");
        json!({"metadata": {"name": name, "namespace": "b"}, "spec": {
            "workloadSelector": {"labels": {"app": name}}, "egress": [{"hosts": hosts}],
        }})
    };
    let mut sidecars: Vec<Value> = (0..100).map(sidecar).collect();
    for _ in 0..2 {
        let findings = found_beside(&[API, PROTECTS], &sidecars, |_| {});
        let message = findings[0].message();
        assert!(message.contains("Sidecar b/s-099"), "{message}");
        assert!(!message.contains("there may be more"), "{message}");
        sidecars.reverse();
    }
}
