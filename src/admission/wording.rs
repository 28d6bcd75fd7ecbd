//! What whoever applies an object reads about it: warnings, and the lines of a denial.
//!
//! `kubectl apply` sends many objects and the API server does not say which of them an answer is
//! about, so each line does.

use crate::mesh::line::one_line;
use crate::policy::Finding;
use crate::policy::check::CheckId;
use crate::policy::finding::{Brief, FULL_NAME};
use crate::policy::verdict::{Expired, Verdict};

use super::response::{ALL_WARNINGS_CHARACTERS, LINE_CHARACTERS, WARNING_CHARACTERS};

/// How much of a long name is left at least: a namespace of some length, and some of the name.
const OBJECT_AT_LEAST: usize = 40;

/// How much of a proxy's name a warning shows, and how much where there is no room.
const PROXY: usize = FULL_NAME;
const PROXY_AT_LEAST: usize = 16;

/// `TG001 prod/two spec.ports[0].protocol HTTP: CONNECT to corp-squid gets 404; set TCP`, and what
/// tells more.
fn warning(finding: &Finding, object: &str) -> String {
    fitted(finding, object, |brief| brief.to_string())
}

/// A warning a finding and an exemption that expired; where they are too many, the last says so.
pub(super) fn warnings(verdict: &Verdict, object: &str) -> Vec<String> {
    let findings = verdict.warned.iter();
    let findings = findings.map(|finding| warning(finding, object));
    let expired = verdict.expired.iter();
    let expired = expired.map(|expired| expired_exemption(expired, object));
    let mut all: Vec<String> = findings.chain(expired).collect();
    if all.len() > TOLD {
        let untold = all.len() - (TOLD - 1);
        all.truncate(TOLD - 1);
        all.extend(first_check(&verdict.warned).map(|check| more(untold, check, object)));
    }
    all
}

/// What was changed, what would happen otherwise, and what was not seen.
pub(super) fn repair_warning(
    finding: &Finding,
    object: &str,
    changes: &str,
    unseen: &str,
) -> String {
    fitted(finding, object, |brief| {
        format!("repaired: {changes}, otherwise {}{unseen}", brief.fate)
    })
}

/// How many findings are told at once: a person mends these, and is told of the next. So many warnings
/// arrive whole, however long they are.
pub(super) const TOLD: usize = 16;
const _: () = assert!(TOLD * WARNING_CHARACTERS <= ALL_WARNINGS_CHARACTERS);

/// Whoever is used to repairs, or has changed a label only, does not expect a denial.
const MISSED: &str = "the repair was missed: mutate.tunnelguard.dev was not asked, or another webhook changed the entry after it";

