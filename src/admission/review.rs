//! One review, from bytes to bytes.

use jiff::civil::Date;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::mesh::service_entry::GROUP;
use crate::policy::check::Context;
use crate::policy::spec;

use super::failure::{OnFailure, caught, not_judged};
use super::mutate::mutate;
use super::outcome::Outcome;
use super::policy::validate_policy;
use super::record::Record;
use super::request::{Operation, Rejected, Request, Webhook, parse};
use super::validate::validate;

/// What a review goes by.
#[derive(Clone, Copy)]
pub struct Judging<'a> {
    /// The policies, and what is known of the mesh.
    pub context: Context<'a>,
    /// The day, which decides which exemptions still hold.
    pub today: Date,
    /// What becomes of an object that cannot be judged.
    pub on_failure: OnFailure,
}

/// Answers a review. Where judging it panics, that is an answer too.
///
/// # Errors
/// [`Rejected`] where the body is no AdmissionReview of `admission.k8s.io/v1` with a uid.
pub fn review(
    webhook: Webhook,
    body: &[u8],
    judging: Judging<'_>,
) -> Result<(Vec<u8>, Record), Rejected> {
    let request = parse(body)?;
    let judge = || judge(webhook, &request, judging);
    // Nothing of ours stands between a policy and whoever mends it.
    let on_failure = match is_policy(&request) {
        true => OnFailure::Allow,
        false => judging.on_failure,
    };
    Ok(answered(&request, webhook, on_failure, judge))
}

/// The answer's bytes, and what there is to log, whatever `judge` does.
pub(super) fn answered(
    request: &Request<'_>,
    webhook: Webhook,
    on_failure: OnFailure,
    judge: impl FnOnce() -> Outcome,
) -> (Vec<u8>, Record) {
    let rendered = |outcome: Outcome| {
        let bytes = outcome.answer.into_bytes(&request.uid);
        (bytes, outcome.decision, outcome.checks)
    };
    let (judged, failure) = match caught(|| rendered(judge())) {
        Ok(judged) => (judged, None),
        Err(panic) => (
            rendered(not_judged(webhook, on_failure, &request.object_name())),
            Some(panic),
        ),
    };
    let (bytes, decision, checks) = judged;
    (bytes, Record::new(request, decision, checks, failure))
}

fn judge(webhook: Webhook, request: &Request<'_>, judging: Judging<'_>) -> Outcome {
    let Judging { context, today, .. } = judging;
    let Some(object) = subject(request) else {
        return Outcome::allowed();
    };
    if is_policy(request) {
        return match (webhook, serde_json::from_str(object.get())) {
            (Webhook::Validate, Ok(object)) => validate_policy(request, &object, context, today),
            _ => Outcome::allowed(),
        };
    }
    let entry = request.entry(object).filter(|entry| !entry.deleting);
    match (webhook, entry) {
        (_, None) => Outcome::allowed(),
        (Webhook::Mutate, Some(entry)) => mutate(request, &entry, context, today),
        (Webhook::Validate, Some(entry)) => validate(request, &entry, context, today),
    }
}

fn is_policy(request: &Request<'_>) -> bool {
    request.is_about(spec::GROUP, spec::KIND)
}

/// The ServiceEntry or policy to look at; `None` for whatever is allowed untouched: other kinds,
/// sub-resources, deletions, and updates that leave the spec alone.
fn subject<'a>(request: &Request<'a>) -> Option<&'a RawValue> {
    let is_judged = request.is_about(GROUP, "ServiceEntry") || is_policy(request);
    let operation = request.operation();
    let whole = request
        .sub_resource
        .as_deref()
        .unwrap_or_default()
        .is_empty();
    if !is_judged || !whole || !matches!(operation, Operation::Create | Operation::Update) {
        return None;
    }
    let object = request.object?;
    let is_same = |old: &RawValue| same_spec(object, old);
    let is_changed = !request.old_object.is_some_and(is_same);
    is_changed.then_some(object)
}

/// Whether an update leaves the spec alone. The API server writes both by itself, so equal ones are
/// equal texts; anything else is judged as a change, which the ratchet forgives where it is none.
fn same_spec(object: &RawValue, old: &RawValue) -> bool {
    #[derive(Deserialize)]
    struct Object<'a> {
        #[serde(borrow)]
        spec: &'a RawValue,
    }
    fn spec(object: &RawValue) -> Option<&str> {
        let object: Object<'_> = serde_json::from_str(object.get()).ok()?;
        Some(object.spec.get())
    }
    spec(object).is_some_and(|new| Some(new) == spec(old))
}
