//! What objects of every kind have in common.

use super::field::Field;
use super::lenient::Problem;
use super::service_entry::GROUP;

/// Whether an `apiVersion` and `kind` are those of a kind of Istio's traffic objects, in any version.
pub(crate) fn is_of_istio(api_version: &str, kind: &str, wanted: &str) -> bool {
    let version = api_version.strip_prefix(GROUP);
    kind == wanted && version.is_some_and(|version| version.starts_with('/'))
}

/// What of `metadata` the simulation reads.
pub(crate) struct Metadata<'v> {
    /// `default` where it is absent, as kubectl would have it.
    pub(crate) namespace: &'v str,
    /// Empty where it is absent.
    pub(crate) name: &'v str,
    /// `creationTimestamp` in seconds since 1970.
    pub(crate) created: Option<i64>,
}

impl<'v> Metadata<'v> {
    pub(crate) fn of(object: &Field<'v, '_>) -> Result<Self, Problem> {
        let metadata = object.get("metadata")?;
        let namespace = metadata.get("namespace")?.text()?;
        let namespace = namespace.filter(|namespace| !namespace.is_empty());
        let created = metadata.get("creationTimestamp")?.text()?;
        Ok(Self {
            namespace: namespace.unwrap_or("default"),
            name: metadata.get("name")?.text()?.unwrap_or_default(),
            created: created.and_then(seconds),
        })
    }
}

/// An RFC 3339 time in seconds since 1970.
pub(crate) fn seconds(time: &str) -> Option<i64> {
    let time = time.parse::<jiff::Timestamp>().ok()?;
    Some(time.as_second())
}
