//! From an object to a policy document, or what keeps it from being one.

use serde_json::Value;
use serde_path_to_error::Segment;

use crate::mesh::FieldPath;

use super::ConnectProxyPolicy;

/// The first field that keeps an object from being a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// The field.
    pub path: FieldPath,
    /// Whether it is about the field's name, not its value.
    pub of_key: bool,
    /// What is wrong with it; for an unknown field also which known one is nearest.
    pub message: String,
}

impl ConnectProxyPolicy {
    /// Reads an object.
    ///
    /// # Errors
    /// The first field that does not belong there, or has a value of another type.
    pub fn read(object: &Value) -> Result<Self, Unreadable> {
        serde_path_to_error::deserialize(object).map_err(|error| told(&error))
    }
}

fn told(error: &serde_path_to_error::Error<serde_json::Error>) -> Unreadable {
    let path = field_path(error.path());
    let message = error.inner().to_string();
    let Some(field) = unknown_field(&message) else {
        return Unreadable {
            path,
            of_key: false,
            message,
        };
    };
    let known: Vec<&str> = message.split('`').skip(3).step_by(2).collect();
    let nearest = known
        .iter()
        .max_by(|a, b| similarity(field, a).total_cmp(&similarity(field, b)));
    // The path may or may not end in the field itself.
    let named = path
        .segments()
        .last()
        .is_some_and(|last| matches!(last, crate::mesh::Segment::Key(key) if &**key == field));
    let whole = if named { path } else { path.key(field) };
    let hint = nearest
        .map(|nearest| format!("; did you mean `{nearest}`?"))
        .unwrap_or_default();
    let known = known.join(", ");
    Unreadable {
        message: format!("unknown field `{field}`{hint} (known here: {known})"),
        path: whole,
        of_key: true,
    }
}

fn similarity(a: &str, b: &str) -> f64 {
    strsim::jaro_winkler(&a.to_ascii_lowercase(), &b.to_ascii_lowercase())
}

/// The field of serde's "unknown field `x`, expected …".
fn unknown_field(message: &str) -> Option<&str> {
    message.strip_prefix("unknown field `")?.split('`').next()
}

fn field_path(path: &serde_path_to_error::Path) -> FieldPath {
    path.iter()
        .fold(FieldPath::root(), |path, segment| match segment {
            Segment::Seq { index } => path.index(*index),
            Segment::Map { key } => path.key(key),
            Segment::Enum { .. } | Segment::Unknown => path,
        })
}
