//! What the API server makes of each answer that a webhook can give: `vectors.yaml`.
//!
//! The figures and texts are those of kube-apiserver 1.36 (`pkg/admission/plugin/webhook`); a newer
//! one that treats an answer in another way fails here first.

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::http::{Request, Response};
use base64::Engine as _;
use kube::Client;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Test;
use crate::harness::{Answer, AnsweringWebhook, ControlPlane, await_some, repository};

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    about: String,
    path: String,
    #[serde(default = "ok")]
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: Option<Value>,
    text: Option<String>,
    patch: Option<Value>,
    repeat_warning: Option<Repeated>,
    /// After so many answers, everything is allowed.
    then_allow_after: Option<usize>,
    #[serde(default = "once")]
    calls: usize,
    fail: Expected,
    ignore: Expected,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Repeated {
    characters: usize,
    times: usize,
}

/// What the user gets; what is not named is not looked at.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    code: u16,
    message: Option<String>,
    warnings: Option<Vec<String>>,
    warning_lengths: Option<Vec<usize>>,
    audit: Option<BTreeMap<String, String>>,
    protocol: Option<String>,
}

fn ok() -> u16 {
    200
}

fn once() -> usize {
    1
}

/// The vector in question, and how often its answer was asked for.
type Current = Arc<Mutex<(Option<Vector>, usize)>>;

pub(crate) fn tests() -> Vec<Test> {
    vec![("responses::every_shape".to_owned(), Box::new(every_shape))]
}

fn every_shape(plane: &ControlPlane) {
    let text = fs::read_to_string(repository("tests/e2e/responses/vectors.yaml"));
    let vectors: Vec<Vector> = serde_saphyr::from_str(&text.expect("vectors")).expect("YAML");
    let current = Current::default();
    let answering = Arc::clone(&current);
    let webhook = AnsweringWebhook::start(Arc::new(move |review| respond(&answering, &review)));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let client = runtime.block_on(plane.client("admin"));
    let mut wrong = Vec::new();
    for path in ["mutate", "validate"] {
        for policy in ["fail", "ignore"] {
            register(plane, &webhook, path, policy);
            // The API server hears of a configuration a moment after it is stored.
            await_some("the API server asks the webhook", || {
                *current.lock().expect("no panic") = (None, 0);
                runtime.block_on(create(&client, path, policy));
                (current.lock().expect("no panic").1 > 0).then_some(())
            });
        }
    }
    for vector in vectors {
        for (policy, expected) in [("fail", &vector.fail), ("ignore", &vector.ignore)] {
            *current.lock().expect("no panic") = (Some(vector.clone()), 0);
            let since = plane.audited();
            let answer = runtime.block_on(create(&client, &vector.path, policy));
            let calls = current.lock().expect("no panic").1;
            let name = webhook_name(&vector.path, policy);
            let audit = audited(plane, since, &name);
            let differences = expected.differences(&answer, &audit, &name);
            let miscounted = (calls != vector.calls).then(|| format!("{calls} calls"));
            for difference in differences.into_iter().chain(miscounted) {
                wrong.push(format!("{} ({policy}): {difference}", vector.about));
            }
        }
    }
    unregister(plane);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

impl Expected {
    fn differences(
        &self,
        answer: &Answer,
        audit: &BTreeMap<String, String>,
        webhook: &str,
    ) -> Vec<String> {
        let mut differences = Vec::new();
        if answer.code != self.code {
            differences.push(format!("{} {}", answer.code, answer.body));
        }
        let message = self
            .message
            .as_ref()
            .map(|text| text.replace("{webhook}", webhook));
        if message.is_some_and(|message| !answer.message().contains(&message)) {
            differences.push(answer.message().to_owned());
        }
        let warnings = &answer.warnings;
        if self
            .warnings
            .as_ref()
            .is_some_and(|texts| texts != warnings)
        {
            differences.push(format!("{warnings:?}"));
        }
        let lengths: Vec<usize> = warnings.iter().map(|text| text.chars().count()).collect();
        if self
            .warning_lengths
            .as_ref()
            .is_some_and(|expected| *expected != lengths)
        {
            differences.push(format!("{lengths:?}"));
        }
        if self
            .audit
            .as_ref()
            .is_some_and(|expected| expected != audit)
        {
            differences.push(format!("{audit:?}"));
        }
        let protocol = answer.body["spec"]["ports"][0]["protocol"].as_str();
        if self.protocol.is_some() && self.protocol.as_deref() != protocol {
            differences.push(format!("{protocol:?}"));
        }
        differences
    }
}

/// Answers as the vector says; without one, and once it says so, with "allowed".
fn respond(current: &Current, review: &Value) -> Response<Body> {
    let mut current = current.lock().expect("no panic");
    current.1 += 1;
    let uid = review["request"]["uid"].as_str().expect("a uid");
    let allowed = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "response": {"uid": uid, "allowed": true},
    });
    let Some(vector) = &current.0 else {
        return Response::new(allowed.to_string().into());
    };
    if vector
        .then_allow_after
        .is_some_and(|times| current.1 > times)
    {
        return Response::new(allowed.to_string().into());
    }
    let mut response = Response::builder().status(vector.status);
    for (name, value) in &vector.headers {
        response = response.header(name, value);
    }
    let body = vector.body_text(allowed).replace("{uid}", uid);
    response.body(body.into()).expect("a response")
}