/// The findings that deny, one a line; then what a person can run to read more.
pub(super) fn denial(verdict: &Verdict, object: &str) -> Vec<String> {
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
pub(super) fn expired_exemption(expired: &Expired, object: &str) -> String {
    format!("{} {object}: {}", expired.check, expired.note)
}

fn head(finding: &Finding, object: &str) -> String {
    let (check, path) = (finding.check, finding.path.shown());
    match path.as_str() {
        "" => format!("{check} {object}"),
        path => format!("{check} {object} {path}"),
    }
}

/// A warning no longer than one may be. Where room is short the object's name is shortened, then
/// the hint goes, then the proxy's name is shortened: never what happens, and never the edit.
fn fitted(finding: &Finding, object: &str, words: impl Fn(Brief) -> String) -> String {
    let hint = format!(" (tunnelguard explain {})", finding.check);
    let said = |object: &str, proxy: usize, hint: &str| {
        let words = words(finding.brief_about(proxy));
        format!("{} {words}{hint}", head(finding, object))
    };
    let needed = object.chars().count().min(OBJECT_AT_LEAST);
    let attempts = [(PROXY, &*hint), (PROXY, ""), (PROXY_AT_LEAST, "")];
    let mut room = 0;
    for (proxy, hint) in attempts {
        let others = said("", proxy, hint).chars().count();
        room = WARNING_CHARACTERS.saturating_sub(others);
        if room >= needed {
            return said(&one_line(object, room), proxy, hint);
        }
    }
    said(&one_line(object, room), PROXY_AT_LEAST, "")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{LINE_CHARACTERS, OBJECT_AT_LEAST, denial, repair_warning, warning, warnings};
    use crate::mesh::FieldPath;
    use crate::policy::check::CheckId;
    use crate::policy::finding::{Brief, Concerned, Finding, Severity};
    use crate::policy::proxy::{Evidence, Proxy, Users};
    use crate::policy::verdict::{Expired, Verdict};

    /// A finding about proxies of these names.
    fn finding(names: &[&str], evidence: Evidence, state: &str, edit: &str) -> Finding {
        let proxy = |name: &&str| Concerned {
            proxy: Arc::new(Proxy {
                name: (**name).into(),
                policy: "corporate".into(),
                evidence,
                hosts: Vec::new(),
                addresses: vec!["10.20.0.5/32".parse().unwrap()],
                ports: vec![3128],
                tls: false,
                tunnel: false,
                users: Users {
                    workloads: usize::from(evidence == Evidence::Observed) * 214,
                    first: "payments/api".into(),
                    cluster: false,
                },
            }),
            port: 3128,
            severity: Severity::Error,
        };
        Finding {
            check: CheckId(1),
            severity: Severity::Error,
            path: FieldPath::spec().key("ports").index(0).key("protocol"),
            port: Some(3128),
            what: "HTTP breaks {proxy}".to_owned(),
            edit: "Set protocol: TCP".to_owned(),
            brief: Brief::new(state, "CONNECT to {proxy} gets 404", edit),
            proxies: names.iter().map(proxy).collect(),
            fix: None,
        }
    }

    #[test]
    fn a_warning_names_object_field_proxies_and_edit() {
        use Evidence::{Declared, Observed, Suspected};
        for (names, evidence, proxies) in [
            (&["corp"][..], Declared, "corp"),
            (&["corp", "b"], Declared, "corp and 1 other"),
            (&["corp", "b", "c"], Declared, "corp and 2 others"),
            (&["a.test"], Suspected, "a.test (suspected)"),
            (
                &["a.test"],
                Observed,
                "a.test (used by 214 workloads, e.g. payments/api)",
            ),
            (&["two words"], Declared, r#""two words""#),
        ] {
            let finding = finding(names, evidence, "HTTP", "Set TCP");
            let said = format!(
                "TG001 prod/two spec.ports[0].protocol HTTP: CONNECT to {proxies} gets 404; set TCP (tunnelguard explain TG001)"
            );
            assert_eq!(warning(&finding, "prod/two"), said);
            for unseen in ["", "; judged by this object alone"] {
                let said = format!(
                    "TG001 prod/two spec.ports[0].protocol repaired: HTTP→TCP, otherwise CONNECT to {proxies} gets 404{unseen} (tunnelguard explain TG001)"
                );
                let found = repair_warning(&finding, "prod/two", "HTTP→TCP", unseen);
                assert_eq!(found, said);
            }
        }
    }

    #[test]
    fn where_room_is_short_the_edit_stays() {
        let hint = "(tunnelguard explain TG001)";
        let (long, edit) = (format!("prod/{}", "x".repeat(253)), "set TCP".to_owned());
        let longer = format!("set TCP and {}", "y".repeat(80));
        let longest = format!("set TCP and {}", "y".repeat(110));
        let proxy = "p".repeat(99);
        // (proxy, edit, what is left of the proxy's name, whether the hint is)
        use Evidence::{Declared, Observed};
        let used = "(used by 214 workloads, e.g. payments/api)";
        for (name, evidence, edit, proxies, has_hint) in [
            ("corp", Declared, &edit, "corp".to_owned(), true),
            ("corp", Declared, &longer, "corp".to_owned(), true),
            (
                &*proxy,
                Declared,
                &edit,
                format!("{}…", "p".repeat(39)),
                true,
            ),
            (
                &*proxy,
                Declared,
                &longer,
                format!("{}…", "p".repeat(39)),
                false,
            ),
            (
                &*proxy,
                Declared,
                &longest,
                format!("{}…", "p".repeat(15)),
                false,
            ),
            ("corp", Observed, &edit, format!("corp {used}"), true),
            (
                "corp",
                Observed,
                &longest,
                "corp (observed)".to_owned(),
                false,
            ),
        ] {
            let finding = finding(&[name], evidence, "HTTP", edit);
            let said = warning(&finding, &long);
            assert_eq!(said.chars().count(), 256, "{said}");
            // Some of the object's name is left.
            let object = format!("TG001 {}", &long[..OBJECT_AT_LEAST - 1]);
            assert!(said.starts_with(&object), "{said}");
            assert!(said.contains("x… spec.ports[0].protocol HTTP: "), "{said}");
            let rest = format!("CONNECT to {proxies} gets 404; {edit}");
            let rest = match has_hint {
                true => format!("{rest} {hint}"),
                false => rest,
            };
            assert!(said.ends_with(&rest), "{rest}: {said}");
        }
    }

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

    #[test]
    fn warnings_that_are_not_given_are_counted() {
        for (findings, told, last) in [
            (16, 16, "(tunnelguard explain TG001)"),
            (17, 16, "TG001 prod/two: and 2 more findings"),
            (3000, 16, "TG001 prod/two: and 2985 more findings"),
        ] {
            let one = finding(&["corp"], Evidence::Declared, "HTTP", "Set TCP");
            let verdict = Verdict {
                warned: vec![one; findings],
                ..Verdict::default()
            };
            let said = warnings(&verdict, "prod/two");
            assert_eq!(said.len(), told);
            assert!(said[told - 1].ends_with(last), "{}", said[told - 1]);
        }
    }
}
