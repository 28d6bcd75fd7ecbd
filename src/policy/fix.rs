//! Fixes as field edits: the webhook renders them as JSON Patch, the command line as text.

use serde_json::Value;

use crate::mesh::FieldPath;

/// How a finding can be mended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fix {
    /// Whether it may be made for the user.
    pub safety: Safety,
    /// The edits, in order.
    pub edits: Vec<Edit>,
}

/// Who may make a fix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Safety {
    /// Simulation proves it: it may be made for the user.
    Safe,
    /// Only a person may make it; where simulation speaks for it, in these words.
    Unsafe {
        /// Why it is right nevertheless, as far as the view shows.
        proof: Option<String>,
    },
}

/// One change of one field, with the meaning of the JSON Patch operation (RFC 6902).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// What is done.
    pub operation: Operation,
    /// The field.
    pub path: FieldPath,
}

/// What is done to a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// The field is absent and becomes this.
    Add(Value),
    /// The field is there and becomes this.
    Replace(Value),
    /// The field goes.
    Remove,
}

impl Fix {
    /// A fix that only a person may make.
    pub fn for_a_person(edits: Vec<Edit>) -> Self {
        Self {
            safety: Safety::Unsafe { proof: None },
            edits,
        }
    }

    /// Whether it may be made for the user.
    pub fn is_safe(&self) -> bool {
        self.safety == Safety::Safe
    }
}

impl Edit {
    /// Puts `value` at `path`, which is `present` or not.
    pub fn set(path: FieldPath, present: bool, value: impl Into<Value>) -> Self {
        let value = value.into();
        let operation = if present {
            Operation::Replace(value)
        } else {
            Operation::Add(value)
        };
        Self { operation, path }
    }

    /// Takes the field at `path` away.
    pub fn remove(path: FieldPath) -> Self {
        Self {
            operation: Operation::Remove,
            path,
        }
    }
}
