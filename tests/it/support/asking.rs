//! A review asked, and what holds for every answer.

use base64::Engine as _;
use jiff::civil::date;
use serde_json::{Value, json};
use tunnelguard::admission::{Decision, Judging, OnFailure, Record, Rejected, Webhook, review};
use tunnelguard::policy::Context;

/// The `response` to a review about an object, with its patch decoded.
pub(crate) fn ask(webhook: Webhook, object: &Value, old: &Value, context: Context<'_>) -> Value {
    let body = review_of(object, old).to_string();
    let answer = send(webhook, body.as_bytes(), context);
    let (response, _) = answer.expect("it is a review");
    assert_eq!(response["uid"], "u");
    response
}

/// The AdmissionReview about an object.
pub(crate) fn review_of(object: &Value, old: &Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "u",
            "kind": {"group": "networking.istio.io", "version": "v1", "kind": "ServiceEntry"},
            "operation": if old.is_null() { "CREATE" } else { "UPDATE" },
            "namespace": object["metadata"]["namespace"].as_str(),
            "name": object["metadata"]["name"].as_str(),
            "object": object,
            "oldObject": old,
        }
    })
}

/// The `response` to any body, held to the contract, with its patch decoded.
pub(crate) fn send(
    webhook: Webhook,
    body: &[u8],
    context: Context<'_>,
) -> Result<(Value, Record), Rejected> {
    let judging = Judging {
        context,
        today: date(2026, 1, 1),
        on_failure: OnFailure::Deny,
    };
    let (bytes, record) = review(webhook, body, judging)?;
    // A panic is an answer, too; here it is none that may be given.
    assert_eq!(record.failure, None, "{}", String::from_utf8_lossy(body));
    let mut answer: Value = serde_json::from_slice(&bytes).expect("JSON");
    assert_eq!(answer["apiVersion"], "admission.k8s.io/v1");
    assert_eq!(answer["kind"], "AdmissionReview");
    let mut response = answer["response"].take();
    hold_to_contract(webhook, &response, &record);
    if let Some(patch) = response["patch"].as_str() {
        let patch = base64::engine::general_purpose::STANDARD.decode(patch);
        response["patch"] = serde_json::from_slice(&patch.expect("base64")).expect("JSON");
    }
    Ok((response, record))
}

/// What the API server holds an answer to, and we ourselves.
fn hold_to_contract(webhook: Webhook, response: &Value, record: &Record) {
    let allowed = response["allowed"].as_bool().expect("a decision");
    let patched = response.get("patch").is_some();
    let warned = response.get("warnings").is_some();
    match webhook {
        Webhook::Mutate => assert!(allowed, "/mutate never denies: {response}"),
        Webhook::Validate => assert!(!patched, "/validate never patches: {response}"),
    }
    let patch_type = response.get("patchType");
    assert_eq!(
        patch_type,
        patched.then_some(&json!("JSONPatch")),
        "{response}"
    );
    assert_eq!(
        response["status"]["code"].as_u64(),
        (!allowed).then_some(403)
    );
    let expected = match (allowed, patched, warned) {
        (false, _, _) => Decision::Denied,
        (true, true, _) => Decision::Repaired,
        (true, false, true) => Decision::Warned,
        (true, false, false) => Decision::Allowed,
    };
    assert_eq!(record.decision, expected, "{response}");
    assert_eq!(
        record.checks.is_empty(),
        expected == Decision::Allowed,
        "{response}"
    );
    hold_warnings_to_contract(response);
    hold_denial_to_contract(response);
}

/// A terminal obeys what is in a denial; a line a finding, and one to run.
fn hold_denial_to_contract(response: &Value) {
    let audit = response["auditAnnotations"].as_object().into_iter();
    for value in audit.flatten().filter_map(|(_, value)| value.as_str()) {
        assert!(!value.contains(char::is_control), "{value:?}");
        assert!(value.chars().count() <= 4096, "{value:?}");
    }
    let Some(message) = response["status"]["message"].as_str() else {
        return;
    };
    for line in message.split('\n') {
        assert!(line.starts_with("TG"), "{line:?}");
        assert!(!line.contains(char::is_control), "{line:?}");
        assert!(line.chars().count() <= 4096, "{line:?}");
    }
    let (_, hint) = message.rsplit_once(' ').expect("words");
    let hint = format!(" More: tunnelguard explain {hint}");
    assert!(message.ends_with(&hint), "{message:?}");
}

/// The API server drops a warning with a control character, and cuts long ones once all together
/// are more than 4,096 characters.
fn hold_warnings_to_contract(response: &Value) {
    let Some(warnings) = response.get("warnings") else {
        return;
    };
    let warnings = warnings.as_array().expect("a list").iter();
    let warnings: Vec<&str> = warnings.map(|text| text.as_str().expect("text")).collect();
    assert!(!warnings.is_empty(), "{response}");
    for warning in &warnings {
        let length = warning.chars().count();
        assert!((1..=256).contains(&length), "{length}: {warning:?}");
        assert!(!warning.contains(char::is_control), "{warning:?}");
    }
    let total: usize = warnings.iter().map(|warning| warning.chars().count()).sum();
    assert!(total <= 4096, "{total}: {warnings:?}");
}
