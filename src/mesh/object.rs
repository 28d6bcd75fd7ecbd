//! What objects of every kind have in common.

use serde_json::Value;

use super::service_entry::GROUP;

/// Whether an `apiVersion` and `kind` are those of a kind of Istio's traffic objects, in any version.
pub(crate) fn is_of_istio(api_version: &str, kind: &str, wanted: &str) -> bool {
    let version = api_version.strip_prefix(GROUP);
    kind == wanted && version.is_some_and(|version| version.starts_with('/'))
}

/// What of `metadata` the simulation reads. A field of the wrong type counts as absent: the API server
/// refuses it.
pub(crate) struct Metadata<'v> {
    /// `default` where it is absent, as kubectl would have it.
    pub(crate) namespace: &'v str,
    /// Empty where it is absent.
    pub(crate) name: &'v str,
    /// `creationTimestamp` in seconds since 1970.
    pub(crate) created: Option<i64>,
}

impl<'v> Metadata<'v> {
    pub(crate) fn of(object: &'v Value) -> Self {
        let text = |field: &str| object["metadata"][field].as_str();
        let namespace = text("namespace").filter(|namespace| !namespace.is_empty());
        Self {
            namespace: namespace.unwrap_or("default"),
            name: text("name").unwrap_or_default(),
            created: text("creationTimestamp").and_then(seconds),
        }
    }
}

/// An RFC 3339 time in seconds since 1970.
pub(crate) fn seconds(time: &str) -> Option<i64> {
    let time = time.parse::<jiff::Timestamp>().ok()?;
    Some(time.as_second())
}
