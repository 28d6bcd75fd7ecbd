//! `/validate`: the verdict on the final object.

use jiff::civil::Date;

use crate::mesh::ServiceEntry;
use crate::policy::check::Context;
use crate::policy::evaluate;
use crate::policy::verdict::judge;

use super::outcome::{Outcome, summary};
use super::record::Decision;
use super::request::Request;
use super::response::{Answer, Denial};
use super::wording::{denial, warnings};

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
    let old = request.old_object.and_then(|old| request.entry(old));
    let known = old.as_ref().map(|old| evaluate(old, context));
    let old = old.as_ref().zip(known.as_deref());
    let verdict = judge(findings, entry, old, &context, today);
    let object = request.object_name();
    if !verdict.is_allowed() {
        let answer = Answer {
            denial: Some(Denial::forbidden(denial(&verdict, &object))),
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
    let answer = Answer {
        warnings: warnings(&verdict, &object),
        audit: vec![
            ("decision", Decision::Warned.name().to_owned()),
            ("findings", summary(&verdict.warned)),
        ],
        ..Answer::default()
    };
    Outcome::new(answer, Decision::Warned, &verdict.warned)
}
