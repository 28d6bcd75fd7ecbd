//! What a review came to, for whoever logs and counts it.

use crate::mesh::line::one_line;

use super::request::{Operation, Request};

/// What a review came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Decision {
    /// Nothing to say.
    Allowed,
    /// Allowed, with warnings.
    Warned,
    /// Patched.
    Repaired,
    /// Refused.
    Denied,
    /// Not judged, because judging failed: see [`Record::failure`].
    Failed,
}

impl Decision {
    /// As it stands in logs, metrics and audit annotations.
    pub fn name(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Warned => "warned",
            Self::Repaired => "repaired",
            Self::Denied => "denied",
            Self::Failed => "failed",
        }
    }
}

/// What the log says of a review: no user data beyond the object's name, and all of it on one line
/// of bounded length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The review's uid.
    pub uid: String,
    /// What is done to the object.
    pub operation: Operation,
    /// `namespace/name`, or `namespace/prefix*` for an object that has yet to get its name.
    pub object: String,
    /// What it came to.
    pub decision: Decision,
    /// The ids of the findings in force, each once.
    pub checks: Vec<String>,
    /// Whether nothing will be stored.
    pub dry_run: bool,
    /// What the panic said that ended judging. A panic may quote the object.
    pub failure: Option<String>,
}

/// A UUID has 36 characters; whoever sends more need not fill the log.
const UID_CHARACTERS: usize = 64;

impl Record {
    pub(super) fn new(
        request: &Request<'_>,
        decision: Decision,
        checks: Vec<String>,
        failure: Option<String>,
    ) -> Self {
        Self {
            uid: one_line(&request.uid, UID_CHARACTERS),
            operation: request.operation(),
            object: request.object_name(),
            decision,
            checks,
            dry_run: request.dry_run.unwrap_or(false),
            failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Decision, Record};
    use crate::admission::request::{Operation, parse};

    #[test]
    fn nobody_fills_the_log() {
        for (uid, name, object) in [
            ("u-1", "x", "n/x".to_owned()),
            ("u-1", &*"x".repeat(253), format!("n/{}", "x".repeat(253))),
            ("u-1", "x\\ny", "n/x y".to_owned()),
            (
                &*"u".repeat(256),
                &*"x".repeat(9999),
                format!("n/{}…", "x".repeat(315)),
            ),
        ] {
            let body = format!(
                r#"{{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request":
                {{"uid": "{uid}", "operation": "{uid}", "namespace": "n", "name": "{name}"}}}}"#
            );
            let request = parse(body.as_bytes()).unwrap();
            let record = Record::new(&request, Decision::Allowed, Vec::new(), None);
            assert_eq!(record.object, object);
            assert_eq!(record.operation, Operation::Other);
            assert!(record.uid.chars().count() <= 64, "{}", record.uid);
        }
    }
}
