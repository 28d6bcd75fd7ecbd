//! TG019: `targetPort` or an endpoint's port leads to another port than the one dialled.
//!
//! **What it does.** Reports a TCP port of a known proxy whose `targetPort`, or whose entry in
//! `endpoints[].ports`, is not its number.
//!
//! **Why.** The connection arrives at that other port, where no proxy listens. istiod of 2024
//! ignored `targetPort` with resolution NONE; newer ones honour it everywhere.
//!
//! **Fix.** None: only the author knows which port is right.

use crate::mesh::FieldPath;
use crate::policy::check::{Check, CheckId};
use crate::policy::finding::{Brief, Finding};
use crate::policy::spec::Mode;
use crate::policy::subject::Subject;
use crate::policy::words::Words;

/// See the module.
pub(super) static CHECK: Check = Check {
    id: CheckId(19),
    title: "a connection is led to another port than the one dialled",
    ceiling: Mode::Enforce,
    page: include_str!("../../../docs/checks/TG019.md"),
    run,
};

fn run(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    for claim in &subject.claims {
        let port = claim.port;
        if !port.protocol.is_tcp() {
            continue;
        }
        let target = port
            .target_port
            .map(|target| (port.path("targetPort"), target));
        let endpoints = subject.entry.endpoints.iter().enumerate();
        let mapped = endpoints.filter_map(|(index, endpoint)| {
            let path = FieldPath::spec().key("endpoints").index(index).key("ports");
            let target = endpoint.ports.get(&port.name)?;
            Some((path.key(&port.name), *target))
        });
        for (path, target) in target.into_iter().chain(mapped) {
            if target == port.number {
                continue;
            }
            let number = port.number;
            let words = Words {
                what: format!(
                    "a connection to {{proxy}} is led from port {number} to port {target}"
                ),
                edit: format!("Remove it, or set it to {number}"),
                brief: Brief::new(
                    format!("is {target}"),
                    format!("CONNECT to {{proxy}} on port {number} arrives there"),
                    &format!("remove it, or set {number}"),
                ),
            };
            findings.push(subject.finding(&CHECK, claim, path, words));
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
                    "targetPort",
                    "{hosts: [proxy.corp], addresses: [10.20.0.5], ports: [{number: 3128, name: p, protocol: TCP, targetPort: 8080}]}",
                    "error",
                ),
                (
                    "an endpoint's port",
                    "{hosts: [proxy.corp], addresses: [10.20.0.5], resolution: STATIC, endpoints: [{address: 10.20.0.5, ports: {p: 8080}}], ports: [{number: 3128, name: p, protocol: TCP}]}",
                    "error",
                ),
                (
                    "the same port",
                    "{hosts: [proxy.corp], addresses: [10.20.0.5], ports: [{number: 3128, name: p, protocol: TCP, targetPort: 3128}]}",
                    "",
                ),
                (
                    "another port's endpoint port",
                    "{hosts: [proxy.corp], addresses: [10.20.0.5], resolution: STATIC, endpoints: [{address: 10.20.0.5, ports: {q: 8080}}], ports: [{number: 3128, name: p, protocol: TCP}, {number: 80, name: q, protocol: TCP}]}",
                    "",
                ),
                (
                    "nobody's proxy",
                    "{hosts: [api.test], addresses: [10.9.9.9], ports: [{number: 3128, name: p, protocol: TCP, targetPort: 8080}]}",
                    "",
                ),
            ],
        );
    }
}
