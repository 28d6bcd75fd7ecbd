//! From the bytes of an AdmissionReview to the few fields that are read.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::mesh::ServiceEntry;
use crate::mesh::line::{OBJECT_CHARACTERS, one_line};

/// A body that is no AdmissionReview: HTTP 400, since without a uid there is no review to answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Rejected(pub String);

/// Which of the two webhooks is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Webhook {
    /// May patch, never denies.
    Mutate,
    /// May deny, never patches.
    Validate,
}

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

/// What is done to an object: a closed list, for it labels metrics and anyone may send a review.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// It is made.
    Create,
    /// It is changed.
    Update,
    /// It is removed.
    Delete,
    /// It is connected to.
    Connect,
    /// None that Kubernetes knows.
    Other,
}

impl Operation {
    fn parse(text: &str) -> Self {
        match text {
            "CREATE" => Self::Create,
            "UPDATE" => Self::Update,
            "DELETE" => Self::Delete,
            "CONNECT" => Self::Connect,
            _ => Self::Other,
        }
    }

    /// As it stands in logs and metrics, and in the API server's own.
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
            Self::Other => "OTHER",
        }
    }
}

impl Request<'_> {
    /// What is done.
    pub(crate) fn operation(&self) -> Operation {
        Operation::parse(&self.operation)
    }

    /// Whether it is about objects of this kind.
    pub(crate) fn is_about(&self, group: &str, kind: &str) -> bool {
        self.kind.group == group && self.kind.kind == kind
    }

    /// The ServiceEntry in an object, in the namespace that the request names.
    pub(crate) fn entry(&self, object: &RawValue) -> Option<ServiceEntry> {
        let mut entry: ServiceEntry = serde_json::from_str(object.get()).ok()?;
        if let Some(namespace) = self.namespace.as_deref().filter(|text| !text.is_empty()) {
            entry.namespace = namespace.into();
        }
        Some(entry)
    }

    /// `namespace/name`, or the name alone of what is in none, or `namespace/prefix*` where the API server has yet to make the name: it
    /// does so after mutation. Anyone may send any name: it is one clean line of bounded length.
    pub(crate) fn object_name(&self) -> String {
        let name = match self.name.as_deref().unwrap_or_default() {
            "" => Cow::Owned(self.name_to_be().unwrap_or_default()),
            name => Cow::Borrowed(name),
        };
        let name = match self.namespace.as_deref().unwrap_or_default() {
            "" => name,
            namespace => Cow::Owned(format!("{namespace}/{name}")),
        };
        one_line(&name, OBJECT_CHARACTERS)
    }

    fn name_to_be(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Object<'a> {
            #[serde(borrow)]
            metadata: Metadata<'a>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Metadata<'a> {
            #[serde(borrow)]
            generate_name: Cow<'a, str>,
        }
        let object: Object<'_> = serde_json::from_str(self.object?.get()).ok()?;
        Some(format!("{}*", object.metadata.generate_name))
    }
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
    #[serde(borrow, default, deserialize_with = "an_object")]
    request: Option<Request<'a>>,
}

/// Nothing, or fields by their names: no array of them, as with the review itself.
fn an_object<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Request<'de>>, D::Error> {
    struct Fields;
    impl<'de> Visitor<'de> for Fields {
        type Value = Option<Request<'de>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a request with its fields")
        }

        fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
            Request::deserialize(MapAccessDeserializer::new(map)).map(Some)
        }
    }
    deserializer.deserialize_any(Fields)
}

/// The only version spoken; the API server is told so by `admissionReviewVersions`.
pub(crate) const API_VERSION: &str = "admission.k8s.io/v1";

/// What is wrong with a body may quote all of a text in it.
const REJECTED_CHARACTERS: usize = 256;

/// Reads a body.
pub(crate) fn parse(body: &[u8]) -> Result<Request<'_>, Rejected> {
    let reject = |message: String| Err(Rejected(one_line(&message, REJECTED_CHARACTERS)));
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
        Some(request) if request.uid.len() > UID_BYTES => reject(format!(
            "the AdmissionReview's uid has {} bytes, and {UID_BYTES} are the most that is repeated",
            request.uid.len()
        )),
        Some(request) => Ok(request),
    }
}

/// A uid is repeated in the answer. The API server's is a UUID, of 36 characters.
const UID_BYTES: usize = 256;

#[cfg(test)]
mod tests {
    use super::{Operation, parse};

    #[test]
    fn objects_are_named_as_far_as_they_have_a_name() {
        for (request, name) in [
            (r#""namespace": "n", "name": "x""#, "n/x"),
            (
                r#""namespace": "n", "name": "", "object": {"metadata": {"generateName": "x-"}}"#,
                "n/x-*",
            ),
            (
                r#""namespace": "n", "object": {"metadata": {"generateName": "é\n"}}"#,
                "n/é *",
            ),
            (
                r#""namespace": "n", "name": "x", "object": {"metadata": {"generateName": "y-"}}"#,
                "n/x",
            ),
            (
                r#""namespace": "n", "object": {"metadata": {"generateName": 7}}"#,
                "n/",
            ),
            (r#""namespace": "n", "object": {"metadata": {}}"#, "n/"),
            (r#""namespace": "n", "object": [7]"#, "n/"),
            (r#""namespace": "n", "object": null"#, "n/"),
            (r#""name": "cluster-wide""#, "cluster-wide"),
        ] {
            let body = format!(
                r#"{{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {{"uid": "u", {request}}}}}"#
            );
            let request = parse(body.as_bytes()).unwrap();
            assert_eq!(request.object_name(), name, "{body}");
        }
    }

    #[test]
    fn what_is_no_review_is_told_in_one_bounded_line() {
        let long = "x\\n\\u001b".repeat(999);
        for body in [
            format!(r#"{{"apiVersion": "{long}", "kind": "AdmissionReview"}}"#),
            format!(r#"{{"apiVersion": 7, "kind": "{long}"}}"#),
            format!(r#"{{"request": {{"uid": "u", "dryRun": "{long}"}}}}"#),
        ] {
            let said = parse(body.as_bytes()).unwrap_err().to_string();
            assert!(said.chars().count() <= 256, "{said}");
            assert!(!said.contains(char::is_control), "{said:?}");
        }
    }

    #[test]
    fn operations_are_a_closed_list() {
        use Operation::{Connect, Create, Delete, Other, Update};
        for operation in [Create, Update, Delete, Connect] {
            assert_eq!(Operation::parse(operation.name()), operation);
        }
        for text in ["", "create", "PATCH", "OTHER", "CREATE "] {
            assert_eq!(Operation::parse(text), Other, "{text:?}");
        }
    }
}
