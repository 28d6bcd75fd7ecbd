//! From the bytes of an AdmissionReview to the few fields that are read.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// A body that is no AdmissionReview: HTTP 400, since without a uid there is no review to answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Rejected(pub String);

/// One request, borrowed from the body.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Request<'a> {
    #[serde(borrow)]
    pub(crate) uid: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(crate) kind: Kind<'a>,
    #[serde(borrow, default)]
    pub(crate) sub_resource: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(crate) operation: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(crate) namespace: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(crate) name: Option<Cow<'a, str>>,
    #[serde(default)]
    pub(crate) dry_run: Option<bool>,
    #[serde(borrow, default)]
    pub(crate) object: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(crate) old_object: Option<&'a RawValue>,
}

/// The kind under review.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Kind<'a> {
    #[serde(borrow, default)]
    pub(crate) group: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(crate) kind: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Review<'a> {
    #[serde(borrow, default)]
    api_version: Cow<'a, str>,
    #[serde(borrow, default)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    request: Option<Request<'a>>,
}

/// The only version spoken; the API server is told so by `admissionReviewVersions`.
pub(crate) const API_VERSION: &str = "admission.k8s.io/v1";

/// Reads a body.
pub(crate) fn parse(body: &[u8]) -> Result<Request<'_>, Rejected> {
    let reject = |message: String| Err(Rejected(message));
    if body.is_empty() {
        return reject(
            "the body is empty: POST an AdmissionReview (admission.k8s.io/v1)".to_owned(),
        );
    }
    // serde would read an array as the fields in order.
    if body.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
        return reject(
            "the body is no JSON object: POST an AdmissionReview (admission.k8s.io/v1)".to_owned(),
        );
    }
    let review: Review<'_> = match serde_json::from_slice(body) {
        Ok(review) => review,
        Err(error) => return reject(format!("the body is no AdmissionReview: {error}")),
    };
    if review.kind != "AdmissionReview" || review.api_version != API_VERSION {
        return reject(format!(
            "expected AdmissionReview of {API_VERSION}, found {:?} of {:?}",
            review.kind, review.api_version
        ));
    }
    match review.request {
        None => reject("the AdmissionReview has no request".to_owned()),
        Some(request) if request.uid.is_empty() => {
            reject("the AdmissionReview's request has no uid".to_owned())
        }
        Some(request) => Ok(request),
    }
}
