//! `/validate`: the verdict on the final object.

use jiff::civil::Date;

use crate::mesh::ServiceEntry;
use crate::mesh::line::NAME_CHARACTERS;
use crate::policy::check::Context;
use crate::policy::verdict::{Verdict, judge};
use crate::policy::{Finding, evaluate};

use super::record::Decision;
use super::request::Request;
use super::response::{Answer, Denial};
use super::review::{Outcome, read, summary};

/// May deny, never patches.
pub(super) fn validate(
    request: &Request<'_>,
    entry: &ServiceEntry,
    context: Context<'_>,
    today: Date,
) -> Outcome {
    let findings = evaluate(entry, context);
    if findings.is_empty() {
        return Outcome::allowed();
    }
    let old = request.old_object.and_then(|old| read(old, request));
    let known = old.as_ref().map(|old| evaluate(old, context));
    let old = old.as_ref().zip(known.as_deref());
    let verdict = judge(findings, entry, old, &context, today);
    if !verdict.is_allowed() {
        let answer = Answer {
            denial: Some(Denial::forbidden(denial(&verdict))),
            audit: vec![
                ("decision", Decision::Denied.name().to_owned()),
                ("findings", summary(&verdict.denied)),
            ],
            ..Answer::default()
        };
        return Outcome::new(answer, Decision::Denied, &verdict.denied);
    }
    if verdict.warned.is_empty() && verdict.expired.is_empty() {
        return Outcome::allowed();
    }
    let mut warnings: Vec<String> = verdict.warned.iter().map(warning).collect();
    warnings.extend(verdict.expired);
    let answer = Answer {
        warnings,
        audit: vec![
            ("decision", Decision::Warned.name().to_owned()),
            ("findings", summary(&verdict.warned)),
        ],
        ..Answer::default()
    };
    Outcome::new(answer, Decision::Warned, &verdict.warned)
}

/// The finding as a warning: id, field, proxy, edit.
fn warning(finding: &Finding) -> String {
    let (check, path) = (finding.check, finding.path.shown());
    let brief = finding.brief_about(NAME_CHARACTERS);
    format!("{check} {path} {brief} (tunnelguard explain {check})")
}

/// Every finding that denies, one a line; then what a person can run to read more.
fn denial(verdict: &Verdict) -> Vec<String> {
    let mut lines: Vec<String> = verdict
        .denied
        .iter()
        .map(|finding| {
            format!(
                "{} {}: {}",
                finding.check,
                finding.path.shown(),
                finding.message()
            )
        })
        .collect();
    lines.extend(verdict.expired.iter().map(|note| format!("{note}.")));
    let explain = verdict
        .denied
        .first()
        .map(|finding| finding.check.to_string());
    if let (Some(last), Some(check)) = (lines.last_mut(), explain) {
        last.push_str(&format!(" More: tunnelguard explain {check}"));
    }
    lines
}
