//! What is observed, beside what is declared.
//!
//! Pure: values in, values out.
#![deny(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::disallowed_macros
)]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use super::env::{Host, Place};
use super::index::Index;
use crate::policy::proxy::{Evidence, Proxy, ProxyIndex, Users};

/// How many observed proxies are known to the checks, those first that most workloads use: whoever may make
/// Pods may name as many as he likes. A company has a few.
pub const MOST_PROXIES: usize = 1024;

/// What became of what was observed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// How many proxies nobody declares.
    pub proxies: usize,
    /// How many more there are than [`MOST_PROXIES`].
    pub left_out: usize,
}

/// Adds what is observed to the proxies that are declared. One that is at the port of a declared one, by host
/// or by address, is that one; and so are two that share an address and a port. `addresses_of` says where the
/// names of hosts lead, as far as it is known.
pub fn observe(
    proxies: &mut ProxyIndex,
    index: &Index,
    addresses_of: impl Fn(&str) -> Vec<IpAddr>,
) -> Observed {
    let mut declared: BTreeMap<usize, Vec<&Place>> = BTreeMap::new();
    let mut others = Others::default();
    for place in index.places() {
        let site = Site::of(place, &addresses_of);
        let known = proxies.at(place.port, &site.hosts, &site.addresses);
        if known.is_empty() {
            others.add(place, site);
        }
        for id in known {
            declared.entry(id).or_default().push(place);
        }
    }
    for (id, places) in declared {
        proxies.set_users(id, index.users_of(&places));
    }
    let mut others: Vec<Proxy> = others.proxies(index);
    others.sort_by(|one, other| {
        let users = other.users.workloads.cmp(&one.users.workloads);
        users.then_with(|| (&one.name, &one.ports).cmp(&(&other.name, &other.ports)))
    });
    let left_out = others.len().saturating_sub(MOST_PROXIES);
    others.truncate(MOST_PROXIES);
    let observed = Observed {
        proxies: others.len(),
        left_out,
    };
    for proxy in others {
        proxies.insert(proxy);
    }
    observed
}

/// Where a [`Place`] is.
struct Site {
    hosts: Vec<Box<str>>,
    addresses: Vec<IpAddr>,
}

impl Site {
    fn of(place: &Place, addresses_of: &impl Fn(&str) -> Vec<IpAddr>) -> Self {
        let name = match &place.host {
            Host::Address(ip) => {
                return Self {
                    hosts: Vec::new(),
                    addresses: vec![*ip],
                };
            }
            Host::Name(name) => name,
        };
        // `squid.tools` is a Service wherever there is one, and a host of the DNS elsewhere.
        if name.matches('.').count() == 1 {
            let service = format!("{name}.svc.cluster.local");
            let addresses = addresses_of(&service);
            if !addresses.is_empty() {
                return Self {
                    hosts: vec![service.into(), name.clone()],
                    addresses,
                };
            }
        }
        Self {
            hosts: vec![name.clone()],
            addresses: addresses_of(name),
        }
    }
}

/// The proxies that nobody declares.
#[derive(Default)]
struct Others<'a> {
    all: Vec<Other<'a>>,
    /// Port and address, and which of them is there.
    by_address: HashMap<(u16, IpAddr), usize>,
    by_host: HashMap<(u16, Box<str>), usize>,
}

struct Other<'a> {
    port: u16,
    hosts: BTreeSet<Box<str>>,
    addresses: BTreeSet<IpAddr>,
    places: Vec<&'a Place>,
}

impl<'a> Others<'a> {
    fn add(&mut self, place: &'a Place, site: Site) {
        let port = place.port;
        let mut hosts = site.hosts.iter();
        let by_host = hosts.find_map(|host| self.by_host.get(&(port, host.clone())));
        let mut addresses = site.addresses.iter();
        let by_address = || addresses.find_map(|ip| self.by_address.get(&(port, *ip)));
        let known = by_host.or_else(by_address).copied();
        let id = known.unwrap_or(self.all.len());
        if known.is_none() {
            self.all.push(Other {
                port,
                hosts: BTreeSet::new(),
                addresses: BTreeSet::new(),
                places: Vec::new(),
            });
        }
        for host in &site.hosts {
            self.by_host.entry((port, host.clone())).or_insert(id);
        }
        for ip in &site.addresses {
            self.by_address.entry((port, *ip)).or_insert(id);
        }
        let other = &mut self.all[id];
        other.hosts.extend(site.hosts);
        other.addresses.extend(site.addresses);
        other.places.push(place);
    }

    fn proxies(self, index: &Index) -> Vec<Proxy> {
        let proxies = self.all.into_iter();
        let proxies = proxies.map(|other| other.proxy(index.users_of(&other.places)));
        proxies.collect()
    }
}

impl Other<'_> {
    fn proxy(&self, users: Users) -> Proxy {
        let name = match (self.hosts.first(), self.addresses.first()) {
            (Some(host), _) => host.clone(),
            (None, Some(ip)) => ip.to_string().into(),
            (None, None) => "".into(),
        };
        Proxy {
            name,
            policy: "".into(),
            evidence: Evidence::Observed,
            hosts: self.hosts.iter().cloned().collect(),
            addresses: self.addresses.iter().copied().map(Into::into).collect(),
            ports: vec![self.port],
            // Where one of them speaks plainly to it, it takes that.
            tls: self.places.iter().all(|place| place.tls),
            tunnel: false,
            users,
        }
    }
}

#[cfg(test)]
mod tests;
