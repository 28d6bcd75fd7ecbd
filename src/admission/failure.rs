//! A panic while judging: an answer all the same.
//!
//! The API server does not repeat a POST whose connection is dropped, and what then becomes of the
//! user's request is up to `failurePolicy`, without a word about the reason. An answer says it.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::mesh::line::one_line;

use super::outcome::Outcome;
use super::record::Decision;
use super::request::Webhook;
use super::response::{Answer, Denial};

// With `panic = "abort"` there is nothing to catch.
const _: () = assert!(cfg!(panic = "unwind"), "a review must survive a panic");

/// What becomes of an object that could not be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OnFailure {
    /// It is let through, with a warning.
    Allow,
    /// It is refused. `/mutate` never denies, so it is `/validate` that does.
    Deny,
}

/// A message about an index or a boundary may quote all of a text.
const MESSAGE_CHARACTERS: usize = 256;

/// How much of a name fits beside the rest of what is said.
const OBJECT_CHARACTERS: usize = 72;

/// What `judge` says, or what its panic said.
pub(super) fn caught<T>(judge: impl FnOnce() -> T) -> Result<T, String> {
    // Judging reads what is shared and changes nothing that outlives it.
    let judged = catch_unwind(AssertUnwindSafe(judge));
    judged.map_err(|panic| one_line(message(&*panic), MESSAGE_CHARACTERS))
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let formatted = panic.downcast_ref::<String>().map(String::as_str);
    let literal = panic.downcast_ref::<&str>().copied();
    formatted.or(literal).unwrap_or("a panic without a message")
}

/// The answer about an object that could not be judged.
pub(super) fn not_judged(webhook: Webhook, on_failure: OnFailure, object: &str) -> Outcome {
    const REPORT: &str = "This is a bug in tunnelguard: please report it in its issue tracker, with the object that was applied";
    // As docs/operations.md has it. A denial may be longer than a warning, and whoever is stopped needs it.
    const WAY_OUT: &str = "An administrator takes tunnelguard out of the way with: kubectl delete validatingwebhookconfiguration,mutatingwebhookconfiguration tunnelguard";
    let object = one_line(object, OBJECT_CHARACTERS);
    let audit = vec![("decision", Decision::Failed.name().to_owned())];
    let answer = match (webhook, on_failure) {
        (Webhook::Validate, OnFailure::Deny) => Answer {
            denial: Some(Denial::internal_error(format!(
                "tunnelguard failed on {object}: it could not be judged, so it is refused. {REPORT}. {WAY_OUT}"
            ))),
            audit,
            ..Answer::default()
        },
        _ => Answer {
            warnings: vec![format!(
                "tunnelguard failed on {object}: it was not judged. {REPORT}"
            )],
            audit,
            ..Answer::default()
        },
    };
    Outcome {
        answer,
        decision: Decision::Failed,
        checks: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{OnFailure, Webhook};
    use crate::admission::outcome::Outcome;
    use crate::admission::record::{Decision, Record};
    use crate::admission::request::parse;
    use crate::admission::response::{LINE_CHARACTERS, WARNING_CHARACTERS};
    use crate::admission::review::answered;

    const WAY_OUT: &str =
        ": kubectl delete validatingwebhookconfiguration,mutatingwebhookconfiguration tunnelguard";

    fn ask(webhook: Webhook, on_failure: OnFailure, judge: fn() -> Outcome) -> (Value, Record) {
        ask_about("x", webhook, on_failure, judge)
    }

    fn ask_about(
        name: &str,
        webhook: Webhook,
        on_failure: OnFailure,
        judge: fn() -> Outcome,
    ) -> (Value, Record) {
        let body = json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": {"uid": "u-1", "operation": "CREATE", "namespace": "n", "name": name},
        });
        let body = body.to_string();
        let request = parse(body.as_bytes()).unwrap();
        let (bytes, record) = answered(&request, webhook, on_failure, judge);
        let mut review: Value = serde_json::from_slice(&bytes).unwrap();
        (review["response"].take(), record)
    }

    #[test]
    fn a_panic_is_an_answer_that_keeps_the_uid() {
        use OnFailure::{Allow, Deny};
        use Webhook::{Mutate, Validate};
        let (long, cut) = ("x".repeat(253), format!("n/{}…", "x".repeat(69)));
        for (webhook, on_failure, name, object, allowed) in [
            (Mutate, Allow, "x", "n/x", true),
            (Mutate, Deny, "x", "n/x", true),
            (Validate, Allow, &*long, &*cut, true),
            (Validate, Deny, &*long, &*cut, false),
        ] {
            let (response, record) = ask_about(name, webhook, on_failure, || panic!("boom"));
            let case = format!("{webhook:?} {on_failure:?}: {response}");
            assert_eq!(response["uid"], "u-1", "{case}");
            assert_eq!(response["allowed"], allowed, "{case}");
            assert_eq!(response["patch"], Value::Null, "{case}");
            assert_eq!(response["auditAnnotations"], json!({"decision": "failed"}));
            assert_eq!(record.decision, Decision::Failed);
            assert_eq!(record.failure.as_deref(), Some("boom"));
            let (said, most) = if allowed {
                assert_eq!(response["status"], Value::Null, "{case}");
                assert_eq!(response["warnings"].as_array().map(Vec::len), Some(1));
                (&response["warnings"][0], WARNING_CHARACTERS)
            } else {
                assert_eq!(response["warnings"], Value::Null, "{case}");
                assert_eq!(response["status"]["code"], 500, "{case}");
                assert_eq!(response["status"]["reason"], "InternalError", "{case}");
                (&response["status"]["message"], LINE_CHARACTERS)
            };
            let said = said.as_str().unwrap();
            assert_eq!(said.ends_with(WAY_OUT), !allowed, "{said}");
            assert!(said.contains(object), "{said}");
            assert!(said.contains("please report it"), "{said}");
            assert!(
                !said.ends_with('…') && !said.contains('\n') && said.chars().count() <= most,
                "{said}"
            );
        }
    }

    #[test]
    fn what_does_not_panic_is_as_it_was() {
        let (response, record) = ask(Webhook::Validate, OnFailure::Deny, Outcome::allowed);
        assert_eq!(response, json!({"uid": "u-1", "allowed": true}));
        assert_eq!((record.decision, record.failure), (Decision::Allowed, None));
    }

    #[test]
    fn what_a_panic_said_is_one_line() {
        type Judge = fn() -> Outcome;
        let cases: [(Judge, &str); 4] = [
            (|| panic!("literal"), "literal"),
            (|| panic!("{}\n{}", 1, 2), "1 2"),
            (|| std::panic::panic_any(7), "a panic without a message"),
            (
                || Vec::new().pop().unwrap(),
                "called `Option::unwrap()` on a `None` value",
            ),
        ];
        for (judge, said) in cases {
            let (_, record) = ask(Webhook::Mutate, OnFailure::Allow, judge);
            assert_eq!(record.failure.as_deref(), Some(said));
        }
        let (_, record) = ask(Webhook::Mutate, OnFailure::Allow, || {
            panic!("{}", "x".repeat(9999))
        });
        assert_eq!(record.failure.map(|said| said.chars().count()), Some(256));
    }
}
