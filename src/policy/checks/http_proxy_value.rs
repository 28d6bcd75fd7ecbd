//! TG004: the protocol is HTTP_PROXY.
//!
//! **What it does.** Reports a port of a known proxy with `protocol: HTTP_PROXY`.
//!
//! **Why.** The value is meant for `Sidecar.egress`. In a ServiceEntry it replaces whatever
//! listener the port had with one that parses everything as HTTP: CONNECT gets `404`, HTTP/1.0
//! gets `426`, and TLS breaks, for every destination without an exact-IP TCP entry.
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
    id: CheckId(4),
    title: "HTTP_PROXY is a Sidecar value",
    ceiling: Mode::Enforce,
    page: include_str!("../../../docs/checks/TG004.md"),
    run,
};

fn run(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    for claim in &subject.claims {
        if claim.port.protocol == Protocol::HttpProxy {
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
                    "{hosts: [proxy.corp], addresses: [10.20.0.5], ports: [{number: 3128, name: p, protocol: HTTP_PROXY}]}",
                    "error, safe",
                ),
                (
                    "lower case",
                    "{hosts: [proxy.corp], addresses: [10.20.0.5], ports: [{number: 3128, name: p, protocol: http_proxy}]}",
                    "error, safe",
                ),
                (
                    "a TLS proxy breaks too",
                    "{hosts: [tls.corp], addresses: [10.20.0.9], ports: [{number: 8443, name: p, protocol: HTTP_PROXY}]}",
                    "error, safe",
                ),
                (
                    "HTTP is TG001",
                    "{hosts: [proxy.corp], addresses: [10.20.0.5], ports: [{number: 3128, name: p, protocol: HTTP}]}",
                    "",
                ),
                (
                    "nobody's proxy",
                    "{hosts: [api.test], addresses: [10.9.9.9], ports: [{number: 3128, name: p, protocol: HTTP_PROXY}]}",
                    "",
                ),
            ],
        );
    }
}
