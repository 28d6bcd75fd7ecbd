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

use std::net::IpAddr;
use std::sync::Arc;

use crate::mesh::protocol::ListenerClass;
use crate::mesh::service_entry::{Port, Registry};
use crate::mesh::simulation::Outcome;
use crate::mesh::{Dial, ServiceEntry};
use crate::policy::check::{Check, CheckId};
use crate::policy::dials::{ADDRESSES_A_PROXY, NOBODY_V4, addresses_of, dial};
use crate::policy::finding::{Brief, Concerned, Finding, Severity};
use crate::policy::proxy::Proxy;
use crate::policy::spec::Mode;
use crate::policy::subject::Subject;
use crate::policy::words::{BRIEF_LIST_CHARACTERS, ip_list, protocol_in_words};

use super::protective_entry;
use super::service_port::protocol_path;

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

/// Looks at one entry, or at one Service.
pub(crate) fn run(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
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
        let strangers = proxies.filter(|proxy| !proxy.tunnel && !claimed(proxy));
        let captured = strangers
            .take(DIALLED)
            .filter_map(|proxy| Some((proxy, capture(subject, port, proxy)?)));
        let captured = captured.filter(|_| subject.effort.for_claim());
        let captured: Vec<(&Proxy, Outcome)> = captured.take(NAMED).collect();
        let several = captured.len() > 1;
        findings.extend(
            captured
                .into_iter()
                .map(|(proxy, outcome)| captures(subject, port, proxy, outcome, several)),
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
fn capture(subject: &Subject<'_>, port: &Port, proxy: &Proxy) -> Option<Outcome> {
    let addresses = addresses(subject, proxy);
    // Another entry of a host may take its endpoints from those who see both.
    let rivals = subject.rival_namespaces().into_iter().take(NAMED);
    for namespace in subject.namespaces().iter().copied().chain(rivals) {
        for address in &addresses {
            let dial = dial(namespace, *address, port.number, proxy);
            if let Some(outcome) = lost(subject, &dial) {
                return Some(outcome);
            }
            for namespace in bare_namespaces(subject, &dial) {
                let dial = Dial {
                    namespace,
                    ..dial.clone()
                };
                if let Some(outcome) = lost(subject, &dial) {
                    return Some(outcome);
                }
            }
        }
    }
    None
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

/// The namespaces to which an entry of their own hides the one that lets a dial pass, since both list
/// its host.
fn bare_namespaces(subject: &Subject<'_>, dial: &Dial) -> Vec<Box<str>> {
    let Some(by) = subject.foresee(dial).and_then(|passed| passed.by) else {
        return Vec::new();
    };
    let rivals = subject.rivals(by.host).take(NAMED);
    let bare = rivals.map(|rival| &rival.namespace).filter(|namespace| {
        **namespace != by.entry.namespace && subject.entry.is_visible_from(namespace)
    });
    bare.cloned().collect()
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

/// `several`: whether the port captures others, too.
fn captures(
    subject: &Subject<'_>,
    port: &Port,
    proxy: &Proxy,
    outcome: Outcome,
    several: bool,
) -> Finding {
    let number = port.number;
    let is_service = subject.entry.registry == Registry::Kubernetes;
    let what = if is_service { "Service" } else { "entry" };
    let sees_mesh = subject.context.sees_mesh;
    let fate = match outcome {
        Outcome::NotFound => "gets 404",
        Outcome::Hijacked => "is sent to this entry's endpoints",
        Outcome::Wrapped => "is put into TLS by the DestinationRule of its host",
        _ => "is closed",
    };
    let path = match is_service {
        true => protocol_path(port),
        false => port.path("protocol"),
    };
    let unless = if sees_mesh {
        ""
    } else {
        " unless the proxy has a TCP entry of its own"
    };
    let severity = if sees_mesh {
        Severity::Error
    } else {
        Severity::Warning
    };
    let (value, state) = protocol_in_words(port);
    let cure = match (port.protocol.is_tcp(), several) {
        (true, _) => "Give this entry addresses of its own, or add".to_owned(),
        (false, false) => format!("Leave this {what} and add"),
        (false, true) => format!("Leave this {what} and add one such for each proxy"),
    };
    Finding {
        check: CHECK.id,
        severity,
        path,
        port: Some(number),
        what: format!(
            "{value} on port {number} is for every destination, so CONNECT through {{proxy}}, which this {what} does not claim, {fate}{unless}"
        ),
        edit: format!("{cure}: {}", protective_entry(proxy, number)),
        brief: Brief {
            state,
            fate: format!("CONNECT to {{proxy}} on the same port {fate}"),
            edit: brief_edit(port, proxy, several, sees_mesh),
        },
        proxies: vec![Concerned {
            proxy: Arc::new(proxy.clone()),
            port: number,
            severity,
        }],
        fix: None,
    }
}

fn brief_edit(port: &Port, proxy: &Proxy, several: bool, sees_mesh: bool) -> String {
    if port.protocol.is_tcp() {
        return "give this entry addresses".to_owned();
    }
    let unless = if sees_mesh { "" } else { " if there is none" };
    let addresses: Vec<IpAddr> = proxy.single_addresses().collect();
    let whose = match (several, addresses.as_slice()) {
        (true, _) => "each".to_owned(),
        (false, []) => "its IPs".to_owned(),
        (false, [only]) => only.to_string(),
        (false, known) => ip_list(known, BRIEF_LIST_CHARACTERS),
    };
    format!("add a TCP entry for {whose}{unless}")
}

#[cfg(test)]
mod tests;
