//! What istiod's own validation would refuse.
//!
//! Source: `ValidateServiceEntry` in `pkg/config/validation/validation.go` and the CEL rules of
//! the CRD (Istio 1.24 and newer). istiod's webhook judges the object *after* our mutation, so a
//! repair that it refuses would be reported to the user as Istio's rejection. Only errors count
//! here; its warnings never stop an object.

use std::collections::HashSet;
use std::fmt;
use std::net::IpAddr;

use super::address::Address;
use super::field_path::FieldPath;
use super::protocol::Protocol;
use super::service_entry::{Resolution, ServiceEntry};

/// One reason for which istiod refuses a ServiceEntry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The field.
    pub path: FieldPath,
    /// Which rule.
    pub rule: Rule,
}

/// A rule of istiod's validation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// At least one host.
    NoHost,
    /// A host that is no DNS name, or the full wildcard.
    BadHost,
    /// An address that is neither an IP nor a prefix.
    BadAddress,
    /// A prefix with a resolution other than NONE or STATIC.
    PrefixWithDns,
    /// A port name or number that is used twice.
    DuplicatePort,
    /// A port name that is no DNS label.
    BadPortName,
    /// A protocol that Istio does not know.
    UnknownProtocol,
    /// Endpoints with resolution NONE.
    EndpointsWithNone,
    /// Endpoints beside a workloadSelector.
    EndpointsWithSelector,
    /// An endpoint address that its resolution cannot use.
    BadEndpoint,
    /// An endpoint names a port that the entry does not have.
    UnknownEndpointPort,
    /// More than one endpoint with DNS_ROUND_ROBIN.
    ManyRoundRobinEndpoints,
    /// A wildcard host that DNS cannot resolve, without endpoints.
    WildcardWithDns,
    /// DYNAMIC_DNS with a port, host, address or endpoint that it cannot have.
    DynamicDns,
    /// Several hosts on a port that is neither HTTP nor TLS, unless NONE.
    ManyHosts,
    /// exportTo names something that is no namespace.
    BadExportTo,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoHost => "at least one host is needed",
            Self::BadHost => "a host must be a DNS name or a prefix wildcard",
            Self::BadAddress => "an address must be an IP or a prefix",
            Self::PrefixWithDns => "prefixes are allowed only with resolution NONE or STATIC",
            Self::DuplicatePort => "port names and numbers must be unique",
            Self::BadPortName => "a port name must be a DNS label",
            Self::UnknownProtocol => "the protocol is not one that Istio knows",
            Self::EndpointsWithNone => "endpoints are not allowed with resolution NONE",
            Self::EndpointsWithSelector => "endpoints are not allowed beside a workloadSelector",
            Self::BadEndpoint => "an endpoint address does not fit the resolution",
            Self::UnknownEndpointPort => "an endpoint port is not among the entry's ports",
            Self::ManyRoundRobinEndpoints => "DNS_ROUND_ROBIN allows one endpoint",
            Self::WildcardWithDns => "a wildcard host cannot be resolved by DNS without endpoints",
            Self::DynamicDns => {
                "DYNAMIC_DNS takes wildcard hosts with HTTP, HTTP2, GRPC or TLS ports, and neither addresses nor endpoints"
            }
            Self::ManyHosts => {
                "several hosts need HTTP or TLS ports, or resolution NONE"
            }
            Self::BadExportTo => "exportTo takes namespaces and `.`, each once, or `*` or `~` alone",
        })
    }
}

/// Every reason for which istiod would refuse `entry`.
pub fn validate(entry: &ServiceEntry) -> Vec<Rejection> {
    let mut rejections = Vec::new();
    let mut reject = |path: FieldPath, rule| rejections.push(Rejection { path, rule });
    hosts(entry, &mut reject);
    addresses(entry, &mut reject);
    ports(entry, &mut reject);
    endpoints(entry, &mut reject);
    resolution(entry, &mut reject);
    export_to(entry, &mut reject);
    rejections
}

type Reject<'r> = &'r mut dyn FnMut(FieldPath, Rule);

fn spec(field: &str) -> FieldPath {
    FieldPath::spec().key(field)
}

fn hosts(entry: &ServiceEntry, reject: Reject<'_>) {
    if entry.hosts.is_empty() {
        reject(spec("hosts"), Rule::NoHost);
    }
    for (index, host) in entry.hosts.iter().enumerate() {
        // A partial wildcard (`*a.corp`) is only warned about.
        let name = host
            .strip_prefix('*')
            .map_or(&**host, |rest| rest.trim_start_matches(['.', '-']));
        if &**host == "*" || !is_dns_name(name) {
            reject(spec("hosts").index(index), Rule::BadHost);
        }
    }
}

