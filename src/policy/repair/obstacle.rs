//! The rule: what one object can show against its repair.

use std::collections::HashSet;
use std::net::IpAddr;

use crate::mesh::address::{Address, is_ipv4_mapped};
use crate::mesh::service_entry::{Port, Resolution};
use crate::mesh::validation::{Rule, validate};
use crate::mesh::{FieldPath, ServiceEntry};
use crate::policy::check::{Claim, Subject};

/// Why the rule refuses a repair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Obstacle {
    NoAddress,
    UnusableAddress,
    Range,
    PrefixWithDns,
    SeveralAddresses,
    SeveralHosts,
    StaticWithoutEndpoints,
    EndpointsElsewhere,
    DynamicDns,
    OtherPort,
    Rejected(Rule),
}

/// Every obstacle to turning `port` into TCP.
pub(super) fn obstacles(
    subject: &Subject<'_>,
    port: &Port,
    candidate: &ServiceEntry,
) -> Vec<Obstacle> {
    let entry = subject.entry;
    let mut found = address_obstacles(subject);
    let resolution = entry.resolution;
    if resolution == Resolution::DynamicDns {
        return vec![Obstacle::DynamicDns];
    }
    if resolution != Resolution::None {
        let wildcard = entry.hosts.iter().any(|host| host.starts_with('*'));
        if entry.hosts.len() > 1 || wildcard {
            found.push(Obstacle::SeveralHosts);
        }
    }
    if resolution == Resolution::Static && entry.workload_selector.is_none() {
        let own: Vec<IpAddr> = entry.usable_addresses().collect();
        if entry.endpoints.is_empty() {
            found.push(Obstacle::StaticWithoutEndpoints);
        } else if !own.is_empty() && !endpoints_are(entry, &own) {
            found.push(Obstacle::EndpointsElsewhere);
        }
    }
    if leads_to_another_port(entry, port) {
        found.push(Obstacle::OtherPort);
    }
    if found.is_empty() {
        found.extend(
            rejections(subject, candidate)
                .map(Obstacle::Rejected)
                .next(),
        );
    }
    found
}

fn address_obstacles(subject: &Subject<'_>) -> Vec<Obstacle> {
    let entry = subject.entry;
    let mut found = Vec::new();
    let ranges = subject.context.policies.ranges();
    if entry.addresses.is_empty() {
        found.push(Obstacle::NoAddress);
    }
    for written in &entry.addresses {
        let with_slash = written.text.contains('/');
        let obstacle = match written.address {
            _ if with_slash && entry.resolution.is_dns() => Obstacle::PrefixWithDns,
            Address::Invalid => Obstacle::UnusableAddress,
            Address::Single(ip) if ip.is_unspecified() || is_ipv4_mapped(ip) => {
                Obstacle::UnusableAddress
            }
            Address::Single(_) => continue,
            Address::Range(net) => {
                let shortest = if net.addr().is_ipv4() {
                    ranges.ipv4
                } else {
                    ranges.ipv6
                };
                // Forwarding a whole range to fixed endpoints is never right.
                if net.prefix_len() >= shortest && entry.resolution == Resolution::None {
                    continue;
                }
                Obstacle::Range
            }
        };
        if !found.contains(&obstacle) {
            found.push(obstacle);
        }
    }
    if entry.addresses.len() > 1 && entry.resolution != Resolution::None {
        found.push(Obstacle::SeveralAddresses);
    }
    found
}

fn endpoints_are(entry: &ServiceEntry, addresses: &[IpAddr]) -> bool {
    let mut endpoints = entry.endpoints.iter();
    endpoints.all(|endpoint| {
        endpoint
            .address
            .parse()
            .is_ok_and(|ip| addresses.contains(&ip))
    })
}

/// Whether `targetPort` or an endpoint's port map leads away from the port dialled.
pub(crate) fn leads_to_another_port(entry: &ServiceEntry, port: &Port) -> bool {
    let elsewhere = |number: Option<&u16>| number.is_some_and(|number| *number != port.number);
    let mut endpoints = entry.endpoints.iter();
    elsewhere(port.target_port.as_ref())
        || endpoints.any(|endpoint| elsewhere(endpoint.ports.get(&port.name)))
}

/// What istiod refuses after the repair, or before it other than this port's unknown protocol.
fn rejections<'a>(
    subject: &Subject<'a>,
    candidate: &ServiceEntry,
) -> impl Iterator<Item = Rule> + 'a {
    // The unknown protocols of other proxies' ports are repaired along with this one.
    let healed: HashSet<FieldPath> = subject
        .claims
        .iter()
        .map(|claim| claim.port.path("protocol"))
        .collect();
    let all = validate(subject.entry)
        .into_iter()
        .chain(validate(candidate));
    let left = all.filter(move |rejection| {
        rejection.rule != Rule::UnknownProtocol || !healed.contains(&rejection.path)
    });
    left.map(|rejection| rejection.rule)
}

impl Obstacle {
    /// The edit that takes the obstacle out of the way.
    pub(super) fn advice(self, subject: &Subject<'_>, claim: &Claim<'_>) -> String {
        let port = claim.port.number;
        let known: Vec<String> = claim
            .proxy
            .single_addresses()
            .map(|ip| ip.to_string())
            .collect();
        let addresses = match known.as_slice() {
            [] => "the proxy's IP addresses".to_owned(),
            known => format!("[{}]", known.join(", ")),
        };
        match self {
            Self::NoAddress => format!(
                "add addresses: {addresses} (without one TCP would take port {port} for every destination)"
            ),
            Self::UnusableAddress => format!("write the addresses as single IPs: {addresses}"),
            Self::Range => format!("narrow the addresses to single IPs: {addresses}"),
            Self::PrefixWithDns => {
                format!("write the addresses without a slash: {addresses} (istiod rejects a slash with DNS)")
            }
            Self::SeveralAddresses => {
                "set resolution: NONE and remove the endpoints (else every address leads to the same ones)".to_owned()
            }
            Self::SeveralHosts => {
                "write one entry a host, or set resolution: NONE (istiod rejects several hosts or a wildcard on a TCP port)".to_owned()
            }
            Self::StaticWithoutEndpoints => {
                "set resolution: NONE (STATIC without endpoints has nowhere to forward to)".to_owned()
            }
            Self::EndpointsElsewhere => {
                "set resolution: NONE and remove the endpoints (they are not the addresses dialled)".to_owned()
            }
            Self::DynamicDns => {
                "replace resolution DYNAMIC_DNS, which cannot be TCP, by NONE with the proxy's addresses".to_owned()
            }
            Self::OtherPort => format!(
                "remove targetPort and the endpoints' port (they lead away from port {port})"
            ),
            Self::Rejected(rule) => {
                format!("mend {} first: {rule}", subject.entry.name)
            }
        }
    }
}
