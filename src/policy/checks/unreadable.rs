//! TG000: a field of the wrong type.
//!
//! **What it does.** Reports every field that cannot be used as it stands: a string where a list
//! belongs, a port above 65535, a resolution that does not exist, a list that is longer than the CRD
//! allows. Documents that cannot be read at all are reported under the same id by `lint`, and, as a
//! warning, entries that are too large to be judged in full.
//!
//! **Why.** The API server will refuse the object, and what cannot be read cannot be judged.
//!
//! **Fix.** None: only the author knows what was meant.

use crate::mesh::FieldPath;
use crate::policy::check::{Check, CheckId};
use crate::policy::finding::{Brief, Finding, Severity};
use crate::policy::spec::Mode;
use crate::policy::subject::Subject;

/// See the module.
pub(crate) static CHECK: Check = Check {
    id: CheckId(0),
    title: "a document that cannot be read, or a field of the wrong type",
    ceiling: Mode::Enforce,
    page: include_str!("../../../docs/checks/TG000.md"),
    run,
};

fn run(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    for problem in &subject.entry.problems {
        findings.push(unreadable(problem.path.clone(), &problem.message));
    }
}

/// The finding about a field, or with the root as path about a whole document.
pub(crate) fn unreadable(path: FieldPath, message: &str) -> Finding {
    Finding {
        check: CHECK.id,
        severity: Severity::Error,
        path,
        port: None,
        what: message.to_owned(),
        edit: String::new(),
        brief: Brief::new(message, "", ""),
        proxies: Vec::new(),
        fix: None,
    }
}

/// The warning about an entry that was more work than one look at an entry may be.
pub(crate) fn judged_in_part() -> Finding {
    let message = "too large to be judged in full: its ports, hosts and addresses multiply";
    Finding {
        edit: "Split the entry".to_owned(),
        brief: Brief::new(message, "", "Split the entry"),
        ..unreadable(FieldPath::spec(), message)
    }
    .rated(Severity::Warning)
}

#[cfg(test)]
mod tests {
    use super::super::testing::table;

    #[test]
    fn rows() {
        table(
            &super::CHECK,
            &[
                ("ports is a string", "{hosts: [a.b], ports: nope}", "error"),
                (
                    "protocol is a number",
                    "{hosts: [a.b], ports: [{number: 80, name: a, protocol: 7}]}",
                    "error",
                ),
                (
                    "number is a string",
                    "{hosts: [a.b], ports: [{number: '80', name: a}]}",
                    "error",
                ),
                (
                    "number is too large",
                    "{hosts: [a.b], ports: [{number: 70000, name: a}]}",
                    "error",
                ),
                (
                    "resolution does not exist",
                    "{hosts: [a.b], resolution: dns}",
                    "error",
                ),
                ("a null among hosts", "{hosts: [a.b, null]}", "error"),
                ("two at once", "{hosts: 7, ports: 7}", "error; error"),
                (
                    "all as it should be",
                    "{hosts: [a.b], ports: [{number: 80, name: a, protocol: HTTP}]}",
                    "",
                ),
                (
                    "null is absent",
                    "{hosts: [a.b], ports: null, location: null}",
                    "",
                ),
                (
                    "a whole number written as a float",
                    "{hosts: [a.b], ports: [{number: 80.0, name: a}]}",
                    "",
                ),
                ("a field nobody knows", "{hosts: [a.b], colour: red}", ""),
            ],
        );
    }

    #[test]
    fn what_is_too_long_is_not_read() {
        let list = |item: &str, count: usize| vec![item; count].join(", ");
        let hosts = |count| format!("{{hosts: [{}]}}", list("a.b", count));
        let addresses = |count| format!("{{addresses: [{}]}}", list("10.0.0.1", count));
        let ports = |count| format!("{{ports: [{}]}}", list("{number: 80, name: a}", count));
        let endpoints = |count| format!("{{endpoints: [{}]}}", list("{}", count));
        let export_to = |count| format!("{{exportTo: [{}]}}", list("a", count));
        let host = |length| format!("{{hosts: [{}]}}", "a".repeat(length));
        for (yaml, expected) in [
            (hosts(256), ""),
            (hosts(257), "error"),
            (addresses(256), ""),
            (addresses(257), "error"),
            (ports(256), ""),
            (ports(257), "error"),
            (endpoints(4096), ""),
            (endpoints(4097), "error"),
            (export_to(4096), ""),
            (export_to(4097), "error"),
            (host(1024), ""),
            (host(1025), "error"),
        ] {
            table(&super::CHECK, &[(&yaml[..20], &yaml, expected)]);
        }
    }
}
