//! The ServiceEntry, read leniently: the fields that decide what happens to a CONNECT.
//!
//! `networking.istio.io` v1, v1beta1 and v1alpha3 share one schema, so one reader serves all
//! three. Unknown fields are ignored, wrong types are collected in [`ServiceEntry::problems`].

mod allocation;
mod limits;
mod raw;

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::address::Address;
use super::field_path::FieldPath;
use super::lenient::Problem;
use super::object::is_of_istio;
use super::protocol::Protocol;
pub(crate) use allocation::is_allocated;

/// The API group of Istio's traffic objects.
pub const GROUP: &str = "networking.istio.io";

/// Whether an `apiVersion` and `kind` are those of a ServiceEntry, in any version.
pub fn is_service_entry(api_version: &str, kind: &str) -> bool {
    is_of_istio(api_version, kind, "ServiceEntry")
}

/// Which of istiod's registries an entry comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Registry {
    /// It is a ServiceEntry.
    #[default]
    Istio,
    /// It is a Service of Kubernetes ([`crate::mesh::kubernetes`]).
    Kubernetes,
}

/// A ServiceEntry as the guard sees it, or a Kubernetes Service in its form.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServiceEntry {
    /// As written, or empty.
    pub api_version: Box<str>,
    /// Where it comes from.
    pub registry: Registry,
    /// `metadata.namespace`; `default` where it is absent, as kubectl would have it.
    pub namespace: Box<str>,
    /// `metadata.name`, else `metadata.generateName`, else empty.
    pub name: Box<str>,
    /// Whether the name is a `generateName`, which many objects may share.
    pub name_is_generated: bool,
    /// `metadata.creationTimestamp` in seconds since 1970; `None` for an object not stored yet.
    pub created: Option<i64>,
    /// Whether `metadata.deletionTimestamp` is set.
    pub deleting: bool,
    /// `metadata.labels`.
    pub labels: BTreeMap<Box<str>, Box<str>>,
    /// `spec.hosts`.
    pub hosts: Vec<Box<str>>,
    /// `spec.addresses`, in order.
    pub addresses: Vec<WrittenAddress>,
    /// `spec.ports`; those of the wrong type are left out, the others keep their index.
    pub ports: Vec<Port>,
    /// `spec.location`.
    pub location: Location,
    /// `spec.resolution`.
    pub resolution: Resolution,
    /// `spec.endpoints`.
    pub endpoints: Vec<Endpoint>,
    /// `spec.workloadSelector.labels`, where a selector is set.
    pub workload_selector: Option<BTreeMap<Box<str>, Box<str>>>,
    /// `spec.exportTo`; empty means the mesh's default, every namespace.
    pub export_to: Vec<Box<str>>,
    /// `status.addresses`: host and address allocated.
    pub allocated: Vec<(Box<str>, IpAddr)>,
    /// Fields that cannot be used as they stand.
    pub problems: Vec<Problem>,
}

/// One entry of `spec.addresses`.
#[derive(Clone, Debug, PartialEq)]
pub struct WrittenAddress {
    /// As written.
    pub text: Box<str>,
    /// What Istio makes of it.
    pub address: Address,
}

/// One entry of `spec.ports`.
#[derive(Clone, Debug, PartialEq)]
pub struct Port {
    /// Its index in `spec.ports`.
    pub index: usize,
    /// `number`: the port that applications dial.
    pub number: u16,
    /// `name`.
    pub name: Box<str>,
    /// `protocol` as written.
    pub protocol_text: Option<Box<str>>,
    /// `protocol` as Istio reads it.
    pub protocol: Protocol,
    /// `targetPort`.
    pub target_port: Option<u16>,
}

/// One entry of `spec.endpoints`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Endpoint {
    /// An IP, a host name, or empty.
    pub address: Box<str>,
    /// Port name → port number.
    pub ports: BTreeMap<Box<str>, u16>,
    /// Whether `serviceAccount` is set, or the label that asks for mutual TLS.
    pub mutual_tls: bool,
}

/// `spec.location`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Location {
    /// Not written: Istio takes it for [`Location::External`].
    #[default]
    Absent,
    /// `MESH_EXTERNAL`.
    External,
    /// `MESH_INTERNAL`.
    Internal,
}

/// `spec.resolution`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Resolution {
    /// `NONE`, or not written: forward to the address dialled.
    #[default]
    None,
    /// `STATIC`: forward to the endpoints.
    Static,
    /// `DNS`: forward to what the hosts or endpoints resolve to.
    Dns,
    /// `DNS_ROUND_ROBIN`: the same, one address at a time.
    DnsRoundRobin,
    /// `DYNAMIC_DNS` (Istio 1.28 and newer): forward to what the client's SNI or Host names.
    DynamicDns,
}

impl Resolution {
    /// DNS or DNS_ROUND_ROBIN.
    pub fn is_dns(self) -> bool {
        matches!(self, Self::Dns | Self::DnsRoundRobin)
    }

    /// As it is written in a ServiceEntry.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Static => "STATIC",
            Self::Dns => "DNS",
            Self::DnsRoundRobin => "DNS_ROUND_ROBIN",
            Self::DynamicDns => "DYNAMIC_DNS",
        }
    }
}

impl Port {
    /// The path of one of its fields.
    pub fn path(&self, field: &str) -> FieldPath {
        FieldPath::spec().key("ports").index(self.index).key(field)
    }
}

impl ServiceEntry {
    /// The kind of the object.
    pub fn kind(&self) -> &'static str {
        match self.registry {
            Registry::Istio => "ServiceEntry",
            Registry::Kubernetes => "Service",
        }
    }

    /// The single IPs that a client can dial.
    pub fn usable_addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.addresses
            .iter()
            .filter_map(|written| written.address.usable())
    }

    /// The port that an application dials as `number`.
    pub fn port(&self, number: u16) -> Option<&Port> {
        self.ports.iter().find(|port| port.number == number)
    }

    /// Whether one of its addresses, single or a range, holds `ip`.
    pub fn lists(&self, ip: IpAddr) -> bool {
        self.addresses
            .iter()
            .any(|written| written.address.contains(ip))
    }

    /// Whether istiod makes any service of it: one whose addresses are all bad vanishes.
    pub fn has_services(&self) -> bool {
        let mut addresses = self.addresses.iter();
        self.addresses.is_empty() || addresses.any(|written| written.address != Address::Invalid)
    }

    /// Whether something asks for mutual TLS inside the mesh, so that the location matters.
    pub fn needs_mesh_location(&self) -> bool {
        self.workload_selector.is_some() || self.endpoints.iter().any(|e| e.mutual_tls)
    }

    /// Whether a sidecar in `namespace` is shown this entry (`exportTo`, with the mesh's default
    /// of every namespace).
    pub fn is_visible_from(&self, namespace: &str) -> bool {
        if self.export_to.is_empty() || self.export_to.iter().any(|to| &**to == "*") {
            return true;
        }
        // `~` hides an entry from everyone, whatever else is listed beside it.
        if self.export_to.iter().any(|to| &**to == "~") {
            return false;
        }
        self.export_to
            .iter()
            .any(|to| &**to == namespace || (&**to == "." && *self.namespace == *namespace))
    }

    /// Whether `namespace` is its own, and not every one is shown this entry.
    pub(crate) fn is_private_to(&self, namespace: &str) -> bool {
        *self.namespace == *namespace && !self.is_public()
    }

    /// Whether every namespace is shown this entry.
    pub fn is_public(&self) -> bool {
        self.export_to.is_empty() || self.export_to.iter().any(|to| &**to == "*")
    }
}
