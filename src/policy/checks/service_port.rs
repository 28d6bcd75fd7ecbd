//! TG016: a Kubernetes Service in front of a proxy, with a port that is HTTP or sniffed.
//!
//! **What it does.** Reports a port of a Service that is a proxy's (by its host, its ClusterIP or
//! its endpoints), whose name or `appProtocol` makes Envoy answer `404` to a CONNECT.
//!
//! **Why.** A Service's protocol is in the name of its port: `http-proxy` is HTTP, and a name that
//! tells nothing, or none, is sniffed. A ServiceEntry beside it does not help.
//!
//! **Fix.** `appProtocol: tcp`, which beats the name and which nothing refers to; unsafe, because
//! what else dials the Service over HTTP loses its routes and metrics. `lint` judges Services; the webhook
//! is asked about ServiceEntries only, and warns of the Service where one claims the proxy (`service_in_front`).

use std::net::IpAddr;
use std::sync::Arc;

use crate::mesh::ServiceEntry;
use crate::mesh::address::Address;
use crate::mesh::kubernetes::names;
use crate::mesh::line::{VALUE_CHARACTERS, quoted};
use crate::mesh::service_entry::{Endpoint, Port, Resolution, WrittenAddress};
use crate::mesh::simulation::{Outcome, simulate};
use crate::mesh::view::{Alone, Overlay};
use crate::mesh::{FieldPath, Mesh};
use crate::policy::check::{Check, CheckId, Context};
use crate::policy::dials::{ADDRESSES_A_PROXY, NOBODY_V4, dial, namespaces};
use crate::policy::finding::{Brief, Concerned, Finding, Severity};
use crate::policy::fix::{Edit, Fix};
use crate::policy::proxy::Proxy;
use crate::policy::spec::Mode;

use super::service_in_front;

/// See the module.
pub(crate) static CHECK: Check = Check {
    id: CheckId(16),
    title: "a Service in front of a proxy, with a port that is HTTP or sniffed",
    ceiling: Mode::Audit,
    page: include_str!("../../../docs/checks/TG016.md"),
    run: service_in_front::run,
};

/// Looks at one Service.
pub(crate) fn run(service: &ServiceEntry, context: Context<'_>) -> Vec<Finding> {
    let service = &at_an_address(service);
    let mut findings = Vec::new();
    let known_as = ServiceEntry {
        hosts: service.hosts.iter().flat_map(|host| names(host)).collect(),
        ..service.clone()
    };
    for port in &service.ports {
        if !port.protocol.is_http() && !port.protocol.is_sniffed() {
            continue;
        }
        let claimed = context.policies.proxies.claimed(&known_as, port);
        let dialled = claimed.into_iter().filter(|proxy| !proxy.tunnel);
        let broken = dialled.filter(|proxy| gets_404(service, port, proxy, context));
        findings.extend(broken.map(|proxy| finding(port, proxy)));
    }
    findings
}

/// The Service, at an address that is nobody's where the files give it none: it will get one.
fn at_an_address(service: &ServiceEntry) -> ServiceEntry {
    let mut service = service.clone();
    let address = NOBODY_V4.to_string().into_boxed_str();
    match service.resolution {
        Resolution::None if service.endpoints.is_empty() => {
            let ports = service.ports.iter();
            service.endpoints.push(Endpoint {
                address,
                ports: ports.map(|port| (port.name.clone(), port.number)).collect(),
                mutual_tls: false,
            });
        }
        Resolution::Static if service.addresses.is_empty() => {
            service.addresses.push(WrittenAddress {
                text: address,
                address: Address::Single(NOBODY_V4),
            });
        }
        _ => {}
    }
    service
}

/// Whether a dial of the Service is answered by 404 and would be, were the Service alone.
fn gets_404(service: &ServiceEntry, port: &Port, proxy: &Proxy, context: Context<'_>) -> bool {
    let view = Overlay::with(context.mesh, service).of_entries_only();
    let alone = Alone::new(service, context.mesh);
    let outcome = |mesh: &dyn Mesh, namespace: &str, address: IpAddr| {
        let dial = dial(namespace, address, port.number, proxy);
        simulate(mesh, &dial, &context.environment).outcome
    };
    let addresses = listening(service);
    namespaces(service).into_iter().any(|namespace| {
        addresses.iter().any(|address| {
            let actual = outcome(&view, namespace, *address);
            matches!(actual, Outcome::NotFound | Outcome::Unknown)
                && outcome(&alone, namespace, *address) == Outcome::NotFound
        })
    })
}

/// Where clients dial it.
pub(super) fn listening(service: &ServiceEntry) -> Vec<IpAddr> {
    if service.resolution != Resolution::None {
        return service.usable_addresses().collect();
    }
    let endpoints = service.endpoints.iter();
    let addresses = endpoints.filter_map(|endpoint| endpoint.address.parse().ok());
    addresses.take(ADDRESSES_A_PROXY).collect()
}

