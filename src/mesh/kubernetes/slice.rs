//! EndpointSlices: which addresses stand behind a Service
//! (`updateEndpointCacheForSlice` in
//! `pilot/pkg/serviceregistry/kube/controller/endpointslice.go`).

use std::collections::BTreeMap;

use serde_json::Value;

use crate::mesh::object::Metadata;
use crate::mesh::service_entry::Endpoint;

use super::{list, text};

/// Some endpoints of one Service.
#[derive(Clone, Debug, PartialEq)]
pub struct EndpointSlice {
    /// Its namespace, which is the Service's.
    pub namespace: Box<str>,
    /// The Service that its label names.
    pub service: Box<str>,
    endpoints: Vec<(Endpoint, bool)>,
}

impl EndpointSlice {
    /// Reads one; `None` where it belongs to no Service.
    pub fn read(object: &Value) -> Option<Self> {
        let service = text(object, "/metadata/labels/kubernetes.io~1service-name")?;
        Some(Self {
            namespace: Metadata::of(object).namespace.into(),
            service: service.into(),
            endpoints: read_endpoints(object),
        })
    }

    /// Its endpoints: all, or those that are ready.
    pub(super) fn endpoints(&self, all: bool) -> impl Iterator<Item = Endpoint> + '_ {
        let endpoints = self
            .endpoints
            .iter()
            .filter(move |(_, ready)| all || *ready);
        endpoints.map(|(endpoint, _)| endpoint.clone())
    }
}

fn read_endpoints(object: &Value) -> Vec<(Endpoint, bool)> {
    // istiod leaves host names out.
    if text(object, "/addressType") == Some("FQDN") {
        return Vec::new();
    }
    let ports: BTreeMap<Box<str>, u16> = list(object, "/ports").filter_map(read_port).collect();
    let mut endpoints = Vec::new();
    for endpoint in list(object, "/endpoints") {
        let ready = endpoint.pointer("/conditions/ready");
        let ready = ready.and_then(Value::as_bool).unwrap_or(true);
        for address in list(endpoint, "/addresses").filter_map(Value::as_str) {
            let endpoint = Endpoint {
                address: address.into(),
                ports: ports.clone(),
                mutual_tls: false,
            };
            endpoints.push((endpoint, ready));
        }
    }
    endpoints
}

/// A port's name, empty where it has none, and its number.
fn read_port(port: &Value) -> Option<(Box<str>, u16)> {
    let number = port.get("port").and_then(Value::as_u64)?;
    let name = text(port, "/name").unwrap_or_default();
    Some((name.into(), u16::try_from(number).ok()?))
}
