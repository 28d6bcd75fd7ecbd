//! TG008: several hosts, or a wildcard, on a TCP port.
//!
//! **What it does.** Reports a port of a known proxy that is neither HTTP nor TLS, in an entry
//! with several hosts or a wildcard and a resolution other than NONE, where istiod refuses that.
//!
//! **Why.** Opaque TCP carries no host name, so istiod cannot tell the hosts apart ("multiple
//! hosts provided with non-HTTP, non-TLS ports"), and a wildcard cannot be resolved by DNS. This
//! is also why turning HTTP into TCP can make an object invalid.
//!
//! **Fix.** Resolution NONE, which ignores the hosts, or one entry a host; unsafe.

use crate::mesh::FieldPath;
use crate::mesh::validation::{Rule, validate};
use crate::policy::check::{Check, CheckId};
use crate::policy::finding::{Brief, Finding};
use crate::policy::spec::Mode;
use crate::policy::subject::Subject;
use crate::policy::words::{Words, as_dialled, capitalised};

use super::several_addresses::forward_as_dialled;

/// See the module.
pub(super) static CHECK: Check = Check {
    id: CheckId(8),
    title: "several hosts or a wildcard on a TCP port",
    ceiling: Mode::Enforce,
    page: include_str!("../../../docs/checks/TG008.md"),
    run,
};

fn run(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    let entry = subject.entry;
    let mut rules = validate(entry).into_iter().map(|rejection| rejection.rule);
    if !rules.any(|rule| matches!(rule, Rule::ManyHosts | Rule::WildcardWithDns)) {
        return;
    }
    let several = entry.hosts.len() > 1;
    let kind = if several {
        "several hosts"
    } else {
        "a wildcard host"
    };
    for claim in &subject.claims {
        if !claim.port.protocol.is_tcp() || claim.port.protocol.is_tls() {
            continue;
        }
        let resolution = entry.resolution.name();
        let (edit, brief_edit) = match (as_dialled(entry), several) {
            (Some(forward), true) => (format!("{forward}, or write one entry a host"), forward),
            (Some(forward), false) => (forward.to_owned(), forward),
            (None, true) => (
                "write one entry a host".to_owned(),
                "write one entry a host",
            ),
            (None, false) => ("write the host out".to_owned(), "write the host out"),
        };
        // istiod acts on what gets in all the same, and no name server knows a wildcard.
        let unanswered = if claim.worst().is_some() && !several {
            ", and where one gets in every connection is closed, for DNS has no answer for it"
        } else {
            ""
        };
        let words = Words {
            what: format!(
                "istiod rejects {kind} on the TCP port of {{proxy}} with resolution {resolution}{unanswered}"
            ),
            edit: capitalised(&edit),
            brief: Brief::new(
                format!("holds {kind}"),
                format!(
                    "with resolution {resolution} istiod rejects that on the TCP port of {{proxy}}"
                ),
                brief_edit,
            ),
        };
        let mut finding = subject.finding(&CHECK, claim, FieldPath::spec().key("hosts"), words);
        finding.fix = forward_as_dialled(entry);
        findings.push(finding);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::table;

    #[test]
    fn rows() {
        table(
            &super::CHECK,
            &[
                (
                    "two hosts with DNS",
                    "{hosts: [proxy.corp, a.corp], addresses: [10.20.0.5], resolution: DNS, ports: [{number: 3128, name: p, protocol: TCP}]}",
                    "warning, unsafe",
                ),
                (
                    "two hosts with STATIC",
                    "{hosts: [proxy.corp, a.corp], addresses: [10.20.0.5], resolution: STATIC, endpoints: [{address: 10.20.0.5}], ports: [{number: 3128, name: p, protocol: TCP}]}",
                    "warning, unsafe",
                ),
                (
                    "a wildcard with DNS",
                    "{hosts: ['*.proxy.corp'], addresses: [10.20.0.5], resolution: DNS, ports: [{number: 3128, name: p, protocol: TCP}]}",
                    "error, unsafe",
                ),
                (
                    "two hosts with NONE",
                    "{hosts: [proxy.corp, a.corp], addresses: [10.20.0.5], ports: [{number: 3128, name: p, protocol: TCP}]}",
                    "",
                ),
                (
                    "one host with DNS",
                    "{hosts: [proxy.corp], addresses: [10.20.0.5], resolution: DNS, ports: [{number: 3128, name: p, protocol: TCP}]}",
                    "",
                ),
                (
                    "HTTP may have several",
                    "{hosts: [proxy.corp, a.corp], addresses: [10.20.0.5], resolution: DNS, ports: [{number: 3128, name: p, protocol: HTTP}]}",
                    "",
                ),
                (
                    "nobody's proxy",
                    "{hosts: [api.test, b.test], addresses: [10.9.9.9], resolution: DNS, ports: [{number: 3128, name: p, protocol: TCP}]}",
                    "",
                ),
            ],
        );
    }
}
