//! TG010: STATIC with neither endpoints nor selector.
//!
//! **What it does.** Reports an entry that claims a proxy and has resolution STATIC, but nothing
//! to forward to, be it that its endpoints are names.
//!
//! **Why.** Its cluster stays empty: every connection is closed. istiod's validation lets it
//! pass. An HTTP port there answers `404`, and changing it to TCP only turns that into a closed
//! connection.
//!
//! **Fix.** None: resolution NONE, or the endpoints.

use crate::mesh::FieldPath;
use crate::mesh::service_entry::Resolution;
use crate::mesh::simulation::Outcome;
use crate::policy::check::{Check, CheckId};
use crate::policy::finding::{Brief, Finding};
use crate::policy::spec::Mode;
use crate::policy::subject::Subject;
use crate::policy::words::Words;

/// See the module.
pub(super) static CHECK: Check = Check {
    id: CheckId(10),
    title: "STATIC with neither endpoints nor selector",
    ceiling: Mode::Enforce,
    page: include_str!("../../../docs/checks/TG010.md"),
    run,
};

fn run(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    let entry = subject.entry;
    let empty = entry.endpoints.is_empty() && entry.workload_selector.is_none();
    if entry.resolution != Resolution::Static {
        return;
    }
    for claim in &subject.claims {
        // istiod leaves out of a STATIC cluster what is no IP.
        let only_names = claim
            .worst()
            .is_some_and(|worst| worst.outcome == Outcome::NoEndpoints);
        let (state, edit) = match (empty, only_names) {
            (true, _) => (
                "STATIC without endpoints",
                "Set resolution: NONE, or add the endpoints",
            ),
            (false, true) => (
                "STATIC with no IP among its endpoints",
                "Write their IPs, or set resolution: DNS",
            ),
            (false, false) => continue,
        };
        let words = Words {
            what: format!("{state} has nowhere to forward a connection to {{proxy}}"),
            edit: edit.to_owned(),
            brief: Brief::new(state, "nothing reaches {proxy}", edit),
        };
        let path = FieldPath::spec().key("resolution");
        findings.push(subject.finding(&CHECK, claim, path, words));
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
                    "TCP is closed",
                    "{hosts: [proxy.corp], addresses: [10.20.0.5], resolution: STATIC, ports: [{number: 3128, name: p, protocol: TCP}]}",
                    "error",
                ),
                (
                    "HTTP is 404",
                    "{hosts: [proxy.corp], addresses: [10.20.0.5], resolution: STATIC, ports: [{number: 3128, name: p, protocol: HTTP}]}",
                    "error",
                ),
                (
                    "TLS without address passes by accident",
                    "{hosts: [proxy.corp], resolution: STATIC, ports: [{number: 3128, name: p, protocol: TLS}]}",
                    "warning",
                ),
                (
                    "an endpoint",
                    "{hosts: [proxy.corp], addresses: [10.20.0.5], resolution: STATIC, endpoints: [{address: 10.20.0.5}], ports: [{number: 3128, name: p, protocol: TCP}]}",
                    "",
                ),
                (
                    "a name for an endpoint",
                    "{hosts: [proxy.corp], addresses: [10.20.0.5], resolution: STATIC, endpoints: [{address: squid.corp}], ports: [{number: 3128, name: p, protocol: TCP}]}",
                    "error",
                ),
                (
                    "a selector",
                    "{hosts: [proxy.corp], addresses: [10.20.0.5], resolution: STATIC, workloadSelector: {labels: {app: squid}}, ports: [{number: 3128, name: p, protocol: TCP}]}",
                    "",
                ),
                (
                    "nobody's proxy",
                    "{hosts: [api.test], addresses: [10.9.9.9], resolution: STATIC, ports: [{number: 3128, name: p, protocol: TCP}]}",
                    "",
                ),
            ],
        );
    }
}
