//! The repair of a port: TCP and MESH_EXTERNAL, offered as safe only with a proof.
//!
//! Two judges must agree. The *rule* looks at the one object and refuses every shape of which
//! the repaired twin was measured to misbehave (544 repairs against istiod of 2024-02 and
//! 2026-08: it calls 213 safe, of which 208 were). The *simulation* looks at everything in view.
//! Where the simulation shows harm, nothing is offered; where it proves a repair that the rule
//! refuses, the repair is offered to a person, with the proof in words.

use std::net::IpAddr;

use serde_json::Value;

use crate::mesh::address::{Address, is_ipv4_mapped};
use crate::mesh::protocol::Protocol;
use crate::mesh::service_entry::{Location, Port, Resolution};
use crate::mesh::simulation::{Dial, Environment, OutboundPolicy, Speech, simulate};
use crate::mesh::validation::{Rule, validate};
use crate::mesh::{FieldPath, Mesh, Overlay, ServiceEntry};

use super::check::{Claim, Subject, addresses_of, dial, others};
use super::fix::{Edit, Fix, Safety};
use super::proxy::Evidence;
use super::spec::Mode;

/// What is to be done about a port.
#[derive(Clone, Debug)]
pub struct Repair {
    /// The fix, where one may be offered.
    pub fix: Option<Fix>,
    /// The edit to make, for a person.
    pub edit: String,
}

/// How many ranges in view a proof goes through; with more of them on one port it gives up and
/// withholds the repair, so that a review stays bounded.
const RANGES_A_PORT: usize = 256;

/// Works out the repair of a claimed port.
pub fn repair(subject: &Subject<'_>, claim: &Claim<'_>) -> Repair {
    let port = claim.port;
    let candidate = repaired(subject.entry, port);
    let obstacles = obstacles(subject, port, &candidate);
    let mut edit = "Set protocol: TCP".to_owned();
    for obstacle in &obstacles {
        edit.push_str("; ");
        edit.push_str(&obstacle.advice(subject, claim));
    }
    let proof = prove(subject, port, &candidate);
    let safety = match (obstacles.is_empty(), &proof) {
        (_, Proof::Harm(harm)) => {
            edit.push_str("; but ");
            edit.push_str(harm);
            None
        }
        (true, Proof::Holds) if is_strong(subject, claim) => Some(Safety::Safe),
        (true, Proof::Holds) => Some(Safety::Unsafe { proof: None }),
        (false, Proof::Holds) if subject.context.sees_mesh && is_valid(&candidate) => {
            let proof = format!(
                "with every object in view, each dial of port {} to {} then tunnels, and none gets worse",
                port.number, claim.proxy.name
            );
            Some(Safety::Unsafe { proof: Some(proof) })
        }
        _ => None,
    };
    let fix = safety.map(|safety| Fix {
        safety,
        edits: edits(subject.entry, port),
    });
    Repair { fix, edit }
}

/// The object as the repair leaves it.
pub fn repaired(entry: &ServiceEntry, port: &Port) -> ServiceEntry {
    let mut candidate = entry.clone();
    for own in candidate
        .ports
        .iter_mut()
        .filter(|own| own.index == port.index)
    {
        own.protocol = Protocol::Tcp;
        own.protocol_text = Some("TCP".into());
    }
    if !entry.needs_mesh_location() {
        candidate.location = Location::External;
    }
    candidate
}

/// The edits of the repair: `protocol: TCP`, and `location: MESH_EXTERNAL` written out unless
/// something asks for mutual TLS inside the mesh.
fn edits(entry: &ServiceEntry, port: &Port) -> Vec<Edit> {
    let written = port.protocol_text.is_some();
    let mut edits = vec![Edit::set(port.path("protocol"), written, "TCP")];
    if entry.location != Location::External && !entry.needs_mesh_location() {
        let path = FieldPath::spec().key("location");
        let present = entry.location == Location::Internal;
        edits.push(Edit::set(path, present, "MESH_EXTERNAL"));
    }
    edits
}

/// A policy has to vouch for the proxy before a port is changed without asking.
fn is_strong(subject: &Subject<'_>, claim: &Claim<'_>) -> bool {
    match claim.proxy.evidence {
        Evidence::Declared => true,
        Evidence::Observed => {
            let mut policies = subject.context.policies.about(&claim.proxy);
            policies.any(|policy| policy.observed >= Mode::Mutate)
        }
        Evidence::Suspected => false,
    }
}

fn is_valid(candidate: &ServiceEntry) -> bool {
    validate(candidate).is_empty()
}

/// Why the rule refuses a repair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Obstacle {
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

