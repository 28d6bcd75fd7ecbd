//! TG003: the protocol is a value that Istio does not know.
//!
//! **What it does.** Reports a port of a known proxy whose protocol is none of Istio's: `connect`,
//! `h2c`, `HTTP ` with a space, a tab, a line break, full-width letters. Only case is forgiven.
//!
//! **Why.** istiod's validation rejects the object. Where that webhook is absent or fails open,
//! the sidecar sniffs as if there were no protocol, and answers a CONNECT with `404`.
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
    id: CheckId(3),
    title: "a protocol that Istio does not know",
    ceiling: Mode::Enforce,
    page: include_str!("../../../docs/checks/TG003.md"),
    run,
};

fn run(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    for claim in &subject.claims {
        if claim.port.protocol == Protocol::Unknown {
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
                    "connect",
                    "{hosts: [proxy.corp], addresses: [10.20.0.5], ports: [{number: 3128, name: p, protocol: connect}]}",
                    "error, safe",
                ),
                (
                    "a trailing space",
                    "{hosts: [proxy.corp], addresses: [10.20.0.5], ports: [{number: 3128, name: p, protocol: 'TCP '}]}",
                    "error, safe",
                ),
                (
                    "a tab",
                    "{hosts: [proxy.corp], addresses: [10.20.0.5], ports: [{number: 3128, name: p, protocol: \"\\tHTTP\"}]}",
                    "error, safe",
                ),
                (
                    "full-width letters",
                    "{hosts: [proxy.corp], addresses: [10.20.0.5], ports: [{number: 3128, name: p, protocol: ＴＣＰ}]}",
                    "error, safe",
                ),
                (
                    "no address",
                    "{hosts: [proxy.corp], ports: [{number: 3128, name: p, protocol: h2c}]}",
                    "error, unsafe",
                ),
                (
                    "case is forgiven",
                    "{hosts: [proxy.corp], addresses: [10.20.0.5], ports: [{number: 3128, name: p, protocol: tCp}]}",
                    "",
                ),
                (
                    "nobody's proxy",
                    "{hosts: [api.test], addresses: [10.9.9.9], ports: [{number: 3128, name: p, protocol: h2c}]}",
                    "",
                ),
            ],
        );
    }
}