impl Vector {
    fn body_text(&self, mut allowed: Value) -> String {
        if let Some(text) = &self.text {
            return text.clone();
        }
        if let Some(Repeated { characters, times }) = self.repeat_warning {
            // Each another one: the API server drops what it was told before.
            let warning = |index| format!("{index:w>characters$}");
            allowed["response"]["warnings"] = (0..times).map(warning).collect();
            return allowed.to_string();
        }
        let body = self.body.as_ref().expect("a body, a text or warnings");
        let patch = self.patch.as_ref().unwrap_or(&Value::Null).to_string();
        let patch = base64::engine::general_purpose::STANDARD.encode(patch);
        body.to_string().replace("{patch}", &patch)
    }
}

fn webhook_name(path: &str, policy: &str) -> String {
    format!("{path}-{policy}.responses.example.com")
}

/// A namespace, and a configuration for it alone.
fn register(plane: &ControlPlane, server: &AnsweringWebhook, path: &str, policy: &str) {
    let namespace = format!("responses-{path}-{policy}");
    let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
    plane.apply(&object.to_string());
    let mut webhook = server.webhook(&webhook_name(path, policy), path);
    webhook["failurePolicy"] = if policy == "fail" { "Fail" } else { "Ignore" }.into();
    webhook["namespaceSelector"] =
        json!({"matchLabels": {"kubernetes.io/metadata.name": namespace}});
    let kind = if path == "mutate" {
        "Mutating"
    } else {
        "Validating"
    };
    let configuration = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": format!("{kind}WebhookConfiguration"),
        "metadata": {"name": namespace}, "webhooks": [webhook],
    });
    plane.apply(&configuration.to_string());
}

fn unregister(plane: &ControlPlane) {
    let kinds = "mutatingwebhookconfigurations,validatingwebhookconfigurations";
    let status = plane.kubectl(["delete", kinds, "--all"]).output();
    assert!(status.expect("kubectl").status.success(), "they stay");
}

/// Creates a ServiceEntry in a dry run.
async fn create(client: &Client, path: &str, policy: &str) -> Answer {
    let entry = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry",
        "metadata": {"name": "proxy"},
        "spec": {"hosts": ["proxy.example"], "ports": [{"name": "http", "number": 3128, "protocol": "HTTP"}], "resolution": "NONE"},
    });
    let namespace = format!("responses-{path}-{policy}");
    let request = Request::post(format!(
        "/apis/networking.istio.io/v1/namespaces/{namespace}/serviceentries?dryRun=All"
    ));
    let request = request.header("content-type", "application/json");
    let request = request.body(entry.to_string().into_bytes().into());
    let answer = Answer::to(client, request.expect("a request")).await;
    answer.expect("an answer")
}

/// The webhook's annotations in the audit log.
fn audited(plane: &ControlPlane, since: u64, webhook: &str) -> BTreeMap<String, String> {
    let events = plane.audit(since);
    let annotations = events
        .iter()
        .filter_map(|event| event["annotations"].as_object());
    let ours = annotations.flatten().filter_map(|(key, value)| {
        let key = key.strip_prefix(webhook)?.strip_prefix('/')?;
        Some((key.to_owned(), value.as_str()?.to_owned()))
    });
    ours.collect()
}
