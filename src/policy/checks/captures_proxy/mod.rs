//! TG013: this entry's port captures a proxy that it does not claim.
//!
//! **What it does.** Reports a port that breaks CONNECT to a declared or observed proxy of the
//! same port number, although the entry has nothing to do with that proxy: an HTTP or sniffed port
//! answers `404` for it, an address-less TCP port with DNS or STATIC sends it elsewhere.
//!
//! **Why.** An HTTP port is not narrowed by `addresses`: all HTTP services of a port share one
//! listener, which takes every destination without a TCP entry of its own. The entry is a real
//! HTTP service and stays as it is; the proxy needs protection. Silent where every such proxy has
//! an exact-IP TCP entry in view.
//!
//! **Fix.** None: the TCP entry that would protect the proxy, whole. Its default mode is Audit,
//! because the author of this entry is not the one to act.

mod clients;
mod remedy;
mod words;

use std::collections::HashSet;
use std::net::IpAddr;

use crate::mesh::protocol::ListenerClass;
use crate::mesh::service_entry::{Port, Registry};
use crate::mesh::simulation::{Blame, Outcome};
use crate::mesh::{Dial, ServiceEntry};
use crate::policy::check::{Check, CheckId};
use crate::policy::dials::{ADDRESSES_A_PROXY, NOBODY_V4, addresses_of, dial};
use crate::policy::finding::Finding;
use crate::policy::proxy::Proxy;
use crate::policy::spec::Mode;
use crate::policy::subject::Subject;

use clients::{Clients, Hidden};
use words::captures;

/// See the module.
pub(super) static CHECK: Check = Check {
    id: CheckId(13),
    title: "a port captures a proxy that the entry does not claim",
    ceiling: Mode::Audit,
    page: include_str!("../../../../docs/checks/TG013.md"),
    run,
};

/// How many captured proxies one finding names: a bound for ports that thousands share.
const NAMED: usize = 16;

/// How many proxies that it does not claim are dialled in search of them.
const DIALLED: usize = 64;

/// What befalls a proxy.
#[derive(Clone, Copy)]
struct Capture<'s> {
    outcome: Outcome,
    /// Of whom, where it is not everybody: the clients of a Sidecar.
    hidden: Option<Hidden<'s>>,
}

/// What there is beside one captured proxy.
#[derive(Clone, Copy)]
struct Beside {
    /// Whether the port captures others, too.
    several: bool,
    /// Whether there are proxies of which nothing is said, because they are too many.
    untold: bool,
    /// Whether there are Sidecars that nothing was dialled behind, for the same reason.
    cut: bool,
}

/// Looks at one entry, or at one Service.
pub(crate) fn run(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    let clients = Clients::new(subject);
    for port in &subject.entry.ports {
        if subject.is_cut_short() || !takes_strangers(subject.entry, port) {
            continue;
        }
        let claims = subject.claims.iter();
        let claims: Vec<&Proxy> = claims
            .filter(|claim| claim.port.index == port.index)
            .map(|claim| &*claim.proxy)
            .collect();
        let claimed = |proxy: &Proxy| claims.contains(&proxy);
        let proxies = subject.context.policies.proxies.on_port(port.number);
        let mut strangers = proxies.filter(|proxy| !proxy.tunnel && !claimed(proxy));
        let dialled = strangers.by_ref().take(DIALLED);
        let captured =
            dialled.filter_map(|proxy| Some((proxy, capture(subject, &clients, port, proxy)?)));
        let captured = captured.filter(|_| subject.effort.for_claim());
        let mut captured: Vec<(&Proxy, Capture<'_>)> = captured.take(NAMED).collect();
        // The words are those of the first: what befalls everybody before what befalls some.
        captured.sort_by_key(|(_, capture)| capture.hidden.is_some());
        let beside = Beside {
            several: captured.len() > 1,
            // Of what an entry cannot pay for TG000 speaks.
            untold: !subject.is_cut_short() && strangers.next().is_some(),
            cut: clients.take_cut() && !subject.is_cut_short(),
        };
        findings.extend(
            captured
                .into_iter()
                .map(|(proxy, capture)| captures(subject, port, proxy, capture, beside)),
        );
    }
}

/// Whether the port can take connections to addresses that the entry does not list: most correct
/// entries cannot, and then no other proxy needs to be dialled.
fn takes_strangers(entry: &ServiceEntry, port: &Port) -> bool {
    let mut addresses = entry.addresses.iter();
    match port.protocol.listener_class() {
        ListenerClass::None => false,
        // Only its HTTP is for every destination.
        class if entry.registry == Registry::Kubernetes => class == ListenerClass::Http,
        ListenerClass::Http => true,
        ListenerClass::Tcp | ListenerClass::Auto => {
            entry.addresses.is_empty() || !addresses.all(|a| a.address.usable().is_some())
        }
    }
}

/// What becomes of a dial of an unclaimed proxy because of this entry, if anything bad does.
fn capture<'s>(
    subject: &'s Subject<'_>,
    clients: &Clients<'s, '_>,
    port: &Port,
    proxy: &Proxy,
) -> Option<Capture<'s>> {
    let of_everybody = |outcome| Capture {
        outcome,
        hidden: None,
    };
    let addresses = addresses(subject, proxy);
    // Another entry of a host may take its endpoints from those who see both.
    let rivals = subject.rival_namespaces().into_iter().take(NAMED);
    let mut passed = Vec::new();
    for namespace in subject.namespaces().iter().copied().chain(rivals) {
        for address in &addresses {
            let dial = dial(namespace, *address, port.number, proxy);
            if let Some(outcome) = lost(subject, &dial) {
                return Some(of_everybody(outcome));
            }
            let Some(by) = subject.foresee(&dial).map(|passed| passed.by) else {
                continue;
            };
            for namespace in clients.bare(by) {
                let namespace = namespace.into();
                let dial = Dial {
                    namespace,
                    ..dial.clone()
                };
                if let Some(outcome) = lost(subject, &dial) {
                    return Some(of_everybody(outcome));
                }
            }
            passed.push((dial, by));
        }
    }
    behind_sidecar(subject, clients, passed)
}

