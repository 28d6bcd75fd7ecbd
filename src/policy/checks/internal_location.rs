//! TG012: MESH_INTERNAL for a proxy outside the mesh.
//!
//! **What it does.** Reports an entry that claims a proxy with `location: MESH_INTERNAL`, though
//! neither a workloadSelector nor an endpoint's serviceAccount says that it is in the mesh.
//!
//! **Why.** It never changes what happens to a CONNECT (measured: every case equals its
//! MESH_EXTERNAL twin). It misleads people, and telemetry.
//!
//! **Fix.** MESH_EXTERNAL, unsafe by itself; the repair of a port makes it explicit anyway.

use crate::mesh::FieldPath;
use crate::mesh::service_entry::Location;
use crate::policy::check::{Check, CheckId};
use crate::policy::finding::{Brief, Finding, Severity};
use crate::policy::fix::{Edit, Fix};
use crate::policy::spec::Mode;
use crate::policy::subject::Subject;
use crate::policy::words::Words;

/// See the module.
pub(super) static CHECK: Check = Check {
    id: CheckId(12),
    title: "MESH_INTERNAL for a proxy outside the mesh",
    ceiling: Mode::Enforce,
    page: include_str!("../../../docs/checks/TG012.md"),
    run,
};

fn run(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    let entry = subject.entry;
    if entry.location != Location::Internal || entry.needs_mesh_location() {
        return;
    }
    for claim in &subject.claims {
        let path = FieldPath::spec().key("location");
        let words = Words {
            what: "MESH_INTERNAL counts {proxy} as part of the mesh; CONNECT does not care, people and telemetry do".to_owned(),
            edit: "Set location: MESH_EXTERNAL".to_owned(),
            brief: Brief::new(
                "MESH_INTERNAL",
                "people and telemetry take {proxy} for part of the mesh",
                "set MESH_EXTERNAL",
            ),
        };
        let mut finding = subject.finding(&CHECK, claim, path.clone(), words);
        finding = finding.rated(Severity::Warning);
        finding.fix = Some(Fix::for_a_person(vec![Edit::set(
            path,
            true,
            "MESH_EXTERNAL",
        )]));
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
                    "internal",
                    "{hosts: [proxy.corp], addresses: [10.20.0.5], location: MESH_INTERNAL, ports: [{number: 3128, name: p, protocol: TCP}]}",
                    "warning, unsafe",
                ),
                (
                    "internal and HTTP",
                    "{hosts: [proxy.corp], addresses: [10.20.0.5], location: MESH_INTERNAL, ports: [{number: 3128, name: p, protocol: HTTP}]}",
                    "warning, unsafe",
                ),
                (
                    "external",
                    "{hosts: [proxy.corp], addresses: [10.20.0.5], location: MESH_EXTERNAL, ports: [{number: 3128, name: p, protocol: TCP}]}",
                    "",
                ),
                (
                    "absent",
                    "{hosts: [proxy.corp], addresses: [10.20.0.5], ports: [{number: 3128, name: p, protocol: TCP}]}",
                    "",
                ),
                (
                    "a selector",
                    "{hosts: [proxy.corp], addresses: [10.20.0.5], location: MESH_INTERNAL, resolution: STATIC, workloadSelector: {labels: {app: squid}}, ports: [{number: 3128, name: p, protocol: TCP}]}",
                    "",
                ),
                (
                    "a service account",
                    "{hosts: [proxy.corp], addresses: [10.20.0.5], location: MESH_INTERNAL, resolution: STATIC, endpoints: [{address: 10.20.0.5, serviceAccount: squid}], ports: [{number: 3128, name: p, protocol: TCP}]}",
                    "",
                ),
                (
                    "nobody's proxy",
                    "{hosts: [api.test], location: MESH_INTERNAL, ports: [{number: 3128, name: p, protocol: TCP}]}",
                    "",
                ),
            ],
        );
    }
}
