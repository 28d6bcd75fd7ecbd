//! What a transcript shows of the API server's audit log.

use serde_json::Value;

use crate::harness::{ControlPlane, Stage};

/// How much of it was shown.
#[derive(Default)]
pub(super) struct AuditLog(u64);

impl AuditLog {
    /// What is there now was shown.
    pub(super) fn from_now(plane: &ControlPlane) -> Self {
        Self(plane.audited())
    }

    /// The requests for ServiceEntries of a case since some were last shown, with those annotations.
    pub(super) fn next(&mut self, stage: &Stage<'_>, prefix: &str) -> String {
        let events = stage.plane.audit(self.0);
        self.0 = stage.plane.audited();
        let ours = events.iter().filter(|event| {
            let object = &event["objectRef"];
            object["resource"] == "serviceentries" && object["namespace"] == *stage.namespace
        });
        ours.map(|event| told(event, prefix)).collect()
    }
}

/// An event of the audit log: who did what to what, what came of it, and the webhooks' annotations
/// with that prefix.
fn told(event: &Value, prefix: &str) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let object = &event["objectRef"];
    let mut line = format!(
        "{} {} {}/{}",
        text(&event["user"]["username"]),
        text(&event["verb"]),
        text(&object["apiVersion"]),
        text(&object["resource"]),
    );
    for part in ["name", "subresource"] {
        if let Some(part) = object[part].as_str() {
            line += &format!("/{part}");
        }
    }
    if text(&event["requestURI"]).contains("dryRun=All") {
        line += " (dry run)";
    }
    line += &format!(": {}\n", event["responseStatus"]["code"]);
    let annotations = event["annotations"].as_object().into_iter().flatten();
    for (key, value) in annotations.filter(|(key, _)| key.starts_with(prefix)) {
        let value = text(value);
        // Also there: how the request was authorized, and which webhook changed something.
        if key.contains("tunnelguard.dev/") || key.starts_with("failed-open") {
            line += &format!("  {key}: {value}\n");
        } else if key.starts_with("patch.webhook") {
            let patch: Value = serde_json::from_str(&value).expect("JSON");
            line += &format!("  {key}: {} {}\n", text(&patch["webhook"]), patch["patch"]);
        }
    }
    line
}
