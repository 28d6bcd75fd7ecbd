//! What is particular to Kubernetes Services: where their clusters lead, and how that is told.

use std::net::IpAddr;

use crate::mesh::line::{VALUE_CHARACTERS, quoted};
use crate::mesh::protocol::Protocol;
use crate::mesh::service_entry::{Port, Registry, ServiceEntry};
use crate::mesh::view::{Mesh, Ranked};

use super::Dial;
use super::cluster::{Owner, Target};
use super::endpoints::{of_entry, port_behind, written};
use super::service::Service;
use super::words::{endpoints_in_words, entry_name};

/// Leaves a Service alone with its host: it takes the place of the entries of it, while their listeners
/// stay (`appendSidecarServices` in `pilot/pkg/model/sidecar.go`).
pub(crate) fn take_over(owners: &mut Vec<Owner<'_>>) {
    let is_service = |owner: &Owner<'_>| owner.ranked.entry.registry == Registry::Kubernetes;
    if owners.iter().any(is_service) {
        owners.retain(is_service);
    }
}

/// Where the cluster of a Service with a ClusterIP leads: to its endpoints, joined by those that entries
/// of its host and namespace bring. Its own are what whoever dials the ClusterIP wants; an address that
/// an entry lists stands for itself.
pub(crate) fn behind<'a>(
    mesh: &'a dyn Mesh,
    rivals: &[Ranked<'a>],
    base: &'a ServiceEntry,
    port: &Port,
    dialled: &Service<'a>,
    dial: &Dial,
) -> Target {
    let own = of_entry(mesh, base, port, dialled.host);
    let mut endpoints = own.clone();
    let entries = rivals.iter().map(|rival| rival.entry);
    let entries = entries
        .filter(|entry| entry.registry == Registry::Istio && entry.namespace == base.namespace);
    let mut bringing = 0;
    for entry in entries {
        let its = port_behind(entry, port, false);
        let mut its = its.map_or_else(Vec::new, |its| of_entry(mesh, entry, its, dialled.host));
        // The endpoints of such a cluster travel as IPs.
        its.retain(|(address, _)| address.parse::<IpAddr>().is_ok());
        bringing += usize::from(!its.is_empty());
        endpoints.extend(its);
    }
    // Of several entries istiod does not keep the endpoints of all.
    if bringing > 1 {
        return Target::Contested;
    }
    if endpoints.is_empty() && base.workload_selector.is_none() {
        return Target::Empty;
    }
    let is_dialled =
        |(address, port): &(&str, u16)| address.parse() == Ok(dial.address) && *port == dial.port;
    let all: Vec<String> = endpoints
        .iter()
        .map(|(address, port)| written(address, *port))
        .collect();
    match dialled.entry.registry {
        Registry::Kubernetes if endpoints.iter().all(|one| own.contains(one)) => {
            Target::Behind(all)
        }
        Registry::Kubernetes => Target::Elsewhere(all),
        Registry::Istio if all.is_empty() => Target::Selected,
        Registry::Istio if endpoints.iter().all(is_dialled) => Target::Dialled,
        Registry::Istio => Target::Elsewhere(all),
    }
}

/// Whether the port's protocol is told by an appProtocol that came after Istio 1.21, which sniffs it.
pub(super) fn is_newly_read(service: &Service<'_>) -> bool {
    let text = service.port.protocol_text.as_deref();
    let is_service = service.entry.registry == Registry::Kubernetes;
    is_service && matches!(text, Some("kubernetes.io/ws" | "kubernetes.io/wss"))
}

/// What made the port's protocol: ` by its name "http"`; nothing for a ServiceEntry, which says it.
pub(super) fn by_what(entry: &ServiceEntry, port: &Port) -> String {
    if entry.registry == Registry::Istio {
        return String::new();
    }
    match (&port.protocol_text, &*port.name) {
        (Some(text), _) => format!(" by its appProtocol {}", quoted(text, VALUE_CHARACTERS)),
        (None, "") => " as it has no name".to_owned(),
        (None, name) => format!(" by its name {}", quoted(name, VALUE_CHARACTERS)),
    }
}

/// The port of a Service, in a step of the way.
pub(super) fn port_in_words(port: &Port) -> String {
    let written = match (&port.protocol_text, &*port.name) {
        (Some(text), _) => format!("appProtocol {}", quoted(text, VALUE_CHARACTERS)),
        (None, "") => "unnamed".to_owned(),
        (None, name) => format!("named {}", quoted(name, VALUE_CHARACTERS)),
    };
    match port.protocol {
        sniffed if sniffed.is_sniffed() => format!("port {}, {written}: sniffed", port.number),
        Protocol::Tcp if written == "unnamed" => format!("port {}, {written}", port.number),
        protocol => format!("port {}, {written}: {protocol}", port.number),
    }
}

/// The endpoints, where the slices tell them.
pub(super) fn endpoints(endpoints: &[String]) -> String {
    match endpoints {
        [] => "the pods that its selector selects".to_owned(),
        known => endpoints_in_words(known),
    }
}

/// Why a Service's cluster leads where it does; `None` where that is told as of an entry.
pub(super) fn reason(service: &Service<'_>, target: &Target, dial: &Dial) -> Option<String> {
    if service.entry.registry == Registry::Istio {
        return None;
    }
    let name = entry_name(service.entry);
    let port = service.port.number;
    match target {
        Target::Behind(known) => Some(format!(
            "{name} makes port {port} of {} {}{}, so the bytes are forwarded untouched to {}",
            dial.address,
            service.port.protocol,
            by_what(service.entry, service.port),
            endpoints(known)
        )),
        Target::Elsewhere(all) => Some(format!(
            "{name} has the endpoints of an entry of its host as well, so the bytes are forwarded to {}",
            endpoints_in_words(all)
        )),
        Target::Empty => Some(format!(
            "{name} has no ready endpoint for port {port}, so there is nowhere to forward to"
        )),
        _ => None,
    }
}
