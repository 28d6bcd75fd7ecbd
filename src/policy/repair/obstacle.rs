//! The rule: what one object can show against its repair.

use std::collections::HashSet;
use std::net::IpAddr;

use crate::mesh::address::{Address, is_ipv4_mapped};
use crate::mesh::service_entry::{Port, Resolution};
use crate::mesh::validation::{Rejection, Rule, validate};
use crate::mesh::{FieldPath, ServiceEntry};
use crate::policy::subject::Subject;

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
    Rejected,
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
                .next()
                .map(|_| Obstacle::Rejected),
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

pub(super) fn endpoints_are(entry: &ServiceEntry, addresses: &[IpAddr]) -> bool {
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

/// What istiod refuses about a repaired object.
pub(super) fn rejections(
    subject: &Subject<'_>,
    candidate: &ServiceEntry,
) -> impl Iterator<Item = Rejection> + use<> {
    // The unknown protocols of other proxies' ports are repaired along with this one.
    let healed: HashSet<FieldPath> = subject
        .claims
        .iter()
        .map(|claim| claim.port.path("protocol"))
        .collect();
    let all = validate(candidate).into_iter();
    all.filter(move |rejection| {
        rejection.rule != Rule::UnknownProtocol || !healed.contains(&rejection.path)
    })
}