fn addresses(entry: &ServiceEntry, reject: Reject<'_>) {
    let prefixes_allowed = matches!(entry.resolution, Resolution::None | Resolution::Static);
    for (index, written) in entry.addresses.iter().enumerate() {
        let path = || spec("addresses").index(index);
        if written.address == Address::Invalid {
            reject(path(), Rule::BadAddress);
        } else if written.text.contains('/') && !prefixes_allowed {
            reject(path(), Rule::PrefixWithDns);
        }
    }
}

fn ports(entry: &ServiceEntry, reject: Reject<'_>) {
    let (mut names, mut numbers) = (HashSet::new(), HashSet::new());
    for port in &entry.ports {
        if !names.insert(&port.name) {
            reject(port.path("name"), Rule::DuplicatePort);
        }
        if !numbers.insert(port.number) {
            reject(port.path("number"), Rule::DuplicatePort);
        }
        if !is_dns_label(&port.name) {
            reject(port.path("name"), Rule::BadPortName);
        }
        if port.protocol == Protocol::Unknown {
            reject(port.path("protocol"), Rule::UnknownProtocol);
        }
    }
}

fn endpoints(entry: &ServiceEntry, reject: Reject<'_>) {
    if entry.endpoints.is_empty() {
        return;
    }
    if entry.workload_selector.is_some() {
        reject(spec("endpoints"), Rule::EndpointsWithSelector);
    }
    match entry.resolution {
        Resolution::None => return reject(spec("endpoints"), Rule::EndpointsWithNone),
        Resolution::DnsRoundRobin if entry.endpoints.len() > 1 => {
            reject(spec("endpoints"), Rule::ManyRoundRobinEndpoints);
        }
        // Reported by `resolution`.
        Resolution::DynamicDns => return,
        _ => {}
    }
    let names: HashSet<&str> = entry.ports.iter().map(|port| &*port.name).collect();
    for (index, endpoint) in entry.endpoints.iter().enumerate() {
        let path = || spec("endpoints").index(index);
        let is_ip = endpoint.address.parse::<IpAddr>().is_ok();
        let fits = match entry.resolution {
            Resolution::Static => is_ip || endpoint.address.starts_with("unix://"),
            _ => is_ip || is_dns_name(&endpoint.address),
        };
        // An empty address is legal where the endpoint is reached through a network gateway.
        if !fits && !endpoint.address.is_empty() {
            reject(path().key("address"), Rule::BadEndpoint);
        }
        for name in endpoint.ports.keys() {
            if !names.contains(&**name) {
                reject(path().key("ports").key(name), Rule::UnknownEndpointPort);
            }
        }
    }
}

fn resolution(entry: &ServiceEntry, reject: Reject<'_>) {
    let path = || spec("resolution");
    let wildcard = entry.hosts.iter().any(|host| host.starts_with('*'));
    if entry.resolution.is_dns() && entry.endpoints.is_empty() && wildcard {
        reject(path(), Rule::WildcardWithDns);
    }
    if entry.resolution == Resolution::DynamicDns {
        let fits = entry.hosts.iter().all(|host| host.starts_with('*'))
            && entry.addresses.is_empty()
            && entry.endpoints.is_empty()
            && entry.ports.iter().all(|port| is_dynamic(port.protocol));
        if !fits {
            reject(path(), Rule::DynamicDns);
        }
    }
    let single_host_port = entry
        .ports
        .iter()
        .find(|port| !port.protocol.is_http() && !port.protocol.is_tls());
    if let Some(port) = single_host_port
        && entry.resolution != Resolution::None
        && entry.hosts.len() > 1
    {
        reject(port.path("protocol"), Rule::ManyHosts);
    }
}

fn is_dynamic(protocol: Protocol) -> bool {
    matches!(
        protocol,
        Protocol::Http | Protocol::Http2 | Protocol::Grpc | Protocol::Tls
    )
}

/// `validateExportTo`: namespaces, `.`, `*` or `~`, each once; `*` and `~` stand alone.
fn export_to(entry: &ServiceEntry, reject: Reject<'_>) {
    let mut seen = HashSet::new();
    for (index, to) in entry.export_to.iter().enumerate() {
        let named = if &**to == "." {
            &*entry.namespace
        } else {
            &**to
        };
        let alone = matches!(named, "*" | "~") && entry.export_to.len() > 1;
        let known = matches!(named, "*" | "~") || is_dns_label(named);
        if !known || alone || !seen.insert(named) {
            reject(spec("exportTo").index(index), Rule::BadExportTo);
        }
    }
}

/// A DNS label (RFC 1123, section 2.1): 1 to 63 letters, digits and inner hyphens.
fn is_dns_label(label: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=63).contains(&label.len())
        && label.bytes().all(inner)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// A DNS name of at most 255 bytes whose last label is not all digits: istiod takes that for a
/// mistyped IP address.
fn is_dns_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let last = name.rsplit('.').next().unwrap_or_default();
    name.len() <= 255
        && name.split('.').all(is_dns_label)
        && !last.bytes().all(|byte| byte.is_ascii_digit())
}
