//! The answer's bytes.

use json_patch::Patch;
use serde::Serialize;
use serde_json::{Value, json};

use crate::mesh::line::one_line;

use super::request::API_VERSION;

/// An allowed review may carry a patch, warnings and audit annotations; a denied one a message.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) denial: Option<Denial>,
    pub(crate) patch: Option<Patch>,
    pub(crate) warnings: Vec<String>,
    /// Keys of at most 63 letters, digits, `-`, `_`, `.`: others are dropped by the API server.
    pub(crate) audit: Vec<(&'static str, String)>,
}

/// Why a review is denied, as `metav1.Status` says it.
#[derive(Debug)]
pub(crate) struct Denial {
    code: u16,
    reason: &'static str,
    lines: Vec<String>,
}

impl Denial {
    /// The object is not allowed to be as it is.
    pub(crate) fn forbidden(lines: Vec<String>) -> Self {
        Self {
            code: 403,
            reason: "Forbidden",
            lines,
        }
    }

    /// The object is none that could be used.
    pub(crate) fn invalid(lines: Vec<String>) -> Self {
        Self {
            code: 422,
            reason: "Invalid",
            lines,
        }
    }

    /// The fault is not the object's.
    pub(crate) fn internal_error(line: String) -> Self {
        Self {
            code: 500,
            reason: "InternalError",
            lines: vec![line],
        }
    }

    /// Nothing of the object's text reaches a terminal as a command to it, or makes a line of its
    /// own.
    fn message(&self) -> String {
        let lines = self.lines.iter();
        let clean = lines.map(|line| one_line(line, LINE_CHARACTERS));
        clean.collect::<Vec<_>>().join("\n")
    }
}

/// The API server cuts a warning to 256 characters once all of them together pass 4,096
/// (`apiserver/pkg/endpoints/filters/warning.go`); the budget is shared with other webhooks.
pub(super) const WARNING_CHARACTERS: usize = 256;
pub(super) const ALL_WARNINGS_CHARACTERS: usize = 4096;

/// A line of a denial has no limit of its own. This is beyond what any check says of a real object,
/// a whole ServiceEntry to copy included; it is for names that nobody has.
pub(super) const LINE_CHARACTERS: usize = 2048;

/// An audit event is kept for years, and one request may have thousands of findings.
const ANNOTATION_CHARACTERS: usize = 4096;

impl Answer {
    /// The AdmissionReview that answers the request with this uid.
    pub(crate) fn into_bytes(self, uid: &str) -> Vec<u8> {
        let mut response = json!({"uid": uid, "allowed": self.denial.is_none()});
        if let Some(denial) = self.denial {
            response["status"] = json!({
                "status": "Failure",
                "code": denial.code,
                "reason": denial.reason,
                "message": denial.message(),
            });
        }
        if let Some(patch) = self.patch {
            response["patchType"] = json!("JSONPatch");
            response["patch"] = encode(&patch);
        }
        let warnings = fit(self.warnings);
        if !warnings.is_empty() {
            response["warnings"] = json!(warnings);
        }
        if !self.audit.is_empty() {
            let annotations = self.audit.into_iter().map(|(key, value)| {
                let value = one_line(&value, ANNOTATION_CHARACTERS);
                (key.to_owned(), Value::from(value))
            });
            response["auditAnnotations"] = Value::Object(annotations.collect());
        }
        let review =
            json!({"apiVersion": API_VERSION, "kind": "AdmissionReview", "response": response});
        review.to_string().into_bytes()
    }
}

fn encode(patch: &impl Serialize) -> Value {
    use base64::Engine as _;
    // A patch holds strings and lists only: it always serialises.
    let bytes = serde_json::to_vec(patch).unwrap_or_default();
    Value::from(base64::engine::general_purpose::STANDARD.encode(bytes))
}

/// Warnings as they arrive whole: a control character would silently drop one.
fn fit(warnings: Vec<String>) -> Vec<String> {
    let mut left = ALL_WARNINGS_CHARACTERS;
    let mut fitted: Vec<String> = Vec::new();
    for warning in warnings {
        let text = one_line(&warning, WARNING_CHARACTERS);
        let length = text.chars().count();
        if length > left {
            break;
        }
        if !fitted.contains(&text) {
            left -= length;
            fitted.push(text);
        }
    }
    fitted
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn warnings_arrive_whole() {
        let long = "x".repeat(300);
        let many = vec!["y\nz".to_owned(), "y\nz".to_owned(), long];
        let fitted = fit(many);
        assert_eq!(fitted.len(), 2);
        assert_eq!(fitted[0], "y z");
        assert_eq!(fitted[1].chars().count(), 256);
        let total: usize = fit((0..40).map(|n| format!("{n:0256}")).collect())
            .iter()
            .map(|warning| warning.chars().count())
            .sum();
        assert_eq!(total, 4096);
    }

    #[test]
    fn nobody_writes_a_line_or_a_command_into_a_denial_or_the_audit_log() {
        let dirty = format!("a\n\u{1b}[2J\u{202e}b{}", "x".repeat(9999));
        // Nine characters are written out.
        let clean = |characters: usize| format!("a  [2J b{}…", "x".repeat(characters - 9));
        let answer = Answer {
            denial: Some(Denial::forbidden(vec![dirty.clone(), "second".to_owned()])),
            audit: vec![("findings", dirty)],
            ..Answer::default()
        };
        let bytes = answer.into_bytes("u");
        let response = &serde_json::from_slice::<Value>(&bytes).unwrap()["response"];
        assert_eq!(
            response["status"]["message"],
            format!("{}\nsecond", clean(LINE_CHARACTERS))
        );
        assert_eq!(
            response["auditAnnotations"],
            json!({"findings": clean(ANNOTATION_CHARACTERS)})
        );
    }
}
