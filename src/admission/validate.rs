//! `/validate`: the verdict on the final object.

use jiff::civil::Date;

use crate::mesh::ServiceEntry;
use crate::policy::check::Context;
use crate::policy::verdict::{Verdict, judge};
use crate::policy::{Finding, evaluate};

use super::line::one_line;
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
    let mut warnings: Vec<String> = verdict.warned.iter().map(Finding::warning).collect();
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

/// How many findings a denial tells: a person mends these, and is told of the next.
const TOLD: usize = 16;

/// Names are the user's and may be long; a whole ServiceEntry to copy has some hundred characters.
const LINE_CHARACTERS: usize = 2048;

/// The findings that deny, one a line; then what a person can run to read more.
fn denial(verdict: &Verdict) -> String {
    let told = verdict.denied.iter().take(TOLD);
    let told =
        told.map(|finding| format!("{} {}: {}", finding.check, finding.path, finding.message()));
    let mut lines: Vec<String> = told.map(|line| one_line(&line, LINE_CHARACTERS)).collect();
    if verdict.denied.len() > TOLD {
        lines.push(format!("And {} more.", verdict.denied.len() - TOLD));
    }
    lines.extend(verdict.expired.iter().map(|note| format!("{note}.")));
    let explain = verdict
        .denied
        .first()
        .map(|finding| finding.check.to_string());
    if let (Some(last), Some(check)) = (lines.last_mut(), explain) {
        last.push_str(&format!(" More: tunnelguard explain {check}"));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::{Verdict, denial};
    use crate::mesh::FieldPath;
    use crate::policy::checks::unreadable::unreadable;

    #[test]
    fn a_denial_can_be_read() {
        // (findings, characters of each, lines, the last of them)
        for (findings, characters, lines, last) in [
            (
                1,
                3,
                1,
                "TG000 spec.ports[0]: xxx. More: tunnelguard explain TG000",
            ),
            (
                16,
                3,
                16,
                "TG000 spec.ports[15]: xxx. More: tunnelguard explain TG000",
            ),
            (17, 3, 17, "And 1 more. More: tunnelguard explain TG000"),
            (
                3000,
                9999,
                17,
                "And 2984 more. More: tunnelguard explain TG000",
            ),
        ] {
            let path = |n| FieldPath::spec().key("ports").index(n);
            let text = "x".repeat(characters);
            let verdict = Verdict {
                denied: (0..findings).map(|n| unreadable(path(n), &text)).collect(),
                ..Verdict::default()
            };
            let said = denial(&verdict);
            assert_eq!(said.lines().count(), lines);
            assert_eq!(said.lines().last(), Some(last));
            assert!(said.chars().count() < 40_000, "{}", said.chars().count());
        }
    }
}