/// The field that tells a port's protocol; the port itself where it has none.
pub(super) fn protocol_path(port: &Port) -> FieldPath {
    match (&port.protocol_text, &*port.name) {
        (Some(_), _) => port.path("appProtocol"),
        (None, "") => FieldPath::spec().key("ports").index(port.index),
        (None, _) => port.path("name"),
    }
}

fn finding(port: &Port, proxy: &Proxy) -> Finding {
    let number = port.number;
    let path = protocol_path(port);
    let (field, value) = match (&port.protocol_text, &*port.name) {
        (Some(text), _) => ("appProtocol", Some(&**text)),
        (None, "") => ("name", None),
        (None, name) => ("name", Some(name)),
    };
    let value = value.map(|value| quoted(value, VALUE_CHARACTERS));
    let cause = match (&value, port.protocol) {
        (None, _) => format!("port {number} has no name that tells its protocol, so it is sniffed"),
        (Some(value), protocol) if protocol.is_sniffed() => {
            format!("{field} {value} tells no protocol, so port {number} is sniffed")
        }
        (Some(value), protocol) => format!("{field} {value} makes port {number} {protocol}"),
    };
    let edit = match port.protocol_text {
        Some(_) => "Set appProtocol: tcp",
        None => "Set appProtocol: tcp, or a name that begins with tcp-",
    };
    Finding {
        check: CHECK.id,
        severity: Severity::Error,
        path,
        port: Some(number),
        what: format!("{cause}, and Envoy answers 404 to CONNECT through {{proxy}}"),
        edit: edit.to_owned(),
        brief: Brief::new(
            value.unwrap_or_else(|| "has no name".to_owned()),
            "CONNECT to {proxy} gets 404",
            edit,
        ),
        proxies: vec![Concerned {
            proxy: Arc::new(proxy.clone()),
            port: number,
            severity: Severity::Error,
        }],
        fix: Some(Fix::for_a_person(vec![Edit::set(
            port.path("appProtocol"),
            port.protocol_text.is_some(),
            "tcp",
        )])),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::table;

    fn service(spec: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: proxy, namespace: a}}\nspec: {spec}"
        )
    }

    #[test]
    fn rows() {
        let at = |ip: &str, port: &str| {
            service(&format!(
                "{{clusterIP: {ip}, selector: {{app: a}}, ports: [{{port: 3128{port}}}]}}"
            ))
        };
        let http = at("10.20.0.5", ", name: http-proxy");
        let protected = format!(
            "{http}\n---\nmetadata: {{name: tcp}}\nspec: {{hosts: [a.test], addresses: [10.20.0.5], ports: [{{number: 3128, name: p, protocol: TCP}}]}}"
        );
        table(
            &super::CHECK,
            &[
                ("its ClusterIP is the proxy's", &http, "error, unsafe"),
                (
                    "sniffed by its name",
                    &at("10.20.0.5", ", name: squid"),
                    "error, unsafe",
                ),
                ("unnamed", &at("10.20.0.5", ""), "error, unsafe"),
                (
                    "appProtocol",
                    &at("10.20.0.5", ", name: tcp, appProtocol: http-connect"),
                    "error, unsafe",
                ),
                (
                    "appProtocol beats the name",
                    &at("10.20.0.5", ", name: http, appProtocol: tcp"),
                    "",
                ),
                ("tcp", &at("10.20.0.5", ", name: tcp-squid"), ""),
                (
                    "a policy's host, no ClusterIP yet",
                    &service("{selector: {app: a}, ports: [{port: 3128, name: squid}]}")
                        .replace("name: proxy, namespace: a", "name: proxy, namespace: corp"),
                    "error, unsafe",
                ),
                (
                    "a policy's host, headless",
                    &service("{clusterIP: None, ports: [{port: 3128}]}")
                        .replace("name: proxy, namespace: a", "name: proxy, namespace: corp"),
                    "error, unsafe",
                ),
                ("another address", &at("10.20.0.99", ", name: http"), ""),
                (
                    "a port that is no proxy's",
                    &service("{clusterIP: 10.20.0.5, ports: [{port: 80, name: http}]}"),
                    "",
                ),
                (
                    "sidecars make the CONNECT",
                    &service("{clusterIP: 10.20.0.10, ports: [{port: 8888, name: http}]}"),
                    "",
                ),
                (
                    "the proxy speaks TLS",
                    &service("{clusterIP: 10.20.0.9, ports: [{port: 8443, name: http}]}"),
                    "",
                ),
                ("a TCP entry has its ClusterIP", &protected, ""),
                (
                    "nobody sees it",
                    &http.replace(
                        "namespace: a",
                        "namespace: a, annotations: {networking.istio.io/exportTo: '~'}",
                    ),
                    "",
                ),
            ],
        );
    }
}
