//! The checks, one a file. Adding one takes a file, two lines here and a page in `docs/checks/`.

mod address_range;
pub(crate) mod captures_proxy;
mod decided_by_sidecar;
mod dynamic_dns;
mod http_port;
mod http_proxy_value;
mod internal_location;
mod missing_address;
mod no_protocol;
mod other_port;
mod other_protocol;
mod rejected_address;
mod rejected_entry;
mod same_host;
mod service_in_front;
pub(crate) mod service_port;
mod several_addresses;
mod several_hosts;
mod static_without_endpoints;
mod tcp_without_address;
mod tls_port;
pub(crate) mod undeclared_proxy;
mod unknown_protocol;
pub(crate) mod unreadable;
mod wrapped_in_tls;

#[cfg(test)]
pub(crate) mod testing;

use super::check::{Check, CheckId};
use super::proxy::Proxy;

/// Every check, by id. Ids are never reused.
pub static ALL: &[&Check] = &[
    &unreadable::CHECK,
    &http_port::CHECK,
    &no_protocol::CHECK,
    &unknown_protocol::CHECK,
    &http_proxy_value::CHECK,
    &tcp_without_address::CHECK,
    &address_range::CHECK,
    &rejected_address::CHECK,
    &several_hosts::CHECK,
    &dynamic_dns::CHECK,
    &static_without_endpoints::CHECK,
    &tls_port::CHECK,
    &internal_location::CHECK,
    &captures_proxy::CHECK,
    &same_host::CHECK,
    &other_protocol::CHECK,
    &service_port::CHECK,
    &undeclared_proxy::CHECK,
    &several_addresses::CHECK,
    &other_port::CHECK,
    &wrapped_in_tls::CHECK,
    &decided_by_sidecar::CHECK,
    &missing_address::CHECK,
    &rejected_entry::CHECK,
];

/// The check with an id.
pub fn find(id: CheckId) -> Option<&'static Check> {
    ALL.iter().copied().find(|check| check.id == id)
}

/// The check that a person names: `TG001`, in any case.
pub fn by_name(name: &str) -> Option<&'static Check> {
    let name = name.to_ascii_uppercase();
    ALL.iter()
        .copied()
        .find(|check| check.id.to_string() == name)
}

/// The ServiceEntry that would protect a proxy on one of its ports, whole and in one line.
pub fn protective_entry(proxy: &Proxy, port: u16) -> String {
    let host = match proxy.server_name() {
        Some(host) => host.to_owned(),
        None => format!("{}.internal", label(&proxy.name)),
    };
    let addresses: Vec<String> = if proxy.single_addresses().next().is_some() {
        proxy
            .single_addresses()
            .map(|ip| format!("{:?}", ip.to_string()))
            .collect()
    } else if proxy.addresses.is_empty() {
        vec!["\"the proxy's IP\"".to_owned()]
    } else {
        proxy
            .addresses
            .iter()
            .map(|net| format!("{:?}", net.to_string()))
            .collect()
    };
    let addresses = addresses.join(", ");
    let name = label(&proxy.name);
    format!(
        "{{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {{name: {name}}}, spec: {{hosts: [{host}], addresses: [{addresses}], ports: [{{number: {port}, name: tcp, protocol: TCP}}], location: MESH_EXTERNAL, resolution: NONE}}}}"
    )
}

/// A name that Kubernetes takes: a DNS label (RFC 1123).
fn label(name: &str) -> String {
    let mapped: String = name
        .to_ascii_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(63)
        .collect();
    match mapped.trim_matches('-') {
        "" => "proxy".to_owned(),
        label => label.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::ALL;

    #[test]
    fn ids_are_unique_and_in_order() {
        let ids: Vec<_> = ALL.iter().map(|check| check.id).collect();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "{ids:?}");
    }
}
