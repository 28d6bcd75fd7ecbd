//! EndpointSlices: which addresses stand behind a Service
//! (`updateEndpointCacheForSlice` in
//! `pilot/pkg/serviceregistry/kube/controller/endpointslice.go`).

use std::collections::BTreeMap;

use serde_json::Value;

use crate::mesh::field::Field;
use crate::mesh::lenient::Problem;
use crate::mesh::object::Metadata;
use crate::mesh::service_entry::Endpoint;

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
    ///
    /// # Errors
    /// The first field of the wrong type.
    pub fn read(object: &Value) -> Result<Option<Self>, Problem> {
        let object = Field::of(object);
        let labels = object.get("metadata")?;
        let labels = labels.get("labels")?;
        let Some(service) = labels.get("kubernetes.io/service-name")?.text()? else {
            return Ok(None);
        };
        Ok(Some(Self {
            namespace: Metadata::of(&object)?.namespace.into(),
            service: service.into(),
            endpoints: read_endpoints(&object)?,
        }))
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

fn read_endpoints(slice: &Field<'_, '_>) -> Result<Vec<(Endpoint, bool)>, Problem> {
    // istiod leaves host names out.
    if slice.get("addressType")?.text()? == Some("FQDN") {
        return Ok(Vec::new());
    }
    let ports = slice.get("ports")?;
    let ports = ports.items()?;
    let ports = ports.filter_map(|port| read_port(&port).transpose());
    let ports: BTreeMap<Box<str>, u16> = ports.collect::<Result<_, _>>()?;
    let mut endpoints = Vec::new();
    for endpoint in slice.get("endpoints")?.items()? {
        let ready = endpoint.get("conditions")?.get("ready")?.truth()?;
        let ready = ready.unwrap_or(true);
        for address in endpoint.get("addresses")?.texts()? {
            let endpoint = Endpoint {
                address: address.into(),
                ports: ports.clone(),
                mutual_tls: false,
            };
            endpoints.push((endpoint, ready));
        }
    }
    Ok(endpoints)
}

/// A port's name, empty where it has none, and its number.
fn read_port(port: &Field<'_, '_>) -> Result<Option<(Box<str>, u16)>, Problem> {
    let name = port.get("name")?.text()?.unwrap_or_default();
    let number = port.get("port")?.port()?;
    Ok(number.map(|number| (name.into(), number)))
}