fn obstacles(subject: &Subject<'_>, port: &Port, candidate: &ServiceEntry) -> Vec<Obstacle> {
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
            rejections(entry, port, candidate)
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
    entry: &ServiceEntry,
    port: &Port,
    candidate: &ServiceEntry,
) -> impl Iterator<Item = Rule> + 'a {
    let healed = port.path("protocol");
    let before = validate(entry).into_iter().filter(move |rejection| {
        rejection.rule != Rule::UnknownProtocol || rejection.path != healed
    });
    before
        .chain(validate(candidate))
        .map(|rejection| rejection.rule)
}

impl Obstacle {
    /// The edit that takes the obstacle out of the way.
    fn advice(self, subject: &Subject<'_>, claim: &Claim<'_>) -> String {
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

/// What the simulation says of a repair.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Proof {
    /// Every claimed dial tunnels, and no other gets worse.
    Holds,
    /// It makes something worse, or does not help.
    Harm(String),
    /// It cannot be told.
    Open,
}

fn prove(subject: &Subject<'_>, port: &Port, candidate: &ServiceEntry) -> Proof {
    let view = Overlay::with(subject.context.mesh, candidate);
    let in_force = subject.context.environment;
    let mut policies = vec![in_force.outbound];
    for also in [OutboundPolicy::AllowAny, OutboundPolicy::RegistryOnly] {
        if also != in_force.outbound {
            policies.push(also);
        }
    }
    let claimed = claimed_dials(subject, port);
    let Some(other) = other_dials(subject, &view) else {
        return Proof::Open;
    };
    let mut open = false;
    for outbound in policies {
        let environment = Environment {
            outbound,
            ..in_force
        };
        for (dial, is_claimed) in claimed.iter().chain(&other) {
            let after = simulate(&view, dial, &environment);
            let before = subject.predict(dial, &environment);
            let must_tunnel = *is_claimed && outbound == in_force.outbound;
            match (after.outcome.badness(), before.outcome.badness()) {
                (Some(after), Some(before)) if after <= before && (after == 0 || !must_tunnel) => {}
                (None, _) | (_, None) => open = true,
                (Some(_), Some(_)) => {
                    return Proof::Harm(format!(
                        "a connection to {} would then end in {} under {outbound}, because {}",
                        dial.target(),
                        after.outcome,
                        after.why(dial, &environment)
                    ));
                }
            }
        }
    }
    if open { Proof::Open } else { Proof::Holds }
}

/// The dials of every proxy that the port claims, which must tunnel.
fn claimed_dials(subject: &Subject<'_>, port: &Port) -> Vec<(Dial, bool)> {
    let claims = subject
        .claims
        .iter()
        .filter(|claim| claim.port.index == port.index);
    let mut dials = Vec::new();
    for claim in claims {
        for address in addresses_of(&claim.proxy, subject.entry) {
            for namespace in subject.namespaces() {
                let dial = dial(namespace, address, port.number, &claim.proxy);
                dials.push((dial, claim.is_listed(subject, address)));
            }
        }
    }
    dials
}

impl Claim<'_> {
    /// Whether the entry answers for an address of the proxy: one that it does not list is another
    /// entry's to declare.
    fn is_listed(&self, subject: &Subject<'_>, address: IpAddr) -> bool {
        let mut addresses = subject.entry.addresses.iter();
        subject.entry.addresses.is_empty()
            || addresses.any(|written| written.address.contains(address))
    }
}

/// The dials that must not get worse. Only addresses that the entry lists, that share one of its
/// hosts, or that end up on the wildcard listener can change, and of the last kind all that no
/// range holds behave alike: so one that nobody names stands for them, and one a range. `None`
/// where there are too many ranges.
fn other_dials(subject: &Subject<'_>, view: &Overlay<'_>) -> Option<Vec<(Dial, bool)>> {
    let entry = subject.entry;
    let mut dials = Vec::new();
    for port in &entry.ports {
        let ranges = view.ranges(port.number, RANGES_A_PORT + 1);
        if ranges.len() > RANGES_A_PORT {
            return None;
        }
        let mut addresses = others(entry);
        addresses.extend(ranges);
        for host in &entry.hosts {
            let rivals = view.with_host(host).into_iter().take(RANGES_A_PORT);
            addresses.extend(rivals.flat_map(|rival| rival.entry.usable_addresses()));
        }
        addresses.sort_unstable();
        addresses.dedup();
        for address in addresses {
            for namespace in subject.namespaces() {
                let dial = Dial {
                    namespace: namespace.into(),
                    address,
                    port: port.number,
                    speech: Speech::Connect,
                };
                dials.push((dial, false));
            }
        }
    }
    Some(dials)
}

/// A list of IPs as a JSON value.
pub(crate) fn address_list(addresses: impl IntoIterator<Item = IpAddr>) -> Value {
    addresses
        .into_iter()
        .map(|ip| Value::from(ip.to_string()))
        .collect()
}
