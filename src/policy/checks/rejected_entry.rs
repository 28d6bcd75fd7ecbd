//! TG023: istiod rejects the entry.
//!
//! **What it does.** Reports an entry that claims a proxy and that istiod's validation refuses for a
//! reason that no other check tells, nor the advice for a port that Envoy parses.
//!
//! **Why.** In a cluster with istiod's webhook the entry does not get in, and the proxy stays
//! undeclared. Where it gets in, before that webhook runs or beside it, it may work for years until
//! somebody edits it.
//!
//! **Fix.** None: what was meant is for a person to say.

use crate::mesh::service_entry::Resolution;
use crate::mesh::validation::{Rule, validate};
use crate::policy::check::{Check, CheckId};
use crate::policy::finding::{Brief, Finding, Severity};
use crate::policy::spec::Mode;
use crate::policy::subject::Subject;
use crate::policy::words::Words;

/// See the module.
pub(super) static CHECK: Check = Check {
    id: CheckId(23),
    title: "istiod rejects the entry",
    ceiling: Mode::Audit,
    page: include_str!("../../../docs/checks/TG023.md"),
    run,
};

fn run(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    for rejection in validate(subject.entry) {
        let Some(edit) = way_out(rejection.rule, subject.entry.resolution) else {
            continue;
        };
        for claim in &subject.claims {
            // What is advised for a port that Envoy parses says what istiod would refuse beside it.
            let protocol = claim.port.protocol;
            if protocol.is_http() || protocol.is_sniffed() {
                continue;
            }
            let words = Words {
                what: format!("istiod rejects the entry of {{proxy}}: {}", rejection.rule),
                edit: edit.to_owned(),
                brief: Brief::new("is rejected by istiod", rejection.rule.to_string(), edit),
            };
            let finding = subject.finding(&CHECK, claim, rejection.path.clone(), words);
            findings.push(finding.rated(Severity::Warning));
        }
    }
}

/// The edit to make; `None` where another check says it.
fn way_out(rule: Rule, resolution: Resolution) -> Option<&'static str> {
    Some(match rule {
        // TG003, TG007, TG008 and TG009.
        Rule::UnknownProtocol
        | Rule::BadAddress
        | Rule::PrefixWithDns
        | Rule::ManyHosts
        | Rule::WildcardWithDns
        | Rule::DynamicDns => return None,
        Rule::NoHost => "Name the proxy's host",
        Rule::BadHost => "Write a DNS name",
        Rule::DuplicatePort => "Give each port a name and a number of its own",
        Rule::BadPortName => "Write a DNS label, such as tcp",
        Rule::EndpointsWithNone => "Remove the endpoints",
        Rule::EndpointsWithSelector => "Keep either the endpoints or the workloadSelector",
        Rule::BadEndpoint if resolution == Resolution::Static => "Write an IP",
        Rule::BadEndpoint => "Write an IP or a host name",
        Rule::UnknownEndpointPort => "Use the name of one of the entry's ports",
        Rule::ManyRoundRobinEndpoints => "Keep one endpoint, or set resolution: DNS",
        Rule::BadExportTo => "List namespaces, or * alone",
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::table;

    #[test]
    fn rows() {
        let entry = |rest: &str| {
            format!(
                "{{hosts: [proxy.corp], addresses: [10.20.0.5], ports: [{{number: 3128, name: p, protocol: TCP}}]{rest}}}"
            )
        };
        for (name, rest, expected) in [
            (
                "a name as a STATIC endpoint",
                ", resolution: STATIC, endpoints: [{address: 10.20.0.5}, {address: a.corp}]",
                "warning",
            ),
            (
                "IPs as STATIC endpoints",
                ", resolution: STATIC, endpoints: [{address: 10.20.0.5}]",
                "",
            ),
            (
                "endpoints with NONE",
                ", endpoints: [{address: 10.20.0.5}]",
                "warning",
            ),
            ("exportTo twice", ", exportTo: [a, a]", "warning"),
            ("exportTo a namespace", ", exportTo: [a, b]", ""),
            (
                "a port that the entry does not have",
                ", resolution: STATIC, endpoints: [{address: 10.20.0.5, ports: {q: 3128}}]",
                "warning",
            ),
        ] {
            table(&super::CHECK, &[(name, &entry(rest), expected)]);
        }
        let others = "{hosts: [proxy.corp], addresses: [proxy.corp], ports: [{number: 3128, name: p, protocol: TPC}]}";
        table(&super::CHECK, &[("told by other checks", others, "")]);
    }
}
