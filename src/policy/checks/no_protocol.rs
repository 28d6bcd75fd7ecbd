//! TG002: a proxy's port has no protocol.
//!
//! **What it does.** Reports a port of a known proxy without `protocol`, or with an empty one.
//!
//! **Why.** Istio does not fall back to TCP: the sidecar sniffs, recognises a CONNECT as
//! HTTP/1.1 and answers `404`. With a single address that hits this proxy; without one, or with a
//! range, every other destination on the port.
//!
//! **Fix.** `protocol: TCP`, safe where simulation proves it.

use crate::mesh::protocol::Protocol;
use crate::policy::check::{Check, CheckId};
use crate::policy::finding::Finding;
use crate::policy::spec::Mode;
use crate::policy::subject::Subject;

use super::http_port::parsed_port;

/// See the module.
pub(super) static CHECK: Check = Check {
    id: CheckId(2),
    title: "a proxy's port has no protocol",
    ceiling: Mode::Enforce,
    page: include_str!("../../../docs/checks/TG002.md"),
    run,
};

fn run(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    for claim in &subject.claims {
        // A TLS handshake is not HTTP: sniffing forwards it.
        let harmless = claim.proxy.tls && claim.worst().is_none();
        if claim.port.protocol == Protocol::Absent && !harmless {
            findings.push(parsed_port(&CHECK, subject, claim));
        }
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
                    "one address",
                    "{hosts: [proxy.corp], addresses: [10.20.0.5], ports: [{number: 3128, name: p}]}",
                    "error, safe",
                ),
                (
                    "empty",
                    "{hosts: [proxy.corp], addresses: [10.20.0.5], ports: [{number: 3128, name: p, protocol: ''}]}",
                    "error, safe",
                ),
                (
                    "null",
                    "{hosts: [proxy.corp], addresses: [10.20.0.5], ports: [{number: 3128, name: p, protocol: null}]}",
                    "error, safe",
                ),
                (
                    "no address",
                    "{hosts: [proxy.corp], ports: [{number: 3128, name: p}]}",
                    "error, unsafe",
                ),
                (
                    "a range works by accident",
                    "{hosts: [proxy.corp], addresses: [10.20.0.0/24], ports: [{number: 3128, name: p}]}",
                    "warning, unsafe",
                ),
                (
                    "named tcp, sniffed all the same",
                    "{hosts: [proxy.corp], addresses: [10.20.0.5], ports: [{number: 3128, name: tcp}]}",
                    "error, safe",
                ),
                (
                    "TCP",
                    "{hosts: [proxy.corp], addresses: [10.20.0.5], ports: [{number: 3128, name: p, protocol: TCP}]}",
                    "",
                ),
                (
                    "a range that lost to an older HTTP entry",
                    "metadata: {name: api}\nspec: {hosts: [api.test], addresses: [10.9.9.9], ports: [{number: 3128, name: p, protocol: HTTP}]}\n---\nmetadata: {name: range}\nspec: {hosts: [proxy.corp], addresses: [10.20.0.0/24], ports: [{number: 3128, name: p}]}",
                    "error, unsafe",
                ),
                (
                    "a TLS proxy",
                    "{hosts: [tls.corp], addresses: [10.20.0.9], ports: [{number: 8443, name: p}]}",
                    "",
                ),
                (
                    "nobody's proxy",
                    "{hosts: [api.test], addresses: [10.9.9.9], ports: [{number: 3128, name: p}]}",
                    "",
                ),
            ],
        );
    }
}
