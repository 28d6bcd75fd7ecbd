//! The proof: what everything in view says of a repair.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::mesh::service_entry::Port;
use crate::mesh::simulation::{Dial, Environment, OutboundPolicy, Outcome, Speech, simulate};
use crate::mesh::{Mesh, Overlay, ServiceEntry};
use crate::policy::dials::{NOBODY_V4, NOBODY_V6, addresses_of, dial, others};
use crate::policy::subject::Subject;

/// How many ranges in view a proof goes through; with more of them on one port it gives up and
/// withholds the repair, so that a review stays bounded.
const RANGES_A_PORT: usize = 256;

/// How many dials of claimed proxies a proof goes through: each is simulated before and after under
/// up to three outbound policies, a microsecond or two each.
const CLAIMED_DIALS: usize = 1024;

/// Of entries with more ports than this none is repaired: each port has a proof of its own.
const PORTS: usize = 32;

/// What the simulation says of a repair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// Every claimed dial tunnels, and no other gets worse.
    Holds,
    /// It makes something worse, or does not help.
    Harm(Harm),
    /// It cannot be told.
    Open,
}

/// What a repair would do to a dial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Harm {
    /// A clause: what would become of which dial, and why.
    pub(super) text: String,
    /// The address dialled.
    pub(super) address: IpAddr,
    /// What would become of it.
    pub(super) outcome: Outcome,
}

impl Harm {
    /// The reason for doing more.
    pub(super) fn with_tcp_alone(&self) -> String {
        format!("with TCP alone {}", self.text)
    }
}

/// Tries a repaired twin against every dial that it could change.
pub(super) fn prove(subject: &Subject<'_>, port: &Port, candidate: &ServiceEntry) -> Proof {
    let view = Overlay::with(subject.context.mesh, candidate);
    let in_force = subject.context.environment;
    let mut policies = vec![in_force.outbound];
    for also in [OutboundPolicy::AllowAny, OutboundPolicy::RegistryOnly] {
        if also != in_force.outbound {
            policies.push(also);
        }
    }
    let rivals = subject.rival_namespaces();
    let claimed = claimed_dials(subject, port, &rivals);
    // Nothing proves a repair that nobody sees, and too much to try is not tried.
    let is_seen = claimed.iter().any(|(_, must)| *must);
    if !is_seen || claimed.len() > CLAIMED_DIALS || subject.entry.ports.len() > PORTS {
        return Proof::Open;
    }
    let Some(other) = other_dials(subject, port, &view, &rivals) else {
        return Proof::Open;
    };
    let dials = (claimed.len() + other.len()) * policies.len() * 2;
    if !subject.effort.has_room_for_dials(dials as u64) {
        return Proof::Open;
    }
    let mut open = false;
    for outbound in policies {
        let environment = Environment {
            outbound,
            ..in_force
        };
        for (dial, is_claimed) in claimed.iter().chain(&other) {
            if !subject.effort.for_dials(2) {
                return Proof::Open;
            }
            let after = simulate(&view, dial, &environment);
            let before = subject.predict(dial, &environment);
            let must_tunnel = *is_claimed && outbound == in_force.outbound;
            match (after.assumed().badness(), before.assumed().badness()) {
                (Some(after), Some(before)) if after <= before && (after == 0 || !must_tunnel) => {}
                (None, _) | (_, None) => open = true,
                (Some(_), Some(_)) => {
                    return Proof::Harm(Harm {
                        text: format!(
                            "{} would {} under {outbound}, because {}",
                            dialled(dial),
                            fate(after.outcome),
                            after.why(dial, &environment)
                        ),
                        address: dial.address,
                        outcome: after.outcome,
                    });
                }
            }
        }
    }
    if open { Proof::Open } else { Proof::Holds }
}

/// An outcome in a person's words.
fn fate(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Tunnel => "pass",
        Outcome::NotFound => "get 404",
        Outcome::Hijacked => "be sent elsewhere",
        Outcome::Wrapped => "be wrapped in TLS",
        Outcome::NoEndpoints | Outcome::BlackHole => "be closed",
        Outcome::Unknown => "end nobody knows where",
    }
}

/// The dial in words: addresses that stand for all others are not named.
fn dialled(dial: &Dial) -> String {
    match [NOBODY_V4, NOBODY_V6].contains(&dial.address) {
        true => format!("connections to other addresses on port {}", dial.port),
        false => format!("a connection to {}", dial.target()),
    }
}

/// The dials of every proxy that the port claims, which must tunnel. With only the object at hand
/// an address that it does not list may be another entry's to declare, unless it lists none of the
/// proxy's; and what `rivals` see is that of another one.
fn claimed_dials(subject: &Subject<'_>, port: &Port, rivals: &BTreeSet<&str>) -> Vec<(Dial, bool)> {
    let claims = subject.claims.iter();
    let claims = claims.filter(|claim| claim.port.index == port.index);
    let mut dials = Vec::new();
    for claim in claims {
        let addresses = addresses_of(&claim.proxy, subject.entry);
        let lists_none = !addresses
            .iter()
            .any(|address| means(subject.entry, *address));
        for address in addresses {
            let must = subject.context.sees_mesh || lists_none || means(subject.entry, address);
            for namespace in subject.namespaces() {
                let dial = dial(namespace, address, port.number, &claim.proxy);
                dials.push((dial, must && !rivals.contains(namespace)));
            }
        }
    }
    dials
}

/// Whether the entry means an address: it lists it, or lists none.
fn means(entry: &ServiceEntry, address: IpAddr) -> bool {
    entry.addresses.is_empty() || entry.lists(address)
}

/// The dials that must not get worse. Only addresses that the entry lists, that share one of its
/// hosts, or that end up on the port's wildcard listener can change, and of the last kind all that
/// no range holds behave alike: so one that nobody names stands for them, and one a range. `None`
/// where there are too many to try.
fn other_dials(
    subject: &Subject<'_>,
    port: &Port,
    view: &Overlay<'_>,
    rivals: &BTreeSet<&str>,
) -> Option<Vec<(Dial, bool)>> {
    let entry = subject.entry;
    let ranges = view.ranges(port.number, RANGES_A_PORT + 1);
    let mut addresses = others(entry);
    addresses.extend(ranges);
    for host in &entry.hosts {
        let of_host = view.with_host(host).into_iter().take(RANGES_A_PORT);
        addresses.extend(of_host.flat_map(|rival| rival.entry.usable_addresses()));
    }
    addresses.sort_unstable();
    addresses.dedup();
    if addresses.len() > RANGES_A_PORT {
        return None;
    }
    let plain = |namespace: &str, address| Dial {
        namespace: namespace.into(),
        labels: None,
        address,
        port: port.number,
        speech: Speech::Connect,
    };
    let mut dials = Vec::new();
    for namespace in subject.namespaces() {
        dials.extend(addresses.iter().map(|address| plain(namespace, *address)));
    }
    let claims = subject.claims.iter();
    let claims = claims.filter(|claim| claim.port.index == port.index);
    addresses.extend(claims.flat_map(|claim| addresses_of(&claim.proxy, entry)));
    for namespace in rivals {
        // What an HTTP port answers with 404 may be closed then: whatever it lets pass must not be.
        let unparsed = |address| Dial {
            speech: Speech::ConnectHttp10,
            ..plain(namespace, address)
        };
        let addresses = addresses.iter().copied();
        dials.extend(addresses.flat_map(|address| [plain(namespace, address), unparsed(address)]));
    }
    Some(dials.into_iter().map(|dial| (dial, false)).collect())
}
