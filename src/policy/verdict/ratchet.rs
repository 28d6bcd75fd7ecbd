//! The ratchet: what an object had wrong before an update is not held against the update.

use std::collections::{HashMap, HashSet};

use crate::mesh::ServiceEntry;
use crate::mesh::address::Address;
use crate::policy::check::CheckId;
use crate::policy::finding::{Concerned, Finding};
use crate::policy::proxy::normal_host;

/// What the old object had wrong already.
pub(super) struct Ratchet<'a> {
    /// An entry that widened its hosts, addresses or exportTo has everything anew.
    widened: bool,
    /// By family, port and name of the proxy: of one name there are few.
    known: HashMap<Key<'a>, Vec<&'a Concerned>>,
}

type Key<'a> = (CheckId, u16, &'a str);

fn key<'a>(finding: &Finding, concerned: &'a Concerned) -> Key<'a> {
    let name = &concerned.proxy.name;
    (family(finding.check), concerned.port, name)
}

/// Whether what was known makes up for the same again.
fn covers(known: &Concerned, again: &Concerned) -> bool {
    known.is_same(again) && known.severity >= again.severity
}

impl<'a> Ratchet<'a> {
    pub(super) fn new(entry: &ServiceEntry, old: &ServiceEntry, findings: &'a [Finding]) -> Self {
        let mut known: HashMap<_, Vec<&Concerned>> = HashMap::new();
        for finding in findings {
            for concerned in &finding.proxies {
                let alike = known.entry(key(finding, concerned)).or_default();
                // The same proxy in many fields, mostly.
                if !alike.iter().any(|own| covers(own, concerned)) {
                    alike.push(concerned);
                }
            }
        }
        Self {
            widened: widens(entry, old),
            known,
        }
    }

    /// Whether the old object had this finding, for every one of its proxies on the same port, at
    /// least as bad.
    pub(super) fn knows(&self, finding: &Finding) -> bool {
        !self.widened
            && finding.proxies.iter().all(|concerned| {
                let alike = self.known.get(&key(finding, concerned));
                let mut alike = alike.into_iter().flatten();
                alike.any(|own| covers(own, concerned))
            })
    }
}

/// TG001 to TG004 are one: which wrong value the protocol has does not matter.
fn family(check: CheckId) -> CheckId {
    match check.0 {
        1..=4 => CheckId(1),
        _ => check,
    }
}

/// Whether an entry reaches further than it did: to another host, to an address that no old one
/// covers, or to a namespace that did not see it.
fn widens(entry: &ServiceEntry, old: &ServiceEntry) -> bool {
    let old_hosts: HashSet<Box<str>> = old.hosts.iter().map(|host| normal_host(host)).collect();
    let hosts = entry
        .hosts
        .iter()
        .any(|host| !old_hosts.contains(&normal_host(host)));
    // No address is every address.
    let addresses = !old.addresses.is_empty()
        && (entry.addresses.is_empty()
            || entry
                .addresses
                .iter()
                .any(|new| !is_covered(new.address, old)));
    let shown = shown_to(old);
    let sees = |to: &str| match to {
        "." => shown.contains(&*entry.namespace),
        "~" => true,
        to => shown.contains(to),
    };
    let exported =
        !old.is_public() && (entry.is_public() || entry.export_to.iter().any(|to| !sees(to)));
    hosts || addresses || exported
}

/// The namespaces that are shown an entry, if it is not every one.
fn shown_to(entry: &ServiceEntry) -> HashSet<&str> {
    let named = entry.export_to.iter().map(|to| match &**to {
        "." => &*entry.namespace,
        to => to,
    });
    named.filter(|to| entry.is_visible_from(to)).collect()
}

fn is_covered(new: Address, old: &ServiceEntry) -> bool {
    old.addresses.iter().any(|old| match (new, old.address) {
        (Address::Single(ip), old) => old.contains(ip),
        (Address::Range(new), Address::Range(old)) => old.contains(&new),
        (Address::Invalid, _) => true,
        (Address::Range(_), _) => false,
    })
}
