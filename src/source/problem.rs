//! What is wrong with a text, as data: a reading goes on behind it.

use super::position::{Location, Span};

/// Something wrong with a text. `kubectl` refuses the document it is in, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong, in half a sentence.
    pub message: String,
    /// Where.
    pub location: Location,
}

impl Problem {
    pub(super) fn new(message: impl Into<String>, span: Span) -> Self {
        Self {
            message: message.into(),
            location: span.location(),
        }
    }
}
