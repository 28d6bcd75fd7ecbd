//! How a ServiceEntry is read: every field may have any type.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Deserialize;

use crate::mesh::address::Address;
use crate::mesh::field_path::FieldPath;
use crate::mesh::lenient::{self, Entries, Loose, Object, Problem, Shape, Text};
use crate::mesh::line::{VALUE_CHARACTERS, quoted};
use crate::mesh::object::seconds;
use crate::mesh::protocol::Protocol;

use super::limits;
use super::{Endpoint, Location, Port, Resolution, ServiceEntry, WrittenAddress};

impl<'de> Deserialize<'de> for ServiceEntry {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Loose::<RawObject>::deserialize(deserializer)? {
            Loose::Value(raw) => raw.into_service_entry(),
            Loose::Absent => Self::not_an_object("null"),
            Loose::Wrong(found) => Self::not_an_object(found),
        })
    }
}

impl ServiceEntry {
    fn not_an_object(found: &str) -> Self {
        Self {
            namespace: "default".into(),
            problems: vec![Problem {
                path: FieldPath::root(),
                message: format!("expected a mapping, found {found}"),
            }],
            ..Self::default()
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawObject {
    api_version: Loose<Text>,
    metadata: Loose<RawMetadata>,
    spec: Loose<RawSpec>,
    status: Loose<RawStatus>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawMetadata {
    name: Loose<Text>,
    generate_name: Loose<Text>,
    namespace: Loose<Text>,
    creation_timestamp: Loose<Text>,
    deletion_timestamp: Loose<Text>,
    labels: Loose<Entries<Text>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawSpec {
    hosts: Loose<Vec<Loose<Text>>>,
    addresses: Loose<Vec<Loose<Text>>>,
    ports: Loose<Vec<Loose<RawPort>>>,
    location: Loose<Text>,
    resolution: Loose<Text>,
    endpoints: Loose<Vec<Loose<RawEndpoint>>>,
    workload_selector: Loose<RawSelector>,
    export_to: Loose<Vec<Loose<Text>>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawPort {
    number: Loose<i64>,
    name: Loose<Text>,
    protocol: Loose<Text>,
    target_port: Loose<i64>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawEndpoint {
    address: Loose<Text>,
    ports: Loose<Entries<i64>>,
    service_account: Loose<Text>,
    labels: Loose<Entries<Text>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawStatus {
    addresses: Loose<Vec<Loose<RawAllocation>>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawAllocation {
    host: Loose<Text>,
    value: Loose<Text>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawSelector {
    labels: Loose<Entries<Text>>,
}

impl Object for RawObject {}
impl Object for RawMetadata {}
impl Object for RawSpec {}
impl Object for RawPort {}
impl Object for RawEndpoint {}
impl Object for RawSelector {}
impl Object for RawStatus {}
impl Object for RawAllocation {}

impl RawObject {
    fn into_service_entry(self) -> ServiceEntry {
        let mut problems = Vec::new();
        let api_version = self
            .api_version
            .take(|| FieldPath::root().key("apiVersion"), &mut problems);
        let metadata_path = || FieldPath::root().key("metadata");
        let metadata = self.metadata.take(metadata_path, &mut problems);
        let spec = self.spec.take(FieldPath::spec, &mut problems);
        let mut entry = ServiceEntry {
            api_version: api_version.unwrap_or_default(),
            namespace: "default".into(),
            problems,
            ..ServiceEntry::default()
        };
        if let Some(metadata) = metadata {
            metadata.read_into(&mut entry);
        }
        if let Some(spec) = spec {
            spec.read_into(&mut entry);
        }
        entry.allocated = self.status.read();
        entry
    }
}

impl Loose<RawStatus> {
    /// What istiod wrote there. Nothing in it is anybody's mistake, so what cannot be read is left out.
    fn read(self) -> Vec<(Box<str>, IpAddr)> {
        let nobodys = &mut Vec::new();
        let status = self.take(FieldPath::root, nobodys).unwrap_or_default();
        let addresses = status.addresses.take(FieldPath::root, nobodys);
        let mut read = Vec::new();
        for allocation in addresses.into_iter().flatten() {
            let Some(allocation) = allocation.take(FieldPath::root, nobodys) else {
                continue;
            };
            let host = allocation.host.take(FieldPath::root, nobodys);
            let value = allocation.value.take(FieldPath::root, nobodys);
            let ip = value.and_then(|value| value.parse().ok());
            read.extend(host.zip(ip));
        }
        read
    }
}

impl RawMetadata {
    fn read_into(self, entry: &mut ServiceEntry) {
        let problems = &mut entry.problems;
        let path = |field: &str| FieldPath::root().key("metadata").key(field);
        let generated = self.generate_name.take(|| path("generateName"), problems);
        let name = self.name.take(|| path("name"), problems);
        entry.name_is_generated = name.is_none();
        entry.name = name.or(generated).unwrap_or_default();
        if let Some(namespace) = self.namespace.take(|| path("namespace"), problems)
            && !namespace.is_empty()
        {
            entry.namespace = namespace;
        }
        entry.created = self
            .creation_timestamp
            .take(|| path("creationTimestamp"), problems)
            .and_then(|text| seconds(&text));
        entry.deleting = self.deletion_timestamp != Loose::Absent;
        entry.labels = read_map(self.labels, || path("labels"), problems);
    }
}

impl RawSpec {
    fn read_into(self, entry: &mut ServiceEntry) {
        let problems = &mut entry.problems;
        let path = |field: &str| FieldPath::spec().key(field);
        let hosts = limits::HOSTS.apply(self.hosts, || path("hosts"), problems);
        entry.hosts = read_list(hosts, || path("hosts"), problems);
        let addresses = limits::ADDRESSES.apply(self.addresses, || path("addresses"), problems);
        entry.addresses = read_list(addresses, || path("addresses"), problems)
            .into_iter()
            .map(|text| WrittenAddress {
                address: Address::parse(&text),
                text,
            })
            .collect();
        let ports = limits::PORTS.apply(self.ports, || path("ports"), problems);
        let ports = ports.take(|| path("ports"), problems);
        for (index, port) in ports.unwrap_or_default().into_iter().enumerate() {
            let path = || FieldPath::spec().key("ports").index(index);
            if let Some(port) = take_item(port, path, problems) {
                entry.ports.extend(port.read(index, problems));
            }
        }
        entry.location = read_location(self.location, problems);
        entry.resolution = read_resolution(self.resolution, problems);
        let endpoints = limits::ENDPOINTS.apply(self.endpoints, || path("endpoints"), problems);
        let endpoints = endpoints.take(|| path("endpoints"), problems);
        for (index, endpoint) in endpoints.unwrap_or_default().into_iter().enumerate() {
            let path = || FieldPath::spec().key("endpoints").index(index);
            if let Some(endpoint) = take_item(endpoint, path, problems) {
                entry.endpoints.push(endpoint.read(path(), problems));
            }
        }
        entry.workload_selector = self
            .workload_selector
            .take(|| path("workloadSelector"), problems)
            .map(|selector| {
                let path = || path("workloadSelector").key("labels");
                read_map(selector.labels, path, problems)
            });
        let export_to = limits::EXPORT_TO.apply(self.export_to, || path("exportTo"), problems);
        entry.export_to = read_list(export_to, || path("exportTo"), problems);
    }
}

impl RawPort {
    fn read(self, index: usize, problems: &mut Vec<Problem>) -> Option<Port> {
        let path = |field: &str| FieldPath::spec().key("ports").index(index).key(field);
        let name = self.name.take(|| path("name"), problems);
        let protocol_text = self.protocol.take(|| path("protocol"), problems);
        let target_port = read_port(self.target_port, || path("targetPort"), problems);
        let number = read_port(self.number, || path("number"), problems)?;
        Some(Port {
            index,
            number,
            name: name.unwrap_or_default(),
            protocol: Protocol::parse(protocol_text.as_deref()),
            protocol_text,
            target_port,
        })
    }
}

/// The label by which a workload says that its sidecar speaks mutual TLS.
const TLS_MODE_LABEL: &str = "security.istio.io/tlsMode";

impl RawEndpoint {
    fn read(self, path: FieldPath, problems: &mut Vec<Problem>) -> Endpoint {
        let address = self.address.take(|| path.clone().key("address"), problems);
        let account_path = || path.clone().key("serviceAccount");
        let account = self.service_account.take(account_path, problems);
        let labels = read_map(self.labels, || path.clone().key("labels"), problems);
        let mut ports = BTreeMap::new();
        let written = self.ports.take(|| path.clone().key("ports"), problems);
        for (name, port) in written.unwrap_or_default().0 {
            let path = || path.clone().key("ports").key(&name);
            if let Some(port) = read_port(port, path, problems) {
                ports.insert(name, port);
            }
        }
        Endpoint {
            address: address.unwrap_or_default(),
            ports,
            mutual_tls: account.is_some_and(|account| !account.is_empty())
                || labels.contains_key(TLS_MODE_LABEL),
        }
    }
}

/// One element of a list, where null is not allowed.
fn take_item<T: Shape>(
    item: Loose<T>,
    path: impl Fn() -> FieldPath,
    problems: &mut Vec<Problem>,
) -> Option<T> {
    match item {
        Loose::Absent => Loose::Wrong("null").take(path, problems),
        other => other.take(path, problems),
    }
}

fn read_list(
    list: Loose<Vec<Loose<Text>>>,
    path: impl Fn() -> FieldPath,
    problems: &mut Vec<Problem>,
) -> Vec<Text> {
    let items = list.take(&path, problems).unwrap_or_default();
    items
        .into_iter()
        .enumerate()
        .filter_map(|(index, item)| take_item(item, || path().index(index), problems))
        .collect()
}

fn read_map(
    map: Loose<Entries<Text>>,
    path: impl Fn() -> FieldPath,
    problems: &mut Vec<Problem>,
) -> BTreeMap<Text, Text> {
    let entries = map.take(&path, problems).unwrap_or_default();
    entries
        .0
        .into_iter()
        .filter_map(|(key, value)| {
            let value = take_item(value, || path().key(&key), problems)?;
            Some((key, value))
        })
        .collect()
}

fn read_port(
    number: Loose<i64>,
    path: impl Fn() -> FieldPath,
    problems: &mut Vec<Problem>,
) -> Option<u16> {
    let port = lenient::port(number.take(&path, problems)?);
    port.unwrap_or_else(|message| {
        let path = path();
        problems.push(Problem { path, message });
        None
    })
}

fn read_location(location: Loose<Text>, problems: &mut Vec<Problem>) -> Location {
    let path = || FieldPath::spec().key("location");
    let Some(text) = location.take(path, problems) else {
        return Location::Absent;
    };
    match &*text {
        "MESH_EXTERNAL" => Location::External,
        "MESH_INTERNAL" => Location::Internal,
        other => {
            problems.push(Problem {
                path: path(),
                message: format!(
                    "expected MESH_EXTERNAL or MESH_INTERNAL, found {}",
                    quoted(other, VALUE_CHARACTERS)
                ),
            });
            Location::Absent
        }
    }
}

fn read_resolution(resolution: Loose<Text>, problems: &mut Vec<Problem>) -> Resolution {
    let path = || FieldPath::spec().key("resolution");
    let Some(text) = resolution.take(path, problems) else {
        return Resolution::None;
    };
    let known = [
        Resolution::None,
        Resolution::Static,
        Resolution::Dns,
        Resolution::DnsRoundRobin,
        Resolution::DynamicDns,
    ];
    if let Some(resolution) = known.into_iter().find(|known| known.name() == &*text) {
        return resolution;
    }
    let names = known.map(Resolution::name).join(", ");
    problems.push(Problem {
        path: path(),
        message: format!(
            "expected one of {names}, found {}",
            quoted(&text, VALUE_CHARACTERS)
        ),
    });
    Resolution::None
}
