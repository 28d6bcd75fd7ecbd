//! The CustomResourceDefinition of `manifests/`, as the API server takes it: what it accepts compiles,
//! and what does not compile it refuses, with the field and the way out.

mod limits;

use std::fs;
use std::path::PathBuf;

use axum::http::Request;
use kube::Client;
use serde::Deserialize;
use serde_json::{Value, json};
use tunnelguard::policy::PolicySet;
use tunnelguard::policy::compile::Place;
use tunnelguard::source::{self, SourceFile};

use crate::Test;
use crate::harness::{Answer, ControlPlane, Definition, repository};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    spec: Value,
    /// What the message has in it; none: it is accepted.
    #[serde(default)]
    said: Vec<String>,
    only: Option<Only>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Only {
    /// A file with it is accepted.
    Cluster,
}

pub(crate) fn tests() -> Vec<Test> {
    vec![
        ("policy_schema::rows".to_owned(), Box::new(rows)),
        ("policy_schema::limits".to_owned(), Box::new(limits::limits)),
        ("policy_schema::examples".to_owned(), Box::new(examples)),
    ]
}

fn rows(plane: &ControlPlane) {
    let _definition = Definition::install(plane);
    let text = fs::read_to_string(repository("tests/e2e/policy_schema/rows.yaml"));
    let rows: Vec<Row> = serde_saphyr::from_str(&text.expect("rows")).expect("rows.yaml");
    let asking = Asking::new(plane);
    let wrong = rows.iter().filter_map(|row| {
        let object = json!({
            "apiVersion": "tunnelguard.dev/v1alpha1", "kind": "ConnectProxyPolicy",
            "metadata": {"name": "row"}, "spec": row.spec,
        });
        let answer = asking.creates(&object);
        let message = answer.message();
        let told = row
            .said
            .iter()
            .all(|words| message.contains(words.as_str()));
        let accepted = row.said.is_empty();
        let usable = accepted || row.only == Some(Only::Cluster);
        (answer.is_allowed() != accepted || !told || compiles(&object) != usable)
            .then(|| format!("{}: {} {message}", row.spec, answer.code))
    });
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn compiles(object: &Value) -> bool {
    let document = serde_json::from_value(object.clone());
    document.is_ok_and(|document| PolicySet::compile_where(&[document], Place::Cluster).is_ok())
}

/// Every policy of the repository is accepted, and its stored form says the same.
fn examples(plane: &ControlPlane) {
    let _definition = Definition::install(plane);
    let asking = Asking::new(plane);
    let mut policies = Vec::new();
    for path in policy_files() {
        let text = fs::read_to_string(&path).expect("a policy");
        let reading = source::read(&SourceFile::from_text("policy", text));
        policies.extend(reading.documents.into_iter().map(|read| read.value));
    }
    assert!(policies.len() > 20, "{} policies", policies.len());
    for policy in policies {
        let answer = asking.creates(&policy);
        assert!(answer.is_allowed(), "{policy}: {}", answer.message());
        assert!(answer.warnings.is_empty(), "{:?}", answer.warnings);
        let set = |object: &Value| {
            let document = serde_json::from_value(object.clone()).expect("a policy");
            let set = PolicySet::compile(&[document]).expect("a good one");
            format!("{:?} {:?}", set.policies, set.proxies.all())
        };
        assert_eq!(set(&answer.body), set(&policy));
    }
}

fn policy_files() -> Vec<PathBuf> {
    let examples = fs::read_dir(repository("examples/policies")).expect("examples");
    let cases = fs::read_dir(repository("tests/e2e/cases")).expect("cases");
    let examples = examples.map(|file| file.expect("a file").path());
    let cases = cases.map(|case| case.expect("a case").path().join("policy.yaml"));
    let files = examples.chain(cases.filter(|path| path.exists()));
    files.collect()
}

/// Dry runs of the administrator's, in which an unknown field is an error, as with kubectl.
struct Asking {
    runtime: tokio::runtime::Runtime,
    client: Client,
}

impl Asking {
    fn new(plane: &ControlPlane) -> Self {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let client = runtime.block_on(plane.client("admin"));
        Self { runtime, client }
    }

    fn creates(&self, policy: &Value) -> Answer {
        let path =
            "/apis/tunnelguard.dev/v1alpha1/connectproxypolicies?dryRun=All&fieldValidation=Strict";
        let request = Request::post(path).header("content-type", "application/json");
        let request = request.body(policy.to_string().into_bytes().into());
        let answer = Answer::to(&self.client, request.expect("a request"));
        self.runtime.block_on(answer).expect("an answer")
    }
}
