//! Denials: every finding in full, and what a person can run to read more.

use crate::mesh::line::one_line;
use crate::policy::verdict::Verdict;

use super::super::response::LINE_CHARACTERS;
use super::{TOLD, expired_exemption, first_check, head, more};

/// Whoever is used to repairs, or has changed a label only, does not expect a denial.
const MISSED: &str = "the repair was missed: mutate.tunnelguard.dev was not asked, or another webhook changed the entry after it";

/// The findings that deny, one a line; then what a person can run to read more.
pub(in crate::admission) fn denial(verdict: &Verdict, object: &str) -> Vec<String> {
    let findings = verdict.denied.iter().take(TOLD);
    let findings = findings.map(|finding| {
        let head = head(finding, object);
        format!("{head}: {}", finding.message())
    });
    let expired = verdict.expired.iter();
    let expired = expired.map(|expired| format!("{}.", expired_exemption(expired, object)));
    let untold = verdict.denied.len().saturating_sub(TOLD);
    let explained = first_check(&verdict.denied);
    let further = explained.filter(|_| untold > 0);
    let further = further.map(|check| format!("{}.", more(untold, check, object)));
    let missed = explained.filter(|_| verdict.missed);
    let missed = missed.map(|check| format!("{check} {object}: {MISSED}."));
    let lines = findings.chain(further).chain(missed);
    let mut lines: Vec<String> = lines.chain(expired).collect();
    if let (Some(last), Some(check)) = (lines.last_mut(), explained) {
        let hint = format!(" More: tunnelguard explain {check}");
        *last = one_line(last, LINE_CHARACTERS - hint.len()) + &hint;
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::super::testing::finding;
    use super::{LINE_CHARACTERS, denial};
    use crate::policy::check::CheckId;
    use crate::policy::proxy::Evidence;
    use crate::policy::verdict::{Expired, Verdict};

    #[test]
    fn a_denial_has_a_line_a_finding_and_ends_with_what_tells_more() {
        let verdict = Verdict {
            denied: vec![
                finding(&["corp"], Evidence::Declared, "HTTP", "Set TCP"),
                finding(&["b"], Evidence::Declared, "HTTP", "Set TCP"),
            ],
            expired: vec![Expired {
                check: CheckId(1),
                note: "the exemption expired".to_owned(),
            }],
            ..Verdict::default()
        };
        let line = |proxy: &str| {
            format!(
                "TG001 prod/two spec.ports[0].protocol: HTTP breaks {proxy} (10.20.0.5:3128, declared by policy corporate). Set protocol: TCP."
            )
        };
        let expired = "TG001 prod/two: the exemption expired. More: tunnelguard explain TG001";
        let expected = vec![line("corp"), line("b"), expired.to_owned()];
        assert_eq!(denial(&verdict, "prod/two"), expected);

        let mut long = verdict;
        long.expired.clear();
        long.denied[1].what = "x".repeat(9999);
        let lines = denial(&long, "prod/two");
        assert_eq!(lines[1].chars().count(), LINE_CHARACTERS);
        assert!(lines[1].ends_with("… More: tunnelguard explain TG001"));
    }

    #[test]
    fn a_denial_says_where_a_repair_was_missed() {
        let mut verdict = Verdict {
            denied: vec![finding(&["corp"], Evidence::Declared, "HTTP", "Set TCP")],
            missed: true,
            ..Verdict::default()
        };
        let said = denial(&verdict, "prod/two");
        let expected = "TG001 prod/two: the repair was missed: mutate.tunnelguard.dev was not asked, or another webhook changed the entry after it. More: tunnelguard explain TG001";
        assert_eq!((said.len(), &*said[1]), (2, expected));
        verdict.missed = false;
        assert_eq!(denial(&verdict, "prod/two").len(), 1);
    }

    #[test]
    fn a_denial_tells_as_many_findings_as_a_person_mends() {
        for (findings, lines, last) in [
            (16, 16, "Set protocol: TCP. More: tunnelguard explain TG001"),
            (
                17,
                17,
                "TG001 prod/two: and 1 more finding. More: tunnelguard explain TG001",
            ),
            (
                3000,
                17,
                "TG001 prod/two: and 2984 more findings. More: tunnelguard explain TG001",
            ),
        ] {
            let one = finding(&["corp"], Evidence::Declared, "HTTP", "Set TCP");
            let verdict = Verdict {
                denied: vec![one; findings],
                ..Verdict::default()
            };
            let said = denial(&verdict, "prod/two");
            assert_eq!(said.len(), lines);
            assert!(said[lines - 1].ends_with(last), "{}", said[lines - 1]);
        }
    }
}
