//! Warnings: a line for each finding, no longer than kubectl shows.

use crate::mesh::line::one_line;
use crate::policy::Finding;
use crate::policy::finding::{Brief, FULL_NAME};
use crate::policy::verdict::Verdict;

use super::super::response::WARNING_CHARACTERS;
use super::{TOLD, expired_exemption, first_check, head, more};

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
pub(in crate::admission) fn warnings(verdict: &Verdict, object: &str) -> Vec<String> {
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
pub(in crate::admission) fn repair_warning(
    finding: &Finding,
    object: &str,
    changes: &str,
    unseen: &str,
) -> String {
    fitted(finding, object, |brief| {
        format!("repaired: {changes}, otherwise {}{unseen}", brief.fate)
    })
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
    use super::super::testing::finding;
    use super::{OBJECT_AT_LEAST, repair_warning, warning, warnings};
    use crate::policy::proxy::Evidence;
    use crate::policy::verdict::Verdict;

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