/// What becomes of dials that pass, where a Sidecar shows its clients this entry and hides what lets them
/// pass.
fn behind_sidecar<'s>(
    subject: &'s Subject<'_>,
    clients: &Clients<'s, '_>,
    mut passed: Vec<(Dial, Option<Blame<'s>>)>,
) -> Option<Capture<'s>> {
    // Mostly the same entry lets the dials of all namespaces pass.
    let mut known = HashSet::new();
    passed.retain(|(dial, by)| {
        let entry = by.map(|by| std::ptr::from_ref(by.entry));
        known.insert((dial.address, entry))
    });
    // What a Sidecar hides says more than that it is not there at all.
    [true, false].into_iter().find_map(|exported| {
        passed.iter().find_map(|(dial, by)| {
            let dials = clients.behind_sidecars(dial, *by, exported);
            dials
                .into_iter()
                .find_map(|(dial, hidden)| lost_behind(subject, &dial, hidden))
        })
    })
}

/// What becomes of a dial behind a Sidecar, if it is lost because of this entry.
fn lost_behind<'s>(
    subject: &'s Subject<'_>,
    dial: &Dial,
    hidden: Hidden<'s>,
) -> Option<Capture<'s>> {
    let met = subject.foresee(dial)?;
    let is_its = met
        .sidecar()
        .is_some_and(|sidecar| std::ptr::eq(sidecar, hidden.sidecar));
    if !is_its || met.outcome == Outcome::Tunnel {
        return None;
    }
    Some(Capture {
        outcome: lost(subject, dial)?,
        hidden: Some(hidden),
    })
}

/// What becomes of a dial, if it is lost because of this entry.
fn lost(subject: &Subject<'_>, dial: &Dial) -> Option<Outcome> {
    let reach = subject.reach(dial);
    let lost = match reach.outcome {
        // What the outbound policy makes of a proxy that nobody declares is another story: TG017.
        _ if reach.undeclared => false,
        // What it takes and forwards elsewhere, or not at all, because of another object of its
        // host.
        Outcome::NoEndpoints | Outcome::Hijacked | Outcome::Wrapped => reach.caused || reach.taken,
        _ => reach.caused,
    };
    lost.then_some(reach.outcome)
}

/// Where an unclaimed proxy is dialled. One known by host alone is where the entries of its host
/// say, else anywhere.
fn addresses(subject: &Subject<'_>, proxy: &Proxy) -> Vec<IpAddr> {
    if !proxy.addresses.is_empty() {
        return addresses_of(proxy, &ServiceEntry::default());
    }
    let hosts = proxy.hosts.iter();
    let declared = hosts.flat_map(|host| subject.rivals(host));
    let mut addresses: Vec<IpAddr> = declared
        .flat_map(ServiceEntry::usable_addresses)
        .take(ADDRESSES_A_PROXY)
        .collect();
    if addresses.is_empty() {
        addresses.push(NOBODY_V4);
    }
    addresses
}

#[cfg(test)]
mod tests;
