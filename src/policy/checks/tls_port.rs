//! TG011: TLS or HTTPS on a proxy that takes a plaintext CONNECT.
//!
//! **What it does.** Reports a port of a known proxy with `protocol: TLS` or `HTTPS`, where the
//! proxy is not declared with `tls: true`.
//!
//! **Why.** With a single address it works by accident: the listener forwards whatever comes.
//! Without one the listener waits for a TLS handshake with the entry's host as server name, which
//! a plaintext CONNECT never sends: forwarded under ALLOW_ANY, closed under REGISTRY_ONLY.
//!
//! **Fix.** `protocol: TCP`, unsafe, and only with an address; never for STATIC without endpoints.

use crate::policy::check::{Check, CheckId};
use crate::policy::finding::{Brief, Finding};
use crate::policy::repair::repair_by_a_person;
use crate::policy::spec::Mode;
use crate::policy::subject::Subject;
use crate::policy::words::Words;

/// See the module.
pub(super) static CHECK: Check = Check {
    id: CheckId(11),
    title: "TLS on a proxy that takes a plaintext CONNECT",
    ceiling: Mode::Enforce,
    page: include_str!("../../../docs/checks/TG011.md"),
    run,
};

fn run(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    let entry = subject.entry;
    for claim in &subject.claims {
        let protocol = claim.port.protocol;
        if !protocol.is_tls() || claim.proxy.tls {
            continue;
        }
        let has_address = entry.usable_addresses().next().is_some();
        let what = match (claim.worst().is_some(), has_address) {
            (true, _) => format!(
                "{protocol} waits for a TLS handshake, so the mesh closes a plaintext CONNECT through {{proxy}}"
            ),
            (false, true) => format!(
                "{protocol} lets a plaintext CONNECT through {{proxy}} pass only because the entry has an address"
            ),
            (false, false) => format!(
                "{protocol} lets a plaintext CONNECT through {{proxy}} pass only by the outbound policy"
            ),
        };
        let fate = match claim.worst() {
            Some(_) => "plaintext CONNECT to {proxy} is closed",
            None => "plaintext CONNECT to {proxy} works only by chance",
        };
        let repair = repair_by_a_person(subject, claim);
        let words = Words {
            what,
            edit: format!(
                "{}; if the proxy itself expects TLS, declare it with tls: true",
                repair.advice.at_length
            ),
            brief: Brief::new(protocol.to_string(), fate, &repair.advice.in_brief),
        };
        let path = claim.port.path("protocol");
        let mut finding = subject.finding(&CHECK, claim, path, words);
        finding.fix = repair.fix;
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
                    "with an address",
                    "{hosts: [proxy.corp], addresses: [10.20.0.5], ports: [{number: 3128, name: p, protocol: TLS}]}",
                    "warning, unsafe",
                ),
                (
                    "HTTPS",
                    "{hosts: [proxy.corp], addresses: [10.20.0.5], ports: [{number: 3128, name: p, protocol: HTTPS}]}",
                    "warning, unsafe",
                ),
                (
                    "without",
                    "{hosts: [proxy.corp], ports: [{number: 3128, name: p, protocol: TLS}]}",
                    "warning, unsafe",
                ),
                (
                    "without, REGISTRY_ONLY",
                    "{hosts: [proxy.corp], ports: [{number: 3128, name: p, protocol: TLS}]}",
                    "error, unsafe",
                ),
                (
                    "without, as TCP it would take what is others'",
                    "{hosts: [proxy.corp], resolution: DNS, ports: [{number: 3128, name: p, protocol: TLS}]}",
                    "warning",
                ),
                (
                    "STATIC without endpoints",
                    "{hosts: [proxy.corp], addresses: [10.20.0.5], resolution: STATIC, ports: [{number: 3128, name: p, protocol: TLS}]}",
                    "error",
                ),
                (
                    "a TLS proxy",
                    "{hosts: [tls.corp], addresses: [10.20.0.9], ports: [{number: 8443, name: p, protocol: TLS}]}",
                    "",
                ),
                (
                    "TCP",
                    "{hosts: [proxy.corp], addresses: [10.20.0.5], ports: [{number: 3128, name: p, protocol: TCP}]}",
                    "",
                ),
                (
                    "nobody's proxy",
                    "{hosts: [api.test], addresses: [10.9.9.9], ports: [{number: 3128, name: p, protocol: TLS}]}",
                    "",
                ),
            ],
        );
    }
}
