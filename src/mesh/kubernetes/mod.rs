//! Kubernetes Services, read as istiod reads them.
//!
//! istiod makes the same kind of service of a Service as of a ServiceEntry (`ConvertService` in
//! `pilot/pkg/serviceregistry/kube/conversion.go`, `convertServices` in
//! `pilot/pkg/serviceregistry/serviceentry/conversion.go`) and builds listeners for both in one
//! line, by age. So a Service becomes a [`ServiceEntry`] of the [`Registry::Kubernetes`]: its
//! ClusterIPs are the addresses, and a headless one has resolution NONE, as its cluster forwards to
//! the address dialled.

mod protocol;
mod slice;

use serde_json::Value;

use super::address::Address;
use super::field::Field;
use super::labels;
use super::lenient::Problem;
use super::object::Metadata;
use super::protocol::Protocol;
use super::service_entry::{Location, Port, Registry, Resolution, ServiceEntry, WrittenAddress};
pub use slice::EndpointSlice;

/// The domain of the cluster's Services. Other meshes set another; then hosts do not meet, and
/// nothing else depends on it.
const DOMAIN: &str = "svc.cluster.local";

/// The names by which clients of every namespace know the Service of a host, the host first: the
/// search list of a Pod's `resolv.conf` completes the others.
pub fn names(host: &str) -> Vec<Box<str>> {
    let mut names = vec![host.into()];
    if let Some(short) = host.strip_suffix(DOMAIN) {
        names.push(format!("{short}svc").into());
        names.push(short.trim_end_matches('.').into());
    }
    names
}

/// The hosts that a client in `namespace` may mean by a name, as that search list has them.
pub fn completed(name: &str, namespace: &str) -> [String; 4] {
    [
        name.to_owned(),
        format!("{name}.{namespace}.{DOMAIN}"),
        format!("{name}.{DOMAIN}"),
        format!("{name}.cluster.local"),
    ]
}

/// Whether an `apiVersion` and `kind` are those of a Service.
pub fn is_service(api_version: &str, kind: &str) -> bool {
    api_version == "v1" && kind == "Service"
}

/// Whether an `apiVersion` and `kind` are those of an EndpointSlice.
pub fn is_endpoint_slice(api_version: &str, kind: &str) -> bool {
    kind == "EndpointSlice" && api_version.starts_with("discovery.k8s.io/")
}

/// Whether an `apiVersion` and `kind` are those of the older form of EndpointSlices.
pub fn is_endpoints(api_version: &str, kind: &str) -> bool {
    api_version == "v1" && kind == "Endpoints"
}

/// Reads a Service, as far as its EndpointSlices are not needed; `None` where it has no name, so
/// that it has no host either.
///
/// # Errors
/// The first field of the wrong type.
pub fn read_service(object: &Value) -> Result<Option<ServiceEntry>, Problem> {
    let object = Field::of(object);
    let Metadata {
        namespace,
        name,
        created,
    } = Metadata::of(&object)?;
    if name.is_empty() {
        return Ok(None);
    }
    let (metadata, spec) = (object.get("metadata")?, object.get("spec")?);
    let selector = labels::read(&spec.get("selector")?)?;
    let is_headless = spec.get("clusterIP")?.text()? == Some("None");
    Ok(Some(ServiceEntry {
        api_version: "v1".into(),
        registry: Registry::Kubernetes,
        namespace: namespace.into(),
        name: name.into(),
        created,
        deleting: metadata.get("deletionTimestamp")?.is_set(),
        labels: labels::read(&metadata.get("labels")?)?,
        hosts: vec![format!("{name}.{namespace}.{DOMAIN}").into()],
        addresses: cluster_ips(&spec)?,
        ports: ports(&spec)?,
        location: Location::Internal,
        resolution: match is_headless {
            true => Resolution::None,
            false => Resolution::Static,
        },
        workload_selector: Some(selector).filter(|selector| !selector.is_empty()),
        export_to: export_to(&metadata)?,
        ..ServiceEntry::default()
    }))
}

/// Gives a Service the endpoints of its slices, if there is any slice. A selector says no more
/// then: what it selects is known.
pub fn with_slices(mut service: ServiceEntry, slices: &[&EndpointSlice]) -> ServiceEntry {
    if slices.is_empty() {
        return service;
    }
    // A headless Service listens on every endpoint's address, ready or not
    // (`ServiceEndpointsByPort`); a cluster is sent those that are ready.
    let all = service.resolution == Resolution::None;
    let slices = slices.iter();
    service.endpoints = slices.flat_map(|slice| slice.endpoints(all)).collect();
    service.workload_selector = None;
    service
}

/// The ClusterIPs; none for a headless Service and where the API server has not given one yet,
/// which is how a Service is written in files.
fn cluster_ips(spec: &Field<'_, '_>) -> Result<Vec<WrittenAddress>, Problem> {
    let several = spec.get("clusterIPs")?.texts()?;
    let ips = match several.len() {
        0 | 1 => spec.get("clusterIP")?.text()?.into_iter().collect(),
        _ => several,
    };
    let written = ips.into_iter().map(|text| WrittenAddress {
        text: text.into(),
        address: Address::parse(text),
    });
    let valid = written.filter(|written| written.address.usable().is_some());
    Ok(valid.collect())
}

