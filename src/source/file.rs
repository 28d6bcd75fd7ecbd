//! A named text, or why there is none.

use std::path::Path;

use super::decode::decode;
use super::position::Location;
use super::problem::Problem;

/// A named text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// The path as the user gave it, or as found below the one they gave; `<stdin>`.
    pub name: String,
    /// The text without a byte-order mark, or why there is none.
    pub text: Result<String, Problem>,
    /// Whether it lies in a Helm chart's `templates`.
    pub(super) in_chart: bool,
}

impl SourceFile {
    /// A source that is at hand already.
    pub fn from_text(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            text: decode(text.into().into_bytes()),
            in_chart: false,
        }
    }

    /// A source whose bytes are still to be judged.
    pub fn from_bytes(name: impl Into<String>, bytes: Vec<u8>) -> Self {
        Self::from_text(name, "").with_bytes(bytes)
    }

    pub(super) fn unreadable(path: &Path, error: &dyn std::error::Error) -> Self {
        Self::from_text(path.display().to_string(), "").with_error(error)
    }

    pub(super) fn with_bytes(self, bytes: Vec<u8>) -> Self {
        Self {
            text: decode(bytes),
            ..self
        }
    }

    pub(super) fn with_error(self, error: &dyn std::error::Error) -> Self {
        let problem = Problem {
            message: format!("cannot be read: {error}"),
            location: Location::start(),
        };
        Self {
            text: Err(problem),
            ..self
        }
    }
}
