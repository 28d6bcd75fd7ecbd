//! TG015: UDP, Mongo, Redis or MySQL on a proxy's port.
//!
//! **What it does.** Reports a port of a known proxy with one of these protocols.
//!
//! **Why.** UDP builds no listener, as if the entry were not there: an HTTP entry elsewhere on
//! the port still breaks the proxy, and REGISTRY_ONLY closes it. Mongo, Redis and MySQL forward a
//! CONNECT only because their filters look away; Mongo and MySQL also refuse to share the port.
//!
//! **Fix.** None: the author has to say what the port is.

use crate::mesh::protocol::Protocol;
use crate::policy::check::{Check, CheckId};
use crate::policy::finding::{Brief, Finding};
use crate::policy::repair::repair_by_a_person;
use crate::policy::spec::Mode;
use crate::policy::subject::Subject;
use crate::policy::words::Words;

/// See the module.
pub(super) static CHECK: Check = Check {
    id: CheckId(15),
    title: "UDP, Mongo, Redis or MySQL on a proxy's port",
    ceiling: Mode::Enforce,
    page: include_str!("../../../docs/checks/TG015.md"),
    run,
};

fn run(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    for claim in &subject.claims {
        let protocol = claim.port.protocol;
        let (what, fate) = match protocol {
            Protocol::Udp => (
                "UDP builds no listener, so nothing protects CONNECT through {proxy}".to_owned(),
                "nothing protects CONNECT to {proxy}",
            ),
            Protocol::Mongo | Protocol::Redis | Protocol::MySql => (
                format!(
                    "{protocol} lets CONNECT through {{proxy}} pass only because its filter looks away"
                ),
                "CONNECT to {proxy} works only by chance",
            ),
            _ => continue,
        };
        let repair = repair_by_a_person(subject, claim);
        let words = Words {
            what,
            edit: format!(
                "{}; if no CONNECT proxy listens there, narrow the policy's hosts or ports",
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
                    "UDP",
                    "{hosts: [proxy.corp], addresses: [10.20.0.5], ports: [{number: 3128, name: p, protocol: UDP}]}",
                    "warning, unsafe",
                ),
                (
                    "UDP, REGISTRY_ONLY",
                    "{hosts: [proxy.corp], addresses: [10.20.0.5], ports: [{number: 3128, name: p, protocol: UDP}]}",
                    "error, unsafe",
                ),
                (
                    "Mongo",
                    "{hosts: [proxy.corp], addresses: [10.20.0.5], ports: [{number: 3128, name: p, protocol: Mongo}]}",
                    "warning, unsafe",
                ),
                (
                    "Redis",
                    "{hosts: [proxy.corp], addresses: [10.20.0.5], ports: [{number: 3128, name: p, protocol: Redis}]}",
                    "warning, unsafe",
                ),
                (
                    "MySQL",
                    "{hosts: [proxy.corp], addresses: [10.20.0.5], ports: [{number: 3128, name: p, protocol: mysql}]}",
                    "warning, unsafe",
                ),
                (
                    "UDP, as TCP it would take what is others'",
                    "{hosts: [proxy.corp], addresses: [10.20.0.5, 10.20.0.6], resolution: DNS, ports: [{number: 3128, name: p, protocol: UDP}]}",
                    "warning",
                ),
                (
                    "TCP",
                    "{hosts: [proxy.corp], addresses: [10.20.0.5], ports: [{number: 3128, name: p, protocol: TCP}]}",
                    "",
                ),
                (
                    "nobody's proxy",
                    "{hosts: [api.test], addresses: [10.9.9.9], ports: [{number: 3128, name: p, protocol: Mongo}]}",
                    "",
                ),
            ],
        );
    }
}
