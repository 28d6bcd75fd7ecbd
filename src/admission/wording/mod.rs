//! What whoever applies an object reads about it: warnings, and the lines of a denial.
//!
//! `kubectl apply` sends many objects and the API server does not say which of them an answer is
//! about, so each line does.

mod denial;
#[cfg(test)]
mod testing;
mod warning;

use crate::mesh::line::one_line;
use crate::policy::Finding;
use crate::policy::check::CheckId;
use crate::policy::verdict::Expired;

use super::response::{ALL_WARNINGS_CHARACTERS, WARNING_CHARACTERS};
pub(super) use denial::denial;
pub(super) use warning::{repair_warning, warnings};

/// How many findings are told at once: a person mends these, and is told of the next. So many warnings
/// arrive whole, however long they are.
pub(super) const TOLD: usize = 16;
const _: () = assert!(TOLD * WARNING_CHARACTERS <= ALL_WARNINGS_CHARACTERS);

fn first_check(findings: &[Finding]) -> Option<CheckId> {
    findings.first().map(|finding| finding.check)
}

/// That there are findings besides those that are told; so short that the number always stays.
fn more(count: usize, check: CheckId, object: &str) -> String {
    let object = one_line(object, WARNING_CHARACTERS / 2);
    let findings = if count == 1 { "finding" } else { "findings" };
    format!("{check} {object}: and {count} more {findings}")
}

/// An exemption that did not help any more.
fn expired_exemption(expired: &Expired, object: &str) -> String {
    format!("{} {object}: {}", expired.check, expired.note)
}

fn head(finding: &Finding, object: &str) -> String {
    let (check, path) = (finding.check, finding.path.shown());
    match path.as_str() {
        "" => format!("{check} {object}"),
        path => format!("{check} {object} {path}"),
    }
}
