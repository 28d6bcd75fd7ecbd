//! Policies as objects of a cluster: judged when they are applied, several of them united, large ones.

pub(crate) mod many;
mod several;

use std::collections::BTreeMap;

use jiff::civil::{Date, date};
use serde::Deserialize;
use serde_json::{Value, json};
use tunnelguard::admission::{Decision, Judging, OnFailure, Record, Webhook, review};
use tunnelguard::policy::PolicySet;
use tunnelguard::policy::compile::Place;
use tunnelguard::policy::spec::ConnectProxyPolicy;
use tunnelguard::state::Snapshot;

use crate::support::text_of;

/// A policy of the cluster.
fn policy(name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "tunnelguard.dev/v1alpha1", "kind": "ConnectProxyPolicy",
        "metadata": {"name": name, "uid": name, "generation": 1}, "spec": spec,
    })
}

/// What is in force where these are.
fn in_force(policies: &[Value]) -> Snapshot {
    let documents = policies.iter().map(ConnectProxyPolicy::read);
    let documents: Vec<_> = documents.map(|read| read.expect("a policy")).collect();
    let policies = PolicySet::compile_where(&documents, Place::Cluster);
    Snapshot {
        policies: policies.expect("good ones").into(),
        ..Snapshot::default()
    }
}

/// The answer to a request on 2026-11-21, in bytes and as `response`, and what is logged of it.
fn answer(webhook: Webhook, request: &Value, snapshot: &Snapshot) -> (Vec<u8>, Value, Record) {
    answer_on(date(2026, 11, 21), webhook, request, snapshot)
}

fn answer_on(
    today: Date,
    webhook: Webhook,
    request: &Value,
    snapshot: &Snapshot,
) -> (Vec<u8>, Value, Record) {
    let body = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request,
    });
    let judging = Judging {
        context: snapshot.context(),
        today,
        on_failure: OnFailure::Deny,
    };
    let (bytes, record) =
        review(webhook, body.to_string().as_bytes(), judging).expect("it is a review");
    let mut answer: Value = serde_json::from_slice(&bytes).expect("JSON");
    (bytes, answer["response"].take(), record)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    about: String,
    spec: Value,
    old: Option<Value>,
    #[serde(default)]
    request: BTreeMap<String, Value>,
    #[serde(default)]
    metadata: BTreeMap<String, Value>,
    #[serde(default)]
    denied: Vec<String>,
    #[serde(default)]
    warned: Vec<String>,
}

impl Row {
    fn request(&self) -> Value {
        let mut object = policy("corporate", &self.spec);
        let old = self.old.as_ref().map(|old| policy("corporate", old));
        for (field, value) in &self.metadata {
            object["metadata"][field] = value.clone();
        }
        let mut request = json!({
            "uid": "u", "name": "corporate", "object": object, "oldObject": old,
            "kind": {"group": "tunnelguard.dev", "version": "v1alpha1", "kind": "ConnectProxyPolicy"},
            "operation": if self.old.is_some() { "UPDATE" } else { "CREATE" },
        });
        for (field, value) in &self.request {
            request[field] = value.clone();
        }
        request
    }
}

#[test]
fn policies_are_judged_when_they_are_applied() {
    let squid = json!({"proxies": [{
        "name": "squid", "hosts": ["squid.corp"], "addresses": ["10.20.0.5"], "ports": [3128],
    }]});
    let snapshot = in_force(&[policy("other", &squid)]);
    let rows = text_of("tests/fixtures/policies/reviews.yaml");
    let rows: Vec<Row> = serde_saphyr::from_str(&rows).expect("reviews.yaml");
    for row in rows {
        let (_, response, record) = answer(Webhook::Validate, &row.request(), &snapshot);
        let mut expected = json!({"uid": "u", "allowed": row.denied.is_empty()});
        let mut decision = Decision::Allowed;
        if !row.denied.is_empty() {
            decision = Decision::Denied;
            let message = row.denied.join("\n");
            expected["status"] = json!({
                "status": "Failure", "code": 422, "reason": "Invalid", "message": message,
            });
        }
        if !row.warned.is_empty() {
            decision = Decision::Warned;
            expected["warnings"] = json!(row.warned);
        }
        if decision != Decision::Allowed {
            expected["auditAnnotations"] = json!({"decision": decision.name()});
        }
        assert_eq!(response, expected, "{}", row.about);
        assert_eq!((record.decision, &*record.object), (decision, "corporate"));
        // Nothing about a policy is for /mutate to say.
        let (_, response, _) = answer(Webhook::Mutate, &row.request(), &snapshot);
        assert_eq!(
            response,
            json!({"uid": "u", "allowed": true}),
            "{}",
            row.about
        );
    }
}

/// As many as a person mends at once, and how many more there are.
#[test]
fn faults_without_end_are_counted() {
    for (faults, lines, last) in [
        (
            16,
            16,
            "policy corporate spec.exemptions[15].checks[0]: there is no check \"x\"; `tunnelguard explain` lists them",
        ),
        (17, 16, "policy corporate: and 2 more faults"),
        (1000, 16, "policy corporate: and 985 more faults"),
    ] {
        let exemptions = vec![json!({"reason": "r", "checks": ["x"]}); faults];
        let row = Row {
            about: String::new(),
            spec: json!({"exemptions": exemptions}),
            old: None,
            request: BTreeMap::new(),
            metadata: BTreeMap::new(),
            denied: Vec::new(),
            warned: Vec::new(),
        };
        let snapshot = in_force(&[]);
        let (_, response, _) = answer(Webhook::Validate, &row.request(), &snapshot);
        let message = response["status"]["message"].as_str().expect("a message");
        let told: Vec<&str> = message.lines().collect();
        assert_eq!((told.len(), told[lines - 1]), (lines, last));
    }
}

/// What docs/operations.md shows step by step is what was typed and printed in the end-to-end cases.
#[test]
fn the_steps_in_the_documentation_are_those_of_the_transcripts() {
    let page = text_of("docs/operations.md");
    let (_, steps) = page.split_once("## A policy, step by step").expect("steps");
    let (steps, _) = steps.split_once("\n## ").expect("a section behind them");
    let cases = [
        "first-steps",
        "policy-judged",
        "policy-namespaces",
        "policy-exemption",
    ];
    let transcripts = cases.map(|case| text_of(&format!("tests/e2e/cases/{case}/transcript.txt")));
    let transcripts = transcripts.join("\n");
    let shown = steps.split("```").skip(1).step_by(2);
    let shown = shown.filter_map(|block| block.strip_prefix("console\n"));
    let lines: Vec<&str> = shown.flat_map(str::lines).collect();
    assert!(lines.len() > 20, "{lines:?}");
    for line in lines {
        let is_there = transcripts.lines().any(|printed| printed == line);
        assert!(is_there, "docs/operations.md: in no transcript: {line}");
    }
}
