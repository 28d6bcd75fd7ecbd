//! What is particular to Kubernetes Services: where their clusters lead, and how that is told.

use crate::mesh::line::{VALUE_CHARACTERS, quoted};
use crate::mesh::protocol::Protocol;
use crate::mesh::service_entry::{Port, Registry, ServiceEntry};
use crate::mesh::view::Mesh;

use super::Dial;
use super::cluster::{Owner, Target};
use super::endpoints::{of_entry, written};
use super::service::Service;
use super::words::{endpoints_in_words, entry_name};

/// Whether the host's services come from both registries. A Service takes the cluster of an entry
/// of the same host while both keep their listeners (`appendSidecarServices`); what a client meets
/// was not measured.
pub(crate) fn is_in_both_registries(owners: &[Owner<'_>]) -> bool {
    let from = |registry| {
        let mut owners = owners.iter();
        owners.any(|owner| owner.ranked.entry.registry == registry)
    };
    from(Registry::Istio) && from(Registry::Kubernetes)
}

/// Where the cluster of a Service with a ClusterIP leads: to its endpoints, which is what whoever
/// dials the ClusterIP wants.
pub(crate) fn behind(mesh: &dyn Mesh, service: &ServiceEntry, port: &Port, host: &str) -> Target {
    let endpoints = of_entry(mesh, service, port, host);
    if endpoints.is_empty() && service.workload_selector.is_none() {
        return Target::Empty;
    }
    let endpoints = endpoints.iter();
    Target::Behind(
        endpoints
            .map(|(address, port)| written(address, *port))
            .collect(),
    )
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
        Target::Empty => Some(format!(
            "{name} has no ready endpoint for port {port}, so there is nowhere to forward to"
        )),
        _ => None,
    }
}
