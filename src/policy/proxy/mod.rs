//! The proxies we know of, and which of them a ServiceEntry claims.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::mesh::ServiceEntry;
use crate::mesh::address::Address;
use crate::mesh::service_entry::Port;
use crate::mesh::simulation::Names;

/// Why we believe that a port is a proxy's, strongest last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Evidence {
    /// Its names say so.
    Suspected,
    /// A workload's `HTTPS_PROXY` points there.
    Observed,
    /// A policy says so.
    Declared,
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Suspected => "suspected",
            Self::Observed => "observed",
            Self::Declared => "declared",
        })
    }
}

/// A host or address range, with ports, that speaks HTTP CONNECT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// What to call it.
    pub name: Box<str>,
    /// The policy that declares it; empty for one given on the command line, or suspected.
    pub policy: Box<str>,
    /// Why we believe in it.
    pub evidence: Evidence,
    /// Host names in lower case, without a trailing dot; `*.x` stands for any host below x.
    pub hosts: Vec<Box<str>>,
    /// Single IPs and ranges.
    pub addresses: Vec<IpNet>,
    /// Its ports.
    pub ports: Vec<u16>,
    /// Whether the proxy itself expects TLS.
    pub tls: bool,
    /// Whether sidecars make the CONNECT (a DestinationRule `tunnel`), so that HTTP is right.
    pub tunnel: bool,
}

impl Proxy {
    /// The single IPs among its addresses.
    pub fn single_addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        let singles = self.addresses.iter();
        singles
            .filter(|net| net.prefix_len() == net.max_prefix_len())
            .map(IpNet::addr)
    }

    /// Whether it may be reached at `ip`.
    pub fn is_at(&self, ip: IpAddr) -> bool {
        self.addresses.iter().any(|net| net.contains(&ip))
    }

    /// The server name that a client sends to it, if it expects TLS.
    pub fn server_name(&self) -> Option<&str> {
        let mut hosts = self.hosts.iter().map(|host| &**host);
        hosts.find(|host| !host.starts_with('*'))
    }

    /// Where it is: its first address, else its first host, with `port`.
    pub fn location(&self, port: u16) -> String {
        let more = |count: usize| if count > 1 { ", …" } else { "" };
        if let Some(first) = self.addresses.first() {
            let shown = match (first.prefix_len() == first.max_prefix_len(), first.addr()) {
                (true, IpAddr::V4(v4)) => v4.to_string(),
                (true, IpAddr::V6(v6)) => format!("[{v6}]"),
                (false, _) => first.to_string(),
            };
            return format!("{shown}:{port}{}", more(self.addresses.len()));
        }
        match self.hosts.first() {
            Some(host) => format!("{host}:{port}{}", more(self.hosts.len())),
            None => format!("port {port}"),
        }
    }

    /// The proxy in a message: name, place, evidence.
    pub fn mention(&self, port: u16) -> String {
        let place = self.location(port);
        let source = match (self.evidence, &*self.policy) {
            (Evidence::Declared, "") => "declared with --proxy".to_owned(),
            (Evidence::Declared, policy) => format!("declared by policy {policy}"),
            (Evidence::Observed, _) => "observed in workloads".to_owned(),
            (Evidence::Suspected, _) => "suspected by its name".to_owned(),
        };
        if place.starts_with(&*self.name) {
            return format!("{place} ({source})");
        }
        format!("{} ({place}, {source})", self.name)
    }
}

/// Lower case, without a trailing dot: how host names are compared.
pub fn normal_host(host: &str) -> Box<str> {
    let host = host.strip_suffix('.').unwrap_or(host);
    host.to_ascii_lowercase().into()
}

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
        for (id, proxy) in proxies.iter().enumerate() {
            for port in proxy.ports.iter().collect::<BTreeSet<_>>() {
                index.ports.entry(*port).or_default().insert(id, proxy);
            }
            index.learn_names(proxy);
        }
        index.proxies = proxies;
        index
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
        if host.is_empty() {
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