/// Its ports, without those that get no listener: a UDP port may have the number of another.
fn ports(spec: &Field<'_, '_>) -> Result<Vec<Port>, Problem> {
    // No listener on either measured version, whatever the port is called: it has no port.
    if spec.get("type")?.text()? == Some("ExternalName") {
        return Ok(Vec::new());
    }
    let mut ports = Vec::new();
    for (index, port) in spec.get("ports")?.items()?.enumerate() {
        ports.extend(read_port(index, &port)?);
    }
    ports.retain(|port| port.protocol != Protocol::Udp);
    Ok(ports)
}

fn read_port(index: usize, port: &Field<'_, '_>) -> Result<Option<Port>, Problem> {
    let name = port.get("name")?.text()?.unwrap_or_default();
    let app_protocol = port.get("appProtocol")?.text()?;
    let transport = port.get("protocol")?.text()?;
    let number = port.get("port")?.port()?;
    Ok(number.map(|number| Port {
        index,
        number,
        name: name.into(),
        protocol_text: app_protocol.map(Into::into),
        protocol: Protocol::of_service_port(number, name, transport, app_protocol),
        // Where its endpoints listen is for the EndpointSlices to say.
        target_port: None,
    }))
}

/// The annotation that stands for a Service's `exportTo`.
fn export_to(metadata: &Field<'_, '_>) -> Result<Vec<Box<str>>, Problem> {
    let annotations = metadata.get("annotations")?;
    let annotation = annotations.get("networking.istio.io/exportTo")?.text()?;
    let written = annotation.filter(|text| !text.is_empty()).into_iter();
    let namespaces = written.flat_map(|text| text.split(','));
    Ok(namespaces.map(|name| name.trim().into()).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{EndpointSlice, completed, names, read_service, with_slices};
    use crate::mesh::service_entry::{Resolution, ServiceEntry};

    fn service(spec: Value) -> Value {
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "squid", "namespace": "egress"}, "spec": spec})
    }

    fn read(service: &Value) -> ServiceEntry {
        read_service(service).unwrap().unwrap()
    }

    #[test]
    fn a_service_is_an_entry() {
        let object = service(
            json!({"clusterIP": "10.96.0.5", "selector": {"app": "squid"}, "ports": [{"port": 3128, "name": "tcp"}]}),
        );
        let entry = read(&object);
        assert_eq!(*entry.hosts, ["squid.egress.svc.cluster.local".into()]);
        assert_eq!(entry.usable_addresses().count(), 1);
        assert_eq!(entry.resolution, Resolution::Static);
        assert_eq!(entry.kind(), "Service");
        assert!(entry.is_public());
    }

    #[test]
    fn addresses_and_ports() {
        let rows = [
            (
                json!({"clusterIP": "None", "ports": [{"port": 3128}]}),
                0,
                1,
            ),
            (json!({"ports": [{"port": 3128}]}), 0, 1),
            (
                json!({"clusterIP": "10.96.0.5", "clusterIPs": ["10.96.0.5", "fd00::5"]}),
                2,
                0,
            ),
            (
                json!({"type": "ExternalName", "externalName": "a.test", "ports": [{"port": 3128, "name": "http"}]}),
                0,
                0,
            ),
            (
                json!({"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]}),
                0,
                1,
            ),
            (json!({"ports": [{"port": 0}]}), 0, 0),
            (json!(null), 0, 0),
        ];
        for (spec, addresses, ports) in rows {
            let entry = read(&service(spec.clone()));
            assert_eq!(entry.addresses.len(), addresses, "{spec}");
            assert_eq!(entry.ports.len(), ports, "{spec}");
        }
        let nameless = json!({"metadata": {"generateName": "a-"}});
        assert_eq!(read_service(&nameless), Ok(None));
    }

    #[test]
    fn short_names() {
        let host = "squid.egress.svc.cluster.local";
        for name in names(host) {
            let completed = completed(&name, "default");
            assert!(
                completed.iter().any(|completed| completed == host),
                "{name}"
            );
        }
        assert_eq!(names(host).len(), 3);
        assert!(
            completed("squid", "egress")
                .iter()
                .any(|completed| completed == host)
        );
        assert_eq!(names("proxy.corp"), ["proxy.corp".into()]);
    }

    #[test]
    fn the_annotation_is_the_export() {
        let mut object = service(json!({}));
        object["metadata"]["annotations"] = json!({"networking.istio.io/exportTo": "., team-a"});
        let entry = read(&object);
        assert!(entry.is_visible_from("egress") && entry.is_visible_from("team-a"));
        assert!(!entry.is_visible_from("default"));
    }

    #[test]
    fn unready_endpoints_are_listened_on_and_not_forwarded_to() {
        let slice = EndpointSlice::read(&json!({
            "metadata": {"name": "squid-1", "namespace": "egress", "labels": {"kubernetes.io/service-name": "squid"}},
            "addressType": "IPv4",
            "ports": [{"name": "tcp", "port": 3128}],
            "endpoints": [{"addresses": ["10.244.0.1"]}, {"addresses": ["10.244.0.2"], "conditions": {"ready": false}}],
        }))
        .unwrap()
        .unwrap();
        for (cluster_ip, endpoints) in [("None", 2), ("10.96.0.5", 1)] {
            let selector = json!({"clusterIP": cluster_ip, "selector": {"app": "squid"}});
            let entry = read(&service(selector));
            assert!(entry.workload_selector.is_some());
            let entry = with_slices(entry, &[&slice]);
            assert_eq!(entry.endpoints.len(), endpoints, "{cluster_ip}");
            assert!(entry.workload_selector.is_none());
        }
    }
}
