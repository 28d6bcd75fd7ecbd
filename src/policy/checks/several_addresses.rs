//! TG018: DNS or STATIC sends a connection to other endpoints than the address dialled.
//!
//! **What it does.** Reports a TCP port of a known proxy in an entry with resolution DNS or
//! STATIC and several addresses, or with endpoints that are not its addresses.
//!
//! **Why.** Every address gets a listener of its own, but they all lead to one cluster: dialling
//! one proxy reaches another, or whichever comes next.
//!
//! **Fix.** Resolution NONE without endpoints, which forwards to the address dialled; unsafe.

use crate::mesh::FieldPath;
use crate::mesh::ServiceEntry;
use crate::mesh::service_entry::Resolution;
use crate::mesh::simulation::Outcome;
use crate::policy::check::{Check, CheckId};
use crate::policy::finding::{Brief, Finding};
use crate::policy::fix::{Edit, Fix};
use crate::policy::repair::leads_to_another_port;
use crate::policy::spec::Mode;
use crate::policy::subject::Subject;
use crate::policy::words::{Words, as_dialled, capitalised};

/// See the module.
pub(super) static CHECK: Check = Check {
    id: CheckId(18),
    title: "several addresses lead to the same endpoints",
    ceiling: Mode::Enforce,
    page: include_str!("../../../docs/checks/TG018.md"),
    run,
};

fn run(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    let entry = subject.entry;
    let fixed = entry.resolution.is_dns() || entry.resolution == Resolution::Static;
    let mut usable = entry.usable_addresses();
    if !fixed || usable.next().is_none() {
        return;
    }
    let several = entry.addresses.len() > 1;
    for claim in &subject.claims {
        if !claim.port.protocol.is_tcp() || leads_to_another_port(entry, claim.port) {
            continue;
        }
        let mut reaches = claim.reaches.iter();
        let hijacked = reaches.any(|reach| reach.caused && reach.outcome == Outcome::Hijacked);
        if !several && !hijacked {
            continue;
        }
        let resolution = entry.resolution.name();
        let edit = as_dialled(entry).unwrap_or("write one entry an address");
        let words = Words {
            what: format!(
                "resolution {resolution} leads every address to the same endpoints, so dialling {{proxy}} can reach another host"
            ),
            edit: capitalised(edit),
            brief: Brief::new(resolution, "dialling {proxy} can reach another host", edit),
        };
        let path = FieldPath::spec().key("resolution");
        let mut finding = subject.finding(&CHECK, claim, path, words);
        if subject.hijacks(claim) {
            finding = claim.as_error(finding);
        }
        finding.fix = forward_as_dialled(entry);
        findings.push(finding);
    }
}

/// Resolution NONE without endpoints: forward to the address dialled. Not where a selector says
/// that the proxy runs in the mesh: its workloads are meant.
pub(super) fn forward_as_dialled(entry: &ServiceEntry) -> Option<Fix> {
    if entry.workload_selector.is_some() {
        return None;
    }
    let mut edits = vec![Edit::set(FieldPath::spec().key("resolution"), true, "NONE")];
    if !entry.endpoints.is_empty() {
        edits.push(Edit::remove(FieldPath::spec().key("endpoints")));
    }
    Some(Fix::for_a_person(edits))
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
                    "two addresses with DNS",
                    "{hosts: [pair.corp], addresses: [10.20.0.7, 10.20.0.8], resolution: DNS, ports: [{number: 8118, name: p, protocol: TCP}]}",
                    "error, unsafe",
                ),
                (
                    "two addresses with STATIC",
                    "{hosts: [pair.corp], addresses: [10.20.0.7, 10.20.0.8], resolution: STATIC, endpoints: [{address: 10.20.0.7}, {address: 10.20.0.8}], ports: [{number: 8118, name: p, protocol: TCP}]}",
                    "error, unsafe",
                ),
                (
                    "an endpoint that is not the address",
                    "{hosts: [proxy.corp], addresses: [10.20.0.5], resolution: STATIC, endpoints: [{address: 10.20.0.99}], ports: [{number: 3128, name: p, protocol: TCP}]}",
                    "error, unsafe",
                ),
                (
                    "two addresses with NONE",
                    "{hosts: [pair.corp], addresses: [10.20.0.7, 10.20.0.8], ports: [{number: 8118, name: p, protocol: TCP}]}",
                    "",
                ),
                (
                    "one address with DNS",
                    "{hosts: [proxy.corp], addresses: [10.20.0.5], resolution: DNS, ports: [{number: 3128, name: p, protocol: TCP}]}",
                    "",
                ),
                (
                    "without addresses it is TG005",
                    "{hosts: [pair.corp], resolution: DNS, ports: [{number: 8118, name: p, protocol: TCP}]}",
                    "",
                ),
                (
                    "nobody's proxy",
                    "{hosts: [api.test], addresses: [10.9.9.9, 10.9.9.8], resolution: DNS, ports: [{number: 8118, name: p, protocol: TCP}]}",
                    "",
                ),
            ],
        );
    }
}
