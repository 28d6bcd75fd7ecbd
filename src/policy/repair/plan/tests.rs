//! What is advised helps: it is followed, and the object judged again.

use super::{Advice, Plan};
use crate::mesh::simulation::OutboundPolicy;
use crate::mesh::{MeshView, ServiceEntry};
use crate::policy::checks::testing::{context, entries, policies};
use crate::policy::evaluate;
use crate::policy::repair::obstacle::obstacles;
use crate::policy::repair::proof::{Proof, prove};
use crate::policy::repair::repaired;
use crate::policy::subject::Subject;

/// An entry, what is to be set and done beside TCP, and what `evaluate` says after that.
const ROWS: [(&str, &str, &str); 20] = [
    (
        "hosts: [proxy.corp], addresses: [10.20.0.5], ports: [PORT]",
        "set TCP",
        "",
    ),
    (
        "hosts: [proxy.corp], ports: [PORT]",
        "set TCP and addresses: [10.20.0.5]",
        "",
    ),
    (
        "hosts: [proxy.corp], resolution: DNS, ports: [PORT]",
        "set TCP and addresses: [10.20.0.5]",
        "",
    ),
    (
        "hosts: [proxy.corp], addresses: [0.0.0.0], ports: [PORT]",
        "set TCP and addresses: [10.20.0.5]",
        "",
    ),
    (
        "hosts: [proxy.corp], addresses: [10.20.0.0/24], ports: [PORT]",
        "set TCP and addresses: [10.20.0.5]",
        "",
    ),
    (
        "hosts: [proxy.corp], addresses: [10.20.0.5/32], resolution: DNS, ports: [PORT]",
        "set TCP and addresses: [10.20.0.5]",
        "",
    ),
    (
        "hosts: [pair.corp], resolution: DNS, ports: [{number: 8118, name: p}]",
        "set TCP, addresses: [10.20.0.7, 10.20.0.8] and resolution: NONE",
        "",
    ),
    (
        "hosts: [proxy.corp], resolution: STATIC, endpoints: [{address: 10.20.0.6}], ports: [PORT]",
        "set TCP, addresses: [10.20.0.5, 10.20.0.6] and resolution: NONE, and remove the endpoints",
        "",
    ),
    (
        "hosts: [proxy.corp], addresses: [10.20.0.5], resolution: STATIC, ports: [PORT]",
        "set TCP and resolution: NONE",
        "",
    ),
    (
        "hosts: [proxy.corp], addresses: [10.20.0.5], resolution: STATIC, endpoints: [{address: 10.20.0.6}], ports: [PORT]",
        "set TCP and resolution: NONE, and remove the endpoints",
        "",
    ),
    (
        "hosts: [proxy.corp], addresses: [10.20.0.5], endpoints: [{address: 10.20.0.5}], ports: [PORT]",
        "set TCP and remove the endpoints",
        "",
    ),
    (
        "hosts: [proxy.corp, a.proxy.corp], addresses: [10.20.0.5], resolution: DNS, ports: [PORT]",
        "set TCP and resolution: NONE",
        "",
    ),
    (
        "hosts: ['*.proxy.corp'], resolution: DYNAMIC_DNS, ports: [PORT]",
        "set TCP, addresses: [10.20.0.5] and resolution: NONE",
        "",
    ),
    (
        "hosts: [proxy.corp], addresses: [10.20.0.5], ports: [{number: 3128, name: p, protocol: HTTP, targetPort: 80}]",
        "set TCP and remove spec.ports[0].targetPort",
        "",
    ),
    (
        "hosts: [proxy.corp], addresses: [10.20.0.5], resolution: STATIC, endpoints: [{address: 10.20.0.5, ports: {p: 80}}], ports: [PORT]",
        "set TCP and remove spec.endpoints[0].ports.p",
        "",
    ),
    (
        "hosts: [proxy.corp], addresses: [10.20.0.5], ports: [{number: 3128, name: P_, protocol: HTTP}]",
        "set TCP and mend spec.ports[0].name",
        "TG023",
    ),
    (
        "hosts: [proxy.corp], addresses: [10.9.9.9], ports: [PORT]",
        "set TCP and addresses: [10.9.9.9, 10.20.0.5]",
        "",
    ),
    (
        "hosts: [proxy.corp], addresses: [10.20.0.0/24, 10.20.0.5], resolution: DNS, ports: [PORT]",
        "set TCP and addresses: [10.20.0.5]",
        "",
    ),
    (
        "hosts: [pair.corp], addresses: [10.20.0.8], resolution: DNS, ports: [{number: 8118, name: p}]",
        "set TCP, addresses: [10.20.0.7, 10.20.0.8] and resolution: NONE",
        "",
    ),
    (
        "hosts: [proxy.corp, a.proxy.corp], addresses: [10.20.0.5], resolution: STATIC, workloadSelector: {labels: {a: b}}, ports: [PORT]",
        "set TCP and write one entry a host",
        "TG008",
    ),
];

#[test]
fn what_is_advised_helps() {
    for (spec, in_brief, left) in ROWS {
        let port = "{number: 3128, name: p, protocol: HTTP}";
        let entry = entries(&format!("{{{}}}", spec.replace("PORT", port))).remove(0);
        let (advice, found) = advised(&entry);
        assert_eq!(advice.in_brief, in_brief, "{spec}");
        assert_eq!(found, left, "{spec}: {}", advice.at_length);
        // Every step of the brief is one at length.
        for step in ["addresses: ", "resolution: NONE", "remove ", "mend "] {
            let both = [&advice.in_brief, &advice.at_length].map(|text| text.contains(step));
            assert_eq!(both[0], both[1], "{step}: {advice:?}");
        }
    }
}

/// The advice about the first port, and the checks that the object raises once it is followed.
fn advised(entry: &ServiceEntry) -> (Advice, String) {
    let (policies, mesh) = (policies(), MeshView::new());
    let context = context(&policies, &mesh, OutboundPolicy::RegistryOnly);
    let subject = Subject::new(entry, context);
    let port = &entry.ports[0];
    let candidate = repaired(entry, port);
    let obstacles = obstacles(&subject, port, &candidate);
    let proof = prove(&subject, port, &candidate);
    let harm = match &proof {
        Proof::Harm(harm) if obstacles.is_empty() => Some(harm),
        _ => None,
    };
    let plan = Plan::new(&subject, port, &candidate, &obstacles, harm);
    let found = evaluate(&plan.planned, context);
    let found: Vec<String> = found.iter().map(|found| found.check.to_string()).collect();
    (plan.advice(), found.join(" "))
}
