//! Which proxies a ServiceEntry claims, at the same cost with 10 proxies and with 100,000.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use ipnet::IpNet;

use crate::mesh::ServiceEntry;
use crate::mesh::address::Address;
use crate::mesh::service_entry::Port;
use crate::mesh::simulation::Names;

use super::{LONGEST_NAME, Proxy, Users, normal_host};

/// Proxies by port, host and address, so that a review costs the same with 10 and 100,000.
#[derive(Clone, Debug, Default)]
pub struct ProxyIndex {
    proxies: Vec<Proxy>,
    ports: HashMap<u16, OfPort>,
    names: Names,
}

#[derive(Clone, Debug, Default)]
struct OfPort {
    all: Vec<usize>,
    hosts: HashMap<Box<str>, Vec<usize>>,
    /// `x` for a policy's `*.x`.
    suffixes: HashMap<Box<str>, Vec<usize>>,
    /// Prefix length → masked range → proxies; single IPs are ranges of full length.
    ranges: BTreeMap<u8, HashMap<IpNet, Vec<usize>>>,
}

impl ProxyIndex {
    /// Indexes proxies, in the order given.
    pub fn new(proxies: Vec<Proxy>) -> Self {
        let mut index = Self::default();
        for proxy in proxies {
            index.insert(proxy);
        }
        index
    }

    /// Adds a proxy, behind the others.
    pub fn insert(&mut self, proxy: Proxy) {
        let id = self.proxies.len();
        for port in proxy.ports.iter().collect::<BTreeSet<_>>() {
            self.ports.entry(*port).or_default().insert(id, &proxy);
        }
        self.learn_names(&proxy);
        self.proxies.push(proxy);
    }

    /// The proxies that are at a port of these hosts and addresses, by their place in [`Self::all`].
    pub fn at(&self, port: u16, hosts: &[Box<str>], addresses: &[IpAddr]) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        let Some(of_port) = self.ports.get(&port) else {
            return found;
        };
        for host in hosts {
            of_port.by_host(host, &mut found);
        }
        for address in addresses {
            of_port.by_range(IpNet::from(*address), &mut found);
        }
        found
    }

    /// Sets who uses the proxy at that place of [`Self::all`].
    pub fn set_users(&mut self, id: usize, users: Users) {
        if let Some(proxy) = self.proxies.get_mut(id) {
            proxy.users = users;
        }
    }

    /// A proxy whose every address is a single IP tells where its host names lead.
    fn learn_names(&mut self, proxy: &Proxy) {
        let singles: Vec<IpAddr> = proxy.single_addresses().collect();
        if singles.is_empty() || singles.len() != proxy.addresses.len() {
            return;
        }
        for host in proxy.hosts.iter().filter(|host| !host.starts_with('*')) {
            self.names.entry(host.clone()).or_default().extend(&singles);
        }
    }

    /// Every proxy.
    pub fn all(&self) -> &[Proxy] {
        &self.proxies
    }

    /// Where host names lead, as far as the proxies tell.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// The proxies of a port.
    pub fn on_port(&self, port: u16) -> impl Iterator<Item = &Proxy> {
        let ids = self
            .ports
            .get(&port)
            .into_iter()
            .flat_map(|of_port| &of_port.all);
        ids.map(|id| &self.proxies[*id])
    }

    /// The proxies that `entry` claims with `port`: its number is the proxy's, and one of its
    /// hosts, or of the IPs and ranges in its addresses or endpoints, is. The port's `targetPort` plays no part.
    pub fn claimed(&self, entry: &ServiceEntry, port: &Port) -> Vec<&Proxy> {
        let Some(of_port) = self.ports.get(&port.number) else {
            return Vec::new();
        };
        let mut found = BTreeSet::new();
        for host in &entry.hosts {
            of_port.by_host(&normal_host(host), &mut found);
        }
        for written in &entry.addresses {
            match written.address {
                Address::Single(ip) => of_port.by_range(IpNet::from(ip), &mut found),
                Address::Range(net) => of_port.by_range(net, &mut found),
                Address::Invalid => {}
            }
        }
        for endpoint in &entry.endpoints {
            if let Ok(ip) = endpoint.address.parse::<IpAddr>() {
                of_port.by_range(IpNet::from(ip), &mut found);
            }
        }
        found.into_iter().map(|id| &self.proxies[id]).collect()
    }
}

impl OfPort {
    fn insert(&mut self, id: usize, proxy: &Proxy) {
        self.all.push(id);
        for host in &proxy.hosts {
            let (map, key) = match host.strip_prefix("*.") {
                Some(suffix) => (&mut self.suffixes, suffix),
                None => (&mut self.hosts, &**host),
            };
            map.entry(key.into()).or_default().push(id);
        }
        for net in &proxy.addresses {
            let by_net = self.ranges.entry(net.prefix_len()).or_default();
            by_net.entry(net.trunc()).or_default().push(id);
        }
    }

    /// A policy's `*.x` matches any host below x and `*.x` itself; an entry's wildcard that is
    /// broader than the policy's host claims nothing.
    fn by_host(&self, host: &str, found: &mut BTreeSet<usize>) {
        if host.is_empty() || host.len() > LONGEST_NAME {
            return;
        }
        found.extend(self.hosts.get(host).into_iter().flatten());
        let mut rest = host;
        while let Some((_, parent)) = rest.split_once('.') {
            found.extend(self.suffixes.get(parent).into_iter().flatten());
            rest = parent;
        }
    }

    /// A single IP of the proxy, or a range inside the proxy's.
    fn by_range(&self, net: IpNet, found: &mut BTreeSet<usize>) {
        for (length, by_net) in self.ranges.range(..=net.prefix_len()) {
            let wider = IpNet::new(net.addr(), *length).map(|wider| wider.trunc());
            let ids = wider.ok().and_then(|wider| by_net.get(&wider));
            found.extend(ids.into_iter().flatten());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Proxy, ProxyIndex, Users};
    use crate::mesh::ServiceEntry;
    use crate::policy::proxy::Evidence;

    #[test]
    fn hosts_claim_a_proxy_and_its_subdomains() {
        let index = ProxyIndex::new(vec![Proxy {
            name: "p".into(),
            policy: "".into(),
            evidence: Evidence::Declared,
            hosts: vec!["proxy.corp".into(), "*.squid.corp".into()],
            addresses: Vec::new(),
            ports: vec![3128],
            tls: false,
            tunnel: false,
            users: Users::default(),
        }]);
        for (host, claimed) in [
            ("proxy.corp".to_owned(), true),
            ("Proxy.Corp.".to_owned(), true),
            ("a.proxy.corp".to_owned(), false),
            ("a.b.squid.corp".to_owned(), true),
            ("*.squid.corp".to_owned(), true),
            ("squid.corp".to_owned(), false),
            ("*.corp".to_owned(), false),
            ("a.".repeat(122) + "squid.corp", true),
            ("a.".repeat(123) + "squid.corp", false),
            // Looking up every suffix of this one is quadratic.
            ("a.".repeat(500_000) + "squid.corp", false),
        ] {
            let object = json!({"spec": {"ports": [{"number": 3128, "name": "p"}]}});
            let mut entry: ServiceEntry = serde_json::from_value(object).unwrap();
            entry.hosts = vec![host.as_str().into()];
            let found = index.claimed(&entry, &entry.ports[0]).len();
            assert_eq!(found, usize::from(claimed), "{:.40}", host);
        }
    }
}
