//! TG016, seen from an entry: a Service stands in front of the proxy that it claims, and answers 404.

use std::net::IpAddr;

use crate::mesh::kubernetes::completed;
use crate::mesh::line::{NAME_CHARACTERS, OBJECT_CHARACTERS, one_line, shown};
use crate::mesh::service_entry::Registry;
use crate::mesh::simulation::{Outcome, simulate};
use crate::mesh::{Mesh, Overlay, ServiceEntry};
use crate::policy::claim::Claim;
use crate::policy::dials::dial;
use crate::policy::finding::{Brief, Finding, Severity};
use crate::policy::proxy::Proxy;
use crate::policy::repair::repaired;
use crate::policy::subject::Subject;
use crate::policy::words::Words;

use super::service_port::{CHECK, listening};

/// How many names of one proxy are looked up.
const NAMES: usize = 16;

/// Looks at one entry: its port is or will be opaque, and does not help who dials the Service.
pub(super) fn run(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    for claim in &subject.claims {
        let protocol = claim.port.protocol;
        let is_parsed = protocol.is_http() || protocol.is_sniffed();
        let service = match is_parsed {
            true => breaking(subject, claim, &repaired(subject.entry, claim.port)),
            false => breaking(subject, claim, subject.entry),
        };
        if let Some(service) = service {
            let finding = told(subject, claim, &service, is_parsed);
            findings.push(finding.rated(Severity::Warning));
        }
    }
}

/// The Service that answers 404 to a dial of the claimed proxy, with `entry` in its place.
fn breaking(subject: &Subject<'_>, claim: &Claim<'_>, entry: &ServiceEntry) -> Option<String> {
    let view = Overlay::with(subject.context.mesh, entry).of_entries_only();
    // At the proxy's own addresses a port that is parsed answers 404 itself: its repair's proof looks there.
    let is_opaque = std::ptr::eq(entry, subject.entry);
    let broken = claim.reaches.iter().filter(|reach| {
        let by_another = reach.outcome == Outcome::NotFound && !reach.caused;
        is_opaque && by_another
    });
    let broken = broken.map(|reach| reach.address);
    for namespace in subject.namespaces() {
        let of_services = service_addresses(&view, &claim.proxy, namespace);
        for address in broken.clone().chain(of_services) {
            if !subject.effort.for_dials(1) {
                return None;
            }
            let dial = dial(namespace, address, claim.port.number, &claim.proxy);
            let prediction = simulate(&view, &dial, &subject.context.environment);
            let by = prediction.by.map(|by| by.entry);
            let by = by.filter(|by| by.registry == Registry::Kubernetes);
            if let (Outcome::NotFound, Some(service)) = (prediction.outcome, by) {
                let name = format!("Service {}/{}", service.namespace, service.name);
                return Some(one_line(&name, OBJECT_CHARACTERS));
            }
        }
    }
    None
}

/// Where the Services listen that clients of a namespace know by a name of the proxy.
fn service_addresses(mesh: &dyn Mesh, proxy: &Proxy, namespace: &str) -> Vec<IpAddr> {
    let hosts = proxy.hosts.iter().take(NAMES);
    let hosts = hosts.flat_map(|host| completed(host, namespace));
    let mut addresses = Vec::new();
    for host in hosts {
        let services = mesh.with_host(&host).into_iter();
        let services = services.filter(|ranked| ranked.entry.registry == Registry::Kubernetes);
        addresses.extend(services.flat_map(|ranked| listening(ranked.entry)));
    }
    addresses
}

fn told(subject: &Subject<'_>, claim: &Claim<'_>, service: &str, is_parsed: bool) -> Finding {
    let number = claim.port.number;
    let even = if is_parsed {
        "even with TCP here, "
    } else {
        ""
    };
    let edit = format!("set appProtocol: tcp on its port {number}");
    let state = claim.port.protocol_text.as_deref();
    let state = state.map_or("is not set".to_owned(), |text| shown(text, NAME_CHARACTERS));
    let words = Words {
        what: format!(
            "{even}{service} stands in front of {{proxy}} with a port {number} that is HTTP or sniffed, so that Envoy answers 404 to CONNECT"
        ),
        edit: format!("In that Service set appProtocol: tcp on port {number}"),
        brief: Brief::new(
            state,
            format!("{even}CONNECT to {{proxy}} gets 404 from {}", service),
            &edit,
        ),
    };
    subject.finding(&CHECK, claim, claim.port.path("protocol"), words)
}

#[cfg(test)]
mod tests {
    use super::super::testing::table;

    #[test]
    fn rows() {
        let beside = |spec: &str, name: &str, entry: &str| {
            format!(
                "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: corp}}\nspec: {spec}\n---\nmetadata: {{name: tcp}}\nspec: {entry}"
            )
        };
        let entry = |protocol: &str| {
            format!(
                "{{hosts: [proxy.corp], addresses: [10.20.0.5], ports: [{{number: 3128, name: p, protocol: {protocol}}}]}}"
            )
        };
        let at = |ip: &str, port: &str| {
            format!(
                "{{clusterIP: {ip}, selector: {{app: a}}, ports: [{{port: 3128, name: {port}}}]}}"
            )
        };
        // The Service's own finding comes first.
        for (name, service, called, protocol, expected) in [
            (
                "by the proxy's name",
                at("10.96.0.9", "http"),
                "proxy",
                "TCP",
                "error, unsafe; warning",
            ),
            (
                "by its name, sniffed",
                at("10.96.0.9", "squid"),
                "proxy",
                "TCP",
                "error, unsafe; warning",
            ),
            (
                "by its name, the entry is HTTP",
                at("10.96.0.9", "http"),
                "proxy",
                "HTTP",
                "error, unsafe; warning",
            ),
            ("TCP", at("10.96.0.9", "tcp"), "proxy", "TCP", ""),
            ("another name", at("10.96.0.9", "http"), "third", "TCP", ""),
            (
                "another port",
                at("10.96.0.9", "http").replace("3128", "80"),
                "proxy",
                "TCP",
                "",
            ),
            (
                "its ClusterIP is the proxy's, and the entry's",
                at("10.20.0.5", "http"),
                "third",
                "TCP",
                "",
            ),
        ] {
            table(
                &super::CHECK,
                &[(name, &beside(&service, called, &entry(protocol)), expected)],
            );
        }
    }
}
